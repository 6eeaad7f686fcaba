"""How trades are worked: the style by class, volatility and participation; limits, slices, and the sentences."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.costs import Liquidity, TradeCosts
from app.core.execution import choose, limit_of, slices_of, volatility_of
from app.core.money import ZERO, floor_to_step
from app.core.order_values import Execution
from app.core.policy import OrderStyle, Policy
from app.core.portfolio import Asset, AssetClass, Price
from app.core.stats import Closes
from app.core.trades import Trade, TradeSide
from tests.builders import AS_OF, asset, propose, snapshot, swinging
from tests.core.samples import PROPERTY, decimals

# A Monday at noon in New York; the Sunday before it.
OPEN, SHUT = AS_OF, datetime(2024, 6, 2, 12, tzinfo=UTC)
EVERY_DAY = Liquidity(Decimal(100_000), Decimal("0.02"))


def trade(of: Asset, quantity: str = "100", price: str = "100", side: TradeSide = TradeSide.BUY) -> Trade:
    units, last = Decimal(quantity), Price(Decimal(price), OPEN)
    return Trade(of.symbol, of, "main", side, units, last, units * last.value, TradeCosts(ZERO, ZERO, ZERO))


def chosen(
    of: Asset,
    policy: Policy | None = None,
    volatility: str | None = "20",
    *,
    at: datetime = OPEN,
    quantity: str = "100",
) -> Execution:
    known = None if volatility is None else Decimal(volatility)
    return choose(trade(of, quantity), policy or Policy(), volatility=known, as_of=at)


@pytest.mark.parametrize("kind", [AssetClass.STOCK, AssetClass.ETF, AssetClass.COMMODITY, AssetClass.OTHER])
def test_stock_is_bought_by_one_limit_order(kind: AssetClass) -> None:
    # 0.5 x 20 % / sqrt(252) = 0.629941 %
    found = chosen(replace(asset("A", kind), liquidity=EVERY_DAY))
    assert found == Execution(
        OrderStyle.LIMIT,
        "One order for the session, limited to 100.62 USD, 0.629941 % above the price of 100: 0.5 days of its "
        "volatility of 20 % a year are 0.629941 %; 100 units are 0.1 % of a day's volume.",
        limit=Decimal("100.62"),
        volatility=Decimal(20),
    )


def test_sale_is_limited_below_the_price_and_rounded_up() -> None:
    found = choose(trade(asset("A"), side=TradeSide.SELL), Policy(), volatility=Decimal(20), as_of=OPEN)
    assert found.limit == Decimal("99.38")  # not 99.370059
    assert "limited to 99.38 USD, 0.629941 % below the price of 100" in found.why


@pytest.mark.parametrize(
    ("volatility", "limit", "why"),
    [
        (None, "100.1", "0.1 % above the price of 100: its volatility is not known, so the least collar counts;"),
        ("0", "100.1", "0.1 % above the price of 100: its volatility is 0, so the least collar counts;"),
        ("1", "100.1", "volatility of 1 % a year are 0.031497 %, less than the least collar of 0.1 %, which counts;"),
        ("60", "101.88", "0.5 days of its volatility of 60 % a year are 1.889822 %;"),
    ],
)
def test_collar_goes_with_the_volatility(volatility: str | None, limit: str, why: str) -> None:
    found = chosen(asset("A"), volatility=volatility)
    assert found.limit == Decimal(limit)
    assert why in found.why
    assert found.why.endswith("; its daily volume is not known.")


def test_widest_collar_counts() -> None:
    found = chosen(asset("TLT", AssetClass.BOND), volatility="80")
    assert (found.style, found.limit) == (OrderStyle.LIMIT, Decimal(102))
    assert "are 2.519763 %, more than the widest collar of 2 %, which counts;" in found.why


def test_what_moves_more_than_the_limit_is_sliced() -> None:
    assert chosen(asset("GME"), volatility="60").style is OrderStyle.LIMIT
    found = chosen(asset("GME"), volatility="60.000001")
    assert (found.style, found.slices, found.interval_s, found.limit) == (OrderStyle.TWAP, 13, 300, None)
    assert found.why == ("13 slices, one every PT5M: its volatility of 60.000001 % a year is above the limit of 60 %.")


def test_what_is_much_of_a_days_volume_is_sliced() -> None:
    thin = replace(asset("THIN"), liquidity=EVERY_DAY)
    assert chosen(thin, quantity="1000").style is OrderStyle.LIMIT  # exactly 1 %
    found = chosen(thin, quantity="1001", volatility=None)
    assert found.style is OrderStyle.TWAP
    assert found.why == ("13 slices, one every PT5M: 1001 units are 1.001 % of a day's volume, above the limit of 1 %.")


def test_crypto_is_sliced_and_never_waits() -> None:
    found = chosen(asset("BTC"), at=SHUT)
    assert (found.style, found.not_before) == (OrderStyle.TWAP, None)
    assert found.why == "13 slices, one every PT5M: crypto is spread over time, as it trades around the clock."


def test_fund_is_traded_at_net_asset_value() -> None:
    found = chosen(asset("VFIAX", AssetClass.FUND))
    assert (found.style, found.limit, found.slices) == (OrderStyle.NAV, None, 1)
    assert found.why == "At net asset value: a fund has one price a day, that of the session's close."


@pytest.mark.parametrize(
    ("style", "why"),
    [
        (OrderStyle.MARKET, "At market: the policy says so for STOCK."),
        (OrderStyle.TWAP, "13 slices, one every PT5M: the policy says so for STOCK."),
        (OrderStyle.LIMIT, "0.629941 % above the price of 100: the policy says so for STOCK; 0.5 days of its"),
    ],
)
def test_policy_names_the_style_of_a_class(style: OrderStyle, why: str) -> None:
    policy = Policy(styles={AssetClass.STOCK: style})
    assert chosen(asset("A"), policy).style is style
    assert why in chosen(asset("A"), policy).why
    assert chosen(asset("VTI", AssetClass.ETF), policy).style is OrderStyle.LIMIT


def test_order_outside_its_session_waits_and_says_until_when() -> None:
    found = chosen(asset("A"), Policy(styles={AssetClass.STOCK: OrderStyle.MARKET}), at=SHUT)
    assert found.not_before == datetime(2024, 6, 3, 13, 30, tzinfo=UTC)
    assert found.why == (
        "At market: the policy says so for STOCK; A waits until its exchange opens, 2024-06-03T13:30:00Z."
    )
    assert chosen(asset("A"), at=datetime(2036, 12, 25, 1, tzinfo=UTC)).why.endswith(
        "; A waits until its exchange opens, 2036-12-25T14:30:00Z; holidays of 2036 are not known."
    )
    assert chosen(asset("A"), at=datetime(2036, 12, 25, 15, tzinfo=UTC)).why.endswith(
        "its daily volume is not known; holidays of 2036 are not known."
    )
    assert "holidays" not in chosen(asset("BTC"), at=datetime(2036, 12, 25, 15, tzinfo=UTC)).why


@pytest.mark.parametrize(
    ("side", "last", "step", "limit"),
    [
        (TradeSide.BUY, "100", "0.01", "100.5"),
        (TradeSide.SELL, "100", "0.01", "99.5"),
        (TradeSide.BUY, "33.33", "0.01", "33.49"),  # 33.49665
        (TradeSide.SELL, "33.33", "0.01", "33.17"),  # 33.16335
        (TradeSide.BUY, "33.33", "0.25", "33.25"),
        (TradeSide.SELL, "33.33", "0.25", "33.25"),
        (TradeSide.BUY, "0.004", "0.01", "0.00402"),  # the step is not one for so low a price
        (TradeSide.SELL, "0.004", "0.01", "0.01"),
        (TradeSide.BUY, "999999999999", "0.01", "999999999999.99"),  # not 1,004,999,999,998.99: no price is so high
        (TradeSide.BUY, "999999999999", "0", "999999999999.999999999999999999"),
        (TradeSide.BUY, "999999999999", "1e11", "900000000000"),
        (TradeSide.SELL, "999999999999", "1e11", "900000000000"),
        (TradeSide.SELL, "999999999999", "1e12", "999999999999.999999999999999999"),
    ],
)
def test_limit_is_rounded_to_the_step_in_the_safe_direction(side: TradeSide, last: str, step: str, limit: str) -> None:
    half = Policy(collar_min=Decimal("0.5"), collar_max=Decimal("0.5"))
    assert limit_of(side, Decimal(last), half, Decimal(20), Decimal(step)) == Decimal(limit)


@pytest.mark.parametrize(
    ("quantity", "step", "minimum", "slices"),
    [
        ("130", "1", "0", ["10"] * 13),
        ("100", "1", "0", ["7"] * 12 + ["16"]),
        ("12", "1", "0", ["1"] * 12),  # 13 would be less than one step each
        ("0.5", "0.5", "0", ["0.5"]),
        ("13", "0", "100", ["1"] * 13),
        ("12.9", "0", "100", ["1.075"] * 12),  # 13 would be worth less than 100 each
        ("10", "1", "250", ["3", "3", "4"]),  # 4 of 2.5 would be worth 250, but whole ones only 200
        ("0.9", "0", "100", ["0.9"]),  # a full exit may be smaller than the minimum
    ],
)
def test_slices_are_worth_the_minimum(quantity: str, step: str, minimum: str, slices: list[str]) -> None:
    of = asset("BTC", step=step, min_notional=minimum)
    found = slices_of(Decimal(quantity), Execution(OrderStyle.TWAP, "", slices=13), of, Decimal(100))
    assert found == tuple(map(Decimal, slices))


def test_fewer_slices_are_said() -> None:
    found = chosen(asset("BTC", step="0.5", min_notional="60"), quantity="4")
    assert (found.slices, found.interval_s) == (4, 300)
    assert found.why == (
        "4 slices, one every PT5M: crypto is spread over time, as it trades around the clock; of 13 slices each would "
        "be below 1 units, the least order."
    )
    assert chosen(asset("BTC", step="1"), quantity="1").why.startswith("One slice: crypto")


@PROPERTY
@given(
    decimals("0.000001", "100000", 6),
    st.integers(1, 500),
    st.sampled_from(["0", "0.001", "0.5", "1", "7"]),
    st.sampled_from(["0", "1", "99.99"]),
    decimals("0.01", "5000", 3),
)
def test_slices_sum_to_the_order_and_none_is_too_small(
    quantity: Decimal, most: int, step: str, minimum: str, price: Decimal
) -> None:
    of = asset("BTC", step=step, min_notional=minimum)
    units = floor_to_step(quantity, of.quantity_step)
    if not units:
        return
    found = slices_of(units, Execution(OrderStyle.TWAP, "", slices=most), of, price)
    assert sum(found) == units
    assert 1 <= len(found) <= most
    assert len(set(found[:-1])) <= 1
    assert found[-1] >= found[0] > 0
    if len(found) > 1:
        assert found[0] * price >= of.min_notional
        assert floor_to_step(found[0], of.quantity_step) == found[0]


@PROPERTY
@given(st.sampled_from(TradeSide), decimals("0.01", "5000", 4), st.none() | decimals("0", "400", 6))
def test_limit_never_goes_beyond_the_collar(side: TradeSide, last: Decimal, volatility: Decimal | None) -> None:
    policy = Policy()
    limit = limit_of(side, last, policy, volatility, Decimal("0.01"))
    widest = last * policy.collar_max / 100
    if side is TradeSide.BUY:
        assert last - Decimal("0.01") < limit <= last + widest
    else:
        assert last - widest <= limit < last + Decimal("0.01")


def test_volatility_is_that_of_the_closes_in_the_currency_of_the_asset() -> None:
    of = replace(asset("A", currency="EUR"), liquidity=EVERY_DAY)
    assert volatility_of(of, swinging("33"), OPEN) == Decimal(33)
    assert volatility_of(of, swinging("33"), OPEN + timedelta(days=365)) == Decimal("31.749016")
    assert volatility_of(of, Closes(), OPEN) == Decimal("31.749016")  # 2 % a day x sqrt(252)
    assert volatility_of(asset("A"), Closes(), OPEN) is None


def test_plan_says_how_each_trade_is_worked() -> None:
    start = snapshot("70 A @ 100, 30 BTC @ 100", {"A": "50", "BTC": "50"})
    plan = propose(replace(start, closes={"A": swinging("20"), "BTC": swinging("50")}))
    found = {planned.trade.asset.symbol: planned.execution for planned in plan.trades}
    assert found == {
        "A": choose(plan.trades[0].trade, start.policy, volatility=Decimal(20), as_of=OPEN),
        "BTC": choose(plan.trades[1].trade, start.policy, volatility=Decimal(50), as_of=OPEN),
    }
    limits = [None if one is None else one.limit for one in found.values()]
    assert limits == [Decimal("99.38"), None]

"""Costs of orders: fees by every kind of schedule, spread and impact, what can be afforded, and costs in pieces."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.core.brokers import check_broker, costs_of
from app.core.costs import FREE, Costs, Impact, Liquidity, Tier, TradeCosts, affordable, check_schedule, cost_of
from app.core.errors import InvalidInput, LimitExceeded, StaleData
from app.core.policy import Policy
from app.core.portfolio import Account, AccountKind, AssetClass, Broker, Market, Price, Rates
from app.core.tariffs import Piece, outline, tariffs, worthwhile
from tests.builders import AS_OF, asset, propose, snapshot, written
from tests.core.samples import PROPERTY, costs, decimals, schedules

CRUMB = Decimal("1E-10")


def line(fixed: str = "0", rate: str = "0", minimum: str = "0", cap: str | None = None, above: str = "0") -> Tier:
    """Write a line of fees; the rate in percent."""
    return Tier(
        Decimal(above),
        Decimal(fixed),
        Decimal(rate).scaleb(-2),
        Decimal(minimum),
        None if cap is None else Decimal(cap),
    )


def schedule(*lines: Tier, half_spread: str = "0") -> Costs:
    first, *others = lines
    return Costs(first.fixed, first.rate, first.minimum, Decimal(half_spread).scaleb(-2), first.cap, tuple(others))


MINI, LITEN, MELLAN = line(minimum="9", rate="0.25"), line(minimum="49", rate="0.15"), line(minimum="69", rate="0.089")
FAST = line(minimum="99", rate="0.079")
NORDIC = schedule(MINI, LITEN, MELLAN, FAST)
STOCKHOLM = schedule(
    line(minimum="1", rate="0.25"),
    line(minimum="39", rate="0.15"),
    line(minimum="69", rate="0.069"),
    line(minimum="99"),
)


def fee(given: Costs, notional: str) -> Decimal:
    return cost_of(given, Decimal(notional)).fee


@pytest.mark.parametrize(
    ("given", "notional", "expected", "spread"),
    [
        (Costs(), "1000", "0", "0"),
        (Costs(fixed=Decimal(2), rate=Decimal("0.001")), "1000", "3", "0"),
        (Costs(minimum=Decimal(9), rate=Decimal("0.0025")), "3600", "9", "0"),
        (Costs(minimum=Decimal(9), rate=Decimal("0.0025")), "3601", "9.0025", "0"),
        (Costs(half_spread=Decimal("0.0005")), "1000", "0", "0.5"),
        (Costs(fixed=Decimal(5), minimum=Decimal(9)), "0", "0", "0"),  # nothing traded costs nothing
        (Costs(fixed=Decimal(1), rate=Decimal("0.01"), cap=Decimal(20)), "1899", "19.99", "0"),
        (Costs(fixed=Decimal(1), rate=Decimal("0.01"), cap=Decimal(20)), "5000", "20", "0"),
        (Costs(rate=Decimal("0.001"), conversion=Decimal("0.0025")), "1000", "3.5", "0"),
    ],
)
def test_costs(given: Costs, notional: str, expected: str, spread: str) -> None:
    found = cost_of(given, Decimal(notional))
    assert written(found.fee, found.spread) == [expected, spread]


def test_total_costs_are_exact_wherever_they_are_added() -> None:
    found = TradeCosts(Decimal("1E+20"), Decimal("1E-20"), Decimal("1E-21")).total
    assert found == Decimal("100000000000000000000.000000000000000000011")


@pytest.mark.parametrize(
    ("notional", "expected"),
    [
        *(("100", "9"), ("3600", "9"), ("3601", "9.0025"), ("19600", "49"), ("46000", "69"), ("200000", "158")),
        # And where the classes give way to each other.
        *(("19604", "49"), ("32668", "49.002"), ("80000", "71.2"), ("111300", "99"), ("126000", "99.54")),
    ],
)
def test_o3_the_cheapest_of_the_nordic_classes(notional: str, expected: str) -> None:
    """`rebalance` package: Mini 9/0.25 %, Liten 49/0.15 %, Mellan 69/0.089 %, Fast 99/0.079 %."""
    assert written(fee(NORDIC, notional)) == [expected]


@pytest.mark.parametrize(
    ("notional", "expected"), [("401", "1.0025"), ("15600", "39"), ("46000", "69"), ("200000", "99")]
)
def test_o3_the_cheapest_of_the_stockholm_classes(notional: str, expected: str) -> None:
    """`rebalance` package: 1/0.25 %, 39/0.15 %, 69/0.069 %, 99/0 %."""
    assert written(fee(STOCKHOLM, notional)) == [expected]


def test_o3_currency_is_changed_for_a_fee_of_its_own() -> None:
    """`rebalance` package: 500 USD at 10 are 5,000 SEK; at 0.25 % each, conversion 12.50 and courtage 12.50."""
    broker = Broker("Nordic", "SEK", Decimal("0.0025"), {AssetClass.STOCK: NORDIC.schedule})
    found = costs_of(rates_to("SEK", broker, "10"), account("Nordic"), asset("AAPL"))
    assert written(fee(found, "5000"), fee(replace(found, conversion=Decimal(0)), "5000")) == ["25", "12.5"]
    home = costs_of(rates_to("SEK", broker, "10"), account("Nordic"), asset("VOLV", currency="SEK"))
    assert written(fee(home, "5000")) == ["12.5"]


@pytest.mark.parametrize(("amount", "traded"), [("800", []), ("1600", ["918", "900"]), ("2000", ["1000", "982"])])
def test_o5_an_order_is_left_out_when_its_fee_is_too_much_of_it(amount: str, traded: list[str]) -> None:
    """dcapal, issue 18: no trade where fee / amount is above the limit of 1 %: none of less than 900 for a fee of 9.

    400 too much: a purchase of 900 would leave 500 too much there. 800 too much: one of 900, and the sale that pays
    for it and both fees, leave 100, which is worth the fees.
    """
    assets = [asset(symbol, costs=schedule(MINI)) for symbol in ("A", "B")]
    limited = Policy(max_fee=Decimal(1))
    held = f"{10_000 + int(amount)} A @ 1, 10000 B @ 1"
    plan = propose(snapshot(held, {"A": "50", "B": "50"}, assets=assets, policy=limited))
    cents = [planned.trade.value.quantize(Decimal("0.01")) for planned in plan.trades]
    assert written(*cents) == traded
    assert worthwhile(schedule(MINI), Decimal("0.01"), Decimal(10**6)) == 900


def test_brackets_hold_for_what_is_worth_more_than_they_say() -> None:
    """Dearer and cheaper brackets, and classes within a bracket."""
    given = schedule(line("5"), line("10", above="1000"), line("1", "0.1", above="5000"), line("4", above="5000"))
    found = [fee(given, notional) for notional in ("1000", "1000.01", "5000", "5000.01", "2000000")]
    assert written(*found) == ["5", "10", "10", "4", "4"]


def test_impact_is_the_square_root_of_the_share_of_a_day() -> None:
    """Y 0.8, sigma 1.5 %, a hundredth of a day's volume: 0.8 x 1.5 % x 0.1 = 0.12 % of the order."""
    shared = asset("A", costs=Costs(half_spread=Decimal("0.0002")))
    liquid = replace(shared, liquidity=Liquidity(Decimal(20_000), Decimal("0.015"), Decimal("0.8")))
    market = Market({"A": liquid}, {"A": Price(Decimal(50), AS_OF)})
    found = cost_of(costs_of(Rates(market, "USD"), account(), liquid), Decimal(10_000))
    assert written(found.fee, found.spread, found.impact, found.total) == ["0", "2", "12", "14"]
    assert costs_of(Rates(Market({"A": liquid}, {}), "USD"), account(), liquid).impact is None
    abroad = replace(liquid, currency="EUR")
    assert costs_of(Rates(market, "USD"), account(), abroad).impact is None


def test_impact_is_rounded_half_even_to_ten_decimals() -> None:
    given = Costs(impact=Impact(Decimal("0.01"), Decimal(3)))
    assert written(cost_of(given, Decimal(1)).impact) == ["0.0057735027"]  # 0.01 / sqrt(3) = 0.00577350269...


def account(broker: str = "") -> Account:
    return Account("main", "main", AccountKind.TAXABLE, broker=broker)


def rates_to(base: str, broker: Broker, price: str, of: str = "USD") -> Rates:
    """Rates of a market with one broker and one rate, that of `of`."""
    cash = asset(of, AssetClass.CASH, currency=base)
    market = Market({cash.id: cash}, {cash.id: Price(Decimal(price), AS_OF - timedelta(days=1))}, {broker.name: broker})
    return Rates(market, base)


def test_a_broker_charges_for_the_classes_it_has_a_schedule_for() -> None:
    own = Costs(Decimal(1), half_spread=Decimal("0.0005"), cap=Decimal(7), tiers=(line("9", above="50"),))
    broker = Broker("B", "USD", fees={AssetClass.ETF: (line("2"), line("3", cap="4", above="100"))})
    rates = rates_to("USD", broker, "1.1", of="EUR")
    etf, stock = asset("A", AssetClass.ETF, costs=own), asset("A", costs=own)
    expected = Costs(Decimal(2), half_spread=Decimal("0.0005"), tiers=(line("3", cap="4", above="100"),))
    assert costs_of(rates, account("B"), etf) == expected
    assert costs_of(rates, account("B"), stock) == own
    assert costs_of(rates, account(), etf) == own


def test_a_broker_charges_in_its_own_currency() -> None:
    broker = Broker("B", "SEK", fees={AssetClass.STOCK: (line("10", "0.1", "20", "400", "0"), line("1", above="5000"))})
    found = costs_of(rates_to("USD", broker, "0.095", of="SEK"), account("B"), asset("A"))
    assert found.schedule == (line("0.95", "0.1", "1.9", "38"), line("0.095", above="475"))
    with pytest.raises(StaleData, match="There is no rate for SEK/USD, in which B charges") as caught:
        costs_of(Rates(Market({}, {}, {"B": broker}), "USD"), account("B"), asset("A"))
    assert caught.value.symbols == ("SEK/USD",)


@pytest.mark.parametrize(
    ("lines", "path", "message"),
    [
        ([line(minimum="9", cap="8")], ("cap",), "cap 8 is below the minimum 9; give a higher cap or leave it out"),
        ([line(), line(minimum="9", cap="0")], ("tiers", "0", "cap"), "cap 0 is below the minimum 9"),
        (
            [line(), line(above="5"), line(above="4.5")],
            ("tiers", "1", "above"),
            "above 4.5 comes after 5; put the lines in ascending order",
        ),
    ],
)
def test_a_schedule_that_cannot_be_meant_is_refused(lines: list[Tier], path: tuple[str, ...], message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        check_schedule(lines)
    assert caught.value.path == path
    broker = Broker("B", "USD", fees={AssetClass.ETF: (line(),), AssetClass.BOND: tuple(lines)})
    with pytest.raises(InvalidInput, match=message) as caught:
        check_broker(broker)
    assert caught.value.path == ("fees", "1", *path)


def test_a_schedule_has_a_bounded_number_of_lines() -> None:
    check_schedule([line()] * 20)
    with pytest.raises(LimitExceeded, match="there are 21 lines of fees; at most 20 are allowed"):
        check_schedule([line()] * 21)


@PROPERTY
@given(costs(), decimals("0", "100000", 2))
def test_what_is_affordable_fits_and_a_little_more_does_not(given: Costs, cash: Decimal) -> None:
    assert_tight(given, cash, Decimal("1E-9"))


@PROPERTY
@given(schedules(), decimals("0", "20000", 2), st.lists(decimals("0", "20000", 10), max_size=8))
def test_nothing_larger_is_affordable_whatever_the_schedule(given: Costs, cash: Decimal, others: list[Decimal]) -> None:
    notional = assert_tight(given, cash, CRUMB)
    larger = (notional + other for other in (*others, *(line.above + CRUMB for line in given.tiers)) if other)
    assert all(value + cost_of(given, value).total > cash for value in larger if value > notional)


def assert_tight(given: Costs, cash: Decimal, more: Decimal) -> Decimal:
    notional = affordable(given, cash)
    assert notional >= 0
    assert notional == 0 or notional + cost_of(given, notional).total <= cash
    assert notional + more + cost_of(given, notional + more).total > cash
    return notional


def test_more_is_affordable_where_a_larger_order_is_charged_less() -> None:
    """100 of cash: at 20 flat up to 85, only 80 fit; beyond 85 the fee is 5, so 95 do. With 89.99 of cash, 69.99."""
    given = schedule(line("20"), line("5", above="85"))
    assert [affordable(given, Decimal(cash)) for cash in ("100", "90.01", "90", "89.99", "20")] == [
        Decimal(number) for number in ("95", "85.01", "70", "69.99", "0")
    ]


def test_costs_grow_with_the_order_within_a_bracket() -> None:
    steps = [cost_of(NORDIC, Decimal(step)).total for step in range(0, 250_000, 500)]
    assert all(low <= high for low, high in pairwise(steps))


def written_pieces(found: tuple[Piece, ...]) -> list[tuple[str | None, ...]]:
    return [tuple(written(one.low, one.high, one.fixed, one.rate)) for one in found]


@pytest.mark.parametrize(
    ("given", "largest", "expected"),
    [
        (FREE, "1000", [("0", "1000", "0", "0")]),
        (schedule(line("2", "0.1"), half_spread="0.05"), "1000", [("0", "1000", "2", "0.0015")]),
        (schedule(MINI, half_spread="0.05"), "3600", [("0", "3600", "9", "0.0005")]),
        (schedule(MINI), "9000", [("0", "3600", "9", "0"), ("3600", "9000", "0", "0.0025")]),
        (schedule(line("1", "1", cap="20")), "5000", [("0", "1900", "1", "0.01"), ("1900", "5000", "20", "0")]),
        (
            NORDIC,
            "60000",
            [
                ("0", "3600", "9", "0"),
                ("3600", "19600", "0", "0.0025"),
                ("19600", "32666.6666666667", "49", "0"),
                ("32666.6666666667", "46000", "0", "0.0015"),
                ("46000", "60000", "69", "0"),
            ],
        ),
        # A dearer bracket begins at once, a cheaper one a crumb later; one that nobody reaches is not there.
        (
            schedule(line("5"), line("10", above="1000"), line("4", above="5000"), line("3", above="9000")),
            "9000",
            [("0", "1000", "5", "0"), ("1000", "5000.000001", "10", "0"), ("5000.000001", "9000", "4", "0")],
        ),
    ],
)
def test_costs_in_pieces(given: Costs, largest: str, expected: list[tuple[str, ...]]) -> None:
    assert written_pieces(tariffs(given, Decimal(largest))) == expected


def test_slight_impact_is_one_piece_and_more_of_it_is_cut_in_halves() -> None:
    """A day's volume of 100 million at sigma 1 %: 1 bp at 10,000. Chords of b^1.5 between 10,000, 20,000 and 40,000."""
    given = Costs(rate=Decimal("0.001"), impact=Impact(Decimal("0.01"), Decimal(10**8)))
    assert written_pieces(tariffs(given, Decimal(10_000))) == [("0", "10000", "0", "0.0011")]
    cuts = tariffs(given, Decimal(40_000))
    assert [written(one.low, one.high) for one in cuts] == [["0", "10000"], ["10000", "20000"], ["20000", "40000"]]
    assert [cost_on(cuts, Decimal(cut)) for cut in (10_000, 20_000, 40_000)] == [
        pytest.approx(cost_of(given, Decimal(cut)).total, abs=Decimal("1E-9")) for cut in (10_000, 20_000, 40_000)
    ]
    worst = max(
        (cost_on(cuts, Decimal(value)) - cost_of(given, Decimal(value)).total) / cost_of(given, Decimal(value)).impact
        for value in range(10_000, 40_001, 10)
    )
    assert Decimal("0.0455") < worst < Decimal("0.0456")


def cost_on(found: tuple[Piece, ...], value: Decimal) -> Decimal:
    (piece,) = (one for one in found if one.low < value <= one.high)
    return piece.fixed + piece.rate * value


@PROPERTY
@given(schedules(impact=False), decimals("1", "30000", 2), st.lists(decimals("0.01", "30000", 4), min_size=20))
def test_pieces_cost_what_an_order_costs(given: Costs, largest: Decimal, values: list[Decimal]) -> None:
    found = tariffs(given, largest)
    assert found[0].low == 0
    assert found[-1].high == largest
    assert all(one.high == other.low and one.low < one.high for one, other in pairwise(found))
    for value in values:
        if value <= largest:
            assert abs(cost_on(found, value) - cost_of(given, value).total) <= Decimal("1E-10")


@PROPERTY
@given(schedules(impact=True), decimals("1", "30000", 2), st.lists(decimals("0.01", "30000", 4), min_size=20))
def test_pieces_never_take_impact_for_less_than_it_is(given: Costs, largest: Decimal, values: list[Decimal]) -> None:
    found = tariffs(given, largest)
    assert found[0].low == 0
    assert found[-1].high == largest
    assume(cost_of(given, largest).impact <= largest * Decimal("0.0256"))
    for value in values:
        if value <= largest:
            paid = cost_of(given, value)
            above = cost_on(found, value) - paid.total
            assert above >= -Decimal("1E-9")
            assert above <= max(paid.impact * Decimal("0.0456"), value * Decimal("0.0001")) + Decimal("1E-9")


def test_a_single_line_is_a_single_piece_for_any_size() -> None:
    given = Costs(Decimal(1), Decimal("0.002"), half_spread=Decimal("0.001"))
    for largest in ("0", "0.00001", "1E+26"):
        (piece,) = tariffs(given, Decimal(largest))
        assert written(piece.low, piece.fixed, piece.rate) == ["0", "1", "0.003"]


@PROPERTY
@given(schedules(), decimals("0", "0.03", 4), st.lists(decimals("0.01", "9000", 2), min_size=10))
def test_the_least_worthwhile_order_is_the_least(given: Costs, limit: Decimal, values: list[Decimal]) -> None:
    least = worthwhile(given, limit, Decimal(10_000))
    if least:
        assert cost_of(given, least).fee <= limit * least + CRUMB
    for value in values:
        if least is None or value < least:
            assert cost_of(given, value).fee > limit * value


def test_where_every_fee_is_too_much_no_order_is_worthwhile() -> None:
    assert worthwhile(schedule(line("1", "1")), Decimal("0.01"), Decimal(10**9)) is None
    assert worthwhile(schedule(MINI), Decimal("0.01"), Decimal("899.99")) is None
    assert worthwhile(FREE, Decimal(0), Decimal(100)) == 0


@pytest.mark.parametrize(
    ("given", "notional", "expected"),
    [
        (Costs(Decimal(1), Decimal("0.002"), Decimal(3), Decimal("0.001")), "50", ["3", "0.003"]),
        (NORDIC, "1000", ["9", "0.0025"]),
        (NORDIC, "40000", ["49", "0.0015"]),
        (schedule(line("1", "1", cap="20"), half_spread="0.05"), "5000", ["20", "0.0005"]),
        (Costs(impact=Impact(Decimal("0.01"), Decimal(10**6))), "10000", ["0", "0.001"]),
    ],
)
def test_bands_take_the_line_that_is_cheapest_for_the_order(given: Costs, notional: str, expected: list[str]) -> None:
    assert written(*outline(given, Decimal(notional))) == expected

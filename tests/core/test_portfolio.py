"""Valuation: exact values, rates along three paths, and freshness of prices."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from app.core.drift import Snapshot
from app.core.policy import Policy
from app.core.portfolio import Asset, AssetClass, Rates, Valuation, rate, rests_on, value
from tests.builders import AS_OF, asset, snapshot, written

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TICK = timedelta(microseconds=1)


def valued(start: Snapshot) -> Valuation:
    return value(start.portfolio, start.market, start.policy.max_price_age_s, start.as_of)


def test_value_is_all_holdings_and_cash_exactly() -> None:
    found = valued(snapshot("10 AAPL {150 USD 2024-01-05} @ 180.25, 0.333 AAPL {100}, 500.01 cash"))
    (holding,) = found.holdings
    assert (holding.quantity, holding.basis) == (Decimal("10.333"), Decimal("1533.3"))
    assert holding.value == Decimal("1862.52325")
    assert (found.cash, found.value) == (Decimal("500.01"), Decimal("2362.53325"))
    assert found.prices_at == AS_OF


def test_nothing_is_rounded_at_the_bounds_of_quantity_and_price() -> None:
    found = valued(snapshot("999999999999999.999999999999999999 A @ 999999999999.999999999999999999"))
    assert found.value is not None
    assert Fraction(found.value) == Fraction(10**33 - 1, 10**18) * Fraction(10**30 - 1, 10**18)


def test_one_asset_in_two_accounts_is_two_holdings() -> None:
    found = valued(snapshot({"taxed": "1 A @ 10, 5 cash", "ira TAX_DEFERRED": "2 A, 7 cash"}))
    assert [(h.account_id, *written(h.quantity, h.value)) for h in found.holdings] == [
        ("taxed", "1", "10"),
        ("ira", "2", "20"),
    ]
    assert written(found.cash, found.value) == ["12", "42"]


def test_an_empty_portfolio_is_worth_nothing() -> None:
    found = valued(snapshot(""))
    assert written(found.value, found.cash) == ["0", "0"]
    assert (found.holdings, found.prices_at) == ((), None)


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({"EUR/USD": "1.0825"}, "1.0825"),
        ({"USD/EUR": "0.92"}, "1.08695652174"),  # 1 / 0.92 to twelve digits
        ({"EUR/USD": "1.0825", "USD/EUR": "0.92"}, "1.0825"),  # direct before inverse
        ({"USD/EUR": "0.000000003"}, "333333333.333"),
    ],
)
def test_a_rate_is_direct_or_inverse(rates: dict[str, str], expected: str) -> None:
    market = snapshot("", rates=rates).market
    assert rate(market, "EUR", "USD") == Decimal(expected)
    assert rate(market, "USD", "USD") == 1
    assert rate(market, "GBP", "USD") is None


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({"EUR/USD": "1.0825", "CHF/USD": "1.1"}, "0.984090909091"),  # 1.0825 / 1.1
        ({"EUR/USD": "1.0825", "USD/CHF": "0.9"}, "0.97425"),
        ({"USD/EUR": "0.93", "USD/CHF": "0.9"}, "0.967741935484"),  # 0.9 / 0.93, rounded once
        ({"EUR/CHF": "0.97", "EUR/USD": "2", "CHF/USD": "1"}, "0.97"),  # no detour when there is a way
        ({"CHF/EUR": "4", "EUR/USD": "2", "CHF/USD": "1"}, "0.25"),
    ],
)
def test_a_rate_may_lead_through_the_dollar(rates: dict[str, str], expected: str) -> None:
    market = snapshot("", rates=rates).market
    assert rate(market, "EUR", "CHF") == Decimal(expected)


def test_the_way_is_no_longer_than_through_the_dollar() -> None:
    market = snapshot("", rates={"EUR/GBP": "0.85", "GBP/CHF": "1.13"}).market
    assert rate(market, "EUR", "CHF") is None


def test_a_rate_without_venue_goes_before_others_in_any_order() -> None:
    market = snapshot("", rates={"EUR/USD": "1.1"}).market
    other = asset("EUR", AssetClass.CASH, venue="XBRK")
    prices = {**market.prices, other.id: replace(market.prices["EUR/USD"], value=Decimal("1.2"))}
    for assets in ({**market.assets, other.id: other}, {other.id: other, **market.assets}):
        assert rate(replace(market, assets=assets, prices=prices), "EUR", "USD") == Decimal("1.1")


def test_foreign_holdings_and_cash_are_worth_their_rate() -> None:
    start = snapshot(
        "10 SAP @ 150, 100 EUR cash, 40 cash", assets=[asset("SAP", currency="EUR")], rates={"EUR/USD": "1.1"}
    )
    found = valued(start)
    assert found.holdings[0].value == 1650
    assert written(found.cash, found.value) == ["150", "1800"]
    assert found.rates == {"EUR": Decimal("1.1"), "USD": 1}


def test_a_missing_price_leaves_no_value() -> None:
    found = valued(snapshot("1 A @ 10, 1 B, 5 cash"))
    assert written(found.value, found.cash) == [None, "5"]
    assert (found.missing, found.stale) == (("B",), ())


def test_a_missing_rate_leaves_no_value() -> None:
    found = valued(snapshot("1 SAP @ 150, 5 cash", assets=[asset("SAP", currency="EUR")]))
    assert (found.value, found.missing) == (None, ("EUR/USD",))
    found = valued(snapshot("1 A @ 10, 5 EUR cash"))
    assert (found.value, found.cash, found.missing) == (None, None, ("EUR/USD",))


def test_no_foreign_cash_needs_no_rate() -> None:
    found = valued(snapshot("1 A @ 10, 0 EUR cash"))
    assert found.value == 10
    assert found.missing == ()


@pytest.mark.parametrize(
    ("symbol", "age", "stale"),
    [
        ("AAPL", 3 * DAY, False),  # Friday's price on Monday
        ("AAPL", 4 * DAY, False),  # exactly as old as allowed
        ("AAPL", 4 * DAY + TICK, True),
        ("BTC", HOUR, False),
        ("BTC", HOUR + TICK, True),
        ("BTC", -HOUR, False),  # observed after the instant asked for: not old
    ],
)
def test_prices_grow_stale_by_class(symbol: str, age: timedelta, stale: bool) -> None:
    found = valued(snapshot(f"1 {symbol} @ 10", ages={symbol: age}))
    assert found.stale == ((symbol,) if stale else ())
    assert found.holdings[0].stale is stale
    assert found.value == 10
    assert found.prices_at == AS_OF - age


def test_a_policy_may_allow_other_ages() -> None:
    strict = Policy(max_price_age_s={**Policy().max_price_age_s, AssetClass.STOCK: 60})
    start = snapshot("1 A @ 10", policy=strict, ages={"A": timedelta(seconds=61)})
    assert valued(start).stale == ("A",)


def test_a_stale_rate_makes_what_rests_on_it_stale() -> None:
    start = snapshot(
        "1 SAP @ 150, 1 A @ 10",
        assets=[asset("SAP", currency="EUR")],
        rates={"USD/EUR": "0.9"},
        ages={"USD/EUR": 5 * DAY},
    )
    found = valued(start)
    assert found.stale == ("USD",)
    assert [holding.stale for holding in found.holdings] == [True, False]
    assert found.prices_at == AS_OF - 5 * DAY


def test_both_rates_of_a_way_through_the_dollar_must_be_fresh() -> None:
    rates = {"EUR/USD": "1.1", "USD/CHF": "0.9"}
    for pair, currency in (("EUR/USD", "EUR"), ("USD/CHF", "USD")):
        found = valued(snapshot("1 EUR cash", rates=rates, base="CHF", ages={pair: 5 * DAY}))
        assert (found.value, found.stale) == (Decimal("0.99"), (currency,))


def test_prices_of_what_is_not_held_do_not_matter() -> None:
    start = snapshot("1 A @ 10", prices={"B": "5"}, rates={"EUR/USD": "1.1"}, ages={"B": 90 * DAY, "EUR/USD": 90 * DAY})
    assert (valued(start).stale, valued(start).prices_at) == ((), AS_OF)


@pytest.mark.parametrize(
    ("ledger", "base", "rests"),
    [
        ("10 AAPL @ 180, 5 BND @ 70, 100 cash", "USD", {"AAPL", "BND"}),
        ("10 AAPL @ 180, 5 SAP @ 70, 100 cash", "USD", {"AAPL", "SAP", "EUR/USD"}),
        ("5 SAP @ 70, 100 EUR cash", "EUR", {"SAP"}),
        ("100 JPY cash, 100 EUR cash", "EUR", {"EUR/USD", "JPY/USD"}),
        ("5 SAP @ 70, 100 GBP cash", "GBP", {"SAP", "EUR/USD", "GBP/USD", "GBP/EUR"}),
        ("", "USD", set()),
    ],
)
def test_a_portfolio_rests_on_what_it_holds_and_on_the_rates_on_the_way_to_its_base(
    ledger: str, base: str, rests: set[str]
) -> None:
    rates = {"EUR/USD": "1.1", "GBP/USD": "1.3", "JPY/USD": "0.01", "GBP/EUR": "1.2"}
    start = snapshot(ledger or "0 cash", assets=[asset("SAP", currency="EUR")], rates=rates, base=base)
    found = rests_on(start.portfolio, start.market)
    assert found == rests
    # What a valuation really used is always among them.
    assert {rate.id for _, leg in _used(start) for rate in leg} <= found


def _used(start: Snapshot) -> list[tuple[Decimal, tuple[Asset, ...]]]:
    rates = Rates(start.market, start.portfolio.base_currency)
    held = {start.market.assets[lot.asset_id].currency for account in start.portfolio.accounts for lot in account.lots}
    held.update(currency for account in start.portfolio.accounts for currency in account.cash)
    return [leg for currency in held if (leg := rates.find(currency))]

"""What a taxpayer group did becomes what a plan knows: purchases however they were told, losses, the year's gains."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from app.core import assemble, document, past
from app.core.drift import Snapshot
from app.core.errors import SteelyardError
from app.core.lots import GainTerm
from app.core.past import Held, Past, Told
from app.core.policy import Policy, TaxRegime
from app.core.portfolio import AccountKind, Asset
from app.core.tax import NO_FACTS, RecentBuy, RecentLoss, TaxFacts
from app.core.trades import TradeSide
from tests.builders import asset, snapshot

# As of Monday, 3 June 2024: 4 May is the first day of the window.
HELD = snapshot(
    "10 AAPL @ 100, 1 BTC @ 60000, 5 SAP @ 150",
    {"AAPL": "100"},
    assets=[asset("SAP", currency="EUR")],
    rates={"EUR/USD": "1.10"},
)


def of(symbol: str) -> Asset:
    return HELD.market.assets[symbol]


def told(line: str, *, kind: AccountKind = AccountKind.TAXABLE, what: Asset | None = None) -> Told:
    """Read a line such as `2024-05-20 SELL 10 AAPL @ 90 - 5`, the last figure the fees, in an account."""
    day, side, units, symbol, _, price, *fees = line.split()
    fee = Decimal(fees[1]) if fees else Decimal(0)
    account, found = f"{kind.value} account", what or of(symbol)
    return Told(date.fromisoformat(day), account, kind, TradeSide[side], found, Decimal(units), Decimal(price), fee)


def lot(line: str, lot_id: str = "lt_1", account: str = "TAXABLE account") -> Held:
    """Read a line such as `2024-05-20 10 AAPL`."""
    day, units, symbol = line.split()
    return Held(lot_id, account, of(symbol), Decimal(units), date.fromisoformat(day))


def facts(*lines: Told, held: tuple[Held, ...] = (), known: str = "2020-01-01", **policy: Any) -> TaxFacts:
    start = replace(HELD, policy=Policy(**policy))
    return past.with_facts(start, Past(lines, held, date.fromisoformat(known))).tax


def buys(found: TaxFacts) -> list[tuple[str, str, str | None]]:
    return [(f"{buy.quantity.normalize():f} {buy.group}", str(buy.bought_on), buy.lot_id) for buy in found.buys]


def test_loss_of_the_window_is_known_by_unit_with_its_fees() -> None:
    found = facts(told("2023-01-02 BUY 10 AAPL @ 100"), told("2024-05-04 SELL 10 AAPL @ 90 - 5"))
    assert found.losses == (RecentLoss("AAPL", Decimal(10), Decimal("10.5"), GainTerm.LONG, date(2024, 5, 4)),)
    assert (found.long_gain, found.short_gain) == (Decimal(-105), Decimal(0))
    assert found.known_from == date(2020, 1, 1)


def test_loss_before_the_window_counts_for_the_year_only() -> None:
    found = facts(told("2023-07-02 BUY 10 AAPL @ 100"), told("2024-05-03 SELL 10 AAPL @ 90"))
    assert (found.losses, found.short_gain) == ((), Decimal(-100))


def test_loss_in_a_sheltered_account_is_no_loss() -> None:
    kind = AccountKind.TAX_DEFERRED
    found = facts(told("2023-07-02 BUY 10 AAPL @ 100", kind=kind), told("2024-05-20 SELL 10 AAPL @ 90", kind=kind))
    assert (found.losses, found.short_gain) == ((), Decimal(0))


def test_purchase_that_only_the_holdings_tell_of_is_known_with_its_lot() -> None:
    found = facts(held=(lot("2024-05-20 10 AAPL"),))
    assert buys(found) == [("10 AAPL", "2024-05-20", "lt_1")]


def test_purchase_that_both_tell_of_is_known_once() -> None:
    found = facts(told("2024-05-20 BUY 10 AAPL @ 100"), held=(lot("2024-05-20 10 AAPL"),))
    assert buys(found) == [("10 AAPL", "2024-05-20", "lt_1")]


def test_purchase_that_was_sold_again_is_no_longer_held_and_replaces_nothing() -> None:
    found = facts(told("2024-05-20 BUY 10 AAPL @ 100"), told("2024-05-21 SELL 10 AAPL @ 101"))
    assert (buys(found), found.short_gain) == ([], Decimal(10))


def test_purchase_in_a_sheltered_account_of_the_group_is_known_too() -> None:
    account = "TAX_EXEMPT account"
    found = facts(
        told("2024-05-20 BUY 10 AAPL @ 100", kind=AccountKind.TAX_EXEMPT),
        held=(lot("2024-05-20 10 AAPL", "", account),),
    )
    assert [(group, day) for group, day, _ in buys(found)] == [("10 AAPL", "2024-05-20")]


def test_what_washed_a_loss_already_replaces_nothing_more() -> None:
    found = facts(
        told("2023-07-02 BUY 10 AAPL @ 100"),
        told("2024-05-10 SELL 10 AAPL @ 90"),
        told("2024-05-20 BUY 4 AAPL @ 92"),
        held=(lot("2024-05-20 4 AAPL"),),
    )
    assert buys(found) == []
    assert [(loss.quantity, loss.loss_per_unit) for loss in found.losses] == [(Decimal(6), Decimal(10))]
    assert found.short_gain == Decimal(-60)  # 100 less the 40 that the purchase washed


def test_assets_of_one_group_stand_for_each_other() -> None:
    voo, ivv = (replace(of("AAPL"), id=name, symbol=name, identical_group="S&P 500") for name in ("VOO", "IVV"))
    found = facts(
        told("2023-07-02 BUY 10 VOO @ 100", what=voo),
        told("2024-05-10 SELL 10 VOO @ 90", what=voo),
        told("2024-05-11 BUY 10 IVV @ 90", what=ivv),
    )
    assert (found.losses, found.short_gain) == ((), Decimal(0))


def test_money_in_another_currency_is_converted_at_todays_rate() -> None:
    found = facts(told("2023-07-02 BUY 10 SAP @ 160 - 10"), told("2024-05-10 SELL 10 SAP @ 150"))
    assert [(loss.quantity, loss.loss_per_unit) for loss in found.losses] == [(Decimal(10), Decimal("12.1"))]
    assert found.short_gain == Decimal(-121)


def test_trades_in_a_currency_without_a_rate_are_left_out_and_the_past_is_not_known() -> None:
    swiss = asset("NESN", currency="CHF")
    lines = told("2023-07-02 BUY 10 NESN @ 160", what=swiss), told("2024-05-10 SELL 10 NESN @ 150", what=swiss)
    found = facts(*lines, told("2024-05-21 BUY 1 AAPL @ 90"), held=(lot("2024-05-21 1 AAPL"),))
    assert (found.losses, found.short_gain, found.known_from) == ((), Decimal(0), None)
    assert buys(found) == [("1 AAPL", "2024-05-21", "lt_1")]


def test_sale_of_what_nobody_told_the_purchase_of_moves_the_day_from_which_the_past_is_known() -> None:
    found = facts(told("2024-05-10 SELL 10 AAPL @ 90"))
    assert (found.losses, found.short_gain, found.known_from) == ((), Decimal(0), date(2024, 5, 11))


@pytest.mark.parametrize(("washes", "known"), [(False, []), (True, [("1 BTC", "2024-05-20", "lt_1")])])
def test_crypto_replaces_nothing_unless_the_policy_says_so(washes: bool, known: list[tuple[str, str, str]]) -> None:
    lines = told("2023-07-02 BUY 2 BTC @ 60000"), told("2024-04-10 SELL 1 BTC @ 50000")
    found = facts(*lines, held=(lot("2024-05-20 1 BTC"),), crypto_washes=washes)
    assert buys(found) == known
    assert found.short_gain == Decimal(-10_000)


def test_without_a_tax_regime_nothing_is_known() -> None:
    found = facts(held=(lot("2024-05-20 10 AAPL"),), tax_regime=TaxRegime.NONE)
    assert found == replace(NO_FACTS, known_from=date(2020, 1, 1))


@pytest.mark.parametrize(
    ("days", "known"),
    [
        ([], None),
        (["2024-01-01"], "2024-01-01"),
        (["2024-01-01", "2023-01-01"], "2024-01-01"),
        (["2024-01-01", None], None),
    ],
)
def test_group_is_known_from_the_last_of_its_accounts_days_on(days: list[str | None], known: str | None) -> None:
    found = past.known_since(date.fromisoformat(day) if day else None for day in days)
    assert found == (known and date.fromisoformat(known))


@pytest.mark.parametrize(
    ("today", "first"), [("2024-06-03", "2024-01-01"), ("2024-01-15", "2023-12-16"), ("2024-01-31", "2024-01-01")]
)
def test_trades_since_the_first_of_january_or_for_thirty_days_are_needed(today: str, first: str) -> None:
    assert past.needed_from(date.fromisoformat(today)) == date.fromisoformat(first)


# ---------------------------------------------------------------- the portfolio file


def file(**fact: Any) -> dict[str, Any]:
    """A file whose owner bought AAPL twice and sold the first of it at a loss of 10 each."""
    facts = [
        {"date": "2023-01-02", "account": "Main", "side": "BUY", "symbol": "AAPL", "quantity": "10", "price": "100"},
        {"date": "2024-05-10", "account": "Main", "side": "SELL", "symbol": "AAPL", "quantity": "10", "price": "90"},
        {"date": "2024-05-20", "account": "Main", "side": "BUY", "symbol": "AAPL", "quantity": "4", "price": "92"},
    ]
    facts[-1] |= fact
    lots = [{"symbol": "AAPL", "quantity": "4", "unitCost": "92", "acquiredOn": "2024-05-20"}]
    return {
        "steelyard": 1,
        "assets": [{"symbol": "AAPL", "price": "95"}],
        "portfolio": {"accounts": [{"historyFrom": "2023-01-01", "lots": lots}]},
        "transactions": facts,
    }


def planned(given: dict[str, Any]) -> Snapshot:
    return assemble.planned_from(document.parse(given, datetime(2024, 6, 3, 16, tzinfo=UTC)))


def test_file_says_what_was_bought_and_sold_of_late() -> None:
    assert planned(file()).tax == TaxFacts(
        losses=(RecentLoss("AAPL:USD:", Decimal(6), Decimal(10), GainTerm.LONG, date(2024, 5, 10)),),
        long_gain=Decimal(-60),
        known_from=date(2023, 1, 1),
    )


def test_lot_of_a_file_is_a_purchase_whether_its_transactions_tell_of_it_or_not() -> None:
    untold = file()
    untold["transactions"] = []
    assert planned(untold).tax.buys == (RecentBuy("AAPL:USD:", Decimal(4), date(2024, 5, 20), "Main:0"),)


@pytest.mark.parametrize(
    ("fact", "where", "message"),
    [
        ({"symbol": "ZZZ"}, "transactions.2.symbol", "no asset of the file has the symbol ZZZ; add it to assets"),
        ({"date": "2024-06-04"}, "transactions.2.date", "date 2024-06-04 is after today, 2024-06-03"),
        ({"date": "0202-05-20"}, "transactions.2.date", "date 0202-05-20 is before 1900-01-01; is it misspelt?"),
    ],
)
def test_wrong_fact_of_a_file_is_refused_with_its_place(fact: dict[str, str], where: str, message: str) -> None:
    with pytest.raises(SteelyardError) as caught:
        planned(file(**fact))
    assert (".".join(caught.value.path), caught.value.message) == (where, message)

"""What planning must know of the past: recent purchases, recent losses, gains of the year."""

from datetime import date
from decimal import Decimal

from app.core.lots import GainTerm
from app.core.money import plain
from app.core.policy import Policy, TaxRegime
from app.core.tax import RecentBuy, RecentLoss, TaxFacts
from app.core.tax_facts import HeldLot, facts
from tests.core.ledgers import events

TODAY = date(2024, 6, 28)
YEAR = """
    2023-01-03 BUY 100 X @ 50
    2023-11-01 SELL 10 X @ 70
    2024-01-02 BUY 20 Y @ 30
    2024-02-01 SELL 20 X @ 60
    2024-05-29 BUY 5 X @ 58 lot new
    2024-06-10 SELL 8 Y @ 25
    2024-06-20 BUY 3 Y @ 26
    2024-07-01 SELL 70 X @ 1
"""


def test_facts_of_a_year_so_far() -> None:
    """The sales of 2023 and of after today are left out; of the loss of 8 Y, 3 were replaced."""
    found = facts(events(YEAR), TODAY, Policy(), known_from=date(2023, 1, 1), short_carry=Decimal(7))
    assert found == TaxFacts(
        buys=(RecentBuy("X", Decimal(5), date(2024, 5, 29), "new"),),
        losses=(RecentLoss("Y", Decimal(5), Decimal(5), GainTerm.SHORT, date(2024, 6, 10)),),
        short_gain=Decimal(-25),
        long_gain=Decimal(200),
        short_carry=Decimal(7),
        known_from=date(2023, 1, 1),
    )


def test_what_is_thirty_one_days_old_is_no_longer_recent() -> None:
    for today, buys, losses in (("2024-06-28", 1, 1), ("2024-06-29", 0, 1), ("2024-07-10", 0, 1), ("2024-07-11", 0, 0)):
        told = [event for event in events(YEAR) if event.day < date(2024, 7, 1)]
        found = facts(told, date.fromisoformat(today), Policy())
        assert (len([buy for buy in found.buys if buy.group == "X"]), len(found.losses)) == (buys, losses), today


def test_stored_lots_say_what_is_held_and_events_what_of_it_is_used() -> None:
    def lot(lot_id: str, symbol: str, quantity: str, acquired_on: str) -> HeldLot:
        return HeldLot(lot_id, "Broker", symbol, symbol, Decimal(quantity), date.fromisoformat(acquired_on))

    held = [
        lot("l1", "X", "70", "2023-01-03"),
        lot("l2", "X", "4", "2024-05-29"),  # one of the 5 is gone
        lot("l3", "Y", "2", "2024-06-20"),  # of a purchase of 3, all of which has replaced something
        lot("l4", "Y", "6", "2024-06-20"),  # nobody told this one
        lot("l5", "Z", "9", "2024-06-21"),
    ]
    found = facts(events(YEAR), TODAY, Policy(), held=held, exempt={"Z"})
    assert [(buy.lot_id, plain(buy.quantity)) for buy in found.buys] == [("l2", "4"), ("l4", "5")]


def test_sale_whose_purchase_nobody_told_leaves_the_past_known_only_from_the_day_after() -> None:
    text = "2024-05-01 BUY 5 X @ 10\n2024-06-03 SELL 8 X @ 12\n2024-06-04 SELL 8 X @ 12 in IRA"
    found = facts(events(text), TODAY, Policy(), known_from=date(2024, 1, 1))
    assert (plain(found.short_gain), found.known_from) == ("10", date(2024, 6, 4))
    assert facts(events(text), TODAY, Policy()).known_from is None


def test_gains_of_sheltered_accounts_do_not_count_and_disallowed_losses_are_added_back() -> None:
    found = facts(
        events(
            """
            2024-01-02 BUY 10 X @ 10 in IRA
            2024-02-01 SELL 10 X @ 20 in IRA
            2024-01-02 BUY 10 Y @ 10
            2024-02-01 SELL 10 Y @ 7
            2024-02-02 BUY 4 Y @ 7
            """
        ),
        TODAY,
        Policy(),
    )
    assert (plain(found.short_gain), plain(found.long_gain)) == ("-18", "0")


def test_exempt_symbols_and_the_regime_without_tax_know_no_wash_sales() -> None:
    found = facts(events(YEAR), TODAY, Policy(), exempt={"X", "Y"})
    assert (found.buys, found.losses, found.short_gain) == ((), (), Decimal(-40))
    assert facts(events(YEAR), TODAY, Policy(tax_regime=TaxRegime.NONE)) == TaxFacts()

"""Booking: fills on lots, cash and the wash ledger; the ledger of a whole past says the same as booking bit by bit."""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

import pytest

from app.core import booking
from app.core.books import Booked, BookLot, Books, Entry, SoldPart
from app.core.errors import InvalidInput
from app.core.ledger import Event
from app.core.money import ZERO, plain
from app.core.order_values import Fill
from app.core.policy import LotMethod, Policy
from app.core.portfolio import AccountKind, TaxLot
from app.core.trades import TradeSide
from app.core.wash import settle
from tests.builders import AS_OF
from tests.core.ledgers import GAPS, GROUPS, KINDS

FIFO = Policy(lot_method=LotMethod.FIFO)
IRA = AccountKind.TAX_DEFERRED


@dataclass
class Desk:
    """Books that fills go through, one after the other, and all that came of them."""

    books: Books = field(default_factory=Books)
    cash: Decimal = ZERO
    parts: list[SoldPart] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    short: Decimal = ZERO
    ids: int = 0

    def new_id(self, prefix: str) -> str:
        self.ids += 1
        return f"{prefix}_{self.ids}"

    def _keep(self, done: Booked) -> None:
        self.books, self.short = done.books, self.short + done.short
        self.cash += done.cash
        self.parts += done.parts
        self.notes += done.notes

    def buy(self, day: str, units: str, at: str, key: str, *, fee: str = "0", **more: Any) -> None:
        self._keep(booking.buy(self.books, entry(day, units, at, fee, **more), key, self.new_id))

    def sell(self, day: str, units: str, at: str, *named: tuple[str, str], fee: str = "0", **more: Any) -> None:
        wanted = [(lot, Decimal(of)) for lot, of in named]
        self._keep(booking.sell(self.books, entry(day, units, at, fee, **more), wanted, FIFO, self.new_id))

    def lots(self) -> list[str]:
        return [
            f"{plain(one.lot.quantity)} {one.lot.asset_id} cost {plain(one.lot.basis)} of {one.lot.acquired_on}"
            + (f" held from {one.lot.holding_from}" if one.lot.holding_from != one.lot.acquired_on else "")
            + (" replaced" if one.replaced else "")
            for one in self.books.lots
        ]

    def disallowed(self, ref: str) -> tuple[Decimal, Decimal]:
        """What of a sold part's loss is disallowed, and what of it for good."""
        mine = [one for one in self.books.replacements if one.ref == ref]
        return sum((one.loss for one in mine), ZERO), sum((one.loss for one in mine if one.permanent), ZERO)


def entry(day: str, units: str, at: str, fee: str = "0", **more: Any) -> Entry:
    value = Decimal(units) * Decimal(at)
    told = Entry("main", AccountKind.TAXABLE, "X", date.fromisoformat(day), Decimal(units), value, Decimal(fee), True)
    return replace(told, **more)


def lot(name: str, units: str, basis: str, day: str, account: str = "main", asset: str = "X") -> BookLot:
    acquired = date.fromisoformat(day)
    held = TaxLot(name, asset, Decimal(units), Decimal(basis), acquired, acquired)
    return BookLot(held, account, AccountKind.TAXABLE, name)


def test_purchase_costs_value_and_fee_and_grows_one_lot_of_its_order_and_day() -> None:
    desk = Desk()
    desk.buy("2024-06-03", "3", "10", "order", fee="0.25")
    desk.buy("2024-06-03", "2", "11", "order", fee="0.15")
    desk.buy("2024-06-04", "1", "12", "order")
    desk.buy("2024-06-04", "1", "12", "another")
    assert desk.lots() == [
        "5 X cost 52.4 of 2024-06-03",
        "1 X cost 12 of 2024-06-04",
        "1 X cost 12 of 2024-06-04",
    ]
    assert desk.cash == Decimal("-76.4")


def test_sale_takes_the_named_lots_in_order_and_splits_what_it_received_by_units() -> None:
    desk = Desk(Books((lot("old", "10", "80", "2020-01-02"), lot("new", "5", "60", "2024-01-02"))))
    desk.sell("2024-06-03", "7", "10", ("new", "5"), ("old", "2"), fee="0.5")
    assert [(part.lot.lot.id, part.units, part.proceeds, part.basis) for part in desk.parts] == [
        ("new", Decimal(5), Decimal("49.6428571429"), Decimal(60)),
        ("old", Decimal(2), Decimal("19.8571428571"), Decimal(16)),
    ]
    assert desk.cash == Decimal("69.5") == sum(part.proceeds for part in desk.parts)
    assert desk.lots() == ["8 X cost 64 of 2020-01-02"]
    assert not desk.notes


def test_lots_that_are_gone_are_made_up_for_by_the_policys_method_and_it_is_said() -> None:
    desk = Desk(Books((lot("old", "10", "80", "2020-01-02"), lot("new", "2", "24", "2024-01-02"))))
    desk.sell("2024-06-03", "6", "12", ("new", "3"), ("gone", "3"))
    assert [(part.lot.lot.id, part.units) for part in desk.parts] == [("new", Decimal(2)), ("old", Decimal(4))]
    assert desk.notes == ["4 of 6 units were taken by FIFO: the lots that the plan names are gone."]


def test_units_that_nobody_holds_bring_their_cash_and_are_said_to_be_short() -> None:
    desk = Desk(Books((lot("old", "2", "16", "2020-01-02"),)))
    desk.sell("2024-06-03", "5", "10", ("old", "5"))
    assert (desk.cash, desk.short) == (Decimal(50), Decimal(3))
    assert [(part.units, part.proceeds) for part in desk.parts] == [(Decimal(2), Decimal(20))]
    assert desk.notes == ["3 of 5 units had no lot to be taken from: the account held no more."]


def test_loss_goes_into_the_basis_of_exactly_the_shares_that_replace_it_and_its_days_into_their_age() -> None:
    """Reg. 1.1091-1(h) ex. 2, as in Publication 550: 750 of 1,000 disallowed; 3,250 and 1,375."""
    held = (lot("M", "100", "5000", "2009-09-24"), lot("N", "50", "2750", "2009-12-18"))
    desk = Desk(Books((*held, lot("O", "25", "1125", "2009-12-28"))))
    desk.sell("2010-01-07", "100", "40", ("M", "100"))
    assert desk.lots() == [
        "50 X cost 3250 of 2009-12-18 held from 2009-09-04 replaced",
        "25 X cost 1375 of 2009-12-28 held from 2009-09-14 replaced",
    ]
    assert desk.disallowed(desk.parts[0].ref) == (Decimal(750), ZERO)


def test_purchase_after_a_loss_replaces_it_fill_by_fill() -> None:
    """IRS, VITA: 100 X for 1,000, sold for 750, 100 bought for 800 within 30 days: 250 disallowed, basis 1,050."""
    desk = Desk(Books((lot("A", "100", "1000", "2023-01-03"),)))
    desk.sell("2023-06-01", "100", "7.5", ("A", "100"))
    desk.buy("2023-06-20", "60", "8", "order")
    desk.buy("2023-06-20", "60", "8", "order")
    assert desk.lots() == [
        "100 X cost 1050 of 2023-06-20 held from 2023-01-22 replaced",
        "20 X cost 160 of 2023-06-20",
    ]


def test_replacement_in_a_sheltered_account_takes_the_loss_for_good() -> None:
    desk = Desk(Books((lot("A", "100", "1000", "2007-01-03"),)))
    desk.sell("2007-12-20", "100", "6", ("A", "100"))
    desk.buy("2007-12-21", "100", "6", "order", account="ira", kind=IRA)
    assert desk.lots() == ["100 X cost 600 of 2007-12-21 replaced"]
    assert desk.disallowed(desk.parts[0].ref) == (Decimal(400), Decimal(400))


def test_shares_that_a_later_fill_of_the_batch_sells_replace_nothing_after_all() -> None:
    """As when one order sells out of everything: the first fill finds the second lot still there."""
    before = (lot("A", "10", "100", "2023-01-03"), lot("B", "10", "90", "2023-05-20"))
    desk = Desk(Books(before))
    desk.sell("2023-06-01", "10", "7", ("A", "10"))
    assert desk.lots() == ["10 X cost 120 of 2023-05-20 held from 2022-12-22 replaced"]
    desk.sell("2023-06-01", "6", "7", ("B", "6"))
    assert desk.lots() == ["4 X cost 48 of 2023-05-20 held from 2022-12-22 replaced"]
    desk.sell("2023-06-01", "4", "7", ("B", "4"))
    assert desk.lots() == []
    assert [part.basis for part in desk.parts] == [Decimal(100), Decimal(54), Decimal(36)]
    assert not desk.books.replacements


def test_batch_ends_with_the_day_and_with_a_purchase() -> None:
    before = (lot("A", "10", "100", "2023-01-03"), lot("B", "10", "90", "2023-05-20"))
    for between in ((), ("2023-06-01", "1", "7", "order")):
        desk = Desk(Books(before))
        desk.sell("2023-06-01", "10", "7", ("A", "10"))
        if between:
            desk.buy(*between)
        desk.sell("2023-06-01" if between else "2023-06-02", "10", "7", ("B", "10"))
        assert desk.parts[1].basis == Decimal(120)


@pytest.mark.parametrize(("day", "washed"), [("2024-03-31", True), ("2024-04-01", False), ("2024-01-30", False)])
def test_window_is_thirty_days_either_way(day: str, washed: bool) -> None:
    desk = Desk(Books((lot("A", "1", "10", "2023-01-03"),)))
    desk.sell("2024-03-01", "1", "7", ("A", "1"))
    desk.buy(day, "1", "7", "order")  # a purchase that is recorded late counts from its own day
    assert desk.books.lots[-1].replaced is washed


def test_what_has_replaced_something_by_the_told_past_and_what_the_rule_does_not_know_stays() -> None:
    spent = replace(lot("B", "10", "90", "2023-05-20"), spent=Decimal(7))
    desk = Desk(Books((lot("A", "10", "100", "2023-01-03"), spent)))
    desk.sell("2023-06-01", "10", "7", ("A", "10"))
    assert [one.lot.quantity for one in desk.books.lots if one.replaced] == [Decimal(3)]
    crypto = Desk(Books((lot("A", "10", "100", "2023-01-03"), lot("B", "10", "90", "2023-05-20"))))
    crypto.sell("2023-06-01", "10", "7", ("A", "10"), washes=False)
    assert crypto.lots() == ["10 X cost 90 of 2023-05-20"]


def test_money_of_a_fill_is_rounded_once_and_bounded() -> None:
    fill = Fill("f", Decimal("0.333"), Decimal("1.00000000001"), Decimal("0.01"), AS_OF)
    assert booking.money_of(fill, Decimal("1.1")) == (Decimal("0.3663000000"), Decimal("0.0110000000"))
    with pytest.raises(InvalidInput, match="fill f comes to"):
        booking.money_of(replace(fill, quantity=Decimal(10) ** 14, price=Decimal(10) ** 11, fee=ZERO), Decimal(1000))


def told(random: Random) -> list[Event]:
    """Make up purchases, each a lot of its own, and runs of sales, each of a lot that has enough."""
    day, events = date(2023, 11, 1), list[Event]()
    left: dict[str, tuple[Event, Decimal]] = {}
    for row in range(random.randint(4, 30)):
        selling = bool(left) and random.random() < 0.5
        # Sales come in runs, so that what one sells has often replaced what another sold the same day.
        day += timedelta(days=0 if selling and random.random() < 0.7 else random.choice(GAPS))
        price = Decimal(random.randint(1, 6))
        if selling:
            bought, units = left.pop(random.choice(list(left)))
            sold = Decimal(random.randint(1, int(units)))
            if sold < units:
                left[bought.lot] = bought, units - sold
            events.append(replace(bought, row=row, day=day, side=TradeSide.SELL, price=price, quantity=sold))
        else:
            account, symbol = random.choice(list(KINDS)), random.choice("AAABBC")
            units = Decimal(random.randint(1, 4))
            told = (row, day, account, KINDS[account], TradeSide.BUY, symbol, GROUPS[symbol], units, price, ZERO)
            events.append(Event(*told, f"L{row}"))
            left[f"L{row}"] = events[-1], units
    return events


@dataclass
class Told:
    """What became of events: units, basis and unused units by lot, and gain, disallowed and lost for good by sale."""

    lots: dict[object, list[Fraction]] = field(default_factory=lambda: defaultdict(lambda: [Fraction(0)] * 3))
    sales: dict[object, list[Fraction]] = field(default_factory=lambda: defaultdict(lambda: [Fraction(0)] * 3))

    @staticmethod
    def add(to: list[Fraction], *more: Decimal | Fraction) -> None:
        to[:] = [there + Fraction(new) for there, new in zip(to, more, strict=True)]


def booked(events: list[Event], random: Random) -> tuple[Told, Decimal]:
    """Book each event as fills of random sizes; return what became of them, and all cash."""
    desks: dict[str, Desk] = defaultdict(Desk)
    parts: list[tuple[Event, SoldPart]] = []
    for event in events:
        desk, left, at = desks[event.group], event.quantity, str(event.price)
        while left:
            units = random.randint(1, int(left))
            more: dict[str, Any] = {"account": event.account, "kind": event.kind, "asset_id": event.symbol}
            if event.side is TradeSide.BUY:
                desk.buy(str(event.day), str(units), at, event.lot, **more)
            else:
                desk.sell(str(event.day), str(units), at, (event.lot, str(units)), **more)
            parts += [(event, part) for part in desk.parts]
            desk.parts.clear()
            left -= units
    done = Told()
    for event, part in parts:
        Told.add(done.sales[event.row], part.proceeds - part.basis, *desks[event.group].disallowed(part.ref))
    for one in (one for desk in desks.values() for one in desk.books.lots):
        place = one.account, one.lot.asset_id, one.key, one.lot.acquired_on, one.lot.holding_from
        Told.add(done.lots[place], one.lot.quantity, one.lot.basis, one.unused)
    return done, sum((desk.cash for desk in desks.values()), ZERO)


def settled(events: list[Event]) -> Told:
    """Return what the ledger of the whole past makes of events."""
    ledger, done = settle(events), Told()
    for sale in ledger.sales:
        Told.add(done.sales[sale.event.row], sale.gain, sale.disallowed, sale.permanent)
    for one in ledger.lots:
        place = one.event.account, one.event.symbol, one.event.lot, one.event.day, one.holding_from
        Told.add(done.lots[place], one.quantity, Fraction(one.quantity) * one.unit_cost, one.unused)
    return done


@pytest.mark.parametrize("seed", range(300))
def test_booking_bit_by_bit_says_what_the_ledger_of_the_whole_past_says(seed: int) -> None:
    random = Random(seed)
    events = told(random)
    done, cash = booked(events, random)
    assert done == settled(events)
    assert cash == sum(event.quantity * event.price * (-1 if event.side is TradeSide.BUY else 1) for event in events)

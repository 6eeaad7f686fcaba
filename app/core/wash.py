"""The wash-sale ledger: which shares each sale takes, and which losses are disallowed, share for share.

Groups do not touch each other, so each is settled alone, run by run. A loss takes what is there when its batch ends,
and waits for what is bought in the days after: a purchase is matched before anything of it can be sold, so its basis
and holding period are right by then. IRC 1091, 1223(3), Reg. 1.1091-1, Rev. Rul. 56-602 and 2008-5; docs/tax.md.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import groupby
from typing import Final

from app.core.ledger import Contradiction, Event, Ledger, LotChoice, Match, NotHeld, OpenLot, Sale, WashState
from app.core.lots import GainTerm, term
from app.core.money import ZERO, exactly
from app.core.policy import LotMethod
from app.core.portfolio import AccountKind
from app.core.trades import TradeSide

WINDOW_DAYS: Final = 30
# A unit cost is exact until its denominator is longer than this; then it is kept to as many places, so that a chain of
# thousands of replacements, each with its own fees, does not grow without end.
MOST_DIGITS: Final = 300
MOST_DENOMINATOR: Final = 10**MOST_DIGITS


@exactly
def settle(
    events: Iterable[Event],
    choice: LotChoice = LotChoice(),
    *,
    exempt: Collection[str] = (),
    known_from: date | None = None,
    short_history: bool = False,
) -> Ledger:
    """Settle the purchases and sales of one taxpayer group, taken by day and within a day in the order given.

    A loss is a part sold below its adjusted basis in a taxable account. Loss per share x shares replaced is disallowed
    and added to the basis of exactly those replacements, whose holding period begins earlier by the days the shares
    sold were held; in a sheltered account it is lost. A batch is the run of sales of a group on one day with no
    purchase of the group between: all its shares are chosen, then its losses are matched in order of sale and, within
    a sale, of acquisition, with shares of the group acquired at most 30 days before or after, in order of
    acquisition, each once; never with shares of the same purchase, nor with shares sold by the end of the batch.

    `exempt` are symbols the rule does not know. The past is complete from `known_from`, by default from its
    first day. With `short_history` units sold that nobody bought are reported; without, they raise NotHeld.
    """
    ordered = sorted(events, key=lambda event: event.day)
    _check(ordered)
    books: dict[str, _Book] = {}
    for place, event in enumerate(ordered):
        books.setdefault(event.group, _Book(choice, exempt)).told.append((place, event))
    for book in books.values():
        book.settle()
    missing = sorted((gap for book in books.values() for gap in book.missing), key=lambda gap: gap[0])
    if missing and not short_history:
        raise NotHeld(*missing[0][1:])
    sold = sorted((part for book in books.values() for part in book.sold), key=lambda part: part.place)
    known_from = known_from or (ordered[0].day if ordered else None)
    return Ledger(
        sales=tuple(_sale(list(alike), known_from) for _, alike in groupby(sold, _Sold.likeness)),
        lots=tuple(lot for book in books.values() for lot in book.open_lots()),
        matches=tuple(match for book in books.values() for match in book.matches),
        uncovered=tuple((event, event.quantity - held) for _, event, held in missing),
    )


def _check(events: Sequence[Event]) -> None:
    """Refuse an account of two kinds and a symbol in two groups: nobody could say which one is meant."""
    kinds: dict[str, AccountKind] = {}
    groups: dict[str, str] = {}
    for event in events:
        if (kind := kinds.setdefault(event.account, event.kind)) is not event.kind:
            raise Contradiction(event, f"account {event.account} is {event.kind.value} here and {kind.value} before")
        if (group := groups.setdefault(event.symbol, event.group)) != event.group:
            raise Contradiction(event, f"{event.symbol} is in the group {event.group!r} here and in {group!r} before")


@dataclass(slots=True, eq=False)
class _Part:
    """Shares of one purchase that are alike; `used` ones have replaced shares sold at a loss."""

    quantity: Decimal
    unit_cost: Fraction
    holding_from: date
    used: bool = False


@dataclass(slots=True, eq=False)
class _Bought:
    """What one event bought: its shares from front to back, as far as they are still held."""

    place: int
    event: Event
    parts: list[_Part]

    @property
    def purchase(self) -> tuple[str, str, str | int]:
        """Which purchase it belongs to: events of one account, symbol and lot are one."""
        return self.event.account, self.event.symbol, self.event.lot or self.place

    @property
    def is_unused(self) -> bool:
        """Whether any of it may still replace something."""
        return any(not part.used for part in self.parts)


@dataclass(slots=True, eq=False)
class _Sold:
    """Shares of one part that one sale took, and what has been matched with them so far.

    `is_loss` says that the rule asks about them: sold below basis, in a taxable account.
    """

    place: int
    event: Event
    bought: _Bought
    position: int
    quantity: Decimal
    unit_cost: Fraction
    unit_proceeds: Fraction
    holding_from: date
    is_loss: bool
    washed: Decimal = ZERO
    permanent: Fraction = Fraction(0)
    by_older: bool = False
    by_other_symbol: bool = False

    @property
    def unit_loss(self) -> Fraction:
        return self.unit_cost - self.unit_proceeds

    @property
    def unwashed(self) -> Decimal:
        return self.quantity - self.washed

    def likeness(self) -> tuple[object, ...]:
        """What the parts of a sale must share to be told as one."""
        return self.place, self.bought.purchase, self.bought.event.day, self.unit_cost, self.holding_from


class _Book:
    """The events of one group, and what is held, unmatched and within reach of the wash rule while they are settled."""

    def __init__(self, choice: LotChoice, exempt: Collection[str]) -> None:
        self.choice, self.exempt = choice, exempt
        self.told: list[tuple[int, Event]] = []
        self.stock: dict[tuple[str, str], list[_Bought]] = {}
        self.recent: list[_Bought] = []
        self.waiting: list[_Sold] = []
        self.sold: list[_Sold] = []
        self.matches: list[Match] = []
        self.missing: list[tuple[int, Event, Decimal]] = []

    def settle(self) -> None:
        """Take runs of purchases or sales on one day: a run of sales is a batch."""
        for (day, side), run in groupby(self.told, lambda told: (told[1].day, told[1].side)):
            self.recent = [bought for bought in self.recent if bought.is_unused and _within(bought.event.day, day)]
            self.waiting = [sold for sold in self.waiting if sold.unwashed and _within(sold.event.day, day)]
            if side is TradeSide.BUY:
                for place, event in run:
                    self._buy(place, event)
            else:
                self._sell(run)

    def _buy(self, place: int, event: Event) -> None:
        cost = Fraction(event.price) + Fraction(event.fees) / Fraction(event.quantity)
        bought = _Bought(place, event, [_Part(event.quantity, cost, event.day)])
        self.stock.setdefault((event.account, event.symbol), []).append(bought)
        if event.symbol not in self.exempt:
            self.recent.append(bought)
            for sold in self.waiting:
                self._match(sold, [bought])

    def _sell(self, batch: Iterable[tuple[int, Event]]) -> None:
        """Choose the shares of all sales of a batch, then match its losses."""
        chosen = [part for place, event in batch for part in self._choose(place, event)]
        self.sold += chosen
        for sold in sorted(
            (part for part in chosen if part.is_loss), key=lambda part: (part.place, part.bought.place, part.position)
        ):
            self._match(sold, self.recent)
            self.waiting.append(sold)

    def _choose(self, place: int, event: Event) -> list[_Sold]:
        """Take a sale's shares from what is held in its account, or from the lot it names."""
        stock = self.stock.get((event.account, event.symbol), [])
        left = event.quantity
        proceeds = Fraction(event.price) - Fraction(event.fees) / Fraction(event.quantity)
        asked = event.kind is AccountKind.TAXABLE and event.symbol not in self.exempt
        chosen: list[_Sold] = []
        for bought, position, part in self._ordered(stock, event, proceeds):
            taken = min(left, part.quantity)
            part.quantity -= taken
            left -= taken
            is_loss = asked and part.unit_cost > proceeds
            chosen.append(
                _Sold(place, event, bought, position, taken, part.unit_cost, proceeds, part.holding_from, is_loss)
            )
            if not left:
                break
        if left:
            self.missing.append((place, event, event.quantity - left))
        for bought in dict.fromkeys(sold.bought for sold in chosen):
            bought.parts = [part for part in bought.parts if part.quantity]
        stock[:] = [bought for bought in stock if bought.parts]
        return chosen

    def _ordered(
        self, stock: Sequence[_Bought], event: Event, proceeds: Fraction
    ) -> Iterable[tuple[_Bought, int, _Part]]:
        """Return the parts a sale may take, first to be taken first; ties go to the oldest."""
        parts = (
            (bought, position, part)
            for bought in stock
            if not event.lot or bought.event.lot == event.lot
            for position, part in enumerate(bought.parts)
        )
        match self.choice.method:
            case LotMethod.LIFO:
                return reversed(list(parts))
            case LotMethod.HIFO:
                return sorted(parts, key=lambda found: -found[2].unit_cost)
            case LotMethod.MIN_TAX:
                return sorted(parts, key=lambda found: self._tax_key(found[2], event, proceeds))
            case _:
                return parts

    def _tax_key(self, part: _Part, event: Event, proceeds: Fraction) -> tuple[Fraction, Fraction]:
        """Least tax on one share first, rate(term) x (proceeds - cost), then the dearest."""
        is_long = term(part.holding_from, event.day) is GainTerm.LONG
        rate = Fraction(self.choice.long_rate if is_long else self.choice.short_rate)
        taxed = rate if event.kind is AccountKind.TAXABLE else Fraction(0)
        return taxed * (proceeds - part.unit_cost), -part.unit_cost

    def _match(self, sold: _Sold, purchases: Sequence[_Bought]) -> None:
        """Let shares that replaced nothing yet replace shares sold at a loss, from the front of each purchase."""
        for bought in purchases:
            if not sold.unwashed:
                return
            if bought.purchase != sold.bought.purchase:
                bought.parts = list(self._replaced(sold, bought))

    def _replaced(self, sold: _Sold, bought: _Bought) -> Iterator[_Part]:
        wanted = sold.unwashed
        for part in bought.parts:
            quantity = ZERO if part.used else min(part.quantity, wanted)
            if quantity:
                part.quantity -= quantity
                wanted -= quantity
                yield self._replacement(sold, bought, part, quantity)
            if part.quantity:
                yield part

    def _replacement(self, sold: _Sold, bought: _Bought, part: _Part, quantity: Decimal) -> _Part:
        """Disallow the loss of `quantity` shares, and return the shares that replace them."""
        permanent = bought.event.kind is not AccountKind.TAXABLE
        days = 0 if permanent else (sold.event.day - sold.holding_from).days
        loss = Fraction(quantity) * sold.unit_loss
        self.matches.append(Match(sold.event, bought.event, quantity, loss, days, permanent))
        sold.washed += quantity
        sold.by_older |= bought.place < sold.bought.place
        sold.by_other_symbol |= bought.event.symbol != sold.event.symbol
        if permanent:
            sold.permanent += loss
            return replace(part, quantity=quantity, used=True)
        # Clamped: a chain of replacements may reach back as far as it likes, a date may not.
        holding_from = date.fromordinal(max(bought.event.day.toordinal() - days, 1))
        return _Part(quantity, _bounded(part.unit_cost + sold.unit_loss), holding_from, used=True)

    def open_lots(self) -> Iterator[OpenLot]:
        """Yield what is left, by account and symbol, in order of acquisition; alike parts of a purchase are one."""
        for stock in self.stock.values():
            held = [(bought, part) for bought in stock for part in bought.parts]
            for _, run in groupby(held, lambda pair: (pair[0].purchase, pair[0].event.day, *_cost_and_age(pair[1]))):
                alike = list(run)
                bought, part = alike[0]
                quantity = sum((part.quantity for _, part in alike), ZERO)
                unused = sum((part.quantity for _, part in alike if not part.used), ZERO)
                unused = ZERO if bought.event.symbol in self.exempt else unused
                yield OpenLot(bought.event, quantity, part.unit_cost, part.holding_from, unused)


def _within(earlier: date, later: date) -> bool:
    return (later - earlier).days <= WINDOW_DAYS


def _bounded(unit_cost: Fraction) -> Fraction:
    if unit_cost.denominator <= MOST_DENOMINATOR:
        return unit_cost
    units, rest = divmod(unit_cost.numerator * MOST_DENOMINATOR, unit_cost.denominator)
    return Fraction(units + (2 * rest >= unit_cost.denominator), MOST_DENOMINATOR)


def _cost_and_age(part: _Part) -> tuple[Fraction, date]:
    return part.unit_cost, part.holding_from


def _sale(alike: Sequence[_Sold], known_from: date | None) -> Sale:
    """Tell parts of a sale that are alike as one."""
    first = alike[0]
    quantity = sum((part.quantity for part in alike), ZERO)
    washed = sum((part.washed for part in alike), ZERO)
    return Sale(
        event=first.event,
        acquired_on=first.bought.event.day,
        holding_from=first.holding_from,
        quantity=quantity,
        proceeds=Fraction(quantity) * first.unit_proceeds,
        basis=Fraction(quantity) * first.unit_cost,
        unwashed=quantity - washed if first.is_loss else ZERO,
        disallowed=Fraction(washed) * first.unit_loss,
        permanent=sum((part.permanent for part in alike), Fraction(0)),
        state=_state(alike, known_from),
    )


def _state(alike: Sequence[_Sold], known_from: date | None) -> WashState:
    if alike[0].is_loss and known_from and (alike[0].event.day - known_from).days < WINDOW_DAYS:
        return WashState.COVERAGE_INCOMPLETE
    if any(part.by_older for part in alike):
        return WashState.UNCLEAR
    if any(part.by_other_symbol for part in alike):
        return WashState.PROBABLE
    return WashState.CONFIRMED

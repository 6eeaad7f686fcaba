"""Booking: what one fill does to lots, to cash and to the wash ledger, exactly.

    Books (a wash group: its open lots and its losses) + Entry (a fill, in the base currency) ── buy | sell ──> Booked

The rules are those of `wash.settle`, which settles a past that is told whole; here they are kept fill by fill, on the
lots themselves. A loss of a taxable account is matched, share for share, with shares of the group that were acquired at
most 30 days before or after: those that are there when it is booked, and those that come later. The run of sales of a
group on one day with no purchase between is one batch: when a later fill of it sells shares that had replaced others,
the batch is matched anew, as shares sold by its end replace nothing. Shares that replaced others are a lot of their
own. So the state after a run of fills does not depend on how it was cut into batches of booking.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal

from app.core import ids, lots, money
from app.core.books import Booked, BookLot, Books, Entry, Loss, Replacement, SoldPart, Taken
from app.core.errors import InvalidInput
from app.core.money import (
    MONEY_LIMIT,
    MONEY_PLACES,
    PRICE_LIMIT,
    PRICE_PLACES,
    QUANTITY_LIMIT,
    QUANTITY_PLACES,
    ROUNDED,
    ZERO,
    exactly,
    plain,
    quantum,
    quotient,
    round_half_even,
)
from app.core.order_values import Fill
from app.core.policy import Policy
from app.core.portfolio import AccountKind, TaxLot
from app.core.trades import TradeSide
from app.core.wash import WINDOW_DAYS

NewId = Callable[[str], str]
"""Makes a new id of the type that the prefix says."""


@exactly
def money_of(fill: Fill, rate: Decimal) -> tuple[Decimal, Decimal]:
    """Return value and fee of a fill at `rate`, base currency for one unit of the asset's; each half-even to 10 places.

    Raises InvalidInput for more than can be stored.
    """
    value = round_half_even(fill.quantity * fill.price * rate, MONEY_PLACES)
    fee = round_half_even(fill.fee * rate, MONEY_PLACES)
    total = max(value + fee, fill.quantity * fill.price + fill.fee)
    if total >= MONEY_LIMIT:
        raise InvalidInput(
            f"fill {fill.broker_fill_id} comes to {plain(total)}; that is more than can be stored", ["price"]
        )
    return value, fee


def check(fills: Sequence[Fill]) -> None:
    """Refuse fills with numbers that cannot be booked: not above 0, or more digits than can be stored."""
    for fill in fills:
        if fill.quantity <= ZERO or fill.price <= ZERO:
            raise InvalidInput(f"fill {fill.broker_fill_id} needs a quantity and a price above 0", ["quantity"])
        what = f"of fill {fill.broker_fill_id}"
        money.parse(fill.quantity, places=QUANTITY_PLACES, limit=QUANTITY_LIMIT, what=f"quantity {what}")
        money.parse(fill.price, places=PRICE_PLACES, limit=PRICE_LIMIT, what=f"price {what}")
        money.parse(fill.fee, places=MONEY_PLACES, minimum=ZERO, limit=MONEY_LIMIT, what=f"fee {what}")


@exactly
def amount_of(fill: Fill, side: TradeSide) -> Decimal:
    """Return what was paid or received for a fill, in the asset's currency; fees included, half-even to 10 places."""
    gross = fill.quantity * fill.price
    return round_half_even(gross + fill.fee if side is TradeSide.BUY else gross - fill.fee, MONEY_PLACES)


@exactly
def totals_of(fills: Sequence[Fill]) -> tuple[Decimal, Decimal, Decimal]:
    """Return units, value and fees of fills, in the asset's currency, exactly."""
    units = sum((fill.quantity for fill in fills), ZERO)
    return units, sum((fill.quantity * fill.price for fill in fills), ZERO), sum((fill.fee for fill in fills), ZERO)


@exactly
def lots_from(named: Sequence[tuple[str, Decimal]], filled: Decimal, units: Decimal) -> list[tuple[str, Decimal]]:
    """Return which of the lots named for a whole trade the next `units` take, when `filled` units are sold already."""
    wanted = []
    for lot_id, quantity in named:
        passed = min(filled, quantity)
        part = min(units, quantity - passed)
        filled, units = filled - passed, units - part
        if part:
            wanted.append((lot_id, part))
    return wanted


@exactly
def buy(books: Books, entry: Entry, key: str, new_id: NewId) -> Booked:
    """Book a purchase: it makes or grows the one lot of its order (`key`) and day; basis = value + fee, cash less that.

    Units that replace shares sold at a loss are a lot of their own: the loss is added to their basis and the days that
    the shares sold were held to their holding period; in a sheltered account neither, and the loss is lost.
    """
    work = _Work(books, new_id)
    cost = entry.value + entry.fee
    left = BookLot(TaxLot("", entry.asset_id, entry.units, cost, entry.day, entry.day), entry.account, entry.kind, key)
    for loss in list(work.losses.values()) if entry.washes else ():
        units = min(loss.units, left.lot.quantity)
        if units and _may_replace(left, loss):
            piece, left = work.cut(left, units)
            work.grow(work.replaced_by(piece, loss, units))
    if left.lot.quantity:
        work.grow(left)
    work.end_batch()
    return Booked(work.books(), -cost)


@exactly
def sell(books: Books, entry: Entry, named: Sequence[tuple[str, Decimal]], policy: Policy, new_id: NewId) -> Booked:
    """Book a sale: cash rises by value - fee, split over the lots by units, half-even to 10 places, the last the rest.

    It takes the lots that are `named`, in order, with the units of each; for what they lack, the others by the policy's
    lot method, and says so. Losses of a taxable account are matched with what may replace them.
    """
    work = _Work(books, new_id)
    anew = work.undo_batch(entry)
    received = entry.value - entry.fee
    taken, notes, short = work.take(entry, named, policy, received)
    parts = tuple(_parts(taken, received, entry, new_id))
    fresh = {part.ref: _loss(part, entry) for part in parts if part.is_loss}
    work.losses |= fresh
    for loss in list(work.losses.values()):
        if loss.ref in fresh or (anew and loss.in_batch and loss.sold_on == entry.day):
            work.match(loss)
    return Booked(work.books(), received, parts, tuple(notes), short)


def _parts(taken: Sequence[Taken], received: Decimal, entry: Entry, new_id: NewId) -> Iterator[SoldPart]:
    """Split what was received over the parts by units; units that had no lot keep their share to themselves."""
    left_units, left_money = entry.units, received
    for lot, units, basis in taken:
        proceeds = _share(left_money, units, left_units)
        left_units, left_money = left_units - units, left_money - proceeds
        is_loss = entry.washes and entry.kind is AccountKind.TAXABLE and proceeds < basis
        yield SoldPart(new_id(ids.SALE), lot, units, proceeds, basis, is_loss)


def _share(money: Decimal, units: Decimal, of_units: Decimal) -> Decimal:
    """Return the part of `money` that falls to `units`, half-even to 10 places; the last ones take all."""
    return money if units == of_units else quotient(ROUNDED.multiply(money, units), of_units, MONEY_PLACES)


def _loss(part: SoldPart, entry: Entry) -> Loss:
    days = (entry.day - part.lot.lot.holding_from).days
    return Loss(part.ref, part.lot.purchase, entry.day, days, part.units, part.basis - part.proceeds, in_batch=True)


def _may_replace(lot: BookLot, loss: Loss) -> bool:
    return lot.purchase != loss.purchase and abs((lot.lot.acquired_on - loss.sold_on).days) <= WINDOW_DAYS


class _Work:
    """The books while a fill is booked."""

    def __init__(self, books: Books, new_id: NewId) -> None:
        self.lots = list(books.lots)
        self.losses = {loss.ref: loss for loss in books.losses}
        self.replacements = list(books.replacements)
        self.new_id = new_id

    def books(self) -> Books:
        return Books(tuple(self.lots), tuple(self.losses.values()), tuple(self.replacements))

    def cut(self, lot: BookLot, units: Decimal) -> tuple[BookLot, BookLot]:
        """Cut units off the front of a lot: they are a new lot, the rest keeps its id, empty when all went."""
        basis = lots.basis_of_part(lot.lot, units)
        piece = replace(lot.lot, id=self.new_id(ids.LOT), quantity=units, basis=basis)
        rest = replace(lot.lot, quantity=lot.lot.quantity - units, basis=lot.lot.basis - basis)
        return replace(lot, lot=piece, spent=ZERO), replace(lot, lot=rest)

    def replaced_by(self, piece: BookLot, loss: Loss, units: Decimal) -> BookLot:
        """Let a lot replace units of a loss, and return it as it is then."""
        money = _share(loss.money, units, loss.units)
        self.losses[loss.ref] = replace(loss, units=loss.units - units, money=loss.money - money)
        lot, permanent = piece.lot, piece.kind is not AccountKind.TAXABLE
        self.replacements.append(Replacement(loss.ref, lot.id, units, money, permanent, lot.holding_from))
        if not permanent:
            # Clamped: a chain of replacements may reach back as far as it likes, a date may not.
            held_from = date.fromordinal(max(lot.acquired_on.toordinal() - loss.days, 1))
            lot = replace(lot, basis=lot.basis + money, holding_from=held_from)
        return replace(piece, lot=lot, replaced=True)

    def grow(self, more: BookLot) -> None:
        """Add bought units to the lot of their purchase that is like them, else as a lot of their own, in order."""
        mine = [place for place, there in enumerate(self.lots) if there.purchase == more.purchase]
        # Shares that replaced others join only those before them: which of a purchase are sold first is by their order.
        place = next((n for n in (mine[-1:] if more.replaced else mine) if _are_alike(self.lots[n], more)), None)
        if place is not None:
            self._rename(more.lot.id, self.lots[place].lot.id)
            self.lots[place] = _joined(self.lots[place], more)
            return
        if not more.lot.id:
            more = replace(more, lot=replace(more.lot, id=self.new_id(ids.LOT)))
        later = (n for n, there in enumerate(self.lots) if there.lot.acquired_on > more.lot.acquired_on)
        self.lots.insert(next(later, len(self.lots)), more)

    def _rename(self, old: str, new: str) -> None:
        self.replacements = [replace(one, lot_id=new) if one.lot_id == old else one for one in self.replacements]

    def end_batch(self) -> None:
        """A purchase ends the run of sales before it."""
        self.losses = {ref: replace(loss, in_batch=False) for ref, loss in self.losses.items()}

    def match(self, loss: Loss) -> None:
        """Let shares that replaced nothing yet replace those of a loss, in order of acquisition."""
        place = 0
        while place < len(self.lots) and self.losses[loss.ref].units:
            lot, left = self.lots[place], self.losses[loss.ref]
            units = min(left.units, lot.unused)
            if units and _may_replace(lot, left):
                if units == lot.lot.quantity:
                    self.lots[place] = self.replaced_by(lot, left, units)
                else:
                    piece, rest = self.cut(lot, units)
                    self.lots[place : place + 1] = [self.replaced_by(piece, left, units), rest]
            place += 1

    def undo_batch(self, entry: Entry) -> bool:
        """Take the replacements of the batch back if a sale may take their shares; say whether that was so."""
        home = {lot.lot.id: lot for lot in self.lots}
        batch = {loss.ref for loss in self.losses.values() if loss.in_batch and loss.sold_on == entry.day}
        made = [one for one in self.replacements if one.ref in batch and one.lot_id in home]
        touched = any(
            (home[one.lot_id].account, home[one.lot_id].lot.asset_id) == (entry.account, entry.asset_id) for one in made
        )
        for one in made if touched else ():
            self._undo(one)
        return touched

    def _undo(self, made: Replacement) -> None:
        place = next(n for n, lot in enumerate(self.lots) if lot.lot.id == made.lot_id)
        there = self.lots[place]
        if there.lot.quantity != made.units:  # somebody changed it since, by hand: what was adjusted stays
            return
        self.replacements.remove(made)
        loss = self.losses[made.ref]
        self.losses[made.ref] = replace(loss, units=loss.units + made.units, money=loss.money + made.loss)
        basis = there.lot.basis if made.permanent else there.lot.basis - made.loss
        back = replace(there, lot=replace(there.lot, basis=basis, holding_from=made.held_from), replaced=False)
        alike = next((n for n, lot in enumerate(self.lots) if n != place and _are_alike(lot, back)), None)
        if alike is None:
            self.lots[place] = back
            return
        other = self.lots[alike]
        # The id that names the purchase stays: it is the one that a plan may name.
        kept, gone = (back, other) if back.lot.id == back.key else (other, back)
        self.lots[min(place, alike)] = _joined(kept, gone)
        del self.lots[max(place, alike)]

    def take(
        self, entry: Entry, named: Sequence[tuple[str, Decimal]], policy: Policy, received: Decimal
    ) -> tuple[list[Taken], list[str], Decimal]:
        """Take the units of a sale out of the lots; return the parts, what to know, and units without a lot."""
        taken: list[Taken] = []
        missing = ZERO
        for lot_id, units in named:
            mine = [lot for lot in self._home(entry) if lot_id in (lot.lot.id, lot.key)]
            missing += self._take(sorted(mine, key=lambda lot: lot.lot.id != lot_id), units, taken)
        missing += entry.units - sum((units for _, units in named), ZERO)
        if not missing:
            return taken, [], ZERO
        unit = max(quotient(received, entry.units, PRICE_PLACES), quantum(PRICE_PLACES))
        taxable = entry.kind is AccountKind.TAXABLE
        others = sorted(
            self._home(entry),
            key=lambda lot: lots.sale_key(lot.lot, policy.lot_method, unit, policy, entry.day, taxable=taxable),
        )
        short = self._take(others, missing, taken)
        return taken, list(_notes(entry, missing, short, policy)), short

    def _home(self, entry: Entry) -> list[BookLot]:
        return [lot for lot in self.lots if (lot.account, lot.lot.asset_id) == (entry.account, entry.asset_id)]

    def _take(self, ordered: Sequence[BookLot], units: Decimal, taken: list[Taken]) -> Decimal:
        """Take units from lots in this order, and return how many they lack."""
        for lot in ordered:
            part = min(units, lot.lot.quantity)
            if not part:
                break
            place = self.lots.index(lot)
            taken.append(Taken(lot, part, lots.basis_of_part(lot.lot, part)))
            left = lots.remainder(lot.lot, part)
            self.lots[place : place + 1] = [replace(lot, lot=left, spent=min(lot.spent, left.quantity))] if left else []
            units -= part
        return units


def _are_alike(one: BookLot, other: BookLot) -> bool:
    """Say whether two lots of one purchase may be one; those that replaced something only if they cost the same."""
    told = [(it.purchase, it.replaced, it.lot.holding_from) for it in (one, other)]
    if told[0] != told[1]:
        return False
    return not one.replaced or one.lot.basis * other.lot.quantity == other.lot.basis * one.lot.quantity


def _joined(one: BookLot, more: BookLot) -> BookLot:
    lot = replace(one.lot, quantity=one.lot.quantity + more.lot.quantity, basis=one.lot.basis + more.lot.basis)
    return replace(one, lot=lot, spent=one.spent + more.spent)


def _notes(entry: Entry, missing: Decimal, short: Decimal, policy: Policy) -> Iterator[str]:
    if missing > short:
        yield (
            f"{plain(missing - short)} of {plain(entry.units)} units were taken by {policy.lot_method.value}: "
            "the lots that the plan names are gone."
        )
    if short:
        yield f"{plain(short)} of {plain(entry.units)} units had no lot to be taken from: the account held no more."

"""The books of one wash group, as booking keeps them: open lots, losses that may be replaced, what replaced them.

Books ── BookLot (an open lot, which purchase it is of)      Entry (a fill in the base currency)
   ├──── Loss (what of a sale may still be disallowed)       Booked (what it did) ── SoldPart
   └──── Replacement (units of a lot for units of a loss)
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from app.core.money import ZERO
from app.core.portfolio import AccountKind, TaxLot


class Purchase(NamedTuple):
    """What tells purchases apart: shares of one never replace others of it."""

    account: str
    asset_id: str
    key: str
    day: date


@dataclass(frozen=True, slots=True)
class BookLot:
    """An open lot, whose account it is in, and which purchase it is of: the first lot's id, or the order's.

    `replaced` says that its shares have replaced shares sold at a loss; of one that has not, `spent` units have, as
    the past tells it that was recorded apart from lots.
    """

    lot: TaxLot
    account: str
    kind: AccountKind
    key: str
    replaced: bool = False
    spent: Decimal = ZERO

    @property
    def purchase(self) -> Purchase:
        return Purchase(self.account, self.lot.asset_id, self.key, self.lot.acquired_on)

    @property
    def unused(self) -> Decimal:
        """Units that may still replace something."""
        return ZERO if self.replaced else max(ZERO, self.lot.quantity - self.spent)


@dataclass(frozen=True, slots=True)
class Loss:
    """A part of a sale that the wash rule asks about: `units` and `money` > 0 of it that nothing has replaced yet.

    `days` is how long its shares were held. `in_batch` says that the run of sales it belongs to may go on.
    """

    ref: str
    purchase: Purchase | None
    sold_on: date
    days: int
    units: Decimal
    money: Decimal
    in_batch: bool = False


@dataclass(frozen=True, slots=True)
class Replacement:
    """Units of a lot that replaced units of a loss: `loss` is disallowed, for good where `permanent`.

    Else it is in the lot's basis, and the lot's holding period begins earlier than at `held_from` by what was tacked.
    """

    ref: str
    lot_id: str
    units: Decimal
    loss: Decimal
    permanent: bool
    held_from: date


@dataclass(frozen=True, slots=True)
class Books:
    """One wash group: open lots in order of acquisition, losses in order of disposition, and their replacements.

    Of the losses those that a purchase of these days may still wash, or that are in a batch that may go on; of the
    replacements those of that batch.
    """

    lots: tuple[BookLot, ...] = ()
    losses: tuple[Loss, ...] = ()
    replacements: tuple[Replacement, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A fill as the books see it: units, value and fee in the base currency, and whether the wash rule knows it."""

    account: str
    kind: AccountKind
    asset_id: str
    day: date
    units: Decimal
    value: Decimal
    fee: Decimal
    washes: bool


class Taken(NamedTuple):
    """Units that a sale takes of a lot, and their basis."""

    lot: BookLot
    units: Decimal
    basis: Decimal


@dataclass(frozen=True, slots=True)
class SoldPart:
    """Part of a lot that a fill sold; money in the base currency, gain = proceeds - basis.

    `is_loss` says that the wash rule asks about it.
    """

    ref: str
    lot: BookLot
    units: Decimal
    proceeds: Decimal
    basis: Decimal
    is_loss: bool


@dataclass(frozen=True, slots=True)
class Booked:
    """What a fill did: the books after it, cash that came in (negative: went out), parts sold, things to know.

    `short` are units that were sold without a lot to take them from.
    """

    books: Books
    cash: Decimal
    parts: tuple[SoldPart, ...] = ()
    notes: tuple[str, ...] = ()
    short: Decimal = ZERO

"""What an import of holdings did, in sums, as the history tells it; each lot of it is among the transactions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from app.core.money import ZERO, exactly
from app.core.portfolio import TaxLot

MOST: Final = 200
"""So many assets, and currencies, are told by name: first those that changed, each by its id."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Lots, units by asset and cash by currency of the accounts that an import names."""

    lots: int
    quantity: Mapping[str, Decimal]
    cash: Mapping[str, Decimal]


@exactly
def sums_of(accounts: Iterable[tuple[Iterable[TaxLot], Mapping[str, Decimal]]]) -> Sums:
    """Add up the lots and the cash of accounts."""
    lots = 0
    quantity: dict[str, Decimal] = {}
    cash: dict[str, Decimal] = {}
    for held, amounts in accounts:
        for lot in held:
            lots += 1
            quantity[lot.asset_id] = quantity.get(lot.asset_id, ZERO) + lot.quantity
        for currency, amount in amounts.items():
            cash[currency] = cash.get(currency, ZERO) + amount
    return Sums(lots, quantity, cash)


def documents_of(names: Sequence[str], before: Sums, after: Sums) -> tuple[dict[str, object], dict[str, object]]:
    """Return what an import of these accounts found and what it left; `cut` is how many assets and currencies more."""
    assets = _most_changed(before.quantity, after.quantity)
    currencies = _most_changed(before.cash, after.cash)
    cut = {"assets": len(assets[MOST:]), "currencies": len(currencies[MOST:])}
    was, now = (
        {
            "lots": side.lots,
            "quantity": {name: side.quantity[name] for name in assets[:MOST] if name in side.quantity},
            "cash": {name: side.cash[name] for name in currencies[:MOST] if name in side.cash},
        }
        for side in (before, after)
    )
    return was, {"accounts": list(names), **now, "cut": cut}


def _most_changed(before: Mapping[str, Decimal], after: Mapping[str, Decimal]) -> list[str]:
    return sorted({*before, *after}, key=lambda name: (before.get(name) == after.get(name), name))

"""Reconciliation: what a broker says it holds against the books."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from app.core.money import ZERO


@dataclass(frozen=True, slots=True)
class Difference:
    """Units of a symbol that differ: those in the books, and those at the broker."""

    symbol: str
    ours: Decimal
    theirs: Decimal


def differences(ours: Mapping[str, Decimal], theirs: Mapping[str, Decimal]) -> tuple[Difference, ...]:
    """Return the symbols whose units differ, in their order; exact, as a missing unit is a mistake however small."""
    found = (Difference(name, ours.get(name, ZERO), theirs.get(name, ZERO)) for name in sorted({*ours, *theirs}))
    return tuple(one for one in found if one.ours != one.theirs)

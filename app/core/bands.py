"""Tolerance bands: how far a weight may drift before anybody trades, and where a trade then aims.

| kind     | half-width h, in points, at a target of t percent                     |
|----------|------------------------------------------------------------------------|
| ABSOLUTE | a                                                                      |
| RELATIVE | r % of t, at least `floor` and at most `cap` points when they are given |
| HYBRID   | min(a, r % of t): RELATIVE with a cap; 5/25 is the common case           |
| SMART    | RELATIVE 25 %, floor 1, cap 5                                            |

h is rounded half-even to 1e-6 points here, once, for everybody.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

from app.core.errors import InvalidInput
from app.core.money import HUNDRED, ONE, PERCENT_PLACES, ZERO, exactly, plain, round_half_even


class BandKind(Enum):
    """How a tolerance band is made."""

    ABSOLUTE = "ABSOLUTE"
    RELATIVE = "RELATIVE"
    HYBRID = "HYBRID"
    SMART = "SMART"


class Destination(Enum):
    """Where a rebalance aims: the share of the band that is kept."""

    TARGET = "TARGET"
    HALFWAY = "HALFWAY"
    BAND_EDGE = "BAND_EDGE"
    SHARE = "SHARE"


@dataclass(frozen=True, slots=True)
class Band:
    """A band as configured: `absolute`, `floor` and `cap` in points, `relative` in percent of the target."""

    kind: BandKind
    absolute: Decimal | None = None
    relative: Decimal | None = None
    floor: Decimal | None = None
    cap: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Width:
    """Half-widths below and above the target, in points, >= 0."""

    down: Decimal
    up: Decimal


SMART = Band(BandKind.SMART, relative=Decimal(25), floor=Decimal(1), cap=Decimal(5))
HYBRID_ABSOLUTE = Decimal(5)
HYBRID_RELATIVE = Decimal(25)


def check(band: Band) -> Band:
    """Return the band if its numbers make sense, else raise InvalidInput: all from 0 to 100, floor <= cap."""
    for name in ("absolute", "relative", "floor", "cap"):
        number = getattr(band, name)
        if number is not None and not ZERO <= number <= HUNDRED:
            raise InvalidInput(f"band {name} is {plain(number)}; it must be from 0 to 100", [name])
    if band.floor is not None and band.cap is not None and band.floor > band.cap:
        raise InvalidInput(
            f"band floor {plain(band.floor)} is above its cap {plain(band.cap)}; lower the floor or raise the cap",
            ["floor"],
        )
    return band


@exactly
def width(band: Band, target: Decimal) -> Width:
    """Return the half-widths of a band at a target in percent; formulas above, points rounded half-even to 1e-6.

    Source: Daryanani (relative 20 %), Swedroe (5/25); the floor is applied first, then the cap.
    """
    half = band.absolute if band.kind is BandKind.ABSOLUTE else _relative(band, target)
    assert half is not None, band
    rounded = round_half_even(half, PERCENT_PLACES)
    return Width(rounded, rounded)


def _relative(band: Band, target: Decimal) -> Decimal:
    assert band.relative is not None, band
    half = band.relative * target / HUNDRED
    if band.floor is not None:
        half = max(half, band.floor)
    cap = band.absolute if band.kind is BandKind.HYBRID else band.cap
    return half if cap is None else min(half, cap)


@exactly
def lower(target: Decimal, band_width: Width) -> Decimal:
    """Return the lowest weight within the band, in percent, clipped to 0."""
    return max(ZERO, target - band_width.down)


@exactly
def upper(target: Decimal, band_width: Width) -> Decimal:
    """Return the highest weight within the band, in percent, clipped to 100."""
    return min(HUNDRED, target + band_width.up)


def share_kept(destination: Destination, share: Decimal) -> Decimal:
    """Return which share of the band (0..1) a rebalance leaves: TARGET 0, HALFWAY 0.5, BAND_EDGE 1, SHARE as given."""
    fixed = {Destination.TARGET: ZERO, Destination.HALFWAY: Decimal("0.5"), Destination.BAND_EDGE: ONE}
    return fixed.get(destination, share)


@exactly
def destination(weight: Decimal, target: Decimal, band_width: Width, kept: Decimal) -> Decimal:
    """Return the weight a rebalance aims at: the nearest point of target - kept x down .. target + kept x up. Percent.

    A weight that is already there stays. Vanguard's 200/175 is a band of 2 points of which 0.875 is kept.
    """
    return min(max(weight, target - kept * band_width.down), target + kept * band_width.up)

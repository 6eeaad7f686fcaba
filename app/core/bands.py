"""Tolerance bands: how far a weight may drift before anybody trades, and where a trade then aims.

| kind       | half-width h, in points, at a target of t percent                                                 |
|------------|---------------------------------------------------------------------------------------------------|
| ABSOLUTE   | a                                                                                                 |
| RELATIVE   | r % of t, at least `floor` and at most `cap` points when they are given                           |
| HYBRID     | min(a, r % of t): RELATIVE with a cap; 5/25 is the common case                                     |
| SMART      | RELATIVE 25 %, floor 1, cap 5                                                                     |
| VOLATILITY | k x sigma x t, sigma the volatility a year; `floor` and `cap` as above                            |
| COST       | the wider of (3c/(2L) t^2 (1-t)^2)^(1/3) and (12F/L t^2 (1-t)^2)^(1/4), t, c, F and h as fractions |

c is what trading costs of the value traded, F what it costs at least as a share of the base, L the risk aversion.
The side below the target is crossed by buying, the side above by selling; they may be of different kinds, and of one
kind may still differ. Where VOLATILITY or COST gives nothing, the SMART band stands in, and the sentence says so.
h is rounded half-even to 1e-6 points here, once, for everybody.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import lru_cache
from typing import Final

from app.core.errors import InvalidInput, SteelyardError
from app.core.money import EXACT, HUNDRED, ONE, PERCENT_PLACES, ZERO, exactly, plain, root, round_half_even
from app.core.stats import LEAST_RETURNS, Volatility


class BandKind(Enum):
    """How a tolerance band is made."""

    ABSOLUTE = "ABSOLUTE"
    RELATIVE = "RELATIVE"
    HYBRID = "HYBRID"
    SMART = "SMART"
    VOLATILITY = "VOLATILITY"
    COST = "COST"


class Destination(Enum):
    """Where a rebalance aims: the share of the band that is kept."""

    TARGET = "TARGET"
    HALFWAY = "HALFWAY"
    BAND_EDGE = "BAND_EDGE"
    SHARE = "SHARE"


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a band as configured: `absolute`, `floor`, `cap` in points, `relative` in percent of the target."""

    kind: BandKind
    absolute: Decimal | None = None
    relative: Decimal | None = None
    floor: Decimal | None = None
    cap: Decimal | None = None
    factor: Decimal | None = None
    window_days: int | None = None


@dataclass(frozen=True, slots=True)
class Band(Side):
    """A band as configured: the side below the target, and `above` where the other side is not the same."""

    above: Side | None = None

    @property
    def sides(self) -> tuple[Side, Side]:
        """The sides below and above the target."""
        return self, self.above or self


@dataclass(frozen=True, slots=True)
class Width:
    """Half-widths below and above the target, in points, >= 0."""

    down: Decimal
    up: Decimal


@dataclass(frozen=True, slots=True)
class SideCosts:
    """What crossing one side costs: `rate` of the value traded, `fixed` as a share of the base; both fractions >= 0."""

    rate: Decimal = ZERO
    fixed: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a band needs to know beside the target: volatility by window, costs of each side, risk aversion.

    `absent` says why there is nothing to know, where nothing could be: more history would not help there.
    """

    volatility: Mapping[int, Volatility] = field(default_factory=dict)
    buying: SideCosts = SideCosts()
    selling: SideCosts = SideCosts()
    aversion: Decimal = Decimal(5)
    absent: str | None = None


@dataclass(frozen=True, slots=True)
class Worked:
    """A band as it works out at a target: half-widths, one sentence why, and the volatility of each side that uses one.

    `volatility_above` is given only where the side above uses another window than the side below.
    """

    width: Width
    why: str
    volatility: Volatility | None = None
    volatility_above: Volatility | None = None


NOTHING: Final = Evidence()
SMART: Final = Band(BandKind.SMART, relative=Decimal(25), floor=Decimal(1), cap=Decimal(5))
HYBRID_ABSOLUTE: Final = Decimal(5)
HYBRID_RELATIVE: Final = Decimal(25)
FACTOR: Final = Decimal("1.5")
LEAST_FACTOR: Final = Decimal("0.01")
MOST_FACTOR: Final = Decimal(100)
WINDOW_DAYS: Final = 365
LEAST_WINDOW_DAYS: Final = 30  # fewer days rarely have the returns that a volatility needs
MOST_WINDOW_DAYS: Final = 3650
_NUMBERS: Final = ("absolute", "relative", "floor", "cap", "factor", "window_days")
REMEMBERED: Final = 10_000  # bands at targets, a few hundred bytes each
EVIDENT: Final = frozenset({BandKind.VOLATILITY, BandKind.COST})  # kinds that rest on more than the target


def below(band: Band) -> Side:
    """Return the side below the target as a side of its own."""
    return Side(band.kind, **{name: getattr(band, name) for name in _NUMBERS})


def two_sided(side: Side, above: Side | None = None) -> Band:
    """Return the band of a side below the target and, where it is not the same, another above it."""
    numbers = {name: getattr(side, name) for name in _NUMBERS}
    return Band(side.kind, **numbers, above=None if above == side else above)


def check(band: Band) -> Band:
    """Return the band if the points and percents of both sides are from 0 to 100 and floor <= cap.

    Else raise InvalidInput with the field. Factor and window have their own checks, as their fields have other names.
    """
    bought, sold = band.sides
    _check_side(bought)
    try:
        _check_side(sold)
    except SteelyardError as error:
        raise error.under("above") from None
    return band


def _check_side(side: Side) -> None:
    for name in ("absolute", "relative", "floor", "cap"):
        number = getattr(side, name)
        if number is not None and not ZERO <= number <= HUNDRED:
            raise InvalidInput(f"band {name} is {plain(number)}; it must be from 0 to 100", [name])
    if side.floor is not None and side.cap is not None and side.floor > side.cap:
        raise InvalidInput(
            f"band floor {plain(side.floor)} is above its cap {plain(side.cap)}; lower the floor or raise the cap",
            ["floor"],
        )


def check_factor(factor: Decimal) -> Decimal:
    """Return the factor of a volatility band if it is from 0.01 to 100, else raise InvalidInput."""
    if not LEAST_FACTOR <= factor <= MOST_FACTOR:
        limits = f"from {plain(LEAST_FACTOR)} to {plain(MOST_FACTOR)}"
        raise InvalidInput(f"band factor is {plain(factor)}; it must be {limits}")
    return factor


def check_window(days: int) -> int:
    """Return the window of a volatility band if it is from 30 to 3650 days, else raise InvalidInput."""
    if not LEAST_WINDOW_DAYS <= days <= MOST_WINDOW_DAYS:
        limits = f"from {LEAST_WINDOW_DAYS} to {MOST_WINDOW_DAYS}"
        raise InvalidInput(f"band window is {days} days; it must be {limits}")
    return days


def needs_evidence(band: Band) -> bool:
    """Say whether a band rests on more than its target."""
    return any(side.kind in EVIDENT for side in band.sides)


def windows_of(band: Band) -> set[int]:
    """Return the windows, in days, of which a band needs the volatility."""
    return {side.window_days for side in band.sides if side.kind is BandKind.VOLATILITY and side.window_days}


def work_out(band: Band, target: Decimal, evidence: Evidence = NOTHING) -> Worked:
    """Return the half-widths of a band at a target in percent, and why; formulas above, half-even to 1e-6 points.

    The floor is applied first, then the cap. Source: Daryanani (relative 20 %), Swedroe (5/25), the `rebalance` package
    (volatility), Davis and Norman (cost: the no-trade region of proportional costs while they are small; that of fixed
    costs goes with the fourth root instead of the third).
    """
    return _without_evidence(band, target) if evidence is NOTHING else _work_out(band, target, evidence)


@lru_cache(maxsize=REMEMBERED)
def _without_evidence(band: Band, target: Decimal) -> Worked:
    # Every sleeve of every portfolio asks in every scan, and most ask the same.
    return _work_out(band, target, NOTHING)


@exactly
def _work_out(band: Band, target: Decimal, evidence: Evidence) -> Worked:
    bought, sold = band.sides
    down, why = _half(bought, target, evidence, evidence.buying)
    up, why_up = _half(sold, target, evidence, evidence.selling)
    if why != why_up:
        why = f"Below: {why} Above: {why_up}"
    first, second = (evidence.volatility.get(side.window_days or 0) for side in band.sides)
    return Worked(Width(down, up), why, first, second if second != first else None)


def _half(side: Side, target: Decimal, evidence: Evidence, costs: SideCosts) -> tuple[Decimal, str]:
    """Return the half-width of one side and a sentence why."""
    if side.kind is BandKind.ABSOLUTE:
        assert side.absolute is not None, side
        return round_half_even(side.absolute, PERCENT_PLACES), f"{plain(side.absolute)} points, whatever the target."
    if side.kind in EVIDENT:
        found = _evident(side, target, evidence, costs)
        if isinstance(found, str):
            half, why = _half(SMART, target, evidence, costs)
            return half, f"{found}, so the SMART band stands in: {why}"
        return _bounded(side, *found)
    assert side.relative is not None, side
    cause = f"{plain(side.relative)} % of the target {plain(target)}"
    cap = side.absolute if side.kind is BandKind.HYBRID else side.cap
    return _bounded(replace(side, cap=cap), side.relative * target / HUNDRED, cause)


def _bounded(side: Side, half: Decimal, cause: str) -> tuple[Decimal, str]:
    floor, cap = side.floor, side.cap
    found = f"{cause} is {plain(round_half_even(half, PERCENT_PLACES))} points"
    if cap is not None and max(half, floor or ZERO) > cap:
        half, bound = cap, f", above the cap of {plain(cap)}, which counts"
    elif floor is not None and half < floor:
        half, bound = floor, f", below the floor of {plain(floor)}, which counts"
    elif floor is not None and cap is not None:
        bound = f", between the floor of {plain(floor)} and the cap of {plain(cap)}"
    elif floor is not None:
        bound = f", not below the floor of {plain(floor)}"
    else:
        bound = "" if cap is None else f", not above the cap of {plain(cap)}"
    return round_half_even(half, PERCENT_PLACES), f"{found}{bound}."


def _evident(side: Side, target: Decimal, evidence: Evidence, costs: SideCosts) -> tuple[Decimal, str] | str:
    """Return the half-width and what it comes from, or why there is none."""
    if not ZERO < target < HUNDRED:
        return f"A {side.kind.value} band says nothing of a target of {plain(target)}"
    if evidence.absent:
        return evidence.absent
    if side.kind is BandKind.COST:
        return _by_cost(target, costs, evidence.aversion)
    assert side.factor is not None, side
    known = evidence.volatility.get(side.window_days or 0)
    if known is None or known.returns < LEAST_RETURNS:
        count = known.returns if known else 0
        return f"A volatility needs {LEAST_RETURNS} daily returns and {side.window_days} days have {count}"
    if not known.percent:
        return f"Nothing moved in {known.returns} daily returns"
    cause = (
        f"{plain(side.factor)} times the volatility of {plain(known.percent)} % a year ({known.returns} daily returns "
        f"in {side.window_days} days) times the target {plain(target)}"
    )
    return side.factor * known.percent * target / HUNDRED, cause


def _by_cost(target: Decimal, costs: SideCosts, aversion: Decimal) -> tuple[Decimal, str] | str:
    if not costs.rate and not costs.fixed:
        return "No costs of trading are known"
    share = Fraction(target) / 100
    spread = (share * (1 - share)) ** 2 / Fraction(aversion)
    # Roots of fractions, in points: 6 decimals of points are 8 of the fraction.
    by_rate = root(Fraction(3, 2) * Fraction(costs.rate) * spread, 3, PERCENT_PLACES + 2)
    by_fixed = root(12 * Fraction(costs.fixed) * spread, 4, PERCENT_PLACES + 2)
    half = min(max(by_rate, by_fixed).scaleb(2, EXACT), HUNDRED)
    if by_rate >= by_fixed:
        cause = f"A cost of {_short(costs.rate)} % of what is traded"
    else:
        cause = f"A fixed cost of {_short(costs.fixed)} % of the base"
    return half, f"{cause}, at a risk aversion of {plain(aversion)} and the target {plain(target)},"


def _short(fraction: Decimal) -> str:
    return plain(round_half_even(fraction * HUNDRED, 4))


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

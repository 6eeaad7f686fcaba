"""What trading costs: fees by a schedule, half the spread, and how the order itself moves the price.

    Costs ── Tier (a line of the fee schedule)      TradeCosts = fee + spread + impact
      └── Impact (what the order moves)

A schedule serves both tables that brokers publish. Brackets: each line says from which notional on it holds. Classes
that a customer may choose from: several lines hold from the same notional on, and the cheapest counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from typing import Final

from app.core.errors import InvalidInput, LimitExceeded
from app.core.money import EXACT, MONEY_PLACES, ONE, ROUNDED, ZERO, exactly, plain, round_down, round_half_even

MAX_TIERS: Final = 20  # lines of one schedule; published ones have up to ten


@dataclass(frozen=True, slots=True)
class Tier:
    """One line of a fee schedule, for orders worth more than `above`; money, and `rate` a fraction of the notional."""

    above: Decimal = ZERO
    fixed: Decimal = ZERO
    rate: Decimal = ZERO
    minimum: Decimal = ZERO
    cap: Decimal | None = None

    def fee(self, notional: Decimal) -> Decimal:
        """Return max(minimum, min(cap, fixed + rate x notional)), exact in the caller's context."""
        charged = self.fixed + self.rate * notional
        return max(self.minimum, charged if self.cap is None else min(self.cap, charged))


@dataclass(frozen=True, slots=True)
class Impact:
    """How an order moves its price: `scale` = Y x daily volatility, a fraction; `depth` > 0, money traded in a day."""

    scale: Decimal
    depth: Decimal


@dataclass(frozen=True, slots=True)
class Liquidity:
    """How an asset trades in a day: units, volatility as a fraction, and the factor Y of the square-root law."""

    daily_volume: Decimal
    daily_volatility: Decimal
    factor: Decimal = ONE


@dataclass(frozen=True, slots=True)
class Costs:
    """What orders in an asset cost: money, rates and half spread as fractions of the notional. Nothing given is free.

    The schedule is the line `fixed`, `rate`, `minimum`, `cap`, which holds from 0 on, and `tiers` after it.
    `conversion` is the fee for changing currency and `impact` what the order moves: both are worked out for one
    account, by `brokers.costs_of`.
    """

    fixed: Decimal = ZERO
    rate: Decimal = ZERO
    minimum: Decimal = ZERO
    half_spread: Decimal = ZERO
    cap: Decimal | None = None
    tiers: tuple[Tier, ...] = ()
    conversion: Decimal = ZERO
    impact: Impact | None = None

    @property
    def schedule(self) -> tuple[Tier, ...]:
        """All lines of the fee schedule, those that hold from the smallest orders on first."""
        return Tier(ZERO, self.fixed, self.rate, self.minimum, self.cap), *self.tiers


FREE: Final = Costs()


@dataclass(frozen=True, slots=True)
class TradeCosts:
    """Cost of one trade by kind, money, never negative."""

    fee: Decimal = ZERO
    spread: Decimal = ZERO
    impact: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        return EXACT.add(EXACT.add(self.fee, self.spread), self.impact)


def check_schedule(schedule: Sequence[Tier]) -> None:
    """Refuse a schedule that cannot be meant; the path is that of a first line whose `tiers` are the others.

    Raises LimitExceeded for more lines than MAX_TIERS, InvalidInput for a cap below the minimum, and for a line that
    begins below the one before it.
    """
    if len(schedule) > MAX_TIERS:
        raise LimitExceeded(f"there are {len(schedule)} lines of fees; at most {MAX_TIERS} are allowed", ["tiers"])
    for place, line in enumerate(schedule):
        path: list[str | int] = ["tiers", place - 1] if place else []
        if line.cap is not None and line.cap < line.minimum:
            raise InvalidInput(
                f"cap {plain(line.cap)} is below the minimum {plain(line.minimum)}; give a higher cap or leave it out",
                [*path, "cap"],
            )
        if place and line.above < schedule[place - 1].above:
            raise InvalidInput(
                f"above {plain(line.above)} comes after {plain(schedule[place - 1].above)}; "
                "put the lines in ascending order",
                [*path, "above"],
            )


def lines_at(schedule: Sequence[Tier], notional: Decimal) -> list[Tier]:
    """Return the lines that hold for an order of `notional` > 0: those with the greatest `above` below it."""
    reached = [line for line in schedule if line.above < notional]
    return [line for line in reached if line.above == reached[-1].above]


@exactly
def cost_of(costs: Costs, notional: Decimal) -> TradeCosts:
    """Return what trading `notional` (money >= 0) costs.

    fee = the cheapest of max(minimum, min(cap, fixed + rate x notional)) over the lines that hold for it
    + conversion x notional, spread = half_spread x notional: exact, not rounded.
    impact = Y x sigma x sqrt(notional / depth) x notional, worked to 100 digits and rounded half-even to 10 decimals
    (the square-root law; for example Tóth et al. 2011). Nothing traded costs nothing.
    """
    if not notional:
        return TradeCosts()
    fee = min(line.fee(notional) for line in lines_at(costs.schedule, notional)) + costs.conversion * notional
    return TradeCosts(fee, costs.half_spread * notional, impact_of(costs.impact, notional))


def impact_of(impact: Impact | None, notional: Decimal) -> Decimal:
    """Return what an order of `notional` >= 0 moves its price by, money, as `cost_of` says; 0 where it is not known."""
    if impact is None or not notional:
        return ZERO
    share = ROUNDED.multiply(impact.scale, ROUNDED.sqrt(ROUNDED.divide(notional, impact.depth)))
    return round_half_even(ROUNDED.multiply(share, notional), MONEY_PLACES)


@exactly
def affordable(costs: Costs, cash: Decimal) -> Decimal:
    """Return the largest notional whose value and costs fit into `cash` (money), rounded down to 10 decimals.

    Of the lines that hold from the same notional on, each branch of the fee (minimum, cap, rate) leaves room for a
    largest notional; the fee takes the larger branch of two by max and the smaller by min, so the room does the
    opposite. Larger brackets are tried first. Impact takes from that room: found by bisection, as all costs within a
    bracket grow with the order. 0 when not even the fee fits.
    """
    lines, end = list(costs.schedule), None
    while lines:
        start = lines[-1].above
        held = [line for line in lines if line.above == start]
        room = max(_room(costs, line, cash) for line in held)
        room = round_down(room if end is None else min(room, end), MONEY_PLACES)
        if room > start and costs.impact:
            room = _after_impact(costs, start, room, cash)
        if room > start:
            return room
        lines, end = lines[: -len(held)], start
    return ZERO


def _room(costs: Costs, line: Tier, cash: Decimal) -> Decimal:
    """Return the largest notional that fits into `cash` at one line of the schedule, rounded down to 10 decimals."""
    share = ONE + costs.half_spread + costs.conversion

    def left(fixed: Decimal, rate: Decimal) -> Decimal:
        return ROUNDED.divide(cash - fixed, share + rate)

    room = left(line.fixed, line.rate)
    room = min(left(line.minimum, ZERO), room if line.cap is None else max(left(line.cap, ZERO), room))
    return round_down(room, MONEY_PLACES)


def _after_impact(costs: Costs, start: Decimal, room: Decimal, cash: Decimal) -> Decimal:
    """Return the largest notional above `start`, at most `room`, that still fits with impact; `start` if none does."""
    low = int(start.scaleb(MONEY_PLACES).to_integral_value(ROUND_FLOOR))
    high = int(room.scaleb(MONEY_PLACES)) + 1
    while high - low > 1:
        middle = (low + high) // 2
        notional = Decimal(middle).scaleb(-MONEY_PLACES)
        if notional <= start or notional + cost_of(costs, notional).total <= cash:
            low = middle
        else:
            high = middle
    return Decimal(low).scaleb(-MONEY_PLACES)

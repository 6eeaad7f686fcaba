"""Costs in pieces: as lines over the value of an order, as the optimiser takes them.

Fees and spread are such lines already. Impact is not: it is cut at a largest order L and at L/2, L/4, ... and replaced
by chords between the cuts. A chord of a convex function lies above it, so costs are never taken for less than they
are. Within a factor of 2 the chord of b^1.5 is at most 4.56 % above it (at 1.359 times the lower cut). The cuts end
where impact is below 1 bp of the order, and the last chord goes to 0. So impact is overstated by at most 4.56 % of
itself or 1 bp of the order, whichever is more; where it is below 1 bp for the largest order, there is one chord only.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import combinations, pairwise
from typing import Final

from app.core.costs import Costs, Impact, Tier, cost_of, impact_of, lines_at
from app.core.money import MONEY_PLACES, ROUNDED, ZERO, exactly, quantum, quotient, round_up

SLIGHT_IMPACT: Final = Decimal("0.0001")
MOST_CUTS: Final = 16  # from 1 bp up to an impact of 2.56 % for the largest order
LATE: Final = Decimal("0.000001")
"""From how much above its bracket a cheaper line is counted on, money: a rounded order never pays for less early."""
RATE_PLACES: Final = 18
REMEMBERED: Final = 256  # schedules, each at a largest order: a broker's is that of all assets of a class
HALF: Final = Decimal("0.5")


@dataclass(frozen=True, slots=True)
class Piece:
    """Cost of an order worth more than `low` and at most `high`, money: fixed + rate x value.

    `fixed` may be negative above the first piece, where impact makes what is added dearer; the cost never is.
    """

    low: Decimal
    high: Decimal
    fixed: Decimal
    rate: Decimal


@exactly
def tariffs(costs: Costs, largest: Decimal) -> tuple[Piece, ...]:
    """Return what orders up to `largest` (money) cost in all, in pieces that follow each other from 0.

    Equal neighbours are one piece, so most costs are a single one. Where two lines of a fee cross is rounded half-even
    to 10 decimals. `largest` is at least the smallest amount of money.
    """
    fees = _fees(costs.schedule, max(largest, quantum(MONEY_PLACES)))
    share = costs.half_spread + costs.conversion
    found = []
    for chord in _chords(costs.impact, fees[-1].high):
        for fee in fees:
            low, high = max(fee.low, chord.low), min(fee.high, chord.high)
            if low < high:
                found.append(Piece(low, high, fee.fixed + chord.fixed, fee.rate + chord.rate + share))
    return _merged(found)


@exactly
def worthwhile(costs: Costs, limit: Decimal, largest: Decimal) -> Decimal | None:
    """Return the least order of at most `largest` (money) whose fee is at most `limit` (a fraction) of its value.

    fee <= limit x value, conversion included; rounded up to 10 decimals. None when there is none.
    """
    for piece in _fees(costs.schedule, max(largest, quantum(MONEY_PLACES))):
        spare = limit - piece.rate - costs.conversion
        if spare < ZERO or (not spare and piece.fixed > ZERO):
            continue
        least = round_up(ROUNDED.divide(piece.fixed, spare), MONEY_PLACES) if spare else ZERO
        if max(piece.low, least) <= piece.high:
            return max(piece.low, least)
    return None


@lru_cache(maxsize=REMEMBERED)
def _fees(schedule: tuple[Tier, ...], largest: Decimal) -> tuple[Piece, ...]:
    """Return the fees of a schedule alone: bracket by bracket, a cheaper one from a little later on."""
    edges = sorted({line.above for line in schedule if ZERO < line.above < largest})
    found: list[Piece] = []
    low = ZERO
    for start, end in pairwise([ZERO, *edges, largest]):
        lines = lines_at(schedule, end)
        high = end
        if end < largest and _fee(lines_at(schedule, end + LATE), end) < _fee(lines, end):
            high = min(end + LATE, largest)
        if max(low, start) < high:
            found += _bracket(lines, max(low, start), high)
            low = high
    return _merged(found)


def _fee(lines: list[Tier], notional: Decimal) -> Decimal:
    return min(line.fee(notional) for line in lines)


def _bracket(lines: list[Tier], low: Decimal, high: Decimal) -> Iterator[Piece]:
    """Yield the cheapest of lines between `low` and `high`, cut wherever two branches of their fees cross."""
    branches = {branch for line in lines for branch in _branches(line)}
    crossings = {
        quotient(other[0] - one[0], one[1] - other[1], MONEY_PLACES)
        for one, other in combinations(sorted(branches), 2)
        if one[1] != other[1]
    }
    for start, end in pairwise([low, *sorted(cut for cut in crossings if low < cut < high), high]):
        middle = (start + end) * HALF
        yield Piece(start, end, *min((_branch_at(line, middle) for line in lines), key=lambda one: _at(one, middle)))


def _branches(line: Tier) -> list[tuple[Decimal, Decimal]]:
    """Return the lines that the fee of a tier follows, each as fixed and rate."""
    flat = [line.minimum] if line.cap is None else [line.minimum, line.cap]
    return [(line.fixed, line.rate), *((amount, ZERO) for amount in flat)]


def _branch_at(line: Tier, notional: Decimal) -> tuple[Decimal, Decimal]:
    return min(_branches(line), key=lambda branch: abs(_at(branch, notional) - line.fee(notional)))


def _at(branch: tuple[Decimal, Decimal], notional: Decimal) -> Decimal:
    return branch[0] + branch[1] * notional


def _chords(impact: Impact | None, largest: Decimal) -> list[Piece]:
    """Return chords of the impact from 0 to `largest`; slopes rounded up to 18 decimals, so that none falls short."""
    cuts = [largest]
    while impact and impact_of(impact, cuts[-1]) > SLIGHT_IMPACT * cuts[-1] and len(cuts) <= MOST_CUTS:
        cuts.append(round_up(cuts[-1] * HALF, MONEY_PLACES))
    chords = []
    for low, high in pairwise([ZERO, *reversed(cuts)]):
        below = impact_of(impact, low)
        slope = round_up(ROUNDED.divide(impact_of(impact, high) - below, high - low), RATE_PLACES)
        chords.append(Piece(low, high, below - slope * low, slope))
    return chords


def _merged(pieces: list[Piece]) -> tuple[Piece, ...]:
    merged: list[Piece] = []
    for piece in pieces:
        if merged and (merged[-1].fixed, merged[-1].rate) == (piece.fixed, piece.rate):
            piece = Piece(merged.pop().low, piece.high, piece.fixed, piece.rate)
        merged.append(piece)
    return tuple(merged)


def outline(costs: Costs, notional: Decimal) -> tuple[Decimal, Decimal]:
    """Return costs as bands take them, for orders of about `notional` > 0: what an order costs at least, and its share.

    Of the line that is cheapest there: max(fixed, minimum), and rate + half spread + conversion + impact / notional
    (half-even to 18 decimals). A line at its cap costs that and has no rate.
    """
    line = min(lines_at(costs.schedule, notional), key=lambda one: one.fee(notional))
    capped = line.cap is not None and line.fixed + line.rate * notional >= line.cap
    least, rate = (line.cap or ZERO, ZERO) if capped else (max(line.fixed, line.minimum), line.rate)
    impact = quotient(cost_of(costs, notional).impact, notional, RATE_PLACES)
    return least, rate + costs.half_spread + costs.conversion + impact

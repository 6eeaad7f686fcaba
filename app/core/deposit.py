"""Deposits: the least money with which buying alone, and no sale, brings a portfolio back.

Size after the flow: S = base + deployable cash + C. A deposit C will do iff, for every sleeve i worth V_i with lowest
and highest weights l_i and u_i,

    V_i <= u_i S for all i          what is too much becomes small enough
    sum of max(V_i, l_i S) <= S     and there is enough to lift what is too little

Where CASH is a sleeve, deployable cash is a part of the base already, S = base + C, and V of the sleeve is only the
cash that buying cannot spend: that in other currencies. Both hold for every S above the least one, as the l_i sum to
at most 1; the second is piecewise linear, so the least S is exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final

from app.core.drift import Entry, Report
from app.core.money import HUNDRED, ZERO, exactly, round_up_fraction
from app.core.optimize.allocate import water_fill
from app.core.targets import CASH

DEPOSIT_PLACES: Final = 8


@dataclass(frozen=True, slots=True)
class Deposit:
    """Money to pay in, rounded up to 8 decimals, and what to buy by sleeve, exact; both in the base currency.

    The buys sum to the amount and the cash that was deployable. Where CASH is a sleeve, they sum to the amount less
    what the sleeve is to gain, and more than it where the sleeve may shrink.
    """

    amount: Decimal
    buys: tuple[tuple[str, Decimal], ...]


@dataclass(frozen=True, slots=True)
class _Span:
    """A sleeve: worth now and what of it stays whatever is bought; lowest, wanted and highest weight in percent."""

    key: str
    worth: Decimal
    kept: Decimal
    low: Decimal
    target: Decimal
    high: Decimal
    is_cash: bool


def to_band(report: Report) -> Deposit | None:
    """Return the smallest deposit that brings every sleeve within its band, as the bands are now, by buying alone.

    Buys go to the lower edges first and then to the sleeves furthest below target. Money; None without figures, while
    a price is stale, and when no deposit can do it: a holding that may have no weight at all. Source: the module's.
    """
    return _deposit(report, [(entry, entry.lower, entry.upper) for entry in report.entries])


def to_target(report: Report) -> Deposit | None:
    """Return the smallest deposit that brings every sleeve to its target by buying alone, rounding up apart.

    It is max of V_i / t_i less what there is. Money; None as for `to_band`, and with anything held at a target of 0.
    """
    return _deposit(report, [(entry, entry.target, entry.target) for entry in report.entries])


def _span(entry: Entry, low: Decimal, high: Decimal, deployable: Decimal) -> _Span:
    is_cash = entry.targeted and entry.key == CASH
    kept = entry.value - deployable if is_cash else entry.value
    return _Span(entry.key, entry.value, kept, low, entry.target, high, is_cash)


@exactly
def _deposit(report: Report, edges: Sequence[tuple[Entry, Decimal, Decimal]]) -> Deposit | None:
    if report.stale or report.base is None or report.deployable is None:
        return None
    spans = [_span(entry, low, high, report.deployable) for entry, low, high in edges]
    size = _least_size(spans)
    if size is None:
        return None
    within = any(span.is_cash for span in spans)
    there = report.base if within else report.base + report.deployable
    amount = round_up_fraction(max(Fraction(0), size - Fraction(there)), DEPOSIT_PLACES)
    return Deposit(amount, _buys(spans, there + amount))


def _least_size(spans: Sequence[_Span]) -> Fraction | None:
    """Return the least S for which both conditions hold, None when there is none."""
    least = _least_lifting(spans)
    for span in spans:
        if not span.kept:
            continue
        if not span.high or least is None:
            return None
        least = max(least, Fraction(span.kept) * 100 / Fraction(span.high))
    return least


def _least_lifting(spans: Sequence[_Span]) -> Fraction | None:
    """Return the least S with sum of max(V_i, l_i S) <= S: the root of the first line that is reached.

    Sleeves are lifted in the order of V_i / l_i. With the first k of them lifted, S (1 - sum of their l) = sum of the
    other V; that S counts when it is not beyond where the next sleeve would be lifted too.
    """
    kept = sum((Fraction(span.kept) for span in spans), Fraction(0))
    free = Fraction(1)
    lifted = sorted(
        ((Fraction(span.kept) * 100 / Fraction(span.low), span) for span in spans if span.low), key=lambda one: one[0]
    )
    for begins, span in lifted:
        if free > 0 and kept <= begins * free:
            return kept / free
        kept -= Fraction(span.kept)
        free -= Fraction(span.low) / 100
    if free > 0:
        return kept / free
    return None if kept else lifted[-1][0]


def _buys(spans: Sequence[_Span], size: Decimal) -> tuple[tuple[str, Decimal], ...]:
    """Return what to buy so that the sleeves are worth `size` together: lower edges first, then towards targets."""
    edges = [max(span.kept, span.low * size / HUNDRED) for span in spans]
    rest = size - sum(edges, ZERO)
    gaps = [span.target * size / HUNDRED - edge for span, edge in zip(spans, edges, strict=True)]
    filled = water_fill(gaps, rest)
    # Levels are cut at 20 decimals: what that leaves goes to the largest share, so that the sum is exact.
    crumb = rest - sum(filled, ZERO)
    if crumb:
        filled[max(range(len(filled)), key=lambda place: (filled[place], gaps[place]))] += crumb
    bought = [edge + more - span.worth for span, edge, more in zip(spans, edges, filled, strict=True)]
    return tuple(
        (span.key, amount) for span, amount in zip(spans, bought, strict=True) if amount > ZERO and not span.is_cash
    )

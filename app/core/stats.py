"""Statistics of closing prices: volatility and tracking error. Floats inside; what goes out is rounded to 1e-6 %.

A close is the last price of a UTC day that is over. Returns are simple, from one close to the next there is, so that
a weekend is one return; what makes them a year is the time they span, not how many there are:

    variance a year = sum of (r - mean)^2 x n / (n - 1) / years,   years = days from first to last close / 365.25
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Final

import numpy as np

from app.core.money import PERCENT_PLACES, round_half_even

LEAST_RETURNS: Final = 20
TRACKING_WINDOW_DAYS: Final = 365
DAYS_OF_YEAR: Final = 365.25


@dataclass(frozen=True, slots=True)
class Closes:
    """Closing prices of one asset, in its currency: one a UTC day, oldest first. Statistics only, hence floats."""

    days: tuple[date, ...] = ()
    prices: tuple[float, ...] = ()

    def since(self, day: date) -> "Closes":
        """Return the closes of this day and later."""
        first = next((place for place, one in enumerate(self.days) if one >= day), len(self.days))
        return Closes(self.days[first:], self.prices[first:]) if first else self

    def written(self) -> str:
        """Write every close exactly, for digests."""
        closes = zip(self.days, self.prices, strict=True)
        return ",".join(f"{day.isoformat()}={price.hex()}" for day, price in closes)


@dataclass(frozen=True, slots=True)
class Volatility:
    """Standard deviation of returns, percent a year; None with fewer than 20 `returns` in the window."""

    percent: Decimal | None
    returns: int
    window_days: int


def compounded(closes: Closes, *legs: tuple[Closes, bool]) -> Closes:
    """Return closes in another currency: each times the rate's close of that day, or divided by an inverse rate's.

    Common days only. `legs` are closes of rates, each with whether it is to be divided by.
    """
    if not legs:
        return closes
    days, columns = _aligned([closes, *(leg for leg, _ in legs)])
    prices = list(columns[0])
    for column, (_, inverse) in zip(columns[1:], legs, strict=True):
        prices = [p / rate if inverse else p * rate for p, rate in zip(prices, column, strict=True)]
    return Closes(days, tuple(prices))


def volatility(mix: Sequence[tuple[Closes, Decimal]], window_days: int) -> Volatility:
    """Return the volatility of a mix of closes, each with its weight: percent a year, half-even to 1e-6.

    r = sum of w_i r_i / sum of w_i over common days; variance as above; sigma = sqrt(variance). Sums are math.fsum, so
    the same closes give the same digits anywhere. Source: the textbook's sample variance, scaled by time.
    """
    days, columns = _aligned([closes for closes, _ in mix])
    count = max(0, len(days) - 1)
    if count < LEAST_RETURNS:
        return Volatility(None, count, window_days)
    total = math.fsum(float(weight) for _, weight in mix)
    weights = [float(weight) / total for _, weight in mix]
    each = [[later / earlier - 1 for earlier, later in pairwise(column)] for column in columns]
    returns = [
        math.fsum(weight * one for weight, one in zip(weights, row, strict=True)) for row in zip(*each, strict=True)
    ]
    mean = math.fsum(returns) / count
    variance = math.fsum((one - mean) ** 2 for one in returns) * count / (count - 1) / _years(days)
    return Volatility(_percent(math.sqrt(variance)), count, window_days)


def tracking_error(closes: Sequence[Closes], active: Sequence[Decimal]) -> Decimal | None:
    """Return sqrt(d' S d), percent a year, half-even to 1e-6: how far returns may be from those of the targets.

    `active` are weights less target weights, in percent of the base, by asset; n returns over common days, None with
    fewer than 20. S is the sample covariance C (of returns about their mean, 1/n) shrunk towards m I, as Ledoit and
    Wolf do in "A well-conditioned estimator for large-dimensional covariance matrices" (2004), then put on a year:

        m = tr C / p    d2 = |C - m I|^2    b2 = min(d2, sum of |x_k x_k' - C|^2 / n^2)    |.| is Frobenius
        S = (b2/d2 m I + (1 - b2/d2) C) x n / (n - 1) x n / years
    """
    days, columns = _aligned(closes)
    count = max(0, len(days) - 1)
    if count < LEAST_RETURNS:
        return None
    prices = np.array(columns).T
    returns = prices[1:] / prices[:-1] - 1
    centred = returns - returns.mean(axis=0)
    drift = np.array([float(weight) for weight in active])
    covariance = centred.T @ centred / count
    size = float((covariance**2).sum())
    mean_variance = float(np.trace(covariance)) / len(columns)
    distance = size - mean_variance**2 * len(columns)
    # sum of |x_k x_k' - C|^2 = sum of |x_k|^4 - n |C|^2
    scatter = (float(((centred**2).sum(axis=1) ** 2).sum()) / count - size) / count
    share = min(1.0, max(0.0, scatter) / distance) if distance > 0 else 1.0
    variance = share * mean_variance * float(drift @ drift) + (1 - share) * float(drift @ covariance @ drift)
    a_year = variance * count / (count - 1) * count / _years(days)
    return _quantised(math.sqrt(max(0.0, a_year)))


def _aligned(closes: Sequence[Closes]) -> tuple[tuple[date, ...], list[tuple[float, ...]]]:
    """Return the days that all have, and the prices of each on them."""
    if not closes:
        return (), []
    days = closes[0].days
    if all(one.days == days for one in closes):
        return days, [one.prices for one in closes]
    common = tuple(sorted(set(days).intersection(*(one.days for one in closes[1:]))))
    found = [dict(zip(one.days, one.prices, strict=True)) for one in closes]
    return common, [tuple(prices[day] for day in common) for prices in found]


def _years(days: Sequence[date]) -> float:
    return (days[-1] - days[0]).days / DAYS_OF_YEAR


def _percent(fraction: float) -> Decimal:
    return _quantised(fraction * 100)


def _quantised(percent: float) -> Decimal:
    return round_half_even(Decimal(percent), PERCENT_PLACES)

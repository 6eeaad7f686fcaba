"""Volatility and tracking error of closes whose answers are known."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pytest

from app.core import stats
from app.core.digest import digest
from app.core.drift import Snapshot, measure, tracking_error, used_assets, windows_of
from app.core.stats import Closes, Volatility
from tests.builders import AS_OF, asset, moving_band, sleeve, snapshot, swinging

ONE = Decimal(1)
START = date(2023, 6, 1)


def closes(*prices: float, step: int = 1) -> Closes:
    return Closes(tuple(START + timedelta(days=step * place) for place in range(len(prices))), prices)


def test_volatility_is_the_sample_variance_put_on_a_year() -> None:
    """Returns of +10 % and -10 % in turn over 20 days: sum of squares 0.2, x 20/19, / (20 / 365.25) years."""
    swing = [100.0]
    for place in range(20):
        swing.append(swing[-1] * (0.9 if place % 2 else 1.1))
    assert stats.volatility([(closes(*swing), ONE)], 30) == Volatility(Decimal("196.080005"), 20, 30)
    # The same returns a week apart span seven times the time.
    assert stats.volatility([(closes(*swing, step=7), ONE)], 365).percent == Decimal("74.111276")


def test_nineteen_returns_are_too_few() -> None:
    assert stats.volatility([(closes(*range(1, 21)), ONE)], 365) == Volatility(None, 19, 365)
    assert stats.volatility([(Closes(), ONE)], 365) == Volatility(None, 0, 365)
    assert stats.volatility([(closes(*[5.0] * 21), ONE)], 365) == Volatility(Decimal(0), 20, 365)


def test_a_mix_moves_as_its_values_weigh_on_the_days_all_have() -> None:
    up, down = swinging("10"), swinging("10")
    mirrored = Closes(down.days, tuple(10_000 / price for price in down.prices))
    both = stats.volatility([(up, Decimal(3)), (up, ONE)], 365)
    assert both.percent == Decimal(10)
    hedged = stats.volatility([(up, ONE), (mirrored, ONE)], 365).percent
    assert hedged is not None
    assert hedged < Decimal("0.1")
    missing = Closes(up.days[:30], up.prices[:30])
    assert stats.volatility([(up, ONE), (missing, ONE)], 365).returns == 29


def test_closes_in_another_currency_are_compounded_with_those_of_the_rate() -> None:
    rate = closes(1.0, 1.1, 1.21)
    assert stats.compounded(closes(100.0, 100.0, 100.0), (rate, False)).prices == pytest.approx((100, 110, 121))
    assert stats.compounded(closes(100.0, 110.0, 121.0), (rate, True)).prices == pytest.approx((100, 100, 100))
    some = Closes(rate.days[1:], rate.prices[1:])
    assert stats.compounded(closes(1.0, 2.0, 3.0), (some, False)).days == rate.days[1:]


def test_tracking_error_of_one_asset_is_its_volatility_times_its_weight() -> None:
    assert stats.tracking_error([swinging("10")], [Decimal(20)]) == Decimal(2)
    assert stats.tracking_error([swinging("10", returns=19)], [Decimal(20)]) is None
    assert stats.tracking_error([], []) is None


def test_tracking_error_is_that_of_the_shrunk_covariance() -> None:
    """The definition of Ledoit and Wolf (2004), written out step by step."""
    made = np.random.default_rng(7)
    noise = made.normal(0, 0.01, size=(120, 1)) @ np.array([[1.0, 2.0, 0.5]]) + made.normal(0, 0.01, size=(120, 3))
    prices = 100 * np.cumprod(np.vstack([np.ones(3), 1 + noise]), axis=0)
    active = [Decimal(5), Decimal(-3), Decimal(-2)]
    found = stats.tracking_error([closes(*column) for column in prices.T.tolist()], active)

    x = noise - noise.mean(axis=0)
    n, p = x.shape
    sample = x.T @ x / n
    m = np.trace(sample) / p
    d2 = np.sum((sample - m * np.eye(p)) ** 2)
    b2 = min(sum(np.sum((np.outer(row, row) - sample) ** 2) for row in x) / n**2, d2)
    shrunk = b2 / d2 * m * np.eye(p) + (1 - b2 / d2) * sample
    drift = np.array([5.0, -3.0, -2.0])
    expected = np.sqrt(drift @ shrunk @ drift * n / (n - 1) * n / (n / 365.25))
    assert 0 < b2 / d2 < 1
    assert found == round(Decimal(float(expected)), 6)


def moved(start: Snapshot, **volatilities: str) -> Snapshot:
    return replace(start, closes={name.replace("_", "/"): swinging(one) for name, one in volatilities.items()})


def test_drift_within_a_sleeve_is_shared_out_as_it_is_held() -> None:
    """70/30 against 50/50: A1 and A2, 40 and 30 of A, are 80/7 and 60/7 too much, and B is 20 too little."""
    start = snapshot("40 A1 @ 1, 30 A2 @ 1, 30 B @ 1", {"A": sleeve("50", "A1", "A2"), "B": "50"})
    known = moved(start, A1="10", A2="10", B="20")
    report = measure(known, tracking=True)
    active = [Decimal("11.428571428571"), Decimal("8.571428571429"), Decimal(-20)]
    assert report.tracking_error == stats.tracking_error([swinging(one) for one in ("10", "10", "20")], active)
    assert report.tracking_error == tracking_error(known, measure(known))
    assert measure(known).tracking_error is None
    assert measure(start, tracking=True).tracking_error is None


def test_what_is_wanted_and_not_held_counts_by_its_first_asset_and_cash_has_no_risk() -> None:
    start = snapshot("50 A @ 1, 50 cash", {"A": "40", "N": sleeve("30", "N", "M"), "CASH": "30"}, prices={"N": "1"})
    known = moved(start, A="10", N="10")
    assert measure(known, tracking=True).tracking_error == stats.tracking_error(
        [swinging("10")] * 2, [Decimal(10), Decimal(-30)]
    )


def test_what_is_all_cash_and_wanted_so_does_not_stray() -> None:
    for wanted in ({"CASH": "100"}, {"A": "0", "CASH": "100"}):
        assert measure(snapshot("50 cash", dict(wanted), prices={"A": "1"}), tracking=True).tracking_error == 0


def test_volatility_is_in_the_base_currency() -> None:
    """A price in euro that stands still moves as the euro does, whichever way round the rate is quoted."""
    for pair, rate in (("EUR/USD", "2"), ("USD/EUR", "0.5")):
        start = snapshot(
            "50 A @ 1, 50 B @ 1",
            {"A": "50", "B": "50"},
            band=moving_band(),
            assets=[asset("A", currency="EUR")],
            rates={pair: rate},
        )
        still = swinging("0")
        entry = measure(replace(start, closes={"A": still, pair: swinging("10")})).entries[0]
        assert entry.volatility is not None
        assert entry.volatility.percent is not None
        assert abs(entry.volatility.percent - 10) < Decimal("0.01")
        assert used_assets(start) == {"A", "B", pair}


def test_the_window_ends_before_today_and_begins_where_it_should() -> None:
    start = snapshot("50 A @ 1, 50 B @ 1", {"A": "50", "B": "50"}, band=moving_band("1.5", 60))
    entry, other = measure(moved(start, A="10")).entries
    assert windows_of(start) == {60}
    assert entry.volatility is not None
    assert (entry.volatility.returns, entry.volatility.window_days) == (59, 60)
    assert other.volatility == Volatility(None, 0, 60)
    assert other.why.startswith("A volatility needs 20 daily returns and 60 days have 0, so the SMART band stands in:")


def test_digests_tell_closes_apart_exactly() -> None:
    start = snapshot("1 A @ 1", {"A": "100"})
    near = swinging("10")
    other = Closes(near.days, (*near.prices[:-1], float(np.nextafter(near.prices[-1], 1e9))))
    digests = {digest(replace(start, closes=one)) for one in ({}, {"A": near}, {"A": other})}
    assert len(digests) == 3
    assert near.days[-1] == AS_OF.date() - timedelta(days=1)

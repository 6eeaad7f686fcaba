"""Decisions against exact fractions: no rounding of ours ever decides a breach."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from app.core.bands import Band
from app.core.drift import DriftStatus, Entry, Snapshot, measure
from app.core.money import plain
from app.core.policy import Policy
from app.core.targets import TargetDraft
from tests.builders import absolute, snapshot
from tests.core.samples import PROPERTY, band_kinds, decimals, ledgers, policies, prices_of, targets

MILLIONTH = Fraction(1, 10**6)


def exact_values(start: Snapshot) -> tuple[dict[str, Fraction], Fraction]:
    """Value each asset, and cash, in fractions; everything is in dollars."""
    worth: dict[str, Fraction] = {}
    cash = Fraction(0)
    for account in start.portfolio.accounts:
        cash += sum(map(Fraction, account.cash.values()), Fraction(0))
        for lot in account.lots:
            price = Fraction(start.market.prices[lot.asset_id].value)
            worth[lot.asset_id] = worth.get(lot.asset_id, Fraction(0)) + Fraction(lot.quantity) * price
    return worth, cash


def exact_status(entry: Entry, worth: Fraction, base: Fraction, warn_at: Decimal) -> DriftStatus:
    gap = abs(worth / base * 100 - Fraction(entry.target))
    half = Fraction(half_width(entry.band, entry.target))
    if gap > half:
        return DriftStatus.BREACHED
    return DriftStatus.WARNING if gap and gap >= half * Fraction(warn_at) / 100 else DriftStatus.WITHIN


def half_width(band: Band, target: Decimal) -> Fraction:
    """Return the half-width as the table of bands says, in fractions, rounded half-even to a millionth of a point."""
    if band.relative is None:
        assert band.absolute is not None
        half = Fraction(band.absolute)
    else:
        half = Fraction(band.relative) * Fraction(target) / 100
        floors = [half, Fraction(band.floor)] if band.floor is not None else [half]
        caps = [Fraction(cap) for cap in (band.cap, band.absolute) if cap is not None]
        half = reduce(min, caps, max(floors))
    return round(half * 10**6) * MILLIONTH  # round() of a fraction goes to even


@PROPERTY
@given(ledgers(), targets(), policies(), decimals("0", "100", 2))
def test_drift_agrees_with_fractions(
    ledger: dict[str, str], wanted: dict[str, str | TargetDraft], policy: Policy, warn_at: Decimal
) -> None:
    start = snapshot(ledger, wanted, policy=replace(policy, warn_at=warn_at), prices=prices_of(ledger))
    report = measure(start)
    worth, cash = exact_values(start)
    base = sum(worth.values(), cash if "CASH" in wanted else Fraction(0))
    assert Fraction(report.valuation.value or 0) == sum(worth.values(), cash)
    if not base:
        assert report.status is DriftStatus.NO_VALUE
        return
    turnover = Fraction(0)
    for entry in report.entries:
        mine = cash if entry.key == "CASH" else worth.get(entry.key, Fraction(0))
        assert Fraction(entry.value) == mine
        gap = mine - Fraction(entry.target) / 100 * base
        turnover += abs(gap) / base * 50
        assert Fraction(entry.to_target) == -gap
        assert Fraction(entry.actual) == round(mine / base * 10**8) * MILLIONTH
        assert Fraction(entry.drift) == round(gap / base * 10**8) * MILLIONTH
        if entry.target:
            assert entry.relative_drift is not None
            assert Fraction(entry.relative_drift) == round(gap / base * 10**10 / Fraction(entry.target)) * MILLIONTH
        assert entry.status is exact_status(entry, mine, base, warn_at)
    assert Fraction(report.turnover_to_target or 0) == round(turnover * 10**6) * MILLIONTH
    assert report.breaches == sum(entry.status is DriftStatus.BREACHED for entry in report.entries)


@PROPERTY
@given(
    st.integers(1, 10**15),
    decimals("0", "100", 6),
    band_kinds(),
    st.sampled_from([-1, 1]),
    st.integers(-3, 3),
)
def test_the_edge_is_found_to_the_last_unit(total: int, target: Decimal, band: Band, side: int, off: int) -> None:
    """Put a sleeve on the edge of its band, and a few of the smallest units beyond or short of it."""
    unit = Fraction(1, 10**18)
    half = half_width(band, target)
    edge = (Fraction(target) + side * half) / 100 * total
    held = round(edge / unit) * unit + side * off * unit
    if not 0 < held < total:
        return
    rest = plain(100 - target)
    amounts = [f"{written(held)} A @ 1", f"{written(total - held)} B @ 1"]
    report = measure(snapshot(", ".join(amounts), {"A": TargetDraft(target, band=band), "B": rest}))
    assert report.base == total
    expected = abs(held - Fraction(target) / 100 * total) > half / 100 * total
    assert (report.entries[0].status is DriftStatus.BREACHED) is expected


def written(number: Fraction) -> str:
    whole, rest = divmod(number * 10**18, 10**18)
    return f"{whole}.{int(rest):018d}"


def test_a_difference_of_one_part_in_ten_to_the_thirty_is_seen() -> None:
    wanted: dict[str, str | TargetDraft] = {"A": "50", "B": "50"}
    most, least = "550000000000000", "450000000000000"
    edge = snapshot(f"{most} A @ 1, {least} B @ 1", wanted, band=absolute("5"))
    assert measure(edge).status is DriftStatus.WARNING
    beyond = snapshot(f"{most}.000000000000000001 A @ 1, {least} B @ 1", wanted, band=absolute("5"))
    assert measure(beyond).status is DriftStatus.BREACHED

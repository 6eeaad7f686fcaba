"""Drift: how far each sleeve is from its target, and whether that is outside its tolerance band.

V is everything held, cash included; B, the base of weights, is V when there is a sleeve CASH, else V - cash.
For sleeve i: weight w_i = V_i / B, drift d_i = w_i - t_i; plus is overweight. Percents are shown with 6 decimals,
half-even, and are never adjusted to add up. Decisions are made on money, without a division:

    breached  iff |V_i - t_i B| > h_i B        exactly on the edge is within
    warning   iff |V_i - t_i B| >= a h_i B     a is the policy's `warn_at`, when there is any drift at all
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum

from app.core import bands
from app.core.bands import Band, Width
from app.core.money import EXACT, HUNDRED, ZERO, exactly, quotient
from app.core.policy import Policy
from app.core.portfolio import Asset, Holding, Market, Portfolio, Valuation, value
from app.core.targets import CASH, Target, Targets


class DriftStatus(Enum):
    """Where a sleeve (the first three) or a portfolio (all, best first) stands."""

    WITHIN = "WITHIN"
    WARNING = "WARNING"
    BREACHED = "BREACHED"
    DATA_STALE = "DATA_STALE"
    NO_VALUE = "NO_VALUE"
    NO_TARGETS = "NO_TARGETS"


SEVERITY = {status: rank for rank, status in enumerate(DriftStatus)}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that one answer rests on, as of one instant."""

    portfolio: Portfolio
    targets: Targets | None
    policy: Policy
    market: Market
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Member:
    """One asset that counts towards a sleeve: units and value over all accounts, weight in percent of B."""

    asset: Asset
    quantity: Decimal
    value: Decimal
    weight: Decimal
    stale: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """Drift of one sleeve. Percents have 6 decimals; `value` and `to_target` are money, exact.

    `to_target` = t B - V_i: buy when positive, sell when negative. `relative_drift` and `band_used` are percents,
    None when they would divide by zero. `targeted` is False for a holding in no sleeve: target 0, default band.
    `why` says in one sentence how the band came to be as wide as it is.
    """

    key: str
    targeted: bool
    target: Decimal
    actual: Decimal
    drift: Decimal
    relative_drift: Decimal | None
    band: Band
    width: Width
    lower: Decimal
    upper: Decimal
    band_used: Decimal | None
    status: DriftStatus
    value: Decimal
    to_target: Decimal
    stale: bool
    members: tuple[Member, ...]
    why: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Drift of a portfolio. Without numbers that can be trusted there are none: `entries` is empty and figures None.

    That is so for NO_TARGETS, for NO_VALUE (B <= 0), and for DATA_STALE when a price is missing altogether. With
    prices that are only too old, entries are there and flagged. `turnover_to_target` is half the sum of |d_i|.
    `tracking_error` is a percent a year, None without history. `deployable` is cash beside the base that may be spent.
    """

    status: DriftStatus
    valuation: Valuation
    base: Decimal | None
    max_abs_drift: Decimal | None
    turnover_to_target: Decimal | None
    breaches: int
    targets_version: int | None
    as_of: datetime
    entries: tuple[Entry, ...]
    tracking_error: Decimal | None = None
    deployable: Decimal | None = None

    @property
    def stale(self) -> bool:
        return bool(self.valuation.missing or self.valuation.stale)


@exactly
def measure(snapshot: Snapshot) -> Report:
    """Measure a portfolio against its targets; formulas above. Entries: targets in order, then untargeted by symbol."""
    policy, targets = snapshot.policy, snapshot.targets
    valuation = value(snapshot.portfolio, snapshot.market, policy.max_price_age_s, snapshot.as_of)
    base = _base(valuation, targets)
    if targets is None or base is None or base <= ZERO:
        status = _status_without_entries(targets, base)
        version = targets.version if targets else None
        return Report(status, valuation, base, None, None, 0, version, snapshot.as_of, ())
    entries = _entries(valuation, targets, policy, base)
    statuses = [entry.status for entry in entries]
    if valuation.stale:
        statuses.append(DriftStatus.DATA_STALE)
    gaps = [abs(entry.to_target) for entry in entries]
    return Report(
        max(statuses, key=SEVERITY.__getitem__),
        valuation,
        base,
        max(abs(entry.drift) for entry in entries),
        quotient(sum(gaps, ZERO) * 50, base, 6),
        sum(entry.status is DriftStatus.BREACHED for entry in entries),
        targets.version,
        snapshot.as_of,
        tuple(entries),
    )


def _base(valuation: Valuation, targets: Targets | None) -> Decimal | None:
    if valuation.value is None or valuation.cash is None:
        return None
    return valuation.value if targets and targets.has_cash else valuation.value - valuation.cash


def _status_without_entries(targets: Targets | None, base: Decimal | None) -> DriftStatus:
    if targets is None:
        return DriftStatus.NO_TARGETS
    return DriftStatus.DATA_STALE if base is None else DriftStatus.NO_VALUE


def _entries(valuation: Valuation, targets: Targets, policy: Policy, base: Decimal) -> list[Entry]:
    sleeve_of = targets.sleeve_of(holding.asset for holding in valuation.holdings)
    held: dict[str, list[Holding]] = {}
    for holding in valuation.holdings:
        held.setdefault(sleeve_of.get(holding.asset.id, ""), []).append(holding)
    untargeted: dict[str, list[Holding]] = {}
    for holding in sorted(held.pop("", []), key=lambda h: (h.asset.symbol, h.asset.currency, h.asset.venue)):
        untargeted.setdefault(holding.asset.id, []).append(holding)

    entries = []
    for target in targets.entries:
        members = _members(held.get(target.key, []), base)
        worth = (valuation.cash or ZERO) if target.key == CASH else sum((m.value for m in members), ZERO)
        entries.append(_entry(target, True, worth, members, policy, base))
    taken = {target.key for target in targets.entries} | {CASH}
    for holdings in untargeted.values():
        key = _untargeted_key(holdings[0].asset, taken)
        taken.add(key)
        members = _members(holdings, base)
        entries.append(_entry(Target(key, ZERO), False, sum((m.value for m in members), ZERO), members, policy, base))
    return entries


def _untargeted_key(asset: Asset, taken: set[str]) -> str:
    """Return the symbol, or with currency and venue where the symbol is somebody's key already."""
    names = [asset.symbol, f"{asset.symbol}:{asset.currency}", f"{asset.symbol}:{asset.currency}:{asset.venue}"]
    return next((name for name in names if name not in taken), asset.id)


def _members(holdings: Sequence[Holding], base: Decimal) -> tuple[Member, ...]:
    by_asset: dict[str, list[Holding]] = {}
    for holding in holdings:
        by_asset.setdefault(holding.asset.id, []).append(holding)
    members = []
    for group in by_asset.values():
        worth = sum((holding.value or ZERO for holding in group), ZERO)
        quantity = sum((holding.quantity for holding in group), ZERO)
        stale = any(holding.stale for holding in group)
        members.append(member_of(group[0].asset, quantity, worth, base, stale=stale))
    return tuple(members)


def _entry(
    target: Target, targeted: bool, worth: Decimal, members: tuple[Member, ...], policy: Policy, base: Decimal
) -> Entry:
    band = target.band or policy.default_band
    width = bands.width(band, target.percent)
    gap = worth * HUNDRED - target.percent * base
    half = width.up if gap > ZERO else width.down
    status = _status(abs(gap), half * base, policy.warn_at / HUNDRED)
    return entry_of(target.key, target.percent, worth, members, base, band, width, status, targeted=targeted)


def member_of(asset: Asset, quantity: Decimal, worth: Decimal, base: Decimal, *, stale: bool) -> Member:
    """Return what is held of one asset, with its weight V_a / B in percent, half-even to 6 decimals."""
    return Member(asset, quantity, worth, quotient(EXACT.multiply(worth, HUNDRED), base, 6), stale)


@exactly
def entry_of(
    key: str,
    target: Decimal,
    worth: Decimal,
    members: tuple[Member, ...],
    base: Decimal,
    band: Band,
    width: Width,
    status: DriftStatus,
    *,
    targeted: bool,
    why: str = "",
) -> Entry:
    """Return an entry with all that follows from what was measured; formulas above. The log is read by it too.

    `target` is in percent, `worth` and `base` are money, base > 0. Percents are rounded half-even to 6 decimals.
    """
    gap = worth * HUNDRED - target * base
    half = width.up if gap > ZERO else width.down
    return Entry(
        key=key,
        targeted=targeted,
        target=target,
        actual=quotient(worth * HUNDRED, base, 6),
        drift=quotient(gap, base, 6),
        relative_drift=quotient(gap * HUNDRED, target * base, 6) if target else None,
        band=band,
        width=width,
        lower=bands.lower(target, width),
        upper=bands.upper(target, width),
        band_used=quotient(abs(gap) * HUNDRED, half * base, 6) if half else (None if gap else ZERO),
        status=status,
        value=worth,
        to_target=-gap / HUNDRED,
        stale=any(member.stale for member in members),
        members=members,
        why=why,
    )


def _status(gap: Decimal, half: Decimal, warn_at: Decimal) -> DriftStatus:
    if gap > half:
        return DriftStatus.BREACHED
    return DriftStatus.WARNING if gap and gap >= warn_at * half else DriftStatus.WITHIN

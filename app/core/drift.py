"""Drift: how far each sleeve is from its target, and whether that is outside its tolerance band.

V is everything held, cash included; B, the base of weights, is V when there is a sleeve CASH, else V - cash.
For sleeve i: weight w_i = V_i / B, drift d_i = w_i - t_i; plus is overweight. Percents are shown with 6 decimals,
half-even, and are never adjusted to add up. Decisions are made on money, without a division:

    breached  iff |V_i - t_i B| > h_i B        exactly on the edge is within
    warning   iff |V_i - t_i B| >= a h_i B     a is the policy's `warn_at`, when there is any drift at all
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum

from app.core import bands, evidence, stats
from app.core.bands import Band, Width, Worked
from app.core.evidence import Ground
from app.core.money import EXACT, HUNDRED, ZERO, exactly, quotient
from app.core.policy import Policy
from app.core.portfolio import Asset, Holding, Market, Portfolio, Rates, Valuation, value
from app.core.stats import TRACKING_WINDOW_DAYS, Closes, Volatility
from app.core.targets import CASH, Target, Targets
from app.core.tax import NO_FACTS, TaxFacts


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
    """All that one answer rests on, as of one instant. `closes` are by asset id, of days before that of `as_of`."""

    portfolio: Portfolio
    targets: Targets | None
    policy: Policy
    market: Market
    as_of: datetime
    closes: Mapping[str, Closes] = field(default_factory=dict)
    tax: TaxFacts = NO_FACTS

    def ground(self, base: Decimal) -> Ground:
        """Return what the bands stand on when weights are a share of `base`."""
        return Ground(self.portfolio, self.policy, self.market, self.closes, self.as_of, base)


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
    `why` says in one sentence how the band came to be as wide as it is; `volatility` is what it rests on, if it does,
    and `volatility_above` that of the side above where it looks at another window.
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
    volatility: Volatility | None = None
    volatility_above: Volatility | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """Drift of a portfolio. Without numbers that can be trusted there are none: `entries` is empty and figures None.

    That is so for NO_TARGETS, for NO_VALUE (B <= 0), and for DATA_STALE when a price is missing altogether. With
    prices that are only too old, entries are there and flagged. `turnover_to_target` is half the sum of |d_i|.
    `tracking_error` is a percent a year, None without history or when nobody asked. `deployable` is the cash
    that buying may spend, in the base currency: beside the base, less the policy's buffer, or within it where CASH is
    a sleeve; None without entries.
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
def measure(snapshot: Snapshot, *, tracking: bool = False) -> Report:
    """Measure a portfolio against its targets; formulas above. Entries: targets in order, then untargeted by symbol.

    `tracking` asks for the tracking error, which needs closes.
    """
    policy, targets = snapshot.policy, snapshot.targets
    valuation = value(snapshot.portfolio, snapshot.market, policy.max_price_age_s, snapshot.as_of)
    base = _base(valuation, targets)
    if targets is None or base is None or base <= ZERO:
        status = _status_without_entries(targets, base)
        version = targets.version if targets else None
        return Report(status, valuation, base, None, None, 0, version, snapshot.as_of, ())
    ground = snapshot.ground(base)
    entries = _entries(valuation, targets, ground)
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
        _tracking_error(ground, targets, entries) if tracking else None,
        _deployable(snapshot, valuation),
    )


@exactly
def tracking_error(snapshot: Snapshot, report: Report) -> Decimal | None:
    """Return sqrt(d' S d), percent a year, half-even to 1e-6; None without entries or 20 common returns.

    d is by asset, over all that is held or targeted: weight less target weight, where a sleeve's target is shared out
    as what is held of it is, and stands for the first asset of a sleeve that holds nothing. CASH has no risk. S is the
    shrunk covariance of `stats.tracking_error` over 365 days. A sleeve without any asset makes it None; where nothing
    but CASH is held and wanted it is 0.
    """
    if snapshot.targets is None or report.base is None or not report.entries:
        return None
    return _tracking_error(snapshot.ground(report.base), snapshot.targets, report.entries)


def _tracking_error(ground: Ground, targets: Targets, entries: Sequence[Entry]) -> Decimal | None:
    wanted = {target.key: target for target in targets.entries}
    active: dict[str, Decimal] = {}
    for entry in entries:
        if entry.key == CASH and entry.targeted:
            continue
        for member in entry.members:
            share = quotient(member.value * entry.drift, entry.value, 12) if entry.value else ZERO
            active[member.asset.id] = active.get(member.asset.id, ZERO) + share
        if not entry.members and entry.target:
            first = evidence.first_asset(wanted[entry.key].assets, {}, ground.market)
            if first is None:
                return None
            active[first.id] = active.get(first.id, ZERO) + entry.drift
    if not active:
        return ZERO  # all cash, and wanted so
    closes = [evidence.closes_in(ground, ground.market.assets[key], TRACKING_WINDOW_DAYS) for key in active]
    return stats.tracking_error(closes, list(active.values()))


def _deployable(snapshot: Snapshot, valuation: Valuation) -> Decimal:
    """Return the cash that planning may spend: that in the base currency, less the policy's share of all value.

    Where CASH is a sleeve, its target says what stays, and there is no other buffer.
    """
    assert snapshot.targets
    assert valuation.value is not None
    currency = valuation.base_currency
    cash = sum((account.cash.get(currency, ZERO) for account in snapshot.portfolio.accounts), ZERO)
    if snapshot.targets.has_cash:
        return cash
    return max(ZERO, cash - snapshot.policy.cash_buffer * valuation.value / HUNDRED)


def used_assets(snapshot: Snapshot) -> set[str]:
    """Return the ids of what is held or targeted, and of the rates their currencies need: those whose closes matter."""
    rates = Rates(snapshot.market, snapshot.portfolio.base_currency)
    used = {lot.asset_id for account in snapshot.portfolio.accounts for lot in account.lots}
    used.update(asset_id for target in (snapshot.targets or Targets(())).entries for asset_id in target.assets)
    for currency in {snapshot.market.assets[asset_id].currency for asset_id in used}:
        if found := rates.find(currency):
            used.update(asset.id for asset in found[1])
    return used


def windows_of(snapshot: Snapshot) -> set[int]:
    """Return the windows, in days, of the volatilities that the bands in force rest on."""
    if snapshot.targets is None:
        return set()
    default = snapshot.policy.default_band
    return set().union(*(bands.windows_of(target.band or default) for target in snapshot.targets.entries))


def bands_of(snapshot: Snapshot, targets: Targets) -> dict[str, Worked]:
    """Return by sleeve how the bands of some targets work out for a portfolio, whether or not they are in force.

    Where a value is missing, or there is none, no sleeve counts as held and fixed costs as unknown.
    """
    policy = snapshot.policy
    valuation = value(snapshot.portfolio, snapshot.market, policy.max_price_age_s, snapshot.as_of)
    base = _base(valuation, targets)
    ground = snapshot.ground(base or ZERO)
    held = _held(valuation, targets) if base and base > ZERO else {}
    return {target.key: evidence.band_of(ground, target, held.get(target.key, [])) for target in targets.entries}


def _base(valuation: Valuation, targets: Targets | None) -> Decimal | None:
    if valuation.value is None or valuation.cash is None:
        return None
    return valuation.value if targets and targets.has_cash else valuation.value - valuation.cash


def _status_without_entries(targets: Targets | None, base: Decimal | None) -> DriftStatus:
    if targets is None:
        return DriftStatus.NO_TARGETS
    return DriftStatus.DATA_STALE if base is None else DriftStatus.NO_VALUE


def _held(valuation: Valuation, targets: Targets) -> dict[str, list[Holding]]:
    """Return holdings by sleeve; those of no sleeve under an empty key."""
    sleeve_of = targets.sleeve_of(holding.asset for holding in valuation.holdings)
    held: dict[str, list[Holding]] = {}
    for holding in valuation.holdings:
        held.setdefault(sleeve_of.get(holding.asset.id, ""), []).append(holding)
    return held


def _entries(valuation: Valuation, targets: Targets, ground: Ground) -> list[Entry]:
    held = _held(valuation, targets)
    untargeted: dict[str, list[Holding]] = {}
    for holding in sorted(held.pop("", []), key=lambda h: (h.asset.symbol, h.asset.currency, h.asset.venue)):
        untargeted.setdefault(holding.asset.id, []).append(holding)

    entries = []
    for target in targets.entries:
        holdings = held.get(target.key, [])
        cash = (valuation.cash or ZERO) if target.key == CASH else None
        entries.append(_entry(target, True, holdings, ground, cash))
    taken = {target.key for target in targets.entries} | {CASH}
    for holdings in untargeted.values():
        key = _untargeted_key(holdings[0].asset, taken)
        taken.add(key)
        entries.append(_entry(Target(key, ZERO), False, holdings, ground))
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
    target: Target, targeted: bool, holdings: Sequence[Holding], ground: Ground, cash: Decimal | None = None
) -> Entry:
    base = ground.base
    members = _members(holdings, base)
    worth = sum((member.value for member in members), ZERO) if cash is None else cash
    worked = evidence.band_of(ground, target, holdings)
    gap = worth * HUNDRED - target.percent * base
    half = worked.width.up if gap > ZERO else worked.width.down
    status = _status(abs(gap), half * base, ground.policy.warn_at / HUNDRED)
    band = target.band or ground.policy.default_band
    return entry_of(target.key, target.percent, worth, members, base, band, worked, status, targeted=targeted)


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
    worked: Worked,
    status: DriftStatus,
    *,
    targeted: bool,
) -> Entry:
    """Return an entry with all that follows from what was measured; formulas above. The log is read by it too.

    `target` is in percent, `worth` and `base` are money, base > 0. Percents are rounded half-even to 6 decimals.
    """
    width = worked.width
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
        why=worked.why,
        volatility=worked.volatility,
        volatility_above=worked.volatility_above,
    )


def _status(gap: Decimal, half: Decimal, warn_at: Decimal) -> DriftStatus:
    if gap > half:
        return DriftStatus.BREACHED
    return DriftStatus.WARNING if gap and gap >= warn_at * half else DriftStatus.WITHIN

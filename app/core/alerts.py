"""Alerts: tell a person once, and again only when it got worse, is over, or the policy wants to be reminded.

Three things are watched, by one machine: each sleeve, each holding in no sleeve (its target is 0), and the portfolio
as a whole where the policy has a `portfolio_band`. Each has a level, by how far |d| is past three edges:

    0 within   1 warning (warn_at of the band)   2 breached (the band)   3 severe (twice the band)

A level is reached when each of p buckets running (policy.alert_after) was at or above it, and its edge is left when
each of q buckets running (policy.recover_after) had |d| <= 0.9 of it. Buckets are those of the scan; a price tick
counts none, neither for nor against, and decides only where p or q is 1.

An alert opens at level 2 (at 1 if the policy wants warnings), escalates at each higher level once, and resolves when
the edge it opens at is left. So a price that flips around an edge opens exactly one alert. While it is open, neither
acknowledged nor snoozed, it is told again each time policy.remind_after has passed; a snooze that ends is told once.

While data is stale no level moves and nothing is told; that the data is stale is one alert of the owner's, however
many portfolios wait for it, and is decided where all of them are seen.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Final

from app.core import alert_words as words
from app.core.drift import DriftStatus, Entry, Report
from app.core.money import HUNDRED, ZERO, exactly
from app.core.policy import Policy

HYSTERESIS: Final = Decimal("0.9")
SEVERE: Final = 2

# Keys of states that are no sleeve's begin with a space, which the key of a sleeve never does.
DATA_KEY: Final = " data"
WHOLE_KEY: Final = " portfolio"
UNTARGETED: Final = " untargeted "


class AlertKind(Enum):
    """What an alert is about."""

    DRIFT = "DRIFT"
    UNTARGETED = "UNTARGETED"
    DATA_STALE = "DATA_STALE"
    PLAN_READY = "PLAN_READY"
    BOOKS_DIFFER = "BOOKS_DIFFER"
    ORDER_UNKNOWN = "ORDER_UNKNOWN"


OUTLIVES_PAUSE: Final = frozenset({AlertKind.BOOKS_DIFFER, AlertKind.ORDER_UNKNOWN})
"""What is true of orders and books whether or not their portfolio is watched, and ends when it is so no more."""


class AlertSeverity(Enum):
    """How urgent an alert is."""

    INFO = "INFO"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"


class AlertStatus(Enum):
    """Life of an alert."""

    OPEN = "OPEN"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    RESOLVED = "RESOLVED"


class AlertEventKind(Enum):
    """What happened to an alert."""

    RAISED = "RAISED"
    ESCALATED = "ESCALATED"
    REMINDED = "REMINDED"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    SNOOZED = "SNOOZED"
    RESOLVED = "RESOLVED"


@dataclass(frozen=True, slots=True)
class SleeveState:
    """What is remembered of one thing that is watched.

    `peak` is the highest level told since its alert opened, 0 when none is open. `runs` counts, for each edge, the
    buckets running that speak for crossing it: at or above it where it is not reached, at 0.9 of it or below where it
    is. `told_at` is when its alert was last told. `symbols` are those that stale data lacks, with the key DATA_KEY.
    """

    level: int = 0
    peak: int = 0
    runs: tuple[int, ...] = (0, 0, 0)
    bucket: datetime | None = None
    told_at: datetime | None = None
    acknowledged: bool = False
    snoozed_until: datetime | None = None
    symbols: tuple[str, ...] = ()


NOTHING: Final = SleeveState()


@dataclass(frozen=True, slots=True)
class Transition:
    """Something to tell. `key` None is the whole portfolio."""

    event: AlertEventKind
    kind: AlertKind
    key: str | None
    severity: AlertSeverity
    message: str
    entry: Entry | None


@dataclass(frozen=True, slots=True)
class Decision:
    """Which states changed, which are gone, and what to tell."""

    changed: Mapping[str, SleeveState]
    gone: tuple[str, ...]
    transitions: tuple[Transition, ...]

    @property
    def data_changed(self) -> bool:
        """Say whether the owner's alert about data may have to change."""
        return DATA_KEY in self.changed or DATA_KEY in self.gone


@dataclass(frozen=True, slots=True)
class _Watched:
    """One thing that is watched: its distance and its three edges, in hundredths of money."""

    kind: AlertKind
    key: str | None
    gap: Decimal
    edges: tuple[Decimal, Decimal, Decimal]
    entry: Entry | None

    @property
    def reached(self) -> int:
        """The warning edge is reached on the edge, the others only beyond it, just as the status of an entry is."""
        if not self.gap:
            return 0
        return int(self.gap >= self.edges[0]) + (self.gap > self.edges[1]) + (self.gap > self.edges[2])

    def has_left(self, place: int) -> bool:
        return self.gap <= HYSTERESIS * self.edges[place]


def state_key(kind: AlertKind, key: str | None) -> str | None:
    """Return the key of the state that an alert goes by; None where it goes by none."""
    if kind is AlertKind.DRIFT:
        return WHOLE_KEY if key is None else key
    return f"{UNTARGETED}{key}" if kind is AlertKind.UNTARGETED else None


@exactly
def decide(states: Mapping[str, SleeveState], report: Report, policy: Policy, bucket: datetime | None) -> Decision:
    """Compare a measurement with what is remembered; rules above. `bucket` is None for a price tick.

    The same bucket is counted once, so that measuring twice changes nothing.
    """
    if report.status is DriftStatus.DATA_STALE:
        return _stale(states.get(DATA_KEY), report)
    changed: dict[str, SleeveState] = {}
    told: list[Transition] = []
    watched = dict(_watched(report, policy))
    for key, one in watched.items():
        before = states.get(key, NOTHING)
        after, transition = _tell(_step(before, one, policy, bucket), one, policy, report)
        if after != before:
            changed[key] = after
        if transition:
            told.append(transition)
    gone = tuple(key for key in states if key not in watched)
    told += [_ended(key, report) for key in gone if key != DATA_KEY and states[key].peak]
    return Decision(changed, gone, tuple(told))


def _stale(before: SleeveState | None, report: Report) -> Decision:
    """Remember since when data is stale and what it lacks; everything else stays as it is."""
    lacking = tuple(sorted({*report.valuation.missing, *report.valuation.stale}))
    if before and before.symbols == lacking:
        return Decision({}, (), ())
    since = before.told_at if before else report.as_of
    return Decision({DATA_KEY: SleeveState(1, 1, told_at=since, symbols=lacking)}, (), ())


def _watched(report: Report, policy: Policy) -> Iterator[tuple[str, _Watched]]:
    """Yield what is watched by the key of its state, on money.

    That is |V_i - t_i B| against h_i B for each entry, and half the sum of it against portfolio_band x B.
    """
    if report.base is None or not report.entries:
        return
    if policy.portfolio_band is not None:
        gap = sum((abs(entry.to_target) for entry in report.entries), ZERO) * 50
        edges = _edges(policy.portfolio_band * report.base, policy)
        yield WHOLE_KEY, _Watched(AlertKind.DRIFT, None, gap, edges, None)
    for entry in report.entries:
        kind = AlertKind.DRIFT if entry.targeted else AlertKind.UNTARGETED
        half = entry.width.up if entry.to_target < ZERO else entry.width.down
        gap, edges = abs(entry.to_target) * HUNDRED, _edges(half * report.base, policy)
        yield entry.key if entry.targeted else UNTARGETED + entry.key, _Watched(kind, entry.key, gap, edges, entry)


def _edges(half: Decimal, policy: Policy) -> tuple[Decimal, Decimal, Decimal]:
    return half * policy.warn_at / HUNDRED, half, SEVERE * half


def _step(state: SleeveState, one: _Watched, policy: Policy, bucket: datetime | None) -> SleeveState:
    """Count towards a move, and move the level where the buckets running suffice."""
    reached, level = one.reached, state.level
    if not reached and not level and not any(state.runs):
        return state  # as most are, most of the time
    counts = bucket is not None and (state.bucket is None or bucket > state.bucket)
    runs, crossing = list(state.runs), []
    for place, seen in enumerate(state.runs):
        outward = place >= level
        speaks = reached > place if outward else one.has_left(place)
        if counts:
            runs[place] = seen + 1 if speaks else 0
        needed = policy.alert_after if outward else policy.recover_after
        if speaks and max(runs[place], 1) >= needed:
            crossing.append(place)
    # Edges lie within each other: what crosses one outward has crossed all inner ones, and the other way round.
    if crossing and crossing[-1] >= level:
        level = crossing[-1] + 1
        runs[:level] = [0] * level
    elif crossing:
        level = crossing[0]
        runs[level:] = [0] * (len(runs) - level)
    if level == state.level and tuple(runs) == state.runs:
        return state
    return replace(state, level=level, runs=tuple(runs), bucket=bucket if counts else state.bucket)


def _opens_at(policy: Policy) -> int:
    return 1 if policy.alert_on_warning else 2


def _tell(state: SleeveState, one: _Watched, policy: Policy, report: Report) -> tuple[SleeveState, Transition | None]:
    """Say what the level means for the alert: it opens, escalates beyond its peak, is due to be told, or resolves."""
    if state.level < _opens_at(policy):
        if not state.peak:
            return state, None
        event, after = AlertEventKind.RESOLVED, _quiet(state, peak=0, told_at=None)
    elif state.level > state.peak:
        event = AlertEventKind.ESCALATED if state.peak else AlertEventKind.RAISED
        after = _quiet(state, peak=state.level, told_at=report.as_of)
    elif _is_due(state, policy, report.as_of):
        event, after = AlertEventKind.REMINDED, replace(state, told_at=report.as_of, snoozed_until=None)
    else:
        return state, None
    return after, Transition(
        event, one.kind, one.key, _severity(event, one.kind, after), _message(event, state, one, report), one.entry
    )


def _quiet(state: SleeveState, *, peak: int, told_at: datetime | None) -> SleeveState:
    """What a person said of an alert holds until it escalates or ends."""
    return replace(state, peak=peak, told_at=told_at, acknowledged=False, snoozed_until=None)


def _is_due(state: SleeveState, policy: Policy, now: datetime) -> bool:
    if state.snoozed_until is not None:
        return now >= state.snoozed_until
    if state.acknowledged or not policy.remind_after_s or state.told_at is None:
        return False
    return now - state.told_at >= timedelta(seconds=policy.remind_after_s)


def _severity(event: AlertEventKind, kind: AlertKind, state: SleeveState) -> AlertSeverity:
    """Return how urgent it is: breached is CRITICAL, but for a holding without target only by twice the band."""
    if event is AlertEventKind.RESOLVED:
        return AlertSeverity.INFO
    critical = 3 if kind is AlertKind.UNTARGETED else 2
    return AlertSeverity.CRITICAL if state.peak >= critical else AlertSeverity.WARNING


def _message(event: AlertEventKind, state: SleeveState, one: _Watched, report: Report) -> str:
    if event is AlertEventKind.RESOLVED:
        where = words.NO_WARNINGS if state.peak == state.level else words.BACK
    elif event is AlertEventKind.REMINDED:
        where = words.STILL[one.reached]
    else:
        where = words.OUTSIDE[state.level]
    if one.entry is None:
        return words.of_whole(one.gap, one.edges[1], report, where)
    currency = report.valuation.base_currency
    advise = one.kind is AlertKind.UNTARGETED and event is not AlertEventKind.RESOLVED
    return words.of_untargeted(one.entry, currency, where) if advise else words.of_sleeve(one.entry, where)


def _ended(key: str, report: Report) -> Transition:
    """Resolve the alert of something that is watched no more."""
    if key == WHOLE_KEY:
        kind, named = AlertKind.DRIFT, None
    elif key.startswith(UNTARGETED):
        kind, named = AlertKind.UNTARGETED, key.removeprefix(UNTARGETED)
    else:
        kind, named = AlertKind.DRIFT, key
    message = words.of_ended(named, report.status)
    return Transition(AlertEventKind.RESOLVED, kind, named, AlertSeverity.INFO, message, None)

"""Alerts: tell a person once, and again only when it got worse or is over.

Each sleeve has a level, by how far |d| is past three edges:

    0 within   1 warning (warn_at of the band)   2 breached (the band)   3 severe (twice the band)

An alert opens at level 2 (at 1 if the policy wants warnings; else level 1 is not looked at) when its edge is passed
in p buckets running (policy.alert_after), escalates at each higher level once, after p buckets again, and resolves
when |d| <= 0.9 of the edge it opens at in q buckets running (policy.recover_after). So a price that flips around an
edge opens exactly one alert. Buckets are those of the scan; a price tick counts none, neither for nor against, and
decides only where p or q is 1.

While data is stale no sleeve's level moves, and one alert says that the data is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Final

from app.core.drift import DriftStatus, Entry, Report
from app.core.money import HUNDRED, ZERO, exactly, plain
from app.core.policy import Policy

HYSTERESIS: Final = Decimal("0.9")
SEVERE: Final = 2
DATA_KEY: Final = ""


class AlertKind(Enum):
    """What an alert is about."""

    DRIFT = "DRIFT"
    DATA_STALE = "DATA_STALE"


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
    ACKNOWLEDGED = "ACKNOWLEDGED"
    RESOLVED = "RESOLVED"


@dataclass(frozen=True, slots=True)
class SleeveState:
    """What is remembered of one sleeve. `peak` is the highest level told since it opened, 0 when none is open."""

    level: int = 0
    peak: int = 0
    rising: int = 0
    falling: int = 0
    bucket: datetime | None = None


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
    """Which states changed, which sleeves are gone, and what to tell."""

    changed: Mapping[str, SleeveState]
    gone: tuple[str, ...]
    transitions: tuple[Transition, ...]


@exactly
def decide(states: Mapping[str, SleeveState], report: Report, policy: Policy, bucket: datetime | None) -> Decision:
    """Compare a measurement with what is remembered; rules above. `bucket` is None for a price tick.

    The same bucket is counted once, so that measuring twice changes nothing.
    """
    changed: dict[str, SleeveState] = {}
    gone: list[str] = []
    told: list[Transition] = []
    stale = report.status is DriftStatus.DATA_STALE
    _keep(changed, told, states, DATA_KEY, *_data(states.get(DATA_KEY, SleeveState()), report, stale))
    if not stale:
        entries = {entry.key: entry for entry in report.entries}
        for key, entry in entries.items():
            assert report.base is not None
            state = _step(states.get(key, SleeveState()), entry, report.base, policy, bucket)
            _keep(changed, told, states, key, *_tell(state, entry, policy))
        for key in states:
            if key != DATA_KEY and key not in entries:
                gone.append(key)
                if states[key].peak:
                    told.append(_resolved(key, f"{key} is no longer measured by itself."))
    return Decision(changed, tuple(gone), tuple(told))


def _keep(
    changed: dict[str, SleeveState],
    told: list[Transition],
    states: Mapping[str, SleeveState],
    key: str,
    state: SleeveState,
    transition: Transition | None,
) -> None:
    if state != states.get(key, SleeveState()):
        changed[key] = state
    if transition:
        told.append(transition)


def _data(state: SleeveState, report: Report, stale: bool) -> tuple[SleeveState, Transition | None]:
    if stale == bool(state.peak):
        return state, None
    level = int(stale)
    if not stale:
        event, severity, text = AlertEventKind.RESOLVED, AlertSeverity.INFO, "All prices are fresh again."
    else:
        missing, old = report.valuation.missing, report.valuation.stale
        parts = [f"no price for {', '.join(missing)}"] if missing else []
        parts += [f"the price of {', '.join(old)} is too old"] if old else []
        text = f"Drift cannot be judged: {' and '.join(parts)}."
        event, severity = AlertEventKind.RAISED, AlertSeverity.WARNING
    transition = Transition(event, AlertKind.DATA_STALE, None, severity, text, None)
    return replace(state, level=level, peak=level), transition


def _step(state: SleeveState, entry: Entry, base: Decimal, policy: Policy, bucket: datetime | None) -> SleeveState:
    """Move the level, or count towards a move."""
    reached, held = _levels(entry, base, policy)
    seen = state.bucket
    counts = bucket is not None and (seen is None or bucket > seen)
    seen = bucket if counts else seen
    rising = state.rising + counts if reached > state.level else 0
    falling = state.falling + counts if state.level and not held else 0
    if reached > state.level and max(rising, 1) >= policy.alert_after:
        return SleeveState(reached, state.peak, 0, 0, seen)
    if state.level and not held and max(falling, 1) >= policy.recover_after:
        return SleeveState(0, state.peak, 0, 0, seen)
    if not counts or (rising, falling) == (state.rising, state.falling):
        return state
    return replace(state, rising=rising, falling=falling, bucket=seen)


def _levels(entry: Entry, base: Decimal, policy: Policy) -> tuple[int, bool]:
    """Return the level the drift reaches, and whether it keeps an alert open; decided on money, as drift is."""
    gap = abs(entry.to_target) * HUNDRED
    half = entry.width.up if entry.to_target < ZERO else entry.width.down
    edges = (half * base * policy.warn_at / HUNDRED, half * base, SEVERE * half * base)
    # The warning edge is reached on the edge, the others only beyond it, just as the status of an entry is.
    reached = (int(gap >= edges[0]) + (gap > edges[1]) + (gap > edges[2])) if gap else 0
    opens_at = _opens_at(policy)
    return reached if reached >= opens_at else 0, gap > HYSTERESIS * edges[opens_at - 1]


def _opens_at(policy: Policy) -> int:
    return 1 if policy.alert_on_warning else 2


def _tell(state: SleeveState, entry: Entry, policy: Policy) -> tuple[SleeveState, Transition | None]:
    """Say what the new level means for the alert: it opens, escalates beyond its peak, or resolves."""
    if state.level < _opens_at(policy):
        if not state.peak:
            return state, None
        return replace(state, peak=0), _resolved(entry.key, f"{_where(entry)}: back inside.", entry)
    if state.level <= state.peak:
        return state, None
    event = AlertEventKind.ESCALATED if state.peak else AlertEventKind.RAISED
    severity = AlertSeverity.WARNING if state.level == 1 else AlertSeverity.CRITICAL
    return replace(state, peak=state.level), Transition(
        event, AlertKind.DRIFT, entry.key, severity, f"{_where(entry)}: {_WORDS[state.level]}.", entry
    )


_WORDS: Final = {1: "nearly outside", 2: "outside", 3: "outside by more than the band itself"}


def _where(entry: Entry) -> str:
    return (
        f"{entry.key} is at {plain(entry.actual)} %, target {plain(entry.target)} %, "
        f"band {plain(entry.lower)} to {plain(entry.upper)} %"
    )


def _resolved(key: str, message: str, entry: Entry | None = None) -> Transition:
    return Transition(AlertEventKind.RESOLVED, AlertKind.DRIFT, key, AlertSeverity.INFO, message, entry)

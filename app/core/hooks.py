"""Hooks: who outside is told of what, and when a message that did not arrive is sent again.

A hook takes some events, and of those about alerts only the ones urgent enough. Of too many alerts at one instant the
rest comes as one digest, so every hook that takes alerts takes the digest too.
"""

from collections.abc import Collection, Sequence
from enum import Enum
from typing import Final

from app.core.alerts import AlertSeverity
from app.core.errors import Duplicate, InvalidInput, Required

HOOKS_MAX: Final = 20
"""Hooks of one owner."""

FIRST_RETRY_S: Final = 5
LONGEST_RETRY_S: Final = 3600
GIVE_UP_S: Final = 3 * 86_400
"""After this long a message is dead, and a hook that took nothing at all is disabled."""

PREVIOUS_SECRET_S: Final = 86_400
"""How long the secret of before a rotation signs beside the new one."""

CODE_S: Final = 86_400
CODE_TRIES: Final = 5
CODES_MAX: Final = 6
CODES_WITHIN_S: Final = 3600
"""So many codes an owner may have sent: one, and five more if it does not arrive."""

SAMPLES_MAX: Final = 10
SAMPLES_WITHIN_S: Final = 60
"""So many samples an owner may have sent at once, to webhooks and mailboxes together."""


class HookKind(Enum):
    """How a hook is reached."""

    WEBHOOK = "WEBHOOK"
    EMAIL = "EMAIL"


class HookEvent(Enum):
    """What a hook can be told."""

    ALERT_RAISED = "ALERT_RAISED"
    ALERT_ESCALATED = "ALERT_ESCALATED"
    ALERT_REMINDED = "ALERT_REMINDED"
    ALERT_RESOLVED = "ALERT_RESOLVED"
    ALERT_DIGEST = "ALERT_DIGEST"
    PLAN_READY = "PLAN_READY"
    TARGETS_CHANGED = "TARGETS_CHANGED"


class DeliveryStatus(Enum):
    """Life of a message to a hook."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    DEAD = "DEAD"
    CANCELLED = "CANCELLED"


ALERT_EVENTS: Final = frozenset(
    {HookEvent.ALERT_RAISED, HookEvent.ALERT_ESCALATED, HookEvent.ALERT_REMINDED, HookEvent.ALERT_RESOLVED}
)
_URGENCY: Final = {severity: rank for rank, severity in enumerate(AlertSeverity)}


def parse_events(events: Sequence[HookEvent]) -> tuple[HookEvent, ...]:
    """Check what a hook shall be told: at least one, none twice. Alerts bring their digest; alone it is nothing."""
    if not events:
        raise Required("no event is given; name at least one, such as ALERT_RAISED", ["events"])
    for place, event in enumerate(events):
        if event in events[:place]:
            raise Duplicate(f"{event.value} is given twice", ["events", place])
    wanted = set(events)
    if wanted & ALERT_EVENTS:
        wanted.add(HookEvent.ALERT_DIGEST)
    elif HookEvent.ALERT_DIGEST in wanted:
        raise InvalidInput("ALERT_DIGEST stands for alerts; name them too, such as ALERT_RAISED", ["events"])
    return tuple(event for event in HookEvent if event in wanted)


def takes(
    events: Collection[HookEvent], least: AlertSeverity, event: HookEvent, severity: AlertSeverity | None
) -> bool:
    """Say whether a hook is told of an event; `severity` is that of the alert, None for what is no alert."""
    return event in events and (severity is None or _URGENCY[severity] >= _URGENCY[least])


def urgency(severity: AlertSeverity) -> int:
    """Return the rank of a severity, 0 for the least."""
    return _URGENCY[severity]


def type_of(event: HookEvent) -> str:
    """Return how an event is called in the body of a webhook: ALERT_RAISED is alert.raised."""
    return event.value.lower().replace("_", ".", 1)


def retry_after_ms(tries: int, roll: int) -> int:
    """Return how long to wait after the given number of failed tries, in milliseconds.

    5 s, doubling, at most an hour; less up to a fifth of it by `roll`, a random number of 0..999, so that what failed
    together does not come back together. Rounded down.
    """
    assert tries >= 1
    assert 0 <= roll < 1000
    longest_s = min(FIRST_RETRY_S << min(tries - 1, 20), LONGEST_RETRY_S)
    return longest_s * (1000 - roll // 5)

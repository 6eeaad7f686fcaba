"""What hooks are told: the body of a webhook, and the e-mail for people.

Names, decimals and instants are as the API shows them. A body is written once, and stays the same at every attempt.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final

import orjson

from app.core.alerts import AlertSeverity
from app.core.drift import Entry
from app.core.hooks import HookEvent, HookKind, type_of, urgency
from app.core.money import plain
from app.core.scalars import write_instant
from app.store.alerts import Alert

WORST: Final = 10
"""Alerts that a digest tells in full."""
PORTFOLIOS: Final = 100
"""Portfolios that a digest names; it counts all."""

_PRIVATE: Final = {"base_currency", "acknowledged_by", "entry"}


@dataclass(frozen=True, slots=True)
class Notice:
    """One event to tell. `about` is the name of its portfolio, for people."""

    event: HookEvent
    at: datetime
    data: Mapping[str, Any]
    about: str | None = None


def write(notice: Notice, kind: HookKind) -> str:
    """Write a notice as JSON: the body of a webhook, or subject and text of an e-mail."""
    if kind is HookKind.EMAIL:
        subject, text = _mail(notice)
        return orjson.dumps({"subject": subject, "text": text}).decode()
    body = {"type": type_of(notice.event), "timestamp": write_instant(notice.at), "data": notice.data}
    return orjson.dumps(body).decode()


def alert_data(alert: Alert) -> dict[str, Any]:
    """Return an alert as the API shows it; its sleeve without what it is made of."""
    data = {_camel(field.name): _plain(getattr(alert, field.name)) for field in fields(alert)}
    kept = {name: value for name, value in data.items() if name not in {_camel(private) for private in _PRIVATE}}
    return {**kept, "entry": _entry(alert.entry, alert.base_currency) if alert.entry and alert.base_currency else None}


def _entry(entry: Entry, currency: str) -> dict[str, Any]:
    names = ("key", "targeted", "target", "actual", "drift", "relative_drift", "band_used", "status", "stale")
    return {
        **{_camel(name): _plain(getattr(entry, name)) for name in names},
        "band": {"kind": entry.band.kind.value, "lower": plain(entry.lower), "upper": plain(entry.upper)},
        "value": {"amount": plain(entry.value), "currency": currency},
        "toTarget": {"amount": plain(entry.to_target), "currency": currency},
    }


def line(notice: Notice) -> str:
    """Write one event as a line of a digest."""
    return orjson.dumps({"event": notice.event.value, "at": write_instant(notice.at), "alert": notice.data}).decode()


def digest(lines: Sequence[str]) -> Notice:
    """Sum up alert events: counted by kind, severity and event, the portfolios, and the worst in full."""
    told = [orjson.loads(text) for text in lines]
    counts = Counter((one["alert"]["kind"], one["alert"]["severity"], one["event"]) for one in told)
    concerned = list(dict.fromkeys(one["alert"]["portfolioId"] for one in told if one["alert"]["portfolioId"]))
    data = {
        "count": len(told),
        "alerts": [
            {"kind": kind, "severity": severity, "event": event, "count": count}
            for (kind, severity, event), count in sorted(counts.items())
        ],
        "portfolioCount": len(concerned),
        "portfolioIds": concerned[:PORTFOLIOS],
        "worst": [one["alert"] for one in sorted(told, key=_badness, reverse=True)[:WORST]],
    }
    at = max(datetime.fromisoformat(one["at"]) for one in told)
    return Notice(HookEvent.ALERT_DIGEST, at, data)


def _badness(told: Mapping[str, Any]) -> tuple[int, Decimal]:
    entry = told["alert"]["entry"] or {}
    return urgency(AlertSeverity(told["alert"]["severity"])), Decimal(entry.get("bandUsed") or 0)


def code_mail(code: str) -> str:
    """Write the e-mail that asks for a mailbox to be confirmed."""
    text = (
        "Somebody, you we hope, wants Steelyard to send alerts to this address.\n\n"
        f"The code that confirms it is {code}\n\n"
        "It is good for 24 hours. If it was not you, do nothing: nothing else will be sent."
    )
    return orjson.dumps({"subject": "Confirm this address for Steelyard", "text": text}).decode()


_SUBJECTS: Final = {
    HookEvent.ALERT_RAISED: "Alert",
    HookEvent.ALERT_ESCALATED: "Alert, worse than before",
    HookEvent.ALERT_REMINDED: "Reminder of an alert",
    HookEvent.ALERT_RESOLVED: "Over",
    HookEvent.ALERT_DIGEST: "Many alerts at once",
    HookEvent.PLAN_READY: "A plan is ready",
    HookEvent.TARGETS_CHANGED: "Targets were changed",
}


def _mail(notice: Notice) -> tuple[str, str]:
    """Return subject and text for a person."""
    head = _SUBJECTS[notice.event]
    subject = f"Steelyard: {head}" + (f" - {notice.about}" if notice.about else "")
    about = f"Portfolio: {notice.about}\n" if notice.about else ""
    return subject[:200], f"{_sentence(notice)}\n\n{about}Time: {write_instant(notice.at)}\n"


def _sentence(notice: Notice) -> str:
    data = notice.data
    if notice.event is HookEvent.PLAN_READY:
        return f"The plan {data['id']} is ready to be looked at."
    if notice.event is HookEvent.TARGETS_CHANGED:
        return f"The targets are now at version {data['version']}."
    if notice.event is HookEvent.ALERT_DIGEST:
        counts = [f"  {one['count']} x {one['kind']} {one['severity']} {one['event']}" for one in data["alerts"]]
        worst = [f"  {one['message']}" for one in data["worst"]]
        head = f"{data['count']} more alerts came at once, about {data['portfolioCount']} portfolios:"
        return "\n".join([head, *counts, "", "The worst of them:", *worst])
    return f"{data['severity']}: {data['message']}"


def _plain(value: object) -> Any:
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return write_instant(value)
    return value


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.title() for part in tail)

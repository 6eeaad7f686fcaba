"""What an event of a subscription needed goes with the event, however long its stream lives."""

import gc
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from graphql.execution.collect_fields import FieldDetails

from app.actions import alerts
from app.actions.alerts import Alert, AlertEvent
from app.api.schema import make_schema
from app.core.alerts import AlertEventKind, AlertKind, AlertSeverity, AlertStatus

RAISED = AlertEvent(
    "cursor",
    AlertEventKind.RAISED,
    Alert(
        id="al_1",
        portfolio_id=None,
        base_currency=None,
        kind=AlertKind.DATA_STALE,
        key=None,
        severity=AlertSeverity.WARNING,
        status=AlertStatus.OPEN,
        message="",
        entry=None,
        raised_at=datetime(2026, 1, 5, tzinfo=UTC),
    ),
)


class Caller:
    hub = None

    async def context(self) -> None: ...

    def check_token(self) -> None: ...


def alive() -> int:
    gc.collect()
    return sum(isinstance(one, FieldDetails) for one in gc.get_objects())


async def test_a_stream_keeps_nothing_of_the_events_it_has_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stream(*_: object) -> AsyncIterator[AlertEvent]:
        for _event in range(300):
            yield RAISED

    monkeypatch.setattr(alerts, "stream", stream)
    query = "subscription { driftAlerts { cursor alert { id status } } }"
    told: Any = await make_schema().subscribe(query, context_value=Caller())
    counts: list[int] = []
    async for answer in told:
        assert answer.data == {"driftAlerts": {"cursor": "cursor", "alert": {"id": "al_1", "status": "OPEN"}}}
        counts.append(alive() if len(counts) in (100, 200, 299) else 0)
    assert counts[100] == counts[200] == counts[299]

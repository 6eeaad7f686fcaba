"""A subscriber that reads slowly costs the API no memory and misses nothing: what waits stays in the database."""

import time
from typing import Any

import pytest

from app.actions import live
from app.context import new_uuid
from app.core import ids
from app.core.alerts import AlertKind, AlertSeverity, AlertStatus
from app.store import documents, events
from app.store.alerts import Alert
from tests.api.conftest import DEADLINE_S, Api, Caller
from tests.api.test_websocket import open_for, read, subscribe
from tests.builders import AS_OF

PAGES = 20
LONG = "x" * 10_000  # twenty megabytes in all, far more than the buffers of two sockets take
TELL = """
INSERT INTO outbox (owner_id, topic, subject, payload, created_at)
SELECT id, 'alert', n, $2, now() FROM owners CROSS JOIN generate_series(1, $3::int) AS n WHERE subject = $1
"""


def tell(api: Api, owner: Caller, count: int) -> None:
    """Let so many things happen to the owner's alerts, of a length that alerts never have."""
    key = ids.encode(ids.ALERT, new_uuid())
    kind, severity, status = AlertKind.DATA_STALE, AlertSeverity.WARNING, AlertStatus.OPEN
    alert = Alert(key, None, None, kind, None, severity, status, LONG, None, AS_OF)
    subject = owner.data("{ viewer { subject } }")["viewer"]["subject"]
    api.sql(TELL, subject, documents.dump({"event": "RAISED", "alert": alert}), count)


def test_who_does_not_read_is_not_read_for_and_then_gets_everything_once(
    api: Api, owner: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = []

    async def load(*given: Any) -> list[events.Event]:
        pages.append(await load_events(*given))
        return pages[-1]

    load_events = events.load_events
    monkeypatch.setattr(events, "load_events", load)
    after = owner.data("{ driftAlertsCursor }")["driftAlertsCursor"]
    tell(api, owner, PAGES * live.PAGE)
    query = "subscription ($after: String) { driftAlerts(after: $after) { cursor alert { message } } }"
    with open_for(owner) as socket:
        socket.send(subscribe("1", query, variables={"after": after}))
        seen = -1
        give_up_at = time.monotonic() + DEADLINE_S
        while seen < len(pages) or seen < 1:  # until it reads no further
            assert time.monotonic() < give_up_at
            seen = len(pages)
            time.sleep(1)
        assert seen < PAGES
        cursors = [read(socket)["payload"]["data"]["driftAlerts"]["cursor"] for _ in range(PAGES * live.PAGE)]
    assert len(set(cursors)) == len(cursors) == PAGES * live.PAGE
    assert sum(map(len, pages)) == len(cursors)
    assert cursors == [event.cursor for page in pages for event in page]

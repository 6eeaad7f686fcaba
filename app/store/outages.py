# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""The alert that data is stale: one an owner, however many portfolios wait for prices, open while any does.

That a portfolio waits is a state of its own, written by whoever measures it. What follows for the owner is seen in a
transaction of its own after that: it takes the owner's turn before its first write, so that of scans, ticks and
pauses side by side each sees what those before it have left, and events come in their order. It is derived from the
states alone, so it may run as often as one likes; the sweeper finds what a crash left undone. Only not amid a scan,
which settles at its end: an alert is raised once, so what it counts is what had been measured by then.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from app.core import alert_words
from app.core.alerts import AlertEventKind, AlertKind, AlertSeverity, Transition
from app.store import turns
from app.store.alert_rows import OF_OWNER, News, scan_write_news
from app.store.db import Tx

# Owners whose alert is not what their portfolios' states say it should be, or is due to be told again. It is due by
# the most eager policy among the portfolios that wait. Nobody's is, as long as a scan that decides is not closed that
# began after $3: asked in the same statement, as states of a scan that was not seen to begin must not be seen either.
_UNSETTLED: Final = """
    WITH waiting AS (
        SELECT p.owner_id, count(DISTINCT p.id) AS portfolios, min(s.told_at) AS since,
            array_agg(DISTINCT symbol ORDER BY symbol) AS symbols,
            min(nullif((p.policy ->> 'remind_after_s')::bigint, 0)) AS remind_after_s
        FROM drift_states s JOIN portfolios p ON p.id = s.portfolio_id CROSS JOIN unnest(s.symbols) AS symbol
        WHERE s.key = ' data' AND ($2::bigint[] IS NULL OR p.owner_id = ANY ($2))
        GROUP BY p.owner_id
    ), open AS (
        SELECT owner_id, status, raised_at, snoozed_until, greatest(raised_at, reminded_at) AS told_at FROM alerts
        WHERE portfolio_id IS NULL AND kind = 'DATA_STALE' AND status <> 'RESOLVED'
            AND ($2::bigint[] IS NULL OR owner_id = ANY ($2))
    )
    SELECT owner_id, w.portfolios, w.since, w.symbols, o.raised_at
    FROM waiting w FULL JOIN open o USING (owner_id)
    WHERE (
            w.owner_id IS NULL OR o.owner_id IS NULL OR o.snoozed_until <= $1
            OR o.snoozed_until IS NULL AND o.status = 'OPEN'
                AND o.told_at <= $1::timestamptz - make_interval(secs => w.remind_after_s)
        )
        AND NOT EXISTS (
            SELECT FROM scan_runs WHERE status = 'RUNNING' AND kind = 'SCHEDULED' AND started_at > $3::timestamptz
        )
"""


async def scan_unsettled(
    tx: Tx, now: datetime, limit: int, owner_ids: Sequence[int] | None = None, *, scanning_since: datetime | None = None
) -> list[int]:
    """Return owners whose alert about data has to change, at most `limit`, of all unless some are given.

    None as long as a scan runs that began after `scanning_since`, an instant of the wall clock.
    """
    rows = await tx.fetch(
        f"SELECT owner_id FROM ({_UNSETTLED}) u ORDER BY owner_id LIMIT $4", now, owner_ids, scanning_since, limit
    )
    return [row["owner_id"] for row in rows]


async def scan_settle(
    tx: Tx,
    owner_ids: Sequence[int],
    *,
    now: datetime,
    new_uuid: Callable[[], UUID],
    scanning_since: datetime | None = None,
) -> set[int]:
    """Raise, remind of or resolve the alerts about data of these owners; return those who were told something.

    A transaction of its own: the owners' turns are taken in one order, before anything is written. Nothing happens as
    long as a scan runs that began after `scanning_since`.
    """
    await turns.scan_take_turns(tx, turns.OWNER, owner_ids)
    rows = await tx.fetch(_UNSETTLED, now, list(owner_ids), scanning_since)
    news = [News(row["owner_id"], None, _transition(row, now)) for row in rows]
    await scan_write_news(tx, news, now, new_uuid, of=OF_OWNER)
    return {one.owner_id for one in news}


def _transition(row: asyncpg.Record, now: datetime) -> Transition:
    if row["portfolios"] is None:
        event, severity = AlertEventKind.RESOLVED, AlertSeverity.INFO
        message = alert_words.of_outage_over(row["raised_at"], now)
    else:
        event = AlertEventKind.RAISED if row["raised_at"] is None else AlertEventKind.REMINDED
        severity = AlertSeverity.WARNING
        message = alert_words.of_outage(row["portfolios"], row["symbols"], row["since"], now)
    return Transition(event, AlertKind.DATA_STALE, None, severity, message, None)

"""The health monitor: a run per bucket of the domain clock, in chunks, each measured and written once."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from app.actions import alerts as alert_actions
from app.actions.access import domain_now
from app.actions.pages import Page, key_of, page_of
from app.actions.portfolios import Loaded
from app.bus.jobs import SCAN_CHUNK
from app.context import Context, Services, new_uuid, wall_now
from app.core import alerts as core_alerts
from app.core import drift, scalars
from app.core.alerts import AlertEventKind, Decision
from app.core.drift import Report
from app.core.errors import SteelyardError
from app.store import alerts, logs, reading, scans
from app.store.alerts import Decided
from app.store.db import Tx
from app.store.scans import Run as Run

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SWEEP_MAX: Final = 10_000

log = structlog.get_logger(__name__)

Measured = tuple[Loaded, Report]


def bucket_of(now: datetime, period_s: int) -> datetime:
    """Return the start of the bucket an instant lies in: floor(now / period), as periods divide a day."""
    period = timedelta(seconds=period_s)
    return EPOCH + (now - EPOCH) // period * period


async def tick(services: Services) -> datetime | None:
    """Open the scan of the current bucket and enqueue its chunks; None when somebody opened it before."""
    now = await domain_now(services)
    bucket = bucket_of(now, services.settings.scan_period_s)
    async with services.store.shared() as tx:
        opened = await scans.open_run(
            tx,
            bucket,
            now,
            services.settings.scan_period_s,
            services.settings.scan_chunk_portfolios,
            wall_now(),
            new_uuid,
        )
        chunks = await scans.unfinished_chunks(tx, SWEEP_MAX, bucket) if opened else []
    if not opened:
        return None
    log.info("scan_opened", bucket=bucket.isoformat(), chunks=len(chunks))
    await _enqueue(services, chunks)
    if not chunks:
        await _finish(services, bucket)
    return bucket


async def start(context: Context) -> Run:
    """Open the scan of the current bucket, or return the one that is there."""
    context.require_operator()
    await tick(context)
    async with context.store.shared(reading=True) as tx:
        return (await scans.runs(tx, 1))[0]


async def page(context: Context, first: int, after: str | None) -> Page[Run]:
    """List scans, newest first."""
    context.require_operator()
    before = key_of(after, scalars.instant)
    async with context.store.shared(reading=True) as tx:
        found = await scans.runs(tx, first + 1, before)
    return page_of(found, first, lambda run: scalars.write_instant(run.bucket))


async def sweep(services: Services) -> None:
    """Put chunks that got lost back into the queue, and close runs whose last chunk was done as its worker died."""
    async with services.store.shared(reading=True) as tx:
        running = await scans.running_buckets(tx)
        chunks = await scans.unfinished_chunks(tx, SWEEP_MAX) if running else []
    await _enqueue(services, chunks)
    unfinished = {bucket for bucket, _ in chunks}
    for bucket in running:
        if bucket not in unfinished:
            await _finish(services, bucket)


async def measure_chunk(services: Services, bucket_text: str, number: int) -> None:
    """Measure the portfolios of one chunk and write, in one transaction: its mark, the log, states and alerts.

    The measuring itself is outside: a transaction that writes events holds back every reader of them.
    """
    bucket = scalars.instant(bucket_text)
    async with services.store.shared(reading=True) as tx:
        chunk = await scans.load_chunk(tx, bucket, number)
        if chunk is None:
            return
        loaded = await reading.scan_snapshots(tx, bucket, chunk.from_id, chunk.to_id, chunk.as_of)
    # A thread, not a process: a chunk is worth less than sending it there and back.
    measured = await asyncio.to_thread(measure_all, loaded)
    async with services.store.shared() as tx:
        await alerts.scan_take_turn(tx)
        if not await scans.claim_chunk(tx, bucket, number, wall_now()):
            return
        owners = await _write(tx, bucket, number, chunk.as_of, measured, failed=len(loaded) - len(measured))
    await services.bus.nudge("alert", owners)
    await _finish(services, bucket)


def measure_all(loaded: Sequence[Loaded]) -> list[Measured]:
    """Measure portfolios one by one; one that cannot be measured is logged and left out."""
    measured = []
    for one in loaded:
        try:
            measured.append((one, drift.measure(one.snapshot, tracking=True)))
        except SteelyardError as error:
            log.error("portfolio_not_measured", portfolio=one.row.public_id, reason=error.message)
        except Exception:  # our mistake, which must not cost the others of the chunk their hour
            log.exception("portfolio_not_measured", portfolio=one.row.public_id)
    return measured


async def _write(
    tx: Tx, bucket: datetime, number: int, as_of: datetime, measured: Sequence[Measured], *, failed: int
) -> set[int]:
    rows = [one.row.id for one, _ in measured]
    states = await alerts.scan_states(tx, rows)
    # A bucket that comes late is logged, but says nothing new: what is newer has been decided on already.
    overtaken = await logs.scan_overtaken(tx, bucket, rows)
    decided = [
        Decided(one.row.owner_id, one.row.id, _decide(one, report, states.get(one.row.id, {}), bucket))
        for one, report in measured
        if one.row.id not in overtaken
    ]
    await alerts.scan_save_decisions(tx, decided, now=as_of, new_uuid=new_uuid)
    await logs.scan_write_logs(tx, bucket, [(one.row, report) for one, report in measured])
    told = [(one.owner_id, transition) for one in decided for transition in one.decision.transitions]
    urgent = (AlertEventKind.RAISED, AlertEventKind.ESCALATED)
    await scans.finish_chunk(
        tx,
        bucket,
        number,
        scanned=len(measured),
        breached=sum(bool(report.breaches) for _, report in measured),
        alerts=sum(transition.event in urgent for _, transition in told),
        failed=failed,
    )
    return {owner_id for owner_id, _ in told}


def _decide(one: Loaded, report: Report, states: dict[str, core_alerts.SleeveState], bucket: datetime) -> Decision:
    return core_alerts.decide(states, report, one.snapshot.policy, bucket)


async def _enqueue(services: Services, chunks: Sequence[tuple[datetime, int]]) -> None:
    for bucket, number in chunks:
        text = scalars.write_instant(bucket)
        await services.bus.enqueue(SCAN_CHUNK, text, number, unique=f"{text}:{number}")


async def _finish(services: Services, bucket: datetime) -> None:
    async with services.store.shared() as tx:
        done = await scans.finish_run(tx, bucket, wall_now())
    if done:
        log.info("scan_done", bucket=bucket.isoformat())
        await alert_actions.settle(services)  # now that all portfolios are seen

"""The health monitor: a run per bucket of the domain clock, in chunks, each measured and written once."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from app.actions import alerts as alert_actions
from app.actions.access import domain_now
from app.actions.deciding import Measured, Told, decide, measure_all, measure_now, tell
from app.actions.live import Hub
from app.actions.pages import Page, key_of, page_of
from app.bus.jobs import SCAN_CHUNK
from app.context import Context, Services, new_uuid, wall_now
from app.core import scalars
from app.core.drift import DriftStatus
from app.store import alerts, logs, missed, reading, scans, ticks
from app.store.db import StoreUnavailable, Tx
from app.store.scans import Chunk
from app.store.scans import Run as Run
from app.store.scans import ScanKind as ScanKind
from app.store.scans import ScanStatus as ScanStatus

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SWEEP_MAX: Final = 10_000
LATE_MAX: Final = timedelta(seconds=86_400)
"""A bucket is made up for at most this long after it began."""
GAP_MAX: Final = 1000
LATE_RUNS_MAX: Final = 24
"""A tick looks at so many buckets without a run, and opens so many late ones; the next tick goes on."""

log = structlog.get_logger(__name__)


def bucket_of(now: datetime, period_s: int) -> datetime:
    """Return the start of the bucket an instant lies in: floor(now / period), as periods divide a day."""
    period = timedelta(seconds=period_s)
    return EPOCH + (now - EPOCH) // period * period


async def tick(services: Services) -> datetime | None:
    """Open the scan of the current bucket and enqueue its chunks; None when somebody opened it before.

    It comes before what was missed: somebody waits for it, and nobody is told anything of the others.
    """
    now = await domain_now(services)
    bucket = bucket_of(now, services.settings.scan_period_s)
    period_s, chunk = services.settings.scan_period_s, services.settings.scan_chunk_portfolios
    async with services.store.shared() as tx:
        opened = await scans.open_run(tx, bucket, now, period_s, chunk, wall_now(), new_uuid)
    if opened:
        await _begin(services, bucket)
    await _catch_up(services, now)
    return bucket if opened else None


async def _catch_up(services: Services, now: datetime) -> None:
    """Fill the oldest gap: late runs where prices of a bucket's own time are stored, else the record of a miss."""
    async with services.store.shared() as tx:
        gap = await missed.scan_take_gap(tx)
        if gap is None:
            return
        buckets = gap.buckets(GAP_MAX)
        recent = [bucket for bucket in buckets if bucket >= now - LATE_MAX]
        priced = await missed.scan_priced_buckets(tx, recent, gap.period_s)
        late = sorted(priced)[:LATE_RUNS_MAX]
        if len(late) < len(priced):  # up to the first that is too many
            buckets = [bucket for bucket in buckets if bucket < sorted(priced)[LATE_RUNS_MAX]]
        lost = [bucket for bucket in buckets if bucket not in priced]
        await missed.scan_record_missed(tx, lost, gap.period_s, wall_now(), new_uuid)
        chunk = services.settings.scan_chunk_portfolios
        for bucket in late:
            as_of = priced[bucket]
            await missed.scan_open_late(tx, bucket, as_of, gap.period_s, chunk, wall_now(), new_uuid)
        await missed.scan_shrink_gap(tx, gap, buckets[-1] + timedelta(seconds=gap.period_s))
    log.warning("buckets_missed", caught_up=len(late), missed=len(lost), first=gap.first.isoformat())
    for bucket in late:
        await _begin(services, bucket)


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


async def stream(context: Context, hub: Hub) -> AsyncIterator[Run]:
    """Yield the newest scan as it is now, then every change of it, or of a newer one."""
    context.require_operator()
    last: Run | None = None
    with hub.look_along() as wake:
        while True:
            wake.clear()
            try:
                async with context.store.shared(reading=True) as tx:
                    newest = await scans.runs(tx, 1)
            except StoreUnavailable:
                newest = []
            for run in newest:
                if run != last:
                    last = run
                    yield run
            await wake.wait()


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
        late = chunk.kind is ScanKind.CATCH_UP
        if late:
            loaded = [one for one in loaded if one.row.created_at <= chunk.as_of]
        changed = await missed.scan_changed_since(tx, [one.row.id for one in loaded], chunk.as_of) if late else set()
    known = [one for one in loaded if one.row.id not in changed]
    # A thread, not a process: a chunk is worth less than sending it there and back.
    measured = await asyncio.to_thread(measure_all, known, tracking=True)
    async with services.store.shared() as tx:
        await alerts.scan_take_turn(tx, [one.row.id for one in loaded])
        if not await scans.claim_chunk(tx, bucket, number, wall_now()):
            return
        told = [] if late else await _decide(tx, chunk, measured)
        await logs.scan_write_logs(tx, bucket, [(one.row, report) for one, report in measured])
        await missed.scan_write_missed(
            tx, bucket, chunk.as_of, {one.row.id: one.row.owner_id for one in loaded if one.row.id in changed}
        )
        await scans.finish_chunk(
            tx,
            bucket,
            number,
            scanned=len(measured),
            stale=sum(report.status is DriftStatus.DATA_STALE for _, report in measured),
            breached=sum(report.status is DriftStatus.BREACHED for _, report in measured),
            alerts=sum(one.urgent for one in told),
            failed=len(loaded) - len(measured),
        )
    await tell(services, told)
    await _finish(services, bucket)


async def _decide(tx: Tx, chunk: Chunk, measured: Sequence[Measured]) -> list[Told]:
    """Decide about the portfolios of a chunk; not where a later bucket, which has come first, has decided already.

    Where a price tick has been faster, its prices are newer than the run's: there the latest count, lest an alert
    that it raised were resolved by what was true before. The log keeps the prices of the run.
    """
    states = await alerts.scan_states(tx, [one.row.id for one, _ in measured])
    overtaken = await logs.scan_overtaken(tx, chunk.bucket, [one.row.id for one, _ in measured])
    ticked = await ticks.scan_decided_since(tx, [one.row.id for one, _ in measured], chunk.xid)
    reports = [(one, report) for one, report in measured if one.row.id not in overtaken]
    if ticked:
        newer = {one.row.id: (one, report) for one, report in await measure_now(tx, ticked, chunk.as_of)}
        reports = [newer.get(one.row.id, (one, report)) for one, report in reports]
    return await decide(tx, reports, states, bucket=chunk.bucket, now=chunk.as_of)


async def _begin(services: Services, bucket: datetime) -> None:
    async with services.store.shared(reading=True) as tx:
        chunks = await scans.unfinished_chunks(tx, SWEEP_MAX, bucket)
    log.info("scan_opened", bucket=bucket.isoformat(), chunks=len(chunks))
    await _enqueue(services, chunks)
    if not chunks:
        await _finish(services, bucket)


async def _enqueue(services: Services, chunks: Sequence[tuple[datetime, int]]) -> None:
    for bucket, number in chunks:
        text = scalars.write_instant(bucket)
        await services.bus.enqueue(SCAN_CHUNK, text, number, unique=f"{text}:{number}")


async def _finish(services: Services, bucket: datetime) -> None:
    async with services.store.shared() as tx:
        kind = await scans.finish_run(tx, bucket, wall_now())
    if kind:
        log.info("scan_done", bucket=bucket.isoformat())
    if kind is ScanKind.SCHEDULED:  # one that comes late decides nothing
        await alert_actions.settle(services, scanned=True)

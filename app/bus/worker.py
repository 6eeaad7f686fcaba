"""The worker: arq's way to run a job, with our own way to stay alive.

arq's worker ends when the server is away for a second, never renews the lock of a running job, and loses count of its
free slots when a command fails. Here the loop outlives the server, a job is held by a short lease that is renewed
while it runs, and the slots are counted from the tasks themselves. Jobs run at least once, so each can run twice.
"""

import asyncio
import contextlib
import signal
from collections.abc import Sequence
from datetime import UTC
from typing import Any

import structlog
from arq import worker as arq_worker
from arq.constants import in_progress_key_prefix
from arq.cron import CronJob
from arq.typing import StartupShutdown, WorkerCoroutine
from arq.utils import timestamp_ms
from arq.worker import Function

from app.bus import jobs
from app.bus.connection import AWAY, JOB_LIFE_MS, Backoff, connect
from app.settings import Settings

log = structlog.get_logger(__name__)

POLL_S = 0.05

# Running jobs stay in the queue, oldest first: a read must reach past those of all workers together to find new ones.
READ_MAX = 1000

# A lease is renewed this often in its life: one answer may come late, and one get lost, before it runs out.
RENEWALS = 3

# A job whose worker died this often is likely why; the sweeper may ask for it again.
TRIES_MAX = 5

# A healthy server answers in a millisecond. One that is silent this long is taken for away.
ANSWER_S = 5.0

# The worker says that it lives this often, in a key of the queue.
HEALTH_S = 10

# How long jobs may take to end after they were cancelled, before the process ends under them.
CANCEL_S = 5.0

# Connections beside one for each job: the poll, the leases, the cron.
CONNECTIONS_SPARE = 5

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Worker(arq_worker.Worker):
    """Runs the jobs of one queue until it is told to stop."""

    def __init__(self, functions: Sequence[Function | WorkerCoroutine], settings: Settings, **options: Any) -> None:
        super().__init__(functions, **options)
        self._lease_ms = int(settings.job_lease_s * 1000)
        self._stop_timeout_s = settings.stop_timeout_s
        self._stopping = asyncio.Event()
        # Held while leases are written and while a job gives its lease back, lest a renewal revives a lease that ended.
        self._lease_lock = asyncio.Lock()

    def stop(self) -> None:
        """Take no more jobs, finish those that run, and end."""
        self._stopping.set()

    async def main(self) -> None:
        """Live a worker's whole life: reach the server, start up, run jobs, drain, shut down."""
        try:
            await self._reach_server()
            if not self._stopping.is_set():
                await self._work()
        finally:
            await self.close()

    async def close(self) -> None:
        """Let go of the server."""
        await self.pool.aclose(close_connection_pool=True)

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """Start those of the waiting jobs that nobody holds, as far as there are free slots."""
        for job_id in await self._unheld(job_ids):
            if self._running() >= self.max_jobs or self._stopping.is_set():
                return
            score = await self._claim(job_id)
            if score is not None:
                self.tasks[job_id] = asyncio.create_task(self.run_job(job_id, score))

    async def finish_job(self, *args: Any, **kwargs: Any) -> None:
        """Record the end of a job and give back its lease."""
        async with self._lease_lock:
            await super().finish_job(*args, **kwargs)

    async def _reach_server(self) -> None:
        backoff = Backoff()
        while not self._stopping.is_set():
            try:
                await self.pool.ping()
            except AWAY as error:
                await self._wait_out(error, backoff)
            else:
                return

    async def _work(self) -> None:
        if self.on_startup:
            await self.on_startup(self.ctx)
        renewal = asyncio.create_task(self._renew_leases())
        try:
            await self._run_jobs()
            await self._drain()
        finally:
            await self._hand_back_jobs()
            renewal.cancel()
            if self.on_shutdown:
                await self.on_shutdown(self.ctx)

    async def _run_jobs(self) -> None:
        backoff = Backoff()
        was_away = False
        while not self._stopping.is_set():
            try:
                await self._poll_iteration()
            except AWAY as error:
                was_away = True
                await self._wait_out(error, backoff)
                continue
            if was_away:
                was_away = False
                backoff.reset()
                self._forget_cron_slots()
            await self._pause(POLL_S)

    async def _poll_iteration(self) -> None:
        self._reap()
        if self._running() < self.max_jobs:
            due = await self.pool.zrangebyscore(
                self.queue_name, min=float("-inf"), max=timestamp_ms(), start=0, num=self.queue_read_limit
            )
            await self.start_jobs(due)
        await self.heart_beat()

    def _running(self) -> int:
        return sum(not task.done() for task in self.tasks.values())

    def _reap(self) -> None:
        for job_id, task in list(self.tasks.items()):
            if task.done():
                del self.tasks[job_id]
                self._look_at_end(job_id, task)

    def _look_at_end(self, job_id: str, task: asyncio.Task[None]) -> None:
        """Log a job whose end could not be recorded: its lease runs out, and then it runs again."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            surprise = None if isinstance(error, AWAY) else error
            log.warning("job_end_not_recorded", job_id=job_id, error=repr(error), exc_info=surprise)

    def _forget_cron_slots(self) -> None:
        """Begin the cron as at start-up, so that what runs at start-up makes up for the slots of an outage."""
        for cron_job in self.cron_jobs:
            cron_job.next_run = None

    async def _unheld(self, job_ids: list[bytes]) -> list[str]:
        waiting = [job_id for job_id in map(bytes.decode, job_ids) if job_id not in self.tasks]
        if not waiting:
            return []
        leases = await self.pool.mget([in_progress_key_prefix + job_id for job_id in waiting])
        return [job_id for job_id, lease in zip(waiting, leases, strict=True) if lease is None]

    async def _claim(self, job_id: str) -> int | None:
        """Take the lease of a job and return its score, or None when another worker was faster."""
        lease_key = in_progress_key_prefix + job_id
        async with self.pool.pipeline(transaction=True) as pipe:
            pipe.set(lease_key, b"1", nx=True, px=self._lease_ms)
            pipe.zscore(self.queue_name, job_id)
            claimed, score = await pipe.execute()
        if not claimed:
            return None
        if score is None or score > timestamp_ms():
            # It ended, or was put off, between the read of the queue and the claim.
            await self.pool.delete(lease_key)
            return None
        return int(score)

    async def _renew_leases(self) -> None:
        while True:
            await asyncio.sleep(self._lease_ms / 1000 / RENEWALS)
            try:
                async with self._lease_lock:
                    await self._write_leases()
            except AWAY as error:
                log.warning("leases_not_renewed", queue=self.queue_name, error=str(error))

    async def _write_leases(self) -> None:
        """Hold every running job for another lease, also when the server was emptied and had forgotten it."""
        if not self.job_tasks:
            return
        async with self.pool.pipeline(transaction=False) as pipe:
            for job_id in self.job_tasks:
                pipe.set(in_progress_key_prefix + job_id, b"1", px=self._lease_ms)
            await pipe.execute()

    async def _drain(self) -> None:
        if self.tasks:
            log.info("worker_drains", queue=self.queue_name, jobs=self._running())
            await asyncio.wait(self.tasks.values(), timeout=self._stop_timeout_s)

    async def _hand_back_jobs(self) -> None:
        """Cancel what still runs: it goes back to the queue, and the next worker runs it at once."""
        for task in self.tasks.values():
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks.values(), timeout=CANCEL_S)
        self._reap()

    async def _wait_out(self, error: Exception, backoff: Backoff) -> None:
        wait_s = backoff.next_s()
        log.warning("bus_away", doing="work", queue=self.queue_name, error=str(error), retry_s=wait_s)
        await self._pause(wait_s)

    async def _pause(self, wait_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._stopping.wait()


def make_worker(
    settings: Settings,
    redis_url: str,
    *,
    queue: str,
    functions: Sequence[Function | WorkerCoroutine],
    cron_jobs: Sequence[CronJob] = (),
    on_startup: StartupShutdown | None = None,
    on_shutdown: StartupShutdown | None = None,
    concurrency: int,
) -> Worker:
    """Make a worker for one queue; it must be made inside the event loop that runs it.

    A function's name, or the name given by `arq.func`, is the job's name. Cron functions only enqueue; one that
    runs at start-up also runs after an outage of the server.
    """
    return Worker(
        functions,
        settings,
        queue_name=queue,
        cron_jobs=cron_jobs,
        redis_pool=connect(redis_url, answer_s=ANSWER_S, connections=concurrency + CONNECTIONS_SPARE),
        on_startup=on_startup,
        on_shutdown=on_shutdown,
        handle_signals=False,
        max_jobs=concurrency,
        job_timeout=settings.job_timeout_s,
        keep_result=0,
        poll_delay=POLL_S,
        queue_read_limit=READ_MAX,
        max_tries=TRIES_MAX,
        health_check_interval=HEALTH_S,
        job_serializer=jobs.encode,
        job_deserializer=jobs.decode,
        expires_extra_ms=JOB_LIFE_MS,
        timezone=UTC,
        log_results=False,
    )


async def run_workers(workers: Sequence[Worker]) -> None:
    """Run the workers until SIGINT or SIGTERM, then drain them all. When one fails, the others drain and it raises.

    A second signal changes nothing: a terminal and a supervisor often both send one.
    """

    def stop() -> None:
        for worker in workers:
            worker.stop()

    loop = asyncio.get_running_loop()
    for signum in STOP_SIGNALS:
        loop.add_signal_handler(signum, stop)
    lives = [asyncio.create_task(worker.main(), name=worker.queue_name) for worker in workers]
    try:
        await asyncio.wait(lives, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop()
        await asyncio.wait(lives)
        for signum in STOP_SIGNALS:
            loop.remove_signal_handler(signum)
    await asyncio.gather(*lives)

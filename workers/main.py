"""The worker process: its jobs, its cron, what runs beside them, and how it starts and stops."""

import argparse
import asyncio
from collections.abc import Sequence
from typing import Any, Final

import structlog
from arq import cron
from arq.cron import CronJob
from pydantic import ValidationError

from app import logs
from app import settings as settings_module
from app.actions.brokers import brokers_of
from app.bus.jobs import HEAVY, LIGHT
from app.bus.worker import Worker, make_worker, run_workers
from app.context import Services, on_thread, open_services
from app.core.errors import SteelyardError
from app.core.optimize import search
from app.settings import Settings
from workers import bulk, execute, optimize, scan, ticks
from workers.deliver import deliver_forever
from workers.execute import wake_forever
from workers.pool import Processes
from workers.sweep import sweep_forever

QUEUES: Final = {"light": (LIGHT,), "heavy": (HEAVY,), "all": (LIGHT, HEAVY)}
LIGHT_JOBS: Final = (scan.scan_tick, scan.scan_chunk, ticks.prices_tick, execute.plan_execute, execute.pool_work)
HEAVY_JOBS: Final = (optimize.plan_compute, bulk.bulk_run)
MINUTE_S: Final = 60

log = structlog.get_logger(__name__)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a worker until it is told to stop."""
    parser = argparse.ArgumentParser(prog="python -m workers", description=__doc__)
    parser.add_argument("--queue", choices=sorted(QUEUES), default="all", help="which jobs to work on")
    queue = parser.parse_args(arguments).queue
    try:
        settings = settings_module.load()
        logs.configure(settings)
        asyncio.run(work(settings, queue))
    except ValidationError as error:
        raise SystemExit(f"error: {settings_module.explain(error)}") from None
    except SteelyardError as error:
        raise SystemExit(f"error: {error.message}") from None


async def work(settings: Settings, queue: str) -> None:
    """Open the connections, run the queues' workers, the sweeper, the deliverer and the waker, and close."""
    processes = Processes(settings.heavy_jobs, search.warm if settings.compiled else None)
    heavy = HEAVY in QUEUES[queue]
    try:
        async with open_services(settings, processes.run if heavy else on_thread) as services:
            if heavy and settings.compiled:
                await processes.begin()
            loops = (sweep_forever, deliver_forever, wake_forever)
            beside = [asyncio.create_task(loop(services)) for loop in loops]
            try:
                await run_workers([_worker(services, name) for name in QUEUES[queue]])
            finally:
                for task in beside:
                    task.cancel()
                await asyncio.gather(*beside, return_exceptions=True)
    finally:
        processes.close()
    log.info("worker_stopped", queue=queue)


def _worker(services: Services, queue: str) -> Worker:
    settings = services.settings

    async def startup(ctx: dict[str, Any]) -> None:
        ctx["services"] = services
        ctx["brokers"] = brokers_of(services)
        ctx["bulks"] = set()

    light = queue == LIGHT
    return make_worker(
        settings,
        settings.redis_url,
        queue=queue,
        functions=LIGHT_JOBS if light else HEAVY_JOBS,
        cron_jobs=[_tick(settings)] if light else [],
        on_startup=startup,
        concurrency=settings.light_jobs if light else settings.heavy_jobs,
    )


def _tick(settings: Settings) -> CronJob:
    """The clock of the scan: every minute, or every second where buckets are shorter. It only enqueues."""
    # In the demo a day passes in seconds, so its buckets are short by the wall clock whatever their length.
    every_second = settings.demo or settings.scan_period_s < MINUTE_S
    second = set(range(60)) if every_second else 0
    return cron(scan.scan_tick, second=second, run_at_startup=True, unique=True, max_tries=1)

"""Plans that are executed, and pools of their orders: the jobs that work them, and what asks for those in time."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import structlog
from arq import Retry

from app.actions import executing, pools
from app.actions.access import Unavailable
from app.context import Services

WAKE_S: Final = 1.0
"""How often plans are looked for that are due: slices, sessions and answers of brokers wait no longer than that."""
DEMO_WAKE_S: Final = 0.25
"""The same in the demo, where a session of the US exchanges takes 1.35 seconds."""
RETRY_MAX_S: Final = 300

log = structlog.get_logger(__name__)


async def plan_execute(ctx: dict[str, Any], owner_id: int, plan_id: str) -> None:
    """Work the orders of one plan. One that cannot be worked is tried again ever more rarely, whatever is due of it."""
    with _retried(ctx, "plan_not_worked", plan=plan_id):
        await executing.advance(ctx["services"], owner_id, plan_id, ctx["brokers"])


async def pool_work(ctx: dict[str, Any], owner_id: int, bulk_id: str) -> None:
    """Put an owner's orders in the pool of a bulk together, and work the blocks; as ever more rarely as plans."""
    with _retried(ctx, "pool_not_worked", bulk=bulk_id):
        await pools.work(ctx["services"], owner_id, bulk_id, ctx["brokers"])


@contextmanager
def _retried(ctx: dict[str, Any], event: str, **what: str) -> Iterator[None]:
    try:
        yield
    except Unavailable:
        raise
    except Exception as error:
        wait_s = min(4 ** ctx["job_try"], RETRY_MAX_S)
        log.exception(event, **what, retry_s=wait_s)
        raise Retry(defer=wait_s) from error


async def wake_forever(services: Services) -> None:
    """Ask for plans and pools that are due, every second, until cancelled. What is due is in the database alone."""
    wait_s = DEMO_WAKE_S if services.settings.demo else WAKE_S
    while True:
        try:
            await executing.scan_due(services)
            await pools.scan_due(services)
        except Unavailable as error:
            log.warning("waking_postponed", reason=str(error))
        except Exception:
            log.exception("waking_failed")
        await asyncio.sleep(wait_s)

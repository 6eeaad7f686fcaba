"""Plans that are executed: the job that works one, and what asks for it in time."""

import asyncio
from typing import Any, Final

import structlog
from arq import Retry

from app.actions import executing
from app.actions.access import Unavailable
from app.context import Services

WAKE_S: Final = 1.0
"""How often plans are looked for that are due: slices, sessions and answers of brokers wait no longer than that."""
RETRY_MAX_S: Final = 300

log = structlog.get_logger(__name__)


async def plan_execute(ctx: dict[str, Any], owner_id: int, plan_id: str) -> None:
    """Work the orders of one plan. One that cannot be worked is tried again ever more rarely, whatever is due of it."""
    try:
        await executing.advance(ctx["services"], owner_id, plan_id, ctx["brokers"])
    except Unavailable:
        raise
    except Exception as error:
        wait_s = min(4 ** ctx["job_try"], RETRY_MAX_S)
        log.exception("plan_not_worked", plan=plan_id, retry_s=wait_s)
        raise Retry(defer=wait_s) from error


async def wake_forever(services: Services) -> None:
    """Ask for plans that are due, every second, until cancelled. What is due is in the database alone."""
    while True:
        try:
            await executing.scan_due(services)
        except Unavailable as error:
            log.warning("waking_postponed", reason=str(error))
        except Exception:
            log.exception("waking_failed")
        await asyncio.sleep(WAKE_S)

"""The kill switch: an owner halts a portfolio, operators halt trading for all. Orders that work are cancelled."""

from typing import Final

import structlog

from app.actions import executing, portfolios
from app.actions.portfolios import Loaded
from app.context import Context
from app.core import scalars
from app.core.errors import InvalidInput
from app.store import halts
from app.store import portfolios as portfolio_rows
from app.store.halts import TradingHalt as TradingHalt

REASON_MAX: Final = 500

log = structlog.get_logger(__name__)


async def halt(context: Context, portfolio_id: str, reason: str) -> Loaded:
    """Send no orders of a portfolio any more, and cancel those that work; halted twice is halted."""
    why = _line(reason) if reason else ""
    async with context.store.owned(context.owner_id) as tx:
        head = await portfolio_rows.lock_portfolio(context.owner_id, tx, portfolio_id)
        due = await halts.halt_portfolio(context.owner_id, tx, head, why, actor=context.actor, now=context.now)
        loaded = await portfolios.require(context, tx, portfolio_id)
    await _tell(context, due)
    return loaded


def _line(reason: str) -> str:
    try:
        return scalars.text(reason, "reason", longest=REASON_MAX)
    except InvalidInput as error:
        raise error.under("reason") from None


async def resume(context: Context, portfolio_id: str) -> Loaded:
    """Let orders of a portfolio be sent again; what was cancelled is sent anew."""
    async with context.store.owned(context.owner_id) as tx:
        head = await portfolio_rows.lock_portfolio(context.owner_id, tx, portfolio_id)
        due = await halts.resume_portfolio(context.owner_id, tx, head, actor=context.actor, now=context.now)
        loaded = await portfolios.require(context, tx, portfolio_id)
    await _tell(context, due)
    return loaded


async def _tell(context: Context, plan_ids: list[str]) -> None:
    for plan_id in plan_ids:
        await executing.enqueue(context, context.owner_id, plan_id)
    await context.bus.nudge("portfolio", [context.owner_id])


async def trading(context: Context) -> TradingHalt:
    """Return whether trading is halted for all."""
    async with context.store.shared() as tx:
        return await halts.load_trading_halt(tx)


async def halt_all(context: Context, reason: str) -> TradingHalt:
    """Send no orders of anybody any more, and cancel those that work. Who halted first, and why, stays."""
    context.require_operator()
    why = _line(reason)
    async with context.store.shared() as tx:
        found = await halts.scan_halt_all(tx, why, actor=context.actor, now=context.now)
    log.warning("trading_halted", by=found.halted_by, reason=found.reason)
    await _wake_all(context)
    return found


async def resume_all(context: Context) -> TradingHalt:
    """Let orders be sent again, but for those of portfolios that are halted by themselves."""
    context.require_operator()
    async with context.store.shared() as tx:
        found = await halts.scan_resume_all(tx)
    log.warning("trading_resumed", by=context.actor)
    await _wake_all(context)
    return found


async def _wake_all(context: Context) -> None:
    """Have every plan that is executed looked at, in a transaction after that of the switch, which holds for all."""
    async with context.store.shared() as tx:
        due = await halts.scan_wake_all(tx, context.now)
    for owner_id, plan_id in due:
        await executing.enqueue(context, owner_id, plan_id)

# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""The alert that it is not known what became of an order: raised and resolved in the transaction of what is known.

It is about the order, not about what is watched of its portfolio: it outlives a pause.
"""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from app.core import alert_words, ids
from app.core.alerts import AlertEventKind, AlertKind, AlertSeverity, Transition
from app.core.money import plain
from app.core.order_values import CancelCause, Order, OrderStatus
from app.store.alert_rows import FIELDS, News, load_told, scan_tell, scan_write_news
from app.store.db import Tx


async def settle_unknown(
    owner_id: int,
    tx: Tx,
    portfolio_row_id: int,
    before: Order,
    after: Order,
    *,
    now: datetime,
    new_uuid: Callable[[], UUID],
) -> None:
    """Raise the alert that it is not known how an order stands, or end it; the caller holds the portfolio's lock."""
    unknown = after.status is OrderStatus.UNKNOWN
    if unknown is (before.status is OrderStatus.UNKNOWN):
        return
    name = _name_of(after)
    event = AlertEventKind.RAISED if unknown else AlertEventKind.RESOLVED
    message = alert_words.of_unknown(name, after.message) if unknown else alert_words.of_known(name)
    news = News(owner_id, portfolio_row_id, _transition(event, after, message))
    await scan_write_news(tx, [news], now, new_uuid)


async def tell_late(
    owner_id: int, tx: Tx, order: Order, said: str, *, now: datetime, new_uuid: Callable[[], UUID]
) -> None:
    """Tell that a broker says something else of an order that has ended, or, with nothing said, no longer does.

    A person has settled it, or more is filled than it was for. Otherwise it stays open until holdings are imported. The
    caller holds the portfolio's lock.
    """
    row_id = await tx.value(
        "SELECT portfolio_id FROM plans WHERE owner_id = $1 AND public_id = $2",
        owner_id,
        ids.decode(ids.PLAN, order.plan_id),
    )
    told = await load_told(owner_id, tx, row_id, AlertKind.ORDER_UNKNOWN, order.client_id)
    if not said and told is None:
        return
    event, message = AlertEventKind.RESOLVED, alert_words.of_known(_name_of(order))
    if said:
        event = AlertEventKind.RAISED if told is None else AlertEventKind.REMINDED
        words = alert_words.of_late if order.cause is CancelCause.SETTLED else alert_words.of_excess
        message = words(_name_of(order), said)
    await scan_write_news(tx, [News(owner_id, row_id, _transition(event, order, message))], now, new_uuid)


async def resolve_late(owner_id: int, tx: Tx, portfolio_row_id: int, now: datetime) -> None:
    """Resolve what is open about a portfolio's orders, once its holdings are imported: no plan of it is executed."""
    rows = await tx.fetch(
        f"""
        UPDATE alerts a SET status = 'RESOLVED', resolved_at = $3, snoozed_until = NULL, message = $4
        WHERE a.owner_id = $1 AND a.portfolio_id = $2 AND a.kind = 'ORDER_UNKNOWN' AND a.status <> 'RESOLVED'
        RETURNING {FIELDS}, 'RESOLVED' AS event
        """,
        owner_id,
        portfolio_row_id,
        now,
        alert_words.IMPORTED,
    )
    await scan_tell(tx, rows, now)


def _name_of(order: Order) -> str:
    return f"{order.client_id} ({order.side.value} {plain(order.quantity)} {order.asset.symbol})"


def _transition(event: AlertEventKind, order: Order, message: str) -> Transition:
    return Transition(event, AlertKind.ORDER_UNKNOWN, order.client_id, AlertSeverity.CRITICAL, message, None)

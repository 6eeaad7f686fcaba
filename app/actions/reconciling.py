"""Reconciliation: brokers are asked what they hold, and an alert says where the books say something else."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final

import structlog

from app.actions.access import domain_now
from app.actions.brokers import brokers_of
from app.brokers.protocol import Broker, BrokerUnavailable
from app.context import Services, new_uuid
from app.core import alert_words
from app.core.alerts import AlertEventKind, AlertKind, AlertSeverity, Transition
from app.core.order_values import BrokerKind
from app.core.reconcile import differences
from app.store import portfolios, reconciling
from app.store.alert_rows import News, load_told, scan_write_news
from app.store.db import Tx
from app.store.portfolios import StoredPortfolio
from app.store.reconciling import DueAccount

MOST: Final = 20
"""So many brokers are asked in one sweep, one after the other."""
ANSWER_S: Final = 20.0

log = structlog.get_logger(__name__)


async def scan_reconcile(services: Services, brokers: Mapping[BrokerKind, Broker] | None = None) -> int:
    """Reconcile the accounts that are due, with these brokers or those set up; return how many were compared."""
    now = await domain_now(services)
    async with services.store.shared() as tx:
        due = await reconciling.scan_take_due(tx, now, MOST)
    if due and brokers is None:
        brokers = brokers_of(services)
    done = 0
    for account in due:
        assert brokers is not None
        done += await _reconcile(services, account, brokers, now)
    return done


async def _reconcile(
    services: Services, account: DueAccount, brokers: Mapping[BrokerKind, Broker], now: datetime
) -> bool:
    broker = brokers.get(account.broker)
    try:
        async with asyncio.timeout(ANSWER_S):
            held = await broker.positions(account.account_id) if broker else None
    except (BrokerUnavailable, TimeoutError) as error:
        log.warning("broker_not_asked", account=account.account_id, reason=str(error))
        return False
    except Exception:  # what is wrong with one broker must not keep the others from being asked
        log.exception("broker_failed", account=account.account_id)
        return False
    async with services.store.owned(account.owner_id) as tx:
        told = await _compare(tx, account, held, now)
    if told:
        await services.bus.nudge("alert", [account.owner_id])
    return told is not None


async def _compare(tx: Tx, account: DueAccount, held: Mapping[str, Decimal] | None, now: datetime) -> bool | None:
    """Compare, and raise or end the alert; True when something is told, None when the books changed meanwhile."""
    owner_id = account.owner_id
    head = await portfolios.lock_portfolio(owner_id, tx, account.portfolio_id)
    if head.version != account.version or await reconciling.is_executing(owner_id, tx, head.id):
        return None
    await reconciling.save_reconciled(owner_id, tx, account.account_id, now)
    return held is not None and await _tell(tx, account, head, held, now)


async def _tell(tx: Tx, account: DueAccount, head: StoredPortfolio, held: Mapping[str, Decimal], now: datetime) -> bool:
    """Raise the alert that a broker and the books differ, tell it anew when they differ otherwise, or end it."""
    owner_id = account.owner_id
    found = differences(await reconciling.load_units(owner_id, tx, account.account_id), held)
    told = await load_told(owner_id, tx, head.id, AlertKind.BOOKS_DIFFER, account.account_id)
    message = alert_words.of_books(account.name, found) if found else alert_words.of_books_agree(account.name)
    if message == told or (told is None and not found):
        return False
    event = AlertEventKind.RESOLVED
    if found:
        event = AlertEventKind.RAISED if told is None else AlertEventKind.REMINDED
    await _write(owner_id, tx, head, account.account_id, event, message, now)
    return True


async def end_alert(owner_id: int, tx: Tx, head: StoredPortfolio, account_id: str, name: str, now: datetime) -> None:
    """End the alert that a broker and the books differ, if there is one: another works the account's orders now."""
    if await load_told(owner_id, tx, head.id, AlertKind.BOOKS_DIFFER, account_id) is not None:
        message = alert_words.of_books_moved(name)
        await _write(owner_id, tx, head, account_id, AlertEventKind.RESOLVED, message, now)


async def _write(
    owner_id: int, tx: Tx, head: StoredPortfolio, account_id: str, event: AlertEventKind, message: str, now: datetime
) -> None:
    news = Transition(event, AlertKind.BOOKS_DIFFER, account_id, AlertSeverity.CRITICAL, message, None)
    await scan_write_news(tx, [News(owner_id, head.id, news)], now, new_uuid)

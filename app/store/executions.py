# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""Plans that are executed: what a decision about their orders rests on, and the steps of their life from then on.

    APPROVED -> EXECUTING -> COMPLETED | PARTIAL | CANCELLED

`plans.wake_at` is when, by the domain clock, to decide again; `orders.ask_at` when, by the wall clock, to ask a broker.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import orjson

from app.core import ids
from app.core.desk import Leg, floor_of
from app.core.money import ZERO
from app.core.order_values import BrokerKind, CancelCause, Execution, Order
from app.core.outcome import Outcome
from app.core.plan_values import PlanStatus
from app.core.policy import OrderStyle
from app.core.portfolio import Account, AccountKind, Broker, Market
from app.core.targets import CASH
from app.core.trades import TradeSide, rate_of
from app.store import assets, brokers, documents, events, history, orders, portfolios
from app.store.db import Tx
from app.store.market import load_market
from app.store.portfolios import StoredPortfolio

UNDECIDED: Final = Execution(OrderStyle.LIMIT, "")
"""How trades are worked of plans from before it was chosen for each."""


@dataclass(frozen=True, slots=True)
class Executing:
    """A plan that is executed, its portfolio locked. `stop` is why nothing is sent, `floor` the cash it must leave."""

    id: int
    public_id: str
    status: PlanStatus
    version: int
    portfolio: StoredPortfolio
    stop: CancelCause | None
    floor: Decimal
    legs: tuple[Leg, ...]
    orders: tuple[Order, ...]


@dataclass(frozen=True, slots=True)
class Means:
    """What there is to work with, as booked: accounts with their cash, units by account and asset, and the market."""

    accounts: Mapping[str, Account]
    held: Mapping[tuple[str, str], Decimal]
    market: Market


async def lock_execution(owner_id: int, tx: Tx, plan_id: str) -> Executing | None:
    """Lock the portfolio of a plan and return the plan with its orders; None unless it is APPROVED or EXECUTING."""
    uuid = ids.decode(ids.PLAN, plan_id)
    place = await tx.value(
        """
        SELECT p.public_id FROM plans l JOIN portfolios p ON p.id = l.portfolio_id
        WHERE l.owner_id = $1 AND l.public_id = $2 AND l.status IN ('APPROVED', 'EXECUTING')
        """,
        owner_id,
        uuid,
    )
    if place is None:
        return None
    portfolio = await portfolios.lock_portfolio(owner_id, tx, ids.encode(ids.PORTFOLIO, place))
    row = await tx.row(
        """
        SELECT l.id, l.status, l.version, l.cash_flow, l.before,
            coalesce(l.approved -> 'after', l.after) -> 'valuation' ->> 'cash' AS cash,
            l.cancel_asked_at IS NOT NULL AS stopped,
            p.halted_at IS NOT NULL OR (SELECT halted_at FROM trading_halt) IS NOT NULL AS halted
        FROM plans l JOIN portfolios p ON p.id = l.portfolio_id
        WHERE l.owner_id = $1 AND l.public_id = $2 AND l.status IN ('APPROVED', 'EXECUTING')
        FOR NO KEY UPDATE OF l
        """,
        owner_id,
        uuid,
    )
    if row is None:
        return None
    before = orjson.loads(row["before"])
    drifts = {entry["key"]: Decimal(entry["drift"]) for entry in before["entries"]}
    return Executing(
        id=row["id"],
        public_id=plan_id,
        status=PlanStatus(row["status"]),
        version=row["version"],
        portfolio=portfolio,
        stop=CancelCause.STOP if row["stopped"] else CancelCause.HALT if row["halted"] else None,
        floor=floor_of(
            portfolio.policy,
            Decimal(before["valuation"]["value"]),
            row["cash_flow"],
            Decimal(row["cash"] or ZERO),
            has_cash_sleeve=CASH in drifts,
        ),
        legs=await _load_legs(owner_id, tx, row["id"], drifts),
        orders=(await orders.load_orders(owner_id, tx, [row["id"]]))[row["id"]],
    )


async def is_stopped(owner_id: int, tx: Tx, plan_id: str) -> bool:
    """Say whether nothing of a plan is to be sent any more: it is halted, or was asked to be cancelled."""
    found = await tx.value(
        """
        SELECT l.cancel_asked_at IS NOT NULL OR p.halted_at IS NOT NULL
            OR (SELECT halted_at FROM trading_halt) IS NOT NULL
        FROM plans l JOIN portfolios p ON p.id = l.portfolio_id WHERE l.owner_id = $1 AND l.public_id = $2
        """,
        owner_id,
        ids.decode(ids.PLAN, plan_id),
    )
    return bool(found)


async def lock_portfolio_of(owner_id: int, tx: Tx, plan_id: str) -> None:
    """Lock the portfolio of a plan, whatever state the plan is in."""
    place = await tx.value(
        "SELECT p.public_id FROM plans l JOIN portfolios p ON p.id = l.portfolio_id "
        "WHERE l.owner_id = $1 AND l.public_id = $2",
        owner_id,
        ids.decode(ids.PLAN, plan_id),
    )
    await portfolios.lock_portfolio(owner_id, tx, ids.encode(ids.PORTFOLIO, place))


async def _load_legs(owner_id: int, tx: Tx, plan_key: int, drifts: Mapping[str, Decimal]) -> tuple[Leg, ...]:
    rows = await tx.fetch(
        f"""
        SELECT t.sequence, t.key, t.side, trim_scale(t.quantity) AS quantity, trim_scale(t.price) AS price,
            trim_scale(t.value) AS value, t.execution,
            c.public_id AS account_public_id, c.execution AS works, {assets.COLUMNS}
        FROM plan_trades t JOIN assets a ON a.id = t.asset_id JOIN accounts c ON c.id = t.account_id
        WHERE t.owner_id = $1 AND t.plan_id = $2 AND t.approved ORDER BY t.sequence
        """,
        owner_id,
        plan_key,
    )
    return tuple(
        Leg(
            number=row["sequence"],
            asset=assets.asset_of(row),
            account_id=ids.encode(ids.ACCOUNT, row["account_public_id"]),
            side=TradeSide(row["side"]),
            quantity=row["quantity"],
            price=row["price"],
            execution=documents.load(Execution, row["execution"]) if row["execution"] else UNDECIDED,
            broker=BrokerKind(row["works"]),
            rank=drifts.get(row["key"], ZERO),
            rate=rate_of(row["value"], row["quantity"], row["price"]),
        )
        for row in rows
    )


async def load_means(owner_id: int, tx: Tx, plan: Executing) -> Means:
    """Return the cash and units of a plan's portfolio, and the prices of what the plan trades."""
    rows = await tx.fetch(
        f"""
        SELECT a.public_id, a.name, a.kind, {brokers.COLUMNS},
            (SELECT jsonb_object_agg(currency, trim_scale(amount)::text) FROM account_cash c WHERE c.account_id = a.id)
                AS cash,
            (SELECT jsonb_object_agg(t.public_id, t.quantity) FROM (
                SELECT s.public_id, trim_scale(sum(t.quantity))::text AS quantity
                FROM tax_lots t JOIN assets s ON s.id = t.asset_id
                WHERE t.account_id = a.id AND s.public_id = ANY ($3) GROUP BY s.public_id
            ) t) AS held
        FROM accounts a LEFT JOIN brokers b ON b.id = a.broker_id
        WHERE a.owner_id = $1 AND a.portfolio_id = $2 ORDER BY a.position, a.id
        """,
        owner_id,
        plan.portfolio.id,
        assets.asset_uuids([leg.asset.id for leg in plan.legs]),
    )
    accounts: dict[str, Account] = {}
    held: dict[tuple[str, str], Decimal] = {}
    known: dict[str, Broker] = {}
    for row in rows:
        account_id = ids.encode(ids.ACCOUNT, row["public_id"])
        cash = orjson.loads(row["cash"] or "{}")
        amounts = {currency: Decimal(amount) for currency, amount in cash.items()}
        kind, broker = AccountKind(row["kind"]), row["broker"] or ""
        accounts[account_id] = Account(account_id, row["name"], kind, amounts, broker=broker)
        for uuid, quantity in orjson.loads(row["held"] or "{}").items():
            held[account_id, ids.encode(ids.ASSET, UUID(uuid))] = Decimal(quantity)
        if broker:
            known[broker] = brokers.broker_of(row)
    market = await load_market(tx, [leg.asset.id for leg in plan.legs])
    return Means(accounts, held, Market(market.assets, market.prices, known))


async def begin_execution(
    owner_id: int,
    tx: Tx,
    plan: Executing,
    first: Sequence[Order],
    *,
    actor: str,
    now: datetime,
    new_uuid: Callable[[], UUID],
) -> None:
    """Go from APPROVED to EXECUTING with the first orders, all of them waiting."""
    await orders.insert_orders(owner_id, tx, plan.id, first, new_uuid)
    await tx.execute(
        "UPDATE plans SET status = 'EXECUTING', version = version + 1, wake_at = $3 WHERE owner_id = $1 AND id = $2",
        owner_id,
        plan.id,
        now,
    )
    written = [{"order": order.client_id, "quantity": order.quantity, "due_at": order.due_at} for order in first]
    await _note(owner_id, tx, plan, PlanStatus.EXECUTING, {"orders": written}, actor, now)


async def end_execution(
    owner_id: int, tx: Tx, plan: Executing, ending: PlanStatus, outcome: Outcome, *, actor: str, now: datetime
) -> None:
    """End a plan whose orders have all ended, and say what came of it."""
    await tx.execute(
        """
        UPDATE plans SET status = $3, version = version + 1, ended_at = $4, outcome = $5, wake_at = NULL
        WHERE owner_id = $1 AND id = $2
        """,
        owner_id,
        plan.id,
        ending.value,
        now,
        documents.dump(outcome),
    )
    await _note(owner_id, tx, plan, ending, {"outcome": outcome}, actor, now)


async def _note(
    owner_id: int, tx: Tx, plan: Executing, status: PlanStatus, more: Mapping[str, object], actor: str, now: datetime
) -> None:
    row_id, payload = plan.portfolio.id, {"status": status, "version": plan.version + 1}
    kind = f"PLAN_{status.value}"
    await history.append_history(owner_id, tx, row_id, kind, plan.public_id, actor, now, {**payload, **more})
    await events.append_event(owner_id, tx, row_id, "plan", plan.public_id, payload, now)


async def tell_orders(owner_id: int, tx: Tx, plan: Executing, changed: Sequence[Order], now: datetime) -> None:
    """Tell those who follow a plan that orders of it have changed; it is no step of the plan's life."""
    told = [{"id": order.id, "client_id": order.client_id, "status": order.status} for order in changed]
    payload: dict[str, Any] = {"status": plan.status, "version": plan.version, "orders": told}
    await events.append_event(owner_id, tx, plan.portfolio.id, "plan", plan.public_id, payload, now)


async def save_wake(owner_id: int, tx: Tx, plan: Executing, wake_at: datetime | None) -> None:
    """Say when, by the domain clock, to decide about a plan again; None leaves that to its orders."""
    await tx.execute(
        "UPDATE plans SET wake_at = $3 WHERE owner_id = $1 AND id = $2 AND wake_at IS DISTINCT FROM $3",
        owner_id,
        plan.id,
        wake_at,
    )


async def hasten(owner_id: int, tx: Tx, plan_ids: Sequence[str], *, now: datetime, wall: datetime) -> None:
    """Let plans be decided about, and their brokers be asked, at once: something outside has changed."""
    keys = await tx.fetch(
        "SELECT id FROM plans WHERE owner_id = $1 AND public_id = ANY ($2) ORDER BY id FOR NO KEY UPDATE",
        owner_id,
        [ids.decode(ids.PLAN, plan_id) for plan_id in plan_ids],
    )
    locked = [row["id"] for row in keys]
    await tx.execute("UPDATE plans SET wake_at = $3 WHERE owner_id = $1 AND id = ANY ($2)", owner_id, locked, now)
    await tx.execute(
        """
        UPDATE orders SET ask_at = $3 WHERE owner_id = $1 AND ask_at > $3 AND plan_id = ANY ($2)
            AND status IN ('WORKING', 'CANCELLING', 'UNKNOWN')
        """,
        owner_id,
        locked,
        wall,
    )


async def scan_due(tx: Tx, now: datetime, wall: datetime, limit: int) -> list[tuple[int, str]]:
    """Return owner and public id of plans that are to be decided about, by either clock."""
    rows = await tx.fetch(
        """
        SELECT l.owner_id, l.public_id FROM plans l
        WHERE l.status IN ('APPROVED', 'EXECUTING') AND (
            coalesce(l.wake_at, $1) <= $1 AND l.status = 'APPROVED' OR l.wake_at <= $1
            OR EXISTS (
                SELECT FROM orders o WHERE o.plan_id = l.id AND o.ask_at <= $2
                    AND o.status IN ('PENDING', 'PLACING', 'WORKING', 'CANCELLING', 'UNKNOWN')
            )
        )
        ORDER BY l.id LIMIT $3
        """,
        now,
        wall,
        limit,
    )
    return [(row["owner_id"], ids.encode(ids.PLAN, row["public_id"])) for row in rows]

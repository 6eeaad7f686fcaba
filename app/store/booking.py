"""Booking: fills of an order become lots, cash, facts and wash adjustments, all in the transaction of the order.

A fill is known by the broker's id of it and booked once. Money is converted at the rate that the plan was made with.
Bookings of one taxpayer group take turns after the portfolio's lock: a sale here may change what a lot there cost. If
that lot is in another portfolio, that one is locked, too, and told: see `neighbours`.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from app.core import booking, ids
from app.core.books import Booked, Books, Entry, SoldPart
from app.core.errors import InvalidInput
from app.core.money import (
    MONEY_PLACES,
    ROUNDED,
    ZERO,
    exactly,
    plain,
    round_half_even,
)
from app.core.order_values import Fill, Order
from app.core.trades import TradeSide
from app.store import book_rows, events, history, neighbours, plans, transactions, turns
from app.store.db import Tx
from app.store.neighbours import Booker
from app.store.order_legs import OrderLeg, load_books, load_leg

BOOKED: Final = "FILLS_BOOKED"


@dataclass(frozen=True, slots=True)
class _Done:
    """What a batch of fills did."""

    books: Books
    cash: Decimal
    sold: tuple[tuple[str, date, SoldPart], ...]
    notes: tuple[str, ...]


async def book_fills(
    owner_id: int,
    tx: Tx,
    order: Order,
    fills: Sequence[Fill],
    *,
    actor: str,
    now: datetime,
    new_uuid: Callable[[], UUID],
    locked: Collection[int] = (),
) -> tuple[Fill, ...]:
    """Book fills of an order that are not booked yet, in the order given, and return those.

    Lots, cash, facts, the wash ledger, what is filled of the order, the portfolio's version and its history change
    together; so do lots, version and history of other portfolios, where shares replaced what was sold. The caller holds
    the portfolio's lock and those of the rows `locked`; see `neighbours.with_locks`. Raises InvalidInput for a fill
    with other numbers than it was booked with, one beyond the order's quantity, or one that cannot be stored; NotFound
    without such an order; OutOfReach, before anything is written, where other portfolios have to be locked.
    """
    booking.check(fills)
    booked = await load_booked(owner_id, tx, order)
    known = {fill.broker_fill_id: (fill.quantity, fill.price, fill.fee) for fill in booked}
    fresh = tuple(_unbooked(fills, known))
    if not fresh:
        return ()
    leg = await load_leg(owner_id, tx, order)
    _check_total(order, leg, fresh)
    await turns.scan_take_turns(tx, turns.TAXPAYERS, [leg.desk.group])
    rows = await load_books(owner_id, tx, leg, [_day(fill) for fill in fresh])
    done = _book(order, leg, fresh, rows.books, lambda prefix: ids.encode(prefix, new_uuid()))
    reached = neighbours.reached(rows, done.books, leg.portfolio_row_id, locked)
    await _save_facts(owner_id, tx, order, leg, fresh, actor, now, new_uuid)
    await book_rows.save_lots(owner_id, tx, rows, done.books)
    await book_rows.save_sales(owner_id, tx, leg.desk, (leg.plan_key, order.leg, order.slice), done.sold, done.books)
    await book_rows.save_wash(owner_id, tx, rows, done.books)
    await _save_cash(owner_id, tx, leg, done.cash)
    await _tell(owner_id, tx, order, leg, fresh, done, actor, now)
    await neighbours.tell(owner_id, tx, reached, Booker(order.plan_id, order.id, actor, now))
    return fresh


async def load_booked(owner_id: int, tx: Tx, order: Order) -> tuple[Fill, ...]:
    """Return the fills of an order that are booked, in the order of their instants."""
    rows = await tx.fetch(
        """
        SELECT f.broker_fill_id, trim_scale(f.quantity) AS quantity, trim_scale(f.price) AS price,
            trim_scale(f.fee) AS fee, f.filled_at
        FROM fills f JOIN plans l ON l.id = f.plan_id
        WHERE f.owner_id = $1 AND l.owner_id = $1 AND l.public_id = $2 AND f.leg = $3 AND f.slice = $4
        ORDER BY f.filled_at, f.broker_fill_id
        """,
        owner_id,
        ids.decode(ids.PLAN, order.plan_id),
        order.leg,
        order.slice,
    )
    return tuple(Fill(*row) for row in rows)


def _unbooked(fills: Sequence[Fill], known: dict[str, tuple[Decimal, Decimal, Decimal]]) -> list[Fill]:
    """Return fills that are new; one that is told again must have the numbers that it had."""
    fresh = []
    for fill in fills:
        numbers = fill.quantity, fill.price, fill.fee
        before = known.setdefault(fill.broker_fill_id, numbers)
        if before is numbers:
            fresh.append(fill)
        elif before != numbers:
            raise InvalidInput(
                f"fill {fill.broker_fill_id} was booked as {_numbers(*before)}, and now is {_numbers(*numbers)}; "
                "what is booked stays: correct it with an import of the holdings",
                ["brokerFillId"],
            )
    return fresh


def _numbers(quantity: Decimal, price: Decimal, fee: Decimal) -> str:
    return f"{plain(quantity)} @ {plain(price)}, fee {plain(fee)}"


@exactly
def _check_total(order: Order, leg: OrderLeg, fresh: Sequence[Fill]) -> None:
    total = leg.filled
    for fill in fresh:
        total += fill.quantity
        if total > leg.quantity:
            raise InvalidInput(
                f"fill {fill.broker_fill_id} of {plain(fill.quantity)} would bring order {order.id} to {plain(total)}; "
                f"{plain(leg.quantity)} were ordered. Ask the broker which fill is wrong",
                ["quantity"],
            )


def _day(fill: Fill) -> date:
    return fill.filled_at.astimezone(UTC).date()


def _book(order: Order, leg: OrderLeg, fresh: Sequence[Fill], books: Books, new_id: Callable[[str], str]) -> _Done:
    """Book fills one after the other: what a batch of them does is what each does alone."""
    cash, notes = ZERO, list[str]()
    sold: list[tuple[str, date, SoldPart]] = []
    filled = leg.leg_filled
    for fill in fresh:
        done = _book_one(order, leg, fill, filled, books, new_id)
        books, filled = done.books, ROUNDED.add(filled, fill.quantity)
        cash = ROUNDED.add(cash, done.cash)
        sold += [(fill.broker_fill_id, _day(fill), part) for part in done.parts]
        notes += done.notes
    return _Done(books, cash, tuple(sold), tuple(notes))


def _book_one(
    order: Order, leg: OrderLeg, fill: Fill, filled: Decimal, books: Books, new_id: Callable[[str], str]
) -> Booked:
    desk, (value, fee) = leg.desk, booking.money_of(fill, leg.rate)
    entry = Entry(desk.account_id, desk.kind, desk.asset.id, _day(fill), fill.quantity, value, fee, leg.washes)
    if order.side is TradeSide.BUY:
        return booking.buy(books, entry, ids.encode(ids.LOT, leg.order_key), new_id)
    return booking.sell(books, entry, booking.lots_from(leg.lots, filled, fill.quantity), leg.policy, new_id)


async def _save_facts(
    owner_id: int,
    tx: Tx,
    order: Order,
    leg: OrderLeg,
    fresh: Sequence[Fill],
    actor: str,
    now: datetime,
    new_uuid: Callable[[], UUID],
) -> None:
    """Write the fills, what they are as transactions, and how far the order is."""
    key = leg.plan_key, order.leg, order.slice
    columns = (
        *("plan_id", "leg", "slice", "broker_fill_id", "owner_id", "public_id", "quantity", "price", "fee"),
        *("filled_at", "booked_at"),
    )
    records = [
        (
            *(*key, fill.broker_fill_id, owner_id, new_uuid(), fill.quantity, fill.price, fill.fee),
            *(fill.filled_at, now),
        )
        for fill in fresh
    ]
    await tx.copy("fills", columns, records)
    facts = [
        (
            *(new_uuid(), owner_id, leg.desk.account_key, leg.desk.asset_key, order.side.value, fill.quantity),
            *(fill.price, fill.fee, booking.amount_of(fill, order.side), order.asset.currency, _day(fill)),
            *(actor, now, True),
        )
        for fill in fresh
    ]
    await tx.copy("transactions", (*transactions.COLUMNS, "booked"), facts)
    units, value, fees = booking.totals_of(fresh)
    await tx.execute(
        """
        UPDATE orders SET filled = filled + $5, filled_value = filled_value + $6, fees = fees + $7
        WHERE owner_id = $1 AND plan_id = $2 AND leg = $3 AND slice = $4
        """,
        owner_id,
        *key,
        units,
        value,
        fees,
    )


async def _save_cash(owner_id: int, tx: Tx, leg: OrderLeg, cash: Decimal) -> None:
    await tx.execute(
        """
        INSERT INTO account_cash AS c (account_id, currency, amount, overdrawn)
        SELECT id, $3, $4::numeric, $4::numeric < 0 FROM accounts WHERE owner_id = $1 AND id = $2
        ON CONFLICT (account_id, currency) DO UPDATE
            SET amount = c.amount + excluded.amount, overdrawn = c.amount + excluded.amount < 0
        """,
        owner_id,
        leg.desk.account_key,
        leg.base_currency,
        cash,
    )


async def _tell(
    owner_id: int, tx: Tx, order: Order, leg: OrderLeg, fresh: Sequence[Fill], done: _Done, actor: str, now: datetime
) -> None:
    """Raise the portfolio's version, write the history and tell those who follow it; the plan that did it stays.

    It is EXECUTING, or it is over and this came late: then what was planned since knows nothing of it.
    """
    version = await tx.value(
        """
        UPDATE portfolios SET version = version + 1, updated_at = $3 WHERE owner_id = $1 AND id = $2 RETURNING version
        """,
        owner_id,
        leg.portfolio_row_id,
        now,
    )
    document = {
        "version": version,
        "plan": order.plan_id,
        "leg": order.leg,
        "slice": order.slice,
        "account": order.account_id,
        "asset": order.asset.id,
        "side": order.side,
        "fills": fresh,
        "cash": {leg.base_currency: round_half_even(done.cash, MONEY_PLACES)},
        "sold": [
            {"lot": part.lot.lot.id, "quantity": part.units, "proceeds": part.proceeds, "basis": part.basis}
            for _, _, part in done.sold
        ],
        "notes": done.notes,
    }
    row_id = leg.portfolio_row_id
    await plans.supersede_open_plans(owner_id, tx, row_id, actor, now, queued=False)
    await history.append_history(owner_id, tx, row_id, BOOKED, order.id, actor, now, document)
    await events.append_event(owner_id, tx, row_id, "portfolio", leg.portfolio_id, {"version": version}, now)

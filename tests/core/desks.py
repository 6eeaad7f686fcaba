"""Desks told in lines, and their decisions in lines.

    desk("SELL 10 A @ 100 / BUY 5 B @ 50 twap 3 every 300", cash="250")

A leg is `SIDE units SYMBOL @ price`, then how it is worked (`limit` unless told: `market`, `nav`, `twap N every S`),
`in ACCOUNT`, `rank N`, `by MANUAL`. A step is `PLACE 1.1 10 @ 99.9`: what, leg and slice, units, limit, and words.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from app.core.answering import answered
from app.core.costs import FREE, Costs
from app.core.desk import Act, Decision, Desk, Leg, Step
from app.core.money import ZERO, plain
from app.core.order_values import BrokerKind, BrokerOrder, CancelCause, Execution, Fill, Order, OrderStatus
from app.core.policy import OrderStyle, Policy
from app.core.portfolio import Asset, Price
from app.core.trades import TradeSide
from app.core.working import first_orders
from tests.builders import AS_OF, asset

PLAN: Final = "pl_1"
_LEG: Final = re.compile(
    r"(?P<side>SELL|BUY) (?P<units>\S+) (?P<symbol>\S+) @ (?P<price>\S+)"
    r"(?: (?P<style>limit|market|nav|twap (?P<slices>\d+) every (?P<interval>\d+)))?"
    r"(?: in (?P<account>\S+))?(?: rank (?P<rank>\S+))?(?: by (?P<broker>\S+))?"
)
# Collars of 1 percent, whatever the volatility: limits are easy to see.
COLLAR: Final = Policy(collar_min=Decimal(1), collar_max=Decimal(1), reprices=2)


def leg(number: int, text: str, *, step: str = "1", **more: Any) -> Leg:
    """Read one leg."""
    found = _LEG.fullmatch(text.strip())
    assert found, text
    style = (found["style"] or "limit").partition(" ")[0].upper()
    slices, interval = int(found["slices"] or 1), int(found["interval"] or 0)
    return Leg(
        number=number,
        asset=asset(found["symbol"], step=step, **more),
        account_id=found["account"] or "main",
        side=TradeSide[found["side"]],
        quantity=Decimal(found["units"]),
        price=Decimal(found["price"]),
        execution=Execution(OrderStyle[style], "", None, slices, interval),
        broker=BrokerKind[found["broker"] or "PAPER"],
        rank=Decimal(found["rank"] or 0),
    )


def desk(
    legs: str,
    *,
    cash: str | Mapping[str, str] = "0",
    held: Mapping[str, str] | None = None,
    policy: Policy = COLLAR,
    fees: Costs = FREE,
    floor: str = "0",
    opens: Callable[[Asset, datetime], datetime] | None = None,
    step: str = "1",
) -> Desk:
    """Make a desk whose first orders wait; what is sold is held, unless told otherwise."""
    read = tuple(leg(number, text, step=step) for number, text in enumerate(legs.split("/"), 1))
    amounts = {"main": cash} if isinstance(cash, str) else cash
    units = {key: Decimal(number) for key, number in (held or {}).items()}
    made = Desk(
        plan_id=PLAN,
        policy=policy,
        legs=read,
        orders=(),
        cash={one.account_id: ZERO for one in read} | {key: Decimal(amount) for key, amount in amounts.items()},
        held={
            (one.account_id, one.asset.id): units.get(one.asset.symbol, one.quantity)
            for one in read
            if one.side is TradeSide.SELL
        },
        prices={one.asset.id: Price(one.price, AS_OF) for one in read},
        fees={(one.account_id, one.asset.id): fees for one in read},
        opens=opens or (lambda _, at: at),
        now=AS_OF,
        wall=AS_OF,
        floor=Decimal(floor),
    )
    return replace(made, orders=first_orders(made))


def later(before: Desk, seconds: float, *, wall: float | None = None) -> Desk:
    """Let time pass on both clocks."""
    return replace(
        before,
        now=before.now + timedelta(seconds=seconds),
        wall=before.wall + timedelta(seconds=seconds if wall is None else wall),
    )


def priced(before: Desk, symbol: str, price: str) -> Desk:
    """Let a price change."""
    return replace(before, prices={**before.prices, symbol: Price(Decimal(price), before.now)})


def carried_out(before: Desk, decision: Decision) -> Desk:
    """Store what was decided, as if no broker had been told yet."""
    changed = {step.order.key: step.order for step in decision.steps}
    kept = [changed.get(order.key, order) for order in before.orders]
    return replace(before, orders=(*kept, *decision.new))


def told(before: Desk, key: str, status: str, *fills: str, message: str = "") -> Desk:
    """Book what a broker says of an order; a fill is `units @ price` or `units @ price fee F`, each told once."""
    place, part = map(int, key.split("."))
    order = order_of(before, key)
    new = tuple(_fill(text, f"{key}-{order.filled}-{number}") for number, text in enumerate(fills))
    seen = (Fill("before", order.filled, Decimal(1), ZERO, before.now),) if order.filled else ()
    answer = BrokerOrder(f"b-{key}", OrderStatus[status], (*seen, *new), message)
    newer = answered(order, answer, before.now, before.wall)
    value = sum((fill.quantity * fill.price for fill in new), ZERO)
    fees = sum((fill.fee for fill in new), ZERO)
    units = sum((fill.quantity for fill in new), ZERO)
    newer = replace(newer, filled=order.filled + units, fees=order.fees + fees)
    sold = order.side is TradeSide.SELL
    cash = {**before.cash, order.account_id: before.cash[order.account_id] + (value if sold else -value) - fees}
    held = dict(before.held)
    if sold:
        held[order.account_id, order.asset.id] -= units
    orders = tuple(newer if one.key == (place, part) else one for one in before.orders)
    return replace(before, orders=orders, cash=cash, held=held)


def _fill(text: str, name: str) -> Fill:
    units, _, price, *fee = text.split()
    return Fill(name, Decimal(units), Decimal(price), Decimal(fee[1]) if fee else ZERO, AS_OF)


def order_of(where: Desk, key: str) -> Order:
    return next(order for order in where.orders if f"{order.leg}.{order.slice}" == key)


def with_order(where: Desk, key: str, **changes: Any) -> Desk:
    """Change an order by hand."""
    orders = (replace(one, **changes) if f"{one.leg}.{one.slice}" == key else one for one in where.orders)
    return replace(where, orders=tuple(orders))


def stopped(where: Desk, cause: str | None) -> Desk:
    return replace(where, stop=CancelCause[cause] if cause else None)


def lines(decision: Decision) -> list[str]:
    """Write a decision: its steps, the orders it adds, and how the plan ends."""
    ending = [f"END {decision.ending.value}"] if decision.ending else []
    return [*map(_line, decision.steps), *(f"NEW {_order(order)}" for order in decision.new), *ending]


def _line(step: Step) -> str:
    order = step.order
    if step.act is Act.CANCEL:
        return f"CANCEL {_key(order)} {order.cause.value if order.cause else ''}".rstrip()
    if step.act is Act.ASK:
        return f"ASK {_key(order)}"
    words = f": {order.message}" if order.message else ""
    return f"{step.act.value if step.act is Act.PLACE else order.status.value} {_order(order)}{words}"


def _key(order: Order) -> str:
    return f"{order.leg}.{order.slice}"


def _order(order: Order) -> str:
    limit = f" @ {plain(order.limit)}" if order.limit else ""
    return f"{_key(order)} {plain(order.quantity)} {order.asset.symbol}{limit}"


def keys(orders: Sequence[Order]) -> list[str]:
    return [_key(order) for order in orders]

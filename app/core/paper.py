"""The paper broker's market: what becomes of an order at prices that were really recorded.

    accept ── PaperOrder ── progress (fills as time passes) ── cancel

What a real market leaves to chance is drawn from a seed and the order's client id: the same order has the same fate
whenever and however often it is asked for. Nothing here looks ahead: what an order is filled at was recorded by then.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Final

from app.core import sessions
from app.core.costs import cost_of
from app.core.money import (
    EXACT,
    MONEY_PLACES,
    ONE,
    PRICE_MOST,
    PRICE_PLACES,
    ROUNDED,
    ZERO,
    ceil_to_step,
    exactly,
    floor_to_step,
    plain,
    quantum,
    round_half_even,
    round_up,
)
from app.core.order_values import ENDED, BrokerOrder, Fill, OrderStatus, OrderStyle, Ticket
from app.core.portfolio import Price
from app.core.trades import TradeSide

DRAWS: Final = 1_000_000  # a draw is one of as many: a percent with four decimals, and a second in microseconds
PARTS: Final = (2, 3, 4)  # into how many fills an order may fall


@dataclass(frozen=True, slots=True)
class PaperRules:
    """How the paper broker works: the longest wait for a fill in seconds, and percents of orders, 0..100."""

    seed: int = 0
    latency_s: int = 0
    partial: Decimal = ZERO
    rejected: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class PaperOrder:
    """An order in the paper broker's books. What it was told until `seen_until` never changes."""

    ticket: Ticket
    status: OrderStatus
    placed_at: datetime
    seen_until: datetime
    fills: tuple[Fill, ...] = ()
    message: str = ""

    @property
    def told(self) -> BrokerOrder:
        """What the broker says of it."""
        return BrokerOrder(f"paper-{self.ticket.client_id}", self.status, self.fills, self.message)


def accept(ticket: Ticket, rules: PaperRules, now: datetime) -> PaperOrder:
    """Return an order as it is taken in at `now`: WORKING, or REJECTED with a message.

    Rejected is what no venue takes (an asset that is not traded, units off the step, a limit off the tick), and by the
    seed `rules.rejected` percent of all others.
    """
    message = _fault(ticket) or ("the paper broker's seed rejects it" if _drawn(rules.rejected, rules, ticket) else "")
    return PaperOrder(ticket, OrderStatus.REJECTED if message else OrderStatus.WORKING, now, now, (), message)


def _fault(ticket: Ticket) -> str:
    asset = ticket.asset
    if not asset.tradable:
        return f"{asset.symbol} is not traded"
    if asset.quantity_step and floor_to_step(ticket.quantity, asset.quantity_step) != ticket.quantity:
        return f"{plain(ticket.quantity)} units are no multiple of the step {plain(asset.quantity_step)}"
    limit = ticket.limit
    if limit is not None and asset.price_step and floor_to_step(limit, asset.price_step) != limit:
        return f"the limit {plain(limit)} is no multiple of the tick {plain(asset.price_step)}"
    return ""


def progress(order: PaperOrder, prices: Sequence[Price], rules: PaperRules, until: datetime) -> PaperOrder:
    """Return an order as it stands at `until`; one that has ended stays as it is.

    `prices` are those recorded of the asset, oldest first: the last one at or before `order.seen_until`, and all from
    then to `until`. A price holds until the next. Each part of the order is filled at the first instant after its wait,
    and in the session that is open when it is placed or is the next to open, at which `price_at` gives a price. What is
    left when that session ends EXPIRES. A fund's order is filled at the first price recorded after its wait, whenever
    that is. Asked twice or in one go, the fills are the same, as long as no price comes late.
    """
    if order.status in ENDED or until < order.seen_until:
        return order
    day = None if order.ticket.style is OrderStyle.NAV else sessions.closes_at(order.ticket.asset, order.placed_at)
    ends = day is not None and day <= until
    horizon = min(day or until, until)
    fills = order.fills
    while fill := _next_fill(order, fills, prices, rules, horizon):
        fills = (*fills, fill)
    moved = replace(order, fills=fills, seen_until=until)
    if _filled(fills) == order.ticket.quantity:
        return replace(moved, status=OrderStatus.FILLED)
    return replace(moved, status=OrderStatus.EXPIRED, message="the session ended") if ends else moved


def cancel(order: PaperOrder) -> PaperOrder:
    """Return an order cancelled as it stands; one that has ended stays as it is."""
    return order if order.status in ENDED else replace(order, status=OrderStatus.CANCELLED)


def price_at(ticket: Ticket, last: Decimal) -> Decimal | None:
    """Return what units of an order cost while the last price is `last`, None where its limit is not reached.

    touch = last x (1 ± half spread), the price of the next unit; fill = last x (1 ± (half spread + Y x daily volatility
    x sqrt(units / daily volume))), the square-root law for the whole order where the asset's volumes are known. Plus
    for a purchase, minus for a sale; rounded to the tick against us, at least one tick. A limit is reached when the
    touch is not beyond it, and no fill is.
    """
    asset, buys = ticket.asset, ticket.side is TradeSide.BUY
    touch = _against(ticket, last, asset.costs.half_spread)
    if ticket.limit is not None and (touch > ticket.limit if buys else touch < ticket.limit):
        return None
    moved = ZERO
    if asset.liquidity:
        scale = EXACT.multiply(asset.liquidity.factor, asset.liquidity.daily_volatility)
        moved = ROUNDED.multiply(scale, ROUNDED.sqrt(ROUNDED.divide(ticket.quantity, asset.liquidity.daily_volume)))
    price = _against(ticket, last, ROUNDED.add(asset.costs.half_spread, moved))
    if ticket.limit is None:
        return price
    return min(price, ticket.limit) if buys else max(price, ticket.limit)


def _against(ticket: Ticket, last: Decimal, share: Decimal) -> Decimal:
    """Return `last`, worse for us by a share of it, but no price that cannot be."""
    step = ticket.asset.price_step or quantum(PRICE_PLACES)
    if ticket.side is TradeSide.BUY:
        worse = round_up(ROUNDED.multiply(last, ROUNDED.add(ONE, share)), PRICE_PLACES)
        return min(ceil_to_step(worse, step), PRICE_MOST)
    return max(step, floor_to_step(ROUNDED.multiply(last, ROUNDED.subtract(ONE, share)), step))


def _next_fill(
    order: PaperOrder, fills: tuple[Fill, ...], prices: Sequence[Price], rules: PaperRules, horizon: datetime
) -> Fill | None:
    """Return the next fill at or before `horizon`, if there is one."""
    ticket, filled = order.ticket, _filled(fills)
    if filled == ticket.quantity:
        return None
    begins = fills[-1].filled_at if fills else order.placed_at
    waited = begins + timedelta(microseconds=_draw(rules, ticket, f"wait {len(fills)}") * rules.latency_s)
    fund = ticket.style is OrderStyle.NAV
    ready = max(
        waited, order.seen_until, order.placed_at if fund else sessions.next_open(ticket.asset, order.placed_at)
    )
    if ready > horizon:
        return None
    units = EXACT.subtract(next(end for end in _ends(ticket, rules) if end > filled), filled)
    later = [price for price in prices if ready < price.priced_at <= horizon]
    if fund:
        return _fill(ticket, fills, units, later[0].value, later[0].priced_at) if later else None
    known = [price for price in prices if price.priced_at <= ready]
    for price in (*known[-1:], *later):
        if (paid := price_at(ticket, price.value)) is not None:
            return _fill(ticket, fills, units, paid, max(ready, price.priced_at))
    return None


@exactly
def _fill(ticket: Ticket, fills: tuple[Fill, ...], units: Decimal, price: Decimal, filled_at: datetime) -> Fill:
    """Return a fill; its fee is what it adds to that of the whole order by the asset's schedule, in its currency."""
    before = sum((fill.quantity * fill.price for fill in fills), ZERO)
    charged = sum((fill.fee for fill in fills), ZERO)
    due = round_half_even(cost_of(ticket.asset.costs, before + units * price).fee, MONEY_PLACES)
    return Fill(str(len(fills) + 1), units, price, max(ZERO, due - charged), filled_at)


@exactly
def _filled(fills: Sequence[Fill]) -> Decimal:
    return sum((fill.quantity for fill in fills), ZERO)


def _ends(ticket: Ticket, rules: PaperRules) -> tuple[Decimal, ...]:
    """Return how many units are filled after each fill: all at once, or by the seed in nearly equal parts on the step.

    Two ends that fall on one step are one fill.
    """
    number = PARTS[_draw(rules, ticket, "parts") % len(PARTS)] if _drawn(rules.partial, rules, ticket, "partial") else 1
    parts = [ROUNDED.divide(ROUNDED.multiply(ticket.quantity, Decimal(end)), number) for end in range(1, number)]
    return *(floor_to_step(part, ticket.asset.quantity_step) for part in parts), ticket.quantity


def _drawn(percent: Decimal, rules: PaperRules, ticket: Ticket, what: str = "rejected") -> bool:
    """Say whether an order is among the `percent` of all that something happens to."""
    return _draw(rules, ticket, what) < percent * (DRAWS // 100)


def _draw(rules: PaperRules, ticket: Ticket, what: str) -> int:
    """Draw a number from 0 to DRAWS - 1 for one thing about an order."""
    drawn = sha256(f"{rules.seed} {ticket.client_id} {what}".encode()).digest()
    return int.from_bytes(drawn[:8]) * DRAWS >> 64

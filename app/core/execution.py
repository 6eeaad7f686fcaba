"""How trades are worked: one limit order, slices over time, at market, or at a fund's net asset value; and why.

    class                          usual way   unless
    STOCK ETF COMMODITY OTHER CASH LIMIT       volatility or participation above the policy's limit: TWAP
    BOND                           LIMIT
    CRYPTO                         TWAP
    FUND                           NAV

The policy may name the way for a class. A limit order is for one session, its price off the last price by a collar:

    s = collar_days x sigma / sqrt(252), at least collar_min, at most collar_max;   sigma in percent a year

A TWAP has N = horizon // interval + 1 slices, fewer where one would be below the venue's minimum or one step.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final

from app.core import sessions
from app.core.bands import WINDOW_DAYS
from app.core.drift import Snapshot
from app.core.money import (
    HUNDRED,
    ONE,
    PERCENT_PLACES,
    PRICE_MOST,
    PRICE_PLACES,
    QUANTITY_PLACES,
    ROUNDED,
    ZERO,
    ceil_to_step,
    exactly,
    floor_to_step,
    plain,
    quantum,
    quotient,
    quotient_down,
    root,
    round_down,
    round_up,
)
from app.core.order_values import Execution
from app.core.plan_values import PlannedTrade
from app.core.policy import OrderStyle, Policy
from app.core.portfolio import Asset, AssetClass
from app.core.scalars import write_duration, write_instant
from app.core.stats import Closes, volatility
from app.core.trades import Trade, TradeSide

SESSIONS_A_YEAR: Final = 252

_USUAL: Final = {
    AssetClass.CRYPTO: (OrderStyle.TWAP, "crypto is spread over time, as it trades around the clock"),
    AssetClass.FUND: (OrderStyle.NAV, "a fund has one price a day, that of the session's close"),
    AssetClass.BOND: (OrderStyle.LIMIT, ""),
}


def with_executions(snapshot: Snapshot, trades: Sequence[PlannedTrade]) -> tuple[PlannedTrade, ...]:
    """Return planned trades with how each is to be worked, as of the instant of the snapshot."""
    chosen = []
    for planned in trades:
        asset = planned.trade.asset
        known = volatility_of(asset, snapshot.closes.get(asset.id, Closes()), snapshot.as_of)
        execution = choose(planned.trade, snapshot.policy, volatility=known, as_of=snapshot.as_of)
        chosen.append(replace(planned, execution=execution))
    return tuple(chosen)


def volatility_of(asset: Asset, closes: Closes, as_of: datetime) -> Decimal | None:
    """Return how much an asset moves in its own currency, percent a year, half-even to 1e-6; None when not known.

    sigma of the closes of the 365 days before that of `as_of` (`stats.volatility`); without history the daily
    volatility of the asset's liquidity x sqrt(252).
    """
    recent = closes.since(as_of.date() - timedelta(days=WINDOW_DAYS))
    known = volatility([(recent, ONE)], WINDOW_DAYS).percent
    if known is None and asset.liquidity:
        daily = Fraction(asset.liquidity.daily_volatility) * 100
        return root(daily * daily * SESSIONS_A_YEAR, 2, PERCENT_PLACES)
    return known


@exactly
def choose(trade: Trade, policy: Policy, *, volatility: Decimal | None, as_of: datetime) -> Execution:
    """Choose how a trade is worked, with one sentence why; table above. `volatility` is in percent a year, or None.

    Volatility and participation (units of the order to the units of a day) must be above their limit, not at it.
    `not_before` is when the next session opens, None where the asset may be traded at `as_of`.
    """
    asset = trade.asset
    style, cause = _style_of(trade, policy, volatility)
    opens = sessions.next_open(asset, as_of)
    wait = None if opens == as_of else opens
    chosen = Execution(style, "", volatility=volatility, not_before=wait)
    if style is OrderStyle.LIMIT:
        limit = limit_of(trade.side, trade.price.value, policy, volatility, asset.price_step)
        chosen, words = replace(chosen, limit=limit), _words_of_limit(trade, policy, volatility, limit, cause)
    elif style is OrderStyle.TWAP:
        whole = replace(chosen, slices=slices_planned(policy), interval_s=policy.twap_interval_s)
        chosen = replace(whole, slices=len(slices_of(trade.quantity, whole, asset, trade.price.value)))
        words = _words_of_slices(trade, chosen, whole.slices, cause)
    else:
        words = f"{'At market' if style is OrderStyle.MARKET else 'At net asset value'}: {cause}"
    return replace(chosen, why=f"{words}{_words_of_session(asset, as_of, wait)}.")


@exactly
def limit_of(
    side: TradeSide, last: Decimal, policy: Policy, volatility: Decimal | None, price_step: Decimal
) -> Decimal:
    """Return the limit of an order, in the asset's currency: last x (1 + s) to buy, last x (1 - s) to sell.

    Rounded to the price step in the safe direction: down to buy, up to sell. A purchase below one step, where that
    would be 0, is not rounded to a step but down to 18 decimals. At most the highest price there can be, on its step.
    """
    share = _collar_of(policy, volatility)[0].scaleb(-2)
    if side is TradeSide.SELL:
        return min(ceil_to_step(last * (ONE - share), price_step), floor_to_step(PRICE_MOST, price_step) or PRICE_MOST)
    dearest = min(last * (ONE + share), PRICE_MOST)
    return floor_to_step(dearest, price_step) or round_down(dearest, PRICE_PLACES)


@exactly
def slices_of(quantity: Decimal, execution: Execution, asset: Asset, price: Decimal) -> tuple[Decimal, ...]:
    """Return the units of each slice of an order, which sum to `quantity`: equal ones, the last takes the remainder.

    There are `execution.slices`, or as many as are each worth the venue's minimum at `price` and at least one step,
    but one at least. A slice is rounded down to the step.
    """
    count = min(execution.slices, max(1, int(quantity // _least_slice(asset, price))))
    each = floor_to_step(quotient_down(quantity, Decimal(count), QUANTITY_PLACES), asset.quantity_step)
    return *(each for _ in range(count - 1)), quantity - each * (count - 1)


def slices_planned(policy: Policy) -> int:
    """Return N = horizon // interval + 1: the first slice at once, the last when the horizon ends at the latest."""
    return policy.twap_horizon_s // policy.twap_interval_s + 1


def _least_slice(asset: Asset, price: Decimal) -> Decimal:
    """Return the fewest units that are worth the venue's minimum, a multiple of the step."""
    units = round_up(ROUNDED.divide(asset.min_notional, price), QUANTITY_PLACES)
    return max(ceil_to_step(units, asset.quantity_step), asset.quantity_step, quantum(QUANTITY_PLACES))


def _style_of(trade: Trade, policy: Policy, volatility: Decimal | None) -> tuple[OrderStyle, str]:
    """Return the style, and half a sentence why; empty for what the collar of a limit explains."""
    asset_class = trade.asset.asset_class
    if asset_class in policy.styles:
        return policy.styles[asset_class], f"the policy says so for {asset_class.value}"
    if asset_class in _USUAL:
        return _USUAL[asset_class]
    if volatility is not None and volatility > policy.volatility_limit:
        limit = plain(policy.volatility_limit)
        return OrderStyle.TWAP, f"its volatility of {plain(volatility)} % a year is above the limit of {limit} %"
    volume = _volume_of(trade.asset)
    if volume and trade.quantity * HUNDRED > policy.participation_limit * volume:
        limit = plain(policy.participation_limit)
        return OrderStyle.TWAP, f"{_words_of_participation(trade)}, above the limit of {limit} %"
    return OrderStyle.LIMIT, ""


def _collar_of(policy: Policy, volatility: Decimal | None) -> tuple[Decimal, str]:
    """Return how far a limit is from the last price, in percent half-even to 1e-6, and half a sentence why."""
    least, most = policy.collar_min, policy.collar_max
    if not volatility:
        known = "is not known" if volatility is None else "is 0"
        return least, f"its volatility {known}, so the least collar counts"
    moves = root((Fraction(policy.collar_days) * Fraction(volatility)) ** 2 / SESSIONS_A_YEAR, 2, PERCENT_PLACES)
    found = f"{plain(policy.collar_days)} days of its volatility of {plain(volatility)} % a year are {plain(moves)} %"
    if moves > most:
        return most, f"{found}, more than the widest collar of {plain(most)} %, which counts"
    if moves < least:
        return least, f"{found}, less than the least collar of {plain(least)} %, which counts"
    return moves, found


def _words_of_limit(trade: Trade, policy: Policy, volatility: Decimal | None, limit: Decimal, cause: str) -> str:
    collar, why = _collar_of(policy, volatility)
    price = trade.price.value
    side = "above" if trade.side is TradeSide.BUY else "below"
    reason = f"{cause}; {why}" if cause else why
    return (
        f"One order for the session, limited to {plain(limit)} {trade.asset.currency}, {plain(collar)} % {side} the "
        f"price of {plain(price)}: {reason}; {_words_of_participation(trade)}"
    )


def _words_of_slices(trade: Trade, execution: Execution, planned: int, cause: str) -> str:
    one_every = f", one every {write_duration(execution.interval_s)}"
    slices = "One slice" if execution.slices == 1 else f"{execution.slices} slices{one_every}"
    if execution.slices == planned:
        return f"{slices}: {cause}"
    least = plain(_least_slice(trade.asset, trade.price.value))
    return f"{slices}: {cause}; of {planned} slices each would be below {least} units, the least order"


def _words_of_participation(trade: Trade) -> str:
    volume = _volume_of(trade.asset)
    if not volume:
        return "its daily volume is not known"
    share = quotient(trade.quantity * HUNDRED, volume, PERCENT_PLACES)
    return f"{plain(trade.quantity)} units are {plain(share)} % of a day's volume"


def _words_of_session(asset: Asset, as_of: datetime, wait: datetime | None) -> str:
    """Say until when the order waits, and where that rests on no more than the day of the week."""
    waits = "" if wait is None else f"; {asset.symbol} waits until its exchange opens, {write_instant(wait)}"
    day = wait or as_of
    if sessions.is_known(day) or not sessions.keeps_hours(asset):
        return waits
    return f"{waits}; holidays of {day.year} are not known"


def _volume_of(asset: Asset) -> Decimal:
    return asset.liquidity.daily_volume if asset.liquidity else ZERO

"""What booking must know of an order: its plan's terms, and the books its fills touch, with what was told of before."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from app.core import ids
from app.core.books import Loss
from app.core.errors import NotFound
from app.core.ledger import LotChoice
from app.core.money import MONEY_PLACES, round_half_even_fraction
from app.core.order_values import Order
from app.core.past import event_of
from app.core.policy import Policy, TaxRegime
from app.core.portfolio import AccountKind, AssetClass, Market, Rates
from app.core.regimes import REGIMES
from app.core.tax_facts import less_washed, used_of
from app.core.trades import rate_of
from app.store import book_rows, documents, past
from app.store.book_rows import BookRows, Desk
from app.store.db import Tx


@dataclass(frozen=True, slots=True)
class OrderLeg:
    """What booking must know of an order: its rows, its plan's terms, and where it is booked."""

    plan_key: int
    order_key: UUID
    portfolio_row_id: int
    portfolio_id: str
    base_currency: str
    policy: Policy
    rate: Decimal
    quantity: Decimal
    filled: Decimal
    leg_filled: Decimal
    lots: tuple[tuple[str, Decimal], ...]
    desk: Desk

    @property
    def washes(self) -> bool:
        """Whether the wash-sale rule knows the asset."""
        crypto = self.desk.asset.asset_class is AssetClass.CRYPTO
        return self.policy.tax_regime is TaxRegime.US and (self.policy.crypto_washes or not crypto)


async def load_leg(owner_id: int, tx: Tx, order: Order) -> OrderLeg:
    """Load an order with its plan's terms, locked: nobody else books its fills meanwhile."""
    row = await tx.row(
        """
        SELECT o.plan_id, o.public_id, l.portfolio_id, p.public_id AS portfolio_public_id, p.base_currency, p.policy,
            trim_scale(o.quantity) AS quantity, trim_scale(o.filled) AS filled, t.id AS trade_id,
            t.quantity AS planned, t.price, t.value, o.account_id, o.asset_id, c.kind, c.taxpayer_group_id,
            (SELECT sum(filled) FROM orders WHERE owner_id = $1 AND plan_id = o.plan_id AND leg = o.leg) AS leg_filled
        FROM orders o JOIN plans l ON l.id = o.plan_id JOIN portfolios p ON p.id = l.portfolio_id
            JOIN plan_trades t ON t.plan_id = o.plan_id AND t.sequence = o.leg JOIN accounts c ON c.id = o.account_id
        WHERE o.owner_id = $1 AND l.owner_id = $1 AND l.public_id = $2 AND o.leg = $3 AND o.slice = $4
        FOR NO KEY UPDATE OF o
        """,
        owner_id,
        ids.decode(ids.PLAN, order.plan_id),
        order.leg,
        order.slice,
    )
    if row is None:
        raise NotFound("order", order.id, ["orderId"])
    lots = await tx.fetch(
        "SELECT lot_public_id, quantity FROM plan_lot_sales WHERE trade_id = $1 ORDER BY position", row["trade_id"]
    )
    kind = AccountKind(row["kind"])
    return OrderLeg(
        plan_key=row["plan_id"],
        order_key=row["public_id"],
        portfolio_row_id=row["portfolio_id"],
        portfolio_id=ids.encode(ids.PORTFOLIO, row["portfolio_public_id"]),
        base_currency=row["base_currency"],
        policy=documents.load(Policy, row["policy"]),
        rate=rate_of(row["value"], row["planned"], row["price"]),
        quantity=row["quantity"],
        filled=row["filled"],
        leg_filled=row["leg_filled"],
        lots=tuple((ids.encode(ids.LOT, lot["lot_public_id"]), lot["quantity"]) for lot in lots),
        desk=Desk(row["account_id"], order.account_id, kind, row["taxpayer_group_id"], row["asset_id"], order.asset),
    )


async def load_books(owner_id: int, tx: Tx, leg: OrderLeg, days: Sequence[date]) -> BookRows:
    """Load the books, with losses and used purchases of what was told of the group and not booked."""
    told, used = [], {}
    if leg.washes:
        facts = await past.scan_told(tx, leg.desk.group, leg.desk.asset, max(days))
        # What is told in other currencies than these two cannot be weighed here; see `past.with_facts`.
        rates = Rates(Market({}, {}), leg.base_currency)
        rates.found[leg.desk.asset.currency] = leg.rate, ()
        known = [(one, event_of(one.row, one, rates)) for one in facts]
        regime = REGIMES[leg.policy.tax_regime]
        ledger = regime.settle(
            [event for _, event in known if event], LotChoice(), exempt=(), known_from=None, short_history=True
        )
        washed = {one.row: one.washed for one, _ in known}
        used = used_of(ledger)
        told = [
            Loss(
                book_rows.told_ref(sale.event.row, part),
                None,
                sale.event.day,
                (sale.event.day - sale.holding_from).days,
                sale.unwashed,
                round_half_even_fraction(-sale.gain * Fraction(sale.unwashed) / Fraction(sale.quantity), MONEY_PLACES),
            )
            for part, sale in enumerate(less_washed(ledger.sales, washed))
            if sale.unwashed
        ]
    return await book_rows.load_books(owner_id, tx, leg.desk, days, told, used)

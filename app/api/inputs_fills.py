"""The schema's inputs of fills that a person records."""

from datetime import datetime
from decimal import Decimal

import strawberry
from strawberry import ID

from app.api.inputs import MAX_ARRAY, NOTE_MAX, _at, _each
from app.core import scalars
from app.core.manual import FillDraft, OrderDraft
from app.core.money import ZERO
from app.core.settling import SettleDraft

field = strawberry.field

REASON = "Where that is known from, up to 1000 characters; kept in the history."
SETTLE_KEY = "Any text unique to this request; a repeat settles nothing. Needed, as facts cannot be taken back."


@strawberry.input(description="What one execution of an order was.")
class FillInput:
    fill_id: str = field(description="Any text that tells it from the order's other fills, e.g. the broker's own id.")
    quantity: Decimal = field(description="Units, more than 0.")
    price: Decimal = field(description="Price of one unit, more than 0, in the asset's currency.")
    fee: Decimal = field(default=ZERO, description="Fee of this fill, in the asset's currency.")
    filled_at: datetime | None = field(
        default=None, description="When it happened; now when absent. Not before the day the order was handed over."
    )

    def to_core(self) -> FillDraft:
        return FillDraft(
            _at("fillId", lambda: scalars.text(self.fill_id, "fillId")),
            _at("quantity", lambda: scalars.quantity(self.quantity)),
            _at("price", lambda: scalars.price(self.price)),
            _at("fee", lambda: scalars.money(self.fee, "fee")),
            self.filled_at,
        )


@strawberry.input(description="What became of one order.")
class OrderFillsInput:
    order_id: ID = field(description="Global id of an order whose account is worked by hand (MANUAL).")
    fills: list[FillInput] = field(
        default_factory=list, description="Its new fills; those known already may be among them."
    )
    done: bool = field(
        default=False,
        description="Nothing more will come of it: with units left it is CANCELLED. So is a cancel confirmed.",
    )

    def to_core(self) -> OrderDraft:
        return OrderDraft(str(self.order_id), _each(self.fills, FillInput.to_core, "fills", most=MAX_ARRAY), self.done)


@strawberry.input(description="Fills of a plan's orders.")
class OrderFillsRecordInput:
    plan_id: ID = field(description="Global id of the plan.")
    orders: list[OrderFillsInput] = field(
        description="What became of its orders, each named once; all or none is recorded."
    )
    idempotency_key: str = field(
        description="Any text unique to this request; a repeat records nothing. Needed, as facts cannot be taken back."
    )

    def drafts(self) -> tuple[OrderDraft, ...]:
        return _each(self.orders, OrderFillsInput.to_core, "orders", most=MAX_ARRAY)


@strawberry.input(description="What became of an order whose broker cannot say how it stands.")
class OrderSettleInput:
    plan_id: ID = field(description="Global id of the plan.")
    order_id: ID = field(description="Global id of an order of it that is UNKNOWN.")
    fills: list[FillInput] = field(
        default_factory=list,
        description="Its fills that are not booked yet; those that are may be among them, in the same words. No more "
        "come.",
    )
    reason: str = field(description=REASON)
    idempotency_key: str = field(description=SETTLE_KEY)

    def to_core(self) -> SettleDraft:
        return _settle_draft(self.order_id, self.fills, self.reason)


@strawberry.input(description="What became of one block.")
class BlockFillsInput:
    block_id: ID = field(description="Global id of a block whose account is worked by hand (MANUAL).")
    fills: list[FillInput] = field(
        default_factory=list, description="Its new fills; those known already may be among them."
    )
    done: bool = field(
        default=False,
        description="Nothing more will come of it: with units left it is CANCELLED. So is a cancel confirmed.",
    )

    def to_core(self) -> OrderDraft:
        return OrderDraft(str(self.block_id), _each(self.fills, FillInput.to_core, "fills", most=MAX_ARRAY), self.done)


@strawberry.input(description="Fills of blocks.")
class BlockFillsRecordInput:
    blocks: list[BlockFillsInput] = field(description="What became of them, each named once; all or none is recorded.")
    idempotency_key: str = field(
        description="Any text unique to this request; a repeat records nothing. Needed, as facts cannot be taken back."
    )

    def drafts(self) -> tuple[OrderDraft, ...]:
        return _each(self.blocks, BlockFillsInput.to_core, "blocks", most=MAX_ARRAY)


@strawberry.input(description="What became of a block whose broker cannot say how it stands.")
class BlockSettleInput:
    block_id: ID = field(description="Global id of a block that is UNKNOWN.")
    fills: list[FillInput] = field(
        default_factory=list,
        description="Its fills that are not known yet; those that are may be among them, in the same words. No more "
        "come.",
    )
    reason: str = field(description=REASON)
    idempotency_key: str = field(description=SETTLE_KEY)

    def to_core(self) -> SettleDraft:
        return _settle_draft(self.block_id, self.fills, self.reason)


def _settle_draft(settled_id: ID, fills: list[FillInput], reason: str) -> SettleDraft:
    checked = _at("reason", lambda: scalars.text(reason, "reason", longest=NOTE_MAX))
    return SettleDraft(str(settled_id), _each(fills, FillInput.to_core, "fills", most=MAX_ARRAY), checked)

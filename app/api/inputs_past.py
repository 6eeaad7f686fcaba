"""The schema's inputs of what is told of the past."""

from datetime import date as date_  # a field is called date
from decimal import Decimal

import strawberry
from strawberry import ID

from app.api.inputs import _at, _each
from app.core import scalars
from app.core.drafts import TransactionDraft, asset_name
from app.core.money import ZERO
from app.core.trades import TradeSide

MAX_TRANSACTIONS = 5000

field = strawberry.field


@strawberry.input(description="A purchase or sale of the past.")
class TransactionInput:
    date: date_ = field(description="Day of the trade, not in the future.")
    side: TradeSide = field(description="Buy or sell.")
    symbol: str = field(description='Ticker of the asset; "SYM:CUR" or "SYM:CUR:VENUE" where it means several.')
    quantity: Decimal = field(description="Units, more than 0.")
    price: Decimal = field(description="Price of one unit, more than 0, in the asset's currency.")
    fees: Decimal = field(default=ZERO, description="Fees of the trade, in the asset's currency.")

    def to_core(self) -> TransactionDraft:
        return TransactionDraft(
            self.date,
            "",
            self.side,
            _at("symbol", lambda: asset_name(self.symbol)),
            _at("quantity", lambda: scalars.quantity(self.quantity)),
            _at("price", lambda: scalars.price(self.price)),
            _at("fees", lambda: scalars.money(self.fees, "fees")),
        )


@strawberry.input(description="Purchases and sales of one account.")
class TransactionsImportInput:
    account_id: ID = field(description="Global id of the account.")
    transactions: list[TransactionInput] = field(
        default_factory=list, description="At most 5000; those of one day in the order in which they happened."
    )
    history_from: date_ | None = field(
        default=None,
        description="Day from which all purchases and sales of the account are recorded, with these; unchanged when "
        "absent.",
    )
    idempotency_key: str = field(
        description="Any text unique to this request; a repeat records nothing. Needed, as facts cannot be taken back."
    )

    def drafts(self) -> tuple[TransactionDraft, ...]:
        return _each(self.transactions, TransactionInput.to_core, "transactions", most=MAX_TRANSACTIONS)

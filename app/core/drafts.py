"""What somebody asks to be created, checked field by field but not yet looked up: symbols, not ids."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Final

from app.core import scalars
from app.core.errors import Duplicate, InvalidInput, LimitExceeded
from app.core.money import MONEY_LIMIT, MONEY_PLACES, PRICE_LIMIT, ROUNDED, exactly, plain, round_half_even
from app.core.policy import Policy
from app.core.portfolio import AccountKind, Asset, BrokerKind
from app.core.targets import TargetDraft
from app.core.trades import TradeSide

MAX_ACCOUNTS: Final = 50
MAX_LOTS: Final = 20_000
MAX_MODEL_LENGTH: Final = 100
MAX_NAME_LENGTH: Final = 32 + 1 + 10 + 1 + 32  # symbol:currency:venue, each as long as it may be


@dataclass(frozen=True, slots=True)
class LotDraft:
    """Units bought at one time, `unit_cost` in the base currency. None means the latest price, and today."""

    symbol: str
    quantity: Decimal
    unit_cost: Decimal | None = None
    acquired_on: date | None = None


@dataclass(frozen=True, slots=True)
class AccountDraft:
    """An account to create, with cash by currency; its purchases and sales are all known from `history_from`.

    `broker` is a name, or empty; `execution` is who works its orders.
    """

    name: str
    kind: AccountKind = AccountKind.TAXABLE
    cash: Mapping[str, Decimal] = field(default_factory=dict)
    lots: tuple[LotDraft, ...] = ()
    history_from: date | None = None
    broker: str = ""
    execution: BrokerKind = BrokerKind.MANUAL


@dataclass(frozen=True, slots=True)
class PortfolioDraft:
    """A portfolio to create. `targets` None is to be set later; `model` is the model portfolio it follows, or None."""

    name: str
    base_currency: str = "USD"
    policy: Policy = field(default_factory=Policy)
    accounts: tuple[AccountDraft, ...] = (AccountDraft("Main"),)
    targets: tuple[TargetDraft, ...] | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class TransactionDraft:
    """A fact of the past, as told: one purchase or sale."""

    traded_on: date
    account: str
    side: TradeSide
    symbol: str
    quantity: Decimal
    price: Decimal
    fees: Decimal


def asset_name(value: object) -> str:
    """A symbol, or symbol:currency[:venue] where the symbol alone means several assets."""
    return scalars.text(value, "symbol", longest=MAX_NAME_LENGTH)


def model_name(value: object) -> str:
    """The name of a model portfolio, free text."""
    return scalars.text(value, "model", longest=MAX_MODEL_LENGTH)


def check_history(history_from: date | None, today: date) -> None:
    """Refuse to know the past from a day on that has not come."""
    if history_from is not None and history_from > today:
        raise InvalidInput(f"historyFrom {history_from} is after today, {today}", ["historyFrom"])


def check_accounts(accounts: Sequence[AccountDraft]) -> None:
    """Refuse no accounts, too many accounts or lots, and two accounts of one name."""
    if not 1 <= len(accounts) <= MAX_ACCOUNTS:
        raise LimitExceeded(f"there are {len(accounts)} accounts; 1 to {MAX_ACCOUNTS} are allowed")
    lots = sum(len(account.lots) for account in accounts)
    if lots > MAX_LOTS:
        raise LimitExceeded(f"there are {lots} lots; at most {MAX_LOTS} are allowed")
    names: set[str] = set()
    for place, account in enumerate(accounts):
        if account.name in names:
            raise Duplicate(f"two accounts are called {account.name}", [place, "name"])
        names.add(account.name)


def names_of(assets: Sequence[Asset]) -> dict[str, Asset]:
    """Map the names that mean exactly one asset: symbol, symbol:currency, symbol:currency:venue."""
    found: dict[str, list[Asset]] = {}
    for asset in assets:
        full = f"{asset.symbol}:{asset.currency}:{asset.venue}"
        for name in {asset.symbol, f"{asset.symbol}:{asset.currency}", full}:
            found.setdefault(name, []).append(asset)
    return {name: same[0] for name, same in found.items() if len(same) == 1}


@exactly
def basis_of(quantity: Decimal, unit_cost: Decimal) -> Decimal:
    """Return the cost basis of a lot, rounded half-even to 10 decimals; refuse one that is too large to be stored."""
    basis = round_half_even(quantity * unit_cost, MONEY_PLACES)
    if basis >= PRICE_LIMIT * PRICE_LIMIT:
        raise InvalidInput(f"the lot would cost {basis:f}; that is more than can be stored", ["unitCost"])
    return basis


def amount_of(draft: TransactionDraft) -> Decimal:
    """Return what a purchase or sale came to, fees included, half-even to 10 decimals: paid, or received.

    Quantity x price + fees of a purchase, - fees of a sale. Refuses what is too large to be stored.
    """
    gross = ROUNDED.multiply(draft.quantity, draft.price)
    fees = draft.fees if draft.side is TradeSide.BUY else -draft.fees
    amount = round_half_even(ROUNDED.add(gross, fees), MONEY_PLACES)
    if abs(amount) >= MONEY_LIMIT:
        raise InvalidInput(f"it would come to {plain(amount)}; that is more than can be stored", ["fees"])
    return amount

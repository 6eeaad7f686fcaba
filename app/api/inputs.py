"""The schema's inputs, and how each becomes the value core works on."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import strawberry
from strawberry import ID, UNSET

from app.actions.market import PriceDraft
from app.api.scalars import CurrencyCode, Duration, Percent
from app.core import bands, document_bands, scalars
from app.core.bands import (
    FACTOR,
    HYBRID_ABSOLUTE,
    HYBRID_RELATIVE,
    WINDOW_DAYS,
    Band,
    BandKind,
    Side,
)
from app.core.drafts import AccountDraft, LotDraft, asset_name
from app.core.errors import Duplicate, InvalidInput, LimitExceeded, Required, SteelyardError
from app.core.money import ZERO
from app.core.optimize.allocate import PlanScope
from app.core.plan import PlanRequest
from app.core.policy import DAY_S
from app.core.portfolio import AccountKind, AssetClass, BrokerKind
from app.core.targets import MAX_KEY_LENGTH, TargetDraft

MAX_ARRAY = 500
NAME_MAX = 64
NOTE_MAX = 1000

field = strawberry.field


@strawberry.input(description="Narrower of an absolute and a relative band.")
class HybridBandInput:
    absolute: Percent = field(default=Percent(HYBRID_ABSOLUTE), description="Half-width in points.")
    relative: Percent = field(default=Percent(HYBRID_RELATIVE), description="Half-width in percent of the target.")


@strawberry.input(description="Multiple of the volatility of what is held.")
class VolatilityBandInput:
    factor: Decimal = field(
        default=FACTOR, description="Half-width in volatilities a year, times the target; 0.01 to 100."
    )
    window: Duration = field(
        default=Duration(WINDOW_DAYS * DAY_S), description="Time the volatility is taken from; P30D to P3650D."
    )

    def to_core(self) -> Side:
        factor = _at("factor", lambda: scalars.band_factor(self.factor))
        days, rest = divmod(self.window, DAY_S)
        if rest:
            raise InvalidInput(f"window {scalars.write_duration(self.window)} is not whole days", ["window"])
        return Side(BandKind.VOLATILITY, factor=factor, window_days=_at("window", lambda: bands.check_window(days)))


@strawberry.input(
    description="One side of a tolerance band: exactly one of absolute, relative, hybrid, smart, volatility and cost."
)
class ToleranceBandSideInput:
    absolute: Percent | None = field(default=None, description="Half-width in points.")
    relative: Percent | None = field(default=None, description="Half-width in percent of the target.")
    floor: Percent | None = field(
        default=None, description="With relative, volatility or cost: the least half-width, in points."
    )
    cap: Percent | None = field(
        default=None, description="With relative, volatility or cost: the largest half-width, in points."
    )
    hybrid: HybridBandInput | None = field(default=None, description="Narrower of the two, as in the 5/25 rule.")
    smart: bool | None = field(
        default=None, description="True for 25 % of the target, at least 1 and at most 5 points."
    )
    volatility: VolatilityBandInput | None = field(
        default=None, description="As wide as what is held moves; {} for 1.5 times the volatility of a year."
    )
    cost: bool | None = field(default=None, description="True for what trading costs, tax included, at most repay.")

    def to_side(self) -> Side:
        hybrid = None
        if self.hybrid:
            hybrid = Side(BandKind.HYBRID, absolute=self.hybrid.absolute, relative=self.hybrid.relative)
        return document_bands.make_side(
            absolute=self.absolute,
            relative=self.relative,
            hybrid=hybrid,
            smart=self.smart,
            volatility=_at("volatility", self.volatility.to_core) if self.volatility else None,
            cost=self.cost,
            floor=self.floor,
            cap=self.cap,
        )


@strawberry.input(
    description="Tolerance band: give exactly one of absolute, relative, hybrid, smart, volatility and cost, and above "
    "where the side above the target differs."
)
class ToleranceBandInput(ToleranceBandSideInput):
    above: ToleranceBandSideInput | None = field(
        default=None, description="Side above the target, crossed by selling; the same as below when absent."
    )

    def to_core(self) -> Band:
        above = _at("above", self.above.to_side) if self.above else None
        return bands.check(bands.two_sided(self.to_side(), above))


@strawberry.input(description="Wanted share of one sleeve.")
class TargetEntryInput:
    percent: Percent = field(description="Wanted share of the portfolio; all entries sum to exactly 100.")
    key: str | None = field(
        default=None,
        description="Unique key; the first symbol, or the class, when absent. CASH is uninvested cash. With neither "
        "assets nor class, the key is the symbol.",
    )
    assets: list[str] = field(
        default_factory=list, description="Symbols that count towards the sleeve; the first is the one bought."
    )
    asset_class: AssetClass | None = field(
        default=None, description="Takes every held asset of this class that no entry names."
    )
    band: ToleranceBandInput | None = field(default=None, description="Tolerance; the policy's default when absent.")

    def to_core(self) -> TargetDraft:
        key, band = self.key, self.band
        return TargetDraft(
            self.percent,
            None if key is None else _at("key", lambda: scalars.text(key, "key", longest=MAX_KEY_LENGTH)),
            _each(self.assets, asset_name, "assets"),
            self.asset_class,
            _at("band", band.to_core) if band else None,
        )


def target_drafts(entries: list[TargetEntryInput], *path: str) -> tuple[TargetDraft, ...]:
    """Return the drafts of target entries; errors say which entry."""
    return _each(entries, TargetEntryInput.to_core, *path)


@strawberry.input(description="Amount of money in one currency.")
class MoneyInput:
    amount: Decimal = field(description="Amount, 0 or more.")
    currency: CurrencyCode = field(description="Currency of the amount.")


@strawberry.input(description="Units bought at one time and price.")
class LotInput:
    symbol: str = field(description='Ticker of the asset; "SYM:CUR" or "SYM:CUR:VENUE" where it means several.')
    quantity: Decimal = field(description="Units held, more than 0.")
    unit_cost: Decimal | None = field(
        default=None, description="Cost of one unit in the base currency, fees included; the latest price when absent."
    )
    acquired_on: date | None = field(default=None, description="When the lot was bought; today when absent.")

    def to_core(self) -> LotDraft:
        quantity = _at("quantity", lambda: scalars.quantity(self.quantity))
        cost = None if self.unit_cost is None else _at("unitCost", lambda: scalars.unit_cost(self.unit_cost))
        return LotDraft(_at("symbol", lambda: asset_name(self.symbol)), quantity, cost, self.acquired_on)


@strawberry.input(description="Account to create with a portfolio.")
class AccountInput:
    name: str = field(default="Main", description="Name, unique in the portfolio.")
    kind: AccountKind = field(default=AccountKind.TAXABLE, description="Tax treatment.")
    cash: Decimal = field(default=ZERO, description="Cash balance in the base currency.")
    balances: list[MoneyInput] = field(default_factory=list, description="Cash in other currencies.")
    lots: list[LotInput] = field(default_factory=list, description="Holdings of the account.")
    broker: str | None = field(default=None, description="Broker whose fees are paid in it, by name; none when absent.")
    execution: BrokerKind = field(
        default=BrokerKind.MANUAL, description="Who works its orders; ALPACA only by `accountUpdate`."
    )
    history_from: date | None = field(
        default=None,
        description="Day from which its purchases and sales are all recorded; null when nobody knows.",
    )

    def to_core(self, base_currency: str) -> AccountDraft:
        name = _at("name", lambda: scalars.text(self.name, "name"))
        cash = cash_of(self.cash, self.balances, base_currency)
        lots = _each(self.lots, LotInput.to_core, "lots", most=20_000)
        broker = "" if self.broker is None else _at("broker", lambda: scalars.text(self.broker, "broker"))
        return AccountDraft(name, self.kind, cash, lots, self.history_from, broker, self.execution)


def cash_of(cash: Decimal, balances: list[MoneyInput], base_currency: str) -> dict[str, Decimal]:
    """Return cash by currency."""
    found = {base_currency: _at("cash", lambda: scalars.money(cash, "cash"))} if cash else {}
    for place, balance in enumerate(balances):
        if balance.currency in found:
            raise Duplicate(f"cash in {balance.currency} is given twice", ["balances", place])
        found[balance.currency] = _at(("balances", place, "amount"), lambda item=balance: scalars.money(item.amount))
    return found


@strawberry.input(description="Holdings of one account.")
class HoldingsImportInput:
    account_id: ID = field(description="Global id of the account.")
    lots: list[LotInput] = field(description="All open lots of the account; others are closed.")
    cash: Decimal | None = field(default=None, description="Cash in the base currency; unchanged when absent.")
    balances: list[MoneyInput] | None = field(
        default=None, description="Cash in other currencies, all of them; unchanged when absent."
    )
    idempotency_key: str | None = field(
        default=None, description="Any text unique to this request; a repeat returns the first result again."
    )

    def checked_cash(self) -> Decimal | None:
        return None if self.cash is None else _at("cash", lambda: scalars.money(self.cash, "cash"))

    def lot_drafts(self) -> tuple[LotDraft, ...]:
        return _each(self.lots, LotInput.to_core, "lots", most=20_000)


@strawberry.input(description="New targets of a portfolio.")
class TargetsSetInput:
    portfolio_id: ID = field(description="Global id of the portfolio.")
    entries: list[TargetEntryInput] = field(description="All targets; they must sum to exactly 100 %.")
    expected_version: int | None = field(
        default=None, description="Version of the targets that was read, to avoid lost updates; 0 when none were set."
    )
    note: str | None = field(default=None, description="Why they are set.")
    dry_run: bool = field(default=False, description="True to check only, and store nothing.")

    def checked_note(self) -> str | None:
        return None if self.note is None else _at("note", lambda: scalars.text(self.note, "note", longest=NOTE_MAX))


@strawberry.input(description="What kind of rebalance to propose.")
class RebalanceProposeInput:
    portfolio_id: ID = field(description="Global id of the portfolio.")
    scope: PlanScope = field(default=PlanScope.BREACHED_ONLY, description="What the plan covers.")
    cash_flow: Decimal = field(
        default=ZERO,
        description="Cash in the base currency that comes in (positive, into the first account) or is taken out "
        "(negative, from any account); RAISE_CASH needs a negative one.",
    )
    exclude: list[str] = field(default_factory=list, description="Symbols that must not be traded; at most 500.")
    no_buy: list[str] = field(
        default_factory=list, description="Symbols that must not be bought, besides the policy's; at most 500."
    )
    no_sell: list[str] = field(
        default_factory=list, description="Symbols that must not be sold, besides the policy's; at most 500."
    )
    sell_lots: list[ID] = field(
        default_factory=list,
        description="Global ids of the only lots that may be sold; at most 500, and only with the lot method SPEC_ID.",
    )
    dry_run: bool = field(default=False, description="True to show the plan only, and store nothing.")
    wait: Duration = field(
        default=Duration(5), description='How long to wait for a plan that goes to a worker; "PT0S" for not at all.'
    )
    idempotency_key: str | None = field(
        default=None, description="Any text unique to this request; a repeat returns the first plan."
    )


@strawberry.input(description="Which alert to acknowledge.")
class AlertAcknowledgeInput:
    alert_id: ID = field(description="Global id of the alert.")


@strawberry.input(description="Which alert to snooze, and until when.")
class AlertSnoozeInput:
    alert_id: ID = field(description="Global id of the alert.")
    until: datetime | None = field(
        default=UNSET,
        description="When to be told again if it is open then, at most 90 days on; null ends the snooze it has. "
        "Needed.",
    )

    def checked_until(self) -> datetime | None:
        if self.until is UNSET:
            raise Required("until is missing; give an instant, or null to end the snooze", ["until"])
        return self.until


@strawberry.input(description="Price of one asset at one time.")
class PriceInput:
    symbol: str = field(description='Ticker; "SYM:CUR" or "SYM:CUR:VENUE" where it means several.')
    price: Decimal = field(description="Price of one unit, more than 0.")
    priced_at: datetime | None = field(default=None, description="When it was observed; now when absent.")
    source: str = field(default="api", description="Where it comes from.")


@strawberry.input(description="Prices to record.")
class PricesRecordInput:
    prices: list[PriceInput] = field(description="At most 500 prices; the latest of an asset wins.")


def balances_of(balances: list[MoneyInput] | None) -> dict[str, Decimal] | None:
    """Return cash in other currencies by currency; None when it is not given."""
    return None if balances is None else cash_of(ZERO, balances, "")


def plan_request(given: RebalanceProposeInput) -> PlanRequest:
    """Return what to plan."""
    flow = _at("cashFlow", lambda: scalars.money(given.cash_flow, "cashFlow", signed=True))
    return PlanRequest(
        given.scope,
        flow,
        _each(given.exclude, asset_name, "exclude"),
        _each(given.no_buy, asset_name, "noBuy"),
        _each(given.no_sell, asset_name, "noSell"),
        _each(given.sell_lots, str, "sellLots"),
    )


def price_drafts(given: PricesRecordInput) -> tuple[PriceDraft, ...]:
    """Return the prices to record."""

    def draft(item: PriceInput) -> PriceDraft:
        return PriceDraft(
            _at("symbol", lambda: asset_name(item.symbol)),
            _at("price", lambda: scalars.price(item.price)),
            item.priced_at,
            _at("source", lambda: scalars.text(item.source, "source")),
        )

    return _each(given.prices, draft, "prices")


def _each(items: list[Any], read: Any, *path: str, most: int = MAX_ARRAY) -> tuple[Any, ...]:
    if len(items) > most:
        raise LimitExceeded(f"there are {len(items)} items; at most {most} are allowed", path)
    return tuple(_at((*path, place), lambda item=item: read(item)) for place, item in enumerate(items))


def _at(path: Any, read: Any) -> Any:
    """Run `read`; put `path` before the path of its error."""
    try:
        return read()
    except SteelyardError as error:
        steps = (path,) if isinstance(path, str) else path
        raise error.under(*steps) from None

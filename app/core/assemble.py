"""From drafts to values: symbols looked up, defaults filled in. Offline and online lots are made here alike."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal

from app.core import past, targets
from app.core.document import PortfolioFile
from app.core.drafts import (
    AccountDraft,
    LotDraft,
    PortfolioDraft,
    TransactionDraft,
    basis_of,
    check_history,
    names_of,
)
from app.core.drift import Snapshot
from app.core.errors import InvalidInput, SteelyardError
from app.core.money import MONEY_LIMIT, QUANTITY_LIMIT, QUANTITY_PLACES, ROUNDED, ZERO, exactly, plain, round_half_even
from app.core.past import Past, Told
from app.core.portfolio import Account, Asset, Market, Portfolio, TaxLot, rate
from app.core.targets import TargetDraft


@dataclass(frozen=True, slots=True)
class NewLot:
    """A lot before it has an id: basis in the base currency, exact."""

    asset: Asset
    quantity: Decimal
    basis: Decimal
    acquired_on: date


def new_lots(
    drafts: Sequence[LotDraft], names: Mapping[str, Asset], market: Market, base_currency: str, today: date
) -> list[NewLot]:
    """Look lots up and give each its basis = quantity x unit cost, rounded half-even to 10 decimals.

    An absent unit cost is the latest price x rate, half-even to 18 decimals; an absent date is `today`. Refused, with
    the lot's place: an unknown symbol, a date in the future, an absent cost where there is no price.
    """
    lots = []
    for place, draft in enumerate(drafts):
        try:
            lots.append(_new_lot(draft, names, market, base_currency, today))
        except SteelyardError as error:
            raise error.under(place) from None
    _check_sums(lots)
    return lots


@exactly
def _check_sums(lots: Sequence[NewLot]) -> None:
    """Refuse lots of one asset that together are more than a holding may be."""
    held: dict[str, tuple[Decimal, Decimal]] = {}
    for place, lot in enumerate(lots):
        quantity, basis = held.get(lot.asset.id, (ZERO, ZERO))
        quantity, basis = quantity + lot.quantity, basis + lot.basis
        if quantity >= QUANTITY_LIMIT or basis >= MONEY_LIMIT:
            raise InvalidInput(
                f"the lots of {lot.asset.symbol} come to {plain(quantity)} units for {plain(basis)}; "
                f"at most {plain(QUANTITY_LIMIT)} units and {plain(MONEY_LIMIT)} are possible",
                [place, "quantity"],
            )
        held[lot.asset.id] = quantity, basis


def _new_lot(draft: LotDraft, names: Mapping[str, Asset], market: Market, base_currency: str, today: date) -> NewLot:
    asset = names.get(draft.symbol)
    if asset is None:
        raise InvalidInput(f"no asset has the symbol {draft.symbol.rstrip(':')}; an operator can add it", ["symbol"])
    acquired_on = draft.acquired_on or today
    if acquired_on > today:
        raise InvalidInput(f"acquiredOn {acquired_on} is after today, {today}", ["acquiredOn"])
    unit_cost = draft.unit_cost
    if unit_cost is None:
        price = market.prices.get(asset.id)
        factor = rate(market, asset.currency, base_currency)
        if price is None or factor is None:
            raise InvalidInput(f"{draft.symbol} has no price to take the cost from; give unitCost", ["unitCost"])
        unit_cost = round_half_even(ROUNDED.multiply(price.value, factor), QUANTITY_PLACES)
    return NewLot(asset, draft.quantity, basis_of(draft.quantity, unit_cost), acquired_on)


def snapshot_of(file: PortfolioFile) -> Snapshot:
    """Return the snapshot a portfolio file describes, as of its own instant; ids are the file's names.

    Every symbol must be among the file's assets, and mean one of them only.
    """
    assets = [asset for asset, _ in file.assets]
    names = names_of(assets)
    market = Market(
        {asset.id: asset for asset in assets},
        {asset.id: price for asset, price in file.assets if price},
        {broker.name: broker for broker in file.brokers},
    )
    try:
        _check_names(file.portfolio, names, assets, complete=True)
        return snapshot_from(file.portfolio, names, market, file.as_of)
    except SteelyardError as error:
        raise error.under("portfolio") from None


def planned_from(file: PortfolioFile) -> Snapshot:
    """Return the snapshot of a portfolio file that knows its past too; all its accounts are one taxpayer group."""
    snapshot = snapshot_of(file)
    names = names_of([asset for asset, _ in file.assets])
    today = file.as_of.date()
    accounts = {account.id: account for account in snapshot.portfolio.accounts}
    told = []
    for place, fact in enumerate(file.transactions):
        try:
            told.append(_told(fact, accounts, names, today))
        except SteelyardError as error:
            raise error.under("transactions", place) from None
    known_from = past.known_since(account.history_from for account in accounts.values())
    held = past.own_lots(accounts.values(), snapshot.market, today)
    return past.with_facts(snapshot, Past(past.in_order(told), held, known_from))


def _told(fact: TransactionDraft, accounts: Mapping[str, Account], names: Mapping[str, Asset], today: date) -> Told:
    past.check_day(fact.traded_on, today)
    if fact.symbol not in names:
        raise InvalidInput(f"no asset of the file has the symbol {fact.symbol}; add it to assets", ["symbol"])
    account = accounts[fact.account]
    return Told(
        *(fact.traded_on, account.id, account.kind, fact.side, names[fact.symbol]),
        *(fact.quantity, fact.price, fact.fees),
    )


def check_broker_known(account: AccountDraft, brokers: Collection[str]) -> None:
    """Refuse an account whose broker is not among those that are known."""
    if account.broker and account.broker not in brokers:
        raise no_broker(account.broker)


def no_broker(name: str) -> InvalidInput:
    """Return the error for a broker that nobody has told of."""
    return InvalidInput(f"no broker is called {name}; an operator can record it, and a file list it", ["broker"])


def snapshot_from(draft: PortfolioDraft, names: Mapping[str, Asset], market: Market, as_of: datetime) -> Snapshot:
    """Return the snapshot of a draft with these assets and prices; errors name the draft's field."""
    accounts = []
    for place, account in enumerate(draft.accounts):
        try:
            lots = new_lots(account.lots, names, market, draft.base_currency, as_of.date())
        except SteelyardError as error:
            raise error.under("accounts", place, "lots") from None
        try:
            check_history(account.history_from, as_of.date())
            check_broker_known(account, market.brokers)
        except SteelyardError as error:
            raise error.under("accounts", place) from None
        held = tuple(
            TaxLot(f"{account.name}:{index}", lot.asset.id, lot.quantity, lot.basis, lot.acquired_on, lot.acquired_on)
            for index, lot in enumerate(lots)
        )
        accounts.append(
            Account(
                *(account.name, account.name, account.kind, account.cash, held),
                history_from=account.history_from,
                broker=account.broker,
                execution=account.execution,
            )
        )
    portfolio = Portfolio(draft.name, draft.name, draft.base_currency, tuple(accounts))
    ids = {name: asset.id for name, asset in names.items()}
    try:
        wanted = None if draft.targets is None else targets.parse(draft.targets, ids)
    except SteelyardError as error:
        raise error.under("targets") from None
    return Snapshot(portfolio, wanted, draft.policy, market, as_of)


def _check_names(draft: PortfolioDraft, names: Mapping[str, Asset], assets: Sequence[Asset], *, complete: bool) -> None:
    """Refuse names that mean several of the file's assets and, where it must be complete, names of none of them."""
    for name, path in _names_used(draft):
        if name in names:
            continue
        meant = [asset.id for asset in assets if asset.id.startswith(f"{name}:")]
        if meant:
            raise InvalidInput(f"{name} may mean {', '.join(meant)[:200]}; write the one that is meant", path)
        if complete:
            raise InvalidInput(f"no asset of the file has the symbol {name}; add it to assets", path)


def _names_used(draft: PortfolioDraft) -> Iterator[tuple[str, tuple[str | int, ...]]]:
    for place, account in enumerate(draft.accounts):
        for index, lot in enumerate(account.lots):
            yield lot.symbol, ("accounts", place, "lots", index, "symbol")
    for place, target in enumerate(draft.targets or ()):
        for index, name in enumerate(target.assets):
            yield name, ("targets", place, "assets", index)
        if name := target.alone:
            yield name, ("targets", place, "key")


def in_full(file: PortfolioFile) -> PortfolioFile:
    """Call what a file lists among its assets by the full name, so that it means the same beside other assets."""
    assets = [asset for asset, _ in file.assets]
    names = names_of(assets)
    full = {name: asset.id for name, asset in names.items()}
    draft = file.portfolio
    try:
        _check_names(draft, names, assets, complete=False)
    except SteelyardError as error:
        raise error.under("portfolio") from None
    accounts = tuple(
        replace(account, lots=tuple(replace(lot, symbol=full.get(lot.symbol, lot.symbol)) for lot in account.lots))
        for account in draft.accounts
    )
    wanted = None if draft.targets is None else tuple(_target_in_full(target, full) for target in draft.targets)
    facts = tuple(replace(fact, symbol=full.get(fact.symbol, fact.symbol)) for fact in file.transactions)
    return replace(file, portfolio=replace(draft, accounts=accounts, targets=wanted), transactions=facts)


def _target_in_full(draft: TargetDraft, full: Mapping[str, str]) -> TargetDraft:
    """The key stays what it was: the one given, or the first symbol as it was written."""
    if draft.assets:
        key = draft.key or draft.assets[0]
        return replace(draft, key=key, assets=tuple(full.get(name, name) for name in draft.assets))
    return replace(draft, assets=(full[draft.alone],)) if draft.alone in full else draft

"""Portfolios: found, listed, created, changed; the holdings of their accounts."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from app.actions import alerts, once, reconciling
from app.actions.pages import Page, key_of, page_of, row_of
from app.context import Context, new_uuid
from app.core import assemble, ids, targets
from app.core.drafts import AccountDraft, LotDraft, PortfolioDraft, check_history
from app.core.errors import InvalidInput, InvalidState, NotFound, SteelyardError
from app.core.money import ZERO
from app.core.policy import Policy
from app.core.portfolio import Account, Asset, BrokerKind, Holding, Market, PortfolioStatus, TaxLot, Valuation
from app.core.targets import TargetDraft, Targets
from app.settings import Settings
from app.store import assets, brokers, holdings, order_alerts, plans, portfolios, reading
from app.store import targets as target_rows
from app.store.accounts import AccountChange, change_account, load_place
from app.store.db import Tx
from app.store.market import load_market
from app.store.portfolios import TargetsMeta as TargetsMeta
from app.store.reading import Loaded as Loaded


async def find(context: Context, portfolio_id: str) -> Loaded:
    """Load a portfolio with everything one answer needs; somebody else's does not exist."""
    async with context.store.owned(context.owner_id, reading=True) as tx:
        return await require(context, tx, portfolio_id)


async def require(context: Context, tx: Tx, portfolio_id: str) -> Loaded:
    """Load a portfolio in an open transaction, or raise NotFound."""
    loaded = await reading.load_snapshot(context.owner_id, tx, portfolio_id, context.now)
    if loaded is None:
        raise NotFound("portfolio", portfolio_id, ["portfolioId"])
    return loaded


def check_writable(status: PortfolioStatus, *path: str) -> None:
    """Refuse to change what is archived, or to plan for it."""
    if status is PortfolioStatus.ARCHIVED:
        raise InvalidState("the portfolio is archived; make it ACTIVE first", status.value, path)


async def page(context: Context, first: int, after: str | None, *, model: str | None = None) -> Page[Loaded]:
    """List the caller's portfolios, oldest first; all, or those that follow a model."""
    last = key_of(after, row_of) or 0
    async with context.store.owned(context.owner_id, reading=True) as tx:
        found = await reading.load_snapshots(context.owner_id, tx, None, context.now, first + 1, last, model=model)
    return page_of(found, first, lambda loaded: str(loaded.row.id))


def holdings_page(valuation: Valuation, first: int, after: str | None) -> Page[Holding]:
    """List the holdings of a portfolio that is loaded already."""
    last = key_of(after, str)
    known = [ids.holding_id(holding.account_id, holding.asset.id) for holding in valuation.holdings]
    start = known.index(last) + 1 if last in known else len(known) if last else 0
    found = valuation.holdings[start : start + first + 1]
    return page_of(found, first, lambda holding: ids.holding_id(holding.account_id, holding.asset.id))


async def create(context: Context, draft: PortfolioDraft, key: str | None = None) -> Loaded:
    """Create a portfolio with its accounts, holdings and targets: all of it or nothing."""
    check_new(draft.accounts)
    async with context.store.owned(context.owner_id) as tx:
        if stored := await once.begin(context, tx, key, "portfolioCreate", draft):
            return await require(context, tx, stored)
        lots = [lot for account in draft.accounts for lot in account.lots]
        names = await assets.load_assets_by_symbol(tx, sorted(_symbols(lots, draft.targets or ())))
        market = await load_market(tx, [asset.id for asset in names.values()])
        await _check_brokers(tx, draft.accounts)
        accounts = [
            _account(context, account, names, market, draft.base_currency, "accounts", place)
            for place, account in enumerate(draft.accounts)
        ]
        wanted = None if draft.targets is None else parse_targets(draft.targets, names, "targets")
        head = await portfolios.create_portfolio(
            context.owner_id,
            tx,
            name=draft.name,
            base_currency=draft.base_currency,
            policy=draft.policy,
            actor=context.actor,
            now=context.now,
            new_uuid=new_uuid,
            model=draft.model,
        )
        await _hold(context, tx, head.public_id, accounts)
        if wanted:
            await target_rows.replace_targets(
                context.owner_id, tx, head.public_id, wanted, author=context.actor, now=context.now, new_uuid=new_uuid
            )
        await once.finish(context, tx, key, head.public_id)
        loaded = await require(context, tx, head.public_id)
    await context.bus.nudge("portfolio", [context.owner_id])
    return loaded


async def update(
    context: Context,
    portfolio_id: str,
    *,
    name: str | None,
    status: PortfolioStatus | None,
    change: Callable[[Policy], Policy] | None,
    model: str | None = None,
    expected: int | None,
) -> Loaded:
    """Change a portfolio's name, status, policy or model; what is None stays, and an empty model takes it away."""
    async with context.store.owned(context.owner_id) as tx:
        before = await portfolios.lock_portfolio(context.owner_id, tx, portfolio_id)
        if status in (None, PortfolioStatus.ARCHIVED):
            check_writable(before.status, "portfolioId")
        if status is PortfolioStatus.ARCHIVED:
            await plans.refuse_while_executing(context.owner_id, tx, before.id, "status")
        await portfolios.update_portfolio(
            context.owner_id,
            tx,
            portfolio_id,
            actor=context.actor,
            now=context.now,
            name=name,
            status=status,
            policy=change(before.policy) if change else None,
            model=model,
            expected_version=expected,
        )
        loaded = await require(context, tx, portfolio_id)
    if status is not None:
        await alerts.settle(context, [context.owner_id])  # it may have been the last that waited for prices
    await context.bus.nudge("portfolio", [context.owner_id])
    return loaded


async def import_holdings(
    context: Context,
    account_id: str,
    lots: Sequence[LotDraft],
    *,
    cash: Decimal | None,
    balances: Mapping[str, Decimal] | None,
    key: str | None,
) -> tuple[Account, Loaded]:
    """Make an account hold exactly these lots, and this cash where it is given."""
    async with context.store.owned(context.owner_id) as tx:
        place = await load_place(context.owner_id, tx, account_id)
        if place is None:
            raise NotFound("account", account_id, ["accountId"])
        portfolio_id = place[0]
        request = (account_id, tuple(lots), cash, balances)
        if not await once.begin(context, tx, key, "holdingsImport", request, portfolio_id):
            await _import(context, tx, portfolio_id, {account_id: lots}, cash, balances)
            await once.finish(context, tx, key, account_id)
        loaded = await require(context, tx, portfolio_id)
    await context.bus.nudge("portfolio", [context.owner_id])
    return _find_account(loaded, account_id), loaded


async def update_account(
    context: Context, account_id: str, *, broker: str | None, execution: BrokerKind | None, expected: int | None
) -> tuple[Account, Loaded]:
    """Name the broker whose fees are paid in an account, empty for none, and who works its orders; None stays."""
    async with context.store.owned(context.owner_id) as tx:
        place = await load_place(context.owner_id, tx, account_id)
        if place is None:
            raise NotFound("account", account_id, ["accountId"])
        head = await portfolios.lock_portfolio(context.owner_id, tx, place[0])
        portfolios.check_version("portfolio", expected, head.version)
        check_writable(head.status, "accountId")
        if broker and broker not in await brokers.load_brokers(tx, [broker]):
            raise assemble.no_broker(broker)
        _check_execution(context.settings, account_id, execution)
        await plans.refuse_while_executing(context.owner_id, tx, head.id, "accountId")
        change = AccountChange(broker, execution)
        if await change_account(context.owner_id, tx, head, account_id, change, context.actor, context.now):
            await reconciling.end_alert(context.owner_id, tx, head, account_id, place[1], context.now)
        loaded = await require(context, tx, place[0])
    for topic in ("portfolio", "alert"):
        await context.bus.nudge(topic, [context.owner_id])
    return _find_account(loaded, account_id), loaded


def _check_execution(settings: Settings, account_id: str, execution: BrokerKind | None) -> None:
    """Refuse to send orders of an account to Alpaca, unless it is the one that the operator has set that up for.

    Whoever holds the keys trades with their owner's money, so that nobody else may choose that.
    """
    if execution is BrokerKind.ALPACA and account_id != settings.alpaca_account:
        raise InvalidInput(
            f"Alpaca is not set up for this account; the operator has to name {account_id} in STEELYARD_ALPACA_ACCOUNT",
            ["execution"],
        )


def check_new(drafts: Sequence[AccountDraft]) -> None:
    """Refuse new accounts whose orders shall go to Alpaca: the operator can only name an account that is there."""
    for place, draft in enumerate(drafts):
        if draft.execution is BrokerKind.ALPACA:
            message = (
                "no new account works at ALPACA; leave it out, and change it with accountUpdate once that is set up"
            )
            raise InvalidInput(message, ["accounts", place, "execution"])


async def import_lots(context: Context, portfolio_id: str, lots: Mapping[str, Sequence[LotDraft]]) -> None:
    """Make each of the named accounts hold exactly these lots; all of them or none. Cash stays."""
    async with context.store.owned(context.owner_id) as tx:
        await _import(context, tx, portfolio_id, lots, None, None)
    await context.bus.nudge("portfolio", [context.owner_id])


async def _import(
    context: Context,
    tx: Tx,
    portfolio_id: str,
    lots: Mapping[str, Sequence[LotDraft]],
    cash: Decimal | None,
    balances: Mapping[str, Decimal] | None,
) -> None:
    await portfolios.lock_portfolio(context.owner_id, tx, portfolio_id)
    loaded = await require(context, tx, portfolio_id)
    check_writable(loaded.row.status, "accountId")
    await plans.refuse_while_executing(context.owner_id, tx, loaded.row.id, "accountId")
    base = loaded.row.base_currency
    names = await assets.load_assets_by_symbol(
        tx, sorted(_symbols([lot for some in lots.values() for lot in some], ()))
    )
    market = await load_market(tx, [asset.id for asset in names.values()])
    accounts = []
    for account_id, some in lots.items():
        account = _find_account(loaded, account_id)
        draft = AccountDraft(account.name, account.kind, _cash(account, base, cash, balances), tuple(some))
        accounts.append(_account(context, draft, names, market, base))
    await _hold(context, tx, portfolio_id, accounts)
    await order_alerts.resolve_late(context.owner_id, tx, loaded.row.id, context.now)


async def _hold(context: Context, tx: Tx, portfolio_id: str, accounts: Sequence[Account]) -> None:
    await holdings.replace_holdings(
        context.owner_id, tx, portfolio_id, accounts, actor=context.actor, now=context.now, new_uuid=new_uuid
    )


def _find_account(loaded: Loaded, account_id: str) -> Account:
    return next(account for account in loaded.snapshot.portfolio.accounts if account.id == account_id)


def _cash(
    account: Account, base_currency: str, cash: Decimal | None, balances: Mapping[str, Decimal] | None
) -> dict[str, Decimal]:
    """Return cash by currency: what is given, else what is there."""
    base = account.cash.get(base_currency, ZERO) if cash is None else cash
    others = account.cash if balances is None else balances
    kept = {currency: amount for currency, amount in others.items() if currency != base_currency}
    return {**({base_currency: base} if base else {}), **kept}


def _account(
    context: Context,
    draft: AccountDraft,
    names: Mapping[str, Asset],
    market: Market,
    base_currency: str,
    *path: str | int,
) -> Account:
    try:
        lots = assemble.new_lots(draft.lots, names, market, base_currency, context.now.date())
    except SteelyardError as error:
        raise error.under(*path, "lots") from None
    try:
        check_history(draft.history_from, context.now.date())
    except SteelyardError as error:
        raise error.under(*path) from None
    held = tuple(
        TaxLot(context.new_id(ids.LOT), lot.asset.id, lot.quantity, lot.basis, lot.acquired_on, lot.acquired_on)
        for lot in lots
    )
    return Account(
        *(context.new_id(ids.ACCOUNT), draft.name, draft.kind, draft.cash, held),
        broker=draft.broker,
        execution=draft.execution,
        history_from=draft.history_from,
    )


async def _check_brokers(tx: Tx, drafts: Sequence[AccountDraft]) -> None:
    named = {draft.broker for draft in drafts if draft.broker}
    known = await brokers.load_brokers(tx, named) if named else {}
    for place, draft in enumerate(drafts):
        try:
            assemble.check_broker_known(draft, known)
        except SteelyardError as error:
            raise error.under("accounts", place) from None


def _symbols(lots: Sequence[LotDraft], drafts: Sequence[TargetDraft]) -> set[str]:
    return {lot.symbol for lot in lots} | targets.symbols_of(drafts)


def parse_targets(drafts: Sequence[TargetDraft], names: Mapping[str, Asset], *path: str) -> Targets:
    """Check targets against the assets that were found; errors are put under `path`."""
    try:
        return targets.parse(drafts, {name: asset.id for name, asset in names.items()})
    except SteelyardError as error:
        raise error.under(*path) from None

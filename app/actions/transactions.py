"""Transactions: purchases and sales of the past, told as facts. They move neither lots nor cash."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date

from app.actions import once, portfolios
from app.context import Context, new_uuid
from app.core.drafts import TransactionDraft, amount_of, check_history
from app.core.errors import InvalidInput, NotFound, Required, SteelyardError
from app.core.past import check_day
from app.core.portfolio import Account, Asset
from app.store import accounts as account_rows
from app.store import assets, history, plans, transactions
from app.store import portfolios as portfolio_rows
from app.store.db import Tx
from app.store.transactions import Transaction


async def record_for_account(
    context: Context, account_id: str, drafts: Sequence[TransactionDraft], history_from: date | None, key: str
) -> Account:
    """Add facts to one account, once for each key, whatever account the drafts name; return the account.

    From `history_from` on its facts are complete with these; None leaves that as it was.
    """
    if not drafts and history_from is None:
        raise Required("there is nothing to record; give transactions, or historyFrom", ["transactions"])
    async with context.store.owned(context.owner_id) as tx:
        place = await account_rows.load_place(context.owner_id, tx, account_id)
        if place is None:
            raise NotFound("account", account_id, ["accountId"])
        portfolio_id, name = place
        told = [replace(draft, account=name) for draft in drafts]
        days = {name: history_from} if history_from else {}
        request = (account_id, tuple(told), history_from)
        if not await once.begin(context, tx, key, "transactionsImport", request, portfolio_id):
            await _record(context, tx, portfolio_id, told, days)
            await once.finish(context, tx, key, account_id)
        loaded = await portfolios.require(context, tx, portfolio_id)
    await context.bus.nudge("portfolio", [context.owner_id])
    return next(account for account in loaded.snapshot.portfolio.accounts if account.id == account_id)


async def record(
    context: Context, portfolio_id: str, drafts: Sequence[TransactionDraft], key: str, days: Mapping[str, date]
) -> None:
    """Add facts to the accounts of a portfolio, once for each key; `days` is from when on they are complete, by name.

    A repeat adds no fact, but the days that it says.
    """
    async with context.store.owned(context.owner_id) as tx:
        known = await once.begin(context, tx, key, "transactionsImport", (portfolio_id, tuple(drafts)), portfolio_id)
        await _record(context, tx, portfolio_id, () if known else drafts, days)
        if not known:
            await once.finish(context, tx, key, portfolio_id)
    await context.bus.nudge("portfolio", [context.owner_id])


async def _record(
    context: Context, tx: Tx, portfolio_id: str, drafts: Sequence[TransactionDraft], days: Mapping[str, date]
) -> None:
    """Write facts. What was planned without knowing them is superseded: they may wash losses."""
    if not drafts and not days:
        return
    owner_id = context.owner_id
    head = await portfolio_rows.lock_portfolio(owner_id, tx, portfolio_id)
    portfolios.check_writable(head.status, "accountId")
    loaded = await portfolios.require(context, tx, portfolio_id)
    accounts = {account.name: account for account in loaded.snapshot.portfolio.accounts}
    names = await assets.load_assets_by_symbol(tx, sorted({draft.symbol for draft in drafts}))
    facts = facts_of(drafts, accounts, names, context.now.date())
    await transactions.append_transactions(
        owner_id, tx, head.id, facts, actor=context.actor, now=context.now, new_uuid=new_uuid
    )
    for day in days.values():
        check_history(day, context.now.date())
    await account_rows.save_history_from(owner_id, tx, head.id, days)
    await plans.supersede_open_plans(owner_id, tx, head.id, context.actor, context.now, queued=False)
    document = {"transactions": len(facts), "history_from": days}
    kind = "TRANSACTIONS_RECORDED"
    await history.append_history(owner_id, tx, head.id, kind, portfolio_id, context.actor, context.now, document)


def facts_of(
    drafts: Sequence[TransactionDraft], accounts: Mapping[str, Account], names: Mapping[str, Asset], today: date
) -> list[Transaction]:
    """Look facts up and work out their amounts; an error says which of them is wrong."""
    facts = []
    for place, draft in enumerate(drafts):
        try:
            check_day(draft.traded_on, today)
            facts.append(_fact(draft, accounts, names))
        except SteelyardError as error:
            raise error.under("transactions", place) from None
    return facts


def _fact(draft: TransactionDraft, accounts: Mapping[str, Account], names: Mapping[str, Asset]) -> Transaction:
    """Return a purchase or sale with its amount, its account and asset looked up."""
    if draft.account not in accounts:
        raise InvalidInput(no_account(draft.account, accounts), ["account"])
    if draft.symbol not in names:
        raise InvalidInput(f"no asset has the symbol {draft.symbol.rstrip(':')}; an operator can add it", ["symbol"])
    asset = names[draft.symbol]
    return Transaction(
        account_id=accounts[draft.account].id,
        asset_id=asset.id,
        side=draft.side.value,
        quantity=draft.quantity,
        price=draft.price,
        fees=draft.fees,
        amount=amount_of(draft),
        currency=asset.currency,
        traded_on=draft.traded_on,
    )


def no_account(name: str, accounts: Collection[str]) -> str:
    """Say that a portfolio has no account of this name, and which it has."""
    return f"the portfolio has no account {name}; it has {', '.join(accounts)}"

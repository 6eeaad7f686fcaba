"""Import and export: portfolio files and CSV, into and out of one owner's portfolios."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from app.actions import files, market, once, portfolios
from app.actions.files import LOT_COLUMNS, PRICE_COLUMNS, TRANSACTION_COLUMNS
from app.actions.market import PriceDraft
from app.context import Context, new_uuid
from app.core import document, export, scalars
from app.core.drafts import LotDraft, TransactionDraft
from app.core.errors import InvalidInput, SteelyardError
from app.core.money import ROUNDED, ZERO
from app.core.portfolio import Account, AccountKind, Asset
from app.core.trades import TradeSide
from app.store import assets, transactions
from app.store.db import Tx
from app.store.transactions import Transaction

PAGE: Final = 1000


async def import_file(context: Context, path: Path, *, with_assets: bool) -> str:
    """Create the portfolio of a file and return its id; the same file again returns the first portfolio.

    Assets and their prices belong to nobody: they are written only `with_assets`, which needs the role operator.
    """
    text = files.read_text(path)
    file = document.parse(files.read_json(text), context.now)
    if with_assets:
        for asset, _ in file.assets:
            await market.save_asset(context, asset)
        prices = [
            PriceDraft(_full_name(asset), price.value, price.priced_at, price.source)
            for asset, price in file.assets
            if price
        ]
        for start in range(0, len(prices), market.PRICES_MAX):
            await market.record_prices(context, prices[start : start + market.PRICES_MAX])
    key = f"import:{sha256(text.encode()).hexdigest()}"
    loaded = await portfolios.create(context, file.portfolio, key)
    if file.transactions:
        await record_transactions(context, loaded.row.public_id, file.transactions, f"{key}:transactions")
    return loaded.row.public_id


def _full_name(asset: Asset) -> str:
    return f"{asset.symbol}:{asset.currency}:{asset.venue}"


async def import_csv(context: Context, path: Path, portfolio_id: str | None) -> str:
    """Import a CSV, whose header says what it is; return a sentence that says what was done.

    Lots replace the holdings of the accounts they name, transactions are added, prices recorded.
    """
    text = files.read_text(path)
    header = tuple(name.strip() for name in text.partition("\n")[0].split(","))
    if sorted(header) == sorted(PRICE_COLUMNS):
        prices = files.read_csv(text, PRICE_COLUMNS, _price)
        for start in range(0, len(prices), market.PRICES_MAX):
            await market.record_prices(context, prices[start : start + market.PRICES_MAX])
        return f"{len(prices)} prices recorded"
    if portfolio_id is None:
        raise InvalidInput("a CSV of lots or transactions needs --portfolio", ["portfolio"])
    if sorted(header) == sorted(LOT_COLUMNS):
        return await _import_lots(context, portfolio_id, files.read_csv(text, LOT_COLUMNS, _lot))
    rows = files.read_csv(text, TRANSACTION_COLUMNS, _transaction)
    await _check_kinds(context, portfolio_id, rows)
    key = f"import:{sha256(text.encode()).hexdigest()}:{portfolio_id}"
    await record_transactions(context, portfolio_id, [draft for draft, _ in rows], key)
    return f"{len(rows)} transactions added"


async def _import_lots(context: Context, portfolio_id: str, rows: Sequence[tuple[str, LotDraft]]) -> str:
    loaded = await portfolios.find(context, portfolio_id)
    accounts = {account.name: account for account in loaded.snapshot.portfolio.accounts}
    by_account: dict[str, list[LotDraft]] = {}
    for name, draft in rows:
        if name not in accounts:
            raise InvalidInput(f"the portfolio has no account {name}; it has {', '.join(accounts)}", ["account"])
        by_account.setdefault(name, []).append(draft)
    await portfolios.import_lots(context, portfolio_id, {accounts[name].id: lots for name, lots in by_account.items()})
    return f"{len(rows)} lots imported into {len(by_account)} accounts"


async def _check_kinds(
    context: Context, portfolio_id: str, rows: Sequence[tuple[TransactionDraft, AccountKind]]
) -> None:
    loaded = await portfolios.find(context, portfolio_id)
    kinds = {account.name: account.kind for account in loaded.snapshot.portfolio.accounts}
    for draft, kind in rows:
        if draft.account in kinds and kinds[draft.account] is not kind:
            raise InvalidInput(f"account {draft.account} is {kinds[draft.account].value}, not {kind.value}")


async def record_transactions(
    context: Context, portfolio_id: str, drafts: Sequence[TransactionDraft], key: str
) -> None:
    """Add facts of the past, once; lots and cash are not touched by them."""
    async with context.store.owned(context.owner_id) as tx:
        if await once.begin(context, tx, key, "transactionsImport", (portfolio_id, tuple(drafts))):
            return
        loaded = await portfolios.require(context, tx, portfolio_id)
        accounts = {account.name: account for account in loaded.snapshot.portfolio.accounts}
        names = await assets.load_assets_by_symbol(tx, sorted({draft.symbol for draft in drafts}))
        facts = []
        for place, draft in enumerate(drafts):
            try:
                facts.append(_fact(draft, accounts, names))
            except SteelyardError as error:
                raise error.under("transactions", place) from None
        await transactions.append_transactions(
            context.owner_id, tx, loaded.row.id, facts, actor=context.actor, now=context.now, new_uuid=new_uuid
        )
        await once.finish(context, tx, key, portfolio_id)


def _fact(draft: TransactionDraft, accounts: dict[str, Account], names: dict[str, Asset]) -> Transaction:
    if draft.account not in accounts:
        raise InvalidInput(f"the portfolio has no account {draft.account}", ["account"])
    if draft.symbol not in names:
        raise InvalidInput(f"no asset has the symbol {draft.symbol}; an operator can add it", ["symbol"])
    asset = names[draft.symbol]
    gross = ROUNDED.multiply(draft.quantity, draft.price)
    amount = gross + draft.fees if draft.side is TradeSide.BUY else gross - draft.fees
    return Transaction(
        account_id=accounts[draft.account].id,
        asset_id=asset.id,
        side=draft.side.value,
        quantity=draft.quantity,
        price=draft.price,
        fees=draft.fees,
        amount=amount,
        currency=asset.currency,
        traded_on=draft.traded_on,
    )


async def export_file(context: Context, portfolio_id: str) -> dict[str, Any]:
    """Return a portfolio as a portfolio file, with its purchases and sales of the past."""
    async with context.store.owned(context.owner_id, reading=True) as tx:
        loaded = await portfolios.require(context, tx, portfolio_id)
        facts = await _all_transactions(context, tx, loaded.row.id)
    snapshot = loaded.snapshot
    accounts = {account.id: account.name for account in snapshot.portfolio.accounts}
    known = snapshot.market.assets
    drafts = [
        TransactionDraft(
            fact.traded_on,
            accounts[fact.account_id],
            TradeSide(fact.side),
            known[asset_id].symbol,
            fact.quantity or ZERO,
            fact.price or ZERO,
            fact.fees or ZERO,
        )
        for fact in facts
        if (asset_id := fact.asset_id) and asset_id in known and fact.side in TradeSide.__members__
    ]
    return export.render(snapshot, drafts)


async def _all_transactions(context: Context, tx: Tx, portfolio_row_id: int) -> list[Transaction]:
    found: list[Transaction] = []
    after = 0
    while True:
        page = await transactions.load_transactions(context.owner_id, tx, portfolio_row_id, PAGE, after)
        found += [fact for _, fact in page]
        if len(page) < PAGE:
            return found
        after = page[-1][0]


def _lot(row: dict[str, str]) -> tuple[str, LotDraft]:
    return row["account"], LotDraft(
        scalars.text(row["symbol"], "symbol", longest=64),
        scalars.quantity(row["quantity"]),
        scalars.unit_cost(row["unit_cost"], "unit_cost") if row["unit_cost"] else None,
        scalars.day(row["acquired_on"], "acquired_on") if row["acquired_on"] else None,
    )


def _price(row: dict[str, str]) -> PriceDraft:
    symbol = scalars.text(row["symbol"], "symbol", longest=64)
    name = f"{symbol}:{scalars.currency(row['currency'])}" if row["currency"] else symbol
    priced_at = scalars.instant(row["priced_at"], "priced_at") if row["priced_at"] else None
    return PriceDraft(name, scalars.price(row["price"]), priced_at, "csv")


def _transaction(row: dict[str, str]) -> tuple[TransactionDraft, AccountKind]:
    draft = TransactionDraft(
        scalars.day(row["date"]),
        scalars.text(row["account"], "account"),
        scalars.member(TradeSide, row["side"], "side"),
        scalars.text(row["symbol"], "symbol", longest=64),
        scalars.quantity(row["quantity"]),
        scalars.price(row["price"]),
        scalars.money(row["fees"] or 0, "fees"),
    )
    return draft, scalars.member(AccountKind, row["account_kind"], "account_kind")

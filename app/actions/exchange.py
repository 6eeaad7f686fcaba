"""Import and export: portfolio files and CSV, into and out of one owner's portfolios."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from app.actions import files, market, portfolios, transactions
from app.actions.files import LOT_COLUMNS, PRICE_COLUMNS, TRANSACTION_COLUMNS
from app.actions.market import PriceDraft
from app.context import Context
from app.core import assemble, export, scalars, targets
from app.core.document import PortfolioFile
from app.core.drafts import MAX_LOTS, LotDraft, TransactionDraft, asset_name
from app.core.errors import InvalidInput, LimitExceeded, Required, SteelyardError
from app.core.money import ZERO
from app.core.portfolio import AccountKind, Asset, Market
from app.core.trades import TradeSide
from app.store import assets, brokers
from app.store import transactions as transaction_rows
from app.store.db import Tx
from app.store.market import load_market
from app.store.transactions import Transaction

PAGE: Final = 1000

Tell = Callable[[str], None]
"""Is told how far a long import is."""


async def import_file(context: Context, path: Path, *, with_assets: bool, tell: Tell = lambda _: None) -> str:
    """Create the portfolio of a file and return its id; the same file again returns the first portfolio.

    Assets and their prices belong to nobody: they are written only `with_assets`, which needs the role operator.
    All of the file is checked before any of it is written; what an outage leaves undone, a repeat does.
    """
    text = files.read_text(path)
    file = assemble.in_full(files.parse(text, context.now))
    await _check(context, file, with_assets=with_assets)
    if with_assets:
        for place, (asset, _) in enumerate(file.assets, 1):
            await market.save_asset(context, asset)
            tell(f"{place} of {len(file.assets)} assets")
        prices = [
            PriceDraft(asset.id, price.value, price.priced_at, price.source) for asset, price in file.assets if price
        ]
        await _record_prices(context, prices, tell)
        for broker in file.brokers:
            await market.save_broker(context, broker)
    tell("the portfolio")
    key = f"import:{sha256(text.encode()).hexdigest()}"
    loaded = await portfolios.create(context, file.portfolio, key)
    if file.transactions:
        tell(f"{len(file.transactions)} transactions")
        await transactions.record(context, loaded.row.public_id, file.transactions, f"{key}:transactions", {})
    return loaded.row.public_id


async def _check(context: Context, file: PortfolioFile, *, with_assets: bool) -> None:
    """Refuse what would be refused half-way: names, dates, targets and prices, against the file and the store."""
    if with_assets:
        context.require_operator()
    own = {asset.id: (asset, price) for asset, price in file.assets} if with_assets else {}
    for place, (_, price) in enumerate(own.values()):
        if price:
            market.check_instant(price.priced_at, context.now, "assets", place)
    draft = file.portfolio
    symbols = {lot.symbol for account in draft.accounts for lot in account.lots}
    symbols |= targets.symbols_of(draft.targets or ()) | {fact.symbol for fact in file.transactions}
    told = {broker.name: broker for broker in file.brokers} if with_assets else {}
    named = {account.broker for account in draft.accounts if account.broker}
    names, known = await _look_up(context, symbols - own.keys(), named - told.keys())
    names |= {name: asset for name, (asset, _) in own.items()}
    prices = {name: price for name, (_, price) in own.items() if price}
    joined = known.joined(Market({name: names[name] for name in own}, prices, told))
    try:
        snapshot = assemble.snapshot_from(draft, names, joined, context.now)
        portfolios.check_new(draft.accounts)
    except SteelyardError as error:
        raise error.under("portfolio") from None
    accounts = {account.name: account for account in snapshot.portfolio.accounts}
    transactions.facts_of(file.transactions, accounts, names, context.now.date())


async def _look_up(
    context: Context, symbols: Collection[str], named: Collection[str] = ()
) -> tuple[dict[str, Asset], Market]:
    """Return assets by their names, and a market of them and of the brokers that are named."""
    async with context.store.shared(reading=True) as tx:
        names = await assets.load_assets_by_symbol(tx, sorted(symbols))
        found = await load_market(tx, [asset.id for asset in names.values()])
        return names, replace(found, brokers=await brokers.load_brokers(tx, named) if named else {})


async def _record_prices(context: Context, drafts: Sequence[PriceDraft], tell: Tell) -> None:
    for start in range(0, len(drafts), market.PRICES_MAX):
        tell(f"{start} of {len(drafts)} prices")
        await market.record_prices(context, drafts[start : start + market.PRICES_MAX])


async def import_csv(
    context: Context,
    path: Path,
    portfolio_id: str | None,
    *,
    with_assets: bool,
    history_from: date | None = None,
    tell: Tell = lambda _: None,
) -> str:
    """Import a CSV, whose header says what it is; return a sentence that says what was done.

    Lots replace the holdings of the accounts they name, transactions are added once, prices recorded `with_assets`.
    With `history_from` the transactions of the accounts they name are complete from that day on.
    """
    text = files.read_text(path)
    header = sorted(files.read_header(text))
    if history_from and header != sorted(TRANSACTION_COLUMNS):
        raise InvalidInput("only transactions say from when on the past is known", ["history-from"])
    if header == sorted(PRICE_COLUMNS):
        return await _import_prices(context, files.read_csv(text, PRICE_COLUMNS, _price), with_assets, tell)
    if header not in (sorted(LOT_COLUMNS), sorted(TRANSACTION_COLUMNS)):
        known = " or ".join(",".join(columns) for columns in (LOT_COLUMNS, PRICE_COLUMNS, TRANSACTION_COLUMNS))
        raise InvalidInput(f"the header must be {known}")
    if portfolio_id is None:
        raise Required("a CSV of lots or transactions needs --portfolio", ["portfolio"])
    tell("rows")
    if header == sorted(LOT_COLUMNS):
        return await _import_lots(context, portfolio_id, files.read_csv(text, LOT_COLUMNS, _lot))
    rows = files.read_csv(text, TRANSACTION_COLUMNS, _transaction)
    await _check_kinds(context, portfolio_id, rows)
    drafts = [draft for _, (draft, _) in rows]
    days = {draft.account: history_from for draft in drafts} if history_from else {}
    key = f"import:{sha256(text.encode()).hexdigest()}:{portfolio_id}"
    with _by_line([line for line, _ in rows]):
        await transactions.record(context, portfolio_id, drafts, key, days)
    return f"{len(rows)} transactions added"


@contextmanager
def _by_line(lines: Sequence[int]) -> Iterator[None]:
    """Say the line of a CSV where an error's path counts its rows."""
    try:
        yield
    except SteelyardError as error:
        place = next((int(step) for step in error.path if step.isdigit()), None)
        if place is None:
            raise
        raise InvalidInput(f"line {lines[place]}: {error.message}") from None


async def _import_prices(
    context: Context, rows: Sequence[tuple[int, PriceDraft]], with_assets: bool, tell: Tell
) -> str:
    if not with_assets:
        raise Required("prices are everybody's; say --with-assets to record them", ["with-assets"])
    drafts = [draft for _, draft in rows]
    names, _ = await _look_up(context, {draft.symbol for draft in drafts})
    with _by_line([line for line, _ in rows]):
        for place, draft in enumerate(drafts):
            if draft.symbol not in names:
                raise InvalidInput(f"no asset has the symbol {draft.symbol}; add it first", [place])
            if draft.priced_at:
                market.check_instant(draft.priced_at, context.now, place)
    await _record_prices(context, drafts, tell)
    return f"{len(drafts)} prices recorded"


async def _import_lots(context: Context, portfolio_id: str, rows: Sequence[tuple[int, tuple[str, LotDraft]]]) -> str:
    loaded = await portfolios.find(context, portfolio_id)
    accounts = {account.name: account for account in loaded.snapshot.portfolio.accounts}
    by_account: dict[str, list[LotDraft]] = {}
    for line, (name, draft) in rows:
        if name not in accounts:
            raise InvalidInput(f"line {line}: {transactions.no_account(name, accounts)}")
        by_account.setdefault(name, []).append(draft)
    kept = sum(len(account.lots) for name, account in accounts.items() if name not in by_account)
    if kept + len(rows) > MAX_LOTS:
        raise LimitExceeded(f"the portfolio would have {kept + len(rows)} lots; at most {MAX_LOTS} are allowed")
    drafts = [draft for _, (_, draft) in rows]
    names, known = await _look_up(context, {draft.symbol for draft in drafts})
    with _by_line([line for line, _ in rows]):
        assemble.new_lots(drafts, names, known, loaded.row.base_currency, context.now.date())
    await portfolios.import_lots(context, portfolio_id, {accounts[name].id: lots for name, lots in by_account.items()})
    return f"{len(rows)} lots imported into {len(by_account)} accounts"


async def _check_kinds(
    context: Context, portfolio_id: str, rows: Sequence[tuple[int, tuple[TransactionDraft, AccountKind]]]
) -> None:
    loaded = await portfolios.find(context, portfolio_id)
    kinds = {account.name: account.kind for account in loaded.snapshot.portfolio.accounts}
    for line, (draft, kind) in rows:
        if kinds.get(draft.account, kind) is not kind:
            found = kinds[draft.account].value
            raise InvalidInput(f"line {line}: account {draft.account} is {found}, not {kind.value}")


async def export_file(context: Context, portfolio_id: str) -> dict[str, Any]:
    """Return a portfolio as a portfolio file, with its purchases and sales of the past."""
    async with context.store.owned(context.owner_id, reading=True) as tx:
        loaded = await portfolios.require(context, tx, portfolio_id)
        facts = [
            fact for fact in await _all_transactions(context, tx, loaded.row.id) if fact.side in TradeSide.__members__
        ]
        known = loaded.snapshot.market
        # What was sold long ago is neither held nor targeted, but named by the facts.
        more = await load_market(tx, {fact.asset_id for fact in facts if fact.asset_id} - known.assets.keys())
    both = known.joined(more)
    snapshot = replace(loaded.snapshot, market=both)
    accounts = {account.id: account.name for account in snapshot.portfolio.accounts}
    names = export.names_by_id(both.assets.values())
    drafts = [
        TransactionDraft(
            fact.traded_on,
            accounts[fact.account_id],
            TradeSide(fact.side),
            names[fact.asset_id or ""],
            fact.quantity or ZERO,
            fact.price or ZERO,
            fact.fees or ZERO,
        )
        for fact in facts
    ]
    return export.render(snapshot, drafts, loaded.row.model)


def as_csv(document: dict[str, Any], kind: str) -> str:
    """Return the lots, prices or transactions of a portfolio file as CSV."""
    portfolio = document["portfolio"]
    if kind == "lots":
        rows = [{"account": account["name"], **lot} for account in portfolio["accounts"] for lot in account["lots"]]
        return files.write_csv(
            LOT_COLUMNS, [_cells(row, unitCost="unit_cost", acquiredOn="acquired_on") for row in rows]
        )
    if kind == "prices":
        priced = [asset for asset in document["assets"] if "price" in asset]
        return files.write_csv(PRICE_COLUMNS, [_price_cells(asset) for asset in priced])
    kinds = {account["name"]: account["kind"] for account in portfolio["accounts"]}
    facts = document.get("transactions", [])
    return files.write_csv(TRANSACTION_COLUMNS, [{**fact, "account_kind": kinds[fact["account"]]} for fact in facts])


def _cells(row: dict[str, str], **columns: str) -> dict[str, str]:
    return {columns.get(name, name): value for name, value in row.items()}


def _price_cells(asset: dict[str, Any]) -> dict[str, str]:
    symbol, currency, venue = asset["symbol"], asset["currency"], asset.get("venue")
    name = f"{symbol}:{currency}:{venue}" if venue else symbol
    return {"symbol": name, "currency": currency, "price": asset["price"], "priced_at": asset["pricedAt"]}


async def _all_transactions(context: Context, tx: Tx, portfolio_row_id: int) -> list[Transaction]:
    found: list[Transaction] = []
    after = 0
    while True:
        page = await transaction_rows.load_transactions(context.owner_id, tx, portfolio_row_id, PAGE, after)
        found += [fact for _, fact in page]
        if len(page) < PAGE:
            return found
        after = page[-1][0]


def _lot(row: dict[str, str]) -> tuple[str, LotDraft]:
    return row["account"], LotDraft(
        asset_name(row["symbol"]),
        scalars.quantity(row["quantity"]),
        scalars.unit_cost(row["unit_cost"], "unit_cost") if row["unit_cost"] else None,
        scalars.day(row["acquired_on"], "acquired_on") if row["acquired_on"] else None,
    )


def _price(row: dict[str, str]) -> PriceDraft:
    name = asset_name(row["symbol"])
    if row["currency"]:
        currency = scalars.currency(row["currency"])
        symbol, *rest = name.split(":")
        if rest[:1] not in ([], [currency]):
            raise InvalidInput(f"{name} is not in {currency}")
        name = name if rest else f"{symbol}:{currency}"
    priced_at = scalars.instant(row["priced_at"], "priced_at") if row["priced_at"] else None
    return PriceDraft(name, scalars.price(row["price"]), priced_at, "csv")


def _transaction(row: dict[str, str]) -> tuple[TransactionDraft, AccountKind]:
    draft = TransactionDraft(
        scalars.day(row["date"]),
        scalars.text(row["account"], "account"),
        scalars.member(TradeSide, row["side"], "side"),
        asset_name(row["symbol"]),
        scalars.quantity(row["quantity"]),
        scalars.price(row["price"]),
        scalars.money(row["fees"] or 0, "fees"),
    )
    return draft, scalars.member(AccountKind, row["account_kind"], "account_kind")

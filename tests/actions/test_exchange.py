"""Import and export against the real store."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from app.actions import access, exchange, market, portfolios
from app.context import OPERATOR, Context, on_thread, open_services
from app.core.drift import Snapshot
from app.core.errors import Forbidden, LimitExceeded, NotFound, SteelyardError
from app.core.money import plain
from app.core.portfolio import Account, TaxLot
from app.embedded import Endpoints
from app.settings import Settings
from app.store import assets
from app.store.db import Tx

ROLES = frozenset({OPERATOR})
LOTS = "account,symbol,quantity,unit_cost,acquired_on\n"
PRICES = "symbol,currency,price,priced_at\n"
FACTS = "date,account,account_kind,side,symbol,quantity,price,fees\n"


@pytest.fixture
async def alice(database: Endpoints, redis_url: str) -> AsyncIterator[Context]:
    """Give an owner who is an operator too, as the command line is."""
    settings = Settings().model_copy(update={"database_url": database.database_url, "redis_url": redis_url})
    async with open_services(settings, on_thread) as services:
        yield await access.enter(services, issuer="test", subject="alice", tool="cli", roles=ROLES)


def document(**changes: Any) -> dict[str, Any]:
    """Write a file with two accounts, worth 3,100 dollars and 200 euros."""
    return {
        "steelyard": 1,
        "assets": [
            {"symbol": "AAA", "price": "110", "pricedAt": "2024-06-03T16:00:00Z", "assetClass": "STOCK"},
            {"symbol": "BBB", "price": "10", "pricedAt": "2024-06-03T16:00:00Z", "costs": {"rate": "0.1"}},
            {"symbol": "EUR", "assetClass": "CASH", "price": "1.1"},
        ],
        "portfolio": {
            "name": "Family",
            "policy": {"defaultBand": {"relative": "20", "floor": "1"}, "destination": "HALFWAY", "bandKept": "50"},
            "accounts": [
                {
                    "name": "Broker",
                    "cash": "1000",
                    "balances": [{"currency": "EUR", "amount": "200"}],
                    "lots": [
                        {
                            "symbol": "AAA",
                            "quantity": "3",
                            "unitCost": "33.333333333333333333",
                            "acquiredOn": "2020-01-02",
                        },
                        {"symbol": "AAA", "quantity": "7", "unitCost": "90", "acquiredOn": "2021-01-02"},
                    ],
                },
                {
                    "name": "Pension",
                    "kind": "TAX_DEFERRED",
                    "lots": [{"symbol": "BBB", "quantity": "100", "unitCost": "9", "acquiredOn": "2019-05-01"}],
                },
            ],
            "targets": [
                {"key": "Growth", "percent": "60", "assets": ["AAA"], "band": {"hybrid": {"absolute": "3"}}},
                {"percent": "30", "assets": ["BBB"]},
                {"key": "CASH", "percent": "10"},
            ],
        },
        "transactions": [
            {"date": "2020-01-02", "account": "Broker", "side": "BUY", "symbol": "AAA", "quantity": "3", "price": "33"}
        ],
        **changes,
    }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "portfolio.json"
    rewrite(path)
    return path


def write(file: Path, written: object) -> None:
    file.write_text(json.dumps(written))


def rewrite(file: Path, **changes: Any) -> None:
    write(file, document(**changes))


def csv(folder: Path, text: str) -> Path:
    path = folder / "some.csv"
    path.write_text(text)
    return path


async def imported(context: Context, file: Path, *, with_assets: bool = True) -> str:
    return await exchange.import_file(context, file, with_assets=with_assets)


async def snapshot(context: Context, portfolio_id: str) -> Snapshot:
    return (await portfolios.find(context, portfolio_id)).snapshot


async def lots(context: Context, portfolio_id: str) -> dict[str, list[str]]:
    """Write the lots of each account as `units SYMBOL basis date`."""
    found = await snapshot(context, portfolio_id)

    def write(lot: TaxLot) -> str:
        symbol = found.market.assets[lot.asset_id].symbol
        return f"{plain(lot.quantity)} {symbol} {plain(lot.basis)} {lot.acquired_on}"

    return {account.name: [write(lot) for lot in account.lots] for account in found.portfolio.accounts}


async def count(context: Context, table: str) -> int:
    async with context.store.shared(reading=True) as tx:
        return int(await tx.value(f"SELECT count(*) FROM {table}"))


async def prices(context: Context) -> dict[str, str]:
    async with context.store.shared(reading=True) as tx:
        return {asset.symbol: plain(price.value) for asset, price in await all_assets(tx) if price}


async def all_assets(tx: Tx) -> Sequence[tuple[Any, Any]]:
    return await assets.find_assets(tx, "", 100)


async def refusal(work: Any) -> str:
    with pytest.raises(SteelyardError) as caught:
        await work
    return f"{'.'.join(caught.value.path)}: {caught.value.message}"


def timeless(found: Snapshot) -> Snapshot:
    """Leave out what an import makes anew: ids, the instant, versions."""

    def renamed(account: Account) -> Account:
        held = tuple(replace(lot, id="") for lot in account.lots)
        return replace(account, id="", taxpayer_group="", lots=held)

    owned = tuple(map(renamed, found.portfolio.accounts))
    return replace(
        found,
        portfolio=replace(found.portfolio, id="", version=0, accounts=owned),
        targets=found.targets and replace(found.targets, version=None),
        as_of=found.as_of.min,
    )


async def test_file_becomes_a_portfolio_with_all_it_says(alice: Context, file: Path) -> None:
    told: list[str] = []
    portfolio_id = await exchange.import_file(alice, file, with_assets=True, tell=told.append)
    found = await snapshot(alice, portfolio_id)
    assert await lots(alice, portfolio_id) == {
        "Broker": ["3 AAA 100 2020-01-02", "7 AAA 630 2021-01-02"],
        "Pension": ["100 BBB 900 2019-05-01"],
    }
    assert [dict(account.cash) for account in found.portfolio.accounts] == [{"USD": 1000, "EUR": 200}, {}]
    assert found.targets is not None
    shares = {target.key: plain(target.percent) for target in found.targets.entries}
    assert shares == {"Growth": "60", "BBB": "30", "CASH": "10"}
    assert await prices(alice) == {"AAA": "110", "BBB": "10", "EUR": "1.1"}
    assert told[2:] == ["3 of 3 assets", "0 of 3 prices", "the portfolio", "1 transactions"]


async def test_same_file_again_is_the_same_portfolio(alice: Context, file: Path) -> None:
    first = await imported(alice, file)
    assert await imported(alice, file) == first
    assert await imported(alice, file, with_assets=False) == first
    assert (await count(alice, "portfolios"), await count(alice, "transactions WHERE side = 'BUY'")) == (1, 1)


async def test_files_assets_and_prices_are_not_written_by_an_owners_import(alice: Context, file: Path) -> None:
    assert (await refusal(imported(alice, file, with_assets=False))).endswith(
        "no asset has the symbol AAA:USD; an operator can add it"
    )
    assert (await count(alice, "assets"), await count(alice, "portfolios")) == (0, 0)
    await imported(alice, file)
    dearer = document()["assets"]
    dearer[0]["price"], dearer[0]["name"] = "999", "Changed"
    rewrite(file, assets=dearer)
    await imported(alice, file, with_assets=False)
    assert await prices(alice) == {"AAA": "110", "BBB": "10", "EUR": "1.1"}
    assert await count(alice, "assets WHERE name = 'Changed'") == 0


async def test_assets_need_an_operator(alice: Context, file: Path) -> None:
    with pytest.raises(Forbidden):
        await imported(replace(alice, roles=frozenset()), file)
    assert await count(alice, "assets") == 0


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("transactions.0.account", "Nobody", "transactions.0.account: the portfolio has no account Nobody; it has "
         "Broker, Pension"),
        ("transactions.0.symbol", "ZZZ", "transactions.0.symbol: no asset has the symbol ZZZ; an operator can add it"),
        ("portfolio.targets.0.percent", "61", "portfolio.targets: targets sum to 101; 1 is too much"),
        ("portfolio.targets.1.assets", ["ZZZ"], "portfolio.targets.1.assets.0: no asset has the symbol ZZZ; an "
         "operator can add it"),
        ("portfolio.accounts.1.lots.0.acquiredOn", "9999-12-31", "portfolio.accounts.1.lots.0.acquiredOn: acquiredOn "
         "9999-12-31 is after today, "),
        ("transactions.0.date", "9999-12-31", "transactions.0.date: date 9999-12-31 is after today, "),
        ("assets.1.pricedAt", "9999-01-01T00:00:00Z",
         "assets.1.pricedAt: pricedAt 9999-01-01T00:00:00Z is in the future"),
    ],
)  # fmt: skip
async def test_wrong_file_leaves_nothing_behind(
    alice: Context, file: Path, path: str, value: object, message: str
) -> None:
    wrong: Any = document()
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place = wrong
    for step in steps:
        place = place[step]
    place[last] = value
    write(file, wrong)
    assert (await refusal(imported(alice, file))).startswith(message)
    for table in ("assets", "price_history", "portfolios", "transactions", "idempotency_keys"):
        assert await count(alice, table) == 0


async def test_export_imports_to_an_equal_portfolio(alice: Context, file: Path, tmp_path: Path) -> None:
    first = await imported(alice, file)
    copy = tmp_path / "copy.json"
    write(copy, await exchange.export_file(alice, first))
    second = await imported(alice, copy, with_assets=False)
    assert second != first
    assert timeless(await snapshot(alice, second)) == timeless(await snapshot(alice, first))
    again, before = await exchange.export_file(alice, second), json.loads(copy.read_text())
    assert {**again, "asOf": ""} == {**before, "asOf": ""}


async def test_export_keeps_the_model(alice: Context, file: Path, tmp_path: Path) -> None:
    rewrite(file, portfolio={"name": "Family", "model": "Balanced"}, transactions=[])
    exported = await exchange.export_file(alice, await imported(alice, file))
    assert exported["portfolio"]["model"] == "Balanced"
    write(tmp_path / "copy.json", exported)
    second = await portfolios.find(alice, await imported(alice, tmp_path / "copy.json", with_assets=False))
    assert (second.row.name, second.row.model) == ("Family", "Balanced")


async def test_export_imports_where_other_assets_have_the_same_symbols(
    alice: Context, file: Path, tmp_path: Path
) -> None:
    named = document()
    named["portfolio"]["targets"][0] = {"percent": "60", "assets": ["AAA"]}
    write(file, named)
    first = await imported(alice, file)
    exported = await exchange.export_file(alice, first)
    same = [{"symbol": "AAA", "currency": "EUR", "price": "1"}, {"symbol": "AAA", "venue": "NYSE", "price": "2"}]
    rewrite(file, assets=same, portfolio={}, transactions=[])
    await imported(alice, file)
    write(tmp_path / "copy.json", exported)
    second = await imported(alice, tmp_path / "copy.json", with_assets=False)
    assert await lots(alice, second) == await lots(alice, first)
    found = (await snapshot(alice, second)).targets
    assert found is not None
    assert [entry.key for entry in found.entries] == ["AAA", "BBB", "CASH"]


async def test_symbol_that_means_several_of_the_files_assets_is_refused(alice: Context, file: Path) -> None:
    rewrite(file, assets=[*document()["assets"], {"symbol": "AAA", "venue": "NYSE"}])
    assert await refusal(imported(alice, file)) == (
        "portfolio.accounts.0.lots.0.symbol: AAA may mean AAA:USD:, AAA:USD:NYSE; write the one that is meant"
    )


async def test_export_has_the_facts_of_what_was_sold_long_ago(alice: Context, file: Path) -> None:
    sold = {"date": "2018-05-01", "account": "Broker", "side": "SELL", "symbol": "OLD", "quantity": "2", "price": "5",
            "fees": "1.5"}  # fmt: skip
    rewrite(file, assets=[*document()["assets"], {"symbol": "OLD"}], transactions=[sold])
    exported = await exchange.export_file(alice, await imported(alice, file))
    assert exported["transactions"] == [sold]
    assert "OLD" in {asset["symbol"] for asset in exported["assets"]}


async def test_somebody_elses_portfolio_is_not_exported(alice: Context, file: Path) -> None:
    portfolio_id = await imported(alice, file)
    bob = await access.enter(alice, issuer="test", subject="bob", tool=None, roles=ROLES)
    with pytest.raises(NotFound):
        await exchange.export_file(bob, portfolio_id)
    with pytest.raises(NotFound):
        await exchange.import_csv(bob, csv(file.parent, LOTS), portfolio_id, with_assets=False)


async def test_csv_of_lots_replaces_the_accounts_it_names_and_no_cash(
    alice: Context, file: Path, tmp_path: Path
) -> None:
    portfolio_id = await imported(alice, file)
    text = LOTS + "Broker,AAA,1,5.5,2022-02-02\nBroker,BBB:USD,2,,2022-02-03\n"
    said = await exchange.import_csv(alice, csv(tmp_path, text), portfolio_id, with_assets=False)
    assert said == "2 lots imported into 1 accounts"
    assert await lots(alice, portfolio_id) == {
        "Broker": ["1 AAA 5.5 2022-02-02", "2 BBB 20 2022-02-03"],
        "Pension": ["100 BBB 900 2019-05-01"],
    }
    found = await snapshot(alice, portfolio_id)
    assert [dict(account.cash) for account in found.portfolio.accounts] == [{"USD": 1000, "EUR": 200}, {}]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("Nobody,AAA,1,1,2022-01-01", "line 3: the portfolio has no account Nobody; it has Broker, Pension"),
        ("Pension,ZZZ,1,1,2022-01-01", "line 3: no asset has the symbol ZZZ; an operator can add it"),
        ("Pension,AAA,0,1,2022-01-01", "line 3: quantity is 0; it must be more"),
        ("Pension,AAA,1,-1,2022-01-01", "line 3: unit_cost -1 is below 0"),
        ("Pension,AAA,1,1,2022-02-30", "line 3: acquired_on must be a date such as 2026-11-22, not "
         "'2022-02-30'"),
        ("Pension,AAA,1,1,9999-12-31", "line 3: acquiredOn 9999-12-31 is after today, "),
    ],
)  # fmt: skip
async def test_wrong_lot_of_a_csv_changes_nothing(
    alice: Context, file: Path, tmp_path: Path, row: str, message: str
) -> None:
    portfolio_id = await imported(alice, file)
    before = await lots(alice, portfolio_id)
    path = csv(tmp_path, f"{LOTS}Broker,AAA,1,1,2022-01-01\n{row}\n")
    found = await refusal(exchange.import_csv(alice, path, portfolio_id, with_assets=False))
    assert message in found
    assert await lots(alice, portfolio_id) == before


async def test_csv_with_too_many_lots_is_refused(alice: Context, file: Path, tmp_path: Path) -> None:
    portfolio_id = await imported(alice, file)
    path = csv(tmp_path, LOTS + "Broker,AAA,1,1,2022-01-01\n" * 20_000)
    with pytest.raises(LimitExceeded, match="the portfolio would have 20001 lots; at most 20000 are allowed"):
        await exchange.import_csv(alice, path, portfolio_id, with_assets=False)


async def test_csv_of_prices_is_recorded_for_everybody(alice: Context, file: Path, tmp_path: Path) -> None:
    await imported(alice, file)
    path = csv(tmp_path, PRICES + "AAA,USD,120,2024-06-04T16:00:00Z\nBBB,,11,\nAAA:USD:,USD,119,2024-06-04T15:00:00Z\n")
    assert await exchange.import_csv(alice, path, None, with_assets=True) == "3 prices recorded"
    assert await prices(alice) == {"AAA": "120", "BBB": "11", "EUR": "1.1"}
    assert await count(alice, "price_history") == 6


async def test_csv_of_prices_needs_to_be_told_that_it_is_for_everybody(
    alice: Context, file: Path, tmp_path: Path
) -> None:
    path = csv(tmp_path, PRICES + "AAA,USD,120,\n")
    assert await refusal(exchange.import_csv(alice, path, None, with_assets=False)) == (
        "with-assets: prices are everybody's; say --with-assets to record them"
    )
    await imported(alice, file)
    with pytest.raises(Forbidden):
        await exchange.import_csv(replace(alice, roles=frozenset()), path, None, with_assets=True)
    assert await prices(alice) == {"AAA": "110", "BBB": "10", "EUR": "1.1"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("ZZZ,USD,1,", "line 603: no asset has the symbol ZZZ:USD; add it first"),
        ("AAA:USD,EUR,1,", "line 603: AAA:USD is not in EUR"),
        ("AAA,USD,0,", "line 603: price is 0; it must be more"),
        ("AAA,USD,1,9999-01-01T00:00:00Z", "line 603: pricedAt 9999-01-01T00:00:00Z is in the future"),
        ("AAA,USD,1", "line 603: there are 3 columns instead of 4"),
    ],
)
async def test_one_wrong_price_of_a_csv_records_none(
    alice: Context, file: Path, tmp_path: Path, row: str, message: str
) -> None:
    await imported(alice, file)
    many = "".join(f"AAA,USD,{120 + i},2024-06-05T00:{i // 60:02}:{i % 60:02}Z\n" for i in range(601))
    path = csv(tmp_path, f"{PRICES}{many}{row}\n")
    assert message in await refusal(exchange.import_csv(alice, path, None, with_assets=True))
    assert await prices(alice) == {"AAA": "110", "BBB": "10", "EUR": "1.1"}


@pytest.mark.parametrize("text", ["2024-06-04T16:00:00+02:00", "2024-06-04 16:00 Europe/Berlin"])
async def test_csv_of_prices_of_another_zone_is_refused(alice: Context, file: Path, tmp_path: Path, text: str) -> None:
    await imported(alice, file)
    path = csv(tmp_path, f"{PRICES}AAA,USD,120,{text}\n")
    assert await refusal(exchange.import_csv(alice, path, None, with_assets=True)) == (
        f": line 2: priced_at must be a UTC time such as 2026-11-22T06:00:00Z, not {text!r}"
    )
    assert await prices(alice) == {"AAA": "110", "BBB": "10", "EUR": "1.1"}


async def test_csv_of_transactions_is_added_once(alice: Context, file: Path, tmp_path: Path) -> None:
    portfolio_id = await imported(alice, file)
    before = await lots(alice, portfolio_id)
    path = csv(
        tmp_path,
        FACTS
        + "2020-01-02,Broker,TAXABLE,BUY,AAA,3,33.333333333,1\n"
        + "2020-02-02,Pension,TAX_DEFERRED,SELL,BBB:USD:,2,9,\n",
    )
    for _ in range(2):
        assert await exchange.import_csv(alice, path, portfolio_id, with_assets=False) == "2 transactions added"
    async with alice.store.shared(reading=True) as tx:
        rows = await tx.fetch(
            "SELECT side, trim_scale(amount) AS amount FROM transactions WHERE side IN ('BUY', 'SELL') ORDER BY id"
        )
    assert [tuple(map(str, row)) for row in rows] == [("BUY", "99"), ("BUY", "100.999999999"), ("SELL", "18")]
    assert await lots(alice, portfolio_id) == before


async def test_csv_says_from_when_on_the_past_is_known_of_the_accounts_it_names(
    alice: Context, file: Path, tmp_path: Path
) -> None:
    portfolio_id = await imported(alice, file)
    path = csv(tmp_path, f"{FACTS}2020-01-02,Broker,TAXABLE,BUY,AAA,3,33,1\n")
    counts = []
    for day in (None, date(2020, 1, 1)):
        await exchange.import_csv(alice, path, portfolio_id, with_assets=False, history_from=day)
        counts.append(await count(alice, "transactions WHERE side = 'BUY'"))
    assert counts == [2, 2]  # the file itself told of one; the day adds no fact
    accounts = (await snapshot(alice, portfolio_id)).portfolio.accounts
    assert [account.history_from for account in accounts] == [date(2020, 1, 1), None]
    exported = (await exchange.export_file(alice, portfolio_id))["portfolio"]["accounts"]
    assert [account.get("historyFrom") for account in exported] == ["2020-01-01", None]
    lots_csv = csv(tmp_path, f"{LOTS}Broker,AAA,1,1,\n")
    assert await refusal(
        exchange.import_csv(alice, lots_csv, portfolio_id, with_assets=False, history_from=date(2020, 1, 1))
    ) == ("history-from: only transactions say from when on the past is known")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("2020-01-02,Pension,TAXABLE,BUY,AAA,1,1,0", "line 3: account Pension is TAX_DEFERRED, not TAXABLE"),
        (
            "2020-01-02,Pension,IRA,BUY,AAA,1,1,0",
            "line 3: account_kind must be one of TAXABLE, TAX_DEFERRED, TAX_EXEMPT",
        ),
        (
            "2020-01-02,Nobody,TAXABLE,BUY,AAA,1,1,0",
            "line 3: the portfolio has no account Nobody; it has Broker, Pension",
        ),
        ("2020-01-02,Broker,TAXABLE,BUY,ZZZ,1,1,0", "line 3: no asset has the symbol ZZZ; an operator can add it"),
        ("9999-12-31,Broker,TAXABLE,BUY,AAA,1,1,0", "line 3: date 9999-12-31 is after today, "),
        ("2020-01-02,Broker,TAXABLE,GIFT,AAA,1,1,0", "line 3: side must be one of BUY, SELL, not 'GIFT'"),
    ],
)
async def test_one_wrong_transaction_of_a_csv_adds_none(
    alice: Context, file: Path, tmp_path: Path, row: str, message: str
) -> None:
    portfolio_id = await imported(alice, file)
    before = await count(alice, "transactions")
    path = csv(tmp_path, f"{FACTS}2020-01-02,Broker,TAXABLE,BUY,AAA,1,1,0\n{row}\n")
    assert message in await refusal(exchange.import_csv(alice, path, portfolio_id, with_assets=False))
    assert await count(alice, "transactions") == before


async def test_csv_of_another_kind_is_refused_with_the_headers_there_are(alice: Context, tmp_path: Path) -> None:
    for text in ("", "a,b\n1,2\n", '"account,symbol"\n'):
        found = await refusal(exchange.import_csv(alice, csv(tmp_path, text), None, with_assets=True))
        assert found == f": the header must be {LOTS[:-1]} or {PRICES[:-1]} or {FACTS[:-1]}"
    assert await refusal(exchange.import_csv(alice, csv(tmp_path, LOTS), None, with_assets=True)) == (
        "portfolio: a CSV of lots or transactions needs --portfolio"
    )


async def test_csv_that_was_exported_is_what_import_reads(alice: Context, tmp_path: Path) -> None:
    path = tmp_path / "family.json"
    facts = [
        {"date": "2020-01-02", "account": "Broker", "side": "BUY", "symbol": "AAA", "quantity": "3", "price": "33"}
    ]
    path.write_text(json.dumps(document(transactions=facts)))
    portfolio_id = await exchange.import_file(alice, path, with_assets=True)
    before = await exchange.export_file(alice, portfolio_id)
    written = {kind: exchange.as_csv(before, kind) for kind in ("lots", "prices", "transactions")}
    assert written["lots"].splitlines()[:2] == [
        "account,symbol,quantity,unit_cost,acquired_on",
        "Broker,AAA,3,33.333333333333333333,2020-01-02",
    ]
    assert written["prices"].splitlines()[1] == "AAA,USD,110,2024-06-03T16:00:00Z"
    assert written["transactions"].splitlines()[1] == "2020-01-02,Broker,TAXABLE,BUY,AAA,3,33,0"
    for kind in ("lots", "prices"):
        (tmp_path / f"{kind}.csv").write_text(written[kind])
        await exchange.import_csv(alice, tmp_path / f"{kind}.csv", portfolio_id, with_assets=True)
    after = await exchange.export_file(alice, portfolio_id)
    assert after["portfolio"]["accounts"] == before["portfolio"]["accounts"]


NORDIC: dict[str, Any] = {
    "name": "Nordic",
    "currency": "EUR",
    "conversion": "0.25",
    "fees": [{"assetClass": "STOCK", "fixed": "0", "rate": "0.25", "minimum": "9", "tiers": [
        {"above": "0", "fixed": "0", "rate": "0.15", "minimum": "49", "cap": "500"}]}],
}  # fmt: skip


def named(broker: str) -> dict[str, Any]:
    """Write the portfolio of a file whose first account names a broker."""
    portfolio: dict[str, Any] = document()["portfolio"]
    first, *others = portfolio["accounts"]
    return {**portfolio, "accounts": [{**first, "broker": broker}, *others]}


async def test_brokers_of_a_file_are_recorded_with_the_assets_and_exported_again(alice: Context, file: Path) -> None:
    rewrite(file, brokers=[NORDIC, {"name": "Unused"}], portfolio=named("Nordic"))
    portfolio_id = await imported(alice, file)
    assert [one.name for _, one in (await market.broker_page(alice, 9, None)).items] == ["Nordic", "Unused"]
    exported = await exchange.export_file(alice, portfolio_id)
    assert exported["brokers"] == [NORDIC]
    assert [account.get("broker") for account in exported["portfolio"]["accounts"]] == ["Nordic", None]


async def test_a_broker_must_be_known_where_the_file_does_not_record_it(alice: Context, file: Path) -> None:
    unknown = "portfolio.accounts.0.broker: no broker is called Nordic; an operator can record it, and a file list it"
    rewrite(file, portfolio=named("Nordic"))
    assert await refusal(imported(alice, file)) == unknown
    rewrite(file)
    await imported(alice, file)
    rewrite(file, brokers=[NORDIC], portfolio=named("Nordic"))
    assert await refusal(imported(alice, file, with_assets=False)) == unknown
    assert await count(alice, "brokers") == 0
    await imported(alice, file)
    rewrite(file, portfolio=named("Nordic"))
    portfolio_id = await imported(alice, file, with_assets=False)
    assert (await snapshot(alice, portfolio_id)).portfolio.accounts[0].broker == "Nordic"


async def test_a_file_does_not_choose_alpaca_and_nothing_of_it_is_written(alice: Context, file: Path) -> None:
    accounts = [{"name": "Main", "execution": "PAPER"}, {"name": "Live", "execution": "ALPACA"}]
    rewrite(file, brokers=[NORDIC], portfolio={"accounts": accounts}, transactions=[])
    assert (await refusal(imported(alice, file))).startswith(
        "portfolio.accounts.1.execution: no new account works at ALPACA"
    )
    assert await count(alice, "brokers") == 0
    rewrite(file, portfolio={"accounts": accounts[:1]}, transactions=[])
    portfolio_id = await imported(alice, file)
    assert (await exchange.export_file(alice, portfolio_id))["portfolio"]["accounts"][0]["execution"] == "PAPER"

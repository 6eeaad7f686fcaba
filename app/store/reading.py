# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""Snapshots: everything that one answer about portfolios rests on, in four statements however many there are.

    1 heads, policies, targets    2 accounts, cash, brokers    3 lots
    4 assets held or targeted, rates, and their prices
    5 closing prices, only where a band in force rests on volatility, for plans and for scans

For one instant throughout, read them in a transaction that was opened for reading.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

import asyncpg
import orjson

from app.core import drift, ids
from app.core.drift import Snapshot
from app.core.portfolio import Account, AccountKind, Asset, BrokerKind, Market, Portfolio, Price, TaxLot
from app.store import assets, brokers, closes, targets
from app.store.db import Tx
from app.store.portfolios import COLUMNS, JOINED, StoredPortfolio, portfolio_of

_HEADS: Final = f"SELECT {COLUMNS}, {targets.ENTRIES} AS entries FROM {JOINED}"
_LATEST: Final = "LEFT JOIN prices p ON p.asset_id = a.id"
_PINNED: Final = "LEFT JOIN scan_prices p ON p.asset_id = a.id AND p.bucket = $2"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A snapshot and the head of the portfolio it is of."""

    row: StoredPortfolio
    snapshot: Snapshot


async def load_snapshot(
    owner_id: int, tx: Tx, portfolio_id: str, as_of: datetime, *, history: bool = False
) -> Loaded | None:
    """Return a portfolio with all it rests on, None when this owner has none such; and closes for `history`."""
    found = await load_snapshots(owner_id, tx, [portfolio_id], as_of, 1, history=history)
    return found[0] if found else None


async def load_snapshots(
    owner_id: int,
    tx: Tx,
    portfolio_ids: Sequence[str] | None,
    as_of: datetime,
    first: int,
    after: int = 0,
    *,
    model: str | None = None,
    history: bool = False,
) -> list[Loaded]:
    """Return portfolios by row, those named or all of the owner's, of a model where it is given, after a row."""
    uuids = None if portfolio_ids is None else [ids.decode(ids.PORTFOLIO, one) for one in portfolio_ids]
    heads = await tx.fetch(
        f"""
        {_HEADS} WHERE p.owner_id = $1 AND p.id > $2 AND ($3::uuid[] IS NULL OR p.public_id = ANY ($3))
            AND ($5::text IS NULL OR p.model = $5)
        ORDER BY p.id LIMIT $4
        """,
        owner_id,
        after,
        uuids,
        first,
        model,
    )
    loaded = await _load(tx, heads, as_of, _LATEST)
    moving = any(drift.windows_of(one.snapshot) for one in loaded)
    return await _with_closes(tx, loaded) if history or moving else loaded


async def scan_snapshots(tx: Tx, bucket: datetime, from_id: int, to_id: int, as_of: datetime) -> list[Loaded]:
    """Return the active portfolios of a range of rows, all owners', at the prices pinned for a scan, with closes."""
    heads = await tx.fetch(
        f"{_HEADS} WHERE p.id BETWEEN $1 AND $2 AND p.status = 'ACTIVE' ORDER BY p.id", from_id, to_id
    )
    return await _with_closes(tx, await _load(tx, heads, as_of, _PINNED, bucket))


async def _with_closes(tx: Tx, loaded: Sequence[Loaded]) -> list[Loaded]:
    snapshots = await closes.with_closes(tx, [one.snapshot for one in loaded])
    return [replace(one, snapshot=snapshot) for one, snapshot in zip(loaded, snapshots, strict=True)]


async def scan_snapshots_now(tx: Tx, portfolio_row_ids: Sequence[int], as_of: datetime) -> list[Loaded]:
    """Return those of these portfolios that are active, all owners', at the latest prices."""
    heads = await tx.fetch(f"{_HEADS} WHERE p.id = ANY ($1) AND p.status = 'ACTIVE' ORDER BY p.id", portfolio_row_ids)
    return await _with_closes(tx, await _load(tx, heads, as_of, _LATEST))


async def scan_changed(tx: Tx, loaded: Sequence[Loaded]) -> list[int]:
    """Return those of portfolios, by row, that are no longer as they were read; the caller holds their locks.

    Whatever changes holdings, policy or status moves the version of the portfolio; targets have their own.
    """
    rows = await tx.fetch(
        """
        SELECT p.id FROM unnest($1::bigint[], $2::int[], $3::int[]) AS r (id, version, targets_version)
        JOIN portfolios p USING (id) LEFT JOIN target_versions t ON t.id = p.targets_id
        WHERE p.version <> r.version OR coalesce(t.version, 0) <> r.targets_version ORDER BY p.id
        """,
        [one.row.id for one in loaded],
        [one.row.version for one in loaded],
        [one.row.targets_version for one in loaded],
    )
    return [row["id"] for row in rows]


async def _load(
    tx: Tx, heads: Sequence[asyncpg.Record], as_of: datetime, prices: str, *price_arguments: object
) -> list[Loaded]:
    keys = [head["id"] for head in heads]
    accounts = await tx.fetch(
        f"""
        SELECT a.id, a.public_id, a.portfolio_id, a.taxpayer_group_id, a.name, a.kind, a.history_from, a.execution,
            {brokers.COLUMNS},
            (SELECT jsonb_object_agg(currency, trim_scale(amount)::text) FROM account_cash c WHERE c.account_id = a.id)
                AS cash
        FROM accounts a LEFT JOIN brokers b ON b.id = a.broker_id
        WHERE a.portfolio_id = ANY ($1) ORDER BY a.portfolio_id, a.position, a.id
        """,
        keys,
    )
    lots = await tx.fetch(
        """
        SELECT public_id, account_id, asset_id, trim_scale(quantity) AS quantity, trim_scale(basis) AS basis,
            acquired_on, holding_from
        FROM tax_lots WHERE account_id = ANY ($1) ORDER BY acquired_on, id
        """,
        [account["id"] for account in accounts],
    )
    wanted = {lot["asset_id"] for lot in lots}
    wanted.update(key for head in heads if head["entries"] for key in targets.asset_keys_of(head["entries"]))
    rows = await tx.fetch(
        f"""
        SELECT {assets.COLUMNS}, {assets.PRICE_COLUMNS} FROM assets a {prices}
        WHERE a.id = ANY ($1) OR a.asset_class = 'CASH'
        """,
        list(wanted),
        *price_arguments,
    )
    return _Shelf(accounts, lots, rows).snapshots(heads, as_of)


class _Shelf:
    """The rows of all portfolios of one load, and how they make up each."""

    def __init__(
        self,
        accounts: Sequence[asyncpg.Record],
        lots: Sequence[asyncpg.Record],
        asset_rows: Sequence[asyncpg.Record],
    ) -> None:
        self.assets: dict[int, Asset] = {row["id"]: assets.asset_of(row) for row in asset_rows}
        self.prices: dict[int, Price] = {row["id"]: price for row in asset_rows if (price := assets.price_of(row))}
        self.asset_ids: Mapping[int, str] = {key: asset.id for key, asset in self.assets.items()}
        named = {row["broker"]: row for row in accounts if row["broker"]}
        self.brokers = {name: brokers.broker_of(row) for name, row in named.items()}
        self.lots: dict[int, list[TaxLot]] = defaultdict(list)
        for row in lots:
            self.lots[row["account_id"]].append(self._lot(row))
        self.accounts: dict[int, list[Account]] = defaultdict(list)
        for row in accounts:
            self.accounts[row["portfolio_id"]].append(self._account(row))

    def snapshots(self, heads: Sequence[asyncpg.Record], as_of: datetime) -> list[Loaded]:
        market = Market(
            {asset.id: asset for asset in self.assets.values()},
            {self.asset_ids[key]: price for key, price in self.prices.items()},
            self.brokers,
        )
        return [self._loaded(head, market, as_of) for head in heads]

    def _loaded(self, head: asyncpg.Record, market: Market, as_of: datetime) -> Loaded:
        row = portfolio_of(head)
        portfolio = Portfolio(
            row.public_id, row.name, row.base_currency, tuple(self.accounts[row.id]), row.status, row.version
        )
        own = targets.targets_of(head["entries"], row.targets_version, self.asset_ids) if row.targets else None
        return Loaded(row, Snapshot(portfolio, own, row.policy, market, as_of))

    def _account(self, row: asyncpg.Record) -> Account:
        cash = orjson.loads(row["cash"]) if row["cash"] else {}
        return Account(
            id=ids.encode(ids.ACCOUNT, row["public_id"]),
            name=row["name"],
            kind=AccountKind(row["kind"]),
            cash={currency: Decimal(amount) for currency, amount in cash.items()},
            lots=tuple(self.lots[row["id"]]),
            taxpayer_group=str(row["taxpayer_group_id"]),
            broker=row["broker"] or "",
            history_from=row["history_from"],
            execution=BrokerKind(row["execution"]),
        )

    def _lot(self, row: asyncpg.Record) -> TaxLot:
        return TaxLot(
            ids.encode(ids.LOT, row["public_id"]),
            self.asset_ids[row["asset_id"]],
            row["quantity"],
            row["basis"],
            row["acquired_on"],
            row["holding_from"],
        )

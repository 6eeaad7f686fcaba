# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""The books of a wash group as rows: open lots, losses that may still be replaced, and what replaced them.

Of one owner: what is bought in a stranger's account washes nothing here, and nothing of it is changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

import asyncpg

from app.core import ids
from app.core.books import BookLot, Books, Loss, Purchase, Replacement, SoldPart
from app.core.money import ZERO
from app.core.portfolio import AccountKind, Asset, TaxLot
from app.core.wash import WINDOW_DAYS
from app.store.db import Tx

BOUGHT: Final = "FILL"

_SAME: Final = "(a.id = $3 OR a.identical_group <> '' AND a.identical_group = $4)"
_LOTS: Final = f"""
    SELECT l.id, l.public_id, l.purchase_id, l.replaced, l.origin, trim_scale(l.quantity) AS quantity,
        trim_scale(l.basis) AS basis, l.acquired_on, l.holding_from, l.account_id, l.asset_id, c.kind,
        c.public_id AS account_public_id, a.public_id AS asset_public_id, c.portfolio_id,
        p.public_id AS portfolio_public_id
    FROM tax_lots l JOIN accounts c ON c.id = l.account_id JOIN portfolios p ON p.id = c.portfolio_id
        JOIN assets a ON a.id = l.asset_id
    WHERE l.owner_id = $1 AND c.taxpayer_group_id = $2 AND {_SAME}
        AND (l.account_id = $5 AND l.asset_id = $3 OR l.acquired_on BETWEEN $6 AND $7)
    ORDER BY l.id
"""
_LOSSES: Final = f"""
    SELECT s.public_id, s.purchase_id, s.acquired_on, s.holding_from, s.sold_on, s.in_batch,
        trim_scale(s.quantity - coalesce(r.units, 0)) AS units,
        trim_scale(s.basis - s.proceeds - coalesce(r.loss, 0)) AS money,
        c.public_id AS account_public_id, a.public_id AS asset_public_id
    FROM lot_sales s JOIN accounts c ON c.id = s.account_id JOIN assets a ON a.id = s.asset_id
        LEFT JOIN LATERAL (
            SELECT sum(quantity) AS units, sum(loss) AS loss FROM replacements WHERE sale_id = s.id
        ) r ON true
    WHERE s.owner_id = $1 AND c.taxpayer_group_id = $2 AND {_SAME} AND s.is_loss AND s.sold_on BETWEEN $5 AND $6
        AND (s.in_batch OR s.quantity > coalesce(r.units, 0))
    ORDER BY s.sold_on, s.id
"""
_REPLACEMENTS: Final = """
    SELECT r.id, s.public_id, r.lot_public_id, trim_scale(r.quantity) AS units, trim_scale(r.loss) AS loss,
        r.permanent, r.held_from
    FROM replacements r JOIN lot_sales s ON s.id = r.sale_id
    WHERE r.owner_id = $1 AND s.owner_id = $1 AND s.in_batch AND s.public_id = ANY ($2) ORDER BY r.id
"""


@dataclass(frozen=True, slots=True)
class Desk:
    """Where a fill is booked: account and asset with their rows, and the taxpayer group."""

    account_key: int
    account_id: str
    kind: AccountKind
    group: int
    asset_key: int
    asset: Asset


class Home(NamedTuple):
    """The portfolio that an account is in."""

    portfolio_row_id: int
    portfolio_id: str


@dataclass(frozen=True, slots=True)
class BookRows:
    """Books as they were loaded, with what their rows are known by, and the homes of accounts with open lots."""

    books: Books
    origins: Mapping[Purchase, str] = field(default_factory=dict)
    account_keys: Mapping[str, int] = field(default_factory=dict)
    asset_keys: Mapping[str, int] = field(default_factory=dict)
    replacements: Mapping[Replacement, int] = field(default_factory=dict)
    homes: Mapping[str, Home] = field(default_factory=dict)


def told_ref(row: int, part: int) -> str:
    """Return what a part of a sale is known by that was told of, and not booked."""
    return f"told-{row}-{part}"


async def load_books(
    owner_id: int,
    tx: Tx,
    desk: Desk,
    days: Sequence[date],
    told: Sequence[Loss],
    used: Mapping[tuple[str, str, date], Decimal],
) -> BookRows:
    """Load the books that fills of these days touch; losses and used units of what was told join them.

    Lots are under the locks of their portfolios: those of a portfolio that is not locked are only looked at.
    """
    window = timedelta(days=WINDOW_DAYS)
    first, last = min(days) - window, max(days) + window
    same = desk.group, desk.asset_key, desk.asset.identical_group
    lot_rows = await tx.fetch(_LOTS, owner_id, *same, desk.account_key, first, last)
    loss_rows = await tx.fetch(_LOSSES, owner_id, *same, first, last)
    losses = sorted([*told, *map(_loss_of, loss_rows)], key=lambda loss: loss.sold_on)
    batch = [row["public_id"] for row in loss_rows if row["in_batch"]]
    replaced = {_replacement_of(row): row["id"] for row in await tx.fetch(_REPLACEMENTS, owner_id, batch)}
    lots = [(_lot_of(row), row) for row in lot_rows]
    books = Books(tuple(_in_order(lots, used)), tuple(losses), tuple(replaced))
    return BookRows(
        books,
        {lot.purchase: row["origin"] for lot, row in lots},
        {desk.account_id: desk.account_key, **{lot.account: row["account_id"] for lot, row in lots}},
        {desk.asset.id: desk.asset_key, **{lot.lot.asset_id: row["asset_id"] for lot, row in lots}},
        replaced,
        {lot.account: _home_of(row) for lot, row in lots},
    )


def _home_of(row: asyncpg.Record) -> Home:
    return Home(row["portfolio_id"], ids.encode(ids.PORTFOLIO, row["portfolio_public_id"]))


def _in_order(
    rows: Sequence[tuple[BookLot, asyncpg.Record]], used: Mapping[tuple[str, str, date], Decimal]
) -> list[BookLot]:
    """Return lots in order of acquisition; of one purchase, those that replaced something come from its front."""
    first: dict[Purchase, int] = {}
    for lot, row in rows:
        first.setdefault(lot.purchase, row["id"])
    ordered = sorted(
        rows, key=lambda one: (one[0].lot.acquired_on, first[one[0].purchase], not one[0].replaced, one[1]["id"])
    )
    left, lots = dict(used), []
    for lot, _ in ordered:
        place = lot.account, lot.lot.asset_id, lot.lot.acquired_on
        spent = ZERO if lot.replaced else min(left.get(place, ZERO), lot.lot.quantity)
        left[place] = left.get(place, ZERO) - spent
        lots.append(BookLot(lot.lot, lot.account, lot.kind, lot.key, lot.replaced, spent))
    return lots


def _lot_of(row: asyncpg.Record) -> BookLot:
    lot = TaxLot(
        ids.encode(ids.LOT, row["public_id"]),
        ids.encode(ids.ASSET, row["asset_public_id"]),
        *(row[name] for name in ("quantity", "basis", "acquired_on", "holding_from")),
    )
    key = ids.encode(ids.LOT, row["purchase_id"] or row["public_id"])
    account_id = ids.encode(ids.ACCOUNT, row["account_public_id"])
    return BookLot(lot, account_id, AccountKind(row["kind"]), key, row["replaced"])


def _loss_of(row: asyncpg.Record) -> Loss:
    purchase = Purchase(
        ids.encode(ids.ACCOUNT, row["account_public_id"]),
        ids.encode(ids.ASSET, row["asset_public_id"]),
        ids.encode(ids.LOT, row["purchase_id"]),
        row["acquired_on"],
    )
    days = (row["sold_on"] - row["holding_from"]).days
    ref = ids.encode(ids.SALE, row["public_id"])
    return Loss(ref, purchase, row["sold_on"], days, row["units"], row["money"], row["in_batch"])


def _replacement_of(row: asyncpg.Record) -> Replacement:
    ref, lot_id = ids.encode(ids.SALE, row["public_id"]), ids.encode(ids.LOT, row["lot_public_id"])
    return Replacement(ref, lot_id, row["units"], row["loss"], row["permanent"], row["held_from"])


def changes(rows: BookRows, after: Books) -> list[tuple[BookLot | None, BookLot | None]]:
    """Return each lot that changed, came or went, as it was and as it is."""
    before = {lot.lot.id: lot for lot in rows.books.lots}
    there = {lot.lot.id: lot for lot in after.lots}
    names = dict.fromkeys([*before, *there])
    return [(before.get(name), there.get(name)) for name in names if before.get(name) != there.get(name)]


async def save_lots(owner_id: int, tx: Tx, rows: BookRows, after: Books) -> None:
    """Write the lots that changed, came or went."""
    found = changes(rows, after)
    gone = [ids.decode(ids.LOT, before.lot.id) for before, now in found if before and now is None]
    changed = [now for before, now in found if before and now]
    if gone:
        await tx.execute("DELETE FROM tax_lots WHERE owner_id = $1 AND public_id = ANY ($2)", owner_id, gone)
    if changed:
        await tx.execute(
            """
            UPDATE tax_lots l SET quantity = n.quantity, basis = n.basis, holding_from = n.holding_from,
                replaced = n.replaced
            FROM unnest($2::uuid[], $3::numeric[], $4::numeric[], $5::date[], $6::boolean[])
                AS n (public_id, quantity, basis, holding_from, replaced)
            WHERE l.owner_id = $1 AND l.public_id = n.public_id
            """,
            owner_id,
            [ids.decode(ids.LOT, lot.lot.id) for lot in changed],
            [lot.lot.quantity for lot in changed],
            [lot.lot.basis for lot in changed],
            [lot.lot.holding_from for lot in changed],
            [lot.replaced for lot in changed],
        )
    made = [_record(owner_id, rows, now) for before, now in found if now and before is None]
    columns = (
        *("public_id", "owner_id", "account_id", "asset_id", "quantity", "basis", "acquired_on", "holding_from"),
        *("origin", "purchase_id", "replaced"),
    )
    if made:
        await tx.copy("tax_lots", columns, made)


def _record(owner_id: int, rows: BookRows, lot: BookLot) -> tuple[object, ...]:
    held = lot.lot
    return (
        *(ids.decode(ids.LOT, held.id), owner_id, rows.account_keys[lot.account], rows.asset_keys[held.asset_id]),
        *(held.quantity, held.basis, held.acquired_on, held.holding_from),
        *(rows.origins.get(lot.purchase, BOUGHT), ids.decode(ids.LOT, lot.key), lot.replaced),
    )


async def save_sales(
    owner_id: int,
    tx: Tx,
    desk: Desk,
    order: tuple[int, int, int],
    sold: Sequence[tuple[str, date, SoldPart]],
    after: Books,
) -> None:
    """Write what fills of an order (by the rows of plan, leg and slice) sold, with the broker's ids and the days."""
    losses = {loss.ref: loss for loss in after.losses}
    columns = (
        *("public_id", "owner_id", "plan_id", "leg", "slice", "broker_fill_id", "account_id", "asset_id"),
        *("lot_public_id", "purchase_id", "quantity", "proceeds", "basis", "acquired_on", "holding_from", "sold_on"),
        *("is_loss", "in_batch"),
    )
    records = [
        (
            *(ids.decode(ids.SALE, part.ref), owner_id, *order, fill_id, desk.account_key, desk.asset_key),
            *(ids.decode(ids.LOT, part.lot.lot.id), ids.decode(ids.LOT, part.lot.key)),
            *(part.units, part.proceeds, part.basis, part.lot.lot.acquired_on, part.lot.lot.holding_from, day),
            *(part.is_loss, part.is_loss and losses[part.ref].in_batch),
        )
        for fill_id, day, part in sold
    ]
    if records:
        await tx.copy("lot_sales", columns, records)


async def save_wash(owner_id: int, tx: Tx, rows: BookRows, after: Books) -> None:
    """Write the replacements that were made or taken back, and the batches that are over; the sales are there."""
    kept = set(after.replacements)
    undone = [row for one, row in rows.replacements.items() if one not in kept]
    if undone:
        await tx.execute("DELETE FROM replacements WHERE owner_id = $1 AND id = ANY ($2)", owner_id, undone)
    made = [one for one in after.replacements if one not in rows.replacements]
    if made:
        await tx.execute(
            """
            INSERT INTO replacements (owner_id, sale_id, told_id, lot_public_id, quantity, loss, permanent, held_from)
            SELECT $1, s.id, n.told_id, n.lot_public_id, n.quantity, n.loss, n.permanent, n.held_from
            FROM unnest($2::uuid[], $3::bigint[], $4::uuid[], $5::numeric[], $6::numeric[], $7::boolean[], $8::date[])
                AS n (sale, told_id, lot_public_id, quantity, loss, permanent, held_from)
            LEFT JOIN lot_sales s ON s.owner_id = $1 AND s.public_id = n.sale
            """,
            owner_id,
            [ids.decode(ids.SALE, one.ref) for one in made],
            [_told_row(one.ref) for one in made],
            [ids.decode(ids.LOT, one.lot_id) for one in made],
            [one.units for one in made],
            [one.loss for one in made],
            [one.permanent for one in made],
            [one.held_from for one in made],
        )
    open_before = {loss.ref for loss in rows.books.losses if loss.in_batch}
    over = [ids.decode(ids.SALE, loss.ref) for loss in after.losses if loss.ref in open_before and not loss.in_batch]
    if over:
        await tx.execute(
            "UPDATE lot_sales SET in_batch = false WHERE owner_id = $1 AND public_id = ANY ($2)", owner_id, over
        )


def _told_row(ref: str) -> int | None:
    return int(ref.split("-")[1]) if ref.startswith("told-") else None

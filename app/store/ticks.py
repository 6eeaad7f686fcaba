"""Price ticks: which prices changed since the last pass, whom they concern, and how far a pass has got.

A pass goes from one transaction number up to another, below which every transaction had ended as it began, so that no
price that is committed later is passed over. It goes by portfolios; how far it has got is written in the transaction
that writes what was decided about them, so a pass that is killed goes on where it was, and of two that do the same work
one writes. A price that changes while a pass is under way is seen by it or by the next.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.core.portfolio import PIVOT, AssetClass
from app.store.db import Tx

_NAME: Final = "prices"


@dataclass(frozen=True, slots=True)
class Pass:
    """Prices written by transactions from `since` up to `until`; portfolios up to `after` are done."""

    since: str
    until: str
    after: int


@dataclass(frozen=True, slots=True)
class Moved:
    """Assets with a new price, by row, and pairs of currencies with a new rate."""

    asset_keys: Sequence[int]
    pairs: Sequence[tuple[str, str]]


async def scan_open_pass(tx: Tx) -> Pass | None:
    """Return the pass that is under way, or begin one; None when no price has changed that can be passed already."""
    row = await tx.row(
        """
        UPDATE relay_cursors c SET until = coalesce(c.until, pg_snapshot_xmin(pg_current_snapshot()))
        WHERE c.name = $1 AND (c.until IS NOT NULL OR EXISTS (
            SELECT FROM prices p WHERE p.xid >= c.xid AND p.xid < pg_snapshot_xmin(pg_current_snapshot())
        ))
        RETURNING c.xid::text AS since, c.until::text AS until, c.after_id
        """,
        _NAME,
    )
    return Pass(row["since"], row["until"], row["after_id"]) if row else None


async def scan_has_ticks(tx: Tx) -> bool:
    """Say whether there are prices that no pass has passed, also those that wait for an older transaction to end."""
    return bool(
        await tx.value(
            """
            SELECT EXISTS (SELECT FROM relay_cursors c WHERE c.name = $1 AND (c.until IS NOT NULL OR EXISTS (
                SELECT FROM prices p WHERE p.xid >= c.xid AND p.xid <= pg_snapshot_xmax(pg_current_snapshot())
            )))
            """,
            _NAME,
        )
    )


async def scan_begin_anew(tx: Tx) -> None:
    """Begin with the first transaction again where the cursor is from the future: from before a restore of a dump."""
    await tx.execute(
        """
        UPDATE relay_cursors SET xid = '0', until = NULL, after_id = 0
        WHERE name = $1 AND xid > pg_snapshot_xmax(pg_current_snapshot())
        """,
        _NAME,
    )


async def scan_moved(tx: Tx, of: Pass) -> Moved:
    """Return what has a new price. Those that changed again since are among them: they keep nobody waiting."""
    rows = await tx.fetch(
        """
        SELECT a.id, a.symbol, a.currency, a.asset_class FROM prices p JOIN assets a ON a.id = p.asset_id
        WHERE p.xid >= $1::text::xid8
        """,
        of.since,
    )
    pairs = [(row["symbol"], row["currency"]) for row in rows if row["asset_class"] == AssetClass.CASH.value]
    return Moved([row["id"] for row in rows], pairs)


# A rate counts for a portfolio that has something in another currency, if it is on the way from there to the base.
_RATED: Final = """
    SELECT f.portfolio_id FROM (
        SELECT a.portfolio_id, c.currency FROM account_cash c JOIN accounts a ON a.id = c.account_id
        UNION
        SELECT a.portfolio_id, s.currency FROM tax_lots l
            JOIN accounts a ON a.id = l.account_id JOIN assets s ON s.id = l.asset_id
    ) f JOIN portfolios b ON b.id = f.portfolio_id AND b.base_currency <> f.currency
    WHERE EXISTS (
        SELECT FROM unnest($4::text[], $5::text[]) AS r (one, other)
        WHERE r.one IN (f.currency, b.base_currency, $6) AND r.other IN (f.currency, b.base_currency, $6)
    )
"""


async def scan_touched(tx: Tx, moved: Moved, after: int, limit: int) -> list[int]:
    """Return active portfolios that rest on what moved, by row, after a row, at most `limit`."""
    rated = f"UNION {_RATED}" if moved.pairs else ""
    pairs = ([one for one, _ in moved.pairs], [other for _, other in moved.pairs], PIVOT) if moved.pairs else ()
    rows = await tx.fetch(
        f"""
        SELECT p.id FROM portfolios p WHERE p.status = 'ACTIVE' AND p.id > $2 AND p.id IN (
            SELECT a.portfolio_id FROM tax_lots l JOIN accounts a ON a.id = l.account_id WHERE l.asset_id = ANY ($1)
            {rated}
        ) ORDER BY p.id LIMIT $3
        """,  # noqa: S608 - a constant of this room
        moved.asset_keys,
        after,
        limit,
        *pairs,
    )
    return [row["id"] for row in rows]


async def scan_snapshot(tx: Tx) -> str:
    """Return what this transaction sees, to be compared with who wrote later."""
    return str(await tx.value("SELECT pg_current_snapshot()::text"))


async def scan_hold_pass(tx: Tx, of: Pass) -> bool:
    """Keep others from moving the pass on until the end of the transaction; False when somebody has already."""
    found = await tx.value(
        """
        SELECT true FROM relay_cursors
        WHERE name = $1 AND xid = $2::text::xid8 AND until = $3::text::xid8 AND after_id = $4 FOR NO KEY UPDATE
        """,
        _NAME,
        of.since,
        of.until,
        of.after,
    )
    return found is not None


async def scan_overtaken(tx: Tx, portfolio_row_ids: Sequence[int], seen: str) -> bool:
    """Say whether, since prices were read (`seen`), a scan has begun at newer ones, or one has decided about these.

    The caller holds the portfolios' locks. Numbers from the future are from before a restore of a dump.
    """
    return bool(
        await tx.value(
            """
            SELECT EXISTS (
                SELECT FROM (
                    SELECT xid FROM scan_runs WHERE xid >= pg_snapshot_xmin($2::text::pg_snapshot)
                    UNION ALL SELECT xid FROM price_decisions WHERE portfolio_id = ANY ($1)
                ) w WHERE w.xid < pg_snapshot_xmax(pg_current_snapshot())
                    AND NOT pg_visible_in_snapshot(w.xid, $2::text::pg_snapshot)
            )
            """,
            portfolio_row_ids,
            seen,
        )
    )


async def scan_decided_since(tx: Tx, portfolio_row_ids: Sequence[int], xid: str) -> list[int]:
    """Return those of the portfolios that a tick decided about after a transaction; the caller holds their locks."""
    rows = await tx.fetch(
        "SELECT portfolio_id FROM price_decisions WHERE portfolio_id = ANY ($1) AND xid > $2::text::xid8 ORDER BY 1",
        portfolio_row_ids,
        xid,
    )
    return [row["portfolio_id"] for row in rows]


async def scan_note_decisions(tx: Tx, portfolio_row_ids: Sequence[int]) -> None:
    """Note that these portfolios were decided about at the prices of now."""
    await tx.execute(
        """
        INSERT INTO price_decisions (portfolio_id, xid)
        SELECT portfolio_id, pg_current_xact_id() FROM unnest($1::bigint[]) AS portfolio_id
        ON CONFLICT (portfolio_id) DO UPDATE SET xid = excluded.xid
        """,
        portfolio_row_ids,
    )


async def scan_move_on(tx: Tx, of: Pass, after: int | None) -> None:
    """Write how far a held pass has got; None is to its end, and the next one begins there."""
    await tx.execute(
        """
        UPDATE relay_cursors SET after_id = coalesce($2, 0),
            xid = CASE WHEN $2::bigint IS NULL THEN $3::text::xid8 ELSE xid END,
            until = CASE WHEN $2::bigint IS NULL THEN NULL ELSE until END
        WHERE name = $1
        """,
        _NAME,
        after,
        of.until,
    )

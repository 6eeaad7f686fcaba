"""What happened is only ever added to, and an edit shows."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import asyncpg
import pytest

from app.core import ids
from app.core.targets import Targets
from app.store import history, import_sums
from tests.builders import AS_OF, snapshot
from tests.store.world import World, new_id

APPEND_ONLY = ["rebalance_history", "transactions", "outbox"]


@pytest.mark.parametrize("table", APPEND_ONLY)
async def test_the_application_may_neither_change_nor_delete_facts(world: World, table: str) -> None:
    await world.keep(snapshot("1 AAPL @ 180, 100 cash", {"AAPL": "100"}))
    async with world.raw() as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(f"UPDATE {table} SET owner_id = owner_id")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(f"DELETE FROM {table}")


@pytest.mark.parametrize("table", ["rebalance_history", "transactions"])
async def test_triggers_stop_even_the_owner_of_the_tables(world: World, table: str) -> None:
    await world.keep(snapshot("1 AAPL @ 180, 100 cash"))
    async with world.raw(owner=True) as connection:
        for statement in (
            f"UPDATE {table} SET owner_id = owner_id",
            f"DELETE FROM {table}",
            f"TRUNCATE {table} CASCADE",
        ):
            with pytest.raises(asyncpg.RestrictViolationError, match=f"{table} is append-only"):
                await connection.execute(statement)


async def test_the_chain_tells_what_happened_in_order(each_world: World) -> None:
    kept = await each_world.keep(snapshot("100 cash", {"CASH": "100"}))
    async with each_world.reading() as tx:
        lines = await history.load_history(each_world.owner_id, tx, kept.row.id, 10)
        rest = await history.load_history(each_world.owner_id, tx, kept.row.id, 10, after_sequence=2)
        assert await history.verify_history(each_world.owner_id, tx, kept.row.id, page=2) is None
    assert [(line.sequence, line.kind, line.actor) for line in lines] == [
        (1, "PORTFOLIO_CREATED", "alice"),
        (2, "HOLDINGS_IMPORTED", "alice"),
        (3, "TARGETS_SET", "alice"),
    ]
    assert rest == lines[2:]
    assert lines[0].previous_hash == "0" * 64
    assert [line.previous_hash for line in lines[1:]] == [line.hash for line in lines[:2]]
    assert lines[2].document["targets"] == [{"key": "CASH", "percent": "100", "assets": []}]


async def test_what_a_writer_says_of_hash_and_sequence_does_not_count(world: World) -> None:
    kept = await world.keep(snapshot("100 cash"))
    await world.sql(
        """
        INSERT INTO rebalance_history VALUES ($1, 77, $2, 'FORGED', '', 'mallory', now(), 'x', 'y', '{}')
        """,
        kept.row.id,
        world.owner_id,
    )
    row = await world.sql("SELECT sequence || ' ' || length(hash) FROM rebalance_history WHERE kind = 'FORGED'")
    assert row == "3 64"


@pytest.mark.parametrize(
    ("edit", "first_wrong"),
    [
        ("UPDATE rebalance_history SET actor = 'mallory' WHERE sequence = 2", 2),
        ("UPDATE rebalance_history SET canonical = replace(canonical, 'Test', 'Best') WHERE sequence = 1", 1),
        ("UPDATE rebalance_history SET at = at + interval '1 s' WHERE sequence = 3", 3),
        ("DELETE FROM rebalance_history WHERE sequence = 2", 2),
        ("UPDATE rebalance_history SET hash = previous_hash WHERE sequence = 2", 2),
    ],
)
async def test_an_edit_behind_our_back_is_found(world: World, edit: str, first_wrong: int) -> None:
    kept = await world.keep(snapshot("100 cash", {"CASH": "100"}))
    async with world.raw(owner=True) as connection:
        await connection.execute("SET session_replication_role = replica")
        await connection.execute(edit)
    async with world.reading() as tx:
        assert await history.verify_history(world.owner_id, tx, kept.row.id) == first_wrong


async def test_concurrent_lines_make_one_chain(world: World) -> None:
    kept = await world.keep(snapshot("100 cash"))

    async def add(place: int) -> None:
        async with world.writing() as tx:
            for step in range(3):
                document = {"place": place, "step": step}
                await history.append_history(world.owner_id, tx, kept.row.id, "NOTE", "", "alice", AS_OF, document)

    await asyncio.gather(*(add(place) for place in range(6)))
    async with world.reading() as tx:
        assert await history.verify_history(world.owner_id, tx, kept.row.id) is None
        assert len(await history.load_history(world.owner_id, tx, kept.row.id, 100)) == 2 + 18


async def test_history_of_somebody_else_is_neither_read_nor_written(world: World) -> None:
    kept = await world.keep(snapshot("100 cash"))
    bob = await world.other()
    async with bob.writing() as tx:
        await history.append_history(bob.owner_id, tx, kept.row.id, "NOTE", "", "bob", AS_OF, {})
        assert await history.load_history(bob.owner_id, tx, kept.row.id, 10) == []
    async with world.reading() as tx:
        assert len(await history.load_history(world.owner_id, tx, kept.row.id, 10)) == 2


async def test_new_targets_are_told_with_those_of_before(world: World) -> None:
    kept = await world.keep(snapshot("100 cash, 1 AAPL @ 100", {"AAPL": "60", "CASH": "40"}))
    assert kept.snapshot.targets
    entries = kept.snapshot.targets.entries
    changed = (replace(entries[0], percent=Decimal(55)), replace(entries[1], percent=Decimal(45)))
    async with world.writing() as tx:
        await world.aim(tx, kept.row.public_id, Targets(changed))
    async with world.reading() as tx:
        first, second = (await history.load_history(world.owner_id, tx, kept.row.id, 10))[2:]
    assert first.document["before"] is None
    assert second.document["before"] == {"version": 1, "targets": first.document["targets"]}
    assert [(entry["key"], entry["percent"]) for entry in second.document["before"]["targets"]] == [
        ("AAPL", "60"),
        ("CASH", "40"),
    ]
    assert [entry["percent"] for entry in second.document["targets"]] == ["55", "45"]


async def test_an_import_is_told_in_sums_before_and_after(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = await world.keep(
        snapshot(
            {"main": "6 AAPL @ 150, 4 AAPL, 8 BND @ 50, 100 cash", "ira TAX_EXEMPT": "1 AAPL, 5 EUR cash"},
            {"AAPL": "100"},
        )
    )
    main, _ = kept.snapshot.portfolio.accounts
    aapl, bnd = (
        next(a.id for a in kept.snapshot.market.assets.values() if a.symbol == name) for name in ("AAPL", "BND")
    )
    async with world.writing() as tx:
        await world.hold(tx, kept.row.public_id, replace(main, lots=main.lots[:1], cash={"USD": Decimal("99.5")}))
    async with world.reading() as tx:
        first, _, last = (await history.load_history(world.owner_id, tx, kept.row.id, 10))[1:]
    assert first.document["before"]["holdings"] == {"lots": 0, "quantity": {}, "cash": {}}
    assert first.document["holdings"] == {
        "accounts": ["main", "ira"],
        "lots": 4,
        "quantity": {aapl: "11", bnd: "8"},
        "cash": {"USD": "100", "EUR": "5"},
        "cut": {"assets": 0, "currencies": 0},
    }
    assert (last.document["version"], last.document["before"]["version"]) == (3, 2)
    assert last.document["before"]["holdings"] == {
        "lots": 3,
        "quantity": {aapl: "10", bnd: "8"},
        "cash": {"USD": "100"},
    }
    assert last.document["holdings"] == {
        "accounts": ["main"],
        "lots": 1,
        "quantity": {aapl: "6"},
        "cash": {"USD": "99.5"},
        "cut": {"assets": 0, "currencies": 0},
    }
    monkeypatch.setattr(import_sums, "MOST", 1)
    lots = (replace(main.lots[0], id=new_id(ids.LOT)), replace(main.lots[2], id=new_id(ids.LOT)))
    async with world.writing() as tx:
        await world.hold(tx, kept.row.public_id, replace(main, lots=lots, cash={"USD": Decimal("99.5")}))
    async with world.reading() as tx:
        last = (await history.load_history(world.owner_id, tx, kept.row.id, 10))[-1]
    # What changed is told, what stayed is cut.
    assert last.document["before"]["holdings"]["quantity"] == {}
    assert (last.document["holdings"]["quantity"], last.document["holdings"]["cut"]) == (
        {bnd: "8"},
        {"assets": 1, "currencies": 0},
    )

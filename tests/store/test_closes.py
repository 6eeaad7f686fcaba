"""Closing prices: the last of each UTC day, whatever order they come in, and read only where they are needed."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import asyncpg

from app.core.drift import measure
from app.core.stats import Closes, Volatility
from app.embedded import Endpoints
from app.store import assets, closes, db
from app.store.assets import Quote
from tests.builders import AS_OF, absolute, asset, moving_band, sleeve, snapshot, swinging
from tests.store.test_assets import keep
from tests.store.test_migrations import POPULATE, migrate_to
from tests.store.world import World

NIGHT = datetime(2024, 6, 2, 23, 59, 59, 999999, tzinfo=UTC)


async def test_the_last_price_of_a_utc_day_is_its_close(each_world: World) -> None:
    aapl, bnd, none = await keep(each_world, asset("AAPL"), asset("BND"), asset("NONE"))
    morning = NIGHT - timedelta(hours=12)
    async with each_world.store.shared() as tx:
        await assets.record_prices(
            tx,
            [
                Quote(aapl.id, Decimal(2), NIGHT, "x"),
                Quote(aapl.id, Decimal(1), morning, "x"),
                Quote(aapl.id, Decimal(3), NIGHT + timedelta(microseconds=1), "x"),
                Quote(bnd.id, Decimal("70.5"), morning, "x"),
            ],
            AS_OF,
        )
        await assets.record_prices(tx, [Quote(aapl.id, Decimal(9), morning, "late")], AS_OF)
        await assets.record_prices(tx, [Quote(aapl.id, Decimal(4), NIGHT + timedelta(seconds=1), "later")], AS_OF)
        known = [aapl.id, bnd.id, none.id]
        found = await closes.load_closes(tx, known, date(2024, 6, 1), date(2024, 6, 4))
        closed = await closes.load_closes(tx, known, date(2024, 6, 2), date(2024, 6, 3))
    assert found == {
        aapl.id: Closes((date(2024, 6, 2), date(2024, 6, 3)), (2.0, 4.0)),
        bnd.id: Closes((date(2024, 6, 2),), (70.5,)),
    }
    assert closed[aapl.id] == Closes((date(2024, 6, 2),), (2.0,))


async def test_closes_are_read_only_where_a_band_in_force_rests_on_volatility(world: World) -> None:
    moving = {"A": sleeve("50", band=moving_band("2", 90)), "B": sleeve("50", band=absolute("5"))}
    half_moving = {"A": sleeve("50"), "B": sleeve("50", band=absolute("1"))}
    kept = [
        await world.keep(snapshot("1 A @ 1, 1 B @ 1", wanted, band=moving_band())) for wanted in (moving, half_moving)
    ]
    still = await world.keep(snapshot("1 A @ 1, 1 B @ 1", {"A": "50", "B": "50"}), "smart")
    (a,) = (one for one in still.snapshot.market.assets.values() if one.symbol == "A")
    swing = swinging("12", returns=60)
    days = zip(swing.days, swing.prices, strict=True)
    quotes = [
        Quote(a.id, Decimal(repr(price)), datetime(day.year, day.month, day.day, 21, tzinfo=UTC), "test")
        for day, price in days
    ]
    async with world.store.shared() as tx:
        await assets.record_prices(tx, quotes, AS_OF)
    counts = []
    for one in (*kept, still):
        before = world.store.statements
        found = await world.find(one.row.public_id)
        counts.append(world.store.statements - before)
        assert found.snapshot.closes == ({} if one is still else {a.id: swing})
    assert counts == [5, 5, 4]
    entry = measure((await world.find(kept[0].row.public_id)).snapshot).entries[0]
    assert entry.volatility == Volatility(Decimal(12), 60, 90)


async def test_a_history_that_was_there_before_has_its_closes(each_empty_database: Endpoints) -> None:
    url = each_empty_database.migrate_database_url
    await migrate_to(url, "0002_rules")
    connection = await asyncpg.connect(url)
    await connection.execute(POPULATE)
    for hours, price in ((0, 5), (-1, 4), (1, 6), (30, 7)):
        await connection.execute(
            "INSERT INTO price_history VALUES (1, $1, $2, 'x')", NIGHT + timedelta(hours=hours), Decimal(price)
        )
    await db.migrate(url)
    rows = await connection.fetch("SELECT day, trim_scale(price) AS price FROM price_days ORDER BY day")
    await connection.close()
    assert [tuple(row) for row in rows] == [
        (date(2024, 6, 2), Decimal(5)),
        (date(2024, 6, 3), Decimal(6)),
        (date(2024, 6, 4), Decimal(7)),
    ]


async def test_snapshots_of_one_load_share_their_closes(world: World) -> None:
    one = await world.keep(snapshot("1 A @ 1", {"A": "100"}), "one")
    two = await world.keep(snapshot("1 A @ 1, 1 B @ 1", {"A": "50", "B": "50"}), "two")
    await world.price("A", "3", AS_OF - timedelta(days=1))
    async with world.store.shared(reading=True) as tx:
        before = world.store.statements
        found = await closes.with_closes(tx, [one.snapshot, two.snapshot])
        assert world.store.statements - before == 1
        assert await closes.with_closes(tx, []) == []
    assert [list(known.closes.values()) for known in found] == [[Closes((date(2024, 6, 2),), (3.0,))]] * 2
    assert replace(found[0], closes={}) == one.snapshot

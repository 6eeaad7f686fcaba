"""A recorded price alerts at once: everything it concerns, nothing else, once, whoever dies or comes between."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from app.actions import market, scans, targets, ticks
from app.actions.market import PriceDraft
from app.context import OPERATOR, Context, Services
from app.core.portfolio import AssetClass
from app.core.scalars import write_instant
from app.core.targets import TargetDraft
from app.store import alerts
from app.store import ticks as rows
from app.store.db import Tx
from tests.builders import AS_OF, absolute, asset, sleeve, snapshot
from tests.store.world import World
from tests.support import enter, later
from tests.workers.conftest import forget, keep, waiting
from workers import ticks as jobs

TOLD = "SELECT count(*) FROM outbox WHERE topic = 'alert'"


@pytest.fixture
async def operator(services: Services) -> Context:
    return await enter(services, "operator", OPERATOR)


async def settle(services: Services) -> None:
    """Pass what was recorded so far, so that a test begins with nothing to do."""
    await ticks.run(services)
    await forget(services)


async def record(operator: Context, **prices: str) -> None:
    drafts = [PriceDraft(symbol, Decimal(price), None, "test") for symbol, price in prices.items()]
    await market.record_prices(operator, drafts)


async def kinds(world: World) -> list[str]:
    told = "SELECT array_agg(payload->>'event' ORDER BY xid, id) FROM outbox WHERE topic = 'alert'"
    return list(await world.sql(told) or [])


async def test_a_price_raises_escalates_and_resolves_without_a_scan(
    services: Services, world: World, operator: Context
) -> None:
    await keep(world, "100")
    await settle(services)
    for price in ("150", "151", "200", "100"):
        await record(operator, AAPL=price)
        assert await waiting(services) == ["prices_tick:one"]
        await jobs.prices_tick({"services": services})
        await forget(services)
    assert await kinds(world) == ["RAISED", "ESCALATED", "RESOLVED"]
    assert await world.sql("SELECT count(*) FROM drift_logs") == 0
    assert await world.sql("SELECT count(*) FROM scan_runs") == 0
    assert await ticks.run(services) == 0


async def test_many_records_are_one_pass_and_a_pass_touches_who_holds_what_moved(
    services: Services, world: World, operator: Context
) -> None:
    for _ in range(5):
        await keep(world, "100")
    await world.keep(snapshot("10 XYZ @ 10, 100 cash", {"XYZ": "50", "CASH": "50"}))
    await settle(services)
    for price in ("101", "102", "150"):
        await record(operator, AAPL=price)
    assert await waiting(services) == ["prices_tick:one"]
    assert await ticks.run(services) == 5
    assert await world.sql(TOLD) == 5
    await record(operator, XYZ="11")
    assert await ticks.run(services) == 1
    assert await ticks.run(services) == 0


async def test_an_older_price_that_is_not_the_latest_moves_nothing(
    services: Services, world: World, operator: Context
) -> None:
    await keep(world, "100")
    await settle(services)
    await world.price("AAPL", "500", AS_OF - timedelta(hours=1))
    assert await ticks.run(services) == 0


async def test_a_rate_moves_who_has_something_in_that_currency_directly_or_by_way_of_the_dollar(
    services: Services, world: World, operator: Context
) -> None:
    wanted: dict[str, Any] = {"SAP": sleeve("50", band=absolute("5")), "CASH": sleeve("50", band=absolute("50"))}
    sap, rates = asset("SAP", currency="EUR"), {"EUR/USD": "1", "GBP/USD": "1", "JPY/USD": "0.01"}

    async def hold(ledger: str, base: str) -> None:
        await world.keep(snapshot(ledger, wanted, assets=[sap], rates=rates, base=base))

    await hold("10 SAP @ 100, 1000 cash", "USD")
    await hold("10 SAP @ 100, 1000 EUR cash", "EUR")
    await hold("10 SAP @ 100, 1000 GBP cash", "GBP")
    await hold("100 JPY cash, 1000 USD cash", "USD")
    await settle(services)
    for symbol, touched in (("EUR", 2), ("GBP", 1), ("JPY", 1)):
        await record(operator, **{f"{symbol}:USD": "1.5"})
        assert await ticks.run(services) == touched
    assert [one for one in await kinds(world) if one == "RAISED"] != []


async def test_a_paused_portfolio_is_not_touched(services: Services, world: World, operator: Context) -> None:
    row = (await world.find(await keep(world, "100"))).row.id
    async with world.raw(owner=True) as connection:
        await connection.execute("UPDATE portfolios SET status = 'PAUSED' WHERE id = $1", row)
    await settle(services)
    await record(operator, AAPL="150")
    assert await ticks.run(services) == 0
    assert await world.sql(TOLD) == 0


async def test_an_alert_that_needs_two_buckets_is_not_opened_by_prices_alone(
    services: Services, world: World, operator: Context
) -> None:
    row = (await world.find(await keep(world, "100"))).row.id
    async with world.raw(owner=True) as connection:
        await connection.execute("UPDATE portfolios SET policy = policy || '{\"alert_after\": 2}' WHERE id = $1", row)
    await settle(services)
    for price in ("150", "151", "152"):
        await record(operator, AAPL=price)
        assert await ticks.run(services) == 1
    assert await world.sql(TOLD) == 0
    for count in (0, 1):
        await later(services)
        bucket = await scans.tick(services)
        assert bucket
        await scans.measure_chunk(services, write_instant(bucket), 0)
        assert await world.sql(TOLD) == count


async def test_prices_recorded_while_nobody_works_are_passed_once_the_sweeper_asks(
    services: Services, world: World, operator: Context
) -> None:
    await keep(world, "100")
    await settle(services)
    await record(operator, AAPL="150")
    await forget(services)
    await ticks.sweep(services)
    await ticks.sweep(services)
    assert await waiting(services) == ["prices_tick:one"]
    assert await ticks.run(services) == 1
    await forget(services)
    await ticks.sweep(services)
    assert await waiting(services) == []


async def test_a_pass_that_dies_in_the_middle_goes_on_where_it_was(
    services: Services, world: World, operator: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(7):
        await keep(world, "100")
    await settle(services)
    await record(operator, AAPL="150")
    real = ticks._decide_page
    pages: list[object] = []

    async def dying(*args: Any) -> Any:
        if len(pages) == 2:
            raise asyncio.CancelledError
        pages.append(args[2])
        return await real(*args)

    monkeypatch.setattr(ticks, "_decide_page", dying)
    with pytest.raises(asyncio.CancelledError):
        await ticks.run(services)
    monkeypatch.setattr(ticks, "_decide_page", real)
    assert await world.sql(TOLD) == 4
    async with services.store.shared() as tx:
        assert await rows.scan_has_ticks(tx)
    assert await ticks.run(services) == 3
    assert await world.sql("SELECT array_agg(n) FROM (SELECT count(*) AS n FROM alerts GROUP BY portfolio_id) a") == (
        [1] * 7
    )


async def test_passes_side_by_side_tell_everything_once(services: Services, world: World, operator: Context) -> None:
    for _ in range(7):
        await keep(world, "100")
    await settle(services)
    await record(operator, AAPL="150")
    await asyncio.gather(*(ticks.run(services) for _ in range(5)))
    await ticks.run(services)
    assert await world.sql(TOLD) == 7
    async with services.store.shared() as tx:
        assert not await rows.scan_has_ticks(tx)


async def test_a_price_that_is_committed_late_is_not_passed_over(
    services: Services, world: World, operator: Context
) -> None:
    await keep(world, "100")
    await world.keep(snapshot("10 XYZ @ 10, 100 cash", {"XYZ": "50", "CASH": "50"}))
    await settle(services)
    async with world.raw() as connection:
        older = connection.transaction()
        await older.start()
        await connection.execute(
            "UPDATE prices SET price = 150, xid = pg_current_xact_id() "
            "WHERE asset_id = (SELECT id FROM assets WHERE symbol = 'AAPL')"
        )
        await record(operator, XYZ="11")
        passing = asyncio.create_task(ticks.run(services))
        await asyncio.sleep(0.1)
        await older.commit()
    assert await passing == 2
    assert await world.sql("SELECT count(*) FROM alerts WHERE key = 'AAPL'") == 1


async def test_an_alert_of_a_newer_price_is_not_resolved_by_the_scan_that_began_before_it(
    services: Services, world: World, operator: Context
) -> None:
    await keep(world, "100")
    await settle(services)
    await scans.tick(services)
    await record(operator, AAPL="150")
    assert await ticks.run(services) == 1
    await scans.measure_chunk(services, write_instant(AS_OF), 0)
    assert await kinds(world) == ["RAISED"]
    assert await world.sql("SELECT status FROM drift_logs") == "WITHIN"
    await record(operator, AAPL="100")
    await ticks.run(services)
    assert await kinds(world) == ["RAISED", "RESOLVED"]


async def test_a_pass_that_read_before_a_scan_began_reads_again(
    services: Services, world: World, operator: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scan at the newer price has raised the alert; the older price must not resolve it."""
    await keep(world, "100")
    await settle(services)
    await record(operator, AAPL="101")
    scanned: list[bool] = []

    async def scan_first(tx: Tx, rows: Sequence[int]) -> None:
        if not scanned:
            scanned.append(True)
            await world.price("AAPL", "150")
            await scans.tick(services)
            await scans.measure_chunk(services, write_instant(AS_OF), 0)
        await alerts.scan_take_turn(tx, rows)

    monkeypatch.setattr("app.actions.ticks.alerts", SimpleNamespace(**{**vars(alerts), "scan_take_turn": scan_first}))
    await ticks.run(services)
    assert scanned
    assert await kinds(world) == ["RAISED"]


async def test_a_pass_comes_to_its_end_though_scans_begin_all_the_time(
    services: Services, world: World, operator: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keep(world, "100")
    await settle(services)
    await record(operator, AAPL="150")

    async def scan_first(tx: Tx, rows: Sequence[int]) -> None:
        await later(services)
        await scans.tick(services)
        await alerts.scan_take_turn(tx, rows)

    monkeypatch.setattr("app.actions.ticks.alerts", SimpleNamespace(**{**vars(alerts), "scan_take_turn": scan_first}))
    async with asyncio.timeout(10):
        assert await ticks.run(services) == 1
    assert await kinds(world) == ["RAISED"]


@pytest.mark.parametrize("scan", [False, True], ids=["tick", "scan"])
async def test_targets_that_are_set_while_it_is_measured_are_those_that_count(
    services: Services, world: World, operator: Context, alice: Context, monkeypatch: pytest.MonkeyPatch, scan: bool
) -> None:
    """By the targets of before AAPL were breached, and nobody would look again before the next scan."""
    portfolio_id = await keep(world, "100")
    await settle(services)
    take_turn, now_right = (
        alerts.scan_take_turn,
        [TargetDraft(Decimal(69), "AAPL", ("AAPL",)), TargetDraft(Decimal(31), "BND", ("BND",))],
    )

    async def set_first(tx: Tx, rows: Sequence[int]) -> None:
        if now_right:
            await targets.set_targets(alice, portfolio_id, now_right, expected=None, note=None, dry_run=False)
            now_right.clear()
        await take_turn(tx, rows)

    monkeypatch.setattr(alerts, "scan_take_turn", set_first)
    await record(operator, AAPL="150")
    if scan:
        await scans.tick(services)
        await scans.measure_chunk(services, write_instant(AS_OF), 0)
    else:
        await ticks.run(services)
    assert not now_right
    assert await kinds(world) == []


async def test_after_a_restore_of_a_dump_every_price_is_looked_at_again(services: Services, world: World) -> None:
    await keep(world, "100")
    await settle(services)
    async with world.raw(owner=True) as connection:
        await connection.execute("UPDATE relay_cursors SET xid = '1000000000000'")
    await ticks.sweep(services)
    assert await waiting(services) == ["prices_tick:one"]
    assert await ticks.run(services) == 1


async def test_the_price_of_cash_in_another_class_is_a_price_like_any(services: Services, world: World) -> None:
    """A holding may be of class CASH itself."""
    dollar = asset("EUR", AssetClass.CASH)
    await world.keep(snapshot("10 EUR @ 1, 10 cash", {"EUR": "50", "CASH": "50"}, assets=[dollar]))
    await settle(services)
    await world.price("EUR", "2")
    assert await ticks.run(services) == 1

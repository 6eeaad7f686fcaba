"""What dies in mid-scan, or between commit and news, costs time and nothing else."""

import asyncio

import httpx2
import redis

from app.actions import scans
from tests.journeys.fragile import GO_ON_S, PORTFOLIOS, Fragile
from tests.support import later, until

DRIFTS = "{ portfolios(first: 1) { nodes { id drift { status } } } }"


async def test_the_scan_of_a_killed_worker_goes_on_with_another(fragile: Fragile) -> None:
    first = fragile.worker()
    async with fragile.each_told_once():
        async with fragile.held_in_mid_scan() as bucket:
            second = fragile.steelyard.work("light")

            async def only_the_held_chunk_is_left() -> bool:
                return await fragile.chunks_done(bucket) == PORTFOLIOS - 1

            await until(only_the_held_chunk_is_left)
            first.kill()
        assert await fragile.until_ended(bucket) < GO_ON_S
    assert second.running
    await fragile.assert_each_portfolio_once(bucket)


async def test_a_worker_that_starts_after_the_only_one_was_killed_goes_on(fragile: Fragile) -> None:
    worker = fragile.worker()
    async with fragile.held_in_mid_scan() as bucket:
        worker.kill()
    fragile.worker()
    assert await fragile.until_ended(bucket) < GO_ON_S
    await fragile.assert_each_portfolio_once(bucket)


async def test_the_scan_outlives_a_killed_valkey(fragile: Fragile) -> None:
    worker = fragile.worker()
    async with fragile.each_told_once():
        async with fragile.held_in_mid_scan() as bucket:
            fragile.kill("valkey")
            assert await fragile.owner.ask(DRIFTS)
            ready = httpx2.get(f"{fragile.steelyard.http}/readyz")
            assert (ready.status_code, ready.json()) == (200, {"status": "ok", "database": True, "redis": False})
        fragile.servers.revive()
        assert await fragile.until_ended(bucket) < GO_ON_S
    assert worker.running
    await fragile.assert_each_portfolio_once(bucket)


async def test_the_scan_outlives_an_emptied_valkey(fragile: Fragile) -> None:
    worker = fragile.worker()
    async with fragile.each_told_once():
        async with fragile.held_in_mid_scan() as bucket:
            with redis.Redis.from_url(fragile.servers.endpoints.redis_url) as client:
                client.flushall()
        assert await fragile.until_ended(bucket) < GO_ON_S
    assert worker.running
    await fragile.assert_each_portfolio_once(bucket)


async def test_the_scan_outlives_a_killed_postgresql(fragile: Fragile) -> None:
    worker = fragile.worker()
    async with fragile.held_in_mid_scan() as bucket:
        fragile.kill("postgres")
        fragile.servers.revive()
    await fragile.until_ended(bucket)
    assert worker.running
    await fragile.assert_each_portfolio_once(bucket)


async def test_a_worker_told_to_stop_ends_its_chunk_and_leaves_the_rest_to_another(fragile: Fragile) -> None:
    worker = fragile.worker()
    async with fragile.held_in_mid_scan() as bucket:
        done = await fragile.chunks_done(bucket)
        stopping = asyncio.create_task(asyncio.to_thread(worker.stop))

        async def it_drains() -> bool:
            return "worker_drains" in worker.said()

        await until(it_drains)
    assert await stopping == 0
    assert await fragile.chunks_done(bucket) == done + 1
    fragile.worker()
    assert await fragile.until_ended(bucket) < GO_ON_S
    await fragile.assert_each_portfolio_once(bucket)


async def test_what_was_committed_is_told_though_its_worker_never_said_so(fragile: Fragile) -> None:
    """A worker that cannot reach Valkey is one that died between its commits and the news of them."""
    fragile.dismiss()
    nowhere = "unix:///nowhere/valkey.sock"
    async with fragile.each_told_once(), fragile.steelyard.services(redis_url=nowhere) as cut_off:
        await fragile.move_price()
        await later(cut_off)
        bucket = await scans.tick(cut_off)
        assert bucket
        await fragile.measure(cut_off, bucket)
    await fragile.assert_each_portfolio_once(bucket)


async def test_without_postgresql_the_api_says_so_and_comes_back_by_itself(fragile: Fragile) -> None:
    http, worker = fragile.steelyard.http, fragile.worker()
    [portfolio] = (await fragile.owner.ask(DRIFTS))["portfolios"]["nodes"]
    drift = f"/api/rebalancing/{portfolio['id']}/drift"
    fragile.kill("postgres")
    ready = httpx2.get(f"{http}/readyz")
    assert (ready.status_code, ready.json()) == (503, {"status": "unavailable", "database": False, "redis": True})
    assert httpx2.get(f"{http}/healthz").status_code == 200
    [error] = (await fragile.owner.answer(DRIFTS))["errors"]
    assert error["extensions"]["code"] == "UNAVAILABLE"
    rest = await fragile.owner.send("GET", drift)
    assert (rest.status_code, rest.json()["code"]) == (503, "UNAVAILABLE")
    fragile.servers.revive()

    async def ready_again() -> bool:
        return httpx2.get(f"{http}/readyz").status_code == 200

    await until(ready_again)
    assert (await fragile.owner.send("GET", drift)).status_code == 200
    async with fragile.each_told_once():
        bucket = await fragile.open_scan()
        await fragile.until_ended(bucket)
    assert worker.running
    await fragile.assert_each_portfolio_once(bucket)

"""A price is recorded and whoever it concerns is told at once, without a scan: each once, whatever dies in between."""

import redis

from app.actions import ticks
from tests.journeys.fragile import GO_ON_S, PORTFOLIOS, Fragile

LOGS = "SELECT bucket, count(*) FROM drift_logs GROUP BY bucket ORDER BY bucket DESC LIMIT 1"


async def test_a_price_is_told_at_once_to_all_whom_it_concerns_and_leaves_no_log(fragile: Fragile) -> None:
    await fragile.scan()
    logs = await fragile.steelyard.rows(LOGS)
    for _ in range(2):
        async with fragile.each_told_once():
            await fragile.move_price(ticked=True)
    assert await fragile.steelyard.rows(LOGS) == logs


async def test_the_pass_of_a_killed_worker_goes_on_with_another(fragile: Fragile) -> None:
    first = fragile.worker()
    async with fragile.each_told_once():
        async with fragile.held_in_mid_tick():
            second = fragile.steelyard.work("light")
            first.kill()
        assert await fragile.steelyard.until_passed() < GO_ON_S
    assert second.running


async def test_an_emptied_valkey_costs_no_price(fragile: Fragile) -> None:
    worker = fragile.worker()
    async with fragile.each_told_once():
        async with fragile.held_in_mid_tick():
            with redis.Redis.from_url(fragile.servers.endpoints.redis_url) as client:
                client.flushall()
        assert await fragile.steelyard.until_passed() < GO_ON_S
    assert worker.running


async def test_a_killed_valkey_costs_no_price(fragile: Fragile) -> None:
    worker = fragile.worker()
    async with fragile.each_told_once():
        fragile.kill("valkey")
        await fragile.move_price(ticked=True)
        fragile.servers.revive()
        assert await fragile.steelyard.until_passed() < GO_ON_S
    assert worker.running


async def test_prices_recorded_while_nobody_works_are_told_by_the_worker_that_comes(fragile: Fragile) -> None:
    fragile.dismiss()
    with redis.Redis.from_url(fragile.servers.endpoints.redis_url) as client:
        await fragile.move_price(ticked=True)
        client.flushall()
    async with fragile.each_told_once():
        fragile.worker()
    assert await fragile.steelyard.until_passed() < GO_ON_S


async def test_what_a_tick_committed_is_told_though_its_worker_never_said_so(fragile: Fragile) -> None:
    """A worker that cannot reach Valkey is one that died between its commits and the news of them."""
    fragile.dismiss()
    nowhere = "unix:///nowhere/valkey.sock"
    async with fragile.each_told_once(), fragile.steelyard.services(redis_url=nowhere) as cut_off:
        await fragile.move_price(ticked=True)
        assert await ticks.run(cut_off) == PORTFOLIOS

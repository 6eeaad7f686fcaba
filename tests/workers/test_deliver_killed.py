"""A worker that dies between the receiver's answer and its own note of it: the message comes again, under its id."""

from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg

from app.context import Context, Services
from app.embedded import Endpoints
from tests.receiver import receiving
from tests.store.world import World
from tests.support import Steelyard
from tests.workers.hooked import hook_at, portfolio, tell, until_rows


async def test_a_message_whose_worker_was_killed_before_it_wrote_is_sent_again(
    services: Services, world: World, alice: Context, database: Endpoints, tmp_path: Path
) -> None:
    steelyard = Steelyard(database, tmp_path, webhook_loopback=True, delivery_poll_s=0.1, stop_timeout_s=1)
    async with AsyncExitStack() as held, receiving() as receiver:
        connection = await asyncpg.connect(database.migrate_database_url)
        held.push_async_callback(connection.close)
        held.callback(steelyard.close)

        async def answer_and_keep_it_from_writing() -> int:
            await connection.execute("BEGIN; SELECT FROM hooks FOR UPDATE")
            return 204

        receiver.answers = [answer_and_keep_it_from_writing]
        _, secret = await hook_at(alice, receiver.url)
        await tell(world, await portfolio(world), "AAPL")
        worker = steelyard.work("light")
        await receiver.until(1)
        await receiver.silence()
        worker.kill()
        await connection.execute("ROLLBACK")
        await until_rows(world, [("PENDING", 1, True)], "status, attempts, lease_until > now() + interval '20 s'")
        steelyard.work("light")
        await receiver.silence(2)
        assert len(receiver.received) == 1, "the lease is not over"
        await world.sql("UPDATE deliveries SET lease_until = now()")
        first, second = await receiver.until(2)
        await until_rows(world, [("DELIVERED", 2)], "status, attempts")
    assert (first.id, first.body) == (second.id, second.body)
    second.verify(secret)

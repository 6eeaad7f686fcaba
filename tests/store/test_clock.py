"""The domain clock is the wall clock until somebody moves it."""

from datetime import timedelta
from decimal import Decimal

from app.store import clock
from app.store.clock import Clock
from app.store.db import Store
from tests.builders import AS_OF

MICROSECOND = timedelta(microseconds=1)


async def test_at_first_domain_time_is_wall_time(store: Store) -> None:
    async with store.shared() as tx:
        found = await clock.read_clock(tx)
    assert found.at(AS_OF + MICROSECOND) == AS_OF + MICROSECOND


async def test_a_moved_clock_runs_from_its_anchor_at_its_rate(store: Store) -> None:
    moved = Clock(AS_OF, AS_OF - timedelta(days=1000), Decimal("86400.5"))
    async with store.shared() as tx:
        await clock.set_clock(tx, moved)
    async with store.shared() as tx:
        found = await clock.read_clock(tx)
    assert found == moved
    assert found.at(AS_OF) == AS_OF - timedelta(days=1000)
    assert found.at(AS_OF + timedelta(seconds=2)) == AS_OF - timedelta(days=998) + timedelta(seconds=1)

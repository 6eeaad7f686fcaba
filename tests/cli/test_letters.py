"""Dead deliveries at the command line: listed, and sent again."""

import asyncio

import asyncpg
import pytest

from app.embedded import Endpoints
from tests.cli.shell import steelyard

OWNER = ("--owner", "steelyard:alice")
DEAD = """
WITH hook AS (
    INSERT INTO hooks (public_id, owner_id, kind, address, events, min_severity, enabled, secret, created_at)
    SELECT gen_random_uuid(), id, 'WEBHOOK', 'https://example.com/hook', '{ALERT_RAISED}', 'INFO', true, 'x', now()
    FROM owners RETURNING id, owner_id
)
INSERT INTO deliveries (public_id, owner_id, hook_id, event, type, payload, status, attempts, last_at, last_error,
    created_at, ended_at)
SELECT n::text::uuid, owner_id, id, row_number() OVER (), 'ALERT_RAISED', '{}', 'DEAD', 81, '2026-01-05T14:00:00Z',
    'answered 500', now(), now()
FROM hook, unnest(ARRAY['00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002']) AS n
"""
FIRST, SECOND = (f"dl_{'0' * 25}{number}" for number in (1, 2))


@pytest.fixture
def shell(database: Endpoints, redis_url: str) -> dict[str, str]:
    given = {"DATABASE_URL": database.database_url, "REDIS_URL": redis_url}
    assert steelyard("letters", *OWNER, given=given).out == ""

    async def write() -> None:
        connection = await asyncpg.connect(database.migrate_database_url)
        await connection.execute(DEAD)
        await connection.close()

    asyncio.run(write())
    return given


def test_letters_are_listed_and_sent_again(shell: dict[str, str]) -> None:
    told = "2026-01-05T14:00:00Z  ALERT_RAISED  https://example.com/hook  after 81 tries: answered 500"
    listed = steelyard("letters", *OWNER, given=shell)
    assert listed.out.splitlines() == [f"{SECOND}  {told}", f"{FIRST}  {told}"]
    assert steelyard("letters", "--owner", "steelyard:bob", given=shell).out == ""
    assert steelyard("letters", *OWNER, "--replay", FIRST, given=shell).out == "1 due again\n"
    assert steelyard("letters", *OWNER, given=shell).out.splitlines() == [f"{SECOND}  {told}"]
    assert steelyard("letters", *OWNER, "--replay-all", given=shell).out == "1 due again\n"
    assert steelyard("letters", *OWNER, given=shell).out == ""


def test_letters_of_others_are_not_there(shell: dict[str, str]) -> None:
    foreign = steelyard("letters", "--owner", "steelyard:bob", "--replay", FIRST, given=shell)
    assert foreign.error() == f"deliveryIds.0: delivery {FIRST} does not exist"
    both = steelyard("letters", *OWNER, "--replay", FIRST, "--replay-all", given=shell)
    assert both.error() == "replay: give --replay or --replay-all, not both"

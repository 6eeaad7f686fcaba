"""The audit chains at the command line: all of them, an owner's or one; and what a broken one looks like."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from app.actions import audit, portfolios
from app.context import Services, on_thread, open_services
from app.core.drafts import PortfolioDraft
from app.embedded import Endpoints
from app.settings import Settings
from tests.cli.shell import steelyard
from tests.support import enter


@pytest.fixture
def given(database: Endpoints, redis_url: str) -> dict[str, str]:
    return {"DATABASE_URL": database.database_url, "REDIS_URL": redis_url}


def run(given: dict[str, str], work: Callable[[Services], Awaitable[list[str]]]) -> list[str]:
    async def within() -> list[str]:
        settings = Settings().model_copy(
            update={"database_url": given["DATABASE_URL"], "redis_url": given["REDIS_URL"]}
        )
        async with open_services(settings, on_thread) as services:
            return await work(services)

    return asyncio.run(within())


def kept(given: dict[str, str], *subjects: str) -> list[str]:
    """Create a portfolio for each of these owners, with two lines of history; return their ids."""

    async def create(services: Services) -> list[str]:
        draft = PortfolioDraft("Core")
        return [(await portfolios.create(await enter(services, subject), draft)).row.public_id for subject in subjects]

    return run(given, create)


def break_chain(database: Endpoints, statement: str) -> None:
    async def edit() -> None:
        connection = await asyncpg.connect(database.migrate_database_url)
        await connection.execute("SET session_replication_role = replica")
        await connection.execute(statement)
        await connection.close()

    asyncio.run(edit())


def test_histories_that_are_whole_are_counted(given: dict[str, str]) -> None:
    assert steelyard("verify", given=given).out == "0 of 0 histories are whole, 0 lines\n"
    first, *_ = kept(given, "alice", "alice", "bob")
    everything = steelyard("verify", given=given)
    assert (everything.code, everything.out) == (0, "3 of 3 histories are whole, 6 lines\n")
    assert steelyard("verify", "--owner", "steelyard:alice", given=given).out == "2 of 2 histories are whole, 4 lines\n"
    assert steelyard("verify", "--portfolio", first, given=given).out == "1 of 1 histories are whole, 2 lines\n"


def test_histories_that_are_broken_are_named(given: dict[str, str], database: Endpoints) -> None:
    edited, emptied, whole, given_away = kept(given, "alice", "alice", "bob", "bob")
    keys = "(SELECT id FROM portfolios ORDER BY id OFFSET {} LIMIT 1)"
    break_chain(
        database, f"UPDATE rebalance_history SET actor = 'x' WHERE portfolio_id = {keys.format(0)} AND sequence = 2"
    )
    break_chain(database, f"DELETE FROM rebalance_history WHERE portfolio_id = {keys.format(1)}")
    break_chain(
        database,
        "UPDATE rebalance_history SET owner_id = (SELECT min(id) FROM owners) "
        f"WHERE portfolio_id = {keys.format(3)} AND sequence = 1",
    )
    said = steelyard("verify", given=given)
    assert (said.code, said.out.splitlines()) == (
        1,
        [
            f"{edited}: line 2 is missing, edited or out of place",
            f"{emptied}: line 1 is missing, edited or out of place",
            f"{given_away}: line 1 is missing, edited or out of place",
            "1 of 4 histories are whole, 3 lines",
        ],
    )
    assert steelyard("verify", "--portfolio", whole, given=given).code == 0
    assert steelyard("verify", "--portfolio", edited, given=given).code == 1
    assert steelyard("verify", "--owner", "steelyard:alice", given=given).out.splitlines()[-1].startswith("0 of 2")


def test_text_that_is_not_ours_is_a_broken_line(given: dict[str, str], database: Endpoints) -> None:
    [portfolio] = kept(given, "alice")
    break_chain(
        database,
        "INSERT INTO rebalance_history SELECT portfolio_id, 3, owner_id, 'FORGED', '', 'x', now(), hash, "
        "encode(sha256((hash || '{}')::bytea), 'hex'), '{}' FROM rebalance_history WHERE sequence = 2",
    )
    said = steelyard("verify", given=given)
    assert said.out.splitlines()[0] == f"{portfolio}: line 3 is missing, edited or out of place"


def test_chains_are_gone_through_by_the_page(given: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "PORTFOLIOS", 2)
    kept(given, *["alice"] * 5)
    told: list[int] = []

    async def verify(services: Services) -> list[str]:
        done = await audit.scan_verify(
            services, owner=None, portfolio_id=None, tell=lambda done: told.append(done.chains)
        )
        return [str((done.chains, done.lines, done.broken))]

    assert run(given, verify) == ["(5, 10, {})"]
    assert told == [2, 4, 5]


def test_portfolio_that_is_not_there_is_said_so(given: dict[str, str]) -> None:
    assert steelyard("verify", "--portfolio", "pf_x", given=given).error() == "portfolio pf_x does not exist"

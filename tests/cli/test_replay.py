"""`steelyard replay PLAN`: 0 when the same plan is made again, 1 with each difference, 2 when it cannot be told."""

import asyncio
import json
from pathlib import Path

import asyncpg
import pytest

from app.actions import plans
from app.context import on_thread, open_services
from app.core.plan import PlanRequest
from app.embedded import Endpoints
from app.settings import Settings
from tests.builders import AS_OF
from tests.cli.shell import steelyard
from tests.cli.test_drift import aims, file_of
from tests.support import enter, stand

HELD = {"AAPL": ("6", "150"), "BND": ("8", "50")}


@pytest.fixture
def shell(database: Endpoints, redis_url: str) -> dict[str, str]:
    return {"DATABASE_URL": database.database_url, "REDIS_URL": redis_url}


@pytest.fixture
def plan_id(shell: dict[str, str], tmp_path: Path) -> str:
    """Import a portfolio as an operator would, and propose a plan for it; return the plan's id."""
    file = tmp_path / "portfolio.json"
    file.write_text(json.dumps(file_of(HELD, aims(AAPL="60", BND="40"))))
    imported = steelyard("import", file, "--owner", "steelyard:alice", "--with-assets", given=shell)

    async def propose() -> str:
        urls = {"database_url": shell["DATABASE_URL"], "redis_url": shell["REDIS_URL"]}
        async with open_services(Settings().model_copy(update={**urls, "inline_s": 30.0}), on_thread) as services:
            await stand(services, AS_OF)
            alice = await enter(services, "alice")
            request = PlanRequest()
            plan = await plans.propose(alice, imported.out.strip(), request, dry_run=False, wait_s=0, key=None)
            assert plan.plan
            return plan.id

    return asyncio.run(propose())


def edit(database: Endpoints, statement: str) -> None:
    async def write() -> None:
        connection = await asyncpg.connect(database.migrate_database_url)
        await connection.execute("SET session_replication_role = replica")
        await connection.execute(statement)
        await connection.close()

    asyncio.run(write())


def test_a_plan_agrees(plan_id: str, shell: dict[str, str]) -> None:
    found = steelyard("replay", plan_id, "--json", given=shell).json()
    assert (found["plan"], found["verdict"], found["why"], found["differences"]) == (plan_id, "AGREES", None, [])
    made_from = f"{found['inputsBytes']} bytes of inputs, digest {found['inputsDigest']}, engine exact-1"
    said = steelyard("replay", plan_id, given=shell)
    assert (said.code, said.err) == (0, "")
    assert said.out == f"{plan_id} agrees: made again, it is the same plan ({made_from})\n"


def test_an_edited_plan_differs(plan_id: str, shell: dict[str, str], database: Endpoints) -> None:
    edit(database, "UPDATE plan_trades SET fee = 1 WHERE side = 'BUY'")
    said = steelyard("replay", plan_id, given=shell)
    assert (said.code, said.err) == (1, "")
    head, *differences = said.out.splitlines()
    assert head.startswith(f"{plan_id} differs in 1 place (")
    assert differences == ["- trades[1].trade.costs.fee: '1' is stored, '0' was found"]
    told = json.loads(steelyard("replay", plan_id, "--json", given=shell).out)
    assert told["differences"] == [{"at": "trades[1].trade.costs.fee", "stored": "1", "again": "0"}]


def test_a_plan_without_inputs_cannot_be_replayed(plan_id: str, shell: dict[str, str], database: Endpoints) -> None:
    edit(database, "UPDATE plans SET inputs = NULL")
    said = steelyard("replay", plan_id, given=shell)
    assert (said.code, said.err) == (2, "")
    assert said.out == f"{plan_id} cannot be replayed: it was made before inputs were kept with plans\n"
    told = steelyard("replay", plan_id, "--json", given=shell)
    assert (told.code, json.loads(told.out)["verdict"]) == (2, "CANNOT_TELL")


def test_a_plan_that_is_not_there_is_one_sentence(shell: dict[str, str]) -> None:
    absent = "pl_00000000000000000000000000"
    assert steelyard("replay", absent, given=shell).error() == f"plan {absent} does not exist"

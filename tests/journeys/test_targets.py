"""Targets are set: valid ones, invalid ones, and valid ones that turn invalid."""

from typing import Any

import pytest

from tests.support import Person, Steelyard

THREE = [{"key": "TGA", "percent": "50"}, {"key": "TGB", "percent": "30.5"}, {"key": "CASH", "percent": "19.5"}]


@pytest.fixture
async def tina(steelyard: Steelyard) -> Person:
    for symbol in ("TGA", "TGB"):
        await steelyard.operator.list_asset(symbol, "10")
    return steelyard.person("tina")


@pytest.fixture
async def portfolio_id(tina: Person) -> str:
    return await tina.create(accounts=[{"cash": "1000"}])


def path(portfolio_id: str) -> str:
    return f"/api/rebalancing/{portfolio_id}/targets"


async def versions(tina: Person, portfolio_id: str) -> list[tuple[int, list[str]]]:
    """Return every version that is stored, newest first, with its percents."""
    query = "query ($id: ID!) { portfolio(id: $id) { targetsHistory { nodes { version entries { percent } } } } }"
    found = (await tina.ask(query, id=portfolio_id))["portfolio"]["targetsHistory"]["nodes"]
    return [(one["version"], [entry["percent"] for entry in one["entries"]]) for one in found]


async def test_valid_targets_become_version_1_and_say_the_drift(tina: Person, portfolio_id: str) -> None:
    shown = "targets { version author note } drift { status }"
    payload = await tina.done("targetsSet", shown, portfolioId=portfolio_id, entries=THREE, note="x")
    assert payload["targets"] == {"version": 1, "author": "tina", "note": "x"}
    assert payload["drift"] == {"status": "BREACHED"}
    assert await versions(tina, portfolio_id) == [(1, ["50", "30.5", "19.5"])]


@pytest.mark.parametrize(
    ("last", "total", "missing"), [("19", "99.5", "0.5"), ("20.500001", "101.000001", "-1.000001")]
)
async def test_targets_that_do_not_sum_to_100_are_refused_with_the_numbers(
    tina: Person, portfolio_id: str, last: str, total: str, missing: str
) -> None:
    entries = [*THREE[:2], {"key": "CASH", "percent": last}]
    payload = await tina.change("targetsSet", "targets { version }", portfolioId=portfolio_id, entries=entries)
    [error] = payload["userErrors"]
    assert payload["targets"] is None
    assert (error["code"], error["path"]) == ("TARGETS_SUM", ["input", "entries"])
    assert (error["sum"], error["missing"]) == (total, missing)
    rest = await tina.send("POST", path(portfolio_id), {"entries": entries})
    assert rest.status_code == 422
    told = rest.json()
    assert (told["code"], told["sum"], told["missing"]) == ("TARGETS_SUM", total, missing)
    assert await versions(tina, portfolio_id) == []


@pytest.mark.parametrize(
    ("entry", "code", "where"),
    [
        ({"key": "TGA", "percent": "19.5"}, "DUPLICATE", ["input", "entries", "2", "key"]),
        ({"key": "X", "percent": "19.5", "assets": ["TGX"]}, "INVALID", ["input", "entries", "2", "assets", "0"]),
        ({"key": "CASH", "percent": "19.5", "band": {}}, "INVALID", ["input", "entries", "2", "band"]),
    ],
)
async def test_valid_targets_that_turn_invalid_leave_the_version_in_force(
    tina: Person, portfolio_id: str, entry: dict[str, Any], code: str, where: list[str]
) -> None:
    await tina.done("targetsSet", "targets { version }", portfolioId=portfolio_id, entries=THREE)
    changed = [*THREE[:2], entry]
    payload = await tina.change("targetsSet", "targets { version }", portfolioId=portfolio_id, entries=changed)
    assert [(error["code"], error["path"]) for error in payload["userErrors"]] == [(code, where)]
    assert await versions(tina, portfolio_id) == [(1, ["50", "30.5", "19.5"])]


async def test_a_dry_run_measures_and_stores_nothing(tina: Person, portfolio_id: str) -> None:
    payload = await tina.done(
        "targetsSet",
        "targets { id version entries { key } } drift { status targetsVersion }",
        portfolioId=portfolio_id,
        entries=THREE,
        dryRun=True,
    )
    assert payload["targets"] == {"id": None, "version": None, "entries": [{"key": one["key"]} for one in THREE]}
    assert payload["drift"] == {"status": "BREACHED", "targetsVersion": None}
    rest = await tina.send("POST", path(portfolio_id) + "?dry_run=true", {"entries": THREE})
    assert (rest.status_code, rest.json()["version"]) == (200, None)
    assert await versions(tina, portfolio_id) == []
    assert (await tina.send("GET", path(portfolio_id))).status_code == 404


async def test_of_two_who_read_the_same_version_the_second_is_told(tina: Person, portfolio_id: str) -> None:
    await tina.done("targetsSet", "targets { version }", portfolioId=portfolio_id, entries=THREE, expectedVersion=0)
    halves = [{"key": "TGA", "percent": 50}, {"key": "TGB", "percent": 50}]
    first = {"portfolioId": portfolio_id, "entries": halves, "expectedVersion": 1}
    await tina.done("targetsSet", "targets { version }", **first)
    payload = await tina.change("targetsSet", "targets { version }", **first)
    [error] = payload["userErrors"]
    assert (error["__typename"], error["code"]) == ("VersionConflictError", "VERSION_CONFLICT")
    assert await versions(tina, portfolio_id) == [(2, ["50", "50"]), (1, ["50", "30.5", "19.5"])]


async def test_rest_sets_targets_under_their_etag(tina: Person, portfolio_id: str) -> None:
    made = await tina.send("POST", path(portfolio_id), {"entries": THREE, "note": "first"}, {"if-match": '"v0"'})
    assert (made.status_code, made.headers["etag"], made.json()["version"]) == (201, '"v1"', 1)
    read = await tina.send("GET", path(portfolio_id))
    assert (read.headers["etag"], read.json()) == ('"v1"', made.json())
    late = await tina.send("POST", path(portfolio_id), {"entries": THREE}, {"if-match": '"v0"'})
    assert (late.status_code, late.json()["code"]) == (412, "VERSION_CONFLICT")
    again = await tina.send("POST", path(portfolio_id), {"entries": THREE}, {"if-match": '"v1"'})
    assert (again.status_code, again.headers["etag"]) == (201, '"v2"')
    unsure = await tina.send("POST", path(portfolio_id), {"entries": THREE}, {"if-match": "v2"})
    assert (unsure.status_code, unsure.json()["path"]) == (422, ["If-Match"])


async def test_somebody_elses_targets_cannot_be_set(steelyard: Steelyard, portfolio_id: str) -> None:
    mallory = steelyard.person("mallory")
    payload = await mallory.change("targetsSet", "targets { version }", portfolioId=portfolio_id, entries=THREE)
    assert [error["code"] for error in payload["userErrors"]] == ["NOT_FOUND"]
    rest = await mallory.send("POST", path(portfolio_id), {"entries": THREE})
    assert (rest.status_code, rest.json()["code"]) == (404, "NOT_FOUND")

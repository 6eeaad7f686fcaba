"""`steelyard listen` beside a real API: one readable line an event, none missed or shown twice, through restarts."""

import json
import time

import pytest

from app.api import auth
from app.context import wall_now
from tests.cli.shell import steelyard as shell
from tests.support import Person, Steelyard, until
from tests.terminal.running import Running, running


async def watched(steelyard: Steelyard, subject: str, name: str) -> Person:
    """Give somebody a portfolio that leaves its band when the price of a stock named after them goes to 150."""
    stock, bond = f"{subject.upper()}S", f"{subject.upper()}B"
    await steelyard.operator.list_asset(stock, "100")
    await steelyard.operator.list_asset(bond, "50", assetClass="BOND")
    person = steelyard.person(subject)
    await person.create(
        name=name,
        accounts=[{"lots": [{"symbol": stock, "quantity": "6"}, {"symbol": bond, "quantity": "8"}]}],
        targets=[
            {"key": stock, "percent": 60, "band": {"absolute": 5}},
            {"key": bond, "percent": 40, "band": {"absolute": 40}},
        ],
    )
    return person


async def price(steelyard: Steelyard, person: Person, to: str) -> None:
    await steelyard.operator.record({f"{person.subject.upper()}S": to})
    await steelyard.next_hour()


async def words(command: Running) -> list[str]:
    """Return the first words of the next line: day, portfolio, what happened, how urgent, and the sentence."""
    instant, *rest = (await command.line()).split("  ")
    assert len(instant) == len("2026-03-01 14:00:00")
    return rest


async def test_events_are_lines_that_a_person_reads_through_a_restart(steelyard: Steelyard) -> None:
    person = await watched(steelyard, "lis", "Savings – \u2067old\u2069")
    after = await steelyard.cursor()
    async with running("listen", "--url", steelyard.http, "--after", after, STEELYARD_TOKEN=person.token) as command:
        await price(steelyard, person, "150")
        name, kind, severity, message = await words(command)
        assert (name, kind, severity) == ("Savings – \\u2067old\\u2069", "RAISED", "CRITICAL")
        assert message.startswith("LISS ")
        assert steelyard.api is not None
        steelyard.api.stop()
        assert "connecting again from cursor " in await command.remark()
        steelyard.serve()
        await price(steelyard, person, "200")
        assert (await words(command))[:3] == ["Savings – \\u2067old\\u2069", "ESCALATED", "CRITICAL"]
        await price(steelyard, person, "100")
        assert (await words(command))[1] == "RESOLVED"
        assert await command.interrupt() == 0


async def test_json_lines_carry_the_cursor_to_go_on_from(steelyard: Steelyard) -> None:
    person = await watched(steelyard, "lij", "Savings")
    after = await steelyard.cursor()
    await price(steelyard, person, "150")
    await price(steelyard, person, "100")
    given = ("listen", "--json", "--url", steelyard.http, "--token", person.token, "--after")
    async with running(*given, after) as first:
        raised = json.loads(await first.line())
        resolved = json.loads(await first.line())
    assert steelyard.api is not None
    assert "Exception in ASGI application" not in steelyard.api.said(), "who goes away is no trouble"
    assert [event["kind"] for event in (raised, resolved)] == ["RAISED", "RESOLVED"]
    async with running(*given, raised["cursor"]) as second:
        assert json.loads(await second.line()) == resolved


def test_token_that_is_not_good_is_said_plainly(steelyard: Steelyard) -> None:
    said = shell("listen", "--url", steelyard.http, "--token", "no-token")
    assert said.error() == (
        "token: the API refuses the token: the token is malformed or its signature does not fit (401); "
        "make a new one with `steelyard token`, or get one from your issuer"
    )


def test_cursor_that_is_none_is_said_plainly(steelyard: Steelyard) -> None:
    said = shell("listen", "--url", steelyard.http, "--token", steelyard.person("lic").token, "--after", "x")
    assert said.error().startswith("the API answers INVALID: ")


async def test_token_that_ends_while_listening_is_said_plainly(steelyard: Steelyard) -> None:
    person = await watched(steelyard, "lit", "Savings")
    after = await steelyard.cursor()
    began = time.monotonic()
    token = auth.issue(steelyard.settings(), subject="lit", now=wall_now(), ttl_s=6)
    async with running("listen", "--url", steelyard.http, "--after", after, STEELYARD_TOKEN=token) as command:
        await price(steelyard, person, "150")
        assert (await words(command))[1] == "RAISED"
        while time.monotonic() - began < 6.5:
            await price(steelyard, person, "150")
        await price(steelyard, person, "200")
        code, out, err = await command.end()
    assert (code, out) == (1, "")
    assert err == (
        "error: token: the token has ended; get a new one (4403); make a new one with `steelyard token`, "
        "or get one from your issuer\n"
    )


async def test_token_that_ends_while_nothing_happens_is_said_as_plainly(steelyard: Steelyard) -> None:
    token = auth.issue(steelyard.settings(), subject="liq", now=wall_now(), ttl_s=4)
    async with running("listen", "--url", steelyard.http, STEELYARD_TOKEN=token) as command:
        code, out, err = await command.end()
    assert (code, out) == (1, "")
    assert err.startswith("error: token: the token has ended; get a new one (4403); make a new one with ")


async def test_what_happens_while_the_api_is_away_is_shown_though_nothing_was_before(steelyard: Steelyard) -> None:
    person = await watched(steelyard, "liw", "Savings")

    async def listened_to() -> bool:
        return "\nsteelyard_streams 1.0\n" in (await person.send("GET", "/metrics")).text

    async def told() -> bool:
        return bool(await steelyard.rows("SELECT FROM alerts WHERE key = 'LIWS'"))

    async with running("listen", "--url", steelyard.http, STEELYARD_TOKEN=person.token) as command:
        await until(listened_to)
        assert steelyard.api is not None
        with steelyard.standstill():
            await steelyard.operator.record({"LIWS": "150"})
            steelyard.api.stop()
        await until(told)
        assert "connecting again from cursor " in await command.remark()
        steelyard.serve()
        assert (await words(command))[:2] == ["Savings", "RAISED"]


@pytest.mark.parametrize("after", [[], ["--after", "c"]])
async def test_api_that_is_away_is_tried_again(after: list[str]) -> None:
    async with running("listen", "--url", "http://127.0.0.1:9", "--token", "x", *after) as command:
        told = "connecting again from cursor c" if after else "connecting again"
        for _ in range(2):
            assert (await command.remark()).endswith(f"; {told}")
        assert await command.interrupt() == 0

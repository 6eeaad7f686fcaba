"""`steelyard receive`: a receiver for developers that believes nothing without a signature."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from app.context import wall_now
from app.core.errors import InvalidInput
from app.courier import webhooks
from app.terminal import receiver
from app.terminal.receiver import read_secrets
from tests.cli.shell import steelyard
from tests.terminal.running import Running, running

ALICE, BOB = webhooks.new_secret(bytes(range(24))), webhooks.new_secret(bytes(range(64)))
STRANGER = webhooks.new_secret(bytes(32))
BODY = '{"type": "alert.raised", "data": {"severity": "CRITICAL", "message": "Gold is 7 points over – sell\\u001b[2J"}}'


@pytest.fixture
async def receiving() -> AsyncIterator[tuple[Running, str]]:
    """Start it with two people's secrets on a free port; give it and its URL."""
    async with running("receive", "--port", "0", STEELYARD_WEBHOOK_SECRET=f"alice={ALICE}, bob={BOB}") as command:
        line = await command.line()
        assert line.startswith("Receiving webhooks at http://127.0.0.1:")
        yield command, line.split()[3].removesuffix(";")


async def post(url: str, secret: str, body: str = BODY, age_s: int = 0, **changed: str) -> int:
    headers = webhooks.signed_headers("dl_1", wall_now() - timedelta(seconds=age_s), [secret], body.encode())
    given = {**headers, **{name.replace("_", "-"): value for name, value in changed.items()}}
    async with httpx2.AsyncClient(trust_env=False) as http:
        response = await http.post(url, content=body.encode(), headers=given)
    assert response.content == b""
    return response.status_code


async def test_what_we_send_is_verified_and_named(receiving: tuple[Running, str]) -> None:
    command, url = receiving
    for secrets, label in (([ALICE], "alice"), ([STRANGER, BOB], "bob")):
        sent = await webhooks.send(
            f"{url}hooks/in", message_id="dl_7", at=wall_now(), secrets=secrets, body=BODY.encode(), loopback=True
        )
        assert (sent.status_code, sent.error) == (204, None)
        assert await command.line() == (
            f"verified  alert.raised  dl_7  {label}  CRITICAL  Gold is 7 points over – sell\\x1b[2J"
        )
    assert await command.interrupt() == 0


async def test_what_is_not_ours_is_refused_with_the_reason(receiving: tuple[Running, str]) -> None:
    command, url = receiving
    cases: list[tuple[dict[str, Any], str]] = [
        ({"secret": STRANGER}, "dl_1  No matching signature found"),
        ({"secret": ALICE, "webhook_id": "dl_2"}, "dl_2  No matching signature found"),
        ({"secret": ALICE, "age_s": 301}, "dl_1  Message timestamp too old"),
        ({"secret": ALICE, "age_s": -310}, "dl_1  Message timestamp too new"),
        ({"secret": ALICE, "webhook_timestamp": "soon"}, "dl_1  Invalid Signature Headers"),
        ({"secret": ALICE, "webhook_signature": "v1"}, "dl_1  Malformed signature or body"),
        ({"secret": ALICE, "webhook_signature": "v1,*"}, "dl_1  No matching signature found"),
        ({"secret": ALICE, "webhook_signature": ""}, "dl_1  Missing required headers"),
    ]
    for given, reason in cases:
        assert await post(url, **given) == 401, given
        assert await command.line() == f"refused   {reason}"
    async with httpx2.AsyncClient(trust_env=False) as http:
        assert (await http.post(url, content=BODY)).status_code == 401
        assert await command.line() == "refused   no webhook-id  Missing required headers"
        assert (await http.get(url)).status_code == 405
    assert await post(url, ALICE) == 204, "it goes on"
    assert (await command.line()).startswith("verified  alert.raised  dl_1  alice")


async def test_any_body_that_is_signed_is_verified(receiving: tuple[Running, str]) -> None:
    command, url = receiving
    for body, told in (
        ("", "no type  dl_1  alice"),
        ("no JSON", "no type  dl_1  alice"),
        ("[1]", "no type  dl_1  alice"),
        ('{"type": 7, "data": null}', "7  dl_1  alice"),
        ('{"type": "a.b", "data": {"message": ["x"]}}', "a.b  dl_1  alice  ['x']"),
    ):
        assert await post(url, ALICE, body) == 204
        assert await command.line() == f"verified  {told}"


async def test_body_over_the_limit_is_refused(receiving: tuple[Running, str]) -> None:
    command, url = receiving
    assert await post(url, ALICE, "x" * 1_048_576) == 204
    assert (await command.line()).startswith("verified  no type")
    assert await post(url, ALICE, "x" * 1_048_577) == 413
    assert await command.line() == "refused   the body is larger than 1048576 bytes"


async def test_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "BODY_S", 0.1)
    answers: list[Any] = []

    async def never() -> Any:
        await asyncio.sleep(60)

    async def answer(message: Any) -> None:
        answers.append(message)

    lines: list[str] = []
    console: Any = type("Lines", (), {"print": lambda _, line, **__: lines.append(line)})()
    began = time.monotonic()
    await receiver.Receiver((), console)({"type": "http", "method": "POST", "headers": []}, never, answer)
    assert answers[0]["status"] == 408
    assert lines == ["refused   the body did not come within 0.1 s"]
    assert time.monotonic() - began < 2


def test_secrets_are_read_with_and_without_a_label() -> None:
    found = read_secrets(f" {ALICE},bob={BOB} ,")
    assert [(one.label, one.secret) for one in found] == [("", ALICE), ("bob", BOB)]
    assert ALICE not in repr(found)


READS = "a webhook's secret reads whsec_... as it was shown when the webhook was made"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "which secret? give --secret whsec_... or set STEELYARD_WEBHOOK_SECRET"),
        (" , ", "which secret? give --secret whsec_... or set STEELYARD_WEBHOOK_SECRET"),
        ("hunter2", READS),
        ("alice=", READS),
        ("alice=hunter2", READS),
        ("whsec_", READS),
        ("whsec_****", READS),
        ("whsec_" + "A" * 28, READS),
        ("whsec_" + "A" * 88, READS),
        (f"{ALICE},bob={ALICE}", "the same secret is given twice"),
    ],
)
def test_secret_that_is_none_is_refused_and_not_repeated(text: str, why: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_secrets(text)
    assert refused.value.message == why
    assert steelyard("receive", given={"STEELYARD_WEBHOOK_SECRET": text}).error() == f"secret: {why}"


async def test_port_that_is_taken_is_one_sentence(receiving: tuple[Running, str]) -> None:
    port = receiving[1].rstrip("/").rpartition(":")[2]
    said = steelyard("receive", "--port", port, "--secret", ALICE)
    assert said.error() == f"port: 127.0.0.1:{port} is not free: Address already in use; choose another with --port"

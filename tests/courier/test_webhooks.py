"""Webhooks on the wire: what is sent, where it goes, and what becomes of it whatever the receiver does."""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from app.context import wall_now
from app.courier import webhooks
from app.courier.webhooks import Sent, new_secret, send
from tests.courier.internet import Answer, Authority, Internet, Received, answer, receiver, silent_name_server

SECRET = new_secret(bytes(range(32)))
OLD_SECRET = new_secret(bytes(range(100, 124)))
BODY = '{"type": "alert.raised", "data": {"key": "Ünïcode €"}}'.encode()
PUBLIC, OTHER = "93.184.216.34", "93.184.216.35"


async def deliver(url: str, *, loopback: bool = True, secrets: tuple[str, ...] = (SECRET,)) -> Sent:
    return await send(url, message_id="dl_1", at=wall_now(), secrets=secrets, body=BODY, loopback=loopback)


def is_signed(request: Received, secret: str) -> bool:
    """Verify as the specification says, with nothing of the library's."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    head = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}."
    expected = hmac.new(key, head.encode() + request.body, hashlib.sha256).digest()
    given = [one.split(",", 1) for one in request.headers["webhook-signature"].split(" ")]
    return any(version == "v1" and hmac.compare_digest(base64.b64decode(text), expected) for version, text in given)


async def test_message_is_sent_as_the_specification_says() -> None:
    async with receiver(answer("204 No Content")) as there:
        before = int(wall_now().timestamp())
        sent = await deliver(there.url("/in//%c3%BC/%2e./%7E.../x;y?a=1&b=%20&../"))
    assert (sent.status_code, sent.error, sent.ok, sent.gone) == (204, None, True, False)
    assert 0 <= sent.latency_ms < 2000
    [request] = there.received
    assert request.line == "POST /in//%c3%BC/%2e./%7E.../x;y?a=1&b=%20&../ HTTP/1.1"
    assert request.body == BODY
    timestamp = int(request.headers.pop("webhook-timestamp"))
    assert before <= timestamp <= before + 2
    assert request.headers.pop("webhook-signature").startswith("v1,")
    assert request.headers == {
        "host": f"127.0.0.1:{there.port}",
        "user-agent": "Steelyard/0.1.0",
        "content-type": "application/json",
        "accept": "*/*",
        "connection": "close",
        "webhook-id": "dl_1",
        "content-length": str(len(BODY)),
    }


async def test_both_secrets_of_a_rotation_verify_and_no_other() -> None:
    async with receiver(answer("200 OK")) as there:
        await deliver(there.url(), secrets=(SECRET, OLD_SECRET))
    [request] = there.received
    assert len(request.headers["webhook-signature"].split(" ")) == 2
    for secret in (SECRET, OLD_SECRET):
        assert is_signed(request, secret)
        assert Webhook(secret).verify(request.body, request.headers) == json.loads(BODY)
    stranger = new_secret(bytes(24))
    assert not is_signed(request, stranger)
    with pytest.raises(WebhookVerificationError):
        Webhook(stranger).verify(request.body, request.headers)
    changed = Received(request.line, request.headers, request.body + b" ")
    assert not is_signed(changed, SECRET)


async def test_instant_is_signed_in_utc_wherever_it_was_read() -> None:
    at = wall_now()
    elsewhere = at.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert webhooks.signed_headers("dl_1", elsewhere, [SECRET], BODY) == webhooks.signed_headers(
        "dl_1", at, [SECRET], BODY
    )


def test_signature_is_the_one_of_the_specification() -> None:
    """The example of the specification's reference libraries."""
    body = b'{"test": 2432232314}'
    at = datetime.fromtimestamp(1614265330, UTC)
    headers = webhooks.signed_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", at, ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], body
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-timestamp"] == "1614265330"


def test_secret_is_made_of_enough_random_bytes() -> None:
    assert new_secret(b"\0" * 24) == "whsec_" + "A" * 32
    assert base64.b64decode(new_secret(bytes(range(64))).removeprefix("whsec_")) == bytes(range(64))
    for length in (23, 65):
        with pytest.raises(AssertionError):
            new_secret(bytes(length))


@pytest.mark.parametrize(
    ("status", "error", "ok", "gone"),
    [
        ("200 OK", None, True, False),
        ("202 Accepted", None, True, False),
        ("299 Odd", None, True, False),
        ("400 Bad Request", "answered 400", False, False),
        ("404 Not Found", "answered 404", False, False),
        ("410 Gone", "answered 410", False, True),
        ("429 Too Many Requests", "answered 429", False, False),
        ("500 Oh", "answered 500", False, False),
        ("503 Away", "answered 503", False, False),
    ],
)
async def test_status_is_the_answer(status: str, error: str | None, ok: bool, gone: bool) -> None:
    async with receiver(answer(status, body=b"not looked at")) as there:
        sent = await deliver(there.url())
    assert (sent.status_code, sent.error, sent.ok, sent.gone) == (int(status[:3]), error, ok, gone)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_redirect_is_not_followed(code: int) -> None:
    async with (
        receiver(answer("200 OK")) as inside,
        receiver(answer(f"{code} Elsewhere", f"location: {inside.url()}")) as there,
    ):
        sent = await deliver(there.url())
    assert (sent.status_code, sent.ok) == (code, False)
    assert sent.error == f"answered {code}; redirects are not followed, so give the URL it leads to"
    assert (len(there.received), inside.received) == (1, [])


async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


def then_hang(head: bytes) -> Answer:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        await hang(reader, writer)

    return say


def drip(head: bytes) -> Answer:
    async def say(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    return say


def flood(head: bytes) -> Answer:
    async def say(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(b"x-more: " + b"y" * 8000 + b"\r\n")
            await writer.drain()

    return say


def close(*said: bytes) -> Answer:
    async def say(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.writelines(said)

    return say


NOT_HTTP = "it closed the connection, or answered something that is not HTTP"
LATE = "no answer within 0.4 s"


@pytest.mark.parametrize(
    ("say", "error"),
    [
        (hang, LATE),
        (then_hang(b"HTTP/1.1 200 OK\r\n"), LATE),
        (then_hang(b"HTTP/1.1 103 Early Hints\r\n\r\n"), LATE),
        (drip(b"HTTP/1.1 200 OK\r\nx-slow: "), LATE),
        (flood(b"HTTP/1.1 200 OK\r\n"), NOT_HTTP),
        (flood(b""), NOT_HTTP),
        (close(), NOT_HTTP),
        (close(b"HTTP/1.1 200"), NOT_HTTP),
        (close(b"220 mail.example ESMTP\r\n"), NOT_HTTP),
        (close(b"\x16\x03\x01\0\0"), NOT_HTTP),
    ],
)
async def test_receiver_without_an_answer_costs_its_time_and_no_more(
    say: Answer, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "WITHIN_S", 0.4)
    began = time.monotonic()
    async with receiver(say) as there:
        sent = await deliver(there.url())
    assert (sent.status_code, sent.ok, sent.error) == (None, False, error)
    assert time.monotonic() - began < 2
    assert len(there.received) == 1


ENDLESS = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n"


@pytest.mark.parametrize("say", [then_hang(ENDLESS), drip(ENDLESS), flood(ENDLESS), close(ENDLESS)])
async def test_rest_of_an_answer_is_not_waited_for(say: Answer) -> None:
    began = time.monotonic()
    async with receiver(say) as there:
        sent = await deliver(there.url())
    assert (sent.status_code, sent.error) == (200, None)
    assert time.monotonic() - began < 1.5


async def test_compressed_answer_is_not_unpacked() -> None:
    async with receiver(answer("200 OK", "content-encoding: gzip", body=b"no gzip at all")) as there:
        assert (await deliver(there.url())).ok
    assert "accept-encoding" not in there.received[0].headers


async def test_cookies_are_not_kept() -> None:
    async with receiver(answer("200 OK", "set-cookie: a=b")) as there:
        await deliver(there.url())
        await deliver(there.url())
    assert ["cookie" in request.headers for request in there.received] == [False, False]


async def test_proxies_and_passwords_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with receiver(answer("200 OK")) as there:
        assert (await deliver(there.url())).ok
    assert "authorization" not in there.received[0].headers


async def test_port_where_nobody_listens_is_no_connection() -> None:
    async with receiver(answer("200 OK")) as there:
        pass
    assert (await deliver(there.url())).error == "no connection could be made"


async def test_url_is_checked_again_at_each_send(internet: Internet) -> None:
    internet.names["hooks.example"] = ["10.0.0.1"]
    sent = await deliver("https://hooks.example/", loopback=False)
    assert sent.error == (
        "this URL cannot be called: hooks.example has the address 10.0.0.1, which is not public; "
        "give one that everybody can reach"
    )
    async with receiver(answer("200 OK")) as there:
        sent = await deliver(there.url(), loopback=False)
        assert sent.error is not None
        assert "is the machine itself" in sent.error
    assert (there.received, internet.connected) == ([], [])


@pytest.mark.parametrize("inner", ["127.0.0.1", "::ffff:127.0.0.1", "10.0.0.1", "::1"])
async def test_name_that_leads_inside_is_not_connected_to(internet: Internet, inner: str) -> None:
    async with receiver(answer("200 OK")) as there:
        internet.names["inside.example"] = [inner]
        sent = await deliver(f"https://inside.example:{there.port}/", loopback=True)
    assert sent.status_code is None
    assert (there.received, internet.connected) == ([], [])


async def test_name_that_turns_inside_after_the_check_stays_outside(internet: Internet, authority: Authority) -> None:
    """The resolver is asked once a send; what was checked is connected to."""
    turning: Callable[[], list[str]] = iter([[PUBLIC], ["127.0.0.1"], ["127.0.0.1"]]).__next__
    internet.names["rebind.example"] = turning
    tls = authority.server("rebind.example")
    async with receiver(answer("200 OK"), tls) as outside, receiver(answer("200 OK"), tls) as inside:
        internet.behind[PUBLIC] = outside.port
        url = f"https://rebind.example:{inside.port}/"
        first = await deliver(url, loopback=False)
        second = await deliver(url, loopback=False)
    assert (first.status_code, second.status_code) == (200, None)
    assert (len(outside.received), inside.received) == (1, [])
    assert internet.asked == [("rebind.example", inside.port)] * 2
    assert internet.connected == [(PUBLIC, inside.port)]


async def test_certificate_is_checked_by_name_and_the_address_connected_to(
    internet: Internet, authority: Authority
) -> None:
    internet.names["hooks.example"] = [PUBLIC]
    async with receiver(answer("204 No Content"), authority.server("hooks.example")) as there:
        internet.behind[PUBLIC] = there.port
        sent = await deliver("https://hooks.example/in", loopback=False)
    assert (sent.status_code, sent.error) == (204, None)
    assert internet.connected == [(PUBLIC, 443)]
    assert there.server_name == "hooks.example"
    assert there.received[0].headers["host"] == "hooks.example"


async def test_address_in_a_certificate_is_checked_too(internet: Internet, authority: Authority) -> None:
    async with receiver(answer("204 No Content"), authority.server(PUBLIC)) as there:
        internet.behind |= {PUBLIC: there.port, OTHER: there.port}
        good = await deliver(f"https://{PUBLIC}/", loopback=False)
        bad = await deliver(f"https://{OTHER}/", loopback=False)
    assert good.ok
    assert bad.error == f"its certificate is not valid: IP address mismatch, certificate is not valid for '{OTHER}'."
    assert len(there.received) == 1


async def test_certificate_for_another_name_is_refused(internet: Internet, authority: Authority) -> None:
    internet.names["hooks.example"] = [PUBLIC]
    async with receiver(answer("200 OK"), authority.server("other.example", PUBLIC)) as there:
        internet.behind[PUBLIC] = there.port
        sent = await deliver("https://hooks.example/", loopback=False)
    assert sent.status_code is None
    assert sent.error == (
        "its certificate is not valid: Hostname mismatch, certificate is not valid for 'hooks.example'."
    )
    assert there.received == []


async def test_certificate_of_an_unknown_authority_is_refused(internet: Internet, authority: Authority) -> None:
    tls = authority.server("hooks.example")
    authority.forget()
    internet.names["hooks.example"] = [PUBLIC]
    async with receiver(answer("200 OK"), tls) as there:
        internet.behind[PUBLIC] = there.port
        sent = await deliver("https://hooks.example/", loopback=False)
    assert sent.error == "its certificate is not valid: unable to get local issuer certificate"
    assert there.received == []


async def test_receiver_that_speaks_no_tls_is_said(internet: Internet) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 plain\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        internet.names["plain.example"] = [PUBLIC]
        internet.behind[PUBLIC] = server.sockets[0].getsockname()[1]
        sent = await deliver("https://plain.example/", loopback=False)
    assert (sent.status_code, sent.error) == (None, "it does not speak TLS as we do")


async def test_next_address_is_tried_when_the_first_cannot_be_reached(internet: Internet, authority: Authority) -> None:
    internet.names["hooks.example"] = ["2606:2800:21f::1", OTHER, PUBLIC]
    async with receiver(answer("200 OK"), authority.server("hooks.example")) as there:
        internet.behind[PUBLIC] = there.port
        assert (await deliver("https://hooks.example/", loopback=False)).ok
    assert [host for host, _ in internet.connected] == ["2606:2800:21f::1", OTHER, PUBLIC]


async def test_message_that_was_sent_is_not_sent_to_the_next_address(internet: Internet, authority: Authority) -> None:
    internet.names["hooks.example"] = [PUBLIC, OTHER]
    async with receiver(close(), authority.server("hooks.example")) as there:
        internet.behind |= {PUBLIC: there.port, OTHER: there.port}
        sent = await deliver("https://hooks.example/", loopback=False)
    assert (sent.error, len(there.received)) == (NOT_HTTP, 1)


async def test_slow_resolver_is_within_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "WITHIN_S", 0.2)
    with silent_name_server(monkeypatch):
        assert (await deliver("https://slow.example/", loopback=False)).error == "no answer within 0.2 s"


async def test_nothing_of_a_message_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        async with receiver(answer("500 Oh")) as there:
            await deliver(there.url("/a-secret-path"))
    assert caplog.text == ""

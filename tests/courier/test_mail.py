"""E-mail on the wire: a real SMTP server, and what becomes of a message whatever that server does."""

import asyncio
import email
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope

from app.core.errors import InvalidInput
from app.courier import mail
from app.courier.sent import Sent
from tests.courier.internet import Authority, Internet

AT = datetime(2026, 3, 1, 14, 5, tzinfo=UTC)
PUBLIC = "93.184.216.34"


@dataclass
class Post:
    """What a mail server got, and what it says to addresses and messages."""

    port: int = 0
    to_address: str = "250 OK"
    to_message: str = "250 taken over"
    to_leaving: str = "221 bye"
    envelopes: list[Envelope] = field(default_factory=list)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)
    secure: list[bool] = field(default_factory=list)

    async def handle_RCPT(self, server: Any, _: Any, envelope: Envelope, address: str, __: Any) -> str:
        self.secure.append(server.transport.get_extra_info("ssl_object") is not None)
        envelope.rcpt_tos.append(address)
        return self.to_address

    async def handle_DATA(self, _: Any, __: Any, envelope: Envelope) -> str:
        if self.to_message == "hang":
            await asyncio.sleep(60)
        if self.to_message.startswith("250"):
            self.envelopes.append(envelope)
        return self.to_message

    async def handle_QUIT(self, _: Any, __: Any, ___: Envelope) -> str:
        if self.to_leaving == "hang":
            await asyncio.sleep(60)
        return self.to_leaving

    def authenticate(self, _: Any, __: Any, ___: Any, ____: str, data: Any) -> AuthResult:
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"pa ss:word@", handled=False)

    def message(self) -> EmailMessage:
        """Return the one message."""
        [envelope] = self.envelopes
        assert isinstance(envelope.content, bytes)
        return email.message_from_bytes(envelope.content, policy=default)


@asynccontextmanager
async def post(tls: ssl.SSLContext | None = None, at_once: bool = False, **options: Any) -> AsyncIterator[Post]:
    """Run a mail server on a free loopback port: with STARTTLS, with TLS at once, or without."""
    found = Post()
    servers: list[SMTP] = []

    def serve() -> SMTP:
        offered = None if at_once else tls
        servers.append(
            SMTP(found, hostname="mail.test", tls_context=offered, authenticator=found.authenticate, **options)
        )
        return servers[-1]

    loop = asyncio.get_running_loop()
    server = await loop.create_server(serve, "127.0.0.1", 0, ssl=tls if at_once else None)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        for one in servers:
            if one.transport is not None:
                one.transport.close()
        await asyncio.sleep(0.01)  # the server's own tasks end when they see that


async def write(url: str, **given: str) -> Sent:
    message = {"to": "bob@example.com", "subject": "Gold has left its band", "text": "It did.\n", **given}
    return await mail.send(url, sender="alerts@steelyard.example", message_id="dl_01jd8y3k6v", at=AT, **message)


async def test_message_arrives_as_it_was_written() -> None:
    text = "Ünïcode, 3 € over.\n.\n..two dots\nFrom here on\n" + "long " * 400 + "\n"
    async with post() as there:
        sent = await write(f"smtp://127.0.0.1:{there.port}", text=text, subject="Größer als 5 % " + "und mehr " * 30)
        message = there.message()
        [envelope] = there.envelopes
    assert (sent.status_code, sent.error, sent.ok, sent.gone) == (250, None, True, False)
    assert (envelope.mail_from, envelope.rcpt_tos) == ("alerts@steelyard.example", ["bob@example.com"])
    assert dict(message.items()) == {
        "From": "alerts@steelyard.example",
        "To": "bob@example.com",
        "Subject": ("Größer als 5 % " + "und mehr " * 30)[:200].strip(),
        "Date": "Sun, 01 Mar 2026 14:05:00 +0000",
        "Message-ID": "<dl_01jd8y3k6v@steelyard.example>",
        "Auto-Submitted": "auto-generated",
        "Content-Type": 'text/plain; charset="utf-8"',
        "Content-Transfer-Encoding": "quoted-printable",
        "MIME-Version": "1.0",
        **{name: value for name, value in message.items() if name.startswith("X-")},
    }
    assert message.get_content().replace("\r\n", "\n") == text
    assert isinstance(envelope.content, bytes)
    assert max(map(len, envelope.content.splitlines())) <= 78


@pytest.mark.parametrize("evil", ["a\r\nBcc: eve@example.com", "a\nBcc: eve@example.com", "a\r\n\r\nbody", "a\0b\x85c"])
async def test_subject_cannot_become_a_header_or_a_body(evil: str) -> None:
    async with post() as there:
        assert (await write(f"smtp://127.0.0.1:{there.port}", subject=evil)).ok
        message = there.message()
    assert message["Bcc"] is None
    assert message["Subject"] == " ".join(evil.replace("\0", " ").replace("\x85", " ").split())
    assert message.get_content().replace("\r\n", "\n") == "It did.\n"
    assert there.envelopes[0].rcpt_tos == ["bob@example.com"]


@pytest.mark.parametrize(
    ("to_address", "to_message", "code", "error"),
    [
        ("450 4.2.1 try later", "250 OK", 450, "the mail server answered 450 4.2.1 try later"),
        ("550 5.1.1 nobody here", "250 OK", 550, "the mail server answered 550 5.1.1 nobody here"),
        ("250 OK", "451 4.3.0 disk\x07 full", 451, "the mail server answered 451 4.3.0 disk full"),
        ("250 OK", "554 5.7.1 " + "spam " * 80, 554, "the mail server answered 554 " + ("5.7.1 " + "spam " * 80)[:200]),
        ("421 4.3.2 closing", "250 OK", 421, "the mail server answered 421 4.3.2 closing"),
    ],
)
async def test_refusal_is_the_servers_code_and_words(to_address: str, to_message: str, code: int, error: str) -> None:
    async with post() as there:
        there.to_address, there.to_message = to_address, to_message
        sent = await write(f"smtp://127.0.0.1:{there.port}")
    assert (sent.status_code, sent.ok, sent.error) == (code, False, error.strip())
    assert there.envelopes == []


async def test_server_that_hangs_costs_its_time_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "WITHIN_S", 0.3)
    began = time.monotonic()
    async with post() as there:
        there.to_message = "hang"
        sent = await write(f"smtp://127.0.0.1:{there.port}")
    assert (sent.status_code, sent.error) == (None, "no answer of the mail server within 0.3 s")
    assert time.monotonic() - began < 2


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


def saying(*lines: bytes, hang: bool) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.writelines(lines)
        if hang:
            await reader.read()
        writer.close()

    return handle


@pytest.mark.parametrize(
    ("handle", "error"),
    [
        (saying(hang=True), "no answer of the mail server within 0.3 s"),
        (saying(b"220-mail.test\r\n", hang=True), "no answer of the mail server within 0.3 s"),
        (saying(b"220 mail.test\r\n", hang=True), "no answer of the mail server within 0.3 s"),
        (saying(hang=False), "the mail server cannot be used: "),
        (saying(b"HTTP/1.1 400 Bad\r\n\r\n", hang=False), "the mail server cannot be used: "),
        (saying(b"554 go away\r\n", hang=False), "the mail server answered 554 go away"),
    ],
)
async def test_server_without_a_greeting_is_no_answer(
    handle: Handler, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail, "WITHIN_S", 0.3)
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        sent = await write(f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await asyncio.sleep(0.01)
    assert not sent.ok
    assert sent.error is not None
    assert sent.error.startswith(error)


async def test_server_that_does_not_say_good_bye_has_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "LEAVE_S", 0.1)
    async with post() as there:
        there.to_leaving = "hang"
        sent = await write(f"smtp://127.0.0.1:{there.port}")
        assert (sent.status_code, len(there.envelopes)) == (250, 1)


async def test_server_that_is_away_is_said() -> None:
    async with post() as there:
        pass
    sent = await write(f"smtp://127.0.0.1:{there.port}")
    assert sent.status_code is None
    assert sent.error is not None
    assert sent.error.startswith("the mail server cannot be used: ")


async def test_server_is_greeted_and_logged_in_to_without_a_message() -> None:
    sender = "alerts@steelyard.example"
    async with post(auth_require_tls=False) as there:
        good = await mail.reach(f"smtp://bob:pa%20ss%3Aword%40@127.0.0.1:{there.port}", sender)
        bad = await mail.reach(f"smtp://bob:wrong@127.0.0.1:{there.port}", sender)
    assert (good.ok, good.error) == (True, None)
    assert (bad.status_code, bad.error) == (
        535,
        "the mail server answered 535 5.7.8 Authentication credentials invalid",
    )
    assert there.envelopes == []
    assert there.logins[0] == (b"bob", b"pa ss:word@")


async def test_login_is_with_the_name_and_password_of_the_url() -> None:
    async with post(auth_require_tls=False) as there:
        assert (await write(f"smtp://bob%40x:pa%20ss%3Aword%40@127.0.0.1:{there.port}")).ok
        bad = await write(f"smtp://bob:wrong@127.0.0.1:{there.port}")
    assert there.logins[0] == (b"bob@x", b"pa ss:word@")
    assert (bad.status_code, bad.error) == (
        535,
        "the mail server answered 535 5.7.8 Authentication credentials invalid",
    )


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_mail_goes_over_tls_with_a_valid_certificate(
    scheme: str, internet: Internet, authority: Authority
) -> None:
    async with post(authority.server("mail.example"), at_once=scheme == "smtps", auth_require_tls=False) as there:
        internet.behind["mail.example"] = there.port
        sent = await write(f"{scheme}://bob:pa%20ss%3Aword%40@mail.example")
    assert sent.ok, sent
    assert there.secure == [True]
    assert internet.connected == [("mail.example", {"smtp": 587, "smtps": 465}[scheme])]


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_server_with_a_certificate_for_another_name_gets_nothing(
    scheme: str, internet: Internet, authority: Authority
) -> None:
    async with post(authority.server("other.example"), at_once=scheme == "smtps", auth_require_tls=False) as there:
        internet.behind["mail.example"] = there.port
        sent = await write(f"{scheme}://bob:pa%20ss%3Aword%40@mail.example")
    assert sent.error is not None
    assert "certificate is not valid for 'mail.example'" in sent.error
    assert (there.logins, there.envelopes, there.secure) == ([], [], [])


async def test_server_elsewhere_that_offers_no_tls_gets_nothing(internet: Internet) -> None:
    async with post(auth_require_tls=False) as there:
        internet.behind["mail.example"] = there.port
        sent = await write("smtp://bob:pa%20ss%3Aword%40@mail.example:25")
    assert sent.error == "the mail server cannot be used: SMTP STARTTLS extension not supported by server."
    assert (there.logins, there.envelopes) == ([], [])


async def test_tls_of_a_server_on_this_machine_is_used_when_offered(authority: Authority) -> None:
    tls = authority.server("snakeoil.test")
    async with post(tls) as there:
        assert (await write(f"smtp://127.0.0.1:{there.port}")).ok
    assert there.secure == [True]


ADDRESSES = [
    "",
    "alice",
    "@example.com",
    "alice@",
    "alice@example",
    "alice@@example.com",
    "alice@bob@example.com",
    "alice@example.com, bob@example.com",
    "alice@example.com;bob@example.com",
    "alice@example.com bob@example.com",
    " alice@example.com",
    "alice@example.com\n",
    "alice@example.com\r\nBcc: eve@example.com",
    "Alice <alice@example.com>",
    "<alice@example.com>",
    "alice(comment)@example.com",
    '"alice"@example.com',
    '"a\r\nb"@example.com',
    ".alice@example.com",
    "alice.@example.com",
    "al..ice@example.com",
    "al ice@example.com",
    "al\\ice@example.com",
    "älice@example.com",
    "alice@exämple.com",
    "alice@example。com",
    "alice@example..com",
    "alice@.example.com",
    "alice@example.com.",
    "alice@-example.com",
    "alice@exa_mple.com",
    "alice@[127.0.0.1]",
    "alice@127.0.0.1",
    "alice%40example.com",
    "alice@example.com\0",
    f"{'a' * 65}@example.com",
    f"alice@{'a' * 64}.com",
    f"alice@{'abcd.' * 50}com",
]


@pytest.mark.parametrize("text", ADDRESSES, ids=[ascii(text)[:50] for text in ADDRESSES])
def test_what_is_not_one_plain_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        mail.check_address(text)
    assert refused.value.path == ("address",)
    assert refused.value.message.isprintable()


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("alice@example.com", "alice@example.com"),
        ("Alice.B+drift@Mail.Example.COM", "Alice.B+drift@mail.example.com"),
        ("o'brien_{x}!#$%&*/=?^`|~-@x.co", "o'brien_{x}!#$%&*/=?^`|~-@x.co"),
        ("a@xn--bcher-kva.example", "a@xn--bcher-kva.example"),
        (f"{'a' * 64}@example.com", f"{'a' * 64}@example.com"),
    ],
)
def test_plain_address_is_kept_with_its_domain_in_small_letters(text: str, normal: str) -> None:
    assert mail.check_address(text) == normal


FORM = f"; write {mail.URL_FORM}"


@pytest.mark.parametrize(
    ("url", "sender", "message"),
    [
        ("http://secret@mail.example", "a@b.example", f"STEELYARD_SMTP_URL does not name a mail server{FORM}"),
        ("mail.example:25", "a@b.example", f"STEELYARD_SMTP_URL does not name a mail server{FORM}"),
        ("smtp://", "a@b.example", f"STEELYARD_SMTP_URL does not name a mail server{FORM}"),
        ("smtp://u:secret@mail.example:x", "a@b.example", f"STEELYARD_SMTP_URL cannot be read{FORM}"),
        ("smtp://u:secret@mail.example:0", "a@b.example", f"STEELYARD_SMTP_URL says more than host and port{FORM}"),
        ("smtp://mail.example/x?tls=no", "a@b.example", f"STEELYARD_SMTP_URL says more than host and port{FORM}"),
        (
            "smtp://mail.example",
            "",
            "STEELYARD_MAIL_FROM is not set; set it to the address that e-mail comes from",
        ),
        (
            "smtp://mail.example",
            "Steelyard",
            "STEELYARD_MAIL_FROM: 'Steelyard' is no e-mail address; give one, in ASCII and without a name, "
            "like alice@example.com",
        ),
    ],
)
def test_settings_that_cannot_send_are_told_apart_without_the_password(url: str, sender: str, message: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        mail.check(url, sender)
    assert refused.value.message == message


def test_settings_that_can_send_pass() -> None:
    mail.check("", "")
    mail.check("smtps://u:p@mail.example", "a@b.example")
    server = mail.server_of("smtp://u%40x:p%2F@[2606:2800:21f::1]:2525/")
    assert (server.host, server.port, server.username, server.password) == ("2606:2800:21f::1", 2525, "u@x", "p/")
    assert "p/" not in repr(server)

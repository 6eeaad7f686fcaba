"""E-mail: one plain message to one address, through the mail server that the settings name."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from email.utils import format_datetime
from typing import Final, NoReturn
from urllib.parse import unquote, urlsplit

import aiosmtplib

from app.core.errors import InvalidInput, Required
from app.courier.sent import Sent

WITHIN_S: Final = 10.0
"""All of one message: mail servers take their time to greet."""
LEAVE_S: Final = 1.0
ADDRESS_LENGTH_MAX: Final = 254
SUBJECT_LENGTH_MAX: Final = 200
ANSWER_LENGTH_MAX: Final = 200
PORTS: Final = {"smtp": 587, "smtps": 465}
URL_FORM: Final = "smtp://user:password@host:port, or smtps:// where the server speaks TLS from the start"

# A dot-atom of at most 64 characters, and a name of at least two labels: no quotes, comments, names or literals.
_ADDRESS = re.compile(
    r"(?=[^@]{1,64}@)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])"
)
_MESSAGE_ID = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Server:
    """A mail server, as its URL names it."""

    host: str
    port: int
    tls_at_once: bool
    username: str | None
    password: str | None = field(repr=False)

    @property
    def on_loopback(self) -> bool:
        return self.host in ("localhost", "::1") or self.host.startswith("127.")


def check_address(text: str) -> str:
    """Return one address with its domain in small letters, or raise InvalidInput that says what it must be."""
    if len(text) > ADDRESS_LENGTH_MAX:
        raise InvalidInput(f"the address has {len(text)} characters; it may have {ADDRESS_LENGTH_MAX}", ["address"])
    if not _ADDRESS.fullmatch(text):
        raise InvalidInput(
            f"{text!a} is no e-mail address; give one, in ASCII and without a name, like alice@example.com", ["address"]
        )
    local, _, domain = text.rpartition("@")
    return f"{local}@{domain.lower()}"


def check(smtp_url: str, sender: str) -> None:
    """Raise, naming the setting and what to do, unless e-mail is off or can be sent with these settings."""
    if not smtp_url:
        return
    server_of(smtp_url)
    if not sender:
        raise Required("STEELYARD_MAIL_FROM is not set; set it to the address that e-mail comes from")
    try:
        check_address(sender)
    except InvalidInput as error:
        raise InvalidInput(f"STEELYARD_MAIL_FROM: {error.message}") from None


def server_of(smtp_url: str) -> Server:
    """Read the URL of a mail server. What is wrong is said without the URL: a password may stand in it."""
    try:
        parts = urlsplit(smtp_url)
        port = parts.port
    except ValueError:
        _refuse_url("cannot be read")
    if parts.scheme not in PORTS or not parts.hostname:
        _refuse_url("does not name a mail server")
    if port == 0 or parts.path not in ("", "/") or parts.query or parts.fragment:
        _refuse_url("says more than host and port")
    username, password = (None if part is None else unquote(part) for part in (parts.username, parts.password))
    return Server(parts.hostname, port or PORTS[parts.scheme], parts.scheme == "smtps", username, password)


def _refuse_url(why: str) -> NoReturn:
    raise InvalidInput(f"STEELYARD_SMTP_URL {why}; write {URL_FORM}")


async def send(smtp_url: str, *, sender: str, to: str, subject: str, text: str, message_id: str, at: datetime) -> Sent:
    """Send one message and return the server's reply code: 250 when it took the message over.

    Except on loopback, nothing is said to a server that offers no TLS or has no valid certificate.
    """
    message = _message(sender=sender, to=to, subject=subject, text=text, message_id=message_id, at=at)
    return await _talk(smtp_url, sender, lambda client: client.sendmail(sender, [to], message))


async def reach(smtp_url: str, sender: str) -> Sent:
    """Greet the server and log in as for a message, and leave again."""
    return await _talk(smtp_url, sender, lambda client: client.noop())


async def _talk(smtp_url: str, sender: str, say: Callable[[aiosmtplib.SMTP], Awaitable[object]]) -> Sent:
    server = server_of(smtp_url)
    began = time.monotonic()

    def sent(code: int | None, error: str | None) -> Sent:
        return Sent(code, round((time.monotonic() - began) * 1000), error)

    client = aiosmtplib.SMTP(
        hostname=server.host,
        port=server.port,
        username=server.username,
        password=server.password,
        use_tls=server.tls_at_once,
        start_tls=None if server.on_loopback or server.tls_at_once else True,
        validate_certs=not server.on_loopback,  # nobody is in between, and such servers sign for themselves
        local_hostname=sender.rpartition("@")[2],
        timeout=WITHIN_S,
    )
    try:
        async with asyncio.timeout(WITHIN_S):
            await client.connect()
            await say(client)
    except aiosmtplib.SMTPRecipientsRefused as error:
        [refused] = error.recipients
        return sent(refused.code, _answer(refused.code, refused.message))
    except aiosmtplib.SMTPResponseException as error:
        spoken = error.code > 0  # the library's -1 is for what is no reply of SMTP
        return sent(error.code if spoken else None, _answer(error.code, error.message) if spoken else _unusable(error))
    except (TimeoutError, aiosmtplib.SMTPTimeoutError):
        return sent(None, f"no answer of the mail server within {WITHIN_S:g} s")
    except (aiosmtplib.SMTPException, OSError) as error:
        return sent(None, _unusable(error))
    else:
        taken_over = sent(aiosmtplib.SMTPStatus.completed, None)
        with suppress(aiosmtplib.SMTPException, OSError):  # what goes wrong after that changes nothing
            await client.quit(timeout=LEAVE_S)
        return taken_over
    finally:
        client.close()


def _message(*, sender: str, to: str, subject: str, text: str, message_id: str, at: datetime) -> bytes:
    """Write the message. Line breaks cannot get into a header: the subject is one line by then."""
    assert _MESSAGE_ID.fullmatch(message_id), message_id
    message = EmailMessage(policy=WIRE)
    message["From"] = check_address(sender)
    message["To"] = check_address(to)
    message["Subject"] = _line(subject)[:SUBJECT_LENGTH_MAX]
    message["Date"] = format_datetime(at)
    message["Message-ID"] = f"<{message_id}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # asks machines, such as those on holiday, not to answer
    message.set_content(text, charset="utf-8", cte="quoted-printable")
    return message.as_bytes()


def _line(text: str) -> str:
    """Return a text as one line: what a terminal or a header would take for more becomes a space."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def _answer(code: int, message: str) -> str:
    return f"the mail server answered {code} {_line(message)[:ANSWER_LENGTH_MAX]}".rstrip()


def _unusable(error: Exception) -> str:
    return f"the mail server cannot be used: {_line(str(error))[:ANSWER_LENGTH_MAX]}"

"""E-mail: one plain text at a time, over SMTP."""

import re
import time
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final
from urllib.parse import unquote, urlsplit

import aiosmtplib

from app.core.errors import InvalidInput
from app.courier.sent import Sent as Sent

WITHIN_S: Final = 10.0
_ADDRESS: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}"
)


def check_address(text: str) -> str:
    """Return an address that mail can be sent to, or raise InvalidInput."""
    if len(text) > 254 or not _ADDRESS.fullmatch(text):
        raise InvalidInput("this is no e-mail address such as name@example.com", ["address"])
    return text


async def send(smtp_url: str, *, sender: str, to: str, subject: str, text: str, message_id: str, at: datetime) -> Sent:
    """Send one message; whatever the server does, an answer comes within seconds."""
    parts = urlsplit(smtp_url)
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, to, subject
    message["Message-ID"] = f"<{message_id}@{sender.rpartition('@')[2]}>"
    message["Date"] = format_datetime(at)
    message.set_content(text)
    began = time.monotonic()

    def sent(code: int | None, error: str | None) -> Sent:
        return Sent(code, round((time.monotonic() - began) * 1000), error)

    try:
        await aiosmtplib.send(
            message,
            hostname=parts.hostname,
            port=parts.port,
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            use_tls=parts.scheme == "smtps",
            timeout=WITHIN_S,
        )
    except aiosmtplib.SMTPResponseException as error:
        return sent(error.code, f"the mail server answered {error.code}")
    except (aiosmtplib.SMTPException, OSError) as error:
        return sent(None, f"the mail server could not be reached: {type(error).__name__}")
    return sent(250, None)

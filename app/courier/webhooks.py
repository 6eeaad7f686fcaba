"""Webhooks: signed as the Standard Webhooks specification says, and sent to public addresses only."""

import asyncio
import base64
import ssl
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from typing import Final

import httpx2
from standardwebhooks import Webhook, WebhookVerificationError

from app.core.errors import InvalidInput
from app.courier import wall
from app.courier.sent import Sent as Sent

WITHIN_S: Final = 5.0
"""From the first question to the resolver to the status line of the answer."""
CONNECT_S: Final = 2.0
"""To one address, so that there is time for the next."""
REST_S: Final = 0.5
"""How long the rest of an answer is waited for, out of politeness: a receiver may still be writing."""
REST_MAX: Final = 1024
SECRET_BYTES: Final = (24, 64)
USER_AGENT: Final = f"Steelyard/{version('steelyard')}"


def new_secret(random: bytes) -> str:
    """Return a signing secret made of 24 to 64 random bytes."""
    assert SECRET_BYTES[0] <= len(random) <= SECRET_BYTES[1]
    return f"whsec_{base64.b64encode(random).decode()}"


def signed_headers(message_id: str, at: datetime, secrets: Sequence[str], body: bytes) -> dict[str, str]:
    """Return the headers that prove a message: one signature for each secret, so that both hold during a rotation."""
    instant = at.astimezone(UTC)
    signatures = [Webhook(secret).sign(message_id, instant, body.decode()) for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(instant.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def untrue(headers: Mapping[str, str], body: bytes, secret: str) -> str | None:
    """Return why a message that was received is not one signed with `secret`, None when it is."""
    try:
        Webhook(secret).verify(body, dict(headers), json_parse=False)
    except WebhookVerificationError as error:
        return str(error)
    except ValueError:  # what the library finds when a signature or the body is no text that it expects
        return "Malformed signature or body"
    return None


def check_secret(secret: str) -> str:
    """Return a signing secret, or raise InvalidInput that does not repeat it."""
    try:
        length = len(base64.b64decode(secret.removeprefix("whsec_"), validate=True))
    except ValueError:
        length = 0
    if not secret.startswith("whsec_") or not SECRET_BYTES[0] <= length <= SECRET_BYTES[1]:
        raise InvalidInput("a webhook's secret reads whsec_... as it was shown when the webhook was made", ["secret"])
    return secret


async def send(url: str, *, message_id: str, at: datetime, secrets: Sequence[str], body: bytes, loopback: bool) -> Sent:
    """Send one message to a URL; `body` is UTF-8 JSON. Whatever the receiver does, an answer comes within seconds.

    The addresses of the host are checked again, redirects are not followed, and what the answer says is not looked at.
    """
    headers = {
        "user-agent": USER_AGENT,
        "content-type": "application/json",
        "accept": "*/*",
        "connection": "close",
        **signed_headers(message_id, at, secrets, body),
    }
    began = time.monotonic()

    def sent(status_code: int | None, error: str | None) -> Sent:
        return Sent(status_code, round((time.monotonic() - began) * 1000), error)

    try:
        async with asyncio.timeout(WITHIN_S):
            place = wall.check_place(url, loopback=loopback)
            addresses = await wall.addresses_of(place)
            status_code = await _post(place, addresses, headers, body)
    except InvalidInput as error:
        return sent(None, error.message)
    except (TimeoutError, httpx2.TimeoutException):
        return sent(None, f"no answer within {WITHIN_S:g} s")
    except (httpx2.TransportError, OSError) as error:
        return sent(None, _trouble(error))
    return sent(status_code, _refusal(status_code))


async def _post(place: wall.Place, addresses: Sequence[str], headers: dict[str, str], body: bytes) -> int:
    """Return the status of the answer. The next address is tried only while nothing was sent."""
    for address in addresses[:-1]:
        with suppress(httpx2.ConnectError, httpx2.ConnectTimeout):
            return await _post_to(place, address, headers, body)
    return await _post_to(place, addresses[-1], headers, body)


async def _post_to(place: wall.Place, address: str, headers: dict[str, str], body: bytes) -> int:
    """Post to one address. The name is only said: to the server, and to the certificate."""
    request = httpx2.Request(
        "POST",
        httpx2.URL(scheme=place.scheme, host=address, port=place.port, raw_path=place.target.encode()),
        headers={"host": place.authority, **headers},
        content=body,
        extensions={"sni_hostname": place.host.strip("[]"), "timeout": {"connect": CONNECT_S}},
    )
    # A transport rather than a client: no redirects, no cookies, no proxies of the environment, no log of the URL, and
    # a connection that nobody else's message goes through.
    async with httpx2.AsyncHTTPTransport(verify=_tls()) as transport:
        response = await transport.handle_async_request(request)
        with suppress(TimeoutError, httpx2.TransportError):
            async with asyncio.timeout(REST_S):
                await _let_finish(response)
        return response.status_code


async def _let_finish(response: httpx2.Response) -> None:
    received = 0
    async for chunk in response.aiter_raw():
        received += len(chunk)
        if received > REST_MAX:
            return


@cache
def _tls() -> ssl.SSLContext:
    """Trust what the machine trusts; reading that takes some milliseconds, so once."""
    return ssl.create_default_context()


def _refusal(status_code: int) -> str | None:
    if 200 <= status_code < 300:
        return None
    if 300 <= status_code < 400:
        return f"answered {status_code}; redirects are not followed, so give the URL it leads to"
    return f"answered {status_code}"


def _trouble(error: Exception) -> str:
    """Say in one sentence why there was no answer."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not valid: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return "it does not speak TLS as we do"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx2.ConnectError | OSError):
        return "no connection could be made"
    if isinstance(error, httpx2.ProtocolError):
        return "it closed the connection, or answered something that is not HTTP"
    return "the connection was lost before the answer"

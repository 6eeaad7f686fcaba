"""`steelyard receive`: a receiver of webhooks for developers, on loopback: it verifies, prints, and keeps nothing."""

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import uvicorn
from rich.console import Console

from app.core.errors import Duplicate, InvalidInput, Required
from app.courier import webhooks
from app.terminal.client import one_line

HOST: Final = "127.0.0.1"
BODY_MAX: Final = 1_048_576
BODY_S: Final = 10.0
STOP_S: Final = 2

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret, and the word that its messages are marked with."""

    label: str
    secret: str = field(repr=False)


def read_secrets(text: str) -> tuple[Secret, ...]:
    """Read secrets written as whsec_... or label=whsec_..., with commas between them."""
    found = []
    for one in filter(None, map(str.strip, text.split(","))):
        label, separator, secret = ("", "=", one) if one.startswith("whsec_") else one.partition("=")
        found.append(Secret(label, webhooks.check_secret(secret if separator else one)))
    if not found:
        raise Required("which secret? give --secret whsec_... or set STEELYARD_WEBHOOK_SECRET", ["secret"])
    if len({one.secret for one in found}) != len(found):
        raise Duplicate("the same secret is given twice", ["secret"])
    return tuple(found)


class Receiver:
    """The application: one answer and one line for each request."""

    def __init__(self, secrets: Sequence[Secret], out: Console) -> None:
        self._secrets, self._out = secrets, out

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        status, line = await self._take(scope, receive)
        if line:
            self._out.print(one_line(line), highlight=False, soft_wrap=True)
        headers = [(b"content-length", b"0")] if status != 204 else []
        headers += [(b"allow", b"POST")] if status == 405 else []
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def _take(self, scope: Message, receive: Receive) -> tuple[int, str]:
        if scope["method"] != "POST":
            return 405, ""
        try:
            async with asyncio.timeout(BODY_S):
                body = await _body(receive)
        except TimeoutError:
            return 408, f"refused   the body did not come within {BODY_S:g} s"
        if body is None:
            return 413, f"refused   the body is larger than {BODY_MAX} bytes"
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        return self._judge(headers, body)

    def _judge(self, headers: dict[str, str], body: bytes) -> tuple[int, str]:
        reasons = []
        for secret in self._secrets:
            reason = webhooks.untrue(headers, body, secret.secret)
            if reason is None:
                return 204, "  ".join(["verified", *_told(headers, body, secret.label)])
            reasons.append(reason)
        return 401, f"refused   {headers.get('webhook-id', 'no webhook-id')}  {reasons[-1]}"


async def _body(receive: Receive) -> bytes | None:
    """Return the whole body, None when it is too large."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > BODY_MAX:
            return None
    return bytes(body)


def _told(headers: dict[str, str], body: bytes, label: str) -> list[str]:
    """Return what a line says of a message: its type, its id, whose it is, and its sentence if it has one."""
    try:
        message = json.loads(body)
    except ValueError:
        message = None
    event = message if isinstance(message, dict) else {}
    data = event.get("data")
    about = data if isinstance(data, dict) else {}
    words = [event.get("type", "no type"), headers["webhook-id"], label, about.get("severity"), about.get("message")]
    return [str(word) for word in words if word]


def receive(secrets: Sequence[Secret], port: int, out: Console) -> None:
    """Receive until stopped."""
    try:
        listening = socket.create_server((HOST, port))
    except OSError as error:
        raise InvalidInput(
            f"{HOST}:{port} is not free: {os.strerror(error.errno or 0)}; choose another with --port", ["port"]
        ) from None
    config = uvicorn.Config(
        Receiver(secrets, out),
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_S,
    )
    with listening:
        url = f"http://{HOST}:{listening.getsockname()[1]}/"
        out.print(f"Receiving webhooks at {url}; Ctrl-C stops it.", highlight=False, soft_wrap=True)
        uvicorn.Server(config).run(sockets=[listening])

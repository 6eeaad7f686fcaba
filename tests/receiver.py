"""A receiver of webhooks on this machine, which keeps what it gets and answers as a test wants it to."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from standardwebhooks import Webhook

from tests.support import until

Answer = int | Callable[[], Awaitable[int]]


@dataclass(frozen=True)
class Message:
    """One request as it came."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> dict[str, Any]:
        """The body."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    def verify(self, secret: str) -> None:
        """Check signature and age as the specification's own library does."""
        Webhook(secret).verify(self.body, self.headers)


@dataclass
class Receiver:
    """Answers `answers` in turn, then 204: a status, or a function that is waited for."""

    port: int = 0
    answers: list[Answer] = field(default_factory=list)
    received: list[Message] = field(default_factory=list)
    more: dict[str, str] = field(default_factory=dict)
    at_once: int = 0
    most_at_once: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def until(self, count: int) -> list[Message]:
        """Wait for `count` messages in all, and return them."""

        async def enough() -> bool:
            return len(self.received) >= count

        await until(enough)
        return self.received

    async def silence(self, for_s: float = 0.3) -> None:
        """Give what should not come the time to come."""
        before = len(self.received)
        await asyncio.sleep(for_s)
        assert len(self.received) == before

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            self.received.append(await _read(reader))
            answer = self.answers.pop(0) if self.answers else 204
            status = answer if isinstance(answer, int) else await answer()
            more = "".join(f"{name}: {value}\r\n" for name, value in self.more.items())
            writer.write(f"HTTP/1.1 {status} Any\r\ncontent-length: 0\r\n{more}connection: close\r\n\r\n".encode())
            with suppress(ConnectionError):
                await writer.drain()
        except asyncio.IncompleteReadError:
            pass  # it left
        finally:
            self.at_once -= 1
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Message:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head)}
    return Message(headers, await reader.readexactly(int(headers["content-length"])))


@asynccontextmanager
async def receiving(answers: Sequence[Answer] = ()) -> AsyncIterator[Receiver]:
    """Run a receiver on a free port of this machine."""
    receiver = Receiver(answers=list(answers))
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()

"""An internet on this machine: names and addresses of our choice, and real servers behind some of them.

Only the two calls that leave the machine are replaced, the resolver's `getaddrinfo` and the event loop's
`create_connection`, so all else, sockets and TLS included, is what it is in production.
"""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.context import wall_now

LOOPBACK: Final = ("127.0.0.1", "::1")


class Internet:
    """What names resolve to, and which local port answers for an address; others cannot be reached."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: dict[str, list[str] | Callable[[], list[str]]] = {}
        self.behind: dict[str, int] = {}
        self.asked: list[tuple[str, int]] = []
        self.connected: list[tuple[str, int]] = []
        loop = asyncio.get_running_loop()
        self._connect: Any = loop.create_connection
        monkeypatch.setattr(socket, "getaddrinfo", self._getaddrinfo)
        monkeypatch.setattr(loop, "create_connection", self._create_connection)

    def _getaddrinfo(self, host: str, port: int, **_: object) -> list[Any]:
        self.asked.append((host, port))
        if host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        found = self.names[host]
        addresses = found() if callable(found) else found
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    async def _create_connection(self, protocol: Any, host: str, port: int, **given: Any) -> Any:
        self.connected.append((host, port))
        if host in self.behind:
            if given.get("ssl"):
                given.setdefault("server_hostname", host)  # as the loop does itself
            host, port = "127.0.0.1", self.behind[host]
        else:
            assert str(ip_address(host)) == host, "a name is looked up once, and only what was found is connected to"
            if host not in LOOPBACK:
                raise OSError(101, "Network is unreachable")
        return await self._connect(protocol, host, port, **given)


@contextmanager
def silent_name_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the resolver wait for an answer, as long as this lasts."""
    over = threading.Event()

    def wait(*_: object, **__: object) -> list[Any]:
        over.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", wait)
    try:
        yield
    finally:
        over.set()


@dataclass(frozen=True)
class Received:
    """A request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Receiver:
    """A server that records what it gets and answers as it is told."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    server_name: str | None = None

    def url(self, path: str = "/hook", scheme: str = "http", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{host}:{self.port}{path}"


def answer(status: str, *headers: str, body: bytes = b"") -> Answer:
    """Answer a whole response."""

    async def write(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status}", *headers, f"content-length: {len(body)}", "", ""]
        writer.write("\r\n".join(lines).encode() + body)

    return write


@asynccontextmanager
async def receiver(say: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """Run a server on a free loopback port."""
    found = Receiver()
    running: set[asyncio.Task[None]] = set()

    def remember(_: object, name: str, __: object) -> None:
        found.server_name = name

    if tls is not None:
        tls.sni_callback = remember

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                found.received.append(await _read(reader))
                await say(reader, writer)
                await writer.drain()
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def start(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.add(asyncio.create_task(handle(reader, writer)))

    server = await asyncio.start_server(start, "127.0.0.1", 0, ssl=tls)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    line, *fields = head.split("\r\n")[:-2]
    pairs = [field.split(": ", 1) for field in fields]
    headers = {name.lower(): value for name, value in pairs}
    assert len(headers) == len(pairs), "no header twice"
    return Received(line, headers, await reader.readexactly(int(headers["content-length"])))


class Authority:
    """Signs certificates that are good for an hour."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Authority of {folder.name}")])
        certificate = self._sign(self._name, self._key, x509.BasicConstraints(ca=True, path_length=0))
        self.file = folder / "authority.pem"
        self.file.write_bytes(certificate)

    def forget(self) -> None:
        """Let the machine trust another authority in its place."""
        self.file.write_bytes(Authority(self._folder.with_name("other")).file.read_bytes())

    def server(self, *names: str) -> ssl.SSLContext:
        """Return what a server needs that is called by these names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        found = [_general_name(name) for name in names]
        certificate = self._sign(subject, key, x509.SubjectAlternativeName(found))
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file = self._folder / f"{names[0].replace(':', '_')}.pem"
        file.write_bytes(certificate + private)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType) -> bytes:
        now = wall_now()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
            .sign(self._key, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM)
        )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)

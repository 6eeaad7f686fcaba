"""Bringing it up: servers, schema, API and workers under one supervisor, in order, and down again in reverse."""

import asyncio
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import httpx2
import uvicorn
from rich.console import Console

from app import logs
from app.actions import demo as demo_actions
from app.actions import demo_portfolios
from app.api import auth
from app.context import on_thread, open_services, require_servers, wall_now
from app.core.errors import InvalidInput, SteelyardError
from app.courier import mail
from app.embedded import Endpoints, Servers
from app.settings import Settings
from app.store import db
from app.supervise import Children

LOOK_S: Final = 0.3
READY_S: Final = 60.0
TOKEN_S: Final = 86_400
DEMO_WINDOW_S: Final = "0.2"  # a session of the US exchanges takes 1.35 seconds there


def serve(settings: Settings) -> None:
    """Run the API in this process until it is told to stop."""
    logs.configure(settings)
    _check(settings)
    require_servers(settings)
    _require_port(settings)
    # The application reads the settings anew, so what was given on the command line goes by the environment.
    os.environ["STEELYARD_PORT"] = str(settings.port)
    uvicorn.run(
        "app.main:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        http="httptools",
        loop="uvloop",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_max_size=65_536,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.stop_timeout_s,
    )


def worker(settings: Settings, queue: str) -> None:
    """Become a worker process, which reads the settings anew."""
    require_servers(settings)
    os.execv(sys.executable, [sys.executable, "-m", "workers", "--queue", queue])  # noqa: S606


def up(settings: Settings, out: Console) -> None:
    """Run API and workers on the configured or embedded servers until Ctrl-C."""
    _check(settings)
    _require_port(settings)
    with Servers(settings) as servers:
        endpoints = servers.endpoints
        asyncio.run(db.migrate(endpoints.migrate_database_url))
        with _children(settings, endpoints, {}) as children:
            _start(children, settings)
            out.print(f"Steelyard is at {_url(settings)}; Ctrl-C stops it.")
            _watch(servers, children, out)


def demo(settings: Settings, out: Console) -> None:
    """Run everything on demo data until Ctrl-C."""
    _require_port(settings)
    simulated = {"jwt_secret": secrets.token_hex(32), "scan_period_s": 86_400, "webhook_loopback": True}
    settings = settings.model_copy(update=simulated)
    receiver_port = _free_port()
    data = settings.data_dir / "demo-prices"
    out.print("Starting PostgreSQL and Valkey ...")
    with Servers(settings) as servers:
        endpoints = servers.endpoints
        asyncio.run(db.migrate(endpoints.migrate_database_url))
        settings = settings.model_copy(
            update={"database_url": endpoints.database_url, "redis_url": endpoints.redis_url}
        )
        out.print("Bringing real prices and the demo's owners ...")
        prepared = asyncio.run(
            _prepare(settings, data, f"http://127.0.0.1:{receiver_port}{demo_actions.RECEIVER_PATH}")
        )
        private = {"STEELYARD_DEMO": "true", "STEELYARD_JWT_SECRET": settings.jwt_secret}
        private |= {"STEELYARD_SCAN_PERIOD_S": str(settings.scan_period_s)}
        private |= {"STEELYARD_WEBHOOK_LOOPBACK": "true", "STEELYARD_BLOCK_WINDOW_S": DEMO_WINDOW_S}
        private |= {"STEELYARD_WEBHOOK_SECRET": ",".join(f"{name}={key}" for name, key in prepared.secrets.items())}
        private |= {"STEELYARD_TOKEN": _token(settings, demo_portfolios.WORKED[0])}
        with _children(settings, endpoints, private) as children:
            children.start("receiver", "-m", "app", "receive", "--port", str(receiver_port))
            _start(children, settings)
            children.start("replay", "-m", "app", "replay-prices", str(data))
            _wait_until_ready(settings)
            children.start("desk", "-m", "app", "desk", prepared.worked, "--url", _url(settings))
            _introduce(settings, prepared.firsts, out)
            _watch(servers, children, out)


async def _prepare(settings: Settings, data: Path, receiver_url: str) -> demo_actions.Prepared:
    async with open_services(settings, on_thread) as services:
        return await demo_actions.prepare(services, data, receiver_url)


@contextmanager
def _children(settings: Settings, endpoints: Endpoints, private: dict[str, str]) -> Iterator[Children]:
    environment = {
        "DATABASE_URL": endpoints.database_url,
        "REDIS_URL": endpoints.redis_url,
        "STEELYARD_PORT": str(settings.port),
        "STEELYARD_LOG_FORMAT": settings.log_format,
        "STEELYARD_LOG_LEVEL": settings.log_level,
        **private,
    }
    children = Children(environment, settings.stop_timeout_s)
    try:
        yield children
    finally:
        children.stop()


def _start(children: Children, settings: Settings) -> None:
    children.start("api", "-m", "app", "serve")
    children.start("workers", "-m", "workers", "--queue", "all")


def _watch(servers: Servers, children: Children, out: Console) -> None:
    """Bring back what dies, until Ctrl-C or SIGTERM. A server that died comes before the children that need it."""
    stop = _StopSignal()
    while not stop.told:
        for name in [*servers.revive(), *children.revive()]:
            out.print(f"{name} died and was started again.")
        time.sleep(LOOK_S)
    servers.leave()
    out.print("Stopping ...")


class _StopSignal:
    """Remembers that somebody asked us to stop."""

    def __init__(self) -> None:
        self.told = False
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, self._tell)

    def _tell(self, _number: int, _frame: FrameType | None) -> None:
        self.told = True


def _check(settings: Settings) -> None:
    """Refuse to start where tokens cannot be trusted or e-mail cannot be sent as it is set."""
    auth.check(settings)
    mail.check(settings.smtp_url, settings.mail_from)


def _require_port(settings: Settings) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise InvalidInput(
                f"{settings.host}:{settings.port} is not free: {error.strerror}; choose another with --port", ["port"]
            ) from None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _url(settings: Settings) -> str:
    return f"http://{settings.host}:{settings.port}"


def _wait_until_ready(settings: Settings) -> None:
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        try:
            if httpx2.get(f"{_url(settings)}/readyz", timeout=1, trust_env=False).status_code == 200:
                return
        except httpx2.HTTPError:
            pass
        time.sleep(0.1)
    raise InvalidInput(f"the API did not become ready within {READY_S:.0f} seconds; its log above says why")


def _token(settings: Settings, name: str) -> str:
    """Make a token of the demo for an owner, or for the operator."""
    role = "operator" if name == demo_actions.OPERATOR_NAME else None
    return auth.issue(settings, subject=name, now=wall_now(), ttl_s=TOKEN_S, role=role)


def _introduce(settings: Settings, firsts: dict[str, str], out: Console) -> None:
    """Print where it is, who may call it, and three requests to copy."""
    url = _url(settings)

    def say(text: str = "") -> None:
        out.print(text, markup=False, highlight=False, soft_wrap=True)

    say(f"\nSteelyard is at {url}. One day passes every {demo_actions.DAY_S} seconds, from 2018 on.")
    say("Stock and ETF prices are real daily closes; bonds, crypto and the euro are simulated, and say so.")
    say("Lines that begin with `verified` are webhooks: each owner's go to a receiver here, which checks who signed.")
    say("Lines that begin with `plan` are orders: the plans of Alice's Crypto tilt are approved here, and followed.\n")
    for name in (*demo_portfolios.OWNERS, demo_actions.OPERATOR_NAME):
        say(f"{name.upper()}={_token(settings, name)}")
    say("\nThree requests to copy, after the lines above:\n")
    query = "{ portfolios { nodes { id name value { amount currency } drift { status maxAbsDrift } } } }"
    headers = '-H "Authorization: Bearer $ALICE" -H "Content-Type: application/json"'
    say(f'curl -s {url}/graphql {headers} -d \'{{"query": "{query}"}}\'\n')
    say(f'curl -s {url}/api/rebalancing/{firsts["carol"]}/drift -H "Authorization: Bearer $CAROL"\n')
    stream = "subscription { driftAlerts { cursor kind alert { key severity message } } }"
    headers = headers.replace("ALICE", "CAROL") + ' -H "Accept: text/event-stream"'
    say(f'curl -sN {url}/graphql {headers} -d \'{{"query": "{stream}"}}\'\n')
    say("Ctrl-C stops everything; the data stays for the next start.")


def doctor(settings: Settings, out: Console) -> bool:
    """Say of the keys, the mail settings, the database and Redis whether they are as they should be."""
    logs.configure(settings.model_copy(update={"log_level": "ERROR"}))  # what is wrong is said below, once
    keys = _trouble(lambda: auth.check(settings))
    sending = _trouble(lambda: _check_mail(settings))
    checks = [("keys", keys), ("mail", sending), *asyncio.run(_check_servers(settings))]
    for name, trouble in checks:
        out.print(f"{name}: {trouble or 'ok'}", markup=False, highlight=False, soft_wrap=True)
    return not any(trouble for _, trouble in checks)


def _trouble(check: Callable[[], None]) -> str:
    try:
        check()
    except SteelyardError as error:
        return error.message
    return ""


def _check_mail(settings: Settings) -> None:
    mail.check(settings.smtp_url, settings.mail_from)
    if settings.smtp_url and (trouble := asyncio.run(mail.reach(settings.smtp_url, settings.mail_from)).error):
        raise InvalidInput(f"{trouble}; check STEELYARD_SMTP_URL")


async def _check_servers(settings: Settings) -> list[tuple[str, str]]:
    if not settings.database_url or not settings.redis_url:
        return (
            [("servers", "none are configured; `up` and `demo` bring their own")]
            if not settings.database_url and not settings.redis_url
            else [
                ("servers", "only one of DATABASE_URL and REDIS_URL is set; the other server would be an embedded one")
            ]
        )
    async with open_services(settings, on_thread) as services:
        database, redis = await services.store.ping(), await services.bus.ping()
    missing = await db.pending(settings.migrate_database_url or settings.database_url) if database else []
    schema = f"migrations are missing: {', '.join(missing)}; run `steelyard migrate`" if missing else ""
    return [
        ("database", "" if database else "no answer; check DATABASE_URL"),
        ("schema", schema if database else "not checked"),
        ("redis", "" if redis else "no answer; check REDIS_URL"),
    ]

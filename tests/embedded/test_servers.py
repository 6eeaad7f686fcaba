"""The supervisor of the embedded servers, tried on servers of its own."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from select import select as select_ready

import asyncpg
import pytest
import redis

from app.embedded import EmbeddedError, Endpoints, Servers, place, server
from app.settings import Settings
from tests.conftest import embedded_settings, temporary_folder

DEADLINE_S = 10.0
ROOT = Path(__file__).parents[2]

# A process of its own that runs the servers until its standard input ends, or it is killed.
CHILD = """
import sys
from pathlib import Path
from app.embedded import Servers
from tests.conftest import embedded_settings

servers = Servers(embedded_settings(Path(sys.argv[1])), fsync=False)
print(servers.start().redis_url, *servers.pids().values(), flush=True)
sys.stdin.read()
servers.stop()
"""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with temporary_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def used_dir() -> Iterator[Path]:
    """Share one data folder among tests that do not mind what is in it: PostgreSQL takes its time to make one."""
    with temporary_folder() as folder:
        yield folder


def supervisor(data_dir: Path) -> Servers:
    return Servers(embedded_settings(data_dir), fsync=False)


@contextmanager
def child(data_dir: Path) -> "Iterator[subprocess.Popen[str]]":
    command = [sys.executable, "-c", CHILD, str(data_dir)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: "subprocess.Popen[str]") -> list[str]:
    assert process.stdout is not None
    return process.stdout.readline().split()


def pids_of(process: "subprocess.Popen[str]") -> list[int]:
    return [int(word) for word in line_of(process)[1:]]


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not done():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def runs(pid: int) -> bool:
    """Say whether a process is there and is not a zombie."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def program_of(pid: int) -> Path:
    return Path(f"/proc/{pid}/exe").readlink()


def working_on(folder: Path) -> list[str]:
    """Command lines of the processes that name `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if str(folder) in command and int(process.name) != os.getpid():
                found.append(command)
    return found


async def select(url: str, query: str = "SELECT 1") -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def remember(endpoints: Endpoints) -> None:
    await select(endpoints.migrate_database_url, "CREATE TABLE IF NOT EXISTS remembered AS SELECT 'here' AS word")
    with redis.Redis.from_url(endpoints.redis_url) as client:
        client.set("word", "here")


async def recall(endpoints: Endpoints) -> tuple[object, object]:
    with redis.Redis.from_url(endpoints.redis_url, decode_responses=True) as client:
        return await select(endpoints.migrate_database_url, "SELECT word FROM remembered"), client.get("word")


async def test_both_roles_and_valkey_get_an_answer(used_dir: Path) -> None:
    with supervisor(used_dir) as servers:
        endpoints = servers.endpoints
        assert await select(endpoints.database_url, "SELECT current_user || '@' || current_database()") == (
            "steelyard_app@steelyard"
        )
        assert await select(endpoints.migrate_database_url, "SELECT current_user") == "steelyard_owner"
        assert await select(endpoints.database_url, "SHOW TimeZone") == "UTC"
        with redis.Redis.from_url(endpoints.redis_url, decode_responses=True) as client:
            assert client.ping() is True
            assert client.config_get("appendonly", "maxmemory-policy", "port") == {
                "appendonly": "yes",
                "maxmemory-policy": "noeviction",
                "port": "0",
            }


async def test_application_role_cannot_make_a_table(used_dir: Path) -> None:
    with supervisor(used_dir) as servers, pytest.raises(asyncpg.InsufficientPrivilegeError):
        await select(servers.endpoints.database_url, "CREATE TABLE mine ()")


def test_sockets_are_in_a_folder_closed_to_everybody_else(used_dir: Path) -> None:
    with supervisor(used_dir):
        sockets = used_dir / "run"
        assert oct(sockets.stat().st_mode & 0o777) == "0o700"
        assert sorted(path.name for path in sockets.iterdir() if path.is_socket()) == [".s.PGSQL.5432", "valkey.sock"]


def test_servers_of_root_run_as_nobody(used_dir: Path) -> None:
    with supervisor(used_dir) as servers:
        expected = 65534 if os.geteuid() == 0 else os.geteuid()
        assert {name: Path(f"/proc/{pid}").stat().st_uid for name, pid in servers.pids().items()} == {
            "postgres": expected,
            "valkey": expected,
        }


def test_stop_leaves_no_process_and_no_socket(used_dir: Path) -> None:
    with supervisor(used_dir):
        assert len(working_on(used_dir)) >= 2
    assert working_on(used_dir) == []
    assert not (used_dir / "run").exists()


async def test_data_survives_a_restart(used_dir: Path) -> None:
    with supervisor(used_dir) as servers:
        await remember(servers.endpoints)
    with supervisor(used_dir) as servers:
        assert await recall(servers.endpoints) == ("here", "here")


@pytest.mark.parametrize("name", ["postgres", "valkey"])
async def test_killed_server_is_seen_and_revived_with_its_data(used_dir: Path, name: str) -> None:
    with supervisor(used_dir) as servers:
        await remember(servers.endpoints)
        before = servers.pids()
        assert servers.check() == []
        os.kill(before[name], signal.SIGKILL)
        wait_until(lambda: servers.check() == [name])

        assert servers.revive() == [name]

        assert servers.check() == []
        assert {other for other, pid in servers.pids().items() if pid == before[other]} == set(before) - {name}
        assert await recall(servers.endpoints) == ("here", "here")


async def test_killed_owner_takes_its_servers_along_and_the_next_one_starts(used_dir: Path) -> None:
    with child(used_dir) as owner:
        pids = pids_of(owner)
        assert [runs(pid) for pid in pids] == [True, True]
        owner.kill()
    wait_until(lambda: working_on(used_dir) == [])
    with supervisor(used_dir) as servers:
        assert await select(servers.endpoints.database_url) == 1


async def test_next_start_waits_for_the_servers_of_a_killed_owner(used_dir: Path) -> None:
    with child(used_dir) as owner:
        pids = pids_of(owner)
        owner.kill()
        owner.wait()
        with supervisor(used_dir) as servers:
            assert [runs(pid) for pid in pids] == [False, False]
            assert await select(servers.endpoints.database_url) == 1


async def test_killed_servers_and_owner_together_do_not_stop_the_next_start(used_dir: Path) -> None:
    with child(used_dir) as owner:
        for pid in [owner.pid, *pids_of(owner)]:
            os.kill(pid, signal.SIGKILL)
    assert (used_dir / "postgres/postmaster.pid").exists()
    with supervisor(used_dir) as servers:
        assert await select(servers.endpoints.database_url) == 1


async def test_pid_file_that_names_a_living_process_is_not_believed(used_dir: Path) -> None:
    with supervisor(used_dir) as servers:
        pid_file = used_dir / "postgres/postmaster.pid"
        other = servers.pids()["valkey"]
        os.kill(servers.pids()["postgres"], signal.SIGKILL)
        wait_until(lambda: servers.check() == ["postgres"])
        lines = pid_file.read_text().splitlines()
        pid_file.write_text("\n".join([str(other), *lines[1:]]))
        assert servers.revive() == ["postgres"]
        assert await select(servers.endpoints.database_url) == 1


def test_two_processes_race_and_one_attaches(data_dir: Path) -> None:
    with child(data_dir) as first, child(data_dir) as second:
        answers = {first: line_of(first), second: line_of(second)}
        owner, guest = sorted(answers, key=lambda process: -len(answers[process]))
        url, *pids = answers[owner]
        assert len(pids) == 2
        assert answers[guest] == [url]

        guest.communicate()
        assert [runs(int(pid)) for pid in pids] == [True, True]
        owner.communicate()
        assert working_on(data_dir) == []


def test_attached_process_does_not_count_the_servers_as_its_own(used_dir: Path) -> None:
    with supervisor(used_dir) as owner, supervisor(used_dir) as guest:
        assert guest.endpoints == owner.endpoints
        assert (guest.pids(), guest.check(), guest.revive()) == ({}, [], [])
        guest.stop()
        assert owner.check() == []


def test_deep_data_folder_gets_its_sockets_elsewhere(data_dir: Path) -> None:
    deep = data_dir / ("deep" * 20) / "down"
    settings = embedded_settings(deep).model_copy(update={"database_url": "postgresql://elsewhere/x"})
    with Servers(settings) as servers:
        path = servers.endpoints.redis_url.removeprefix("unix://").removesuffix("?db=0")
        assert len(path) < 107
        with redis.Redis.from_url(servers.endpoints.redis_url) as client:
            assert client.ping() is True
    assert not Path(path).parent.exists()


async def test_who_is_attached_takes_over_when_the_owner_ends(used_dir: Path) -> None:
    owner = supervisor(used_dir)
    owner.start()
    with supervisor(used_dir) as guest:
        owner.stop()
        assert guest.revive() == ["postgres", "valkey"]
        assert await select(guest.endpoints.database_url) == 1
        assert (len(guest.pids()), guest.revive()) == (2, [])


def test_who_comes_while_the_owner_leaves_waits_for_its_end(used_dir: Path) -> None:
    with supervisor(used_dir) as owner:
        owner.leave()
        with child(used_dir) as newcomer:
            assert newcomer.stdout is not None
            waited, _, _ = select_ready([newcomer.stdout], [], [], 2)
            assert not waited
            owner.stop()
            assert len(pids_of(newcomer)) == 2
            newcomer.communicate()


def test_an_owner_that_never_ends_is_named(used_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "START_S", 0.2)
    with supervisor(used_dir) as owner:
        owner.leave()
        with pytest.raises(EmbeddedError, match=r"is stopping and did not end within 0\.2 seconds"):
            supervisor(used_dir).start()


async def test_what_nobody_cannot_reach_is_kept_elsewhere(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed, outside = data_dir / "closed", data_dir / "outside"
    closed.mkdir(mode=0o700)
    reachable = place.open_to_all
    monkeypatch.setattr(place, "OUTSIDE", outside)
    monkeypatch.setattr(place, "open_to_all", lambda path: reachable(path) and "site-packages" not in path.parts)
    with supervisor(closed / "data") as servers:
        await remember(servers.endpoints)
        assert {program_of(pid).is_relative_to(outside) for pid in servers.pids().values()} == {os.geteuid() == 0}
    with supervisor(closed / "data") as servers:
        assert await recall(servers.endpoints) == ("here", "here")


def test_named_servers_are_used_and_nothing_is_started(data_dir: Path) -> None:
    urls = {"database_url": "postgresql://app@db/x", "redis_url": "redis://cache:6379/1"}
    unused = data_dir / "unused"
    settings = embedded_settings(unused).model_copy(update=urls)
    with Servers(settings) as servers:
        assert servers.endpoints == Endpoints("postgresql://app@db/x", "postgresql://app@db/x", "redis://cache:6379/1")
        assert servers.pids() == {}
    owner = settings.model_copy(update={"migrate_database_url": "postgresql://owner@db/x"})
    with Servers(owner) as servers:
        assert servers.endpoints.migrate_database_url == "postgresql://owner@db/x"
    assert not unused.exists()


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"redis_url": "redis://cache"}, "there is no PostgreSQL: DATABASE_URL is not set"),
        ({"database_url": "postgresql://db/x"}, "there is no Valkey: REDIS_URL is not set"),
    ],
)
def test_missing_binary_is_said_with_what_to_do(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, named: dict[str, str], message: str
) -> None:
    monkeypatch.setattr(place, "package", lambda name: None)
    monkeypatch.setenv("PATH", str(data_dir))
    servers = Servers(embedded_settings(data_dir).model_copy(update=named))
    with pytest.raises(EmbeddedError) as error:
        servers.start()
    assert error.value.message.startswith(message)
    assert servers.pids() == {}


def test_data_folder_that_is_a_file_is_one_sentence(data_dir: Path) -> None:
    file = data_dir / "file"
    file.touch()
    with pytest.raises(EmbeddedError, match=r"^the data folder .*/file cannot be used: "):
        supervisor(file).start()


def test_server_that_fails_says_the_end_of_its_log(data_dir: Path) -> None:
    (data_dir / "postgres").mkdir()
    with pytest.raises(EmbeddedError, match=r"PostgreSQL did not start; .*postgres\.log ends with: "):
        supervisor(data_dir).start()
    assert working_on(data_dir) == []


def test_start_outside_the_main_thread_is_our_mistake(used_dir: Path) -> None:
    caught: list[BaseException] = []

    def start() -> None:
        try:
            supervisor(used_dir).start()
        except AssertionError as error:
            caught.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert [str(error) for error in caught] == ["a server dies with the thread that starts it"]


def test_settings_of_the_environment_do_not_reach_the_tests(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://production/x")
    assert Settings().database_url == "postgresql://production/x"
    assert embedded_settings(data_dir).database_url == ""

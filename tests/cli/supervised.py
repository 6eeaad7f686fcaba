"""`steelyard up` and `demo` as somebody starts them: a process to watch, with everything that it starts."""

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import httpx2

from app.context import new_uuid
from app.embedded import dying_with
from tests.cli.shell import environment

ROOT: Final = Path(__file__).parents[2]
DEADLINE_S: Final = 60.0


class Supervised:
    """A supervisor, told apart from everybody else's by a mark in its environment and by its data folder."""

    def __init__(self, arguments: list[str], data_dir: Path, port: int, **given: str) -> None:
        self.data_dir, self.port = data_dir, port
        self.mark: UUID = new_uuid()
        self.began = time.monotonic()
        self.lines: list[str] = []
        self._lines: queue.Queue[str] = queue.Queue()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app", *arguments, "--port", str(port), "--data-dir", str(data_dir)],
            cwd=ROOT,
            env=environment(PYTHONUNBUFFERED="1", STEELYARD_TEST_MARK=str(self.mark), **given),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            preexec_fn=dying_with(os.getpid(), signal.SIGTERM),
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout:
            for line in self.process.stdout:
                self.lines.append(line)
                self._lines.put(line)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def said(self, words: str) -> list[str]:
        """Return the lines until one that holds these words."""
        lines: list[str] = []
        until = time.monotonic() + DEADLINE_S
        while not lines or words not in lines[-1]:
            try:
                lines.append(self._lines.get(timeout=max(0.0, until - time.monotonic())))
            except queue.Empty:
                raise AssertionError(f"{words!r} was not said, but {lines}") from None
        return lines

    def until_ready(self) -> float:
        """Wait until the API takes callers; return how long that took from the start."""
        wait_until(self.is_ready, "the API to be ready")
        return time.monotonic() - self.began

    def is_ready(self) -> bool:
        with suppress(httpx2.HTTPError):
            return httpx2.get(f"{self.url}/readyz", timeout=2, trust_env=False).status_code == 200
        return False

    def ask(self, token: str, query: str, **variables: object) -> Any:
        headers = {"authorization": f"Bearer {token}"}
        body = {"query": query, "variables": variables}
        answer = httpx2.post(f"{self.url}/graphql", json=body, headers=headers, timeout=20, trust_env=False).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def processes(self) -> dict[int, str]:
        """Return the command lines of what runs for us, by process id: by its mark, or by our folder in its command."""
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                marked = str(self.mark).encode() in (process / "environ").read_bytes()
                if command and (marked or str(self.data_dir) in command):
                    found[int(process.name)] = command
        found.pop(os.getpid(), None)
        return found

    def pid_of(self, words: str) -> int:
        """Return the process id of the child whose command has these words; the oldest where it has children."""
        pids = [pid for pid, command in self.processes().items() if words in command and pid != self.process.pid]
        return min(pids, default=0)

    def kill(self, words: str) -> None:
        """Kill a child, and wait until another one has taken its place."""
        pid = self.pid_of(words)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: self.pid_of(words) not in (0, pid), f"{words} to be started again")

    def kill_all(self, children: Iterable[str]) -> None:
        """Kill children at once, and wait until others have taken their places."""
        pids = {words: self.pid_of(words) for words in children}
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)
        for words, pid in pids.items():
            wait_until(lambda words=words, pid=pid: self.pid_of(words) not in (0, pid), f"{words} again")  # type: ignore[misc]

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ask it to stop and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)

    def end(self) -> None:
        """Be gone, whatever happened."""
        if self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(DEADLINE_S)
            self.process.kill()
        self.process.wait()
        self._reader.join(DEADLINE_S)

    def nothing_is_left(self) -> None:
        wait_until(lambda: not self.processes(), f"the end of {self.processes()}")
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", self.port)) != 0


def wait_until(done: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + DEADLINE_S
    while not done():
        assert time.monotonic() < until, f"waited {DEADLINE_S:g} s for {what}"
        time.sleep(0.1)


@contextmanager
def supervised(arguments: list[str], data_dir: Path, port: int | None = None, **given: str) -> Iterator[Supervised]:
    """Start a supervisor; whatever happens, it is gone at the end."""
    started = Supervised(arguments, data_dir, port or free_port(), **given)
    try:
        yield started
    finally:
        started.end()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

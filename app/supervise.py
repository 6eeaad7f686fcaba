"""Child processes under one parent: started in order, ended in reverse, and never left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from app.embedded import dying_with

STOP_EXTRA_S: Final = 10
RESTART_S: Final = 2.0


@dataclass
class _Child:
    name: str
    arguments: Sequence[str]
    process: "subprocess.Popen[bytes]"
    started: float


@dataclass
class Children:
    """The processes of `steelyard up` and `demo`. Start and stop them from the main thread only."""

    environment: Mapping[str, str]
    stop_s: int
    _running: list[_Child] = field(default_factory=list)

    def start(self, name: str, *arguments: str) -> None:
        """Run `python ARGUMENTS` as a child that ends when we do."""
        self._running.append(_Child(name, arguments, self._spawn(arguments), time.monotonic()))

    def _spawn(self, arguments: Sequence[str]) -> "subprocess.Popen[bytes]":
        tie: Callable[[], None] | None = dying_with(os.getpid(), signal.SIGTERM)
        command = [sys.executable, *arguments]
        # A session of its own, so that a Ctrl-C reaches us alone and we end everything in order.
        return subprocess.Popen(  # noqa: S603
            command,
            env={**os.environ, **self.environment},
            start_new_session=True,
            preexec_fn=tie,
        )

    def revive(self) -> list[str]:
        """Start anew what has died, and return the names. What dies at once is started every few seconds only."""
        died = []
        for child in self._running:
            if child.process.poll() is not None and time.monotonic() - child.started >= RESTART_S:
                died.append(f"{child.name} (exit {child.process.returncode})")
                child.process, child.started = self._spawn(child.arguments), time.monotonic()
        return died

    def stop(self) -> None:
        """End every child, the last started first: asked to, then made to."""
        for child in reversed(self._running):
            if child.process.poll() is None:
                child.process.terminate()
                try:
                    child.process.wait(self.stop_s + STOP_EXTRA_S)
                except subprocess.TimeoutExpired:
                    child.process.kill()
                    child.process.wait()
        self._running.clear()

"""Child processes under one parent: started in order, ended in reverse, and never left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from app.embedded import dying_with

STOP_EXTRA_S: Final = 10


@dataclass
class Children:
    """The processes of `steelyard up` and `demo`. Start and stop them from the main thread only."""

    environment: Mapping[str, str]
    stop_s: int
    _running: list[tuple[str, Sequence[str], "subprocess.Popen[bytes]"]] = field(default_factory=list)

    def start(self, name: str, *arguments: str) -> None:
        """Run `python ARGUMENTS` as a child that ends when we do."""
        self._running.append((name, arguments, self._spawn(arguments)))

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
        """Start anew what has died, and return the names."""
        died = []
        for place, (name, arguments, process) in enumerate(self._running):
            if process.poll() is not None:
                died.append(f"{name} (exit {process.returncode})")
                self._running[place] = (name, arguments, self._spawn(arguments))
        return died

    def stop(self) -> None:
        """End every child, the last started first: asked to, then made to."""
        for _, _, process in reversed(self._running):
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(self.stop_s + STOP_EXTRA_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self._running.clear()

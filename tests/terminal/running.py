"""A command that goes on for a while, watched as it speaks."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.embedded import dying_with
from tests.cli.shell import environment

ROOT: Final = Path(__file__).parents[2]
WITHIN_S: Final = 20.0


@dataclass(frozen=True)
class Running:
    """A command as a process, its two streams apart."""

    process: asyncio.subprocess.Process

    async def line(self) -> str:
        """Return the next line of its output."""
        assert self.process.stdout is not None
        return await _line(self.process.stdout)

    async def remark(self) -> str:
        """Return the next line it says beside its output."""
        assert self.process.stderr is not None
        return await _line(self.process.stderr)

    async def interrupt(self) -> int:
        """Press Ctrl-C and return the exit code."""
        self.process.send_signal(signal.SIGINT)
        return await asyncio.wait_for(self.process.wait(), WITHIN_S)

    async def end(self) -> tuple[int, str, str]:
        """Wait until it ends by itself; return exit code and what is left of both streams."""
        out, err = await asyncio.wait_for(self.process.communicate(), WITHIN_S)
        assert self.process.returncode is not None
        return self.process.returncode, out.decode(), err.decode()


async def _line(stream: asyncio.StreamReader) -> str:
    return (await asyncio.wait_for(stream.readline(), WITHIN_S)).decode().removesuffix("\n")


@asynccontextmanager
async def running(*arguments: str, **given: str) -> AsyncIterator[Running]:
    """Start a command; whatever happens, it is gone at the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app", *arguments),
        cwd=ROOT,
        env=environment(**given),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        preexec_fn=dying_with(os.getpid(), signal.SIGKILL),
    )
    try:
        yield Running(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()

"""Kernels compiled for tests, and the way back, which only tests go: to compare both in one process.

Run as a module it compiles them for the tests of other processes, which load what it has kept on disk.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.core.optimize import kernels, search


def use_compiled() -> bool:
    """Put compiled functions in place, False where numba is missing; who comes meanwhile waits and loads the same."""
    with _alone():
        return search.warm()


def use_python() -> None:
    """Put the plain functions back."""
    kernels._exchange({compiled: plain for plain, compiled in kernels._COMPILED.items()})
    kernels._ACTIVE[0] = False


@contextmanager
def _alone() -> Iterator[None]:
    """Let one process at a time do something with the sources in their folder."""
    folder = os.open(Path(kernels.__file__).parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


if __name__ == "__main__":
    os.nice(10)  # tests beside it have deadlines
    use_compiled()

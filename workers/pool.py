"""Processes for heavy plans: our event loop goes on renewing leases while they compute, and can tell them to stop."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import Any, Final

from app.context import Watch

# How often what a process says of its progress, and what it is told, is carried over.
EXCHANGE_S: Final = 0.1
CONTEXT: Final = get_context("spawn")


class Board:
    """Memory that the processes share with us: a row for each call, with its nodes and gap, and whether to stop."""

    def __init__(self, rows: int) -> None:
        self._said = CONTEXT.Array("d", 2 * rows)
        self._stop = CONTEXT.Array("b", rows)

    def say(self, row: int, nodes: int, gap: float) -> bool:
        """Write how far a call is, in its process; return whether it shall stop."""
        self._said[2 * row : 2 * row + 2] = [float(nodes), gap]
        return bool(self._stop[row])

    def exchange(self, row: int, watch: Watch) -> None:
        """Carry over what a call said, and what it is told."""
        nodes, watch.gap = self._said[2 * row : 2 * row + 2]
        watch.nodes = int(nodes)
        self._stop[row] = watch.stopped

    def clear(self, row: int) -> None:
        """Make a row ready for another call."""
        self._said[2 * row : 2 * row + 2] = [0.0, float("inf")]
        self._stop[row] = False


class Processes:
    """Runs pure functions in processes of their own. Started when needed; one that is killed costs one call."""

    def __init__(self, count: int, warm: Callable[[], object] | None = None) -> None:
        self._count = count
        self._warm = warm
        self._board = Board(count)
        self._free = list(range(count))
        self._turns = asyncio.Semaphore(count)
        self._pool: ProcessPoolExecutor | None = None

    async def begin(self) -> None:
        """Start all processes, and let each warm up, before there is anything to do."""
        await asyncio.gather(*(self.run(os.getpid) for _ in range(self._count)))

    async def run(self, function: Callable[..., Any], *args: Any, watch: Watch | None = None) -> Any:
        """Run a function in one of the processes; with `watch` it is handed a callable of that name."""
        async with self._turns:
            with self._row() as row:
                return await self._run(row, function, args, watch)

    async def _run(self, row: int, function: Callable[..., Any], args: tuple[Any, ...], watch: Watch | None) -> Any:
        pool = self._pool or self._start()
        call = asyncio.get_running_loop().run_in_executor(pool, _call, row, watch is not None, function, args)
        try:
            while watch is not None and not call.done():
                self._board.exchange(row, watch)
                await asyncio.wait([call], timeout=EXCHANGE_S)
            return await call
        except asyncio.CancelledError:
            # Nobody waits any more, but the process computes on: it shall not keep its row from the next.
            if watch is not None:
                watch.stopped = True
                self._board.exchange(row, watch)
                await asyncio.wait([call])
                if isinstance(call.exception(), BrokenProcessPool):  # any other end is nobody's matter by now
                    self._give_up(pool)
            raise
        except BrokenProcessPool:
            # One of them was killed, and a pool never mends: the next call starts another, the sweeper asks again.
            self._give_up(pool)
            raise

    def _give_up(self, pool: ProcessPoolExecutor) -> None:
        if self._pool is pool:
            self._pool = None

    @contextmanager
    def _row(self) -> Iterator[int]:
        row = self._free.pop()
        self._board.clear(row)
        try:
            yield row
        finally:
            self._free.append(row)

    def _start(self) -> ProcessPoolExecutor:
        self._pool = ProcessPoolExecutor(
            self._count, mp_context=CONTEXT, initializer=_begin, initargs=(self._board, self._warm)
        )
        return self._pool

    def close(self) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)


_board: Board | None = None


def _begin(board: Board, warm: Callable[[], object] | None) -> None:
    """Begin the life of a process: only the parent decides when it ends, also by being killed."""
    global _board
    _board = board
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C reaches the whole group
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if warm:
        warm()


def _call(row: int, watched: bool, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    board = _board
    assert board, "this is a process of the pool"
    return function(*args, watch=lambda nodes, gap: board.say(row, nodes, gap)) if watched else function(*args)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent, "this is a process of the pool"
    parent.join()
    os._exit(1)

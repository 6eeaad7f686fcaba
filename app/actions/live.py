"""Following what happens: one reader a process watches events and prices and wakes the subscribers they concern.

Redis only nudges: the reader looks when it is nudged, and by itself every `event_poll_s`. A subscriber that is woken
reads its own events after its own cursor, at its own pace, so a slow one costs no memory and misses nothing.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import structlog

from app.actions.waking import PENDING_S, woken
from app.context import Services
from app.core.errors import InvalidInput
from app.core.scalars import write_instant
from app.store import events
from app.store.db import StoreUnavailable
from app.store.events import Event

PAGE: Final = 100
BEGIN_ANEW: Final = "read the alerts once and subscribe with a driftAlertsCursor taken before"

log = structlog.get_logger(__name__)


class Hub:
    """The reader of one process."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._waiting: dict[int, set[asyncio.Event]] = defaultdict(set)
        self._resting: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._looking: set[asyncio.Event] = set()
        self._nudged = asyncio.Event()
        self.closing = asyncio.Event()
        """Set when the process is about to stop: streams are cut then, so that clients go on elsewhere."""

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_nudges())
            group.create_task(self._watch())

    @contextmanager
    def listen(self, owner_id: int) -> Iterator[asyncio.Event]:
        """Yield an event that is set whenever the owner may have news."""
        wake = asyncio.Event()
        self._waiting[owner_id].add(wake)
        try:
            yield wake
        finally:
            self._waiting[owner_id].discard(wake)
            if not self._waiting[owner_id]:
                del self._waiting[owner_id]

    @contextmanager
    def rest(self, wake: asyncio.Event) -> Iterator["Rest"]:
        """Let an event be set also when the price of something it rests on has changed; say what by the value."""
        rest = Rest(wake, self._resting)
        try:
            yield rest
        finally:
            rest.on(frozenset())

    @contextmanager
    def look_along(self) -> Iterator[asyncio.Event]:
        """Yield an event that is set whenever the reader has looked: a few times a second at most, if all is quiet."""
        wake = asyncio.Event()
        self._looking.add(wake)
        try:
            yield wake
        finally:
            self._looking.discard(wake)

    @property
    def streams(self) -> int:
        """How many subscribers wait for news."""
        return sum(map(len, self._waiting.values())) + len(self._looking)

    async def _follow_nudges(self) -> None:
        while True:
            try:
                async for _ in self._services.bus.nudges():
                    self._nudged.set()
            except Exception:
                log.exception("nudges_not_followed")  # events are looked for without them, only later
                await asyncio.sleep(self._services.settings.event_poll_s)

    async def _watch(self) -> None:
        cursor: str | None = None
        wait_s = 0.0
        while True:
            await woken(self._nudged, wait_s)
            try:
                cursor, pending = await self._look(cursor)
            except StoreUnavailable:
                log.warning("events_unavailable")
                cursor, pending = None, False
            except Exception:
                log.exception("events_not_read")  # whatever it was, the subscribers go on depending on this loop
                cursor, pending = None, False
            wait_s = PENDING_S if pending else self._services.settings.event_poll_s

    async def _look(self, cursor: str | None) -> tuple[str, bool]:
        async with self._services.store.shared() as tx:
            start = cursor or await events.current_cursor(tx)
            owners, reached, pending = await events.relay_owners_since(tx, start)
            assets = await events.relay_assets_since(tx, start) if self._resting else set()
        # At the start, and after an outage, everybody looks for themselves.
        found = [self._waiting.get(owner, set()) for owner in (list(self._waiting) if cursor is None else owners)]
        found += [self._resting.get(asset, set()) for asset in assets]
        for wake in (*self._looking, *(wake for waiting in found for wake in waiting)):
            wake.set()
        return reached, pending


class Rest:
    """The assets that one subscriber rests on; each of them knows whom to wake."""

    def __init__(self, wake: asyncio.Event, resting: dict[str, set[asyncio.Event]]) -> None:
        self._wake, self._resting = wake, resting
        self._assets: frozenset[str] = frozenset()

    def on(self, asset_ids: frozenset[str]) -> bool:
        """Rest on exactly these; return whether some are new, whose price may have changed before this."""
        before, self._assets = self._assets, asset_ids
        for asset_id in before - asset_ids:
            self._resting[asset_id].discard(self._wake)
            if not self._resting[asset_id]:
                del self._resting[asset_id]
        for asset_id in asset_ids - before:
            self._resting[asset_id].add(self._wake)
        return not asset_ids <= before


async def follow(
    services: Services, hub: Hub, owner_id: int, after: str | None, portfolio_ids: Sequence[str] | None = None
) -> AsyncIterator[Event]:
    """Yield an owner's events after a cursor, for ever, each once; from now on when there is no cursor."""
    with hub.listen(owner_id) as wake:
        cursor, checked = after, after is None
        while True:
            wake.clear()
            try:
                if not checked:
                    await check(services, after or "")
                    checked = True
                cursor, page = await _read(services, owner_id, cursor, portfolio_ids)
            except StoreUnavailable:
                await asyncio.sleep(services.settings.event_poll_s)
                continue
            for event in page:
                cursor = event.cursor
                yield event
            if len(page) < PAGE:
                await wake.wait()


async def check(services: Services, cursor: str) -> None:
    """Refuse a cursor this database never gave out, or one so old that what came after it is gone already."""
    async with services.store.shared(reading=True) as tx:
        if not await events.is_past(tx, cursor):
            raise InvalidInput(f"the cursor is from another life of this database; {BEGIN_ANEW}", ["after"])
        if gone := await events.gone_before(tx, cursor):
            raise InvalidInput(f"events before {write_instant(gone)} are gone; {BEGIN_ANEW}", ["after"])


async def _read(
    services: Services, owner_id: int, cursor: str | None, portfolio_ids: Sequence[str] | None
) -> tuple[str, list[Event]]:
    """Return a page of events after a cursor, and where to go on when it is empty: all before that was seen by then.

    From now on when there was no cursor. Who follows some portfolios need not read what is about others ever again.
    """
    async with services.store.owned(owner_id) as tx:
        now = await events.current_cursor(tx) if cursor is None or portfolio_ids is not None else cursor
        page = await events.load_events(owner_id, tx, now if cursor is None else cursor, PAGE, portfolio_ids)
        return now, page

"""Bulks: begun, previewed, found, followed, cancelled; worked on by heavy workers, a portfolio at a time."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from time import monotonic
from typing import Final

import structlog

from app.actions import bulk_items, once
from app.actions.access import domain_now
from app.actions.live import Hub, follow
from app.actions.pages import Page, id_of, key_of, page_of, row_of
from app.bus.jobs import BULK_RUN
from app.context import OPERATOR, Context, Services, new_uuid, wall_now
from app.core import ids
from app.core.bulks import Bulk, BulkDraft, BulkItem, BulkKind, BulkStatus, ItemStatus
from app.core.errors import InvalidInput, InvalidState, LimitExceeded, NotFound
from app.store import assets, bulks, owners
from app.store import bulk_items as item_rows
from app.store.bulk_items import Taken
from app.store.bulks import BulkHandle, Reach
from app.store.db import StoreUnavailable, Tx
from app.store.events import current_cursor

ITEMS_MAX: Final = 100_000
RUN_S: Final = 20.0
"""A runner takes no more portfolios after this long, and waits in line again: a person's plan may be before it."""
TELL_S: Final = 0.5
SWEEP_MAX: Final = 100
RENEWALS: Final = 3
RESTS: Final = 4
"""Who follows a bulk rests so many times as long as it took to read it: to sum up 100,000 plans takes seconds."""

_OPERATION: Final = {BulkKind.PROPOSE: "bulkPropose", BulkKind.APPROVE: "bulkApprove"}
_EXPECTED: Final = {BulkKind.PROPOSE: "expectedPortfolios", BulkKind.APPROVE: "expectedPlans"}

log = structlog.get_logger(__name__)


async def begin(context: Context, draft: BulkDraft, key: str) -> Bulk:
    """Begin a bulk: pin the portfolios that meet its filter now, and let workers do it for each of them.

    Repeated with the same key it is the bulk of the first time. Where nothing meets the filter it is DONE at once.
    """
    _check(context, draft)
    async with context.store.owned(context.owner_id) as tx:
        bulk_id = await once.begin(context, tx, key, _OPERATION[draft.kind], draft)
        if bulk_id is None:
            bulk_id = await _write(context, tx, draft)
            await once.finish(context, tx, key, bulk_id)
    bulk = await find(context, bulk_id)
    if bulk.ended_at is None:
        # Under another name than the sweeper's, which then finds a second worker for it where one is idle.
        await context.bus.enqueue(BULK_RUN, context.owner_id, bulk_id, unique=f"{bulk_id}:begun")
    return bulk


async def preview(context: Context, draft: BulkDraft) -> Bulk:
    """Return a bulk as it would begin, under an id that nothing has; nothing is stored."""
    _check(context, draft)
    async with context.store.shared(reading=True) as tx:
        count, totals = await bulks.scan_count(tx, draft, await _reach(context, tx, draft), ITEMS_MAX)
    _check_count(draft, count)
    return Bulk(
        id=context.new_id(ids.BULK),
        draft=draft,
        status=BulkStatus.RUNNING if count else BulkStatus.DONE,
        actor=context.actor,
        created_at=context.now,
        ended_at=None if count else context.now,
        counts={ItemStatus.WAITING: count} if count else {},
        totals=totals,
    )


def _check(context: Context, draft: BulkDraft) -> None:
    """Refuse other owners' portfolios to whoever is no operator, and what is asked of plans where there are none."""
    if draft.filter.owners is not None:
        context.require_operator()
    assert (draft.request is None) == (draft.kind is BulkKind.APPROVE)
    if draft.kind is BulkKind.APPROVE:
        return
    of_plans = {
        "proposedIn": draft.filter.proposed_in,
        "turnoverAtMost": draft.filter.turnover_at_most,
        "costAtMost": draft.filter.cost_at_most,
        "taxAtMost": draft.filter.tax_at_most,
    }
    for name, given in of_plans.items():
        if given is not None:
            raise InvalidInput(f"{name} is about plans that are READY; only a bulk that approves has it", _path(name))


def _path(*steps: str | int) -> tuple[str | int, ...]:
    return "filter", *steps


async def _write(context: Context, tx: Tx, draft: BulkDraft) -> str:
    reach, uuid = await _reach(context, tx, draft), new_uuid()
    row_id = await bulks.save_bulk(context.owner_id, tx, uuid, draft, context.actor, context.now)
    count = await bulks.scan_pin(tx, row_id, draft, reach, ITEMS_MAX)
    _check_count(draft, count)
    bulk_id = ids.encode(ids.BULK, uuid)
    if not count:
        bulk = await bulks.find_bulk(context.owner_id, tx, bulk_id)
        assert bulk is not None
        await bulks.end_bulk(context.owner_id, tx, bulk, context.now)
    return bulk_id


async def _reach(context: Context, tx: Tx, draft: BulkDraft) -> Reach:
    """Look up what a draft names; what is not there, or somebody else's, does not exist."""
    which = draft.filter
    reach = Reach(await _owners(context, tx, which.owners))
    if which.portfolio_ids is not None:
        place = await bulks.scan_missing(tx, reach, which.portfolio_ids)
        if place is not None:
            raise NotFound("portfolio", which.portfolio_ids[place], _path("portfolioIds", place))
    await _check_symbols(tx, draft)
    if which.proposed_in is None:
        return reach
    before = await bulks.find_bulk(context.owner_id, tx, which.proposed_in)
    if before is None:
        raise NotFound("bulk", which.proposed_in, _path("proposedIn"))
    return Reach(reach.owner_ids, before.id)


async def _owners(context: Context, tx: Tx, named: Sequence[tuple[str, str]] | None) -> Sequence[int] | None:
    if named is None:
        return [context.owner_id]
    if not named:
        return None
    found = await owners.find_rows(tx, named)
    for place, (issuer, subject) in enumerate(named):
        if (issuer, subject) not in found:
            raise NotFound("owner", f"{subject} of {issuer}", _path("owners", place))
    return list(found.values())


async def _check_symbols(tx: Tx, draft: BulkDraft) -> None:
    """Refuse symbols that no asset has; one that a portfolio has nothing to do with is no matter there."""
    if draft.request is None:
        return
    named = {"exclude": draft.request.exclude, "noBuy": draft.request.no_buy, "noSell": draft.request.no_sell}
    known = await assets.known_symbols(tx, [one for symbols in named.values() for one in symbols])
    for field, symbols in named.items():
        for place, symbol in enumerate(symbols):
            if symbol not in known:
                raise NotFound("asset", symbol, [field, place])


def _check_count(draft: BulkDraft, count: int) -> None:
    if count > ITEMS_MAX:
        message = f"more than {ITEMS_MAX} portfolios meet the filter, the most of one bulk; narrow it"
        raise LimitExceeded(message, ["filter"])
    if draft.expected is not None and draft.expected != count:
        message = f"{count} portfolios meet the filter, not {draft.expected}; look at them, then ask with their number"
        raise InvalidState(message, str(count), [_EXPECTED[draft.kind]])


async def find(context: Context, bulk_id: str) -> Bulk:
    """Return a bulk that the caller began; somebody else's does not exist."""
    async with context.store.owned(context.owner_id, reading=True) as tx:
        found = await bulks.load_bulk(context.owner_id, tx, bulk_id)
    if found is None:
        raise NotFound("bulk", bulk_id, ["bulkId"])
    return found


async def page(context: Context, first: int, after: str | None) -> Page[Bulk]:
    """List the bulks that the caller began, newest first."""
    before = key_of(after, id_of(ids.BULK))
    async with context.store.owned(context.owner_id, reading=True) as tx:
        found = await bulks.load_bulks(context.owner_id, tx, first + 1, before)
    return page_of(found, first, lambda bulk: bulk.id)


async def items(
    context: Context, bulk_id: str, first: int, after: str | None, statuses: Sequence[ItemStatus] | None
) -> Page[BulkItem]:
    """List what became of the portfolios of a bulk, in the order of its items; of one that is not there, nothing.

    Other owners' are shown as long as the caller is an operator, not to whoever was one when the bulk began.
    """
    place, of_others = key_of(after, row_of) or 0, OPERATOR in context.roles
    async with context.store.owned(context.owner_id, reading=True) as tx:
        found = await item_rows.load_items(
            context.owner_id, tx, bulk_id, first + 1, after=place, statuses=statuses, of_others=of_others
        )
    return page_of(found, first, lambda item: str(item.place))


async def cancel(context: Context, bulk_id: str) -> Bulk:
    """Cancel what a bulk has not done yet, and the plans that are being made for it. Cancelled twice is cancelled."""
    async with context.store.owned(context.owner_id) as tx:
        bulk = await bulks.find_bulk(context.owner_id, tx, bulk_id, lock=True)
        if bulk is None:
            raise NotFound("bulk", bulk_id, ["bulkId"])
        if bulk.status is BulkStatus.DONE:
            raise InvalidState("the bulk is DONE; there is nothing left to cancel", bulk.status.value, ["bulkId"])
        if bulk.status is BulkStatus.RUNNING:
            await bulks.cancel_bulk(context.owner_id, tx, bulk, context.now)
    await bulk_items.settle(context, bulk, context.actor)
    await _end(context, bulk)
    return await find(context, bulk_id)


async def stream(context: Context, hub: Hub, bulk_id: str) -> AsyncIterator[Bulk]:
    """Yield a bulk as it is now, then as it gets further, until it has ended.

    The cursor is taken before the bulk is read, so that no change falls between. Each answer is as it stands then,
    however late its event is read.
    """
    async with context.store.owned(context.owner_id) as tx:
        cursor = await current_cursor(tx)
    bulk = await find(context, bulk_id)
    yield bulk
    if bulk.ended_at:
        return
    async for event in follow(context, hub, context.owner_id, cursor, []):
        if event.subject != bulk_id:
            continue
        began = monotonic()
        newer = await find(context, bulk_id)
        rest_s = RESTS * (monotonic() - began)
        if newer != bulk:
            bulk = newer
            yield bulk
        if bulk.ended_at:
            return
        await asyncio.sleep(rest_s)


async def run(services: Services, owner_id: int, bulk_id: str) -> bool:
    """Work on a bulk for a while; return whether there was more to take when the time was up.

    Several may run one bulk: each takes items that nobody else has.
    """
    async with services.store.owned(owner_id) as tx:
        bulk = await bulks.find_bulk(owner_id, tx, bulk_id)
    if bulk is None or bulk.ended:
        return False
    runner = _Runner(services, bulk)
    if bulk.status is BulkStatus.CANCELLED:
        await bulk_items.settle(services, bulk, bulk.actor)
    else:
        await runner.run()
    await _end(services, bulk)
    return runner.more


async def _end(services: Services, bulk: BulkHandle) -> None:
    now = await domain_now(services)
    async with services.store.owned(bulk.owner_id) as tx:
        ended = await bulks.end_bulk(bulk.owner_id, tx, bulk, now)
    if ended:
        log.info("bulk_ended", bulk=bulk.public_id)
        await services.bus.nudge("bulk", [bulk.owner_id])


async def scan_unfinished(services: Services) -> int:
    """Have bulks worked on that have not ended; the database is the truth."""
    async with services.store.shared() as tx:
        found = await bulks.scan_unfinished_bulks(tx, SWEEP_MAX)
    for owner_id, bulk_id in found:
        await services.bus.enqueue(BULK_RUN, owner_id, bulk_id, unique=bulk_id)
    return len(found)


class _Runner:
    """One who works on a bulk: with as many hands as there are processes for heavy work, each at one portfolio."""

    def __init__(self, services: Services, bulk: BulkHandle) -> None:
        self._services, self._bulk = services, bulk
        self._until = monotonic() + RUN_S
        self._told = monotonic()
        self._places: set[int] = set()
        self.more = False

    async def run(self) -> None:
        holding = asyncio.create_task(self._hold())
        try:
            hands = (self._work() for _ in range(self._services.settings.heavy_jobs))
            done = await asyncio.gather(*hands, return_exceptions=True)
        finally:
            holding.cancel()
            await asyncio.wait([holding])
        for failed in filter(None, done):  # the others have gone on till their end
            raise failed

    async def _work(self) -> None:
        while item := await self._take():
            self._places.add(item.place)
            try:
                await bulk_items.work(self._services, self._bulk, item)
            finally:
                self._places.discard(item.place)
            await self._tell()

    async def _take(self) -> Taken | None:
        if monotonic() >= self._until:
            self.more = True
            return None
        now = wall_now()
        async with self._services.store.shared() as tx:
            return await item_rows.scan_take_item(tx, self._bulk, now, now + self._lease)

    @property
    def _lease(self) -> timedelta:
        return timedelta(seconds=self._services.settings.job_lease_s)

    async def _hold(self) -> None:
        """Renew the leases of what is in hand, until cancelled."""
        while True:
            await asyncio.sleep(self._lease.total_seconds() / RENEWALS)
            try:
                async with self._services.store.shared() as tx:
                    await item_rows.scan_hold_items(tx, self._bulk, list(self._places), wall_now() + self._lease)
            except StoreUnavailable as error:
                log.warning("items_not_held", bulk=self._bulk.public_id, reason=str(error))

    async def _tell(self) -> None:
        """Tell how far it is, not more often than anybody reads."""
        if monotonic() - self._told < TELL_S:
            return
        self._told = monotonic()
        now, owner_id = await domain_now(self._services), self._bulk.owner_id
        async with self._services.store.owned(owner_id) as tx:
            await bulks.tell_bulk(owner_id, tx, self._bulk.public_id, now)
        await self._services.bus.nudge("bulk", [owner_id])

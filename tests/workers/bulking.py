"""Bulks for tests: portfolios that all want the same plan, and what became of each."""

from app.actions import bulks
from app.context import Context, Services
from app.core.bulks import Bulk, BulkDraft, BulkFilter, BulkItem, BulkKind, ItemStatus
from app.core.optimize.allocate import PlanScope
from app.core.plan import PlanRequest
from app.core.policy import Policy
from tests.builders import snapshot
from tests.store.world import World

FULL = PlanRequest(PlanScope.FULL)
OWN = BulkFilter()
EVERYBODY = BulkFilter(owners=())


def to_propose(which: BulkFilter = OWN, request: PlanRequest = FULL, expected: int | None = None) -> BulkDraft:
    return BulkDraft(BulkKind.PROPOSE, which, request, expected=expected)


def to_approve(which: BulkFilter = OWN, *, pooled: bool = True, expected: int | None = None) -> BulkDraft:
    return BulkDraft(BulkKind.APPROVE, which, pooled=pooled, expected=expected)


async def keep(world: World, name: str = "Test", ledger: str | None = None, policy: Policy | None = None) -> str:
    """Store 40 A, 40 B and 20 C at 10, wanted at 30, 30 and 40 percent: two sales of 10 pay for 20 C."""
    wanted = {"A": "30", "B": "30", "C": "40"}
    kept = await world.keep(snapshot(ledger or "40 A @ 10, 40 B @ 10, 20 C @ 10", wanted, policy=policy), name)
    return kept.row.public_id


async def done(services: Services, context: Context, bulk: Bulk) -> Bulk:
    """Work on a bulk until it has ended."""
    await bulks.run(services, context.owner_id, bulk.id)
    bulk = await bulks.find(context, bulk.id)
    assert bulk.ended_at is not None
    return bulk


async def proposed(services: Services, context: Context, which: BulkFilter = OWN, key: str = "propose") -> Bulk:
    """Propose a plan for all that meet a filter, and return the bulk once it has ended."""
    return await done(services, context, await bulks.begin(context, to_propose(which), key))


async def items(context: Context, bulk: Bulk, *statuses: ItemStatus) -> tuple[BulkItem, ...]:
    return (await bulks.items(context, bulk.id, 500, None, statuses or None)).items


async def told(context: Context, bulk: Bulk) -> list[tuple[str, str, str]]:
    """Return name, status and code of each item."""
    return [(item.portfolio_name, item.status.value, item.code) for item in await items(context, bulk)]


async def message(context: Context, bulk: Bulk) -> str:
    """Return the message of the only item that has one."""
    [said] = [item.message for item in await items(context, bulk) if item.message]
    return said


async def plans_of(world: World) -> list[tuple[str, str, int]]:
    """Return name, status and count of the plans there are, over all portfolios."""
    async with world.raw() as connection:
        rows = await connection.fetch(
            "SELECT p.name, l.status, count(*)::int FROM plans l JOIN portfolios p ON p.id = l.portfolio_id "
            "GROUP BY 1, 2 ORDER BY 1, 2"
        )
    return [tuple(row) for row in rows]

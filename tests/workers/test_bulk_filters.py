"""Which portfolios a bulk is about, whose they may be, and what the plans of those come to."""

from base64 import urlsafe_b64encode
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from app.actions import approving, bulks, plans, ticks
from app.context import OPERATOR, Context, Services
from app.core.alerts import DATA_KEY
from app.core.bulks import BulkDraft, BulkFilter, BulkStatus, BulkTotal, ItemStatus
from app.core.errors import Forbidden, InvalidInput, InvalidState, LimitExceeded, NotFound, SteelyardError
from app.core.plan import PlanRequest
from app.core.policy import Objective, Policy
from app.core.portfolio import Asset
from app.embedded import Endpoints
from app.store import bulks as rows
from app.store.bulks import Reach
from tests.builders import absolute, asset, sleeve, snapshot
from tests.store.world import World
from tests.support import enter
from tests.workers import conftest
from tests.workers.bulking import EVERYBODY, FULL, OWN, items, keep, proposed, to_approve, to_propose, told

NOBODY = "pf_01h455vb4pex5vsknk084sn02q"


async def names(context: Context, which: BulkFilter, *, approve: bool = False) -> list[str]:
    """Return the portfolios that a bulk would be about, as it pins them; it is cancelled at once."""
    draft = to_approve(which) if approve else to_propose(which)
    shown = await bulks.preview(context, draft)
    bulk = await bulks.begin(context, draft, context.new_id("key"))
    assert (shown.counts, shown.draft) == (bulk.counts, bulk.draft)
    found = [item.portfolio_name for item in await items(context, bulk)]
    if found:
        await bulks.cancel(context, bulk.id)
    return found


@pytest.fixture
async def bob(services: Services, database: Endpoints) -> World:
    owner = await enter(services, "bob")
    return World(services.store, database, owner.owner_id)


@pytest.fixture
async def operator(services: Services) -> Context:
    return await enter(services, "olga", OPERATOR)


async def test_one_owners_breached_portfolios_by_model_and_by_ids(
    services: Services, world: World, alice: Context, bob: World
) -> None:
    wanted: dict[str, Any] = {"AAPL": sleeve("60", band=absolute("5")), "BND": sleeve("40", band=absolute("40"))}
    inside = (await world.keep(snapshot("4 AAPL @ 150, 8 BND @ 50", wanted))).row.public_id
    breached = [await conftest.keep(world, "150") for _ in range(3)]
    await conftest.keep(bob, "150")
    await world.sql("UPDATE portfolios SET name = id::text, model = CASE WHEN id % 2 = 0 THEN 'even' END")
    await ticks.run(services)
    assert len(await names(alice, OWN)) == 4
    out = [(await world.find(one)).row.name for one in breached]
    assert await names(alice, BulkFilter(breached=True)) == out
    both = await names(alice, BulkFilter(breached=True, model="even"))
    assert both == [name for name in out if int(name) % 2 == 0]
    by_ids = BulkFilter(portfolio_ids=(breached[2], inside, breached[0]), breached=True)
    assert await names(alice, by_ids) == [out[0], out[2]]
    assert await names(alice, BulkFilter(model="odd")) == []


@pytest.mark.parametrize(
    ("level", "key", "is_breached"),
    [(1, "A", False), (2, "A", True), (3, "A", True), (2, " untargeted B", True), (2, DATA_KEY, False)],
)
async def test_breached_is_what_was_last_seen_outside_its_band(
    world: World, alice: Context, level: int, key: str, is_breached: bool
) -> None:
    row = (await world.find(await keep(world))).row.id
    await world.sql(
        "INSERT INTO drift_states (portfolio_id, key, level, peak, runs) VALUES ($1, $2, $3, 0, '{0,0,0}')",
        *(row, key, level),
    )
    assert await names(alice, BulkFilter(breached=True)) == (["Test"] if is_breached else [])


async def test_what_is_paused_or_archived_is_left_alone(world: World, alice: Context) -> None:
    kept = [await keep(world, name) for name in ("ACTIVE", "PAUSED", "ARCHIVED")]
    await world.sql("UPDATE portfolios SET status = name")
    assert await names(alice, OWN) == ["ACTIVE"]
    assert await names(alice, BulkFilter(portfolio_ids=tuple(kept))) == ["ACTIVE"]


async def test_an_operator_acts_for_several_owners_in_their_names(
    services: Services, world: World, bob: World, operator: Context, alice: Context
) -> None:
    for owner, name in ((world, "a1"), (world, "a2"), (bob, "b1"), (await world.other("carol"), "c1")):
        await keep(owner, name)
    assert await names(operator, OWN) == []
    assert await names(operator, EVERYBODY) == ["a1", "a2", "b1", "c1"]
    assert await names(operator, BulkFilter(owners=(("steelyard", "bob"), ("test", "carol")))) == ["b1", "c1"]
    two = BulkFilter(owners=(("steelyard", "bob"), ("steelyard", "alice")))
    bulk = await proposed(services, operator, two)
    found = await items(operator, bulk)
    assert [item.owner for item in found] == [("steelyard", "alice")] * 2 + [("steelyard", "bob")]
    assert (bulk.counts, bulk.totals[0].plans, bulk.draft.filter) == ({ItemStatus.READY: 3}, 3, two)
    assert found[0].plan_id
    plan = await plans.find(alice, found[0].plan_id)
    assert (plan.status.value, plan.requested_by) == ("READY", "olga")
    with pytest.raises(NotFound):
        await plans.find(operator, plan.id)
    assert await world.sql("SELECT count(*) FROM rebalance_history WHERE actor = 'olga'") == 3
    bulk = await bulks.begin(operator, to_approve(two, expected=3), "approve")
    await bulks.run(services, operator.owner_id, bulk.id)
    assert await told(operator, bulk) == [(name, "APPROVED", "") for name in ("a1", "a2", "b1")]
    assert (await plans.find(alice, plan.id)).approved_by == "olga"
    topics = "SELECT count(*) FROM outbox WHERE topic = 'bulk' AND owner_id <> $1"
    assert await world.sql(topics, operator.owner_id) == 0


async def test_the_history_names_the_bulk_and_who_began_it_beside_the_tool(
    services: Services, world: World, operator: Context
) -> None:
    await keep(world)
    tool = replace(operator, actor="desk")
    proposing = await proposed(services, tool, EVERYBODY)
    approving = await bulks.begin(tool, to_approve(EVERYBODY), "approve")
    await bulks.run(services, tool.owner_id, approving.id)
    lines = """
        SELECT array_agg(actor || ' ' || (canonical::jsonb #>> '{document,bulk}') ORDER BY sequence)
        FROM rebalance_history WHERE canonical::jsonb #> '{document,bulk}' IS NOT NULL
    """
    named = [f'{{"id": "{bulk.id}", "issuer": "steelyard", "subject": "olga"}}' for bulk in (proposing, approving)]
    assert await world.sql(lines) == [f"desk {name}" for name in named]


async def test_who_is_an_operator_no_more_sees_what_became_of_the_own_portfolios_alone(
    world: World, bob: World, alice: Context
) -> None:
    for owner, name in ((bob, "b1"), (world, "a1"), (bob, "b2"), (world, "a2")):
        await keep(owner, name)
    operator = replace(alice, roles=frozenset({OPERATOR}))
    bulk = await bulks.begin(operator, to_propose(EVERYBODY), "once")
    assert [item.portfolio_name for item in await items(operator, bulk)] == ["b1", "a1", "b2", "a2"]
    assert [(item.place, item.portfolio_name) for item in await items(alice, bulk)] == [(2, "a1"), (4, "a2")]
    first = await bulks.items(alice, bulk.id, 1, None, [ItemStatus.WAITING])
    rest = await bulks.items(alice, bulk.id, 1, first.end_cursor, [ItemStatus.WAITING])
    assert [item.portfolio_name for item in (*first.items, *rest.items)] == ["a1", "a2"]
    assert (first.more, rest.more) == (True, False)


async def test_a_cursor_behind_every_item_there_can_be_opens_nothing(world: World, alice: Context) -> None:
    await keep(world)
    bulk = await bulks.begin(alice, to_propose(), "once")
    cursor = urlsafe_b64encode(b"999999999999999999").decode()
    assert (await bulks.items(alice, bulk.id, 5, cursor, None)).items == ()


@pytest.mark.parametrize("which", [EVERYBODY, BulkFilter(owners=(("steelyard", "bob"),))])
async def test_who_is_no_operator_has_no_owners(alice: Context, which: BulkFilter) -> None:
    for call in (bulks.begin(alice, to_propose(which), "once"), bulks.preview(alice, to_approve(which))):
        with pytest.raises(Forbidden, match="this needs the role operator"):
            await call


async def test_what_is_not_there_or_somebody_elses_does_not_exist(
    world: World, bob: World, alice: Context, operator: Context
) -> None:
    mine, theirs = await keep(world), await keep(bob)
    before = await bulks.begin(operator, to_propose(EVERYBODY), "theirs")
    unknown: list[tuple[Context, BulkFilter, tuple[str, ...]]] = [
        (alice, BulkFilter(portfolio_ids=(mine, theirs)), ("filter", "portfolioIds", "1")),
        (alice, BulkFilter(portfolio_ids=(NOBODY,)), ("filter", "portfolioIds", "0")),
        (alice, BulkFilter(portfolio_ids=("nonsense",)), ("filter", "portfolioIds", "0")),
        (operator, BulkFilter(portfolio_ids=(mine,)), ("filter", "portfolioIds", "0")),
        (operator, BulkFilter((("steelyard", "bob"),), (theirs, mine)), ("filter", "portfolioIds", "1")),
        (operator, BulkFilter((("steelyard", "bob"), ("test", "bob"))), ("filter", "owners", "1")),
        (alice, BulkFilter(proposed_in=before.id), ("filter", "proposedIn")),
        (alice, BulkFilter(proposed_in="nonsense"), ("filter", "proposedIn")),
    ]
    for context, which, path in unknown:
        draft = to_propose(which) if which.proposed_in is None else to_approve(which)
        for call in (bulks.begin(context, draft, "once"), bulks.preview(context, draft)):
            with pytest.raises(NotFound) as error:
                await call
            assert error.value.path == path
    with pytest.raises(NotFound):
        await bulks.find(alice, "nonsense")
    assert await names(operator, BulkFilter((), (theirs, mine))) == ["Test", "Test"]
    assert await world.sql("SELECT count(*) FROM bulks") == 2


async def test_the_number_that_was_looked_at_has_to_be_the_number_there_is(
    services: Services, world: World, alice: Context
) -> None:
    await keep(world)
    message = "1 portfolios meet the filter, not 2; look at them, then ask with their number"
    for draft, path in (
        (to_propose(expected=2), "expectedPortfolios"),
        (to_approve(expected=2), "expectedPlans"),
    ):
        for call in (bulks.begin(alice, draft, "once"), bulks.preview(alice, draft)):
            with pytest.raises(InvalidState, match=message.replace("1", "[01]")) as error:
                await call
            assert error.value.path == (path,)
    assert await world.sql("SELECT count(*) FROM bulks") == 0
    assert (await bulks.begin(alice, to_propose(expected=1), "once")).counts == {ItemStatus.WAITING: 1}


async def test_where_nothing_meets_the_filter_the_bulk_is_done(services: Services, alice: Context) -> None:
    for draft in (to_propose(), to_approve(expected=0)):
        bulk = await bulks.begin(alice, draft, draft.kind.value)
        assert (bulk.status, bulk.counts, bulk.ended_at) == (BulkStatus.DONE, {}, alice.now)
        shown = await bulks.preview(alice, draft)
        assert replace(shown, id=bulk.id) == bulk
    assert await conftest.waiting(services) == []


async def test_a_bulk_has_a_most(world: World, alice: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulks, "ITEMS_MAX", 2)
    for _ in range(2):
        await keep(world)
    assert (await bulks.begin(alice, to_propose(), "two")).counts == {ItemStatus.WAITING: 2}
    await keep(world)
    for call in (bulks.begin(alice, to_propose(), "three"), bulks.preview(alice, to_propose())):
        with pytest.raises(LimitExceeded, match="more than 2 portfolios meet the filter") as refused:
            await call
        assert refused.value.path == ("filter",)
    assert await world.sql("SELECT count(*) FROM bulk_items") == 2


async def test_more_plans_than_a_bulk_may_have_are_counted_no_further_and_not_summed_up(
    services: Services, world: World, alice: Context
) -> None:
    for _ in range(3):
        await keep(world)
    await proposed(services, alice)
    reach = Reach([alice.owner_id])
    async with services.store.shared(reading=True) as tx:
        assert await rows.scan_count(tx, to_propose(), reach, 1) == (2, ())
        assert await rows.scan_count(tx, to_approve(), reach, 1) == (2, ())
        count, [total] = await rows.scan_count(tx, to_approve(), reach, 3)
    assert (count, total.plans, total.bought) == (3, 3, Decimal(600))


async def test_a_dry_run_counts_and_stores_nothing(services: Services, world: World, alice: Context) -> None:
    await keep(world)
    shown = await bulks.preview(alice, to_propose())
    assert (shown.status.value, shown.counts, shown.totals) == ("RUNNING", {ItemStatus.WAITING: 1}, ())
    assert await bulks.begin(alice, to_propose(), "once") != shown
    [bulk] = (await bulks.page(alice, 10, None)).items
    await bulks.run(services, alice.owner_id, bulk.id)
    shown = await bulks.preview(alice, to_approve())
    assert shown.counts == {ItemStatus.WAITING: 1}
    assert shown.totals == (await bulks.find(alice, bulk.id)).totals
    assert shown.totals == (BulkTotal("USD", 1, 3, Decimal(200), Decimal(200), Decimal(0), Decimal(0)),)
    assert len((await bulks.page(alice, 10, None)).items) == 1


# What plans come to


def priced(symbol: str) -> Asset:
    """A stock with half a spread of 0.1 percent."""
    made = asset(symbol)
    return replace(made, costs=replace(made.costs, half_spread=Decimal("0.001")))


async def keep_in(world: World, currency: str, name: str, ledger: str) -> str:
    """Store units at 10, wanted at 50 and 50 percent; gains are taxed by a quarter."""
    wanted: dict[str, Any] = {symbol: sleeve("50", band=absolute("1")) for symbol in (f"{currency}A", f"{currency}B")}
    made = tuple(replace(priced(symbol), currency=currency) for symbol in wanted)
    policy = Policy(long_term_rate=Decimal(25), objective=Objective.MIN_DRIFT)
    kept = await world.keep(snapshot(ledger, wanted, policy=policy, assets=made, base=currency), name)
    return kept.row.public_id


async def test_totals_are_exact_and_by_currency(services: Services, world: World, alice: Context) -> None:
    await keep_in(world, "USD", "one", "60 USDA {8} @ 10, 40 USDB @ 10")
    await keep_in(world, "USD", "two", "70 USDA @ 10, 30 USDB @ 10")
    await keep_in(world, "EUR", "three", "60 EURA {4} @ 10, 40 EURB @ 10")
    bulk = await proposed(services, alice)
    one, two, three = [await plan_of(alice, item.plan_id) for item in await items(alice, bulk)]
    assert bulk.totals == (total("EUR", three), total("USD", one, two))
    assert bulk.totals[1].costs > 0
    assert (bulk.totals[0].tax > bulk.totals[1].tax > 0, bulk.totals[1].plans, bulk.totals[1].trades) == (True, 2, 4)
    assert (await bulks.preview(alice, to_approve())).totals == bulk.totals
    approve = await bulks.begin(alice, to_approve(), "approve")
    await bulks.run(services, alice.owner_id, approve.id)
    assert (await bulks.find(alice, approve.id)).totals == bulk.totals


async def plan_of(context: Context, plan_id: str | None) -> Any:
    assert plan_id
    return (await plans.find(context, plan_id)).plan


def total(currency: str, *made: Any) -> BulkTotal:
    sums = [one.summary for one in made]
    return BulkTotal(
        currency,
        len(made),
        sum(len(one.trades) for one in made),
        sum((one.bought for one in sums), Decimal(0)),
        sum((one.sold for one in sums), Decimal(0)),
        sum((one.fees + one.spread + one.impact for one in sums), Decimal(0)),
        sum((one.tax.estimated_tax for one in sums), Decimal(0)),
    )


@pytest.mark.parametrize("limit", ["turnover_at_most", "cost_at_most", "tax_at_most"])
async def test_a_limit_is_a_percent_of_the_value_before_and_may_be_reached(
    services: Services, world: World, alice: Context, limit: str
) -> None:
    await keep_in(world, "USD", "small", "60 USDA {8} @ 10, 40 USDB @ 10")
    await keep_in(world, "USD", "large", "80 USDA {4} @ 10, 20 USDB @ 10")
    before = await proposed(services, alice)
    made = [await plan_of(alice, item.plan_id) for item in await items(alice, before)]
    small, large = (share_of(plan, limit) for plan in made)
    assert 0 < small < large
    nothing = Decimal("1e-12")
    chosen = [small - nothing, small, large - nothing, large]
    found = [await names(alice, limited(limit, percent), approve=True) for percent in chosen]
    assert found == [[], ["small"], ["small"], ["small", "large"]]


def limited(limit: str, percent: Any) -> BulkFilter:
    given: dict[str, Any] = {limit: percent}
    return BulkFilter(**given)


def share_of(plan: Any, limit: str) -> Decimal:
    """Return a percent of what a portfolio of 1000 is worth."""
    summary = plan.summary
    amounts = {
        "turnover_at_most": (summary.bought + summary.sold) / 2,
        "cost_at_most": summary.fees + summary.spread + summary.impact,
        "tax_at_most": summary.tax.estimated_tax,
    }
    assert plan.before.valuation.value == plan.before.base == 1000
    return Decimal(amounts[limit]) / 10


async def test_only_plans_of_one_bulk_are_approved(services: Services, world: World, alice: Context) -> None:
    for name, model in (("a", "m1"), ("b", "m2"), ("c", "m2")):
        await keep(world, name)
        await world.sql("UPDATE portfolios SET model = $1 WHERE name = $2", model, name)
    await proposed(services, alice, BulkFilter(model="m1"), "m1")
    second = await proposed(services, alice, BulkFilter(model="m2"), "m2")
    last = (await items(alice, second))[1].plan_id
    assert last
    await approving.reject(alice, last, "", None)
    assert await names(alice, OWN, approve=True) == ["a", "b"]
    assert await names(alice, BulkFilter(proposed_in=second.id), approve=True) == ["b"]


@pytest.mark.parametrize(
    ("field", "given"),
    [("turnover_at_most", 1), ("cost_at_most", 1), ("tax_at_most", 1), ("proposed_in", "bk_x")],
)
async def test_what_is_asked_of_plans_is_refused_where_there_are_none(alice: Context, field: str, given: Any) -> None:
    draft: BulkDraft = to_propose(limited(field, given))
    with pytest.raises(InvalidInput, match="only a bulk that approves has it") as error:
        await bulks.begin(alice, draft, "once")
    assert error.value.path[0] == "filter"


async def test_a_symbol_to_leave_alone_counts_where_it_is_and_has_to_be_somewhere(
    services: Services, world: World, alice: Context
) -> None:
    await keep(world, "both")
    await world.keep(snapshot("40 D @ 10, 20 C @ 10", {"D": "50", "C": "50"}), "one")
    request = replace(FULL, exclude=("A", "D"), no_buy=("C",))
    bulk = await bulks.begin(alice, to_propose(request=request), "once")
    await bulks.run(services, alice.owner_id, bulk.id)
    asked = [(await plans.find(alice, str(item.plan_id))).request for item in await items(alice, bulk)]
    assert [(one.exclude, one.no_buy) for one in asked] == [(("A",), ("C",)), (("D",), ("C",))]
    for field, name in (("exclude", "exclude"), ("no_buy", "noBuy"), ("no_sell", "noSell")):
        for symbol in ("E", "A:USD"):
            named: dict[str, Any] = {field: ("A", symbol)}
            wrong = PlanRequest(**named)
            with pytest.raises(NotFound) as error:
                await bulks.begin(alice, to_propose(request=wrong), "twice")
            assert (error.value.missing_id, error.value.path) == (symbol, (name, "1"))


async def test_a_refused_draft_leaves_its_key_free(world: World, alice: Context) -> None:
    await keep(world)
    with pytest.raises(SteelyardError):
        await bulks.begin(alice, to_propose(expected=2), "once")
    assert (await bulks.begin(alice, to_propose(), "once")).counts == {ItemStatus.WAITING: 1}

"""What holds for every portfolio, target and policy."""

from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from app.core.alerts import SleeveState, decide
from app.core.bands import Band, BandKind, Side, two_sided
from app.core.costs import Costs
from app.core.digest import digest
from app.core.drift import SEVERITY, DriftStatus, Snapshot, bands_of, measure
from app.core.errors import InvalidState
from app.core.money import ONE, exactly
from app.core.optimize.allocate import PlanScope
from app.core.plan import Plan, PlanStatus
from app.core.policy import Policy
from app.core.targets import TargetDraft, Targets
from app.core.trades import TradeSide
from tests.builders import AS_OF, asset, propose, settled, snapshot, swinging
from tests.core.samples import (
    PROPERTY,
    SYMBOLS,
    band_kinds,
    costs,
    decimals,
    every_band,
    ledgers,
    policies,
    prices_of,
    targets,
)

Wanted = dict[str, str | TargetDraft]
SCOPES = st.sampled_from([PlanScope.FULL, PlanScope.BREACHED_ONLY, PlanScope.CASH_FLOW])
# What a purchase may cost is rounded down to 10 decimals, so a few of those may be left over.
CRUMB = Decimal("1E-9")


@exactly
def exact_sum(numbers: list[Decimal]) -> Decimal:
    return sum(numbers, Decimal(0))


def plan_or_nothing(start: Snapshot, scope: PlanScope, flow: str = "0") -> Plan | None:
    try:
        return propose(start, scope, flow=flow)
    except InvalidState:
        assert measure(start).valuation.value == 0
        return None


@exactly
def check_buffer(start: Snapshot, plan: Plan) -> None:
    """Purchases leave the buffer of the policy in cash, or all there was."""
    assert start.targets
    before, after = plan.before.valuation, plan.after.valuation
    assert before.value is not None
    assert before.cash is not None
    assert after.cash is not None
    sells = [planned.trade for planned in plan.trades if planned.trade.side is TradeSide.SELL]
    available = before.cash + plan.request.cash_flow + sum(trade.value - trade.costs.total for trade in sells)
    buffer = start.policy.cash_buffer * (before.value + plan.request.cash_flow) / 100
    if not start.targets.has_cash and plan.request.scope is PlanScope.FULL:
        assert after.cash >= min(max(buffer, Decimal(0)), max(available, Decimal(0)))


@PROPERTY
@given(ledgers(), targets(), policies())
def test_weights_and_bands(ledger: dict[str, str], wanted: Wanted, policy: Policy) -> None:
    report = measure(snapshot(ledger, wanted, policy=policy, prices=prices_of(ledger)))
    if report.status is DriftStatus.NO_VALUE:
        return
    total = sum((entry.actual for entry in report.entries), Decimal(0))
    assert abs(total - 100) <= len(report.entries) * Decimal("5E-7")
    for entry in report.entries:
        assert 0 <= entry.lower <= entry.target <= entry.upper <= 100


@PROPERTY
@given(ledgers(), targets(), policies(), SCOPES, st.lists(costs(), min_size=5, max_size=5), st.data())
def test_a_plan_keeps_its_promises(
    ledger: dict[str, str],
    wanted: Wanted,
    policy: Policy,
    scope: PlanScope,
    schedules: list[Costs],
    data: st.DataObject,
) -> None:
    steps = data.draw(st.lists(st.sampled_from(["0", "0.01", "1"]), min_size=5, max_size=5))
    assets = [asset(s, step=step, costs=cost) for s, step, cost in zip(SYMBOLS, steps, schedules, strict=True)]
    start = snapshot(ledger, wanted, policy=policy, assets=assets, prices=prices_of(ledger))
    worth = measure(start).valuation.value or Decimal(0)
    flow = data.draw(
        st.one_of(st.just(Decimal(0)), decimals("0", "5000", 2), st.just(-(worth / 3).quantize(Decimal(1))))
    )
    plan = plan_or_nothing(start, scope, str(flow))
    if plan is None:
        return
    done = [planned.trade for planned in plan.trades]
    sides = [trade.side for trade in done]
    assert sides == sorted(sides, key=lambda side: side is TradeSide.BUY)
    assert len({(trade.asset.id, trade.side) for trade in done}) == len({trade.asset.id for trade in done})
    held = {lot.id: lot for account in start.portfolio.accounts for lot in account.lots}
    for trade in done:
        assert trade.quantity > 0
        whole = trade.asset.quantity_step == 0 or trade.quantity % trade.asset.quantity_step == 0
        assert whole
        for sale in trade.sales:
            assert trade.side is TradeSide.SELL
            assert held[sale.lot.id] is sale.lot
            assert 0 < sale.quantity <= sale.lot.quantity
        if trade.side is TradeSide.SELL:
            assert exact_sum([sale.quantity for sale in trade.sales]) == trade.quantity
            assert policy.allow_sells
            assert scope is not PlanScope.CASH_FLOW or flow < 0
    check_buffer(start, plan)
    sold = [sale.lot.id for trade in done for sale in trade.sales]
    assert len(sold) == len(set(sold))
    assert plan.status is (PlanStatus.READY if done else PlanStatus.NOTHING_TO_DO)
    assert all(skip.explanation.endswith(".") for skip in plan.skipped)
    assert {trade.key for trade in done} <= {entry.key for entry in (*plan.before.entries, *plan.after.entries)} | {
        *wanted
    }


@PROPERTY
@given(ledgers(), targets(), policies(), SCOPES)
def test_units_basis_and_cash_are_conserved(
    ledger: dict[str, str], wanted: Wanted, policy: Policy, scope: PlanScope
) -> None:
    start = snapshot(ledger, wanted, policy=policy, prices=prices_of(ledger))
    plan = plan_or_nothing(start, scope)
    if plan is None:
        return
    after = settled(start, plan)
    done = [planned.trade for planned in plan.trades]
    for account, later in zip(start.portfolio.accounts, after.portfolio.accounts, strict=True):
        mine = [trade for trade in done if trade.account_id == account.id]
        for symbol in SYMBOLS:
            had = [lot.quantity for lot in account.lots if lot.asset_id == symbol]
            has = [lot.quantity for lot in later.lots if lot.asset_id == symbol]
            bought = [t.quantity for t in mine if t.asset.id == symbol and t.side is TradeSide.BUY]
            sold = [t.quantity for t in mine if t.asset.id == symbol and t.side is TradeSide.SELL]
            assert exact_sum(had + bought) == exact_sum(has + sold)
        gone = [sale.basis for trade in mine for sale in trade.sales]
        kept = [lot.basis for lot in later.lots if not lot.id.startswith("planned")]
        assert exact_sum([lot.basis for lot in account.lots]) == exact_sum(kept + gone)
        paid = exact_sum([t.value for t in mine if t.side is TradeSide.BUY])
        got = exact_sum([t.value for t in mine if t.side is TradeSide.SELL])
        cash = later.cash.get("USD", Decimal(0))
        assert cash >= 0
        assert exact_sum([cash, paid]) == exact_sum([account.cash.get("USD", Decimal(0)), got])
    # Without costs nothing is lost: the portfolio is worth the same, and what the plan foretold is what is measured.
    assert measure(after).valuation.value == plan.before.valuation.value == plan.after.valuation.value
    assert measure(after).entries == plan.after.entries


@PROPERTY
@given(ledgers(), targets(), policies(free=True))
def test_a_full_plan_without_obstacles_reaches_the_targets(
    ledger: dict[str, str], wanted: Wanted, policy: Policy
) -> None:
    start = snapshot(ledger, wanted, policy=policy, prices=prices_of(ledger))
    plan = plan_or_nothing(start, PlanScope.FULL)
    if plan is None or len(start.portfolio.accounts) > 1:
        return
    size = plan.before.valuation.value or Decimal(0)
    for entry in plan.after.entries:
        assert abs(entry.to_target) <= CRUMB * max(size, ONE)
    before, after = plan.before.max_abs_drift, plan.after.max_abs_drift
    assert before is None or after is None or after <= before + Decimal("0.000001")


@PROPERTY
@given(ledgers(), targets(), policies(free=True), SCOPES)
def test_drift_never_grows(ledger: dict[str, str], wanted: Wanted, policy: Policy, scope: PlanScope) -> None:
    start = snapshot(ledger, wanted, policy=policy, prices=prices_of(ledger))
    plan = plan_or_nothing(start, scope)
    if plan is None or plan.before.turnover_to_target is None:
        return
    assert plan.after.turnover_to_target is not None
    assert plan.after.turnover_to_target <= plan.before.turnover_to_target + Decimal("0.000001")


@PROPERTY
@given(ledgers(), targets(), policies(), SCOPES)
def test_planning_twice_gives_the_same_plan(
    ledger: dict[str, str], wanted: Wanted, policy: Policy, scope: PlanScope
) -> None:
    start = snapshot(ledger, wanted, policy=policy, prices=prices_of(ledger))
    first = plan_or_nothing(start, scope)
    reordered = dict(reversed(list(start.market.assets.items())))
    second = plan_or_nothing(replace(start, market=replace(start.market, assets=reordered)), scope)
    assert digest(first) == digest(second)


@PROPERTY
@given(ledgers(), targets(), policies(free=True), SCOPES)
def test_a_plan_that_was_carried_out_leaves_only_crumbs(
    ledger: dict[str, str], wanted: Wanted, policy: Policy, scope: PlanScope
) -> None:
    start = snapshot(ledger, wanted, policy=policy, prices=prices_of(ledger))
    plan = plan_or_nothing(start, scope)
    if plan is None or len(start.portfolio.accounts) > 1:
        return
    again = propose(settled(start, plan), scope)
    size = plan.before.valuation.value or Decimal(0)
    assert again.summary.bought + again.summary.sold <= CRUMB * max(size, ONE)
    # With a smallest trade of a cent there is nothing left to do at all.
    cent = replace(policy, min_trade=Decimal("0.01"))
    assert propose(replace(settled(start, plan), policy=cent), scope).status is PlanStatus.NOTHING_TO_DO


@PROPERTY
@given(ledgers(), targets(bands=every_band()), every_band(), st.lists(costs(), min_size=5, max_size=5))
def test_measuring_twice_gives_the_same(
    ledger: dict[str, str], wanted: Wanted, default: Band, schedules: list[Costs]
) -> None:
    assets = [asset(symbol, costs=schedule) for symbol, schedule in zip(SYMBOLS, schedules, strict=True)]
    start = snapshot(ledger, wanted, band=default, assets=assets, prices=prices_of(ledger))
    start = replace(start, closes={symbol: swinging(str(place * 7)) for place, symbol in enumerate(SYMBOLS)})
    first = measure(start, tracking=True)
    assert first == measure(start, tracking=True)
    assert digest(start) == digest(replace(start, closes=dict(reversed(list(start.closes.items())))))
    assert (first.tracking_error is None) == (first.entries == ())
    for entry in first.entries:
        assert 0 <= entry.lower <= entry.target <= entry.upper <= 100
    assert {key: worked.width for key, worked in bands_of(start, start.targets or Targets(())).items()} == {
        entry.key: entry.width for entry in first.entries if entry.targeted
    } or first.status is DriftStatus.NO_VALUE


@PROPERTY
@given(ledgers(), targets(), band_kinds(), decimals("0", "30", 3), st.booleans())
def test_widening_a_band_never_adds_a_breach(
    ledger: dict[str, str], wanted: Wanted, band: Band, more: Decimal, above: bool
) -> None:
    bare = {key: replace(draft, band=None) for key, draft in wanted.items() if isinstance(draft, TargetDraft)}
    before = measure(snapshot(ledger, dict(bare), band=band, prices=prices_of(ledger)))
    for entry in before.entries:
        if entry.targeted:
            down, up = entry.width.down + (0 if above else more), entry.width.up + (more if above else 0)
            wide = two_sided(Side(BandKind.ABSOLUTE, absolute=down), Side(BandKind.ABSOLUTE, absolute=up))
            widened = {**bare, entry.key: replace(bare[entry.key], band=wide)}
            after = measure(snapshot(ledger, dict(widened), band=band, prices=prices_of(ledger)))
            reached = next(one for one in after.entries if one.key == entry.key)
            assert SEVERITY[reached.status] <= SEVERITY[entry.status]
            assert after.breaches <= before.breaches


@PROPERTY
@given(ledgers(), targets(), policies())
def test_measuring_the_same_hour_twice_decides_nothing_new(
    ledger: dict[str, str], wanted: Wanted, policy: Policy
) -> None:
    report = measure(snapshot(ledger, wanted, policy=policy, prices=prices_of(ledger)))
    states: dict[str, SleeveState] = {}
    first = decide(states, report, policy, AS_OF)
    assert {t.key for t in first.transitions} == {e.key for e in report.entries if e.status is DriftStatus.BREACHED}
    second = decide({**states, **first.changed}, report, policy, AS_OF)
    assert (second.changed, second.gone, second.transitions) == ({}, (), ())

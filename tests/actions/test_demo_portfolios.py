from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise, takewhile
from pathlib import Path

import pytest

from app.actions import demo_portfolios, demo_prices
from app.actions.demo_prices import FIRST_DAY, LAST_DAY, PriceSeries
from app.core import assemble, drift
from app.core.bands import BandKind
from app.core.document import PortfolioFile
from app.core.drafts import PortfolioDraft, check_accounts
from app.core.drift import DriftStatus, Report, Snapshot
from app.core.errors import InvalidInput
from app.core.portfolio import AccountKind, Market, Price

CACHE = Path(__file__).parents[2] / ".cache" / "prices"


@pytest.fixture(scope="module")
def history() -> PriceSeries:
    demo_prices.fetch(CACHE)
    return demo_prices.load(CACHE, date(2014, 1, 1), FIRST_DAY)


@pytest.fixture(scope="module")
def replay() -> PriceSeries:
    demo_prices.fetch(CACHE)
    return demo_prices.load(CACHE, FIRST_DAY, LAST_DAY)


@pytest.fixture(scope="module")
def drafts(history: PriceSeries) -> dict[str, PortfolioDraft]:
    owners = demo_portfolios.portfolios(history, FIRST_DAY)
    assert tuple(owners) == demo_portfolios.OWNERS
    return {draft.name: draft for drafts in owners.values() for draft in drafts}


def market_of(day: date, closes: Mapping[str, Decimal]) -> Market:
    assets = {asset.id: asset for asset in demo_prices.assets()}
    at = demo_prices.closed_at(day)
    return Market(assets, {asset_id: Price(closes[asset.symbol], at) for asset_id, asset in assets.items()})


def first_snapshot(draft: PortfolioDraft, replay: PriceSeries) -> Snapshot:
    day, closes = next(demo_prices.frames(replay))
    market = market_of(day, closes)
    priced = tuple((asset, market.prices[asset.id]) for asset in market.assets.values())
    return assemble.snapshot_of(PortfolioFile(demo_prices.closed_at(day), priced, draft, ()))


def measured(draft: PortfolioDraft, replay: PriceSeries) -> Iterator[tuple[date, Report]]:
    snapshot = first_snapshot(draft, replay)
    for day, closes in demo_prices.frames(replay):
        as_of = demo_prices.closed_at(day)
        yield day, drift.measure(replace(snapshot, market=market_of(day, closes), as_of=as_of))


def test_portfolios_start_within_their_bands_but_the_inherited_one(
    drafts: dict[str, PortfolioDraft], replay: PriceSeries
) -> None:
    reports = {name: drift.measure(first_snapshot(draft, replay)) for name, draft in drafts.items()}
    assert {name: (report.status.value, str(report.max_abs_drift)) for name, report in reports.items()} == {
        "Core growth": ("WITHIN", "0.040174"),
        "Crypto tilt": ("WITHIN", "1.760090"),
        "Retirement": ("WITHIN", "0.086353"),
        "Staples with idle cash": ("WITHIN", "0.247146"),
        "Value at a loss": ("WITHIN", "0.016204"),
        "Europa": ("WITHIN", "0.077707"),
        "Inherited": ("BREACHED", "25.004079"),
    }
    assert [entry.key for entry in reports["Inherited"].entries if not entry.targeted] == ["MRK"]


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("Crypto tilt", date(2018, 1, 5)),
        ("Value at a loss", date(2018, 1, 31)),
        ("Europa", date(2018, 6, 4)),
        ("Retirement", date(2018, 9, 14)),
    ],
)
def test_portfolio_breaches_during_the_replay(
    drafts: dict[str, PortfolioDraft], replay: PriceSeries, name: str, day: date
) -> None:
    path = measured(drafts[name], replay)
    before = dict(takewhile(lambda step: step[1].status is not DriftStatus.BREACHED, path))
    assert max(before) == replay.days[replay.days.index(day) - 1]
    assert before[FIRST_DAY].status is DriftStatus.WITHIN
    assert {report.status for report in before.values()} <= {DriftStatus.WITHIN, DriftStatus.WARNING}


def test_prices_of_a_long_weekend_are_fresh_until_late_the_next_day(
    drafts: dict[str, PortfolioDraft], replay: PriceSeries
) -> None:
    assert max(after - before for before, after in pairwise(replay.days)) == timedelta(days=4)
    friday = date(2018, 1, 12)
    market = market_of(friday, dict(demo_prices.frames(replay))[friday])
    late = demo_prices.closed_at(date(2018, 1, 16)) + timedelta(hours=12)
    for draft in drafts.values():
        report = drift.measure(replace(first_snapshot(draft, replay), market=market, as_of=late))
        assert report.valuation.stale == ()


def test_targets_sum_to_100(drafts: dict[str, PortfolioDraft]) -> None:
    for draft in drafts.values():
        assert sum(target.percent for target in draft.targets or ()) == 100
        check_accounts(draft.accounts)


def test_one_portfolio_holds_more_than_a_twentieth_in_cash_that_no_target_asks_for(
    drafts: dict[str, PortfolioDraft], replay: PriceSeries
) -> None:
    snapshot = first_snapshot(drafts["Staples with idle cash"], replay)
    report = drift.measure(snapshot)
    assert snapshot.targets is not None
    assert not snapshot.targets.has_cash
    assert (report.valuation.cash, report.valuation.value) == (Decimal(10_000), Decimal("79533.364"))


def test_lots_at_a_loss_cost_what_they_cost_on_their_day(
    drafts: dict[str, PortfolioDraft], replay: PriceSeries
) -> None:
    lots = [lot for account in drafts["Value at a loss"].accounts for lot in account.lots]
    gas = [(str(lot.unit_cost), str(lot.acquired_on)) for lot in lots if lot.symbol == "RRC"]
    assert gas[0] == ("88.772000", "2014-06-02")
    report = drift.measure(first_snapshot(drafts["Value at a loss"], replay))
    lost = {holding.asset.symbol for holding in report.valuation.holdings if (holding.value or 0) < holding.basis}
    assert lost == {"GE", "RRC"}


def test_costs_in_a_euro_portfolio_are_in_euro_at_the_rate_of_their_day(
    drafts: dict[str, PortfolioDraft], history: PriceSeries
) -> None:
    lots = drafts["Europa"].accounts[0].lots
    day = history.days.index(date(2015, 3, 2))
    stock, bond = (next(lot for lot in lots if lot.symbol == symbol) for symbol in ("MSFT", "SIM-EURBOND"))
    rate = history.closes["EUR"][day]
    assert stock.unit_cost == (history.closes["MSFT"][day] / rate).quantize(Decimal("0.000001"))
    assert bond.unit_cost == history.closes["SIM-EURBOND"][day]
    assert drafts["Europa"].accounts[0].cash == {"EUR": Decimal(12_000)}


def test_every_lot_was_bought_before_the_first_day_in_whole_steps(drafts: dict[str, PortfolioDraft]) -> None:
    steps = {asset.symbol: asset.quantity_step for asset in demo_prices.assets()}
    for draft in drafts.values():
        for lot in (lot for account in draft.accounts for lot in account.lots):
            assert lot.quantity > 0
            assert lot.quantity % steps[lot.symbol] == 0
            assert lot.acquired_on is not None
            assert lot.acquired_on < FIRST_DAY


def test_together_they_show_every_kind_of_account_band_and_sleeve(drafts: dict[str, PortfolioDraft]) -> None:
    targets = [target for draft in drafts.values() for target in draft.targets or ()]
    assert {account.kind for draft in drafts.values() for account in draft.accounts} == set(AccountKind)
    default = {draft.policy.default_band.kind for draft in drafts.values()}
    assert default | {target.band.kind for target in targets if target.band} == set(BandKind)
    assert any(target.key == "CASH" for target in targets)
    assert any(target.asset_class and not target.assets for target in targets)
    assert any(len(target.assets) > 1 for target in targets)
    assert any(target.band for target in targets)
    assert {draft.base_currency for draft in drafts.values()} == {"USD", "EUR"}


def test_two_owners_have_two_portfolios_of_one_model_with_assets_in_common(history: PriceSeries) -> None:
    owners = demo_portfolios.portfolios(history, FIRST_DAY)
    models = {name: [draft.model for draft in drafts] for name, drafts in owners.items()}
    assert models == {"alice": ["Growth", "Growth"], "bob": ["Factors", None], "carol": ["Value", None, "Value"]}
    for name, (one, other) in {"alice": (0, 1), "carol": (0, 2)}.items():
        held = [{lot.symbol for account in owners[name][place].accounts for lot in account.lots}
                for place in (one, other)]  # fmt: skip
        assert held[0] & held[1]


def test_history_that_begins_too_late_is_refused(replay: PriceSeries) -> None:
    with pytest.raises(InvalidInput, match="the history begins on 2018-01-02; it must reach back to 2015-03-02"):
        demo_portfolios.portfolios(replay, FIRST_DAY)

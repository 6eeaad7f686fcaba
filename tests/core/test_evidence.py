"""What COST bands rest on: fees, spreads, and the tax on the lots that would go."""

from dataclasses import replace
from decimal import Decimal

import pytest

from app.core.bands import SMART, Band, BandKind, Evidence, SideCosts, work_out
from app.core.costs import Costs, Tier
from app.core.drift import Snapshot, bands_of, measure
from app.core.optimize.allocate import PlanScope
from app.core.policy import LotMethod, Policy, TaxRegime
from app.core.portfolio import AssetClass, Broker
from app.core.targets import TargetDraft
from tests.builders import asset, moving_band, propose, sleeve, snapshot

COST = Band(BandKind.COST)
SPREAD = Costs(half_spread=Decimal("0.0005"))
TAXED = Policy(default_band=COST, short_term_rate=Decimal(40), long_term_rate=Decimal(20))


def widths(buying: SideCosts, selling: SideCosts, target: str = "50") -> tuple[Decimal, Decimal]:
    width = work_out(COST, Decimal(target), Evidence(buying=buying, selling=selling)).width
    return width.down, width.up


@pytest.mark.parametrize(
    ("lots", "tax"),
    [
        # Half of what goes is gain. 10 too much go of the first lot in the order of the method.
        ("60 A {0.5 USD 2020-01-02} @ 1", "0.1"),
        ("60 A {0.5 USD 2024-01-02} @ 1", "0.2"),
        ("60 A {2 USD 2020-01-02} @ 1", "0"),  # a loss makes no room
        # MIN_TAX: 4 at a loss of 3 first, then 6 of a gain of half: 20 % of (3 - 3).
        ("4 A {1.75 USD 2020-01-02} @ 1, 56 A {0.5 USD 2020-01-02}", "0"),
        ("4 A {1 USD 2020-01-02} @ 1, 56 A {0.5 USD 2020-01-02}", "0.06"),
    ],
)
def test_selling_costs_the_tax_on_the_lots_that_would_go(lots: str, tax: str) -> None:
    start = snapshot(f"{lots}, 40 B @ 1", {"A": "50", "B": "50"}, policy=TAXED, assets=[asset("A", costs=SPREAD)])
    entry = measure(start).entries[0]
    expected = widths(SideCosts(Decimal("0.0005")), SideCosts(Decimal("0.0005") + Decimal(tax)))
    assert (entry.width.down, entry.width.up) == expected
    assert entry.width.up >= entry.width.down


def test_lots_go_by_the_method_of_the_policy() -> None:
    lots = "10 A {0.9 USD 2019-01-02} @ 1, 50 A {0.1 USD 2022-01-02}"
    found = {}
    for method in (LotMethod.FIFO, LotMethod.LIFO):
        policy = Policy(default_band=COST, long_term_rate=Decimal(20), lot_method=method)
        entry = measure(snapshot(f"{lots}, 40 B @ 1", {"A": "50", "B": "50"}, policy=policy)).entries[0]
        found[method] = entry.width.up
    tax = {LotMethod.FIFO: "0.02", LotMethod.LIFO: "0.18"}
    assert found == {one: widths(SideCosts(), SideCosts(Decimal(rate)))[1] for one, rate in tax.items()}


def test_where_nothing_need_go_the_first_lot_counts_and_sheltered_gains_are_not_taxed() -> None:
    under = snapshot("40 A {0.5} @ 1, 60 B {1} @ 1", {"A": "50", "B": "50"}, policy=TAXED)
    assert measure(under).entries[0].width.up == widths(SideCosts(), SideCosts(Decimal("0.1")))[1]
    sheltered = snapshot({"ira TAX_DEFERRED": "60 A {0.5} @ 1, 40 B {1} @ 1"}, {"A": "50", "B": "50"}, policy=TAXED)
    entry = measure(sheltered).entries[0]
    assert (entry.width.up, entry.width.down) == (Decimal(5), Decimal(5))
    assert entry.why.startswith("No costs of trading are known, so the SMART band stands in:")


def test_gains_are_not_taxed_where_the_policy_knows_no_tax() -> None:
    policy = replace(TAXED, tax_regime=TaxRegime.NONE)
    entry = measure(snapshot("60 A {0.5} @ 1, 40 B {1} @ 1", {"A": "50", "B": "50"}, policy=policy)).entries[0]
    assert (entry.width.up, entry.width.down) == (Decimal(5), Decimal(5))
    assert entry.why.startswith("No costs of trading are known, so the SMART band stands in:")


def test_fixed_fees_are_a_share_of_the_base() -> None:
    fee = Costs(fixed=Decimal(1), minimum=Decimal(3))
    start = snapshot(
        "60 A1 @ 500, 40 B @ 500", {"A": sleeve("50", "A1"), "B": "50"}, band=COST, assets=[asset("A1", costs=fee)]
    )
    fixed = SideCosts(Decimal(0), Decimal("0.00006"))
    assert (measure(start).entries[0].width.down, measure(start).entries[0].width.up) == widths(fixed, fixed)


def test_a_portfolio_that_is_all_cash_is_planned_with_the_same_bands() -> None:
    start = snapshot(
        "1000 cash", {"A": "60", "B": "40"}, band=COST, assets=[asset("A", costs=SPREAD)], prices={"A": "1", "B": "1"}
    )
    assert start.targets
    assert {key: str(one.width.down) for key, one in bands_of(start, start.targets).items()} == {
        "A": "2.051971",
        "B": "5.000000",
    }
    plan = propose(start, PlanScope.FULL)
    assert "band 57.948029 to 62.051971 %" in plan.trades[0].explanation


@pytest.mark.parametrize("band", [COST, moving_band()])
def test_where_there_can_be_no_evidence_the_sentence_says_why(band: Band) -> None:
    """Cash, and a class of which nothing is held: no history and no costs would ever change that."""
    wanted: dict[str, str | TargetDraft] = {"A": "50", "Bonds": sleeve("20", of=AssetClass.BOND), "CASH": "30"}
    start = snapshot("50 A @ 1, 50 cash", wanted, band=band, assets=[asset("A", costs=SPREAD)])
    _, bonds, cash = measure(start).entries
    smart = work_out(SMART, Decimal(20)).why
    assert (
        bonds.why == f"The sleeve names only a class and holds nothing of it yet, so the SMART band stands in: {smart}"
    )
    smart = work_out(SMART, Decimal(30)).why
    assert cash.why == f"Cash is taken to have neither risk nor costs of trading, so the SMART band stands in: {smart}"
    assert (cash.width.down, bonds.width.up) == (Decimal(5), Decimal(5))
    assert (cash.volatility, bonds.volatility) == (None, None)


def brokered(broker: Broker, *, of: str = "main") -> Snapshot:
    """50 A and 40 B in the account main, 10 A and cash in the account other; one of the two names the broker."""
    start = snapshot(
        {"main": "50 A @ 100, 40 B @ 100", "other": "10 A, 100 cash"},
        {"A": "50", "B": "50"},
        band=COST,
        assets=[asset("A", costs=SPREAD)],
    )
    named = (replace(one, broker=broker.name if one.name == of else "") for one in start.portfolio.accounts)
    market = replace(start.market, brokers={broker.name: broker})
    return replace(start, portfolio=replace(start.portfolio, accounts=tuple(named)), market=market)


def test_each_account_pays_the_fees_of_its_own_broker() -> None:
    """Buying is in the account with most cash; what goes is of the first lot, in the other."""
    broker = Broker("X", "USD", fees={AssetClass.STOCK: (Tier(fixed=Decimal(2), rate=Decimal("0.001")),)})
    dear, cheap = SideCosts(Decimal("0.0015"), Decimal("0.0002")), SideCosts(Decimal("0.0005"))
    for account, buying, selling in (("main", cheap, dear), ("other", dear, cheap)):
        entry = measure(brokered(broker, of=account)).entries[0]
        assert (entry.width.down, entry.width.up) == widths(buying, selling)


def test_of_several_lines_the_one_for_a_hundredth_of_the_base_counts() -> None:
    """The base is 10,000. Of an order of 100, a quarter is less than 30, and 31 % are more."""
    broker = Broker("X", "USD", fees={AssetClass.STOCK: (Tier(Decimal(0), Decimal(30)), Tier(rate=Decimal("0.25")))})
    quarter, thirty = SideCosts(Decimal("0.2505")), SideCosts(Decimal("0.0005"), Decimal("0.003"))
    assert measure(brokered(broker)).entries[0].width.up == widths(quarter, quarter)[1]
    large = replace(broker, fees={AssetClass.STOCK: (Tier(rate=Decimal("0.31")), Tier(Decimal(0), Decimal(30)))})
    assert measure(brokered(large)).entries[0].width.up == widths(thirty, thirty)[1]


def test_where_a_brokers_currency_has_no_rate_the_sentence_says_so() -> None:
    broker = Broker("X", "SEK", fees={AssetClass.STOCK: (Tier(fixed=Decimal(2)),)})
    entry = measure(brokered(broker)).entries[0]
    smart = work_out(SMART, Decimal(50)).why
    assert entry.why == f"There is no rate for SEK/USD, in which X charges, so the SMART band stands in: {smart}"


def test_a_band_that_does_not_rest_on_costs_needs_no_rate() -> None:
    broker = Broker("X", "SEK", fees={AssetClass.STOCK: (Tier(fixed=Decimal(2)),)})
    start = brokered(broker)
    entry = measure(replace(start, policy=replace(start.policy, default_band=moving_band()))).entries[0]
    assert entry.why.startswith("A volatility needs")

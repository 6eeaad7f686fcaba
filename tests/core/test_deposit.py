"""Deposits that bring a portfolio back by buying alone: the least one, and what it buys."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given

from app.core import deposit
from app.core.deposit import Deposit
from app.core.drift import DriftStatus, Entry, Report, Snapshot, measure
from app.core.money import exactly, plain
from app.core.optimize.allocate import PlanScope
from app.core.policy import Policy
from app.core.portfolio import Account, TaxLot
from app.core.targets import CASH, TargetDraft
from tests.builders import LONG_AGO, absolute, propose, sleeve, snapshot, statuses
from tests.core.samples import PROPERTY, decimals, ledgers, policies, prices_of, targets

HALVES: dict[str, str | TargetDraft] = {"A": "50", "B": "50"}


def told(found: Deposit | None) -> str | None:
    """Write a deposit as `27.5: 20 A, 7.5 B`."""
    if found is None:
        return None
    return f"{plain(found.amount)}: " + ", ".join(f"{plain(amount)} {key}" for key, amount in found.buys)


@pytest.mark.parametrize(
    ("held", "wanted", "to_band", "to_target"),
    [
        # 70 / 0.55 = 127.2727..., rounded up; 70 / 0.5 = 140
        ("70 A @ 1, 30 B @ 1", HALVES, "27.27272728: 27.27272728 B", "40: 40 B"),
        ("50 A @ 1, 50 B @ 1", HALVES, "0: ", "0: "),
        ("54 A @ 1, 46 B @ 1", HALVES, "0: ", "8: 8 B"),
        # Idle cash is spent first; here it is enough for the band.
        ("40 A @ 1, 60 B @ 1, 10 cash", HALVES, "0: 10 A", "10: 20 A"),
        # What is too much would do with 93.75, but lifting C to 35 % beside the others takes 100 / 0.65.
        (
            "75 A @ 1, 25 B @ 1",
            {"A": sleeve("50", band=absolute("30")), "B": sleeve("10", band=absolute("30")), "C": "40"},
            "53.84615385: 53.84615385 C",
            "150: 50 A, 100 C",
        ),
        # The sleeve CASH may shrink to its lower edge, but not be bought.
        (
            "70 A @ 1, 20 B @ 1, 10 cash",
            {"A": "50", "B": "40", "CASH": "10"},
            "27.27272728: 27.727272732 B",
            "40: 36 B",
        ),
        ("40 A @ 1, 60 cash", {"A": "50", "CASH": "50"}, "0: 10 A", "0: 10 A"),
        # What has no target and no room for it never gets small enough for its target of 0.
        ("50 A @ 1, 50 B @ 1, 6 Z @ 1", HALVES, "14: 7 A, 7 B", None),
    ],
)
def test_the_least_deposit_and_what_it_buys(
    held: str, wanted: dict[str, str | TargetDraft], to_band: str, to_target: str | None
) -> None:
    report = measure(snapshot(held, wanted, band=absolute("5")))
    assert (told(deposit.to_band(report)), told(deposit.to_target(report))) == (to_band, to_target)


def test_no_deposit_helps_a_holding_that_may_have_no_weight() -> None:
    report = measure(snapshot("50 A @ 1, 50 B @ 1, 1 Z @ 1", HALVES, band=absolute("0")))
    assert deposit.to_band(report) is None


def test_no_deposit_is_told_where_numbers_cannot_be_trusted() -> None:
    for start in (snapshot("10 A @ 1, 5 B", HALVES), snapshot("10 A @ 1"), snapshot("5 cash", HALVES)):
        assert deposit.to_band(measure(start)) is None
    logged = replace(measure(snapshot("70 A @ 1, 30 B @ 1", HALVES)), deployable=None)
    assert deposit.to_target(logged) is None


@pytest.mark.parametrize(
    ("held", "to_band", "to_target"),
    [
        ("50 A @ 1, 50 EUR cash", "0: ", "0: "),
        # The euros are 60 % of 100 and may be 55: 60 / 0.55 = 109.0909..., and all of what comes in is for A.
        ("40 A @ 1, 60 EUR cash", "9.0909091: 9.0909091 A", "20: 20 A"),
        # 30 of the dollars may go, the euros stay.
        ("30 A @ 1, 40 EUR cash, 30 cash", "0: 20 A", "0: 20 A"),
        ("30 A @ 1, 60 EUR cash, 10 cash", "9.0909091: 19.0909091 A", "20: 30 A"),
    ],
)
def test_cash_in_other_currencies_counts_in_its_sleeve_and_buys_nothing(
    held: str, to_band: str, to_target: str
) -> None:
    wanted: dict[str, str | TargetDraft] = {"A": "50", "CASH": "50"}
    report = measure(snapshot(held, wanted, band=absolute("5"), rates={"EUR/USD": "1"}))
    assert (told(deposit.to_band(report)), told(deposit.to_target(report))) == (to_band, to_target)


def test_a_plan_by_the_distances_to_the_targets_needs_the_deposit_to_target() -> None:
    """Sleeve A has the least band and a small gap: what is just enough for the bands must go there first."""
    bands = {"A": ("11", "1"), "B": ("52", "3"), "C": ("35", "10"), "D": ("2", "5")}
    wanted: dict[str, str | TargetDraft] = {
        key: sleeve(percent, band=absolute(points)) for key, (percent, points) in bands.items()
    }
    start = snapshot("41 A @ 1, 99 B @ 1, 3 C @ 1, 35 D @ 1, 16 cash", wanted)
    report = measure(start)
    least = deposit.to_band(report)
    assert least is not None
    assert told(least) == "306: 9 A, 151 B, 162 C"
    assert "BREACHED" not in statuses(measure(paid_in(start, report, least))).values()
    by_distance = propose(start, PlanScope.CASH_FLOW, flow="306")
    assert statuses(by_distance.after)["A"] == "BREACHED"
    enough = deposit.to_target(report)
    assert enough is not None
    assert set(statuses(propose(start, PlanScope.CASH_FLOW, flow=plain(enough.amount)).after).values()) == {"WITHIN"}


def test_the_cash_buffer_is_not_spent() -> None:
    policy = Policy(default_band=absolute("5"), cash_buffer=Decimal(5))
    report = measure(snapshot("70 A @ 1, 30 B @ 1, 10 cash", HALVES, policy=policy))
    assert report.deployable == Decimal("4.5")
    assert told(deposit.to_target(report)) == "35.5: 40 B"


@exactly
def paid_in(start: Snapshot, report: Report, found: Deposit) -> Snapshot:
    """Return the snapshot once a deposit was paid in and its buys were made, at a price of one."""
    bought = sum((amount for _, amount in found.buys), Decimal(0))
    first, *others = start.portfolio.accounts
    entries = {entry.key: entry for entry in report.entries}
    assets = dict(start.market.assets)
    assert start.targets
    named = {target.key: target.assets for target in start.targets.entries}
    worth = {asset_id: start.market.prices[asset_id].value for asset_id in assets if asset_id in start.market.prices}
    lots = []
    for place, (key, amount) in enumerate(found.buys):
        asset_id = named[key][0] if named.get(key) else entries[key].members[0].asset.id
        # A unit of its own size, so that the value bought is exact.
        unit = f"unit-{place}"
        assets[unit] = replace(assets[asset_id], id=unit)
        lots.append((key, TaxLot(unit, unit, amount, amount, LONG_AGO, LONG_AGO)))
        worth[unit] = Decimal(1)
    members = {key: lot.asset_id for key, lot in lots}
    sealed = tuple(
        replace(target, assets=(*target.assets, members[target.key])) if target.key in members else target
        for target in start.targets.entries
    )
    cash = dict(first.cash)
    cash["USD"] = cash.get("USD", Decimal(0)) + found.amount - bought
    spread: list[Account] = [replace(first, cash=cash, lots=(*first.lots, *(lot for _, lot in lots))), *others]
    price = next(iter(start.market.prices.values()))
    return replace(
        start,
        portfolio=replace(start.portfolio, accounts=tuple(spread)),
        targets=replace(start.targets, entries=sealed),
        market=replace(
            start.market,
            assets=assets,
            prices={asset_id: replace(price, value=number) for asset_id, number in worth.items()},
        ),
    )


def other_cash(start: Snapshot) -> Decimal:
    """Return the cash that may be spent beside that of the first account, where purchases are booked here."""
    return sum((account.cash.get("USD", Decimal(0)) for account in start.portfolio.accounts[1:]), Decimal(0))


def does(report: Report, spans: dict[str, tuple[Decimal, Decimal]], amount: Fraction) -> bool:
    """Say whether any buying can place every sleeve within its span with this deposit, the cash there included."""
    assert report.base is not None
    assert report.deployable is not None
    kept = {entry.key: Fraction(entry.value) for entry in report.entries}
    size = Fraction(report.base) + amount
    if any(entry.key == CASH and entry.targeted for entry in report.entries):
        kept[CASH] -= Fraction(report.deployable)
    else:
        size += Fraction(report.deployable)
    needed = Fraction(0)
    for key, worth in kept.items():
        low, high = (Fraction(edge) / 100 * size for edge in spans[key])
        if worth > high:
            return False
        needed += max(low, worth)
    return needed <= size


def spans_of(report: Report, *, to_target: bool) -> dict[str, tuple[Decimal, Decimal]]:
    def span(entry: Entry) -> tuple[Decimal, Decimal]:
        return (entry.target, entry.target) if to_target else (entry.lower, entry.upper)

    return {entry.key: span(entry) for entry in report.entries}


@PROPERTY
@given(ledgers(), targets(), policies(free=True), decimals("0", "20", 2), decimals("0", "9000", 2))
def test_a_deposit_brings_it_back_and_a_smaller_one_does_not(
    ledger: dict[str, str], wanted: dict[str, str | TargetDraft], policy: Policy, buffer: Decimal, foreign: Decimal
) -> None:
    rules = replace(policy, cash_buffer=buffer)
    held = {**ledger, "abroad": f"{foreign:f} EUR cash"}
    start = snapshot(held, wanted, policy=rules, prices=prices_of(ledger), rates={"EUR/USD": "1.07"})
    report = measure(start)
    for found, to_target in ((deposit.to_band(report), False), (deposit.to_target(report), True)):
        spans = spans_of(report, to_target=to_target)
        if found is None:
            # Nothing does, however much: then it is never small enough, or there is nothing to be brought back.
            assert report.status is DriftStatus.NO_VALUE or not does(report, spans, Fraction(10**40))
            continue
        assert does(report, spans, Fraction(found.amount))
        less = Fraction(found.amount) * (1 - Fraction(1, 10**6)) - Fraction(2, 10**8)
        assert less < 0 or not does(report, spans, less)
        paid = paid_in(start, report, found)
        assert paid.portfolio.accounts[0].cash["USD"] + other_cash(paid) >= 0
        after = measure(paid)
        assert "BREACHED" not in statuses(after).values()
        assert after.base is not None
        if to_target:
            assert all(abs(entry.to_target) <= Decimal("1E-7") for entry in after.entries)

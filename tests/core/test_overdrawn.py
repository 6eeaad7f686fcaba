"""Accounts that fills have overdrawn: one alone covers it by selling, of several it is said."""

from dataclasses import replace
from decimal import Decimal

import pytest

from app.core.drift import Snapshot
from app.core.errors import InvalidState
from app.core.optimize.allocate import PlanScope
from tests.builders import propose, snapshot, trades

TARGETS = {"AAPL": "60", "BND": "40"}


def overdrawn(start: Snapshot, cash: str) -> Snapshot:
    first, *others = start.portfolio.accounts
    accounts = (replace(first, cash={"USD": Decimal(cash)}), *others)
    return replace(start, portfolio=replace(start.portfolio, accounts=accounts))


def test_one_account_sells_what_covers_it() -> None:
    done = propose(overdrawn(snapshot("10 AAPL @ 180, 5 BND @ 80", TARGETS), "-1900"))
    assert trades(done) == ["SELL 9 AAPL", "SELL 3.5 BND"]
    assert done.summary.net_cash == Decimal(1900)


def test_a_harvest_leaves_it_as_it_is() -> None:
    done = propose(overdrawn(snapshot("10 AAPL @ 180, 5 BND @ 80", TARGETS), "-161"), PlanScope.HARVEST)
    assert trades(done) == []


def test_beside_other_accounts_nothing_is_planned_until_cash_is_brought_in() -> None:
    start = snapshot({"main": "10 AAPL @ 180", "ira TAX_EXEMPT": "5 BND @ 80, 500 cash"}, TARGETS)
    with pytest.raises(InvalidState, match="account main is overdrawn by 161 USD; bring that in before planning"):
        propose(overdrawn(start, "-161"))

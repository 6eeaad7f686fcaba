"""What is left of a plan when trades are left out, and whether prices have moved too far since."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

import pytest

from app.core import approving
from app.core.costs import Costs
from app.core.drift import Snapshot
from app.core.errors import Forbidden, InvalidInput, InvalidState, StaleData
from app.core.optimize.allocate import PlanScope
from app.core.past import NO_PAST
from app.core.plan import Plan
from app.core.policy import Policy
from app.core.portfolio import Price
from tests.builders import AS_OF, asset, moving_band, propose, snapshot, swinging, trades, weights, written

FEE: Final = Costs(Decimal(1), Decimal("0.0003"), half_spread=Decimal("0.0001"))
TAXED: Final = Policy(short_term_rate=Decimal(30), long_term_rate=Decimal(15))


def plain_one() -> Snapshot:
    """60 AAPL at 10 and 40 BND at 10, wanted half and half, with costs and a small gain."""
    return snapshot(
        "60 AAPL {9 USD 2024-01-05} @ 10, 40 BND @ 10",
        {"AAPL": "50", "BND": "50"},
        assets=[asset("AAPL", costs=FEE), asset("BND", costs=FEE)],
        policy=TAXED,
    )


def three() -> Snapshot:
    """Two sales pay for one purchase."""
    return snapshot("40 A @ 10, 40 B @ 10, 20 C @ 10", {"A": "30", "B": "30", "C": "40"})


def many_currencies() -> Snapshot:
    return snapshot(
        {
            "main": "33.333333333 SAP {90 EUR 2024-01-05} @ 101.37, 5 AAPL @ 180.1234567, 50 EUR cash, 1000 cash",
            "pension TAX_DEFERRED": "7 BND {70 USD 2023-02-01} @ 71.1, 100 cash",
        },
        {"SAP": "30", "AAPL": "30", "BND": "30", "TOK": "10"},
        assets=[asset("SAP", currency="EUR", costs=FEE), asset("TOK", currency="JPY")],
        prices={"TOK": "1234.5"},
        rates={"EUR/USD": "1.0837", "USD/JPY": "151.37"},
        policy=TAXED,
    )


def old_prices() -> Snapshot:
    """Crypto may be an hour old, a stock four days."""
    return snapshot("1 BTC @ 60000, 100 AAPL @ 100", {"BTC": "70", "AAPL": "30"}, ages={"AAPL": timedelta(days=3)})


def moving() -> Snapshot:
    held = snapshot("60 AAPL @ 10, 40 BND @ 10", {"AAPL": "30", "BND": "70"}, band=moving_band())
    return replace(held, closes={"AAPL": swinging("20"), "BND": swinging("5")})


def all_cash() -> Snapshot:
    return snapshot("1000 cash", {"AAPL": "60", "BND": "40"}, prices={"AAPL": "10", "BND": "20"})


KINDS: Final = {kind.__name__: kind for kind in (plain_one, three, many_currencies, old_prices, moving, all_cash)}


def rest(now: Snapshot, plan: Plan, *left_out: int) -> approving.Rest:
    return approving.rest_of(now, NO_PAST, plan, left_out)


def at(start: Snapshot, **prices: str) -> Snapshot:
    """The same portfolio an hour later, at other prices."""
    later = start.as_of + timedelta(hours=1)
    market = start.market
    moved = {key: Price(Decimal(number), later) for key, number in prices.items()}
    fresh = {key: replace(price, priced_at=later) for key, price in market.prices.items()}
    return replace(start, market=replace(market, prices={**fresh, **moved}), as_of=later)


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("given", [{}, {"flow": "250.5"}, {"flow": "-125.25"}])
def test_all_of_a_plan_counts_as_the_plan_did_whatever_prices_are_now(kind: str, given: dict[str, Any]) -> None:
    start = KINDS[kind]()
    plan = propose(start, **given)
    assert plan.trades
    now = at(start, **dict.fromkeys(start.market.prices, "77.7"))
    found = rest(now, plan)
    assert found.summary == replace(plan.summary, saved=None)
    assert replace(found.after, valuation=replace(found.after.valuation, holdings=(), rates={})) == replace(
        plan.after, valuation=replace(plan.after.valuation, holdings=(), rates={})
    )


def test_purchase_that_is_left_out_is_in_no_total_and_its_money_stays() -> None:
    plan = propose(three())
    assert trades(plan) == ["SELL 10 A", "SELL 10 B", "BUY 20 C"]
    found = rest(three(), plan, 2)
    summary = found.summary
    assert written(summary.bought, summary.sold, summary.net_cash, summary.turnover) == ["0", "200", "200", "10"]
    assert weights(found.after) == {"A": "37.5", "B": "37.5", "C": "25"}
    assert written(found.after.valuation.cash, found.after.valuation.value) == ["200", "1000"]
    assert summary.saved is None


def test_costs_and_tax_are_those_of_the_trades_that_are_left() -> None:
    start = snapshot(
        "40 A {9 USD 2024-01-05} @ 10, 40 B {9 USD 2020-01-05} @ 10, 20 C @ 10",
        {"A": "30", "B": "30", "C": "40"},
        assets=[asset(symbol, costs=FEE) for symbol in "ABC"],
        policy=TAXED,
    )
    plan = propose(start)
    (a, b, _), tax = (planned.trade for planned in plan.trades), plan.summary.tax
    found = rest(start, plan, 0, 2)
    assert written(tax.short_term_gain, tax.long_term_gain) == written(a.quantity, b.quantity)
    assert written(found.summary.tax.short_term_gain, found.summary.tax.long_term_gain) == ["0", *written(b.quantity)]
    assert found.summary.tax.estimated_tax == b.quantity * Decimal("0.15")
    assert (found.summary.fees, found.summary.spread) == (b.costs.fee, b.costs.spread)


def test_rest_that_would_overdraw_an_account_is_refused() -> None:
    with pytest.raises(InvalidInput) as error:
        rest(three(), propose(three()), 0)
    assert error.value.path == ("excludeTradeIds",)
    assert error.value.message == ("without A the rest cannot be done: account main would be overdrawn by 100.00")


def test_rest_that_lets_a_withdrawal_fall_short_is_refused() -> None:
    plan = propose(three(), PlanScope.RAISE_CASH, flow="-300")
    assert len(plan.trades) == 2
    with pytest.raises(InvalidInput, match="the withdrawal would fall short by"):
        rest(three(), plan, 0)


def test_rest_that_exceeds_the_tax_budget_is_refused() -> None:
    policy = replace(TAXED, tax_budget=Decimal(5))
    ledger = "40 A {6 USD 2020-01-05} @ 10, 40 B {13 USD 2020-01-05} @ 10, 20 C @ 10"
    start = snapshot(ledger, {"A": "30", "B": "30", "C": "40"}, policy=policy)
    plan = propose(start)
    assert trades(plan) == ["SELL 10 A", "SELL 10 B", "BUY 20 C"]
    with pytest.raises(InvalidInput, match=r"without B, C the rest cannot be done: tax of .* is due, more than 5"):
        rest(start, plan, 1, 2)


def test_portfolio_that_no_longer_has_the_lots_does_not_bear_the_plan() -> None:
    start = three()
    plan = propose(start)
    main = start.portfolio.accounts[0]
    less = replace(main.lots[0], quantity=Decimal(9), basis=Decimal(90))
    now = replace(start, portfolio=replace(start.portfolio, accounts=(replace(main, lots=(less, *main.lots[1:])),)))
    with pytest.raises(InvalidState, match="the plan no longer fits: lot main-1 is oversold; propose anew") as error:
        rest(now, plan)
    assert error.value.state == "READY"


def test_asset_that_is_no_longer_tradable_is_not_traded() -> None:
    start = three()
    plan = propose(start)
    halted = {**start.market.assets, "C": asset("C", tradable=False)}
    *sales, purchase = plan.trades
    purchase = replace(purchase, trade=replace(purchase.trade, asset=halted["C"]))
    plan = replace(plan, trades=(*sales, purchase))
    with pytest.raises(InvalidState, match="C is not to be traded"):
        rest(replace(start, market=replace(start.market, assets=halted)), plan)


@pytest.mark.parametrize(
    ("limit", "now", "said"),
    [
        ("5", "10.5", None),
        ("5", "9.5", None),
        ("5", "10.500001", "C moved from 10 to 10.500001, by 5.00001 %; the policy allows 5 %."),
        ("5", "9.4", "C moved from 10 to 9.4, by 6 %; the policy allows 5 %."),
        ("0", "10", None),
        ("0", "10.01", "C moved from 10 to 10.01, by 0.1 %; the policy allows 0 %."),
        (None, "1000", None),
    ],
)
def test_price_may_move_up_to_the_limit(limit: str | None, now: str, said: str | None) -> None:
    policy = Policy(price_move_limit=None if limit is None else Decimal(limit))
    start = replace(three(), policy=policy)
    planned = [one.trade for one in propose(start).trades]
    found = approving.moved(at(start, C=now), planned)
    assert found == (None if said is None else f"The plan has expired: {said}")


def test_price_that_moved_most_is_named() -> None:
    planned = [one.trade for one in propose(three()).trades]
    found = approving.moved(at(three(), A="11", B="8", C="10.6"), planned)
    assert found == "The plan has expired: B moved from 10 to 8, by 20 %; the policy allows 5 %."


def test_price_that_is_too_old_says_nothing() -> None:
    start = three()
    planned = [one.trade for one in propose(start).trades]
    approving.check_fresh(at(start), planned)
    with pytest.raises(StaleData, match="missing or too old: A, B, C") as error:
        approving.check_fresh(replace(start, as_of=AS_OF + timedelta(days=5)), planned)
    assert error.value.oldest_price_at == AS_OF


def test_four_eyes_are_two_people() -> None:
    approving.check_eyes(Policy(), "alice", "alice")
    strict = Policy(four_eyes=True)
    approving.check_eyes(strict, "alice", "bob")
    approving.check_eyes(strict, "monitor", "alice")
    with pytest.raises(Forbidden, match="alice asked for this plan; the policy wants four eyes"):
        approving.check_eyes(strict, "alice", "alice")

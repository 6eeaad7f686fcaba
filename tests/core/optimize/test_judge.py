"""The judge: J of orders by hand, and each broken rule in words with its numbers."""

from dataclasses import replace
from math import inf, nan

import pytest

from app.core.optimize.judge import Orders, check
from app.core.optimize.problem import Lot, Order, Problem, Purse, Tariff
from tests.core.optimize.small import entry, nothing, problem, sleeve


def rich() -> Problem:
    """Two accounts, the second free of tax; three sleeves with something of everything."""
    swapped = entry(0, Lot(40, tax=-0.1, loss=True, due=-0.1), Lot(60, tax=0.05, due=0.05), price=2.0, minimum=50)
    first, second = entry(1, wash_price=0.2, wash_value=30, group=9), entry(2, step=5.0, group=9)
    elsewhere = entry(0, Lot(10, loss=True), account=1, price=2.0)
    legacy = entry(3, Lot(80, tax=0.01), can_buy=False, exit_price=0.06, group=9)
    sealed = entry(4, Lot(20, sellable=False), Lot(20), can_buy=False, lots_in_order=True)
    frozen = entry(5, Lot(10), can_buy=False, can_sell=False)
    costs = (Tariff(1, 0.01, 0, 100), Tariff(2, 0.0, 100, 1000))
    return problem(
        sleeve(150, replace(swapped, tariffs=costs), elsewhere),
        sleeve(100, first, second, tolerance=10),
        sleeve(50, legacy, sealed, frozen),
        cash=(Purse(100, minimum=10), Purse(50, taxable=False)),
        cash_goal=20,
        trade_price=0.001,
        rank_price=0.01,
    )


def orders(**changed: Order) -> Orders:
    """Return no orders but those named by sleeve and entry: s0e1 is entry 1 of sleeve 0."""
    rows = [list(row) for row in nothing(rich())]
    for name, order in changed.items():
        rows[int(name[1])][int(name[3])] = order
    return tuple(map(tuple, rows))


def test_doing_nothing_costs_the_drift_and_what_is_held() -> None:
    verdict = check(rich(), nothing(rich()))
    # Sleeves are 220, 0 and 130 against 150, 100 (90 of it beyond the tolerance) and 50; cash is 150 against 20.
    assert verdict.objective == pytest.approx(0.05 * (70 + 90 + 80 + 130) + 0.06 * 80)
    assert verdict.cash == (100.0, 50.0)
    assert verdict.violations == ()


def test_everything_that_an_order_costs() -> None:
    asked = rich()
    verdict = check(asked, orders(s0e0=Order(0, (40.0, 20.0)), s1e0=Order(50.0), s2e0=Order(0, (30.0,))))
    # Sold 120 for 2, bought 50, sold 30: sleeves 100, 50 and 100; cash 100 + 118 - 50 + 30 and 50.
    taxes = -0.1 * 80 + 0.05 * 40 + 0.01 * 30
    drift = 0.05 * (50 + 40 + 50 + abs(198 + 50 - 20))
    assert verdict.cash == pytest.approx((198, 50))
    assert verdict.objective == pytest.approx(drift + taxes + 2 + 0.2 * 30 + 0.001 * 200 + 0.06 * 50)
    assert verdict.violations == ()


def test_a_later_member_costs_its_rank() -> None:
    first, second = (check(rich(), orders(**{f"s1e{place}": Order(20.0)})).objective for place in (0, 1))
    assert second - first == pytest.approx(0.01 * 20 - 0.2 * 20)


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (orders(s2e0=Order(10.0)), "entry 2.0 buys 10.000000, it may not be bought"),
        (orders(s2e2=Order(0, (10.0,))), "entry 2.2 sells 10.000000, it may not be sold"),
        (orders(s0e0=Order(0, (41.0, 0.0))), "entry 0.0 sells 82.000000 of lot 0, which holds 80.000000"),
        (orders(s2e1=Order(0, (1.0, 0.0))), "entry 2.1 sells 1.000000 of lot 0, which is not for sale"),
        (orders(s2e1=Order(0, (0.0, 1.0))), "entry 2.1 sells 1.000000 of lot 1 before an earlier lot is sold out"),
        (orders(s0e0=Order(20.0)), "entry 0.0 buys 40.000000, less than the minimum 50.000000"),
        (orders(s0e0=Order(0, (0.0, 20.0))), "entry 0.0 sells 40.000000, less than the minimum 50.000000"),
        (orders(s1e1=Order(7.0)), "entry 1.1 buys 7.000000, not a multiple of 5.000000"),
        (orders(s1e0=Order(91.0)), "purse 0 is left with 9.000000, less than 10.000000"),
        (orders(s0e0=Order(30.0), s0e1=Order(0, (5.0,))), "asset 0 is bought in 0.0 and sold in 0.1"),
        (orders(s1e0=Order(10.0), s1e1=Order(10.0)), "1.0 and 1.1 of one sleeve are both bought in account 0"),
    ],
)
def test_each_broken_rule_is_told(broken: Orders, sentence: str) -> None:
    assert check(rich(), broken).violations == (sentence,)


def test_a_loss_sale_beside_a_purchase_of_its_group_is_told() -> None:
    held, other = entry(0, Lot(10, loss=True)), entry(1, group=0)
    sold_and_bought = ((Order(0, (10.0,)),), (Order(5.0),))
    taxed = problem(sleeve(10, held), sleeve(0, other))
    sentence = "1.0 is bought while 0.0 of its wash group is sold at a loss"
    assert check(taxed, sold_and_bought).violations == (sentence,)
    free = replace(taxed, purses=(Purse(0, taxable=False),))
    assert check(free, sold_and_bought).violations == ()


def test_limits_are_told() -> None:
    asked = problem(sleeve(50, entry(0, Lot(100, tax=0.2, due=0.2))), traded_limit=50.0, tax_limit=5.0)
    verdict = check(asked, ((Order(0, (60.0,)),),))
    assert verdict.violations == (
        "60.000000 is traded, more than the limit 50.000000",
        "tax of 12.000000 is due, more than the limit 5.000000",
    )


def test_drift_beyond_its_limit_is_told() -> None:
    asked = problem(sleeve(50, entry(0, Lot(100))), cash_price=0.0, drift_limit=1.0)
    assert check(asked, ((Order(0, (40.0,)),),)).violations == ()
    assert check(asked, ((Order(0, (20.0,)),),)).violations == ("drift costs 1.500000, more than the limit 1.000000",)


def test_an_order_that_no_tariff_prices_is_told() -> None:
    asked = problem(sleeve(50, entry(0, tariffs=(Tariff(0, 0, 0, 30),))), cash=100)
    verdict = check(asked, ((Order(40.0),),))
    assert "entry 0.0 buys 40.000000, which no tariff prices" in verdict.violations
    assert verdict.objective == inf


def test_where_two_tariffs_meet_the_cheaper_holds() -> None:
    asked = problem(sleeve(50, entry(0, tariffs=(Tariff(0, 0.01, 0, 50), Tariff(0, 0.1, 50)))), cash=50)
    assert check(asked, ((Order(50.0),),)).violations == ("purse 0 is left with -0.500000, less than 0.000000",)


@pytest.mark.parametrize("order", [Order(-1.0), Order(nan), Order(inf), Order(0, (-1.0,)), Order(0, (1.0, 1.0))])
def test_orders_that_are_none_are_told(order: Order) -> None:
    asked = problem(sleeve(50, entry(0, Lot(10))), cash=50)
    verdict = check(asked, ((order,),))
    assert verdict.violations == ("entry 0.0 has an order that is not finite and at least 0",)
    assert check(asked, ()).violations == ("orders for () entries, the problem has (1,)",)


def test_a_crumb_is_not_a_violation() -> None:
    asked = problem(sleeve(50, entry(0, minimum=10)), cash=50)
    assert check(asked, ((Order(50 + 1e-7),),)).violations == ()
    assert check(asked, ((Order(1e-7),),)).violations == ()
    assert check(asked, ((Order(50 + 1e-5),),)).violations == ("purse 0 is left with -0.000010, less than 0.000000",)

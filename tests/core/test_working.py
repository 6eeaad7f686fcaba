"""What is done next with a plan's orders, decision by decision. The collar of all limits is one percent."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from app.core.answering import answered, contradicted, excess_of, unanswered
from app.core.costs import Costs
from app.core.desk import Act, Desk, floor_of
from app.core.money import plain
from app.core.order_values import BrokerOrder, CancelCause, Fill, Order, OrderStatus
from app.core.policy import Policy
from app.core.working import CALLS_MAX, LEASE_S, decide
from tests.builders import AS_OF
from tests.core.desks import (
    COLLAR,
    carried_out,
    desk,
    later,
    lines,
    order_of,
    priced,
    stopped,
    told,
    with_order,
)


def sent(start: Desk) -> Desk:
    """Decide, and let every broker confirm what it is sent."""
    decision = decide(start)
    after = carried_out(start, decision)
    for step in decision.steps:
        if step.act.value == "PLACE":
            after = told(after, f"{step.order.leg}.{step.order.slice}", "WORKING")
    return after


# ---- sells first, purchases against confirmed cash


def test_purchase_waits_for_the_cash_of_a_sale() -> None:
    start = desk("SELL 10 A @ 100 / BUY 9 B @ 100")
    decision = decide(start)
    assert lines(decision) == ["PLACE 1.1 10 A @ 99", "PENDING 2.1 9 B: waits for cash"]
    working = told(carried_out(start, decision), "1.1", "WORKING", "9 @ 100")
    assert lines(decide(working)) == []  # 900 are there; 9 at the limit of 101 may take 909
    done = told(working, "1.1", "FILLED", "1 @ 100")
    assert lines(decide(done)) == ["PLACE 2.1 9 B @ 101"]


def test_cash_that_is_there_pays_at_once() -> None:
    assert lines(decide(desk("SELL 10 A @ 100 / BUY 9 B @ 100", cash="909"))) == [
        "PLACE 1.1 10 A @ 99",
        "PLACE 2.1 9 B @ 101",
    ]


def test_largest_drift_comes_first_and_holds_back_the_others() -> None:
    legs = "SELL 10 A @ 100 / BUY 1 B @ 100 rank -2 / BUY 9 C @ 100 rank -5"
    waiting = decide(desk(legs, cash="500"))
    assert lines(waiting) == [
        "PLACE 1.1 10 A @ 99",
        "PENDING 3.1 9 C: waits for cash",
        "PENDING 2.1 1 B: waits for cash",
    ]
    assert lines(decide(desk(legs, cash="1010")))[1:] == ["PLACE 3.1 9 C @ 101", "PLACE 2.1 1 B @ 101"]


def test_cash_of_another_account_pays_for_nothing() -> None:
    start = desk("SELL 1 A @ 100 in ira / BUY 5 B @ 100", cash={"main": "100", "ira": "10000"})
    assert lines(decide(start)) == ["PLACE 1.1 1 A @ 99", "PENDING 2.1 5 B: waits for cash"]


def test_open_purchase_keeps_the_cash_it_may_still_take() -> None:
    """5 at 101 may take 505 of 1,000; of the 2 that filled at 100 only 200 are gone, so 3 more may take 303."""
    working = sent(desk("BUY 5 B @ 100 rank 9 / BUY 5 C @ 100", cash="1000"))
    assert lines(decide(working)) == []
    partly = told(working, "1.1", "WORKING", "2 @ 100")
    assert partly.cash == {"main": Decimal(800)}
    assert lines(decide(partly)) == []  # 800 - 303 = 497 are free, 505 are needed; then 707 - 202 = 505
    assert lines(decide(told(partly, "1.1", "WORKING", "1 @ 93"))) == ["PLACE 2.1 5 C @ 101"]


def test_fee_of_a_purchase_is_set_aside_with_it() -> None:
    fees = Costs(minimum=Decimal(9))
    assert lines(decide(desk("BUY 5 B @ 100 / SELL 1 A @ 5", cash="513.99", fees=fees)))[1:] == [
        "PENDING 1.1 5 B: waits for cash"
    ]
    assert lines(decide(desk("BUY 5 B @ 100 / SELL 1 A @ 5", cash="514", fees=fees)))[1:] == ["PLACE 1.1 5 B @ 101"]


def test_fee_of_an_open_purchase_stays_set_aside_until_it_is_charged() -> None:
    fees = Costs(minimum=Decimal(9))
    working = sent(desk("BUY 5 B @ 100 rank 9 / BUY 5 C @ 100", cash="1027.99", fees=fees))
    assert lines(decide(working)) == []
    charged = told(working, "1.1", "WORKING", "1 @ 101 fee 9")
    assert charged.cash == {"main": Decimal("917.99")}
    assert lines(decide(charged)) == []  # 917.99 - 404 = 513.99; 514 are needed
    assert lines(decide(replace(charged, cash={"main": Decimal(918)}))) == ["PLACE 2.1 5 C @ 101"]


def test_floor_is_left_alone() -> None:
    legs = "BUY 5 B @ 100 / SELL 1 A @ 5"
    assert lines(decide(desk(legs, cash="1004", floor="500")))[1:] == ["PENDING 1.1 5 B: waits for cash"]
    assert lines(decide(desk(legs, cash="1005", floor="500")))[1:] == ["PLACE 1.1 5 B @ 101"]


def test_purchase_that_fits_at_a_tighter_limit_when_all_is_sold_is_sent_whole() -> None:
    start = told(sent(desk("SELL 10 A @ 100 / BUY 10 B @ 100")), "1.1", "FILLED", "10 @ 100")
    assert start.cash == {"main": Decimal(1000)}
    assert lines(decide(start)) == ["PLACE 2.1 10 B @ 100"]  # not at 101
    state = priced(later(sent(start), 900, wall=0), "B", "103")
    assert lines(decide(state)) == ["CANCEL 2.1 REPRICE"]
    state = told(carried_out(state, decide(state)), "2.1", "CANCELLED", "4 @ 100")
    state = carried_out(state, decide(state))
    reduced = "reduced from 6 to 5: that is all there was to pay it with"
    assert lines(decide(state)) == [f"PLACE 2.2 5 B @ 104.03: {reduced}"]  # 600 pay for 5, and for 6 not even at 103


def test_tighter_limit_leaves_room_for_half_the_spread() -> None:
    start = told(sent(desk("SELL 10 A @ 100 / BUY 10 B @ 99.9")), "1.1", "FILLED", "10 @ 100")
    assert lines(decide(start)) == ["PLACE 2.1 10 B @ 100"]
    wide = replace(start.legs[1].asset, costs=Costs(half_spread=Decimal("0.002")))
    dear = replace(start, legs=(start.legs[0], replace(start.legs[1], asset=wide)))
    assert lines(decide(dear)) == ["PLACE 2.1 9 B @ 100.89: reduced from 10 to 9: that is all there was to pay it with"]


def test_purchase_that_does_not_fit_when_all_is_sold_is_reduced() -> None:
    start = told(sent(desk("SELL 10 A @ 100 / BUY 10 B @ 100")), "1.1", "FILLED", "10 @ 99.5")
    assert start.cash == {"main": Decimal(995)}
    decision = decide(start)
    assert lines(decision) == ["PLACE 2.1 9 B @ 101: reduced from 10 to 9: that is all there was to pay it with"]
    done = told(carried_out(start, decision), "2.1", "FILLED", "9 @ 99")
    assert lines(decide(done)) == ["NEW 2.2 1 B"]  # 104 are left: the rest fits after all
    again = carried_out(done, decide(done))
    assert lines(decide(again)) == ["PLACE 2.2 1 B @ 101"]
    assert lines(decide(told(carried_out(again, decide(again)), "2.2", "FILLED", "1 @ 100"))) == ["END COMPLETED"]


def test_purchase_that_no_cash_is_left_for_is_dropped_and_said() -> None:
    start = told(sent(desk("SELL 9 A @ 10 / BUY 1 B @ 100")), "1.1", "FILLED", "9 @ 10")
    decision = decide(start)
    assert lines(decision) == ["CANCELLED 2.1 1 B: there is no cash left to buy it with"]
    assert lines(decide(carried_out(start, decision))) == ["END PARTIAL"]


def test_purchase_is_not_reduced_while_another_may_leave_cash() -> None:
    start = desk("BUY 5 B @ 100 rank 9 / BUY 5 C @ 100", cash="1005")
    working = sent(start)
    assert lines(decide(start)) == ["PLACE 1.1 5 B @ 101", "PENDING 2.1 5 C: waits for cash"]
    assert lines(decide(working)) == []
    assert lines(decide(told(working, "1.1", "FILLED", "5 @ 100"))) == ["PLACE 2.1 5 C @ 101"]


def test_purchase_that_waits_keeps_nothing_from_those_of_another_account() -> None:
    start = desk("BUY 9 B @ 100 in main rank 9 / BUY 5 C @ 100 in ira / SELL 9 A @ 9 in main", cash={"ira": "500"})
    assert lines(decide(start)) == [
        "PLACE 3.1 9 A @ 8.91",
        "PENDING 1.1 9 B: waits for cash",
        "PENDING 2.1 5 C: waits for cash",
    ]
    sold = told(sent(start), "3.1", "FILLED", "9 @ 9")
    assert lines(decide(sold)) == [
        "CANCELLED 1.1 9 B: there is no cash left to buy it with",
        "PLACE 2.1 5 C @ 100",
    ]


def test_rest_of_what_was_reduced_is_no_order_that_is_priced_anew() -> None:
    """Filled below its limit, it leaves cash for more: so often, and not for ever."""
    start = desk("BUY 1000 A @ 100", cash="98000", policy=replace(COLLAR, reprices=0))
    units = []
    while not (decision := decide(start)).ending:
        start = carried_out(start, decision)
        for order in (step.order for step in decision.steps if step.act is Act.PLACE):
            units.append(plain(order.quantity))
            start = told(start, f"1.{order.slice}", "FILLED", f"{order.quantity} @ 100.2")
    assert units == ["970", "7", "1"]


def test_limit_is_not_tightened_where_it_could_not_be_loosened_again() -> None:
    start = desk("BUY 10 B @ 100", cash="1001")
    assert lines(decide(start)) == ["PLACE 1.1 10 B @ 100.1"]
    for never in (replace(COLLAR, reprices=0), replace(COLLAR, reprice_after_s=0)):
        assert lines(decide(replace(start, policy=never))) == [
            "PLACE 1.1 9 B @ 101: reduced from 10 to 9: that is all there was to pay it with"
        ]


def test_purchase_in_another_currency_is_paid_at_the_rate_of_the_plan() -> None:
    start = desk("BUY 5 B @ 100 / SELL 1 A @ 5", cash="555.49")
    legs = replace(start.legs[0], rate=Decimal("1.1")), start.legs[1]
    assert lines(decide(replace(start, legs=legs)))[1:] == ["PENDING 1.1 5 B: waits for cash"]
    enough = replace(start, legs=legs, cash={"main": Decimal("555.5")})
    assert lines(decide(enough))[1:] == ["PLACE 1.1 5 B @ 101"]


def test_sale_is_never_for_more_than_is_held() -> None:
    assert lines(decide(desk("SELL 10 A @ 100", held={"A": "7"}))) == ["PLACE 1.1 7 A @ 99: reduced from 10 to 7"]
    start = desk("SELL 10 A @ 100", held={"A": "0"})
    assert lines(decide(start)) == ["CANCELLED 1.1 10 A: no A is left in the account to sell"]
    assert lines(decide(carried_out(start, decide(start)))) == ["END PARTIAL"]


def test_market_order_has_no_limit_but_its_cash_is_reckoned_at_the_collar() -> None:
    legs = "BUY 5 B @ 100 market / SELL 1 A @ 5"
    assert lines(decide(desk(legs, cash="504.99")))[1:] == ["PENDING 1.1 5 B: waits for cash"]
    assert lines(decide(desk(legs, cash="505")))[1:] == ["PLACE 1.1 5 B"]


@pytest.mark.parametrize(
    ("buffer", "flow", "cash", "sleeve", "floor"),
    [
        ("0", "0", "100", False, "0"),
        ("2", "0", "100", False, "20"),
        ("2", "0", "15", False, "15"),  # the plan itself leaves less
        ("2", "0", "100", True, "0"),  # the sleeve CASH says how much there shall be
        ("2", "-500", "100", False, "510"),  # 500 are taken out, and 2 % of the other 500 stay
        ("0", "-500", "0", True, "500"),
    ],
)
def test_floor_is_what_goes_out_and_the_buffer(buffer: str, flow: str, cash: str, sleeve: bool, floor: str) -> None:
    policy = Policy(cash_buffer=Decimal(buffer))
    found = floor_of(policy, Decimal(1000), Decimal(flow), Decimal(cash), has_cash_sleeve=sleeve)
    assert found == Decimal(floor)


# ---- one order, priced anew: only the rest is sent again


def test_order_is_priced_anew_only_after_its_end_is_confirmed_and_only_its_rest() -> None:
    working = told(sent(desk("SELL 10 A @ 100")), "1.1", "WORKING", "3 @ 100")
    assert lines(decide(later(working, 899, wall=0))) == []
    moved = priced(later(working, 900, wall=0), "A", "90")
    decision = decide(moved)
    assert lines(decision) == ["CANCEL 1.1 REPRICE"]
    asked = carried_out(moved, decision)
    assert order_of(asked, "1.1").status is OrderStatus.CANCELLING
    assert lines(decide(asked)) == []  # nothing before it is confirmed
    ended = told(asked, "1.1", "CANCELLED", "2 @ 99")  # two more had filled before it was
    decision = decide(ended)
    assert lines(decision) == ["NEW 1.2 5 A"]
    again = carried_out(ended, decision)
    assert lines(decide(again)) == ["PLACE 1.2 5 A @ 89.1"]


def test_order_whose_limit_would_be_the_same_keeps_its_place() -> None:
    working = later(sent(desk("SELL 10 A @ 100")), 900, wall=0)
    assert lines(decide(working)) == []
    assert decide(working).wake_at == working.now + timedelta(seconds=60)


def test_order_is_priced_anew_so_often_and_then_left_to_work() -> None:
    state = sent(desk("SELL 10 A @ 100"))
    for turn, price in ((1, "99"), (2, "98")):
        state = priced(later(state, 900, wall=0), "A", price)
        state = told(carried_out(state, decide(state)), f"1.{turn}", "CANCELLED")
        state = sent(carried_out(state, decide(state)))
    assert order_of(state, "1.3").status is OrderStatus.WORKING
    assert lines(decide(priced(later(state, 9000, wall=0), "A", "90"))) == []
    expired = told(state, "1.3", "EXPIRED")
    assert lines(decide(expired)) == ["END PARTIAL"]


def test_order_that_expired_with_its_session_is_sent_again() -> None:
    expired = told(sent(desk("SELL 10 A @ 100")), "1.1", "EXPIRED", "4 @ 100")
    assert lines(decide(expired)) == ["NEW 1.2 6 A"]


def test_rest_that_is_worth_too_little_is_let_be() -> None:
    policy = replace(COLLAR, min_trade=Decimal(150))
    expired = told(sent(desk("SELL 10 A @ 100", policy=policy)), "1.1", "EXPIRED", "9 @ 100")
    assert lines(decide(expired)) == ["END PARTIAL"]


def test_what_a_person_works_is_not_priced_anew() -> None:
    working = sent(desk("SELL 10 A @ 100 by MANUAL"))
    assert lines(decide(priced(later(working, 9000, wall=0), "A", "50"))) == []


def test_policy_may_never_price_anew() -> None:
    working = sent(desk("SELL 10 A @ 100", policy=replace(COLLAR, reprice_after_s=0)))
    assert lines(decide(priced(later(working, 9000, wall=0), "A", "50"))) == []


@pytest.mark.parametrize("status", ["REJECTED", "CANCELLED"])
def test_what_the_broker_does_not_want_is_not_sent_again(status: str) -> None:
    """Rejected, or cancelled there without us; what waits of the same trade is not tried either."""
    state = sent(desk("SELL 9 A @ 100 twap 3 every 300"))
    refused = told(state, "1.1", status, message="not shortable")
    decision = decide(refused)
    assert lines(decision) == [
        "CANCELLED 1.2 3 A: an order of this trade before it was not accepted",
        "CANCELLED 1.3 3 A: an order of this trade before it was not accepted",
    ]
    assert order_of(refused, "1.1").message == "not shortable"
    assert lines(decide(carried_out(refused, decision))) == ["END PARTIAL"]


# ---- slices, sessions, prices


def test_slices_are_sent_each_at_its_time() -> None:
    start = desk("SELL 10 A @ 100 twap 3 every 300")
    assert [(order.quantity, order.due_at - AS_OF) for order in start.orders] == [
        (Decimal(3), timedelta()),
        (Decimal(3), timedelta(seconds=300)),
        (Decimal(4), timedelta(seconds=600)),
    ]
    state = sent(start)
    assert [order.status.value for order in state.orders] == ["WORKING", "PENDING", "PENDING"]
    assert decide(state).wake_at == AS_OF + timedelta(seconds=300)
    state = sent(later(state, 300, wall=0))
    assert [order.status.value for order in state.orders] == ["WORKING", "WORKING", "PENDING"]


def test_slices_that_were_held_up_keep_their_interval() -> None:
    late = later(desk("SELL 9 A @ 100 twap 3 every 300"), 7200)
    state = sent(late)
    assert [order.status.value for order in state.orders] == ["WORKING", "PENDING", "PENDING"]
    assert decide(state).wake_at == late.now + timedelta(seconds=300)


def test_rest_of_slices_is_one_order_at_the_end() -> None:
    state = sent(desk("SELL 4 A @ 100 twap 2 every 300"))
    state = priced(later(state, 900, wall=0), "A", "90")
    decision = decide(state)
    assert lines(decision) == ["CANCEL 1.1 REPRICE", "PLACE 1.2 2 A @ 89.1"]
    state = told(told(carried_out(state, decision), "1.1", "CANCELLED"), "1.2", "WORKING")
    assert lines(decide(state)) == []
    assert lines(decide(told(state, "1.2", "FILLED", "2 @ 90"))) == ["NEW 1.3 2 A"]


def test_cash_for_slices_to_come_is_kept_from_smaller_drifts() -> None:
    start = desk("BUY 4 A @ 100 twap 2 every 300 rank 5 / BUY 1 B @ 100", cash="500")
    assert lines(decide(start)) == ["PLACE 1.1 2 A @ 101", "PENDING 2.1 1 B: waits for cash"]
    enough = desk("BUY 4 A @ 100 twap 2 every 300 rank 5 / BUY 1 B @ 100", cash="505")
    assert lines(decide(enough)) == ["PLACE 1.1 2 A @ 101", "PLACE 2.1 1 B @ 101"]


def test_order_outside_its_session_waits_and_says_until_when() -> None:
    opens = AS_OF + timedelta(hours=21, minutes=30)
    start = desk("SELL 10 A @ 100", opens=lambda _, at: max(at, opens))
    decision = decide(start)
    assert lines(decision) == ["PENDING 1.1 10 A: waits for its session, which opens at 2024-06-04 13:30 UTC"]
    assert decision.wake_at == opens
    waiting = carried_out(start, decision)
    assert lines(decide(waiting)) == []  # said once
    assert lines(decide(priced(later(waiting, 77_400), "A", "110"))) == ["PLACE 1.1 10 A @ 108.9"]


def test_order_without_a_fresh_price_waits() -> None:
    start = replace(desk("SELL 10 A @ 100"), stale=frozenset({"A"}))
    assert lines(decide(start)) == ["PENDING 1.1 10 A: waits for a fresh price"]
    assert decide(start).wake_at == AS_OF + timedelta(seconds=60)


# ---- what is not known


def test_order_that_may_have_been_sent_is_asked_for_once_its_lease_is_over() -> None:
    start = desk("SELL 10 A @ 100")
    crashed = carried_out(start, decide(start))
    assert lines(decide(later(crashed, LEASE_S - 1))) == []
    assert lines(decide(later(crashed, LEASE_S))) == ["ASK 1.1"]


def test_order_the_broker_never_got_is_sent_again_as_it_was() -> None:
    start = desk("SELL 10 A @ 100")
    crashed = carried_out(start, decide(start))
    order = order_of(crashed, "1.1")
    again = answered(order, None, AS_OF, AS_OF)
    assert (again.status, again.client_id) == (OrderStatus.PENDING, "pl_1-1-1")
    asked = priced(replace(crashed, orders=(again,)), "A", "50")
    assert lines(decide(asked)) == ["PLACE 1.1 10 A @ 99"]  # the same ticket, whatever the price is now


def test_order_that_never_got_through_waits_before_it_is_handed_in_again() -> None:
    state = carried_out(desk("SELL 10 A @ 100"), decide(desk("SELL 10 A @ 100")))
    silent = unanswered(unanswered(order_of(state, "1.1"), "no answer", AS_OF), "no answer", AS_OF)
    again = answered(silent, None, AS_OF, AS_OF)
    assert (again.status, again.lost, again.ask_at) == (OrderStatus.PENDING, 2, AS_OF + timedelta(seconds=4))
    waits = replace(state, orders=(again,))
    assert lines(decide(later(waits, 3))) == []
    ready = later(waits, 4)
    ready = carried_out(ready, decide(ready))
    assert lines(decide(ready)) == ["PLACE 1.1 10 A @ 99"]


def test_plan_that_has_not_begun_does_not_end_under_a_halt() -> None:
    crumbs = replace(stopped(desk("SELL 1 A @ 0.5"), "HALT"), orders=())
    assert decide(crumbs).ending is None


def test_unknown_order_keeps_everything_of_its_leg_from_being_sent() -> None:
    state = sent(desk("SELL 4 A @ 100 twap 2 every 300 / SELL 1 B @ 100"))
    lost = unanswered(replace(order_of(state, "1.1"), lost=2), "no answer", state.wall)
    assert (lost.status, lost.ask_at) == (OrderStatus.UNKNOWN, state.wall + timedelta(seconds=8))
    blocked = later(with_order(state, "1.1", status=OrderStatus.UNKNOWN, ask_at=None), 900, wall=0)
    assert lines(decide(blocked)) == ["ASK 1.1"]


def test_answer_that_never_came_to_an_order_handed_in_makes_it_unknown_at_once() -> None:
    order = order_of(carried_out(desk("SELL 1 A @ 9"), decide(desk("SELL 1 A @ 9"))), "1.1")
    waits = []
    for _ in range(8):
        order = unanswered(order, "no answer", AS_OF)
        assert order.status is OrderStatus.UNKNOWN
        assert order.ask_at
        waits.append((order.ask_at - AS_OF).seconds)
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60]


def test_working_order_becomes_unknown_after_three_asks_without_answer() -> None:
    order = order_of(sent(desk("SELL 1 A @ 9")), "1.1")
    states = []
    for _ in range(3):
        order = unanswered(order, "no answer", AS_OF)
        states.append(order.status.value)
    assert states == ["WORKING", "WORKING", "UNKNOWN"]
    known = answered(order, BrokerOrder("b", OrderStatus.WORKING), AS_OF, AS_OF)
    assert (known.status, known.lost) == (OrderStatus.WORKING, 0)


def test_broker_that_forgets_an_order_it_had_confirmed_is_not_sent_it_again() -> None:
    order = replace(order_of(sent(desk("SELL 1 A @ 9")), "1.1"), lost=2)
    assert answered(order, None, AS_OF, AS_OF).status is OrderStatus.UNKNOWN


def test_quiet_order_is_asked_for_ever_more_rarely_and_news_begin_anew() -> None:
    order = order_of(sent(desk("SELL 5 A @ 9")), "1.1")
    quiet, waits = BrokerOrder("b", OrderStatus.WORKING), []
    for _ in range(80):
        order = answered(order, quiet, AS_OF, AS_OF)
        assert order.ask_at
        waits.append((order.ask_at - AS_OF).seconds)
    assert sorted(set(waits)) == [1, 2, 4, 8, 16, 32, 60]
    assert waits == sorted(waits)
    fill = Fill("1", Decimal(2), Decimal(9), Decimal(0), AS_OF)
    news = answered(order, BrokerOrder("b", OrderStatus.WORKING, (fill,)), AS_OF, AS_OF)
    assert (news.asks, news.ask_at) == (0, AS_OF + timedelta(seconds=1))


def test_fills_decide_whether_an_order_is_filled() -> None:
    order = order_of(sent(desk("SELL 5 A @ 9")), "1.1")
    part = Fill("1", Decimal(3), Decimal(9), Decimal(0), AS_OF)
    rest = Fill("2", Decimal(2), Decimal(9), Decimal(0), AS_OF)
    early = answered(order, BrokerOrder("b", OrderStatus.FILLED, (part,)), AS_OF, AS_OF)
    assert early.status is OrderStatus.WORKING
    late = answered(order, BrokerOrder("b", OrderStatus.WORKING, (part, rest)), AS_OF, AS_OF)
    assert (late.status, late.ended_at) == (OrderStatus.FILLED, AS_OF)


def test_fills_beyond_an_order_are_a_contradiction() -> None:
    order = order_of(sent(desk("SELL 5 A @ 9")), "1.1")
    answer = BrokerOrder("b", OrderStatus.FILLED, (Fill("1", Decimal(6), Decimal(9), Decimal(0), AS_OF),))
    assert excess_of(order, answer) == 1
    assert contradicted(order, "one too many", AS_OF).status is OrderStatus.UNKNOWN


def sent_again_for_less() -> Order:
    """A purchase of 10 that its broker says it never got, sent again for the 5 that cash pays for by now."""
    start = desk("BUY 10 A @ 100", cash="1010")
    crashed = carried_out(start, decide(start))
    unheard = replace(crashed, orders=(answered(order_of(crashed, "1.1"), None, AS_OF, AS_OF),))
    poorer = replace(unheard, cash={"main": Decimal(600)})
    decision = decide(poorer)
    assert lines(decision) == ["PLACE 1.1 5 A @ 101: reduced from 10 to 5: that is all there was to pay it with"]
    return order_of(carried_out(poorer, decision), "1.1")


@pytest.mark.parametrize(
    ("units", "status", "excess", "after"),
    [
        ("4", "WORKING", "0", "WORKING 5"),
        ("5", "WORKING", "0", "WORKING 5"),  # whichever copy its broker has: it says when it has ended
        ("5", "FILLED", "0", "FILLED 5"),
        ("5", "EXPIRED", "0", "EXPIRED 5"),
        ("6", "WORKING", "0", "WORKING 10"),
        ("6", "FILLED", "0", "WORKING 10"),
        ("10", "WORKING", "0", "FILLED 10"),
        ("7", "CANCELLED", "0", "CANCELLED 10"),
        ("11", "FILLED", "1", None),
    ],
)
def test_a_late_copy_of_more_units_is_what_its_broker_has_and_no_contradiction(
    units: str, status: str, excess: str, after: str | None
) -> None:
    order = sent_again_for_less()
    fill = Fill("1", Decimal(units), Decimal(100), Decimal(0), AS_OF)
    answer = BrokerOrder("b", OrderStatus[status], (fill,))
    assert excess_of(order, answer) == Decimal(excess)
    if after:
        newer = answered(order, answer, AS_OF, AS_OF)
        assert f"{newer.status.value} {newer.quantity}" == after
        assert (newer.message == "its broker got the order of 10 after all, and not that of 5") is (
            newer.quantity == Decimal(10)
        )


# ---- halts and the end


def test_halt_cancels_what_works_and_sends_nothing() -> None:
    working = sent(desk("SELL 4 A @ 100 twap 2 every 300"))
    halted = stopped(working, "HALT")
    decision = decide(halted)
    assert lines(decision) == ["CANCEL 1.1 HALT", "PENDING 1.2 2 A: waits: trading is halted"]
    ended = told(carried_out(halted, decision), "1.1", "CANCELLED", "1 @ 100")
    assert lines(decide(later(ended, 900, wall=0))) == []
    resumed = stopped(later(ended, 900, wall=0), None)
    state = sent(resumed)
    assert order_of(state, "1.2").status is OrderStatus.WORKING
    assert lines(decide(told(state, "1.2", "FILLED", "2 @ 100"))) == ["NEW 1.3 1 A"]


def test_halts_do_not_count_as_pricing_anew() -> None:
    state = sent(desk("SELL 4 A @ 100", policy=replace(COLLAR, reprices=0)))
    for turn in (1, 2, 3):
        halted = stopped(state, "HALT")
        state = stopped(told(carried_out(halted, decide(halted)), f"1.{turn}", "CANCELLED"), None)
        state = sent(carried_out(state, decide(state)))
    assert order_of(state, "1.4").status is OrderStatus.WORKING


def test_what_was_never_on_a_market_does_not_count_as_pricing_anew() -> None:
    state = sent(desk("SELL 4 A @ 100", policy=replace(COLLAR, reprices=0)))
    expired = BrokerOrder("pool-1", OrderStatus.EXPIRED, unsent=True)
    for turn in (1, 2, 3):
        ended = answered(order_of(state, f"1.{turn}"), expired, AS_OF, AS_OF)
        assert (ended.status, ended.cause) == (OrderStatus.EXPIRED, CancelCause.UNSENT)
        state = with_order(state, f"1.{turn}", status=ended.status, cause=ended.cause)
        state = sent(carried_out(state, decide(state)))
    last = answered(order_of(state, "1.4"), replace(expired, unsent=False), AS_OF, AS_OF)
    assert lines(decide(with_order(state, "1.4", status=last.status, cause=last.cause))) == ["END PARTIAL"]


def test_order_that_never_reached_its_broker_is_not_sent_during_a_halt() -> None:
    start = desk("SELL 10 A @ 100")
    crashed = carried_out(start, decide(start))
    again = answered(order_of(crashed, "1.1"), None, AS_OF, AS_OF)
    halted = stopped(replace(crashed, orders=(again,)), "HALT")
    assert lines(decide(halted)) == ["PENDING 1.1 10 A @ 99: waits: trading is halted"]


def test_plan_that_shall_end_waits_for_its_open_orders() -> None:
    working = sent(desk("SELL 4 A @ 100 / BUY 3 B @ 100"))
    stop = stopped(working, "STOP")
    decision = decide(stop)
    assert lines(decision) == ["CANCEL 1.1 STOP", "CANCELLED 2.1 3 B: the plan was cancelled"]
    asked = carried_out(stop, decision)
    assert lines(decide(asked)) == []
    assert lines(decide(told(asked, "1.1", "CANCELLED"))) == ["END CANCELLED"]
    assert lines(decide(told(asked, "1.1", "CANCELLED", "1 @ 100"))) == ["END PARTIAL"]
    assert lines(decide(told(asked, "1.1", "FILLED", "4 @ 100"))) == ["END PARTIAL"]


def test_plan_that_filled_before_it_could_be_cancelled_is_completed() -> None:
    stop = stopped(sent(desk("SELL 4 A @ 100")), "STOP")
    asked = carried_out(stop, decide(stop))
    assert lines(decide(told(asked, "1.1", "FILLED", "4 @ 100"))) == ["END COMPLETED"]


def test_plan_that_shall_end_asks_for_what_is_not_known_first() -> None:
    state = with_order(sent(desk("SELL 4 A @ 100")), "1.1", status=OrderStatus.UNKNOWN, ask_at=None)
    stop = stopped(state, "STOP")
    assert lines(decide(stop)) == ["ASK 1.1"]
    known = told(carried_out(stop, decide(stop)), "1.1", "WORKING")
    assert lines(decide(known)) == ["CANCEL 1.1 STOP"]
    assert order_of(carried_out(known, decide(known)), "1.1").cause is CancelCause.STOP


def test_brokers_are_told_so_much_in_one_go() -> None:
    many = desk(" / ".join(f"SELL 1 A{number} @ 10" for number in range(30)))
    first = decide(many)
    assert len(first.steps) == CALLS_MAX
    assert len(decide(carried_out(many, first)).steps) == 30 - CALLS_MAX


def test_the_same_state_is_always_decided_the_same() -> None:
    start = desk("SELL 10 A @ 100 / BUY 4 B @ 50 rank 3 / BUY 4 C @ 50 rank -3", cash="300")
    assert decide(start) == decide(start)
    shuffled = replace(start, orders=tuple(reversed(start.orders)))
    assert sorted(lines(decide(shuffled))) == sorted(lines(decide(start)))

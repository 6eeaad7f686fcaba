"""The wash-sale ledger: published examples, each rule alone, and a slow ledger of single shares that agrees with it."""

from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from random import Random

import pytest

from app.core.ledger import Contradiction, Event, Ledger, LotChoice, NotHeld
from app.core.money import plain_fraction
from app.core.policy import LotMethod
from app.core.portfolio import AccountKind
from app.core.trades import TradeSide
from app.core.wash import settle
from tests.core.ledgers import events, history, lots, sales, slow

# A purchase long ago, so that the history reaches back far enough.
BEFORE = "2000-01-03 BUY 1 OLD @ 1\n"
OLD_LOT = "1 OLD @ 1 of 2000-01-03 held from 2000-01-03"


def settled(text: str, choice: LotChoice = LotChoice(), **groups: str) -> Ledger:
    return settle(events(BEFORE + text.strip(), groups), choice)


def written(*numbers: Fraction | Decimal) -> str:
    return " ".join(plain_fraction(Fraction(number)) for number in numbers)


def left(ledger: Ledger) -> list[str]:
    return [lot for lot in lots(ledger) if lot != OLD_LOT]


def test_t1_bought_back_within_thirty_days() -> None:
    """IRS, VITA: 100 X for 1,000, sold for 750, 100 bought for 800 within 30 days: 250 disallowed, basis 1,050."""
    ledger = settled(
        """
        2023-01-03 BUY 100 X @ 10
        2023-06-01 SELL 100 X @ 7.5
        2023-06-20 BUY 100 X @ 8
        """
    )
    assert sales(ledger) == ["100 X gain -250 SHORT, 250 disallowed, CONFIRMED"]
    assert left(ledger) == ["100 X @ 10.5 of 2023-06-20 held from 2023-01-22"]  # 149 days before


def test_t2_bought_before_and_only_partly_replaced() -> None:
    """Publication 550 (advisors4advisors 13798), Reg. 1.1091-1(h) ex. 2: 750 of 1,000 disallowed; 3,250 and 1,375."""
    ledger = settled(
        """
        2009-09-24 BUY 100 M @ 50
        2009-12-18 BUY 50 M @ 55
        2009-12-28 BUY 25 M @ 45
        2010-01-07 SELL 100 M @ 40
        """
    )
    assert sales(ledger) == ["100 M gain -1000 SHORT, 750 disallowed, CONFIRMED"]
    assert ledger.sales[0].counted == -250
    assert [Fraction(lot.quantity) * lot.unit_cost for lot in ledger.lots[1:]] == [3250, 1375]


def test_t5_deferred_into_the_basis() -> None:
    """Scottrade: 100 at 25 on 10 February, sold at 22, bought back at 22.50 a week later: basis 2,250 + 300."""
    ledger = settled("2012-02-10 BUY 100 X @ 25\n2012-02-19 SELL 100 X @ 22\n2012-02-26 BUY 100 X @ 22.50")
    assert sales(ledger) == ["100 X gain -300 SHORT, 300 disallowed, CONFIRMED"]
    assert left(ledger) == ["100 X @ 25.5 of 2012-02-26 held from 2012-02-17"]


@pytest.mark.parametrize("account", ["IRA", "ROTH"])
def test_t6_replacement_in_a_sheltered_account_loses_the_loss_for_good(account: str) -> None:
    """Rev. Rul. 2008-5: basis 1,000, sold for 600 on 2007-12-20, the IRA buys 100 a day later: 400 for good."""
    ledger = settled(f"2007-01-04 BUY 100 X @ 10\n2007-12-20 SELL 100 X @ 6\n2007-12-21 BUY 150 X @ 6 in {account}")
    assert sales(ledger) == ["100 X gain -400 SHORT, 400 disallowed (400 for good), CONFIRMED"]
    assert left(ledger) == ["150 X @ 6 of 2007-12-21 held from 2007-12-21"]
    assert [lot.unused for lot in ledger.lots[1:]] == [50]


def test_t7_rest_of_the_same_purchase_is_no_replacement() -> None:
    """Rev. Rul. 56-602: 200 at 50 on 1 March, 100 of them sold at 40 on 20 March: the loss of 1,000 is allowed."""
    ledger = settled("2019-03-01 BUY 200 X @ 50\n2019-03-20 SELL 100 X @ 40")
    assert sales(ledger) == ["100 X gain -1000 SHORT, 0 disallowed, CONFIRMED"]
    assert left(ledger) == ["100 X @ 50 of 2019-03-01 held from 2019-03-01"]


def test_t9_loss_of_a_replacement_is_allowed_when_nothing_replaces_it() -> None:
    """TurboTax forum: 100 at 10 sold at 9; next day 100 at 7, sold at 1: basis 800, loss of 700 allowed."""
    ledger = settled(
        """
        2020-12-15 BUY 100 X @ 10
        2020-12-15 SELL 100 X @ 9
        2020-12-16 BUY 100 X @ 7
        2020-12-16 SELL 100 X @ 1
        """
    )
    assert sales(ledger) == [
        "100 X gain -100 SHORT, 100 disallowed, CONFIRMED",
        "100 X gain -700 SHORT, 0 disallowed, CONFIRMED",
    ]
    assert [sale.basis for sale in ledger.sales] == [1000, 800]


def test_t11_one_replacement_is_used_once() -> None:
    """FinSight, pull request 1555: 25 shares bought back after two losses of 50 shares: 25 disallowed, once."""
    ledger = settled(
        """
        2024-01-02 BUY 100 X @ 20
        2024-03-01 SELL 50 X @ 18
        2024-03-04 SELL 50 X @ 17
        2024-03-11 BUY 25 X @ 17
        """
    )
    assert sales(ledger) == [
        "50 X gain -100 SHORT, 50 disallowed, CONFIRMED",
        "50 X gain -150 SHORT, 0 disallowed, CONFIRMED",
    ]
    assert [written(match.quantity, match.loss) for match in ledger.matches] == ["25 50"]
    assert [sale.unwashed for sale in ledger.sales] == [25, 50]


@pytest.mark.parametrize(
    ("bought", "disallowed"), [("2024-03-31", 100), ("2024-04-01", 0), ("2024-01-31", 100), ("2024-01-30", 0)]
)
def test_t14_window_is_thirty_days_before_and_after(bought: str, disallowed: int) -> None:
    """Sold on 2024-03-01: day 30 after is 31 March, day 30 before is 31 January; both wash, the next day does not."""
    ledger = settled(f"2023-06-01 BUY 10 X @ 20\n2024-03-01 SELL 10 X @ 10\n{bought} BUY 10 X @ 11")
    assert ledger.sales[0].disallowed == disallowed


def test_adjusted_basis_and_holding_period_go_along_a_chain() -> None:
    """Three losses, each on the replacement of the one before: all are deferred into the last purchase."""
    ledger = settled(
        """
        2023-01-02 BUY 10 X @ 100
        2023-05-01 SELL 10 X @ 90
        2023-05-11 BUY 10 X @ 88
        2023-05-31 SELL 10 X @ 80
        2023-06-10 BUY 10 X @ 79
        2023-06-20 SELL 10 X @ 70
        2023-07-10 BUY 10 X @ 71
        2024-01-05 SELL 10 X @ 75
        """
    )
    assert sales(ledger) == [
        "10 X gain -100 SHORT, 100 disallowed, CONFIRMED",
        "10 X gain -180 SHORT, 180 disallowed, CONFIRMED",
        "10 X gain -270 SHORT, 270 disallowed, CONFIRMED",
        "10 X gain -230 SHORT, 0 disallowed, CONFIRMED",
    ]
    # 119 + 20 + 10 days of the shares before go on: from 10 July back to 11 February.
    assert ledger.sales[-1].holding_from == date(2023, 2, 11)
    assert sum(sale.counted for sale in ledger.sales) == -1000 + 900 - 880 + 800 - 790 + 700 - 710 + 750


def test_tacked_days_make_a_short_holding_long() -> None:
    ledger = settled(
        """
        2022-01-03 BUY 10 X @ 100
        2023-05-01 SELL 10 X @ 90
        2023-05-02 BUY 10 X @ 90
        2023-05-03 SELL 10 X @ 105
        """
    )
    assert sales(ledger) == [
        "10 X gain -100 LONG, 100 disallowed, CONFIRMED",
        "10 X gain 50 LONG, 0 disallowed, CONFIRMED",
    ]


def test_all_shares_of_a_batch_are_chosen_before_its_losses_are_matched() -> None:
    """Two sales of one day take both purchases, so nothing is left to replace the first."""
    ledger = settled(
        """
        2024-03-01 BUY 10 X @ 20
        2024-03-04 BUY 10 X @ 20
        2024-03-11 SELL 10 X @ 15
        2024-03-11 SELL 10 X @ 15
        """
    )
    assert [sale.disallowed for sale in ledger.sales] == [0, 0]


def test_purchase_between_two_sales_of_a_day_parts_the_batch() -> None:
    """The second purchase still stands when the first sale is matched, and takes its loss; later it is sold itself."""
    ledger = settled(
        """
        2024-03-01 BUY 10 X @ 20
        2024-03-04 BUY 10 X @ 20
        2024-03-11 SELL 10 X @ 15
        2024-03-11 BUY 10 X @ 15
        2024-03-11 SELL 10 X @ 15
        """
    )
    assert sales(ledger) == [
        "10 X gain -50 SHORT, 50 disallowed, CONFIRMED",
        "10 X gain -100 SHORT, 100 disallowed, CONFIRMED",
    ]
    assert left(ledger) == ["10 X @ 25 of 2024-03-11 held from 2024-02-23"]


def test_purchase_of_another_group_does_not_part_a_batch() -> None:
    ledger = settled(
        """
        2024-03-01 BUY 10 X @ 20
        2024-03-04 BUY 10 X @ 20
        2024-03-11 SELL 10 X @ 15
        2024-03-11 BUY 10 Y @ 15
        2024-03-11 SELL 10 X @ 15
        """
    )
    assert [sale.disallowed for sale in ledger.sales] == [0, 0]


def test_shares_bought_after_the_sale_count_even_if_they_are_sold_the_same_day() -> None:
    ledger = settled(
        """
        2024-01-02 BUY 10 X @ 20
        2024-03-11 SELL 10 X @ 15
        2024-03-11 BUY 10 X @ 15
        2024-03-11 SELL 10 X @ 16
        """
    )
    assert sales(ledger) == [
        "10 X gain -50 SHORT, 50 disallowed, CONFIRMED",
        "10 X gain -40 SHORT, 0 disallowed, CONFIRMED",
    ]


def test_replacement_splits_a_purchase_from_its_front() -> None:
    ledger = settled("2024-01-02 BUY 10 X @ 20\n2024-03-11 SELL 10 X @ 15\n2024-03-20 BUY 30 X @ 16")
    assert left(ledger) == [
        "10 X @ 21 of 2024-03-20 held from 2024-01-11",
        "20 X @ 16 of 2024-03-20 held from 2024-03-20",
    ]
    (_, *sold) = settled(
        """
        2024-01-02 BUY 10 X @ 20
        2024-03-11 SELL 10 X @ 15
        2024-03-20 BUY 30 X @ 16
        2024-06-03 SELL 15 X @ 17
        """
    ).sales
    assert [written(part.quantity, part.basis, part.gain) for part in sold] == ["10 210 -40", "5 80 5"]


def test_losses_of_one_sale_are_matched_in_order_of_acquisition_whatever_was_sold_first() -> None:
    """HIFO sells the purchase at 30 first, but the older one, at 20, is first to be replaced."""
    ledger = settled(
        """
        2024-01-02 BUY 10 X @ 20
        2024-01-03 BUY 10 X @ 30
        2024-03-11 SELL 20 X @ 15
        2024-03-20 BUY 10 X @ 16
        """,
        LotChoice(LotMethod.HIFO),
    )
    assert sales(ledger) == [
        "10 X gain -150 SHORT, 0 disallowed, CONFIRMED",
        "10 X gain -50 SHORT, 50 disallowed, CONFIRMED",
    ]


def test_gains_and_losses_of_one_sale_are_not_netted() -> None:
    ledger = settled(
        """
        2024-01-02 BUY 10 X @ 10
        2024-01-03 BUY 10 X @ 20
        2024-03-11 SELL 20 X @ 15
        2024-03-20 BUY 20 X @ 16
        """
    )
    assert sales(ledger) == [
        "10 X gain 50 SHORT, 0 disallowed, CONFIRMED",
        "10 X gain -50 SHORT, 50 disallowed, CONFIRMED",
    ]
    assert [lot.unused for lot in ledger.lots[1:]] == [0, 10]


def test_losses_in_sheltered_accounts_do_not_count() -> None:
    ledger = settled("2024-01-02 BUY 10 X @ 20 in IRA\n2024-03-11 SELL 10 X @ 15 in IRA\n2024-03-12 BUY 10 X @ 15")
    assert sales(ledger) == ["10 X gain -50 SHORT, 0 disallowed, CONFIRMED"]
    assert ledger.sales[0].counted == 0
    assert left(ledger) == ["10 X @ 15 of 2024-03-12 held from 2024-03-12"]


def test_another_account_of_the_group_replaces_what_one_sold() -> None:
    ledger = settled("2024-01-02 BUY 10 X @ 20\n2024-03-11 SELL 10 X @ 15\n2024-03-12 BUY 10 X @ 15 in Spouse")
    assert sales(ledger) == ["10 X gain -50 SHORT, 50 disallowed, CONFIRMED"]


def test_identical_symbol_replaces_and_is_probable() -> None:
    text = "2024-01-02 BUY 10 VOO @ 20\n2024-03-11 SELL 10 VOO @ 15\n2024-03-12 BUY 10 IVV @ 15"
    assert sales(settled(text)) == ["10 VOO gain -50 SHORT, 0 disallowed, CONFIRMED"]
    grouped = settled(text, VOO="SP500", IVV="SP500")
    assert sales(grouped) == ["10 VOO gain -50 SHORT, 50 disallowed, PROBABLE"]


def test_replacement_older_than_what_is_sold_is_unclear() -> None:
    """LIFO sells the newer purchase; the older one, of the last 30 days, takes its loss, which is contested."""
    text = "2024-03-01 BUY 10 X @ 20\n2024-03-04 BUY 10 X @ 20\n2024-03-11 SELL 10 X @ 15"
    ledger = settled(text, LotChoice(LotMethod.LIFO))
    assert sales(ledger) == ["10 X gain -50 SHORT, 50 disallowed, UNCLEAR"]
    assert left(ledger) == ["10 X @ 25 of 2024-03-01 held from 2024-02-23"]
    assert sales(settled(text)) == ["10 X gain -50 SHORT, 50 disallowed, CONFIRMED"]


def test_unclear_comes_before_probable() -> None:
    text = "2024-03-01 BUY 10 IVV @ 20\n2024-03-04 BUY 10 VOO @ 20\n2024-03-11 SELL 10 VOO @ 15"
    assert sales(settled(text, VOO="SP500", IVV="SP500")) == ["10 VOO gain -50 SHORT, 50 disallowed, UNCLEAR"]


@pytest.mark.parametrize(("first", "state"), [("2024-02-10", "CONFIRMED"), ("2024-02-11", "COVERAGE_INCOMPLETE")])
def test_loss_is_incomplete_when_the_history_begins_within_its_window(first: str, state: str) -> None:
    """Sold on 11 March 2024; 30 days before is 10 February."""
    told = events(f"{first} BUY 10 X @ 20\n2024-03-11 SELL 5 X @ 15\n2024-03-11 SELL 5 X @ 25")
    assert [sale.state.value for sale in settle(told).sales] == [state, "CONFIRMED"]


def test_history_known_from_earlier_than_its_first_event_is_complete() -> None:
    told = events("2024-03-04 BUY 10 X @ 20\n2024-03-11 SELL 10 X @ 15")
    assert settle(told, known_from=date(2024, 1, 1)).sales[0].state.value == "CONFIRMED"
    assert settle(told).sales[0].state.value == "COVERAGE_INCOMPLETE"


def test_exempt_symbol_neither_is_washed_nor_washes() -> None:
    told = events(BEFORE + "2024-01-02 BUY 10 BTC @ 20\n2024-03-11 SELL 10 BTC @ 15\n2024-03-12 BUY 10 BTC @ 15")
    ledger = settle(told, exempt={"BTC"})
    assert sales(ledger) == ["10 BTC gain -50 SHORT, 0 disallowed, CONFIRMED"]
    assert written(ledger.sales[0].unwashed, ledger.lots[-1].unused) == "0 0"


def test_fees_add_to_the_basis_and_reduce_proceeds_in_proportion() -> None:
    ledger = settled("2024-01-02 BUY 3 X @ 10 fees 1\n2024-03-11 SELL 2 X @ 12 fees 0.5")
    (sale,) = ledger.sales
    assert written(sale.proceeds, sale.basis) == "23.5 20.66666666666666666667"
    assert left(ledger) == ["1 X @ 10.33333333333333333333 of 2024-01-02 held from 2024-01-02"]


def test_purchases_of_one_lot_are_one_purchase() -> None:
    """Filled at two prices: what is left of it does not replace what was sold of it, another purchase does."""
    text = """
        2024-03-01 BUY 10 X @ 20 lot A
        2024-03-01 BUY 10 X @ 22 lot A
        2024-03-11 SELL 10 X @ 15 lot A
    """
    assert [sale.disallowed for sale in settled(text).sales] == [0]
    assert left(settled(text)) == ["10 X @ 22 of 2024-03-01 held from 2024-03-01"]
    assert [sale.disallowed for sale in settled(text.replace("22 lot A", "22 lot B")).sales] == [50]


def test_alike_fills_of_one_lot_are_told_as_one() -> None:
    text = "2024-03-01 BUY 10 X @ 20 lot A\n2024-03-01 BUY 10 X @ 20 lot A\n2024-06-03 SELL 15 X @ 15 lot A"
    ledger = settled(text)
    assert sales(ledger) == ["15 X gain -75 SHORT, 0 disallowed, CONFIRMED"]
    assert left(ledger) == ["5 X @ 20 of 2024-03-01 held from 2024-03-01"]


THREE = """
    2022-01-03 BUY 10 X @ 30
    2024-01-02 BUY 10 X @ 35 lot A
    2024-01-03 BUY 10 X @ 20
    2024-06-03 SELL 15 X @ 40
"""


@pytest.mark.parametrize(
    ("method", "costs"),
    [
        (LotMethod.FIFO, [300, 175]),
        (LotMethod.LIFO, [200, 175]),
        (LotMethod.HIFO, [350, 150]),
        # Per share at 20 % long, 40 % short: 2.0 on both at 30 and 35, of which the dearer goes first; 8.0 at 20.
        (LotMethod.MIN_TAX, [350, 150]),
        (LotMethod.SPEC_ID, [300, 175]),  # no lot is named: the earliest, Reg. 1.1012-1(c)
    ],
)
def test_methods_choose_within_one_account_and_symbol(method: LotMethod, costs: list[int]) -> None:
    choice = LotChoice(method, Decimal(40), Decimal(20))
    assert [sale.basis for sale in settled(THREE, choice).sales] == costs


@pytest.mark.parametrize("method", LotMethod)
def test_lot_that_a_sale_names_is_taken_by_any_method(method: LotMethod) -> None:
    (sale,) = settled(THREE.replace("SELL 15 X @ 40", "SELL 4 X @ 40 lot A"), LotChoice(method)).sales
    assert sale.basis == 140


def test_min_tax_sells_a_long_gain_before_a_short_one_and_a_short_loss_before_all() -> None:
    text = """
        2022-01-03 BUY 1 X @ 30
        2024-01-02 BUY 1 X @ 35
        2024-01-03 BUY 1 X @ 45
        2022-01-04 BUY 1 X @ 50
        2024-06-03 SELL 4 X @ 40
    """
    ledger = settled(text, LotChoice(LotMethod.MIN_TAX, Decimal(40), Decimal(10)))
    # Tax of each: -2.0 short loss at 45, -1.0 long loss at 50, 1.0 long gain at 30, 2.0 short gain at 35.
    assert [sale.basis for sale in ledger.sales] == [45, 50, 30, 35]


def test_sale_of_more_than_is_held_names_what_is_there() -> None:
    text = "2024-01-02 BUY 10 X @ 20 lot A\n2024-01-03 BUY 5 X @ 20\n2024-03-11 SELL 15.5 X @ 15"
    with pytest.raises(NotHeld, match=r"15.5 X are sold in Broker, but only 15 are held") as caught:
        settled(text)
    assert caught.value.event.row == 4
    with pytest.raises(NotHeld, match=r"12 X are sold in Broker of lot A, but only 10 are held"):
        settled(text.replace("SELL 15.5 X @ 15", "SELL 12 X @ 15 lot A"))
    short = settle(events(BEFORE + text), short_history=True)
    assert [(event.row, units) for event, units in short.uncovered] == [(4, Decimal("0.5"))]


def test_same_day_goes_by_the_order_of_the_rows() -> None:
    with pytest.raises(NotHeld):
        settled("2024-01-02 SELL 1 X @ 20\n2024-01-02 BUY 1 X @ 20")
    assert len(settled("2024-01-03 SELL 1 X @ 20\n2024-01-02 BUY 1 X @ 20").sales) == 1


def test_account_of_two_kinds_and_symbol_of_two_groups_are_refused() -> None:
    first, second = events("2024-01-02 BUY 1 X @ 20\n2024-01-03 BUY 1 X @ 20")
    with pytest.raises(Contradiction, match="account Broker is TAX_EXEMPT here and TAXABLE before"):
        settle([first, replace(second, kind=AccountKind.TAX_EXEMPT)])
    with pytest.raises(Contradiction, match="X is in the group 'G' here and in 'X' before"):
        settle([first, replace(second, group="G")])


def test_chain_that_reaches_back_beyond_the_calendar_stays_within_it() -> None:
    told = events("0001-01-02 BUY 1 X @ 3\n0001-01-02 BUY 1 X @ 3\n0001-01-20 SELL 1 X @ 2")
    assert settle(told).lots[0].holding_from == date.min


def test_chain_of_many_fees_stays_small_and_loses_nothing_that_can_be_seen() -> None:
    """Each link adds its own fee per share; beyond 300 digits a unit cost is kept to 300 decimals."""
    told = events(BEFORE + "2001-01-01 BUY 1000003 X @ 999")
    for link in range(1, 70):
        event = replace(
            told[1], day=date(2001, 1, 1) + timedelta(days=link), price=Decimal(999 - link), fees=Decimal(1)
        )
        told.append(replace(event, side=TradeSide.SELL, quantity=told[-1].quantity))
        told.append(replace(event, quantity=Decimal(1_000_003 + 2 * link)))
    ledger = settle(told)
    deferred = sum((sale.disallowed for sale in ledger.sales), Fraction(0))
    assert max(lot.unit_cost.denominator for lot in ledger.lots) <= 10**300
    basis = sum((sale.basis for sale in ledger.sales), Fraction(0))
    basis += sum((Fraction(lot.quantity) * lot.unit_cost for lot in ledger.lots), Fraction(0))
    paid = sum(Fraction(event.quantity * event.price + event.fees) for event in told if event.side is TradeSide.BUY)
    assert 0 < abs(basis - paid - deferred) < Fraction(1, 10**290)


HISTORIES = range(300)
METHODS = (LotMethod.FIFO, LotMethod.LIFO, LotMethod.HIFO)


def made_up(seed: int) -> tuple[list[Event], LotChoice]:
    random = Random(seed)
    return history(random), LotChoice(random.choice(METHODS))


def test_ledger_agrees_with_a_slow_one_of_single_shares() -> None:
    for seed in HISTORIES:
        told, choice = made_up(seed)
        ledger = settle(told, choice)
        expected_sales, expected_lots = slow(told, choice.method)
        assert [
            (
                *(sale.event.row, sale.quantity, sale.acquired_on, sale.holding_from, sale.basis, sale.gain),
                *(sale.disallowed, sale.permanent, sale.state.value),
            )
            for sale in ledger.sales
        ] == expected_sales, seed
        assert Counter(
            (lot.event.account, lot.event.symbol, lot.quantity, lot.event.day, lot.unit_cost, lot.holding_from)
            for lot in ledger.lots
        ) == Counter(expected_lots), seed


def test_money_and_units_are_conserved() -> None:
    """What was paid is in the basis of what was sold and of what is left, with the losses that were deferred."""
    for seed in HISTORIES:
        told, choice = made_up(seed)
        ledger = settle(told, choice)
        buys = [event for event in told if event.side is TradeSide.BUY]
        sells = [event for event in told if event.side is TradeSide.SELL]
        paid = sum(event.quantity * event.price + event.fees for event in buys)
        received = sum(event.quantity * event.price - event.fees for event in sells)
        deferred = sum(sale.disallowed - sale.permanent for sale in ledger.sales)
        in_lots = sum(Fraction(lot.quantity) * lot.unit_cost for lot in ledger.lots)
        assert sum(sale.basis for sale in ledger.sales) + in_lots == Fraction(paid) + deferred, seed
        assert sum(sale.proceeds for sale in ledger.sales) == Fraction(received), seed
        sold, bought = (sum(event.quantity for event in side) for side in (sells, buys))
        assert sum(sale.quantity for sale in ledger.sales) == sold, seed
        assert sum(lot.quantity for lot in ledger.lots) == bought - sold, seed


def test_no_more_is_disallowed_than_was_lost_and_no_share_replaces_twice() -> None:
    for seed in HISTORIES:
        told, choice = made_up(seed)
        ledger = settle(told, choice)
        for sale in ledger.sales:
            assert 0 <= sale.permanent <= sale.disallowed <= max(-sale.gain, Fraction(0)), seed
            assert 0 <= sale.unwashed <= sale.quantity, seed
        replaced: Counter[int] = Counter()
        for match in ledger.matches:
            replaced[match.purchase.row] += int(match.quantity)
            assert match.quantity == int(match.quantity), seed
            assert abs((match.purchase.day - match.sale.day).days) <= 30, seed
            assert match.purchase.group == match.sale.group, seed
        assert all(replaced[event.row] <= event.quantity for event in told), seed
        assert sum(match.loss for match in ledger.matches) == sum(sale.disallowed for sale in ledger.sales), seed


def test_rows_may_stand_in_any_order_of_days() -> None:
    for seed in HISTORIES:
        told, choice = made_up(seed)
        days = sorted({event.day for event in told})
        Random(seed).shuffle(days)
        shuffled = [event for day in days for event in told if event.day == day]
        assert settle(shuffled, choice) == settle(told, choice), seed


def test_purchase_after_the_window_changes_no_sale_before() -> None:
    for seed in HISTORIES:
        told, choice = made_up(seed)
        later = replace(told[0], row=99, day=told[-1].day + timedelta(days=31), side=TradeSide.BUY, lot="")
        assert settle([*told, later], choice).sales == settle(told, choice).sales, seed

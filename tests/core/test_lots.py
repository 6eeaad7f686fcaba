"""Which lots go first, what they gain, and what trading costs."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import lots
from app.core.lots import GainTerm
from app.core.policy import LotMethod, Objective, Policy
from app.core.portfolio import TaxLot
from tests.builders import AS_OF, propose, sleeve, snapshot, written
from tests.core.samples import PROPERTY, decimals

TODAY = AS_OF.date()
# Three lots of A at a price of 100; taxed at 40 % short, 20 % long.
CHEAP_OLD, DEAR_NEW, MIDDLE_NEW = "1 A {20 USD 2020-05-04}", "1 A {90 USD 2024-02-01}", "1 A {60 USD 2024-01-02}"
# Drift weighs more than any tax, so that the question is only which lots go.
TAXED = Policy(short_term_rate=Decimal(40), long_term_rate=Decimal(20), objective=Objective.MIN_DRIFT)


@pytest.mark.parametrize(
    ("method", "sold"),
    [
        (LotMethod.MIN_TAX, ["90", "60"]),  # tax per share: 4 on the lot at 90, 16 on both others; the dearer of equals
        (LotMethod.HIFO, ["90", "60"]),
        (LotMethod.FIFO, ["20", "60"]),
        (LotMethod.LIFO, ["90", "60"]),
    ],
)
def test_lot_methods_choose_their_lots(method: LotMethod, sold: list[str]) -> None:
    policy = replace(TAXED, lot_method=method)
    start = snapshot(f"{CHEAP_OLD} @ 100, {DEAR_NEW}, {MIDDLE_NEW}, 1 B @ 100", {"A": "25", "B": "75"}, policy=policy)
    (sale, _) = propose(start).trades
    assert sale.trade.quantity == 2
    assert written(*(part.basis for part in sale.trade.sales)) == sold


def test_min_tax_prefers_a_long_gain_to_a_larger_short_tax() -> None:
    """At 100: the short lot at 70 costs 12 of tax, the long lot at 50 costs 10, the loss lot saves 8."""
    policy = replace(TAXED, lot_method=LotMethod.MIN_TAX)
    start = snapshot(
        "1 A {70 USD 2024-01-02} @ 100, 1 A {50 USD 2020-01-02}, 1 A {120 USD 2024-01-02}, 1 B @ 100",
        {"A": "25", "B": "75"},
        policy=policy,
    )
    plan = propose(start)
    assert written(*(part.basis for part in plan.trades[0].trade.sales)) == ["120", "50"]
    tax = plan.summary.tax
    assert written(tax.short_term_gain, tax.long_term_gain, tax.estimated_tax) == ["-20", "50", "2"]


def test_min_tax_compares_lots_of_different_assets_by_tax_per_money_raised() -> None:
    """Per share the lot of BIG costs more tax (4 against 2), but of each 100 raised 0.4 against 20."""
    start = snapshot(
        "10 SMALL {5 USD 2024-01-02} @ 10, 1 BIG {990 USD 2024-01-02} @ 1000, 11 REST @ 100",
        {"ONE": sleeve("40", "SMALL", "BIG"), "REST": "60"},
        policy=TAXED,
    )
    (sale, _) = propose(start).trades
    assert (sale.trade.asset.symbol, sale.trade.value) == ("BIG", Decimal(220))


def test_untaxed_accounts_sell_before_taxable_gains_and_after_taxable_losses() -> None:
    ledger = {"taxed": "10 A {50 USD 2020-01-02} @ 100, 10 B @ 100", "ira TAX_DEFERRED": "10 A {10 USD 2020-01-02}"}
    wanted = {"A": "50", "B": "50"}
    gain = propose(snapshot(ledger, wanted, policy=TAXED))
    assert gain.trades[0].trade.account_id == "ira"
    ledger["taxed"] = "10 A {150 USD 2020-01-02} @ 100, 10 B @ 100"
    loss = propose(snapshot(ledger, wanted, policy=TAXED))
    assert loss.trades[0].trade.account_id == "taxed"


def test_a_partial_sale_splits_the_basis_and_the_remainder_stays() -> None:
    lot = TaxLot("l", "A", Decimal(3), Decimal(100), date(2024, 1, 2), date(2024, 1, 2))
    (sale,) = lots.take([lot], Decimal(1), Decimal(50), TODAY)
    assert written(sale.quantity, sale.proceeds, sale.basis, sale.gain) == ["1", "50", "33.3333333333", "16.6666666667"]
    left = lots.remainder(lot, Decimal(1))
    assert left == replace(lot, quantity=Decimal(2), basis=Decimal("66.6666666667"))
    assert lots.remainder(lot, Decimal(3)) is None


def test_selling_more_than_is_there_is_our_mistake() -> None:
    lot = TaxLot("l", "A", Decimal(3), Decimal(100), TODAY, TODAY)
    with pytest.raises(AssertionError, match="more are sold than the lots hold"):
        lots.take([lot], Decimal("3.000000000000000001"), Decimal(1), TODAY)


def test_the_holding_period_may_begin_before_the_purchase() -> None:
    tacked = TaxLot("l", "A", Decimal(1), Decimal(1), date(2024, 1, 2), holding_from=date(2023, 6, 2))
    (sale,) = lots.take([tacked], Decimal(1), Decimal(1), TODAY)
    assert sale.term is GainTerm.LONG


@PROPERTY
@given(decimals("0.000000000000000001", "1000000", 18), decimals("0", "1000000", 10), st.data())
def test_parts_of_a_lot_sum_to_the_lot(quantity: Decimal, basis: Decimal, data: st.DataObject) -> None:
    lot = TaxLot("l", "A", quantity, basis, TODAY, TODAY)
    sold = data.draw(st.decimals(min_value=Decimal("1E-18"), max_value=quantity, places=18))
    (sale,) = lots.take([lot], sold, Decimal(1), TODAY)
    left = lots.remainder(lot, sold)
    rest = (left.quantity, left.basis) if left else (Decimal(0), Decimal(0))
    assert (sale.quantity + rest[0], sale.basis + rest[1]) == (quantity, basis)
    assert rest[1] >= 0

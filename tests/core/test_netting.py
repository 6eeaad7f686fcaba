"""A year's gains and losses against each other, short and long, and what a plan adds to the tax of the year."""

from decimal import Decimal

import pytest

from app.core.money import plain
from app.core.netting import Netted, net, tax_of, untaxed
from app.core.policy import Policy, TaxRegime
from app.core.regimes import added_tax
from app.core.tax import TaxFacts

TAXED = Policy(short_term_rate=Decimal(40), long_term_rate=Decimal(20))


def year(short: int, long: int, short_carry: int = 0, long_carry: int = 0, cap: int = 3000) -> Netted:
    return net(*map(Decimal, (short, long, short_carry, long_carry, cap)))


def test_t15_losses_of_one_term_reduce_gains_of_the_other() -> None:
    """selfaware.blog: long +20,000 and -5,000, short +10,000 and -15,000: a net long gain of 10,000."""
    assert year(10_000 - 15_000, 20_000 - 5_000) == Netted(*map(Decimal, (0, 10_000, 0, 0, 0)))


def test_t15_three_thousand_a_year_and_the_rest_is_carried() -> None:
    """The same: -100,000 deducts 3,000 and carries 97,000; a gain of 100,000 next year leaves 3,000 to be taxed."""
    first = year(0, -100_000)
    assert (first.deducted, first.long_carry) == (Decimal(3000), Decimal(97_000))
    second = net(Decimal(0), Decimal(100_000), first.short_carry, first.long_carry, Decimal(3000))
    assert second == Netted(*map(Decimal, (0, 3000, 0, 0, 0)))


@pytest.mark.parametrize(
    ("amounts", "expected"),
    [
        # short, long, short carry, long carry: taxed short, taxed long, deducted, carried short, carried long
        ((100, 200, 0, 0), "100 200 0 0 0"),
        ((500, -200, 0, 0), "300 0 0 0 0"),
        ((200, -500, 0, 0), "0 0 300 0 0"),
        ((-5000, 1000, 0, 0), "0 0 3000 1000 0"),
        ((-2000, -4000, 0, 0), "0 0 3000 0 3000"),  # short-term losses are deducted first
        ((-4000, -2000, 0, 0), "0 0 3000 1000 2000"),
        ((1000, 1000, 300, 2500), "0 0 800 0 0"),
        ((0, 0, 10_000, 10_000), "0 0 3000 7000 10000"),
        ((0, 0, 0, 0), "0 0 0 0 0"),
        ((1000, -1000, 0, 0), "0 0 0 0 0"),
    ],
)
def test_table_of_years(amounts: tuple[int, int, int, int], expected: str) -> None:
    netted = year(*amounts)
    found = (netted.short, netted.long, netted.deducted, netted.short_carry, netted.long_carry)
    assert " ".join(map(plain, found)) == expected


@pytest.mark.parametrize(
    ("short", "long"), [(s, n) for s in (-9000, -100, 0, 70, 5000) for n in (-8000, -1, 0, 90, 7000)]
)
def test_nothing_is_lost_between_this_year_and_the_next(short: int, long: int) -> None:
    """Taxed gains less deduction and carries are what there was; no gain is taxed while a loss is carried."""
    for carries in ((0, 0), (50, 0), (0, 6000), (4000, 4000)):
        netted = year(short, long, *carries)
        left = netted.short + netted.long - netted.deducted - netted.short_carry - netted.long_carry
        assert left == short + long - sum(carries)
        assert not (netted.short + netted.long and netted.deducted + netted.short_carry + netted.long_carry)
        assert min(netted.short, netted.long, netted.deducted, netted.short_carry, netted.long_carry) >= 0


def test_tax_of_a_year() -> None:
    assert tax_of(year(1000, 2000), TAXED) == 800
    assert tax_of(year(-1000, 0), TAXED) == -400  # deducted from other income, which is taxed as short-term gains are
    assert tax_of(year(0, -10_000), TAXED) == -1200


def test_added_tax_depends_on_the_year_so_far() -> None:
    """A loss of 1,000 saves 20 % against a long gain, 40 % against a short one or income, nothing beyond the cap."""
    for facts, saved in (
        (TaxFacts(long_gain=Decimal(5000)), 200),
        (TaxFacts(short_gain=Decimal(5000)), 400),
        (TaxFacts(), 400),
        (TaxFacts(short_gain=Decimal(-3000)), 0),
        (TaxFacts(short_gain=Decimal(5000), long_gain=Decimal(500)), 300),
    ):
        assert added_tax(facts, Decimal(0), Decimal(-1000), TAXED) == -saved


def test_gain_is_free_while_a_carried_loss_covers_it() -> None:
    facts = TaxFacts(long_carry=Decimal(10_000))
    assert added_tax(facts, Decimal(0), Decimal(7000), TAXED) == 0
    assert added_tax(facts, Decimal(0), Decimal(8000), TAXED) == 400  # 1,000 less are deducted
    assert added_tax(facts, Decimal(0), Decimal(11_000), TAXED) == 1200 + 200


def test_regime_none_taxes_nothing() -> None:
    assert untaxed(*map(Decimal, (5, 5, 0, 0, 0))) == Netted(*map(Decimal, (0, 0, 0, 0, 0)))
    policy = Policy(short_term_rate=Decimal(40), long_term_rate=Decimal(20), tax_regime=TaxRegime.NONE)
    assert added_tax(TaxFacts(), Decimal(1000), Decimal(1000), policy) == 0

"""Tax that sales realised: each term at its rate, or the year netted in full where it is known."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

from app.core.outcome import realised
from app.core.past import BookedSale
from app.core.plan import TaxEstimate
from app.core.policy import Policy, TaxRegime
from app.core.portfolio import AccountKind
from app.core.tax import TaxFacts
from tests.builders import asset

TAXED = Policy(short_term_rate=Decimal(30), long_term_rate=Decimal(15))
DAY = date(2024, 6, 3)


def sale(gain: str, held_from: date = date(2024, 1, 2), disallowed: str = "0") -> BookedSale:
    numbers = Decimal(1), Decimal(1000) + Decimal(gain), Decimal(1000)
    told = BookedSale(DAY, "main", AccountKind.TAXABLE, asset("AAPL"), "USD", held_from, held_from, *numbers)
    return replace(told, disallowed=Decimal(disallowed))


LONG = date(2020, 1, 2)


def test_each_term_at_its_rate_while_nothing_else_is_known_of_the_year() -> None:
    sold = [sale("100"), sale("-40", disallowed="10"), sale("200", LONG)]
    facts = TaxFacts(short_gain=Decimal(70), long_gain=Decimal(200))  # what these sales came to
    assert realised(sold, TAXED, facts) == TaxEstimate(
        Decimal(60), Decimal(200), Decimal(51), losses=Decimal(40), disallowed=Decimal(10)
    )


def test_the_year_is_netted_where_it_is_known() -> None:
    """A long loss of 150 from before would have saved 45; it offsets 150 of these 200 instead, so 15 are due."""
    facts = TaxFacts(short_gain=Decimal(100), long_gain=Decimal(100 - 150))
    assert realised([sale("100"), sale("100", LONG)], TAXED, facts).estimated_tax == Decimal(15 + 45)


def test_sheltered_accounts_and_regimes_without_tax_owe_none() -> None:
    sheltered = replace(sale("100"), kind=AccountKind.TAX_DEFERRED)
    assert realised([sheltered], TAXED, TaxFacts()) == TaxEstimate()
    assert realised([sale("100")], replace(TAXED, tax_regime=TaxRegime.NONE), TaxFacts()) == TaxEstimate()

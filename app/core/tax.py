"""What a plan knows of the taxpayer group: recent purchases and losses, the year so far; and whose gains are taxed.

TaxFacts ── RecentBuy (may wash a loss that is sold now)
   └── RecentLoss (is washed by what is bought now)
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from app.core.lots import GainTerm
from app.core.money import ZERO
from app.core.policy import Policy, TaxRegime
from app.core.portfolio import AccountKind, Portfolio


@dataclass(frozen=True, slots=True)
class RecentBuy:
    """Units of a wash group bought in the last 30 days by anybody of the taxpayer group, still held and unused.

    `lot_id` is the open lot it made where that is one of ours (a sale of that very purchase is never washed by it).
    """

    group: str
    quantity: Decimal
    bought_on: date
    lot_id: str | None = None


@dataclass(frozen=True, slots=True)
class RecentLoss:
    """Units of a wash group sold at a loss in the last 30 days that no purchase has washed yet; loss per unit > 0."""

    group: str
    quantity: Decimal
    loss_per_unit: Decimal
    term: GainTerm
    sold_on: date


@dataclass(frozen=True, slots=True)
class TaxFacts:
    """What the group's past says, as of the snapshot's day. Money in the base currency; net gains may be negative.

    `short_gain` and `long_gain` are realised this year, disallowed losses added back; `short_carry` and `long_carry`
    are losses carried in from before, >= 0. `known_from` is the day from which the facts are complete, None when
    nobody said: then a wash sale may hide before it.
    """

    buys: tuple[RecentBuy, ...] = ()
    losses: tuple[RecentLoss, ...] = ()
    short_gain: Decimal = ZERO
    long_gain: Decimal = ZERO
    short_carry: Decimal = ZERO
    long_carry: Decimal = ZERO
    known_from: date | None = None


NO_FACTS = TaxFacts()


def taxed_accounts(portfolio: Portfolio, policy: Policy) -> frozenset[str]:
    """Return the ids of the accounts whose gains are taxed: the TAXABLE ones, and none under the regime NONE."""
    if policy.tax_regime is TaxRegime.NONE:
        return frozenset()
    return frozenset(account.id for account in portfolio.accounts if account.kind is AccountKind.TAXABLE)

"""Tax regimes as plug-ins: what one country's rules make of the past, and of a year's gains and losses."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Final, Protocol

from app.core import netting, wash
from app.core.ledger import Event, Ledger, LotChoice
from app.core.money import exactly
from app.core.netting import Netted
from app.core.policy import Policy, TaxRegime
from app.core.tax import TaxFacts


class Settle(Protocol):
    """Settle the purchases and sales of one taxpayer group, as `wash.settle` does."""

    def __call__(
        self,
        events: Sequence[Event],
        choice: LotChoice,
        *,
        exempt: Collection[str],
        known_from: date | None,
        short_history: bool,
    ) -> Ledger: ...


@dataclass(frozen=True, slots=True)
class Regime:
    """The rules of one country: `settle` keeps the ledger, `net` sets a year's gains and losses against each other."""

    settle: Settle
    net: Callable[[Decimal, Decimal, Decimal, Decimal, Decimal], Netted]


def _settle_without_washes(
    events: Sequence[Event],
    choice: LotChoice,
    *,
    exempt: Collection[str],
    known_from: date | None,
    short_history: bool,
) -> Ledger:
    """Take every loss as it is: no symbol is known to the wash rule."""
    every = {event.symbol for event in events}
    return wash.settle(events, choice, exempt=every, known_from=known_from, short_history=short_history)


REGIMES: Final[Mapping[TaxRegime, Regime]] = MappingProxyType(
    {
        TaxRegime.US: Regime(wash.settle, netting.net),
        TaxRegime.NONE: Regime(_settle_without_washes, netting.untaxed),
    }
)


@exactly
def added_tax(facts: TaxFacts, short: Decimal, long: Decimal, policy: Policy) -> Decimal:
    """Return by how much further gains (negative: losses) change the tax of the year; exact, negative is a saving.

    Both years are netted in full, with what is realised already and what was carried in, under the policy's yearly cap:
    the exact figure for a plan, which no pair of marginal rates gives.
    """
    net = REGIMES[policy.tax_regime].net
    carried = facts.short_carry, facts.long_carry, policy.yearly_loss_cap
    after = net(facts.short_gain + short, facts.long_gain + long, *carried)
    before = net(facts.short_gain, facts.long_gain, *carried)
    return netting.tax_of(after, policy) - netting.tax_of(before, policy)

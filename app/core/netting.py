"""A year's gains and losses set against each other, short and long, with what is carried from year to year."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from app.core.money import ZERO, exactly
from app.core.policy import Policy

PERCENT: Final = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Netted:
    """What a year comes to, all >= 0: gains that are taxed, the loss deducted from other income, losses carried on."""

    short: Decimal
    long: Decimal
    deducted: Decimal
    short_carry: Decimal
    long_carry: Decimal


@exactly
def net(short: Decimal, long: Decimal, short_carry: Decimal, long_carry: Decimal, cap: Decimal) -> Netted:
    """Set the year's net gains (negative: losses), less what was carried in, against each other; exact.

    A loss of one term reduces the gain of the other. What is left of losses is deducted from other income up to `cap`,
    short-term first, and the rest is carried on in its own term. (IRC 1211, 1212, 1222; Schedule D and its worksheet.)
    """
    short, long = short - short_carry, long - long_carry
    if short < ZERO < long:
        short, long = min(short + long, ZERO), max(short + long, ZERO)
    elif long < ZERO < short:
        short, long = max(short + long, ZERO), min(short + long, ZERO)
    short_loss, long_loss = max(-short, ZERO), max(-long, ZERO)
    deducted = min(cap, short_loss + long_loss)
    of_short = min(deducted, short_loss)
    return Netted(
        short=max(short, ZERO),
        long=max(long, ZERO),
        deducted=deducted,
        short_carry=short_loss - of_short,
        long_carry=long_loss - (deducted - of_short),
    )


def untaxed(short: Decimal, long: Decimal, short_carry: Decimal, long_carry: Decimal, cap: Decimal) -> Netted:
    """Tax nothing and carry nothing, whatever the amounts."""
    return Netted(ZERO, ZERO, ZERO, ZERO, ZERO)


@exactly
def tax_of(netted: Netted, policy: Policy) -> Decimal:
    """Return the tax of a year at the policy's rates; exact, negative is what the deduction saves.

    tax = short x short rate + long x long rate - deducted x short rate: other income is taxed as short-term gains are.
    What is carried on is worth nothing here.
    """
    taxed = netted.short * policy.short_term_rate + netted.long * policy.long_term_rate
    return (taxed - netted.deducted * policy.short_term_rate) * PERCENT

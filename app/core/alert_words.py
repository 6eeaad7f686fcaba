"""What alerts say: sentences with their numbers, for a person."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from app.core.drift import DriftStatus, Entry, Report
from app.core.money import HUNDRED, plain, quotient, round_half_even
from app.core.portfolio import PortfolioStatus
from app.core.reconcile import Difference

SYMBOLS_MAX: Final = 10
SENTENCE_MONEY_PLACES: Final = 2

OUTSIDE: Final = {1: "nearly outside", 2: "outside", 3: "outside by more than the band itself"}
STILL: Final = {0: "only just inside", **{level: f"still {text}" for level, text in OUTSIDE.items()}}
BACK: Final = "back inside"
NO_WARNINGS: Final = "no longer alerted, as the policy asks for no warnings"

PAUSED: Final = {
    PortfolioStatus.PAUSED: "The portfolio is paused; nothing is watched until it is active again.",
    PortfolioStatus.ARCHIVED: "The portfolio is archived; nothing is watched until it is active again.",
}
IMPORTED: Final = "The holdings were imported since; what became of the order does not matter to them any more."
PLAN_OVER: Final = {
    "EXPIRED": "The plan has expired; its prices are too old to act on.",
    "APPROVED": "The plan is approved; its orders come next.",
    "REJECTED": "The plan is rejected.",
    "SUPERSEDED": "The plan is superseded: targets, holdings or policy changed, or a newer plan was made.",
}


def of_sleeve(entry: Entry, where: str) -> str:
    """Say where a sleeve or a holding stands."""
    return (
        f"{entry.key} is at {plain(entry.actual)} %, target {plain(entry.target)} %, "
        f"band {plain(entry.lower)} to {plain(entry.upper)} %: {where}."
    )


def of_untargeted(entry: Entry, currency: str, where: str) -> str:
    """Say how much is held without a target, and what to do."""
    worth = plain(round_half_even(entry.value, SENTENCE_MONEY_PLACES))
    return (
        f"{entry.key} has no target and is {plain(entry.actual)} % ({worth} {currency}) of what is weighed; up to "
        f"{plain(entry.upper)} % is tolerated: {where}. Give it a target or sell it."
    )


def of_whole(gap: Decimal, edge: Decimal, report: Report, where: str) -> str:
    """Say how much of a portfolio would have to change hands; both in hundredths of money."""
    assert report.base is not None
    needed, limit = (plain(quotient(number, report.base, 6)) for number in (gap, edge))
    worth = plain(round_half_even(gap / HUNDRED, SENTENCE_MONEY_PLACES))
    return (
        f"{needed} % of the portfolio ({worth} {report.valuation.base_currency}) would have to change hands to reach "
        f"its targets, limit {limit} %: {where}."
    )


def of_ended(key: str | None, status: DriftStatus) -> str:
    """Say why something is watched no more."""
    if status is DriftStatus.NO_TARGETS:
        return "The portfolio has no targets any more."
    if status is DriftStatus.NO_VALUE:
        return "The portfolio holds nothing that can be weighed any more."
    if key is None:
        return "The policy has no limit for the portfolio as a whole any more."
    return f"{key} is no longer measured by itself."


def of_outage(portfolios: int, symbols: Sequence[str], since: datetime, now: datetime) -> str:
    """Say whose drift cannot be judged, since when, and for want of which prices.

    It is said as of now, as it stays the alert's sentence while other portfolios come and go.
    """
    named = ", ".join(symbols[:SYMBOLS_MAX])
    more = f" and {len(symbols) - SYMBOLS_MAX} more" if len(symbols) > SYMBOLS_MAX else ""
    whose = "one portfolio" if portfolios == 1 else f"{portfolios} portfolios"
    lasting = "" if instant(since) == instant(now) else f", the first since {instant(since)}"
    return f"At {instant(now)} drift of {whose} could not be judged{lasting}: no fresh price for {named}{more}."


def of_outage_over(since: datetime, now: datetime) -> str:
    """Say that no portfolio waits for prices: they came, or what waited has no targets or is not watched any more."""
    return f"No portfolio that is watched lacks a fresh price any more, after {duration(now - since)}."


def of_plan(trades: int, until: datetime) -> str:
    """Say what is ready, and how long it is good."""
    count = "one trade" if trades == 1 else f"{trades} trades"
    return f"A plan of {count} is ready to be looked at; it may be approved until {instant(until)}."


def of_books(account: str, differences: Sequence[Difference]) -> str:
    """Say in what a broker and the books differ, and what to do."""
    told = [f"{one.symbol} {plain(one.theirs)} there, {plain(one.ours)} here" for one in differences]
    more = f"; and {len(told) - SYMBOLS_MAX} more" if len(told) > SYMBOLS_MAX else ""
    return (
        f"The broker of the account {account} holds other units than the books: {'; '.join(told[:SYMBOLS_MAX])}{more}. "
        "See what was traded there without us, and import the holdings."
    )


def of_books_agree(account: str) -> str:
    """Say that a broker and the books agree again."""
    return f"The broker of the account {account} holds what the books say again."


def of_books_moved(account: str) -> str:
    """Say that another works the orders of an account now, so that what its broker held is no longer asked."""
    return f"Another works the orders of the account {account} now; what its broker before held is not asked any more."


def of_move(symbol: str, then: Decimal, now: Decimal, percent: Decimal, limit: Decimal) -> str:
    """Say which price moved beyond what the policy allows, so that a plan is no longer good."""
    return (
        f"The plan has expired: {symbol} moved from {plain(then)} to {plain(now)}, by {plain(percent)} %; the policy "
        f"allows {plain(limit)} %."
    )


def of_unknown(order: str, why: str) -> str:
    """Say of which order it is not known what became of it, why, and what follows."""
    return f"How order {order} stands is not known: {why}. Nothing more of its trade is sent until its broker says."


def of_known(order: str) -> str:
    """Say that it is known again how an order stands."""
    return f"How order {order} stands is known again."


def of_late(order: str, said: str) -> str:
    """Say that a broker says something else of an order than the person who settled it, and what to do."""
    return (
        f"Order {order} was settled by hand, and its broker says something else now: {said}. That is not booked; "
        "import the holdings as they are there."
    )


def of_excess(order: str, said: str) -> str:
    """Say that a broker filled an order beyond what it was for, after it had ended, and what to do."""
    return (
        f"Order {order} has ended, and more was filled of it after that than it was for: {said}. That is not booked; "
        "import the holdings as they are there."
    )


def instant(at: datetime) -> str:
    """Write an instant to the minute."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


def duration(length: timedelta) -> str:
    """Write how long something took, rounded down: minutes below two hours, hours below two days, else days."""
    minutes = length // timedelta(minutes=1)
    for size, name in ((1440, "days"), (60, "hours")):
        if minutes >= 2 * size:
            return f"{minutes // size} {name}"
    return "one minute" if minutes == 1 else f"{minutes} minutes"

"""Ledgers told in lines, their answers in lines, and a slow ledger of single shares to compare with."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import groupby
from random import Random
from typing import Final

from app.core.ledger import Event, Ledger
from app.core.money import ZERO, plain, plain_fraction
from app.core.policy import LotMethod
from app.core.portfolio import AccountKind
from app.core.trades import TradeSide

SHELTERED: Final = {"IRA": AccountKind.TAX_DEFERRED, "ROTH": AccountKind.TAX_EXEMPT}
LINE: Final = re.compile(
    r"(?P<day>\S+) (?P<side>BUY|SELL) (?P<quantity>\S+) (?P<symbol>\S+) @ (?P<price>\S+)"
    r"(?: fees (?P<fees>\S+))?(?: lot (?P<lot>\S+))?(?: in (?P<account>\S+))?"
)


def events(text: str, groups: Mapping[str, str] | None = None) -> list[Event]:
    """Read lines such as `2024-03-01 SELL 100 X @ 9.5 fees 2 lot A in IRA`; an account is taxable but IRA and ROTH."""
    told = []
    for row, line in enumerate(text.strip().splitlines(), 1):
        found = LINE.fullmatch(line.strip())
        assert found, line
        account, symbol = found["account"] or "Broker", found["symbol"]
        told.append(
            Event(
                row=row,
                day=date.fromisoformat(found["day"]),
                account=account,
                kind=SHELTERED.get(account, AccountKind.TAXABLE),
                side=TradeSide[found["side"]],
                symbol=symbol,
                group=(groups or {}).get(symbol, symbol),
                quantity=Decimal(found["quantity"]),
                price=Decimal(found["price"]),
                fees=Decimal(found["fees"] or ZERO),
                lot=found["lot"] or "",
            )
        )
    return told


# Random histories of few shares, symbols and prices, so that everything meets everything. B is bought in named lots.
GROUPS: Final = {"A": "G", "B": "G", "C": "C"}
KINDS: Final = {"One": AccountKind.TAXABLE, "Two": AccountKind.TAXABLE, "IRA": AccountKind.TAX_DEFERRED}
GAPS: Final = (0, 0, 0, 1, 5, 29, 30, 31)


def history(random: Random) -> list[Event]:
    """Make up purchases, and sales of what is held, by day."""
    day = date(2023, 11, 1)
    held: dict[tuple[str, str, str], int] = {}
    told: list[Event] = []
    for row in range(random.randint(2, 30)):
        day += timedelta(days=random.choice(GAPS))
        account, symbol = random.choice(list(KINDS)), random.choice("AAABBC")
        lot = random.choice("LM") if symbol == "B" else ""
        have = held.get((account, symbol, lot), 0)
        side = random.choice(list(TradeSide)) if have else TradeSide.BUY
        units = random.randint(1, min(4, have) if side is TradeSide.SELL else 4)
        held[account, symbol, lot] = have - units if side is TradeSide.SELL else have + units
        price, fees = Decimal(random.randint(1, 6)), Decimal(random.choice([0, 0, 1]))
        told.append(
            Event(row, day, account, KINDS[account], side, symbol, GROUPS[symbol], Decimal(units), price, fees, lot)
        )
    return told


def sales(ledger: Ledger) -> list[str]:
    """Write sales as `100 X gain -250 SHORT, 250 disallowed (40 for good), CONFIRMED`."""
    lines = []
    for sale in ledger.sales:
        good = f" ({plain_fraction(sale.permanent)} for good)" if sale.permanent else ""
        lines.append(
            f"{plain(sale.quantity)} {sale.event.symbol} gain {plain_fraction(sale.gain)} {sale.term.value}, "
            f"{plain_fraction(sale.disallowed)} disallowed{good}, {sale.state.value}"
        )
    return lines


def lots(ledger: Ledger) -> list[str]:
    """Write open lots as `50 X @ 65 of 2009-12-18 held from 2009-09-04`."""
    return [
        f"{plain(lot.quantity)} {lot.event.symbol} @ {plain_fraction(lot.unit_cost)} of {lot.event.day} "
        f"held from {lot.holding_from}"
        for lot in ledger.lots
    ]


@dataclass(eq=False)
class Share:
    """One share, in whole numbers of which the slow ledger counts."""

    place: int
    event: Event
    cost: Fraction
    held_from: date
    sold_at: int | None = None
    used: bool = False
    gain: Fraction = Fraction(0)
    disallowed: Fraction = Fraction(0)
    permanent: Fraction = Fraction(0)
    state: str = "CONFIRMED"

    @property
    def purchase(self) -> tuple[str, str, str | int]:
        return self.event.account, self.event.symbol, self.event.lot or self.place


def slow(told: list[Event], method: LotMethod) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """Settle events of whole shares one share at a time, looking ahead for replacements; return sales and open lots."""
    ordered = sorted(told, key=lambda event: event.day)
    shares = [
        Share(place, event, Fraction(event.price) + Fraction(event.fees) / Fraction(event.quantity), event.day)
        for place, event in enumerate(ordered)
        if event.side is TradeSide.BUY
        for _ in range(int(event.quantity))
    ]
    told_sales: list[tuple[object, ...]] = []
    place = 0
    while place < len(ordered):
        first = ordered[place]
        batch = _batch(ordered, place) if first.side is TradeSide.SELL else []
        taken = [share for at in batch for share in _take(shares, ordered[at], at, method)]
        last = max(batch, default=place)
        for share in sorted(taken, key=lambda share: (share.sold_at, share.place, shares.index(share))):
            _wash(share, shares, ordered, last)
        told_sales = sorted(told_sales + _told(taken, ordered), key=lambda sale: str(sale[0]).zfill(9))
        place += 1
    return told_sales, _told_lots(shares)


def _batch(ordered: list[Event], place: int) -> list[int]:
    """Return the places of the run of sales that begins here; none where one that began earlier goes through here."""
    first = ordered[place]
    same = [at for at, event in enumerate(ordered) if event.group == first.group and event.day == first.day]
    earlier = [at for at in same if at < place]
    if earlier and ordered[earlier[-1]].side is TradeSide.SELL:
        return []
    run = []
    for at in same:
        if at >= place:
            if ordered[at].side is TradeSide.BUY:
                break
            run.append(at)
    return run


def _take(shares: list[Share], event: Event, at: int, method: LotMethod) -> list[Share]:
    held = [
        share
        for share in shares
        if share.place < at
        and share.sold_at is None
        and (share.event.account, share.event.symbol) == (event.account, event.symbol)
        and event.lot in ("", share.event.lot)
    ]
    if method is LotMethod.LIFO:
        held.reverse()
    if method is LotMethod.HIFO:
        held.sort(key=lambda share: -share.cost)
    taken = held[: int(event.quantity)]
    assert len(taken) == event.quantity
    for share in taken:
        share.sold_at = at
        share.gain = Fraction(event.price) - Fraction(event.fees) / Fraction(event.quantity) - share.cost
    return taken


def _wash(sold: Share, shares: list[Share], ordered: list[Event], last: int) -> None:
    """Disallow the loss of one share if another in the window, of another purchase, is unused and unsold."""
    assert sold.sold_at is not None
    sale = ordered[sold.sold_at]
    if sold.gain >= 0 or sale.kind is not AccountKind.TAXABLE:
        return
    if ordered[0].day > sale.day - timedelta(days=30):
        sold.state = "COVERAGE_INCOMPLETE"
    for share in shares:
        if (
            share.event.group == sale.group
            and abs(share.event.day - sale.day) <= timedelta(days=30)
            and not share.used
            and share.purchase != sold.purchase
            and (share.sold_at is None or share.sold_at > last)
        ):
            share.used = True
            sold.disallowed = -sold.gain
            if share.event.kind is AccountKind.TAXABLE:
                share.cost -= sold.gain
                share.held_from = share.event.day - (sale.day - sold.held_from)
            else:
                sold.permanent = -sold.gain
            if sold.state == "CONFIRMED" and share.place < sold.place:
                sold.state = "UNCLEAR"
            elif sold.state == "CONFIRMED" and share.event.symbol != sale.symbol:
                sold.state = "PROBABLE"
            return


RANK: Final = ["COVERAGE_INCOMPLETE", "UNCLEAR", "PROBABLE", "CONFIRMED"]


def _told(taken: list[Share], ordered: list[Event]) -> list[tuple[object, ...]]:
    told: list[tuple[object, ...]] = []
    for (at, _, day, cost, held_from), run in groupby(
        taken, lambda share: (share.sold_at, share.purchase, share.event.day, share.cost, share.held_from)
    ):
        alike = list(run)
        assert at is not None
        state = min((share.state for share in alike), key=RANK.index)
        gain, disallowed, permanent = (
            sum((getattr(share, name) for share in alike), Fraction(0)) for name in ("gain", "disallowed", "permanent")
        )
        told.append(
            (ordered[at].row, len(alike), day, held_from, cost * len(alike), gain, disallowed, permanent, state)
        )
    return told


def _told_lots(shares: list[Share]) -> list[tuple[object, ...]]:
    """Return what is left, by account and symbol as they come first among purchases of a group."""
    left = [share for share in shares if share.sold_at is None]
    told: list[tuple[object, ...]] = []
    for (account, symbol, _, day, cost, held_from), run in groupby(
        sorted(left, key=lambda share: (share.event.account, share.event.symbol)),
        lambda share: (*share.purchase, share.event.day, share.cost, share.held_from),
    ):
        told.append((account, symbol, len(list(run)), day, cost, held_from))
    return told

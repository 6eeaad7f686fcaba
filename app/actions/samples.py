"""Samples of what hooks are told, made by measuring a small portfolio: 6 of a stock at 150, 8 of a bond at 50."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from app.actions.notices import Notice, alert_data, digest, line
from app.core import ids
from app.core.alerts import AlertKind, AlertSeverity, AlertStatus
from app.core.drift import Entry, Snapshot, measure
from app.core.hooks import ALERT_EVENTS, HookEvent
from app.core.policy import Policy
from app.core.portfolio import Account, AccountKind, Asset, AssetClass, Market, Portfolio, Price, TaxLot
from app.core.targets import Target, Targets
from app.store.alerts import Alert

AT: Final = datetime(2026, 1, 5, 14, tzinfo=UTC)
_PORTFOLIO: Final = ids.encode(ids.PORTFOLIO, UUID(int=1))


def sample(event: HookEvent) -> Notice:
    """Return a notice of an event that never happened."""
    if event is HookEvent.ALERT_DIGEST:
        return digest([line(sample(HookEvent.ALERT_RAISED))])
    data: dict[str, object]
    if event is HookEvent.PLAN_READY:
        data = {"id": ids.encode(ids.PLAN, UUID(int=2)), "portfolioId": _PORTFOLIO, "status": "READY"}
    elif event is HookEvent.TARGETS_CHANGED:
        data = {"id": ids.encode(ids.TARGETS, UUID(int=3)), "portfolioId": _PORTFOLIO, "version": 2}
    else:
        assert event in ALERT_EVENTS
        data = alert_data(_alert(event))
    return Notice(event, AT, data, "Sample")


def _alert(event: HookEvent) -> Alert:
    entry = _entry()
    over = event is HookEvent.ALERT_RESOLVED
    return Alert(
        id=ids.encode(ids.ALERT, UUID(int=4)),
        portfolio_id=_PORTFOLIO,
        base_currency="USD",
        kind=AlertKind.DRIFT,
        key=entry.key,
        severity=AlertSeverity.CRITICAL,
        status=AlertStatus.RESOLVED if over else AlertStatus.OPEN,
        message="This is a sample: AAPL is back inside." if over else "This is a sample: AAPL is outside its band.",
        entry=entry,
        raised_at=AT,
        escalated_at=AT if event is HookEvent.ALERT_ESCALATED else None,
        resolved_at=AT if over else None,
    )


def _entry() -> Entry:
    held = (("AAPL", AssetClass.STOCK, 6, 150, 60), ("BND", AssetClass.BOND, 8, 50, 40))
    day = AT.date()
    lots = tuple(
        TaxLot(symbol, symbol, Decimal(units), Decimal(units * price), day, day) for symbol, _, units, price, _ in held
    )
    snapshot = Snapshot(
        Portfolio(_PORTFOLIO, "Sample", "USD", (Account("Main", "Main", AccountKind.TAXABLE, {}, lots),)),
        Targets(tuple(Target(symbol, Decimal(percent), (symbol,)) for symbol, _, _, _, percent in held)),
        Policy(),
        Market(
            {symbol: Asset(symbol, symbol, kind, "USD") for symbol, kind, _, _, _ in held},
            {symbol: Price(Decimal(price), AT) for symbol, _, _, price, _ in held},
        ),
        AT,
    )
    return measure(snapshot).entries[0]

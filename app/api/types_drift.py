"""The schema's types of drift, built from core values, live or from the log."""

from datetime import datetime
from decimal import Decimal

import strawberry
from strawberry import ID, Info, Private

from app.actions import drift as drift_actions
from app.actions.portfolios import Loaded
from app.api.graphql import Caller
from app.api.scalars import Percent
from app.api.types import Money, ToleranceBand, money, percent_or_none
from app.core import deposit
from app.core.bands import Worked
from app.core.deposit import Deposit
from app.core.drift import DriftStatus, Entry, Member, Report

field = strawberry.field


@strawberry.type(description="One asset that counts towards a sleeve, over all accounts.")
class DriftMember:
    asset_id: ID = field(description="Global id of the asset.")
    symbol: str = field(description="Ticker of the asset.")
    quantity: Decimal = field(description="Units held.")
    value: Money = field(description="Market value held.")
    weight: Percent = field(description="Share of the base.")
    stale: bool = field(description="True when its price, or the rate, is older than the policy allows.")

    @classmethod
    def of(cls, member: Member, currency: str) -> "DriftMember":
        return cls(
            asset_id=ID(member.asset.id),
            symbol=member.asset.symbol,
            quantity=member.quantity,
            value=money(member.value, currency),
            weight=Percent(member.weight),
            stale=member.stale,
        )


@strawberry.type(description="Drift of one sleeve.")
class DriftEntry:
    key: str = field(description="Key that joins targets, drift and trades.")
    targeted: bool = field(description="False for a holding in no sleeve: its target is 0, its band the policy's.")
    target: Percent = field(description="Wanted share of the base.")
    actual: Percent = field(description="Actual share of the base, half-even to 6 decimals.")
    drift: Percent = field(description="Actual less target in points; positive is overweight.")
    relative_drift: Percent | None = field(description="Drift in percent of the target; null when the target is 0.")
    band: ToleranceBand = field(description="Band that applied.")
    band_used: Percent | None = field(
        description="How much of the band is used up: 100 is at its edge, more is outside; null for a band of no width."
    )
    status: DriftStatus = field(description="Where the sleeve stands against the band.")
    value: Money = field(description="Market value held.")
    to_target: Money = field(
        description="Amount to buy (positive) or sell (negative) to reach the target, before costs."
    )
    stale: bool = field(description="True when a price it rests on is older than the policy allows.")
    members: list[DriftMember] = field(description="What is held of the sleeve.")

    @classmethod
    def of(cls, entry: Entry, currency: str) -> "DriftEntry":
        return cls(
            key=entry.key,
            targeted=entry.targeted,
            target=Percent(entry.target),
            actual=Percent(entry.actual),
            drift=Percent(entry.drift),
            relative_drift=percent_or_none(entry.relative_drift),
            band=ToleranceBand.of(
                entry.band, entry.target, Worked(entry.width, entry.why, entry.volatility, entry.volatility_above)
            ),
            band_used=percent_or_none(entry.band_used),
            status=entry.status,
            value=money(entry.value, currency),
            to_target=money(entry.to_target, currency),
            stale=entry.stale,
            members=[DriftMember.of(member, currency) for member in entry.members],
        )


@strawberry.type(description="What to buy of one sleeve.")
class DepositBuy:
    key: str = field(description="Key of the sleeve.")
    value: Money = field(description="How much to buy, before costs.")


@strawberry.type(
    description="Smallest deposit that brings a portfolio back by buying alone, together with the cash in the base "
    "currency that may be spent already. What is paid in on top for a cash buffer or for costs is not in it."
)
class DepositAdvice:
    amount: Money = field(description="Money to pay in, rounded up to 8 decimals; 0 when the cash there is enough.")
    buys: list[DepositBuy] = field(
        description="What to buy of each sleeve that is bought: up to the lower edges first, then of what is furthest "
        "below its target. A CASH_FLOW plan goes by the distances to the targets alone, so that of a deposit which is "
        "just enough for the bands it may leave a sleeve outside."
    )

    @classmethod
    def of(cls, deposit: Deposit | None, currency: str) -> "DepositAdvice | None":
        if deposit is None:
            return None
        buys = [DepositBuy(key=key, value=money(amount, currency)) for key, amount in deposit.buys]
        return cls(amount=money(deposit.amount, currency), buys=buys)


@strawberry.type(
    description="How far a portfolio is from its targets at one time. Where numbers cannot be trusted there are none: "
    "entries are empty and figures null for NO_TARGETS, NO_VALUE, and when a price is missing altogether."
)
class Drift:
    report: Private[Report]
    loaded: Private[Loaded | None]
    at: datetime = field(description="When the drift was measured.")
    targets_version: int | None = field(description="Version of the targets compared with; null for a what-if.")
    prices_at: datetime | None = field(description="Time of the oldest price used; null when none was needed.")
    stale: bool = field(description="True when some price or rate is missing or older than the policy allows.")
    missing: list[str] = field(description="Symbols without a price and currency pairs without a rate.")
    stale_symbols: list[str] = field(description="Symbols whose price is too old.")
    status: DriftStatus = field(description="Worst status that applies.")
    value: Money | None = field(description="Everything held, cash included; null while a price is missing.")
    base: Money | None = field(description="What weights are a share of: the value, less cash unless CASH is a sleeve.")
    max_abs_drift: Percent | None = field(description="Largest absolute drift of any sleeve, in points.")
    turnover_to_target: Percent | None = field(
        description="Half the sum of absolute drifts: the share of the base that must change hands."
    )
    breaches: int = field(description="Number of sleeves outside their band.")
    entries: list[DriftEntry] = field(description="Drift by sleeve, largest absolute drift first.")

    @classmethod
    def live(cls, loaded: Loaded) -> "Drift":
        """Measure a portfolio; its tracking error is worked out when it is asked for."""
        return cls.of(drift_actions.measure_loaded(loaded), loaded)

    @classmethod
    def of(cls, report: Report, loaded: Loaded | None = None) -> "Drift":
        valuation, currency = report.valuation, report.valuation.base_currency
        entries = sorted(report.entries, key=lambda entry: -abs(entry.drift))
        return cls(
            report=report,
            loaded=loaded,
            at=report.as_of,
            targets_version=report.targets_version,
            prices_at=valuation.prices_at,
            stale=report.stale,
            missing=list(valuation.missing),
            stale_symbols=list(valuation.stale),
            status=report.status,
            value=None if valuation.value is None else money(valuation.value, currency),
            base=None if report.base is None else money(report.base, currency),
            max_abs_drift=percent_or_none(report.max_abs_drift),
            turnover_to_target=percent_or_none(report.turnover_to_target),
            breaches=report.breaches,
            entries=[DriftEntry.of(entry, currency) for entry in entries],
        )

    @field(
        description="How far returns may be from those of the targets: standard deviation of the difference, percent a "
        "year, from 365 days of closes and a shrunk covariance; null with fewer than 20 common returns."
    )
    async def tracking_error(self, info: Info[Caller, None]) -> Percent | None:
        if self.loaded is None or self.report.tracking_error is not None:
            return percent_or_none(self.report.tracking_error)
        return percent_or_none(await info.context.tracking_errors.load((self.loaded, self.report)))

    @field(
        description="Smallest deposit with which buying alone brings every sleeve within its band; null when none can "
        "and while a price is stale. Of a measurement of the past, that which would have done so then."
    )
    def deposit_to_band(self) -> DepositAdvice | None:
        return DepositAdvice.of(deposit.to_band(self.report), self.report.valuation.base_currency)

    @field(
        description="Smallest deposit with which buying alone brings every sleeve to its target; null as for the band."
    )
    def deposit_to_target(self) -> DepositAdvice | None:
        return DepositAdvice.of(deposit.to_target(self.report), self.report.valuation.base_currency)

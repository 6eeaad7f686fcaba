"""The owner's rules: bands, alerts, planning. Every field has the default the API documents."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from typing import Final

from app.core.bands import SMART, Band, Destination
from app.core.money import HUNDRED, ZERO
from app.core.portfolio import AssetClass

HOUR_S: Final = 3600
DAY_S: Final = 86_400

# Four days, so that a long weekend is not stale; crypto trades around the clock.
MAX_PRICE_AGE_S: Final[Mapping[AssetClass, int]] = MappingProxyType(
    {asset_class: HOUR_S if asset_class is AssetClass.CRYPTO else 4 * DAY_S for asset_class in AssetClass}
)


class LotMethod(Enum):
    """Which lots a sale takes first."""

    MIN_TAX = "MIN_TAX"
    HIFO = "HIFO"
    FIFO = "FIFO"
    LIFO = "LIFO"


@dataclass(frozen=True, slots=True)
class Policy:
    """How one portfolio is watched and rebalanced. Percent fields are 0..100, money is in the base currency.

    `portfolio_band` is how much of the base may have to change hands, in percent, before the portfolio as a whole is
    alerted; None for no such limit. `remind_after_s` 0 is never. `risk_aversion` is lambda of the COST band.
    """

    default_band: Band = SMART
    warn_at: Decimal = Decimal(80)
    alert_on_warning: bool = False
    alert_after: int = 1
    recover_after: int = 1
    portfolio_band: Decimal | None = None
    remind_after_s: int = 0
    max_price_age_s: Mapping[AssetClass, int] = field(default_factory=lambda: MAX_PRICE_AGE_S)
    destination: Destination = Destination.TARGET
    band_kept: Decimal = ZERO
    min_trade: Decimal = ZERO
    max_fee: Decimal = HUNDRED
    cash_buffer: Decimal = ZERO
    allow_sells: bool = True
    lot_method: LotMethod = LotMethod.MIN_TAX
    short_term_rate: Decimal = ZERO
    long_term_rate: Decimal = ZERO
    plan_lifetime_s: int = DAY_S
    risk_aversion: Decimal = Decimal(5)
    auto_propose: bool = False
    cooldown_s: int = DAY_S

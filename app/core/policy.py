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
    SPEC_ID = "SPEC_ID"


class TaxRegime(Enum):
    """Rules that gains and losses follow. NONE knows no tax and no wash sales."""

    US = "US"
    NONE = "NONE"


class WashRule(Enum):
    """What a purchase does that would wash a recent loss: it costs what is forfeited, or it is not made."""

    PRICED = "PRICED"
    STRICT = "STRICT"


class Objective(Enum):
    """What weighs more: how much one unit of money off target is worth, against costs and tax."""

    MIN_TAX = "MIN_TAX"
    BALANCED = "BALANCED"
    MIN_DRIFT = "MIN_DRIFT"


class OrderStyle(Enum):
    """How a trade is worked."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    TWAP = "TWAP"
    NAV = "NAV"


DRIFT_PRICE: Final[Mapping[Objective, Decimal]] = MappingProxyType(
    {Objective.MIN_TAX: Decimal("0.01"), Objective.BALANCED: Decimal("0.05"), Objective.MIN_DRIFT: Decimal(1)}
)


@dataclass(frozen=True, slots=True)
class Policy:
    """How one portfolio is watched and rebalanced. Percent fields are 0..100, money is in the base currency.

    `portfolio_band` is how much of the base may have to change hands, in percent, before the portfolio as a whole is
    alerted; None for no such limit. `remind_after_s` 0 is never. `risk_aversion` is lambda of the COST band.

    `drift_price` is what one unit of money off target costs in the objective, None for that of `objective`.
    `loss_credit` is the percent of a loss's tax that counts as saved (the gain later is higher). `min_harvest` and
    `min_harvest_share` are the least loss worth harvesting: money, and percent of the basis of what is sold.
    `max_turnover` is a percent of the base, half the traded value; `tax_budget` is the most tax of one plan.
    `improvement` keeps a trade only if it leaves |d| at or below that percent of what it was. `no_buy` and `no_sell`
    are symbols. `yearly_loss_cap` is how much net loss offsets other income in a year.

    Execution: `styles` says how a class is worked where the rules of `execution` shall not choose. A TWAP has a slice
    every `twap_interval_s` for `twap_horizon_s`; it is chosen for a volatility above `volatility_limit` (annualised)
    or a participation (units of the order to a day's volume) above `participation_limit`. A limit price is off the
    last price by `collar_days` days' volatility, at least `collar_min` and at most `collar_max`. What is not filled
    `reprice_after_s` (0: never) after it was placed is cancelled and its remainder priced anew, `reprices` times.
    A plan is not approved once a price it trades at has moved by more than `price_move_limit`; with `four_eyes` not by
    who asked for it.
    """

    default_band: Band = SMART
    warn_at: Decimal = Decimal(80)
    alert_on_warning: bool = False
    alert_after: int = 1
    recover_after: int = 1
    portfolio_band: Decimal | None = None
    remind_after_s: int = 0
    max_price_age_s: Mapping[AssetClass, int] = field(default_factory=lambda: dict(MAX_PRICE_AGE_S))
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
    objective: Objective = Objective.BALANCED
    drift_price: Decimal | None = None
    tax_regime: TaxRegime = TaxRegime.US
    wash_rule: WashRule = WashRule.PRICED
    crypto_washes: bool = False
    loss_credit: Decimal = Decimal(80)
    yearly_loss_cap: Decimal = Decimal(3000)
    min_harvest: Decimal = ZERO
    min_harvest_share: Decimal = ZERO
    max_turnover: Decimal | None = None
    tax_budget: Decimal | None = None
    improvement: Decimal | None = None
    no_buy: tuple[str, ...] = ()
    no_sell: tuple[str, ...] = ()
    styles: Mapping[AssetClass, OrderStyle] = field(default_factory=dict)
    twap_horizon_s: int = HOUR_S
    twap_interval_s: int = 300
    volatility_limit: Decimal = Decimal(60)
    participation_limit: Decimal = Decimal(1)
    collar_days: Decimal = Decimal("0.5")
    collar_min: Decimal = Decimal("0.1")
    collar_max: Decimal = Decimal(2)
    reprice_after_s: int = 900
    reprices: int = 3
    price_move_limit: Decimal | None = Decimal(5)
    four_eyes: bool = False

"""The portfolio file's policy: every field by its name in the API, and its default where it is absent."""

from decimal import Decimal
from enum import Enum
from typing import Final, TypeVar

from app.core import execution_rules, scalars
from app.core.document_bands import read_band
from app.core.errors import Duplicate, InvalidInput, LimitExceeded, SteelyardError
from app.core.fields import Fields, read_bool
from app.core.money import HUNDRED
from app.core.policy import Policy
from app.core.portfolio import AssetClass

MAX_SYMBOLS: Final = 500  # that a policy keeps from being bought, or sold

E = TypeVar("E", bound=Enum)


def read_policy(item: object) -> Policy:
    """Read a policy; absent fields have the defaults."""
    fields, default = Fields(item), Policy()

    def percent(name: str, otherwise: Decimal) -> Decimal:
        return fields.take(name, lambda value: scalars.percent(value, name), otherwise)

    def money(name: str, otherwise: Decimal) -> Decimal:
        return fields.take(name, lambda value: scalars.money(value, name), otherwise)

    def member(name: str, otherwise: E) -> E:
        return fields.take(name, lambda value: scalars.member(type(otherwise), value, name), otherwise)

    ages: dict[AssetClass, int] = {}
    for place, (asset_class, age) in enumerate(fields.each("maxPriceAge", _age) or ()):
        if asset_class in ages:
            raise Duplicate(f"the age of {asset_class.value} is given twice", ["maxPriceAge", place])
        ages[asset_class] = age
    policy = Policy(
        default_band=fields.take("defaultBand", read_band, default.default_band),
        warn_at=percent("warnAt", default.warn_at),
        alert_on_warning=fields.take("alertOnWarning", read_bool, default.alert_on_warning),
        alert_after=fields.take("alertAfter", _count, default.alert_after),
        recover_after=fields.take("recoverAfter", _count, default.recover_after),
        portfolio_band=fields.maybe("portfolioBand", lambda value: scalars.percent(value, "portfolioBand")),
        remind_after_s=fields.take("remindAfter", scalars.duration_s, default.remind_after_s),
        max_price_age_s={**default.max_price_age_s, **ages},
        destination=member("destination", default.destination),
        band_kept=percent("bandKept", default.band_kept * HUNDRED).scaleb(-2),
        min_trade=money("minTrade", default.min_trade),
        max_fee=percent("maxFee", default.max_fee),
        cash_buffer=percent("cashBuffer", default.cash_buffer),
        allow_sells=fields.take("allowSells", read_bool, default.allow_sells),
        lot_method=member("lotMethod", default.lot_method),
        short_term_rate=percent("shortTermRate", default.short_term_rate),
        long_term_rate=percent("longTermRate", default.long_term_rate),
        plan_lifetime_s=fields.take("planLifetime", scalars.duration_s, default.plan_lifetime_s),
        risk_aversion=fields.take("riskAversion", scalars.risk_aversion, default.risk_aversion),
        auto_propose=fields.take("autoPropose", read_bool, default.auto_propose),
        cooldown_s=fields.take("cooldown", scalars.duration_s, default.cooldown_s),
        objective=member("objective", default.objective),
        drift_price=fields.maybe("driftPrice", scalars.drift_price),
        tax_regime=member("taxRegime", default.tax_regime),
        wash_rule=member("washRule", default.wash_rule),
        crypto_washes=fields.take("cryptoWashes", read_bool, default.crypto_washes),
        loss_credit=percent("lossCredit", default.loss_credit),
        yearly_loss_cap=money("yearlyLossCap", default.yearly_loss_cap),
        min_harvest=money("minHarvest", default.min_harvest),
        min_harvest_share=percent("minHarvestShare", default.min_harvest_share),
        max_turnover=fields.maybe("maxTurnover", lambda value: scalars.percent(value, "maxTurnover")),
        tax_budget=fields.maybe("taxBudget", lambda value: scalars.money(value, "taxBudget")),
        improvement=fields.maybe("improvement", lambda value: scalars.percent(value, "improvement")),
        no_buy=fields.take("noBuy", read_symbols, default.no_buy),
        no_sell=fields.take("noSell", read_symbols, default.no_sell),
        **execution_rules.read(fields),
    )
    fields.end()
    return execution_rules.check(policy)


def read_symbols(item: object) -> tuple[str, ...]:
    """Read a list of at most 500 symbols, each of them once."""
    if not isinstance(item, list):
        raise InvalidInput(f"must be a list, not {type(item).__name__}")
    if len(item) > MAX_SYMBOLS:
        raise LimitExceeded(f"there are {len(item)} symbols; at most {MAX_SYMBOLS} are allowed")
    found: list[str] = []
    for place, value in enumerate(item):
        try:
            symbol = scalars.symbol(value)
        except SteelyardError as error:
            raise error.under(place) from None
        if symbol in found:
            raise Duplicate(f"{symbol} is given twice", [place])
        found.append(symbol)
    return tuple(found)


def _age(item: object) -> tuple[AssetClass, int]:
    fields = Fields(item)
    found = (
        fields.take("assetClass", lambda value: scalars.member(AssetClass, value, "assetClass")),
        fields.take("age", lambda value: scalars.duration_s(value, "age")),
    )
    fields.end()
    return found


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1000:
        raise InvalidInput(f"must be a whole number from 1 to 1000, not {str(value)[:20]!r}")
    return value

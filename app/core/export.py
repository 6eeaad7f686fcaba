"""Writing the portfolio file and the offline answers: what `document.parse` reads back to the same values."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.core import execution_rules
from app.core.bands import Band, BandKind, Destination, Side
from app.core.costs import FREE, Liquidity, Tier
from app.core.document import VERSION
from app.core.drafts import TransactionDraft, names_of
from app.core.drift import Entry, Report, Snapshot
from app.core.money import HUNDRED, QUANTITY_PLACES, plain, quotient, round_half_even
from app.core.policy import MAX_PRICE_AGE_S, Policy
from app.core.portfolio import Account, Asset, Broker, BrokerKind, Price
from app.core.scalars import write_duration, write_instant
from app.core.targets import Target

MONEY_SHOWN = 8


def render(
    snapshot: Snapshot, transactions: Sequence[TransactionDraft] = (), model: str | None = None
) -> dict[str, Any]:
    """Return the portfolio file of a snapshot; `transactions` call assets by the names of `names_by_id`.

    `model` is the model portfolio that it follows, which no answer about it rests on.

    Unit cost = basis / quantity, half-even to 18 decimals: read back, the basis is the same to the last of its 10
    decimals for lots below 1e8 units, and within quantity x 5e-19 for larger ones.
    """
    market, portfolio = snapshot.market, snapshot.portfolio
    names = names_by_id(market.assets.values())
    document: dict[str, Any] = {
        "steelyard": VERSION,
        "asOf": write_instant(snapshot.as_of),
        "assets": [_asset(asset, market.prices.get(asset.id)) for asset in market.assets.values()],
        **({"brokers": [_broker(broker) for broker in market.brokers.values()]} if market.brokers else {}),
        "portfolio": {
            "name": portfolio.name,
            **({"model": model} if model else {}),
            "baseCurrency": portfolio.base_currency,
            "policy": _policy(snapshot.policy),
            "accounts": [_account(account, portfolio.base_currency, names) for account in portfolio.accounts],
        },
    }
    if snapshot.targets:
        document["portfolio"]["targets"] = [_target(entry, names) for entry in snapshot.targets.entries]
    if transactions:
        document["transactions"] = [_transaction(item) for item in transactions]
    return document


def names_by_id(assets: Iterable[Asset]) -> dict[str, str]:
    """Return what each asset is called in a file: its symbol, with currency and venue where that is not enough."""
    names: dict[str, str] = {}
    for name, asset in names_of(list(assets)).items():
        names[asset.id] = min(names.get(asset.id, name), name, key=len)
    return names


def _asset(asset: Asset, price: Price | None) -> dict[str, Any]:
    item: dict[str, Any] = {
        "symbol": asset.symbol,
        "assetClass": asset.asset_class.value,
        "currency": asset.currency,
        "name": asset.name or asset.symbol,
        "step": plain(asset.quantity_step),
        "priceStep": plain(asset.price_step),
        "minNotional": plain(asset.min_notional),
        "tradable": asset.tradable,
    }
    if asset.venue:
        item["venue"] = asset.venue
    if asset.identical_group:
        item["identicalGroup"] = asset.identical_group
    if asset.costs != FREE:
        item["costs"] = _schedule(asset.costs.schedule) | {"halfSpread": plain(asset.costs.half_spread * HUNDRED)}
    if asset.liquidity:
        item["liquidity"] = _liquidity(asset.liquidity)
    if price:
        item |= {"price": plain(price.value), "pricedAt": write_instant(price.priced_at)}
        item |= {"source": price.source} if price.source else {}
    return item


def _schedule(schedule: Sequence[Tier]) -> dict[str, Any]:
    """Write a line of fees and those after it as one object."""
    first, *others = schedule
    tiers = [{"above": plain(line.above)} | _line(line) for line in others]
    return _line(first) | ({"tiers": tiers} if tiers else {})


def _line(line: Tier) -> dict[str, Any]:
    item = {"fixed": plain(line.fixed), "rate": plain(line.rate * HUNDRED), "minimum": plain(line.minimum)}
    return item if line.cap is None else item | {"cap": plain(line.cap)}


def _liquidity(liquidity: Liquidity) -> dict[str, Any]:
    return {
        "dailyVolume": plain(liquidity.daily_volume),
        "dailyVolatility": plain(liquidity.daily_volatility * HUNDRED),
        "impactFactor": plain(liquidity.factor),
    }


def _broker(broker: Broker) -> dict[str, Any]:
    return {
        "name": broker.name,
        "currency": broker.currency,
        "conversion": plain(broker.conversion * HUNDRED),
        "fees": [{"assetClass": kind.value} | _schedule(schedule) for kind, schedule in broker.fees.items()],
    }


def _account(account: Account, base_currency: str, names: Mapping[str, str]) -> dict[str, Any]:
    others = [(currency, amount) for currency, amount in account.cash.items() if currency != base_currency and amount]
    item: dict[str, Any] = {"name": account.name, "kind": account.kind.value}
    if base_currency in account.cash:
        item["cash"] = plain(account.cash[base_currency])
    if others:
        item["balances"] = [{"currency": currency, "amount": plain(amount)} for currency, amount in others]
    if account.history_from:
        item["historyFrom"] = account.history_from.isoformat()
    if account.broker:
        item["broker"] = account.broker
    if account.execution is not BrokerKind.MANUAL:
        item["execution"] = account.execution.value
    item["lots"] = [
        {
            "symbol": names[lot.asset_id],
            "quantity": plain(lot.quantity),
            "unitCost": plain(quotient(lot.basis, lot.quantity, QUANTITY_PLACES)),
            "acquiredOn": lot.acquired_on.isoformat(),
        }
        for lot in account.lots
    ]
    return item


def _target(entry: Target, names: Mapping[str, str]) -> dict[str, Any]:
    item: dict[str, Any] = {"key": entry.key, "percent": plain(entry.percent)}
    if entry.assets:
        item["assets"] = [names[asset_id] for asset_id in entry.assets]
    if entry.asset_class:
        item["assetClass"] = entry.asset_class.value
    if entry.band:
        item["band"] = write_band(entry.band)
    return item


def write_band(band: Band) -> dict[str, Any]:
    """Write a band in the form the file reads."""
    written = _side(band)
    return written | {"above": _side(band.above)} if band.above else written


def _side(side: Side) -> dict[str, Any]:
    if side.kind is BandKind.SMART:
        return {"smart": True}
    numbers = {name: getattr(side, name) for name in ("absolute", "relative", "floor", "cap")}
    written: dict[str, Any] = {name: plain(number) for name, number in numbers.items() if number is not None}
    if side.kind is BandKind.HYBRID:
        return {"hybrid": written}
    if side.kind is BandKind.COST:
        return {"cost": True} | written
    if side.kind is BandKind.VOLATILITY:
        assert side.factor is not None, side
        return {"volatility": {"factor": plain(side.factor), "windowDays": side.window_days}} | written
    return written


def _policy(policy: Policy) -> dict[str, Any]:
    item: dict[str, Any] = {
        "defaultBand": write_band(policy.default_band),
        "warnAt": plain(policy.warn_at),
        "alertOnWarning": policy.alert_on_warning,
        "alertAfter": policy.alert_after,
        "recoverAfter": policy.recover_after,
        "remindAfter": write_duration(policy.remind_after_s),
        "destination": policy.destination.value,
        "minTrade": plain(policy.min_trade),
        "maxFee": plain(policy.max_fee),
        "cashBuffer": plain(policy.cash_buffer),
        "allowSells": policy.allow_sells,
        "lotMethod": policy.lot_method.value,
        "shortTermRate": plain(policy.short_term_rate),
        "longTermRate": plain(policy.long_term_rate),
        "planLifetime": write_duration(policy.plan_lifetime_s),
        "riskAversion": plain(policy.risk_aversion),
        "autoPropose": policy.auto_propose,
        "cooldown": write_duration(policy.cooldown_s),
    }
    item |= _planning(policy) | execution_rules.write(policy)
    if policy.portfolio_band is not None:
        item["portfolioBand"] = plain(policy.portfolio_band)
    if policy.band_kept or policy.destination is Destination.SHARE:
        item["bandKept"] = plain(policy.band_kept * HUNDRED)
    ages = [(kind, age) for kind, age in policy.max_price_age_s.items() if age != MAX_PRICE_AGE_S[kind]]
    if ages:
        item["maxPriceAge"] = [{"assetClass": kind.value, "age": write_duration(age)} for kind, age in ages]
    return item


def _planning(policy: Policy) -> dict[str, Any]:
    limits = {
        "driftPrice": policy.drift_price,
        "maxTurnover": policy.max_turnover,
        "taxBudget": policy.tax_budget,
        "improvement": policy.improvement,
    }
    symbols = {"noBuy": policy.no_buy, "noSell": policy.no_sell}
    return {
        "objective": policy.objective.value,
        "taxRegime": policy.tax_regime.value,
        "washRule": policy.wash_rule.value,
        "cryptoWashes": policy.crypto_washes,
        "lossCredit": plain(policy.loss_credit),
        "yearlyLossCap": plain(policy.yearly_loss_cap),
        "minHarvest": plain(policy.min_harvest),
        "minHarvestShare": plain(policy.min_harvest_share),
        **{name: plain(limit) for name, limit in limits.items() if limit is not None},
        **{name: list(some) for name, some in symbols.items() if some},
    }


def _transaction(item: TransactionDraft) -> dict[str, Any]:
    return {
        "date": item.traded_on.isoformat(),
        "account": item.account,
        "side": item.side.value,
        "symbol": item.symbol,
        "quantity": plain(item.quantity),
        "price": plain(item.price),
        "fees": plain(item.fees),
    }


def render_drift(report: Report) -> dict[str, Any]:
    """Return the answer of `drift --json`: strings; percents with up to 6 decimals, money with up to 8, half-even."""
    worth = report.valuation.value
    return {
        "value": None if worth is None else plain(round_half_even(worth, MONEY_SHOWN)),
        "status": report.status.value,
        "maxAbsDrift": None if report.max_abs_drift is None else plain(report.max_abs_drift),
        "turnoverToTarget": None if report.turnover_to_target is None else plain(report.turnover_to_target),
        "missing": list(report.valuation.missing),
        "stale": list(report.valuation.stale),
        "entries": [_drift_entry(entry) for entry in report.entries],
    }


def _drift_entry(entry: Entry) -> dict[str, Any]:
    return {
        "key": entry.key,
        "targeted": entry.targeted,
        "target": plain(entry.target),
        "actual": plain(entry.actual),
        "drift": plain(entry.drift),
        "relativeDrift": None if entry.relative_drift is None else plain(entry.relative_drift),
        "lower": plain(entry.lower),
        "upper": plain(entry.upper),
        "why": entry.why,
        "status": entry.status.value,
        "value": plain(round_half_even(entry.value, MONEY_SHOWN)),
        "toTarget": plain(round_half_even(entry.to_target, MONEY_SHOWN)),
    }

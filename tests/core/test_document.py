"""The portfolio file: what it says, what it refuses and where, and that what is written is read back the same."""

import json
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from app.core import assemble, document, document_bands, export
from app.core.bands import SMART, Band, BandKind, Destination, Side, below, two_sided
from app.core.costs import Costs, Liquidity, Tier
from app.core.document import PortfolioFile
from app.core.drafts import AccountDraft, LotDraft, TransactionDraft
from app.core.drift import Snapshot
from app.core.errors import SteelyardError
from app.core.money import EXACT, plain
from app.core.policy import MAX_PRICE_AGE_S, Objective, OrderStyle, Policy, TaxRegime, WashRule
from app.core.portfolio import (
    Account,
    AccountKind,
    Asset,
    AssetClass,
    Broker,
    BrokerKind,
    Market,
    Portfolio,
    Price,
    TaxLot,
)
from app.core.targets import Target, TargetDraft, Targets
from app.core.trades import TradeSide
from tests.builders import absolute, hybrid, moving_band, relative
from tests.core.samples import PROPERTY, decimals, every_band, percents, policies, rules, schedules

NOW = datetime(2024, 6, 3, 16, tzinfo=UTC)

WHOLE: dict[str, Any] = {
    "steelyard": 1,
    "assets": [{"symbol": "A", "price": "10"}, {"symbol": "B"}],
    "portfolio": {
        "policy": {"defaultBand": {"smart": True}, "maxPriceAge": [{"assetClass": "ETF", "age": "P1D"}]},
        "accounts": [{"cash": "5", "balances": [{"currency": "EUR", "amount": "1"}], "lots": [{"symbol": "A"}]}],
        "targets": [{"key": "A", "percent": "100", "band": {"absolute": "5"}}],
    },
    "transactions": [
        {"date": "2024-01-02", "account": "Main", "side": "BUY", "symbol": "A", "quantity": "1", "price": "10"}
    ],
}
WHOLE["portfolio"]["accounts"][0]["lots"][0]["quantity"] = "2"


def parse(given: object) -> PortfolioFile:
    return document.parse(given, NOW)


def snapshot(given: object) -> Snapshot:
    return assemble.snapshot_of(parse(given))


def changed(path: str, value: object) -> dict[str, Any]:
    """Return the whole document with one field set; a last step of digits may append."""
    copy: Any = deepcopy(WHOLE)
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place = copy
    for step in steps:
        place = place[step]
    if isinstance(place, list) and last == len(place):
        place.append(value)
    else:
        place[last] = value
    return dict(copy)


def refusal(given: object) -> tuple[str, str]:
    with pytest.raises(SteelyardError) as caught:
        snapshot(given)
    return ".".join(caught.value.path), caught.value.message


def test_least_file_has_the_defaults_and_is_of_now() -> None:
    file = parse({"steelyard": 1, "portfolio": {}})
    assert (file.as_of, file.assets, file.transactions) == (NOW, (), ())
    assert file.portfolio.name == "Portfolio"
    assert (file.portfolio.model, file.portfolio.base_currency) == (None, "USD")
    assert file.portfolio.policy == Policy()
    assert file.portfolio.accounts == (AccountDraft("Main", AccountKind.TAXABLE, {}, ()),)
    assert file.portfolio.targets is None


def test_asset_without_more_than_a_symbol_has_the_defaults() -> None:
    file = parse({"steelyard": 1, "portfolio": {}, "assets": [{"symbol": "A"}]})
    assert file.assets == ((Asset("A:USD:", "A", AssetClass.OTHER, "USD", "", "A"), None),)


def test_price_is_of_the_files_instant_unless_it_says_another() -> None:
    assets = [{"symbol": "A", "price": 3}, {"symbol": "B", "price": "4.5", "pricedAt": "2024-05-31T20:00:00.5Z"}]
    file = parse({"steelyard": 1, "asOf": "2024-06-01T00:00:00Z", "portfolio": {}, "assets": assets})
    assert [price for _, price in file.assets] == [
        Price(Decimal(3), datetime(2024, 6, 1, tzinfo=UTC), "file"),
        Price(Decimal("4.5"), datetime(2024, 5, 31, 20, 0, 0, 500_000, tzinfo=UTC), "file"),
    ]


def test_costs_and_brokers_are_read() -> None:
    lines = {"fixed": "1", "rate": "0.25", "minimum": "2", "cap": "30", "tiers": [{"above": "5"}, {"above": 6}]}
    tiers = Tier(Decimal(5)), Tier(Decimal(6))
    asset = {"symbol": "A", "costs": lines, "liquidity": {"dailyVolume": "10.5", "dailyVolatility": "1.25"}}
    broker = {"name": "X", "currency": "SEK", "conversion": "0.25", "fees": [{"assetClass": "ETF", **lines}]}
    account = {"broker": "X"}
    given = {"steelyard": 1, "assets": [asset], "brokers": [broker], "portfolio": {"accounts": [account]}}
    found = snapshot(given).market
    assert found.assets["A:USD:"].costs == Costs(
        *(Decimal(1), Decimal("0.0025"), Decimal(2)), cap=Decimal(30), tiers=tiers
    )
    assert found.assets["A:USD:"].liquidity == Liquidity(Decimal("10.5"), Decimal("0.0125"))
    first = Tier(Decimal(0), Decimal(1), Decimal("0.0025"), Decimal(2), Decimal(30))
    assert found.brokers == {"X": Broker("X", "SEK", Decimal("0.0025"), {AssetClass.ETF: (first, *tiers)})}
    assert snapshot(given).portfolio.accounts[0].broker == "X"
    assert snapshot(given).portfolio.accounts[0].execution is BrokerKind.MANUAL
    with pytest.raises(SteelyardError, match="no broker is called X; an operator can record it, and a file list it"):
        snapshot({**given, "brokers": []})


def test_every_field_is_read() -> None:
    asset = {
        "symbol": "A", "assetClass": "ETF", "currency": "EUR", "venue": "XETR", "name": "Apple", "step": "0.001",
        "priceStep": "0.5", "minNotional": "10", "tradable": False, "identicalGroup": "g", "price": "7",
        "pricedAt": "2024-06-01T00:00:00Z", "source": "desk",
        "costs": {"fixed": "1", "rate": "0.25", "minimum": "2", "halfSpread": "0.000001"},
    }  # fmt: skip
    policy = {
        "defaultBand": {"absolute": "3"}, "warnAt": "50", "alertOnWarning": True, "alertAfter": 2, "recoverAfter": 1000,
        "maxPriceAge": [{"assetClass": "ETF", "age": "PT1M"}], "destination": "SHARE", "bandKept": "87.5",
        "minTrade": "100", "maxFee": "2", "cashBuffer": "1", "allowSells": False, "lotMethod": "HIFO",
        "shortTermRate": "35", "longTermRate": "15", "planLifetime": "PT90S",
        "portfolioBand": "3", "remindAfter": "P1D", "riskAversion": "2.5", "autoPropose": True, "cooldown": "P7D",
        "objective": "MIN_DRIFT", "driftPrice": "0.2", "taxRegime": "NONE", "washRule": "STRICT", "cryptoWashes": True,
        "lossCredit": "75", "yearlyLossCap": "1500", "minHarvest": "200", "minHarvestShare": "3", "maxTurnover": "20",
        "taxBudget": "500", "improvement": "50", "noBuy": ["GME", "BRK.B"], "noSell": ["AAPL"],
        "styles": [{"assetClass": "FUND", "style": "NAV"}, {"assetClass": "BOND", "style": "MARKET"}],
        "twapHorizon": "PT2H", "twapInterval": "PT10M", "volatilityLimit": "45", "participationLimit": "0.5",
        "collarDays": "1.5", "collarMin": "0.05", "collarMax": "3", "repriceAfter": "PT0S", "reprices": 0,
        "priceMoveLimit": None, "fourEyes": True,
    }  # fmt: skip
    lot = {"symbol": "A:EUR:XETR", "quantity": "0.001", "unitCost": "0", "acquiredOn": "2020-02-29"}
    account = {"name": "X", "kind": "TAX_EXEMPT", "cash": "1.5", "lots": [lot], "historyFrom": "2020-02-29"}
    target = {"percent": "100", "key": "K", "assets": ["A"], "assetClass": "ETF", "band": {"smart": True}}
    fact = {"date": "2024-01-02", "account": "X", "side": "SELL", "symbol": "A", "quantity": 1, "price": 2, "fees": "3"}
    portfolio = {
        "name": "P",
        "model": "60/40",
        "baseCurrency": "EUR",
        "policy": policy,
        "accounts": [account],
        "targets": [target],
    }
    file = parse({"steelyard": 1, "assets": [asset], "portfolio": portfolio, "transactions": [fact]})
    rates = Costs(Decimal(1), Decimal("0.0025"), Decimal(2), Decimal("0.00000001"))
    assert file.assets == (
        (
            Asset(
                *("A:EUR:XETR", "A", AssetClass.ETF, "EUR", "XETR", "Apple"),
                *(Decimal("0.001"), Decimal("0.5"), Decimal(10), False, "g", rates),
            ),
            Price(Decimal(7), datetime(2024, 6, 1, tzinfo=UTC), "desk"),
        ),
    )
    draft = file.portfolio
    assert (draft.name, draft.model, draft.base_currency) == ("P", "60/40", "EUR")
    assert (draft.policy.default_band, draft.policy.destination) == (absolute("3"), Destination.SHARE)
    assert (draft.policy.band_kept, draft.policy.plan_lifetime_s) == (Decimal("0.875"), 90)
    assert (draft.policy.portfolio_band, draft.policy.remind_after_s) == (Decimal(3), 86_400)
    assert (draft.policy.risk_aversion, draft.policy.auto_propose) == (Decimal("2.5"), True)
    assert draft.policy.cooldown_s == 7 * 86_400
    rules = draft.policy
    assert (rules.objective, rules.drift_price) == (Objective.MIN_DRIFT, Decimal("0.2"))
    assert (rules.tax_regime, rules.wash_rule, rules.crypto_washes) == (TaxRegime.NONE, WashRule.STRICT, True)
    assert (rules.loss_credit, rules.yearly_loss_cap) == (Decimal(75), Decimal(1500))
    assert (rules.min_harvest, rules.min_harvest_share) == (Decimal(200), Decimal(3))
    assert (rules.max_turnover, rules.tax_budget, rules.improvement) == (Decimal(20), Decimal(500), Decimal(50))
    assert (rules.no_buy, rules.no_sell) == (("GME", "BRK.B"), ("AAPL",))
    assert rules.styles == {AssetClass.FUND: OrderStyle.NAV, AssetClass.BOND: OrderStyle.MARKET}
    assert (rules.twap_horizon_s, rules.twap_interval_s) == (7200, 600)
    assert (rules.volatility_limit, rules.participation_limit) == (Decimal(45), Decimal("0.5"))
    assert (rules.collar_days, rules.collar_min, rules.collar_max) == (Decimal("1.5"), Decimal("0.05"), Decimal(3))
    assert (rules.reprice_after_s, rules.reprices) == (0, 0)
    assert (rules.price_move_limit, rules.four_eyes) == (None, True)
    assert draft.policy.max_price_age_s == {**MAX_PRICE_AGE_S, AssetClass.ETF: 60}
    bought = LotDraft("A:EUR:XETR", Decimal("0.001"), Decimal(0), date(2020, 2, 29))
    cash, since = {"EUR": Decimal("1.5")}, date(2020, 2, 29)
    assert draft.accounts == (AccountDraft("X", AccountKind.TAX_EXEMPT, cash, (bought,), since),)
    assert draft.targets == (TargetDraft(Decimal(100), "K", ("A",), AssetClass.ETF, SMART),)
    numbers = Decimal(1), Decimal(2), Decimal(3)
    assert file.transactions == (TransactionDraft(date(2024, 1, 2), "X", TradeSide.SELL, "A", *numbers),)


@pytest.mark.parametrize(
    ("written", "band"),
    [
        ({"absolute": "5"}, absolute("5")),
        ({"relative": 20}, relative("20")),
        ({"relative": "20", "floor": "1", "cap": "5"}, relative("20", floor="1", cap="5")),
        ({"hybrid": {}}, hybrid("5", "25")),
        ({"hybrid": {"absolute": "2", "relative": "10"}}, hybrid("2", "10")),
        ({"smart": True}, SMART),
        ({"smart": True, "above": {"smart": True}}, SMART),
        ({"volatility": {}}, moving_band("1.5", 365)),
        ({"volatility": {"factor": "2.5", "windowDays": 90}, "cap": "8"}, moving_band("2.5", 90, cap="8")),
        ({"cost": True, "floor": "0.5"}, Band(BandKind.COST, floor=Decimal("0.5"))),
        ({"absolute": "3", "above": {"cost": True}}, two_sided(absolute("3"), Side(BandKind.COST))),
        ({"hybrid": {}, "above": {"smart": True}}, two_sided(hybrid("5", "25"), below(SMART))),
        ({"absolute": "5", "smart": False, "relative": None}, absolute("5")),
    ],
)
def test_bands(written: object, band: Band) -> None:
    assert document_bands.read_band(written) == band
    assert document_bands.read_band(export.write_band(band)) == band


@pytest.mark.parametrize(
    ("path", "value", "where", "message"),
    [
        ("steelyard", 2, "steelyard", "this is file version '2'; only version 1 is known"),
        ("steelyard", True, "steelyard", "this is file version 'True'; only version 1 is known"),
        ("steelyard", "1", "steelyard", "this is file version '1'; only version 1 is known"),
        ("portfolio", None, "portfolio", "portfolio is missing"),
        ("portfolio", [], "portfolio", "expected an object, found list"),
        ("assets", {}, "assets", "assets must be a list, not dict"),
        ("assets.1", 7, "assets.1", "expected an object, found int"),
        ("assets.1.price", 9.5, "assets.1.price", "price must be a decimal string or an integer, not float"),
        ("assets.1.price", "1e3", "assets.1.price", "price must be a plain decimal number such as 1250.5, not '1e3'"),
        ("assets.1.price", "0", "assets.1.price", "price is 0; it must be more"),
        ("assets.1.pricedAt", "today", "assets.1.pricedAt", "pricedAt must be a UTC time such as 2026-11-22T06:00:00Z, "
         "not 'today'"),
        ("assets.1.pricedAt", "2024-01-01T09:00:00+01:00", "assets.1.pricedAt",
         "pricedAt must be a UTC time such as 2026-11-22T06:00:00Z, not '2024-01-01T09:00:00+01:00'"),
        ("asOf", "2024-01-01T09:00:00 Europe/Berlin", "asOf",
         "asOf must be a UTC time such as 2026-11-22T06:00:00Z, not '2024-01-01T09:00:00 Europe/Berlin'"),
        ("assets.1.symbol", "A", "assets.1", "asset A:USD: is given twice"),
        ("assets.1.venu", "X", "assets.1", "there is no field 'venu' here"),
        ("assets.1.tradable", 1, "assets.1.tradable", "must be true or false, not '1'"),
        ("assets.1.costs", {"rate": "101"}, "assets.1.costs.rate", "rate 101 is above 100"),
        ("assets.1.costs", {"minimum": "2", "cap": "1"}, "assets.1.costs.cap",
         "cap 1 is below the minimum 2; give a higher cap or leave it out"),
        ("assets.1.costs", {"tiers": [{"fixed": "-1"}]}, "assets.1.costs.tiers.0.fixed", "fixed -1 is below 0"),
        ("assets.1.costs", {"tiers": [{"above": "2"}, {"above": "1"}]}, "assets.1.costs.tiers.1.above",
         "above 1 comes after 2; put the lines in ascending order"),
        ("assets.1.costs", {"above": "1"}, "assets.1.costs", "there is no field 'above' here"),
        ("assets.1.liquidity", {"dailyVolume": "1"}, "assets.1.liquidity.dailyVolatility",
         "dailyVolatility is missing"),
        ("brokers", [{"name": "X"}, {"name": "X"}], "brokers.1", "broker X is given twice"),
        ("brokers", [{"name": "X", "fees": [{"assetClass": "ETF"}, {"assetClass": "ETF"}]}], "brokers.0.fees.1",
         "the fees of ETF are given twice"),
        ("brokers", [{"name": "X", "fees": [{"assetClass": "ETF", "tiers": [{"cap": "-1"}]}]}],
         "brokers.0.fees.0.tiers.0.cap", "cap -1 is below 0"),
        ("portfolio.accounts.0.broker", "", "portfolio.accounts.0.broker",
         "broker must be 1 to 200 characters without control characters or space around it"),
        ("portfolio.accounts.0.execution", "LIVE", "portfolio.accounts.0.execution",
         "execution must be one of MANUAL, PAPER, ALPACA, not 'LIVE'"),
        ("extra\nfield", 1, "", "there is no field 'extra\\nfield' here"),
        ("portfolio.name", "\ud800", "portfolio.name", "name must be 1 to 200 characters without control characters or "
         "space around it"),
        ("portfolio.model", "M" * 101, "portfolio.model", "model must be 1 to 100 characters without control "
         "characters or space around it"),
        ("portfolio.policy.alertAfter", 0, "portfolio.policy.alertAfter",
         "must be a whole number from 1 to 1000, not '0'"),
        ("portfolio.policy.maxPriceAge.1", {"assetClass": "ETF", "age": "P2D"}, "portfolio.policy.maxPriceAge.1",
         "the age of ETF is given twice"),
        ("portfolio.policy.objective", "BEST", "portfolio.policy.objective",
         "objective must be one of MIN_TAX, BALANCED, MIN_DRIFT, not 'BEST'"),
        ("portfolio.policy.driftPrice", "0", "portfolio.policy.driftPrice",
         "driftPrice is 0; it must be above 0 and at most 1000"),
        ("portfolio.policy.driftPrice", "1000.1", "portfolio.policy.driftPrice",
         "driftPrice is 1000.1; it must be above 0 and at most 1000"),
        ("portfolio.policy.lossCredit", "100.1", "portfolio.policy.lossCredit", "lossCredit 100.1 is above 100"),
        ("portfolio.policy.taxBudget", "-1", "portfolio.policy.taxBudget", "taxBudget -1 is below 0"),
        ("portfolio.policy.minHarvest", "-1", "portfolio.policy.minHarvest", "minHarvest -1 is below 0"),
        ("portfolio.policy.maxTurnover", "101", "portfolio.policy.maxTurnover", "maxTurnover 101 is above 100"),
        ("portfolio.policy.noBuy", "A", "portfolio.policy.noBuy", "must be a list, not str"),
        ("portfolio.policy.noBuy", ["A", "B", "A"], "portfolio.policy.noBuy.2", "A is given twice"),
        ("portfolio.policy.noSell", ["A", " B"], "portfolio.policy.noSell.1",
         "symbol must be a ticker such as AAPL or BRK.B, not ' B'"),
        ("portfolio.policy.noSell", ["A"] * 501, "portfolio.policy.noSell",
         "there are 501 symbols; at most 500 are allowed"),
        ("portfolio.policy.styles", [{"assetClass": "ETF", "style": "ICEBERG"}], "portfolio.policy.styles.0.style",
         "style must be one of MARKET, LIMIT, TWAP, NAV, not 'ICEBERG'"),
        ("portfolio.policy.styles", [{"assetClass": "ETF", "style": "TWAP"}] * 2, "portfolio.policy.styles.1",
         "the style of ETF is given twice"),
        ("portfolio.policy.styles", [{"assetClass": "ETF", "style": "NAV"}], "portfolio.policy.styles",
         "only a FUND is traded at net asset value, not ETF"),
        ("portfolio.policy.twapInterval", "PT0S", "portfolio.policy.twapInterval",
         "twapInterval is PT0S; it must be at least PT1S"),
        ("portfolio.policy.twapHorizon", "P1DT1S", "portfolio.policy.twapHorizon",
         "twapHorizon is P1DT1S; at most P1D is allowed"),
        ("portfolio.policy.twapInterval", "PT7S", "portfolio.policy.twapInterval",
         "a slice every PT7S for PT1H makes 515 slices; at most 500 are allowed: lengthen twapInterval or shorten "
         "twapHorizon"),
        ("portfolio.policy.collarDays", "30.1", "portfolio.policy.collarDays",
         "collarDays is 30.1; at most 30 is allowed"),
        ("portfolio.policy.collarMax", "50.1", "portfolio.policy.collarMax",
         "collarMax is 50.1; at most 50 is allowed"),
        ("portfolio.policy.collarMin", "2.1", "portfolio.policy.collarMin",
         "collarMin 2.1 is above collarMax 2; lower the one or raise the other"),
        ("portfolio.policy.reprices", 101, "portfolio.policy.reprices", "reprices is 101; it must be from 0 to 100"),
        ("portfolio.policy.reprices", "3", "portfolio.policy.reprices", "must be a whole number, not '3'"),
        ("portfolio.policy.priceMoveLimit", "101", "portfolio.policy.priceMoveLimit",
         "priceMoveLimit 101 is above 100"),
        ("portfolio.policy.fourEyes", "yes", "portfolio.policy.fourEyes", "must be true or false, not 'yes'"),
        ("portfolio.policy.defaultBand", {"absolute": "1", "smart": True}, "portfolio.policy.defaultBand",
         "a band is exactly one of absolute, relative, hybrid, smart, volatility and cost; "
         "absolute and smart is given"),
        ("portfolio.policy.defaultBand", {"relative": "5", "floor": "3", "cap": "2"},
         "portfolio.policy.defaultBand.floor", "band floor 3 is above its cap 2; lower the floor or raise the cap"),
        ("portfolio.policy.defaultBand", {"absolute": "1", "cap": "2"}, "portfolio.policy.defaultBand.cap",
         "floor and cap go with relative, volatility and cost only"),
        ("portfolio.policy.defaultBand", {"absolute": "-1"}, "portfolio.policy.defaultBand.absolute",
         "absolute -1 is below 0"),
        ("portfolio.policy.defaultBand", {"volatility": {"factor": "0.009"}},
         "portfolio.policy.defaultBand.volatility.factor", "band factor is 0.009; it must be from 0.01 to 100"),
        ("portfolio.policy.defaultBand", {"volatility": {"windowDays": 29}},
         "portfolio.policy.defaultBand.volatility.windowDays", "band window is 29 days; it must be from 30 to 3650"),
        ("portfolio.policy.defaultBand", {"smart": True, "above": {"cost": True, "floor": "2", "cap": "1"}},
         "portfolio.policy.defaultBand.above.floor",
         "band floor 2 is above its cap 1; lower the floor or raise the cap"),
        ("portfolio.policy.defaultBand", {"smart": True, "above": {"smart": True, "above": {"smart": True}}},
         "portfolio.policy.defaultBand.above", "there is no field 'above' here"),
        ("portfolio.accounts.1", {}, "portfolio.accounts.1.name", "two accounts are called Main"),
        ("portfolio.accounts.0.kind", "IRA", "portfolio.accounts.0.kind",
         "kind must be one of TAXABLE, TAX_DEFERRED, TAX_EXEMPT, not 'IRA'"),
        ("portfolio.accounts.0.cash", "-1", "portfolio.accounts.0.cash", "cash -1 is below 0"),
        ("portfolio.accounts.0.historyFrom", "2024-06-04", "portfolio.accounts.0.historyFrom",
         "historyFrom 2024-06-04 is after today, 2024-06-03"),
        ("portfolio.accounts.0.historyFrom", "June", "portfolio.accounts.0.historyFrom",
         "historyFrom must be a date such as 2026-11-22, not 'June'"),
        ("portfolio.accounts.0.balances.1", {"currency": "EUR", "amount": 2}, "portfolio.accounts.0.balances.1",
         "cash in EUR is given twice"),
        ("portfolio.accounts.0.lots.0.quantity", "0.0000000000000000001", "portfolio.accounts.0.lots.0.quantity",
         "quantity 0.0000000000000000001 has 19 decimal places; at most 18 are allowed"),
        ("portfolio.accounts.0.lots.0.acquiredOn", "2024-06-04", "portfolio.accounts.0.lots.0.acquiredOn",
         "acquiredOn 2024-06-04 is after today, 2024-06-03"),
        ("portfolio.accounts.0.lots.0.symbol", "Z", "portfolio.accounts.0.lots.0.symbol",
         "no asset of the file has the symbol Z; add it to assets"),
        ("portfolio.accounts.0.lots.0.symbol", "B", "portfolio.accounts.0.lots.0.unitCost",
         "B has no price to take the cost from; give unitCost"),
        ("portfolio.targets.0.percent", "99.5", "portfolio.targets", "targets sum to 99.5; 0.5 is missing"),
        ("portfolio.targets.0.key", "Z", "portfolio.targets.0.key",
         "no asset of the file has the symbol Z; add it to assets"),
        ("assets.2", {"symbol": "A", "venue": "X"}, "portfolio.accounts.0.lots.0.symbol",
         "A may mean A:USD:, A:USD:X; write the one that is meant"),
        ("transactions.0.account", "Z", "transactions.0.account", "the portfolio has no account Z; it has Main"),
        ("transactions.0.side", "BUYS", "transactions.0.side", "side must be one of BUY, SELL, not 'BUYS'"),
    ],
)  # fmt: skip
def test_wrong_field_is_refused_with_its_place(path: str, value: object, where: str, message: str) -> None:
    assert refusal(changed(path, value)) == (where, message)


def test_whole_document_is_good_as_it_is() -> None:
    assert [lot.basis for lot in snapshot(WHOLE).portfolio.accounts[0].lots] == [Decimal(20)]


@pytest.mark.parametrize("document_", [None, [], "text", 1, True])
def test_file_that_is_no_object_is_refused(document_: object) -> None:
    assert refusal(document_)[1].startswith("expected an object, found ")


def test_lists_are_bounded() -> None:
    where, message = refusal(changed("transactions", [None] * 100_001))
    assert (where, message) == ("transactions", "transactions has 100001 items; at most 100000 are allowed")
    lots = [{"symbol": "A", "quantity": 1}] * 20_001
    assert refusal(changed("portfolio.accounts.0.lots", lots)) == (
        "portfolio.accounts",
        "there are 20001 lots; at most 20000 are allowed",
    )


def test_longest_name_of_an_asset_is_read() -> None:
    name = f"{'S' * 32}:{'C' * 10}:{'V' * 32}"
    symbol, currency, venue = name.split(":")
    asset = {"symbol": symbol, "currency": currency, "venue": venue, "price": "1"}
    lot = {"symbol": name, "quantity": "1", "unitCost": "1"}
    assert (
        snapshot({"steelyard": 1, "assets": [asset], "portfolio": {"accounts": [{"lots": [lot]}]}})
        .portfolio.accounts[0]
        .lots[0]
        .asset_id
        == name
    )


def test_in_full_keeps_keys_and_names_no_asset_that_the_file_does_not_list() -> None:
    given = changed("portfolio.targets", [{"percent": 60, "assets": ["A"]}, {"key": "B", "percent": "40"}])
    file = assemble.in_full(parse(given | {"assets": [{"symbol": "A"}]}))
    assert file.portfolio.targets is not None
    assert [(target.key, target.assets) for target in file.portfolio.targets] == [("A", ("A:USD:",)), ("B", ())]
    assert [lot.symbol for lot in file.portfolio.accounts[0].lots] == ["A:USD:"]
    assert [fact.symbol for fact in file.transactions] == ["A:USD:"]


# What is written is read back the same. A pool in which one symbol means up to four assets.
POOL = [
    ("A", "USD", ""),
    ("A", "USD", "NYSE"),
    ("A", "EUR", ""),
    ("A", "EUR", "XETR"),
    ("B", "USD", ""),
    ("EUR", "USD", ""),
]
texts = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)
instants = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
days = st.dates(date(1990, 1, 1), date(2019, 12, 31))
money = decimals("0.01", "1e8", 10)
# Each example is a whole file, and to shrink one takes minutes.
FEW = settings(PROPERTY, max_examples=40, phases=[Phase.explicit, Phase.generate])


@st.composite
def markets(draw: st.DrawFn) -> Market:
    names = draw(st.lists(st.sampled_from(POOL), unique=True, min_size=1))
    assets = [
        Asset(
            f"{symbol}:{currency}:{venue}", symbol, draw(st.sampled_from(AssetClass)), currency, venue, draw(texts),
            draw(decimals("0", "100", 18)), draw(decimals("0.000001", "100", 18)), draw(decimals("0", "100", 10)),
            draw(st.booleans()), draw(st.just("") | texts), draw(costs()), draw(st.none() | liquidity()),
        )
        for symbol, currency, venue in names
    ]  # fmt: skip
    prices = st.builds(Price, decimals("0.000000000000000001", "999999999999", 18), instants, texts)
    found = {asset.id: price for asset in assets if (price := draw(st.none() | prices))}
    known = {name: draw(brokers(name)) for name in draw(st.lists(texts, unique=True, max_size=2))}
    return Market({asset.id: asset for asset in assets}, found, known)


@st.composite
def costs(draw: st.DrawFn) -> Costs:
    """Draw costs as they are written: what one account adds to them is not."""
    return replace(draw(schedules()), conversion=Decimal(0), impact=None)


def liquidity() -> st.SearchStrategy[Liquidity]:
    return st.builds(
        Liquidity, decimals("0.01", "1e9", 2), decimals("0", "1", 8), st.just(Decimal(1)) | decimals("0", "100", 6)
    )


@st.composite
def brokers(draw: st.DrawFn, name: str) -> Broker:
    fees = draw(st.dictionaries(st.sampled_from(AssetClass), schedules().map(lambda one: one.schedule), max_size=3))
    return Broker(name, draw(st.sampled_from(["USD", "SEK"])), draw(decimals("0", "1", 8)), fees)


@st.composite
def accounts(draw: st.DrawFn, name: str, market: Market, quantities: st.SearchStrategy[Decimal]) -> Account:
    lots = [
        (draw(st.sampled_from(list(market.assets))), draw(quantities), draw(money), draw(days))
        for _ in range(draw(st.integers(0, 5)))
    ]
    held = tuple(TaxLot(f"{name}:{place}", *lot, lot[-1]) for place, lot in enumerate(lots))
    cash = draw(st.dictionaries(st.sampled_from(["USD", "EUR", "USDT"]), money, max_size=3))
    known, broker = draw(st.none() | days), draw(st.sampled_from(["", *market.brokers]))
    kind, execution = draw(st.sampled_from(AccountKind)), draw(st.sampled_from(BrokerKind))
    return Account(name, name, kind, cash, held, history_from=known, broker=broker, execution=execution)


@st.composite
def snapshots(draw: st.DrawFn, quantities: st.SearchStrategy[Decimal]) -> Snapshot:
    market = draw(markets())
    names = draw(st.lists(texts, unique=True, min_size=1, max_size=3))
    held = tuple(draw(accounts(name, market, quantities)) for name in names)
    ages = draw(st.dictionaries(st.sampled_from(AssetClass), st.integers(0, 10**7)))
    policy = draw(policies())
    policy = Policy(**{name: getattr(policy, name) for name in policy.__slots__} | {
        "max_price_age_s": {**MAX_PRICE_AGE_S, **ages}, "alert_on_warning": draw(st.booleans()),
        "alert_after": draw(st.integers(1, 1000)), "plan_lifetime_s": draw(st.integers(0, 10**7)),
        "portfolio_band": draw(st.none() | st.sampled_from([Decimal(0), Decimal("2.5")])),
        "remind_after_s": draw(st.integers(0, 10**7)), "cooldown_s": draw(st.integers(0, 10**7)),
        "auto_propose": draw(st.booleans()), "risk_aversion": draw(st.sampled_from([Decimal(5), Decimal("0.1")])),
        **draw(rules()),
    })  # fmt: skip
    title = draw(texts)
    portfolio = Portfolio(title, title, draw(st.sampled_from(["USD", "EUR"])), held)
    return Snapshot(portfolio, draw(st.none() | wanted(market)), policy, market, draw(instants))


@st.composite
def wanted(draw: st.DrawFn, market: Market) -> Targets:
    members = draw(st.permutations(list(market.assets)))
    shares = draw(percents(len(members) + 1))
    bands = draw(st.lists(st.none() | every_band(), min_size=len(shares), max_size=len(shares)))
    entries = [Target("CASH", shares[0], band=bands[0])]
    entries += [
        Target(f"key {place}", share, (asset,), None, band)
        for place, (asset, share, band) in enumerate(zip(members, shares[1:], bands[1:], strict=True))
    ]
    return Targets((Target("classes", Decimal(0), (), AssetClass.FUND), *entries))


def again(written: Snapshot, facts: tuple[TransactionDraft, ...] = ()) -> tuple[Snapshot, tuple[TransactionDraft, ...]]:
    file = parse(json.loads(json.dumps(export.render(written, facts))))
    return assemble.snapshot_of(file), file.transactions


@FEW
@given(snapshots(decimals("0.001", "99999999", 18)))
def test_what_is_written_is_read_back_the_same(written: Snapshot) -> None:
    assert again(written)[0] == written


@FEW
@given(snapshots(decimals("100000000", "99999999999999", 18)))
def test_basis_of_a_huge_lot_is_read_back_within_the_bound_that_is_documented(written: Snapshot) -> None:
    before = [lot for account in written.portfolio.accounts for lot in account.lots]
    after = [lot for account in again(written)[0].portfolio.accounts for lot in account.lots]
    for lot, found in zip(before, after, strict=True):
        bound = EXACT.multiply(lot.quantity, Decimal("5e-19")) + Decimal("5e-11")
        assert abs(EXACT.subtract(found.basis, lot.basis)) <= bound


def test_basis_that_does_not_divide_evenly_is_read_back_exactly() -> None:
    lot = {"symbol": "A", "quantity": "3", "unitCost": "33.333333333333333333"}
    start = snapshot(changed("portfolio.accounts.0.lots", [lot]))
    assert [plain(held.basis) for held in start.portfolio.accounts[0].lots] == ["100"]
    written = export.render(start)["portfolio"]["accounts"][0]["lots"][0]
    assert written["unitCost"] == "33.333333333333333333"
    assert again(start)[0] == start


@FEW
@given(st.data())
def test_facts_are_read_back_the_same(data: st.DataObject) -> None:
    start = data.draw(snapshots(decimals("1", "9", 2)))
    names = sorted(export.names_by_id(start.market.assets.values()).values())
    whom = st.sampled_from([account.name for account in start.portfolio.accounts])
    numbers = decimals("0.01", "1e9", 10)
    fact = st.builds(
        TransactionDraft, days, whom, st.sampled_from(TradeSide), st.sampled_from(names), numbers, numbers, numbers
    )
    facts = tuple(data.draw(st.lists(fact, max_size=4)))
    assert again(start, facts)[1] == facts

"""What is wrong with an input is said with its place, its code and its numbers, and nothing is stored."""

from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import pytest
from graphql import build_schema

from app.api.schema import printed
from tests.api.conftest import Api, Caller, portfolio_of

NUL: Final = "a\u0000b"
TEXT: Final = "must be 1 to 200 characters without control characters or space around it"
NAME, KEY = (f"{what} {TEXT}".replace("200", most) for what, most in (("symbol", "76"), ("key", "64")))


@dataclass(frozen=True)
class Case:
    """An input, and the error it ends with. `$portfolio`, `$account` and `$alert` stand for ids."""

    mutation: str
    given: dict[str, Any]
    message: str
    path: str
    code: str = "INVALID"
    more: dict[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.mutation} {self.path} {self.message[:40]}"


def create(message: str, path: str, code: str = "INVALID", **given: Any) -> Case:
    return Case("portfolioCreate", {"name": "New", **given}, message, path, code)


def lot(message: str, path: str, **given: Any) -> Case:
    lots = [{"symbol": "AAA", "quantity": "1", "unitCost": "1"}, {"symbol": "AAA", "quantity": "1", **given}]
    return Case("holdingsImport", {"accountId": "$account", "lots": lots}, message, f"lots 1 {path}")


def entry(message: str, path: str, code: str = "INVALID", **given: Any) -> Case:
    entries = [{"key": "AAA", "percent": "60"}, {"key": "BBB", "percent": "40", **given}]
    return Case("targetsSet", {"portfolioId": "$portfolio", "entries": entries}, message, f"entries {path}", code)


def band(message: str, path: str = "", **given: Any) -> Case:
    return entry(message, f"1 band {path}".strip(), band=given)


def policy(message: str, path: str, code: str = "INVALID", **given: Any) -> Case:
    return Case("portfolioUpdate", {"portfolioId": "$portfolio", "policy": given}, message, f"policy {path}", code)


def asset(message: str, path: str, **given: Any) -> Case:
    return Case("assetUpsert", {"symbol": "NEW", "assetClass": "STOCK", **given}, message, path)


def traded(factor: str = "1", **given: Any) -> dict[str, Any]:
    return {"dailyVolume": "1", "dailyVolatility": "1", "impactFactor": factor, **given}


def broker(message: str, path: str, code: str = "INVALID", **given: Any) -> Case:
    return Case("brokerUpsert", {"name": "Bad", **given}, message, path, code)


def price(message: str, path: str, **given: Any) -> Case:
    prices = [{"symbol": "BBB", "price": "51"}, {"symbol": "AAA", "price": "101", **given}]
    return Case("pricesRecord", {"prices": prices}, message, f"prices 1 {path}")


def plan(message: str, path: str, code: str = "INVALID", **given: Any) -> Case:
    return Case("rebalancePropose", {"portfolioId": "$portfolio", **given}, message, path, code)


WEBHOOK: Final = {"url": "https://93.184.216.34/hook", "events": ["ALERT_RAISED"]}
MAILBOX: Final = {"address": "a@example.com", "events": ["ALERT_RAISED"]}
UNCALLABLE: Final = "this URL cannot be called: "


def webhook(message: str, path: str, code: str = "INVALID", **given: Any) -> Case:
    return Case("webhookCreate", {**WEBHOOK, **given}, message, path, code)


def absent(mutation: str, field: str, **given: Any) -> Case:
    what = field.removesuffix("Id")
    return Case(mutation, {field: "x", **given}, f"{what} x does not exist", field, "NOT_FOUND", {"missingId": "x"})


APPROVE: Final = {"planId": "x", "expectedVersion": 1, "idempotencyKey": "k"}
ONCE: Final = {"idempotencyKey": "k"}
SEEN: Final = {**ONCE, "reason": "seen"}
CASES: Final = [
    # portfolioCreate
    create(f"name {TEXT}", "name", name=""),
    create(f"name {TEXT}", "name", name=" x"),
    create(f"name {TEXT}", "name", name=NUL),
    create(f"name {TEXT}", "name", name="x" * 201),
    create("there are 0 accounts; 1 to 50 are allowed", "accounts", "LIMIT_EXCEEDED", accounts=[]),
    create(
        "there are 51 accounts; 1 to 50 are allowed",
        "accounts",
        "LIMIT_EXCEEDED",
        accounts=[{"name": str(number)} for number in range(51)],
    ),
    create("two accounts are called A", "accounts 1 name", "DUPLICATE", accounts=[{"name": "A"}, {"name": "A"}]),
    create("cash -1 is below 0", "accounts 0 cash", accounts=[{"cash": "-1"}]),
    create(
        "amount -0.5 is below 0",
        "accounts 0 balances 1 amount",
        accounts=[{"balances": [{"amount": "1", "currency": "EUR"}, {"amount": "-0.5", "currency": "GBP"}]}],
    ),
    create(
        "cash in EUR is given twice",
        "accounts 0 balances 1",
        "DUPLICATE",
        accounts=[{"balances": [{"amount": "1", "currency": "EUR"}] * 2}],
    ),
    create(
        "no asset has the symbol NOPE; an operator can add it",
        "accounts 1 lots 0 symbol",
        accounts=[{"name": "A"}, {"name": "B", "lots": [{"symbol": "NOPE", "quantity": "1"}]}],
    ),
    Case(
        "portfolioCreate",
        {"name": "New", "targets": [{"key": "AAA", "percent": "99.5"}]},
        "targets sum to 99.5; 0.5 is missing",
        "targets",
        "TARGETS_SUM",
        {"__typename": "TargetsSumError", "sum": "99.5", "missing": "0.5"},
    ),
    create("minTrade -1 is below 0", "policy minTrade", policy={"minTrade": "-1"}),
    create(f"idempotencyKey {TEXT}", "idempotencyKey", idempotencyKey=""),
    # portfolioUpdate
    Case("portfolioUpdate", {"portfolioId": "$portfolio", "name": ""}, f"name {TEXT}", "name"),
    Case(
        "portfolioUpdate",
        {"portfolioId": "$portfolio", "expectedVersion": 7},
        "portfolio is at version 2, not 7; read it again and repeat the change",
        "expectedVersion",
        "VERSION_CONFLICT",
        {"__typename": "VersionConflictError", "expectedVersion": 7, "actualVersion": 2},
    ),
    policy("warnAt is null; leave it out to keep it", "warnAt", warnAt=None),
    policy("alertAfter is 0; it must be from 1 to 1000", "alertAfter", alertAfter=0),
    policy("recoverAfter is 1001; it must be from 1 to 1000", "recoverAfter", recoverAfter=1001),
    policy("minTrade -0.01 is below 0", "minTrade", minTrade="-0.01"),
    policy(
        "minTrade 0.00000000001 has 11 decimal places; at most 10 are allowed", "minTrade", minTrade="0.00000000001"
    ),
    policy("driftPrice is 0; it must be above 0 and at most 1000", "driftPrice", driftPrice="0"),
    policy("driftPrice is 1000.5; it must be above 0 and at most 1000", "driftPrice", driftPrice="1000.5"),
    policy("objective is null; leave it out to keep it", "objective", objective=None),
    policy("taxBudget -1 is below 0", "taxBudget", taxBudget="-1"),
    policy("yearlyLossCap -1 is below 0", "yearlyLossCap", yearlyLossCap="-1"),
    policy("minHarvest -0.01 is below 0", "minHarvest", minHarvest="-0.01"),
    policy("twapInterval is PT0S; it must be at least PT1S", "twapInterval", twapInterval="PT0S"),
    policy("twapHorizon is P2D; at most P1D is allowed", "twapHorizon", twapHorizon="P2D", twapInterval="P1D"),
    policy(
        "a slice every PT1S for PT1H makes 3601 slices; at most 500 are allowed: lengthen twapInterval or shorten "
        "twapHorizon",
        "twapInterval",
        twapInterval="PT1S",
    ),
    policy("collarMin 3 is above collarMax 2; lower the one or raise the other", "collarMin", collarMin="3"),
    policy("collarMax is 50.5; at most 50 is allowed", "collarMax", collarMax="50.5"),
    policy("collarDays is 31; at most 30 is allowed", "collarDays", collarDays="31"),
    policy("reprices is -1; it must be from 0 to 100", "reprices", reprices=-1),
    policy("fourEyes is null; leave it out to keep it", "fourEyes", fourEyes=None),
    policy(
        "only a FUND is traded at net asset value, not STOCK",
        "styles",
        styles=[{"assetClass": "STOCK", "style": "NAV"}],
    ),
    policy(
        "the style of BOND is given twice",
        "styles 1",
        "DUPLICATE",
        styles=[{"assetClass": "BOND", "style": "MARKET"}, {"assetClass": "BOND", "style": "LIMIT"}],
    ),
    policy("AAA is given twice", "noBuy 1", "DUPLICATE", noBuy=["AAA", "AAA"]),
    policy("symbol must be a ticker such as AAPL or BRK.B, not ' A'", "noSell 0", noSell=[" A"]),
    policy("there are 501 symbols; at most 500 are allowed", "noSell", "LIMIT_EXCEEDED", noSell=["AAA"] * 501),
    policy(
        "a band is exactly one of absolute, relative, hybrid, smart, volatility and cost; none is given",
        "defaultBand",
        defaultBand={},
    ),
    # holdingsImport
    lot(NAME, "symbol", symbol=""),
    lot(NAME, "symbol", symbol=NUL),
    lot(NAME, "symbol", symbol="x" * 77),
    lot("no asset has the symbol NOPE; an operator can add it", "symbol", symbol="NOPE"),
    lot("quantity is 0; it must be more", "quantity", quantity="0"),
    lot("quantity -3 is below 0", "quantity", quantity="-3"),
    lot("quantity 1000000000000000 must be smaller than 1000000000000000", "quantity", quantity="1" + "0" * 15),
    lot("unitCost -1 is below 0", "unitCost", unitCost="-1"),
    lot("unitCost 1000000000000 must be smaller than 1000000000000", "unitCost", unitCost="1000000000000"),
    lot("acquiredOn 9999-12-31 is after today, ", "acquiredOn", acquiredOn="9999-12-31"),
    Case("holdingsImport", {"accountId": "$account", "lots": [], "cash": "-1"}, "cash -1 is below 0", "cash"),
    Case(
        "holdingsImport",
        {"accountId": "$account", "lots": [], "balances": [{"amount": "-1", "currency": "EUR"}]},
        "amount -1 is below 0",
        "balances 0 amount",
    ),
    # transactionsImport; more in test_past
    Case(
        "transactionsImport",
        {"accountId": "$account", "idempotencyKey": "k"},
        "there is nothing to record; give transactions, or historyFrom",
        "transactions",
        "REQUIRED",
    ),
    # targetsSet
    entry("targets sum to 99.999999; 0.000001 is missing", "", "TARGETS_SUM", percent="39.999999"),
    entry("targets sum to 100.5; 0.5 is too much", "", "TARGETS_SUM", percent="40.5"),
    entry("key AAA is given in entries 0 and 1", "1 key", "DUPLICATE", key="AAA"),
    entry("an asset of sleeve Other is already in AAA", "1 assets 0", "DUPLICATE", key="Other", assets=["AAA"]),
    entry("the entry names no asset; give assets or an assetClass", "1 assets", "REQUIRED", key=None),
    entry("sleeve NOPE names no asset, and no asset has that symbol; give assets", "1 assets", key="NOPE"),
    entry("no asset has the symbol NOPE; an operator can add it", "1 assets 1", assets=["BBB", "NOPE"]),
    entry(NAME, "1 assets 0", assets=[NUL]),
    entry(KEY, "1 key", key=NUL),
    entry(KEY, "1 key", key="x" * 65),
    entry(
        "the key CASH means uninvested cash; a sleeve with assets needs another key",
        "1 key",
        key="CASH",
        assets=["BBB"],
    ),
    entry("there are 501 items; at most 500 are allowed", "1 assets", "LIMIT_EXCEEDED", assets=["BBB"] * 501),
    Case(
        "targetsSet",
        {"portfolioId": "$portfolio", "entries": [{"key": "AAA", "percent": "0"}] * 501},
        "there are 501 items; at most 500 are allowed",
        "entries",
        "LIMIT_EXCEEDED",
    ),
    Case(
        "targetsSet",
        {"portfolioId": "$portfolio", "entries": []},
        "targets sum to 0; 100 is missing",
        "entries",
        "TARGETS_SUM",
        {"sum": "0", "missing": "100"},
    ),
    Case(
        "targetsSet",
        {"portfolioId": "$portfolio", "entries": [{"key": "AAA", "percent": "100"}], "note": "x" * 1001},
        "note must be 1 to 1000 characters without control characters or space around it",
        "note",
    ),
    Case(
        "targetsSet",
        {"portfolioId": "$portfolio", "entries": [{"key": "AAA", "percent": "100"}], "expectedVersion": 0},
        "targets is at version 1, not 0; read it again and repeat the change",
        "expectedVersion",
        "VERSION_CONFLICT",
        {"expectedVersion": 0, "actualVersion": 1},
    ),
    band("a band is exactly one of absolute, relative, hybrid, smart, volatility and cost; none is given"),
    band(
        "a band is exactly one of absolute, relative, hybrid, smart, volatility and cost; absolute and smart is given",
        absolute="5",
        smart=True,
    ),
    band("floor and cap go with relative, volatility and cost only", "floor", absolute="5", floor="1"),
    # rebalancePropose
    plan("wait is 31 seconds; at most 30 are possible", "wait", wait="PT31S"),
    plan(NAME, "exclude 1", exclude=["AAA", NUL]),
    plan(NAME, "exclude 0", exclude=["x" * 77]),
    plan("there are 501 items; at most 500 are allowed", "exclude", "LIMIT_EXCEEDED", exclude=["AAA"] * 501),
    plan("ZZZ is neither held nor targeted; is it misspelt?", "exclude 1", exclude=["AAA", "ZZZ"]),
    plan("ZZZ is neither held nor targeted; is it misspelt?", "noBuy 1", noBuy=["AAA", "ZZZ"]),
    plan("ZZZ is neither held nor targeted; is it misspelt?", "noSell 0", noSell=["ZZZ"]),
    plan(NAME, "noBuy 0", noBuy=[NUL]),
    plan("there are 501 items; at most 500 are allowed", "noSell", "LIMIT_EXCEEDED", noSell=["AAA"] * 501),
    plan("there are 501 items; at most 500 are allowed", "sellLots", "LIMIT_EXCEEDED", sellLots=["x"] * 501),
    plan(
        "lots are named, but the policy's lotMethod is MIN_TAX; only SPEC_ID sells the lots that are named",
        "sellLots",
        sellLots=["lot_1"],
    ),
    plan("cashFlow 0.00000000001 has 11 decimal places; at most 10 are allowed", "cashFlow", cashFlow="0.00000000001"),
    plan(f"idempotencyKey {TEXT}", "idempotencyKey", idempotencyKey="x" * 201),
    # assetUpsert, as an operator
    asset("symbol must be a ticker such as AAPL or BRK.B, not 'C\u00e9'", "symbol", symbol="C\u00e9"),
    asset("venue must be a ticker such as AAPL or BRK.B, not ' X'", "venue", venue=" X"),
    asset(f"name {TEXT}", "name", name=""),
    asset("step -1 is below 0", "step", step="-1"),
    asset("priceStep is 0; it must be more", "priceStep", priceStep="0"),
    asset("minNotional -1 is below 0", "minNotional", minNotional="-1"),
    asset("fixed -1 is below 0", "costs fixed", costs={"fixed": "-1"}),
    asset("cap -1 is below 0", "costs cap", costs={"cap": "-1"}),
    asset("cap 1 is below the minimum 2; give a higher cap", "costs cap", costs={"minimum": "2", "cap": "1"}),
    asset("minimum -1 is below 0", "costs tiers 1 minimum", costs={"tiers": [{}, {"minimum": "-1"}]}),
    asset("above 1 comes after 2", "costs tiers 1 above", costs={"tiers": [{"above": "2"}, {"above": "1"}]}),
    asset("dailyVolume is 0; it must be more", "liquidity dailyVolume", liquidity=traded(dailyVolume="0")),
    asset("impactFactor is 100.1; at most 100 is allowed", "liquidity impactFactor", liquidity=traded("100.1")),
    asset(KEY.replace("key", "identicalGroup"), "identicalGroup", identicalGroup="x" * 65),
    asset(KEY.replace("key", "identicalGroup"), "identicalGroup", identicalGroup=NUL),
    # brokerUpsert, as an operator, and who is named
    broker(f"name {TEXT}", "name", name=" x"),
    broker("fixed -1 is below 0", "fees 0 fixed", fees=[{"assetClass": "ETF", "fixed": "-1"}]),
    broker("cap 1 is below the minimum 2", "fees 0 cap", fees=[{"assetClass": "ETF", "minimum": "2", "cap": "1"}]),
    broker(
        "above 1 comes after 2; put the lines in ascending order",
        "fees 1 tiers 1 above",
        fees=[{"assetClass": "ETF"}, {"assetClass": "BOND", "tiers": [{"above": "2"}, {"above": "1"}]}],
    ),
    broker("the fees of ETF are given twice", "fees 1", "DUPLICATE", fees=[{"assetClass": "ETF"}] * 2),
    broker(
        "there are 21 lines of fees; at most 20 are allowed",
        "fees 0 tiers",
        "LIMIT_EXCEEDED",
        fees=[{"assetClass": "ETF", "tiers": [{}] * 20}],
    ),
    create(
        "no broker is called NOPE; an operator can record it",
        "accounts 1 broker",
        accounts=[{"name": "A"}, {"name": "B", "broker": "NOPE"}],
    ),
    Case("accountUpdate", {"accountId": "$account", "broker": "NOPE"}, "no broker is called NOPE", "broker"),
    Case(
        "accountUpdate",
        {"accountId": "$account"},
        "there is nothing to change; give broker, null to have none, or execution",
        "broker",
        "REQUIRED",
    ),
    # pricesRecord, as an operator: all or none
    Case("pricesRecord", {"prices": []}, "no prices are given", "prices", "REQUIRED"),
    Case(
        "pricesRecord",
        {"prices": [{"symbol": "AAA", "price": "1"}] * 501},
        "there are 501 items; at most 500 are allowed",
        "prices",
        "LIMIT_EXCEEDED",
    ),
    price("no asset has the symbol NOPE; add it first", "symbol", symbol="NOPE"),
    price("price is 0; it must be more", "price", price="0"),
    price("price -1 is below 0", "price", price="-1"),
    price("price 1000000000000 must be smaller than 1000000000000", "price", price="1000000000000"),
    price("pricedAt 9999-12-31T23:59:59Z is in the future; at most ", "pricedAt", pricedAt="9999-12-31T23:59:59Z"),
    price(f"source {TEXT}", "source", source=""),
    price(NAME, "symbol", symbol=NUL),
    # webhooks
    webhook(f"{UNCALLABLE}it must begin with https://", "url", url="gopher://example.com/"),
    webhook(f"{UNCALLABLE}it must begin with https://", "url", url="http://93.184.216.34/"),
    webhook(f"{UNCALLABLE}127.0.0.1 is the machine itself", "url", url="http://127.0.0.1:8080/"),
    webhook(f"{UNCALLABLE}10.0.0.1 is not public", "url", url="https://10.0.0.1/"),
    webhook(f"{UNCALLABLE}169.254.169.254 is not public", "url", url="https://169.254.169.254/latest/meta-data"),
    webhook(f"{UNCALLABLE}nowhere.invalid cannot be found", "url", url="https://nowhere.invalid/"),
    webhook("no event is given; name at least one, such as ALERT_RAISED", "events", "REQUIRED", events=[]),
    webhook("PLAN_READY is given twice", "events 1", "DUPLICATE", events=["PLAN_READY", "PLAN_READY"]),
    webhook("ALERT_DIGEST stands for alerts; name them too", "events", events=["ALERT_DIGEST"]),
    webhook(f"idempotencyKey {TEXT}", "idempotencyKey", idempotencyKey=""),
    Case("webhookUpdate", {"webhookId": "$webhook", "events": []}, "no event is given", "events", "REQUIRED"),
    Case("webhookUpdate", {"webhookId": "$webhook", "url": "https://[::1]/"}, f"{UNCALLABLE}[::1] is", "url"),
    absent("webhookUpdate", "webhookId", url="https://10.0.0.1/"),
    absent("webhookRotateSecret", "webhookId"),
    absent("webhookTest", "webhookId"),
    absent("webhookDelete", "webhookId"),
    # e-mail
    Case("emailCreate", {**MAILBOX, "address": "a@b@c"}, "", "address"),
    Case("emailCreate", {**MAILBOX, "address": "a@example.com\nBcc: b@example.com"}, "", "address"),
    Case("emailCreate", {**MAILBOX, "events": []}, "no event is given", "events", "REQUIRED"),
    Case("emailUpdate", {"emailId": "$email", "address": "a"}, "", "address"),
    absent("emailConfirm", "emailId", code="x"),
    absent("emailDelete", "emailId"),
    Case(
        "emailTest",
        {"emailId": "$email"},
        "the address is not confirmed; call emailConfirm with the code that was sent to it",
        "emailId",
        "INVALID_STATE",
        {"state": "UNCONFIRMED"},
    ),
    # deliveriesReplay
    Case("deliveriesReplay", {}, "give either deliveryIds or hookId", "deliveryIds", "REQUIRED"),
    Case("deliveriesReplay", {"deliveryIds": [], "hookId": "$webhook"}, "give either", "deliveryIds", "REQUIRED"),
    Case(
        "deliveriesReplay",
        {"deliveryIds": ["x"] * 501},
        "there are 501 items; at most 500 are allowed",
        "deliveryIds",
        "LIMIT_EXCEEDED",
    ),
    absent("deliveriesReplay", "hookId"),
    # planApprove
    Case("planApprove", APPROVE, "plan x does not exist", "planId", "NOT_FOUND", {"missingId": "x"}),
    Case(
        "planApprove",
        APPROVE | {"excludeTradeIds": ["x"] * 501},
        "there are 501 items; at most 500 are allowed",
        "excludeTradeIds",
        "LIMIT_EXCEEDED",
    ),
    # planReject
    Case("planReject", {"planId": "x"}, "plan x does not exist", "planId", "NOT_FOUND", {"missingId": "x"}),
    Case("planReject", {"planId": "x", "reason": " "}, "reason must be 1 to 1000 characters", "reason"),
    # planCancel
    Case("planCancel", {"planId": "x", "reason": "x" * 1001}, "reason must be 1 to 1000 characters", "reason"),
    Case("planCancel", {"planId": "x"}, "plan x does not exist", "planId", "NOT_FOUND", {"missingId": "x"}),
    # halts, and fills by hand
    Case("portfolioHalt", {"portfolioId": "x"}, "portfolio x does not exist", "portfolioId", "NOT_FOUND"),
    Case("portfolioHalt", {"portfolioId": "$portfolio", "reason": "x" * 501}, "reason must be 1 to 500", "reason"),
    Case("portfolioResume", {"portfolioId": "x"}, "portfolio x does not exist", "portfolioId", "NOT_FOUND"),
    Case("tradingHalt", {"reason": " "}, "reason must be 1 to 500 characters", "reason"),
    Case("orderFillsRecord", {**ONCE, "planId": "x", "orders": []}, "there is nothing to record", "orders", "REQUIRED"),
    Case("blockFillsRecord", {**ONCE, "blocks": []}, "there is nothing to record; give blocks", "blocks", "REQUIRED"),
    Case("orderSettle", {**SEEN, "planId": "x", "orderId": "y"}, "plan x does not exist", "planId", "NOT_FOUND"),
    Case("blockSettle", {**SEEN, "blockId": "x"}, "block x does not exist", "blockId", "NOT_FOUND"),
    # bulks
    Case("bulkPropose", {**ONCE, "filter": {"model": ""}}, "model must be 1 to 100 characters", "filter model"),
    Case("bulkApprove", {**ONCE, "filter": {"proposedIn": "x"}}, "bulk x does", "filter proposedIn", "NOT_FOUND"),
    Case("bulkCancel", {"bulkId": "x"}, "bulk x does not exist", "bulkId", "NOT_FOUND"),
    # alertAcknowledge
    Case("alertAcknowledge", {"alertId": "x"}, "alert x does not exist", "alertId", "NOT_FOUND", {"missingId": "x"}),
    # alertSnooze
    Case(
        *("alertSnooze", {"alertId": "x", "until": None}, "alert x does not exist", "alertId", "NOT_FOUND"),
        {"missingId": "x"},
    ),
    Case(
        *("alertSnooze", {"alertId": "x"}),
        *("until is missing; give an instant, or null to end the snooze", "until", "REQUIRED"),
    ),
    Case(
        "alertSnooze",
        {"alertId": "x", "until": "2020-01-01T00:00:00Z"},
        "until is 2020-01-01T00:00:00Z; it must be after ",
        "until",
    ),
    Case(
        "alertSnooze",
        {"alertId": "x", "until": "9999-01-01T00:00:00Z"},
        "until is 9999-01-01T00:00:00Z; it must be after ",
        "until",
    ),
]


@dataclass(frozen=True)
class Desk:
    """An owner with a portfolio, who is an operator too."""

    api: Api
    caller: Caller
    ids: dict[str, str]

    def filled(self, given: dict[str, Any]) -> dict[str, Any]:
        return {name: self.ids.get(value, value) if isinstance(value, str) else value for name, value in given.items()}


@pytest.fixture(scope="module")
def desk(api: Api, operator: Caller) -> Desk:
    caller = api.caller("desk", role="operator")
    portfolio = portfolio_of(caller)
    webhook = caller.mutate("webhookCreate", "webhook { id }", **WEBHOOK)["webhook"]["id"]
    email = caller.mutate("emailCreate", "email { id }", **MAILBOX)["email"]["id"]
    ids = {"$portfolio": portfolio["id"], "$account": portfolio["accounts"][0]["id"]}
    return Desk(api, caller, {**ids, "$webhook": webhook, "$email": email})


@pytest.mark.parametrize("case", CASES, ids=str)
def test_bad_input_is_refused_with_its_place_and_stores_nothing(desk: Desk, case: Case) -> None:
    before = desk.api.stored()
    payload = desk.caller.mutate(case.mutation, **desk.filled(case.given))
    assert len(payload["userErrors"]) == 1, payload
    error = payload["userErrors"][0]
    assert (error["code"], error["path"]) == (case.code, ["input", *case.path.split()])
    assert error["message"].startswith(case.message)
    assert {name: error[name] for name in case.more} == case.more
    assert desk.api.stored() == before


def test_every_mutation_with_an_input_is_tried_here() -> None:
    mutations = build_schema(printed()).get_type("Mutation")
    named = {name for name, field in mutations.fields.items() if field.args}  # type: ignore[union-attr]
    assert named == {case.mutation for case in CASES}


# What the types refuse, before any mutation begins.
UNREADABLE: Final = [
    ("portfolioCreate", {}, "name"),
    ("portfolioCreate", {"name": None}, "name"),
    ("portfolioCreate", {"name": 5}, "name"),
    ("portfolioCreate", {"name": "x", "nonsense": 1}, "nonsense"),
    ("portfolioCreate", {"name": "x", "baseCurrency": "usd"}, "baseCurrency"),
    ("portfolioCreate", {"name": "x", "baseCurrency": None}, "baseCurrency"),
    ("portfolioCreate", {"name": "x", "accounts": [None]}, "accounts[0]"),
    ("portfolioCreate", {"name": "x", "accounts": [{"kind": "OFFSHORE"}]}, "accounts[0].kind"),
    ("portfolioCreate", {"name": "x", "accounts": [{"cash": 1.5}]}, "accounts[0].cash"),
    ("portfolioCreate", {"name": "x", "accounts": [{"cash": True}]}, "accounts[0].cash"),
    ("transactionsImport", {"accountId": "x", "historyFrom": "2024-01-01"}, "idempotencyKey"),
    ("transactionsImport", {"accountId": "x", "idempotencyKey": "k", "historyFrom": "June"}, "historyFrom"),
    (
        "transactionsImport",
        {"accountId": "x", "idempotencyKey": "k", "transactions": [{"date": "2024-01-05"}]},
        "transactions[0]",
    ),
    ("rebalancePropose", {"portfolioId": "x", "sellLots": [None]}, "sellLots[0]"),
    ("portfolioUpdate", {"portfolioId": "x", "policy": {"objective": "MIN_COST"}}, "policy.objective"),
    ("portfolioUpdate", {"portfolioId": "x", "expectedVersion": "1"}, "expectedVersion"),
    ("portfolioUpdate", {"portfolioId": "x", "expectedVersion": 2**31}, "expectedVersion"),
    ("portfolioUpdate", {"portfolioId": "x", "policy": {"warnAt": "101"}}, "policy.warnAt"),
    ("portfolioUpdate", {"portfolioId": "x", "policy": {"planLifetime": "soon"}}, "policy.planLifetime"),
    ("portfolioUpdate", {"portfolioId": "x", "policy": {"destination": "MOON"}}, "policy.destination"),
    ("holdingsImport", {"accountId": "x", "lots": [{"symbol": "A", "quantity": "1e3"}]}, "lots[0].quantity"),
    ("holdingsImport", {"accountId": "x", "lots": [{"symbol": "A"}]}, "lots[0]"),
    (
        "holdingsImport",
        {"accountId": "x", "lots": [{"symbol": "A", "quantity": 1, "acquiredOn": "2023-02-29"}]},
        "lots[0].acquiredOn",
    ),
    ("targetsSet", {"portfolioId": "x", "entries": [{"percent": "-1"}]}, "entries[0].percent"),
    ("targetsSet", {"portfolioId": "x", "entries": [{"percent": "1.0000001"}]}, "entries[0].percent"),
    ("rebalancePropose", {"portfolioId": "x", "scope": "EVERYTHING"}, "scope"),
    ("rebalancePropose", {"portfolioId": "x", "wait": 5}, "wait"),
    ("pricesRecord", {"prices": [{"symbol": "A", "price": "1", "pricedAt": "yesterday"}]}, "prices[0].pricedAt"),
    (
        "pricesRecord",
        {"prices": [{"symbol": "A", "price": "1", "pricedAt": "2024-01-01T00:00:00+01:00"}]},
        "prices[0].pricedAt",
    ),
]


@pytest.mark.parametrize(("mutation", "given", "place"), UNREADABLE)
def test_input_of_another_type_is_a_bad_request(desk: Desk, mutation: str, given: dict[str, Any], place: str) -> None:
    before = desk.api.stored()
    kind = mutation[0].upper() + mutation[1:] + "Input"
    query = f"mutation ($input: {kind}!) {{ {mutation}(input: $input) {{ __typename }} }}"
    response = desk.caller.post(
        {"query": query, "variables": {"input": given}}, accept="application/graphql-response+json"
    )
    answer = response.json()
    assert (response.status_code, "data" in answer) == (400, False)
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"BAD_REQUEST"}
    assert place in answer["errors"][0]["message"]
    assert desk.api.stored() == before


UTC_TIME: Final = "must be a UTC time such as 2026-11-22T06:00:00Z, not "
OTHER_ZONES: Final = [
    "2024-01-01T00:00:00+01:00",
    "2024-01-01T00:00:00-05:00",
    "2024-01-01T00:00:00",
    "2024-01-01T00:00:00 CET",
    "2024-01-01T00:00:00 Europe/Berlin",
    "2024-01-01T00:00:00[Europe/Berlin]",
    "2024-06-30T23:59:60Z",
    "Europe/Berlin",
]


@pytest.mark.parametrize("text", OTHER_ZONES)
def test_instant_of_another_zone_is_refused_wherever_it_is_given(desk: Desk, text: str) -> None:
    query = "query ($id: ID!, $since: DateTime) { portfolio(id: $id) { health(since: $since) { measured } } }"
    given = {"id": desk.ids["$portfolio"], "since": text}
    (error,) = desk.caller.answer(query, **given)["errors"]
    assert error["message"] == f"Variable '$since' has invalid value: time {UTC_TIME}{text!r}"
    for argument, asked in (("since", "health"), ("until", "health"), ("at", "drift")):
        literal = f'{{ portfolio(id: "x") {{ {asked}({argument}: "{text}") {{ __typename }} }} }}'
        (error,) = desk.caller.answer(literal)["errors"]
        assert error["message"] == f"{argument}: time {UTC_TIME}{text!r}"
        assert error["locations"] == [{"line": 1, "column": literal.index('"', literal.index(argument)) + 1}]
    for argument in ("since", "until"):
        answer = desk.caller.rest("GET", f"{given['id']}/drift/history?{urlencode({argument: text})}")
        found = answer.json()
        assert (answer.status_code, found["detail"], found["path"]) == (
            422,
            f"{argument} {UTC_TIME}{text!r}",
            [argument],
        )


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ('{ absolute: "-1" }', "absolute: Percent -1 is below 0"),
        ("{ absolute: -1 }", "absolute: Percent -1 is below 0"),
        ("{ absolute: 2.5 }", "absolute: expected a string or an integer, not 2.5"),
        ("{ relative: 101 }", "relative: Percent 101 is above 100"),
        ('{ volatility: { window: "90 days" } }', "window: duration must be a duration such as PT30M or P4D, not"),
        ("{ volatility: { window: 90 } }", "window: expected a string, not 90"),
    ],
)
def test_band_that_is_written_into_the_document_is_refused_by_its_field(desk: Desk, written: str, message: str) -> None:
    entries = f'[{{ key: "AAA", percent: 100, band: {written} }}]'
    mutation = f'mutation {{ targetsSet(input: {{ portfolioId: "x", entries: {entries} }}) {{ __typename }} }}'
    (error,) = desk.caller.answer(mutation)["errors"]
    assert error["message"].startswith(message)
    assert error["locations"]

"""Bands, statistics and deposits as clients meet them."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from app.actions import scans
from app.context import wall_now
from app.core.scalars import write_instant
from tests.api.conftest import Api, Caller

BAND = """
  kind absolute relative floor cap factor window volatility returns down up lower upper why
  above { kind absolute relative floor cap factor window volatility returns }
"""
DRIFT = f"""
query ($id: ID!, $at: DateTime, $against: [TargetEntryInput!]) {{ portfolio(id: $id) {{
  policy {{ defaultBand {{ {BAND} }} }}
  targets {{ entries {{ key band {{ {BAND} }} }} }}
  drift(at: $at, against: $against) {{
    at status trackingError entries {{ key band {{ {BAND} }} }}
    depositToBand {{ amount {{ amount currency }} buys {{ key value {{ amount }} }} }}
    depositToTarget {{ amount {{ amount }} buys {{ key value {{ amount }} }} }}
  }} }} }}
"""
SWING = ["100", "101"] * 15


@pytest.fixture(scope="module")
def portfolio(api: Api) -> tuple[Caller, str]:
    """70 of BDA and 30 of BDB, at half each; BDA went up and down by a hundredth for thirty days."""
    operator, owner = api.caller("bands-operator", role="operator"), api.caller("bands-owner")
    now = wall_now()
    for symbol in ("BDA", "BDB"):
        costs = {"halfSpread": "0.05"} if symbol == "BDB" else None
        given: dict[str, Any] = {"costs": costs} if costs else {}
        assert not operator.mutate("assetUpsert", symbol=symbol, assetClass="STOCK", **given)["userErrors"]
    prices = [
        {"symbol": symbol, "price": price, "pricedAt": write_instant(now - timedelta(days=30 - place))}
        for symbol, series in (("BDA", SWING), ("BDB", ["50"] * 30))
        for place, price in enumerate(series)
    ]
    today = [{"symbol": "BDA", "price": "100"}, {"symbol": "BDB", "price": "50"}]
    assert operator.mutate("pricesRecord", prices=prices + today)["userErrors"] == []
    made = owner.mutate(
        "portfolioCreate",
        "portfolio { id }",
        name="Bands",
        accounts=[{"lots": [{"symbol": "BDA", "quantity": "7"}, {"symbol": "BDB", "quantity": "6"}]}],
        targets=[
            {"key": "BDA", "percent": "50", "band": {"volatility": {"window": "P90D"}, "cap": "8"}},
            {"key": "BDB", "percent": "50"},
        ],
        policy={"defaultBand": {"absolute": "5", "above": {"cost": True}}},
    )
    assert made["userErrors"] == []
    return owner, made["portfolio"]["id"]


def test_band_is_shown_as_configured_as_it_works_out_and_why(portfolio: tuple[Caller, str]) -> None:
    owner, portfolio_id = portfolio
    found = owner.data(DRIFT, id=portfolio_id)["portfolio"]
    bands = {entry["key"]: entry["band"] for entry in found["drift"]["entries"]}
    assert {entry["key"]: entry["band"] for entry in found["targets"]["entries"]} == bands
    moving, sided = bands["BDA"], bands["BDB"]
    assert (moving["kind"], moving["factor"], moving["window"], moving["cap"]) == ("VOLATILITY", "1.5", "P90D", "8")
    assert (moving["returns"], moving["above"]) == (29, None)
    assert 15 < float(moving["volatility"]) < 22
    assert moving["up"] == moving["down"] == "8"
    assert moving["why"] == (
        f"1.5 times the volatility of {moving['volatility']} % a year (29 daily returns in 90 days) times the target "
        "50 is " + moving["why"].partition("target 50 is ")[2]
    )
    assert moving["why"].endswith("points, above the cap of 8, which counts.")
    assert (sided["kind"], sided["absolute"], sided["down"], sided["lower"]) == ("ABSOLUTE", "5", "5", "45")
    assert (sided["above"]["kind"], sided["above"]["absolute"]) == ("COST", None)
    assert (sided["up"], sided["upper"]) == ("2.108582", "52.108582") or sided["up"] == "2.108581"
    assert sided["why"].startswith("Below: 5 points, whatever the target. Above: A cost of 0.05 % of what is traded")


def test_band_of_a_policy_has_no_target_to_work_out_at(portfolio: tuple[Caller, str]) -> None:
    owner, portfolio_id = portfolio
    default = owner.data(DRIFT, id=portfolio_id)["portfolio"]["policy"]["defaultBand"]
    assert (default["kind"], default["absolute"], default["above"]["kind"]) == ("ABSOLUTE", "5", "COST")
    assert [default[name] for name in ("down", "up", "lower", "upper", "why", "volatility")] == [None] * 6


def test_tracking_error_and_deposits_are_the_same_over_rest(portfolio: tuple[Caller, str]) -> None:
    owner, portfolio_id = portfolio
    drift = owner.data(DRIFT, id=portfolio_id)["portfolio"]["drift"]
    # BDB must come to 45 %, so that BDA is 55 %: 700 / 0.55 - 1000; and to 50 %: 700 / 0.5 - 1000. All is for BDB.
    assert drift["depositToBand"] == {
        "amount": {"amount": "272.72727273", "currency": "USD"},
        "buys": [{"key": "BDB", "value": {"amount": "272.72727273"}}],
    }
    assert drift["depositToTarget"]["amount"] == {"amount": "400"}
    assert 3 < float(drift["trackingError"]) < 5
    rest = owner.rest("GET", f"{portfolio_id}/drift").json()
    assert rest["trackingError"] == drift["trackingError"]
    assert rest["depositToBand"]["amount"] == drift["depositToBand"]["amount"]


def test_what_if_has_its_own_bands_and_tracking_error(portfolio: tuple[Caller, str]) -> None:
    owner, portfolio_id = portfolio
    against = [{"key": "BDA", "percent": "70", "band": {"volatility": {}}}, {"key": "BDB", "percent": "30"}]
    drift = owner.data(DRIFT, id=portfolio_id, against=against)["portfolio"]["drift"]
    assert (drift["trackingError"], drift["depositToTarget"]["amount"]) == ("0", {"amount": "0"})
    assert {entry["key"]: entry["band"]["kind"] for entry in drift["entries"]} == {
        "BDA": "VOLATILITY",
        "BDB": "ABSOLUTE",
    }
    assert drift["entries"][0]["band"]["returns"] == 29


def test_what_if_of_a_portfolio_at_rest_reads_the_closes_it_needs(portfolio: tuple[Caller, str]) -> None:
    owner, _ = portfolio
    lots = [{"symbol": "BDA", "quantity": "1"}]
    targets = [{"key": "BDA", "percent": "100"}]
    made = owner.mutate("portfolioCreate", "portfolio { id }", name="Rest", accounts=[{"lots": lots}], targets=targets)
    against = [{"key": "BDA", "percent": "60", "band": {"volatility": {}}}, {"key": "BDB", "percent": "40"}]
    drift = owner.data(DRIFT, id=made["portfolio"]["id"], against=against)["portfolio"]["drift"]
    returns = {entry["key"]: entry["band"]["returns"] for entry in drift["entries"]}
    assert returns == {"BDA": 29, "BDB": None}


def test_bands_of_an_old_version_are_worked_out_for_what_is_held_now(api: Api, portfolio: tuple[Caller, str]) -> None:
    owner, _ = portfolio
    made = owner.mutate(
        "portfolioCreate",
        "portfolio { id }",
        name="Old",
        accounts=[{"lots": [{"symbol": "BDA", "quantity": "1"}]}],
        targets=[{"key": "BDB", "percent": "100"}],
    )["portfolio"]
    entries = [{"key": "BDA", "percent": "60"}, {"key": "BDB", "percent": "40", "band": {"cost": True}}]
    for wanted in (entries, [{"key": "BDA", "percent": "100"}]):
        assert owner.mutate("targetsSet", portfolioId=made["id"], entries=wanted)["userErrors"] == []
    query = (
        "query ($id: ID!) { portfolio(id: $id) { targetsHistory { nodes { version entries { key band { up } } } } } }"
    )
    nodes = owner.data(query, id=made["id"])["portfolio"]["targetsHistory"]["nodes"]
    found = [{entry["key"]: entry["band"]["up"] for entry in node["entries"]} for node in nodes]
    assert found == [{"BDA": "5"}, {"BDA": "5", "BDB": "2.051971"}, {"BDB": "5"}]


def test_drift_at_an_instant_is_what_the_last_scan_by_then_measured(api: Api, portfolio: tuple[Caller, str]) -> None:
    owner, portfolio_id = portfolio
    bucket = None
    while bucket is None:
        bucket = api.run(scans.tick)
    text = write_instant(bucket)
    for chunk in range(api.sql("SELECT count(*) FROM scan_chunks WHERE bucket = $1", bucket)):
        api.run(partial(scans.measure_chunk, bucket_text=text, number=chunk))

    def at(instant: str) -> Any:
        return owner.data(DRIFT, id=portfolio_id, at=instant)["portfolio"]["drift"]

    assert at(write_instant(bucket - timedelta(days=3650))) is None
    logged = at(text)
    assert logged["status"] == "BREACHED"
    # Bands and deposits are those of then, whose numbers are those of now.
    now = owner.data(DRIFT, id=portfolio_id)["portfolio"]["drift"]
    for name in ("depositToBand", "depositToTarget", "trackingError", "entries"):
        assert logged[name] == now[name], name
    assert at("9999-12-31T23:59:59.999999Z")["at"] == logged["at"]
    answer = owner.answer(DRIFT, id=portfolio_id, at=text, against=[{"key": "BDA", "percent": "100"}])
    assert "against is a what-if at the latest prices" in answer["errors"][0]["message"]


@pytest.mark.parametrize(
    ("band", "message", "path"),
    [
        ({"volatility": {"factor": "0.001"}}, "band factor is 0.001; it must be from 0.01 to 100", "volatility factor"),
        ({"volatility": {"factor": "-1"}}, "band factor is -1; it must be from 0.01 to 100", "volatility factor"),
        ({"volatility": {"window": "P29D"}}, "band window is 29 days; it must be from 30 to 3650", "volatility window"),
        ({"volatility": {"window": "PT36H"}}, "window P1DT12H is not whole days", "volatility window"),
        (
            {"smart": True, "above": {"relative": "5", "floor": "3", "cap": "2"}},
            "band floor 3 is above its cap 2; lower the floor or raise the cap",
            "above floor",
        ),
        (
            {"cost": True, "volatility": {}},
            "a band is exactly one of absolute, relative, hybrid, smart, volatility and cost; "
            "volatility and cost is given",
            "",
        ),
    ],
)
def test_wrong_band_is_refused_with_its_place(
    portfolio: tuple[Caller, str], band: dict[str, Any], message: str, path: str
) -> None:
    owner, portfolio_id = portfolio
    entries = [{"key": "BDA", "percent": "100", "band": band}]
    (error,) = owner.mutate("targetsSet", portfolioId=portfolio_id, entries=entries, dryRun=True)["userErrors"]
    assert (error["message"], error["path"]) == (message, ["input", "entries", "0", "band", *path.split()])


def test_negative_width_never_reaches_a_band(portfolio: tuple[Caller, str]) -> None:
    owner, portfolio_id = portfolio
    entries = [{"key": "BDA", "percent": "100", "band": {"absolute": "-1"}}]
    query = "mutation ($input: TargetsSetInput!) { targetsSet(input: $input) { userErrors { message } } }"
    answer = owner.answer(query, input={"portfolioId": portfolio_id, "entries": entries, "dryRun": True})
    assert "Percent -1 is below 0" in answer["errors"][0]["message"]

"""Drift history and health as clients meet them: GraphQL, JSON and CSV of one past, and whose it is."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from app.context import Services
from app.core import drift, ids
from app.store import logs, reading
from tests.api.conftest import Api, Caller, portfolio_of
from tests.store.logbook import at, hours, write
from tests.store.world import World

# Long ago, so that no scan of another test falls into it. A test in which other runs are missed has another year.
FIRST = "2019-06-30 22:00"
MARKS = ".+?x+w"
RANGE = {"since": "2019-06-30T00:00:00Z", "until": "2019-07-02T00:00:00Z"}
QUERY = "since=2019-06-30T00:00:00Z&until=2019-07-02T00:00:00Z"
HISTORY = """
query ($id: ID!, $resolution: Resolution!, $first: Int! = 20, $after: String, $since: DateTime, $until: DateTime) {
  portfolio(id: $id) {
    driftHistory(resolution: $resolution, first: $first, after: $after, since: $since, until: $until) {
      nodes { bucket measurements missed breached status worst value { amount currency } maxAbsDrift lowest highest }
      pageInfo { hasNextPage endCursor }
    }
  }
}
"""


def put(api: Api, portfolio_id: str, marks: Mapping[datetime, str]) -> None:
    """Give a portfolio a past, and a birthday before it."""
    key = ids.decode(ids.PORTFOLIO, portfolio_id)
    row = api.sql("UPDATE portfolios SET created_at = '2013-01-01Z' WHERE public_id = $1 RETURNING id", key)

    async def run(services: Services) -> None:
        await write(World(services.store, api.endpoints, 0), {row: marks})

    api.run(run)


def measure(api: Api, portfolio_id: str, bucket: datetime) -> None:
    """Log what is measured of a portfolio now as if it had been measured then."""
    owner_id = api.sql("SELECT owner_id FROM portfolios WHERE public_id = $1", ids.decode(ids.PORTFOLIO, portfolio_id))

    async def run(services: Services) -> None:
        async with services.store.owned(owner_id) as tx:
            found = await reading.load_snapshot(owner_id, tx, portfolio_id, bucket)
            assert found
            await tx.execute("SELECT ensure_drift_partition($1)", bucket)
            await logs.scan_write_logs(tx, bucket, [(found.row, drift.measure(replace(found.snapshot, as_of=bucket)))])

    api.run(run)


@pytest.fixture
def portfolio(owner: Caller) -> str:
    """Give a portfolio on target with a sleeve that a spreadsheet would take for a formula."""
    wanted = [{"key": "=1+1", "percent": "60", "assets": ["AAA"]}, {"key": "BBB", "percent": "40"}]
    return str(portfolio_of(owner, targets=wanted)["id"])


def history(owner: Caller, portfolio_id: str, resolution: str, **given: Any) -> dict[str, Any]:
    found = owner.data(HISTORY, id=portfolio_id, resolution=resolution, **{**RANGE, **given})
    connection: dict[str, Any] = found["portfolio"]["driftHistory"]
    return connection


def node(bucket: str, counts: tuple[int, int, int], status: str, worst: str, *numbers: str) -> dict[str, Any]:
    value, *drifts = numbers
    names = ("maxAbsDrift", "lowest", "highest")
    return {
        **dict(zip(("measurements", "missed", "breached"), counts, strict=True)),
        **dict(zip(names, drifts, strict=True)),
        "bucket": bucket,
        "status": status,
        "worst": worst,
        "value": {"amount": value, "currency": "USD"},
    }


def test_history_is_told_by_days_and_weeks(api: Api, owner: Caller, portfolio: str) -> None:
    put(api, portfolio, hours(FIRST, MARKS))
    days = [
        node("2019-07-01T00:00:00Z", (3, 1, 1), "WARNING", "DATA_STALE", "1005", "5", "2", "5"),
        node("2019-06-30T00:00:00Z", (2, 0, 1), "BREACHED", "BREACHED", "1001", "1", "0", "1"),
    ]
    assert history(owner, portfolio, "DAY")["nodes"] == days
    page = history(owner, portfolio, "DAY", first=1)
    assert (page["nodes"], page["pageInfo"]["hasNextPage"]) == (days[:1], True)
    page = history(owner, portfolio, "DAY", first=1, after=page["pageInfo"]["endCursor"])
    assert (page["nodes"], page["pageInfo"]["hasNextPage"]) == (days[1:], False)
    week = history(owner, portfolio, "WEEK", since="2019-06-24T00:00:00Z")["nodes"]
    assert [(one["bucket"], one["measurements"]) for one in week] == [
        ("2019-07-01T00:00:00Z", 3),
        ("2019-06-24T00:00:00Z", 2),
    ]


def test_missed_hours_have_a_line_and_no_figures(api: Api, owner: Caller, portfolio: str) -> None:
    put(api, portfolio, hours(FIRST, MARKS))
    for resolution in ("RAW", "HOUR"):
        nodes = history(owner, portfolio, resolution)["nodes"]
        assert [one["bucket"][11:13] for one in nodes] == ["03", "02", "01", "00", "23", "22"]
        nothing = dict.fromkeys(("status", "worst", "value", "maxAbsDrift", "lowest", "highest"))
        assert nodes[2] == {**nothing, "bucket": "2019-07-01T01:00:00Z", "measurements": 0, "missed": 1, "breached": 0}


def test_the_last_measurement_of_a_stretch_is_told_in_full(api: Api, owner: Caller, portfolio: str) -> None:
    put(api, portfolio, {at("2015-07-01 00:00"): "x"})
    measure(api, portfolio, at("2015-06-30 22:00"))
    asked = "bucket drift { at status entries { key actual band { kind } members { symbol quantity } } }"
    given = 'resolution: DAY, until: "2015-09-01T00:00:00Z"'
    query = f"query ($id: ID!) {{ portfolio(id: $id) {{ driftHistory({given}) {{ ...Page }} }} }}"
    fragment = f" fragment Page on DriftLogConnection {{ nodes {{ {asked} }} }}"
    missed, measured = owner.data(query + fragment, id=portfolio)["portfolio"]["driftHistory"]["nodes"]
    assert missed == {"bucket": "2015-07-01T00:00:00Z", "drift": None}
    assert measured["drift"] == {
        "at": "2015-06-30T22:00:00Z",
        "status": "WITHIN",
        "entries": [
            {
                "key": key,
                "actual": actual,
                "band": {"kind": "SMART"},
                "members": [{"symbol": symbol, "quantity": units}],
            }
            for key, actual, symbol, units in (("=1+1", "60", "AAA", "6"), ("BBB", "40", "BBB", "8"))
        ],
    }


def test_csv_has_a_line_for_each_stretch(api: Api, owner: Caller, portfolio: str) -> None:
    put(api, portfolio, hours(FIRST, MARKS))
    response = owner.rest("GET", f"{portfolio}/drift/history?format=csv&{QUERY}")
    assert (response.status_code, response.headers["content-type"]) == (200, "text/csv; charset=utf-8")
    assert response.headers["content-disposition"] == f'attachment; filename="drift-history-{portfolio}.csv"'
    assert response.text == (
        "bucket,measurements,missed,breached,status,worst,currency,value,max_abs_drift,lowest,highest\n"
        "2019-07-01T03:00:00Z,1,0,0,WARNING,WARNING,USD,1005,5,5,5\n"
        "2019-07-01T02:00:00Z,1,0,1,BREACHED,BREACHED,USD,1004,4,4,4\n"
        "2019-07-01T01:00:00Z,0,1,0,,,USD,,,,\n"
        "2019-07-01T00:00:00Z,1,0,0,DATA_STALE,DATA_STALE,USD,1002,2,2,2\n"
        "2019-06-30T23:00:00Z,1,0,1,BREACHED,BREACHED,USD,1001,1,1,1\n"
        "2019-06-30T22:00:00Z,1,0,0,WITHIN,WITHIN,USD,1000,0,0,0\n"
    )
    again = owner.rest("GET", f"{portfolio}/drift/history?{QUERY}&first=2&resolution=DAY", accept="text/csv")
    assert [line[:10] for line in again.text.splitlines()] == ["bucket,mea", "2019-07-01", "2019-06-30"]


def test_csv_in_detail_has_a_line_for_each_sleeve_and_no_formula(api: Api, owner: Caller, portfolio: str) -> None:
    put(api, portfolio, hours("2016-06-30 22:00", "mx"))
    measure(api, portfolio, at("2016-07-01 00:00"))
    response = owner.rest(
        "GET", f"{portfolio}/drift/history?format=csv&detail=true&since=2016-06-30T00:00:00Z&until=2016-07-02T00:00:00Z"
    )
    assert response.text == (
        "bucket,at,key,targeted,target,actual,drift,lower,upper,status,currency,value,to_target,stale\n"
        "2016-07-01T00:00:00Z,2016-07-01T00:00:00Z,'=1+1,true,60,60,0,55,65,WITHIN,USD,600,0,false\n"
        "2016-07-01T00:00:00Z,2016-07-01T00:00:00Z,BBB,true,40,40,0,35,45,WITHIN,USD,400,0,false\n"
        "2016-06-30T23:00:00Z,,,,,,,,,MISSED,,,,\n"
        "2016-06-30T22:00:00Z,,,,,,,,,MISSED,,,,\n"
    )


def test_csv_of_many_pages_is_whole_and_bounded(api: Api, owner: Caller, portfolio: str) -> None:
    put(api, portfolio, hours("2014-06-30 22:00", "." * 250))
    path = f"{portfolio}/drift/history?format=csv&until=2015-01-01T00:00:00Z"
    lines = owner.rest("GET", path).text.splitlines()
    assert (len(lines), lines[250][:20]) == (251, "2014-06-30T22:00:00Z")
    assert len({line[:20] for line in lines}) == 251
    assert (
        owner.rest(
            "GET", f"{portfolio}/drift/history?format=csv&until=2015-01-01T00:00:00Z&first=170"
        ).text.splitlines()
        == lines[:171]
    )


def test_json_is_that_of_graphql(api: Api, owner: Caller, portfolio: str) -> None:
    put(api, portfolio, hours(FIRST, MARKS))
    told = owner.rest("GET", f"{portfolio}/drift/history?{QUERY}&resolution=HOUR").json()
    connection = history(owner, portfolio, "HOUR")
    assert told["pageInfo"] == connection["pageInfo"]
    assert told["nodes"][2]["drift"] is None
    assert [{name: one[name] for name in connection["nodes"][0]} for one in told["nodes"]] == connection["nodes"]


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("resolution=MINUTE", "resolution"),
        ("format=xml", "format"),
        ("first=0", "first"),
        ("first=101", "first"),
        ("format=csv&first=10001", "first"),
        ("first=\u0661", "first"),
        ("since=yesterday", "since"),
        ("until=2019-06-30", "until"),
        ("detail=1", "detail"),
        ("after=nonsense", "after"),
        ("format=csv&after=nonsense", "after"),
    ],
)
def test_bad_queries_are_refused_by_name(owner: Caller, portfolio: str, query: str, path: str) -> None:
    response = owner.rest("GET", f"{portfolio}/drift/history?{query}")
    assert (response.status_code, response.json()["code"], response.json()["path"]) == (422, "INVALID", [path])


def test_health_of_a_portfolio(api: Api, owner: Caller, portfolio: str) -> None:
    put(api, portfolio, hours(FIRST, "+.?x++w"))
    query = """
    query ($id: ID!, $since: DateTime, $until: DateTime) { portfolio(id: $id) { health(since: $since, until: $until) {
      measured missed stale inBand breaches longestBreach { startedAt endedAt duration } meanRecovery longestRecovery
      worst { bucket maxAbsDrift } openSince
    } } }
    """
    assert owner.data(query, id=portfolio, **RANGE)["portfolio"]["health"] == {
        "measured": 6,
        "missed": 1,
        "stale": 1,
        "inBand": "40",
        "breaches": 2,
        "longestBreach": {
            "startedAt": "2019-07-01T02:00:00Z",
            "endedAt": "2019-07-01T04:00:00Z",
            "duration": "PT2H",
        },
        "meanRecovery": "PT1H30M",
        "longestRecovery": "PT2H",
        "worst": {"bucket": "2019-07-01T04:00:00Z", "maxAbsDrift": "6"},
        "openSince": None,
    }
    nothing = owner.data(query, id=portfolio)["portfolio"]["health"]
    assert (nothing["measured"], nothing["inBand"], nothing["longestBreach"], nothing["worst"]) == (0, None, None, None)
    wrong = owner.answer(query, id=portfolio, since=RANGE["until"], until=RANGE["since"])["errors"][0]
    assert wrong["message"] == "since is 2019-07-02T00:00:00Z; it must be before 2019-06-30T00:00:00Z"
    long = owner.answer(query, id=portfolio, since="2009-01-01T00:00:00Z", until=RANGE["until"])["errors"][0]
    assert long["message"] == "the range is 3834 days long; at most 3660 are allowed"


OVERVIEW = """
query ($since: DateTime, $until: DateTime) { healthOverview(since: $since, until: $until) {
  scanned missed measurements stale inBand worst { bucket measured breached share } alerts meanRecovery longestRecovery
} }
"""


def test_operators_see_the_health_of_all(api: Api, operator: Caller, owner: Caller, portfolio: str) -> None:
    put(api, portfolio, hours("2018-03-01 00:00", "+.xw"))
    # Of whom prices are stale, nothing is decided: they are neither in band nor out of it.
    chunks = [("00", 0, 200, 100, 10), ("00", 1, 60, 0, 30), ("01", 0, 160, 0, 0), ("03", 0, 390, 300, 15)]
    for hour, number, scanned, stale, breached in chunks:
        api.sql(
            "INSERT INTO scan_chunks (bucket, number, from_id, to_id, done_at, scanned, stale, breached) "
            "VALUES ($1, $2, 1, 2, now(), $3, $4, $5)",
            *(at(f"2018-03-01 {hour}:00"), number, scanned, stale, breached),
        )
    given = {"since": "2018-03-01T00:00:00Z", "until": "2018-03-02T00:00:00Z"}
    for ended in ("2018-03-01 01:30", "2018-03-01 04:00"):
        api.sql(
            "INSERT INTO alerts (public_id, owner_id, portfolio_id, kind, key, severity, status, message, raised_at, "
            "resolved_at) SELECT gen_random_uuid(), owner_id, id, 'DRIFT', 'AAA', 'CRITICAL', 'RESOLVED', '', $2, $3 "
            "FROM portfolios WHERE public_id = $1",
            *(ids.decode(ids.PORTFOLIO, portfolio), at("2018-03-01 01:00"), at(ended)),
        )
    assert operator.data(OVERVIEW, **given)["healthOverview"] == {
        "scanned": 3,
        "missed": 1,
        "measurements": 810,
        "stale": 400,
        "inBand": "86.585366",
        "worst": {"bucket": "2018-03-01T00:00:00Z", "measured": 160, "breached": 40, "share": "25"},
        "alerts": 2,
        "meanRecovery": "PT1H45M",
        "longestRecovery": "PT3H",
    }
    refused = owner.answer(OVERVIEW, **given)
    assert (refused["data"], refused["errors"][0]["extensions"]["code"]) == (None, "FORBIDDEN")


def test_the_past_of_nothing_has_nothing_to_say(operator: Caller) -> None:
    given = {"since": "2017-03-01T00:00:00Z", "until": "2017-03-02T00:00:00Z"}
    nothing = dict.fromkeys(("inBand", "worst", "meanRecovery", "longestRecovery"))
    figures = {"scanned": 0, "missed": 0, "measurements": 0, "stale": 0, "alerts": 0}
    assert operator.data(OVERVIEW, **given)["healthOverview"] == {**nothing, **figures}


def test_the_history_of_somebody_else_is_not_found(api: Api, owner: Caller, portfolio: str) -> None:
    put(api, portfolio, hours(FIRST, MARKS))
    eve = api.caller("eve-of-history")
    for query in ("", "?format=csv", "?format=csv&detail=true"):
        response = eve.rest("GET", f"{portfolio}/drift/history{query}")
        assert (response.status_code, response.json()["code"]) == (404, "NOT_FOUND")
    assert eve.data("query ($id: ID!) { portfolio(id: $id) { health { measured } } }", id=portfolio) == {
        "portfolio": None
    }


@pytest.mark.parametrize("end", ["0001-01-01T00:00:00Z", "0001-01-02T03:04:05Z", "9999-12-31T23:59:59.999999Z"])
@pytest.mark.parametrize("resolution", ["RAW", "HOUR", "DAY", "WEEK"])
def test_the_ends_of_time_are_answered_like_any_other_time(
    owner: Caller, portfolio: str, resolution: str, end: str
) -> None:
    for given in ({"since": end, "until": None}, {"since": None, "until": end}):
        assert history(owner, portfolio, resolution, **given)["nodes"] == []


@pytest.mark.parametrize(
    ("since", "until"),
    [
        (None, "0001-01-02T03:04:05Z"),
        ("0001-01-01T00:00:00Z", "0001-01-05T00:00:00Z"),
        ("9999-12-30T00:00:00Z", "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_health_at_the_ends_of_time_is_that_of_any_other_time(
    owner: Caller, portfolio: str, since: str | None, until: str
) -> None:
    query = """
    query ($id: ID!, $since: DateTime, $until: DateTime) {
      portfolio(id: $id) { health(since: $since, until: $until) { measured missed } }
    }
    """
    found = owner.data(query, id=portfolio, since=since, until=until)["portfolio"]["health"]
    assert found == {"measured": 0, "missed": 0}

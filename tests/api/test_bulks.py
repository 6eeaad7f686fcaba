"""Bulks as clients meet them: plans of many portfolios proposed and approved in one go, counted, followed, refused."""

from itertools import count
from typing import Any, Final
from uuid import UUID

import pytest

from app.actions import bulks
from app.context import Services
from app.core import ids
from tests.api.conftest import Api, Caller, portfolio_of

OFF: Final = [{"key": "AAA", "percent": "20"}, {"key": "BBB", "percent": "80"}]
"""Targets from which the portfolio of `portfolio_of` is far: it sells 4 AAA and buys 8 BBB, at 100 and 50."""
HEAD: Final = "id kind status progress { total done } counts { status count }"
TOTALS: Final = """
totals {
  currency plans trades bought { amount currency } sold { amount } costs { amount } estimatedTax { amount }
}
"""
ITEMS: Final = """
query ($id: ID!, $first: Int! = 20, $after: String, $statuses: [BulkItemStatus!]) {
  bulk(id: $id) {
    items(first: $first, after: $after, statuses: $statuses) {
      nodes {
        place owner { issuer subject } portfolioId portfolioName planId status code message endedAt
      }
      pageInfo { hasNextPage endCursor }
    }
  }
}
"""
_numbers = count(1)


def model() -> str:
    """Return a model that no other test has."""
    return f"Model {next(_numbers)}"


def subject_of(caller: Caller) -> str:
    subject: str = caller.data("{ viewer { subject } }")["viewer"]["subject"]
    return subject


def asked(caller: Caller, mutation: str, selection: str = HEAD, **given: Any) -> dict[str, Any]:
    """Begin a bulk, or look at what it would be, and return it."""
    given.setdefault("idempotencyKey", f"key {next(_numbers)}")
    payload = caller.mutate(mutation, f"bulk {{ {selection} }}", **given)
    assert payload["userErrors"] == [], payload
    bulk: dict[str, Any] = payload["bulk"]
    return bulk


def refused(caller: Caller, mutation: str, **given: Any) -> tuple[str, str, str]:
    """Return code, path and message of the one error that a bulk is refused with."""
    payload = caller.mutate(mutation, "bulk { id }", **{"idempotencyKey": "refused", **given})
    assert payload["bulk"] is None
    [error] = payload["userErrors"]
    return error["code"], ".".join(error["path"]), error["message"]


def seen(caller: Caller, bulk_id: str, selection: str = f"{HEAD} {TOTALS}") -> dict[str, Any]:
    bulk: dict[str, Any] = caller.data(f"query ($id: ID!) {{ bulk(id: $id) {{ {selection} }} }}", id=bulk_id)["bulk"]
    return bulk


def items(caller: Caller, bulk_id: str, **given: Any) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = caller.data(ITEMS, id=bulk_id, **given)["bulk"]["items"]["nodes"]
    return nodes


def work(api: Api, bulk_id: str) -> None:
    """Do what a worker does with a bulk."""
    owner_id = api.sql("SELECT owner_id FROM bulks WHERE public_id = $1", ids.decode(ids.BULK, bulk_id))

    async def run(services: Services) -> None:
        assert not await bulks.run(services, owner_id, bulk_id)

    api.run(run)


def statuses(bulk: dict[str, Any]) -> dict[str, int]:
    return {one["status"]: one["count"] for one in bulk["counts"]}


def test_plans_of_a_model_are_proposed_and_approved_by_filter(owner: Caller, api: Api) -> None:
    named = model()
    off, on = (portfolio_of(owner, name=name, model=named, targets=to)["id"] for name, to in
               (("Off", OFF), ("On", [{"key": "AAA", "percent": "60"}, {"key": "BBB", "percent": "40"}])))  # fmt: skip
    portfolio_of(owner, name="Other", targets=OFF)
    wanted: dict[str, Any] = {"filter": {"model": named}, "scope": "FULL"}
    before = api.stored()
    looked = asked(owner, "bulkPropose", f"{HEAD} items {{ nodes {{ place }} }}", **wanted, dryRun=True)
    assert api.stored() == before
    assert (looked["progress"], statuses(looked), looked["items"]) == ({"total": 2, "done": 0}, {"WAITING": 2}, None)
    assert owner.data("query ($id: ID!) { bulk(id: $id) { id } }", id=looked["id"]) == {"bulk": None}

    begun = asked(owner, "bulkPropose", **wanted, expectedPortfolios=2)
    waiting = {"total": 2, "done": 0}
    assert begun == {
        "id": begun["id"], "kind": "PROPOSE", "status": "RUNNING", "progress": waiting,
        "counts": [{"status": "WAITING", "count": 2}],
    }  # fmt: skip
    work(api, begun["id"])
    done = seen(owner, begun["id"])
    assert (done["status"], done["progress"]) == ("DONE", {"total": 2, "done": 2})
    assert statuses(done) == {"READY": 1, "NOTHING_TO_DO": 1}
    sums = {"currency": "USD", "plans": 1, "trades": 2, "bought": {"amount": "400", "currency": "USD"},
            "sold": {"amount": "400"}, "costs": {"amount": "0"}, "estimatedTax": {"amount": "0"}}  # fmt: skip
    assert done["totals"] == [sums]
    first, second = items(owner, begun["id"])
    who = {"issuer": api.settings.jwt_issuer, "subject": subject_of(owner)}
    assert (first["place"], first["owner"], first["portfolioId"], first["portfolioName"]) == (1, who, off, "Off")
    assert (first["status"], first["code"], first["message"], second["status"]) == (
        "READY",
        None,
        None,
        "NOTHING_TO_DO",
    )
    assert (second["portfolioId"], first["endedAt"] is None, second["endedAt"] is None) == (on, False, False)
    plan = "query ($id: ID!) { rebalancePlan(id: $id) { status scope requestedBy } }"
    made = owner.data(plan, id=first["planId"])["rebalancePlan"]
    assert made == {"status": "READY", "scope": "FULL", "requestedBy": who["subject"]}

    chosen = {"filter": {"proposedIn": begun["id"], "turnoverAtMost": "40"}}
    looked = asked(owner, "bulkApprove", f"{HEAD} {TOTALS}", **chosen, dryRun=True)
    assert (statuses(looked), looked["totals"]) == ({"WAITING": 1}, [sums])
    approved = asked(owner, "bulkApprove", f"{HEAD} aggregate scope", **chosen, expectedPlans=1)
    assert (approved["kind"], approved["aggregate"], approved["scope"]) == ("APPROVE", True, None)
    work(api, approved["id"])
    assert statuses(seen(owner, approved["id"])) == {"APPROVED": 1}
    assert seen(owner, approved["id"])["totals"] == [sums]
    assert owner.data(plan, id=first["planId"])["rebalancePlan"]["status"] == "APPROVED"


def test_plans_over_a_limit_are_not_approved(owner: Caller, api: Api) -> None:
    portfolio_of(owner, targets=OFF)
    begun = asked(owner, "bulkPropose", filter={}, scope="FULL")
    work(api, begun["id"])
    below = {"proposedIn": begun["id"], "turnoverAtMost": "39.999999"}
    assert asked(owner, "bulkApprove", filter=below, dryRun=True)["progress"] == {"total": 0, "done": 0}
    none = asked(owner, "bulkApprove", f"{HEAD} {TOTALS} endedAt", filter=below)
    assert (none["status"], none["counts"], none["totals"], none["endedAt"] is None) == ("DONE", [], [], False)


def test_items_are_paged_and_kept_by_status(owner: Caller, api: Api) -> None:
    portfolios = [portfolio_of(owner, name=str(place), targets=OFF)["id"] for place in range(3)]
    owner.mutate("portfolioUpdate", portfolioId=portfolios[1], policy={"fourEyes": True})
    begun = asked(owner, "bulkPropose", filter={"portfolioIds": portfolios[::-1]}, scope="FULL")
    work(api, begun["id"])
    approved = asked(owner, "bulkApprove", filter={"proposedIn": begun["id"]}, aggregate=False)
    work(api, approved["id"])
    page = owner.data(ITEMS, id=approved["id"], first=2)["bulk"]["items"]
    assert [(one["portfolioId"], one["status"]) for one in page["nodes"]] == [
        (portfolios[0], "APPROVED"),
        (portfolios[1], "REFUSED"),
    ]
    assert (page["nodes"][1]["code"], page["pageInfo"]["hasNextPage"]) == ("FORBIDDEN", True)
    rest = owner.data(ITEMS, id=approved["id"], after=page["pageInfo"]["endCursor"])["bulk"]["items"]
    assert ([one["place"] for one in rest["nodes"]], rest["pageInfo"]["hasNextPage"]) == ([3], False)
    assert [one["place"] for one in items(owner, approved["id"], statuses=["REFUSED"])] == [2]
    assert items(owner, approved["id"], statuses=["FAILED"]) == []
    listed = owner.data(f"{{ bulks(first: 1) {{ nodes {{ {HEAD} }} pageInfo {{ hasNextPage endCursor }} }} }}")["bulks"]
    assert ([one["id"] for one in listed["nodes"]], listed["pageInfo"]["hasNextPage"]) == ([approved["id"]], True)
    older = "query ($after: String) { bulks(after: $after) { nodes { id } } }"
    assert owner.data(older, after=listed["pageInfo"]["endCursor"])["bulks"]["nodes"] == [{"id": begun["id"]}]


def test_key_is_good_for_one_input(owner: Caller) -> None:
    portfolio_of(owner)
    first = asked(owner, "bulkPropose", filter={}, idempotencyKey="once")
    assert asked(owner, "bulkPropose", filter={}, idempotencyKey="once")["id"] == first["id"]
    code, path, _ = refused(owner, "bulkPropose", filter={"breached": True}, idempotencyKey="once")
    assert (code, path) == ("IDEMPOTENCY_MISMATCH", "input.idempotencyKey")
    assert asked(owner, "bulkApprove", filter={}, idempotencyKey="other")["id"] != first["id"]


NOBODY: Final = ids.encode(ids.PORTFOLIO, UUID(int=7))


@pytest.mark.parametrize(
    ("mutation", "given", "error"),
    [
        (
            "bulkPropose",
            {"filter": {}, "expectedPortfolios": 3},
            (
                *("INVALID_STATE", "input.expectedPortfolios"),
                "1 portfolios meet the filter, not 3; look at them, then ask with their number",
            ),
        ),
        (
            "bulkPropose",
            {"filter": {}, "expectedPortfolios": -1},
            (
                *("INVALID", "input.expectedPortfolios"),
                "expectedPortfolios is -1; it must be from 0 to 100000",
            ),
        ),
        (
            "bulkPropose",
            {"filter": {}, "scope": "RAISE_CASH"},
            (
                *("INVALID", "input.scope"),
                "RAISE_CASH takes out an amount of each portfolio's own; propose such plans one by one",
            ),
        ),
        (
            "bulkPropose",
            {"filter": {"portfolioIds": ["x"] * 501}},
            ("LIMIT_EXCEEDED", "input.filter.portfolioIds", "there are 501 items; at most 500 are allowed"),
        ),
        (
            "bulkApprove",
            {"filter": {"owners": [{"subject": "x"}] * 101}},
            ("LIMIT_EXCEEDED", "input.filter.owners", "there are 101 items; at most 100 are allowed"),
        ),
        (
            "bulkApprove",
            {"filter": {"owners": []}},
            (
                *("INVALID", "input.filter.owners"),
                "owners is empty; name one, or leave it out for your own portfolios",
            ),
        ),
        (
            "bulkApprove",
            {"filter": {"owners": [{"subject": "x"}], "everybody": True}},
            (
                *("INVALID", "input.filter.everybody"),
                "everybody means all owners; leave out owners, or everybody",
            ),
        ),
        (
            "bulkPropose",
            {"filter": {"model": ""}},
            (
                *("INVALID", "input.filter.model"),
                "model must be 1 to 100 characters without control characters or space around it",
            ),
        ),
        (
            "bulkPropose",
            {"filter": {"portfolioIds": [NOBODY]}},
            ("NOT_FOUND", "input.filter.portfolioIds.0", f"portfolio {NOBODY} does not exist"),
        ),
        (
            "bulkApprove",
            {"filter": {"proposedIn": "bk_x"}},
            ("NOT_FOUND", "input.filter.proposedIn", "bulk bk_x does not exist"),
        ),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(
    owner: Caller, api: Api, mutation: str, given: dict[str, Any], error: tuple[str, str, str]
) -> None:
    portfolio_of(owner)
    before = api.stored()
    assert refused(owner, mutation, **given) == error
    assert refused(owner, mutation, **given, dryRun=True) == error
    assert api.stored() == before


@pytest.mark.parametrize("mutation", ["bulkPropose", "bulkApprove"])
@pytest.mark.parametrize("which", [{"everybody": True}, {"owners": [{"subject": "operator"}]}])
@pytest.mark.parametrize("dry_run", [True, False])
def test_other_owners_are_a_matter_of_the_operator(
    owner: Caller, mutation: str, which: dict[str, Any], dry_run: bool
) -> None:
    kind = mutation[0].upper() + mutation[1:]
    query = f"mutation ($input: {kind}Input!) {{ {mutation}(input: $input) {{ bulk {{ id }} }} }}"
    answer = owner.answer(query, input={"filter": which, "dryRun": dry_run, "idempotencyKey": "k"})
    assert answer["data"] is None
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]


def test_operator_proposes_for_others_who_see_the_plan_and_not_the_bulk(
    operator: Caller, owner: Caller, api: Api
) -> None:
    named, other = model(), api.caller(f"other-{next(_numbers)}")
    mine, theirs = (portfolio_of(one, model=named, targets=OFF)["id"] for one in (owner, other))
    one, two = subject_of(owner), subject_of(other)
    which: dict[str, Any] = {"model": named, "owners": [{"subject": one, "issuer": api.settings.jwt_issuer}]}
    assert asked(operator, "bulkPropose", filter=which, dryRun=True)["progress"]["total"] == 1
    which = {"model": named, "everybody": True}
    told = "filter { owners { subject } everybody portfolioIds model breached proposedIn turnoverAtMost } actor scope"
    begun = asked(operator, "bulkPropose", f"{HEAD} {told}", filter=which, scope="FULL")
    assert begun["filter"] == {
        "owners": None, "everybody": True, "portfolioIds": None, "model": named, "breached": False,
        "proposedIn": None, "turnoverAtMost": None,
    }  # fmt: skip
    assert (begun["actor"], begun["scope"]) == ("operator", "FULL")
    work(api, begun["id"])
    assert [
        (item["owner"]["subject"], item["portfolioId"], item["status"]) for item in items(operator, begun["id"])
    ] == [
        (one, mine, "READY"),
        (two, theirs, "READY"),
    ]
    assert owner.data("query ($id: ID!) { bulk(id: $id) { id } }", id=begun["id"]) == {"bulk": None}
    assert owner.data("{ bulks { nodes { id } } }")["bulks"]["nodes"] == []
    plans = "query ($id: ID!) { portfolio(id: $id) { plans { nodes { status requestedBy } } } }"
    for caller, portfolio in ((owner, mine), (other, theirs)):
        found = caller.data(plans, id=portfolio)["portfolio"]["plans"]["nodes"]
        assert found == [{"status": "READY", "requestedBy": "operator"}]
    nobody = {"filter": {"owners": [{"subject": one}, {"subject": "nobody at all"}]}}
    assert refused(operator, "bulkPropose", **nobody)[:2] == ("NOT_FOUND", "input.filter.owners.1")


def test_filter_tells_what_was_asked(operator: Caller) -> None:
    given = {"owners": [{"subject": "operator"}], "portfolioIds": [], "model": "M", "breached": True,
             "turnoverAtMost": "12.5", "costAtMost": "0.25", "taxAtMost": "1"}  # fmt: skip
    told = "owners { subject issuer } everybody portfolioIds model breached turnoverAtMost costAtMost taxAtMost"
    bulk = asked(operator, "bulkApprove", f"{HEAD} filter {{ {told} }} aggregate", filter=given, aggregate=False)
    [who] = bulk["filter"].pop("owners")
    assert who["subject"] == "operator"
    del given["owners"]
    assert (bulk["filter"], bulk["aggregate"]) == ({"everybody": False, **given}, False)


def test_bulk_is_cancelled_once_and_not_when_it_is_done(owner: Caller, api: Api) -> None:
    portfolio_of(owner, targets=OFF)
    begun = asked(owner, "bulkPropose", filter={}, scope="FULL")
    cancelled = {"status": "CANCELLED", "counts": [{"status": "CANCELLED", "count": 1}]}
    for _ in range(2):
        payload = owner.mutate("bulkCancel", "bulk { status counts { status count } }", bulkId=begun["id"])
        assert payload == {"bulk": cancelled, "userErrors": []}
    work(api, begun["id"])
    assert seen(owner, begun["id"], "status counts { status count }") == cancelled
    done = asked(owner, "bulkPropose", filter={"portfolioIds": []})
    payload = owner.mutate("bulkCancel", "bulk { id }", bulkId=done["id"])
    assert (payload["bulk"], payload["userErrors"][0]["code"]) == (None, "INVALID_STATE")
    assert payload["userErrors"][0]["state"] == "DONE"


def test_symbols_are_left_alone_where_they_are_held(owner: Caller, api: Api) -> None:
    portfolio_of(owner, targets=OFF)
    lots = [{"symbol": "BBB", "quantity": "10", "unitCost": "50"}]
    portfolio_of(owner, accounts=[{"cash": "500", "lots": lots}], targets=[{"key": "BBB", "percent": "100"}])
    begun = asked(owner, "bulkPropose", f"{HEAD} exclude noBuy noSell", filter={}, scope="FULL", exclude=["AAA"])
    assert (begun["exclude"], begun["noBuy"], begun["noSell"]) == (["AAA"], [], [])
    work(api, begun["id"])
    first, second = items(owner, begun["id"])
    trades = "query ($id: ID!) { rebalancePlan(id: $id) { trades { symbol side } } }"
    assert owner.data(trades, id=second["planId"])["rebalancePlan"]["trades"] == [{"symbol": "BBB", "side": "BUY"}]
    assert first["status"] == "NOTHING_TO_DO"
    assert refused(owner, "bulkPropose", filter={}, exclude=["AAA", "NOPE"])[:2] == ("NOT_FOUND", "input.exclude.1")


def test_items_cost_what_a_page_of_them_may_hold(owner: Caller) -> None:
    query = "query ($id: ID!) { bulk(id: $id) { counts { status count } items(first: 50) { nodes { place } } } }"
    # bulk, counts (a list of at most ten), items, fifty pages' worth of nodes and place
    answer = owner.answer(query, id="bk_x")
    assert answer["extensions"]["cost"] == 1 + (1 + 10 * 2) + (1 + 50 * 2)
    many = "{ bulks(first: 100) { nodes { items(first: 100) { nodes { place } } } } }"
    assert [error["extensions"]["code"] for error in owner.answer(many)["errors"]] == ["COST_LIMIT"]

"""What belongs to somebody else does not exist: it is not read, changed, followed, or told apart from what is not."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote

import pytest
from graphql import GraphQLInputObjectType, build_schema, get_named_type

from app.api.schema import printed
from app.context import new_uuid
from app.core import ids
from app.embedded import Endpoints
from tests.api.conftest import DEADLINE_S, Api, Caller, portfolio_of, running, scan

BLOCK: Final = """
    INSERT INTO blocks (
        public_id, owner_id, bulk_id, client_id, broker, account_id, asset_id, side, style, quantity, status, ask_at
    )
    SELECT $1::uuid, a.owner_id, k.id, $1::uuid::text, 'MANUAL', a.id, s.id, 'SELL', 'LIMIT', 4, 'WORKING', 'infinity'
    FROM bulks k, portfolios p JOIN accounts a ON a.portfolio_id = p.id, assets s
    WHERE k.public_id = $2 AND p.public_id = $3 AND s.symbol = 'AAA' RETURNING 1
"""
FIRST_CURSOR: Final = urlsafe_b64encode(b"0.0").decode().rstrip("=")


@dataclass(frozen=True)
class World:
    """Alice has a portfolio with an alert and a plan. Eve has them too, and wants to have Alice's."""

    api: Api
    alice: Caller
    eve: Caller
    of_alice: dict[str, str]
    of_eve: dict[str, str]


def belongings(owner: Caller) -> dict[str, str]:
    """Create a portfolio that is far from its targets; return the ids of all there is to it after a scan."""
    portfolio = portfolio_of(owner, targets=[{"key": "AAA", "percent": "20"}, {"key": "BBB", "percent": "80"}])
    proposed = owner.mutate("rebalancePropose", "plan { id trades { id } }", portfolioId=portfolio["id"], scope="FULL")
    told = {"events": ["ALERT_RAISED"]}
    webhook = owner.mutate("webhookCreate", "webhook { id }", url="https://93.184.216.34/", **told)["webhook"]["id"]
    email = owner.mutate("emailCreate", "email { id }", address="a@example.com", **told)["email"]["id"]
    bulk = owner.mutate("bulkPropose", "bulk { id }", filter={"portfolioIds": []}, idempotencyKey="none")["bulk"]
    return {
        ids.WEBHOOK: webhook,
        ids.EMAIL: email,
        ids.DELIVERY: first_delivery(owner),
        ids.BULK: bulk["id"],
        ids.BLOCK: block_of(owner, bulk["id"], portfolio["id"]),
        ids.PORTFOLIO: portfolio["id"],
        ids.ACCOUNT: portfolio["accounts"][0]["id"],
        ids.PLAN: proposed["plan"]["id"],
        ids.TRADE: proposed["plan"]["trades"][0]["id"],
    }


def block_of(owner: Caller, bulk_id: str, portfolio_id: str) -> str:
    """Write a block of a bulk, in the account of a portfolio, that is to be worked by hand; return its id."""
    uuid = new_uuid()
    owner.api.sql(BLOCK, uuid, ids.decode(ids.BULK, bulk_id), ids.decode(ids.PORTFOLIO, portfolio_id))
    return ids.encode(ids.BLOCK, uuid)


def first_delivery(owner: Caller) -> str:
    """Return the id of the message with the code."""
    emails = owner.data("{ emails { nodes { deliveries { nodes { id } } } } }")["emails"]["nodes"]
    found: str = emails[0]["deliveries"]["nodes"][0]["id"]
    return found


@pytest.fixture(scope="module")
def world(api: Api, operator: Caller) -> World:
    alice, eve = api.caller("alice-owns"), api.caller("eve")
    of_alice, of_eve = belongings(alice), belongings(eve)
    scan(api)
    for owner, found in ((alice, of_alice), (eve, of_eve)):
        alerts = owner.data("{ driftAlerts { nodes { id } } }")["driftAlerts"]["nodes"]
        assert len(alerts) == 2
        found[ids.ALERT] = alerts[0]["id"]
    return World(api, alice, eve, of_alice, of_eve)


def foreign_and_absent(world: World, kind: str) -> Iterator[str]:
    """Yield Alice's id, ids that nothing has, and texts that are no ids at all."""
    theirs = world.of_alice[kind]
    yield theirs
    yield ids.encode(kind, new_uuid())
    yield f"{kind}_"
    yield f"{kind}_7zzzzzzzzzzzzzzzzzzzzzzzzz"
    yield f"{kind}_zzzzzzzzzzzzzzzzzzzzzzzzzz"
    yield theirs.upper()
    yield theirs + "0"
    yield theirs[:-1]
    yield theirs + " "
    yield f"xx{theirs[2:]}"
    yield from (other for key, other in world.of_alice.items() if key != kind)
    yield "777777"
    yield "QQ"
    yield "'; DROP TABLE portfolios; --"
    yield "a\u0000b"
    yield "\u00e9\u4e2d"
    yield "Q" * 5000


# ---------------------------------------------------------------- GraphQL

PORTFOLIO: Final = """
{ portfolio(id: "%s") {
    id name value { amount } accounts { id } holdings { nodes { id lots { id } } } targets { id } drift { status }
    targetsHistory { nodes { id } } driftHistory { nodes { bucket } } health { measured }
    alerts { nodes { id } } plans { nodes { id } } history { nodes { text } } auditTrail { whole }
} }
"""

# Every field and argument that takes an id of somebody's: what Eve asks with it.
QUERIES: Final = {
    "Query.node(id:) of a portfolio": (ids.PORTFOLIO, '{ node(id: "%s") { id __typename } }'),
    "Query.node(id:) of a plan": (ids.PLAN, '{ node(id: "%s") { id __typename } }'),
    "Query.node(id:) of an account": (ids.ACCOUNT, '{ node(id: "%s") { id __typename } }'),
    "Query.node(id:) of an alert": (ids.ALERT, '{ node(id: "%s") { id __typename } }'),
    "Query.portfolio(id:)": (ids.PORTFOLIO, PORTFOLIO),
    "Query.bulk(id:)": (ids.BULK, '{ bulk(id: "%s") { id status items { nodes { place } } } }'),
    "Query.rebalancePlan(id:)": (ids.PLAN, '{ rebalancePlan(id: "%s") { id status trades { symbol } } }'),
}
ENTRIES: Final = [{"key": "AAA", "percent": "100"}]
MUTATIONS: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    "PortfolioUpdateInput.portfolioId": (ids.PORTFOLIO, "portfolioUpdate", {"name": "Mine now"}),
    "PortfolioHaltInput.portfolioId": (ids.PORTFOLIO, "portfolioHalt", {"reason": "eve says so"}),
    "PortfolioResumeInput.portfolioId": (ids.PORTFOLIO, "portfolioResume", {}),
    "HoldingsImportInput.accountId": (ids.ACCOUNT, "holdingsImport", {"lots": [], "cash": "0"}),
    "TransactionsImportInput.accountId": (
        ids.ACCOUNT,
        "transactionsImport",
        {"historyFrom": "2024-01-01", "idempotencyKey": "the same for all"},
    ),
    "PlanApproveInput.planId": (ids.PLAN, "planApprove", {"expectedVersion": 2, "idempotencyKey": "the same for all"}),
    "BulkCancelInput.bulkId": (ids.BULK, "bulkCancel", {}),
    "PlanRejectInput.planId": (ids.PLAN, "planReject", {}),
    "PlanCancelInput.planId": (ids.PLAN, "planCancel", {}),
    "OrderFillsRecordInput.planId": (
        ids.PLAN,
        "orderFillsRecord",
        {"orders": [{"orderId": "x", "done": True}], "idempotencyKey": "the same for all"},
    ),
    "OrderSettleInput.planId": (
        ids.PLAN,
        "orderSettle",
        {"orderId": "x", "reason": "eve says so", "idempotencyKey": "the same for all"},
    ),
    "BlockSettleInput.blockId": (
        ids.BLOCK,
        "blockSettle",
        {"reason": "eve says so", "idempotencyKey": "the same for all"},
    ),
    "AccountUpdateInput.accountId": (ids.ACCOUNT, "accountUpdate", {"broker": None}),
    "TargetsSetInput.portfolioId": (ids.PORTFOLIO, "targetsSet", {"entries": ENTRIES}),
    "TargetsSetInput.portfolioId, only checked": (
        ids.PORTFOLIO,
        "targetsSet",
        {"entries": ENTRIES, "dryRun": True},
    ),
    "TargetsSetInput.portfolioId, with a version": (
        ids.PORTFOLIO,
        "targetsSet",
        {"entries": ENTRIES, "expectedVersion": 1},
    ),
    "RebalanceProposeInput.portfolioId": (ids.PORTFOLIO, "rebalancePropose", {"scope": "FULL"}),
    "RebalanceProposeInput.portfolioId, only shown": (ids.PORTFOLIO, "rebalancePropose", {"dryRun": True}),
    "RebalanceProposeInput.portfolioId, with a key": (
        ids.PORTFOLIO,
        "rebalancePropose",
        {"idempotencyKey": "the same for all"},
    ),
    "AlertAcknowledgeInput.alertId": (ids.ALERT, "alertAcknowledge", {}),
    "AlertSnoozeInput.alertId": (ids.ALERT, "alertSnooze", {"until": None}),
    "WebhookUpdateInput.webhookId": (ids.WEBHOOK, "webhookUpdate", {"enabled": False}),
    "WebhookUpdateInput.webhookId, elsewhere": (ids.WEBHOOK, "webhookUpdate", {"url": "https://93.184.216.35/"}),
    "WebhookRotateSecretInput.webhookId": (ids.WEBHOOK, "webhookRotateSecret", {}),
    "WebhookTestInput.webhookId": (ids.WEBHOOK, "webhookTest", {}),
    "WebhookDeleteInput.webhookId": (ids.WEBHOOK, "webhookDelete", {}),
    "EmailConfirmInput.emailId": (ids.EMAIL, "emailConfirm", {"code": "x"}),
    "EmailUpdateInput.emailId": (ids.EMAIL, "emailUpdate", {"address": "eve@example.com"}),
    "EmailTestInput.emailId": (ids.EMAIL, "emailTest", {}),
    "EmailDeleteInput.emailId": (ids.EMAIL, "emailDelete", {}),
    "DeliveriesReplayInput.hookId": (ids.WEBHOOK, "deliveriesReplay", {}),
}
REPLAYED: Final = "DeliveriesReplayInput.deliveryIds"
SOLD: Final = "RebalanceProposeInput.sellLots"
LEFT_OUT: Final = "PlanApproveInput.excludeTradeIds"
CHOSEN: Final = {
    "BulkProposeFilterInput.portfolioIds": (ids.PORTFOLIO, "bulkPropose"),
    "BulkApproveFilterInput.portfolioIds": (ids.PORTFOLIO, "bulkApprove"),
    "BulkApproveFilterInput.proposedIn": (ids.BULK, "bulkApprove"),
}
ORDERS: Final = {"OrderFillsInput.orderId", "OrderSettleInput.orderId"}  # in test_fills and test_settling
BLOCKS: Final = {"Query.blocks(bulkId:)", "BlockFillsInput.blockId"}
SUBSCRIPTIONS: Final = {
    "Subscription.planUpdated(planId:)",
    "Subscription.bulkUpdated(bulkId:)",
    "Subscription.driftUpdated(portfolioId:)",
    "Subscription.driftAlerts(portfolioIds:)",
}


def test_every_argument_that_takes_an_id_is_tried_here() -> None:
    schema = build_schema(printed())
    found = set()
    for named in schema.type_map.values():
        for name, field in getattr(named, "fields", {}).items() if not named.name.startswith("__") else ():
            if isinstance(named, GraphQLInputObjectType):
                if get_named_type(field.type).name == "ID":
                    found.add(f"{named.name}.{name}")
                continue
            for argument, given in field.args.items():
                if get_named_type(given.type).name == "ID":
                    found.add(f"{named.name}.{name}({argument}:)")
    tried = {
        name.partition(" of ")[0].partition(",")[0]
        for name in (*QUERIES, *MUTATIONS, *CHOSEN, REPLAYED, SOLD, LEFT_OUT, *ORDERS, *BLOCKS)
    } | SUBSCRIPTIONS
    assert found == tried


def answers_of(world: World, kind: str, ask: Callable[[str], str]) -> None:
    """Ask with each id; every answer must be that to an id nobody has, to the byte but for the id itself."""
    expected = ask(absent := ids.encode(kind, new_uuid())).replace(_written(absent), "ID")
    before = world.api.stored()
    for given in foreign_and_absent(world, kind):
        assert ask(given).replace(_written(given), "ID") == expected, given[:80]
    assert world.api.stored() == before


def _written(text: str) -> str:
    return _json(text)[1:-1]


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


@pytest.mark.parametrize("name", QUERIES)
def test_reading_what_is_somebody_elses_reads_nothing(world: World, name: str) -> None:
    kind, query = QUERIES[name]
    own = world.eve.answer(query % world.of_eve[kind])
    assert "errors" not in own
    answers_of(world, kind, lambda given: world.eve.post({"query": query % _written(given)}).text)
    field = name.partition(".")[2].partition("(")[0]
    assert world.eve.data(query % world.of_alice[kind]) == {field: None}


@pytest.mark.parametrize("name", MUTATIONS)
def test_changing_what_is_somebody_elses_changes_nothing(world: World, name: str) -> None:
    kind, mutation, rest = MUTATIONS[name]
    field = name.partition(".")[2].partition(",")[0]

    def ask(given: str) -> str:
        return _json(world.eve.mutate(mutation, **{field: given}, **rest))

    answers_of(world, kind, ask)
    theirs = world.of_alice[kind]
    what = field.removesuffix("Id")
    assert json.loads(ask(theirs))["userErrors"] == [
        {
            "__typename": "NotFoundError",
            "code": "NOT_FOUND",
            "message": f"{what} {theirs} does not exist",
            "path": ["input", field],
            "missingId": theirs,
        }
    ]


@pytest.mark.parametrize("name", CHOSEN)
@pytest.mark.parametrize("dry_run", [True, False])
def test_bulk_of_what_is_somebody_elses_is_none(world: World, name: str, dry_run: bool) -> None:
    kind, mutation = CHOSEN[name]
    field = name.partition(".")[2]

    def ask(given: str) -> str:
        chosen = [world.of_eve[kind], given] if field == "portfolioIds" else given
        wanted = {"filter": {field: chosen}, "dryRun": dry_run, "idempotencyKey": "the same for all"}
        return _json(world.eve.mutate(mutation, "bulk { id }", **wanted))

    answers_of(world, kind, ask)
    [error] = json.loads(ask(world.of_alice[kind]))["userErrors"]
    assert (error["code"], error["path"][:3]) == ("NOT_FOUND", ["input", "filter", field])


def test_replaying_what_is_somebody_elses_replays_nothing(world: World) -> None:
    def ask(given: str) -> str:
        both = [world.of_eve[ids.DELIVERY], given]
        return _json(world.eve.mutate("deliveriesReplay", "replayed", deliveryIds=both))

    answers_of(world, ids.DELIVERY, ask)
    [error] = json.loads(ask(world.of_alice[ids.DELIVERY]))["userErrors"]
    assert (error["code"], error["path"]) == ("NOT_FOUND", ["input", "deliveryIds", "1"])


def test_blocks_of_somebody_elses_bulk_are_none(world: World) -> None:
    query = '{ blocks(bulkId: "%s") { nodes { id } } }'
    own = world.eve.data(query % world.of_eve[ids.BULK])
    assert own == {"blocks": {"nodes": [{"id": world.of_eve[ids.BLOCK]}]}}
    answers_of(world, ids.BULK, lambda given: world.eve.post({"query": query % _written(given)}).text)
    assert world.eve.data(query % world.of_alice[ids.BULK]) == {"blocks": {"nodes": []}}


def test_recording_of_somebody_elses_block_records_nothing(world: World) -> None:
    def ask(given: str) -> str:
        both = [{"blockId": block_id, "done": True} for block_id in (world.of_eve[ids.BLOCK], given)]
        return _json(world.eve.mutate("blockFillsRecord", blocks=both, idempotencyKey="the same for all"))

    answers_of(world, ids.BLOCK, ask)
    [error] = json.loads(ask(world.of_alice[ids.BLOCK]))["userErrors"]
    assert (error["code"], error["path"]) == ("NOT_FOUND", ["input", "blocks", "1", "blockId"])


def first_lot(owner: Caller, portfolio_id: str) -> str:
    query = f'{{ portfolio(id: "{portfolio_id}") {{ holdings {{ nodes {{ lots {{ id }} }} }} }} }}'
    found: str = owner.data(query)["portfolio"]["holdings"]["nodes"][0]["lots"][0]["id"]
    return found


def test_selling_a_lot_that_is_somebody_elses_sells_nothing(world: World) -> None:
    rules = {"lotMethod": "SPEC_ID"}
    eve = world.api.caller("eve-sells")
    portfolio = portfolio_of(eve, policy=rules)["id"]
    own, theirs = first_lot(eve, portfolio), first_lot(world.alice, world.of_alice[ids.PORTFOLIO])

    def ask(given: str) -> str:
        wanted = {"portfolioId": portfolio, "sellLots": [own, given]}
        return _json(eve.mutate("rebalancePropose", "plan { id }", **wanted))

    answers_of(replace(world, of_alice=world.of_alice | {ids.LOT: theirs}), ids.LOT, ask)
    [error] = json.loads(ask(theirs))["userErrors"]
    assert (error["code"], error["path"], error["missingId"]) == ("NOT_FOUND", ["input", "sellLots", "1"], theirs)


def test_trade_of_somebody_elses_plan_is_not_left_out(world: World) -> None:
    own = world.of_eve[ids.PLAN]
    version = world.eve.data("query ($id: ID!) { rebalancePlan(id: $id) { version } }", id=own)["rebalancePlan"][
        "version"
    ]

    def ask(given: str) -> str:
        asked = {"planId": own, "expectedVersion": version, "idempotencyKey": "k", "excludeTradeIds": [given]}
        payload = world.eve.mutate("planApprove", "plan { id }", **asked)
        assert [error["code"] for error in payload["userErrors"]] == ["NOT_FOUND"]
        return json.dumps(payload, ensure_ascii=False)

    answers_of(world, ids.TRADE, ask)


def first_of(caller: Caller, query: str) -> Any:
    """Return the payload of the first event of a subscription."""
    with caller.api.socket() as socket:
        authorization = {"authorization": f"Bearer {caller.token}"}
        socket.send(json.dumps({"type": "connection_init", "payload": authorization}))
        socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": {"query": query}}))
        assert json.loads(socket.recv(timeout=DEADLINE_S))["type"] == "connection_ack"
        return json.loads(socket.recv(timeout=DEADLINE_S))["payload"]


@pytest.mark.parametrize(
    ("kind", "query"),
    [
        (ids.PLAN, 'subscription { planUpdated(planId: "%s") { __typename } }'),
        (ids.BULK, 'subscription { bulkUpdated(bulkId: "%s") { __typename } }'),
        (ids.PORTFOLIO, 'subscription { driftUpdated(portfolioId: "%s") { __typename } }'),
    ],
)
def test_following_what_is_somebody_elses_is_following_none(world: World, kind: str, query: str) -> None:
    [followed] = first_of(world.eve, query % world.of_eve[kind])["data"].values()
    assert followed
    answers_of(world, kind, lambda given: _json(first_of(world.eve, query % _written(given))))
    refused = first_of(world.eve, query % world.of_alice[kind])
    assert [error["extensions"] for error in refused["errors"]] == [{"code": "NOT_FOUND"}]


def test_following_alerts_shows_ones_own_only(world: World) -> None:
    query = f'subscription {{ driftAlerts(after: "{FIRST_CURSOR}"%s) {{ alert {{ portfolioId }} }} }}'
    everything = first_of(world.eve, query % "")
    assert everything["data"]["driftAlerts"]["alert"]["portfolioId"] == world.of_eve[ids.PORTFOLIO]
    for given in (world.of_alice[ids.PORTFOLIO], ids.encode(ids.PORTFOLIO, new_uuid()), "x"):
        # Asked for hers alone there would be none for ever, so Eve's own, which come later, are asked for with them.
        both = json.dumps([given, world.of_eve[ids.PORTFOLIO]])
        seen = first_of(world.eve, query % f", portfolioIds: {both}")
        assert seen["data"]["driftAlerts"]["alert"]["portfolioId"] == world.of_eve[ids.PORTFOLIO]


def test_lists_hold_ones_own_only(world: World) -> None:
    found = world.eve.data(
        "{ portfolios { nodes { id plans { nodes { id } } } } driftAlerts { nodes { portfolioId } } }"
    )
    own = world.of_eve[ids.PORTFOLIO]
    hooks = world.eve.data("{ webhooks { nodes { id } } emails { nodes { id deliveries { nodes { id } } } } }")
    assert hooks["webhooks"]["nodes"] == [{"id": world.of_eve[ids.WEBHOOK]}]
    told = [{"id": world.of_eve[ids.DELIVERY]}]
    assert hooks["emails"]["nodes"] == [{"id": world.of_eve[ids.EMAIL], "deliveries": {"nodes": told}}]
    assert [node["id"] for node in found["portfolios"]["nodes"]] == [own]
    assert [node["id"] for node in found["portfolios"]["nodes"][0]["plans"]["nodes"]] == [world.of_eve[ids.PLAN]]
    assert {node["portfolioId"] for node in found["driftAlerts"]["nodes"]} == {own}
    assert world.eve.data("{ bulks { nodes { id } } }")["bulks"]["nodes"] == [{"id": world.of_eve[ids.BULK]}]


def test_cursor_of_somebody_elses_list_opens_nothing(world: World) -> None:
    ask = '{ driftAlerts(after: "%s") { nodes { id } } }'
    theirs = world.alice.data("{ driftAlerts(first: 1) { pageInfo { endCursor } } }")["driftAlerts"]["pageInfo"]
    absent = urlsafe_b64encode(ids.encode(ids.ALERT, new_uuid()).encode()).decode().rstrip("=")
    assert len(world.alice.data(ask % theirs["endCursor"])["driftAlerts"]["nodes"]) == 1
    assert world.eve.data(ask % theirs["endCursor"]) == world.eve.data(ask % absent) == {"driftAlerts": {"nodes": []}}


# ---------------------------------------------------------------- REST

TARGETS: Final = {"entries": ENTRIES}
ROUTES: Final = {
    "GET targets": ("GET", ids.PORTFOLIO, "{theirs}/targets", None, {}),
    "POST targets": ("POST", ids.PORTFOLIO, "{theirs}/targets", TARGETS, {}),
    "POST targets that were read": ("POST", ids.PORTFOLIO, "{theirs}/targets", TARGETS, {"if_match": '"v1"'}),
    "POST targets, only checked": ("POST", ids.PORTFOLIO, "{theirs}/targets?dry_run=true", TARGETS, {}),
    "GET drift": ("GET", ids.PORTFOLIO, "{theirs}/drift", None, {}),
    "GET drift history": ("GET", ids.PORTFOLIO, "{theirs}/drift/history", None, {}),
    "GET drift history as CSV": ("GET", ids.PORTFOLIO, "{theirs}/drift/history?format=csv&detail=true", None, {}),
    "POST propose": ("POST", ids.PORTFOLIO, "{theirs}/propose", {"scope": "FULL"}, {}),
    "POST propose, once": ("POST", ids.PORTFOLIO, "{theirs}/propose", {}, {"idempotency_key": "the same for all"}),
    "POST propose, only shown": ("POST", ids.PORTFOLIO, "{theirs}/propose", {"dryRun": True}, {}),
    "GET plan of a portfolio": ("GET", ids.PORTFOLIO, "{theirs}/plans/{own_plan}", None, {}),
    "GET plan": ("GET", ids.PLAN, "{own}/plans/{theirs}", None, {}),
    "POST approve": (
        *("POST", ids.PLAN, "{own}/plans/{theirs}/approve", None),
        {"if_match": '"v2"', "idempotency_key": "the same for all"},
    ),
    "POST approve, without a version": ("POST", ids.PLAN, "{own}/plans/{theirs}/approve", None, {}),
    "POST reject": ("POST", ids.PLAN, "{own}/plans/{theirs}/reject", None, {}),
    "POST cancel": ("POST", ids.PLAN, "{own}/plans/{theirs}/cancel", None, {}),
}


@pytest.mark.parametrize("name", ROUTES)
def test_route_to_what_is_somebody_elses_leads_nowhere(world: World, name: str) -> None:
    method, kind, path, body, headers = ROUTES[name]
    known = {"own": world.of_eve[ids.PORTFOLIO], "own_plan": world.of_eve[ids.PLAN]}

    def ask(given: str) -> str:
        route = path.format(theirs=quote(given, safe=""), **known)
        response = world.eve.rest(method, route, body, **headers, x_request_id="one")
        assert (response.status_code, response.json()["code"]) == (404, "NOT_FOUND")
        assert "etag" not in response.headers
        return response.text

    answers_of(world, kind, ask)


def test_plan_is_found_under_its_own_portfolio_only(world: World) -> None:
    own, theirs = world.of_eve, world.of_alice
    found = world.eve.rest("GET", f"{own[ids.PORTFOLIO]}/plans/{own[ids.PLAN]}")
    assert (found.status_code, found.json()["id"]) == (200, own[ids.PLAN])
    lost = world.eve.rest("GET", f"{theirs[ids.PORTFOLIO]}/plans/{theirs[ids.PLAN]}")
    assert lost.status_code == 404


# ---------------------------------------------------------------- who acts


def test_tool_acts_in_the_owners_name_and_is_recorded(api: Api, owner: Caller) -> None:
    portfolio = portfolio_of(owner)["id"]
    subject = owner.data("{ viewer { subject } }")["viewer"]["subject"]
    tool = api.caller(subject, act="rebalance-bot")
    assert tool.data("{ viewer { subject actor } }")["viewer"] == {"subject": subject, "actor": "rebalance-bot"}
    tool.mutate("targetsSet", portfolioId=portfolio, entries=ENTRIES)
    plan = tool.mutate("rebalancePropose", "plan { requestedBy }", portfolioId=portfolio, scope="FULL")["plan"]
    assert plan == {"requestedBy": "rebalance-bot"}
    targets = owner.data(f'{{ portfolio(id: "{portfolio}") {{ targets {{ author version }} }} }}')["portfolio"][
        "targets"
    ]
    assert targets == {"author": "rebalance-bot", "version": 2}
    told = api.sql(
        "SELECT json_agg(kind || ' by ' || actor ORDER BY sequence) FROM rebalance_history h "
        "JOIN portfolios p ON p.id = h.portfolio_id JOIN owners o ON o.id = p.owner_id WHERE o.subject = $1",
        subject,
    )
    assert json.loads(told) == [
        f"PORTFOLIO_CREATED by {subject}",
        f"HOLDINGS_IMPORTED by {subject}",
        f"TARGETS_SET by {subject}",
        "TARGETS_SET by rebalance-bot",
        "PLAN_READY by rebalance-bot",
    ]


def test_tool_has_no_portfolios_of_its_own(api: Api, owner: Caller) -> None:
    portfolio_of(owner)
    subject = owner.data("{ viewer { subject } }")["viewer"]["subject"]
    own = api.caller("rebalance-bot")
    assert own.data("{ portfolios { nodes { id } } }")["portfolios"]["nodes"] == []
    tool = api.caller(subject, act="rebalance-bot")
    assert len(tool.data("{ portfolios { nodes { id } } }")["portfolios"]["nodes"]) == 1


def test_same_subject_of_another_issuer_is_another_owner(api: Api, endpoints: Endpoints, owner: Caller) -> None:
    portfolio = portfolio_of(owner)["id"]
    here = owner.data("{ viewer { id subject issuer } }")["viewer"]
    with running(endpoints, jwt_issuer="elsewhere") as other:
        namesake = other.caller(here["subject"])
        there = namesake.data("{ viewer { id subject issuer } }")["viewer"]
        assert (there["subject"], there["issuer"]) == (here["subject"], "elsewhere")
        assert there["id"] != here["id"]
        assert namesake.data(f'{{ portfolio(id: "{portfolio}") {{ id }} }}') == {"portfolio": None}
        assert namesake.data("{ portfolios { nodes { id } } }")["portfolios"]["nodes"] == []


def test_idempotency_keys_are_each_owners_own(api: Api, owner: Caller) -> None:
    stranger = api.caller("keeps-own-keys")
    create = "mutation ($input: PortfolioCreateInput!) { portfolioCreate(input: $input) { portfolio { id } } }"
    given = {"name": "Once", "idempotencyKey": "one-and-only"}
    made = [caller.data(create, input=given)["portfolioCreate"]["portfolio"] for caller in (owner, owner, stranger)]
    assert made[0] == made[1] != made[2]

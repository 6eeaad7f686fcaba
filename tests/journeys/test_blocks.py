"""Portfolios approved in one go: their orders are one block, which a person works, and each gets its exact share."""

from decimal import Decimal
from typing import Any, Final

import pytest

from app.actions import bulks
from app.core import ids
from app.core.bulks import BulkDraft, BulkFilter, BulkKind
from tests.support import Person, Steelyard, enter, until

BLOCKS: Final = """
query ($bulk: ID, $first: Int! = 20, $after: String) {
  blocks(bulkId: $bulk, first: $first, after: $after) {
    nodes {
      id clientId bulkId broker symbol side quantity status filledQuantity averagePrice { amount } fees { amount }
      placedAt endedAt message orders {
        nodes { orderId planId quantity filledQuantity fees { amount } }
      }
    }
    pageInfo { hasNextPage endCursor }
  }
}
"""
PLAN: Final = """
query ($id: ID!) {
  rebalancePlan(id: $id) {
    status orders { id status filledQuantity fees { amount } block { id status orders { nodes { planId } } } }
  }
}
"""


@pytest.fixture
def yvonne(steelyard: Steelyard) -> Person:
    return steelyard.person("yvonne")


async def portfolio(person: Person, symbol: str, units: str) -> str:
    """Create a portfolio of units at 150 in an account worked by hand, of which 40 percent are to be sold."""
    lots = [{"symbol": symbol, "quantity": units, "unitCost": "100", "acquiredOn": "2020-01-02"}]
    return await person.create(
        accounts=[{"lots": lots, "execution": "MANUAL"}],
        targets=[{"key": symbol, "percent": 60}, {"key": "CASH", "percent": 40}],
    )


async def approved(steelyard: Steelyard, person: Person, *portfolio_ids: str) -> tuple[str, list[str]]:
    """Propose for each, approve all in one bulk, and return the bulk and the plans."""
    plan_ids = []
    for portfolio_id in portfolio_ids:
        asked = {"portfolioId": portfolio_id, "scope": "FULL", "wait": "PT20S"}
        plan = (await person.done("rebalancePropose", "plan { id status }", **asked))["plan"]
        assert plan["status"] == "READY"
        plan_ids.append(plan["id"])
    async with steelyard.services() as services:
        context = await enter(services, person.subject)
        which = BulkFilter(portfolio_ids=tuple(portfolio_ids))
        bulk = await bulks.begin(context, BulkDraft(BulkKind.APPROVE, which), f"approve {portfolio_ids[0]}")
    return bulk.id, plan_ids


async def block_of(person: Person, bulk_id: str, status: str = "WORKING") -> dict[str, Any]:
    """Wait until there is one block of a bulk, in a state, and return it."""
    found: list[dict[str, Any]] = []

    async def there() -> bool:
        found[:] = (await person.ask(BLOCKS, bulk=bulk_id))["blocks"]["nodes"]
        return [block["status"] for block in found] == [status]

    await until(there)
    return found[0]


async def books(steelyard: Steelyard, portfolio_id: str) -> tuple[Decimal, Decimal, Decimal]:
    """Return units, their basis, and cash."""
    mine = ids.decode(ids.PORTFOLIO, portfolio_id)
    where = "JOIN accounts c ON c.id = x.account_id JOIN portfolios p ON p.id = c.portfolio_id WHERE p.public_id = $1"
    [(units, basis)] = await steelyard.rows(f"SELECT sum(x.quantity), sum(x.basis) FROM tax_lots x {where}", mine)
    [(cash,)] = await steelyard.rows(f"SELECT coalesce(sum(x.amount), 0) FROM account_cash x {where}", mine)
    return units, basis, cash


def fill(fill_id: str, units: str, price: str, fee: str) -> dict[str, str]:
    return {"fillId": fill_id, "quantity": units, "price": price, "fee": fee}


async def test_two_portfolios_are_one_block_recorded_by_hand_and_shared_out_exactly(
    steelyard: Steelyard, yvonne: Person
) -> None:
    await steelyard.operator.list_asset("BLK", "150", step="1", priceStep="0.01")
    small, large = await portfolio(yvonne, "BLK", "10"), await portfolio(yvonne, "BLK", "15")
    bulk_id, plan_ids = await approved(steelyard, yvonne, small, large)
    block = await block_of(yvonne, bulk_id)
    assert (block["symbol"], block["side"], block["quantity"], block["broker"]) == ("BLK", "SELL", "10", "MANUAL")
    assert (block["bulkId"], block["clientId"]) == (bulk_id, block["id"])
    assert sorted((one["planId"], one["quantity"]) for one in block["orders"]["nodes"]) == sorted(
        zip(plan_ids, ("4", "6"), strict=True)
    )

    pages = """
    query ($bulk: ID, $after: String) {
      blocks(bulkId: $bulk) {
        nodes {
          one: orders(first: 1) { nodes { planId } pageInfo { hasNextPage endCursor } }
          rest: orders(after: $after) { nodes { planId } pageInfo { hasNextPage } }
        }
      }
    }
    """
    [page] = (await yvonne.ask(pages, bulk=bulk_id))["blocks"]["nodes"]
    assert page["one"]["nodes"] == page["rest"]["nodes"][:1]
    assert (page["one"]["pageInfo"]["hasNextPage"], page["rest"]["pageInfo"]["hasNextPage"]) == (True, False)
    [more] = (await yvonne.ask(pages, bulk=bulk_id, after=page["one"]["pageInfo"]["endCursor"]))["blocks"]["nodes"]
    assert more["rest"]["nodes"] == page["rest"]["nodes"][1:] != []

    # Neither order can be recorded by itself: it is worked as a part of the block.
    plan = (await yvonne.ask(PLAN, id=plan_ids[0]))["rebalancePlan"]
    (order,) = plan["orders"]
    assert order["block"]["id"] == block["id"]
    assert len(order["block"]["orders"]["nodes"]) == 2
    told = {"orderId": order["id"], "fills": [fill("T-0", "1", "150", "0")]}
    refused = await yvonne.change(
        "orderFillsRecord", "plan { id }", planId=plan_ids[0], orders=[told], idempotencyKey=f"alone {order['id']}"
    )
    assert refused["userErrors"] == [
        {
            "__typename": "InvalidStateError",
            "code": "INVALID_STATE",
            "message": f"the order is in block {block['id']} with others; record the fills of that (blockFillsRecord)",
            "path": ["input", "orders", "0"],
        }
    ]

    fills = [fill("T-1", "5", "150", "0.50"), fill("T-2", "2", "151", "0.41")]
    first = {"blockId": block["id"], "fills": fills[:1]}
    for _ in range(2):
        await yvonne.done("blockFillsRecord", "blocks { id }", blocks=[first], idempotencyKey=f"1 {block['id']}")
    last = {"blockId": block["id"], "fills": fills, "done": True}
    await yvonne.done("blockFillsRecord", "blocks { id }", blocks=[last], idempotencyKey=f"2 {block['id']}")
    ended = await block_of(yvonne, bulk_id, "CANCELLED")
    assert (ended["filledQuantity"], ended["fees"]["amount"]) == ("7", "0.91")
    assert ended["averagePrice"]["amount"] == "150.285714285714285714"  # 1,052 for 7
    # 2 and 3 of the first fill. 2.8 and 4.2 are due of all 7: one of the second fill goes to the larger at once, the
    # other to the smaller at the end. A unit of the first costs 0.1, one of the second 0.205.
    shares = {one["planId"]: (one["filledQuantity"], one["fees"]["amount"]) for one in ended["orders"]["nodes"]}
    assert shares == {plan_ids[0]: ("3", "0.405"), plan_ids[1]: ("4", "0.505")}

    for plan_id, units, fees in ((plan_ids[0], "3", "0.405"), (plan_ids[1], "4", "0.505")):
        seen: dict[str, Any] = {}

        async def over(plan_id: str = plan_id, seen: dict[str, Any] = seen) -> bool:
            seen.update((await yvonne.ask(PLAN, id=plan_id))["rebalancePlan"])
            return bool(seen["status"] == "PARTIAL")

        await until(over)
        (order,) = seen["orders"]
        assert (order["status"], order["filledQuantity"], order["fees"]["amount"]) == ("CANCELLED", units, fees)
    # 2 x 150 + 151 and 3 x 150 + 151, less fees; lots at 100 a unit.
    assert await books(steelyard, small) == (Decimal(7), Decimal(700), Decimal("450.595"))
    assert await books(steelyard, large) == (Decimal(11), Decimal(1100), Decimal("600.495"))

    for portfolio_id in (small, large):
        lines = await steelyard.rows(
            "SELECT h.kind, h.actor FROM rebalance_history h JOIN portfolios p ON p.id = h.portfolio_id "
            "WHERE p.public_id = $1 AND h.subject = $2 ORDER BY h.sequence",
            *(ids.decode(ids.PORTFOLIO, portfolio_id), block["id"]),
        )
        assert lines == [("FILLS_RECORDED", "yvonne")] * 2
        trail = "query ($id: ID!) { portfolio(id: $id) { auditTrail { whole } } }"
        assert (await yvonne.ask(trail, id=portfolio_id))["portfolio"]["auditTrail"] == {"whole": True}


async def test_blocks_are_listed_page_by_page_and_only_to_their_owner(steelyard: Steelyard) -> None:
    zora = steelyard.person("zora")
    symbols = ("BLA", "BLB")
    bulk_ids = []
    for symbol in symbols:
        await steelyard.operator.list_asset(symbol, "150", step="1", priceStep="0.01")
        bulk_id, _ = await approved(steelyard, zora, await portfolio(zora, symbol, "10"))
        bulk_ids.append(bulk_id)
        block = await block_of(zora, bulk_id)
        assert (block["symbol"], block["quantity"], len(block["orders"]["nodes"])) == (symbol, "4", 1)
    page = (await zora.ask(BLOCKS, first=1))["blocks"]
    assert [one["symbol"] for one in page["nodes"]] == ["BLB"]
    assert page["pageInfo"]["hasNextPage"]
    rest = (await zora.ask(BLOCKS, first=5, after=page["pageInfo"]["endCursor"]))["blocks"]
    assert [one["symbol"] for one in rest["nodes"]] == ["BLA"]
    assert not rest["pageInfo"]["hasNextPage"]
    stranger = steelyard.person("stranger-of-blocks")
    for given in ({}, {"bulk": bulk_ids[0]}):
        assert (await stranger.ask(BLOCKS, **given))["blocks"]["nodes"] == []
    assert (await zora.ask(BLOCKS, bulk="bk_nonsense"))["blocks"]["nodes"] == []
    told = [{"blockId": rest["nodes"][0]["id"], "done": True}]
    for who, code in ((stranger, ["NOT_FOUND"]), (steelyard.operator, ["NOT_FOUND"]), (zora, [])):
        answer = await who.change("blockFillsRecord", "blocks { id }", blocks=told, idempotencyKey="mine")
        assert [error["code"] for error in answer["userErrors"]] == code

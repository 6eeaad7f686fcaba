"""`steelyard desk`, a child of the demo: it approves the plans of one portfolio and shows how they are worked.

It does what a person with a client would: over the API, at the version it has seen, once for each plan.
"""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing, suppress
from typing import Any, Final

from rich.console import Console

from app.terminal.client import Away, Client, one_line

LOOK_S: Final = 0.5

NEWEST: Final = "query ($id: ID!) { portfolio(id: $id) { name plans(first: 1) { nodes { id status version } } } }"
APPROVE: Final = """
mutation ($input: PlanApproveInput!) { planApprove(input: $input) { userErrors { message } } }
"""
UPDATES: Final = """
subscription ($id: ID!) {
  planUpdated(planId: $id) {
    status trades { id execution { style } }
    orders {
      id tradeId slice side quantity symbol limit { amount currency } status
      filledQuantity averagePrice { amount currency } message
    }
  }
}
"""


async def work(client: Client, portfolio_id: str, out: Console) -> None:
    """Approve whatever plan of a portfolio is ready, and show each until it is over; for ever."""
    while True:
        with suppress(Away):  # it is started again, as everything of the demo is
            await _look(client, portfolio_id, out)
        await asyncio.sleep(LOOK_S)


async def _look(client: Client, portfolio_id: str, out: Console) -> None:
    portfolio = (await client.ask(NEWEST, id=portfolio_id))["portfolio"]
    for plan in portfolio["plans"]["nodes"]:
        if plan["status"] == "READY":
            seen = {"planId": plan["id"], "expectedVersion": plan["version"], "idempotencyKey": plan["id"]}
            found = await client.ask(APPROVE, input=seen)
            for error in found["planApprove"]["userErrors"]:
                _say(out, portfolio["name"], error["message"])
        elif plan["status"] in ("APPROVED", "EXECUTING"):
            await _follow(client, plan["id"], portfolio["name"], out)


async def _follow(client: Client, plan_id: str, name: str, out: Console) -> None:
    """Show every change of a plan and of its orders, until it is over."""
    known: dict[str, str] = {}
    async with aclosing(client.follow(UPDATES, id=plan_id)) as answers:
        async for answer in answers:
            for key, line in _lines(answer["planUpdated"]):
                if known.get(key) != line:
                    known[key] = line
                    _say(out, name, line)


def _say(out: Console, name: str, line: str) -> None:
    out.print(one_line(f"plan      {name}  {line}"), highlight=False, soft_wrap=True)


def _lines(plan: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield a line for the plan and one for each of its orders that was sent, each with what it is about."""
    styles = {trade["id"]: trade["execution"]["style"] for trade in plan["trades"]}
    yield "", plan["status"]
    for order in plan["orders"]:
        if order["status"] != "PENDING":
            yield order["id"], _line(order, styles[order["tradeId"]])


def _line(order: dict[str, Any], style: str) -> str:
    limit, price = order["limit"], order["averagePrice"]
    parts = [
        f"{style} {order['slice']}: {order['side']} {order['quantity']} {order['symbol']}",
        *([f"limit {limit['amount']} {limit['currency']}"] if limit else []),
        order["status"],
        *([f"{order['filledQuantity']} at {price['amount']}"] if price else []),
        *([order["message"]] if order["message"] else []),
    ]
    return "  ".join(parts)

"""`steelyard listen`: alerts as they happen, one line each, through restarts of whatever is at the other end."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Any, Final

from rich.console import Console

from app.terminal.client import Away, Client, one_line

RETRY_S: Final = 0.5
RETRY_MAX_S: Final = 10.0

EVENTS: Final = """
subscription ($after: String) {
  driftAlerts(after: $after) {
    cursor kind
    alert { id portfolioId kind key severity status message raisedAt escalatedAt acknowledgedAt resolvedAt }
  }
}
"""
NOW: Final = "{ driftAlertsCursor }"
NAME: Final = "query ($id: ID!) { portfolio(id: $id) { name } }"
INSTANTS: Final = ("raisedAt", "escalatedAt", "acknowledgedAt", "resolvedAt")


async def listen(client: Client, after: str | None, *, as_json: bool, out: Console, err: Console) -> None:
    """Print events until cancelled, from now on without a cursor; none is missed or shown twice when it breaks."""
    names: dict[str, str] = {}
    async with aclosing(_events(client, after, err)) as events:
        async for event in events:
            if as_json:
                line = json.dumps(event)
            else:
                line = describe(event, await _name(client, event["alert"]["portfolioId"], names))
            out.print(line, highlight=False, soft_wrap=True)


async def _events(client: Client, after: str | None, err: Console) -> AsyncGenerator[dict[str, Any], None]:
    """Yield each event once; connect again with the last cursor whenever the stream ends.

    It has one before the first event: from then on nothing is missed.
    """
    wait_s = RETRY_S
    while True:
        try:
            after = after or (await client.ask(NOW))["driftAlertsCursor"]
            async with aclosing(client.follow(EVENTS, after=after)) as answers:
                async for answer in answers:
                    event = answer["driftAlerts"]
                    after, wait_s = event["cursor"], RETRY_S
                    yield event
            reason = "the stream ended"
        except Away as error:
            reason = str(error)
        told = f" from cursor {after}" if after else ""
        err.print(f"{reason}; connecting again{told}", highlight=False, soft_wrap=True)
        await asyncio.sleep(wait_s)
        wait_s = min(wait_s * 2, RETRY_MAX_S)


async def _name(client: Client, portfolio_id: str | None, names: dict[str, str]) -> str:
    """Return a portfolio's name, its id when it has none any more, and of an alert over all that it is."""
    if portfolio_id is None:
        return "all portfolios"
    if portfolio_id not in names:
        try:
            found = await client.ask(NAME, id=portfolio_id)
        except Away:
            return portfolio_id
        names[portfolio_id] = (found["portfolio"] or {}).get("name", portfolio_id)
    return names[portfolio_id]


def describe(event: dict[str, Any], name: str) -> str:
    """Return an event as one line: when, where, what, how urgent, and the sentence for a person."""
    alert = event["alert"]
    at = datetime.fromisoformat(max(alert[instant] for instant in INSTANTS if alert[instant]))
    parts = (f"{at:%Y-%m-%d %H:%M:%S}", name, event["kind"], alert["severity"], alert["message"])
    return one_line("  ".join(parts))

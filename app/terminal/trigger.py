"""`steelyard trigger EVENT`: a sample of an event to each of the caller's webhooks that takes it."""

from typing import Any, Final

from rich.console import Console

from app.core.errors import InvalidInput, SteelyardError
from app.terminal.client import Client, one_line

EVENTS: Final = (
    *("ALERT_RAISED", "ALERT_ESCALATED", "ALERT_REMINDED", "ALERT_RESOLVED", "ALERT_DIGEST"),
    *("PLAN_READY", "TARGETS_CHANGED"),
)

WEBHOOKS: Final = "{ webhooks(first: 100) { nodes { id url events enabled } } }"
TEST: Final = """
mutation ($input: WebhookTestInput!) {
  webhookTest(input: $input) { statusCode latencyMs error userErrors { code message path } }
}
"""


async def trigger(client: Client, event: str, out: Console) -> bool:
    """Send the samples, print one line for each, and return whether all arrived."""
    if event not in EVENTS:
        raise InvalidInput(f"event is {event!r}; it must be one of {', '.join(EVENTS)}", ["event"])
    hooks = (await client.ask(WEBHOOKS))["webhooks"]["nodes"]
    taking = [hook for hook in hooks if hook["enabled"] and event in hook["events"]]
    if not taking:
        raise SteelyardError(f"none of your {len(hooks)} webhooks takes {event}; create one with webhookCreate")
    arrived = [await _send(client, hook, event, out) for hook in taking]
    return all(arrived)


async def _send(client: Client, hook: dict[str, Any], event: str, out: Console) -> bool:
    given = {"webhookId": hook["id"], "event": event}
    answer = (await client.ask(TEST, input=given))["webhookTest"]
    wrong = answer["error"] or "; ".join(error["message"] for error in answer["userErrors"])
    said = [] if answer["statusCode"] is None else [str(answer["statusCode"])]
    said += [] if answer["latencyMs"] is None else [f"{answer['latencyMs']} ms"]
    line = "  ".join(
        ["failed" if wrong else "arrived", event, hook["id"], hook["url"], *said, *([wrong] if wrong else [])]
    )
    out.print(one_line(line), highlight=False, soft_wrap=True)
    return not wrong

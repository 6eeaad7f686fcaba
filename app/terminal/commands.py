"""The commands that follow, try and receive what Steelyard sends. They reach it from outside, with a token."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from app.terminal.client import Client

app = typer.Typer()
out = Console(markup=False, emoji=False)
err = Console(stderr=True, markup=False, emoji=False)

Url = Annotated[str, typer.Option("--url", help="Address of the API.")]
Token = Annotated[str, typer.Option("--token", envvar="STEELYARD_TOKEN", help="Token of the caller.")]
LOCAL = "http://127.0.0.1:8000"


@app.command()
def listen(
    url: Url = LOCAL,
    token: Token = "",
    after: Annotated[str | None, typer.Option("--after", help="Cursor of the last event that was seen.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print each event as JSON, its cursor included.")] = False,
) -> None:
    """Show alerts as they happen, one line each, through restarts. Ctrl-C stops it."""
    from app.terminal import listener

    _call(url, token, lambda client: listener.listen(client, after, as_json=as_json, out=out, err=err))


@app.command()
def trigger(
    event: Annotated[str, typer.Argument(help="What to send a sample of, e.g. ALERT_RAISED.")],
    url: Url = LOCAL,
    token: Token = "",
) -> None:
    """Send a sample of an event to each of your webhooks that takes it."""
    from app.terminal import trigger as samples

    if not _call(url, token, lambda client: samples.trigger(client, event, out)):
        sys.exit(1)


@app.command()
def receive(
    port: Annotated[
        int, typer.Option("--port", min=0, max=65_535, help="Port on loopback; 0 takes a free one.")
    ] = 8090,
    secret: Annotated[
        str,
        typer.Option(
            "--secret",
            envvar="STEELYARD_WEBHOOK_SECRET",
            help="Secrets of the webhooks, whsec_... or label=whsec_..., with commas between them.",
        ),
    ] = "",
) -> None:
    """Receive webhooks on this machine, verify them and print one line each. Ctrl-C stops it."""
    from app.terminal import receiver

    with suppress(KeyboardInterrupt):
        receiver.receive(receiver.read_secrets(secret), port, out)


@app.command(hidden=True)
def desk(portfolio: str, url: Url = LOCAL, token: Token = "") -> None:
    """Approve the plans of a portfolio and show how they are worked; a child process of `demo`."""
    from app.terminal import desk

    _call(url, token, lambda client: desk.work(client, portfolio, out))


def _call(url: str, token: str, work: Callable[["Client"], Awaitable[Any]]) -> Any:
    """Run work with a client of the API; Ctrl-C is a good end."""
    from app.core.errors import InvalidInput
    from app.terminal.client import Away, Client

    async def run() -> Any:
        async with Client(url, token) as client:
            return await work(client)

    try:
        return asyncio.run(run())
    except KeyboardInterrupt:
        sys.exit(0)
    except Away as error:
        raise InvalidInput(f"{error}; is it running?", ["url"]) from None

"""Steelyard keeps investment portfolios on target: drift, alerts, plans."""

import asyncio
import io
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError
from rich.console import Console

from app import settings as settings_module
from app.core import scalars
from app.core.errors import InvalidInput, Required, SteelyardError
from app.settings import Settings
from app.terminal import commands, offline

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(commands.app)
app.add_typer(offline.app)
# What people called their things is shown as it is, never read as markup.
out = Console(markup=False, emoji=False)
err = Console(stderr=True, markup=False, emoji=False)

FAILED = 1
OPERATORS = "steelyard:operator"
"""In whose name the command line acts for everybody."""

T = TypeVar("T")

OwnerName = Annotated[str, typer.Option("--owner", help="Owner as ISSUER:SUBJECT, as the tokens name them.")]
PortfolioId = Annotated[str | None, typer.Option("--portfolio", help="Global id of the portfolio, pf_...")]
Port = Annotated[int | None, typer.Option("--port", min=1, max=65_535, help="Port of the API.")]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Folder of the embedded servers' data.")]


@app.command()
def demo(port: Port = None, data_dir: DataDir = None) -> None:
    """Start everything on demo data: real prices replayed by a fast clock. Ctrl-C stops it."""
    from app import running

    running.demo(_settings(port, data_dir, demo=True, log_format="console", log_level="WARNING"), out)


@app.command()
def up(port: Port = None, data_dir: DataDir = None) -> None:
    """Start the API and the workers, on the configured servers or on embedded ones. Ctrl-C stops them."""
    from app import running

    running.up(_settings(port, data_dir), out)


@app.command()
def serve(port: Port = None) -> None:
    """Run the API alone, on the configured servers."""
    from app import running

    running.serve(_settings(port, None))


@app.command()
def worker(
    queue: Annotated[str, typer.Option("--queue", help="Which jobs to work on: light, heavy or all.")] = "all",
) -> None:
    """Run a worker alone, on the configured servers."""
    from app import running

    if queue not in ("light", "heavy", "all"):
        raise InvalidInput(f"queue is {queue!r}; it must be light, heavy or all", ["queue"])
    running.worker(settings_module.load(), queue)


@app.command(hidden=True)
def replay_prices(data: Path) -> None:
    """Replay the demo's prices; a child process of `demo`."""
    from app.actions.demo import replay as run

    with_services(lambda services: run(services, data))


@app.command()
def migrate() -> None:
    """Bring the database's schema up to date, as the role that owns the tables."""
    from app.store import db

    settings = settings_module.load()
    url = settings.migrate_database_url or settings.database_url
    if not url:
        raise Required("DATABASE_URL is not set; set it, or STEELYARD_MIGRATE_DATABASE_URL", ["DATABASE_URL"])
    applied = asyncio.run(db.migrate(url))
    out.print(f"applied {', '.join(applied)}" if applied else "nothing to do; the schema is up to date")


@app.command()
def token(
    sub: Annotated[str, typer.Option("--sub", help="Subject: whose portfolios the token opens.")],
    role: Annotated[str | None, typer.Option("--role", help="Role, e.g. operator.")] = None,
    act: Annotated[str | None, typer.Option("--act", help="Tool that acts for the subject.")] = None,
    ttl: Annotated[int, typer.Option("--ttl", help="Life of the token in seconds.")] = 3600,
) -> None:
    """Print a token signed with STEELYARD_JWT_SECRET."""
    from app.api.auth import issue
    from app.context import wall_now

    print(issue(settings_module.load(), subject=sub, now=wall_now(), ttl_s=ttl, role=role, act=act))


@app.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(help="A portfolio file (JSON), or CSV of lots, prices or transactions.")],
    owner: OwnerName,
    portfolio: PortfolioId = None,
    with_assets: Annotated[
        bool, typer.Option("--with-assets", help="Write the file's assets and prices too; they are everybody's.")
    ] = False,
    history_from: Annotated[
        str | None,
        typer.Option("--history-from", help="Day from which a CSV of transactions has all those of its accounts."),
    ] = None,
) -> None:
    """Import a portfolio file as a new portfolio, or CSV into one that is there."""
    from app.actions import exchange

    day = None if history_from is None else scalars.day(history_from, "history-from")

    with err.status("Importing ...") as status:

        def tell(done: str) -> None:
            status.update(f"Importing {done} ...")

        def work(context: Any) -> Awaitable[str]:
            if file.suffix.lower() == ".csv":
                return exchange.import_csv(
                    context, file, portfolio, with_assets=with_assets, history_from=day, tell=tell
                )
            if day:
                raise InvalidInput("a portfolio file says itself from when on it knows the past", ["history-from"])
            return exchange.import_file(context, file, with_assets=with_assets, tell=tell)

        done = _as_owner(owner, work)
    print(done)


@app.command()
def export(
    owner: OwnerName,
    portfolio: PortfolioId = None,
    csv: Annotated[
        str | None, typer.Option("--csv", help="Print only the lots, prices or transactions, as CSV.")
    ] = None,
) -> None:
    """Print a portfolio as a portfolio file, or a part of it as CSV."""
    from app.actions import exchange

    if portfolio is None:
        raise Required("which portfolio? give --portfolio", ["portfolio"])
    if csv not in (None, "lots", "prices", "transactions"):
        raise InvalidInput(f"csv is {csv!r}; it must be lots, prices or transactions", ["csv"])
    document = _as_owner(owner, lambda context: exchange.export_file(context, portfolio))
    print(exchange.as_csv(document, csv) if csv else json.dumps(document, indent=2), end="" if csv else "\n")


@app.command()
def letters(
    owner: OwnerName,
    replay: Annotated[list[str] | None, typer.Option("--replay", help="Send this delivery again; repeatable.")] = None,
    replay_all: Annotated[bool, typer.Option("--replay-all", help="Send all of them again.")] = False,
) -> None:
    """List an owner's dead deliveries to webhooks and mailboxes, newest first, or send them again."""
    from app.actions import hooks

    if replay and replay_all:
        raise InvalidInput("give --replay or --replay-all, not both", ["replay"])
    if replay_all:
        print(f"{_as_owner(owner, hooks.replay_all)} due again")
    elif replay:
        print(f"{_as_owner(owner, lambda context: hooks.replay(context, replay, None))} due again")
    else:
        for letter in _as_owner(owner, hooks.letters):
            print(hooks.written(letter))


@app.command()
def verify(
    owner: Annotated[
        str | None, typer.Option("--owner", help="Only this owner's, as ISSUER:SUBJECT; everybody's without it.")
    ] = None,
    portfolio: PortfolioId = None,
) -> None:
    """Go through the history of every portfolio and say whether each chain of lines is whole; 1 when one is not."""
    from app.actions import audit

    with err.status("Verifying ...") as status:

        def tell(done: audit.Verified) -> None:
            status.update(f"Verifying ... {done.chains} histories so far")

        def work(services: Any, owner_id: int | None = None) -> Awaitable[audit.Verified]:
            return audit.scan_verify(services, owner=owner_id, portfolio_id=portfolio, tell=tell)

        if owner is None:
            done = with_services(work)
        else:
            done = _as_owner(owner, lambda context: work(context, context.owner_id))
    for portfolio_id, place in done.broken.items():
        print(f"{portfolio_id}: line {place} is missing, edited or out of place")
    print(f"{done.chains - len(done.broken)} of {done.chains} histories are whole, {done.lines} lines")
    if done.broken:
        sys.exit(FAILED)


@app.command()
def halt(
    reason: Annotated[str, typer.Option("--reason", help="Why, in words that owners may read.")],
    owner: Annotated[str | None, typer.Option("--owner", help="Owner of one portfolio, as ISSUER:SUBJECT.")] = None,
    portfolio: PortfolioId = None,
) -> None:
    """Halt trading for all, or of one owner's portfolio: orders that work are cancelled, and none is sent."""
    from app.actions import halts

    if _names_one(owner, portfolio):
        found = _as_owner(str(owner), lambda context: halts.halt(context, str(portfolio), reason))
        print(f"{found.row.public_id} is halted")
        return
    halted = _as_owner(OPERATORS, lambda context: halts.halt_all(context, reason))
    print(f"trading is halted by {halted.halted_by}: {halted.reason}")


@app.command()
def resume(
    owner: Annotated[str | None, typer.Option("--owner", help="Owner of one portfolio, as ISSUER:SUBJECT.")] = None,
    portfolio: PortfolioId = None,
) -> None:
    """End the halt for all, or of one owner's portfolio: what waited is sent."""
    from app.actions import halts

    if _names_one(owner, portfolio):
        found = _as_owner(str(owner), lambda context: halts.resume(context, str(portfolio)))
        print(f"{found.row.public_id} may trade")
        return
    _as_owner(OPERATORS, halts.resume_all)
    print("trading goes on, but for portfolios that are halted by themselves")


def _names_one(owner: str | None, portfolio: str | None) -> bool:
    """Say whether one portfolio is meant, and not all of them."""
    if (owner is None) is not (portfolio is None):
        raise Required("give --owner and --portfolio for one portfolio, neither for all", ["portfolio"])
    return owner is not None


@app.command()
def replay(
    plan: Annotated[str, typer.Argument(help="Global id of the plan, pl_...")],
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Make a stored plan again from what it was made from; 1 when it is another one, 2 when that cannot be told."""
    from app.actions import replaying

    with err.status("Planning again ..."):
        found = with_services(lambda services: replaying.scan_replay(services, plan))
    if as_json:
        print(json.dumps(replaying.document(found), indent=2))
    else:
        print(*replaying.lines(found), sep="\n")
    sys.exit(replaying.EXIT[found.verdict])


@app.command()
def schema(
    check: Annotated[bool, typer.Option("--check", help="Fail when schema.graphql is not current.")] = False,
) -> None:
    """Write schema.graphql, or check that it is current."""
    from app.api.schema import printed

    path = Path("schema.graphql")
    current = printed()
    if not check:
        path.write_text(current)
        out.print(f"{path} written")
    elif not path.exists() or path.read_text() != current:
        raise InvalidInput("schema.graphql is not current; run `steelyard schema` and look at the difference")
    else:
        out.print("schema.graphql is current")


@app.command()
def doctor() -> None:
    """Check the settings and the servers, and say what is wrong."""
    from app import running

    if not running.doctor(settings_module.load(), out):
        sys.exit(FAILED)


def _settings(port: int | None, data_dir: Path | None, **others: object) -> Settings:
    given = {"port": port, "data_dir": data_dir, **others}
    return settings_module.load().model_copy(update={name: value for name, value in given.items() if value is not None})


def with_services(work: Callable[[Any], Awaitable[T]]) -> T:
    """Run work with connections to the configured servers, or to those `up` and `demo` have in the data folder."""
    from app import logs
    from app.context import on_thread, open_services
    from app.embedded import Servers

    settings = settings_module.load()
    logs.configure(settings)

    async def run(settings: Settings) -> T:
        async with open_services(settings, on_thread) as services:
            return await work(services)

    if settings.database_url or settings.redis_url or not settings.data_dir.exists():
        return asyncio.run(run(settings))
    with Servers(settings) as servers:
        urls = {"database_url": servers.endpoints.database_url, "redis_url": servers.endpoints.redis_url}
        return asyncio.run(run(settings.model_copy(update=urls)))


def _as_owner(name: str, work: Callable[[Any], Awaitable[T]]) -> T:
    """Run work as an owner, with the rights of whoever can reach the database anyway."""
    from app.actions import access
    from app.context import OPERATOR

    issuer, found, subject = name.rpartition(":")
    if not found or not issuer or not subject or not name.isprintable():
        raise InvalidInput(f"owner is {name!r}; it must be ISSUER:SUBJECT, e.g. steelyard:alice", ["owner"])

    async def run(services: Any) -> T:
        roles = frozenset({OPERATOR})
        return await work(await access.enter(services, issuer=issuer, subject=subject, tool="cli", roles=roles))

    return with_services(run)


def main() -> None:
    """Run a command; expected failures end in one sentence and exit code 1."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names may have letters that the terminal has not
    try:
        app(prog_name="steelyard")
    except SteelyardError as error:
        where = f"{'.'.join(error.path)}: "
        _fail(error.message if error.message.startswith(where[:-2]) else where + error.message)
    except ValidationError as error:
        _fail(settings_module.explain(error))
    except (SettingsError, OSError) as error:
        _fail(str(error))
    except Exception as error:
        if type(error).__name__ != "StoreUnavailable":
            raise
        _fail(f"{error}; check DATABASE_URL")


def _fail(message: str) -> NoReturn:
    err.print(f"error: {' '.join(message.splitlines())}", highlight=False, soft_wrap=True)
    sys.exit(FAILED)


if __name__ == "__main__":
    main()

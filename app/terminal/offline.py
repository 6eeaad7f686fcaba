"""The commands that answer from a file: no server, no clock but the file's own."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer()
# What people called their things is shown as it is, never read as markup.
out = Console(markup=False, emoji=False)
err = Console(stderr=True, markup=False, emoji=False)

File = Annotated[Path, typer.Argument(help="A portfolio file (JSON); docs/portfolio-file.md describes it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Answer JSON instead of a table.")]
Symbols = list[str] | None


@app.command()
def drift(file: File, as_json: AsJson = False) -> None:
    """Measure the drift of a portfolio file, offline: no server, no clock but the file's asOf."""
    from app.actions import files
    from app.context import wall_now
    from app.core.export import render_drift
    from app.terminal.tables import print_drift

    answer = render_drift(files.measure(file, wall_now()))
    if as_json:
        print(json.dumps(answer, indent=2))
    else:
        print_drift(answer, out)


@app.command()
def propose(
    file: File,
    scope: Annotated[
        str, typer.Option("--scope", help="FULL, BREACHED_ONLY, CASH_FLOW, RAISE_CASH or HARVEST.")
    ] = "BREACHED_ONLY",
    cash_flow: Annotated[
        str, typer.Option("--cash-flow", help="Cash that comes in, or with a minus is taken out; base currency.")
    ] = "0",
    exclude: Annotated[Symbols, typer.Option("--exclude", help="Leave this symbol alone; repeatable.")] = None,
    no_buy: Annotated[Symbols, typer.Option("--no-buy", help="Do not buy this symbol; repeatable.")] = None,
    no_sell: Annotated[Symbols, typer.Option("--no-sell", help="Do not sell this symbol; repeatable.")] = None,
    seconds: Annotated[
        float, typer.Option("--time-limit", min=0.01, help="Longest search in seconds; then the best so far is it.")
    ] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Plan trades for a portfolio file, offline: what to sell and buy, what it costs, and why."""
    from app.actions import files, making
    from app.context import wall_now
    from app.core import assemble, scalars
    from app.core.export_plan import render_plan
    from app.core.optimize.allocate import PlanScope
    from app.core.plan import PlanRequest
    from app.terminal.tables import print_plan

    request = PlanRequest(
        scalars.member(PlanScope, scope, "scope"),
        scalars.money(cash_flow, "cashFlow", signed=True),
        *(tuple(symbols or ()) for symbols in (exclude, no_buy, no_sell)),
    )
    snapshot = assemble.planned_from(files.read_portfolio(file, wall_now()))
    with err.status("Planning ...") as status:

        def watch(nodes: int, gap: float) -> bool:
            status.update(f"Planning: {nodes:,} cases looked at, gap at most {gap:.1e} of the value ...")
            return False

        plan = making.search(snapshot, request, seconds, watch=watch).plan
    answer = render_plan(plan, snapshot.portfolio)
    if as_json:
        print(json.dumps(answer, indent=2))
    else:
        print_plan(answer, out)


@app.command()
def ledger(
    file: Annotated[Path, typer.Argument(help="CSV of purchases and sales; docs/tax.md describes it.")],
    method: Annotated[
        str, typer.Option("--method", help="Lots of sales that name none: FIFO, LIFO, HIFO, MIN_TAX or SPEC_ID.")
    ] = "FIFO",
    short_rate: Annotated[
        str, typer.Option("--short-rate", help="Tax on short-term gains, percent; for MIN_TAX.")
    ] = "0",
    long_rate: Annotated[str, typer.Option("--long-rate", help="Tax on long-term gains, percent; for MIN_TAX.")] = "0",
    as_json: AsJson = False,
) -> None:
    """Settle purchases and sales offline: which lots were sold, gains, wash sales, and the lots that are left."""
    from app.actions import ledger as ledgers
    from app.core import ledger_file, scalars
    from app.core.ledger import LotChoice
    from app.core.policy import LotMethod
    from app.terminal import tables

    rates = [scalars.percent(short_rate, "short-rate"), scalars.percent(long_rate, "long-rate")]
    settled = ledgers.settle(file, LotChoice(scalars.member(LotMethod, method, "method"), *rates))
    answer = ledger_file.render(settled)
    if as_json:
        print(json.dumps(answer, indent=2))
    else:
        tables.print_ledger(answer, ledger_file.years(settled), out)

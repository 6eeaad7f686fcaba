"""Answers as tables for a person: two decimals. `--json` has all of them."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from app.core.money import HUNDRED, ROUNDED, ZERO, plain_fraction, round_half_even

MONEY: Final = ("gain", "disallowed", "unitCost")


def print_drift(answer: dict[str, Any], out: Console) -> None:
    """Print where each sleeve stands."""
    table = _table("sleeve", "target", "actual", "drift", "band", "status", "value", "to target", right="12367")
    for entry in answer["entries"]:
        sign = "" if entry["drift"].startswith("-") or entry["drift"] == "0" else "+"
        name = entry["key"] if entry["targeted"] else f"{entry['key']} (no target)"
        band = f"{_short(entry['lower'])}–{_short(entry['upper'])}"
        weights = [_short(entry["target"]), _short(entry["actual"]), sign + _short(entry["drift"]), band]
        table.add_row(name, *weights, entry["status"], _short(entry["value"]), _short(entry["toTarget"]))
    if answer["entries"]:
        out.print(table)
    value = "" if answer["value"] is None else f": value {answer['value']}"
    largest = "" if answer["maxAbsDrift"] is None else f", largest drift {answer['maxAbsDrift']} points"
    out.print(f"{answer['status']}{value}{largest}")
    for reason in ("missing", "stale"):
        if answer[reason]:
            out.print(f"{reason} prices: {', '.join(answer[reason])}")


def print_plan(answer: dict[str, Any], out: Console) -> None:
    """Print what to trade and why, what was left out, where it leads, and what it costs."""
    if answer["trades"]:
        table = _table("trade", "units", "symbol", "account", "price", "value", "costs", "reason", right="1456")
        for trade in answer["trades"]:
            money = (_short(trade["price"]), _short(trade["value"]), _short(trade["costs"]["total"]))
            table.add_row(trade["side"], trade["quantity"], trade["symbol"], trade["account"], *money, trade["reason"])
        out.print(table)
    for trade in answer["trades"]:
        out.print(f"{trade['side']} {trade['symbol']}: {trade['explanation']}")
    _print_orders(answer, out)
    for title, field in (("Left out", "skipped"), ("Advice", "advice")):
        if answer[field]:
            out.print(f"\n{title}")
            for item in answer[field]:
                out.print(f"- {item.get('explanation') or item['text']}")
    _print_weights(answer, out)
    _print_totals(answer, out)
    for warning in answer["warnings"]:
        out.print(f"warning: {warning}")


def _print_orders(answer: dict[str, Any], out: Console) -> None:
    """Print how each trade is worked, and why."""
    table = _table("trade", "symbol", "order", "why", right="")
    for trade in answer["trades"]:
        execution = trade["execution"]
        number = {"LIMIT": execution.get("limitPrice"), "TWAP": f"x {execution.get('slices')}"}.get(execution["style"])
        order = f"{execution['style']} {number}" if number else execution["style"]
        table.add_row(trade["side"], trade["symbol"], order, execution["rationale"])
    if answer["trades"]:
        out.print()
        out.print(table)


def print_ledger(answer: dict[str, Any], years: Iterable[Any], out: Console) -> None:
    """Print sales, open lots and the sums of each year for a person: two decimals. `--json` has all of them."""
    sales = ("date", "account", "symbol", "quantity", "gain", "term", "disallowed", "state")
    lots = ("acquiredOn", "account", "symbol", "quantity", "unitCost", "holdingFrom")
    for name, columns in (("sales", sales), ("lots", lots)):
        table = Table(
            *columns, box=SIMPLE_HEAD, title=name, title_justify="left", title_style="bold", padding=(0, 1, 0, 0)
        )
        table.show_edge = table.pad_edge = False
        for column in table.columns:
            column.overflow = "fold"
            column.no_wrap = column.header != "account"
            column.justify = "right" if column.header in ("quantity", *MONEY) else "left"
        for item in answer[name]:
            table.add_row(*(_short(item[key]) if key in MONEY else item[key] for key in columns))
        if answer[name]:
            out.print(table)
    for year in years:
        short, long, disallowed, permanent = (
            _short(plain_fraction(amount)) for amount in (year.short, year.long, year.disallowed, year.permanent)
        )
        lost = f", {permanent} of it for good" if year.permanent else ""
        out.print(
            f"{year.year}: short-term {short}, long-term {long}; {disallowed} of losses disallowed{lost}",
            soft_wrap=True,
        )
    out.print("Estimates, not tax advice.")


def _print_weights(answer: dict[str, Any], out: Console) -> None:
    reached = {entry["key"]: entry for entry in answer["after"]["entries"]}
    table = _table("sleeve", "target", "before", "after", "band", "status after", right="123")
    for entry in answer["before"]["entries"]:
        after = reached.get(entry["key"])
        band = f"{_short(entry['lower'])}–{_short(entry['upper'])}"
        then = (_short(after["actual"]), band, after["status"]) if after else ("0", band, "WITHIN")
        table.add_row(entry["key"], _short(entry["target"]), _short(entry["actual"]), *then)
    if answer["before"]["entries"]:
        out.print()
        out.print(table)


def _print_totals(answer: dict[str, Any], out: Console) -> None:
    summary = answer["summary"]
    turnover = "" if summary["turnover"] is None else f", turnover {_short(summary['turnover'])} %"
    out.print(
        f"{answer['status']}: {summary['trades']} trades, sold {_short(summary['sold'])}, bought "
        f"{_short(summary['bought'])}{turnover}, costs {_short(summary['costs']['total'])}, estimated tax "
        f"{_short(summary['tax']['estimatedTax'])} {answer['baseCurrency']}"
    )
    if summary["savedAgainstNaive"] is not None:
        out.print(f"saved against selling and buying straight to target: {_short(summary['savedAgainstNaive'])}")
    if answer["proof"] is not None:
        gap = (Decimal(answer["gap"]) * HUNDRED).normalize(ROUNDED)
        out.print(
            f"{answer['proof']}: objective {_short(answer['objective'])}, doing nothing {_short(answer['hold'])}, "
            f"gap {gap:f} % of the value, {answer['nodes']} cases looked at by {answer['engine']}"
        )


def _table(*names: str, right: str) -> Table:
    table = Table(*names, box=SIMPLE_HEAD)
    table.show_edge = table.pad_edge = False
    for place, column in enumerate(table.columns):
        column.overflow = "fold"  # a number is never cut
        column.justify = "right" if str(place) in right else "left"
    return table


def _short(number: str) -> str:
    text = f"{round_half_even(Decimal(number), 2) or ZERO:,f}"
    return text.removesuffix(".00")

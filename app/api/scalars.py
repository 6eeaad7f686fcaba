"""The GraphQL scalars: one gate in, one formatter out, both from core.scalars and core.money."""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NewType

import strawberry
from graphql import GraphQLError, IntValueNode, StringValueNode, TokenKind, ValueNode, print_ast
from strawberry.types.scalar import ScalarDefinition

from app.api import enums  # noqa: F401  (core's enumerations must be described before a type names them)
from app.core import scalars
from app.core.errors import InvalidInput, SteelyardError
from app.core.money import MONEY_LIMIT, PERCENT_PLACES, PRICE_PLACES, ZERO, parse, plain

Percent = NewType("Percent", Decimal)
CurrencyCode = NewType("CurrencyCode", str)


class Duration(int):
    """Seconds; a class, so that an answer can tell them from other numbers."""


def _guarded(read: Callable[[object], Any]) -> Callable[[object], Any]:
    """Turn a refusal of core into an error of the request."""

    def parse_value(value: object) -> Any:
        try:
            return read(value)
        except SteelyardError as error:
            raise GraphQLError(error.message) from None

    return parse_value


def _literal(read: Callable[[object], Any], *, numbers: bool) -> Callable[[ValueNode, Any], Any]:
    """Read a literal of the document: strings always, integers where numbers are meant, floats never."""

    def parse_literal(node: ValueNode, _variables: Any = None) -> Any:
        try:
            if isinstance(node, StringValueNode) or (numbers and isinstance(node, IntValueNode)):
                return read(node.value)
            wanted = "a string or an integer" if numbers else "a string"
            raise InvalidInput(f"expected {wanted}, not {print_ast(node)[:40]}")
        except SteelyardError as error:
            raise GraphQLError(_name_of(node) + error.message, node) from None

    return parse_literal


def _name_of(node: ValueNode) -> str:
    """Return `name: ` of the argument or field that a literal is given for; a literal in a list has none."""
    before = node.loc and node.loc.start_token.prev
    if before and before.prev and before.kind is TokenKind.COLON:
        return f"{before.prev.value}: "
    return ""


def _scalar(
    name: str,
    description: str,
    read: Callable[[object], Any],
    write: Callable[[Any], Any],
    *,
    numbers: bool = False,
    url: str | None = None,
) -> ScalarDefinition:
    return strawberry.scalar(
        name=name,
        description=description,
        specified_by_url=url,
        serialize=write,
        parse_value=_guarded(read),
        parse_literal=_literal(read, numbers=numbers),
    )


def _decimal(value: object) -> Decimal:
    return parse(value, places=PRICE_PLACES, limit=MONEY_LIMIT, what="Decimal")


def _percent(value: object) -> Decimal:
    number = parse(value, places=PERCENT_PLACES, minimum=ZERO, what="Percent")
    return scalars.percent(number, "Percent")


SCALARS: dict[object, ScalarDefinition] = {
    Decimal: _scalar(
        "Decimal",
        'Exact decimal number in plain notation, e.g. "1250.5" or "-0.00000001"; never an exponent, NaN or infinity. '
        "Inputs are strings or integers: JSON floats are refused, so that no digit is lost. At most 18 decimals.",
        _decimal,
        plain,
        numbers=True,
        url="https://scalars.graphql.org/chillicream/decimal.html",
    ),
    Percent: _scalar(
        "Percent",
        'Percentage as a decimal string in percent units: "12.5" is 12.5 %. A difference of two percentages is in '
        "percentage points. At most 6 decimals; inputs are 0 to 100, strings or integers.",
        _percent,
        plain,
        numbers=True,
    ),
    CurrencyCode: _scalar(
        "CurrencyCode",
        'Currency code such as "USD", or an upper-case crypto currency ticker such as "USDT".',
        scalars.currency,
        str,
    ),
    datetime: _scalar(
        "DateTime",
        'RFC 3339 time in UTC with a trailing Z, e.g. "2026-11-22T06:00:00Z".',
        scalars.instant,
        scalars.write_instant,
        url="https://scalars.graphql.org/andimarek/date-time.html",
    ),
    date: _scalar(
        "Date",
        'Calendar date without a time zone, e.g. "2026-11-22".',
        scalars.day,
        date.isoformat,
        url="https://scalars.graphql.org/andimarek/local-date.html",
    ),
    Duration: _scalar(
        "Duration",
        'ISO 8601 duration of days, hours, minutes and seconds, e.g. "PT30M" or "P4D".',
        scalars.duration_s,
        scalars.write_duration,
    ),
}

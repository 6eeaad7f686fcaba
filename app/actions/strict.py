"""Strict JSON (RFC 8259): what parsers understand differently is refused, in bodies and in files alike."""

import json
import math
import re
from functools import partial
from typing import Final, NoReturn

from app.core.errors import InvalidInput

DEPTH_MAX: Final = 32
_SURROGATE_ESCAPE: Final = re.compile(r"\\u[dD][89a-fA-F]")


def parse(text: str, what: str) -> object:
    """Parse JSON; `what` is how errors call it.

    Refused: NaN and infinities (also those made of digits, as 1e999), lone surrogates, a name given twice in an object,
    and more than `DEPTH_MAX` levels. Numbers with a fraction or an exponent come back as float, for the scalars to
    refuse where they are not wanted.
    """
    try:
        value: object = json.loads(
            text,
            parse_constant=partial(_refuse_constant, what),
            parse_float=partial(_finite, what),
            object_pairs_hook=partial(_without_duplicates, what),
        )
    except json.JSONDecodeError as error:
        raise InvalidInput(f"{what} is not JSON: {error.msg}, line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise InvalidInput(f"{what} nests deeper than {DEPTH_MAX} levels") from None
    except ValueError:  # int() refuses thousands of digits
        raise InvalidInput(f"{what} holds a number with too many digits") from None
    _check_values(value, what, with_strings=_SURROGATE_ESCAPE.search(text) is not None)
    return value


def _refuse_constant(what: str, name: str) -> NoReturn:
    raise InvalidInput(f"{what} holds {name}, which is not JSON")


def _finite(what: str, digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise InvalidInput(f"{what} holds the number {digits[:40]}, which is too large")
    return value


def _without_duplicates(what: str, pairs: list[tuple[str, object]]) -> dict[str, object]:
    members: dict[str, object] = {}
    for name, value in pairs:
        if name in members:
            raise InvalidInput(f"{what} gives {name[:40]!r} twice in one object")
        members[name] = value
    return members


def _check_values(value: object, what: str, *, with_strings: bool) -> None:
    """Walk through a parsed value, without recursion, for what can only be seen afterwards."""
    level: list[object] = [value]
    for _ in range(DEPTH_MAX + 1):
        if with_strings and not all(_is_encodable(text) for text in level if isinstance(text, str)):
            raise InvalidInput(f"{what} holds half of a surrogate pair")
        containers = [found for found in level if isinstance(found, dict | list)]
        if not containers:
            return
        level = []
        for container in containers:
            level.extend(container)
            if isinstance(container, dict):
                level.extend(container.values())
    raise InvalidInput(f"{what} nests deeper than {DEPTH_MAX} levels")


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

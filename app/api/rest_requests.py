"""What a REST request says in its headers, its query and its body; errors name the place."""

import re
from collections.abc import Callable
from typing import Final, TypeVar

from starlette.requests import Request

from app.api import edge
from app.core.errors import InvalidInput
from app.core.fields import Fields

_ETAG: Final = re.compile(r'"v([0-9]{1,9})"')
_COUNT: Final = re.compile(r"[0-9]{1,6}")
_WAIT: Final = re.compile(r"(?:^|[,;\s])wait=([0-9]{1,3})(?:$|[,;\s])")
DEFAULT_WAIT_S: Final = 5

T = TypeVar("T")


async def fields(request: Request) -> Fields:
    """Return the fields of a body that may be left out."""
    raw = await request.body()
    return Fields(edge.strict_json(raw) if raw else {})


def if_match(request: Request) -> int | None:
    header = request.headers.get("if-match")
    if header is None or header == "*":
        return None
    found = _ETAG.fullmatch(header.strip())
    if not found:
        raise InvalidInput(f'If-Match must be an ETag such as "v3", not {header[:40]}', ["If-Match"])
    return int(found[1])


def flag(request: Request, name: str) -> bool:
    value = request.query_params.get(name, "false")
    if value not in ("true", "false"):
        raise InvalidInput(f"{name} must be true or false, not {value[:20]!r}", [name])
    return value == "true"


def query(request: Request, name: str, read: Callable[[str, str], T]) -> T | None:
    """Read a parameter of the query, None where it is left out; an error names it."""
    try:
        return read(request.query_params[name], name) if name in request.query_params else None
    except InvalidInput as error:
        raise error.under(name) from None


def count(text: str, name: str, most: int) -> int:
    if not _COUNT.fullmatch(text) or not 1 <= int(text) <= most:
        raise InvalidInput(f"{name} must be a number from 1 to {most}, not {text[:20]!r}", [name])
    return int(text)


def wants_csv(request: Request) -> bool:
    wanted = request.query_params.get("format")
    if wanted not in (None, "csv", "json"):
        raise InvalidInput(f"format must be csv or json, not {wanted[:20]!r}", ["format"])
    return wanted == "csv" if wanted else "text/csv" in request.headers.get("accept", "")


def prefer_wait(request: Request) -> int:
    prefer = request.headers.get("prefer", "")
    if "respond-async" in prefer:
        return 0
    found = _WAIT.search(prefer)
    return int(found[1]) if found else DEFAULT_WAIT_S

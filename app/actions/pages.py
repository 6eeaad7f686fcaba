"""Pages of a list: keyset cursors that are opaque outside and a plain key inside."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from app.core import ids
from app.core.errors import InvalidInput

_ROW: Final = re.compile(r"[0-9]{1,18}")

T = TypeVar("T")
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Items, whether more come after them, and the cursor of the last."""

    items: tuple[T, ...]
    more: bool
    end_cursor: str | None


def page_of(found: Sequence[T], first: int, key: Callable[[T], str]) -> Page[T]:
    """Make a page of what was found when one more than `first` was asked for."""
    items = tuple(found[:first])
    return Page(items, len(found) > first, _cursor(key(items[-1])) if items else None)


def key_of(after: str | None, read: Callable[[str], K]) -> K | None:
    """Return the key in a cursor, None without one; refuse what is no cursor of ours."""
    if after is None:
        return None
    try:
        return read(urlsafe_b64decode(after.encode("ascii") + b"=" * (-len(after) % 4)).decode("ascii"))
    except (ValueError, InvalidInput):
        raise InvalidInput("the cursor is not one that was given out here", ["after"]) from None


def row_of(text: str) -> int:
    """Read a row or a version out of a cursor."""
    if not _ROW.fullmatch(text):
        raise InvalidInput("this is no row")
    return int(text)


def id_of(prefix: str) -> Callable[[str], str]:
    """Return how a public id of a type is read out of a cursor."""

    def read(text: str) -> str:
        if ids.decode(prefix, text) is None:
            raise InvalidInput("this is no id")
        return text

    return read


def _cursor(key: str) -> str:
    return urlsafe_b64encode(key.encode()).decode().rstrip("=")

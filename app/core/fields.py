"""Objects of a document being read: every field is taken by name, and what nobody takes is refused."""

from collections.abc import Callable
from typing import Final, TypeVar

from app.core.errors import InvalidInput, LimitExceeded, Required, SteelyardError

MAX_ITEMS: Final = 100_000

T = TypeVar("T")


class Fields:
    """One JSON object being read: takes fields by name, says where errors are, refuses what nobody took."""

    def __init__(self, document: object) -> None:
        if not isinstance(document, dict):
            raise InvalidInput(f"expected an object, found {type(document).__name__}")
        self.left = dict(document)

    def take(self, name: str, read: Callable[[object], T], default: T | None = None) -> T:
        """Read a field; without a default it is required. An explicit null counts as absent."""
        value = self.left.pop(name, None)
        if value is None:
            if default is None:
                raise Required(f"{name} is missing", [name])
            return default
        return self._read(name, value, read)

    def maybe(self, name: str, read: Callable[[object], T]) -> T | None:
        """Read a field that may be absent."""
        value = self.left.pop(name, None)
        return None if value is None else self._read(name, value, read)

    def ended(self, name: str, read: Callable[[object], T], default: T) -> T | None:
        """Read a field that an explicit null ends; only when absent it has its default."""
        if name in self.left and self.left[name] is None:
            del self.left[name]
            return None
        return self.take(name, read, default)

    def each(self, name: str, read: Callable[[object], T]) -> tuple[T, ...] | None:
        """Read a list field, item by item."""
        items = self.left.pop(name, None)
        if items is None:
            return None
        if not isinstance(items, list):
            raise InvalidInput(f"{name} must be a list, not {type(items).__name__}", [name])
        if len(items) > MAX_ITEMS:
            raise LimitExceeded(f"{name} has {len(items)} items; at most {MAX_ITEMS} are allowed", [name])
        return tuple(self._read(name, item, read, place) for place, item in enumerate(items))

    def end(self) -> None:
        """Refuse fields that nobody asked for: a misspelt field would be a silent default."""
        if self.left:
            raise InvalidInput(f"there is no field {str(next(iter(self.left)))[:40]!r} here")

    def _read(self, name: str, value: object, read: Callable[[object], T], *places: int) -> T:
        try:
            return read(value)
        except SteelyardError as error:
            raise error.under(name, *places) from None


def read_bool(value: object) -> bool:
    """Read true or false, and nothing that only looks like it."""
    if not isinstance(value, bool):
        raise InvalidInput(f"must be true or false, not {str(value)[:20]!r}")
    return value

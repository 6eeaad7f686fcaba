"""Which fields of an answer a document asks for, so that what nobody wants is not loaded."""

from collections.abc import Iterable, Iterator
from typing import Any

from strawberry import Info
from strawberry.types.nodes import SelectedField, Selection


def asks_for(info: Info[Any, Any], *path: str) -> bool:
    """Say whether the document asks for a field, by its names below the one that is being answered.

    One that is left out by a directive counts too: it costs some work and changes nothing.
    """
    found: Iterable[Selection] = [one for field in info.selected_fields for one in field.selections]
    for name in path[:-1]:
        found = [one for field in _fields(found) if field.name == name for one in field.selections]
    return any(field.name == path[-1] for field in _fields(found))


def _fields(selections: Iterable[Selection]) -> Iterator[SelectedField]:
    """Yield the fields of selections, those of fragments among them."""
    for selection in selections:
        if isinstance(selection, SelectedField):
            yield selection
        else:
            yield from _fields(selection.selections)

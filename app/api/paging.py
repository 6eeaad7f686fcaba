"""Arguments and answers that all pages share."""

from typing import Annotated, Any

import strawberry

from app.actions.pages import Page
from app.api.types import PageInfo
from app.core.errors import InvalidInput

PAGE_MAX = 100

First = Annotated[int, strawberry.argument(description="Return at most this many items (1 to 100).")]
After = Annotated[str | None, strawberry.argument(description="Return items after this cursor.")]


def page_size(first: int) -> int:
    """Check the size of a page."""
    if not 1 <= first <= PAGE_MAX:
        raise InvalidInput(f"first is {first}; it must be from 1 to {PAGE_MAX}", ["first"])
    return first


def page_info(page: Page[Any]) -> PageInfo:
    """Say where a page stands."""
    return PageInfo(has_next_page=page.more, end_cursor=page.end_cursor)

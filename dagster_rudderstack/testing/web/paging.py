"""The pages of a list, and the path to the next page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from dagster_rudderstack.testing.web.api_request import whole_number

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 100


@dataclass(frozen=True)
class Page:
    """One page of a list."""

    items: Sequence[Any]
    number: int
    total: int
    has_next: bool


def page_of(items: Sequence[Any], query: Mapping[str, str], size_key: str | None) -> Page:
    """Return the page that the query asks for. `size_key` None: the page size is fixed."""
    number = whole_number(query, "page", 1)
    size = DEFAULT_PAGE_SIZE
    if size_key is not None:
        size = whole_number(query, size_key, size, maximum=MAX_PAGE_SIZE)
    start, end = (number - 1) * size, number * size
    return Page(items[start:end], number, len(items), has_next=end < len(items))


def next_page_path(path: str, query: Mapping[str, str], page: Page) -> str:
    """Return the path to the next page, with the rest of the query unchanged.

    For most lists the API writes the path from the host, for the sources from `/v2`.
    """
    return f"{path}?{urlencode({**query, 'page': page.number + 1})}"

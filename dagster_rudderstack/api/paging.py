"""Lists with pages: which there are, and how to walk through one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, ValidationError

from dagster_rudderstack.api.models import Connection, Destination, Paging, Source
from dagster_rudderstack.api.responses import parsed, unexpected
from dagster_rudderstack.settings import MAX_PAGE_SIZE

__all__ = [
    "CONNECTIONS",
    "DESTINATIONS",
    "MAX_PAGES",
    "SOURCES",
    "WORKSPACE_LISTS",
    "Listing",
    "Page",
    "ReadPage",
    "page_of",
    "pages_from",
]

MAX_PAGES = 10_000
"""A list with more pages has no end, even if no page repeats."""

_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True)
class Listing(Generic[_Model]):
    """A list of the API that has pages.

    Attributes:
        path: Path of the endpoint.
        key: The field of an answer that holds the items.
        model: The model of an item.
        query: The query of the first page. It asks for the largest pages.
    """

    path: str
    key: str
    model: type[_Model]
    query: Mapping[str, str] = field(default_factory=dict)

    def parse(self, item: object) -> _Model:
        """Return one item as its model.

        Raises:
            UnexpectedResponseError: If it does not fit. The message names the fields, not their
                values.
        """
        return parsed(item, self.model, "GET", self.path)


_LARGEST_PAGE = {"pageSize": str(MAX_PAGE_SIZE)}
CONNECTIONS = Listing("/retl-connections", "data", Connection, _LARGEST_PAGE)
SOURCES = Listing("/retl-sources", "data", Source, _LARGEST_PAGE)
DESTINATIONS = Listing("/destinations", "destinations", Destination)


@dataclass(frozen=True)
class Page:
    """One page of a list.

    Attributes:
        items: The items as they came, see `Listing.parse`.
        total: The number of items on all pages. None if RudderStack does not say.
        next_query: The query of the next page. None on the last page.
    """

    items: list[Any]
    total: int | None
    next_query: dict[str, str] | None


WORKSPACE_LISTS: tuple[Listing[Any], ...] = (CONNECTIONS, SOURCES, DESTINATIONS)

ReadPage = Callable[[Mapping[str, str]], Page]
"""Reads the page of a query."""


def page_of(answer: Mapping[str, Any], listing: Listing[Any], query: Mapping[str, str]) -> Page:
    """Return the page in an answer. Its items are not parsed, so a broken one spoils no other.

    Only the query of `paging.next` is used. Its path may be relative to the host or to /v2, and its
    host must not get the token.

    Raises:
        UnexpectedResponseError: If the answer has no list.
    """
    items = answer.get(listing.key)
    if not isinstance(items, list):
        raise unexpected("GET", listing.path, f"no list under {listing.key!r}")
    paging = answer.get("paging")
    return Page(items, _total(paging), _next_query(paging, query))


def pages_from(read: ReadPage, listing: Listing[Any], query: Mapping[str, str]) -> Iterator[Page]:
    """Yield pages, from the one of a query on. Each holds only items that no page before had.

    A list that grows while it is read shows an item on two pages. A server that goes round in
    circles shows all of them again, so a page without a new item ends the walk.

    Raises:
        UnexpectedResponseError: If the list has no end.
    """
    asked: set[tuple[tuple[str, str], ...]] = set()
    ids: set[str] = set()
    following: Mapping[str, str] | None = query
    for _ in range(MAX_PAGES):
        if following is None or tuple(sorted(following.items())) in asked:
            return
        asked.add(tuple(sorted(following.items())))
        page = read(following)
        new = _new_items(ids, page.items)
        yield Page(new, page.total, page.next_query)
        if page.items and not new:
            return
        following = page.next_query
    if following is not None:
        raise unexpected("GET", listing.path, f"its list has more than {MAX_PAGES} pages")


def _new_items(ids: set[str], items: list[Any]) -> list[Any]:
    """Return the items whose ids are not known yet, and add their ids to the known ones."""
    new = []
    for item in items:
        item_id = item.get("id") if isinstance(item, dict) else None
        if not isinstance(item_id, str):
            new.append(item)
        elif item_id not in ids:
            ids.add(item_id)
            new.append(item)
    return new


def _total(paging: object) -> int | None:
    try:
        return Paging.model_validate(paging).total
    except ValidationError:
        return None


def _next_query(paging: object, params: Mapping[str, str]) -> dict[str, str] | None:
    try:
        following = Paging.model_validate(paging).next
        query = urlsplit(following).query if following else ""
    except (ValidationError, ValueError):
        return None
    if not query:
        return None
    return {**params, **dict(parse_qsl(query, keep_blank_values=True))}

"""The lists of the API that have pages, and how to read them one by one or in parallel."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, ValidationError

from dagster_rudderstack.api.models import Connection, Destination, Paging, Source
from dagster_rudderstack.api.responses import parsed, unexpected
from dagster_rudderstack.errors import NotFoundError, PermissionDeniedError, StatusError
from dagster_rudderstack.settings import MAX_PAGE_SIZE

__all__ = [
    "CONNECTIONS",
    "DESTINATIONS",
    "MAX_CONCURRENT_READS",
    "MAX_PAGES",
    "SOURCES",
    "WORKSPACE_LISTS",
    "Listing",
    "Page",
    "ParallelReader",
    "ReadPage",
    "Refused",
    "Retried",
    "once",
    "page_of",
    "pages_from",
]

MAX_PAGES = 10_000
"""A list with more pages has no end, even if no page repeats."""

MAX_CONCURRENT_READS = 16
"""As many as a process sends at once by default."""

_NO_SUCH_PAGE = frozenset({400, 404, 416, 422})
"""What a server may answer to the number of a page that it does not have."""

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
        items: The unparsed items, see `Listing.parse`.
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
    """Return the page in an answer. Its items are not parsed yet, so a broken one fails no other.

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
    """Yield the pages from a query on. Each has only the items that were on no earlier page.

    If a list grows while it is read, an item may be on two pages. If the pages repeat, a page has
    no new item, and reading ends.

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


Retried = Callable[[Callable[[], Page], Callable[[float], object]], Page]
"""Makes a request, again after transient errors. Its second argument waits for some seconds."""

Refused = Callable[[Listing[Any], StatusError], object]
"""Is called with a list that the access token may not read. It may raise the error."""


def once(call: Callable[[], Page], _: Callable[[float], object]) -> Page:
    """Make a request without retries."""
    return call()


class ParallelReader:
    """Reads several lists at the same time, and the pages of each as well.

    The pages of a list are read in parallel if the first page says how many there are.

    Args:
        read: Reads one page of a list.
        retried: Makes a request, again after transient errors.
        refused: Called for a list that the access token may not read, which is then empty.
    """

    def __init__(
        self,
        read: Callable[[Listing[Any], Mapping[str, str]], Page],
        retried: Retried,
        refused: Refused,
    ) -> None:
        self._read = read
        self._retried = retried
        self._refused = refused
        self._ended = threading.Event()

    def read(
        self, listings: Sequence[Listing[Any]], max_concurrent: int = MAX_CONCURRENT_READS
    ) -> dict[str, list[Any]]:
        """Return the items of each list by its path. An item may occur twice.

        Raises:
            ApiError: If a list cannot be read.
        """
        pool = ThreadPoolExecutor(min(max_concurrent, MAX_CONCURRENT_READS), "rudderstack-read")
        try:
            items = self._read_in(pool, listings)
        except BaseException as error:
            # The other lists need no more retries. After an interrupt, do not wait for threads.
            self._ended.set()
            pool.shutdown(wait=isinstance(error, Exception), cancel_futures=True)
            raise
        pool.shutdown()
        return items

    def _read_in(
        self, pool: ThreadPoolExecutor, listings: Sequence[Listing[Any]]
    ) -> dict[str, list[Any]]:
        firsts = [pool.submit(self._page, listing, listing.query) for listing in listings]
        begun = []
        for listing, future in zip(listings, firsts, strict=True):
            first = self._first_page(listing, future)
            begun.append((listing, first, self._later_pages(pool, listing, first)))
        return {
            listing.path: [
                item for page in self._all_pages(listing, first, later) for item in page.items
            ]
            for listing, first, later in begun
        }

    def _page(self, listing: Listing[Any], query: Mapping[str, str]) -> Page:
        return self._retried(lambda: self._get_page(listing, query), self._ended.wait)

    def _get_page(self, listing: Listing[Any], query: Mapping[str, str]) -> Page:
        if self._ended.is_set():
            raise CancelledError
        return self._read(listing, query)

    def _first_page(self, listing: Listing[Any], future: Future[Page]) -> Page:
        try:
            return future.result()
        except (PermissionDeniedError, NotFoundError) as error:
            self._refused(listing, error)
            return Page([], 0, None)

    def _later_pages(
        self, pool: ThreadPoolExecutor, listing: Listing[Any], first: Page
    ) -> list[Future[list[Page]]]:
        """Begin to read the pages after the first: in parallel, or else one after the other."""
        queries = _later_queries(first)
        if not queries and first.next_query is not None:
            return [pool.submit(self._followed, listing, first.next_query)]
        return [pool.submit(self._one_page, listing, query) for query in queries]

    def _one_page(self, listing: Listing[Any], query: Mapping[str, str]) -> list[Page]:
        return [self._page(listing, query)]

    def _all_pages(
        self, listing: Listing[Any], first: Page, later: Sequence[Future[list[Page]]]
    ) -> list[Page]:
        """Return all pages, and make sure that none is missing."""
        try:
            pages = [first, *(page for future in later for page in future.result())]
        except StatusError as error:
            if error.status_code not in _NO_SUCH_PAGE:
                raise
            # The first page's total was wrong, so follow the pages one by one.
            return [first, *self._followed(listing, first.next_query)]
        pages += self._followed(listing, pages[-1].next_query)
        if len(later) > 1 and _distinct(pages) < (first.total or 0):
            # If an item is deleted meanwhile, all later items move up by one. One of them may move
            # from a page that is still to be read to a page that was read before.
            pages += self._followed(listing, listing.query)
        return pages

    def _followed(self, listing: Listing[Any], query: Mapping[str, str] | None) -> list[Page]:
        """Return the pages from a query on. Each page has the query of the next one."""
        if query is None:
            return []
        return list(pages_from(lambda each: self._page(listing, each), listing, query))


def _later_queries(first: Page) -> list[dict[str, str]]:
    """Return the queries of all pages after the first. Empty if the first page does not say."""
    following = first.next_query
    if following is None or following.get("page") != "2" or not first.items or not first.total:
        return []
    count = math.ceil(first.total / len(first.items))
    if count > MAX_PAGES:
        return []
    return [{**following, "page": str(number)} for number in range(2, count + 1)]


def _distinct(pages: Iterable[Page]) -> int:
    return len({_id_of(item) for page in pages for item in page.items})


def _id_of(item: object) -> str:
    return str(item.get("id")) if isinstance(item, dict) else repr(item)


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

"""The lists of the API that have pages, and how to read them one by one or in parallel."""

from __future__ import annotations

import json
import math
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from dagster_rudderstack.api.models import Connection, Destination, Paging, Source
from dagster_rudderstack.api.responses import parsed, unexpected
from dagster_rudderstack.errors import (
    NotFoundError,
    PermissionDeniedError,
    StatusError,
    UnexpectedResponseError,
)
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
"""Maximum number of requests for one list, without retries. A list that needs more has no end, even
if no page repeats."""

MAX_PAGES_WITHOUT_NEW = 3
"""So many pages in a row may be empty, or repeat others, before reading ends."""

MAX_WORKSPACE_LENGTH = 100_000_000
"""About how many characters of JSON the lists of a workspace may have together. 10,000 connections
with 20 mappings each have 16 million."""

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

    @property
    def noun(self) -> str:
        """What the items are called, such as `connections`."""
        return self.path.removeprefix("/").removeprefix("retl-")

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
        has_next: Whether RudderStack says that there is another page.
    """

    items: list[Any]
    total: int | None
    has_next: bool


WORKSPACE_LISTS: tuple[Listing[Any], ...] = (CONNECTIONS, SOURCES, DESTINATIONS)

ReadPage = Callable[[Mapping[str, str]], Page]
"""Reads the page of a query."""


def page_of(answer: Mapping[str, Any], listing: Listing[Any]) -> Page:
    """Return the page in an answer. Its items are not parsed yet, so a broken one fails no other.

    `paging.next` only says whether there is another page. It may be an internal address of
    RudderStack that does not name the page, and its host must not get the token.

    Raises:
        UnexpectedResponseError: If the answer has no list.
    """
    items = answer.get(listing.key)
    if not isinstance(items, list):
        raise unexpected("GET", listing.path, f"no list under {listing.key!r}")
    return Page(items, *_total_and_has_next(answer.get("paging")))


def pages_from(
    read: ReadPage, listing: Listing[Any], query: Mapping[str, str], before: Sequence[Page] = ()
) -> Iterator[Page]:
    """Yield the pages of a list. Each has only the items that were on no earlier page.

    If a list grows while it is read, an item may be on two pages. A page without new items may be
    followed by others, but several such pages mean that the pages repeat, and reading ends.

    Args:
        read: Reads one page.
        listing: The list.
        query: The query without the number of the page.
        before: The first pages, if they have been read before.

    Raises:
        UnexpectedResponseError: If the list has no end.
    """
    ids: set[str] = set()
    for page in before:
        _new_items(ids, page.items)
    without_new = 0
    first = len(before) + 1
    for number in range(first, first + MAX_PAGES):
        page = read(_numbered(query, number))
        new = _new_items(ids, page.items)
        yield replace(page, items=new)
        without_new = 0 if new else without_new + 1
        if not page.has_next or without_new > MAX_PAGES_WITHOUT_NEW:
            return
    raise _endless(listing)


def _endless(listing: Listing[Any]) -> UnexpectedResponseError:
    return unexpected("GET", listing.path, f"its list has more than {MAX_PAGES} pages")


def _numbered(query: Mapping[str, str], number: int) -> Mapping[str, str]:
    return query if number == 1 else {**query, "page": str(number)}


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
        incomplete: Called for a list that has fewer items than RudderStack says, with both numbers.
    """

    def __init__(
        self,
        read: Callable[[Listing[Any], Mapping[str, str]], Page],
        retried: Retried,
        refused: Refused,
        incomplete: Callable[[Listing[Any], int, int], object],
    ) -> None:
        self._read = read
        self._retried = retried
        self._refused = refused
        self._incomplete = incomplete
        self._ended = threading.Event()
        self._last_page: dict[str, int] = {}
        self._length = 0
        self._requests: Counter[str] = Counter()
        self._lock = threading.Lock()

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
            listing.path: self._items(listing, self._all_pages(listing, first, later))
            for listing, first, later in begun
        }

    def _items(self, listing: Listing[Any], pages: Sequence[Page]) -> list[Any]:
        # The newest total, since an item may have been deleted meanwhile.
        total = next((page.total for page in reversed(pages) if page.total is not None), 0)
        items = [item for page in pages for item in page.items]
        count = _distinct(pages) + sum(_has_no_id(item) for item in items)
        if count < total:
            self._incomplete(listing, count, total)
        return items

    def _page(self, listing: Listing[Any], query: Mapping[str, str]) -> Page:
        with self._lock:
            self._requests[listing.path] += 1
            if self._requests[listing.path] > MAX_PAGES:
                raise _endless(listing)
        page = self._retried(lambda: self._get_page(listing, query), self._ended.wait)
        length = len(json.dumps(page.items))
        with self._lock:
            self._length += length
            if self._length > MAX_WORKSPACE_LENGTH:
                raise unexpected(
                    "GET",
                    listing.path,
                    f"the lists of the workspace have more than {MAX_WORKSPACE_LENGTH} characters",
                )
        return page

    def _get_page(self, listing: Listing[Any], query: Mapping[str, str]) -> Page:
        if self._ended.is_set():
            raise CancelledError
        return self._read(listing, query)

    def _first_page(self, listing: Listing[Any], future: Future[Page]) -> Page:
        try:
            return future.result()
        except (PermissionDeniedError, NotFoundError) as error:
            self._refused(listing, error)
            return Page([], 0, has_next=False)

    def _later_pages(
        self, pool: ThreadPoolExecutor, listing: Listing[Any], first: Page
    ) -> list[Future[list[Page]]]:
        """Begin to read the pages after the first: in parallel, or else one after the other."""
        if not first.has_next:
            return []
        count = _page_count(first)
        if count is None:
            return [pool.submit(self._followed, listing, [first])]
        return [pool.submit(self._one_page, listing, number) for number in range(2, count + 1)]

    def _one_page(self, listing: Listing[Any], number: int) -> list[Page]:
        # The first page's total may be wrong by any number.
        if number > self._last_page.get(listing.path, number):
            return []
        page = self._page(listing, _numbered(listing.query, number))
        if not page.has_next:
            with self._lock:
                self._last_page[listing.path] = min(
                    number, self._last_page.get(listing.path, number)
                )
        return [page]

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
            return [first, *self._followed(listing, [first])]
        if pages[-1].has_next and _page_count(first) is not None:
            pages += self._followed(listing, pages)
        if later and _distinct(pages) < (first.total or 0):
            # If an item is deleted meanwhile, all later items move up by one. One of them may move
            # from a page that is still to be read to a page that was read before.
            pages += self._followed(listing, [])
        return pages

    def _followed(self, listing: Listing[Any], before: Sequence[Page]) -> list[Page]:
        """Return the pages after others, read one after the other.

        Raises:
            UnexpectedResponseError: If the pages repeat, so that some items may never be listed.
        """
        pages: list[Page] = []
        repeats = False

        def read(query: Mapping[str, str]) -> Page:
            nonlocal repeats
            page = self._page(listing, query)
            repeats = page.has_next and bool(page.items)
            return page

        def is_whole() -> bool:
            total = next((page.total for page in (*pages, *before) if page.total), None)
            return total is not None and _distinct([*before, *pages]) >= total

        try:
            pages.extend(pages_from(read, listing, listing.query, before))
        except StatusError as error:
            # Some servers name a next page that they do not have.
            if error.status_code not in _NO_SUCH_PAGE or not is_whole():
                raise
            return pages
        if repeats and not is_whole():
            raise unexpected(
                "GET", listing.path, "its pages repeat, so it is unknown whether the list is whole"
            )
        return pages


def _page_count(first: Page) -> int | None:
    """Return how many pages there are, according to the first one. None if it does not say."""
    if not first.items or not first.total:
        return None
    count = math.ceil(first.total / len(first.items))
    return count if 1 < count <= MAX_PAGES else None


def _distinct(pages: Iterable[Page]) -> int:
    """Return how many items there are. Each counts once, and none without an id."""
    items = (item for page in pages for item in page.items if not _has_no_id(item))
    return len({str(item["id"]) for item in items})


def _has_no_id(item: object) -> bool:
    return not (isinstance(item, dict) and item.get("id"))


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


def _total_and_has_next(paging: object) -> tuple[int | None, bool]:
    try:
        parsed_paging = Paging.model_validate(paging)
    except ValidationError:
        return None, False
    return parsed_paging.total, bool(parsed_paging.next)

"""The snapshot of a workspace: its connections, sources and destinations.

The lists are read at the same time. So are the pages of a list, once the first page says how many
there are. A snapshot holds no credentials: of a source's `config` only the place of its rows, of a
constant only the field that it fills, and nothing of a destination's `config`.
"""

from __future__ import annotations

import json
import logging
import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from dagster_rudderstack.api.models import Connection, Destination, Source
from dagster_rudderstack.api.paging import (
    CONNECTIONS,
    DESTINATIONS,
    MAX_PAGES,
    SOURCES,
    Listing,
    Page,
    pages_from,
)
from dagster_rudderstack.api.validation import checked_id
from dagster_rudderstack.discovery.sql.lineage import QueryLineage
from dagster_rudderstack.discovery.sql.read import can_read_queries, read_query
from dagster_rudderstack.errors import (
    DiscoveryError,
    InvalidSettingError,
    NotFoundError,
    PermissionDeniedError,
    StatusError,
    UnexpectedResponseError,
)
from dagster_rudderstack.text import one_line

__all__ = ["WorkspaceSnapshot", "fetch_workspace"]

SNAPSHOT_VERSION = 1
"""Grows when the format changes so that an older release could not read it."""

MAX_CONCURRENT_READS = 16
"""As many as a process sends at once by default."""

_SOURCE_CONFIG = ("schema", "table", "sql", "bucketName", "objectPrefix")
"""The parts of a source's `config` that a snapshot keeps."""

_Item = TypeVar("_Item", Connection, Source, Destination)


class PageReader(Protocol):
    """The part of the API that reading a workspace needs. `RudderStackClient` has it."""

    def get_page(self, listing: Listing[Any], query: Mapping[str, str]) -> Page: ...


class WorkspaceSnapshot(BaseModel):
    """A workspace as it was at one moment. Definitions are loaded from it without a request.

    Attributes:
        version: The version of the format.
        fetched_at: When it was read from RudderStack.
        connections: The connections, in no particular order.
        sources: The sources that the access token may read.
        destinations: The destinations that the access token may read.
        queries: What each SQL model reads, by source id. Empty if sqlglot was not installed.
    """

    model_config = ConfigDict(frozen=True)

    version: int = SNAPSHOT_VERSION
    fetched_at: datetime
    connections: tuple[Connection, ...] = ()
    sources: tuple[Source, ...] = ()
    destinations: tuple[Destination, ...] = ()
    queries: dict[str, QueryLineage] = {}

    def dumps(self) -> str:
        """Return the snapshot as JSON."""
        return self.model_dump_json(by_alias=True, exclude_none=True)

    @classmethod
    def loads(cls, text: str) -> WorkspaceSnapshot:
        """Return the snapshot in a JSON text.

        Raises:
            DiscoveryError: If it is damaged, or this release does not read its version.
        """
        try:
            document = json.loads(text)
            version = document["version"]
        except (ValueError, TypeError, KeyError, RecursionError):
            raise DiscoveryError("The snapshot of the RudderStack workspace is damaged.") from None
        if version != SNAPSHOT_VERSION:
            raise DiscoveryError(
                f"The snapshot of the RudderStack workspace has version {version!r}, "
                f"this release of dagster-rudderstack reads version {SNAPSHOT_VERSION}."
            )
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise DiscoveryError(
                f"The snapshot of the RudderStack workspace is damaged at {where}."
            ) from None


Retried = Callable[[Callable[[], Page], Callable[[float], object]], Page]
"""Makes a request and repeats it after passing errors. Its second argument waits."""


def once(call: Callable[[], Page], _: Callable[[float], object]) -> Page:
    """Make a request without retries."""
    return call()


def fetch_workspace(
    api: PageReader,
    *,
    retried: Retried = once,
    max_concurrent: int = MAX_CONCURRENT_READS,
    log: logging.Logger,
) -> WorkspaceSnapshot:
    """Read the workspace.

    A broken object is skipped with a warning. Sources or destinations that the access token may not
    read are left out with one warning.

    Args:
        api: The client.
        retried: Makes a request and repeats it after passing errors.
        max_concurrent: The number of requests sent at once.
        log: Gets the warnings.

    Raises:
        ApiError: If the connections cannot be read, or RudderStack is out of reach.
    """
    found = _Lists(api, retried, log).read(max_concurrent)
    connections = _usable(found.parsed(CONNECTIONS), log)
    used = {connection.source_id for connection in connections}
    sources = [_without_secrets(source) for source in found.parsed(SOURCES)]
    return WorkspaceSnapshot(
        fetched_at=datetime.now(timezone.utc),
        connections=tuple(connections),
        sources=tuple(sources),
        destinations=tuple(found.parsed(DESTINATIONS)),
        queries=_read_queries([source for source in sources if source.id in used], log),
    )


# --- lists


class _Lists:
    """All pages of the workspace's lists."""

    def __init__(self, api: PageReader, retried: Retried, log: logging.Logger) -> None:
        self._api = api
        self._retried = retried
        self._log = log
        self._items: dict[str, list[Any]] = {}
        self._ended = threading.Event()

    def read(self, max_concurrent: int) -> _Lists:
        pool = ThreadPoolExecutor(min(max_concurrent, MAX_CONCURRENT_READS), "rudderstack-read")
        try:
            self._read_in(pool)
        except BaseException as error:
            # The other lists are not retried any more. After an interrupt they are not waited for.
            self._ended.set()
            pool.shutdown(wait=isinstance(error, Exception), cancel_futures=True)
            raise
        pool.shutdown()
        return self

    def _read_in(self, pool: ThreadPoolExecutor) -> None:
        listings: tuple[Listing[Any], ...] = (CONNECTIONS, SOURCES, DESTINATIONS)
        firsts = [pool.submit(self._page, listing, listing.query) for listing in listings]
        begun = []
        for listing, future in zip(listings, firsts, strict=True):
            first = self._first_page(listing, future)
            begun.append((listing, first, self._later_pages(pool, listing, first)))
        for listing, first, later in begun:
            pages = self._all_pages(listing, first, later)
            self._items[listing.path] = [item for page in pages for item in page.items]

    def _page(self, listing: Listing[Any], query: Mapping[str, str]) -> Page:
        return self._retried(lambda: self._get_page(listing, query), self._ended.wait)

    def _get_page(self, listing: Listing[Any], query: Mapping[str, str]) -> Page:
        if self._ended.is_set():
            raise CancelledError
        return self._api.get_page(listing, query)

    def _first_page(self, listing: Listing[Any], future: Future[Page]) -> Page:
        try:
            return future.result()
        except (PermissionDeniedError, NotFoundError) as error:
            if listing is CONNECTIONS:
                raise
            self._log.warning(f"{error} Ids are shown instead of names and tables.")
            return Page([], 0, None)

    def _later_pages(
        self, pool: ThreadPoolExecutor, listing: Listing[Any], first: Page
    ) -> list[Future[list[Page]]]:
        """Begin to read the pages after the first: all at once if they are known, or one by one."""
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
            # The pages are not where the total of the first one says. Follow them one by one.
            return [first, *self._followed(listing, first.next_query)]
        pages += self._followed(listing, pages[-1].next_query)
        if len(later) > 1 and _distinct(pages) < (first.total or 0):
            # An item that was deleted in the meantime moves all later ones up, and one of them may
            # move from a page that was read later to one that was read earlier.
            pages += self._followed(listing, listing.query)
        return pages

    def _followed(self, listing: Listing[Any], query: Mapping[str, str] | None) -> list[Page]:
        """Return the pages from a query on, each found by the one before it."""
        if query is None:
            return []
        return list(pages_from(lambda each: self._page(listing, each), listing, query))

    def parsed(self, listing: Listing[_Item]) -> list[_Item]:
        """Return the items of a list, each once, without broken ones."""
        found: dict[str, _Item] = {}
        for item in self._items[listing.path]:
            try:
                parsed = listing.parse(item)
            except UnexpectedResponseError as error:
                self._log.warning(f"Skipped {_name_of(item)}. {error}")
                continue
            found.setdefault(parsed.id, parsed)
        return list(found.values())


_NO_SUCH_PAGE = frozenset({400, 404, 416, 422})
"""The statuses with which a server may refuse a page that does not exist."""


def _later_queries(first: Page) -> list[dict[str, str]]:
    """Return the queries of all pages after the first. Empty if they cannot be predicted."""
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


def _name_of(item: object) -> str:
    """Return the name of a broken object for the log. Of its values it has only id and name."""
    if not isinstance(item, dict):
        return "an object without an id"
    name = f" ({one_line(str(item['name']), 100)})" if item.get("name") else ""
    return f"the object with the id {one_line(str(item.get('id')), 100)!r}{name}"


# --- what is kept


def _usable(connections: Iterable[Connection], log: logging.Logger) -> list[Connection]:
    usable = []
    for connection in connections:
        try:
            checked_id(connection.id, "The id of a connection")
        except InvalidSettingError as error:
            log.warning(f"Skipped a connection. {error}")
            continue
        fields = tuple({"key": name} for name in map(constant_field, connection.constants) if name)
        usable.append(connection.model_copy(update={"constants": fields}))
    return usable


def constant_field(constant: Mapping[str, Any]) -> str | None:
    """Return the field of the destination that a constant fills. None if it is unknown."""
    for key in ("key", "to", "name"):
        if isinstance(constant.get(key), str):
            return str(constant[key])
    return None


def _without_secrets(source: Source) -> Source:
    config = {key: source.config[key] for key in _SOURCE_CONFIG if source.config.get(key)}
    return source.model_copy(update={"config": config})


def _cannot(query: QueryLineage, source: str) -> str:
    if not query.tables:
        return f"The SQL of source {source} cannot be read"
    return (
        f"The tables that the SQL of source {source} reads are known, but its columns cannot be "
        "followed to theirs"
    )


def _read_queries(sources: Sequence[Source], log: logging.Logger) -> dict[str, QueryLineage]:
    queries = {source.id: (source, source.config.get("sql")) for source in sources}
    with_sql = {key: (each, sql) for key, (each, sql) in queries.items() if isinstance(sql, str)}
    if with_sql and not can_read_queries():
        log.warning(
            "sqlglot is not installed, so SQL models have no upstream tables: pip install "
            "'dagster-rudderstack[lineage]', then refresh."
        )
        return {}
    found = {}
    for source_id, (source, sql) in with_sql.items():
        found[source_id] = read_query(sql, source.source_definition_name)
        if problem := found[source_id].problem:
            name = f"{one_line(source.name, 100)!r} ({source_id})"
            log.warning(f"{_cannot(found[source_id], name)}: {problem}.")
    return found

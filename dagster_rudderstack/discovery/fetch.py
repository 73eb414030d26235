"""Fetches the snapshot of a workspace from the API."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Protocol, TypeVar

from dagster_rudderstack.api.models import Connection, Destination, Source
from dagster_rudderstack.api.paging import (
    CONNECTIONS,
    DESTINATIONS,
    MAX_CONCURRENT_READS,
    SOURCES,
    WORKSPACE_LISTS,
    Listing,
    Page,
    ParallelReader,
    Retried,
    once,
)
from dagster_rudderstack.api.validation import checked_id
from dagster_rudderstack.discovery.snapshot import WorkspaceSnapshot, constant_field, storable
from dagster_rudderstack.discovery.sql.lineage import QueryLineage
from dagster_rudderstack.discovery.sql.read import Query, can_read_queries, read_queries
from dagster_rudderstack.errors import InvalidSettingError, StatusError, UnexpectedResponseError
from dagster_rudderstack.sync.recorder import Log
from dagster_rudderstack.text import one_line, plural

__all__ = ["PageReader", "WorkspaceObjects", "fetch_objects", "fetch_workspace"]

_SOURCE_CONFIG = (
    "primaryKey",
    "database",
    "schema",
    "table",
    "sql",
    "bucketName",
    "objectPrefix",
)
"""The keys of a source's `config` that a snapshot keeps."""

_Item = TypeVar("_Item", Connection, Source, Destination)


class PageReader(Protocol):
    """The part of the client that reading a workspace needs."""

    def get_page(self, listing: Listing[Any], query: Mapping[str, str]) -> Page:
        """Return one page of a list."""
        ...


def fetch_workspace(
    api: PageReader,
    *,
    retried: Retried = once,
    max_concurrent: int = MAX_CONCURRENT_READS,
    log: Log,
) -> WorkspaceSnapshot:
    """Read the workspace, and the tables behind its SQL models.

    The arguments and the errors are those of `fetch_objects`.
    """
    with _limited_warnings(log) as limited:
        return _workspace(
            _objects(
                api, WORKSPACE_LISTS, retried=retried, max_concurrent=max_concurrent, log=limited
            ),
            limited,
        )


def _workspace(objects: WorkspaceObjects, log: Log) -> WorkspaceSnapshot:
    used = {connection.source_id for connection in objects.connections}
    used_destinations = {connection.destination_id for connection in objects.connections}
    _warn_of_unlisted(SOURCES, used, objects.sources, log)
    _warn_of_unlisted(DESTINATIONS, used_destinations, objects.destinations, log)
    sources = [_without_secrets(source) for source in objects.sources]
    _warn_of_unnamed_rows([source for source in sources if source.id in used], log)
    snapshot = WorkspaceSnapshot(
        fetched_at=datetime.now(timezone.utc),
        connections=tuple(objects.connections),
        sources=tuple(sources),
        destinations=tuple(objects.destinations),
        queries=_read_queries([source for source in sources if source.id in used], log),
    )
    return storable(snapshot, log)


def _warn_of_unlisted(
    listing: Listing[Any],
    used: set[str],
    listed: Sequence[Source] | Sequence[Destination],
    log: Log,
) -> None:
    """Warn of sources or destinations of connections, if some are listed and these are not."""
    unlisted = sorted(used - {each.id for each in listed})
    if listed and unlisted:
        ids = one_line(", ".join(unlisted), 200)
        log.warning(
            f"Connections use {listing.noun} that RudderStack does not list: {ids}. Their ids are "
            "shown instead of names and tables."
        )


def _warn_of_unnamed_rows(sources: Sequence[Source], log: Log) -> None:
    """Warn of sources, such as audiences, that do not say where their rows are."""
    unnamed = [each for each in sources if not set(each.config) & {"table", "sql", "bucketName"}]
    if unnamed:
        names = one_line(", ".join(map(_label, unnamed)), 400)
        log.warning(
            f"RudderStack does not say which tables these sources read, so they have no upstream "
            f"tables: {names}. Add them as dependencies with get_asset_spec or, in YAML, with "
            "translation."
        )


@dataclass(frozen=True)
class WorkspaceObjects:
    """The objects of a workspace. A list that was not asked for, or is refused, is empty."""

    connections: list[Connection]
    sources: list[Source]
    destinations: list[Destination]


def fetch_objects(
    api: PageReader,
    listings: Sequence[Listing[Any]] = WORKSPACE_LISTS,
    *,
    retried: Retried = once,
    max_concurrent: int = MAX_CONCURRENT_READS,
    log: Log,
) -> WorkspaceObjects:
    """Read the lists of a workspace.

    A broken object is skipped with a warning. So are the sources or the destinations if the access
    token may not read them.

    Args:
        api: The client.
        listings: The lists to read.
        retried: Makes a request, and repeats it after transient errors.
        max_concurrent: Maximum number of requests at once.
        log: Receives the warnings.

    Raises:
        ApiError: If the connections cannot be read, or RudderStack cannot be reached.
    """
    with _limited_warnings(log) as limited:
        return _objects(api, listings, retried=retried, max_concurrent=max_concurrent, log=limited)


def _objects(
    api: PageReader,
    listings: Sequence[Listing[Any]],
    *,
    retried: Retried,
    max_concurrent: int,
    log: Log,
) -> WorkspaceObjects:
    def refused(listing: Listing[Any], error: StatusError) -> None:
        if listing is CONNECTIONS:
            raise error
        log.warning(f"{error} Ids are shown instead of names and tables.")

    def incomplete(listing: Listing[Any], count: int, total: int) -> None:
        log.warning(
            f"RudderStack says that there are {total:,} {listing.noun}, but lists {count:,}. If "
            "an asset is missing, refresh the snapshot (without one, reload the code location)."
        )

    reader = ParallelReader(api.get_page, retried, refused, incomplete)
    items = reader.read(listings, max_concurrent)
    return WorkspaceObjects(
        connections=_usable(_parsed(CONNECTIONS, items, log), log),
        sources=_parsed(SOURCES, items, log),
        destinations=_parsed(DESTINATIONS, items, log),
    )


ADD_TABLES = "Add {} as dependencies with get_asset_spec or, in YAML, with translation."

MAX_WARNINGS = 20
"""How many warnings about a workspace are logged, each about one object."""


@dataclass
class _LimitedWarnings:
    log: Log
    count: int = 0

    def info(self, msg: object, /) -> None:
        self.log.info(msg)

    def warning(self, msg: object, /) -> None:
        self.count += 1
        if self.count <= MAX_WARNINGS:
            self.log.warning(msg)


@contextmanager
def _limited_warnings(log: Log) -> Iterator[Log]:
    """Pass on the first warnings to a log, and at the end how many more there were."""
    limited = _LimitedWarnings(log)
    yield limited
    if limited.count > MAX_WARNINGS:
        more = plural(limited.count - MAX_WARNINGS, "more warning")
        log.warning(f"There are {more} about the objects of the workspace.")


def _parsed(listing: Listing[_Item], items: Mapping[str, list[Any]], log: Log) -> list[_Item]:
    """Return the items of a list, each once, without the broken ones."""
    found: dict[str, _Item] = {}
    for item in items.get(listing.path, ()):
        try:
            parsed = listing.parse(item)
        except UnexpectedResponseError as error:
            log.warning(f"Skipped {_name_of(item)}. {error}")
            continue
        found.setdefault(parsed.id, parsed)
    return list(found.values())


def _name_of(item: object) -> str:
    """Return the id and the name of a broken object for the log, and no other value."""
    if not isinstance(item, dict):
        return "an object without an id"
    name = f" ({one_line(str(item['name']), 100)})" if item.get("name") else ""
    return f"the object with the id {one_line(str(item.get('id')), 100)!r}{name}"


def _usable(connections: Iterable[Connection], log: Log) -> list[Connection]:
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


def _without_secrets(source: Source) -> Source:
    # Only texts are used. Any other value may be nested more deeply than a snapshot can be.
    texts = ((key, source.config.get(key)) for key in _SOURCE_CONFIG)
    config = {key: text for key, text in texts if text and isinstance(text, str)}
    return source.model_copy(update={"config": config})


def _read_queries(sources: Iterable[Source], log: Log) -> dict[str, QueryLineage]:
    with_sql = [source for source in sources if isinstance(source.config.get("sql"), str)]
    if with_sql and not can_read_queries():
        log.warning(
            "sqlglot is not installed, so SQL models have no upstream tables. Run pip install "
            "'dagster-rudderstack[lineage]>=2', then refresh the snapshot."
        )
        return {}
    found = read_queries(
        [Query(source.config["sql"], source.source_definition_name) for source in with_sql]
    )
    queries = {}
    for source, query in zip(with_sql, found, strict=True):
        queries[source.id] = query
        if query.problem:
            log.warning(f"{_consequence(source, query)}: {query.problem}.{_remedy(query)}")
        if query.unread:
            log.warning(
                f"The SQL of source {_label(source)} may read tables that are not shown, from "
                f"{', '.join(query.unread)}. {ADD_TABLES.format('them')}"
            )
    return queries


def _consequence(source: Source, query: QueryLineage) -> str:
    name = _label(source)
    if not query.tables:
        return f"The SQL of source {name} cannot be read"
    return f"The SQL of source {name} shows its upstream tables, but not its upstream columns"


def _remedy(query: QueryLineage) -> str:
    return "" if query.tables else f" {ADD_TABLES.format('its tables')}"


def _label(source: Source) -> str:
    return f"{one_line(source.name, 100)!r} ({source.id})"

"""The snapshot of a workspace: its connections, sources and destinations.

A snapshot holds no credentials. It keeps the part of a source's `config` that names its rows, the
field that a constant fills, and nothing of a destination's `config`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from dagster_rudderstack.api.models import Connection, Destination, Source
from dagster_rudderstack.discovery.sql.lineage import QueryLineage
from dagster_rudderstack.errors import DiscoveryError
from dagster_rudderstack.sync.recorder import Log
from dagster_rudderstack.text import one_line, shown

__all__ = ["WorkspaceSnapshot", "constant_field", "storable"]

SNAPSHOT_VERSION = 1
"""Increased when a snapshot changes so that an older release cannot read it."""


class WorkspaceSnapshot(BaseModel):
    """A workspace at one moment. Definitions load from it without a request.

    Attributes:
        version: Version of the format.
        fetched_at: When it was read from RudderStack.
        connections: In no particular order.
        sources: The sources that the access token may read.
        destinations: The destinations that the access token may read.
        queries: What the SQL model of a source reads, by source id. Empty without sqlglot.
    """

    model_config = ConfigDict(frozen=True)

    version: int = SNAPSHOT_VERSION
    fetched_at: datetime
    connections: tuple[Connection, ...] = ()
    sources: tuple[Source, ...] = ()
    destinations: tuple[Destination, ...] = ()
    queries: dict[str, QueryLineage] = {}

    def dumps(self) -> str:
        """Return the snapshot as JSON.

        It has only the fields that the models name. An unknown field of an answer may be a secret,
        and a snapshot is committed, and copied into images.

        Raises:
            DiscoveryError: If JSON cannot hold one of its values.
        """
        lists = {
            "connections": self.connections,
            "sources": self.sources,
            "destinations": self.destinations,
        }
        known = {
            name: tuple(each.without_unknown() for each in objects)
            for name, objects in lists.items()
        }
        try:
            return self.model_copy(update=known).model_dump_json(by_alias=True, exclude_none=True)
        except ValueError as error:
            raise DiscoveryError(
                "The snapshot of the RudderStack workspace cannot be written as JSON: "
                f"{one_line(str(error))}."
            ) from error

    @classmethod
    def loads(cls, text: str) -> WorkspaceSnapshot:
        """Return the snapshot in a JSON text.

        Raises:
            DiscoveryError: If it is not a snapshot, or has a version that this library cannot read.
        """
        try:
            document = json.loads(text)
            version = document["version"]
        except (ValueError, TypeError, KeyError, RecursionError):
            raise DiscoveryError("The snapshot of the RudderStack workspace is damaged.") from None
        if version != SNAPSHOT_VERSION:
            raise DiscoveryError(
                f"The snapshot of the RudderStack workspace has version {shown(version)}, "
                f"but this release of dagster-rudderstack reads version {SNAPSHOT_VERSION}."
            )
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise DiscoveryError(
                f"The snapshot of the RudderStack workspace is damaged at {one_line(where)}."
            ) from None


def storable(snapshot: WorkspaceSnapshot, log: Log) -> WorkspaceSnapshot:
    """Return a snapshot as it is read back from a file.

    An object that cannot be written and read back is skipped with a warning, so that it does not
    cost the others their snapshot.

    Raises:
        DiscoveryError: If the rest cannot be written and read back either.
    """
    try:
        return _read_back(snapshot)
    except DiscoveryError:
        return _read_back(_without_unstorable(snapshot, log))


def _read_back(snapshot: WorkspaceSnapshot) -> WorkspaceSnapshot:
    return WorkspaceSnapshot.loads(snapshot.dumps())


def _without_unstorable(snapshot: WorkspaceSnapshot, log: Log) -> WorkspaceSnapshot:
    empty = WorkspaceSnapshot(fetched_at=snapshot.fetched_at)

    def is_storable(label: str, **alone: Any) -> bool:
        try:
            _read_back(empty.model_copy(update=alone))
        except DiscoveryError as error:
            log.warning(f"Skipped {label}. {error}")
            return False
        return True

    sources = {
        source.id: source
        for source in snapshot.sources
        if is_storable(f"source {_label(source)}", sources=(source,))
    }
    return empty.model_copy(
        update={
            "connections": tuple(
                connection
                for connection in snapshot.connections
                if is_storable(f"connection {connection.id!r}", connections=(connection,))
            ),
            "sources": tuple(sources.values()),
            "destinations": tuple(
                destination
                for destination in snapshot.destinations
                if is_storable(f"destination {_label(destination)}", destinations=(destination,))
            ),
            "queries": {
                source_id: query
                for source_id, query in snapshot.queries.items()
                if source_id in sources
                and is_storable(
                    f"the SQL of source {_label(sources[source_id])}", queries={source_id: query}
                )
            },
        }
    )


def _label(named: Source | Destination) -> str:
    return f"{one_line(named.name, 100)!r} ({named.id})"


def constant_field(constant: Mapping[str, Any]) -> str | None:
    """Return the field of the destination that a constant fills. None if it has none."""
    for key in ("key", "to", "name"):
        if isinstance(constant.get(key), str):
            return str(constant[key])
    return None

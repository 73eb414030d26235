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

__all__ = ["WorkspaceSnapshot", "constant_field"]

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
        """Return the snapshot as JSON."""
        return self.model_dump_json(by_alias=True, exclude_none=True)

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
                f"The snapshot of the RudderStack workspace has version {version!r}, "
                f"but this release of dagster-rudderstack reads version {SNAPSHOT_VERSION}."
            )
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise DiscoveryError(
                f"The snapshot of the RudderStack workspace is damaged at {where}."
            ) from None


def constant_field(constant: Mapping[str, Any]) -> str | None:
    """Return the field of the destination that a constant fills. None if it has none."""
    for key in ("key", "to", "name"):
        if isinstance(constant.get(key), str):
            return str(constant[key])
    return None

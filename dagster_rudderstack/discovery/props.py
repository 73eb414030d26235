"""What is known about a connection: its source, destination, fields and upstream tables."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import dagster as dg

from dagster_rudderstack.api.models import Connection, Destination, Source
from dagster_rudderstack.discovery.names import tag_value
from dagster_rudderstack.discovery.snapshot import constant_field
from dagster_rudderstack.discovery.sql.lineage import QueryLineage
from dagster_rudderstack.discovery.upstream import Upstream
from dagster_rudderstack.text import one_line

__all__ = ["MAX_NAME_LENGTH", "DestinationField", "RudderStackConnectionProps"]

MAX_NAME_LENGTH = 200

_KINDS = {
    "AM": "amplitude",
    "BQ": "bigquery",
    "BQSTREAM": "bigquery",
    "GA4": "googleanalytics",
    "HS": "hubspot",
    "MP": "mixpanel",
    "RS": "redshift",
}
_KIND_PREFIXES = {
    "FACEBOOK_": "facebook",
    "FB_": "facebook",
    "GOOGLE_ADWORDS_": "googleads",
    "LINKEDIN_": "linkedin",
    "SALESFORCE_": "salesforce",
    "TIKTOK_": "tiktok",
}
"""RudderStack abbreviates the types of some destinations, and has several types for some tools."""


@dataclass(frozen=True)
class DestinationField:
    """A field of the destination that a connection fills.

    Attributes:
        name: The name of the field.
        role: An `identifier` selects the record, a `mapping` is filled from a column, a `constant`
            has the same value in each record.
        columns: The columns of the source that fill it. Empty for a constant.
    """

    name: str
    role: Literal["identifier", "mapping", "constant"]
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class RudderStackConnectionProps:
    """A connection and what is known about it, from which a translator makes an asset.

    Attributes:
        connection: The connection, as RudderStack describes it.
        source: The source. None if the access token may not read it.
        destination: The destination. None if the access token may not read it.
        upstreams: The tables that the source reads, and their assets.
        query: What the source's SQL model reads. None if it has none, or if it was not read.
        link: The connection's page in the dashboard. None if unknown.
    """

    connection: Connection
    source: Source | None = None
    destination: Destination | None = None
    upstreams: tuple[Upstream, ...] = ()
    query: QueryLineage | None = None
    link: str | None = None

    @property
    def id(self) -> str:
        """The connection's id."""
        return self.connection.id

    @property
    def name(self) -> str:
        """`source to destination`, with the object if there is one. Connections have no names."""
        into = f" ({self.object})" if self.object else ""
        return f"{self.source_name} to {self.destination_name}{into}"

    @property
    def source_name(self) -> str:
        """The source's name, or its id."""
        name = one_line(self.source.name, MAX_NAME_LENGTH) if self.source else ""
        return name or self.connection.source_id

    @property
    def destination_name(self) -> str:
        """The destination's name, or its id."""
        name = one_line(self.destination.name, MAX_NAME_LENGTH) if self.destination else ""
        return name or self.connection.destination_id

    @property
    def destination_kind(self) -> str | None:
        """The destination's tool as a Dagster kind (`hubspot`). None if unknown."""
        return _destination_kind(self.destination.type) if self.destination else None

    @property
    def object(self) -> str | None:
        """Object of the destination (`Contact`). None if it has none or is unknown."""
        named = self.connection.object
        return one_line(named, MAX_NAME_LENGTH) or None if named else None

    @property
    def enabled(self) -> bool:
        """Whether data flows: the connection, its source and its destination are enabled."""
        ends = (self.connection, self.source, self.destination)
        return all(end.enabled for end in ends if end is not None)

    @cached_property
    def fields(self) -> tuple[DestinationField, ...]:
        """The fields that the connection fills: identifiers, then mappings, then constants."""
        found: dict[str, DestinationField] = {}
        for field in _fields(self.connection):
            first = found.get(field.name, field)
            columns = dict.fromkeys((*first.columns, *field.columns))
            found[field.name] = DestinationField(field.name, first.role, tuple(columns))
        return tuple(found.values())

    def origins(self, column: str) -> Iterator[tuple[Upstream, dg.TableColumn]]:
        """Yield the known upstream columns of a column of the source.

        Args:
            column: The column, as the source names it.
        """
        if self.query is not None:
            for origin in self.query.origins(column):
                # The snapshot may lack the source, or a file may be damaged.
                if 0 <= origin.table < len(self.upstreams):
                    upstream = self.upstreams[origin.table]
                    yield upstream, upstream.column(origin.column, origin.exact)
        elif len(self.upstreams) == 1:
            yield self.upstreams[0], self.upstreams[0].column(column)


def _fields(connection: Connection) -> Iterator[DestinationField]:
    for mapping in connection.identifiers:
        yield DestinationField(mapping.destination_field, "identifier", (mapping.source_column,))
    for mapping in connection.mappings:
        yield DestinationField(mapping.destination_field, "mapping", (mapping.source_column,))
    if connection.event is not None and connection.event.name_column:
        yield DestinationField("event", "mapping", (connection.event.name_column,))
    for name in map(constant_field, connection.constants):
        if name:
            yield DestinationField(name, "constant")


def _destination_kind(kind: str) -> str | None:
    name = _KINDS.get(kind.upper())
    for prefix, tool in _KIND_PREFIXES.items():
        name = name or (tool if kind.upper().startswith(prefix) else None)
    return name or tag_value(kind.lower()) or None

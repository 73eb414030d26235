"""What a workspace has: sources, destinations, and the connections between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dagster_rudderstack.testing.scripts import SyncScript
from dagster_rudderstack.testing.tables import TableSync

FieldPairs = Mapping[str, str] | Sequence[Mapping[str, str]] | None
"""Column -> field, as a mapping or as the API's list of {"from", "to"}."""


@dataclass(frozen=True)
class Source:
    """A Reverse ETL source. `wire_fields` are added to (or replace) what the API shows of it."""

    id: str
    name: str | None = None
    source_type: str = "table"
    definition: str = "postgres"
    config: Mapping[str, Any] = field(default_factory=dict)
    enabled: bool = True
    wire_fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Destination:
    """A destination. `wire_fields` are added to (or replace) what the API shows of it."""

    id: str
    name: str | None = None
    type: str = "WEBHOOK"
    config: Mapping[str, Any] = field(default_factory=dict)
    enabled: bool = True
    wire_fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Connection:
    """A Reverse ETL connection, and how the server treats it.

    source_id, destination_id: made if they do not exist; None makes ones of its own.
    script: how its syncs go; table: what they move, if they are to move real rows.
    parallel_syncs: a start while a sync runs is accepted instead of answered with 409.
    stopped_status, stop_delay_seconds: how a stopped sync ends, and how long after the request.
    deny: every request for this connection gets 403 with this text.
    wire_fields: added to (or replacing) what the API shows of it.
    """

    id: str
    source_id: str | None = None
    destination_id: str | None = None
    enabled: bool = True
    schedule: Mapping[str, Any] = field(default_factory=lambda: {"type": "manual"})
    script: SyncScript = field(default_factory=SyncScript)
    table: TableSync | None = None
    sync_behaviour: str | None = "upsert"
    identifiers: FieldPairs = None
    mappings: FieldPairs = None
    constants: Sequence[Mapping[str, Any]] | None = None
    object: str | None = None
    parallel_syncs: bool = False
    stopped_status: str = "failed"
    stop_delay_seconds: float = 0.0
    deny: str | None = None
    wire_fields: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.id:
            raise ValueError("A connection needs an id")
        if not self.stop_delay_seconds >= 0:
            raise ValueError(f"stop_delay_seconds must be 0 or more: {self.stop_delay_seconds!r}")


def source_of(source_id: str, table: TableSync | None) -> Source:
    """Make the source of a connection that did not say which; it tells what the table tells."""
    if table is None:
        return Source(source_id)
    config = {"primaryKey": table.primary_key}
    if table.sql is not None:
        return Source(source_id, source_type="model", config={**config, "sql": table.sql})
    schema, _, name = (table.table or "").rpartition(".")
    return Source(source_id, config={**config, "schema": schema or "main", "table": name})

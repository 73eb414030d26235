"""What a workspace has: sources, destinations, and the connections between them."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

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

    API_FIELDS: ClassVar[Sequence[str]] = (
        *("id", "name", "enabled", "sourceType", "sourceDefinitionName", "config", "accountId"),
        *("workspaceId", "externalId", "createdAt", "updatedAt"),
    )

    def __post_init__(self) -> None:
        _check_wire_fields(self)


@dataclass(frozen=True)
class Destination:
    """A destination. `wire_fields` are added to (or replace) what the API shows of it."""

    id: str
    name: str | None = None
    type: str = "WEBHOOK"
    config: Mapping[str, Any] = field(default_factory=dict)
    enabled: bool = True
    wire_fields: Mapping[str, Any] = field(default_factory=dict)

    API_FIELDS: ClassVar[Sequence[str]] = (
        *("id", "name", "type", "enabled", "workspaceId", "config", "createdAt", "updatedAt"),
    )

    def __post_init__(self) -> None:
        _check_wire_fields(self)


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

    API_FIELDS: ClassVar[Sequence[str]] = (
        *("id", "sourceId", "destinationId", "enabled", "externalId", "schedule", "syncBehaviour"),
        *("syncSettings", "identifiers", "mappings", "constants", "event", "object"),
        *("cursorColumn", "destinationConfig", "createdAt", "updatedAt"),
    )

    def __post_init__(self) -> None:
        if not self.id:
            raise ValueError("A connection needs an id")
        _check_wire_fields(self)
        check_script(self.script)
        if self.table is not None and not isinstance(self.table, TableSync):
            raise TypeError(f"table must be a TableSync, not {self.table!r}")
        if not isinstance(self.schedule, Mapping):
            raise TypeError(f"schedule must be as in {{'type': 'manual'}}, not {self.schedule!r}")
        if not self.stop_delay_seconds >= 0:
            raise ValueError(f"stop_delay_seconds must be 0 or more: {self.stop_delay_seconds!r}")


def check_script(script: object) -> None:
    """Check that a script is one. Raises TypeError."""
    if not isinstance(script, SyncScript):
        raise TypeError(f"script must be a SyncScript, not {script!r}")


_CAMEL_CASE = re.compile("[a-z][A-Za-z0-9]*")
_NEAR = 0.8
"""How alike two names are of which one is meant to be the other; 1 is the same."""


def _check_wire_fields(thing: Source | Destination | Connection) -> None:
    """Check that no wire field is a setting, or one misspelt. Raises ValueError.

    A field that the API does not have (yet) is let through.
    """
    settings = {each.name for each in fields(thing)} - {"wire_fields"}
    for name in thing.wire_fields:
        problem = None if name in thing.API_FIELDS else _problem(name, settings, thing.API_FIELDS)
        if problem is not None:
            raise ValueError(f"A {type(thing).__name__.lower()} has no field {name!r}. {problem}")


def _problem(name: str, settings: set[str], api_fields: Sequence[str]) -> str | None:
    if name in settings:
        return "It is a setting."
    near = difflib.get_close_matches(name, settings.union(api_fields), 1, _NEAR)
    if near:
        return f"Did you mean {near[0]!r}?"
    return None if _CAMEL_CASE.fullmatch(name) else "The API's fields are in camelCase."


def source_of(source_id: str, table: TableSync | None) -> Source:
    """Make the source of a connection that did not say which; it tells what the table tells."""
    if table is None:
        return Source(source_id)
    config = {"primaryKey": table.primary_key}
    if table.sql is not None:
        return Source(source_id, source_type="model", config={**config, "sql": table.sql})
    schema, _, name = (table.table or "").rpartition(".")
    return Source(source_id, config={**config, "schema": schema or "main", "table": name})

"""The objects of a workspace: sources, destinations, connections and projects."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

from dagster_rudderstack.testing.builds import TableBuild
from dagster_rudderstack.testing.scripts import RunScript, SyncScript
from dagster_rudderstack.testing.tables import TableSync

FieldPairs = Mapping[str, str] | Sequence[Mapping[str, str]] | None
"""Column -> field, as a mapping or as the API's list of {"from", "to"}."""


@dataclass(frozen=True)
class Source:
    """A Reverse ETL source.

    Attributes:
        id: Id of the source.
        name: Name of the source. None is the id.
        source_type: `table`, `model` or `audience`.
        definition: The kind of warehouse.
        config: What it reads, as the API returns it.
        enabled: Whether it is enabled.
        wire_fields: Fields that add to or replace the fields that the API returns.
    """

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
    """A destination.

    Attributes:
        id: Id of the destination.
        name: Name of the destination. None is the id.
        type: The tool, as RudderStack calls it, such as `HS` for HubSpot.
        config: Its settings, as the API returns them.
        enabled: Whether it is enabled.
        wire_fields: Fields that add to or replace the fields that the API returns.
    """

    id: str
    name: str | None = None
    type: str = "WEBHOOK"
    config: Mapping[str, Any] = field(default_factory=dict)
    enabled: bool = True
    wire_fields: Mapping[str, Any] = field(default_factory=dict)

    API_FIELDS: ClassVar[Sequence[str]] = (
        *("id", "name", "type", "enabled", "workspaceId", "config", "externalId", "version"),
        *("transformation", "createdAt", "updatedAt"),
    )

    def __post_init__(self) -> None:
        _check_wire_fields(self)


@dataclass(frozen=True)
class Connection:
    """A Reverse ETL connection, and how the server treats it.

    Attributes:
        id: Id of the connection.
        source_id: Id of the source, which is added if it does not exist. None adds a new one.
        destination_id: Id of the destination, as for the source.
        enabled: Whether it can be synced.
        schedule: Schedule as the API returns it.
        sync_behaviour: "upsert", "mirror" or "full".
        identifiers: Column to field, as a mapping or as the API's list.
        mappings: Column to field, as a mapping or as the API's list.
        constants: Constants as the API returns them.
        object: Object in the destination.
        script: What its syncs do.
        table: The rows to move, if its syncs move real rows.
        parallel_syncs: Whether a start is accepted while a sync runs. If not, the answer is 409.
        stopped_status: Status of a sync that was stopped.
        stop_delay_seconds: Seconds from the request to stop until the sync ends.
        deny: If set, every request for this connection is answered with 403 and this text.
        wire_fields: Fields that add to or replace the fields that the API returns.
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
        for constant in self.constants or ():
            _check_constant(constant)
        check_script(self.script)
        if self.table is not None and not isinstance(self.table, TableSync):
            raise TypeError(f"table must be a TableSync, not {self.table!r}")
        if not isinstance(self.schedule, Mapping):
            raise TypeError(
                f"schedule must be a mapping such as {{'type': 'manual'}}, not {self.schedule!r}"
            )
        if not self.stop_delay_seconds >= 0:
            raise ValueError(f"stop_delay_seconds must be 0 or more: {self.stop_delay_seconds!r}")


@dataclass(frozen=True)
class Project:
    """A Profiles project or ETL source, and how the server treats it.

    Attributes:
        id: Id of the source.
        script: What its runs do.
        build: The tables to build, if its runs build real tables.
        start_status: Status of the answer to a start: 200 with the run id, or 201 or 204 without.
        legacy_status: Whether `/sources/{id}/status` exists, which shows the newest run.
        deny: If set, every request for it is answered with 403 and this text.
    """

    id: str
    script: RunScript = field(default_factory=RunScript)
    build: TableBuild | None = None
    start_status: Literal[200, 201, 204] = 200
    legacy_status: bool = True
    deny: str | None = None

    def __post_init__(self) -> None:
        if not self.id:
            raise ValueError("A project needs an id")
        check_run_script(self.script)
        if self.build is not None and not isinstance(self.build, TableBuild):
            raise TypeError(f"build must be a TableBuild, not {self.build!r}")
        if self.start_status not in (200, 201, 204):
            raise ValueError(f"start_status must be 200, 201 or 204, not {self.start_status!r}")


def _check_constant(constant: object) -> None:
    """Raise TypeError unless this is a constant as the API has it. A number breaks its clients."""
    texts = dict(constant) if isinstance(constant, Mapping) else {}
    if texts.keys() != {"key", "value"} or not all(isinstance(t, str) for t in texts.values()):
        raise TypeError(
            f"a constant must have a key and a value, both texts, not {constant!r}: "
            "{'key': 'source', 'value': 'dagster'}"
        )


def check_script(script: object) -> None:
    """Raise TypeError unless this is a SyncScript."""
    if not isinstance(script, SyncScript):
        raise TypeError(f"script must be a SyncScript, not {script!r}")


def check_run_script(script: object) -> None:
    """Raise TypeError unless this is a RunScript."""
    if not isinstance(script, RunScript):
        raise TypeError(f"script must be a RunScript, not {script!r}")


_CAMEL_CASE = re.compile("[a-z][A-Za-z0-9]*")
_MIN_SIMILARITY = 0.8
"""Similarity from which on a name counts as a misspelling of another; 1 means equal."""


def _check_wire_fields(thing: Source | Destination | Connection) -> None:
    """Raise ValueError if a wire field is a setting, or a misspelling of a known name.

    Other names are accepted, because the API may add fields.
    """
    settings = {each.name for each in fields(thing)} - {"wire_fields"}
    for name in thing.wire_fields:
        problem = None if name in thing.API_FIELDS else _problem(name, settings, thing.API_FIELDS)
        if problem is not None:
            raise ValueError(f"A {type(thing).__name__.lower()} has no field {name!r}. {problem}")


def _problem(name: str, settings: set[str], api_fields: Sequence[str]) -> str | None:
    if name in settings:
        return "It is a setting."
    similar = difflib.get_close_matches(name, settings.union(api_fields), 1, _MIN_SIMILARITY)
    if similar:
        return f"Did you mean {similar[0]!r}?"
    return None if _CAMEL_CASE.fullmatch(name) else "The API's fields are in camelCase."


def source_of(source_id: str, table: TableSync | None) -> Source:
    """Make the source of a connection that names none. It describes the connection's table."""
    if table is None:
        return Source(source_id)
    config = {"primaryKey": table.primary_key}
    if table.sql is not None:
        return Source(source_id, source_type="model", config={**config, "sql": table.sql})
    schema, _, name = (table.table or "").rpartition(".")
    return Source(source_id, config={**config, "schema": schema or "main", "table": name})

"""Translates a connection into an asset: its key, description, columns and lineage."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import dagster as dg

from dagster_rudderstack.api.models import Connection, Destination, Schedule, Source
from dagster_rudderstack.api.validation import checked_choice
from dagster_rudderstack.asset_specs import KIND
from dagster_rudderstack.discovery.snapshot import constant_field
from dagster_rudderstack.discovery.sql.lineage import QueryLineage
from dagster_rudderstack.discovery.upstream import (
    COLUMN_SCHEMA,
    UNKNOWN_TYPE,
    Upstream,
    loses_letters,
    safe_part,
    without_accents,
)
from dagster_rudderstack.metadata import MetadataKey
from dagster_rudderstack.text import one_line

__all__ = [
    "DagsterRudderStackTranslator",
    "DestinationField",
    "KeyBy",
    "RudderStackConnectionProps",
]

GROUP = "rudderstack"
COLUMN_LINEAGE = "dagster/column_lineage"

KeyBy = Literal["name", "id"]

MAX_NAME_LENGTH = 200
MAX_TAG_LENGTH = 63
"""Dagster's own limit for the value of a tag."""

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
"""RudderStack abbreviates the types of some destinations, and has several for some tools."""


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
        query: What the source's SQL model reads. None if it has none, or it was not read.
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
        """`source to destination`, with the object if there is one: connections have no name."""
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
        """The tool, as a kind of Dagster (`hubspot`). None if unknown."""
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
        """The fields that the connection fills, each once: identifiers, mappings, constants."""
        found: dict[str, DestinationField] = {}
        for field in _fields(self.connection):
            first = found.get(field.name, field)
            columns = dict.fromkeys((*first.columns, *field.columns))
            found[field.name] = DestinationField(field.name, first.role, tuple(columns))
        return tuple(found.values())

    def origins(self, column: str) -> Iterator[tuple[Upstream, dg.TableColumn]]:
        """Yield the known upstream columns of a column of the source."""
        if self.query is not None:
            for origin in self.query.origins(column):
                upstream = self.upstreams[origin.table]
                yield upstream, upstream.column(origin.column)
        elif len(self.upstreams) == 1:
            yield self.upstreams[0], self.upstreams[0].column(column)


def _fields(connection: Connection) -> Iterator[DestinationField]:
    for mapping in connection.identifiers:
        yield DestinationField(mapping.destination_field, "identifier", (mapping.source_column,))
    for mapping in connection.mappings:
        yield DestinationField(mapping.destination_field, "mapping", (mapping.source_column,))
    for name in map(constant_field, connection.constants):
        if name:
            yield DestinationField(name, "constant")


class DagsterRudderStackTranslator:
    """Makes the asset of a connection; override `get_asset_spec` to make another.

        class Translator(DagsterRudderStackTranslator):
            def get_asset_spec(self, props):
                spec = super().get_asset_spec(props)
                return spec.replace_attributes(group_name="activation", owners=["team:crm"])

    Args:
        key_by: `name` makes readable keys (`rudderstack/hubspot/contact/customers`),
            of the names of the destination and the source. Renaming one in RudderStack makes a new
            asset. `id` makes keys that survive renames (`rudderstack/2hkeBOp0…`).

    Raises:
        InvalidSettingError: If `key_by` is something else.
    """

    def __init__(self, key_by: KeyBy = "name") -> None:
        checked_choice(key_by, KeyBy, "key_by")
        self._key_by = key_by

    def get_asset_spec(self, props: RudderStackConnectionProps) -> dg.AssetSpec:
        """Return the asset of a connection."""
        return dg.AssetSpec(
            key=_key(props, self._key_by),
            deps=_deps(props),
            description=_description(props),
            group_name=GROUP,
            kinds={kind for kind in (KIND, props.destination_kind) if kind},
            tags=_tags(props),
            metadata={**_facts(props), **_columns(props)},
        )


# --- key, kinds, tags


def _key(props: RudderStackConnectionProps, key_by: KeyBy) -> dg.AssetKey:
    if key_by == "id":
        return dg.AssetKey([KIND, safe_part(props.id)])
    connection = props.connection
    parts = [
        _name_part(props.destination_name, connection.destination_id),
        key_part(props.object or ""),
        _name_part(props.source_name, connection.source_id),
    ]
    return dg.AssetKey([KIND, *(part for part in parts if part)])


def _name_part(name: str, its_id: str) -> str:
    """Return a name as a part of a key, with the id if the name alone would lose letters."""
    parts = (key_part(name), safe_part(its_id) if loses_letters(name) else "")
    return "_".join(part for part in parts if part) or safe_part(its_id)


def key_part(name: str) -> str:
    """Return a name as a part of a key: lower case, words joined by underscores."""
    return re.sub(r"[^a-z0-9]+", "_", without_accents(name).lower()).strip("_")


def _destination_kind(kind: str) -> str | None:
    name = _KINDS.get(kind.upper())
    for prefix, tool in _KIND_PREFIXES.items():
        name = name or (tool if kind.upper().startswith(prefix) else None)
    return name or _tag_value(kind.lower()) or None


def _tags(props: RudderStackConnectionProps) -> dict[str, str]:
    tags = {
        "rudderstack/source": _tag_value(props.source_name),
        "rudderstack/destination": _tag_value(props.destination_name),
        "rudderstack/destination_type": _tag_value(props.destination_kind or ""),
        "rudderstack/enabled": "" if props.enabled else "false",
    }
    return {name: value for name, value in tags.items() if value}


def _tag_value(text: str) -> str:
    """Return a text as Dagster accepts tag values: letters, digits, dashes, dots, underscores."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text).strip("_")[:MAX_TAG_LENGTH]


# --- words


def _description(props: RudderStackConnectionProps) -> str:
    destination = props.destination
    tool = f" ({one_line(destination.type, MAX_NAME_LENGTH)})" if destination else ""
    into = f", object {props.object}" if props.object else ""
    what = f"{props.source_name}{_read_from(props)} to {props.destination_name}{tool}{into}"
    sentences = [
        f"Reverse ETL sync of {what}.",
        _schedule_sentence(props.connection.schedule),
        "" if props.enabled else "Disabled in RudderStack.",
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _read_from(props: RudderStackConnectionProps) -> str:
    source = props.source
    if source is None:
        return ""
    what = {"model": "SQL model on", "table": "table"}.get(source.source_type, source.source_type)
    tables = ", ".join(str(upstream.table) for upstream in props.upstreams)
    warehouse = source.source_definition_name
    words = [what, tables, f"in {warehouse}" if warehouse else ""]
    return f" ({' '.join(one_line(word, MAX_NAME_LENGTH) for word in words if word)})"


def _schedule_sentence(schedule: Schedule | None) -> str:
    if schedule is None or schedule.type == "manual":
        return ""
    return f"RudderStack also starts it itself: {_schedule_text(schedule)}."


def _schedule_text(schedule: Schedule) -> str:
    if schedule.every_minutes is not None:
        return f"every {schedule.every_minutes} min"
    if schedule.cron_expression is not None:
        return f"{one_line(schedule.cron_expression, MAX_NAME_LENGTH)} (UTC)"
    return one_line(schedule.type, MAX_NAME_LENGTH)


# --- metadata


def _facts(props: RudderStackConnectionProps) -> dict[str, dg.MetadataValue]:
    connection, source, destination = props.connection, props.source, props.destination
    schedule = connection.schedule
    texts = {
        MetadataKey.CONNECTION_ID: connection.id,
        MetadataKey.SOURCE_ID: connection.source_id,
        MetadataKey.SOURCE_NAME: source and source.name,
        MetadataKey.SOURCE_TYPE: source and source.source_type,
        MetadataKey.SOURCE_TABLES: ", ".join(str(each.table) for each in props.upstreams),
        MetadataKey.WAREHOUSE: source and source.source_definition_name,
        MetadataKey.DESTINATION_ID: connection.destination_id,
        MetadataKey.DESTINATION_NAME: destination and destination.name,
        MetadataKey.DESTINATION_TYPE: destination and destination.type,
        MetadataKey.OBJECT: connection.object,
        MetadataKey.SYNC_BEHAVIOUR: connection.sync_behaviour,
        MetadataKey.SCHEDULE: schedule and _schedule_text(schedule),
        MetadataKey.CURSOR_COLUMN: connection.cursor_column,
    }
    facts: dict[str, dg.MetadataValue] = {
        key: dg.MetadataValue.text(one_line(value)) for key, value in texts.items() if value
    }
    facts[MetadataKey.ENABLED] = dg.MetadataValue.bool(props.enabled)
    if props.link:
        facts[MetadataKey.LINK] = dg.MetadataValue.url(props.link)
    return facts


def _deps(props: RudderStackConnectionProps) -> list[dg.AssetKey]:
    keys = (upstream.key for upstream in props.upstreams)
    return list(dict.fromkeys(key for key in keys if key is not None))


def _columns(
    props: RudderStackConnectionProps,
) -> Mapping[str, dg.MetadataValue]:
    """Return the columns of the destination and their lineage. Empty if no field is known.

    With the JSON mapper RudderStack may send all columns of the source without naming them.
    """
    if not props.fields:
        return {}
    origins = {field.name: _field_origins(props, field) for field in props.fields}
    columns = [_column(props, field, origins[field.name]) for field in props.fields]
    metadata: dict[str, dg.MetadataValue] = {
        COLUMN_SCHEMA: dg.MetadataValue.table_schema(dg.TableSchema(columns=columns))
    }
    lineage = {
        name: list(dict.fromkeys(_lineage(found))) for name, found in origins.items() if found
    }
    if any(lineage.values()):
        metadata[COLUMN_LINEAGE] = dg.MetadataValue.column_lineage(dg.TableColumnLineage(lineage))
    return metadata


Origins = list[tuple[Upstream, dg.TableColumn]]


def _field_origins(props: RudderStackConnectionProps, field: DestinationField) -> Origins:
    return [origin for column in field.columns for origin in props.origins(column)]


def _lineage(origins: Iterable[tuple[Upstream, dg.TableColumn]]) -> Iterator[dg.TableColumnDep]:
    for upstream, column in origins:
        if upstream.key is not None:
            yield dg.TableColumnDep(asset_key=upstream.key, column_name=column.name)


def _column(
    props: RudderStackConnectionProps, field: DestinationField, origins: Origins
) -> dg.TableColumn:
    return dg.TableColumn(
        name=field.name,
        type=_column_type(props, field, origins),
        description=_column_description(field),
        constraints=dg.TableColumnConstraints(other=["identifier"])
        if field.role == "identifier"
        else None,
    )


def _column_type(
    props: RudderStackConnectionProps, field: DestinationField, origins: Origins
) -> str:
    """Return the type of the upstream column that fills the field unchanged, or `unknown`."""
    if field.role == "constant":
        return "string"
    computed = props.query is not None and field.columns[0].lower() in props.query.columns
    if computed or len(field.columns) != 1 or len(origins) != 1:
        return UNKNOWN_TYPE
    return origins[0][1].type


def _column_description(field: DestinationField) -> str:
    if field.role == "constant":
        return "The same value in each record"
    return f"From {', '.join(field.columns)}"

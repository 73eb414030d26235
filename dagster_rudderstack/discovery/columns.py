"""The columns of a connection's asset and their lineage, as Dagster's metadata."""

from collections.abc import Iterable, Iterator, Mapping

import dagster as dg

from dagster_rudderstack.discovery.props import DestinationField, RudderStackConnectionProps
from dagster_rudderstack.discovery.upstream import COLUMN_SCHEMA, UNKNOWN_TYPE, Upstream
from dagster_rudderstack.text import escaped_markdown

__all__ = ["column_metadata"]

COLUMN_LINEAGE = "dagster/column_lineage"

MAX_ORIGINS = 5
"""How many upstream columns the description of a column names."""

Origins = list[tuple[Upstream, dg.TableColumn]]


def column_metadata(
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
        description=_column_description(props, field),
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
    computed = props.query is not None and props.query.is_computed(field.columns[0])
    if computed or len(field.columns) != 1 or len(origins) != 1:
        return UNKNOWN_TYPE
    return origins[0][1].type


def _column_description(props: RudderStackConnectionProps, field: DestinationField) -> str:
    """Return where a field comes from, since Dagster's pages do not show the lineage of columns."""
    if field.role == "constant":
        return "The same value in each record"
    origins = dict.fromkeys(each for name in field.columns for each in _origins(props, name))
    named = list(origins)[:MAX_ORIGINS]
    more = len(origins) - len(named)
    return f"From {', '.join(named)}{f' and {more} more' if more else ''}"


def _origins(props: RudderStackConnectionProps, column: str) -> list[str]:
    found = [
        f"{_code(origin.name)} of {_code(str(upstream.table))}"
        for upstream, origin in props.origins(column)
    ]
    return found or [_code(column)]


def _code(name: str) -> str:
    """Return a name as code in Markdown, or as text if it cannot be code."""
    is_plain = "`" not in name and name.isprintable() and name.strip() == name != ""
    return f"`{name}`" if is_plain else escaped_markdown(name)

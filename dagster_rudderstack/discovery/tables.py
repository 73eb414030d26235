"""The tables and files that a source reads."""

from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg

from dagster_rudderstack.api.models import Source
from dagster_rudderstack.discovery.names import safe_part
from dagster_rudderstack.discovery.sql.lineage import QueryLineage, TableName

__all__ = ["UpstreamTable", "external_key", "tables_of"]


@dataclass(frozen=True)
class UpstreamTable:
    """A table, or files in a bucket, that a source reads.

    Attributes:
        name: The name that the source uses. For files, the bucket and the prefix.
        warehouse: The kind of warehouse, as RudderStack calls it (`snowflake`). None if unknown.
        uri: The address of files (`s3://bucket/prefix`). None for tables.
    """

    name: TableName
    warehouse: str | None = None
    uri: str | None = None

    def __str__(self) -> str:
        return self.uri or str(self.name)


def tables_of(source: Source, query: QueryLineage | None) -> tuple[UpstreamTable, ...]:
    """Return the tables that a source reads. Empty if they are unknown, as for an audience.

    Args:
        source: The source.
        query: What its SQL model reads. None if it has none, or if it was not read.
    """
    warehouse = source.source_definition_name
    if query is not None:
        return tuple(UpstreamTable(name, warehouse) for name in query.tables)
    schema, table = source.config.get("schema"), source.config.get("table")
    if isinstance(table, str) and table:
        schema_name = schema if isinstance(schema, str) and schema else None
        return (UpstreamTable(TableName(name=table, schema_name=schema_name), warehouse),)
    return tuple(_files(source.config.get("bucketName"), source.config.get("objectPrefix")))


def _files(bucket: object, prefix: object) -> Iterator[UpstreamTable]:
    if not isinstance(bucket, str) or not bucket:
        return
    path = prefix.strip("/") if isinstance(prefix, str) else ""
    name = TableName(name=path, schema_name=bucket) if path else TableName(name=bucket)
    yield UpstreamTable(name, "s3", f"s3://{bucket}/{path}".rstrip("/"))


def external_key(table: UpstreamTable) -> dg.AssetKey:
    """Return the key of a table that is not a known asset: its name in lower case."""
    parts = (piece for part in table.name.parts for piece in part.lower().split("/"))
    # A name of slashes has no pieces, but a key needs one.
    return dg.AssetKey([safe_part(piece) for piece in parts if piece] or ["_"])

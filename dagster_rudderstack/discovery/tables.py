"""The tables and files that a source reads."""

from collections.abc import Iterator
from dataclasses import dataclass

from dagster_rudderstack.api.models import Source
from dagster_rudderstack.discovery.sql.lineage import QueryLineage, TableName

__all__ = ["UpstreamTable", "tables_of"]


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

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the name, as the source has them. Each folder of files is a part."""
        return self._parts(self.name.parts)

    @property
    def spelled(self) -> tuple[str, ...]:
        """`parts` as the warehouse spells them."""
        return self._parts(self.name.spelled)

    def _parts(self, parts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(each for part in parts for each in part.split("/")) if self.uri else parts


def tables_of(source: Source, query: QueryLineage | None) -> tuple[UpstreamTable, ...]:
    """Return the tables that a source reads. Empty if they are unknown, as for an audience.

    Args:
        source: The source.
        query: What its SQL model reads. None if it has none, or if it was not read.
    """
    warehouse = source.source_definition_name
    database, schema, table = (_text(source, key) for key in ("database", "schema", "table"))
    if query is not None:
        return tuple(
            UpstreamTable(_completed(name, schema, database), warehouse) for name in query.tables
        )
    if table:
        return (UpstreamTable(TableName(name=table, schema_name=schema), warehouse),)
    return tuple(_files(source.config.get("bucketName"), source.config.get("objectPrefix")))


def _text(source: Source, key: str) -> str | None:
    value = source.config.get(key)
    return value if isinstance(value, str) and value else None


def _completed(name: TableName, schema: str | None, database: str | None) -> TableName:
    """Return the name of a table with the schema and the database of the session, if known."""
    if name.schema_name or not schema:
        return name
    before = (database, schema) if database else (schema,)
    return TableName(
        name=name.name,
        schema_name=schema,
        catalog=database,
        exact=(*before, *name.exact) if name.exact else None,
    )


def _files(bucket: object, prefix: object) -> Iterator[UpstreamTable]:
    if not isinstance(bucket, str) or not bucket:
        return
    path = prefix.strip("/") if isinstance(prefix, str) else ""
    name = TableName(name=path, schema_name=bucket) if path else TableName(name=bucket)
    yield UpstreamTable(name, "s3", f"s3://{bucket}/{path}".rstrip("/"))

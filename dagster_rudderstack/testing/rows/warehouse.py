"""Reads the rows of a source from a DuckDB warehouse."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dagster_rudderstack.testing.rows.destinations import quoted_part
from dagster_rudderstack.testing.rows.duckdb_files import open_duckdb
from dagster_rudderstack.testing.rows.duckdb_values import Value
from dagster_rudderstack.testing.tables import TableSync

if TYPE_CHECKING:
    import duckdb

_SCHEMA_AND_TABLE = 2
NO_OTHER_FILES = {"enable_external_access": "false", "lock_configuration": "true"}


@dataclass(frozen=True)
class Column:
    """A column of the source, with its DuckDB type."""

    name: str
    type: str


@dataclass(frozen=True)
class Extract:
    """The columns and rows of a source."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Value]]

    def index(self, name: str) -> int:
        """Return the index of a column. Raises LookupError, which names the existing columns."""
        for index, column in enumerate(self.columns):
            if column.name == name:
                return index
        known = ", ".join(column.name for column in self.columns)
        raise LookupError(f'The source has no column "{name}". Its columns: {known}')


def read_source(
    table: TableSync, must_stop: Callable[[], bool], *, reads_files: bool = True
) -> Extract:
    """Read all rows of the source. The warehouse is open read-only, and only meanwhile.

    Without `reads_files`, DuckDB refuses SQL that reads or writes another file.
    """
    settings = {} if reads_files else NO_OTHER_FILES
    warehouse = Path(table.warehouse)
    with closing(
        open_duckdb(warehouse, read_only=True, must_stop=must_stop, settings=settings)
    ) as opened:
        relation = opened.sql(table.sql) if table.sql is not None else _table(opened, table.table)
        if relation is None:
            raise ValueError("The sql of the source is not a query")
        types = [str(each) for each in relation.types]
        columns = [Column(*each) for each in zip(relation.columns, types, strict=True)]
        return Extract(columns, relation.fetchall())


def _table(opened: "duckdb.DuckDBPyConnection", name: str | None) -> "duckdb.DuckDBPyRelation":
    parts = (name or "").split(".")
    if len(parts) == _SCHEMA_AND_TABLE:
        # Without the database, a schema with the name of its file would be ambiguous.
        database = opened.execute("SELECT current_database()").fetchall()[0][0]
        parts = [database, *parts]
    return opened.sql(f"FROM {'.'.join(quoted_part(part) for part in parts)}")

"""Destination files, in DuckDB or SQLite, with a record of the rows that were delivered."""

# ruff: noqa: S608 - names are quoted, and values are parameters

import re
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, Protocol, TypeVar

from dagster_rudderstack.testing.rows.duckdb_files import LOCK_TIMEOUT_SECONDS, open_duckdb
from dagster_rudderstack.testing.rows.duckdb_values import Value, bindable, canonical_text, plain

T = TypeVar("T")

STATE_TABLE = "_rudderstack_sync_state"
SQLITE_SUFFIXES = (".sqlite", ".sqlite3", ".db")

# SQLite before 3.32 allows 999 parameters in a statement.
_MAX_PARAMETERS = 900

# Types whose values do not change on the way through Python. Other values are written as text.
_KEPT_TYPE = re.compile(
    r"(?:BOOLEAN|U?(?:TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT)|FLOAT|DOUBLE|DECIMAL\(\d+,\s*\d+\)"
    r"|VARCHAR|BLOB|UUID|DATE|TIME|INTERVAL|TIMESTAMP(?: WITH TIME ZONE)?)(?:\[\])*"
)


class NamedColumn(Protocol):
    """A column and its DuckDB type."""

    @property
    def name(self) -> str:
        """Name of the column."""
        ...

    @property
    def type(self) -> str:
        """Type as DuckDB writes it, such as DECIMAL(10,2)."""
        ...


class _Connection(Protocol):
    """The common methods of DuckDB's and SQLite's connections."""

    def execute(self, sql: str, parameters: Any = ..., /) -> Any: ...

    def commit(self) -> Any: ...

    def close(self) -> None: ...


def open_destination(path: Path, must_stop: Callable[[], bool]) -> "DestinationFile":
    """Open or create the file. Waits while another process writes to it, as `open_duckdb` does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() in SQLITE_SUFFIXES:
        # Transactions are explicit, as in DuckDB.
        connection = sqlite3.connect(path, timeout=LOCK_TIMEOUT_SECONDS, isolation_level=None)
        return DestinationFile(connection, types_are_kept=False)
    return DestinationFile(
        open_duckdb(path, read_only=False, must_stop=must_stop), types_are_kept=True
    )


class DestinationFile:
    """A destination file that is open for writing."""

    def __init__(self, connection: _Connection, *, types_are_kept: bool) -> None:
        self._connection = connection
        self._types_are_kept = types_are_kept
        self._run("BEGIN TRANSACTION")
        self._run(
            f"CREATE TABLE IF NOT EXISTS {STATE_TABLE}"
            " (connection_id VARCHAR, row_key VARCHAR, row_hash VARCHAR)"
        )

    def _run(self, sql: str, parameters: Sequence[Value] = ()) -> Any:
        return self._connection.execute(sql, list(parameters))

    def close(self) -> None:
        """Close the file and roll back what was not committed."""
        self._connection.close()

    def commit(self) -> None:
        """Commit, and begin the next transaction."""
        self._run("COMMIT")
        self._run("BEGIN TRANSACTION")

    def prepare(self, table: str, fields: Sequence[NamedColumn]) -> None:
        """Create the table, or add its missing columns."""
        columns = ", ".join(self._column(field) for field in fields)
        self._run(f"CREATE TABLE IF NOT EXISTS {quoted(table)} ({columns})")
        present = self._column_names(table)
        for field in fields:
            if field.name.lower() not in present:
                self._run(f"ALTER TABLE {quoted(table)} ADD COLUMN {self._column(field)}")
        self.commit()

    def _column(self, field: NamedColumn) -> str:
        if not self._types_are_kept:
            # In a column without a type, SQLite stores each value unchanged.
            return quoted_part(field.name)
        return f"{quoted_part(field.name)} {kept_type(field)}"

    def _column_names(self, table: str) -> AbstractSet[str]:
        cursor = self._run(f"SELECT * FROM {quoted(table)} LIMIT 0")
        return {each[0].lower() for each in cursor.description}

    def upsert(
        self,
        table: str,
        fields: Sequence[NamedColumn],
        key_field: str,
        rows: Sequence[Sequence[Value]],
    ) -> None:
        """Write the rows, and replace those with the same keys."""
        written = [self._writable(fields, row) for row in rows]
        key_index = [field.name for field in fields].index(key_field)
        self._delete_where(table, key_field, [row[key_index] for row in written])
        self._insert(table, [field.name for field in fields], written)

    def _writable(self, fields: Sequence[NamedColumn], row: Sequence[Value]) -> Sequence[Value]:
        return [
            storable(field, value) if self._types_are_kept else plain(value)
            for field, value in zip(fields, row, strict=True)
        ]

    def delete(self, table: str, key_field: str, keys: Collection[str]) -> None:
        """Delete the rows with these keys, given as canonical texts."""
        if not keys:
            return
        present = self._run(f"SELECT {quoted_part(key_field)} FROM {quoted(table)}").fetchall()
        gone = [bindable(key) for (key,) in present if _is_one_of(key, keys)]
        self._delete_where(table, key_field, gone)

    def delivered_hashes(self, connection_id: str) -> Mapping[str, str]:
        """Return the hash of each row that the connection has delivered, by the text of its key."""
        query = f"SELECT row_key, row_hash FROM {STATE_TABLE} WHERE connection_id = ?"
        return dict(self._run(query, [connection_id]).fetchall())

    def record_delivered(self, connection_id: str, hashes: Sequence[tuple[str, str]]) -> None:
        """Record the keys and hashes of rows that were delivered."""
        self.forget(connection_id, [key for key, _ in hashes])
        rows = [(connection_id, key, row_hash) for key, row_hash in hashes]
        self._insert(STATE_TABLE, ["connection_id", "row_key", "row_hash"], rows)

    def forget(self, connection_id: str, keys: Collection[str]) -> None:
        """Remove the record of rows that were deleted."""
        self._delete_where(STATE_TABLE, "row_key", list(keys), connection_id)

    def _insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
        insert_rows(self._run, quoted(table), columns, rows)

    def _delete_where(
        self,
        table: str,
        column: str,
        values: Sequence[Value],
        connection_id: str | None = None,
    ) -> None:
        mine = "" if connection_id is None else "connection_id = ? AND "
        first = [] if connection_id is None else [connection_id]
        for chunk in _chunks(values, _MAX_PARAMETERS - 1):
            condition = f"{mine}{quoted_part(column)} IN ({_marks(len(chunk))})"
            self._run(f"DELETE FROM {quoted(table)} WHERE {condition}", [*first, *chunk])


def quoted(dotted_name: str) -> str:
    """Quote the name of a table, with or without its schema."""
    return ".".join(quoted_part(part) for part in dotted_name.split("."))


def quoted_part(name: str) -> str:
    """Quote one name. A dot in it does not separate."""
    return '"' + name.replace('"', '""') + '"'


def insert_rows(
    run: Callable[[str, list[Value]], object],
    table: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Value]],
) -> None:
    """Insert rows into a table, whose name is quoted, with a few statements."""
    names = ", ".join(quoted_part(name) for name in columns)
    row_marks = f"({_marks(len(columns))})"
    for chunk in _chunks(rows, max(1, _MAX_PARAMETERS // len(columns))):
        marks = ", ".join([row_marks] * len(chunk))
        values = [value for row in chunk for value in row]
        run(f"INSERT INTO {table} ({names}) VALUES {marks}", values)


def kept_type(column: NamedColumn) -> str:
    """Return the type of a column in DuckDB that holds the values of this one."""
    return column.type if _is_kept(column) else "VARCHAR"


def storable(column: NamedColumn, value: Value) -> Value:
    """Return a value as a parameter for a column with the type of `kept_type`."""
    return bindable(value) if _is_kept(column) else plain(value)


def _is_kept(field: NamedColumn) -> bool:
    return _KEPT_TYPE.fullmatch(field.type) is not None


def _is_one_of(key: Value, texts: Collection[str]) -> bool:
    return key is not None and canonical_text(key) in texts


def _marks(count: int) -> str:
    return ", ".join("?" * count)


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]

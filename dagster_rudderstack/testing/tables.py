"""`TableSync`: the real rows that the syncs of a connection move."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path


@dataclass(frozen=True)
class TableSync:
    """A table or query of a DuckDB warehouse, and the destination file of its rows.

    The destination rejects rows that violate `required` or `patterns`. They count as failed.

    As RudderStack does, a sync writes its log into the warehouse when it ends: the table
    `_rudderstack.sync_log` and, for the sync behaviour `mirror` and for `upsert` without a
    `cursorColumn`, a snapshot of the rows. It writes none if the connection's `syncSettings` switch
    the logs off. If the log cannot be written, for example because another process has the file
    open for more than five seconds, the sync ends without it.

    Attributes:
        warehouse: DuckDB file. It is opened read-only while rows are read, and for writing while
            the log is written.
        table: Table to read. Give either `table` or `sql`.
        primary_key: Column that identifies a row.
        destination: DuckDB file, or SQLite file if its name ends in .sqlite, .sqlite3 or .db.
        destination_table: Table to write. It and its columns are added if they do not exist.
        sql: Query to read.
        mappings: Column to field of the destination. None delivers all columns under their own
            names. The primary key is always delivered.
        required: Fields that must not be null or blank.
        patterns: Field to regular expression, which must match the whole text of the field.
    """

    warehouse: str | Path
    table: str | None = None
    primary_key: str = "id"
    destination: str | Path = "destination.duckdb"
    destination_table: str = "records"
    sql: str | None = None
    mappings: Mapping[str, str] | None = None
    required: tuple[str, ...] = ()
    patterns: Mapping[str, str] = field(default_factory=dict)

    def in_folder(self, folder: Path) -> "TableSync":
        """Return a copy whose relative paths are relative to the folder."""
        return replace(
            self, warehouse=folder / self.warehouse, destination=folder / self.destination
        )

    def check_folder(self, folder: Path) -> None:
        """Check that both files are in a folder.

        Raises:
            ValueError: If one is not, also if it is a link to a file elsewhere.
        """
        for name in ("warehouse", "destination"):
            check_in_folder(f"table.{name}", getattr(self, name), folder)

    def __post_init__(self) -> None:
        if (self.table is None) == (self.sql is None):
            raise ValueError("A TableSync needs either table or sql")
        if isinstance(self.required, str):
            raise TypeError(f"required must be a list of fields, not {self.required!r}")
        object.__setattr__(self, "required", tuple(self.required))
        for name, pattern in self.patterns.items():
            _check_pattern(name, pattern)


def check_in_folder(name: str, path: str | Path, folder: Path) -> None:
    """Raise ValueError if a file is not in a folder, also if it is a link to a file elsewhere."""
    if not (folder / path).resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{name} {str(path)!r} is not in {folder}, where the server may use files")


def _check_pattern(name: str, pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"The pattern of {name!r} is not a regular expression: {error}") from error

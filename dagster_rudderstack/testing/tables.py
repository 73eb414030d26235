"""What a connection moves when it moves real rows."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path


@dataclass(frozen=True)
class TableSync:
    """A table (or query) of a DuckDB warehouse, and the destination file that its rows go to.

    warehouse: the DuckDB file; it is opened read-only, and only for as long as reading takes.
    table or sql: what to read; one of them.
    primary_key: the column that tells the rows apart.
    destination: a DuckDB file, or a SQLite file if its name ends in .sqlite, .sqlite3 or .db.
    destination_table: made if it is missing; columns that it lacks are added.
    mappings: column -> field of the destination; None takes all columns as they are. The primary
        key always travels.
    required: fields that must not be null or blank; patterns: field -> regular expression that its
        text must match as a whole. Rows that break a rule are rejected and count as failed.
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
        """Take relative paths from there instead of from where the process stands."""
        return replace(
            self, warehouse=folder / self.warehouse, destination=folder / self.destination
        )

    def __post_init__(self) -> None:
        if (self.table is None) == (self.sql is None):
            raise ValueError("Give either table or sql, the one that is to be read")
        if isinstance(self.required, str):
            raise TypeError(f"required must be a list of fields, not the text {self.required!r}")
        object.__setattr__(self, "required", tuple(self.required))
        for name, pattern in self.patterns.items():
            _check_pattern(name, pattern)


def _check_pattern(name: str, pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"The pattern of {name!r} is no regular expression: {error}") from error

"""Writes sync logs and snapshots into the warehouse, as RudderStack does.

The schema `_rudderstack` gets a table `sync_log`, with a row for each row that a sync has sent, and
a table `snapshot_<connection>_<sync>` with the rows of the source.
"""

# ruff: noqa: S608 - names are quoted, and values are parameters

import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from dagster_rudderstack.testing.rows.destinations import (
    insert_rows,
    kept_type,
    quoted_part,
    storable,
)
from dagster_rudderstack.testing.rows.duckdb_files import file_lock, open_duckdb
from dagster_rudderstack.testing.rows.duckdb_values import Value, plain
from dagster_rudderstack.testing.rows.warehouse import Column

if TYPE_CHECKING:
    import duckdb

SCHEMA = '"_rudderstack"'
LOCK_TIMEOUT_SECONDS = 5.0
"""How long the end of a sync may wait while another process writes to the warehouse."""

_LOG = logging.getLogger(__name__)
_OPERATION_TYPE = Column("rudder_operation_type", "VARCHAR")
_LOG_COLUMNS = (
    *("connection_id", "sync_run_id", "primary_key", "operation", "status", "error_reason"),
    *("sync_started_at", "sync_finished_at"),
)


@dataclass(frozen=True)
class LogSettings:
    """What a connection logs, and how long it is kept.

    Attributes:
        enabled: Whether syncs are logged.
        retention_days: The days after which the log of a sync is deleted.
        snapshots: The number of snapshots to keep. With 0 there are none.
    """

    enabled: bool = True
    retention_days: int = 30
    snapshots: int = 5


@dataclass(frozen=True)
class SentRow:
    """A row that was sent to the destination. `reason` is why it was rejected, or None."""

    primary_key: Value
    operation: str
    reason: str | None = None


@dataclass
class SyncLog:
    """What one sync has done so far.

    Attributes:
        connection_id: The connection.
        sync_id: The sync.
        started_at: When it began, in epoch seconds.
        columns: The columns of the source.
        snapshot: The rows of the source, each with its operation (`unchanged` if it was not sent).
        sent: The rows that were sent.
    """

    connection_id: str
    sync_id: str
    started_at: float
    columns: Sequence[Column] = ()
    snapshot: list[tuple[Sequence[Value], str]] = field(default_factory=list)
    sent: list[SentRow] = field(default_factory=list)


def write_sync_log(
    warehouse: Path,
    log: SyncLog,
    settings: LogSettings,
    finished_at: float,
    must_stop: Callable[[], bool],
) -> None:
    """Write the log of a sync. A failure is logged, and does not fail the sync."""
    try:
        with (
            file_lock(warehouse),
            closing(
                open_duckdb(
                    warehouse,
                    read_only=False,
                    must_stop=must_stop,
                    timeout_seconds=LOCK_TIMEOUT_SECONDS,
                )
            ) as connection,
        ):
            connection.begin()
            _Writer(connection, log, settings, finished_at).write()
            connection.commit()
    except Exception as error:  # noqa: BLE001 - see above
        _LOG.warning("The sync log of sync %s could not be written: %s", log.sync_id, error)


@dataclass(frozen=True)
class _Writer:
    connection: "duckdb.DuckDBPyConnection"
    log: SyncLog
    settings: LogSettings
    finished_at: float

    def write(self) -> None:
        self.connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        self._write_log()
        if self.settings.snapshots > 0:
            self._write_snapshot()
        self._delete_old_snapshots()

    def _write_log(self) -> None:
        self.connection.execute(
            f"CREATE TABLE IF NOT EXISTS {SCHEMA}.sync_log (connection_id VARCHAR,"
            " sync_run_id VARCHAR, primary_key VARCHAR, operation VARCHAR, status VARCHAR,"
            " error_reason VARCHAR, sync_started_at TIMESTAMP, sync_finished_at TIMESTAMP)"
        )
        times = (_utc(self.log.started_at), _utc(self.finished_at))
        ids = (self.log.connection_id, self.log.sync_id)
        rows = [
            (
                *ids,
                key_text(row.primary_key),
                row.operation,
                "failed" if row.reason else "succeeded",
                row.reason,
                *times,
            )
            for row in self.log.sent
        ]
        insert_rows(self.connection.execute, f"{SCHEMA}.sync_log", _LOG_COLUMNS, rows)
        self.connection.execute(
            f"DELETE FROM {SCHEMA}.sync_log WHERE connection_id = ? AND sync_finished_at < ?",
            [self.log.connection_id, times[1] - timedelta(days=self.settings.retention_days)],
        )

    def _write_snapshot(self) -> None:
        name = f"snapshot_{self.log.connection_id}_{self.log.sync_id}".lower()
        table = f"{SCHEMA}.{quoted_part(name)}"
        columns = [*self.log.columns, _OPERATION_TYPE]
        types = ", ".join(f"{quoted_part(each.name)} {kept_type(each)}" for each in columns)
        self.connection.execute(f"CREATE TABLE {table} ({types})")
        rows = [
            [storable(column, value) for column, value in zip(columns, (*row, kind), strict=True)]
            for row, kind in self.log.snapshot
        ]
        insert_rows(self.connection.execute, table, [each.name for each in columns], rows)
        comment = f"{self._comment_prefix}{_utc(self.log.started_at).isoformat()}"
        self.connection.execute(f"COMMENT ON TABLE {table} IS '{comment}'")

    @property
    def _comment_prefix(self) -> str:
        """The beginning of the comments on the snapshots of the connection."""
        return f"connection {self.log.connection_id}, started ".replace("'", "''")

    def _delete_old_snapshots(self) -> None:
        names = self.connection.execute(
            "SELECT table_name FROM duckdb_tables() WHERE schema_name = '_rudderstack'"
            f" AND starts_with(comment, '{self._comment_prefix}') ORDER BY comment DESC"
        ).fetchall()
        for (name,) in names[self.settings.snapshots :]:
            self.connection.execute(f"DROP TABLE {SCHEMA}.{quoted_part(name)}")


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc).replace(tzinfo=None)


def key_text(value: Value) -> str | None:
    """Return the text of a primary key, which is that of DuckDB for numbers, texts and times."""
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (datetime, Decimal)) else str(plain(value))

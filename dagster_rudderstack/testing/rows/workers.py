"""The threads that move the rows of syncs."""

import threading
from dataclasses import replace

from dagster_rudderstack.testing.clock import Clock
from dagster_rudderstack.testing.objects import Connection
from dagster_rudderstack.testing.rows.duckdb_files import InterruptedWork
from dagster_rudderstack.testing.rows.sync_log import LogSettings
from dagster_rudderstack.testing.rows.transfer import Plan, Progress, move_rows
from dagster_rudderstack.testing.scripts import RowCounts
from dagster_rudderstack.testing.syncs import Sync
from dagster_rudderstack.testing.tables import TableSync

# A thread checks for a stop before each batch of rows.
_JOIN_TIMEOUT_SECONDS = 10.0


class TableWork:
    """The work of one sync: its rows so far and its result."""

    def __init__(self, sync: Sync, table: TableSync, plan: Plan, clock: Clock) -> None:
        self._sync = sync
        self._table = table
        self._plan = plan
        self._clock = clock
        self._abandoned = threading.Event()
        self._progress = Progress()
        self.finished_at: float | None = None
        self.error: str | None = None
        self.interrupted = False
        self._thread = threading.Thread(
            target=self._run, name=f"local-rudderstack-{sync.id}", daemon=True
        )

    @property
    def rows(self) -> RowCounts:
        """The rows so far."""
        return self._progress.rows

    def start(self) -> None:
        """Start the thread and return at once."""
        self._thread.start()

    def abandon(self) -> None:
        """Ask the thread to end. Its result is not used."""
        self._abandoned.set()

    def join(self) -> None:
        """Wait for the thread to end."""
        self._thread.join(_JOIN_TIMEOUT_SECONDS)

    def _run(self) -> None:
        try:
            move_rows(self._table, self._plan, self._progress, self._must_stop, self._clock)
        except InterruptedWork:
            self.interrupted = True
        except Exception as error:  # noqa: BLE001
            # An error of the databases fails the sync with their message.
            self.error = str(error) or repr(error)
        self.finished_at = self._clock()

    def _must_stop(self) -> bool:
        stops_at = self._sync.stops_at
        return self._abandoned.is_set() or (stops_at is not None and self._clock() >= stops_at)


class Workers:
    """All syncs that are moving rows."""

    def __init__(self, clock: Clock, *, reads_files: bool = True) -> None:
        self._clock = clock
        self._reads_files = reads_files
        self._lock = threading.Lock()
        self._works: list[TableWork] = []

    def start(self, sync: Sync, connection: Connection) -> TableWork:
        """Start to move the rows of a sync, and return at once."""
        if connection.table is None:
            raise ValueError(f"Connection {connection.id} has no table")
        plan = replace(_plan(sync, connection), reads_files=self._reads_files)
        work = TableWork(sync, connection.table, plan, self._clock)
        with self._lock:
            self._works = [each for each in self._works if each.finished_at is None]
            self._works.append(work)
        work.start()
        return work

    def stop_all(self) -> None:
        """End all threads. The rows that they have written are kept."""
        with self._lock:
            works, self._works = self._works, []
        for work in works:
            work.abandon()
        for work in works:
            work.join()


def _plan(sync: Sync, connection: Connection) -> Plan:
    return Plan(
        connection_id=connection.id,
        sync_id=sync.id,
        started_at=sync.started_at,
        full=sync.sync_type == "full" or connection.sync_behaviour == "full",
        mirror=connection.sync_behaviour == "mirror",
        log=_log_settings(connection),
    )


def _log_settings(connection: Connection) -> LogSettings:
    """Return what the connection logs, according to the fields that the API returns."""
    fields = connection.wire_fields
    config = (fields.get("syncSettings") or {}).get("syncLogsConfig") or {}
    is_upsert = connection.sync_behaviour == "upsert" and not fields.get("cursorColumn")
    has_snapshots = connection.sync_behaviour == "mirror" or is_upsert
    return LogSettings(
        enabled=config.get("enabled", True),
        retention_days=config.get("logRetentionInDays", LogSettings.retention_days),
        snapshots=config.get("snapshotsToRetain", LogSettings.snapshots) if has_snapshots else 0,
    )

"""The threads that move the rows of syncs and build the tables of runs."""

import threading
from collections.abc import Sequence
from dataclasses import replace

from dagster_rudderstack.testing.builds import TableBuild
from dagster_rudderstack.testing.clock import Clock
from dagster_rudderstack.testing.objects import Connection, Project
from dagster_rudderstack.testing.rows.builds import build_tables
from dagster_rudderstack.testing.rows.duckdb_files import InterruptedWork
from dagster_rudderstack.testing.rows.sync_log import LogSettings
from dagster_rudderstack.testing.rows.transfer import Plan, Progress, move_rows
from dagster_rudderstack.testing.runs import Run, RunTask
from dagster_rudderstack.testing.scripts import RowCounts
from dagster_rudderstack.testing.syncs import Sync
from dagster_rudderstack.testing.tables import TableSync

INTERRUPTED_RUN = "The local RudderStack was closed before the run had ended."

# A thread checks for a stop before each batch of rows and before each model.
_JOIN_TIMEOUT_SECONDS = 10.0


class _ThreadedWork:
    """Work in a thread of its own, and its result."""

    def __init__(self, name: str, clock: Clock) -> None:
        self._clock = clock
        self._abandoned = threading.Event()
        self.finished_at: float | None = None
        self.error: str | None = None
        self.interrupted = False
        self._thread = threading.Thread(
            target=self._run, name=f"local-rudderstack-{name}", daemon=True
        )

    def start(self) -> None:
        """Start the thread and return at once."""
        self._thread.start()

    def abandon(self) -> None:
        """Ask the thread to end before its work is done."""
        self._abandoned.set()

    def join(self) -> None:
        """Wait for the thread to end."""
        self._thread.join(_JOIN_TIMEOUT_SECONDS)

    def _run(self) -> None:
        try:
            self._work()
        except InterruptedWork:
            self.interrupted = True
        except Exception as error:  # noqa: BLE001
            # An error of the databases fails the sync or run with their message.
            self.error = str(error) or repr(error)
        self._end()

    def _work(self) -> None:
        raise NotImplementedError

    def _end(self) -> None:
        self.finished_at = self._clock()

    def _must_stop(self) -> bool:
        return self._abandoned.is_set()


class TableWork(_ThreadedWork):
    """The work of one sync: its rows so far and its result."""

    def __init__(self, sync: Sync, table: TableSync, plan: Plan, clock: Clock) -> None:
        super().__init__(sync.id, clock)
        self._sync = sync
        self._table = table
        self._plan = plan
        self._progress = Progress()

    @property
    def rows(self) -> RowCounts:
        """The rows so far."""
        return self._progress.rows

    def _work(self) -> None:
        move_rows(self._table, self._plan, self._progress, self._must_stop, self._clock)

    def _must_stop(self) -> bool:
        stops_at = self._sync.stops_at
        return super()._must_stop() or (stops_at is not None and self._clock() >= stops_at)


class BuildWork(_ThreadedWork):
    """The work of one run: its tasks so far and its result."""

    def __init__(self, run: Run, build: TableBuild, clock: Clock, *, reads_files: bool) -> None:
        super().__init__(run.id, clock)
        self._parameters = run.parameters
        self._build = build
        self._reads_files = reads_files
        self.tasks: Sequence[RunTask] = ()

    def _work(self) -> None:
        build_tables(
            self._build,
            self._parameters,
            self._must_stop,
            self._begin_task,
            reads_files=self._reads_files,
        )

    def _begin_task(self, name: str) -> None:
        now = self._clock()
        self._end_task(now)
        self.tasks = [*self.tasks, RunTask(name, now)]

    def _end_task(self, now: float, error: str | None = None) -> None:
        if self.tasks:
            ended = replace(self.tasks[-1], finished_at=now, error=error)
            self.tasks = [*self.tasks[:-1], ended]

    def _end(self) -> None:
        if self.interrupted:
            self.error = INTERRUPTED_RUN
        self._end_task(self._clock(), self.error)
        super()._end()


class Workers:
    """The work of all syncs and runs that have not ended."""

    def __init__(self, clock: Clock, *, reads_files: bool = True) -> None:
        self._clock = clock
        self._reads_files = reads_files
        self._lock = threading.Lock()
        self._works: list[_ThreadedWork] = []

    def start_sync(self, sync: Sync, connection: Connection) -> TableWork:
        """Start to move the rows of a sync, and return at once."""
        if connection.table is None:
            raise ValueError(f"Connection {connection.id} has no table")
        plan = replace(_plan(sync, connection), reads_files=self._reads_files)
        work = TableWork(sync, connection.table, plan, self._clock)
        self._start(work)
        return work

    def start_run(self, run: Run, project: Project) -> BuildWork:
        """Start to build the tables of a run, and return at once."""
        if project.build is None:
            raise ValueError(f"Project {project.id} builds no tables")
        work = BuildWork(run, project.build, self._clock, reads_files=self._reads_files)
        self._start(work)
        return work

    def _start(self, work: _ThreadedWork) -> None:
        with self._lock:
            self._works = [each for each in self._works if each.finished_at is None]
            self._works.append(work)
        work.start()

    def stop_all(self) -> None:
        """End all threads. The rows that they have written are kept, unbuilt tables are not."""
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

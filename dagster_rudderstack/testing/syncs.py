"""Syncs. Their state follows from their script and the time."""

from dataclasses import dataclass
from typing import Literal, Protocol

from dagster_rudderstack.testing.scripts import RowCounts, RunScript, SyncScript

Origin = Literal["api", "schedule", "dashboard"]
SyncType = Literal["incremental", "full"]

SYNC_TYPES = ("incremental", "full")
STOPPED_MESSAGE = "The sync was stopped before it had ended."

# The pace of a sync that never ends and has no duration.
_ENDLESS_PACE_SECONDS = 60.0


class Timed(Protocol):
    """Real work that ends at some time."""

    @property
    def finished_at(self) -> float | None:
        """When it ended, on the server's clock. None while it runs."""


def natural_end(
    script: SyncScript | RunScript, started_at: float, work: Timed | None
) -> float | None:
    """Return when a sync or run ends by itself. None if that is not known, or never."""
    if script.never_ends:
        return None
    end = started_at + script.duration_seconds
    if work is None:
        return end
    return None if work.finished_at is None else max(end, work.finished_at)


class Work(Timed, Protocol):
    """The real work of a sync, done in its own thread."""

    @property
    def rows(self) -> RowCounts:
        """The rows so far."""
        ...

    @property
    def error(self) -> str | None:
        """Why it failed. None if it did not."""

    @property
    def interrupted(self) -> bool:
        """Whether it ended early because it was stopped."""
        ...


@dataclass
class Sync:
    """One sync. Times are epoch seconds on the server's clock.

    `stops_at` is when a request to stop takes effect. It is None without such a request.
    """

    id: str
    connection_id: str
    origin: Origin
    sync_type: SyncType
    script: SyncScript
    started_at: float
    stopped_status: str = "failed"
    stop_requested_at: float | None = None
    stops_at: float | None = None
    work: Work | None = None

    @property
    def _natural_end(self) -> float | None:
        return natural_end(self.script, self.started_at, self.work)

    @property
    def _stopped_end(self) -> float | None:
        if self.stops_at is None or self.work is None:
            return self.stops_at
        # Work that is stopped still finishes its current batch of rows.
        return None if self.work.finished_at is None else max(self.stops_at, self.work.finished_at)

    @property
    def ends_at(self) -> float | None:
        """When it ends or has ended. None if that is not known, or never."""
        ends = [end for end in (self._natural_end, self._stopped_end) if end is not None]
        return min(ends) if ends else None

    @property
    def was_stopped(self) -> bool:
        """Whether the stop came before its natural end."""
        if self.work is not None and self.work.interrupted:
            return True
        return self._stopped_end is not None and self.ends_at != self._natural_end

    def is_over(self, now: float) -> bool:
        """Return whether it has really ended, regardless of its status."""
        ends_at = self.ends_at
        return ends_at is not None and now >= ends_at

    def is_hidden(self, now: float) -> bool:
        """Return whether the API does not show it yet."""
        return now < self.started_at + self.script.hidden_for_seconds

    def status(self, now: float) -> str:
        """Return the status that the API shows."""
        if not self.is_over(now):
            return self.script.running_status
        if self.was_stopped:
            return self.stopped_status
        return "failed" if self._error_of_work else self.script.status

    def error(self, now: float) -> str | None:
        """Return why it failed. None while it runs."""
        if not self.is_over(now):
            return None
        if self.was_stopped:
            return STOPPED_MESSAGE
        return self._error_of_work or self.script.error

    @property
    def _error_of_work(self) -> str | None:
        return None if self.work is None else self.work.error

    def finished_at(self, now: float) -> float | None:
        """Return when it ended. None while it runs."""
        return self.ends_at if self.is_over(now) else None

    def rows(self, now: float) -> RowCounts:
        """Return the rows so far while it runs, and the final rows once it has ended."""
        if self.work is not None:
            return self.work.rows
        if self.is_over(now) and not self.was_stopped:
            return self.script.rows
        return self.script.rows.at_progress(self._progress(now))

    def _progress(self, now: float) -> float:
        """Return how much of the work is done, from 0 to 1. A stop freezes it."""
        elapsed = min(now, self.ends_at or now) - self.started_at
        if self.script.never_ends:
            pace = self.script.duration_seconds or _ENDLESS_PACE_SECONDS
            return elapsed / (elapsed + pace)
        return elapsed / self.script.duration_seconds


@dataclass(frozen=True)
class SimulatedSync:
    """The state of a sync at the moment of the call.

    Times are epoch seconds on the server's clock. A count is None if it is not known.

    Attributes:
        id: The sync.
        connection_id: Its connection.
        origin: What started it: `api`, `schedule` or `dashboard`.
        sync_type: `incremental` or `full`.
        status: The status that the API shows.
        running: Whether it really runs, regardless of its `status`.
        started_at: When it started.
        finished_at: When it ended. None while it runs.
        stop_requested_at: When it was asked to stop. None if it was not.
        error: Why it failed. None while it runs, and if it did not fail.
        rows_total: Rows of the source.
        rows_changed: Rows that are new or changed.
        rows_succeeded: Rows that the destination has accepted so far.
        rows_failed: Rows that the destination has rejected so far.
    """

    id: str
    connection_id: str
    origin: Origin
    sync_type: SyncType
    status: str
    running: bool
    started_at: float
    finished_at: float | None
    stop_requested_at: float | None
    error: str | None
    rows_total: int | None
    rows_changed: int | None
    rows_succeeded: int | None
    rows_failed: int | None


def snapshot(sync: Sync, now: float) -> SimulatedSync:
    """Return the state of a sync now."""
    rows = sync.rows(now)
    return SimulatedSync(
        id=sync.id,
        connection_id=sync.connection_id,
        origin=sync.origin,
        sync_type=sync.sync_type,
        status=sync.status(now),
        running=not sync.is_over(now),
        started_at=sync.started_at,
        finished_at=sync.finished_at(now),
        stop_requested_at=sync.stop_requested_at,
        error=sync.error(now),
        rows_total=rows.total,
        rows_changed=rows.changed,
        rows_succeeded=rows.succeeded,
        rows_failed=rows.failed,
    )

"""Reports the progress of a sync: to a log each new status, and to a watcher each change."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dagster_rudderstack.api.models import Sync, SyncState
from dagster_rudderstack.sync.decisions import duration_text, percent_done
from dagster_rudderstack.sync.watchers import Watcher
from dagster_rudderstack.text import capitalized, plural, sentence

if TYPE_CHECKING:
    from dagster_rudderstack.sync.recorder import Log

__all__ = ["Progress"]

ROWS_SECONDS = 30.0
"""The shortest time between two lines about the rows of a sync. A line for each poll would bury
those of the other syncs of its step."""

HEARTBEAT_SECONDS = 300.0
"""The longest silence of the log while a sync runs."""


class Progress:
    """Reports the progress of one sync or run.

    Args:
        log: Gets a line for each new status, and now and then for the rows.
        monotonic: Seconds that only grow.
        noun: What it is, in messages.
        logs_success: Whether to log that it succeeded.
        logs_failure: Whether to log that it did not succeed, and why.
        watcher: Gets each state. None if no person watches.
    """

    def __init__(  # noqa: PLR0913 - what is logged can be chosen
        self,
        log: Log,
        monotonic: Callable[[], float],
        *,
        noun: str = "sync",
        logs_success: bool = True,
        logs_failure: bool = True,
        watcher: Watcher | None = None,
    ) -> None:
        self._log = log
        self._noun = capitalized(noun)
        self._monotonic = monotonic
        self._logs_success = logs_success
        self._logs_failure = logs_failure
        self._watcher = watcher
        self._began = self._logged_at = monotonic()
        # The line about the start of the sync has said that it runs.
        self._status = "running"
        self._tenths: int | None = None

    def report(self, sync: Sync) -> None:
        """Show a state to the watcher, and log it if it has changed, or after a long silence."""
        if self._watcher is not None:
            self._watcher.show(sync, self._line(sync))
        self._log_change(sync)

    def _log_change(self, sync: Sync) -> None:
        """Log a line if the status or the tenths of the rows changed, or after a long silence."""
        percent = percent_done(sync)
        tenths = None if percent is None else int(percent // 10)
        is_new_status = sync.status != self._status
        quiet_seconds = HEARTBEAT_SECONDS if tenths == self._tenths else ROWS_SECONDS
        if not is_new_status and self._monotonic() - self._logged_at < quiet_seconds:
            return
        self._status, self._tenths, self._logged_at = sync.status, tenths, self._monotonic()
        if is_new_status and sync.state in (SyncState.UNKNOWN_RUNNING, SyncState.UNKNOWN_OVER):
            self._log.warning(
                f"{self._noun} {sync.id} has the unknown status {sync.status!r}, which does not "
                f"count as a success ({_rows_text(sync)}{self._elapsed(sync)})."
            )
            return
        line = self._line(sync)
        if sync.is_over and sync.state is not SyncState.SUCCEEDED:
            if self._logs_failure:
                says = f". RudderStack says: {sentence(sync.error)}" if sync.error else ""
                self._log.warning(f"{line}{says}")
        elif self._logs_success or not sync.is_over:
            self._log.info(line)

    def _line(self, sync: Sync) -> str:
        return f"{self._noun} {sync.id}: {sync.status} ({_rows_text(sync)}{self._elapsed(sync)})"

    def _elapsed(self, sync: Sync) -> str:
        # Another client's sync may have begun long before this attempt saw it first.
        is_known = sync.is_over and sync.state is not SyncState.UNKNOWN_OVER
        own = sync.duration_seconds if is_known else None
        return duration_text(self._monotonic() - self._began if own is None else own)


def _rows_text(sync: Sync) -> str:
    parts = [
        f"{plural(rows, 'row')} {word}"
        for word, rows in (("delivered", sync.rows_succeeded), ("rejected", sync.rows_failed))
        if rows is not None
    ]
    percent = percent_done(sync)
    if percent is not None:
        parts.append(f"{percent:.0f} % of the changed rows done")
    return "".join(f"{part}, " for part in parts)

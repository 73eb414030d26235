"""`sync`: starts a sync at most once, shows its progress and waits until it ends."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from dagster_rudderstack.api.models import Sync
from dagster_rudderstack.api.validation import checked_choice
from dagster_rudderstack.cli.access import Access
from dagster_rudderstack.cli.arguments import PROGRAM, checked_connection
from dagster_rudderstack.cli.console import Console
from dagster_rudderstack.cli.names import sync_json
from dagster_rudderstack.errors import InvalidSettingError, NotFoundError, RudderStackError
from dagster_rudderstack.resource import RudderStackResource
from dagster_rudderstack.settings import DEFAULT_SYNC_TYPE, OnRunningSync, RetryPolicy, SyncType
from dagster_rudderstack.step.interrupts import StopSettings, end_outside_dagster, shielded
from dagster_rudderstack.sync.attempt import SyncAttempt
from dagster_rudderstack.sync.choices import SyncChoices
from dagster_rudderstack.sync.decisions import duration_text, percent_done
from dagster_rudderstack.sync.request import SyncReport, SyncRequest
from dagster_rudderstack.sync.run import start_and_wait
from dagster_rudderstack.sync.stop import STOP_GRACE_SECONDS
from dagster_rudderstack.sync.task import drive
from dagster_rudderstack.text import plural

__all__ = ["INTERRUPTED", "sync"]

INTERRUPTED = 130
"""The exit code after Ctrl-C, as of other programs."""

STOP_SECONDS = STOP_GRACE_SECONDS + 5.0
"""How long the end of an interrupted command may take."""

TICK_SECONDS = 1.0
"""How often the line of a terminal is updated."""


def sync(access: Access, options: argparse.Namespace, console: Console) -> int:
    """Start a sync and wait until it ends. Ctrl-C stops it."""
    # A sync must survive more than a question that a person asks.
    retries = RetryPolicy().request_max_retries
    rudderstack = access.resource(request_max_retries=retries)
    attempt = _attempt(rudderstack, options, access, console)
    try:
        report = drive(start_and_wait(attempt), _ticking(attempt, access, console))
        assert isinstance(report, SyncReport)  # noqa: S101 - a sync was asked for
    except RudderStackError as error:
        if isinstance(error, NotFoundError) and attempt.sync_id is None:
            raise
        message = access.named(str(error))
        console.error(message)
        console.document(_document(attempt, type(error).__name__, message))
        return 1
    except KeyboardInterrupt:
        message = _interrupted(attempt, rudderstack.stop_settings)
        console.error(message)
        console.document(_document(attempt, "Interrupted", message))
        return INTERRUPTED
    console.line(_summary(report))
    if report.rows_failed:
        console.line(
            'RudderStack\'s dashboard calls this sync "failed", since it has rejected rows. To see '
            f"them: {PROGRAM} failed-rows {report.connection_id} {report.id}"
        )
    console.document(_document(attempt))
    return 0


def _attempt(
    rudderstack: RudderStackResource, options: argparse.Namespace, access: Access, console: Console
) -> SyncAttempt:
    sync_type: SyncType = "full" if options.full else DEFAULT_SYNC_TYPE
    request = SyncRequest(checked_connection(options.connection), sync_type)
    if options.on_running_sync is not None:
        checked_choice(options.on_running_sync, OnRunningSync, "--on-running-sync")
    if options.timeout is not None and options.timeout < 1:
        raise InvalidSettingError(
            f"--timeout {options.timeout}: expected a whole number of seconds from 1."
        )
    return SyncAttempt(
        rudderstack.get_client(),
        request,
        rudderstack.sync_policy(
            SyncChoices(on_running_sync=options.on_running_sync, timeout_seconds=options.timeout)
        ),
        log=console,
        logs_success=False,
        logs_failure=False,
        monotonic=access.surroundings.monotonic,
        jitter=access.surroundings.jitter,
    )


def _ticking(attempt: SyncAttempt, access: Access, console: Console) -> Callable[[float], None]:
    """Return a sleep that updates the line of a terminal meanwhile."""
    began = access.surroundings.monotonic()

    def sleep(seconds: float) -> None:
        left = seconds
        while left > 0:
            elapsed = access.surroundings.monotonic() - began
            console.live(_progress(attempt.last_seen, elapsed), access.surroundings.columns())
            access.surroundings.sleep(min(left, TICK_SECONDS))
            left -= TICK_SECONDS

    return sleep


def _progress(seen: Sync | None, elapsed: float) -> str:
    """Return the line of a terminal while a sync runs."""
    passed = duration_text(int(elapsed))
    if seen is None:
        return f"{passed}: starting"
    percent = percent_done(seen)
    counts = ((seen.rows_succeeded, "delivered"), (seen.rows_failed, "rejected"))
    parts = [
        seen.status,
        *([] if percent is None else [f"{percent:.0f} % of the changed rows done"]),
        *(f"{plural(rows, 'row')} {word}" for rows, word in counts if rows is not None),
    ]
    return f"{passed}: {', '.join(parts)}"


def _summary(report: SyncReport) -> str:
    took = duration_text(report.duration_seconds) if report.duration_seconds is not None else "?"
    counts = (
        (report.rows_succeeded, "delivered"),
        (report.rows_failed, "rejected"),
        (report.rows_changed, "changed"),
        (report.rows_total, "in the source"),
    )
    rows = ", ".join(f"{'?' if count is None else f'{count:,}'} {word}" for count, word in counts)
    return f"Sync {report.id} succeeded after {took}. Rows: {rows}."


def _interrupted(attempt: SyncAttempt, settings: StopSettings) -> str:
    """Stop the sync, and return what happened to it. A second Ctrl-C does not prevent that."""
    if not attempt.may_be_running:
        what = f"{attempt.name} had ended" if attempt.sync_id else "No sync was started"
        return f"Interrupted. {what}."
    kept = _KeptLog()
    shielded(lambda: end_outside_dagster([attempt], settings, kept), STOP_SECONDS)
    return kept.message or (
        f"Interrupted. {attempt.name} may be running, since there was not enough time to stop it. "
        "Look in RudderStack's dashboard."
    )


class _KeptLog:
    """Keeps the line that says what happened to an interrupted sync."""

    message = ""

    def info(self, msg: object, /) -> None:
        """Drop what needs no action."""

    def warning(self, msg: object, /) -> None:
        """Keep a line."""
        self.message = f"{self.message} {msg}".strip()


def _document(
    attempt: SyncAttempt, error_type: str | None = None, message: str = ""
) -> dict[str, Any]:
    """Return the result for programs. The sync is the last state that was seen."""
    seen = attempt.last_seen
    return {
        "connection_id": attempt.target_id,
        "sync_type": attempt.request.variant,
        "origin": attempt.current.origin if attempt.current else None,
        "sync_id": attempt.sync_id,
        "sync": sync_json(seen) if seen else None,
        "error": {"type": error_type, "message": message} if error_type else None,
    }

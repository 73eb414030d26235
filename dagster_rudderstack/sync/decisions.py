"""What an answer means for a sync: each decision is a pure function.

Nothing here waits, sends or remembers.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING

from dagster_rudderstack.api.models import Sync, SyncState
from dagster_rudderstack.api.responses import REDIRECTS
from dagster_rudderstack.api.source_runs import SourceRun, SourceRunTask
from dagster_rudderstack.errors import (
    ApiError,
    AuthenticationError,
    ConflictError,
    NotFoundError,
    RateLimitedError,
    StatusError,
    SyncAbortedError,
    SyncError,
    SyncFailedError,
    SyncTimedOutError,
    TransportError,
    UnexpectedResponseError,
)
from dagster_rudderstack.text import capitalized, one_line, sentence

if TYPE_CHECKING:
    from dagster_rudderstack.sync.request import Request

__all__ = [
    "ADOPTION_SECONDS",
    "StartAnswer",
    "began_since",
    "duration_text",
    "failure_of",
    "is_redirect",
    "is_temporary",
    "is_unresolved",
    "judge_start",
    "percent_done",
    "running_among",
    "stopped_by_timeout",
]


class StartAnswer(Enum):
    """What an error of a start says about whether a sync was started."""

    NOT_STARTED = "no sync was started, and the start may be sent again"
    RUNNING = "another sync is running"
    LOST = "the answer was lost, so a sync may have been started"
    REFUSED = "no sync was started, and sending the start again is of no use"
    REFUSED_FOR_NOW = "no sync was started, and the reason may pass"


_REQUEST_TIMEOUT = 408
_FIRST_SERVER_ERROR = 500
_FIRST_REDIRECT, _FIRST_CLIENT_ERROR = 300, 400


def judge_start(error: ApiError) -> StartAnswer:
    """Decide what an error of `POST /start` says about whether a sync was started.

    A request that never reached RudderStack, and a 429, had no effect. A connection that was cut, a
    server error, a 2xx that cannot be read and a redirect by a gateway leave it open. A 401 and a
    404 may pass: RudderStack has refused valid tokens for a while, and answers "source not found"
    for some seconds after a source was created.
    """
    if isinstance(error, TransportError):
        return StartAnswer.LOST if error.request_sent else StartAnswer.NOT_STARTED
    if isinstance(error, RateLimitedError):
        return StartAnswer.NOT_STARTED
    if isinstance(error, ConflictError):
        return StartAnswer.RUNNING
    if isinstance(error, (AuthenticationError, NotFoundError)):
        return StartAnswer.REFUSED_FOR_NOW
    if is_redirect(error) or is_temporary(error):
        return StartAnswer.LOST
    return StartAnswer.REFUSED


def is_redirect(error: ApiError) -> bool:
    """Whether a gateway redirected the request, which is not followed."""
    return isinstance(error, StatusError) and error.status_code in REDIRECTS


def is_temporary(error: ApiError) -> bool:
    """Whether an error of a safe request may be gone next time without anyone fixing anything."""
    if isinstance(error, (TransportError, UnexpectedResponseError, RateLimitedError)):
        return True
    if not isinstance(error, StatusError) or is_redirect(error):
        return False
    status = error.status_code
    # Another 3xx, such as a 304, is a mistake of a cache or a gateway.
    is_mistake = _FIRST_REDIRECT <= status < _FIRST_CLIENT_ERROR
    return is_mistake or status >= _FIRST_SERVER_ERROR or status == _REQUEST_TIMEOUT


def is_unresolved(error: StatusError) -> bool:
    """Whether RudderStack may not know the sync whose details it was asked for.

    It answers 404 or 500 for an id that it cannot resolve, and for some seconds for a new sync. The
    list of syncs then shows whether it is unknown.
    """
    return error.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.INTERNAL_SERVER_ERROR)


ADOPTION_SECONDS = 3600.0
"""How far the start of a sync may lie from an old record of it, including clocks that differ. A
sync further away was not started by the attempt that wrote the record."""


def began_since(
    listed: Sequence[Sync], known_sync_ids: Collection[str], recorded_at: datetime | None = None
) -> list[Sync]:
    """Return the syncs that began after the known ones and so may be ours, oldest first.

    Args:
        listed: The syncs of the connection, newest first.
        known_sync_ids: The syncs that existed before the start.
        recorded_at: When an earlier attempt recorded these, if that is long ago. None if it is
            recent.
    """
    new = [sync for sync in reversed(listed) if sync.id not in known_sync_ids]
    return [sync for sync in new if recorded_at is None or _is_near(sync, recorded_at)]


def _is_near(sync: Sync, recorded_at: datetime) -> bool:
    if sync.started_at is None:
        return True
    return abs((sync.started_at - recorded_at).total_seconds()) <= ADOPTION_SECONDS


def running_among(listed: Sequence[Sync]) -> list[Sync]:
    """Return the running syncs; `listed` is newest first.

    An unknown status counts as running in the newest sync only. An old sync that never got an end
    is not worth waiting for.
    """
    return [
        sync
        for place, sync in enumerate(listed)
        if sync.state is SyncState.RUNNING
        or (place == 0 and sync.state is SyncState.UNKNOWN_RUNNING)
    ]


def failure_of(sync: Sync, request: Request) -> SyncError | None:
    """Return the error of a sync that is over, or None if it succeeded."""
    if sync.state is SyncState.SUCCEEDED:
        return None
    what, took, says = _phrases(sync, request)
    if sync.state is SyncState.ABORTED:
        return request.error(
            SyncAbortedError,
            f"{what} was stopped{took} (status {sync.status!r}).{says} If the stop was a mistake, "
            f"{request.noun} again.",
            sync,
        )
    if sync.state is SyncState.FAILED:
        no_reason = f"RudderStack gives no reason: look at the {request.noun} in its dashboard."
        remedy = f"{request.remedy} again." if says else no_reason
        return request.error(
            SyncFailedError, f"{what} failed{took}{request.failed_note}.{says} {remedy}", sync
        )
    return request.error(
        SyncFailedError,
        f"{what} ended{took} with the unknown status {sync.status!r}, which does not count as a "
        f"success.{says} Look at the {request.noun} in RudderStack's dashboard before you "
        f"{request.noun} again.",
        sync,
    )


def stopped_by_timeout(sync: Sync, request: Request) -> SyncTimedOutError:
    """Return the error of a sync that its timeout stopped, though RudderStack says it failed."""
    what, took, says = _phrases(sync, request)
    error = request.error(
        SyncTimedOutError,
        f"{what} did not end within its timeout and was stopped{took}.{says} If the sync is slow, "
        "increase the timeout. Otherwise look at the sync in RudderStack's dashboard.",
        sync,
    )
    error.stop_requested = True
    return error


def _phrases(sync: Sync, request: Request) -> tuple[str, str, str]:
    """Return which sync it is, how long it took and RudderStack's words about it."""
    took = f" after {duration_text(sync.duration_seconds)}" if sync.duration_seconds else ""
    says = f" RudderStack says: {sentence(sync.error)}" if sync.error else ""
    if isinstance(sync, SourceRun):
        says += _failed_tasks(sync)
    return capitalized(request.name_of(sync.id)), took, says


MAX_TASKS = 5
"""How many failed tasks of a run a message names. The metadata have all of them."""


def _failed_tasks(run: SourceRun) -> str:
    """Return which tasks of a run failed, and why, as a sentence. Empty if none is known to."""
    failed = [task for task in run.tasks if _has_failed(task)]
    if not failed:
        return ""
    names = [_task_text(task, run) for task in failed[:MAX_TASKS]]
    if len(failed) > MAX_TASKS:
        names.append(f"and {len(failed) - MAX_TASKS} more")
    return f" Failed {'task' if len(failed) == 1 else 'tasks'}: {', '.join(names)}."


def _task_text(task: SourceRunTask, run: SourceRun) -> str:
    name = one_line(task.task_id or "one without an id")
    # The error of the run, which is shown already, is often that of its last task.
    is_shown = task.error is None or task.error == run.error
    return name if is_shown else f"{name} ({one_line(task.error or '')})"


def _has_failed(task: SourceRunTask) -> bool:
    state = SourceRun.state_of(task.status or "", finished=task.finished_at is not None)
    return task.error is not None or state is SyncState.FAILED


def duration_text(seconds: float) -> str:
    """Return a duration for people: `45 s`, `4 min 5 s`, `6 h`."""
    whole = round(seconds)
    if whole < 60:  # noqa: PLR2004 - a minute
        is_short = seconds < 10 and seconds != whole  # noqa: PLR2004 - a tenth counts
        return f"{seconds:.1f} s" if is_short else f"{whole} s"
    units = ((whole // 3600, "h"), (whole // 60 % 60, "min"), (whole % 60, "s"))
    return " ".join([f"{amount} {unit}" for amount, unit in units if amount][:2])


def percent_done(sync: Sync) -> float | None:
    """Return the percentage of the changed rows that is done, 0.0 to 100.0. None if unknown."""
    done = [rows for rows in (sync.rows_succeeded, sync.rows_failed) if rows is not None]
    if not sync.rows_changed or not done:
        return None
    return min(100.0, 100 * sum(done) / sync.rows_changed)

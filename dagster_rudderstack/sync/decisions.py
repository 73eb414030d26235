"""What an answer means for a sync: every decision of its life, as a function that a table can test.

Nothing here waits, sends or remembers.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from enum import Enum

from dagster_rudderstack.api.models import Sync, SyncState
from dagster_rudderstack.errors import (
    ApiError,
    ConflictError,
    RateLimitedError,
    StatusError,
    SyncAbortedError,
    SyncError,
    SyncFailedError,
    SyncTimedOutError,
    TransportError,
    UnexpectedResponseError,
)
from dagster_rudderstack.text import sentence

__all__ = [
    "ADOPTION_SECONDS",
    "BY_TIMEOUT",
    "StartAnswer",
    "began_since",
    "duration_text",
    "failure_of",
    "failure_of_deferred",
    "is_passing",
    "judge_start",
    "percent_done",
    "running_among",
]


class StartAnswer(Enum):
    """What an error of a start means for whether a sync was started."""

    NOT_STARTED = "certainly not, and it may be tried again"
    RUNNING = "another sync is running"
    LOST = "maybe: the answer was lost"
    REFUSED = "certainly not, and trying again is of no use"


_REQUEST_TIMEOUT = 408
_FIRST_SERVER_ERROR = 500
_FIRST_REDIRECT, _FIRST_CLIENT_ERROR = 300, 400


def judge_start(error: ApiError) -> StartAnswer:
    """Decide what an error of `POST /start` says about whether a sync was started.

    A request that never reached RudderStack and a 429 had no effect. An answer that was cut off, a
    server error, a 2xx that cannot be read, and a redirect (a gateway's doing) say nothing.
    """
    if isinstance(error, TransportError):
        return StartAnswer.LOST if error.request_sent else StartAnswer.NOT_STARTED
    if isinstance(error, UnexpectedResponseError):
        return StartAnswer.LOST
    if isinstance(error, RateLimitedError):
        return StartAnswer.NOT_STARTED
    if isinstance(error, ConflictError):
        return StartAnswer.RUNNING
    if isinstance(error, StatusError) and _says_nothing(error.status_code):
        return StartAnswer.LOST
    return StartAnswer.REFUSED


def _says_nothing(status: int) -> bool:
    return (
        status >= _FIRST_SERVER_ERROR
        or status == _REQUEST_TIMEOUT
        or _FIRST_REDIRECT <= status < _FIRST_CLIENT_ERROR
    )


def is_passing(error: ApiError) -> bool:
    """Whether an error of a safe request may be gone next time, with nobody mending anything."""
    if isinstance(error, (TransportError, UnexpectedResponseError, RateLimitedError)):
        return True
    return isinstance(error, StatusError) and (
        error.status_code >= _FIRST_SERVER_ERROR or error.status_code == _REQUEST_TIMEOUT
    )


ADOPTION_SECONDS = 3600.0
"""How far the start of a sync may lie from an old note about it, clocks that differ included. What
lies beyond that is not what the attempt that left the note has started."""


def began_since(
    listed: Sequence[Sync], known_sync_ids: Collection[str], noted_at: datetime | None = None
) -> list[Sync]:
    """Return the syncs that began after the known ones, and thus may be ours, oldest first.

    Args:
        listed: newest first.
        known_sync_ids: the syncs that were there before.
        noted_at: when an earlier attempt wrote these down, if that is long ago; None: it is not.
    """
    new = [sync for sync in reversed(listed) if sync.id not in known_sync_ids]
    return [sync for sync in new if noted_at is None or _is_near(sync, noted_at)]


def _is_near(sync: Sync, noted_at: datetime) -> bool:
    if sync.started_at is None:
        return True
    return abs((sync.started_at - noted_at).total_seconds()) <= ADOPTION_SECONDS


def running_among(listed: Sequence[Sync]) -> list[Sync]:
    """Return the syncs that run; `listed` is newest first.

    A status that we do not know counts as running in the newest sync only: an old one that was
    never given an end is not worth waiting for.
    """
    return [
        sync
        for place, sync in enumerate(listed)
        if sync.state is SyncState.RUNNING
        or (place == 0 and sync.state is SyncState.UNKNOWN_RUNNING)
    ]


def failure_of(sync: Sync, connection_id: str) -> SyncError | None:
    """Return the error of a sync that is over; None if it succeeded."""
    if sync.state is SyncState.SUCCEEDED:
        return None
    what, took, says = _words(sync, connection_id)
    if sync.state is SyncState.ABORTED:
        return SyncAbortedError(
            f"{what} was stopped{took} (status {sync.status!r}).{says} If that was not meant, "
            "sync again.",
            connection_id=connection_id,
            sync=sync,
        )
    if sync.state is SyncState.FAILED:
        return SyncFailedError(
            f"{what} failed{took}.{says or ' RudderStack gives no reason.'} Mend the cause in the "
            "source or the destination, then sync again.",
            connection_id=connection_id,
            sync=sync,
        )
    return SyncFailedError(
        f"{what} ended{took} with the status {sync.status!r}, which is not known to mean success."
        f"{says} Look at the sync in RudderStack's dashboard before you start it again.",
        connection_id=connection_id,
        sync=sync,
    )


def _words(sync: Sync, connection_id: str) -> tuple[str, str, str]:
    """Return which sync it is, how long it took and what RudderStack says of it."""
    took = f" after {duration_text(sync.duration_seconds)}" if sync.duration_seconds else ""
    says = f" RudderStack says: {sentence(sync.error)}" if sync.error else ""
    return f"Sync {sync.id} of connection {connection_id}", took, says


BY_TIMEOUT = "timeout"
"""What stands for the run that had a deferred sync stopped, if that was its timeout."""


def failure_of_deferred(sync: Sync, connection_id: str, stopped_by: str | None) -> SyncError | None:
    """Return the error of a sync that no step waited for; None if it succeeded.

    RudderStack says of a sync that was stopped that it failed; who stopped it is known to Dagster.

    Args:
        sync: it is over.
        connection_id: its connection.
        stopped_by: the run that had it stopped, or `BY_TIMEOUT`; None: neither.
    """
    failure = failure_of(sync, connection_id)
    if failure is None or stopped_by is None:
        return failure
    what, took, says = _words(sync, connection_id)
    if stopped_by != BY_TIMEOUT:
        return SyncAbortedError(
            f"{what} was stopped{took}, as asked by run {stopped_by}.{says}",
            connection_id=connection_id,
            sync=sync,
        )
    error = SyncTimedOutError(
        f"{what} was not over within its timeout and was stopped{took}.{says} Raise the timeout if "
        "the sync is slow, or look at it in RudderStack's dashboard.",
        connection_id=connection_id,
        sync=sync,
    )
    error.stop_requested = True
    return error


def duration_text(seconds: float) -> str:
    """Return a duration as a person says it: `45 s`, `4 min 5 s`, `6 h`."""
    whole = round(seconds)
    if whole < 60:  # noqa: PLR2004 - a minute
        is_short = seconds < 10 and seconds != whole  # noqa: PLR2004 - a tenth counts
        return f"{seconds:.1f} s" if is_short else f"{whole} s"
    units = ((whole // 3600, "h"), (whole // 60 % 60, "min"), (whole % 60, "s"))
    return " ".join([f"{amount} {unit}" for amount, unit in units if amount][:2])


def percent_done(sync: Sync) -> float | None:
    """Return how much of the changed rows is done, 0.0 to 100.0; None if unknown."""
    done = [rows for rows in (sync.rows_succeeded, sync.rows_failed) if rows is not None]
    if not sync.rows_changed or not done:
        return None
    return min(100.0, 100 * sum(done) / sync.rows_changed)

"""Waits for a sync to end, through outages, up to the timeout."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from dagster_rudderstack.api.models import Sync
from dagster_rudderstack.errors import ApiError, SyncLostError, SyncTimedOutError
from dagster_rudderstack.sync.attempt import SyncAttempt
from dagster_rudderstack.sync.decisions import duration_text
from dagster_rudderstack.sync.progress import Progress
from dagster_rudderstack.sync.retry import raise_unless_temporary, retry
from dagster_rudderstack.sync.stop import StopOutcome, stop
from dagster_rudderstack.sync.task import Task

__all__ = ["ask", "pause", "wait_for"]

_T = TypeVar("_T")


def wait_for(attempt: SyncAttempt, sync_id: str, since: float) -> Task[Sync]:
    """Poll a sync until it is over, and return it.

    Args:
        attempt: The attempt that waits.
        sync_id: Its own sync, or another one that is in the way.
        since: When the sync was started or first seen, on the attempt's clock.

    Raises:
        SyncTimedOutError: If the timeout passes first.
        SyncLostError: If RudderStack does not answer for longer than the outage tolerance.
    """
    is_another = sync_id != attempt.sync_id
    progress = Progress(
        attempt.log, attempt.monotonic, logs_success=attempt.logs_success or is_another
    )
    if attempt.current is not None and attempt.current.origin == "started":
        yield from pause(attempt, _interval(attempt, since))
    while True:
        sync = yield from ask(attempt, lambda: attempt.get_sync(sync_id), may_be_running=True)
        attempt.last_seen = sync
        progress.log_change(sync)
        if sync.is_over:
            return sync
        yield from pause(attempt, _interval(attempt, since))


def _interval(attempt: SyncAttempt, since: float) -> float:
    return attempt.policy.poll.interval_seconds(attempt.monotonic() - since, attempt.jitter())


def ask(attempt: SyncAttempt, call: Callable[[], _T], *, may_be_running: bool) -> Task[_T]:
    """Make a safe request until it is answered.

    Args:
        attempt: The attempt that asks.
        call: Makes the request once.
        may_be_running: Whether a sync of ours may be running. Then every error is tolerated for the
            outage tolerance. Otherwise only temporary errors are retried, a few times.
    """
    policy = attempt.policy.retry
    return retry(
        call,
        policy,
        attempt.log,
        check=_outage_check(attempt) if may_be_running else raise_unless_temporary(policy),
        pause=lambda seconds: pause(attempt, seconds),
        monotonic=attempt.monotonic,
        jitter=attempt.jitter,
    )


def _outage_check(attempt: SyncAttempt) -> Callable[[ApiError, int], None]:
    """Return a check that tolerates every error for as long as the outage tolerance."""
    began = attempt.monotonic()

    def check(error: ApiError, _failures: int) -> None:
        lasted = attempt.monotonic() - began
        if lasted < attempt.policy.outage_tolerance_seconds:
            return
        resumed = ", and a retry of this step resumes it" if attempt.records.is_durable else ""
        raise SyncLostError(
            f"{attempt.name} may be running, but no request about it succeeded for "
            f"{duration_text(lasted)}. It was not stopped{resumed}. Last error: {error}",
            connection_id=attempt.connection_id,
            sync=attempt.last_seen,
        ) from error

    return check


def pause(attempt: SyncAttempt, seconds: float) -> Task[None]:
    """Wait, but not past the deadline.

    Raises:
        SyncTimedOutError: If the deadline has passed. Our sync is stopped first, if the policy
            says so.
    """
    remaining = attempt.deadline - attempt.monotonic()
    if remaining <= 0:
        yield from _time_out(attempt)
    yield min(seconds, remaining)


def _time_out(attempt: SyncAttempt) -> Task[None]:
    current = attempt.current
    owned = attempt.lost_start is not None or (current is not None and current.owned)
    outcome = None
    if owned and attempt.policy.stop_on_timeout:
        outcome = yield from stop(attempt)
    error = SyncTimedOutError(
        f"{_timeout_text(attempt, outcome)} If the sync is slow, increase the timeout. Otherwise "
        "look at the sync in RudderStack's dashboard.",
        connection_id=attempt.connection_id,
        sync=attempt.last_seen,
    )
    error.stop_requested = outcome is StopOutcome.REQUESTED
    raise error


def _timeout_text(attempt: SyncAttempt, outcome: StopOutcome | None) -> str:
    limit = duration_text(attempt.policy.sync_timeout_seconds)
    if attempt.current is None:
        if attempt.last_seen:
            reason = f"sync {attempt.last_seen.id} was still running"
        elif attempt.lost_start:
            reason = "the answer to the start was lost"
        else:
            reason = "RudderStack accepted no start"
        result = f" ({outcome.value})" if outcome else ""
        return (
            f"No sync of connection {attempt.request.connection} could be started within the "
            f"timeout of {limit}: {reason}{result}."
        )
    result = outcome.value if outcome else "it was left running"
    return f"{attempt.name} did not end within the timeout of {limit}: {result}."

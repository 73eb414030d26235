"""Waits for a sync to end, through outages, up to the timeout."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TypeVar

from dagster_rudderstack.api.models import Sync
from dagster_rudderstack.errors import (
    ApiError,
    AuthenticationError,
    NotFoundError,
    SyncLostError,
    SyncTimedOutError,
)
from dagster_rudderstack.settings import RetryPolicy
from dagster_rudderstack.sync.attempt import SyncAttempt
from dagster_rudderstack.sync.decisions import duration_text
from dagster_rudderstack.sync.progress import Progress
from dagster_rudderstack.sync.retry import raise_unless_temporary, retry
from dagster_rudderstack.sync.stop import StopOutcome, stop
from dagster_rudderstack.sync.task import Task

__all__ = ["ask", "find", "may_pass", "pause", "wait_for"]

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
        attempt.log,
        attempt.monotonic,
        noun=attempt.request.noun,
        logs_success=attempt.logs_success or is_another,
        logs_failure=attempt.logs_failure or is_another,
        watcher=attempt.watcher,
    )
    if attempt.current is not None and attempt.current.origin == "started":
        yield from pause(attempt, _interval(attempt, since))
    while True:
        sync = yield from ask(attempt, lambda: attempt.find_sync(sync_id), may_be_running=True)
        attempt.last_seen = sync
        progress.report(sync)
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
            outage tolerance. Otherwise only errors that may pass are retried, a few times.
    """
    return _ask(attempt, call, _check(attempt, may_be_running=may_be_running))


def find(attempt: SyncAttempt, sync_id: str, *, may_be_running: bool) -> Task[Sync]:
    """Return a sync. If it is unknown, ask again for the settling time, since it may be new.

    Raises:
        NotFoundError: If RudderStack still does not know it.
    """
    give_up_at = attempt.monotonic() + attempt.policy.start_settling_seconds
    check_others = _check(attempt, may_be_running=may_be_running)
    unknown = 0

    def check(error: ApiError, failures: int) -> None:
        nonlocal unknown
        if not isinstance(error, NotFoundError):
            check_others(error, failures - unknown)
            return
        unknown += 1
        if attempt.monotonic() >= give_up_at:
            raise error

    def wait(seconds: float) -> Task[None]:
        left = give_up_at - attempt.monotonic()
        return pause(attempt, min(seconds, left) if left > 0 else seconds)

    return _ask(attempt, lambda: attempt.find_sync(sync_id), check, wait)


_Check = Callable[[ApiError, int], None]


def _ask(
    attempt: SyncAttempt,
    call: Callable[[], _T],
    check: _Check,
    wait: Callable[[float], Task[None]] | None = None,
) -> Task[_T]:
    def noted(error: ApiError, failures: int) -> None:
        attempt.last_error = error
        check(error, failures)

    return retry(
        call,
        attempt.policy.retry,
        attempt.log,
        check=noted,
        pause=wait or (lambda seconds: pause(attempt, seconds)),
        monotonic=attempt.monotonic,
        jitter=attempt.jitter,
    )


def _check(attempt: SyncAttempt, *, may_be_running: bool) -> _Check:
    return _outage_check(attempt) if may_be_running else _before_start_check(attempt)


REFUSED_TOKEN_RETRIES = 4
"""How often a request is sent again before the start if the token is refused. It takes 15 s."""


def may_pass(error: ApiError, refused: int, policy: RetryPolicy) -> bool:
    """Whether an error refuses the token, but not so often yet that the token must be wrong.

    Args:
        error: The error.
        refused: How often the token was refused in a row, this time included.
        policy: How often a request is retried at most.
    """
    retries = min(REFUSED_TOKEN_RETRIES, policy.request_max_retries)
    return isinstance(error, AuthenticationError) and refused <= retries


def _before_start_check(attempt: SyncAttempt) -> _Check:
    policy = attempt.policy.retry
    raise_others = raise_unless_temporary(policy)
    refused = 0

    def check(error: ApiError, failures: int) -> None:
        nonlocal refused
        refused += isinstance(error, AuthenticationError)
        if not may_pass(error, refused, policy):
            raise_others(error, failures - refused)

    return check


def _outage_check(attempt: SyncAttempt) -> _Check:
    """Return a check that tolerates every error for as long as the outage tolerance."""
    began = attempt.monotonic()

    def check(error: ApiError, _failures: int) -> None:
        lasted = attempt.monotonic() - began
        if lasted < attempt.policy.outage_tolerance_seconds:
            return
        resumed = ", and a retry of this step resumes it" if attempt.records.is_durable else ""
        raise attempt.request.error(
            SyncLostError,
            f"{attempt.name} may be running, but no request about it succeeded for "
            f"{duration_text(lasted)}. It was not stopped{resumed}. Last error: {error}",
            attempt.last_seen,
        ) from error

    return check


def pause(attempt: SyncAttempt, seconds: float) -> Task[None]:
    """Wait, but not past the deadline. Write the records that could not be written before.

    Raises:
        SyncTimedOutError: If the deadline has passed. Our sync is stopped first, if the policy
            says so.
    """
    with contextlib.suppress(Exception):
        attempt.write_records()
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
    noun = attempt.request.noun
    if attempt.may_be_running or attempt.last_seen or attempt.last_error is None:
        advice = (
            f" If the {noun} is slow, increase the timeout. Otherwise look at the {noun} in "
            "RudderStack's dashboard."
        )
    else:
        advice = f" Last error: {attempt.last_error}"
    error = attempt.request.error(
        SyncTimedOutError,
        f"{_timeout_text(attempt, outcome)}{_retry_text(attempt, outcome)}{advice}",
        attempt.last_seen,
    )
    error.stop_requested = outcome is StopOutcome.REQUESTED
    raise error


LEFT_RUNNING = (
    None,
    StopOutcome.NOT_OWNED,
    StopOutcome.OTHERS_RUNNING,
    StopOutcome.CANNOT_BE_STOPPED,
    StopOutcome.REFUSED,
)
"""The outcomes of a stop after which a sync certainly goes on. None: no stop was wanted."""


def _retry_text(attempt: SyncAttempt, outcome: StopOutcome | None) -> str:
    """Return that a retry resumes what was left running. Empty if it does not."""
    is_left = attempt.current is not None and outcome in LEFT_RUNNING
    return " A retry of this step resumes it." if is_left and attempt.records.is_durable else ""


def _timeout_text(attempt: SyncAttempt, outcome: StopOutcome | None) -> str:
    limit = duration_text(attempt.policy.sync_timeout_seconds)
    if attempt.current is None:
        if attempt.last_seen:
            reason = f"{attempt.request.noun} {attempt.last_seen.id} was still running"
        elif attempt.lost_start:
            reason = "the answer to the start was lost"
        else:
            reason = "RudderStack accepted no start"
        result = f" ({outcome.value})" if outcome else ""
        if outcome is StopOutcome.CANNOT_BE_STOPPED:
            result = ", so a run may be running, which cannot be stopped"
        return (
            f"No {attempt.request.noun} of {attempt.request.target} could be started within the "
            f"timeout of {limit}: {reason}{result}."
        )
    result = outcome.value if outcome else "it was left running"
    return f"{attempt.name} did not end within the timeout of {limit}: {result}."

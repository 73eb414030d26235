"""Starts a sync or run at most once, or finds the one to wait for.

The start is sent again only if it certainly had no effect. If its answer is lost, a sync that was
not listed before is adopted. The start is repeated only when none appears within the settling
time. That of a run is repeated only if the policy says so, since RudderStack lists no runs.
"""

from __future__ import annotations

import math
from functools import partial

from dagster_rudderstack.api.models import Connection, Sync
from dagster_rudderstack.errors import (
    ApiError,
    ConnectionDisabledError,
    NotFoundError,
    PermissionDeniedError,
    SyncAlreadyRunningError,
)
from dagster_rudderstack.sync.attempt import (
    CurrentSync,
    LostStart,
    SyncAttempt,
)
from dagster_rudderstack.sync.decisions import (
    StartAnswer,
    duration_text,
    failure_of,
    judge_start,
    running_among,
)
from dagster_rudderstack.sync.lost_start import (
    adopt,
    candidates,
    check_start_again,
    give_up_lost_start,
    has_failed_before,
    is_accepted,
    not_taken,
    note_lost_start,
    start_lost,
    withdraw,
)
from dagster_rudderstack.sync.refusals import Refusals
from dagster_rudderstack.sync.request import SyncRequest
from dagster_rudderstack.sync.retry import delay_after, max_retries
from dagster_rudderstack.sync.storage import SyncUnwantedError
from dagster_rudderstack.sync.task import Task
from dagster_rudderstack.sync.wait import ask, find, pause, wait_for
from dagster_rudderstack.text import capitalized, one_line

__all__ = ["resume_or_start"]

STALE_SECONDS = 10.0
"""If the storage took longer to record a start, the syncs are listed again before it is sent, since
another one may run by then."""

CONFLICT_SECONDS = 120.0
"""The longest wait between two starts of a source whose other run RudderStack does not show."""

SUCCESSOR_SECONDS = 5.0
"""How often to look for the sync that a newer execution of the same step starts."""


def resume_or_start(attempt: SyncAttempt) -> Task[CurrentSync]:
    """Return the sync to wait for: one that an earlier attempt left, or a new one.

    Raises:
        SyncAlreadyRunningError: If another sync runs and `on_running_sync` is `fail`.
        ConnectionDisabledError: If the connection is disabled.
        StartLostError: If a run may have been started, and the policy is not to start it again.
        SyncError: If the sync that an earlier attempt of this run left must not be started again.
        SyncUnwantedError: If the run has ended or was canceled before the start.
        ApiError: If no sync was started.
    """
    current = yield from _resume(attempt)
    if current is not None:
        return current
    try:
        if isinstance(attempt.request, SyncRequest):
            yield from _check_connection(attempt, attempt.request)
        return (yield from _start(attempt))
    except ApiError as error:
        if attempt.lost_start is None or attempt.known_sync_ids is None:
            error.add_sentence(f"No {attempt.request.noun} was started.")
        raise


# --- what an earlier attempt left


def _resume(attempt: SyncAttempt) -> Task[CurrentSync | None]:
    """Return the sync that an earlier attempt left, if there is one to wait for or to report."""
    previous = attempt.previous
    if previous is None:
        return None
    # A sync may be running until RudderStack says that it is not.
    attempt.take_over_previous()
    if previous.sync_id is None:
        attempt.log.info(
            f"A previous attempt may have started a {attempt.request.noun} of "
            f"{attempt.request.target}. Looking for it before starting another one."
        )
        return None
    sync: Sync | None
    try:
        sync = yield from find(attempt, previous.sync_id, may_be_running=True)
    except NotFoundError:
        sync = None
    failure = failure_of(sync, attempt.request) if sync and sync.is_over else None
    if sync is not None and failure is None:
        return attempt.wait_on(previous.sync_id, "resumed", owned=previous.owned)
    attempt.current = None
    if failure is not None and previous.is_same_run and not failure.retryable:
        # A step retry that another sync asked for does not restart what a person stopped.
        raise failure
    name = f"{attempt.request.noun} {previous.sync_id} of a previous attempt"
    reason = (
        f"{capitalized(name)} ended with status {sync.status!r}"
        if sync
        else f"RudderStack does not know {name}"
    )
    if sync is None and not attempt.request.can_be_listed:
        # It was started, and the API has no other place that would show it.
        check_start_again(attempt, f"{reason}.")
    attempt.log.info(f"{reason}. Starting a new one.")
    return None


# --- before the start


def _check_connection(attempt: SyncAttempt, request: SyncRequest) -> Task[None]:
    """Read the connection: whether it is enabled, and whether RudderStack also schedules it.

    Raises:
        ConnectionDisabledError: If it is disabled and no earlier start has to be looked for.
    """
    if not attempt.policy.check_connection:
        return
    connection = yield from ask(
        attempt,
        lambda: _read_connection(attempt),
        may_be_running=attempt.lost_start is not None,
    )
    if connection is None:
        return
    if not connection.enabled:
        attempt.disabled = ConnectionDisabledError(
            f"{capitalized(request.target)} is disabled in RudderStack and does not "
            "sync. Find out why before you enable it in the dashboard. To skip it, set "
            "on_disabled='skip' of its asset or op. No sync was started.",
            connection_id=request.connection_id,
        )
        if attempt.lost_start is None:
            raise attempt.disabled
    _warn_of_schedule(attempt, connection)


def _read_connection(attempt: SyncAttempt) -> Connection | None:
    """Return the connection, or None with a warning if the token may not read it."""
    try:
        return attempt.get_connection()
    except PermissionDeniedError as error:
        attempt.log.warning(
            f"{capitalized(attempt.request.target)} cannot be checked before its sync, because "
            f"the token may not read it. Continuing without the check. {error}"
        )
        return None


def _warn_of_schedule(attempt: SyncAttempt, connection: Connection) -> None:
    schedule = connection.schedule
    if schedule is not None and not schedule.is_manual:
        attempt.log.warning(
            f"RudderStack also syncs {attempt.request.target} on its own schedule "
            f"({one_line(schedule.type, 40)!r}). Set the schedule to Manual in the dashboard, so "
            "that only Dagster starts its syncs."
        )


# --- the start


def _start(attempt: SyncAttempt) -> Task[CurrentSync]:
    """Start a sync, or find one that makes a start unnecessary."""
    failures = conflicts = 0
    failure: ApiError | None = None
    refusals = Refusals(attempt)
    while True:
        found = yield from _look_before_start(attempt)
        if found is not None:
            return found
        if attempt.disabled is not None:
            attempt.record(attempt.records.nothing_started)
            raise attempt.disabled
        if failure is not None and failures > max_retries(failure, attempt.policy.retry):
            if attempt.lost_start is not None and not attempt.request.can_be_listed:
                raise start_lost(attempt, str(failure)) from failure
            withdraw(attempt)
            raise failure
        if attempt.monotonic() >= attempt.deadline:
            yield from pause(attempt, 0.0)
        try:
            return attempt.wait_on(_send_start(attempt), "started", owned=True)
        except ApiError as error:
            attempt.last_error = error
            answer = judge_start(error)
            if answer is StartAnswer.RUNNING:
                conflicts += 1
                yield from _handle_conflict(attempt, error, conflicts)
                continue
            patience = math.inf
            if answer is StartAnswer.REFUSED_FOR_NOW:
                patience = yield from refusals.patience(error)
                answer = StartAnswer.NOT_STARTED if patience > 0 else StartAnswer.REFUSED
            else:
                failures, failure = failures + 1, error
            tries = failures + refusals.count
            yield from _handle_failure(attempt, error, answer, tries, patience)


def _look_before_start(attempt: SyncAttempt) -> Task[CurrentSync | None]:
    """List the newest syncs. Return the one to wait for, or None if a start may be sent."""
    looks = 0
    seen: set[str] = set()
    ended: set[str] = set()
    """What was waited for here. A list that is old may still show it as running."""
    while True:
        listed = yield from ask(
            attempt, attempt.list_syncs, may_be_running=attempt.lost_start is not None
        )
        if attempt.lost_start is not None:
            looks += 1
            seen_before = len(seen)
            found = yield from not_taken(attempt, candidates(attempt, listed), seen)
            if found and not has_failed_before(attempt, found):
                return adopt(attempt, found)
            left = attempt.settling_seconds_left
            if not found and (left > 0 or len(seen) > seen_before):
                delay = attempt.policy.retry.delay_seconds(looks, None, attempt.jitter())
                yield from pause(attempt, min(delay, left) if left > 0 else delay)
                continue
            give_up_lost_start(attempt, found)
        # Before anything else runs: it may be the sync of a newer execution of the step.
        successor = yield from attempt.until_stored(attempt.records.successor)
        if successor is not None and successor.sync_id is not None:
            return attempt.wait_on(successor.sync_id, "resumed", owned=successor.owned)
        # One without a usable id cannot be waited for. RudderStack refuses the start if it must.
        usable = [sync for sync in listed if sync.has_usable_id]
        running = [sync for sync in running_among(usable) if sync.id not in ended]
        if running:
            current = yield from _handle_running(attempt, running[0])
            if current is not None:
                return current
            ended.add(running[0].id)
            continue
        known = frozenset(sync.id for sync in listed)
        asked_at = attempt.monotonic()
        is_newest = yield from attempt.until_stored(partial(_announce, attempt, known))
        if is_newest and attempt.monotonic() - asked_at < STALE_SECONDS:
            return None
        yield from pause(attempt, 0.0 if is_newest else SUCCESSOR_SECONDS)


def _announce(attempt: SyncAttempt, known: frozenset[str]) -> bool:
    """Record which syncs exist before the start, unless that is recorded already.

    Returns:
        Whether the start may be sent. False if there is a newer execution of the step, which sends
        it instead.

    Raises:
        SyncUnwantedError: If the run has ended or was canceled.
    """
    attempt.write_records()
    if not attempt.records.is_sync_wanted():
        raise SyncUnwantedError
    is_newest = attempt.records.successor() is None
    # A later attempt judges an old record by its time, so this attempt writes one of its own.
    is_earlier = attempt.lost_start is not None and attempt.lost_start.is_earlier
    is_new = attempt.lost_start is None and known != attempt.known_sync_ids
    if is_newest and (is_new or is_earlier):
        attempt.records.starting(sorted(known))
        attempt.known_sync_ids = known
    return is_newest


def _handle_running(attempt: SyncAttempt, sync: Sync) -> Task[CurrentSync | None]:
    """Another sync runs: attach to it, fail, or wait until it ends and return None."""
    choice = attempt.policy.on_running_sync
    if choice == "fail":
        raise _already_running(attempt, sync)
    if choice == "attach":
        return attempt.wait_on(sync.id, "attached", owned=False)
    plan = (
        f"{capitalized(attempt.request.name_of(sync.id))} is already running. Waiting until it "
        f"ends, then starting a new {attempt.request.noun}, since the running one may miss rows of "
        "rebuilt tables."
    )
    attempt.log.info(plan)
    attempt.last_seen = sync
    if attempt.watcher is not None:
        attempt.watcher.say(plan)
    yield from wait_for(attempt, sync.id, attempt.monotonic())
    return None


def _already_running(attempt: SyncAttempt, sync: Sync | None) -> SyncAlreadyRunningError:
    name = f" ({sync.id})" if sync else ""
    request = attempt.request
    choices = "'wait' or 'attach'" if request.can_be_listed else "'wait'"
    return request.error(
        SyncAlreadyRunningError,
        f"A {request.noun} of {request.target} is already running{name}, and "
        f"on_running_{request.noun} is 'fail'. Start again when it has ended, or set "
        f"on_running_{request.noun} to {choices}.",
        sync,
    )


def _send_start(attempt: SyncAttempt) -> str:
    # Lost until the answer arrives, since an interrupt may come during the request.
    before = attempt.lost_start
    attempt.lost_start = LostStart(attempt.monotonic())
    try:
        return attempt.start_sync()
    except ApiError as error:
        if judge_start(error) is StartAnswer.LOST:
            note_lost_start(attempt, error, before)
        else:
            attempt.lost_start = before
            if before is None:
                withdraw(attempt)
        raise


def _handle_conflict(attempt: SyncAttempt, error: ApiError, conflicts: int) -> Task[None]:
    """RudderStack refused the start because a sync runs: look for it again, or fail."""
    if attempt.policy.on_running_sync == "fail" and attempt.lost_start is None:
        raise _already_running(attempt, None) from error
    request, retry = attempt.request, attempt.policy.retry
    if request.can_be_listed:
        attempt.log.info(f"Another sync is already running. Looking for it. ({error})")
    elif conflicts == 1:
        attempt.log.info(
            f"Another {request.noun} of {request.target} is already running. Waiting until "
            f"RudderStack accepts a new one. ({error})"
        )
    # The list may show the other sync a little later than the start does. Where there is no list,
    # each start is announced, and withdrawn again.
    if not request.can_be_listed:
        retry = retry.model_copy(update={"max_delay_seconds": CONFLICT_SECONDS})
    yield from pause(attempt, retry.delay_seconds(conflicts, None, attempt.jitter()))


def _handle_failure(
    attempt: SyncAttempt, error: ApiError, answer: StartAnswer, failures: int, patience: float
) -> Task[None]:
    """Wait before the next look after a failed start, or raise if another try is of no use."""
    delay = min(patience, delay_after(error, failures, attempt.policy.retry, attempt.jitter()))
    if answer is StartAnswer.LOST:
        noun, target = attempt.request.noun, attempt.request.target
        attempt.log.warning(
            f"RudderStack accepted the start of a {noun} of {target}, but its answer does not name "
            f"the {noun}. Looking for it. {error}"
            if is_accepted(attempt.lost_start)
            else f"The answer to the start of a {noun} of {target} was lost, so it is unknown "
            f"whether a {noun} was started. Looking for it. {error}"
        )
        # Where nothing can be found, the next start would follow at once.
        if not attempt.request.can_be_listed and attempt.settling_seconds_left <= 0:
            yield from pause(attempt, delay)
        return
    if answer is StartAnswer.REFUSED:
        # An earlier start of a run may have had an effect, which no list has denied.
        if attempt.lost_start is not None and attempt.request.can_be_listed:
            withdraw(attempt)
        raise error
    attempt.log.warning(f"{error} Trying again in {duration_text(delay)}.")
    yield from pause(attempt, delay)

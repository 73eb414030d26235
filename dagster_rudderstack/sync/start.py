"""Starts a sync at most once, or finds the one to wait for.

The start is sent again only if it certainly had no effect. If its answer is lost, a sync that was
not listed before is adopted. The start is repeated only when none appears within the settling
time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
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
    MAX_REDIRECTS,
    CurrentSync,
    LostStart,
    SyncAttempt,
)
from dagster_rudderstack.sync.decisions import (
    StartAnswer,
    duration_text,
    failure_of,
    is_redirect,
    judge_start,
    running_among,
)
from dagster_rudderstack.sync.lost_start import adopt, candidates, has_failed_before
from dagster_rudderstack.sync.retry import delay_after
from dagster_rudderstack.sync.storage import SyncUnwantedError
from dagster_rudderstack.sync.task import Task
from dagster_rudderstack.sync.wait import ask, find, may_pass, pause, wait_for
from dagster_rudderstack.text import one_line

__all__ = ["resume_or_start"]

STALE_SECONDS = 10.0
"""If the storage took longer to record a start, the syncs are listed again before it is sent, since
another one may run by then."""

SUCCESSOR_SECONDS = 5.0
"""How often to look for the sync that a newer execution of the same step starts."""


def resume_or_start(attempt: SyncAttempt) -> Task[CurrentSync]:
    """Return the sync to wait for: one that an earlier attempt left, or a new one.

    Raises:
        SyncAlreadyRunningError: If another sync runs and `on_running_sync` is `fail`.
        ConnectionDisabledError: If the connection is disabled.
        SyncError: If the sync that an earlier attempt of this run left must not be started again.
        SyncUnwantedError: If the run has ended or was canceled before the start.
        ApiError: If no sync was started.
    """
    current = yield from _resume(attempt)
    if current is None:
        yield from _check_connection(attempt)
        current = yield from _start(attempt)
    return current


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
            f"A previous attempt may have started a sync of connection "
            f"{attempt.request.connection}. Looking for it before starting another one."
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
    name = f"{previous.sync_id} of a previous attempt"
    reason = (
        f"Sync {name} ended with status {sync.status!r}"
        if sync
        else f"RudderStack does not know sync {name}"
    )
    attempt.log.info(f"{reason}. Starting a new one.")
    return None


# --- before the start


def _check_connection(attempt: SyncAttempt) -> Task[None]:
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
            f"Connection {attempt.request.connection} is disabled in RudderStack and does not "
            "sync. Enable it in the dashboard, or set on_disabled='skip' of its asset or op.",
            connection_id=attempt.connection_id,
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
            f"Connection {attempt.request.connection} cannot be checked before its sync, because "
            f"the token may not read it. Continuing without the check. {error}"
        )
        return None


def _warn_of_schedule(attempt: SyncAttempt, connection: Connection) -> None:
    schedule = connection.schedule
    if schedule is not None and not schedule.is_manual:
        attempt.log.warning(
            f"RudderStack also syncs connection {attempt.request.connection} on its own schedule "
            f"({one_line(schedule.type, 40)!r}). Set the schedule to Manual in the dashboard, so "
            "that only Dagster starts its syncs."
        )


# --- the start


def _start(attempt: SyncAttempt) -> Task[CurrentSync]:
    """Start a sync, or find one that makes a start unnecessary."""
    failures = conflicts = 0
    failure: ApiError | None = None
    refusals = _Refusals(attempt)
    while True:
        found = yield from _look_before_start(attempt)
        if found is not None:
            return found
        if attempt.disabled is not None:
            attempt.record(attempt.records.nothing_started)
            raise attempt.disabled
        if failure is not None and failures > attempt.policy.retry.request_max_retries:
            attempt.record(attempt.records.nothing_started)
            raise failure
        try:
            return attempt.wait_on(_send_start(attempt), "started", owned=True)
        except ApiError as error:
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
    while True:
        listed = yield from ask(
            attempt, attempt.list_syncs, may_be_running=attempt.lost_start is not None
        )
        if attempt.lost_start is not None:
            looks += 1
            found = candidates(attempt, listed)
            if found and not has_failed_before(attempt, found):
                return adopt(attempt, found)
            left = attempt.settling_seconds_left
            if not found and left > 0:
                delay = attempt.policy.retry.delay_seconds(looks, None, attempt.jitter())
                yield from pause(attempt, min(delay, left))
                continue
            _give_up_lost_start(attempt, found)
        # Before anything else runs: it may be the sync of a newer execution of the step.
        successor = yield from attempt.until_stored(attempt.records.successor)
        if successor is not None and successor.sync_id is not None:
            return attempt.wait_on(successor.sync_id, "resumed", owned=successor.owned)
        # One without a usable id cannot be waited for. RudderStack refuses the start if it must.
        running = running_among([sync for sync in listed if sync.has_usable_id])
        if running:
            current = yield from _handle_running(attempt, running[0])
            if current is not None:
                return current
            continue
        known = frozenset(sync.id for sync in listed)
        asked_at = attempt.monotonic()
        is_newest = yield from attempt.until_stored(partial(_announce, attempt, known))
        if is_newest and attempt.monotonic() - asked_at < STALE_SECONDS:
            return None
        yield from pause(attempt, 0.0 if is_newest else SUCCESSOR_SECONDS)


def _give_up_lost_start(attempt: SyncAttempt, failed: Sequence[Sync]) -> None:
    lost = attempt.lost_start
    if lost is not None and lost.redirect is not None and lost.redirects >= MAX_REDIRECTS:
        _withdraw(attempt)
        attempt.lost_start = None
        raise lost.redirect
    if failed:
        attempt.log.info(f"Sync {failed[0].id} of a previous attempt failed. Starting a new one.")
        attempt.lost_start = None
    else:
        attempt.log.info(
            "No sync has appeared since the start whose answer was lost, so it had no effect."
        )


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
    attempt.log.info(
        f"Sync {sync.id} of connection {attempt.request.connection} is already running. Waiting "
        "until it ends, then starting a new sync, since the running one may miss rows of rebuilt "
        "tables."
    )
    yield from wait_for(attempt, sync.id, attempt.monotonic())
    return None


def _already_running(attempt: SyncAttempt, sync: Sync | None) -> SyncAlreadyRunningError:
    name = f" ({sync.id})" if sync else ""
    return SyncAlreadyRunningError(
        f"A sync of connection {attempt.request.connection} is already running{name}, and "
        "on_running_sync is 'fail'. Start again when it has ended, or set on_running_sync to "
        "'wait' or 'attach'.",
        connection_id=attempt.connection_id,
        sync=sync,
    )


def _send_start(attempt: SyncAttempt) -> str:
    # Lost until the answer arrives, since an interrupt may come during the request.
    before = attempt.lost_start
    attempt.lost_start = LostStart(attempt.monotonic())
    try:
        return attempt.start_sync()
    except ApiError as error:
        if judge_start(error) is StartAnswer.LOST:
            attempt.lost_start = _lost_start(attempt, error, before)
        else:
            attempt.lost_start = before
            if before is None:
                _withdraw(attempt)
        raise


def _lost_start(attempt: SyncAttempt, error: ApiError, before: LostStart | None) -> LostStart:
    # RudderStack may have acted on it until now, which can be a read timeout after the start.
    now = attempt.monotonic()
    if not is_redirect(error):
        return LostStart(now)
    redirects = (before.redirects if before else 0) + 1
    return LostStart(now, redirect=error, redirects=redirects)


def _withdraw(attempt: SyncAttempt) -> None:
    """Record that the announced start had no effect.

    Otherwise the next attempt would adopt a sync that another client starts until then.
    """
    attempt.known_sync_ids = None
    attempt.record(attempt.records.nothing_started)


def _handle_conflict(attempt: SyncAttempt, error: ApiError, conflicts: int) -> Task[None]:
    """RudderStack refused the start because a sync runs: look for it again, or fail."""
    if attempt.policy.on_running_sync == "fail" and attempt.lost_start is None:
        raise _already_running(attempt, None) from error
    attempt.log.info(f"Another sync is already running. Looking for it. ({error})")
    # The list may show the other sync a little later than the start does.
    delay = attempt.policy.retry.delay_seconds(conflicts, None, attempt.jitter())
    yield from pause(attempt, delay)


@dataclass
class _Refusals:
    """Counts the starts that were refused although they may be accepted soon.

    A valid token can be refused with 401. A source that was just created can make a start answer
    404 for some seconds, although the connection exists.
    """

    attempt: SyncAttempt
    count: int = 0
    _unauthorized: int = 0
    _not_found_since: float | None = None

    def patience(self, error: ApiError) -> Task[float]:
        """Return for how many more seconds the start may be repeated. 0 means that it is final."""
        self.count += 1
        retry = self.attempt.policy.retry
        if not isinstance(error, NotFoundError):
            self._unauthorized += 1
            return math.inf if may_pass(error, self._unauthorized, retry) else 0.0
        now = self.attempt.monotonic()
        if self._not_found_since is None:
            self._not_found_since = now
        left = self._not_found_since + self.attempt.policy.start_settling_seconds - now
        if left <= 0 or retry.request_max_retries == 0:
            return 0.0
        exists = yield from ask(self.attempt, lambda: _exists(self.attempt), may_be_running=False)
        return left if exists else 0.0


def _exists(attempt: SyncAttempt) -> bool:
    try:
        attempt.get_connection()
    except NotFoundError:
        return False
    except PermissionDeniedError:
        return True
    return True


def _handle_failure(
    attempt: SyncAttempt, error: ApiError, answer: StartAnswer, failures: int, patience: float
) -> Task[None]:
    """Wait before the next look after a failed start, or raise if another try is of no use."""
    if answer is StartAnswer.LOST:
        attempt.log.warning(
            f"The answer to the start of a sync of connection {attempt.request.connection} was "
            f"lost, so it is unknown whether a sync was started. Looking for it. {error}"
        )
        return
    if answer is StartAnswer.REFUSED:
        if attempt.lost_start is not None:
            _withdraw(attempt)
        raise error
    delay = min(patience, delay_after(error, failures, attempt.policy.retry, attempt.jitter()))
    attempt.log.warning(f"{error} Trying again in {duration_text(delay)}.")
    yield from pause(attempt, delay)

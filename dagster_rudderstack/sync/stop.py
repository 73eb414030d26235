"""Stops a sync that our run started, and no other. A run of a source cannot be stopped.

`POST /stop` acts on a connection and not on a sync, so each try looks first at what runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from dagster_rudderstack.api.deadline import answered_within
from dagster_rudderstack.api.models import Sync
from dagster_rudderstack.api.throttle import urgent
from dagster_rudderstack.errors import ApiError
from dagster_rudderstack.sync.attempt import CurrentSync, SyncAttempt
from dagster_rudderstack.sync.decisions import is_temporary, running_among
from dagster_rudderstack.sync.lost_start import adopt, candidates
from dagster_rudderstack.sync.retry import delay_after
from dagster_rudderstack.sync.task import Task

__all__ = ["STOP_GRACE_SECONDS", "StopOutcome", "stop"]

STOP_GRACE_SECONDS = 15.0
"""How long a stop may take. Kubernetes kills a pod 30 s after it asked it to end."""

MAX_DELAY_SECONDS = 2.0
"""The longest wait between two tries: a stop has seconds, not minutes."""


class StopOutcome(Enum):
    """What a stop achieved, in words for a person."""

    REQUESTED = "RudderStack was asked to stop it"
    OVER = "it had already ended"
    NOT_OWNED = "it was left running, since another client started it"
    OTHERS_RUNNING = (
        "it was left running, since a stop would also stop other syncs of the connection"
    )
    NOTHING_STARTED = "no sync was started"
    CANNOT_BE_STOPPED = "it goes on in RudderStack, which offers no way to stop a run"
    NOT_SEEN = (
        "it was being started and is not listed yet; if it appears later, stop it in RudderStack's "
        "dashboard"
    )
    REFUSED = "it could not be stopped, since RudderStack refused that; look in its dashboard"
    UNKNOWN = (
        "it may not have been stopped, since RudderStack gave no valid answer; look in its "
        "dashboard"
    )


MAY_CHANGE = (StopOutcome.UNKNOWN, StopOutcome.REFUSED, StopOutcome.NOT_SEEN)
"""Outcomes after which the stop is tried again, as long as there is time."""


TRY_SECONDS = 5.0
"""How long the requests of the last try may take."""

DETAILS_SECONDS = 3.0
"""How long a stop waits for the details of a sync that the list has."""


def stop(attempt: SyncAttempt, grace_seconds: float = STOP_GRACE_SECONDS) -> Task[StopOutcome]:
    """Stop the sync of an attempt if our run started it and no other sync runs.

    Args:
        attempt: The attempt, which may have been interrupted anywhere.
        grace_seconds: How long to try. 0 tries once.
    """
    if not attempt.request.can_be_stopped:
        is_any = attempt.current is not None or attempt.lost_start is not None
        return StopOutcome.CANNOT_BE_STOPPED if is_any else StopOutcome.NOTHING_STARTED
    give_up_at = attempt.monotonic() + grace_seconds
    tries = 0
    while True:
        tries += 1
        try:
            # A pause after a 429 may be longer than the time that a stop has.
            with urgent(), answered_within(max(give_up_at - attempt.monotonic(), TRY_SECONDS)):
                outcome = _try_once(attempt)
            delay = attempt.policy.retry.delay_seconds(tries, None, attempt.jitter())
        except ApiError as error:
            outcome = _outcome_of(error)
            delay = delay_after(error, tries, attempt.policy.retry, attempt.jitter())
            if attempt.monotonic() + min(delay, MAX_DELAY_SECONDS) > give_up_at:
                attempt.log.warning(f"{attempt.name} could not be stopped. {error}")
        delay = min(delay, MAX_DELAY_SECONDS)
        may_change = outcome in MAY_CHANGE
        if not may_change or attempt.monotonic() + delay > give_up_at:
            return outcome
        yield delay


def _outcome_of(error: ApiError) -> StopOutcome:
    return StopOutcome.UNKNOWN if is_temporary(error) else StopOutcome.REFUSED


def _try_once(attempt: SyncAttempt) -> StopOutcome:
    if attempt.current is None and attempt.lost_start is None:
        return StopOutcome.NOTHING_STARTED
    listed = attempt.list_syncs()
    current = attempt.current or _started_by_lost_start(attempt, listed)
    if current is None:
        is_settled = attempt.settling_seconds_left <= 0
        return StopOutcome.NOTHING_STARTED if is_settled else StopOutcome.NOT_SEEN
    if not current.owned:
        return StopOutcome.NOT_OWNED
    attempt.last_seen = _details(attempt, current.sync_id, listed)
    if attempt.last_seen.is_over:
        return StopOutcome.OVER
    # An unknown status counts only in the newest of the others: a sync that never got an end must
    # not prevent every stop.
    if running_among([sync for sync in listed if sync.id != current.sync_id]):
        return StopOutcome.OTHERS_RUNNING
    attempt.api.stop_sync(attempt.target_id)
    attempt.record(lambda: attempt.records.stop_requested(current.sync_id))
    return StopOutcome.REQUESTED


def _details(attempt: SyncAttempt, sync_id: str, listed: Sequence[Sync]) -> Sync:
    """Return the sync. If its details cannot be read soon, return what the list says of it."""
    try:
        with answered_within(DETAILS_SECONDS):
            return attempt.find_sync(sync_id)
    except ApiError as error:
        found = next((sync for sync in listed if sync.id == sync_id), None)
        if found is None or not is_temporary(error):
            raise
        return found


def _started_by_lost_start(attempt: SyncAttempt, listed: Sequence[Sync]) -> CurrentSync | None:
    found = candidates(attempt, listed)
    return adopt(attempt, found) if found else None

"""Finds the sync of a start whose answer was lost.

Before each start the syncs of the connection are listed. A sync that was not in that list began
after the start, so it is adopted. Clocks are not compared, so a clock that is minutes off
does no harm.
"""

from __future__ import annotations

from collections.abc import Sequence

from dagster_rudderstack.api.models import Sync
from dagster_rudderstack.errors import ApiError, StartLostError, UnexpectedResponseError
from dagster_rudderstack.sync.attempt import MAX_REDIRECTS, CurrentSync, LostStart, SyncAttempt
from dagster_rudderstack.sync.decisions import began_since, failure_of, is_redirect
from dagster_rudderstack.sync.request import RunRequest
from dagster_rudderstack.sync.source_runs import UNKNOWN_NEWEST
from dagster_rudderstack.sync.task import Task
from dagster_rudderstack.text import capitalized

__all__ = [
    "adopt",
    "candidates",
    "check_start_again",
    "give_up_lost_start",
    "has_failed_before",
    "is_accepted",
    "not_taken",
    "note_lost_start",
    "start_lost",
    "withdraw",
]


def note_lost_start(attempt: SyncAttempt, error: ApiError, before: LostStart | None) -> None:
    """Note that the answer to a start was lost. `before` is a lost start before that one."""
    # RudderStack may have acted on it until now, which can be a read timeout after the start.
    now = attempt.monotonic()
    if is_redirect(error):
        redirects = (before.redirects if before else 0) + 1
        attempt.lost_start = LostStart(now, error=error, redirect=error, redirects=redirects)
        return
    # A web page comes from another program, such as a proxy.
    accepted = isinstance(error, UnexpectedResponseError) and not error.is_web_page
    attempt.lost_start = LostStart(now, error=error, is_accepted=accepted)
    if accepted and not attempt.request.can_be_listed:
        known = sorted(attempt.known_sync_ids or ())
        attempt.record(lambda: attempt.records.accepted(known))


def candidates(attempt: SyncAttempt, listed: Sequence[Sync]) -> list[Sync]:
    """Return the syncs that the lost start may have started, oldest first.

    One without a usable id cannot be waited for. If it runs, RudderStack refuses the next start.
    """
    lost = attempt.lost_start
    recorded_at = lost.recorded_at if lost else None
    usable = [sync for sync in listed if sync.has_usable_id]
    known = attempt.known_sync_ids or ()
    if UNKNOWN_NEWEST.id in known:
        return []
    if not known and not attempt.request.can_be_listed:
        # RudderStack showed no run before the start. If that was a mistake, one that is over is
        # older.
        usable = [sync for sync in usable if not sync.is_over]
    return began_since(usable, known, recorded_at)


def has_failed_before(attempt: SyncAttempt, found: Sequence[Sync]) -> bool:
    """Whether the sync that an earlier attempt started has failed, so that a new one is due."""
    first = found[0]
    has_failed = first.is_over and failure_of(first, attempt.request) is not None
    return has_failed and attempt.lost_start is not None and attempt.lost_start.is_earlier


def adopt(attempt: SyncAttempt, found: Sequence[Sync]) -> CurrentSync:
    """Wait for the first sync that began after our start.

    If several began, the first one may be another client's, so it is never stopped, and the others
    must succeed as well.
    """
    first, *others = found
    current = attempt.wait_on(
        first.id, "adopted", owned=not others, others=[each.id for each in others]
    )
    if isinstance(attempt.request, RunRequest):
        attempt.log.warning(
            f"Run {first.id} began after the start whose answer was lost. RudderStack does not say "
            "who started it. If another client did, it may have other parameters."
        )
    if others:
        names = ", ".join(each.id for each in found)
        attempt.log.warning(
            f"Several syncs began after the start whose answer was lost: {names}. The first, "
            f"{first.id}, is reported if all succeed. None is stopped, since they may belong to "
            "another client."
        )
    return current


def give_up_lost_start(attempt: SyncAttempt, failed: Sequence[Sync]) -> None:
    """Decide what no list has shown: that the lost start had no effect, or that it is unknown.

    Args:
        attempt: The attempt.
        failed: What an earlier attempt has started, and has failed.

    Raises:
        ApiError: The last redirect, if there were too many.
        StartLostError: As in `check_start_again`.
    """
    lost = attempt.lost_start
    if lost is not None and lost.redirect is not None and lost.redirects >= MAX_REDIRECTS:
        withdraw(attempt)
        attempt.lost_start = None
        raise lost.redirect
    if failed:
        name = capitalized(f"{attempt.request.noun} {failed[0].id}")
        attempt.log.info(f"{name} of a previous attempt failed. Starting a new one.")
        attempt.lost_start = None
    elif attempt.request.can_be_listed:
        attempt.log.info(
            "No sync has appeared since the start whose answer was lost, so it had no effect."
        )
    else:
        check_start_again(attempt)


def withdraw(attempt: SyncAttempt) -> None:
    """Record that the announced start had no effect.

    Otherwise the next attempt would adopt a sync that another client starts until then.
    """
    attempt.known_sync_ids = None
    attempt.record(attempt.records.nothing_started)


def check_start_again(attempt: SyncAttempt, said: str = "") -> None:
    """Raise if the start of a run whose effect is unknown must not be sent again.

    Args:
        attempt: The attempt.
        said: Why it is unknown, as a sentence. Empty if the answer to the start was lost.

    Raises:
        StartLostError: If `on_lost_start` is `fail`. Also if RudderStack has answered with 2xx: it
            has accepted the start, although the answer does not name the run.
    """
    lost = attempt.lost_start
    if attempt.policy.on_lost_start == "fail" or is_accepted(lost):
        raise start_lost(attempt, said) from (lost.error if lost else None)
    attempt.log.warning(
        f"{_what_is_unknown(attempt)}. {said or _reason_of(lost)} Starting it again, since "
        "on_lost_start is 'start_again'."
    )


def start_lost(attempt: SyncAttempt, said: str = "") -> StartLostError:
    """Return the error of a run that may have been started. `said` is as in `check_start_again`."""
    lost = attempt.lost_start
    advice = ""
    if attempt.policy.on_lost_start == "fail" or is_accepted(lost):
        advice = ", then launch a new Dagster run: a re-execution of this one does not start it"
    choice = ""
    if attempt.policy.on_lost_start == "fail" and not is_accepted(lost):
        choice = " If running twice does no harm, set on_lost_start to 'start_again'."
    return attempt.request.error(
        StartLostError,
        f"{_what_is_unknown(attempt)}, and RudderStack does not show it. "
        f"{said or _reason_of(lost)} Look in RudderStack's dashboard{advice}.{choice}",
    )


def is_accepted(lost: LostStart | None) -> bool:
    """Whether RudderStack accepted a lost start, without naming what it has started."""
    return lost is not None and lost.is_accepted


def _reason_of(lost: LostStart | None) -> str:
    if lost is not None and lost.error is not None:
        return str(lost.error)
    missing = "id of the run" if is_accepted(lost) else "answer to its start"
    return f"A previous attempt got no {missing}."


def _what_is_unknown(attempt: SyncAttempt) -> str:
    target = attempt.request.target
    if is_accepted(attempt.lost_start):
        return f"RudderStack accepted the start of a run of {target}"
    return f"It is unknown whether a run of {target} was started or how it ended"


def not_taken(attempt: SyncAttempt, found: list[Sync], seen: set[str]) -> Task[list[Sync]]:
    """Return the runs that no other step, partition or Dagster run has started.

    Only the newest run of a source is known, and another start of it may have come between. What is
    seen for the first time is left out, since its starter may not have recorded it yet.
    """
    if attempt.request.can_be_listed or not found:
        return found
    taken = yield from attempt.until_stored(attempt.records.started_by_others)
    new = [run for run in found if run.id not in taken]
    known = [run for run in new if run.id in seen]
    seen.update(run.id for run in new)
    return known

"""The life of a sync or run: start or resume it, wait until it ends, report it.

Each function is a task: it makes requests and yields the seconds to wait. The decisions are pure
functions in `decisions`.
"""

from __future__ import annotations

import contextlib

from dagster_rudderstack.api.validation import checked_id
from dagster_rudderstack.sync.attempt import CurrentSync, SyncAttempt
from dagster_rudderstack.sync.decisions import failure_of
from dagster_rudderstack.sync.request import Report
from dagster_rudderstack.sync.start import resume_or_start
from dagster_rudderstack.sync.task import Task
from dagster_rudderstack.sync.wait import find, wait_for

__all__ = ["attach", "start_and_wait", "start_only"]


def start_and_wait(attempt: SyncAttempt) -> Task[Report]:
    """Start or resume a sync, wait until it ends, and report it.

    Raises:
        SyncError: If it did not succeed, or its end is unknown.
        ApiError: If it was not started.
    """
    attempt.begin()
    current = yield from resume_or_start(attempt)
    return (yield from _wait_and_report(attempt, current))


def start_only(attempt: SyncAttempt) -> Task[str]:
    """Start or resume a sync and return its id, without waiting until it ends.

    Raises:
        SyncError: If it cannot be started.
        ApiError: If it was not started.
    """
    attempt.begin()
    current = yield from resume_or_start(attempt)
    # The polling sensor reports the sync only if it finds the record.
    yield from attempt.until_stored(attempt.write_records)
    return current.sync_id


def attach(attempt: SyncAttempt, sync_id: str, *, owned: bool = False) -> Task[Report]:
    """Wait for a sync that is already started, and report it.

    Args:
        attempt: The attempt that waits.
        sync_id: The sync.
        owned: Whether our run started it, so that a timeout may stop it.

    Raises:
        SyncError: If it did not succeed, or its end is unknown.
        ApiError: If RudderStack does not know the sync, or refuses the token.
    """
    attempt.begin()
    checked_id(sync_id, "sync_id")
    if not owned:
        # Asked before any error is tolerated, so that a wrong id or token fails within seconds.
        attempt.last_seen = yield from find(attempt, sync_id, may_be_running=False)
    current = attempt.wait_on(sync_id, "started" if owned else "attached", owned=owned)
    return (yield from _wait_and_report(attempt, current))


def _wait_and_report(attempt: SyncAttempt, current: CurrentSync) -> Task[Report]:
    sync = yield from wait_for(attempt, current.sync_id, current.since)
    failure = failure_of(sync, attempt.request)
    for sync_id in current.others:
        if failure is None:
            other = yield from wait_for(attempt, sync_id, current.since)
            failure = failure_of(other, attempt.request)
    attempt.is_over = True
    # Without the record a later attempt looks for the sync, as for one whose start was lost.
    with contextlib.suppress(Exception):
        attempt.write_records()
    if failure is not None:
        raise failure
    return attempt.report(sync, current.origin)

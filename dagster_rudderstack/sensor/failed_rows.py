"""How to list the rejected rows of the syncs that a tick reports."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping

from dagster_rudderstack.sensor.detect import Finding
from dagster_rudderstack.sensor.limits import LAST_REQUEST_SECONDS, SYNC_LOGS_SECONDS
from dagster_rudderstack.sensor.watch import Watch
from dagster_rudderstack.sync.failed_rows import FailedRows, SyncLog, failed_rows
from dagster_rudderstack.sync.scheduler import Scheduler
from dagster_rudderstack.sync.sync_logs import SyncLogs, has_rejected_rows
from dagster_rudderstack.sync.task import Task

__all__ = ["failed_rows_by_sync"]


def failed_rows_by_sync(
    findings: Collection[Finding],
    watches: Mapping[str, Watch],
    logs: SyncLogs,
    *,
    threads: int,
    began: float,
) -> dict[str, FailedRows]:
    """Return how to list the rejected rows, by sync id, of the syncs that have some.

    Asks RudderStack, for a few seconds at most, where the rows of those connections are listed
    whose definitions do not say it. The SQL of the others is a general one.

    Args:
        findings: The syncs that a tick reports.
        watches: The assets by connection id.
        logs: Asks RudderStack.
        threads: How many connections are asked for at once.
        began: When the tick began, on the clock of `time.monotonic`.
    """
    rejected = [finding for finding in findings if has_rejected_rows(finding.sync)]
    known = {each.connection_id: watches[each.connection_id].sync_log for each in rejected}
    known |= _asked([id_ for id_, log in known.items() if log is None], logs, threads, began)
    return {
        each.sync.id: failed_rows(
            each.connection_id, each.sync.id, known[each.connection_id] or SyncLog()
        )
        for each in rejected
    }


def _asked(
    connection_ids: Collection[str], logs: SyncLogs, threads: int, began: float
) -> dict[str, SyncLog]:
    if not connection_ids:
        return {}
    scheduler = Scheduler({id_: _ask(id_, logs) for id_ in connection_ids}, threads=threads)
    give_up_at = min(time.monotonic() + SYNC_LOGS_SECONDS, began + LAST_REQUEST_SECONDS)
    finished = list(scheduler.until(give_up_at))
    scheduler.halt()
    return {each.key: each.result for each in finished if each.result is not None}


def _ask(connection_id: str, logs: SyncLogs) -> Task[SyncLog]:
    yield from ()
    return logs.find(connection_id)

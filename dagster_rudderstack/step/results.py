"""The result of each sync of a step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import dagster as dg

from dagster_rudderstack.api.models import Sync, SyncState
from dagster_rudderstack.api.source_runs import SourceRun
from dagster_rudderstack.checks.base import SyncCheck
from dagster_rudderstack.errors import RudderStackError, SyncError, SyncLostError
from dagster_rudderstack.metadata import Metadata, own_id_of, report_metadata
from dagster_rudderstack.step.resume import EarlierAttempts
from dagster_rudderstack.step.run_guard import RunGuard
from dagster_rudderstack.sync.attempt import SyncAttempt
from dagster_rudderstack.sync.failed_rows import FailedRows, SyncLog
from dagster_rudderstack.sync.request import (
    Report,
    Request,
    SourceRunReport,
    SyncReport,
    SyncRequest,
)
from dagster_rudderstack.sync.sync_logs import SyncLogs

__all__ = ["StepSync", "SyncResult", "completed_result", "earlier_result", "ended_result"]


@dataclass(frozen=True)
class StepSync:
    """A sync that a step is to make, or a run of a source.

    Attributes:
        request: What to make.
        key: The asset that it is reported on. None if it is reported on none.
        sync_log: The sync log of the connection, as discovery knows it. None if it does not.
        other_keys: Further assets that it is reported on: a run may build several.
    """

    request: Request
    key: dg.AssetKey | None = None
    sync_log: SyncLog | None = None
    other_keys: tuple[dg.AssetKey, ...] = ()

    @classmethod
    def of(cls, request: Request, keys: Sequence[dg.AssetKey]) -> StepSync:
        """Return what is reported on some assets."""
        return cls(request, keys[0] if keys else None, other_keys=tuple(keys[1:]))

    @property
    def keys(self) -> tuple[dg.AssetKey, ...]:
        """The assets that it is reported on."""
        return (*([self.key] if self.key else []), *self.other_keys)

    @property
    def name(self) -> str:
        """What people call it: its only asset, or else the connection or source."""
        (key, *others) = self.keys or (None,)
        return self.request.label if key is None or others else key.to_user_string()


@dataclass(frozen=True)
class SyncResult:
    """What became of one sync.

    Attributes:
        sync: The sync that was asked for.
        status: A word or two for the summary.
        metadata: The metadata of the materialization to report. None if there is none to report.
        reported_keys: The assets whose materializations are stored already, so that only the
            results of their checks are reported.
        report: The sync that succeeded. None if none did, or if an earlier attempt reported it.
        last_seen: The last state of the sync. None if no sync was seen.
        error: Why it failed. None if it did not.
    """

    sync: StepSync
    status: str
    metadata: Metadata | None = None
    reported_keys: frozenset[dg.AssetKey] = frozenset()
    report: Report | None = None
    last_seen: Sync | None = None
    error: BaseException | None = None

    @property
    def is_reported(self) -> bool:
        """Whether there is nothing to materialize any more. False if there is no asset."""
        return bool(self.reported_keys) and self.reported_keys.issuperset(self.sync.keys)


def ended_result(
    sync: StepSync,
    attempt: SyncAttempt,
    end: Report | RudderStackError,
    logs: SyncLogs | None,
) -> SyncResult:
    """Return the result of an attempt that has ended, with the SQL for its rejected rows.

    Args:
        sync: The sync that was asked for.
        attempt: The attempt.
        end: The report of the sync, or why it failed. It gets the SQL.
        logs: Says where rejected rows are listed. None lists none.
    """
    if isinstance(end, RudderStackError):
        return _failed(sync, attempt, end, logs)
    if isinstance(end, SourceRunReport):
        return SyncResult(sync, end.status, report=end, last_seen=end)
    return _succeeded(sync, end, logs)


def _succeeded(sync: StepSync, report: SyncReport, logs: SyncLogs | None) -> SyncResult:
    found = _failed_rows(sync, report, logs)
    if found is not None:
        fields = {"failed_rows_sql": found.sql, "failed_rows_note": found.note}
        report = report.model_copy(update=fields)
    return SyncResult(sync, report.status, report=report, last_seen=report)


def _failed(
    sync: StepSync, attempt: SyncAttempt, error: RudderStackError, logs: SyncLogs | None
) -> SyncResult:
    seen = error.sync if isinstance(error, SyncError) else None
    # A sync of another client that is in the way is not the one that failed.
    owned = {attempt.sync_id, attempt.previous.sync_id if attempt.previous else None}
    seen = seen if seen and seen.id in owned else None
    found = _failed_rows(sync, seen, logs)
    if found is not None and isinstance(error, SyncError):
        error.failed_rows_sql, error.failed_rows_note = found
    if isinstance(error, SyncLostError):
        status = "lost"
    elif seen is None or (isinstance(seen, SourceRun) and seen.state is SyncState.FAILED):
        # A run with an error may have the status `finished`.
        status = "failed"
    else:
        status = seen.status
    return SyncResult(sync, status, last_seen=seen, error=error)


def _failed_rows(sync: StepSync, seen: Sync | None, logs: SyncLogs | None) -> FailedRows | None:
    if logs is None or not isinstance(sync.request, SyncRequest):
        return None
    return logs.failed_rows(sync.request.connection_id, seen, sync.sync_log)


def completed_result(
    result: SyncResult,
    guard: RunGuard | None,
    earlier: EarlierAttempts | None,
    link_template: str | None,
) -> SyncResult:
    """Return the result of a sync that succeeded with the metadata to report.

    Args:
        result: The result. One without a report is returned as it is.
        guard: Says whether another execution of the step has reported the sync. None if the step's
            own code reports it.
        earlier: What earlier attempts of the step left. Read only if there are several assets: one
            of them may have been reported before an attempt was killed.
        link_template: The address of its page in RudderStack's dashboard. None for no link.
    """
    report, keys = result.report, result.sync.keys
    if report is None:
        return result
    reported = frozenset(
        key
        for key in keys
        if (guard and guard.was_reported_by_another(report.id, key))
        or (len(keys) > 1 and earlier and earlier.has_materialized(key, report.id))
    )
    return replace(
        result,
        metadata=report_metadata(report, link_template),
        reported_keys=reported,
    )


def earlier_result(
    sync: StepSync, earlier: EarlierAttempts, checks: Iterable[SyncCheck]
) -> SyncResult | None:
    """Return the result that an earlier attempt reported. None if the sync is still to be made.

    Args:
        sync: The sync that is asked for.
        earlier: What earlier attempts of the step left.
        checks: The checks of the asset. A later run syncs again if one that blocks has failed.
    """
    found = {key: earlier.materialized(sync.request, key) for key in sync.keys}
    stored = {key: each for key, each in found.items() if each is not None}
    if not stored or len(stored) < len(found):
        return None
    # Several assets that different runs have built are not the result of one.
    if len({own_id_of(each.metadata) for each in stored.values()}) > 1:
        return None
    this_run = earlier.step.run.run_id
    # Dagster judges a step by the checks of its last attempt only.
    blocking = [check for check in checks if check.blocking]
    passed = all(
        check.result_of_metadata(key, each.metadata).passed
        for key, each in stored.items()
        for check in blocking
        if each.run_id != this_run
    )
    if not passed:
        return None
    # What another run has stored is reported again: the downstream assets of this run wait for a
    # materialization of this run, and if it fails without one, Dagster counts the asset as failed.
    kept = frozenset(
        key
        for key, each in stored.items()
        if each.run_id == this_run and not earlier.step.is_output_lost(key, each.position)
    )
    metadata = dict(stored[sync.keys[0]].metadata)
    return SyncResult(sync, "succeeded earlier", metadata=metadata, reported_keys=kept)

"""Reports failed and stopped syncs on the pages of their assets.

A successful sync is a materialization. A failed or stopped one is an observation with the reason.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import datetime, timezone

import dagster as dg

from dagster_rudderstack.api.models import Sync
from dagster_rudderstack.api.source_runs import SourceRun
from dagster_rudderstack.errors import RudderStackError, StartLostError, SyncTimedOutError
from dagster_rudderstack.metadata import (
    STOPPED,
    Metadata,
    failed_rows_of,
    run_metadata,
    sync_metadata,
)
from dagster_rudderstack.step.dagster_step import DagsterStep
from dagster_rudderstack.step.resume import EarlierAttempts
from dagster_rudderstack.sync.attempt import SyncAttempt
from dagster_rudderstack.sync.failed_rows import FailedRows
from dagster_rudderstack.sync.request import RunRequest
from dagster_rudderstack.text import escaped_markdown

__all__ = ["AssetObserver"]


@dataclass(frozen=True)
class AssetObserver:
    """Writes the observation of one sync.

    Attributes:
        step: The step.
        earlier: What earlier attempts of the step reported.
        attempt: The attempt to sync.
        key: The asset.
        link_template: The address of a sync's page in RudderStack's dashboard. None for no link.
    """

    step: DagsterStep
    earlier: EarlierAttempts
    attempt: SyncAttempt
    key: dg.AssetKey
    link_template: str | None = None

    def report_failed(self, error: RudderStackError, seen: Sync | None) -> None:
        """Report a failed sync once, unless it may still be running and a later attempt resumes it.

        A failure without a sync is reported once for each reason.

        Args:
            error: Why it failed.
            seen: The last state of the sync. None if no sync was seen.
        """
        is_stopped = isinstance(error, SyncTimedOutError) and error.stop_requested
        # After a lost start a person decides, since no later attempt starts or finds the run.
        is_left = isinstance(error, StartLostError)
        if self.attempt.may_be_running and not (is_stopped or is_left):
            return
        if not self._is_observed(error, seen):
            self._write(
                error.message, _stopped(seen) if is_stopped else seen, failed_rows_of(error)
            )

    def _is_observed(self, error: RudderStackError, seen: Sync | None) -> bool:
        # If the database cannot be read, reporting twice is better than not at all.
        with contextlib.suppress(Exception):
            if seen is not None:
                return self.earlier.has_observed(self.key, seen.id)
            return self.earlier.has_observed_reason(self.key, escaped_markdown(error.message))
        return False

    def report_stopped(self, cause: str) -> None:
        """Report that our run asked RudderStack to stop the sync.

        Args:
            cause: Why, as the end of a sentence.
        """
        reason = f"{self.attempt.name} was stopped because {cause}."
        self._write(reason, _stopped(self.attempt.last_seen))

    def _write(self, reason: str, seen: Sync | None, failed_rows: FailedRows | None = None) -> None:
        attempt = self.attempt
        observation = dg.AssetObservation(
            asset_key=self.key,
            partition=self.step.partition_of(self.key),
            description=escaped_markdown(reason),
            metadata=self._metadata(seen, failed_rows),
        )
        try:
            self.step.context.log_event(observation)
        except Exception as error:  # noqa: BLE001 - the failure itself must be reported
            attempt.log.warning(
                f"The observation of {self.key.to_user_string()} could not be stored, so the "
                f"asset's page does not show that its sync did not succeed. {error}"
            )

    def _metadata(self, seen: Sync | None, failed_rows: FailedRows | None) -> Metadata:
        attempt = self.attempt
        origin = attempt.current.origin if attempt.current else None
        if isinstance(attempt.request, RunRequest):
            return run_metadata(
                seen if isinstance(seen, SourceRun) else None,
                attempt.request.source_id,
                parameters=attempt.request.parameters,
                origin=origin,
                link_template=self.link_template,
            )
        return sync_metadata(
            seen,
            attempt.target_id,
            sync_type=attempt.sync_type,
            origin=origin,
            link_template=self.link_template,
            failed_rows=failed_rows,
        )


def _stopped(sync: Sync | None) -> Sync | None:
    """Return a sync as it is once RudderStack has stopped it, which takes RudderStack a moment.

    Without an end it would have no duration, and Dagster's plots would have a gap.
    """
    if sync is None or sync.is_over:
        return sync
    ended = {"status": STOPPED, "finished_at": datetime.now(timezone.utc)}
    return sync.model_copy(update=ended)

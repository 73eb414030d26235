"""Reports failed and stopped syncs on the pages of their assets.

A successful sync is a materialization. A failed or stopped one is an observation with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import dagster as dg

from dagster_rudderstack.api.models import Sync
from dagster_rudderstack.metadata import sync_metadata
from dagster_rudderstack.step.dagster_step import DagsterStep
from dagster_rudderstack.sync.attempt import SyncAttempt

__all__ = ["AssetObserver"]


@dataclass(frozen=True)
class AssetObserver:
    """Writes the observations of a step."""

    step: DagsterStep
    link_template: str | None = None

    def report(
        self,
        attempt: SyncAttempt,
        key: dg.AssetKey,
        reason: str,
        seen: Sync | None,
        stopped_at: datetime | None,
    ) -> None:
        """Report that a sync has failed or was stopped.

        Args:
            attempt: The attempt.
            key: The asset.
            reason: Why, as a sentence.
            seen: The last state of the sync. None if no sync was seen.
            stopped_at: When RudderStack was asked to stop the sync. None if it was not.
        """
        metadata = sync_metadata(
            _stopped(seen, stopped_at) if seen and stopped_at else seen,
            attempt.connection_id,
            sync_type=attempt.request.sync_type,
            origin=attempt.current.origin if attempt.current else None,
            link_template=self.link_template,
        )
        observation = dg.AssetObservation(
            asset_key=key,
            partition=self.step.partition_of(key),
            description=reason,
            metadata=metadata,
        )
        try:
            self.step.context.log_event(observation)
        except Exception as error:  # noqa: BLE001 - the failure itself must be reported
            attempt.log.warning(
                f"The observation of {key.to_user_string()} could not be stored: {error}"
            )


def _stopped(sync: Sync, stopped_at: datetime) -> Sync:
    """Return a sync as it is once RudderStack has stopped it, which takes RudderStack a moment.

    Without an end it would have no duration, and Dagster's plots would have a gap.
    """
    if sync.is_over:
        return sync
    return sync.model_copy(update={"status": "stopped", "finished_at": stopped_at})

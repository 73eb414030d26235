"""Whether the run of a step still wants its syncs. Asked before each start and each report.

A step can outlive its run. If the process of a run is killed, Dagster marks the run as failed and
retries it, while the step goes on in a process of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import dagster as dg

from dagster_rudderstack.metadata import MetadataKey, text_of
from dagster_rudderstack.settings import SyncPolicy
from dagster_rudderstack.step.dagster_step import DagsterStep, RunState
from dagster_rudderstack.sync.recorder import Log
from dagster_rudderstack.sync.storage import SyncUnwantedError, until_stored
from dagster_rudderstack.sync.task import Task, drive

__all__ = ["RunGuard"]

_T = TypeVar("_T")

NEWER_SECONDS = 10.0
"""How long an execution waits for each newer one to report the sync that both have waited for."""

LOOK_SECONDS = 0.5
"""How often it looks."""


@dataclass
class RunGuard:
    """Asks Dagster's storage about the run of a step, and waits while the storage is away.

    Attributes:
        step: The step. None outside Dagster, where nothing can end before the syncs.
        policy: How long to wait for the storage.
        log: Gets a line if the storage does not answer.
    """

    step: DagsterStep | None
    policy: SyncPolicy
    log: Log
    _is_newer_silent: bool = field(default=False, init=False)
    """Whether a newer execution of the step has let its time to report a sync pass."""

    def state(self) -> RunState:
        """Return what the status of the run means for its syncs."""
        return self.step.recent_state() if self.step is not None else RunState.ACTIVE

    def check_begin(self) -> bool:
        """Check at the begin of a step whether its syncs are wanted.

        Returns:
            Whether they are. False if the run has ended or was canceled.

        Raises:
            dagster.Failure: If a person canceled the run that this one retries.
        """
        step = self.step
        if step is None:
            return True
        if drive(self.until_stored(self.state)) is not RunState.ACTIVE:
            return False
        # Read now, since another worker may have begun the step again when it is needed.
        drive(self.until_stored(lambda: step.began_at))
        canceled = drive(self.until_stored(step.canceled_run_id))
        if canceled is not None:
            raise dg.Failure(
                f"A person canceled run {canceled}, which this run retries, so nothing is synced. "
                "To sync, re-execute that run.",
                allow_retries=False,
            )
        return True

    def check_result(self, error: BaseException | None) -> None:
        """Hold a result until it can be stored, and check whether it is still to be reported.

        The result of a sync that ended while its run was being canceled is reported as well.

        Args:
            error: The error of the result. None if the sync succeeded.

        Raises:
            DagsterExecutionInterruptedError: If the run has ended, or if it did not want the sync.
        """
        is_over = drive(self.until_stored(self.state)) is RunState.OVER
        if is_over or isinstance(error, SyncUnwantedError):
            raise dg.DagsterExecutionInterruptedError

    def was_reported_by_another(self, sync_id: str, key: dg.AssetKey) -> bool:
        """Whether another execution of the step has reported the sync, or does so within seconds.

        A queue can deliver a step again while its first execution goes on. Both then wait for the
        same sync, and see its end at almost the same time. So the older one lets the newer one
        report it, unless that is silent.
        """
        step = self.step
        if step is None or step.is_in_memory or len(step.executions()) <= 1:
            return False
        newer = sum(place > step.began_at for place in step.executions())
        patience = 0.0 if self._is_newer_silent else newer * NEWER_SECONDS
        give_up_at = time.monotonic() + patience
        while not drive(self.until_stored(lambda: _is_reported(step, sync_id, key))):
            if time.monotonic() >= give_up_at:
                self._is_newer_silent = newer > 0
                return False
            time.sleep(LOOK_SECONDS)
        return True

    def until_stored(self, call: Callable[[], _T]) -> Task[_T]:
        """Read or write in Dagster's storage, again and again until that succeeds."""
        return until_stored(call, self.policy, self.log)


def _is_reported(step: DagsterStep, sync_id: str, key: dg.AssetKey) -> bool:
    event = step.instance.get_latest_materialization_event(key)
    last = event.asset_materialization if event else None
    if event is None or last is None or event.run_id != step.run.run_id:
        return False
    return text_of(last.metadata, MetadataKey.SYNC_ID) == sync_id

"""Whether the run of a step still wants its syncs. Asked before each start and each report.

A step can outlive its run. If the process of a run is killed, Dagster marks the run as failed and
retries it, while the step goes on in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import dagster as dg

from dagster_rudderstack.settings import SyncPolicy
from dagster_rudderstack.step.dagster_step import DagsterStep, RunState
from dagster_rudderstack.sync.recorder import Log
from dagster_rudderstack.sync.storage import SyncUnwantedError, until_stored
from dagster_rudderstack.sync.task import Task, drive

__all__ = ["RunGuard"]

_T = TypeVar("_T")


@dataclass(frozen=True)
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

    def until_stored(self, call: Callable[[], _T]) -> Task[_T]:
        """Read or write in Dagster's storage, again and again until that succeeds."""
        return until_stored(call, self.policy, self.log)

"""Whether the run of a step still wants its syncs. Asked before each start and each report.

A step can outlive its run. If the process of a run is killed, Dagster marks the run as failed and
retries it, while the step goes on in a process of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from typing import TypeVar

import dagster as dg

from dagster_rudderstack.metadata import own_id_of
from dagster_rudderstack.settings import SyncPolicy
from dagster_rudderstack.step.dagster_step import DagsterStep, RunState
from dagster_rudderstack.step.records import RunRecorder
from dagster_rudderstack.sync.attempt import SyncAttempt
from dagster_rudderstack.sync.recorder import Log
from dagster_rudderstack.sync.storage import SyncUnwantedError, until_stored
from dagster_rudderstack.sync.task import Task, drive

__all__ = ["RunGuard"]

_T = TypeVar("_T")

REPORT_SECONDS = 10.0
"""How long a newer execution of a step may take to report a sync after it has seen its end."""

MATERIALIZATIONS_READ = 50
"""How many materializations of an asset are read to find one that another execution has stored."""

LOOK_SECONDS = 0.5
"""How often an older execution looks whether a newer one has reported a sync."""


class _OtherReport(Enum):
    """What another execution of the step does about the report of a sync."""

    STORED = auto()
    AWAITED = auto()
    """A newer execution may still report it."""
    NONE = auto()


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
    _newer_has_until: float | None = field(default=None, init=False)

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

    def record_returned(self, attempts: Iterable[SyncAttempt]) -> None:
        """Record that the step's own code gets the results of syncs, before it does."""
        for attempt in attempts:
            if isinstance(attempt.recorder, RunRecorder) and attempt.sync_id is not None:
                drive(self.until_stored(attempt.write_records))
                drive(self.until_stored(partial(attempt.recorder.returned, attempt.sync_id)))

    def was_reported_by_another(self, sync_id: str, key: dg.AssetKey) -> bool:
        """Whether another execution of the step has reported the sync, or does so within seconds.

        A queue can deliver a step again while its first execution goes on. Both then wait for the
        same sync. The older one lets the newer one report it, unless that is silent for longer than
        it may take to see the end of the sync. If other steps wait for the asset, both report it,
        since the process of the run gets the outputs of the execution that ends first.
        """
        step = self.step
        if step is None or step.is_in_memory:
            return False
        while (found := self._ask(step, sync_id, key)) is _OtherReport.AWAITED:
            time.sleep(LOOK_SECONDS)
        return found is _OtherReport.STORED

    def _ask(self, step: DagsterStep, sync_id: str, key: dg.AssetKey) -> _OtherReport:
        return drive(self.until_stored(lambda: self._report_of_another(step, sync_id, key)))

    def _report_of_another(self, step: DagsterStep, sync_id: str, key: dg.AssetKey) -> _OtherReport:
        executions = step.executions()
        if len(executions) <= 1 or step.is_output_awaited(key):
            return _OtherReport.NONE
        if _is_reported(step, sync_id, key):
            self._newer_has_until = None
            self._is_newer_silent = False
            return _OtherReport.STORED
        if self._is_newer_silent or max(executions) <= step.began_at:
            return _OtherReport.NONE
        now = time.monotonic()
        if self._newer_has_until is None:
            self._newer_has_until = now + self._patience_seconds
        self._is_newer_silent = now >= self._newer_has_until
        return _OtherReport.NONE if self._is_newer_silent else _OtherReport.AWAITED

    @property
    def _patience_seconds(self) -> float:
        return self.policy.poll.poll_max_interval_seconds + REPORT_SECONDS

    def until_stored(self, call: Callable[[], _T]) -> Task[_T]:
        """Read or write in Dagster's storage, again and again until that succeeds."""
        return until_stored(call, self.policy, self.log)


def _is_reported(step: DagsterStep, sync_id: str, key: dg.AssetKey) -> bool:
    # Not only the latest, since runs of other partitions report the same asset.
    recent = step.instance.fetch_materializations(key, limit=MATERIALIZATIONS_READ).records
    return any(
        each.run_id == step.run.run_id
        and each.asset_materialization is not None
        and own_id_of(each.asset_materialization.metadata) == sync_id
        for each in recent
    )

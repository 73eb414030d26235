"""Runs the syncs of a step: one sync or a thousand, in the same way. And so the runs of sources.

Each sync is a task. The scheduler drives the tasks on a few threads, while the thread of the step
waits for results, so that an interrupt reaches it at once. What a sync needs to be resumed is
recorded in the log of the run.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import dagster as dg

from dagster_rudderstack.checks.base import SyncCheck
from dagster_rudderstack.errors import ConnectionDisabledError, RudderStackError
from dagster_rudderstack.settings import OnDisabled, SyncPolicy
from dagster_rudderstack.step.dagster_step import DagsterStep, RunState
from dagster_rudderstack.step.interrupts import (
    INTERRUPTS,
    Interruption,
    InterruptMonitor,
    StopSettings,
    end_outside_dagster,
    shielded,
)
from dagster_rudderstack.step.observations import AssetObserver
from dagster_rudderstack.step.records import RunRecorder
from dagster_rudderstack.step.results import (
    StepSync,
    SyncResult,
    completed_result,
    earlier_result,
    ended_result,
)
from dagster_rudderstack.step.resume import EarlierAttempts
from dagster_rudderstack.step.run_guard import RunGuard
from dagster_rudderstack.step.summary import SummaryRow, failure_of, summary_row, summary_text
from dagster_rudderstack.sync.attempt import PreviousAttempt, SyncApi, SyncAttempt
from dagster_rudderstack.sync.recorder import Log, NamedLog
from dagster_rudderstack.sync.run import attach, start_and_wait, start_only
from dagster_rudderstack.sync.scheduler import Finished, Scheduler
from dagster_rudderstack.sync.stop import STOP_GRACE_SECONDS
from dagster_rudderstack.sync.sync_logs import SyncLogs
from dagster_rudderstack.sync.task import Task
from dagster_rudderstack.sync.watchers import Watcher

__all__ = ["Runner"]

HALT_SECONDS = 5.0
"""How long an interrupted step waits for the requests that are being sent."""

HANDLING_SECONDS = HALT_SECONDS + STOP_GRACE_SECONDS + 10.0
"""How long an interrupted step waits until its syncs are stopped or left."""

STATUS_SECONDS = 3.0
"""How often a waiting step checks whether its run was canceled or has ended.

Celery interrupts no step, Python drops an exception that arrives in a callback of the garbage
collector, and a thread other than the main one never gets it. A step can outlive its run."""


@dataclass
class Runner:
    """Runs the syncs of a step.

    Args:
        api: The client.
        policy: Timeouts and choices, the same for all syncs.
        syncs: The syncs, each of another connection.
        step: The step whose run holds the records. None outside Dagster.
        stop_settings: When and how an interrupt stops syncs.
        log: Gets changes and warnings.
        max_concurrent: How many requests are sent at once.
        on_disabled: `skip` reports nothing for a disabled connection; `fail` fails.
        checks: The checks of each asset. After one that blocks has failed, a re-execution syncs
            again.
        is_deferred: Whether the polling sensor, and not this step, waits for the syncs.
        is_returned: Whether the results go to the step's own code, which reports them. Otherwise a
            materialization with the result's metadata reports them.
        link_template: The address of a sync's page in RudderStack's dashboard. None for no link.
        sync_logs: Asks RudderStack where rejected rows are listed. None lists none.
        watcher: Shows the progress to a person. None if no person watches.
    """

    api: SyncApi
    policy: SyncPolicy
    syncs: Sequence[StepSync]
    step: DagsterStep | None
    stop_settings: StopSettings
    log: Log
    max_concurrent: int
    on_disabled: OnDisabled = "fail"
    checks: Sequence[SyncCheck] = ()
    is_deferred: bool = False
    is_returned: bool = False
    link_template: str | None = None
    sync_logs: SyncLogs | None = None
    watcher: Watcher | None = None

    rows: list[SummaryRow] = field(default_factory=list, init=False)
    """A row for each result, for the end of the step."""
    _attempts: dict[str, SyncAttempt] = field(default_factory=dict, init=False)
    _deferred: list[SyncAttempt] = field(default_factory=list, init=False)
    """The attempts whose syncs the step has started and left to the polling sensor."""
    _returned: list[SyncAttempt] = field(default_factory=list, init=False)
    """The attempts whose results the step's own code gets, all together."""
    _ended: set[str] = field(default_factory=set, init=False)
    """The connections whose results are known, so that there is nothing to prepare."""
    _handling: threading.Lock = field(default_factory=threading.Lock, init=False)
    _handled: Interruption | None = field(default=None, init=False)
    """The interrupt that ends the step. It is handled once, in whichever thread notices it."""
    _earlier: EarlierAttempts | None = field(default=None, init=False)
    _guard: RunGuard = field(init=False)

    def __post_init__(self) -> None:
        self._earlier = EarlierAttempts(self.step) if self.step else None
        self.policy = self.policy.for_syncs(len(self.syncs))
        self._guard = RunGuard(self.step, self.policy, self.log)

    # --- what a step can do with its syncs

    def run(self) -> Iterator[SyncResult]:
        """Start or resume all syncs, wait for them, and yield each result as it comes."""
        yield from self._drive(self._run_one, self._completed)
        # If one failed, the step's own code gets no result. A later attempt resumes the others.
        if not any(row.error for row in self.rows):
            self._guard.record_returned(self._returned)
        if self.step is not None and len(self.syncs) > 1:
            self.log.info(summary_text(self.rows))

    def start(self) -> Iterator[SyncResult]:
        """Start all syncs without waiting until they end, and yield the result of each start."""
        yield from self._drive(self._start_one)

    def attach(self, sync_ids: Mapping[str, str], *, owned: bool = False) -> Iterator[SyncResult]:
        """Wait for syncs that are already started.

        Args:
            sync_ids: The sync by connection id.
            owned: Whether our run started them, so that they may be stopped.
        """
        for sync in self.syncs:
            sync_id = sync_ids[sync.request.target_id]
            self._attempt(sync, PreviousAttempt(sync_id, owned=owned), is_recorded=False)
        yield from self._drive(
            lambda sync: self._attach_one(sync, sync_ids[sync.request.target_id], owned=owned)
        )

    def raise_failures(self) -> None:
        """Raise one failure that names the syncs that failed, if any did.

        Raises:
            dagster.Failure: With the reason, and the facts as metadata.
        """
        failed = [row for row in self.rows if row.error is not None]
        if failed:
            raise failure_of(failed, len(self.syncs), self.link_template)

    def _drive(
        self,
        task: Callable[[StepSync], Task[SyncResult]],
        completed: Callable[[SyncResult], SyncResult] = lambda result: result,
    ) -> Iterator[SyncResult]:
        if not self._guard.check_begin():
            self._end(None)
        scheduler = Scheduler(
            {sync.request.target_id: task(sync) for sync in self.syncs}, threads=self._threads
        )
        try:
            with InterruptMonitor(self._is_run_ending, lambda: self._drop(scheduler)) as monitor:
                for finished in self._finished(scheduler):
                    self._guard.check_result(finished.error)
                    result = completed(self._result(finished))
                    self._keep(result)
                    with monitor.yielding() if scheduler.left else contextlib.nullcontext():
                        yield result
                    self._raise_if_handled()
        except INTERRUPTS as interrupt:
            shielded(lambda: scheduler.halt(HALT_SECONDS), seconds=HALT_SECONDS + 1)
            self._end(interrupt)
        except GeneratorExit:
            # Dagster was interrupted while it stored what was yielded, and does not come back.
            # Or the step's own code has ended before its syncs.
            self._drop(scheduler, is_closed=True)
            raise
        finally:
            scheduler.halt()

    @property
    def _threads(self) -> int:
        is_in_memory = self.step is not None and self.step.is_in_memory
        return 0 if is_in_memory or len(self.syncs) == 1 else self.max_concurrent

    def _finished(
        self, scheduler: Scheduler[str, SyncResult]
    ) -> Iterator[Finished[str, SyncResult]]:
        """Yield the finished tasks. Raise if the run has ended without our being interrupted."""
        while scheduler.left:
            self._raise_if_handled()
            yield from scheduler.until(time.monotonic() + STATUS_SECONDS)
            # A database that cannot be reached must not fail running syncs.
            with contextlib.suppress(Exception):
                if scheduler.left and self._guard.state() is not RunState.ACTIVE:
                    raise dg.DagsterExecutionInterruptedError

    def _raise_if_handled(self) -> None:
        """Raise if the monitor took this step for dropped, so that no task runs any more."""
        if self._handled is not None:
            raise dg.DagsterExecutionInterruptedError

    def _is_run_ending(self) -> bool:
        return self.step is not None and not self.step.is_in_memory and self.step.is_run_ending()

    def _prepare_attempts(self) -> None:
        """Prepare the attempts that have not begun, so that a stop finds what earlier ones left."""
        for sync in self.syncs:
            connection_id = sync.request.target_id
            if connection_id not in self._attempts and connection_id not in self._ended:
                self._attempt(sync, self._unfinished(sync))

    def _end(self, interrupt: BaseException | None) -> NoReturn:
        """Stop the syncs, if that is configured, and end the step.

        Raises:
            RunEndedError: If the run has ended or was canceled, or if there was no interrupt.
            BaseException: The interrupt otherwise.
        """
        if self.step is None:
            end_outside_dagster(list(self._attempts.values()), self.stop_settings, self.log)
            raise interrupt or KeyboardInterrupt
        interruption = self._handle(self.step)
        if interruption.state is not RunState.ACTIVE or interrupt is None:
            raise interruption.error from interrupt
        raise interrupt

    def _drop(self, scheduler: Scheduler[str, SyncResult], *, is_closed: bool = False) -> None:
        """Handle an interrupt that the step itself does not get."""
        if self.step is None:
            return
        scheduler.halt(HALT_SECONDS)
        # A list, since a thread that is still in a request may drop its attempt meanwhile.
        attempts = list(self._attempts.values())
        if scheduler.left or any(attempt.may_be_running for attempt in attempts):
            self._handle(self.step, is_closed=is_closed)

    def _handle(self, step: DagsterStep, *, is_closed: bool = False) -> Interruption:
        """Handle the interrupt, or wait until another thread has handled it."""
        shielded(lambda: self._handle_once(step, is_closed), seconds=HANDLING_SECONDS)
        return self._handled or Interruption(step, [], self.stop_settings)

    def _handle_once(self, step: DagsterStep, is_closed: bool) -> None:
        with self._handling:
            if self._handled is not None:
                return
            # An interrupt before a task began must not hide what an earlier attempt left.
            shielded(self._prepare_attempts, seconds=HALT_SECONDS)
            attempts = list(self._attempts.values())
            self._handled = Interruption(
                step,
                attempts,
                self.stop_settings,
                self._report_stopped,
                deferred=list(self._deferred),
                is_closed=is_closed,
            )
            self._handled.handle()

    def _result(self, finished: Finished[str, SyncResult]) -> SyncResult:
        if finished.result is not None:
            return finished.result
        return SyncResult(self._sync_of(finished.key), "failed", error=finished.error)

    def _completed(self, result: SyncResult) -> SyncResult:
        """Add the metadata, and find out whether another execution of the step has reported it.

        This is done only now, since many results may have waited until the step took them.
        """
        if self.is_returned and result.report is not None:
            self._returned.append(self._attempts[result.sync.request.target_id])
        guard = None if self.is_returned else self._guard
        return completed_result(result, guard, self._earlier, self.link_template)

    def _keep(self, result: SyncResult) -> None:
        """Store the summary row, report a failed sync, and drop an attempt that has ended."""
        self.rows.append(summary_row(result))
        connection_id = result.sync.request.target_id
        self._ended.add(connection_id)
        attempt = self._attempts.get(connection_id)
        if attempt is None:
            return
        if isinstance(result.error, RudderStackError):
            for observer in self._observers(attempt):
                observer.report_failed(result.error, result.last_seen)
        if not attempt.may_be_running:
            del self._attempts[connection_id]

    # --- the task of one sync, in the threads of the scheduler

    def _run_one(self, sync: StepSync) -> Task[SyncResult]:
        if self._earlier is not None and not self.is_returned:
            known = self._earlier
            earlier = yield from self._guard.until_stored(
                lambda: earlier_result(sync, known, self.checks)
            )
            if earlier is not None:
                return earlier
        left = yield from self._guard.until_stored(lambda: self._unfinished(sync))
        attempt = self._attempt(sync, left)
        try:
            report = yield from start_and_wait(attempt)
        except RudderStackError as error:
            return self._failed(sync, attempt, error)
        result = ended_result(sync, attempt, report, self.sync_logs)
        self._ended.add(sync.request.target_id)
        if not self.is_returned:
            # Many results may wait until the step takes them, which needs no attempt.
            del self._attempts[sync.request.target_id]
        return result

    def _start_one(self, sync: StepSync) -> Task[SyncResult]:
        left = yield from self._guard.until_stored(
            lambda: (
                (self._earlier and self._earlier.deferred(sync.request)) or self._unfinished(sync)
            )
        )
        attempt = self._attempt(sync, left)
        try:
            sync_id = yield from start_only(attempt)
        except RudderStackError as error:
            return self._failed(sync, attempt, error)
        attempt.is_over = True
        self._deferred.append(attempt)
        self.log.info(
            f"This step does not wait for sync {sync_id}. A polling sensor that watches the asset "
            "reports how it ends."
        )
        return SyncResult(sync, "started")

    def _attach_one(self, sync: StepSync, sync_id: str, *, owned: bool) -> Task[SyncResult]:
        attempt = self._attempts[sync.request.target_id]
        try:
            report = yield from attach(attempt, sync_id, owned=owned)
        except RudderStackError as error:
            return self._failed(sync, attempt, error)
        return ended_result(sync, attempt, report, self.sync_logs)

    def _failed(self, sync: StepSync, attempt: SyncAttempt, error: RudderStackError) -> SyncResult:
        if isinstance(error, ConnectionDisabledError) and self.on_disabled == "skip":
            attempt.log.info(f"Skipped: {sync.request.target} is disabled.")
            return SyncResult(sync, "skipped")
        return ended_result(sync, attempt, error, self.sync_logs)

    def _attempt(
        self, sync: StepSync, previous: PreviousAttempt | None, *, is_recorded: bool = True
    ) -> SyncAttempt:
        is_alone = len(self.syncs) == 1
        attempt = SyncAttempt(
            self.api,
            sync.request,
            self.policy,
            recorder=self._recorder(sync) if is_recorded else None,
            previous=previous,
            log=self.log if is_alone else NamedLog(self.log, sync.name),
            logs_success=is_alone,
            watcher=self.watcher,
        )
        self._attempts[sync.request.target_id] = attempt
        return attempt

    def _recorder(self, sync: StepSync) -> RunRecorder | None:
        if self.step is None:
            return None
        deadline = time.time() + self.policy.sync_timeout_seconds if self.is_deferred else None
        return RunRecorder(self.step, sync.request, deadline, self.link_template)

    def _unfinished(self, sync: StepSync) -> PreviousAttempt | None:
        if self._earlier is None:
            return None
        return self._earlier.unfinished(sync.request, sync.key, *sync.other_keys)

    def _report_stopped(self, attempt: SyncAttempt, cause: str) -> None:
        for observer in self._observers(attempt):
            observer.report_stopped(cause)

    def _observers(self, attempt: SyncAttempt) -> list[AssetObserver]:
        """Return what reports on the pages of the sync's assets."""
        step, earlier = self.step, self._earlier
        if step is None or earlier is None:
            return []
        keys = self._sync_of(attempt.target_id).keys
        return [AssetObserver(step, earlier, attempt, key, self.link_template) for key in keys]

    def _sync_of(self, target_id: str) -> StepSync:
        return next(sync for sync in self.syncs if sync.request.target_id == target_id)

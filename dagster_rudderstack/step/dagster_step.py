"""The Dagster step that syncs run in: its run, its name, its partition and its ancestry."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

import dagster as dg

from dagster_rudderstack.dagster_internals import awaited_outputs
from dagster_rudderstack.sync.recorder import Log

__all__ = ["AnyContext", "DagsterStep", "RunState", "StepLog", "current_step"]

AnyContext = dg.AssetExecutionContext | dg.OpExecutionContext | dg.AssetCheckExecutionContext

MAX_ANCESTORS = 100
"""How many runs are followed from a retried run to the run that it retries."""


RETRY_NUMBER_TAG = "dagster/retry_number"
"""The tag of a run that Dagster has launched by itself to retry another one. Dagster leaves it out
when a person re-executes that run."""


BEGIN_EVENTS = {dg.DagsterEventType.STEP_START, dg.DagsterEventType.STEP_RESTARTED}

_BEGAN_AT: WeakKeyDictionary[object, int] = WeakKeyDictionary()
"""Where each execution of a step in this process began, by Dagster's context of the execution."""


RECENT_SECONDS = 0.2
"""How old a reading of the run may be that the syncs of a step share. A thousand starts need a few
readings then, and not a thousand."""

_T = TypeVar("_T")


class _Recent(Generic[_T]):
    """A reading of the storage that many threads share while it is recent."""

    def __init__(self, read: Callable[[], _T]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._answers: list[_T] = []
        self._read_at = 0.0

    def get(self) -> _T:
        """Return the last answer if it is recent, and otherwise read again."""
        with self._lock:
            now = time.monotonic()
            if not self._answers or now - self._read_at > RECENT_SECONDS:
                self._answers = [self._read()]
                self._read_at = now
            return self._answers[0]


class RunState(Enum):
    """What the status of a run means for its syncs."""

    ACTIVE = auto()
    """Its syncs may be started and reported."""
    CANCELED = auto()
    """A person canceled it, so its syncs are stopped."""
    OVER = auto()
    """It has ended while a step went on. A retry may be doing the same work already, so nothing is
    started, reported or stopped."""


@dataclass(frozen=True)
class StepLog:
    """The log of a step, whose lines only inform: one that cannot be stored fails nothing.

    Attributes:
        log: The log of the run. Its lines are stored in Dagster's database.
    """

    log: Log

    def info(self, msg: object, /) -> None:
        """Log a line."""
        self._write(self.log.info, msg)

    def warning(self, msg: object, /) -> None:
        """Log a warning."""
        self._write(self.log.warning, msg)

    @staticmethod
    def _write(write: Callable[[object], None], msg: object) -> None:
        try:
            write(msg)
        except Exception:  # noqa: BLE001 - a database can fail in many ways
            # Not through a logger, which Dagster may store in the same database.
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(f"{msg}\n")


def current_step(context: AnyContext | None = None) -> DagsterStep | None:
    """Return the step that runs in this thread, or the one of `context`.

    Returns None outside Dagster, and where an asset or op is called directly in a test: there is no
    run whose log could hold records.
    """
    if context is None:
        try:
            context = dg.OpExecutionContext.get()
        except dg.DagsterInvariantViolationError:
            return None
    try:
        run = context.run
    except dg.DagsterError:
        return None
    if not isinstance(context, dg.OpExecutionContext):
        context = context.op_execution_context
    return DagsterStep(context, run)


@dataclass(frozen=True)
class DagsterStep:
    """One attempt of a step."""

    context: dg.OpExecutionContext
    run: dg.DagsterRun

    @property
    def instance(self) -> dg.DagsterInstance:
        """Dagster's instance."""
        return self.context.instance

    @cached_property
    def log(self) -> StepLog:
        """The log of the step."""
        return StepLog(self.context.log)

    @property
    def is_in_memory(self) -> bool:
        """Whether Dagster's storage is in memory, where only one thread at a time may use it."""
        return self.instance.is_ephemeral

    @cached_property
    def name(self) -> str:
        """The name that distinguishes the step from the others of its run, in each attempt."""
        mapping_key = self.context.get_mapping_key()
        handle = str(self.context.op_handle)
        return f"{handle}[{mapping_key}]" if mapping_key else handle

    @cached_property
    def key(self) -> str:
        """Dagster's key of the step, which its log lines carry."""
        return str(self.context.get_step_execution_context().step.key)

    @cached_property
    def partition(self) -> str | None:
        """The partition of the step, or `first...last` of a range. None if it has none."""
        if self.context.has_partition_key:
            return self.context.partition_key
        if self.context.has_partition_key_range:
            keys = self.context.partition_key_range
            return f"{keys.start}...{keys.end}"
        return None

    def partition_of(self, key: dg.AssetKey) -> str | None:
        """Return the partition of an event about an asset, or None if it has none.

        An asset without partitions has none in a partitioned run either.
        """
        if not self.context.has_partition_key:
            return None
        specs = self.context.assets_def.specs_by_key if self.context.has_assets_def else {}
        is_partitioned = key not in specs or specs[key].partitions_def is not None
        return self.context.partition_key if is_partitioned else None

    @property
    def only_asset(self) -> dg.AssetKey | None:
        """The asset that the step makes. None if it makes none, or several."""
        keys = list(self.context.assets_def.keys) if self.context.has_assets_def else []
        return keys[0] if len(keys) == 1 else None

    def upstream_of(self, key: dg.AssetKey | None) -> frozenset[dg.AssetKey]:
        """Return the assets upstream of one asset of the step, or of all of them."""
        if not self.context.has_assets_def:
            return frozenset()
        definition = self.context.assets_def
        deps = definition.asset_deps
        of_all = frozenset[dg.AssetKey]().union(*deps.values())
        upstream = of_all if key is None else deps.get(key, of_all)
        return frozenset(upstream) - definition.keys

    # --- the run

    def current_run(self) -> dg.DagsterRun | None:
        """Return the run as it is now. `run` is as it was when the step began."""
        return self.instance.get_run_by_id(self.run.run_id)

    def run_state(self) -> RunState:
        """Return what the current status of the run means for its syncs.

        A run that is not found counts as active: the storage of a remote step may not have it.
        """
        run = self.current_run()
        if run is None or not (run.is_finished or run.status is dg.DagsterRunStatus.CANCELING):
            return RunState.ACTIVE
        if run.status in (dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED):
            return RunState.CANCELED
        # A run that is canceled by force can end as failed.
        is_canceled = run.status is dg.DagsterRunStatus.FAILURE and self._was_canceled(run)
        return RunState.CANCELED if is_canceled else RunState.OVER

    def recent_state(self) -> RunState:
        """Return the state as the syncs of the step last read it, a moment ago at most."""
        return self._recent_state.get()

    @cached_property
    def _recent_state(self) -> _Recent[RunState]:
        return _Recent(self.run_state)

    # --- the executions of the step

    def executions(self) -> list[int]:
        """Return the places in the log of the run at which executions of the step began.

        They are as the syncs of the step last read them, a moment ago at most. Dagster's retry
        number does not count them: a worker that takes over the step of a killed one executes it
        again with the same number.
        """
        return self._recent_executions.get()

    @cached_property
    def _recent_executions(self) -> _Recent[list[int]]:
        return _Recent(lambda: [entry.storage_id for entry in self._begins()])

    @property
    def began_at(self) -> int:
        """The place in the log of the run at which this execution of the step began."""
        execution = self.context.get_step_execution_context()
        if execution not in _BEGAN_AT:
            begins = self._begins()
            # Another worker may have begun the step again before this is asked first.
            own = [each for each in begins if _process_of(each) == os.getpid()] or begins
            _BEGAN_AT[execution] = own[-1].storage_id if own else 0
        return _BEGAN_AT[execution]

    def _begins(self) -> list[dg.EventLogRecord]:
        found = self.instance.get_records_for_run(self.run.run_id, of_type=BEGIN_EVENTS).records
        return [entry for entry in found if entry.event_log_entry.step_key == self.key]

    def is_output_awaited(self, key: dg.AssetKey) -> bool:
        """Whether other steps of the run wait for an asset of this one."""
        outputs = self.context.assets_def.node_keys_by_output_name.items()
        names = {each: name for name, each in outputs}
        return names.get(key) in awaited_outputs(self.context)

    def is_output_lost(self, key: dg.AssetKey, position: int) -> bool:
        """Whether other steps of the run wait for an asset that a killed execution materialized.

        A queue gives the process of a run only the events of an execution that has ended. It has
        seen those of an attempt that was followed by a retry.

        Args:
            key: The asset.
            position: The place of its materialization in the log of the run.
        """
        if position > self.began_at or not self.is_output_awaited(key):
            return False
        kinds = {dg.DagsterEventType.STEP_UP_FOR_RETRY, dg.DagsterEventType.STEP_SUCCESS}
        ended = self.instance.get_records_for_run(self.run.run_id, of_type=kinds).records
        return not any(
            entry.event_log_entry.step_key == self.key and entry.storage_id > position
            for entry in ended
        )

    # --- the runs that this one retries

    def canceled_run_id(self) -> str | None:
        """Return the canceled run that this run retries, if Dagster has launched the retry.

        A run that is canceled by force can end as failed, which Dagster retries. Its log still
        says that it was canceled. None if there is no such run.
        """
        for run in self._ancestors():
            if run is not self.run and self._was_canceled(run):
                return run.run_id
            if RETRY_NUMBER_TAG not in run.tags:
                return None
        return None

    def is_run_ending(self) -> bool:
        """Whether the run is over or about to be."""
        run = self.current_run()
        return run is None or run.is_finished or run.status is dg.DagsterRunStatus.CANCELING

    def _was_canceled(self, run: dg.DagsterRun) -> bool:
        # Not RUN_CANCELING, which a run also gets that takes longer than `dagster/max_runtime`.
        kind = dg.DagsterEventType.RUN_CANCELED
        return bool(self.instance.get_records_for_run(run.run_id, of_type=kind).records)

    @cached_property
    def ancestry(self) -> tuple[dg.DagsterRun, ...]:
        """The run and the runs that it retries or re-executes, the oldest first."""
        return tuple(reversed(list(self._ancestors())))

    def _ancestors(self) -> Iterator[dg.DagsterRun]:
        run: dg.DagsterRun | None = self.run
        seen: set[str] = set()
        while run is not None and run.run_id not in seen and len(seen) < MAX_ANCESTORS:
            seen.add(run.run_id)
            yield run
            parent = run.parent_run_id
            run = self.instance.get_run_by_id(parent) if parent else None
        root = self.run.root_run_id
        if root and root not in seen and (first := self.instance.get_run_by_id(root)):
            yield first

    @cached_property
    def continued_run_ids(self) -> frozenset[str]:
        """The run and the failed runs whose work it continues.

        A run that repeats all of another one, rather than what failed in it, continues none.
        """
        return frozenset(self._continued())

    def _continued(self) -> Iterator[str]:
        run: dg.DagsterRun | None = self.run
        for _ in range(MAX_ANCESTORS):
            if run is None or (run is not self.run and not run.is_failure_or_canceled):
                return
            yield run.run_id
            # The UI and the daemon set the tag. A run that is created in Python names its steps,
            # either all or those that failed; the two cannot be distinguished.
            if run.parent_run_id is None or not (run.is_resume_retry or run.step_keys_to_execute):
                return
            run = self.instance.get_run_by_id(run.parent_run_id)


def _process_of(entry: dg.EventLogRecord) -> int | None:
    event = entry.event_log_entry.dagster_event
    return event.pid if event else None

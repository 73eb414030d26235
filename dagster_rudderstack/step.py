"""A sync inside a Dagster step: written down so that it can be resumed, stopped only when asked.

What an attempt leaves for the next one is an `AssetObservation`: public, visible on the run page,
and never lost under concurrency. The next attempt of the same step, in this run or in a run that
retries or re-executes it, reads it back; any other run does not see it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NoReturn, TypeVar

import dagster as dg


from dagster_rudderstack.metadata import Metadata, MetadataKey
from dagster_rudderstack.policies import StopOnTermination
from dagster_rudderstack.sync import (
    STOP_GRACE_SECONDS,
    SyncLife,
    SyncReport,
    Unfinished,
    drive,
)

__all__ = ["AssetJournal", "SyncStep", "current_step", "run_in_step"]

AnyContext = dg.AssetExecutionContext | dg.OpExecutionContext

PAGE_SIZE = 200
MAX_PAGES = 25
"""We look back through at most 5,000 records of an asset made since the first attempt began."""
MAX_ATTEMPTS = 100
"""How many runs we follow from a retried run to the run that it retries."""

_STARTING, _IN_FLIGHT, _CLOSED = "starting", "in flight", "closed"

_T = TypeVar("_T")


def current_step(context: AnyContext | None = None) -> SyncStep | None:
    """Return the Dagster step that runs in this thread, or the one of `context`.

    None outside Dagster, and where an asset or op is called directly in a test: there is no run to
    write to.
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
    if isinstance(context, dg.AssetExecutionContext):
        context = context.op_execution_context
    return SyncStep(context, run)


@dataclass
class SyncStep:
    """One attempt of a step, seen from the syncs in it."""

    context: dg.OpExecutionContext
    run: dg.DagsterRun
    _attempts: frozenset[str] | None = field(default=None, init=False)

    @property
    def name(self) -> str:
        """What tells this step from the others of its run; the same in each attempt."""
        mapping_key = self.context.get_mapping_key()
        handle = str(self.context.op_handle)
        return f"{handle}[{mapping_key}]" if mapping_key else handle

    @property
    def partition(self) -> str | None:
        """The partition, or the range of them, that this step is about; None: not partitioned."""
        if self.context.has_partition_key:
            return self.context.partition_key
        if self.context.has_partition_key_range:
            keys = self.context.partition_key_range
            return f"{keys.start}...{keys.end}"
        return None

    def default_key(self, connection_id: str) -> dg.AssetKey:
        """Return the asset that a sync in a body of the user's own is recorded with.

        The step's asset, if it has exactly one; else one that stands for the connection.
        """
        if self.context.has_assets_def:
            keys = list(self.context.assets_def.keys)
            if len(keys) == 1:
                return keys[0]
        return dg.AssetKey(["rudderstack", connection_id])

    def somebody_canceled(self) -> bool:
        """Whether a person asked for the end of the run; False: evicted, or Ctrl-C in a shell."""
        # The status in `self.run` is that of the beginning of the step.
        run = self.context.instance.get_run_by_id(self.run.run_id)
        return run is not None and run.status in (
            dg.DagsterRunStatus.CANCELING,
            dg.DagsterRunStatus.CANCELED,
        )

    def attempts(self) -> frozenset[str]:
        """Return the ids of this run and of the runs that it retries or re-executes."""
        if self._attempts is None:
            self._attempts = frozenset(run.run_id for run in self._lineage())
        return self._attempts

    def _lineage(self) -> Iterator[dg.DagsterRun]:
        run: dg.DagsterRun | None = self.run
        seen: set[str] = set()
        while run is not None and run.run_id not in seen and len(seen) < MAX_ATTEMPTS:
            seen.add(run.run_id)
            yield run
            parent = run.parent_run_id
            run = self.context.instance.get_run_by_id(parent) if parent else None
        root = self.run.root_run_id
        if root and root not in seen and (first := self.context.instance.get_run_by_id(root)):
            yield first

    # --- what attempts leave for each other

    def journal(self, key: dg.AssetKey, connection_id: str, sync_type: str | None) -> AssetJournal:
        """Return where a sync of this step is written down."""
        return AssetJournal(self, key, connection_id, sync_type)

    def unfinished(
        self, key: dg.AssetKey, connection_id: str, sync_type: str | None
    ) -> Unfinished | None:
        """Return what an earlier attempt of this step left behind; None: nothing.

        A sync whose result was reported already, and one of another sync type, do not count.
        """
        wanted = _identity(self, connection_id, sync_type)
        for record in self._records(key, self.context.instance.fetch_observations):
            observation = record.asset_observation
            if observation is None or record.run_id not in self.attempts():
                continue
            metadata = observation.metadata
            if not all(_shown(metadata.get(name)) == value for name, value in wanted.items()):
                continue
            return self._left_by(key, record, metadata)
        return None

    def _left_by(
        self, key: dg.AssetKey, record: dg.EventLogRecord, metadata: Mapping[str, dg.MetadataValue]
    ) -> Unfinished | None:
        state = _shown(metadata.get(MetadataKey.STEP_STATE))
        if state == _STARTING:
            known = metadata.get(MetadataKey.KNOWN_SYNC_IDS)
            ids = known.data if isinstance(known, dg.JsonMetadataValue) else []
            return Unfinished(known_sync_ids=frozenset(ids if isinstance(ids, list) else []))
        sync_id = _shown(metadata.get(MetadataKey.SYNC_ID))
        if state != _IN_FLIGHT or sync_id is None or self._was_reported(key, record, sync_id):
            return None
        owned = metadata.get(MetadataKey.OWNED)
        return Unfinished(
            sync_id=sync_id, owned=isinstance(owned, dg.BoolMetadataValue) and bool(owned.value)
        )

    def _was_reported(self, key: dg.AssetKey, since: dg.EventLogRecord, sync_id: str) -> bool:
        """Whether a materialization tells the result of the sync already."""
        for record in self._records(key, self.context.instance.fetch_materializations):
            if record.storage_id < since.storage_id:
                return False
            materialization = record.asset_materialization
            if materialization is not None and sync_id == _shown(
                materialization.metadata.get(MetadataKey.SYNC_ID)
            ):
                return True
        return False

    def _records(
        self, key: dg.AssetKey, fetch: Callable[..., dg.EventRecordsResult]
    ) -> Iterator[dg.EventLogRecord]:
        """Yield the events of an asset since the first attempt began, newest first."""
        records_filter = dg.AssetRecordsFilter(key, after_timestamp=self._first_attempt_at())
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            result = fetch(records_filter, limit=PAGE_SIZE, cursor=cursor)
            yield from result.records
            if not result.has_more:
                return
            cursor = result.cursor

    def _first_attempt_at(self) -> float | None:
        root = self.run.root_run_id or self.run.run_id
        record = self.context.instance.get_run_record_by_id(root)
        # A minute off, since the clocks of the database and of the workers may differ.
        return record.create_timestamp.timestamp() - 60 if record else None


def _identity(step: SyncStep, connection_id: str, sync_type: str | None) -> dict[str, str | None]:
    return {
        MetadataKey.STEP: step.name,
        MetadataKey.CONNECTION_ID: connection_id,
        MetadataKey.SYNC_TYPE: sync_type,
        MetadataKey.PARTITION: step.partition,
    }


def _shown(value: dg.MetadataValue | None) -> str | None:
    return value.value if isinstance(value, dg.TextMetadataValue) else None


@dataclass(frozen=True)
class AssetJournal:
    """Writes what the next attempt must know as observations of an asset."""

    step: SyncStep
    key: dg.AssetKey
    connection_id: str
    sync_type: str | None

    def starting(self, known_sync_ids: Sequence[str]) -> None:
        """A start is about to be sent; these syncs were there before."""
        known = dg.MetadataValue.json(list(known_sync_ids))
        self._write(_STARTING, "About to start a sync.", {MetadataKey.KNOWN_SYNC_IDS: known})

    def in_flight(self, sync_id: str, *, owned: bool) -> None:
        """This sync is the one that we wait for; `owned` if we started it."""
        self._write(
            _IN_FLIGHT,
            f"Waiting for sync {sync_id}.",
            {
                MetadataKey.SYNC_ID: dg.MetadataValue.text(sync_id),
                MetadataKey.OWNED: dg.MetadataValue.bool(owned),
            },
        )

    def nothing_started(self) -> None:
        """The start that was announced has certainly had no effect."""
        self._write(_CLOSED, "No sync was started.", {})

    def closed(self, sync_id: str) -> None:
        """The result of the sync is reported; a later attempt starts a new one."""
        self._write(
            _CLOSED,
            f"Sync {sync_id} is over and reported.",
            {MetadataKey.SYNC_ID: dg.MetadataValue.text(sync_id)},
        )

    def _write(self, state: str, description: str, metadata: Metadata) -> None:
        identity = _identity(self.step, self.connection_id, self.sync_type)
        texts = {name: dg.MetadataValue.text(value) for name, value in identity.items() if value}
        context = self.step.context
        context.log_event(
            dg.AssetObservation(
                asset_key=self.key,
                partition=context.partition_key if context.has_partition_key else None,
                description=description,
                metadata={
                    MetadataKey.STEP_STATE: dg.MetadataValue.text(state),
                    **texts,
                    **metadata,
                },
            )
        )


# --- running


def run_in_step(
    step: SyncStep, life: SyncLife, stop_on_termination: StopOnTermination
) -> SyncReport:
    """Run a sync in a step and return its report.

    An interrupt stops the sync if the policy says so. When a person canceled the run, it comes out
    as a Failure that forbids retries: an interrupt that is raised again would be turned into a
    retry by a RetryPolicy, which starts a second sync while the run is being canceled.

    Raises:
        RudderStackError: if the sync did not succeed.
        dagster.Failure: if somebody canceled the run.
    """
    if step.somebody_canceled():
        life.recall()
        end_interrupted(step, [life], stop_on_termination, interrupt=None)
    try:
        return drive(life.run())
    except INTERRUPTS as interrupt:
        end_interrupted(step, [life], stop_on_termination, interrupt)


INTERRUPTS = (dg.DagsterExecutionInterruptedError, KeyboardInterrupt)


def end_interrupted(
    step: SyncStep,
    lives: Sequence[SyncLife],
    stop_on_termination: StopOnTermination,
    interrupt: BaseException | None,
) -> NoReturn:
    """Stop what is to be stopped, say so in the log, and end the step."""
    canceled = _shielded(step.somebody_canceled, seconds=STOP_GRACE_SECONDS)
    if stop_on_termination == "always" or (canceled and stop_on_termination == "run_canceled"):
        _stop_all(step, lives)
    else:
        _tell_left_running(step, lives)
    if canceled or interrupt is None:
        raise dg.Failure("The run was canceled.", allow_retries=False) from interrupt
    raise interrupt


def _stop_all(step: SyncStep, lives: Sequence[SyncLife]) -> None:
    def stop(life: SyncLife) -> None:
        outcome = drive(life.stop())
        name = f"Sync {life.sync_id} of connection" if life.sync_id else "Connection"
        step.context.log.info(f"Interrupted. {name} {life.connection_id}: {outcome.value}.")

    with_something = [life for life in lives if not life.is_over]
    if not with_something:
        return

    def stop_each() -> None:
        with ThreadPoolExecutor(max_workers=min(16, len(with_something))) as pool:
            for _ in pool.map(stop, with_something):
                pass

    _shielded(stop_each, seconds=STOP_GRACE_SECONDS + 5)


def _tell_left_running(step: SyncStep, lives: Sequence[SyncLife]) -> None:
    for life in lives:
        if life.sync_id is not None and not life.is_over:
            step.context.log.info(
                f"Interrupted. Sync {life.sync_id} of connection {life.connection_id} is left "
                "running: a retry of this run takes it up again."
            )


def _shielded(work: Callable[[], _T], seconds: float) -> _T | None:
    """Do a piece of work that a second signal must not cut off; None if it took too long."""
    results: list[_T] = []
    thread = threading.Thread(target=lambda: results.append(work()), daemon=True)
    thread.start()
    give_up_at = time.monotonic() + seconds
    while thread.is_alive() and (remaining := give_up_at - time.monotonic()) > 0:
        # Interrupts arrive in this thread while it waits; the work goes on in the other one.
        with contextlib.suppress(*INTERRUPTS):
            thread.join(remaining)
    return results[0] if results else None

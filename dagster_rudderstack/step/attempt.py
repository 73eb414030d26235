"""A sync inside a Dagster step: written down so that it can be resumed, stopped only when asked.

What an attempt leaves for the next one is an `AssetObservation`: public, visible on the run page,
and never lost under concurrency. The next attempt of the same step, in this run or in a run that
retries or re-executes it, reads it back; any other run does not see it.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import NoReturn, TypeVar

import dagster as dg

from dagster_rudderstack.metadata import Metadata, MetadataKey
from dagster_rudderstack.settings import StopOnTermination
from dagster_rudderstack.sync.decisions import ADOPTION_SECONDS
from dagster_rudderstack.sync.life import (
    STOP_GRACE_SECONDS,
    Steps,
    SyncApi,
    SyncLife,
    SyncReport,
    Unfinished,
    drive,
)
from dagster_rudderstack.sync.scheduler import Crew

__all__ = ["AssetJournal", "SyncStep", "Termination", "current_step", "run_in_step"]

AnyContext = dg.AssetExecutionContext | dg.OpExecutionContext | dg.AssetCheckExecutionContext

PAGE_SIZE = 200
MAX_PAGES = 25
"""We look back through at most 5,000 records of an asset made since the first attempt began."""
STOPPING_THREADS = 16
"""How many syncs are stopped at once."""
LOOK_UP_SECONDS = 10.0
"""How often a waiting step looks whether its run was canceled, should the interrupt be lost."""
STATUS_LOOKS, STATUS_PAUSE_SECONDS = 4, 1.0
"""How often, and after what pauses, an interrupted step asks whether its run was canceled."""
MAX_TOLD = 5
"""The end of a step with a thousand syncs does not name each of them; the log does."""
MAX_ATTEMPTS = 100
"""How many runs we follow from a retried run to the run that it retries."""

STARTING, IN_FLIGHT, QUEUED = "starting", "in flight", "queued"
CLOSED, FAILED, STOPPED, WITHDRAWN = "closed", "failed", "stopped", "withdrawn"
"""What a record says of a sync (`MetadataKey.STEP_STATE`)."""

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
    if not isinstance(context, dg.OpExecutionContext):
        context = context.op_execution_context
    return SyncStep(context, run)


@dataclass
class SyncStep:
    """One attempt of a step, seen from the syncs in it."""

    context: dg.OpExecutionContext
    run: dg.DagsterRun
    _attempts: frozenset[str] | None = field(default=None, init=False)
    _continued: frozenset[str] | None = field(default=None, init=False)

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

    def partition_of(self, key: dg.AssetKey) -> str | None:
        """Return the partition that an event of this step about an asset is about; None: none.

        In a run with a partition, assets without partitions are as they are elsewhere.
        """
        if not self.context.has_partition_key:
            return None
        specs = self.context.assets_def.specs_by_key if self.context.has_assets_def else {}
        is_partitioned = key not in specs or specs[key].partitions_def is not None
        return self.context.partition_key if is_partitioned else None

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

    def continued_runs(self) -> frozenset[str]:
        """Return the ids of this run and of the failed runs that it goes on with.

        A run that repeats all of another one, rather than what failed in it, goes on with none.
        """
        if self._continued is None:
            self._continued = frozenset(self._continuation())
        return self._continued

    def _continuation(self) -> Iterator[str]:
        run: dg.DagsterRun | None = self.run
        for _ in range(MAX_ATTEMPTS):
            if run is None or (run is not self.run and not run.is_failure_or_canceled):
                return
            yield run.run_id
            # The UI and the daemon tag it. A run that is made in Python names its steps, be they
            # all or those that failed: nothing tells these two apart.
            if run.parent_run_id is None or not (run.is_resume_retry or run.step_keys_to_execute):
                return
            run = self.context.instance.get_run_by_id(run.parent_run_id)

    # --- what attempts leave for each other

    def journal(
        self,
        key: dg.AssetKey,
        connection_id: str,
        sync_type: str | None,
        facts: Metadata | None = None,
    ) -> AssetJournal:
        """Return where a sync of this step is written down, each time with these facts."""
        return AssetJournal(self, key, connection_id, sync_type, facts or {})

    def unfinished(
        self, key: dg.AssetKey, connection_id: str, sync_type: str | None
    ) -> Unfinished | None:
        """Return what an earlier attempt of this step left behind; None: nothing.

        A sync whose result was reported already, and one of another sync type, do not count. Nor
        does one that began before a later attempt rebuilt what it reads: it may miss rows.
        """
        record = self.last_record(key, connection_id, sync_type)
        if record is None or record.asset_observation is None:
            return None
        left = self._left_by(key, record, record.asset_observation.metadata)
        if left is not None and self.was_rebuilt(key, record):
            self.context.log.info(
                f"The sync of an earlier attempt of connection {connection_id} is not taken up: an "
                "asset that it reads was materialized again since."
            )
            return None
        return left

    def last_record(
        self, key: dg.AssetKey, connection_id: str, sync_type: str | None
    ) -> dg.EventLogRecord | None:
        """Return the last observation that an attempt of this step made about a sync."""
        wanted = _identity(self, connection_id, sync_type)
        for record in self._records(key, self.context.instance.fetch_observations):
            observation = record.asset_observation
            if observation is None or record.run_id not in self.attempts():
                continue
            metadata = observation.metadata
            if not all(_shown(metadata.get(name)) == value for name, value in wanted.items()):
                continue
            return record
        return None

    def _left_by(
        self, key: dg.AssetKey, record: dg.EventLogRecord, metadata: Mapping[str, dg.MetadataValue]
    ) -> Unfinished | None:
        state = _shown(metadata.get(MetadataKey.STEP_STATE))
        if state == STARTING:
            known = metadata.get(MetadataKey.KNOWN_SYNC_IDS)
            ids = known.data if isinstance(known, dg.JsonMetadataValue) else []
            return Unfinished(
                known_sync_ids=frozenset(ids if isinstance(ids, list) else []),
                noted_at=_time_of_old(record),
            )
        sync_id = _shown(metadata.get(MetadataKey.SYNC_ID))
        if state == CLOSED and sync_id is not None and self._has_failed_since(record, metadata):
            return Unfinished(sync_id=sync_id, owned=False)
        if state != IN_FLIGHT or sync_id is None or self._was_reported(key, record, sync_id):
            return None
        owned = metadata.get(MetadataKey.OWNED)
        return Unfinished(
            sync_id=sync_id, owned=isinstance(owned, dg.BoolMetadataValue) and bool(owned.value)
        )

    def _has_failed_since(
        self, record: dg.EventLogRecord, metadata: Mapping[str, dg.MetadataValue]
    ) -> bool:
        """Whether the body of the step got the result, and the step has failed all the same.

        It failed at something else, such as what it does with the result: a retry tells the result
        again. Within one attempt, whoever syncs twice wants two syncs.
        """
        told_to = metadata.get(MetadataKey.RETRY_NUMBER)
        return (
            record.run_id == self.run.run_id
            and isinstance(told_to, dg.IntMetadataValue)
            and told_to.value is not None
            and told_to.value < self.context.retry_number
        )

    def _was_reported(self, key: dg.AssetKey, since: dg.EventLogRecord, sync_id: str) -> bool:
        """Whether a materialization tells the result of the sync already."""
        return any(
            record.asset_materialization is not None
            and sync_id == _shown(record.asset_materialization.metadata.get(MetadataKey.SYNC_ID))
            for record in self._materialized_since(key, since)
        )

    def was_rebuilt(self, key: dg.AssetKey, since: dg.EventLogRecord) -> bool:
        """Whether a later attempt has materialized an asset upstream of the step.

        Only a run that repeats another one, upstream assets included, does that.
        """
        return len(self.attempts()) > 1 and any(
            record.run_id in self.attempts()
            for upstream in self._upstream(key)
            for record in self._materialized_since(upstream, since)
        )

    def _upstream(self, key: dg.AssetKey) -> frozenset[dg.AssetKey]:
        if not self.context.has_assets_def:
            return frozenset()
        definition = self.context.assets_def
        deps = definition.asset_deps
        of_step = frozenset[dg.AssetKey]().union(*deps.values())
        return frozenset(deps.get(key, of_step)) - definition.keys

    def _materialized_since(
        self, key: dg.AssetKey, since: dg.EventLogRecord
    ) -> Iterator[dg.EventLogRecord]:
        return itertools.takewhile(
            lambda record: record.storage_id > since.storage_id, self.materializations(key)
        )

    def materializations(self, key: dg.AssetKey) -> Iterator[dg.EventLogRecord]:
        """Yield the materializations of an asset since the first attempt began, newest first."""
        return self._records(key, self.context.instance.fetch_materializations)

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


def _time_of_old(record: dg.EventLogRecord) -> datetime | None:
    """Return when an old note was made; None for a new one, for which clocks need not agree."""
    if time.time() - record.timestamp <= ADOPTION_SECONDS:
        return None
    return datetime.fromtimestamp(record.timestamp, timezone.utc)


def _shown(value: dg.MetadataValue | None) -> str | None:
    return value.value if isinstance(value, dg.TextMetadataValue) else None


@dataclass(frozen=True)
class AssetJournal:
    """Writes what the next attempt must know as observations of an asset."""

    step: SyncStep
    key: dg.AssetKey
    connection_id: str
    sync_type: str | None
    facts: Metadata = field(default_factory=dict)

    def starting(self, known_sync_ids: Sequence[str]) -> None:
        """A start is about to be sent; these syncs were there before."""
        known = dg.MetadataValue.json(list(known_sync_ids))
        self._write(STARTING, "About to start a sync.", {MetadataKey.KNOWN_SYNC_IDS: known})

    def in_flight(self, sync_id: str, *, owned: bool) -> None:
        """Write down the sync that we wait for; `owned` if we started it."""
        self._write(
            IN_FLIGHT,
            f"Waiting for sync {sync_id}.",
            {
                MetadataKey.SYNC_ID: dg.MetadataValue.text(sync_id),
                MetadataKey.OWNED: dg.MetadataValue.bool(owned),
            },
        )

    def nothing_started(self) -> None:
        """The start that was announced has certainly had no effect."""
        self._write(CLOSED, "No sync was started.", {})

    def stop_requested(self, sync_id: str) -> None:
        """RudderStack was asked to stop the sync; a later attempt starts a new one."""
        self._write(
            CLOSED,
            f"Sync {sync_id} was asked to stop.",
            {MetadataKey.SYNC_ID: dg.MetadataValue.text(sync_id)},
        )

    def deferred_stopped(self, sync_id: str) -> None:
        """RudderStack was asked to stop a deferred sync, whose end the sensor tells."""
        run_id = self.step.run.run_id
        self._write(
            STOPPED,
            f"Sync {sync_id} was asked to stop, by run {run_id}.",
            {
                MetadataKey.SYNC_ID: dg.MetadataValue.text(sync_id),
                MetadataKey.STOPPED_BY: dg.MetadataValue.text(run_id),
            },
        )

    def closed(self, sync_id: str) -> None:
        """The body of the step has got the result; the next sync of this attempt is a new one."""
        self._write(
            CLOSED,
            f"Sync {sync_id} is over and reported.",
            {
                MetadataKey.SYNC_ID: dg.MetadataValue.text(sync_id),
                MetadataKey.RETRY_NUMBER: dg.MetadataValue.int(self.step.context.retry_number),
            },
        )

    def queued(self, running_sync_id: str) -> None:
        """No sync was started, since this one runs: ours is wanted when it is over."""
        self._write(
            QUEUED,
            f"Sync {running_sync_id} is running: ours is started when it is over.",
            {MetadataKey.SYNC_ID: dg.MetadataValue.text(running_sync_id)},
        )

    def withdrawn(self) -> None:
        """What was queued until now is not wanted any more."""
        self._write(WITHDRAWN, "The sync that was queued is not wanted any more.", {})

    def failed(self, reason: str, *, retryable: bool, facts: Metadata) -> None:
        """The sync is over, or was not started, and this is why."""
        self._write(
            FAILED, reason, {MetadataKey.RETRYABLE: dg.MetadataValue.bool(retryable), **facts}
        )

    def _write(self, state: str, description: str, metadata: Metadata) -> None:
        identity = _identity(self.step, self.connection_id, self.sync_type)
        texts = {name: dg.MetadataValue.text(value) for name, value in identity.items() if value}
        context = self.step.context
        context.log_event(
            dg.AssetObservation(
                asset_key=self.key,
                partition=self.step.partition_of(self.key),
                description=description,
                metadata={
                    MetadataKey.STEP_STATE: dg.MetadataValue.text(state),
                    **texts,
                    **self.facts,
                    **metadata,
                },
            )
        )


# --- running


INTERRUPTS = (dg.DagsterExecutionInterruptedError, KeyboardInterrupt)


class RunCanceledError(dg.DagsterError, dg.DagsterExecutionInterruptedError):
    """Somebody canceled the run; tells what became of its syncs.

    Neither a Failure nor a mere interrupt will do. A Failure makes a failed run, to be retried, of
    one that was canceled by force. A RetryPolicy makes a retry of a mere interrupt, which starts a
    second sync while the run is being canceled. An interrupt that is a DagsterError too passes a
    RetryPolicy and ends the run as canceled.
    """


# By its name (the qualified one on Python 3.13, the plain one before) the multiprocess executor
# tells a step that was interrupted from one that failed.
RunCanceledError.__name__ = dg.DagsterExecutionInterruptedError.__name__
RunCanceledError.__qualname__ = dg.DagsterExecutionInterruptedError.__qualname__


@dataclass(frozen=True)
class Termination:
    """What an interrupt does to the syncs of a step.

    Attributes:
        stop: when it stops them.
        new_api: makes a client for that. The one that was interrupted in the middle of a request
            may be in any state, and has the patience of somebody who waits.
    """

    stop: StopOnTermination
    new_api: Callable[[], SyncApi]


def run_in_step(
    step: SyncStep,
    build: Callable[[], SyncLife],
    termination: Termination,
    steps_of: Callable[[SyncLife], Steps[SyncReport]] = SyncLife.run,
) -> SyncReport:
    """Run a sync in a step and return its report. An interrupt stops it if the policy says so.

    Args:
        step: this attempt.
        build: returns the life of the sync, with what an earlier attempt left.
        termination: what an interrupt does to the sync.
        steps_of: what to do with the life.

    Raises:
        RudderStackError: if the sync did not succeed.
        RunCanceledError: if somebody canceled the run.
    """
    life: SyncLife | None = None
    interrupt: BaseException | None = None
    try:
        life = build()
        if not step.somebody_canceled():
            return drive(steps_of(life), _Watch(step).sleep)
    except INTERRUPTS as caught:
        interrupt = caught
    # An interrupt in the middle of `build` must not hide the sync of an earlier attempt.
    life = life or shielded(build, seconds=STOP_GRACE_SECONDS)
    return end_interrupted(step, [life] if life else [], termination, interrupt)


@dataclass
class _Watch:
    """Sleeps, but not through the end of a run that somebody has canceled.

    A cancellation comes as an exception, raised wherever the main thread is. If that is in a
    callback of the garbage collector, Python drops it; in a thread of one's own it never comes. So
    the run's status is looked at too.
    """

    step: SyncStep
    looked_at: float = field(default_factory=time.monotonic)

    def sleep(self, seconds: float) -> None:
        """Wait; raises as an interrupt does if somebody has canceled the run."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_UP_SECONDS))
            self._look_up()

    def _look_up(self) -> None:
        if time.monotonic() - self.looked_at < LOOK_UP_SECONDS:
            return
        self.looked_at = time.monotonic()
        # A database that cannot be reached now must not fail a sync that runs.
        with contextlib.suppress(Exception):
            if self.step.somebody_canceled():
                raise dg.DagsterExecutionInterruptedError


def end_interrupted(
    step: SyncStep,
    lives: Sequence[SyncLife],
    termination: Termination,
    interrupt: BaseException | None,
) -> NoReturn:
    """Stop what is to be stopped, say so in the log, and end the step.

    Raises:
        RunCanceledError: if somebody canceled the run, or if there was no interrupt.
        BaseException: the interrupt otherwise.
    """
    settlement = _settlement(step, lives, termination)
    if settlement.canceled or interrupt is None:
        raise RunCanceledError(settlement.summary) from interrupt
    raise interrupt


def settle(step: SyncStep, lives: Sequence[SyncLife], termination: Termination) -> bool:
    """Stop what is to be stopped, say so in the log, and return whether a person canceled."""
    return _settlement(step, lives, termination).canceled


def _settlement(step: SyncStep, lives: Sequence[SyncLife], termination: Termination) -> _Settlement:
    settlement = _Settlement(step, lives, termination)
    if shielded(settlement.settle, seconds=STOP_GRACE_SECONDS + 5) is None:
        step.context.log.warning(
            "Interrupted. There was no time to learn what became of every sync: look in "
            "RudderStack's dashboard."
        )
    return settlement


@dataclass
class _Settlement:
    """What becomes of the syncs of a step that was interrupted.

    Attributes:
        canceled: whether a person canceled the run.
        told: what the log was told, a sentence for each sync.
    """

    step: SyncStep
    lives: Sequence[SyncLife]
    termination: Termination
    canceled: bool = field(default=False, init=False)
    told: list[str] = field(default_factory=list, init=False)

    def settle(self) -> bool:
        """Stop the syncs or leave them, and return whether that has come to its end."""
        self.canceled = self._ask_whether_canceled()
        for life in self.lives:
            life.recall()
        running = [life for life in self.lives if life.may_be_running]
        if not running:
            self._tell("There was no sync to stop.")
        elif self._is_stop_wanted:
            self._stop(running)
        else:
            self._leave(running)
        return True

    @property
    def summary(self) -> str:
        """What is said of the end of a run that somebody canceled."""
        more = len(self.told) - MAX_TOLD
        said = [*self.told[:MAX_TOLD], *([f"And {more} more: see the log."] if more > 0 else [])]
        return " ".join(["The run was canceled.", *said])

    @property
    def _is_stop_wanted(self) -> bool:
        stop = self.termination.stop
        return stop == "always" or (self.canceled and stop == "run_canceled")

    def _ask_whether_canceled(self) -> bool:
        """Ask Dagster's database, again if it does not answer just now."""
        for _ in range(STATUS_LOOKS - 1):
            try:
                return self.step.somebody_canceled()
            except Exception as error:  # noqa: BLE001 - a database can fail in many ways
                self.step.context.log.warning(f"The status of the run cannot be read: {error}")
                time.sleep(STATUS_PAUSE_SECONDS)
        return self.step.somebody_canceled()

    def _stop(self, lives: Sequence[SyncLife]) -> None:
        api = self.termination.new_api()
        for life in lives:
            life.api = api
        stops = {number: self._stop_one(life) for number, life in enumerate(lives)}
        for ended in Crew(stops, threads=STOPPING_THREADS):
            if ended.error is not None:
                connection_id = lives[ended.key].connection_id
                self._tell(f"Connection {connection_id} could not be stopped: {ended.error}")

    def _stop_one(self, life: SyncLife) -> Steps[None]:
        outcome = yield from life.stop()
        name = f"Sync {life.sync_id} of connection" if life.sync_id else "Connection"
        self._tell(f"{name} {life.connection_id}: {outcome.value}.")

    def _leave(self, lives: Sequence[SyncLife]) -> None:
        for life in lives:
            name = f"Sync {life.sync_id}" if life.sync_id else "The sync that was being started"
            fate = ": a retry of this run takes it up again" if life.is_resumable else ""
            self._tell(f"{name} of connection {life.connection_id} is left running{fate}.")

    def _tell(self, sentence: str) -> None:
        self.told.append(sentence)
        self.step.context.log.info(f"Interrupted. {sentence}")


def shielded(work: Callable[[], _T], seconds: float) -> _T | None:
    """Do a piece of work that a second signal must not cut off; None if it took too long."""
    results: list[_T] = []
    done = threading.Event()

    def do() -> None:
        try:
            results.append(work())
        finally:
            done.set()

    waiting = [threading.Thread(target=do, daemon=True)]
    give_up_at = time.monotonic() + seconds
    while True:
        # Interrupts arrive in this thread while it waits; the work goes on in the other one. It
        # waits for an event: a `join` that was once interrupted takes the thread for ended.
        with contextlib.suppress(*INTERRUPTS):
            if waiting:
                waiting.pop().start()
            done.wait(max(0.0, give_up_at - time.monotonic()))
            return results[0] if results else None

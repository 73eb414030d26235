"""The syncs of one step: driven together, each reported when it ends, each failing for itself.

What a sync needs to be resumed is written down for each asset, so that a retry of the step, a
retried run and a re-execution from failure take up what runs, leave what is done, and start the
rest.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from dagster_rudderstack.api.models import Sync
from dagster_rudderstack.errors import (
    ApiError,
    ConnectionDisabledError,
    RudderStackError,
    SyncAbortedError,
    SyncAlreadyRunningError,
    SyncError,
    SyncFailedError,
    SyncLostError,
)
from dagster_rudderstack.metadata import (
    Metadata,
    MetadataKey,
    RejectedRowsCheck,
    failure_from,
    report_metadata,
    sync_metadata,
)
from dagster_rudderstack.resource import RudderStackResource
from dagster_rudderstack.settings import OnDisabled, SyncPolicy
from dagster_rudderstack.step.attempt import (
    FAILED,
    IN_FLIGHT,
    INTERRUPTS,
    LOOK_UP_SECONDS,
    AnyContext,
    AssetJournal,
    SyncStep,
    current_step,
    end_interrupted,
    settle,
    shielded,
)
from dagster_rudderstack.step.interrupts import Lookout
from dagster_rudderstack.step.records import (
    Note,
    in_flight_among,
    note_of,
    still_wanted,
    stops_among,
    text_of,
)
from dagster_rudderstack.step.summary import Line, Member, Outcome, failure_of_many, summary_text
from dagster_rudderstack.sync.decisions import failure_of_deferred
from dagster_rudderstack.sync.life import (
    STOP_GRACE_SECONDS,
    Journal,
    NoJournal,
    Steps,
    StopOutcome,
    SyncLife,
    Unfinished,
)
from dagster_rudderstack.sync.scheduler import Crew, Ended

__all__ = ["Group"]

HALT_SECONDS = 5.0
"""How long an interrupted step lets the requests end that are under way."""

LAUNCH_ATTEMPTS = 10
"""How often a deferred start meets a sync that is gone when it is looked for."""


@dataclass
class Group:
    """The syncs of one step.

    Args:
        rudderstack: the workspace.
        context: of the asset.
        members: what to sync; no connection twice.
        policy: timeouts and choices, the same for all.
        on_disabled: `skip` reports nothing for a disabled connection.
        check: on rejected rows; one that blocks and fails makes a re-execution sync again.
        deferred: whether a polling sensor, and not this step, waits for the syncs.
    """

    rudderstack: RudderStackResource
    context: AnyContext
    members: Sequence[Member]
    policy: SyncPolicy
    on_disabled: OnDisabled = "fail"
    check: RejectedRowsCheck | None = None
    deferred: bool = False

    _step: SyncStep | None = field(init=False)
    _lives: dict[dg.AssetKey, SyncLife] = field(default_factory=dict, init=False)
    _lines: list[Line] = field(default_factory=list, init=False)
    _dropped: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        self._step = current_step(self.context)
        self._client = self.rudderstack.get_client()

    # --- what a step can do with its connections

    def sync(self) -> Iterator[Outcome]:
        """Sync all and wait; yield each outcome when it is there.

        Raises:
            dagster.Failure: at the end, naming those that failed; or if somebody canceled the run.
        """
        yield from self._drive(self._sync)
        self._tell_summary()
        self._raise_failures()

    def launch(self) -> Iterator[Outcome]:
        """Start all and do not wait for their ends.

        Raises:
            dagster.Failure: at the end, naming those that could not be started.
        """
        yield from self._drive(self._launch)
        self._raise_failures()

    def stop(self) -> Iterator[Outcome]:
        """Stop the deferred syncs of all, if they are ours and run; withdraw those not started yet.

        Raises:
            dagster.Failure: at the end, naming those that could not be stopped.
        """
        yield from self._drive(self._stop)
        self._raise_failures()

    def tell(self, sync_ids: Mapping[str, str]) -> Iterator[Outcome]:
        """Fail for what became of deferred syncs.

        Args:
            sync_ids: by connection id.

        Raises:
            dagster.Failure: at the end, naming those that did not succeed.
        """
        yield from self._drive(lambda member: self._tell(member, sync_ids))
        # The syncs are over: another attempt would only tell the same, later.
        self._raise_failures(may_retry=False)

    # --- driving

    def _drive(self, job: Callable[[Member], Steps[Outcome]]) -> Iterator[Outcome]:
        self._end_if_canceled()
        crew = Crew(
            {member.key: job(member) for member in self.members},
            threads=0 if self._is_in_memory else self.rudderstack.max_concurrent_requests,
        )
        try:
            with Lookout(self._is_run_ending, lambda: self._drop(crew)) as lookout:
                for ended in self._ends(crew):
                    outcome = self._outcome(ended)
                    self._close(outcome)
                    with lookout.handed_over():
                        yield outcome
        except INTERRUPTS as interrupt:
            shielded(lambda: crew.halt(HALT_SECONDS), seconds=HALT_SECONDS + 1)
            self._end(interrupt)
        except GeneratorExit:
            # Dagster does not come back: it was interrupted while it stored what we had yielded.
            self._drop(crew)
            raise
        finally:
            crew.halt()

    def _ends(self, crew: Crew[dg.AssetKey, Outcome]) -> Iterator[Ended[dg.AssetKey, Outcome]]:
        """Yield the ends; if the run is canceled unbeknown to us, raise as an interrupt does."""
        while crew.left:
            yield from crew.until(time.monotonic() + LOOK_UP_SECONDS)
            # A database that cannot be reached now must not fail syncs that run.
            with contextlib.suppress(Exception):
                if self._step is not None and crew.left and self._step.somebody_canceled():
                    raise dg.DagsterExecutionInterruptedError

    @property
    def _is_in_memory(self) -> bool:
        """Whether what Dagster stores is in memory, where one thread at a time can get at it."""
        return self._step is not None and self._step.context.instance.is_ephemeral

    def _is_run_ending(self) -> bool:
        if self._step is None or self._is_in_memory:
            return False
        run = self._step.context.instance.get_run_by_id(self._step.run.run_id)
        return run is None or run.is_finished or run.status is dg.DagsterRunStatus.CANCELING

    def _end_if_canceled(self) -> None:
        if self._step is not None and self._step.somebody_canceled():
            if self._has_history:
                for member in self.members:
                    self._life(member, self._unfinished(member)).recall()
            self._end(None)

    def _end(self, interrupt: BaseException | None) -> None:
        if self._step is None:
            raise interrupt or RuntimeError("There is no run to end.")
        lives = list(self._lives.values())
        end_interrupted(self._step, lives, self.rudderstack.termination, interrupt)

    def _drop(self, crew: Crew[dg.AssetKey, Outcome]) -> None:
        """Do once what an interrupt asks for, when the step is not told of it."""
        if self._step is None or not self._dropped.acquire(blocking=False):
            return
        crew.halt(HALT_SECONDS)
        lives = [life for life in self._lives.values() if life.may_be_running]
        if lives:
            settle(self._step, lives, self.rudderstack.termination)

    def _outcome(self, ended: Ended[dg.AssetKey, Outcome]) -> Outcome:
        if ended.result is not None:
            return ended.result
        member = next(member for member in self.members if member.key == ended.key)
        error = ended.error
        return Outcome(member, "failed", error=error, reason=f"{type(error).__name__}: {error}")

    def _close(self, outcome: Outcome) -> None:
        """Keep the words for the end of the step, and the life if it may have to be stopped."""
        self._lines.append(outcome.line)
        life = self._lives.get(outcome.member.key)
        if life is not None and not life.may_be_running:
            del self._lives[outcome.member.key]

    # --- the job of one member: in the threads of the crew

    def _sync(self, member: Member) -> Steps[Outcome]:
        past = self._past(member)
        if past is not None:
            return past
        life = self._life(member, self._unfinished(member))
        try:
            report = yield from life.run()
        except RudderStackError as error:
            return self._failed(member, life, error)
        metadata = report_metadata(report, self.rudderstack.dashboard_url)
        return Outcome(member, report.status, metadata=metadata, sync=report)

    def _launch(self, member: Member) -> Steps[Outcome]:
        unfinished = self._deferred_before(member) or self._unfinished(member)
        for _ in range(LAUNCH_ATTEMPTS):
            life = self._life(member, unfinished)
            try:
                sync_id = yield from life.launch()
            except SyncAlreadyRunningError as error:
                if self.policy.on_running_sync == "fail":
                    return self._failed(member, life, error)
                if error.sync is not None and self._is_queued(member, life, error.sync.id):
                    return Outcome(member, "queued", sync=error.sync)
                yield self.policy.poll.min_interval_seconds
            except RudderStackError as error:
                return self._failed(member, life, error)
            else:
                life.log.info(
                    f"Sync {sync_id} runs; the polling sensor that watches this asset reports how "
                    "it ends."
                )
                return Outcome(member, "started")
            unfinished = None
        return Outcome(
            member,
            "failed",
            reason=f"RudderStack says that a sync of connection {member.connection_id} is running, "
            "but does not list it.",
        )

    def _is_queued(self, member: Member, life: SyncLife, running_sync_id: str) -> bool:
        """Write down that ours is wanted after the running one; False if that has just ended."""
        if self._step is not None:
            self._journal(self._step, member).queued(running_sync_id)
        try:
            # Whoever looks for what is queued may have looked just before it was written down.
            is_over = life.api.get_sync(member.connection_id, running_sync_id).is_over
        except ApiError:
            return True
        if not is_over:
            life.log.info(
                f"Sync {running_sync_id} of connection {member.connection_id} is running. It may "
                "have begun before the upstream tables were rebuilt: when it is over, the polling "
                "sensor that watches this asset, if it is on, requests a run that starts ours."
            )
        return not is_over

    def _stop(self, member: Member) -> Steps[Outcome]:
        withdrawn = self._withdraw(member)
        note = self._deferred_note(member)
        journal = _StopJournal(self._journal(self._step, member)) if self._step else NoJournal()
        life = self._life(member, _unfinished_of(note) if note else None, journal)
        life.recall()
        outcome = yield from life.stop(STOP_GRACE_SECONDS)
        text = f"Asked to stop. {outcome.value[0].upper()}{outcome.value[1:]}.{withdrawn}"
        life.log.info(text)
        if outcome is StopOutcome.UNKNOWN:
            return Outcome(member, "failed", reason=text)
        return Outcome(member, "stopped")

    def _withdraw(self, member: Member) -> str:
        """Write down that what is queued is not wanted any more, and return what to say of it."""
        partition = self._step.partition if self._step else None
        queued = still_wanted(self._notes(member))
        if self._step is None or all(partition not in (None, each.partition) for each in queued):
            return ""
        self._journal(self._step, member).withdrawn()
        return " The sync that was queued is withdrawn."

    def _tell(self, member: Member, sync_ids: Mapping[str, str]) -> Steps[Outcome]:
        sync_id = sync_ids.get(member.connection_id)
        if sync_id is None:
            reason = "'report' needs the id of the sync in sync_ids: it is for the polling sensor."
            return Outcome(member, "failed", reason=reason, retryable=False)
        life = self._life(member, None, NoJournal())
        try:
            report = yield from life.attach(sync_id)
        except RudderStackError as error:
            why = self._why(member, error)
            return Outcome(member, "failed", error=why, reason=why.message, retryable=why.retryable)
        return Outcome(member, report.status, sync=report)

    def _why(self, member: Member, error: RudderStackError) -> RudderStackError:
        """Return an error of a deferred sync; if that was stopped, it says by whom."""
        if not isinstance(error, (SyncFailedError, SyncAbortedError)) or error.sync is None:
            return error
        stopped_by = stops_among(self._observations(member), member.connection_id)
        why = failure_of_deferred(error.sync, member.connection_id, stopped_by.get(error.sync.id))
        return why or error

    def _failed(self, member: Member, life: SyncLife, error: RudderStackError) -> Outcome:
        if isinstance(error, ConnectionDisabledError) and self.on_disabled == "skip":
            life.log.info(f"Skipped. {error}")
            return Outcome(member, "skipped")
        sync = error.sync if isinstance(error, SyncError) else None
        if sync is not None and sync.id != life.sync_id:
            # A sync of somebody else's that is in the way is not what has failed.
            sync = None
        # A sync that may still run is left as it is written down: the next attempt takes it up.
        if self._step is not None and not life.may_be_running:
            self._note_failure(self._step, member, error, sync)
        return Outcome(
            member,
            "lost" if isinstance(error, SyncLostError) else sync.status if sync else "failed",
            sync=sync,
            error=error,
            reason=error.message,
            retryable=error.retryable,
        )

    def _note_failure(
        self, step: SyncStep, member: Member, error: RudderStackError, sync: Sync | None
    ) -> None:
        link = self.rudderstack.dashboard_url
        facts = sync_metadata(sync, member.connection_id, link_template=link)
        try:
            self._journal(step, member).failed(
                error.message, retryable=error.retryable, facts=facts
            )
        except Exception as trouble:  # noqa: BLE001 - the failure itself is what must be told
            step.context.log.warning(
                f"{member.name}: its failure could not be written down: {trouble}"
            )

    def _life(
        self, member: Member, unfinished: Unfinished | None, journal: Journal | None = None
    ) -> SyncLife:
        log: Any = self._step.context.log if self._step else dg.get_dagster_logger("rudderstack")
        if journal is None:
            journal = self._journal(self._step, member) if self._step else NoJournal()
        life = SyncLife(
            self._client,
            member.request,
            self.policy,
            journal=journal,
            unfinished=unfinished,
            log=log if len(self.members) == 1 else _Named(log, member.name),
        )
        self._lives[member.key] = life
        return life

    def _journal(self, step: SyncStep, member: Member) -> AssetJournal:
        request = member.request
        facts: Metadata = {}
        if self.deferred:
            deadline = time.time() + self.policy.timeout_seconds
            facts[MetadataKey.DEADLINE] = dg.MetadataValue.timestamp(deadline)
        return step.journal(member.key, request.connection_id, request.sync_type, facts)

    # --- what earlier attempts did

    @property
    def _has_history(self) -> bool:
        """Whether this is not the first attempt: else there is nothing to look for."""
        if self._step is None:
            return False
        run = self._step.run
        return bool(self._step.context.retry_number or run.parent_run_id or run.root_run_id)

    def _unfinished(self, member: Member) -> Unfinished | None:
        if self._step is None or not self._has_history:
            return None
        request = member.request
        return self._step.unfinished(member.key, request.connection_id, request.sync_type)

    def _past(self, member: Member) -> Outcome | None:
        """Return the outcome that an earlier attempt settled; None: there is work to do."""
        if self._step is None or not self._has_history:
            return None
        record = self._materialized(self._step, member)
        if record is not None and record.asset_materialization is not None:
            metadata = dict(record.asset_materialization.metadata)
            if record.run_id == self._step.run.run_id:
                # Dagster judges a step by the checks of its last attempt only.
                return Outcome(member, "done before", metadata=metadata, is_reported=True)
            if not self._is_blocked(member, metadata):
                # What is downstream in this run waits for it.
                return Outcome(member, "done before", metadata=metadata)
        note = self._last_note(self._step, member)
        if note and note.state == FAILED and not note.retryable and self._is_this_run(note):
            return Outcome(member, "failed", reason=note.text, retryable=False)
        return None

    def _is_this_run(self, note: Note) -> bool:
        return self._step is not None and note.run_id == self._step.run.run_id

    def _is_blocked(self, member: Member, metadata: Metadata) -> bool:
        if self.check is None or not self.check.blocking or self.check.severity != "ERROR":
            return False
        return not self.check.result_of_metadata(member.key, metadata).passed

    def _materialized(self, step: SyncStep, member: Member) -> dg.EventLogRecord | None:
        """Return what this run, or one that it goes on with, reported about the member."""
        for record in step.materializations(member.key):
            materialization = record.asset_materialization
            if (
                record.run_id in step.continued_runs()
                and materialization is not None
                and text_of(materialization.metadata.get(MetadataKey.CONNECTION_ID))
                == member.connection_id
            ):
                return None if self._is_outdated(step, member, record) else record
        return None

    def _is_outdated(self, step: SyncStep, member: Member, record: dg.EventLogRecord) -> bool:
        """Whether what an earlier run synced was rebuilt since, so that it may lack rows."""
        is_earlier = record.run_id != step.run.run_id
        return is_earlier and step.was_rebuilt(member.key, record)

    def _last_note(self, step: SyncStep, member: Member) -> Note | None:
        request = member.request
        record = step.last_record(member.key, request.connection_id, request.sync_type)
        return note_of(record) if record else None

    def _deferred_before(self, member: Member) -> Unfinished | None:
        """Return the sync that an earlier attempt of this step deferred, reported or not."""
        if self._step is None or not self._has_history:
            return None
        note = self._last_note(self._step, member)
        if note is None or note.state != IN_FLIGHT:
            return None
        return _unfinished_of(note) if note.run_id in self._step.continued_runs() else None

    def _deferred_note(self, member: Member) -> Note | None:
        """Return what the last run that deferred a sync of the member wrote; None: nothing."""
        deferred = [note for note in self._notes(member) if note.deadline is not None]
        last = next((note.sync_id for note in deferred if note.state == IN_FLIGHT), None)
        return in_flight_among(deferred).get(last) if last is not None else None

    def _notes(self, member: Member) -> list[Note]:
        """Return what steps, in whatever run, wrote about the syncs of the member, newest first."""
        records = self._observations(member)
        notes = [note for record in records if (note := note_of(record)) is not None]
        return [note for note in notes if note.connection_id == member.connection_id]

    def _observations(self, member: Member) -> Sequence[dg.EventLogRecord]:
        if self._step is None:
            return []
        instance = self._step.context.instance
        return instance.fetch_observations(member.key, limit=NOTES_SEARCHED).records

    # --- the end

    def _raise_failures(self, *, may_retry: bool = True) -> None:
        failed = [line for line in self._lines if line.reason]
        if not failed:
            return
        first = next((line.error for line in failed if line.error), None)
        if len(self.members) == 1 and isinstance(first, RudderStackError):
            link = self.rudderstack.dashboard_url
            failure = failure_from(first, failed[0].connection_id, link)
        else:
            failure = failure_of_many(failed, len(self.members))
        failure.allow_retries = failure.allow_retries and may_retry
        raise failure from first

    def _tell_summary(self) -> None:
        if self._step is not None and len(self.members) > 1:
            self._step.context.log.info(summary_text(self._lines))


NOTES_SEARCHED = 200
"""How many observations of an asset we read to find its deferred sync: it made a few per sync."""


def _unfinished_of(note: Note) -> Unfinished:
    return Unfinished(sync_id=note.sync_id, owned=note.owned)


@dataclass(frozen=True)
class _StopJournal(NoJournal):
    """Writes down that a deferred sync was asked to stop. How it ends is for the sensor to tell."""

    journal: AssetJournal

    def stop_requested(self, sync_id: str) -> None:
        """Write down the stop."""
        self.journal.deferred_stopped(sync_id)


@dataclass(frozen=True)
class _Named:
    """A log whose lines begin with the name of an asset."""

    log: Any
    name: str

    def info(self, msg: object, /) -> None:
        self.log.info(f"{self.name}: {msg}")

    def warning(self, msg: object, /) -> None:
        self.log.warning(f"{self.name}: {msg}")

"""A step without Dagster: the events of its run are a list."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import dagster as dg

from dagster_rudderstack.checks.base import SyncCheck
from dagster_rudderstack.metadata import MetadataKey
from dagster_rudderstack.settings import PollPolicy, RetryPolicy, SyncPolicy
from dagster_rudderstack.step.dagster_step import DagsterStep, RunState
from dagster_rudderstack.step.interrupts import StopSettings
from dagster_rudderstack.step.records import RunRecorder, SyncRecord, read_records
from dagster_rudderstack.step.results import StepSync
from dagster_rudderstack.step.runner import Runner
from dagster_rudderstack.sync.request import SyncRequest
from dagster_rudderstack_tests.sync.scripted import ListLog, ScriptedApi, every_second

CRM = dg.AssetKey("crm")
KINDS = {
    "engine": dg.DagsterEventType.ENGINE_EVENT,
    "materialized": dg.DagsterEventType.ASSET_MATERIALIZATION,
    "observed": dg.DagsterEventType.ASSET_OBSERVATION,
    "begun": dg.DagsterEventType.STEP_START,
}


@dataclass
class FakeInstance:
    """Keeps the events of runs, each with a position that grows."""

    is_ephemeral: bool = True
    events: list[tuple[dg.DagsterEventType, Any]] = field(default_factory=list)
    engine_events: list[tuple[str, str, str]] = field(default_factory=list)
    recent: list[Any] = field(default_factory=list)
    latest_requests: list[dg.AssetKey] = field(default_factory=list)
    queries: list[tuple[str, dg.DagsterEventType]] = field(default_factory=list)
    observed: dict[dg.AssetKey, list[Any]] = field(default_factory=dict)
    now: float = 0.0
    other_runs: list[str] = field(default_factory=list)
    run_queries: list[tuple[dg.RunsFilter, int]] = field(default_factory=list)

    def report_engine_event(
        self, text: str, *, dagster_run: Any, step_key: str, engine_event_data: Any
    ) -> None:
        """Keep an engine event."""
        self.engine_events.append((text, dagster_run.run_id, step_key))
        event = SimpleNamespace(engine_event_data=engine_event_data)
        self.add("engine", dagster_run.run_id, event_log_entry=SimpleNamespace(dagster_event=event))

    def add(self, kind: str, run_id: str, **entry: Any) -> None:
        """Keep an event of any type."""
        fields = {"asset_materialization": None, "asset_observation": None, **entry}
        position = len(self.events) + 1
        record = SimpleNamespace(
            run_id=run_id, storage_id=position, timestamp=self.now + position, **fields
        )
        self.events.append((KINDS[kind], record))

    def begin(self, run_id: str, step_key: str = "sync_crm_key") -> None:
        """Keep the begin of an attempt of a step."""
        self.add("begun", run_id, event_log_entry=SimpleNamespace(step_key=step_key))

    def materialize(self, run_id: str, key: dg.AssetKey = CRM, **metadata: str) -> None:
        """Keep a materialization with ids."""
        self.add(
            "materialized",
            run_id,
            asset_materialization=dg.AssetMaterialization(key, metadata=ids(**metadata)),
        )

    def observe(self, run_id: str, **metadata: str) -> None:
        """Keep an observation with ids."""
        self.add(
            "observed", run_id, asset_observation=dg.AssetObservation(CRM, metadata=ids(**metadata))
        )

    def get_records_for_run(
        self, run_id: str, of_type: dg.DagsterEventType | set[dg.DagsterEventType]
    ) -> Any:
        """Return the events of some types of a run."""
        kinds = of_type if isinstance(of_type, set) else {of_type}
        if not isinstance(of_type, set):
            self.queries.append((run_id, of_type))
        found = [each for kind, each in self.events if kind in kinds and each.run_id == run_id]
        return SimpleNamespace(records=found)

    def get_run_records(self, filters: dg.RunsFilter, limit: int) -> list[Any]:
        """Return the other runs, which the test sets."""
        self.run_queries.append((filters, limit))
        return [
            SimpleNamespace(dagster_run=SimpleNamespace(run_id=run_id))
            for run_id in self.other_runs
        ]

    def get_latest_materialization_event(self, key: dg.AssetKey) -> Any:
        """Return the latest materialization, which the test sets."""
        self.latest_requests.append(key)
        return self.recent[0] if self.recent else None

    def fetch_materializations(self, key: dg.AssetKey, limit: int) -> Any:
        """Return the recent materializations, the newest first, which the test sets."""
        self.latest_requests.append(key)
        return SimpleNamespace(records=self.recent[:limit])

    def fetch_observations(self, key: dg.AssetKey, limit: int) -> Any:
        """Return the observations of an asset, which the test sets."""
        return SimpleNamespace(records=self.observed.get(key, [])[:limit])


def ids(sync_id: str | None = None, connection_id: str | None = "crm") -> Mapping[str, Any]:
    """Return metadata with ids."""
    found = {MetadataKey.SYNC_ID: sync_id, MetadataKey.CONNECTION_ID: connection_id}
    return {key: dg.MetadataValue.text(value) for key, value in found.items() if value is not None}


@dataclass
class FakeContext:
    """The context of a step: a log and events."""

    log: ListLog = field(default_factory=ListLog)
    logged_events: list[Any] = field(default_factory=list)
    error: Exception | None = None

    def log_event(self, event: object) -> None:
        """Keep an event."""
        if self.error is not None:
            raise self.error
        self.logged_events.append(event)


@dataclass
class FakeStep:
    """A step of the run `now`, which is the last of its ancestry."""

    instance: FakeInstance = field(default_factory=FakeInstance)
    context: FakeContext = field(default_factory=FakeContext)
    name: str = "sync_crm"
    key: str = "sync_crm_key"
    partition: str | None = None
    runs: Sequence[str] = ("now",)
    continued_run_ids: frozenset[str] = frozenset({"now"})
    upstream: frozenset[dg.AssetKey] = frozenset()
    canceled: Callable[[], bool] = lambda: False
    over: Callable[[], bool] = lambda: False
    retries_canceled: str | None = None
    began: int | None = None
    lost_outputs: frozenset[dg.AssetKey] = frozenset()
    ending: Callable[[], bool] = lambda: False

    def __post_init__(self) -> None:
        self.run = SimpleNamespace(run_id=self.runs[-1], tags={}, parent_run_id=None)
        self.ancestry = tuple(SimpleNamespace(run_id=run_id) for run_id in self.runs)

    @property
    def is_in_memory(self) -> bool:
        """Whether only one thread may use the storage."""
        return self.instance.is_ephemeral

    @property
    def log(self) -> ListLog:
        """The log of the step."""
        return self.context.log

    def run_state(self) -> RunState:
        """Return what the test says."""
        if self.canceled():
            return RunState.CANCELED
        return RunState.OVER if self.over() else RunState.ACTIVE

    def recent_state(self) -> RunState:
        """Return what the test says."""
        return self.run_state()

    def canceled_run_id(self) -> str | None:
        """Return the canceled run that this one retries."""
        return self.retries_canceled

    def is_run_ending(self) -> bool:
        """Whether the run has ended or is about to."""
        return self.ending()

    def executions(self) -> list[int]:
        """Return the places at which executions of the step began."""
        return [
            each.storage_id
            for kind, each in self.instance.events
            if kind is KINDS["begun"]
            and each.run_id == self.run.run_id
            and each.event_log_entry.step_key == self.key
        ]

    @property
    def began_at(self) -> int:
        """The place at which this execution began: the newest one, unless the test says it."""
        return self.began if self.began is not None else max(self.executions(), default=0)

    def is_output_awaited(self, key: dg.AssetKey) -> bool:
        """Return what the test says."""
        return key in self.lost_outputs

    def is_output_lost(self, key: dg.AssetKey, position: int) -> bool:
        """Return what the test says."""
        return key in self.lost_outputs and position > 0

    def partition_of(self, key: dg.AssetKey) -> str | None:
        """Return the partition of an asset."""
        return f"{self.partition} of {key.to_user_string()}" if self.partition else None

    def upstream_of(self, key: dg.AssetKey | None) -> frozenset[dg.AssetKey]:
        """Return the upstream assets. Only `CRM` has some."""
        return self.upstream if key == CRM else frozenset()


def as_step(step: FakeStep) -> DagsterStep:
    """Return a fake with the type that the library expects."""
    return cast("DagsterStep", step)


def recorder(step: FakeStep, **options: Any) -> RunRecorder:
    """Return a recorder of a step."""
    return RunRecorder(as_step(step), SyncRequest("crm", "full", "CRM contacts"), **options)


def earlier_run(step: FakeStep, run_id: str = "before", **fields: Any) -> FakeStep:
    """Return the same step in an earlier run, with the same instance."""
    return FakeStep(step.instance, name=step.name, runs=(run_id,), **fields)


def runner(
    api: ScriptedApi,
    step: FakeStep | None = None,
    *,
    syncs: Sequence[StepSync] | None = None,
    stop_when: Any = "run_canceled",
    checks: Sequence[SyncCheck] = (),
    policy: SyncPolicy | None = None,
    **options: Any,
) -> Runner:
    """Return a runner of one sync, or of the given ones, that polls fast."""
    log = step.context.log if step else ListLog()
    return Runner(
        api,
        policy or at_once(),
        syncs or [StepSync(SyncRequest("crm", connection_name="CRM contacts"), CRM)],
        as_step(step) if step else None,
        StopSettings(stop_when, lambda: api),
        log,
        max_concurrent=4,
        checks=checks,
        **options,
    )


def at_once(**choices: Any) -> SyncPolicy:
    """Return a policy whose waits take 0.01 s."""
    return every_second(
        poll=PollPolicy(poll_min_interval_seconds=0.01, poll_max_interval_seconds=0.01),
        retry=RetryPolicy(first_delay_seconds=0.01, max_delay_seconds=0.01),
        **choices,
    )


def written(step: FakeStep) -> list[SyncRecord]:
    """Return the records in the log of a step's run."""
    return read_records(cast("dg.DagsterInstance", step.instance), step.run.run_id)

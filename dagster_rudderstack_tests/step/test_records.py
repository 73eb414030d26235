"""Records in the log of a run: what is written, and how a later attempt uses it."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any, cast

import dagster as dg
import pytest

from dagster_rudderstack import build_rudderstack_sync_asset
from dagster_rudderstack.metadata import MetadataKey
from dagster_rudderstack.step.records import (
    RUNS_READ,
    UNFINISHED,
    RecordKind,
    RunRecorder,
    SyncRecord,
    active_run_ids,
    read_records,
)
from dagster_rudderstack.step.resume import EarlierAttempts
from dagster_rudderstack.sync.attempt import PreviousAttempt
from dagster_rudderstack.sync.decisions import ADOPTION_SECONDS
from dagster_rudderstack.sync.request import SyncRequest
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.step.fakes import (
    CRM,
    FakeStep,
    as_step,
    earlier_run,
    recorder,
    written,
)
from dagster_rudderstack_tests.step.world import records, resource_of, run

REQUEST = SyncRequest("crm", "full", "CRM contacts")
LINK = "https://app/{connection_id}/{sync_id}"
TABLE = dg.AssetKey("customers")


# --- what is written and read


def test_records__texts() -> None:
    """Each record is one line for people, in the log of the run and of the step."""
    step = FakeStep()
    run_recorder = recorder(step)

    run_recorder.starting(["a"])
    run_recorder.waiting("s", "started", owned=True)
    run_recorder.nothing_started()
    run_recorder.stop_requested("s")
    run_recorder.returned("s")

    assert step.instance.engine_events == [
        (text, "now", "sync_crm_key")
        for text in (
            "Starting a sync of connection CRM contacts (crm).",
            "Started sync s of connection CRM contacts (crm) (full).",
            "No sync of connection CRM contacts (crm) was started.",
            "Asked RudderStack to stop sync s of connection CRM contacts (crm).",
            "Sync s of connection CRM contacts (crm) succeeded.",
        )
    ]


def test_records__read() -> None:
    """Records are read with the step and the position in the log."""
    step = FakeStep(partition="p1")
    run_recorder = recorder(step, deadline=7.5)

    run_recorder.starting(["a", "b"])
    run_recorder.waiting("s", "started", owned=True)
    run_recorder.nothing_started()
    run_recorder.stop_requested("s")
    run_recorder.returned("s")

    def record(kind: RecordKind, position: int, **fields: Any) -> SyncRecord:
        return SyncRecord(
            kind,
            "crm",
            "sync_crm",
            sync_type="full",
            partition="p1",
            deadline=7.5,
            run_id="now",
            timestamp=float(position),
            position=position,
            **fields,
        )

    assert written(step) == [
        record(RecordKind.STARTING, 1, known_sync_ids=("a", "b")),
        record(RecordKind.WAITING, 2, sync_id="s", owned=True),
        record(RecordKind.NOTHING_STARTED, 3),
        record(RecordKind.STOP_REQUESTED, 4, sync_id="s"),
        record(RecordKind.RETURNED, 5, sync_id="s"),
    ]
    assert step.instance.queries == [("now", dg.DagsterEventType.ENGINE_EVENT)]


FULL = SyncRecord(
    RecordKind.WAITING,
    "crm",
    "activation",
    sync_id="sync-1",
    sync_type="full",
    partition="2026-01-01",
    owned=True,
    known_sync_ids=("sync-0",),
    deadline=1.5,
)
SMALL = SyncRecord(RecordKind.NOTHING_STARTED, "crm", "activation")


def test_record__data() -> None:
    """The stored data has no empty fields. Its names never change, since older runs have them."""
    full = replace(FULL, run_id="r", timestamp=9.0, position=9)

    assert SMALL.to_data() == {
        "version": 1,
        "kind": "nothing_started",
        "connection_id": "crm",
        "step": "activation",
        "owned": False,
    }
    assert full.to_data() == {
        "version": 1,
        "kind": "waiting",
        "connection_id": "crm",
        "step": "activation",
        "sync_id": "sync-1",
        "sync_type": "full",
        "partition": "2026-01-01",
        "owned": True,
        "known_sync_ids": ["sync-0"],
        "deadline": 1.5,
    }
    assert SyncRecord.from_data(full.to_data()) == FULL
    assert (SMALL.is_deferred, FULL.is_deferred) == (False, True)


@pytest.mark.parametrize("record", [FULL, SMALL], ids=["full", "small"])
def test_record__written_and_read(record: SyncRecord) -> None:
    """A record is read as it was written."""
    assert SyncRecord.from_data(record.to_data()) == record


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(None, id="none"),
        pytest.param("text", id="text"),
        pytest.param([], id="list"),
        pytest.param(7, id="number"),
        pytest.param({}, id="empty"),
        pytest.param(FULL.to_data() | {"version": 2}, id="newer_version"),
        pytest.param(FULL.to_data() | {"kind": "unheard-of"}, id="unknown_kind"),
        pytest.param(FULL.to_data() | {"new_field": 1}, id="unknown_field"),
        pytest.param(FULL.to_data() | {"known_sync_ids": 5}, id="wrong_type"),
        pytest.param({"version": 1, "kind": "waiting"}, id="two_fields"),
        pytest.param({"version": 1, "kind": "waiting", "connection_id": "crm"}, id="no_step"),
        pytest.param({"version": 1, "connection_id": "crm", "step": "s"}, id="no_kind"),
    ],
)
def test_record__damaged(data: object) -> None:
    """A record that is damaged, or that a newer release wrote, is not read."""
    assert SyncRecord.from_data(data) is None


def test_records__other_engine_events() -> None:
    """Engine events without a record, or with a damaged one, are ignored."""
    step = FakeStep()
    record = MetadataKey.RECORD
    for metadata in (
        {},
        {record: dg.MetadataValue.text("damaged")},
        {record: dg.MetadataValue.json(["damaged"])},
    ):
        event = SimpleNamespace(engine_event_data=SimpleNamespace(metadata=metadata))
        step.instance.add("engine", "now", event_log_entry=SimpleNamespace(dagster_event=event))
    step.instance.add("engine", "now", event_log_entry=SimpleNamespace(dagster_event=None))
    recorder(step).nothing_started()

    assert [record.kind for record in written(step)] == [RecordKind.NOTHING_STARTED]


def test_records__metadata() -> None:
    """A record has the ids and the link to the sync. Without a sync it has no sync id and no
    link."""
    step = FakeStep()

    recorder(step, link_template=LINK).waiting("s", "started", owned=True)
    recorder(step, link_template=LINK).nothing_started()

    first, second = (
        each.event_log_entry.dagster_event.engine_event_data.metadata
        for _, each in step.instance.events
    )
    record = MetadataKey.RECORD
    assert {key: value for key, value in first.items() if key != record} == {
        MetadataKey.SYNC_ID: dg.MetadataValue.text("s"),
        MetadataKey.CONNECTION_ID: dg.MetadataValue.text("crm"),
        MetadataKey.LINK: dg.MetadataValue.url("https://app/crm/s"),
    }
    assert {key: value for key, value in second.items() if key != record} == {
        MetadataKey.CONNECTION_ID: dg.MetadataValue.text("crm"),
    }
    assert record in first
    assert recorder(step).is_durable


def test_records__link_of_a_hostile_id() -> None:
    """The id of a sync, which is what the server says, cannot change where the link leads."""
    step = FakeStep()

    recorder(step, link_template=LINK).waiting("/../x?y#z", "started", owned=True)

    ((_, record),) = step.instance.events
    metadata = record.event_log_entry.dagster_event.engine_event_data.metadata
    assert metadata[MetadataKey.LINK].value == "https://app/crm/%2F..%2Fx%3Fy%23z"


def test_records__of_a_sync(server: LocalRudderStack, stored_instance: dg.DagsterInstance) -> None:
    """The run page shows a line per record; the data for the next attempt is folded away."""
    server.add_connection("crm")
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="crm", sync_type="full")
    result = run([asset], resource_of(server), stored_instance)

    (sync,) = server.syncs()
    kinds = [record.kind for record in records(stored_instance)]
    assert kinds == [RecordKind.STARTING, RecordKind.WAITING]
    entries = stored_instance.all_logs(result.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    events = [
        entry.dagster_event
        for entry in entries
        if entry.dagster_event
        and MetadataKey.RECORD in entry.dagster_event.engine_event_data.metadata
    ]
    assert [event.message for event in events] == [
        "Starting a sync of connection crm.",
        f"Started sync {sync.id} of connection crm (full).",
    ]
    for event in events:
        value = event.engine_event_data.metadata[MetadataKey.RECORD]
        # The UI shows JSON behind a button, and text in full.
        assert isinstance(value, dg.JsonMetadataValue)


# --- what a later attempt resumes


def earlier(step: FakeStep) -> EarlierAttempts:
    return EarlierAttempts(as_step(step))


def two_runs(**fields: Any) -> tuple[FakeStep, FakeStep]:
    """Return a step in an earlier run, and in the run that retries it."""
    now = FakeStep(runs=("before", "now"), continued_run_ids=frozenset({"before", "now"}), **fields)
    return earlier_run(now), now


def test_last_record() -> None:
    """The last record of the same step, partition, connection and sync type is found."""
    before, now = two_runs()
    recorder(before).waiting("old", "started", owned=True)
    recorder(now).waiting("new", "started", owned=True)
    for other in (
        FakeStep(now.instance, name="another", runs=("now",)),
        FakeStep(now.instance, partition="p", runs=("now",)),
        FakeStep(now.instance, runs=("unrelated",)),
    ):
        recorder(other).waiting("other", "started", owned=True)

    found = earlier(now)

    last = found.last_record(REQUEST)
    assert last is not None
    assert last.sync_id == "new"
    assert found.last_record(SyncRequest("crm")) is None
    assert found.last_record(SyncRequest("ads", "full")) is None


def test_unfinished__no_record() -> None:
    """Without a record there is nothing to resume, and materializations are not read."""
    step = FakeStep()

    assert earlier(step).unfinished(REQUEST, CRM) is None
    assert earlier(step).materialized(REQUEST, CRM) is None
    assert earlier(step).deferred(REQUEST) is None
    assert not earlier(step).has_observed(CRM, "s")
    assert {kind for _, kind in step.instance.queries} == {dg.DagsterEventType.ENGINE_EVENT}


@pytest.mark.parametrize("owned", [True, False])
def test_unfinished__waiting(owned: bool) -> None:
    """The same run and a later one resume the sync that an attempt waited for."""
    before, now = two_runs()
    recorder(before).waiting("s", "started", owned=owned)

    assert earlier(now).unfinished(REQUEST, CRM) == PreviousAttempt("s", owned=owned)
    assert earlier(before).unfinished(REQUEST, CRM) == PreviousAttempt(
        "s", owned=owned, is_same_run=True
    )


def test_unfinished__starting() -> None:
    """The sync of an announced start is looked for, and the syncs that existed before are known."""
    before, now = two_runs()
    now.instance.now = time.time()
    recorder(before).starting(["a", "b"])

    known = frozenset({"a", "b"})
    assert earlier(now).unfinished(REQUEST, CRM) == PreviousAttempt(known_sync_ids=known)
    assert earlier(before).unfinished(REQUEST, CRM) == PreviousAttempt(
        known_sync_ids=known, is_same_run=True
    )


def test_unfinished__starting_long_ago() -> None:
    """An old announcement has its time, so that only syncs of that time are adopted."""
    step = FakeStep()
    step.instance.now = time.time() - ADOPTION_SECONDS - 60
    recorder(step).starting([])

    left = earlier(step).unfinished(REQUEST, CRM)

    assert left is not None
    assert left.recorded_at == datetime.fromtimestamp(step.instance.now + 1, timezone.utc)


def test_unfinished__starting_and_other_runs() -> None:
    """Syncs that other runs have started since the announcement are known, and so not adopted."""
    before, now = two_runs()
    now.instance.other_runs = ["other", "before", "now"]
    recorder(before).starting(["a"])
    other = FakeStep(now.instance, name="another_step", runs=("other",))
    recorder(other).starting([])
    recorder(other).waiting("theirs", "started", owned=True)
    recorder(other).waiting("attached", "attached", owned=False)
    RunRecorder(as_step(other), SyncRequest("ads")).waiting("ads-1", "started", owned=True)
    recorder(earlier_run(now, "unlisted")).waiting("unlisted", "started", owned=True)
    recorder(before).waiting("ours", "started", owned=True)
    recorder(before).starting(["a"])
    announced_at = datetime.fromtimestamp(written(before)[-1].timestamp, timezone.utc)

    left = earlier(now).unfinished(REQUEST, CRM)

    assert left is not None
    assert left.known_sync_ids == {"a", "theirs"}
    unfinished, recent = now.instance.run_queries
    assert unfinished == (dg.RunsFilter(statuses=UNFINISHED), RUNS_READ)
    assert recent == (dg.RunsFilter(updated_after=announced_at), RUNS_READ)


def test_active_run_ids__no_time() -> None:
    """Without a time only the unfinished runs are read, and each is returned once."""
    instance = FakeStep().instance
    instance.other_runs = ["b", "a", "b"]

    assert active_run_ids(cast("dg.DagsterInstance", instance), None, 7) == ["b", "a"]
    assert instance.run_queries == [(dg.RunsFilter(statuses=UNFINISHED), 7)]
    assert dg.DagsterRunStatus.CANCELING in UNFINISHED
    assert not {"SUCCESS", "FAILURE", "CANCELED"} & {status.name for status in UNFINISHED}


@pytest.mark.parametrize("kind", ["nothing_started", "stop_requested"])
def test_unfinished__ended(kind: str) -> None:
    """After a start without effect, and after a stop, there is nothing to resume."""
    step = FakeStep()
    run_recorder = recorder(step)
    run_recorder.waiting("s", "started", owned=True)
    run_recorder.stop_requested("s") if kind == "stop_requested" else run_recorder.nothing_started()

    assert earlier(step).unfinished(REQUEST, CRM) is None
    assert earlier(step).deferred(REQUEST) is None


@pytest.mark.parametrize(
    ("begun", "left"),
    [
        ([], None),
        (["sync_crm_key"], PreviousAttempt("s", owned=False, is_same_run=True)),
        (["another_step"], None),
    ],
    ids=["second call", "next attempt", "attempt of another step"],
)
def test_unfinished__returned(begun: list[str], left: PreviousAttempt | None) -> None:
    """A result that the step's own code got is returned again by the next attempt, with any
    retry number, but not by a second call."""
    step = FakeStep()
    step.instance.begin("now")
    recorder(step).returned("s")
    for key in begun:
        step.instance.begin("now", key)

    assert earlier(step).unfinished(REQUEST, CRM) == left


def test_unfinished__returned_in_an_earlier_run() -> None:
    """A result that the code of an earlier run got is not returned again."""
    before, now = two_runs()
    recorder(before).returned("s")
    now.instance.begin("now")

    assert earlier(now).unfinished(REQUEST, CRM) is None


def test_unfinished__reported() -> None:
    """A sync is finished if a materialization after its record reports it."""
    before, now = two_runs()
    now.instance.materialize("before", sync_id="s")
    recorder(before).waiting("s", "started", owned=True)
    assert earlier(now).unfinished(REQUEST, CRM) is not None
    now.instance.materialize("before", sync_id="another")
    assert earlier(now).unfinished(REQUEST, CRM) is not None

    now.instance.materialize("now", sync_id="s")

    assert earlier(now).unfinished(REQUEST, CRM) is None
    assert earlier(now).unfinished(REQUEST, None) is None


@pytest.mark.parametrize(
    ("seconds", "sync_id", "is_reported"),
    [(1, "s", True), (0, "s", True), (-1, "s", False), (1, "another", False)],
)
def test_unfinished__reported_by_the_sensor(
    seconds: float, sync_id: str, is_reported: bool
) -> None:
    """The sync of an earlier run is finished if the sensor has reported it since."""
    before, now = two_runs()
    recorder(before).waiting("s", "started", owned=True)
    (record,) = written(before)
    materialization = dg.AssetMaterialization(
        CRM, metadata={MetadataKey.SYNC_ID: dg.MetadataValue.text(sync_id)}
    )
    now.instance.recent = [
        SimpleNamespace(timestamp=record.timestamp + seconds, asset_materialization=materialization)
    ]

    assert (earlier(now).unfinished(REQUEST, CRM) is None) is is_reported
    assert now.instance.latest_requests == [CRM]


def test_unfinished__latest_materialization() -> None:
    """The latest materialization is read only for a sync of an earlier run that has an asset."""
    before, now = two_runs()
    recorder(before).waiting("s", "started", owned=True)

    assert earlier(now).unfinished(REQUEST, None) is not None
    assert earlier(before).unfinished(REQUEST, CRM) is not None
    assert now.instance.latest_requests == []


def test_unfinished__never_materialized() -> None:
    """A sync of an asset that was never materialized is unfinished."""
    before, now = two_runs()
    recorder(before).waiting("s", "started", owned=True)

    assert earlier(now).unfinished(REQUEST, CRM) is not None
    assert now.instance.latest_requests == [CRM]


def test_unfinished__rebuilt() -> None:
    """A sync is not resumed if it began before a later attempt rebuilt its upstream tables."""
    before, now = two_runs(upstream=frozenset({TABLE}))
    now.instance.materialize("before", TABLE)
    recorder(before).waiting("s", "started", owned=True)
    assert earlier(now).unfinished(REQUEST, CRM) is not None
    now.instance.materialize("now", dg.AssetKey("another"))
    assert earlier(now).unfinished(REQUEST, CRM) is not None

    now.instance.materialize("now", TABLE)

    assert earlier(now).unfinished(REQUEST, CRM) is None
    assert now.context.log.lines == [
        (
            "info: The previous sync of connection CRM contacts (crm) is not resumed, because an "
            "upstream asset was materialized after it began."
        )
    ]
    assert earlier(now).unfinished(REQUEST, dg.AssetKey("another")) is not None


def test_unfinished__rebuilt_and_nothing_to_resume() -> None:
    """If there is nothing to resume, the log does not say that something was not resumed."""
    before, now = two_runs(upstream=frozenset({TABLE}))
    recorder(before).nothing_started()
    now.instance.materialize("now", TABLE)

    assert earlier(now).unfinished(REQUEST, CRM) is None
    assert now.context.log.lines == []


def test_unfinished__rebuilt_in_the_same_run() -> None:
    """Within one run the tables are built before the sync, so a step retry resumes."""
    step = FakeStep(upstream=frozenset({TABLE}))
    recorder(step).waiting("s", "started", owned=True)
    step.instance.materialize("now", TABLE)

    assert earlier(step).unfinished(REQUEST, CRM) is not None


def test_deferred() -> None:
    """A deferred sync is found in the runs that this run continues."""
    before, now = two_runs()
    recorder(before, deadline=1.0).waiting("s", "started", owned=False)

    assert earlier(now).deferred(REQUEST) == PreviousAttempt("s", owned=False)
    now.continued_run_ids = frozenset({"now"})
    assert earlier(now).deferred(REQUEST) is None


def test_deferred__only_announced() -> None:
    """A start that was only announced is not a deferred sync."""
    step = FakeStep()
    recorder(step).starting([])

    assert earlier(step).deferred(REQUEST) is None


def test_has_observed() -> None:
    """A failed sync counts as observed if an attempt has reported it as an observation of its
    asset."""
    before, now = two_runs()
    now.instance.observe("before", sync_id="s")
    now.instance.observe("before")
    now.instance.add("observed", "before")
    assert not earlier(now).has_observed(CRM, "s")

    recorder(before).waiting("s", "started", owned=True)

    assert earlier(now).has_observed(CRM, "s")
    assert not earlier(now).has_observed(CRM, "t")
    assert not earlier(now).has_observed(dg.AssetKey("ads"), "s")


# --- results of earlier attempts


def test_materialized() -> None:
    """The latest materialization of the same asset and connection is found."""
    before, now = two_runs()
    recorder(before).waiting("s", "started", owned=True)
    now.instance.materialize("before", sync_id="first")
    now.instance.materialize("before", sync_id="second")
    now.instance.materialize("before", sync_id="third", connection_id="ads")
    now.instance.materialize("before", dg.AssetKey("another"), sync_id="fourth")

    found = earlier(now).materialized(REQUEST, CRM)

    assert found is not None
    assert (found.key, found.run_id, found.position) == (CRM, "before", 3)
    assert found.metadata[MetadataKey.SYNC_ID].value == "second"


def test_materialized__run_not_continued() -> None:
    """A run that repeats all of another one does not use its results."""
    before, now = two_runs()
    recorder(before).waiting("s", "started", owned=True)
    now.instance.materialize("before", sync_id="s")
    now.continued_run_ids = frozenset({"now"})

    assert earlier(now).materialized(REQUEST, CRM) is None


@pytest.mark.parametrize("run_id", ["before", "now"])
def test_materialized__rebuilt(run_id: str) -> None:
    """A result of an earlier run does not count if the upstream tables were rebuilt since."""
    before, now = two_runs(upstream=frozenset({TABLE}))
    recorder(before).waiting("s", "started", owned=True)
    now.instance.materialize("before", TABLE)
    now.instance.materialize(run_id, sync_id="s")
    assert earlier(now).materialized(REQUEST, CRM) is not None

    now.instance.materialize("now", TABLE)

    assert (earlier(now).materialized(REQUEST, CRM) is None) is (run_id == "before")


def test_queries() -> None:
    """The logs are read with one query per run and type of event, however often they are asked
    for."""
    before, now = two_runs()
    recorder(before).waiting("s", "started", owned=True)
    found = earlier(now)

    for _ in range(3):
        found.unfinished(REQUEST, CRM)
        found.materialized(REQUEST, CRM)
        found.has_observed(CRM, "s")

    assert len(now.instance.queries) == 6


def test_read_records__another_run() -> None:
    """Records of another run are not read."""
    step = FakeStep()
    recorder(step).nothing_started()

    assert read_records(cast("dg.DagsterInstance", step.instance), "other") == []

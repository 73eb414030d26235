"""Records in the log of a run: what is written, and what a later attempt makes of it."""

from __future__ import annotations

import json
import time
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any, cast

import dagster as dg
import pytest

from dagster_rudderstack.metadata import MetadataKey
from dagster_rudderstack.step.records import RecordKind, SyncRecord, read_records
from dagster_rudderstack.step.resume import EarlierAttempts
from dagster_rudderstack.sync.attempt import PreviousAttempt
from dagster_rudderstack.sync.decisions import ADOPTION_SECONDS
from dagster_rudderstack.sync.request import SyncRequest
from dagster_rudderstack_tests.step.fakes import (
    CRM,
    FakeStep,
    as_step,
    earlier_run,
    recorder,
    written,
)

REQUEST = SyncRequest("crm", "full", "CRM contacts")
LINK = "https://app/{connection_id}/{sync_id}"
TABLE = dg.AssetKey("customers")


# --- what is written


def test_texts() -> None:
    """Each record is one line for people, in the log of the run and of the step."""
    step = FakeStep()
    records = recorder(step)

    records.starting(["a"])
    records.waiting("s", "started", owned=True)
    records.nothing_started()
    records.stop_requested("s")
    records.returned("s")

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


def test_records() -> None:
    """What is written is read again: with its step, its attempt and its place in the log."""
    step = FakeStep(partition="p1")
    step.context.retry_number = 2
    records = recorder(step, deadline=7.5)

    records.starting(["a", "b"])
    records.waiting("s", "started", owned=True)
    records.nothing_started()
    records.stop_requested("s")
    records.returned("s")

    def record(kind: RecordKind, position: int, **fields: Any) -> SyncRecord:
        return SyncRecord(
            kind,
            "crm",
            "sync_crm",
            sync_type="full",
            partition="p1",
            deadline=7.5,
            retry_number=2,
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


def test_json() -> None:
    """The JSON of a record has no empty fields, and its names do not change: older runs hold it."""
    empty = SyncRecord(RecordKind.NOTHING_STARTED, "crm", "step")
    full = SyncRecord(
        RecordKind.WAITING,
        "crm",
        "step",
        "s",
        "full",
        "p",
        owned=True,
        known_sync_ids=("a",),
        deadline=1.5,
        retry_number=3,
        run_id="r",
        timestamp=9.0,
        position=9,
    )

    assert json.loads(empty.to_json()) == {
        "version": 1,
        "kind": "nothing_started",
        "connection_id": "crm",
        "step": "step",
        "owned": False,
        "retry_number": 0,
    }
    assert json.loads(full.to_json()) == {
        "version": 1,
        "kind": "waiting",
        "connection_id": "crm",
        "step": "step",
        "sync_id": "s",
        "sync_type": "full",
        "partition": "p",
        "owned": True,
        "known_sync_ids": ["a"],
        "deadline": 1.5,
        "retry_number": 3,
    }
    assert SyncRecord.from_json(empty.to_json()) == empty
    assert SyncRecord.from_json(full.to_json()) == SyncRecord(
        RecordKind.WAITING,
        "crm",
        "step",
        "s",
        "full",
        "p",
        owned=True,
        known_sync_ids=("a",),
        deadline=1.5,
        retry_number=3,
    )
    assert (empty.is_deferred, full.is_deferred) == (False, True)


@pytest.mark.parametrize(
    "text",
    [
        "nothing",
        "[]",
        "7",
        "{}",
        '{"version": 2, "kind": "waiting", "connection_id": "crm", "step": "s"}',
        '{"version": 1, "kind": "odd", "connection_id": "crm", "step": "s"}',
        '{"version": 1, "kind": "waiting", "connection_id": "crm"}',
        '{"version": 1, "kind": "waiting", "connection_id": "crm", "step": "s", "new": 1}',
        '{"version": 1, "connection_id": "crm", "step": "s"}',
        pytest.param("[" * 100_000, id="deep"),
    ],
)
def test_damaged(text: str) -> None:
    """A record that is damaged, or of a newer release, does not exist."""
    assert SyncRecord.from_json(text) is None


def test_other_engine_events() -> None:
    """Engine events without a record, or with a damaged one, are passed over."""
    step = FakeStep()
    for metadata in ({}, {MetadataKey.RECORD: dg.MetadataValue.text("damaged")}):
        event = SimpleNamespace(engine_event_data=SimpleNamespace(metadata=metadata))
        step.instance.add("engine", "now", event_log_entry=SimpleNamespace(dagster_event=event))
    step.instance.add("engine", "now", event_log_entry=SimpleNamespace(dagster_event=None))
    recorder(step).nothing_started()

    assert [record.kind for record in written(step)] == [RecordKind.NOTHING_STARTED]


def test_metadata() -> None:
    """A record carries the ids and the link to the sync; without a sync there is neither."""
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


# --- what a later attempt makes of it


def earlier(step: FakeStep) -> EarlierAttempts:
    return EarlierAttempts(as_step(step))


def two_runs(**fields: Any) -> tuple[FakeStep, FakeStep]:
    """Return a step in an earlier run, and in the run that retries it."""
    now = FakeStep(runs=("before", "now"), continued_run_ids=frozenset({"before", "now"}), **fields)
    return earlier_run(now), now


def test_last_record() -> None:
    """The last record counts, of the same step, partition, connection and sync type."""
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


def test_unfinished__nothing() -> None:
    """Without a record there is nothing to resume, and materializations are not read."""
    step = FakeStep()

    assert earlier(step).unfinished(REQUEST, CRM) is None
    assert earlier(step).materialized(REQUEST, CRM) is None
    assert earlier(step).deferred(REQUEST) is None
    assert not earlier(step).has_observed("s")
    assert {kind for _, kind in step.instance.queries} == {dg.DagsterEventType.ENGINE_EVENT}


@pytest.mark.parametrize("owned", [True, False])
def test_unfinished__waiting(owned: bool) -> None:
    """A sync that was waited for is resumed by the same run and by a later one."""
    before, now = two_runs()
    recorder(before).waiting("s", "started", owned=owned)

    assert earlier(now).unfinished(REQUEST, CRM) == PreviousAttempt("s", owned=owned)
    assert earlier(before).unfinished(REQUEST, CRM) == PreviousAttempt(
        "s", owned=owned, is_same_run=True
    )


def test_unfinished__starting() -> None:
    """An announced start is looked for, with the syncs that existed before."""
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


@pytest.mark.parametrize("kind", ["nothing_started", "stop_requested"])
def test_unfinished__over(kind: str) -> None:
    """After a start without effect, and after a stop, there is nothing to resume."""
    step = FakeStep()
    records = recorder(step)
    records.waiting("s", "started", owned=True)
    records.stop_requested("s") if kind == "stop_requested" else records.nothing_started()

    assert earlier(step).unfinished(REQUEST, CRM) is None
    assert earlier(step).deferred(REQUEST) is None


@pytest.mark.parametrize(
    ("attempt", "left"),
    [(0, None), (1, PreviousAttempt("s", owned=False, is_same_run=True))],
)
def test_unfinished__returned(attempt: int, left: PreviousAttempt | None) -> None:
    """A result that the step's own code got is returned again by a retry, and by no second call."""
    step = FakeStep()
    recorder(step).returned("s")
    step.context.retry_number = attempt

    assert earlier(step).unfinished(REQUEST, CRM) == left


def test_unfinished__returned_in_an_earlier_run() -> None:
    """A result that an earlier run's code got is not returned again."""
    before, now = two_runs()
    recorder(before).returned("s")
    now.context.retry_number = 1

    assert earlier(now).unfinished(REQUEST, CRM) is None


def test_unfinished__reported() -> None:
    """A sync that a materialization after its record reports is finished."""
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
    """A sync of an earlier run that the sensor has reported since is finished."""
    before, now = two_runs()
    recorder(before).waiting("s", "started", owned=True)
    (record,) = written(before)
    materialization = dg.AssetMaterialization(
        CRM, metadata={MetadataKey.SYNC_ID: dg.MetadataValue.text(sync_id)}
    )
    now.instance.latest = SimpleNamespace(
        timestamp=record.timestamp + seconds, asset_materialization=materialization
    )

    assert (earlier(now).unfinished(REQUEST, CRM) is None) is is_reported
    assert now.instance.latest_requests == [CRM]


def test_unfinished__the_sensor_is_asked_only_if_needed() -> None:
    """The latest materialization is read for a sync of an earlier run that has an asset."""
    before, now = two_runs()
    recorder(before).waiting("s", "started", owned=True)

    assert earlier(now).unfinished(REQUEST, None) is not None
    assert earlier(before).unfinished(REQUEST, CRM) is not None
    assert now.instance.latest_requests == []


def test_unfinished__no_materialization_at_all() -> None:
    """A sync of an asset that was never materialized is unfinished."""
    before, now = two_runs()
    recorder(before).waiting("s", "started", owned=True)

    assert earlier(now).unfinished(REQUEST, CRM) is not None
    assert now.instance.latest_requests == [CRM]


def test_unfinished__rebuilt() -> None:
    """A sync that began before a later attempt rebuilt its tables is not resumed."""
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
            "info: Not resuming the sync of an earlier attempt of connection CRM contacts (crm): "
            "an asset that it reads was materialized again since."
        )
    ]
    assert earlier(now).unfinished(REQUEST, dg.AssetKey("another")) is not None


def test_unfinished__rebuilt_with_nothing_to_resume() -> None:
    """Where nothing is left to resume, the log does not say that something was not resumed."""
    before, now = two_runs(upstream=frozenset({TABLE}))
    recorder(before).nothing_started()
    now.instance.materialize("now", TABLE)

    assert earlier(now).unfinished(REQUEST, CRM) is None
    assert now.context.log.lines == []


def test_unfinished__rebuilt_in_the_same_run() -> None:
    """Within one run the tables come first, so a step retry resumes."""
    step = FakeStep(upstream=frozenset({TABLE}))
    recorder(step).waiting("s", "started", owned=True)
    step.instance.materialize("now", TABLE)

    assert earlier(step).unfinished(REQUEST, CRM) is not None


def test_deferred() -> None:
    """A deferred sync is found in the runs whose work this one continues."""
    before, now = two_runs()
    recorder(before, deadline=1.0).waiting("s", "started", owned=False)

    assert earlier(now).deferred(REQUEST) == PreviousAttempt("s", owned=False)
    now.continued_run_ids = frozenset({"now"})
    assert earlier(now).deferred(REQUEST) is None


def test_deferred__only_announced() -> None:
    """A start that was only announced is no deferred sync."""
    step = FakeStep()
    recorder(step).starting([])

    assert earlier(step).deferred(REQUEST) is None


def test_has_observed() -> None:
    """A failed sync that an attempt has reported as an observation is not reported again."""
    before, now = two_runs()
    now.instance.observe("before", sync_id="s")
    now.instance.observe("before")
    now.instance.add("observed", "before")
    assert not earlier(now).has_observed("s")

    recorder(before).waiting("s", "started", owned=True)

    assert earlier(now).has_observed("s")
    assert not earlier(now).has_observed("t")


# --- what is done


def test_materialized() -> None:
    """The latest materialization about the connection counts, of the same asset."""
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


def test_materialized__in_a_run_that_is_not_continued() -> None:
    """A run that repeats all of another one does not take over its results."""
    before, now = two_runs()
    recorder(before).waiting("s", "started", owned=True)
    now.instance.materialize("before", sync_id="s")
    now.continued_run_ids = frozenset({"now"})

    assert earlier(now).materialized(REQUEST, CRM) is None


@pytest.mark.parametrize("run_id", ["before", "now"])
def test_materialized__rebuilt(run_id: str) -> None:
    """A result of an earlier run does not count when its tables were rebuilt since."""
    before, now = two_runs(upstream=frozenset({TABLE}))
    recorder(before).waiting("s", "started", owned=True)
    now.instance.materialize("before", TABLE)
    now.instance.materialize(run_id, sync_id="s")
    assert earlier(now).materialized(REQUEST, CRM) is not None

    now.instance.materialize("now", TABLE)

    assert (earlier(now).materialized(REQUEST, CRM) is None) is (run_id == "before")


def test_queries() -> None:
    """The logs are read with one query per run and kind of event, however often they are asked."""
    before, now = two_runs()
    recorder(before).waiting("s", "started", owned=True)
    found = earlier(now)

    for _ in range(3):
        found.unfinished(REQUEST, CRM)
        found.materialized(REQUEST, CRM)
        found.has_observed("s")

    assert len(now.instance.queries) == 6


def test_read_records__of_another_run() -> None:
    """The records of a run are its own."""
    step = FakeStep()
    recorder(step).nothing_started()

    assert read_records(cast("dg.DagsterInstance", step.instance), "other") == []

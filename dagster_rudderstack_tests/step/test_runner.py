"""The runner of a step's syncs, with scripted answers and without Dagster."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import RudderStackMetadataSet
from dagster_rudderstack.checks.rejected_rows import RejectedRowsCheck
from dagster_rudderstack.errors import (
    ConnectionDisabledError,
    SyncFailedError,
    SyncTimedOutError,
)
from dagster_rudderstack.metadata import MetadataKey
from dagster_rudderstack.settings import SyncPolicy
from dagster_rudderstack.step import interrupts
from dagster_rudderstack.step import runner as runner_module
from dagster_rudderstack.step.interrupts import RunEndedError
from dagster_rudderstack.step.records import RecordKind, RunRecorder
from dagster_rudderstack.step.results import StepSync, SyncResult
from dagster_rudderstack.step.runner import Runner
from dagster_rudderstack.sync.failed_rows import FailedRows
from dagster_rudderstack.sync.request import SyncReport, SyncRequest
from dagster_rudderstack.sync.scheduler import Scheduler
from dagster_rudderstack_tests.step.fakes import (
    CRM,
    FakeInstance,
    FakeStep,
    as_step,
    at_once,
    earlier_run,
    ids,
    runner,
    written,
)
from dagster_rudderstack_tests.sync.scripted import (
    ScriptedApi,
    connection_read,
    cut_off,
    status_error,
    succeeded,
    sync,
)

NAME = "CRM contacts (crm)"
LINK = "https://app/{connection_id}/{sync_id}"
GOOD = {"get": [succeeded("new")]}


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the waits that otherwise take seconds."""
    monkeypatch.setattr(runner_module, "STATUS_SECONDS", 0.05)
    monkeypatch.setattr(runner_module, "HALT_SECONDS", 1.0)
    monkeypatch.setattr(interrupts, "STATUS_PAUSE_SECONDS", 0.01)


def two() -> list[StepSync]:
    return [StepSync(SyncRequest(name), dg.AssetKey(name)) for name in ("ads", "crm")]


class TwoApi(ScriptedApi):
    """The connection `ads` always fails."""

    def start_sync(self, connection_id: str, sync_type: str | None = None) -> str:
        """Start a sync, named after its connection."""
        super().start_sync(connection_id, sync_type)
        return f"{connection_id}-1"

    def get_sync(self, connection_id: str, sync_id: str) -> Any:
        """Return a sync that has ended."""
        self.requests.append(("get", connection_id, sync_id))
        return sync(sync_id, "failed" if connection_id == "ads" else "succeeded", error="no table")


def only(results: Iterator[SyncResult]) -> SyncResult:
    (result,) = results
    return result


# --- one sync


def test_run() -> None:
    """A sync is recorded, and its result has the report and the metadata to materialize."""
    api, step = ScriptedApi(**GOOD), FakeStep()
    job = runner(api, step, link_template=LINK)

    result = only(job.run())

    assert (result.status, result.error, result.is_reported) == ("succeeded", None, False)
    assert result.report is not None
    assert (result.report.id, result.last_seen) == ("new", result.report)
    assert result.metadata is not None
    assert result.metadata[MetadataKey.SYNC_ID].value == "new"
    assert result.metadata[MetadataKey.LINK].value == "https://app/crm/new"
    assert [record.kind.value for record in written(step)] == ["starting", "waiting"]
    assert {record.deadline for record in written(step)} == {None}
    assert [row.status for row in job.rows] == ["succeeded"]
    (line,) = step.context.log.lines
    assert line.startswith("info: Sync new: succeeded (")
    job.raise_failures()


def test_run__many_syncs() -> None:
    """The more syncs a step waits for, the longer it waits between two polls of each."""
    syncs = [StepSync(SyncRequest(f"c{number}")) for number in range(500)]

    job = runner(ScriptedApi(), FakeStep(), syncs=syncs, policy=SyncPolicy())

    assert job.policy.poll.poll_min_interval_seconds == 5.0


def test_run__link() -> None:
    """The records of a sync have the link too."""
    step = FakeStep()

    only(runner(ScriptedApi(**GOOD), step, link_template=LINK).run())

    _, entry = step.instance.events[-1]
    metadata = entry.event_log_entry.dagster_event.engine_event_data.metadata
    assert metadata[MetadataKey.LINK].value == "https://app/crm/new"


def test_run__outside_dagster() -> None:
    """Outside Dagster the log says which sync the runner waits for."""
    job = runner(ScriptedApi(**GOOD))

    assert only(job.run()).status == "succeeded"
    assert job.log.lines[0] == f"info: Started sync new of connection {NAME} (incremental)."  # type: ignore[attr-defined]


def test_run__returned() -> None:
    """If the step's own code gets the result, that is recorded at the end."""
    step = FakeStep()

    only(runner(ScriptedApi(**GOOD), step, is_returned=True).run())

    last = written(step)[-1]
    assert (last.kind, last.sync_id) == (RecordKind.RETURNED, "new")


class Logs:
    """Says how to list rejected rows, and keeps the records that were written before."""

    def __init__(self, step: FakeStep) -> None:
        self.step = step
        self.before: list[RecordKind] = []

    def failed_rows(self, *_: object) -> FailedRows:
        """Return how to list the rejected rows of any sync."""
        self.before = [record.kind for record in written(self.step)]
        return FailedRows("SELECT 1", "Run it.")


def test_run__rejected_rows() -> None:
    """A report, or an error, has the SQL. A step that is killed while it asks resumes the sync."""
    step = FakeStep()
    logs = Logs(step)
    failing = ScriptedApi(get=[sync("new", "failed", error="no such table")])

    good = only(runner(ScriptedApi(**GOOD), step, is_returned=True, sync_logs=logs).run())
    asked_after = logs.before
    bad = only(runner(failing, FakeStep(), sync_logs=logs).run())

    assert RecordKind.RETURNED not in asked_after
    assert written(step)[-1].kind is RecordKind.RETURNED
    assert isinstance(good.report, SyncReport)
    assert isinstance(bad.error, SyncFailedError)
    for end in (good.report, bad.error):
        assert (end.failed_rows_sql, end.failed_rows_note) == ("SELECT 1", "Run it.")


def test_run__returned_outside_dagster() -> None:
    """Outside Dagster there is no record of a returned result."""
    assert only(runner(ScriptedApi(**GOOD), is_returned=True).run()).status == "succeeded"


def test_run__resumed() -> None:
    """The runner waits for the sync that an earlier attempt waited for."""
    step = FakeStep()
    recorder_of(step).waiting("ours", "started", owned=True)
    api = ScriptedApi(get=[succeeded("ours")])

    result = only(runner(api, step).run())

    assert result.report is not None
    assert (result.report.id, result.report.origin) == ("ours", "resumed")
    assert "start" not in api.operations


def recorder_of(step: FakeStep) -> Any:
    return RunRecorder(as_step(step), SyncRequest("crm"))


def test_run__failed() -> None:
    """A failed sync is a result with the error, an observation, and the failure of the step."""
    step = FakeStep(partition="p")
    job = runner(
        ScriptedApi(get=[sync("new", "failed", error="no table")]), step, link_template=LINK
    )

    result = only(job.run())

    assert (result.status, result.metadata, result.report) == ("failed", None, None)
    assert isinstance(result.error, SyncFailedError)
    assert result.last_seen == sync("new", "failed", error="no table")
    (observation,) = step.context.logged_events
    assert (observation.asset_key, observation.partition) == (CRM, "p of crm")
    assert observation.description == result.error.message
    assert observation.metadata[MetadataKey.SYNC_ID].value == "new"
    assert RudderStackMetadataSet.extract(observation.metadata).origin == "started"
    assert observation.metadata[MetadataKey.LINK].value == "https://app/crm/new"
    with pytest.raises(dg.Failure) as failure:
        job.raise_failures()
    assert failure.value.description == result.error.message
    assert failure.value.allow_retries is True
    assert failure.value.metadata[MetadataKey.LINK].value == "https://app/crm/new"
    assert failure.value.metadata[MetadataKey.CONNECTION_ID].value == "crm"
    assert failure.value.__context__ is result.error
    assert failure.value.__cause__ is None


def test_run__failed_and_observed_before() -> None:
    """A failed sync that an earlier attempt has observed is not observed again."""
    step = FakeStep()
    records = recorder_of(step)
    records.waiting("ours", "started", owned=True)
    step.instance.observe("now", sync_id="aborted")
    step.instance.observe("now", sync_id="ours")
    api = ScriptedApi(get=[sync("ours", "aborted")])

    result = only(runner(api, step).run())

    assert result.error is not None
    assert step.context.logged_events == []


def test_run__observation_cannot_be_stored() -> None:
    """If the observation of a failed sync cannot be stored, a warning says so, and the step fails
    with the sync's error."""
    step = FakeStep()
    step.context.error = OSError("disk full")

    result = only(runner(ScriptedApi(get=[sync("new", "failed")]), step).run())

    assert isinstance(result.error, SyncFailedError)
    assert step.context.log.lines[-1] == (
        "warning: The observation of crm could not be stored, so the asset's page does not show "
        "that its sync did not succeed. disk full"
    )


def test_run__no_asset() -> None:
    """The failed sync of an op is not observed, since it has no asset."""
    step = FakeStep()

    result = only(
        runner(
            ScriptedApi(get=[sync("new", "failed")]), step, syncs=[StepSync(SyncRequest("crm"))]
        ).run()
    )

    assert result.error is not None
    assert step.context.logged_events == []


@pytest.mark.parametrize("on_disabled", ["skip", "fail"])
def test_run__disabled(on_disabled: str) -> None:
    """A disabled connection is skipped, with a line in the log, or fails."""
    step = FakeStep()
    job = runner(
        ScriptedApi(connection=[connection_read(enabled=False)]), step, on_disabled=on_disabled
    )

    result = only(job.run())

    assert result.last_seen is None
    if on_disabled == "skip":
        assert (result.status, result.error) == ("skipped", None)
        assert step.context.log.lines == [f"info: Skipped: connection {NAME} is disabled."]
        assert step.context.logged_events == []
    else:
        assert result.status == "failed"
        assert isinstance(result.error, ConnectionDisabledError)


@pytest.mark.parametrize("stop_on_timeout", [True, False])
def test_run__timeout(stop_on_timeout: bool) -> None:
    """A sync that its timeout stopped is observed. One that is left running is not."""
    step = FakeStep()
    policy = at_once(sync_timeout_seconds=1, stop_on_timeout=stop_on_timeout)
    api = ScriptedApi(get=[sync("new")], listed=[[], [sync("new")]])

    result = only(runner(api, step, policy=policy).run())

    assert isinstance(result.error, SyncTimedOutError)
    assert (result.status, result.last_seen) == ("running", sync("new"))
    assert len(step.context.logged_events) == stop_on_timeout


def test_run__lost() -> None:
    """A sync whose polls fail for too long is not observed, since it may be running."""
    step = FakeStep()
    policy = at_once(outage_tolerance_seconds=0)

    result = only(
        runner(ScriptedApi(get=[sync("new"), status_error(500)]), step, policy=policy).run()
    )

    assert (result.status, result.last_seen) == ("lost", sync("new"))
    assert step.context.logged_events == []


def test_run__another_sync_runs() -> None:
    """If the sync of another client prevents ours, that other sync is not reported as failed."""
    step = FakeStep()
    job = runner(
        ScriptedApi(listed=[[sync("theirs")]]), step, policy=at_once(on_running_sync="fail")
    )

    result = only(job.run())

    assert (result.status, result.last_seen) == ("failed", None)
    (observation,) = step.context.logged_events
    assert MetadataKey.SYNC_ID not in observation.metadata
    assert RudderStackMetadataSet.extract(observation.metadata).origin is None


def test_run__unexpected_error() -> None:
    """An error that is not RudderStack's is the cause of the step's failure."""
    step = FakeStep()
    job = runner(ScriptedApi(get=[RuntimeError("bug")]), step)

    result = only(job.run())

    assert (result.status, str(result.error)) == ("failed", "bug")
    assert step.context.logged_events == []
    with pytest.raises(
        dg.Failure,
        match="The sync failed",
    ) as failure:
        job.raise_failures()
    assert failure.value.description == (
        "The sync failed.\n- crm (connection CRM contacts (crm)): RuntimeError: bug"
    )
    assert failure.value.__cause__ is result.error


# --- many syncs


@pytest.mark.parametrize("in_memory", [True, False])
def test_run__two_syncs(in_memory: bool) -> None:
    """Each sync has a result. A failure is logged with its name, and a table ends the log."""
    step = FakeStep(FakeInstance(is_ephemeral=in_memory))
    job = runner(TwoApi(), step, syncs=two())

    results = {result.sync.name: result for result in job.run()}

    assert {name: result.status for name, result in results.items()} == {
        "ads": "failed",
        "crm": "succeeded",
    }
    assert [event.asset_key.path for event in step.context.logged_events] == [["ads"]]
    of_ads, table = step.context.log.lines
    assert of_ads.startswith("warning: ads: Sync ads-1: failed (")
    assert table.startswith("info: 2 syncs have ended: 1 failed, 1 succeeded.")
    with pytest.raises(dg.Failure, match="1 of 2 syncs failed"):
        job.raise_failures()


def test_threads() -> None:
    """One sync, and syncs with a storage in memory, run in the step's own thread."""

    def threads(in_memory: bool, syncs: list[StepSync]) -> int:
        return runner(TwoApi(), FakeStep(FakeInstance(in_memory)), syncs=syncs)._threads

    assert threads(in_memory=False, syncs=two()) == 4
    assert threads(in_memory=False, syncs=two()[:1]) == 0
    assert threads(in_memory=True, syncs=two()) == 0
    assert runner(TwoApi(), syncs=two())._threads == 4


def test_run__no_table() -> None:
    """The log of one sync, and the log outside Dagster, have no table."""
    step = FakeStep()
    only(runner(ScriptedApi(**GOOD), step).run())
    outside = runner(TwoApi(), syncs=two())
    list(outside.run())

    for lines in (step.context.log.lines, outside.log.lines):  # type: ignore[attr-defined]
        assert not any("syncs are over" in line for line in lines)


# --- start and attach


def test_start() -> None:
    """A deferred sync is started, recorded with its deadline, and left to the sensor."""
    step = FakeStep()
    api = ScriptedApi()
    began = time.time()
    job = runner(api, step, is_deferred=True, policy=at_once(sync_timeout_seconds=600))

    result = only(job.start())

    assert (result.status, result.metadata, result.error) == ("started", None, None)
    assert api.operations == ["connection", "list", "start"]
    record = written(step)[-1]
    assert (record.kind, record.sync_id, record.is_deferred) == (RecordKind.WAITING, "new", True)
    assert 599 <= (record.deadline or 0) - began <= 660
    assert step.context.log.lines == [
        (
            "info: This step does not wait for sync new. A polling sensor that watches the asset "
            "reports how it ends."
        )
    ]


def test_start__started_before() -> None:
    """A deferred sync that an earlier attempt started is not started again, reported or not."""
    step = FakeStep()
    recorder_of(step).waiting("ours", "started", owned=True)
    step.instance.materialize("now", sync_id="ours")
    api = ScriptedApi(get=[sync("ours")])

    assert only(runner(api, step, is_deferred=True).start()).status == "started"
    assert "start" not in api.operations


def test_start__outside_dagster() -> None:
    """Outside Dagster a start has no earlier attempt."""
    api = ScriptedApi()

    assert only(runner(api).start()).status == "started"


def test_start__announced() -> None:
    """The sync of a start that an earlier attempt announced is looked for."""
    step = FakeStep(FakeInstance(now=time.time()))
    recorder_of(step).starting([])
    api = ScriptedApi(listed=[[sync("ours")]])

    assert only(runner(api, step, is_deferred=True).start()).status == "started"
    assert "start" not in api.operations


def test_start__failed() -> None:
    """A start that fails is a result with the error, and an observation."""
    step = FakeStep()

    result = only(runner(ScriptedApi(start=[status_error(400, "Bad.")]), step).start())

    assert (result.status, str(result.error)) == ("failed", "Bad. No sync was started.")
    assert [event.description for event in step.context.logged_events] == [
        "Bad. No sync was started."
    ]


def test_raise_failures__no_sync() -> None:
    """The failure of a step names the connection even if no sync was started."""
    job = runner(ScriptedApi(start=[status_error(400, "Bad.")]), FakeStep())
    list(job.run())

    with pytest.raises(dg.Failure) as failure:
        job.raise_failures()

    assert failure.value.metadata[MetadataKey.CONNECTION_ID].value == "crm"


def test_observation__sync_type() -> None:
    """An observation has the sync type that was asked for."""
    step = FakeStep()
    syncs = [StepSync(SyncRequest("crm", "full"), CRM)]

    list(runner(ScriptedApi(get=[sync("new", "failed")]), step, syncs=syncs).run())

    assert (
        RudderStackMetadataSet.extract(step.context.logged_events[0].metadata).sync_type == "full"
    )


def test_interrupt__after_the_end() -> None:
    """An interrupt after the end of a sync, or after a deferred start, finds nothing to stop."""
    done = runner(ScriptedApi(**GOOD), FakeStep())
    started = runner(ScriptedApi(), FakeStep(), is_deferred=True)
    policy = at_once(outage_tolerance_seconds=0)
    lost = runner(ScriptedApi(get=[status_error(500)]), FakeStep(), policy=policy)
    list(done.run())
    list(started.start())
    list(lost.run())

    assert (done._attempts, started._attempts) == ({}, {})
    assert list(lost._attempts) == ["crm"]


def test_run__reported_by_the_sensor() -> None:
    """If the sensor has reported the sync of an earlier run, a new sync is started."""
    step = FakeStep(runs=("before", "now"))
    recorder_of(earlier_run(step)).waiting("ours", "started", owned=True)
    materialization = dg.AssetMaterialization(CRM, metadata=ids(sync_id="ours"))
    step.instance.recent = [
        SimpleNamespace(timestamp=time.time(), asset_materialization=materialization)
    ]
    api = ScriptedApi(**GOOD)

    list(runner(api, step).run())

    assert "start" in api.operations


@pytest.mark.parametrize("owned", [True, False])
def test_attach(owned: bool) -> None:
    """The runner waits for a sync that is already started, and records nothing."""
    step = FakeStep()
    api = ScriptedApi(get=[sync("s"), succeeded("s")])

    result = only(runner(api, step).attach({"crm": "s"}, owned=owned))

    assert result.status == "succeeded"
    assert result.report is not None
    assert result.report.origin == ("started" if owned else "attached")
    assert (result.last_seen, result.metadata) == (result.report, None)
    assert written(step) == []


def test_attach__failed() -> None:
    """An attached sync that fails is a result with the error."""
    step = FakeStep()

    result = only(
        runner(ScriptedApi(get=[sync("s", "failed")]), step).attach({"crm": "s"}, owned=True)
    )

    assert (result.status, result.last_seen) == ("failed", sync("s", "failed"))
    assert len(step.context.logged_events) == 1


# --- results of earlier attempts


def synced_before(run_id: str, **options: Any) -> tuple[FakeStep, ScriptedApi, Runner]:
    """Return a runner whose sync was materialized by the given run."""
    step = FakeStep(runs=("before", "now"), continued_run_ids=frozenset({"before", "now"}))
    recorder_of(earlier_run(step)).waiting("ours", "started", owned=True)
    step.instance.materialize(run_id, sync_id="ours")
    api = ScriptedApi(**GOOD)
    return step, api, runner(api, step, **options)


@pytest.mark.parametrize(("run_id", "is_reported"), [("now", True), ("before", False)])
def test_earlier_result(run_id: str, is_reported: bool) -> None:
    """A sync that was materialized is not started again. A later run only materializes it again."""
    _, api, job = synced_before(run_id)

    result = only(job.run())

    assert (result.status, result.is_reported) == ("succeeded earlier", is_reported)
    assert result.metadata is not None
    assert result.metadata[MetadataKey.SYNC_ID].value == "ours"
    assert api.requests == []


def test_earlier_result__returned() -> None:
    """If the step's own code reports the results, its materializations do not count."""
    _, _, job = synced_before("before", is_returned=True)

    assert only(job.run()).status == "succeeded"


def test_earlier_result__no_asset() -> None:
    """Without an asset there is no earlier materialization."""
    _, _, job = synced_before("before", syncs=[StepSync(SyncRequest("crm"))])

    assert only(job.run()).status == "succeeded"


class Check:
    """A check with a given result."""

    def __init__(self, *, blocking: bool, passed: bool) -> None:
        self.blocking, self.passed = blocking, passed
        self.asked: list[object] = []

    def result_of_metadata(self, key: dg.AssetKey, metadata: Any) -> Any:
        """Return the result."""
        self.asked.append((key, metadata[MetadataKey.SYNC_ID].value))
        return self


@pytest.mark.parametrize(
    ("run_id", "blocking", "passed", "status"),
    [
        ("before", True, False, "succeeded"),
        ("before", True, True, "succeeded earlier"),
        ("before", False, False, "succeeded earlier"),
        ("now", True, False, "succeeded earlier"),
    ],
)
def test_earlier_result__blocked(run_id: str, blocking: bool, passed: bool, status: str) -> None:
    """After a blocking check has failed, a re-execution syncs again."""
    check: Any = Check(blocking=blocking, passed=passed)
    _, _, job = synced_before(run_id, checks=(check,))

    assert only(job.run()).status == status
    assert check.asked in ([], [(CRM, "ours")])


def test_earlier_result__one_of_many_checks() -> None:
    """If any blocking check has failed, a re-execution syncs again."""
    checks: Any = [
        Check(blocking=True, passed=True),
        Check(blocking=False, passed=False),
        Check(blocking=True, passed=False),
    ]
    _, _, job = synced_before("before", checks=checks)

    assert only(job.run()).status == "succeeded"


def test_rejected_rows_check__fake() -> None:
    """The check on rejected rows has the attributes of the fake one."""
    check = RejectedRowsCheck(severity="ERROR", blocking=True)

    assert check.blocking
    assert check.result_of_metadata(CRM, {}).asset_key == CRM


# --- interrupts


def running_api() -> ScriptedApi:
    return ScriptedApi(get=[sync("new")], listed=[[], [sync("new")]])


def cancel_when_running(step: FakeStep, api: ScriptedApi) -> None:
    step.canceled = lambda: "get" in api.operations


def test_canceled__no_interrupt() -> None:
    """If the run is canceled without an interrupt, the sync is stopped and observed, and the step
    ends."""
    step, api = FakeStep(), running_api()
    cancel_when_running(step, api)

    with pytest.raises(RunEndedError) as error:
        list(runner(api, step, policy=SyncPolicy(), link_template=LINK).run())

    assert str(error.value) == (
        f"The run was canceled. Sync new of connection {NAME}: RudderStack was asked to stop it."
    )
    assert isinstance(error.value.__cause__, dg.DagsterExecutionInterruptedError)
    assert api.operations.count("stop") == 1
    (observation,) = step.context.logged_events
    assert observation.description == (
        f"Sync new of connection {NAME} was stopped because the run was canceled."
    )
    assert observation.metadata[MetadataKey.SYNC_ID].value == "new"
    assert written(step)[-1].kind is RecordKind.STOP_REQUESTED


def test_canceled__before_the_step() -> None:
    """A step of a canceled run starts nothing, and stops the sync of an earlier attempt."""
    step, api = FakeStep(), ScriptedApi(get=[sync("ours")], listed=[[sync("ours")]])
    recorder_of(step).waiting("ours", "started", owned=True)
    step.canceled = lambda: True

    with pytest.raises(RunEndedError, match="Sync ours of connection") as error:
        list(runner(api, step).run())

    assert api.operations == ["list", "get", "stop"]
    assert error.value.__cause__ is None


@pytest.mark.parametrize("owned", [True, False])
def test_canceled__before_an_attach(owned: bool) -> None:
    """In a canceled run, a sync to attach to is stopped only if the run started it."""
    step = FakeStep(canceled=lambda: True)
    api = ScriptedApi(get=[sync("s")], listed=[[sync("s")]])

    with pytest.raises(RunEndedError):
        list(runner(api, step).attach({"crm": "s"}, owned=owned))

    assert ("stop" in api.operations) is owned


class Interrupting(ScriptedApi):
    """An API that interrupts the step."""

    interrupt: BaseException = KeyboardInterrupt()

    def get_sync(self, connection_id: str, sync_id: str) -> Any:
        """Return a running sync, or interrupt once."""
        answer = super().get_sync(connection_id, sync_id)
        if self.operations.count("get") == 1:
            raise self.interrupt
        return answer


@pytest.mark.parametrize(
    ("stop_when", "canceled", "stops"),
    [
        ("run_canceled", False, 0),
        ("run_canceled", True, 1),
        ("always", False, 1),
        ("never", True, 0),
    ],
)
def test_interrupt(stop_when: str, canceled: bool, stops: int) -> None:
    """An interrupt stops the sync or leaves it, as the settings say."""
    step = FakeStep()
    api = Interrupting(get=[sync("new")], listed=[[], [sync("new")]])
    step.canceled = lambda: canceled and "get" in api.operations

    with pytest.raises((KeyboardInterrupt, RunEndedError)) as error:
        list(runner(api, step, stop_when=stop_when).run())

    assert isinstance(error.value, RunEndedError) is canceled
    assert api.operations.count("stop") == stops
    cause = "its step was interrupted" if stop_when == "always" else "the run was canceled"
    assert [event.description for event in step.context.logged_events] == [
        f"Sync new of connection {NAME} was stopped because {cause}."
    ] * stops
    left = f"info: Interrupted. Sync new of connection {NAME} is left running: a retry of this "
    assert any(line.startswith(left) for line in step.context.log.lines) is (not stops)


def test_interrupt__no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the time is up before the interrupt is handled, it still ends the step."""
    monkeypatch.setattr(runner_module, "shielded", lambda _work, **_options: None)
    api = Interrupting(get=[sync("new")])

    with pytest.raises(KeyboardInterrupt) as error:
        list(runner(api, FakeStep()).run())

    assert error.value is api.interrupt


def test_interrupt__halt_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an interrupt the scheduler is halted, and only then are syncs stopped."""
    calls: list[object] = []
    halt = Scheduler.halt

    def noted_halt(scheduler: Scheduler[Any, Any], seconds: float = 0.0) -> bool:
        calls.append(seconds)
        return halt(scheduler, seconds)

    class Stopping(Interrupting):
        def stop_sync(self, connection_id: str) -> None:
            super().stop_sync(connection_id)
            calls.append("stop")

    monkeypatch.setattr(Scheduler, "halt", noted_halt)
    api = Stopping(get=[sync("new")], listed=[[], [sync("new")]])

    with pytest.raises(KeyboardInterrupt):
        list(runner(api, FakeStep(), stop_when="always").run())

    assert calls[:2] == [runner_module.HALT_SECONDS, "stop"]


@pytest.mark.parametrize(("stop_when", "stops"), [("always", 1), ("run_canceled", 0)])
def test_interrupt__outside_dagster(stop_when: str, stops: int) -> None:
    """Outside Dagster the interrupt is raised, and the log says what happened to the sync."""
    api = Interrupting(get=[sync("new")], listed=[[], [sync("new")]])
    job = runner(api, stop_when=stop_when)

    with pytest.raises(KeyboardInterrupt) as error:
        list(job.run())

    assert error.value is api.interrupt
    assert api.operations.count("stop") == stops
    what = ": RudderStack was asked to stop it." if stops else " is left running. To stop it, run"
    line = job.log.lines[-1]  # type: ignore[attr-defined]
    assert line.startswith(f"warning: Interrupted. Sync new of connection {NAME}{what}")


def test_interrupt__outside_dagster_before_the_start() -> None:
    """While another client's sync is waited for, the log says that nothing was started."""
    job = runner(Interrupting(listed=[[sync("theirs")]], get=[sync("theirs")]))

    with pytest.raises(KeyboardInterrupt):
        list(job.run())

    assert job.log.lines[-1] == (  # type: ignore[attr-defined]
        f"warning: Interrupted. This call has started no sync of connection {NAME}. Sync theirs of "
        f"connection {NAME}, which was already running, goes on."
    )


def test_interrupt__outside_dagster_lost_start() -> None:
    """If a start has no answer yet, the log names the connection, since the sync has no id."""

    class Cut(ScriptedApi):
        def start_sync(self, connection_id: str, sync_type: str | None = None) -> str:
            super().start_sync(connection_id, sync_type)
            raise KeyboardInterrupt

    job = runner(Cut(), stop_when="never")

    with pytest.raises(KeyboardInterrupt):
        list(job.run())

    assert job.log.lines[-1] == (  # type: ignore[attr-defined]
        "warning: Interrupted. RudderStack had not answered the start, so a sync of connection "
        f"{NAME} may be running. Look in RudderStack's dashboard."
    )


def test_interrupt__before_the_first_request() -> None:
    """An interrupt before the first request finds the sync of an earlier attempt."""
    step, api = FakeStep(), ScriptedApi(get=[sync("ours")], listed=[[sync("ours")]])
    recorder_of(step).waiting("ours", "started", owned=True)
    job = runner(api, step, stop_when="always")
    asked: list[bool] = []

    def canceled() -> bool:
        asked.append(True)
        return len(asked) != 1

    step.canceled = canceled
    job._run_one = lambda _: _interrupted()  # type: ignore[method-assign,assignment,return-value]

    with pytest.raises((RunEndedError, KeyboardInterrupt)):
        list(job.run())

    assert "stop" in api.operations


def _interrupted() -> Iterator[float]:
    raise KeyboardInterrupt
    yield 0.0


class OneRuns(TwoApi):
    """The sync of `crm` succeeds at once, and that of `ads` never ends."""

    def get_sync(self, connection_id: str, sync_id: str) -> Any:
        """Return a sync."""
        self.requests.append(("get", connection_id, sync_id))
        return sync(sync_id, "running" if connection_id == "ads" else "succeeded")

    def list_syncs(self, connection_id: str, *, per_page: int, limit: int) -> Any:
        """Return the sync that was started."""
        started = ("start", connection_id, None) in self.requests
        super().list_syncs(connection_id, per_page=per_page, limit=limit)
        return [sync(f"{connection_id}-1")] if started else []


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Return whether a condition becomes true within some seconds."""
    give_up_at = time.monotonic() + seconds
    while not condition() and time.monotonic() < give_up_at:
        time.sleep(0.01)
    return condition()


def monitors() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "rudderstack-interrupts"]


def test_dropped() -> None:
    """If Dagster drops a step while it stores a result, the running syncs are stopped."""
    step, api = FakeStep(), OneRuns()
    results = runner(api, step, syncs=two(), stop_when="always").run()

    assert next(results).sync.name == "crm"
    results.close()  # type: ignore[attr-defined]

    assert [request for request in api.requests if request[0] == "stop"] == [("stop", "ads")]
    assert [event.description for event in step.context.logged_events] == [
        "Sync ads-1 of connection ads was stopped because its step was interrupted or ended early."
    ]
    assert wait_for(lambda: not monitors())


def test_interrupt__deferred() -> None:
    """If a step is interrupted after it has started a deferred sync, the log names the sync."""
    step, api = FakeStep(), ScriptedApi(start=["new", KeyboardInterrupt()])
    job = runner(api, step, syncs=two(), is_deferred=True)

    with pytest.raises(KeyboardInterrupt):
        list(job.start())

    left = [line for line in step.context.log.lines if line.startswith("info: Interrupted.")]
    assert left[0] == (
        "info: Interrupted. Sync new of connection ads is left running. The polling sensor that "
        "watches the asset reports how it ends."
    )


def test_dropped__run_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a yield does not return while the run ends, the running syncs are stopped once."""
    monkeypatch.setattr(interrupts, "CHECK_SECONDS", 0.02)
    monkeypatch.setattr(interrupts, "SUSPICIOUS_SECONDS", 0.1)
    step, api = FakeStep(FakeInstance(is_ephemeral=False), ending=lambda: True), OneRuns()
    results = runner(api, step, syncs=two(), stop_when="always").run()

    assert next(results).sync.name == "crm"

    assert wait_for(lambda: "stop" in api.operations)
    results.close()  # type: ignore[attr-defined]
    assert api.operations.count("stop") == 1
    assert [event.description for event in step.context.logged_events] == [
        "Sync ads-1 of connection ads was stopped because its step was interrupted."
    ]
    assert wait_for(lambda: not monitors())


def test_dropped__sync_left_running() -> None:
    """If a step is dropped with its last result, the log names a sync that may be running."""
    step, api = FakeStep(), ScriptedApi(get=[status_error(503)])
    results = runner(api, step, policy=at_once(outage_tolerance_seconds=0)).run()

    assert next(results).status == "lost"
    results.close()  # type: ignore[attr-defined]

    (left,) = (line for line in step.context.log.lines if "Interrupted" in line)
    assert left.startswith(f"info: Interrupted, or ended early. Sync new of connection {NAME} is")


def test_dropped__resumed_sync_has_ended() -> None:
    """If a step is dropped, a resumed sync whose result is known is not looked for again."""
    step, api = FakeStep(), OneRuns()
    recorder_of(step).waiting("crm-0", "started", owned=True)
    results = runner(api, step, syncs=two()).run()

    assert next(results).sync.name == "crm"
    results.close()  # type: ignore[attr-defined]

    assert [line for line in step.context.log.lines if "connection crm" in line] == []


@pytest.mark.parametrize(("in_memory", "ending"), [(True, True), (False, False)])
def test_dropped__slow_yield(
    monkeypatch: pytest.MonkeyPatch, in_memory: bool, ending: bool
) -> None:
    """A slow yield does not end a step while its run goes on. A storage in memory is not read."""
    monkeypatch.setattr(interrupts, "CHECK_SECONDS", 0.02)
    monkeypatch.setattr(interrupts, "SUSPICIOUS_SECONDS", 0.1)
    step, api = FakeStep(FakeInstance(in_memory), ending=lambda: ending), OneRuns()
    results = runner(api, step, syncs=two()).run()

    assert next(results).sync.name == "crm"
    time.sleep(0.4)

    assert "Interrupted" not in "".join(step.context.log.lines)
    results.close()  # type: ignore[attr-defined]


def test_monitor__one_sync() -> None:
    """After the last result there is nothing to stop, so no monitor is started."""
    assert wait_for(lambda: not monitors()), "that of an earlier test does not end"
    results = runner(ScriptedApi(**GOOD), FakeStep()).run()

    assert next(results).status == "succeeded"

    assert monitors() == []
    assert list(results) == []


def test_dropped__outside_dagster() -> None:
    """Outside Dagster, closing the results stops nothing."""
    api = OneRuns()
    results = runner(api, syncs=two(), stop_when="always").run()

    assert next(results).sync.name == "crm"
    results.close()  # type: ignore[attr-defined]

    assert "stop" not in api.operations
    assert wait_for(lambda: not monitors())


@pytest.mark.parametrize("options", [{}, {"owned": False}])
def test_interrupt__before_attached_sync_is_read(options: dict[str, bool]) -> None:
    """A sync of another client that was not read yet is left running, and the log names it."""
    step = FakeStep()
    api = Interrupting(get=[sync("s")], listed=[[sync("s")]])

    with pytest.raises(KeyboardInterrupt):
        list(runner(api, step, stop_when="always").attach({"crm": "s"}, **options))

    assert "stop" not in api.operations
    assert step.context.log.lines[-1] == (
        f"info: Interrupted. Sync s of connection {NAME}: it was left running, since another "
        "client started it."
    )


def test_run__lost_start() -> None:
    """If each start is lost, nothing is observed, since a sync may be running."""
    step = FakeStep()
    policy = at_once(outage_tolerance_seconds=0)
    api = ScriptedApi(start=[cut_off()], listed=[[], status_error(500)])

    result = only(runner(api, step, policy=policy).run())

    assert result.status == "lost"
    assert step.context.logged_events == []

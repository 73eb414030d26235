"""Runs of sources in a step: several assets of one run, records, interrupts and the summary."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    MetadataKey,
    RudderStackMetadataSet,
    RudderStackResource,
    SyncFailedError,
)
from dagster_rudderstack.step import interrupts
from dagster_rudderstack.step.dagster_step import current_step
from dagster_rudderstack.step.interrupts import Interruption, StopSettings
from dagster_rudderstack.step.results import StepSync, SyncResult
from dagster_rudderstack.step.summary import failure_of, summary_row, summary_text
from dagster_rudderstack.sync.choices import RunChoices
from dagster_rudderstack.sync.request import RunRequest, SourceRunReport
from dagster_rudderstack.sync.start import resume_or_start
from dagster_rudderstack.testing import Fault, LocalRudderStack, RunScript
from dagster_rudderstack_tests.step.fakes import FakeStep, as_step
from dagster_rudderstack_tests.step.world import (
    failure,
    failure_metadata,
    log_lines,
    materialized,
    record_kinds,
    records,
    resource_of,
)
from dagster_rudderstack_tests.sync.scripted import ScriptedApi, script, sync

SOURCE = "features"
BRIEF = RunScript(duration_seconds=0.2)
RETRY = dg.RetryPolicy(max_retries=1)
ASSETS = ("users", "orders")
ON_LOST_START = "TEST_ON_LOST_START"
"""Read when the step begins, since Dagster reads the code of a job once."""


@pytest.fixture
def instance(stored_instance: dg.DagsterInstance) -> dg.DagsterInstance:
    """An instance with storage, from which a later attempt reads what an earlier one wrote."""
    return stored_instance


def features(kills: Sequence[int] = ()) -> dg.AssetsDefinition:
    """Return a step that runs a source, and reports the run on two assets.

    Args:
        kills: For each attempt, after how many materializations its worker is killed.
    """
    left = list(kills)

    @dg.multi_asset(
        specs=[dg.AssetSpec(name, skippable=True) for name in ASSETS],
        name="features",
        retry_policy=RETRY,
    )
    def features(
        context: dg.AssetExecutionContext, rudderstack: RudderStackResource
    ) -> Iterator[dg.MaterializeResult[Any]]:
        kill_after = left.pop(0) if left else len(ASSETS) + 1
        keys = [dg.AssetKey(name) for name in ASSETS]
        sync = StepSync.of(RunRequest(SOURCE, ("--rebase_incremental",)), keys)
        on_lost_start: Any = os.environ.get(ON_LOST_START)
        policy = rudderstack.sync_policy(RunChoices(on_lost_start=on_lost_start))
        runner = rudderstack.runner(current_step(context), [sync], policy)
        for result in runner.run():
            for key in result.sync.keys if result.metadata and not result.is_reported else ():
                if key in result.reported_keys:
                    continue
                yield dg.MaterializeResult(asset_key=key, metadata=result.metadata)
                kill_after -= 1
                if kill_after == 0:
                    raise dg.Failure("The worker was killed.")
        runner.raise_failures()

    return features


def run(
    asset: dg.AssetsDefinition,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
) -> dg.ExecuteInProcessResult:
    """Materialize the assets."""
    resources = {"rudderstack": rudderstack}
    return dg.materialize([asset], instance=instance, resources=resources, raise_on_error=False)


def run_ids(result: dg.ExecuteInProcessResult) -> set[object]:
    """Return the run ids of the materializations."""
    return {
        event.materialization.metadata[MetadataKey.RUN_ID].value
        for event in result.get_asset_materialization_events()
    }


def observations(instance: dg.DagsterInstance) -> list[tuple[str, str | None, object]]:
    """Return the asset, the reason and the run id of each observation, the oldest first."""
    return [
        (name, seen.description, run_id.value if run_id else None)
        for name in ASSETS
        for record in reversed(instance.fetch_observations(dg.AssetKey(name), limit=10).records)
        if (seen := record.asset_observation) is not None
        for run_id in [seen.metadata.get(MetadataKey.RUN_ID)]
    ]


# --- several assets of one run


def test_several_assets(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """One run is reported on each of its assets, with its ids, its parameters and its origin."""
    server.add_project(SOURCE, BRIEF)

    result = run(features(), rudderstack, instance)

    (built,) = server.runs(SOURCE)
    assert materialized(result) == ["users", "orders"]
    for event in result.get_asset_materialization_events():
        metadata = event.materialization.metadata
        assert metadata[MetadataKey.RUN_ID].value == built.id
        assert metadata[MetadataKey.SOURCE_ID].value == SOURCE
        assert metadata[MetadataKey.PARAMETERS].value == "--rebase_incremental"
        assert RudderStackMetadataSet.extract(metadata).origin == "started"
        assert metadata[MetadataKey.STATUS].value == "finished"
        assert MetadataKey.CONNECTION_ID not in metadata
        assert MetadataKey.SYNC_ID not in metadata


def test_several_assets__killed_after_one(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A retry of a worker that was killed after one of two assets reports only the other one, with
    the same run."""
    server.add_project(SOURCE, BRIEF)

    result = run(features([1]), rudderstack, instance)

    assert result.success
    assert materialized(result) == ["users", "orders"]
    assert run_ids(result) == {server.runs(SOURCE)[0].id}
    assert len(server.run_starts(SOURCE)) == 1


def test_several_assets__killed_after_all(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A retry of a worker that was killed after all assets starts nothing and reports nothing."""
    server.add_project(SOURCE, BRIEF)

    result = run(features([2]), rudderstack, instance)

    assert result.success
    assert materialized(result) == ["users", "orders"]
    assert len(server.run_starts(SOURCE)) == 1


def test_several_assets__killed_before(
    server: LocalRudderStack, instance: dg.DagsterInstance
) -> None:
    """A retry of a worker that lost the run resumes it by its id, without the newest run."""
    server.add_project(SOURCE, BRIEF, legacy_status=False)
    server.add_fault(Fault("status", operation="get_run"))
    rudderstack = resource_of(server, outage_tolerance_seconds=0)

    result = run(features(), rudderstack, instance)

    assert result.success
    assert run_ids(result) == {server.runs(SOURCE)[0].id}
    origins = [
        RudderStackMetadataSet.extract(event.materialization.metadata).origin
        for event in result.get_asset_materialization_events()
    ]
    assert origins == ["resumed", "resumed"]
    assert len(server.run_starts(SOURCE)) == 1


def test_several_assets__failed(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """Each failed run is one observation on each of its assets. A retry starts a new run."""
    server.add_project(SOURCE, RunScript(error="no such table"))

    result = run(features(), rudderstack, instance)

    assert not result.success
    assert materialized(result) == []
    first, second = [run.id for run in server.runs(SOURCE)]
    found = observations(instance)
    assert [(asset, run_id) for asset, _, run_id in found] == [
        ("users", first),
        ("users", second),
        ("orders", first),
        ("orders", second),
    ]
    assert all("no such table" in (reason or "") for _, reason, _ in found)
    assert failure_metadata(result)[MetadataKey.STATUS].value == "finished"
    assert failure_metadata(result)[MetadataKey.RUN_ID].value == second
    assert failure_metadata(result)[MetadataKey.SOURCE_ID].value == SOURCE


def test_lost_start(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """A lost start fails the step without a retry, and is one observation on each asset."""
    server.add_project(SOURCE, BRIEF, legacy_status=False)
    server.add_fault(Fault("reset", operation="start_run", effect=True))
    rudderstack = resource_of(server, start_settling_seconds=0)

    result = run(features(), rudderstack, instance)

    assert "It is unknown whether a run of source features was started" in failure(result)
    assert [(asset, run_id) for asset, _, run_id in observations(instance)] == [
        ("users", None),
        ("orders", None),
    ]
    assert len(server.run_starts(SOURCE)) == 1
    assert record_kinds(instance) == ["starting"]


def reexecutable() -> dg.JobDefinition:
    """Return the job of the step, which reads its settings from environment variables."""
    rudderstack = RudderStackResource(
        access_token=dg.EnvVar("RUDDERSTACK_ACCESS_TOKEN"),
        api_url=dg.EnvVar("RUDDERSTACK_API_URL"),
        poll_min_interval_seconds=0.05,
        start_settling_seconds=0,
    )
    definitions = dg.Definitions(
        assets=[features()],
        jobs=[dg.define_asset_job("everything", executor_def=dg.in_process_executor)],
        resources={"rudderstack": rudderstack},
    )
    return definitions.resolve_job_def("everything")


def execute(
    instance: dg.DagsterInstance, failed: dg.JobExecutionResult | None = None
) -> dg.JobExecutionResult:
    """Run the job, or re-execute a failed run."""
    again = dg.ReexecutionOptions.from_failure(failed.run_id, instance) if failed else None
    with dg.execute_job(
        dg.reconstructable(reexecutable), instance=instance, reexecution_options=again
    ) as result:
        return result


@pytest.mark.parametrize("choice", ["fail", "start_again"])
def test_lost_start__reexecuted(
    server: LocalRudderStack,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    choice: str,
) -> None:
    """A re-execution of a run whose start was lost fails again, or starts it again if that does no
    harm. A new Dagster run starts it."""
    monkeypatch.setenv("RUDDERSTACK_ACCESS_TOKEN", server.access_token)
    monkeypatch.setenv("RUDDERSTACK_API_URL", server.url)
    server.add_project(SOURCE, BRIEF, legacy_status=False)
    server.add_fault(Fault("reset", operation="start_run"))
    failed = execute(instance)
    monkeypatch.setenv(ON_LOST_START, choice)

    again = execute(instance, failed)

    assert not failed.success
    assert again.success is (choice == "start_again")
    assert execute(instance).success


# --- records


def test_records(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """The records of a run have its source, its parameters and its id, and the page of the Dagster
    run shows them in words."""
    server.add_project(SOURCE, BRIEF)
    linked = resource_of(server, run_dashboard_url="https://app.example/{source_id}/{run_id}")

    result = run(features(), linked, instance)

    (built,) = server.runs(SOURCE)
    starting, waiting = records(instance)
    assert (starting.connection_id, starting.sync_type) == (SOURCE, "--rebase_incremental")
    assert (waiting.sync_id, waiting.owned) == (built.id, True)
    engine = [
        entry
        for entry in instance.all_logs(result.run_id, dg.DagsterEventType.ENGINE_EVENT)
        if entry.dagster_event and built.id in str(entry.dagster_event.message)
    ]
    (entry,) = engine
    assert entry.dagster_event is not None
    assert entry.dagster_event.message == (
        f"Started run {built.id} of source features (--rebase_incremental)."
    )
    metadata = entry.dagster_event.engine_event_data.metadata
    assert metadata[MetadataKey.RUN_ID].value == built.id
    assert metadata[MetadataKey.SOURCE_ID].value == SOURCE
    assert metadata[MetadataKey.LINK].value == f"https://app.example/features/{built.id}"
    assert MetadataKey.CONNECTION_ID not in metadata
    assert any(f"Run {built.id}: finished" in line for line in log_lines(instance, result.run_id))


# --- an interrupt


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the waits that otherwise take seconds."""
    monkeypatch.setattr(interrupts, "STATUS_PAUSE_SECONDS", 0.01)


@pytest.mark.parametrize("when", ["run_canceled", "always", "never"])
@pytest.mark.usefixtures("soon")
def test_interrupt(when: Any) -> None:
    """If the Dagster run is canceled, its run goes on in RudderStack, and the log says so."""
    step = FakeStep(canceled=lambda: True)
    scripted = script(request=RunRequest(SOURCE, (), "Features"))
    scripted.attempt.wait_on("r1", "started", owned=True)
    stopped: list[object] = []
    api = ScriptedApi(get=[sync("r1")])

    end = Interruption(
        as_step(step),
        [scripted.attempt],
        StopSettings(when, lambda: api),
        on_stopped=lambda *seen: stopped.append(seen),
    ).handle()

    goes_on = "it goes on in RudderStack, which offers no way to stop a run."
    left = "is left running: a retry of this Dagster run resumes it."
    says = f" {left}" if when == "never" else f": {goes_on}"
    assert end.sentences == [f"Run r1 of source Features (features){says}"]
    assert step.context.log.lines == [f"info: Interrupted. {end.sentences[0]}"]
    assert (api.operations, stopped) == ([], [])


@pytest.mark.usefixtures("soon")
def test_interrupt__lost_start() -> None:
    """If an interrupt comes while the run is started, the log says that it may run."""
    step = FakeStep(canceled=lambda: True)
    scripted = script(request=RunRequest(SOURCE), start=[KeyboardInterrupt()])
    with pytest.raises(KeyboardInterrupt):
        scripted.run(resume_or_start)

    end = Interruption(
        as_step(step), [scripted.attempt], StopSettings("always", ScriptedApi)
    ).handle()

    assert end.sentences == [
        "A run of source features may have been started. RudderStack offers no way to stop a run."
    ]


# --- several runs in one step


def ended(name: str, error: str | None = None) -> SyncResult:
    """Return the result of a run."""
    request = RunRequest(name, (), f"Project {name}")
    report = SourceRunReport(id=f"{name}-1", status="finished", source_id=name)
    if error is None:
        return SyncResult(StepSync(request), "finished", report=report, last_seen=report)
    failed = request.error(SyncFailedError, error, report)
    return SyncResult(StepSync(request), "failed", last_seen=report, error=failed)


def test_summary() -> None:
    """The summary of several runs speaks of runs and sources."""
    rows = [summary_row(ended("a")), summary_row(ended("b", "Run b-1 failed."))]

    text = summary_text(rows)
    failed = failure_of(rows[1:], 2, None)

    assert text.startswith("2 runs have ended: 1 failed, 1 finished.\n")
    assert text.splitlines()[1].split() == ["asset", "source", "run", "status", "duration"]
    assert "sync" not in text
    assert failed.description == (
        "1 of 2 runs failed. The other run is not affected.\n"
        "- Project b (b) (source Project b (b)): Run b-1 failed."
    )
    table = failed.metadata[MetadataKey.FAILED_SYNCS]
    assert isinstance(table, dg.TableMetadataValue)
    assert table.records[0].data["source"] == "Project b (b)"
    assert table.records[0].data["run"] == "b-1"


def test_several_runs(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """Several sources run at once in one step, and one that fails does not hide the others."""
    server.add_project("a", BRIEF)
    server.add_project("b", RunScript(error="no such table"))

    @dg.op
    def both(context: dg.OpExecutionContext, rudderstack: RudderStackResource) -> None:
        requests = [RunRequest("a"), RunRequest("b")]
        rudderstack.runs_in_step(context, requests, RunChoices())

    @dg.job(resource_defs={"rudderstack": rudderstack})
    def job() -> None:
        both()

    result = job.execute_in_process(instance=instance, raise_on_error=False)

    assert failure(result).startswith("1 of 2 runs failed. The other run is not affected.\n- b")
    assert [run.status for run in server.runs()] == ["finished", "finished"]
    (summary,) = [line for line in log_lines(instance, result.run_id) if "have ended" in line]
    assert summary.startswith("2 runs have ended: 1 failed, 1 finished.")
    assert [line.split()[3] for line in summary.splitlines()[2:]] == ["failed", "finished"]

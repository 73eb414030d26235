"""What a later attempt of a step does about the run that an earlier one started."""

import os
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    MetadataKey,
    RudderStackMetadataSet,
    RudderStackResource,
    build_rudderstack_profiles_asset,
    build_rudderstack_source_asset,
)
from dagster_rudderstack.source_runs import assets
from dagster_rudderstack.testing import Fault, LocalRudderStack, RunScript
from dagster_rudderstack_tests.definitions.source_runs import run_ids
from dagster_rudderstack_tests.step.world import failure, materialized, resource_of, run, when

RETRY = dg.RetryPolicy(max_retries=1)
FAILED = RunScript(error="no such table")
BRIEF = RunScript(duration_seconds=0.3)
OUTAGE = Fault("status", operation="get_run", status=503)


@pytest.fixture
def instance(stored_instance: dg.DagsterInstance) -> dg.DagsterInstance:
    """An instance with storage, from which a later attempt reads what an earlier one wrote."""
    return stored_instance


def features(retry_policy: dg.RetryPolicy | None = RETRY) -> dg.AssetsDefinition:
    """Return a project that builds two assets."""
    return build_rudderstack_profiles_asset(
        source_id="project", specs=["users", "accounts"], retry_policy=retry_policy
    )


def test_step_retry__failed_run(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """After a failed run, the retry of the step starts a new one."""
    server.add_project("project")
    server.script_next_runs("project", FAILED)

    result = run([features()], rudderstack, instance)

    failed, good = server.runs("project")
    assert result.success
    assert failed.error == "no such table"
    assert run_ids(result) == {"users": good.id, "accounts": good.id}


def test_step_retry__running_run(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """The retry of a step that could no longer poll its run resumes that run."""
    server.add_project("project", BRIEF)
    server.add_fault(OUTAGE)

    result = run([features()], resource_of(server, outage_tolerance_seconds=0), instance)

    (only,) = server.runs("project")
    assert run_ids(result) == {"users": only.id, "accounts": only.id}
    origins = [
        RudderStackMetadataSet.extract(event.materialization.metadata).origin
        for event in result.get_asset_materialization_events()
    ]
    assert origins == ["resumed", "resumed"]


@pytest.fixture
def killed_after_the_first_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first attempt of a step ends when its first output is stored."""
    outputs = assets._materializations
    left = [OSError("the worker was killed")]

    def interrupted(*arguments: Any) -> Iterator[Any]:
        for output in outputs(*arguments):
            yield output
            if left:
                raise left.pop()

    monkeypatch.setattr(assets, "_materializations", interrupted)


@pytest.mark.usefixtures("killed_after_the_first_output")
def test_step_retry__killed_between_two_outputs(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A retry materializes only what the first attempt has not, and starts no other run."""
    server.add_project("project")

    @dg.asset(deps=["users", "accounts"])
    def audience() -> None: ...

    result = run([features(), audience], rudderstack, instance)

    (only,) = server.runs("project")
    assert result.success
    assert materialized(result) == ["users", "accounts", "audience"]
    for key in ("users", "accounts"):
        (record,) = instance.fetch_materializations(dg.AssetKey(key), limit=10).records
        assert record.asset_materialization
        assert record.asset_materialization.metadata[MetadataKey.RUN_ID].value == only.id


def test_cancel(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """If a person cancels the Dagster run, the step says that the run goes on in RudderStack."""
    server.add_project("project", RunScript(never_ends=True))

    def cancel() -> None:
        (started,) = instance.get_runs()
        instance.report_run_canceled(started)

    with when(lambda: bool(server.runs("project")), cancel):
        result = run([features()], rudderstack, instance)

    assert "The run was canceled." in failure(result)
    assert "of source project: it goes on in RudderStack" in failure(result)
    assert [each.running for each in server.runs("project")] == [True]
    assert len(server.run_starts()) == 1


def test_partition__other_partition(
    server: LocalRudderStack,
    instance: dg.DagsterInstance,
    rudderstack: RudderStackResource,
) -> None:
    """The run of a partition does not resume the run of another partition."""
    server.add_project("project")
    asset = build_rudderstack_profiles_asset(
        source_id="project", specs=["a"], partitions_def=dg.DailyPartitionsDefinition("2026-01-01")
    )

    ids = [
        run_ids(run([asset], rudderstack, instance, partition_key=day))["a"]
        for day in ("2026-01-05", "2026-01-06")
    ]

    assert ids == [each.id for each in server.runs("project")]


def reexecutable() -> dg.JobDefinition:
    """Return the job of the tests of re-execution. Environment variables name its server."""

    @dg.asset
    def upstream() -> None: ...

    tables = build_rudderstack_source_asset(
        source_id="stripe", specs=["customers", "charges"], deps=[upstream]
    )
    resource = RudderStackResource(
        access_token=dg.EnvVar("TEST_TOKEN"),
        api_url=dg.EnvVar("TEST_URL"),
        outage_tolerance_seconds=dg.EnvVar.int("TEST_TOLERANCE"),
        start_settling_seconds=0,
        poll_min_interval_seconds=0.05,
        poll_max_interval_seconds=0.05,
    )
    definitions = dg.Definitions(
        [upstream, tables],
        jobs=[dg.define_asset_job("load", [tables]), dg.define_asset_job("all", "*")],
        resources={"rudderstack": resource},
    )
    return definitions.resolve_job_def(os.environ.get("TEST_JOB", "load"))


def run_job(instance: dg.DagsterInstance, parent: str | None = None) -> dg.JobExecutionResult:
    """Run the job, or re-execute a parent run from its failure."""
    options = dg.ReexecutionOptions.from_failure(parent, instance) if parent else None
    return dg.execute_job(
        dg.reconstructable(reexecutable),
        instance=instance,
        reexecution_options=options,
        run_config={"execution": {"config": {"in_process": {}}}},
    )


@pytest.fixture
def job_server(server: LocalRudderStack, monkeypatch: pytest.MonkeyPatch) -> LocalRudderStack:
    """The server of the job. Its resource tolerates no outage."""
    monkeypatch.setenv("TEST_TOKEN", server.access_token)
    monkeypatch.setenv("TEST_URL", server.url)
    monkeypatch.setenv("TEST_TOLERANCE", "0")
    return server


def test_reexecution__running_run(
    job_server: LocalRudderStack, instance: dg.DagsterInstance
) -> None:
    """A re-execution from failure resumes the run that the failed Dagster run has started."""
    job_server.add_project("stripe", BRIEF)
    job_server.add_fault(OUTAGE)
    with run_job(instance) as first:
        assert not first.success

    with run_job(instance, first.run_id) as again:
        (only,) = job_server.runs("stripe")
        assert run_ids(again) == {"customers": only.id, "charges": only.id}


def test_reexecution__failed_run(
    job_server: LocalRudderStack, instance: dg.DagsterInstance
) -> None:
    """A re-execution after a failed run starts a new one."""
    job_server.add_project("stripe")
    job_server.script_next_runs("stripe", FAILED)
    with run_job(instance) as first:
        assert "no such table" in failure(first)

    with run_job(instance, first.run_id) as again:
        (_, good) = job_server.runs("stripe")
        assert run_ids(again) == {"customers": good.id, "charges": good.id}


def test_reexecution__lost_start(
    job_server: LocalRudderStack, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A re-execution of all steps, upstream assets included, does not send a lost start again."""
    monkeypatch.setenv("TEST_JOB", "all")
    job_server.add_project("stripe", legacy_status=False)
    job_server.add_fault(Fault("close", operation="start_run", effect=True))
    with run_job(instance) as first:
        assert "launch a new Dagster run" in failure(first)

    options = dg.ReexecutionOptions(parent_run_id=first.run_id)
    with dg.execute_job(
        dg.reconstructable(reexecutable), instance=instance, reexecution_options=options
    ) as again:
        assert not again.success
    assert len(job_server.runs("stripe")) == 1

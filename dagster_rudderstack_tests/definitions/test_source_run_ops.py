"""Ops that run Profiles projects and ETL sources."""

from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    InvalidSettingError,
    MetadataKey,
    RudderStackProfilesConfig,
    RudderStackResource,
    SourceRunReport,
    build_rudderstack_profiles_op,
    build_rudderstack_source_op,
)
from dagster_rudderstack.testing import LocalRudderStack, RunScript
from dagster_rudderstack_tests.definitions.source_runs import bodies, run_ids
from dagster_rudderstack_tests.step.world import failure

IDS = ["a", "b", "c"]
FAILED = RunScript(error="no such table")
RETRY = dg.RetryPolicy(max_retries=1)


def job_of(op: dg.OpDefinition, rudderstack: RudderStackResource) -> dg.JobDefinition:
    @dg.job(resource_defs={"rudderstack": rudderstack})
    def load() -> None:
        op()

    return load


def test_profiles(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """The output of the op is the report of the run, and the op materializes its asset."""
    server.add_project("project")
    op = build_rudderstack_profiles_op(
        source_id="project", asset_key=["features", "users"], model_refs=["models/users"]
    )

    result = job_of(op, rudderstack).execute_in_process(instance=instance)

    report: SourceRunReport = result.output_for_node("rudderstack_profiles_project")
    assert (report.source_id, report.status) == ("project", "finished")
    assert report.parameters == ("--model_refs models/users",)
    assert run_ids(result) == {"features/users": report.id}
    (output,) = (event for event in result.all_events if event.is_successful_output)
    assert output.step_output_data.metadata[MetadataKey.RUN_ID].value == report.id


def test_etl(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """The output for one source is its report."""
    server.add_project("stripe")
    op = build_rudderstack_source_op(source_id="stripe")

    result = job_of(op, rudderstack).execute_in_process(instance=instance)

    assert result.output_for_node("rudderstack_source_stripe").source_id == "stripe"
    assert bodies(server) == [None]


def test_several(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """An op for several sources runs them at once, and its output is their reports by source."""
    for each in IDS:
        server.add_project(each, RunScript(duration_seconds=3))
    op = build_rudderstack_source_op(source_ids=IDS, name="load_all")

    result = job_of(op, rudderstack).execute_in_process(instance=instance)

    reports = result.output_for_node("load_all")
    assert {id_: report.id for id_, report in reports.items()} == {
        id_: server.runs(id_)[0].id for id_ in IDS
    }
    ends = [run.finished_at for run in server.runs() if run.finished_at]
    assert max(run.started_at for run in server.runs()) < min(ends)


def test_several__retry(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A retry of the op runs only the source that failed. The output has the reports of all."""
    for each in IDS:
        server.add_project(each)
    server.script_next_runs("b", FAILED)
    op = build_rudderstack_source_op(source_ids=IDS, name="load_all", retry_policy=RETRY)

    result = job_of(op, rudderstack).execute_in_process(instance=instance)

    assert set(result.output_for_node("load_all")) == set(IDS)
    assert {id_: len(server.run_starts(id_)) for id_ in IDS} == {"a": 1, "b": 2, "c": 1}


def test_finished_with_an_error(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A finished run with an error fails the op, which materializes nothing."""
    server.add_project("project", FAILED)
    op = build_rudderstack_profiles_op(source_id="project", asset_key="users")

    result = job_of(op, rudderstack).execute_in_process(instance=instance, raise_on_error=False)

    assert not result.success
    assert "no such table" in failure(result)
    assert run_ids(result) == {}


def test_start_after(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """The op can be connected to ops that must run first."""
    server.add_project("project")
    order: list[str] = []

    @dg.op(out=dg.Out(dg.Nothing))
    def tables() -> None:
        assert server.run_starts() == []
        order.append("tables")

    @dg.op
    def count(report: SourceRunReport) -> None:
        order.append(report.source_id)

    op = build_rudderstack_profiles_op(source_id="project")

    @dg.job(resource_defs={"rudderstack": rudderstack})
    def chain() -> None:
        count(op(start_after=tables()))

    chain.execute_in_process()

    assert order == ["tables", "project"]


def test_run_config(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """The run config replaces what the definition of the op says."""
    server.add_project("project")
    op = build_rudderstack_profiles_op(source_id="project", name="features", model_refs=["a"])
    config = dg.RunConfig(ops={"features": RudderStackProfilesConfig(model_refs=["b"])})

    job_of(op, rudderstack).execute_in_process(instance=instance, run_config=config)

    assert bodies(server) == [{"parameters": ["--model_refs b"]}]


def test_run_config__invalid(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """An invalid value in the run config fails the op before any request."""
    op = build_rudderstack_source_op(source_id="stripe", name="load")
    config = {"ops": {"load": {"config": {"timeout_seconds": 0}}}}

    result = job_of(op, rudderstack).execute_in_process(
        instance=instance, run_config=config, raise_on_error=False
    )

    assert "In the run config: timeout_seconds 0" in failure(result)
    assert server.requests == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either source_id, or source_ids"),
        ({"source_id": "a", "source_ids": ["b"]}, "either source_id"),
        ({"source_ids": "a"}, "either source_id"),
        ({"source_ids": [], "name": "x"}, "source_ids is empty"),
        ({"source_ids": ["a", " a"], "name": "x"}, "expected each source once"),
        ({"source_ids": ["a", "../b"], "name": "x"}, "source_ids '../b'"),
        ({"source_ids": ["a", "b"]}, "needs a name"),
        ({"source_ids": ["a", "b"], "name": "x", "asset_key": "y"}, "takes no asset_key"),
        ({"source_id": "a", "poll_interval_seconds": "1"}, "poll_interval_seconds '1'"),
        ({"source_id": "a", "model_refs": ["m"]}, "There is no setting 'model_refs'"),
        ({"source_id": "a", "on_lost_starts": "fail"}, "Did you mean 'on_lost_start'?"),
    ],
    ids=str,
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    """Wrong arguments are refused when the op is defined."""
    with pytest.raises(InvalidSettingError) as caught:
        build_rudderstack_source_op(**arguments)

    assert message in str(caught.value)


def test_wrong_arguments__profiles() -> None:
    """A wrong parameter of a project is refused when the op is defined."""
    with pytest.raises(InvalidSettingError, match="begin_time '2026'"):
        build_rudderstack_profiles_op(source_id="a", begin_time="2026")


@pytest.mark.parametrize(
    ("count", "description"),
    [
        (2, "Run ETL sources s0, s1 and wait until the runs end."),
        (9, "Run 9 ETL sources and wait until the runs end."),
    ],
)
def test_description(count: int, description: str) -> None:
    """The op's description names its sources, unless there are many."""
    op = build_rudderstack_source_op(source_ids=[f"s{n}" for n in range(count)], name="load")

    assert op.description == description

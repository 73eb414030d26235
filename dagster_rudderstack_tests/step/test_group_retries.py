"""Retries and re-executions of a step of many connections: which syncs are started again."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    DurationCheck,
    NoRowsCheck,
    NothingChangedCheck,
    RejectedRowsCheck,
    RudderStackMetadataSet,
    RudderStackResource,
    SyncChecks,
)
from dagster_rudderstack.testing import Fault, LocalRudderStack, SyncScript
from dagster_rudderstack_tests.step.group import FAILING, add, group, starts
from dagster_rudderstack_tests.step.world import (
    checks,
    failure,
    materialized,
    resource_of,
    run,
    sync_ids,
)

RETRY = dg.RetryPolicy(max_retries=1)
BLOCKING = SyncChecks(rejected_rows=RejectedRowsCheck(severity="ERROR", blocking=True))


# --- step retries


def test_step_retry__failed_sync(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A retry of the step starts only the failed sync again, and then the downstream asset runs."""
    add(server, "a", "b", "c")
    server.script_next("b", FAILING)
    ran: list[str] = []

    @dg.asset(deps=["a"])
    def after_a() -> None:
        ran.append("after_a")

    result = run([group("a", "b", "c", retry_policy=RETRY), after_a], rudderstack, instance)

    assert result.success
    assert starts(server) == {"a": 1, "b": 2, "c": 1}
    assert sorted(materialized(result)) == ["a", "after_a", "b", "c"]
    assert checks(result) == {"a": True, "b": True, "c": True}
    assert ran == ["after_a"]


def test_step_retry__blocking_check(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A retry because of another sync does not sync or materialize an asset whose blocking check
    failed, and its downstream asset does not run."""
    add(server, "bad", script=SyncScript(rows_total=10, rows_failed=5))
    add(server, "b")
    server.script_next("b", FAILING)
    ran: list[str] = []

    @dg.asset(deps=["bad"])
    def after_bad() -> None:
        ran.append("after_bad")

    step = group("bad", "b", checks=BLOCKING, retry_policy=RETRY)
    result = run([step, after_bad], rudderstack, instance)

    assert not result.success
    assert ran == []
    assert starts(server) == {"bad": 1, "b": 2}
    assert sorted(materialized(result)) == ["b", "bad"]
    assert checks(result) == {"b": True, "bad": False}


def test_step_retry__check_not_evaluated(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """If a step fails between a materialization and its check, the retry evaluates the check."""
    add(server, "bad", script=SyncScript(rows_total=10, rows_failed=5))
    attempts: list[int] = []

    def fail_before_check(
        context: dg.AssetExecutionContext,
        sync: Callable[[], Iterator[Any]],
    ) -> Iterator[Any]:
        attempts.append(context.op_execution_context.retry_number)
        for event in sync():
            yield event
            if attempts == [0]:
                raise RuntimeError("The worker failed.")

    step = group("bad", checks=BLOCKING, retry_policy=RETRY, execute=fail_before_check)
    result = run([step], rudderstack, instance)

    assert attempts == [0, 1]
    assert not result.success
    assert starts(server) == {"bad": 1}
    assert materialized(result) == ["bad"]
    assert checks(result) == {"bad": False}


def test_step_retry__running_sync(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """If the polls of a running sync failed, the retry resumes the sync and does not start it
    again."""
    add(server, "a", "b", script=SyncScript(duration_seconds=1))
    server.add_fault(Fault("status", operation="get_sync", connection_id="b"))
    rudderstack = resource_of(server, outage_tolerance_seconds=0)

    result = run([group("a", "b", retry_policy=RETRY)], rudderstack, instance)

    assert result.success
    assert starts(server) == {"a": 1, "b": 1}
    origins = {
        event.materialization.asset_key.to_user_string(): RudderStackMetadataSet.extract(
            event.materialization.metadata
        ).origin
        for event in result.get_asset_materialization_events()
    }
    assert origins == {"a": "started", "b": "resumed"}


def test_step_retry__stopped_sync(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A retry because of a failed sync does not start again a sync that someone stopped."""
    stopped = SyncScript(status="aborted", duration_seconds=0.1)
    add(server, "a")
    add(server, "stopped", script=stopped)
    server.script_next("a", FAILING)

    result = run([group("a", "stopped", retry_policy=RETRY)], rudderstack, instance)

    assert not result.success
    assert starts(server) == {"a": 2, "stopped": 1}
    assert materialized(result) == ["a"]
    assert "was stopped" in failure(result)


def test_step_retry__permanent_failures(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """If a retry can fix none of the failures, the step is not retried, despite its RetryPolicy."""
    add(server, "a")
    server.add_connection("off", enabled=False)

    result = run([group("a", "off", "gone", retry_policy=RETRY)], rudderstack, instance)

    assert not result.success
    assert [event for event in result.all_events if event.is_step_up_for_retry] == []
    assert starts(server) == {"a": 1}


# --- re-executions


@dg.asset(deps=["a"])
def after_a() -> None:
    """An asset downstream of one of the syncs."""


CHECKS = SyncChecks(
    rejected_rows=BLOCKING.rejected_rows,
    no_rows=NoRowsCheck(severity="ERROR", blocking=True),
    nothing_changed=NothingChangedCheck(),
    duration=DurationCheck(max_seconds=60, severity="ERROR", blocking=True),
)


def everything() -> dg.JobDefinition:
    """Return a job of 3 syncs and an asset downstream of one of them."""
    rudderstack = RudderStackResource(
        access_token=dg.EnvVar("RUDDERSTACK_ACCESS_TOKEN"),
        api_url=dg.EnvVar("RUDDERSTACK_API_URL"),
        poll_min_interval_seconds=0.05,
    )
    defs = dg.Definitions(
        assets=[group("a", "b", "c", checks=CHECKS), after_a],
        jobs=[dg.define_asset_job("everything", executor_def=dg.in_process_executor)],
        resources={"rudderstack": rudderstack},
    )
    return defs.resolve_job_def("everything")


@pytest.fixture
def location(server: LocalRudderStack, monkeypatch: pytest.MonkeyPatch) -> LocalRudderStack:
    """A server with 3 connections. The job reads its address from environment variables."""
    monkeypatch.setenv("RUDDERSTACK_ACCESS_TOKEN", server.access_token)
    monkeypatch.setenv("RUDDERSTACK_API_URL", server.url)
    add(server, "a", "b", "c")
    return server


def execute(
    instance: dg.DagsterInstance, again: dg.ReexecutionOptions | None = None, **tags: str
) -> dg.JobExecutionResult:
    with dg.execute_job(
        dg.reconstructable(everything),
        instance=instance,
        reexecution_options=again,
        tags={f"dagster/{name}": value for name, value in tags.items()},
    ) as result:
        return result


def test_reexecution__from_failure(
    location: LocalRudderStack, stored_instance: dg.DagsterInstance
) -> None:
    """A re-execution from failure starts only the failed sync, reports the other syncs again, and
    runs the downstream asset."""
    location.script_next("b", FAILING)
    first = execute(stored_instance)
    again = dg.ReexecutionOptions.from_failure(first.run_id, stored_instance)

    second = execute(stored_instance, again)

    assert not first.success
    assert sorted(materialized(first)) == ["a", "c"]
    assert second.success
    assert starts(location) == {"a": 1, "b": 2, "c": 1}
    assert sorted(materialized(second)) == ["a", "after_a", "b", "c"]
    assert set(sync_ids(first)) < set(sync_ids(second))


def test_reexecution__fails_too(
    location: LocalRudderStack, stored_instance: dg.DagsterInstance
) -> None:
    """Dagster does not count a sync that succeeded as failed because the re-execution fails.

    Without a materialization of the second run, it would.
    """
    location.script_next("b", FAILING, FAILING)
    first = execute(stored_instance)
    again = dg.ReexecutionOptions.from_failure(first.run_id, stored_instance)

    second = execute(stored_instance, again)

    assert not second.success
    assert starts(location) == {"a": 1, "b": 2, "c": 1}
    assert failed_for_dagster(stored_instance) == {"b"}


def failed_for_dagster(instance: dg.DagsterInstance) -> set[str]:
    """Return the assets whose last execution has failed, as automation conditions see it."""
    condition = dg.AutomationCondition.execution_failed()
    specs = [dg.AssetSpec(key, automation_condition=condition) for key in ("a", "b", "c")]

    @dg.multi_asset(specs=specs, can_subset=True)
    def same_assets() -> Iterator[dg.MaterializeResult[None]]:
        """The assets of the group, without the resource that they require."""
        yield from ()

    found = dg.evaluate_automation_conditions(
        defs=dg.Definitions([same_assets]),
        instance=instance,
        asset_selection=dg.AssetSelection.assets(same_assets),
    )
    return {key.to_user_string() for key in same_assets.keys if found.get_num_requested(key)}


def test_reexecution__of_a_reexecution(
    location: LocalRudderStack, stored_instance: dg.DagsterInstance
) -> None:
    """A sync that succeeded in the first of 3 runs is not started by the third."""
    location.script_next("b", FAILING, FAILING)
    first = execute(stored_instance)
    # The UI and the daemon re-execute like this: with tags, and with all steps of the job.
    again = dg.ReexecutionOptions(parent_run_id=first.run_id)
    second = execute(stored_instance, again, is_resume_retry="true")
    third = execute(
        stored_instance,
        dg.ReexecutionOptions(parent_run_id=second.run_id),
        is_resume_retry="true",
    )

    assert not second.success
    assert third.success
    assert starts(location) == {"a": 1, "b": 3, "c": 1}


def test_reexecution__of_a_successful_run(
    location: LocalRudderStack, stored_instance: dg.DagsterInstance
) -> None:
    """A re-execution of a run that succeeded starts all syncs again."""
    first = execute(stored_instance)

    second = execute(stored_instance, dg.ReexecutionOptions(parent_run_id=first.run_id))

    assert first.success
    assert second.success
    assert starts(location) == {"a": 2, "b": 2, "c": 2}


@pytest.mark.parametrize(
    "script",
    [SyncScript(rows_total=3, rows_failed=1), SyncScript(rows_total=0)],
    ids=["rejected rows", "no rows"],
)
def test_reexecution__after_a_blocking_check(
    location: LocalRudderStack, stored_instance: dg.DagsterInstance, script: SyncScript
) -> None:
    """A re-execution from failure starts a sync again if one of its blocking checks failed."""
    location.script_next("a", script)
    first = execute(stored_instance)
    again = dg.ReexecutionOptions.from_failure(first.run_id, stored_instance)

    second = execute(stored_instance, again)

    assert not first.success
    assert second.success
    assert starts(location) == {"a": 2, "b": 1, "c": 1}


def test_reexecution__after_a_warning(
    location: LocalRudderStack, stored_instance: dg.DagsterInstance
) -> None:
    """A re-execution from failure does not start a sync again whose check only warned."""
    location.script_next("a", SyncScript(rows_total=3, rows_changed=0))
    location.script_next("b", FAILING)
    first = execute(stored_instance)
    again = dg.ReexecutionOptions.from_failure(first.run_id, stored_instance)

    assert execute(stored_instance, again).success
    assert starts(location) == {"a": 1, "b": 2, "c": 1}


def test_unrelated_run__starts_all_syncs(
    location: LocalRudderStack, stored_instance: dg.DagsterInstance
) -> None:
    """A later run that is not a re-execution starts all syncs, though an earlier run failed."""
    location.script_next("b", FAILING)
    execute(stored_instance)

    assert execute(stored_instance).success
    assert starts(location) == {"a": 2, "b": 2, "c": 2}

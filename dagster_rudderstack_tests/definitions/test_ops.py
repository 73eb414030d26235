"""Ops that sync several connections, and what a run may choose for an op."""

from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    InvalidSettingError,
    RudderStackResource,
    SyncReport,
    build_rudderstack_sync_asset,
    build_rudderstack_sync_op,
    rudderstack_sync_op,
)
from dagster_rudderstack.testing import LocalRudderStack, SyncScript
from dagster_rudderstack_tests.step.group import FAILING, add, starts
from dagster_rudderstack_tests.step.world import failure, record_kinds

IDS = ["a", "b", "c"]
RETRY = dg.RetryPolicy(max_retries=1)


def job_of(op: dg.OpDefinition, rudderstack: RudderStackResource) -> dg.JobDefinition:
    @dg.job(resource_defs={"rudderstack": rudderstack})
    def activate() -> None:
        op()

    return activate


def test_several(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """An op for several connections syncs them, and its output is their reports by connection."""
    add(server, *IDS)
    op = build_rudderstack_sync_op(connection_ids=IDS, name="activate_all", sync_type="full")

    result = job_of(op, rudderstack).execute_in_process(instance=instance)

    reports: dict[str, SyncReport] = result.output_for_node("activate_all")
    assert {id_: (report.id, report.sync_type) for id_, report in reports.items()} == {
        id_: (server.syncs(id_)[0].id, "full") for id_ in IDS
    }


def test_several__at_once(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """The connections are synced at the same time."""
    add(server, *IDS, script=SyncScript(duration_seconds=3))
    op = build_rudderstack_sync_op(connection_ids=IDS, name="activate_all")

    job_of(op, rudderstack).execute_in_process(instance=instance)

    syncs = [server.syncs(id_)[0] for id_ in IDS]
    ends = [sync.finished_at for sync in syncs if sync.finished_at]
    assert max(sync.started_at for sync in syncs) < min(ends)


def test_several__retry(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A retry of the op syncs only the connection that failed, and has the reports of all."""
    add(server, *IDS)
    server.script_next("b", FAILING)
    op = build_rudderstack_sync_op(connection_ids=IDS, name="activate_all", retry_policy=RETRY)

    result = job_of(op, rudderstack).execute_in_process(instance=instance)

    assert set(result.output_for_node("activate_all")) == set(IDS)
    assert starts(server) == {"a": 1, "b": 2, "c": 1}
    assert record_kinds(instance)[-3:] == ["returned"] * 3


def test_several__failed(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """If a sync fails, the op fails when the others have ended, and names the sync."""
    add(server, *IDS)
    server.set_script("b", FAILING)
    op = build_rudderstack_sync_op(connection_ids=IDS, name="activate_all")

    result = job_of(op, rudderstack).execute_in_process(instance=instance, raise_on_error=False)

    assert "no such table" in failure(result)
    assert "b" in failure(result)
    assert all(server.syncs(id_)[0].finished_at for id_ in IDS)
    assert "returned" not in record_kinds(instance)


def test_several__skipped(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """With `on_disabled="skip"`, a disabled connection has no report."""
    add(server, "a")
    server.add_connection("off", enabled=False)
    op = build_rudderstack_sync_op(connection_ids=["a", "off"], name="two", on_disabled="skip")

    result = job_of(op, rudderstack).execute_in_process(instance=instance)

    assert set(result.output_for_node("two")) == {"a"}


def test_several__rejected_rows(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """The limits hold for each sync, and the failure names all syncs that exceed them."""
    add(server, "a", "b", script=SyncScript(rows_total=10, rows_failed=3))
    add(server, "c")
    op = build_rudderstack_sync_op(connection_ids=IDS, name="activate_all", max_failed_rows=2)

    result = job_of(op, rudderstack).execute_in_process(instance=instance, raise_on_error=False)

    assert "of connection a succeeded, but 3 of 10 rows were rejected" in failure(result)
    assert "of connection b succeeded, but 3 of 10 rows were rejected" in failure(result)
    assert "of connection c" not in failure(result)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either connection_id, or connection_ids"),
        ({"connection_id": "a", "connection_ids": ["b"]}, "either connection_id"),
        ({"connection_ids": "a"}, "either connection_id"),
        ({"connection_ids": [], "name": "x"}, "connection_ids is empty"),
        ({"connection_ids": ["a", " a"], "name": "x"}, "expected each connection once"),
        ({"connection_ids": ["a", "../b"], "name": "x"}, "connection_ids '../b'"),
        ({"connection_ids": ["a", "b"]}, "needs a name"),
        ({"connection_ids": ["a", "b"], "name": "x", "asset_key": "y"}, "takes no asset_key"),
        ({"connection_id": "a", "poll_interval_seconds": "1"}, "poll_interval_seconds '1'"),
    ],
    ids=str,
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    """Wrong arguments are refused when the op is defined."""
    with pytest.raises(InvalidSettingError) as caught:
        build_rudderstack_sync_op(**arguments)

    assert message in str(caught.value)


# --- what a run may choose


@pytest.mark.parametrize("kind", ["asset", "op", "op of run config"])
def test_timeout_of_a_run(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    kind: str,
) -> None:
    """A run can have a timeout and a poll interval of its own, over those of the definition."""
    add(server, "crm", script=SyncScript(never_ends=True))
    config: dict[str, Any] = {"timeout_seconds": 1, "poll_interval_seconds": 0.2}
    if kind == "asset":
        asset = build_rudderstack_sync_asset(connection_id="crm", spec="crm", timeout_seconds=3600)
        job: dg.JobDefinition = dg.Definitions(
            [asset], resources={"rudderstack": rudderstack}
        ).resolve_implicit_global_asset_job_def()
        name = "crm"
    elif kind == "op":
        op = build_rudderstack_sync_op(connection_id="crm", timeout_seconds=3600)
        job, name = job_of(op, rudderstack), op.name
    else:
        job, name = job_of(rudderstack_sync_op, rudderstack), "rudderstack_sync_op"
        config["connection_id"] = "crm"

    result = job.execute_in_process(
        run_config={"ops": {name: {"config": config}}}, instance=instance, raise_on_error=False
    )

    assert "did not end within the timeout of 1 s" in failure(result)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"timeout_seconds": 0}, "In the run config: timeout_seconds 0"),
        ({"poll_interval_seconds": -0.5}, "In the run config: poll_interval_seconds -0.5"),
    ],
)
@pytest.mark.parametrize("kind", ["asset", "op"])
def test_wrong_number_of_a_run(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    kind: str,
    config: dict[str, Any],
    message: str,
) -> None:
    """A wrong number in the config of a run fails its step before a sync is started."""
    add(server, "crm")
    if kind == "asset":
        asset = build_rudderstack_sync_asset(connection_id="crm", spec="crm")
        job: dg.JobDefinition = dg.Definitions(
            [asset], resources={"rudderstack": rudderstack}
        ).resolve_implicit_global_asset_job_def()
        name = "crm"
    else:
        op = build_rudderstack_sync_op(connection_id="crm")
        job, name = job_of(op, rudderstack), op.name

    result = job.execute_in_process(
        run_config={"ops": {name: {"config": config}}}, instance=instance, raise_on_error=False
    )

    assert message in failure(result)
    assert server.requests == []

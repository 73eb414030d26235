"""Every start names its sync type: incremental, unless a full sync is asked for."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    RudderStackResource,
    build_rudderstack_sync_asset,
    build_rudderstack_sync_assets,
    build_rudderstack_sync_op,
    rudderstack_sync_op,
)
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.step.world import run

INCREMENTAL, FULL = {"syncType": "incremental"}, {"syncType": "full"}

Definition = dg.AssetsDefinition | dg.OpDefinition


@pytest.fixture(autouse=True)
def connection(server: LocalRudderStack) -> None:
    server.add_connection("crm")


def execute(
    definition: Definition,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    config: dict[str, Any] | None = None,
) -> None:
    """Run the step of a definition, with config from the launchpad."""
    if isinstance(definition, dg.AssetsDefinition):
        run_config = {"ops": {definition.op.name: {"config": config}}} if config else None
        assert run([definition], rudderstack, instance, run_config=run_config).success
        return
    job = dg.JobDefinition(
        name="activate",
        graph_def=dg.GraphDefinition(name="activate", node_defs=[definition]),
        resource_defs={"rudderstack": rudderstack.get_resource_definition()},
    )
    run_config = {"ops": {definition.name: {"config": config}}} if config else None
    assert job.execute_in_process(run_config, instance=instance).success


def asset(**options: Any) -> dg.AssetsDefinition:
    return build_rudderstack_sync_asset(connection_id="crm", spec="crm", **options)


def group(**options: Any) -> dg.AssetsDefinition:
    return build_rudderstack_sync_assets(connections={"crm": "crm"}, name="group", **options)


def op(**options: Any) -> dg.OpDefinition:
    return build_rudderstack_sync_op(connection_id="crm", name="op", **options)


@pytest.mark.parametrize("build", [asset, group, op])
def test_definition(
    build: Callable[..., Definition],
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
) -> None:
    """A definition syncs incrementally, in full if it says so, and a run can override both."""
    execute(build(), rudderstack, instance)
    execute(build(), rudderstack, instance, {"sync_type": "full"})
    execute(build(sync_type="full"), rudderstack, instance)
    execute(build(sync_type="full"), rudderstack, instance, {"sync_type": "incremental"})

    bodies = [request.body for request in server.starts()]
    assert bodies == [INCREMENTAL, FULL, FULL, INCREMENTAL]


def test_deferred(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A step that does not wait names the type as well."""
    execute(asset(wait=False), rudderstack, instance)

    assert [request.body for request in server.starts()] == [INCREMENTAL]


def test_op_of_the_run_config(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """The op whose connection is in the run config syncs incrementally."""
    execute(rudderstack_sync_op, rudderstack, instance, {"connection_id": "crm"})

    assert [request.body for request in server.starts()] == [INCREMENTAL]


def test_resource(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """So do the methods of the resource."""
    with rudderstack as resource:
        resource.start_sync("crm")
        resource.sync_and_poll("crm")
        resource.sync_and_poll("crm", "full")

    assert [request.body for request in server.starts()] == [INCREMENTAL, INCREMENTAL, FULL]

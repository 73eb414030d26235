"""A step of deferred syncs starts each sync once, and respects one that is running."""

import json

import dagster as dg
import pytest

from dagster_rudderstack import (
    MetadataKey,
    RudderStackMetadataSet,
    RudderStackResource,
    RudderStackSyncConfig,
    build_rudderstack_sync_assets,
)
from dagster_rudderstack.testing import Fault, LocalRudderStack, ManualClock
from dagster_rudderstack_tests.sensor.world import World, connect, materializations, sync_ids, world
from dagster_rudderstack_tests.step.deferred.scene import CRM, config
from dagster_rudderstack_tests.step.world import failure, when


def test_step__many_connections(
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    server: LocalRudderStack,
    clock: ManualClock,
) -> None:
    """A step of many deferred connections starts their syncs, and its failure names a connection
    that cannot be started."""
    names = ["a", "b", "c"]
    connect(server, *names)
    server.update_connection("b", enabled=False)
    group = build_rudderstack_sync_assets(
        connections={name: name for name in names}, name="group", wait=False
    )
    scene = world(instance, rudderstack, group)
    result = scene.run()
    clock.advance(60)
    scene.tick()

    assert not result.success
    assert "- b (connection b): Connection b is disabled" in failure(result)
    assert len(server.starts()) == 2
    assert len(sync_ids(instance, "a")) == len(sync_ids(instance, "c")) == 1


def test_step__downstream_asset_is_skipped(
    rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A downstream asset in the same run is skipped, since the step materializes nothing."""
    ran: list[str] = []

    @dg.asset(deps=["contacts"])
    def report() -> None:
        ran.append("report")

    result = world(instance, rudderstack, CRM, report).run()

    assert result.success
    assert ran == []


def test_step_retry__starts_no_second_sync(
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    server: LocalRudderStack,
) -> None:
    """A retry of a step starts only the sync whose start failed."""
    connect(server, "a", "b")
    server.add_fault(Fault("status", operation="start", connection_id="b", status=425))
    group = build_rudderstack_sync_assets(
        connections={"a": "a", "b": "b"},
        name="group",
        wait=False,
        retry_policy=dg.RetryPolicy(max_retries=1),
    )

    result = world(instance, rudderstack, group).run()

    assert result.success
    assert len(server.starts("a")) == len(server.starts("b")) == 1


def test_start__answer_lost(scene: World, server: LocalRudderStack) -> None:
    """If the answer to the start is lost, the step looks for the sync and does not start it
    again."""
    server.add_fault(Fault("reset", operation="start", effect=True))

    assert scene.run().success
    assert len(server.starts("crm")) == 1


def test_running_sync__wait(
    scene: World, server: LocalRudderStack, clock: ManualClock, instance: dg.DagsterInstance
) -> None:
    """With `wait`, the default, the step waits for the end of the running sync, starts its own sync
    and ends. The sensor reports both syncs."""
    running = server.start_sync("crm", origin="schedule")
    scene.tick()

    with when(
        lambda: any(request.operation == "get_sync" for request in server.requests),
        lambda: clock.advance(60),
    ):
        result = scene.run()

    assert result.success
    assert len(server.starts("crm")) == 1
    owned = server.syncs("crm")[-1]
    assert owned.running
    clock.advance(60)
    scene.tick()
    assert sync_ids(instance, "contacts") == [running, owned.id]


@pytest.mark.parametrize(("choice", "succeeds"), [("attach", True), ("fail", False)])
def test_running_sync__attach_or_fail(
    scene: World,
    server: LocalRudderStack,
    clock: ManualClock,
    instance: dg.DagsterInstance,
    choice: str,
    succeeds: bool,
) -> None:
    """With `attach` the step succeeds, with `fail` it fails. Neither starts a sync, and the sensor
    reports the running one."""
    running = server.start_sync("crm")
    scene.tick()

    result = scene.run(run_config=config(on_running_sync=choice))
    clock.advance(60)
    scene.tick()

    assert result.success is succeeds
    assert server.starts("crm") == []
    assert sync_ids(instance, "contacts") == [running]


def test_running_sync__attach_to_owned(
    scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """A deferred sync keeps its origin and its sync type when a later run attaches to it."""
    scene.run(run_config=config(sync_type="full"))
    scene.run(run_config=config(on_running_sync="attach"))
    clock.advance(60)

    (materialization,) = materializations(scene.tick())

    assert len(server.starts("crm")) == 1
    assert RudderStackMetadataSet.extract(materialization.metadata).origin == "started"
    assert RudderStackMetadataSet.extract(materialization.metadata).sync_type == "full"


def test_definition() -> None:
    """A deferred asset is skippable, says in its metadata that it is deferred, and has the check
    `sync_succeeded`."""
    (spec,) = CRM.specs

    assert spec.skippable
    assert spec.metadata[MetadataKey.DEFERRED] == dg.MetadataValue.bool(True)
    assert {check.name for check in CRM.check_specs} == {"rejected_rows", "sync_succeeded"}
    assert json.dumps(RudderStackSyncConfig().model_dump())

"""Of the syncs that runs of Dagster started, the sensor reports only those that no run reports."""

import dagster as dg
import pytest

from dagster_rudderstack import (
    RudderStackResource,
    build_rudderstack_sync_asset,
    build_rudderstack_sync_assets,
    rudderstack_sync_op,
)
from dagster_rudderstack.testing import Fault, LocalRudderStack, ManualClock, SyncScript
from dagster_rudderstack_tests.sensor.world import (
    CRM,
    FAILING,
    World,
    connect,
    reported,
    sync_ids,
    world,
)
from dagster_rudderstack_tests.step.world import record_kinds, resource_of, when


def test_owned_sync__reported(
    scene: World, server: LocalRudderStack, instance: dg.DagsterInstance, clock: ManualClock
) -> None:
    """The sensor does not report a sync that a run has materialized."""
    with when(lambda: bool(server.starts()), lambda: clock.advance(60)):
        scene.run()

    assert reported(scene.tick()) == []
    assert len(sync_ids(instance, "contacts")) == 1


@pytest.mark.parametrize(
    "partitions", [None, ("p0", "p5")], ids=["whole asset", "range of partitions"]
)
def test_owned_sync__many_reported_during_a_pause(
    server: LocalRudderStack,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    partitions: tuple[str, str] | None,
) -> None:
    """After a pause, the sensor reports no sync that runs have materialized, even if there are many
    runs or many partitions of each."""
    monkeypatch.setattr("dagster_rudderstack.sensor.event_log.EVENTS_READ", 1)
    monkeypatch.setattr("dagster_rudderstack.sensor.event_log.PAGE_SIZE", 2)
    connect(server, "crm", script=SyncScript())
    asset = build_rudderstack_sync_asset(
        connection_id="crm",
        spec="contacts",
        partitions_def=dg.StaticPartitionsDefinition([f"p{number}" for number in range(6)])
        if partitions
        else None,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    bounds = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
    scene = world(instance, resource_of(server), asset)
    scene.tick()
    tags = dict(zip(bounds, partitions, strict=True)) if partitions else {}
    for _ in range(4):
        assert scene.run(tags=tags).success

    assert reported(scene.tick()) == []
    assert len(sync_ids(instance, "contacts")) == 4 * (6 if partitions else 1)


def test_owned_sync__run_is_waiting(
    stored_scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """The sensor does not report a sync that is over while its run is still waiting for it."""
    rudderstack = resource_of(server, poll_min_interval_seconds=3, poll_max_interval_seconds=3)
    ticks: list[dg.SensorResult] = []

    def tick_after_the_sync() -> None:
        clock.advance(60)
        ticks.append(stored_scene.tick())

    with when(lambda: "waiting" in record_kinds(stored_scene.instance), tick_after_the_sync):
        dg.materialize(
            [CRM], instance=stored_scene.instance, resources={"rudderstack": rudderstack}
        )
    ticks.append(stored_scene.tick())

    assert [reported(tick) for tick in ticks] == [[], []]
    assert len(sync_ids(stored_scene.instance, "contacts")) == 1


def test_owned_sync__not_recorded_yet(
    stored_scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """The sensor does not report a sync that is over before its run has recorded it."""
    server.set_script("crm", SyncScript())
    server.add_fault(Fault("slow", operation="start", seconds=1.5, effect=True))
    ticks: list[dg.SensorResult] = []

    with when(lambda: bool(server.syncs("crm")), lambda: ticks.append(stored_scene.tick())):
        stored_scene.run()
    ticks.append(stored_scene.tick())

    assert [reported(tick) for tick in ticks] == [[], []]
    assert len(sync_ids(stored_scene.instance, "contacts")) == 1


def test_owned_sync__group(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
) -> None:
    """The sensor does not report the syncs of a step with many connections."""
    names = ["a", "b", "c"]
    connect(server, *names)
    group = build_rudderstack_sync_assets(connections={n: n for n in names}, name="group")
    scene = world(instance, rudderstack, group)
    scene.tick()

    with when(lambda: len(server.starts()) == 3, lambda: clock.advance(60)):
        scene.run()

    assert reported(scene.tick()) == []


def test_owned_sync__failed(scene: World, server: LocalRudderStack, clock: ManualClock) -> None:
    """The sensor does not report a failed sync whose run has failed with it."""
    server.set_script("crm", FAILING)
    with when(lambda: bool(server.starts()), lambda: clock.advance(60)):
        result = scene.run()

    assert not result.success
    assert reported(scene.tick()) == []


def test_owned_sync__run_failed_first(
    scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """The sensor reports a sync that succeeds after its run has failed, if no retry will."""
    server.add_fault(Fault("status", operation="get_sync"))
    without_tolerance = resource_of(server, outage_tolerance_seconds=0)
    result = dg.materialize(
        [CRM],
        instance=scene.instance,
        resources={"rudderstack": without_tolerance},
        raise_on_error=False,
    )
    clock.advance(60)

    assert not result.success
    assert reported(scene.tick())[0] == ("materialized", "contacts")


def test_owned_sync__run_will_be_retried(
    scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """The sensor does not report a sync whose run has failed and will be retried."""
    server.add_fault(Fault("status", operation="get_sync"))
    without_tolerance = resource_of(server, outage_tolerance_seconds=0)
    dg.materialize(
        [CRM],
        instance=scene.instance,
        resources={"rudderstack": without_tolerance},
        tags={"dagster/will_retry": "true"},
        raise_on_error=False,
    )
    clock.advance(60)

    assert reported(scene.tick()) == []


def test_owned_sync__op(scene: World, server: LocalRudderStack, clock: ManualClock) -> None:
    """The sensor does not report a sync of the op, although the op has no asset."""

    @dg.job(resource_defs={"rudderstack": scene.rudderstack})
    def activate() -> None:
        rudderstack_sync_op()

    config = {"ops": {"rudderstack_sync_op": {"config": {"connection_id": "crm"}}}}
    with when(lambda: bool(server.starts()), lambda: clock.advance(60)):
        activate.execute_in_process(run_config=config, instance=scene.instance)

    assert reported(scene.tick()) == []

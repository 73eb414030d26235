"""What the polling sensor reports of deferred syncs that succeed, and of partitions."""

import dagster as dg
import pytest

from dagster_rudderstack import (
    MetadataKey,
    RudderStackMetadataSet,
    RudderStackResource,
    build_rudderstack_sync_asset,
)
from dagster_rudderstack.testing import LocalRudderStack, ManualClock, SyncScript
from dagster_rudderstack_tests.sensor.world import (
    FAILING,
    World,
    connect,
    materializations,
    reported,
    sync_ids,
    world,
)
from dagster_rudderstack_tests.step.deferred.scene import config, with_sensor_of_specs


def test_step__does_not_wait(scene: World, server: LocalRudderStack, clock: ManualClock) -> None:
    """The step ends without a materialization while the sync runs. The sensor materializes the
    asset once, after the sync has succeeded."""
    result = scene.run()
    during_sync = scene.tick()
    clock.advance(60)
    after_sync, later = scene.tick(), scene.tick()

    assert result.success
    assert result.get_asset_materialization_events() == []
    assert reported(during_sync) == []
    assert reported(after_sync) == [
        ("materialized", "contacts"),
        ("rejected_rows passed", "contacts"),
        ("sync_succeeded passed", "contacts"),
    ]
    assert reported(later) == []
    (materialization,) = materializations(after_sync)
    (sync,) = server.syncs("crm")
    assert materialization.metadata[MetadataKey.SYNC_ID].value == sync.id
    assert RudderStackMetadataSet.extract(materialization.metadata).origin == "started"
    assert len(server.starts("crm")) == 1


def test_first_tick__sync_over(
    scene: World, clock: ManualClock, instance: dg.DagsterInstance
) -> None:
    """A deferred sync is reported even if it ends before the sensor's first tick."""
    scene.run()
    clock.advance(60)

    scene.tick()

    assert len(sync_ids(instance, "contacts")) == 1


@pytest.mark.parametrize(("deferred", "newer"), [(1, 12), (15, 30)])
def test_first_tick__newer_syncs(
    scene: World,
    server: LocalRudderStack,
    clock: ManualClock,
    instance: dg.DagsterInstance,
    deferred: int,
    newer: int,
) -> None:
    """Deferred syncs that ended before the sensor's first tick are reported, even if many newer
    syncs of other clients follow them. The newer ones are not reported."""
    for _ in range(deferred):
        scene.run()
        clock.advance(60)
    owned = [sync.id for sync in server.syncs("crm")]
    for _ in range(newer):
        server.start_sync("crm")
        clock.advance(60)

    scene.tick()

    assert sync_ids(instance, "contacts") == owned
    assert reported(scene.tick()) == []


def test_first_tick__long_sync(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
) -> None:
    """A deferred sync that runs during the sensor's first tick is reported when it ends, even if
    many newer syncs ended before."""
    server.add_connection("long", script=SyncScript(duration_seconds=60), parallel_syncs=True)
    server.script_next("long", SyncScript(duration_seconds=7200))
    asset = build_rudderstack_sync_asset(connection_id="long", spec="long", wait=False)
    scene = world(instance, rudderstack, asset)
    scene.run()
    owned = server.syncs("long")[0].id
    for _ in range(12):
        server.start_sync("long")
        clock.advance(60)

    assert reported(scene.tick()) == []
    clock.advance(7200)
    scene.tick()
    assert sync_ids(instance, "long") == [owned]


def test_materialization__sync_type_and_partition(
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    server: LocalRudderStack,
    clock: ManualClock,
) -> None:
    """The sensor's materialization has the sync type and the partition of the step."""
    days = dg.StaticPartitionsDefinition(["monday", "tuesday"])
    asset = build_rudderstack_sync_asset(
        connection_id="crm", spec="contacts", wait=False, partitions_def=days
    )
    scene = world(instance, rudderstack, asset)
    scene.run(partition_key="tuesday", run_config=config(sync_type="full"))
    clock.advance(60)

    (materialization,) = materializations(scene.tick())

    assert materialization.partition == "tuesday"
    assert RudderStackMetadataSet.extract(materialization.metadata).sync_type == "full"
    assert server.syncs("crm")[0].sync_type == "full"


def test_sensor_of_specs__deferred_sync(
    scene: World, server: LocalRudderStack, clock: ManualClock, instance: dg.DagsterInstance
) -> None:
    """A sensor that has only specs reports a deferred sync, and has no target."""
    scene.run()
    clock.advance(60)
    changed = with_sensor_of_specs(scene)

    assert reported(changed.tick()) == [
        ("materialized", "contacts"),
        ("sync_succeeded passed", "contacts"),
    ]
    assert changed.sensor.asset_selection is None


# --- partitions


def deferred_in(partitions: dg.PartitionsDefinition[str]) -> dg.AssetsDefinition:
    return build_rudderstack_sync_asset(
        connection_id="crm",
        spec="contacts",
        wait=False,
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )


def range_tags(start: str, end: str) -> dict[str, str]:
    """Return the tags of a run for a range of partitions."""
    return {
        "dagster/asset_partition_range_start": start,
        "dagster/asset_partition_range_end": end,
    }


def test_partition_range__dynamic(
    rudderstack: RudderStackResource, instance: dg.DagsterInstance, clock: ManualClock
) -> None:
    """A sync of a range of dynamic partitions materializes each partition of the range."""
    instance.add_dynamic_partitions("regions", ["eu", "uk", "us"])
    asset = deferred_in(dg.DynamicPartitionsDefinition(name="regions"))
    scene = world(instance, rudderstack, asset)
    scene.run(tags=range_tags("eu", "us"))
    clock.advance(60)

    found = materializations(scene.tick())

    assert [each.partition for each in found] == ["eu", "uk", "us"]


def test_partition_range__start_removed(
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    server: LocalRudderStack,
    clock: ManualClock,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A sync of a range whose first partition was removed is reported without partitions and with
    a log line. Other syncs are reported as usual."""
    connect(server, "other")
    other = build_rudderstack_sync_asset(connection_id="other", spec="other", wait=False)
    before = deferred_in(dg.StaticPartitionsDefinition(["a", "b", "c"]))
    after = deferred_in(dg.StaticPartitionsDefinition(["b", "c", "d"]))
    world(instance, rudderstack, before).run(tags=range_tags("a", "c"))
    scene = world(instance, rudderstack, after, other)
    scene.run("other")
    clock.advance(60)

    found = materializations(scene.tick())

    assert sorted((each.asset_key.to_user_string(), each.partition) for each in found) == [
        ("contacts", None),
        ("other", None),
    ]
    assert "no longer has" in capfd.readouterr().err


@pytest.mark.parametrize("is_range", [False, True], ids=["partition", "range"])
def test_failed_sync__partition_removed(
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    server: LocalRudderStack,
    clock: ManualClock,
    capfd: pytest.CaptureFixture[str],
    is_range: bool,
) -> None:
    """A failed sync of a partition that was removed is observed, and no run is requested: Dagster
    would refuse the run, and the whole tick with it."""
    server.set_script("crm", FAILING)
    before = world(
        instance, rudderstack, deferred_in(dg.StaticPartitionsDefinition(["a", "b", "c"]))
    )
    if is_range:
        before.run(tags=range_tags("a", "c"))
    else:
        before.run(partition_key="a")
    clock.advance(60)

    result = world(instance, rudderstack, deferred_in(dg.StaticPartitionsDefinition(["b"]))).tick()

    assert reported(result) == [("observed", "contacts"), ("sync_succeeded failed", "contacts")]
    assert result.run_requests == []
    assert "the asset no longer has partition a" in capfd.readouterr().err

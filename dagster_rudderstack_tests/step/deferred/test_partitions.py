"""The partitions of deferred syncs."""

from dataclasses import replace

import dagster as dg
import pytest

from dagster_rudderstack import RudderStackResource, build_rudderstack_sync_asset
from dagster_rudderstack.testing import LocalRudderStack, ManualClock, SyncScript
from dagster_rudderstack_tests.sensor.world import FAILING, World, materializations, world

DAYS = dg.StaticPartitionsDefinition(["mon", "tue"])

RUNS: dict[str, dict[str, object]] = {
    "partition": {"partition_key": "mon"},
    "range": {
        "tags": {
            "dagster/asset_partition_range_start": "mon",
            "dagster/asset_partition_range_end": "tue",
        }
    },
}


# --- an asset without partitions in a partitioned run


@dg.asset(partitions_def=DAYS)
def orders() -> None: ...


@pytest.fixture
def mixed_scene(rudderstack: RudderStackResource, instance: dg.DagsterInstance) -> World:
    """A deferred asset without partitions, downstream of a partitioned one."""
    asset = build_rudderstack_sync_asset(
        connection_id="crm", spec="contacts", deps=[orders], wait=False
    )
    scene = world(instance, rudderstack, asset)
    scene.assets = [orders, asset]
    return scene


@pytest.mark.parametrize("run", RUNS)
def test_unpartitioned_asset__partitioned_run(
    mixed_scene: World, clock: ManualClock, run: str
) -> None:
    """An asset without partitions is materialized without one, even if the run has some."""
    assert mixed_scene.run(**RUNS[run]).success
    clock.advance(60)

    found = materializations(mixed_scene.tick())

    assert [each.partition for each in found] == [None]


@pytest.mark.parametrize("run", RUNS)
def test_unpartitioned_asset__failed_in_a_partitioned_run(
    mixed_scene: World, server: LocalRudderStack, clock: ManualClock, run: str
) -> None:
    """A failed sync of an asset without partitions fails a run without one, even if the run that
    started the sync has some."""
    server.set_script("crm", FAILING)
    assert mixed_scene.run(**RUNS[run]).success
    clock.advance(60)

    result = mixed_scene.tick()

    assert [request.partition_key for request in result.run_requests or ()] == [None]
    assert [run.success for run in mixed_scene.launch(result)] == [False]


# --- one sync of several partitions


@pytest.fixture
def shared_scene(rudderstack: RudderStackResource, instance: dg.DagsterInstance) -> World:
    """A partitioned deferred asset, whose runs attach to a running sync."""
    asset = build_rudderstack_sync_asset(
        connection_id="crm",
        spec="contacts",
        partitions_def=DAYS,
        wait=False,
        on_running_sync="attach",
    )
    return world(instance, rudderstack, asset)


def share_sync(scene: World) -> None:
    """Start a sync of `mon`, to which `tue` attaches."""
    for day in ("mon", "tue"):
        assert scene.run(partition_key=day).success
        scene.tick()


def test_shared_sync__succeeds(
    shared_scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """A sync to which a run of another partition has attached materializes both partitions."""
    share_sync(shared_scene)
    clock.advance(60)

    found = materializations(shared_scene.tick())

    assert len(server.starts("crm")) == 1
    assert [each.partition for each in found] == ["mon", "tue"]


def test_shared_sync__fails(
    shared_scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """A failed sync of several partitions is observed for each, and fails a run of each."""
    server.set_script("crm", FAILING)
    share_sync(shared_scene)
    clock.advance(60)

    result = shared_scene.tick()
    runs = shared_scene.launch(result)

    observed = [each for each in result.asset_events if isinstance(each, dg.AssetObservation)]
    assert [each.partition for each in observed] == ["mon", "tue"]
    assert [(run.success, run.dagster_run.tags["dagster/partition"]) for run in runs] == [
        (False, "mon"),
        (False, "tue"),
    ]


# --- an asset that is renamed while its sync runs


def renamed_scene(scene: World, key: str) -> World:
    """Return the scene after a deployment in which the asset has another key."""
    asset = build_rudderstack_sync_asset(
        connection_id="crm", spec=key, partitions_def=DAYS, wait=False
    )
    deployed = world(scene.instance, scene.rudderstack, asset)
    return replace(deployed, cursor=scene.cursor, run_keys=scene.run_keys)


@pytest.mark.parametrize("has_ticked", [True, False], ids=["known to the sensor", "unknown to it"])
def test_renamed_asset(shared_scene: World, clock: ManualClock, has_ticked: bool) -> None:
    """A sync whose asset is renamed meanwhile materializes its partition of the new asset."""
    shared_scene.tick()
    assert shared_scene.run(partition_key="mon").success
    if has_ticked:
        shared_scene.tick()
    scene = renamed_scene(shared_scene, "people")
    clock.advance(60)

    found = materializations(scene.tick())

    assert [(each.asset_key.to_user_string(), each.partition) for each in found] == [
        ("people", "mon")
    ]


@pytest.mark.parametrize("has_ticked", [True, False], ids=["known to the sensor", "unknown to it"])
def test_renamed_asset__fails(
    shared_scene: World, server: LocalRudderStack, clock: ManualClock, has_ticked: bool
) -> None:
    """If such a sync fails, a run of the new asset fails, for the partition of the old one."""
    server.set_script("crm", FAILING)
    shared_scene.tick()
    assert shared_scene.run(partition_key="tue").success
    if has_ticked:
        shared_scene.tick()
    scene = renamed_scene(shared_scene, "people")
    clock.advance(60)

    runs = scene.launch(scene.tick())

    assert [(run.success, run.dagster_run.tags["dagster/partition"]) for run in runs] == [
        (False, "tue")
    ]


# --- the checks of an asset with partitions


@pytest.mark.parametrize("wait", [True, False], ids=["someone else's sync", "deferred sync"])
def test_checks(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
    wait: bool,
) -> None:
    """The results of the sensor are for the whole asset, and the latest ones of the asset."""
    server.set_script("crm", SyncScript(rows_total=10, rows_failed=3, duration_seconds=60))
    asset = build_rudderstack_sync_asset(
        connection_id="crm", spec="contacts", partitions_def=DAYS, wait=wait
    )
    scene = world(instance, rudderstack, asset)
    scene.tick()
    if wait:
        server.start_sync("crm", "dashboard")
    else:
        assert scene.run(partition_key="mon").success
    clock.advance(60)

    tick = scene.tick()

    assert [each.partition for each in materializations(tick)] == [None if wait else "mon"]
    check = dg.AssetCheckKey(asset.key, "rejected_rows")
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key([check])[check]
    assert (latest.run_id, latest.status.value) == ("", "FAILED")
    assert getattr(latest, "partition", None) is None

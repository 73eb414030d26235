"""The partitions of deferred syncs."""

import dagster as dg
import pytest

from dagster_rudderstack import RudderStackResource, build_rudderstack_sync_asset
from dagster_rudderstack.testing import LocalRudderStack, ManualClock
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

"""The checks of a deferred asset that are executed alone, as by the button on a check's page."""

import dagster as dg
import pytest

from dagster_rudderstack import MetadataKey, RudderStackResource, build_rudderstack_sync_asset
from dagster_rudderstack.checks.sync_checks import SUCCEEDED_CHECK
from dagster_rudderstack.testing import LocalRudderStack, ManualClock, SyncScript
from dagster_rudderstack_tests.sensor.world import FAILING, MINUTE, World, world

CONTACTS = dg.AssetKey("contacts")


def execute(scene: World, *names: str, **options: object) -> dict[str, dg.AssetCheckEvaluation]:
    """Execute checks of the asset without the asset, and return their results."""
    keys = [dg.AssetCheckKey(CONTACTS, name) for name in names]
    result = dg.materialize(
        scene.assets,
        instance=scene.instance,
        resources={"rudderstack": scene.rudderstack},
        selection=dg.AssetSelection.checks(*keys),
        **options,  # type: ignore[arg-type]
    )
    return {each.check_name: each for each in result.get_asset_check_evaluations()}


def sync(scene: World, clock: ManualClock) -> dg.SensorResult:
    """Sync the asset, and let the sensor report the end of the sync."""
    scene.run()
    clock.advance(60)
    return scene.tick()


@pytest.mark.parametrize("scripts", [(FAILING, MINUTE), (MINUTE, FAILING)], ids=["good", "failed"])
def test_execute__repeats_the_report(
    scene: World, server: LocalRudderStack, clock: ManualClock, scripts: tuple[SyncScript, ...]
) -> None:
    """The result is the one that the sensor reported of the last sync, with the same links."""
    server.script_next("crm", *scripts)
    sync(scene, clock)
    (last,) = [
        each
        for each in sync(scene, clock).asset_events
        if isinstance(each, dg.AssetCheckEvaluation) and each.check_name == SUCCEEDED_CHECK
    ]

    found = execute(scene, SUCCEEDED_CHECK)[SUCCEEDED_CHECK]

    assert found.passed is (scripts[-1] is MINUTE)
    assert (found.passed, found.description) == (last.passed, last.description)
    assert found.metadata == last.metadata
    assert MetadataKey.DAGSTER_RUN in found.metadata
    assert len(server.starts("crm")) == 2


def test_execute__all_checks(scene: World, server: LocalRudderStack, clock: ManualClock) -> None:
    """After a failed sync, the other checks are still about the last one that succeeded."""
    server.script_next("crm", MINUTE, FAILING)
    sync(scene, clock)
    sync(scene, clock)

    found = execute(scene, SUCCEEDED_CHECK, "rejected_rows")

    assert {name: each.passed for name, each in found.items()} == {
        SUCCEEDED_CHECK: False,
        "rejected_rows": True,
    }


def test_execute__sync_is_running(
    scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """While the next sync runs, the result of the last one that was reported is repeated."""
    server.script_next("crm", FAILING)
    sync(scene, clock)
    scene.run()

    assert not execute(scene, SUCCEEDED_CHECK)[SUCCEEDED_CHECK].passed


def test_execute__failed_start(scene: World, server: LocalRudderStack, clock: ManualClock) -> None:
    """A step that could start no sync changes nothing: the last sync is the one before."""
    sync(scene, clock)
    server.deny("no permission", connection_id="crm")
    assert not scene.run().success

    assert execute(scene, SUCCEEDED_CHECK)[SUCCEEDED_CHECK].passed


def test_execute__no_sync(scene: World, server: LocalRudderStack) -> None:
    """Before the first report, the result is a warning that there is no sync to check."""
    found = execute(scene, SUCCEEDED_CHECK)[SUCCEEDED_CHECK]

    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "There is no sync to check yet" in (found.description or "")
    assert server.starts() == []


def test_execute__partitions(
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    server: LocalRudderStack,
    clock: ManualClock,
) -> None:
    """The check of a partitioned asset has no partitions: the last sync of all counts."""
    asset = build_rudderstack_sync_asset(
        connection_id="crm",
        spec="contacts",
        wait=False,
        partitions_def=dg.StaticPartitionsDefinition(["monday", "tuesday"]),
    )
    scene = world(instance, rudderstack, asset)
    server.script_next("crm", MINUTE, FAILING)
    for day in ("tuesday", "monday"):
        scene.run(partition_key=day)
        clock.advance(60)
        scene.tick()

    assert not execute(scene, SUCCEEDED_CHECK)[SUCCEEDED_CHECK].passed

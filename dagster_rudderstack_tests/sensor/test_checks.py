"""The checks that the polling sensor evaluates: those of the assets, and its own."""

import dagster as dg
import pytest

from dagster_rudderstack import (
    DurationCheck,
    MetadataKey,
    NoRowsCheck,
    NothingChangedCheck,
    RudderStackResource,
    SyncChecks,
    build_rudderstack_sync_asset,
)
from dagster_rudderstack.testing import LocalRudderStack, ManualClock, SyncScript
from dagster_rudderstack_tests.sensor.world import connect, reported, world

ALL = SyncChecks(
    no_rows=NoRowsCheck(severity="ERROR", name="empty_source"),
    nothing_changed=NothingChangedCheck(),
    duration=DurationCheck(max_seconds=30),
)


def evaluations(result: dg.SensorResult) -> dict[str, dg.AssetCheckEvaluation]:
    """Return the evaluations of a tick, by the name of the check."""
    events = result.asset_events
    return {each.check_name: each for each in events if isinstance(each, dg.AssetCheckEvaluation)}


@pytest.mark.parametrize("wait", [True, False], ids=["someone else's sync", "deferred sync"])
def test_checks_of_the_asset(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
    wait: bool,
) -> None:
    """The sensor evaluates all checks of the asset, with their limits, names and severities."""
    connect(server, "crm", script=SyncScript(rows_total=0, duration_seconds=45))
    asset = build_rudderstack_sync_asset(
        connection_id="crm", spec="contacts", checks=ALL, wait=wait
    )
    scene = world(instance, rudderstack, asset)
    scene.tick()
    if wait:
        server.start_sync("crm", "dashboard")
    else:
        scene.run()
    clock.advance(60)

    tick = scene.tick()

    succeeded = [] if wait else [("sync_succeeded passed", "contacts")]
    assert reported(tick) == [
        ("materialized", "contacts"),
        ("rejected_rows passed", "contacts"),
        ("empty_source failed", "contacts"),
        ("nothing_changed failed", "contacts"),
        ("duration failed", "contacts"),
        *succeeded,
    ]
    found = evaluations(tick)
    assert found["empty_source"].severity is dg.AssetCheckSeverity.ERROR
    assert found["duration"].severity is dg.AssetCheckSeverity.WARN
    assert found["duration"].description == "The sync took 45 s; up to 30 s is accepted."
    assert found["duration"].metadata[MetadataKey.DURATION].value == 45.0


def test_checks_of_the_sensor(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
) -> None:
    """The sensor's own checks are those of assets that have none."""
    connect(server, "a", "b", "c")
    assets = [
        build_rudderstack_sync_asset(connection_id="a", spec="own", checks=SyncChecks()),
        build_rudderstack_sync_asset(connection_id="b", spec="none", checks=None),
    ]
    scene = world(
        instance,
        rudderstack,
        *assets,
        connections={"c": "external"},
        checks=SyncChecks(rejected_rows=None, no_rows=NoRowsCheck(), duration=ALL.duration),
    )
    scene.tick()
    for connection in ("a", "b", "c"):
        server.start_sync(connection)
    clock.advance(60)

    assert sorted(reported(scene.tick())) == [
        ("duration failed", "external"),
        ("duration failed", "none"),
        ("materialized", "external"),
        ("materialized", "none"),
        ("materialized", "own"),
        ("no_rows passed", "external"),
        ("no_rows passed", "none"),
        ("rejected_rows passed", "own"),
    ]


def test_failed_sync(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
) -> None:
    """A failed deferred sync fails `sync_succeeded`, and evaluates no other check."""
    connect(server, "crm", script=SyncScript(status="failed", duration_seconds=60))
    asset = build_rudderstack_sync_asset(
        connection_id="crm", spec="contacts", checks=ALL, wait=False
    )
    scene = world(instance, rudderstack, asset)
    scene.run()
    clock.advance(60)

    assert list(evaluations(scene.tick())) == ["sync_succeeded"]

"""The sensor reports the syncs that were started outside of Dagster."""

import dagster as dg
import pytest

from dagster_rudderstack import MetadataKey, RudderStackMetadataSet, RudderStackResource
from dagster_rudderstack.testing import LocalRudderStack, ManualClock, SyncScript
from dagster_rudderstack_tests.sensor.world import (
    CRM,
    FAILING,
    World,
    connect,
    materializations,
    reported,
    sync_ids,
    world,
)
from dagster_rudderstack_tests.step.world import resource_of


def test_external_sync__succeeded(
    scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """A sync that RudderStack's schedule started is materialized once, when it is over, with the
    metadata that a run would report."""
    server.script_next("crm", SyncScript(duration_seconds=60, rows_total=10, rows_failed=2))
    sync_id = server.start_sync("crm", origin="schedule")
    while_it_runs = scene.tick()
    clock.advance(60)
    when_it_is_over, later = scene.tick(), scene.tick()

    assert reported(while_it_runs) == []
    assert reported(when_it_is_over) == [
        ("materialized", "contacts"),
        ("rejected_rows failed", "contacts"),
    ]
    assert reported(later) == []
    (materialization,) = materializations(when_it_is_over)
    metadata = materialization.metadata
    assert metadata[MetadataKey.SYNC_ID].value == sync_id
    assert RudderStackMetadataSet.extract(metadata).origin == "observed"
    assert metadata[MetadataKey.DURATION].value == 60
    assert metadata[MetadataKey.ROWS_SUCCEEDED].value == 8
    assert metadata[MetadataKey.ROWS_FAILED].value == 2
    (sync,) = server.syncs("crm")
    finished = metadata[MetadataKey.FINISHED_AT]
    assert isinstance(finished, dg.TimestampMetadataValue)
    assert finished.value == sync.finished_at


def test_external_sync__failed(scene: World, server: LocalRudderStack, clock: ManualClock) -> None:
    """A failed sync is reported once, as an observation with the reason."""
    server.set_script("crm", FAILING)
    server.start_sync("crm", origin="dashboard")
    clock.advance(60)

    result = scene.tick()

    assert reported(result) == [("observed", "contacts")]
    (event,) = result.asset_events
    assert "no such table" in (event.description or "")
    assert scene.tick().asset_events == []


@pytest.mark.parametrize("status", ["Completed, with failures", "aborted", "paused"])
def test_external_sync__other_status(
    scene: World, server: LocalRudderStack, clock: ManualClock, status: str
) -> None:
    """A sync that is over and has not succeeded becomes an observation, for each status."""
    server.set_script("crm", SyncScript(duration_seconds=60, status=status))
    server.start_sync("crm")
    clock.advance(60)

    assert reported(scene.tick()) == [("observed", "contacts")]


def test_first_tick__replay(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
) -> None:
    """The first tick reports no earlier syncs, or as many as `replay` says."""
    connect(server, "crm")
    past = []
    for _ in range(5):
        past.append(server.start_sync("crm"))
        clock.advance(60)

    assert reported(world(instance, rudderstack, CRM).tick()) == []

    replaying = world(instance, rudderstack, CRM, replay=3)
    replaying.tick()
    replaying.tick()
    assert sync_ids(instance, "contacts") == past[-3:]


@pytest.mark.parametrize(("replay", "running"), [(50, 0), (50, 3), (10, 3), (230, 0)])
def test_first_tick__replay_of_many(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
    replay: int,
    running: int,
) -> None:
    """`replay` counts the syncs that are over: neither running syncs nor pages limit it."""
    server.add_connection("crm", script=SyncScript(duration_seconds=1), parallel_syncs=True)
    past = []
    for _ in range(240):
        past.append(server.start_sync("crm"))
        clock.advance(1)
    for _ in range(running):
        server.start_sync("crm")

    scene = world(instance, rudderstack, CRM, replay=replay)
    scene.tick()

    assert sync_ids(instance, "contacts") == past[-replay:]
    assert scene.tick().asset_events == []


def test_first_tick__long_running_sync(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
) -> None:
    """A sync that is running at the first tick is reported when it ends, even if 30 newer ones are
    listed above it."""
    server.add_connection("crm", script=SyncScript(duration_seconds=60), parallel_syncs=True)
    long = server.start_sync("crm", script=SyncScript(duration_seconds=7200))
    for _ in range(30):
        server.start_sync("crm")
        clock.advance(60)
    scene = world(instance, rudderstack, CRM)

    assert reported(scene.tick()) == []
    clock.advance(7200)
    scene.tick()
    assert sync_ids(instance, "contacts") == [long]


def test_external_sync__after_a_long_pause(
    scene: World, server: LocalRudderStack, instance: dg.DagsterInstance, clock: ManualClock
) -> None:
    """A sensor that was off while 230 syncs ended reports all of them, in order."""
    started = []
    for _ in range(230):
        started.append(server.start_sync("crm"))
        clock.advance(60)

    scene.tick()

    assert sync_ids(instance, "contacts") == started


@pytest.mark.parametrize("skew_seconds", [-7200, 7200])
def test_external_sync__clock_skew(
    instance: dg.DagsterInstance, clock: ManualClock, skew_seconds: float
) -> None:
    """Each sync is reported once, even if RudderStack's clock is two hours off and changes between
    two ticks."""
    skew = skew_seconds
    with LocalRudderStack(clock=lambda: clock() + skew) as server:
        connect(server, "crm")
        server.start_sync("crm")
        clock.advance(60)
        scene = world(instance, resource_of(server), CRM)
        scene.tick()
        started = []
        for _ in range(3):
            started.append(server.start_sync("crm"))
            clock.advance(60)
            scene.tick()
        skew = -skew_seconds / 2
        # If the clock is set back, syncs that were over are running again for a while.
        clock.advance(2 * 7200)
        started.append(server.start_sync("crm"))
        clock.advance(60)
        scene.tick()
        scene.tick()

    assert sync_ids(instance, "contacts") == started

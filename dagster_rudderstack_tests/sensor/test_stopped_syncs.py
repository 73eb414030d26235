"""What the sensor reports of a sync that a run asked RudderStack to stop."""

import dagster as dg
import pytest

from dagster_rudderstack.testing import LocalRudderStack, ManualClock, SyncScript
from dagster_rudderstack_tests.sensor.world import CRM, FAILING, MINUTE, World, reported, world
from dagster_rudderstack_tests.step.world import resource_of


@pytest.fixture
def stopping(server: LocalRudderStack, instance: dg.DagsterInstance) -> World:
    """An asset whose run stops its sync after 1 s, which takes RudderStack 5 minutes. The sensor
    has polled once."""
    server.add_connection("crm", script=MINUTE, stop_delay_seconds=300)
    scene = world(instance, resource_of(server, sync_timeout_seconds=1), CRM)
    scene.tick()
    return scene


def observed_statuses(instance: dg.DagsterInstance) -> list[object]:
    """Return the statuses in the observations of the asset."""
    records = instance.fetch_observations(dg.AssetKey("contacts"), limit=10).records
    return [
        record.asset_observation.metadata["rudderstack/status"].value
        for record in records
        if record.asset_observation
    ]


def test_stopped_sync__succeeds_first(
    stopping: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """A sync that succeeds before its stop takes effect is materialized once."""
    assert not stopping.run().success
    assert observed_statuses(stopping.instance) == ["stopped"]
    assert len(server.stops("crm")) == 1
    assert reported(stopping.tick()) == []
    clock.advance(60)

    assert reported(stopping.tick())[0] == ("materialized", "contacts")
    assert reported(stopping.tick()) == []


@pytest.mark.parametrize("fails_first", [False, True], ids=["stopped", "fails first"])
def test_stopped_sync__does_not_succeed(
    stopping: World, server: LocalRudderStack, clock: ManualClock, fails_first: bool
) -> None:
    """A sync that was stopped, or failed before, is not reported again."""
    server.set_script("crm", FAILING if fails_first else SyncScript(duration_seconds=3600))
    assert not stopping.run().success
    assert observed_statuses(stopping.instance) == ["stopped"]
    clock.advance(600)

    assert server.syncs("crm")[0].status == "failed"
    assert reported(stopping.tick()) == []

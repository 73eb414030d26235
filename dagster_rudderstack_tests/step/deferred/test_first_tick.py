"""The sensor's first tick comes while a step starts a deferred sync."""

import dagster as dg

from dagster_rudderstack import RudderStackResource
from dagster_rudderstack.testing import Fault, LocalRudderStack, SyncScript
from dagster_rudderstack_tests.sensor.world import reported, sync_ids, world
from dagster_rudderstack_tests.step.deferred.scene import CRM
from dagster_rudderstack_tests.step.world import when


def test_first_tick__start_unanswered(
    rudderstack: RudderStackResource, stored_instance: dg.DagsterInstance, server: LocalRudderStack
) -> None:
    """A deferred sync is reported even if it ends before the sensor's first tick and before
    RudderStack answers its start. Older syncs are not."""
    server.set_script("crm", SyncScript())
    for _ in range(12):
        server.start_sync("crm")
    server.add_fault(Fault("slow", operation="start", seconds=1.5, effect=True))
    scene = world(stored_instance, rudderstack, CRM)
    ticks: list[dg.SensorResult] = []

    with when(lambda: bool(server.starts("crm")), lambda: ticks.append(scene.tick())):
        assert scene.run().success
    ticks += [scene.tick(), scene.tick()]

    assert [bool(reported(tick)) for tick in ticks] == [False, True, False]
    assert sync_ids(stored_instance, "contacts") == [server.syncs("crm")[-1].id]

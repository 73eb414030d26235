"""Failed syncs that no run has reported: the sensor observes each of them once."""

import dagster as dg
import pytest

from dagster_rudderstack import build_rudderstack_sync_op
from dagster_rudderstack.testing import Fault, LocalRudderStack, ManualClock, SyncScript
from dagster_rudderstack_tests.sensor.world import CRM, FAILING, World, reported
from dagster_rudderstack_tests.step.world import resource_of

OBSERVED = [("observed", "contacts")]


def run(scene: World, server: LocalRudderStack, tags: dict[str, str], **settings: object) -> None:
    """Materialize the asset. Its run fails."""
    result = dg.materialize(
        [CRM],
        instance=scene.instance,
        resources={"rudderstack": resource_of(server, **settings)},
        tags=tags,
        raise_on_error=False,
    )
    assert not result.success


def run_and_fail_early(scene: World, server: LocalRudderStack, **tags: str) -> None:
    """Materialize the asset. The run fails before it sees how its sync ends."""
    server.add_fault(Fault("status", operation="get_sync"))
    run(scene, server, tags, outage_tolerance_seconds=0)


def test_failed_sync__run_failed_first(
    scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """A sync that fails after its run has failed is observed once, with the reason of the sync."""
    server.set_script("crm", FAILING)
    run_and_fail_early(scene, server)
    assert reported(scene.tick()) == []
    clock.advance(60)

    tick = scene.tick()

    assert reported(tick) == OBSERVED
    (observation,) = tick.asset_events
    assert "no such table" in str(observation.description)
    assert reported(scene.tick()) == []


def test_failed_sync__timeout_without_stop(
    scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """A sync that its run has left running after the timeout is observed when it fails."""
    server.set_script("crm", FAILING)
    run(scene, server, {}, sync_timeout_seconds=1, stop_on_timeout=False)
    assert reported(scene.tick()) == []
    clock.advance(60)

    assert [reported(scene.tick()) for _ in range(2)] == [OBSERVED, []]


def test_failed_sync__run_will_be_retried(
    scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """A failed sync is not observed as long as a retry of its run will report it."""
    server.set_script("crm", FAILING)
    run_and_fail_early(scene, server, **{"dagster/will_retry": "true"})
    clock.advance(60)

    assert reported(scene.tick()) == []


@pytest.mark.parametrize("sees_end", [True, False])
def test_failed_sync__op(
    scene: World, server: LocalRudderStack, clock: ManualClock, sees_end: bool
) -> None:
    """A failed sync of an op is not observed: the op has no asset."""
    server.set_script("crm", FAILING)
    op = build_rudderstack_sync_op(connection_id="crm")
    if sees_end:
        server.set_script("crm", SyncScript(status="failed", error="no such table"))
    else:
        server.add_fault(Fault("status", operation="get_sync"))

    @dg.job(resource_defs={"rudderstack": resource_of(server, outage_tolerance_seconds=0)})
    def activate() -> None:
        op()

    assert not activate.execute_in_process(instance=scene.instance, raise_on_error=False).success
    clock.advance(60)

    assert reported(scene.tick()) == []

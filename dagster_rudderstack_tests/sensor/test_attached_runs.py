"""One sync that several runs wait for."""

import dagster as dg

from dagster_rudderstack import build_rudderstack_sync_asset
from dagster_rudderstack.testing import Fault, LocalRudderStack, ManualClock
from dagster_rudderstack_tests.sensor.world import CRM, World, materializations, reported
from dagster_rudderstack_tests.step.world import resource_of

ATTACHING = build_rudderstack_sync_asset(
    connection_id="crm", spec="contacts", on_running_sync="attach"
)


def run_and_fail_early(
    scene: World, server: LocalRudderStack, asset: dg.AssetsDefinition, **tags: str
) -> None:
    """Materialize an asset. The run fails before its sync is over."""
    server.add_fault(Fault("status", operation="get_sync"))
    result = dg.materialize(
        [asset],
        instance=scene.instance,
        resources={"rudderstack": resource_of(server, outage_tolerance_seconds=0)},
        tags=tags,
        raise_on_error=False,
    )
    assert not result.success


def test_attached_runs__one_will_report(
    scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """The sensor does not report a sync as long as any of its runs will, even if the run that
    attached to it last has failed."""
    run_and_fail_early(scene, server, CRM, **{"dagster/will_retry": "true"})
    run_and_fail_early(scene, server, ATTACHING)
    clock.advance(60)

    assert len(server.starts("crm")) == 1
    assert reported(scene.tick()) == []


def test_attached_runs__all_failed(
    scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """The sensor reports a sync once if all of its runs have failed before it ended."""
    run_and_fail_early(scene, server, CRM)
    run_and_fail_early(scene, server, ATTACHING)
    clock.advance(60)

    assert reported(scene.tick())[0] == ("materialized", "contacts")
    assert reported(scene.tick()) == []


def test_description__runs_ended_first(
    scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """The materialization of a sync whose step waited for it, and ended before it, says so."""
    run_and_fail_early(scene, server, CRM)
    (sync,) = server.syncs("crm")
    clock.advance(60)
    (started,) = materializations(scene.tick())
    other = server.start_sync("crm")
    run_and_fail_early(scene, server, ATTACHING)
    clock.advance(60)
    (attached,) = materializations(scene.tick())

    succeeded = "succeeded. The step that"
    assert started.description == f"Sync {sync.id} {succeeded} started it had already ended."
    assert attached.description == f"Sync {other} {succeeded} attached to it had already ended."

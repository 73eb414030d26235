"""A deferred sync to which steps attach that wait for it."""

import dagster as dg
import pytest

from dagster_rudderstack import (
    RudderStackMetadataSet,
    build_rudderstack_sync_asset,
    build_rudderstack_sync_op,
)
from dagster_rudderstack.testing import Fault, LocalRudderStack, ManualClock
from dagster_rudderstack_tests.sensor.world import FAILING, World, reported, sync_ids
from dagster_rudderstack_tests.step.deferred.test_timeouts import advance_process_clock
from dagster_rudderstack_tests.step.world import resource_of, when

FAILED = [("observed", "contacts"), ("sync_succeeded failed", "contacts")]


def attach_op(scene: World, server: LocalRudderStack, **settings: object) -> bool:
    """Run an op that attaches to the running sync. Return whether it has succeeded."""
    op = build_rudderstack_sync_op(connection_id="crm", on_running_sync="attach")
    rudderstack = resource_of(server, **settings)

    @dg.job(resource_defs={"rudderstack": rudderstack})
    def activate() -> None:
        op()

    return activate.execute_in_process(instance=scene.instance, raise_on_error=False).success


def attach_asset(scene: World, server: LocalRudderStack, **options: object) -> bool:
    """Run a definition of the same asset that waits. Its run fails before the sync ends."""
    asset = build_rudderstack_sync_asset(
        connection_id="crm", spec="contacts", on_running_sync="attach"
    )
    server.add_fault(Fault("status", operation="get_sync"))
    return dg.materialize(
        [asset],
        instance=scene.instance,
        resources={"rudderstack": resource_of(server, outage_tolerance_seconds=0)},
        raise_on_error=False,
        **options,  # type: ignore[arg-type]
    ).success


@pytest.mark.parametrize("fails", [False, True], ids=["succeeds", "fails"])
def test_op__waits(scene: World, server: LocalRudderStack, clock: ManualClock, fails: bool) -> None:
    """The sensor reports a deferred sync although an op has waited for it: the op materializes no
    asset."""
    if fails:
        server.set_script("crm", FAILING)
    scene.tick()
    scene.run()
    starts = len(server.requests)
    with when(lambda: len(server.requests) > starts + 2, lambda: clock.advance(60)):
        assert attach_op(scene, server) is not fails

    tick = scene.tick()

    if fails:
        assert reported(tick) == FAILED
        assert len(tick.run_requests or ()) == 1
    else:
        assert reported(tick)[0] == ("materialized", "contacts")
    assert reported(scene.tick()) == []
    assert len(server.starts("crm")) == 1


def test_op__does_not_wait_to_the_end(
    scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """A failed deferred sync requests a failing run, although an op has attached to it and failed
    before."""
    server.set_script("crm", FAILING)
    scene.tick()
    scene.run()
    server.add_fault(Fault("status", operation="get_sync"))
    assert not attach_op(scene, server, outage_tolerance_seconds=0)
    clock.advance(60)

    tick = scene.tick()

    assert reported(tick) == FAILED
    assert len(tick.run_requests or ()) == 1


def test_op__timeout(
    scene: World, server: LocalRudderStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timeout stops a deferred sync even if an op attached to it and failed."""
    scene.tick()
    scene.run()
    server.add_fault(Fault("status", operation="get_sync"))
    assert not attach_op(scene, server, outage_tolerance_seconds=0)
    advance_process_clock(monkeypatch, 3 * 3600)

    scene.tick()

    assert len(server.stops("crm")) == 1


@pytest.mark.parametrize("is_retried", [False, True])
def test_asset_step__fails(
    scene: World, server: LocalRudderStack, clock: ManualClock, is_retried: bool
) -> None:
    """The sensor reports a deferred sync if the asset's step that waited for it has failed, unless
    a retry of that step will."""
    scene.tick()
    scene.run()
    tags = {"dagster/will_retry": "true"} if is_retried else {}
    assert not attach_asset(scene, server, tags=tags)
    clock.advance(60)

    ticks = [scene.tick(), scene.tick()]

    assert [bool(reported(tick)) for tick in ticks] == [not is_retried, False]
    owned = [sync.id for sync in server.syncs("crm")]
    assert sync_ids(scene.instance, "contacts") == ([] if is_retried else owned)


def test_origin(scene: World, server: LocalRudderStack, clock: ManualClock) -> None:
    """A deferred sync keeps its origin when an op attaches to it."""
    scene.tick()
    scene.run()
    server.add_fault(Fault("status", operation="get_sync"))
    attach_op(scene, server, outage_tolerance_seconds=0)
    clock.advance(60)

    event = scene.tick().asset_events[0]

    assert isinstance(event, dg.AssetMaterialization)
    assert RudderStackMetadataSet.extract(event.metadata).origin == "started"

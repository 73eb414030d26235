"""The timeout of a deferred sync: the polling sensor stops the sync and reports that."""

import time

import dagster as dg
import pytest

from dagster_rudderstack import build_rudderstack_sync_asset
from dagster_rudderstack.testing import Fault, LocalRudderStack
from dagster_rudderstack_tests.sensor.world import World, reported, world
from dagster_rudderstack_tests.step.deferred.scene import config
from dagster_rudderstack_tests.step.world import failure, resource_of


def advance_process_clock(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Advance the clock of this process, by which the sensor judges timeouts."""
    read = time.time
    monkeypatch.setattr(time, "time", lambda: read() + seconds)


def test_timeout(
    server: LocalRudderStack, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sensor stops a deferred sync whose timeout has passed, reports that once, and requests a
    run that fails."""
    asset = build_rudderstack_sync_asset(
        connection_id="crm", spec="contacts", wait=False, timeout_seconds=600
    )
    scene = world(instance, resource_of(server), asset)
    scene.run()
    in_time = scene.tick()
    advance_process_clock(monkeypatch, 601)
    server.update_connection("crm", stop_delay_seconds=30)
    late, next_tick = scene.tick(), scene.tick()

    assert reported(in_time) == []
    assert reported(late) == [("observed", "contacts"), ("sync_succeeded failed", "contacts")]
    (event, _) = late.asset_events
    assert "did not end within its timeout: RudderStack was asked to stop it" in (
        event.description or ""
    )
    assert reported(next_tick) == []
    assert server.stops("crm")
    server.clock.advance(30)  # type: ignore[attr-defined]
    (run,) = scene.launch(scene.tick())
    assert not run.success


def test_timeout__is_the_reason(
    scene: World, server: LocalRudderStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The observation, the check and the run of a sync that its timeout stopped give the timeout as
    the reason."""
    scene.run()
    advance_process_clock(monkeypatch, 121)
    scene.tick()

    result = scene.tick()
    (run,) = scene.launch(result)

    (sync,) = server.syncs("crm")
    reason = f"Sync {sync.id} of connection crm did not end within its timeout and was stopped"
    assert [(event.description or "").startswith(reason) for event in result.asset_events] == [
        True,
        True,
    ]
    assert failure(run).startswith(reason)
    assert "increase the timeout" in failure(run)
    assert "Fix the source" not in failure(run)


def test_timeout__stop_fails_at_first(
    scene: World, server: LocalRudderStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the stop fails, the next tick stops the sync and reports that, and the timeout is still
    the reason of the run that fails."""
    server.update_connection("crm", stop_delay_seconds=30)
    server.add_fault(Fault("status", operation="stop", status=500))
    scene.run()
    advance_process_clock(monkeypatch, 121)

    first, second, third = (scene.tick().asset_events for _ in range(3))
    server.clock.advance(30)  # type: ignore[attr-defined]
    (run,) = scene.launch(scene.tick())

    assert "it may not have been stopped" in (first[0].description or "")
    assert "RudderStack was asked to stop it" in (second[0].description or "")
    assert third == []
    assert "did not end within its timeout and was stopped" in failure(run)


def test_timeout__run_attached(
    scene: World, server: LocalRudderStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timeout stops an owned deferred sync even if a later run attached to it."""
    scene.run()
    scene.run(run_config=config(on_running_sync="attach"))
    advance_process_clock(monkeypatch, 121)

    events = scene.tick().asset_events

    assert "RudderStack was asked to stop it" in (events[0].description or "")
    assert len(server.stops("crm")) == 1


def test_timeout__stop_on_timeout_off(
    server: LocalRudderStack, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `stop_on_timeout=False`, the sensor reports that the sync is late, and the sync goes
    on."""
    asset = build_rudderstack_sync_asset(
        connection_id="crm", spec="contacts", wait=False, timeout_seconds=600
    )
    scene = world(instance, resource_of(server, stop_on_timeout=False), asset)
    scene.run()
    scene.tick()
    advance_process_clock(monkeypatch, 601)

    events = scene.tick().asset_events

    assert "it was left running" in (events[0].description or "")
    assert server.stops("crm") == []

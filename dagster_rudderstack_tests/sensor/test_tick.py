"""How a tick of the sensor ends: errors, outages, pauses, and ticks that are repeated."""

import contextlib
import gc
import threading
import time
from dataclasses import replace

import dagster as dg
import pytest

from dagster_rudderstack import (
    AuthenticationError,
    RateLimitedError,
    RudderStackResource,
    TransportError,
    build_rudderstack_polling_sensor,
    build_rudderstack_sync_asset,
)
from dagster_rudderstack.api.client import RudderStackClient
from dagster_rudderstack.testing import Fault, LocalRudderStack, ManualClock
from dagster_rudderstack_tests.sensor.world import (
    CRM,
    World,
    connect,
    materializations,
    reported,
    sync_ids,
    world,
)
from dagster_rudderstack_tests.step.world import resource_of


def test_tick__closes_its_client(scene: World) -> None:
    """A tick closes its client, and does not leave that to the garbage collector."""

    def open_clients() -> set[int]:
        found = (each for each in gc.get_objects() if isinstance(each, RudderStackClient))
        return {id(client) for client in found if not client._transport._http.is_closed}

    before = open_clients()
    gc.disable()
    try:
        scene.tick()
        left = open_clients() - before
    finally:
        gc.enable()

    assert left == set()


def test_tick__broken_connections(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Broken connections are named in the log, and the other one is reported. The sync of a broken
    connection is reported once the connection is fixed."""
    connect(server, "good", "gone", "denied", "odd")
    names = ["good", "gone", "denied", "odd"]
    assets = [build_rudderstack_sync_asset(connection_id=n, spec=n) for n in names]
    scene = world(instance, rudderstack, *assets)
    scene.tick()
    for name in names:
        server.start_sync(name)
    clock.advance(60)
    server.remove_connection("gone")
    server.deny("no permission", connection_id="denied")
    server.add_fault(Fault("wrong_type", connection_id="odd", times=None))

    broken = scene.tick()
    warnings = [line for line in capfd.readouterr().err.splitlines() if "WARNING" in line]
    server.allow_everything()
    server.clear_faults()
    fixed = scene.tick()

    assert [each.asset_key.to_user_string() for each in materializations(broken)] == ["good"]
    for name in ("gone", "denied", "odd"):
        assert any(f"Connection {name} could not be polled." in line for line in warnings)
    assert sorted(each.asset_key.to_user_string() for each in materializations(fixed)) == [
        "denied",
        "odd",
    ]


def test_tick__outage(scene: World, server: LocalRudderStack, clock: ManualClock) -> None:
    """During an outage the tick fails. The next tick reports what it has missed."""
    server.start_sync("crm")
    clock.advance(60)
    server.add_fault(Fault("reset", times=None))

    with pytest.raises(TransportError):
        scene.tick()
    server.clear_faults()
    assert reported(scene.tick())[0] == ("materialized", "contacts")


def test_tick__pause_longer_than_the_tick(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """If RudderStack asks for a longer pause than a tick, the tick ends at once and says so. It
    leaves no thread behind, and no connection loses its turn."""
    names = [f"c{number:02}" for number in range(40)]
    connect(server, *names)
    assets = [build_rudderstack_sync_asset(connection_id=name, spec=name) for name in names]
    scene = world(instance, rudderstack, *assets, tick_seconds=20)
    scene.tick()
    server.add_fault(Fault("status", status=429, retry_after=60))
    # Other tests of this process may have left threads that wait in a pause.
    earlier = set(threading.enumerate())
    began = time.monotonic()
    with contextlib.suppress(RateLimitedError):  # The 429 may be the only answer.
        scene.tick()
    before = scene.cursor
    capfd.readouterr()

    result = scene.tick()

    assert time.monotonic() - began < 10
    assert result.skip_reason is not None
    assert "Polled 0 of 40" in (result.skip_reason.skip_message or "")
    assert "RudderStack asked for a pause of another" in (result.skip_reason.skip_message or "")
    assert "WARNING" in (log := capfd.readouterr().err)
    assert "RudderStack asked for a pause of another" in log
    assert scene.cursor == before
    left = [
        each
        for each in set(threading.enumerate()) - earlier
        if each.name.startswith("rudderstack-")
    ]
    for each in left:
        each.join(60)
    assert not any(each.is_alive() for each in left)


def test_tick__no_answer(
    scene: World,
    server: LocalRudderStack,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A tick in which no connection answers says so, in its skip reason and in the log."""
    monkeypatch.setattr("dagster_rudderstack.sensor.poll.STRAGGLERS_SECONDS", 0.1)
    server.latency_seconds = 4
    slow = build_rudderstack_polling_sensor(assets=[CRM], tick_seconds=1)

    result = replace(scene, sensor=slow).tick()

    message = "RudderStack did not answer in time for any connection."
    assert result.skip_reason is not None
    assert message in (result.skip_reason.skip_message or "")
    assert f"WARNING - {message}" in capfd.readouterr().err


def test_tick__wrong_token(scene: World, server: LocalRudderStack) -> None:
    """A tick with a wrong token fails with the reason."""
    scene.rudderstack = resource_of(server, access_token="wrong-token")

    with pytest.raises(AuthenticationError, match="check the region"):
        scene.tick()


def test_tick__lost_cursor(
    scene: World, server: LocalRudderStack, instance: dg.DagsterInstance, clock: ManualClock
) -> None:
    """If a tick's events were stored and its cursor was not, the next tick does not repeat them."""
    sync_id = server.start_sync("crm")
    before = scene.cursor
    clock.advance(60)
    scene.tick()
    scene.cursor = before

    assert reported(scene.tick()) == []
    assert sync_ids(instance, "contacts") == [sync_id]


def test_tick__two_at_once(
    stored_scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """Two ticks at once, with the same cursor, report the same."""
    server.start_sync("crm")
    clock.advance(60)
    found: list[list[tuple[str, str]]] = []

    def evaluate() -> None:
        with dg.build_sensor_context(
            stored_scene.instance,
            cursor=stored_scene.cursor,
            resources={"rudderstack": resource_of(server)},
        ) as context:
            result = stored_scene.sensor(context)
        assert isinstance(result, dg.SensorResult)
        found.append(reported(result))

    threads = [threading.Thread(target=evaluate) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 2
    assert found[0] == found[1] != []

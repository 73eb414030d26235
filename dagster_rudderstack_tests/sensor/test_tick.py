"""How a tick of the sensor ends: errors, outages, pauses, and ticks that are repeated."""

import contextlib
import json
import threading
import time
from dataclasses import replace
from typing import Any

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
from dagster_rudderstack.api.models import Sync
from dagster_rudderstack.sensor.cursor import Cursor
from dagster_rudderstack.sensor.detect import Answer, ConnectionRules, detect
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


def test_tick__closes_its_client(scene: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick closes its client, and does not leave that to the garbage collector."""
    made: list[RudderStackClient] = []
    original = RudderStackClient.__init__

    def noted(self: RudderStackClient, *args: Any, **options: Any) -> None:
        original(self, *args, **options)
        made.append(self)

    monkeypatch.setattr(RudderStackClient, "__init__", noted)

    scene.tick()

    assert [client._transport._http.is_closed for client in made] == [True]


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
    log = capfd.readouterr().err
    server.allow_everything()
    server.clear_faults()
    fixed = scene.tick()

    assert [each.asset_key.to_user_string() for each in materializations(broken)] == ["good"]
    for name in ("gone", "denied", "odd"):
        assert f"Connection {name} could not be polled." in log
    assert sorted(each.asset_key.to_user_string() for each in materializations(fixed)) == [
        "denied",
        "odd",
    ]


def test_tick__many_broken_connections(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Many broken connections are one warning, with one of each kind of error first."""
    names = [f"c{number:03}" for number in range(200)]
    connect(server, "good", *names)
    assets = [build_rudderstack_sync_asset(connection_id=n, spec=n) for n in ("good", *names)]
    scene = world(instance, rudderstack, *assets)
    for name in names[:-1]:
        server.remove_connection(name)
    server.deny("no permission", connection_id=names[-1])

    scene.tick()
    log = capfd.readouterr().err

    assert log.count("WARNING") == 1
    examples = [line for line in log.splitlines() if "could not be polled" in line]
    assert len(examples) == 3
    assert [" 403 " in line for line in examples] == [False, True, False]
    assert "Also affected: c002, c003, " in log
    assert " and 177 more connections." in log


@pytest.mark.parametrize("count", [1, 15])
@pytest.mark.parametrize("bad", ["../" * 1000, "", None, {"a": 1}], ids=range(4))
def test_tick__unusable_ids(
    scene: World,
    server: LocalRudderStack,
    clock: ManualClock,
    capfd: pytest.CaptureFixture[str],
    bad: object,
    count: int,
) -> None:
    """Syncs that cannot be asked for are left out. The others of their connection are reported."""
    scene.tick()
    server.start_sync("crm")
    clock.advance(60)
    path = "/retl-connections/crm/syncs"
    listed = scene.rudderstack.get_client()._transport.request("GET", path)["syncs"]
    broken = [{"id": bad, "status": "running"}] * count
    body = json.dumps({"syncs": [*broken, *listed]})
    server.add_fault(Fault("body", operation="list_syncs", body=body, times=None))

    assert reported(scene.tick())[0] == ("materialized", "contacts")

    log = capfd.readouterr().err
    assert "Connection crm lists a sync without a usable id." in log
    assert len(log) < 1000
    assert len(scene.cursor or "") < 200


def test_cursor__hostile_ids() -> None:
    """However many syncs with long ids are listed as running, the cursor stays small."""
    listed = [Sync(id=f"{number:0128}", status="running") for number in range(1000)]

    detected = detect(Cursor(), {"crm": Answer(listed)}, {"crm": ConnectionRules()}, now=0.0)

    assert len(detected.cursor.to_text()) < 4_000


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

    with pytest.raises(AuthenticationError, match="may be wrong or revoked"):
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

"""The sensor in Dagster: what its ticks report, and how they fail."""

import contextlib
import gc
import threading
import time
from dataclasses import replace

import dagster as dg
import pytest

from dagster_rudderstack import (
    AuthenticationError,
    InvalidSettingError,
    MetadataKey,
    RateLimitedError,
    RejectedRowsCheck,
    RudderStackResource,
    TransportError,
    build_rudderstack_polling_sensor,
    build_rudderstack_sync_asset,
    build_rudderstack_sync_assets,
    rudderstack_sync_op,
)
from dagster_rudderstack.api.client import RudderStackClient
from dagster_rudderstack.testing import Fault, LocalRudderStack, ManualClock, SyncScript
from dagster_rudderstack_tests.sensor.world import (
    FAILING,
    World,
    connect,
    materializations,
    reported,
    sync_ids,
    world,
)
from dagster_rudderstack_tests.step.world import record_kinds, resource_of, when

CRM = build_rudderstack_sync_asset(connection_id="crm", spec="contacts")


@pytest.fixture
def scene(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> World:
    """A connection with one asset. Its sensor has polled once."""
    return polled_once(server, rudderstack, instance)


@pytest.fixture
def stored_scene(
    server: LocalRudderStack, rudderstack: RudderStackResource, stored_instance: dg.DagsterInstance
) -> World:
    """The same in a stored instance, so that a sensor can tick while a run writes."""
    return polled_once(server, rudderstack, stored_instance)


def polled_once(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> World:
    """Return a connection with one asset, whose sensor has polled once."""
    connect(server, "crm")
    made = world(instance, rudderstack, CRM)
    made.tick()
    return made


# --- started outside of Dagster


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
    assert metadata[MetadataKey.ORIGIN].value == "observed"
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
    """A sync that is over and has not succeeded is an observation, whatever its status is."""
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


# --- started by a run


def test_owned_sync__reported(
    scene: World, server: LocalRudderStack, instance: dg.DagsterInstance, clock: ManualClock
) -> None:
    """The sensor does not report a sync that a run has materialized."""
    with when(lambda: bool(server.starts()), lambda: clock.advance(60)):
        scene.run()

    assert reported(scene.tick()) == []
    assert len(sync_ids(instance, "contacts")) == 1


@pytest.mark.parametrize("partitions", [None, ("p0", "p5")], ids=["whole", "range"])
def test_owned_sync__many_reported_during_a_pause(
    server: LocalRudderStack,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    partitions: tuple[str, str] | None,
) -> None:
    """After a pause, the sensor reports no sync that runs have materialized, even if there are many
    runs or many partitions of each."""
    monkeypatch.setattr("dagster_rudderstack.sensor.event_log.EVENTS_READ", 1)
    monkeypatch.setattr("dagster_rudderstack.sensor.event_log.PAGE_SIZE", 2)
    connect(server, "crm", script=SyncScript())
    asset = build_rudderstack_sync_asset(
        connection_id="crm",
        spec="contacts",
        partitions_def=dg.StaticPartitionsDefinition([f"p{number}" for number in range(6)])
        if partitions
        else None,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    bounds = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
    scene = world(instance, resource_of(server), asset)
    scene.tick()
    tags = dict(zip(bounds, partitions, strict=True)) if partitions else {}
    for _ in range(4):
        assert scene.run(tags=tags).success

    assert reported(scene.tick()) == []
    assert len(sync_ids(instance, "contacts")) == 4 * (6 if partitions else 1)


def test_owned_sync__run_is_waiting(
    stored_scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """The sensor does not report a sync that is over while its run is still waiting for it."""
    rudderstack = resource_of(server, poll_min_interval_seconds=3, poll_max_interval_seconds=3)
    ticks: list[dg.SensorResult] = []

    def tick_after_the_sync() -> None:
        clock.advance(60)
        ticks.append(stored_scene.tick())

    with when(lambda: "waiting" in record_kinds(stored_scene.instance), tick_after_the_sync):
        dg.materialize(
            [CRM], instance=stored_scene.instance, resources={"rudderstack": rudderstack}
        )
    ticks.append(stored_scene.tick())

    assert [reported(tick) for tick in ticks] == [[], []]
    assert len(sync_ids(stored_scene.instance, "contacts")) == 1


def test_owned_sync__not_recorded_yet(
    stored_scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """The sensor does not report a sync that is over before its run has recorded it."""
    server.set_script("crm", SyncScript())
    server.add_fault(Fault("slow", operation="start", seconds=1.5, effect=True))
    ticks: list[dg.SensorResult] = []

    with when(lambda: bool(server.syncs("crm")), lambda: ticks.append(stored_scene.tick())):
        stored_scene.run()
    ticks.append(stored_scene.tick())

    assert [reported(tick) for tick in ticks] == [[], []]
    assert len(sync_ids(stored_scene.instance, "contacts")) == 1


def test_owned_sync__group(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
) -> None:
    """The sensor does not report the syncs of a step with many connections."""
    names = ["a", "b", "c"]
    connect(server, *names)
    group = build_rudderstack_sync_assets(connections={n: n for n in names}, name="group")
    scene = world(instance, rudderstack, group)
    scene.tick()

    with when(lambda: len(server.starts()) == 3, lambda: clock.advance(60)):
        scene.run()

    assert reported(scene.tick()) == []


def test_owned_sync__failed(scene: World, server: LocalRudderStack, clock: ManualClock) -> None:
    """The sensor does not report a failed sync whose run has failed with it."""
    server.set_script("crm", FAILING)
    with when(lambda: bool(server.starts()), lambda: clock.advance(60)):
        result = scene.run()

    assert not result.success
    assert reported(scene.tick()) == []


def test_owned_sync__run_failed_first(
    scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """The sensor reports a sync that succeeds after its run has failed, if no retry will."""
    server.add_fault(Fault("status", operation="get_sync"))
    without_tolerance = resource_of(server, outage_tolerance_seconds=0)
    result = dg.materialize(
        [CRM],
        instance=scene.instance,
        resources={"rudderstack": without_tolerance},
        raise_on_error=False,
    )
    clock.advance(60)

    assert not result.success
    assert reported(scene.tick())[0] == ("materialized", "contacts")


def test_owned_sync__run_will_be_retried(
    scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """The sensor does not report a sync whose run has failed and will be retried."""
    server.add_fault(Fault("status", operation="get_sync"))
    without_tolerance = resource_of(server, outage_tolerance_seconds=0)
    dg.materialize(
        [CRM],
        instance=scene.instance,
        resources={"rudderstack": without_tolerance},
        tags={"dagster/will_retry": "true"},
        raise_on_error=False,
    )
    clock.advance(60)

    assert reported(scene.tick()) == []


def test_owned_sync__op(scene: World, server: LocalRudderStack, clock: ManualClock) -> None:
    """The sensor does not report a sync of the op, although the op has no asset."""

    @dg.job(resource_defs={"rudderstack": scene.rudderstack})
    def activate() -> None:
        rudderstack_sync_op()

    config = {"ops": {"rudderstack_sync_op": {"config": {"connection_id": "crm"}}}}
    with when(lambda: bool(server.starts()), lambda: clock.advance(60)):
        activate.execute_in_process(run_config=config, instance=scene.instance)

    assert reported(scene.tick()) == []


# --- errors and outages


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
    began = time.monotonic()
    with contextlib.suppress(RateLimitedError):  # The 429 may be the only answer.
        scene.tick()
    before = scene.cursor
    capfd.readouterr()

    result = scene.tick()

    assert time.monotonic() - began < 10
    assert result.skip_reason is not None
    assert "Polled 0 of 40" in (result.skip_reason.skip_message or "")
    assert "RudderStack asked for no requests for another" in (
        result.skip_reason.skip_message or ""
    )
    assert "WARNING" in (log := capfd.readouterr().err)
    assert "RudderStack asked for no requests for another" in log
    assert scene.cursor == before
    left = [each for each in threading.enumerate() if each.name.startswith("rudderstack-")]
    for each in left:
        each.join(2)
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

    assert "No connection answered in time." in (result.skip_reason.skip_message or "")  # type: ignore[union-attr]
    assert "WARNING - No connection answered in time." in capfd.readouterr().err


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


# --- what the sensor is built from


def test_sensor__resource_with_env_vars(
    server: LocalRudderStack, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings of the sensor's resource can be `EnvVar`s, the dashboard address included."""
    connect(server, "crm")
    monkeypatch.setenv("TOKEN", server.access_token)
    monkeypatch.setenv("URL", server.url)
    monkeypatch.setenv("LINK", "https://app.example/{connection_id}/{sync_id}")
    rudderstack = RudderStackResource(
        access_token=dg.EnvVar("TOKEN"),
        api_url=dg.EnvVar("URL"),
        dashboard_url=dg.EnvVar("LINK"),
    )
    sensor = build_rudderstack_polling_sensor(assets=[CRM], replay=1)
    server.set_script("crm", SyncScript())
    sync_id = server.start_sync("crm")

    with dg.build_sensor_context(instance, resources={"rudderstack": rudderstack}) as context:
        data = sensor.evaluate_tick(context)

    (materialization, _) = data.asset_events
    assert materialization.metadata[MetadataKey.LINK].value == f"https://app.example/crm/{sync_id}"


def test_sensor__specs_and_connection_ids(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
) -> None:
    """The sensor also watches specs that have a connection in their metadata, and connections by
    id. It evaluates its own check for them."""
    connect(server, "a", "b")
    sensor = build_rudderstack_polling_sensor(
        assets=[
            dg.AssetSpec("spec", metadata={"rudderstack/connection_id": "a"}),
            dg.AssetSpec("something else"),
        ],
        connections={"b": ["plain", "key"]},
        rejected_rows_check=RejectedRowsCheck(name="rows"),
    )
    scene = World(instance, rudderstack, [], sensor)
    scene.tick()
    server.start_sync("a")
    server.start_sync("b")
    clock.advance(60)

    assert sorted(reported(scene.tick())) == [
        ("materialized", "plain/key"),
        ("materialized", "spec"),
        ("rows passed", "plain/key"),
        ("rows passed", "spec"),
    ]


def test_sensor__check_of_the_asset(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
) -> None:
    """The sensor evaluates the asset's own check, with its limits and its severity."""
    connect(server, "crm", script=SyncScript(rows_total=10, rows_failed=3))
    check = RejectedRowsCheck(max_failed_rows=2, severity="ERROR")
    asset = build_rudderstack_sync_asset(
        connection_id="crm", spec="contacts", rejected_rows_check=check
    )
    scene = world(instance, rudderstack, asset)
    scene.tick()
    server.start_sync("crm")

    (evaluation,) = [
        each for each in scene.tick().asset_events if isinstance(each, dg.AssetCheckEvaluation)
    ]

    assert not evaluation.passed
    assert evaluation.severity is dg.AssetCheckSeverity.ERROR
    assert evaluation.description == "3 of 10 rows were rejected (30.0 %); up to 2 are accepted."


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "There is no connection to watch"),
        ({"assets": [dg.AssetSpec("x")]}, "There is no connection to watch"),
        ({"assets": [CRM], "connections": {"crm": "other"}}, "'contacts' and 'other'"),
        ({"connections": {"a/b": "x"}}, "connection_id 'a/b'"),
        ({"assets": [CRM], "replay": -1}, "replay -1"),
        ({"assets": [CRM], "tick_seconds": 60}, "tick_seconds 60"),
        ({"assets": [CRM], "failed_syncs": "page"}, "failed_syncs 'page' is unknown"),
    ],
)
def test_sensor__bad_input(options: dict[str, object], message: str) -> None:
    """Wrong input is an error when the sensor is built, and the message names it."""
    with pytest.raises(InvalidSettingError) as caught:
        build_rudderstack_polling_sensor(**options)  # type: ignore[arg-type]

    assert message in str(caught.value)

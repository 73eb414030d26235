"""The sensor in Dagster: syncs that were started elsewhere, next to those of Dagster's own runs."""

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
    sync_ids,
    told,
    world,
)
from dagster_rudderstack_tests.step.world import record_kinds, resource_of, when

CRM = build_rudderstack_sync_asset(connection_id="crm", spec="contacts")
ADS = build_rudderstack_sync_asset(connection_id="ads", spec="audience")


@pytest.fixture
def scene(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> World:
    """A connection with one asset, whose sensor has looked once."""
    return watched(server, rudderstack, instance)


@pytest.fixture
def stored_scene(
    server: LocalRudderStack, rudderstack: RudderStackResource, stored_instance: dg.DagsterInstance
) -> World:
    """The same, for a test that looks from another thread while a run writes."""
    return watched(server, rudderstack, stored_instance)


def watched(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> World:
    connect(server, "crm")
    made = world(instance, rudderstack, CRM)
    made.tick()
    return made


# --- started elsewhere


def test_a_scheduled_sync_is_materialized(
    scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """A sync that RudderStack's schedule started is materialized when it has ended, once, with the
    facts that a run would report."""
    server.script_next("crm", SyncScript(duration_seconds=60, rows_total=10, rows_failed=2))
    sync_id = server.start_sync("crm", origin="schedule")
    while_it_runs = scene.tick()
    clock.advance(60)
    when_it_is_over, later = scene.tick(), scene.tick()

    assert told(while_it_runs) == []
    assert told(when_it_is_over) == [
        ("materialized", "contacts"),
        ("rejected_rows failed", "contacts"),
    ]
    assert told(later) == []
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


def test_a_failed_sync_is_observed(
    scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """A sync that failed is no materialization: it is an observation that says why."""
    server.set_script("crm", FAILING)
    server.start_sync("crm", origin="dashboard")
    clock.advance(60)

    result = scene.tick()

    assert told(result) == [("observed", "contacts")]
    (event,) = result.asset_events
    assert "no such table" in (event.description or "")
    assert scene.tick().asset_events == []


@pytest.mark.parametrize("status", ["Completed, with failures", "aborted", "paused"])
def test_an_unknown_status_is_not_a_success(
    scene: World, server: LocalRudderStack, clock: ManualClock, status: str
) -> None:
    """A sync that is over with a status that we do not know is never materialized."""
    server.set_script("crm", SyncScript(duration_seconds=60, status=status))
    server.start_sync("crm")
    clock.advance(60)

    assert told(scene.tick()) == [("observed", "contacts")]


def test_history_is_not_replayed(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
) -> None:
    """The first tick reports nothing of the past unless asked to; then as much as was asked for."""
    connect(server, "crm")
    past = []
    for _ in range(5):
        past.append(server.start_sync("crm"))
        clock.advance(60)

    assert told(world(instance, rudderstack, CRM).tick()) == []

    replaying = world(instance, rudderstack, CRM, replay=3)
    replaying.tick()
    replaying.tick()
    assert sync_ids(instance, "contacts") == past[-3:]


@pytest.mark.parametrize(("replay", "running"), [(50, 0), (50, 3), (10, 3), (230, 0)])
def test_replay_of_many(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
    replay: int,
    running: int,
) -> None:
    """However many syncs of the past are asked for, beside those that run, all are reported."""
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


def test_a_long_sync_from_before_the_first_look(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
) -> None:
    """A sync that runs when the sensor first looks is reported when it ends, however many newer
    ones stand above it."""
    server.add_connection("crm", script=SyncScript(duration_seconds=60), parallel_syncs=True)
    long = server.start_sync("crm", script=SyncScript(duration_seconds=7200))
    for _ in range(30):
        server.start_sync("crm")
        clock.advance(60)
    scene = world(instance, rudderstack, CRM)

    assert told(scene.tick()) == []
    clock.advance(7200)
    scene.tick()
    assert sync_ids(instance, "contacts") == [long]


def test_nothing_is_missed_after_a_long_pause(
    scene: World, server: LocalRudderStack, instance: dg.DagsterInstance, clock: ManualClock
) -> None:
    """A sensor that was off while 230 syncs ended reports all of them, in their order."""
    started = []
    for _ in range(230):
        started.append(server.start_sync("crm"))
        clock.advance(60)

    scene.tick()

    assert sync_ids(instance, "contacts") == started


def test_a_tick_leaves_no_connection_open(scene: World) -> None:
    """The process that ticks lives on: a tick closes its client, and not the garbage collector."""

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
def test_clock_skew(instance: dg.DagsterInstance, clock: ManualClock, skew_seconds: float) -> None:
    """A server whose clock is hours off, and is set right between two ticks, makes no
    difference."""
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
        # A sync that ended in the future, by the clock that is now right, runs again for a while.
        clock.advance(2 * 7200)
        started.append(server.start_sync("crm"))
        clock.advance(60)
        scene.tick()
        scene.tick()

    assert sync_ids(instance, "contacts") == started


# --- started by Dagster


def test_what_a_run_reported_is_not_reported_again(
    scene: World, server: LocalRudderStack, instance: dg.DagsterInstance, clock: ManualClock
) -> None:
    """A sync that a run has materialized is not materialized by the sensor."""
    with when(lambda: bool(server.starts()), lambda: clock.advance(60)):
        scene.run()

    assert told(scene.tick()) == []
    assert len(sync_ids(instance, "contacts")) == 1


@pytest.mark.parametrize("partitions", [None, ("p0", "p5")], ids=["whole", "range"])
def test_what_many_runs_reported_while_the_sensor_was_off(
    server: LocalRudderStack,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    partitions: tuple[str, str] | None,
) -> None:
    """However many syncs runs have materialized while the sensor was off, in however many
    partitions each, it repeats none."""
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

    assert told(scene.tick()) == []
    assert len(sync_ids(instance, "contacts")) == 4 * (6 if partitions else 1)


def test_what_a_run_waits_for_is_left_to_it(
    stored_scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """A sync is not reported while the run that started it has not done so, though it is over."""
    rudderstack = resource_of(server, poll_min_interval_seconds=3, poll_max_interval_seconds=3)
    ticks: list[dg.SensorResult] = []

    def look() -> None:
        clock.advance(60)
        ticks.append(stored_scene.tick())

    with when(lambda: "waiting" in record_kinds(stored_scene.instance), look):
        dg.materialize(
            [CRM], instance=stored_scene.instance, resources={"rudderstack": rudderstack}
        )
    ticks.append(stored_scene.tick())

    assert [told(tick) for tick in ticks] == [[], []]
    assert len(sync_ids(stored_scene.instance, "contacts")) == 1


def test_what_a_run_is_about_to_write_down(
    stored_scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """A sync that is over before its run could write it down is left to that run."""
    server.set_script("crm", SyncScript())
    server.add_fault(Fault("slow", operation="start", seconds=1.5, effect=True))
    ticks: list[dg.SensorResult] = []

    with when(lambda: bool(server.syncs("crm")), lambda: ticks.append(stored_scene.tick())):
        stored_scene.run()
    ticks.append(stored_scene.tick())

    assert [told(tick) for tick in ticks] == [[], []]
    assert len(sync_ids(stored_scene.instance, "contacts")) == 1


def test_a_group_is_left_to_its_run(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
) -> None:
    """What holds for one connection's asset holds for many in one step."""
    names = ["a", "b", "c"]
    connect(server, *names)
    group = build_rudderstack_sync_assets(connections={n: n for n in names}, name="group")
    scene = world(instance, rudderstack, group)
    scene.tick()

    with when(lambda: len(server.starts()) == 3, lambda: clock.advance(60)):
        scene.run()

    assert told(scene.tick()) == []


def test_a_failed_sync_of_a_run_is_told_by_the_run(
    scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """The sensor says nothing about a failed sync whose run has failed with it."""
    server.set_script("crm", FAILING)
    with when(lambda: bool(server.starts()), lambda: clock.advance(60)):
        result = scene.run()

    assert not result.success
    assert told(scene.tick()) == []


def test_a_sync_that_its_run_lost_is_reported(
    scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """A sync whose run has failed, with no retry in sight, is reported when it ends well."""
    server.add_fault(Fault("status", operation="get_sync"))
    impatient = resource_of(server, outage_tolerance_seconds=0)
    result = dg.materialize(
        [CRM],
        instance=scene.instance,
        resources={"rudderstack": impatient},
        raise_on_error=False,
    )
    clock.advance(60)

    assert not result.success
    assert told(scene.tick())[0] == ("materialized", "contacts")


def test_a_sync_that_a_retry_will_take_up_is_left_to_it(
    scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """A sync whose run has failed and is to be retried is left to the retry."""
    server.add_fault(Fault("status", operation="get_sync"))
    impatient = resource_of(server, outage_tolerance_seconds=0)
    dg.materialize(
        [CRM],
        instance=scene.instance,
        resources={"rudderstack": impatient},
        tags={"dagster/will_retry": "true"},
        raise_on_error=False,
    )
    clock.advance(60)

    assert told(scene.tick()) == []


def test_ops_count_as_well(scene: World, server: LocalRudderStack, clock: ManualClock) -> None:
    """A sync of the op, which is recorded with the connection, is not reported as one from
    elsewhere."""

    @dg.job(resource_defs={"rudderstack": scene.rudderstack})
    def activate() -> None:
        rudderstack_sync_op()

    config = {"ops": {"rudderstack_sync_op": {"config": {"connection_id": "crm"}}}}
    with when(lambda: bool(server.starts()), lambda: clock.advance(60)):
        activate.execute_in_process(run_config=config, instance=scene.instance)

    assert told(scene.tick()) == []


# --- troubles


def test_one_broken_connection_does_not_stop_the_others(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A connection that is gone, one that may not be read and one that answers nonsense are named
    in
    the log; the others are reported; so are theirs when they are well again."""
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
    mended = scene.tick()

    assert [each.asset_key.to_user_string() for each in materializations(broken)] == ["good"]
    for name in ("gone", "denied", "odd"):
        assert any(f"Connection {name} could not be polled." in line for line in warnings)
    assert sorted(each.asset_key.to_user_string() for each in materializations(mended)) == [
        "denied",
        "odd",
    ]


def test_an_outage_fails_the_tick(
    scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """When RudderStack is out of reach the tick fails and says why; the next one misses nothing."""
    server.start_sync("crm")
    clock.advance(60)
    server.add_fault(Fault("reset", times=None))

    with pytest.raises(TransportError):
        scene.tick()
    server.clear_faults()
    assert told(scene.tick())[0] == ("materialized", "contacts")


def test_a_long_pause_ends_the_tick(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """When RudderStack wants us to wait longer than a tick lasts, the tick ends at once, says so,
    leaves no thread behind, and no connection loses its turn."""
    names = [f"c{number:02}" for number in range(40)]
    connect(server, *names)
    assets = [build_rudderstack_sync_asset(connection_id=name, spec=name) for name in names]
    scene = world(instance, rudderstack, *assets, tick_seconds=20)
    scene.tick()
    server.add_fault(Fault("status", status=429, retry_after=60))
    began = time.monotonic()
    with contextlib.suppress(RateLimitedError):  # It may be the first answer, and the only one.
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


def test_a_tick_in_which_nothing_answers(
    scene: World,
    server: LocalRudderStack,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A tick that has heard of nothing does not look like one that had nothing to report."""
    monkeypatch.setattr("dagster_rudderstack.sensor.poll.STRAGGLERS_SECONDS", 0.1)
    server.latency_seconds = 4
    slow = build_rudderstack_polling_sensor(assets=[CRM], tick_seconds=1)

    result = replace(scene, sensor=slow).tick()

    assert "No connection answered in time." in (result.skip_reason.skip_message or "")  # type: ignore[union-attr]
    assert "WARNING - No connection answered in time." in capfd.readouterr().err


def test_a_wrong_token_fails_the_tick(scene: World, server: LocalRudderStack) -> None:
    """A token that is not accepted is an error that the tick shows."""
    scene.rudderstack = resource_of(server, access_token="wrong-token")

    with pytest.raises(AuthenticationError, match="check the region"):
        scene.tick()


def test_a_tick_whose_result_was_lost(
    scene: World, server: LocalRudderStack, instance: dg.DagsterInstance, clock: ManualClock
) -> None:
    """If events were stored and the cursor was not, the next tick does not repeat them."""
    sync_id = server.start_sync("crm")
    before = scene.cursor
    clock.advance(60)
    scene.tick()
    scene.cursor = before

    assert told(scene.tick()) == []
    assert sync_ids(instance, "contacts") == [sync_id]


def test_two_ticks_at_once(
    stored_scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """Ticks share nothing but the cursor: two of them side by side find the same."""
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
        found.append(told(result))

    threads = [threading.Thread(target=evaluate) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 2
    assert found[0] == found[1] != []


# --- definitions


def test_the_resource_may_come_from_the_environment(
    server: LocalRudderStack, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resource whose settings are EnvVars, that of the link included, works in the sensor."""
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


def test_specs_and_plain_connections(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
) -> None:
    """Specs with a connection in their metadata, and connections by id, are watched as well; the
    check for those that have none is as given."""
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

    assert sorted(told(scene.tick())) == [
        ("materialized", "plain/key"),
        ("materialized", "spec"),
        ("rows passed", "plain/key"),
        ("rows passed", "spec"),
    ]


def test_limits_of_a_check_are_those_of_its_definition(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
) -> None:
    """The sensor judges rejected rows by the limits and the severity that the asset was given."""
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
def test_bad_input(options: dict[str, object], message: str) -> None:
    """What cannot be right fails while definitions load, and the message names it."""
    with pytest.raises(InvalidSettingError) as caught:
        build_rudderstack_polling_sensor(**options)  # type: ignore[arg-type]

    assert message in str(caught.value)


def _observations(scene: World, key: str) -> list[dg.EventLogRecord]:
    return list(scene.instance.fetch_observations(dg.AssetKey(key), limit=10).records)

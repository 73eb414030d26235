"""Deferred syncs: a step starts a sync and ends, and the polling sensor reports the result."""

import json
import time
from collections.abc import Callable
from dataclasses import replace

import dagster as dg
import pytest

from dagster_rudderstack import (
    MetadataKey,
    RudderStackDeferredSyncConfig,
    RudderStackResource,
    RudderStackSyncConfig,
    build_rudderstack_polling_sensor,
    build_rudderstack_sync_asset,
    build_rudderstack_sync_assets,
)
from dagster_rudderstack.step.deferred import FAILED_SYNCS_TAG
from dagster_rudderstack.testing import Fault, LocalRudderStack, ManualClock, SyncScript
from dagster_rudderstack_tests.sensor.world import (
    FAILING,
    World,
    connect,
    materializations,
    sync_ids,
    world,
)
from dagster_rudderstack_tests.sensor.world import told as events_of
from dagster_rudderstack_tests.step.world import (
    failure,
    failure_metadata,
    resource_of,
    when,
)

CRM = build_rudderstack_sync_asset(connection_id="crm", spec="contacts", wait=False)


@pytest.fixture
def clock() -> ManualClock:
    """The server's clock: a sync runs until the test advances it."""
    return ManualClock()


@pytest.fixture
def server(clock: ManualClock) -> LocalRudderStack:  # type: ignore[misc]
    """A local RudderStack whose syncs take one minute of the clock."""
    with LocalRudderStack(clock=clock) as server:
        connect(server, "crm")
        yield server
        assert server.errors == []


@pytest.fixture
def scene(rudderstack: RudderStackResource, instance: dg.DagsterInstance) -> World:
    """A deferred asset and its sensor, before the first tick."""
    return world(instance, rudderstack, CRM)


def config(**settings: object) -> dg.RunConfig:
    return dg.RunConfig(ops={"contacts": RudderStackDeferredSyncConfig(**settings)})  # type: ignore[arg-type]


# --- the sensor reports the sync


def test_step__does_not_wait(scene: World, server: LocalRudderStack, clock: ManualClock) -> None:
    """The step ends without a materialization while the sync runs. The sensor materializes the
    asset once, after the sync has succeeded."""
    result = scene.run()
    during_sync = scene.tick()
    clock.advance(60)
    after_sync, later = scene.tick(), scene.tick()

    assert result.success
    assert result.get_asset_materialization_events() == []
    assert events_of(during_sync) == []
    assert events_of(after_sync) == [
        ("materialized", "contacts"),
        ("rejected_rows passed", "contacts"),
        ("sync_succeeded passed", "contacts"),
    ]
    assert events_of(later) == []
    (materialization,) = materializations(after_sync)
    (sync,) = server.syncs("crm")
    assert materialization.metadata[MetadataKey.SYNC_ID].value == sync.id
    assert materialization.metadata[MetadataKey.ORIGIN].value == "started"
    assert len(server.starts("crm")) == 1


def test_first_tick__sync_over(
    scene: World, clock: ManualClock, instance: dg.DagsterInstance
) -> None:
    """A deferred sync is reported even if it ends before the sensor's first tick."""
    scene.run()
    clock.advance(60)

    scene.tick()

    assert len(sync_ids(instance, "contacts")) == 1


@pytest.mark.parametrize(("deferred", "newer"), [(1, 12), (15, 30)])
def test_first_tick__newer_syncs(
    scene: World,
    server: LocalRudderStack,
    clock: ManualClock,
    instance: dg.DagsterInstance,
    deferred: int,
    newer: int,
) -> None:
    """Deferred syncs that ended before the sensor's first tick are reported, even if many newer
    syncs of other clients follow them. The newer ones are not reported."""
    for _ in range(deferred):
        scene.run()
        clock.advance(60)
    owned = [sync.id for sync in server.syncs("crm")]
    for _ in range(newer):
        server.start_sync("crm")
        clock.advance(60)

    scene.tick()

    assert sync_ids(instance, "contacts") == owned
    assert events_of(scene.tick()) == []


def test_first_tick__long_sync(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
) -> None:
    """A deferred sync that runs during the sensor's first tick is reported when it ends, even if
    many newer syncs ended before."""
    server.add_connection("long", script=SyncScript(duration_seconds=60), parallel_syncs=True)
    server.script_next("long", SyncScript(duration_seconds=7200))
    asset = build_rudderstack_sync_asset(connection_id="long", spec="long", wait=False)
    scene = world(instance, rudderstack, asset)
    scene.run()
    owned = server.syncs("long")[0].id
    for _ in range(12):
        server.start_sync("long")
        clock.advance(60)

    assert events_of(scene.tick()) == []
    clock.advance(7200)
    scene.tick()
    assert sync_ids(instance, "long") == [owned]


def test_materialization__sync_type_and_partition(
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    server: LocalRudderStack,
    clock: ManualClock,
) -> None:
    """The sensor's materialization has the sync type and the partition of the step."""
    days = dg.StaticPartitionsDefinition(["monday", "tuesday"])
    asset = build_rudderstack_sync_asset(
        connection_id="crm", spec="contacts", wait=False, partitions_def=days
    )
    scene = world(instance, rudderstack, asset)
    scene.run(partition_key="tuesday", run_config=config(sync_type="full"))
    clock.advance(60)

    (materialization,) = materializations(scene.tick())

    assert materialization.partition == "tuesday"
    assert materialization.metadata[MetadataKey.SYNC_TYPE].value == "full"
    assert server.syncs("crm")[0].sync_type == "full"


def test_step__many_connections(
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    server: LocalRudderStack,
    clock: ManualClock,
) -> None:
    """A step of many deferred connections starts their syncs, and its failure names a connection
    that cannot be started."""
    names = ["a", "b", "c"]
    connect(server, *names)
    server.update_connection("b", enabled=False)
    group = build_rudderstack_sync_assets(
        connections={name: name for name in names}, name="group", wait=False
    )
    scene = world(instance, rudderstack, group)
    result = scene.run()
    clock.advance(60)
    scene.tick()

    assert not result.success
    assert "- b (connection b): Connection b is disabled" in failure(result)
    assert len(server.starts()) == 2
    assert len(sync_ids(instance, "a")) == len(sync_ids(instance, "c")) == 1


def test_step__downstream_asset_is_skipped(
    rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A downstream asset in the same run is skipped, since the step materializes nothing."""
    ran: list[str] = []

    @dg.asset(deps=["contacts"])
    def report() -> None:
        ran.append("report")

    result = world(instance, rudderstack, CRM, report).run()

    assert result.success
    assert ran == []


# --- partitions


def deferred_in(partitions: dg.PartitionsDefinition[str]) -> dg.AssetsDefinition:
    return build_rudderstack_sync_asset(
        connection_id="crm",
        spec="contacts",
        wait=False,
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )


def range_tags(start: str, end: str) -> dict[str, str]:
    """Return the tags of a run for a range of partitions."""
    return {
        "dagster/asset_partition_range_start": start,
        "dagster/asset_partition_range_end": end,
    }


def test_partition_range__dynamic(
    rudderstack: RudderStackResource, instance: dg.DagsterInstance, clock: ManualClock
) -> None:
    """A sync of a range of dynamic partitions materializes each partition of the range."""
    instance.add_dynamic_partitions("regions", ["eu", "uk", "us"])
    asset = deferred_in(dg.DynamicPartitionsDefinition(name="regions"))
    scene = world(instance, rudderstack, asset)
    scene.run(tags=range_tags("eu", "us"))
    clock.advance(60)

    found = materializations(scene.tick())

    assert [each.partition for each in found] == ["eu", "uk", "us"]


def test_partition_range__start_removed(
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    server: LocalRudderStack,
    clock: ManualClock,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A sync of a range whose first partition was removed is reported without partitions and with
    a log line. Other syncs are reported as usual."""
    connect(server, "other")
    other = build_rudderstack_sync_asset(connection_id="other", spec="other", wait=False)
    before = deferred_in(dg.StaticPartitionsDefinition(["a", "b", "c"]))
    after = deferred_in(dg.StaticPartitionsDefinition(["b", "c", "d"]))
    world(instance, rudderstack, before).run(tags=range_tags("a", "c"))
    scene = world(instance, rudderstack, after, other)
    scene.run("other")
    clock.advance(60)

    found = materializations(scene.tick())

    assert sorted((each.asset_key.to_user_string(), each.partition) for each in found) == [
        ("contacts", None),
        ("other", None),
    ]
    assert "no longer has" in capfd.readouterr().err


@pytest.mark.parametrize("is_range", [False, True], ids=["partition", "range"])
def test_failed_sync__partition_removed(
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    server: LocalRudderStack,
    clock: ManualClock,
    capfd: pytest.CaptureFixture[str],
    is_range: bool,
) -> None:
    """A failed sync of a partition that was removed is observed, and no run is requested: Dagster
    would refuse the run, and the whole tick with it."""
    server.set_script("crm", FAILING)
    before = world(
        instance, rudderstack, deferred_in(dg.StaticPartitionsDefinition(["a", "b", "c"]))
    )
    if is_range:
        before.run(tags=range_tags("a", "c"))
    else:
        before.run(partition_key="a")
    clock.advance(60)

    result = world(instance, rudderstack, deferred_in(dg.StaticPartitionsDefinition(["b"]))).tick()

    assert events_of(result) == [("observed", "contacts"), ("sync_succeeded failed", "contacts")]
    assert result.run_requests == []
    assert "the asset no longer has partition a" in capfd.readouterr().err


# --- one sync per connection


def test_step_retry__starts_no_second_sync(
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    server: LocalRudderStack,
) -> None:
    """A retry of a step starts only the sync whose start failed."""
    connect(server, "a", "b")
    server.add_fault(Fault("status", operation="start", connection_id="b", status=425))
    group = build_rudderstack_sync_assets(
        connections={"a": "a", "b": "b"},
        name="group",
        wait=False,
        retry_policy=dg.RetryPolicy(max_retries=1),
    )

    result = world(instance, rudderstack, group).run()

    assert result.success
    assert len(server.starts("a")) == len(server.starts("b")) == 1


def test_start__answer_lost(scene: World, server: LocalRudderStack) -> None:
    """If the answer to the start is lost, the step looks for the sync and does not start it
    again."""
    server.add_fault(Fault("reset", operation="start", effect=True))

    assert scene.run().success
    assert len(server.starts("crm")) == 1


def test_running_sync__wait(
    scene: World, server: LocalRudderStack, clock: ManualClock, instance: dg.DagsterInstance
) -> None:
    """With `wait`, the default, the step waits for the end of the running sync, starts its own sync
    and ends. The sensor reports both syncs."""
    running = server.start_sync("crm", origin="schedule")
    scene.tick()

    with when(
        lambda: any(request.operation == "get_sync" for request in server.requests),
        lambda: clock.advance(60),
    ):
        result = scene.run()

    assert result.success
    assert len(server.starts("crm")) == 1
    owned = server.syncs("crm")[-1]
    assert owned.running
    clock.advance(60)
    scene.tick()
    assert sync_ids(instance, "contacts") == [running, owned.id]


@pytest.mark.parametrize(("choice", "succeeds"), [("attach", True), ("fail", False)])
def test_running_sync__attach_or_fail(
    scene: World,
    server: LocalRudderStack,
    clock: ManualClock,
    instance: dg.DagsterInstance,
    choice: str,
    succeeds: bool,
) -> None:
    """With `attach` the step succeeds, with `fail` it fails. Neither starts a sync, and the sensor
    reports the running one."""
    running = server.start_sync("crm")
    scene.tick()

    result = scene.run(run_config=config(on_running_sync=choice))
    clock.advance(60)
    scene.tick()

    assert result.success is succeeds
    assert server.starts("crm") == []
    assert sync_ids(instance, "contacts") == [running]


def test_running_sync__attach_to_owned(
    scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """A deferred sync keeps its origin and its sync type when a later run attaches to it."""
    scene.run(run_config=config(sync_type="full"))
    scene.run(run_config=config(on_running_sync="attach"))
    clock.advance(60)

    (materialization,) = materializations(scene.tick())

    assert len(server.starts("crm")) == 1
    assert materialization.metadata[MetadataKey.ORIGIN].value == "started"
    assert materialization.metadata[MetadataKey.SYNC_TYPE].value == "full"


# --- failed syncs


def test_failed_sync__fails_a_run(
    scene: World, server: LocalRudderStack, clock: ManualClock, instance: dg.DagsterInstance
) -> None:
    """A deferred sync that failed is a failed check, and a run that fails with the reason, so that
    alerts on failed runs fire. That run starts no sync and is not retried."""
    server.set_script("crm", FAILING)
    scene.run()
    clock.advance(60)

    result = scene.tick()
    (run,) = scene.launch(result)

    assert events_of(result) == [("observed", "contacts"), ("sync_succeeded failed", "contacts")]
    assert [request.asset_check_keys for request in result.run_requests or ()] == [[]]
    (sync,) = server.syncs("crm")
    assert not run.success
    assert failure(run).startswith(f"Sync {sync.id} of connection crm failed after 1 min.")
    assert "no such table" in failure(run)
    assert failure_metadata(run)[MetadataKey.SYNC_ID].value == sync.id
    assert run.dagster_run.tags["dagster/max_retries"] == "0"
    assert len(server.starts("crm")) == 1
    assert scene.launch(scene.tick()) == []
    assert sync_ids(instance, "contacts") == []


@pytest.mark.parametrize("names", [["a"], ["a", "b"]])
def test_failed_sync__run_is_not_retried(
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    server: LocalRudderStack,
    clock: ManualClock,
    names: list[str],
) -> None:
    """The run that fails for a deferred sync does not use the step's RetryPolicy: a retry would
    fail with the same reason."""
    connect(server, *names, script=FAILING)
    group = build_rudderstack_sync_assets(
        connections={name: name for name in names},
        name="group",
        wait=False,
        retry_policy=dg.RetryPolicy(max_retries=2),
    )
    scene = world(instance, rudderstack, group)
    scene.run()
    clock.advance(60)

    (run,) = scene.launch(scene.tick())

    assert "no such table" in failure(run)
    assert [event for event in run.all_events if event.is_step_up_for_retry] == []


def test_failed_sync__group_fails_one_run(
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    server: LocalRudderStack,
    clock: ManualClock,
) -> None:
    """If several deferred syncs of one step fail, one run fails and reports all of them."""
    names = ["a", "b", "c"]
    connect(server, "a", "b", script=FAILING)
    connect(server, "c")
    group = build_rudderstack_sync_assets(
        connections={name: name for name in names}, name="group", wait=False
    )
    scene = world(instance, rudderstack, group)
    scene.run()
    clock.advance(60)

    (run,) = scene.launch(scene.tick())

    assert failure(run).startswith("2 deferred syncs failed.")
    assert len(server.starts()) == 3


def test_failed_syncs__check(
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    server: LocalRudderStack,
    clock: ManualClock,
) -> None:
    """With `failed_syncs="check"`, the check fails and no run is requested."""
    server.set_script("crm", FAILING)
    scene = world(instance, rudderstack, CRM, failed_syncs="check")
    scene.run()
    clock.advance(60)

    result = scene.tick()

    assert ("sync_succeeded failed", "contacts") in events_of(result)
    assert result.run_requests == []


def test_failed_sync__reexecution_starts_a_sync(
    server: LocalRudderStack,
    stored_instance: dg.DagsterInstance,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A re-execution of the run that failed for a deferred sync starts a new sync."""
    monkeypatch.setenv("RUDDERSTACK_ACCESS_TOKEN", server.access_token)
    monkeypatch.setenv("RUDDERSTACK_API_URL", server.url)
    sync_id = server.start_sync("crm", script=FAILING)
    clock.advance(60)
    tags = {FAILED_SYNCS_TAG: json.dumps({"crm": sync_id})}
    job = dg.reconstructable(activation)

    with dg.execute_job(job, instance=stored_instance, tags=tags) as failed:
        pass
    again = dg.ReexecutionOptions(parent_run_id=failed.run_id)
    with dg.execute_job(job, instance=stored_instance, reexecution_options=again) as reexecuted:
        pass

    assert not failed.success
    assert reexecuted.success
    assert len(server.starts("crm")) == 1


def activation() -> dg.JobDefinition:
    """Return a job of the deferred asset. Its runs can be re-executed."""
    rudderstack = RudderStackResource(
        access_token=dg.EnvVar("RUDDERSTACK_ACCESS_TOKEN"),
        api_url=dg.EnvVar("RUDDERSTACK_API_URL"),
    )
    defs = dg.Definitions(
        assets=[CRM],
        jobs=[dg.define_asset_job("activation", executor_def=dg.in_process_executor)],
        resources={"rudderstack": rudderstack},
    )
    return defs.resolve_job_def("activation")


def with_sensor_of_specs(scene: World) -> World:
    """Return the scene with a sensor that has specs instead of definitions."""
    specs = [spec for asset in scene.assets for spec in asset.specs]
    return replace(scene, sensor=build_rudderstack_polling_sensor(assets=specs))


def no_longer_deferred(scene: World) -> World:
    """Return the scene with a definition that waits for its sync, and another asset that is
    deferred."""
    crm = build_rudderstack_sync_asset(connection_id="crm", spec="contacts")
    other = build_rudderstack_sync_asset(connection_id="other", spec="other", wait=False)
    return replace(
        scene, assets=[crm, other], sensor=build_rudderstack_polling_sensor(assets=[crm, other])
    )


@pytest.mark.parametrize("change", [with_sensor_of_specs, no_longer_deferred])
def test_failed_sync__run_cannot_be_requested(
    scene: World,
    server: LocalRudderStack,
    clock: ManualClock,
    capfd: pytest.CaptureFixture[str],
    change: Callable[[World], World],
) -> None:
    """If the sensor has no definition of the asset with `wait=False`, a failed sync is observed and
    the log says what to do. No run is requested, since it would fail each tick."""
    connect(server, "other")
    server.set_script("crm", FAILING)
    scene.run()
    scene.tick()
    clock.advance(60)

    changed = change(scene)
    result = changed.tick()

    assert events_of(result)[0] == ("observed", "contacts")
    assert result.run_requests == []
    assert "No run of contacts is requested" in (log := capfd.readouterr().err)
    assert "give it the definition" in log
    assert events_of(changed.tick()) == []


def test_sensor_of_specs__deferred_sync(
    scene: World, server: LocalRudderStack, clock: ManualClock, instance: dg.DagsterInstance
) -> None:
    """A sensor that has only specs reports a deferred sync, and has no target."""
    scene.run()
    clock.advance(60)
    changed = with_sensor_of_specs(scene)

    assert events_of(changed.tick()) == [
        ("materialized", "contacts"),
        ("sync_succeeded passed", "contacts"),
    ]
    assert changed.sensor.asset_selection is None


# --- timeouts


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

    assert events_of(in_time) == []
    assert events_of(late) == [("observed", "contacts"), ("sync_succeeded failed", "contacts")]
    (event, _) = late.asset_events
    assert "was not over within its timeout: RudderStack was asked to stop it" in (
        event.description or ""
    )
    assert events_of(next_tick) == []
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
    reason = f"Sync {sync.id} of connection crm was not over within its timeout and was stopped"
    assert [(event.description or "").startswith(reason) for event in result.asset_events] == [
        True,
        True,
    ]
    assert failure(run).startswith(reason)
    assert "Raise the timeout" in failure(run)
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

    assert "it could not be stopped" in (first[0].description or "")
    assert "RudderStack was asked to stop it" in (second[0].description or "")
    assert third == []
    assert "was not over within its timeout and was stopped" in failure(run)


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


# --- definitions


def test_definition() -> None:
    """A deferred asset is skippable, says in its metadata that it is deferred, and has the check
    `sync_succeeded`."""
    (spec,) = CRM.specs

    assert spec.skippable
    assert spec.metadata[MetadataKey.DEFERRED] == dg.MetadataValue.bool(True)
    assert {check.name for check in CRM.check_specs} == {"rejected_rows", "sync_succeeded"}
    assert json.dumps(RudderStackSyncConfig().model_dump())

"""Deferred syncs: a step starts them, a sensor reports how they end, and no worker waits."""

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
    reported,
    sync_ids,
    world,
)
from dagster_rudderstack_tests.step.world import (
    failure,
    failure_metadata,
    resource_of,
    when,
)

CRM = build_rudderstack_sync_asset(connection_id="crm", spec="contacts", wait=False)


@pytest.fixture
def clock() -> ManualClock:
    """The server's clock: a sync runs until a test moves it on."""
    return ManualClock()


@pytest.fixture
def server(clock: ManualClock) -> LocalRudderStack:  # type: ignore[misc]
    """A local RudderStack whose syncs take a minute of the clock."""
    with LocalRudderStack(clock=clock) as server:
        connect(server, "crm")
        yield server
        assert server.errors == []


@pytest.fixture
def scene(rudderstack: RudderStackResource, instance: dg.DagsterInstance) -> World:
    """A deferred asset whose sensor has not looked yet."""
    return world(instance, rudderstack, CRM)


def config(**settings: object) -> dg.RunConfig:
    return dg.RunConfig(ops={"contacts": RudderStackDeferredSyncConfig(**settings)})  # type: ignore[arg-type]


# --- the good case


def test_the_step_does_not_wait(scene: World, server: LocalRudderStack, clock: ManualClock) -> None:
    """The step ends while the sync runs, materializes nothing, and the sensor reports the end."""
    result = scene.run()
    while_it_runs = scene.tick()
    clock.advance(60)
    when_it_is_over, after_that = scene.tick(), scene.tick()

    assert result.success
    assert result.get_asset_materialization_events() == []
    assert reported(while_it_runs) == []
    assert reported(when_it_is_over) == [
        ("materialized", "contacts"),
        ("rejected_rows passed", "contacts"),
        ("sync_succeeded passed", "contacts"),
    ]
    assert reported(after_that) == []
    (materialization,) = materializations(when_it_is_over)
    (sync,) = server.syncs("crm")
    assert materialization.metadata[MetadataKey.SYNC_ID].value == sync.id
    assert materialization.metadata[MetadataKey.ORIGIN].value == "started"
    assert len(server.starts("crm")) == 1


def test_a_sync_that_was_over_before_the_sensor_looked(
    scene: World, clock: ManualClock, instance: dg.DagsterInstance
) -> None:
    """A deferred sync is reported even if it ends before the sensor's very first tick."""
    scene.run()
    clock.advance(60)

    scene.tick()

    assert len(sync_ids(instance, "contacts")) == 1


@pytest.mark.parametrize(("deferred", "newer"), [(1, 12), (15, 30)])
def test_syncs_far_below_those_that_the_sensor_first_looks_at(
    scene: World,
    server: LocalRudderStack,
    clock: ManualClock,
    instance: dg.DagsterInstance,
    deferred: int,
    newer: int,
) -> None:
    """Deferred syncs that ended before the sensor's first tick are reported, however many other
    syncs came after them; these are not."""
    for _ in range(deferred):
        scene.run()
        clock.advance(60)
    ours = [sync.id for sync in server.syncs("crm")]
    for _ in range(newer):
        server.start_sync("crm")
        clock.advance(60)

    scene.tick()

    assert sync_ids(instance, "contacts") == ours
    assert reported(scene.tick()) == []


def test_a_long_sync_far_below_those_that_the_sensor_first_looks_at(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
) -> None:
    """A deferred sync that runs at the sensor's first tick is reported when it ends."""
    server.add_connection("long", script=SyncScript(duration_seconds=60), parallel_syncs=True)
    server.script_next("long", SyncScript(duration_seconds=7200))
    asset = build_rudderstack_sync_asset(connection_id="long", spec="long", wait=False)
    scene = world(instance, rudderstack, asset)
    scene.run()
    ours = server.syncs("long")[0].id
    for _ in range(12):
        server.start_sync("long")
        clock.advance(60)

    assert reported(scene.tick()) == []
    clock.advance(7200)
    scene.tick()
    assert sync_ids(instance, "long") == [ours]


def test_what_was_asked_for_is_on_the_materialization(
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    server: LocalRudderStack,
    clock: ManualClock,
) -> None:
    """Sync type and partition of the step are those of the sensor's materialization."""
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


def test_many_in_one_step(
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    server: LocalRudderStack,
    clock: ManualClock,
) -> None:
    """A step of many deferred connections starts all; those that cannot be started are named."""
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


def test_downstream_waits_for_the_sensor(
    rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """What is downstream in the run is skipped, since nothing is materialized yet."""
    ran: list[str] = []

    @dg.asset(deps=["contacts"])
    def report() -> None:
        ran.append("report")

    result = world(instance, rudderstack, CRM, report).run()

    assert result.success
    assert ran == []


def deferred_in(partitions: dg.PartitionsDefinition[str]) -> dg.AssetsDefinition:
    return build_rudderstack_sync_asset(
        connection_id="crm",
        spec="contacts",
        wait=False,
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )


def of_range(start: str, end: str) -> dict[str, str]:
    """Return the tags of a run for a range of partitions."""
    return {
        "dagster/asset_partition_range_start": start,
        "dagster/asset_partition_range_end": end,
    }


def test_a_range_of_dynamic_partitions(
    rudderstack: RudderStackResource, instance: dg.DagsterInstance, clock: ManualClock
) -> None:
    """A sync of a range of dynamic partitions, whose keys are in the instance, is a materialization
    of each of them."""
    instance.add_dynamic_partitions("regions", ["eu", "uk", "us"])
    asset = deferred_in(dg.DynamicPartitionsDefinition(name="regions"))
    scene = world(instance, rudderstack, asset)
    scene.run(tags=of_range("eu", "us"))
    clock.advance(60)

    found = materializations(scene.tick())

    assert [each.partition for each in found] == ["eu", "uk", "us"]


def test_a_range_that_is_no_more(
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    server: LocalRudderStack,
    clock: ManualClock,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A sync of a range whose first partition was removed meanwhile is reported without partitions,
    which the log tells; other syncs are reported as ever."""
    connect(server, "other")
    other = build_rudderstack_sync_asset(connection_id="other", spec="other", wait=False)
    before = deferred_in(dg.StaticPartitionsDefinition(["a", "b", "c"]))
    after = deferred_in(dg.StaticPartitionsDefinition(["b", "c", "d"]))
    world(instance, rudderstack, before).run(tags=of_range("a", "c"))
    scene = world(instance, rudderstack, after, other)
    scene.run("other")
    clock.advance(60)

    found = materializations(scene.tick())

    assert sorted((each.asset_key.to_user_string(), each.partition) for each in found) == [
        ("contacts", None),
        ("other", None),
    ]
    assert "no longer has" in capfd.readouterr().err


@pytest.mark.parametrize("is_range", [False, True])
def test_a_failure_in_a_partition_that_is_no_more(
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    server: LocalRudderStack,
    clock: ManualClock,
    capfd: pytest.CaptureFixture[str],
    is_range: bool,
) -> None:
    """A failed sync of a partition that was removed meanwhile is observed, and no run is requested,
    since Dagster refuses one in such a partition, and the whole tick with it."""
    server.set_script("crm", FAILING)
    before = world(
        instance, rudderstack, deferred_in(dg.StaticPartitionsDefinition(["a", "b", "c"]))
    )
    if is_range:
        before.run(tags=of_range("a", "c"))
    else:
        before.run(partition_key="a")
    clock.advance(60)

    result = world(instance, rudderstack, deferred_in(dg.StaticPartitionsDefinition(["b"]))).tick()

    assert reported(result) == [("observed", "contacts"), ("sync_succeeded failed", "contacts")]
    assert result.run_requests == []
    assert "the asset no longer has partition a" in capfd.readouterr().err


# --- one sync per connection


def test_retry_starts_no_second_sync(
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    server: LocalRudderStack,
) -> None:
    """A retry of a step in which one start failed does not start again what was started."""
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


def test_lost_answer_to_the_start(scene: World, server: LocalRudderStack) -> None:
    """A start whose answer was lost is looked for, not sent again."""
    server.add_fault(Fault("reset", operation="start", effect=True))

    assert scene.run().success
    assert len(server.starts("crm")) == 1


def test_a_running_sync_is_waited_for(
    scene: World, server: LocalRudderStack, clock: ManualClock, instance: dg.DagsterInstance
) -> None:
    """With `wait`, the default, the step waits for the end of the running sync, starts its own, and
    ends. The sensor reports both."""
    before = server.start_sync("crm", origin="schedule")
    scene.tick()

    with when(
        lambda: any(request.operation == "get_sync" for request in server.requests),
        lambda: clock.advance(60),
    ):
        result = scene.run()

    assert result.success
    assert len(server.starts("crm")) == 1
    ours = server.syncs("crm")[-1]
    assert ours.running
    clock.advance(60)
    scene.tick()
    assert sync_ids(instance, "contacts") == [before, ours.id]


@pytest.mark.parametrize(("choice", "succeeds"), [("attach", True), ("fail", False)])
def test_other_choices_about_a_running_sync(
    scene: World,
    server: LocalRudderStack,
    clock: ManualClock,
    instance: dg.DagsterInstance,
    choice: str,
    succeeds: bool,
) -> None:
    """`attach` leaves the running sync to the sensor, `fail` fails; neither starts one."""
    running = server.start_sync("crm")
    scene.tick()

    result = scene.run(run_config=config(on_running_sync=choice))
    clock.advance(60)
    scene.tick()

    assert result.success is succeeds
    assert server.starts("crm") == []
    assert sync_ids(instance, "contacts") == [running]


def test_attaching_to_our_own_sync(
    scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """A deferred sync to which a later run attaches is still what it was: started by us, as it was
    asked for."""
    scene.run(run_config=config(sync_type="full"))
    scene.run(run_config=config(on_running_sync="attach"))
    clock.advance(60)

    (materialization,) = materializations(scene.tick())

    assert len(server.starts("crm")) == 1
    assert materialization.metadata[MetadataKey.ORIGIN].value == "started"
    assert materialization.metadata[MetadataKey.SYNC_TYPE].value == "full"


# --- failures


def test_a_failed_sync_fails_a_run(
    scene: World, server: LocalRudderStack, clock: ManualClock, instance: dg.DagsterInstance
) -> None:
    """A deferred sync that failed is a failed check, and a run that fails with the reason: whatever
    alerts on failed runs alerts on it. Neither that run nor a retry of it starts a sync."""
    server.set_script("crm", FAILING)
    scene.run()
    clock.advance(60)

    result = scene.tick()
    (run,) = scene.launch(result)

    assert reported(result) == [("observed", "contacts"), ("sync_succeeded failed", "contacts")]
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
def test_a_failed_sync_is_told_at_once(
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    server: LocalRudderStack,
    clock: ManualClock,
    names: list[str],
) -> None:
    """The run that tells of failed syncs fails without the retries of the step: they would tell the
    same, later."""
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


def test_failures_of_a_group_fail_one_run(
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    server: LocalRudderStack,
    clock: ManualClock,
) -> None:
    """Deferred syncs of one step that fail together are reported by one run."""
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


def test_failed_syncs_check(
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    server: LocalRudderStack,
    clock: ManualClock,
) -> None:
    """With failed_syncs='check' no run is asked for; the check is evaluated all the same."""
    server.set_script("crm", FAILING)
    scene = world(instance, rudderstack, CRM, failed_syncs="check")
    scene.run()
    clock.advance(60)

    result = scene.tick()

    assert ("sync_succeeded failed", "contacts") in reported(result)
    assert result.run_requests == []


def test_reexecuting_the_failed_run_starts_a_sync(
    server: LocalRudderStack,
    stored_instance: dg.DagsterInstance,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who re-executes the run that reported of a failed sync gets a new sync."""
    monkeypatch.setenv("RUDDERSTACK_ACCESS_TOKEN", server.access_token)
    monkeypatch.setenv("RUDDERSTACK_API_URL", server.url)
    sync_id = server.start_sync("crm", script=FAILING)
    clock.advance(60)
    tags = {FAILED_SYNCS_TAG: json.dumps({"crm": sync_id})}
    job = dg.reconstructable(activation)

    with dg.execute_job(job, instance=stored_instance, tags=tags) as told_of:
        pass
    again = dg.ReexecutionOptions(parent_run_id=told_of.run_id)
    with dg.execute_job(job, instance=stored_instance, reexecution_options=again) as reexecuted:
        pass

    assert not told_of.success
    assert reexecuted.success
    assert len(server.starts("crm")) == 1


def activation() -> dg.JobDefinition:
    """Return a job of the deferred asset, for a run that can be re-executed."""
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


def only_specs(scene: World) -> World:
    """Return the same with a sensor that was given specs."""
    specs = [spec for asset in scene.assets for spec in asset.specs]
    return replace(scene, sensor=build_rudderstack_polling_sensor(assets=specs))


def waiting(scene: World) -> World:
    """Return the same after the assets were changed to wait for their syncs, and the sensor with
    them. Another asset is deferred."""
    crm = build_rudderstack_sync_asset(connection_id="crm", spec="contacts")
    other = build_rudderstack_sync_asset(connection_id="other", spec="other", wait=False)
    return replace(
        scene, assets=[crm, other], sensor=build_rudderstack_polling_sensor(assets=[crm, other])
    )


@pytest.mark.parametrize("change", [only_specs, waiting])
def test_a_failed_sync_whose_run_cannot_be_requested(
    scene: World,
    server: LocalRudderStack,
    clock: ManualClock,
    capfd: pytest.CaptureFixture[str],
    change: Callable[[World], World],
) -> None:
    """Where a sensor has no definition with wait=False, a deferred sync that failed is observed, no
    run is requested, which would fail each tick, and the log says what to do."""
    connect(server, "other")
    server.set_script("crm", FAILING)
    scene.run()
    scene.tick()
    clock.advance(60)

    changed = change(scene)
    result = changed.tick()

    assert reported(result)[0] == ("observed", "contacts")
    assert result.run_requests == []
    assert "No run of contacts is requested" in (log := capfd.readouterr().err)
    assert "give it the definition" in log
    assert reported(changed.tick()) == []


def test_a_spec_tells_that_it_is_deferred(
    scene: World, server: LocalRudderStack, clock: ManualClock, instance: dg.DagsterInstance
) -> None:
    """A sensor of specs judges deferred syncs as one of definitions does, and has no target."""
    scene.run()
    clock.advance(60)
    changed = only_specs(scene)

    assert reported(changed.tick()) == [
        ("materialized", "contacts"),
        ("sync_succeeded passed", "contacts"),
    ]
    assert changed.sensor.asset_selection is None


# --- timeouts


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Move the clock of this process on."""
    read = time.time
    monkeypatch.setattr(time, "time", lambda: read() + seconds)


def test_timeout(
    server: LocalRudderStack, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sensor stops a deferred sync whose timeout has passed, tells it once, and fails a run."""
    asset = build_rudderstack_sync_asset(
        connection_id="crm", spec="contacts", wait=False, timeout_seconds=600
    )
    scene = world(instance, resource_of(server), asset)
    scene.run()
    early = scene.tick()
    later(monkeypatch, 601)
    server.update_connection("crm", stop_delay_seconds=30)
    late, after_that = scene.tick(), scene.tick()

    assert reported(early) == []
    assert reported(late) == [("observed", "contacts"), ("sync_succeeded failed", "contacts")]
    (event, _) = late.asset_events
    assert "was not over within its timeout: RudderStack was asked to stop it" in (
        event.description or ""
    )
    assert reported(after_that) == []
    assert server.stops("crm")
    server.clock.advance(30)  # type: ignore[attr-defined]
    (run,) = scene.launch(scene.tick())
    assert not run.success


def test_timeout_is_the_reason(
    scene: World, server: LocalRudderStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a sync that its timeout has stopped, the sensor and the run that fails tell just that."""
    scene.run()
    later(monkeypatch, 121)
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


def test_timeout_whose_stop_was_refused_at_first(
    scene: World, server: LocalRudderStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If only a later tick can stop an overdue sync, the stop is reported and is the reason too."""
    server.update_connection("crm", stop_delay_seconds=30)
    server.add_fault(Fault("status", operation="stop", status=500))
    scene.run()
    later(monkeypatch, 121)

    first, second, third = (scene.tick().asset_events for _ in range(3))
    server.clock.advance(30)  # type: ignore[attr-defined]
    (run,) = scene.launch(scene.tick())

    assert "it could not be stopped" in (first[0].description or "")
    assert "RudderStack was asked to stop it" in (second[0].description or "")
    assert third == []
    assert "was not over within its timeout and was stopped" in failure(run)


def test_timeout_after_a_run_that_attached(
    scene: World, server: LocalRudderStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timeout stops a deferred sync of ours, though a later run has attached to it."""
    scene.run()
    scene.run(run_config=config(on_running_sync="attach"))
    later(monkeypatch, 121)

    events = scene.tick().asset_events

    assert "RudderStack was asked to stop it" in (events[0].description or "")
    assert len(server.stops("crm")) == 1


def test_timeout_without_a_stop(
    server: LocalRudderStack, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the timeout is not to stop it, the sync is reported to be late and goes on."""
    asset = build_rudderstack_sync_asset(
        connection_id="crm", spec="contacts", wait=False, timeout_seconds=600
    )
    scene = world(instance, resource_of(server, stop_on_timeout=False), asset)
    scene.run()
    scene.tick()
    later(monkeypatch, 601)

    events = scene.tick().asset_events

    assert "it was left running" in (events[0].description or "")
    assert server.stops("crm") == []


# --- definitions


def test_definition() -> None:
    """A deferred asset is skippable, says that it is deferred, and has the check on its syncs."""
    (spec,) = CRM.specs

    assert spec.skippable
    assert spec.metadata[MetadataKey.DEFERRED] == dg.MetadataValue.bool(True)
    assert {check.name for check in CRM.check_specs} == {"rejected_rows", "sync_succeeded"}
    assert json.dumps(RudderStackSyncConfig().model_dump())

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
from dagster_rudderstack_tests.step.world import (
    failure,
    failure_metadata,
    log_lines,
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
    assert told(while_it_runs) == []
    assert told(when_it_is_over) == [
        ("materialized", "contacts"),
        ("rejected_rows passed", "contacts"),
        ("sync_succeeded passed", "contacts"),
    ]
    assert told(after_that) == []
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
    assert told(scene.tick()) == []


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

    assert told(scene.tick()) == []
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
    assert "which are no more" in capfd.readouterr().err


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

    assert told(result) == [("observed", "contacts"), ("sync_succeeded failed", "contacts")]
    assert result.run_requests == []
    assert "the asset has no partition a" in capfd.readouterr().err


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


def test_a_running_sync_is_not_waited_for(
    scene: World, server: LocalRudderStack, clock: ManualClock, instance: dg.DagsterInstance
) -> None:
    """With `wait`, the default, the step ends at once; when the running sync is over the sensor
    asks
    for one run that starts ours, however many runs wanted it."""
    before = server.start_sync("crm", origin="schedule")
    scene.tick()
    assert scene.run().success
    assert scene.run().success
    assert server.starts("crm") == []

    assert scene.launch(scene.tick()) == []
    clock.advance(60)
    runs = scene.launch(scene.tick())
    more = scene.launch(scene.tick())

    assert [run.success for run in runs] == [True]
    assert more == []
    assert len(server.starts("crm")) == 1
    clock.advance(60)
    scene.tick()
    started = server.syncs("crm")[-1].id
    assert sync_ids(instance, "contacts") == [before, started]


def test_a_sync_is_wanted_since_before_the_sensor_first_looked(
    scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """A start that had to wait is made good though the sync in its way is far below those that the
    sensor first looks at."""
    server.start_sync("crm")
    scene.run()
    clock.advance(60)
    for _ in range(12):
        server.start_sync("crm")
        clock.advance(60)

    (run,) = scene.launch(scene.tick())

    assert run.success
    assert len(server.starts("crm")) == 1


def test_the_wanted_sync_has_the_type_and_partition_of_its_run(
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    server: LocalRudderStack,
    clock: ManualClock,
) -> None:
    """What had to wait is started as it was asked for."""
    days = dg.StaticPartitionsDefinition(["monday", "tuesday"])
    asset = build_rudderstack_sync_asset(
        connection_id="crm", spec="contacts", wait=False, partitions_def=days
    )
    scene = world(instance, rudderstack, asset)
    server.start_sync("crm")
    scene.tick()
    scene.run(partition_key="tuesday", run_config=config(sync_type="full"))
    clock.advance(60)

    (run,) = scene.launch(scene.tick())

    assert run.dagster_run.tags["dagster/partition"] == "tuesday"
    assert server.syncs("crm")[-1].sync_type == "full"


def test_a_wanted_full_sync_is_not_dropped(
    scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """Of several runs that want a sync when another one is over, one that wants all rows wins."""
    server.start_sync("crm")
    scene.tick()
    scene.run(run_config=config(sync_type="full"))
    scene.run(run_config=config(sync_type="incremental"))
    clock.advance(60)

    runs = scene.launch(scene.tick())

    assert [run.success for run in runs] == [True]
    assert [request.sync_type for request in server.syncs("crm")][1:] == ["full"]


@pytest.mark.parametrize(("started", "wanted"), [("incremental", ["full"]), ("full", [])])
def test_a_wanted_full_sync_is_made_good_by_a_full_one(
    scene: World, server: LocalRudderStack, clock: ManualClock, started: str, wanted: list[str]
) -> None:
    """A start of an incremental sync does not stand for the full one that another run wants."""
    server.start_sync("crm")
    scene.tick()
    scene.run(run_config=config(sync_type="full"))
    clock.advance(60)
    scene.run(run_config=config(sync_type=started))

    requests = scene.tick().run_requests or ()

    configs = [request.run_config["ops"]["contacts"]["config"] for request in requests]
    assert [each["sync_type"] for each in configs] == wanted


def test_a_sync_that_ends_while_ours_is_queued(
    scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """If the running sync ends in the moment in which we write that we wait for it, ours is started
    by the step, since the sensor may have looked already."""
    server.start_sync("crm", script=SyncScript(duration_seconds=60))
    # The list shows it running; the look after the note was written shows it over.
    server.add_fault(Fault("slow", operation="get_sync", seconds=0.3))

    with when(
        lambda: any(request.operation == "get_sync" for request in server.requests),
        lambda: clock.advance(60),
    ):
        result = scene.run()

    assert result.success
    assert len(server.starts("crm")) == 1
    assert scene.launch(scene.tick()) == []


def test_a_later_start_makes_good_what_was_wanted(
    scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """If somebody has started the sync by hand meanwhile, the sensor does not ask for another."""
    server.start_sync("crm")
    scene.tick()
    scene.run()
    clock.advance(60)
    scene.run()

    assert len(server.starts("crm")) == 1
    assert scene.launch(scene.tick()) == []


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

    assert told(result) == [("observed", "contacts"), ("sync_succeeded failed", "contacts")]
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
    """Deferred syncs of one step that fail together are told by one run."""
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

    assert failure(run).startswith("2 of 2 syncs failed.")
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

    assert ("sync_succeeded failed", "contacts") in told(result)
    assert result.run_requests == []


def test_reexecuting_the_failed_run_starts_a_sync(
    server: LocalRudderStack,
    stored_instance: dg.DagsterInstance,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who re-executes the run that told of a failed sync gets a new sync."""
    monkeypatch.setenv("RUDDERSTACK_ACCESS_TOKEN", server.access_token)
    monkeypatch.setenv("RUDDERSTACK_API_URL", server.url)
    sync_id = server.start_sync("crm", script=FAILING)
    clock.advance(60)
    report = config(action="report", sync_ids={"crm": sync_id}).to_config_dict()  # type: ignore[no-untyped-call]
    job = dg.reconstructable(activation)

    with dg.execute_job(job, instance=stored_instance, run_config=report) as told_of:
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

    assert told(result)[0] == ("observed", "contacts")
    assert result.run_requests == []
    assert "No run of contacts that fails" in (log := capfd.readouterr().err)
    assert "give it the definition" in log
    assert told(changed.tick()) == []


@pytest.mark.parametrize("change", [only_specs, waiting])
def test_a_wanted_sync_whose_run_cannot_be_requested(
    scene: World,
    server: LocalRudderStack,
    clock: ManualClock,
    capfd: pytest.CaptureFixture[str],
    change: Callable[[World], World],
) -> None:
    """The same holds for a start that had to wait for another sync."""
    connect(server, "other")
    before = server.start_sync("crm")
    scene.tick()
    scene.run()
    clock.advance(60)

    result = change(scene).tick()

    assert told(result)[0] == ("materialized", "contacts")
    assert result.run_requests == []
    assert f"which had to wait for {before}" in capfd.readouterr().err


def test_a_spec_tells_that_it_is_deferred(
    scene: World, server: LocalRudderStack, clock: ManualClock, instance: dg.DagsterInstance
) -> None:
    """A sensor of specs judges deferred syncs as one of definitions does, and has no target."""
    scene.run()
    clock.advance(60)
    changed = only_specs(scene)

    assert told(changed.tick()) == [
        ("materialized", "contacts"),
        ("sync_succeeded passed", "contacts"),
    ]
    assert changed.sensor.asset_selection is None


def test_report_is_for_the_sensor(scene: World, server: LocalRudderStack) -> None:
    """A person who asks for a report without a sync is told what it is for, and no sync starts."""
    result = scene.run(run_config=config(action="report"))

    assert "it is for the polling sensor" in failure(result)
    assert server.starts("crm") == []


# --- stopping


def test_stop(scene: World, server: LocalRudderStack, clock: ManualClock) -> None:
    """A run with the action `stop` stops the deferred sync of an earlier run, and starts none."""
    scene.run()
    result = scene.run(run_config=config(action="stop"))

    assert result.success
    assert len(server.stops("crm")) == 1
    assert len(server.starts("crm")) == 1
    assert not server.syncs("crm")[0].running
    assert told(scene.tick())[0] == ("observed", "contacts")


def test_a_stop_is_told_as_asked(
    scene: World, server: LocalRudderStack, instance: dg.DagsterInstance
) -> None:
    """The end of a sync that a run has stopped is told as that, and fails no run: nobody needs to
    be alerted on it, and nothing is to be mended."""
    scene.run()
    stopped = scene.run(run_config=config(action="stop"))

    result = scene.tick()

    (sync,) = server.syncs("crm")
    assert told(result) == [("observed", "contacts"), ("sync_succeeded failed", "contacts")]
    for event in result.asset_events:
        text = event.description or ""
        assert text.startswith(f"Sync {sync.id} of connection crm was stopped")
        assert f"as asked by run {stopped.run_id}." in text
        assert "Mend" not in text
    assert result.run_requests == []
    assert told(scene.tick()) == []
    (record,) = instance.fetch_observations(dg.AssetKey("contacts"), limit=1).records
    assert record.asset_observation is not None
    by = record.asset_observation.metadata[MetadataKey.STOPPED_BY]
    assert by == dg.MetadataValue.text(stopped.run_id)


def test_a_stop_that_came_too_late(
    scene: World, server: LocalRudderStack, clock: ManualClock
) -> None:
    """A sync that succeeds though it was asked to stop is materialized."""
    server.update_connection("crm", stop_delay_seconds=100)
    scene.run()
    scene.run(run_config=config(action="stop"))
    clock.advance(60)

    (materialization,) = materializations(scene.tick())

    assert MetadataKey.STOPPED_BY not in materialization.metadata


def test_stop_leaves_what_is_not_ours(scene: World, server: LocalRudderStack) -> None:
    """A sync that somebody else started is not stopped, nor is anything if nothing was deferred."""
    server.start_sync("crm", origin="dashboard")
    nothing = scene.run(run_config=config(action="stop"))
    scene.run(run_config=config(on_running_sync="attach"))
    not_ours = scene.run(run_config=config(action="stop"))

    assert nothing.success
    assert not_ours.success
    assert server.stops("crm") == []


def test_stop_after_a_run_that_attached(scene: World, server: LocalRudderStack) -> None:
    """A deferred sync of ours to which a later run has attached is stopped all the same."""
    scene.run()
    scene.run(run_config=config(on_running_sync="attach"))

    scene.run(run_config=config(action="stop"))

    assert len(server.stops("crm")) == 1


def test_stop_withdraws_what_is_queued(
    scene: World, server: LocalRudderStack, clock: ManualClock, instance: dg.DagsterInstance
) -> None:
    """A start that waits for the end of another sync is not requested after a stop; one that is
    wanted later is."""
    server.start_sync("crm")
    scene.tick()
    scene.run()
    stopped = scene.run(run_config=config(action="stop"))
    clock.advance(60)
    assert scene.launch(scene.tick()) == []

    server.start_sync("crm")
    scene.run()
    clock.advance(60)
    runs = scene.launch(scene.tick())

    assert any("queued" in line for line in log_lines(instance, stopped.run_id))
    assert len(server.stops("crm")) == 0
    assert [run.success for run in runs] == [True]
    assert len(server.starts("crm")) == 1


def test_stop_of_one_partition(
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    server: LocalRudderStack,
    clock: ManualClock,
) -> None:
    """A stop for a partition leaves alone what is queued for the others."""
    days = dg.StaticPartitionsDefinition(["monday", "tuesday"])
    asset = build_rudderstack_sync_asset(
        connection_id="crm", spec="contacts", wait=False, partitions_def=days
    )
    scene = world(instance, rudderstack, asset)
    server.start_sync("crm")
    scene.tick()
    scene.run(partition_key="monday")
    scene.run(partition_key="tuesday")
    scene.run(partition_key="monday", run_config=config(action="stop"))
    clock.advance(60)

    result = scene.tick()

    assert [request.partition_key for request in result.run_requests or ()] == ["tuesday"]


def test_stop_that_is_not_answered(
    server: LocalRudderStack, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop that RudderStack does not answer fails the run: nobody shall believe it was
    stopped."""
    monkeypatch.setattr("dagster_rudderstack.step.group.STOP_GRACE_SECONDS", 0.1)
    scene = world(instance, resource_of(server), CRM)
    scene.run()
    server.add_fault(Fault("status", operation="stop", times=None))
    server.add_fault(Fault("status", operation="list_syncs", times=None))

    result = scene.run(run_config=config(action="stop"))

    assert "could not be stopped" in failure(result)


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

    assert told(early) == []
    assert told(late) == [("observed", "contacts"), ("sync_succeeded failed", "contacts")]
    (event, _) = late.asset_events
    assert "was not over within its timeout: RudderStack was asked to stop it" in (
        event.description or ""
    )
    assert told(after_that) == []
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
    assert "Mend" not in failure(run)


def test_timeout_whose_stop_was_refused_at_first(
    scene: World, server: LocalRudderStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If only a later tick can stop a sync that is late, that is told, and is the reason too."""
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
    """If the timeout is not to stop it, the sync is told to be late and goes on."""
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

"""A deferred sync that failed fails a run, so that alerts on failed runs fire."""

import json
from collections.abc import Callable
from dataclasses import replace

import dagster as dg
import pytest

from dagster_rudderstack import (
    MetadataKey,
    RudderStackResource,
    build_rudderstack_polling_sensor,
    build_rudderstack_sync_asset,
    build_rudderstack_sync_assets,
)
from dagster_rudderstack.step.deferred import FAILED_SYNCS_TAG
from dagster_rudderstack.testing import LocalRudderStack, ManualClock
from dagster_rudderstack_tests.sensor.world import (
    FAILING,
    World,
    connect,
    reported,
    sync_ids,
    world,
)
from dagster_rudderstack_tests.step.deferred.scene import CRM, with_sensor_of_specs
from dagster_rudderstack_tests.step.world import failure, failure_metadata


def test_failed_sync__fails_a_run(
    scene: World, server: LocalRudderStack, clock: ManualClock, instance: dg.DagsterInstance
) -> None:
    """A deferred sync that failed is a failed check, and a run that fails with the reason, so that
    alerts on failed runs fire. That run starts no sync and is not retried."""
    server.set_script("crm", FAILING)
    started = scene.run()
    clock.advance(60)

    result = scene.tick()
    (run,) = scene.launch(result)

    assert reported(result) == [("observed", "contacts"), ("sync_succeeded failed", "contacts")]
    assert [request.asset_check_keys for request in result.run_requests or ()] == [[]]
    (sync,) = server.syncs("crm")
    assert not run.success
    assert failure(run).startswith(f"Sync {sync.id} of connection crm failed after 1 min (")
    assert "no such table" in failure(run)
    assert failure_metadata(run)[MetadataKey.SYNC_ID].value == sync.id
    link = dg.MetadataValue.dagster_run(started.run_id)
    assert failure_metadata(run)[MetadataKey.DAGSTER_RUN] == link
    assert [each.metadata[MetadataKey.DAGSTER_RUN] for each in result.asset_events] == [link, link]
    assert run.dagster_run.tags["dagster/max_retries"] == "0"
    assert len(server.starts("crm")) == 1
    assert scene.launch(scene.tick()) == []
    assert sync_ids(instance, "contacts") == []


def test_failed_sync__markdown(
    scene: World, server: LocalRudderStack, clock: ManualClock, instance: dg.DagsterInstance
) -> None:
    """Where Dagster renders Markdown, the reason is escaped. The failure of the run is plain text,
    and has the reason as RudderStack wrote it."""
    server.set_script("crm", replace(FAILING, error="![x](https://a.b/c.png)"))
    scene.run()
    clock.advance(60)

    result = scene.tick()
    (run,) = scene.launch(result)

    descriptions = [event.description or "" for event in result.asset_events]
    assert len(descriptions) == 2
    assert all(r"!\[x](https\://a.b/c.png)" in each for each in descriptions)
    assert "RudderStack says: ![x](https://a.b/c.png). Fix" in failure(run)


@pytest.mark.parametrize("names", [["a"], ["a", "b"]], ids=["one_connection", "two_connections"])
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


@pytest.mark.parametrize("is_one_run", [True, False], ids=["one run", "two runs"])
def test_failed_sync__group_fails_one_run(
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    server: LocalRudderStack,
    clock: ManualClock,
    is_one_run: bool,
) -> None:
    """If several deferred syncs of one step fail, one run fails and reports all of them. It links
    to the run that started them, if that is one."""
    names = ["a", "b", "c"]
    connect(server, "a", "b", script=FAILING)
    connect(server, "c")
    group = build_rudderstack_sync_assets(
        connections={name: name for name in names}, name="group", wait=False
    )
    scene = world(instance, rudderstack, group)
    started = [scene.run().run_id] if is_one_run else [scene.run("a").run_id, scene.run("b").run_id]
    clock.advance(60)

    (run,) = scene.launch(scene.tick())

    assert failure(run).startswith("2 deferred syncs failed.")
    link = {MetadataKey.DAGSTER_RUN: dg.MetadataValue.dagster_run(started[0])}
    assert failure_metadata(run) == (link if is_one_run else {})
    assert len(server.starts()) == (3 if is_one_run else 2)


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

    assert ("sync_succeeded failed", "contacts") in reported(result)
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

    assert reported(result)[0] == ("observed", "contacts")
    assert result.run_requests == []
    assert "but no failing run of contacts can be requested" in (log := capfd.readouterr().err)
    assert "the sensor needs the asset's definition" in log
    assert reported(changed.tick()) == []

"""A re-execution of a run whose sync the sensor has reported."""

import dagster as dg
import pytest

from dagster_rudderstack import RudderStackResource
from dagster_rudderstack.testing import Fault, LocalRudderStack, ManualClock, SyncScript
from dagster_rudderstack_tests.sensor.world import CRM, sync_ids, world


def activation() -> dg.JobDefinition:
    """Return a job of the asset. Its runs can be re-executed."""
    rudderstack = RudderStackResource(
        access_token=dg.EnvVar("RUDDERSTACK_ACCESS_TOKEN"),
        api_url=dg.EnvVar("RUDDERSTACK_API_URL"),
        poll_min_interval_seconds=0.05,
        poll_max_interval_seconds=0.05,
        outage_tolerance_seconds=0,
    )
    defs = dg.Definitions(
        assets=[CRM],
        jobs=[dg.define_asset_job("activation", executor_def=dg.in_process_executor)],
        resources={"rudderstack": rudderstack},
    )
    return defs.resolve_job_def("activation")


@pytest.mark.parametrize("newer", [0, 2])
def test_reexecution__sensor_has_reported_the_sync(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    stored_instance: dg.DagsterInstance,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    newer: int,
) -> None:
    """A re-execution starts a new sync if the sensor has reported the one of its run, even if other
    runs have reported newer ones since."""
    monkeypatch.setenv("RUDDERSTACK_ACCESS_TOKEN", server.access_token)
    monkeypatch.setenv("RUDDERSTACK_API_URL", server.url)
    job = dg.reconstructable(activation)
    server.add_connection("crm", script=SyncScript(duration_seconds=60))
    scene = world(stored_instance, rudderstack, CRM)
    scene.tick()
    server.add_fault(Fault("status", operation="get_sync"))
    with dg.execute_job(job, instance=stored_instance) as failed:
        assert not failed.success
    clock.advance(60)
    scene.tick()
    server.set_script("crm", SyncScript())
    for _ in range(newer):
        assert scene.run().success

    again = dg.ReexecutionOptions.from_failure(failed.run_id, stored_instance)
    with dg.execute_job(job, instance=stored_instance, reexecution_options=again) as reexecuted:
        assert reexecuted.success

    assert sync_ids(stored_instance, "contacts") == [sync.id for sync in server.syncs("crm")]
    assert len(server.starts("crm")) == newer + 2

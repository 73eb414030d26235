"""A canceled run whose step gets no interrupt."""

from concurrent.futures import ThreadPoolExecutor

import dagster as dg
import pytest

from dagster_rudderstack import RudderStackResource, build_rudderstack_sync_asset
from dagster_rudderstack.testing import LocalRudderStack, SyncScript
from dagster_rudderstack_tests.processes.harness import Run, wait_for

pytestmark = pytest.mark.processes


def test_cancel__without_an_interrupt(server: LocalRudderStack) -> None:
    """A step that waits notices that its run was canceled, stops its sync and ends."""
    server.add_connection("crm", script=SyncScript(never_ends=True))
    asset = build_rudderstack_sync_asset(
        connection_id="crm", spec="crm", retry_policy=dg.RetryPolicy(max_retries=1)
    )
    rudderstack = RudderStackResource(
        access_token=server.access_token,
        api_url=server.url,
        poll_min_interval_seconds=600,
        poll_max_interval_seconds=600,
        sync_timeout_seconds=60,
    )

    # A step outside the main thread gets no signal.
    with dg.instance_for_test() as instance, ThreadPoolExecutor() as pool:
        result = pool.submit(
            dg.materialize,
            [asset],
            resources={"rudderstack": rudderstack},
            instance=instance,
            raise_on_error=False,
        )
        wait_for(lambda: server.starts("crm"), "the start")
        [run] = instance.get_runs()
        instance.report_run_canceling(run)
        result.result(150)
        canceled = Run(instance, run.run_id)

        assert canceled.status == "CANCELED"
        assert canceled.step_starts == 1
        assert "The run was canceled." in canceled.reason
        assert "RudderStack was asked to stop it" in canceled.reason
    assert len(server.starts("crm")) == len(server.stops("crm")) == 1

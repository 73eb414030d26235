"""A run is canceled, but the interrupt never arrives."""

from concurrent.futures import ThreadPoolExecutor

import dagster as dg
import pytest

from dagster_rudderstack import RudderStackResource, build_rudderstack_sync_asset
from dagster_rudderstack.testing import LocalRudderStack, SyncScript
from dagster_rudderstack_tests.processes.harness import Run, wait_for

pytestmark = pytest.mark.processes


def test_canceled_without_an_interrupt(server: LocalRudderStack) -> None:
    """A waiting step looks at its run now and then, so it ends and stops its sync all the same."""
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

    # No signal reaches a step outside the main thread.
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
        ended = Run(instance, run.run_id)

        assert ended.status == "CANCELED"
        assert ended.step_starts == 1
        assert "The run was canceled." in ended.reason
        assert "RudderStack was asked to stop it" in ended.reason
    assert len(server.starts("crm")) == len(server.stops("crm")) == 1

"""The code location of the tests.

Each asset has the name of its connection. By default a sync is polled once a minute, so that a wait
that cannot be interrupted fails a test by its length.
"""

import os
from typing import Any, Literal

import dagster as dg

from dagster_rudderstack import (
    RudderStackResource,
    build_rudderstack_profiles_asset,
    build_rudderstack_sync_asset,
    build_rudderstack_sync_op,
    rudderstack_sync_op,
)

POLL_SECONDS = 60.0
PROCESS_HEADER = "x-process"

PARTITIONS = dg.StaticPartitionsDefinition(["monday", "tuesday"])
TWO_RETRIES = dg.RetryPolicy(max_retries=2)


def _resource(
    poll_seconds: float = POLL_SECONDS,
    stop_on_termination: Literal["run_canceled", "always", "never"] = "run_canceled",
) -> RudderStackResource:
    return RudderStackResource(
        access_token=dg.EnvVar("RUDDERSTACK_ACCESS_TOKEN"),
        api_url=dg.EnvVar("RUDDERSTACK_API_URL"),
        poll_min_interval_seconds=poll_seconds,
        poll_max_interval_seconds=poll_seconds,
        stop_on_termination=stop_on_termination,
        # Shows which process sent a request, so that a test can kill it.
        extra_headers={PROCESS_HEADER: str(os.getpid())},
    )


def _asset(connection_id: str, **options: Any) -> dg.AssetsDefinition:
    return build_rudderstack_sync_asset(connection_id=connection_id, spec=connection_id, **options)


retrying_op = build_rudderstack_sync_op(
    connection_id="crm", name="retrying_op", asset_key="reported", retry_policy=TWO_RETRIES
)


@dg.job
def sync_job() -> None:
    """One sync of the connection in the run config."""
    rudderstack_sync_op()


@dg.job
def retrying_job() -> None:
    """One sync with a RetryPolicy."""
    retrying_op()


defs = dg.Definitions(
    assets=[
        _asset("crm"),
        _asset("crm_retry", retry_policy=TWO_RETRIES),
        _asset("crm_never", resource_key="never"),
        _asset("crm_always", resource_key="always"),
        _asset("crm_quick", resource_key="quick"),
        _asset("crm_attach", on_running_sync="attach"),
        _asset("crm_parts", partitions_def=PARTITIONS, resource_key="quick"),
        _asset("crm_quick_retry", retry_policy=TWO_RETRIES, resource_key="quick"),
        _asset("ads", resource_key="quick"),
        _asset("mail", resource_key="quick"),
        build_rudderstack_profiles_asset(
            source_id="features", specs=["user_features", "user_id_graph"], resource_key="quick"
        ),
    ],
    jobs=[sync_job, retrying_job, dg.define_asset_job("crm_job", selection="crm")],
    resources={
        "rudderstack": _resource(),
        "never": _resource(stop_on_termination="never"),
        "always": _resource(stop_on_termination="always"),
        "quick": _resource(poll_seconds=0.2),
    },
)

"""Executes a Dagster job with many syncs. A script of `many_syncs`.

    python many_syncs_job.py ours|plain|vendor COUNT CONCURRENT URL TOKEN

`ours` is one step for all connections. `plain` has the same assets and checks without syncs: the
cost of Dagster itself. `vendor` is one op for each connection, because its package has no group.
The job runs on an instance in DAGSTER_HOME, and its result is printed as JSON.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import dagster as dg

COUNT = "BENCHMARK_COUNT"
CONCURRENT = "BENCHMARK_CONCURRENT"
URL, TOKEN = "BENCHMARK_URL", "BENCHMARK_TOKEN"


def names() -> list[str]:
    """Return the ids of the connections, which are also the names of the assets."""
    return [f"c{number}" for number in range(int(os.environ[COUNT]))]


def executor() -> dg.ExecutorDefinition:
    """Return Dagster's default executor, with a limit of processes."""
    config = {"max_concurrent": int(os.environ[CONCURRENT])}
    configured: dg.ExecutorDefinition = dg.multiprocess_executor.configured(config)
    return configured


def ours() -> dg.JobDefinition:
    """Return the job with one step that syncs all connections."""
    from dagster_rudderstack import RudderStackResource, build_rudderstack_sync_assets

    step = build_rudderstack_sync_assets(
        connections={name: name for name in names()}, name="activation"
    )
    resource = RudderStackResource(access_token=dg.EnvVar(TOKEN), api_url=dg.EnvVar(URL))
    return _job(step, {"rudderstack": resource})


def plain() -> dg.JobDefinition:
    """Return the job with the same assets and checks, without syncs."""
    keys = names()

    @dg.multi_asset(
        name="activation",
        specs=[dg.AssetSpec(key) for key in keys],
        check_specs=[dg.AssetCheckSpec("rejected_rows", asset=key) for key in keys],
        can_subset=True,
    )
    def activation() -> Iterator[Any]:
        for key in keys:
            check = dg.AssetCheckResult(
                asset_key=dg.AssetKey(key), check_name="rejected_rows", passed=True
            )
            yield dg.MaterializeResult(key, metadata={"rows": 1}, check_results=[check])

    return _job(activation, {})


def _job(step: dg.AssetsDefinition, resources: dict[str, object]) -> dg.JobDefinition:
    job = dg.define_asset_job("benchmark", executor_def=executor())
    return dg.Definitions(assets=[step], jobs=[job], resources=resources).resolve_job_def(
        "benchmark"
    )


def vendor() -> dg.JobDefinition:
    """Return the job with one op for each connection."""
    from dagster_rudderstack.ops.retl import (  # type: ignore[import-not-found]
        RudderStackRETLOpConfig,
        rudderstack_sync_op,
    )
    from dagster_rudderstack.resources.rudderstack import (  # type: ignore[import-not-found]
        RudderStackRETLResource,
    )

    resource = RudderStackRETLResource(access_token=os.environ[TOKEN], rs_cloud_url=os.environ[URL])
    config = dg.RunConfig(
        ops={name: RudderStackRETLOpConfig(connection_id=name) for name in names()}
    )

    @dg.job(
        name="benchmark",
        executor_def=executor(),
        resource_defs={"retl_resource": resource},
        config=config,
    )
    def benchmark() -> None:
        for name in names():
            rudderstack_sync_op.alias(name)()

    return benchmark


def main() -> None:
    """Execute one job."""
    peer, os.environ[COUNT], os.environ[CONCURRENT] = sys.argv[1:4]
    os.environ[URL], os.environ[TOKEN] = sys.argv[4:6]
    # Imported by name, so that the processes of the executor can import it as well.
    import many_syncs_job  # type: ignore[import-not-found]

    job = dg.reconstructable(getattr(many_syncs_job, peer))
    with dg.DagsterInstance.get() as instance:
        began = time.monotonic()
        with dg.execute_job(job, instance=instance) as result:
            seconds = time.monotonic() - began
            print(json.dumps({"success": result.success, "seconds": seconds}))


if __name__ == "__main__":
    main()

"""A code location with one step for several connections."""

import os

import dagster as dg

from dagster_rudderstack import RudderStackResource, build_rudderstack_sync_assets

NAMES = [f"c{number}" for number in range(5)]


def activation() -> dg.JobDefinition:
    """Return the job of the step."""
    step = build_rudderstack_sync_assets(connections={name: name for name in NAMES}, name="step")
    rudderstack = RudderStackResource(
        access_token=dg.EnvVar("RUDDERSTACK_ACCESS_TOKEN"),
        api_url=dg.EnvVar("RUDDERSTACK_API_URL"),
        poll_min_interval_seconds=0.1,
        poll_max_interval_seconds=0.1,
    )
    defs = dg.Definitions(
        assets=[step],
        jobs=[dg.define_asset_job("activation", executor_def=dg.in_process_executor)],
        resources={"rudderstack": rudderstack},
    )
    return defs.resolve_job_def("activation")


def main() -> None:
    """Run the job once, on the instance in DAGSTER_HOME."""
    with (
        dg.DagsterInstance.get() as instance,
        dg.execute_job(dg.reconstructable(activation), instance=instance),
    ):
        os.write(1, b"finished\n")


if __name__ == "__main__":
    main()

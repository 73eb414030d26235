"""Jobs of one step each, executed as a worker of a queue does: the step of a run that exists."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import create_execution_plan, execute_plan_iterator

from dagster_rudderstack import (
    RudderStackResource,
    build_rudderstack_sync_asset,
    build_rudderstack_sync_assets,
    build_rudderstack_sync_op,
    rudderstack_assets,
)


def _wait_to_be_killed() -> None:
    """Wait in the first execution. The second one, which gets this variable, goes on."""
    if "REDELIVERED" not in os.environ:
        time.sleep(600)


@rudderstack_assets(connection_id="body", spec="body")
def body(
    _context: object, _rudderstack: object, sync: Callable[[], Iterator[Any]]
) -> Iterator[Any]:
    """Sync, and do something slow afterwards."""
    yield from sync()
    _wait_to_be_killed()


@dg.asset
def code(rudderstack: RudderStackResource) -> dg.MaterializeResult[Any]:
    """Sync two connections in the user's own code, with something slow in between."""
    first = rudderstack.sync_and_poll("code")
    _wait_to_be_killed()
    second = rudderstack.sync_and_poll("code2")
    return dg.MaterializeResult(metadata={"syncs": [first.id, second.id]})


@dg.asset(deps=["first"])
def downstream() -> None:
    """Use the first asset of a group."""


@dg.job
def op_job() -> None:
    """Sync in an op."""
    build_rudderstack_sync_op(connection_id="op", asset_key="op")()


defs = dg.Definitions(
    assets=[
        build_rudderstack_sync_asset(connection_id="single", spec="single"),
        build_rudderstack_sync_asset(connection_id="deferred", spec="deferred", wait=False),
        build_rudderstack_sync_assets(name="group", connections={"short": "short", "long": "long"}),
        build_rudderstack_sync_assets(
            name="upstream", connections={"first": "first", "second": "second"}
        ),
        body,
        code,
        downstream,
    ],
    jobs=[
        *(
            dg.define_asset_job(f"{name}_job", selection)
            for name, selection in {
                "single": ["single"],
                "deferred": ["deferred"],
                "group": ["short", "long"],
                "upstream": ["first", "second", "downstream"],
                "body": ["body"],
                "code": ["code"],
            }.items()
        ),
        op_job,
    ],
    resources={
        "rudderstack": RudderStackResource(
            access_token=dg.EnvVar("RUDDERSTACK_ACCESS_TOKEN"),
            api_url=dg.EnvVar("RUDDERSTACK_API_URL"),
            poll_min_interval_seconds=0.1,
            poll_max_interval_seconds=0.1,
        )
    },
)


def main(job_name: str, run_id: str) -> None:
    """Execute the first step of a run."""
    with dg.DagsterInstance.get() as instance:
        run = instance.get_run_by_id(run_id)
        assert run is not None
        job = InMemoryJob(defs.resolve_job_def(job_name))
        step = job_name.removesuffix("_job")
        plan = create_execution_plan(job)
        if step in {each.key for each in plan.steps}:
            plan = create_execution_plan(job, step_keys_to_execute=[step])
        for _ in execute_plan_iterator(plan, job, run, instance, run_config={}):
            pass


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The definitions of the demo, with Celery as their executor."""

import dagster as dg
from dagster_celery import celery_executor

from dagster_rudderstack import RudderStackResource
from reverse_etl_cluster.settings import executor_config

# The module: Dagster accepts only one decorated function among the names of a module.
from reverse_etl_demo import definitions as reverse_etl_demo

rudderstack = RudderStackResource(
    access_token=dg.EnvVar("RUDDERSTACK_ACCESS_TOKEN"),
    # A real workspace needs no api_url. A workspace in the EU needs region="eu".
    api_url=dg.EnvVar("RUDDERSTACK_API_URL"),
    # The syncs of the example take a minute. The visibility timeout of celery.yaml must be longer.
    sync_timeout_seconds=120,
)


@dg.definitions
def defs() -> dg.Definitions:
    """Return all definitions of the demo. Only the executor and a timeout differ."""
    demo = reverse_etl_demo.defs()
    return dg.Definitions(
        assets=demo.assets,
        asset_checks=demo.asset_checks,
        schedules=demo.schedules,
        sensors=demo.sensors,
        jobs=demo.jobs,
        resources={**(demo.resources or {}), "rudderstack": rudderstack},
        executor=celery_executor.configured(executor_config()),
    )

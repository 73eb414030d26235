"""The resources: the warehouse and RudderStack. Secrets come from the environment."""

import dagster as dg
from dagster_duckdb import DuckDBResource

from dagster_rudderstack import RudderStackResource


@dg.definitions
def resources() -> dg.Definitions:
    """Return the resources. A variable is read when a run needs it."""
    return dg.Definitions(
        resources={
            "warehouse": DuckDBResource(database=dg.EnvVar("WAREHOUSE_PATH")),
            "rudderstack": RudderStackResource(
                access_token=dg.EnvVar("RUDDERSTACK_ACCESS_TOKEN"),
                # A real workspace needs no api_url. A workspace in the EU needs region="eu".
                api_url=dg.EnvVar("RUDDERSTACK_API_URL"),
            ),
        },
        # Only one process at a time can write to a DuckDB file, so one process runs all steps.
        executor=dg.in_process_executor,
    )

"""Where the warehouse and RudderStack are. Secrets come from the environment."""

import dagster as dg
from dagster_duckdb import DuckDBResource

from dagster_rudderstack import RudderStackResource


@dg.definitions
def resources() -> dg.Definitions:
    """Return the resources; the variables are read when a run needs them, not before."""
    return dg.Definitions(
        resources={
            "warehouse": DuckDBResource(database=dg.EnvVar("WAREHOUSE_PATH")),
            "rudderstack": RudderStackResource(
                access_token=dg.EnvVar("RUDDERSTACK_ACCESS_TOKEN"),
                # A real workspace needs no api_url; one in the EU needs region="eu" instead.
                api_url=dg.EnvVar("RUDDERSTACK_API_URL"),
            ),
        },
        # DuckDB lets one process at a time write to its file, so one process runs all steps.
        executor=dg.in_process_executor,
    )

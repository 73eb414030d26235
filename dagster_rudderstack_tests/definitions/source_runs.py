"""What the tests of assets and ops of runs share."""

from typing import Any

import dagster as dg

from dagster_rudderstack import MetadataKey
from dagster_rudderstack.testing import LocalRudderStack

Result = dg.ExecuteInProcessResult | dg.JobExecutionResult


def bodies(server: LocalRudderStack) -> list[Any]:
    """Return the bodies of the requests that started a run, the oldest first."""
    return [request.body for request in server.run_starts()]


def run_ids(result: Result) -> dict[str, object]:
    """Return the run of each asset that a Dagster run materialized, by the asset."""
    return {
        event.materialization.asset_key.to_user_string(): event.materialization.metadata[
            MetadataKey.RUN_ID
        ].value
        for event in result.get_asset_materialization_events()
    }

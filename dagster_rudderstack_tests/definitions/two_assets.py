"""A code location with several assets for one connection, loaded by a test."""

import dagster as dg

from dagster_rudderstack import RudderStackResource, build_rudderstack_sync_asset

rudderstack = RudderStackResource(
    access_token=dg.EnvVar("RUDDERSTACK_ACCESS_TOKEN"), api_url=dg.EnvVar("RUDDERSTACK_API_URL")
)

same = [build_rudderstack_sync_asset(connection_id="crm", spec=key) for key in ("one", "two")]
other_workspace = build_rudderstack_sync_asset(
    connection_id="crm", spec="three", resource_key="rudderstack_eu"
)
other_connection = build_rudderstack_sync_asset(connection_id="ads", spec="four")
external = dg.AssetSpec("five", metadata={"rudderstack/connection_id": "ads"})

definitions = dg.Definitions(
    assets=[*same, other_workspace, other_connection, external],
    resources={"rudderstack": rudderstack, "rudderstack_eu": rudderstack},
)

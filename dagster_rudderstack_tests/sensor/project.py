"""A code location for the real daemon: the polling sensor watches an asset and a deferred asset."""

import dagster as dg

from dagster_rudderstack import (
    RudderStackResource,
    build_rudderstack_polling_sensor,
    build_rudderstack_sync_asset,
)

watched = build_rudderstack_sync_asset(connection_id="elsewhere", spec="watched")
deferred = build_rudderstack_sync_asset(connection_id="later", spec="deferred", wait=False)

defs = dg.Definitions(
    assets=[watched, deferred],
    sensors=[
        build_rudderstack_polling_sensor(
            assets=[watched, deferred],
            minimum_interval_seconds=1,
            default_status=dg.DefaultSensorStatus.RUNNING,
        )
    ],
    resources={
        "rudderstack": RudderStackResource(
            access_token=dg.EnvVar("RUDDERSTACK_ACCESS_TOKEN"),
            api_url=dg.EnvVar("RUDDERSTACK_API_URL"),
        )
    },
)

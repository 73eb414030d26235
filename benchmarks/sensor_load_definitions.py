"""The code location of `sensor_load`: one polling sensor for many connections."""

import os

import dagster as dg

from benchmarks.sensor_load_plan import COUNT_VARIABLE, SCALE, connections
from dagster_rudderstack import RudderStackResource, build_rudderstack_polling_sensor

defs = dg.Definitions(
    sensors=[
        build_rudderstack_polling_sensor(
            connections={each: each for each in connections(int(os.environ[COUNT_VARIABLE]))},
            minimum_interval_seconds=60 // SCALE,
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

"""The code location of the cluster: 200 connections as single assets, in groups, and deferred.

Used by `cluster`. Each asset has the name of its connection, and each of the three has a job.
"""

from typing import Any

import dagster as dg
from dagster_celery import celery_executor

from benchmarks.cluster_ways import (
    GROUPS,
    SENSOR_SECONDS,
    VISIBILITY_SECONDS,
    WAYS,
    connections_of,
)
from dagster_rudderstack import (
    RudderStackResource,
    build_rudderstack_polling_sensor,
    build_rudderstack_sync_asset,
    build_rudderstack_sync_assets,
)
from dagster_rudderstack_tests.cluster.project import REDIS_VARIABLE, celery_config


def _asset(connection_id: str, **options: Any) -> dg.AssetsDefinition:
    return build_rudderstack_sync_asset(connection_id=connection_id, spec=connection_id, **options)


def _group(number: int) -> dg.AssetsDefinition:
    members = connections_of("groups")[number::GROUPS]
    return build_rudderstack_sync_assets(
        name=f"group_{number}", connections={each: each for each in members}
    )


_assets = {
    "single": [_asset(each) for each in connections_of("single")],
    "groups": [_group(number) for number in range(GROUPS)],
    "deferred": [_asset(each, wait=False) for each in connections_of("deferred")],
}

defs = dg.Definitions(
    assets=[asset for assets in _assets.values() for asset in assets],
    jobs=[dg.define_asset_job(way, selection=_assets[way]) for way in WAYS],
    sensors=[
        build_rudderstack_polling_sensor(
            assets=_assets["deferred"],
            minimum_interval_seconds=SENSOR_SECONDS,
            default_status=dg.DefaultSensorStatus.RUNNING,
        )
    ],
    executor=celery_executor.configured(
        {
            "broker": {"env": REDIS_VARIABLE},
            "backend": {"env": REDIS_VARIABLE},
            "config_source": celery_config(VISIBILITY_SECONDS),
        }
    ),
    resources={
        "rudderstack": RudderStackResource(
            access_token=dg.EnvVar("RUDDERSTACK_ACCESS_TOKEN"),
            api_url=dg.EnvVar("RUDDERSTACK_API_URL"),
        )
    },
)

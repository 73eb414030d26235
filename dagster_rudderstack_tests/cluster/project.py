"""The code location of the cluster. Each asset has the name of its connection.

The broker and RudderStack are read from environment variables when a run needs them.
"""

import os
from typing import Any

import dagster as dg
from dagster_celery import celery_executor

from dagster_rudderstack import (
    RudderStackResource,
    build_rudderstack_polling_sensor,
    build_rudderstack_sync_asset,
    build_rudderstack_sync_assets,
)
from dagster_rudderstack_tests.processes.project import PROCESS_HEADER

REDIS_VARIABLE = "CLUSTER_REDIS_URL"
VISIBILITY_VARIABLE = "CLUSTER_VISIBILITY_SECONDS"
VISIBILITY_SECONDS = 20
"""A step that takes longer is delivered again, while it still runs. The variable replaces it."""


def celery_config(visibility_seconds: int) -> dict[str, Any]:
    """Return the settings of Celery."""
    return {
        # A step is taken off the queue when it has ended, and not when it starts. So the step of a
        # killed worker is not lost, but executed again.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "broker_transport_options": {
            "visibility_timeout": visibility_seconds,
            # How often a worker looks for steps to deliver again.
            "unacked_restore_interval": 2,
        },
        "broker_connection_retry_on_startup": True,
    }


SINGLES = ("plain", "killed", "frozen", "long", "lost", "redis", "database", "restarted")
CANCELED = ("canceled", "forced")
WAITING = ("orphan", "raced")
PARTITIONED = "partitioned"
PARTITIONS = ("monday", "tuesday", "wednesday", "thursday", "friday")
DEFERRED = tuple(f"deferred_{number}" for number in range(1, 5))
GROUPS = {
    name: tuple(f"{name}_{each}" for each in ("early", "late", "last"))
    for name in ("killed_group", "long_group", "lost_group", "redis_group", "database_group")
}


def _asset(connection_id: str, **options: Any) -> dg.AssetsDefinition:
    return build_rudderstack_sync_asset(connection_id=connection_id, spec=connection_id, **options)


EXECUTOR = celery_executor.configured(
    {
        "broker": {"env": REDIS_VARIABLE},
        "backend": {"env": REDIS_VARIABLE},
        "config_source": celery_config(
            int(os.environ.get(VISIBILITY_VARIABLE, VISIBILITY_SECONDS))
        ),
    }
)
RESOURCE = RudderStackResource(
    access_token=dg.EnvVar("RUDDERSTACK_ACCESS_TOKEN"),
    api_url=dg.EnvVar("RUDDERSTACK_API_URL"),
    poll_max_interval_seconds=1,
    # Shows which process sent a request, so that a case can kill it.
    extra_headers={PROCESS_HEADER: str(os.getpid())},
)

_deferred = [_asset(name, wait=False) for name in DEFERRED]

defs = dg.Definitions(
    assets=[
        *map(_asset, (*SINGLES, *CANCELED)),
        *(_asset(name, on_running_sync="wait") for name in WAITING),
        _asset(PARTITIONED, partitions_def=dg.StaticPartitionsDefinition(PARTITIONS)),
        *_deferred,
        *(
            build_rudderstack_sync_assets(name=name, connections={each: each for each in members})
            for name, members in GROUPS.items()
        ),
    ],
    sensors=[
        build_rudderstack_polling_sensor(
            assets=_deferred,
            minimum_interval_seconds=5,
            default_status=dg.DefaultSensorStatus.RUNNING,
        )
    ],
    executor=EXECUTOR,
    resources={"rudderstack": RESOURCE},
)

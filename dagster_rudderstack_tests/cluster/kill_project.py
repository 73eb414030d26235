"""The code location of the random kills. Each run has its own assets, and so its own connections.

How many runs there are is read from an environment variable, since all processes must agree on it.
"""

from __future__ import annotations

import os
from typing import Any

import dagster as dg

from dagster_rudderstack import (
    build_rudderstack_polling_sensor,
    build_rudderstack_sync_asset,
    build_rudderstack_sync_assets,
)
from dagster_rudderstack_tests.cluster.kill_plan import KINDS, assets_of, kind_of
from dagster_rudderstack_tests.cluster.project import EXECUTOR, RESOURCE

RUNS_VARIABLE = "CLUSTER_RUNS"
_OPTIONS: dict[str, dict[str, Any]] = {
    "single": {},
    "waiting": {"on_running_sync": "wait"},
    "deferred": {"wait": False},
}


def _definition(number: int) -> dg.AssetsDefinition:
    kind, names = kind_of(number), assets_of(number)
    if kind == "group":
        connections = {name: name for name in names}
        return build_rudderstack_sync_assets(name=f"group_{number:02}", connections=connections)
    (name,) = names
    return build_rudderstack_sync_asset(connection_id=name, spec=name, **_OPTIONS[kind])


_numbers = range(int(os.environ.get(RUNS_VARIABLE, len(KINDS))))
_assets = {number: _definition(number) for number in _numbers}

defs = dg.Definitions(
    assets=list(_assets.values()),
    sensors=[
        build_rudderstack_polling_sensor(
            assets=[_assets[number] for number in _numbers if kind_of(number) == "deferred"],
            minimum_interval_seconds=2,
            default_status=dg.DefaultSensorStatus.RUNNING,
        )
    ],
    executor=EXECUTOR,
    resources={"rudderstack": RESOURCE},
)

"""A deferred asset, and what the tests of deferred syncs change about it."""

from dataclasses import replace

import dagster as dg

from dagster_rudderstack import (
    RudderStackSyncConfig,
    build_rudderstack_polling_sensor,
    build_rudderstack_sync_asset,
)
from dagster_rudderstack_tests.sensor.world import World

CRM = build_rudderstack_sync_asset(connection_id="crm", spec="contacts", wait=False)


def config(**settings: object) -> dg.RunConfig:
    return dg.RunConfig(ops={"contacts": RudderStackSyncConfig(**settings)})  # type: ignore[arg-type]


def with_sensor_of_specs(scene: World) -> World:
    """Return the scene with a sensor that has specs instead of definitions."""
    specs = [spec for asset in scene.assets for spec in asset.specs]
    return replace(scene, sensor=build_rudderstack_polling_sensor(assets=specs))

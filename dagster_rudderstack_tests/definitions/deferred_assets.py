"""A code location with deferred assets, some of them without a polling sensor, loaded by a test."""

import dagster as dg

from dagster_rudderstack import (
    RudderStackResource,
    build_rudderstack_polling_sensor,
    build_rudderstack_sync_asset,
    build_rudderstack_sync_assets,
)
from dagster_rudderstack_tests.definitions import deferred_assets_with_prefix as other

rudderstack = RudderStackResource(
    access_token=dg.EnvVar("RUDDERSTACK_ACCESS_TOKEN"), api_url=dg.EnvVar("RUDDERSTACK_API_URL")
)


def deferred(key: str, **options: str) -> dg.AssetsDefinition:
    """Return a deferred asset of the connection with the name of its key."""
    return build_rudderstack_sync_asset(connection_id=key, spec=key, wait=False, **options)  # type: ignore[arg-type]


def sensor(name: str, *assets: dg.AssetsDefinition, is_on: bool = False) -> dg.SensorDefinition:
    """Return a polling sensor."""
    status = dg.DefaultSensorStatus.RUNNING if is_on else dg.DefaultSensorStatus.STOPPED
    return build_rudderstack_polling_sensor(name=name, assets=assets, default_status=status)


watched, watched_by_default, watched_twice = map(deferred, ("watched", "by_default", "twice"))
group = build_rudderstack_sync_assets(
    name="group", connections={f"c{number}": f"c{number}" for number in range(5)}, wait=False
)
(prefixed,) = dg.load_assets_from_modules([other], key_prefix="prefix")
assert isinstance(prefixed, dg.AssetsDefinition)

definitions = dg.Definitions(
    assets=[
        watched,
        watched_by_default,
        watched_twice,
        group,
        deferred("unwatched"),
        deferred("unwatched_eu", resource_key="rudderstack_eu"),
        build_rudderstack_sync_asset(connection_id="waiting", spec="waiting"),
        prefixed,
    ],
    sensors=[
        sensor("off", watched, watched_twice),
        sensor("on", watched_by_default, watched_twice, is_on=True),
        sensor("off_for_others", prefixed),
        dg.SensorDefinition("someone_elses", job_name="__ASSET_JOB", evaluation_fn=lambda _: None),
    ],
    resources={"rudderstack": rudderstack, "rudderstack_eu": rudderstack},
    executor=dg.in_process_executor,
)

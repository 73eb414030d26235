"""A sensor that ticks when a test calls it, and stores its events as the daemon does."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import dagster as dg

from dagster_rudderstack import (
    MetadataKey,
    RudderStackResource,
    build_rudderstack_polling_sensor,
    build_rudderstack_sync_asset,
)
from dagster_rudderstack.sensor.events import Event
from dagster_rudderstack.testing import LocalRudderStack, SyncScript

MINUTE = SyncScript(duration_seconds=60, rows_total=10)
FAILING = SyncScript(duration_seconds=60, status="failed", error="no such table")

CRM = build_rudderstack_sync_asset(connection_id="crm", spec="contacts")


@dataclass
class World:
    """Assets, their sensor, and what the daemon remembers of its ticks."""

    instance: dg.DagsterInstance
    rudderstack: RudderStackResource
    assets: Sequence[dg.AssetsDefinition]
    sensor: dg.SensorDefinition
    cursor: str | None = None
    run_keys: set[str | None] = field(default_factory=set)

    def tick(self) -> dg.SensorResult:
        """Evaluate the sensor. Store its events and its cursor."""
        with dg.build_sensor_context(
            self.instance, cursor=self.cursor, resources={"rudderstack": self.rudderstack}
        ) as context:
            result = self.sensor(context)
        assert isinstance(result, dg.SensorResult)
        for event in result.asset_events:
            self.instance.report_runless_asset_event(event)
        self.cursor = result.cursor
        return result

    def run(self, *names: str, **options: object) -> dg.ExecuteInProcessResult:
        """Materialize some assets, or all."""
        return dg.materialize(
            self.assets,
            instance=self.instance,
            resources={"rudderstack": self.rudderstack},
            raise_on_error=False,
            selection=list(names) or None,
            **options,  # type: ignore[arg-type]
        )

    def launch(self, result: dg.SensorResult) -> list[dg.ExecuteInProcessResult]:
        """Launch the runs that a tick requests, one for each run key."""
        runs = []
        for request in result.run_requests or ():
            if request.run_key in self.run_keys:
                continue
            self.run_keys.add(request.run_key)
            names = [key.to_user_string() for key in request.asset_selection or ()]
            partition = {"partition_key": request.partition_key} if request.partition_key else {}
            runs.append(
                self.run(*names, run_config=request.run_config, tags=request.tags, **partition)
            )
        return runs


def world(
    instance: dg.DagsterInstance,
    rudderstack: RudderStackResource,
    *assets: dg.AssetsDefinition,
    **options: object,
) -> World:
    """Return assets with a sensor that watches them."""
    sensor = build_rudderstack_polling_sensor(assets=assets, **options)  # type: ignore[arg-type]
    return World(instance, rudderstack, assets, sensor)


def reported(result: dg.SensorResult) -> list[tuple[str, str]]:
    """Return the kind and the asset of each event that a tick reports."""
    return [(_kind(event), event.asset_key.to_user_string()) for event in result.asset_events]


def _kind(event: Event) -> str:
    if isinstance(event, dg.AssetCheckEvaluation):
        return f"{event.check_name} {'passed' if event.passed else 'failed'}"
    return "materialized" if isinstance(event, dg.AssetMaterialization) else "observed"


def materializations(result: dg.SensorResult) -> list[dg.AssetMaterialization]:
    """Return the materializations that a tick reports."""
    return [event for event in result.asset_events if isinstance(event, dg.AssetMaterialization)]


def sync_ids(instance: dg.DagsterInstance, key: str) -> list[object]:
    """Return the sync ids of an asset's materializations, oldest first."""
    records = instance.fetch_materializations(dg.AssetKey(key), limit=1000, ascending=True).records
    return [
        record.asset_materialization.metadata[MetadataKey.SYNC_ID].value
        for record in records
        if record.asset_materialization
    ]


def connect(server: LocalRudderStack, *names: str, script: SyncScript = MINUTE) -> None:
    """Add connections to the server."""
    for name in names:
        server.add_connection(name, script=script)

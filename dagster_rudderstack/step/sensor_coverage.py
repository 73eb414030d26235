"""Finds deferred assets whose syncs no running polling sensor reports."""

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from weakref import WeakKeyDictionary

import dagster as dg

from dagster_rudderstack.dagster_internals import is_sensor_on
from dagster_rudderstack.metadata import MetadataKey
from dagster_rudderstack.settings import RESOURCE_KEY
from dagster_rudderstack.step.dagster_step import StepLog
from dagster_rudderstack.text import examples_of, summary_of

__all__ = ["warn_without_sensor"]

Sensors = Mapping[str, list[dg.SensorDefinition]]

_SENSORS: WeakKeyDictionary[object, Sensors] = WeakKeyDictionary()
"""The polling sensors of each connection, by the definitions of a code location."""


def warn_without_sensor(
    context: dg.AssetExecutionContext, connections: Mapping[str, dg.AssetKey], resource_key: str
) -> None:
    """Warn of connections without a polling sensor, or whose polling sensors are stopped.

    Args:
        context: Dagster's context of a step that does not wait for its syncs.
        connections: The assets of the step, by connection id.
        resource_key: The key of the step's resource.
    """
    # Only a hint. Where a test calls an asset directly, and with `dg.materialize`, there is no code
    # location.
    with contextlib.suppress(Exception):
        log, sensors = StepLog(context.log), _sensors_of(context.repository_def)
        alone = [key for connection, key in connections.items() if connection not in sensors]
        if alone:
            log.warning(_no_sensor_warning(alone, resource_key))
        if stopped := _stopped(context, sensors, connections):
            lines = {name: _stopped_warning(name, keys) for name, keys in stopped.items()}
            log.warning(summary_of(lines, "sensor"))


def _no_sensor_warning(keys: Iterable[dg.AssetKey], resource_key: str) -> str:
    resource = "" if resource_key == RESOURCE_KEY else f", resource_key={resource_key!r}"
    return (
        f"No polling sensor of this code location reports the syncs of {_names(keys)}. With "
        "wait=False, the step only starts them, so Dagster does not learn how they end. Add to the "
        f"definitions: sensors=[build_rudderstack_polling_sensor(assets=[...]{resource})]. In the "
        "YAML of a component: polling_sensor: true."
    )


def _stopped_warning(sensor: str, keys: Iterable[dg.AssetKey]) -> str:
    return (
        f"The sensor {sensor!r}, which reports the syncs of {_names(keys)}, is stopped. Until it "
        "runs, Dagster does not learn how they end. Turn it on under Automation in Dagster's UI. "
        "To have a new sensor on from the beginning, build it with "
        "default_status=dg.DefaultSensorStatus.RUNNING. In the YAML of a component: "
        "polling_sensor: {default_status: RUNNING}."
    )


def _names(keys: Iterable[dg.AssetKey]) -> str:
    return examples_of([key.to_user_string() for key in keys], "asset")


def _sensors_of(repository: dg.RepositoryDefinition) -> Sensors:
    if repository not in _SENSORS:
        found: dict[str, list[dg.SensorDefinition]] = defaultdict(list)
        for sensor in repository.sensor_defs:
            connections = sensor.metadata.get(MetadataKey.CONNECTION_IDS)
            if isinstance(connections, dg.JsonMetadataValue):
                for connection in connections.value or ():
                    found[str(connection)].append(sensor)
        _SENSORS[repository] = dict(found)
    return _SENSORS[repository]


def _stopped(
    context: dg.AssetExecutionContext, sensors: Sensors, connections: Mapping[str, dg.AssetKey]
) -> Mapping[str, list[dg.AssetKey]]:
    """Return the assets of which all sensors are stopped, by the name of their first sensor."""
    used = {each.name: each for id_ in connections for each in sensors.get(id_, ())}
    off = {
        name
        for name, sensor in used.items()
        if is_sensor_on(context.instance, context.run, sensor) is False
    }
    stopped: dict[str, list[dg.AssetKey]] = defaultdict(list)
    for connection, key in connections.items():
        names = [each.name for each in sensors.get(connection, ())]
        if names and off.issuperset(names):
            stopped[names[0]].append(key)
    return stopped

"""Names of Dagster that have no public home; nothing else here imports private ones."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, cast

import dagster as dg

# Dagster raises it for a wrong value in the attributes of an asset.
from dagster._check import CheckError

# What a code location keeps for the processes of its runs. Dagster's own integrations keep their
# workspaces there, through `StateBackedDefinitionsLoader`. That class is not used here, since it
# reads the workspace again for each call of a factory.
from dagster._core.definitions.definitions_load_context import (
    DefinitionsLoadContext,
    DefinitionsLoadType,
)

# Which annotations of a function's parameters are resources is known to Dagster only.
from dagster._core.definitions.resource_annotation import get_resource_args

# An engine event is the only kind of event that is about a run, carries metadata, and is not on an
# asset's page. Dagster's Pipes clients use it for the same purpose.
from dagster._core.events import EngineEventData

# Dagster has no public name for its registry of libraries.
from dagster._core.libraries import DagsterLibraryRegistry

# Dagster has no public name for whether a sensor is turned on.
from dagster._core.scheduler.instigation import InstigatorStatus

# Dagster adds the lines of the YAML file to any other error of a resolver.
from dagster.components.resolved.errors import ResolutionException

# Dagster exports no name for a component's `translation`. Its own integrations import these.
from dagster.components.utils.translation import TranslationFn, TranslationFnResolver

__all__ = [
    "CheckError",
    "ResolutionException",
    "TranslationFn",
    "TranslationFnResolver",
    "awaited_outputs",
    "engine_event_data",
    "is_sensor_on",
    "kept_with_code_location",
    "planned_run_ids",
    "register_library",
    "resource_parameters",
    "with_keys",
    "with_signature",
]


def engine_event_data(metadata: Mapping[str, dg.MetadataValue]) -> EngineEventData:
    """Return what an engine event carries."""
    return EngineEventData(metadata=metadata)


def register_library(name: str, version: str) -> None:
    """Register a library that is not one of Dagster's own, whose versions differ."""
    DagsterLibraryRegistry.register(name, version, is_dagster_package=False)


def awaited_outputs(context: dg.OpExecutionContext) -> set[str]:
    """Return the names of the outputs of a step that other steps of its run wait for.

    A context has no public way to the graph of its job.
    """
    graph = context.job_def.graph
    for name in context.op_handle.path[:-1]:
        graph = cast("dg.GraphDefinition", graph.node_named(name).definition)
    waiting = graph.dependency_structure.output_to_downstream_inputs_for_node(
        context.op_handle.name
    )
    return {output.output_name for output in waiting}


def is_sensor_on(
    instance: dg.DagsterInstance, run: dg.DagsterRun, sensor: dg.SensorDefinition
) -> bool | None:
    """Return whether a sensor of the run's code location is turned on. None if that is unknown.

    Dagster stores the state of a sensor by the name of its code location. A run that was not
    launched from a code location, as by `dagster job execute`, does not have that name.
    """
    if run.remote_job_origin is None:
        return None
    origin = run.remote_job_origin.repository_origin.get_instigator_origin(sensor.name)
    state = instance.get_instigator_state(origin.get_id(), origin.get_selector().get_id())
    # As Dagster decides: until a person turns a sensor on or off, its default applies.
    if state is None or state.status is InstigatorStatus.DECLARED_IN_CODE:
        return sensor.default_status is dg.DefaultSensorStatus.RUNNING
    return state.status is InstigatorStatus.RUNNING


def planned_run_ids(
    instance: dg.DagsterInstance, key: dg.AssetKey, since: float | None, limit: int
) -> list[str]:
    """Return the runs that were to materialize an asset, the newest first.

    The instance's own method for this is deprecated and has no successor, so its storage is asked.

    Args:
        instance: Dagster's instance.
        key: The asset.
        since: Only runs created after this time, in epoch seconds. None sets no limit.
        limit: The largest number of runs.
    """
    planned = dg.EventRecordsFilter(
        dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED, asset_key=key, after_timestamp=since
    )
    records = instance.event_log_storage.get_event_records(planned, limit=limit)
    return [record.run_id for record in records]


def kept_with_code_location(key: str, read: Callable[[], str]) -> str:
    """Return a text that the code location keeps for the processes of its runs and steps.

    It is read when the code location loads, once for each key. Where no code location loads, it is
    read each time.

    Args:
        key: The key, unique in the code location.
        read: Reads it.
    """
    context = DefinitionsLoadContext.get()
    # A run that has ended may leave its context in the process. What was read for it is not used.
    kept = (
        context.reconstruction_metadata
        if context.load_type is DefinitionsLoadType.RECONSTRUCTION
        else context.get_pending_reconstruction_metadata()
    )
    text = kept[key] if key in kept else read()
    context.add_to_pending_reconstruction_metadata(key, text)
    return str(text)


def resource_parameters(annotations: Mapping[str, Any]) -> list[str]:
    """Return the parameters of a function that are resources, by their annotations."""

    def function() -> None: ...

    with_signature(function, annotations)
    return [parameter.name for parameter in get_resource_args(function)]


def with_signature(function: Any, annotations: Mapping[str, Any]) -> None:
    """Let a function have parameters, by their annotations, for Dagster to see."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [
        inspect.Parameter(name, kind, annotation=hint) for name, hint in annotations.items()
    ]
    # Dagster reads the annotations from either.
    function.__signature__ = inspect.Signature(parameters)
    function.__annotations__ = dict(annotations)


def with_keys(
    definition: dg.AssetsDefinition, keys: Mapping[dg.AssetKey, dg.AssetKey]
) -> dg.AssetsDefinition:
    """Return a definition with other keys for some of its dependencies.

    Dagster adds prefixes to keys in this way. `AssetIn` cannot be used for a dependency.
    """
    return definition.with_attributes(asset_key_replacements=keys) if keys else definition

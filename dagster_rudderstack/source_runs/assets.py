"""Asset factories: what a run of a Profiles project or an ETL source builds, as assets."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from dagster_rudderstack.api.profiles import ProfilesParameters
from dagster_rudderstack.api.validation import checked_id
from dagster_rudderstack.assets.specs import (
    CoercibleToSpec,
    check_step_names,
    completed_spec,
    with_dependency_names,
)
from dagster_rudderstack.assets.step import ANY_RESOURCE
from dagster_rudderstack.dagster_internals import with_keys, with_signature
from dagster_rudderstack.errors import InvalidSettingError, RudderStackError
from dagster_rudderstack.metadata import Metadata, MetadataKey, column_metadata, failure_from
from dagster_rudderstack.options import config_fields
from dagster_rudderstack.resource import RudderStackResource
from dagster_rudderstack.source_runs.options import (
    ProfilesAssetOptions,
    RudderStackProfilesConfig,
    RudderStackSourceConfig,
    SourceAssetOptions,
    choices_of,
    choices_of_run,
    parameters_of,
    parameters_of_run,
    run_options,
)
from dagster_rudderstack.step.dagster_step import current_step
from dagster_rudderstack.step.results import StepSync, SyncResult
from dagster_rudderstack.step.runner import Runner
from dagster_rudderstack.sync.request import RunRequest
from dagster_rudderstack.text import identifier, shown

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["build_rudderstack_profiles_asset", "build_rudderstack_source_asset"]


def build_rudderstack_profiles_asset(
    *,
    source_id: str,
    specs: Sequence[CoercibleToSpec] | None = None,
    deps: Iterable[Any] | None = None,
    name: str | None = None,
    **options: "Unpack[ProfilesAssetOptions]",
) -> dg.AssetsDefinition:
    """Build the assets of a Profiles project. Materializing them runs the project and waits.

        features = build_rudderstack_profiles_asset(
            source_id="2hkfQ1bVxSgBbBmZCWGbnQmOs0D",
            specs=["user_features", dg.AssetSpec("account_features", group_name="features")],
            deps=["customers", "orders"],
        )

    One run builds all of them, so they are always materialized together. RudderStack has no way to
    stop a run: it continues when a person cancels the Dagster run, or when the timeout passes.

    With time partitions, the run gets the time window of the partition as its begin_time and
    end_time. A backfill that runs several partitions at once gets the window of all of them.

    No request is sent while definitions load.

    Args:
        source_id: The project, from the RudderStack dashboard.
        specs: The tables and views that it builds, each an `AssetSpec` or a key. None means one
            asset with the key `rudderstack/<source_id>`.
        deps: Upstream assets of each of them, in addition to those of its spec.
        name: Name of the step. None creates one from the key of the only asset, or from the id.
        options: How the project is run, see `ProfilesAssetOptions`.

    Raises:
        InvalidSettingError: If an id, an asset or an option is invalid.
    """
    source = checked_id(source_id, "source_id")
    checked = run_options(options, ProfilesAssetOptions)
    parameters = parameters_of(checked)
    assets = _specs(source, specs, deps, parameters)
    _check_partitions(checked, assets, parameters)
    return _definition(source, assets, checked, RudderStackProfilesConfig, name)


def build_rudderstack_source_asset(
    *,
    source_id: str,
    specs: Sequence[CoercibleToSpec] | None = None,
    deps: Iterable[Any] | None = None,
    name: str | None = None,
    **options: "Unpack[SourceAssetOptions]",
) -> dg.AssetsDefinition:
    """Build the assets of an ETL (cloud extract) source. Materializing them runs it and waits.

        stripe = build_rudderstack_source_asset(
            source_id="2hkfPqGZK0mYwUyXUSwHkqwMZ3g",
            specs=[["stripe", "customers"], ["stripe", "charges"]],
        )

    One run loads all of them, so they are always materialized together. It takes no time window, so
    they have no partitions. RudderStack has no way to stop a run: it continues when a person
    cancels the Dagster run, or when the timeout passes.

    No request is sent while definitions load.

    Args:
        source_id: The source, from the RudderStack dashboard.
        specs: The tables that it loads, each an `AssetSpec` or a key. None means one asset with the
            key `rudderstack/<source_id>`.
        deps: Upstream assets of each of them, in addition to those of its spec.
        name: Name of the step. None creates one from the key of the only asset, or from the id.
        options: How the source is run, see `SourceAssetOptions`.

    Raises:
        InvalidSettingError: If an id, an asset or an option is invalid.
    """
    source = checked_id(source_id, "source_id")
    checked = run_options(options, SourceAssetOptions)
    assets = _specs(source, specs, deps, ProfilesParameters())
    _check_no_partitions(assets)
    return _definition(source, assets, checked, RudderStackSourceConfig, name)


# --- definition


def _specs(
    source_id: str,
    given: Sequence[CoercibleToSpec] | None,
    deps: Iterable[Any] | None,
    parameters: ProfilesParameters,
) -> list[dg.AssetSpec]:
    if given is None:
        given = [["rudderstack", identifier(source_id)]]
    # Dagster's keys and specs are tuples.
    is_one = isinstance(given, str | dg.AssetKey | dg.AssetSpec)
    if is_one or not isinstance(given, Sequence):
        raise InvalidSettingError(
            f"specs {shown(given)}: expected a list of assets, as in ['user_features']."
        )
    if not given:
        raise InvalidSettingError("specs is empty: expected at least one asset.")
    metadata = _definition_metadata(source_id, parameters)
    # An iterator can be read only once, and there may be many specs.
    upstream = list(deps) if isinstance(deps, Iterator) else deps
    # A retry may have nothing left to yield for an asset that was materialized before.
    specs = [
        completed_spec(each, upstream, metadata).replace_attributes(skippable=True)
        for each in given
    ]
    keys = [spec.key for spec in specs]
    for key in keys:
        if keys.count(key) > 1:
            raise InvalidSettingError(f"specs contains {key.to_user_string()!r} twice.")
    check_step_names(keys)
    return specs


def _definition_metadata(source_id: str, parameters: ProfilesParameters) -> Metadata:
    """Return what the page of an asset says before its first run."""
    flags = " ".join(parameters.to_api())
    return {
        MetadataKey.SOURCE_ID: dg.MetadataValue.text(source_id),
        **({MetadataKey.PARAMETERS: dg.MetadataValue.text(flags)} if flags else {}),
    }


def _check_no_partitions(specs: Iterable[dg.AssetSpec]) -> None:
    partitioned = next((each for each in specs if each.partitions_def is not None), None)
    if partitioned is not None:
        raise InvalidSettingError(
            f"{partitioned.key.to_user_string()!r} has partitions, but a run of an ETL source "
            "takes no time window: each partition would load the same. Remove its partitions_def."
        )


def _check_partitions(
    options: ProfilesAssetOptions, specs: Iterable[dg.AssetSpec], parameters: ProfilesParameters
) -> None:
    """Check that partitions have a time window, and that no other one is given."""
    for found in (options["partitions_def"], *(spec.partitions_def for spec in specs)):
        if found is None:
            continue
        if not isinstance(found, dg.TimeWindowPartitionsDefinition):
            raise InvalidSettingError(
                f"partitions_def is a {type(found).__name__}: expected time partitions, such as "
                "dg.DailyPartitionsDefinition. Their window is the begin_time and end_time of the "
                "run."
            )
        if parameters.begin_time is not None or parameters.end_time is not None:
            raise InvalidSettingError(
                "begin_time and end_time cannot be used with partitions, whose time window they "
                "would contradict. Leave them out."
            )


def _definition(
    source_id: str,
    specs: Sequence[dg.AssetSpec],
    options: ProfilesAssetOptions,
    config: type[RudderStackSourceConfig],
    name: str | None,
) -> dg.AssetsDefinition:
    (first, *others) = [spec.key for spec in specs]
    by_id = f"rudderstack_{identifier(source_id)}"
    step = SourceRunStep(source_id, [first, *others], options, config)
    named, dependency_keys = with_dependency_names(specs)
    define = dg.multi_asset(
        specs=named,
        name=name or (by_id if others else first.to_python_identifier()),
        # A run builds all of them.
        can_subset=False,
        config_schema=config_fields(config),
        partitions_def=options["partitions_def"],
        backfill_policy=options["backfill_policy"],
        retry_policy=options["retry_policy"],
        pool=options["pool"],
        op_tags=options["op_tags"],
    )

    def execute(context: dg.AssetExecutionContext, **resources: Any) -> Iterator[Any]:
        yield from step.run(context, resources[options["resource_key"]])

    annotations = {
        "context": dg.AssetExecutionContext,
        options["resource_key"]: ANY_RESOURCE,
    }
    with_signature(execute, annotations)
    return with_keys(define(execute), dependency_keys)


# --- execution


@dataclass(frozen=True)
class SourceRunStep:
    """The step that runs a source.

    Attributes:
        source_id: The project or source.
        keys: The keys of its assets when they were built.
        options: How it is run.
        config: The class of the run config.
    """

    source_id: str
    keys: Sequence[dg.AssetKey]
    options: ProfilesAssetOptions
    config: type[RudderStackSourceConfig]

    def run(
        self, context: dg.AssetExecutionContext, rudderstack: RudderStackResource
    ) -> Iterator[dg.MaterializeResult[Any]]:
        """Run the source, and yield the materializations that no earlier attempt has reported.

        Raises:
            dagster.Failure: If the run did not succeed.
        """
        runner = self._runner(context, rudderstack)
        for result in runner.run():
            yield from _materializations(context, result)
        runner.raise_failures()

    def _runner(
        self, context: dg.AssetExecutionContext, rudderstack: RudderStackResource
    ) -> Runner:
        try:
            config = self.config(**context.op_execution_context.op_config)
            self._check_current_partitions(context.assets_def)
            is_partitioned = context.assets_def.partitions_def is not None
            window = context.partition_time_window if is_partitioned else None
            parameters = parameters_of_run(config, parameters_of(self.options), window)
            choices = choices_of_run(config).over(choices_of(self.options))
            request = RunRequest(self.source_id, parameters.to_api())
            sync = StepSync.of(request, self._current_keys(context.assets_def))
            policy = rudderstack.sync_policy(choices)
            return rudderstack.runner(current_step(context), [sync], policy)
        except RudderStackError as error:
            raise failure_from(error, source_id=self.source_id) from None

    def _check_current_partitions(self, definition: dg.AssetsDefinition) -> None:
        """Check the partitions again, since `map_asset_specs` can set others afterwards."""
        if self.config is RudderStackSourceConfig:
            _check_no_partitions(definition.specs)
        else:
            _check_partitions(self.options, definition.specs, parameters_of(self.options))

    def _current_keys(self, definition: dg.AssetsDefinition) -> list[dg.AssetKey]:
        """Return the keys as the definitions have them.

        They may have got a prefix since the assets were built (`load_assets_from_modules`). The
        names of the step's outputs stay what they were.
        """
        current = definition.node_keys_by_output_name
        return [current.get(key.to_python_identifier(), key) for key in self.keys]


def _materializations(
    context: dg.AssetExecutionContext, result: SyncResult
) -> Iterator[dg.MaterializeResult[Any]]:
    """Yield the materializations of a successful run that are not stored yet."""
    if result.metadata is None or result.is_reported:
        return
    specs: Mapping[dg.AssetKey, dg.AssetSpec] = context.assets_def.specs_by_key
    for key in result.sync.keys:
        if key not in result.reported_keys:
            columns = column_metadata(specs[key].metadata)
            yield dg.MaterializeResult(asset_key=key, metadata={**result.metadata, **columns})

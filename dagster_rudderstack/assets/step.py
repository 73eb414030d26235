"""The step of assets: its definition, and what it does in a run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import dagster as dg

from dagster_rudderstack.assets.function import StepFunction, config_schema, configs_of, results_in
from dagster_rudderstack.assets.specs import known_sync_log, with_dependency_names
from dagster_rudderstack.assets.syncs import RudderStackSyncs
from dagster_rudderstack.checks.base import SyncCheck
from dagster_rudderstack.checks.recheck import rechecked, rechecked_end
from dagster_rudderstack.checks.sync_checks import SUCCEEDED_CHECK, check_specs_of
from dagster_rudderstack.dagster_internals import with_keys, with_signature
from dagster_rudderstack.errors import InvalidSettingError, RudderStackError
from dagster_rudderstack.metadata import column_metadata, failure_from
from dagster_rudderstack.metadata_set import report_from_metadata
from dagster_rudderstack.options import AssetOptions, choices_of, choices_of_run
from dagster_rudderstack.resource import RudderStackResource
from dagster_rudderstack.settings import DEFAULT_SYNC_TYPE, RESOURCE_KEY
from dagster_rudderstack.step.dagster_step import StepLog, current_step
from dagster_rudderstack.step.deferred import failed_syncs_of, failure_of_deferred
from dagster_rudderstack.step.duplicates import warn_of_duplicates
from dagster_rudderstack.step.results import StepSync, SyncResult
from dagster_rudderstack.step.runner import Runner
from dagster_rudderstack.step.sensor_coverage import warn_without_sensor
from dagster_rudderstack.step.yielded import Yielded
from dagster_rudderstack.sync.choices import SyncChoices
from dagster_rudderstack.sync.request import SyncReport, SyncRequest
from dagster_rudderstack.text import examples_of

__all__ = ["ANY_RESOURCE", "AssetStep", "definition_of"]

# To mypy, the alias is not generic where it is a value.
ANY_RESOURCE: Any = dg.ResourceParam[Any]  # type: ignore[misc]
"""The annotation of a parameter that is a resource."""

_Result = dg.MaterializeResult[Any] | dg.AssetCheckResult


@dataclass(frozen=True)
class AssetStep:
    """What the step of some assets does.

    Attributes:
        name: Its name.
        keys: The key of each connection's asset when it was built, by connection id.
        names: The name of each connection, by connection id. None where it is unknown.
        options: How the connections are synced.
        function: The user's own function. None syncs and does nothing else.
    """

    name: str
    keys: Mapping[str, dg.AssetKey]
    names: Mapping[str, str | None]
    options: AssetOptions
    function: StepFunction | None = None

    @property
    def checks(self) -> tuple[SyncCheck, ...]:
        """The checks of each asset, without those whose results the function yields."""
        return tuple(self.options["checks"] or ())

    @property
    def config(self) -> type[dg.Config] | None:
        """The config of the user's own function."""
        return self.function.config if self.function else None

    @property
    def resources(self) -> dict[str, Any]:
        """The annotations of the resources by their keys, as parameters of the step."""
        keys = [self.options["resource_key"], *sorted(self.options["required_resource_keys"])]
        return {
            **dict.fromkeys(keys, ANY_RESOURCE),
            **(self.function.resources if self.function else {}),
        }


def definition_of(
    step: AssetStep,
    specs: Sequence[dg.AssetSpec],
    check_specs: Sequence[dg.AssetCheckSpec],
) -> dg.AssetsDefinition:
    """Return the definition of a step.

    Args:
        step: What it does.
        specs: The assets.
        check_specs: The checks whose results the user's own function yields.
    """
    options = step.options
    named, keys = with_dependency_names(specs)
    own_check_specs = check_specs_of(
        specs,
        step.checks,
        wait=options["wait"],
        partitions_def=options["partitions_def"],
        backfill_policy=options["backfill_policy"],
    )
    define = dg.multi_asset(
        specs=named,
        check_specs=[*own_check_specs, *check_specs],
        name=step.name,
        # Only then are the outputs, checks included, optional. A retry after the materialization
        # was stored does not yield it again, and Dagster would add one without metadata.
        can_subset=True,
        config_schema=config_schema(step.config),
        partitions_def=options["partitions_def"],
        backfill_policy=options["backfill_policy"],
        retry_policy=options["retry_policy"],
        pool=options["pool"],
        op_tags=options["op_tags"],
    )

    def execute(context: dg.AssetExecutionContext, **resources: Any) -> Iterator[Any]:
        yield from Execution(step, context, resources).run()

    with_signature(execute, {"context": dg.AssetExecutionContext, **step.resources})
    return with_keys(define(execute), keys)


@dataclass
class Execution:
    """One execution of a step.

    Attributes:
        step: What the step does.
        context: Dagster's context.
        resources: The resources by their keys.
    """

    step: AssetStep
    context: dg.AssetExecutionContext
    resources: Mapping[str, Any]
    _yielded: Yielded = field(init=False)

    def __post_init__(self) -> None:
        definition = self.context.assets_def
        self._yielded = Yielded(definition.node_keys_by_output_name, definition.check_keys)

    @cached_property
    def _keys(self) -> dict[str, dg.AssetKey]:
        """The keys by connection id as the definitions have them, selected or not.

        They may have got a prefix since the asset was built (`load_assets_from_modules`). The names
        of the step's outputs stay what they were.
        """
        current = self.context.assets_def.node_keys_by_output_name
        return {
            connection: current.get(key.to_python_identifier(), key)
            for connection, key in self.step.keys.items()
        }

    @cached_property
    def _selected(self) -> dict[str, dg.AssetKey]:
        """The keys of the selected assets by connection id."""
        selected = self.context.selected_asset_keys
        return {id_: key for id_, key in self._keys.items() if key in selected}

    @property
    def _rudderstack(self) -> RudderStackResource:
        rudderstack: RudderStackResource = self.resources[self.step.options["resource_key"]]
        return rudderstack

    def run(self) -> Iterator[Any]:
        """Sync the selected assets. Checks that are selected without their assets start no sync."""
        yield from self._rechecked()
        if not self._selected:
            return
        warn_of_duplicates(self.context, self._selected, self.step.options["resource_key"])
        if not self.step.options["wait"]:
            self._fail_for_deferred()
            warn_without_sensor(self.context, self._selected, self.step.options["resource_key"])
        given = self.context.op_execution_context.op_config
        try:
            ours, theirs = configs_of(self.step.config, given)
            definition, run = choices_of(self.step.options), choices_of_run(ours)
        except RudderStackError as error:
            raise failure_from(error) from None

        def start(chosen: Mapping[str, dg.AssetKey], call: SyncChoices) -> Iterator[_Result]:
            return self._sync(chosen, run.over(call.over(definition)))

        if self.step.function is None:
            yield from start(self._selected, SyncChoices())
        else:
            syncs = RudderStackSyncs(start, self._selected, self._keys, self._yielded.reports)
            yield from self._call(self.step.function, syncs, theirs)

    def _fail_for_deferred(self) -> None:
        """Raise the failure of the deferred syncs that this run is about, if it is about any."""
        failed = failed_syncs_of(current_step(self.context))
        syncs = {
            self._keys[id_]: (id_, sync_id) for id_, sync_id in failed.items() if id_ in self._keys
        }
        if syncs:
            raise failure_of_deferred(self.context.instance, syncs)

    # --- the user's own function

    def _call(
        self, function: StepFunction, syncs: RudderStackSyncs, config: dg.Config | None
    ) -> Iterator[Any]:
        """Yield the results of the function, unless it yields too few."""
        own = {"context": self.context, RESOURCE_KEY: self._rudderstack, "sync": syncs}
        returned = function.call(**function.arguments(own, self.resources, config))
        results = results_in(returned)
        name = self.step.name
        if results is None:
            raise InvalidSettingError(
                f"The function of step {name!r} returned {returned!r}. It must yield all results "
                "of sync() (yield from sync()), or return them."
            )
        for result in results:
            if isinstance(result, Iterator):
                raise InvalidSettingError(
                    f"The function of step {name!r} yielded {type(result).__name__}, and not its "
                    "items. Use `yield from sync()`."
                )
            if isinstance(result, dg.MaterializeResult) and not self.step.options["wait"]:
                raise InvalidSettingError(
                    f"The function of step {name!r} yielded a MaterializeResult, but with "
                    "wait=False the sync has only been started. The polling sensor materializes "
                    "the asset when it has succeeded."
                )
            completed = self._yielded.completed(result)
            self._yielded.add(completed)
            yield completed
        yield from self._checks_left()
        # A function for several connections, or for one that may be skipped, may sync nothing.
        may_sync_nothing = len(self.step.keys) > 1 or self.step.options["on_disabled"] == "skip"
        expected = self._yielded.asked if may_sync_nothing else self._selected.values()
        self._yielded.check(name, expected)
        left = [key for key in self._selected.values() if not self._yielded.has(key)]
        if left:
            names = examples_of([key.to_user_string() for key in left], "asset")
            self.context.log.info(f"The function of step {name!r} has not synced {names}.")

    def _checks_left(self) -> Iterator[dg.AssetCheckResult]:
        """Yield the results of checks that the function has not yielded."""
        for key, metadata in self._yielded.metadata.items():
            for result in self._check_results(key, metadata):
                self._yielded.add(result)
                yield result

    # --- the syncs

    def _sync(
        self, connections: Mapping[str, dg.AssetKey], choices: SyncChoices
    ) -> Iterator[_Result]:
        """Return the results of syncs. An asset that was reported before is left out."""
        self._yielded.asked.update(dict.fromkeys(connections.values()))
        return self._yielded.during(self._results(connections, choices))

    def _results(
        self, connections: Mapping[str, dg.AssetKey], choices: SyncChoices
    ) -> Iterator[_Result]:
        self._yielded.check_order(self.step.name, connections.values())
        # Known only now: an earlier call may have been made, and its results not read yet.
        left = {id_: key for id_, key in connections.items() if not self._yielded.has(key)}
        if not left:
            return
        runner = self._runner(left, choices)
        for result in runner.run() if self.step.options["wait"] else runner.start():
            self._yielded.excuse(result)
            yield from self._events(result)
        runner.raise_failures()

    def _runner(self, connections: Mapping[str, dg.AssetKey], choices: SyncChoices) -> Runner:
        specs = self.context.assets_def.specs_by_key
        sync_type = choices.sync_type or DEFAULT_SYNC_TYPE
        syncs = [
            StepSync(
                SyncRequest(connection, sync_type, self.step.names[connection]),
                key,
                known_sync_log(specs[key].metadata),
            )
            for connection, key in connections.items()
        ]
        try:
            policy = self._rudderstack.sync_policy(choices)
            runner = self._rudderstack.runner(current_step(self.context), syncs, policy)
        except RudderStackError as error:
            raise failure_from(error) from None
        runner.on_disabled = self.step.options["on_disabled"]
        runner.checks = self.step.checks
        runner.is_deferred = not self.step.options["wait"]
        return runner

    # --- events

    def _events(self, result: SyncResult) -> Iterator[_Result]:
        key, metadata = result.sync.key, result.metadata
        if key is None or metadata is None:
            return
        columns = column_metadata(self.context.assets_def.specs_by_key[key].metadata)
        self._yielded.metadata[key] = {**metadata, **columns}
        # An earlier attempt has only left the metadata.
        report = result.report or report_from_metadata(metadata)
        if isinstance(report, SyncReport):
            self._yielded.reports[key] = report
        if not result.is_reported:
            yield dg.MaterializeResult(asset_key=key, metadata=self._yielded.metadata[key])
        # Not as a part of the MaterializeResult: where a test calls an asset directly, Dagster does
        # not find the results of checks in it.
        for checked in self._check_results(key, metadata):
            if not checked.passed:
                StepLog(self.context.log).warning(f"{key.to_user_string()}: {checked.description}")
            yield checked

    def _check_results(
        self, key: dg.AssetKey, metadata: Mapping[str, dg.MetadataValue]
    ) -> Iterator[dg.AssetCheckResult]:
        """Yield the results of the selected checks of an asset that were not yielded before."""
        for check in self._selected_checks(key):
            if not self._yielded.has_check(key, check.name):
                yield check.result_of_metadata(key, metadata)

    def _selected_checks(self, key: dg.AssetKey) -> list[SyncCheck]:
        selected = self.context.selected_asset_check_keys
        return [each for each in self.step.checks if dg.AssetCheckKey(key, each.name) in selected]

    def _rechecked(self) -> Iterator[dg.AssetCheckResult]:
        """Yield the results of checks that are selected without their assets.

        They are about the last sync that was reported, of the partition of the step if it has one.
        """
        step = current_step(self.context)
        for key in self._keys.values():
            if key in self.context.selected_asset_keys:
                continue
            partition = step.partition_of(key) if step else None
            if checks := self._selected_checks(key):
                yield from rechecked(checks, key, self.context.instance, partition)
            if dg.AssetCheckKey(key, SUCCEEDED_CHECK) in self.context.selected_asset_check_keys:
                yield rechecked_end(key, self.context.instance, partition)

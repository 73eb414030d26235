"""Asset factories: a connection's sync as an asset downstream of the warehouse's assets."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from dagster_rudderstack.api.validation import checked_id
from dagster_rudderstack.asset_specs import (
    CoercibleToSpec,
    asset_spec,
    asset_specs,
    connection_name,
    known_sync_log,
    with_dependency_names,
)
from dagster_rudderstack.checks.base import SyncCheck
from dagster_rudderstack.checks.sync_checks import sync_succeeded_spec
from dagster_rudderstack.dagster_internals import with_keys
from dagster_rudderstack.errors import InvalidSettingError, RudderStackError
from dagster_rudderstack.metadata import column_metadata, failure_from
from dagster_rudderstack.options import (
    AssetOptions,
    Execute,
    RudderStackDeferredSyncConfig,
    RudderStackSyncConfig,
    asset_options,
    config_fields,
)
from dagster_rudderstack.resource import RudderStackResource
from dagster_rudderstack.step.dagster_step import StepLog, current_step
from dagster_rudderstack.step.deferred import failed_syncs_of, failure_of_deferred
from dagster_rudderstack.step.duplicates import warn_of_duplicates
from dagster_rudderstack.step.results import StepSync, SyncResult
from dagster_rudderstack.step.runner import Runner
from dagster_rudderstack.step.yielded import Yielded
from dagster_rudderstack.sync.request import SyncRequest

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "build_rudderstack_sync_asset",
    "build_rudderstack_sync_assets",
    "rudderstack_assets",
]


def build_rudderstack_sync_asset(
    *,
    connection_id: str,
    spec: CoercibleToSpec | None = None,
    deps: Iterable[Any] | None = None,
    check_specs: Sequence[dg.AssetCheckSpec] = (),
    op_name: str | None = None,
    **options: "Unpack[AssetOptions]",
) -> dg.AssetsDefinition:
    """Build the asset of one connection. Materializing it syncs the connection and waits.

        crm_contacts = build_rudderstack_sync_asset(
            connection_id="2hkeBOp0lGJpMPyur0oXUxxIDhw",
            spec=dg.AssetSpec("crm_contacts", deps=["customers"], group_name="activation"),
        )

    No request is sent while definitions load.

    Args:
        connection_id: The connection, from the RudderStack dashboard.
        spec: The asset: an `AssetSpec` or a key. None makes the key `rudderstack/<connection_id>`,
            with `_` for characters that a key cannot have.
        deps: Upstream assets in addition to those of the spec: the tables that the source reads.
        check_specs: Further checks, whose results `execute` yields.
        op_name: Name of the step. None creates one from the key.
        options: How the connection is synced, see `AssetOptions`.

    Raises:
        InvalidSettingError: If an id or an option is invalid.
    """
    connection = checked_id(connection_id, "connection_id")
    checked = asset_options(options)
    if check_specs and checked["execute"] is None:
        names = ", ".join(repr(each.name) for each in check_specs)
        raise InvalidSettingError(
            f"check_specs has {names}, but nothing yields the results. Pass `execute`, which must "
            "yield them. For a check that needs no sync, use @dg.asset_check instead."
        )
    asset = asset_spec(connection, spec, deps, checked)
    body = _Body({connection: asset.key}, {connection: connection_name(asset)}, checked)
    return _definition(
        body,
        [asset],
        name=op_name or asset.key.to_python_identifier(),
        check_specs=check_specs,
    )


def build_rudderstack_sync_assets(
    *,
    connections: Mapping[str, CoercibleToSpec],
    name: str,
    **options: "Unpack[AssetOptions]",
) -> dg.AssetsDefinition:
    """Build the assets of many connections, which one step syncs in one process.

        activation = build_rudderstack_sync_assets(
            name="activation",
            connections={
                "2hkeBOp0lGJpMPyur0oXUxxIDhw": dg.AssetSpec("crm_contacts", deps=["customers"]),
                "2hkeC9cRJzSGkGZcUuMS5c8qTXm": dg.AssetSpec("ad_audience", deps=["customers"]),
            },
        )

    All selected syncs run at once. Each asset is materialized when its sync ends. One failure at
    the end names the syncs that failed, while the others stay materialized. A retry of the step and
    a re-execution from failure sync only what is missing. As for any step, downstream assets wait
    until the step has ended, and those of the same run do not run if it fails.

    No request is sent while definitions load.

    Args:
        connections: The asset of each connection, by connection id: an `AssetSpec` or a key.
        name: Name of the step.
        options: How the connections are synced, see `AssetOptions`. They hold for all of them.

    Raises:
        InvalidSettingError: If an id or an option is invalid, if two connections have the same
            key, or if there is no connection.
    """
    if not isinstance(connections, Mapping):
        raise InvalidSettingError(
            f"connections must be a mapping of connection ids to assets, got "
            f"{type(connections).__name__}."
        )
    checked = asset_options(options)
    specs = asset_specs(connections, checked)
    body = _Body(
        {connection: spec.key for connection, spec in specs.items()},
        {connection: connection_name(spec) for connection, spec in specs.items()},
        checked,
    )
    return _definition(body, list(specs.values()), name=name, check_specs=())


def rudderstack_assets(
    *,
    connection_id: str | None = None,
    spec: CoercibleToSpec | None = None,
    connections: Mapping[str, CoercibleToSpec] | None = None,
    name: str | None = None,
    **options: "Unpack[AssetOptions]",
) -> Callable[[Execute], dg.AssetsDefinition]:
    """Build assets from a function that does more than sync.

        @rudderstack_assets(connection_id="2hkeBOp0lGJpMPyur0oXUxxIDhw", spec="crm_contacts")
        def crm_contacts(context, rudderstack, sync):
            context.log.info("The CRM is about to change.")
            yield from sync()

    The function gets Dagster's context, the resource, and `sync`, which syncs the selected
    connections and yields their events. It yields those events, and may yield more.

    Args:
        connection_id: The connection.
        spec: Its asset. None makes the key `rudderstack/<connection_id>`.
        connections: Many connections instead of one, see `build_rudderstack_sync_assets`.
        name: Name of the step. None uses the function's name.
        options: How the connections are synced, see `AssetOptions`. `execute` is the function.

    Raises:
        InvalidSettingError: If an id or an option is invalid, or if not exactly one of
            `connection_id` and `connections` is given.
    """
    if (connection_id is None) == (connections is None) or (connections and spec is not None):
        raise InvalidSettingError(
            "rudderstack_assets needs either connection_id, with an optional spec, or connections."
        )

    def decorate(body: Execute) -> dg.AssetsDefinition:
        step = name or str(getattr(body, "__name__", "rudderstack_syncs"))
        with_body: AssetOptions = {**options, "execute": body}
        if connections is not None:
            return build_rudderstack_sync_assets(connections=connections, name=step, **with_body)
        assert connection_id is not None  # noqa: S101 - one of the two is given, checked above
        return build_rudderstack_sync_asset(
            connection_id=connection_id, spec=spec, op_name=step, **with_body
        )

    return decorate


# --- the body of a step


@dataclass(frozen=True)
class _Body:
    """The body of a step.

    Attributes:
        keys: The key of each connection's asset when it was built, by connection id.
        names: The name of each connection, by connection id. None where it is unknown.
        options: How the connections are synced.
    """

    keys: Mapping[str, dg.AssetKey]
    names: Mapping[str, str | None]
    options: AssetOptions

    @property
    def checks(self) -> tuple[SyncCheck, ...]:
        return tuple(self.options["checks"] or ())

    @property
    def config(self) -> type[RudderStackSyncConfig]:
        return RudderStackSyncConfig if self.options["wait"] else RudderStackDeferredSyncConfig

    @property
    def check_specs(self) -> list[dg.AssetCheckSpec]:
        keys = self.keys.values()
        specs = [check.spec(key) for key in keys for check in self.checks]
        return specs if self.options["wait"] else [*specs, *map(sync_succeeded_spec, keys)]

    def keys_in(self, context: dg.AssetExecutionContext) -> dict[str, dg.AssetKey]:
        """Return the keys by connection id as the definitions have them, selected or not.

        They may have got a prefix since the asset was built (`load_assets_from_modules`). The names
        of the step's outputs stay what they were.
        """
        current = context.assets_def.node_keys_by_output_name
        return {
            connection: current.get(key.to_python_identifier(), key)
            for connection, key in self.keys.items()
        }

    def _selected(self, context: dg.AssetExecutionContext) -> dict[str, dg.AssetKey]:
        """Return the keys of the selected assets by connection id."""
        keys = self.keys_in(context)
        return {id_: key for id_, key in keys.items() if key in context.selected_asset_keys}

    def run(
        self, context: dg.AssetExecutionContext, config: RudderStackSyncConfig
    ) -> Iterator[Any]:
        """Sync the selected assets. Checks that are selected without their assets start no sync."""
        yield from self._rechecked(context)
        if not (selected := self._selected(context)):
            return
        warn_of_duplicates(context, selected, self.options["resource_key"])
        if not self.options["wait"]:
            self._fail_for_deferred(context)
        yielded = Yielded(context.assets_def.node_keys_by_output_name)
        execute = self.options["execute"]
        if execute is None:
            yield from self._sync(context, config, yielded)
        else:
            yield from self._execute(context, config, execute, yielded)

    def _execute(
        self,
        context: dg.AssetExecutionContext,
        config: RudderStackSyncConfig,
        execute: Execute,
        yielded: Yielded,
    ) -> Iterator[Any]:
        """Yield the events of a body of the user's own, unless it yields too few."""
        step = context.op_execution_context.op.name

        def sync() -> Iterator[Any]:
            return yielded.during(self._sync(context, config, yielded))

        events = execute(context, self._rudderstack(context), sync)
        if not isinstance(events, Iterable):
            raise InvalidSettingError(
                f"The body of step {step!r} returned {events!r}: it must yield all events of "
                "sync() (yield from sync())."
            )
        for event in events:
            yielded.add(event)
            yield event
        # The body of a group, or of a connection that may be skipped, may decide to sync nothing.
        may_sync_nothing = len(self.keys) > 1 or self.options["on_disabled"] == "skip"
        if yielded.has_synced or not may_sync_nothing:
            yielded.check(step, self._selected(context).values())

    def _sync(
        self, context: dg.AssetExecutionContext, config: RudderStackSyncConfig, yielded: Yielded
    ) -> Iterator[Any]:
        runner = self._runner(context, config)
        results = runner.run() if self.options["wait"] else runner.start()
        for result in results:
            yielded.excuse(result)
            yield from self._events(context, result, yielded)
        runner.raise_failures()

    def _fail_for_deferred(self, context: dg.AssetExecutionContext) -> None:
        """Raise the failure of the deferred syncs that this run is about, if it is about any."""
        failed = failed_syncs_of(current_step(context))
        keys = self.keys_in(context)
        syncs = {keys[id_]: (id_, sync_id) for id_, sync_id in failed.items() if id_ in keys}
        if syncs:
            raise failure_of_deferred(context.instance, syncs)

    def _runner(self, context: dg.AssetExecutionContext, config: RudderStackSyncConfig) -> Runner:
        rudderstack = self._rudderstack(context)
        sync_type = config.sync_type_or(self.options["sync_type"])
        on_running_sync = config.on_running_sync_or(self.options["on_running_sync"])
        specs = context.assets_def.specs_by_key
        syncs = [
            StepSync(
                SyncRequest(connection, sync_type, self.names[connection]),
                key,
                known_sync_log(specs[key].metadata),
            )
            for connection, key in self._selected(context).items()
        ]
        try:
            policy = rudderstack.sync_policy(on_running_sync, self.options["timeout_seconds"])
            runner = rudderstack.runner(current_step(context), syncs, policy)
        except RudderStackError as error:
            raise failure_from(error) from error
        runner.on_disabled = self.options["on_disabled"]
        runner.checks = self.checks
        runner.is_deferred = not self.options["wait"]
        return runner

    def _rudderstack(self, context: dg.AssetExecutionContext) -> RudderStackResource:
        rudderstack: RudderStackResource = getattr(context.resources, self.options["resource_key"])
        return rudderstack

    # --- events

    def _events(
        self, context: dg.AssetExecutionContext, result: SyncResult, yielded: Yielded
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        key, metadata = result.sync.key, result.metadata
        if key is None or metadata is None:
            return
        if not result.is_reported:
            columns = column_metadata(context.assets_def.specs_by_key[key].metadata)
            yield dg.MaterializeResult(asset_key=key, metadata={**metadata, **columns})
        # Not as a part of the MaterializeResult: where a test calls an asset directly, Dagster does
        # not find the results of checks in it.
        for check in self._selected_checks(context, key):
            if yielded.has_check(key, check.name):
                continue
            checked = check.result_of_metadata(key, metadata)
            if not checked.passed:
                StepLog(context.log).warning(f"{key.to_user_string()}: {checked.description}")
            yield checked

    def _selected_checks(
        self, context: dg.AssetExecutionContext, key: dg.AssetKey
    ) -> list[SyncCheck]:
        selected = context.selected_asset_check_keys
        return [each for each in self.checks if dg.AssetCheckKey(key, each.name) in selected]

    def _rechecked(self, context: dg.AssetExecutionContext) -> Iterator[dg.AssetCheckResult]:
        """Yield the results of checks that are selected without their assets.

        They are about the last sync that was reported.
        """
        for key in self.keys_in(context).values():
            checks = self._selected_checks(context, key)
            if not checks or key in context.selected_asset_keys:
                continue
            event = context.instance.get_latest_materialization_event(key)
            last = event.asset_materialization if event else None
            for each in checks:
                yield each.result_of_metadata(key, last.metadata) if last else each.no_sync(key)


def _definition(
    body: _Body,
    specs: Sequence[dg.AssetSpec],
    *,
    name: str,
    check_specs: Sequence[dg.AssetCheckSpec],
) -> dg.AssetsDefinition:
    options = body.options
    named, keys = with_dependency_names(specs)
    define = dg.multi_asset(
        specs=named,
        check_specs=[*body.check_specs, *check_specs],
        name=name,
        # Only then are the outputs, checks included, optional. A retry after the materialization
        # was stored does not yield it again, and Dagster would add one without metadata.
        can_subset=True,
        required_resource_keys={options["resource_key"], *options["required_resource_keys"]},
        config_schema=config_fields(body.config),
        partitions_def=options["partitions_def"],
        backfill_policy=options["backfill_policy"],
        retry_policy=options["retry_policy"],
        pool=options["pool"],
        op_tags=options["op_tags"],
    )

    def step(context: dg.AssetExecutionContext) -> Iterator[Any]:
        given = context.op_execution_context.op_config
        yield from body.run(context, body.config(**given))

    return with_keys(define(step), keys)

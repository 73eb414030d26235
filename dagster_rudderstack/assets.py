"""Asset factories: a connection's sync as an asset downstream of the warehouse's assets."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cache
from typing import Any

import dagster as dg

from dagster_rudderstack.errors import InvalidSettingError, RudderStackError
from dagster_rudderstack.metadata import (
    SUCCEEDED_CHECK,
    Metadata,
    MetadataKey,
    RejectedRowsCheck,
    column_metadata,
    failure_from,
    report_metadata,
)
from dagster_rudderstack.options import RudderStackDeferredSyncConfig, RudderStackSyncConfig
from dagster_rudderstack.resource import RudderStackResource
from dagster_rudderstack.settings import (
    OnDisabled,
    OnRunningSync,
    SyncType,
    checked_choice,
    checked_id,
    checked_seconds,
    checked_sync_type,
)
from dagster_rudderstack.step.attempt import current_step
from dagster_rudderstack.step.group import Group
from dagster_rudderstack.step.summary import Member, Outcome
from dagster_rudderstack.sync.life import SyncRequest
from dagster_rudderstack.text import identifier

__all__ = ["build_rudderstack_sync_asset", "build_rudderstack_sync_assets"]

KIND = "rudderstack"
RESOURCE_KEY = "rudderstack"

MAX_KINDS = 3
"""Dagster shows no more kinds of an asset, and refuses a fourth."""

CoercibleToSpec = dg.AssetSpec | dg.AssetKey | str | Sequence[str]

Execute = Callable[
    [dg.AssetExecutionContext, RudderStackResource, Callable[[], Iterator[Any]]], Iterable[Any]
]
"""A body of the user's own: of Dagster's context, the resource, and what the body would do."""


def build_rudderstack_sync_asset(  # noqa: PLR0913 - what Dagster's users expect to pass through
    *,
    connection_id: str,
    spec: CoercibleToSpec | None = None,
    deps: Iterable[Any] | None = None,
    sync_type: SyncType | None = None,
    on_running_sync: OnRunningSync | None = None,
    on_disabled: OnDisabled = "fail",
    timeout_seconds: int | None = None,
    rejected_rows_check: RejectedRowsCheck | None = RejectedRowsCheck(),  # noqa: B008 - immutable
    check_specs: Sequence[dg.AssetCheckSpec] = (),
    wait: bool = True,
    execute: Execute | None = None,
    resource_key: str = RESOURCE_KEY,
    required_resource_keys: AbstractSet[str] = frozenset(),
    op_name: str | None = None,
    partitions_def: dg.PartitionsDefinition[str] | None = None,
    backfill_policy: dg.BackfillPolicy | None = None,
    retry_policy: dg.RetryPolicy | None = None,
    pool: str | None = None,
    op_tags: Mapping[str, Any] | None = None,
) -> dg.AssetsDefinition:
    """Build the asset of one connection: materializing it syncs the connection and waits.

        crm_contacts = build_rudderstack_sync_asset(
            connection_id="2hkeBOp0lGJpMPyur0oXUxxIDhw",
            spec=dg.AssetSpec("crm_contacts", deps=["customers"], group_name="activation"),
        )

    Never calls the network while definitions load.

    Args:
        connection_id: the connection, from the RudderStack dashboard.
        spec: the asset: an `AssetSpec` with everything that Dagster lets it carry, or a key; None:
            the key is `rudderstack/<connection_id>`, with `_` for what a name cannot have.
        deps: assets upstream, in addition to those of the spec: the tables that the source reads.
        sync_type: `incremental`, `full`, or None: RudderStack decides. A run can override it.
        on_running_sync: instead of the resource's. A run can override it.
        on_disabled: what a connection that is disabled in RudderStack does to the step: `fail`, or
            `skip`, which materializes nothing.
        timeout_seconds: instead of the resource's `sync_timeout_seconds`.
        rejected_rows_check: the check on rejected rows; None: no check.
        check_specs: further checks, whose results `execute` yields.
        wait: False: the step ends as soon as the sync has started, and the sensor of
            `build_rudderstack_polling_sensor` reports how it ends.
        execute: instead of the step's body: a function of Dagster's context, the resource, and
            `sync`, which does what the body would and yields what Dagster is to know. It yields
            that, and may yield more. Not called for a check alone. None: the body.
        resource_key: where the definitions have the `RudderStackResource`.
        required_resource_keys: further resources, which `execute` takes from its context.
        op_name: name of the step; None: made from the key.
        partitions_def: as in `@asset`; None: the spec's.
        backfill_policy: as in `@asset`.
        retry_policy: of the step. A retry takes up a sync that still runs.
        pool: concurrency pool of the step.
        op_tags: of the step.

    Raises:
        InvalidSettingError: for an id, a sync type or another choice that cannot be right.
    """
    connection = checked_id(connection_id, "connection_id")
    if check_specs and execute is None:
        names = ", ".join(repr(each.name) for each in check_specs)
        raise InvalidSettingError(
            f"check_specs has {names}, of which the step would yield no result: give `execute`, "
            "which yields it. A check that needs no sync is an asset check of its own."
        )
    asset = _asset_spec(connection, spec, deps, skippable=on_disabled == "skip", wait=wait)
    plan = _Plan(
        keys={connection: asset.key},
        sync_type=checked_sync_type(sync_type),
        on_running_sync=on_running_sync,
        on_disabled=on_disabled,
        timeout_seconds=timeout_seconds,
        check=rejected_rows_check,
        wait=wait,
        execute=execute,
        resource_key=resource_key,
    )
    return _definition(
        plan,
        [asset],
        plan.sync_one if wait else plan.launch,
        check_specs=check_specs,
        # Optional outputs, those of checks included, are what lets a step yield nothing.
        can_subset=on_disabled == "skip" or not wait,
        required_resource_keys=required_resource_keys,
        name=op_name or asset.key.to_python_identifier(),
        partitions_def=partitions_def,
        backfill_policy=backfill_policy,
        retry_policy=retry_policy,
        pool=pool,
        op_tags=op_tags,
    )


def build_rudderstack_sync_assets(  # noqa: PLR0913 - what Dagster's users expect to pass through
    *,
    connections: Mapping[str, CoercibleToSpec],
    name: str,
    sync_type: SyncType | None = None,
    on_running_sync: OnRunningSync | None = None,
    on_disabled: OnDisabled = "fail",
    timeout_seconds: int | None = None,
    rejected_rows_check: RejectedRowsCheck | None = RejectedRowsCheck(),  # noqa: B008 - immutable
    wait: bool = True,
    execute: Execute | None = None,
    resource_key: str = RESOURCE_KEY,
    required_resource_keys: AbstractSet[str] = frozenset(),
    partitions_def: dg.PartitionsDefinition[str] | None = None,
    backfill_policy: dg.BackfillPolicy | None = None,
    retry_policy: dg.RetryPolicy | None = None,
    pool: str | None = None,
    op_tags: Mapping[str, Any] | None = None,
) -> dg.AssetsDefinition:
    """Build the assets of many connections, synced by one step in one process.

        activation = build_rudderstack_sync_assets(
            name="activation",
            connections={
                "2hkeBOp0lGJpMPyur0oXUxxIDhw": dg.AssetSpec("crm_contacts", deps=["customers"]),
                "2hkeC9cRJzSGkGZcUuMS5c8qTXm": dg.AssetSpec("ad_audience", deps=["customers"]),
            },
        )

    All selected syncs run at once. Each is materialized when it ends, and those that fail are named
    in one failure at the end, while the others stay materialized. A retry of the step and a
    re-execution from failure run only what is not done. As in any step, the assets downstream wait
    for all of it, and those of the same run do not run if it fails.

    Never calls the network while definitions load.

    Args:
        connections: by id, the asset of each: an `AssetSpec` or a key.
        name: of the step.
        sync_type: as in `build_rudderstack_sync_asset`, for all; so are the others.
        on_running_sync: as there.
        on_disabled: as there; `skip` leaves out the disabled connection only.
        timeout_seconds: as there, for each sync.
        rejected_rows_check: as there, for each asset.
        wait: as there.
        execute: as there; `sync` syncs what is selected.
        resource_key: as there.
        required_resource_keys: as there.
        partitions_def: as in `@multi_asset`.
        backfill_policy: as in `@multi_asset`.
        retry_policy: of the step.
        pool: concurrency pool of the step.
        op_tags: of the step.

    Raises:
        InvalidSettingError: for an id, a sync type or another choice that cannot be right, for two
            connections with one key, and for no connection at all.
    """
    if not isinstance(connections, Mapping):
        raise InvalidSettingError(
            f"connections must be a mapping of connection ids to assets, got "
            f"{type(connections).__name__}."
        )
    specs = _specs(connections, skippable=on_disabled == "skip", wait=wait)
    plan = _Plan(
        keys={connection: spec.key for connection, spec in specs.items()},
        sync_type=checked_sync_type(sync_type),
        on_running_sync=on_running_sync,
        on_disabled=on_disabled,
        timeout_seconds=timeout_seconds,
        check=rejected_rows_check,
        wait=wait,
        execute=execute,
        resource_key=resource_key,
    )
    return _definition(
        plan,
        list(specs.values()),
        plan.sync_many if wait else plan.launch,
        check_specs=(),
        can_subset=True,
        required_resource_keys=required_resource_keys,
        name=name,
        partitions_def=partitions_def,
        backfill_policy=backfill_policy,
        retry_policy=retry_policy,
        pool=pool,
        op_tags=op_tags,
    )


@dataclass(frozen=True)
class _Plan:
    """What a step is to do; `keys` by connection id, as they were when the asset was built."""

    keys: Mapping[str, dg.AssetKey]
    sync_type: SyncType | None
    on_running_sync: OnRunningSync | None
    on_disabled: OnDisabled
    timeout_seconds: int | None
    check: RejectedRowsCheck | None
    wait: bool
    execute: Execute | None
    resource_key: str

    def __post_init__(self) -> None:
        checked_choice(self.on_disabled, OnDisabled, "on_disabled")
        if self.on_running_sync is not None:
            checked_choice(self.on_running_sync, OnRunningSync, "on_running_sync")
        checked_seconds(self.timeout_seconds, "timeout_seconds")
        if self.check is not None and not isinstance(self.check, RejectedRowsCheck):
            raise InvalidSettingError(
                f"rejected_rows_check {self.check!r}: expected a RejectedRowsCheck, or None."
            )

    @property
    def check_specs(self) -> list[dg.AssetCheckSpec]:
        keys = self.keys.values()
        rejected = [self.check.spec(key) for key in keys] if self.check else []
        return rejected if self.wait else [*rejected, *(_succeeded_spec(key) for key in keys)]

    def keys_in(self, context: dg.AssetExecutionContext) -> dict[str, dg.AssetKey]:
        """Return the keys by connection id, selected or not, as the definitions have them.

        They may have got a prefix since the asset was built (`load_assets_from_modules`); the names
        of the step's outputs stay what they were.
        """
        current = context.assets_def.node_keys_by_output_name
        return {
            connection: current.get(key.to_python_identifier(), key)
            for connection, key in self.keys.items()
        }

    # --- the bodies of steps

    def body(
        self,
        context: dg.AssetExecutionContext,
        config: RudderStackSyncConfig,
        sync: Callable[[dg.AssetExecutionContext, Any], Iterator[Any]],
    ) -> Iterator[Any]:
        """Do what is selected: assets are synced, checks without their assets are not."""
        yield from self._rechecked(context)
        if context.selected_asset_keys.isdisjoint(self.keys_in(context).values()):
            return
        if self.execute is None:
            yield from sync(context, config)
            return
        yield from self._executed(context, self.execute, lambda: sync(context, config))

    def _executed(
        self,
        context: dg.AssetExecutionContext,
        execute: Execute,
        sync: Callable[[], Iterator[Any]],
    ) -> Iterator[Any]:
        """Yield what a body of the user's own yields, unless that is not enough."""
        step = context.op_execution_context.op.name
        events = execute(context, self._rudderstack(context), sync)
        if not isinstance(events, Iterable):
            raise InvalidSettingError(
                f"The body of step {step!r} returned {events!r}: expected it to yield what sync() "
                "yields (yield from sync())."
            )
        is_told = False
        for event in events:
            is_told = True
            yield event
        # Dagster takes an asset whose step yields nothing for materialized, unless it may be left
        # out.
        outputs = context.op_execution_context.op_def.output_defs
        if not is_told and any(output.is_required for output in outputs):
            raise InvalidSettingError(
                f"The body of step {step!r} ended without a sync: expected it to yield what "
                "sync() yields (yield from sync())."
            )

    def sync_one(
        self, context: dg.AssetExecutionContext, config: RudderStackSyncConfig
    ) -> Iterator[Any]:
        """Sync the only connection and wait."""
        (connection, key), *_ = self.keys_in(context).items()
        rudderstack = self._rudderstack(context)
        report = rudderstack.run_sync(
            context,
            connection,
            config.sync_type_or(self.sync_type),
            record_key=key,
            on_running_sync=config.on_running_sync_or(self.on_running_sync),
            on_disabled=self.on_disabled,
            timeout_seconds=self.timeout_seconds,
            reported_by_materialization=True,
        )
        if report is not None:
            metadata = report_metadata(report, rudderstack.dashboard_url)
            yield from self._results(context, key, metadata)

    def sync_many(
        self, context: dg.AssetExecutionContext, config: RudderStackSyncConfig
    ) -> Iterator[Any]:
        """Sync the selected connections and wait for each."""
        yield from self._materializations(context, self._group(context, config).sync())

    def launch(
        self, context: dg.AssetExecutionContext, config: RudderStackDeferredSyncConfig
    ) -> Iterator[Any]:
        """Start the selected connections' syncs, stop them, or tell how they failed."""
        group = self._group(context, config)
        yield from self._materializations(context, _launched(context, config, group))

    # --- parts of them

    def _rudderstack(self, context: dg.AssetExecutionContext) -> RudderStackResource:
        rudderstack: RudderStackResource = getattr(context.resources, self.resource_key)
        return rudderstack

    def _group(self, context: dg.AssetExecutionContext, config: RudderStackSyncConfig) -> Group:
        try:
            return self._new_group(context, config)
        except RudderStackError as error:
            raise failure_from(error) from error

    def _new_group(self, context: dg.AssetExecutionContext, config: RudderStackSyncConfig) -> Group:
        rudderstack = self._rudderstack(context)
        sync_type = config.sync_type_or(self.sync_type)
        return Group(
            rudderstack,
            context,
            [
                Member(key, SyncRequest(connection, sync_type))
                for connection, key in self.keys_in(context).items()
                if key in context.selected_asset_keys
            ],
            rudderstack.sync_policy(
                config.on_running_sync_or(self.on_running_sync), self.timeout_seconds
            ),
            on_disabled=self.on_disabled,
            check=self.check,
            deferred=not self.wait,
        )

    def _materializations(
        self, context: dg.AssetExecutionContext, outcomes: Iterator[Outcome]
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        for outcome in outcomes:
            key, metadata = outcome.member.key, outcome.metadata
            if metadata is not None and outcome.is_reported:
                yield from self._checked(context, key, metadata)
            elif metadata is not None:
                yield from self._results(context, key, metadata)

    def _results(
        self, context: dg.AssetExecutionContext, key: dg.AssetKey, metadata: Metadata
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        columns = column_metadata(context.assets_def.specs_by_key[key].metadata)
        yield dg.MaterializeResult(asset_key=key, metadata={**columns, **metadata})
        # Apart from the materialization: where an asset is called directly, in a user's test,
        # Dagster does not find the results of checks in it.
        yield from self._checked(context, key, metadata)

    def _checked(
        self, context: dg.AssetExecutionContext, key: dg.AssetKey, metadata: Metadata
    ) -> Iterator[dg.AssetCheckResult]:
        if self.check is not None and self._is_selected(context, key):
            result = self.check.result_of_metadata(key, metadata)
            if not result.passed:
                context.log.warning(f"{key.to_user_string()}: {result.description}.")
            yield result

    def _is_selected(self, context: dg.AssetExecutionContext, key: dg.AssetKey) -> bool:
        return self.check is not None and (
            dg.AssetCheckKey(key, self.check.name) in context.selected_asset_check_keys
        )

    def _rechecked(self, context: dg.AssetExecutionContext) -> Iterator[dg.AssetCheckResult]:
        """Yield the checks that were selected without their assets: no sync is started for them."""
        for key in self.keys_in(context).values():
            is_alone = key not in context.selected_asset_keys
            if self.check is not None and is_alone and self._is_selected(context, key):
                yield recheck(context, key, self.check)


def _launched(
    context: dg.AssetExecutionContext, config: RudderStackDeferredSyncConfig, group: Group
) -> Iterator[Outcome]:
    if config.action == "stop":
        return group.stop()
    step = current_step(context)
    if config.action == "report" and (step is None or step.run.parent_run_id is None):
        return group.tell(config.sync_ids)
    # Whoever re-executes a run that told of a failed sync wants another sync.
    return group.launch()


def recheck(
    context: dg.AssetExecutionContext, key: dg.AssetKey, check: RejectedRowsCheck
) -> dg.AssetCheckResult:
    """Return the check's result for the last sync that was reported, without a sync."""
    event = context.instance.get_latest_materialization_event(key)
    materialization = event.asset_materialization if event else None
    return check.result_of_metadata(key, materialization.metadata if materialization else {})


# --- definitions


def _definition(  # noqa: PLR0913 - what @multi_asset takes
    plan: _Plan,
    specs: Sequence[dg.AssetSpec],
    sync: Callable[[dg.AssetExecutionContext, Any], Iterator[Any]],
    *,
    check_specs: Sequence[dg.AssetCheckSpec],
    can_subset: bool,
    required_resource_keys: AbstractSet[str],
    name: str,
    partitions_def: dg.PartitionsDefinition[str] | None,
    backfill_policy: dg.BackfillPolicy | None,
    retry_policy: dg.RetryPolicy | None,
    pool: str | None,
    op_tags: Mapping[str, Any] | None,
) -> dg.AssetsDefinition:
    config = RudderStackSyncConfig if plan.wait else RudderStackDeferredSyncConfig
    define = dg.multi_asset(
        specs=specs,
        check_specs=[*plan.check_specs, *check_specs],
        name=name,
        can_subset=can_subset,
        required_resource_keys={plan.resource_key, *required_resource_keys},
        config_schema=_fields(config),
        partitions_def=partitions_def,
        backfill_policy=backfill_policy,
        retry_policy=retry_policy,
        pool=pool,
        op_tags=op_tags,
    )

    def step(context: dg.AssetExecutionContext) -> Iterator[Any]:
        given = context.op_execution_context.op_config
        yield from plan.body(context, config(**given), sync)

    return define(step)


@cache
def _fields(config: type[RudderStackSyncConfig]) -> dict[str, dg.Field]:
    """Return a config as Dagster takes it without an annotation.

    From an annotation Dagster makes the schema anew for each asset, which takes a fifth of the time
    in which a workspace of a thousand connections loads.
    """
    return config.to_fields_dict()


def _specs(
    connections: Mapping[str, CoercibleToSpec], *, skippable: bool, wait: bool
) -> dict[str, dg.AssetSpec]:
    specs: dict[str, dg.AssetSpec] = {}
    owners: dict[dg.AssetKey, str] = {}
    for connection_id, given in connections.items():
        connection = checked_id(connection_id, "connection_id")
        spec = _asset_spec(connection, given, None, skippable=skippable, wait=wait)
        if connection in specs:
            raise InvalidSettingError(f"connections has connection {connection!r} twice.")
        if owners.setdefault(spec.key, connection) != connection:
            raise InvalidSettingError(
                f"connections has {owners[spec.key]!r} and {connection!r} with the asset key "
                f"{spec.key.to_user_string()!r}: give each connection a key of its own."
            )
        specs[connection] = spec
    if not specs:
        raise InvalidSettingError("connections is empty: expected at least one.")
    return specs


def _asset_spec(
    connection_id: str,
    spec: CoercibleToSpec | None,
    deps: Iterable[Any] | None,
    *,
    skippable: bool,
    wait: bool,
) -> dg.AssetSpec:
    if spec is None:
        spec = ["rudderstack", identifier(connection_id)]
    if not isinstance(spec, dg.AssetSpec):
        spec = dg.AssetSpec(spec)
    if deps is not None:
        spec = spec.merge_attributes(deps=list(deps))
    if KIND not in spec.kinds and len(spec.kinds) < MAX_KINDS:
        spec = spec.merge_attributes(kinds={KIND})
    metadata: Metadata = {MetadataKey.CONNECTION_ID: dg.MetadataValue.text(connection_id)}
    if not wait:
        metadata[MetadataKey.DEFERRED] = dg.MetadataValue.bool(True)
    if not metadata.items() <= spec.metadata.items():
        spec = spec.merge_attributes(metadata=metadata)
    return spec.replace_attributes(skippable=True) if skippable or not wait else spec


def _succeeded_spec(key: dg.AssetKey) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        name=SUCCEEDED_CHECK,
        asset=key,
        description="Whether the last deferred sync succeeded, as the polling sensor saw it.",
    )

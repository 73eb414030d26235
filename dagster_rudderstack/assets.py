"""Asset factories: a connection's sync as an asset downstream of the warehouse's assets."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from dagster_rudderstack.config import RudderStackSyncConfig
from dagster_rudderstack.metadata import MetadataKey, RejectedRowsCheck, report_metadata
from dagster_rudderstack.policies import (
    OnDisabled,
    OnRunningSync,
    SyncType,
    checked_choice,
    checked_id,
    checked_sync_type,
)
from dagster_rudderstack.resource import RudderStackResource

__all__ = ["build_rudderstack_sync_asset"]

KIND = "rudderstack"
RESOURCE_KEY = "rudderstack"

MAX_KINDS = 3
"""Dagster shows no more kinds of an asset, and refuses a fourth."""

CoercibleToSpec = dg.AssetSpec | dg.AssetKey | str | Sequence[str]


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
    resource_key: str = RESOURCE_KEY,
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
            the key is `rudderstack/<connection_id>`.
        deps: assets upstream, in addition to those of the spec: the tables that the source reads.
        sync_type: `incremental`, `full`, or None: RudderStack decides. A run can override it.
        on_running_sync: instead of the resource's. A run can override it.
        on_disabled: what a connection that is disabled in RudderStack does to the step: `fail`, or
            `skip`, which materializes nothing.
        timeout_seconds: instead of the resource's `sync_timeout_seconds`.
        rejected_rows_check: the check on rejected rows; None: no check.
        check_specs: further checks that a subclass or a wrapper of the asset yields.
        resource_key: where the definitions have the `RudderStackResource`.
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
    declared_type = checked_sync_type(sync_type)
    checked_choice(on_disabled, OnDisabled, "on_disabled")
    if on_running_sync is not None:
        checked_choice(on_running_sync, OnRunningSync, "on_running_sync")
    asset = _asset_spec(connection, spec, deps, skippable=on_disabled == "skip")
    check = rejected_rows_check

    @dg.multi_asset(
        specs=[asset],
        check_specs=[*([check.spec(asset.key)] if check else []), *check_specs],
        name=op_name or asset.key.to_python_identifier(),
        # Optional outputs, those of checks included, are what lets a skip yield nothing.
        can_subset=on_disabled == "skip",
        required_resource_keys={resource_key},
        partitions_def=partitions_def,
        backfill_policy=backfill_policy,
        retry_policy=retry_policy,
        pool=pool,
        op_tags=op_tags,
    )
    def sync_asset(
        context: dg.AssetExecutionContext, config: RudderStackSyncConfig
    ) -> Iterator[Any]:
        if asset.key not in context.selected_asset_keys:
            # Only the check was selected: it is told from the last materialization, not by a sync.
            if check is not None:
                yield recheck(context, asset.key, check)
            return
        rudderstack: RudderStackResource = getattr(context.resources, resource_key)
        report = rudderstack.run_sync(
            context,
            connection,
            config.sync_type_or(declared_type),
            record_key=asset.key,
            on_running_sync=config.on_running_sync_or(on_running_sync),
            on_disabled=on_disabled,
            timeout_seconds=timeout_seconds,
            reported_by_materialization=True,
        )
        if report is None:
            return
        yield dg.MaterializeResult(
            asset_key=asset.key,
            metadata=report_metadata(report, rudderstack.dashboard_url),
            check_results=[check.result(asset.key, report)] if check else [],
        )

    return sync_asset


def recheck(
    context: dg.AssetExecutionContext, key: dg.AssetKey, check: RejectedRowsCheck
) -> dg.AssetCheckResult:
    """Return the check's result for the last sync that was reported, without a sync."""
    event = context.instance.get_latest_materialization_event(key)
    materialization = event.asset_materialization if event else None
    return check.result_of_metadata(key, materialization.metadata if materialization else {})


def _asset_spec(
    connection_id: str,
    spec: CoercibleToSpec | None,
    deps: Iterable[Any] | None,
    *,
    skippable: bool,
) -> dg.AssetSpec:
    if spec is None:
        spec = ["rudderstack", connection_id]
    if not isinstance(spec, dg.AssetSpec):
        spec = dg.AssetSpec(spec)
    if deps is not None:
        spec = spec.merge_attributes(deps=list(deps))
    if KIND not in spec.kinds and len(spec.kinds) < MAX_KINDS:
        spec = spec.merge_attributes(kinds={KIND})
    connection = dg.MetadataValue.text(connection_id)
    spec = spec.merge_attributes(metadata={MetadataKey.CONNECTION_ID: connection})
    return spec.replace_attributes(skippable=True) if skippable else spec

"""Op factories: a connection's sync as an op, for jobs that are not made of assets."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from dagster_rudderstack.errors import InvalidSettingError, RowsRejectedError
from dagster_rudderstack.metadata import failure_from, report_metadata
from dagster_rudderstack.options import RudderStackSyncConfig, RudderStackSyncOpConfig
from dagster_rudderstack.resource import RudderStackResource
from dagster_rudderstack.settings import (
    OnDisabled,
    OnRunningSync,
    RejectedRows,
    SyncType,
    checked_choice,
    checked_id,
    checked_seconds,
    checked_sync_type,
)
from dagster_rudderstack.sync.life import SyncReport
from dagster_rudderstack.text import identifier

__all__ = ["build_rudderstack_sync_op", "rudderstack_sync_op"]

RESOURCE_KEY = "rudderstack"
_OUT_DESCRIPTION = "Details of the sync. Nothing if the connection is disabled and skipped."


def _sync_in_op(  # noqa: PLR0913 - what both ops let a person choose
    context: dg.OpExecutionContext,
    rudderstack: RudderStackResource,
    *,
    connection_id: str,
    sync_type: SyncType | None,
    on_running_sync: OnRunningSync | None,
    on_disabled: OnDisabled,
    timeout_seconds: int | None,
    asset_key: dg.AssetKey | None,
    limits: RejectedRows | None,
) -> Iterator[Any]:
    report = rudderstack.run_sync(
        context,
        connection_id,
        sync_type,
        record_key=asset_key,
        on_running_sync=on_running_sync,
        on_disabled=on_disabled,
        timeout_seconds=timeout_seconds,
    )
    if report is None:
        return
    metadata = report_metadata(report, rudderstack.dashboard_url)
    reason = limits.exceeded(report.rows_failed, report.rows_succeeded) if limits else None
    if asset_key is not None:
        # Rows have moved, so the asset has changed, whether or not too many were rejected.
        partition = context.partition_key if context.has_partition_key else None
        yield dg.AssetMaterialization(asset_key=asset_key, partition=partition, metadata=metadata)
    if reason is not None:
        error = RowsRejectedError(
            f"Sync {report.id} of connection {report.connection_id} succeeded, but {reason}. Look "
            "at the rejected rows in RudderStack's dashboard, mend them in the warehouse and sync "
            "again.",
            connection_id=report.connection_id,
            sync=report,
        )
        raise failure_from(error, link_template=rudderstack.dashboard_url) from error
    yield dg.Output(report, metadata=metadata)


@dg.op(
    name="rudderstack_sync_op",
    description="Sync one connection of RudderStack and wait for its end.",
    ins={"start_after": dg.In(dg.Nothing)},
    out=dg.Out(SyncReport, is_required=False, description=_OUT_DESCRIPTION),
    required_resource_keys={RESOURCE_KEY},
)
def rudderstack_sync_op(
    context: dg.OpExecutionContext, config: RudderStackSyncOpConfig
) -> Iterator[Any]:
    """Sync the connection that the run config names, and wait for its end.

    Needs a `RudderStackResource` under the key `rudderstack`. `start_after` takes whatever must be
    done first. The output is a `SyncReport`.

        @job(resource_defs={"rudderstack": RudderStackResource(access_token=EnvVar("TOKEN"))})
        def activate():
            rudderstack_sync_op(start_after=build_tables())
    """
    yield from _sync_in_op(
        context,
        context.resources.rudderstack,
        connection_id=config.connection_id,
        sync_type=config.sync_type_or(None),
        on_running_sync=config.on_running_sync_or(None),
        on_disabled=config.on_disabled,
        timeout_seconds=None,
        asset_key=dg.AssetKey(config.asset_key) if config.asset_key else None,
        limits=_limits_of(config),
    )


def _limits(max_failed_rows: int | None, max_failed_ratio: float | None) -> RejectedRows | None:
    """Return the limits of an op, which has none unless it is given one."""
    if max_failed_rows is None and max_failed_ratio is None:
        return None
    return RejectedRows(max_failed_rows, max_failed_ratio)


def _limits_of(config: RudderStackSyncOpConfig) -> RejectedRows | None:
    try:
        return _limits(config.max_failed_rows, config.max_failed_ratio)
    except InvalidSettingError as error:
        raise failure_from(error) from error


def build_rudderstack_sync_op(  # noqa: PLR0913 - what Dagster's users expect to pass through
    *,
    connection_id: str,
    name: str | None = None,
    sync_type: SyncType | None = None,
    on_running_sync: OnRunningSync | None = None,
    on_disabled: OnDisabled = "fail",
    timeout_seconds: int | None = None,
    asset_key: dg.AssetKey | str | Sequence[str] | None = None,
    max_failed_rows: int | None = None,
    max_failed_ratio: float | None = None,
    resource_key: str = RESOURCE_KEY,
    retry_policy: dg.RetryPolicy | None = None,
    pool: str | None = None,
    tags: Mapping[str, Any] | None = None,
) -> dg.OpDefinition:
    """Build an op that syncs one connection and waits for its end.

    Args:
        connection_id: the connection, from the RudderStack dashboard.
        name: of the op; None: made from the connection's id.
        sync_type: `incremental`, `full`, or None: RudderStack decides. A run can override it.
        on_running_sync: instead of the resource's. A run can override it.
        on_disabled: what a disabled connection does: `fail` the op or `skip` it and what follows.
        timeout_seconds: instead of the resource's `sync_timeout_seconds`.
        asset_key: asset to report a materialization of; None: the op reports none.
        max_failed_rows: rejected rows above which the op fails; None sets no limit.
        max_failed_ratio: share of rejected rows, 0.0 to 1.0, above which the op fails; None sets
            no limit.
        resource_key: where the job has the `RudderStackResource`.
        retry_policy: of the op. A retry takes up a sync that still runs.
        pool: concurrency pool of the op.
        tags: of the op.

    Raises:
        InvalidSettingError: for an id, a sync type or a limit that cannot be right.
    """
    connection = checked_id(connection_id, "connection_id")
    declared_type = checked_sync_type(sync_type)
    checked_choice(on_disabled, OnDisabled, "on_disabled")
    if on_running_sync is not None:
        checked_choice(on_running_sync, OnRunningSync, "on_running_sync")
    checked_seconds(timeout_seconds, "timeout_seconds")
    limits = _limits(max_failed_rows, max_failed_ratio)
    key = None if asset_key is None else dg.AssetSpec(asset_key).key

    @dg.op(
        name=name or f"rudderstack_sync_{identifier(connection)}",
        description=f"Sync connection {connection} of RudderStack and wait for its end.",
        ins={"start_after": dg.In(dg.Nothing)},
        out=dg.Out(SyncReport, is_required=on_disabled != "skip", description=_OUT_DESCRIPTION),
        required_resource_keys={resource_key},
        retry_policy=retry_policy,
        pool=pool,
        tags=tags,
    )
    def sync_op(context: dg.OpExecutionContext, config: RudderStackSyncConfig) -> Iterator[Any]:
        yield from _sync_in_op(
            context,
            getattr(context.resources, resource_key),
            connection_id=connection,
            sync_type=config.sync_type_or(declared_type),
            on_running_sync=config.on_running_sync_or(on_running_sync),
            on_disabled=on_disabled,
            timeout_seconds=timeout_seconds,
            asset_key=key,
            limits=limits,
        )

    return sync_op

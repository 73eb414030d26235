"""Op factories: a connection's sync as an op, for jobs that are not made of assets."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from dagster_rudderstack.api.validation import checked_id
from dagster_rudderstack.checks.rejected_rows import RowLimits
from dagster_rudderstack.errors import InvalidSettingError, RowsRejectedError
from dagster_rudderstack.metadata import failure_from, report_metadata
from dagster_rudderstack.options import (
    RESOURCE_KEY,
    RudderStackSyncConfig,
    RudderStackSyncOpConfig,
    SyncOptions,
    sync_options,
)
from dagster_rudderstack.resource import RudderStackResource
from dagster_rudderstack.sync.request import SyncReport, SyncRequest
from dagster_rudderstack.text import identifier

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["build_rudderstack_sync_op", "rudderstack_sync_op"]

_OUT_DESCRIPTION = (
    "The report of the sync. There is none if the connection is disabled and skipped."
)


def _sync_in_op(  # noqa: PLR0913 - what both ops let a person choose
    context: dg.OpExecutionContext,
    rudderstack: RudderStackResource,
    config: RudderStackSyncConfig,
    *,
    connection_id: str,
    options: SyncOptions,
    asset_key: dg.AssetKey | None,
    limits: RowLimits | None,
) -> Iterator[Any]:
    report = rudderstack.sync_in_step(
        context,
        connection_id,
        config.sync_type_or(options["sync_type"]),
        observed_key=asset_key,
        on_running_sync=config.on_running_sync_or(options["on_running_sync"]),
        on_disabled=options["on_disabled"],
        timeout_seconds=options["timeout_seconds"],
    )
    if report is None:
        return
    metadata = report_metadata(report, rudderstack.dashboard_url)
    reason = limits.exceeded(report.rows_failed, report.rows_succeeded) if limits else None
    if asset_key is not None:
        # Rows were delivered, so the asset has changed even if too many others were rejected.
        partition = context.partition_key if context.has_partition_key else None
        yield dg.AssetMaterialization(asset_key=asset_key, partition=partition, metadata=metadata)
    if reason is not None:
        connection = SyncRequest(report.connection_id).connection
        has_sql = report.failed_rows_sql is not None
        where = "with the SQL in the metadata" if has_sql else "there"
        error = RowsRejectedError(
            f"Sync {report.id} of connection {connection} succeeded, but {reason}. RudderStack's "
            f"dashboard shows it as failed. Look at the rejected rows {where}, fix them in the "
            "warehouse and sync again.",
            connection_id=report.connection_id,
            sync=report,
        )
        error.failed_rows_sql = report.failed_rows_sql
        error.failed_rows_note = report.failed_rows_note
        raise failure_from(error, link_template=rudderstack.dashboard_url) from error
    yield dg.Output(report, metadata=metadata)


@dg.op(
    name="rudderstack_sync_op",
    description="Sync one RudderStack connection and wait until the sync ends.",
    ins={"start_after": dg.In(dg.Nothing)},
    out=dg.Out(SyncReport, is_required=False, description=_OUT_DESCRIPTION),
    required_resource_keys={RESOURCE_KEY},
)
def rudderstack_sync_op(
    context: dg.OpExecutionContext, config: RudderStackSyncOpConfig
) -> Iterator[Any]:
    """Sync the connection that the run config names, and wait until the sync ends.

    Needs a `RudderStackResource` under the key `rudderstack`. Connect `start_after` to the ops that
    must run first. The output is a `SyncReport`.

        @job(resource_defs={"rudderstack": RudderStackResource(access_token=EnvVar("TOKEN"))})
        def activate():
            rudderstack_sync_op(start_after=build_tables())
    """
    yield from _sync_in_op(
        context,
        context.resources.rudderstack,
        config,
        connection_id=config.connection_id,
        options=sync_options({"on_disabled": config.on_disabled}),
        asset_key=dg.AssetKey(config.asset_key) if config.asset_key else None,
        limits=_limits_of(config),
    )


def _limits(max_failed_rows: int | None, max_failed_ratio: float | None) -> RowLimits | None:
    """Return the limits of an op, which has none unless it is given one."""
    if max_failed_rows is None and max_failed_ratio is None:
        return None
    return RowLimits(max_failed_rows, max_failed_ratio)


def _limits_of(config: RudderStackSyncOpConfig) -> RowLimits | None:
    try:
        return _limits(config.max_failed_rows, config.max_failed_ratio)
    except InvalidSettingError as error:
        raise failure_from(error) from error


def build_rudderstack_sync_op(  # noqa: PLR0913 - what an op has besides the options of a sync
    *,
    connection_id: str,
    name: str | None = None,
    asset_key: dg.AssetKey | str | Sequence[str] | None = None,
    max_failed_rows: int | None = None,
    max_failed_ratio: float | None = None,
    tags: Mapping[str, Any] | None = None,
    **options: "Unpack[SyncOptions]",
) -> dg.OpDefinition:
    """Build an op that syncs one connection and waits until the sync ends.

    Args:
        connection_id: The connection, from the RudderStack dashboard.
        name: Name of the op. None creates one from the connection's id.
        asset_key: Asset that the op materializes. None: the op materializes no asset.
        max_failed_rows: The op fails if more rows are rejected. None sets no limit.
        max_failed_ratio: The op fails if a larger share of the rows sent is rejected, 0.0 to 1.0.
            None sets no limit.
        tags: Tags of the op.
        options: How the connection is synced, see `SyncOptions`.

    Raises:
        InvalidSettingError: If an id, an option or a limit is invalid.
    """
    connection = checked_id(connection_id, "connection_id")
    checked = sync_options(options)
    limits = _limits(max_failed_rows, max_failed_ratio)
    key = None if asset_key is None else dg.AssetSpec(asset_key).key

    @dg.op(
        name=name or f"rudderstack_sync_{identifier(connection)}",
        description=f"Sync RudderStack connection {connection} and wait until the sync ends.",
        ins={"start_after": dg.In(dg.Nothing)},
        out=dg.Out(
            SyncReport,
            is_required=checked["on_disabled"] != "skip",
            description=_OUT_DESCRIPTION,
        ),
        required_resource_keys={checked["resource_key"]},
        retry_policy=checked["retry_policy"],
        pool=checked["pool"],
        tags=tags,
    )
    def sync_op(context: dg.OpExecutionContext, config: RudderStackSyncConfig) -> Iterator[Any]:
        yield from _sync_in_op(
            context,
            getattr(context.resources, checked["resource_key"]),
            config,
            connection_id=connection,
            options=checked,
            asset_key=key,
            limits=limits,
        )

    return sync_op

"""Op factories: a connection's sync as an op, for jobs that are not made of assets."""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from dagster_rudderstack.checks.rejected_rows import RowLimits
from dagster_rudderstack.errors import InvalidSettingError, RowsRejectedError
from dagster_rudderstack.metadata import failure_from, report_metadata
from dagster_rudderstack.options import (
    RudderStackSyncConfig,
    RudderStackSyncOpConfig,
    SyncOptions,
    checked_ids,
    choices_of,
    choices_of_run,
    sync_options,
)
from dagster_rudderstack.resource import RudderStackResource
from dagster_rudderstack.settings import RESOURCE_KEY, OnDisabled
from dagster_rudderstack.sync.choices import SyncChoices
from dagster_rudderstack.sync.request import SyncReport
from dagster_rudderstack.text import MAX_EXAMPLES, identifier

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["build_rudderstack_sync_op", "rudderstack_sync_op"]

# RudderStack's own package has modules in its `ops`. Without a path, Python would not ask for them,
# and `vendor_names` could not say what has replaced them.
__path__: list[str] = []

_OUT_DESCRIPTION = (
    "The report of the sync. There is none if the connection is disabled and skipped."
)
_OUT_OF_SEVERAL = "The reports by connection id, without connections that were skipped."


@dataclass(frozen=True)
class _OpSyncs:
    """What an op syncs.

    Attributes:
        connection_ids: The connections.
        choices: What the definition chooses for all of them.
        on_disabled: `skip` leaves out disabled connections.
        asset_key: The asset that the only sync materializes. None if it materializes none.
        limits: How many rows each sync may reject. None sets no limit.
    """

    connection_ids: Sequence[str]
    choices: SyncChoices
    on_disabled: OnDisabled
    asset_key: dg.AssetKey | None
    limits: RowLimits | None

    def reports(
        self,
        context: dg.OpExecutionContext,
        rudderstack: RudderStackResource,
        config: RudderStackSyncConfig,
    ) -> Generator[Any, None, list[SyncReport]]:
        """Sync, yield a materialization if there is an asset, and return the reports.

        Raises:
            dagster.Failure: If a sync failed, or if too many rows of one were rejected.
        """
        try:
            choices = choices_of_run(config).over(self.choices)
        except InvalidSettingError as error:
            raise failure_from(error) from None
        reports = rudderstack.syncs_in_step(
            context,
            self.connection_ids,
            choices,
            observed_key=self.asset_key,
            on_disabled=self.on_disabled,
        )
        if self.asset_key is not None and reports:
            # Rows were delivered, so the asset has changed even if too many others were rejected.
            yield dg.AssetMaterialization(
                asset_key=self.asset_key,
                partition=context.partition_key if context.has_partition_key else None,
                metadata=report_metadata(reports[0], rudderstack.dashboard_url),
            )
        if self.limits is not None:
            rejected = _rejected(reports, self.limits)
            if rejected is not None:
                raise failure_from(rejected, link_template=rudderstack.dashboard_url) from None
        return reports


def _rejected(reports: Iterable[SyncReport], limits: RowLimits) -> RowsRejectedError | None:
    """Return the error of the syncs that rejected too many rows. It is about the first of them."""
    exceeded = [
        (report, reason)
        for report in reports
        if (reason := limits.exceeded(report.rows_failed, report.rows_succeeded))
    ]
    if not exceeded:
        return None
    first = exceeded[0][0]
    what = [
        f"Sync {report.id} of connection {report.connection_id} succeeded, but {reason}."
        for report, reason in exceeded
    ]
    where = "with the SQL in the metadata" if first.failed_rows_sql is not None else "there"
    error = RowsRejectedError(
        f"{' '.join(what)} RudderStack's dashboard shows it as failed. Look at the rejected rows "
        f"{where}, fix them in the warehouse and sync again.",
        connection_id=first.connection_id,
        sync=first,
    )
    error.failed_rows_sql = first.failed_rows_sql
    error.failed_rows_note = first.failed_rows_note
    return error


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
    rudderstack = context.resources.rudderstack
    syncs = _OpSyncs(
        [config.connection_id],
        SyncChoices(),
        config.on_disabled,
        dg.AssetKey(config.asset_key) if config.asset_key else None,
        _limits_of(config),
    )
    for report in (yield from syncs.reports(context, rudderstack, config)):
        yield dg.Output(report, metadata=report_metadata(report, rudderstack.dashboard_url))


def _limits(max_failed_rows: int | None, max_failed_ratio: float | None) -> RowLimits | None:
    """Return the limits of an op, which has none unless it is given one."""
    if max_failed_rows is None and max_failed_ratio is None:
        return None
    return RowLimits(max_failed_rows, max_failed_ratio)


def _limits_of(config: RudderStackSyncOpConfig) -> RowLimits | None:
    try:
        return _limits(config.max_failed_rows, config.max_failed_ratio)
    except InvalidSettingError as error:
        raise failure_from(error) from None


def build_rudderstack_sync_op(  # noqa: PLR0913 - what an op has besides the options of a sync
    *,
    connection_id: str | None = None,
    connection_ids: Sequence[str] | None = None,
    name: str | None = None,
    asset_key: dg.AssetKey | str | Sequence[str] | None = None,
    max_failed_rows: int | None = None,
    max_failed_ratio: float | None = None,
    tags: Mapping[str, Any] | None = None,
    **options: "Unpack[SyncOptions]",
) -> dg.OpDefinition:
    """Build an op that syncs one connection, or several at once, and waits until the syncs end.

        activate = build_rudderstack_sync_op(
            name="activate",
            connection_ids=["2hkeBOp0lGJpMPyur0oXUxxIDhw", "2hkeC9cRJzSGkGZcUuMS5c8qTXm"],
        )

    The output is the `SyncReport` of the connection, or a dict of them by connection id. If one of
    several syncs fails, the op fails when the others have ended. A retry and a re-execution resume
    those that succeeded, and sync only the others. If only a limit is exceeded, all have succeeded,
    and a re-execution syncs all of them again.

    Args:
        connection_id: The connection, from the RudderStack dashboard.
        connection_ids: Several connections instead of one.
        name: Name of the op. None creates one from the connection's id; several need a name.
        asset_key: Asset that the op materializes. None: the op materializes no asset. Only with
            one connection.
        max_failed_rows: The op fails if more rows of a sync are rejected. None sets no limit.
        max_failed_ratio: The op fails if a larger share of the rows that a sync sent is rejected,
            0.0 to 1.0. None sets no limit.
        tags: Tags of the op.
        options: How the connections are synced, see `SyncOptions`.

    Raises:
        InvalidSettingError: If an id, an option or a limit is invalid, or if not exactly one of
            `connection_id` and `connection_ids` is given.
    """
    ids = checked_ids("build_rudderstack_sync_op", "connection", connection_id, connection_ids)
    is_alone = connection_ids is None
    if not is_alone and (name is None or asset_key is not None):
        raise InvalidSettingError(
            "An op for several connections needs a name, and takes no asset_key. To materialize an "
            "asset for each, use build_rudderstack_sync_assets."
        )
    checked = sync_options(options)
    syncs = _OpSyncs(
        ids,
        choices_of(checked),
        checked["on_disabled"],
        None if asset_key is None else dg.AssetSpec(asset_key).key,
        _limits(max_failed_rows, max_failed_ratio),
    )

    @dg.op(
        name=name or f"rudderstack_sync_{identifier(ids[0])}",
        description=f"Sync {_connections_text(ids)} and wait until the syncs end.",
        ins={"start_after": dg.In(dg.Nothing)},
        out=dg.Out(
            SyncReport if is_alone else dict,
            is_required=not is_alone or checked["on_disabled"] != "skip",
            description=_OUT_DESCRIPTION if is_alone else _OUT_OF_SEVERAL,
        ),
        required_resource_keys={checked["resource_key"]},
        retry_policy=checked["retry_policy"],
        pool=checked["pool"],
        tags=tags,
    )
    def sync_op(context: dg.OpExecutionContext, config: RudderStackSyncConfig) -> Iterator[Any]:
        rudderstack = getattr(context.resources, checked["resource_key"])
        reports = yield from syncs.reports(context, rudderstack, config)
        if not is_alone:
            yield dg.Output({report.connection_id: report for report in reports})
        elif reports:
            metadata = report_metadata(reports[0], rudderstack.dashboard_url)
            yield dg.Output(reports[0], metadata=metadata)

    return sync_op


def _connections_text(ids: Sequence[str]) -> str:
    if len(ids) > MAX_EXAMPLES:
        return f"{len(ids):,} RudderStack connections"
    return f"RudderStack connection{'s' if len(ids) > 1 else ''} {', '.join(ids)}"

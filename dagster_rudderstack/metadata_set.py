"""The metadata of assets and their syncs with types, for code that reads them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

import dagster as dg

from dagster_rudderstack.api.models import SyncMetrics
from dagster_rudderstack.settings import SYNC_TYPES
from dagster_rudderstack.sync.failed_rows import sql_in
from dagster_rudderstack.sync.request import Origin, SyncReport
from dagster_rudderstack.text import without_escapes

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["RudderStackMetadataSet", "latest_failed_rows_sql", "report_from_metadata"]

NAMESPACE = "rudderstack"


@dataclass(frozen=True, kw_only=True)
class RudderStackMetadataSet:
    """The metadata with the prefix `rudderstack/` of an asset, a materialization or an observation.

        connection_id = RudderStackMetadataSet.extract(spec.metadata).connection_id
        rows_failed = RudderStackMetadataSet.extract(materialization.metadata).rows_failed

    Each attribute is None if there is no such entry, neither on its own nor in
    `rudderstack/details`, or if it has another type. Definitions have the entries of a connection,
    and results those of a sync or run. Times are in UTC, and `failed_rows_sql` is only the SQL,
    without the note in front of it.

    Attributes:
        error: Why the sync or run failed.
        rows_failed: Rows that the destination rejected.
        rows_succeeded: Rows that the destination accepted.
        rows_changed: Rows that are new or changed since the last sync.
        rows_total: Rows of the source.
        success_ratio: Delivered rows as a share of the rows sent, 0.0 to 1.0.
        nothing_changed: True if the sync succeeded and there was no row to send.
        failed_rows_sql: SQL that lists the rows that the destination rejected.
        status: RudderStack's status, or `stopped` for a sync that our run asked RudderStack to
            stop.
        duration_seconds: Seconds from the start to the end, on RudderStack's clock.
        sync_type: `incremental` or `full`. It is missing if another client started the sync.
        link: The page in RudderStack's dashboard, if `dashboard_url` or `run_dashboard_url` is set.
        started_at: When the sync or run started.
        finished_at: When the sync or run ended.
        origin: `started`, `adopted`, `attached`, `resumed`, or `observed` for a sync that Dagster
            did not start.
        sync_id: The sync.
        connection_id: The connection.
        run_id: The run of a Profiles project or ETL source.
        parameters: The parameters of the run, as the API takes them.
        tasks: The tasks of the run with their statuses.
        source_id: The source of a connection, or the Profiles project or ETL source of a run.
        source_name: The name of the source.
        source_type: The type of the source, such as `table`, `model` or `audience`.
        source_tables: The tables that the source reads.
        warehouse: The kind of warehouse, as RudderStack calls it, such as `snowflake`.
        primary_key: The column that identifies a row of the source.
        destination_id: The destination.
        destination_name: The name of the destination.
        destination_type: The type of the destination, as RudderStack calls it.
        object: The object of the destination, such as `Contact`.
        sync_behaviour: `upsert`, `mirror` or `full`.
        schedule: When RudderStack itself starts syncs. It is missing if it never does.
        cursor_column: The column from which RudderStack knows which rows are new.
        sync_logs: Whether RudderStack writes sync logs into the warehouse.
        enabled: Whether the connection, its source and its destination are enabled.
        deferred: Whether steps only start the syncs, and the polling sensor reports them.
        checks: The limits and the severities of the checks, see `SyncChecks`.
        deadline: When the timeout of a deferred sync passes.
        stopped_by: `timeout` if the sensor stopped a deferred sync because its timeout had passed.
        dagster_run: The run that started the sync or attached to it, in what the polling sensor
            reports.
    """

    error: str | None = None
    rows_failed: int | None = None
    rows_succeeded: int | None = None
    rows_changed: int | None = None
    rows_total: int | None = None
    success_ratio: float | None = None
    nothing_changed: bool | None = None
    failed_rows_sql: str | None = None
    status: str | None = None
    duration_seconds: float | None = None
    sync_type: str | None = None
    link: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    origin: str | None = None
    sync_id: str | None = None
    connection_id: str | None = None
    dagster_run: str | None = None
    run_id: str | None = None
    parameters: str | None = None
    tasks: Sequence[Mapping[str, Any]] | None = None
    source_id: str | None = None
    source_name: str | None = None
    source_type: str | None = None
    source_tables: str | None = None
    warehouse: str | None = None
    primary_key: str | None = None
    destination_id: str | None = None
    destination_name: str | None = None
    destination_type: str | None = None
    object: str | None = None
    sync_behaviour: str | None = None
    schedule: str | None = None
    cursor_column: str | None = None
    sync_logs: bool | None = None
    enabled: bool | None = None
    deferred: bool | None = None
    checks: Mapping[str, Any] | None = None
    deadline: datetime | None = None
    stopped_by: str | None = None

    @classmethod
    def extract(cls, metadata: Mapping[str, Any]) -> Self:
        """Return the entries of some metadata. Those of others are ignored.

        Args:
            metadata: The metadata of an `AssetSpec`, a materialization or an observation.
        """
        details = _value(metadata.get(f"{NAMESPACE}/details"), Mapping[str, Any]) or {}
        return cls(
            **{
                name: _value(metadata.get(f"{NAMESPACE}/{name}", details.get(name)), kind)
                for name, kind in _KINDS.items()
            }
        )


def _kinds() -> dict[str, Any]:
    hints = get_type_hints(RudderStackMetadataSet)
    return {field.name: get_args(hints[field.name])[0] for field in fields(RudderStackMetadataSet)}


_KINDS = _kinds()


def _value(entry: object, kind: Any) -> Any:
    """Return the value of an entry if it has the right type, else None."""
    if isinstance(entry, dg.MarkdownMetadataValue):
        return sql_in(entry.md_str or "") if kind is str else None
    value: Any = entry.value if isinstance(entry, dg.MetadataValue) else entry
    if kind is datetime:
        return _moment(value)
    if isinstance(value, bool) is not (kind is bool):
        return None
    if kind is float:
        is_number = isinstance(value, (int, float)) and abs(value) <= sys.float_info.max
        return float(value) if is_number else None
    if kind in (str, int, bool):
        return value if isinstance(value, kind) else None
    # A text is a sequence, too.
    is_right = isinstance(value, get_origin(kind)) and not isinstance(value, str)
    return value if is_right else None


def _moment(value: object) -> datetime | None:
    if isinstance(value, datetime):
        return value
    if isinstance(value, str):
        return _iso_moment(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return datetime.fromtimestamp(value, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None


def _iso_moment(value: str) -> datetime | None:
    """Return a time in ISO 8601. None if it is none, or without its zone."""
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return None if moment.tzinfo is None else moment.astimezone(timezone.utc)


def report_from_metadata(metadata: Mapping[str, Any]) -> SyncReport | None:
    """Return the report of a sync as the metadata of its materialization have it.

    None if the metadata are not those of a sync.
    """
    known = RudderStackMetadataSet.extract(metadata)
    if known.sync_id is None or known.connection_id is None or known.status is None:
        return None
    rows = metadata.get(f"{NAMESPACE}/failed_rows_sql")
    markdown = rows.md_str if isinstance(rows, dg.MarkdownMetadataValue) else None
    metrics = SyncMetrics.model_validate(
        {
            "succeeded": {"total": known.rows_succeeded},
            "failed": {"total": known.rows_failed},
            "changed": {"total": known.rows_changed},
            "total": known.rows_total,
        }
    )
    return SyncReport(
        id=known.sync_id,
        status=known.status,
        started_at=known.started_at,
        finished_at=known.finished_at,
        error=known.error,
        metrics=metrics,
        connection_id=known.connection_id,
        sync_type=known.sync_type if known.sync_type in SYNC_TYPES else None,
        origin=next((each for each in get_args(Origin) if each == known.origin), "resumed"),
        failed_rows_sql=known.failed_rows_sql,
        failed_rows_note=_note_in(markdown) if markdown else None,
    )


def _note_in(markdown: str) -> str:
    """Return the note in front of the SQL."""
    return without_escapes(markdown.partition("\n\n```")[0])


def latest_failed_rows_sql(instance: dg.DagsterInstance, asset_key: dg.AssetKey) -> str | None:
    """Return the SQL that lists the rows that the destination rejected in an asset's last sync.

        @dg.asset_check(asset=crm_contacts)
        def reasons(context: dg.AssetCheckExecutionContext, warehouse: DuckDBResource):
            sql = latest_failed_rows_sql(context.instance, crm_contacts.key)

    It is read from the last materialization. Returns None if the asset has none, if no row was
    rejected, or if the rows cannot be listed.

    Args:
        instance: Dagster's instance, as in `context.instance`.
        asset_key: The asset of the connection.
    """
    event = instance.get_latest_materialization_event(asset_key)
    last = event.asset_materialization if event else None
    value = last.metadata.get(f"{NAMESPACE}/failed_rows_sql") if last else None
    return sql_in(value.md_str or "") if isinstance(value, dg.MarkdownMetadataValue) else None

"""What materializations, observations and failures say about a sync.

Counts are stored as numbers, so that Dagster plots them. An unknown value is left out, not shown as
0. The entries that people need most come first, at most a dozen, and the last one has the rest. The
keys do not change, since dashboards and alerts depend on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote

import dagster as dg

from dagster_rudderstack.api.models import Sync, SyncState
from dagster_rudderstack.api.source_runs import SourceRun, SourceRunTask
from dagster_rudderstack.errors import RudderStackError, SyncError
from dagster_rudderstack.sync.failed_rows import FailedRows
from dagster_rudderstack.sync.request import (
    Report,
    Request,
    RunRequest,
    SourceRunReport,
    SyncReport,
)
from dagster_rudderstack.text import one_line

__all__ = [
    "STOPPED",
    "Metadata",
    "MetadataKey",
    "column_metadata",
    "failed_rows_of",
    "failure_from",
    "id_metadata",
    "number",
    "own_id_of",
    "report_metadata",
    "request_link",
    "run_link",
    "run_metadata",
    "sync_link",
    "sync_metadata",
    "target_id_of",
    "text_of",
]


class MetadataKey:
    """The keys of everything that this library writes into Dagster.

    `RudderStackMetadataSet` explains those that it reads.
    """

    # Of a sync, in the order in which they are shown.
    ERROR = "rudderstack/error"
    ROWS_FAILED = "rudderstack/rows_failed"
    ROWS_SUCCEEDED = "rudderstack/rows_succeeded"
    ROWS_CHANGED = "rudderstack/rows_changed"
    ROWS_TOTAL = "rudderstack/rows_total"
    ROW_COUNT = "dagster/row_count"
    """The rows delivered, under the key that Dagster's own pages show."""
    NOTHING_CHANGED = "rudderstack/nothing_changed"
    FAILED_ROWS_SQL = "rudderstack/failed_rows_sql"
    STATUS = "rudderstack/status"
    DURATION = "rudderstack/duration_seconds"
    LINK = "rudderstack/link"
    FINISHED_AT = "rudderstack/finished_at"
    SYNC_ID = "rudderstack/sync_id"
    CONNECTION_ID = "rudderstack/connection_id"
    DAGSTER_RUN = "rudderstack/dagster_run"
    """The run that started the sync or attached to it, in what the polling sensor reports."""
    DETAILS = "rudderstack/details"
    """The sync type, the start, the origin and the success ratio, as JSON. See `_details`."""
    # Of a run of a Profiles project or ETL source, besides status, error, times, link and origin.
    RUN_ID = "rudderstack/run_id"
    PARAMETERS = "rudderstack/parameters"
    TASKS = "rudderstack/tasks"
    # Of a connection, in definitions. Also of a run: the project or source.
    SOURCE_ID = "rudderstack/source_id"
    SOURCE_NAME = "rudderstack/source_name"
    SOURCE_TYPE = "rudderstack/source_type"
    SOURCE_TABLES = "rudderstack/source_tables"
    WAREHOUSE = "rudderstack/warehouse"
    PRIMARY_KEY = "rudderstack/primary_key"
    DESTINATION_ID = "rudderstack/destination_id"
    DESTINATION_NAME = "rudderstack/destination_name"
    DESTINATION_TYPE = "rudderstack/destination_type"
    OBJECT = "rudderstack/object"
    SYNC_BEHAVIOUR = "rudderstack/sync_behaviour"
    SCHEDULE = "rudderstack/schedule"
    CURSOR_COLUMN = "rudderstack/cursor_column"
    SYNC_LOGS = "rudderstack/sync_logs"
    ENABLED = "rudderstack/enabled"
    DEFERRED = "rudderstack/deferred"
    CHECKS = "rudderstack/checks"
    # Of a polling sensor, in definitions.
    CONNECTION_IDS = "rudderstack/connection_ids"
    """The connections whose syncs the sensor reports, as JSON. Dagster's pages do not show it."""
    # Of a record in a run's log.
    RECORD = "rudderstack/record"
    """What a later attempt must know, as JSON. Only this library reads it."""
    # Of the sensor's observation of a deferred sync that takes too long.
    DEADLINE = "rudderstack/deadline"
    STOPPED_BY = "rudderstack/stopped_by"
    # Of the failure of a step with many syncs.
    FAILED_SYNCS = "rudderstack/failed_syncs"
    """The syncs that failed, with their reasons, as a table."""


STOPPED = "stopped"
"""The status of a sync that our run asked RudderStack to stop."""

Metadata = dict[str, dg.MetadataValue]

_COLUMN_KEYS = ("dagster/column_schema", "dagster/column_lineage")


def column_metadata(definition: Mapping[str, object]) -> dict[str, Any]:
    """Return what an asset's definition says about its columns, for its materializations.

    Dagster looks for the lineage of columns in both.
    """
    return {key: definition[key] for key in _COLUMN_KEYS if key in definition}


class IdKeys(NamedTuple):
    """The keys of the ids of what was made, and of what it was made for."""

    own: str
    target: str


_SYNC_IDS = IdKeys(MetadataKey.SYNC_ID, MetadataKey.CONNECTION_ID)
_RUN_IDS = IdKeys(MetadataKey.RUN_ID, MetadataKey.SOURCE_ID)


def id_metadata(request: Request, own_id: str | None) -> Metadata:
    """Return the ids of a sync or a run, as metadata. None for the own id leaves it out."""
    keys = _RUN_IDS if isinstance(request, RunRequest) else _SYNC_IDS
    facts = {keys.own: _text(own_id), keys.target: _text(request.target_id)}
    return {key: value for key, value in facts.items() if value is not None}


def own_id_of(metadata: Mapping[str, Any]) -> str | None:
    """Return the id of the sync or run that an event is about. None if it is about none."""
    return text_of(metadata, _SYNC_IDS.own) or text_of(metadata, _RUN_IDS.own)


def target_id_of(metadata: Mapping[str, Any]) -> str | None:
    """Return the connection, or the source of a run, that an event is about."""
    return text_of(metadata, _SYNC_IDS.target) or text_of(metadata, _RUN_IDS.target)


def sync_metadata(  # noqa: PLR0913 - the facts of one sync
    sync: Sync | None,
    connection_id: str,
    *,
    sync_type: str | None = None,
    origin: str | None = None,
    link_template: str | None = None,
    failed_rows: FailedRows | None = None,
) -> Metadata:
    """Return the metadata of a sync.

    Args:
        sync: The last state seen. None if only the connection is known.
        connection_id: The connection.
        sync_type: The sync type that was asked for. None if unknown.
        origin: How the sync came to be reported, see `_details`.
        link_template: The address of a sync's page in RudderStack's dashboard, see
            `RudderStackResource.dashboard_url`.
        failed_rows: How to list the rejected rows. None if there are none.
    """
    facts: dict[str, dg.MetadataValue | None] = {
        # The first entry is what the UI shows of a failure that a RetryPolicy has wrapped.
        MetadataKey.ERROR: _text(one_line(sync.error, 2000) if sync and sync.error else None),
        **(_rows(sync) if sync else {}),
        MetadataKey.FAILED_ROWS_SQL: (
            dg.MetadataValue.md(failed_rows.markdown) if failed_rows else None
        ),
        MetadataKey.STATUS: _text(sync.status if sync else None),
        MetadataKey.DURATION: number(sync.duration_seconds if sync else None),
        MetadataKey.LINK: sync_link(link_template, connection_id, sync.id if sync else None),
        MetadataKey.FINISHED_AT: _time(sync.finished_at if sync else None),
        MetadataKey.SYNC_ID: _text(sync.id if sync else None),
        MetadataKey.CONNECTION_ID: _text(connection_id),
        MetadataKey.DETAILS: _details(sync, origin, sync_type),
    }
    return {key: value for key, value in facts.items() if value is not None}


def run_metadata(
    run: SourceRun | None,
    source_id: str,
    *,
    parameters: Sequence[str] = (),
    origin: str | None = None,
    link_template: str | None = None,
) -> Metadata:
    """Return the metadata of a run of a Profiles project or an ETL source.

    Args:
        run: The last state seen. None if only the source is known.
        source_id: The project or source.
        parameters: The parameters that were asked for.
        origin: How the run came to be reported.
        link_template: The address of a run's page in RudderStack's dashboard, see
            `RudderStackResource.run_dashboard_url`.
    """
    tasks = [_task(task) for task in run.tasks] if run else []
    facts: dict[str, dg.MetadataValue | None] = {
        MetadataKey.ERROR: _text(one_line(run.error, 2000) if run and run.error else None),
        MetadataKey.STATUS: _text(run.status if run else None),
        MetadataKey.DURATION: number(run.duration_seconds if run else None),
        MetadataKey.PARAMETERS: _text(" ".join(parameters) or None),
        MetadataKey.TASKS: dg.MetadataValue.json(tasks) if tasks else None,
        MetadataKey.LINK: run_link(link_template, source_id, run.id if run else None),
        MetadataKey.FINISHED_AT: _time(run.finished_at if run else None),
        MetadataKey.RUN_ID: _text(run.id if run else None),
        MetadataKey.SOURCE_ID: _text(source_id),
        MetadataKey.DETAILS: _details(run, origin),
    }
    return {key: value for key, value in facts.items() if value is not None}


def report_metadata(report: Report, link_template: str | None = None) -> Metadata:
    """Return the metadata of a sync or run that a step waited for."""
    if isinstance(report, SourceRunReport):
        return run_metadata(
            report,
            report.source_id,
            parameters=report.parameters,
            origin=report.origin,
            link_template=link_template,
        )
    return sync_metadata(
        report,
        report.connection_id,
        sync_type=report.sync_type,
        origin=report.origin,
        link_template=link_template,
        failed_rows=failed_rows_of(report),
    )


def failed_rows_of(found: Report | RudderStackError) -> FailedRows | None:
    """Return how to list the rejected rows, according to a report or an error."""
    if not isinstance(found, (SyncReport, SyncError)) or found.failed_rows_note is None:
        return None
    return FailedRows(found.failed_rows_sql, found.failed_rows_note)


def _rows(sync: Sync) -> dict[str, dg.MetadataValue | None]:
    succeeded = sync.state is SyncState.SUCCEEDED
    sent = (sync.rows_succeeded, sync.rows_failed, sync.rows_changed)
    nothing_changed = succeeded and sync.rows_changed == 0 and not any(sent)
    return {
        MetadataKey.ROWS_FAILED: number(sync.rows_failed),
        MetadataKey.ROWS_SUCCEEDED: number(sync.rows_succeeded),
        MetadataKey.ROWS_CHANGED: number(sync.rows_changed),
        MetadataKey.ROWS_TOTAL: number(sync.rows_total),
        MetadataKey.ROW_COUNT: number(sync.rows_succeeded),
        MetadataKey.NOTHING_CHANGED: dg.MetadataValue.bool(True) if nothing_changed else None,
    }


def _details(
    seen: Sync | None, origin: str | None, sync_type: str | None = None
) -> dg.MetadataValue | None:
    """Return what people seldom need. None if nothing of it is known.

    Args:
        seen: The last state of the sync or run. Its start is in ISO 8601 and in UTC, and the rows
            that a sync has delivered are a share of the rows sent, 0.0 to 1.0, with four digits.
        origin: `started`, `adopted`, `attached`, `resumed`, or `observed` for a sync that Dagster
            did not start.
        sync_type: The sync type that was asked for.
    """
    ratio = seen.success_ratio if seen else None
    started_at = seen.started_at if seen else None
    facts = {
        "sync_type": sync_type,
        "started_at": started_at.isoformat() if started_at else None,
        "origin": origin,
        "success_ratio": None if ratio is None else round(ratio, 4),
    }
    known = {name: value for name, value in facts.items() if value is not None}
    return dg.MetadataValue.json(known) if known else None


def _time(value: datetime | None) -> dg.MetadataValue | None:
    return dg.MetadataValue.timestamp(value) if value else None


def _task(task: SourceRunTask) -> dict[str, Any]:
    """Return a task without its unknown fields, which may be secrets."""
    error = one_line(task.error, 2000) if task.error else None
    known = task.without_unknown().model_copy(update={"error": error})
    return known.model_dump(mode="json", exclude_none=True)


def _text(value: str | None) -> dg.MetadataValue | None:
    return None if value is None else dg.MetadataValue.text(value)


def text_of(metadata: Mapping[str, Any], key: str) -> str | None:
    """Return a text in the metadata of an event or a definition. None if there is none.

    Definitions may have it as a plain string, as a person wrote it.
    """
    value = metadata.get(key)
    value = value.value if isinstance(value, dg.TextMetadataValue) else value
    return value if isinstance(value, str) else None


def number(value: float | None) -> dg.MetadataValue | None:
    """Return a number as metadata, or None if it is unknown."""
    if value is None:
        return None
    return dg.MetadataValue.int(value) if isinstance(value, int) else dg.MetadataValue.float(value)


def sync_link(
    template: str | None, connection_id: str, sync_id: str | None
) -> dg.MetadataValue | None:
    """Return the link to a sync's page. None without a template, or without the ids it needs."""
    return _link(template, ("connection_id", connection_id), ("sync_id", sync_id))


def run_link(template: str | None, source_id: str, run_id: str | None) -> dg.MetadataValue | None:
    """Return the link to a run's page. None without a template, or without the ids it needs."""
    return _link(template, ("source_id", source_id), ("run_id", run_id))


def _link(
    template: str | None, target: tuple[str, str], own: tuple[str, str | None]
) -> dg.MetadataValue | None:
    """Return a link, with the names of the two ids replaced by their values."""
    name, own_id = own
    if template is None or (own_id is None and f"{{{name}}}" in template):
        return None
    url = template.replace(f"{{{target[0]}}}", target[1])
    # The ids of targets are checked. The own id is what the server says.
    return dg.MetadataValue.url(url.replace(f"{{{name}}}", quote(own_id or "", safe="")))


def request_link(
    template: str | None, request: Request, own_id: str | None
) -> dg.MetadataValue | None:
    """Return the link to the page of a sync or run. None as for `sync_link`."""
    link = run_link if isinstance(request, RunRequest) else sync_link
    return link(template, request.target_id, own_id)


def failure_from(
    error: RudderStackError,
    connection_id: str | None = None,
    link_template: str | None = None,
    *,
    source_id: str | None = None,
) -> dg.Failure:
    """Return Dagster's failure for an error: the reason, the ids, the counts and the link.

    It allows no retries if a retry cannot end better. Raise it `from None`: its description is the
    message of the error, so a chained traceback would only repeat it on the page of the run. The
    error is its `__context__`.

    Args:
        error: The error.
        connection_id: The connection, if the error does not say it. None if unknown.
        link_template: The address of the page in RudderStack's dashboard. None for no link.
        source_id: The source of a run, if the error does not say it. None if it is about a sync.
    """
    seen = None
    if isinstance(error, SyncError):
        seen, source_id, connection_id = error.sync, error.source_id, error.connection_id
    metadata: Metadata = {}
    if source_id is not None:
        run = seen if isinstance(seen, SourceRun) else None
        metadata = run_metadata(run, source_id, link_template=link_template)
    elif connection_id is not None:
        rows = failed_rows_of(error)
        metadata = sync_metadata(seen, connection_id, link_template=link_template, failed_rows=rows)
    failure = dg.Failure(
        description=error.message, metadata=metadata, allow_retries=error.retryable
    )
    # As if raised `from None` while the error is handled.
    failure.__context__, failure.__suppress_context__ = error, True
    return failure

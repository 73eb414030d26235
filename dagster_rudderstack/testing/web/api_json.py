"""The JSON that the API returns for each object."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dagster_rudderstack.testing.clock import timestamp
from dagster_rudderstack.testing.objects import Connection, Destination, FieldPairs, Source
from dagster_rudderstack.testing.runs import Run, RunTask
from dagster_rudderstack.testing.scripts import RowCounts
from dagster_rudderstack.testing.syncs import Sync
from dagster_rudderstack.testing.tables import TableSync

JsonObject = dict[str, Any]

WORKSPACE_ID = "local-workspace"
_EVERY_MINUTES_AND_CRON = {"everyMinutes": None, "cronExpression": None}


def workspace_json() -> JsonObject:
    """Return the JSON of the workspace. It is the same for each local RudderStack."""
    return {
        "id": WORKSPACE_ID,
        "name": "Local workspace",
        "environment": "DEVELOPMENT",
        "status": "ACTIVE",
        "region": "US",
        "dataPlaneURL": None,
    }


def sync_json(sync: Sync, now: float) -> JsonObject:
    """Return the JSON of a sync in its current state."""
    shows_times = not sync.script.null_timestamps
    return {
        "id": sync.id,
        "status": sync.status(now),
        "startedAt": timestamp(sync.started_at) if shows_times else None,
        "finishedAt": _finished_at(sync, now) if shows_times else None,
        "error": sync.error(now),
        **_metrics(sync, now),
        **sync.script.wire_fields,
    }


def _finished_at(sync: Sync, now: float) -> str | None:
    if not sync.is_over(now):
        return sync.script.running_finished_at
    return _timestamp_or_none(sync.finished_at(now)) if sync.script.finished else None


def _metrics(sync: Sync, now: float) -> JsonObject:
    rows = sync.rows(now)
    if sync.script.metrics == "missing":
        return {}
    if sync.script.metrics == "null":
        return {"metrics": None}
    if sync.script.metrics == "partial":
        return {"metrics": {"succeeded": {"total": rows.succeeded}, "failed": None, "changed": {}}}
    return {"metrics": _full_metrics(rows)}


def _full_metrics(rows: RowCounts) -> JsonObject:
    return {
        "succeeded": {"total": rows.succeeded},
        "failed": {"total": rows.failed},
        "changed": {"total": rows.changed},
        "total": rows.total,
    }


def connection_json(connection: Connection, created_at: float) -> JsonObject:
    """Return the JSON of a connection."""
    identifiers, mappings = _fields(connection)
    return {
        "id": connection.id,
        "sourceId": connection.source_id,
        "destinationId": connection.destination_id,
        "enabled": connection.enabled,
        "externalId": None,
        "schedule": {**_EVERY_MINUTES_AND_CRON, **connection.schedule},
        "syncBehaviour": connection.sync_behaviour,
        "syncSettings": None,
        "identifiers": _pairs(identifiers),
        "mappings": _pairs(mappings),
        "constants": None if connection.constants is None else list(connection.constants),
        "event": None,
        "object": connection.object,
        "cursorColumn": None,
        **_created(created_at),
        **connection.wire_fields,
    }


def _fields(connection: Connection) -> tuple[FieldPairs, FieldPairs]:
    """Return identifiers and mappings: those of the connection, or else those of its table."""
    identifiers, mappings = _fields_of_table(connection.table)
    return (
        identifiers if connection.identifiers is None else connection.identifiers,
        mappings if connection.mappings is None else connection.mappings,
    )


def _fields_of_table(table: TableSync | None) -> tuple[FieldPairs, FieldPairs]:
    if table is None:
        return None, None
    mapped = table.mappings or {}
    key = table.primary_key
    others = {column: field for column, field in mapped.items() if column != key}
    return {key: mapped.get(key, key)}, others or None


def _pairs(fields: FieldPairs) -> Sequence[Mapping[str, str]] | None:
    if fields is None:
        return None
    if isinstance(fields, Mapping):
        return [{"from": column, "to": field} for column, field in fields.items()]
    return list(fields)


def source_json(source: Source, created_at: float) -> JsonObject:
    """Return the JSON of a source."""
    return {
        "id": source.id,
        "name": source.name or source.id,
        "enabled": source.enabled,
        "sourceType": source.source_type,
        "sourceDefinitionName": source.definition,
        "config": dict(source.config),
        "accountId": None,
        "workspaceId": WORKSPACE_ID,
        "externalId": None,
        **_created(created_at),
        **source.wire_fields,
    }


def destination_json(destination: Destination, created_at: float) -> JsonObject:
    """Return the JSON of a destination. Its `config` may contain credentials."""
    return {
        "id": destination.id,
        "name": destination.name or destination.id,
        "type": destination.type,
        "enabled": destination.enabled,
        "workspaceId": WORKSPACE_ID,
        "config": dict(destination.config),
        "externalId": None,
        "version": None,
        "transformation": None,
        **_created(created_at),
        **destination.wire_fields,
    }


def run_json(run: Run, now: float) -> JsonObject:
    """Return the JSON of a run, in camelCase or in snake_case. RudderStack's clients know both.

    The error and the end are absent until they are known.
    """
    answer = {
        "id": run.id,
        "jobRunId": run.id,
        "jobId": run.job_id,
        "status": run.status(now),
        **_times_and_error(run.started_at, run.finished_at(now), run.error(now)),
        "tasks": _tasks_json(run, now),
    }
    missing = run.script.missing_fields
    shown = {name: value for name, value in answer.items() if name not in missing}
    return {**_cased(run, shown), **run.script.wire_fields}


def _tasks_json(run: Run, now: float) -> Sequence[JsonObject]:
    return [
        _cased(
            run,
            {
                "taskRunId": f"{run.id}-{number}",
                "taskId": task.name,
                "jobId": run.job_id,
                "status": _status_of_task(run, task, now),
                **_times_and_error(task.started_at, task.finished_at, task.error),
            },
        )
        for number, task in enumerate(run.tasks(now), start=1)
    ]


def _status_of_task(run: Run, task: RunTask, now: float) -> str:
    if task.finished_at is None:
        return run.script.running_status
    return run.status(now) if task.error is not None and run.is_over(now) else "finished"


def _times_and_error(started_at: float, finished_at: float | None, error: str | None) -> JsonObject:
    answer: JsonObject = {"startedAt": timestamp(started_at)}
    if finished_at is not None:
        answer["finishedAt"] = timestamp(finished_at)
    if error is not None:
        answer["error"] = error
    return answer


def _cased(run: Run, answer: JsonObject) -> JsonObject:
    if not run.script.snake_case:
        return answer
    return {
        re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", key): answer[key] for key in answer
    }


def _created(created_at: float) -> dict[str, Any]:
    return {"createdAt": timestamp(created_at), "updatedAt": timestamp(created_at)}


def _timestamp_or_none(epoch: float | None) -> str | None:
    return None if epoch is None else timestamp(epoch)

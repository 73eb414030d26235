"""`connections`: the connections of the workspace, with the ids that definitions need."""

from __future__ import annotations

import argparse

from dagster_rudderstack.api.models import Sync
from dagster_rudderstack.cli.access import Access
from dagster_rudderstack.cli.console import Console, moment_text, table
from dagster_rudderstack.cli.names import Names, schedule_text, sync_json
from dagster_rudderstack.errors import ApiError
from dagster_rudderstack.text import plural

__all__ = ["connections"]

HEADS = ("ID", "SOURCE", "DESTINATION", "ENABLED", "SCHEDULE", "LAST SYNC (UTC)")


def connections(access: Access, options: argparse.Namespace, console: Console) -> int:
    """List the connections. One whose syncs cannot be read is listed nevertheless."""
    del options
    objects = access.objects()
    names = Names(objects)
    listed = sorted(objects.connections, key=names.sort_key)
    newest = access.newest_syncs([connection.id for connection in listed])
    rows = [
        (
            connection.id,
            names.source_name(connection),
            names.destination_name(connection),
            "yes" if connection.enabled else "no",
            schedule_text(connection.schedule),
            _last_sync_text(newest[connection.id]),
        )
        for connection in listed
    ]
    for line in table(HEADS, rows) if rows else ["The workspace has no Reverse ETL connection."]:
        console.line(line)
    _warn_of_unreadable([each for each in newest.values() if isinstance(each, ApiError)], console)
    console.document(
        {
            "connections": [
                {**names.json(connection), **_last_sync_json(newest[connection.id])}
                for connection in listed
            ]
        }
    )
    return 0


def _last_sync_text(newest: Sync | ApiError | None) -> str:
    if newest is None:
        return "never"
    return f"{newest.status} {moment_text(newest.started_at)}" if isinstance(newest, Sync) else "?"


def _last_sync_json(newest: Sync | ApiError | None) -> dict[str, object]:
    is_error = isinstance(newest, ApiError)
    return {
        "last_sync": sync_json(newest) if isinstance(newest, Sync) else None,
        "last_sync_error": str(newest) if is_error else None,
    }


def _warn_of_unreadable(errors: list[ApiError], console: Console) -> None:
    if errors:
        console.warning(
            f"The syncs of {plural(len(errors), 'connection')} cannot be read, so their last sync "
            f"is shown as '?'. {errors[0]}"
        )

"""The names of connections, which RudderStack makes of those of the source and the destination."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dagster_rudderstack.api.models import Connection, Destination, Schedule, Source, Sync
from dagster_rudderstack.cli.console import cell
from dagster_rudderstack.discovery.fetch import WorkspaceObjects
from dagster_rudderstack.text import plural

__all__ = ["Names", "schedule_text", "sync_json"]


class Names:
    """Finds the source and the destination of a connection."""

    def __init__(self, objects: WorkspaceObjects) -> None:
        self._sources = {source.id: source for source in objects.sources}
        self._destinations = {each.id: each for each in objects.destinations}

    def source(self, connection: Connection) -> Source | None:
        """Return the source. None if the token may not read it."""
        return self._sources.get(connection.source_id)

    def destination(self, connection: Connection) -> Destination | None:
        """Return the destination. None if the token may not read it."""
        return self._destinations.get(connection.destination_id)

    def warehouse(self, connection: Connection) -> str | None:
        """Return the kind of the source's warehouse, such as `snowflake`. None if unknown."""
        source = self.source(connection)
        return source.source_definition_name if source else None

    def source_name(self, connection: Connection) -> str:
        """Return the name of the source, or its id if the name is not known."""
        source = self.source(connection)
        return source.name if source else connection.source_id

    def destination_name(self, connection: Connection) -> str:
        """Return the name of the destination, or its id if the name is not known."""
        destination = self.destination(connection)
        return destination.name if destination else connection.destination_id

    def sort_key(self, connection: Connection) -> tuple[str, str, str]:
        """Return what connections are sorted by: their sources, then their destinations."""
        source, destination = self.source_name(connection), self.destination_name(connection)
        return source.lower(), destination.lower(), connection.id

    def label(self, connection: Connection) -> str:
        """Return a connection as the lines of `check` call it."""
        source, destination = self.source_name(connection), self.destination_name(connection)
        return f"{connection.id} ({cell(source)} to {cell(destination)})"

    def json(self, connection: Connection) -> dict[str, Any]:
        """Return a connection for programs."""
        source, destination = self.source(connection), self.destination(connection)
        schedule = connection.schedule
        return {
            "id": connection.id,
            "source": {
                "id": connection.source_id,
                "name": source.name if source else None,
                "type": self.warehouse(connection),
            },
            "destination": {
                "id": connection.destination_id,
                "name": destination.name if destination else None,
                "type": destination.type if destination else None,
            },
            "enabled": connection.enabled,
            "schedule": schedule.without_unknown().model_dump() if schedule else None,
        }


def schedule_text(schedule: Schedule | None) -> str:
    """Return when RudderStack itself starts syncs."""
    if schedule is None:
        return "?"
    if schedule.every_minutes:
        return f"every {plural(schedule.every_minutes, 'minute')}"
    if schedule.cron_expression:
        return f"cron {schedule.cron_expression}"
    return schedule.type


def sync_json(sync: Sync) -> dict[str, Any]:
    """Return a sync for programs. Times are in UTC, and null means unknown."""
    return {
        "id": sync.id,
        "status": sync.status,
        "started_at": _moment(sync.started_at),
        "finished_at": _moment(sync.finished_at) if sync.is_over else None,
        "duration_seconds": sync.duration_seconds if sync.is_over else None,
        "rows_succeeded": sync.rows_succeeded,
        "rows_failed": sync.rows_failed,
        "rows_changed": sync.rows_changed,
        "rows_total": sync.rows_total,
        "error": sync.error,
    }


def _moment(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None

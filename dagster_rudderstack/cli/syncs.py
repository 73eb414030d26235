"""`syncs` and `stop`: the syncs of a connection, and the end of the one that is running."""

from __future__ import annotations

import argparse

from dagster_rudderstack.api.client import RudderStackClient
from dagster_rudderstack.api.models import Sync
from dagster_rudderstack.cli.access import Access
from dagster_rudderstack.cli.arguments import checked_connection
from dagster_rudderstack.cli.console import Console, moment_text, table
from dagster_rudderstack.cli.names import sync_json
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.sync.attempt import NEWEST_SYNCS
from dagster_rudderstack.sync.decisions import duration_text
from dagster_rudderstack.text import plural

__all__ = ["stop", "syncs"]

HEADS = (
    *("ID", "STATUS", "STARTED (UTC)", "DURATION"),
    *("DELIVERED", "REJECTED", "CHANGED", "TOTAL", "ERROR"),
)


def syncs(access: Access, options: argparse.Namespace, console: Console) -> int:
    """List the newest syncs of a connection."""
    connection_id = checked_connection(options.connection)
    if options.limit < 1:
        raise InvalidSettingError(f"--limit {options.limit}: expected a whole number from 1.")
    listed = access.ask(
        lambda client: client.list_syncs(connection_id, status=options.status, limit=options.limit)
    )
    if listed:
        for line in table(HEADS, [_row(sync) for sync in listed]):
            console.line(line)
    else:
        which = f" {options.status}" if options.status else ""
        console.line(f"Connection {connection_id} has no{which} sync.")
    console.document(
        {"connection_id": connection_id, "syncs": [sync_json(sync) for sync in listed]}
    )
    return 0


def _row(sync: Sync) -> tuple[str, ...]:
    took = sync.duration_seconds if sync.is_over else None
    counts = (sync.rows_succeeded, sync.rows_failed, sync.rows_changed, sync.rows_total)
    return (
        sync.id,
        sync.status,
        moment_text(sync.started_at),
        "?" if took is None else duration_text(took),
        *("?" if count is None else f"{count:,}" for count in counts),
        sync.error or "",
    )


def stop(access: Access, options: argparse.Namespace, console: Console) -> int:
    """Ask RudderStack to stop what is running. It does not wait until it has ended."""
    connection_id = checked_connection(options.connection)
    asked: list[str] = []

    def ask_to_stop(client: RudderStackClient) -> list[str]:
        listed = client.list_syncs(connection_id, limit=NEWEST_SYNCS)
        running = [sync.id for sync in listed if not sync.is_over]
        # A request whose answer was lost may have had an effect. It must not be sent again if
        # another sync has begun since.
        if running and (not asked or set(running) <= set(asked)):
            asked.extend(each for each in running if each not in asked)
            client.stop_sync(connection_id)
        return asked

    running = access.ask(ask_to_stop)
    if running:
        console.line(
            f"RudderStack was asked to stop {plural(len(running), 'sync')} of connection "
            f"{connection_id}: {', '.join(running)}. It still delivers the rows that are under way."
        )
    else:
        console.line(
            f"No sync of connection {connection_id} is running. One that was started some seconds "
            "ago may not be listed yet."
        )
    console.document({"connection_id": connection_id, "stop_requested": running})
    return 0

"""`failed-rows`: the SQL that lists the rows that the destination rejected in a sync."""

from __future__ import annotations

import argparse

from dagster_rudderstack.api.models import Connection, Source, Sync
from dagster_rudderstack.api.validation import checked_id
from dagster_rudderstack.cli.access import Access
from dagster_rudderstack.cli.arguments import PROGRAM, checked_connection
from dagster_rudderstack.cli.console import Console
from dagster_rudderstack.errors import NotFoundError, PermissionDeniedError, StatusError
from dagster_rudderstack.sync.failed_rows import SyncLog
from dagster_rudderstack.sync.failed_rows import failed_rows as failed_rows_of

__all__ = ["failed_rows"]


def failed_rows(access: Access, options: argparse.Namespace, console: Console) -> int:
    """Print the SQL to the output, and what to do with it to the errors. Return 1 without SQL."""
    connection_id = checked_connection(options.connection)
    sync_id = checked_id(options.sync, "SYNC")
    connection = access.ask(lambda client: client.get_connection(connection_id))
    sync = _sync(access, connection_id, sync_id, console)
    log = SyncLog.of(connection, _source(access, connection, console))
    sql, note = failed_rows_of(connection_id, sync_id, log)
    if sql is None:
        console.error(note)
    else:
        console.note(note)
        console.line(sql)
    console.document(
        {
            "connection_id": connection_id,
            "sync_id": sync_id,
            "rows_failed": sync.rows_failed if sync else None,
            "sql": sql,
            "note": note,
        }
    )
    return 0 if sql else 1


def _sync(access: Access, connection_id: str, sync_id: str, console: Console) -> Sync | None:
    """Return the sync. None if it cannot be read: its log may exist nevertheless.

    Raises:
        NotFoundError: If RudderStack does not know the sync.
    """
    ids = f"`{PROGRAM} syncs {connection_id}` lists the ids of the syncs."
    try:
        sync = access.ask(lambda client: client.get_sync(connection_id, sync_id))
    except NotFoundError as error:
        error.add_sentence(ids)
        raise
    except StatusError as error:
        console.warning(
            f"The sync cannot be read, so its id may be wrong, and the SQL may list nothing. {ids} "
            f"{error}"
        )
        return None
    if not sync.is_over:
        console.warning(f"Sync {sync_id} is still running, so its log is not complete.")
    elif sync.rows_failed == 0:
        console.warning(f"RudderStack counts no rejected row in sync {sync_id}.")
    return sync


def _source(access: Access, connection: Connection, console: Console) -> Source | None:
    """Return the source. None if the token may not read it: the SQL is then a general one."""
    try:
        return access.ask(lambda client: client.get_source(connection.source_id))
    except (NotFoundError, PermissionDeniedError) as error:
        console.warning(f"The kind of warehouse is not known, so the SQL is a general one. {error}")
        return None

"""The SQL that lists the rows of a sync that the destination rejected.

RudderStack writes a table `sync_log` into the warehouse of the source, and for some connections a
snapshot of the rows of each sync. Its pages "Sync Observability Settings" and "RudderStack Schema
Reference" describe them, and its library sqlconnect-go shows how it spells and quotes their names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from dagster_rudderstack.api.models import Connection, Source
from dagster_rudderstack.api.validation import checked_id
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.text import escaped_markdown, one_line

__all__ = [
    "WITHOUT_LOG",
    "FailedRows",
    "SyncLog",
    "failed_rows",
    "failed_rows_sql",
    "snapshot_key",
    "sql_in",
]


@dataclass(frozen=True)
class _Warehouse:
    """How a kind of warehouse spells the SQL.

    Attributes:
        schema: RudderStack's schema.
        quote: The character around names.
        escape: The character before a quote in a name.
        as_text: Converts a column to text.
        spelled: How RudderStack spells the names of its tables.
    """

    schema: str = "_rudderstack"
    quote: str = '"'
    escape: str = '"'
    as_text: str = "CAST({} AS VARCHAR)"
    spelled: Callable[[str], str] = str.lower

    def quoted(self, name: str) -> str:
        """Return a name in quotes."""
        if self.escape == "\\":
            name = name.replace("\\", "\\\\")
        return f"{self.quote}{name.replace(self.quote, self.escape + self.quote)}{self.quote}"

    def table(self, name: str) -> str:
        """Return a table of RudderStack's schema."""
        return f"{self.quoted(self.schema)}.{self.quoted(self.spelled(name))}"


# Names are quoted, since an id may have a hyphen. A quoted name must be spelled as RudderStack
# spelled it: in upper case for Snowflake, unchanged for ClickHouse, and in lower case elsewhere,
# also the ids in the names of snapshots. So most names also match a table that was created
# without quotes. The columns of the log are not quoted, and match in either case.
_WAREHOUSES = {
    "bigquery": _Warehouse("rudderstack_", "`", "\\", "CAST({} AS STRING)"),
    "clickhouse": _Warehouse(quote="`", escape="\\", as_text="toString({})", spelled=str),
    "databricks": _Warehouse(quote="`", escape="`", as_text="CAST({} AS STRING)"),
    "mysql": _Warehouse(quote="`", escape="`", as_text="CAST({} AS CHAR)"),
    "postgres": _Warehouse(),
    "redshift": _Warehouse(),
    "snowflake": _Warehouse("_RUDDERSTACK", spelled=str.upper),
    "trino": _Warehouse(),
}

WITHOUT_LOG = frozenset({"s3", "sftp"})
"""The kinds of sources that have no warehouse to write a log into."""


def snapshot_key(
    sync_behaviour: str | None, cursor_column: str | None, primary_key: object
) -> str | None:
    """Return the column that joins the log with the snapshots of a connection.

    Mirror syncs have snapshots, and upsert syncs without a cursor column. Returns None for others,
    and if the primary key of the source is unknown.
    """
    behaviour = (sync_behaviour or "").lower()
    has_snapshots = behaviour == "mirror" or (behaviour == "upsert" and not cursor_column)
    is_column = isinstance(primary_key, str) and bool(primary_key) and primary_key.isprintable()
    return str(primary_key) if has_snapshots and is_column else None


@dataclass(frozen=True)
class SyncLog:
    """Where the rejected rows of a connection's syncs are listed.

    Attributes:
        warehouse: The kind of warehouse, as RudderStack calls it (`snowflake`). None if unknown.
        snapshot_key: The column that joins the log with the snapshots. None if there are none.
        is_enabled: Whether RudderStack writes the log. It does by default.
    """

    warehouse: str | None = None
    snapshot_key: str | None = None
    is_enabled: bool = True

    @classmethod
    def of(cls, connection: Connection, source: Source | None) -> SyncLog:
        """Return the log of a connection.

        Args:
            connection: The connection.
            source: Its source. None if the access token may not read it.
        """
        logs = connection.sync_logs
        key = snapshot_key(
            connection.sync_behaviour,
            connection.cursor_column,
            source.config.get("primaryKey") if source else None,
        )
        return cls(
            warehouse=source.source_definition_name if source else None,
            snapshot_key=None if logs.snapshots_to_retain == 0 else key,
            is_enabled=logs.enabled,
        )


def failed_rows_sql(
    connection_id: str,
    sync_id: str,
    *,
    warehouse: str | None = None,
    snapshot_key: str | None = None,
) -> str:
    """Return the SQL that lists the rows of a sync that the destination rejected.

    Args:
        connection_id: The connection.
        sync_id: The sync.
        warehouse: The kind of warehouse, as RudderStack calls it (`snowflake`). With None, or one
            that the library does not know, the SQL uses no quotes and no snapshot.
        snapshot_key: The primary key of the source, if RudderStack keeps snapshots of the
            connection's syncs, see `snapshot_key`. None lists the rows without their columns.

    Raises:
        InvalidSettingError: If an id is invalid, or if such a source has no sync log. Valid ids
            have no character that a warehouse would have to escape.
    """
    connection, sync = checked_id(connection_id, "connection_id"), checked_id(sync_id, "sync_id")
    kind = warehouse.strip().lower() if warehouse else None
    if kind in WITHOUT_LOG:
        raise InvalidSettingError(f"RudderStack writes no sync log for sources on {warehouse}.")
    known = _WAREHOUSES.get(kind or "")
    lines = [f"-- The rows that the destination rejected in sync {sync}."]
    if kind is None:
        lines += [
            "-- In Snowflake the schema is _RUDDERSTACK, in BigQuery rudderstack_, in all others",
            "-- _rudderstack.",
        ]
    if known is None or snapshot_key is None:
        table = known.table("sync_log") if known else "_rudderstack.sync_log"
        lines += ["SELECT sl.primary_key, sl.operation, sl.error_reason", f"FROM {table} AS sl"]
    else:
        # As text, since the log holds the values of all primary keys as text.
        key = known.as_text.format(f"sn.{known.quoted(snapshot_key)}")
        lines += [
            "-- RudderStack keeps the snapshots of the last syncs only (5 by default). If this one",
            "-- is gone, leave out sn.* and the join.",
            "SELECT sl.primary_key, sl.operation, sl.error_reason, sn.*",
            f"FROM {known.table('sync_log')} AS sl",
            f"LEFT JOIN {known.table(f'snapshot_{connection}_{sync}')} AS sn",
            f"  ON {key} = sl.primary_key",
        ]
    lines += [
        f"WHERE sl.sync_run_id = '{sync}' AND sl.status = 'failed'",
        "ORDER BY sl.primary_key",
    ]
    return "\n".join(lines)


class FailedRows(NamedTuple):
    """How to list the rejected rows of a sync: the SQL, or None, and a note for people."""

    sql: str | None
    note: str

    @property
    def markdown(self) -> str:
        """The note, and the SQL as a code block."""
        note = escaped_markdown(self.note)
        if self.sql is None:
            return note
        fence = "```"
        while fence in self.sql:
            fence += "`"
        return f"{note}\n\n{fence}sql\n{self.sql}\n{fence}"


_CODE_BLOCK = re.compile(r"^(`{3,})sql\n(.+)\n\1$", re.MULTILINE | re.DOTALL)


def sql_in(markdown: str) -> str | None:
    """Return the SQL in the Markdown of `FailedRows`. None if it has none."""
    found = _CODE_BLOCK.search(markdown)
    return found[2] if found else None


def failed_rows(connection_id: str, sync_id: str, log: SyncLog) -> FailedRows:
    """Return how to list the rejected rows of a sync, or why they cannot be listed."""
    if not log.is_enabled:
        return FailedRows(
            None,
            "The rejected rows cannot be listed, since the connection writes no sync logs. To list "
            'those of later syncs, turn on "Retain sync logs" in the Settings tab of the '
            "connection in RudderStack's dashboard.",
        )
    try:
        sql = failed_rows_sql(
            connection_id, sync_id, warehouse=log.warehouse, snapshot_key=log.snapshot_key
        )
    except InvalidSettingError as error:
        return FailedRows(
            None, f"{error} Look at the rejected rows of the sync in RudderStack's dashboard."
        )
    where = one_line(log.warehouse, 50) if log.warehouse else "the warehouse of the source"
    return FailedRows(sql, f"Run this SQL in {where} to list the rejected rows.")

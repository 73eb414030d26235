"""The SQL for rejected rows: how each warehouse spells it, and when there is none."""

import pytest
import sqlglot
from sqlglot import exp

from dagster_rudderstack import InvalidSettingError
from dagster_rudderstack.api.models import Connection, Source
from dagster_rudderstack.sync.failed_rows import (
    FailedRows,
    SyncLog,
    failed_rows,
    failed_rows_sql,
    snapshot_key,
    sql_in,
)

CONNECTION, SYNC = "2hkeBOp0", "9mEzx-1"


@pytest.mark.parametrize(
    ("warehouse", "log", "snapshot", "key"),
    [
        (
            "snowflake",
            '"_RUDDERSTACK"."SYNC_LOG"',
            '"_RUDDERSTACK"."SNAPSHOT_2HKEBOP0_9MEZX-1"',
            'CAST(sn."Id" AS VARCHAR)',
        ),
        (
            "bigquery",
            "`rudderstack_`.`sync_log`",
            "`rudderstack_`.`snapshot_2hkebop0_9mezx-1`",
            "CAST(sn.`Id` AS STRING)",
        ),
        (
            "postgres",
            '"_rudderstack"."sync_log"',
            '"_rudderstack"."snapshot_2hkebop0_9mezx-1"',
            'CAST(sn."Id" AS VARCHAR)',
        ),
        (
            "redshift",
            '"_rudderstack"."sync_log"',
            '"_rudderstack"."snapshot_2hkebop0_9mezx-1"',
            'CAST(sn."Id" AS VARCHAR)',
        ),
        (
            "trino",
            '"_rudderstack"."sync_log"',
            '"_rudderstack"."snapshot_2hkebop0_9mezx-1"',
            'CAST(sn."Id" AS VARCHAR)',
        ),
        (
            "databricks",
            "`_rudderstack`.`sync_log`",
            "`_rudderstack`.`snapshot_2hkebop0_9mezx-1`",
            "CAST(sn.`Id` AS STRING)",
        ),
        (
            "mysql",
            "`_rudderstack`.`sync_log`",
            "`_rudderstack`.`snapshot_2hkebop0_9mezx-1`",
            "CAST(sn.`Id` AS CHAR)",
        ),
        (
            "clickhouse",
            "`_rudderstack`.`sync_log`",
            "`_rudderstack`.`snapshot_2hkeBOp0_9mEzx-1`",
            "toString(sn.`Id`)",
        ),
    ],
)
def test_sql(warehouse: str, log: str, snapshot: str, key: str) -> None:
    """The SQL has the schema, the quotes, the case and the text type of its warehouse."""
    select = "SELECT sl.primary_key, sl.operation, sl.error_reason"
    where = (
        f"WHERE sl.sync_run_id = '{SYNC}' AND sl.status = 'failed'",
        "ORDER BY sl.primary_key",
    )

    sql = failed_rows_sql(CONNECTION, SYNC, warehouse=warehouse)
    with_rows = failed_rows_sql(CONNECTION, SYNC, warehouse=warehouse, snapshot_key="Id")

    assert statement_of(sql) == [select, f"FROM {log} AS sl", *where]
    assert statement_of(with_rows) == [
        f"{select}, sn.*",
        f"FROM {log} AS sl",
        f"LEFT JOIN {snapshot} AS sn",
        f"  ON {key} = sl.primary_key",
        *where,
    ]
    assert "If this one\n-- is gone" in with_rows


@pytest.mark.parametrize("warehouse", [None, "", "duckdb"])
@pytest.mark.parametrize("snapshot_key", [None, "id"])
def test_sql__unknown_warehouse(warehouse: str | None, snapshot_key: str | None) -> None:
    """For an unknown warehouse the SQL is as general as it can be. It names the schemas."""
    sql = failed_rows_sql(CONNECTION, SYNC, warehouse=warehouse, snapshot_key=snapshot_key)

    assert statement_of(sql) == [
        "SELECT sl.primary_key, sl.operation, sl.error_reason",
        "FROM _rudderstack.sync_log AS sl",
        f"WHERE sl.sync_run_id = '{SYNC}' AND sl.status = 'failed'",
        "ORDER BY sl.primary_key",
    ]
    assert ("In Snowflake the schema is _RUDDERSTACK, in BigQuery rudderstack_" in sql) == (
        not warehouse
    )


def statement_of(sql: str) -> list[str]:
    """Return the lines that are not comments."""
    return [line for line in sql.splitlines() if not line.startswith("--")]


@pytest.mark.parametrize("warehouse", ["s3", "sftp", "SFTP"])
def test_files(warehouse: str) -> None:
    """Sources that are files have no sync log, and the note says so."""
    with pytest.raises(InvalidSettingError, match="no sync log for sources on"):
        failed_rows_sql(CONNECTION, SYNC, warehouse=warehouse)

    assert failed_rows(CONNECTION, SYNC, SyncLog(warehouse)) == FailedRows(
        None,
        f"RudderStack writes no sync log for sources on {warehouse}. Look at the rejected rows of "
        "the sync in RudderStack's dashboard.",
    )


@pytest.mark.parametrize("hostile", ["x' OR 1=1 --", "x\\", "x\nDROP TABLE y", "", 'x"', "x`"])
def test_hostile_id(hostile: str) -> None:
    """An id with a character that no id has never gets into the SQL."""
    for ids in ((hostile, SYNC), (CONNECTION, hostile)):
        with pytest.raises(InvalidSettingError):
            failed_rows_sql(*ids)
        assert failed_rows(*ids, SyncLog("snowflake")).sql is None


@pytest.mark.parametrize(
    ("warehouse", "column", "quoted"),
    [
        ("postgres", 'a"b', '"a""b"'),
        ("snowflake", "a\\", '"a\\"'),
        ("databricks", "a`b", "`a``b`"),
        ("mysql", "a\\`b", "`a\\``b`"),
        ("bigquery", "a\\`b", "`a\\\\\\`b`"),
        ("clickhouse", "a`b", "`a\\`b`"),
    ],
)
def test_hostile_column(warehouse: str, column: str, quoted: str) -> None:
    """A quote in the name of the primary key does not end the name."""
    sql = failed_rows_sql(CONNECTION, SYNC, warehouse=warehouse, snapshot_key=column)

    assert f"sn.{quoted}" in sql


@pytest.mark.parametrize(
    ("warehouse", "schema", "snapshot"),
    [
        ("bigquery", "rudderstack_", "snapshot_2hkebop0_9mezx-1"),
        ("clickhouse", "_rudderstack", "snapshot_2hkeBOp0_9mEzx-1"),
        ("databricks", "_rudderstack", "snapshot_2hkebop0_9mezx-1"),
        ("mysql", "_rudderstack", "snapshot_2hkebop0_9mezx-1"),
        ("postgres", "_rudderstack", "snapshot_2hkebop0_9mezx-1"),
        ("redshift", "_rudderstack", "snapshot_2hkebop0_9mezx-1"),
        ("snowflake", "_RUDDERSTACK", "SNAPSHOT_2HKEBOP0_9MEZX-1"),
        ("trino", "_rudderstack", "snapshot_2hkebop0_9mezx-1"),
    ],
)
def test_sql__parsed(warehouse: str, schema: str, snapshot: str) -> None:
    """A parser of each warehouse's SQL reads the tables and columns that are meant."""
    sql = failed_rows_sql(CONNECTION, SYNC, warehouse=warehouse, snapshot_key="Customer Id")

    query = sqlglot.parse_one(sql, read=warehouse)

    log = "SYNC_LOG" if warehouse == "snowflake" else "sync_log"
    assert [(table.db, table.name, table.alias) for table in query.find_all(exp.Table)] == [
        (schema, log, "sl"),
        (schema, snapshot, "sn"),
    ]
    assert "Customer Id" in {column.name for column in query.find_all(exp.Column)}
    assert [literal.this for literal in query.find_all(exp.Literal)] == [SYNC, "failed"]


@pytest.mark.parametrize(
    ("behaviour", "cursor", "primary_key", "key"),
    [
        ("mirror", None, "id", "id"),
        ("mirror", "updated_at", "id", "id"),
        ("upsert", None, "id", "id"),
        ("Upsert", "", "id", "id"),
        ("upsert", "updated_at", "id", None),
        ("full", None, "id", None),
        (None, None, "id", None),
        ("mirror", None, None, None),
        ("mirror", None, "", None),
        ("mirror", None, ["a", "b"], None),
        ("mirror", None, "a\nb", None),
    ],
)
def test_snapshot_key(
    behaviour: str | None, cursor: str | None, primary_key: object, key: str | None
) -> None:
    """Mirror syncs have snapshots, and upsert syncs without a cursor column."""
    assert snapshot_key(behaviour, cursor, primary_key) == key


def a_connection(**fields: object) -> Connection:
    return Connection.model_validate(
        {"id": "c", "sourceId": "s", "destinationId": "d", "syncBehaviour": "mirror", **fields}
    )


SOURCE = Source.model_validate(
    {
        "id": "s",
        "name": "s",
        "sourceType": "table",
        "sourceDefinitionName": "trino",
        "config": {"primaryKey": "id"},
    }
)


def test_sync_log() -> None:
    """The log of a connection follows from its settings and its source."""
    no_snapshots = {"syncLogsConfig": {"snapshotsToRetain": 0}}
    off = {"syncLogsConfig": {"enabled": False}}

    assert SyncLog.of(a_connection(), SOURCE) == SyncLog("trino", "id")
    assert SyncLog.of(a_connection(), None) == SyncLog()
    assert SyncLog.of(a_connection(syncSettings=no_snapshots), SOURCE) == SyncLog("trino")
    assert SyncLog.of(a_connection(syncSettings=off), None) == SyncLog(is_enabled=False)


def test_logs_switched_off() -> None:
    """Without a log the note says how to switch it on, in the words of the dashboard."""
    found = failed_rows(CONNECTION, SYNC, SyncLog("snowflake", "id", is_enabled=False))

    assert found.sql is None
    assert 'turn on "Retain sync logs" in the Settings tab of the connection' in found.note
    assert found.markdown == found.note


def test_markdown() -> None:
    """The Markdown has the note, and the SQL as a block that the SQL cannot end."""
    found = failed_rows(CONNECTION, SYNC, SyncLog("mysql", "a```b"))

    assert found.markdown.startswith("Run this SQL in mysql to list the rejected rows.\n\n```")
    first, *lines, last = found.markdown.splitlines()[2:]
    assert (first, last) == ("```````sql", "```````")
    assert "\n".join(lines) == found.sql == sql_in(found.markdown)
    assert sql_in("No ```sql here```.") is None


def test_markdown__unknown_warehouse() -> None:
    """The note does not name a warehouse that is unknown."""
    found = failed_rows(CONNECTION, SYNC, SyncLog())

    assert found.note == ("Run this SQL in the warehouse of the source to list the rejected rows.")


def test_markdown__hostile_warehouse() -> None:
    """What a server calls a warehouse stays on one line, and out of the SQL."""
    found = failed_rows(CONNECTION, SYNC, SyncLog("mssql\n```\n" + 100 * "x"))

    assert found.note.startswith("Run this SQL in mssql ``` xxx")
    assert "\n" not in found.note
    assert "mssql" not in (found.sql or "")


def test_markdown__image() -> None:
    """A warehouse whose name is an image is no image in the Markdown. The note is plain text."""
    found = failed_rows(CONNECTION, SYNC, SyncLog("![x](https://a.b/c.png)"))

    assert "Run this SQL in ![x](https://a.b/c.png) to" in found.note
    assert r"Run this SQL in !\[x](https\://a.b/c.png) to" in found.markdown
    assert sql_in(found.markdown) == found.sql

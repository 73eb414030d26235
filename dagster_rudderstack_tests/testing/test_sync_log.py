"""Syncs with a table write their logs and snapshots into the warehouse, as RudderStack does."""

import logging
import subprocess
import sys
import threading
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dagster_rudderstack.sync.failed_rows import failed_rows_sql
from dagster_rudderstack.testing import SimulatedSync
from dagster_rudderstack.testing.rows import sync_log, transfer
from dagster_rudderstack_tests.testing.table_setup import TableSetup, counts

INVALID = 'The field "email" has an invalid value'
DAY = 24 * 3600


def failed_rows(setup: TableSetup, sync: SimulatedSync, **settings: str) -> list[Any]:
    """Run the library's SQL for rejected rows."""
    return setup.sql(failed_rows_sql("crm", sync.id, warehouse="postgres", **settings))


def logged(setup: TableSetup, sync: SimulatedSync) -> list[Any]:
    """Return how often a sync has logged each operation, with each status."""
    return setup.sql(
        "SELECT operation, status, count(*) FROM _rudderstack.sync_log"
        f" WHERE sync_run_id = '{sync.id}' GROUP BY ALL ORDER BY ALL"
    )


def utc(seconds: float | None) -> datetime:
    assert seconds is not None
    return datetime.fromtimestamp(seconds, timezone.utc).replace(tzinfo=None)


def tables(setup: TableSetup) -> list[str]:
    """Return the tables in RudderStack's schema."""
    return [
        name
        for (name,) in setup.sql(
            "SELECT table_name FROM duckdb_tables() WHERE schema_name = '_rudderstack' ORDER BY 1"
        )
    ]


def settings_of_logs(**config: object) -> dict[str, Any]:
    return {"syncLogsConfig": config}


def test_rejected_rows(setup: TableSetup) -> None:
    """The library's SQL, unchanged, lists the rejected rows with their reasons and columns."""
    setup.connect(setup.table())

    sync = setup.sync()

    assert failed_rows(setup, sync) == [
        (str(id_), "insert", INVALID) for id_ in sorted(range(10, 101, 10), key=str)
    ]
    assert failed_rows(setup, sync, snapshot_key="customer_id")[0] == (
        *("10", "insert", INVALID),
        *(10, "Name 10", "broken", "insert"),
    )


def test_log(duckdb_setup: TableSetup) -> None:
    """The log has the documented columns, and one row for each row that was sent."""
    duckdb_setup.connect(duckdb_setup.table())
    duckdb_setup.clock.advance(1)
    sync = duckdb_setup.sync()

    columns = duckdb_setup.sql("SELECT column_name FROM (DESCRIBE _rudderstack.sync_log)")
    (row,) = duckdb_setup.sql("FROM _rudderstack.sync_log WHERE primary_key = '10'")

    assert [name for (name,) in columns] == [
        *("connection_id", "sync_run_id", "primary_key", "operation", "status", "error_reason"),
        *("sync_started_at", "sync_finished_at"),
    ]
    assert row[:6] == ("crm", sync.id, "10", "insert", "failed", INVALID)
    assert row[6:] == (utc(sync.started_at), utc(sync.finished_at))
    assert logged(duckdb_setup, sync) == [("insert", "failed", 10), ("insert", "succeeded", 90)]


def test_operations(duckdb_setup: TableSetup) -> None:
    """The log has the operation on each row. The snapshot also has the unchanged rows."""
    duckdb_setup.connect(duckdb_setup.table(), sync_behaviour="mirror")
    duckdb_setup.sync()
    duckdb_setup.sql(
        "UPDATE analytics.customers SET name = 'New' WHERE customer_id IN (1, 2);"
        "DELETE FROM analytics.customers WHERE customer_id <= 5 AND customer_id >= 3;"
        "INSERT INTO analytics.customers VALUES (200, 'Late', 'late@example.com')"
    )

    sync = duckdb_setup.sync()
    full = duckdb_setup.sync("full")

    assert logged(duckdb_setup, sync) == [
        ("delete", "succeeded", 3),
        ("insert", "failed", 10),
        ("insert", "succeeded", 1),
        ("update", "succeeded", 2),
    ]
    assert duckdb_setup.sql(
        "SELECT rudder_operation_type, count(*) FROM"
        f" _rudderstack.snapshot_crm_{sync.id} GROUP BY ALL ORDER BY ALL"
    ) == [("insert", 11), ("unchanged", 85), ("update", 2)]
    assert logged(duckdb_setup, full) == [("insert", "failed", 10), ("update", "succeeded", 88)]


def test_reasons(duckdb_setup: TableSetup) -> None:
    """Each rule of the destination has its own reason. A row without a key has no snapshot."""
    duckdb_setup.sql(
        "DELETE FROM analytics.customers WHERE customer_id > 3;"
        "UPDATE analytics.customers SET name = ' ' WHERE customer_id = 1;"
        "UPDATE analytics.customers SET email = '?' WHERE customer_id = 2;"
        "INSERT INTO analytics.customers VALUES (NULL, 'Unknown', 'n@example.com')"
    )
    duckdb_setup.connect(duckdb_setup.table(required=("name",)))

    sync = duckdb_setup.sync()

    assert failed_rows(duckdb_setup, sync, snapshot_key="customer_id") == [
        ("1", "insert", 'The field "name" is required', 1, " ", "c1@example.com", "insert"),
        ("2", "insert", INVALID, 2, "Name 2", "?", "insert"),
        (None, "insert", "The primary key is null", None, None, None, None),
    ]


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("VARCHAR", 'it\'s "7"'),
        ("BOOLEAN", True),
        ("HUGEINT", 2**100),
        ("DECIMAL(10,2)", "7.50"),
        ("DATE", "2026-01-02"),
        ("TIMESTAMP", "2026-01-02 03:04:05"),
        ("UUID", "9b2d2c36-1c61-4a3f-8a36-0b5a2f5d8a11"),
    ],
)
def test_types_of_keys(duckdb_setup: TableSetup, kind: str, key: object) -> None:
    """The log joins with the snapshot for keys of different types."""
    with closing(duckdb.connect(str(duckdb_setup.warehouse))) as connection:
        connection.execute(f"CREATE TABLE keys (key {kind}, email VARCHAR, tags VARCHAR[])")
        connection.execute("INSERT INTO keys VALUES (?, 'broken', ['a', 'b'])", [str(key)])
    duckdb_setup.connect(duckdb_setup.table(table="keys", primary_key="key"))

    sync = duckdb_setup.sync()

    (row,) = failed_rows(duckdb_setup, sync, snapshot_key="key")
    assert row[4:] == ("broken", ["a", "b"], "insert")


@pytest.mark.parametrize(
    ("settings", "has_snapshot"),
    [
        ({"sync_behaviour": "mirror"}, True),
        ({"sync_behaviour": "mirror", "cursorColumn": "name"}, True),
        ({"sync_behaviour": "upsert"}, True),
        ({"sync_behaviour": "upsert", "cursorColumn": "name"}, False),
        ({"sync_behaviour": "full"}, False),
        ({"syncSettings": settings_of_logs(snapshotsToRetain=0)}, False),
    ],
)
def test_snapshots(duckdb_setup: TableSetup, settings: dict[str, Any], has_snapshot: bool) -> None:
    """Mirror syncs have snapshots, and upsert syncs without a cursor column."""
    duckdb_setup.connect(duckdb_setup.table(), **settings)

    sync = duckdb_setup.sync()

    snapshot = [f"snapshot_crm_{sync.id}".lower()] if has_snapshot else []
    assert tables(duckdb_setup) == [*snapshot, "sync_log"]
    assert len(failed_rows(duckdb_setup, sync)) == 10


def test_switched_off(duckdb_setup: TableSetup) -> None:
    """A connection whose logs are switched off writes nothing into the warehouse."""
    settings = settings_of_logs(enabled=False)
    duckdb_setup.connect(duckdb_setup.table(), syncSettings=settings)

    assert counts(duckdb_setup.sync()) == (100, 100, 90, 10)
    assert tables(duckdb_setup) == []


def test_retention(duckdb_setup: TableSetup) -> None:
    """Each connection keeps its last snapshots, and the log of some days."""
    settings = settings_of_logs(snapshotsToRetain=2, logRetentionInDays=3)
    duckdb_setup.server.add_connection("crm_2", table=duckdb_setup.table())
    duckdb_setup.server.start_sync("crm_2")
    duckdb_setup.server._simulator.workers._works[0].join()
    (other,) = duckdb_setup.server.syncs("crm_2")
    duckdb_setup.connect(duckdb_setup.table(), syncSettings=settings)
    syncs = []
    for _ in range(4):
        duckdb_setup.clock.advance(DAY)
        syncs.append(duckdb_setup.sync())
    duckdb_setup.clock.advance(DAY)

    syncs.append(duckdb_setup.sync())

    kept = {f"snapshot_crm_{sync.id}".lower() for sync in syncs[-2:]}
    assert set(tables(duckdb_setup)) == {"sync_log", f"snapshot_crm_2_{other.id}".lower(), *kept}
    days = [bool(failed_rows(duckdb_setup, sync)) for sync in syncs]
    assert days == [False, True, True, True, True]


def test_stopped(duckdb_setup: TableSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sync that is stopped logs the rows that it has sent."""
    monkeypatch.setattr(transfer, "_ROWS_PER_BATCH", 10)
    go, written = threading.Event(), threading.Event()
    write_batch = transfer._write_batch

    def write_and_wait(*arguments: Any) -> None:
        write_batch(*arguments)
        written.set()
        go.wait(10)

    monkeypatch.setattr(transfer, "_write_batch", write_and_wait)
    duckdb_setup.connect(duckdb_setup.table())
    duckdb_setup.server.start_sync("crm")
    written.wait(10)
    duckdb_setup.server._workspace.stop("crm")
    go.set()

    sync = duckdb_setup.wait()

    assert logged(duckdb_setup, sync) == [("insert", "failed", 1), ("insert", "succeeded", 9)]


def test_locked(
    duckdb_setup: TableSetup, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If another process keeps the warehouse open, the sync ends without its log."""
    monkeypatch.setattr(sync_log, "LOCK_TIMEOUT_SECONDS", 0.1)
    duckdb_setup.connect(duckdb_setup.table())
    reader = (
        "import duckdb, sys\n"
        "held = duckdb.connect(sys.argv[1], read_only=True)\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", reader, str(duckdb_setup.warehouse)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with caplog.at_level(logging.WARNING):
            sync = duckdb_setup.sync()
        process.communicate("")

    assert counts(sync) == (100, 100, 90, 10)
    assert tables(duckdb_setup) == []
    (message,) = caplog.messages
    assert message.startswith(f"The sync log of sync {sync.id} could not be written: ")
    assert "lock" in message


def test_no_warehouse(duckdb_setup: TableSetup, tmp_path: Path) -> None:
    """A sync that cannot read its warehouse does not create one for its log."""
    duckdb_setup.connect(duckdb_setup.table(warehouse=tmp_path / "missing.duckdb"))

    assert duckdb_setup.sync().status == "failed"
    assert not (tmp_path / "missing.duckdb").exists()


def test_warehouse_is_destination(duckdb_setup: TableSetup) -> None:
    """The log is written too if the warehouse is the destination."""
    duckdb_setup.connect(duckdb_setup.table(destination=duckdb_setup.warehouse))

    assert len(failed_rows(duckdb_setup, duckdb_setup.sync())) == 10

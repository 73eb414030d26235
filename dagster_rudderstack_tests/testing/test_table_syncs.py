"""Connections with a table move real rows, and their metrics are the real counts."""

import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dagster_rudderstack.testing import (
    LocalRudderStack,
    ManualClock,
    SimulatedSync,
    SyncScript,
    TableSync,
)
from dagster_rudderstack.testing.rows import duckdb_files, transfer

CUSTOMERS = """
CREATE SCHEMA analytics;
CREATE TABLE analytics.customers AS
SELECT id AS customer_id, 'Name ' || id AS name,
    CASE WHEN id % 10 = 0 THEN 'broken' ELSE 'c' || id || '@example.com' END AS email
FROM range(1, 101) AS ids(id);
"""
EMAIL = {"email": r"[^@\s]+@[^@\s]+"}
TIMEOUT_SECONDS = 120.0


class TableSetup:
    """A warehouse, a destination, and a server with the connection `crm` between them."""

    def __init__(self, folder: Path, suffix: str) -> None:
        self.warehouse = folder / "warehouse.duckdb"
        self.destination = folder / f"destination{suffix}"
        self.clock = ManualClock()
        self.server = LocalRudderStack(clock=self.clock)

    def table(self, **settings: Any) -> TableSync:
        """Return the table of the connection, with changed settings."""
        return TableSync(
            **{
                "warehouse": self.warehouse,
                "table": "analytics.customers",
                "primary_key": "customer_id",
                "destination": self.destination,
                "destination_table": "contacts",
                "patterns": EMAIL,
                **settings,
            }
        )

    def connect(self, table: TableSync, **settings: Any) -> None:
        """Add the connection."""
        self.server.add_connection("crm", table=table, **settings)

    def sql(self, statements: str) -> list[Any]:
        """Run SQL in the warehouse."""
        with closing(duckdb.connect(str(self.warehouse))) as connection:
            return connection.execute(statements).fetchall()

    def delivered(self, query: str = "SELECT * FROM contacts ORDER BY 1") -> list[Any]:
        """Query the destination."""
        if self.destination.suffix == ".duckdb":
            with closing(duckdb.connect(str(self.destination), read_only=True)) as connection:
                return connection.execute(query).fetchall()
        with closing(sqlite3.connect(self.destination)) as lite:
            return lite.execute(query).fetchall()

    def sync(self, sync_type: Any = "incremental") -> SimulatedSync:
        """Run one sync to its end and return it."""
        self.server.start_sync("crm", sync_type=sync_type)
        return self.wait()

    def wait(self) -> SimulatedSync:
        """Wait for the end of the newest sync."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while self.server.syncs("crm")[-1].running:
            assert time.monotonic() < deadline, "the sync has not ended"
            time.sleep(0.002)
        return self.server.syncs("crm")[-1]


def counts(sync: SimulatedSync) -> tuple[int | None, ...]:
    assert sync.error is None
    return (sync.rows_total, sync.rows_changed, sync.rows_succeeded, sync.rows_failed)


@pytest.fixture(params=[".duckdb", ".sqlite"])
def setup(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[TableSetup]:
    setup = TableSetup(tmp_path, request.param)
    setup.sql(CUSTOMERS)
    yield setup
    setup.server.close()


@pytest.fixture
def duckdb_setup(tmp_path: Path) -> Iterator[TableSetup]:
    setup = TableSetup(tmp_path, ".duckdb")
    setup.sql(CUSTOMERS)
    yield setup
    setup.server.close()


def test_first_sync(setup: TableSetup) -> None:
    """The first sync delivers all valid rows."""
    setup.connect(setup.table())

    sync = setup.sync()

    assert sync.status == "succeeded"
    assert counts(sync) == (100, 100, 90, 10)
    valid = setup.sql("FROM analytics.customers WHERE email <> 'broken' ORDER BY 1")
    assert setup.delivered() == valid


def test_nothing_changed(setup: TableSetup) -> None:
    """If nothing has changed, only rejected rows are tried again."""
    setup.connect(setup.table())
    setup.sync()

    assert counts(setup.sync()) == (100, 10, 0, 10)


def test_changed_rows(setup: TableSetup) -> None:
    """A changed row, a new row and a fixed row are delivered; the others do not change."""
    setup.connect(setup.table())
    setup.sync()
    setup.sql(
        "UPDATE analytics.customers SET name = 'New' WHERE customer_id = 1;"
        "UPDATE analytics.customers SET email = 'ten@example.com' WHERE customer_id = 10;"
        "INSERT INTO analytics.customers VALUES (200, 'Late', 'late@example.com')"
    )

    assert counts(setup.sync()) == (101, 12, 3, 9)
    by_id = {row[0]: row for row in setup.delivered()}
    assert len(by_id) == 92
    assert by_id[1] == (1, "New", "c1@example.com")
    assert by_id[10] == (10, "Name 10", "ten@example.com")
    assert by_id[200] == (200, "Late", "late@example.com")


def test_full(setup: TableSetup) -> None:
    """A full sync delivers all rows again, without duplicates."""
    setup.connect(setup.table())
    setup.sync()

    assert counts(setup.sync("full")) == (100, 100, 90, 10)
    assert len(setup.delivered()) == 90


def test_full__as_the_behaviour(duckdb_setup: TableSetup) -> None:
    """With the sync behaviour `full`, each sync delivers all rows."""
    duckdb_setup.connect(duckdb_setup.table(), sync_behaviour="full")
    duckdb_setup.sync()

    assert counts(duckdb_setup.sync()) == (100, 100, 90, 10)


def test_vanished_rows__upsert(setup: TableSetup) -> None:
    """Rows that vanish from the warehouse stay in the destination."""
    setup.connect(setup.table())
    setup.sync()
    setup.sql("DELETE FROM analytics.customers WHERE customer_id <= 5")

    assert counts(setup.sync()) == (95, 10, 0, 10)
    assert len(setup.delivered()) == 90


def test_vanished_rows__mirror(setup: TableSetup) -> None:
    """In a mirror, rows that vanish from the warehouse are deleted in the destination."""
    setup.connect(setup.table(), sync_behaviour="mirror")
    setup.sync()
    setup.sql("DELETE FROM analytics.customers WHERE customer_id <= 5")

    assert counts(setup.sync()) == (95, 10, 0, 10)
    assert [row[0] for row in setup.delivered()][:2] == [6, 7]
    setup.sql("INSERT INTO analytics.customers VALUES (1, 'Back', 'back@example.com')")
    assert counts(setup.sync()) == (96, 11, 1, 10)


def test_rejected_later(duckdb_setup: TableSetup) -> None:
    """A row that becomes invalid keeps its last valid values in the destination."""
    duckdb_setup.connect(duckdb_setup.table())
    duckdb_setup.sync()
    duckdb_setup.sql("UPDATE analytics.customers SET email = 'gone' WHERE customer_id = 1")

    assert counts(duckdb_setup.sync()) == (100, 11, 0, 11)
    assert duckdb_setup.delivered()[0] == (1, "Name 1", "c1@example.com")


def test_state_is_in_the_destination(duckdb_setup: TableSetup, tmp_path: Path) -> None:
    """A new server on the same files continues where the old one ended."""
    duckdb_setup.connect(duckdb_setup.table())
    duckdb_setup.sync()

    later = TableSetup(tmp_path, ".duckdb")
    later.connect(later.table())

    assert counts(later.sync()) == (100, 10, 0, 10)


def test_two_connections_of_one_destination(duckdb_setup: TableSetup) -> None:
    """Two connections can share a destination file, each with its own state."""
    duckdb_setup.connect(duckdb_setup.table())
    duckdb_setup.server.add_connection(
        "ads", table=duckdb_setup.table(destination_table="audience")
    )
    duckdb_setup.server.start_sync("ads")

    assert counts(duckdb_setup.sync()) == (100, 100, 90, 10)
    while duckdb_setup.server.syncs("ads")[0].running:
        time.sleep(0.002)
    assert counts(duckdb_setup.server.syncs("ads")[0]) == (100, 100, 90, 10)
    assert len(duckdb_setup.delivered("SELECT * FROM audience")) == 90


def test_warehouse_is_destination(duckdb_setup: TableSetup) -> None:
    """The warehouse and the destination can be the same file."""
    duckdb_setup.connect(duckdb_setup.table(destination=duckdb_setup.warehouse))

    assert counts(duckdb_setup.sync()) == (100, 100, 90, 10)
    assert duckdb_setup.sql("SELECT count(*) FROM contacts") == [(90,)]


def test_mappings(setup: TableSetup) -> None:
    """Mappings name the fields of the destination. Other columns are not delivered."""
    mappings = {"email": "Email", "customer_id": "ExternalId"}
    setup.connect(setup.table(mappings=mappings, patterns={"Email": EMAIL["email"]}))
    setup.sync()

    assert setup.delivered('SELECT "ExternalId", "Email" FROM contacts ORDER BY 1')[0] == (
        1,
        "c1@example.com",
    )
    assert len(setup.delivered()[0]) == 2


def test_mappings__without_the_key(duckdb_setup: TableSetup) -> None:
    """The primary key is delivered even if no mapping has it."""
    duckdb_setup.connect(duckdb_setup.table(mappings={"email": "email"}))
    duckdb_setup.sync()

    assert duckdb_setup.delivered("SELECT customer_id, email FROM contacts ORDER BY 1")[0][0] == 1


def test_mappings__changed(setup: TableSetup) -> None:
    """After a change of the mappings, all rows are delivered again, with the new field."""
    setup.connect(setup.table(mappings={"email": "email"}))
    setup.sync()
    setup.connect(setup.table(mappings={"email": "email", "name": "full_name"}))

    assert counts(setup.sync()) == (100, 100, 90, 10)
    assert setup.delivered("SELECT full_name FROM contacts ORDER BY 1")[0] == ("Name 1",)


def test_required(duckdb_setup: TableSetup) -> None:
    """A required field rejects null and blank values. A pattern accepts null."""
    duckdb_setup.sql(
        "UPDATE analytics.customers SET name = NULL WHERE customer_id = 1;"
        "UPDATE analytics.customers SET name = '  ' WHERE customer_id = 2;"
        "UPDATE analytics.customers SET email = NULL WHERE customer_id = 3"
    )
    duckdb_setup.connect(duckdb_setup.table(required=("name",)))

    assert counts(duckdb_setup.sync()) == (100, 100, 88, 12)
    assert duckdb_setup.delivered()[0] == (3, "Name 3", None)


def test_null_key(duckdb_setup: TableSetup) -> None:
    """A row without a key is rejected by each sync."""
    duckdb_setup.sql("INSERT INTO analytics.customers VALUES (NULL, 'Unknown', 'n@example.com')")
    duckdb_setup.connect(duckdb_setup.table())

    assert counts(duckdb_setup.sync()) == (101, 101, 90, 11)
    assert counts(duckdb_setup.sync()) == (101, 11, 0, 11)


def test_duplicate_keys(duckdb_setup: TableSetup) -> None:
    """Of rows with the same key, the last one is delivered."""
    duckdb_setup.connect(
        duckdb_setup.table(
            table=None,
            sql="SELECT 1 AS customer_id, 'a' || n || '@b' AS email FROM range(3) AS t(n)",
        )
    )

    assert counts(duckdb_setup.sync()) == (3, 1, 1, 0)
    assert duckdb_setup.delivered() == [(1, "a2@b")]


def test_sql(duckdb_setup: TableSetup) -> None:
    """The source can be a query."""
    query = "SELECT customer_id, email FROM analytics.customers WHERE customer_id < 10;"
    duckdb_setup.connect(duckdb_setup.table(table=None, sql=query))

    assert counts(duckdb_setup.sync()) == (9, 9, 9, 0)


def test_file_named_like_the_schema(tmp_path: Path) -> None:
    """The warehouse and its schema can have the same name, which DuckDB finds ambiguous."""
    setup = TableSetup(tmp_path, ".duckdb")
    setup.warehouse = tmp_path / "analytics.duckdb"
    with closing(duckdb.connect(str(setup.warehouse))) as connection:
        connection.execute(CUSTOMERS.replace("analytics", "analytics.analytics"))
    setup.connect(setup.table())

    assert counts(setup.sync()) == (100, 100, 90, 10)


def test_empty_table(duckdb_setup: TableSetup) -> None:
    """A sync without rows succeeds."""
    duckdb_setup.sql("DELETE FROM analytics.customers")
    duckdb_setup.connect(duckdb_setup.table())

    assert counts(duckdb_setup.sync()) == (0, 0, 0, 0)
    assert duckdb_setup.delivered() == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"table": "analytics.unknown"}, "unknown"),
        ({"warehouse": "missing.duckdb"}, "does not exist"),
        ({"table": None, "sql": "SELEC 1"}, "SELEC"),
        ({"table": None, "sql": "CREATE TABLE x (y INT)"}, "read-only"),
        ({"primary_key": "nokey"}, 'no column "nokey".*customer_id, name, email'),
        ({"mappings": {"mail": "email"}}, 'no column "mail"'),
        ({"required": ("phone",)}, '"phone", but no column maps to it'),
        ({"destination": "/dev/null/x.duckdb"}, "/dev/null"),
    ],
)
def test_failure(duckdb_setup: TableSetup, settings: dict[str, Any], message: str) -> None:
    """An error of a database fails the sync with its message."""
    duckdb_setup.connect(duckdb_setup.table(**settings))

    sync = duckdb_setup.sync()

    assert sync.status == "failed"
    assert sync.error is not None
    assert re.search(message, sync.error, re.DOTALL)


def test_scripted_status(duckdb_setup: TableSetup) -> None:
    """The script can set the status and the minimum duration of a sync with a table."""
    script = SyncScript(status="failed", error="quota", duration_seconds=60)
    duckdb_setup.connect(duckdb_setup.table(), script=script)
    duckdb_setup.server.start_sync("crm")
    work = duckdb_setup.server._simulator.workers._works[0]
    work.join()

    assert duckdb_setup.server.syncs()[0].running
    duckdb_setup.clock.advance(60)
    sync = duckdb_setup.server.syncs()[0]
    assert (sync.status, sync.error, sync.rows_succeeded) == ("failed", "quota", 90)


@pytest.fixture
def locked_warehouse(duckdb_setup: TableSetup) -> Iterator[Callable[[], None]]:
    """Another process locks the warehouse until this function is called."""
    code = (
        "import duckdb, sys\n"
        "held = duckdb.connect(sys.argv[1])\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
        "held.execute('DELETE FROM analytics.customers WHERE customer_id > 50')\n"
        "held.close()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(duckdb_setup.warehouse)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "held\n"
        yield process.stdin.close
        process.stdin.close()


def test_locked_by_another_process(
    duckdb_setup: TableSetup, locked_warehouse: Callable[[], None]
) -> None:
    """A sync waits while another process writes the warehouse, and then reads the new rows."""
    duckdb_setup.connect(duckdb_setup.table())
    duckdb_setup.server.start_sync("crm")
    time.sleep(0.1)
    running = duckdb_setup.server.syncs()[0]
    locked_warehouse()

    sync = duckdb_setup.wait()

    assert (running.running, running.rows_total) == (True, None)
    assert counts(sync) == (50, 50, 45, 5)


def test_locked_for_too_long(
    duckdb_setup: TableSetup, locked_warehouse: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sync that waits too long fails with DuckDB's message about the lock."""
    monkeypatch.setattr(duckdb_files, "LOCK_TIMEOUT_SECONDS", 0.1)
    duckdb_setup.connect(duckdb_setup.table())

    sync = duckdb_setup.sync()
    locked_warehouse()

    assert sync.status == "failed"
    assert "lock" in (sync.error or "")


@pytest.mark.usefixtures("locked_warehouse")
def test_stop__while_waiting(duckdb_setup: TableSetup) -> None:
    """A sync that waits for the warehouse can be stopped."""
    duckdb_setup.connect(duckdb_setup.table())
    duckdb_setup.server.start_sync("crm")
    duckdb_setup.server._workspace.stop("crm")

    sync = duckdb_setup.wait()

    assert (sync.status, sync.rows_total) == ("failed", None)


def test_open_in_this_process(duckdb_setup: TableSetup) -> None:
    """A sync also waits while its own process has the warehouse open for writing."""
    duckdb_setup.connect(duckdb_setup.table())
    with closing(duckdb.connect(str(duckdb_setup.warehouse))):
        duckdb_setup.server.start_sync("crm")
        time.sleep(0.1)
        assert duckdb_setup.server.syncs()[0].running

    assert counts(duckdb_setup.wait()) == (100, 100, 90, 10)


def test_stop__leaves_what_was_written(
    duckdb_setup: TableSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop ends the sync after the current batch. The next sync delivers the rest."""
    monkeypatch.setattr(transfer, "_ROWS_PER_BATCH", 10)
    go, written = threading.Event(), threading.Event()
    write_batch = transfer._write_batch

    def write_and_wait(*arguments: Any) -> None:
        write_batch(*arguments)
        written.set()
        go.wait(10)

    monkeypatch.setattr(transfer, "_write_batch", write_and_wait)
    duckdb_setup.connect(duckdb_setup.table(), stopped_status="Aborted")
    duckdb_setup.server.start_sync("crm")
    written.wait(10)
    duckdb_setup.server._workspace.stop("crm")
    asked = duckdb_setup.server.syncs()[0]
    go.set()
    stopped = duckdb_setup.wait()

    assert (asked.status, asked.rows_succeeded) == ("running", 9)
    assert (stopped.status, stopped.rows_total, stopped.rows_succeeded) == ("Aborted", 100, 9)
    assert len(duckdb_setup.delivered()) == 9
    assert counts(duckdb_setup.sync()) == (100, 91, 81, 10)


ALL_TYPES = """
SELECT 1 AS id, NULL::VARCHAR AS nothing, true AS bool, 12.34::DECIMAL(10,2) AS price,
    170141183460469231731687303715884105727::HUGEINT AS huge, 1.5::DOUBLE AS double,
    'nan'::DOUBLE AS nan, DATE '2026-01-05' AS day, TIME '10:20:30' AS clock,
    TIMESTAMP '2026-01-05 10:20:30.5' AS moment,
    TIMESTAMPTZ '2026-01-05 10:20:30+00' AS moment_tz, INTERVAL 1 DAY AS span,
    [1, 2, NULL] AS list, {'a': 1, 'b': [DATE '2026-01-05']} AS struct,
    map {'k': 1.5::DECIMAL(3,1)} AS map, 'a'::ENUM('a', 'b') AS enum,
    '7c3a646a-61d9-4412-a603-db6fa849ae00'::UUID AS uuid, '\\xAA'::BLOB AS blob,
    '101'::BIT AS bits, 'O''Brien "x"' AS text
"""


def test_all_types__duckdb(duckdb_setup: TableSetup) -> None:
    """In DuckDB, simple values and lists keep their types. Other values are JSON text."""
    table = duckdb_setup.table(table=None, sql=ALL_TYPES, primary_key="id", patterns={})
    duckdb_setup.connect(table)

    assert counts(duckdb_setup.sync()) == (1, 1, 1, 0)
    (same,) = duckdb_setup.delivered(
        "SELECT price = 12.34, huge > 10::HUGEINT ** 30, isnan(nan), day = DATE '2026-01-05',"
        " moment = TIMESTAMP '2026-01-05 10:20:30.5', epoch(moment_tz) = 1767608430,"
        " span = INTERVAL 1 DAY, list[2] = 2 AND len(list) = 3, clock = TIME '10:20:30',"
        " nothing IS NULL, bool, enum = 'a', blob = '\\xAA'::BLOB, bits = '101'"
        " FROM contacts"
    )
    assert set(same) == {True}
    (texts,) = duckdb_setup.delivered(
        "SELECT struct, map, text, typeof(price), typeof(list) FROM contacts"
    )
    assert texts == (
        '{"a": 1, "b": ["2026-01-05"]}',
        '{"k": 1.5}',
        'O\'Brien "x"',
        "DECIMAL(10,2)",
        "INTEGER[]",
    )
    assert counts(duckdb_setup.sync()) == (1, 0, 0, 0)


def test_all_types__sqlite(tmp_path: Path) -> None:
    """In SQLite, which has few types, other values are ISO 8601 or JSON text."""
    lite = TableSetup(tmp_path, ".sqlite")
    lite.sql("SELECT 1")
    lite.connect(lite.table(table=None, sql=ALL_TYPES, primary_key="id", patterns={}))

    assert counts(lite.sync()) == (1, 1, 1, 0)
    (row,) = lite.delivered("SELECT * FROM contacts")
    # In the time zone of the machine.
    assert datetime.fromisoformat(row[10]).timestamp() == 1767608430
    assert row[:10] + row[11:] == (
        1,
        None,
        1,
        12.34,
        "170141183460469231731687303715884105727",
        1.5,
        "nan",
        "2026-01-05",
        "10:20:30",
        "2026-01-05T10:20:30.500000",
        "86400.0 seconds",
        "[1, 2, null]",
        '{"a": 1, "b": ["2026-01-05"]}',
        '{"k": 1.5}',
        "a",
        "7c3a646a-61d9-4412-a603-db6fa849ae00",
        b"\xaa",
        "101",
        'O\'Brien "x"',
    )
    assert counts(lite.sync()) == (1, 0, 0, 0)


@pytest.mark.parametrize("key", ["price", "day", "moment", "huge", "uuid", "text", "enum", "clock"])
@pytest.mark.parametrize("suffix", [".duckdb", ".sqlite"])
def test_mirror__keys_of_all_types(tmp_path: Path, key: str, suffix: str) -> None:
    """A mirror finds the row of a key of any type and deletes it."""
    setup = TableSetup(tmp_path, suffix)
    setup.sql(f"CREATE SCHEMA analytics; CREATE TABLE analytics.customers AS {ALL_TYPES}")
    setup.connect(setup.table(primary_key=key, patterns={}), sync_behaviour="mirror")
    setup.sync()
    assert len(setup.delivered()) == 1
    setup.sql("DELETE FROM analytics.customers")

    assert counts(setup.sync()) == (0, 0, 0, 0)
    assert setup.delivered() == []


def test_many_rows(duckdb_setup: TableSetup) -> None:
    """5,000 rows take seconds, also on a busy machine."""
    duckdb_setup.sql(
        "INSERT INTO analytics.customers"
        " SELECT id, 'Name', id || '@example.com' FROM range(1000, 5900) AS t(id)"
    )
    duckdb_setup.connect(duckdb_setup.table())
    began = time.monotonic()

    assert counts(duckdb_setup.sync()) == (5000, 5000, 4990, 10)
    # Before 2.0, DuckDB looks for numpy at each parameter, which takes ten times as long.
    assert time.monotonic() - began < 60


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"table": None}, "either table or sql"),
        ({"sql": "SELECT 1"}, "either table or sql"),
        ({"patterns": {"email": "("}}, "pattern of 'email'"),
    ],
)
def test_wrong_table(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    """An invalid table is an error when it is created."""
    with pytest.raises(ValueError, match=message):
        TableSetup(tmp_path, ".duckdb").table(**settings)


def test_wrong_table__text_for_a_list(tmp_path: Path) -> None:
    """A string instead of a list is an error: its letters would be the fields."""
    with pytest.raises(TypeError, match="required"):
        TableSetup(tmp_path, ".duckdb").table(required="email")


def test_source_of_a_table(duckdb_setup: TableSetup) -> None:
    """The source that is added for a connection has its table or its SQL."""
    duckdb_setup.connect(duckdb_setup.table(mappings={"customer_id": "Id", "email": "Email"}))
    duckdb_setup.server.add_connection("ads", table=duckdb_setup.table(table=None, sql="SELECT 1"))
    workspace = duckdb_setup.server._workspace

    table, model = workspace.source("crm-source"), workspace.source("ads-source")

    assert table.config == {
        "primaryKey": "customer_id",
        "schema": "analytics",
        "table": "customers",
    }
    assert (model.source_type, model.config["sql"]) == ("model", "SELECT 1")

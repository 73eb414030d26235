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
PATIENCE_SECONDS = 120.0


class Playground:
    """A warehouse, a destination, and a server whose connection `crm` joins them."""

    def __init__(self, folder: Path, suffix: str) -> None:
        self.warehouse = folder / "warehouse.duckdb"
        self.destination = folder / f"destination{suffix}"
        self.clock = ManualClock()
        self.server = LocalRudderStack(clock=self.clock)

    def table(self, **settings: Any) -> TableSync:
        """Make the table of the connection, with other settings than the usual."""
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
        """Make the connection."""
        self.server.add_connection("crm", table=table, **settings)

    def sql(self, statements: str) -> list[Any]:
        """Run SQL in the warehouse."""
        with closing(duckdb.connect(str(self.warehouse))) as connection:
            return connection.execute(statements).fetchall()

    def arrived(self, query: str = "SELECT * FROM contacts ORDER BY 1") -> list[Any]:
        """Ask the destination."""
        if self.destination.suffix == ".duckdb":
            with closing(duckdb.connect(str(self.destination), read_only=True)) as connection:
                return connection.execute(query).fetchall()
        with closing(sqlite3.connect(self.destination)) as lite:
            return lite.execute(query).fetchall()

    def sync(self, sync_type: Any = "incremental") -> SimulatedSync:
        """Run one sync and return it once it has ended."""
        self.server.start_sync("crm", sync_type=sync_type)
        return self.wait()

    def wait(self) -> SimulatedSync:
        """Wait for the end of the newest sync."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.server.syncs("crm")[-1].running:
            assert time.monotonic() < deadline, "the sync does not end"
            time.sleep(0.002)
        return self.server.syncs("crm")[-1]


def counts(sync: SimulatedSync) -> tuple[int | None, ...]:
    assert sync.error is None
    return (sync.rows_total, sync.rows_changed, sync.rows_succeeded, sync.rows_failed)


@pytest.fixture(params=[".duckdb", ".sqlite"])
def play(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Playground]:
    playground = Playground(tmp_path, request.param)
    playground.sql(CUSTOMERS)
    yield playground
    playground.server.close()


@pytest.fixture
def duck(tmp_path: Path) -> Iterator[Playground]:
    playground = Playground(tmp_path, ".duckdb")
    playground.sql(CUSTOMERS)
    yield playground
    playground.server.close()


def test_first_sync(play: Playground) -> None:
    """The first sync takes all rows; the destination holds exactly the valid ones."""
    play.connect(play.table())

    sync = play.sync()

    assert sync.status == "succeeded"
    assert counts(sync) == (100, 100, 90, 10)
    valid = play.sql("FROM analytics.customers WHERE email <> 'broken' ORDER BY 1")
    assert play.arrived() == valid


def test_nothing_changed(play: Playground) -> None:
    """Then only rejected rows are tried again."""
    play.connect(play.table())
    play.sync()

    assert counts(play.sync()) == (100, 10, 0, 10)


def test_changed_rows(play: Playground) -> None:
    """A changed row, a new one and a mended one travel; the others stay as they are."""
    play.connect(play.table())
    play.sync()
    play.sql(
        "UPDATE analytics.customers SET name = 'New' WHERE customer_id = 1;"
        "UPDATE analytics.customers SET email = 'ten@example.com' WHERE customer_id = 10;"
        "INSERT INTO analytics.customers VALUES (200, 'Late', 'late@example.com')"
    )

    assert counts(play.sync()) == (101, 12, 3, 9)
    by_id = {row[0]: row for row in play.arrived()}
    assert len(by_id) == 92
    assert by_id[1] == (1, "New", "c1@example.com")
    assert by_id[10] == (10, "Name 10", "ten@example.com")
    assert by_id[200] == (200, "Late", "late@example.com")


def test_full(play: Playground) -> None:
    """A full sync takes all rows again, and doubles none."""
    play.connect(play.table())
    play.sync()

    assert counts(play.sync("full")) == (100, 100, 90, 10)
    assert len(play.arrived()) == 90


def test_full__as_the_behaviour(duck: Playground) -> None:
    """A connection can be one that always takes all rows."""
    duck.connect(duck.table(), sync_behaviour="full")
    duck.sync()

    assert counts(duck.sync()) == (100, 100, 90, 10)


def test_vanished_rows__upsert(play: Playground) -> None:
    """Rows that vanish from the warehouse stay in the destination."""
    play.connect(play.table())
    play.sync()
    play.sql("DELETE FROM analytics.customers WHERE customer_id <= 5")

    assert counts(play.sync()) == (95, 10, 0, 10)
    assert len(play.arrived()) == 90


def test_vanished_rows__mirror(play: Playground) -> None:
    """In a mirror, rows that vanish from the warehouse vanish from the destination."""
    play.connect(play.table(), sync_behaviour="mirror")
    play.sync()
    play.sql("DELETE FROM analytics.customers WHERE customer_id <= 5")

    assert counts(play.sync()) == (95, 10, 0, 10)
    assert [row[0] for row in play.arrived()][:2] == [6, 7]
    play.sql("INSERT INTO analytics.customers VALUES (1, 'Back', 'back@example.com')")
    assert counts(play.sync()) == (96, 11, 1, 10)


def test_rejected_later(duck: Playground) -> None:
    """A row that becomes invalid keeps its last valid form."""
    duck.connect(duck.table())
    duck.sync()
    duck.sql("UPDATE analytics.customers SET email = 'gone' WHERE customer_id = 1")

    assert counts(duck.sync()) == (100, 11, 0, 11)
    assert duck.arrived()[0] == (1, "Name 1", "c1@example.com")


def test_remembered_by_the_destination(duck: Playground, tmp_path: Path) -> None:
    """A new server on the same files goes on where the old one ended."""
    duck.connect(duck.table())
    duck.sync()

    later = Playground(tmp_path, ".duckdb")
    later.connect(later.table())

    assert counts(later.sync()) == (100, 10, 0, 10)


def test_two_connections_of_one_destination(duck: Playground) -> None:
    """Each connection remembers for itself, also if both write into one file at once."""
    duck.connect(duck.table())
    duck.server.add_connection("ads", table=duck.table(destination_table="audience"))
    duck.server.start_sync("ads")

    assert counts(duck.sync()) == (100, 100, 90, 10)
    while duck.server.syncs("ads")[0].running:
        time.sleep(0.002)
    assert counts(duck.server.syncs("ads")[0]) == (100, 100, 90, 10)
    assert len(duck.arrived("SELECT * FROM audience")) == 90


def test_warehouse_is_destination(duck: Playground) -> None:
    """Warehouse and destination may be one file."""
    duck.connect(duck.table(destination=duck.warehouse))

    assert counts(duck.sync()) == (100, 100, 90, 10)
    assert duck.sql("SELECT count(*) FROM contacts") == [(90,)]


def test_mappings(play: Playground) -> None:
    """Mappings name the fields of the destination, and leave the other columns behind."""
    mappings = {"email": "Email", "customer_id": "ExternalId"}
    play.connect(play.table(mappings=mappings, patterns={"Email": EMAIL["email"]}))
    play.sync()

    assert play.arrived('SELECT "ExternalId", "Email" FROM contacts ORDER BY 1')[0] == (
        1,
        "c1@example.com",
    )
    assert len(play.arrived()[0]) == 2


def test_mappings__the_key_always_travels(duck: Playground) -> None:
    """The primary key travels though no mapping says so."""
    duck.connect(duck.table(mappings={"email": "email"}))
    duck.sync()

    assert duck.arrived("SELECT customer_id, email FROM contacts ORDER BY 1")[0][0] == 1


def test_mappings__changed(play: Playground) -> None:
    """With another mapping all rows travel again, and the destination gets the new field."""
    play.connect(play.table(mappings={"email": "email"}))
    play.sync()
    play.connect(play.table(mappings={"email": "email", "name": "full_name"}))

    assert counts(play.sync()) == (100, 100, 90, 10)
    assert play.arrived("SELECT full_name FROM contacts ORDER BY 1")[0] == ("Name 1",)


def test_required(duck: Playground) -> None:
    """Null and blank values of a required field are rejected; a pattern lets null pass."""
    duck.sql(
        "UPDATE analytics.customers SET name = NULL WHERE customer_id = 1;"
        "UPDATE analytics.customers SET name = '  ' WHERE customer_id = 2;"
        "UPDATE analytics.customers SET email = NULL WHERE customer_id = 3"
    )
    duck.connect(duck.table(required=("name",)))

    assert counts(duck.sync()) == (100, 100, 88, 12)
    assert duck.arrived()[0] == (3, "Name 3", None)


def test_null_key(duck: Playground) -> None:
    """A row without a key is rejected each time."""
    duck.sql("INSERT INTO analytics.customers VALUES (NULL, 'Nobody', 'n@example.com')")
    duck.connect(duck.table())

    assert counts(duck.sync()) == (101, 101, 90, 11)
    assert counts(duck.sync()) == (101, 11, 0, 11)


def test_duplicate_keys(duck: Playground) -> None:
    """Of rows with the same key the last one is taken."""
    duck.connect(
        duck.table(
            table=None,
            sql="SELECT 1 AS customer_id, 'a' || n || '@b' AS email FROM range(3) AS t(n)",
        )
    )

    assert counts(duck.sync()) == (3, 1, 1, 0)
    assert duck.arrived() == [(1, "a2@b")]


def test_sql(duck: Playground) -> None:
    """The source can be a query."""
    query = "SELECT customer_id, email FROM analytics.customers WHERE customer_id < 10;"
    duck.connect(duck.table(table=None, sql=query))

    assert counts(duck.sync()) == (9, 9, 9, 0)


def test_file_named_like_the_schema(tmp_path: Path) -> None:
    """The warehouse may be called like its schema, which DuckDB finds ambiguous."""
    play = Playground(tmp_path, ".duckdb")
    play.warehouse = tmp_path / "analytics.duckdb"
    with closing(duckdb.connect(str(play.warehouse))) as connection:
        connection.execute(CUSTOMERS.replace("analytics", "analytics.analytics"))
    play.connect(play.table())

    assert counts(play.sync()) == (100, 100, 90, 10)


def test_empty_table(duck: Playground) -> None:
    """No rows are no failure."""
    duck.sql("DELETE FROM analytics.customers")
    duck.connect(duck.table())

    assert counts(duck.sync()) == (0, 0, 0, 0)
    assert duck.arrived() == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"table": "analytics.nobody"}, "nobody"),
        ({"warehouse": "missing.duckdb"}, "does not exist"),
        ({"table": None, "sql": "SELEC 1"}, "SELEC"),
        ({"table": None, "sql": "CREATE TABLE x (y INT)"}, "read-only"),
        ({"primary_key": "nokey"}, 'no column "nokey".*customer_id, name, email'),
        ({"mappings": {"mail": "email"}}, 'no column "mail"'),
        ({"required": ("phone",)}, '"phone", but no column maps to it'),
        ({"destination": "/dev/null/x.duckdb"}, "/dev/null"),
    ],
)
def test_failure(duck: Playground, settings: dict[str, Any], message: str) -> None:
    """What the databases do not like fails the sync, with their words."""
    duck.connect(duck.table(**settings))

    sync = duck.sync()

    assert sync.status == "failed"
    assert sync.error is not None
    assert re.search(message, sync.error, re.DOTALL)


def test_scripted_status(duck: Playground) -> None:
    """The script may still say how a sync with a table ends, and how long it takes at least."""
    script = SyncScript(status="failed", error="quota", duration_seconds=60)
    duck.connect(duck.table(), script=script)
    duck.server.start_sync("crm")
    work = duck.server._simulator.workers._works[0]
    work.join()

    assert duck.server.syncs()[0].running
    duck.clock.advance(60)
    sync = duck.server.syncs()[0]
    assert (sync.status, sync.error, sync.rows_succeeded) == ("failed", "quota", 90)


@pytest.fixture
def held_warehouse(duck: Playground) -> Iterator[Callable[[], None]]:
    """Another process holds the warehouse for writing until it is told to let go."""
    code = (
        "import duckdb, sys\n"
        "held = duckdb.connect(sys.argv[1])\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
        "held.execute('DELETE FROM analytics.customers WHERE customer_id > 50')\n"
        "held.close()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(duck.warehouse)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "held\n"
        yield process.stdin.close
        process.stdin.close()


def test_locked_by_another_process(duck: Playground, held_warehouse: Callable[[], None]) -> None:
    """While another process writes the warehouse a sync waits, and then sees what was written."""
    duck.connect(duck.table())
    duck.server.start_sync("crm")
    time.sleep(0.1)
    running = duck.server.syncs()[0]
    held_warehouse()

    sync = duck.wait()

    assert (running.running, running.rows_total) == (True, None)
    assert counts(sync) == (50, 50, 45, 5)


def test_locked_for_too_long(
    duck: Playground, held_warehouse: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits too long is told who holds the lock."""
    monkeypatch.setattr(duckdb_files, "LOCK_TIMEOUT_SECONDS", 0.1)
    duck.connect(duck.table())

    sync = duck.sync()
    held_warehouse()

    assert sync.status == "failed"
    assert "lock" in (sync.error or "")


@pytest.mark.usefixtures("held_warehouse")
def test_stop__while_waiting(duck: Playground) -> None:
    """A sync that waits for the warehouse can be stopped."""
    duck.connect(duck.table())
    duck.server.start_sync("crm")
    duck.server._workspace.stop("crm")

    sync = duck.wait()

    assert (sync.status, sync.rows_total) == ("failed", None)


def test_open_in_this_process(duck: Playground) -> None:
    """A sync also waits while this very process has the warehouse open for writing."""
    duck.connect(duck.table())
    with closing(duckdb.connect(str(duck.warehouse))):
        duck.server.start_sync("crm")
        time.sleep(0.1)
        assert duck.server.syncs()[0].running

    assert counts(duck.wait()) == (100, 100, 90, 10)


def test_stop__leaves_what_was_written(duck: Playground, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop ends the work after the batch in its hands; the next sync does the rest."""
    monkeypatch.setattr(transfer, "_ROWS_PER_BATCH", 10)
    go, written = threading.Event(), threading.Event()
    write_batch = transfer._write_batch

    def write_and_wait(*arguments: Any) -> None:
        write_batch(*arguments)
        written.set()
        go.wait(10)

    monkeypatch.setattr(transfer, "_write_batch", write_and_wait)
    duck.connect(duck.table(), stopped_status="Aborted")
    duck.server.start_sync("crm")
    written.wait(10)
    duck.server._workspace.stop("crm")
    asked = duck.server.syncs()[0]
    go.set()
    stopped = duck.wait()

    assert (asked.status, asked.rows_succeeded) == ("running", 9)
    assert (stopped.status, stopped.rows_total, stopped.rows_succeeded) == ("Aborted", 100, 9)
    assert len(duck.arrived()) == 9
    assert counts(duck.sync()) == (100, 91, 81, 10)


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


def test_all_types__duckdb(duck: Playground) -> None:
    """In DuckDB simple values and lists of them keep their types; the rest is JSON text."""
    table = duck.table(table=None, sql=ALL_TYPES, primary_key="id", patterns={})
    duck.connect(table)

    assert counts(duck.sync()) == (1, 1, 1, 0)
    (same,) = duck.arrived(
        "SELECT price = 12.34, huge > 10::HUGEINT ** 30, isnan(nan), day = DATE '2026-01-05',"
        " moment = TIMESTAMP '2026-01-05 10:20:30.5', epoch(moment_tz) = 1767608430,"
        " span = INTERVAL 1 DAY, list[2] = 2 AND len(list) = 3, clock = TIME '10:20:30',"
        " nothing IS NULL, bool, enum = 'a', blob = '\\xAA'::BLOB, bits = '101'"
        " FROM contacts"
    )
    assert set(same) == {True}
    (texts,) = duck.arrived("SELECT struct, map, text, typeof(price), typeof(list) FROM contacts")
    assert texts == (
        '{"a": 1, "b": ["2026-01-05"]}',
        '{"k": 1.5}',
        'O\'Brien "x"',
        "DECIMAL(10,2)",
        "INTEGER[]",
    )
    assert counts(duck.sync()) == (1, 0, 0, 0)


def test_all_types__sqlite(tmp_path: Path) -> None:
    """In SQLite, which knows few types, the rest is ISO 8601 and JSON text."""
    lite = Playground(tmp_path, ".sqlite")
    lite.sql("SELECT 1")
    lite.connect(lite.table(table=None, sql=ALL_TYPES, primary_key="id", patterns={}))

    assert counts(lite.sync()) == (1, 1, 1, 0)
    (row,) = lite.arrived("SELECT * FROM contacts")
    # Its zone is that of the machine.
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
    """A key of any type is recognized again when its row is to be deleted."""
    play = Playground(tmp_path, suffix)
    play.sql(f"CREATE SCHEMA analytics; CREATE TABLE analytics.customers AS {ALL_TYPES}")
    play.connect(play.table(primary_key=key, patterns={}), sync_behaviour="mirror")
    play.sync()
    assert len(play.arrived()) == 1
    play.sql("DELETE FROM analytics.customers")

    assert counts(play.sync()) == (0, 0, 0, 0)
    assert play.arrived() == []


def test_many_rows(duck: Playground) -> None:
    """Thousands of rows are a matter of seconds, also on a busy machine."""
    duck.sql(
        "INSERT INTO analytics.customers"
        " SELECT id, 'Name', id || '@example.com' FROM range(1000, 5900) AS t(id)"
    )
    duck.connect(duck.table())
    began = time.monotonic()

    assert counts(duck.sync()) == (5000, 5000, 4990, 10)
    # Before 2.0, DuckDB looks for numpy at each parameter, which takes ten times as long.
    assert time.monotonic() - began < 60


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"table": None}, "either table or sql"),
        ({"sql": "SELECT 1"}, "either table or sql"),
        ({"patterns": {"email": "("}}, "pattern of 'email'"),
    ],
)
def test_wrong_table(tmp_path: Path, settings: dict[str, Any], complaint: str) -> None:
    """A table that makes no sense is refused where it is written."""
    with pytest.raises(ValueError, match=complaint):
        Playground(tmp_path, ".duckdb").table(**settings)


def test_wrong_table__text_for_a_list(tmp_path: Path) -> None:
    """A single text where a list is wanted is refused: it would be taken letter by letter."""
    with pytest.raises(TypeError, match="required"):
        Playground(tmp_path, ".duckdb").table(required="email")


def test_source_tells_the_table(duck: Playground) -> None:
    """The source that is made for a connection names its table or its SQL."""
    duck.connect(duck.table(mappings={"customer_id": "Id", "email": "Email"}))
    duck.server.add_connection("ads", table=duck.table(table=None, sql="SELECT 1"))
    workspace = duck.server._workspace

    table, model = workspace.source("crm-source"), workspace.source("ads-source")

    assert table.config == {
        "primaryKey": "customer_id",
        "schema": "analytics",
        "table": "customers",
    }
    assert (model.source_type, model.config["sql"]) == ("model", "SELECT 1")

"""Connections with a table move real rows, and their metrics are the real counts."""

import re
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dagster_rudderstack.testing import SyncScript
from dagster_rudderstack_tests.testing.table_setup import CUSTOMERS, EMAIL, TableSetup, counts


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


def test_dots_in_columns(setup: TableSetup) -> None:
    """The names of columns, fields and keys may have dots and quotes."""
    setup.sql("""CREATE TABLE t AS SELECT 1 AS "id.x", 'n' AS "na.""me", 2 AS "b" """)
    table = setup.table(
        table="t", primary_key="id.x", mappings={'na."me': "full.name"}, patterns={}
    )
    setup.connect(table, sync_behaviour="mirror")
    assert counts(setup.sync())[2:] == (1, 0)
    setup.sql('UPDATE t SET "id.x" = 2')

    assert counts(setup.sync())[2:] == (1, 0)
    assert setup.delivered('SELECT "full.name", "id.x" FROM contacts') == [("n", 2)]


def test_many_rows(duckdb_setup: TableSetup) -> None:
    """A thousand rows arrive in one sync, in several batches. DuckDB 1.1 takes a minute for five
    thousand."""
    duckdb_setup.sql(
        "INSERT INTO analytics.customers"
        " SELECT id, 'Name', id || '@example.com' FROM range(1000, 1900) AS t(id)"
    )
    duckdb_setup.connect(duckdb_setup.table())

    assert counts(duckdb_setup.sync()) == (1000, 1000, 990, 10)


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

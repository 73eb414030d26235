"""Syncs with a table that has columns of all DuckDB types."""

from datetime import datetime
from pathlib import Path

import pytest

from dagster_rudderstack_tests.testing.table_setup import TableSetup, counts

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

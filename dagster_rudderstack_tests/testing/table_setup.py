"""A warehouse, a destination file and a local RudderStack for the tests of syncs with a table."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb

from dagster_rudderstack.testing import LocalRudderStack, ManualClock, SimulatedSync, TableSync

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

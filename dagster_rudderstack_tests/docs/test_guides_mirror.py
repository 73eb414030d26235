"""The guide on mirror syncs, with real rows."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from dagster_rudderstack import build_rudderstack_sync_asset
from dagster_rudderstack.testing import LocalRudderStack, TableSync
from dagster_rudderstack_tests.docs.guide import AUDIENCE, Guide, materialize

GUIDE = Guide("mirror-syncs")


class Mirror:
    """A table, and the destination to which a mirror sync delivers its rows."""

    def __init__(self, folder: Path) -> None:
        self.warehouse = folder / "warehouse.duckdb"
        self.destination = folder / "ads.sqlite"

    def fill(self, rows: int) -> None:
        """Build the table anew."""
        with closing(duckdb.connect(str(self.warehouse))) as connection:
            connection.execute("CREATE SCHEMA IF NOT EXISTS analytics")
            connection.execute(
                "CREATE OR REPLACE TABLE analytics.audience AS "
                f"SELECT range AS id, 'x' AS email FROM range({rows})"
            )

    def delivered(self) -> int:
        """Return how many rows the destination has."""
        with closing(sqlite3.connect(self.destination)) as connection:
            (count,) = connection.execute("SELECT count(*) FROM records").fetchone()
        return int(count)


@pytest.fixture
def mirror(server: LocalRudderStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    """A mirror connection whose table has 200 rows."""
    mirror = Mirror(tmp_path)
    mirror.fill(200)
    server.remove_connection(AUDIENCE)
    table = TableSync(mirror.warehouse, "analytics.audience", destination=mirror.destination)
    server.add_connection(AUDIENCE, table=table, sync_behaviour="mirror")
    monkeypatch.setenv("WAREHOUSE_PATH", str(mirror.warehouse))
    return mirror


@pytest.fixture
def page(server: LocalRudderStack, mirror: Mirror) -> dict[str, Any]:
    """The names of the guide's file."""
    return GUIDE.run(0, server)


def test_enough_rows(page: dict[str, Any], mirror: Mirror, instance: dg.DagsterInstance) -> None:
    """A table with enough rows is synced."""
    result = materialize(page["defs"], instance)

    assert result.success
    assert mirror.delivered() == 200


def test_blocking_check(
    page: dict[str, Any],
    mirror: Mirror,
    instance: dg.DagsterInstance,
    server: LocalRudderStack,
) -> None:
    """If the table is empty, its check fails, and the sync does not start."""
    mirror.fill(0)

    result = materialize(page["defs"], instance)

    (evaluation,) = result.get_asset_check_evaluations()
    assert (evaluation.passed, evaluation.description) == (False, "The table has 0 rows.")
    assert not result.success
    assert server.starts() == []


def test_condition(
    page: dict[str, Any],
    mirror: Mirror,
    instance: dg.DagsterInstance,
    server: LocalRudderStack,
) -> None:
    """If a run selects only the sync, the condition in its function stops it."""
    mirror.fill(0)

    result = materialize(page["defs"], instance, "ad_audience")

    (failure,) = (event for event in result.all_events if event.is_step_failure)
    data = failure.step_failure_data.user_failure_data
    assert data
    assert data.description == "The source has 0 rows, fewer than 100. No sync was started."
    assert server.starts() == []


def test_no_rows_check(
    page: dict[str, Any], mirror: Mirror, instance: dg.DagsterInstance, server: LocalRudderStack
) -> None:
    """Without the guards, the check on the rows fails when the rows are already deleted."""
    guarded = page["ad_audience"]
    checks = page["SyncChecks"](no_rows=page["NoRowsCheck"](severity="ERROR", blocking=True))
    asset = build_rudderstack_sync_asset(connection_id=AUDIENCE, spec="unguarded", checks=checks)
    defs = dg.Definitions([asset], resources=page["defs"].resources)
    assert guarded.check_specs_by_output_name.keys() >= {"ad_audience_no_rows"}
    assert materialize(defs, instance).success
    before = mirror.delivered()
    mirror.fill(0)

    result = materialize(defs, instance)
    emptied = mirror.delivered()
    mirror.fill(200)
    repaired = materialize(defs, instance)

    assert (result.success, repaired.success) == (False, True)
    assert (before, emptied, mirror.delivered()) == (200, 0, 200)

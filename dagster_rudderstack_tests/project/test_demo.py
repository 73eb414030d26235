"""The demo, run in real processes, and its result.

Dagster's counts are compared with DuckDB's counts and with the rows in the destinations.
"""

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import httpx
import pytest

from dagster_rudderstack import MetadataKey, RudderStackMetadataSet, latest_failed_rows_sql

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "examples" / "reverse_etl_demo" / "demo" / "demo.py"
SYNC_ASSETS = ("crm_contacts", "crm_segments", "cart_audience")
TIMEOUT_SECONDS = 120

CONTACT_IS_VALID = r"coalesce(regexp_full_match(email, '[^@\s]+@[^@\s]+\.[a-z]+'), false)"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the demo once and return its folder."""
    home = tmp_path_factory.mktemp("demo")
    subprocess.run([*demo(home), "run"], check=True, timeout=2 * TIMEOUT_SECONDS, env=environment())
    return home


def demo(home: Path) -> list[str]:
    return [sys.executable, "-u", str(DEMO), "--home", str(home)]


def environment() -> dict[str, str]:
    """An environment with the library of this checkout, even if it is not installed."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def warehouse(home: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The warehouse at the end, with the warehouse before the night attached as `before`."""
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        before = home / "warehouse-before.duckdb"
        connection.execute(f"ATTACH '{before}' AS before (READ_ONLY)")
        yield connection


@pytest.fixture(scope="module")
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(home / "dagster_home")) as instance:
        yield instance


def counts_of_dagster(instance: dg.DagsterInstance, name: str) -> list[dict[str, Any]]:
    """Return the row counts of an asset's materializations, oldest first."""
    records = instance.fetch_materializations(dg.AssetKey(name), limit=10, ascending=True).records
    prefix = "rudderstack/rows_"
    return [
        {
            key.removeprefix(prefix): value.value
            for key, value in record.asset_materialization.metadata.items()
            if key.startswith(prefix)
        }
        for record in records
        if record.asset_materialization
    ]


def counts_of_sql(
    connection: duckdb.DuckDBPyConnection, *, rows: str, to_deliver: str, valid: str
) -> dict[str, int]:
    """Count the rows of a source, the rows to deliver, and the valid ones among them."""
    delivered = f"count(*) FILTER ({valid})"
    query = f"SELECT ({rows}), count(*), {delivered}, count(*) - {delivered} FROM ({to_deliver})"
    return dict(
        zip(
            ("total", "changed", "succeeded", "failed"),
            connection.sql(query).fetchall()[0],
            strict=True,
        )
    )


def test_contacts__both_runs(
    instance: dg.DagsterInstance, warehouse: duckdb.DuckDBPyConnection
) -> None:
    """The first run delivers all contacts, the second new, changed and rejected ones."""
    first, second = counts_of_dagster(instance, "crm_contacts")

    assert first == counts_of_sql(
        warehouse,
        rows="SELECT count(*) FROM before.analytics.customer_360",
        to_deliver="FROM before.analytics.customer_360",
        valid=CONTACT_IS_VALID,
    )
    assert second == counts_of_sql(
        warehouse,
        rows="SELECT count(*) FROM analytics.customer_360",
        to_deliver="FROM analytics.customer_360 EXCEPT "
        f"FROM before.analytics.customer_360 WHERE {CONTACT_IS_VALID}",
        valid=CONTACT_IS_VALID,
    )
    # The demo must show rejected rows both times, and an incremental sync.
    assert first["failed"] > second["failed"] > 0
    assert 0 < second["succeeded"] < first["succeeded"]


def test_audience__both_runs(
    instance: dg.DagsterInstance, warehouse: duckdb.DuckDBPyConnection
) -> None:
    """The first run delivers the whole audience, the second the new part. No row is rejected."""
    first, second = counts_of_dagster(instance, "cart_audience")

    assert first == counts_of_sql(
        warehouse,
        rows="SELECT count(*) FROM before.analytics.abandoned_carts",
        to_deliver="FROM before.analytics.abandoned_carts",
        valid="true",
    )
    assert second == counts_of_sql(
        warehouse,
        rows="SELECT count(*) FROM analytics.abandoned_carts",
        to_deliver="FROM analytics.abandoned_carts EXCEPT FROM before.analytics.abandoned_carts",
        valid="true",
    )
    assert 0 < second["succeeded"] < first["succeeded"]


def test_features__both_runs(
    instance: dg.DagsterInstance, warehouse: duckdb.DuckDBPyConnection
) -> None:
    """Each run builds the ID graph and the features in one Profiles run, and the syncs deliver what
    is new in them."""
    runs = [
        [
            record.asset_materialization.metadata[MetadataKey.RUN_ID].value
            for record in instance.fetch_materializations(dg.AssetKey(name), limit=10).records
            if record.asset_materialization
        ]
        for name in ("customer_id_graph", "customer_features")
    ]
    first, second = counts_of_dagster(instance, "crm_segments")
    is_valid = CONTACT_IS_VALID

    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 2
    for counts, rows, to_deliver in (
        (first, "before.profiles.customer_features", "FROM before.profiles.customer_features"),
        (
            second,
            "profiles.customer_features",
            "FROM profiles.customer_features EXCEPT FROM before.profiles.customer_features",
        ),
    ):
        assert counts == counts_of_sql(
            warehouse, rows=f"SELECT count(*) FROM {rows}", to_deliver=to_deliver, valid=is_valid
        )
    assert 0 < second["succeeded"] < first["succeeded"]


def test_features__destination(home: Path, warehouse: duckdb.DuckDBPyConnection) -> None:
    """The CRM has the segment of each customer, as the Profiles run has found it."""
    wanted = warehouse.sql(
        "SELECT customer_id, email, segment, paid_orders FROM profiles.customer_features ORDER BY 1"
    ).fetchall()

    assert {segment for _, _, segment, _ in wanted} == {"new", "active", "loyal"}
    assert wanted == rows_of_destination(
        home, "SELECT customer_id, email, segment, paid_orders FROM segments ORDER BY 1"
    )


def test_newsletter(
    home: Path, instance: dg.DagsterInstance, warehouse: duckdb.DuckDBPyConnection
) -> None:
    """The sensor reports the sync that no run waits for, once. Its rows are delivered."""
    (record,) = instance.fetch_materializations(dg.AssetKey("newsletter"), limit=10).records
    (counts,) = counts_of_dagster(instance, "newsletter")
    customers = "FROM before.analytics.customer_360"

    assert record.run_id == ""
    assert counts == counts_of_sql(
        warehouse, rows=f"SELECT count(*) {customers}", to_deliver=customers, valid=CONTACT_IS_VALID
    )
    assert rows_of_destination(home, "SELECT customer_id, email, name FROM readers ORDER BY 1") == (
        warehouse.sql(
            f"SELECT customer_id, email, first_name {customers} WHERE {CONTACT_IS_VALID} ORDER BY 1"
        ).fetchall()
    )


def test_contacts__destination(home: Path, warehouse: duckdb.DuckDBPyConnection) -> None:
    """The CRM has exactly the valid rows, with equal values."""
    wanted = warehouse.sql(
        "SELECT customer_id, email, first_name, last_name, plan, orders, lifetime_value::DOUBLE,"
        f" last_order_on::VARCHAR FROM analytics.customer_360 WHERE {CONTACT_IS_VALID} ORDER BY 1"
    ).fetchall()

    assert wanted == rows_of_destination(
        home,
        "SELECT customer_id, email, firstname, lastname, plan, orders, lifetime_value,"
        " last_order_date FROM contacts ORDER BY 1",
    )


def test_audience__destination(home: Path, warehouse: duckdb.DuckDBPyConnection) -> None:
    """The ads network, a mirror, has exactly the current carts, without the paid ones."""
    wanted = warehouse.sql(
        "SELECT customer_id, email_sha256, carts, cart_value::DOUBLE,"
        " strftime(abandoned_at, '%Y-%m-%dT%H:%M:%S') FROM analytics.abandoned_carts ORDER BY 1"
    ).fetchall()
    gone = warehouse.sql(
        "SELECT customer_id FROM before.analytics.abandoned_carts"
        " EXCEPT SELECT customer_id FROM analytics.abandoned_carts"
    )

    assert len(gone) > 0
    assert wanted == rows_of_destination(
        home,
        "SELECT customer_id, email_sha256, carts, cart_value, abandoned_at FROM cart_audience"
        " ORDER BY 1",
    )


def rows_of_destination(home: Path, query: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(home / "destinations.sqlite")) as connection:
        return connection.execute(query).fetchall()


def test_history(instance: dg.DagsterInstance) -> None:
    """Both runs succeeded, and each asset has a new sync in each run."""
    statuses = {run.status for run in instance.get_runs()}
    materializations = [
        record.asset_materialization
        for name in SYNC_ASSETS
        for record in instance.fetch_materializations(dg.AssetKey(name), limit=10).records
    ]
    metadata = [each.metadata for each in materializations if each is not None]

    assert (len(instance.get_runs()), statuses) == (2, {dg.DagsterRunStatus.SUCCESS})
    assert {RudderStackMetadataSet.extract(each).origin for each in metadata} == {"started"}
    assert len({each[MetadataKey.SYNC_ID].value for each in metadata}) == 6


def test_check_on_rejected_rows(instance: dg.DagsterInstance) -> None:
    """The check of the contacts warns in the first run and passes after the typos are fixed."""
    runs_oldest_first = reversed(instance.get_runs())
    entries = [
        entry
        for run in runs_oldest_first
        for entry in instance.all_logs(
            run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
        )
    ]
    evaluations = [entry.asset_check_evaluation for entry in entries]

    rejected = dg.AssetCheckKey(dg.AssetKey("crm_contacts"), "rejected_rows")
    results = [each.passed for each in evaluations if each and each.asset_check_key == rejected]
    assert results == [False, True]


def test_rejected_rows__sql(
    home: Path, instance: dg.DagsterInstance, warehouse: duckdb.DuckDBPyConnection
) -> None:
    """The SQL on the asset's page, unchanged, lists the rejected rows with their reasons."""
    key = dg.AssetKey("crm_contacts")
    records = instance.fetch_materializations(key, limit=10, ascending=True).records
    customers = ("FROM before.analytics.customer_360", "FROM analytics.customer_360")
    listed = []
    for record, source in zip(records, customers, strict=True):
        assert record.asset_materialization is not None
        page = record.asset_materialization.metadata[MetadataKey.FAILED_ROWS_SQL].value
        _, _, code = str(page).partition("```sql\n")
        sql, _, _ = code.partition("\n```")
        listed.append(warehouse.execute(sql).fetchall())
        columns = [column[0] for column in warehouse.description or ()]

        rejected = warehouse.sql(
            'SELECT customer_id::VARCHAR, CASE WHEN email IS NULL THEN \'The field "email" is'
            " required' ELSE 'The field \"email\" has an invalid value' END, COLUMNS(*)"
            f" {source} WHERE NOT {CONTACT_IS_VALID} ORDER BY customer_id::VARCHAR"
        ).fetchall()

        assert columns[:4] == ["primary_key", "operation", "error_reason", "customer_id"]
        assert [(row[0], row[2], *row[3:-1]) for row in listed[-1]] == rejected
        assert {(row[1], row[-1]) for row in listed[-1]} == {("insert", "insert")}
    assert [len(rows) for rows in listed] == [
        counts["failed"] for counts in counts_of_dagster(instance, "crm_contacts")
    ]
    delivered = {
        str(id_) for (id_,) in rows_of_destination(home, "SELECT customer_id FROM contacts")
    }
    assert delivered.isdisjoint(row[0] for row in listed[-1])
    assert listed[-1] != listed[0]
    assert latest_failed_rows_sql(instance, key) == sql


def test_rejected_rows__clean_sync(instance: dg.DagsterInstance) -> None:
    """A sync without rejected rows has no SQL."""
    assert latest_failed_rows_sql(instance, dg.AssetKey("cart_audience")) is None


def test_rejected_rows__sensor(
    instance: dg.DagsterInstance, warehouse: duckdb.DuckDBPyConnection
) -> None:
    """What the sensor has reported has the SQL too."""
    sql = latest_failed_rows_sql(instance, dg.AssetKey("newsletter"))
    (counts,) = counts_of_dagster(instance, "newsletter")

    assert sql is not None
    assert len(warehouse.sql(sql)) == counts["failed"] > 0


def test_check_on_reasons(instance: dg.DagsterInstance) -> None:
    """The project's own check has run the SQL with its resource, and lists the top reasons."""
    check = dg.AssetCheckKey(dg.AssetKey("crm_contacts"), "rejection_reasons")
    record = instance.get_latest_asset_check_evaluation_record(check)

    assert record is not None
    assert record.event is not None
    result = record.event.asset_check_evaluation
    assert result is not None
    assert not result.passed
    assert result.metadata["top_reasons"].value == (
        "| Reason | Rows |\n|---|---|\n"
        '| The field "email" has an invalid value | 3 |\n'
        '| The field "email" is required | 1 |'
    )


def test_dev__history(home: Path) -> None:
    """Dagster's UI shows the runs of the demo. Ctrl-C ends it with all its processes."""
    port = free_port()
    query = "{ runsOrError { ... on Runs { results { status } } } }"

    with started([*demo(home), "dev", "--port", str(port)]) as process:
        answer = ask(f"http://127.0.0.1:{port}/graphql", query)
        process.send_signal(signal.SIGINT)
        process.wait(TIMEOUT_SECONDS)

    assert answer["data"]["runsOrError"]["results"] == [{"status": "SUCCESS"}] * 2
    assert processes_using(home) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run__ended_early(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C or SIGTERM in the middle of a run leaves no process."""
    with started([*demo(tmp_path), "run"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("$ dg launch"):
            assert process.poll() is None
        wait_until(lambda: bool(list((tmp_path / "dagster_home").glob("history/runs/*"))))
        process.send_signal(number)
        process.wait(TIMEOUT_SECONDS)

    assert process.returncode == 1
    assert processes_using(tmp_path) == []


def test_run__twice_at_once(home: Path) -> None:
    """A second demo in the same folder is refused and changes nothing."""
    import fcntl  # noqa: PLC0415 - exists on Unix only, as for the demo

    with (home / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = subprocess.run(
            [*demo(home), "run"], check=False, capture_output=True, text=True, env=environment()
        )

    assert second.returncode == 1
    assert second.stderr == f"Another demo is using {home}. End it first.\n"
    assert (home / "destinations.sqlite").exists()


@contextlib.contextmanager
def started(command: list[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a command during the block, and kill it at the end if it still runs."""
    process = subprocess.Popen(command, text=True, env=environment(), **options)
    try:
        with process:
            yield process
            process.kill()
    finally:
        process.kill()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def ask(url: str, query: str) -> Any:
    """Send a query to a GraphQL server, which may still be starting."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        try:
            return httpx.post(url, json={"query": query}, timeout=30).raise_for_status().json()
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.5)


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def processes_using(home: Path) -> list[str]:
    """Return the processes with the folder in their command line or environment."""
    marker = str(home).encode()
    return [
        process.name
        for process in Path("/proc").glob("[0-9]*")
        if process.name != str(os.getpid()) and marker in command_and_environment(process)
    ]


def command_and_environment(process: Path) -> bytes:
    with contextlib.suppress(OSError):
        return (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    return b""

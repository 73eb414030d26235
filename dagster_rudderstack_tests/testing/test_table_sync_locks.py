"""Syncs with a table that wait for a locked warehouse, or that are stopped."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import duckdb
import pytest

from dagster_rudderstack.testing.rows import duckdb_files, transfer
from dagster_rudderstack_tests.testing.table_setup import TableSetup, counts


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

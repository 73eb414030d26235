"""Opens DuckDB files that other processes use as well."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

LOCK_TIMEOUT_SECONDS = 30.0
"""While one process writes a DuckDB file, no other process can open it. A pipeline locks its
warehouse only while it writes a table, so waiting helps."""

_LOCK_RETRY_SECONDS = 0.05


class InterruptedWork(Exception):  # noqa: N818 - not an error: a stop was requested
    """The work was stopped before it was done."""


_file_locks: dict[Path, threading.Lock] = defaultdict(threading.Lock)


def file_lock(path: Path) -> threading.Lock:
    """Return the lock that lets one sync of this process at a time write to a file."""
    return _file_locks[path.resolve()]


def open_duckdb(
    path: Path,
    *,
    read_only: bool,
    must_stop: Callable[[], bool],
    timeout_seconds: float | None = None,
    settings: Mapping[str, str] | None = None,
) -> "duckdb.DuckDBPyConnection":
    """Open a file, and wait while another process has it open for writing.

    `settings` are DuckDB's. They hold for all connections of this process to the file.

    Raises DuckDB's error after 30 seconds, unless `timeout_seconds` says otherwise, or at once if
    the file is missing or not a database. Raises InterruptedWork if `must_stop` returns true during
    the wait.
    """
    seconds = LOCK_TIMEOUT_SECONDS if timeout_seconds is None else timeout_seconds
    deadline = time.monotonic() + seconds
    while True:
        connection = _try_to_open(
            path,
            settings or {},
            read_only=read_only,
            locked_is_fine=_is_before(deadline),
        )
        if connection is not None:
            return connection
        if must_stop():
            raise InterruptedWork
        time.sleep(_LOCK_RETRY_SECONDS)


def _is_before(deadline: float) -> bool:
    return time.monotonic() < deadline


def _try_to_open(
    path: Path, settings: Mapping[str, str], *, read_only: bool, locked_is_fine: bool
) -> "duckdb.DuckDBPyConnection | None":
    try:
        import duckdb  # noqa: PLC0415 - only connections with a table need it
    except ImportError as error:
        raise ImportError("A connection with a table needs DuckDB: pip install duckdb") from error
    try:
        return duckdb.connect(str(path), read_only=read_only, config={**settings})
    except (duckdb.IOException, duckdb.ConnectionException) as error:
        if locked_is_fine and _is_lock(error):
            return None
        raise


def _is_lock(error: Exception) -> bool:
    # Another process writes, or this process has the file open in another mode.
    return "lock on file" in str(error) or "different configuration" in str(error)

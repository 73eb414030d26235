"""Reads SQL models with sqlglot, if the extra `lineage` is installed.

The SQL is read when a workspace is discovered. The result is kept in the snapshot, so definitions
load without sqlglot.

Anyone who may write a model in RudderStack can write one that takes sqlglot hours or all memory, or
that crashes it. So a process of its own reads the SQL. It is ended if a query takes too long.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from dagster_rudderstack.discovery.sql.lineage import QueryLineage

__all__ = ["Query", "ReadingLimits", "can_read_queries", "read_queries"]

_START_SECONDS = 60.0
"""Seconds after which a new process must be ready. It takes less than one."""

_CRASHED = "reading it takes too much memory, or crashes sqlglot"
"""A lack of memory often crashes the process, so the two cannot be told apart."""

_PACKAGE = Path(__file__).parents[2]

# The modules behind `worker` need nothing of Dagster, which `dagster_rudderstack` imports and which
# takes seconds to import. So the process gets an empty package with this name and the same modules.
_PROGRAM = """
import sys
standard = list(sys.path)
import site
import types
site.main()
sys.path[:] = standard + {path!r}
package = types.ModuleType({name!r})
package.__path__ = [{folder!r}]
sys.modules[{name!r}] = package
from dagster_rudderstack.discovery.sql.worker import main
main({seconds!r}, {memory!r})
"""


_ENVIRONMENT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PATH", "SYSTEMROOT", "TEMP", "TMPDIR")
"""The only variables of the process, since the others may have secrets."""


@dataclass(frozen=True)
class Query:
    """A SQL model.

    Attributes:
        sql: One SELECT, as RudderStack's SQL models are.
        warehouse: The kind of warehouse, as RudderStack calls it. None if it is unknown.
    """

    sql: str
    warehouse: str | None


@dataclass(frozen=True)
class ReadingLimits:
    """What the queries of a workspace may take.

    Attributes:
        query_seconds: For one query. One with 2,000 columns takes a second.
        query_bytes: Memory for one query. One with 2,000 columns takes 100 MB.
        all_seconds: For all queries together, besides `mean_seconds` for each.
        mean_seconds: For a query on average. Most take a tenth of that.
        most_seconds: For all queries together, however many there are.
        all_characters: Of the JSON of all results together.
    """

    query_seconds: float = 10.0
    query_bytes: int = 1024 * 1024 * 1024
    all_seconds: float = 60.0
    mean_seconds: float = 0.1
    most_seconds: float = 600.0
    all_characters: int = 50_000_000


def can_read_queries() -> bool:
    """Whether sqlglot is installed."""
    return importlib.util.find_spec("sqlglot") is not None


def read_queries(
    queries: Sequence[Query], limits: ReadingLimits = ReadingLimits()
) -> Iterator[QueryLineage]:
    """Yield what each query reads, in their order. See `QueryLineage.problem` for what failed.

    If all queries together reach a limit, the rest is not read.
    """
    with contextlib.closing(_Reader(limits)) as reader:
        seconds = min(limits.all_seconds + limits.mean_seconds * len(queries), limits.most_seconds)
        characters = limits.all_characters
        for query in queries:
            if seconds <= 0:
                yield QueryLineage(problem="the SQL of other sources took too long to read")
            elif characters <= 0:
                yield QueryLineage(problem="the SQL of other sources has too many columns")
            else:
                began = time.monotonic()
                answer = reader.read(query)
                seconds -= time.monotonic() - began
                characters -= len(answer)
                yield QueryLineage.model_validate_json(answer)


class _Reader:
    """Reads queries in a process, and starts a new one after a query that ended it."""

    def __init__(self, limits: ReadingLimits) -> None:
        self._limits = limits
        self._process: _Process | None = None

    def read(self, query: Query) -> str:
        """Return the lineage of a query as JSON."""
        try:
            if self._process is None:
                self._process = _Process(self._limits)
            return self._process.read(query)
        except _EndedError as error:
            self.close()
            return QueryLineage(problem=str(error)).model_dump_json()

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.end()


class _EndedError(Exception):
    """The process has ended, or must be ended. The message is the problem of the query."""


class _Process:
    """The process that reads queries: one line of JSON in, one line of JSON out."""

    def __init__(self, limits: ReadingLimits) -> None:
        self._query_seconds = limits.query_seconds
        program = _PROGRAM.format(
            # Python ignores anything else.
            path=[entry for entry in sys.path if isinstance(entry, str)],
            name=_PACKAGE.name,
            folder=str(_PACKAGE),
            seconds=limits.query_seconds + 5,
            memory=limits.query_bytes,
        )
        try:
            self._process = subprocess.Popen(  # noqa: S603 - a program of our own
                # -I and -S: the path begins with the standard library. A module of the user may
                # have the name of a standard one, such as types.py. In the parent process that does
                # no harm, since the standard module was imported first.
                [sys.executable, "-I", "-S", "-c", program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            )
        # An embedded Python has no executable.
        except (OSError, TypeError, ValueError) as error:
            raise _EndedError(f"the process that reads SQL cannot be started: {error}") from error
        # A read of a pipe has no timeout, so it waits in a thread.
        self._thread = ThreadPoolExecutor(1, "rudderstack-sql")
        self._is_ready = False

    def read(self, query: Query) -> str:
        if not self._is_ready:
            self._exchange("", _START_SECONDS, "the process that reads SQL did not start")
            self._is_ready = True
        line = json.dumps([query.sql, query.warehouse])
        return self._exchange(line, self._query_seconds, _CRASHED)

    def _exchange(self, line: str, seconds: float, ended: str) -> str:
        """Send a line, and return the one that comes back."""
        try:
            answer = self._thread.submit(self._sent, f"{line}\n".encode()).result(seconds)
        # Two classes before Python 3.11.
        except FutureTimeoutError:
            raise _EndedError(f"reading it takes more than {seconds:g} seconds") from None
        except OSError:
            raise _EndedError(ended) from None
        if not answer.endswith(b"\n"):
            raise _EndedError(ended)
        return answer.decode()

    def _sent(self, line: bytes) -> bytes:
        stdin = cast("IO[bytes]", self._process.stdin)
        stdin.write(line)
        stdin.flush()
        return cast("IO[bytes]", self._process.stdout).readline()

    def end(self) -> None:
        self._process.kill()
        # The read ends with the process.
        self._thread.shutdown()
        # If it ended before, a part of the last query is still to be written.
        with contextlib.suppress(OSError), self._process:
            pass

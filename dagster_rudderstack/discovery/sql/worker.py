"""The process that reads SQL, see `read`. It must not import Dagster, which takes seconds."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from pathlib import Path

from dagster_rudderstack.discovery.sql.query import lineage_of

__all__ = ["main"]


def main(last_seconds: float, query_bytes: int) -> None:
    """Answer one query per line, until the input ends. An empty line gets an empty answer.

    Args:
        last_seconds: When this process ends itself because of a query. The other process has done
            so before, unless it was killed.
        query_bytes: Memory that a query may take.
    """
    # Nothing that a library prints may get between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin.buffer:
        _limit_memory(query_bytes)
        _limit_time(last_seconds)
        answers.write(f"{_answer(line)}\n")
        answers.flush()
        _limit_time(0)


def _answer(line: bytes) -> str:
    if not line.strip():
        return ""
    return lineage_of(*json.loads(line)).model_dump_json(exclude_defaults=True)


def _limit_memory(query_bytes: int) -> None:
    """Limit the memory of this process to what it has and what a query may take, on Linux."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415 - Windows has no such module

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + query_bytes
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def _limit_time(seconds: float) -> None:
    """End this process after some seconds, where signals can do that. 0 means no limit."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)

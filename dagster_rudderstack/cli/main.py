"""Runs a command: reads its arguments, prints its errors and returns its exit code."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from dagster_rudderstack.cli.access import Access, Surroundings
from dagster_rudderstack.cli.arguments import PROGRAM, WRONG_USAGE, parse
from dagster_rudderstack.cli.check import check
from dagster_rudderstack.cli.connections import connections
from dagster_rudderstack.cli.console import Console
from dagster_rudderstack.cli.failed_rows import failed_rows
from dagster_rudderstack.cli.snapshot import snapshot
from dagster_rudderstack.cli.sync import INTERRUPTED, sync
from dagster_rudderstack.cli.syncs import stop, syncs
from dagster_rudderstack.errors import (
    AuthenticationError,
    InvalidSettingError,
    NotFoundError,
    RudderStackError,
)

__all__ = ["main", "run"]

Command = Callable[[Access, argparse.Namespace, Console], int]

COMMANDS: Mapping[str, Command] = {
    "check": check,
    "connections": connections,
    "syncs": syncs,
    "sync": sync,
    "stop": stop,
    "failed-rows": failed_rows,
    "snapshot": snapshot,
}

PROBLEM = 1


def run() -> None:
    """Run the command of this process. The console script calls this."""
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal cannot show must not end the command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    code = main()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            # Nothing reads it, as after `| head`. Python flushes once more at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    if code == INTERRUPTED:
        # Threads may still wait for answers, and Python would wait for them.
        os._exit(code)
    sys.exit(code)


def main(arguments: Sequence[str] | None = None, surroundings: Surroundings | None = None) -> int:
    """Run a command and return its exit code.

    Args:
        arguments: The arguments. None takes those of this process.
        surroundings: What the command gets from its process. None takes this process.
    """
    given = surroundings or Surroundings()
    try:
        options = parse(sys.argv[1:] if arguments is None else arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else WRONG_USAGE
    console = Console(given.out, given.err, as_json=options.json)
    try:
        with Access(options, given, console) as access:
            return _run(access, options, console)
    except RudderStackError as error:
        return _fail(console, error, str(error))
    except KeyboardInterrupt:
        console.error("Interrupted.")
        console.document({"error": {"type": "Interrupted", "message": "Interrupted."}})
        return INTERRUPTED


def _run(access: Access, options: argparse.Namespace, console: Console) -> int:
    try:
        return COMMANDS[options.command](access, options, console)
    except NotFoundError as error:
        connection_id = getattr(options, "connection", None)
        hint = access.hint_for(connection_id) if connection_id is not None else ""
        return _fail(console, error, access.named(f"{error} {hint}".rstrip()))
    except AuthenticationError as error:
        message = f"{access.named(str(error))} `{PROGRAM} check` finds out the region."
        return _fail(console, error, message)
    except RudderStackError as error:
        return _fail(console, error, access.named(str(error)))


def _fail(console: Console, error: RudderStackError, message: str) -> int:
    console.error(message)
    console.document({"error": {"type": type(error).__name__, "message": message}})
    return WRONG_USAGE if isinstance(error, InvalidSettingError) else PROBLEM

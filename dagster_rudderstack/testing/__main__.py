"""`python -m dagster_rudderstack.testing`: run a local RudderStack as a process."""

import argparse
import os
import secrets
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from dagster_rudderstack.testing.clock import ScaledClock
from dagster_rudderstack.testing.config import WorkspaceConfig, read_config
from dagster_rudderstack.testing.dataclass_json import ConfigError
from dagster_rudderstack.testing.remote import CONTROL_TOKEN_VARIABLE
from dagster_rudderstack.testing.server import LocalRudderStack
from dagster_rudderstack.testing.web.access import is_loopback

DEFAULT_PORT = 8085
DEFAULT_TOKEN = "local-token"  # noqa: S105 - only this server accepts it
TOKEN_VARIABLE = "RUDDERSTACK_ACCESS_TOKEN"  # noqa: S105 - the name, not the token

_WRONG_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM, and return the exit code."""
    options = _parser().parse_args(arguments)
    if options.folder is not None and not options.folder.is_dir():
        return _exit_with(f"--folder {options.folder} is not a folder")
    try:
        config = None if options.config is None else read_config(options.config)
        server = _server(options, config)
    except (ConfigError, ValueError) as error:
        return _exit_with(str(error))
    with _stopped_by_signal() as stopped:
        try:
            server.start()
        except OSError as error:
            return _exit_with(f"cannot listen on {options.host}:{options.port}: {error.strerror}")
        with closing(server):
            if not is_loopback(options.host):
                print(  # noqa: T201
                    f"warning: with --host {options.host}, other machines may reach this server. "
                    "It is made for tests, and its tokens are sent unencrypted.",
                    file=sys.stderr,
                )
            print(f"Local RudderStack is ready at {server.url}", flush=True)  # noqa: T201
            print(f"Control token: {server.control_token}", flush=True)  # noqa: T201
            for line in _description(options, config):
                print(line)  # noqa: T201
            print("Press Ctrl-C to stop it.", flush=True)  # noqa: T201
            stopped.wait()
    return 0


def _description(options: argparse.Namespace, config: WorkspaceConfig | None) -> Iterator[str]:
    """Return the lines that say which token the server accepts, its seed and what it has loaded."""
    # The variable may hold the token of a real workspace, so its value is not shown.
    if options.token:
        shown = "the one of --token"
    elif os.environ.get(TOKEN_VARIABLE):
        shown = f"the value of {TOKEN_VARIABLE}"
    else:
        shown = DEFAULT_TOKEN
    yield f"Access token: {shown}"
    yield f"Seed: {options.seed}"
    if config is None:
        yield "The workspace is empty. --config FILE loads one."
        return
    counts = {
        "source": config.sources,
        "destination": config.destinations,
        "connection": config.connections,
        "project": config.projects,
        "fault": config.faults,
    }
    loaded = [f"{len(each)} {noun}{'' if len(each) == 1 else 's'}" for noun, each in counts.items()]
    yield f"Loaded {options.config}: {', '.join(loaded)}"
    yield from (f"  connection {each.id}" for each in config.connections)
    yield from (f"  project {each.id}" for each in config.projects)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dagster_rudderstack.testing",
        description="Run a local RudderStack for tests: its API on a port of this machine.",
    )
    add = parser.add_argument
    add("--port", type=int, default=DEFAULT_PORT, help="0 takes a free port; default: %(default)s")
    add("--host", default="127.0.0.1", help="address to listen on; default: this machine only")
    add("--token", help=f"access token; default: ${TOKEN_VARIABLE}, or {DEFAULT_TOKEN!r}")
    control = f"token of the control API; default: ${CONTROL_TOKEN_VARIABLE}, or a new one"
    add("--control-token", help=control)
    add("--folder", type=Path, help="where tables of the control API may be; default: this folder")
    add("--config", type=Path, help="JSON file with sources, destinations, connections and faults")
    # With ids of an earlier start, Dagster would take a new sync for one that it has seen.
    seed = secrets.randbits(32)
    add("--seed", type=int, default=seed, help="seed of ids and faults; default: a new one")
    add(
        "--time-scale",
        type=float,
        default=1.0,
        help="speed of the clock: with 60, an hour takes a minute",
    )
    add("--latency-seconds", type=float, default=0.0, help="delay of each answer; default: 0")
    return parser


def _server(options: argparse.Namespace, config: WorkspaceConfig | None) -> LocalRudderStack:
    return LocalRudderStack(
        access_token=options.token or os.environ.get(TOKEN_VARIABLE) or DEFAULT_TOKEN,
        port=options.port,
        clock=ScaledClock(options.time_scale),
        seed=options.seed,
        host=options.host,
        latency_seconds=options.latency_seconds,
        control_token=options.control_token or os.environ.get(CONTROL_TOKEN_VARIABLE),
        folder=options.folder,
        # DuckDB's settings hold for a whole process, and this one belongs to the server.
        reads_files=False,
        config=config,
    )


@contextmanager
def _stopped_by_signal() -> Iterator[threading.Event]:
    """Set the event on SIGINT and SIGTERM, and restore the handlers for a caller of `main`."""
    stopped = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, lambda *_: stopped.set())
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit_with(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)  # noqa: T201
    return _WRONG_USAGE


if __name__ == "__main__":
    sys.exit(main())

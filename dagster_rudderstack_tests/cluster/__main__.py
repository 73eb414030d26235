"""Breaks a real cluster in many ways, and counts the syncs of each case.

    python -m dagster_rudderstack_tests.cluster
    python -m dagster_rudderstack_tests.cluster --only killed database

The cluster is Dagster with a Celery executor: two workers, Redis and PostgreSQL, a webserver, a
daemon and a code server, each in its own process, and the local RudderStack. In each case, every
wanted sync is to have one start and one materialization. If not, the log of the runs is printed,
and the exit status is 1. It needs Debian's packages redis-server and postgresql.
"""

# ruff: noqa: T201 - the output of a command

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from dagster_rudderstack.testing import SyncScript
from dagster_rudderstack_tests.cluster.cases import TOGETHER, Scenario
from dagster_rudderstack_tests.cluster.cluster import QUERY_SECONDS, Cluster, cluster
from dagster_rudderstack_tests.cluster.outages import ONE_BY_ONE
from dagster_rudderstack_tests.cluster.result import Row, are_over, row_of, runs_of, table
from dagster_rudderstack_tests.processes.harness import wait_for

RUN_SECONDS = 180.0
"""How long the runs of a scenario may take after it has broken something."""
LAUNCH_SECONDS = 1.0
"""The time from the launch of one scenario to that of the next."""
STEP_SECONDS = 60.0
"""How long a step may go on after all runs have ended."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the scenarios and print the table. Return 1 if a row is not as wanted, otherwise 0."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [scenario.name for scenario in (*TOGETHER, *ONE_BY_ONE)]
    parser.add_argument("--only", nargs="+", choices=names, metavar="CASE", help=", ".join(names))
    parser.add_argument("--logs", action="store_true", help="print the logs of all runs")
    options = parser.parse_args(arguments)
    chosen = options.only or names
    # Let SIGTERM end the services, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="cluster-"))
    with cluster(folder) as running:
        _say(began, "All services run.")
        rows = _rows(running, chosen, began)
        for row in rows:
            if options.logs or row.problems:
                _explain(running, row)
    print(table(rows))
    failed = [row for row in rows if row.problems]
    _say(began, f"{len(rows) - len(failed)} of {len(rows)} rows are as wanted.")
    if failed:
        print(f"The logs of the services are in {folder}.")
    else:
        shutil.rmtree(folder)
    return int(bool(failed))


def _rows(running: Cluster, chosen: Sequence[str], began: float) -> list[Row]:
    """Run the scenarios, those that can at the same time, and return their rows."""
    errors: dict[str, str] = {}

    def play(scenario: Scenario) -> None:
        try:
            _play(running, scenario)
        except Exception as error:  # noqa: BLE001 - it is shown, and the other cases go on
            errors[scenario.name] = f"{type(error).__name__}: {error}"
        _say(began, f"{scenario.name}: played")

    together = _chosen(TOGETHER, chosen)
    pool = ThreadPoolExecutor(max_workers=len(TOGETHER))
    try:
        futures = []
        for scenario in together:
            futures.append(pool.submit(play, scenario))
            # So that the runs are queued in this order.
            time.sleep(LAUNCH_SECONDS)
        wait(futures)
    finally:
        # After Ctrl-C, the services end at once, and the scenarios with them.
        pool.shutdown(wait=False, cancel_futures=True)
    one_by_one = _chosen(ONE_BY_ONE, chosen)
    for scenario in one_by_one:
        play(scenario)
    return [
        row_of(
            case,
            running.home.instance,
            running.server,
            [errors[scenario.name]] if scenario.name in errors else [],
        )
        for scenario in (*together, *one_by_one)
        for case in scenario.cases
    ]


def _chosen(scenarios: Iterable[Scenario], names: Sequence[str]) -> list[Scenario]:
    return [scenario for scenario in scenarios if scenario.name in names]


def _play(running: Cluster, scenario: Scenario) -> None:
    """Run one scenario until all its runs and their steps have ended."""
    for case in scenario.cases:
        for connection, seconds in case.seconds.items():
            script = SyncScript(duration_seconds=seconds, rows_total=10)
            running.server.add_connection(connection, script=script)
    scenario.play(running, scenario)
    instance = running.home.instance

    def has_ended() -> bool:
        for case in scenario.cases:
            if running.reexecute_missed(case):
                print(
                    f"{case.name}: Dagster's daemon has missed a retry, so the run was re-executed"
                )
        return all(are_over(case, runs_of(instance, case)) for case in scenario.cases)

    wait_for(
        has_ended,
        f"the end of the runs of {scenario.name}",
        RUN_SECONDS,
        QUERY_SECONDS,
    )
    # A step that was delivered twice may outlive its run.
    ids = [run.run_id for case in scenario.cases for run in runs_of(instance, case)]
    wait_for(
        lambda: not running.has_steps_of(ids),
        f"the end of the steps of {scenario.name}, whose runs have ended",
        STEP_SECONDS,
        QUERY_SECONDS,
    )


def _explain(running: Cluster, row: Row) -> None:
    """Print why a row is not as wanted, its syncs, and the logs of its runs."""
    print(f"\n=== {row.case.name}: {row.case.title}")
    print(*(f"- {problem}" for problem in row.problems), sep="\n")
    for connection in row.case.seconds:
        for sync in running.server.syncs(connection):
            print(f"  {connection}: {sync}")
    for run in runs_of(running.home.instance, row.case):
        print(f"\n--- run {running.home.run(run.run_id).log}")
    print()


def _say(began: float, text: str) -> None:
    print(f"{time.monotonic() - began:5.0f} s  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

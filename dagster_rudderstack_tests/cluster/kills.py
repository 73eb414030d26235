"""Kills processes of a real cluster at random while runs go on, and counts starts and reports.

    python -m dagster_rudderstack_tests.cluster.kills --seed 1 --runs 50 --seconds 300

The cluster is that of `python -m dagster_rudderstack_tests.cluster`. Each run has its own
connections: one, three in one step, one that the polling sensor reports, or one that waits for the
sync of another client. For some minutes, every 3 to 7 seconds, something gets SIGKILL: a run
worker, a Celery child that executes a step, a Celery worker with its children, or the daemon. The
two last are then restarted. If what is to be killed is not there, a step is killed instead.

The seed decides when runs are launched, how long their syncs take, and what kind of process is
killed when. It does not decide how fast the processes are, and so which of them are there to be
killed, and what they are doing. So a seed repeats the load and the kills, and not each event.

Celery's visibility timeout is longer than each step, as docs/guides/deployment.md says. With
`--visibility-seconds 20`, many steps are executed again while they still run.

Afterwards, when nothing goes on any more, each chain of a run and its retries must have ended in
success, and each wanted sync must have one start and no stop, and be reported by one
materialization. Three things are counted that are no violation:

- A run whose process was killed after its steps had succeeded is marked as failed by Dagster, which
  then has nothing to retry.
- A retry of a failed run writes the materializations of that run again, without syncing. See
  docs/guides/many-syncs.md.
- Dagster's daemon can miss a run that it has promised to retry. Such a run is re-executed, as a
  person would do. See `Cluster.reexecute_missed`.

A violation is printed with the logs of its runs, and the exit status is 1.
"""

# ruff: noqa: T201 - the output of a command

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dagster_rudderstack.testing import SyncScript
from dagster_rudderstack_tests.cluster.cluster import Cluster, Setup, cluster
from dagster_rudderstack_tests.cluster.kill_plan import Launch, Plan, plan_of
from dagster_rudderstack_tests.cluster.kill_project import RUNS_VARIABLE
from dagster_rudderstack_tests.cluster.kill_report import (
    Verdict,
    counts,
    evidence,
    reports_of,
    verdict_of,
)
from dagster_rudderstack_tests.cluster.killer import Killer
from dagster_rudderstack_tests.cluster.result import Case, are_over, runs_of
from dagster_rudderstack_tests.processes.harness import wait_for

PROJECT = "dagster_rudderstack_tests.cluster.kill_project"
VISIBILITY_SECONDS = 120
"""More than the longest sync, and than the sync of another client and the one that waits for it."""
MAX_RETRIES = 10
"""A run can be killed many times."""
FIRST_SYNCS = 3
FIRST_SYNCS_SECONDS = 180.0
"""The first kill waits until some syncs are started. Before that, there is little to kill."""
QUIET_SECONDS = 1200.0
"""How long the runs may take after the last kill. On a busy machine, many wait to be launched."""
SETTLING_SECONDS = 15.0
"""How long to wait for a second report, of the sensor or of a step, after all has ended."""
POLL_SECONDS = 2.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill processes and print what was left behind. Return 1 if there is a violation, else 0."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1, help="what is decided by it: see above (1)")
    parser.add_argument("--runs", type=int, default=50, help="how many runs are launched (50)")
    parser.add_argument("--seconds", type=float, default=300, help="how long to kill (300)")
    parser.add_argument(
        "--visibility-seconds",
        type=int,
        default=VISIBILITY_SECONDS,
        help=f"Celery delivers a step again that takes longer ({VISIBILITY_SECONDS})",
    )
    parser.add_argument("--logs", action="store_true", help="print the logs of all runs")
    options = parser.parse_args(arguments)
    # Let SIGTERM end the services, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.environ[RUNS_VARIABLE] = str(options.runs)
    plan = plan_of(options.seed, options.runs, options.seconds)
    print(
        f"seed {options.seed}, {options.runs} runs, {len(plan.kills)} kills, visibility timeout "
        f"{options.visibility_seconds} s",
        flush=True,
    )
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    setup = Setup(PROJECT, MAX_RETRIES, options.visibility_seconds)
    with cluster(folder, setup) as running:
        verdicts = _play(running, plan, print_all=options.logs)
    print(counts(verdicts))
    has_failed = any(verdict.problems for verdict in verdicts)
    print(f"seed {options.seed}: {'NOT as wanted' if has_failed else 'as wanted'}")
    if has_failed:
        print(f"The logs of the services are in {folder}.")
    else:
        shutil.rmtree(folder)
    return int(has_failed)


def _play(running: Cluster, plan: Plan, *, print_all: bool) -> list[Verdict]:
    """Launch the runs, kill processes, wait until all has ended, and judge."""
    for launch in plan.launches:
        for connection, seconds in launch.case.seconds.items():
            script = SyncScript(duration_seconds=seconds, rows_total=10)
            running.server.add_connection(connection, script=script)
    began, since = time.monotonic(), time.time()
    is_aborted = threading.Event()
    with ThreadPoolExecutor(max_workers=1) as pool:
        launched = pool.submit(_launch_all, running, plan, began, is_aborted)
        try:
            _kill_all(running, plan, began)
        except BaseException:
            is_aborted.set()
            raise
        errors = launched.result()
    cases = [launch.case for launch in plan.launches]
    _say(began, "The kills are over.")
    _wait_until_quiet(running, cases, began)
    instance, server = running.home.instance, running.server
    verdicts = [verdict_of(case, instance, server, errors.get(case.name, ())) for case in cases]
    for verdict in verdicts:
        if print_all or verdict.problems:
            print(*evidence(verdict, instance, server, since), sep="\n")
    return verdicts


def _launch_all(
    running: Cluster, plan: Plan, began: float, is_aborted: threading.Event
) -> Mapping[str, Sequence[str]]:
    """Launch all runs, each at its time. Return what went wrong, by case."""
    errors = {}
    for launch in plan.launches:
        if is_aborted.wait(max(0.0, began + launch.at - time.monotonic())):
            break
        try:
            _launch(running, launch)
        except Exception as error:  # noqa: BLE001 - it is reported, and the other runs go on
            errors[launch.case.name] = [f"Could not be launched: {type(error).__name__}: {error}"]
    return errors


def _launch(running: Cluster, launch: Launch) -> None:
    if launch.other_seconds is not None:
        (connection,) = launch.case.seconds
        script = SyncScript(duration_seconds=launch.other_seconds)
        running.server.start_sync(connection, "dashboard", script=script)
    running.launch(launch.case.name, *launch.case.seconds)


def _kill_all(running: Cluster, plan: Plan, began: float) -> None:
    lengths = {name: each for launch in plan.launches for name, each in launch.case.seconds.items()}
    killer = Killer(running, lengths)
    with contextlib.suppress(AssertionError):
        wait_for(lambda: len(running.server.starts()) >= FIRST_SYNCS, "syncs", FIRST_SYNCS_SECONDS)
    first = time.monotonic()
    killed: Counter[str] = Counter()
    for kill in plan.kills:
        time.sleep(max(0.0, first + kill.at - time.monotonic()))
        victim = killer.kill(kill)
        _say(began, f"Killed {victim}." if victim else f"No {kill.victim.value} to kill.")
        killed[_kind_of(victim)] += 1
    print("kills:", ", ".join(f"{number} x {name}" for name, number in killed.most_common()))
    _say(began, f"{len(running.server.starts())} of {len(lengths)} syncs were started so far.")


def _kind_of(victim: str | None) -> str:
    """Return what kind of process it was, without its name and number."""
    kinds = ("run worker", "Celery child", "celery", "daemon")
    return next((kind for kind in kinds if victim and victim.startswith(kind)), "none was there")


def _wait_until_quiet(running: Cluster, cases: Sequence[Case], began: float) -> None:
    """Wait until no run, no step and no sync goes on, and each sync is reported; not for ever."""
    is_waited_for = {case.name for case in cases}
    missed = 0

    def is_quiet() -> bool:
        nonlocal missed
        missed += sum(
            running.reexecute_missed(case) for case in cases if case.name in is_waited_for
        )
        is_waited_for.difference_update(
            [case.name for case in cases if case.name in is_waited_for and _is_over(running, case)]
        )
        if is_waited_for:
            return False
        ids = [run.run_id for case in cases for run in runs_of(running.home.instance, case)]
        return not running.has_steps_of(ids)

    with contextlib.suppress(AssertionError):
        wait_for(is_quiet, "the end of all runs", QUIET_SECONDS, POLL_SECONDS)
        _say(began, "Nothing goes on any more.")
    _say(began, f"Runs whose retry Dagster's daemon had missed: {missed}.")
    if is_waited_for:
        _say(began, f"These still go on: {', '.join(sorted(is_waited_for))}.")
    time.sleep(SETTLING_SECONDS)


def _is_over(running: Cluster, case: Case) -> bool:
    instance, server = running.home.instance, running.server
    return (
        are_over(case, runs_of(instance, case))
        and not any(sync.running for name in case.seconds for sync in server.syncs(name))
        and all(reports_of(instance, name) for name in case.seconds)
    )


def _say(began: float, text: str) -> None:
    print(f"{time.monotonic() - began:5.0f} s  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

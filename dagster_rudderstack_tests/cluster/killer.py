"""Finds the processes of a cluster that can be killed, and kills one of them."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import dagster as dg

from dagster_rudderstack.step.dagster_step import BEGIN_EVENTS
from dagster_rudderstack.testing import RecordedRequest, SimulatedSync
from dagster_rudderstack_tests.cluster.cluster import Cluster
from dagster_rudderstack_tests.cluster.kill_plan import Kill, Victim
from dagster_rudderstack_tests.cluster.result import CASE_TAG
from dagster_rudderstack_tests.processes.harness import signal_process
from dagster_rudderstack_tests.processes.project import PROCESS_HEADER

MOMENT_SECONDS = 3.0
"""How long to wait for the moment of a kill, before something else is killed."""
WATCH_SECONDS = 0.02
SEARCH_SECONDS = 0.5
"""How often to look for such a moment, and how often for a process, which takes some queries."""
END_SECONDS = 2.0
"""A step is killed up to this long after its sync has ended, which it notices within a second."""
_STARTED = re.compile(r"Started process for run \(pid: (\d+)\)")
_T = TypeVar("_T")
UNFINISHED = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]


@dataclass(frozen=True)
class Killer:
    """Kills processes of a cluster without any notice.

    Attributes:
        cluster: The cluster.
        seconds: How long the sync of each connection takes.
    """

    cluster: Cluster
    seconds: Mapping[str, float]
    _methods: Mapping[Victim, Callable[[float], str | None]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        methods = {
            Victim.RUN_WORKER: self._kill_run_worker,
            Victim.STEP: self._kill_step,
            Victim.STEP_AT_START: self._kill_step_at_start,
            Victim.STEP_AT_END: self._kill_step_at_end,
            Victim.WORKER: self._kill_worker,
            Victim.DAEMON: self._kill_daemon,
        }
        object.__setattr__(self, "_methods", methods)

    def kill(self, kill: Kill) -> str | None:
        """Kill something. Return what it was, or None if there was nothing to kill.

        If what is to be killed is not there, a step is killed instead.
        """
        kinds = dict.fromkeys([kill.victim, Victim.STEP])
        for kind in kinds:
            killed = self._methods[kind](kill.choice)
            if killed is not None:
                return killed
        return None

    # --- one process

    def _kill_run_worker(self, choice: float) -> str | None:
        return _kill_one(self._run_workers, choice)

    def _run_workers(self) -> list[tuple[str, int]]:
        """Return the processes of the unfinished runs: if possible, of those whose steps began.

        What Dagster does with a run whose process is killed before that needs no step.
        """
        family = _living(self.cluster["code-server"].family)
        have_begun = {run.run_id for run, _ in self._events(BEGIN_EVENTS)}
        found = [
            (f"run worker {number} of {_case_of(run)}", number, run.run_id in have_begun)
            for run, event in self._events({dg.DagsterEventType.ENGINE_EVENT})
            if (match := _STARTED.search(event.message or ""))
            and (number := int(match[1])) in family
        ]
        begun = [(name, number) for name, number, has_begun in found if has_begun]
        return begun or [(name, number) for name, number, _ in found]

    def _kill_step(self, choice: float) -> str | None:
        return _kill_one(self._steps, choice)

    def _steps(self) -> list[tuple[str, int]]:
        """Return the Celery children that execute a step of the unfinished runs."""
        family = self._celery_processes()
        return [
            (f"Celery child {event.pid} with {_case_of(run)}", event.pid)
            for run, event in self._events(BEGIN_EVENTS)
            if event.pid in family
        ]

    def _events(
        self, kinds: set[dg.DagsterEventType]
    ) -> Iterator[tuple[dg.DagsterRun, dg.DagsterEvent]]:
        """Yield events of the unfinished runs, each with its run."""
        instance = self.cluster.home.instance
        for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)):
            for entry in instance.all_logs(run.run_id, of_type=kinds):
                if entry.dagster_event is not None:
                    yield run, entry.dagster_event

    def _celery_processes(self) -> set[int]:
        return _living(number for worker in self.cluster.workers for number in worker.family)

    # --- one process, at a certain moment

    def _kill_step_at_start(self, _choice: float) -> str | None:
        known = len(self.cluster.server.starts())
        start = _watch(lambda: self.cluster.server.starts()[known:])
        if start is None:
            return None
        number = _process_of(start[0])
        signal_process(number, signal.SIGKILL)
        return f"Celery child {number}, which has just started {start[0].connection_id}"

    def _kill_step_at_end(self, choice: float) -> str | None:
        server = self.cluster.server
        running = [sync for sync in server.syncs() if sync.running and sync.origin == "api"]
        if not running:
            return None
        sync = min(running, key=self._ends_at)
        ended = _watch(
            lambda: [
                each
                for each in server.syncs(sync.connection_id)
                if each.id == sync.id and not each.running
            ]
        )
        if ended is None:
            return None
        time.sleep(choice * END_SECONDS)
        family = self._celery_processes()
        about = [request for request in server.requests if request.sync_id == sync.id]
        numbers = [number for each in about if (number := _process_of(each)) in family]
        if not numbers:
            return None
        signal_process(numbers[-1], signal.SIGKILL)
        return (
            f"Celery child {numbers[-1]}, {choice * END_SECONDS:.1f} s after the sync of "
            f"{sync.connection_id} had ended"
        )

    def _ends_at(self, sync: SimulatedSync) -> float:
        return sync.started_at + self.seconds[sync.connection_id]

    # --- a service

    def _kill_worker(self, choice: float) -> str:
        workers = self.cluster.workers
        worker = workers[int(choice * len(workers))]
        return self._kill_service(worker.name)

    def _kill_daemon(self, _choice: float) -> str:
        return self._kill_service("daemon")

    def _kill_service(self, name: str) -> str:
        service = self.cluster[name]
        service.kill()
        # Nothing waits until it is ready. That takes some seconds, in which it is away.
        service.start()
        return name


def _kill_one(find: Callable[[], list[tuple[str, int]]], choice: float) -> str | None:
    """Kill one of the processes that are found, once there are some."""
    found = sorted(_watch(find, SEARCH_SECONDS) or [])
    if not found:
        return None
    name, number = found[int(choice * len(found))]
    signal_process(number, signal.SIGKILL)
    return name


def _living(numbers: Iterable[int]) -> set[int]:
    """Return the processes without those that were killed and wait to be noticed."""
    return {number for number in numbers if not _is_dead(number)}


def _is_dead(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _watch(find: Callable[[], list[_T]], pause_seconds: float = WATCH_SECONDS) -> list[_T] | None:
    """Wait for a moment, and return what it brings. None if it does not come."""
    give_up_at = time.monotonic() + MOMENT_SECONDS
    while not (found := find()):
        if time.monotonic() > give_up_at:
            return None
        time.sleep(pause_seconds)
    return found


def _case_of(run: dg.DagsterRun) -> str:
    return run.tags.get(CASE_TAG, run.run_id)


def _process_of(request: RecordedRequest) -> int:
    return int(request.headers[PROCESS_HEADER])

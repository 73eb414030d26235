"""The Profiles projects and ETL sources of a workspace, and their runs, without HTTP."""

import random
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from dagster_rudderstack.testing.clock import Clock, to_milliseconds
from dagster_rudderstack.testing.errors import RefusedError, UnknownIdError
from dagster_rudderstack.testing.ids import new_id
from dagster_rudderstack.testing.objects import Project, check_run_script
from dagster_rudderstack.testing.runs import Run, RunWork, SimulatedRun, run_snapshot
from dagster_rudderstack.testing.scripts import RunScript
from dagster_rudderstack.testing.syncs import Origin

_RUN_ID_LENGTH = 20

BuildStarter = Callable[[Run, Project], RunWork]


class Projects:
    """Profiles projects and ETL sources, by their source ids, and their runs.

    `start_build` starts the work of a run whose project builds tables. `has_legacy_status` is
    whether the API has `/sources/{id}/status`, which a project can switch off as well. All methods
    may be called from any thread.
    """

    def __init__(
        self,
        clock: Clock,
        seed: int,
        start_build: BuildStarter,
        *,
        has_legacy_status: bool = True,
    ) -> None:
        self._clock = clock
        self._seed = seed
        self._start_build = start_build
        self._has_legacy_status = has_legacy_status
        self._lock = threading.RLock()
        self.clear()

    def clear(self) -> None:
        """Remove everything and restart the sequence of run ids."""
        with self._lock:
            # Apart from the ids of the syncs: the number of syncs must not change those of runs.
            self._ids = random.Random(f"runs {self._seed}")  # noqa: S311 - no secrets
            self._projects: dict[str, Project] = {}
            self._next_scripts: dict[str, deque[RunScript]] = defaultdict(deque)
            self._runs: dict[str, Run] = {}

    def add(self, project: Project) -> None:
        """Add a project, or replace the one with the same id and keep its runs."""
        with self._lock:
            self._projects[project.id] = project

    def update(self, source_id: str, **changes: Any) -> None:
        """Change some settings of a project."""
        with self._lock:
            self.add(replace(self.get(source_id), **changes))

    def remove(self, source_id: str) -> None:
        """Remove a project. Its runs are kept, but the API no longer shows them."""
        with self._lock:
            self.get(source_id)
            del self._projects[source_id]

    def all(self) -> Sequence[Project]:
        """Return all projects, in the order of their addition."""
        with self._lock:
            return list(self._projects.values())

    def get(self, source_id: str) -> Project:
        """Return the project, or raise UnknownIdError."""
        with self._lock:
            if source_id not in self._projects:
                raise UnknownIdError(f"source {source_id} not found")
            return self._projects[source_id]

    def has_legacy_status(self, source_id: str) -> bool:
        """Return whether the API shows the newest run of the source. Raises no error."""
        with self._lock:
            project = self._projects.get(source_id)
            return self._has_legacy_status and (project is None or project.legacy_status)

    def set_script(self, source_id: str, script: RunScript) -> None:
        """Set the script of all later runs of the project."""
        self.update(source_id, script=script)

    def script_next(self, source_id: str, scripts: Iterable[RunScript]) -> None:
        """Set the scripts of the next runs of the project, one for each run."""
        queued = list(scripts)
        for script in queued:
            check_run_script(script)
        with self._lock:
            self.get(source_id)
            self._next_scripts[source_id].extend(queued)

    def start_run(
        self,
        source_id: str,
        origin: Origin,
        parameters: Iterable[str] = (),
        script: RunScript | None = None,
    ) -> Run:
        """Start a run. `script` None: the next one in the queue, or the project's.

        Raises UnknownIdError, or RefusedError if a run of the project runs.
        """
        if script is not None:
            check_run_script(script)
        with self._lock:
            project = self.get(source_id)
            now = self._clock()
            if any(not run.is_over(now) for run in self._runs_of(source_id)):
                raise RefusedError("already_running", "a run of this source is already running")
            run = Run(
                new_id(self._ids, _RUN_ID_LENGTH),
                source_id,
                origin,
                script or self._next_script(project),
                to_milliseconds(now),
                tuple(parameters),
            )
            if project.build is not None:
                run.work = self._start_build(run, project)
            self._runs[run.id] = run
            return run

    def _next_script(self, project: Project) -> RunScript:
        queue = self._next_scripts[project.id]
        return queue.popleft() if queue else project.script

    def _runs_of(self, source_id: str | None) -> Sequence[Run]:
        return [run for run in self._runs.values() if source_id in (None, run.source_id)]

    def run(self, source_id: str, run_id: str) -> Run:
        """Return a run. Raises UnknownIdError, also while the run is hidden."""
        with self._lock:
            self.get(source_id)
            run = self._runs.get(run_id)
            if run is None or run.source_id != source_id or run.is_hidden(self._clock()):
                raise UnknownIdError(f"run {run_id} not found")
            return run

    def newest_run(self, source_id: str) -> Run:
        """Return the newest run of a project that the API shows, or raise UnknownIdError."""
        with self._lock:
            self.get(source_id)
            now = self._clock()
            visible = [run for run in self._runs_of(source_id) if not run.is_hidden(now)]
            if not visible:
                raise UnknownIdError(f"source {source_id} has no runs")
            return visible[-1]

    def snapshots(self, source_id: str | None = None) -> list[SimulatedRun]:
        """Return the state of all runs (of the project), oldest first, also hidden ones."""
        with self._lock:
            now = self._clock()
            return [run_snapshot(run, now) for run in self._runs_of(source_id)]

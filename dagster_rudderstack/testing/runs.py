"""Runs of Profiles projects and ETL sources. Their state follows from their script and the time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from dagster_rudderstack.testing.scripts import RunScript
from dagster_rudderstack.testing.syncs import Origin, Timed, natural_end


@dataclass(frozen=True)
class RunTask:
    """A task of a run. `finished_at` and `error` are None until they are known."""

    name: str
    started_at: float
    finished_at: float | None = None
    error: str | None = None


class RunWork(Timed, Protocol):
    """The real work of a run, done in its own thread."""

    @property
    def error(self) -> str | None:
        """Why it failed. None if it did not."""

    @property
    def tasks(self) -> Sequence[RunTask]:
        """The tasks that have begun, in their order."""
        ...


@dataclass
class Run:
    """One run. Times are epoch seconds on the server's clock."""

    id: str
    source_id: str
    origin: Origin
    script: RunScript
    started_at: float
    parameters: Sequence[str] = ()
    work: RunWork | None = None

    @property
    def job_id(self) -> str:
        """The id of its job, which is longer than that of the run."""
        return f"{self.id}job0000"

    @property
    def _ends_at(self) -> float | None:
        """When it ends or has ended. None if that is not known, or never."""
        return natural_end(self.script, self.started_at, self.work)

    def is_over(self, now: float) -> bool:
        """Return whether it has really ended, regardless of its status."""
        ends_at = self._ends_at
        return ends_at is not None and now >= ends_at

    def is_hidden(self, now: float) -> bool:
        """Return whether the API does not show it yet."""
        return now < self.started_at + self.script.hidden_for_seconds

    def status(self, now: float) -> str:
        """Return the status that the API shows."""
        return self.script.status if self.is_over(now) else self.script.running_status

    def error(self, now: float) -> str | None:
        """Return why it failed. None while it runs."""
        if not self.is_over(now):
            return None
        return (self.work.error if self.work else None) or self.script.error

    def finished_at(self, now: float) -> float | None:
        """Return when it ended. None while it runs."""
        return self._ends_at if self.is_over(now) else None

    def tasks(self, now: float) -> Sequence[RunTask]:
        """Return the tasks that have begun. Those of a script take equal parts of the run."""
        if self.work is not None:
            return self.work.tasks
        names = self.script.tasks
        seconds = float("inf") if self.script.never_ends else self.script.duration_seconds
        begins = [
            self.started_at + (seconds * index / len(names) if index else 0)
            for index in range(len(names))
        ]
        ends = [*begins[1:], self.started_at + seconds]
        tasks = [
            RunTask(name, begin, end if now >= end else None)
            for name, begin, end in zip(names, begins, ends, strict=False)
            if now >= begin
        ]
        if self.is_over(now) and tasks:
            tasks[-1] = replace(tasks[-1], error=self.script.error)
        return tasks


@dataclass(frozen=True)
class SimulatedRun:
    """The state of a run at the moment of the call.

    Times are epoch seconds on the server's clock.

    Attributes:
        id: The run.
        source_id: Its project or source.
        origin: What started it: `api`, `schedule` or `dashboard`.
        parameters: The parameters of the start.
        status: The status that the API shows.
        running: Whether it really runs, regardless of its `status`.
        started_at: When it started.
        finished_at: When it ended. None while it runs.
        error: Why it failed. None while it runs, and if it did not fail.
    """

    id: str
    source_id: str
    origin: Origin
    parameters: tuple[str, ...]
    status: str
    running: bool
    started_at: float
    finished_at: float | None
    error: str | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", tuple(self.parameters))


def run_snapshot(run: Run, now: float) -> SimulatedRun:
    """Return the state of a run now."""
    return SimulatedRun(
        id=run.id,
        source_id=run.source_id,
        origin=run.origin,
        parameters=tuple(run.parameters),
        status=run.status(now),
        running=not run.is_over(now),
        started_at=run.started_at,
        finished_at=run.finished_at(now),
        error=run.error(now),
    )

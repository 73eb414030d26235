"""The methods of `LocalRudderStack` for Profiles projects, ETL sources and their runs."""

# ruff: noqa: A002, PLR0913 - the settings have the names of the API, and most have defaults

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

from dagster_rudderstack.testing.builds import TableBuild
from dagster_rudderstack.testing.objects import Project
from dagster_rudderstack.testing.projects import Projects
from dagster_rudderstack.testing.request_log import RecordedRequest, with_effect
from dagster_rudderstack.testing.runs import SimulatedRun
from dagster_rudderstack.testing.scripts import RunScript


class ProjectMethods(ABC):
    """What a test does with projects and runs. A project is a Profiles project or ETL source."""

    @property
    @abstractmethod
    def _projects(self) -> Projects: ...

    @property
    @abstractmethod
    def requests(self) -> list[RecordedRequest]:
        """All requests to the API, in order of arrival."""

    def add_project(
        self,
        id: str,
        script: RunScript | None = None,
        *,
        build: TableBuild | None = None,
        start_status: Literal[200, 201, 204] = 200,
        legacy_status: bool = True,
        deny: str | None = None,
    ) -> None:
        """Add a Profiles project or ETL source, or replace the one with the same id.

        Its runs are kept. While a run runs, a start is answered with 409.

        Args:
            id: Id of the source.
            script: What its runs do.
            build: The tables to build, if its runs build real tables.
            start_status: Status of the answer to a start: 200 with the id of the run, or 201 or
                204, as older clients accept, without it.
            legacy_status: Whether `/sources/{id}/status` exists. If not, the answer is 404.
            deny: If set, every request for the source is answered with 403 and this text.

        Raises:
            ValueError: The start status has another value.
            TypeError: The script or build has the wrong type.
        """
        self._projects.add(
            Project(
                id,
                RunScript() if script is None else script,
                build,
                start_status=start_status,
                legacy_status=legacy_status,
                deny=deny,
            )
        )

    def update_project(self, id: str, **changes: Any) -> None:
        """Change settings of a project, such as `legacy_status=False`."""
        self._projects.update(id, **changes)

    def remove_project(self, id: str) -> None:
        """Remove a project. Requests for it are then answered with 404."""
        self._projects.remove(id)

    def set_run_script(self, source_id: str, script: RunScript) -> None:
        """Set the script of all later runs of the project, after those of `script_next_runs`."""
        self._projects.set_script(source_id, script)

    def script_next_runs(self, source_id: str, *scripts: RunScript) -> None:
        """Set the scripts of the next runs of the project, one for each run."""
        self._projects.script_next(source_id, scripts)

    def start_run(
        self,
        source_id: str,
        origin: Literal["schedule", "dashboard"] = "schedule",
        parameters: Sequence[str] = (),
        script: RunScript | None = None,
    ) -> str:
        """Start a run as another client would, and return its id.

        Args:
            source_id: The project or source.
            origin: The client.
            parameters: The parameters, as the API takes them.
            script: What the run does. None is the project's next script.

        Raises:
            UnknownIdError: If there is no such project.
            RefusedError: If a run of the project runs.
        """
        return self._projects.start_run(source_id, origin, parameters, script).id

    def runs(self, source_id: str | None = None) -> list[SimulatedRun]:
        """Return the state of all runs (of the project), oldest first, also hidden ones."""
        return self._projects.snapshots(source_id)

    def run_starts(self, source_id: str | None = None) -> list[RecordedRequest]:
        """Return the requests that started a run (of the project), regardless of the answer."""
        return with_effect(self.requests, "start_run", source_id=source_id)

"""The parts of a local RudderStack, without the network."""

import secrets
import traceback
from pathlib import Path
from typing import Literal

from dagster_rudderstack.testing.clock import Clock
from dagster_rudderstack.testing.config import WorkspaceConfig
from dagster_rudderstack.testing.faults import FaultRules
from dagster_rudderstack.testing.projects import Projects
from dagster_rudderstack.testing.request_log import RequestLog
from dagster_rudderstack.testing.rows.workers import Workers
from dagster_rudderstack.testing.workspace import Workspace


class Simulator:
    """The workspace, the faults, the request log, and the threads that move real rows.

    The control API needs the `control_token`, and its tables must be in the `folder`. The SQL of a
    source or project may read other files than its warehouse if `reads_files` is set.
    `legacy_status` is whether `/sources/{id}/status` exists.

    `latency_seconds` is real time before each answer; requests wait in parallel. `errors` holds the
    traceback of each bug of the simulator that a request has met.
    """

    def __init__(  # noqa: PLR0913 - the settings of LocalRudderStack
        self,
        *,
        access_token: str,
        clock: Clock,
        seed: int = 0,
        latency_seconds: float = 0.0,
        path_prefix: str = "",
        config: WorkspaceConfig | None = None,
        unknown_sync_status: Literal[404, 500] = 404,
        legacy_status: bool = True,
        host: str = "127.0.0.1",
        control_token: str | None = None,
        folder: Path | None = None,
        reads_files: bool = True,
    ) -> None:
        self.host = host
        self.control_token = control_token or secrets.token_urlsafe(24)
        self.folder = (folder or Path.cwd()).resolve()
        self.access_token = access_token
        self.clock = clock
        self.latency_seconds = latency_seconds
        self.path_prefix = _clean_prefix(path_prefix)
        self.workers = Workers(clock, reads_files=reads_files)
        projects = Projects(clock, seed, self.workers.start_run, has_legacy_status=legacy_status)
        self.workspace = Workspace(
            clock, seed, self.workers.start_sync, projects, unknown_sync_status
        )
        self.faults = FaultRules(clock, seed)
        self.request_log = RequestLog()
        self.errors: list[str] = []
        self._config = config or WorkspaceConfig()
        self._apply_config()

    @property
    def latency_seconds(self) -> float:
        """Seconds of real time before each answer."""
        return self._latency_seconds

    @latency_seconds.setter
    def latency_seconds(self, seconds: float) -> None:
        if not 0 <= seconds < float("inf"):
            raise ValueError(f"latency_seconds must be 0 or more, not {seconds!r}")
        self._latency_seconds = seconds

    def _apply_config(self) -> None:
        """Add the content of the configuration."""
        for source in self._config.sources:
            self.workspace.add_source(source)
        for destination in self._config.destinations:
            self.workspace.add_destination(destination)
        for connection in self._config.connections:
            self.workspace.add_connection(connection)
        for project in self._config.projects:
            self.workspace.projects.add(project)
        for fault in self._config.faults:
            self.faults.add(fault)

    def add_error(self, error: BaseException) -> None:
        """Add the traceback of a bug."""
        self.errors.append("".join(traceback.format_exception(error)))

    def reset(self) -> None:
        """Return to the state after the start: keep only the content of the configuration."""
        self.workers.stop_all()
        self.workspace.clear()
        self.faults.clear()
        self.faults.reseed()
        self.request_log.clear()
        self.errors.clear()
        self._apply_config()


def _clean_prefix(prefix: str) -> str:
    """Return the prefix with one leading and no trailing slash. An empty prefix stays empty."""
    inner = prefix.strip("/")
    return f"/{inner}" if inner else ""

"""The control API, with which another process controls a local RudderStack.

It speaks JSON, and needs the control token as `Authorization: Bearer`:

GET    /_control/state         {"syncs": [...], "runs": [...], "now": ..., "errors": [...], ...}
GET    /_control/requests      {"requests": [...]}
POST   /_control/sources       an entry of the configuration file
POST   /_control/destinations
POST   /_control/connections
POST   /_control/projects
POST   /_control/enabled       {"connection_id": ..., "enabled": false}
POST   /_control/scripts       {"connection_id": ..., "script": {...}}, for all later syncs
POST   /_control/next-scripts  {"connection_id": ..., "scripts": [...]}, one for each next sync
POST   /_control/syncs         {"connection_id": ..., "origin": "schedule", ...}: start a sync
POST   /_control/run-scripts   {"source_id": ..., "script": {...}}, for all later runs
POST   /_control/next-run-scripts  {"source_id": ..., "scripts": [...]}, one for each next run
POST   /_control/runs          {"source_id": ..., "parameters": [...], ...}: start a run
POST   /_control/denials       {"message": ..., "operation": ..., "source_id": ..., ...}: 403
POST   /_control/faults        the settings of a Fault
DELETE /_control/faults
POST   /_control/reset
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from dagster_rudderstack.testing.builds import TableBuild
from dagster_rudderstack.testing.dataclass_json import ConfigError, build
from dagster_rudderstack.testing.errors import RefusedError, UnknownIdError
from dagster_rudderstack.testing.faults import Fault
from dagster_rudderstack.testing.objects import Connection, Destination, Project, Source
from dagster_rudderstack.testing.scripts import RunScript, SyncScript
from dagster_rudderstack.testing.simulator import Simulator
from dagster_rudderstack.testing.syncs import SyncType
from dagster_rudderstack.testing.tables import TableSync
from dagster_rudderstack.testing.workspace import Denial

T = TypeVar("T")
Rows = TypeVar("Rows", TableSync, TableBuild)

CONTROL_ROOT = "/_control"


@dataclass(frozen=True)
class EnabledCommand:
    """Enables or disables a connection."""

    connection_id: str
    enabled: bool


@dataclass(frozen=True)
class ScriptCommand:
    """Sets the script of all later syncs of a connection."""

    connection_id: str
    script: SyncScript


@dataclass(frozen=True)
class NextScriptsCommand:
    """Sets the scripts of the next syncs of a connection, one for each sync."""

    connection_id: str
    scripts: Sequence[SyncScript]


@dataclass(frozen=True)
class SyncCommand:
    """Starts a sync as another client would."""

    connection_id: str
    origin: Literal["schedule", "dashboard"] = "schedule"
    sync_type: SyncType = "incremental"
    script: SyncScript | None = None


@dataclass(frozen=True)
class RunScriptCommand:
    """Sets the script of all later runs of a project."""

    source_id: str
    script: RunScript


@dataclass(frozen=True)
class NextRunScriptsCommand:
    """Sets the scripts of the next runs of a project, one for each run."""

    source_id: str
    scripts: Sequence[RunScript]


@dataclass(frozen=True)
class RunCommand:
    """Starts a run as another client would."""

    source_id: str
    origin: Literal["schedule", "dashboard"] = "schedule"
    parameters: Sequence[str] = ()
    script: RunScript | None = None


def control_app(simulator: Simulator) -> Starlette:
    """Make the ASGI application of the control API."""
    control = _Control(simulator)
    root = simulator.path_prefix + CONTROL_ROOT
    routes = [
        Route(f"{root}/state", control.state, methods=["GET"]),
        Route(f"{root}/requests", control.requests, methods=["GET"]),
        Route(f"{root}/faults", control.clear_faults, methods=["DELETE"]),
        Route(f"{root}/reset", control.reset, methods=["POST"]),
        *(
            Route(f"{root}/{name}", endpoint, methods=["POST"])
            for name, endpoint in control.endpoints()
        ),
    ]
    return Starlette(routes=routes, exception_handlers={Exception: control.bug})


class _Control:
    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def endpoints(self) -> Sequence[tuple[str, Callable[..., Any]]]:
        workspace = self._simulator.workspace
        return [
            ("sources", _endpoint(Source, workspace.add_source)),
            ("destinations", _endpoint(Destination, workspace.add_destination)),
            ("connections", _endpoint(Connection, self._add_connection)),
            ("projects", _endpoint(Project, self._add_project)),
            ("enabled", _endpoint(EnabledCommand, self._set_enabled)),
            ("scripts", _endpoint(ScriptCommand, self._set_script)),
            ("next-scripts", _endpoint(NextScriptsCommand, self._script_next)),
            ("syncs", _endpoint(SyncCommand, self._start_sync)),
            ("run-scripts", _endpoint(RunScriptCommand, self._set_run_script)),
            ("next-run-scripts", _endpoint(NextRunScriptsCommand, self._script_next_runs)),
            ("runs", _endpoint(RunCommand, self._start_run)),
            ("denials", _endpoint(Denial, workspace.deny)),
            ("faults", _endpoint(Fault, self._simulator.faults.add)),
        ]

    def _add_connection(self, connection: Connection) -> None:
        if connection.table is not None:
            connection = replace(connection, table=self._in_folder(connection.table))
        self._simulator.workspace.add_connection(connection)

    def _add_project(self, project: Project) -> None:
        if project.build is not None:
            project = replace(project, build=self._in_folder(project.build))
        self._simulator.workspace.projects.add(project)

    def _in_folder(self, rows: Rows) -> Rows:
        """Return a copy with the paths in the folder. The working folder may be another one."""
        folder = self._simulator.folder
        try:
            rows.check_folder(folder)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        return rows.in_folder(folder)

    def _set_enabled(self, command: EnabledCommand) -> None:
        self._simulator.workspace.update_connection(command.connection_id, enabled=command.enabled)

    def _set_script(self, command: ScriptCommand) -> None:
        self._simulator.workspace.set_script(command.connection_id, command.script)

    def _script_next(self, command: NextScriptsCommand) -> None:
        self._simulator.workspace.script_next(command.connection_id, command.scripts)

    def _start_sync(self, command: SyncCommand) -> dict[str, str]:
        workspace = self._simulator.workspace
        sync = workspace.start_sync(
            command.connection_id, command.origin, command.sync_type, command.script
        )
        return {"syncId": sync.id}

    def _set_run_script(self, command: RunScriptCommand) -> None:
        self._simulator.workspace.projects.set_script(command.source_id, command.script)

    def _script_next_runs(self, command: NextRunScriptsCommand) -> None:
        self._simulator.workspace.projects.script_next(command.source_id, command.scripts)

    def _start_run(self, command: RunCommand) -> dict[str, str]:
        run = self._simulator.workspace.projects.start_run(
            command.source_id, command.origin, command.parameters, command.script
        )
        return {"runId": run.id}

    async def state(self, request: Request) -> JSONResponse:
        workspace = self._simulator.workspace
        syncs = workspace.snapshots(request.query_params.get("connection_id"))
        runs = workspace.projects.snapshots(request.query_params.get("source_id"))
        return JSONResponse(
            {
                "now": self._simulator.clock(),
                "syncs": [asdict(sync) for sync in syncs],
                "runs": [asdict(run) for run in runs],
                "errors": list(self._simulator.errors),
                "peak_concurrency": self._simulator.request_log.peak_concurrency,
            }
        )

    async def requests(self, _: Request) -> JSONResponse:
        entries = self._simulator.request_log.entries()
        return JSONResponse({"requests": [asdict(entry) for entry in entries]})

    async def clear_faults(self, _: Request) -> JSONResponse:
        self._simulator.faults.clear()
        return JSONResponse({})

    async def reset(self, _: Request) -> JSONResponse:
        self._simulator.reset()
        return JSONResponse({})

    async def bug(self, _: Request, error: Exception) -> JSONResponse:
        self._simulator.add_error(error)
        return JSONResponse({"error": f"Bug in the local RudderStack: {error!r}"}, status_code=500)


def _endpoint(kind: Callable[..., T], run: Callable[[T], Any]) -> Callable[..., Any]:
    """Make an endpoint that builds a dataclass from JSON and calls a function with it."""

    async def endpoint(request: Request) -> JSONResponse:
        try:
            answer = run(build(kind, await _content(request), ""))
        except ConfigError as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        except UnknownIdError as error:
            return JSONResponse({"error": str(error)}, status_code=404)
        except RefusedError as error:
            return JSONResponse({"error": str(error)}, status_code=409)
        return JSONResponse(answer or {})

    return endpoint


async def _content(request: Request) -> Any:
    try:
        return await request.json()
    except (ValueError, RecursionError) as error:
        raise ConfigError("The body must be JSON") from error

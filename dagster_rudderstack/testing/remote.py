"""Controls a local RudderStack that runs in another process."""

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode

from dagster_rudderstack.testing.builds import TableBuild
from dagster_rudderstack.testing.dataclass_json import build as build_from_json
from dagster_rudderstack.testing.faults import Fault
from dagster_rudderstack.testing.request_log import RecordedRequest, with_effect
from dagster_rudderstack.testing.runs import SimulatedRun
from dagster_rudderstack.testing.scripts import RunScript, SyncScript
from dagster_rudderstack.testing.syncs import SimulatedSync, SyncType
from dagster_rudderstack.testing.tables import TableSync
from dagster_rudderstack.testing.web.control_api import CONTROL_ROOT

CONTROL_TOKEN_VARIABLE = "RUDDERSTACK_CONTROL_TOKEN"  # noqa: S105 - the name, not the token
_TIMEOUT_SECONDS = 30.0
_RETRY_SECONDS = 0.02


class RemoteLocalRudderStack:
    """A local RudderStack in another process, controlled over HTTP.

    The methods do the same as those of LocalRudderStack. They raise RuntimeError with the server's
    message if the server refuses.

    Args:
        url: The address that `python -m dagster_rudderstack.testing` prints.
        control_token: The control token that it prints. None reads it from the environment
            variable RUDDERSTACK_CONTROL_TOKEN, as the server does.
    """

    def __init__(self, url: str, control_token: str | None = None) -> None:
        self.url = url.rstrip("/")
        self._token = control_token or os.environ.get(CONTROL_TOKEN_VARIABLE, "")

    def wait_until_ready(self, timeout_seconds: float = 30.0) -> None:
        """Wait until the server answers. Raises TimeoutError after `timeout_seconds`."""
        deadline = time.monotonic() + timeout_seconds
        while not self._is_ready():
            if time.monotonic() >= deadline:
                raise TimeoutError(f"{self.url} does not answer")
            time.sleep(_RETRY_SECONDS)

    def _is_ready(self) -> bool:
        try:
            self._call("GET", "state")
        except OSError:
            return False
        return True

    def add_source(self, source_id: str, **settings: Any) -> None:
        """Add a source. The settings are those of the configuration file."""
        self._call("POST", "sources", {"id": source_id, **settings})

    def add_destination(self, destination_id: str, **settings: Any) -> None:
        """Add a destination. The settings are those of the configuration file."""
        self._call("POST", "destinations", {"id": destination_id, **settings})

    def add_connection(
        self,
        connection_id: str,
        *,
        script: SyncScript | None = None,
        table: TableSync | None = None,
        **settings: Any,
    ) -> None:
        """Add a connection. The other settings are those of the configuration file."""
        # The other process may have another working directory.
        absolute = None if table is None else table.in_folder(Path.cwd())
        body = {
            "id": connection_id,
            "script": script or SyncScript(),
            "table": absolute,
            **settings,
        }
        self._call("POST", "connections", body)

    def update_connection(self, connection_id: str, *, enabled: bool) -> None:
        """Enable or disable a connection."""
        self._call("POST", "enabled", {"connection_id": connection_id, "enabled": enabled})

    def set_script(self, connection_id: str, script: SyncScript) -> None:
        """Set the script of all later syncs of the connection."""
        self._call("POST", "scripts", {"connection_id": connection_id, "script": script})

    def script_next(self, connection_id: str, *scripts: SyncScript) -> None:
        """Set the scripts of the next syncs of the connection, one for each sync."""
        body = {"connection_id": connection_id, "scripts": scripts}
        self._call("POST", "next-scripts", body)

    def start_sync(
        self,
        connection_id: str,
        origin: Literal["schedule", "dashboard"] = "schedule",
        sync_type: SyncType = "incremental",
    ) -> str:
        """Start a sync as another client would, and return its id."""
        body = {"connection_id": connection_id, "origin": origin, "sync_type": sync_type}
        return str(self._call("POST", "syncs", body)["syncId"])

    def add_project(
        self,
        source_id: str,
        script: RunScript | None = None,
        *,
        build: TableBuild | None = None,
        **settings: Any,
    ) -> None:
        """Add a project. The other settings are those of the configuration file."""
        absolute = None if build is None else build.in_folder(Path.cwd())
        body = {
            "id": source_id,
            "script": script or RunScript(),
            "build": absolute,
            **settings,
        }
        self._call("POST", "projects", body)

    def set_run_script(self, source_id: str, script: RunScript) -> None:
        """Set the script of all later runs of the project."""
        self._call("POST", "run-scripts", {"source_id": source_id, "script": script})

    def script_next_runs(self, source_id: str, *scripts: RunScript) -> None:
        """Set the scripts of the next runs of the project, one for each run."""
        self._call("POST", "next-run-scripts", {"source_id": source_id, "scripts": scripts})

    def start_run(
        self,
        source_id: str,
        origin: Literal["schedule", "dashboard"] = "schedule",
        parameters: Sequence[str] = (),
    ) -> str:
        """Start a run as another client would, and return its id."""
        body = {"source_id": source_id, "origin": origin, "parameters": parameters}
        return str(self._call("POST", "runs", body)["runId"])

    def add_fault(self, fault: Fault) -> None:
        """Add a rule that breaks requests."""
        self._call("POST", "faults", fault)

    def clear_faults(self) -> None:
        """Remove all rules."""
        self._call("DELETE", "faults")

    def reset(self) -> None:
        """Return to the state after the start: keep only what the configuration file declares."""
        self._call("POST", "reset")

    @property
    def requests(self) -> list[RecordedRequest]:
        """All requests to the API, in order of arrival."""
        entries = self._call("GET", "requests")["requests"]
        return [
            RecordedRequest(**{**entry, "affected": tuple(entry["affected"])}) for entry in entries
        ]

    def syncs(self, connection_id: str | None = None) -> list[SimulatedSync]:
        """Return the current state of all syncs (of the connection), oldest first."""
        query = {} if connection_id is None else {"connection_id": connection_id}
        content = self._call("GET", f"state?{urlencode(query)}")
        return [build_from_json(SimulatedSync, each, "sync") for each in content["syncs"]]

    def starts(self, connection_id: str | None = None) -> list[RecordedRequest]:
        """Return the requests that started a sync, regardless of the answer."""
        return with_effect(self.requests, "start", connection_id=connection_id)

    def stops(self, connection_id: str | None = None) -> list[RecordedRequest]:
        """Return the accepted requests to stop, regardless of the answer."""
        return with_effect(self.requests, "stop", connection_id=connection_id)

    def runs(self, source_id: str | None = None) -> list[SimulatedRun]:
        """Return the current state of all runs (of the project), oldest first."""
        query = {} if source_id is None else {"source_id": source_id}
        content = self._call("GET", f"state?{urlencode(query)}")
        return [build_from_json(SimulatedRun, each, "run") for each in content["runs"]]

    def run_starts(self, source_id: str | None = None) -> list[RecordedRequest]:
        """Return the requests that started a run, regardless of the answer."""
        return with_effect(self.requests, "start_run", source_id=source_id)

    @property
    def errors(self) -> list[str]:
        """Tracebacks of bugs in the local RudderStack."""
        return [str(each) for each in self._call("GET", "state")["errors"]]

    def _call(self, method: str, path: str, body: object = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - a server of the caller
            f"{self.url}{CONTROL_ROOT}/{path}",
            data=_json(body),
            method=method,
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        try:
            # A proxy from the environment could not reach this machine.
            with _DIRECT.open(request, timeout=_TIMEOUT_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                message = error.read().decode()
            raise RuntimeError(f"{method} {path}: {message}") from error


_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _json(body: object) -> bytes | None:
    return None if body is None else json.dumps(body, default=_jsonable).encode()


def _jsonable(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else asdict(value)

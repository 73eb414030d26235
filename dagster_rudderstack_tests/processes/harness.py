"""A Dagster deployment of real processes: an instance on disk, its services, and commands."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
import httpx
import yaml

from dagster_rudderstack import RudderStackMetadataSet
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.processes.project import PROCESS_HEADER

PROJECT = "dagster_rudderstack_tests.processes.project"
ROOT = Path(__file__).parents[2]
LOCATION = "tests"
ASSET_JOB = "__ASSET_JOB"
"""Dagster's name for the job that has all assets."""

MAX_WAIT_SECONDS = 120.0
"""Most waits take 1 to 10 s. The limit is higher, so that a busy machine fails no test."""
POLL_SECONDS = 0.05

_T = TypeVar("_T")


def wait_for(
    find: Callable[[], _T | None],
    what: str,
    seconds: float = MAX_WAIT_SECONDS,
    poll_seconds: float = POLL_SECONDS,
) -> _T:
    """Call a function until it returns something true, and return that."""
    give_up_at = time.monotonic() + seconds
    while not (found := find()):
        if time.monotonic() > give_up_at:
            raise AssertionError(f"Timed out after {seconds:.0f} s while waiting for {what}")
        time.sleep(poll_seconds)
    return found


INSTANCE_CONFIG: Mapping[str, Any] = {
    "telemetry": {"enabled": False},
    "run_coordinator": {
        "module": "dagster._core.run_coordinator",
        "class": "DefaultRunCoordinator",
    },
    "run_retries": {"enabled": True, "max_retries": 0},
}


@dataclass
class Home:
    """A DAGSTER_HOME, and the processes that use it."""

    path: Path
    server: LocalRudderStack
    config: Mapping[str, Any] = field(default_factory=lambda: INSTANCE_CONFIG)

    def __post_init__(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "dagster.yaml").write_text(yaml.safe_dump(dict(self.config)))
        self.instance = dg.DagsterInstance.from_config(str(self.path))

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables of the processes."""
        return {
            "DAGSTER_HOME": str(self.path),
            "RUDDERSTACK_ACCESS_TOKEN": self.server.access_token,
            "RUDDERSTACK_API_URL": self.server.url,
        }

    def start(self, command: Sequence[str], log: str) -> subprocess.Popen[bytes]:
        """Start a process in a group of its own, with its output in a file."""
        with (self.path / f"{log}.log").open("ab") as output:
            return subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **self.variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def printed(self, log: str) -> str:
        """Return the output of a process so far."""
        return (self.path / f"{log}.log").read_text(errors="replace")

    # --- runs

    def run(self, run_id: str) -> Run:
        """Return a run of this instance."""
        return Run(self.instance, run_id)

    def newest_run(self, after: Sequence[Run] = ()) -> Run | None:
        """Return the newest run, or None if it is one of these."""
        records = self.instance.get_run_records(limit=1)
        if not records or records[0].dagster_run.run_id in {run.run_id for run in after}:
            return None
        return self.run(records[0].dagster_run.run_id)

    def retry_of(self, run: Run) -> Run:
        """Wait for the retry of a run, and return it."""
        filters = dg.RunsFilter(tags={"dagster/parent_run_id": run.run_id})
        found = wait_for(lambda: self.instance.get_runs(filters), f"a retry of {run.run_id}")
        return self.run(found[0].run_id)

    def close(self) -> None:
        """Close the databases."""
        self.instance.dispose()


@dataclass(frozen=True)
class Run:
    """One run: its status and its log."""

    instance: dg.DagsterInstance
    run_id: str
    poll_seconds: float = POLL_SECONDS

    @property
    def status(self) -> str:
        """The current status."""
        run = self.instance.get_run_by_id(self.run_id)
        assert run is not None
        return run.status.value

    @property
    def is_over(self) -> bool:
        """Whether the run has ended."""
        return self.status in ("SUCCESS", "FAILURE", "CANCELED")

    def wait_for_end(self) -> str:
        """Wait for the end of the run and return its status."""
        self._wait_for(lambda: self.is_over, f"the end of run {self.run_id}")
        return self.status

    def wait_for_log(self, text: str) -> None:
        """Wait until a line of the log contains this text. Fail if the run ends without it."""
        self._wait_for(
            lambda: self.has_logged(text) or self.is_over, f"{text!r} in the log of {self.run_id}"
        )
        assert self.has_logged(text), f"{text!r} is not in the log:\n{self.log}"

    def wait_for_sync_start(self, connection_id: str) -> None:
        """Wait until the log has the start of a sync of the connection."""
        self._wait_for(
            lambda: self.has_started(connection_id) or self.is_over,
            f"a sync of {connection_id} in {self.run_id}",
        )
        assert self.has_started(connection_id), f"No sync was started:\n{self.log}"

    def has_started(self, connection_id: str) -> bool:
        """Whether the log has the start of a sync of the connection."""
        end = f" of connection {connection_id} (incremental)."
        return any(
            line.startswith("Started sync") and line.endswith(end) for line in self.log_lines
        )

    def wait_for_exit(self) -> None:
        """Wait until the process of a launched run has exited."""
        found = "Process for run exited"
        self._wait_for(lambda: self.has_logged(found), f"the exit of {self.run_id}")

    def _wait_for(self, find: Callable[[], bool], what: str) -> None:
        try:
            wait_for(find, what, poll_seconds=self.poll_seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{self.log}") from None

    def events(self, kind: dg.DagsterEventType | None = None) -> list[dg.EventLogEntry]:
        """Return the events of one type, or all events."""
        return list(self.instance.all_logs(self.run_id, of_type=kind))

    @property
    def log_lines(self) -> list[str]:
        """The messages in the log of the run."""
        return [entry.message for entry in self.events()]

    def has_logged(self, text: str) -> bool:
        """Whether a line of the log contains this text."""
        return any(text in line for line in self.log_lines)

    @property
    def log(self) -> str:
        """Id, status and log of the run, for the message of a failed assertion."""
        return "\n".join([f"{self.run_id} {self.status}", *self.log_lines])

    @property
    def failures(self) -> list[dg.DagsterEvent]:
        """The failure events of the steps."""
        entries = self.events(dg.DagsterEventType.STEP_FAILURE)
        return [entry.get_dagster_event() for entry in entries]

    @property
    def reason(self) -> str:
        """The error message of the first step that failed."""
        data = self.failures[0].step_failure_data
        assert data.error is not None
        return data.error.message

    @property
    def step_failed_at(self) -> float:
        """When the first step failed, in epoch seconds."""
        return self.events(dg.DagsterEventType.STEP_FAILURE)[0].timestamp

    @property
    def step_starts(self) -> int:
        """How many times a step was started, retries included."""
        kinds = (dg.DagsterEventType.STEP_START, dg.DagsterEventType.STEP_RESTARTED)
        return sum(len(self.events(kind)) for kind in kinds)

    @property
    def origins(self) -> dict[str, str]:
        """The origin of the sync of each materialized asset."""
        return {
            materialization.asset_key.to_user_string(): str(
                RudderStackMetadataSet.extract(materialization.metadata).origin
            )
            for materialization in self.materializations
        }

    @property
    def materializations(self) -> list[dg.AssetMaterialization]:
        """The materializations of the run."""
        entries = self.events(dg.DagsterEventType.ASSET_MATERIALIZATION)
        found = [entry.asset_materialization for entry in entries]
        return [materialization for materialization in found if materialization is not None]


# --- executors


def executor(name: str, **options: Any) -> dict[str, Any]:
    """Return the run config that selects an executor: `in_process` or `multiprocess`."""
    return {"execution": {"config": {name: options}}}


# --- services


def dagster_command(program: str, *arguments: str) -> list[str]:
    """Return the command line of a Dagster program in the environment of the tests."""
    return [str(Path(sys.executable).with_name(program)), *arguments]


def free_port() -> int:
    """Return an unused port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process that `Home.start` started, and its child processes."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(20)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def signal_process(number: int, what: signal.Signals) -> None:
    """Send a signal to a process, if it still runs."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(number, what)


def process_of(server: LocalRudderStack, connection_id: str) -> int:
    """Wait for a start of a connection, and return the id of the process that sent it."""
    starts = wait_for(lambda: server.starts(connection_id), f"a start of {connection_id}")
    return int(starts[-1].headers[PROCESS_HEADER])


@dataclass
class Deployment:
    """A code server, a webserver and an optional daemon, each in its own process."""

    home: Home
    url: str
    client: httpx.Client

    def query(self, document: str, **variables: Any) -> Any:
        """Send a GraphQL query to the webserver and return the data."""
        answer = self.client.post("/graphql", json={"query": document, "variables": variables})
        body = answer.json()
        assert "errors" not in body, json.dumps(body["errors"], indent=1)
        return body["data"]

    def launch(
        self,
        *assets: str,
        job: str = ASSET_JOB,
        config: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Run:
        """Launch a run of some assets, or of a job."""
        metadata = {"tags": [{"key": key, "value": tag} for key, tag in (tags or {}).items()]}
        params = _execution_params(job, assets, config or executor("in_process"), metadata)
        return self._launched(self.query(LAUNCH, params=params)["launchRun"])

    def reexecute_job(self, run: Run, *assets: str, job: str = ASSET_JOB) -> Run:
        """Re-execute a run that a command started. It has no code location, so the job is named."""
        metadata = {"rootRunId": run.run_id, "parentRunId": run.run_id}
        params = _execution_params(job, assets, executor("in_process"), metadata)
        return self._launched(self.query(_REEXECUTE_JOB, params=params)["launchRunReexecution"])

    def reexecute(self, run: Run, strategy: str = "FROM_FAILURE") -> Run:
        """Re-execute a run as the button on its page does."""
        params = {"parentRunId": run.run_id, "strategy": strategy}
        return self._launched(self.query(_REEXECUTE, params=params)["launchRunReexecution"])

    def _launched(self, answer: Mapping[str, Any]) -> Run:
        assert "run" in answer, json.dumps(answer, indent=1)
        return self.home.run(answer["run"]["runId"])

    def cancel(self, run: Run, *, force: bool = False) -> None:
        """Cancel a run as the button on its page does."""
        policy = "MARK_AS_CANCELED_IMMEDIATELY" if force else "SAFE_TERMINATE"
        answer = self.query(_CANCEL, runId=run.run_id, policy=policy)["terminateRun"]
        assert answer["__typename"] == "TerminateRunSuccess", answer

    def cancel_in_a_shell(self, run: Run) -> None:
        """Cancel a run from the command line."""
        variables = json.dumps({"runId": run.run_id, "policy": "SAFE_TERMINATE"})
        command = dagster_command(
            *("dagster-graphql", "--remote", self.url),
            *("--text", _CANCEL, "--variables", variables),
        )
        process = self.home.start(command, "dagster-graphql")
        assert process.wait(MAX_WAIT_SECONDS) == 0
        assert "TerminateRunSuccess" in self.home.printed("dagster-graphql")


def _execution_params(
    job: str, assets: Sequence[str], config: Mapping[str, Any], metadata: Mapping[str, Any]
) -> dict[str, Any]:
    selector: dict[str, Any] = {
        "repositoryLocationName": LOCATION,
        "repositoryName": "__repository__",
        "jobName": job,
    }
    if assets:
        selector["assetSelection"] = [{"path": asset.split("/")} for asset in assets]
    return {
        "selector": selector,
        "runConfigData": dict(config),
        "executionMetadata": dict(metadata),
    }


LAUNCH = """
mutation ($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on PythonError { message }
  }
}
"""
_REEXECUTE_JOB = """
mutation ($params: ExecutionParams!) {
  launchRunReexecution(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on PythonError { message }
  }
}
"""
_REEXECUTE = """
mutation ($params: ReexecutionParams!) {
  launchRunReexecution(reexecutionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
_CANCEL = """
mutation ($runId: String!, $policy: TerminateRunPolicy) {
  terminateRun(runId: $runId, terminatePolicy: $policy) {
    __typename
    ... on TerminateRunFailure { message }
    ... on PythonError { message }
  }
}
"""


@contextlib.contextmanager
def deployment(home: Home, module: str = PROJECT, *, daemon: bool = True) -> Iterator[Deployment]:
    """Run Dagster's services until the end of the `with` statement."""
    code_port, web_port = free_port(), free_port()
    workspace = home.path / "workspace.yaml"
    server = {"host": "127.0.0.1", "port": code_port, "location_name": LOCATION}
    workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
    commands = {
        "code-server": dagster_command(
            *("dagster", "api", "grpc", "--module-name", module),
            *("--host", "127.0.0.1", "--port", str(code_port), "--location-name", LOCATION),
        ),
        "webserver": dagster_command(
            *("dagster-webserver", "--workspace", str(workspace)),
            *("--host", "127.0.0.1", "--port", str(web_port)),
        ),
    }
    if daemon:
        commands["daemon"] = dagster_command("dagster-daemon", "run", "--workspace", str(workspace))
    with contextlib.ExitStack() as stack:
        code = home.start(commands.pop("code-server"), "code-server")
        stack.callback(end_group, code)
        _await_port(code_port, home, "code-server")
        for name, command in commands.items():
            stack.callback(end_group, home.start(command, name))
        _await_port(web_port, home, "webserver")
        url = f"http://127.0.0.1:{web_port}"
        client = stack.enter_context(httpx.Client(base_url=url, timeout=60, trust_env=False))
        yield Deployment(home, url, client)


def _await_port(port: int, home: Home, log: str) -> None:
    def listens() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    try:
        wait_for(listens, f"the {log}")
    except AssertionError as error:
        raise AssertionError(f"{error}:\n{home.printed(log)[-5000:]}") from None

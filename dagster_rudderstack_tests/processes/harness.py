"""Dagster as people run it: an instance on disk, its services, and commands in a shell."""

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

from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.processes.project import PROCESS_HEADER

PROJECT = "dagster_rudderstack_tests.processes.project"
ROOT = Path(__file__).parents[2]
LOCATION = "tests"
ASSET_JOB = "__ASSET_JOB"
"""Dagster's name of the job that has all assets."""

PATIENCE_SECONDS = 120.0
"""For what takes a second or ten: a machine with other things to do shall fail no test."""

_T = TypeVar("_T")


def wait_for(find: Callable[[], _T | None], what: str, seconds: float = PATIENCE_SECONDS) -> _T:
    """Return the first answer that is neither None nor False."""
    give_up_at = time.monotonic() + seconds
    while not (found := find()):
        if time.monotonic() > give_up_at:
            raise AssertionError(f"Waited {seconds:.0f} s in vain for {what}")
        time.sleep(0.05)
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
    """A DAGSTER_HOME, and what its processes are told by environment variables."""

    path: Path
    server: LocalRudderStack
    config: Mapping[str, Any] = field(default_factory=lambda: INSTANCE_CONFIG)

    def __post_init__(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "dagster.yaml").write_text(yaml.safe_dump(dict(self.config)))
        self.instance = dg.DagsterInstance.from_config(str(self.path))

    @property
    def variables(self) -> dict[str, str]:
        """What the processes of this instance are told."""
        return {
            "DAGSTER_HOME": str(self.path),
            "RUDDERSTACK_ACCESS_TOKEN": self.server.access_token,
            "RUDDERSTACK_API_URL": self.server.url,
        }

    def start(self, command: Sequence[str], log: str) -> subprocess.Popen[bytes]:
        """Start a process in a group of its own; what it prints is kept in a file."""
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
        """Return what a process has printed so far."""
        return (self.path / f"{log}.log").read_text(errors="replace")

    # --- runs

    def run(self, run_id: str) -> Run:
        """Return a run of this instance."""
        return Run(self.instance, run_id)

    def newest_run(self, after: Sequence[Run] = ()) -> Run | None:
        """Return the newest run, if it is none of these."""
        records = self.instance.get_run_records(limit=1)
        if not records or records[0].dagster_run.run_id in {run.run_id for run in after}:
            return None
        return self.run(records[0].dagster_run.run_id)

    def retry_of(self, run: Run) -> Run:
        """Wait for the run that retries another, and return it."""
        filters = dg.RunsFilter(tags={"dagster/parent_run_id": run.run_id})
        found = wait_for(lambda: self.instance.get_runs(filters), f"a retry of {run.run_id}")
        return self.run(found[0].run_id)

    def close(self) -> None:
        """Let go of the databases."""
        self.instance.dispose()


@dataclass(frozen=True)
class Run:
    """One run, as its page tells of it."""

    instance: dg.DagsterInstance
    run_id: str

    @property
    def status(self) -> str:
        """The status now."""
        run = self.instance.get_run_by_id(self.run_id)
        assert run is not None
        return run.status.value

    @property
    def is_over(self) -> bool:
        """Whether the run has ended."""
        return self.status in ("SUCCESS", "FAILURE", "CANCELED")

    def ended(self) -> str:
        """Wait for the end and return the status."""
        wait_for(lambda: self.is_over, f"the end of run {self.run_id}, which is {self.status}")
        return self.status

    def told(self, text: str) -> None:
        """Wait until a line of the log has this text."""
        wait_for(lambda: self.says(text) or self.is_over, f"{text!r} in {self.run_id}")
        assert self.says(text), f"{text!r} is not in the log of\n{self.page}"

    def started(self, connection_id: str) -> None:
        """Wait until the log says that a sync of the connection was started."""
        wait_for(
            lambda: self.has_started(connection_id) or self.is_over,
            f"a sync of {connection_id} in {self.run_id}",
        )
        assert self.has_started(connection_id), f"No sync was started in\n{self.page}"

    def has_started(self, connection_id: str) -> bool:
        """Whether the log says that a sync of the connection was started."""
        end = f"of connection {connection_id}."
        return any(line.startswith("Started sync") and line.endswith(end) for line in self.lines)

    def exited(self) -> None:
        """Wait until the process of a launched run has ended."""
        wait_for(lambda: self.says("Process for run exited"), f"the exit of {self.run_id}")

    def events(self, kind: dg.DagsterEventType | None = None) -> list[dg.EventLogEntry]:
        """Return the events of the run, of one kind or all."""
        return list(self.instance.all_logs(self.run_id, of_type=kind))

    @property
    def lines(self) -> list[str]:
        """The log of the run."""
        return [entry.message for entry in self.events()]

    def says(self, text: str) -> bool:
        """Whether a line of the log has this text."""
        return any(text in line for line in self.lines)

    @property
    def page(self) -> str:
        """The run as a text, for the message of a failed assertion."""
        return "\n".join([f"{self.run_id} {self.status}", *self.lines])

    @property
    def failures(self) -> list[dg.DagsterEvent]:
        """The steps that failed."""
        entries = self.events(dg.DagsterEventType.STEP_FAILURE)
        return [entry.get_dagster_event() for entry in entries]

    @property
    def reason(self) -> str:
        """Why the first step failed, as its page tells."""
        data = self.failures[0].step_failure_data
        assert data.error is not None
        return data.error.message

    @property
    def step_ended_at(self) -> float:
        """Epoch seconds of the first failure of a step."""
        return self.events(dg.DagsterEventType.STEP_FAILURE)[0].timestamp

    @property
    def step_starts(self) -> int:
        """How often a step was started or started again."""
        kinds = (dg.DagsterEventType.STEP_START, dg.DagsterEventType.STEP_RESTARTED)
        return sum(len(self.events(kind)) for kind in kinds)

    @property
    def origins(self) -> dict[str, str]:
        """How each materialized asset's sync came about."""
        return {
            materialization.asset_key.to_user_string(): str(
                materialization.metadata["rudderstack/origin"].value
            )
            for materialization in self.materializations
        }

    @property
    def materializations(self) -> list[dg.AssetMaterialization]:
        """What the run has materialized."""
        entries = self.events(dg.DagsterEventType.ASSET_MATERIALIZATION)
        found = [entry.asset_materialization for entry in entries]
        return [materialization for materialization in found if materialization is not None]


# --- executors


def executor(name: str, **options: Any) -> dict[str, Any]:
    """Return the run config that chooses an executor: `in_process` or `multiprocess`."""
    return {"execution": {"config": {name: options}}}


# --- services


def dagster_command(program: str, *arguments: str) -> list[str]:
    """Return the command line of one of Dagster's programs, of the Python that runs the tests."""
    return [str(Path(sys.executable).with_name(program)), *arguments]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process that `Home.start` started, and all that it has started."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(20)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def signal_process(number: int, what: signal.Signals) -> None:
    """Send a signal to one process; none to one that is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(number, what)


def process_of(server: LocalRudderStack, connection_id: str) -> int:
    """Wait for a start of a connection and return the process that has sent it."""
    starts = wait_for(lambda: server.starts(connection_id), f"a start of {connection_id}")
    return int(starts[-1].headers[PROCESS_HEADER])


@dataclass
class Deployment:
    """A code server, a webserver and, if wanted, a daemon, each a process of its own."""

    home: Home
    url: str
    client: httpx.Client

    def query(self, document: str, **variables: Any) -> Any:
        """Ask the webserver's GraphQL and return its data."""
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
        return self._launched(self.query(_LAUNCH, params=params)["launchRun"])

    def run_again(self, run: Run, *assets: str, job: str = ASSET_JOB) -> Run:
        """Re-execute a run that did not come from the webserver, and so does not know its code."""
        metadata = {"rootRunId": run.run_id, "parentRunId": run.run_id}
        params = _execution_params(job, assets, executor("in_process"), metadata)
        return self._launched(self.query(_RUN_AGAIN, params=params)["launchRunReexecution"])

    def reexecute(self, run: Run, strategy: str = "FROM_FAILURE") -> Run:
        """Re-execute a run as the button on its page does."""
        params = {"parentRunId": run.run_id, "strategy": strategy}
        return self._launched(self.query(_REEXECUTE, params=params)["launchRunReexecution"])

    def _launched(self, answer: Mapping[str, Any]) -> Run:
        assert "run" in answer, json.dumps(answer, indent=1)
        return self.home.run(answer["run"]["runId"])

    def terminate(self, run: Run, *, force: bool = False) -> None:
        """Cancel a run as the button on its page does."""
        policy = "MARK_AS_CANCELED_IMMEDIATELY" if force else "SAFE_TERMINATE"
        answer = self.query(TERMINATE, runId=run.run_id, policy=policy)["terminateRun"]
        assert answer["__typename"] == "TerminateRunSuccess", answer

    def terminate_in_a_shell(self, run: Run) -> None:
        """Cancel a run from the command line."""
        variables = json.dumps({"runId": run.run_id, "policy": "SAFE_TERMINATE"})
        command = dagster_command(
            *("dagster-graphql", "--remote", self.url),
            *("--text", TERMINATE, "--variables", variables),
        )
        process = self.home.start(command, "dagster-graphql")
        assert process.wait(PATIENCE_SECONDS) == 0
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
        selector["assetSelection"] = [{"path": [asset]} for asset in assets]
    return {
        "selector": selector,
        "runConfigData": dict(config),
        "executionMetadata": dict(metadata),
    }


_LAUNCH = """
mutation ($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on PythonError { message }
  }
}
"""
_RUN_AGAIN = """
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
TERMINATE = """
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

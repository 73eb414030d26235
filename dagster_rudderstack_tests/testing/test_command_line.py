"""`python -m dagster_rudderstack.testing`, as a process."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import httpx
import pytest

from dagster_rudderstack.testing import RemoteLocalRudderStack
from dagster_rudderstack.testing.__main__ import main
from dagster_rudderstack_tests.processes.harness import wait_for

COMMAND = [sys.executable, "-W", "error", "-m", "dagster_rudderstack.testing"]
READY = "Local RudderStack is ready at "
CONTROL = "Control token: "
LAST_LINE = "Press Ctrl-C to stop it.\n"


class Process:
    """The running command."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        # A minimal environment: no token from the environment of these tests.
        self.popen = subprocess.Popen(
            [*COMMAND, "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={"PATH": "", "PYTHONPATH": ":".join(sys.path), **environment},
        )
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline().strip()
        self.url = line.removeprefix(READY)
        assert line.startswith(READY), self.popen.communicate()
        line = self.popen.stdout.readline().strip()
        self.control_token = line.removeprefix(CONTROL)
        assert line.startswith(CONTROL)
        lines = iter(self.popen.stdout.readline, LAST_LINE)
        self.description = [line.rstrip("\n") for line in lines]

    @property
    def remote(self) -> RemoteLocalRudderStack:
        """What controls it."""
        return RemoteLocalRudderStack(self.url, self.control_token)

    def get(self, path: str, token: str) -> httpx.Response:
        """Send a request to the API."""
        headers = {"authorization": f"Bearer {token}"}
        return httpx.get(f"{self.url}/v2{path}", headers=headers, trust_env=False)

    def end(self, number: int) -> tuple[int, str, str]:
        """Send a signal, and return the exit code and the rest of the output."""
        self.popen.send_signal(number)
        out, err = self.popen.communicate(timeout=60)
        return self.popen.returncode, out, err


@pytest.fixture
def processes() -> Iterator[list[Process]]:
    """A list of processes that are ended after the test."""
    running: list[Process] = []
    yield running
    for process in running:
        if process.popen.poll() is None:
            process.popen.kill()
        process.popen.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals(processes: list[Process], tmp_path: Path, number: int) -> None:
    """A signal ends it at once without output, also while a sync with a table waits."""
    config = tmp_path / "config.json"
    warehouse = tmp_path / "warehouse.duckdb"
    table = {"warehouse": "warehouse.duckdb", "table": "t", "destination": "d.duckdb"}
    config.write_text(json.dumps({"connections": [{"id": "crm", "table": table}]}))
    process = Process("--config", str(config), "--token", "mine")
    processes.append(process)
    remote = process.remote

    with closing(duckdb.connect(str(warehouse))):
        remote.start_sync("crm")
        assert remote.syncs()[0].running
        assert process.get("/retl-connections/crm", "mine").status_code == 200
        assert process.end(number) == (0, "", "")


def test_run_that_builds(processes: list[Process], tmp_path: Path) -> None:
    """A project of the configuration file builds its tables, and reads no other files."""
    config = tmp_path / "config.json"
    models = {"users": "CREATE TABLE users (id INT)", "leak": "FROM read_text('config.json')"}
    build = {"warehouse": "warehouse.duckdb", "models": models}
    config.write_text(json.dumps({"projects": [{"id": "profiles", "build": build}]}))
    process = Process("--config", str(config))
    processes.append(process)
    remote = process.remote

    for model in models:
        remote.start_run("profiles", parameters=[f"--model_refs {model}"])
        wait_for(lambda: not remote.runs()[-1].running, "the end of the run")

    users, leak = remote.runs("profiles")
    assert (users.status, users.error, leak.status) == ("finished", None, "finished")
    assert "Permission Error" in (leak.error or "")


def test_description(processes: list[Process], tmp_path: Path) -> None:
    """It says which token it accepts, its seed and what it has loaded, and shows no token of the
    environment."""
    config = tmp_path / "config.json"
    content = {"sources": [{"id": "s"}], "connections": [{"id": "crm"}, {"id": "ads"}]}
    config.write_text(json.dumps({**content, "projects": [{"id": "profiles"}]}))
    loaded = [
        f"Loaded {config}: 1 source, 0 destinations, 2 connections, 1 project, 0 faults",
        "  connection crm",
        "  connection ads",
        "  project profiles",
    ]
    empty = "The workspace is empty. --config FILE loads one."
    processes += [
        Process("--seed", "1", "--config", str(config)),
        Process("--seed", "2", "--token", "mine"),
        Process("--seed", "3", RUDDERSTACK_ACCESS_TOKEN="a-real-token"),
    ]

    assert [each.description for each in processes] == [
        ["Access token: local-token", "Seed: 1", *loaded],
        ["Access token: the one of --token", "Seed: 2", empty],
        ["Access token: the value of RUDDERSTACK_ACCESS_TOKEN", "Seed: 3", empty],
    ]


def test_seed(processes: list[Process]) -> None:
    """Each start has ids of its own, unless --seed is given: with the seed that an earlier start
    has printed, they come again."""

    def started(*arguments: str) -> tuple[str, str]:
        process = Process(*arguments)
        processes.append(process)
        process.remote.add_connection("crm")
        return process.remote.start_sync("crm"), process.description[1].removeprefix("Seed: ")

    (first, seed), (second, other_seed) = started(), started()
    again = started("--seed", seed)

    assert (first != second, seed != other_seed) == (True, True)
    assert again == (first, seed)


def test_options(processes: list[Process]) -> None:
    """The token can come from the environment; time can be compressed."""
    process = Process("--time-scale", "100000", RUDDERSTACK_ACCESS_TOKEN="from-env")
    processes.append(process)
    remote = process.remote
    remote.add_connection("crm")

    assert process.get("/retl-connections/crm", "from-env").status_code == 200
    assert process.get("/retl-connections/crm", "local-token").status_code == 401
    assert process.url.startswith("http://127.0.0.1:")


def test_default_token_and_host() -> None:
    """Without options it listens on this machine only."""
    from dagster_rudderstack.testing.__main__ import _parser, _server  # noqa: PLC0415

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RUDDERSTACK_ACCESS_TOKEN", raising=False)
        server = _server(_parser().parse_args([]), None)

    assert server.access_token == "local-token"
    assert server.url == "http://127.0.0.1:8085"


def test_port_taken(capsys: pytest.CaptureFixture[str]) -> None:
    """A port that is in use is reported in one line."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        code = main(["--port", str(port)])

    assert code == 2
    assert capsys.readouterr().err.startswith(f"error: cannot listen on 127.0.0.1:{port}: ")


def test_wrong_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An error in the configuration is reported in one line."""
    config = tmp_path / "config.json"
    config.write_text('{"connections": [{"name": "crm"}]}')

    assert main(["--config", str(config)]) == 2
    assert capsys.readouterr().err.startswith(
        f"error: {config}: connections[0].name is unknown. Known: id"
    )


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--time-scale", "0", "scale must be a positive number"),
        ("--time-scale", "-1", "scale must be a positive number"),
        ("--time-scale", "nan", "scale must be a positive number"),
        ("--time-scale", "inf", "scale must be a positive number"),
        ("--port", "99999", "port must be 0 to 65535, not 99999"),
        ("--port", "-1", "port must be 0 to 65535, not -1"),
        ("--latency-seconds", "-1", "latency_seconds must be 0 or more, not -1.0"),
        ("--latency-seconds", "nan", "latency_seconds must be 0 or more, not nan"),
        ("--latency-seconds", "inf", "latency_seconds must be 0 or more, not inf"),
        ("--folder", "/nope", "--folder /nope is not a folder"),
        ("--host", "no host", "cannot listen on no host:"),
    ],
)
def test_wrong_option(
    option: str, value: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An option that is out of range is reported in one line."""
    assert main(["--port", "0", option, value]) == 2

    output = capsys.readouterr().err
    assert output.startswith(f"error: {message}")
    assert output.count("\n") == 1

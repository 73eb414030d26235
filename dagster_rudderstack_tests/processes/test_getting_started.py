"""The page that leads from an empty folder to a scheduled sync: its files and commands work.

The test makes the files and runs the commands of the page, in its order. Only the packages are
installed already, the ports are free ones, and the clock of the local RudderStack is faster.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest

from dagster_rudderstack import RudderStackMetadataSet
from dagster_rudderstack_tests.processes.harness import (
    LAUNCH,
    ROOT,
    end_group,
    free_port,
    wait_for,
)
from dagster_rudderstack_tests.project import pages

# It starts Dagster a dozen times, each of which loads Dagster anew.
pytestmark = [pytest.mark.processes, pytest.mark.timeout(900)]

PAGE = pages.DOCS / "getting-started.md"
CONNECTION = pages.CONNECTION
MAX_SECONDS = 300


def shell_blocks(heading: str) -> list[str]:
    return pages.blocks_of(pages.section(heading, PAGE), "sh")


def output_block(heading: str) -> str:
    return pages.block(heading, "text", PAGE)


def file_of(path: str) -> str:
    """Return the content of a file, which follows its path on the page."""
    pattern = rf"^`{re.escape(path)}`:\n\n```\w+\n(.*?)```"
    found = re.search(pattern, PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None, path
    return found[1]


@dataclass
class Terminal:
    """A terminal in the folder of the project. What a command exports stays."""

    folder: Path
    environment: dict[str, str]
    ports: dict[str, str]
    processes: ExitStack

    def run(self, commands: str, *, succeeds: bool = True) -> str:
        """Run some commands of the page and return what they print."""
        exported = self.folder.parent / "environment"
        done = subprocess.run(
            ["bash", "-euc", f"{self._with_ports(commands)}\nenv -0 > {exported}"],  # noqa: S607 - as a user does
            cwd=self.folder,
            env=self.environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=MAX_SECONDS,
        )
        output = done.stdout + done.stderr
        assert (done.returncode == 0) is succeeds, output
        if succeeds:
            pairs = exported.read_text().rstrip("\0").split("\0")
            self.environment = dict(pair.split("=", 1) for pair in pairs)
        return output

    def start(self, command: str, log: Path) -> "subprocess.Popen[bytes]":
        """Start a command of the page that runs until it is ended."""
        with log.open("ab") as output:
            process = subprocess.Popen(
                ["bash", "-euc", f"exec {self._with_ports(command)}"],  # noqa: S607 - as a user does
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes.callback(end_group, process)
        return process

    def write(self, path: str) -> None:
        """Write a file of the page."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(file_of(path))

    def _with_ports(self, commands: str) -> str:
        for documented, port in self.ports.items():
            commands = commands.replace(documented, port)
        return commands


@dataclass
class Result:
    """What the commands printed, and what is in the instance afterwards."""

    connections: str = ""
    definitions: str = ""
    launched: str = ""
    schedules: dict[str, str] = field(default_factory=dict)
    sync_types: list[str | None] = field(default_factory=list)
    launched_yaml: str = ""
    failed: str = ""
    checked: str = ""
    syncs: str = ""
    run_statuses: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Result]:
    """The result of the whole page."""
    root = tmp_path_factory.mktemp("getting-started")
    with ExitStack() as processes:
        yield walk(root, processes)


def walk(root: Path, processes: ExitStack) -> Result:
    result = Result()
    terminal = Terminal(root, environment_of(root), {"8085": str(free_port())}, processes)
    create = next(
        line
        for line in shell_blocks("Make a project")[0].splitlines()
        if line.startswith("create-dagster")
    )
    terminal.run(create)
    terminal.folder = root / create.split()[2]

    terminal.write("local.json")
    start_server, look = shell_blocks("Start a local RudderStack")
    server = start_rudderstack(terminal, start_server, root / "server.log")
    result.connections = terminal.run(look)

    for path in ("resources.py", "crm_contacts.py", "schedules.py"):
        terminal.write(f"src/reverse_etl/defs/{path}")
    result.definitions = terminal.run(shell_blocks("Add the schedule")[0])
    launch, develop = shell_blocks("Launch it")
    result.launched = terminal.run(launch)
    launch_in_the_ui(terminal, develop, result)

    (terminal.folder / "src/reverse_etl/defs/crm_contacts.py").unlink()
    terminal.write("src/reverse_etl/defs/crm_contacts/defs.yaml")
    result.launched_yaml = terminal.run(shell_blocks("The same in YAML")[0])

    end_group(server)
    replace_script(terminal.folder / "local.json")
    start_rudderstack(terminal, start_server, root / "server.log")
    relaunch, look_up = shell_blocks("When a sync fails")
    result.failed = terminal.run(relaunch, succeeds=False)
    result.checked, result.syncs = (terminal.run(line) for line in look_up.splitlines())

    with dg.DagsterInstance.from_config(terminal.environment["DAGSTER_HOME"]) as instance:
        result.run_statuses = [run.status.value for run in instance.get_runs()][::-1]
        found = instance.fetch_materializations(dg.AssetKey("crm_contacts"), limit=10).records
        result.sync_types = [sync_type_of(record.asset_materialization) for record in found][::-1]
    return result


def sync_type_of(materialization: dg.AssetMaterialization | None) -> str | None:
    assert materialization is not None
    return RudderStackMetadataSet.extract(materialization.metadata).sync_type


def environment_of(root: Path) -> dict[str, str]:
    """Return the environment of someone who has installed the packages."""
    programs = Path(sys.executable).parent
    return {
        "HOME": str(root),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        # The project and this package are not installed.
        "PYTHONPATH": f"src{os.pathsep}{ROOT}",
        "NO_COLOR": "1",
        "COLUMNS": "200",
        "DAGSTER_DISABLE_TELEMETRY": "1",
    }


def start_rudderstack(terminal: Terminal, command: str, log: Path) -> "subprocess.Popen[bytes]":
    # The page has the sync id of this seed.
    process = terminal.start(f"{command.strip()} --time-scale 30 --seed 0", log)
    url = f"http://127.0.0.1:{terminal.ports['8085']}"

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return httpx.get(f"{url}/v2/retl-connections", trust_env=False).status_code == 401
        except httpx.TransportError:
            return False

    wait_for(answers, "the local RudderStack", MAX_SECONDS)
    return process


def replace_script(file: Path) -> None:
    """Replace the script of the connection, as the page says."""
    document = json.loads(file.read_text())
    script = json.loads(pages.block("When a sync fails", "json", PAGE))
    document["connections"][0]["script"] = script
    file.write_text(json.dumps(document))


def launch_in_the_ui(terminal: Terminal, command: str, result: Result) -> None:
    """Start the UI, read the schedules, and launch the asset with the config of the page."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/graphql"
    log = terminal.folder.parent / "dg-dev.log"
    process = terminal.start(f"{command.strip()} --port {port}", log)
    with httpx.Client(timeout=60, trust_env=False) as client:

        def query(document: str, **variables: Any) -> Any:
            answer = client.post(url, json={"query": document, "variables": variables}).json()
            assert "errors" not in answer, answer
            return answer["data"]

        def loaded() -> list[Any]:
            assert process.poll() is None, log.read_text()
            try:
                nodes: list[Any] = query(_SCHEDULES)["repositoriesOrError"]["nodes"]
            except httpx.TransportError:
                return []
            return nodes

        (repository,) = wait_for(loaded, "the definitions in the UI", MAX_SECONDS)
        result.schedules = {
            each["name"]: each["scheduleState"]["status"] for each in repository["schedules"]
        }
        params = {
            "selector": {
                "repositoryLocationName": repository["location"]["name"],
                "repositoryName": repository["name"],
                "jobName": "__ASSET_JOB",
                "assetSelection": [{"path": ["crm_contacts"]}],
            },
            "runConfigData": pages.block("Launch it", "yaml", PAGE),
        }
        run_id = query(LAUNCH, params=params)["launchRun"]["run"]["runId"]
        wait_for(
            lambda: query(_STATUS, id=run_id)["runOrError"]["status"] in ("SUCCESS", "FAILURE"),
            "the end of the run",
            MAX_SECONDS,
        )
    end_group(process)


_SCHEDULES = """
query {
  repositoriesOrError {
    ... on RepositoryConnection {
      nodes { name location { name } schedules { name scheduleState { status } } }
    }
  }
}
"""
_STATUS = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"


def test_connections(result: Result) -> None:
    """The command line lists the connection as the page shows it."""
    assert result.connections == output_block("Start a local RudderStack")


def test_definitions(result: Result) -> None:
    """The project has the asset, its check, the schedule and the resource."""
    listed = ("crm_contacts", "rejected_rows", "crm_contacts_every_hour", "rudderstack")

    assert "All definitions loaded successfully" in result.definitions
    assert all(name in result.definitions for name in listed)


def test_launch(result: Result) -> None:
    """The log of a launch has the lines that the page shows."""
    lines = output_block("Launch it").splitlines()

    assert len(lines) == 2
    assert [line for line in lines if line not in result.launched] == []


def test_ui(result: Result) -> None:
    """In the UI, the schedule is on, and the config of the page makes the second sync full."""
    assert result.schedules == {"crm_contacts_every_hour": "RUNNING"}
    assert result.sync_types == ["incremental", "full", "incremental"]


def test_yaml(result: Result) -> None:
    """The YAML is valid, and its asset syncs like the one in Python."""
    check = output_block("Launch it").splitlines()[1]

    assert "All component YAML validated successfully" in result.launched_yaml
    assert check in result.launched_yaml


def test_failed_sync(result: Result) -> None:
    """The failure has the message of the page, and the command line lists the failed sync."""
    assert output_block("When a sync fails").strip() in result.failed
    assert result.checked.endswith("No problem.\n")
    assert "failed" in result.syncs
    assert 'relation "customers"' in result.syncs


def test_runs(result: Result) -> None:
    """The instance of the page has all runs, also those of the UI."""
    assert result.run_statuses == ["SUCCESS", "SUCCESS", "SUCCESS", "FAILURE"]

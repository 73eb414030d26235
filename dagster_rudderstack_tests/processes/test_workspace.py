"""Only the code server reads a workspace without a snapshot file, not its runs and steps."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.discovery.conftest import CONTACTS, fill
from dagster_rudderstack_tests.processes.harness import Home, deployment, executor
from dagster_rudderstack_tests.processes.project import PROCESS_HEADER

pytestmark = pytest.mark.processes

LISTS = {"list_connections", "list_sources", "list_destinations"}
MANY = 1000


@pytest.fixture
def workspace() -> Iterator[LocalRudderStack]:
    """A workspace of a thousand connections, most of which no test syncs."""
    with LocalRudderStack() as server:
        fill(server)
        for number in range(MANY):
            server.add_connection(
                f"more-{number}", "spenders-src", "hubspot", object=f"Object {number}"
            )
        yield server


def readers(server: LocalRudderStack) -> set[str]:
    """Return the processes that have read the workspace."""
    return {
        request.headers[PROCESS_HEADER] for request in server.requests if request.operation in LISTS
    }


@pytest.mark.parametrize("name", ["in_process", "multiprocess"])
def test_run(workspace: LocalRudderStack, tmp_path: Path, name: str) -> None:
    """A run in a process of its own, and its steps, sync without reading the workspace."""
    home = Home(tmp_path / "home", workspace)
    module = "dagster_rudderstack_tests.processes.workspace_project"
    with deployment(home, module, daemon=False) as dagster:
        code_server = readers(workspace)
        run = dagster.launch(CONTACTS, config=executor(name))
        assert run.wait_for_end() == "SUCCESS", run.log
    home.close()

    (start,) = workspace.starts("contacts")
    assert len(code_server) == 1
    assert readers(workspace) == code_server
    assert start.headers[PROCESS_HEADER] not in code_server

"""The commands of `dg`, in a project that `create-dagster` makes."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.components.conftest import TOKEN, WORKSPACE
from dagster_rudderstack_tests.discovery.conftest import AUDIENCE, CONTACTS, fill

pytestmark = pytest.mark.processes

PROGRAMS = Path(sys.executable).parent
PAGE = Path(__file__).parents[2] / "docs" / "guides" / "yaml.md"


@dataclass
class DgProject:
    """A `dg` project, and the environment of its commands."""

    folder: Path
    environment: dict[str, str]

    def dg(self, *arguments: str, succeeds: bool = True) -> str:
        """Run a command of `dg` and return what it prints."""
        done = subprocess.run(
            [PROGRAMS / "dg", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            check=False,
            text=True,
            timeout=180,
        )
        assert (done.returncode == 0) == succeeds, done.stdout + done.stderr
        return done.stdout if succeeds else done.stdout + done.stderr

    def assets(self) -> dict[str, Any]:
        """Return RudderStack's assets in the output of `dg list defs`, by key."""
        listed = json.loads(self.dg("list", "defs", "--json"))["assets"]
        return {each["asset_key"]: each for each in listed if "rudderstack" in each["kinds"]}

    @property
    def yaml_file(self) -> Path:
        """The component's YAML."""
        return self.folder / "src" / "shop" / "defs" / "crm" / "defs.yaml"

    @property
    def workspace(self) -> dict[str, Any]:
        """The attribute `workspace` of that YAML."""
        settings: dict[str, Any] = yaml.safe_load(self.yaml_file.read_text())["attributes"][
            "workspace"
        ]
        return settings

    @contextmanager
    def changed(self, **attributes: Any) -> Iterator[None]:
        """Set attributes in that YAML, until the block ends."""
        original = self.yaml_file.read_text()
        document = yaml.safe_load(original)
        document["attributes"] |= attributes
        self.yaml_file.write_text(yaml.safe_dump(document))
        try:
            yield
        finally:
            self.yaml_file.write_text(original)


@pytest.fixture(scope="module")
def server() -> Iterator[LocalRudderStack]:
    with LocalRudderStack() as server:
        fill(server)
        yield server
        assert server.errors == []


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, server: LocalRudderStack) -> DgProject:
    """A new project with a scaffolded workspace that uses the local RudderStack."""
    root, home = tmp_path_factory.mktemp("projects"), tmp_path_factory.mktemp("home")
    (home / "dagster.yaml").touch()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("DAGSTER_")},
        "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": "src",
        "DAGSTER_HOME": str(home),
        TOKEN: server.access_token,
        "NO_COLOR": "1",
        "DAGSTER_DISABLE_TELEMETRY": "1",
    }
    subprocess.run(
        [PROGRAMS / "create-dagster", "project", "shop", "--no-uv-sync"],
        cwd=root,
        env=environment,
        check=True,
        capture_output=True,
        timeout=180,
    )
    project = DgProject(root / "shop", environment)
    project.dg("scaffold", "defs", WORKSPACE, "crm")
    document = yaml.safe_load(project.yaml_file.read_text())
    document["attributes"]["workspace"]["api_url"] = server.url
    document["attributes"]["checks"] = {"no_rows": True, "duration": {"max_seconds": 3600}}
    project.yaml_file.write_text(yaml.safe_dump(document))
    return project


def test_components_are_listed(project: DgProject) -> None:
    """`dg list components` finds the components of the package."""
    listed = project.dg("list", "components", "--json")

    for kind in ("Connection", "Profiles", "Source", "Workspace"):
        assert f"dagster_rudderstack.RudderStack{kind}Component" in listed


def test_scaffold(project: DgProject) -> None:
    """`dg scaffold defs` writes YAML that reads the token from the environment."""
    document = yaml.safe_load(project.yaml_file.read_text())

    assert document["type"] == WORKSPACE
    assert document["attributes"]["workspace"]["access_token"] == f"{{{{ env.{TOKEN} }}}}"


def test_check(project: DgProject) -> None:
    """`dg check yaml` and `dg check defs` accept the component."""
    project.dg("check", "yaml")
    project.dg("check", "defs")


def test_check__profiles(project: DgProject) -> None:
    """`dg check yaml` accepts a scaffolded Profiles project, and a time without quotes."""
    kind = "dagster_rudderstack.RudderStackProfilesComponent"
    project.dg("scaffold", "defs", kind, "features", "--source-id", "project")
    folder = project.yaml_file.parents[1] / "features"
    file = folder / "defs.yaml"
    file.write_text(f"{file.read_text().rstrip()}\n  begin_time: 2026-01-31T00:00:00Z\n")

    try:
        project.dg("check", "yaml")
    finally:
        shutil.rmtree(folder)


def test_check__unknown_attribute(project: DgProject) -> None:
    """`dg check yaml` names an attribute that does not exist, its line and those that exist, also
    within another attribute."""
    with project.changed(grupping="all", checks={"duration": {"max_minutes": 60}}):
        (line,) = (
            number
            for number, text in enumerate(project.yaml_file.read_text().splitlines(), start=1)
            if "max_minutes" in text
        )
        output = project.dg("check", "yaml", succeeds=False)

    assert "attributes.grupping Additional properties are not allowed" in output
    assert re.search(r"'grupping' is not one of \[.*'grouping'", output)
    assert f"defs.yaml:{line} - {WORKSPACE} attributes.checks.duration.max_minutes" in output
    assert "'max_minutes' is not one of ['blocking', 'max_seconds', 'name', 'severity']" in output


def test_check__wrong_case(project: DgProject) -> None:
    """`dg check yaml` names a choice in the wrong case, and shows the right ones."""
    with project.changed(sync_type="Full", timeout_seconds="1h"):
        output = project.dg("check", "yaml", succeeds=False)

    assert "'Full' does not match '^(full|incremental)$" in output
    assert "'1h' does not match" in output


def test_list_defs__outage(project: DgProject) -> None:
    """If there is neither an answer nor a state, the error has no traceback of the request."""
    root = project.yaml_file.parents[1] / "other"
    original = project.yaml_file.read_text()
    document = yaml.safe_load(original)
    document["attributes"]["workspace"] |= {"api_url": "http://127.0.0.1:9"}
    root.mkdir()
    (root / "defs.yaml").write_text(yaml.safe_dump(document))

    try:
        output = project.dg("check", "defs", succeeds=False)
    finally:
        shutil.rmtree(root)

    assert "The refresh failed: RudderStack at 127.0.0.1:9 did not answer" in output
    assert "ConnectError" not in output
    assert "transport.py" not in output


def test_list_defs(project: DgProject) -> None:
    """`dg list defs` lists an asset for each connection, with its dependencies and kinds."""
    assets = project.assets()

    assert set(assets) == {CONTACTS, AUDIENCE}
    assert assets[CONTACTS]["dependency_keys"] == ["snowflake/analytics/customers"]
    assert assets[CONTACTS]["kinds"] == ["hubspot", "rudderstack"]


def test_list_defs__mistake_beside_a_secret(project: DgProject) -> None:
    """The error for a misspelt setting shows no secret that is written into the YAML."""
    wrong = {"access_token": "s3cr3t-token", "regoin": "eu"}

    with project.changed(workspace=project.workspace | wrong):
        output = project.dg("list", "defs", succeeds=False)

    assert "regoin" in output
    assert "s3cr3t" not in output


def test_launch(project: DgProject, server: LocalRudderStack) -> None:
    """`dg launch` syncs the connection of the asset, and no other."""
    server.clear_requests()

    project.dg("launch", "--assets", CONTACTS)

    assert len(server.starts("contacts")) == 1
    assert len(server.starts()) == 1


def test_launch__documented_command(project: DgProject, server: LocalRudderStack) -> None:
    """The command in `docs/guides/yaml.md` syncs all connections."""
    (command,) = re.findall(r"^dg (launch .+)$", PAGE.read_text(), re.MULTILINE)
    server.clear_requests()

    project.dg(*shlex.split(command))

    assert len(server.starts("contacts")) == len(server.starts("audience")) == 1


def test_refresh__fails(project: DgProject) -> None:
    """If the workspace cannot be read, `dg utils refresh-defs-state` fails with the reason."""
    refused = replace(project, environment={**project.environment, TOKEN: "wrong"})

    output = refused.dg("utils", "refresh-defs-state", succeeds=False)

    assert "did not accept the access token" in output


def test_refresh(project: DgProject, server: LocalRudderStack) -> None:
    """`dg utils refresh-defs-state` refreshes the state. Loading then sends no request."""
    server.add_connection("new", "spenders-src", "hubspot")
    no_refresh = {"management_type": "LOCAL_FILESYSTEM", "refresh_if_dev": False}

    try:
        with project.changed(defs_state=no_refresh):
            project.dg("utils", "refresh-defs-state")
            server.clear_requests()
            assets = project.assets()
    finally:
        server.remove_connection("new")

    assert set(assets) == {CONTACTS, AUDIENCE, "rudderstack/hubspot/big_spenders"}
    assert server.requests == []

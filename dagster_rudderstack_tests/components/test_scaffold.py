"""The YAML that `dg scaffold defs` writes."""

from typing import Any

import yaml
from dagster.components.testing import DefsFolderSandbox

from dagster_rudderstack import RudderStackConnectionComponent, RudderStackWorkspaceComponent
from dagster_rudderstack_tests.components.conftest import Project


def scaffolded(sandbox: DefsFolderSandbox, **params: Any) -> Any:
    path = sandbox.scaffold_component(
        RudderStackWorkspaceComponent, "crm", scaffold_params=params or None
    )
    return yaml.safe_load((path / "defs.yaml").read_text())["attributes"]


def test_scaffold(project: Project) -> None:
    """The scaffolded YAML reads the token from the environment."""
    assert scaffolded(project.sandbox) == {
        "workspace": {"access_token": "{{ env.RUDDERSTACK_ACCESS_TOKEN }}"}
    }


def test_scaffold__parameters(project: Project) -> None:
    """The region and the name of the variable are parameters."""
    assert scaffolded(project.sandbox, region="eu", access_token_variable="EU_TOKEN") == {
        "workspace": {"access_token": "{{ env.EU_TOKEN }}", "region": "eu"}
    }


def test_scaffold__connection(project: Project) -> None:
    """The scaffolded YAML of a connection has its id."""
    path = project.sandbox.scaffold_component(
        RudderStackConnectionComponent, "crm", scaffold_params={"connection_id": "contacts"}
    )

    assert yaml.safe_load((path / "defs.yaml").read_text())["attributes"] == {
        "connection_id": "contacts",
        "workspace": {"access_token": "{{ env.RUDDERSTACK_ACCESS_TOKEN }}"},
    }

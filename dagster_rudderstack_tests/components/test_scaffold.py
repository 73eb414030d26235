"""The YAML that `dg scaffold defs` writes."""

from typing import Any

import dagster as dg
import pytest
import yaml
from dagster.components import Scaffolder
from dagster.components.scaffold.scaffold import get_scaffolder
from dagster.components.testing import DefsFolderSandbox
from pydantic import ValidationError

from dagster_rudderstack import (
    RudderStackConnectionComponent,
    RudderStackProfilesComponent,
    RudderStackSourceComponent,
    RudderStackWorkspaceComponent,
)
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


@pytest.mark.parametrize(
    ("component", "option"),
    [
        (RudderStackConnectionComponent, "connection_id"),
        (RudderStackProfilesComponent, "source_id"),
        (RudderStackSourceComponent, "source_id"),
    ],
)
def test_scaffold__missing_id(project: Project, component: type[dg.Component], option: str) -> None:
    """The help says which option is required. Without it, the error names it, and nothing is
    written."""
    scaffolder = get_scaffolder(component)
    assert isinstance(scaffolder, Scaffolder)
    params = scaffolder.get_scaffold_params()
    name = f"--{option.replace('_', '-')}"

    with pytest.raises(ValidationError, match=f"The option {name} is missing."):
        project.sandbox.scaffold_component(component, "crm")

    description = params.model_json_schema()["properties"][option]["description"]
    assert description.startswith("Required. ")
    assert not (project.sandbox.defs_folder_path / "crm").exists()


def test_scaffold__connection(project: Project) -> None:
    """The scaffolded YAML of a connection has its id."""
    path = project.sandbox.scaffold_component(
        RudderStackConnectionComponent, "crm", scaffold_params={"connection_id": "contacts"}
    )

    assert yaml.safe_load((path / "defs.yaml").read_text())["attributes"] == {
        "connection_id": "contacts",
        "workspace": {"access_token": "{{ env.RUDDERSTACK_ACCESS_TOKEN }}"},
    }

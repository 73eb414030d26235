"""The code and the YAML in `docs/guides/discovery.md` and `docs/guides/yaml.md` work."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from dagster_rudderstack import (
    RudderStackConnectionSelector,
    RudderStackWorkspaceComponent,
    refresh_rudderstack_snapshot,
    settings,
)
from dagster_rudderstack.resource import RudderStackResource
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.components.conftest import Project, deps_of, spec_of
from dagster_rudderstack_tests.discovery.conftest import AUDIENCE, CONTACTS, keys_of

DOCS = Path(__file__).parents[2] / "docs" / "guides"


def blocks(page: str, language: str) -> list[str]:
    """Return the code blocks in a language on a page."""
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


@pytest.fixture
def folder(server: LocalRudderStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with snapshots of the workspace."""
    rudderstack = RudderStackResource(access_token=server.access_token, api_url=server.url)
    for name in ("snapshot.json", "snapshot_eu.json"):
        refresh_rudderstack_snapshot(rudderstack, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_discovery_page(
    folder: Path, server: LocalRudderStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Python blocks of the page run in order and define the described assets."""
    monkeypatch.setitem(settings.API_URLS, "us", server.url)
    names: dict[str, Any] = {"__file__": str(folder / "definitions.py"), "__name__": "page"}
    for block in blocks("discovery.md", "python"):
        exec(compile(block, "docs/guides/discovery.md", "exec"), names)  # noqa: S102 - our own code

    definitions = names["defs"]
    assert deps_of(definitions)[CONTACTS] == {"customers"}
    assert {spec.key.path[0] for assets in names["eu_assets"] for spec in assets.specs} == {"eu"}
    assert keys_of(names["contacts"]) == {CONTACTS}
    assert isinstance(names["selector"], RudderStackConnectionSelector)


def component_yaml(number: int) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(blocks("yaml.md", "yaml")[number])
    return document


def with_server(attributes: dict[str, Any], server: LocalRudderStack) -> dict[str, Any]:
    """Return the attributes with the address of the local RudderStack instead of a region."""
    token = attributes["workspace"]["access_token"]
    return {**attributes, "workspace": {"access_token": token, "api_url": server.url}}


def test_workspace_in_yaml(project: Project, server: LocalRudderStack) -> None:
    """The YAML of a workspace loads, with its group, its checks and its sensor."""
    document = component_yaml(1)
    project.component("crm", document["type"], with_server(document["attributes"], server))

    definitions = project.load()

    assert set(deps_of(definitions)) == {CONTACTS}
    spec = spec_of(definitions, CONTACTS)
    assert (spec.group_name, list(spec.owners)) == ("activation", ["team:crm"])
    assert spec.automation_condition == dg.AutomationCondition.eager()
    assert spec.freshness_policy == dg.FreshnessPolicy.time_window(timedelta(hours=26))
    assert definitions.resolve_sensor_def("rudderstack_crm_polling_sensor") is not None
    checks = definitions.resolve_asset_graph().asset_check_keys
    assert {check.name for check in checks} == {"rejected_rows", "no_rows", "duration"}


def test_address_from_the_environment(
    project: Project, server: LocalRudderStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A component uses the address of the variable that its YAML names."""
    monkeypatch.setenv("RUDDERSTACK_API_URL", server.url)
    document = component_yaml(0)
    project.component("crm", document["type"], document["attributes"])

    assert set(deps_of(project.load())) == {CONTACTS, AUDIENCE}


def test_connection_in_yaml(project: Project, server: LocalRudderStack) -> None:
    """The YAML of one connection loads, without a request."""
    document = component_yaml(2)
    project.component("crm", document["type"], with_server(document["attributes"], server))

    assert deps_of(project.load()) == {"crm_contacts": {"customers"}}
    assert server.requests == []


def test_subclass(project: Project, server: LocalRudderStack, workspace: dict[str, Any]) -> None:
    """The subclass on the page leaves a connection out, changes the specs, and runs code around the
    syncs."""
    server.add_source("scratch", name="Scratch")
    server.add_connection("scratch", "scratch", "hubspot")
    (code,) = blocks("yaml.md", "python")
    project.write("../components.py", code)
    kind = f"{project.sandbox.project_name}.components.CrmWorkspace"
    project.component("crm", kind, {"workspace": workspace})

    with project.definitions() as definitions, dg.instance_for_test() as instance:
        job = definitions.resolve_implicit_global_asset_job_def()
        result = job.execute_in_process(instance=instance)
        logs = [entry.user_message for entry in instance.all_logs(result.run_id)]

    assert {tuple(spec.owners) for spec in definitions.resolve_all_asset_specs()} >= {("team:crm",)}
    assert logs.count("The CRM is about to change.") == 2
    assert logs.count("The CRM is up to date.") == 2
    assert len(server.starts()) == 2
    assert set(deps_of(definitions)) == {CONTACTS, AUDIENCE}


def test_attributes() -> None:
    """The table of attributes lists exactly the attributes of a workspace."""
    table = (DOCS / "yaml.md").read_text().partition("| Attribute |")[2].partition("\n\n")[0]
    listed = {
        name
        for line in table.splitlines()
        for name in re.findall(r"`(\w+)`", line.split("|")[1] if line.startswith("| `") else "")
    }

    assert listed == set(RudderStackWorkspaceComponent.model_fields)

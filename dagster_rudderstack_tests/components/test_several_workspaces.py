"""Several workspace components in one project."""

from typing import Any

import pytest
import yaml

from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.components.conftest import WORKSPACE, Project, deps_of
from dagster_rudderstack_tests.discovery.conftest import AUDIENCE, CONTACTS, fill


def test_two_workspaces(
    project: Project, workspace: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workspaces in one code location have their own resources and states."""
    with LocalRudderStack(access_token="eu-token") as eu:
        fill(eu)
        eu.remove_connection("audience")
        monkeypatch.setenv("EU_TOKEN", "eu-token")
        project.component("us", WORKSPACE, {"workspace": workspace, "grouping": "all"})
        project.component(
            "eu",
            WORKSPACE,
            {
                "workspace": {"access_token": "{{ env.EU_TOKEN }}", "api_url": eu.url},
                "translation": {"key_prefix": "eu"},
                "grouping": "all",
            },
        )

        definitions = project.load()

    assert set(deps_of(definitions)) == {CONTACTS, AUDIENCE, f"eu/{CONTACTS}"}
    assert set(definitions.resources or {}) == {"rudderstack_us", "rudderstack_eu"}
    assert len(list(project.sandbox.defs_folder_path.rglob("state"))) == 2


def test_two_components_of_one_workspace(project: Project, workspace: dict[str, Any]) -> None:
    """Two components of one workspace can select different connections."""
    for place in ("ads/hubspot", "ads/braze"):
        attributes = {
            "workspace": workspace,
            "connection_selector": {"destinations": [f"{place.removeprefix('ads/')}*"]},
            "defs_state": {"key": place, "management_type": "LOCAL_FILESYSTEM"},
        }
        project.component(place, WORKSPACE, attributes)

    definitions = project.load()

    assert set(deps_of(definitions)) == {CONTACTS, AUDIENCE}
    assert set(definitions.resources or {}) == {"rudderstack_ads_hubspot", "rudderstack_ads_braze"}


def test_two_documents_in_one_file(project: Project, workspace: dict[str, Any]) -> None:
    """Two components in one file have their own resources."""
    documents = [
        {
            "type": WORKSPACE,
            "attributes": {
                "workspace": workspace,
                "connection_selector": {"ids": [connection_id]},
                "defs_state": {"key": connection_id, "management_type": "LOCAL_FILESYSTEM"},
            },
        }
        for connection_id in ("contacts", "audience")
    ]
    project.write("crm/defs.yaml", yaml.safe_dump_all(documents))

    definitions = project.load()

    assert set(deps_of(definitions)) == {CONTACTS, AUDIENCE}
    assert set(definitions.resources or {}) == {"rudderstack_crm", "rudderstack_crm_1"}

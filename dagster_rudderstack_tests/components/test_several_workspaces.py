"""Several workspace components in one project."""

from typing import Any

import pytest
import yaml

from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.components.conftest import CONNECTION, WORKSPACE, Project, deps_of
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
    assert set(definitions.resources or {}) == {
        "rudderstack_ads__hubspot",
        "rudderstack_ads__braze",
    }


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
    assert set(definitions.resources or {}) == {"rudderstack_crm", "rudderstack_crm__1"}


def test_connection_of_the_workspace(
    project: Project, workspace: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A warning names a connection that is a component of its own, and in a workspace too."""
    project.component("crm", WORKSPACE, {"workspace": workspace})
    attributes = {"connection_id": "contacts", "asset": {"key": "contacts"}}
    project.component("own", CONNECTION, {"workspace": workspace, **attributes})

    project.load()

    (warning,) = [each for each in caplog.messages if "several assets" in each]
    assert f"Connection contacts belongs to several assets: '{CONTACTS}', 'contacts'." in warning


CLASHES = {
    "nested": ["crm/eu", "crm_eu", "crm__eu"],
    "dash": ["crm-eu", "crm_eu", "crm.eu", "crm eu"],
    "other alphabet": ["客户", "顾客", "__"],
    "number": ["crm/1", "crm_1"],
    "underscores": ["crm_/eu", "crm/_eu", "crm/eu_", "crm/eu"],
}


@pytest.mark.parametrize("places", CLASHES.values(), ids=CLASHES.keys())
@pytest.mark.parametrize("component", [WORKSPACE, CONNECTION])
def test_folder_names(
    project: Project, workspace: dict[str, Any], places: list[str], component: str
) -> None:
    """Components in folders with similar names have their own resources, sensors and steps."""
    names = [names_of(project, workspace, places, component, order) for order in (1, -1)]

    assert len(names[0]) == 2 * len(places)
    assert names[0] == names[1]


def names_of(
    project: Project, workspace: dict[str, Any], places: list[str], component: str, order: int
) -> set[str]:
    """Return the names of the resources and the sensors."""
    for number, place in list(enumerate(places))[::order]:
        attributes: dict[str, Any] = {"workspace": workspace, "polling_sensor": True}
        if component == WORKSPACE:
            attributes |= {
                "grouping": "all",
                "translation": {"key_prefix": f"w{number}"},
                "defs_state": {"key": f"w{number}", "management_type": "LOCAL_FILESYSTEM"},
            }
        else:
            attributes |= {"connection_id": "contacts", "asset": {"key": f"w{number}"}}
        project.component(place, component, attributes)

    definitions = project.load()

    sensors = [each.name for each in definitions.sensors or ()]
    return {*(definitions.resources or {}), *sensors}


def test_folder_names__ordinary(project: Project, workspace: dict[str, Any]) -> None:
    """The resource of an ordinary folder is named after the folder, and needs no digits."""
    for number, place in enumerate(["crm", "crm_eu", "ads/hub_spot"]):
        asset = {"key": f"a{number}"}
        attributes = {"workspace": workspace, "connection_id": "contacts", "asset": asset}
        project.component(place, CONNECTION, attributes)

    assert set(project.load().resources or {}) == {
        "rudderstack_crm",
        "rudderstack_crm_eu",
        "rudderstack_ads__hub_spot",
    }

"""The component of one connection."""

from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.components.conftest import (
    CONNECTION,
    Project,
    causes,
    deps_of,
    spec_of,
)
from dagster_rudderstack_tests.discovery.conftest import logged


def test_asset(project: Project, workspace: dict[str, Any], server: LocalRudderStack) -> None:
    """The asset has the attributes in YAML, and loads without a request."""
    asset = {"key": "crm/contacts", "deps": ["customers"], "owners": ["team:crm"]}
    attributes = {"connection_id": "contacts", "workspace": workspace, "asset": asset}
    project.component("crm", CONNECTION, attributes)

    definitions = project.load()

    assert deps_of(definitions) == {"crm/contacts": {"customers"}}
    assert list(spec_of(definitions, "crm/contacts").owners) == ["team:crm"]
    assert set(definitions.resources or {}) == {"rudderstack_crm"}
    assert server.requests == []


def test_sync(project: Project, workspace: dict[str, Any], server: LocalRudderStack) -> None:
    """Materializing the asset syncs its connection with the options in YAML."""
    project.component(
        "crm",
        CONNECTION,
        {"connection_id": "contacts", "workspace": workspace, "sync_type": "full"},
    )

    definitions = project.load()
    with dg.instance_for_test() as instance:
        result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance
        )

    assert result.success
    assert deps_of(definitions) == {"rudderstack/contacts": set()}
    assert [request.body for request in server.starts("contacts")] == [{"syncType": "full"}]


def test_resource_of_the_project(project: Project, server: LocalRudderStack) -> None:
    """Without a workspace, the component uses the project's resource."""
    project.component("crm", CONNECTION, {"connection_id": "contacts", "polling_sensor": True})
    project.write(
        "resources.py",
        "import dagster as dg\n"
        "from dagster_rudderstack import RudderStackResource\n"
        "@dg.definitions\n"
        "def resources():\n"
        "    token = dg.EnvVar('RUDDERSTACK_ACCESS_TOKEN')\n"
        f"    resource = RudderStackResource(access_token=token, api_url='{server.url}')\n"
        "    return dg.Definitions(resources={'rudderstack': resource})\n",
    )

    definitions = project.load()

    assert set(definitions.resources or {}) == {"rudderstack"}
    assert definitions.resolve_sensor_def("rudderstack_polling_sensor") is not None


@pytest.mark.parametrize("connection_id", ["", "a/b", "../x"])
def test_wrong_id(project: Project, connection_id: str) -> None:
    """A wrong id is an error when definitions load."""
    project.component("crm", CONNECTION, {"connection_id": connection_id})

    with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster wraps the error
        project.load()

    assert "connection_id" in causes(caught.value)


PYTHON = """
import dagster as dg
import dagster_rudderstack as r

@dg.component_instance
def contacts(context):
    workspace = r.RudderStackResource(access_token=dg.EnvVar("RUDDERSTACK_ACCESS_TOKEN"))
    return r.RudderStackConnectionComponent(
        connection_id="contacts", workspace=workspace, wait=False, {}
    )
"""


@pytest.mark.parametrize(
    ("more", "warnings"),
    [
        ("", ["With wait: false, the steps of 'rudderstack/contacts'"]),
        ("polling_sensor=False", []),
    ],
    ids=["nothing", "false"],
)
def test_deferred__warning(
    project: Project, caplog: pytest.LogCaptureFixture, more: str, warnings: list[str]
) -> None:
    """A component in Python warns of a deferred asset without a polling sensor, too, unless
    `polling_sensor` is false."""
    project.write("crm.py", PYTHON.format(more))

    with project.definitions() as definitions:
        assert deps_of(definitions) == {"rudderstack/contacts": set()}

    assert [each.partition(" only start")[0] for each in logged(caplog)] == warnings


def test_deferred__warning_once(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    """A process that builds the definitions twice, as the commands of `dg` do, warns once."""
    project.write("crm.py", PYTHON.format(""))

    for _ in range(2):
        with project.definitions() as definitions:
            assert deps_of(definitions) == {"rudderstack/contacts": set()}

    assert len(logged(caplog)) == 1

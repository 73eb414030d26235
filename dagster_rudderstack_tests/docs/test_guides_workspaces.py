"""The guide on several workspaces."""

import re
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
import yaml

from dagster_rudderstack import RudderStackWorkspaceComponent
from dagster_rudderstack.components.scaffold import WorkspaceScaffolder
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.docs.guide import AUDIENCE, CONTACTS, Guide, materialize
from dagster_rudderstack_tests.step.world import resource_of

GUIDE = Guide("several-workspaces")


@pytest.fixture
def eu() -> Iterator[LocalRudderStack]:
    """The second workspace, which has another token."""
    with LocalRudderStack(access_token="eu-token") as server:
        server.add_connection(AUDIENCE)
        yield server


def test_two_workspaces(
    server: LocalRudderStack, eu: LocalRudderStack, instance: dg.DagsterInstance
) -> None:
    """Each asset is synced in its own workspace."""
    defs: dg.Definitions = GUIDE.run()["defs"]
    resources: dict[str, Any] = {"rudderstack_us": resource_of(server)}
    resources["rudderstack_eu"] = resource_of(eu)

    local = dg.Definitions(assets=defs.assets, resources=resources)
    result = materialize(local, instance)

    assert result.success
    assert [start.connection_id for start in server.starts()] == [CONTACTS]
    assert [start.connection_id for start in eu.starts()] == [AUDIENCE]


def test_resources(monkeypatch: pytest.MonkeyPatch) -> None:
    """The resources have the tokens and the regions of the guide."""
    defs = GUIDE.run()["defs"]
    found = {}
    for region in ("us", "eu"):
        monkeypatch.setenv(f"RUDDERSTACK_{region.upper()}_TOKEN", f"{region}-token")
        with defs.resources[f"rudderstack_{region}"] as rudderstack:
            found[rudderstack.region] = rudderstack.access_token

    assert found == {"us": "us-token", "eu": "eu-token"}


@pytest.mark.parametrize("region", ["us", "eu"])
def test_sensors(
    server: LocalRudderStack, eu: LocalRudderStack, instance: dg.DagsterInstance, region: str
) -> None:
    """Each sensor polls its own workspace."""
    sensor = GUIDE.run()["defs"].resolve_sensor_def(f"{region}_syncs")
    workspace = {"us": server, "eu": eu}[region]
    resources = {f"rudderstack_{region}": resource_of(workspace)}

    with dg.build_sensor_context(instance, resources=resources) as context:
        result = sensor(context)

    assert isinstance(result, dg.SensorResult)
    assert "Polled 1 of 1 connection" in (result.skip_reason.skip_message or "")  # type: ignore[union-attr]


def test_missing_resource() -> None:
    """A resource that is missing is named when the definitions load."""
    page = GUIDE.run()
    defs = dg.Definitions(assets=[page["eu_contacts"]])

    with pytest.raises(dg.DagsterInvalidDefinitionError, match="rudderstack_eu"):
        dg.Definitions.validate_loadable(defs)


def test_yaml() -> None:
    """The YAML has attributes that the component knows."""
    (text,) = GUIDE.blocks("yaml")
    document = yaml.safe_load(text)

    fields = RudderStackWorkspaceComponent.get_model_cls().model_fields  # type: ignore[union-attr]
    assert document["type"] == "dagster_rudderstack.RudderStackWorkspaceComponent"
    assert document["attributes"].keys() <= fields.keys()


def test_scaffold() -> None:
    """The options of the scaffold command exist."""
    command = GUIDE.text.partition("`dg scaffold")[2].partition("`")[0]
    parameters = WorkspaceScaffolder.get_scaffold_params().model_fields

    options = re.findall(r"--([a-z-]+)", command)
    assert options == ["region", "access-token-variable"]
    assert {option.replace("-", "_") for option in options} <= parameters.keys()

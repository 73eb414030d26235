"""The assets, checks and sensors of a workspace in YAML."""

from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import MetadataKey
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.components.conftest import (
    WORKSPACE,
    Project,
    assets_of,
    causes,
    deps_of,
    spec_of,
)
from dagster_rudderstack_tests.discovery.conftest import AUDIENCE, CONTACTS, logged


def test_assets(project: Project, workspace: dict[str, Any]) -> None:
    """Each enabled connection is an asset. The workspace is a resource named after the folder."""
    definitions = assets_of(project, workspace)

    assert set(deps_of(definitions)) == {CONTACTS, AUDIENCE}
    assert set(definitions.resources or {}) == {"rudderstack_crm"}
    assert definitions.sensors in (None, [])


def test_assets_sync(project: Project, workspace: dict[str, Any], server: LocalRudderStack) -> None:
    """The assets sync their connections."""
    definitions = assets_of(project, workspace)

    with dg.instance_for_test() as instance:
        result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance
        )

    assert result.success
    assert len(server.starts("contacts")) == len(server.starts("audience")) == 1


def test_translation(project: Project, workspace: dict[str, Any]) -> None:
    """The translation changes the assets. Its templates can use the connection."""
    definitions = assets_of(
        project,
        workspace,
        translation={
            "key": "crm/{{ props.destination_kind }}",
            "group_name": "activation",
            "owners": ["team:crm"],
            "tags": {"tier": "gold"},
            "automation_condition": "{{ dg.AutomationCondition.eager() }}",
        },
    )
    spec = spec_of(definitions, "crm/hubspot")

    assert set(deps_of(definitions)) == {"crm/hubspot", "crm/braze"}
    assert spec.group_name == "activation"
    assert list(spec.owners) == ["team:crm"]
    assert spec.tags["tier"] == "gold"
    assert spec.tags["rudderstack/destination"] == "HubSpot"
    assert spec.automation_condition == dg.AutomationCondition.eager()


def test_translation__none(project: Project, workspace: dict[str, Any]) -> None:
    """A template of the translation that returns None is an error. It says how to leave a
    connection out."""
    project.write(
        "crm/template_vars.py",
        "import dagster as dg\n"
        "@dg.template_var\n"
        "def attributes_of():\n"
        "    return lambda props: None\n",
    )
    project.component(
        "crm",
        WORKSPACE,
        {"workspace": workspace, "translation": "{{ attributes_of(props) }}"},
        template_vars_module=".template_vars",
    )

    with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster wraps the error
        project.load()

    message = causes(caught.value)
    assert "The asset of connection 'Customers to HubSpot (Contact)' (contacts)" in message
    assert "NoneType" in message
    assert "To leave a connection out, use connection_selector." in message


SUBCLASS = """
import dagster_rudderstack as r

class WithoutBraze(r.RudderStackWorkspaceComponent):
    def get_asset_spec(self, props):
        return None if props.destination_kind == "braze" else super().get_asset_spec(props)
"""


def test_leave_out(project: Project, workspace: dict[str, Any]) -> None:
    """A subclass leaves out a connection with None. The translation applies to the others."""
    project.write("../components.py", SUBCLASS)
    kind = f"{project.sandbox.project_name}.components.WithoutBraze"
    attributes = {"workspace": workspace, "translation": {"group_name": "{{ props.id }}"}}
    project.component("crm", kind, attributes)

    definitions = project.load()

    assert set(deps_of(definitions)) == {CONTACTS}
    assert spec_of(definitions, CONTACTS).group_name == "contacts"


def test_post_processing(project: Project, workspace: dict[str, Any]) -> None:
    """Dagster's own `post_processing` applies."""
    project.component(
        "crm",
        WORKSPACE,
        {"workspace": workspace},
        post_processing={"assets": [{"target": "*", "attributes": {"owners": ["team:ads"]}}]},
    )

    assert list(spec_of(project.load(), CONTACTS).owners) == ["team:ads"]


CHOICES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "selector": ({"connection_selector": {"destinations": ["hubspot"]}}, {CONTACTS}),
    "selector without a list": ({"connection_selector": {"destinations": "hubspot"}}, {CONTACTS}),
    "selector by id": ({"connection_selector": {"ids": ["audience"]}}, {AUDIENCE}),
    "selector by tag": (
        {"connection_selector": {"tags": {"rudderstack/destination_type": "BRAZE"}}},
        {AUDIENCE},
    ),
    "selector with null": (
        {"connection_selector": {"tags": None, "ids": None}},
        {CONTACTS, AUDIENCE},
    ),
    "keys by id": ({"key_by": "id"}, {"rudderstack/contacts", "rudderstack/audience"}),
    "disabled connections": (
        {"disabled": "mark"},
        {CONTACTS, AUDIENCE, "rudderstack/braze_eu/customers"},
    ),
}


@pytest.mark.parametrize(("attributes", "keys"), CHOICES.values(), ids=CHOICES.keys())
def test_choices(
    project: Project, workspace: dict[str, Any], attributes: dict[str, Any], keys: set[str]
) -> None:
    """Attributes choose the connections, the keys, and what happens to disabled connections."""
    assert set(deps_of(assets_of(project, workspace, **attributes))) == keys


def test_selector__function(project: Project, workspace: dict[str, Any]) -> None:
    """A template can be a function that selects connections."""
    project.write(
        "crm/template_vars.py",
        "import dagster as dg\n"
        "@dg.template_var\n"
        "def to_braze():\n"
        "    return lambda props: props.destination_kind == 'braze'\n",
    )
    project.component(
        "crm",
        WORKSPACE,
        {"workspace": workspace, "connection_selector": "{{ to_braze }}"},
        template_vars_module=".template_vars",
    )

    assert set(deps_of(project.load())) == {AUDIENCE}


def test_sync_attributes(
    project: Project, workspace: dict[str, Any], server: LocalRudderStack
) -> None:
    """The attributes of syncs apply to the steps."""
    definitions = assets_of(
        project,
        workspace,
        grouping="all",
        sync_type="full",
        checks={"rejected_rows": {"max_failed_ratio": 0.1, "severity": "ERROR", "name": "bounced"}},
        retry_policy={"max_retries": 2, "delay": 5},
        pool="crm",
        op_tags={"dagster/priority": "3"},
    )
    (assets,) = [each for each in definitions.assets or () if isinstance(each, dg.AssetsDefinition)]

    assert assets.op.name == "rudderstack_crm_syncs"
    assert {check.name for check in assets.check_specs} == {"bounced"}
    assert assets.op.retry_policy == dg.RetryPolicy(max_retries=2, delay=5)
    assert assets.op.pool == "crm"
    assert assets.op.tags["dagster/priority"] == "3"
    with dg.instance_for_test() as instance:
        definitions.resolve_implicit_global_asset_job_def().execute_in_process(instance=instance)
    assert [request.body for request in server.starts()] == [{"syncType": "full"}] * 2


def test_retry_policy(project: Project, workspace: dict[str, Any]) -> None:
    """A retry policy can have a backoff and a jitter."""
    given = {"max_retries": 3, "delay": 30, "backoff": "EXPONENTIAL", "jitter": "PLUS_MINUS"}
    definitions = assets_of(project, workspace, retry_policy=given)

    policies = {
        each.op.retry_policy
        for each in definitions.assets or ()
        if isinstance(each, dg.AssetsDefinition)
    }
    assert policies == {
        dg.RetryPolicy(
            max_retries=3,
            delay=30,
            backoff=dg.Backoff.EXPONENTIAL,
            jitter=dg.Jitter.PLUS_MINUS,
        )
    }


def test_checks__null(project: Project, workspace: dict[str, Any]) -> None:
    """With null, the assets have no check."""
    definitions = assets_of(project, workspace, checks=None)

    assert list(definitions.resolve_asset_graph().asset_check_keys) == []


def test_polling_sensor(project: Project, workspace: dict[str, Any]) -> None:
    """The component has a polling sensor with the given settings."""
    definitions = assets_of(
        project,
        workspace,
        wait=False,
        polling_sensor={"minimum_interval_seconds": 15, "default_status": "RUNNING"},
    )
    sensor = definitions.resolve_sensor_def("rudderstack_crm_polling_sensor")

    assert sensor.minimum_interval_seconds == 15
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert sensor.required_resource_keys == {"rudderstack_crm"}
    # Dagster copies the sensors of a component to add to their metadata.
    assert "dagster/component_origin" in sensor.metadata
    assert sensor.metadata[MetadataKey.CONNECTION_IDS].value == ["audience", "contacts"]


NO_SENSOR = (
    "With wait: false, the steps of {} only start the syncs, and the component has no sensor that "
    "reports how they end. Add to its attributes: polling_sensor: true. If another sensor reports "
    "them: polling_sensor: false."
)

DEFERRED: dict[str, tuple[dict[str, Any], bool]] = {
    "nothing": ({}, True),
    "null": ({"polling_sensor": None}, True),
    "true": ({"polling_sensor": True}, False),
    "false": ({"polling_sensor": False}, False),
    "template of false": ({"polling_sensor": "{{ false }}"}, False),
    "settings": ({"polling_sensor": {"default_status": "RUNNING"}}, False),
    "steps that wait": ({"wait": True}, False),
    "no assets": ({"connection_selector": {"ids": ["paused"]}}, False),
}


@pytest.mark.parametrize(("attributes", "warns"), DEFERRED.values(), ids=DEFERRED.keys())
def test_deferred__warning(
    project: Project,
    workspace: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    attributes: dict[str, Any],
    warns: bool,
) -> None:
    """Deferred assets without a polling sensor give a warning that shows the line to add, unless
    `polling_sensor` is false."""
    assets_of(project, workspace, **{"wait": False, **attributes})

    expected = [NO_SENSOR.format(f"{CONTACTS!r}, {AUDIENCE!r}")] if warns else []
    assert [each for each in logged(caplog) if "wait: false" in each] == expected


def test_polling_sensor__no_connections(
    project: Project, workspace: dict[str, Any], server: LocalRudderStack
) -> None:
    """A workspace without connections loads without a sensor."""
    server.reset()

    assert assets_of(project, workspace, polling_sensor=True).sensors in (None, [])

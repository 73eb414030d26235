"""A workspace in YAML: what its attributes do, and where its state comes from."""

import logging
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster.components.testing import DefsFolderSandbox

from dagster_rudderstack import RudderStackResource, RudderStackWorkspaceComponent
from dagster_rudderstack.testing import Fault, LocalRudderStack
from dagster_rudderstack_tests.components.conftest import (
    AUDIENCE,
    CONTACTS,
    TOKEN,
    WORKSPACE,
    Project,
    causes,
    deps_of,
    spec_of,
)
from dagster_rudderstack_tests.discovery.conftest import fill

OUTAGE = Fault("status", operation="list_connections", status=503, times=None)

MODELS = """
import dagster as dg

@dg.asset(metadata={"dagster/table_name": "prod.analytics.customers"})
def dim_customers(): ...

@dg.asset(key=["analytics", "orders_by_customer"])
def orders(): ...
"""


def assets_of(project: Project, workspace: dict[str, Any], **attributes: Any) -> dg.Definitions:
    """Return the definitions of a project with one workspace."""
    project.component("crm", WORKSPACE, {"workspace": workspace, **attributes})
    return project.load()


# --- what it defines


def test_assets(project: Project, workspace: dict[str, Any]) -> None:
    """Each enabled connection is an asset, and the workspace a resource named after the folder."""
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


UPSTREAM: dict[str, tuple[dict[str, Any], dict[str, set[str]]]] = {
    "the project": (
        {},
        {
            CONTACTS: {"dim_customers"},
            AUDIENCE: {"dim_customers", "analytics/orders_by_customer"},
        },
    ),
    "one place": (
        {"upstream_from": ["warehouse/models.py"]},
        {
            CONTACTS: {"dim_customers"},
            AUDIENCE: {"dim_customers", "analytics/orders_by_customer"},
        },
    ),
    "nowhere": (
        {"upstream_from": []},
        {
            CONTACTS: {"analytics/customers"},
            AUDIENCE: {"analytics/customers", "analytics/orders_by_customer"},
        },
    ),
    "a mapping": (
        {"upstream_keys": {"analytics.customers": "people", "orders_by_customer": None}},
        {CONTACTS: {"people"}, AUDIENCE: {"people"}},
    ),
}


@pytest.mark.parametrize(("attributes", "deps"), UPSTREAM.values(), ids=UPSTREAM.keys())
def test_upstream(
    project: Project,
    workspace: dict[str, Any],
    attributes: dict[str, Any],
    deps: dict[str, set[str]],
) -> None:
    """The tables are looked for among the project's other definitions, or where it is said."""
    project.write("warehouse/models.py", MODELS)

    assert deps_of(assets_of(project, workspace, **attributes)) == deps


def test_upstream_of_components_that_ask_for_each_other(
    project: Project, workspace: dict[str, Any]
) -> None:
    """A definition that asks for ours while we ask for it gets it, and ours are linked all the
    same."""
    project.write("models.py", MODELS)
    project.write(
        "jobs.py",
        "import dagster as dg\n"
        "@dg.definitions\n"
        "def defs(context: dg.ComponentLoadContext):\n"
        "    keys = [s.key for a in context.build_defs('crm').assets for s in a.specs]\n"
        "    return dg.Definitions(jobs=[dg.define_asset_job('daily', selection=keys)])\n",
    )

    definitions = assets_of(project, workspace)

    assert deps_of(definitions)[CONTACTS] == {"dim_customers"}
    assert definitions.resolve_job_def("daily") is not None


def test_translation(project: Project, workspace: dict[str, Any]) -> None:
    """The translation changes the assets; its templates know the connection."""
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
        {"connection_selector": {"tags": {"rudderstack/destination_type": "braze"}}},
        {AUDIENCE},
    ),
    "selector of nothing": (
        {"connection_selector": {"tags": None, "ids": None}},
        {CONTACTS, AUDIENCE},
    ),
    "keys by id": ({"key_by": "id"}, {"rudderstack/contacts", "rudderstack/audience"}),
    "disabled": ({"disabled": "mark"}, {CONTACTS, AUDIENCE, "rudderstack/braze_eu/customers"}),
}


@pytest.mark.parametrize(("attributes", "keys"), CHOICES.values(), ids=CHOICES.keys())
def test_choices(
    project: Project, workspace: dict[str, Any], attributes: dict[str, Any], keys: set[str]
) -> None:
    """What is selected, how keys are made and what becomes of disabled connections is chosen."""
    assert set(deps_of(assets_of(project, workspace, **attributes))) == keys


def test_selector_from_a_function(project: Project, workspace: dict[str, Any]) -> None:
    """A template can bring a function of the connection."""
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
    """The attributes of syncs reach the steps."""
    definitions = assets_of(
        project,
        workspace,
        grouping="all",
        sync_type="full",
        rejected_rows_check={"max_failed_ratio": 0.1, "severity": "ERROR", "name": "bounced"},
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
    """The delay between retries of a step can grow and vary."""
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


def test_no_check(project: Project, workspace: dict[str, Any]) -> None:
    """Null makes no check."""
    definitions = assets_of(project, workspace, rejected_rows_check=None)

    assert list(definitions.resolve_asset_graph().asset_check_keys) == []


def test_polling_sensor(project: Project, workspace: dict[str, Any]) -> None:
    """The polling sensor comes with the component, set as it is told."""
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


def test_polling_sensor_of_nothing(
    project: Project, workspace: dict[str, Any], server: LocalRudderStack
) -> None:
    """A workspace without connections has no sensor, and loads."""
    server.reset()

    assert assets_of(project, workspace, polling_sensor=True).sensors in (None, [])


# --- the workspace's settings


def test_settings_are_those_of_the_resource() -> None:
    """YAML knows the settings of the resource, all of them and no others, with their words."""
    schema = RudderStackWorkspaceComponent.model().model_json_schema()
    shown = schema["$defs"]["RudderStackWorkspaceSettings"]["properties"]

    fields = RudderStackResource.model_fields
    assert {name: each["description"] for name, each in shown.items()} == {
        name: field.description for name, field in fields.items()
    }


def component_of(project: Project, workspace: dict[str, Any]) -> RudderStackWorkspaceComponent:
    project.component("crm", WORKSPACE, {"workspace": workspace})
    with project.sandbox.build_component_tree() as tree:
        return tree.load_component("crm", RudderStackWorkspaceComponent)


def test_token_stays_a_variable(
    project: Project, workspace: dict[str, Any], server: LocalRudderStack
) -> None:
    """A token from the environment is not read while definitions load, so nobody stores it."""
    component = component_of(project, {**workspace, "read_timeout_seconds": "{{ env.SECONDS }}"})

    assert component.workspace.access_token == dg.EnvVar(TOKEN)
    assert isinstance(component.workspace.access_token, dg.EnvVar)
    assert component.workspace.read_timeout_seconds == dg.EnvVar.int("SECONDS")
    assert server.access_token not in repr(component)
    assert TOKEN in component.defs_state_config.key


@pytest.mark.parametrize(
    "template",
    ["{{ env('SECRET') }}", '{{ env("SECRET") }}', "{{env.SECRET}}", "{{- env.SECRET -}}"],
)
def test_variable_in_any_spelling(
    project: Project, workspace: dict[str, Any], monkeypatch: pytest.MonkeyPatch, template: str
) -> None:
    """However a variable is spelled, its name is kept and not its value, in headers as well."""
    monkeypatch.setenv("SECRET", "s3cr3t")
    given = {
        **workspace,
        "access_token": template,
        "proxy_url": template,
        "extra_headers": {"X-Key": template, "X-Plain": "plain"},
    }

    resource = component_of(project, given).workspace

    for value in (resource.access_token, resource.proxy_url, resource.extra_headers["X-Key"]):
        assert isinstance(value, dg.EnvVar)
        assert value.env_var_name == "SECRET"
    assert resource.extra_headers["X-Plain"] == "plain"


@pytest.mark.parametrize(
    "settings",
    [
        {"access_token": "{{ env.SECRET | trim }}"},
        {"access_token": "{{ env('SECRET', 'none') }}"},
        {"proxy_url": "http://{{ env.SECRET }}@proxy:8080"},
        {"extra_headers": {"X-Key": "Bearer {{ env.SECRET }}"}},
    ],
    ids=["filter", "default", "in a text", "in a header"],
)
def test_secret_that_would_be_stored(
    project: Project,
    workspace: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
) -> None:
    """A secret that a template would read while definitions load is refused, and not shown."""
    monkeypatch.setenv("SECRET", "s3cr3t")

    with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster's error around ours
        component_of(project, {**workspace, **settings})

    told = causes(caught.value)
    assert f"{next(iter(settings))} reads an environment variable" in told
    assert "Write only {{ env.NAME }}" in told
    assert "s3cr3t" not in told


def test_setting_that_no_variable_can_be(
    project: Project, workspace: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting of which Dagster takes no variable is read while definitions load."""
    monkeypatch.setenv("GROWTH", "0.5")
    template = "{{ env('GROWTH') | float }}"

    assert (
        component_of(project, {**workspace, "poll_growth": template}).workspace.poll_growth == 0.5
    )


def test_literal_token_is_not_in_the_key(project: Project, workspace: dict[str, Any]) -> None:
    """The state of a workspace is kept under a name that tells nothing of its token."""
    key = component_of(
        project, {**workspace, "access_token": "lit3ral-tok3n"}
    ).defs_state_config.key

    assert "lit3ral" not in key


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no token": ({"workspace": {}}, "access_token"),
    "misspelt setting": ({"workspace": {"access_token": "t", "regoin": "eu"}}, "regoin"),
    "unknown region": ({"workspace": {"access_token": "t", "region": "mars"}}, "mars"),
    "misspelt attribute": ({"workspace": {"access_token": "t"}, "grupping": "all"}, "grupping"),
    "unknown grouping": ({"workspace": {"access_token": "t"}, "grouping": "colour"}, "grouping"),
    "misspelt selector": (
        {"workspace": {"access_token": "t"}, "connection_selector": {"nmaes": ["a"]}},
        "nmaes",
    ),
    "impossible check": (
        {"workspace": {"access_token": "t"}, "rejected_rows_check": {"max_failed_ratio": 7}},
        "max_failed_ratio 7",
    ),
    "unknown backoff": (
        {"workspace": {"access_token": "t"}, "retry_policy": {"delay": 1, "backoff": "quick"}},
        "backoff 'quick' is unknown: expected one of 'LINEAR', 'EXPONENTIAL'",
    ),
    "unknown jitter": (
        {"workspace": {"access_token": "t"}, "retry_policy": {"delay": 1, "jitter": "full"}},
        "jitter 'full' is unknown: expected one of 'FULL', 'PLUS_MINUS'",
    ),
    "unknown status of the sensor": (
        {"workspace": {"access_token": "t"}, "polling_sensor": {"default_status": "running"}},
        "default_status 'running' is unknown: expected one of 'RUNNING', 'STOPPED'",
    ),
    "unknown way to tell of failed syncs": (
        {"workspace": {"access_token": "t"}, "polling_sensor": {"failed_syncs": "mail"}},
        "failed_syncs 'mail' is unknown: expected one of 'run', 'check'",
    ),
    "impossible interval": (
        {"workspace": {"access_token": "t"}, "polling_sensor": {"minimum_interval_seconds": "x"}},
        "minimum_interval_seconds 'x'",
    ),
    "misspelt setting of the sensor": (
        {"workspace": {"access_token": "t"}, "polling_sensor": {"nmae": "a"}},
        "nmae",
    ),
}


@pytest.mark.parametrize(("attributes", "words"), WRONG.values(), ids=WRONG.keys())
def test_wrong_attributes(project: Project, attributes: dict[str, Any], words: str) -> None:
    """An attribute that cannot be right is named, before anything is asked."""
    project.component("crm", WORKSPACE, attributes)

    with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster's error around ours
        project.load()

    assert words in causes(caught.value)


def test_selector_that_means_nothing(project: Project, workspace: dict[str, Any]) -> None:
    """A selector that names what the workspace does not have says what is nearest."""
    project.component(
        "crm",
        WORKSPACE,
        {"workspace": workspace, "connection_selector": {"sources": ["Custmers"]}},
    )

    with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster's error around ours
        project.load()

    assert "Did you mean 'Customers'?" in causes(caught.value)


# --- its state


def test_state(project: Project, workspace: dict[str, Any], server: LocalRudderStack) -> None:
    """Outside of development definitions load from the state, without a request."""
    assets_of(project, workspace)
    server.clear_requests()
    project.in_development(yes=False)

    assert set(deps_of(project.load())) == {CONTACTS, AUDIENCE}
    assert server.requests == []


def test_state_without_a_token(
    project: Project, workspace: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the token is not set, as in a build, definitions load from the state as well."""
    assets_of(project, workspace)
    monkeypatch.delenv(TOKEN)

    assert set(deps_of(project.load())) == {CONTACTS, AUDIENCE}


def test_development_refreshes(
    project: Project, workspace: dict[str, Any], server: LocalRudderStack
) -> None:
    """In development the state is refreshed with each load, unless that is switched off."""
    assets_of(project, workspace)
    server.remove_connection("audience")
    calm = {"management_type": "LOCAL_FILESYSTEM", "refresh_if_dev": False}

    assert set(deps_of(assets_of(project, workspace, defs_state=calm))) == {CONTACTS, AUDIENCE}
    assert set(deps_of(assets_of(project, workspace))) == {CONTACTS}


def test_rudderstack_out_of_reach(
    project: Project,
    workspace: dict[str, Any],
    server: LocalRudderStack,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With RudderStack out of reach, development goes on with the last state, and says so."""
    assets_of(project, workspace)
    server.add_fault(OUTAGE)

    with caplog.at_level(logging.WARNING):
        definitions = project.load()

    assert set(deps_of(definitions)) == {CONTACTS, AUDIENCE}
    assert "The assets are those of the last refresh." in caplog.text


@pytest.mark.parametrize("in_development", [True, False])
def test_no_state(
    project: Project, workspace: dict[str, Any], server: LocalRudderStack, in_development: bool
) -> None:
    """Without a state, and with none to be had, the error says how to refresh."""
    server.add_fault(OUTAGE)
    project.in_development(in_development)
    project.component("crm", WORKSPACE, {"workspace": workspace})

    with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster's error around ours
        project.load()

    told = causes(caught.value)
    assert "There is no state of the RudderStack workspace" in told
    assert "dg utils refresh-defs-state" in told
    assert ("503" in told) == in_development


def test_damaged_state(project: Project, workspace: dict[str, Any]) -> None:
    """A state that cannot be read says how to refresh it."""
    assets_of(project, workspace)
    (state,) = project.sandbox.defs_folder_path.rglob("state")
    state.write_text('{"version": 0}')
    project.in_development(yes=False)

    with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster's error around ours
        project.load()

    assert "dg utils refresh-defs-state" in causes(caught.value)


# --- several


def test_two_workspaces(
    project: Project, workspace: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workspaces of the US and of the EU live in one code location, each with its own state."""
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
    """Two components can share a workspace, each with connections of its own."""
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
    """Two components in one file have resources of their own."""
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


# --- scaffolding


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


def test_scaffold_with_choices(project: Project) -> None:
    """The region and the variable can be chosen."""
    assert scaffolded(project.sandbox, region="eu", access_token_variable="EU_TOKEN") == {
        "workspace": {"access_token": "{{ env.EU_TOKEN }}", "region": "eu"}
    }

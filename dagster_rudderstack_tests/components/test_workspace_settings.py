"""The settings of a workspace in YAML: variables, secrets and errors."""

from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import RudderStackResource, RudderStackWorkspaceComponent
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.components.conftest import (
    TOKEN,
    WORKSPACE,
    Project,
    causes,
    component_of,
)


def test_settings_are_those_of_the_resource() -> None:
    """YAML knows the settings of the resource, all of them and no others, with their words."""
    schema = RudderStackWorkspaceComponent.model().model_json_schema()
    shown = schema["$defs"]["RudderStackWorkspaceSettings"]["properties"]

    fields = RudderStackResource.model_fields
    assert {name: each["description"] for name, each in shown.items()} == {
        name: field.description for name, field in fields.items()
    }


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

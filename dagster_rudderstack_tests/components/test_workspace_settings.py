"""The settings of a workspace in YAML: variables, secrets and errors."""

import traceback
from ipaddress import IPv4Address
from typing import Any

import dagster as dg
import pytest
from pydantic import BaseModel, ValidationError

from dagster_rudderstack import RudderStackResource, RudderStackWorkspaceComponent
from dagster_rudderstack.components.hidden_values import without_values
from dagster_rudderstack.components.models import words_of_yaml
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.components.conftest import (
    CONNECTION,
    TOKEN,
    WORKSPACE,
    Project,
    causes,
    component_of,
)


def test_settings() -> None:
    """YAML has exactly the settings of the resource, with their descriptions in YAML's words."""
    schema = RudderStackWorkspaceComponent.model().model_json_schema()
    properties = schema["$defs"]["RudderStackWorkspaceSettings"]["properties"]

    fields = RudderStackResource.model_fields
    assert {name: each["description"] for name, each in properties.items()} == {
        name: words_of_yaml(field.description) for name, field in fields.items()
    }


def test_variable(project: Project, workspace: dict[str, Any], server: LocalRudderStack) -> None:
    """A token from the environment is not read while definitions load, so it is not stored."""
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
def test_variable__spellings(
    project: Project, workspace: dict[str, Any], monkeypatch: pytest.MonkeyPatch, template: str
) -> None:
    """Each spelling of a variable keeps its name and not its value, also in headers."""
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
    ids=["filter", "default value", "in a URL", "in a header"],
)
def test_secret__other_template(
    project: Project,
    workspace: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
) -> None:
    """A template that would store a secret is refused. The error does not show the secret."""
    monkeypatch.setenv("SECRET", "s3cr3t")

    with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster wraps the error
        component_of(project, {**workspace, **settings})

    message = causes(caught.value)
    assert f"{next(iter(settings))} reads an environment variable" in message
    assert "Write only {{ env.NAME }}" in message
    assert "s3cr3t" not in message


def test_variable__number(
    project: Project, workspace: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting that cannot be an EnvVar is read while definitions load."""
    monkeypatch.setenv("GROWTH", "0.5")
    template = "{{ env('GROWTH') | float }}"

    assert (
        component_of(project, {**workspace, "poll_growth": template}).workspace.poll_growth == 0.5
    )


def test_literal_token(project: Project, workspace: dict[str, Any]) -> None:
    """The key of the state contains neither a literal token nor anything made of it."""
    keys = {
        component_of(project, {**workspace, "access_token": token}).defs_state_config.key
        for token in ("lit3ral-tok3n", "another-tok3n")
    }

    assert len(keys) == 1
    assert "tok3n" not in keys.pop()


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no token": ({"workspace": {}}, "access_token"),
    "unknown setting": ({"workspace": {"access_token": "t", "regoin": "eu"}}, "regoin"),
    "unknown region": ({"workspace": {"access_token": "t", "region": "mars"}}, "mars"),
    "unknown attribute": ({"workspace": {"access_token": "t"}, "grupping": "all"}, "grupping"),
    "unknown grouping": ({"workspace": {"access_token": "t"}, "grouping": "colour"}, "grouping"),
    "unknown criterion": (
        {"workspace": {"access_token": "t"}, "connection_selector": {"nmaes": ["a"]}},
        "nmaes",
    ),
    "wrong limit of the check": (
        {"workspace": {"access_token": "t"}, "checks": {"rejected_rows": {"max_failed_ratio": 7}}},
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
    "unknown default status of the sensor": (
        {"workspace": {"access_token": "t"}, "polling_sensor": {"default_status": "running"}},
        "default_status 'running' is unknown: expected one of 'RUNNING', 'STOPPED'",
    ),
    "unknown failed_syncs": (
        {"workspace": {"access_token": "t"}, "polling_sensor": {"failed_syncs": "mail"}},
        "failed_syncs 'mail' is unknown: expected one of 'run', 'check'",
    ),
    "wrong interval": (
        {"workspace": {"access_token": "t"}, "polling_sensor": {"minimum_interval_seconds": "x"}},
        "minimum_interval_seconds 'x'",
    ),
    "unknown setting of the sensor": (
        {"workspace": {"access_token": "t"}, "polling_sensor": {"nmae": "a"}},
        "nmae",
    ),
}


@pytest.mark.parametrize(("attributes", "words"), WRONG.values(), ids=WRONG.keys())
def test_wrong_attributes(project: Project, attributes: dict[str, Any], words: str) -> None:
    """The error names a wrong attribute before any request is sent."""
    project.component("crm", WORKSPACE, attributes)

    with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster wraps the error
        project.load()

    assert words in causes(caught.value)


def test_selector__unknown_name(project: Project, workspace: dict[str, Any]) -> None:
    """The error for an unknown name in the selector suggests the nearest name."""
    project.component(
        "crm",
        WORKSPACE,
        {"workspace": workspace, "connection_selector": {"sources": ["Custmers"]}},
    )

    with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster wraps the error
        project.load()

    assert "Did you mean 'Customers'?" in causes(caught.value)


LITERALS = {
    "access_token": "s3cr3t-token",
    "proxy_url": "http://me:s3cr3t-proxy@proxy:3128",
    "extra_headers": {"X-Key": "s3cr3t-header"},
}
MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "unknown setting": ({"workspace": {**LITERALS, "regoin": "eu"}}, "regoin"),
    "misspelt token": ({"workspace": {"acces_token": "s3cr3t-token"}}, "acces_token"),
    "no token": ({"workspace": {"extra_headers": {"X-Key": "s3cr3t"}}}, "access_token"),
    "token of the wrong type": ({"workspace": {"access_token": ["s3cr3t"]}}, "access_token"),
    "token in the wrong place": ({"workspace": {}, "access_token": "s3cr3t"}, "access_token"),
    "unknown attribute": ({"workspace": LITERALS, "grupping": "all"}, "grupping"),
    "wrong region": ({"workspace": {**LITERALS, "region": "mars"}}, "region 'mars' is unknown"),
    "wrong token": ({"workspace": {**LITERALS, "access_token": "s3cr3t s3cr3t"}}, "spaces"),
    "wrong header": (
        {"workspace": {**LITERALS, "extra_headers": {"X-Key": "s3cr3t\nX"}}},
        "line break",
    ),
    "wrong proxy": ({"workspace": {**LITERALS, "proxy_url": "s3cr3t"}}, "proxy_url is not usable"),
    "password in the URL": (
        {"workspace": {**LITERALS, "api_url": "https://me:s3cr3t@host/?key=s3cr3t"}},
        "api_url contains an @",
    ),
    "key in the URL": (
        {"workspace": {**LITERALS, "api_url": "https://host/?key=s3cr3t"}},
        "api_url has a query",
    ),
    "unknown variable": (
        {"workspace": {**LITERALS, "region": "{{ regions.eu }}"}},
        "'regions' not found in scope",
    ),
}


@pytest.mark.parametrize("kind", [WORKSPACE, CONNECTION])
@pytest.mark.parametrize(("attributes", "words"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistake_beside_a_secret(
    project: Project, kind: str, attributes: dict[str, Any], words: str
) -> None:
    """An error in YAML with literal secrets names the mistake, and shows no secret."""
    more = {"connection_id": "crm"} if kind == CONNECTION else {}
    project.component("crm", kind, {**attributes, **more})

    with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster wraps the error
        project.load()

    printed = "".join(traceback.format_exception(caught.value))
    assert words in printed
    assert "s3cr3t" not in printed


class Address(BaseModel):
    """A user's model, whose errors have types of their own."""

    workspace: Any
    address: IPv4Address


def test_mistake__type_of_error() -> None:
    """An error of an unknown type keeps its place and its message."""
    given = {"workspace": {"access_token": "s3cr3t"}, "address": "nowhere"}

    with pytest.raises(ValidationError, match="valid IPv4 address") as caught:
        without_values(Address).model_validate(given)

    assert caught.value.errors()[0]["loc"] == ("address",)
    assert "access_token" not in str(caught.value)


def test_mistake__harmless_value(project: Project, workspace: dict[str, Any]) -> None:
    """An error shows a wrong value that cannot be a secret."""
    project.component("crm", WORKSPACE, {"workspace": workspace, "grouping": "colour"})

    with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster wraps the error
        project.load()

    assert "input_value='colour'" in causes(caught.value)


def test_literal_secret__warning(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    """A literal secret in YAML gives a warning, which says how to read it from the environment."""
    project.component("crm", CONNECTION, {"connection_id": "crm", "workspace": LITERALS})

    project.load()

    (message,) = [each.message for each in caplog.records if "written in code" in each.message]
    assert "access_token, proxy_url, extra_headers['X-Key']" in message
    assert "{{ env.RUDDERSTACK_ACCESS_TOKEN }}" in message
    assert "s3cr3t" not in message

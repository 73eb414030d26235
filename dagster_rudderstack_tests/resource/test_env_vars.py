"""Settings of the resource from environment variables, which are checked when they are read."""

import asyncio
from collections.abc import Callable
from typing import Any, Optional

import dagster as dg
import pytest

from dagster_rudderstack import MetadataKey, RudderStackResource, build_rudderstack_sync_asset
from dagster_rudderstack.errors import InvalidSettingError, SyncFailedError
from dagster_rudderstack.testing import LocalRudderStack, SyncScript

VARIABLE = "RUDDERSTACK_SETTING_OF_THE_TEST"

GOOD = {
    "access_token": "token-of-the-environment",
    "region": "eu",
    "api_url": "https://gateway.example/rudder",
    "ca_bundle": "/etc/ssl/company.pem",
    "proxy_url": "http://proxy.example:3128",
    "dashboard_url": "https://app.example/{sync_id}",
    "run_dashboard_url": "https://app.example/{run_id}",
    "connect_timeout_seconds": "7",
    "read_timeout_seconds": "7",
    "request_max_retries": "7",
    "max_concurrent_requests": "7",
    "sync_timeout_seconds": "7",
    "outage_tolerance_seconds": "7",
    "start_settling_seconds": "7",
}
BAD = {
    "access_token": "two words",
    "region": "mars",
    "api_url": "http://api.rudderstack.com",
    "ca_bundle": " ",
    "proxy_url": "ftp://proxy.example",
    "dashboard_url": "https://app.example",
    "run_dashboard_url": "https://app.example",
    **{name: "-1" for name, value in GOOD.items() if value == "7"},
}


def takes_env_var(annotation: object) -> bool:
    """Whether Dagster accepts an EnvVar for a setting of this type."""
    return annotation in (str, int, Optional[str], Optional[int])  # noqa: UP045


SETTINGS = [
    name
    for name, info in RudderStackResource.model_fields.items()
    if takes_env_var(info.annotation)
]


def test_settings__complete() -> None:
    """Every setting that can be an EnvVar is tested here."""
    assert set(SETTINGS) == set(GOOD) == set(BAD)


def resource_with(name: str) -> RudderStackResource:
    """Return a resource with one setting from the environment variable."""
    env = dg.EnvVar.int(VARIABLE) if GOOD[name] == "7" else dg.EnvVar(VARIABLE)
    others: dict[str, Any] = {} if name == "access_token" else {"access_token": "token-in-code"}
    others[name] = env
    return RudderStackResource(**others)


def outside(resource: RudderStackResource, name: str) -> Any:
    """Read a setting in a `with` block outside Dagster."""
    with resource as read:
        return getattr(read, name)


def in_event_loop(resource: RudderStackResource, name: str) -> Any:
    """Read a setting in a running event loop, as in a notebook."""

    async def cell() -> Any:
        return outside(resource, name)

    return asyncio.run(cell())


def in_dagster(resource: RudderStackResource, name: str) -> Any:
    """Read a setting in a step, or raise the error of the run."""

    @dg.asset
    def reading(rudderstack: RudderStackResource) -> dg.MaterializeResult[Any]:
        return dg.MaterializeResult(metadata={"value": getattr(rudderstack, name)})

    result = dg.materialize([reading], resources={"rudderstack": resource}, raise_on_error=False)
    for event in result.all_events:
        if event.is_failure and event.event_specific_data is not None:
            raise InvalidSettingError(str(event.event_specific_data))
    (event,) = result.get_asset_materialization_events()
    return event.materialization.metadata["value"].value


Reading = Callable[[RudderStackResource, str], Any]
everywhere = pytest.mark.parametrize("read", [outside, in_event_loop, in_dagster])
every_setting = pytest.mark.parametrize("name", SETTINGS)


@everywhere
@every_setting
def test_good_value(name: str, read: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    """The value of the variable is the setting."""
    monkeypatch.setenv(VARIABLE, GOOD[name])
    resource = resource_with(name)

    assert str(read(resource, name)) == GOOD[name]


@everywhere
@every_setting
def test_bad_value(name: str, read: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error for a wrong value names the setting."""
    monkeypatch.setenv(VARIABLE, BAD[name])
    resource = resource_with(name)

    with pytest.raises((InvalidSettingError, dg.DagsterInvalidConfigError), match=name) as caught:
        read(resource, name)
    assert "token-in-code" not in str(caught.value)


@everywhere
@every_setting
def test_empty_value(name: str, read: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable is an error, not a default."""
    monkeypatch.setenv(VARIABLE, "")
    resource = resource_with(name)

    with pytest.raises((InvalidSettingError, dg.DagsterInvalidConfigError)) as caught:
        read(resource, name)
    assert name in str(caught.value) or VARIABLE in str(caught.value)


@everywhere
@every_setting
def test_unset(name: str, read: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error for a variable that is not set names the variable."""
    monkeypatch.delenv(VARIABLE, raising=False)
    resource = resource_with(name)

    with pytest.raises((InvalidSettingError, dg.DagsterInvalidConfigError), match=VARIABLE):
        read(resource, name)


@everywhere
@pytest.mark.parametrize("name", [name for name in SETTINGS if GOOD[name] == "7"])
def test_not_a_number(name: str, read: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error for a variable that is not a number names the variable."""
    monkeypatch.setenv(VARIABLE, "seven")
    resource = resource_with(name)

    with pytest.raises((InvalidSettingError, dg.DagsterInvalidConfigError), match=VARIABLE):
        read(resource, name)


def test_region_and_api_url() -> None:
    """Setting both is an error before the variables are read."""
    cases: list[dict[str, Any]] = [
        {"region": dg.EnvVar("REGION"), "api_url": "https://host"},
        {"region": "us", "api_url": dg.EnvVar("URL")},
        {"region": dg.EnvVar("REGION"), "api_url": dg.EnvVar("URL")},
    ]
    for settings in cases:
        with pytest.raises(ValueError, match="Both region and api_url"):
            RudderStackResource(access_token=dg.EnvVar("TOKEN"), **settings)


@everywhere
@pytest.mark.parametrize("value", ["", "  ", "two\nlines"])
def test_bad_header(value: str, read: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error for an empty or invalid header value names the header or its variable."""
    monkeypatch.setenv(VARIABLE, value)
    headers = {"X-Fixed": "1", "X-Key": dg.EnvVar(VARIABLE)}
    resource = RudderStackResource(access_token="token-in-code", extra_headers=headers)

    with pytest.raises((InvalidSettingError, dg.DagsterInvalidConfigError)) as caught:
        read(resource, "extra_headers")
    assert "'X-Key'" in str(caught.value) or VARIABLE in str(caught.value)


@everywhere
@pytest.mark.parametrize("variable_of", ["api_url", "proxy_url"])
def test_http_by_proxy(variable_of: str, read: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy on another machine that could read the token is refused when the variable is read."""
    urls = {"api_url": "http://localhost:8085", "proxy_url": "http://proxy.example:3128"}
    monkeypatch.setenv(VARIABLE, urls[variable_of])
    settings: dict[str, Any] = {**urls, variable_of: dg.EnvVar(VARIABLE)}
    resource = RudderStackResource(access_token="token-in-code", **settings)

    with pytest.raises((InvalidSettingError, dg.DagsterInvalidConfigError), match="unencrypted"):
        read(resource, "proxy_url")


# --- defaults of a subclass


class CompanyResource(RudderStackResource):
    """A subclass of a user, with environment variables as defaults."""

    access_token: str = dg.EnvVar("COMPANY_TOKEN")
    api_url: Optional[str] = dg.EnvVar("COMPANY_URL")  # noqa: UP045
    read_timeout_seconds: int = dg.EnvVar.int("COMPANY_TIMEOUT")


@pytest.fixture
def company(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the environment variables of the subclass."""
    variables = {
        "COMPANY_TOKEN": "token-of-the-company",
        "COMPANY_URL": "http://localhost:8085",
        "COMPANY_TIMEOUT": "7",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@everywhere
@pytest.mark.usefixtures("company")
def test_default(read: Reading) -> None:
    """The default of a subclass can be an EnvVar."""
    resource = CompanyResource()

    assert read(resource, "access_token") == "token-of-the-company"
    assert read(resource, "api_url") == "http://localhost:8085"
    assert read(resource, "read_timeout_seconds") == 7


@everywhere
@pytest.mark.usefixtures("company")
def test_default__overridden(read: Reading) -> None:
    """An argument overrides the default."""
    resource = CompanyResource(access_token="token-in-code", read_timeout_seconds=8)

    assert read(resource, "access_token") == "token-in-code"
    assert read(resource, "read_timeout_seconds") == 8


@everywhere
@pytest.mark.usefixtures("company")
@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("COMPANY_TOKEN", "two words", "access_token"),
        ("COMPANY_TOKEN", None, "COMPANY_TOKEN"),
        ("COMPANY_URL", "http://api.rudderstack.com", "unencrypted"),
        ("COMPANY_TIMEOUT", "-1", "read_timeout_seconds"),
    ],
)
def test_default__bad_value(
    variable: str,
    value: str | None,
    message: str,
    read: Reading,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The variable of a default is checked when it is read."""
    monkeypatch.delenv(variable) if value is None else monkeypatch.setenv(variable, value)

    with pytest.raises((InvalidSettingError, dg.DagsterInvalidConfigError), match=message):
        read(CompanyResource(), "access_token")


def test_default__bad_literal() -> None:
    """A wrong default is refused, and so is None for the token."""

    class Wrong(RudderStackResource):
        access_token: str = "token-in-code"
        region: Optional[str] = "mars"  # noqa: UP045

    with pytest.raises(ValueError, match="region 'mars' is unknown"):
        Wrong()
    with pytest.raises(ValueError, match="access_token is missing"):
        Wrong(access_token=None, region="us")  # type: ignore[arg-type]


def test_default__region_and_api_url() -> None:
    """A default counts when only one of two settings may be set."""
    with pytest.raises(ValueError, match="Both region and api_url"):
        CompanyResource(region="eu")


def test_default__config_schema() -> None:
    """The config schema does not have the token, and there is no warning about a token in code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMPANY_TOKEN", "token-of-the-company")
        resource = CompanyResource()
        schema = str(resource.get_resource_definition().config_schema.config_type)

    assert resource._warned is False
    assert "token-of-the-company" not in schema


# --- in use


@pytest.fixture
def resource(
    local_rudderstack: LocalRudderStack, monkeypatch: pytest.MonkeyPatch
) -> RudderStackResource:
    """A resource with settings from environment variables."""
    local_rudderstack.add_connection("crm")
    monkeypatch.setenv("TOKEN", local_rudderstack.access_token)
    monkeypatch.setenv("URL", local_rudderstack.url)
    monkeypatch.setenv("DASHBOARD", "https://app.example/{connection_id}/{sync_id}")
    monkeypatch.setenv("TIMEOUT", "100")
    monkeypatch.setenv("KEY", "key-of-the-gateway")
    return RudderStackResource(
        access_token=dg.EnvVar("TOKEN"),
        api_url=dg.EnvVar("URL"),
        dashboard_url=dg.EnvVar("DASHBOARD"),
        sync_timeout_seconds=dg.EnvVar.int("TIMEOUT"),
        extra_headers={"X-Gateway-Key": dg.EnvVar("KEY")},
        poll_min_interval_seconds=0.01,
    )


def test_use__materialize(
    resource: RudderStackResource, local_rudderstack: LocalRudderStack
) -> None:
    """A sync in Dagster uses the values of the variables, also in its metadata."""
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="crm")
    result = dg.materialize([asset], resources={"rudderstack": resource})

    (event,) = result.get_asset_materialization_events()
    sync_id = local_rudderstack.syncs("crm")[0].id
    link = event.materialization.metadata[MetadataKey.LINK]
    assert link.value == f"https://app.example/crm/{sync_id}"
    sent = [request.headers["x-gateway-key"] for request in local_rudderstack.requests]
    assert set(sent) == {"key-of-the-gateway"}


@pytest.mark.parametrize("entered", [True, False], ids=["with", "without_with"])
def test_use__outside(
    entered: bool, resource: RudderStackResource, local_rudderstack: LocalRudderStack
) -> None:
    """A sync outside Dagster uses them too, with and without `with`."""
    if entered:
        with resource as rudderstack:
            rudderstack.sync_and_poll("crm")
    else:
        resource.sync_and_poll("crm")
        resource.close()

    sent = {request.headers["x-gateway-key"] for request in local_rudderstack.requests}
    assert sent == {"key-of-the-gateway"}
    assert len(local_rudderstack.starts("crm")) == 1


def test_use__failure(resource: RudderStackResource, local_rudderstack: LocalRudderStack) -> None:
    """The link of a failure uses the value of the variable, also without `with`."""
    local_rudderstack.set_script("crm", SyncScript(status="failed"))
    with dg.build_asset_context() as context:
        with pytest.raises(dg.Failure) as caught:
            resource.sync_and_poll("crm", context=context)
        resource.close()

    sync_id = local_rudderstack.syncs("crm")[0].id
    assert isinstance(caught.value.__context__, SyncFailedError)
    link = caught.value.metadata[MetadataKey.LINK]
    assert link.value == f"https://app.example/crm/{sync_id}"


def test_use__sync_timeout(resource: RudderStackResource, monkeypatch: pytest.MonkeyPatch) -> None:
    """The policy of a sync uses the numbers of the variables, and checks them."""
    assert resource.sync_policy().sync_timeout_seconds == 100
    monkeypatch.setenv("TIMEOUT", "0")
    with pytest.raises(InvalidSettingError, match="sync_timeout_seconds 0"):
        resource.sync_policy()

"""The settings of the resource: given in code, or read from the environment.

A setting may be an EnvVar, which is read when the resource is used. Until then its value is unknown
and cannot be checked.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Optional, TypeVar

import dagster as dg
from pydantic import ConfigDict, Field, ValidationError, model_validator
from pydantic.functional_validators import ModelWrapValidatorHandler

from dagster_rudderstack.api.validation import (
    api_base_url,
    check_dashboard_url,
    check_names,
    check_one_address,
    check_proxy_is_near,
    checked_headers,
    checked_proxy_url,
    checked_token,
)
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.settings import (
    OnRunningSync,
    Policy,
    PollPolicy,
    RequestPolicy,
    RetryPolicy,
    StopOnTermination,
    SyncPolicy,
)
from dagster_rudderstack.sync.choices import RunChoices, SyncChoices
from dagster_rudderstack.vendor_names import RENAMED_SETTINGS

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "ResourceSettings",
    "address_options",
    "check_settings",
    "is_env_var",
    "policy_from",
    "read_setting",
    "resolved",
    "secrets_in_code",
    "setting_error",
    "settings_of",
]

_R = TypeVar("_R", bound="dg.ConfigurableResource[Any]")
_POLICIES: tuple[type[Policy], ...] = (RequestPolicy, RetryPolicy, PollPolicy, SyncPolicy)


_MASK = "********"
"""What Dagster's launchpad writes instead of the default of a secret setting."""


def address_options(region: str | None, api_url: str | None) -> list[str]:
    """Return the options with which the command line reaches the workspace of a resource.

    Without those that are an EnvVar, whose value must not be stored.
    """
    settings = (("--region", region), ("--api-url", api_url))
    return [
        text
        for option, value in settings
        if value is not None and not is_env_var(value)
        for text in (option, value)
    ]


def check_settings(known: dict[str, Any]) -> None:
    """Check settings: all of them, or those whose values are known already.

    Raises:
        InvalidSettingError: If a value is invalid.
    """
    _check_no_mask(known)
    for name in (
        "region",
        "api_url",
        "ca_bundle",
        "proxy_url",
        "dashboard_url",
        "run_dashboard_url",
    ):
        if known.get(name) is not None and not known[name].strip():
            raise InvalidSettingError(
                f"{name} is empty: leave it out, or set its environment variable."
            )
    for name, value in checked_headers(known["extra_headers"]).items():
        if not value:
            raise InvalidSettingError(
                f"The value of {name!r} in extra_headers is empty: leave the header out, or set "
                "its environment variable."
            )
    if "access_token" in known:
        checked_token(known["access_token"])
    base_url = api_base_url(known.get("region"), known.get("api_url"))
    if known.get("proxy_url") is not None:
        check_proxy_is_near(base_url, checked_proxy_url(known["proxy_url"]))
    if known.get("dashboard_url") is not None:
        check_dashboard_url(
            known["dashboard_url"], "dashboard_url", ("{connection_id}", "{sync_id}")
        )
    if known.get("run_dashboard_url") is not None:
        check_dashboard_url(
            known["run_dashboard_url"], "run_dashboard_url", ("{source_id}", "{run_id}")
        )
    for policy in _POLICIES:
        policy_from(policy, known)


def _check_no_mask(known: Mapping[str, Any]) -> None:
    for name in ("access_token", "proxy_url"):
        if known.get(name) == _MASK:
            raise InvalidSettingError(
                f"{name} is {_MASK!r}, which Dagster's launchpad shows instead of a secret. In the "
                f"run config, write {name}: {{env: NAME}} with the name of its environment "
                "variable, or remove all settings of this resource."
            )


# EnvVar.int makes instances of a class that has no public name.
_ENV_VARS = (dg.EnvVar, type(dg.EnvVar.int("_")))


def is_env_var(value: object) -> bool:
    """Whether a setting is read from the environment when it is used."""
    return isinstance(value, _ENV_VARS)


def secrets_in_code(resource: "ResourceSettings") -> list[str]:
    """Return the names of the secret settings whose values are not read from the environment."""
    found = [] if is_env_var(resource.access_token) else ["access_token"]
    proxy_url = resource.proxy_url
    if proxy_url is not None and not is_env_var(proxy_url) and "@" in proxy_url:
        found.append("proxy_url")
    headers = resource.extra_headers
    found += [f"extra_headers[{name!r}]" for name in headers if not is_env_var(headers[name])]
    return found


def settings_of(resource: dg.ConfigurableResource[Any]) -> dict[str, Any]:
    """Return the settings of a resource by name."""
    return {name: getattr(resource, name) for name in type(resource).model_fields}


def read_setting(name: str, setting: Any) -> Any:
    """Return the value of a setting, with every EnvVar in it read.

    Raises:
        InvalidSettingError: If a variable is not set, or holds no whole number where one is
            expected.
    """
    if isinstance(setting, dict):
        return {key: read_setting(f"{name}[{key!r}]", item) for key, item in setting.items()}
    if not is_env_var(setting):
        return setting
    variable = f"The environment variable {setting.env_var_name} (for {name})"
    try:
        value = setting.get_value()
    except ValueError:
        raise InvalidSettingError(f"{variable} does not hold a whole number.") from None
    if value is None:
        raise InvalidSettingError(f"{variable} is not set, or empty.")
    return value


def resolved(resource: _R) -> _R:
    """Return the resource itself, or a copy in which every EnvVar is read and checked.

    Raises:
        InvalidSettingError: If a variable is not set, or its value is invalid.
    """
    settings = settings_of(resource)
    in_headers = any(is_env_var(value) for value in settings["extra_headers"].values())
    if not in_headers and not any(is_env_var(value) for value in settings.values()):
        return resource
    values = {name: read_setting(name, setting) for name, setting in settings.items()}
    try:
        return type(resource)(**values)
    except ValidationError as error:
        raise setting_error(error) from None


def setting_error(error: ValidationError) -> InvalidSettingError:
    """Return what pydantic says of a setting as an error of this library."""
    wrong = "; ".join(
        f"{'.'.join(map(str, problem['loc']))} {problem['msg']}".strip()
        for problem in error.errors(include_url=False, include_input=False)
    )
    return InvalidSettingError(wrong.replace("Value error, ", ""))


_P = TypeVar("_P", bound=Policy)


def policy_from(policy: type[_P], settings: dict[str, Any]) -> _P:
    """Return a policy made of settings of the resource.

    Raises:
        InvalidSettingError: If a value is not allowed. The message names the setting.
    """
    try:
        return policy(**{name: settings[name] for name in policy.model_fields if name in settings})
    except ValidationError as error:
        problems = [
            f"{problem['loc'][0]} {problem['input']!r}: {problem['msg']}"
            if problem["loc"]
            else problem["msg"].removeprefix("Value error, ")
            for problem in error.errors(include_url=False)
        ]
        raise InvalidSettingError("; ".join(problems).strip() + ".") from None


def _setting(policy: type[Policy], name: str) -> Any:
    """Return the field of a setting, as its policy declares it.

    Its constraints are left to the policy: an EnvVar has no value yet that could be checked.
    """
    field = policy.model_fields[name]
    return Field(default=field.default, description=field.description)


class ResourceSettings(dg.ConfigurableResource[Any]):
    """The settings of a `RudderStackResource`, checked when they are given or read."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    access_token: str = Field(
        repr=False,
        json_schema_extra={"dagster__is_secret": True},
        description=(
            "Service access token of the workspace, or a personal access token. Use an EnvVar: "
            "Dagster stores a token that is written in code."
        ),
    )
    region: Optional[str] = Field(  # noqa: UP045 - Dagster's config takes Optional, not unions
        default=None,
        description="Region of the workspace: 'us' (default) or 'eu'. Not together with api_url.",
    )
    api_url: Optional[str] = Field(  # noqa: UP045
        default=None,
        description=(
            "Address of the API, for a gateway or a test server: https://host[/prefix]. Use it "
            "instead of region. Plain http is accepted only for localhost."
        ),
    )
    connect_timeout_seconds: int = _setting(RequestPolicy, "connect_timeout_seconds")
    read_timeout_seconds: int = _setting(RequestPolicy, "read_timeout_seconds")
    request_max_retries: int = _setting(RetryPolicy, "request_max_retries")
    max_concurrent_requests: int = _setting(RequestPolicy, "max_concurrent_requests")
    max_requests_per_second: Optional[float] = _setting(  # noqa: UP045
        RequestPolicy, "max_requests_per_second"
    )
    ca_bundle: Optional[str] = Field(  # noqa: UP045
        default=None,
        description="File or folder of CA certificates to trust instead of the default ones.",
    )
    # Defaults of secrets come from a factory, which Dagster does not call for its pages. They mask
    # any other default, so that an unset secret would look set, and the launchpad would insert the
    # mask.
    proxy_url: Optional[str] = Field(  # noqa: UP045
        default_factory=lambda: None,
        repr=False,
        json_schema_extra={"dagster__is_secret": True},
        description="Proxy for the API. None uses HTTPS_PROXY and similar variables.",
    )
    extra_headers: dict[str, str] = Field(
        default_factory=dict,
        repr=False,
        json_schema_extra={"dagster__is_secret": True},
        description=(
            "Headers to send with each request, for a gateway in front of the API. Their values "
            "are treated like secrets: use EnvVars."
        ),
    )
    poll_min_interval_seconds: float = _setting(PollPolicy, "poll_min_interval_seconds")
    poll_max_interval_seconds: float = _setting(PollPolicy, "poll_max_interval_seconds")
    poll_growth: float = _setting(PollPolicy, "poll_growth")
    poll_jitter: float = _setting(PollPolicy, "poll_jitter")
    sync_timeout_seconds: int = _setting(SyncPolicy, "sync_timeout_seconds")
    stop_on_timeout: bool = _setting(SyncPolicy, "stop_on_timeout")
    outage_tolerance_seconds: int = _setting(SyncPolicy, "outage_tolerance_seconds")
    start_settling_seconds: int = _setting(SyncPolicy, "start_settling_seconds")
    on_running_sync: OnRunningSync = _setting(SyncPolicy, "on_running_sync")
    stop_on_termination: StopOnTermination = _setting(SyncPolicy, "stop_on_termination")
    check_connection: bool = _setting(SyncPolicy, "check_connection")
    dashboard_url: Optional[str] = Field(  # noqa: UP045
        default=None,
        description=(
            "Address of a sync's page in RudderStack's dashboard, shown as a link. The library "
            "replaces {connection_id} and {sync_id} in it. There is no default, since RudderStack "
            "documents no such address."
        ),
    )
    run_dashboard_url: Optional[str] = Field(  # noqa: UP045
        default=None,
        description=(
            "Address of the page of a run of a Profiles project or ETL source. The library "
            "replaces {source_id} and {run_id} in it."
        ),
    )

    @model_validator(mode="wrap")
    @classmethod
    def _checked(cls, data: Any, build: ModelWrapValidatorHandler["Self"]) -> "Self":
        """Check every setting whose value is known. An EnvVar is checked when it is read.

        The model sees the name of an EnvVar (0 for EnvVar.int) instead of its value, so the input
        decides. An EnvVar that is the default of a subclass is seen as it is.
        """
        if isinstance(data, cls):
            return build(data)
        given = data if isinstance(data, Mapping) else {}
        check_names(given, cls.model_fields, RENAMED_SETTINGS)
        # A subclass may have a default, which counts as given.
        has_default = not cls.model_fields["access_token"].is_required()
        if given.get("access_token", "" if has_default else None) is None:
            raise InvalidSettingError(
                "access_token is missing: expected EnvVar('…') with the name of the environment "
                "variable that holds it."
            )
        resource = build(data)
        values = resource.__dict__
        unread = {name for name in values if is_env_var(given.get(name, values[name]))}
        check_settings({name: values[name] for name in values if name not in unread})
        check_one_address(values["region"], values["api_url"])
        return resource

    def sync_policy(self, choices: SyncChoices | RunChoices | None = None) -> SyncPolicy:
        """Return the policy of a sync or run: the settings, and what was chosen instead of them."""
        known = {name: read_setting(name, setting) for name, setting in settings_of(self).items()}
        if choices is not None:
            known |= choices.settings
        policy = policy_from(SyncPolicy, known)
        return policy.model_copy(
            update={
                "retry": policy_from(RetryPolicy, known),
                "poll": policy_from(PollPolicy, known),
            }
        )

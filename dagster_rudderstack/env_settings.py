"""Settings of the resource that are read from the environment, and their checks.

A setting may be an EnvVar, which is read when the resource is used. Until then its value is unknown
and cannot be checked.
"""

from typing import Any, TypeVar

import dagster as dg
from pydantic import ValidationError

from dagster_rudderstack.api.validation import (
    api_base_url,
    check_proxy_is_near,
    checked_dashboard_url,
    checked_headers,
    checked_proxy_url,
    checked_token,
)
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.settings import Policy, PollPolicy, RequestPolicy, RetryPolicy, SyncPolicy

__all__ = [
    "RENAMED_SETTINGS",
    "check_settings",
    "is_env_var",
    "policy_from",
    "read_setting",
    "resolved",
    "settings_of",
]

_R = TypeVar("_R", bound="dg.ConfigurableResource[Any]")
_POLICIES: tuple[type[Policy], ...] = (RequestPolicy, RetryPolicy, PollPolicy, SyncPolicy)

RENAMED_SETTINGS = {
    "rs_cloud_url": "region or api_url",
    "request_timeout": "connect_timeout_seconds and read_timeout_seconds",
    "request_retry_delay": "nothing, since the waits grow by themselves",
    "poll_interval": "poll_min_interval_seconds and poll_max_interval_seconds",
    "poll_timeout": "sync_timeout_seconds",
}
"""The present names of the settings of RudderStack's own package 1.3.0."""


def check_settings(known: dict[str, Any]) -> None:
    """Check settings: all of them, or those whose values are known already.

    Raises:
        InvalidSettingError: If a value cannot be right.
    """
    for name in ("region", "api_url", "ca_bundle", "proxy_url", "dashboard_url"):
        if known.get(name) is not None and not known[name].strip():
            raise InvalidSettingError(
                f"{name} is empty: leave it out, or set the variable that it is read from."
            )
    for name, value in checked_headers(known["extra_headers"]).items():
        if not value:
            raise InvalidSettingError(
                f"The value of {name!r} in extra_headers is empty: leave the header out, or set "
                "the variable that it is read from."
            )
    if "access_token" in known:
        checked_token(known["access_token"])
    base_url = api_base_url(known.get("region"), known.get("api_url"))
    if known.get("proxy_url") is not None:
        check_proxy_is_near(base_url, checked_proxy_url(known["proxy_url"]))
    if known.get("dashboard_url") is not None:
        checked_dashboard_url(known["dashboard_url"])
    for policy in _POLICIES:
        policy_from(policy, known)


# EnvVar.int makes instances of a class that has no public name.
_ENV_VARS = (dg.EnvVar, type(dg.EnvVar.int("_")))


def is_env_var(value: object) -> bool:
    """Whether a setting is read from the environment when it is used."""
    return isinstance(value, _ENV_VARS)


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
        InvalidSettingError: If a variable is not set, or its value cannot be right.
    """
    settings = settings_of(resource)
    in_headers = any(is_env_var(value) for value in settings["extra_headers"].values())
    if not in_headers and not any(is_env_var(value) for value in settings.values()):
        return resource
    values = {name: read_setting(name, setting) for name, setting in settings.items()}
    try:
        return type(resource)(**values)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, problem['loc']))} {problem['msg']}".strip()
            for problem in error.errors(include_url=False, include_input=False)
        )
        raise InvalidSettingError(wrong.replace("Value error, ", "")) from None


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

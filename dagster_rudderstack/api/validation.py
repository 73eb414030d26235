"""Checks of the values that users give: ids, addresses, tokens, headers, choices.

A message names the value, where it came from and what would be right. It never shows a secret.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeGuard, get_args
from urllib.parse import quote

from dagster_rudderstack.api.fields import is_usable_id
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.settings import API_URLS, API_VERSION, SYNC_TYPES, SyncType
from dagster_rudderstack.text import nearest, shown

if TYPE_CHECKING:
    import httpx


def checked_id(value: object, what: str) -> str:
    """Return an id without the blanks around it.

    RudderStack's ids are letters and digits. Characters that could change the path of a URL are
    refused.

    Raises:
        InvalidSettingError: If it is not an id. The message names the value and what is expected.
    """
    check_no_env_var(value, what)
    if not isinstance(value, str):
        raise InvalidSettingError(f"{what} must be a string, got {type(value).__name__}.")
    stripped = value.strip(" \t")
    if not stripped:
        raise InvalidSettingError(
            f"{what} is {'blank' if value else 'empty'}. Copy it from the RudderStack dashboard."
        )
    if not is_usable_id(stripped):
        raise InvalidSettingError(
            f"{what} {shown(value)} is not an id of RudderStack: expected letters, digits "
            "and '-', '_', '.', ':' or '~', without a URL around it."
        )
    return stripped


def check_no_env_var(value: object, what: str) -> None:
    """Check that a value is not an `EnvVar`, which is a string that holds the variable's name.

    Raises:
        InvalidSettingError: If it is one.
    """
    variable = getattr(value, "env_var_name", None)
    if variable is not None:
        raise InvalidSettingError(
            f"{what} cannot be an EnvVar: Dagster reads those in the settings of resources only. "
            f"Read the variable yourself, as in os.environ[{variable!r}]."
        )


def quoted_id(value: str, what: str) -> str:
    """Return a checked id that is safe as one segment of a URL's path."""
    return quote(checked_id(value, what), safe="")


def checked_sync_type(value: object) -> SyncType:
    """Return the sync type.

    Raises:
        InvalidSettingError: If it is not `incremental` or `full`.
    """
    for known in SYNC_TYPES:
        if value == known:
            return known
    raise InvalidSettingError(
        f"sync_type {shown(value)} is unknown: expected 'incremental' or 'full'."
    )


def checked_choice(value: object, choices: Any, what: str) -> None:
    """Check that a value is one of the choices of a `Literal`.

    Raises:
        InvalidSettingError: If it is not. The message names the value and the choices.
    """
    allowed = get_args(choices)
    if value not in allowed:
        words = ", ".join(repr(choice) for choice in allowed)
        raise InvalidSettingError(f"{what} {shown(value)} is unknown: expected one of {words}.")


def check_names(
    given: Iterable[str], known: Collection[str], renamed: Mapping[str, str] | None = None
) -> None:
    """Check that all settings exist.

    Args:
        given: The names that were given.
        known: The names of the settings that exist.
        renamed: What to use instead of names of other packages and releases, as a sentence.

    Raises:
        InvalidSettingError: If one does not exist. The message names the nearest one.
    """
    for name in given:
        if name in known:
            continue
        hint = name_hint(str(name), known, renamed or {})
        raise InvalidSettingError(f"There is no setting {name!r}.{hint}")


def name_hint(name: str, known: Collection[str], renamed: Mapping[str, str]) -> str:
    """Return what to use instead of an unknown name, with a space before it. Empty if unknown."""
    near = name if name in renamed else nearest(name, [*known, *renamed])
    if near is None:
        return ""
    is_renamed = near in renamed and near not in known
    return f" {renamed[near]}" if is_renamed else f" Did you mean {near!r}?"


def checked_flag(value: object, what: str) -> None:
    """Check that a value is True or False. Any other value, such as 'no', may count as True.

    Raises:
        InvalidSettingError: If it is neither.
    """
    if not isinstance(value, bool):
        raise InvalidSettingError(f"{what} {shown(value)}: expected True or False.")


def is_whole(value: object) -> TypeGuard[int]:
    """Whether a value is a whole number. True and False are not, although Python counts them."""
    return isinstance(value, int) and not isinstance(value, bool)


def checked_seconds(value: object, what: str) -> None:
    """Check that a value is a whole number of seconds from 1, or None.

    Raises:
        InvalidSettingError: If it is not.
    """
    if value is not None and not (is_whole(value) and value > 0):
        raise InvalidSettingError(
            f"{what} {shown(value)}: expected a whole number of seconds from 1, or None."
        )


def api_base_url(region: str | None, api_url: str | None) -> str:
    """Return the URL in front of all paths of the API. It ends in `/v2`, without a slash.

    Args:
        region: `us` or `eu`. None means `us`, unless `api_url` is given.
        api_url: Scheme, host and, behind a proxy, a path prefix; with or without `/v2`.

    Raises:
        InvalidSettingError: If the region is unknown, if both are given, or if the token must not
            be sent to the URL.
    """
    check_one_address(region, api_url)
    if api_url is not None:
        return _checked_url(api_url)
    name = "us" if region is None else region
    if name not in API_URLS:
        raise InvalidSettingError(
            f"region {shown(name)} is unknown: expected 'us' or 'eu'. For any other host set "
            "api_url."
        )
    return f"{API_URLS[name]}/{API_VERSION}"


def check_one_address(region: str | None, api_url: str | None) -> None:
    """Check that at most one of the two is given.

    Raises:
        InvalidSettingError: If both are given.
    """
    if region is not None and api_url is not None:
        raise InvalidSettingError(
            "Both region and api_url are set: leave one of them out. Use region for RudderStack's "
            "own hosts, and api_url for any other host."
        )


_HOST_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
_LARGEST_PORT = 65535


def _checked_url(api_url: str) -> str:
    # The value is not shown if it may hold a password or a token.
    if "@" in api_url:
        raise InvalidSettingError(
            "api_url contains an @: leave user name and password out, and use access_token."
        )
    expected = "expected https://host[:port][/prefix]"
    if "?" in api_url or "#" in api_url:
        raise InvalidSettingError(f"api_url has a query or a fragment: {expected}.")
    try:
        url = _parsed(api_url.strip())
    except ValueError as error:
        raise InvalidSettingError(
            f"api_url {shown(api_url)} is not a URL ({error}): {expected}."
        ) from None
    if url.scheme not in ("http", "https") or not _is_address(url):
        raise InvalidSettingError(f"api_url {shown(api_url)} is not usable: {expected}.")
    if url.scheme == "http" and not is_loopback(url.host):
        raise InvalidSettingError(
            f"api_url {shown(api_url)} would send the access token unencrypted: use https. "
            "(http is accepted for this machine only: localhost, 127.0.0.1, [::1].)"
        )
    base = str(url).rstrip("/")
    return base if base.endswith(f"/{API_VERSION}") else f"{base}/{API_VERSION}"


def _parsed(url: str) -> httpx.URL:
    """Return a URL. Raises ValueError, with the reason, if it is not one."""
    # Imported late, since httpx takes longer to import than this library, and code locations that
    # only load definitions do not need it.
    import httpx  # noqa: PLC0415 - see above

    try:
        return httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(str(error)) from None


def _is_address(url: httpx.URL) -> bool:
    """Whether the host and the port of a URL have the right form."""
    is_port = url.port is None or 0 < url.port <= _LARGEST_PORT
    if not is_port or "%" in url.host:
        return False
    return _is_ip_address(url.host) or _HOST_NAME.fullmatch(url.raw_host.decode()) is not None


def _is_ip_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def checked_proxy_url(proxy_url: str) -> str:
    """Return the address of a proxy.

    Raises:
        InvalidSettingError: If it is not one. The message does not show it.
    """
    try:
        url = _parsed(proxy_url.strip())
        usable = url.scheme in ("http", "https", "socks5", "socks5h") and _is_address(url)
    except ValueError:
        usable = False
    if not usable:
        # Neither the URL nor the error is shown: a proxy's URL may hold a password.
        raise InvalidSettingError(
            "proxy_url is not usable: expected http://host:port, https://host:port or "
            "socks5://host:port."
        )
    return proxy_url.strip()


def check_proxy_is_near(base_url: str, proxy_url: str) -> None:
    """Check that no proxy on another machine can read the token.

    Over https, a proxy sees only the name of the host. Over http, it sees the whole request.

    Raises:
        InvalidSettingError: If the URL is http and the proxy is not on this machine.
    """
    if _parsed(base_url).scheme == "http" and not is_loopback_url(proxy_url.strip()):
        raise InvalidSettingError(
            "proxy_url would receive the access token unencrypted, since api_url is plain http: "
            "leave proxy_url out, or use https in api_url."
        )


def checked_token(value: object) -> str:
    """Return the access token.

    Raises:
        InvalidSettingError: If it is empty, blank, or cannot be sent in a header. The message does
            not show it.
    """
    if not isinstance(value, str) or not value.strip():
        raise InvalidSettingError(
            "access_token is empty. Set its environment variable to a service access token of the "
            "RudderStack workspace."
        )
    token = value.strip()
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise InvalidSettingError(
            "access_token contains spaces, line breaks or characters that are not ASCII: copy it "
            "again, without 'Bearer'."
        )
    return token


_RESERVED_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "te",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)


def checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the extra headers.

    Raises:
        InvalidSettingError: If a name is not a header's, a value has line breaks, or the library
            sets the header itself. The message does not show the value.
    """
    for name, value in headers.items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise InvalidSettingError(
                f"extra_headers has {name!r}, which is not a valid header name."
            )
        if name.lower() in _RESERVED_HEADERS:
            raise InvalidSettingError(f"extra_headers may not set {name!r}: the library sets it.")
        if not isinstance(value, str) or not re.fullmatch(r"[\x20-\x7e\t]*", value):
            raise InvalidSettingError(
                f"The value of {name!r} in extra_headers has a line break or is not ASCII text."
            )
    return {name: value.strip() for name, value in headers.items()}


def check_dashboard_url(template: str, what: str, names: tuple[str, str]) -> None:
    """Check the template of a link to a page of RudderStack's dashboard.

    Args:
        template: The template.
        what: The setting.
        names: What the library replaces in it. At least one must be there.

    Raises:
        InvalidSettingError: If it is not an http(s) URL with one of the names.
    """
    is_link = re.fullmatch(r"https?://\S+", template) and template.isprintable()
    if not is_link or not any(name in template for name in names):
        raise InvalidSettingError(
            f"{what} {shown(template)}: expected https://… with {' or '.join(names)} in it."
        )


def is_loopback_url(url: object) -> bool:
    """Whether a value is a URL of this machine."""
    try:
        return isinstance(url, str) and is_loopback(_parsed(str.__str__(url)).host)
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False

"""The httpx client of a transport: TLS, proxies and headers."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx

from dagster_rudderstack.api.body import ACCEPT_ENCODING
from dagster_rudderstack.api.deadline import end_at_deadline
from dagster_rudderstack.api.redaction import header_secrets, proxy_secrets
from dagster_rudderstack.api.validation import (
    check_proxy_is_near,
    checked_headers,
    checked_proxy_url,
    checked_token,
    is_loopback,
)
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.settings import RequestPolicy
from dagster_rudderstack.version import __version__

__all__ = ["ClientSettings", "http_client", "redirect_target", "secrets_of"]

CERTIFICATES_VARIABLE = "SSL_CERT_FILE"
"""Not left to httpx, of which some releases ignore a file that is missing."""
KEEPALIVE_SECONDS = 90.0
"""Longer than the longest poll interval, so that a sync is polled over one connection."""


@dataclass(frozen=True)
class ClientSettings:
    """How to reach the API. The transport checks the values.

    Attributes:
        base_url: https, or http on this machine, see `validation.api_base_url`.
        access_token: Token of the workspace, or a personal one. It is shown nowhere.
        requests: Timeouts and limits.
        ca_bundle: File or folder of certificates to trust. None trusts the usual ones.
        proxy_url: HTTP or SOCKS proxy. None uses HTTPS_PROXY and similar variables.
        extra_headers: Headers sent with each request.
        user_agent: Appended to the library's own name and version.
    """

    base_url: str
    access_token: str = field(repr=False)
    requests: RequestPolicy = field(default_factory=RequestPolicy)
    ca_bundle: str | None = None
    proxy_url: str | None = field(default=None, repr=False)
    extra_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    user_agent: str = ""


def secrets_of(settings: ClientSettings) -> Iterator[str]:
    """Yield the token, the values of the headers, and the passwords of the proxies."""
    yield settings.access_token.strip()
    for value in settings.extra_headers.values():
        yield from header_secrets(value.strip())
    urls = getproxies().values() if settings.proxy_url is None else [settings.proxy_url]
    for url in urls:
        yield from proxy_secrets(url)


def http_client(settings: ClientSettings) -> httpx.Client:
    """Return a new client.

    Raises:
        InvalidSettingError: If a setting cannot be used.
    """
    limits = settings.requests
    headers = _headers(settings)
    # A proxy, and certificates, from the environment are for other machines, not for this one.
    trust_env = not is_loopback(urlsplit(settings.base_url).hostname or "")
    verify = _ssl_context(settings.ca_bundle, trust_env=trust_env)
    proxy = _proxy(settings)
    try:
        client = httpx.Client(
            headers=headers,
            # A cookie of a gateway would link our requests. The API needs none.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            timeout=httpx.Timeout(
                limits.read_timeout_seconds, connect=limits.connect_timeout_seconds
            ),
            limits=httpx.Limits(keepalive_expiry=KEEPALIVE_SECONDS),
            verify=verify,
            proxy=proxy,
            event_hooks={"response": [_drop_words_of_server]},
            trust_env=trust_env,
        )
    except ImportError:
        raise InvalidSettingError(
            "A SOCKS proxy is set by proxy_url or by a variable such as ALL_PROXY, but the package "
            "for it is missing: pip install 'httpx[socks]'."
        ) from None
    except (ValueError, httpx.InvalidURL):
        # Neither the URL nor the error is shown: a proxy's URL may hold a password.
        raise InvalidSettingError(
            "The proxy that proxy_url or a variable such as HTTPS_PROXY sets is not usable: "
            "expected http://host:port."
        ) from None
    end_at_deadline(client)
    return client


def _proxy(settings: ClientSettings) -> str | None:
    if settings.proxy_url is None:
        return None
    proxy_url = checked_proxy_url(settings.proxy_url)
    check_proxy_is_near(settings.base_url, proxy_url)
    return proxy_url


def _drop_words_of_server(response: httpx.Response) -> None:
    # httpx builds the request that would follow a redirect even if it is not sent, and raises if
    # the target is not a URL.
    location = response.headers.pop("location", "")
    # What follows in the URL may be a secret: a state, a session, a password.
    target = re.match(r"(?:https?://[^/?#@]+(?=[/?#]|$))?(/[^?#@]*)?", location, re.IGNORECASE)
    response.extensions["redirect_target"] = target[0] if target else ""
    # The server's reason phrase is shown by a repr, and may repeat our token.
    response.extensions.pop("reason_phrase", None)


def redirect_target(response: httpx.Response) -> str:
    """Return where an answer redirects to, without the query. Empty if it names no address."""
    return str(response.extensions.get("redirect_target", ""))


def _headers(settings: ClientSettings) -> dict[str, str]:
    token = checked_token(settings.access_token)
    return {
        **checked_headers(settings.extra_headers),
        "Authorization": f"Bearer {token}",
        "Accept": "application/json",
        "Accept-Encoding": ACCEPT_ENCODING,
        "User-Agent": f"dagster-rudderstack/{__version__} {settings.user_agent}".strip(),
    }


def _ssl_context(ca_bundle: str | None, *, trust_env: bool = True) -> ssl.SSLContext | bool:
    from_env = os.environ.get(CERTIFICATES_VARIABLE) if trust_env else None
    path = ca_bundle or from_env
    if path is None:
        return True
    is_folder = Path(path).is_dir()
    try:
        return ssl.create_default_context(
            cafile=None if is_folder else path, capath=path if is_folder else None
        )
    except (OSError, ValueError) as error:
        name = "ca_bundle" if ca_bundle else f"The environment variable {CERTIFICATES_VARIABLE},"
        raise InvalidSettingError(
            f"{name} {path!r} cannot be used: {error}. Expected a PEM file or a folder of hashed "
            "certificates."
        ) from error

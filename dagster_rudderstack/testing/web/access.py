"""Who may use a local RudderStack: no web page, and the control API only with its token.

A page in a browser on the same machine can send requests to its ports, and a host name of its own
can point to 127.0.0.1. The control API makes syncs that read and write files.
"""

import hmac
import ipaddress
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import urlsplit

__all__ = ["Refusal", "control_refusal", "is_loopback", "page_refusal"]

Refusal = tuple[int, str]
"""A status and the reason."""


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def page_refusal(headers: Mapping[str, str], host: str) -> Refusal | None:
    """Return why a request is refused that a web page may have sent. None if it is not.

    Args:
        headers: The headers of the request, with names in lower case.
        host: The address on which the server listens. If other machines can reach it, it has names
            that it does not know.
    """
    if not is_loopback(host):
        return None
    named = _host_of(f"//{headers.get('host', '')}")
    if not is_loopback(named):
        return (
            HTTPStatus.FORBIDDEN,
            f"The Host {named!r} is not this machine: use localhost or 127.0.0.1",
        )
    origin = headers.get("origin")
    if origin is not None and not is_loopback(_host_of(origin)):
        return HTTPStatus.FORBIDDEN, "Requests of web pages are refused"
    return None


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def control_refusal(method: str, headers: Mapping[str, str], token: str) -> Refusal | None:
    """Return why a request to the control API is refused. None if it is not."""
    expected = f"Bearer {token}"
    if not hmac.compare_digest(headers.get("authorization", "").encode(), expected.encode()):
        return (
            HTTPStatus.UNAUTHORIZED,
            "The control API needs the control token that the server prints, as a Bearer token",
        )
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if method == "POST" and content_type != "application/json":
        return HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The Content-Type must be application/json"
    return None

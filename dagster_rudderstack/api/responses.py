"""What an answer means: an error with RudderStack's words and a remedy, or a model."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from dagster_rudderstack.errors import (
    AuthenticationError,
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    StatusError,
    UnexpectedResponseError,
)
from dagster_rudderstack.settings import API_URLS
from dagster_rudderstack.text import one_line

__all__ = [
    "REDIRECTS",
    "STATUS_ERRORS",
    "UNKNOWN_HOST_HINT",
    "Subject",
    "causes",
    "certificate_hint",
    "check_values",
    "hint_of",
    "is_web_page",
    "parsed",
    "retry_after_seconds",
    "unexpected",
    "web_page_hint",
]

_Model = TypeVar("_Model", bound=BaseModel)

MAX_VALUES = 500_000
"""How many values an answer may have. Each may take 150 bytes of memory, and `[]` only two of an
answer."""

STATUS_ERRORS: dict[int, type[StatusError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    429: RateLimitedError,
}


REDIRECTS = frozenset({301, 302, 303, 307, 308})
"""The statuses of an answer that names another address. 304 does not."""


Subject = Literal["object", "list", "run", "any"]
"""What a request is about: one object, a list of the workspace, a run of a source, or what a user
asks for."""


_OWN_HOSTS = frozenset(urlsplit(url).netloc for url in API_URLS.values())
"""RudderStack's own hosts."""


def hint_of(
    status: int, host: str, subject: Subject, redirect_target: str = "", content: bytes = b""
) -> str:
    """Return what to do about a status other than 2xx. Empty if there is nothing to say.

    Args:
        status: The HTTP status.
        host: The host that was asked.
        subject: What the request was about.
        redirect_target: Where the answer redirects to. Empty if it names no address.
        content: The body of the answer.
    """
    if status in (HTTPStatus.FORBIDDEN, HTTPStatus.METHOD_NOT_ALLOWED) and is_web_page(content):
        return f"{web_page_hint(host)}."
    if hint := _HINTS[subject].get(status):
        is_about_address = "api_url" in hint
        if status == HTTPStatus.NOT_FOUND and host not in _OWN_HOSTS and not is_about_address:
            return f"{hint} Check also that {host} is the right address (api_url)."
        return hint
    if status == HTTPStatus.UNAUTHORIZED:
        where = (
            "the region: a token of the US region does not work on the EU host, and vice versa."
            if host in _OWN_HOSTS
            else f"that {host} is the right address (api_url)."
        )
        return (
            f"{host} did not accept the access token. It may be wrong or revoked: use a service "
            f"access token of the workspace{_OWNED[subject]}. Check also {where}"
        )
    if status in REDIRECTS:
        to = f" to {redirect_target}" if redirect_target else ""
        return (
            f"{host} redirects{to}. Redirects are not followed, so that no other host gets the "
            "access token. Set api_url to the final address of the API."
        )
    return ""


_OWNED: dict[Subject, str] = {
    "object": " that owns the connection",
    "list": "",
    "run": " that owns the Profiles project or ETL source",
    "any": "",
}
"""What the workspace of an access token owns, behind the word workspace."""

_HINTS: dict[Subject, dict[int, str]] = {
    "object": {
        HTTPStatus.FORBIDDEN: (
            "The access token may lack a permission: it needs Edit and Connect for the source and "
            "the destination of the connection. Or the account may lack the feature."
        ),
        HTTPStatus.NOT_FOUND: (
            "Check the id, and that the access token belongs to the workspace that owns it."
        ),
    },
    # A list has no id that could be wrong.
    "list": {
        HTTPStatus.FORBIDDEN: (
            "The access token may lack a permission: it needs to view the Reverse ETL connections, "
            "the sources and the destinations of the workspace. Or the account may lack the "
            "feature."
        ),
        HTTPStatus.NOT_FOUND: ("There is no such list. Check api_url, or the region."),
    },
    # RudderStack's documentation names the plan and the permission that Profiles needs.
    "run": {
        HTTPStatus.FORBIDDEN: (
            "The access token may lack the permission to edit the Profiles project or the source. "
            "Or the account may lack the feature: Profiles needs the Enterprise plan."
        ),
        HTTPStatus.NOT_FOUND: (
            "Check the id of the Profiles project or ETL source and that of the run, and that the "
            "access token belongs to the workspace that owns them."
        ),
    },
    "any": {
        HTTPStatus.FORBIDDEN: (
            "The access token may lack the permission for this request. Or the account may lack "
            "the feature."
        ),
        HTTPStatus.NOT_FOUND: (
            "Check the path and the ids in it, and that the access token belongs to the workspace "
            "that owns them."
        ),
    },
}


UNKNOWN_HOST_HINT = (
    " There is no host of this name: check api_url, proxy_url and the DNS of this machine."
)


def is_web_page(content: bytes) -> bool:
    """Whether a body is HTML or XML, which the API does not send."""
    return content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def web_page_hint(host: str) -> str:
    """Return what to do about a web page instead of JSON, without the dot at the end."""
    return (
        f"{host} answered with a web page, as a login page or another service does: check api_url, "
        "and whether a proxy answers instead"
    )


def certificate_hint(error: BaseException) -> str:
    """Return what to do about a certificate that was refused. Empty for any other error."""
    found = [each for each in causes(error) if isinstance(each, ssl.SSLCertVerificationError)]
    if not found:
        return ""
    return _CERTIFICATE_HINTS.get(
        found[0].verify_code,
        " Its certificate is not trusted. If your company uses a proxy, set ca_bundle to a file "
        "with that proxy's CA certificate.",
    )


_NOT_VALID_NOW = " Its certificate is not valid now: look at its dates, and at the clock here."
_OTHER_HOST = (
    " Its certificate is for another host: check api_url, and whether a proxy answers instead."
)
_CERTIFICATE_HINTS = {9: _NOT_VALID_NOW, 10: _NOT_VALID_NOW, 62: _OTHER_HOST, 64: _OTHER_HOST}
"""By the codes of OpenSSL (X509_V_ERR_...): not yet valid, expired, wrong name, wrong address."""


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def parsed(item: object, model: type[_Model], method: str, path: str) -> _Model:
    """Return a part of an answer as a model.

    Raises:
        UnexpectedResponseError: If it does not fit. The message names the fields, not their values.
    """
    try:
        return model.model_validate(item)
    except ValidationError as error:
        # The input is not shown: it may hold a destination's credentials.
        wrong = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or model.__name__}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        )
        raise unexpected(method, path, one_line(wrong)) from None


def check_values(content: bytes, method: str, path: str) -> None:
    """Check that an answer does not have so many values that parsing it takes too much memory.

    Raises:
        UnexpectedResponseError: If it has.
    """
    # At least as many as there are values, since a text may have such characters as well.
    if sum(map(content.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise unexpected(method, path, f"more than {MAX_VALUES} values")


def unexpected(method: str, path: str, what: str) -> UnexpectedResponseError:
    """Return the error of an answer that does not have the documented format."""
    return UnexpectedResponseError(
        f"RudderStack's answer to {method} {path} does not have the documented format: {what}.",
        method=method,
        path=path,
    )


def retry_after_seconds(value: str | None, date: str | None) -> float | None:
    """Return the seconds of a `Retry-After`, a number or an HTTP date. None if it is neither.

    A date is compared with the answer's own `Date`, if it has one, since the clocks of a server and
    of its client may be minutes apart.
    """
    if value is None:
        return None
    if re.fullmatch(r"\s*[0-9]{1,18}(\.[0-9]{1,18})?\s*", value):
        return float(value)
    moment = _http_date(value)
    if moment is None:
        return None
    now = _http_date(date or "") or datetime.now(timezone.utc)
    return max(0.0, (moment - now).total_seconds())


def _http_date(value: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value)
        return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    except (TypeError, ValueError, OverflowError):
        return None

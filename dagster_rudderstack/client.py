"""The API: method, path and model of each endpoint. One call is one request, never repeated here.

What a call raises is in `errors`. Reference: RudderStack's Reverse ETL Connections API.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import httpx
from pydantic import BaseModel, ValidationError

from dagster_rudderstack.errors import (
    ApiError,
    AuthenticationError,
    ConflictError,
    InvalidSettingError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    StatusError,
    TransportError,
    UnexpectedResponseError,
)
from dagster_rudderstack.models import Connection, Destination, Paging, Source, Sync
from dagster_rudderstack.policies import (
    MAX_PAGE_SIZE,
    MAX_RETRY_AFTER_SECONDS,
    RequestPolicy,
    checked_id,
    checked_sync_type,
    is_loopback,
    quoted_id,
)
from dagster_rudderstack.text import message_of, one_line, sentence
from dagster_rudderstack.throttle import Throttle
from dagster_rudderstack.version import __version__

__all__ = ["ClientSettings", "RudderStackClient"]

MAX_BODY_BYTES = 64 * 1024 * 1024
"""A page of 100 connections with large mappings is a few MB; more than this is not an answer."""
MAX_ERROR_BODY_BYTES = 64 * 1024
"""What we read of an error's body; the rest of a large one is left on the line."""
MAX_PAGES = 10_000
"""A list longer than this goes round in circles, even if no page repeats."""
KEEPALIVE_SECONDS = 90.0
"""Longer than the longest poll interval, so that a sync is polled over one connection."""
MIN_SECRET_LENGTH = 8
"""A shorter token is made up, and could be a word of the answer."""
DEFAULT_RETRY_AFTER_SECONDS = 1.0
"""How long a 429 without `Retry-After` holds back this process's other requests."""

_Model = TypeVar("_Model", bound=BaseModel)
_Query = Mapping[str, "str | int | None"]


@dataclass(frozen=True)
class ClientSettings:
    """How to reach the API. Checked by `RudderStackClient`.

    Attributes:
        base_url: ends in `/v2`; see `policies.api_base_url`.
        access_token: of the workspace, or a personal one. Shown nowhere.
        requests: timeouts and limits.
        ca_bundle: file or folder of certificates to trust instead of the system's; None: the system's.
        proxy_url: HTTP or SOCKS proxy; None: the variables HTTPS_PROXY and the like are obeyed.
        extra_headers: sent with each request.
        user_agent: appended to our own name and version.
    """

    base_url: str
    access_token: str = field(repr=False)
    requests: RequestPolicy = field(default_factory=RequestPolicy)
    ca_bundle: str | None = None
    proxy_url: str | None = field(default=None, repr=False)
    extra_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    user_agent: str = ""


class RudderStackClient:
    """A kept-alive client of the API; safe to share between threads. Close it, or use `with`.

    Args:
        settings: how to reach the API.
        throttle: the gate that requests pass; None: a gate of its own.

    Raises:
        InvalidSettingError: for a token or header that cannot be sent, or an unreadable CA bundle.
    """

    def __init__(self, settings: ClientSettings, *, throttle: Throttle | None = None) -> None:
        self._settings = settings
        self._throttle = throttle or Throttle(
            max_concurrent=settings.requests.max_concurrent_requests,
            max_per_second=settings.requests.max_requests_per_second,
        )
        self._http = _http_client(settings)

    def __repr__(self) -> str:
        return f"RudderStackClient({self._settings.base_url!r})"

    def __enter__(self) -> RudderStackClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the kept-alive connections."""
        self._http.close()

    # --- syncs

    def start_sync(self, connection_id: str, sync_type: str | None = None) -> str:
        """Start a sync and return its id; does not wait.

        Args:
            connection_id: the connection.
            sync_type: `incremental`, `full`, or None: RudderStack decides.

        Raises:
            ConflictError: if one is in progress (409).
            ApiError: otherwise. A sync may have been started all the same: see `TransportError`.
        """
        body = {} if sync_type is None else {"syncType": checked_sync_type(sync_type)}
        path = f"{_connection_path(connection_id)}/start"
        answer = self._request("POST", path, body=body)
        try:
            return checked_id(answer.get("syncId"), "syncId")
        except InvalidSettingError as error:
            raise _unexpected("POST", path, str(error)) from None

    def stop_sync(self, connection_id: str) -> None:
        """Ask RudderStack to stop whatever sync of the connection is running; does not wait."""
        self._send("POST", f"{_connection_path(connection_id)}/stop")

    def get_sync(self, connection_id: str, sync_id: str) -> Sync:
        """Return the details of one sync."""
        path = f"{_connection_path(connection_id)}/syncs/{quoted_id(sync_id, 'sync_id')}"
        return self._get(path, Sync)

    def list_syncs(  # noqa: PLR0913 - the filters of the endpoint
        self,
        connection_id: str,
        *,
        status: str | None = None,
        started_after: datetime | None = None,
        started_before: datetime | None = None,
        per_page: int = MAX_PAGE_SIZE,
        limit: int | None = None,
    ) -> list[Sync]:
        """Return the syncs of a connection, newest first, from as many pages as it takes.

        Args:
            connection_id: the connection.
            status: only those: `running`, `succeeded` or `failed`.
            started_after: only those; aware, or taken as UTC.
            started_before: only those; aware, or taken as UTC.
            per_page: 1 to 100.
            limit: return at most so many; None: all.
        """
        path = f"{_connection_path(connection_id)}/syncs"
        query = {
            "status": status,
            "started_after": _utc_text(started_after),
            "started_before": _utc_text(started_before),
            "per_page": _checked_page_size(per_page),
        }
        return list(_parsed_all(self._pages(path, query, "syncs"), Sync, path, limit))

    # --- connections, sources, destinations

    def get_connection(self, connection_id: str) -> Connection:
        """Return one connection."""
        return self._get(_connection_path(connection_id), Connection)

    def list_connections(
        self, *, source_id: str | None = None, destination_id: str | None = None
    ) -> list[Connection]:
        """Return the Reverse ETL connections of the workspace, from as many pages as it takes."""
        path = "/retl-connections"
        query = {"sourceId": source_id, "destinationId": destination_id, "pageSize": MAX_PAGE_SIZE}
        return list(_parsed_all(self._pages(path, query, "data"), Connection, path))

    def list_sources(self) -> list[Source]:
        """Return the Reverse ETL sources of the workspace, from as many pages as it takes."""
        path = "/retl-sources"
        return list(
            _parsed_all(self._pages(path, {"pageSize": MAX_PAGE_SIZE}, "data"), Source, path)
        )

    def list_destinations(self) -> list[Destination]:
        """Return the destinations of the workspace, from as many pages as it takes."""
        path = "/destinations"
        return list(_parsed_all(self._pages(path, {}, "destinations"), Destination, path))

    # --- requests

    def _get(self, path: str, model: type[_Model]) -> _Model:
        return _parsed(self._request("GET", path), model, "GET", path)

    def _pages(self, path: str, query: _Query, key: str) -> Iterator[list[Any]]:
        """Yield the items of each page.

        Of `paging.next` only the query is taken: its path may be relative to the host or to /v2,
        and its host is not to be trusted with a token. A page that was seen before ends the walk.
        """
        seen: set[tuple[tuple[str, str], ...]] = set()
        params = {name: str(value) for name, value in query.items() if value is not None}
        for _ in range(MAX_PAGES):
            seen.add(tuple(sorted(params.items())))
            answer = self._request("GET", path, params=params)
            items = answer.get(key)
            if not isinstance(items, list):
                raise _unexpected("GET", path, f"no list under {key!r}")
            yield items
            following = _next_query(answer.get("paging"), params)
            if following is None or tuple(sorted(following.items())) in seen:
                return
            params = following

    def _request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: object = None,
    ) -> dict[str, Any]:
        content = self._send(method, path, params=params, body=body)
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError):
            said = self._cleaned(content) or "an empty body"
            raise _unexpected(method, path, f"not JSON but {said}") from None
        if not isinstance(answer, dict):
            raise _unexpected(method, path, f"a JSON {type(answer).__name__}, not an object")
        return answer

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: object = None,
    ) -> bytes:
        """Send one request and return the body of a 2xx answer."""
        request = self._http.build_request(
            method, f"{self._settings.base_url}{path}", params=params, json=body
        )
        with self._throttle.slot():
            try:
                response = self._http.send(request, stream=True, follow_redirects=False)
                try:
                    content = _read(response)
                finally:
                    response.close()
            except httpx.HTTPError as error:
                raise self._transport_error(error, method, path) from error
        content = self._without_token(content)
        if response.is_success:
            if len(content) > MAX_BODY_BYTES:
                raise _unexpected(method, path, f"more than {MAX_BODY_BYTES} bytes")
            return content
        raise self._status_error(response, content, method, path)

    def _transport_error(self, error: httpx.HTTPError, method: str, path: str) -> ApiError:
        if isinstance(error, httpx.DecodingError):
            return _unexpected(method, path, "an undecodable body")
        what = _TRANSPORT_REASONS.get(type(error), "the connection was cut")
        host = urlsplit(self._settings.base_url).netloc
        reason = self._cleaned(str(error).encode())
        said = f" ({reason})" if reason else ""
        return TransportError(
            f"RudderStack at {host} gave no answer to {method} {path}: {what}{said}.",
            method=method,
            path=path,
            request_sent=not isinstance(error, _NOT_SENT),
        )

    def _status_error(
        self, response: httpx.Response, content: bytes, method: str, path: str
    ) -> StatusError:
        status = response.status_code
        detail = self._cleaned(content)
        retry_after = _retry_after_seconds(response.headers.get("retry-after"))
        if status == httpx.codes.TOO_MANY_REQUESTS:
            self._throttle.pause(
                min(
                    DEFAULT_RETRY_AFTER_SECONDS if retry_after is None else retry_after,
                    MAX_RETRY_AFTER_SECONDS,
                )
            )
        kind = _STATUS_ERRORS.get(status, StatusError)
        says = f" RudderStack says: {sentence(detail)}" if detail else ""
        hint = self._hint(response)
        return kind(
            f"RudderStack answered {status} to {method} {path}.{says}{hint and ' ' + hint}",
            method=method,
            path=path,
            status_code=status,
            detail=detail,
            retry_after_seconds=retry_after,
        )

    def _hint(self, response: httpx.Response) -> str:
        status = response.status_code
        host = urlsplit(self._settings.base_url).netloc
        if status == httpx.codes.UNAUTHORIZED:
            return (
                f"The access token was not accepted by {host}. Use a service access token of the "
                "workspace that owns the connection, and check the region: a token of the US "
                "region does not work on the EU host, and the other way round."
            )
        if status == httpx.codes.FORBIDDEN:
            return (
                "The access token may not do this. It needs the permissions Edit and Connect on "
                "the resources of the connection's source and destination."
            )
        if status == httpx.codes.NOT_FOUND:
            return "Check the id, and that the access token belongs to the workspace that owns it."
        if response.is_redirect:
            return "Redirects are not followed, since the access token would go along."
        return ""

    def _without_token(self, content: bytes) -> bytes:
        """A body in which a server that repeats our token does not pass it on."""
        token = self._settings.access_token.strip().encode()
        return content.replace(token, b"***") if len(token) >= MIN_SECRET_LENGTH else content

    def _cleaned(self, content: bytes) -> str:
        """What a server said, as one short line that is safe in a log."""
        text = content[:MAX_ERROR_BODY_BYTES].decode("utf-8", "replace")
        return one_line(message_of(text))


_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)

_TRANSPORT_REASONS: dict[type[httpx.HTTPError], str] = {
    httpx.ConnectError: "it could not be reached",
    httpx.ConnectTimeout: "it could not be reached in time",
    httpx.PoolTimeout: "no connection was free in time",
    httpx.ProxyError: "the proxy refused",
    httpx.ReadTimeout: "no answer in time",
    httpx.WriteTimeout: "the request could not be sent in time",
}

_STATUS_ERRORS: dict[int, type[StatusError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    429: RateLimitedError,
}


def _http_client(settings: ClientSettings) -> httpx.Client:
    limits = settings.requests
    timeout = httpx.Timeout(limits.read_timeout_seconds, connect=limits.connect_timeout_seconds)
    try:
        return httpx.Client(
            headers=_headers(settings),
            timeout=timeout,
            limits=httpx.Limits(max_connections=100, keepalive_expiry=KEEPALIVE_SECONDS),
            verify=_ssl_context(settings.ca_bundle),
            proxy=settings.proxy_url,
            follow_redirects=False,
            # A proxy from the environment is for the world outside, not for this machine.
            trust_env=not is_loopback(urlsplit(settings.base_url).hostname or ""),
        )
    except (ValueError, httpx.InvalidURL):
        # Neither the URL nor the error is shown: a proxy's URL may hold a password.
        raise InvalidSettingError(
            "proxy_url is not usable: expected http://host:port, https://host:port or "
            "socks5://host:port."
        ) from None


def _headers(settings: ClientSettings) -> dict[str, str]:
    token = checked_token(settings.access_token)
    return {
        **checked_headers(settings.extra_headers),
        "Authorization": f"Bearer {token}",
        "Accept": "application/json",
        "User-Agent": f"dagster-rudderstack/{__version__} {settings.user_agent}".strip(),
    }


def checked_token(value: object) -> str:
    """Return the access token, or say what is wrong with it without showing it.

    Raises:
        InvalidSettingError: if it is empty, blank, or cannot be sent in a header.
    """
    if not isinstance(value, str) or not value.strip():
        raise InvalidSettingError(
            "access_token is empty. Set the environment variable that it is read from to a service "
            "access token of the RudderStack workspace."
        )
    token = value.strip()
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise InvalidSettingError(
            "access_token holds blanks, line breaks or characters that are not ASCII: copy it again, "
            "without quotes or a 'Bearer ' in front."
        )
    return token


_RESERVED_HEADERS = frozenset({"authorization", "host", "content-length", "user-agent"})


def checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return extra headers, or say which one cannot be sent, without showing its value.

    Raises:
        InvalidSettingError: for a name that is not one, a value with line breaks, or a header that
            is ours to set.
    """
    for name, value in headers.items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise InvalidSettingError(f"extra_headers has {name!r}, which is not a header's name.")
        if name.lower() in _RESERVED_HEADERS:
            raise InvalidSettingError(f"extra_headers may not set {name!r}: it is set for you.")
        if not isinstance(value, str) or not re.fullmatch(r"[\x20-\x7e\t]*", value):
            raise InvalidSettingError(
                f"The value of {name!r} in extra_headers has a line break or is not ASCII text."
            )
    return dict(headers)


def _ssl_context(ca_bundle: str | None) -> ssl.SSLContext | bool:
    if ca_bundle is None:
        return True
    try:
        context = ssl.create_default_context()
        _load_certificates(context, ca_bundle)
    except (OSError, ssl.SSLError) as error:
        raise InvalidSettingError(
            f"ca_bundle {ca_bundle!r} cannot be used: {error}. Expected a PEM file or a folder of "
            "hashed certificates."
        ) from error
    return context


def _load_certificates(context: ssl.SSLContext, path: str) -> None:
    if Path(path).is_dir():
        context.load_verify_locations(capath=path)
    else:
        context.load_verify_locations(cafile=path)


def _read(response: httpx.Response) -> bytes:
    """Read a body up to its limit; a larger one is cut one chunk past it."""
    limit = MAX_BODY_BYTES if response.is_success else MAX_ERROR_BODY_BYTES
    content = bytearray()
    for chunk in response.iter_bytes(64 * 1024):
        content += chunk
        if len(content) > limit:
            break
    return bytes(content)


def _connection_path(connection_id: str) -> str:
    return f"/retl-connections/{quoted_id(connection_id, 'connection_id')}"


def _checked_page_size(per_page: int) -> int:
    if not 1 <= per_page <= MAX_PAGE_SIZE:
        raise InvalidSettingError(f"per_page {per_page!r}: expected 1 to {MAX_PAGE_SIZE}.")
    return per_page


def _utc_text(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    text = aware.astimezone(timezone.utc).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _next_query(paging: object, params: Mapping[str, str]) -> dict[str, str] | None:
    try:
        following = Paging.model_validate(paging).next
        query = urlsplit(following).query if following else ""
    except (ValidationError, ValueError):
        return None
    if not query:
        return None
    return {**params, **dict(parse_qsl(query, keep_blank_values=True))}


def _parsed_all(
    pages: Iterator[Sequence[Any]], model: type[_Model], path: str, limit: int | None = None
) -> Iterator[_Model]:
    if limit is not None and limit <= 0:
        return
    count = 0
    for items in pages:
        for item in items:
            yield _parsed(item, model, "GET", path)
            count += 1
            if count == limit:
                return


def _parsed(item: object, model: type[_Model], method: str, path: str) -> _Model:
    try:
        return model.model_validate(item)
    except ValidationError as error:
        # The input is not shown: it may hold a destination's credentials.
        wrong = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or model.__name__}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        )
        raise _unexpected(method, path, one_line(wrong)) from None


def _unexpected(method: str, path: str, what: str) -> UnexpectedResponseError:
    return UnexpectedResponseError(
        f"RudderStack's answer to {method} {path} is not of the documented shape: {what}.",
        method=method,
        path=path,
    )


def _retry_after_seconds(value: str | None) -> float | None:
    """Seconds from a `Retry-After` header, which is a number or an HTTP date; None if unusable."""
    if value is None:
        return None
    if re.fullmatch(r"\s*\d{1,18}(\.\d+)?\s*", value):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        return max(0.0, (aware - datetime.now(timezone.utc)).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return None

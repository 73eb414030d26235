"""The API: method, path and model of each endpoint. One call is one request, never repeated here.

What a call raises is in `errors`. Reference: RudderStack's Reverse ETL Connections API.
"""

from __future__ import annotations

import json
import re
import ssl
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar
from urllib.parse import parse_qsl, urlsplit

import httpx
from pydantic import BaseModel, ValidationError

from dagster_rudderstack.api.models import Connection, Destination, Paging, Source, Sync
from dagster_rudderstack.api.redaction import Secret, masked_in_logs, silent
from dagster_rudderstack.api.throttle import Throttle
from dagster_rudderstack.api.validation import (
    api_base_url,
    check_proxy_is_near,
    checked_choice,
    checked_headers,
    checked_id,
    checked_proxy_url,
    checked_sync_type,
    checked_token,
    is_loopback,
    quoted_id,
)
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
from dagster_rudderstack.settings import MAX_PAGE_SIZE, MAX_RETRY_AFTER_SECONDS, RequestPolicy
from dagster_rudderstack.text import message_of, one_line, sentence
from dagster_rudderstack.version import __version__

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ClientSettings", "Listing", "Page", "RudderStackClient"]

MAX_BODY_BYTES = 64 * 1024 * 1024
"""A page of 100 connections with large mappings is a few MB; more than this is not an answer."""
MAX_ERROR_BODY_BYTES = 64 * 1024
"""What we read of an error's body; the rest of a large one is left on the line."""
MAX_BODY_SECONDS = 600.0
"""How long a body may take to arrive: the read timeout alone lets one trickle for ever."""
MAX_PAGES = 10_000
"""A list longer than this has no end, even if no page repeats."""
KEEPALIVE_SECONDS = 90.0
"""Longer than the longest poll interval, so that a sync is polled over one connection."""
DEFAULT_RETRY_AFTER_SECONDS = 1.0
"""How long a 429 without `Retry-After` holds back this process's other requests."""

SyncFilter = Literal["running", "succeeded", "failed"]

_Model = TypeVar("_Model", bound=BaseModel)
_Query = Mapping[str, "str | int | None"]


@dataclass(frozen=True)
class ClientSettings:
    """How to reach the API. Checked by `RudderStackClient`.

    Attributes:
        base_url: https, or http on this machine; see `policies.api_base_url`.
        access_token: of the workspace, or a personal one. Shown nowhere.
        requests: timeouts and limits.
        ca_bundle: file or folder of certificates to trust instead of the usual ones; None: those.
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


@dataclass(frozen=True)
class Listing(Generic[_Model]):
    """A list of the API that has pages.

    Attributes:
        path: of the endpoint.
        key: where an answer has the items.
        model: what an item is.
        query: of the first page; asks for the largest pages.
    """

    path: str
    key: str
    model: type[_Model]
    query: Mapping[str, str] = field(default_factory=dict)

    def parse(self, item: object) -> _Model:
        """Return one item as its model.

        Raises:
            UnexpectedResponseError: naming the fields that are wrong, without their values.
        """
        return _parsed(item, self.model, "GET", self.path)


_LARGEST_PAGE = {"pageSize": str(MAX_PAGE_SIZE)}
CONNECTIONS = Listing("/retl-connections", "data", Connection, _LARGEST_PAGE)
SOURCES = Listing("/retl-sources", "data", Source, _LARGEST_PAGE)
DESTINATIONS = Listing("/destinations", "destinations", Destination)


@dataclass(frozen=True)
class Page:
    """One page of a list.

    Attributes:
        items: as they came; see `Listing.parse`.
        total: items on all pages; None if RudderStack does not say.
        next_query: of the next page; None on the last one.
    """

    items: list[Any]
    total: int | None
    next_query: dict[str, str] | None


class RudderStackClient:
    """A kept-alive client of the API; safe to share between threads.

    Close it, or use `with`; else its connections are closed when nothing refers to it any more.

    Args:
        settings: how to reach the API.
        throttle: the gate that requests pass; None: a gate of its own.
        monotonic: seconds that only grow.

    Raises:
        InvalidSettingError: for an address that we would not send a token to, a token or header
            that cannot be sent, an unreadable CA bundle or an unusable proxy.
    """

    def __init__(
        self,
        settings: ClientSettings,
        *,
        throttle: Throttle | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        settings = replace(settings, base_url=api_base_url(None, settings.base_url))
        self._settings = settings
        self._monotonic = monotonic
        self._throttle = throttle or Throttle(
            max_concurrent=settings.requests.max_concurrent_requests,
            max_per_second=settings.requests.max_requests_per_second,
        )
        self._http = _http_client(settings)
        self._token = Secret(settings.access_token.strip())
        self._close = weakref.finalize(self, _end, self._http.close, masked_in_logs(self._token))

    def __repr__(self) -> str:
        return f"RudderStackClient({self._settings.base_url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the kept-alive connections."""
        self._close()

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

        Raises:
            InvalidSettingError: before a request, for a filter or a limit that cannot be right.
            ApiError: otherwise.
        """
        if status is not None:
            checked_choice(status, SyncFilter, "status")
        path = f"{_connection_path(connection_id)}/syncs"
        query = {
            "status": status,
            "started_after": _utc_text(started_after, "started_after"),
            "started_before": _utc_text(started_before, "started_before"),
            "per_page": _page_size(per_page, limit),
        }
        return self._list(Listing(path, "syncs", Sync), query, limit)

    # --- connections, sources, destinations

    def get_connection(self, connection_id: str) -> Connection:
        """Return one connection."""
        return self._get(_connection_path(connection_id), Connection)

    def list_connections(
        self, *, source_id: str | None = None, destination_id: str | None = None
    ) -> list[Connection]:
        """Return the Reverse ETL connections of the workspace, from as many pages as it takes."""
        query = dict(CONNECTIONS.query)
        if source_id is not None:
            query["sourceId"] = checked_id(source_id, "source_id")
        if destination_id is not None:
            query["destinationId"] = checked_id(destination_id, "destination_id")
        return self._list(CONNECTIONS, query)

    def list_sources(self) -> list[Source]:
        """Return the Reverse ETL sources of the workspace, from as many pages as it takes."""
        return self._list(SOURCES, SOURCES.query)

    def list_destinations(self) -> list[Destination]:
        """Return the destinations of the workspace, from as many pages as it takes."""
        return self._list(DESTINATIONS, DESTINATIONS.query)

    def get_page(self, listing: Listing[Any], query: Mapping[str, str]) -> Page:
        """Return one page of a list; its items are not looked at, so a broken one spoils none.

        Of `paging.next` only the query is taken: its path may be relative to the host or to /v2,
        and its host is not to be trusted with a token.
        """
        answer = self._request("GET", listing.path, params=query)
        items = answer.get(listing.key)
        if not isinstance(items, list):
            raise _unexpected("GET", listing.path, f"no list under {listing.key!r}")
        paging = answer.get("paging")
        return Page(items, _total(paging), _next_query(paging, query))

    # --- requests

    def _get(self, path: str, model: type[_Model]) -> _Model:
        return _parsed(self._request("GET", path), model, "GET", path)

    def _list(
        self, listing: Listing[_Model], query: _Query, limit: int | None = None
    ) -> list[_Model]:
        if limit is not None and limit <= 0:
            return []
        return list(islice(map(listing.parse, self._items(listing, query)), limit))

    def _items(self, listing: Listing[Any], query: _Query) -> Iterator[Any]:
        """Yield the items of all pages, each once.

        A list that grows while we read it shows an item on two pages, and a server that goes round
        in circles shows all of them again: a page with nothing new ends the walk.

        Raises:
            UnexpectedResponseError: if the list has no end.
        """
        asked: set[tuple[tuple[str, str], ...]] = set()
        ids: set[str] = set()
        params = {name: str(value) for name, value in query.items() if value is not None}
        for _ in range(MAX_PAGES):
            asked.add(tuple(sorted(params.items())))
            page = self.get_page(listing, params)
            new = _not_in(ids, page.items)
            yield from new
            following = page.next_query
            if following is None or tuple(sorted(following.items())) in asked:
                return
            if page.items and not new:
                return
            params = following
        raise _unexpected("GET", listing.path, f"its list has more than {MAX_PAGES} pages")

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
        try:
            request = self._http.build_request(
                method, f"{self._settings.base_url}{path}", params=params, json=body
            )
        except httpx.InvalidURL as error:
            # Our own parts of a URL are checked, so it is the query that `paging.next` had.
            raise _unexpected(method, path, f"its paging makes no URL: {error}") from None
        with self._throttle.slot():
            try:
                response = self._http.send(request, stream=True)
                content = self._body_of(response)
            except httpx.HTTPError as error:
                raise self._transport_error(error, method, path) from self._harmless(error)
        content = self._token.masked(content)
        if response.is_success:
            if len(content) > MAX_BODY_BYTES:
                raise _unexpected(method, path, f"more than {MAX_BODY_BYTES} bytes")
            return content
        raise self._status_error(response, content, method, path)

    def _body_of(self, response: httpx.Response) -> bytes:
        """Return the body; as much of it as can be had if the status says already what is wrong."""
        content = bytearray()
        try:
            for chunk in self._chunks_of(response):
                content += chunk
        except httpx.HTTPError:
            if response.is_success:
                raise
        finally:
            response.close()
        return bytes(content)

    def _chunks_of(self, response: httpx.Response) -> Iterator[bytes]:
        """Yield a body until it ends, or is one chunk past its limit."""
        left = MAX_BODY_BYTES if response.is_success else MAX_ERROR_BODY_BYTES
        give_up_at = self._monotonic() + MAX_BODY_SECONDS
        for chunk in response.iter_bytes():
            yield chunk
            left -= len(chunk)
            if left < 0:
                return
            if self._monotonic() > give_up_at:
                raise httpx.ReadTimeout("the body trickles", request=response.request)

    def _transport_error(self, error: httpx.HTTPError, method: str, path: str) -> ApiError:
        if isinstance(error, httpx.DecodingError):
            return _unexpected(method, path, "an undecodable body")
        what = _TRANSPORT_REASONS.get(type(error), "the connection was cut")
        host = urlsplit(self._settings.base_url).netloc
        reason = self._cleaned(str(error).encode())
        said = f" ({reason})" if reason else ""
        return TransportError(
            f"RudderStack at {host} gave no answer to {method} {path}: {what}{said}."
            f"{_certificate_hint(error)}",
            method=method,
            path=path,
            request_sent=not isinstance(error, _NOT_SENT),
        )

    def _status_error(
        self, response: httpx.Response, content: bytes, method: str, path: str
    ) -> StatusError:
        status = response.status_code
        detail = self._cleaned(content)
        retry_after = _retry_after_seconds(
            response.headers.get("retry-after"), response.headers.get("date")
        )
        if status == httpx.codes.TOO_MANY_REQUESTS:
            self._throttle.pause(
                min(
                    DEFAULT_RETRY_AFTER_SECONDS if retry_after is None else retry_after,
                    MAX_RETRY_AFTER_SECONDS,
                )
            )
        kind = _STATUS_ERRORS.get(status, StatusError)
        says = f" RudderStack says: {sentence(detail)}" if detail else ""
        hint = _list_hint(status) if path in _LISTS else ""
        hint = hint or self._hint(response)
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
        if httpx.codes.is_redirect(status):
            return "Redirects are not followed, since the access token would go along."
        return ""

    def _cleaned(self, content: bytes) -> str:
        """Return what a server said as one short line that is safe in a log."""
        text = message_of(content[:MAX_ERROR_BODY_BYTES].decode("utf-8-sig", "replace"))
        # Once more, since JSON and HTML have more ways to spell a token than we know.
        return one_line(self._token.masked(text.encode("utf-8", "replace")).decode())

    def _harmless(self, error: httpx.HTTPError) -> httpx.HTTPError | None:
        """Return an error to show as a cause; None if a line that it quotes has our token in it."""
        said = [str(cause) for cause in _causes(error)]
        return error if [self._token.masked_text(text) for text in said] == said else None


_LISTS = frozenset({CONNECTIONS.path, SOURCES.path, DESTINATIONS.path})


def _list_hint(status: int) -> str:
    """Return what to do where a list is refused; it has no id that could be wrong."""
    if status == httpx.codes.FORBIDDEN:
        return (
            "The access token may not list them. It needs permission to view the Reverse ETL "
            "connections, the sources and the destinations of the workspace."
        )
    if status == httpx.codes.NOT_FOUND:
        return "There is no such list at this address. Check api_url, or the region."
    return ""


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
    headers = _headers(settings)
    verify = _ssl_context(settings.ca_bundle)
    proxy = _proxy(settings)
    try:
        return httpx.Client(
            headers=headers,
            # A cookie of a gateway would tie our requests together; the API has no use for one.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            timeout=httpx.Timeout(
                limits.read_timeout_seconds, connect=limits.connect_timeout_seconds
            ),
            limits=httpx.Limits(keepalive_expiry=KEEPALIVE_SECONDS),
            verify=verify,
            proxy=proxy,
            event_hooks={"response": [_forget_words]},
            # A proxy from the environment is for the world outside, not for this machine.
            trust_env=not is_loopback(urlsplit(settings.base_url).hostname or ""),
        )
    except ImportError:
        raise InvalidSettingError(
            "A SOCKS proxy is set by proxy_url or by a variable such as ALL_PROXY, and the package "
            "that it takes is missing: pip install 'httpx[socks]'."
        ) from None
    except (ValueError, httpx.InvalidURL):
        # Neither the URL nor the error is shown: a proxy's URL may hold a password.
        raise InvalidSettingError(
            "The proxy that proxy_url or a variable such as HTTPS_PROXY sets is not usable: "
            "expected http://host:port."
        ) from None


def _proxy(settings: ClientSettings) -> str | None:
    if settings.proxy_url is None:
        return None
    proxy_url = checked_proxy_url(settings.proxy_url)
    check_proxy_is_near(settings.base_url, proxy_url)
    return proxy_url


def _end(*ends: Callable[[], None]) -> None:
    with silent():
        for end in ends:
            end()


def _forget_words(response: httpx.Response) -> None:
    # httpx builds the request that would follow a redirect, even if it is not to be sent, and lets
    # its error out if the target is not a URL.
    response.headers.pop("location", None)
    # The server's words beside the status are shown by a repr, and may have our token in them.
    response.extensions.pop("reason_phrase", None)


def _headers(settings: ClientSettings) -> dict[str, str]:
    token = checked_token(settings.access_token)
    return {
        **checked_headers(settings.extra_headers),
        "Authorization": f"Bearer {token}",
        "Accept": "application/json",
        "User-Agent": f"dagster-rudderstack/{__version__} {settings.user_agent}".strip(),
    }


def _ssl_context(ca_bundle: str | None) -> ssl.SSLContext | bool:
    if ca_bundle is None:
        return True
    is_folder = Path(ca_bundle).is_dir()
    try:
        return ssl.create_default_context(
            cafile=None if is_folder else ca_bundle, capath=ca_bundle if is_folder else None
        )
    except (OSError, ValueError) as error:
        raise InvalidSettingError(
            f"ca_bundle {ca_bundle!r} cannot be used: {error}. Expected a PEM file or a folder of "
            "hashed certificates."
        ) from error


def _certificate_hint(error: BaseException) -> str:
    """Return what to do about a certificate that is not trusted; empty for any other error."""
    if not any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error)):
        return ""
    return (
        " Its certificate is not trusted: if a proxy of your company is in between, set ca_bundle "
        "to a file with that proxy's CA certificate."
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it came from."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _not_in(ids: set[str], items: list[Any]) -> list[Any]:
    """Return the items whose ids are not among these, and add their ids to them."""
    new = []
    for item in items:
        item_id = item.get("id") if isinstance(item, dict) else None
        if not isinstance(item_id, str):
            new.append(item)
        elif item_id not in ids:
            ids.add(item_id)
            new.append(item)
    return new


def _connection_path(connection_id: str) -> str:
    return f"/retl-connections/{quoted_id(connection_id, 'connection_id')}"


def _page_size(per_page: int, limit: int | None) -> int:
    if not (_is_whole(per_page) and 1 <= per_page <= MAX_PAGE_SIZE):
        raise InvalidSettingError(
            f"per_page {per_page!r}: expected a whole number from 1 to {MAX_PAGE_SIZE}."
        )
    if limit is None:
        return per_page
    if not (_is_whole(limit) and limit >= 0):
        raise InvalidSettingError(
            f"limit {limit!r}: expected a whole number from 0, or None for all."
        )
    return max(1, min(per_page, limit))


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _utc_text(moment: datetime | None, what: str) -> str | None:
    if moment is None:
        return None
    # A date does not say in which zone its day begins, and a text may mean anything.
    if not isinstance(moment, datetime):
        raise InvalidSettingError(
            f"{what} {moment!r}: expected a datetime, as in "
            "datetime(2026, 1, 31, tzinfo=timezone.utc)."
        )
    aware = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    text = aware.astimezone(timezone.utc).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _total(paging: object) -> int | None:
    try:
        return Paging.model_validate(paging).total
    except ValidationError:
        return None


def _next_query(paging: object, params: Mapping[str, str]) -> dict[str, str] | None:
    try:
        following = Paging.model_validate(paging).next
        query = urlsplit(following).query if following else ""
    except (ValidationError, ValueError):
        return None
    if not query:
        return None
    return {**params, **dict(parse_qsl(query, keep_blank_values=True))}


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


def _retry_after_seconds(value: str | None, date: str | None) -> float | None:
    """Return the seconds of a `Retry-After`, a number or an HTTP date; None if unusable.

    A date is compared with the answer's own `Date`, where it has one: the clocks of a server and of
    its client may be minutes apart.
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

"""Sends requests over HTTP: connections, TLS, proxies, headers, limits and errors."""

from __future__ import annotations

import json
import os
import re
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import httpx

from dagster_rudderstack.api.body import pieces_of
from dagster_rudderstack.api.deadline import answered_within, seconds_left
from dagster_rudderstack.api.http_client import (
    ClientSettings,
    http_client,
    redirect_target,
    secrets_of,
)
from dagster_rudderstack.api.no_answer import (
    is_of_the_network,
    is_unknown_host,
    not_sent,
    reason_of,
    was_sent,
    without_bytes,
)
from dagster_rudderstack.api.paging import WORKSPACE_LISTS
from dagster_rudderstack.api.redaction import Secrets, masked_in_logs, silent
from dagster_rudderstack.api.responses import (
    STATUS_ERRORS,
    UNKNOWN_HOST_HINT,
    Subject,
    causes,
    certificate_hint,
    check_values,
    hint_of,
    is_web_page,
    retry_after_seconds,
    unexpected,
    web_page_hint,
)
from dagster_rudderstack.api.throttle import NoTurnError, Throttle
from dagster_rudderstack.api.validation import api_base_url
from dagster_rudderstack.errors import (
    ApiError,
    InvalidSettingError,
    RudderStackError,
    StatusError,
    TransportError,
    UnexpectedResponseError,
)
from dagster_rudderstack.settings import MAX_RETRY_AFTER_SECONDS
from dagster_rudderstack.text import message_of, one_line, sentence, well_formed

__all__ = ["Transport"]

MAX_LIST_BYTES = 16 * 1024 * 1024
"""A page of 100 connections with large mappings is a few MB. What a user asks for may be a list as
well."""
MAX_BYTES = 2 * 1024 * 1024
"""Any other answer is about one connection or its newest syncs."""
MAX_ERROR_BYTES = 64 * 1024
"""How much of the body of an error is read."""
DEFAULT_RETRY_AFTER_SECONDS = 1.0
"""How long a 429 without `Retry-After` pauses the other requests of this process."""


_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
"""A character as JSON may write it."""

_NO_JSON = object()

_LIST_PATHS = frozenset(listing.path for listing in WORKSPACE_LISTS)


def _subject_of(path: str) -> Subject:
    if path in _LIST_PATHS:
        return "list"
    return "run" if path.startswith("/sources/") else "object"


class Transport:
    """Sends requests over kept-alive connections. Threads may share it.

    Args:
        settings: How to reach the API.
        throttle: Limits the requests of this process. None creates one for this transport only.

    Raises:
        InvalidSettingError: If the token must not be sent to the address, the token or a header
            cannot be sent, the CA bundle cannot be read, or the proxy cannot be used.
    """

    def __init__(self, settings: ClientSettings, throttle: Throttle | None) -> None:
        settings = replace(settings, base_url=api_base_url(None, settings.base_url))
        self._settings = settings
        self._host = urlsplit(settings.base_url).netloc
        self._throttle = throttle or Throttle(
            max_concurrent=settings.requests.max_concurrent_requests,
            max_per_second=settings.requests.max_requests_per_second,
        )
        self._http = http_client(settings)
        token, *others = secrets_of(settings)
        self._secrets = Secrets(token, *others)
        # The value of a header may be an id or a name, so it is masked in words only.
        self._token = Secrets(token)
        self._process = os.getpid()
        self._end = weakref.finalize(
            self, _end, self._process, self._http.close, masked_in_logs(self._secrets)
        )
        self._lock = threading.Lock()
        self._under_way = 0
        self._is_closed = False
        self._has_answered = False

    def __repr__(self) -> str:
        return f"Transport({self._settings.base_url!r})"

    @property
    def base_url(self) -> str:
        """The address in front of all paths."""
        return self._settings.base_url

    def close(self) -> None:
        """Send no more requests, and close the connections when those under way have ended."""
        if os.getpid() != self._process:
            return  # The connections belong to the process that has forked this one.
        with self._lock:
            self._is_closed = True
            is_idle = self._under_way == 0
        if is_idle:
            self._end()

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        with self._lock:
            if self._is_closed:
                raise RudderStackError(
                    "The RudderStack client is closed, so it sends no more requests. Use it, and "
                    "its resource, inside the `with` block."
                )
            self._under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1
                is_over = self._is_closed and self._under_way == 0
            if is_over:
                self._end()

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: object = None,
    ) -> dict[str, Any]:
        """Send one request and return the JSON object of a 2xx answer.

        Raises:
            ApiError: For any other answer, and if there is none.
        """
        content = self.send(method, path, params=params, body=body)
        check_values(content, method, path)
        answer = self._json_of(content)
        if not isinstance(answer, dict):
            raise self._not_an_object(content, answer, method, path)
        self._has_answered = True
        return answer

    def request_any(
        self, method: str, path: str, *, params: Mapping[str, Sequence[str]], body: object
    ) -> Any:
        """Send one request to a path that a user gave, and return the JSON of a 2xx answer.

        It may be any JSON. None if the answer is empty.

        Raises:
            ApiError: For any other answer, and if there is none.
        """
        content = self.send(method, path, params=params or None, body=body, subject="any")
        if not content.strip():
            return None
        check_values(content, method, path)
        answer = self._json_of(content)
        if answer is _NO_JSON:
            raise self._not_an_object(content, answer, method, path)
        return answer

    def check_shows_no_token(self, path: object) -> None:
        """Check that a path, which errors show, does not have the access token in it.

        Raises:
            InvalidSettingError: If it does.
        """
        if isinstance(path, str) and self._token.masked_text(str.__str__(path)) != path:
            raise InvalidSettingError("path has the access token in it: leave it out.")

    def _not_an_object(
        self, content: bytes, answer: object, method: str, path: str
    ) -> UnexpectedResponseError:
        problem = self._problem_of(content, answer)
        if not is_web_page(content):
            return unexpected(method, path, problem)
        error = unexpected(method, path, f"{problem}. {web_page_hint(self._host)}")
        error.is_web_page = True
        error.suggests_wrong_address = not self._has_answered
        return error

    def _problem_of(self, content: bytes, answer: object) -> str:
        said = self._cleaned(content)
        if answer is not _NO_JSON:
            return f'not a JSON object, but "{said}"' if said else "not a JSON object"
        if not content.strip():
            return "an empty body"
        if said:
            return f'not JSON, but "{said}"'
        looks_like_json = content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")
        return "JSON that cannot be read" if looks_like_json else "not JSON"

    def _json_of(self, content: bytes) -> Any:
        """Return what a body says, without secrets. `_NO_JSON` if it is not JSON."""
        try:
            answer = json.loads(content.decode("utf-8-sig"), object_hook=self._without_secrets)
            if b"\\u" in content:
                # An escaped token is not found before the answer is parsed. And half a surrogate
                # pair can only be written like this: no database and no file would take it.
                text = well_formed(json.dumps(answer, ensure_ascii=False))
                del answer
                answer = json.loads(self._token.masked_text(text))
        except (ValueError, RecursionError):
            return _NO_JSON
        return answer

    def _without_secrets(self, item: dict[str, Any]) -> dict[str, Any]:
        error = item.get("error")
        if isinstance(error, str):
            item["error"] = self._secrets.masked_text(error)
        return item

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | Sequence[str]] | None = None,
        body: object = None,
        subject: Subject | None = None,
    ) -> bytes:
        """Send one request and return the body of a 2xx answer.

        Args:
            method: The HTTP method.
            path: The path below the version of the API.
            params: The query. A list repeats its parameter.
            body: What to send as JSON. None sends no body.
            subject: What the request is about. None finds it by the path.

        Raises:
            ApiError: For any other answer, and if there is none.
        """
        request = self._http.build_request(
            method, f"{self._settings.base_url}{path}", params=params, json=body
        )
        subject = subject or _subject_of(path)
        limit = MAX_LIST_BYTES if subject in ("list", "any") else MAX_BYTES
        limits = self._settings.requests
        seconds = limits.connect_timeout_seconds + limits.read_timeout_seconds
        with self._in_use(), self._turn(method, path), answered_within(seconds):
            try:
                response = self._http.send(request, stream=True)
                # Masked at once, since a traceback may show all variables.
                content = self._masked_body(response, limit)
            except Exception as error:
                if not is_of_the_network(error):
                    raise
                raise self._transport_error(error, method, path) from self._shown_cause(error)
        if not response.is_success:
            target = self._cleaned(redirect_target(response).encode())
            hint = hint_of(response.status_code, self._host, subject, target, content)
            raise self._status_error(response, content, method, path, hint)
        if len(content) > limit:
            raise unexpected(method, path, f"more than {limit} bytes")
        return content

    @contextmanager
    def _turn(self, method: str, path: str) -> Iterator[None]:
        """Wait for the turn of a request, at most as long as the request may take."""
        with ExitStack() as turn:
            try:
                turn.enter_context(self._throttle.slot(seconds_left()))
            except NoTurnError as error:
                if not error.is_timeout:
                    raise
                raise not_sent(error, method, path, self._host) from None
            yield

    def _masked_body(self, response: httpx.Response, limit: int) -> bytes:
        if response.is_success:
            return self._token.masked(self._body_of(response, limit))
        return self._secrets.masked(self._body_of(response, MAX_ERROR_BYTES))

    def _body_of(self, response: httpx.Response, limit: int) -> bytes:
        """Return a body up to its limit. If the status is an error, a part of it is enough."""
        content = bytearray()
        try:
            for piece in pieces_of(response, limit):
                content += piece
        except httpx.HTTPError:
            if response.is_success:
                raise
        finally:
            response.close()
        return bytes(content)

    def _transport_error(self, error: Exception, method: str, path: str) -> ApiError:
        if isinstance(error, httpx.DecodingError):
            return unexpected(
                method, path, f"an undecodable body: {self._cleaned(str(error).encode())}"
            )
        reason = self._cleaned(without_bytes(str(error)).encode())
        said = f" ({reason})" if reason else ""
        hint = UNKNOWN_HOST_HINT if is_unknown_host(error) else certificate_hint(error)
        failed = TransportError(
            f"RudderStack at {self._host} did not answer {method} {path}: {reason_of(error)}{said}."
            f"{hint}",
            method=method,
            path=path,
            request_sent=was_sent(error),
        )
        failed.suggests_wrong_address = is_unknown_host(error) and not self._has_answered
        return failed

    def _status_error(
        self, response: httpx.Response, content: bytes, method: str, path: str, hint: str
    ) -> StatusError:
        status = response.status_code
        detail = self._cleaned(content)
        retry_after = retry_after_seconds(
            response.headers.get("retry-after"), response.headers.get("date")
        )
        if status == httpx.codes.TOO_MANY_REQUESTS:
            self._throttle.pause(
                min(
                    DEFAULT_RETRY_AFTER_SECONDS if retry_after is None else retry_after,
                    MAX_RETRY_AFTER_SECONDS,
                )
            )
        kind = STATUS_ERRORS.get(status, StatusError)
        says = f" RudderStack says: {sentence(detail)}" if detail else ""
        error = kind(
            f"RudderStack answered {status} to {method} {path}.{says}{hint and ' ' + hint}",
            method=method,
            path=path,
            status_code=status,
            detail=detail,
            retry_after_seconds=retry_after,
        )
        error.is_web_page = is_web_page(content)
        return error

    def _cleaned(self, content: bytes) -> str:
        """Return the words of a server as one short line that is safe in a log."""
        masked = self._secrets.masked(content[:MAX_ERROR_BYTES])
        text = message_of(masked.decode("utf-8-sig", "replace"))
        # Masked again, since JSON and HTML have more ways to spell a secret.
        text = self._secrets.masked(text.encode("utf-8", "replace")).decode()
        plain = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
        masked_plain = self._secrets.masked_text(plain)
        return one_line(text if masked_plain == plain else masked_plain)

    def _shown_cause(self, error: Exception) -> Exception | None:
        """Return an error to show as a cause. None if it quotes a secret or an answer."""
        said = []
        for cause in causes(error):
            said.append(str(cause))
            # The variables of its functions have parts of the answer, which are not masked yet.
            cause.__traceback__ = None
        shown = [without_bytes(self._secrets.masked_text(text)) for text in said]
        return error if shown == said else None


def _end(process: int, *ends: Callable[[], None]) -> None:
    if os.getpid() != process:
        # A forked process must not even try: a thread of its parent may have held a lock of httpx.
        return
    with silent():
        for end in ends:
            end()

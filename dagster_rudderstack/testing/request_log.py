"""The log of the requests to the local RudderStack."""

import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class RecordedRequest:
    """One request and its result.

    Attributes:
        number: Position in the log, from 0.
        method: HTTP method.
        operation: One of start, stop, get_sync, list_syncs, get_connection, list_connections,
            list_sources, get_source, list_destinations, get_destination, start_run,
            get_newest_run, get_run or unknown.
        path: Percent-encoded path, without the prefix and the query.
        connection_id: Id of the connection in the path.
        query: Parameters of the query. Of a repeated one, the last value.
        sync_id: Id in the path, or id of the sync that was started.
        body: The JSON of the body, its text if it is not JSON, or None if it is empty.
        headers: Headers with names in lower case. `authorization` is "right" or "wrong", never a
            token.
        client_port: Port of the client, which identifies the TCP connection.
        at: Time of arrival in epoch seconds on the server's clock.
        monotonic: Time of arrival in seconds of `time.monotonic`.
        status: Status of the answer. None if it was not sent yet or the connection was cut.
        fault: Kind of the fault that hit the request.
        took_effect: Whether the request changed the workspace, regardless of the answer.
        affected: Ids of the syncs and runs that it started, or of the syncs it asked to stop.
        source_id: Id of the source in the path.
        run_id: Id in the path, or id of the run that was started.
    """

    number: int
    method: str
    path: str
    operation: str
    connection_id: str | None
    sync_id: str | None
    query: Mapping[str, str]
    body: Any
    headers: Mapping[str, str]
    client_port: int
    at: float
    monotonic: float
    status: int | None = None
    fault: str | None = None
    took_effect: bool = False
    affected: tuple[str, ...] = ()
    source_id: str | None = None
    run_id: str | None = None


def logged_body(body: bytes) -> Any:
    """Return the JSON of a body, its text if it is not JSON, or None if it is empty."""
    if not body:
        return None
    text = body.decode("utf-8", errors="replace")
    try:
        content = json.loads(text)
        # The control API must be able to return it: no NaN, and no half of a surrogate pair.
        json.dumps(content, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return text
    return text if _is_deep(content) else content


MAX_DEPTH = 50
"""A body with deeper nesting is logged as a text, since Python copies values recursively."""


def _is_deep(content: Any) -> bool:
    values = [content]
    for _ in range(MAX_DEPTH):
        inner = [list(each.values()) if isinstance(each, dict) else each for each in values]
        values = [value for each in inner if isinstance(each, list) for value in each]
        if not values:
            return False
    return True


def with_effect(
    requests: Iterable[RecordedRequest],
    operation: str,
    *,
    connection_id: str | None = None,
    source_id: str | None = None,
) -> list[RecordedRequest]:
    """Return the requests of an operation (on the connection or source) that took effect."""
    return [
        request
        for request in requests
        if request.took_effect
        and request.operation == operation
        and connection_id in (None, request.connection_id)
        and source_id in (None, request.source_id)
    ]


class RequestLog:
    """All requests, in order of arrival."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[RecordedRequest] = []
        self._in_flight = 0
        self._peak = 0
        self._cleared = 0

    def open(self, request: RecordedRequest) -> int:
        """Add a request and return its number."""
        with self._lock:
            number = self._cleared + len(self._entries)
            self._entries.append(replace(request, number=number))
            self._in_flight += 1
            self._peak = max(self._peak, self._in_flight)
            return number

    def update(self, number: int, **facts: Any) -> None:
        """Set attributes of a request, unless it was cleared."""
        with self._lock:
            index = number - self._cleared
            if index >= 0:
                self._entries[index] = replace(self._entries[index], **facts)

    def close(self, number: int, status: int | None) -> None:
        """Set the status of a request that has been answered or cut."""
        self.update(number, status=status)
        with self._lock:
            self._in_flight -= 1

    def entries(self) -> list[RecordedRequest]:
        """Return the requests."""
        with self._lock:
            return list(self._entries)

    @property
    def peak_concurrency(self) -> int:
        """The highest number of requests that were in progress at the same time."""
        return self._peak

    def clear(self) -> None:
        """Remove all requests, including those in progress."""
        with self._lock:
            self._cleared += len(self._entries)
            self._entries.clear()
            self._peak = self._in_flight

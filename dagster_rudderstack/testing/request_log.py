"""The log of requests that the local RudderStack has seen."""

import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class RecordedRequest:
    """One request, and what became of it.

    operation: start, stop, get_sync, list_syncs, get_connection, list_connections, list_sources,
        get_source, list_destinations, get_destination, start_run, get_run, or unknown.
    path: still percent-encoded, without the prefix and without the query.
    sync_id: of the path, or of the sync that a start has started.
    body: the JSON; None if there was none, the text itself if it was no JSON.
    headers: names in lower case. The value of `authorization` is "right" or "wrong", never a token.
    status: of the answer; None if there is none yet, or if the connection was cut instead.
    fault: the kind of the fault that hit it.
    took_effect: whether it changed something, whatever was answered.
    affected: ids of the syncs that it started or asked to stop.
    client_port: tells TCP connections apart.
    at: when it came, in epoch seconds on the server's clock; monotonic: in real seconds.
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


def logged_body(body: bytes) -> Any:
    """Read the JSON of a request's body, its text if it is no JSON, None if it is empty."""
    if not body:
        return None
    text = body.decode("utf-8", errors="replace")
    try:
        return json.loads(text)
    except ValueError:
        return text


def with_effect(
    requests: Iterable[RecordedRequest], operation: str, connection_id: str | None
) -> list[RecordedRequest]:
    """Pick the requests that did what they asked for (on the connection)."""
    return [
        request
        for request in requests
        if request.took_effect
        and request.operation == operation
        and connection_id in (None, request.connection_id)
    ]


class RequestLog:
    """All requests, in the order of their arrival."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[RecordedRequest] = []
        self._in_flight = 0
        self._peak = 0
        self._forgotten = 0

    def open(self, request: RecordedRequest) -> int:
        """Note a request; returns the number to call it by."""
        with self._lock:
            number = self._forgotten + len(self._entries)
            self._entries.append(replace(request, number=number))
            self._in_flight += 1
            self._peak = max(self._peak, self._in_flight)
            return number

    def note(self, number: int, **facts: Any) -> None:
        """Add what is known by now of a request; one that `clear` forgot stays forgotten."""
        with self._lock:
            index = number - self._forgotten
            if index >= 0:
                self._entries[index] = replace(self._entries[index], **facts)

    def close(self, number: int, status: int | None) -> None:
        """Note that a request is done with."""
        self.note(number, status=status)
        with self._lock:
            self._in_flight -= 1

    def entries(self) -> list[RecordedRequest]:
        """List the requests so far."""
        with self._lock:
            return list(self._entries)

    @property
    def peak_concurrency(self) -> int:
        """The most requests that were ever waiting for their answers at one time."""
        return self._peak

    def clear(self) -> None:
        """Forget the requests so far; those in progress are not noted when they end."""
        with self._lock:
            self._forgotten += len(self._entries)
            self._entries.clear()
            self._peak = self._in_flight

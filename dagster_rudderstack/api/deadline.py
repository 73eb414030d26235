"""Limits how long a whole request may take, however slowly its answer arrives.

The timeouts of httpx apply to each read of the network. A server that sends a byte now and then, or
one interim answer after the other, would hold a request for ever.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

__all__ = ["answered_within", "end_at_deadline"]

_ends_at: ContextVar[float] = ContextVar("ends_at", default=float("inf"))


@contextmanager
def answered_within(seconds: float) -> Iterator[None]:
    """Let each request of this block, in this thread, end after some seconds at the latest.

    A block inside another one can only shorten the time. A request that takes longer raises
    `httpx.ReadTimeout`. Only the look-up of a host name cannot be ended.
    """
    token = _ends_at.set(min(_ends_at.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _ends_at.reset(token)


def end_at_deadline(client: httpx.Client) -> None:
    """Make the requests of a client obey `answered_within`.

    httpx has no setting for this. The pool of httpcore takes a backend that opens its network
    connections, but httpx does not pass one on, so it is replaced here.
    """
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001 - see above
        pool = getattr(transport, "_pool", None)
        if pool is not None:
            pool._network_backend = _Backend(pool._network_backend)  # noqa: SLF001 - see above


def _seconds_left(timeout: float | None) -> float:
    """Return how long a single read or write may take.

    Raises:
        httpx.ReadTimeout: If the request has already taken too long.
    """
    left = _ends_at.get() - time.monotonic()
    if left <= 0:
        # Imported late, since definitions do not need it.
        import httpx  # noqa: PLC0415 - see above

        raise httpx.ReadTimeout("it arrives too slowly")
    return left if timeout is None else min(left, timeout)


class _Backend:
    """Opens network connections of this kind."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, **options: Any
    ) -> _Stream:
        stream = self._backend.connect_tcp(host, port, timeout=_seconds_left(timeout), **options)
        return _Stream(stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


class _Stream:
    """A network connection whose reads and writes end at the deadline of their request."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        content: bytes = self._stream.read(max_bytes, timeout=_seconds_left(timeout))
        return content

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout=_seconds_left(timeout))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None, timeout: float | None = None
    ) -> _Stream:
        left = _seconds_left(timeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, timeout=left))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

"""Limits how long a whole request may take, however slowly its answer arrives.

The timeouts of httpx apply to each read of the network. A server that sends a byte now and then, or
one interim answer after the other, would hold a request for ever.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

__all__ = ["answered_within", "end_at_deadline", "seconds_left"]

_ends_at: ContextVar[float] = ContextVar("ends_at", default=float("inf"))


@contextmanager
def answered_within(seconds: float) -> Iterator[None]:
    """Let each request of this block, in this thread, end after some seconds at the latest.

    A block inside another one can only shorten the time. A request that takes longer raises a
    timeout of httpx. Two things cannot be ended: the look-up of a host name, and a proxy that is
    itself reached over https and sends its bytes one by one.
    """
    token = _ends_at.set(min(_ends_at.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _ends_at.reset(token)


def seconds_left() -> float:
    """How long the next request of this thread may take. Infinity outside of such a block."""
    return _ends_at.get() - time.monotonic()


def end_at_deadline(client: httpx.Client) -> None:
    """Make the requests of a client obey `answered_within`.

    httpx has no setting for this. The pool of httpcore takes a backend that opens its network
    connections, but httpx does not pass one on, so it is replaced here. If a later release has no
    such backend, the timeouts of httpx remain.
    """
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001 - see above
        pool = getattr(transport, "_pool", None)
        backend = getattr(pool, "_network_backend", None)
        if pool is not None and backend is not None:
            pool._network_backend = _Backend(backend)  # noqa: SLF001 - see above


def _seconds_left(timeout: float | None, error: str = "ReadTimeout") -> float:
    """Return how long a single step may take, or raise the timeout if the time is up."""
    left = seconds_left()
    if left <= 0:
        # Imported late, since definitions do not need it.
        import httpx  # noqa: PLC0415 - see above

        kind: type[httpx.TimeoutException] = getattr(httpx, error)
        raise kind("it arrives too slowly")
    return left if timeout is None else min(left, timeout)


class _Backend:
    """Opens network connections whose requests end at their deadline."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, **options: Any
    ) -> _Stream:
        *others, last = _addresses(host, port)
        for address in others:
            with contextlib.suppress(Exception):
                return self._connect(address, port, timeout, options)
        return self._connect(last, port, timeout, options)

    def _connect(
        self, address: str, port: int, timeout: float | None, options: dict[str, Any]
    ) -> _Stream:
        left = _seconds_left(timeout, "ConnectTimeout")
        return _Stream(self._backend.connect_tcp(address, port, timeout=left, **options))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


def _addresses(host: str, port: int) -> list[str]:
    """Return the addresses of a host. Python would give each of them the whole timeout."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        # The backend fails for the same reason, with the right error.
        return [host]
    return list(dict.fromkeys(str(each[4][0]) for each in found)) or [host]


class _Stream:
    """A network connection whose reads and writes end at the deadline of their request."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        content: bytes = self._stream.read(max_bytes, timeout=_seconds_left(timeout))
        return content

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout=_seconds_left(timeout, "WriteTimeout"))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None, timeout: float | None = None
    ) -> _Stream:
        left = _seconds_left(timeout, "ConnectTimeout")
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, timeout=left))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

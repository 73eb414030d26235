"""Why a request got no answer, and whether RudderStack may have got it."""

from __future__ import annotations

import socket

import httpx

from dagster_rudderstack.api.responses import causes
from dagster_rudderstack.api.throttle import NoTurnError
from dagster_rudderstack.errors import TransportError

__all__ = [
    "is_of_the_network",
    "is_unknown_host",
    "not_sent",
    "reason_of",
    "was_sent",
    "without_bytes",
]


def is_of_the_network(error: Exception) -> bool:
    """Whether the request failed. Another error may be an interrupt, such as a limit of Celery."""
    # httpx lets some errors of proxies and names through.
    is_known = isinstance(error, (httpx.HTTPError, ValueError, AssertionError))
    return is_known or type(error).__module__.partition(".")[0] in ("httpcore", "socksio")


def is_unknown_host(error: Exception) -> bool:
    """Whether DNS says that there is no host of this name. It may also fail for now."""
    found = [each for each in causes(error) if isinstance(each, socket.gaierror)]
    return any(each.errno == socket.EAI_NONAME for each in found)


def not_sent(error: NoTurnError, method: str, path: str, host: str) -> TransportError:
    """Return the error of a request whose turn would have come too late."""
    seconds = error.pause_seconds
    pause = f" RudderStack asks to wait for {seconds:.0f} s." if seconds else ""
    return TransportError(
        f"{method} {path} was not sent to {host}, since its turn would come only after the timeout."
        f"{pause}",
        method=method,
        path=path,
        request_sent=False,
    )


def was_sent(error: Exception) -> bool:
    """Whether RudderStack may have got the request. False only if it certainly did not."""
    return not isinstance(error, _NOT_SENT)


def reason_of(error: Exception) -> str:
    """Return what happened to the request."""
    return _REASONS.get(type(error), "the connection was cut")


def without_bytes(reason: str) -> str:
    """Return the reason for an error of h11, without JSON of the answer that it quotes."""
    before, _, quoted = reason.partition(": bytearray(")
    return before if '"' in quoted else reason


_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)

_REASONS: dict[type[Exception], str] = {
    httpx.ConnectError: "it could not be reached",
    httpx.ConnectTimeout: "it could not be reached in time",
    httpx.PoolTimeout: "no connection was free in time",
    httpx.ProxyError: "the proxy refused",
    httpx.ReadTimeout: "no answer in time",
    httpx.WriteTimeout: "the request could not be sent in time",
}

"""What can go wrong, in one tree.

```
RudderStackError
├── InvalidSettingError          a value that was given cannot be right; nothing was sent
├── ApiError                     a request did not give us what we asked for
│   ├── TransportError           no answer: could not connect, timed out, cut off
│   ├── StatusError              an answer other than 2xx; carries status and body
│   │   ├── AuthenticationError  401
│   │   ├── PermissionDeniedError 403
│   │   ├── NotFoundError        404
│   │   ├── ConflictError        409: a sync of the connection is already running
│   │   └── RateLimitedError     429
│   └── UnexpectedResponseError  2xx, but not the documented shape
├── DiscoveryError               what the workspace holds cannot become definitions
└── SyncError                    about one sync; carries the connection and the last `Sync` seen
    ├── SyncFailedError          RudderStack says that it failed, or an unknown way of being over
    ├── SyncAbortedError         someone stopped it
    ├── SyncTimedOutError        we stopped waiting: the timeout passed
    ├── SyncLostError            we stopped waiting: an outage outlasted the tolerance
    ├── RowsRejectedError        it succeeded, but the destination rejected more rows than accepted
    ├── SyncAlreadyRunningError  another sync runs and `on_running_sync` is `fail`
    └── ConnectionDisabledError  the connection is paused in the dashboard
```

Every error can be pickled, shows no access token, and knows whether a retry can help
(`retryable`). Messages say what happened, to which connection and sync, and what to do next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dagster_rudderstack.api.models import Sync

__all__ = [
    "ApiError",
    "AuthenticationError",
    "ConflictError",
    "ConnectionDisabledError",
    "DiscoveryError",
    "InvalidSettingError",
    "NotFoundError",
    "PermissionDeniedError",
    "RateLimitedError",
    "RowsRejectedError",
    "RudderStackError",
    "StatusError",
    "SyncAbortedError",
    "SyncAlreadyRunningError",
    "SyncError",
    "SyncFailedError",
    "SyncLostError",
    "SyncTimedOutError",
    "TransportError",
    "UnexpectedResponseError",
]


class RudderStackError(Exception):
    """Base of all errors of this library."""

    retryable: bool = True
    """Whether another attempt may succeed although no person has changed anything."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __reduce__(self) -> tuple[Any, ...]:
        # The default rebuilds an exception from its positional arguments, which loses keyword-only
        # ones: an error that cannot be unpickled kills the worker that it was sent to.
        return _rebuild, (type(self), self.args, self.__dict__.copy())


def _rebuild(
    cls: type[RudderStackError], args: tuple[Any, ...], state: dict[str, Any]
) -> RudderStackError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class InvalidSettingError(RudderStackError, ValueError):
    """A value that we were given cannot be right. Nothing was sent."""

    retryable = False


class ApiError(RudderStackError):
    """A request did not give us what we asked for.

    Attributes:
        method: HTTP method of the request.
        path: Path of the request, as RudderStack's reference writes it; never holds a secret.
    """

    def __init__(self, message: str, *, method: str, path: str) -> None:
        super().__init__(message)
        self.method = method
        self.path = path


class TransportError(ApiError):
    """No answer came: the host could not be reached, the time ran out or the connection was cut.

    Attributes:
        request_sent: False only if it is certain that RudderStack has not seen the request.
    """

    def __init__(self, message: str, *, method: str, path: str, request_sent: bool) -> None:
        super().__init__(message, method=method, path=path)
        self.request_sent = request_sent


_MAY_PASS = frozenset({408, 409, 425, 429})
"""The only 4xx that may disappear if the same request is repeated."""


class StatusError(ApiError):
    """RudderStack answered, but not with 2xx.

    Attributes:
        status_code: HTTP status of the answer.
        detail: RudderStack's words, cleaned and shortened. Empty if there are none.
        retry_after_seconds: From the header of that name; None if absent or unreadable.
    """

    def __init__(  # noqa: PLR0913 - the facts of one answer
        self,
        message: str,
        *,
        method: str,
        path: str,
        status_code: int,
        detail: str = "",
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message, method=method, path=path)
        self.status_code = status_code
        if 400 <= status_code < 500 and status_code not in _MAY_PASS:  # noqa: PLR2004 - 4xx
            self.retryable = False
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds


class AuthenticationError(StatusError):
    """RudderStack did not accept the access token (401)."""

    retryable = False


class PermissionDeniedError(StatusError):
    """The access token may not do this (403)."""

    retryable = False


class NotFoundError(StatusError):
    """There is no such connection, sync, source or destination (404)."""

    retryable = False


class ConflictError(StatusError):
    """A sync of the connection is already running (409 on start)."""


class RateLimitedError(StatusError):
    """RudderStack asks us to slow down (429); the request had no effect."""


class UnexpectedResponseError(ApiError):
    """The answer was 2xx, but empty, cut off or not of the documented shape."""


class DiscoveryError(RudderStackError):
    """The workspace, or the snapshot of it, cannot be turned into definitions."""

    retryable = False


class SyncError(RudderStackError):
    """About one sync of one connection.

    Attributes:
        connection_id: The connection.
        sync: The last state seen; None if no sync was seen.
    """

    def __init__(self, message: str, *, connection_id: str, sync: Sync | None = None) -> None:
        super().__init__(message)
        self.connection_id = connection_id
        self.sync = sync


class SyncFailedError(SyncError):
    """The sync is over and did not succeed, or its status is unknown."""


class SyncAbortedError(SyncError):
    """Someone stopped the sync. It is not started again against their will."""

    retryable = False


class SyncTimedOutError(SyncError):
    """The timeout passed before the sync was over.

    Attributes:
        stop_requested: Whether RudderStack was asked to stop the sync.
    """

    stop_requested: bool = False


class SyncLostError(SyncError):
    """RudderStack was out of reach for longer than the outage tolerance. The sync may go on."""


class RowsRejectedError(SyncError):
    """The sync succeeded, but the destination rejected more rows than the limits accept."""

    retryable = False


class SyncAlreadyRunningError(SyncError):
    """Another sync of the connection runs, and `on_running_sync` is `fail`."""


class ConnectionDisabledError(SyncError):
    """The connection is paused in RudderStack's dashboard and does not sync."""

    retryable = False

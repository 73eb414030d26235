"""The errors of this library, in one tree.

```
RudderStackError
├── InvalidSettingError          a given value is invalid; nothing was sent
├── ApiError                     a request did not give the expected answer
│   ├── TransportError           no answer: could not connect, timed out, cut off
│   ├── StatusError              an answer other than 2xx; has status and message
│   │   ├── AuthenticationError  401
│   │   ├── PermissionDeniedError 403
│   │   ├── NotFoundError        404
│   │   ├── ConflictError        409: a sync of the connection, or a run, is already running
│   │   └── RateLimitedError     429
│   └── UnexpectedResponseError  2xx, but not the documented format
├── DiscoveryError               the workspace cannot become definitions
└── SyncError                    about one sync or run; has the last `Sync` or `SourceRun` seen
    ├── SyncFailedError          the sync failed, or ended with an unknown status
    ├── SyncAbortedError         someone stopped the sync
    ├── SyncTimedOutError        the timeout passed before the sync was over
    ├── SyncLostError            an outage lasted longer than the tolerance
    ├── RowsRejectedError        the destination rejected more rows than the limits accept
    ├── SyncAlreadyRunningError  another sync is running and `on_running_sync` is `fail`
    ├── StartLostError           whether a run was started is unknown; it is not started again
    └── ConnectionDisabledError  the connection is disabled in the dashboard
```

Every error can be pickled and shows no access token. `retryable` says whether a retry may succeed.
A message says what happened, to which connection and sync, and what to do next.
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
    "StartLostError",
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
    """Base class of all errors of this library.

    Attributes:
        message: What happened, to which connection and sync, and what to do next.
        retryable: Whether another attempt may succeed without a change by a person.
    """

    retryable: bool = True

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def add_sentence(self, sentence: str) -> None:
        """Add a sentence to the message."""
        self.message = f"{self.message} {sentence}"
        self.args = (self.message,)

    def __reduce__(self) -> tuple[Any, ...]:
        # By default an exception is rebuilt from its positional arguments, without the keyword-only
        # ones. An error that cannot be unpickled kills the worker that receives it.
        return _rebuild, (type(self), self.args, self.__dict__.copy())


def _rebuild(
    cls: type[RudderStackError], args: tuple[Any, ...], state: dict[str, Any]
) -> RudderStackError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class InvalidSettingError(RudderStackError, ValueError):
    """A given value is invalid. Nothing was sent."""

    retryable = False


class ApiError(RudderStackError):
    """A request did not give the expected answer.

    Attributes:
        method: HTTP method of the request.
        path: Path of the request, as in RudderStack's reference. It holds no secret.
        is_web_page: Whether a web page came instead of JSON, as a login page or a proxy sends.
        suggests_wrong_address: Whether `api_url` may be wrong: a web page came with a 2xx, or there
            is no host of the name, and no request of the client was answered before.
    """

    is_web_page: bool = False
    suggests_wrong_address: bool = False

    def __init__(self, message: str, *, method: str, path: str) -> None:
        super().__init__(message)
        self.method = method
        self.path = path


class TransportError(ApiError):
    """No answer came: the host was not reached, the time ran out, or the connection was cut.

    Attributes:
        request_sent: False only if it is certain that RudderStack did not get the request.
    """

    def __init__(self, message: str, *, method: str, path: str, request_sent: bool) -> None:
        super().__init__(message, method=method, path=path)
        self.request_sent = request_sent


_MAY_PASS = frozenset({401, 408, 409, 425, 429})
"""The only 4xx that a retry of the same request may avoid: timeout, conflict, early, too many.

RudderStack has also answered 401 to valid tokens for half an hour.
"""


class StatusError(ApiError):
    """RudderStack answered, but not with 2xx.

    Attributes:
        status_code: HTTP status of the answer.
        detail: RudderStack's message, cleaned and shortened. Empty if there is none.
        retry_after_seconds: Seconds of the `Retry-After` header. None if absent or unreadable.
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
    """RudderStack did not accept the access token (401).

    A retry may succeed: RudderStack has answered 401 to valid tokens for half an hour.
    """


class PermissionDeniedError(StatusError):
    """The access token does not have the permission (403)."""

    retryable = False


class NotFoundError(StatusError):
    """The connection, sync, source, run or destination does not exist (404)."""

    retryable = False


class ConflictError(StatusError):
    """A sync of the connection, or a run of the source, is already running (409 on start)."""


class RateLimitedError(StatusError):
    """RudderStack received too many requests (429). The request had no effect."""


class UnexpectedResponseError(ApiError):
    """The answer was 2xx, but empty, cut off or not of the documented shape."""


class DiscoveryError(RudderStackError):
    """The workspace, or a snapshot of it, cannot become definitions."""

    retryable = False


class SyncError(RudderStackError):
    """An error about one sync of one connection, or about one run of one source.

    Attributes:
        connection_id: The connection, or the source of a run.
        sync: The last state seen, a `SourceRun` if it is about a run. None if none was seen.
        source_id: The source, if the error is about a run. None if it is about a sync.
        failed_rows_sql: SQL that lists the rows that the destination rejected. None if it rejected
            none, or if they cannot be listed.
        failed_rows_note: What to do with that SQL, or why the rows cannot be listed. None if the
            destination rejected none.
    """

    failed_rows_sql: str | None = None
    failed_rows_note: str | None = None

    def __init__(
        self,
        message: str,
        *,
        connection_id: str,
        sync: Sync | None = None,
        source_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.connection_id = connection_id
        self.sync = sync
        self.source_id = source_id


class SyncFailedError(SyncError):
    """The sync failed, or ended with an unknown status."""


class SyncAbortedError(SyncError):
    """Someone stopped the sync, so it is not started again."""

    retryable = False


class SyncTimedOutError(SyncError):
    """The timeout passed before the sync was over.

    Attributes:
        stop_requested: Whether RudderStack was asked to stop the sync.
    """

    stop_requested: bool = False


class SyncLostError(SyncError):
    """An outage lasted longer than the tolerance. The sync may still run."""


class RowsRejectedError(SyncError):
    """The sync succeeded, but the destination rejected more rows than the limits accept."""

    retryable = False


class SyncAlreadyRunningError(SyncError):
    """Another sync of the connection is running, and `on_running_sync` is `fail`."""


class StartLostError(SyncError):
    """The answer to the start of a run was lost, and RudderStack does not show whether it runs.

    Or RudderStack no longer knows the run that an earlier attempt waited for. The run is not
    started again unless `on_lost_start` is `start_again`, so a person decides.
    """

    retryable = False


class ConnectionDisabledError(SyncError):
    """The connection is disabled in RudderStack's dashboard and does not sync."""

    retryable = False

"""The tree of errors: its drawing, pickling, and which errors are retryable."""

import copy
import inspect
import pickle
import re

import pytest

from dagster_rudderstack import errors
from dagster_rudderstack.api.models import Sync
from dagster_rudderstack.errors import (
    ApiError,
    RateLimitedError,
    RudderStackError,
    StatusError,
    SyncError,
    SyncTimedOutError,
    TransportError,
)

CLASSES = [
    thing
    for _, thing in inspect.getmembers(errors, inspect.isclass)
    if issubclass(thing, RudderStackError)
]
RETRYABLE = {
    "ApiError",
    "AuthenticationError",
    "ConflictError",
    "RateLimitedError",
    "RudderStackError",
    "StatusError",
    "SyncAlreadyRunningError",
    "SyncError",
    "SyncFailedError",
    "SyncLostError",
    "SyncTimedOutError",
    "TransportError",
    "UnexpectedResponseError",
}


def an_error(kind: type[RudderStackError]) -> RudderStackError:
    """Return an error of a class with all its attributes."""
    request = {"method": "GET", "path": "/retl-connections/crm"}
    if issubclass(kind, StatusError):
        return kind("no", **request, status_code=404, detail="gone", retry_after_seconds=7.0)
    if issubclass(kind, TransportError):
        return kind("no", **request, request_sent=False)
    if issubclass(kind, ApiError):
        return kind("no", **request)
    if issubclass(kind, SyncError):
        return kind("no", connection_id="crm", sync=Sync(id="s1", status="failed"))
    return kind("no")


@pytest.mark.parametrize("kind", CLASSES)
def test_pickle(kind: type[RudderStackError]) -> None:
    """An error that is sent to another process keeps all its attributes."""
    error = an_error(kind)
    error.add_note("a note") if hasattr(error, "add_note") else None

    for restored in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 - our own
        assert type(restored) is kind
        assert str(restored) == restored.message == "no"
        assert restored.__dict__ == error.__dict__


def test_pickle__attribute_set_later() -> None:
    """An attribute that is set later is kept as well."""
    error = SyncTimedOutError("late", connection_id="crm")
    error.stop_requested = True

    assert pickle.loads(pickle.dumps(error)).stop_requested is True  # noqa: S301 - our own


def test_add_sentence() -> None:
    """A sentence that is added later is part of the message and of its pickle."""
    error = an_error(RateLimitedError)

    error.add_sentence("Wait.")

    assert str(error) == error.message == "no Wait."
    assert str(pickle.loads(pickle.dumps(error))) == "no Wait."  # noqa: S301 - our own


def test_retryable() -> None:
    """Only errors that may go away by themselves are retryable."""
    assert {kind.__name__ for kind in CLASSES if kind.retryable} == RETRYABLE


def test_tree__drawing() -> None:
    """The drawing in the module's docstring has every class under its parent."""
    lines = re.findall(r"^([│ ]*(?:[├└]── )?)(\w+Error)", errors.__doc__ or "", re.MULTILINE)
    drawn: dict[str, str | None] = {}
    path: list[str] = []
    for indent, name in lines:
        depth = len(indent) // 4
        del path[depth:]
        drawn[name] = path[-1] if path else None
        path.append(name)

    assert drawn == {
        kind.__name__: None if kind is RudderStackError else kind.__bases__[0].__name__
        for kind in CLASSES
    }


def test_all() -> None:
    """The module exports every class of the tree."""
    assert sorted(errors.__all__) == sorted(kind.__name__ for kind in CLASSES)


def test_status_error__text() -> None:
    """The text of an error is its message only."""
    error = an_error(RateLimitedError)

    assert str(error) == "no"
    assert repr(error) == "RateLimitedError('no')"

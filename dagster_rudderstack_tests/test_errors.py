"""The tree of errors: drawn as it is, pickled whole, with a word on whether a retry can help."""

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
CAN_BE_MENDED_BY_A_RETRY = {
    "ApiError",
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
    """Return an error of a class, with all that it can carry."""
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
    """An error that is sent to another process arrives with everything that it carries."""
    error = an_error(kind)
    error.add_note("a note") if hasattr(error, "add_note") else None

    for restored in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 - our own
        assert type(restored) is kind
        assert str(restored) == restored.message == "no"
        assert restored.__dict__ == error.__dict__


def test_pickle__what_was_set_later() -> None:
    """What was set after an error was made is carried, too."""
    error = SyncTimedOutError("late", connection_id="crm")
    error.stop_requested = True

    assert pickle.loads(pickle.dumps(error)).stop_requested is True  # noqa: S301 - our own


def test_retryable() -> None:
    """Only errors that may end better by themselves ask for a retry."""
    assert {kind.__name__ for kind in CLASSES if kind.retryable} == CAN_BE_MENDED_BY_A_RETRY


def test_tree_is_drawn() -> None:
    """The drawing in the module's docstring is the tree: every class, under its own parent."""
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
    """Everything in the tree is exported by its module."""
    assert sorted(errors.__all__) == sorted(kind.__name__ for kind in CLASSES)


def test_status_error__as_a_person_reads_it() -> None:
    """An error prints its message, and nothing of its own."""
    error = an_error(RateLimitedError)

    assert str(error) == "no"
    assert repr(error) == "RateLimitedError('no')"

"""The snapshot of a workspace as a file: fetched, written, refreshed and read."""

import math
import os
import shlex
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal
from uuid import uuid4

from dagster import get_dagster_logger

from dagster_rudderstack.api.paging import Page
from dagster_rudderstack.api.throttle import NoTurnError, waiting_until
from dagster_rudderstack.api.validation import checked_choice
from dagster_rudderstack.discovery.fetch import fetch_workspace
from dagster_rudderstack.discovery.replaceable import check_is_no_configuration
from dagster_rudderstack.discovery.snapshot import WorkspaceSnapshot
from dagster_rudderstack.discovery.state import kept_snapshot
from dagster_rudderstack.errors import (
    DiscoveryError,
    InvalidSettingError,
    RudderStackError,
    StatusError,
)
from dagster_rudderstack.resource import RudderStackResource
from dagster_rudderstack.resource_settings import address_options
from dagster_rudderstack.sync.recorder import Log
from dagster_rudderstack.sync.retry import call_with_retries
from dagster_rudderstack.text import failure

__all__ = [
    "MAX_RETRIES_WHILE_LOADING",
    "Refresh",
    "Snapshot",
    "cause_text",
    "fetch_rudderstack_workspace",
    "read_snapshot",
    "refresh_rudderstack_snapshot",
    "refresh_while_loading",
    "shown_cause",
    "snapshot_from",
    "write_snapshot",
]

Refresh = Literal["if_missing", "always"]
Snapshot = WorkspaceSnapshot | str | os.PathLike[str]

_LOG = get_dagster_logger("rudderstack")

MAX_RETRIES_WHILE_LOADING = 1
"""How often a request is retried while definitions load, if an older snapshot exists."""

MAX_PAUSE_WHILE_LOADING = 15.0
"""For how many seconds RudderStack may ask to wait (429) while definitions load."""


def fetch_rudderstack_workspace(resource: RudderStackResource) -> WorkspaceSnapshot:
    """Read the workspace, with a few requests per list.

    Args:
        resource: The resource of the workspace.

    Raises:
        RudderStackError: If RudderStack cannot be reached, or an environment variable of the
            resource is not set.
    """
    return _fetch(resource)


def refresh_rudderstack_snapshot(
    resource: RudderStackResource, path: str | os.PathLike[str]
) -> WorkspaceSnapshot:
    """Read the workspace and write its snapshot to a file. If that fails, the old file stays.

    It also fails if the workspace seems to have lost all its connections, sources or destinations,
    as with a token that may no longer list them. If they are really gone, delete the file.

    Args:
        resource: The resource of the workspace.
        path: The file.

    Raises:
        RudderStackError: If RudderStack cannot be reached, an environment variable of the resource
            is not set, a list that had items is now empty, the snapshot cannot be written as JSON,
            or the file is a configuration of the local RudderStack.
        OSError: If the file cannot be written.
    """
    return write_snapshot(resource, Path(path))


def write_snapshot(
    resource: RudderStackResource, path: Path, log: Log | None = None
) -> WorkspaceSnapshot:
    """Do the same, and report what cannot be read to another log."""
    check_is_no_configuration(path)
    return _replaced(path, _fetch(resource, log=log))


def refresh_while_loading(resource: RudderStackResource, path: Path) -> WorkspaceSnapshot:
    """Do the same, but give up soon, since definitions wait for it."""
    return _replaced(path, _fetch(resource, MAX_RETRIES_WHILE_LOADING, MAX_PAUSE_WHILE_LOADING))


def _fetch(
    resource: RudderStackResource,
    max_retries: int | None = None,
    max_pause: float = math.inf,
    log: Log | None = None,
) -> WorkspaceSnapshot:
    with resource as rudderstack:
        policy = rudderstack.sync_policy().retry
        if max_retries is not None:
            policy = policy.model_copy(update={"request_max_retries": max_retries})

        def retried(call: Callable[[], Page], wait: Callable[[float], object]) -> Page:
            return call_with_retries(
                lambda: _without_long_pause(call, max_pause), policy, log or _LOG, sleep=wait
            )

        try:
            return fetch_workspace(
                rudderstack.get_client(),
                retried=retried,
                max_concurrent=rudderstack.max_concurrent_requests,
                log=log or _LOG,
            )
        except RudderStackError as error:
            # Without the fifty lines of threads and retries down to the socket, so that the message
            # stands out where definitions fail to load. It has the words of the cause.
            raise error.with_traceback(None) from None


def _without_long_pause(call: Callable[[], Page], max_pause: float) -> Page:
    """Make a request. It fails if RudderStack asks, or has asked, for a pause that is too long."""
    too_long = f"RudderStack asks to wait for more than {max_pause:g} seconds."
    try:
        with waiting_until(time.monotonic() + max_pause):
            return call()
    except NoTurnError as error:
        if error.pause_seconds > max_pause:
            raise DiscoveryError(too_long) from None
    except StatusError as error:
        if error.retry_after_seconds is not None and error.retry_after_seconds > max_pause:
            raise DiscoveryError(f"{error} {too_long}") from error
        raise
    # It was not sent only because it has to wait for its turn among our own requests.
    return call()


def _replaced(path: Path, snapshot: WorkspaceSnapshot) -> WorkspaceSnapshot:
    _check_nothing_lost(snapshot, path)
    _write(snapshot, path)
    return snapshot


def _check_nothing_lost(snapshot: WorkspaceSnapshot, path: Path) -> None:
    """Raise an error if the last snapshot has a list that is now empty.

    Without sources or destinations, the assets would get other keys. Without connections, there
    would be no assets.
    """
    try:
        last = read_snapshot(path)
    except DiscoveryError:
        return
    if not last.connections:
        return
    lists = {
        "connection": (last.connections, snapshot.connections),
        "source": (last.sources, snapshot.sources),
        "destination": (last.destinations, snapshot.destinations),
    }
    for noun, (before, now) in lists.items():
        if before and not now:
            raise DiscoveryError(
                f"No {noun} could be read, but the last snapshot has {len(before):,}. Check the "
                f"access token and its permissions. If the {noun}s are really gone, delete {path} "
                "and refresh again."
            )


def _write(snapshot: WorkspaceSnapshot, path: Path) -> None:
    """Write a snapshot. A reader of the file finds the old one or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{uuid4().hex}")
    try:
        unfinished.write_text(snapshot.dumps(), encoding="utf-8")
        if path.exists():
            shutil.copymode(path, unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def snapshot_from(
    resource: RudderStackResource, given: Snapshot | None, refresh: Refresh
) -> WorkspaceSnapshot:
    """Return the snapshot that the arguments of the factories describe.

    Raises:
        DiscoveryError: If the snapshot cannot be read or written.
        InvalidSettingError: If the file is a folder or a configuration of the local RudderStack,
            if `always` has no file, or if a variable of the resource is not set.
    """
    checked_choice(refresh, Refresh, "refresh")
    if refresh == "always" and (given is None or isinstance(given, WorkspaceSnapshot)):
        raise InvalidSettingError(
            "refresh='always' needs a file: set snapshot to its path, or leave out refresh."
        )
    if isinstance(given, WorkspaceSnapshot):
        return given
    if given is None:
        return _fetched(resource)
    path = Path(given)
    if path.is_dir():
        raise InvalidSettingError(f"snapshot {str(path)!r} is a folder: expected a file in it.")
    if refresh == "always" or not path.exists():
        check_is_no_configuration(path)
        return _refreshed(resource, path)
    return _read(resource, path)


def _fetched(resource: RudderStackResource) -> WorkspaceSnapshot:
    try:
        return kept_snapshot(resource, lambda: fetch_rudderstack_workspace(resource))
    except RudderStackError as error:
        raise _error_type(error)(
            f"The RudderStack workspace could not be read. {error} Set snapshot to the path of a "
            "file. Once the file exists, definitions load from it without requests to RudderStack."
        ) from shown_cause(error)


def _refreshed(resource: RudderStackResource, path: Path) -> WorkspaceSnapshot:
    try:
        if not path.exists():
            return refresh_rudderstack_snapshot(resource, path)
        return refresh_while_loading(resource, path)
    except Exception as error:  # noqa: BLE001 - no error is a reason to give up a good snapshot
        why = cause_text(error)
        if not path.exists():
            raise _error_type(error)(
                f"There is no snapshot of the RudderStack workspace at {path}, and it could not be "
                f"made. {why} {_how_to_refresh(resource, path)}"
            ) from shown_cause(error)
        try:
            snapshot = _read(resource, path)
        except DiscoveryError as unreadable:
            raise DiscoveryError(f"{unreadable} The refresh failed: {why}") from shown_cause(error)
        _LOG.warning(f"{why} The snapshot at {path} was not refreshed, and is used as it is.")
        return snapshot


def cause_text(error: Exception) -> str:
    """Return why a refresh failed."""
    if isinstance(error, RudderStackError):
        return str(error)
    return (
        f"The snapshot could not be written: {error}."
        if isinstance(error, OSError)
        else failure(error)
    )


def shown_cause(error: Exception) -> Exception | None:
    """Return the error to show as the cause of an error whose message has its words.

    None for an error of this library: it would only be shown twice.
    """
    return None if isinstance(error, RudderStackError) else error


def _error_type(error: Exception) -> type[RudderStackError]:
    """Return the type of the error to raise: an error in a setting keeps its type."""
    return InvalidSettingError if isinstance(error, InvalidSettingError) else DiscoveryError


def _read(resource: RudderStackResource, path: Path) -> WorkspaceSnapshot:
    try:
        return read_snapshot(path)
    except DiscoveryError as error:
        check_is_no_configuration(path)
        raise DiscoveryError(f"{error} {_how_to_refresh(resource, path)}") from None


def read_snapshot(path: Path) -> WorkspaceSnapshot:
    """Return the snapshot in a file.

    Raises:
        DiscoveryError: If it cannot be read.
    """
    try:
        return WorkspaceSnapshot.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DiscoveryError(f"{path} cannot be read: {error}.") from error
    except UnicodeDecodeError:
        raise DiscoveryError(f"{path} is not a snapshot.") from None


def _how_to_refresh(resource: RudderStackResource, path: Path) -> str:
    options = address_options(resource.region, resource.api_url)
    command = ["dagster-rudderstack", "snapshot", str(path), *options]
    return f"Write the snapshot when RudderStack can be reached: `{shlex.join(command)}`."

"""The state of one attempt to sync a connection or to run a source, shared by start, wait and stop.

A run of a source has the same life as a sync. `sync` in names and docstrings means both, unless a
`RunRequest` is treated apart.
"""

from __future__ import annotations

import contextlib
import logging
import random
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeVar

from dagster_rudderstack.api.deadline import answered_within
from dagster_rudderstack.api.models import Connection, Sync
from dagster_rudderstack.api.source_runs import SourceRun
from dagster_rudderstack.api.throttle import is_urgent
from dagster_rudderstack.errors import (
    ApiError,
    ConnectionDisabledError,
    NotFoundError,
    StatusError,
)
from dagster_rudderstack.settings import SyncPolicy, SyncType
from dagster_rudderstack.sync.decisions import is_temporary, is_unresolved
from dagster_rudderstack.sync.recorder import Log, LogRecorder, Recorder
from dagster_rudderstack.sync.request import (
    Origin,
    Report,
    Request,
    RunRequest,
    SourceRunReport,
    SyncReport,
    SyncRequest,
)
from dagster_rudderstack.sync.source_runs import UNKNOWN_NEWEST
from dagster_rudderstack.sync.storage import until_stored
from dagster_rudderstack.sync.task import Task
from dagster_rudderstack.sync.watchers import Watcher
from dagster_rudderstack.text import capitalized

__all__ = [
    "MAX_REDIRECTS",
    "NEWEST_SYNCS",
    "CurrentSync",
    "LostStart",
    "PreviousAttempt",
    "SyncApi",
    "SyncAttempt",
]

_T = TypeVar("_T")

NEWEST_SYNCS = 25
"""How many syncs are listed to see what runs. A connection has one running, or a few."""


REDIRECT_SETTLING_SECONDS = 6.0
"""How long to look for the sync of a start that was redirected, which most likely had no effect."""

MAX_REDIRECTS = 2
"""After so many redirected starts in a row, the address is wrong."""


class SyncApi(Protocol):
    """The part of the API that a sync needs: `RudderStackClient`, or `SourceRunApi` for runs."""

    def start_sync(self, connection_id: str, sync_type: str, /) -> str:
        """Start a sync and return its id."""
        ...

    def stop_sync(self, connection_id: str, /) -> None:
        """Ask RudderStack to stop the running sync of the connection."""

    def get_sync(self, connection_id: str, sync_id: str, /) -> Sync:
        """Return the details of a sync."""
        ...

    def list_syncs(self, connection_id: str, /, *, per_page: int, limit: int) -> Sequence[Sync]:
        """Return the newest syncs, newest first."""
        ...

    def get_connection(self, connection_id: str, /) -> Connection:
        """Return the connection."""
        ...


@dataclass(frozen=True)
class PreviousAttempt:
    """What an earlier attempt left behind, according to its records.

    Attributes:
        sync_id: The sync that it waited for. None if it was about to start one.
        owned: Whether our run started that sync.
        known_sync_ids: The syncs that existed before it started one.
        recorded_at: When it recorded that, if that is long ago. None if it is recent.
        is_same_run: Whether it was an attempt of the run that is still going on.
        is_accepted: Whether RudderStack accepted its start, without naming what it has started.
    """

    sync_id: str | None = None
    owned: bool = True
    known_sync_ids: frozenset[str] = frozenset()
    recorded_at: datetime | None = None
    is_same_run: bool = False
    is_accepted: bool = False


@dataclass(frozen=True)
class CurrentSync:
    """The sync that an attempt waits for.

    Attributes:
        sync_id: The sync.
        origin: How the attempt came to wait for it.
        owned: Whether our run started it.
        since: Since when the attempt waits, on its clock.
        others: Other syncs one of which may be ours instead. All must succeed.
    """

    sync_id: str
    origin: Origin
    owned: bool
    since: float
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class LostStart:
    """A start whose answer we do not have.

    Attributes:
        since: When its answer was lost, or when this attempt learned of it, on the attempt's clock.
        is_earlier: Whether an earlier attempt sent it, if it was sent at all.
        recorded_at: When that earlier attempt announced it, if that is long ago.
        error: Why there was no usable answer. None if an earlier attempt sent the start.
        redirect: The answer, if it was a redirect.
        redirects: How many starts in a row were answered by a redirect, this one included.
        is_accepted: Whether RudderStack answered with 2xx, but without naming what it has started.
    """

    since: float
    is_earlier: bool = False
    recorded_at: datetime | None = None
    error: ApiError | None = None
    redirect: ApiError | None = None
    redirects: int = 0
    is_accepted: bool = False


@dataclass
class SyncAttempt:
    """One attempt to sync a connection, or to run a source: its inputs and its state.

    Args:
        api: The client.
        request: What to sync.
        policy: Timeouts and choices.
        recorder: Records what a later attempt must know. None logs it and keeps nothing.
        previous: What an earlier attempt left. None if nothing.
        log: Gets changes, warnings and a heartbeat.
        logs_success: Whether to log that the sync succeeded. False where a table of many syncs
            says it.
        logs_failure: Whether to log that it failed. False where the error is printed.
        watcher: Shows each change to a person. None if no person watches.
        monotonic: Seconds that only grow.
        jitter: A random number from 0.0 to 1.0.
    """

    api: SyncApi
    request: Request
    policy: SyncPolicy = field(default_factory=SyncPolicy)
    recorder: Recorder | None = None
    previous: PreviousAttempt | None = None
    log: Log = field(default_factory=lambda: logging.getLogger(__name__))
    logs_success: bool = True
    logs_failure: bool = True
    watcher: Watcher | None = None
    monotonic: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random

    deadline: float = field(default=float("inf"), init=False)
    current: CurrentSync | None = field(default=None, init=False)
    last_seen: Sync | None = field(default=None, init=False)
    """The last state of a sync that was waited for, ours or another one."""
    known_sync_ids: frozenset[str] | None = field(default=None, init=False)
    """The syncs that existed before our start. None until they are listed."""
    lost_start: LostStart | None = field(default=None, init=False)
    last_error: ApiError | None = field(default=None, init=False)
    """Why the last request that failed did so. None if none did."""
    disabled: ConnectionDisabledError | None = field(default=None, init=False)
    is_over: bool = field(default=False, init=False)
    """Whether the sync has ended, so that there is nothing to stop."""
    _unwritten: list[Callable[[], None]] = field(default_factory=list, init=False)
    """The records that could not be written yet, the oldest first."""

    @property
    def records(self) -> Recorder:
        """Where this attempt records what a later one must know."""
        return self.recorder or LogRecorder(self.request, self.log)

    @property
    def target_id(self) -> str:
        """The connection that is synced, or the source that is run."""
        return self.request.target_id

    @property
    def sync_id(self) -> str | None:
        """The sync that is waited for. None until there is one."""
        return self.current.sync_id if self.current else None

    @property
    def sync_type(self) -> SyncType | None:
        """The sync type that was asked for. None for a run, or if another client started it."""
        is_others = self.current is not None and not self.current.owned
        request = self.request
        return None if is_others or not isinstance(request, SyncRequest) else request.sync_type

    @property
    def name(self) -> str:
        """The sync in messages, at the begin of a sentence."""
        request = self.request
        if self.sync_id:
            return capitalized(request.name_of(self.sync_id))
        return f"A {request.noun} of {request.target}"

    @property
    def may_be_running(self) -> bool:
        """Whether a sync that we started or wait for may be running."""
        return not self.is_over and (self.current is not None or self.lost_start is not None)

    @property
    def settling_seconds_left(self) -> float:
        """How much longer to look for the sync of the lost start. 0 or less: no longer."""
        lost = self.lost_start
        # What ran before the start is unknown, so nothing that appears now is certain to be new.
        if lost is None or UNKNOWN_NEWEST.id in (self.known_sync_ids or ()):
            return 0.0
        seconds = self.policy.start_settling_seconds
        if lost.redirect is not None:
            seconds = min(seconds, REDIRECT_SETTLING_SECONDS)
        return lost.since + seconds - self.monotonic()

    def begin(self) -> None:
        """Start the timeout."""
        self.deadline = self.monotonic() + self.policy.sync_timeout_seconds

    def take_over_previous(self) -> None:
        """Treat what an earlier attempt left as ours, without a request, so that a stop finds it.

        Does nothing if this attempt has a sync or a lost start of its own.
        """
        previous = self.previous
        if previous is None or self.current is not None or self.lost_start is not None:
            return
        if previous.sync_id is not None:
            since = self.monotonic()
            self.current = CurrentSync(previous.sync_id, "resumed", previous.owned, since)
        else:
            self.known_sync_ids = previous.known_sync_ids
            self.lost_start = LostStart(
                self.monotonic(),
                is_earlier=True,
                recorded_at=previous.recorded_at,
                is_accepted=previous.is_accepted,
            )

    def wait_on(
        self, sync_id: str, origin: Origin, *, owned: bool, others: Sequence[str] = ()
    ) -> CurrentSync:
        """Make a sync the one that this attempt waits for, and record it."""
        current = CurrentSync(sync_id, origin, owned, self.monotonic(), tuple(others))
        self.current = current
        self.lost_start = self.last_seen = None
        self.record(lambda: self.records.waiting(sync_id, origin, owned=owned))
        return current

    def report(self, sync: Sync, origin: Origin) -> Report:
        """Return the report of our sync, which succeeded."""
        report: Report
        if isinstance(self.request, RunRequest):
            assert isinstance(sync, SourceRun)  # noqa: S101 - the API of runs returns no others
            report = SourceRunReport.of(sync, self.request, origin)
        else:
            report = SyncReport.of(sync, self.target_id, self.sync_type, origin)
        self.last_seen = report
        return report

    def record(self, write: Callable[[], None]) -> None:
        """Write a record that must not fail a running sync, or its stop.

        If that fails, `write_records` writes it later.
        """
        self._unwritten.append(write)
        try:
            self.write_records()
        except Exception as error:  # noqa: BLE001 - a database can fail in many ways
            self.log.warning(
                f"{self.name} could not be recorded. Until it is, a retry may not find it. {error}"
            )

    def write_records(self) -> None:
        """Write the records that could not be written before.

        Raises:
            Exception: If the database still does not answer.
        """
        while self._unwritten:
            write = self._unwritten[0]
            write()
            # The thread of an interrupt may have written it meanwhile.
            with contextlib.suppress(ValueError):
                self._unwritten.remove(write)

    def until_stored(self, call: Callable[[], _T]) -> Task[_T]:
        """Read or write in Dagster's storage, again and again until that succeeds."""
        return until_stored(
            call,
            self.policy,
            self.log,
            deadline=self.deadline,
            monotonic=self.monotonic,
            jitter=self.jitter,
        )

    # --- requests, each sent once

    def _timed(self) -> AbstractContextManager[None]:
        """End the requests of a block with the timeout. A stop has its own time."""
        if is_urgent():
            return contextlib.nullcontext()
        # Not less than a second, so that a start is not cut off while it is sent.
        return answered_within(max(self.deadline - self.monotonic(), 1.0))

    def get_connection(self) -> Connection:
        """Return the connection."""
        with self._timed():
            return self.api.get_connection(self.target_id)

    def start_sync(self) -> str:
        """Start a sync and return its id."""
        with self._timed():
            return self.api.start_sync(self.target_id, self.request.variant)

    def get_sync(self, sync_id: str) -> Sync:
        """Return the details of a sync of the connection."""
        with self._timed():
            return self.api.get_sync(self.target_id, sync_id)

    def find_sync(self, sync_id: str) -> Sync:
        """Return a sync of the connection: its details, or else what the list says about it.

        Raises:
            NotFoundError: If neither the details nor the newest syncs of the list show it.
        """
        try:
            return self.get_sync(sync_id)
        except StatusError as error:
            if not is_unresolved(error):
                raise
            missing = error
        for sync in self.list_syncs():
            if sync.id == sync_id.strip():
                return sync
        lists = ", neither its details nor in the list of syncs"
        where = lists if self.request.can_be_listed else ""
        raise NotFoundError(
            f"RudderStack shows no {self.request.name_of(sync_id)}{where}. {missing}",
            method=missing.method,
            path=missing.path,
            status_code=missing.status_code,
            detail=missing.detail,
        ) from missing

    def list_syncs(self) -> Sequence[Sync]:
        """Return the newest syncs of the connection, newest first, or the newest run of a source.

        Whether RudderStack still has the endpoint of the newest run is not known, so that its
        errors neither fail nor delay a run: they mean `UNKNOWN_NEWEST`. Only after a lost start is
        one raised, if it may pass and the endpoint has answered before that start.
        """
        try:
            with self._timed():
                return self.api.list_syncs(
                    self.target_id, per_page=NEWEST_SYNCS, limit=NEWEST_SYNCS
                )
        except ApiError as error:
            known = self.known_sync_ids or ()
            has_answered = bool(known) and UNKNOWN_NEWEST.id not in known
            is_outage = self.lost_start is not None and has_answered and is_temporary(error)
            if self.request.can_be_listed or is_outage:
                raise
            return [UNKNOWN_NEWEST]

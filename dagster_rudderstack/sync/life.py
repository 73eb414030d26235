"""The life of a sync: start it once, wait for it whatever breaks, stop it if it is ours.

A life is a generator. It makes its requests itself and yields the seconds to wait before it wants
to go on, so one thread drives one life (`drive`) or a few threads drive a thousand, and a wait of
six hours is tested in a millisecond. Every decision is a pure function in `decisions`.

How "started at most once" holds. Before the start we list the syncs of the connection and remember
their ids. When the answer to the start is lost, a sync that was not in that list began after it:
it is adopted. No clock is compared, so a clock that is minutes off does no harm. Only when no such
sync has shown up after a settling time is the start sent again.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Literal, Protocol, TypeVar

from dagster_rudderstack.api.models import Connection, Sync
from dagster_rudderstack.api.throttle import urgent
from dagster_rudderstack.errors import (
    ApiError,
    ConnectionDisabledError,
    NotFoundError,
    PermissionDeniedError,
    StatusError,
    SyncAlreadyRunningError,
    SyncLostError,
    SyncTimedOutError,
    UnexpectedResponseError,
)
from dagster_rudderstack.settings import SyncPolicy, SyncType, checked_id, checked_sync_type
from dagster_rudderstack.sync.decisions import (
    StartAnswer,
    began_since,
    duration_text,
    failure_of,
    is_passing,
    judge_start,
    running_among,
)
from dagster_rudderstack.sync.progress import Progress
from dagster_rudderstack.text import one_line

__all__ = [
    "Journal",
    "Log",
    "NoJournal",
    "Origin",
    "StopOutcome",
    "SyncLife",
    "SyncReport",
    "SyncRequest",
    "Unfinished",
    "drive",
]

Origin = Literal["started", "adopted", "attached", "resumed"]

NEWEST_SYNCS = 25
"""How many syncs we list to see what runs: a connection has one running, or a few."""

STOP_GRACE_SECONDS = 15.0
"""How long stopping may take: Kubernetes kills a pod 30 s after it was asked to end."""

_T = TypeVar("_T")
Steps = Generator[float, None, _T]


class SyncApi(Protocol):
    """What a life needs of the API; `RudderStackClient` has it."""

    def start_sync(self, connection_id: str, sync_type: str | None = None) -> str: ...
    def stop_sync(self, connection_id: str) -> None: ...
    def get_sync(self, connection_id: str, sync_id: str) -> Sync: ...
    def list_syncs(self, connection_id: str, *, per_page: int, limit: int) -> list[Sync]: ...
    def get_connection(self, connection_id: str) -> Connection: ...


class Log(Protocol):
    """What a life needs of a logger."""

    def info(self, msg: object, /) -> None:
        """Tell what a person may want to know."""

    def warning(self, msg: object, /) -> None:
        """Tell what a person should look at."""


class Journal(Protocol):
    """Where a life writes down what the next attempt must know, should this one be killed."""

    def starting(self, known_sync_ids: Sequence[str]) -> None:
        """A start is about to be sent; these syncs were there before."""

    def in_flight(self, sync_id: str, *, owned: bool) -> None:
        """Write down the sync that we wait for; `owned` if we started it."""

    def nothing_started(self) -> None:
        """The start that was announced has certainly had no effect."""

    def stop_requested(self, sync_id: str) -> None:
        """RudderStack was asked to stop this sync, so the next attempt does not take it up."""


class NoJournal:
    """For syncs that nobody resumes, as in a notebook."""

    def starting(self, known_sync_ids: Sequence[str]) -> None:
        """Write nothing."""

    def in_flight(self, sync_id: str, *, owned: bool) -> None:
        """Write nothing."""

    def nothing_started(self) -> None:
        """Write nothing."""

    def stop_requested(self, sync_id: str) -> None:
        """Write nothing."""


@dataclass(frozen=True)
class Unfinished:
    """What an earlier attempt left behind, as its journal tells.

    Attributes:
        sync_id: the sync that it waited for; None if it was about to start one.
        owned: whether it had started that sync.
        known_sync_ids: the syncs that were there before it started one.
        noted_at: when it wrote that down, if that is long ago; None: it is not.
    """

    sync_id: str | None = None
    owned: bool = True
    known_sync_ids: frozenset[str] = frozenset()
    noted_at: datetime | None = None


@dataclass(frozen=True)
class SyncRequest:
    """What to sync. `sync_type` None: RudderStack decides.

    Raises:
        InvalidSettingError: for an id or a sync type that cannot be right.
    """

    connection_id: str
    sync_type: SyncType | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "connection_id", checked_id(self.connection_id, "connection_id"))
        checked_sync_type(self.sync_type)


class SyncReport(Sync):
    """A sync that succeeded, and how we came by it.

    Attributes:
        connection_id: the connection.
        sync_type: what was asked for; None: RudderStack decided.
        origin: `started` by us; `adopted`: started by us, though the answer was lost; `attached`:
            started by somebody else; `resumed`: begun by an earlier attempt of this run.
    """

    connection_id: str
    sync_type: SyncType | None = None
    origin: Origin = "started"


class StopOutcome(Enum):
    """What came of stopping our sync, as a person reads it."""

    REQUESTED = "RudderStack was asked to stop it"
    OVER = "it was over already"
    NOT_OURS = "it was left running, since somebody else started it"
    OTHERS_RUNNING = (
        "it was left running, since other syncs of the connection run too and a stop would end all"
    )
    NOTHING_STARTED = "no sync had been started"
    NOT_SEEN = (
        "it was being started, and no sync has shown up so far: should one run, stop it in the "
        "dashboard"
    )
    UNKNOWN = "it could not be stopped, since RudderStack did not answer: look in the dashboard"


@dataclass
class _Flight:
    sync_id: str
    origin: Origin
    owned: bool
    since: float


@dataclass
class SyncLife:
    """One sync, from the wish to the report. Drive `run()`; after an interrupt, drive `stop()`.

    Args:
        api: the client.
        request: what to sync.
        policy: timeouts and choices.
        journal: what the next attempt must know is written here.
        unfinished: what an earlier attempt left; None: nothing.
        log: where changes and troubles are told.
        monotonic: seconds that only grow.
        jitter: a random number from 0.0 to 1.0.
    """

    api: SyncApi
    request: SyncRequest
    policy: SyncPolicy = field(default_factory=SyncPolicy)
    journal: Journal = field(default_factory=NoJournal)
    unfinished: Unfinished | None = None
    log: Log = field(default_factory=lambda: logging.getLogger(__name__))
    monotonic: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random

    _deadline: float = field(default=float("inf"), init=False)
    _flight: _Flight | None = field(default=None, init=False)
    _last: Sync | None = field(default=None, init=False)
    _known: frozenset[str] | None = field(default=None, init=False)
    _unanswered_since: float | None = field(default=None, init=False)
    """When a start was sent whose answer we do not have; None: there is none."""
    _is_earlier_start: bool = field(default=False, init=False)
    """Whether it was an earlier attempt that sent that start, if anybody did."""
    _disabled: ConnectionDisabledError | None = field(default=None, init=False)
    _over: bool = field(default=False, init=False)

    @property
    def connection_id(self) -> str:
        """The connection that is synced."""
        return self.request.connection_id

    @property
    def is_over(self) -> bool:
        """Whether there is nothing of ours left to stop."""
        return self._over

    @property
    def may_be_running(self) -> bool:
        """Whether a sync that we started or wait for may be running."""
        return not self._over and (self._flight is not None or self._unanswered_since is not None)

    @property
    def is_resumable(self) -> bool:
        """Whether the next attempt can know of the sync."""
        return not isinstance(self.journal, NoJournal)

    @property
    def sync_id(self) -> str | None:
        """The sync that is waited for; None until there is one."""
        return self._flight.sync_id if self._flight else None

    def recall(self) -> None:
        """Take what an earlier attempt left for ours, without a request; then `stop()` finds it."""
        left = self.unfinished
        if left is None or self._flight is not None or self._unanswered_since is not None:
            return
        if left.sync_id is not None:
            self._flight = _Flight(left.sync_id, "resumed", left.owned, self.monotonic())
        else:
            self._known = left.known_sync_ids
            self._unanswered_since = self.monotonic()
            self._is_earlier_start = True

    def run(self) -> Steps[SyncReport]:
        """Start or resume the sync and wait for its end.

        Raises:
            SyncError: if it did not succeed, or nobody can tell.
            ApiError: if it was not started.
        """
        self._deadline = self.monotonic() + self.policy.timeout_seconds
        flight = yield from self._resume()
        if flight is None:
            yield from self._check_connection()
            flight = yield from self._begin()
        sync = yield from self._watch(flight.sync_id, flight.since)
        self._over = True
        return self._report(sync, flight)

    def launch(self) -> Steps[str]:
        """Start the sync, or find the one to wait for, and return its id without waiting.

        Raises:
            SyncAlreadyRunningError: if another sync runs, unless `on_running_sync` is `attach`:
                with `wait`, waiting is left to the caller.
            SyncError: if the sync cannot be started.
            ApiError: if it was not started.
        """
        if self.policy.on_running_sync == "wait":
            self.policy = self.policy.model_copy(update={"on_running_sync": "fail"})
        self._deadline = self.monotonic() + self.policy.timeout_seconds
        flight = yield from self._resume()
        if flight is None:
            yield from self._check_connection()
            flight = yield from self._begin()
        return flight.sync_id

    def attach(self, sync_id: str, *, owned: bool = False) -> Steps[SyncReport]:
        """Wait for the end of a sync that was started already; `owned` if we did that."""
        self._deadline = self.monotonic() + self.policy.timeout_seconds
        checked_id(sync_id, "sync_id")
        if not owned:
            # Asked for before anything is tolerated: a wrong id or token is told at once.
            self._last = yield from self._ask(lambda: self._get(sync_id), in_flight=False)
        flight = self._take(sync_id, "started" if owned else "attached", owned=owned)
        sync = yield from self._watch(sync_id, flight.since)
        self._over = True
        return self._report(sync, flight)

    def _report(self, sync: Sync, flight: _Flight) -> SyncReport:
        failure = failure_of(sync, self.connection_id)
        if failure is not None:
            raise failure
        return SyncReport(
            **dict(sync),
            connection_id=self.connection_id,
            sync_type=self.request.sync_type,
            origin=flight.origin,
        )

    # --- before the start

    def _resume(self) -> Steps[_Flight | None]:
        """Take up what an earlier attempt left; None if there is nothing to wait for."""
        left = self.unfinished
        if left is None:
            return None
        if left.sync_id is None:
            self.log.info(
                f"An earlier attempt was about to start a sync of connection {self.connection_id}: "
                "looking for it before another one is started."
            )
            self.recall()
            return None
        sync = yield from self._recall(left.sync_id)
        if sync is None or (sync.is_over and failure_of(sync, self.connection_id)):
            state = f"ended as {sync.status!r}" if sync else "is no longer known to RudderStack"
            self.log.info(
                f"Sync {left.sync_id} of an earlier attempt {state}: a new one is started."
            )
            return None
        state = "succeeded meanwhile" if sync.is_over else "is still running"
        self.log.info(f"Sync {left.sync_id} of an earlier attempt {state}: no new one is started.")
        return self._take(left.sync_id, "resumed", owned=left.owned)

    def _recall(self, sync_id: str) -> Steps[Sync | None]:
        """Return a sync of an earlier attempt; None if RudderStack goes on not knowing it.

        The list of syncs has the last word: what it shows is there, though its details are not.
        """
        give_up_at = self.monotonic() + self.policy.settling_seconds

        def look() -> Sync | None:
            try:
                return self._get(sync_id)
            except NotFoundError:
                # A sync can be unknown for its first seconds.
                if self.monotonic() >= give_up_at:
                    return None
                raise

        sync = yield from self._ask(look, in_flight=True)
        if sync is not None:
            return sync
        listed = yield from self._ask(self._list, in_flight=True)
        return next((each for each in listed if each.id == sync_id), None)

    def _get(self, sync_id: str) -> Sync:
        sync = self.api.get_sync(self.connection_id, sync_id)
        if sync.id == sync_id.strip():
            return sync
        # A gateway's mistake, and borne as such: what it says of another sync is not ours to tell.
        path = f"/retl-connections/{self.connection_id}/syncs/{sync_id}"
        raise UnexpectedResponseError(
            f"RudderStack's answer to GET {path} is about another sync, {sync.id!r}.",
            method="GET",
            path=path,
        )

    def _list(self) -> list[Sync]:
        return self.api.list_syncs(self.connection_id, per_page=NEWEST_SYNCS, limit=NEWEST_SYNCS)

    def _check_connection(self) -> Steps[None]:
        """Read the connection: whether it is enabled, and has a schedule of its own too."""
        if not self.policy.check_connection:
            return
        connection = yield from self._ask(
            self._get_connection, in_flight=self._unanswered_since is not None
        )
        if connection is None:
            return
        if not connection.enabled:
            self._disabled = ConnectionDisabledError(
                f"Connection {self.connection_id} is disabled in RudderStack and does not sync. "
                "Enable it in the dashboard. (Assets and ops with on_disabled='skip' skip it.)",
                connection_id=self.connection_id,
            )
            # What an earlier attempt may have started is looked for all the same.
            if self._unanswered_since is None:
                raise self._disabled
        schedule = connection.schedule
        if schedule is not None and schedule.type.lower() != "manual":
            self.log.warning(
                f"RudderStack also starts connection {self.connection_id} by itself (its schedule "
                f"is {one_line(schedule.type, 40)!r}). Set the schedule to Manual in the "
                "dashboard, so that Dagster alone decides when it syncs."
            )

    def _get_connection(self) -> Connection | None:
        """Return the connection; None, with a warning, if the token may not read it."""
        try:
            return self.api.get_connection(self.connection_id)
        except PermissionDeniedError as error:
            self.log.warning(f"The connection is not checked before its sync. {error}")
            return None

    # --- the start

    def _begin(self) -> Steps[_Flight]:
        """Start a sync, or find the one that is ours already."""
        failures = conflicts = 0
        failure: ApiError | None = None
        while True:
            taken = yield from self._look_around()
            if taken is not None:
                return taken
            if self._disabled is not None:
                self.journal.nothing_started()
                raise self._disabled
            if failure is not None and failures > self.policy.retry.max_retries:
                self.journal.nothing_started()
                raise failure
            try:
                return self._take(self._send_start(), "started", owned=True)
            except ApiError as error:
                answer = judge_start(error)
                if answer is StartAnswer.RUNNING:
                    conflicts += 1
                    yield from self._meet_conflict(error, conflicts)
                    continue
                failures, failure = failures + 1, error
                yield from self._meet_failure(error, answer, failures)

    def _look_around(self) -> Steps[_Flight | None]:
        """List the newest syncs: return the one to wait for, or None when the way is clear."""
        looks = 0
        while True:
            listed = yield from self._ask(self._list, in_flight=self._unanswered_since is not None)
            if self._unanswered_since is not None:
                looks += 1
                found = self._candidates(listed)
                if found and not self._has_failed_before(found):
                    return self._adopt(found)
                settled_in = self._settled_in(self._unanswered_since)
                if settled_in > 0 and not found:
                    delay = self.policy.retry.delay_seconds(looks, None, self.jitter())
                    yield from self._pause(min(delay, settled_in))
                    continue
                if found:
                    self.log.info(
                        f"Sync {found[0].id} of an earlier attempt failed: starting anew."
                    )
                    self._unanswered_since = None
                else:
                    self.log.info("No sync has shown up since the lost start.")
            running = running_among(listed)
            if running:
                taken = yield from self._meet_running(running[0])
                if taken is not None:
                    return taken
                continue
            if self._unanswered_since is None or self._is_earlier_start:
                self._announce(frozenset(sync.id for sync in listed))
            return None

    def _settled_in(self, unanswered_since: float) -> float:
        return unanswered_since + self.policy.settling_seconds - self.monotonic()

    def _candidates(self, listed: Sequence[Sync]) -> list[Sync]:
        """Return the syncs that the start whose answer we do not have may have started."""
        noted_at = self.unfinished.noted_at if self.unfinished and self._is_earlier_start else None
        return began_since(listed, self._known or (), noted_at)

    def _has_failed_before(self, found: Sequence[Sync]) -> bool:
        """Whether what an earlier attempt has started failed, so that it is started anew."""
        first = found[0]
        has_failed = first.is_over and failure_of(first, self.connection_id) is not None
        return self._is_earlier_start and has_failed

    def _adopt(self, found: Sequence[Sync]) -> _Flight:
        """Take the first sync that began after our start; of several, nobody knows whose it is."""
        ours, *others = found
        self.log.info(
            f"Sync {ours.id} began after our start, whose answer was lost: it is taken for ours."
        )
        if others:
            names = ", ".join(each.id for each in others)
            self.log.warning(
                f"More syncs began since ({names}), so {ours.id} may be somebody else's: it is "
                "waited for, and never stopped."
            )
        return self._take(ours.id, "adopted", owned=not others)

    def _announce(self, known: frozenset[str]) -> None:
        # A later attempt goes by the time of the note, so this attempt makes one of its own.
        if known != self._known or self._is_earlier_start:
            self._known = known
            self.journal.starting(sorted(known))

    def _meet_running(self, sync: Sync) -> Steps[_Flight | None]:
        """Another sync runs: attach to it, fail, or wait for its end and return None."""
        choice = self.policy.on_running_sync
        if choice == "fail":
            raise self._already_running(sync)
        if choice == "attach":
            self.log.info(f"Sync {sync.id} is already running: it is waited for and reported.")
            return self._take(sync.id, "attached", owned=False)
        self.log.info(
            f"Sync {sync.id} of connection {self.connection_id} is already running. It may have "
            "begun before the upstream tables were rebuilt: waiting for its end before ours starts."
        )
        yield from self._watch(sync.id, self.monotonic())
        return None

    def _already_running(self, sync: Sync | None) -> SyncAlreadyRunningError:
        name = f" ({sync.id})" if sync else ""
        return SyncAlreadyRunningError(
            f"A sync of connection {self.connection_id} is already running{name}, and "
            "on_running_sync is 'fail'. Wait for its end, or choose 'wait' or 'attach'.",
            connection_id=self.connection_id,
            sync=sync,
        )

    def _send_start(self) -> str:
        # Set before the request and cleared when we have taken what it started, or know that it
        # started nothing: an interrupt may come in between.
        before = (self._unanswered_since, self._is_earlier_start)
        self._unanswered_since, self._is_earlier_start = self.monotonic(), False
        try:
            return self.api.start_sync(self.connection_id, self.request.sync_type)
        except ApiError as error:
            if judge_start(error) is not StartAnswer.LOST:
                self._unanswered_since, self._is_earlier_start = before
                if self._unanswered_since is None:
                    self._withdraw()
            raise

    def _withdraw(self) -> None:
        """Write down that the start that was announced has had no effect.

        Else the next attempt would take for ours what somebody else starts until then.
        """
        self._known = None
        self.journal.nothing_started()

    def _meet_conflict(self, error: ApiError, conflicts: int) -> Steps[None]:
        if self.policy.on_running_sync == "fail" and self._unanswered_since is None:
            raise self._already_running(None) from error
        self.log.info(f"RudderStack says that a sync is already running: looking for it. {error}")
        # The list may show the other sync a little later than the start does.
        yield from self._pause(self.policy.retry.delay_seconds(conflicts, None, self.jitter()))

    def _meet_failure(self, error: ApiError, answer: StartAnswer, failures: int) -> Steps[None]:
        """Wait before the next look after a failed start; raise when more are of no use."""
        if answer is StartAnswer.LOST:
            self.log.warning(
                f"The answer to the start of connection {self.connection_id} was lost, so a sync "
                f"may have been started or not: looking for it. {error}"
            )
            return
        if answer is StartAnswer.REFUSED:
            if self._unanswered_since is None:
                raise error
            if self._settled_in(self._unanswered_since) <= 0:
                self._withdraw()
                raise error
        delay = self._delay_after(error, failures)
        self.log.warning(f"{error} Trying again in {duration_text(delay)}.")
        yield from self._pause(delay)

    def _take(self, sync_id: str, origin: Origin, *, owned: bool) -> _Flight:
        self._flight = _Flight(sync_id, origin, owned, self.monotonic())
        self._unanswered_since = self._last = None
        self._write_down(lambda: self.journal.in_flight(sync_id, owned=owned))
        if origin == "started":
            self.log.info(f"Started sync {sync_id} of connection {self.connection_id}.")
        return self._flight

    # --- the wait

    def _watch(self, sync_id: str, since: float) -> Steps[Sync]:
        """Poll a sync until it is over and return it."""
        progress = Progress(self.log, self.monotonic)
        if self._flight is not None and self._flight.origin == "started":
            yield from self._pause(self._interval(since))
        while True:
            sync = yield from self._ask(lambda: self._get(sync_id), in_flight=True)
            self._last = sync
            progress.tell(sync)
            if sync.is_over:
                return sync
            yield from self._pause(self._interval(since))

    def _interval(self, since: float) -> float:
        return self.policy.poll.interval_seconds(self.monotonic() - since, self.jitter())

    def _ask(self, call: Callable[[], _T], *, in_flight: bool) -> Steps[_T]:
        """Make a safe request until it is answered.

        Args:
            call: the request.
            in_flight: a sync of ours may be running, so everything is borne for the outage
                tolerance; else only passing errors are, for the retries of a request.
        """
        failures = 0
        since = self.monotonic()
        while True:
            try:
                answer = call()
            except ApiError as error:
                failures += 1
                self._bear(error, failures, since, in_flight=in_flight)
                delay = self._delay_after(error, failures)
                self.log.warning(f"{error} Trying again in {duration_text(delay)}.")
                yield from self._pause(delay)
            else:
                if failures:
                    lasted = duration_text(self.monotonic() - since)
                    self.log.info(f"RudderStack answers again, after {lasted}.")
                return answer

    def _bear(self, error: ApiError, failures: int, since: float, *, in_flight: bool) -> None:
        """Raise if an error of a safe request is not to be borne any longer."""
        if not in_flight:
            if not is_passing(error) or failures > self.policy.retry.max_retries:
                raise error
            return
        lasted = self.monotonic() - since
        if lasted < self.policy.outage_tolerance_seconds:
            return
        name = f"Sync {self.sync_id}" if self.sync_id else "A sync"
        fate = ": a retry of this step takes it up again" if self.is_resumable else ""
        raise SyncLostError(
            f"{name} of connection {self.connection_id} may be running, but RudderStack could not "
            f"be asked for {duration_text(lasted)}. It was left alone{fate}. Last trouble: {error}",
            connection_id=self.connection_id,
            sync=self._last,
        ) from error

    def _delay_after(self, error: ApiError, failures: int) -> float:
        asked = error.retry_after_seconds if isinstance(error, StatusError) else None
        return self.policy.retry.delay_seconds(failures, asked, self.jitter())

    def _pause(self, seconds: float) -> Steps[None]:
        """Wait, but not past the deadline, and look once more when it is reached."""
        remaining = self._deadline - self.monotonic()
        if remaining <= 0:
            yield from self._time_out()
        yield min(seconds, remaining)

    def _time_out(self) -> Steps[None]:
        """Stop our sync if the policy says so, and raise."""
        owned = self._unanswered_since is not None or (self._flight and self._flight.owned)
        outcome = None
        if owned and self.policy.stop_on_timeout:
            outcome = yield from self.stop()
        error = SyncTimedOutError(
            f"{self._timeout_text(outcome)} Raise the timeout if the sync is slow, or look at it "
            "in RudderStack's dashboard.",
            connection_id=self.connection_id,
            sync=self._last,
        )
        error.stop_requested = outcome is StopOutcome.REQUESTED
        raise error

    def _timeout_text(self, outcome: StopOutcome | None) -> str:
        limit = duration_text(self.policy.timeout_seconds)
        if self._flight is None:
            reason = (
                f"sync {self._last.id} was in the way" if self._last else "no clear answer came"
            )
            fate = f" ({outcome.value})" if outcome else ""
            return (
                f"No sync of connection {self.connection_id} could be started within the timeout "
                f"of {limit}: {reason}{fate}."
            )
        fate = outcome.value if outcome else "it was left running"
        return (
            f"Sync {self._flight.sync_id} of connection {self.connection_id} was not over within "
            f"the timeout of {limit}: {fate}."
        )

    # --- the stop

    def stop(self, grace_seconds: float = STOP_GRACE_SECONDS) -> Steps[StopOutcome]:
        """Stop our sync, only ours, and only while it is the one running.

        `/stop` acts on the connection, not on a sync, so each try looks first at what runs.
        """
        give_up_at = self.monotonic() + grace_seconds
        looks = 0
        while True:
            looks += 1
            try:
                # A pause that RudderStack asks for may outlast the time that there is for a stop.
                with urgent():
                    outcome = self._stop_once()
                delay = min(self.policy.retry.delay_seconds(looks, None, self.jitter()), 2.0)
            except ApiError as error:
                outcome = StopOutcome.UNKNOWN
                delay = min(self._delay_after(error, looks), 2.0)
                if self.monotonic() + delay > give_up_at:
                    self.log.warning(f"The sync could not be stopped. {error}")
            may_change = outcome in (StopOutcome.UNKNOWN, StopOutcome.NOT_SEEN)
            if not may_change or self.monotonic() + delay > give_up_at:
                return outcome
            yield delay

    def _stop_once(self) -> StopOutcome:
        if self._flight is None and self._unanswered_since is None:
            return StopOutcome.NOTHING_STARTED
        listed = self._list()
        if self._flight is None:
            found = self._candidates(listed)
            if not found:
                # The start may have been cut off by the interrupt, and its sync not show yet.
                is_settled = self._settled_in(self._unanswered_since or 0.0) <= 0
                return StopOutcome.NOTHING_STARTED if is_settled else StopOutcome.NOT_SEEN
            self._adopt(found)
        flight = self._flight
        assert flight is not None  # noqa: S101 - taken just above
        if not flight.owned:
            return StopOutcome.NOT_OURS
        if self._get(flight.sync_id).is_over:
            return StopOutcome.OVER
        # Here a status that we do not know counts as running wherever it stands: a sync too many is
        # left running rather than somebody else's stopped.
        if any(sync.id != flight.sync_id and not sync.is_over for sync in listed):
            return StopOutcome.OTHERS_RUNNING
        self.api.stop_sync(self.connection_id)
        self._write_down(lambda: self.journal.stop_requested(flight.sync_id))
        return StopOutcome.REQUESTED

    def _write_down(self, write: Callable[[], None]) -> None:
        """Write into the journal what must not fail a sync that runs, or its stop."""
        try:
            write()
        except Exception as error:  # noqa: BLE001 - the sync is there: losing it would be worse
            self.log.warning(
                f"Sync {self.sync_id} could not be written down, so a retry may not know what "
                f"became of it: {error}"
            )


def drive(steps: Steps[_T], sleep: Callable[[float], object] = time.sleep) -> _T:
    """Run a life in this thread, sleeping between its steps, and return what it returns."""
    while True:
        try:
            seconds = next(steps)
        except StopIteration as end:
            result: _T = end.value
            return result
        sleep(seconds)


def call_with_retries(
    call: Callable[[], _T],
    policy: SyncPolicy,
    log: logging.Logger,
    *,
    sleep: Callable[[float], object] = time.sleep,
    jitter: Callable[[], float] = random.random,
) -> _T:
    """Make one safe request, again after passing errors, as often as the policy says."""
    failures = 0
    while True:
        try:
            return call()
        except ApiError as error:
            failures += 1
            if not is_passing(error) or failures > policy.retry.max_retries:
                raise
            asked = error.retry_after_seconds if isinstance(error, StatusError) else None
            delay = policy.retry.delay_seconds(failures, asked, jitter())
            log.warning(f"{error} Trying again in {duration_text(delay)}.")
        sleep(delay)

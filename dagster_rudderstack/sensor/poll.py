"""Polls the connections of a sensor, many at once, until the time of the tick is up."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from dagster_rudderstack.api.models import Sync
from dagster_rudderstack.api.throttle import NoTurnError, waiting_until
from dagster_rudderstack.errors import (
    ApiError,
    AuthenticationError,
    StatusError,
    UnexpectedResponseError,
)
from dagster_rudderstack.sensor.cursor import Cursor, Mark
from dagster_rudderstack.sensor.detect import (
    Answer,
    ConnectionRules,
    History,
    count_ended,
    in_turn,
    missing_deferred,
    missing_open,
    needs_history,
    reaches_back,
)
from dagster_rudderstack.sensor.limits import (
    FIRST_PAGE,
    MAX_CATCH_UP,
    MAX_ENDS,
    MAX_OPEN,
    OUTAGE_AFTER,
    STRAGGLERS_SECONDS,
)
from dagster_rudderstack.settings import MAX_PAGE_SIZE
from dagster_rudderstack.sync.decisions import is_temporary, is_unresolved
from dagster_rudderstack.sync.scheduler import Scheduler
from dagster_rudderstack.sync.task import Task

__all__ = ["Poll", "Polled"]


class ListApi(Protocol):
    """The part of the API that a poll needs. `RudderStackClient` has it."""

    def get_sync(self, connection_id: str, sync_id: str) -> Sync: ...
    def list_syncs(
        self, connection_id: str, *, status: str | None = None, per_page: int, limit: int
    ) -> list[Sync]: ...


@dataclass(frozen=True)
class Polled:
    """What a poll has learned.

    Attributes:
        answers: The answers by connection id.
        errors: The errors of connections that could not be polled, by connection id.
        unusable: The connections with a sync that has no usable id and is left out.
        position: The connection that the next poll begins with. Empty if all had their turn.
        pause_seconds: How long RudderStack wants no requests, if that ended the poll.
    """

    answers: Mapping[str, Answer]
    errors: Mapping[str, BaseException]
    unusable: Collection[str]
    position: str
    pause_seconds: float = 0.0

    @property
    def outage(self) -> BaseException | None:
        """The error to raise, if RudderStack as a whole could not be reached."""
        if self.answers:
            return None
        return next((error for error in self.errors.values() if is_outage(error)), None)


def is_outage(error: BaseException) -> bool:
    """Whether an error is about RudderStack, or the token, and not about one connection."""
    return isinstance(error, AuthenticationError) or (
        isinstance(error, ApiError) and is_temporary(error)
    )


@dataclass
class Poll:
    """Polls connections, many at once.

    Args:
        api: The client.
        rules: The rules by connection id, of all connections.
        cursor: The cursor of the tick before.
        history: Reads what Dagster knows about the syncs of a connection. It gets the connection
            id, the answer, and how many syncs have ended since the last tick.
        threads: How many connections are polled at once.
        seconds: After how many seconds no more requests are begun.
        now: Epoch seconds of Dagster's clock.
    """

    api: ListApi
    rules: Mapping[str, ConnectionRules]
    cursor: Cursor
    history: Callable[[str, Answer, int], History]
    threads: int
    seconds: float
    now: float

    _began: float = field(default_factory=time.monotonic, init=False)
    _left: list[str] = field(default_factory=list, init=False)
    _begun: dict[int, str] = field(default_factory=dict, init=False)
    _enough: threading.Event = field(default_factory=threading.Event, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _listed_ids: set[str] = field(default_factory=set, init=False)
    _unusable: set[str] = field(default_factory=set, init=False)
    _pause_seconds: float = field(default=0.0, init=False)
    _ends: int = field(default=0, init=False)
    _answered: int = field(default=0, init=False)
    _outages: int = field(default=0, init=False)

    def run(self) -> Polled:
        """Poll all connections, beginning where the last poll ended."""
        order = in_turn(self.rules, self.cursor.position)
        self._left = list(order)
        scheduler = Scheduler(
            {place: self._poll(place) for place in range(len(order))}, threads=self.threads
        )
        answers: dict[str, Answer] = {}
        errors: dict[str, BaseException] = {}
        for finished in scheduler.until(self._began + self.seconds + STRAGGLERS_SECONDS):
            if finished.error is not None:
                errors[self._begun[finished.key]] = finished.error
            elif finished.result is not None:
                answers[self._begun[finished.key]] = finished.result
        scheduler.halt()
        # One that is still being polled had its turn. Slow connections must not delay the others.
        begun = set(self._begun.values())
        left_out = next((each for each in order if each not in begun), "")
        # A tick that could poll nothing leaves the cursor as it is.
        position = left_out if begun else self.cursor.position
        return Polled(answers, errors, self._unusable, position, self._pause_seconds)

    # --- in the threads

    def _poll(self, place: int) -> Task[Answer | None]:
        """Poll the connection whose turn it is. None if there was no time to begin."""
        connection_id = self._next(place)
        if connection_id is None:
            return None
        rules, mark = self.rules[connection_id], self.cursor.mark(connection_id)
        try:
            with waiting_until(self._began + self.seconds):
                answer = self._answer(connection_id, rules, mark)
        except NoTurnError as error:
            self._note_end(place, error)
            return None
        except ApiError as error:
            # Not retried: the next tick comes soon enough.
            self._note_error(error)
            raise
        return answer if self._has_room(place, count_ended(rules, mark, answer)) else None
        yield  # A task is a generator, though this one never waits.

    def _next(self, place: int) -> str | None:
        """Return the connection to poll, and note that it has its turn."""
        with self._lock:
            if self._enough.is_set() or time.monotonic() > self._began + self.seconds:
                return None
            is_suspect = self._outages >= OUTAGE_AFTER and not self._answered
            at = random.randrange(len(self._left)) if is_suspect else 0  # noqa: S311 - no secret
            self._begun[place] = self._left.pop(at)
            return self._begun[place]

    def _answer(self, connection_id: str, rules: ConnectionRules, mark: Mark | None) -> Answer:
        answer = self._read(connection_id, rules, mark)
        if not needs_history(rules, mark, answer, self.now):
            return answer
        history = self.history(connection_id, answer, count_ended(rules, mark, answer))
        answer = replace(answer, history=history)
        is_cut_off = mark is None and len(answer.listed) >= FIRST_PAGE
        if not (is_cut_off and rules.deferred):
            return answer
        return self._with_deferred(connection_id, answer)

    def _read(self, connection_id: str, rules: ConnectionRules, mark: Mark | None) -> Answer:
        listed = self._listed(connection_id, FIRST_PAGE)
        if mark is None:
            return self._first_poll(connection_id, rules, listed)
        if len(listed) >= FIRST_PAGE and not reaches_back(mark, listed):
            listed = self._listed(connection_id, MAX_CATCH_UP)
        missing = missing_open(mark, listed)
        return Answer(listed, self._syncs(connection_id, missing))

    def _first_poll(
        self, connection_id: str, rules: ConnectionRules, listed: Sequence[Sync]
    ) -> Answer:
        """Read the syncs to replay, and those that are running below them in the list."""
        if len(listed) < FIRST_PAGE:
            return Answer(listed)
        if sum(sync.is_over for sync in listed) < rules.replay:
            # Running syncs are in the list too.
            listed = self._listed(connection_id, rules.replay + FIRST_PAGE)
        ids = {sync.id for sync in listed}
        running = self._listed(connection_id, MAX_OPEN, "running")
        return Answer(listed, {s.id: s for s in running if s.id not in ids and not s.is_over})

    def _with_deferred(self, connection_id: str, answer: Answer) -> Answer:
        """Add the unreported deferred syncs that the first list does not hold."""
        missing = missing_deferred(answer)
        if len(missing) > FIRST_PAGE:
            listed = self._listed(connection_id, MAX_CATCH_UP)
            answer = replace(answer, listed=listed)
            missing = missing_deferred(answer)
        others = self._syncs(connection_id, missing)
        return replace(answer, others={**answer.others, **others})

    def _listed(self, connection_id: str, limit: int, status: str | None = None) -> Sequence[Sync]:
        per_page = min(limit, MAX_PAGE_SIZE)
        syncs = self.api.list_syncs(connection_id, status=status, per_page=per_page, limit=limit)
        self._listed_ids.add(connection_id)
        # A sync that begins between two pages moves the last sync of the first page to the second.
        usable = {sync.id: sync for sync in syncs if sync.has_usable_id}
        if all(sync.has_usable_id for sync in syncs):
            return list(usable.values())
        self._unusable.add(connection_id)
        is_cut_off = len(syncs) >= limit and limit < MAX_PAGE_SIZE
        # The syncs without a usable id must not hide the older ones.
        return (
            self._listed(connection_id, MAX_PAGE_SIZE, status)
            if is_cut_off
            else list(usable.values())
        )

    def _syncs(self, connection_id: str, sync_ids: Sequence[str]) -> dict[str, Sync | None]:
        """Return syncs by id. None for one that neither its details nor the list show."""
        found = {each: self._details(connection_id, each) for each in sync_ids}
        if None not in found.values():
            return found
        listed = {sync.id: sync for sync in self._listed(connection_id, MAX_CATCH_UP)}
        return {each: sync or listed.get(each) for each, sync in found.items()}

    def _details(self, connection_id: str, sync_id: str) -> Sync | None:
        try:
            return self.api.get_sync(connection_id, sync_id)
        except StatusError as error:
            if not is_unresolved(error):
                raise
            return None
        except UnexpectedResponseError:
            # The list may be readable, and a broken sync must not hide the others.
            return None

    def _has_room(self, place: int, ends: int) -> bool:
        """Whether the tick can report so many more syncs. If not, the connection keeps its turn."""
        with self._lock:
            self._answered += 1
            if ends and self._ends >= MAX_ENDS:
                del self._begun[place]
                return False
            self._ends += ends
            if self._ends >= MAX_ENDS:
                self._enough.set()
            return True

    def _note_end(self, place: int, error: NoTurnError) -> None:
        """Note that no more requests can be sent in time. The connection keeps its turn."""
        with self._lock:
            self._pause_seconds = max(self._pause_seconds, error.pause_seconds)
            self._enough.set()
            if self._begun[place] not in self._listed_ids:
                del self._begun[place]

    def _note_error(self, error: ApiError) -> None:
        with self._lock:
            self._outages += is_outage(error)
            if self._outages >= 2 * OUTAGE_AFTER and not self._answered:
                self._enough.set()

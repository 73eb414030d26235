"""The requests of a poll for each connection."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import pytest

from dagster_rudderstack.api import throttle
from dagster_rudderstack.api.models import Sync
from dagster_rudderstack.api.throttle import NoTurnError
from dagster_rudderstack.errors import (
    ApiError,
    AuthenticationError,
    NotFoundError,
    StatusError,
    TransportError,
    UnexpectedResponseError,
)
from dagster_rudderstack.sensor import poll
from dagster_rudderstack.sensor.cursor import Cursor, Mark, connection_key, digest
from dagster_rudderstack.sensor.detect import (
    Answer,
    ConnectionRules,
    History,
    RecordedSync,
    missing_deferred,
    missing_open,
    unhandled,
)
from dagster_rudderstack.sensor.limits import (
    FIRST_PAGE,
    MAX_CATCH_UP,
    MAX_ENDS,
    MAX_OPEN,
    OUTAGE_AFTER,
)
from dagster_rudderstack.sensor.poll import Poll, Polled, is_outage
from dagster_rudderstack.settings import MAX_PAGE_SIZE

NOW = 1_000_000.0
FIRST = ("list", "crm", None, FIRST_PAGE, FIRST_PAGE)
RUNNING = ("list", "crm", "running", MAX_OPEN, MAX_OPEN)
CATCH_UP = ("list", "crm", None, MAX_PAGE_SIZE, MAX_CATCH_UP)
DEFERRED = RecordedSync(deferred=True)


def over(name: str) -> Sync:
    at = datetime(2026, 1, 5, tzinfo=timezone.utc)
    return Sync(id=name, status="succeeded", started_at=at, finished_at=at)


def runs(name: str) -> Sync:
    return Sync(id=name, status="running")


def many(count: int, prefix: str = "s") -> list[Sync]:
    """Return syncs that are over, newest first."""
    return [over(f"{prefix}{number}") for number in range(count, 0, -1)]


def failing(status: int, kind: type[StatusError] = StatusError) -> ApiError:
    return kind("Answer.", method="GET", path="/x", status_code=status)


@dataclass
class ListedApi:
    """An API that has some syncs of each connection, or an error."""

    syncs: Sequence[Sync] | BaseException = ()
    details: dict[str, Sync] = field(default_factory=dict)
    unknown: ApiError = field(default_factory=lambda: failing(404, NotFoundError))
    errors: dict[str, BaseException] = field(default_factory=dict)
    requests: list[tuple[object, ...]] = field(default_factory=list)

    def get_sync(self, connection_id: str, sync_id: str) -> Sync:
        """Return one of the syncs that have details."""
        self.requests.append(("get", connection_id, sync_id))
        if sync_id not in self.details:
            raise self.unknown
        return self.details[sync_id]

    def list_syncs(
        self, connection_id: str, *, status: str | None = None, per_page: int, limit: int
    ) -> list[Sync]:
        """Return the newest syncs, all or those with a status."""
        self.requests.append(("list", connection_id, status, per_page, limit))
        error = self.errors.get(connection_id, self.syncs)
        if isinstance(error, BaseException):
            raise error
        assert not isinstance(self.syncs, BaseException)
        return [sync for sync in self.syncs if status in (None, sync.status)][:limit]


@dataclass
class Asked:
    """A poll of one connection, and its reads of Dagster's storage."""

    api: ListedApi
    rules: ConnectionRules = field(default_factory=ConnectionRules)
    mark: Mark | None = None
    known: History = field(default_factory=History)
    history_requests: list[tuple[str, Answer, int]] = field(default_factory=list)

    def history(self, connection_id: str, answer: Answer, ended: int) -> History:
        """Return what Dagster's storage has, and keep the parameters."""
        self.history_requests.append((connection_id, answer, ended))
        return self.known

    def run(self) -> Answer:
        """Poll the connection, and return its answer."""
        marks = {connection_key("crm"): self.mark} if self.mark else {}
        polled = Poll(
            self.api,
            {"crm": self.rules},
            Cursor("", marks),
            self.history,
            threads=0,
            seconds=60,
            now=NOW,
        ).run()
        assert polled.errors == {}
        return polled.answers["crm"]


def names(syncs: Sequence[Sync]) -> list[str]:
    return [sync.id for sync in syncs]


def handled(*ids: str, **fields: object) -> Mark:
    return Mark(tuple(digest(name) for name in ids), **fields)  # type: ignore[arg-type]


# --- the first poll of a connection


def test_first_poll__short_list() -> None:
    """A list that is shorter than a page has all syncs, so there is no second request."""
    asked = Asked(ListedApi(many(FIRST_PAGE - 1)))

    answer = asked.run()

    assert asked.api.requests == [FIRST]
    assert (len(answer.listed), answer.others, answer.history) == (FIRST_PAGE - 1, {}, None)
    assert asked.history_requests == []


def test_first_poll__full_page() -> None:
    """After a full page, the running syncs are listed, and those that the page lacks are added."""
    listed = [runs("top"), *many(FIRST_PAGE), runs("below"), over("old")]
    asked = Asked(ListedApi(listed))

    answer = asked.run()

    assert asked.api.requests == [FIRST, RUNNING]
    assert names(answer.listed) == names(listed[:FIRST_PAGE])
    assert answer.others == {"below": runs("below")}


def test_first_poll__replay() -> None:
    """If a page is too short for the syncs to replay, more are listed, with room for the running
    ones."""
    asked = Asked(ListedApi([*many(300)]), ConnectionRules(replay=20))

    answer = asked.run()

    assert asked.api.requests == [FIRST, ("list", "crm", None, 30, 30), RUNNING]
    assert len(answer.listed) == 30


def test_first_poll__replay_within_a_page() -> None:
    """If a page has the syncs to replay, no more are listed."""
    asked = Asked(ListedApi(many(300)), ConnectionRules(replay=FIRST_PAGE))

    asked.run()

    assert asked.api.requests == [FIRST, RUNNING]


def test_first_poll__sync_ends_meanwhile() -> None:
    """A sync that was listed as running and has ended counts as past, and is not read."""

    class Ending(ListedApi):
        def list_syncs(
            self, connection_id: str, *, status: str | None = None, per_page: int, limit: int
        ) -> list[Sync]:
            listed = super().list_syncs(connection_id, per_page=per_page, limit=limit)
            return [*listed, over("ended")] if status else listed

    assert Asked(Ending(many(FIRST_PAGE))).run().others == {}


# --- the next polls


def test_next_poll__reaches_back() -> None:
    """A page that holds a handled sync is enough."""
    asked = Asked(ListedApi(many(300)), mark=handled("s291"))

    answer = asked.run()

    assert asked.api.requests == [FIRST]
    assert answer.history == History()
    assert asked.history_requests == [("crm", Answer(answer.listed), 9)]


def test_next_poll__catches_up() -> None:
    """If a page has no handled sync, many more are listed."""
    asked = Asked(ListedApi(many(300)), mark=handled("s290"))

    answer = asked.run()

    assert asked.api.requests == [FIRST, CATCH_UP]
    assert len(answer.listed) == 300


def test_next_poll__short_list() -> None:
    """A list that is shorter than a page has all syncs."""
    asked = Asked(ListedApi(many(FIRST_PAGE - 1)), mark=handled("gone"))

    asked.run()

    assert asked.api.requests == [FIRST]


def test_next_poll__open_syncs() -> None:
    """An open sync that is not listed is read. None means that it does not exist any more."""
    mark = handled("a", open={"top": 0, "below": 0, "gone": 0})
    asked = Asked(ListedApi([runs("top"), over("a")], {"below": runs("below")}), mark=mark)

    answer = asked.run()

    assert asked.api.requests == [FIRST, ("get", "crm", "below"), ("get", "crm", "gone"), CATCH_UP]
    assert answer.others == {"below": runs("below"), "gone": None}


@pytest.mark.parametrize(
    "unknown",
    [
        failing(404, NotFoundError),
        failing(500),
        UnexpectedResponseError("Broken.", method="GET", path="/x"),
    ],
)
def test_next_poll__details_unavailable(unknown: ApiError) -> None:
    """A sync without details, or with broken ones, is looked for in the list.
    One that the list does not show either does not exist any more."""
    mark = handled("s300", open={"s7": 0, "gone": 0})
    asked = Asked(ListedApi(many(300), unknown=unknown), mark=mark)

    assert asked.run().others == {"s7": over("s7"), "gone": None}
    assert asked.api.requests[-1] == CATCH_UP


def test_next_poll__details_fail() -> None:
    """Any other error of the details is one of the connection."""
    error = failing(503)
    api = ListedApi([over("a")], unknown=error)

    result = polled(api, ["crm"], marks={"crm": handled("a", open={"b": 0})})

    assert result.errors == {"crm": error}


def test_next_poll__nothing_new() -> None:
    """If nothing is new, Dagster's storage is not read."""
    asked = Asked(ListedApi(many(3)), mark=handled("s3"))

    assert asked.run().history is None
    assert asked.history_requests == []


def test_next_poll__sync_listed_twice() -> None:
    """A sync that moved to the next page between two requests counts once."""
    asked = Asked(ListedApi([over("b"), over("a"), over("a")]))

    assert names(asked.run().listed) == ["b", "a"]


# --- deferred syncs at the first poll


def test_deferred__below_the_page() -> None:
    """A few unreported deferred syncs below the page are read one by one."""
    recorded = {
        "s300": DEFERRED,
        "s1": DEFERRED,
        "reported": DEFERRED,
        "waited": RecordedSync(),
        "running": DEFERRED,
        "gone": DEFERRED,
    }
    known = History(frozenset({"reported"}), recorded=recorded)
    asked = Asked(
        ListedApi([*many(300), runs("running")], {"s1": over("s1")}),
        ConnectionRules(deferred=True),
        known=known,
    )

    answer = asked.run()

    assert asked.api.requests == [
        *(FIRST, RUNNING, ("get", "crm", "s1"), ("get", "crm", "gone")),
        CATCH_UP,
    ]
    assert answer.others == {"running": runs("running"), "s1": over("s1"), "gone": None}
    assert answer.history == known
    assert len(answer.listed) == FIRST_PAGE


def test_deferred__as_many_as_a_page() -> None:
    """As many deferred syncs as a page has are still read one by one."""
    recorded = {f"s{number}": DEFERRED for number in range(1, FIRST_PAGE + 1)}
    asked = Asked(
        ListedApi(many(300)), ConnectionRules(deferred=True), known=History(recorded=recorded)
    )

    answer = asked.run()

    assert [request[0] for request in asked.api.requests] == [
        *("list", "list"),
        *["get"] * FIRST_PAGE,
        "list",
    ]
    assert answer.others == {name: over(name) for name in recorded}


def test_deferred__many() -> None:
    """Many deferred syncs are looked for in a long list, and those that it does not have are
    read."""
    recorded = {f"s{number}": DEFERRED for number in range(1, FIRST_PAGE + 2)}
    asked = Asked(
        ListedApi(many(300), {"old": over("old")}),
        ConnectionRules(deferred=True),
        known=History(recorded={**recorded, "old": DEFERRED}),
    )

    answer = asked.run()

    assert asked.api.requests == [FIRST, RUNNING, CATCH_UP, ("get", "crm", "old")]
    assert len(answer.listed) == 300
    assert answer.others == {"old": over("old")}


@pytest.mark.parametrize(
    ("deferred", "mark", "count"),
    [
        (False, None, 300),
        (True, handled("s300"), 300),
        (True, None, FIRST_PAGE - 1),
    ],
)
def test_deferred__not_looked_for(deferred: bool, mark: Mark | None, count: int) -> None:
    """Deferred syncs below the page are looked for only at the first poll of a connection that has
    some, and only if the page is full."""
    asked = Asked(
        ListedApi([runs("new"), *many(count)]),
        ConnectionRules(deferred=deferred),
        mark,
        History(recorded={"old": DEFERRED}),
    )
    if count < FIRST_PAGE:
        asked.api.syncs = asked.api.syncs[1:]  # type: ignore[index]

    asked.run()

    assert not [request for request in asked.api.requests if request[0] == "get"]


def test_missing_deferred() -> None:
    """A deferred sync is missing if it is neither reported nor part of the answer."""
    recorded = dict.fromkeys(["listed", "other", "reported", "missing"], DEFERRED)
    history = History(frozenset({"reported"}), recorded={**recorded, "waited": RecordedSync()})
    answer = Answer([over("listed")], {"other": None}, history)

    assert missing_deferred(answer) == ["missing"]
    assert missing_deferred(Answer([over("listed")])) == []


def test_missing_open__first_poll() -> None:
    """At the first poll no sync is open."""
    assert missing_open(None, [over("a")]) == []


def test_unhandled() -> None:
    """Unhandled syncs that have ended come before running ones."""
    answer = Answer([runs("d"), over("c"), over("b"), over("a")], {"o": runs("o"), "g": None})

    assert names(unhandled(ConnectionRules(), handled("b"), answer)) == ["c", "d", "o"]
    assert names(unhandled(ConnectionRules(replay=1), None, answer)) == ["c", "d", "o"]


# --- many connections


def polled(
    api: ListedApi,
    connections: Sequence[str],
    *,
    position: str = "",
    seconds: float = 60,
    threads: int = 0,
    history: Callable[[str, Answer, int], History] = lambda *_: History(),
    marks: dict[str, Mark] | None = None,
) -> Polled:
    """Poll some connections one after the other."""
    rules = dict.fromkeys(connections, ConnectionRules())
    return Poll(
        api,
        rules,
        Cursor(position, {connection_key(name): mark for name, mark in (marks or {}).items()}),
        history,
        threads=threads,
        seconds=seconds,
        now=NOW,
    ).run()


def asked_for(api: ListedApi) -> list[object]:
    return [request[1] for request in api.requests]


def test_order() -> None:
    """A poll begins with the connection where the last one stopped, and polls each one once."""
    api = ListedApi()

    result = polled(api, ["c", "a", "b"], position="b")

    assert asked_for(api) == ["b", "c", "a"]
    assert sorted(result.answers) == ["a", "b", "c"]
    assert (result.errors, result.position, result.pause_seconds) == ({}, "", 0.0)


def test_out_of_time() -> None:
    """A poll without time sends no request, and the next one begins with the same connection."""
    api = ListedApi()

    result = polled(api, ["a", "b"], position="b", seconds=-1)

    assert api.requests == []
    assert (result.answers, result.errors, result.position) == ({}, {}, "b")


def test_out_of_time__no_position() -> None:
    """A poll without time leaves an empty position as it is."""
    assert polled(ListedApi(), ["a", "b"], seconds=-1).position == ""


def test_request_times() -> None:
    """A request waits for its turn at most until the end of the poll."""

    class Asking(ListedApi):
        def list_syncs(
            self, connection_id: str, *, status: str | None = None, per_page: int, limit: int
        ) -> list[Sync]:
            give_up_at.append(throttle._give_up_at.get() - time.monotonic())
            return super().list_syncs(connection_id, status=status, per_page=per_page, limit=limit)

    give_up_at: list[float] = []

    result = polled(Asking(), ["a"], seconds=5)

    assert list(result.answers) == ["a"]
    assert 0 < give_up_at[0] <= 5


def test_pause__longer_than_the_poll() -> None:
    """A pause that is longer than the poll ends it, and the next poll begins with the same
    connection."""
    api = ListedApi(errors={"b": NoTurnError(90.0)})

    result = polled(api, ["a", "b", "c"])

    assert asked_for(api) == ["a", "b"]
    assert list(result.answers) == ["a"]
    assert (result.errors, result.position, result.pause_seconds) == ({}, "b", 90.0)


def test_pause__after_the_list() -> None:
    """If the pause begins after the syncs of a connection were listed, the next poll begins with
    another connection."""

    class Pausing(ListedApi):
        def get_sync(self, connection_id: str, sync_id: str) -> Sync:  # noqa: ARG002
            raise NoTurnError(30.0)

    api = Pausing()

    result = polled(api, ["a", "b", "c"], marks={"b": Mark(open={"gone": 0})})

    assert asked_for(api) == ["a", "b"]
    assert (list(result.answers), result.position) == (["a"], "c")
    assert result.pause_seconds == 30.0


@pytest.mark.parametrize("extra", [0, 1])
def test_max_ends(extra: int) -> None:
    """A poll begins no more connections once as many syncs have ended as a tick may report."""
    per_connection = FIRST_PAGE - 1
    api = ListedApi(many(per_connection))
    connections = [f"c{number:03}" for number in range(100)]

    result = polled(api, connections, marks=dict.fromkeys(connections, handled("gone")))

    begun = -(-MAX_ENDS // per_connection)
    assert len(result.answers) == begun
    assert result.position == connections[begun]


def test_max_ends__exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly as many ended syncs as a tick may report end the poll."""
    monkeypatch.setattr(poll, "MAX_ENDS", 6)
    api = ListedApi(many(3))

    result = polled(api, list("abcd"), marks=dict.fromkeys("abcd", handled("gone")))

    assert (sorted(result.answers), result.position) == (["a", "b"], "c")


def test_max_ends__at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection whose answer comes after the limit is reached is left out. It has the first turn
    of the next poll."""
    monkeypatch.setattr(poll, "MAX_ENDS", 6)
    together = threading.Barrier(4)

    class Waiting(ListedApi):
        def list_syncs(self, *args: Any, **options: Any) -> list[Sync]:
            together.wait(10)
            return super().list_syncs(*args, **options)

    marks = dict.fromkeys("abcd", handled("gone"))
    result = polled(Waiting(many(4)), list("abcd"), marks=marks, threads=4)

    left_out = sorted({*"abcd"} - {*result.answers})
    assert len(result.answers) == 2
    assert result.position == left_out[0]


def test_errors__by_connection() -> None:
    """An error belongs to its connection, and the others are polled."""
    error = failing(404, NotFoundError)
    api = ListedApi(errors={"b": error})

    result = polled(api, ["a", "b", "c"])

    assert result.errors == {"b": error}
    assert sorted(result.answers) == ["a", "c"]
    assert result.outage is None


def test_errors__unexpected() -> None:
    """An error that is not RudderStack's belongs to its connection too."""
    bug = RuntimeError("bug")

    def history(*_: object) -> History:
        raise bug

    result = polled(ListedApi(many(1)), ["a"], history=history, marks={"a": handled("gone")})

    assert result.errors == {"a": bug}


# --- outages


def unreachable() -> ApiError:
    return TransportError("Refused.", method="GET", path="/x", request_sent=False)


def test_outage__gives_up() -> None:
    """A poll ends when twice as many connections have failed as raise a suspicion."""
    api = ListedApi(unreachable())
    connections = [f"c{number:04}" for number in range(1000)]

    result = polled(api, connections)

    assert len(api.requests) == 2 * OUTAGE_AFTER
    assert len(result.errors) == 2 * OUTAGE_AFTER
    assert isinstance(result.outage, TransportError)


def test_outage__random_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once as many connections have failed as raise a suspicion, the next ones are drawn at
    random."""
    drawn: list[int] = []

    def last(count: int) -> int:
        drawn.append(count)
        return count - 1

    monkeypatch.setattr("dagster_rudderstack.sensor.poll.random.randrange", last)
    api = ListedApi(unreachable())
    connections = [f"c{number:04}" for number in range(1000)]

    polled(api, connections)

    assert asked_for(api) == connections[:OUTAGE_AFTER] + connections[: -OUTAGE_AFTER - 1 : -1]
    assert drawn == [1000 - OUTAGE_AFTER - number for number in range(OUTAGE_AFTER)]


def test_outage__one_answer_is_enough() -> None:
    """If one connection has answered, the poll goes on in order."""
    connections = [f"c{number:04}" for number in range(200)]
    api = ListedApi(errors=dict.fromkeys(connections[1:], unreachable()))

    result = polled(api, connections)

    assert asked_for(api) == connections
    assert result.outage is None


def test_outage__removed_connections() -> None:
    """Connections that do not exist raise no suspicion."""
    connections = [f"c{number:04}" for number in range(200)]
    api = ListedApi(failing(404, NotFoundError))

    result = polled(api, connections)

    assert asked_for(api) == connections
    assert result.outage is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (failing(401, AuthenticationError), True),
        (failing(500), True),
        (unreachable(), True),
        (failing(404, NotFoundError), False),
        (failing(403), False),
        (RuntimeError("bug"), False),
    ],
)
def test_is_outage(error: BaseException, expected: bool) -> None:
    """A wrong token and a temporary error concern RudderStack, and not one connection."""
    assert is_outage(error) is expected
    result = Polled({}, {"a": failing(403), "b": error}, (), "")
    assert result.outage is (error if expected else None)

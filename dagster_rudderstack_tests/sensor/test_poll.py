"""A poll reads as many connections as there is time for, and the next poll continues there."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from dagster_rudderstack.api.client import ClientSettings, RudderStackClient
from dagster_rudderstack.errors import NotFoundError, StatusError
from dagster_rudderstack.sensor.cursor import Cursor
from dagster_rudderstack.sensor.detect import Answer, ConnectionRules, History, detect
from dagster_rudderstack.sensor.limits import FIRST_PAGE, MAX_ENDS
from dagster_rudderstack.sensor.poll import Poll, Polled
from dagster_rudderstack.settings import RequestPolicy
from dagster_rudderstack.testing import Fault, LocalRudderStack, ManualClock, SyncScript

NAMES = [f"c{number:02}" for number in range(40)]


@contextmanager
def client_of(
    server: LocalRudderStack, max_requests_per_second: float | None = None
) -> Iterator[RudderStackClient]:
    settings = ClientSettings(
        base_url=f"{server.url}/v2",
        access_token=server.access_token,
        requests=RequestPolicy(
            read_timeout_seconds=30, max_requests_per_second=max_requests_per_second
        ),
    )
    with RudderStackClient(settings) as client:
        yield client


def poll(
    server: LocalRudderStack,
    names: list[str],
    cursor: Cursor | None = None,
    *,
    seconds: float = 30,
    threads: int = 4,
    history: Callable[[str, Answer, int], History] = lambda *_: History(),
) -> Polled:
    with client_of(server) as client:
        return Poll(
            client,
            dict.fromkeys(names, ConnectionRules()),
            cursor or Cursor(),
            history,
            threads=threads,
            seconds=seconds,
            now=0.0,
        ).run()


@pytest.fixture(autouse=True)
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A poll whose time is up waits half a second for the requests that are being sent."""
    monkeypatch.setattr("dagster_rudderstack.sensor.poll.STRAGGLERS_SECONDS", 0.5)


def polled_connections(server: LocalRudderStack) -> list[str]:
    return [r.connection_id or "" for r in server.requests if r.operation == "list_syncs"]


def test_poll__enough_time(server: LocalRudderStack) -> None:
    """With enough time, each connection is polled once, with one request."""
    for name in NAMES:
        server.add_connection(name)

    polled = poll(server, NAMES)

    assert sorted(polled.answers) == NAMES
    assert polled.position == ""
    assert sorted(polled_connections(server)) == NAMES
    assert len(server.requests) == len(NAMES)


def test_poll__out_of_time(server: LocalRudderStack) -> None:
    """Polls that run out of time read all connections once before they read one again."""
    server.latency_seconds = 0.05
    for name in NAMES:
        server.add_connection(name)
    cursor = Cursor()
    polls = 0
    while len(server.requests) < len(NAMES):
        polls += 1
        polled = poll(server, NAMES, cursor, seconds=0.2, threads=2)
        cursor = detect(
            cursor,
            polled.answers,
            dict.fromkeys(NAMES, ConnectionRules()),
            now=0.0,
            position=polled.position,
        ).cursor

    # The requests, not the answers: on a busy machine an answer may come too late for its poll.
    asked = [request.connection_id or "" for request in server.requests]
    assert sorted(asked[: len(NAMES)]) == NAMES
    assert polls > 1


def test_poll__slow_answers(server: LocalRudderStack) -> None:
    """A poll ends soon after its time is up, even if nothing has answered. The next poll begins
    after the connections that had their turn."""
    server.latency_seconds = 20
    for name in NAMES:
        server.add_connection(name)
    began = time.monotonic()

    polled = poll(server, NAMES, seconds=0.3, threads=2)

    assert time.monotonic() - began < 5
    assert polled.answers == {}
    assert polled.position == "c02"


def test_poll__slow_connections(server: LocalRudderStack) -> None:
    """Connections that do not answer have one turn. The next poll begins after them."""
    for name in NAMES:
        server.add_connection(name)
    for name in ("c00", "c01"):
        server.add_fault(Fault("slow", connection_id=name, seconds=20, times=None))
    first = poll(server, NAMES, seconds=0.3, threads=2)
    cursor = Cursor(position=first.position)

    second = poll(server, NAMES, cursor, seconds=3, threads=4)

    assert first.position == "c02"
    assert sorted(second.answers) == NAMES[2:]


def test_poll__missing_connection(server: LocalRudderStack) -> None:
    """The error of a missing connection is returned together with the answers of the others."""
    for name in NAMES:
        server.add_connection(name)
    server.remove_connection("c07")

    polled = poll(server, NAMES)

    assert sorted(polled.answers) == [name for name in NAMES if name != "c07"]
    assert isinstance(polled.errors["c07"], NotFoundError)
    assert polled.outage is None


def test_poll__transient_error(server: LocalRudderStack) -> None:
    """A poll does not retry a failed request. The next poll reads the connection."""
    server.add_connection("a")
    server.add_connection("b")
    server.add_fault(Fault("status", connection_id="b", status=502))

    first, second = poll(server, ["a", "b"]), poll(server, ["a", "b"])

    assert isinstance(first.errors["b"], StatusError)
    assert list(first.answers) == ["a"]
    assert sorted(second.answers) == ["a", "b"]


def test_poll__outage(server: LocalRudderStack) -> None:
    """If every request fails, a poll of 1,000 connections gives up after fewer than 150."""
    server.add_fault(Fault("status", status=503, times=None))
    names = [f"c{number:04}" for number in range(1000)]

    polled = poll(server, names)

    assert polled.outage is not None
    assert len(server.requests) < 150


def test_poll__many_missing_connections(server: LocalRudderStack) -> None:
    """100 missing connections are not an outage: the poll reads the connection after them."""
    server.add_connection("z")

    polled = poll(server, [*(f"c{number:03}" for number in range(100)), "z"])

    assert list(polled.answers) == ["z"]
    assert len(polled.errors) == 100


def test_poll__many_failing_connections(server: LocalRudderStack) -> None:
    """100 connections that fail as in an outage are not one: the poll reads the connections after
    them."""
    broken = [f"a{number:03}" for number in range(100)]
    working = [f"z{number:03}" for number in range(100)]
    for name in (*broken, *working):
        server.add_connection(name)
    for name in broken:
        server.add_fault(Fault("status", connection_id=name, status=500, times=None))

    polled = poll(server, [*broken, *working])

    assert sorted(polled.answers) == working
    assert sorted(polled.errors) == broken
    assert polled.outage is None
    assert polled.position == ""
    assert len(server.requests) == len(broken) + len(working)


def test_poll__low_request_rate(server: LocalRudderStack) -> None:
    """Connections that the request rate leaves no time for keep their turn for the next poll."""
    for name in NAMES:
        server.add_connection(name)
    with client_of(server, max_requests_per_second=5) as client:
        polled = Poll(
            client,
            dict.fromkeys(NAMES, ConnectionRules()),
            Cursor(),
            lambda *_: History(),
            threads=4,
            seconds=1,
            now=0.0,
        ).run()

    assert 4 <= len(polled.answers) <= 6
    # Waiting threads do not get their turns in the order in which they polled for them.
    assert polled.position == next(name for name in NAMES if name not in polled.answers)
    assert (polled.pause_seconds, polled.errors) == (0, {})


def test_poll__older_pages(server: LocalRudderStack, clock: ManualClock) -> None:
    """Older pages are read only if the first page holds no handled sync."""
    server.add_connection("crm", script=SyncScript(duration_seconds=1))

    def sync(count: int) -> None:
        for _ in range(count):
            server.start_sync("crm")
            clock.advance(1)

    def tick(cursor: Cursor) -> tuple[Cursor, int, int]:
        server.clear_requests()
        polled = poll(server, ["crm"], cursor)
        tick = detect(cursor, polled.answers, {"crm": ConnectionRules()}, now=0.0)
        return tick.cursor, len(tick.findings), len(server.requests)

    sync(150)
    cursor, first, first_requests = tick(Cursor())
    sync(FIRST_PAGE - 1)
    cursor, second, second_requests = tick(cursor)
    sync(120)
    cursor, third, third_requests = tick(cursor)

    # The second request of the first poll is for running syncs below the page.
    assert (first, first_requests) == (0, 2)
    assert (second, second_requests) == (FIRST_PAGE - 1, 1)
    assert (third, third_requests) == (120, 4)


def test_poll__many_finished_syncs(server: LocalRudderStack, clock: ManualClock) -> None:
    """After a long pause, each poll ends after about `MAX_ENDS` finished syncs."""
    names = [f"c{number:03}" for number in range(60)]
    cursor = Cursor()
    for name in names:
        server.add_connection(name)
    polled = poll(server, names)
    rules = dict.fromkeys(names, ConnectionRules())
    cursor = detect(cursor, polled.answers, rules, now=0.0).cursor
    for name in names:
        for _ in range(20):
            server.start_sync(name)
    clock.advance(1)

    found = []
    for _ in range(10):
        polled = poll(server, names, cursor, threads=1)
        tick = detect(cursor, polled.answers, rules, now=0.0, position=polled.position)
        cursor = tick.cursor
        found.append(len(tick.findings))
        if not polled.position:
            break

    assert sum(found) == 60 * 20
    assert max(found) < MAX_ENDS + 20
    assert len(found) == 3

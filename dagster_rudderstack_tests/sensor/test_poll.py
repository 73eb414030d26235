"""A round asks as many connections as there is time for, and the next one goes on where it
stopped."""

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


def ask(
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
def brief_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that hang are not waited for as long as in real life."""
    monkeypatch.setattr("dagster_rudderstack.sensor.poll.STRAGGLERS_SECONDS", 0.5)


def asked_about(server: LocalRudderStack) -> list[str]:
    return [r.connection_id or "" for r in server.requests if r.operation == "list_syncs"]


def test_all_are_asked(server: LocalRudderStack) -> None:
    """With enough time each connection is asked once, with one request, and none is left."""
    for name in NAMES:
        server.add_connection(name)

    asked = ask(server, NAMES)

    assert sorted(asked.answers) == NAMES
    assert asked.position == ""
    assert sorted(asked_about(server)) == NAMES
    assert len(server.requests) == len(NAMES)


def test_out_of_time(server: LocalRudderStack) -> None:
    """Rounds that are cut short get through all connections in turn, none twice before all once."""
    server.latency_seconds = 0.05
    for name in NAMES:
        server.add_connection(name)
    cursor = Cursor()
    seen: list[str] = []
    rounds = 0
    while len(seen) < len(NAMES):
        rounds += 1
        asked = ask(server, NAMES, cursor, seconds=0.2, threads=2)
        seen += asked.answers
        cursor = detect(
            cursor,
            asked.answers,
            dict.fromkeys(NAMES, ConnectionRules()),
            now=0.0,
            position=asked.position,
        ).cursor

    assert sorted(seen[: len(NAMES)]) == NAMES
    assert rounds > 1


def test_time_is_kept(server: LocalRudderStack) -> None:
    """However slow the answers, a round is over soon after its time, and says where to go on."""
    server.latency_seconds = 20
    for name in NAMES:
        server.add_connection(name)
    began = time.monotonic()

    asked = ask(server, NAMES, seconds=0.3, threads=2)

    assert time.monotonic() - began < 5
    assert asked.answers == {}
    assert asked.position == "c02"


def test_slow_connections_do_not_starve_the_others(server: LocalRudderStack) -> None:
    """Connections that never answer have their turn and no more: the next round begins after
    them."""
    for name in NAMES:
        server.add_connection(name)
    for name in ("c00", "c01"):
        server.add_fault(Fault("slow", connection_id=name, seconds=20, times=None))
    first = ask(server, NAMES, seconds=0.3, threads=2)
    cursor = Cursor(position=first.position)

    second = ask(server, NAMES, cursor, seconds=3, threads=4)

    assert first.position == "c02"
    assert sorted(second.answers) == NAMES[2:]


def test_broken_connections_are_told_apart(server: LocalRudderStack) -> None:
    """The error of each broken connection comes home, beside the answers of the others."""
    for name in NAMES:
        server.add_connection(name)
    server.remove_connection("c07")

    asked = ask(server, NAMES)

    assert sorted(asked.answers) == [name for name in NAMES if name != "c07"]
    assert isinstance(asked.errors["c07"], NotFoundError)
    assert asked.outage is None


def test_a_passing_error_costs_one_round(server: LocalRudderStack) -> None:
    """A request that failed is not repeated in its round, whose time belongs to the others."""
    server.add_connection("a")
    server.add_connection("b")
    server.add_fault(Fault("status", connection_id="b", status=502))

    first, second = ask(server, ["a", "b"]), ask(server, ["a", "b"])

    assert isinstance(first.errors["b"], StatusError)
    assert list(first.answers) == ["a"]
    assert sorted(second.answers) == ["a", "b"]


def test_an_outage_is_noticed_early(server: LocalRudderStack) -> None:
    """When nothing answers, a round of a thousand connections gives up after a few dozen."""
    server.add_fault(Fault("status", status=503, times=None))
    names = [f"c{number:04}" for number in range(1000)]

    asked = ask(server, names)

    assert asked.outage is not None
    assert len(server.requests) < 150


def test_gone_connections_are_no_outage(server: LocalRudderStack) -> None:
    """A hundred connections that are gone, at the head of the line, do not hide the one that is."""
    server.add_connection("z")

    asked = ask(server, [*(f"c{number:03}" for number in range(100)), "z"])

    assert list(asked.answers) == ["z"]
    assert len(asked.errors) == 100


def test_broken_connections_that_stand_together(server: LocalRudderStack) -> None:
    """A hundred connections that fail as in an outage, at the head of the line, do not keep
    a round from the others, which answer."""
    broken = [f"a{number:03}" for number in range(100)]
    well = [f"z{number:03}" for number in range(100)]
    for name in (*broken, *well):
        server.add_connection(name)
    for name in broken:
        server.add_fault(Fault("status", connection_id=name, status=500, times=None))

    asked = ask(server, [*broken, *well])

    assert sorted(asked.answers) == well
    assert sorted(asked.errors) == broken
    assert asked.outage is None
    assert asked.position == ""
    assert len(server.requests) == len(broken) + len(well)


def test_a_pace_that_leaves_some_out(server: LocalRudderStack) -> None:
    """Connections whose turn would come after the end of a round keep it for the next one."""
    for name in NAMES:
        server.add_connection(name)
    with client_of(server, max_requests_per_second=5) as client:
        asked = Poll(
            client,
            dict.fromkeys(NAMES, ConnectionRules()),
            Cursor(),
            lambda *_: History(),
            threads=4,
            seconds=1,
            now=0.0,
        ).run()

    assert 4 <= len(asked.answers) <= 6
    # Threads that wait for a turn do not get it in the order in which they came.
    assert asked.position == next(name for name in NAMES if name not in asked.answers)
    assert (asked.pause_seconds, asked.errors) == (0, {})


def test_older_pages_are_read_only_if_needed(server: LocalRudderStack, clock: ManualClock) -> None:
    """One small page is read as long as it reaches back to what is known, and more when it does
    not."""
    server.add_connection("crm", script=SyncScript(duration_seconds=1))

    def sync(count: int) -> None:
        for _ in range(count):
            server.start_sync("crm")
            clock.advance(1)

    def tick(cursor: Cursor) -> tuple[Cursor, int, int]:
        server.clear_requests()
        asked = ask(server, ["crm"], cursor)
        tick = detect(cursor, asked.answers, {"crm": ConnectionRules()}, now=0.0)
        return tick.cursor, len(tick.findings), len(server.requests)

    sync(150)
    cursor, first, first_requests = tick(Cursor())
    sync(FIRST_PAGE - 1)
    cursor, second, second_requests = tick(cursor)
    sync(120)
    cursor, third, third_requests = tick(cursor)

    # At the first look, another one asks for what runs below the page.
    assert (first, first_requests) == (0, 2)
    assert (second, second_requests) == (FIRST_PAGE - 1, 1)
    assert (third, third_requests) == (120, 4)


def test_ends_are_bounded(server: LocalRudderStack, clock: ManualClock) -> None:
    """After a long pause one round does not bring home more than Dagster can store in time."""
    names = [f"c{number:03}" for number in range(60)]
    cursor = Cursor()
    for name in names:
        server.add_connection(name)
    asked = ask(server, names)
    rules = dict.fromkeys(names, ConnectionRules())
    cursor = detect(cursor, asked.answers, rules, now=0.0).cursor
    for name in names:
        for _ in range(20):
            server.start_sync(name)
    clock.advance(1)

    found = []
    for _ in range(10):
        asked = ask(server, names, cursor, threads=1)
        tick = detect(cursor, asked.answers, rules, now=0.0, position=asked.position)
        cursor = tick.cursor
        found.append(len(tick.findings))
        if not asked.position:
            break

    assert sum(found) == 60 * 20
    assert max(found) < MAX_ENDS + 20
    assert len(found) == 3

"""How a scheduler spends its time: what it sleeps, and how soon a halt takes effect."""

import threading
import time
from types import SimpleNamespace

import pytest

from dagster_rudderstack.sync.scheduler import Finished, Scheduler
from dagster_rudderstack.sync.task import Task
from dagster_rudderstack_tests.sync.scripted import Clock


def task(*waits: float) -> Task[str]:
    yield from waits
    return "done"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that the scheduler's own sleeps move on."""
    clock = Clock()

    def sleep(seconds: float) -> None:
        assert len(clock.waits) < 100, "it sleeps for ever"
        clock.sleep(seconds)

    fake = SimpleNamespace(monotonic=clock.monotonic, sleep=sleep)
    monkeypatch.setattr("dagster_rudderstack.sync.scheduler.time", fake)
    return clock


def without_threads(clock: Clock, *tasks: Task[str]) -> Scheduler[int, str]:
    return Scheduler(dict(enumerate(tasks)), threads=0, monotonic=clock.monotonic)


def test_without_threads__sleeps_until_the_next_task(clock: Clock) -> None:
    """Without threads, the scheduler sleeps exactly until the next task is due."""
    results = list(without_threads(clock, task(0.75), task(0.25), task(0.25)))

    assert results == [Finished(1, "done"), Finished(2, "done"), Finished(0, "done")]
    assert clock.waits == [0.25, 0.5]


def test_without_threads__looks_up(clock: Clock) -> None:
    """Without threads, no sleep is longer than a second, so that an interrupt is noticed."""
    list(without_threads(clock, task(2.5)))

    assert clock.waits == [1, 1, 0.5]


def test_without_threads__gives_up_in_time(clock: Clock) -> None:
    """Without threads, the last sleep ends when the time has come, and no more is begun then."""
    scheduler = without_threads(clock, task(60), task(60))

    assert list(scheduler.until(clock.now + 1.25)) == []
    assert clock.waits == [1, 0.25]
    assert list(scheduler.until(clock.now)) == []
    assert clock.waits == [1, 0.25]
    assert scheduler.left == 2


def test_without_threads__begins_none(clock: Clock) -> None:
    """Without threads, none is begun, the one that times the waits included."""
    before = set(threading.enumerate())
    scheduler = without_threads(clock, task(60))

    assert list(scheduler.until(clock.now + 1)) == []
    assert set(threading.enumerate()) <= before


def test_left(clock: Clock) -> None:
    """The number of tasks left falls with each result."""
    scheduler = without_threads(clock, task(), task(1))
    left = [scheduler.left]

    left += [scheduler.left for _ in scheduler]

    assert left == [2, 1, 0]


def test_a_waiting_task_costs_no_work() -> None:
    """While all tasks wait, the thread that times them sleeps too."""
    readings: list[float] = []

    def read() -> float:
        readings.append(time.monotonic())
        return readings[-1]

    list(Scheduler({"a": task(0.3), "b": task(0.2)}, threads=1, monotonic=read))

    assert len(readings) < 30


def test_halt_does_not_run_what_is_queued() -> None:
    """After a halt, tasks that are due do not take another step."""
    steps: list[float] = []

    def endless() -> Task[str]:
        while True:
            steps.append(time.monotonic())
            time.sleep(0.01)
            yield 0.0

    scheduler = Scheduler({number: endless() for number in range(100)}, threads=1)
    assert list(scheduler.until(time.monotonic() + 0.1)) == []
    halted_at = time.monotonic()

    assert scheduler.halt(seconds=10)
    assert len([at for at in steps if at > halted_at]) <= 1


def test_halt_ends_the_threads() -> None:
    """After a halt, no thread of the scheduler is left, the one that times the waits included."""
    before = set(threading.enumerate())
    scheduler = Scheduler({number: task(60) for number in range(3)}, threads=2)
    assert list(scheduler.until(time.monotonic() + 0.05)) == []
    begun = set(threading.enumerate()) - before

    assert sorted(thread.name for thread in begun) == [
        "rudderstack-0",
        "rudderstack-1",
        "rudderstack-timer",
    ]
    assert all(thread.daemon for thread in begun)
    assert scheduler.halt(seconds=10)
    for thread in begun:
        thread.join(10)
    assert not any(thread.is_alive() for thread in begun)


def test_halt_does_not_wait_unless_asked() -> None:
    """A halt returns at once if it is not given time, though a task is in a request."""
    stuck = threading.Event()

    def waits_for_an_answer() -> Task[str]:
        stuck.wait(10)
        return "late"
        yield

    scheduler = Scheduler({"stuck": waits_for_an_answer()}, threads=1)
    assert list(scheduler.until(time.monotonic() + 0.05)) == []
    began = time.monotonic()

    assert not scheduler.halt()
    assert time.monotonic() - began < 0.9
    stuck.set()


def test_an_iteration_ends_the_threads() -> None:
    """When all tasks are over, the threads of the scheduler end."""
    before = set(threading.enumerate())

    list(Scheduler({number: task(0.01) for number in range(3)}, threads=2))

    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()

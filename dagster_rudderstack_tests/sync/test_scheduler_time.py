"""How long a scheduler sleeps, and how soon a halt takes effect."""

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
    """A clock that moves on when the scheduler sleeps."""
    clock = Clock()

    def sleep(seconds: float) -> None:
        assert len(clock.waits) < 100, "it sleeps for ever"
        clock.sleep(seconds)

    fake = SimpleNamespace(monotonic=clock.monotonic, sleep=sleep)
    monkeypatch.setattr("dagster_rudderstack.sync.scheduler.time", fake)
    return clock


def without_threads(clock: Clock, *tasks: Task[str]) -> Scheduler[int, str]:
    return Scheduler(dict(enumerate(tasks)), threads=0, monotonic=clock.monotonic)


def test_no_threads__sleep(clock: Clock) -> None:
    """Without threads, the scheduler sleeps exactly until the next task is due."""
    results = list(without_threads(clock, task(0.75), task(0.25), task(0.25)))

    assert results == [Finished(1, "done"), Finished(2, "done"), Finished(0, "done")]
    assert clock.waits == [0.25, 0.5]


def test_no_threads__longest_sleep(clock: Clock) -> None:
    """Without threads, no sleep is longer than a second, so that an interrupt is noticed."""
    list(without_threads(clock, task(2.5)))

    assert clock.waits == [1, 1, 0.5]


def test_no_threads__until(clock: Clock) -> None:
    """Without threads, the last sleep ends at the given time, and no task goes on after it."""
    scheduler = without_threads(clock, task(60), task(60))

    assert list(scheduler.until(clock.now + 1.25)) == []
    assert clock.waits == [1, 0.25]
    assert list(scheduler.until(clock.now)) == []
    assert clock.waits == [1, 0.25]
    assert scheduler.left == 2


def test_no_threads__none_started(clock: Clock) -> None:
    """Without threads, no thread is started, not even the timer."""
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


def test_threads__timer_sleeps() -> None:
    """While all tasks wait, the timer thread sleeps too."""
    readings: list[float] = []

    def read() -> float:
        readings.append(time.monotonic())
        return readings[-1]

    list(Scheduler({"a": task(0.3), "b": task(0.2)}, threads=1, monotonic=read))

    assert len(readings) < 30


def test_halt__tasks_that_are_due() -> None:
    """After a halt, tasks that are due do not go on."""
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


def test_halt__ends_threads() -> None:
    """After a halt, all threads of the scheduler end, the timer too."""
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


def test_halt__without_time() -> None:
    """A halt without a time returns at once, even if a task is in the middle of a request."""
    stuck = threading.Event()

    def waits_for_an_answer() -> Task[str]:
        stuck.wait(10)
        return "late"
        yield

    scheduler = Scheduler({"stuck": waits_for_an_answer()}, threads=1)
    assert list(scheduler.until(time.monotonic() + 0.05)) == []
    began = time.monotonic()

    assert not scheduler.halt()
    assert time.monotonic() - began < 5
    stuck.set()


def test_results__threads_end() -> None:
    """When all tasks have ended, the threads of the scheduler end."""
    before = set(threading.enumerate())

    list(Scheduler({number: task(0.01) for number in range(3)}, threads=2))

    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()

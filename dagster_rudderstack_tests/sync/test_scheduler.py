"""A scheduler drives many tasks on a few threads, and the thread that iterates only waits."""

import threading
import time

import pytest

from dagster_rudderstack.sync.scheduler import Scheduler
from dagster_rudderstack.sync.task import Task


def task(result: str, *waits: float) -> Task[str]:
    yield from waits
    return result


def failing(error: BaseException) -> Task[str]:
    yield 0.0
    raise error


def results(scheduler: Scheduler[str, str]) -> dict[str, str | None]:
    return {finished.key: finished.result for finished in scheduler}


@pytest.mark.parametrize("threads", [4, 0])
def test_results__all_tasks(threads: int) -> None:
    """With 4 threads or with none, each of 1,000 tasks yields its result once."""
    scheduler = Scheduler(
        {str(n): task(f"r{n}", 0.0, 0.01, 0.0) for n in range(1000)}, threads=threads
    )

    assert results(scheduler) == {str(n): f"r{n}" for n in range(1000)}


@pytest.mark.parametrize("threads", [1, 0])
def test_results__in_order_of_completion(threads: int) -> None:
    """The result of a quick task comes before that of a slow one that began earlier."""
    quick_is_over = threading.Event()

    def quick() -> Task[str]:
        yield 0.0
        quick_is_over.set()
        return "q"

    def slow() -> Task[str]:
        while not quick_is_over.is_set():
            yield 0.001
        yield 0.01
        return "s"

    scheduler = Scheduler({"slow": slow(), "quick": quick()}, threads=threads)

    assert [finished.key for finished in scheduler] == ["quick", "slow"]


@pytest.mark.parametrize("threads", [1, 0])
def test_threads__not_used_while_waiting(threads: int) -> None:
    """One thread runs 200 tasks that wait 0.2 s each in far less than 40 s."""
    began = time.monotonic()

    results(Scheduler({str(n): task("", 0.2) for n in range(200)}, threads=threads))

    assert time.monotonic() - began < 20


def test_threads__one_at_a_time_for_each_task() -> None:
    """A task never runs in two threads at the same time."""
    busy: set[str] = set()
    overlaps: list[str] = []

    def checked(name: str) -> Task[str]:
        for _ in range(50):
            if name in busy:
                overlaps.append(name)
            busy.add(name)
            time.sleep(0)
            busy.discard(name)
            yield 0.0
        return name

    results(Scheduler({str(n): checked(str(n)) for n in range(20)}, threads=8))

    assert overlaps == []


def test_threads__limit() -> None:
    """At most as many tasks as threads run at the same time."""
    lock = threading.Lock()
    running = peak = 0

    def counted() -> Task[str]:
        nonlocal running, peak
        for _ in range(3):
            with lock:
                running += 1
                peak = max(peak, running)
            time.sleep(0.002)
            with lock:
                running -= 1
            yield 0.0
        return ""

    results(Scheduler({str(n): counted() for n in range(40)}, threads=5))

    assert peak == 5


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), SystemExit(1)], ids=repr)
def test_results__error(error: BaseException) -> None:
    """An error of any type is the result of its task, and the other tasks go on."""
    scheduler = Scheduler({"bad": failing(error), "good": task("g", 0.01)}, threads=1)

    by_key = {finished.key: finished for finished in scheduler}

    assert by_key["bad"].error is error
    assert by_key["good"].result == "g"


def test_halt() -> None:
    """A halt waits for the tasks that are running, and after it no task goes on."""
    steps = 0
    entered = threading.Event()

    def endless() -> Task[str]:
        nonlocal steps
        while True:
            steps += 1
            entered.set()
            time.sleep(0.01)
            yield 0.0

    scheduler = Scheduler({"a": endless(), "b": endless()}, threads=2)
    assert list(scheduler.until(time.monotonic() + 0.05)) == []
    entered.wait()

    assert scheduler.halt(seconds=5)
    steps_at_halt = steps
    time.sleep(0.05)
    assert steps == steps_at_halt


def test_no_threads() -> None:
    """Without threads, tasks run in the iterating thread. An error ends only its task, and an
    interrupt is raised."""
    ran_in: list[threading.Thread] = []

    def interrupted() -> Task[str]:
        ran_in.append(threading.current_thread())
        yield 0.0
        raise KeyboardInterrupt

    scheduler = Scheduler(
        {"bad": failing(ValueError("no")), "interrupted": interrupted()}, threads=0
    )
    finished = iter(scheduler)

    assert str(next(finished).error) == "no"
    with pytest.raises(KeyboardInterrupt):
        next(finished)
    assert ran_in == [threading.current_thread()]
    assert scheduler.halt()


def test_halt__stuck_task() -> None:
    """A halt returns False if a task is still in the middle of a request after the given time."""
    answer = threading.Event()

    def stuck() -> Task[str]:
        answer.wait()
        return ""
        yield

    scheduler = Scheduler({"stuck": stuck()}, threads=1)
    assert list(scheduler.until(time.monotonic() + 0.05)) == []

    assert not scheduler.halt(seconds=0.05)
    answer.set()


def test_halt__before_iteration() -> None:
    """A scheduler that is halted before anyone iterates over it runs no task."""
    ran: list[str] = []

    def never_run() -> Task[str]:
        ran.append("")
        yield 0.0
        return ""

    assert Scheduler({"a": never_run()}, threads=1).halt(seconds=1)
    assert ran == []


def test_until() -> None:
    """`until` yields the results that come before the given time, and returns then."""
    scheduler = Scheduler({"quick": task("q"), "slow": task("s", 60.0)}, threads=2)

    keys = [finished.key for finished in scheduler.until(time.monotonic() + 0.2)]

    scheduler.halt()
    assert keys == ["quick"]


def test_no_tasks() -> None:
    """Without tasks the iteration ends at once."""
    assert list(Scheduler({}, threads=4)) == []

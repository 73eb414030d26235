"""A few threads drive many jobs; the thread that waits for them can be interrupted."""

import threading
import time

import pytest

from dagster_rudderstack.sync.scheduler import Scheduler
from dagster_rudderstack.sync.task import Task


def job(result: str, *waits: float) -> Task[str]:
    yield from waits
    return result


def failing(error: BaseException) -> Task[str]:
    yield 0.0
    raise error


def results(scheduler: Scheduler[str, str]) -> dict[str, str | None]:
    return {finished.key: finished.result for finished in scheduler}


@pytest.mark.parametrize("threads", [4, 0])
def test_all_jobs_end(threads: int) -> None:
    """A thousand jobs in four threads, or in none, all come to their ends, each once."""
    scheduler = Scheduler(
        {str(n): job(f"r{n}", 0.0, 0.01, 0.0) for n in range(1000)}, threads=threads
    )

    assert results(scheduler) == {str(n): f"r{n}" for n in range(1000)}


@pytest.mark.parametrize("threads", [1, 0])
def test_ends_come_as_they_are(threads: int) -> None:
    """A quick job does not wait for a slow one that was there before."""
    is_over = threading.Event()

    def quick() -> Task[str]:
        yield 0.0
        is_over.set()
        return "q"

    def slow() -> Task[str]:
        while not is_over.is_set():
            yield 0.001
        yield 0.01
        return "s"

    scheduler = Scheduler({"slow": slow(), "quick": quick()}, threads=threads)

    assert [finished.key for finished in scheduler] == ["quick", "slow"]


@pytest.mark.parametrize("threads", [1, 0])
def test_waiting_takes_no_thread(threads: int) -> None:
    """Two hundred jobs that wait 0.2 s each take one thread far less than 40 s."""
    began = time.monotonic()

    results(Scheduler({str(n): job("", 0.2) for n in range(200)}, threads=threads))

    assert time.monotonic() - began < 20


def test_a_job_runs_in_one_thread_at_a_time() -> None:
    """No step of a job begins before the one before it has returned."""
    busy: set[str] = set()
    overlaps: list[str] = []

    def careful(name: str) -> Task[str]:
        for _ in range(50):
            if name in busy:
                overlaps.append(name)
            busy.add(name)
            time.sleep(0)
            busy.discard(name)
            yield 0.0
        return name

    results(Scheduler({str(n): careful(str(n)) for n in range(20)}, threads=8))

    assert overlaps == []


def test_threads_are_bounded() -> None:
    """Never more jobs run at once than there are threads."""
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


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), SystemExit(1)])
def test_an_error_ends_one_job(error: BaseException) -> None:
    """An error of one job, of whatever kind, is told and lets the others go on."""
    scheduler = Scheduler({"bad": failing(error), "good": job("g", 0.01)}, threads=1)

    ends = {finished.key: finished for finished in scheduler}

    assert ends["bad"].error is error
    assert ends["good"].result == "g"


def test_halt_lets_no_job_go_on() -> None:
    """After a halt no job takes another step, and the one under way is waited for."""
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
    after = steps
    time.sleep(0.05)
    assert steps == after


def test_without_threads() -> None:
    """With no threads, jobs run in the thread that iterates, and what interrupts it gets through;
    an error is the end of its job alone."""
    ran_in: list[threading.Thread] = []

    def interrupted() -> Task[str]:
        ran_in.append(threading.current_thread())
        yield 0.0
        raise KeyboardInterrupt

    scheduler = Scheduler({"bad": failing(ValueError("no")), "cut": interrupted()}, threads=0)
    ends = iter(scheduler)

    assert str(next(ends).error) == "no"
    with pytest.raises(KeyboardInterrupt):
        next(ends)
    assert ran_in == [threading.current_thread()]
    assert scheduler.halt()


def test_halt_gives_up_on_a_stuck_job() -> None:
    """A job that is stuck in a request does not hold up the one who halts."""
    stuck = threading.Event()

    def stuck_job() -> Task[str]:
        stuck.wait()
        return ""
        yield

    scheduler = Scheduler({"stuck": stuck_job()}, threads=1)
    assert list(scheduler.until(time.monotonic() + 0.05)) == []

    assert not scheduler.halt(seconds=0.05)
    stuck.set()


def test_halt_before_the_beginning() -> None:
    """A scheduler that was never asked for an end runs nothing, and can be halted."""
    ran: list[str] = []

    def noted() -> Task[str]:
        ran.append("")
        yield 0.0
        return ""

    assert Scheduler({"a": noted()}, threads=1).halt(seconds=1)
    assert ran == []


def test_until_stops_waiting_in_time() -> None:
    """Who waits until some time gets what has ended by then."""
    scheduler = Scheduler({"quick": job("q"), "slow": job("s", 60.0)}, threads=2)

    ends = [finished.key for finished in scheduler.until(time.monotonic() + 0.2)]

    assert ends == ["quick"]


def test_no_job_at_all() -> None:
    """Nothing to do is over at once."""
    assert list(Scheduler({}, threads=4)) == []

"""What an interrupt does, and how it is noticed, without interrupting a process."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack.settings import SyncPolicy
from dagster_rudderstack.step import interrupts
from dagster_rudderstack.step.dagster_step import RunState
from dagster_rudderstack.step.interrupts import (
    MAX_SENTENCES,
    STATUS_TRIES,
    Interruption,
    InterruptMonitor,
    RunEndedError,
    StopSettings,
    shielded,
)
from dagster_rudderstack.sync.attempt import PreviousAttempt, SyncAttempt
from dagster_rudderstack_tests.step.fakes import FakeStep, as_step
from dagster_rudderstack_tests.sync.scripted import (
    Script,
    ScriptedApi,
    ScriptedRecorder,
    script,
    sync,
)

NAME = "Sync s of connection CRM contacts (crm)"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the waits that otherwise take seconds."""
    monkeypatch.setattr(interrupts, "STATUS_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(interrupts, "CHECK_SECONDS", 0.02)
    monkeypatch.setattr(interrupts, "SUSPICIOUS_SECONDS", 0.2)


def running(**options: Any) -> Script:
    """Return an attempt whose sync runs."""
    scripted = script(get=[sync("s")], listed=[[sync("s")]], **options)
    scripted.attempt.wait_on("s", "started", owned=True)
    return scripted


def interruption(
    step: FakeStep,
    *attempts: SyncAttempt,
    when: Any = "run_canceled",
    api: ScriptedApi | None = None,
    **options: Any,
) -> Interruption:
    new_api = api or ScriptedApi(get=[sync("s")], listed=[[sync("s")]])
    return Interruption(
        as_step(step), list(attempts), StopSettings(when, lambda: new_api), **options
    )


# --- what happens to the syncs


def test_stop() -> None:
    """If the run is canceled, its sync is stopped with a new client, logged and reported."""
    step, scripted = FakeStep(canceled=lambda: True), running()
    new_api = ScriptedApi(get=[sync("s")], listed=[[sync("s")]])
    stopped: list[tuple[SyncAttempt, str]] = []

    end = interruption(
        step, scripted.attempt, api=new_api, on_stopped=lambda *seen: stopped.append(seen)
    ).handle()

    assert end.state is RunState.CANCELED
    assert new_api.operations == ["list", "get", "stop"]
    assert scripted.api.operations == []
    assert stopped == [(scripted.attempt, "the run was canceled")]
    assert end.sentences == [f"{NAME}: RudderStack was asked to stop it."]
    assert step.context.log.lines == [f"info: Interrupted. {end.sentences[0]}"]


def test_stop__no_report() -> None:
    """Without `on_stopped`, a stop is not reported."""
    end = interruption(FakeStep(canceled=lambda: True), running().attempt).handle()

    assert end.sentences == [f"{NAME}: RudderStack was asked to stop it."]


def test_stop__ended() -> None:
    """A sync that has ended in the meantime is not reported as stopped."""
    step = FakeStep(canceled=lambda: True)
    stopped: list[tuple[SyncAttempt, str]] = []
    new_api = ScriptedApi(get=[sync("s", "succeeded")], listed=[[sync("s", "succeeded")]])

    end = interruption(
        step, running().attempt, api=new_api, on_stopped=lambda *seen: stopped.append(seen)
    ).handle()

    assert (stopped, end.sentences) == ([], [f"{NAME}: it had already ended."])


def test_stop__unexpected_error() -> None:
    """If a stop raises an unexpected error, the log says so, and the other syncs are stopped."""
    step = FakeStep(canceled=lambda: True)
    new_api = ScriptedApi(get=[RuntimeError("bug")], listed=[[sync("s")]])

    end = interruption(step, running().attempt, api=new_api).handle()

    assert end.sentences == [f"{NAME} could not be stopped: bug"]


@pytest.mark.parametrize("is_durable", [True, False])
def test_left_running(is_durable: bool) -> None:
    """The log says of a sync that is left running whether a retry resumes it."""
    step = FakeStep()
    scripted = running(recorder=ScriptedRecorder(is_durable=is_durable))

    end = interruption(step, scripted.attempt).handle()

    resumed = ": a retry of this Dagster run resumes it" if is_durable else ""
    assert end.sentences == [f"{NAME} is left running{resumed}."]
    assert end.state is RunState.ACTIVE


@pytest.mark.parametrize("canceled", [True, False])
def test_left_running__closed_step(canceled: bool) -> None:
    """If a step is closed and its run not canceled, its own code may have ended it early."""
    step = FakeStep(canceled=lambda: canceled)

    end = interruption(step, running().attempt, when="never", is_closed=True).handle()

    what = "Interrupted" if canceled else "Interrupted, or ended early"
    assert step.context.log.lines == [f"info: {what}. {end.sentences[0]}"]


def test_left_running__deferred() -> None:
    """The log names a deferred sync, which is never stopped, and who reports it."""
    step = FakeStep(canceled=lambda: True)
    new_api = ScriptedApi()

    end = interruption(step, api=new_api, when="always", deferred=[running().attempt]).handle()

    assert new_api.operations == []
    assert end.sentences == [
        f"{NAME} is left running. The polling sensor that watches the asset reports how it ends."
    ]


@pytest.mark.parametrize("is_durable", [True, False])
def test_left_running__unknown_start(is_durable: bool) -> None:
    """If it is unknown whether a start took effect, the log says that its sync may be running."""
    recorder = ScriptedRecorder(is_durable=is_durable)
    scripted = script(previous=PreviousAttempt(), recorder=recorder)

    end = interruption(FakeStep(), scripted.attempt).handle()

    later = ": a retry of this Dagster run looks for it" if is_durable else ""
    assert end.sentences == [f"A sync of connection CRM contacts (crm) may be running{later}."]


def test_stop__start_without_effect() -> None:
    """If a start had no effect, the log says that no sync was started."""
    policy = SyncPolicy(start_settling_seconds=0)
    scripted = script(previous=PreviousAttempt(), policy=policy)
    step = FakeStep(canceled=lambda: True)

    end = interruption(step, scripted.attempt, api=ScriptedApi(listed=[[]])).handle()

    assert end.sentences == ["No sync of connection CRM contacts (crm) was started."]


@pytest.mark.parametrize(
    ("when", "canceled", "stops"),
    [
        ("always", False, True),
        ("always", True, True),
        ("run_canceled", True, True),
        ("run_canceled", False, False),
        ("never", True, False),
    ],
)
def test_when(when: str, canceled: bool, stops: bool) -> None:
    """The setting and the status of the run decide whether syncs are stopped."""
    api = ScriptedApi(get=[sync("s")], listed=[[sync("s")]])

    interruption(
        FakeStep(canceled=lambda: canceled), running().attempt, when=when, api=api
    ).handle()

    assert ("stop" in api.operations) is stops


def test_nothing_to_stop() -> None:
    """If all syncs have ended, or none has begun, the log says that there was none to stop."""
    step, over = FakeStep(), running()
    over.attempt.is_over = True

    end = interruption(step, over.attempt, script().attempt).handle()

    assert end.sentences == ["There was no sync to stop."]


def test_stop__earlier_attempt() -> None:
    """The sync of an earlier attempt is stopped too."""
    scripted = script(previous=PreviousAttempt("s"))

    end = interruption(FakeStep(canceled=lambda: True), scripted.attempt).handle()

    assert end.sentences == [f"{NAME}: RudderStack was asked to stop it."]


def test_error() -> None:
    """The error of a canceled run has the first five sentences, and the number of the others."""
    end = interruption(FakeStep())
    end.sentences = [f"S{number}." for number in range(MAX_SENTENCES)]
    assert str(end.error) == "The run was canceled. S0. S1. S2. S3. S4."

    end.sentences += ["S5.", "S6."]

    assert str(end.error) == "The run was canceled. S0. S1. S2. S3. S4. The log lists 2 more syncs."
    assert len(end.sentences) == MAX_SENTENCES + 2
    assert isinstance(end.error, RunEndedError)
    assert isinstance(end.error, dg.DagsterExecutionInterruptedError)
    assert not isinstance(end.error, dg.Failure)


def test_status__errors() -> None:
    """If the status of the run cannot be read, it is read again."""
    asked: list[int] = []

    def canceled() -> bool:
        asked.append(1)
        if len(asked) < STATUS_TRIES:
            raise OSError("locked")
        return True

    step = FakeStep(canceled=canceled)
    end = interruption(step, running().attempt).handle()

    assert end.state is RunState.CANCELED
    assert len(asked) == STATUS_TRIES
    warning = "warning: The status of the run cannot be read. Reading it again. locked"
    assert step.context.log.lines[:-1] == [warning] * (STATUS_TRIES - 1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_status__unreadable() -> None:
    """If the status can never be read, the log says where to look."""
    threads: list[threading.Thread] = []

    def canceled() -> bool:
        threads.append(threading.current_thread())
        raise OSError("locked")

    step = FakeStep(canceled=canceled)
    interruption(step, running().attempt).handle()
    threads[0].join(10)

    assert len(threads) == STATUS_TRIES
    assert step.context.log.lines[-1].startswith("warning: Interrupted. There was not enough time")


def test_handle__too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """If there is not enough time to find out what happened, the log says so."""
    given: list[float] = []

    def too_long(work: Callable[[], object], seconds: float) -> None:
        del work
        given.append(seconds)

    monkeypatch.setattr(interrupts, "shielded", too_long)
    step = FakeStep()

    interruption(step, running().attempt).handle()

    assert given == [20.0]
    assert step.context.log.lines == [
        (
            "warning: Interrupted. There was not enough time to find out what happened to every "
            "sync: look in RudderStack's dashboard."
        )
    ]


# --- shielded work


def test_shielded() -> None:
    """Shielded work runs in another thread, and its result is returned."""
    threads: list[threading.Thread] = []

    def work() -> str:
        threads.append(threading.current_thread())
        return "done"

    assert shielded(work, seconds=5) == "done"
    assert threads[0] is not threading.current_thread()
    assert threads[0].daemon


def test_shielded__too_long() -> None:
    """If the work takes too long, the result is None."""
    release = threading.Event()
    began = time.monotonic()

    assert shielded(lambda: release.wait(10), seconds=0.1) is None
    assert 0.1 <= time.monotonic() - began < 5
    release.set()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_shielded__error() -> None:
    """If the work fails, the result is None at once."""
    began = time.monotonic()
    threads: list[threading.Thread] = []

    def work() -> str:
        threads.append(threading.current_thread())
        raise OSError("disk full")

    assert shielded(work, seconds=30) is None
    threads[0].join(10)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("place", range(0, 100, 5))
def test_shielded__signals(place: int) -> None:
    """A second Ctrl-C does not interrupt the work, whenever it comes."""
    begun, release = threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        release.wait(10)
        return "done"

    def interrupt_then_release() -> None:
        begun.wait(10)
        for _ in range(place):
            pass
        signal.raise_signal(signal.SIGINT)
        time.sleep(0.1)
        release.set()

    threading.Thread(target=interrupt_then_release, daemon=True).start()

    assert shielded(work, seconds=10) == "done"


# --- a step that Dagster drops


class Watched:
    """A monitor, and the interrupts that it has handled."""

    def __init__(self, ending: Callable[[], bool] = lambda: False) -> None:
        self.handled = threading.Event()
        self.asked: list[int] = []

        def is_ending() -> bool:
            self.asked.append(1)
            return ending()

        self.monitor = InterruptMonitor(is_ending, self.handled.set)


def test_monitor__not_dropped() -> None:
    """A step whose yields return is not dropped, however often it yields."""
    watched = Watched(lambda: True)
    before = set(threading.enumerate())

    with watched.monitor as monitor:
        for _ in range(3):
            with monitor.yielding():
                pass
        threads = list(set(threading.enumerate()) - before)
        time.sleep(0.5)

    assert [thread.name for thread in threads] == ["rudderstack-interrupts"]
    assert not threads[0].daemon
    threads[0].join(5)
    assert not threads[0].is_alive()
    assert (watched.handled.is_set(), watched.asked) == (False, [])


def test_monitor__long_yield() -> None:
    """A step with a long yield is not dropped while the run goes on."""
    watched = Watched()

    with watched.monitor as monitor, monitor.yielding():
        time.sleep(0.6)

    assert watched.asked
    assert not watched.handled.is_set()


def test_monitor__quick_yield() -> None:
    """The status of the run is not read before a yield has taken suspiciously long."""
    watched = Watched(lambda: True)

    with watched.monitor as monitor, monitor.yielding():
        time.sleep(0.08)

    assert watched.asked == []


def test_monitor__run_ends() -> None:
    """If a yield does not return while the run ends, the interrupt is handled once."""
    watched = Watched(lambda: True)

    with watched.monitor as monitor, monitor.yielding():
        assert watched.handled.wait(5)
        asked = len(watched.asked)
        time.sleep(0.1)

    assert len(watched.asked) == asked == 1


def test_monitor__errors() -> None:
    """If the database cannot be read, it is asked again."""
    errors = [OSError("locked")]

    def ending() -> bool:
        if errors:
            raise errors.pop()
        return True

    watched = Watched(ending)

    with watched.monitor as monitor, monitor.yielding():
        assert watched.handled.wait(5)

    assert len(watched.asked) == 2


def test_monitor__thread_ends() -> None:
    """A step whose thread has ended during a yield is dropped."""
    watched: list[Watched] = []

    def step() -> None:
        watched.append(Watched())
        watched[0].monitor.__enter__()
        watched[0].monitor.yielding().__enter__()

    thread = threading.Thread(target=step)
    thread.start()
    thread.join()

    assert watched[0].handled.wait(5)
    assert watched[0].asked == []

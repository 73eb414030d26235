"""What an interrupt (SIGTERM, SIGINT) does to the syncs of a step: stop them, or leave them.

A person who cancels a run wants its syncs stopped. An evicted worker is replaced by a retry, which
resumes them. Both arrive as the same exception, or not at all, so the status of the run decides.
"""

from __future__ import annotations

import contextlib
import shlex
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TypeVar

import dagster as dg

from dagster_rudderstack.settings import StopOnTermination
from dagster_rudderstack.step.dagster_step import DagsterStep, RunState
from dagster_rudderstack.sync.attempt import SyncApi, SyncAttempt
from dagster_rudderstack.sync.recorder import Log
from dagster_rudderstack.sync.scheduler import Scheduler
from dagster_rudderstack.sync.stop import STOP_GRACE_SECONDS, StopOutcome, stop
from dagster_rudderstack.sync.task import Task, drive
from dagster_rudderstack.text import capitalized, plural

__all__ = [
    "INTERRUPTS",
    "InterruptMonitor",
    "Interruption",
    "RunEndedError",
    "StopSettings",
    "end_outside_dagster",
    "shielded",
]

STOPPING_THREADS = 16
"""How many syncs are stopped at once."""
STATUS_TRIES, STATUS_PAUSE_SECONDS = 4, 1.0
"""How often, and after what pauses, an interrupted step asks whether its run was canceled."""
MAX_SENTENCES = 5
"""The end of a step with a thousand syncs does not name each of them. The log does."""

_T = TypeVar("_T")

INTERRUPTS = (dg.DagsterExecutionInterruptedError, KeyboardInterrupt)


class RunEndedError(dg.DagsterExecutionInterruptedError, dg.DagsterError):
    """The run was canceled, or has ended; the message says what happened to its syncs.

    Neither a Failure nor a plain interrupt works here. A Failure would make a failed run, which is
    retried, of one that was canceled by force. A plain interrupt would be turned into a retry by a
    RetryPolicy, which would start a second sync while the run is being canceled. An interrupt that
    is also a DagsterError bypasses a RetryPolicy and ends the run as canceled.

    The interrupt is the first base, because Celery sends the error to the process of the run as the
    first of these classes that can be pickled. There the run ends as canceled only for an
    interrupt.
    """


# The multiprocess executor recognizes an interrupted step by this name (the qualified one on
# Python 3.13, the plain one before).
RunEndedError.__name__ = dg.DagsterExecutionInterruptedError.__name__
RunEndedError.__qualname__ = dg.DagsterExecutionInterruptedError.__qualname__


@dataclass(frozen=True)
class StopSettings:
    """When and how an interrupt stops syncs.

    Attributes:
        when: When it stops them.
        new_api: Makes a client for the stops. The client that was interrupted in the middle of a
            request may be in any state, and its timeouts are too long.
        address_options: The options with which the command line reaches the same workspace.
    """

    when: StopOnTermination
    new_api: Callable[[], SyncApi]
    address_options: Sequence[str] = ()


@dataclass
class Interruption:
    """Handles the interrupt of a step.

    Attributes:
        step: The step.
        attempts: Its syncs that may be running.
        settings: When and how syncs are stopped.
        on_stopped: Reports a sync that was stopped, and why.
        deferred: The syncs that the step has started and left to the polling sensor.
        is_closed: Whether the step was closed before its syncs had ended. Either an interrupt or
            the step's own code did that; the two cannot be distinguished.
        state: What the status of the run means for its syncs. Known after `handle`.
        sentences: What happened to each sync. Known after `handle`.
    """

    step: DagsterStep
    attempts: list[SyncAttempt]
    settings: StopSettings
    on_stopped: Callable[[SyncAttempt, str], None] = lambda _, __: None
    deferred: Sequence[SyncAttempt] = ()
    is_closed: bool = False
    state: RunState = field(default=RunState.ACTIVE, init=False)
    sentences: list[str] = field(default_factory=list, init=False)

    def handle(self) -> Interruption:
        """Stop the syncs or leave them running, and log which. A second signal does not end it."""
        if shielded(self._handle, seconds=STOP_GRACE_SECONDS + 5) is None:
            self.step.log.warning(
                "Interrupted. There was not enough time to find out what happened to every sync: "
                "look in RudderStack's dashboard."
            )
        return self

    @property
    def error(self) -> RunEndedError:
        """The error that ends the step of a run that was canceled or has ended."""
        more = len(self.sentences) - MAX_SENTENCES
        shown = self.sentences[:MAX_SENTENCES]
        if more > 0:
            shown.append(f"The log lists {plural(more, f'more {self._noun}')}.")
        reason = (
            "The run has already ended, so this step starts, reports and stops nothing more."
            if self.state is RunState.OVER
            else "The run was canceled."
        )
        return RunEndedError(" ".join([reason, *shown]))

    @property
    def cause(self) -> str:
        """Why syncs are stopped."""
        if self.settings.when != "always":
            return "the run was canceled"
        early = " or ended early" if self.may_be_early_end else ""
        return f"its step was interrupted{early}"

    @property
    def may_be_early_end(self) -> bool:
        """Whether the step's own code may have ended the step early, without an interrupt."""
        return self.is_closed and self.state is RunState.ACTIVE

    @property
    def _noun(self) -> str:
        """What the step makes, in messages."""
        return self.attempts[0].request.noun if self.attempts else "sync"

    def _handle(self) -> bool:
        self.state = self._ask_for_state()
        for attempt in self.attempts:
            attempt.take_over_previous()
        for attempt in self.deferred:
            self._log(
                f"{attempt.name} is left running. The polling sensor that watches the asset "
                "reports how it ends."
            )
        running = [attempt for attempt in self.attempts if attempt.may_be_running]
        if running and self._is_stop_wanted:
            self._stop(running)
        elif running:
            self._leave(running)
        elif not self.deferred and self.state is not RunState.OVER:
            self._log(f"There was no {self._noun} to stop.")
        return True

    @property
    def _is_stop_wanted(self) -> bool:
        if self.state is RunState.OVER:
            return False
        when = self.settings.when
        return when == "always" or (self.state is RunState.CANCELED and when == "run_canceled")

    def _ask_for_state(self) -> RunState:
        """Ask Dagster's database, several times if it does not answer."""
        for _ in range(STATUS_TRIES - 1):
            try:
                return self.step.run_state()
            except Exception as error:  # noqa: BLE001 - a database can fail in many ways
                self.step.log.warning(
                    f"The status of the run cannot be read. Reading it again. {error}"
                )
                time.sleep(STATUS_PAUSE_SECONDS)
        return self.step.run_state()

    def _stop(self, attempts: list[SyncAttempt]) -> None:
        api = self.settings.new_api()
        for attempt in attempts:
            attempt.api = api
        stops = {place: self._stop_one(attempt) for place, attempt in enumerate(attempts)}
        for finished in Scheduler(stops, threads=STOPPING_THREADS):
            if finished.error is not None:
                self._log(f"{attempts[finished.key].name} could not be stopped: {finished.error}")

    def _stop_one(self, attempt: SyncAttempt) -> Task[None]:
        outcome = yield from stop(attempt)
        self._log(_stop_text(attempt, outcome))
        if outcome is StopOutcome.REQUESTED:
            self.on_stopped(attempt, self.cause)

    def _leave(self, attempts: list[SyncAttempt]) -> None:
        for attempt in attempts:
            self._log(_left_text(attempt))

    def _log(self, sentence: str) -> None:
        self.sentences.append(sentence)
        if self.state is RunState.OVER:
            what = "The run has already ended"
        else:
            what = "Interrupted, or ended early" if self.may_be_early_end else "Interrupted"
        self.step.log.info(f"{what}. {sentence}")


def _stop_text(attempt: SyncAttempt, outcome: StopOutcome) -> str:
    if outcome is StopOutcome.NOTHING_STARTED:
        return f"No {attempt.request.noun} of {attempt.request.target} was started."
    if outcome is StopOutcome.CANNOT_BE_STOPPED and attempt.sync_id is None:
        return f"{attempt.name} may have been started. RudderStack offers no way to stop a run."
    return f"{attempt.name}: {outcome.value}."


def _left_text(attempt: SyncAttempt) -> str:
    is_known = attempt.sync_id is not None
    left = "is left running" if is_known else "may be running"
    verb = "resumes" if is_known else "looks for"
    later = f": a retry of this Dagster run {verb} it" if attempt.records.is_durable else ""
    return f"{attempt.name} {left}{later}."


def shielded(work: Callable[[], _T], seconds: float) -> _T | None:
    """Do work that a second signal must not cut off. None if it took too long."""
    results: list[_T] = []
    ended: list[bool] = []
    begun, end = threading.Lock(), threading.Lock()
    end.acquire()

    def do() -> None:
        # An interrupt right after the start of this thread lets it be started again.
        if begun.acquire(blocking=False):
            try:
                results.append(work())
            finally:
                ended.append(True)
                end.release()

    give_up_at = time.monotonic() + seconds
    while True:
        # Interrupts arrive in this thread, which waits. The work continues in the other one. It
        # waits for a lock: an interrupt in the wait of an `Event` can raise RuntimeError.
        with contextlib.suppress(*INTERRUPTS):
            if not begun.locked():
                # `start` waits for an `Event`. The thread has then been started nevertheless.
                with contextlib.suppress(RuntimeError):
                    threading.Thread(target=do, daemon=True).start()
            if not ended:
                end.acquire(timeout=max(0.0, give_up_at - time.monotonic()))
            return results[0] if results else None


def end_outside_dagster(attempts: list[SyncAttempt], settings: StopSettings, log: Log) -> None:
    """Stop syncs that were interrupted outside Dagster, if that is wanted, and log the result."""
    for attempt in attempts:
        if attempt.may_be_running:
            # Python shows only warnings where no log is set up, as outside Dagster.
            log.warning(f"Interrupted. {_end_one_outside_dagster(attempt, settings)}")
        elif not attempt.is_over and len(attempts) == 1:
            log.warning(f"Interrupted. {_nothing_started_text(attempt)}")


def _nothing_started_text(attempt: SyncAttempt) -> str:
    request, seen = attempt.request, attempt.last_seen
    text = f"This call has started no {request.noun} of {request.target}."
    if seen is None or seen.is_over:
        return text
    return f"{text} {capitalized(request.name_of(seen.id))}, which was already running, goes on."


def _end_one_outside_dagster(attempt: SyncAttempt, settings: StopSettings) -> str:
    if settings.when == "always":
        attempt.api = settings.new_api()
        outcome = drive(stop(attempt))
        return _stop_text(attempt, outcome)
    if attempt.sync_id is None:
        return (
            f"RudderStack had not answered the start, so a {attempt.request.noun} of "
            f"{attempt.request.target} may be running. Look in RudderStack's dashboard."
        )
    if not attempt.request.can_be_stopped:
        return f"{attempt.name} is left running: RudderStack offers no way to stop a run."
    target = attempt.target_id
    is_owned = attempt.current is not None and attempt.current.owned
    command = shlex.join(["dagster-rudderstack", "stop", target, *settings.address_options])
    stop_it = f" To stop it, run `{command}`, or call stop_sync({target!r})." if is_owned else ""
    return (
        f"{attempt.name} is left running.{stop_it} To wait for it again, call "
        f"poll_sync({target!r}, {attempt.sync_id!r})."
    )


# --- an interrupt that the step does not get


CHECK_SECONDS = 0.5
"""How often the monitor checks whether the thread of the step has ended."""

SUSPICIOUS_SECONDS = 2.0
"""Storing an event takes 0.1 s. After this time the monitor asks whether the run is over."""


class InterruptMonitor:
    """Handles an interrupt that comes while Dagster stores what the step has yielded.

    Dagster then drops the step: its generator is neither resumed nor closed, and the process may
    end soon. The monitor's thread keeps the process alive until the interrupt is handled.

    Args:
        is_run_ending: Whether the run is over or about to be.
        handle: Handles the interrupt. Called at most once. Its errors are lost, since the step is
            gone.
    """

    def __init__(self, is_run_ending: Callable[[], bool], handle: Callable[[], object]) -> None:
        self._is_run_ending = is_run_ending
        self._handle = handle
        self._step_thread = threading.current_thread()
        self._left = threading.Event()
        self._yielded_at: float | None = None
        self._is_watching = False

    def __enter__(self) -> InterruptMonitor:  # noqa: PYI034 - Python 3.10's typing has no Self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._left.set()

    @contextlib.contextmanager
    def yielding(self) -> Iterator[None]:
        """Mark a yield to Dagster: only there can a step be dropped."""
        if not self._is_watching:
            self._is_watching = True
            threading.Thread(target=self._watch, name="rudderstack-interrupts").start()
        self._yielded_at = time.monotonic()
        yield
        self._yielded_at = None

    def _watch(self) -> None:
        while not self._left.wait(CHECK_SECONDS):
            with contextlib.suppress(Exception):
                if self._is_dropped():
                    self._handle()
                    return

    def _is_dropped(self) -> bool:
        if not self._step_thread.is_alive():
            return True
        yielded_at = self._yielded_at
        if yielded_at is None or time.monotonic() - yielded_at < SUSPICIOUS_SECONDS:
            return False
        return self._is_run_ending()

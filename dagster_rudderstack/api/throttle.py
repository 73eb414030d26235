"""Limits the requests of this process to one API: at once, per second, and during a pause."""

from __future__ import annotations

import threading
import time
import weakref
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dagster_rudderstack.api.forks import call_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "Gate",
    "NoTurnError",
    "Throttle",
    "is_urgent",
    "shared_throttle",
    "urgent",
    "waiting_until",
]


class NoTurnError(Exception):
    """A request was not sent, because it would have had to wait too long; see `waiting_until`.

    Attributes:
        pause_seconds: How long RudderStack still asks us to pause. 0 if it does not.
        is_timeout: Whether the request would have had to wait longer than it may take.
    """

    def __init__(self, pause_seconds: float, *, is_timeout: bool = False) -> None:
        super().__init__("The request was not sent, because it would have had to wait too long.")
        self.pause_seconds = pause_seconds
        self.is_timeout = is_timeout


_give_up_at: ContextVar[float] = ContextVar("give_up_at", default=float("inf"))
_is_urgent: ContextVar[bool] = ContextVar("is_urgent", default=False)


@contextmanager
def waiting_until(give_up_at: float) -> Iterator[None]:
    """Limit how long the requests of this block, in this thread, wait for their turn.

    Args:
        give_up_at: The latest time for a turn, on the clock of the throttle.

    Raises:
        NoTurnError: If a request would have to wait longer. It is not sent.
    """
    token = _give_up_at.set(give_up_at)
    try:
        yield
    finally:
        _give_up_at.reset(token)


def is_urgent() -> bool:
    """Whether this is inside a block of `urgent`."""
    return _is_urgent.get()


@contextmanager
def urgent() -> Iterator[None]:
    """Send the requests of this block at once, for example to stop a sync within seconds."""
    token = _is_urgent.set(True)
    try:
        yield
    finally:
        _is_urgent.reset(token)


_known_gates: weakref.WeakSet[Gate] = weakref.WeakSet()


def _begin_after_fork() -> None:
    for gate in list(_known_gates):
        gate.forget_requests()


call_after_fork(_begin_after_fork)


@dataclass(eq=False)
class Gate:
    """The state that all throttles of one API share. The strictest of their limits holds for all.

    Attributes:
        max_concurrent: Maximum number of requests at once.
        spacing: Minimum number of seconds between the starts of two requests.
        under_way: Number of requests that were sent and not answered yet.
        next_at: When the spacing allows the next request.
        paused_until: When the pause ends.
        changed: The lock of all attributes. Waiting threads are notified when a request ends.
    """

    max_concurrent: float = float("inf")
    spacing: float = 0.0
    under_way: int = 0
    next_at: float = float("-inf")
    paused_until: float = float("-inf")
    changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        _known_gates.add(self)

    def forget_requests(self) -> None:
        """Forget the requests under way. A forked process has neither them nor their threads."""
        self.under_way = 0
        self.changed = threading.Condition()


class Throttle:
    """Makes requests wait for their turn.

    Args:
        max_concurrent: Maximum number of requests at once.
        max_per_second: Maximum number of requests that start per second. None sets no limit.
        gate: The state to share with other throttles. None shares it with none.
        monotonic: Seconds that only grow.
        sleep: Waits for a number of seconds.
    """

    def __init__(
        self,
        *,
        max_concurrent: int,
        max_per_second: float | None,
        gate: Gate | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._gate = gate or Gate()
        self._monotonic = monotonic
        self._sleep = sleep
        with self._gate.changed:
            self._gate.max_concurrent = min(self._gate.max_concurrent, max_concurrent)
            if max_per_second:
                self._gate.spacing = max(self._gate.spacing, 1 / max_per_second)

    def pause(self, seconds: float) -> None:
        """Hold back every request for some seconds. A 429 to one request applies to all."""
        gate = self._gate
        with gate.changed:
            gate.paused_until = max(gate.paused_until, self._monotonic() + seconds)

    @contextmanager
    def slot(self, max_seconds: float = float("inf")) -> Iterator[None]:
        """Wait for a turn, and count the request as under way inside the block.

        Args:
            max_seconds: How long the request may wait.

        Raises:
            NoTurnError: If the turn comes too late. See `waiting_until` for another limit.
        """
        if _is_urgent.get():
            yield
            return
        times_out_at = self._monotonic() + max_seconds
        while (seconds := self._take_turn(times_out_at)) > 0:
            self._sleep(seconds)
        try:
            yield
        finally:
            gate = self._gate
            with gate.changed:
                gate.under_way -= 1
                # Notify all: a single thread may be interrupted just as it wakes up.
                gate.changed.notify_all()

    def _take_turn(self, times_out_at: float) -> float:
        """Take a turn and return 0.0, or return the seconds until the pause or the spacing ends."""
        gate = self._gate
        with gate.changed:
            while True:
                now = self._monotonic()
                free_at = max(gate.next_at, gate.paused_until)
                if free_at > now:
                    self._seconds_left(now, free_at, times_out_at)
                    return free_at - now
                if gate.under_way < gate.max_concurrent:
                    gate.under_way += 1
                    gate.next_at = now + gate.spacing
                    return 0.0
                gate.changed.wait(self._seconds_left(now, now, times_out_at))

    def _seconds_left(self, now: float, free_at: float, times_out_at: float) -> float | None:
        """Return how long this thread may still wait. None means without a limit.

        Raises:
            NoTurnError: If it may not wait until `free_at`.
        """
        give_up_at = min(_give_up_at.get(), times_out_at)
        if free_at >= give_up_at:
            pause_seconds = max(0.0, self._gate.paused_until - now)
            raise NoTurnError(pause_seconds, is_timeout=give_up_at == times_out_at)
        return None if give_up_at == float("inf") else give_up_at - now


_gates: dict[str, Gate] = {}
_throttles: dict[tuple[str, int, float | None], Throttle] = {}


def shared_throttle(
    base_url: str, *, max_concurrent: int, max_per_second: float | None
) -> Throttle:
    """Return this process's throttle for one API and these limits.

    Throttles with other limits for the same API share its gate.
    """
    # No lock is needed: `setdefault` is atomic, and a second throttle with the same limits does not
    # change the gate.
    throttle = Throttle(
        max_concurrent=max_concurrent,
        max_per_second=max_per_second,
        gate=_gates.setdefault(base_url, Gate()),
    )
    return _throttles.setdefault((base_url, max_concurrent, max_per_second), throttle)

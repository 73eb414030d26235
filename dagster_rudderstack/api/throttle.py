"""How many requests this process sends at once, and how fast: one gate for all of its syncs."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Gate", "NoTurnError", "Throttle", "shared_throttle", "urgent", "waiting_until"]


class NoTurnError(Exception):
    """A request was not sent, since its turn would have come too late; see `waiting_until`.

    Attributes:
        pause_seconds: how long RudderStack still wants us to wait; 0: it does not.
    """

    def __init__(self, pause_seconds: float) -> None:
        super().__init__("There was no turn in time.")
        self.pause_seconds = pause_seconds


_give_up_at: ContextVar[float] = ContextVar("give_up_at", default=float("inf"))
_is_urgent: ContextVar[bool] = ContextVar("is_urgent", default=False)


@contextmanager
def waiting_until(give_up_at: float) -> Iterator[None]:
    """Let requests of this block, in this thread, wait for their turn no longer than that.

    Args:
        give_up_at: on the clock of the throttle.

    Raises:
        NoTurnError: instead of a request whose turn does not come in time.
    """
    token = _give_up_at.set(give_up_at)
    try:
        yield
    finally:
        _give_up_at.reset(token)


@contextmanager
def urgent() -> Iterator[None]:
    """Let the requests in the block go at once: those of a stop, which has seconds."""
    token = _is_urgent.set(True)
    try:
        yield
    finally:
        _is_urgent.reset(token)


@dataclass
class Gate:
    """What the throttles of one API share: all of them stand in one line.

    Attributes:
        max_concurrent: requests under way at once: the lowest of their limits.
        spacing: seconds between the beginnings of two requests: the longest that one asks for.
        under_way: requests under way.
        next_at: when the next request may begin.
        paused_until: when any may.
        changed: to be held by whoever reads or writes the others.
    """

    max_concurrent: float = float("inf")
    spacing: float = 0.0
    under_way: int = 0
    next_at: float = float("-inf")
    paused_until: float = float("-inf")
    changed: threading.Condition = field(default_factory=threading.Condition)

    def tighten(self, max_concurrent: int, spacing: float) -> None:
        """Take further limits into account."""
        with self.changed:
            self.max_concurrent = min(self.max_concurrent, max_concurrent)
            self.spacing = max(self.spacing, spacing)


class Throttle:
    """Lets a bounded number of requests through, a bounded number per second, and none in a pause.

    Args:
        max_concurrent: requests under way at once.
        max_per_second: requests that may begin per second; None sets no limit.
        gate: to share with other throttles, whose limits then hold as well; None: our own.
        monotonic: seconds that only grow.
        sleep: waits for so many seconds.
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
        self._gate.tighten(max_concurrent, 1 / max_per_second if max_per_second else 0.0)
        self._monotonic = monotonic
        self._sleep = sleep

    def pause(self, seconds: float) -> None:
        """Hold back every request for so long: a 429 to one is meant for all."""
        gate = self._gate
        with gate.changed:
            gate.paused_until = max(gate.paused_until, self._monotonic() + seconds)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for our turn, and hold a place while the request is under way."""
        if _is_urgent.get():
            yield
            return
        with self._place():
            self._wait_for_turn()
            yield

    @contextmanager
    def _place(self) -> Iterator[None]:
        gate = self._gate
        with gate.changed:
            while gate.under_way >= gate.max_concurrent:
                gate.changed.wait(self._seconds_left(self._monotonic()))
            gate.under_way += 1
        try:
            yield
        finally:
            with gate.changed:
                gate.under_way -= 1
                # All, since one that was interrupted as it woke up would leave the others asleep.
                gate.changed.notify_all()

    def _seconds_left(self, free_at: float) -> float | None:
        """Return how long we may wait for a turn that comes then or later; None: for ever.

        Raises:
            NoTurnError: if that is too late.
        """
        now, give_up_at = self._monotonic(), _give_up_at.get()
        if give_up_at == float("inf"):
            return None
        if max(free_at, self._gate.paused_until) >= give_up_at:
            raise NoTurnError(max(0.0, self._gate.paused_until - now))
        return give_up_at - now

    def _wait_for_turn(self) -> None:
        while (delay := self._take_turn()) > 0:
            self._sleep(delay)

    def _take_turn(self) -> float:
        """Take the next turn and return 0.0, or return how long there is none."""
        gate = self._gate
        with gate.changed:
            now = self._monotonic()
            free_at = max(gate.next_at, gate.paused_until)
            if free_at > now:
                self._seconds_left(free_at)
                return free_at - now
            gate.next_at = now + gate.spacing
            return 0.0


_gates: dict[str, Gate] = {}
_shared: dict[tuple[str, int, float | None], Throttle] = {}
_shared_lock = threading.Lock()


def shared_throttle(
    base_url: str, *, max_concurrent: int, max_per_second: float | None
) -> Throttle:
    """Return this process's throttle for one API, the same for every resource with these limits.

    Those with other limits share its gate: no resource exceeds the limits of another one.
    """
    key = (base_url, max_concurrent, max_per_second)
    with _shared_lock:
        if key not in _shared:
            _shared[key] = Throttle(
                max_concurrent=max_concurrent,
                max_per_second=max_per_second,
                gate=_gates.setdefault(base_url, Gate()),
            )
        return _shared[key]

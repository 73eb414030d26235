"""Limits the requests of this process: at once, per second, and in a pause after a 429."""

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
    """A request was not sent, since its turn would have come too late, see `waiting_until`.

    Attributes:
        pause_seconds: How long RudderStack still wants no requests. 0 if it does not.
    """

    def __init__(self, pause_seconds: float) -> None:
        super().__init__("There was no turn in time.")
        self.pause_seconds = pause_seconds


_give_up_at: ContextVar[float] = ContextVar("give_up_at", default=float("inf"))
_is_urgent: ContextVar[bool] = ContextVar("is_urgent", default=False)


@contextmanager
def waiting_until(give_up_at: float) -> Iterator[None]:
    """Limit how long the requests of this block, in this thread, wait for their turn.

    Args:
        give_up_at: The latest time, on the clock of the throttle.

    Raises:
        NoTurnError: Instead of sending a request whose turn does not come in time.
    """
    token = _give_up_at.set(give_up_at)
    try:
        yield
    finally:
        _give_up_at.reset(token)


@contextmanager
def urgent() -> Iterator[None]:
    """Send the requests of the block at once, without a turn. A stop has only seconds."""
    token = _is_urgent.set(True)
    try:
        yield
    finally:
        _is_urgent.reset(token)


@dataclass
class Gate:
    """What the throttles of one API share.

    Attributes:
        max_concurrent: Requests sent at once: the lowest of their limits.
        spacing: Seconds between the beginnings of two requests: the longest of their limits.
        under_way: Requests that are being sent.
        next_at: When the next request may begin.
        paused_until: When the pause ends.
        changed: Held by each reader and writer of the other attributes.
    """

    max_concurrent: float = float("inf")
    spacing: float = 0.0
    under_way: int = 0
    next_at: float = float("-inf")
    paused_until: float = float("-inf")
    changed: threading.Condition = field(default_factory=threading.Condition)

    def tighten(self, max_concurrent: int, spacing: float) -> None:
        """Apply further limits."""
        with self.changed:
            self.max_concurrent = min(self.max_concurrent, max_concurrent)
            self.spacing = max(self.spacing, spacing)


class Throttle:
    """Limits the requests of the resources with the same limits.

    Args:
        max_concurrent: Requests sent at once.
        max_per_second: Requests that may begin per second. None sets no limit.
        gate: Shared with other throttles, whose limits then hold too. None makes one.
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
        self._gate.tighten(max_concurrent, 1 / max_per_second if max_per_second else 0.0)
        self._monotonic = monotonic
        self._sleep = sleep

    def pause(self, seconds: float) -> None:
        """Send no request for some seconds: a 429 to one request is meant for all."""
        gate = self._gate
        with gate.changed:
            gate.paused_until = max(gate.paused_until, self._monotonic() + seconds)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for a turn, and hold a place while the request is sent."""
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
                # All, since a thread that is interrupted while waking up leaves the others asleep.
                gate.changed.notify_all()

    def _seconds_left(self, free_at: float) -> float | None:
        """Return how long to wait for a turn that comes at that time or later. None: for ever.

        Raises:
            NoTurnError: If that is too late.
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
        """Take the next turn and return 0.0, or return the seconds until there is one."""
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
    """Return the throttle of this process for one API and these limits.

    Throttles with other limits share its gate, so no resource exceeds the limits of another one.
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

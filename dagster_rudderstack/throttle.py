"""How many requests this process sends at once, and how fast: one gate for all of its syncs."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Throttle", "shared_throttle"]


class Throttle:
    """Lets a bounded number of requests through, a bounded number per second, and none in a pause.

    Args:
        max_concurrent: requests under way at once.
        max_per_second: requests that may begin per second; None sets no limit.
        monotonic: seconds that only grow.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        *,
        max_concurrent: int,
        max_per_second: float | None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._slots = threading.BoundedSemaphore(max_concurrent)
        self._spacing = 1 / max_per_second if max_per_second else 0.0
        self._monotonic = monotonic
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next_at = float("-inf")
        self._paused_until = float("-inf")

    def pause(self, seconds: float) -> None:
        """Hold back every request for so long: a 429 to one is meant for all."""
        with self._lock:
            self._paused_until = max(self._paused_until, self._monotonic() + seconds)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for our turn, and hold a place while the request is under way."""
        with self._slots:
            self._wait_for_turn()
            yield

    def _wait_for_turn(self) -> None:
        while (delay := self._take_turn()) > 0:
            self._sleep(delay)

    def _take_turn(self) -> float:
        """Take the next turn and return 0.0, or return how long there is none."""
        with self._lock:
            now = self._monotonic()
            free_at = max(self._next_at, self._paused_until)
            if free_at > now:
                return free_at - now
            self._next_at = now + self._spacing
            return 0.0


_shared: dict[tuple[str, int, float | None], Throttle] = {}
_shared_lock = threading.Lock()


def shared_throttle(
    base_url: str, *, max_concurrent: int, max_per_second: float | None
) -> Throttle:
    """Return this process's gate to one API, the same for every resource with these limits."""
    key = (base_url, max_concurrent, max_per_second)
    with _shared_lock:
        if key not in _shared:
            _shared[key] = Throttle(max_concurrent=max_concurrent, max_per_second=max_per_second)
        return _shared[key]

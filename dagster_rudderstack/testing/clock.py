"""The clocks of the local RudderStack.

A clock is a callable that returns the epoch time in seconds (UTC). The two clocks here also have
`sleep` and `monotonic`, so that a client can use the same clock as the server.
"""

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.utils import formatdate

Clock = Callable[[], float]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_A_DAY_IN_2026 = 1_767_571_200.0  # 2026-01-05T00:00:00Z, a Monday


class ScaledClock:
    """A clock that starts at the real time and runs `scale` times as fast.

    >>> clock = ScaledClock(scale=3600)
    >>> clock.sleep(36)  # returns after 10 ms

    Args:
        scale: How fast it runs. With 60, an hour takes a minute.
        skew_seconds: The error of the clock: -300 is five minutes behind.
        origin: The epoch time at which real and scaled time are equal. None means now. Two
            processes with the same origin have the same clock.

    Raises:
        ValueError: If the scale is not a positive number.
    """

    def __init__(
        self, scale: float = 1.0, skew_seconds: float = 0.0, *, origin: float | None = None
    ) -> None:
        if not 0 < scale < float("inf"):
            raise ValueError(f"scale must be a positive number, not {scale!r}")
        self.scale = scale
        self.skew_seconds = skew_seconds
        now = time.time()
        # From here on time is measured on the monotonic clock: an adjustment of the machine's clock
        # must not undo the end of a sync.
        self._anchor = time.monotonic() - (now - (now if origin is None else origin))
        self.origin = now if origin is None else origin

    def __call__(self) -> float:
        """Epoch seconds, UTC."""
        return self.origin + self.monotonic() + self.skew_seconds

    def monotonic(self) -> float:
        """Scaled seconds since the origin. They never go back and ignore the skew."""
        return (time.monotonic() - self._anchor) * self.scale

    def sleep(self, seconds: float) -> None:
        """Sleep for scaled seconds: `seconds / scale` of real time."""
        time.sleep(max(0.0, seconds) / self.scale)

    def skewed(self, seconds: float) -> "ScaledClock":
        """Return the same clock, ahead by `seconds` (scaled), for the other side."""
        return ScaledClock(self.scale, self.skew_seconds + seconds, origin=self.origin)

    def __repr__(self) -> str:
        return f"ScaledClock(scale={self.scale}, skew_seconds={self.skew_seconds})"


class ManualClock:
    """A clock that stands still until a test advances it.

    `sleep` advances the clock instead of waiting.

    Args:
        start: Epoch seconds.
    """

    def __init__(self, start: float = _A_DAY_IN_2026) -> None:
        self._start = start
        self._now = start
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """Epoch seconds, UTC."""
        with self._lock:
            return self._now

    def advance(self, seconds: float) -> None:
        """Advance the clock. Raises ValueError for a negative number."""
        if not seconds >= 0:
            raise ValueError(f"A clock cannot advance by {seconds!r} seconds")
        with self._lock:
            self._now += seconds

    def monotonic(self) -> float:
        """Seconds since the clock was created."""
        return self() - self._start

    def sleep(self, seconds: float) -> None:
        """Advance the clock by `seconds` and return at once."""
        self.advance(max(0.0, seconds))

    def __repr__(self) -> str:
        return f"ManualClock({timestamp(self())})"


def to_milliseconds(epoch: float) -> float:
    """Cut an epoch time to milliseconds, the precision of the API's timestamps."""
    return int(epoch * 1000) / 1000


def timestamp(epoch: float) -> str:
    """Return a time as the API writes it: RFC 3339 with milliseconds and "Z"."""
    moment = _EPOCH + timedelta(milliseconds=round(epoch * 1000))
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def http_date(epoch: float) -> str:
    """Return a time as the headers Date and Retry-After write it."""
    return formatdate(epoch, usegmt=True)

"""Clocks: what time the local RudderStack believes it is.

A clock is anything that can be called for the epoch time in seconds (UTC). The two clocks here can
also `sleep` and have a `monotonic`, so that a client can live by the same clock as the server.
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

    `scale=60` makes an hour pass in a minute. `skew_seconds` shifts what the clock shows, as on a
    server whose clock is wrong: -300 is five minutes behind. `origin` is the epoch time at which
    real and scaled time agree; `None` means now. Processes that share an origin share the clock.

    >>> clock = ScaledClock(scale=3600)
    >>> clock.sleep(36)  # returns after a hundredth of a second
    """

    def __init__(
        self, scale: float = 1.0, skew_seconds: float = 0.0, *, origin: float | None = None
    ) -> None:
        if not 0 < scale < float("inf"):
            raise ValueError(f"scale must be a positive number, not {scale!r}")
        self.scale = scale
        self.skew_seconds = skew_seconds
        now = time.time()
        # Time is measured on the monotonic clock from here on, so that an adjustment of the
        # machine's clock can never turn a sync's end back.
        self._anchor = time.monotonic() - (now - (now if origin is None else origin))
        self.origin = now if origin is None else origin

    def __call__(self) -> float:
        """Epoch seconds, UTC."""
        return self.origin + self.monotonic() + self.skew_seconds

    def monotonic(self) -> float:
        """Scaled seconds since the origin; never goes back and knows no skew."""
        return (time.monotonic() - self._anchor) * self.scale

    def sleep(self, seconds: float) -> None:
        """Sleep for so many scaled seconds, which are `seconds / scale` real ones."""
        time.sleep(max(0.0, seconds) / self.scale)

    def skewed(self, seconds: float) -> "ScaledClock":
        """Make the same clock, so many (scaled) seconds ahead, for the other end of the line."""
        return ScaledClock(self.scale, self.skew_seconds + seconds, origin=self.origin)

    def __repr__(self) -> str:
        return f"ScaledClock(scale={self.scale}, skew_seconds={self.skew_seconds})"


class ManualClock:
    """A clock that stands still until a test moves it on.

    `start` is in epoch seconds. `sleep` moves the clock on instead of waiting.
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
        """Move the clock on. Raises ValueError for a negative number: time does not go back."""
        if not seconds >= 0:
            raise ValueError(f"A clock cannot advance by {seconds!r} seconds")
        with self._lock:
            self._now += seconds

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self() - self._start

    def sleep(self, seconds: float) -> None:
        """Move the clock on by so many seconds, and return at once."""
        self.advance(max(0.0, seconds))

    def __repr__(self) -> str:
        return f"ManualClock({timestamp(self())})"


def to_milliseconds(epoch: float) -> float:
    """Take from an epoch time what a timestamp of the API cannot show."""
    return int(epoch * 1000) / 1000


def timestamp(epoch: float) -> str:
    """Write a time as the API does: RFC 3339 with milliseconds and "Z"."""
    moment = _EPOCH + timedelta(milliseconds=round(epoch * 1000))
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def http_date(epoch: float) -> str:
    """Write a time as in the headers Date and Retry-After."""
    return formatdate(epoch, usegmt=True)

"""What a forked process must not inherit: locks that a thread of its parent held."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

__all__ = ["ForkSafeLock", "call_after_fork"]


def call_after_fork(call: Callable[[], object]) -> None:
    """Call a function at the begin of each forked process. It is kept for ever."""
    if hasattr(os, "register_at_fork"):  # Windows has no fork.
        os.register_at_fork(after_in_child=call)


class ForkSafeLock:
    """A reentrant lock that is free in a forked process. It is kept for ever."""

    def __init__(self) -> None:
        self._renew()
        call_after_fork(self._renew)

    def _renew(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

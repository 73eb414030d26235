"""A task: a generator that makes its own requests and yields the seconds it wants to wait.

One thread can drive one task (`drive`), and a few threads can drive a thousand (`scheduler`). A
test that hands in the clock drives a six-hour wait in a millisecond.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import TypeVar

__all__ = ["Task", "drive"]

_T = TypeVar("_T")
Task = Generator[float, None, _T]


def drive(task: Task[_T], sleep: Callable[[float], object] = time.sleep) -> _T:
    """Run a task in this thread, sleep when it wants to wait, and return its result."""
    while True:
        try:
            seconds = next(task)
        except StopIteration as end:
            result: _T = end.value
            return result
        sleep(seconds)

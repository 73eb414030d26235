"""Notices that Dagster has dropped a step, which the step is not told.

A step yields what Dagster is to store, and stands still meanwhile. An interrupt that comes then
ends the step from outside: its generator is neither resumed nor closed, and the process may end
soon.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType

__all__ = ["Lookout"]

GLANCE_SECONDS = 0.5
"""How often we look whether the thread of the step has ended."""

SUSPICIOUS_SECONDS = 2.0
"""Storing an event takes 0.1 s. After so long we ask whether there is a run to go back to."""


class Lookout:
    """Calls a function, once, if the step that is inside the block was dropped.

    Its thread keeps the process alive until the function has done its work.

    Args:
        is_run_ending: whether the run is over or about to be.
        action: what to do; what it raises is lost, since nobody is left to be told.
    """

    def __init__(self, is_run_ending: Callable[[], bool], action: Callable[[], object]) -> None:
        self._is_run_ending = is_run_ending
        self._action = action
        self._step_thread = threading.current_thread()
        self._left = threading.Event()
        self._handed_over_at: float | None = None

    def __enter__(self) -> Lookout:  # noqa: PYI034 - Self is not in Python 3.10's typing
        threading.Thread(target=self._watch, name="rudderstack-lookout", daemon=False).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._left.set()

    @contextlib.contextmanager
    def handed_over(self) -> Iterator[None]:
        """Mark a yield to Dagster: only there can a step be dropped."""
        self._handed_over_at = time.monotonic()
        yield
        self._handed_over_at = None

    def _watch(self) -> None:
        while not self._left.wait(GLANCE_SECONDS):
            with contextlib.suppress(Exception):
                if self._is_dropped():
                    self._action()
                    return

    def _is_dropped(self) -> bool:
        if not self._step_thread.is_alive():
            return True
        handed_over_at = self._handed_over_at
        if handed_over_at is None or time.monotonic() - handed_over_at < SUSPICIOUS_SECONDS:
            return False
        return self._is_run_ending()

"""Drives many tasks on a few threads.

A task makes a request and then yields how long it wants to wait. Between two requests it is an
entry in a heap, so a thousand waiting syncs cost a thousand entries and not a thousand threads.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import queue
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from dagster_rudderstack.sync.task import Task

__all__ = ["Finished", "Scheduler"]

_K = TypeVar("_K", bound=Hashable)
_T = TypeVar("_T")

LOOK_UP_SECONDS = 1.0
"""How often the thread that waits for results wakes up. Where a wait cannot be interrupted, as on
Windows, an interrupt is noticed after so long."""


@dataclass(frozen=True)
class Finished(Generic[_K, _T]):
    """A task that is over: its result, or its error."""

    key: _K
    result: _T | None = None
    error: BaseException | None = None


@dataclass(frozen=True)
class _Entry(Generic[_K, _T]):
    key: _K
    task: Task[_T]


class Scheduler(Generic[_K, _T]):
    """Drives tasks on a few threads.

    Iterate over it for the results, in the order in which they come. The threads begin with the
    iteration. The iterating thread only waits, so an interrupt reaches it at once.

    Args:
        tasks: The tasks by key. A task runs in one thread at a time, not always in the same one.
        threads: How many tasks may run, rather than wait, at once. With 0 the iterating thread runs
            them itself, one after the other; they still wait at the same time.
        monotonic: Seconds that only grow.
    """

    def __init__(
        self,
        tasks: Mapping[_K, Task[_T]],
        *,
        threads: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._left = len(tasks)
        self._monotonic = monotonic
        self._order = itertools.count()
        self._waiting: list[tuple[float, int, _Entry[_K, _T]]] = []
        self._changed = threading.Condition()
        self._halted = False
        self._due: queue.SimpleQueue[_Entry[_K, _T] | None] = queue.SimpleQueue()
        self._finished: queue.SimpleQueue[Finished[_K, _T]] = queue.SimpleQueue()
        for key, task in tasks.items():
            self._due.put(_Entry(key, task))
        self._workers = [
            threading.Thread(target=self._work, name=f"rudderstack-{number}", daemon=True)
            for number in range(min(threads, len(tasks)))
        ]
        self._timer = threading.Thread(target=self._time, name="rudderstack-timer", daemon=True)
        self._to_begin = [self._timer, *self._workers] if threads else []

    def __iter__(self) -> Iterator[Finished[_K, _T]]:
        yield from self.until(float("inf"))
        self.halt()

    @property
    def left(self) -> int:
        """Number of tasks whose results were not yielded yet."""
        return self._left

    def until(self, give_up_at: float) -> Iterator[Finished[_K, _T]]:
        """Yield results until all tasks are over or the time has come; then call again, or halt.

        Args:
            give_up_at: When to return, on the clock of `time.monotonic`.
        """
        while self._to_begin:
            self._to_begin.pop().start()
        next_result = self._await_result if self._workers else self._work_for_result
        while self._left and (remaining := give_up_at - time.monotonic()) > 0:
            finished = next_result(remaining)
            if finished is not None:
                self._left -= 1
                yield finished

    def halt(self, seconds: float = 0.0) -> bool:
        """Stop all tasks where they are.

        Args:
            seconds: How long to wait for the threads that are in the middle of a request.

        Returns:
            Whether no task runs any more.
        """
        with self._changed:
            self._halted = True
            self._changed.notify()
        for _ in self._workers:
            self._due.put(None)
        give_up_at = time.monotonic() + seconds
        for worker in self._workers:
            if worker.is_alive():
                worker.join(max(0.0, give_up_at - time.monotonic()))
        return not any(worker.is_alive() for worker in self._workers)

    def _await_result(self, seconds: float) -> Finished[_K, _T] | None:
        with contextlib.suppress(queue.Empty):
            return self._finished.get(timeout=min(LOOK_UP_SECONDS, seconds))
        return None

    def _work_for_result(self, seconds: float) -> Finished[_K, _T] | None:
        """Run what is due in this thread, until a task is over or none is due."""
        now = self._move_due()
        while not self._due.empty():
            entry = self._due.get()
            if entry is not None:
                self._advance(entry, Exception)
            with contextlib.suppress(queue.Empty):
                return self._finished.get_nowait()
        next_at = self._waiting[0][0] if self._waiting else now
        time.sleep(max(0.0, min(next_at - now, LOOK_UP_SECONDS, seconds)))
        return None

    # --- in the threads

    def _work(self) -> None:
        while (entry := self._due.get()) is not None and not self._halted:
            self._advance(entry)

    def _advance(self, entry: _Entry[_K, _T], caught: type[BaseException] = BaseException) -> None:
        """Run a task up to its next wait or its end. A caught error is its end."""
        try:
            seconds = next(entry.task)
        except StopIteration as end:
            self._finished.put(Finished(entry.key, result=end.value))
        except caught as error:
            self._finished.put(Finished(entry.key, error=error))
        else:
            self._let_wait(entry, seconds)

    def _let_wait(self, entry: _Entry[_K, _T], seconds: float) -> None:
        with self._changed:
            due_at = self._monotonic() + seconds
            heapq.heappush(self._waiting, (due_at, next(self._order), entry))
            if self._waiting[0][2] is entry:
                self._changed.notify()

    def _time(self) -> None:
        with self._changed:
            while not self._halted:
                now = self._move_due()
                self._changed.wait(self._waiting[0][0] - now if self._waiting else None)

    def _move_due(self) -> float:
        """Queue the tasks that have waited long enough, and return the time at which they had."""
        now = self._monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            self._due.put(heapq.heappop(self._waiting)[2])
        return now

"""Many lives of syncs in one process: a few threads drive them all.

A life makes a request and then yields how long it wants to wait. Between two requests it is an
entry in a heap, so a thousand waiting syncs cost a thousand entries and not a thousand threads.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import queue
import threading
import time
from collections.abc import Callable, Generator, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Crew", "Ended"]

_K = TypeVar("_K", bound=Hashable)
_T = TypeVar("_T")
Steps = Generator[float, None, _T]

LOOK_UP_SECONDS = 1.0
"""How often the thread that waits for results looks up: where a wait cannot be interrupted, as on
Windows, this is how long an interrupt takes to be noticed."""


@dataclass(frozen=True)
class Ended(Generic[_K, _T]):
    """A job that is over: its result, or its error."""

    key: _K
    result: _T | None = None
    error: BaseException | None = None


@dataclass(frozen=True)
class _Job(Generic[_K, _T]):
    key: _K
    steps: Steps[_T]


class Crew(Generic[_K, _T]):
    """Drives jobs, which yield the seconds that they want to wait, in a few threads.

    Iterate over it for the ends of the jobs, in the order in which they come; the threads begin
    with that. The iterating thread only waits, so an interrupt reaches it at once.

    Args:
        jobs: what to drive. A job runs in one thread at a time, not always in the same.
        threads: how many jobs may run, and not wait, at once; 0: the iterating thread runs them
            itself, one after the other, and they wait together all the same.
        monotonic: seconds that only grow.
    """

    def __init__(
        self,
        jobs: Mapping[_K, Steps[_T]],
        *,
        threads: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._left = len(jobs)
        self._monotonic = monotonic
        self._order = itertools.count()
        self._waiting: list[tuple[float, int, _Job[_K, _T]]] = []
        self._changed = threading.Condition()
        self._halted = False
        self._due: queue.SimpleQueue[_Job[_K, _T] | None] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[Ended[_K, _T]] = queue.SimpleQueue()
        for key, steps in jobs.items():
            self._due.put(_Job(key, steps))
        self._workers = [
            threading.Thread(target=self._work, name=f"rudderstack-{number}", daemon=True)
            for number in range(min(threads, len(jobs)))
        ]
        self._timekeeper = threading.Thread(
            target=self._keep_time, name="rudderstack-time", daemon=True
        )
        self._not_begun = [self._timekeeper, *self._workers] if threads else []

    def __iter__(self) -> Iterator[Ended[_K, _T]]:
        yield from self.until(float("inf"))
        self.halt()

    @property
    def left(self) -> int:
        """How many jobs have not ended, as far as whoever iterates was told."""
        return self._left

    def until(self, give_up_at: float) -> Iterator[Ended[_K, _T]]:
        """Yield the ends of the jobs until all are over or it is this late.

        Then call again, or halt.

        Args:
            give_up_at: on the clock of `time.monotonic`.
        """
        while self._not_begun:
            self._not_begun.pop().start()
        await_end = self._await_end if self._workers else self._work_to_an_end
        while self._left and (remaining := give_up_at - time.monotonic()) > 0:
            ended = await_end(remaining)
            if ended is not None:
                self._left -= 1
                yield ended

    def halt(self, seconds: float = 0.0) -> bool:
        """Let no job go on; the jobs stay where they are.

        Args:
            seconds: how long to wait for the threads that are in the middle of a request.

        Returns:
            Whether no job runs any more.
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

    def _await_end(self, seconds: float) -> Ended[_K, _T] | None:
        with contextlib.suppress(queue.Empty):
            return self._ended.get(timeout=min(LOOK_UP_SECONDS, seconds))
        return None

    def _work_to_an_end(self, seconds: float) -> Ended[_K, _T] | None:
        """Run what is due in this thread, until a job has ended or nothing is due."""
        now = self._call_up()
        while not self._due.empty():
            job = self._due.get()
            if job is not None:
                self._advance(job, Exception)
            with contextlib.suppress(queue.Empty):
                return self._ended.get_nowait()
        next_at = self._waiting[0][0] if self._waiting else now
        time.sleep(max(0.0, min(next_at - now, LOOK_UP_SECONDS, seconds)))
        return None

    # --- in the threads

    def _work(self) -> None:
        while (job := self._due.get()) is not None and not self._halted:
            self._advance(job)

    def _advance(self, job: _Job[_K, _T], told: type[BaseException] = BaseException) -> None:
        """Run a job up to its next wait or its end; errors of the kind `told` are its end."""
        try:
            seconds = next(job.steps)
        except StopIteration as end:
            self._ended.put(Ended(job.key, result=end.value))
        except told as error:
            self._ended.put(Ended(job.key, error=error))
        else:
            self._let_wait(job, seconds)

    def _let_wait(self, job: _Job[_K, _T], seconds: float) -> None:
        with self._changed:
            due_at = self._monotonic() + seconds
            heapq.heappush(self._waiting, (due_at, next(self._order), job))
            if self._waiting[0][2] is job:
                self._changed.notify()

    def _keep_time(self) -> None:
        with self._changed:
            while not self._halted:
                now = self._call_up()
                self._changed.wait(self._waiting[0][0] - now if self._waiting else None)

    def _call_up(self) -> float:
        """Let those go on that have waited long enough; return the time at which they had."""
        now = self._monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            self._due.put(heapq.heappop(self._waiting)[2])
        return now

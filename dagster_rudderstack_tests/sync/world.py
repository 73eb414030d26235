"""A server, a client and a clock that only waits advance, so that hours pass in milliseconds.

The server is the local RudderStack, reached over HTTP. Only the time is not real: a wait advances
the clock that the server and the client share.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from dagster_rudderstack.api.client import ClientSettings, RudderStackClient
from dagster_rudderstack.api.throttle import Throttle
from dagster_rudderstack.errors import RudderStackError
from dagster_rudderstack.settings import RequestPolicy, SyncPolicy
from dagster_rudderstack.sync.attempt import PreviousAttempt, SyncAttempt
from dagster_rudderstack.sync.recorder import Log, Successor, waiting_text
from dagster_rudderstack.sync.request import (
    Origin,
    Report,
    Request,
    RunRequest,
    SourceRunReport,
    SyncReport,
    SyncRequest,
)
from dagster_rudderstack.sync.run import start_and_wait
from dagster_rudderstack.sync.source_runs import SourceRunApi
from dagster_rudderstack.sync.stop import StopOutcome, stop
from dagster_rudderstack.sync.task import Task, drive
from dagster_rudderstack.testing import LocalRudderStack, ManualClock, ScaledClock

CONNECTION = "crm"
SOURCE = "features"
READ_TIMEOUT_SECONDS = 0.25
"""Real seconds, since a socket does not go by the clock of the world."""


@dataclass
class MemoryRecorder:
    """Keeps the records of an attempt, and what the next attempt would read from them."""

    log: Log | None = None
    previous: PreviousAttempt | None = None
    entries: list[tuple[str, object]] = field(default_factory=list)
    is_durable = True
    is_run_over: bool = False
    others: frozenset[str] = frozenset()
    """What other steps and Dagster runs have started."""
    newer: MemoryRecorder | None = None
    """The records of a newer execution of the same step."""
    request: Request = field(default_factory=lambda: SyncRequest(CONNECTION))

    def started_by_others(self) -> frozenset[str]:
        """Return what other steps and Dagster runs have started."""
        return self.others

    def is_sync_wanted(self) -> bool:
        """Whether the run goes on."""
        return not self.is_run_over

    def successor(self) -> Successor | None:
        """Return what the newer execution has recorded."""
        if self.newer is None:
            return None
        left = self.newer.previous
        return Successor(left.sync_id, left.owned) if left else Successor()

    def starting(self, known_sync_ids: Sequence[str]) -> None:
        """Record which syncs existed."""
        self.entries.append(("starting", tuple(known_sync_ids)))
        self.previous = PreviousAttempt(known_sync_ids=frozenset(known_sync_ids))

    def accepted(self, known_sync_ids: Sequence[str]) -> None:
        """Record that the start was accepted."""
        self.entries.append(("accepted", tuple(known_sync_ids)))
        self.previous = PreviousAttempt(known_sync_ids=frozenset(known_sync_ids), is_accepted=True)

    def waiting(self, sync_id: str, origin: Origin, *, owned: bool) -> None:
        """Record which sync the attempt waits for, and log it as in a run."""
        self.entries.append(("waiting", sync_id))
        self.previous = PreviousAttempt(sync_id=sync_id, owned=owned)
        if self.log is not None:
            self.log.info(waiting_text(self.request, sync_id, origin, owned=owned))

    def nothing_started(self) -> None:
        """Record that there is no sync to find."""
        self.entries.append(("nothing started", None))
        self.previous = None

    def stop_requested(self, sync_id: str) -> None:
        """Record that this sync must not be resumed."""
        self.entries.append(("stop requested", sync_id))
        self.previous = None


class ListHandler(logging.Handler):
    """Keeps the lines of a log."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.lines.append(f"{record.levelname} {record.getMessage()}")


@dataclass
class World:
    """One server, one client, one clock."""

    server: LocalRudderStack
    client: RudderStackClient
    clock: ManualClock
    random: random.Random
    handler: ListHandler = field(default_factory=ListHandler)

    @property
    def log(self) -> list[str]:
        """The log lines, each with its level in front."""
        return self.handler.lines

    @property
    def owned_sync_ids(self) -> list[str]:
        """The ids of the syncs that the client started, oldest first."""
        return [sync.id for sync in self.server.syncs(CONNECTION) if sync.origin == "api"]

    def attempt(
        self,
        policy: SyncPolicy | None = None,
        *,
        connection_id: str = CONNECTION,
        previous: PreviousAttempt | None = None,
        recorder: MemoryRecorder | None = None,
    ) -> SyncAttempt:
        """Return an attempt that uses the clock of this world."""
        logger = logging.Logger("attempt")  # noqa: LOG001 - not shared, and with our handler only
        logger.addHandler(self.handler)
        recorder = recorder or MemoryRecorder()
        recorder.log = logger
        return SyncAttempt(
            self.client,
            SyncRequest(connection_id),
            policy or SyncPolicy(),
            recorder=recorder,
            previous=previous,
            log=logger,
            monotonic=self.clock.monotonic,
            jitter=self.random.random,
        )

    def sync(self, policy: SyncPolicy | None = None, **options: object) -> SyncReport:
        """Run one sync to its end."""
        attempt = self.attempt(policy, **options)  # type: ignore[arg-type]
        report = drive(start_and_wait(attempt), self.clock.sleep)
        assert isinstance(report, SyncReport)
        return report

    @property
    def run_ids(self) -> list[str]:
        """The ids of the runs that the client started, oldest first."""
        return [run.id for run in self.server.runs(SOURCE) if run.origin == "api"]

    def run_attempt(
        self,
        policy: SyncPolicy | None = None,
        *,
        parameters: tuple[str, ...] = (),
        **options: Any,
    ) -> SyncAttempt:
        """Return an attempt to run a source."""
        attempt = self.attempt(policy, **options)
        attempt.api = SourceRunApi(self.client, {SOURCE: parameters})
        attempt.request = RunRequest(SOURCE, parameters, "Features")
        assert isinstance(attempt.recorder, MemoryRecorder)
        attempt.recorder.request = attempt.request
        return attempt

    def run(self, policy: SyncPolicy | None = None, **options: Any) -> SourceRunReport:
        """Run a source to the end of its run."""
        report = drive(start_and_wait(self.run_attempt(policy, **options)), self.clock.sleep)
        assert isinstance(report, SourceRunReport)
        return report

    def stop(self, attempt: SyncAttempt) -> StopOutcome:
        """Stop the sync of an attempt that was interrupted."""
        return drive(stop(attempt), self.clock.sleep)


@contextmanager
def world(
    seed: int = 0,
    *,
    skew_seconds: float = 0.0,
    pauses: ManualClock | ScaledClock | None = None,
    unknown_sync_status: Literal[404, 500] = 404,
) -> Iterator[World]:
    """Open a world.

    Args:
        seed: The seed of the server's faults and of the jitter.
        skew_seconds: How far the server's clock is ahead of the client's.
        pauses: The clock of the pauses after a 429, which hold for all attempts. None means the
            clock of the world.
        unknown_sync_status: What the server answers to the details of an unknown sync.
    """
    clock = ManualClock()
    server_clock = (lambda: clock() + skew_seconds) if skew_seconds else clock
    pause_clock = pauses or clock
    throttle = Throttle(
        max_concurrent=16,
        max_per_second=None,
        monotonic=pause_clock.monotonic,
        sleep=pause_clock.sleep,
    )
    with LocalRudderStack(
        clock=server_clock, seed=seed, unknown_sync_status=unknown_sync_status
    ) as server:
        settings = ClientSettings(
            base_url=f"{server.url}/v2",
            access_token=server.access_token,
            requests=RequestPolicy(read_timeout_seconds=READ_TIMEOUT_SECONDS),
        )
        with RudderStackClient(settings, throttle=throttle) as client:
            yield World(server, client, clock, random.Random(seed))  # noqa: S311 - jitter
        assert server.errors == []


def run_until(attempt: SyncAttempt, clock: ManualClock, seconds: float) -> Report | None:
    """Run an attempt for so many seconds, then stop running it, as an interrupt would.

    Returns its report, or None if it is not over by then.
    """
    task = start_and_wait(attempt)
    end = clock.monotonic() + seconds
    try:
        while True:
            wait = next(task)
            if clock.monotonic() + wait > end:
                clock.sleep(max(0.0, end - clock.monotonic()))
                return None
            clock.sleep(wait)
    except StopIteration as over:
        return over.value  # type: ignore[no-any-return]


HANG_SECONDS = 48 * 3600.0
"""Twice the default timeout: an attempt that is not over by then hangs."""
MAX_STEPS = 100_000


def run_together(
    attempts: Sequence[SyncAttempt], clock: ManualClock
) -> list[Report | RudderStackError | None]:
    """Run attempts together, see `run_tasks`."""
    return run_tasks([start_and_wait(attempt) for attempt in attempts], clock)


def run_tasks(
    tasks: Sequence[Task[Report | None]], clock: ManualClock
) -> list[Report | RudderStackError | None]:
    """Run tasks together: each goes on when its wait is over, in the order of the clock.

    Returns the result of each task, in the order of `tasks`. None means that it hangs.
    """
    results: list[Report | RudderStackError | None] = [None] * len(tasks)
    step_number = itertools.count()
    waiting: list[tuple[float, int, int, Task[Report | None]]] = [
        (clock.monotonic(), next(step_number), place, task) for place, task in enumerate(tasks)
    ]
    while waiting and next(step_number) < MAX_STEPS * len(tasks):
        wake_at, _, place, steps = heapq.heappop(waiting)
        clock.sleep(max(0.0, wake_at - clock.monotonic()))
        try:
            wait = next(steps)
        except StopIteration as over:
            results[place] = over.value
        except RudderStackError as error:
            results[place] = error
        else:
            if wake_at < HANG_SECONDS:
                heapq.heappush(waiting, (clock.monotonic() + wait, next(step_number), place, steps))
    return results

"""A server, a client and a clock that stands still, for whole lives of syncs in a millisecond.

The server is the local RudderStack, reached over HTTP; only time is not real: a wait moves the
clock that server and client share.
"""

import heapq
import itertools
import logging
import random
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from dagster_rudderstack.api.client import ClientSettings, RudderStackClient
from dagster_rudderstack.api.throttle import Throttle
from dagster_rudderstack.errors import RudderStackError
from dagster_rudderstack.settings import RequestPolicy, SyncPolicy
from dagster_rudderstack.sync.attempt import Log, PreviousAttempt, SyncAttempt, waiting_text
from dagster_rudderstack.sync.request import Origin, SyncReport, SyncRequest
from dagster_rudderstack.sync.run import start_and_wait
from dagster_rudderstack.sync.stop import StopOutcome, stop
from dagster_rudderstack.sync.task import drive
from dagster_rudderstack.testing import LocalRudderStack, ManualClock, ScaledClock

CONNECTION = "crm"
READ_TIMEOUT_SECONDS = 0.25
"""Real seconds: the one thing that the clock cannot hurry is a socket."""


@dataclass
class MemoryRecorder:
    """Keeps the records of an attempt, as the next attempt would find them."""

    log: Log | None = None
    previous: PreviousAttempt | None = None
    entries: list[tuple[str, object]] = field(default_factory=list)
    is_durable = True

    def starting(self, known_sync_ids: Sequence[str]) -> None:
        """Keep which syncs existed."""
        self.entries.append(("starting", tuple(known_sync_ids)))
        self.previous = PreviousAttempt(known_sync_ids=frozenset(known_sync_ids))

    def waiting(self, sync_id: str, origin: Origin, *, owned: bool) -> None:
        """Keep which sync the attempt waits for, and log it as Dagster shows it."""
        self.entries.append(("waiting", sync_id))
        self.previous = PreviousAttempt(sync_id=sync_id, owned=owned)
        if self.log is not None:
            self.log.info(waiting_text(SyncRequest(CONNECTION), sync_id, origin))

    def nothing_started(self) -> None:
        """Keep that there is no sync to find."""
        self.entries.append(("nothing started", None))
        self.previous = None

    def stop_requested(self, sync_id: str) -> None:
        """Keep that this sync is not to be resumed."""
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
        """What was logged, each line with its level in front."""
        return self.handler.lines

    def attempt(
        self,
        policy: SyncPolicy | None = None,
        *,
        connection_id: str = CONNECTION,
        previous: PreviousAttempt | None = None,
        recorder: MemoryRecorder | None = None,
    ) -> SyncAttempt:
        """Return an attempt that goes by the clock of this world."""
        logger = logging.Logger("attempt")  # noqa: LOG001 - one of its own, with our handler only
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
        return drive(start_and_wait(attempt), self.clock.sleep)

    def stop(self, attempt: SyncAttempt) -> StopOutcome:
        """Stop the sync of an attempt that was interrupted."""
        return drive(stop(attempt), self.clock.sleep)


@contextmanager
def world(
    seed: int = 0, *, skew_seconds: float = 0.0, pauses: ManualClock | ScaledClock | None = None
) -> Iterator[World]:
    """Open a world.

    Args:
        seed: of the server's faults and of the jitter.
        skew_seconds: by how much the server's clock is ahead of the client's.
        pauses: the clock of the pauses that a 429 to one life means for all; None: the world's.
    """
    clock = ManualClock()
    server_clock = (lambda: clock() + skew_seconds) if skew_seconds else clock
    gate = pauses or clock
    throttle = Throttle(
        max_concurrent=16, max_per_second=None, monotonic=gate.monotonic, sleep=gate.sleep
    )
    with LocalRudderStack(clock=server_clock, seed=seed) as server:
        settings = ClientSettings(
            base_url=f"{server.url}/v2",
            access_token=server.access_token,
            requests=RequestPolicy(read_timeout_seconds=READ_TIMEOUT_SECONDS),
        )
        with RudderStackClient(settings, throttle=throttle) as client:
            yield World(server, client, clock, random.Random(seed))  # noqa: S311 - jitter
        assert server.errors == []


def run_until(attempt: SyncAttempt, clock: ManualClock, seconds: float) -> SyncReport | None:
    """Run an attempt for so many seconds, then leave it as an interrupt would.

    Returns its report, or None if it was not over.
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
"""Twice the default timeout: a life that wants to go on after that will never end."""
MAX_STEPS = 100_000


def run_together(
    attempts: Sequence[SyncAttempt], clock: ManualClock
) -> list[SyncReport | RudderStackError | None]:
    """Run attempts side by side, each woken when its wait is over, in the order of the clock.

    Returns the end of each attempt, in the order of `attempts`. None means that it hangs.
    """
    ends: list[SyncReport | RudderStackError | None] = [None] * len(attempts)
    turn = itertools.count()
    waiting: list[tuple[float, int, int, Generator[float, None, SyncReport]]] = [
        (clock.monotonic(), next(turn), place, start_and_wait(attempt))
        for place, attempt in enumerate(attempts)
    ]
    while waiting and next(turn) < MAX_STEPS * len(attempts):
        wake_at, _, place, steps = heapq.heappop(waiting)
        clock.sleep(max(0.0, wake_at - clock.monotonic()))
        try:
            wait = next(steps)
        except StopIteration as over:
            ends[place] = over.value
        except RudderStackError as error:
            ends[place] = error
        else:
            if wake_at < HANG_SECONDS:
                heapq.heappush(waiting, (clock.monotonic() + wait, next(turn), place, steps))
    return ends

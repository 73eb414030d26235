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
from dagster_rudderstack.sync.life import (
    StopOutcome,
    SyncLife,
    SyncReport,
    SyncRequest,
    Unfinished,
    drive,
)
from dagster_rudderstack.testing import LocalRudderStack, ManualClock, ScaledClock

CONNECTION = "crm"
READ_TIMEOUT_SECONDS = 0.25
"""Real seconds: the one thing that the clock cannot hurry is a socket."""


@dataclass
class RecordingJournal:
    """Keeps what a life writes down, as the next attempt would find it."""

    entries: list[tuple[str, object]] = field(default_factory=list)
    left: Unfinished | None = None

    def starting(self, known_sync_ids: Sequence[str]) -> None:
        """Keep which syncs were there."""
        self.entries.append(("starting", tuple(known_sync_ids)))
        self.left = Unfinished(known_sync_ids=frozenset(known_sync_ids))

    def in_flight(self, sync_id: str, *, owned: bool) -> None:
        """Keep which sync is waited for."""
        self.entries.append(("in flight", sync_id))
        self.left = Unfinished(sync_id=sync_id, owned=owned)

    def nothing_started(self) -> None:
        """Keep that there is nothing to find."""
        self.entries.append(("nothing started", None))
        self.left = None

    def stop_requested(self, sync_id: str) -> None:
        """Keep that this sync is not to be taken up."""
        self.entries.append(("stop requested", sync_id))
        self.left = None


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

    def life(
        self,
        policy: SyncPolicy | None = None,
        *,
        connection_id: str = CONNECTION,
        unfinished: Unfinished | None = None,
        journal: RecordingJournal | None = None,
    ) -> SyncLife:
        """Return a life that lives by the clock of this world."""
        logger = logging.Logger("life")  # noqa: LOG001 - one of its own, with our handler only
        logger.addHandler(self.handler)
        return SyncLife(
            self.client,
            SyncRequest(connection_id),
            policy or SyncPolicy(),
            journal=journal or RecordingJournal(),
            unfinished=unfinished,
            log=logger,
            monotonic=self.clock.monotonic,
            jitter=self.random.random,
        )

    def sync(self, policy: SyncPolicy | None = None, **options: object) -> SyncReport:
        """Run one sync to its end."""
        return drive(self.life(policy, **options).run(), self.clock.sleep)  # type: ignore[arg-type]

    def stop(self, life: SyncLife) -> StopOutcome:
        """Stop the sync of a life that was interrupted."""
        return drive(life.stop(), self.clock.sleep)


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


def run_until(life: SyncLife, clock: ManualClock, seconds: float) -> SyncReport | None:
    """Run a life for so long and leave it as an interrupt would; its report, if it ended."""
    steps = life.run()
    end = clock.monotonic() + seconds
    try:
        while True:
            wait = next(steps)
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
    lives: Sequence[SyncLife], clock: ManualClock
) -> list[SyncReport | RudderStackError | None]:
    """Run lives side by side, each woken when its wait is over, in the order of the clock.

    The end of each life, in the order of `lives`; None: it hangs.
    """
    ends: list[SyncReport | RudderStackError | None] = [None] * len(lives)
    turn = itertools.count()
    waiting: list[tuple[float, int, int, Generator[float, None, SyncReport]]] = [
        (clock.monotonic(), next(turn), place, life.run()) for place, life in enumerate(lives)
    ]
    while waiting and next(turn) < MAX_STEPS * len(lives):
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

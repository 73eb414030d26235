"""Runs a thousand syncs while every fifth request fails, and judges the result of each.

    python -m dagster_rudderstack_tests.sync.chaos --syncs 1000 --seeds 1 2 3

The server is the local RudderStack over HTTP. The client and the attempts are the real ones. The
clock is compressed: it stands still during a request, and then advances to the time at which the
next attempt goes on. Hours of waiting take no time, and each run of a seed has the same order of
events. Only the pauses after a 429, which hold for all syncs, have a clock of their own, a thousand
times as fast as the real one. Otherwise each pause would take longer than most syncs.

Each result is compared with what the server knows at the end: one sync for each attempt, reported
with the status with which it ended. A few attempts in a hundred thousand meet more faults in a row
than a request has retries, and a few more have two starts in a row redirected. Such an attempt ends
without a sync of its own. It is counted separately, and only if the server saw those faults.
"""

import argparse
import itertools
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from dagster_rudderstack.api.models import Sync
from dagster_rudderstack.errors import RudderStackError, SyncError
from dagster_rudderstack.sync.decisions import failure_of
from dagster_rudderstack.sync.request import Report, SyncRequest
from dagster_rudderstack.testing import (
    Fault,
    LocalRudderStack,
    ScaledClock,
    SimulatedSync,
    SyncScript,
)
from dagster_rudderstack_tests.sync.world import (
    READ_TIMEOUT_SECONDS,
    World,
    run_together,
)
from dagster_rudderstack_tests.sync.world import world as open_world

SHARE_OF_FAULTS = 0.2
CLOCK_SKEW_SECONDS = 420.0

MUST_BE_ZERO = (
    "duplicate starts",
    "lost or orphaned",
    "false failures",
    "false successes",
    "wrong reports",
    "hangs",
)
BEYOND_TOLERANCE = "not started, retries used up"
START_LOST = "start lost"
"""Of runs only, see `chaos_runs`."""
RETRIES = 6
"""The documented default. Not read from the code, so that a change is noticed."""
_NO_EFFECT = (401, 404, 409, 429)
"""Statuses of a start that had no effect, so that a sync that began later is another client's."""
REDIRECT = 307
"""The status of a fault that redirects."""
MAX_BEYOND_TOLERANCE = 1
"""Per seed. In one seed of 30, an attempt meets seven faults in a row before its start. In one of
13, two starts of an attempt are redirected in a row. In one of 200, two attempts are affected."""


@dataclass(frozen=True)
class Chaos:
    """The results of one seed.

    Attributes:
        seed: The seed.
        verdicts: The number of attempts by verdict.
        wrong_results: One line for each attempt whose verdict must not occur.
        requests: The number of requests.
        faulty: The number of requests that a fault broke.
        real_seconds: How long the run took.
        compressed_seconds: How far the clock of the syncs advanced.
    """

    seed: int
    verdicts: Counter[str]
    wrong_results: list[str]
    requests: int
    faulty: int
    real_seconds: float
    compressed_seconds: float

    @property
    def right(self) -> int:
        """The number of attempts whose report is what the server knows."""
        return self.verdicts["right reports"]

    @property
    def is_good(self) -> bool:
        """Whether every report is right, except for a few attempts that used up their retries."""
        beyond = self.verdicts[BEYOND_TOLERANCE]
        good = self.right + self.verdicts[START_LOST] + beyond
        return beyond <= MAX_BEYOND_TOLERANCE and good == self.verdicts.total()


Result = Report | RudderStackError | None
"""How an attempt ended. None means that it hangs."""

Kinds = Mapping[str, Sequence[tuple[str, dict[str, object]]]]
"""The kinds of faults by operation, with their settings."""


def faults(kinds_of: Kinds) -> Iterator[Fault]:
    """Yield faults that together break a fifth of the requests.

    The server tries a fault only if the ones before it did not break the request. So the
    probability of a later fault is higher, and all break the same share of the requests.
    """
    for operation, kinds in kinds_of.items():
        share = SHARE_OF_FAULTS / len(kinds)
        for place, (kind, settings) in enumerate(kinds):
            probability = share / (1 - share * place)
            yield Fault(kind, operation=operation, probability=probability, **settings)  # type: ignore[arg-type]


TRANSIENT: list[tuple[str, dict[str, object]]] = [
    ("status", {"status": 500}),
    ("status", {"status": 502}),
    ("status", {"status": 503}),
    ("status", {"status": 504}),
    ("status", {"status": 429}),
    ("status", {"status": 429, "retry_after": 7}),
    ("status", {"status": 429, "retry_after": 7, "retry_after_as_date": True}),
    ("status", {"status": 429, "retry_after": 86_400}),
    ("reset", {}),
    ("close", {}),
    ("truncated", {}),
    ("empty", {}),
    ("wrong_type", {}),
]
POLL_FAULTS: list[tuple[str, dict[str, object]]] = [
    *TRANSIENT,
    ("status", {"status": 401}),
    ("status", {"status": 403}),
    ("status", {"status": 404}),
    ("redirect", {}),
]
LOST_STARTS: list[tuple[str, dict[str, object]]] = [
    (kind, {**settings, "effect": effect})
    for kind, settings in (
        ("status", {"status": 500}),
        ("status", {"status": 502}),
        ("status", {"status": 504}),
        ("reset", {}),
        ("close", {}),
        ("truncated", {}),
        ("empty", {}),
        ("wrong_type", {}),
        ("redirect", {}),
        ("slow", {"seconds": READ_TIMEOUT_SECONDS * 1.5}),
    )
    for effect in (True, False)
]
# RudderStack once refused valid tokens for half an hour.
BEFORE_THE_START: list[tuple[str, dict[str, object]]] = [*TRANSIENT, ("status", {"status": 401})]
_KINDS: dict[str, list[tuple[str, dict[str, object]]]] = {
    "get_connection": BEFORE_THE_START,
    "list_syncs": BEFORE_THE_START,
    "start": [
        *LOST_STARTS,
        ("status", {"status": 429}),
        ("status", {"status": 401}),
        # As for a source that was just created.
        ("status", {"status": 404}),
        ("scheduled_sync", {"script": SyncScript(duration_seconds=45)}),
    ],
    "get_sync": POLL_FAULTS,
    "stop": TRANSIENT,
}


def script(rng: random.Random) -> SyncScript:
    """Return the script of one sync: most succeed, and some end with each of the other statuses."""
    status = rng.choices(
        ["succeeded", "failed", "Aborted", "Completed, with failures"], [85, 9, 3, 3]
    )[0]
    return SyncScript(
        duration_seconds=min(rng.lognormvariate(3.5, 1.2), 3600),
        status=status,
        error="the destination is closed" if status == "failed" else None,
        rows_total=rng.randrange(10_000),
        running_status=rng.choices(["running", "preparing"], [9, 1])[0],
        metrics=rng.choices(["full", "null", "partial"], [8, 1, 1])[0],  # type: ignore[arg-type]
        hidden_for_seconds=rng.choice([0, 0, 0, 5]),
        null_timestamps=False,
    )


def populate(server: LocalRudderStack, syncs: int, seed: int) -> list[str]:
    """Add connections and faults to a server, and return the ids of the connections."""
    rng = random.Random(seed)  # noqa: S311 - a run can be repeated
    ids = [f"connection{number:05}" for number in range(syncs)]
    for connection_id in ids:
        server.add_connection(connection_id, script=script(rng), parallel_syncs=rng.random() < 0.2)
        if rng.random() < 0.1:
            server.start_sync(
                connection_id, origin="schedule", script=SyncScript(duration_seconds=120)
            )
    for fault in faults(_KINDS):
        server.add_fault(fault)
    return ids


def run(seed: int, syncs: int) -> Chaos:
    """Run the syncs of one seed, and judge their results."""
    began = time.monotonic()
    pauses = ScaledClock(scale=1000)
    with open_world(seed, skew_seconds=CLOCK_SKEW_SECONDS, pauses=pauses) as world:
        ids = populate(world.server, syncs, seed)
        attempts = [world.attempt(connection_id=name) for name in ids]
        results = dict(zip(ids, run_together(attempts, world.clock), strict=True))
        judged = {name: judge(world, name, result) for name, result in results.items()}
        return chaos_of(world, seed, results, judged, world.server.syncs, began)


def chaos_of(
    world: World,
    seed: int,
    results: Mapping[str, Result],
    verdicts: Mapping[str, str],
    known: Callable[[str], object],
    began: float,
) -> Chaos:
    """Return the results of one seed.

    Args:
        world: The world, at the end.
        seed: The seed.
        results: The result of each attempt, by connection or source.
        verdicts: The verdict on each of them.
        known: Returns what the server knows about a connection or source.
        began: When the seed began, on the clock of `time.monotonic`.
    """
    requests = world.server.requests
    return Chaos(
        seed=seed,
        verdicts=Counter(verdicts.values()),
        wrong_results=[
            f"seed {seed}: {verdict}: {name}: {results[name]!r}; the server knows {known(name)}"
            for name, verdict in verdicts.items()
            if verdict in MUST_BE_ZERO
        ],
        requests=len(requests),
        faulty=sum(request.fault is not None for request in requests),
        real_seconds=time.monotonic() - began,
        compressed_seconds=world.clock.monotonic(),
    )


def judge(world: World, connection_id: str, result: Report | RudderStackError | None) -> str:
    """Return the verdict on the result of one attempt, compared with what the server knows."""
    if result is None:
        return "hangs"
    syncs = {sync.id: sync for sync in world.server.syncs(connection_id)}
    owned = [sync for sync in syncs.values() if sync.origin == "api"]
    if len(owned) > 1:
        return "duplicate starts"
    reported = _reported(result)
    if reported is None:
        if owned:
            return "lost or orphaned"
        is_beyond = _retries_used_up(world, connection_id) or _redirected_twice(
            world, connection_id
        )
        return BEYOND_TOLERANCE if is_beyond else "false failures"
    known = syncs.get(reported.id)
    if known is None or known not in (owned or _adoptable(world, connection_id)):
        return "lost or orphaned"
    return _judge_status(result, known)


def _adoptable(world: World, connection_id: str) -> list[SimulatedSync]:
    """Return the syncs of other clients that began after a start whose answer was lost.

    All attempts use the policy `wait`, so no other sync of another client may be reported. One of
    these may be: it cannot be distinguished from an owned one, and it also began after the upstream
    tables were rebuilt.
    """
    lost_at = [
        request.at
        for request in world.server.requests
        if request.connection_id == connection_id
        and request.operation == "start"
        and request.fault is not None
        and request.status not in _NO_EFFECT
    ]
    return [
        sync
        for sync in world.server.syncs(connection_id)
        if lost_at and sync.started_at >= min(lost_at)
    ]


def _retries_used_up(world: World, connection_id: str) -> bool:
    """Whether the last requests were one request with all its retries, and all of them faulty."""
    seen = [each for each in world.server.requests if each.connection_id == connection_id]
    last = seen[-(RETRIES + 1) :]
    return (
        len(last) == RETRIES + 1
        and all(each.fault is not None for each in last)
        and len({each.operation for each in last}) == 1
    )


def _redirected_twice(world: World, connection_id: str) -> bool:
    """Whether two starts in a row were redirected, which ends an attempt, see docs/faults.md."""
    starts = [
        each
        for each in world.server.requests
        if each.connection_id == connection_id and each.operation == "start"
    ]
    return [each.status for each in starts[-2:]] == [REDIRECT, REDIRECT]


def _reported(result: Report | RudderStackError) -> Sync | None:
    if not isinstance(result, RudderStackError):
        return result
    return result.sync if isinstance(result, SyncError) else None


def _judge_status(result: Report | RudderStackError, known: SimulatedSync) -> str:
    has_succeeded = known.status == "succeeded"
    if not isinstance(result, RudderStackError):
        is_right = has_succeeded and result.status == known.status
        return "right reports" if is_right else "false successes"
    if has_succeeded:
        return "false failures"
    assert isinstance(result, SyncError)
    assert result.sync is not None
    expected = type(failure_of(result.sync, SyncRequest(result.connection_id)))
    is_right = result.sync.status == known.status and type(result) is expected
    return "right reports" if is_right else "wrong reports"


def table(results: list[Chaos], more: Sequence[str] = ()) -> str:
    """Return a table with one row for each seed. `more` are further verdicts that may occur."""
    headings = [
        "seed",
        "right reports",
        *more,
        BEYOND_TOLERANCE,
        *MUST_BE_ZERO,
        "requests",
        "faulty",
        "real s",
        "clock h",
    ]
    rows = [
        [
            result.seed,
            result.right,
            *(result.verdicts[name] for name in more),
            result.verdicts[BEYOND_TOLERANCE],
            *(result.verdicts[name] for name in MUST_BE_ZERO),
            result.requests,
            f"{result.faulty / result.requests:.1%}",
            f"{result.real_seconds:.0f}",
            f"{result.compressed_seconds / 3600:.1f}",
        ]
        for result in results
    ]
    lines = [" | ".join(headings), " | ".join("---" for _ in headings)]
    lines += [" | ".join(str(cell) for cell in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def main(
    run_seed: Callable[[int, int], Chaos],
    description: str | None,
    noun: str = "syncs",
    more: Sequence[str] = (),
) -> int:
    """Run the seeds and print the table. Return 1 if a result is wrong, otherwise 0."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(f"--{noun}", type=int, default=1000, dest="count")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    arguments = parser.parse_args()
    with ProcessPoolExecutor(max_workers=2) as pool:
        results = list(pool.map(run_seed, arguments.seeds, itertools.repeat(arguments.count)))
    print(table(results, more))  # noqa: T201 - the output of a command
    for result in results:
        print(*result.wrong_results, sep="\n", end="\n" if result.wrong_results else "")  # noqa: T201
    return int(not all(result.is_good for result in results))


if __name__ == "__main__":
    sys.exit(main(run, __doc__))

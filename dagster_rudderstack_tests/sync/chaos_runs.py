"""Starts a thousand runs of sources while every fifth request fails, and judges each result.

    python -m dagster_rudderstack_tests.sync.chaos_runs --runs 1000 --seeds 1 2 3

As `chaos` does with syncs: the real client and attempts, the local RudderStack over HTTP, and a
compressed clock. Half of the sources have the legacy endpoint that shows their newest run. All
attempts use the default policy: a start whose effect is unknown is not sent again.

No source may have two runs of ours. An attempt may end with a lost start only if the answer to its
start was lost. The table shows how many do.
"""

import logging
import random
import sys
import time

from dagster_rudderstack.errors import RudderStackError, StartLostError, SyncError
from dagster_rudderstack.settings import SyncPolicy
from dagster_rudderstack.sync.attempt import SyncAttempt
from dagster_rudderstack.sync.decisions import failure_of
from dagster_rudderstack.sync.request import Report, RunRequest, SourceRunReport
from dagster_rudderstack.sync.source_runs import SourceRunApi
from dagster_rudderstack.testing import RunScript, ScaledClock, SimulatedRun
from dagster_rudderstack_tests.sync.chaos import (
    BEFORE_THE_START,
    BEYOND_TOLERANCE,
    CLOCK_SKEW_SECONDS,
    LOST_STARTS,
    POLL_FAULTS,
    RETRIES,
    START_LOST,
    Chaos,
    Kinds,
    chaos_of,
    faults,
    main,
)
from dagster_rudderstack_tests.sync.world import MemoryRecorder, World, run_together
from dagster_rudderstack_tests.sync.world import world as open_world

_QUIET = logging.Logger("chaos", logging.CRITICAL)  # noqa: LOG001 - without handlers
_NO_EFFECT = (401, 404, 409, 429)

_KINDS: Kinds = {
    "start_run": [
        *LOST_STARTS,
        ("status", {"status": 429}),
        ("status", {"status": 401}),
    ],
    "get_run": POLL_FAULTS,
    "get_newest_run": BEFORE_THE_START,
}


def script(rng: random.Random) -> RunScript:
    """Return the script of one run: most succeed, and some end with each of the other ends."""
    kind = rng.choices(["finished", "error", "failed", "crashed"], [82, 12, 3, 3])[0]
    return RunScript(
        duration_seconds=min(rng.lognormvariate(3.5, 1.2), 3600),
        status="finished" if kind == "error" else kind,
        error="relation does not exist" if kind in ("error", "failed") else None,
        running_status=rng.choices(["running", "processing", "queued"], [8, 1, 1])[0],
        snake_case=rng.random() < 0.3,
        hidden_for_seconds=rng.choice([0, 0, 0, 5]),
    )


def populate(world: World, runs: int, seed: int) -> list[str]:
    """Add sources and faults to the server, and return the ids of the sources."""
    rng = random.Random(seed)  # noqa: S311 - a run can be repeated
    ids = [f"source{number:05}" for number in range(runs)]
    for source_id in ids:
        world.server.add_project(
            source_id,
            script(rng),
            legacy_status=rng.random() < 0.5,
            start_status=rng.choices([200, 204], [49, 1])[0],  # type: ignore[arg-type]
        )
        if rng.random() < 0.1:
            world.server.start_run(
                source_id, origin="schedule", script=RunScript(duration_seconds=120)
            )
    for fault in faults(_KINDS):
        world.server.add_fault(fault)
    return ids


def attempt_of(world: World, source_id: str) -> SyncAttempt:
    """Return an attempt to run a source, on the clock of the world."""
    return SyncAttempt(
        SourceRunApi(world.client, {source_id: ()}),
        RunRequest(source_id),
        SyncPolicy(),
        recorder=MemoryRecorder(),
        log=_QUIET,
        monotonic=world.clock.monotonic,
        jitter=world.random.random,
    )


def run(seed: int, runs: int) -> Chaos:
    """Make the runs of one seed, and judge their results."""
    began = time.monotonic()
    with open_world(seed, skew_seconds=CLOCK_SKEW_SECONDS, pauses=ScaledClock(scale=1000)) as world:
        ids = populate(world, runs, seed)
        attempts = [attempt_of(world, name) for name in ids]
        results = dict(zip(ids, run_together(attempts, world.clock), strict=True))
        judged = {name: judge(world, name, result) for name, result in results.items()}
        return chaos_of(world, seed, results, judged, world.server.runs, began)


def judge(world: World, source_id: str, result: Report | RudderStackError | None) -> str:
    """Return the verdict on the result of one attempt, compared with what the server knows."""
    if result is None:
        return "hangs"
    owned = [run for run in world.server.runs(source_id) if run.origin == "api"]
    if len(owned) > 1:
        return "duplicate starts"
    if isinstance(result, StartLostError):
        return START_LOST if _was_lost(world, source_id) else "false failures"
    seen = result if isinstance(result, SourceRunReport) else None
    if isinstance(result, SyncError):
        seen = result.sync  # type: ignore[assignment]
    if seen is None and not owned:
        return BEYOND_TOLERANCE if _retries_used_up(world, source_id) else "false failures"
    if seen is None or seen.id not in {run.id for run in owned}:
        return "lost or orphaned"
    return _judge_status(result, owned[0])


def _was_lost(world: World, source_id: str) -> bool:
    """Whether the answer to a start was lost, or did not say which run was started."""
    return any(
        request.operation == "start_run"
        and request.status not in _NO_EFFECT
        and (request.fault is not None or request.status == 204)
        for request in world.server.requests
        if request.source_id == source_id
    )


def _retries_used_up(world: World, source_id: str) -> bool:
    """Whether as many starts as an attempt may send have failed without an effect."""
    failed = [
        request
        for request in world.server.requests
        if request.source_id == source_id
        and request.operation == "start_run"
        and request.fault is not None
    ]
    return len(failed) > RETRIES


def _judge_status(result: Report | RudderStackError, known: SimulatedRun) -> str:
    has_succeeded = known.status == "finished" and known.error is None
    if not isinstance(result, RudderStackError):
        return "right reports" if has_succeeded else "false successes"
    if has_succeeded:
        return "false failures"
    assert isinstance(result, SyncError)
    assert result.sync is not None
    expected = type(failure_of(result.sync, RunRequest(known.source_id)))
    is_right = result.sync.status == known.status and type(result) is expected
    return "right reports" if is_right else "wrong reports"


if __name__ == "__main__":
    sys.exit(main(run, __doc__, "runs", [START_LOST]))

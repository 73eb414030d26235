"""Random faults, kills and cancels: the result of an attempt is what the server knows."""

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dagster_rudderstack.errors import RudderStackError, SyncError
from dagster_rudderstack.sync.request import Report
from dagster_rudderstack.sync.run import start_and_wait
from dagster_rudderstack.sync.stop import StopOutcome
from dagster_rudderstack.sync.storage import SyncUnwantedError
from dagster_rudderstack.sync.task import Task
from dagster_rudderstack.testing import Fault, SyncScript
from dagster_rudderstack_tests.sync.world import (
    CONNECTION,
    MemoryRecorder,
    World,
    run_tasks,
    run_until,
)
from dagster_rudderstack_tests.sync.world import world as open_world

many_examples = settings(max_examples=60, suppress_health_check=list(HealthCheck))

BROKEN_ANSWERS: st.SearchStrategy[dict[str, object]] = st.sampled_from(
    [
        {"kind": "status", "status": 500},
        {"kind": "status", "status": 503},
        {"kind": "status", "status": 429},
        {"kind": "reset"},
        {"kind": "close"},
        {"kind": "truncated"},
        {"kind": "empty"},
        {"kind": "wrong_type"},
    ]
)
SCRIPTS = st.builds(
    SyncScript,
    duration_seconds=st.sampled_from([0, 1, 5, 40, 400]),
    status=st.sampled_from(["succeeded", "succeeded", "failed", "Aborted", "Completed?"]),
    hidden_for_seconds=st.sampled_from([0, 0, 3]),
    running_status=st.sampled_from(["running", "running", "queued"]),
)


@st.composite
def fault_plans(draw: st.DrawFn) -> list[Fault]:
    """Return faults of some of the first 25 requests, at most five in a row."""
    plan = []
    faults_in_a_row = 0
    for place in range(draw(st.integers(0, 25))):
        faults_in_a_row = faults_in_a_row + 1 if draw(st.booleans()) else 0
        if 0 < faults_in_a_row < 6:
            answer = draw(BROKEN_ANSWERS)
            # A request that gets a 429 has no effect.
            effect = draw(st.booleans()) and answer.get("status") != 429
            plan.append(Fault(**answer, skip=place, effect=effect))  # type: ignore[arg-type]
    return plan


def assert_true_result(world: World, result: Report | RudderStackError) -> None:
    """The result of an attempt is what the server knows about its sync."""
    known = {sync.id: sync for sync in world.server.syncs(CONNECTION)}
    if isinstance(result, Report):
        assert known[result.id].status == result.status == "succeeded"
    elif isinstance(result, SyncError) and result.sync is not None:
        assert known[result.sync.id].status == result.sync.status != "succeeded"
    else:
        # Any other error means that no sync was started.
        assert world.owned_sync_ids == []


@many_examples
@given(script=SCRIPTS, faults=fault_plans())
def test_faults(script: SyncScript, faults: list[Fault]) -> None:
    """With random faults, an attempt starts at most one sync, and its result is what the server
    knows."""
    with open_world() as world:
        world.server.add_connection(CONNECTION, script=script)
        for fault in faults:
            world.server.add_fault(fault)

        try:
            result: Report | RudderStackError = world.sync()
        except RudderStackError as error:
            result = error

        assert len(world.owned_sync_ids) <= 1
        assert_true_result(world, result)


@many_examples
@given(
    script=SCRIPTS,
    faults=fault_plans(),
    seconds_until_kill=st.lists(st.sampled_from([0.0, 0.5, 2.0, 10.0, 60.0]), max_size=4),
)
def test_killed_attempts(
    script: SyncScript, faults: list[Fault], seconds_until_kill: list[float]
) -> None:
    """Attempts that are killed and resumed start one sync in total, and another one only if it
    failed."""
    with open_world() as world:
        world.server.add_connection(CONNECTION, script=script)
        for fault in faults:
            world.server.add_fault(fault)
        recorder = MemoryRecorder()
        result: Report | RudderStackError | None = None

        for seconds in [*seconds_until_kill, 1e9]:
            attempt = world.attempt(previous=recorder.previous, recorder=recorder)
            try:
                result = run_until(attempt, world.clock, seconds)
            except RudderStackError as error:
                result = error
            if result is not None:
                break

        assert result is not None
        assert_true_result(world, result)
        succeeded = [sync for sync in world.server.syncs(CONNECTION) if sync.status == "succeeded"]
        assert len(succeeded) <= 1
        if script.status == "succeeded":
            assert len(world.owned_sync_ids) <= 1


@many_examples
@given(
    script=SCRIPTS,
    faults=fault_plans(),
    seconds=st.sampled_from([0.0, 0.5, 2.0, 10.0, 60.0]),
)
def test_same_attempt_again(script: SyncScript, faults: list[Fault], seconds: float) -> None:
    """A step that is delivered a second time while its first execution goes on starts no second
    sync, unless the first one failed. Both executions end with what the server knows."""
    with open_world() as world:
        world.server.add_connection(CONNECTION, script=script)
        for fault in faults:
            world.server.add_fault(fault)
        first, second = MemoryRecorder(), MemoryRecorder()

        def again() -> Task[Report]:
            yield seconds
            first.newer = second
            attempt = world.attempt(previous=first.previous, recorder=second)
            return (yield from start_and_wait(attempt))

        attempt = world.attempt(recorder=first)
        results = run_tasks([start_and_wait(attempt), again()], world.clock)

        for result in results:
            assert result is not None
            assert_true_result(world, result)
        if script.status == "succeeded":
            assert len(world.owned_sync_ids) <= 1


@many_examples
@given(
    script=SCRIPTS,
    faults=fault_plans(),
    seconds=st.sampled_from([0.0, 0.5, 2.0, 10.0, 60.0]),
    other_client=st.booleans(),
)
def test_run_over(
    script: SyncScript, faults: list[Fault], seconds: float, other_client: bool
) -> None:
    """After the end of its run, a step that goes on starts nothing, and the retry of the run starts
    one sync at most."""
    with open_world() as world:
        world.server.add_connection(CONNECTION, script=script)
        if other_client:
            world.server.start_sync(CONNECTION, script=SyncScript(duration_seconds=30))
        for fault in faults:
            world.server.add_fault(fault)
        orphan, retry = MemoryRecorder(), MemoryRecorder()
        starts_before: list[int] = []

        def outlive_the_run() -> Task[Report | None]:
            try:
                return (yield from start_and_wait(world.attempt(recorder=orphan)))
            except SyncUnwantedError:
                # Nothing has begun since the run has ended, except what the retry started.
                return None

        def retry_the_run() -> Task[Report | None]:
            yield seconds
            orphan.is_run_over = True
            starts_before.append(orphan_starts())
            attempt = world.attempt(previous=orphan.previous, recorder=retry)
            return (yield from start_and_wait(attempt))

        def orphan_starts() -> int:
            return sum(kind == "starting" for kind, _ in orphan.entries)

        _, result = run_tasks([outlive_the_run(), retry_the_run()], world.clock)

        assert result is not None
        assert_true_result(world, result)
        assert orphan_starts() == starts_before[0]
        if script.status == "succeeded":
            assert len(world.owned_sync_ids) <= 1


@many_examples
@given(
    seconds=st.sampled_from([0.0, 0.5, 3.0, 30.0, 500.0]),
    faults=fault_plans(),
    other_client=st.booleans(),
    parallel=st.booleans(),
)
def test_cancel(seconds: float, faults: list[Fault], other_client: bool, parallel: bool) -> None:
    """A cancel at any time stops the owned sync if no other one runs, and never another client's
    sync."""
    with open_world() as world:
        world.server.add_connection(
            CONNECTION, script=SyncScript(duration_seconds=300), parallel_syncs=parallel
        )
        attempt = world.attempt()
        report = run_until(attempt, world.clock, seconds)
        if other_client and (parallel or not world.owned_sync_ids):
            world.server.start_sync(CONNECTION, script=SyncScript(duration_seconds=9_000))
        for fault in faults:
            # A client takes a 2xx answer to a stop for its acceptance, so the server must not send
            # one for a stop without effect.
            is_2xx = fault.kind in {"empty", "wrong_type"}
            world.server.add_fault(replace(fault, effect=fault.effect or is_2xx))

        outcome = world.stop(attempt) if report is None else None

        stopped = [sync for sync in world.server.syncs(CONNECTION) if sync.stop_requested_at]
        assert all(sync.origin == "api" for sync in stopped)
        if outcome is StopOutcome.REQUESTED:
            assert [sync.id for sync in stopped] == world.owned_sync_ids
        if not faults and report is None and world.owned_sync_ids and not other_client:
            assert outcome is StopOutcome.REQUESTED

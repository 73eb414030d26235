"""Whole lives against what the server knows, whatever the order of faults, kills and cancels."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dagster_rudderstack.errors import RudderStackError, SyncError
from dagster_rudderstack.sync.request import SyncReport
from dagster_rudderstack.sync.run import start_and_wait
from dagster_rudderstack.sync.stop import StopOutcome
from dagster_rudderstack.sync.task import drive
from dagster_rudderstack.testing import Fault, SyncScript
from dagster_rudderstack_tests.sync.world import CONNECTION, MemoryRecorder, World, run_until
from dagster_rudderstack_tests.sync.world import world as open_world

lives = settings(max_examples=60, suppress_health_check=list(HealthCheck))

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
    """Return which of the first requests are broken, and how; at most five in a row."""
    plan = []
    broken_in_a_row = 0
    for place in range(draw(st.integers(0, 25))):
        broken_in_a_row = broken_in_a_row + 1 if draw(st.booleans()) else 0
        if 0 < broken_in_a_row < 6:
            answer = draw(BROKEN_ANSWERS)
            # A 429 is a promise that there was no effect.
            effect = draw(st.booleans()) and answer.get("status") != 429
            plan.append(Fault(**answer, skip=place, effect=effect))  # type: ignore[arg-type]
    return plan


def ours(world: World) -> list[str]:
    """Return the ids of the syncs that the API was asked for."""
    return [sync.id for sync in world.server.syncs(CONNECTION) if sync.origin == "api"]


def assert_told_truly(world: World, end: SyncReport | RudderStackError) -> None:
    """The end of a attempt is what the server knows of its sync."""
    known = {sync.id: sync for sync in world.server.syncs(CONNECTION)}
    if isinstance(end, SyncReport):
        assert known[end.id].status == end.status == "succeeded"
    elif isinstance(end, SyncError) and end.sync is not None:
        assert known[end.sync.id].status == end.sync.status != "succeeded"
    else:
        # Nothing was started, and the error says why.
        assert ours(world) == []


@lives
@given(script=SCRIPTS, faults=fault_plans())
def test_one_sync_for_one_life(script: SyncScript, faults: list[Fault]) -> None:
    """Whatever the faults, at most one sync is started, and the report is the truth."""
    with open_world() as world:
        world.server.add_connection(CONNECTION, script=script)
        for fault in faults:
            world.server.add_fault(fault)

        try:
            end: SyncReport | RudderStackError = world.sync()
        except RudderStackError as error:
            end = error

        assert len(ours(world)) <= 1
        assert_told_truly(world, end)


@lives
@given(
    script=SCRIPTS,
    faults=fault_plans(),
    lifetimes=st.lists(st.sampled_from([0.0, 0.5, 2.0, 10.0, 60.0]), max_size=4),
)
def test_attempts_that_are_killed_are_resumed(
    script: SyncScript, faults: list[Fault], lifetimes: list[float]
) -> None:
    """Attempts killed at any moment and resumed start one sync, or one more per failure."""
    with open_world() as world:
        world.server.add_connection(CONNECTION, script=script)
        for fault in faults:
            world.server.add_fault(fault)
        recorder = MemoryRecorder()
        end: SyncReport | RudderStackError | None = None

        for seconds in [*lifetimes, 1e9]:
            attempt = world.attempt(previous=recorder.previous, recorder=recorder)
            try:
                end = run_until(attempt, world.clock, seconds)
            except RudderStackError as error:
                end = error
            if end is not None:
                break

        assert end is not None
        assert_told_truly(world, end)
        good = [sync for sync in world.server.syncs(CONNECTION) if sync.status == "succeeded"]
        assert len(good) <= 1
        if script.status == "succeeded":
            assert len(ours(world)) <= 1


@lives
@given(
    seconds=st.sampled_from([0.0, 0.5, 3.0, 30.0, 500.0]),
    faults=fault_plans(),
    foreign=st.booleans(),
    parallel=st.booleans(),
)
def test_only_ours_is_stopped(
    seconds: float, faults: list[Fault], foreign: bool, parallel: bool
) -> None:
    """A cancel at any moment stops our sync if it is alone, and never anybody else's."""
    with open_world() as world:
        world.server.add_connection(
            CONNECTION, script=SyncScript(duration_seconds=300), parallel_syncs=parallel
        )
        attempt = world.attempt()
        ended = run_until(attempt, world.clock, seconds)
        if foreign and (parallel or not ours(world)):
            world.server.start_sync(CONNECTION, script=SyncScript(duration_seconds=9_000))
        for fault in faults:
            world.server.add_fault(fault)

        outcome = world.stop(attempt) if ended is None else None

        stopped = [sync for sync in world.server.syncs(CONNECTION) if sync.stop_requested_at]
        assert all(sync.origin == "api" for sync in stopped)
        if outcome is StopOutcome.REQUESTED:
            assert [sync.id for sync in stopped] == ours(world)
        if not faults and ended is None and ours(world) and not foreign:
            assert outcome is StopOutcome.REQUESTED


def test_stop_of_a_start_cut_off_by_the_interrupt(world: World) -> None:
    """A start that took effect just when the run was canceled is found and stopped."""
    world.server.add_connection(CONNECTION, script=SyncScript(duration_seconds=300))
    world.server.add_fault(Fault("reset", operation="start", effect=True))
    attempt = world.attempt()
    run_until(attempt, world.clock, 0.1)
    assert attempt.sync_id is None or attempt.sync_id in ours(world)

    outcome = world.stop(attempt)

    assert outcome is StopOutcome.REQUESTED
    assert len(world.server.stops(CONNECTION)) == 1


def test_stop_of_a_life_that_has_not_begun(world: World) -> None:
    """Before a start there is nothing to stop, and nobody is asked to."""
    world.server.add_connection(CONNECTION)

    assert world.stop(world.attempt()) is StopOutcome.NOTHING_STARTED
    assert world.server.stops(CONNECTION) == []


def test_resumed_success_is_reported_without_a_start(world: World) -> None:
    """A sync that ended well while nobody looked is reported, and none is started."""
    world.server.add_connection(CONNECTION, script=SyncScript(duration_seconds=60))
    recorder = MemoryRecorder()
    run_until(world.attempt(recorder=recorder), world.clock, 10)
    world.clock.advance(3600)

    report = drive(start_and_wait(world.attempt(previous=recorder.previous)), world.clock.sleep)

    assert report.origin == "resumed"
    assert [report.id] == ours(world)


def test_resumed_failure_is_started_anew(world: World) -> None:
    """A sync that failed while nobody looked is not reported: a new one is started."""
    world.server.add_connection(CONNECTION)
    world.server.script_next(CONNECTION, SyncScript(duration_seconds=60, status="failed"))
    recorder = MemoryRecorder()
    run_until(world.attempt(recorder=recorder), world.clock, 10)
    world.clock.advance(3600)

    report = drive(start_and_wait(world.attempt(previous=recorder.previous)), world.clock.sleep)

    assert report.origin == "started"
    assert len(ours(world)) == 2

"""What an attempt makes of what an earlier one left, and of what is somebody else's."""

from datetime import datetime, timedelta, timezone
from typing import Any, cast

import pytest

from dagster_rudderstack.errors import ConnectionDisabledError, SyncFailedError, SyncTimedOutError
from dagster_rudderstack.settings import SyncPolicy
from dagster_rudderstack.sync.attempt import PreviousAttempt
from dagster_rudderstack.sync.run import start_and_wait
from dagster_rudderstack.sync.stop import StopOutcome
from dagster_rudderstack.sync.task import drive
from dagster_rudderstack.testing import Fault, SyncScript
from dagster_rudderstack_tests.sync.world import CONNECTION, MemoryRecorder, World, run_until

FIVE_MINUTES = SyncScript(duration_seconds=300)


def ours(world: World) -> list[str]:
    """Return the ids of the syncs that the API was asked for."""
    return [sync.id for sync in world.server.syncs(CONNECTION) if sync.origin == "api"]


def starts(world: World) -> int:
    return len(world.server.starts(CONNECTION))


def lost_start(world: World, **script: object) -> MemoryRecorder:
    """Leave what an attempt leaves whose start took effect and that was killed before it knew."""
    recorder = MemoryRecorder()
    world.server.script_next(CONNECTION, SyncScript(**script))  # type: ignore[arg-type]
    world.server.add_fault(Fault("reset", operation="start", effect=True))
    world.server.add_fault(Fault("status", status=503, operation="list_syncs", skip=1))
    run_until(world.attempt(recorder=recorder), world.clock, 0.0)
    assert recorder.previous is not None
    assert recorder.previous.sync_id is None
    return recorder


# --- a start that certainly had no effect


def test_what_was_refused_with_a_conflict_is_not_looked_for(world: World) -> None:
    """A start that met somebody else's sync started nothing: the next attempt, after a kill, takes
    nothing for ours but starts its own."""
    world.server.add_connection(CONNECTION, script=FIVE_MINUTES)
    world.server.add_fault(Fault("scheduled_sync", operation="start"))
    recorder = MemoryRecorder()
    run_until(world.attempt(recorder=recorder), world.clock, 100)

    report = drive(
        start_and_wait(world.attempt(previous=recorder.previous, recorder=recorder)),
        world.clock.sleep,
    )

    assert report.origin == "started"
    assert [report.id] == ours(world)


def test_what_was_refused_with_a_conflict_is_not_stopped(world: World) -> None:
    """Nor does a cancel of the next attempt stop the sync that was in the way."""
    world.server.add_connection(CONNECTION, script=FIVE_MINUTES)
    world.server.add_fault(Fault("scheduled_sync", operation="start"))
    recorder = MemoryRecorder()
    run_until(world.attempt(recorder=recorder), world.clock, 100)
    attempt = world.attempt(previous=recorder.previous)
    attempt.take_over_previous()

    assert world.stop(attempt) is StopOutcome.NOTHING_STARTED
    assert world.server.stops(CONNECTION) == []


def test_a_timeout_behind_somebody_elses_sync(world: World) -> None:
    """A retry after the timeout does not report the sync that was in the way as ours."""
    world.server.add_connection(CONNECTION, script=FIVE_MINUTES)
    world.server.add_fault(Fault("scheduled_sync", operation="start"))
    recorder = MemoryRecorder()
    with pytest.raises(SyncTimedOutError):
        world.sync(SyncPolicy(sync_timeout_seconds=60), recorder=recorder)

    assert world.server.stops(CONNECTION) == []
    report = world.sync(previous=recorder.previous, recorder=recorder)
    assert [report.id] == ours(world)


# --- a start whose answer an earlier attempt did not get


def test_a_lost_start_is_adopted_by_the_next_attempt(world: World) -> None:
    """The sync that it started is found and waited for."""
    world.server.add_connection(CONNECTION)
    recorder = lost_start(world, duration_seconds=60)

    report = world.sync(previous=recorder.previous, recorder=recorder)

    assert report.origin == "adopted"
    assert starts(world) == 1


def test_a_lost_start_whose_sync_failed_is_made_again(world: World) -> None:
    """Only a sync that failed is started anew, and at once."""
    world.server.add_connection(CONNECTION)
    recorder = lost_start(world, status="failed")

    report = world.sync(previous=recorder.previous, recorder=recorder)

    assert report.origin == "started"
    assert starts(world) == 2
    assert world.clock.monotonic() < SyncPolicy().start_settling_seconds


def test_a_lost_start_of_ours_after_one_that_failed(world: World) -> None:
    """What failed for the earlier attempt is not taken for what our own lost start has started."""
    world.server.add_connection(CONNECTION)
    recorder = lost_start(world, status="failed")
    world.server.add_fault(Fault("reset", operation="start", effect=True))

    report = world.sync(previous=recorder.previous, recorder=recorder)

    assert report.origin == "adopted"
    assert starts(world) == 2


def test_a_lost_start_whose_sync_failed_before_somebody_elses(world: World) -> None:
    """The sync that began later is somebody else's: it is waited for, and ours started then."""
    world.server.add_connection(CONNECTION)
    recorder = lost_start(world, status="failed")
    world.clock.advance(1)
    world.server.start_sync(CONNECTION, "schedule", script=FIVE_MINUTES)

    report = world.sync(previous=recorder.previous, recorder=recorder)

    assert report.origin == "started"
    assert report.id in ours(world)
    assert starts(world) == 2


def test_a_cancel_in_the_middle_of_a_start_after_an_old_note(world: World) -> None:
    """What this attempt has started is found by the cancel, whatever an old note says."""
    world.server.add_connection(CONNECTION, script=FIVE_MINUTES)
    recorded_at = datetime.fromtimestamp(world.clock(), timezone.utc)
    world.clock.advance(86_400)
    attempt = world.attempt(previous=PreviousAttempt(recorded_at=recorded_at))
    attempt.api = cast("Any", _Interrupted(attempt.api))
    with pytest.raises(KeyboardInterrupt):
        run_until(attempt, world.clock, 100)

    assert world.stop(attempt) is StopOutcome.REQUESTED


class _Interrupted:
    """A client whose start takes effect in the moment in which somebody presses Ctrl-C."""

    def __init__(self, api: object) -> None:
        self._api = api

    def __getattr__(self, name: str) -> object:
        return getattr(self._api, name)

    def start_sync(self, *arguments: object) -> str:
        self._api.start_sync(*arguments)  # type: ignore[attr-defined]
        raise KeyboardInterrupt


def test_our_own_lost_start_whose_sync_failed_is_told(world: World) -> None:
    """In the same attempt it is not made again: whether to retry is Dagster's to decide."""
    world.server.add_connection(CONNECTION, script=SyncScript(status="failed"))
    world.server.add_fault(Fault("reset", operation="start", effect=True))

    with pytest.raises(SyncFailedError):
        world.sync()

    assert starts(world) == 1


def test_what_began_a_day_later_is_not_adopted(world: World) -> None:
    """A note that nobody followed up is stale: syncs of a later day are somebody else's."""
    world.server.add_connection(CONNECTION)
    recorded_at = datetime.fromtimestamp(world.clock(), timezone.utc)
    world.clock.advance(86_400)
    for _ in range(2):
        world.server.start_sync(CONNECTION, "schedule", script=SyncScript())

    report = world.sync(previous=PreviousAttempt(recorded_at=recorded_at))

    assert report.origin == "started"
    assert [report.id] == ours(world)


@pytest.mark.parametrize("minutes", [-30, 0, 30])
def test_what_began_then_is_adopted_whatever_the_clocks_say(world: World, minutes: int) -> None:
    """Clocks that differ by half an hour hide nothing."""
    world.server.add_connection(CONNECTION)
    now = datetime.fromtimestamp(world.clock(), timezone.utc)
    sync_id = world.server.start_sync(CONNECTION, script=SyncScript(duration_seconds=60))

    report = world.sync(previous=PreviousAttempt(recorded_at=now + timedelta(minutes=minutes)))

    assert (report.id, report.origin) == (sync_id, "adopted")


def test_a_connection_that_may_not_be_read(world: World) -> None:
    """A permission that is missing warns, also while a lost start is looked for."""
    world.server.add_connection(CONNECTION)
    world.server.add_fault(Fault("status", status=403, operation="get_connection", times=None))
    recorder = lost_start(world, duration_seconds=60)

    report = world.sync(previous=recorder.previous)

    assert report.origin == "adopted"
    assert world.clock.monotonic() < 120


def test_a_connection_that_was_disabled_meanwhile(world: World) -> None:
    """If no sync of the lost start shows up, none is started on a disabled connection."""
    world.server.add_connection(CONNECTION, enabled=False)

    with pytest.raises(ConnectionDisabledError):
        world.sync(previous=PreviousAttempt())

    assert starts(world) == 0


# --- a sync that an earlier attempt waited for


@pytest.mark.parametrize("seconds", [20, 3600])
def test_a_sync_whose_details_are_gone(world: World, seconds: int) -> None:
    """As long as the list shows it, a sync is there: it is reported and not started again."""
    world.server.add_connection(CONNECTION, script=SyncScript(duration_seconds=seconds))
    recorder = MemoryRecorder()
    run_until(world.attempt(recorder=recorder), world.clock, 10)
    world.clock.advance(20)
    world.server.add_fault(Fault("status", status=404, operation="get_sync", times=10))

    report = world.sync(previous=recorder.previous)

    assert (report.origin, [report.id]) == ("resumed", ours(world))


def test_an_answer_about_another_sync(world: World) -> None:
    """What an answer says of another sync is not believed."""
    world.server.add_connection(CONNECTION)
    other = world.server.start_sync(CONNECTION, script=SyncScript())
    world.clock.advance(1)
    world.server.set_script(CONNECTION, FIVE_MINUTES)
    attempt = world.attempt()
    run_until(attempt, world.clock, 5)
    attempt.api = cast("Any", _Confused(attempt.api, other))

    assert run_until(attempt, world.clock, 60) is None
    assert any("is about another sync" in line for line in world.log)


class _Confused:
    """A client whose answers about any sync are those about another one."""

    def __init__(self, api: object, sync_id: str) -> None:
        self._api, self._sync_id = api, sync_id

    def __getattr__(self, name: str) -> object:
        return getattr(self._api, name)

    def get_sync(self, connection_id: str, _: str) -> object:
        return self._api.get_sync(connection_id, self._sync_id)  # type: ignore[attr-defined]


def test_a_sync_that_the_timeout_stopped(world: World) -> None:
    """The next attempt waits for its end and starts a new one, rather than taking it up."""
    world.server.add_connection(CONNECTION)
    world.server.script_next(CONNECTION, SyncScript(duration_seconds=3600))
    recorder = MemoryRecorder()
    with pytest.raises(SyncTimedOutError):
        world.sync(SyncPolicy(sync_timeout_seconds=60), recorder=recorder)

    report = world.sync(previous=recorder.previous, recorder=recorder)

    assert report.origin == "started"
    assert starts(world) == 2


# --- stopping


@pytest.mark.parametrize("hidden_for_seconds", [3, 10])
def test_a_sync_that_shows_late_is_stopped(world: World, hidden_for_seconds: int) -> None:
    """A start that was cut off by the cancel is looked for as long as there is time."""
    script = SyncScript(duration_seconds=300, hidden_for_seconds=hidden_for_seconds)
    world.server.add_connection(CONNECTION, script=script)
    world.server.add_fault(Fault("reset", operation="start", effect=True))
    attempt = world.attempt()
    run_until(attempt, world.clock, 0.0)

    assert world.stop(attempt) is StopOutcome.REQUESTED


def test_a_sync_that_never_shows_is_told_of(world: World) -> None:
    """If there is no more time, it is not said that nothing had been started."""
    world.server.add_connection(CONNECTION)
    world.server.add_fault(Fault("reset", operation="start"))
    attempt = world.attempt()
    run_until(attempt, world.clock, 0.0)

    assert world.stop(attempt) is StopOutcome.NOT_SEEN


@pytest.mark.parametrize("status", ["running", "preparing"])
def test_what_runs_beside_ours_is_not_stopped(world: World, status: str) -> None:
    """A stop would end all syncs of the connection, also one whose status we do not know."""
    world.server.add_connection(CONNECTION, parallel_syncs=True)
    script = SyncScript(duration_seconds=300, running_status=status)
    world.server.start_sync(CONNECTION, "dashboard", script=script)
    world.clock.advance(1)
    ours_id = world.server.start_sync(CONNECTION, script=FIVE_MINUTES)
    attempt = world.attempt(previous=PreviousAttempt(sync_id=ours_id))
    attempt.take_over_previous()

    assert world.stop(attempt) is StopOutcome.OTHERS_RUNNING
    assert world.server.stops(CONNECTION) == []


def test_a_stop_does_not_wait_for_the_end_of_a_pause(world: World) -> None:
    """RudderStack wants no requests for two minutes: a stop, which has seconds, is sent at once."""
    world.server.add_connection(CONNECTION, script=FIVE_MINUTES)
    world.server.add_fault(Fault("status", status=429, operation="get_sync", retry_after=120))
    attempt = world.attempt()
    run_until(attempt, world.clock, 5)
    began = world.clock.monotonic()

    assert world.stop(attempt) is StopOutcome.REQUESTED
    assert world.clock.monotonic() - began < 5


def test_one_of_several_that_began_is_not_stopped(world: World) -> None:
    """Which of two syncs a lost start has started, nobody knows: neither is stopped."""
    world.server.add_connection(CONNECTION, script=FIVE_MINUTES, parallel_syncs=True)
    world.server.add_fault(Fault("scheduled_sync", operation="start"))
    world.server.add_fault(Fault("reset", operation="start", effect=True))
    attempt = world.attempt()
    run_until(attempt, world.clock, 60)

    assert world.stop(attempt) in (StopOutcome.NOT_OWNED, StopOutcome.OTHERS_RUNNING)
    assert world.server.stops(CONNECTION) == []

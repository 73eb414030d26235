"""A stop ends the sync of an interrupted attempt if our run started it and no other sync runs."""

from datetime import datetime, timezone
from typing import Any, cast

import pytest

from dagster_rudderstack.sync.attempt import PreviousAttempt
from dagster_rudderstack.sync.stop import StopOutcome
from dagster_rudderstack.testing import Fault, SyncScript
from dagster_rudderstack_tests.sync.world import CONNECTION, MemoryRecorder, World, run_until

FIVE_MINUTES = SyncScript(duration_seconds=300)


def test_stop__nothing_started(world: World) -> None:
    """Before the start there is no sync to stop, and no stop is sent."""
    world.server.add_connection(CONNECTION)

    assert world.stop(world.attempt()) is StopOutcome.NOTHING_STARTED
    assert world.server.stops(CONNECTION) == []


@pytest.mark.parametrize("hidden_for_seconds", [0, 3, 10])
def test_stop__after_a_lost_start(world: World, hidden_for_seconds: int) -> None:
    """A stop finds the sync of a lost start, even if it is listed up to 10 s later."""
    script = SyncScript(duration_seconds=300, hidden_for_seconds=hidden_for_seconds)
    world.server.add_connection(CONNECTION, script=script)
    world.server.add_fault(Fault("reset", operation="start", effect=True))
    attempt = world.attempt()
    run_until(attempt, world.clock, 0.0)
    assert attempt.sync_id is None or attempt.sync_id in world.owned_sync_ids

    outcome = world.stop(attempt)

    assert outcome is StopOutcome.REQUESTED
    assert len(world.server.stops(CONNECTION)) == 1


def test_stop__sync_never_listed(world: World) -> None:
    """If the sync of a lost start is not listed in time, the outcome does not claim that nothing
    was started."""
    world.server.add_connection(CONNECTION)
    world.server.add_fault(Fault("reset", operation="start"))
    attempt = world.attempt()
    run_until(attempt, world.clock, 0.0)

    assert world.stop(attempt) is StopOutcome.NOT_SEEN


def test_stop__during_the_start_after_an_old_record(world: World) -> None:
    """A cancel finds the sync that this attempt started, even if an old record names none."""
    world.server.add_connection(CONNECTION, script=FIVE_MINUTES)
    recorded_at = datetime.fromtimestamp(world.clock(), timezone.utc)
    world.clock.advance(86_400)
    attempt = world.attempt(previous=PreviousAttempt(recorded_at=recorded_at))
    attempt.api = cast("Any", _Interrupted(attempt.api))
    with pytest.raises(KeyboardInterrupt):
        run_until(attempt, world.clock, 100)

    assert world.stop(attempt) is StopOutcome.REQUESTED


class _Interrupted:
    """A client that is interrupted during a start that takes effect."""

    def __init__(self, api: object) -> None:
        self._api = api

    def __getattr__(self, name: str) -> object:
        return getattr(self._api, name)

    def start_sync(self, *arguments: object) -> str:
        self._api.start_sync(*arguments)  # type: ignore[attr-defined]
        raise KeyboardInterrupt


def test_stop__after_a_conflict(world: World) -> None:
    """If the start got a 409 because of another client's sync, a cancel of the next attempt does
    not stop that sync."""
    world.server.add_connection(CONNECTION, script=FIVE_MINUTES)
    world.server.add_fault(Fault("scheduled_sync", operation="start"))
    recorder = MemoryRecorder()
    run_until(world.attempt(recorder=recorder), world.clock, 100)
    attempt = world.attempt(previous=recorder.previous)
    attempt.take_over_previous()

    assert world.stop(attempt) is StopOutcome.NOTHING_STARTED
    assert world.server.stops(CONNECTION) == []


@pytest.mark.parametrize("status", ["running", "preparing"])
def test_stop__another_sync_running(world: World, status: str) -> None:
    """No stop is sent while another sync of the connection runs, even with an unknown status, since
    a stop would end both."""
    world.server.add_connection(CONNECTION, parallel_syncs=True)
    script = SyncScript(duration_seconds=300, running_status=status)
    world.server.start_sync(CONNECTION, "dashboard", script=script)
    world.clock.advance(1)
    owned_id = world.server.start_sync(CONNECTION, script=FIVE_MINUTES)
    attempt = world.attempt(previous=PreviousAttempt(sync_id=owned_id))
    attempt.take_over_previous()

    assert world.stop(attempt) is StopOutcome.OTHERS_RUNNING
    assert world.server.stops(CONNECTION) == []


def test_stop__old_sync_without_an_end(world: World) -> None:
    """An old sync with an unknown status that never got an end does not prevent the stop, if a
    later one has ended."""
    world.server.add_connection(CONNECTION, parallel_syncs=True)
    stuck = SyncScript(never_ends=True, running_status="stuck")
    scripts = (stuck, SyncScript(duration_seconds=5), FIVE_MINUTES)
    for script in scripts:
        owned_id = world.server.start_sync(CONNECTION, script=script)
        world.clock.advance(10)
    attempt = world.attempt(previous=PreviousAttempt(sync_id=owned_id))
    attempt.take_over_previous()

    assert world.stop(attempt) is StopOutcome.REQUESTED
    assert len(world.server.stops(CONNECTION)) == 1


def test_stop__two_syncs_after_lost_start(world: World) -> None:
    """If two syncs began after a lost start, none is stopped, since either may be another
    client's."""
    world.server.add_connection(CONNECTION, script=FIVE_MINUTES, parallel_syncs=True)
    world.server.add_fault(Fault("scheduled_sync", operation="start"))
    world.server.add_fault(Fault("reset", operation="start", effect=True))
    attempt = world.attempt()
    run_until(attempt, world.clock, 60)

    assert world.stop(attempt) in (StopOutcome.NOT_OWNED, StopOutcome.OTHERS_RUNNING)
    assert world.server.stops(CONNECTION) == []


def test_stop__during_a_pause(world: World) -> None:
    """A stop is sent during the pause after a 429, since it has only seconds."""
    world.server.add_connection(CONNECTION, script=FIVE_MINUTES)
    world.server.add_fault(Fault("status", status=429, operation="get_sync", retry_after=120))
    attempt = world.attempt()
    run_until(attempt, world.clock, 5)
    began = world.clock.monotonic()

    assert world.stop(attempt) is StopOutcome.REQUESTED
    assert world.clock.monotonic() - began < 5

"""What an attempt does with the records of an earlier one, and with syncs of other clients."""

import json
from datetime import datetime, timedelta, timezone

import pytest

from dagster_rudderstack.errors import ConnectionDisabledError, SyncFailedError, SyncTimedOutError
from dagster_rudderstack.settings import SyncPolicy
from dagster_rudderstack.sync.attempt import PreviousAttempt
from dagster_rudderstack.sync.run import start_and_wait
from dagster_rudderstack.sync.task import drive
from dagster_rudderstack.testing import Fault, SyncScript
from dagster_rudderstack_tests.sync.world import CONNECTION, MemoryRecorder, World, run_until

FIVE_MINUTES = SyncScript(duration_seconds=300)


def starts(world: World) -> int:
    return len(world.server.starts(CONNECTION))


def lost_start(world: World, **script: object) -> MemoryRecorder:
    """Return the records of an attempt that was killed after its start, before it got the sync
    id."""
    recorder = MemoryRecorder()
    world.server.script_next(CONNECTION, SyncScript(**script))  # type: ignore[arg-type]
    world.server.add_fault(Fault("reset", operation="start", effect=True))
    world.server.add_fault(Fault("status", status=503, operation="list_syncs", skip=1))
    run_until(world.attempt(recorder=recorder), world.clock, 0.0)
    assert recorder.previous is not None
    assert recorder.previous.sync_id is None
    return recorder


# --- a start that certainly had no effect


def test_conflict__next_attempt_starts_its_own(world: World) -> None:
    """If the start got a 409 because of another client's sync, the next attempt does not adopt that
    sync and starts its own."""
    world.server.add_connection(CONNECTION, script=FIVE_MINUTES)
    world.server.add_fault(Fault("scheduled_sync", operation="start"))
    recorder = MemoryRecorder()
    run_until(world.attempt(recorder=recorder), world.clock, 100)

    report = drive(
        start_and_wait(world.attempt(previous=recorder.previous, recorder=recorder)),
        world.clock.sleep,
    )

    assert report.origin == "started"
    assert [report.id] == world.owned_sync_ids


def test_conflict__timeout(world: World) -> None:
    """If an attempt timed out while another client's sync ran, the next attempt does not report
    that sync."""
    world.server.add_connection(CONNECTION, script=FIVE_MINUTES)
    world.server.add_fault(Fault("scheduled_sync", operation="start"))
    recorder = MemoryRecorder()
    with pytest.raises(SyncTimedOutError):
        world.sync(SyncPolicy(sync_timeout_seconds=60), recorder=recorder)

    assert world.server.stops(CONNECTION) == []
    report = world.sync(previous=recorder.previous, recorder=recorder)
    assert [report.id] == world.owned_sync_ids


# --- a lost start: an earlier attempt did not get the answer


def test_lost_start__adopted(world: World) -> None:
    """The next attempt finds the sync of the lost start and waits for it."""
    world.server.add_connection(CONNECTION)
    recorder = lost_start(world, duration_seconds=60)

    report = world.sync(previous=recorder.previous, recorder=recorder)

    assert report.origin == "adopted"
    assert starts(world) == 1


def test_lost_start__sync_failed(world: World) -> None:
    """If the sync of the lost start failed, the next attempt starts a new one at once."""
    world.server.add_connection(CONNECTION)
    recorder = lost_start(world, status="failed")

    report = world.sync(previous=recorder.previous, recorder=recorder)

    assert report.origin == "started"
    assert starts(world) == 2
    assert world.clock.monotonic() < SyncPolicy().start_settling_seconds


def test_lost_start__sync_failed_and_next_start_lost(world: World) -> None:
    """If the next start is lost too, its sync is adopted and not the failed one of the earlier
    attempt."""
    world.server.add_connection(CONNECTION)
    recorder = lost_start(world, status="failed")
    world.server.add_fault(Fault("reset", operation="start", effect=True))

    report = world.sync(previous=recorder.previous, recorder=recorder)

    assert report.origin == "adopted"
    assert starts(world) == 2


def test_lost_start__sync_failed_before_that_of_another_client(world: World) -> None:
    """If another client's sync began after the failed one, the next attempt waits for it and then
    starts its own."""
    world.server.add_connection(CONNECTION)
    recorder = lost_start(world, status="failed")
    world.clock.advance(1)
    world.server.start_sync(CONNECTION, "schedule", script=FIVE_MINUTES)

    report = world.sync(previous=recorder.previous, recorder=recorder)

    assert report.origin == "started"
    assert report.id in world.owned_sync_ids
    assert starts(world) == 2


def test_lost_start__of_the_same_attempt(world: World) -> None:
    """If the sync of an attempt's own lost start failed, the attempt fails and starts no other one,
    since Dagster decides whether to retry."""
    world.server.add_connection(CONNECTION, script=SyncScript(status="failed"))
    world.server.add_fault(Fault("reset", operation="start", effect=True))

    with pytest.raises(SyncFailedError):
        world.sync()

    assert starts(world) == 1


def test_old_record__sync_of_the_next_day(world: World) -> None:
    """A sync that began a day after the record of a start is not adopted."""
    world.server.add_connection(CONNECTION)
    recorded_at = datetime.fromtimestamp(world.clock(), timezone.utc)
    world.clock.advance(86_400)
    for _ in range(2):
        world.server.start_sync(CONNECTION, "schedule", script=SyncScript())

    report = world.sync(previous=PreviousAttempt(recorded_at=recorded_at))

    assert report.origin == "started"
    assert [report.id] == world.owned_sync_ids


@pytest.mark.parametrize("minutes", [-30, 0, 30])
def test_old_record__clocks_differ(world: World, minutes: int) -> None:
    """A sync that began within half an hour of the record of a start is adopted, since clocks may
    differ."""
    world.server.add_connection(CONNECTION)
    now = datetime.fromtimestamp(world.clock(), timezone.utc)
    sync_id = world.server.start_sync(CONNECTION, script=SyncScript(duration_seconds=60))

    report = world.sync(previous=PreviousAttempt(recorded_at=now + timedelta(minutes=minutes)))

    assert (report.id, report.origin) == (sync_id, "adopted")


def test_lost_start__connection_may_not_be_read(world: World) -> None:
    """If the token may not read the connection, the sync of a lost start is still adopted within
    2 minutes."""
    world.server.add_connection(CONNECTION)
    world.server.add_fault(Fault("status", status=403, operation="get_connection", times=None))
    recorder = lost_start(world, duration_seconds=60)

    report = world.sync(previous=recorder.previous)

    assert report.origin == "adopted"
    assert world.clock.monotonic() < 120


def test_lost_start__connection_disabled_meanwhile(world: World) -> None:
    """If no sync of a lost start shows up and the connection is disabled, the attempt fails and
    starts none."""
    world.server.add_connection(CONNECTION, enabled=False)

    with pytest.raises(ConnectionDisabledError):
        world.sync(previous=PreviousAttempt())

    assert starts(world) == 0


# --- a sync that an earlier attempt waited for


def test_resume__sync_succeeded_meanwhile(world: World) -> None:
    """If the sync of a killed attempt succeeds, the next attempt reports it and starts none."""
    world.server.add_connection(CONNECTION, script=SyncScript(duration_seconds=60))
    recorder = MemoryRecorder()
    run_until(world.attempt(recorder=recorder), world.clock, 10)
    world.clock.advance(3600)

    report = drive(start_and_wait(world.attempt(previous=recorder.previous)), world.clock.sleep)

    assert report.origin == "resumed"
    assert [report.id] == world.owned_sync_ids


def test_resume__sync_failed_meanwhile(world: World) -> None:
    """If the sync of a killed attempt fails, the next attempt does not report it and starts a new
    one."""
    world.server.add_connection(CONNECTION)
    world.server.script_next(CONNECTION, SyncScript(duration_seconds=60, status="failed"))
    recorder = MemoryRecorder()
    run_until(world.attempt(recorder=recorder), world.clock, 10)
    world.clock.advance(3600)

    report = drive(start_and_wait(world.attempt(previous=recorder.previous)), world.clock.sleep)

    assert report.origin == "started"
    assert len(world.owned_sync_ids) == 2


@pytest.mark.parametrize("seconds", [20, 3600], ids=["over", "running"])
def test_resume__details_not_found(world: World, seconds: int) -> None:
    """If the details of a sync are not found but the list shows it, the sync is resumed and not
    started again."""
    world.server.add_connection(CONNECTION, script=SyncScript(duration_seconds=seconds))
    recorder = MemoryRecorder()
    run_until(world.attempt(recorder=recorder), world.clock, 10)
    world.clock.advance(20)
    world.server.add_fault(Fault("status", status=404, operation="get_sync", times=10))

    report = world.sync(previous=recorder.previous)

    assert (report.origin, [report.id]) == ("resumed", world.owned_sync_ids)


def test_poll__answer_about_another_sync(world: World) -> None:
    """An answer about another sync is logged, and the attempt keeps waiting."""
    world.server.add_connection(CONNECTION)
    other = world.server.start_sync(CONNECTION, script=SyncScript())
    world.clock.advance(1)
    world.server.set_script(CONNECTION, FIVE_MINUTES)
    attempt = world.attempt()
    run_until(attempt, world.clock, 5)
    world.server.add_fault(
        Fault("body", operation="get_sync", body=json.dumps({"id": other, "status": "succeeded"}))
    )

    assert run_until(attempt, world.clock, 60) is None
    assert any("is about another sync" in line for line in world.log)


def test_resume__sync_stopped_by_timeout(world: World) -> None:
    """After the timeout stopped a sync, the next attempt starts a new one."""
    world.server.add_connection(CONNECTION)
    world.server.script_next(CONNECTION, SyncScript(duration_seconds=3600))
    recorder = MemoryRecorder()
    with pytest.raises(SyncTimedOutError):
        world.sync(SyncPolicy(sync_timeout_seconds=60), recorder=recorder)

    report = world.sync(previous=recorder.previous, recorder=recorder)

    assert report.origin == "started"
    assert starts(world) == 2

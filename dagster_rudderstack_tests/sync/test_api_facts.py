"""What is known about RudderStack beyond its contract, and what an attempt does about it.

More of these facts are rows of the table of failures (`cases.py`).
"""

import pytest

from dagster_rudderstack.errors import (
    AuthenticationError,
    NotFoundError,
    PermissionDeniedError,
    StatusError,
)
from dagster_rudderstack.settings import RetryPolicy, SyncPolicy
from dagster_rudderstack.sync.attempt import PreviousAttempt
from dagster_rudderstack.sync.run import attach, start_and_wait
from dagster_rudderstack.sync.stop import StopOutcome
from dagster_rudderstack.sync.task import drive
from dagster_rudderstack.testing import Fault, SyncScript
from dagster_rudderstack_tests.sync.world import CONNECTION, World, run_until, world

FIVE_MINUTES = SyncScript(duration_seconds=300)
UNKNOWN = "2hkeBOp0lGJpMPyur0oXUxxIDhw"
MALFORMED = "not-a-sync-id"


# --- ids that RudderStack cannot resolve


@pytest.mark.parametrize("status", [404, 500])
@pytest.mark.parametrize("sync_id", [UNKNOWN, MALFORMED])
def test_unknown_sync__resume(status: int, sync_id: str) -> None:
    """If RudderStack does not know the sync of an earlier attempt, whether it says so with 404 or
    with 500, the attempt starts a new one within the settling time."""
    with world(unknown_sync_status=status) as each:  # type: ignore[arg-type]
        each.server.add_connection(CONNECTION)
        began = each.clock.monotonic()

        report = drive(
            start_and_wait(each.attempt(previous=PreviousAttempt(sync_id=sync_id))),
            each.clock.sleep,
        )

        assert (report.origin, [report.id]) == ("started", each.owned_sync_ids)
        assert each.clock.monotonic() - began < 35


@pytest.mark.parametrize("status", [404, 500])
@pytest.mark.parametrize("sync_id", [UNKNOWN, MALFORMED])
def test_unknown_sync__attach(status: int, sync_id: str) -> None:
    """An attempt to wait for an unknown sync fails within the settling time and names the ids."""
    with world(unknown_sync_status=status) as each:  # type: ignore[arg-type]
        each.server.add_connection(CONNECTION)
        began = each.clock.monotonic()

        with pytest.raises(NotFoundError, match="neither its details nor in the list") as caught:
            drive(attach(each.attempt(), sync_id), each.clock.sleep)

        assert sync_id in str(caught.value)
        assert CONNECTION in str(caught.value)
        assert each.clock.monotonic() - began <= 30


def test_unknown_sync__outage(world: World) -> None:
    """A 500 for the list as well is an outage, and does not make the sync unknown."""
    world.server.add_connection(CONNECTION, script=FIVE_MINUTES)
    attempt = world.attempt()
    run_until(attempt, world.clock, 60)
    previous = PreviousAttempt(sync_id=attempt.sync_id)
    world.server.add_fault(Fault("status", status=500, until_seconds=120))

    report = drive(start_and_wait(world.attempt(previous=previous)), world.clock.sleep)

    assert (report.origin, [report.id]) == ("resumed", world.owned_sync_ids)


@pytest.mark.parametrize("status", [404, 500])
def test_new_sync_is_missing__attach(status: int) -> None:
    """A sync that was just started is found, although neither its details nor the list show it for
    some seconds."""
    script = SyncScript(duration_seconds=60, hidden_for_seconds=12)
    with world(unknown_sync_status=status) as each:  # type: ignore[arg-type]
        each.server.add_connection(CONNECTION, script=script)
        sync_id = each.client.start_sync(CONNECTION)

        report = drive(attach(each.attempt(), sync_id), each.clock.sleep)

        assert (report.id, report.origin) == (sync_id, "attached")


def test_new_sync_is_missing__stop() -> None:
    """A sync that was just started is stopped, although RudderStack shows it only after a while."""
    script = SyncScript(duration_seconds=300, hidden_for_seconds=6)
    with world(unknown_sync_status=500) as each:
        each.server.add_connection(CONNECTION, script=script)
        attempt = each.attempt()
        run_until(attempt, each.clock, 0.0)

        assert each.stop(attempt) is StopOutcome.REQUESTED


# --- refused tokens


def test_401_before_the_start(world: World) -> None:
    """A token that is refused before the start fails after about 15 seconds, and a RetryPolicy may
    retry it. No start is sent."""
    world.server.add_connection(CONNECTION)
    world.server.add_fault(Fault("status", status=401, times=None))
    began = world.clock.monotonic()

    with pytest.raises(AuthenticationError, match="did not accept the access token") as caught:
        world.sync()

    assert 10 <= world.clock.monotonic() - began <= 15
    assert caught.value.retryable
    assert world.server.starts(CONNECTION) == []


def test_401_before_the_start__no_retries(world: World) -> None:
    """With `request_max_retries` of 0, a refused token fails at once."""
    world.server.add_connection(CONNECTION)
    world.server.add_fault(Fault("status", status=401, times=None))
    began = world.clock.monotonic()

    with pytest.raises(AuthenticationError):
        world.sync(SyncPolicy(retry=RetryPolicy(request_max_retries=0)))

    assert world.clock.monotonic() == began


def test_401_at_the_start(world: World) -> None:
    """A start that is refused with 401 is repeated for about 15 seconds."""
    world.server.add_connection(CONNECTION)
    world.server.add_fault(Fault("status", status=401, operation="start", times=None))
    began = world.clock.monotonic()

    with pytest.raises(AuthenticationError):
        world.sync()

    assert 10 <= world.clock.monotonic() - began <= 15


def test_403__words_of_rudderstack(world: World) -> None:
    """A 403 fails at once with RudderStack's own words. A missing feature is possible as well as a
    missing permission."""
    words = "Flag/Feature is not enabled for your account"
    world.server.add_connection(CONNECTION, deny=words)

    with pytest.raises(PermissionDeniedError) as caught:
        world.sync()

    assert f"RudderStack says: {words}" in str(caught.value)
    assert "may lack a permission" in str(caught.value)
    assert "account may lack the feature" in str(caught.value)
    assert not caught.value.retryable


# --- answers to a start


def test_404_at_the_start__no_connection(world: World) -> None:
    """A start that gets 404 is not repeated if the connection does not exist."""
    world.server.add_connection(CONNECTION)
    world.server.add_fault(Fault("status", status=404, operation="start", times=None))
    world.server.add_fault(Fault("status", status=404, operation="get_connection", times=None))
    began = world.clock.monotonic()

    with pytest.raises(NotFoundError, match="POST /retl-connections/crm/start"):
        world.sync(SyncPolicy(check_connection=False))

    assert world.clock.monotonic() == began


def test_404_at_the_start__connection_cannot_be_read(world: World) -> None:
    """A start that gets 404 is repeated if the token may not read the connection."""
    world.server.add_connection(CONNECTION)
    world.server.add_fault(Fault("status", status=404, operation="start", times=2))
    world.server.add_fault(Fault("status", status=403, operation="get_connection", times=None))

    assert world.sync().origin == "started"


def test_redirected_start(world: World) -> None:
    """If a start and its repetition are answered by a redirect, the attempt fails within seconds.
    The next attempt does not look for a sync."""
    world.server.add_connection(CONNECTION)
    world.server.add_fault(Fault("redirect", operation="start", times=None))
    attempt = world.attempt()
    began = world.clock.monotonic()

    with pytest.raises(StatusError, match="Redirects are not followed"):
        drive(start_and_wait(attempt), world.clock.sleep)

    assert world.clock.monotonic() - began <= 13
    assert not attempt.may_be_running
    assert attempt.recorder is not None
    assert getattr(attempt.recorder, "previous", None) is None


def test_redirected_start__with_an_effect(world: World) -> None:
    """A sync that a redirected start began is found, although it is listed only after a while."""
    script = SyncScript(duration_seconds=60, hidden_for_seconds=5)
    world.server.add_connection(CONNECTION, script=script, parallel_syncs=True)
    world.server.add_fault(Fault("redirect", operation="start", effect=True))

    report = world.sync()

    assert (report.origin, [report.id]) == ("adopted", world.owned_sync_ids)


def test_stop__body(world: World) -> None:
    """A stop has an empty JSON object as its body, as RudderStack's own client sends it."""
    world.server.add_connection(CONNECTION, script=FIVE_MINUTES)
    world.client.start_sync(CONNECTION)

    world.client.stop_sync(CONNECTION)

    (stop,) = world.server.stops(CONNECTION)
    assert stop.body == {}

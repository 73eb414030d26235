"""Dagster's storage is away, or says that the run is over, while a sync is started or runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from dagster_rudderstack.errors import SyncFailedError
from dagster_rudderstack.sync.attempt import SyncUnwantedError
from dagster_rudderstack.sync.run import start_and_wait, start_only
from dagster_rudderstack.sync.storage import MAX_DELAY_SECONDS, until_stored
from dagster_rudderstack_tests.sync.scripted import (
    Clock,
    ListLog,
    ScriptedRecorder,
    cut_off,
    every_second,
    script,
    status_error,
    succeeded,
    sync,
)

_T = TypeVar("_T")
AWAY = OSError("connection refused")


def away_for(clock: Clock, seconds: float, answer: _T) -> Callable[[], _T]:
    """Return a call that fails for so long, and then answers."""
    back_at = clock.now + seconds

    def call() -> _T:
        if clock.now < back_at:
            raise AWAY
        return answer

    return call


def store(clock: Clock, log: ListLog, call: Callable[[], _T], tolerance: int = 60) -> _T:
    """Run the task with a clock that its waits advance."""
    task = until_stored(
        call,
        every_second(outage_tolerance_seconds=tolerance),
        log,
        monotonic=clock.monotonic,
        jitter=lambda: 0.0,
    )
    while True:
        try:
            clock.sleep(next(task))
        except StopIteration as end:
            result: _T = end.value
            return result


def test_until_stored() -> None:
    """A storage that is away is asked again every few seconds. The log has its first error and how
    long it was away."""
    clock, log = Clock(), ListLog()

    assert store(clock, log, away_for(clock, 40, "answer")) == "answer"

    assert log.lines == [
        "warning: Dagster's storage does not answer. Waiting until it does. connection refused",
        f"info: Dagster's storage answers again, after {clock.now - 1000:.0f} s.",
    ]
    assert max(clock.waits) <= MAX_DELAY_SECONDS
    assert 40 <= clock.now - 1000 <= 40 + MAX_DELAY_SECONDS


def test_until_stored__at_once() -> None:
    """A storage that answers is asked once, without a wait and a line of the log."""
    clock, log = Clock(), ListLog()

    assert store(clock, log, away_for(clock, 0, 7)) == 7

    assert (clock.waits, log.lines) == ([], [])


def test_until_stored__too_long() -> None:
    """After the outage tolerance its error is raised."""
    clock, log = Clock(), ListLog()

    with pytest.raises(OSError, match="connection refused"):
        store(clock, log, away_for(clock, 1e9, None))

    assert 60 <= clock.now - 1000 <= 60 + MAX_DELAY_SECONDS


def test_start__run_over() -> None:
    """No start is sent and recorded once the run is over."""
    scripted = script(recorder=ScriptedRecorder(wanted=lambda: False))

    with pytest.raises(SyncUnwantedError):
        scripted.run(start_and_wait)

    assert "start" not in scripted.api.operations
    assert scripted.records == []


@pytest.mark.parametrize(
    "error",
    [status_error(429), status_error(409), status_error(503), cut_off()],
    ids=["throttled", "another sync runs", "unavailable", "answer lost"],
)
def test_start__run_over_before_the_next_try(error: Exception) -> None:
    """A start that may be sent again is not, if the run has ended since."""
    scripted = script(start=[error, "new"], get=[succeeded("new")])
    scripted.recorder.wanted = lambda: "start" not in scripted.api.operations

    with pytest.raises(SyncUnwantedError):
        scripted.run(start_and_wait)

    assert scripted.api.operations.count("start") == 1


def test_start__run_over_while_another_sync_runs() -> None:
    """A step that waited for another client's sync starts none if its run has ended meanwhile."""
    scripted = script(listed=[[sync("theirs")], []], get=[sync("theirs"), succeeded("theirs")])
    scripted.recorder.wanted = lambda: scripted.clock.now < 1001

    with pytest.raises(SyncUnwantedError):
        scripted.run(start_and_wait)

    assert "start" not in scripted.api.operations


def test_start__storage_away() -> None:
    """While the start cannot be recorded none is sent. Then the syncs are listed again, since
    another client may have started one."""
    scripted = script(
        listed=[[], [sync("theirs")], [succeeded("theirs")]],
        get=[succeeded("theirs"), succeeded("new")],
    )
    scripted.recorder.wanted = away_for(scripted.clock, 300, answer=True)

    report = scripted.run(start_and_wait)

    assert report.id == "new"
    assert scripted.api.operations == ["connection", "list", "list", "get", "list", "start", "get"]
    assert scripted.records == [
        ("starting",),
        ("starting", "theirs"),
        ("waiting", "new", "started", True),
    ]


@pytest.mark.parametrize("status", ["succeeded", "failed"])
def test_waiting__storage_away(status: str) -> None:
    """While the record of a running sync cannot be written, the sync is polled, and its result is
    held."""
    scripted = script(get=[sync("new"), sync("new"), sync("new", status)])
    scripted.recorder.fails = lambda kind: kind == "waiting" and scripted.clock.now < 1300

    if status == "failed":
        with pytest.raises(SyncFailedError):
            scripted.run(start_and_wait)
    else:
        assert scripted.run(start_and_wait).id == "new"

    assert scripted.clock.now >= 1300
    assert scripted.api.operations.count("get") == 3
    assert scripted.records == [("starting",), ("waiting", "new", "started", True)]


def test_waiting__storage_back() -> None:
    """The record of a running sync is written as soon as the storage is back."""
    scripted = script(get=[sync("new")])
    scripted.recorder.fails = lambda kind: kind == "waiting" and scripted.clock.now < 1010
    task = start_and_wait(scripted.attempt)

    while scripted.clock.now < 1012:
        scripted.clock.sleep(next(task))

    assert scripted.records[-1] == ("waiting", "new", "started", True)


def test_start_only__storage_away() -> None:
    """A deferred start ends only when its record is written, without which no sensor reports the
    sync."""
    scripted = script()
    scripted.recorder.fails = lambda kind: kind == "waiting" and scripted.clock.now < 1120

    assert scripted.run(start_only) == "new"

    assert scripted.clock.now >= 1120
    assert scripted.records == [("starting",), ("waiting", "new", "started", True)]

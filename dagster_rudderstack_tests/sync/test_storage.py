"""Dagster's storage is away, or says that the run is over, while a sync is started or runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from dagster_rudderstack.errors import SyncFailedError, SyncTimedOutError
from dagster_rudderstack.sync.recorder import Successor
from dagster_rudderstack.sync.run import start_and_wait, start_only
from dagster_rudderstack.sync.start import SUCCESSOR_SECONDS
from dagster_rudderstack.sync.storage import MAX_DELAY_SECONDS, SyncUnwantedError, until_stored
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
    """A sync whose record cannot be written is polled and ends as usual."""
    scripted = script(get=[sync("new"), sync("new"), sync("new", status)])
    scripted.recorder.fails = lambda kind: kind == "waiting"

    if status == "failed":
        with pytest.raises(SyncFailedError):
            scripted.run(start_and_wait)
    else:
        assert scripted.run(start_and_wait).id == "new"

    assert scripted.api.operations.count("get") == 3
    assert scripted.records == [("starting",)]
    assert scripted.log.lines[0].endswith(
        "Until it is, a retry may not find it. connection refused"
    )


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


def test_start__newer_execution() -> None:
    """A step that a queue delivers again, before its first execution has started a sync, starts one
    sync: the newest execution starts it, and the first one waits for it as well."""
    scripted = script(get=[sync("ours"), succeeded("ours")])
    started = Successor("ours", owned=True)
    scripted.recorder.newer = lambda: started if scripted.clock.now >= 1010 else Successor()

    report = scripted.run(start_and_wait)

    assert (report.id, report.origin) == ("ours", "resumed")
    assert "start" not in scripted.api.operations
    assert scripted.records == [("waiting", "ours", "resumed", True)]
    assert scripted.waits[:2] == [SUCCESSOR_SECONDS, SUCCESSOR_SECONDS]


def test_start__newer_execution_never_starts() -> None:
    """The wait for a newer execution ends with the timeout."""
    scripted = script(policy=every_second(sync_timeout_seconds=100))
    scripted.recorder.newer = Successor

    with pytest.raises(SyncTimedOutError, match="No sync of connection"):
        scripted.run(start_and_wait)

    assert "start" not in scripted.api.operations


@pytest.mark.parametrize("choice", ["wait", "attach", "fail"])
def test_start__sync_of_a_newer_execution_runs(choice: str) -> None:
    """The running sync of a newer execution is joined and not taken for another client's, with each
    value of `on_running_sync`."""
    scripted = script(
        listed=[[sync("ours")]],
        get=[succeeded("ours")],
        policy=every_second(on_running_sync=choice),
    )
    scripted.recorder.newer = lambda: Successor("ours", owned=True)

    assert scripted.run(start_and_wait).origin == "resumed"
    assert scripted.records == [("waiting", "ours", "resumed", True)]


def test_until_stored__deadline() -> None:
    """Before a start, the wait for the storage ends with the timeout of the sync."""
    scripted = script(policy=every_second(sync_timeout_seconds=100))
    scripted.recorder.error = AWAY

    with pytest.raises(OSError, match="connection refused"):
        scripted.run(start_and_wait)

    assert 1100 <= scripted.clock.now <= 1100 + MAX_DELAY_SECONDS

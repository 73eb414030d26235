"""The messages about a sync: its errors, and the lines about its progress."""

import pytest

from dagster_rudderstack.api.models import Sync, SyncMetrics
from dagster_rudderstack.api.source_runs import SourceRun
from dagster_rudderstack.errors import SyncAbortedError, SyncFailedError
from dagster_rudderstack.settings import RetryPolicy
from dagster_rudderstack.sync.decisions import (
    StartAnswer,
    began_since,
    duration_text,
    failure_of,
    is_temporary,
    judge_start,
    percent_done,
    stopped_by_timeout,
)
from dagster_rudderstack.sync.progress import HEARTBEAT_SECONDS, ROWS_SECONDS, Progress
from dagster_rudderstack.sync.recorder import NamedLog
from dagster_rudderstack.sync.request import RunRequest, SyncRequest
from dagster_rudderstack.sync.retry import call_with_retries
from dagster_rudderstack_tests.sync.scripted import (
    BEGAN,
    Clock,
    ListLog,
    status_error,
    succeeded,
    sync,
)

REQUEST = SyncRequest("crm", connection_name="CRM contacts")
NAME = "Sync s of connection CRM contacts (crm)"


@pytest.mark.parametrize(
    ("seen", "kind", "text"),
    [
        (
            sync("s", "failed", error="no table"),
            SyncFailedError,
            (
                f"{NAME} failed after 1 min (the dashboard shows it as aborted). RudderStack says: "
                "no table. Fix the source or the destination, then sync again."
            ),
        ),
        (
            sync("s", "failed", started_at=None),
            SyncFailedError,
            (
                f"{NAME} failed (the dashboard shows it as aborted). RudderStack gives no reason: "
                "look at the sync in its dashboard."
            ),
        ),
        (
            sync("s", "aborted", error="By Ada."),
            SyncAbortedError,
            (
                f"{NAME} was stopped after 1 min (status 'aborted'). RudderStack says: By Ada. If "
                "the stop was a mistake, sync again."
            ),
        ),
        (
            sync("s", "odd", finished_at=BEGAN.replace(second=5), error="Hm!"),
            SyncFailedError,
            (
                f"{NAME} ended after 5 s with the unknown status 'odd', which does not count as a "
                "success. RudderStack says: Hm! Look at the sync in RudderStack's dashboard before "
                "you sync again."
            ),
        ),
        (
            sync("s", "odd", finished_at=BEGAN),
            SyncFailedError,
            (
                f"{NAME} ended with the unknown status 'odd', which does not count as a success. "
                "Look at the sync in RudderStack's dashboard before you sync again."
            ),
        ),
    ],
)
def test_failure_of(seen: Sync, kind: type[Exception], text: str) -> None:
    """The error says which sync failed, after how long, why and what to do."""
    failure = failure_of(seen, REQUEST)

    assert failure is not None
    assert (type(failure), str(failure)) == (kind, text)
    assert (failure.connection_id, failure.sync) == ("crm", seen)


@pytest.mark.parametrize(
    ("tasks", "text"),
    [
        ([], "RudderStack says: bad."),
        ([{"taskId": "a", "status": "finished"}], "RudderStack says: bad."),
        ([{"taskId": "a", "status": "failed"}], "RudderStack says: bad. Failed task: a."),
        ([{"taskId": "a", "error": "bad"}], "RudderStack says: bad. Failed task: a."),
        ([{"error": "x"}], "RudderStack says: bad. Failed task: one without an id (x)."),
        (
            [{"taskId": name, "error": f"no {name}"} for name in "abcdefg"],
            (
                "RudderStack says: bad. Failed tasks: a (no a), b (no b), c (no c), d (no d), e "
                "(no e), and 2 more."
            ),
        ),
    ],
)
def test_failure_of__tasks(tasks: list[dict[str, str]], text: str) -> None:
    """The error of a run names its failed tasks, and their errors if they differ from the run's."""
    run = SourceRun.model_validate({"id": "r", "status": "failed", "error": "bad", "tasks": tasks})

    assert str(failure_of(run, RunRequest("prj"))) == (
        f"Run r of source prj failed. {text} Fix the project or the source, then run it again."
    )


def test_failure_of__success() -> None:
    """A sync that succeeded has no error."""
    assert failure_of(succeeded("s"), REQUEST) is None


def test_stopped_by_timeout() -> None:
    """A sync that its timeout stopped is a timeout, even if RudderStack says that it failed."""
    seen = sync("s", "failed", error="stopped")

    error = stopped_by_timeout(seen, REQUEST)

    assert str(error) == (
        f"{NAME} did not end within its timeout and was stopped after 1 min. RudderStack says: "
        "stopped. If the sync is slow, increase the timeout. Otherwise look at the sync in "
        "RudderStack's dashboard."
    )
    assert (error.connection_id, error.sync) == ("crm", seen)
    assert error.stop_requested is True


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (9.94, "9.9 s"),
        (9.97, "10.0 s"),
        (10.4, "10 s"),
        (59.5, "1 min"),
        (60, "1 min"),
        (3599, "59 min 59 s"),
        (3605, "1 h 5 s"),
        (7261, "2 h 1 min"),
    ],
)
def test_duration_text(seconds: float, text: str) -> None:
    """A duration has at most two units, and tenths of a second below ten seconds."""
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("status", "answer", "passing"),
    [
        (299, StartAnswer.REFUSED, False),
        (300, StartAnswer.LOST, True),
        (307, StartAnswer.LOST, False),
        (399, StartAnswer.LOST, True),
        (400, StartAnswer.REFUSED, False),
        (408, StartAnswer.LOST, True),
        (499, StartAnswer.REFUSED, False),
        (500, StartAnswer.LOST, True),
    ],
)
def test_judge_start_and_is_temporary__limits(
    status: int, answer: StartAnswer, passing: bool
) -> None:
    """After a redirect or a server error, from the first such status to the last, a sync may have
    been started."""
    assert judge_start(status_error(status)) is answer
    assert is_temporary(status_error(status)) is passing


def test_began_since() -> None:
    """All syncs that are not known began since, and the oldest comes first."""
    listed = [sync("d"), sync("c"), sync("b"), sync("a")]

    assert [each.id for each in began_since(listed, {"b"})] == ["a", "c", "d"]


@pytest.mark.parametrize(
    ("done", "failed", "changed", "percent"),
    [
        (1, None, 1, 100.0),
        (None, 1, 4, 25.0),
        (None, None, 4, None),
        (0, 0, 4, 0.0),
        (4, 0, 0, None),
        (4, 0, None, None),
        (3, 3, 4, 100.0),
    ],
)
def test_percent_done(
    done: int | None, failed: int | None, changed: int | None, percent: float | None
) -> None:
    """The percentage counts the rows that are delivered or rejected, if they are known."""
    metrics = SyncMetrics(
        succeeded={"total": done}, failed={"total": failed}, changed={"total": changed}
    )

    assert percent_done(sync("s", metrics=metrics)) == percent


# --- progress


def rows(
    done: int | None, failed: int | None = None, changed: int | None = None, **fields: object
) -> Sync:
    metrics = SyncMetrics(
        succeeded={"total": done}, failed={"total": failed}, changed={"total": changed}
    )
    return sync("s", **{"metrics": metrics, **fields})  # type: ignore[arg-type]


class WatchedProgress:
    """A progress with its log, and a clock that moves on with each poll."""

    def __init__(self) -> None:
        self.clock, self.log = Clock(), ListLog()
        self.progress = Progress(self.log, self.clock.monotonic)

    def poll(self, *syncs: Sync, seconds: float = 1.0) -> list[str]:
        """Return the lines that the polls log."""
        before = len(self.log.lines)
        for each in syncs:
            self.clock.sleep(seconds)
            self.progress.report(each)
        return self.log.lines[before:]


def test_progress__rows() -> None:
    """A line has the known numbers of rows, the percentage and the time since the first poll."""

    def line(seen: Sync) -> list[str]:
        return WatchedProgress().poll(seen, seconds=HEARTBEAT_SECONDS)

    assert line(rows(1200, 1, 4804)) == [
        (
            "info: Sync s: running (1,200 rows delivered, 1 row rejected, 25 % of the changed "
            "rows done, 5 min)"
        )
    ]
    assert line(rows(1, None, None)) == ["info: Sync s: running (1 row delivered, 5 min)"]
    assert line(rows(None, 0)) == ["info: Sync s: running (0 rows rejected, 5 min)"]
    assert line(sync("s")) == ["info: Sync s: running (5 min)"]


def test_progress__short_sync() -> None:
    """A sync that ends within half a minute is logged once, at its end, with its own duration,
    which another client's sync has had before it was first seen."""
    polls = [rows(done, 0, 100) for done in range(0, 100, 4)]

    lines = WatchedProgress().poll(*polls, rows(100, 0, 100, status="succeeded"))

    assert lines == [
        (
            "info: Sync s: succeeded (100 rows delivered, 0 rows rejected, 100 % of the changed "
            "rows done, 1 min)"
        )
    ]


def test_progress__each_tenth() -> None:
    """A line is logged for another tenth of the rows, half a minute after the last one."""
    watched = WatchedProgress()

    assert len(watched.poll(rows(0, 0, 100), seconds=ROWS_SECONDS - 1)) == 0
    assert len(watched.poll(rows(9, 0, 100))) == 1
    assert len(watched.poll(rows(10, 0, 100), rows(20, 0, 100))) == 0
    assert len(watched.poll(rows(20, 0, 100), seconds=ROWS_SECONDS)) == 1
    assert len(watched.poll(rows(29, 0, 100), seconds=ROWS_SECONDS)) == 0


def test_progress__becomes_known() -> None:
    """When the percentage becomes known, a line is logged, even if it is 0."""
    watched = WatchedProgress()
    seen = [sync("s"), rows(0, 0, 100), sync("s"), rows(10, 0, 100)]

    assert len(watched.poll(*seen, seconds=ROWS_SECONDS)) == 3


def test_progress__heartbeat() -> None:
    """If a sync does not change, a line is logged five minutes after the last one."""
    watched = WatchedProgress()

    assert watched.poll(sync("s"), seconds=HEARTBEAT_SECONDS - 1) == []
    assert watched.poll(sync("s")) == ["info: Sync s: running (5 min)"]
    assert watched.poll(sync("s"), seconds=HEARTBEAT_SECONDS - 1) == []
    assert len(watched.poll(sync("s"))) == 1


def test_progress__unknown_status() -> None:
    """An unknown status is logged as a warning the first time, and as information afterwards."""
    watched = WatchedProgress()
    polls = [rows(1, 0, 10, status="odd"), rows(2, 0, 10, status="odd")]

    assert watched.poll(*polls, seconds=ROWS_SECONDS) == [
        (
            "warning: Sync s has the unknown status 'odd', which does not count as a success (1 "
            "row delivered, 0 rows rejected, 10 % of the changed rows done, 30 s)."
        ),
        (
            "info: Sync s: odd (2 rows delivered, 0 rows rejected, 20 % of the changed rows "
            "done, 1 min)"
        ),
    ]


def test_progress__unknown_status_at_the_end() -> None:
    """An unknown status of a sync that has ended is logged as the same warning."""
    lines = WatchedProgress().poll(sync("s"), sync("s", "odd", finished_at=BEGAN))

    assert lines == [
        "warning: Sync s has the unknown status 'odd', which does not count as a success (2 s)."
    ]


def test_progress__end() -> None:
    """The last line of a sync that did not succeed is a warning with RudderStack's reason."""
    assert WatchedProgress().poll(sync("s", "failed", error="no table")) == [
        "warning: Sync s: failed (1 min). RudderStack says: no table."
    ]
    assert WatchedProgress().poll(sync("s", "failed")) == ["warning: Sync s: failed (1 min)"]
    assert WatchedProgress().poll(sync("s", "succeeded", error="odd")) == [
        "info: Sync s: succeeded (1 min)"
    ]


def test_progress__success_not_logged() -> None:
    """Where a table of many syncs follows, a success is not logged, but a failure is."""
    log = ListLog()
    progress = Progress(log, Clock().monotonic, logs_success=False)

    progress.report(sync("s", "succeeded"))
    assert log.lines == []
    progress.report(sync("s", "failed"))
    assert log.lines == ["warning: Sync s: failed (1 min)"]


def test_named_log() -> None:
    """The lines of a log with a name begin with the name."""
    log = ListLog()
    named = NamedLog(log, "crm")

    named.info("Started.")
    named.warning("Failed.")

    assert log.lines == ["info: crm: Started.", "warning: crm: Failed."]


# --- safe requests


def test_call_with_retries() -> None:
    """A request is repeated with the policy's waits until it is answered, and each wait is
    logged."""
    clock, log = Clock(), ListLog()
    answers = iter([status_error(500, "One."), status_error(429, "Two."), "yes"])

    def call() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    policy = RetryPolicy(first_delay_seconds=8, request_max_retries=2)
    answer = call_with_retries(call, policy, log, sleep=clock.sleep, jitter=lambda: 1.0)

    assert answer == "yes"
    assert clock.waits == [6, 12]
    assert log.lines[:2] == [
        "warning: One. Trying again in 6 s.",
        "warning: Two. Trying again in 12 s.",
    ]
    assert log.lines[2].startswith("info: RudderStack answers again. The errors lasted ")
    assert len(log.lines) == 3

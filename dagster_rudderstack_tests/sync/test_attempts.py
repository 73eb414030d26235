"""Whole attempts to sync, request by request: the waits, the records, the log and the errors."""

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from dagster_rudderstack.errors import (
    ApiError,
    ConnectionDisabledError,
    InvalidSettingError,
    NotFoundError,
    StatusError,
    SyncAbortedError,
    SyncAlreadyRunningError,
    SyncFailedError,
    SyncLostError,
    SyncTimedOutError,
    TransportError,
)
from dagster_rudderstack.settings import PollPolicy, RetryPolicy, SyncPolicy
from dagster_rudderstack.sync.attempt import (
    NEWEST_SYNCS,
    CurrentSync,
    LostStart,
    PreviousAttempt,
    SyncAttempt,
)
from dagster_rudderstack.sync.recorder import LogRecorder
from dagster_rudderstack.sync.request import SyncReport, SyncRequest
from dagster_rudderstack.sync.run import attach, start_and_wait, start_only
from dagster_rudderstack.sync.start import resume_or_start
from dagster_rudderstack.sync.stop import StopOutcome, stop
from dagster_rudderstack_tests.sync.scripted import (
    BEGAN,
    ListLog,
    Script,
    ScriptedApi,
    ScriptedRecorder,
    connection_read,
    cut_off,
    every_second,
    script,
    status_error,
    succeeded,
    sync,
)

CONNECTION = ("connection", "crm")
LIST = ("list", "crm", NEWEST_SYNCS, NEWEST_SYNCS)
START = ("start", "crm", "incremental")
NAME = "CRM contacts (crm)"


def get(name: str) -> tuple[str, str, str]:
    return ("get", "crm", name)


# --- a sync that succeeds


def test_sync__succeeds() -> None:
    """The connection is read, the syncs are listed, one is started and polled until it ends."""
    scripted = script(
        request=SyncRequest("crm", "full", "CRM contacts"),
        listed=[[succeeded("old"), sync("older", "failed")]],
        get=[sync("new"), succeeded("new")],
    )

    report = scripted.run(start_and_wait)

    assert scripted.api.requests == [
        CONNECTION,
        LIST,
        ("start", "crm", "full"),
        get("new"),
        get("new"),
    ]
    assert scripted.waits == [1, 1]
    assert scripted.records == [
        ("starting", "old", "older"),
        ("waiting", "new", "started", True),
    ]
    assert scripted.log.lines == ["info: Sync new: succeeded (1 min)"]
    assert (report.id, report.status, report.origin) == ("new", "succeeded", "started")
    assert isinstance(report, SyncReport)
    assert (report.connection_id, report.sync_type) == ("crm", "full")
    assert scripted.attempt.is_over
    assert not scripted.attempt.may_be_running


def test_poll_interval__grows() -> None:
    """The wait before a poll is a share of the time that has passed since the start."""
    scripted = script(
        policy=SyncPolicy(poll=PollPolicy(poll_growth=1, poll_jitter=0.5)),
        jitter=1.0,
        get=[sync("new"), sync("new"), sync("new"), succeeded("new")],
    )

    scripted.run(start_and_wait)

    assert scripted.waits == [1.25, 1.5625, 3.515625, 7.91015625]


def test_start_only() -> None:
    """A sync that is only started is not polled, and its timeout begins with the attempt."""
    scripted = script(policy=every_second(sync_timeout_seconds=60))

    assert scripted.run(start_only) == "new"
    assert scripted.api.operations == ["connection", "list", "start"]
    assert scripted.attempt.deadline == 1060


def test_start_only__another_sync_runs() -> None:
    """The timeout of a sync that is only started includes the wait for another sync."""
    scripted = script(
        policy=every_second(sync_timeout_seconds=60),
        listed=[[sync("other")]],
        get=[sync("other")],
    )

    with pytest.raises(SyncTimedOutError):
        scripted.run(start_only)

    assert sum(scripted.waits) == 60


def test_check_connection__off() -> None:
    """Without the check, the connection is not read."""
    scripted = script(policy=every_second(check_connection=False))

    scripted.run(start_only)

    assert scripted.api.operations == ["list", "start"]


# --- attach


def test_attach() -> None:
    """A sync of another client is read once, before errors are tolerated, and then polled."""
    scripted = script(get=[sync("theirs"), sync("theirs"), succeeded("theirs")])

    report = scripted.drive(attach(scripted.attempt, "theirs"))

    assert scripted.api.requests == [get("theirs")] * 3
    assert scripted.waits == [1]
    assert scripted.records == [("waiting", "theirs", "attached", False)]
    assert (report.id, report.origin) == ("theirs", "attached")


def test_attach__owned_sync() -> None:
    """A sync that our run started is first polled after a wait."""
    scripted = script(get=[succeeded("ours")])

    report = scripted.drive(attach(scripted.attempt, "ours", owned=True))

    assert scripted.api.requests == [get("ours")]
    assert scripted.waits == [1]
    assert scripted.records == [("waiting", "ours", "started", True)]
    assert report.origin == "started"


@pytest.mark.parametrize("owned", [True, False])
def test_attach__timeout(owned: bool) -> None:
    """The timeout of an attached sync stops it only if our run started it."""
    scripted = script(
        policy=every_second(sync_timeout_seconds=30), get=[sync("s")], listed=[[sync("s")]]
    )

    with pytest.raises(SyncTimedOutError) as error:
        scripted.drive(attach(scripted.attempt, "s", owned=owned))

    assert sum(scripted.waits) == 30
    assert scripted.api.operations.count("stop") == owned
    assert error.value.stop_requested is owned
    assert error.value.sync == sync("s")


def test_attach__unknown_sync() -> None:
    """If RudderStack does not show the sync within the settling time, the error is raised, and
    nothing is recorded."""
    scripted = script(
        policy=every_second(start_settling_seconds=4), get=[status_error(404)], listed=[[]]
    )

    with pytest.raises(NotFoundError, match="Answer 404"):
        scripted.drive(attach(scripted.attempt, "nope"))

    assert (scripted.waits, scripted.records) == ([1, 2, 1], [])


@pytest.mark.parametrize("owned", [True, False])
def test_attach__invalid_id(owned: bool) -> None:
    """An invalid id is refused before any request, and the error names the parameter."""
    scripted = script()

    with pytest.raises(ValueError, match=r"^sync_id "):
        scripted.drive(attach(scripted.attempt, "../stop", owned=owned))

    assert scripted.api.requests == []


def test_attach__outage() -> None:
    """If the polls of an attached sync fail for too long, the error says that it may be running."""
    scripted = script(
        policy=every_second(outage_tolerance_seconds=0),
        get=[sync("theirs"), status_error(500)],
    )

    with pytest.raises(SyncLostError, match="may be running"):
        scripted.drive(attach(scripted.attempt, "theirs"))


# --- before the start


def test_disabled_connection() -> None:
    """If the connection is disabled, an error is raised before anything is listed or started."""
    scripted = script(connection=[connection_read(enabled=False)])

    with pytest.raises(ConnectionDisabledError) as error:
        scripted.run(start_and_wait)

    assert scripted.api.requests == [CONNECTION]
    assert error.value.connection_id == "crm"
    assert str(error.value) == (
        f"Connection {NAME} is disabled in RudderStack and does not sync. Find out why before "
        "you enable it in the dashboard. To skip it, set on_disabled='skip' of its asset or op. No "
        "sync was started."
    )


def test_disabled_connection__lost_start() -> None:
    """After a lost start, the sync of a disabled connection is looked for too, and waited for."""
    scripted = script(
        previous=PreviousAttempt(known_sync_ids=frozenset({"old"})),
        connection=[connection_read(enabled=False, schedule=None)],
        listed=[[succeeded("old")], [sync("ours"), succeeded("old")]],
        get=[succeeded("ours")],
    )

    report = scripted.run(start_and_wait)

    assert (report.id, report.origin) == ("ours", "adopted")
    assert scripted.api.operations == ["connection", "list", "list", "get"]


def test_disabled_connection__lost_start_without_a_sync() -> None:
    """If no sync appears, the error says that the connection is disabled, and a record says that
    nothing was started."""
    scripted = script(
        previous=PreviousAttempt(), connection=[connection_read(enabled=False)], listed=[[]]
    )

    with pytest.raises(ConnectionDisabledError):
        scripted.run(start_and_wait)

    assert "start" not in scripted.api.operations
    assert scripted.records[-1] == ("nothing started",)
    assert sum(scripted.waits) == 30


@pytest.mark.parametrize("schedule", ["manual", "Manual", None])
def test_schedule__manual(schedule: str | None) -> None:
    """A connection without a schedule in RudderStack causes no warning."""
    scripted = script(connection=[connection_read(schedule=schedule)])

    scripted.run(start_only)

    assert scripted.log.lines == []


def test_schedule__own() -> None:
    """If RudderStack also schedules the connection, a warning says what to do."""
    scripted = script(connection=[connection_read(schedule="every\nfull moon" + "x" * 99)])

    scripted.run(start_only)

    shown = "every full moon" + "x" * 24 + "…"
    assert scripted.log.lines == [
        (
            f"warning: RudderStack also syncs connection {NAME} on its own schedule ({shown!r}). "
            "Set the schedule to Manual in the dashboard, so that only Dagster starts its syncs."
        )
    ]


def test_check_connection__no_permission() -> None:
    """If the token may not read connections, the sync starts without the check, with a warning."""
    scripted = script(connection=[status_error(403, "No permission.")])

    assert scripted.run(start_only) == "new"
    assert scripted.log.lines == [
        (
            f"warning: Connection {NAME} cannot be checked before its sync, because the token may "
            "not read it. Continuing without the check. No permission."
        )
    ]


def test_before_the_start__temporary_error() -> None:
    """Before a start, temporary errors are retried as often as the policy says."""
    scripted = script(
        policy=every_second(retry=RetryPolicy(request_max_retries=2)),
        connection=[status_error(503, "Down.", retry_after_seconds=9)],
    )

    with pytest.raises(StatusError, match="Down"):
        scripted.run(start_and_wait)

    assert scripted.waits == [9, 9]
    assert scripted.log.lines == ["warning: Down. Trying again in 9 s."] * 2


def test_before_the_start__permanent_error() -> None:
    """Before a start, an error that no retry can fix is raised at once."""
    scripted = script(listed=[status_error(403)])

    with pytest.raises(StatusError, match="Answer 403"):
        scripted.run(start_and_wait)

    assert scripted.waits == []


def test_errors_while_running() -> None:
    """Errors while a sync runs are retried, and the log says when RudderStack answers again."""
    scripted = script(
        get=[status_error(502, "One."), status_error(403, "Two."), succeeded("new")], jitter=1.0
    )

    scripted.run(start_and_wait)

    assert scripted.waits == [1, 0.75, 1.5]
    assert scripted.log.lines == [
        "warning: One. Trying again in 0.8 s.",
        "warning: Two. Trying again in 1.5 s.",
        "info: RudderStack answers again. The errors lasted 2.2 s.",
        "info: Sync new: succeeded (1 min)",
    ]


# --- another sync runs


def test_another_sync_runs__wait() -> None:
    """The new sync starts when the other one has ended, which is recorded as known."""
    scripted = script(
        listed=[[sync("theirs")], [succeeded("theirs")]],
        get=[sync("theirs"), succeeded("theirs"), succeeded("new")],
    )

    report = scripted.run(start_and_wait)

    assert report.id == "new"
    assert scripted.api.requests == [
        CONNECTION,
        LIST,
        get("theirs"),
        get("theirs"),
        LIST,
        START,
        get("new"),
    ]
    assert scripted.waits == [1, 1]
    assert scripted.records == [("starting", "theirs"), ("waiting", "new", "started", True)]
    assert scripted.log.lines[0] == (
        f"info: Sync theirs of connection {NAME} is already running. Waiting until it ends, then "
        "starting a new sync, since the running one may miss rows of rebuilt tables."
    )


def test_another_sync_runs__poll_interval() -> None:
    """The wait for another sync grows with the time since it was first seen."""
    scripted = script(
        policy=SyncPolicy(poll=PollPolicy(poll_growth=1, poll_jitter=0)),
        listed=[[sync("theirs")], [succeeded("theirs")]],
        get=[*[sync("theirs")] * 3, succeeded("theirs"), succeeded("new")],
    )

    scripted.run(start_and_wait)

    assert scripted.waits == [1, 1, 2, 1]


def test_another_sync_runs__attach() -> None:
    """With `attach`, the attempt waits for the newest running sync and does not own it."""
    scripted = script(
        policy=every_second(on_running_sync="attach"),
        listed=[[sync("theirs"), sync("older")]],
        get=[succeeded("theirs")],
    )

    report = scripted.run(start_and_wait)

    assert (report.id, report.origin) == ("theirs", "attached")
    assert scripted.records == [("waiting", "theirs", "attached", False)]
    assert scripted.waits == []


def test_another_sync_runs__fail() -> None:
    """With `fail`, the error names the sync that runs."""
    scripted = script(policy=every_second(on_running_sync="fail"), listed=[[sync("theirs")]])

    with pytest.raises(SyncAlreadyRunningError) as error:
        scripted.run(start_and_wait)

    assert error.value.sync == sync("theirs")
    assert error.value.connection_id == "crm"
    assert str(error.value) == (
        f"A sync of connection {NAME} is already running (theirs), and on_running_sync is 'fail'. "
        "Start again when it has ended, or set on_running_sync to 'wait' or 'attach'."
    )


def test_conflict__fail() -> None:
    """With `fail`, a start that answers 409 raises the same error, without a sync, and is
    withdrawn."""
    conflict = status_error(409)
    scripted = script(policy=every_second(on_running_sync="fail"), start=[conflict])

    with pytest.raises(SyncAlreadyRunningError) as error:
        scripted.run(start_and_wait)

    assert error.value.sync is None
    assert error.value.__cause__ is conflict
    assert f"connection {NAME} is already running, and on" in str(error.value)
    assert scripted.records == [("starting",), ("nothing started",)]
    assert not scripted.attempt.may_be_running


def test_conflict__wait() -> None:
    """After a 409 the syncs are listed again, with growing waits."""
    scripted = script(
        start=[status_error(409, "Runs."), status_error(409, "Runs."), "new"], jitter=1.0
    )

    assert scripted.run(start_only) == "new"
    assert scripted.api.operations == [
        "connection",
        "list",
        "start",
        "list",
        "start",
        "list",
        "start",
    ]
    assert scripted.waits == [0.75, 1.5]
    line = "info: Another sync is already running. Looking for it. (Runs.)"
    assert scripted.log.lines == [line] * 2
    assert scripted.records == [
        ("starting",),
        ("nothing started",),
        ("starting",),
        ("nothing started",),
        ("starting",),
        ("waiting", "new", "started", True),
    ]


def test_conflict__lost_start() -> None:
    """A 409 after a lost start may be caused by the sync of that start, so it is looked for."""
    scripted = script(
        policy=every_second(on_running_sync="fail", start_settling_seconds=0),
        start=[cut_off(), status_error(409)],
        listed=[[], [], [sync("ours")]],
    )

    assert scripted.run(start_only) == "ours"
    assert scripted.records[-1] == ("waiting", "ours", "adopted", True)


# --- a start that fails


def test_start__no_effect() -> None:
    """A start that had no effect is withdrawn, announced again and sent again."""
    refused = TransportError("Refused.", method="POST", path="/x", request_sent=False)
    scripted = script(start=[refused, status_error(429, "Slow.", retry_after_seconds=7), "new"])

    assert scripted.run(start_only) == "new"
    assert scripted.api.operations == [
        "connection",
        "list",
        "start",
        "list",
        "start",
        "list",
        "start",
    ]
    assert scripted.waits == [1, 7]
    assert scripted.log.lines == [
        "warning: Refused. Trying again in 1 s.",
        "warning: Slow. Trying again in 7 s.",
    ]
    assert scripted.records == [
        ("starting",),
        ("nothing started",),
        ("starting",),
        ("nothing started",),
        ("starting",),
        ("waiting", "new", "started", True),
    ]


def test_start__unknown_host() -> None:
    """A start to a host that does not exist is sent three times: api_url may be wrong."""
    unknown = TransportError("No host.", method="POST", path="/x", request_sent=False)
    unknown.suggests_wrong_address = True
    scripted = script(start=[unknown] * 20)

    with pytest.raises(TransportError, match="No sync was started"):
        scripted.run(start_only)

    assert scripted.api.operations.count("start") == 3
    assert sum(scripted.waits) < 10


def test_start__never_an_effect() -> None:
    """The start is retried as often as the policy says. Then its error is raised."""
    scripted = script(
        policy=every_second(retry=RetryPolicy(request_max_retries=2)),
        start=[status_error(429, "Slow.")],
        jitter=1.0,
    )

    with pytest.raises(StatusError, match="Slow"):
        scripted.run(start_only)

    assert scripted.api.operations.count("start") == 3
    assert scripted.waits == [0.75, 1.5, 3]
    assert scripted.records[-1] == ("nothing started",)


def test_start__refused() -> None:
    """A start that RudderStack refuses is withdrawn, and its error is raised at once."""
    scripted = script(start=[status_error(400, "Bad.")])

    with pytest.raises(StatusError, match="Bad"):
        scripted.run(start_only)

    assert scripted.api.operations == ["connection", "list", "start"]
    assert scripted.waits == []
    assert scripted.records == [("starting",), ("nothing started",)]
    assert scripted.attempt.known_sync_ids is None
    assert not scripted.attempt.may_be_running


def test_lost_start__sync_appears() -> None:
    """A sync that was not listed before the lost start is adopted and owned."""
    scripted = script(
        start=[cut_off()],
        listed=[[succeeded("old")], [succeeded("old")], [sync("ours"), succeeded("old")]],
        get=[succeeded("ours")],
        jitter=1.0,
    )

    report = scripted.run(start_and_wait)

    assert (report.id, report.origin) == ("ours", "adopted")
    assert scripted.api.operations == ["connection", "list", "start", "list", "list", "get"]
    assert scripted.waits == [0.75]
    assert scripted.log.lines == [
        (
            f"warning: The answer to the start of a sync of connection {NAME} was lost, so it is "
            "unknown whether a sync was started. Looking for it. Cut off."
        ),
        "info: Sync ours: succeeded (1 min)",
    ]
    assert scripted.records == [("starting", "old"), ("waiting", "ours", "adopted", True)]


def test_lost_start__no_sync_appears() -> None:
    """After the settling time the start is sent again, and not announced twice."""
    scripted = script(start=[cut_off(), "new"], listed=[[succeeded("old")]])

    assert scripted.run(start_only) == "new"
    assert scripted.api.operations.count("start") == 2
    assert scripted.waits == [1, 2, 4, 8, 15]
    assert scripted.log.lines[1:] == [
        "info: No sync has appeared since the start whose answer was lost, so it had no effect."
    ]
    assert scripted.records == [("starting", "old"), ("waiting", "new", "started", True)]


def test_lost_start__last_look() -> None:
    """The syncs are listed a last time exactly at the end of the settling time."""
    scripted = script(policy=every_second(start_settling_seconds=1.5), start=[cut_off(), "new"])

    scripted.run(start_only)

    assert scripted.waits == [1, 0.5]


def test_lost_start__again_and_again() -> None:
    """If each start is lost, the error is raised after the last retry, and a record says that
    nothing was started."""
    scripted = script(
        policy=every_second(retry=RetryPolicy(request_max_retries=1), start_settling_seconds=0),
        start=[cut_off()],
    )

    with pytest.raises(ApiError, match="Cut off"):
        scripted.run(start_only)

    assert scripted.api.operations.count("start") == 2
    assert scripted.records == [("starting",), ("nothing started",)]


def test_lost_start__next_one_refused() -> None:
    """If a start is refused after the settling time of a lost one, the error is raised at once."""
    scripted = script(
        policy=every_second(start_settling_seconds=0), start=[cut_off(), status_error(403, "No.")]
    )

    with pytest.raises(StatusError, match="No"):
        scripted.run(start_only)

    assert scripted.waits == []
    assert scripted.records == [("starting",), ("nothing started",)]


def test_lost_start__several_syncs_appear() -> None:
    """If several syncs appear, the attempt waits for all, reports the oldest and owns none."""
    scripted = script(
        start=[cut_off()],
        listed=[[], [sync("c"), sync("b"), sync("a")]],
        get=[succeeded("a"), sync("b"), succeeded("b"), succeeded("c")],
    )

    report = scripted.run(start_and_wait)

    assert report.id == "a"
    assert scripted.records[-1] == ("waiting", "a", "adopted", False)
    assert scripted.log.lines[1] == (
        "warning: Several syncs began after the start whose answer was lost: a, b, c. The first, "
        "a, is reported if all succeed. None is stopped, since they may belong to another client."
    )


def test_lost_start__one_of_several_syncs_fails() -> None:
    """If one of the syncs that may be ours fails, no success is reported."""
    scripted = script(
        start=[cut_off()],
        listed=[[], [sync("b"), sync("a")]],
        get=[succeeded("a"), sync("b", "failed")],
    )

    with pytest.raises(SyncFailedError, match="Sync b of connection"):
        scripted.run(start_and_wait)


def test_lost_start__answer_lost_late() -> None:
    """The settling time begins when the answer is lost, which can be a read timeout after the start
    was sent."""
    scripted = script(
        start=[cut_off()], listed=[[], [], [], [], [sync("late")]], get=[succeeded("late")]
    )
    send = scripted.api.start_sync

    def slow(connection_id: str, sync_type: str | None = None) -> str:
        scripted.clock.now += 60
        return send(connection_id, sync_type)

    scripted.api.start_sync = slow  # type: ignore[method-assign]

    assert scripted.run(start_and_wait).id == "late"
    assert scripted.api.operations.count("start") == 1


@pytest.mark.parametrize("status", [401, 403, 404])
def test_start__refusal_cannot_be_recorded(status: int) -> None:
    """If the database fails while a refused start is recorded, the error is still the refusal."""
    recorder = ScriptedRecorder()
    scripted = script(
        recorder=recorder,
        policy=every_second(retry=RetryPolicy(request_max_retries=0)),
        start=[status_error(status, "Refused.")],
    )
    send = scripted.api.start_sync

    def locked(connection_id: str, sync_type: str | None = None) -> str:
        recorder.error = RuntimeError("database is locked")
        return send(connection_id, sync_type)

    scripted.api.start_sync = locked  # type: ignore[method-assign]

    with pytest.raises(StatusError, match="Refused"):
        scripted.run(start_and_wait)


def test_before_the_start__errors_are_counted_by_kind() -> None:
    """A refused token after other errors is not final, and neither are other errors after it."""
    scripted = script(
        connection=[
            *[status_error(503)] * 5,
            *[status_error(401)] * 3,
            status_error(503),
            connection_read(),
        ],
        get=[succeeded("new")],
    )

    assert scripted.run(start_and_wait).id == "new"


def test_start__refusals_are_counted_by_kind() -> None:
    """A start that gets 404 for a while and then 401 is still repeated."""
    scripted = script(
        start=[*[status_error(404)] * 4, *[status_error(401)] * 3, *[status_error(429)] * 2, "new"],
        get=[succeeded("new")],
    )

    assert scripted.run(start_and_wait).id == "new"


def test_start__not_found_without_retries() -> None:
    """With `request_max_retries` of 0, a start that gets 404 is not repeated."""
    scripted = script(
        policy=every_second(retry=RetryPolicy(request_max_retries=0)), start=[status_error(404)]
    )

    with pytest.raises(NotFoundError):
        scripted.run(start_and_wait)

    assert scripted.api.operations.count("start") == 1


def test_find__errors_are_counted_by_kind() -> None:
    """Errors while a new sync is looked for count without the answers that it is unknown."""
    unknown = [status_error(404)] * 4
    scripted = script(
        get=[*unknown, *[status_error(503)] * 5, status_error(401), succeeded("new")], listed=[[]]
    )

    assert scripted.drive(attach(scripted.attempt, "new")).id == "new"


def test_lost_start__sync_failed() -> None:
    """A sync of this attempt that has failed meanwhile is adopted and reported as failed."""
    scripted = script(
        start=[cut_off()], listed=[[], [sync("ours", "failed")]], get=[sync("ours", "failed")]
    )

    with pytest.raises(SyncFailedError):
        scripted.run(start_and_wait)

    assert scripted.api.operations.count("start") == 1


# --- the sync of an earlier attempt


def test_announced_start__sync_appears() -> None:
    """The sync that an earlier attempt may have started is looked for and adopted."""
    scripted = script(
        previous=PreviousAttempt(known_sync_ids=frozenset({"old"})),
        listed=[[sync("ours"), succeeded("old")]],
    )

    assert scripted.run(start_only) == "ours"
    assert scripted.api.requests == [CONNECTION, LIST]
    assert scripted.records == [("waiting", "ours", "adopted", True)]
    assert scripted.log.lines == [
        (
            f"info: A previous attempt may have started a sync of connection {NAME}. Looking for "
            "it before starting another one."
        )
    ]


def test_announced_start__errors() -> None:
    """While the sync of an announced start may be running, all errors are tolerated, those of the
    check too."""
    scripted = script(
        previous=PreviousAttempt(),
        connection=[status_error(401), connection_read()],
        listed=[status_error(403), [sync("ours")]],
    )

    assert scripted.run(start_only) == "ours"
    assert scripted.waits == [1, 1]


def test_announced_start__no_sync_appears() -> None:
    """If no sync appears within the settling time, a start is announced again and sent."""
    known = frozenset({"old"})
    scripted = script(previous=PreviousAttempt(known_sync_ids=known), listed=[[succeeded("old")]])

    assert scripted.run(start_only) == "new"
    assert sum(scripted.waits) == 30
    assert scripted.records == [("starting", "old"), ("waiting", "new", "started", True)]


def test_announced_start__sync_failed() -> None:
    """If the sync of an earlier attempt has failed, a new one is started at once."""
    scripted = script(previous=PreviousAttempt(), listed=[[sync("ours", "failed")]])

    assert scripted.run(start_only) == "new"
    assert scripted.waits == []
    assert scripted.log.lines[1:] == [
        "info: Sync ours of a previous attempt failed. Starting a new one."
    ]
    assert scripted.records == [("starting", "ours"), ("waiting", "new", "started", True)]


@pytest.mark.parametrize(("hours", "origin"), [(1, "adopted"), (1.01, "started")])
def test_old_record(hours: float, origin: str) -> None:
    """A sync is adopted only if it began within an hour of the old record."""
    recorded_at = BEGAN + timedelta(hours=hours)
    scripted = script(
        policy=every_second(start_settling_seconds=0),
        previous=PreviousAttempt(recorded_at=recorded_at),
        listed=[[succeeded("maybe")]],
        get=[succeeded("any")],
    )

    scripted.run(start_only)

    assert scripted.records[-1][2] == origin


def test_old_record__sync_without_a_time() -> None:
    """A sync without a start time is adopted."""
    scripted = script(
        previous=PreviousAttempt(recorded_at=datetime(2020, 1, 1, tzinfo=timezone.utc)),
        listed=[[sync("maybe", started_at=None)]],
    )

    assert scripted.run(start_only) == "maybe"


@pytest.mark.parametrize("owned", [True, False])
def test_resume(owned: bool) -> None:
    """The attempt waits for the sync of an earlier attempt, and owns it if that one did."""
    scripted = script(
        previous=PreviousAttempt(sync_id="ours", owned=owned),
        get=[sync("ours"), sync("ours"), succeeded("ours")],
    )

    report = scripted.run(start_and_wait)

    assert (report.id, report.origin) == ("ours", "resumed")
    assert scripted.api.requests == [get("ours")] * 3
    assert scripted.waits == [1]
    assert scripted.records == [("waiting", "ours", "resumed", owned)]


def test_resume__failed_sync() -> None:
    """If the sync of an earlier attempt has failed, a new one is started."""
    scripted = script(previous=PreviousAttempt(sync_id="ours"), get=[sync("ours", "failed")])

    assert scripted.run(start_only) == "new"
    assert scripted.log.lines == [
        "info: Sync ours of a previous attempt ended with status 'failed'. Starting a new one."
    ]


@pytest.mark.parametrize("status", ["failed", "aborted"])
@pytest.mark.parametrize("is_same_run", [True, False])
def test_resume__stopped_sync(status: str, is_same_run: bool) -> None:
    """If a person stopped the sync, a step retry does not start a new one, but a later run does."""
    scripted = script(
        previous=PreviousAttempt(sync_id="ours", is_same_run=is_same_run),
        get=[sync("ours", status)],
    )

    if status == "aborted" and is_same_run:
        with pytest.raises(SyncAbortedError):
            scripted.run(start_only)
    else:
        assert scripted.run(start_only) == "new"


def test_resume__unknown_sync() -> None:
    """If a sync stays unknown for the settling time and is not listed, a new one is started."""
    scripted = script(
        previous=PreviousAttempt(sync_id="ours"),
        get=[status_error(404, "Unknown.")],
        listed=[[succeeded("other")]],
    )

    assert scripted.run(start_only) == "new"
    assert sum(scripted.waits) >= 30
    assert scripted.api.operations[-4:] == ["list", "connection", "list", "start"]
    assert scripted.log.lines[-1] == (
        "info: RudderStack does not know sync ours of a previous attempt. Starting a new one."
    )


def test_resume__unknown_at_first() -> None:
    """The attempt waits for a sync that is unknown for its first seconds."""
    scripted = script(
        previous=PreviousAttempt(sync_id="ours"), get=[status_error(404), succeeded("ours")]
    )

    assert scripted.run(start_only) == "ours"
    assert scripted.waits == [1]


@pytest.mark.parametrize("status", [404, 500])
def test_resume__unknown_but_listed(status: int) -> None:
    """A sync without details is looked for in the list."""
    scripted = script(
        previous=PreviousAttempt(sync_id="ours"),
        get=[status_error(status)],
        listed=[[sync("other"), succeeded("ours")]],
    )

    assert scripted.run(start_only) == "ours"
    assert scripted.waits == []
    assert scripted.records == [("waiting", "ours", "resumed", True)]


def test_resume__list_fails() -> None:
    """While the sync of an earlier attempt may be running, errors of the list are tolerated too."""
    scripted = script(
        policy=every_second(start_settling_seconds=0),
        previous=PreviousAttempt(sync_id="ours"),
        get=[status_error(404)],
        listed=[status_error(403), [succeeded("ours")]],
    )

    assert scripted.run(start_only) == "ours"
    assert scripted.waits == [1]


# --- while a sync runs


def test_sync__fails() -> None:
    """A sync that fails has ended, so an interrupt has nothing to stop."""
    scripted = script(get=[sync("new", "failed", error="no table")])

    with pytest.raises(SyncFailedError):
        scripted.run(start_and_wait)

    assert scripted.attempt.is_over
    assert scripted.log.lines == ["warning: Sync new: failed (1 min). RudderStack says: no table."]


@pytest.mark.parametrize("is_durable", [True, False])
def test_outage__too_long(is_durable: bool) -> None:
    """After an outage beyond the tolerance, the error says whether a retry resumes the sync."""
    scripted = script(
        policy=every_second(outage_tolerance_seconds=5),
        recorder=ScriptedRecorder(is_durable=is_durable),
        get=[sync("new"), status_error(503, "Down.")],
    )

    with pytest.raises(SyncLostError) as error:
        scripted.run(start_and_wait)

    assert scripted.waits == [1, 1, 1, 2, 4]
    resumed = ", and a retry of this step resumes it" if is_durable else ""
    assert str(error.value) == (
        f"Sync new of connection {NAME} may be running, but no request about it succeeded for "
        f"7 s. It was not stopped{resumed}. Last error: Down."
    )
    assert error.value.connection_id == "crm"
    assert error.value.sync == sync("new")
    assert isinstance(error.value.__cause__, StatusError)


def test_outage__as_long_as_the_tolerance() -> None:
    """An outage that lasts exactly as long as the tolerance is too long."""
    scripted = script(policy=every_second(outage_tolerance_seconds=3), get=[status_error(500)])

    with pytest.raises(SyncLostError):
        scripted.run(start_and_wait)

    assert scripted.waits == [1, 1, 2]


def test_outage__lost_start() -> None:
    """If the outage comes after a lost start, the error names the connection, since the sync has no
    id."""
    scripted = script(
        policy=every_second(outage_tolerance_seconds=0),
        start=[cut_off()],
        listed=[[], status_error(500, "Down.")],
    )

    with pytest.raises(SyncLostError, match=r"^A sync of connection CRM contacts \(crm\) may be"):
        scripted.run(start_and_wait)


# --- the timeout


def test_timeout() -> None:
    """At the timeout RudderStack is asked to stop our sync, and the error says so."""
    scripted = script(policy=every_second(sync_timeout_seconds=90), get=[sync("new")])

    with pytest.raises(SyncTimedOutError) as error:
        scripted.run(start_and_wait)

    assert sum(scripted.waits) == 90
    assert scripted.api.requests[-3:] == [LIST, get("new"), ("stop", "crm")]
    assert scripted.records[-1] == ("stop requested", "new")
    assert error.value.stop_requested is True
    assert (error.value.connection_id, error.value.sync) == ("crm", sync("new"))
    assert str(error.value) == (
        f"Sync new of connection {NAME} did not end within the timeout of 1 min 30 s: RudderStack "
        "was asked to stop it. If the sync is slow, increase the timeout. Otherwise look at the "
        "sync in RudderStack's dashboard."
    )


def test_timeout__last_wait() -> None:
    """The last wait ends at the timeout."""
    scripted = script(
        policy=every_second(sync_timeout_seconds=5, poll=PollPolicy(poll_min_interval_seconds=3)),
        get=[sync("new")],
        jitter=0.5,
    )

    with pytest.raises(SyncTimedOutError):
        scripted.run(start_and_wait)

    assert scripted.waits == [3, 2]


def test_timeout__left_running() -> None:
    """With `stop_on_timeout` off, the sync is left running, and the error says so."""
    scripted = script(
        policy=every_second(sync_timeout_seconds=9, stop_on_timeout=False), get=[sync("new")]
    )

    with pytest.raises(SyncTimedOutError, match=r"timeout of 9 s: it was left running\.") as error:
        scripted.run(start_and_wait)

    assert "stop" not in scripted.api.operations
    assert error.value.stop_requested is False


@pytest.mark.parametrize("is_durable", [True, False])
def test_timeout__a_retry_resumes(is_durable: bool) -> None:
    """The error says that a retry resumes a sync that was left running, if a retry can know it."""
    scripted = script(
        policy=every_second(sync_timeout_seconds=9, stop_on_timeout=False),
        get=[sync("new")],
        recorder=ScriptedRecorder(is_durable=is_durable),
    )

    with pytest.raises(SyncTimedOutError) as error:
        scripted.run(start_and_wait)

    assert ("A retry of this step resumes it." in str(error.value)) is is_durable


@pytest.mark.parametrize(
    ("operation", "status"),
    [
        ("connection", 401),
        ("connection", 404),
        ("listed", 503),
        ("start", 400),
        ("start", 401),
        ("start", 403),
        ("start", 500),
    ],
)
def test_start__error_says_that_nothing_was_started(operation: str, status: int) -> None:
    """An error before the start, and one after which no sync was started, says so."""
    answers: dict[str, Any] = {operation: [status_error(status)]}
    scripted = script(**answers)

    with pytest.raises(ApiError) as error:
        scripted.run(start_and_wait)

    assert str(error.value).count("No sync was started.") == 1


def test_timeout__another_sync_runs() -> None:
    """If another sync runs, the error names it, and nothing is stopped."""
    scripted = script(
        policy=every_second(sync_timeout_seconds=9), listed=[[sync("theirs")]], get=[sync("theirs")]
    )

    with pytest.raises(SyncTimedOutError) as error:
        scripted.run(start_and_wait)

    assert "stop" not in scripted.api.operations
    assert error.value.sync == sync("theirs")
    assert error.value.stop_requested is False
    assert str(error.value).startswith(
        f"No sync of connection {NAME} could be started within the timeout of 9 s: sync theirs was "
        "still running. If the sync is slow, increase"
    )


def test_resume__failed_sync_and_refused_start() -> None:
    """If the previous sync has failed and a new start is refused, there is nothing to stop."""
    scripted = script(
        previous=PreviousAttempt("old", owned=True),
        get=[sync("old", "failed")],
        start=[status_error(403)],
    )

    with pytest.raises(ApiError):
        scripted.run(start_and_wait)

    assert not scripted.attempt.may_be_running


def test_timeout__no_start_accepted() -> None:
    """If no start was accepted within the timeout, the error says so, and why."""
    policy = every_second(sync_timeout_seconds=3, retry=RetryPolicy(request_max_retries=99))
    scripted = script(policy=policy, start=[status_error(429)])

    with pytest.raises(SyncTimedOutError) as error:
        scripted.run(start_and_wait)

    assert str(error.value) == (
        f"No sync of connection {NAME} could be started within the timeout of 3 s: RudderStack "
        f"accepted no start. Last error: {status_error(429)}"
    )


def test_timeout__before_the_start() -> None:
    """If RudderStack does not answer before the start, the error has what it said last."""
    policy = every_second(sync_timeout_seconds=3, retry=RetryPolicy(request_max_retries=99))
    scripted = script(policy=policy, listed=[status_error(503, "Maintenance.")])

    with pytest.raises(SyncTimedOutError, match=r"Last error: .*Maintenance"):
        scripted.run(start_and_wait)


def test_success__not_logged() -> None:
    """With `logs_success=False`, the success of another sync that was in the way is logged."""
    scripted = script(
        listed=[[sync("theirs")], [succeeded("theirs")]],
        get=[succeeded("theirs"), succeeded("new")],
    )
    scripted.attempt.logs_success = False

    scripted.run(start_and_wait)

    lines = [line for line in scripted.log.lines if "succeeded" in line]
    assert lines == ["info: Sync theirs: succeeded (1 min)"]


def test_timeout__lost_start() -> None:
    """At a timeout after a lost start its sync is looked for, and the error says with what
    result."""
    scripted = script(policy=every_second(sync_timeout_seconds=3), start=[cut_off()])

    with pytest.raises(SyncTimedOutError) as error:
        scripted.run(start_and_wait)

    assert error.value.stop_requested is False
    assert str(error.value).startswith(
        f"No sync of connection {NAME} could be started within the timeout of 3 s: "
        "the answer to the start was lost (it was being started and is not listed yet; if it "
        "appears later, stop it in RudderStack's dashboard). If the sync is slow, increase"
    )


# --- records


def test_record__cannot_be_written() -> None:
    """A record that cannot be written is written when the sync ends. A warning says so."""
    recorder = ScriptedRecorder(error=OSError("disk full"))
    scripted = script(get=[sync("theirs"), succeeded("theirs")], recorder=recorder)
    task = attach(scripted.attempt, "theirs", owned=True)

    scripted.clock.sleep(next(task))
    recorder.error = None
    report = scripted.drive(task)

    assert report.id == "theirs"
    assert scripted.records == [("waiting", "theirs", "started", True)]
    lost = "could not be recorded. Until it is, a retry may not find it."
    assert scripted.log.lines == [
        f"warning: Sync theirs of connection {NAME} {lost} disk full",
        "info: Sync theirs: succeeded (1 min)",
    ]


def test_log_recorder() -> None:
    """Outside Dagster, the log says which sync the attempt waits for, and nothing is kept."""
    log = ListLog()
    recorder = LogRecorder(SyncRequest("crm", "full"), log)

    recorder.starting(["old"])
    recorder.waiting("s", "started", owned=True)
    recorder.waiting("s", "adopted", owned=True)
    recorder.waiting("s", "resumed", owned=True)
    recorder.waiting("s", "attached", owned=False)
    recorder.stop_requested("s")
    recorder.nothing_started()

    assert not recorder.is_durable
    assert log.lines == [
        "info: Started sync s of connection crm (full).",
        (
            "info: Adopted sync s of connection crm (full): it began after a start whose answer "
            "was lost."
        ),
        "info: Resumed sync s of connection crm (full), which a previous attempt waited for.",
        "info: Attached to sync s of connection crm, which another client started.",
    ]


def test_no_recorder() -> None:
    """An attempt without a recorder logs the sync that it waits for."""
    log = ListLog()
    attempt = SyncAttempt(ScriptedApi(), SyncRequest("crm"), log=log)

    attempt.wait_on("s", "started", owned=True)

    assert log.lines == ["info: Started sync s of connection crm (incremental)."]


# --- what an interrupt stops


def test_take_over__sync() -> None:
    """After `take_over_previous`, the sync of an earlier attempt is the current one."""
    scripted = script(previous=PreviousAttempt(sync_id="ours", owned=False))

    scripted.attempt.take_over_previous()

    assert scripted.attempt.current == CurrentSync("ours", "resumed", owned=False, since=1000.0)
    assert scripted.attempt.lost_start is None
    assert scripted.attempt.may_be_running


def test_take_over__announced_start() -> None:
    """After `take_over_previous`, the announced start of an earlier attempt is a lost start."""
    previous = PreviousAttempt(known_sync_ids=frozenset({"old"}), recorded_at=BEGAN)
    scripted = script(previous=previous)

    scripted.attempt.take_over_previous()

    assert scripted.attempt.current is None
    assert scripted.attempt.known_sync_ids == frozenset({"old"})
    assert scripted.attempt.lost_start == LostStart(1000.0, is_earlier=True, recorded_at=BEGAN)
    assert scripted.attempt.settling_seconds_left == 30


def test_take_over__nothing() -> None:
    """An attempt takes nothing over if nothing was left, or if it has a sync or a lost start
    itself."""
    without = script()
    without.attempt.take_over_previous()
    begun = script(previous=PreviousAttempt(sync_id="earlier"))
    begun.attempt.wait_on("ours", "started", owned=True)
    begun.attempt.take_over_previous()
    lost = script(previous=PreviousAttempt(sync_id="earlier"))
    lost.attempt.lost_start = LostStart(1.0)
    lost.attempt.take_over_previous()

    assert not without.attempt.may_be_running
    assert begun.attempt.sync_id == "ours"
    assert lost.attempt.current is None


def test_wait_on__after_a_lost_start() -> None:
    """An attempt that has its sync has no lost start any more, and no state of another sync."""
    scripted = script()
    scripted.attempt.lost_start, scripted.attempt.last_seen = LostStart(1.0), sync("theirs")

    current = scripted.attempt.wait_on("ours", "adopted", owned=True)

    assert current == CurrentSync("ours", "adopted", owned=True, since=1000.0)
    assert scripted.attempt.may_be_running
    assert [scripted.attempt.lost_start, scripted.attempt.last_seen] == [None, None]


# --- stop


def running(name: str = "ours", *, owned: bool = True, **answers: object) -> Script:
    """Return an attempt that waits for a running sync."""
    scripted = script(**{"get": [sync(name)], "listed": [[sync(name)]], **answers})  # type: ignore[arg-type]
    scripted.attempt.wait_on(name, "started", owned=owned)
    return scripted


def test_stop() -> None:
    """A stop lists the syncs, reads ours, asks RudderStack once to stop it and records that."""
    scripted = running()

    assert scripted.run(stop) is StopOutcome.REQUESTED
    assert scripted.api.requests == [LIST, get("ours"), ("stop", "crm")]
    assert scripted.records[-1] == ("stop requested", "ours")
    assert scripted.waits == []


def test_stop__ended() -> None:
    """A sync that has ended is not stopped."""
    scripted = running(get=[succeeded("ours")])

    assert scripted.run(stop) is StopOutcome.OVER
    assert "stop" not in scripted.api.operations


def test_stop__not_owned() -> None:
    """A sync of another client is not stopped."""
    scripted = running(owned=False)

    assert scripted.run(stop) is StopOutcome.NOT_OWNED
    assert "stop" not in scripted.api.operations


def test_stop__others_ended() -> None:
    """Our sync is stopped even if the list holds other syncs, as long as they have ended."""
    scripted = running(listed=[[succeeded("newer"), sync("ours"), succeeded("old")]])

    assert scripted.run(stop) is StopOutcome.REQUESTED


def test_stop__nothing_started() -> None:
    """Before a start, a stop sends no request."""
    scripted = script()

    assert scripted.run(stop) is StopOutcome.NOTHING_STARTED
    assert scripted.api.requests == []


def test_stop__lost_start_settled() -> None:
    """After the settling time, a lost start without a sync has started nothing."""
    scripted = script(policy=every_second(start_settling_seconds=0))
    scripted.attempt.lost_start = LostStart(1000.0)

    assert scripted.run(stop) is StopOutcome.NOTHING_STARTED
    assert scripted.api.requests == [LIST]


def test_stop__lost_start_not_settled() -> None:
    """Within the settling time, a lost start may still have started a sync."""
    scripted = script(policy=every_second(start_settling_seconds=0.5))
    scripted.attempt.lost_start = LostStart(1000.0)

    assert scripted.drive(stop(scripted.attempt, 0)) is StopOutcome.NOT_SEEN


def test_stop__lost_start_appears() -> None:
    """The sync of a lost start is looked for with growing waits of at most 2 s, and stopped."""
    scripted = script(
        listed=[[], [], [], [sync("ours")]],
        get=[sync("ours")],
    )
    scripted.attempt.lost_start, scripted.attempt.known_sync_ids = LostStart(1000.0), frozenset()

    assert scripted.run(stop) is StopOutcome.REQUESTED
    assert scripted.waits == [1, 2, 2]
    assert scripted.records == [("waiting", "ours", "adopted", True), ("stop requested", "ours")]


def test_stop__lost_start_does_not_appear() -> None:
    """A stop gives up after 15 seconds."""
    scripted = script(jitter=1.0)
    scripted.attempt.lost_start = LostStart(1000.0)

    assert scripted.run(stop) is StopOutcome.NOT_SEEN
    assert scripted.waits == [0.75, 1.5, *[2] * 6]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_stop__refused(status: int) -> None:
    """A stop that RudderStack refuses is not called one without an answer."""
    scripted = running(stop=[status_error(status)])

    assert scripted.run(stop) is StopOutcome.REFUSED


def test_stop__errors() -> None:
    """A stop that fails is repeated, and the log says once why it failed."""
    scripted = running(stop=[status_error(500, "Down.", retry_after_seconds=1.5)])

    assert scripted.run(stop) is StopOutcome.UNKNOWN
    assert scripted.waits == [1.5, *[2] * 6]
    assert scripted.log.lines == [
        f"warning: Sync ours of connection {NAME} could not be stopped. Down."
    ]


def test_stop__succeeds_late() -> None:
    """If a later stop succeeds, the error before it is not logged."""
    scripted = running(stop=[status_error(500), None])

    assert scripted.run(stop) is StopOutcome.REQUESTED
    assert (scripted.waits, scripted.log.lines) == ([1], [])


def test_stop__last_try() -> None:
    """A try that comes exactly at the end of the grace period is made."""
    scripted = running(stop=[status_error(500)])

    assert scripted.drive(stop(scripted.attempt, 3.0)) is StopOutcome.UNKNOWN
    assert scripted.waits == [1, 2]
    assert len(scripted.log.lines) == 1


def test_stop__no_grace_period() -> None:
    """With a grace period of 0, a stop is tried once."""
    scripted = running(stop=[status_error(500)])

    assert scripted.drive(stop(scripted.attempt, 0)) is StopOutcome.UNKNOWN
    assert scripted.waits == []
    assert scripted.api.operations.count("stop") == 1


def test_stop__record_cannot_be_written() -> None:
    """If the record of a stop cannot be written, a warning says so, and the sync is stopped."""
    scripted = running()
    scripted.recorder.error = OSError("disk full")

    assert scripted.run(stop) is StopOutcome.REQUESTED
    assert [line for line in scripted.log.lines if "disk full" in line]


def test_resume_or_start() -> None:
    """The result is the current sync of the attempt, and the time since when it waits."""
    scripted = script()

    current = scripted.run(resume_or_start)

    assert (
        current
        == scripted.attempt.current
        == CurrentSync("new", "started", owned=True, since=1000.0)
    )


# --- requests


def test_request__id() -> None:
    """An invalid id is refused by the name of its field. Blanks around an id are left out."""
    with pytest.raises(InvalidSettingError, match=r"^connection_id "):
        SyncRequest("../stop")

    assert SyncRequest(" crm ").connection_id == "crm"


def test_request__sync_type() -> None:
    """A sync type that RudderStack does not have is refused."""
    with pytest.raises(InvalidSettingError, match="sync_type"):
        SyncRequest("crm", "all")  # type: ignore[arg-type]

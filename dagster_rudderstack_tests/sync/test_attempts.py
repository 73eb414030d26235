"""Whole lives of a sync, request by request: what is sent, waited, recorded, logged and raised."""

from datetime import datetime, timedelta, timezone

import pytest

from dagster_rudderstack.errors import (
    ApiError,
    ConnectionDisabledError,
    InvalidSettingError,
    StatusError,
    SyncAbortedError,
    SyncAlreadyRunningError,
    SyncFailedError,
    SyncLostError,
    SyncTimedOutError,
    TransportError,
    UnexpectedResponseError,
)
from dagster_rudderstack.settings import PollPolicy, RetryPolicy, SyncPolicy
from dagster_rudderstack.sync.attempt import (
    NEWEST_SYNCS,
    CurrentSync,
    LogRecorder,
    LostStart,
    PreviousAttempt,
    SyncAttempt,
)
from dagster_rudderstack.sync.request import SyncRequest
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
START = ("start", "crm", None)
NAME = "CRM contacts (crm)"


def get(name: str) -> tuple[str, str, str]:
    return ("get", "crm", name)


# --- a sync that goes well


def test_a_sync_that_succeeds() -> None:
    """The connection is read, the syncs are listed, one is started and polled to its end."""
    life = script(
        request=SyncRequest("crm", "full", "CRM contacts"),
        listed=[[succeeded("old"), sync("older", "failed")]],
        get=[sync("new"), succeeded("new")],
    )

    report = life.run(start_and_wait)

    assert life.api.requests == [CONNECTION, LIST, ("start", "crm", "full"), get("new"), get("new")]
    assert life.waits == [1, 1]
    assert life.records == [
        ("starting", "old", "older"),
        ("waiting", "new", "started", True),
    ]
    assert life.log.lines == [
        "info: Sync new: running (1 s)",
        "info: Sync new: succeeded (2 s)",
    ]
    assert (report.id, report.status, report.origin) == ("new", "succeeded", "started")
    assert (report.connection_id, report.sync_type) == ("crm", "full")
    assert life.attempt.is_over
    assert not life.attempt.may_be_running


def test_the_wait_grows_with_the_time_since_the_start() -> None:
    """The wait before a poll is a share of the time that has passed since the start."""
    life = script(
        policy=SyncPolicy(poll=PollPolicy(poll_growth=1, poll_jitter=0.5)),
        jitter=1.0,
        get=[sync("new"), sync("new"), sync("new"), succeeded("new")],
    )

    life.run(start_and_wait)

    assert life.waits == [1.25, 1.5625, 3.515625, 7.91015625]


def test_start_only() -> None:
    """A sync that is only started is not polled, and its timeout begins with the attempt."""
    life = script(policy=every_second(sync_timeout_seconds=60))

    assert life.run(start_only) == "new"
    assert life.api.operations == ["connection", "list", "start"]
    assert life.attempt.deadline == 1060


def test_start_only__behind_another_sync() -> None:
    """The timeout of a sync that is only started includes the wait for another one."""
    life = script(
        policy=every_second(sync_timeout_seconds=60),
        listed=[[sync("other")]],
        get=[sync("other")],
    )

    with pytest.raises(SyncTimedOutError):
        life.run(start_only)

    assert sum(life.waits) == 60


def test_unchecked_connection() -> None:
    """Without the check, the connection is not read."""
    life = script(policy=every_second(check_connection=False))

    life.run(start_only)

    assert life.api.operations == ["list", "start"]


# --- attach


def test_attach() -> None:
    """A sync of another client is read before any error is tolerated, and then polled at once."""
    life = script(get=[sync("theirs"), sync("theirs"), succeeded("theirs")])

    report = life.drive(attach(life.attempt, "theirs"))

    assert life.api.requests == [get("theirs")] * 3
    assert life.waits == [1]
    assert life.records == [("waiting", "theirs", "attached", False)]
    assert (report.id, report.origin) == ("theirs", "attached")


def test_attach__to_an_owned_sync() -> None:
    """A sync that our run started is first polled after a wait."""
    life = script(get=[succeeded("ours")])

    report = life.drive(attach(life.attempt, "ours", owned=True))

    assert life.api.requests == [get("ours")]
    assert life.waits == [1]
    assert life.records == [("waiting", "ours", "started", True)]
    assert report.origin == "started"


@pytest.mark.parametrize("owned", [True, False])
def test_attach__times_out(owned: bool) -> None:
    """The timeout of an attached sync stops it only if our run started it."""
    life = script(
        policy=every_second(sync_timeout_seconds=30), get=[sync("s")], listed=[[sync("s")]]
    )

    with pytest.raises(SyncTimedOutError) as error:
        life.drive(attach(life.attempt, "s", owned=owned))

    assert sum(life.waits) == 30
    assert life.api.operations.count("stop") == owned
    assert error.value.stop_requested is owned
    assert error.value.sync == sync("s")


def test_attach__to_an_unknown_sync() -> None:
    """A sync that RudderStack does not know is an error at once, and nothing is recorded."""
    life = script(get=[status_error(404)])

    with pytest.raises(StatusError, match="Answer 404"):
        life.drive(attach(life.attempt, "nope"))

    assert (life.waits, life.records) == ([], [])


@pytest.mark.parametrize("owned", [True, False])
def test_attach__to_an_impossible_id(owned: bool) -> None:
    """An id that cannot be right is refused before any request, by its name."""
    life = script()

    with pytest.raises(ValueError, match=r"^sync_id "):
        life.drive(attach(life.attempt, "../stop", owned=owned))

    assert life.api.requests == []


def test_attach__remembers_what_it_saw() -> None:
    """A sync that was seen before an outage is part of the error."""
    life = script(
        policy=every_second(outage_tolerance_seconds=0),
        get=[sync("theirs"), status_error(500)],
    )

    with pytest.raises(SyncLostError):
        life.drive(attach(life.attempt, "theirs"))


# --- before the start


def test_disabled() -> None:
    """A disabled connection is an error before anything is listed or started."""
    life = script(connection=[connection_read(enabled=False)])

    with pytest.raises(ConnectionDisabledError) as error:
        life.run(start_and_wait)

    assert life.api.requests == [CONNECTION]
    assert error.value.connection_id == "crm"
    assert str(error.value) == (
        f"Connection {NAME} is disabled in RudderStack and does not sync. Enable it in the "
        "dashboard, or set on_disabled='skip'."
    )


def test_disabled_after_a_lost_start() -> None:
    """A lost start is looked for on a disabled connection too, and its sync is waited for."""
    life = script(
        previous=PreviousAttempt(known_sync_ids=frozenset({"old"})),
        connection=[connection_read(enabled=False, schedule=None)],
        listed=[[succeeded("old")], [sync("ours"), succeeded("old")]],
        get=[succeeded("ours")],
    )

    report = life.run(start_and_wait)

    assert (report.id, report.origin) == ("ours", "adopted")
    assert life.api.operations == ["connection", "list", "list", "get"]


def test_disabled_after_a_lost_start_without_a_sync() -> None:
    """If no sync shows up, the disabled connection is the error, and the next attempt knows it."""
    life = script(
        previous=PreviousAttempt(), connection=[connection_read(enabled=False)], listed=[[]]
    )

    with pytest.raises(ConnectionDisabledError):
        life.run(start_and_wait)

    assert "start" not in life.api.operations
    assert life.records[-1] == ("nothing started",)
    assert sum(life.waits) == 30


@pytest.mark.parametrize("schedule", ["manual", "Manual", None])
def test_no_schedule(schedule: str | None) -> None:
    """A connection without a schedule of its own is nothing to warn of."""
    life = script(connection=[connection_read(schedule=schedule)])

    life.run(start_only)

    assert life.log.lines == []


def test_schedule() -> None:
    """A connection that RudderStack also starts by itself is a warning that says what to do."""
    life = script(connection=[connection_read(schedule="every\nfull moon" + "x" * 99)])

    life.run(start_only)

    shown = "every full moon" + "x" * 24 + "…"
    assert life.log.lines == [
        (
            f"warning: RudderStack also starts connection {NAME} on its own schedule ({shown!r}). "
            "Set the schedule to Manual in the dashboard, so that only Dagster starts its syncs."
        )
    ]


def test_a_connection_that_may_not_be_read() -> None:
    """A token that may not read connections costs the check and not the sync."""
    life = script(connection=[status_error(403, "No permission.")])

    assert life.run(start_only) == "new"
    assert life.log.lines == [
        (
            f"warning: Connection {NAME} cannot be checked before its sync, because the token may "
            "not read it. The sync starts without the check. No permission."
        )
    ]


def test_retries_before_the_start() -> None:
    """Before a start, passing errors are retried as often as the policy says."""
    life = script(
        policy=every_second(retry=RetryPolicy(request_max_retries=2)),
        connection=[status_error(503, "Down.", retry_after_seconds=9)],
    )

    with pytest.raises(StatusError, match="Down"):
        life.run(start_and_wait)

    assert life.waits == [9, 9]
    assert life.log.lines == ["warning: Down. Trying again in 9 s."] * 2


def test_a_final_error_before_the_start() -> None:
    """Before a start, an error that no retry can fix is raised at once."""
    life = script(listed=[status_error(403)])

    with pytest.raises(StatusError, match="Answer 403"):
        life.run(start_and_wait)

    assert life.waits == []


def test_answers_again() -> None:
    """The log says when RudderStack answers again, and after how long."""
    life = script(
        get=[status_error(500, "One."), status_error(403, "Two."), succeeded("new")], jitter=1.0
    )

    life.run(start_and_wait)

    assert life.waits == [1, 0.75, 1.5]
    assert life.log.lines == [
        "warning: One. Trying again in 0.8 s.",
        "warning: Two. Trying again in 1.5 s.",
        "info: RudderStack answers again. The errors lasted 2.2 s.",
        "info: Sync new: succeeded (3.2 s)",
    ]


# --- another sync runs


def test_another_sync_runs__wait() -> None:
    """Ours starts when the other sync is over, and knows it as a sync of before."""
    life = script(
        listed=[[sync("theirs")], [succeeded("theirs")]],
        get=[sync("theirs"), succeeded("theirs"), succeeded("new")],
    )

    report = life.run(start_and_wait)

    assert report.id == "new"
    assert life.api.requests == [
        CONNECTION,
        LIST,
        get("theirs"),
        get("theirs"),
        LIST,
        START,
        get("new"),
    ]
    assert life.waits == [1, 1]
    assert life.records == [("starting", "theirs"), ("waiting", "new", "started", True)]
    assert life.log.lines[0] == (
        f"info: Sync theirs of connection {NAME} is already running. This step waits until it ends "
        "and then starts a new sync, since the running one may miss rows of rebuilt tables."
    )


def test_another_sync_runs__growing_waits() -> None:
    """The wait for another sync grows with the time since it was seen."""
    life = script(
        policy=SyncPolicy(poll=PollPolicy(poll_growth=1, poll_jitter=0)),
        listed=[[sync("theirs")], [succeeded("theirs")]],
        get=[*[sync("theirs")] * 3, succeeded("theirs"), succeeded("new")],
    )

    life.run(start_and_wait)

    assert life.waits == [1, 1, 2, 1]


def test_another_sync_runs__attach() -> None:
    """With `attach`, the newest running sync is waited for and not owned."""
    life = script(
        policy=every_second(on_running_sync="attach"),
        listed=[[sync("theirs"), sync("older")]],
        get=[succeeded("theirs")],
    )

    report = life.run(start_and_wait)

    assert (report.id, report.origin) == ("theirs", "attached")
    assert life.records == [("waiting", "theirs", "attached", False)]
    assert life.waits == []


def test_another_sync_runs__fail() -> None:
    """With `fail`, the error names the sync that runs."""
    life = script(policy=every_second(on_running_sync="fail"), listed=[[sync("theirs")]])

    with pytest.raises(SyncAlreadyRunningError) as error:
        life.run(start_and_wait)

    assert error.value.sync == sync("theirs")
    assert error.value.connection_id == "crm"
    assert str(error.value) == (
        f"A sync of connection {NAME} is already running (theirs), and on_running_sync is 'fail'. "
        "Start again when it has ended, or set on_running_sync to 'wait' or 'attach'."
    )


def test_conflict__fail() -> None:
    """With `fail`, a refused start is the same error, without a sync, and withdrawn."""
    conflict = status_error(409)
    life = script(policy=every_second(on_running_sync="fail"), start=[conflict])

    with pytest.raises(SyncAlreadyRunningError) as error:
        life.run(start_and_wait)

    assert error.value.sync is None
    assert error.value.__cause__ is conflict
    assert f"connection {NAME} is already running, and on" in str(error.value)
    assert life.records == [("starting",), ("nothing started",)]
    assert not life.attempt.may_be_running


def test_conflict__wait() -> None:
    """After a refused start the syncs are listed again, with growing waits."""
    life = script(start=[status_error(409, "Runs."), status_error(409, "Runs."), "new"], jitter=1.0)

    assert life.run(start_only) == "new"
    assert life.api.operations == ["connection", "list", "start", "list", "start", "list", "start"]
    assert life.waits == [0.75, 1.5]
    line = "info: Another sync is already running. Looking for it. (Runs.)"
    assert life.log.lines == [line] * 2
    assert life.records == [
        ("starting",),
        ("nothing started",),
        ("starting",),
        ("nothing started",),
        ("starting",),
        ("waiting", "new", "started", True),
    ]


def test_conflict__after_a_lost_start() -> None:
    """A start that is refused after a lost one may be refused because of ours: it is looked for."""
    life = script(
        policy=every_second(on_running_sync="fail", start_settling_seconds=0),
        start=[cut_off(), status_error(409)],
        listed=[[], [], [sync("ours")]],
    )

    assert life.run(start_only) == "ours"
    assert life.records[-1] == ("waiting", "ours", "adopted", True)


# --- a start that fails


def test_a_start_that_had_no_effect() -> None:
    """A start that had no effect is withdrawn, announced again and sent again."""
    refused = TransportError("Refused.", method="POST", path="/x", request_sent=False)
    life = script(start=[refused, status_error(429, "Slow.", retry_after_seconds=7), "new"])

    assert life.run(start_only) == "new"
    assert life.api.operations == ["connection", "list", "start", "list", "start", "list", "start"]
    assert life.waits == [1, 7]
    assert life.log.lines == [
        "warning: Refused. Trying again in 1 s.",
        "warning: Slow. Trying again in 7 s.",
    ]
    assert life.records == [
        ("starting",),
        ("nothing started",),
        ("starting",),
        ("nothing started",),
        ("starting",),
        ("waiting", "new", "started", True),
    ]


def test_a_start_that_never_has_an_effect() -> None:
    """The start is sent once and retried as often as the policy says; then its error is raised."""
    life = script(
        policy=every_second(retry=RetryPolicy(request_max_retries=2)),
        start=[status_error(429, "Slow.")],
        jitter=1.0,
    )

    with pytest.raises(StatusError, match="Slow"):
        life.run(start_only)

    assert life.api.operations.count("start") == 3
    assert life.waits == [0.75, 1.5, 3]
    assert life.records[-1] == ("nothing started",)


def test_a_start_that_is_refused() -> None:
    """A start that is refused for good is withdrawn and raised at once."""
    life = script(start=[status_error(400, "Bad.")])

    with pytest.raises(StatusError, match="Bad"):
        life.run(start_only)

    assert life.api.operations == ["connection", "list", "start"]
    assert life.waits == []
    assert life.records == [("starting",), ("nothing started",)]
    assert life.attempt.known_sync_ids is None
    assert not life.attempt.may_be_running


def test_a_lost_start_that_shows_up() -> None:
    """A sync that was not listed before the lost start is adopted and owned."""
    life = script(
        start=[cut_off()],
        listed=[[succeeded("old")], [succeeded("old")], [sync("ours"), succeeded("old")]],
        get=[succeeded("ours")],
        jitter=1.0,
    )

    report = life.run(start_and_wait)

    assert (report.id, report.origin) == ("ours", "adopted")
    assert life.api.operations == ["connection", "list", "start", "list", "list", "get"]
    assert life.waits == [0.75]
    assert life.log.lines == [
        (
            f"warning: The answer to the start of a sync of connection {NAME} was lost, so it is "
            "unknown whether a sync was started. Looking for it. Cut off."
        ),
        "info: Sync ours: succeeded (0 s)",
    ]
    assert life.records == [("starting", "old"), ("waiting", "ours", "adopted", True)]


def test_a_lost_start_that_never_shows_up() -> None:
    """After the settling time the start is sent again, and not announced twice."""
    life = script(start=[cut_off(), "new"], listed=[[succeeded("old")]])

    assert life.run(start_only) == "new"
    assert life.api.operations.count("start") == 2
    assert life.waits == [1, 2, 4, 8, 15]
    assert life.log.lines[1:] == [
        (
            "info: No sync has appeared since the start whose answer was lost. Sending the start "
            "again."
        )
    ]
    assert life.records == [("starting", "old"), ("waiting", "new", "started", True)]


def test_the_last_look_for_a_lost_start() -> None:
    """The last look for the sync of a lost start comes exactly at the end of the settling time."""
    life = script(policy=every_second(start_settling_seconds=1.5), start=[cut_off(), "new"])

    life.run(start_only)

    assert life.waits == [1, 0.5]


def test_lost_starts_are_bounded() -> None:
    """Starts that are lost again and again are given up, and the next attempt starts anew."""
    life = script(
        policy=every_second(retry=RetryPolicy(request_max_retries=1), start_settling_seconds=0),
        start=[cut_off()],
    )

    with pytest.raises(ApiError, match="Cut off"):
        life.run(start_only)

    assert life.api.operations.count("start") == 2
    assert life.records == [("starting",), ("nothing started",)]


def test_a_lost_start_and_one_that_is_refused() -> None:
    """If a start is refused after the settling time of a lost one, the error is raised at once."""
    life = script(
        policy=every_second(start_settling_seconds=0), start=[cut_off(), status_error(403, "No.")]
    )

    with pytest.raises(StatusError, match="No"):
        life.run(start_only)

    assert life.waits == []
    assert life.records == [("starting",), ("nothing started",)]


def test_syncs_that_began_after_a_lost_start() -> None:
    """Of several syncs that began, the oldest is waited for and none is owned."""
    life = script(
        start=[cut_off()],
        listed=[[], [sync("c"), sync("b"), sync("a")]],
        get=[succeeded("a")],
    )

    report = life.run(start_and_wait)

    assert report.id == "a"
    assert life.records[-1] == ("waiting", "a", "adopted", False)
    assert life.log.lines[1] == (
        "warning: Several syncs began after the start whose answer was lost: a, b, c. Waiting for "
        "the first, a. It is never stopped, since it may belong to another client."
    )


def test_a_lost_start_of_our_own_that_failed() -> None:
    """A sync of this attempt that has failed meanwhile is adopted and reported as failed."""
    life = script(
        start=[cut_off()], listed=[[], [sync("ours", "failed")]], get=[sync("ours", "failed")]
    )

    with pytest.raises(SyncFailedError):
        life.run(start_and_wait)

    assert life.api.operations.count("start") == 1


# --- what an earlier attempt left


def test_a_start_that_an_earlier_attempt_announced() -> None:
    """The sync that an earlier attempt may have started is looked for, and adopted."""
    life = script(
        previous=PreviousAttempt(known_sync_ids=frozenset({"old"})),
        listed=[[sync("ours"), succeeded("old")]],
    )

    assert life.run(start_only) == "ours"
    assert life.api.requests == [CONNECTION, LIST]
    assert life.records == [("waiting", "ours", "adopted", True)]
    assert life.log.lines == [
        (
            f"info: A previous attempt may have started a sync of connection {NAME}. Looking for "
            "it before starting another one."
        )
    ]


def test_a_start_that_an_earlier_attempt_announced__outage() -> None:
    """While a sync of a lost start may be running, all errors are tolerated, also in the check."""
    life = script(
        previous=PreviousAttempt(),
        connection=[status_error(401), connection_read()],
        listed=[status_error(403), [sync("ours")]],
    )

    assert life.run(start_only) == "ours"
    assert life.waits == [1, 1]


def test_a_start_that_an_earlier_attempt_announced_without_effect() -> None:
    """If no sync shows up within the settling time, one is announced again and started."""
    known = frozenset({"old"})
    life = script(previous=PreviousAttempt(known_sync_ids=known), listed=[[succeeded("old")]])

    assert life.run(start_only) == "new"
    assert sum(life.waits) == 30
    assert life.records == [("starting", "old"), ("waiting", "new", "started", True)]


def test_a_start_of_an_earlier_attempt_that_failed() -> None:
    """A sync of an earlier attempt that failed is started again, at once."""
    life = script(previous=PreviousAttempt(), listed=[[sync("ours", "failed")]])

    assert life.run(start_only) == "new"
    assert life.waits == []
    assert life.log.lines[1:] == [
        "info: Sync ours of a previous attempt failed. Starting a new one."
    ]
    assert life.records == [("starting", "ours"), ("waiting", "new", "started", True)]


@pytest.mark.parametrize(("hours", "origin"), [(1, "adopted"), (1.01, "started")])
def test_an_old_record(hours: float, origin: str) -> None:
    """A sync that began within an hour of an old record may be its sync, and no other."""
    recorded_at = BEGAN + timedelta(hours=hours)
    life = script(
        policy=every_second(start_settling_seconds=0),
        previous=PreviousAttempt(recorded_at=recorded_at),
        listed=[[succeeded("maybe")]],
        get=[succeeded("any")],
    )

    life.run(start_only)

    assert life.records[-1][2] == origin


def test_an_old_record__sync_without_a_time() -> None:
    """A sync that has no time may be the one of an old record."""
    life = script(
        previous=PreviousAttempt(recorded_at=datetime(2020, 1, 1, tzinfo=timezone.utc)),
        listed=[[sync("maybe", started_at=None)]],
    )

    assert life.run(start_only) == "maybe"


@pytest.mark.parametrize("owned", [True, False])
def test_resume(owned: bool) -> None:
    """A sync that an earlier attempt waited for is waited for, and stays ours or not."""
    life = script(
        previous=PreviousAttempt(sync_id="ours", owned=owned),
        get=[sync("ours"), sync("ours"), succeeded("ours")],
    )

    report = life.run(start_and_wait)

    assert (report.id, report.origin) == ("ours", "resumed")
    assert life.api.requests == [get("ours")] * 3
    assert life.waits == [1]
    assert life.records == [("waiting", "ours", "resumed", owned)]


def test_resume__a_sync_that_failed() -> None:
    """A sync of an earlier attempt that failed is started again."""
    life = script(previous=PreviousAttempt(sync_id="ours"), get=[sync("ours", "failed")])

    assert life.run(start_only) == "new"
    assert life.log.lines == [
        "info: Sync ours of a previous attempt ended with status 'failed'. Starting a new one."
    ]


@pytest.mark.parametrize("status", ["failed", "aborted"])
@pytest.mark.parametrize("is_same_run", [True, False])
def test_resume__what_a_person_stopped(status: str, is_same_run: bool) -> None:
    """A sync that a person stopped is not started again by a step retry, but by a later run."""
    life = script(
        previous=PreviousAttempt(sync_id="ours", is_same_run=is_same_run),
        get=[sync("ours", status)],
    )

    if status == "aborted" and is_same_run:
        with pytest.raises(SyncAbortedError):
            life.run(start_only)
    else:
        assert life.run(start_only) == "new"


def test_resume__an_unknown_sync() -> None:
    """A sync that stays unknown for the settling time, and is not listed, is started again."""
    life = script(
        previous=PreviousAttempt(sync_id="ours"),
        get=[status_error(404, "Unknown.")],
        listed=[[succeeded("other")]],
    )

    assert life.run(start_only) == "new"
    assert sum(life.waits) >= 30
    assert life.api.operations[-4:] == ["list", "connection", "list", "start"]
    assert life.log.lines[-1] == (
        "info: RudderStack does not know sync ours of a previous attempt. Starting a new one."
    )


def test_resume__a_sync_that_is_known_late() -> None:
    """A sync that is unknown for its first seconds is waited for."""
    life = script(
        previous=PreviousAttempt(sync_id="ours"), get=[status_error(404), succeeded("ours")]
    )

    assert life.run(start_only) == "ours"
    assert life.waits == [1]


def test_resume__exactly_at_the_settling_time() -> None:
    """A sync that is unknown when the settling time has passed is looked for in the list."""
    life = script(
        policy=every_second(start_settling_seconds=3),
        previous=PreviousAttempt(sync_id="ours"),
        get=[status_error(404)],
        listed=[[sync("other"), succeeded("ours")]],
    )

    assert life.run(start_only) == "ours"
    assert life.waits == [1, 2]
    assert life.records == [("waiting", "ours", "resumed", True)]


def test_resume__an_outage_of_the_list() -> None:
    """While it is open whether a sync of an earlier attempt runs, all errors are tolerated."""
    life = script(
        policy=every_second(start_settling_seconds=0),
        previous=PreviousAttempt(sync_id="ours"),
        get=[status_error(404)],
        listed=[status_error(403), [succeeded("ours")]],
    )

    assert life.run(start_only) == "ours"
    assert life.waits == [1]


# --- while a sync runs


def test_a_sync_that_fails() -> None:
    """A sync that fails is over, so that nothing is stopped any more."""
    life = script(get=[sync("new", "failed", error="no table")])

    with pytest.raises(SyncFailedError):
        life.run(start_and_wait)

    assert life.attempt.is_over
    assert life.log.lines == ["warning: Sync new: failed (1 s). RudderStack says: no table."]


@pytest.mark.parametrize("is_durable", [True, False])
def test_an_outage_that_lasts(is_durable: bool) -> None:
    """An outage beyond the tolerance is an error that says whether a retry resumes the sync."""
    life = script(
        policy=every_second(outage_tolerance_seconds=5),
        recorder=ScriptedRecorder(is_durable=is_durable),
        get=[sync("new"), status_error(500, "Down.")],
    )

    with pytest.raises(SyncLostError) as error:
        life.run(start_and_wait)

    assert life.waits == [1, 1, 1, 2, 4]
    resumed = ": a retry of this step resumes it" if is_durable else ""
    assert str(error.value) == (
        f"Sync new of connection {NAME} may be running, but no request about it succeeded for "
        f"7 s. It was left running{resumed}. Last error: Down."
    )
    assert error.value.connection_id == "crm"
    assert error.value.sync == sync("new")
    assert isinstance(error.value.__cause__, StatusError)


def test_an_outage_as_long_as_the_tolerance() -> None:
    """An outage that lasts exactly as long as the tolerance is too long."""
    life = script(policy=every_second(outage_tolerance_seconds=3), get=[status_error(500)])

    with pytest.raises(SyncLostError):
        life.run(start_and_wait)

    assert life.waits == [1, 1, 2]


def test_an_outage_after_a_lost_start() -> None:
    """While a lost start is looked for, an outage is an error about a sync without an id."""
    life = script(
        policy=every_second(outage_tolerance_seconds=0),
        start=[cut_off()],
        listed=[[], status_error(500, "Down.")],
    )

    with pytest.raises(SyncLostError, match=r"^A sync of connection CRM contacts \(crm\) may be"):
        life.run(start_and_wait)


def test_an_answer_about_another_sync() -> None:
    """An answer about another sync is an error of the API that names both requests."""
    life = script(get=[sync("other")])

    with pytest.raises(UnexpectedResponseError) as error:
        life.attempt.get_sync("ours")

    path = "/retl-connections/crm/syncs/ours"
    assert str(error.value) == f"RudderStack's answer to GET {path} is about another sync, 'other'."
    assert (error.value.method, error.value.path) == ("GET", path)


def test_an_id_with_blanks() -> None:
    """Blanks around an id do not make it another sync's."""
    assert script(get=[sync("ours")]).attempt.get_sync(" ours ").id == "ours"


# --- the timeout


def test_timeout() -> None:
    """The timeout asks RudderStack to stop our sync, and says so."""
    life = script(policy=every_second(sync_timeout_seconds=90), get=[sync("new")])

    with pytest.raises(SyncTimedOutError) as error:
        life.run(start_and_wait)

    assert sum(life.waits) == 90
    assert life.api.requests[-3:] == [LIST, get("new"), ("stop", "crm")]
    assert life.records[-1] == ("stop requested", "new")
    assert error.value.stop_requested is True
    assert (error.value.connection_id, error.value.sync) == ("crm", sync("new"))
    assert str(error.value) == (
        f"Sync new of connection {NAME} did not end within the timeout of 1 min 30 s: RudderStack "
        "was asked to stop it. If the sync is slow, increase the timeout. Otherwise look at the "
        "sync in RudderStack's dashboard."
    )


def test_timeout__the_last_wait_is_cut() -> None:
    """The last wait ends at the deadline."""
    life = script(
        policy=every_second(sync_timeout_seconds=5, poll=PollPolicy(poll_min_interval_seconds=3)),
        get=[sync("new")],
        jitter=0.5,
    )

    with pytest.raises(SyncTimedOutError):
        life.run(start_and_wait)

    assert life.waits == [3, 2]


def test_timeout__left_running() -> None:
    """A timeout that must not stop a sync leaves it running, and says so."""
    life = script(
        policy=every_second(sync_timeout_seconds=9, stop_on_timeout=False), get=[sync("new")]
    )

    with pytest.raises(SyncTimedOutError, match=r"timeout of 9 s: it was left running\.") as error:
        life.run(start_and_wait)

    assert "stop" not in life.api.operations
    assert error.value.stop_requested is False


def test_timeout__behind_another_sync() -> None:
    """A timeout behind another sync names that sync and stops nothing."""
    life = script(
        policy=every_second(sync_timeout_seconds=9), listed=[[sync("theirs")]], get=[sync("theirs")]
    )

    with pytest.raises(SyncTimedOutError) as error:
        life.run(start_and_wait)

    assert "stop" not in life.api.operations
    assert error.value.sync == sync("theirs")
    assert error.value.stop_requested is False
    assert str(error.value).startswith(
        f"No sync of connection {NAME} could be started within the timeout of 9 s: sync theirs was "
        "still running. If the sync is slow, increase"
    )


def test_timeout__while_a_lost_start_is_looked_for() -> None:
    """A timeout after a lost start looks for its sync, and says what came of it."""
    life = script(policy=every_second(sync_timeout_seconds=3), start=[cut_off()])

    with pytest.raises(SyncTimedOutError) as error:
        life.run(start_and_wait)

    assert error.value.stop_requested is False
    assert str(error.value).startswith(
        f"No sync of connection {NAME} could be started within the timeout of 3 s: "
        "RudderStack's answers did not show whether a sync was started (it was being started and "
        "is not listed yet; if it appears later, stop it in RudderStack's dashboard). If the sync "
        "is slow, increase"
    )


# --- records


def test_a_record_that_fails() -> None:
    """A record that cannot be written is a warning while a sync runs."""
    life = script(get=[succeeded("theirs")], recorder=ScriptedRecorder(error=OSError("disk full")))

    life.drive(attach(life.attempt, "theirs"))

    assert life.log.lines[0] == (
        f"warning: Sync theirs of connection {NAME} could not be recorded, so a retry may not find "
        "it: disk full"
    )


def test_log_recorder() -> None:
    """Outside Dagster, the log says which sync is waited for, and nothing is kept."""
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


def test_attempt_without_a_recorder() -> None:
    """An attempt without a recorder logs the sync that it waits for."""
    log = ListLog()
    attempt = SyncAttempt(ScriptedApi(), SyncRequest("crm"), log=log)

    attempt.wait_on("s", "started", owned=True)

    assert log.lines == ["info: Started sync s of connection crm."]


# --- what an interrupt finds


def test_take_over__a_sync() -> None:
    """What an earlier attempt waited for is ours to stop, from now on."""
    life = script(previous=PreviousAttempt(sync_id="ours", owned=False))

    life.attempt.take_over_previous()

    assert life.attempt.current == CurrentSync("ours", "resumed", owned=False, since=1000.0)
    assert life.attempt.lost_start is None
    assert life.attempt.may_be_running


def test_take_over__a_lost_start() -> None:
    """What an earlier attempt announced may be running, from now on."""
    previous = PreviousAttempt(known_sync_ids=frozenset({"old"}), recorded_at=BEGAN)
    life = script(previous=previous)

    life.attempt.take_over_previous()

    assert life.attempt.current is None
    assert life.attempt.known_sync_ids == frozenset({"old"})
    assert life.attempt.lost_start == LostStart(1000.0, is_earlier=True, recorded_at=BEGAN)
    assert life.attempt.settling_seconds_left == 30


def test_take_over__nothing() -> None:
    """Nothing is taken over if there is nothing, or if this attempt has a sync of its own."""
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


def test_wait_on_ends_the_search_for_a_lost_start() -> None:
    """An attempt that has its sync looks for no lost start, and has seen nothing of its sync."""
    life = script()
    life.attempt.lost_start, life.attempt.last_seen = LostStart(1.0), sync("theirs")

    current = life.attempt.wait_on("ours", "adopted", owned=True)

    assert current == CurrentSync("ours", "adopted", owned=True, since=1000.0)
    assert life.attempt.may_be_running
    assert [life.attempt.lost_start, life.attempt.last_seen] == [None, None]


# --- stopping


def running(name: str = "ours", *, owned: bool = True, **answers: object) -> Script:
    """Return an attempt that waits for a running sync."""
    life = script(**{"get": [sync(name)], "listed": [[sync(name)]], **answers})  # type: ignore[arg-type]
    life.attempt.wait_on(name, "started", owned=owned)
    return life


def test_stop() -> None:
    """A stop looks at what runs, asks for the stop once and records it."""
    life = running()

    assert life.run(stop) is StopOutcome.REQUESTED
    assert life.api.requests == [LIST, get("ours"), ("stop", "crm")]
    assert life.records[-1] == ("stop requested", "ours")
    assert life.waits == []


def test_stop__is_over() -> None:
    """A sync that is over is not stopped."""
    life = running(get=[succeeded("ours")])

    assert life.run(stop) is StopOutcome.OVER
    assert "stop" not in life.api.operations


def test_stop__not_owned() -> None:
    """A sync of another client is not stopped."""
    life = running(owned=False)

    assert life.run(stop) is StopOutcome.NOT_OWNED
    assert "stop" not in life.api.operations


def test_stop__others_are_over() -> None:
    """Syncs that are over do not keep ours from being stopped."""
    life = running(listed=[[succeeded("newer"), sync("ours"), succeeded("old")]])

    assert life.run(stop) is StopOutcome.REQUESTED


def test_stop__nothing_begun() -> None:
    """Before anything was started there is nothing to stop and nothing to ask."""
    life = script()

    assert life.run(stop) is StopOutcome.NOTHING_STARTED
    assert life.api.requests == []


def test_stop__lost_start_that_has_settled() -> None:
    """After the settling time, a lost start without a sync started nothing."""
    life = script(policy=every_second(start_settling_seconds=0))
    life.attempt.lost_start = LostStart(1000.0)

    assert life.run(stop) is StopOutcome.NOTHING_STARTED
    assert life.api.requests == [LIST]


def test_stop__lost_start_that_has_almost_settled() -> None:
    """Within the settling time, a lost start may still have started a sync."""
    life = script(policy=every_second(start_settling_seconds=0.5))
    life.attempt.lost_start = LostStart(1000.0)

    assert life.drive(stop(life.attempt, 0)) is StopOutcome.NOT_SEEN


def test_stop__lost_start_that_shows_up() -> None:
    """A lost start is looked for with growing waits of at most two seconds, and stopped."""
    life = script(
        listed=[[], [], [], [sync("ours")]],
        get=[sync("ours")],
    )
    life.attempt.lost_start, life.attempt.known_sync_ids = LostStart(1000.0), frozenset()

    assert life.run(stop) is StopOutcome.REQUESTED
    assert life.waits == [1, 2, 2]
    assert life.records == [("waiting", "ours", "adopted", True), ("stop requested", "ours")]


def test_stop__lost_start_that_never_shows_up() -> None:
    """A stop gives up after 15 seconds."""
    life = script(jitter=1.0)
    life.attempt.lost_start = LostStart(1000.0)

    assert life.run(stop) is StopOutcome.NOT_SEEN
    assert life.waits == [0.75, 1.5, *[2] * 6]


def test_stop__unanswered() -> None:
    """A stop that is not answered is repeated, and the log says why it failed, once."""
    life = running(stop=[status_error(500, "Down.", retry_after_seconds=1.5)])

    assert life.run(stop) is StopOutcome.UNKNOWN
    assert life.waits == [1.5, *[2] * 6]
    assert life.log.lines == [
        f"warning: Sync ours of connection {NAME} could not be stopped. Down."
    ]


def test_stop__answered_late() -> None:
    """An error before a stop that succeeds is not logged."""
    life = running(stop=[status_error(500), None])

    assert life.run(stop) is StopOutcome.REQUESTED
    assert (life.waits, life.log.lines) == ([1], [])


def test_stop__exactly_in_time() -> None:
    """A try that comes exactly at the end of the grace is made."""
    life = running(stop=[status_error(500)])

    assert life.drive(stop(life.attempt, 3.0)) is StopOutcome.UNKNOWN
    assert life.waits == [1, 2]
    assert len(life.log.lines) == 1


def test_stop__once() -> None:
    """Without a grace a stop is tried once."""
    life = running(stop=[status_error(500)])

    assert life.drive(stop(life.attempt, 0)) is StopOutcome.UNKNOWN
    assert life.waits == []
    assert life.api.operations.count("stop") == 1


def test_stop__record_that_fails() -> None:
    """A stop that cannot be recorded is a warning, and still a stop."""
    life = running()
    life.recorder.error = OSError("disk full")

    assert life.run(stop) is StopOutcome.REQUESTED
    assert [line for line in life.log.lines if "disk full" in line]


def test_resume_or_start__returns_the_current_sync() -> None:
    """The sync to wait for is the one that the attempt has, since its start."""
    life = script()

    current = life.run(resume_or_start)

    assert (
        current == life.attempt.current == CurrentSync("new", "started", owned=True, since=1000.0)
    )


# --- requests


def test_request__id() -> None:
    """An id that cannot be right is refused by its name; blanks around it are left out."""
    with pytest.raises(InvalidSettingError, match=r"^connection_id "):
        SyncRequest("../stop")

    assert SyncRequest(" crm ").connection_id == "crm"


def test_request__sync_type() -> None:
    """A sync type that RudderStack does not have is refused."""
    with pytest.raises(InvalidSettingError, match="sync_type"):
        SyncRequest("crm", "all")  # type: ignore[arg-type]

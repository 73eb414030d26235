"""The failures that are tested, one row each: the fault, what the user sees, what the server saw.

The table is a test (`test_cases.py`) and a page of the documentation (`docs/faults.md`, written by
`python -m dagster_rudderstack_tests.sync.page`).
"""

from dagster_rudderstack import errors
from dagster_rudderstack.settings import RetryPolicy, SyncPolicy
from dagster_rudderstack.testing import Fault, SyncScript
from dagster_rudderstack_tests.sync.case import (
    GOOD,
    HOUR,
    MINUTE,
    Case,
    connection,
    failing_polls,
    lost_start,
    other_sync_running,
    start_without_effect,
)
from dagster_rudderstack_tests.sync.world import READ_TIMEOUT_SECONDS

AFTER_THE_READ_TIMEOUT = READ_TIMEOUT_SECONDS * 2

SOURCE_NOT_FOUND = '{"message": "source not found"}'

LONG = SyncScript(duration_seconds=25 * MINUTE, rows_total=100)
VERY_LONG = SyncScript(duration_seconds=2 * HOUR, rows_total=100)

ONE_HOUR_TIMEOUT = SyncPolicy(sync_timeout_seconds=HOUR)

ADOPTED = "The sync succeeds. The log says that the answer was lost and which sync was adopted."
TOLERATED = (
    "The sync succeeds. The log warns about the errors and says when RudderStack answers again."
)
STARTED_AGAIN = "The sync succeeds half a minute later. The log says why the start was sent again."

_LOST_WITH_EFFECT = [
    Case(
        f"lost_start__{name}",
        f"The start takes effect, but its answer is lost: {words}.",
        ADOPTED,
        connection(GOOD, lost_start(kind, **settings)),
        origin="adopted",
        logged="was lost",
    )
    for name, words, kind, settings in (
        ("reset", "the connection is reset", "reset", {}),
        ("closed", "the connection is closed", "close", {}),
        ("timeout", "it comes after the read timeout", "slow", {"seconds": AFTER_THE_READ_TIMEOUT}),
        ("truncated", "it is cut off in the middle", "truncated", {}),
        ("empty", "200 with an empty body", "empty", {}),
        ("html", "200 with an HTML page", "wrong_type", {"body": "<html>welcome</html>"}),
        ("list", "200 with a JSON list", "wrong_type", {"body": "[]"}),
        ("no_id", "200 without a sync id", "wrong_type", {"body": '{"ok": true}'}),
        (
            "hostile_id",
            "200 with a path instead of an id",
            "body",
            {"body": '{"syncId": "../../stop"}'},
        ),
        ("500", "500", "status", {"status": 500}),
        ("502", "502 from a gateway, in HTML", "status", {"status": 502}),
        ("503", "503 from a gateway, in HTML", "status", {"status": 503}),
        ("504", "504 from a gateway, in HTML", "status", {"status": 504}),
        ("redirect", "a redirect to another host", "redirect", {}),
    )
]

_LOST_WITHOUT_EFFECT = [
    Case(
        f"start_without_effect__{name}",
        f"The start is lost before it takes effect: {words}.",
        STARTED_AGAIN,
        connection(GOOD, start_without_effect(kind, **settings)),
        logged="No sync has appeared",
        sent=2,
    )
    for name, words, kind, settings in (
        ("reset", "the connection is reset", "reset", {}),
        ("504", "504 from a gateway", "status", {"status": 504}),
        ("empty", "200 with an empty body", "empty", {}),
    )
]

_OUTAGES = [
    Case(
        f"poll_outage__{name}",
        f"For ten minutes while the sync is running, each poll gets {words}.",
        TOLERATED,
        connection(LONG, failing_polls(kind, **settings)),
        logged="answers again",
    )
    for name, words, kind, settings in (
        ("500", "500", "status", {"status": 500}),
        ("502", "502 in HTML", "status", {"status": 502}),
        ("503", "503 in HTML", "status", {"status": 503}),
        ("504", "504 in HTML", "status", {"status": 504}),
        ("401", "401 for a valid token", "status", {"status": 401}),
        ("403", "403", "status", {"status": 403}),
        ("404", "404", "status", {"status": 404}),
        ("429", "429 without Retry-After", "status", {"status": 429}),
        (
            "429_seconds",
            "429 with Retry-After: 20",
            "status",
            {"status": 429, "retry_after": 20},
        ),
        (
            "429_date",
            "429 with an HTTP date as Retry-After",
            "status",
            {"status": 429, "retry_after": 20, "retry_after_as_date": True},
        ),
        (
            "429_one_year",
            "429 with Retry-After: a year",
            "status",
            {"status": 429, "retry_after": 31_536_000},
        ),
        (
            "429_invalid",
            "429 with Retry-After: soon",
            "status",
            {"status": 429, "retry_after": "soon"},
        ),
        ("reset", "a reset connection", "reset", {}),
        ("truncated", "an answer that is cut off", "truncated", {}),
        ("empty", "200 with an empty body", "empty", {}),
        ("wrong_type", "200 with JSON of the wrong type", "wrong_type", {}),
        ("redirect", "a redirect to another host", "redirect", {}),
    )
]

_FIRST_REQUEST = [
    Case(
        "wrong_token",
        "The access token is wrong (401 on every request).",
        "The step fails after about 15 seconds and may be retried, since RudderStack once refused "
        "valid tokens for half an hour. The error says to check the token and the region.",
        connection(GOOD, Fault("status", status=401, times=None)),
        errors.AuthenticationError,
        says="may be wrong or revoked",
        starts=0,
    ),
    Case(
        "token_refused_for_a_moment",
        "Before the start, every request gets 401 for ten seconds.",
        TOLERATED,
        connection(GOOD, Fault("status", status=401, until_seconds=10)),
        logged="answers again",
    ),
    Case(
        "start_refused_for_a_moment",
        "The first two starts get 401.",
        "The sync succeeds. The log warns about each 401.",
        connection(GOOD, start_without_effect("status", status=401, times=2)),
        logged="401",
        sent=3,
    ),
    Case(
        "source_not_found_yet",
        "The source was just created: the first three starts get 404, although the connection "
        "exists.",
        "The sync succeeds. The log warns about each 404.",
        connection(
            GOOD,
            start_without_effect("status", status=404, times=3, body=SOURCE_NOT_FOUND),
        ),
        logged="source not found",
        sent=4,
    ),
    Case(
        "source_never_found",
        "Each start gets 404, although the connection exists.",
        "The step fails after half a minute, is not retried, and the error has RudderStack's "
        "words.",
        connection(
            GOOD,
            start_without_effect("status", status=404, times=None, body=SOURCE_NOT_FOUND),
        ),
        errors.NotFoundError,
        says="source not found",
        starts=0,
        sent=7,
    ),
    Case(
        "start_redirected",
        "Each start is answered by a redirect and has no effect.",
        "The step fails after twelve seconds. The error says to set `api_url` to the final "
        "address.",
        connection(GOOD, start_without_effect("redirect", times=None)),
        errors.StatusError,
        says="Redirects are not followed",
        starts=0,
        sent=2,
    ),
    Case(
        "start_redirected_once",
        "One start is answered by a redirect and has no effect.",
        "The sync succeeds six seconds later. The log says why the start was sent again.",
        connection(GOOD, start_without_effect("redirect")),
        logged="No sync has appeared",
        sent=2,
    ),
    Case(
        "forbidden",
        "The token may not use the connection (403 on every request).",
        "The step fails at once, is not retried, and the error names the permissions it needs.",
        connection(GOOD, deny="not allowed"),
        errors.PermissionDeniedError,
        says="Edit and Connect",
        starts=0,
    ),
    Case(
        "may_not_read_connection",
        "The token may sync the connection, but not read it (403).",
        "The sync succeeds. The log warns that the connection was not checked.",
        connection(GOOD, Fault("status", operation="get_connection", status=403)),
        logged="cannot be checked before its sync",
    ),
    Case(
        "unknown_connection",
        "There is no such connection (404).",
        "The step fails at once, is not retried, and the error says to check the id.",
        lambda _world: None,
        errors.NotFoundError,
        says="Check the id",
        starts=0,
    ),
    Case(
        "down_before_start",
        "Before the start, RudderStack answers 503 to every request for half a minute.",
        TOLERATED,
        connection(GOOD, Fault("status", status=503, until_seconds=30)),
        logged="answers again",
    ),
    Case(
        "down_permanently",
        "RudderStack answers 503 to every request and does not recover.",
        "The step fails after a minute of retries, and may be retried.",
        connection(GOOD, Fault("status", status=503, times=None)),
        errors.StatusError,
        says="503",
        starts=0,
    ),
    Case(
        "start_rate_limited",
        "The first two starts get 429.",
        "The sync succeeds. The log reports each wait.",
        connection(GOOD, start_without_effect("status", status=429, times=2)),
        logged="429",
        sent=3,
    ),
    Case(
        "start_always_fails",
        "Each start gets 500 and has no effect, and `request_max_retries` is 2.",
        "The step fails after the last retry of the start, and may be retried.",
        connection(GOOD, start_without_effect("status", status=500, times=None)),
        errors.StatusError,
        says="500",
        starts=0,
        sent=3,
        policy=SyncPolicy(retry=RetryPolicy(request_max_retries=2)),
    ),
    Case(
        "start_forbidden",
        "The token may read the connection, but not sync it (403).",
        "The step fails at once, is not retried, and the error names the permissions it needs.",
        connection(GOOD, start_without_effect("status", status=403)),
        errors.PermissionDeniedError,
        says="Edit and Connect",
        starts=0,
        sent=1,
    ),
]

_AFTER_THE_START = [
    Case(
        "new_sync_not_found",
        "For its first 20 seconds, the new sync is unknown to RudderStack (404).",
        "The sync succeeds. The log warns about the 404s.",
        connection(SyncScript(duration_seconds=60, hidden_for_seconds=20)),
        logged="answers again",
    ),
    Case(
        "lost_start_and_sync_listed_late",
        "The answer to the start is lost, and the sync is not listed for its first 20 seconds.",
        ADOPTED,
        connection(SyncScript(duration_seconds=60, hidden_for_seconds=20), lost_start("reset")),
        origin="adopted",
        logged="whose answer was lost",
    ),
    Case(
        "lost_start_and_list_down",
        "The answer to the start is lost, and for ten minutes the list of syncs gets 503.",
        ADOPTED,
        connection(
            GOOD,
            lost_start("reset"),
            Fault("status", operation="list_syncs", skip=1, until_seconds=600),
        ),
        origin="adopted",
        logged="whose answer was lost",
    ),
    Case(
        "lost_start_and_401",
        "The answer to the start is lost, and for ten minutes the list of syncs gets 401.",
        ADOPTED,
        connection(
            GOOD,
            lost_start("close"),
            Fault("status", operation="list_syncs", status=401, skip=1, until_seconds=600),
        ),
        origin="adopted",
        logged="whose answer was lost",
    ),
    Case(
        "two_lost_starts",
        "The first start is lost and has no effect. The second takes effect, but its answer is "
        "lost.",
        ADOPTED,
        connection(GOOD, start_without_effect("reset"), lost_start("status", status=504)),
        origin="adopted",
        sent=2,
    ),
    Case(
        "lost_start_and_sync_listed_after_settling_time",
        "The answer to the start is lost, and the sync is listed only after the settling time.",
        "The sync succeeds. The second start gets 409, and the sync of the first is adopted.",
        connection(SyncScript(duration_seconds=300, hidden_for_seconds=30.5), lost_start("reset")),
        origin="adopted",
        sent=2,
    ),
    Case(
        "outage_beyond_tolerance",
        "While the sync is running, each poll gets an error for an hour.",
        "The step fails after 45 minutes. The error says that a retry resumes the sync.",
        connection(VERY_LONG, failing_polls("status", seconds=HOUR)),
        errors.SyncLostError,
        says="a retry of this step resumes it",
    ),
    Case(
        "incident_of_30_minutes",
        "While the sync is running, every request gets 401 for 30 minutes.",
        TOLERATED,
        connection(
            VERY_LONG, Fault("status", status=401, from_seconds=30, until_seconds=30 + 30 * MINUTE)
        ),
        logged="answers again",
    ),
]

_RESULTS = [
    *(
        Case(
            f"end_time_while_running__{name}",
            f"While the sync is running{status_words}, its end time is {words}.",
            "The sync succeeds. The end time counts only once the sync is over.",
            connection(
                SyncScript(
                    duration_seconds=20, running_status=status, running_finished_at=finished_at
                )
            ),
            reported={"duration_seconds": 20.0},
        )
        for name, words, finished_at in (
            ("year_1", "that of year 1", "0001-01-01T00:00:00Z"),
            ("1970", "that of 1970", "1970-01-01T00:00:00Z"),
            ("before_start", "before its start", "2001-01-01T00:00:00Z"),
            ("future", "in the future", "2999-01-01T00:00:00Z"),
        )
        for name, status, status_words in (
            (name, "running", ""),
            (f"{name}__unknown_status", "warming up", " with an unknown status"),
        )
    ),
    Case(
        "details_unavailable",
        "RudderStack answers 500 to each request for the details of the sync, and lists it.",
        "The sync succeeds.",
        connection(GOOD, Fault("status", operation="get_sync", status=500, times=None)),
    ),
    Case(
        "failed",
        "The sync fails.",
        "The step fails with RudderStack's reason. Nothing is materialized.",
        connection(SyncScript(duration_seconds=20, status="failed", error="no such table")),
        errors.SyncFailedError,
        says="no such table",
    ),
    Case(
        "failed_without_reason",
        "The sync fails and RudderStack gives no reason.",
        "The step fails, and the error says that there is no reason. Nothing is materialized.",
        connection(SyncScript(duration_seconds=20, status="failed")),
        errors.SyncFailedError,
        says="gives no reason",
    ),
    Case(
        "aborted",
        "Someone stops the sync, and RudderStack reports the status `Aborted`.",
        "The step fails and is not retried. The error says that the sync was stopped.",
        connection(SyncScript(duration_seconds=20, status="Aborted")),
        errors.SyncAbortedError,
        says="was stopped",
    ),
    Case(
        "unknown_terminal_status",
        "The sync ends with an unknown status.",
        "The step fails, and the error has the status. Nothing is materialized.",
        connection(SyncScript(duration_seconds=20, status="Completed, with failures")),
        errors.SyncFailedError,
        says="'Completed, with failures'",
    ),
    Case(
        "unknown_running_status",
        "The running sync has an unknown status, and then it succeeds.",
        "The sync succeeds. The log warns once about the status.",
        connection(SyncScript(duration_seconds=20, running_status="warming up")),
        logged="'warming up'",
    ),
    Case(
        "unknown_running_status__never_ends",
        "The running sync has an unknown status, and it never ends.",
        "At the timeout, the sync is stopped and the step fails.",
        connection(SyncScript(never_ends=True, running_status="paused")),
        errors.SyncTimedOutError,
        says="asked to stop it",
        stops=1,
        policy=ONE_HOUR_TIMEOUT,
    ),
    Case(
        "never_ends",
        "The sync never ends.",
        "At the timeout, the sync is stopped and the step fails.",
        connection(SyncScript(never_ends=True)),
        errors.SyncTimedOutError,
        says="within the timeout of 24 h",
        stops=1,
    ),
    Case(
        "never_ends__left_running",
        "The sync never ends, and `stop_on_timeout` is off.",
        "At the timeout, the step fails. The error says that the sync was left running.",
        connection(SyncScript(never_ends=True)),
        errors.SyncTimedOutError,
        says="left running",
        policy=SyncPolicy(stop_on_timeout=False, sync_timeout_seconds=3600),
    ),
    Case(
        "no_metrics",
        "The sync succeeds, and its metrics are null.",
        "The sync succeeds. The counts are unknown, not 0.",
        connection(SyncScript(duration_seconds=20, metrics="null")),
        reported={"rows_total": None, "rows_succeeded": None, "rows_failed": None},
    ),
    Case(
        "partial_metrics",
        "The sync succeeds, and some of its metrics are missing.",
        "The sync succeeds. The missing counts are unknown, not 0.",
        connection(SyncScript(duration_seconds=20, rows_total=100, metrics="partial")),
        reported={"rows_succeeded": 100, "rows_failed": None},
    ),
    Case(
        "null_timestamps",
        "The sync succeeds, and its timestamps are null.",
        "The sync succeeds. Its duration is unknown.",
        connection(SyncScript(duration_seconds=20, null_timestamps=True)),
        reported={"duration_seconds": None},
    ),
]

_OTHER_CLIENTS = [
    Case(
        "already_running__wait",
        "Another client's sync is running.",
        "The log says that the step waits for it. Then the step's own sync starts and succeeds.",
        other_sync_running(SyncScript(duration_seconds=10 * MINUTE)),
        logged="already running",
    ),
    Case(
        "already_running__attach",
        "Another client's sync is running, and `on_running_sync` is `attach`.",
        "That sync is reported as attached. No sync is started.",
        other_sync_running(SyncScript(duration_seconds=10 * MINUTE)),
        origin="attached",
        starts=0,
        policy=SyncPolicy(on_running_sync="attach"),
    ),
    Case(
        "already_running__fail",
        "Another client's sync is running, and `on_running_sync` is `fail`.",
        "The step fails, and the error names the sync. No sync is started.",
        other_sync_running(SyncScript(duration_seconds=10 * MINUTE)),
        errors.SyncAlreadyRunningError,
        says="is already running",
        starts=0,
        policy=SyncPolicy(on_running_sync="fail"),
    ),
    Case(
        "already_running__never_ends",
        "Another client's sync is running and never ends.",
        "At the timeout, the step fails. The error names that sync, which is left running.",
        other_sync_running(SyncScript(never_ends=True)),
        errors.SyncTimedOutError,
        says="was still running",
        starts=0,
        policy=ONE_HOUR_TIMEOUT,
    ),
    Case(
        "already_running__parallel",
        "Another client's sync is running on a connection that accepts parallel syncs.",
        "The step waits for it, since it may miss the newest rows.",
        other_sync_running(SyncScript(duration_seconds=10 * MINUTE), parallel_syncs=True),
        logged="already running",
    ),
    Case(
        "already_running__unusable_id",
        "Each list of the syncs shows a running one whose id is unusable.",
        "The sync succeeds. The step cannot wait for the other one. If only one sync may run, "
        "RudderStack refuses the start.",
        connection(
            GOOD,
            Fault(
                "body",
                operation="list_syncs",
                body='{"syncs": [{"id": "../../crm", "status": "running"}]}',
                times=None,
            ),
        ),
    ),
    Case(
        "schedule_just_before_start",
        "RudderStack's schedule starts a sync just before the step's start, which gets 409.",
        "The log says that the step waits for it. Then the step's own sync starts and succeeds.",
        connection(
            GOOD, Fault("scheduled_sync", operation="start", script=SyncScript(duration_seconds=60))
        ),
        logged="already running",
        sent=2,
    ),
    Case(
        "schedule_just_before_start__fail",
        "RudderStack's schedule starts a sync just before the step's start, and `on_running_sync` "
        "is `fail`.",
        "The step fails. No sync is started.",
        connection(
            GOOD, Fault("scheduled_sync", operation="start", script=SyncScript(duration_seconds=60))
        ),
        errors.SyncAlreadyRunningError,
        says="is already running",
        starts=0,
        sent=1,
        policy=SyncPolicy(on_running_sync="fail"),
    ),
    Case(
        "schedule_just_before_start__parallel",
        "RudderStack's schedule starts a sync just before the step's start, on a connection that "
        "accepts parallel syncs. Both syncs run.",
        "The step's own sync is reported.",
        connection(
            GOOD,
            Fault("scheduled_sync", operation="start", script=SyncScript(duration_seconds=60)),
            parallel_syncs=True,
        ),
    ),
    Case(
        "never_ends__other_sync_running",
        "The sync never ends, and another client's sync of the connection is running too.",
        "At the timeout, the step fails and the sync is left running, since a stop would end both.",
        connection(
            SyncScript(never_ends=True),
            Fault("scheduled_sync", operation="start", script=SyncScript(never_ends=True)),
            parallel_syncs=True,
        ),
        errors.SyncTimedOutError,
        says="a stop would also stop",
        policy=ONE_HOUR_TIMEOUT,
    ),
]

_CONNECTIONS = [
    Case(
        "disabled",
        "The connection is disabled in the dashboard.",
        "The step fails at once, is not retried, and the error says to enable the connection. With "
        "`on_disabled` set to `skip`, the connection is skipped.",
        connection(GOOD, enabled=False),
        errors.ConnectionDisabledError,
        says="is disabled",
        starts=0,
    ),
    Case(
        "also_scheduled",
        "RudderStack also syncs the connection on its own schedule.",
        "The sync succeeds. The log warns once and advises setting the schedule to Manual.",
        connection(GOOD, schedule={"type": "basic", "everyMinutes": 30}),
        logged="Set the schedule to Manual",
    ),
    Case(
        "not_checked",
        "Every request to read the connection gets 500, and `check_connection` is off.",
        "The sync succeeds. The connection is not read.",
        connection(GOOD, Fault("status", operation="get_connection", status=500, times=None)),
        policy=SyncPolicy(check_connection=False),
    ),
]

CASES = [
    *_FIRST_REQUEST,
    *_LOST_WITH_EFFECT,
    *_LOST_WITHOUT_EFFECT,
    *_AFTER_THE_START,
    *_OUTAGES,
    *_RESULTS,
    *_OTHER_CLIENTS,
    *_CONNECTIONS,
]

"""The decisions about a sync, each as a table of cases."""

import itertools
import random
from collections.abc import Callable
from datetime import datetime, timezone

import pytest

from dagster_rudderstack.api.models import Sync
from dagster_rudderstack.errors import (
    ApiError,
    AuthenticationError,
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    StatusError,
    SyncAbortedError,
    SyncFailedError,
    TransportError,
    UnexpectedResponseError,
)
from dagster_rudderstack.settings import MAX_RETRY_AFTER_SECONDS, PollPolicy, RetryPolicy
from dagster_rudderstack.sync.decisions import (
    StartAnswer,
    began_since,
    duration_text,
    failure_of,
    is_temporary,
    judge_start,
    percent_done,
    running_among,
)
from dagster_rudderstack.sync.request import SyncRequest

PATH = "/retl-connections/crm/start"
END = datetime(2026, 1, 5, tzinfo=timezone.utc)


def status_error(status: int, kind: type[StatusError] = StatusError) -> StatusError:
    return kind("refused", method="POST", path=PATH, status_code=status)


UNREACHABLE = TransportError("refused", method="POST", path=PATH, request_sent=False)
CUT_OFF = TransportError("reset", method="POST", path=PATH, request_sent=True)
UNREADABLE = UnexpectedResponseError("not JSON", method="POST", path=PATH)
RATE_LIMITED = status_error(429, RateLimitedError)
CONFLICT = status_error(409, ConflictError)
UNAUTHORIZED = status_error(401, AuthenticationError)
FORBIDDEN = status_error(403, PermissionDeniedError)
NOT_FOUND = status_error(404, NotFoundError)


@pytest.mark.parametrize(
    ("error", "answer", "passing"),
    [
        (UNREACHABLE, StartAnswer.NOT_STARTED, True),
        (RATE_LIMITED, StartAnswer.NOT_STARTED, True),
        (CUT_OFF, StartAnswer.LOST, True),
        (UNREADABLE, StartAnswer.LOST, True),
        (status_error(500), StartAnswer.LOST, True),
        (status_error(502), StartAnswer.LOST, True),
        (status_error(503), StartAnswer.LOST, True),
        (status_error(504), StartAnswer.LOST, True),
        (status_error(599), StartAnswer.LOST, True),
        (status_error(408), StartAnswer.LOST, True),
        (status_error(307), StartAnswer.LOST, False),
        (status_error(304), StartAnswer.LOST, True),
        (CONFLICT, StartAnswer.RUNNING, False),
        (UNAUTHORIZED, StartAnswer.REFUSED_FOR_NOW, False),
        (FORBIDDEN, StartAnswer.REFUSED, False),
        (NOT_FOUND, StartAnswer.REFUSED_FOR_NOW, False),
        (status_error(400), StartAnswer.REFUSED, False),
        (status_error(422), StartAnswer.REFUSED, False),
    ],
    ids=[
        "unreachable",
        "429",
        "reset",
        "unreadable",
        "500",
        "502",
        "503",
        "504",
        "599",
        "408",
        "307",
        "304",
        "409",
        "401",
        "403",
        "404",
        "400",
        "422",
    ],
)
def test_judge_start_and_is_temporary(error: ApiError, answer: StartAnswer, passing: bool) -> None:
    """The type of an error decides whether a sync may have been started, and whether a safe request
    is retried."""
    assert judge_start(error) is answer
    assert is_temporary(error) is passing


def sync(status: str = "running", *, name: str = "s", finished: bool = False) -> Sync:
    return Sync(id=name, status=status, finished_at=END if finished else None)


@pytest.mark.parametrize(
    ("status", "finished", "over", "error"),
    [
        ("running", False, False, None),
        ("Running", False, False, None),
        ("running", True, False, None),
        ("succeeded", True, True, None),
        ("succeeded", False, True, None),
        ("failed", True, True, SyncFailedError),
        ("failed", False, True, SyncFailedError),
        ("Aborted", True, True, SyncAbortedError),
        ("cancelled", True, True, SyncAbortedError),
        ("aborted", False, False, None),
        ("Completed, with failures", True, True, SyncFailedError),
        ("Completed, with failures", False, False, None),
        ("success", True, True, SyncFailedError),
        ("", True, True, SyncFailedError),
        ("", False, False, None),
    ],
)
def test_failure_of(status: str, finished: bool, over: bool, error: type[Exception] | None) -> None:
    """Only `succeeded` is a success. A sync with an unknown status is over if it has an end
    time."""
    seen = sync(status, finished=finished)

    assert seen.is_over is over
    if over:
        failure = failure_of(seen, SyncRequest("crm"))
        assert type(failure) is (error or type(None))
        assert failure is None or repr(seen.status) in str(failure) or status == "failed"


@pytest.mark.parametrize(
    ("listed", "running"),
    [
        ([], []),
        ([sync("succeeded", name="a", finished=True)], []),
        ([sync(name="b"), sync(name="a")], ["b", "a"]),
        ([sync("failed", name="b", finished=True), sync(name="a")], ["a"]),
        ([sync("queued", name="b"), sync("queued", name="a")], ["b"]),
        ([sync("failed", name="b", finished=True), sync("queued", name="a")], []),
    ],
    ids=[
        "no_syncs",
        "none_running",
        "two_running",
        "older_running",
        "two_unknown",
        "older_unknown",
    ],
)
def test_running_among(listed: list[Sync], running: list[str]) -> None:
    """Only the newest sync counts as running if its status is unknown."""
    assert [each.id for each in running_among(listed)] == running


@pytest.mark.parametrize(
    ("listed", "known", "found"),
    [
        ([], set(), None),
        (["a"], {"a"}, None),
        (["b", "a"], {"a"}, "b"),
        (["c", "b", "a"], {"a"}, "b"),
        (["b"], set(), "b"),
    ],
    ids=["no_syncs", "none_new", "one_new", "two_new", "all_new"],
)
def test_began_since(listed: list[str], known: set[str], found: str | None) -> None:
    """The oldest sync that was not known before the start comes first."""
    began = began_since([sync(name=name) for name in listed], known)

    assert (began[0].id if began else None) == found


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.25, "0.2 s"),
        (3, "3 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3661, "1 h 1 min"),
        (86_400, "24 h"),
    ],
)
def test_duration_text(seconds: float, text: str) -> None:
    """A duration has at most two units, from hours to seconds."""
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("metrics", "percent"),
    [
        (None, None),
        ({"changed": {"total": 0}, "succeeded": {"total": 0}}, None),
        ({"changed": {"total": 200}, "succeeded": {"total": 50}}, 25.0),
        (
            {"changed": {"total": 200}, "succeeded": {"total": 50}, "failed": {"total": 50}},
            50.0,
        ),
        ({"changed": {"total": 10}, "succeeded": {"total": 50}}, 100.0),
        ({"changed": {"total": None}, "succeeded": {"total": 50}}, None),
    ],
    ids=[
        "no_metrics",
        "nothing_changed",
        "succeeded",
        "succeeded_and_rejected",
        "more_than_changed",
        "changed_unknown",
    ],
)
def test_percent_done(metrics: dict[str, object] | None, percent: float | None) -> None:
    """Progress is the share of the changed rows that is done. It is unknown if either count is."""
    seen = Sync.model_validate({"id": "s", "status": "running", "metrics": metrics})

    assert percent_done(seen) == percent


def poll_times(policy: PollPolicy, seconds: float, jitter: Callable[[], float]) -> list[float]:
    """Return the times of the polls of a sync that takes so many seconds."""
    times = [policy.interval_seconds(0, jitter())]
    while times[-1] < seconds:
        times.append(times[-1] + policy.interval_seconds(times[-1], jitter()))
    return times


@pytest.mark.parametrize("seed", range(20))
def test_poll_interval__sync_of_an_hour(seed: int) -> None:
    """A sync of an hour is polled fewer than 198 times, so that it takes at most 200 requests with
    its start, and its end is noticed within 29 s."""
    times = poll_times(PollPolicy(), 3600, random.Random(seed).random)  # noqa: S311 - no secret

    assert len(times) < 198
    assert times[-1] - 3600 <= 29


def test_poll_interval__jitter() -> None:
    """The longest intervals differ by the jitter, and none is longer than the setting."""
    waits = {PollPolicy().interval_seconds(36_000, draw / 100) for draw in range(100)}

    assert len(waits) > 40
    assert min(waits) == pytest.approx(27.55)
    assert max(waits) == 29


@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
def test_poll_interval__first_seconds(jitter: float) -> None:
    """In its first 10 seconds a sync is polled about every second."""
    times = poll_times(PollPolicy(), 10, lambda: jitter)

    assert max(later - sooner for sooner, later in itertools.pairwise(times)) < 1.06


@pytest.mark.parametrize(
    ("failures", "retry_after", "jitter", "delay"),
    [
        (1, None, 0.0, 1.0),
        (2, None, 0.0, 2.0),
        (3, None, 0.0, 4.0),
        (6, None, 0.0, 30.0),
        (5_000, None, 0.0, 30.0),
        (1, None, 1.0, 0.75),
        (1, 20, 0.0, 20.0),
        (6, 2, 0.0, 30.0),
        (1, 31_536_000, 0.0, MAX_RETRY_AFTER_SECONDS),
    ],
)
def test_retry_delay(failures: int, retry_after: float | None, jitter: float, delay: float) -> None:
    """The delay doubles up to 30 s. A longer `Retry-After` is obeyed up to a limit."""
    assert RetryPolicy().delay_seconds(failures, retry_after, jitter) == delay

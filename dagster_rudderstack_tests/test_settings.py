"""The limits of the settings, and the waits that follow from them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dagster_rudderstack.settings import (
    MAX_RETRY_AFTER_SECONDS,
    Policy,
    PollPolicy,
    RequestPolicy,
    RetryPolicy,
    SyncPolicy,
)

# --- numbers


@pytest.mark.parametrize(
    ("policy", "setting", "value"),
    [
        (RequestPolicy, "connect_timeout_seconds", 0),
        (RequestPolicy, "read_timeout_seconds", -1),
        (RequestPolicy, "read_timeout_seconds", float("nan")),
        (RequestPolicy, "read_timeout_seconds", float("inf")),
        (RequestPolicy, "read_timeout_seconds", 10**12),
        (RequestPolicy, "max_concurrent_requests", 0),
        (RequestPolicy, "max_requests_per_second", 0),
        (RequestPolicy, "max_requests_per_second", 1e-300),
        (RetryPolicy, "request_max_retries", -1),
        (RetryPolicy, "request_max_retries", 1.5),
        (PollPolicy, "poll_min_interval_seconds", 0),
        (PollPolicy, "poll_min_interval_seconds", -1.0),
        (PollPolicy, "poll_max_interval_seconds", float("nan")),
        (PollPolicy, "poll_max_interval_seconds", 1e300),
        (PollPolicy, "poll_growth", -0.1),
        (PollPolicy, "poll_jitter", 1.1),
        (SyncPolicy, "sync_timeout_seconds", 0),
        (SyncPolicy, "outage_tolerance_seconds", -1),
        (SyncPolicy, "start_settling_seconds", -1),
        (SyncPolicy, "on_running_sync", "queue"),
        (SyncPolicy, "stop_on_termination", "sometimes"),
    ],
)
def test_policy__refused(policy: type[Policy], setting: str, value: object) -> None:
    """A number out of range and an unknown choice are errors."""
    with pytest.raises(ValidationError, match=setting) as caught:
        policy(**{setting: value})

    (error,) = caught.value.errors()
    assert error["type"] != "extra_forbidden"


def test_policy__unknown_setting() -> None:
    """An unknown setting is an error."""
    with pytest.raises(ValidationError, match="timeout") as caught:
        SyncPolicy(timeout=5)  # type: ignore[call-arg]

    (error,) = caught.value.errors()
    assert error["type"] == "extra_forbidden"


def test_poll_policy__min_above_max() -> None:
    """A shortest interval above the longest one is an error that shows both."""
    with pytest.raises(ValidationError, match=r"\(60.0 s\) is longer than the longest \(29.0 s\)"):
        PollPolicy(poll_min_interval_seconds=60)


@pytest.mark.parametrize("policy", [RequestPolicy, RetryPolicy, PollPolicy, SyncPolicy])
def test_policy__immutable(policy: type[Policy]) -> None:
    """A policy cannot be changed, so threads can share it."""
    with pytest.raises(ValidationError):
        setattr(policy(), next(iter(policy.model_fields)), 1)


# --- waits


def test_poll_interval__an_hour() -> None:
    """A sync of one hour is polled fewer than 200 times, and its end is noticed within 30 s."""
    policy, elapsed, polls = PollPolicy(), 0.0, 0
    while elapsed < 3600:
        elapsed += policy.interval_seconds(elapsed, jitter=0.5)
        polls += 1

    assert polls < 200
    assert policy.interval_seconds(3600, jitter=1.0) < 30


@given(st.floats(0, 1e7), st.floats(0, 1))
def test_poll_interval__bounds(elapsed: float, jitter: float) -> None:
    """An interval is between the shortest and the longest one, with up to 5 % of jitter."""
    policy = PollPolicy()

    assert 0.95 <= policy.interval_seconds(elapsed, jitter) <= 30


@pytest.mark.parametrize(
    ("syncs", "shortest"), [(1, 1.0), (100, 1.0), (200, 2.0), (1000, 10.0), (10_000, 29.0)]
)
def test_poll_interval__many_syncs(syncs: int, shortest: float) -> None:
    """A step with many syncs polls them at most a hundred times a second, up to 2,900 syncs."""
    poll = SyncPolicy().for_syncs(syncs).poll

    assert poll.interval_seconds(0.0, jitter=0.5) == shortest


def test_poll_interval__many_syncs_and_long_interval() -> None:
    """A longer interval of the user's is kept, also for many syncs."""
    policy = SyncPolicy(poll=PollPolicy(poll_min_interval_seconds=20))

    assert policy.for_syncs(1000) == policy


def test_poll_interval__steady() -> None:
    """Without growth and jitter, every interval is the shortest one."""
    policy = PollPolicy(poll_min_interval_seconds=2, poll_growth=0, poll_jitter=0)

    assert {policy.interval_seconds(elapsed, 0.7) for elapsed in (0, 1, 1e6)} == {2}


def test_retry_delay__doubles() -> None:
    """Delays double up to the limit."""
    delays = [RetryPolicy().delay_seconds(attempt, None, jitter=0.0) for attempt in range(1, 8)]

    assert delays == [1, 2, 4, 8, 16, 30, 30]


@given(st.integers(1, 10**6), st.floats(0, 1))
def test_retry_delay__bounds(attempt: int, jitter: float) -> None:
    """Jitter shortens a delay by up to 25 % and never makes it longer."""
    whole = RetryPolicy().delay_seconds(attempt, None, 0.0)

    assert 0.75 * whole <= RetryPolicy().delay_seconds(attempt, None, jitter) <= whole <= 30


@pytest.mark.parametrize(
    ("retry_after", "delay"),
    [(None, 1), (0.0, 1), (0.2, 1), (7.0, 7), (45.0, 45), (1e18, MAX_RETRY_AFTER_SECONDS)],
)
def test_retry_delay__retry_after(retry_after: float | None, delay: float) -> None:
    """`Retry-After` makes a delay longer, up to a limit, and never shorter."""
    assert RetryPolicy().delay_seconds(1, retry_after, 0.0) == delay

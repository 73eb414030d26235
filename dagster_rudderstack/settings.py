"""Every setting once: its name, its default, what it means and which values are allowed.

The resource takes its settings from here. All durations are in seconds.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

OnRunningSync = Literal["wait", "attach", "fail"]
OnDisabled = Literal["fail", "skip"]
StopOnTermination = Literal["run_canceled", "always", "never"]
SyncType = Literal["incremental", "full"]

SYNC_TYPES: tuple[SyncType, ...] = ("incremental", "full")

API_URLS = {"us": "https://api.rudderstack.com", "eu": "https://api.eu.rudderstack.com"}
API_VERSION = "v2"

MAX_PAGE_SIZE = 100
"""The API's own limit for `pageSize` and `per_page`."""

MAX_RETRY_AFTER_SECONDS = 120.0
"""The longest `Retry-After` that is obeyed. A gateway's mistake must not stop us for a day."""

DAY = 24 * 3600
"""The longest single wait: operating systems refuse longer ones."""


class Policy(BaseModel):
    """Base of the policies: immutable, and a misspelt setting is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RequestPolicy(Policy):
    """How long a request may take, and how many requests this process sends."""

    connect_timeout_seconds: float = Field(
        default=10, gt=0, le=DAY, description="Seconds to reach the API."
    )
    # RudderStack's gateways give up after a minute themselves.
    read_timeout_seconds: float = Field(
        default=60,
        gt=0,
        le=DAY,
        description="Seconds without a sign of an answer after which a request has failed.",
    )
    # RudderStack documents no limit for these endpoints. Sixteen is polite, and enough for
    # thousands of syncs that are polled every few seconds.
    max_concurrent_requests: int = Field(
        default=16,
        ge=1,
        description="Requests sent at once, for all syncs of one process together.",
    )
    max_requests_per_second: float | None = Field(
        default=None,
        ge=1 / DAY,
        description=(
            "Requests per second, for all syncs of one process together. None sets no limit."
        ),
    )

    def within(self, seconds: float) -> RequestPolicy:
        """Return the same policy for requests that must not take longer than that."""
        return self.model_copy(
            update={
                "connect_timeout_seconds": min(self.connect_timeout_seconds, seconds),
                "read_timeout_seconds": min(self.read_timeout_seconds, seconds),
            }
        )


class RetryPolicy(Policy):
    """How often a single safe request is retried, and how long the waits are."""

    # Six retries take a minute: long enough for a gateway to restart.
    request_max_retries: int = Field(
        default=6,
        ge=0,
        description=(
            "How often a request that is safe to repeat is retried after a passing error, with "
            "growing waits (6 take about a minute). 0 never retries. A start is never simply "
            "repeated."
        ),
    )
    first_delay_seconds: float = Field(default=1.0, gt=0)
    max_delay_seconds: float = Field(default=30.0, gt=0)

    def delay_seconds(
        self, attempt: int, retry_after_seconds: float | None, jitter: float
    ) -> float:
        """Return the wait before try number `attempt` + 1. It doubles with each attempt.

        Args:
            attempt: How many tries have failed in a row, from 1.
            retry_after_seconds: What the server asked for. It is obeyed up to
                MAX_RETRY_AFTER_SECONDS.
            jitter: 0.0 to 1.0. It shortens the wait by up to a quarter, so that many clients do not
                come back at once.
        """
        doublings = min(attempt - 1, 30)
        ours = min(self.first_delay_seconds * 2**doublings, self.max_delay_seconds)
        ours *= 1 - 0.25 * jitter
        asked = min(retry_after_seconds or 0.0, MAX_RETRY_AFTER_SECONDS)
        return float(max(ours, asked))


class PollPolicy(Policy):
    """How long to wait between two polls of a running sync.

    The wait is a fraction of the time that the sync has taken. The end of a quick sync is noticed
    at once, and a long one takes few requests: about 190 in the first hour.
    """

    poll_min_interval_seconds: float = Field(
        default=1.0, gt=0, le=DAY, description="Shortest wait between two polls of a running sync."
    )
    # An end is noticed within half a minute, including the request that reports it.
    poll_max_interval_seconds: float = Field(
        default=29.0, gt=0, le=DAY, description="Longest wait between two polls of a running sync."
    )
    poll_growth: float = Field(
        default=0.05,
        ge=0,
        le=10,
        description=(
            "The wait as a fraction of the time that the sync has taken. 0.05 polls after another "
            "5 %; 0 always waits the shortest interval."
        ),
    )
    poll_jitter: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description=(
            "Share of each wait that is random, 0 to 1, so that many syncs are not polled at once."
        ),
    )

    @model_validator(mode="after")
    def _ordered(self) -> PollPolicy:
        if self.poll_min_interval_seconds > self.poll_max_interval_seconds:
            raise ValueError(
                f"the shortest poll interval ({self.poll_min_interval_seconds} s) is longer than "
                f"the longest ({self.poll_max_interval_seconds} s)"
            )
        return self

    def interval_seconds(self, elapsed_seconds: float, jitter: float) -> float:
        """Return the wait before the next poll.

        Args:
            elapsed_seconds: Seconds since the sync was started, or since we began to wait for it.
            jitter: 0.0 to 1.0.
        """
        longest = self.poll_max_interval_seconds
        steady = max(self.poll_growth * elapsed_seconds, self.poll_min_interval_seconds)
        # Capped before the jitter too, so that even the longest waits are not all the same.
        steady = min(steady, longest)
        return min(steady * (1 + self.poll_jitter * (jitter - 0.5)), longest)


class SyncPolicy(Policy):
    """What to do around a sync, besides polling it."""

    # A sync that began before the upstream tables were rebuilt may miss their rows.
    on_running_sync: OnRunningSync = Field(
        default="wait",
        description=(
            "What to do when a sync of the connection is already running: 'wait' for its end and "
            "then start a new one, 'attach' to it and report it, or 'fail'."
        ),
    )
    # A day: full syncs of large tables take hours, and a worker that waits for ever goes unnoticed.
    sync_timeout_seconds: int = Field(
        default=DAY,
        gt=0,
        description=(
            "Seconds that a sync may take, waiting for another one included, before the step fails."
        ),
    )
    stop_on_timeout: bool = Field(
        default=True,
        description="Whether the timeout stops the sync in RudderStack, if our run started it.",
    )
    # RudderStack's longest public incident of 2026 lasted 30 minutes. Running syncs went on.
    outage_tolerance_seconds: int = Field(
        default=45 * 60,
        ge=0,
        description=(
            "Seconds that RudderStack may be out of reach while a sync runs before the step fails."
        ),
    )
    start_settling_seconds: float = Field(
        default=30,
        ge=0,
        description=(
            "Seconds that a sync may take to show up after a start whose answer was lost, before "
            "another start is sent."
        ),
    )
    stop_on_termination: StopOnTermination = Field(
        default="run_canceled",
        description=(
            "When an interrupted step stops its sync: 'run_canceled' if a person canceled the run "
            "(a sync of an evicted worker is left to the retry), 'always' or 'never'."
        ),
    )
    check_connection: bool = Field(
        default=True,
        description=(
            "Whether to read the connection before a start. A disabled one fails at once. One that "
            "RudderStack also runs on its own schedule gets a warning."
        ),
    )
    retry: RetryPolicy = RetryPolicy()
    poll: PollPolicy = PollPolicy()

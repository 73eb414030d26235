"""Every setting once: its name, its default, what it means and which values are allowed.

The resource takes its settings from here. All durations are in seconds.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

OnRunningSync = Literal["wait", "attach", "fail"]
OnDisabled = Literal["fail", "skip"]
OnRunningRun = Literal["wait", "fail"]
OnLostStart = Literal["fail", "start_again"]
StopOnTermination = Literal["run_canceled", "always", "never"]
SyncType = Literal["incremental", "full"]

SYNC_TYPES: tuple[SyncType, ...] = ("incremental", "full")

DEFAULT_SYNC_TYPE: SyncType = "incremental"
"""Always sent: RudderStack runs a full sync if a start names no type, which may take hours."""

RESOURCE_KEY = "rudderstack"
"""The key under which definitions have the `RudderStackResource`, unless they say otherwise."""

API_URLS = {"us": "https://api.rudderstack.com", "eu": "https://api.eu.rudderstack.com"}
API_VERSION = "v2"

MAX_PAGE_SIZE = 100
"""The API's own limit for `pageSize` and `per_page`."""

MAX_RETRY_AFTER_SECONDS = 120.0
"""The longest `Retry-After` that is respected. A gateway's mistake must not pause us for a day."""

DAY = 24 * 3600
"""The longest single wait: operating systems refuse longer ones."""


class Policy(BaseModel):
    """Base of the policies: immutable, and an unknown setting is an error."""

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
        description=(
            "Seconds until the answer to a request is complete, after those for reaching the API. "
            "A slower request fails."
        ),
    )
    # RudderStack documents no limit for these endpoints. Sixteen is polite, and enough for
    # thousands of syncs that are polled every few seconds.
    max_concurrent_requests: int = Field(
        default=16,
        ge=1,
        description="Maximum number of requests at the same time in one process.",
    )
    max_requests_per_second: float | None = Field(
        default=None,
        ge=1 / DAY,
        description="Maximum number of requests per second in one process. None sets no limit.",
    )

    def within(self, seconds: float) -> RequestPolicy:
        """Return the same policy for requests that wait no longer than that to connect.

        And then no longer than that for the answer.
        """
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
            "Maximum number of retries after a temporary error. The waits grow: 6 retries take "
            "about a minute. With 0, there are no retries. A start is sent again only if it "
            "started no sync."
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
            retry_after_seconds: The wait that the server asked for. It is respected up to
                MAX_RETRY_AFTER_SECONDS.
            jitter: 0.0 to 1.0. It shortens the wait by up to a quarter, so that many clients do not
                retry at the same time.
        """
        doublings = min(attempt - 1, 30)
        ours = min(self.first_delay_seconds * 2**doublings, self.max_delay_seconds)
        ours *= 1 - 0.25 * jitter
        asked = min(retry_after_seconds or 0.0, MAX_RETRY_AFTER_SECONDS)
        return float(max(ours, asked))


POLLS_PER_SECOND = 100
"""How often a step polls its syncs, all together."""


class PollPolicy(Policy):
    """How long to wait between two polls of a running sync.

    The wait is a fraction of the time since the sync started. So the end of a short sync is noticed
    at once, and a long sync needs few requests: about 190 in the first hour.
    """

    poll_min_interval_seconds: float = Field(
        default=1.0,
        gt=0,
        le=DAY,
        description=(
            "Shortest wait between two polls of a running sync. In a step with more than 100 "
            "syncs, it may be longer."
        ),
    )
    # The library notices the end of a sync within half a minute, including the request for it.
    poll_max_interval_seconds: float = Field(
        default=29.0, gt=0, le=DAY, description="Longest wait between two polls of a running sync."
    )
    poll_growth: float = Field(
        default=0.05,
        ge=0,
        le=10,
        description=(
            "Wait between two polls, as a fraction of the time since the sync started. With 0, the "
            "wait is always poll_min_interval_seconds."
        ),
    )
    poll_jitter: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description=(
            "Random share of each wait, 0 to 1, so that many syncs are not polled at the same time."
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
            "What to do when a sync of the connection is already running: 'wait' until it ends and "
            "then start a new one, 'attach' to it and report it, or 'fail'."
        ),
    )
    # A day: full syncs of large tables take hours, and a worker that waits forever goes unnoticed.
    sync_timeout_seconds: int = Field(
        default=DAY,
        gt=0,
        description=(
            "A sync that takes longer than this many seconds fails its step. The time includes the "
            "wait for another running sync."
        ),
    )
    stop_on_timeout: bool = Field(
        default=True,
        description="Whether a timeout also stops the sync, if this run started it.",
    )
    # RudderStack's longest public incident of 2026 lasted 30 minutes. Running syncs continued.
    outage_tolerance_seconds: int = Field(
        default=45 * 60,
        ge=0,
        description=(
            "Seconds of failing polls that a step tolerates while a sync runs, and seconds that it "
            "waits for Dagster's database."
        ),
    )
    start_settling_seconds: float = Field(
        default=30,
        ge=0,
        description=(
            "Seconds to look for the sync of a start whose answer was lost, before another start "
            "is sent. A new sync may be missing for as long, and a start of an existing "
            "connection may get 404."
        ),
    )
    stop_on_termination: StopOnTermination = Field(
        default="run_canceled",
        description=(
            "When an interrupted step stops its sync: 'run_canceled' if a person canceled the run "
            "(after an eviction, the sync continues and the retry resumes it), 'always' or 'never'."
        ),
    )
    check_connection: bool = Field(
        default=True,
        description=(
            "Whether to read the connection before a start. The step then fails at once if the "
            "connection is disabled. The log warns if RudderStack also syncs it on a schedule."
        ),
    )
    # A Profiles project may be rebuilt at a cost. Only its owner knows whether twice does harm.
    on_lost_start: OnLostStart = Field(
        default="fail",
        description=(
            "What to do when the answer to the start of a run was lost and RudderStack does not "
            "show whether it runs: 'fail', so that a person decides, or 'start_again', which is "
            "right if running twice does no harm."
        ),
    )
    retry: RetryPolicy = RetryPolicy()
    poll: PollPolicy = PollPolicy()

    def for_syncs(self, count: int) -> SyncPolicy:
        """Return the policy for syncs that one step waits for, so that it polls at a bounded rate.

        A thousand syncs, each polled every second, would keep a core busy and meet rate limits.
        """
        shortest = max(self.poll.poll_min_interval_seconds, count / POLLS_PER_SECOND)
        shortest = min(shortest, self.poll.poll_max_interval_seconds)
        poll = self.poll.model_copy(update={"poll_min_interval_seconds": shortest})
        return self.model_copy(update={"poll": poll})

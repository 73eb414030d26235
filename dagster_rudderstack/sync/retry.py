"""Repeats a request that is safe to repeat, with growing waits in between."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from dagster_rudderstack.errors import ApiError, StatusError
from dagster_rudderstack.sync.decisions import duration_text, is_temporary
from dagster_rudderstack.sync.task import Task, drive

if TYPE_CHECKING:
    from dagster_rudderstack.settings import RetryPolicy
    from dagster_rudderstack.sync.recorder import Log

__all__ = ["call_with_retries", "delay_after", "max_retries", "raise_unless_temporary", "retry"]

_T = TypeVar("_T")

WRONG_ADDRESS_RETRIES = 2
"""How often in a row a request is sent again if the address may be wrong. It takes 3 s."""


def retry(  # noqa: PLR0913 - the decisions and the clock are handed in
    call: Callable[[], _T],
    policy: RetryPolicy,
    log: Log,
    *,
    check: Callable[[ApiError, int], None],
    pause: Callable[[float], Task[None]],
    monotonic: Callable[[], float] = time.monotonic,
    jitter: Callable[[], float] = random.random,
) -> Task[_T]:
    """Make a request until it is answered.

    Args:
        call: Makes the request once.
        policy: The waits between two tries.
        log: Gets a line for each error, and one when RudderStack answers again.
        check: Raises if an error must not be retried. It gets the error and the number of failures
            in a row, from 1.
        pause: Waits.
        monotonic: Seconds that only grow.
        jitter: A random number from 0.0 to 1.0.
    """
    failures = 0
    began = monotonic()
    while True:
        try:
            answer = call()
        except ApiError as error:
            failures += 1
            check(error, failures)
            delay = delay_after(error, failures, policy, jitter())
            log.warning(f"{error} Trying again in {duration_text(delay)}.")
        else:
            if failures:
                lasted = duration_text(monotonic() - began)
                log.info(f"RudderStack answers again. The errors lasted {lasted}.")
            return answer
        yield from pause(delay)


def delay_after(error: ApiError, failures: int, policy: RetryPolicy, jitter: float) -> float:
    """Return the seconds to wait after so many failures in a row; `Retry-After` is respected."""
    asked = error.retry_after_seconds if isinstance(error, StatusError) else None
    return policy.delay_seconds(failures, asked, jitter)


def max_retries(error: ApiError, policy: RetryPolicy) -> int:
    """Return how often a request is retried after such an error.

    Twice if it suggests a wrong address, so that a person need not wait a minute for it.
    """
    return WRONG_ADDRESS_RETRIES if error.suggests_wrong_address else policy.request_max_retries


def raise_unless_temporary(policy: RetryPolicy) -> Callable[[ApiError, int], None]:
    """Return a check that retries temporary errors only, as often as the policy says.

    Errors that suggest a wrong address are counted apart from the others.
    """
    suspicious = 0

    def check(error: ApiError, failures: int) -> None:
        nonlocal suspicious
        suspicious = suspicious + 1 if error.suggests_wrong_address else 0
        is_wrong = suspicious > WRONG_ADDRESS_RETRIES
        if is_wrong or not is_temporary(error) or failures > policy.request_max_retries:
            raise error

    return check


def call_with_retries(
    call: Callable[[], _T],
    policy: RetryPolicy,
    log: Log,
    *,
    sleep: Callable[[float], object] = time.sleep,
    jitter: Callable[[], float] = random.random,
) -> _T:
    """Make one safe request in this thread, and repeat it after temporary errors.

    Raises:
        ApiError: If the error is final, or comes again after the last retry.
    """

    def pause(seconds: float) -> Task[None]:
        yield seconds

    check = raise_unless_temporary(policy)
    return drive(retry(call, policy, log, check=check, pause=pause, jitter=jitter), sleep)

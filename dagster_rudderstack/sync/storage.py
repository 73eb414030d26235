"""Waits until Dagster's storage answers, so that an outage of a database fails no sync."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from dagster_rudderstack.sync.decisions import duration_text
from dagster_rudderstack.sync.task import Task

if TYPE_CHECKING:
    from dagster_rudderstack.settings import SyncPolicy
    from dagster_rudderstack.sync.recorder import Log

__all__ = ["SyncUnwantedError", "until_stored"]

_T = TypeVar("_T")

MAX_DELAY_SECONDS = 5.0
"""The longest wait between two tries: a database is back within seconds, or minutes."""


WARNING_SECONDS = 300.0
"""How often the log repeats that the storage does not answer."""


class SyncUnwantedError(Exception):
    """No sync may be started any more, since the run has ended or was canceled."""


def until_stored(  # noqa: PLR0913 - the clock is handed in
    call: Callable[[], _T],
    policy: SyncPolicy,
    log: Log,
    *,
    deadline: float = math.inf,
    monotonic: Callable[[], float] = time.monotonic,
    jitter: Callable[[], float] = random.random,
) -> Task[_T]:
    """Read or write in Dagster's storage, again and again until that succeeds.

    Args:
        call: Reads or writes. It may be called many times.
        policy: How long to try (`outage_tolerance_seconds`), and how often.
        log: Gets the first error, another one every few minutes, and a line when the storage is
            back.
        deadline: When to give up earlier, on the clock of `monotonic`.
        monotonic: Seconds that only grow.
        jitter: A random number from 0.0 to 1.0.

    Raises:
        SyncUnwantedError: If the storage has answered that the run has ended.
        Exception: The last error, if the storage has not answered for so long.
    """
    began = logged_at = monotonic()
    failures = 0
    while True:
        try:
            answer = call()
        except SyncUnwantedError:
            raise
        # The storage can be any database, or a service, so that its errors have no common class.
        except Exception as error:
            failures += 1
            now = monotonic()
            if now >= min(began + policy.outage_tolerance_seconds, deadline):
                raise
            if failures == 1 or now - logged_at >= WARNING_SECONDS:
                logged_at = now
                log.warning(f"Dagster's storage does not answer. Waiting until it does. {error}")
        else:
            if failures:
                lasted = duration_text(monotonic() - began)
                log.info(f"Dagster's storage answers again, after {lasted}.")
            return answer
        yield min(policy.retry.delay_seconds(failures, None, jitter()), MAX_DELAY_SECONDS)

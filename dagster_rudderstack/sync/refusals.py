"""Decides how long to repeat a start that RudderStack refuses, although it may accept it soon."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dagster_rudderstack.errors import ApiError, NotFoundError, PermissionDeniedError
from dagster_rudderstack.sync.attempt import SyncAttempt
from dagster_rudderstack.sync.request import SyncRequest
from dagster_rudderstack.sync.task import Task
from dagster_rudderstack.sync.wait import ask, may_pass

__all__ = ["Refusals"]


@dataclass
class Refusals:
    """Counts the starts that were refused although they may be accepted soon.

    A valid token can be refused with 401. A source that was just created can make a start answer
    404 for some seconds, although the connection exists.
    """

    attempt: SyncAttempt
    count: int = 0
    _unauthorized: int = 0
    _not_found_since: float | None = None

    def patience(self, error: ApiError) -> Task[float]:
        """Return for how many more seconds the start may be repeated. 0 means that it is final."""
        self.count += 1
        retry = self.attempt.policy.retry
        if not isinstance(error, NotFoundError):
            self._unauthorized += 1
            return math.inf if may_pass(error, self._unauthorized, retry) else 0.0
        if not isinstance(self.attempt.request, SyncRequest):
            return 0.0
        now = self.attempt.monotonic()
        if self._not_found_since is None:
            self._not_found_since = now
        left = self._not_found_since + self.attempt.policy.start_settling_seconds - now
        if left <= 0 or retry.request_max_retries == 0:
            return 0.0
        exists = yield from ask(self.attempt, lambda: _exists(self.attempt), may_be_running=False)
        return left if exists else 0.0


def _exists(attempt: SyncAttempt) -> bool:
    try:
        attempt.get_connection()
    except NotFoundError:
        return False
    except PermissionDeniedError:
        return True
    return True

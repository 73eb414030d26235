"""Faults: which requests are broken, and how.

This module decides. `web.broken_answers` makes the broken answer.
"""

import random
import threading
from collections.abc import Collection, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Literal, get_args

from dagster_rudderstack.testing.clock import Clock
from dagster_rudderstack.testing.operations import operation_name
from dagster_rudderstack.testing.scripts import SyncScript

FaultKind = Literal[
    "status",
    "reset",
    "close",
    "truncated",
    "empty",
    "wrong_type",
    "slow",
    "redirect",
    "body",
    "huge",
    "paging",
    "scheduled_sync",
    "scheduled_run",
]

_STATUSES = range(200, 600)

DEFAULT_STATUS: Mapping[FaultKind, int] = {"status": 503, "redirect": 307, "huge": 500}


@dataclass(frozen=True)
class Fault:
    """A rule that breaks some requests.

    The kinds, and the settings that each of them uses:

    - `status`: The answer has `status` (503), `body` and `headers`. Without `body`, a 5xx has an
      HTML page and any other status the API's JSON error. `retry_after` sets that header: seconds
      (an HTTP date on the server's clock with `retry_after_as_date`), or a text as it is.
    - `reset`: The TCP connection is reset before the first byte of the answer.
    - `close`: The TCP connection is closed before the first byte of the answer.
    - `truncated`: The connection is closed after half of the answer.
    - `empty`: 200 with an empty body.
    - `wrong_type`: 200 with `body`, or in turn with one of six bodies of the wrong type.
    - `body`: 200 (or `status`) with `body` and `content_type`.
    - `huge`: 500 (or `status`) with a body of `size_bytes`.
    - `redirect`: 307 (or `status`) to `location`.
    - `slow`: The answer comes after `seconds`. If the client disconnects first, the request has no
      effect, unless `effect` is set.
    - `paging`: The answer is correct except for `paging.next`, which is `next`. None repeats the
      page.
    - `scheduled_sync`: Just before the request is handled, RudderStack's schedule starts a sync of
      the connection, with `script` or the connection's own script.
    - `scheduled_run`: Just before the request is handled, RudderStack's schedule starts a run of
      the Profiles project or ETL source, with its next script.

    A `scheduled_sync` only matches requests for a connection, and a `scheduled_run` those for a
    source. If several rules match a request, the one that was added first applies.

    Attributes:
        kind: What happens to the request, see above.
        operation: Which requests it matches: one or several operations, as in
            `RecordedRequest.operation`. None matches all.
        method: The HTTP method of the requests that it matches. None matches all.
        connection_id: The connection in the path of the requests that it matches. None matches all.
        skip: How many matches it ignores at first.
        every: Of the other matches, it hits each `every`-th.
        probability: How likely it hits those, 0.0 to 1.0, from the server's seeded generator.
        times: How many requests it hits at most. "auto" is 1, and unlimited if `every`,
            `probability` or a time is given. None means unlimited.
        from_seconds: Seconds after it was added from which on it matches, on the server's clock.
        until_seconds: Seconds after it was added until which it matches. None: it matches for ever.
        effect: Whether the request takes effect although its answer is lost.
        seconds: Seconds of real time before the fault shows, for any kind.
        status: HTTP status of the answer. None is that of the kind.
        body: Body of the answer. None is that of the kind.
        content_type: Header Content-Type of the answer. None is that of the kind.
        headers: More headers of the answer.
        retry_after: Header Retry-After: seconds, or a text as it is. None sends none.
        retry_after_as_date: Whether that header is a date on the server's clock.
        location: Where a `redirect` leads.
        size_bytes: Size of the body of `huge`.
        next: `paging.next` of `paging`. None repeats the page.
        script: What the sync of a `scheduled_sync` does. None is the connection's own script.
        source_id: The source in the path of the requests that it matches. None matches all.

    Raises:
        ValueError: If a value is invalid. The message names it.
    """

    kind: FaultKind
    _: KW_ONLY
    operation: str | Collection[str] | None = None
    method: str | None = None
    connection_id: str | None = None
    skip: int = 0
    every: int = 1
    probability: float = 1.0
    times: int | Literal["auto"] | None = "auto"
    from_seconds: float = 0.0
    until_seconds: float | None = None
    effect: bool = False
    seconds: float = 0.0
    status: int | None = None
    body: str | None = None
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    retry_after: float | str | None = None
    retry_after_as_date: bool = False
    location: str = "http://127.0.0.1:9/elsewhere"
    size_bytes: int = 10_000_000
    next: str | None = None
    script: SyncScript | None = None
    source_id: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(FaultKind):
            known = ", ".join(get_args(FaultKind))
            raise ValueError(f"Unknown kind of fault {self.kind!r}. Known: {known}")
        self._check_numbers()
        if self.kind == "slow" and not self.seconds > 0:
            raise ValueError("A fault of the kind 'slow' needs seconds > 0")
        if self.retry_after_as_date and not isinstance(self.retry_after, (int, float)):
            raise ValueError("retry_after_as_date needs retry_after in seconds")
        object.__setattr__(self, "operation", _operation_names(self.operation))

    def _check_numbers(self) -> None:
        rules = {
            "skip": self.skip >= 0,
            "every": self.every >= 1,
            "probability": 0 <= self.probability <= 1,
            "times": self.times in (None, "auto") or int(self.times) >= 1,
            "from_seconds": self.from_seconds >= 0,
            "until_seconds": self.until_seconds is None or self.until_seconds > self.from_seconds,
            "seconds": self.seconds >= 0,
            "size_bytes": self.size_bytes >= 0,
            "status": self.status is None or self.status in _STATUSES,
        }
        for name, holds in rules.items():
            if not holds:
                raise ValueError(f"{name} of a fault cannot be {getattr(self, name)!r}")

    @property
    def limit(self) -> int | None:
        """How many requests it hits at most. None: no limit."""
        if self.times != "auto":
            return self.times
        windowed = self.from_seconds > 0 or self.until_seconds is not None
        return None if windowed or self.every > 1 or self.probability < 1 else 1

    @property
    def status_code(self) -> int:
        """The status of the answer."""
        return self.status or DEFAULT_STATUS.get(self.kind, 200)


def _operation_names(given: str | Collection[str] | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    names = (given,) if isinstance(given, str) else tuple(given)
    return tuple(operation_name(name) for name in names)


@dataclass(frozen=True)
class FaultTarget:
    """A request, as far as a rule looks at it."""

    operation: str
    method: str
    connection_id: str | None
    source_id: str | None = None


@dataclass
class _Rule:
    fault: Fault
    added_at: float
    matched: int = 0
    hits: int = 0

    def concerns(self, target: FaultTarget, now: float) -> bool:
        """Return whether the rule matches the request."""
        fault = self.fault
        if fault.operation is not None and target.operation not in fault.operation:
            return False
        if fault.method is not None and fault.method.upper() != target.method:
            return False
        if not self._concerns_ids(target):
            return False
        age = now - self.added_at
        return fault.from_seconds <= age and (
            fault.until_seconds is None or age < fault.until_seconds
        )

    def _concerns_ids(self, target: FaultTarget) -> bool:
        fault = self.fault
        if fault.kind == "scheduled_sync" and target.connection_id is None:
            return False
        if fault.kind == "scheduled_run" and target.source_id is None:
            return False
        return fault.connection_id in (None, target.connection_id) and fault.source_id in (
            None,
            target.source_id,
        )

    def would_hit(self, generator: random.Random) -> bool:
        """Count a matching request, and return whether the rule wants to hit it."""
        self.matched += 1
        place = self.matched - self.fault.skip
        if place <= 0 or place % self.fault.every != 0:
            return False
        # Drawn for each match, even if another rule hits the request: adding a rule must not change
        # what the others do.
        spared = self.fault.probability < 1 and generator.random() >= self.fault.probability
        limit = self.fault.limit
        return not spared and (limit is None or self.hits < limit)


@dataclass(frozen=True)
class FaultHit:
    """A fault that hits a request. `count` is how many requests its rule has hit, from 1."""

    fault: Fault
    count: int


class FaultRules:
    """The active rules. If several want to hit a request, the one that was added first does."""

    def __init__(self, clock: Clock, seed: int) -> None:
        self._clock = clock
        self._seed = seed
        self._lock = threading.Lock()
        self.clear()
        self.reseed()

    def reseed(self) -> None:
        """Restart the sequence of random numbers."""
        with self._lock:
            # Apart from the generator of the ids: the number of syncs must not change the faults.
            self._random = random.Random(f"faults {self._seed}")  # noqa: S311

    def add(self, fault: Fault) -> None:
        """Add a rule after the others."""
        with self._lock:
            self._rules.append(_Rule(fault, self._clock()))

    def clear(self) -> None:
        """Remove all rules."""
        with self._lock:
            self._rules: list[_Rule] = []

    def choose(self, target: FaultTarget) -> FaultHit | None:
        """Return the fault that hits this request. Call it once for each request, in order."""
        with self._lock:
            now = self._clock()
            matching = [rule for rule in self._rules if rule.concerns(target, now)]
            candidates = [rule for rule in matching if rule.would_hit(self._random)]
            if not candidates:
                return None
            rule = candidates[0]
            rule.hits += 1
            return FaultHit(rule.fault, rule.hits)

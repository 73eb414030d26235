"""An API with scripted answers, to test syncs request by request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, TypeVar

from dagster_rudderstack.api.models import Connection, Schedule, Sync
from dagster_rudderstack.errors import (
    ApiError,
    AuthenticationError,
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    StatusError,
    TransportError,
)
from dagster_rudderstack.settings import PollPolicy, SyncPolicy
from dagster_rudderstack.sync.attempt import PreviousAttempt, SyncAttempt
from dagster_rudderstack.sync.recorder import Successor
from dagster_rudderstack.sync.request import Origin, Request, SyncRequest
from dagster_rudderstack.sync.task import Task

_T = TypeVar("_T")

BEGAN = datetime(2026, 1, 5, 6, 0, tzinfo=timezone.utc)


def sync(name: str, status: str = "running", **fields: Any) -> Sync:
    """Return a sync. One that has ended took a minute."""
    is_over = status in ("succeeded", "failed", "aborted")
    minute = BEGAN.replace(minute=1) if is_over else None
    return Sync(id=name, status=status, **{"started_at": BEGAN, "finished_at": minute, **fields})


def succeeded(name: str) -> Sync:
    """Return a sync that succeeded."""
    return sync(name, "succeeded")


def connection_read(*, enabled: bool = True, schedule: str | None = "Manual") -> Connection:
    """Return a connection as the API shows it."""
    return Connection(
        id="crm",
        enabled=enabled,
        source_id="source",
        destination_id="destination",
        schedule=Schedule(type=schedule) if schedule else None,
    )


def status_error(status: int, message: str | None = None, **facts: Any) -> StatusError:
    """Return the error of an answer."""
    kinds: dict[int, type[StatusError]] = {
        401: AuthenticationError,
        403: PermissionDeniedError,
        404: NotFoundError,
        409: ConflictError,
        429: RateLimitedError,
    }
    kind = kinds.get(status, StatusError)
    message = message or f"Answer {status}."
    return kind(message, method="GET", path="/x", status_code=status, **facts)


def cut_off() -> ApiError:
    """Return the error of a request whose answer was lost."""
    return TransportError("Cut off.", method="POST", path="/x", request_sent=True)


@dataclass
class Clock:
    """A clock that moves on when a task waits."""

    now: float = 1000.0
    waits: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        """Return the time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Move on, and keep the number of seconds."""
        self.waits.append(seconds)
        self.now += seconds


Answers = Sequence[object]


@dataclass
class ScriptedApi:
    """Gives the answers of each operation in turn, and repeats the last one. Errors are raised.

    Attributes:
        requests: The requests, in order.
    """

    start: Answers = ("new",)
    get: Answers = ()
    listed: Answers = ((),)
    connection: Answers = (connection_read(),)
    stop: Answers = (None,)
    requests: list[tuple[object, ...]] = field(default_factory=list, init=False)
    _counts: dict[str, int] = field(default_factory=dict, init=False)

    def _answer(self, operation: str, answers: Answers) -> Any:
        count = self._counts.get(operation, 0)
        self._counts[operation] = count + 1
        answer = answers[min(count, len(answers) - 1)]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def start_sync(self, connection_id: str, sync_type: str | None = None) -> str:
        """Start a sync."""
        self.requests.append(("start", connection_id, sync_type))
        answer: str = self._answer("start", self.start)
        return answer

    def stop_sync(self, connection_id: str) -> None:
        """Stop a sync."""
        self.requests.append(("stop", connection_id))
        self._answer("stop", self.stop)

    def get_sync(self, connection_id: str, sync_id: str) -> Sync:
        """Return a sync."""
        self.requests.append(("get", connection_id, sync_id))
        answer: Sync = self._answer("get", self.get)
        return answer

    def list_syncs(self, connection_id: str, *, per_page: int, limit: int) -> list[Sync]:
        """Return the newest syncs."""
        self.requests.append(("list", connection_id, per_page, limit))
        return list(self._answer("list", self.listed))

    def get_connection(self, connection_id: str) -> Connection:
        """Return the connection."""
        self.requests.append(("connection", connection_id))
        answer: Connection = self._answer("connection", self.connection)
        return answer

    @property
    def operations(self) -> list[object]:
        """The operations of the requests, in order."""
        return [request[0] for request in self.requests]


@dataclass
class ScriptedRecorder:
    """Keeps the records of an attempt as tuples."""

    entries: list[tuple[object, ...]] = field(default_factory=list)
    is_durable: bool = True
    error: Exception | None = None
    fails: Callable[[object], bool] = lambda _kind: False
    """Whether a record of this kind cannot be written."""
    wanted: Callable[[], bool] = lambda: True
    newer: Callable[[], Successor | None] = lambda: None
    others: frozenset[str] = frozenset()

    def started_by_others(self) -> frozenset[str]:
        """Return what other steps and Dagster runs have started."""
        return self.others

    def is_sync_wanted(self) -> bool:
        """Return what the test says."""
        return self.wanted()

    def successor(self) -> Successor | None:
        """Return what the test says."""
        return self.newer()

    def starting(self, known_sync_ids: Sequence[str]) -> None:
        """Keep a record."""
        self._keep("starting", *known_sync_ids)

    def accepted(self, known_sync_ids: Sequence[str]) -> None:
        """Keep a record."""
        self._keep("accepted", *known_sync_ids)

    def waiting(self, sync_id: str, origin: Origin, *, owned: bool) -> None:
        """Keep a record."""
        self._keep("waiting", sync_id, origin, owned)

    def nothing_started(self) -> None:
        """Keep a record."""
        self._keep("nothing started")

    def stop_requested(self, sync_id: str) -> None:
        """Keep a record."""
        self._keep("stop requested", sync_id)

    def _keep(self, *entry: object) -> None:
        if self.error is not None:
            raise self.error
        if self.fails(entry[0]):
            raise OSError("connection refused")
        self.entries.append(entry)


@dataclass
class ListLog:
    """Keeps the lines of a log, each after its level."""

    lines: list[str] = field(default_factory=list)

    def info(self, msg: object, /) -> None:
        """Keep a line."""
        self.lines.append(f"info: {msg}")

    def warning(self, msg: object, /) -> None:
        """Keep a line."""
        self.lines.append(f"warning: {msg}")


@dataclass
class Script:
    """One attempt, with the API, the records, the log and the clock that it uses."""

    api: ScriptedApi
    clock: Clock
    recorder: ScriptedRecorder
    log: ListLog
    attempt: SyncAttempt

    def run(self, task: Callable[[SyncAttempt], Task[_T]]) -> _T:
        """Run a task of the attempt to its end."""
        return self.drive(task(self.attempt))

    def drive(self, task: Task[_T]) -> _T:
        """Run a task to its end."""
        while True:
            try:
                self.clock.sleep(next(task))
            except StopIteration as end:
                result: _T = end.value
                return result

    @property
    def waits(self) -> list[float]:
        """The waits so far, in seconds."""
        return self.clock.waits

    @property
    def records(self) -> list[tuple[object, ...]]:
        """The records so far."""
        return self.recorder.entries


def script(
    *,
    request: Request | None = None,
    previous: PreviousAttempt | None = None,
    recorder: ScriptedRecorder | None = None,
    jitter: float = 0.0,
    policy: SyncPolicy | None = None,
    **answers: Answers,
) -> Script:
    """Return an attempt with scripted answers. It polls every second unless a policy is given."""
    api, clock, log = ScriptedApi(**answers), Clock(), ListLog()
    recorder = recorder or ScriptedRecorder()
    attempt = SyncAttempt(
        api,
        request or SyncRequest("crm", connection_name="CRM contacts"),
        policy or every_second(),
        recorder=recorder,
        previous=previous,
        log=log,
        monotonic=clock.monotonic,
        jitter=lambda: jitter,
    )
    return Script(api, clock, recorder, log, attempt)


def every_second(**choices: Any) -> SyncPolicy:
    """Return a policy that polls every second, however long a sync takes."""
    poll = PollPolicy(poll_growth=0, poll_jitter=0)
    return SyncPolicy(**{"poll": poll, **choices})

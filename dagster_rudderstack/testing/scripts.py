"""Scripts: what a simulated sync or run does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

Rows = int | Literal["auto"] | None
"""A number of rows. None: the API answers null. "auto": follows from the other numbers."""

Metrics = Literal["full", "null", "missing", "partial"]


@dataclass(frozen=True)
class RowCounts:
    """The rows of a sync. None: the number is not known."""

    total: int | None = 0
    changed: int | None = 0
    succeeded: int | None = 0
    failed: int | None = 0

    def at_progress(self, progress: float) -> "RowCounts":
        """Return the counts at a progress from 0 to 1.

        `total` and `changed` are known from the start; the other two grow.
        """
        return RowCounts(
            total=self.total,
            changed=self.changed,
            succeeded=_part(self.succeeded, progress),
            failed=_part(self.failed, progress),
        )


def _part(count: int | None, progress: float) -> int | None:
    return None if count is None else int(count * progress)


@dataclass(frozen=True)
class SyncScript:
    """What a simulated sync does.

    The final counts are `rows_total`, `rows_changed`, `rows_succeeded` and `rows_failed`. "auto"
    derives a count from the others: `SyncScript(rows_total=100, rows_failed=3)` has 100 changed and
    97 succeeded rows. If the connection has a table, its real counts are used instead, and
    `duration_seconds` is the minimum duration.

    Attributes:
        duration_seconds: Seconds until it ends, on the server's clock. 0: it ends at once.
        status: Final status. Any text is allowed, to test statuses that are not documented.
        error: Reason of the failure.
        rows_total: Rows of the source. "auto" follows from the other counts, and None is unknown:
            the API answers null.
        rows_changed: Rows that are new or changed, likewise.
        rows_succeeded: Rows that the destination accepts, likewise.
        rows_failed: Rows that the destination rejects, likewise. "auto" is 0.
        running_status: Status until it ends.
        finished: Whether `finishedAt` is set when the sync has ended.
        metrics: Shape of the metrics: "full", "null", "missing" (no such key) or "partial" (some
            counts are missing).
        hidden_for_seconds: Seconds after the start during which the API answers 404 for the sync.
        never_ends: Whether it runs until it is stopped. `duration_seconds` is then only the pace of
            the rows.
        null_timestamps: Whether `startedAt` and `finishedAt` are null.
        running_finished_at: The text of `finishedAt` until it ends, where it means nothing. None is
            null.
        wire_fields: Fields that add to or replace the fields that the API returns.
    """

    duration_seconds: float = 0.0
    status: str = "succeeded"
    error: str | None = None
    rows_total: Rows = "auto"
    rows_changed: Rows = "auto"
    rows_succeeded: Rows = "auto"
    rows_failed: Rows = "auto"
    running_status: str = "running"
    finished: bool = True
    metrics: Metrics = "full"
    hidden_for_seconds: float = 0.0
    never_ends: bool = False
    null_timestamps: bool = False
    running_finished_at: str | None = None
    wire_fields: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("duration_seconds", "hidden_for_seconds"):
            _check_not_negative(name, getattr(self, name))
        for name in ("rows_total", "rows_changed", "rows_succeeded", "rows_failed"):
            if isinstance(rows := getattr(self, name), int):
                _check_not_negative(name, rows)
        if self.metrics not in ("full", "null", "missing", "partial"):
            raise ValueError(f"metrics must be full, null, missing or partial: {self.metrics!r}")

    @property
    def rows(self) -> RowCounts:
        """The final counts, without "auto"."""
        failed = 0 if self.rows_failed == "auto" else self.rows_failed
        done = None if self.rows_succeeded == "auto" else _add(self.rows_succeeded, failed)
        changed = _first_known(self.rows_changed, done, self.rows_total, 0)
        total = _first_known(self.rows_total, changed, done, 0)
        left = _subtract(changed if changed is not None else total, failed)
        return RowCounts(total, changed, _first_known(self.rows_succeeded, left, 0), failed)


@dataclass(frozen=True)
class RunScript:
    """What a run of a simulated Profiles project or ETL source does.

    If the project builds real tables, `duration_seconds` is the minimum duration, and the tasks are
    the models.

    Attributes:
        duration_seconds: Seconds until it ends, on the server's clock. 0: it ends at once.
        status: Final status. RudderStack's is "finished", also for a run with an `error`, which has
            failed. Any text is allowed, to test statuses that are not documented.
        error: Reason of the failure. The API shows it once the run has ended.
        running_status: Status until it ends.
        snake_case: Whether the API writes `started_at` instead of `startedAt`, and all other names
            likewise. RudderStack's clients know both.
        tasks: Ids of its tasks, which run one after the other. The last one has the `error`.
        missing_fields: Fields, by their camelCase names, that the API leaves out, such as
            `("id", "jobRunId")`.
        hidden_for_seconds: Seconds after the start during which the API answers 404 for the run.
        never_ends: Whether it runs for ever.
        wire_fields: Fields that add to or replace the fields that the API returns, as they are.
    """

    duration_seconds: float = 0.0
    status: str = "finished"
    error: str | None = None
    running_status: str = "running"
    snake_case: bool = False
    tasks: tuple[str, ...] = ("sync",)
    missing_fields: tuple[str, ...] = ()
    hidden_for_seconds: float = 0.0
    never_ends: bool = False
    wire_fields: Mapping[str, Any] = field(default_factory=dict)

    API_FIELDS: ClassVar[Sequence[str]] = (
        *("id", "jobRunId", "jobId", "status", "startedAt", "finishedAt", "error", "tasks"),
    )

    def __post_init__(self) -> None:
        for name in ("duration_seconds", "hidden_for_seconds"):
            _check_not_negative(name, getattr(self, name))
        for name in ("tasks", "missing_fields"):
            if isinstance(getattr(self, name), str):
                raise TypeError(f"{name} must be a list of texts, not {getattr(self, name)!r}")
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in self.missing_fields:
            if name not in self.API_FIELDS:
                known = ", ".join(self.API_FIELDS)
                raise ValueError(f"A run has no field {name!r} to leave out. Known: {known}")


def _first_known(given: Rows, *guesses: Rows) -> int | None:
    """Return the given number or None. If it is "auto", return the first guess that is a number."""
    if given != "auto":
        return given
    return next(guess for guess in guesses if isinstance(guess, int))


def _add(left: int | None, right: int | None) -> int | None:
    return None if left is None else left + (right or 0)


def _subtract(left: int | None, right: int | None) -> int | None:
    return None if left is None else max(0, left - (right or 0))


def _check_not_negative(name: str, value: float) -> None:
    if not value >= 0:
        raise ValueError(f"{name} must be 0 or more, not {value!r}")

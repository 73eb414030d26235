"""What a simulated sync or run does, decided before it starts."""

from dataclasses import dataclass
from typing import Literal

Rows = int | Literal["auto"] | None
"""A number of rows; None: the API answers null; "auto": follows from the other numbers."""

Metrics = Literal["full", "null", "missing", "partial"]


@dataclass(frozen=True)
class RowCounts:
    """Rows of a sync; None where the number is not known."""

    total: int | None = 0
    changed: int | None = 0
    succeeded: int | None = 0
    failed: int | None = 0

    def at_progress(self, progress: float) -> "RowCounts":
        """Tell the counts when so much of the work (0 to 1) is done.

        What has to be done is known from the start; what has been done grows.
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
    """How a simulated sync goes.

    duration_seconds: how long it runs, on the server's clock. 0: it is over at once.
    status, error: how it ends. Any text is allowed, so that unknown statuses can be rehearsed.
    rows_...: the final counts. "auto" makes them agree with those that are given, e.g.
        `SyncScript(rows_total=100, rows_failed=3)` has 100 changed and 97 succeeded rows.
    running_status: the status until it ends.
    finished: False leaves `finishedAt` null though the sync has ended.
    metrics: "full"; "null"; "missing" (no such key); "partial" (some counts are missing).
    hidden_for_seconds: for so long after the start, the API knows nothing of the sync: 404.
    never_ends: it runs until it is stopped; `duration_seconds` then only sets the pace of the rows.
    null_timestamps: `startedAt` and `finishedAt` are null.

    With a table the counts are real ones, and `duration_seconds` is the least that a sync takes.
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
        """The final counts, with "auto" worked out."""
        failed = 0 if self.rows_failed == "auto" else self.rows_failed
        done = None if self.rows_succeeded == "auto" else _add(self.rows_succeeded, failed)
        changed = _first_known(self.rows_changed, done, self.rows_total, 0)
        total = _first_known(self.rows_total, changed, done, 0)
        left = _subtract(changed if changed is not None else total, failed)
        return RowCounts(total, changed, _first_known(self.rows_succeeded, left, 0), failed)


@dataclass(frozen=True)
class RunScript:
    """How a run of a simulated Profiles project (or ETL source) goes.

    `status` is "finished" or "failed"; a run that is finished with an `error` has failed.
    `snake_case` answers with `started_at` instead of `startedAt`; both have been seen.
    """

    duration_seconds: float = 0.0
    status: str = "finished"
    error: str | None = None
    snake_case: bool = False
    never_ends: bool = False

    def __post_init__(self) -> None:
        _check_not_negative("duration_seconds", self.duration_seconds)


def _first_known(given: Rows, *guesses: Rows) -> int | None:
    """Take what was given, be it None; else the first guess that is a number."""
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

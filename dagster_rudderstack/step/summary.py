"""The results of a step with many syncs, as one failure and as a table for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import dagster as dg

from dagster_rudderstack.errors import RudderStackError
from dagster_rudderstack.metadata import MetadataKey, failure_from
from dagster_rudderstack.step.results import SyncResult
from dagster_rudderstack.sync.decisions import duration_text
from dagster_rudderstack.sync.request import Request, RunRequest
from dagster_rudderstack.text import one_line, plural

__all__ = ["SummaryRow", "failure_of", "summary_row", "summary_text"]

MAX_REASONS = 30
"""How many failures are explained in the message. All of them are named."""
MAX_ROWS = 200
"""How many rows the table in the log has. Failed syncs come first."""


class SummaryRow(NamedTuple):
    """What is kept of a result until the end of the step: a few words, for a thousand syncs."""

    name: str
    connection: str
    sync_id: str
    status: str
    rows_delivered: str
    rows_rejected: str
    duration: str
    error: BaseException | None
    request: Request

    @property
    def reason(self) -> str:
        """Why the sync failed. Empty if it did not."""
        if isinstance(self.error, RudderStackError):
            return self.error.message
        return f"{type(self.error).__name__}: {self.error}" if self.error else ""

    @property
    def is_retryable(self) -> bool:
        """Whether another attempt may end better."""
        return not isinstance(self.error, RudderStackError) or self.error.retryable

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells of the table."""
        return self[:-2]


def summary_row(result: SyncResult) -> SummaryRow:
    """Return what is kept of a result."""
    sync = result.last_seen
    seconds = sync.duration_seconds if sync else None
    return SummaryRow(
        result.sync.name,
        result.sync.request.label,
        sync.id if sync else "",
        result.status,
        _count(sync.rows_succeeded if sync else None),
        _count(sync.rows_failed if sync else None),
        "" if seconds is None else duration_text(seconds),
        result.error,
        result.sync.request,
    )


def _count(rows: int | None) -> str:
    return "" if rows is None else f"{rows:,}"


def failure_of(
    failed: Sequence[SummaryRow], total: int, link_template: str | None = None
) -> dg.Failure:
    """Return one failure for the syncs that failed. That of a single sync has its facts.

    Args:
        failed: The rows of the syncs that failed.
        total: How many syncs there were.
        link_template: The address of a sync's page in RudderStack's dashboard. None for no link.
    """
    first = failed[0]
    if total == 1 and isinstance(first.error, RudderStackError):
        request = first.request
        if isinstance(request, RunRequest):
            return failure_from(
                first.error, link_template=link_template, source_id=request.source_id
            )
        return failure_from(first.error, request.target_id, link_template)
    return _failure_of_many(failed, total)


def _failure_of_many(failed: Sequence[SummaryRow], total: int) -> dg.Failure:
    """Return one failure that names the syncs that failed, and why.

    Its cause is the first unexpected error, whose traceback helps. The messages of the other errors
    say all.
    """
    lines = [f"- {row.name} ({row.request.target}): {row.reason}" for row in failed[:MAX_REASONS]]
    more = [row.name for row in failed[MAX_REASONS:]]
    if more:
        lines.append(one_line(f"- and {len(more)} more: {', '.join(more)}", 2000))
    failure = dg.Failure(
        description="\n".join([_failed_text(len(failed), total, failed[0].request.noun), *lines]),
        metadata={MetadataKey.FAILED_SYNCS: _failed_table(failed)},
        allow_retries=any(row.is_retryable for row in failed),
    )
    errors = (row.error for row in failed)
    failure.__cause__ = next(
        (each for each in errors if not isinstance(each, RudderStackError)), None
    )
    return failure


def _failed_text(failed: int, total: int, noun: str) -> str:
    if total == 1:
        return f"The {noun} failed."
    text = f"{failed:,} of {plural(total, noun)} failed."
    others = total - failed
    if others == 0:
        return text
    if others == 1:
        return f"{text} The other {noun} is not affected."
    return f"{text} The other {plural(others, noun)} are not affected."


def _failed_table(failed: Sequence[SummaryRow]) -> dg.MetadataValue:
    return dg.MetadataValue.table(
        [
            dg.TableRecord(
                {
                    "asset": row.name,
                    row.request.target_noun: row.connection,
                    row.request.noun: row.sync_id,
                    "status": row.status,
                    "reason": row.reason,
                }
            )
            for row in failed
        ]
    )


_FIRST_NUMBER = 4


def summary_text(rows: Sequence[SummaryRow]) -> str:
    """Return a table of syncs for a log, failed ones first, then by name."""
    ordered = sorted(rows, key=lambda row: (row.error is None, row.name))
    about = rows[0].request
    counts = ("delivered", "rejected", "duration")
    headings = ("asset", about.target_noun, about.noun, "status", *counts)
    table = [headings, *(row.cells for row in ordered[:MAX_ROWS])]
    if isinstance(about, RunRequest):
        # RudderStack counts no rows of a run.
        table = [(*row[:_FIRST_NUMBER], row[-1]) for row in table]
    widths = [max(len(row[place]) for row in table) for place in range(len(table[0]))]
    lines = [_line(row, widths) for row in table]
    if len(ordered) > MAX_ROWS:
        lines.append(f"... and {len(ordered) - MAX_ROWS} more")
    return "\n".join([_headline(rows), *lines])


def _headline(rows: Sequence[SummaryRow]) -> str:
    counts = Counter("failed" if row.error else row.status for row in rows)
    words = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
    have = "has" if len(rows) == 1 else "have"
    return f"{plural(len(rows), rows[0].request.noun)} {have} ended: {words}."


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.ljust(width) if place < _FIRST_NUMBER else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()

"""How it went for each of many syncs, as a failure and as a table that people read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import dagster as dg

from dagster_rudderstack.api.models import Sync
from dagster_rudderstack.metadata import Metadata, MetadataKey
from dagster_rudderstack.sync.decisions import duration_text
from dagster_rudderstack.sync.life import SyncRequest
from dagster_rudderstack.text import one_line

__all__ = ["Line", "Member", "Outcome", "failure_of_many", "summary_text"]

SHOWN_FAILURES = 30
SHOWN_ROWS = 200
"""A longer table helps nobody; those that failed come first."""


@dataclass(frozen=True)
class Member:
    """An asset and the sync that makes it."""

    key: dg.AssetKey
    request: SyncRequest

    @property
    def connection_id(self) -> str:
        """The connection that is synced."""
        return self.request.connection_id

    @property
    def name(self) -> str:
        """The asset, as a person writes it."""
        return self.key.to_user_string()


@dataclass(frozen=True)
class Outcome:
    """How it went for one member.

    Attributes:
        member: the asset and its connection.
        status: a word or two for a table.
        metadata: of the materialization to report; None: there is none to report.
        is_reported: whether that materialization is there already, so that only its check is told.
        sync: the last state seen; None if no sync was seen.
        error: why it failed; None: it did not.
        reason: what the error says; empty: there is none.
        retryable: whether trying again may end better.
    """

    member: Member
    status: str
    metadata: Metadata | None = None
    is_reported: bool = False
    sync: Sync | None = None
    error: BaseException | None = None
    reason: str = ""
    retryable: bool = True

    @property
    def line(self) -> Line:
        """What is kept of it to the end of the step, for a thousand of them: a few words."""
        sync = self.sync
        took = sync.duration_seconds if sync else None
        return Line(
            self.member.name,
            self.member.connection_id,
            sync.id if sync else "",
            self.status,
            _rows(sync.rows_succeeded if sync else None),
            _rows(sync.rows_failed if sync else None),
            "" if took is None else duration_text(took),
            self.reason,
            self.retryable,
            self.error,
        )


class Line(NamedTuple):
    """A line of a table of syncs."""

    asset: str
    connection_id: str
    sync_id: str
    status: str
    rows_taken: str
    rows_rejected: str
    took: str
    reason: str
    retryable: bool
    error: BaseException | None

    @property
    def cells(self) -> tuple[str, ...]:
        """What the table shows of it."""
        rows = (self.rows_taken, self.rows_rejected)
        return (self.asset, self.connection_id, self.sync_id, self.status, *rows, self.took)


def _rows(count: int | None) -> str:
    return "" if count is None else f"{count:,}"


def failure_of_many(failed: Sequence[Line], total: int) -> dg.Failure:
    """Return one failure that names those that failed, of so many in total, and why."""
    lines = [
        f"- {line.asset} (connection {line.connection_id}): {line.reason}"
        for line in failed[:SHOWN_FAILURES]
    ]
    more = [line.asset for line in failed[SHOWN_FAILURES:]]
    if more:
        lines.append(one_line(f"- and {len(more)} more: {', '.join(more)}", 2000))
    others = total - len(failed)
    fate = f" The other {others} are not affected." if others else ""
    return dg.Failure(
        description=f"{len(failed)} of {total} syncs failed.{fate}\n" + "\n".join(lines),
        metadata={MetadataKey.FAILED_SYNCS: _failed_table(failed)},
        allow_retries=any(line.retryable for line in failed),
    )


def _failed_table(failed: Sequence[Line]) -> dg.MetadataValue:
    return dg.MetadataValue.table(
        [
            dg.TableRecord(
                {
                    "asset": line.asset,
                    "connection": line.connection_id,
                    "sync": line.sync_id,
                    "status": line.status,
                    "reason": line.reason,
                }
            )
            for line in failed
        ]
    )


_HEADINGS = ("asset", "connection", "sync", "status", "rows taken", "rejected", "took")
_FIRST_NUMBER = 4


def summary_text(lines: Sequence[Line]) -> str:
    """Return a table of syncs for a log: those that failed first, then by name."""
    ordered = sorted(lines, key=lambda line: (not line.reason, line.asset))
    rows = [_HEADINGS, *(line.cells for line in ordered[:SHOWN_ROWS])]
    widths = [max(len(row[place]) for row in rows) for place in range(len(_HEADINGS))]
    table = [_row_text(row, widths) for row in rows]
    if len(ordered) > SHOWN_ROWS:
        table.append(f"... and {len(ordered) - SHOWN_ROWS} more")
    return "\n".join([_headline(lines), *table])


def _headline(lines: Sequence[Line]) -> str:
    counts = Counter("failed" if line.reason else line.status for line in lines)
    told = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
    return f"{len(lines)} syncs are over: {told}."


def _row_text(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.ljust(width) if place < _FIRST_NUMBER else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()

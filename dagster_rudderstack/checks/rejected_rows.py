"""The check on the rows that the destination rejected, and its limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import dagster as dg

from dagster_rudderstack.api.validation import is_whole
from dagster_rudderstack.checks.base import SyncCheck, int_of
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.metadata import MetadataKey
from dagster_rudderstack.text import plural

__all__ = ["DASHBOARD_WORDS", "RejectedRowsCheck", "RowLimits"]

DASHBOARD_WORDS = (
    'RudderStack\'s dashboard calls a sync with rejected rows "failed", and a failed sync '
    '"aborted".'
)
"""What a person who compares the two must know. The API calls the first one `succeeded`."""


@dataclass(frozen=True)
class RowLimits:
    """How many rejected rows are accepted. With no limit given, none is.

    Attributes:
        max_failed_rows: The largest accepted number of rejected rows. None sets no limit.
        max_failed_ratio: The largest accepted share of the rows sent, 0.0 to 1.0. None sets no
            limit.

    Raises:
        InvalidSettingError: If a limit is not such a number.
    """

    max_failed_rows: int | None = None
    max_failed_ratio: float | None = None

    def __post_init__(self) -> None:
        rows, ratio = self.max_failed_rows, self.max_failed_ratio
        if rows is not None and not (is_whole(rows) and rows >= 0):
            raise InvalidSettingError(
                f"max_failed_rows {rows!r}: expected a whole number, 0 or more."
            )
        is_number = isinstance(ratio, (int, float)) and not isinstance(ratio, bool)
        if ratio is not None and not (is_number and 0 <= ratio <= 1):
            raise InvalidSettingError(f"max_failed_ratio {ratio!r}: expected 0.0 to 1.0.")

    @property
    def accepted(self) -> str:
        """The limits in words."""
        parts = []
        if self.max_failed_rows is not None:
            parts.append(f"up to {plural(self.max_failed_rows, 'row')}")
        if self.max_failed_ratio is not None:
            parts.append(f"up to {_percent(self.max_failed_ratio)} of the rows sent")
        return " and ".join(parts) or "none"

    def exceeded(self, failed: int | None, succeeded: int | None) -> str | None:
        """Return why the limits are exceeded, or None if they are not or a count is unknown."""
        if not failed or not self._is_exceeded(failed, succeeded):
            return None
        accepted = self._exceeded_limit(failed)
        return f"{_rejected_text(failed, succeeded)}; {accepted}"

    def kept(self, failed: int, succeeded: int | None) -> str:
        """Return how many rows were rejected, and the limits, for a number within them."""
        rejected = _rejected_text(failed, succeeded)
        if self.max_failed_ratio is not None and succeeded is None:
            return f"{rejected}; RudderStack does not report their share of the rows sent"
        limits = []
        if self.max_failed_rows is not None:
            limits.append(f"up to {self.max_failed_rows:,}")
        if self.max_failed_ratio is not None:
            limits.append(f"up to {_percent(self.max_failed_ratio)}")
        is_one = len(limits) == 1 and self.max_failed_rows in (None, 1)
        return f"{rejected}; {' and '.join(limits)} {'is' if is_one else 'are'} accepted"

    def _is_exceeded(self, failed: int, succeeded: int | None) -> bool:
        return self._has_too_many(failed) or self._has_too_large_a_share(failed, succeeded)

    def _has_too_many(self, failed: int) -> bool:
        max_rows = self.max_failed_rows
        if max_rows is None and self.max_failed_ratio is None:
            max_rows = 0
        return max_rows is not None and failed > max_rows

    def _has_too_large_a_share(self, failed: int, succeeded: int | None) -> bool:
        if self.max_failed_ratio is None or succeeded is None:
            return False
        return failed / (failed + succeeded) > self.max_failed_ratio

    def _exceeded_limit(self, failed: int) -> str:
        if not self._has_too_many(failed):
            return f"up to {_percent(self.max_failed_ratio or 0.0)} is accepted"
        max_rows = self.max_failed_rows or 0
        if max_rows == 0:
            return "none is accepted"
        return f"up to {max_rows:,} {'is' if max_rows == 1 else 'are'} accepted"


def _percent(ratio: float) -> str:
    """Return a share as a percentage with one decimal, or more where that would show 0."""
    percent = 100 * ratio
    shown = f"{percent:.1f}"
    return f"{shown if float(shown) or not percent else f'{percent:.2g}'} %"


def _rejected_text(failed: int, succeeded: int | None) -> str:
    was = "was" if failed == 1 else "were"
    if succeeded is None:
        return f"{plural(failed, 'row')} {was} rejected"
    sent = failed + succeeded
    return f"{failed:,} of {plural(sent, 'row')} {was} rejected ({_percent(failed / sent)})"


@dataclass(frozen=True, kw_only=True)
class RejectedRowsCheck(SyncCheck):
    """An asset check on the rows that the destination rejected.

    With no limit given it fails on the first rejected row. A count that RudderStack does not report
    is unknown and never fails a good sync.

    Attributes:
        max_failed_rows: The largest accepted number of rejected rows. None sets no limit.
        max_failed_ratio: The largest accepted share of the rows sent, 0.0 to 1.0. None sets no
            limit.
        severity: `WARN` or `ERROR`, or Dagster's `AssetCheckSeverity`.
        blocking: Whether a failure with the severity `ERROR` fails the step and blocks the
            downstream assets.
        name: Name of the check.

    Raises:
        InvalidSettingError: If a value is invalid.
    """

    kind: ClassVar[str] = "rejected_rows"
    evidence: ClassVar[tuple[str, ...]] = (
        MetadataKey.ROWS_FAILED,
        MetadataKey.ROWS_SUCCEEDED,
        MetadataKey.FAILED_ROWS_SQL,
    )
    max_failed_rows: int | None = None
    max_failed_ratio: float | None = None
    name: str = kind

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self._row_limits  # an invalid limit is an error now, not at the first sync

    @cached_property
    def _row_limits(self) -> RowLimits:
        return RowLimits(self.max_failed_rows, self.max_failed_ratio)

    @property
    def description(self) -> str:
        """What the check is about, what it accepts, and the words of RudderStack's dashboard."""
        return (
            f"Rows that the destination rejected. Accepted: {self._row_limits.accepted}. "
            f"{DASHBOARD_WORDS}"
        )

    def judge(self, metadata: Mapping[str, dg.MetadataValue]) -> tuple[bool, str]:
        """Return whether the limits are kept, and how many rows were rejected."""
        failed = int_of(metadata, MetadataKey.ROWS_FAILED)
        if failed is None:
            return True, "RudderStack does not report how many rows were rejected."
        if failed == 0:
            return True, "No row was rejected."
        succeeded = int_of(metadata, MetadataKey.ROWS_SUCCEEDED)
        exceeded = self._row_limits.exceeded(failed, succeeded)
        text = exceeded or self._row_limits.kept(failed, succeeded)
        return exceeded is None, f'{text}. RudderStack\'s dashboard calls this sync "failed".'

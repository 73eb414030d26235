"""The checks on the rows of the source: none at all, and none that has changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import dagster as dg

from dagster_rudderstack.checks.base import SyncCheck, int_of
from dagster_rudderstack.metadata import MetadataKey
from dagster_rudderstack.text import plural

__all__ = ["NoRowsCheck", "NothingChangedCheck"]


@dataclass(frozen=True, kw_only=True)
class NoRowsCheck(SyncCheck):
    """An asset check that fails if the source of a sync has no rows at all.

    Attributes:
        severity: `WARN` or `ERROR`, or Dagster's `AssetCheckSeverity`.
        blocking: Whether a failure with the severity `ERROR` fails the step and blocks the
            downstream assets.
        name: Name of the check.

    Raises:
        InvalidSettingError: If a value is invalid.
    """

    kind: ClassVar[str] = "no_rows"
    evidence: ClassVar[tuple[str, ...]] = (MetadataKey.ROWS_TOTAL,)
    name: str = kind

    @property
    def description(self) -> str:
        """What the check is about."""
        return "Whether the source had rows at the last sync."

    def judge(self, metadata: Mapping[str, dg.MetadataValue]) -> tuple[bool, str]:
        """Return whether the source has rows, and how many."""
        total = int_of(metadata, MetadataKey.ROWS_TOTAL)
        if total is None:
            return True, "RudderStack does not report how many rows the source has."
        return total > 0, f"The source has {plural(total, 'row') if total else 'no rows'}."


@dataclass(frozen=True, kw_only=True)
class NothingChangedCheck(SyncCheck):
    """An asset check that fails if a sync had nothing to send.

    Attributes:
        severity: `WARN` or `ERROR`, or Dagster's `AssetCheckSeverity`.
        blocking: Whether a failure with the severity `ERROR` fails the step and blocks the
            downstream assets.
        name: Name of the check.

    Raises:
        InvalidSettingError: If a value is invalid.
    """

    kind: ClassVar[str] = "nothing_changed"
    evidence: ClassVar[tuple[str, ...]] = (MetadataKey.ROWS_CHANGED,)
    name: str = kind

    @property
    def description(self) -> str:
        """What the check is about."""
        return "Whether the last sync had anything to send."

    def judge(self, metadata: Mapping[str, dg.MetadataValue]) -> tuple[bool, str]:
        """Return whether the sync had rows to send, and how many."""
        if MetadataKey.NOTHING_CHANGED in metadata:
            return False, "Nothing had changed since the last sync."
        changed = int_of(metadata, MetadataKey.ROWS_CHANGED)
        if changed is None:
            return True, "RudderStack does not report how many rows had changed."
        if changed == 0:
            return True, "No row had changed since the last sync, but rows were sent."
        return True, f"{plural(changed, 'row')} had changed since the last sync."

"""The check on the duration of a sync."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import dagster as dg

from dagster_rudderstack.api.validation import is_whole
from dagster_rudderstack.checks.base import SyncCheck
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.metadata import MetadataKey
from dagster_rudderstack.text import shown

__all__ = ["DurationCheck"]


@dataclass(frozen=True, kw_only=True)
class DurationCheck(SyncCheck):
    """An asset check that fails if a sync took too long, from its start to its end in RudderStack.

    It does not end the sync: the option `timeout_seconds` does.

    Attributes:
        max_seconds: The longest accepted duration in whole seconds.
        severity: `WARN` or `ERROR`, or Dagster's `AssetCheckSeverity`.
        blocking: Whether a failure with the severity `ERROR` fails the step and blocks the
            downstream assets.
        name: Name of the check.

    Raises:
        InvalidSettingError: If a value is invalid.
    """

    kind: ClassVar[str] = "duration"
    evidence: ClassVar[tuple[str, ...]] = (MetadataKey.DURATION,)
    max_seconds: int
    name: str = kind

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (is_whole(self.max_seconds) and self.max_seconds > 0):
            raise InvalidSettingError(
                f"max_seconds {shown(self.max_seconds)} of a DurationCheck: expected a whole "
                "number of seconds from 1."
            )

    @property
    def description(self) -> str:
        """What the check is about, and what it accepts."""
        return f"How long the last sync took. Accepted: up to {_exact_text(self.max_seconds)}."

    def judge(self, metadata: Mapping[str, dg.MetadataValue]) -> tuple[bool, str]:
        """Return whether the sync was fast enough, and how long it took."""
        duration = metadata.get(MetadataKey.DURATION)
        if not isinstance(duration, (dg.FloatMetadataValue, dg.IntMetadataValue)):
            return True, "RudderStack does not report how long the sync took."
        # A part of a second counts as one, so that a duration above the limit never looks equal.
        seconds = math.ceil(duration.value or 0.0)
        return seconds <= self.max_seconds, (
            f"The sync took {_exact_text(seconds)}; up to {_exact_text(self.max_seconds)} is "
            "accepted."
        )


def _exact_text(seconds: int) -> str:
    """Return a duration to the second: `1 h 5 min`, `1 h 5 min 3 s`."""
    units = ((seconds // 3600, "h"), (seconds // 60 % 60, "min"), (seconds % 60, "s"))
    return " ".join(f"{amount:,} {unit}" for amount, unit in units if amount) or "0 s"

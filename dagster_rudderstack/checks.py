"""The asset checks: on the rows that the destination rejected, and on deferred syncs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import dagster as dg

from dagster_rudderstack.api.models import Sync
from dagster_rudderstack.api.validation import is_whole
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.metadata import Metadata, MetadataKey, number
from dagster_rudderstack.text import plural

__all__ = ["SUCCEEDED_CHECK", "RejectedRowsCheck", "RowLimits", "sync_succeeded_spec"]

SUCCEEDED_CHECK = "sync_succeeded"
"""Name of the check on deferred syncs, which have no step that could fail."""


def sync_succeeded_spec(asset: dg.AssetKey) -> dg.AssetCheckSpec:
    """Return the definition of the check on the last deferred sync of an asset."""
    return dg.AssetCheckSpec(
        name=SUCCEEDED_CHECK,
        asset=asset,
        description="Whether the last deferred sync succeeded, according to the polling sensor.",
    )


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
        if ratio is not None and not (isinstance(ratio, (int, float)) and 0 <= ratio <= 1):
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


@dataclass(frozen=True)
class RejectedRowsCheck:
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
        InvalidSettingError: If a limit or the severity is invalid.
    """

    max_failed_rows: int | None = None
    max_failed_ratio: float | None = None
    severity: str | dg.AssetCheckSeverity = "WARN"
    blocking: bool = False
    name: str = "rejected_rows"
    _limits: RowLimits = field(init=False, repr=False, compare=False)
    _description: str = field(init=False, repr=False, compare=False)
    _metadata: Metadata = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if isinstance(self.severity, dg.AssetCheckSeverity):
            object.__setattr__(self, "severity", self.severity.value)
        if self.severity not in ("WARN", "ERROR"):
            raise InvalidSettingError(
                f"severity {self.severity!r} of a rejected-rows check: expected 'WARN' or 'ERROR'."
            )
        if self.blocking and self.severity == "WARN":
            raise InvalidSettingError(
                "A rejected-rows check with blocking=True needs severity='ERROR': a warning blocks "
                "nothing."
            )
        limits = RowLimits(self.max_failed_rows, self.max_failed_ratio)
        object.__setattr__(self, "_limits", limits)
        # Built once: a workspace may have the check a thousand times.
        description = f"Rows that the destination rejected. Accepted: {limits.accepted}."
        object.__setattr__(self, "_description", description)
        object.__setattr__(self, "_metadata", {MetadataKey.LIMITS: self._limits_json()})

    @property
    def metadata(self) -> Metadata:
        """The limits, for the definition of the check and of its asset."""
        return self._metadata

    def spec(self, asset: dg.AssetKey) -> dg.AssetCheckSpec:
        """Return the definition of the check on an asset."""
        return dg.AssetCheckSpec(
            name=self.name,
            asset=asset,
            description=self._description,
            blocking=self.blocking,
            metadata=self._metadata,
        )

    def _limits_json(self) -> dg.MetadataValue:
        return dg.MetadataValue.json(
            {
                "max_failed_rows": self.max_failed_rows,
                "max_failed_ratio": self.max_failed_ratio,
                "severity": self.severity,
            }
        )

    @classmethod
    def from_spec(cls, spec: dg.AssetCheckSpec) -> RejectedRowsCheck | None:
        """Return the check that a definition was made from, or None for another kind of check."""
        limits = spec.metadata.get(MetadataKey.LIMITS) if spec.metadata else None
        data = limits.data if isinstance(limits, dg.JsonMetadataValue) else None
        if not isinstance(data, dict):
            return None
        return cls(**data, blocking=spec.blocking, name=spec.name)

    def result(self, asset: dg.AssetKey, sync: Sync) -> dg.AssetCheckResult:
        """Return the result of the check for a sync."""
        return self.result_of_counts(asset, failed=sync.rows_failed, succeeded=sync.rows_succeeded)

    def result_of_metadata(
        self, asset: dg.AssetKey, metadata: Mapping[str, dg.MetadataValue]
    ) -> dg.AssetCheckResult:
        """Return the result of the check for a sync that is known from its materialization."""
        return self.result_of_counts(
            asset,
            failed=_int_of(metadata.get(MetadataKey.ROWS_FAILED)),
            succeeded=_int_of(metadata.get(MetadataKey.ROWS_SUCCEEDED)),
        )

    def result_of_counts(
        self, asset: dg.AssetKey, *, failed: int | None, succeeded: int | None
    ) -> dg.AssetCheckResult:
        """Return the result of the check for numbers of rows. None means unknown."""
        reason = self._limits.exceeded(failed, succeeded)
        counts = {
            MetadataKey.ROWS_FAILED: number(failed),
            MetadataKey.ROWS_SUCCEEDED: number(succeeded),
        }
        return dg.AssetCheckResult(
            asset_key=asset,
            check_name=self.name,
            passed=reason is None,
            severity=dg.AssetCheckSeverity(self.severity),
            description=f"{reason or _passed_text(failed, succeeded)}.",
            metadata={key: value for key, value in counts.items() if value is not None},
        )


def _passed_text(failed: int | None, succeeded: int | None) -> str:
    if failed is None:
        return "RudderStack does not report how many rows were rejected"
    return _rejected_text(failed, succeeded) if failed else "No row was rejected"


def _int_of(value: dg.MetadataValue | None) -> int | None:
    return value.value if isinstance(value, dg.IntMetadataValue) else None

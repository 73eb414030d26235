"""What all checks of a sync share: their severity, their definition and their result."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import dagster as dg

from dagster_rudderstack.api.models import Sync
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.metadata import Metadata, MetadataKey, report_metadata, sync_metadata
from dagster_rudderstack.sync.request import SyncReport
from dagster_rudderstack.text import escaped_markdown, identifier, shown

__all__ = ["SyncCheck", "int_of"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SyncCheck(ABC):
    """An asset check of a sync that succeeded.

    It reads the metadata of the sync's materialization, so that steps, the polling sensor and a
    later run of the check have the same result. What RudderStack does not report fails no check.

    Attributes:
        severity: `WARN` or `ERROR`, or Dagster's `AssetCheckSeverity`.
        blocking: Whether a failure with the severity `ERROR` fails the step and blocks the
            downstream assets.
        name: Name of the check.

    Raises:
        InvalidSettingError: If the severity, `blocking` or the name is invalid.
    """

    severity: str | dg.AssetCheckSeverity = "WARN"
    blocking: bool = False
    name: str

    kind: ClassVar[str]
    """The name of the check in `SyncChecks`."""
    evidence: ClassVar[tuple[str, ...]]
    """The entries of the sync's metadata that the result repeats."""

    def __post_init__(self) -> None:
        kind = type(self).__name__
        if isinstance(self.severity, dg.AssetCheckSeverity):
            object.__setattr__(self, "severity", self.severity.value)
        if self.severity not in ("WARN", "ERROR"):
            raise InvalidSettingError(
                f"severity {shown(self.severity)} of a {kind}: expected 'WARN' or 'ERROR'."
            )
        if not isinstance(self.blocking, bool):
            raise InvalidSettingError(
                f"blocking {shown(self.blocking)} of a {kind}: expected True or False."
            )
        if self.blocking and self.severity == "WARN":
            raise InvalidSettingError(
                f"A {kind} with blocking=True needs severity='ERROR': a warning blocks nothing."
            )
        # Dagster makes the name of an output of it.
        name: object = self.name
        if not isinstance(name, str) or not name or identifier(name) != name:
            raise InvalidSettingError(
                f"name {shown(name)} of a {kind}: expected letters, digits and '_'."
            )

    @property
    @abstractmethod
    def description(self) -> str:
        """What the check is about, and what it accepts."""

    @abstractmethod
    def judge(self, metadata: Mapping[str, dg.MetadataValue]) -> tuple[bool, str]:
        """Return whether a sync with this metadata passes, and why, in sentences."""

    def spec(
        self, asset: dg.AssetKey, partitions_def: dg.PartitionsDefinition[str] | None = None
    ) -> dg.AssetCheckSpec:
        """Return the definition of the check on an asset.

        Args:
            asset: The asset.
            partitions_def: The partitions of the asset, of which each gets a result of its own.
                Dagster has this from 1.12.13. None: the results are those of the whole asset.
        """
        # Older releases do not know the argument.
        partitions: dict[str, Any] = {}
        if partitions_def is not None:
            partitions["partitions_def"] = partitions_def
        return dg.AssetCheckSpec(
            name=self.name,
            asset=asset,
            description=self._description,
            blocking=self.blocking,
            metadata=self._metadata,
            **partitions,
        )

    def result(self, asset: dg.AssetKey, sync: Sync) -> dg.AssetCheckResult:
        """Return the result of the check for a sync, such as a report of `sync_and_poll`."""
        metadata = (
            report_metadata(sync) if isinstance(sync, SyncReport) else sync_metadata(sync, "")
        )
        return self.result_of_metadata(asset, metadata)

    def result_of_metadata(
        self, asset: dg.AssetKey, metadata: Mapping[str, dg.MetadataValue]
    ) -> dg.AssetCheckResult:
        """Return the result of the check for a sync that is known from its materialization."""
        passed, description = self.judge(metadata)
        return dg.AssetCheckResult(
            asset_key=asset,
            check_name=self.name,
            passed=passed,
            severity=dg.AssetCheckSeverity(self.severity),
            description=description,
            metadata={key: metadata[key] for key in self.evidence if key in metadata},
        )

    def no_sync(self, asset: dg.AssetKey, partition: str | None = None) -> dg.AssetCheckResult:
        """Return the result of the check for an asset that was never materialized: a warning.

        Args:
            asset: The asset.
            partition: The partition that was never materialized. None: no partition was.
        """
        what = "the asset"
        if partition is not None:
            what = f"partition {escaped_markdown(partition)} of the asset"
        return dg.AssetCheckResult(
            asset_key=asset,
            check_name=self.name,
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"There is no sync to check yet: {what} was never materialized.",
        )

    @property
    def settings(self) -> dict[str, Any]:
        """The limits and the severity, which Dagster's definition of a check does not have."""
        in_spec = ("name", "blocking")
        fields = [each.name for each in dataclasses.fields(self) if each.name not in in_spec]
        return {name: getattr(self, name) for name in fields}

    # Built once: a workspace may have the check a thousand times.

    @cached_property
    def _description(self) -> str:
        return self.description

    @cached_property
    def _metadata(self) -> Metadata:
        return {MetadataKey.CHECKS: dg.MetadataValue.json({self.kind: self.settings})}


def int_of(metadata: Mapping[str, dg.MetadataValue], key: str) -> int | None:
    """Return a whole number in the metadata of a sync. None if RudderStack does not report it."""
    value = metadata.get(key)
    return value.value if isinstance(value, dg.IntMetadataValue) else None

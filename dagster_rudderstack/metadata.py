"""What a sync looks like in Dagster: one builder, used by assets, ops, sensors and failures alike.

Numbers are numbers, so that Dagster plots them; what is unknown is left out, not shown as 0. The
keys are promised: dashboards and alerts are built on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from dagster_rudderstack.api.models import Sync
from dagster_rudderstack.errors import InvalidSettingError, RudderStackError, SyncError
from dagster_rudderstack.settings import RejectedRows
from dagster_rudderstack.sync.life import SyncReport
from dagster_rudderstack.text import one_line

__all__ = ["MetadataKey", "RejectedRowsCheck", "failure_from", "sync_metadata"]


class MetadataKey:
    """The keys of everything that this library writes into Dagster."""

    CONNECTION_ID = "rudderstack/connection_id"
    SYNC_ID = "rudderstack/sync_id"
    SYNC_TYPE = "rudderstack/sync_type"
    STATUS = "rudderstack/status"
    ORIGIN = "rudderstack/origin"
    """`started`, `adopted`, `attached`, `resumed`, or `observed` for a sync that Dagster did not
    start."""
    STARTED_AT = "rudderstack/started_at"
    FINISHED_AT = "rudderstack/finished_at"
    DURATION = "rudderstack/duration_seconds"
    ROWS_TOTAL = "rudderstack/rows_total"
    ROWS_CHANGED = "rudderstack/rows_changed"
    ROWS_SUCCEEDED = "rudderstack/rows_succeeded"
    ROWS_FAILED = "rudderstack/rows_failed"
    SUCCESS_RATIO = "rudderstack/success_ratio"
    NOTHING_CHANGED = "rudderstack/nothing_changed"
    """True if the sync succeeded without a row to send: nothing to do is told from done."""
    ERROR = "rudderstack/error"
    LINK = "rudderstack/link"
    # In definitions: what a connection is.
    SOURCE_ID = "rudderstack/source_id"
    SOURCE_NAME = "rudderstack/source_name"
    SOURCE_TYPE = "rudderstack/source_type"
    SOURCE_TABLES = "rudderstack/source_tables"
    WAREHOUSE = "rudderstack/warehouse"
    DESTINATION_ID = "rudderstack/destination_id"
    DESTINATION_NAME = "rudderstack/destination_name"
    DESTINATION_TYPE = "rudderstack/destination_type"
    OBJECT = "rudderstack/object"
    SYNC_BEHAVIOUR = "rudderstack/sync_behaviour"
    SCHEDULE = "rudderstack/schedule"
    CURSOR_COLUMN = "rudderstack/cursor_column"
    ENABLED = "rudderstack/enabled"
    # What an attempt leaves for the next one.
    STEP_STATE = "rudderstack/step_state"
    STEP = "rudderstack/step"
    PARTITION = "rudderstack/partition"
    OWNED = "rudderstack/owned"
    KNOWN_SYNC_IDS = "rudderstack/known_sync_ids"
    RETRYABLE = "rudderstack/retryable"
    RETRY_NUMBER = "rudderstack/retry_number"
    """The attempt of the step, counted from 0, that the body of the step told the result to."""
    DEADLINE = "rudderstack/deadline"
    """When the timeout of a deferred sync passes."""
    STOPPED_BY = "rudderstack/stopped_by"
    """What had RudderStack stop a deferred sync: `timeout`, or the id of the run that a person
    launched for it."""
    # In definitions, so that a polling sensor knows what to do.
    DEFERRED = "rudderstack/deferred"
    LIMITS = "rudderstack/limits"
    """What a check on rejected rows accepts."""
    # In the failure of a step with many syncs.
    FAILED_SYNCS = "rudderstack/failed_syncs"


Metadata = dict[str, dg.MetadataValue]

_COLUMN_KEYS = ("dagster/column_schema", "dagster/column_lineage")


def column_metadata(definition: Mapping[str, object]) -> dict[str, Any]:
    """Return what an asset's definition tells of its columns, for its materializations.

    Dagster looks for the lineage of columns in both.
    """
    return {key: definition[key] for key in _COLUMN_KEYS if key in definition}


SUCCEEDED_CHECK = "sync_succeeded"
"""Name of the check that tells how a deferred sync ended: there is no step to fail."""


def sync_metadata(
    sync: Sync | None,
    connection_id: str,
    *,
    sync_type: str | None = None,
    origin: str | None = None,
    link_template: str | None = None,
) -> Metadata:
    """Return the metadata of a sync; `sync` None: only the connection is known."""
    facts: dict[str, dg.MetadataValue | None] = {
        # The first entry is what the UI shows of a failure that a RetryPolicy has wrapped.
        MetadataKey.ERROR: _text(one_line(sync.error, 2000) if sync and sync.error else None),
        MetadataKey.CONNECTION_ID: dg.MetadataValue.text(connection_id),
        MetadataKey.SYNC_TYPE: _text(sync_type),
        MetadataKey.ORIGIN: _text(origin),
        MetadataKey.LINK: _link(link_template, connection_id, sync.id if sync else None),
    }
    if sync is not None:
        facts |= _facts_of(sync)
    return {key: value for key, value in facts.items() if value is not None}


def report_metadata(report: SyncReport, link_template: str | None = None) -> Metadata:
    """Return the metadata of a sync that we waited for."""
    return sync_metadata(
        report,
        report.connection_id,
        sync_type=report.sync_type,
        origin=report.origin,
        link_template=link_template,
    )


def _facts_of(sync: Sync) -> dict[str, dg.MetadataValue | None]:
    started, finished = sync.started_at, sync.finished_at
    succeeded = sync.state.value == "succeeded"
    sent = (sync.rows_succeeded, sync.rows_failed, sync.rows_changed)
    return {
        MetadataKey.SYNC_ID: dg.MetadataValue.text(sync.id),
        MetadataKey.STATUS: dg.MetadataValue.text(sync.status),
        MetadataKey.STARTED_AT: dg.MetadataValue.timestamp(started) if started else None,
        MetadataKey.FINISHED_AT: dg.MetadataValue.timestamp(finished) if finished else None,
        MetadataKey.DURATION: _number(sync.duration_seconds),
        MetadataKey.ROWS_TOTAL: _number(sync.rows_total),
        MetadataKey.ROWS_CHANGED: _number(sync.rows_changed),
        MetadataKey.ROWS_SUCCEEDED: _number(sync.rows_succeeded),
        MetadataKey.ROWS_FAILED: _number(sync.rows_failed),
        MetadataKey.SUCCESS_RATIO: _number(sync.success_ratio),
        MetadataKey.NOTHING_CHANGED: dg.MetadataValue.bool(True)
        if succeeded and sync.rows_changed == 0 and not any(sent)
        else None,
    }


def _text(value: str | None) -> dg.MetadataValue | None:
    return None if value is None else dg.MetadataValue.text(value)


def _number(value: float | None) -> dg.MetadataValue | None:
    if value is None:
        return None
    return dg.MetadataValue.int(value) if isinstance(value, int) else dg.MetadataValue.float(value)


def _link(template: str | None, connection_id: str, sync_id: str | None) -> dg.MetadataValue | None:
    if template is None or (sync_id is None and "{sync_id}" in template):
        return None
    url = template.replace("{connection_id}", connection_id).replace("{sync_id}", sync_id or "")
    return dg.MetadataValue.url(url)


def failure_from(
    error: RudderStackError, connection_id: str | None = None, link_template: str | None = None
) -> dg.Failure:
    """Return Dagster's failure for an error of ours: the reason, the ids, the counts, the link.

    Dagster is not asked to retry what a retry cannot mend.
    """
    sync = error.sync if isinstance(error, SyncError) else None
    about = error.connection_id if isinstance(error, SyncError) else connection_id
    metadata = sync_metadata(sync, about, link_template=link_template) if about else {}
    return dg.Failure(description=error.message, metadata=metadata, allow_retries=error.retryable)


@dataclass(frozen=True)
class RejectedRowsCheck:
    """An asset check on the rows that the destination rejected.

    With no limit given it fails on the first rejected row. A count that RudderStack does not report
    is unknown, and never fails a good sync.

    Attributes:
        max_failed_rows: rows that may be rejected; None sets no limit.
        max_failed_ratio: of the rows sent, 0.0 to 1.0; None sets no limit.
        severity: `WARN` or `ERROR`, or Dagster's `AssetCheckSeverity`.
        blocking: whether a failure with severity ERROR fails the step and holds back the assets
            downstream.
        name: of the check.
    """

    max_failed_rows: int | None = None
    max_failed_ratio: float | None = None
    severity: str | dg.AssetCheckSeverity = "WARN"
    blocking: bool = False
    name: str = "rejected_rows"
    _limits: RejectedRows = field(init=False, repr=False, compare=False)
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
                "blocking True of a rejected-rows check with the severity 'WARN', which holds back "
                "nothing: expected severity='ERROR'."
            )
        limits = RejectedRows(self.max_failed_rows, self.max_failed_ratio)
        object.__setattr__(self, "_limits", limits)
        # Made once: a workspace has the check a thousand times.
        description = f"Rows that the destination rejected: {limits.description}."
        object.__setattr__(self, "_description", description)
        metadata = {MetadataKey.LIMITS: dg.MetadataValue.json(self._limits_json())}
        object.__setattr__(self, "_metadata", metadata)

    def spec(self, asset: dg.AssetKey) -> dg.AssetCheckSpec:
        """Return the definition of the check on an asset."""
        return dg.AssetCheckSpec(
            name=self.name,
            asset=asset,
            description=self._description,
            blocking=self.blocking,
            metadata=self._metadata,
        )

    def _limits_json(self) -> dict[str, object]:
        return {
            "max_failed_rows": self.max_failed_rows,
            "max_failed_ratio": self.max_failed_ratio,
            "severity": self.severity,
        }

    @classmethod
    def from_spec(cls, spec: dg.AssetCheckSpec) -> RejectedRowsCheck | None:
        """Return the check that a definition was made from; None if it is another kind of check."""
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
        """Return the result of the check for counts of rows; None: unknown."""
        reason = self._limits.exceeded(failed, succeeded)
        counts = {
            MetadataKey.ROWS_FAILED: _number(failed),
            MetadataKey.ROWS_SUCCEEDED: _number(succeeded),
        }
        return dg.AssetCheckResult(
            asset_key=asset,
            check_name=self.name,
            passed=reason is None,
            severity=dg.AssetCheckSeverity(self.severity),
            description=reason or _passed_text(failed),
            metadata={key: value for key, value in counts.items() if value is not None},
        )


def _passed_text(failed: int | None) -> str:
    if failed is None:
        return "RudderStack does not report how many rows were rejected"
    return f"{failed} rows were rejected"


def _int_of(value: dg.MetadataValue | None) -> int | None:
    return value.value if isinstance(value, dg.IntMetadataValue) else None

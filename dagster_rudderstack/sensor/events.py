"""What a polling sensor says to Dagster: events, and requests for runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from dagster_rudderstack.errors import SyncError
from dagster_rudderstack.metadata import (
    SUCCEEDED_CHECK,
    Metadata,
    MetadataKey,
    RejectedRowsCheck,
    sync_metadata,
)
from dagster_rudderstack.sensor.detect import Finding, Wanted, digest
from dagster_rudderstack.sync.decisions import BY_TIMEOUT, failure_of_deferred
from dagster_rudderstack.sync.life import StopOutcome

__all__ = [
    "Event",
    "Watch",
    "events_of",
    "failure_requests",
    "is_deferred_failure",
    "obstacle_to_run",
    "overdue_events",
    "partitions_of",
    "start_request",
]

Event = dg.AssetMaterialization | dg.AssetObservation | dg.AssetCheckEvaluation


@dataclass(frozen=True)
class Watch:
    """An asset and its connection.

    Attributes:
        connection_id: the connection.
        key: the asset.
        check: on rejected rows; None: there is none.
        op_name: the step that syncs it; None: none does.
        deferred: whether that step leaves its syncs to the sensor.
        partitions_def: of the asset; None: not partitioned.
        columns: what the asset's definition tells of its columns; see `column_metadata`.
    """

    connection_id: str
    key: dg.AssetKey
    check: RejectedRowsCheck | None = None
    op_name: str | None = None
    deferred: bool = False
    partitions_def: dg.PartitionsDefinition[str] | None = None
    columns: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def has_runs(self) -> bool:
        """Whether its runs take what a sensor tells them: the step is known, and does not wait."""
        return self.deferred and self.op_name is not None


def events_of(
    finding: Finding,
    watch: Watch,
    partitions: Sequence[str | None],
    link_template: str | None = None,
) -> list[Event]:
    """Return what tells how a sync has ended.

    Args:
        finding: the sync.
        watch: its asset.
        partitions: that it was about; see `partitions_of`.
        link_template: of its page in RudderStack's dashboard.
    """
    metadata = _metadata(finding, link_template)
    failure = _failure(finding)
    if failure is not None:
        metadata |= _stopped_by(finding)
        observations = _observations(watch, partitions, failure.message, metadata)
        return [*observations, *_succeeded(watch, failure.message, passed=False)]
    text = f"Sync {finding.sync.id}, {_ORIGIN_TEXTS[_origin(finding)]}."
    metadata = {**watch.columns, **metadata}
    return [
        *(
            dg.AssetMaterialization(watch.key, description=text, metadata=metadata, partition=each)
            for each in partitions
        ),
        *([_evaluation(watch.check.result(watch.key, finding.sync))] if watch.check else []),
        *_succeeded(watch, text, passed=True),
    ]


def _failure(finding: Finding) -> SyncError | None:
    stopped_by = finding.ours.stopped_by if finding.ours else None
    return failure_of_deferred(finding.sync, finding.connection_id, stopped_by)


def _stopped_by(finding: Finding) -> Metadata:
    stopped_by = finding.ours.stopped_by if finding.ours else None
    return {MetadataKey.STOPPED_BY: dg.MetadataValue.text(stopped_by)} if stopped_by else {}


def _is_stopped_as_asked(finding: Finding) -> bool:
    return finding.ours is not None and finding.ours.stopped_by not in (None, BY_TIMEOUT)


def overdue_events(
    finding: Finding,
    watch: Watch,
    partitions: Sequence[str | None],
    outcome: StopOutcome | None,
    link_template: str | None = None,
) -> list[Event]:
    """Return what tells that a deferred sync is not over within its timeout.

    Args:
        finding: the sync.
        watch: its asset.
        partitions: that it was about; see `partitions_of`.
        outcome: what came of stopping it; None: it was not to be stopped.
        link_template: of its page in RudderStack's dashboard.
    """
    fate = outcome.value if outcome else "it was left running"
    text = (
        f"Sync {finding.sync.id} of connection {finding.connection_id} was not over within its "
        f"timeout: {fate}."
    )
    metadata = _metadata(finding, link_template)
    deadline = finding.ours.deadline if finding.ours else None
    metadata[MetadataKey.DEADLINE] = dg.MetadataValue.timestamp(deadline or 0.0)
    if outcome is StopOutcome.REQUESTED:
        metadata[MetadataKey.STOPPED_BY] = dg.MetadataValue.text(BY_TIMEOUT)
    observations = _observations(watch, partitions, text, metadata)
    return [*observations, *_succeeded(watch, text, passed=False)]


def _observations(
    watch: Watch, partitions: Sequence[str | None], text: str, metadata: Metadata
) -> list[dg.AssetObservation]:
    return [
        dg.AssetObservation(watch.key, description=text, metadata=metadata, partition=each)
        for each in partitions
    ]


_ORIGIN_TEXTS = {
    "observed": "started outside of Dagster",
    "started": "started by a step that did not wait for it",
    "attached": "found running by a step that did not wait for it",
}


def _origin(finding: Finding) -> str:
    if finding.ours is None:
        return "observed"
    return "started" if finding.ours.owned else "attached"


def _metadata(finding: Finding, link_template: str | None) -> Metadata:
    return sync_metadata(
        finding.sync,
        finding.connection_id,
        sync_type=finding.ours.sync_type if finding.ours else None,
        origin=_origin(finding),
        link_template=link_template,
    )


def _succeeded(watch: Watch, text: str, *, passed: bool) -> list[dg.AssetCheckEvaluation]:
    if not watch.deferred:
        return []
    return [
        dg.AssetCheckEvaluation(
            asset_key=watch.key, check_name=SUCCEEDED_CHECK, passed=passed, description=text
        )
    ]


def _evaluation(result: dg.AssetCheckResult) -> dg.AssetCheckEvaluation:
    if result.asset_key is None or result.check_name is None:
        raise ValueError("A check's result needs its asset and its name.")
    return dg.AssetCheckEvaluation(
        asset_key=result.asset_key,
        check_name=result.check_name,
        passed=result.passed,
        metadata=result.metadata,
        severity=result.severity,
        description=result.description,
    )


def partitions_of(
    finding: Finding, watch: Watch, instance: dg.DagsterInstance
) -> list[str | None] | None:
    """Return the partitions that a sync was about; [None]: the whole asset.

    None: a range that the asset does not have, or has no more.
    """
    partition = finding.ours.partition if finding.ours else None
    bounds = _range_of(partition)
    if bounds is None or watch.partitions_def is None:
        return [partition]
    return _keys_between(bounds, watch.partitions_def, instance)


def _keys_between(
    bounds: tuple[str, str],
    partitions_def: dg.PartitionsDefinition[str],
    instance: dg.DagsterInstance,
) -> list[str | None] | None:
    """Return the keys of a range, both bounds included; None: a bound is no key."""
    try:
        # Keys of dynamic partitions are in the instance.
        with dg.partition_loading_context(dynamic_partitions_store=instance):
            return list(partitions_def.get_partition_keys_in_range(dg.PartitionKeyRange(*bounds)))
    except Exception:  # noqa: BLE001 - each kind of partitions refuses a key in its own way
        return None


def _range_of(partition: str | None) -> tuple[str, str] | None:
    start, dots, end = (partition or "").partition("...")
    return (start, end) if dots else None


# --- runs


def obstacle_to_run(
    watch: Watch, partition: str | None, instance: dg.DagsterInstance
) -> str | None:
    """Return why a sensor cannot request a run of an asset; None: it can."""
    if not watch.has_runs:
        return (
            "the sensor has no definition of it with wait=False; give it the definition in "
            "`assets`, not the spec"
        )
    if partition is not None and not _has(watch, partition, instance):
        return f"the asset has no partition {partition} any more"
    return None


def _has(watch: Watch, partition: str, instance: dg.DagsterInstance) -> bool:
    bounds = _range_of(partition) or (partition, partition)
    return watch.partitions_def is not None and bool(
        _keys_between(bounds, watch.partitions_def, instance)
    )


def start_request(watch: Watch, wanted: Wanted) -> dg.RunRequest:
    """Return the run that starts a sync which had to wait for the end of another one."""
    config = {"sync_type": wanted.sync_type} if wanted.sync_type else {}
    what = digest(f"{watch.key.to_string()} {wanted.partition} {wanted.after_sync_id}", _KEY_LENGTH)
    return _request(f"rudderstack-wanted-{what}", [watch], config, wanted.partition)


def failure_requests(findings: Iterable[tuple[Finding, Watch]]) -> list[dg.RunRequest]:
    """Return the runs that fail for deferred syncs which have failed, one for each step.

    What a person has had stopped alerts nobody.
    """
    groups: dict[tuple[str | None, str | None], list[tuple[Finding, Watch]]] = {}
    for finding, watch in findings:
        if is_deferred_failure(finding):
            partition = finding.ours.partition if finding.ours else None
            groups.setdefault((watch.op_name, partition), []).append((finding, watch))
    return [_failure_request(group, partition) for (_, partition), group in groups.items()]


def is_deferred_failure(finding: Finding) -> bool:
    """Whether a sync that nobody waited for is over, and neither succeeded nor stopped as asked."""
    is_deferred = finding.ours is not None and finding.ours.deferred and not finding.overdue
    return is_deferred and not _is_stopped_as_asked(finding) and _failure(finding) is not None


def _failure_request(
    group: Sequence[tuple[Finding, Watch]], partition: str | None
) -> dg.RunRequest:
    sync_ids = {finding.connection_id: finding.sync.id for finding, _ in group}
    what = digest(" ".join(sorted(sync_ids.values())), _KEY_LENGTH)
    config = {"action": "report", "sync_ids": sync_ids}
    watches = [watch for _, watch in group]
    # The sync is over: whatever a retry of this run did, it would not be a retry of the sync.
    tags = {"dagster/max_retries": "0"}
    return _request(f"rudderstack-failed-{what}", watches, config, partition, tags)


_KEY_LENGTH = 22
"""Digits of base 64 of the key that lets Dagster launch each run once."""


def _request(
    run_key: str,
    watches: Sequence[Watch],
    config: Mapping[str, object],
    partition: str | None,
    tags: Mapping[str, str] | None = None,
) -> dg.RunRequest:
    bounds = _range_of(partition)
    range_tags = (
        {
            "dagster/asset_partition_range_start": bounds[0],
            "dagster/asset_partition_range_end": bounds[1],
        }
        if bounds
        else {}
    )
    return dg.RunRequest(
        run_key=run_key,
        run_config={"ops": {watches[0].op_name: {"config": config}}} if config else None,
        asset_selection=[watch.key for watch in watches],
        partition_key=None if bounds else partition,
        tags={**(tags or {}), **range_tags},
    )

"""What a polling sensor reports to Dagster: events of assets, and requests for runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

import dagster as dg

from dagster_rudderstack.checks.sync_checks import identity_of, sync_succeeded_result
from dagster_rudderstack.errors import SyncError
from dagster_rudderstack.metadata import Metadata, MetadataKey, sync_metadata
from dagster_rudderstack.sensor.cursor import digest
from dagster_rudderstack.sensor.detect import Finding
from dagster_rudderstack.sensor.watch import Watch
from dagster_rudderstack.step.deferred import FAILED_SYNCS_TAG
from dagster_rudderstack.sync.decisions import failure_of, stopped_by_timeout
from dagster_rudderstack.sync.failed_rows import FailedRows
from dagster_rudderstack.sync.stop import StopOutcome
from dagster_rudderstack.text import escaped_markdown

__all__ = [
    "Event",
    "events_of",
    "failure_requests",
    "is_deferred_failure",
    "obstacle_to_run",
    "overdue_events",
    "partitions_of",
    "partitions_of_runs",
]

Event = dg.AssetMaterialization | dg.AssetObservation | dg.AssetCheckEvaluation


def events_of(
    finding: Finding,
    watch: Watch,
    partitions: Sequence[str | None],
    link_template: str | None = None,
    failed_rows: FailedRows | None = None,
) -> list[Event]:
    """Return the events that report how a sync has ended.

    Args:
        finding: The sync.
        watch: Its asset.
        partitions: The partitions that it was about, see `partitions_of`.
        link_template: The address of a sync's page in RudderStack's dashboard.
        failed_rows: How to list its rejected rows. None if there are none.
    """
    metadata = _metadata(finding, link_template, failed_rows)
    failure = _failure(finding, watch)
    if failure is not None:
        text = escaped_markdown(failure.message)
        observations = _observations(watch, partitions, text, metadata)
        return [*observations, *_succeeded(watch, text, metadata, passed=False)]
    text = escaped_markdown(_origin_text(finding))
    metadata = {**metadata, **watch.columns}
    return [
        *(
            dg.AssetMaterialization(watch.key, description=text, metadata=metadata, partition=each)
            for each in partitions
        ),
        *(
            _evaluation(each.result_of_metadata(watch.key, metadata), metadata)
            for each in watch.checks
        ),
        *_succeeded(watch, text, metadata, passed=True),
    ]


def _failure(finding: Finding, watch: Watch) -> SyncError | None:
    failure = failure_of(finding.sync, watch.request)
    if failure is not None and finding.recorded and finding.recorded.timed_out:
        # RudderStack says only that the sync failed.
        return stopped_by_timeout(finding.sync, watch.request)
    return failure


def overdue_events(
    finding: Finding,
    watch: Watch,
    partitions: Sequence[str | None],
    outcome: StopOutcome | None,
    link_template: str | None = None,
) -> list[Event]:
    """Return the events that report that a deferred sync is not over within its timeout.

    Args:
        finding: The sync.
        watch: Its asset.
        partitions: The partitions that it is about, see `partitions_of`.
        outcome: What its stop achieved. None if it was not to be stopped.
        link_template: The address of a sync's page in RudderStack's dashboard.
    """
    what = outcome.value if outcome else "it was left running"
    text = escaped_markdown(
        f"Sync {finding.sync.id} of connection {watch.request.label} did not end within its "
        f"timeout: {what}."
    )
    metadata = _metadata(finding, link_template)
    deadline = finding.recorded.deadline if finding.recorded else None
    metadata[MetadataKey.DEADLINE] = dg.MetadataValue.timestamp(deadline or 0.0)
    if outcome is StopOutcome.REQUESTED:
        metadata[MetadataKey.STOPPED_BY] = dg.MetadataValue.text("timeout")
    observations = _observations(watch, partitions, text, metadata)
    return [*observations, *_succeeded(watch, text, metadata, passed=False)]


def _observations(
    watch: Watch, partitions: Sequence[str | None], text: str, metadata: Metadata
) -> list[dg.AssetObservation]:
    return [
        dg.AssetObservation(watch.key, description=text, metadata=metadata, partition=each)
        for each in partitions
    ]


_ORIGIN_TEXTS = {
    "observed": "Sync {id} succeeded. It was started outside Dagster.",
    "started": "Sync {id} succeeded. The step that started it did not wait for it.",
    "attached": "Sync {id} succeeded. The step that attached to it did not wait for it.",
}

_WAITED_TEXTS = {
    "started": "Sync {id} succeeded. The step that started it had already ended.",
    "attached": "Sync {id} succeeded. The step that attached to it had already ended.",
}


def _origin_text(finding: Finding) -> str:
    is_awaited = finding.recorded is not None and not finding.recorded.deferred
    texts = _WAITED_TEXTS if is_awaited else _ORIGIN_TEXTS
    return texts[_origin(finding)].format(id=finding.sync.id)


def _origin(finding: Finding) -> str:
    if finding.recorded is None:
        return "observed"
    return "started" if finding.recorded.owned else "attached"


def _metadata(
    finding: Finding, link_template: str | None, failed_rows: FailedRows | None = None
) -> Metadata:
    recorded = finding.recorded
    metadata = sync_metadata(
        finding.sync,
        finding.connection_id,
        # A step that attached to another client's sync has recorded what it asked for itself.
        sync_type=recorded.sync_type if recorded and recorded.owned else None,
        origin=_origin(finding),
        link_template=link_template,
        failed_rows=failed_rows,
    )
    if recorded and recorded.run_id:
        metadata[MetadataKey.DAGSTER_RUN] = dg.MetadataValue.dagster_run(recorded.run_id)
    return metadata


def _succeeded(
    watch: Watch, text: str, metadata: Metadata, *, passed: bool
) -> list[dg.AssetCheckEvaluation]:
    if not watch.deferred:
        return []
    result = sync_succeeded_result(watch.key, text, metadata, passed=passed)
    return [_evaluation(result, metadata)]


def _evaluation(
    result: dg.AssetCheckResult, metadata: Mapping[str, dg.MetadataValue]
) -> dg.AssetCheckEvaluation:
    """Return the result of a check as a sensor reports it.

    It names its sync. Dagster adds the materialization only to the results of steps: those of a
    sensor are stored together with it, after the tick.
    """
    if result.asset_key is None or result.check_name is None:
        raise ValueError("A check's result needs its asset and its name.")
    return dg.AssetCheckEvaluation(
        asset_key=result.asset_key,
        check_name=result.check_name,
        passed=result.passed,
        metadata={**result.metadata, **identity_of(metadata)},
        severity=result.severity,
        description=result.description,
    )


# --- partitions


def partitions_of_runs(finding: Finding, watch: Watch) -> list[str | None]:
    """Return the partitions of the steps that recorded a sync: keys, and `first...last` of ranges.

    Returns [None] if they have none. An asset without partitions has none in a partitioned run
    either.
    """
    if watch.is_defined and watch.partitions_def is None:
        return [None]
    partitions = finding.recorded.partitions if finding.recorded else ()
    return list(partitions) or [None]


def partitions_of(
    finding: Finding, watch: Watch, instance: dg.DagsterInstance
) -> list[str | None] | None:
    """Return the partitions that a sync was about, or [None] for the whole asset.

    Returns None for a range that the asset does not have, or no longer has.
    """
    found: dict[str | None, None] = {}
    for partition in partitions_of_runs(finding, watch):
        bounds = _range_of(partition)
        if bounds is None or watch.partitions_def is None:
            found[partition] = None
            continue
        keys = _keys_between(bounds, watch.partitions_def, instance)
        if keys is None:
            return None
        found.update(dict.fromkeys(keys))
    return list(found)


def _keys_between(
    bounds: tuple[str, str],
    partitions_def: dg.PartitionsDefinition[str],
    instance: dg.DagsterInstance,
) -> list[str | None] | None:
    """Return the keys of a range, both bounds included. None if a bound is not a key."""
    try:
        # The keys of dynamic partitions are in the instance.
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
    """Return why the sensor cannot request a run of an asset. None if it can."""
    if not watch.has_runs:
        return "the sensor needs the asset's definition; pass it in `assets` instead of the spec"
    if partition is not None and not _has(watch, partition, instance):
        return f"the asset no longer has partition {partition}"
    return None


def _has(watch: Watch, partition: str, instance: dg.DagsterInstance) -> bool:
    bounds = _range_of(partition) or (partition, partition)
    return watch.partitions_def is not None and bool(
        _keys_between(bounds, watch.partitions_def, instance)
    )


def is_deferred_failure(finding: Finding, watch: Watch) -> bool:
    """Whether a sync that no step waited for is over and did not succeed."""
    is_deferred = finding.recorded is not None and finding.recorded.deferred
    return is_deferred and not finding.overdue and _failure(finding, watch) is not None


def failure_requests(
    findings: Iterable[tuple[Finding, Watch, str | None]],
) -> list[dg.RunRequest]:
    """Return the runs that fail for failed deferred syncs, one for each step and partition.

    Args:
        findings: The syncs, each with its asset and one of the `partitions_of_runs`.
    """
    groups: dict[tuple[str | None, str | None], list[tuple[Finding, Watch]]] = {}
    for finding, watch, partition in findings:
        groups.setdefault((watch.op_name, partition), []).append((finding, watch))
    return [_failure_request(group, partition) for (_, partition), group in groups.items()]


_KEY_LENGTH = 22
"""Base-64 digits of the run key, by which Dagster launches each run once."""


def _failure_request(
    group: Sequence[tuple[Finding, Watch]], partition: str | None
) -> dg.RunRequest:
    sync_ids = {finding.connection_id: finding.sync.id for finding, _ in group}
    what = digest(" ".join([*sorted(sync_ids.values()), partition or ""]).strip(), _KEY_LENGTH)
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
        run_key=f"rudderstack-failed-{what}",
        asset_selection=[watch.key for _, watch in group],
        # A run that plans checks and fails before them would hide their last results.
        asset_check_keys=[],
        partition_key=None if bounds else partition,
        tags={
            FAILED_SYNCS_TAG: json.dumps(sync_ids),
            # The sync is over, so a retry of this run would not be a retry of the sync.
            "dagster/max_retries": "0",
            **range_tags,
        },
    )

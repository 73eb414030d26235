"""Evaluates checks without a sync: they are about the last one that was reported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter

import dagster as dg

from dagster_rudderstack.checks.base import SyncCheck
from dagster_rudderstack.checks.sync_checks import SUCCEEDED_CHECK, sync_succeeded_result
from dagster_rudderstack.metadata import MetadataKey

__all__ = ["rechecked", "rechecked_end"]

EVENTS_READ = 50
"""How many events of an asset are read to find the newest that reports a sync. Others report what a
person or another program has done, or that a sync could not be started."""


def rechecked(
    checks: Iterable[SyncCheck],
    key: dg.AssetKey,
    instance: dg.DagsterInstance,
    partition: str | None,
) -> Iterator[dg.AssetCheckResult]:
    """Return the results of checks for the last materialization of an asset that reports a sync.

    Args:
        checks: The checks.
        key: The asset.
        instance: Dagster's instance.
        partition: The partition to look at. None looks at the last sync of all.
    """
    found = _newest_report(instance.fetch_materializations, key, partition)
    for check in checks:
        if found is None:
            yield check.no_sync(key, partition)
        else:
            yield check.result_of_metadata(key, found[1].metadata)


def rechecked_end(
    key: dg.AssetKey, instance: dg.DagsterInstance, partition: str | None
) -> dg.AssetCheckResult:
    """Return the result of the check on the last deferred sync: as it was reported.

    Args:
        key: The asset.
        instance: Dagster's instance.
        partition: The partition to look at. None looks at the last sync of all.
    """
    fetches = (instance.fetch_materializations, instance.fetch_observations)
    newest = [_newest_report(fetch, key, partition) for fetch in fetches]
    found = [each for each in newest if each is not None]
    if not found:
        return dg.AssetCheckResult(
            asset_key=key,
            check_name=SUCCEEDED_CHECK,
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            description="There is no sync to check yet: no sync of the asset was reported.",
        )
    _, event = max(found, key=itemgetter(0))
    is_success = isinstance(event, dg.AssetMaterialization)
    return sync_succeeded_result(key, event.description, event.metadata, passed=is_success)


def _newest_report(
    fetch: Callable[..., dg.EventRecordsResult], key: dg.AssetKey, partition: str | None
) -> tuple[float, dg.AssetMaterialization | dg.AssetObservation] | None:
    """Return the newest event of an asset that reports a sync, and its time in epoch seconds.

    None if there is none.
    """
    for record in fetch(_wanted(key, partition), limit=EVENTS_READ).records:
        event = record.asset_materialization or record.asset_observation
        if event is not None and MetadataKey.SYNC_ID in event.metadata:
            return record.timestamp, event
    return None


def _wanted(key: dg.AssetKey, partition: str | None) -> dg.AssetRecordsFilter:
    return dg.AssetRecordsFilter(key, asset_partitions=None if partition is None else [partition])

"""Evaluates checks without a sync: they are about the last one that was reported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import dagster as dg

from dagster_rudderstack.checks.base import SyncCheck

__all__ = ["rechecked"]


def rechecked(
    checks: Iterable[SyncCheck],
    key: dg.AssetKey,
    instance: dg.DagsterInstance,
    partition: str | None,
) -> Iterator[dg.AssetCheckResult]:
    """Return the results of checks for the last materialization of an asset.

    Args:
        checks: The checks.
        key: The asset.
        instance: Dagster's instance.
        partition: The partition to look at. None looks at the last materialization of all.
    """
    partitions = [partition] if partition is not None else None
    wanted = dg.AssetRecordsFilter(key, asset_partitions=partitions)
    found = instance.fetch_materializations(wanted, limit=1).records
    last = found[0].asset_materialization if found else None
    for check in checks:
        if last is None:
            yield check.no_sync(key, partition)
        else:
            yield check.result_of_metadata(key, last.metadata)

"""Checks with partitions, where the installed Dagster has them: since 1.13, as a preview."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import dagster as dg

__all__ = ["HAS_PARTITIONS", "check_spec", "evaluation_of"]

HAS_PARTITIONS = "partitions_def" in inspect.signature(dg.AssetCheckSpec.__new__).parameters


def check_spec(
    name: str,
    asset: dg.AssetKey,
    partitions_def: dg.PartitionsDefinition[str] | None = None,
    **fields: Any,
) -> dg.AssetCheckSpec:
    """Return the definition of a check that has the partitions of its asset, if Dagster can.

    Args:
        name: Name of the check.
        asset: The asset.
        partitions_def: The partitions of the asset. None if it has none.
        fields: Other fields of the definition.
    """
    if partitions_def is None or not HAS_PARTITIONS:
        return dg.AssetCheckSpec(name, asset=asset, **fields)
    with warnings.catch_warnings():
        # The user has not asked for what Dagster may still change.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(name, asset=asset, partitions_def=partitions_def, **fields)


def evaluation_of(
    result: dg.AssetCheckResult, partition: str | None = None, *, blocking: bool = False
) -> dg.AssetCheckEvaluation:
    """Return the result of a check as an event, for code other than a step.

    Args:
        result: The result, with its asset and its check.
        partition: The partition that it is about. None for the whole asset.
        blocking: Whether the check blocks downstream assets.
    """
    if result.asset_key is None or result.check_name is None:
        raise ValueError("A check's result needs its asset and its name.")
    fields: dict[str, Any] = (
        {"partition": partition} if partition is not None and HAS_PARTITIONS else {}
    )
    return dg.AssetCheckEvaluation(
        asset_key=result.asset_key,
        check_name=result.check_name,
        passed=result.passed,
        metadata=result.metadata,
        severity=result.severity,
        description=result.description,
        blocking=blocking,
        **fields,
    )

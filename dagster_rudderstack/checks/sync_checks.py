"""The checks of a sync in one object, and the check on deferred syncs."""

from __future__ import annotations

import inspect
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property

import dagster as dg

from dagster_rudderstack.checks.base import SyncCheck
from dagster_rudderstack.checks.duration import DurationCheck
from dagster_rudderstack.checks.rejected_rows import DASHBOARD_WORDS, RejectedRowsCheck
from dagster_rudderstack.checks.source_rows import NoRowsCheck, NothingChangedCheck
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.metadata import Metadata, MetadataKey
from dagster_rudderstack.text import shown

__all__ = [
    "CHECKS",
    "SUCCEEDED_CHECK",
    "SyncChecks",
    "check_of_spec",
    "check_specs_of",
    "checked_checks",
    "identity_of",
    "sync_succeeded_result",
    "sync_succeeded_spec",
]

SUCCEEDED_CHECK = "sync_succeeded"
"""Name of the check on deferred syncs, which have no step that could fail."""

_IDENTITY = (MetadataKey.LINK, MetadataKey.DAGSTER_RUN, MetadataKey.SYNC_ID)

CHECKS: Mapping[str, type[SyncCheck]] = {
    check.kind: check
    for check in (RejectedRowsCheck, NoRowsCheck, NothingChangedCheck, DurationCheck)
}
"""The kinds of checks, by their names in `SyncChecks`."""


def sync_succeeded_spec(asset: dg.AssetKey) -> dg.AssetCheckSpec:
    """Return the definition of the check on the last deferred sync of an asset."""
    return dg.AssetCheckSpec(
        name=SUCCEEDED_CHECK,
        asset=asset,
        description="Whether the last deferred sync succeeded, according to the polling sensor. "
        f"{DASHBOARD_WORDS}",
    )


def identity_of(metadata: Mapping[str, dg.MetadataValue]) -> Metadata:
    """Return which sync a result is about: its id, and the links to its page and to its run."""
    return {key: metadata[key] for key in _IDENTITY if key in metadata}


def sync_succeeded_result(
    asset: dg.AssetKey,
    description: str | None,
    metadata: Mapping[str, dg.MetadataValue],
    *,
    passed: bool,
) -> dg.AssetCheckResult:
    """Return the result of the check on the last deferred sync of an asset.

    Args:
        asset: The asset.
        description: What the event that reports the sync says about it, as Markdown.
        metadata: The metadata of that event.
        passed: Whether the sync succeeded.
    """
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=SUCCEEDED_CHECK,
        passed=passed,
        description=description,
        metadata=identity_of(metadata),
    )


@dataclass(frozen=True, kw_only=True)
class SyncChecks:
    """The checks of a sync that succeeded. Each is an asset check of its own; None is no check.

        checks=SyncChecks(
            rejected_rows=RejectedRowsCheck(max_failed_rows=5),
            no_rows=NoRowsCheck(severity="ERROR", blocking=True),
            duration=DurationCheck(max_seconds=3600),
        )

    Attributes:
        rejected_rows: The destination rejected more rows than accepted.
        no_rows: The source has no rows at all.
        nothing_changed: Nothing had changed, so the sync had nothing to send.
        duration: The sync took longer than accepted.

    Raises:
        InvalidSettingError: If a value is not the check of its name, or if two checks have the
            same name.
    """

    rejected_rows: RejectedRowsCheck | None = field(default_factory=RejectedRowsCheck)
    no_rows: NoRowsCheck | None = None
    nothing_changed: NothingChangedCheck | None = None
    duration: DurationCheck | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            value, kind = getattr(self, each.name), CHECKS[each.name]
            if value is not None and not isinstance(value, kind):
                raise InvalidSettingError(
                    f"{each.name} {shown(value)} of SyncChecks: expected a {kind.__name__}, or "
                    "None."
                )
        names = Counter(check.name for check in self)
        for name, count in names.items():
            if count > 1:
                raise InvalidSettingError(
                    f"SyncChecks has {count} checks with the name {name!r}: give each its own name."
                )
        if SUCCEEDED_CHECK in names:
            raise InvalidSettingError(
                f"SyncChecks has a check with the name {SUCCEEDED_CHECK!r}, which is the name of "
                "the check on deferred syncs: give it another name."
            )

    def __iter__(self) -> Iterator[SyncCheck]:
        """Return the checks that there are."""
        values = (getattr(self, name) for name in CHECKS)
        return (value for value in values if value is not None)

    @cached_property
    def metadata(self) -> Metadata:
        """What the page of an asset says about its checks. Built once, for a thousand assets."""
        settings = {check.kind: check.settings for check in self}
        return {MetadataKey.CHECKS: dg.MetadataValue.json(settings)} if settings else {}


def checked_checks(value: object) -> SyncChecks | None:
    """Return the checks that a user gave.

    Raises:
        InvalidSettingError: If they are not `SyncChecks` or None.
    """
    if value is None or isinstance(value, SyncChecks):
        return value
    kind = value.kind if isinstance(value, SyncCheck) else RejectedRowsCheck.kind
    raise InvalidSettingError(
        f"checks {shown(value)}: expected SyncChecks, as in "
        f"checks=SyncChecks({kind}={CHECKS[kind].__name__}(...)), or None."
    )


_HAS_PARTITIONS = "partitions_def" in inspect.signature(dg.AssetCheckSpec).parameters
"""Whether Dagster's checks can have partitions. They can from 1.12.13."""


def check_specs_of(
    assets: Sequence[dg.AssetSpec],
    checks: Sequence[SyncCheck],
    *,
    wait: bool,
    partitions_def: dg.PartitionsDefinition[str] | None,
    backfill_policy: dg.BackfillPolicy | None,
) -> list[dg.AssetCheckSpec]:
    """Return the definitions of the checks of a step's assets.

    A check has the partitions of its asset only if each of its results is that of a step with one
    partition. Dagster counts the result of a step with several partitions for none of them, nor
    one that a sensor reports together with the materialization. Its pages would show the partitions
    as not checked, and automation conditions would wait for their results.

    Args:
        assets: The assets of the step.
        checks: The checks that each of them has.
        wait: Whether the step waits for its syncs. If not, the sensor reports the results.
        partitions_def: The partitions of assets that have none of their own.
        backfill_policy: How many partitions a step can have. None: one.
    """
    has_one = backfill_policy is None or backfill_policy.max_partitions_per_run == 1
    is_partitioned = _HAS_PARTITIONS and wait and has_one
    specs: list[dg.AssetCheckSpec] = []
    with warnings.catch_warnings():
        # Dagster warns that partitions of checks are in preview. The documentation says so, too.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        for asset in assets:
            own = partitions_def if asset.partitions_def is None else asset.partitions_def
            specs += [check.spec(asset.key, own if is_partitioned else None) for check in checks]
    return specs if wait else [*specs, *(sync_succeeded_spec(asset.key) for asset in assets)]


def check_of_spec(spec: dg.AssetCheckSpec) -> SyncCheck | None:
    """Return the check that a definition was made from, or None for another kind of check."""
    value = spec.metadata.get(MetadataKey.CHECKS) if spec.metadata else None
    data = value.data if isinstance(value, dg.JsonMetadataValue) else None
    if not isinstance(data, dict):
        return None
    ((kind, settings),) = data.items()
    return CHECKS[kind](**settings, blocking=spec.blocking, name=spec.name)

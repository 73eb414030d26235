"""The checks of a sync in one object, and the check on deferred syncs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property

import dagster as dg

from dagster_rudderstack.checks.base import SyncCheck
from dagster_rudderstack.checks.duration import DurationCheck
from dagster_rudderstack.checks.partitions import check_spec
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
    "checked_checks",
    "sync_succeeded_spec",
]

SUCCEEDED_CHECK = "sync_succeeded"
"""Name of the check on deferred syncs, which have no step that could fail."""

CHECKS: Mapping[str, type[SyncCheck]] = {
    check.kind: check
    for check in (RejectedRowsCheck, NoRowsCheck, NothingChangedCheck, DurationCheck)
}
"""The kinds of checks, by their names in `SyncChecks`."""


def sync_succeeded_spec(
    asset: dg.AssetKey, partitions_def: dg.PartitionsDefinition[str] | None = None
) -> dg.AssetCheckSpec:
    """Return the definition of the check on the last deferred sync of an asset."""
    return check_spec(
        SUCCEEDED_CHECK,
        asset,
        partitions_def,
        description="Whether the last deferred sync succeeded, according to the polling sensor. "
        f"{DASHBOARD_WORDS}",
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


def check_of_spec(spec: dg.AssetCheckSpec) -> SyncCheck | None:
    """Return the check that a definition was made from, or None for another kind of check."""
    value = spec.metadata.get(MetadataKey.CHECKS) if spec.metadata else None
    data = value.data if isinstance(value, dg.JsonMetadataValue) else None
    if not isinstance(data, dict):
        return None
    ((kind, settings),) = data.items()
    return CHECKS[kind](**settings, blocking=spec.blocking, name=spec.name)

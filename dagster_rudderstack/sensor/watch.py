"""The assets that a polling sensor watches, and their connections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from dagster_rudderstack.api.validation import checked_id
from dagster_rudderstack.assets.specs import connection_name, known_sync_log
from dagster_rudderstack.checks.base import SyncCheck
from dagster_rudderstack.checks.sync_checks import SyncChecks, check_of_spec
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.metadata import MetadataKey, column_metadata
from dagster_rudderstack.sync.failed_rows import SyncLog
from dagster_rudderstack.sync.request import SyncRequest

__all__ = ["Watch", "targets_of", "watches_of"]


@dataclass(frozen=True)
class Watch:
    """An asset and its connection.

    Attributes:
        connection_id: The connection.
        key: The asset.
        checks: The checks of its syncs.
        op_name: The step that syncs it. None if no step does.
        deferred: Whether that step leaves its syncs to the sensor.
        partitions_def: The asset's partitions. None if it has none, or if only its key is known.
        is_defined: Whether its definition or its spec is known. False: only its key is.
        connection_name: The connection's name. None if the definition does not have it.
        columns: What the asset's definition says about its columns, see `column_metadata`.
        sync_log: The sync log of the connection. None if the definition does not have it.
    """

    connection_id: str
    key: dg.AssetKey
    checks: tuple[SyncCheck, ...] = ()
    op_name: str | None = None
    deferred: bool = False
    partitions_def: dg.PartitionsDefinition[str] | None = None
    is_defined: bool = False
    connection_name: str | None = None
    columns: Mapping[str, Any] = field(default_factory=dict, compare=False)
    sync_log: SyncLog | None = None

    @property
    def has_runs(self) -> bool:
        """Whether the sensor can request runs of it: the step is known and does not wait."""
        return self.deferred and self.op_name is not None

    @property
    def request(self) -> SyncRequest:
        """The connection, as errors name it."""
        return SyncRequest(self.connection_id, connection_name=self.connection_name)


def watches_of(
    assets: Iterable[dg.AssetsDefinition | dg.AssetSpec],
    connections: Mapping[str, dg.AssetKey | str | Sequence[str]],
    checks: SyncChecks | None,
) -> dict[str, Watch]:
    """Return what to watch, by connection id.

    Args:
        assets: Definitions and specs. Those without a connection are left out.
        connections: Further assets, by connection id.
        checks: The checks of assets that have none of their own.

    Raises:
        InvalidSettingError: If there is no connection, or two assets belong to one.
    """
    default = tuple(checks or ())
    found = [watch for asset in assets for watch in _watches_of_asset(asset, default)]
    found += [
        Watch(checked_id(id_, "connection_id"), dg.AssetSpec(key).key, default)
        for id_, key in connections.items()
    ]
    if not found:
        raise InvalidSettingError(
            "The sensor has no connection. Pass assets with rudderstack/connection_id in their "
            "metadata, or connections."
        )
    watches: dict[str, Watch] = {}
    for watch in found:
        known = watches.setdefault(watch.connection_id, watch)
        if known.key != watch.key:
            raise InvalidSettingError(
                f"Assets {known.key.to_user_string()!r} and {watch.key.to_user_string()!r} both "
                f"belong to connection {watch.connection_id}. Pass only one of them, so that "
                "each sync is reported once."
            )
    return watches


def targets_of(watches: Iterable[Watch]) -> list[dg.AssetKey]:
    """Return the assets of which the sensor may request runs.

    Raises:
        InvalidSettingError: If they have different partitions. Dagster makes one job of them, and
            would not load the code location.
    """
    with_runs = [watch for watch in watches if watch.has_runs]
    partitioned = [watch for watch in with_runs if watch.partitions_def is not None]
    for watch in partitioned[1:]:
        if watch.partitions_def != partitioned[0].partitions_def:
            first, other = (each.key.to_user_string() for each in (partitioned[0], watch))
            raise InvalidSettingError(
                f"Assets {first!r} and {other!r} have different partitions, and wait=False. A "
                "sensor can request runs of assets with the same partitions only: build a sensor "
                "for each, with a name of its own."
            )
    return [watch.key for watch in with_runs]


def _watches_of_asset(
    asset: dg.AssetsDefinition | dg.AssetSpec, default: tuple[SyncCheck, ...]
) -> Iterator[Watch]:
    if isinstance(asset, dg.AssetSpec):
        yield from _watch_of_spec(asset, default, None)
        return
    if not isinstance(asset, dg.AssetsDefinition):
        raise InvalidSettingError(
            f"assets has {asset!r}: expected definitions or specs. Give a key as `connections="
            "{connection id: key}`."
        )
    own_checks: dict[dg.AssetKey, tuple[SyncCheck, ...]] = {}
    for check_spec in asset.check_specs:
        if (check := check_of_spec(check_spec)) is not None:
            key = check_spec.asset_key
            own_checks[key] = (*own_checks.get(key, ()), check)
    op_name = asset.op.name if asset.is_executable else None
    for spec in asset.specs:
        yield from _watch_of_spec(spec, own_checks.get(spec.key, default), op_name)


def _watch_of_spec(
    spec: dg.AssetSpec, checks: tuple[SyncCheck, ...], op_name: str | None
) -> Iterator[Watch]:
    connection_id = _plain(spec.metadata.get(MetadataKey.CONNECTION_ID))
    if connection_id:
        yield Watch(
            checked_id(connection_id, "connection_id"),
            spec.key,
            checks,
            op_name,
            deferred=bool(_plain(spec.metadata.get(MetadataKey.DEFERRED))),
            partitions_def=spec.partitions_def,
            is_defined=True,
            connection_name=connection_name(spec),
            columns=column_metadata(spec.metadata),
            sync_log=known_sync_log(spec.metadata),
        )


def _plain(value: object) -> object:
    """Return what a person wrote, also where Dagster has wrapped it."""
    return value.value if isinstance(value, dg.MetadataValue) else value

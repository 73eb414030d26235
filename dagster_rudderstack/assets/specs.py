"""The specs of assets: kinds, dependencies, and what their page says before the first sync."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, count
from typing import Any

import dagster as dg

from dagster_rudderstack.api.validation import checked_id
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.metadata import Metadata, MetadataKey, text_of
from dagster_rudderstack.options import AssetOptions
from dagster_rudderstack.sync.failed_rows import SyncLog, snapshot_key
from dagster_rudderstack.text import identifier, shown

__all__ = [
    "KIND",
    "CoercibleToSpec",
    "asset_spec",
    "asset_specs",
    "check_step_names",
    "completed_spec",
    "connection_name",
    "known_sync_log",
    "with_dependency_names",
]

KIND = "rudderstack"

MAX_KINDS = 3
"""Dagster shows at most three kinds of an asset, and refuses a fourth."""

_NAME = re.compile(r"[A-Za-z0-9_]+")
"""What Dagster accepts as the name of a dependency of a step."""

_ONE_DEP = (str, dg.AssetKey, dg.AssetSpec, dg.AssetDep, dg.AssetsDefinition, dg.SourceAsset)
"""A single dependency. Some of them are tuples or texts, which would count as lists."""

CoercibleToSpec = dg.AssetSpec | dg.AssetKey | str | Sequence[str]


def asset_specs(
    connections: Mapping[str, CoercibleToSpec], options: AssetOptions
) -> dict[str, dg.AssetSpec]:
    """Return the assets of connections, by connection id.

    Raises:
        InvalidSettingError: If an id is invalid, two connections have the same key, or there
            is no connection.
    """
    specs: dict[str, dg.AssetSpec] = {}
    owners: dict[dg.AssetKey, str] = {}
    for connection_id, given in connections.items():
        connection = checked_id(connection_id, "connection_id")
        spec = asset_spec(connection, given, None, options)
        if connection in specs:
            raise InvalidSettingError(f"connections contains connection {connection!r} twice.")
        if owners.setdefault(spec.key, connection) != connection:
            raise InvalidSettingError(
                f"connections gives {owners[spec.key]!r} and {connection!r} the same asset key "
                f"{spec.key.to_user_string()!r}: give each connection a different key."
            )
        specs[connection] = spec
    if not specs:
        raise InvalidSettingError("connections is empty: expected at least one.")
    check_step_names(owners)
    return specs


def asset_spec(
    connection_id: str,
    spec: CoercibleToSpec | None,
    deps: Iterable[Any] | None,
    options: AssetOptions,
) -> dg.AssetSpec:
    """Return the asset of a connection, with what every asset of this library has."""
    given = ["rudderstack", identifier(connection_id)] if spec is None else spec
    completed = completed_spec(given, deps, _definition_metadata(connection_id, options))
    is_skippable = options["on_disabled"] == "skip" or not options["wait"]
    return completed.replace_attributes(skippable=True) if is_skippable else completed


def completed_spec(
    given: CoercibleToSpec, deps: Iterable[Any] | None, metadata: Mapping[str, Any]
) -> dg.AssetSpec:
    """Return an asset with the kind of this library, and with further dependencies and metadata.

    Raises:
        InvalidSettingError: If the dependencies are no list.
    """
    if isinstance(deps, _ONE_DEP) or not isinstance(deps, Iterable | None):
        raise InvalidSettingError(
            f"deps {shown(deps)}: expected a list of assets, as in deps=['customers']."
        )
    spec = given if isinstance(given, dg.AssetSpec) else dg.AssetSpec(given)
    has_room = KIND not in spec.kinds and len(spec.kinds) < MAX_KINDS
    # All at once, since each call makes the whole spec anew.
    return spec.merge_attributes(
        deps=[] if deps is None else list(deps),
        kinds={KIND} if has_room else set(),
        metadata=metadata,
    )


def _definition_metadata(connection_id: str, options: AssetOptions) -> Metadata:
    """Return what the page of an asset says before its first sync."""
    checks = options["checks"]
    return {
        MetadataKey.CONNECTION_ID: dg.MetadataValue.text(connection_id),
        MetadataKey.DEFERRED: dg.MetadataValue.bool(not options["wait"]),
        **(checks.metadata if checks else {}),
    }


def known_sync_log(metadata: Mapping[str, Any]) -> SyncLog | None:
    """Return the sync log of a connection, according to the metadata of its asset's definition.

    Discovery has written it. None if the metadata does not name the warehouse.
    """
    warehouse = text_of(metadata, MetadataKey.WAREHOUSE)
    if warehouse is None:
        return None
    key = snapshot_key(
        text_of(metadata, MetadataKey.SYNC_BEHAVIOUR),
        text_of(metadata, MetadataKey.CURSOR_COLUMN),
        text_of(metadata, MetadataKey.PRIMARY_KEY),
    )
    is_disabled = metadata.get(MetadataKey.SYNC_LOGS) == dg.MetadataValue.bool(False)
    return SyncLog(warehouse, key, is_enabled=not is_disabled)


def connection_name(spec: dg.AssetSpec) -> str | None:
    """Return the name of a connection, made of its source and its destination. None if unknown."""
    source, destination = (
        text_of(spec.metadata, key)
        for key in (MetadataKey.SOURCE_NAME, MetadataKey.DESTINATION_NAME)
    )
    return f"{source} to {destination}" if source and destination else None


def check_step_names(keys: Iterable[dg.AssetKey]) -> None:
    """Check that the outputs of a step have different names, which Dagster makes of the keys.

    Raises:
        InvalidSettingError: If two different keys have the same name.
    """
    owners: dict[str, dg.AssetKey] = {}
    for key in keys:
        name = key.to_python_identifier()
        other = owners.setdefault(name, key)
        if other != key:
            raise InvalidSettingError(
                f"The keys {other.to_user_string()!r} and {key.to_user_string()!r} have the same "
                f"name {name!r} in a step of Dagster: change one of them."
            )


def with_dependency_names(
    specs: Sequence[dg.AssetSpec],
) -> tuple[list[dg.AssetSpec], dict[dg.AssetKey, dg.AssetKey]]:
    """Return specs with dependencies that Dagster accepts, and their real keys.

    Dagster gives each dependency of a step a name, which it makes of the key. It refuses a name
    with other characters than letters, digits and underscores. If two keys have the same name, it
    loses one of them. The real keys are put back when the step is defined.
    """
    own = {spec.key for spec in specs}
    keys = dict.fromkeys(dep.asset_key for spec in specs for dep in spec.deps)
    real = _replaced([key for key in keys if key not in own])
    if not real:
        return list(specs), {}
    named = {key: name for name, key in real.items()}
    replaced = [
        spec.replace_attributes(deps=[_with_key(dep, named) for dep in spec.deps]) for spec in specs
    ]
    return replaced, real


def _replaced(keys: Iterable[dg.AssetKey]) -> dict[dg.AssetKey, dg.AssetKey]:
    """Return the keys that need another name, by a key that has one."""
    names = {key: "_".join(key.path).replace("-", "_") for key in keys}
    counts = Counter(identifier(name) for name in names.values())
    kept = {name for name in names.values() if counts[name] == 1 and _NAME.fullmatch(name)}
    taken = set(kept)
    found: dict[dg.AssetKey, dg.AssetKey] = {}
    for key, name in names.items():
        if name not in kept:
            clean = identifier(name)
            numbered = (f"{clean}_{number}" for number in count(2))
            free = next(each for each in chain([clean], numbered) if each not in taken)
            taken.add(free)
            found[dg.AssetKey([free])] = key
    return found


def _with_key(dep: dg.AssetDep, keys: Mapping[dg.AssetKey, dg.AssetKey]) -> dg.AssetDep:
    if dep.asset_key not in keys:
        return dep
    return dg.AssetDep(
        keys[dep.asset_key], partition_mapping=dep.partition_mapping, metadata=dep.metadata
    )

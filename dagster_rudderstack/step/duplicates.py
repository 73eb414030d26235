"""Finds other assets that sync the same connection, which Dagster does not know to be the same."""

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from weakref import WeakKeyDictionary

import dagster as dg

from dagster_rudderstack.metadata import MetadataKey, text_of
from dagster_rudderstack.step.dagster_step import StepLog
from dagster_rudderstack.text import examples_of, summary_of

__all__ = ["duplicate_warning", "warn_of_duplicates"]

Connections = Mapping[tuple[str, str], list[dg.AssetKey]]

_CONNECTIONS: WeakKeyDictionary[object, Connections] = WeakKeyDictionary()
"""The assets of each connection and resource key, by the definitions of a code location."""


def warn_of_duplicates(
    context: dg.AssetExecutionContext, connections: Mapping[str, dg.AssetKey], resource_key: str
) -> None:
    """Warn of connections that another asset of the code location syncs too.

    Args:
        context: Dagster's context of a step.
        connections: The assets of the step, by connection id.
        resource_key: The key of the step's resource.
    """
    # Only a hint. Where a test calls an asset directly, there is no code location.
    with contextlib.suppress(Exception):
        known = _connections_of(context.repository_def)
        lines: dict[str, str] = {}
        for connection, key in connections.items():
            others = [each for each in known.get((connection, resource_key), ()) if each != key]
            if others:
                lines[connection] = duplicate_warning(connection, [key, *others])
        if lines:
            StepLog(context.log).warning(summary_of(lines, "connection"))


def duplicate_warning(connection: str, keys: Iterable[dg.AssetKey]) -> str:
    """Return what to do if several assets sync one connection."""
    names = examples_of([key.to_user_string() for key in keys], "asset")
    return (
        f"Connection {connection} belongs to several assets: {names}. If each is materialized, the "
        "connection is synced several times. Keep only one of them."
    )


def _connections_of(repository: dg.RepositoryDefinition) -> Connections:
    if repository not in _CONNECTIONS:
        found: dict[tuple[str, str], list[dg.AssetKey]] = defaultdict(list)
        for assets in set(repository.assets_defs_by_key.values()):
            if not assets.is_executable:
                continue
            for spec in assets.specs:
                connection = text_of(spec.metadata, MetadataKey.CONNECTION_ID)
                for resource_key in assets.required_resource_keys if connection else ():
                    found[str(connection), resource_key].append(spec.key)
        _CONNECTIONS[repository] = {each: sorted(keys) for each, keys in found.items()}
    return _CONNECTIONS[repository]

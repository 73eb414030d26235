"""Checks that Dagster takes the dependencies of connections as they are meant."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import dagster as dg

from dagster_rudderstack.discovery.known_assets import KnownAssets, group_of
from dagster_rudderstack.discovery.props import RudderStackConnectionProps
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.text import one_line, sentence

__all__ = ["Linked", "check_dependencies"]

MAX_LENGTH = 100

Linked = tuple[RudderStackConnectionProps, dg.AssetSpec]
"""A connection and its asset."""


def check_dependencies(
    connections: Sequence[Linked],
    known: KnownAssets,
    partitions_def: dg.PartitionsDefinition[str] | None,
) -> None:
    """Check the dependencies of connections.

    Args:
        connections: The connections and their assets.
        known: The assets of the project.
        partitions_def: The partitions of all connections. None uses those of their specs.

    Raises:
        InvalidSettingError: If Dagster would take another asset instead, or if it cannot map the
            partitions of both.
    """
    names = _Names(known.defined, [spec for _, spec in connections])
    mappings = _Mappings()
    for props, spec in connections:
        chosen = {upstream.key for upstream in props.upstreams}
        tables = {upstream.key: str(upstream.table) for upstream in props.upstreams}
        for dep in spec.deps:
            if dep.asset_key in chosen:
                _check_not_itself(spec, dep.asset_key, tables[dep.asset_key])
                names.check(spec, dep)
            if dep.asset_key in known.executable:
                above = known.defined[dep.asset_key]
                table = tables.get(dep.asset_key, "schema.table")
                mappings.check(spec, dep, above, partitions_def or spec.partitions_def, table)


def _check_not_itself(spec: dg.AssetSpec, key: dg.AssetKey, table: str) -> None:
    if spec.key == key:
        raise InvalidSettingError(
            f"upstream_keys: the asset of table {table} is {key.to_user_string()!r}, which is the "
            "connection that reads the table. Name the asset that makes the table."
        )


class _Names:
    """Knows which asset Dagster takes for a key of one part that no definition has."""

    def __init__(
        self, defined: Mapping[dg.AssetKey, dg.AssetSpec], connections: Iterable[dg.AssetSpec]
    ) -> None:
        self._specs = {**defined, **{spec.key: spec for spec in connections}}
        self._by_name: dict[tuple[str, str], list[dg.AssetKey]] = defaultdict(list)
        for key, spec in self._specs.items():
            self._by_name[group_of(spec), key.path[-1]].append(key)

    def check(self, spec: dg.AssetSpec, dep: dg.AssetDep) -> None:
        key = dep.asset_key
        if len(key.path) > 1 or key in self._specs:
            return
        # Dagster takes the only asset of the group whose key ends with the part.
        same = self._by_name.get((group_of(spec), key.path[0]), [])
        if len(same) == 1 and same != [spec.key]:
            name, other = key.to_user_string(), same[0].to_user_string()
            raise InvalidSettingError(
                f"upstream_keys: the asset {name!r} is not among upstream_assets. If no definition "
                f"has this key, Dagster takes {other!r} instead, since it is in the same group and "
                f"its key ends with {name!r}. Add the asset to upstream_assets, where a spec is "
                f"enough: dg.AssetSpec({name!r}). Or give it a key of two parts."
            )


class _Mappings:
    """Asks Dagster whether it can map partitions, once for each pair of definitions."""

    def __init__(self) -> None:
        self._problems: dict[tuple[int, int, int], str | None] = {}

    def check(
        self,
        spec: dg.AssetSpec,
        dep: dg.AssetDep,
        upstream: dg.AssetSpec,
        partitions_def: dg.PartitionsDefinition[str] | None,
        table: str,
    ) -> None:
        above, mapping = upstream.partitions_def, dep.partition_mapping
        if above is None or (partitions_def is None and mapping is None):
            return
        # The definitions live as long as their assets, so their ids are not used again.
        ids = (id(above), id(partitions_def), id(mapping))
        if ids not in self._problems:
            self._problems[ids] = _problem(above, partitions_def, mapping)
        problem = self._problems[ids]
        if problem:
            name = upstream.key.to_user_string()
            raise InvalidSettingError(
                f"Dagster cannot map the partitions of {spec.key.to_user_string()!r} "
                f"({_partitions(partitions_def)}) to those of its upstream asset {name!r} "
                f"({_partitions(above)}): {problem} Say which partitions it depends on: "
                f"upstream_keys={{{table!r}: dg.AssetDep({list(upstream.key.path)}, "
                "partition_mapping=dg.AllPartitionMapping())}, or "
                "upstream_partition_mapping=dg.AllPartitionMapping() for all tables."
            )


def _partitions(definition: dg.PartitionsDefinition[str] | None) -> str:
    # Some of Dagster's descriptions are sentences.
    return one_line(str(definition), MAX_LENGTH).rstrip(".") if definition else "not partitioned"


def _problem(
    above: dg.PartitionsDefinition[str],
    below: dg.PartitionsDefinition[str] | None,
    mapping: dg.PartitionMapping | None,
) -> str | None:
    """Return why Dagster does not load an asset downstream of another. None if it does."""

    @dg.asset(partitions_def=above)
    def upstream() -> None: ...

    @dg.asset(partitions_def=below, deps=[dg.AssetDep(upstream, partition_mapping=mapping)])
    def downstream() -> None: ...

    try:
        dg.Definitions.validate_loadable(dg.Definitions(assets=[upstream, downstream]))
    except dg.DagsterInvalidDefinitionError as error:
        return sentence(str(error.__cause__ or error))
    return None

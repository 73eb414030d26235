"""Finds the asset of each table that a source reads.

The user may name the asset. Otherwise it is the asset that matches the table best, see `matching`.
If none does, or several match equally well, the table becomes an external asset.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import dagster as dg

from dagster_rudderstack.discovery.external import external_key
from dagster_rudderstack.discovery.known_assets import KnownAssets, UpstreamAssets
from dagster_rudderstack.discovery.matching import AssetIndex, Matches, NameIndex, spelled
from dagster_rudderstack.discovery.tables import UpstreamTable
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.text import did_you_mean, failure, one_line, shown

__all__ = [
    "COLUMN_SCHEMA",
    "UNKNOWN_TYPE",
    "Upstream",
    "UpstreamFinder",
    "UpstreamKeys",
    "is_same_mapping",
]

CoercibleToKey = dg.AssetKey | str | Sequence[str]

_Choice = CoercibleToKey | dg.AssetDep | None

UpstreamKeys = Mapping[str, _Choice] | Callable[[UpstreamTable, Sequence[dg.AssetKey]], _Choice]
"""The user's choice of the asset of a table.

A mapping from names of tables to keys. A name is `schema.table` in any warehouse, or the key that
the table has otherwise (`snowflake/schema/table`). None leaves a table out. If several names
match a table, its own name comes first, then the longest. Or a function of the table and the keys
of the assets that match equally well. It returns a key, or None to leave the choice to the rules.
Instead of a key, an `AssetDep` also says which partitions of the asset a partition depends on.
"""

COLUMN_SCHEMA = "dagster/column_schema"

UNKNOWN_TYPE = "unknown"
"""Type of a column whose type is not known. Dagster would show `string`."""


@dataclass(frozen=True)
class Upstream:
    """A table that a source reads, and its asset.

    Attributes:
        table: The table.
        key: The asset to depend on. None if the user left the table out.
        spec: The spec of that asset. None if it was not among the given assets.
        candidates: The assets that match equally well, if the match is ambiguous.
        partition_mapping: The partitions of the asset that a partition of the connection depends
            on. None leaves it to Dagster.
    """

    table: UpstreamTable
    key: dg.AssetKey | None
    spec: dg.AssetSpec | None = None
    candidates: tuple[dg.AssetKey, ...] = ()
    partition_mapping: dg.PartitionMapping | None = None

    def column(self, name: str, exact: str | None = None) -> dg.TableColumn:
        """Return a column, with the spelling and the type in the schema of the asset, if known.

        A column that differs only by case is the same, unless there are several.

        Args:
            name: The column, as the source spells it.
            exact: The column as the warehouse spells it. None if that is `name`.
        """
        columns = self._columns()
        same = [column for column in columns if column.name == (exact or name)]
        same = same or [column for column in columns if column.name.lower() == name.lower()]
        if len(same) == 1:
            return same[0]
        # dagster-dbt writes the names of all columns in lower case.
        is_dbt = self.spec is not None and "dbt" in self.spec.kinds
        return dg.TableColumn(name.lower() if is_dbt else name, UNKNOWN_TYPE)

    def _columns(self) -> Sequence[dg.TableColumn]:
        schema = self.spec.metadata.get(COLUMN_SCHEMA) if self.spec else None
        schema = getattr(schema, "schema", schema)
        return schema.columns if isinstance(schema, dg.TableSchema) else ()


def is_same_mapping(one: dg.PartitionMapping | None, other: dg.PartitionMapping | None) -> bool:
    """Whether two mappings are equal. Dagster's are tuples, and are equal if their values are."""
    return type(one) is type(other) and one == other


class UpstreamFinder:
    """Finds the assets of tables.

    Attributes:
        known: The assets of the project.

    Args:
        assets: The assets of the project.
        keys: The user's choices, which take precedence over the rules.
        log: Gets a warning for each table whose asset is not certain.
        connections: The keys of the connections, which are not matched to tables. The assets of
            the project may depend on connections, and dependencies are searched too.
        partition_mapping: The partitions of the assets that a partition depends on, unless the
            user's choice has its own.
    """

    def __init__(
        self,
        assets: UpstreamAssets | KnownAssets,
        keys: UpstreamKeys | None,
        log: logging.Logger,
        connections: Collection[dg.AssetKey] = (),
        partition_mapping: dg.PartitionMapping | None = None,
    ) -> None:
        self.known = assets if isinstance(assets, KnownAssets) else KnownAssets.of(assets)
        self._keys = keys
        self._index = AssetIndex(self.known, connections)
        self._function = keys if callable(keys) else None
        self._mapping = _KeyMapping({} if keys is None or callable(keys) else keys)
        self._log = log
        self._partition_mapping = partition_mapping
        self._found: dict[UpstreamTable, Upstream] = {}
        self._elsewhere: dict[UpstreamTable, Matches] = {}
        self._warned: set[UpstreamTable] = set()

    def without(self, connections: Collection[dg.AssetKey]) -> "UpstreamFinder":
        """Return a finder that does not match tables to these connections."""
        return UpstreamFinder(
            self.known, self._keys, self._log, connections, self._partition_mapping
        )

    def knows_any(self, keys: Collection[dg.AssetKey]) -> bool:
        """Whether one of these keys is among the assets, or was found for a table."""
        found = {upstream.key for upstream in self._found.values()}
        return any(key in self._index.specs or key in found for key in keys)

    def find(self, table: UpstreamTable) -> Upstream:
        """Return the asset of a table."""
        if table not in self._found:
            self._found[table] = self._find(table)
        return self._found[table]

    def warn_of_uncertain(self, upstreams: Iterable[Upstream]) -> None:
        """Warn of each of these tables whose asset is not certain, once for each table."""
        for upstream in upstreams:
            table, key = upstream.table, upstream.key
            if key is None or table in self._warned:
                continue
            problem = self._problem(upstream)
            if problem:
                self._warned.add(table)
                name = key.to_user_string()
                self._log.warning(
                    f"{problem}, so it is shown as the external asset {name!r}. Name its asset "
                    f"with upstream_keys: {{{name!r}: …}}."
                )

    def warn_of_unused(self) -> None:
        """Warn of the names in `upstream_keys` that are the name of no table."""
        unused = self._mapping.unused()
        if unused:
            names = one_line(", ".join(map(repr, unused)), 200)
            tables = {str(table) for table in self._found}
            hint = did_you_mean(unused[0], tables)
            self._log.warning(
                f"upstream_keys: no selected connection reads {names}.{hint} Write the name of a "
                "table as the connection does ('analytics.customers'), or the key of its external "
                "asset ('snowflake/analytics/customers')."
            )

    def _problem(self, upstream: Upstream) -> str | None:
        table = upstream.table
        if upstream.candidates:
            assets = ", ".join(repr(each.to_user_string()) for each in upstream.candidates)
            return f"Table {table} matches the assets {assets} equally well"
        elsewhere = self._elsewhere.get(table)
        if elsewhere is None:
            return None
        assets = " and ".join(
            f"{key.to_user_string()!r}, which is stored in {storage}"
            for key, storage in elsewhere.elsewhere
        )
        return f"Table {table} is read from {table.warehouse}, not from {assets}"

    def _find(self, table: UpstreamTable) -> Upstream:
        entry = self._mapping.entry(table)
        if entry is not None:
            return self._upstream(table, entry.choice)
        matches = self._index.matches(table)
        chosen = self._chosen(table, matches.keys)
        if chosen is not None:
            return self._upstream(table, _dep(chosen, f"what it returned for table {table}"))
        if len(matches.keys) == 1:
            return self._upstream(table, dg.AssetDep(matches.keys[0]))
        if matches.elsewhere:
            self._elsewhere[table] = matches
        free = self._upstream(table, dg.AssetDep(self._index.free_key(table)))
        return replace(free, candidates=matches.keys)

    def _chosen(self, table: UpstreamTable, keys: Sequence[dg.AssetKey]) -> object:
        """Return what the user's function returns. None if there is no function."""
        if self._function is None:
            return None
        try:
            return self._function(table, keys)
        except Exception as error:
            raise InvalidSettingError(
                f"The function upstream_keys failed for table {table}: {failure(error)}"
            ) from error

    def _upstream(self, table: UpstreamTable, dep: dg.AssetDep | None) -> Upstream:
        if dep is None:
            return Upstream(table, None)
        # Dagster's mappings are tuples, and an empty one is false.
        mapping = dep.partition_mapping
        mapping = self._partition_mapping if mapping is None else mapping
        spec = self._index.specs.get(dep.asset_key)
        return Upstream(table, dep.asset_key, spec, partition_mapping=mapping)


@dataclass(frozen=True)
class _Entry:
    name: str
    choice: dg.AssetDep | None

    @property
    def spelled(self) -> tuple[str, ...]:
        return spelled(self.name)


class _KeyMapping:
    """The user's mapping from names of tables to keys. The best match wins."""

    def __init__(self, keys: object) -> None:
        if not isinstance(keys, Mapping) or not all(isinstance(name, str) for name in keys):
            raise InvalidSettingError(
                "upstream_keys takes a mapping of names of tables to keys, or a function, not "
                f"{shown(keys)}."
            )
        self._by_key: dict[str, _Entry] = {}
        self._by_name: NameIndex[_Entry] = NameIndex()
        self._unused = dict.fromkeys(keys)
        for name, key in keys.items():
            entry = _Entry(name, None if key is None else _dep(key, repr(name)))
            if "/" in name:
                self._by_key[name] = entry
            else:
                self._by_name.add(entry)

    def unused(self) -> Sequence[str]:
        """Return the names that no table had."""
        return list(self._unused)

    def entry(self, table: UpstreamTable) -> _Entry | None:
        """Return the entry of a table. None if there is none.

        Raises:
            InvalidSettingError: If names that match equally well have different keys.
        """
        name = table.name
        keys = (external_key(table).to_user_string(), str(table))
        exact = [self._by_key[key] for key in keys if key in self._by_key]
        best = exact[:1] or self._by_name.best(name.parts, name.spelled)
        if any(not _is_same(entry.choice, best[0].choice) for entry in best):
            names = " and ".join(repr(entry.name) for entry in best)
            raise InvalidSettingError(
                f"upstream_keys: {names} match table {name} equally well, but have different keys. "
                f"Use the table's own name: {{{str(name)!r}: …}}."
            )
        for entry in best:
            self._unused.pop(entry.name, None)
        return best[0] if best else None


def _is_same(one: dg.AssetDep | None, other: dg.AssetDep | None) -> bool:
    if one is None or other is None:
        return one is other
    mappings = (one.partition_mapping, other.partition_mapping)
    return one.asset_key == other.asset_key and is_same_mapping(*mappings)


def _dep(key: object, origin: str) -> dg.AssetDep:
    if isinstance(key, dg.AssetDep):
        # Without its metadata: for the name of a table in it, Dagster would take another asset.
        # AssetDep reads a text as one part, unlike upstream_keys.
        whole = dg.AssetKey.from_user_string(key.asset_key.to_user_string())
        return dg.AssetDep(whole, partition_mapping=key.partition_mapping)
    if isinstance(key, dg.AssetKey):
        return dg.AssetDep(key)
    if isinstance(key, str) and key.strip("/"):
        return dg.AssetDep(dg.AssetKey.from_user_string(key))
    if isinstance(key, Sequence) and key and all(isinstance(part, str) and part for part in key):
        return dg.AssetDep(dg.AssetKey(key))
    if isinstance(key, dg.AssetSpec | dg.AssetsDefinition):
        raise InvalidSettingError(
            f"upstream_keys: {origin} is an {type(key).__name__}, not the key of an asset. Use its "
            "key, as in spec.key."
        )
    raise InvalidSettingError(
        f"upstream_keys: {origin} is {shown(key)}, not the key of an asset: "
        "'customers', 'analytics/customers' or ['analytics', 'customers']."
    )

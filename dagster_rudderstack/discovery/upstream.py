"""Finds the asset of each table that a source reads.

The user may name the asset. Otherwise it is the asset that matches the table best, see `matching`.
If none does, or several match equally well, the table becomes an external asset.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from dagster_rudderstack.discovery.matching import (
    AssetIndex,
    UpstreamAssets,
    best_matches,
    folded,
    specs_of,
)
from dagster_rudderstack.discovery.sql.lineage import TableName
from dagster_rudderstack.discovery.tables import UpstreamTable
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.text import shown

__all__ = ["COLUMN_SCHEMA", "UNKNOWN_TYPE", "Upstream", "UpstreamFinder", "UpstreamKeys"]

CoercibleToKey = dg.AssetKey | str | Sequence[str]

UpstreamKeys = (
    Mapping[str, CoercibleToKey | None]
    | Callable[[UpstreamTable, Sequence[dg.AssetKey]], CoercibleToKey | None]
)
"""The user's choice of the asset of a table.

A mapping from names of tables (`schema.table`) to keys. None leaves a table out. If several names
match a table, its own name comes first, then the longest. Or a function of the table and the keys
of the assets that match equally well. It returns a key, or None to leave the choice to the rules.
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
    """

    table: UpstreamTable
    key: dg.AssetKey | None
    spec: dg.AssetSpec | None = None
    candidates: tuple[dg.AssetKey, ...] = ()

    def column(self, name: str) -> dg.TableColumn:
        """Return a column, with the spelling and the type in the schema of the asset, if known."""
        for column in self._columns():
            if column.name.lower() == name.lower():
                return column
        # dagster-dbt writes the names of all columns in lower case.
        is_dbt = self.spec is not None and "dbt" in self.spec.kinds
        return dg.TableColumn(name.lower() if is_dbt else name, UNKNOWN_TYPE)

    def _columns(self) -> Sequence[dg.TableColumn]:
        schema = self.spec.metadata.get(COLUMN_SCHEMA) if self.spec else None
        schema = getattr(schema, "schema", schema)
        return schema.columns if isinstance(schema, dg.TableSchema) else ()


class UpstreamFinder:
    """Finds the assets of tables.

    Args:
        assets: The assets of the project.
        keys: The user's choices, which take precedence over the rules.
        log: Gets a warning for each ambiguous table.
        connections: The keys of the connections, which are not matched to tables. The assets of
            the project may depend on connections, and dependencies are searched too.
    """

    def __init__(
        self,
        assets: UpstreamAssets,
        keys: UpstreamKeys | None,
        log: logging.Logger,
        connections: Collection[dg.AssetKey] = (),
    ) -> None:
        # Stored, since a generator yields its assets only once.
        self._assets = tuple(specs_of(assets))
        self._keys = keys
        self._index = AssetIndex(self._assets, connections)
        self._function = keys if callable(keys) else None
        self._mapping = _KeyMapping({} if keys is None or callable(keys) else keys)
        self._log = log
        self._found: dict[UpstreamTable, Upstream] = {}
        self._warned: set[UpstreamTable] = set()

    def without(self, connections: Collection[dg.AssetKey]) -> "UpstreamFinder":
        """Return a finder that does not match tables to these connections."""
        return UpstreamFinder(self._assets, self._keys, self._log, connections)

    def knows_any(self, keys: Collection[dg.AssetKey]) -> bool:
        """Whether one of these keys is among the assets, or was found for a table."""
        found = {upstream.key for upstream in self._found.values()}
        return any(key in self._index.specs or key in found for key in keys)

    def find(self, table: UpstreamTable) -> Upstream:
        """Return the asset of a table."""
        if table not in self._found:
            self._found[table] = self._find(table)
        return self._found[table]

    def warn_of_ambiguous(self, upstreams: Iterable[Upstream]) -> None:
        """Warn of each of these tables that matches several assets, once for each table."""
        for upstream in upstreams:
            table, key = upstream.table, upstream.key
            if not upstream.candidates or key is None or table in self._warned:
                continue
            self._warned.add(table)
            assets = ", ".join(repr(each.to_user_string()) for each in upstream.candidates)
            self._log.warning(
                f"Table {table} matches the assets {assets} equally well, so it is shown as the "
                f"external asset {key.to_user_string()!r}. Name its asset with upstream_keys: "
                f"{{{str(table.name)!r}: …}}."
            )

    def _find(self, table: UpstreamTable) -> Upstream:
        entry = self._mapping.entry(table.name)
        if entry is not None:
            return self._upstream(table, entry.key)
        candidates = self._index.candidates(table)
        chosen = self._function(table, candidates) if self._function else None
        if chosen is not None:
            return self._upstream(table, _key(chosen, f"what it returned for table {table}"))
        if len(candidates) == 1:
            return self._upstream(table, candidates[0])
        return Upstream(table, self._index.free_key(table), candidates=tuple(candidates))

    def _upstream(self, table: UpstreamTable, key: dg.AssetKey | None) -> Upstream:
        return Upstream(table, key, self._index.specs.get(key) if key else None)


@dataclass(frozen=True)
class _Entry:
    name: str
    key: dg.AssetKey | None


class _KeyMapping:
    """The user's mapping from names of tables to keys. The best match wins."""

    def __init__(self, keys: object) -> None:
        if not isinstance(keys, Mapping) or not all(isinstance(name, str) for name in keys):
            raise InvalidSettingError(
                "upstream_keys takes a mapping of names of tables to keys, or a function, not "
                f"{shown(keys)}."
            )
        self._entries = {
            folded(name): _Entry(name, None if key is None else _key(key, repr(name)))
            for name, key in keys.items()
        }

    def entry(self, name: TableName) -> _Entry | None:
        """Return the entry of a table. None if there is none.

        Raises:
            InvalidSettingError: If names that match equally well have different keys.
        """
        best = best_matches(folded(name.parts), self._entries.items())
        if len({entry.key for entry in best}) > 1:
            names = " and ".join(repr(entry.name) for entry in best)
            raise InvalidSettingError(
                f"upstream_keys: {names} match table {name} equally well, but have different keys. "
                f"Use the table's own name: {{{str(name)!r}: …}}."
            )
        return best[0] if best else None


def _key(key: object, origin: str) -> dg.AssetKey:
    if isinstance(key, dg.AssetKey):
        return key
    if isinstance(key, str) and key.strip("/"):
        return dg.AssetKey.from_user_string(key)
    if isinstance(key, Sequence) and key and all(isinstance(part, str) and part for part in key):
        return dg.AssetKey(key)
    raise InvalidSettingError(
        f"upstream_keys: {origin} is {shown(key)}, not the key of an asset: "
        "'customers', 'analytics/customers' or ['analytics', 'customers']."
    )

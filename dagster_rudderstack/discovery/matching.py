"""Matches tables to assets by the metadata and the keys of the assets.

A table is matched by an asset's `dagster/table_name` or `dagster/uri`, or else by its key. The
parts of both names are compared from the right, as far as both have parts. The longest match wins.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import dagster as dg

from dagster_rudderstack.discovery.tables import UpstreamTable, external_key
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.text import shown

__all__ = ["AssetIndex", "UpstreamAssets", "best_matches", "folded", "specs_of"]

_Asset = dg.AssetsDefinition | dg.AssetSpec | dg.SourceAsset
UpstreamAssets = _Asset | dg.Definitions | Iterable[_Asset | dg.Definitions | Iterable[_Asset]]
"""The assets that may be upstream: definitions, specs, `Definitions`, and lists of them."""

TABLE_NAME = "dagster/table_name"
STORAGE_KIND = "dagster/storage_kind"
URI = "dagster/uri"

Parts = tuple[str, ...]

_T = TypeVar("_T")


class AssetIndex:
    """The assets of a project, indexed by the last part of their tables' names.

    Attributes:
        specs: The assets and their dependencies, by key, without the connections.

    Args:
        specs: The assets.
        connections: The keys of the connections, which are not matched to tables.
    """

    def __init__(
        self, specs: Iterable[dg.AssetSpec], connections: Collection[dg.AssetKey] = ()
    ) -> None:
        known = _with_deps(specs)
        self.specs = {key: spec for key, spec in known.items() if key not in connections}
        self._taken = {*known, *connections}
        self._by_table: dict[str, list[tuple[Parts, dg.AssetSpec]]] = defaultdict(list)
        self._by_key: dict[str, list[tuple[Parts, dg.AssetSpec]]] = defaultdict(list)
        self._by_uri: dict[str, list[dg.AssetSpec]] = defaultdict(list)
        for spec in self.specs.values():
            self._add(spec)

    def _add(self, spec: dg.AssetSpec) -> None:
        uri, table = _text(spec, URI), _text(spec, TABLE_NAME)
        if uri:
            self._by_uri[uri.rstrip("/")].append(spec)
        # An asset that names its table is not matched by its key, which may be anything.
        by, parts = (self._by_table, folded(table)) if table else (self._by_key, None)
        parts = parts or folded(spec.key.path)
        by[parts[-1]].append((parts, spec))

    def candidates(self, table: UpstreamTable) -> Sequence[dg.AssetKey]:
        """Return the assets that match a table best and equally well."""
        found: Sequence[dg.AssetSpec] = self._by_uri.get(table.uri, ()) if table.uri else ()
        parts = folded(external_key(table).path if table.uri else table.name.parts)
        if not parts:
            return ()
        for index in (self._by_table, self._by_key):
            found = found or best_matches(parts, index.get(parts[-1], ()))
        same_storage = [spec for spec in found if _is_stored_in(spec, table.warehouse)]
        return [spec.key for spec in same_storage or found]

    def free_key(self, table: UpstreamTable) -> dg.AssetKey:
        """Return a key for a table without an asset. It is not the key of another asset."""
        key = external_key(table)
        if key not in self._taken:
            return key
        return dg.AssetKey([table.warehouse or "warehouse", *key.path])


def specs_of(assets: object) -> Iterator[dg.AssetSpec]:
    """Yield the specs of the assets that the user gave.

    Raises:
        InvalidSettingError: If something is not an asset.
    """
    if isinstance(assets, dg.AssetSpec):
        yield assets
    elif isinstance(assets, dg.AssetsDefinition):
        yield from assets.specs
    elif isinstance(assets, dg.SourceAsset):
        yield dg.AssetSpec(assets.key, metadata=assets.metadata)
    elif isinstance(assets, dg.Definitions):
        # Assets that Dagster has not loaded yet are unknown here.
        yield from specs_of([each for each in assets.assets or () if isinstance(each, _Asset)])
    elif isinstance(assets, Iterable) and not isinstance(assets, str | dg.AssetKey):
        for each in assets:
            yield from specs_of(each)
    else:
        raise InvalidSettingError(
            "upstream_assets takes assets, specs, Definitions, and lists of them, not "
            f"{shown(assets)}. Name the asset of a table with upstream_keys: "
            '{"schema.table": "key"}.'
        )


def _with_deps(specs: Iterable[dg.AssetSpec]) -> Mapping[dg.AssetKey, dg.AssetSpec]:
    """Return the assets and their dependencies by key. Tables of dbt sources are dependencies."""
    known = {spec.key: spec for spec in specs}
    deps = [dep for spec in known.values() for dep in spec.deps]
    for dep in deps:
        known.setdefault(dep.asset_key, dg.AssetSpec(dep.asset_key, metadata=dep.metadata))
    return known


def folded(name: str | Iterable[str]) -> Parts:
    """Return the parts of a name in lower case and without quotes."""
    parts = name.split(".") if isinstance(name, str) else name
    return tuple(part.strip("\"`'[] ").lower() for part in parts)


def best_matches(parts: Parts, known: Iterable[tuple[Parts, _T]]) -> Sequence[_T]:
    """Return the entries whose names share the most parts. An equal name comes first."""
    ranked: dict[tuple[int, bool], list[_T]] = defaultdict(list)
    for other, each in known:
        ranked[_shared_parts(parts, other), parts == other].append(each)
    ranked.pop((0, False), None)
    return ranked[max(ranked)] if ranked else ()


def _shared_parts(one: Parts, other: Parts) -> int:
    """Return how many parts two names share, from the right. 0 if they differ."""
    pairs = list(zip(reversed(one), reversed(other), strict=False))
    return len(pairs) if all(left == right for left, right in pairs) else 0


def _is_stored_in(spec: dg.AssetSpec, warehouse: str | None) -> bool:
    # A source without a warehouse does not prefer assets without a storage kind.
    storage = _text(spec, STORAGE_KIND)
    return bool(storage and warehouse and storage.casefold() == warehouse.casefold())


def _text(spec: dg.AssetSpec, key: str) -> str | None:
    value = spec.metadata.get(key)
    value = getattr(value, "value", value)
    return value if isinstance(value, str) and value else None

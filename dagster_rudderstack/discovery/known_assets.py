"""The assets of a project that may be upstream: their specs, their dependencies, their storage."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import dagster as dg

from dagster_rudderstack.discovery.warehouses import known_warehouse
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.text import shown

__all__ = ["TABLE_NAME", "KnownAssets", "UpstreamAssets", "group_of", "storage_of", "text_of"]

_Asset = dg.AssetsDefinition | dg.AssetSpec | dg.SourceAsset
UpstreamAssets = _Asset | dg.Definitions | Iterable[_Asset | dg.Definitions | Iterable[_Asset]]
"""The assets that may be upstream: definitions, specs, `Definitions`, and lists of them."""

TABLE_NAME = "dagster/table_name"
STORAGE_KIND = "dagster/storage_kind"

KINDS_OF_ORIGIN = frozenset({"fivetran"})
"""Kinds of assets whose other kinds say where the rows come from, not where they are stored."""


@dataclass(frozen=True)
class KnownAssets:
    """The assets that the user gave.

    Attributes:
        defined: The assets by key.
        dependencies: Further assets that are only dependencies of these, by key.
        executable: The keys of the assets that Dagster can materialize, as far as is known.
    """

    defined: Mapping[dg.AssetKey, dg.AssetSpec]
    dependencies: Mapping[dg.AssetKey, dg.AssetSpec]
    executable: frozenset[dg.AssetKey]

    @classmethod
    def of(cls, assets: UpstreamAssets) -> "KnownAssets":
        """Return the assets that the user gave.

        Raises:
            InvalidSettingError: If something is not an asset.
        """
        given = list(_specs_of(assets))
        defined = {spec.key: spec for spec, _ in given}
        executable = frozenset(spec.key for spec, is_executable in given if is_executable)
        return cls(defined, dict(_dependencies(defined)), executable)

    @property
    def specs(self) -> Mapping[dg.AssetKey, dg.AssetSpec]:
        """All assets. The tables of dbt sources are dependencies."""
        return {**self.dependencies, **self.defined}


def _specs_of(assets: object) -> Iterator[tuple[dg.AssetSpec, bool]]:
    """Yield the specs of assets, and whether Dagster can materialize them."""
    if isinstance(assets, dg.AssetSpec):
        yield assets, False
    elif isinstance(assets, dg.AssetsDefinition):
        yield from ((spec, assets.is_executable) for spec in assets.specs)
    elif isinstance(assets, dg.SourceAsset):
        yield dg.AssetSpec(assets.key, metadata=assets.metadata), False
    elif isinstance(assets, dg.Definitions):
        # Assets that Dagster has not loaded yet are unknown here.
        yield from _specs_of([each for each in assets.assets or () if isinstance(each, _Asset)])
    elif isinstance(assets, Iterable) and not isinstance(assets, str | dg.AssetKey):
        for each in assets:
            yield from _specs_of(each)
    else:
        raise InvalidSettingError(
            "upstream_assets takes assets, specs, Definitions, and lists of them, not "
            f"{shown(assets)}. Name the asset of a table with upstream_keys: "
            '{"schema.table": "key"}.'
        )


def _dependencies(
    defined: Mapping[dg.AssetKey, dg.AssetSpec],
) -> Iterator[tuple[dg.AssetKey, dg.AssetSpec]]:
    """Yield the dependencies without a definition, except those that may be other assets.

    For a key of one part, Dagster takes an asset of the same group whose key ends with it. For a
    dependency with the name of a table, it takes the asset with that name.
    """
    tables = {text_of(spec, TABLE_NAME) for spec in defined.values()} - {None}
    found: set[dg.AssetKey] = set()
    for dep in (dep for spec in defined.values() for dep in spec.deps):
        if dep.asset_key in defined or dep.asset_key in found or len(dep.asset_key.path) == 1:
            continue
        spec = dg.AssetSpec(dep.asset_key, metadata=dep.metadata)
        if text_of(spec, TABLE_NAME) not in tables:
            found.add(dep.asset_key)
            yield dep.asset_key, spec


def group_of(spec: dg.AssetSpec) -> str:
    """Return the group in which Dagster puts an asset."""
    return spec.group_name or "default"


def storage_of(spec: dg.AssetSpec) -> str | None:
    """Return the kind of storage of an asset, as it is given or by the kinds. None if unknown."""
    stored_in = text_of(spec, STORAGE_KIND) or spec.tags.get(STORAGE_KIND)
    if stored_in:
        return stored_in
    if spec.kinds & KINDS_OF_ORIGIN:
        return None
    warehouses = [kind for kind in spec.kinds if known_warehouse(kind)]
    # With two, one of them is probably read.
    return warehouses[0] if len(warehouses) == 1 else None


def text_of(spec: dg.AssetSpec, key: str) -> str | None:
    """Return a text in the metadata of an asset. None if there is none."""
    value = spec.metadata.get(key)
    value = getattr(value, "value", value)
    return value if isinstance(value, str) and value else None

"""Matches tables to assets by the metadata and the keys of the assets.

A table is matched by an asset's `dagster/table_name` or `dagster/uri`, or else by its key. The
parts of both names are compared from the right, as far as both have parts. The longest match wins,
and of equally long matches the one with the same spelling. An asset that is stored in another
warehouse does not match.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import dagster as dg

from dagster_rudderstack.discovery.external import external_key
from dagster_rudderstack.discovery.known_assets import (
    TABLE_NAME,
    KnownAssets,
    storage_of,
    text_of,
)
from dagster_rudderstack.discovery.tables import UpstreamTable
from dagster_rudderstack.discovery.warehouses import is_elsewhere, known_warehouse
from dagster_rudderstack.metadata import MetadataKey

__all__ = ["AssetIndex", "Matches", "NameIndex", "Named", "spelled"]

URI = "dagster/uri"

Parts = tuple[str, ...]


class Named(Protocol):
    """Something with the name of a table, in parts as they are spelled."""

    @property
    def spelled(self) -> Parts: ...  # noqa: D102 - see the class


_N = TypeVar("_N", bound=Named)


class NameIndex(Generic[_N]):
    """Entries by their names, without regard to case."""

    def __init__(self) -> None:
        self._by_name: dict[Parts, list[_N]] = defaultdict(list)
        self._by_end: dict[Parts, list[_N]] = defaultdict(list)

    def add(self, entry: _N) -> None:
        """Add an entry."""
        parts = folded(entry.spelled)
        self._by_name[parts].append(entry)
        for first in range(len(parts)):
            self._by_end[parts[first:]].append(entry)

    def matches(self, parts: Parts) -> Iterator[tuple[int, Sequence[_N]]]:
        """Yield the entries that match a name, by how many parts they share, the most first."""
        wanted = folded(parts)
        if not wanted:
            return
        yield len(wanted), self._by_end.get(wanted, ())
        for first in range(1, len(wanted)):
            yield len(wanted) - first, self._by_name.get(wanted[first:], ())

    def best(self, parts: Parts, exact: Parts) -> Sequence[_N]:
        """Return the entries that match a name best and equally well."""
        for shared, entries in self.matches(parts):
            if entries:
                return nearest(entries, shared, exact)
        return ()


def nearest(entries: Iterable[_N], shared: int, exact: Parts) -> Sequence[_N]:
    """Return the entries with the same spelling, or else all. Of these, an equal name comes first.

    Args:
        entries: Entries that match a name.
        shared: How many parts they share with it.
        exact: The name as it is spelled.
    """
    ranked: dict[tuple[bool, bool], list[_N]] = defaultdict(list)
    for each in entries:
        is_exact = each.spelled[-shared:] == exact[-shared:]
        ranked[is_exact, len(each.spelled) == len(exact)].append(each)
    return ranked[max(ranked)] if ranked else ()


@dataclass(frozen=True)
class _KnownTable:
    spelled: Parts
    spec: dg.AssetSpec
    storage: str | None


@dataclass(frozen=True)
class Matches:
    """The assets that match a table.

    Attributes:
        keys: The assets that match best and equally well.
        elsewhere: If there is none, the assets that would match if they were not stored in another
            warehouse, with their storage.
    """

    keys: tuple[dg.AssetKey, ...] = ()
    elsewhere: tuple[tuple[dg.AssetKey, str], ...] = ()


class AssetIndex:
    """The assets of a project, indexed by the names of their tables.

    Attributes:
        specs: The assets and their dependencies, by key, without the connections.

    Args:
        known: The assets. Those of connections are not matched to tables.
        connections: The keys of further connections.
    """

    def __init__(self, known: KnownAssets, connections: Collection[dg.AssetKey] = ()) -> None:
        self.specs = {
            key: spec
            for key, spec in known.specs.items()
            if key not in connections and not text_of(spec, MetadataKey.CONNECTION_ID)
        }
        self._taken = {*known.specs, *connections}
        self._by_table: NameIndex[_KnownTable] = NameIndex()
        self._by_key: NameIndex[_KnownTable] = NameIndex()
        self._by_uri: dict[str, list[dg.AssetKey]] = defaultdict(list)
        for spec in self.specs.values():
            self._add(spec)

    def _add(self, spec: dg.AssetSpec) -> None:
        uri, table = text_of(spec, URI), text_of(spec, TABLE_NAME)
        if uri:
            self._by_uri[uri.rstrip("/")].append(spec.key)
        # An asset that names its table is not matched by its key, which may be anything.
        index, name = (self._by_table, spelled(table)) if table else (self._by_key, ())
        index.add(_KnownTable(name or tuple(spec.key.path), spec, storage_of(spec)))

    def matches(self, table: UpstreamTable) -> Matches:
        """Return the assets that match a table."""
        # The address says where files are stored.
        if table.uri and table.uri in self._by_uri:
            return Matches(tuple(self._by_uri[table.uri]))
        elsewhere: list[_KnownTable] = []
        for index in (self._by_table, self._by_key):
            others: Sequence[_KnownTable] = ()
            for shared, entries in index.matches(table.parts):
                here = [each for each in entries if not is_elsewhere(each.storage, table.warehouse)]
                if here:
                    best = _same_storage(nearest(here, shared, table.spelled), table)
                    return Matches(tuple(each.spec.key for each in best))
                others = others or nearest(entries, shared, table.spelled)
            elsewhere += others
        return Matches(elsewhere=tuple((each.spec.key, each.storage or "") for each in elsewhere))

    def free_key(self, table: UpstreamTable) -> dg.AssetKey:
        """Return a key for a table without an asset. It is not the key of another asset."""
        return external_key(table, self._taken)


def _same_storage(entries: Sequence[_KnownTable], table: UpstreamTable) -> Sequence[_KnownTable]:
    """Return the entries that are surely stored in the warehouse of a table, or else all."""
    # A source without a warehouse does not prefer assets without a storage kind.
    wanted = _kind(table.warehouse)
    return [each for each in entries if wanted and _kind(each.storage) == wanted] or entries


def _kind(storage: str | None) -> str | None:
    return storage and (known_warehouse(storage) or storage.casefold())


def spelled(name: str | Iterable[str]) -> Parts:
    """Return the parts of a name without quotes."""
    parts = name.split(".") if isinstance(name, str) else name
    return tuple(part.strip("\"`'[] ") for part in parts)


def folded(name: str | Iterable[str]) -> Parts:
    """Return the parts of a name in lower case and without quotes."""
    return tuple(part.lower() for part in spelled(name))

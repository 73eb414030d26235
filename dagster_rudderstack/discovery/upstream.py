"""Matches the tables that a source reads to the assets of a project.

A table is matched by the metadata of assets (`dagster/table_name`, `dagster/uri`), or else by their
keys: the parts of both names are compared from the right, as far as both have parts. The best match
is used. If there is none, or several are equally good, the table becomes an external asset, unless
the user says which asset it is.
"""

import hashlib
import logging
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import dagster as dg

from dagster_rudderstack.api.models import Source
from dagster_rudderstack.discovery.sql.lineage import QueryLineage, TableName
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.text import shown

__all__ = ["Upstream", "UpstreamAssets", "UpstreamFinder", "UpstreamKeys", "UpstreamTable"]

CoercibleToKey = dg.AssetKey | str | Sequence[str]

_Asset = dg.AssetsDefinition | dg.AssetSpec | dg.SourceAsset
UpstreamAssets = _Asset | dg.Definitions | Iterable[_Asset | dg.Definitions | Iterable[_Asset]]
"""The assets that may be upstream: definitions, specs, `Definitions`, and lists of them."""

TABLE_NAME = "dagster/table_name"
STORAGE_KIND = "dagster/storage_kind"
COLUMN_SCHEMA = "dagster/column_schema"
URI = "dagster/uri"


@dataclass(frozen=True)
class UpstreamTable:
    """A table, or files in a bucket, that a source reads.

    Attributes:
        name: The name that the source uses. For files, the bucket and the prefix.
        warehouse: The kind of warehouse, as RudderStack calls it (`snowflake`). None if unknown.
        uri: The address of files (`s3://bucket/prefix`). None for tables.
    """

    name: TableName
    warehouse: str | None = None
    uri: str | None = None

    def __str__(self) -> str:
        return self.uri or str(self.name)


UpstreamKeys = (
    Mapping[str, CoercibleToKey | None]
    | Callable[[UpstreamTable, Sequence[dg.AssetKey]], CoercibleToKey | None]
)
"""Says which asset a table is.

A mapping from names of tables (`schema.table`) to keys. None leaves a table out. If several names
fit a table, its own name comes first, then the longest. Or a function of the table and the keys of
the assets that match equally well. It returns a key, or None to leave it to the rules.
"""


@dataclass(frozen=True)
class Upstream:
    """A table that a source reads, and the asset that it is.

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
        # dagster-dbt lowers the names of all columns.
        lowered = self.spec is not None and "dbt" in self.spec.kinds
        return dg.TableColumn(name.lower() if lowered else name, UNKNOWN_TYPE)

    def _columns(self) -> Sequence[dg.TableColumn]:
        schema = self.spec.metadata.get(COLUMN_SCHEMA) if self.spec else None
        schema = getattr(schema, "schema", schema)
        return schema.columns if isinstance(schema, dg.TableSchema) else ()


UNKNOWN_TYPE = "unknown"
"""Type of a column whose type is not known. Dagster would show `string`."""


def tables_of(source: Source, query: QueryLineage | None) -> tuple[UpstreamTable, ...]:
    """Return the tables that a source reads. Empty if they are unknown, as for an audience.

    Args:
        source: The source.
        query: What its SQL model reads. None if it has none, or it was not read.
    """
    warehouse = source.source_definition_name
    if query is not None:
        return tuple(UpstreamTable(name, warehouse) for name in query.tables)
    schema, table = source.config.get("schema"), source.config.get("table")
    if isinstance(table, str) and table:
        schema_name = schema if isinstance(schema, str) and schema else None
        return (UpstreamTable(TableName(name=table, schema_name=schema_name), warehouse),)
    return tuple(_files(source.config.get("bucketName"), source.config.get("objectPrefix")))


def _files(bucket: object, prefix: object) -> Iterator[UpstreamTable]:
    if not isinstance(bucket, str) or not bucket:
        return
    path = prefix.strip("/") if isinstance(prefix, str) else ""
    name = TableName(name=path, schema_name=bucket) if path else TableName(name=bucket)
    yield UpstreamTable(name, "s3", f"s3://{bucket}/{path}".rstrip("/"))


class UpstreamFinder:
    """Finds the assets of tables.

    Args:
        assets: The assets of the project.
        keys: What the user says about tables. It precedes all rules.
        log: Gets a warning for each ambiguous table.
        downstream: The keys of the connections themselves, which no rule matches to a table. The
            dependencies of assets are searched too, and may be connections.
    """

    def __init__(
        self,
        assets: UpstreamAssets,
        keys: UpstreamKeys | None,
        log: logging.Logger,
        downstream: Collection[dg.AssetKey] = (),
    ) -> None:
        # Stored, since a generator yields its assets only once.
        self._assets = tuple(_specs(assets))
        self._keys = keys
        self._index = _Index(self._assets, downstream)
        self._said = None if keys is None or callable(keys) else _KeyMapping(_checked(keys))
        self._hook = keys if callable(keys) else None
        self._log = log
        self._found: dict[UpstreamTable, Upstream] = {}
        self._told: set[UpstreamTable] = set()

    def beside(self, downstream: Collection[dg.AssetKey]) -> "UpstreamFinder":
        """Return a finder in the same assets for connections with these keys."""
        return UpstreamFinder(self._assets, self._keys, self._log, downstream)

    def finds_among(self, keys: Collection[dg.AssetKey]) -> bool:
        """Whether one of these keys is among the assets or was found."""
        found = {upstream.key for upstream in self._found.values()}
        return any(key in self._index.specs or key in found for key in keys)

    def find(self, table: UpstreamTable) -> Upstream:
        """Return the asset of a table."""
        if table not in self._found:
            self._found[table] = self._find(table)
        return self._found[table]

    def tell_ambiguous(self, upstreams: Iterable[Upstream]) -> None:
        """Warn once of each of these tables that may be one of several assets."""
        for upstream in upstreams:
            table, key = upstream.table, upstream.key
            if not upstream.candidates or key is None or table in self._told:
                continue
            self._told.add(table)
            self._log.warning(
                f"Table {table} may be any of the assets {_listed(upstream.candidates)}. It is "
                f"shown as {key.to_user_string()!r}. Say which it is with upstream_keys: "
                f"{{{str(table.name)!r}: …}}."
            )

    def _find(self, table: UpstreamTable) -> Upstream:
        if self._said is not None and (said := self._said.entry(table.name)) is not None:
            return self._upstream(table, said.key)
        candidates = self._index.candidates(table)
        chosen = self._hook(table, candidates) if self._hook else None
        if chosen is not None:
            return self._upstream(table, _key(chosen, f"what it returned for table {table}"))
        if len(candidates) == 1:
            return self._upstream(table, candidates[0])
        return Upstream(table, self._index.free_key(table), candidates=tuple(candidates))

    def _upstream(self, table: UpstreamTable, key: dg.AssetKey | None) -> Upstream:
        return Upstream(table, key, self._index.specs.get(key) if key else None)


def external_key(table: UpstreamTable) -> dg.AssetKey:
    """Return the key of a table without a known asset: its name in lower case."""
    parts = (piece for part in table.name.parts for piece in part.lower().split("/"))
    return dg.AssetKey([safe_part(piece) for piece in parts if piece])


def safe_part(text: str) -> str:
    """Return a text as a part of a key that Dagster can use in names of inputs and outputs.

    Letters that are not ASCII are lost. A few digits then distinguish such texts.
    """
    safe = re.sub(r"[^A-Za-z0-9_.-]+", "_", without_accents(text))
    if not loses_letters(text):
        return safe
    digits = hashlib.sha256(text.encode()).hexdigest()[:6]
    return "_".join(part for part in (safe.strip("_"), digits) if part)


def loses_letters(text: str) -> bool:
    """Whether a text has letters that are not ASCII, even without their accents."""
    return any(char.isalnum() and not char.isascii() for char in without_accents(text))


def without_accents(text: str) -> str:
    """Return a text with accented letters as plain ones."""
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(char for char in decomposed if not unicodedata.combining(char))


def _checked(keys: object) -> Mapping[str, CoercibleToKey | None]:
    if not isinstance(keys, Mapping) or not all(isinstance(name, str) for name in keys):
        raise InvalidSettingError(
            "upstream_keys takes a mapping of names of tables to keys, or a function, not "
            f"{shown(keys)}."
        )
    return keys


def _key(key: object, of: str) -> dg.AssetKey:
    if isinstance(key, dg.AssetKey):
        return key
    if isinstance(key, str) and key.strip("/"):
        return dg.AssetKey.from_user_string(key)
    if isinstance(key, Sequence) and key and all(isinstance(part, str) and part for part in key):
        return dg.AssetKey(key)
    raise InvalidSettingError(
        f"upstream_keys: {of} is {shown(key)}, not the key of an asset: "
        "'customers', 'analytics/customers' or ['analytics', 'customers']."
    )


def _listed(keys: Iterable[dg.AssetKey]) -> str:
    return ", ".join(repr(key.to_user_string()) for key in keys)


def _with_deps(specs: Iterable[dg.AssetSpec]) -> Mapping[dg.AssetKey, dg.AssetSpec]:
    """Return the assets and their dependencies by key. Sources of dbt have their tables there."""
    known = {spec.key: spec for spec in specs}
    deps = [dep for spec in known.values() for dep in spec.deps]
    for dep in deps:
        known.setdefault(dep.asset_key, dg.AssetSpec(dep.asset_key, metadata=dep.metadata))
    return known


def _specs(assets: object) -> Iterator[dg.AssetSpec]:
    if isinstance(assets, dg.AssetSpec):
        yield assets
    elif isinstance(assets, dg.AssetsDefinition):
        yield from assets.specs
    elif isinstance(assets, dg.SourceAsset):
        yield dg.AssetSpec(assets.key, metadata=assets.metadata)
    elif isinstance(assets, dg.Definitions):
        # Assets that Dagster has not loaded yet are unknown here.
        yield from _specs([each for each in assets.assets or () if isinstance(each, _Asset)])
    elif isinstance(assets, Iterable) and not isinstance(assets, str | dg.AssetKey):
        for each in assets:
            yield from _specs(each)
    else:
        raise InvalidSettingError(
            "upstream_assets takes assets, specs, Definitions, and lists of them, not "
            f"{shown(assets)}. Say which asset a table is with upstream_keys: "
            '{"schema.table": "key"}.'
        )


Parts = tuple[str, ...]


def _folded(parts: Iterable[str]) -> Parts:
    return tuple(part.strip("\"`'[] ").lower() for part in parts)


def _split(name: str) -> Parts:
    return _folded(name.split("."))


def agreement(one: Parts, other: Parts) -> int:
    """Return how many parts two names share, from the right. 0 if they differ."""
    pairs = list(zip(reversed(one), reversed(other), strict=False))
    return len(pairs) if all(left == right for left, right in pairs) else 0


class _Index:
    """The assets of a project, by the last part of the names of their tables."""

    def __init__(
        self, specs: Iterable[dg.AssetSpec], downstream: Collection[dg.AssetKey] = ()
    ) -> None:
        known = _with_deps(specs)
        self.specs = {key: spec for key, spec in known.items() if key not in downstream}
        self._taken = {*known, *downstream}
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
        by, parts = (self._by_table, _split(table)) if table else (self._by_key, None)
        parts = parts or _folded(spec.key.path)
        by[parts[-1]].append((parts, spec))

    def free_key(self, table: UpstreamTable) -> dg.AssetKey:
        """Return a key for a table that is not an asset. It is not the key of another asset."""
        key = external_key(table)
        if key not in self._taken:
            return key
        return dg.AssetKey([table.warehouse or "warehouse", *key.path])

    def candidates(self, table: UpstreamTable) -> Sequence[dg.AssetKey]:
        """Return the assets that match a table best and equally well."""
        found: Sequence[dg.AssetSpec] = self._by_uri.get(table.uri, ()) if table.uri else ()
        parts = _folded(external_key(table).path if table.uri else table.name.parts)
        for index in (self._by_table, self._by_key):
            found = found or _best(parts, index.get(parts[-1], ()))
        same_storage = [spec for spec in found if _is_stored_in(spec, table.warehouse)]
        return [spec.key for spec in same_storage or found]


_T = TypeVar("_T")


def _best(parts: Parts, known: Iterable[tuple[Parts, _T]]) -> Sequence[_T]:
    """Return what has the name that fits best: the most parts, and the same name first."""
    ranked: dict[tuple[int, bool], list[_T]] = defaultdict(list)
    for other, each in known:
        ranked[agreement(parts, other), parts == other].append(each)
    ranked.pop((0, False), None)
    return ranked[max(ranked)] if ranked else ()


def _is_stored_in(spec: dg.AssetSpec, warehouse: str | None) -> bool:
    # A source without a warehouse does not prefer assets without a storage kind.
    storage = _text(spec, STORAGE_KIND)
    return bool(storage and warehouse and storage.casefold() == warehouse.casefold())


def _text(spec: dg.AssetSpec, key: str) -> str | None:
    value = spec.metadata.get(key)
    value = getattr(value, "value", value)
    return value if isinstance(value, str) and value else None


@dataclass(frozen=True)
class _Entry:
    name: str
    key: dg.AssetKey | None


class _KeyMapping:
    """The user's mapping of tables. The name that fits best wins."""

    def __init__(self, keys: Mapping[str, CoercibleToKey | None]) -> None:
        self._entries = {
            _split(name): _Entry(name, None if key is None else _key(key, repr(name)))
            for name, key in keys.items()
        }

    def entry(self, name: TableName) -> _Entry | None:
        """Return the entry of a table. None if there is none.

        Raises:
            InvalidSettingError: If names that fit equally well have different keys.
        """
        best = _best(_folded(name.parts), self._entries.items())
        if len({entry.key for entry in best}) > 1:
            names = " and ".join(repr(entry.name) for entry in best)
            raise InvalidSettingError(
                f"upstream_keys: {names} fit table {name} equally well, and have different keys. "
                f"Use the table's own name: {{{str(name)!r}: …}}."
            )
        return best[0] if best else None

"""Reads SQL with sqlglot; only `lineage.read_query` imports this, since sqlglot is an extra."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.lineage import Node, lineage
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import build_scope, traverse_scope

from dagster_rudderstack.lineage import ColumnOrigin, QueryLineage, TableName
from dagster_rudderstack.text import one_line

__all__ = ["lineage_of"]

MAX_QUERY_LENGTH = 50_000
"""A longer query was generated; what reading it takes grows with the square of its length."""

MAX_NESTING = 100
"""Deeper nesting was generated too. A compiled sqlglot does not raise a RecursionError far beyond
it: it brings the process down."""

DIALECTS: Mapping[str, str] = {
    "bigquery": "bigquery",
    "databricks": "databricks",
    "duckdb": "duckdb",
    "mysql": "mysql",
    "postgres": "postgres",
    "redshift": "redshift",
    "snowflake": "snowflake",
    "trino": "trino",
}
"""Kind of warehouse -> dialect of sqlglot; any other warehouse is read in sqlglot's own dialect."""


def lineage_of(sql: str, warehouse: str | None) -> QueryLineage:
    """Return what a query reads; see `lineage.read_query`."""
    if len(sql) > MAX_QUERY_LENGTH:
        return QueryLineage(problem=f"it is longer than {MAX_QUERY_LENGTH} characters")
    if _nesting(sql) > MAX_NESTING:
        return QueryLineage(problem=f"it is nested more than {MAX_NESTING} levels deep")
    dialect = DIALECTS.get((warehouse or "").lower())
    try:
        query = _parsed(sql, dialect)
        tables = _tables(query)
    except Exception as error:  # noqa: BLE001 - one odd query must not stop the discovery of all
        return QueryLineage(problem=_reason(error))
    try:
        columns, star = _columns(query, dialect, tables)
    except Exception as error:  # noqa: BLE001 - as above, and the tables are known
        return QueryLineage(tables=tables, problem=f"its columns: {_reason(error)}")
    return QueryLineage(tables=tables, columns=columns, star=star)


_QUOTED = re.compile(r"""'[^']*'|"[^"]*"|--[^\n]*|/\*.*?\*/""", re.DOTALL)
_BRACKET = re.compile(r"(?P<opens>[(\[{]|\bcase\b)|[)\]}]|\bend\b", re.IGNORECASE)


def _nesting(sql: str) -> int:
    """Return how deep a query is nested at most."""
    steps = (1 if each["opens"] else -1 for each in _BRACKET.finditer(_QUOTED.sub("", sql)))
    return max(accumulate(steps, lambda depth, step: max(0, depth + step)), default=0)


def _reason(error: Exception) -> str:
    # sqlglot's own words mark the place in the query for a terminal; what it found is enough.
    details = getattr(error, "errors", None)
    if isinstance(details, list) and details and details[0].get("description"):
        first = details[0]
        return one_line(
            f"{first['description']} (line {first['line']}, column {first['col']})", 200
        )
    return one_line(str(error), 200) or type(error).__name__


def _parsed(sql: str, dialect: str | None) -> exp.Query:
    parsed = sqlglot.parse(sql, dialect=dialect)
    # A comment behind the last semicolon comes as a statement of its own.
    statements = [each for each in parsed if each and not isinstance(each, exp.Semicolon)]
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise ValueError("it is not one SELECT")
    return statements[0]


def _tables(query: exp.Query) -> tuple[TableName, ...]:
    found: dict[tuple[str, ...], TableName] = {}
    for scope in traverse_scope(query):
        for source in scope.sources.values():
            table = _table_name(source)
            if table is not None:
                found.setdefault(_folded(table), table)
    return tuple(found.values())


def _table_name(source: object) -> TableName | None:
    """Return the name of a table; None for a subquery, and for a function that makes a table."""
    if not isinstance(source, exp.Table) or not isinstance(source.this, exp.Identifier):
        return None
    return TableName(
        name=source.name, schema_name=source.db or None, catalog=source.catalog or None
    )


def _folded(table: TableName) -> tuple[str, ...]:
    return tuple(part.lower() for part in table.parts)


def _columns(
    query: exp.Query, dialect: str | None, tables: tuple[TableName, ...]
) -> tuple[dict[str, tuple[ColumnOrigin, ...]], int | None]:
    """Return the origins of each output column, and the table that `*` passes through."""
    places = _Places(query, tables)
    query = qualify(
        query, dialect=dialect, schema={}, validate_qualify_columns=False, identify=False
    )
    scope = build_scope(query)
    columns: dict[str, tuple[ColumnOrigin, ...]] = {}
    for name in (output.alias_or_name for output in query.selects if not output.is_star):
        # A column that cannot be followed, as one without a name, takes no other with it.
        with contextlib.suppress(SqlglotError):
            # Quoted, since qualifying has folded the name already, if it is one to be folded.
            # Neither copied nor trimmed: labels for people, which cost more than all the rest.
            node = lineage(
                exp.column(exp.to_identifier(name, quoted=True)),
                query,
                {},
                dialect=dialect,
                scope=scope,
                trim_selects=False,
                copy=False,
            )
            origins = places.origins(node)
            if origins is not None:
                columns[name.lower()] = origins
    return columns, places.star(scope)


class _Places:
    """Finds the tables and columns of a query in what sqlglot made of it."""

    def __init__(self, query: exp.Query, tables: tuple[TableName, ...]) -> None:
        self._places = {_folded(table): place for place, table in enumerate(tables)}
        # As they are written: qualifying folds unquoted names as the warehouse does.
        self._spelling = {each.name.lower(): each.name for each in query.find_all(exp.Column)}

    def of(self, source: object) -> int | None:
        """Return the place of a table; None for what is not a table."""
        table = _table_name(source)
        return None if table is None else self._places.get(_folded(table))

    def origins(self, node: Node) -> tuple[ColumnOrigin, ...] | None:
        """Return the columns at the far end of a lineage; None if one of them is nobody's."""
        found: set[ColumnOrigin] = set()
        for parent, leaf in _leaves(node):
            place = self.of(leaf.source)
            if place is not None:
                column = _last_part(parent.name if leaf.name == "*" else leaf.name)
                column = self._spelling.get(column.lower(), column)
                found.add(ColumnOrigin(table=place, column=column))
            elif _is_unknown(leaf):
                return None
        return tuple(sorted(found, key=lambda origin: (origin.table, origin.column)))

    def star(self, scope: Any) -> int | None:
        """Return the table whose columns pass through a scope; None: none, or several."""
        if not isinstance(scope.expression, exp.Select):
            return None
        stars = [each for each in scope.expression.selects if each.is_star]
        sources = [source for each in stars for source in _sources_of_star(scope, each)]
        if len(sources) != 1:
            return None
        (source,) = sources
        return self.of(source) if isinstance(source, exp.Table) else self.star(source)


def _leaves(node: Node) -> Iterator[tuple[Node, Node]]:
    """Yield the far ends of a lineage, each with the node that leads to it."""
    for parent in node.walk():
        if not parent.downstream:
            if parent is node:
                yield node, node
            continue
        yield from ((parent, leaf) for leaf in parent.downstream if not leaf.downstream)


def _is_unknown(leaf: Node) -> bool:
    """Whether a leaf is a column without a table, so that nobody can tell whose it is."""
    return isinstance(leaf.source, exp.Placeholder) or leaf.name == "*"


_LAST_PART = re.compile(r'"(?P<quoted>(?:[^"]|"")*)"\Z|(?P<plain>[^."]*)\Z')


def _last_part(name: str) -> str:
    """Return the column of `table.column`, either of them quoted or not."""
    found = _LAST_PART.search(name)
    quoted = found["quoted"] if found else None
    if quoted is not None:
        return quoted.replace('""', '"')
    return found["plain"] if found else name


def _sources_of_star(scope: Any, star: object) -> list[Any]:
    """Return the tables and subqueries that `*` or `table.*` stands for."""
    if isinstance(star, exp.Column):
        return [scope.sources[star.table]]
    return [source for _, source in scope.selected_sources.values()]

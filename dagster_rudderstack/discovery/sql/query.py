"""Reads SQL with sqlglot. Only `read.read_query` imports this, since sqlglot is an extra."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from itertools import accumulate

import sqlglot
from sqlglot import exp
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import build_scope, traverse_scope

from dagster_rudderstack.discovery.sql.columns import (
    ColumnFinder,
    Origins,
    Places,
    hide_uncertain,
    table_name,
)
from dagster_rudderstack.discovery.sql.lineage import ColumnOrigin, QueryLineage, TableName
from dagster_rudderstack.text import one_line

__all__ = ["lineage_of"]

MAX_QUERY_LENGTH = 50_000
"""A longer query is not read, since the time to read one grows with the square of its length. Such
queries are generated, not written by people."""

MAX_NESTING = 100
"""A query with deeper nesting is not read. Far beyond this limit, a compiled sqlglot crashes the
process and does not raise a RecursionError."""

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
"""sqlglot's dialect for each kind of warehouse. Others are read in sqlglot's own dialect."""


def lineage_of(sql: str, warehouse: str | None) -> QueryLineage:
    """Return what a query reads, see `read.read_query`."""
    if len(sql) > MAX_QUERY_LENGTH:
        return QueryLineage(problem=f"it is longer than {MAX_QUERY_LENGTH} characters")
    if _nesting(sql) > MAX_NESTING:
        return QueryLineage(problem=f"it is nested more than {MAX_NESTING} levels deep")
    dialect = DIALECTS.get((warehouse or "").lower())
    try:
        query = _parsed(sql, dialect)
        tables = _tables(query)
    except Exception as error:  # noqa: BLE001 - one query must not stop the discovery
        return QueryLineage(problem=_reason(error))
    try:
        columns, star = _columns(query, dialect, tables)
    except Exception as error:  # noqa: BLE001 - as above
        return QueryLineage(tables=tables, problem=_reason(error))
    return QueryLineage(tables=tables, columns=columns, star=star)


_QUOTED = re.compile(r"""'[^']*'|"[^"]*"|--[^\n]*|/\*.*?\*/""", re.DOTALL)
_BRACKET = re.compile(r"(?P<opens>[(\[{]|\bcase\b)|[)\]}]|\bend\b", re.IGNORECASE)


def _nesting(sql: str) -> int:
    """Return the deepest nesting of a query."""
    steps = (1 if each["opens"] else -1 for each in _BRACKET.finditer(_QUOTED.sub("", sql)))
    return max(accumulate(steps, lambda depth, step: max(0, depth + step)), default=0)


def _reason(error: Exception) -> str:
    # The rest of sqlglot's message repeats the query, with escape codes for a terminal.
    details = getattr(error, "errors", None)
    if isinstance(details, list) and details and details[0].get("description"):
        first = details[0]
        return one_line(
            f"{first['description']} (line {first['line']}, column {first['col']})", 200
        )
    return one_line(str(error), 200) or type(error).__name__


def _parsed(sql: str, dialect: str | None) -> exp.Query:
    parsed = sqlglot.parse(sql, dialect=dialect)
    # A comment after the last semicolon is a statement of its own.
    statements = [each for each in parsed if each and not isinstance(each, exp.Semicolon)]
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise ValueError("it is not one SELECT")
    query = statements[0]
    while isinstance(query, exp.Subquery) and query.is_wrapper:
        query = query.this.pop()
    return query


def _tables(query: exp.Query) -> tuple[TableName, ...]:
    found: dict[tuple[str, ...], TableName] = {}
    for scope in traverse_scope(query):
        subqueries = {name.lower() for name in scope.cte_sources}
        for source in scope.sources.values():
            table = table_name(source)
            # sqlglot takes a common table expression for a table if it is behind a pivot, or if
            # its name is written in another case.
            if table is not None and (len(table.parts) > 1 or table.name.lower() not in subqueries):
                found.setdefault(table.folded, table)
    return tuple(found.values())


_CONDITIONS = (
    "where",
    "having",
    "qualify",
    "group",
    "order",
    "sort",
    "cluster",
    "distribute",
    "on",
)
"""The parts of a query and of a join that select and order rows. `using` also makes columns."""


def _columns(
    query: exp.Query, dialect: str | None, tables: tuple[TableName, ...]
) -> tuple[dict[str, tuple[ColumnOrigin, ...]], int | None]:
    """Return the origins of each output column, and the table that `*` passes through."""
    places = Places(query, tables)
    _refuse_renamed_stars(query)
    _drop_conditions(query)
    hide_uncertain(query, dialect)
    query = qualify(
        query,
        dialect=dialect,
        schema={},
        expand_alias_refs=False,
        validate_qualify_columns=False,
        identify=False,
    )
    scope = build_scope(query)
    if scope is None:
        return {}, None
    finder = ColumnFinder(places, scope)
    star = finder.star()
    columns: dict[str, tuple[ColumnOrigin, ...]] = {}
    outputs = finder.outputs()
    spellings = Counter(name.lower() for name in outputs)
    for name, origins in outputs.items():
        # Columns are looked up without regard to case, so "Id" and ID are the same.
        if origins is not None and spellings[name.lower()] == 1:
            columns[name.lower()] = _sorted(origins)
        elif star is not None:
            # Otherwise it would be taken for a column that passes through.
            columns[name.lower()] = ()
    return columns, star


def _drop_conditions(query: exp.Query) -> None:
    """Drop what selects and orders rows. No output column is made from it.

    Without the warehouse's schema, sqlglot often cannot resolve the columns in these parts, and
    rejects the whole query if it cannot resolve one.
    """
    for part in list(query.find_all(exp.Select, exp.SetOperation, exp.Join)):
        for clause in _CONDITIONS:
            if clause in part.args:
                part.set(clause, None)


def _refuse_renamed_stars(query: exp.Query) -> None:
    """Refuse `t (a, b) as (select * ...)`: sqlglot drops the names of the columns."""
    for alias in query.find_all(exp.TableAlias):
        named = alias.parent.this if alias.columns and alias.parent else None
        if isinstance(named, exp.Query) and named.is_star:
            raise ValueError(f"{alias.name} gives other names to the columns of *")


def _sorted(origins: Origins) -> tuple[ColumnOrigin, ...]:
    return tuple(sorted(origins, key=lambda origin: (origin.table, origin.column)))

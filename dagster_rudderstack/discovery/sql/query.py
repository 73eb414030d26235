"""Reads SQL with sqlglot. Only `worker` imports this, since sqlglot is an extra."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import accumulate

import sqlglot
from sqlglot import TokenType, exp
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
from dagster_rudderstack.text import one_line, well_formed

__all__ = ["lineage_of"]

MAX_QUERY_LENGTH = 50_000
"""A longer query is not read, since the time to read one grows with the square of its length. Such
queries are generated, not written by people."""

MAX_NESTING = 100
"""A query with deeper nesting is not read. Far beyond this limit, a compiled sqlglot crashes the
process and does not raise a RecursionError."""

MAX_RESULT_LENGTH = 250_000
"""About how many characters the origins of all columns may have as JSON. 2,000 columns have about
100,000."""

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
    """Return what a query reads, see `read.Query`.

    A hostile query may take hours or end the process, see `read.read_queries`.

    Raises:
        MemoryError: If the query takes too much memory. The process may then not have enough for
            another one.
    """
    if len(sql) > MAX_QUERY_LENGTH:
        return QueryLineage(problem=f"it is longer than {MAX_QUERY_LENGTH} characters")
    dialect = DIALECTS.get((warehouse or "").lower())
    tables: tuple[TableName, ...] = ()
    if well_formed(sql) != sql:
        # The JSON of a result could not have it.
        return QueryLineage(problem="it has half of a surrogate pair")
    try:
        if _nesting(sql, dialect) > MAX_NESTING:
            return QueryLineage(problem=f"it is nested more than {MAX_NESTING} levels deep")
        query = _parsed(sql, dialect)
        tables = _tables(query)
        columns, star = _columns(query, dialect, tables)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - one query must not stop the discovery
        return QueryLineage(tables=tables, problem=_reason(error))
    return QueryLineage(tables=tables, columns=columns, star=star)


_OPENING = frozenset({TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE, TokenType.CASE})
_CLOSING = frozenset({TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE, TokenType.END})


def _nesting(sql: str, dialect: str | None) -> int:
    """Return the deepest nesting of a query, in the tokens that sqlglot parses."""
    kinds = (token.token_type for token in sqlglot.tokenize(sql, dialect=dialect))
    steps = ((kind in _OPENING) - (kind in _CLOSING) for kind in kinds)
    return max(accumulate(steps, lambda depth, step: max(0, depth + step)), default=0)


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
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
    _refuse_large(outputs)
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


def _refuse_large(outputs: Mapping[str, Origins | None]) -> None:
    """Refuse a result that is much larger than the query, before more is made of it."""
    size = 0
    for name, origins in outputs.items():
        size += len(name) + sum(len(origin.column) + 30 for origin in origins or ())
        if size > MAX_RESULT_LENGTH:
            raise ValueError("too many columns are behind its columns")


def _sorted(origins: Origins) -> tuple[ColumnOrigin, ...]:
    return tuple(sorted(origins, key=lambda origin: (origin.table, origin.column)))

"""Reads SQL with sqlglot. Only `worker` imports this, since sqlglot is an extra."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

import sqlglot
from sqlglot import TokenType, exp

from dagster_rudderstack.discovery.sql.lineage import ColumnOrigin, QueryLineage
from dagster_rudderstack.discovery.sql.origins import OriginFinder, Origins
from dagster_rudderstack.discovery.sql.reader import QueryReader
from dagster_rudderstack.discovery.sql.relations import STAR, ColumnOf, Relation, Table
from dagster_rudderstack.discovery.sql.rules import Rules, rules_of
from dagster_rudderstack.discovery.sql.scopes import folded
from dagster_rudderstack.text import one_line, plural, well_formed

__all__ = ["lineage_of"]

MAX_QUERY_LENGTH = 500_000
"""A longer query is not read. Such queries are generated, not written by people, and one of them
takes sqlglot seconds and hundreds of megabytes."""

MAX_NESTING = 100
"""A query with deeper nesting is not read. Far beyond this limit, a compiled sqlglot crashes the
process and does not raise a RecursionError."""

MAX_RESULT_LENGTH = 250_000
"""About how many characters the origins of all columns may have as JSON. 2,000 columns have about
100,000."""


def lineage_of(sql: str, warehouse: str | None) -> QueryLineage:
    """Return what a query reads, see `read.Query`.

    A hostile query may take hours or end the process, see `read.read_queries`.

    Raises:
        MemoryError: If the query takes too much memory. The process may then not have enough for
            another one.
    """
    if len(sql) > MAX_QUERY_LENGTH:
        return QueryLineage(problem=f"it is longer than {MAX_QUERY_LENGTH} characters")
    if well_formed(sql) != sql:
        # The JSON of a result could not have it.
        return QueryLineage(problem="it has half of a surrogate pair")
    rules = rules_of(warehouse)
    try:
        if _nesting(sql, rules.dialect) > MAX_NESTING:
            return QueryLineage(problem=f"it is nested more than {MAX_NESTING} levels deep")
        return _read(sql, rules)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - one query must not stop the discovery
        if "{{" in sql or "{%" in sql:
            return QueryLineage(problem="it has a template, {{ … }}, and RudderStack runs only SQL")
        return QueryLineage(problem=_reason(error))


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
        # Some descriptions end with an object of sqlglot.
        what = first["description"].partition(" but got <")[0].partition(" for <")[0]
        return one_line(f"{what} (line {first['line']}, column {first['col']})", 200)
    return one_line(str(error), 200) or type(error).__name__


def _parsed(sql: str, dialect: str | None) -> exp.Query:
    parsed = sqlglot.parse(sql, dialect=dialect)
    # A comment after the last semicolon is a statement of its own.
    statements = [each for each in parsed if each and not isinstance(each, exp.Semicolon)]
    if len(statements) != 1:
        raise ValueError(f"it has {plural(len(statements), 'statement')}, not one SELECT")
    query = statements[0]
    if not isinstance(query, exp.Query):
        raise ValueError(f"it is {query.key.upper()}, not SELECT")  # noqa: TRY004 - wrong SQL
    while isinstance(query, exp.Subquery) and query.is_wrapper:
        query = query.this.pop()
    return query


def _read(sql: str, rules: Rules) -> QueryLineage:
    query = _parsed(sql, rules.dialect)
    reader = QueryReader(rules)
    root = reader.read(query)
    problem = None
    columns: dict[str, tuple[ColumnOrigin, ...]] = {}
    star = None
    try:
        columns, star = _columns(root, _Spelling(query, rules))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - the tables are known
        problem = _reason(error)
    return QueryLineage(
        tables=tuple(reader.tables),
        columns=columns,
        star=star,
        unread=tuple(reader.unread),
        problem=problem,
    )


def _columns(
    root: Relation, spelling: _Spelling
) -> tuple[dict[str, tuple[ColumnOrigin, ...]], int | None]:
    """Return the origins of each output column, and the table that `*` passes through."""
    stars = [output for output in root.outputs if output.name == STAR]
    passing = stars[0].source if len(stars) == 1 else None
    star = passing.place if isinstance(passing, Table) else None
    finder = OriginFinder()
    columns: dict[str, tuple[ColumnOrigin, ...]] = {}
    size = 0
    for name in dict.fromkeys(_names(root)):
        origins = finder.origins((ColumnOf(root, name),))
        if origins is not None:
            columns[name] = spelling.of(origins)
        elif star is not None:
            # Otherwise it would be taken for a column that passes through.
            columns[name] = ()
        size += len(name) + sum(len(each.column) + 30 for each in origins or ())
        if size > MAX_RESULT_LENGTH:
            raise ValueError("too many columns are behind its columns")
    return columns, star


def _names(root: Relation) -> Iterator[str]:
    """Yield the names of the outputs, and of the columns that `*` leaves out."""
    for output in root.outputs:
        yield from output.removed
        if output.name not in {STAR, ""}:
            yield output.name


class _Spelling:
    """The columns as the query spells them."""

    def __init__(self, query: exp.Query, rules: Rules) -> None:
        self._rules = rules
        self._written: dict[str, str] = {}
        named = [
            *(each.this for each in query.find_all(exp.Column)),
            *query.find_all(exp.Identifier),
        ]
        for each in named:
            if isinstance(each, exp.Identifier):
                self._written.setdefault(folded(each, rules), each.name)

    def of(self, origins: Origins) -> tuple[ColumnOrigin, ...]:
        found = []
        for origin in origins:
            written = self._written.get(origin.column, origin.column)
            is_exact = written == origin.column or self._rules.columns == "any"
            exact = None if is_exact else origin.column
            found.append(ColumnOrigin(table=origin.table, column=written, exact=exact))
        return tuple(sorted(found, key=lambda each: (each.table, each.column)))

"""Traces the columns of a query to the columns of its tables.

sqlglot has already resolved the table of each column where it could, see `query`. The origins of a
column are None if they cannot be known without the schema of the warehouse. They are never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from sqlglot import exp
from sqlglot.optimizer.scope import Scope, find_all_in_scope, traverse_scope

from dagster_rudderstack.discovery.sql.lineage import ColumnOrigin, TableName
from dagster_rudderstack.discovery.sql.outputs import (
    STAR,
    Star,
    branches_of,
    changed_sources,
    layout_of,
    layout_of_source,
    may_have,
    named_outputs,
    names_in_place,
    only_source,
    output_names,
    source_named,
    stars_of,
    unwrapped,
)

__all__ = ["ColumnFinder", "Origins", "Places", "hide_uncertain", "table_name"]

Origins = frozenset[ColumnOrigin]

NONE: Origins = frozenset()

T = TypeVar("T", bound=exp.Expression)


WITHOUT_ALIAS_REFERENCES = frozenset({"bigquery", "mysql", "postgres", "trino"})
"""Dialects in which an output of a SELECT cannot refer to another one by its name."""


def table_name(source: object) -> TableName | None:
    """Return the name of a table. None for a subquery, and for a function that makes a table."""
    if not isinstance(source, exp.Table) or not isinstance(source.this, exp.Identifier):
        return None
    return TableName(
        name=source.name, schema_name=source.db or None, catalog=source.catalog or None
    )


def hide_uncertain(query: exp.Query, dialect: str | None) -> None:
    """Replace each column without a table that may be something else by a placeholder.

    In a subquery it may be a column of the outer query, elsewhere another output. Depending on its
    release, sqlglot guesses or rejects the whole query. `ColumnFinder` resolves the placeholders.
    """
    for scope in traverse_scope(query):
        if scope.can_be_correlated:
            _hide(_all(scope.expression, exp.Column))
    if dialect not in WITHOUT_ALIAS_REFERENCES:
        for select in query.find_all(exp.Select):
            _hide(_alias_references(select))


def _alias_references(select: exp.Select) -> Iterator[exp.Column]:
    """Yield the columns of a SELECT that have the name of an earlier output."""
    before: set[str] = set()
    for output in select.selects:
        columns = [] if output.is_star else list(_all(output, exp.Column))
        yield from (each for each in columns if each.name.lower() in before)
        # An output that reads a column of its own name proves that the column exists. The column
        # takes precedence.
        if output.alias_or_name.lower() not in {each.name.lower() for each in columns}:
            before.add(output.alias_or_name.lower())


def _hide(columns: Iterable[exp.Column]) -> None:
    for column in list(columns):
        if column.table or column.name == STAR or column.find_ancestor(exp.Pivot, exp.Star):
            continue
        hidden = exp.Placeholder(this=column.this.copy())
        named = isinstance(column.parent, exp.Select)
        column.replace(exp.alias_(hidden, column.this.copy()) if named else hidden)


class Places:
    """Finds the tables and columns of a query as they are spelled in it.

    Qualifying a query changes the case of unquoted names as the warehouse does.
    """

    def __init__(self, query: exp.Query, tables: tuple[TableName, ...]) -> None:
        self._places = {table.folded: place for place, table in enumerate(tables)}
        self._spelling = {each.name.lower(): each.name for each in query.find_all(exp.Column)}

    def of(self, source: object) -> int | None:
        """Return the index of a table. None for anything else."""
        table = table_name(source)
        return None if table is None else self._places.get(table.folded)

    def spelled(self, column: str) -> str:
        """Return a column as the query spells it."""
        return self._spelling.get(column.lower(), column)


@dataclass(frozen=True)
class _Select:
    """The outputs of a SELECT, see `named_outputs` and `stars_of`."""

    named: Mapping[str, exp.Expr | None]
    stars: list[Star]


class ColumnFinder:
    """Finds the origins of the outputs of a query."""

    def __init__(self, places: Places, root: Scope) -> None:
        self._places = places
        self._root = root
        self._scopes = {id(scope.expression): scope for scope in root.traverse()}
        self._found: dict[tuple[int, str], Origins | None] = {}
        self._selects: dict[int, _Select] = {}

    def outputs(self) -> dict[str, Origins | None]:
        """Return the origins of each named output of the query. None means unknown.

        The columns that a `*` leaves out are among them, with unknown origins.
        """
        names = dict.fromkeys(output_names(self._root))
        return {name: self._of(self._root, name) for name in names if name}

    def star(self) -> int | None:
        """Return the table whose columns pass through the query. None if none, or several."""
        return self._star(self._root)

    def _of(self, scope: Scope, name: str) -> Origins | None:
        """Return the origins of one output of a query or a part of it. None means unknown."""
        key = (id(scope), name)
        if key not in self._found:
            # A recursive query may make a column from itself, which adds no origin.
            self._found[key] = NONE
            self._found[key] = self._find(scope, name)
        return self._found[key]

    def _star(self, scope: Scope) -> int | None:
        sources = [each.source for each in stars_of(unwrapped(scope))]
        # A subquery that lists its columns needs no star.
        sources = [each for each in sources if STAR in layout_of_source(each)]
        if len(sources) != 1:
            return None
        (source,) = sources
        return self._star(source) if isinstance(source, Scope) else self._places.of(source)

    def _find(self, scope: Scope, name: str) -> Origins | None:
        scope = unwrapped(scope)
        if isinstance(scope.expression, exp.SetOperation):
            return self._of_union(scope, name)
        if isinstance(scope.expression, exp.UDTF):
            return self._of_function(scope, name)
        if not isinstance(scope.expression, exp.Select):
            return None
        # Read once, since a SELECT may have hundreds of columns.
        if id(scope) not in self._selects:
            self._selects[id(scope)] = _Select(named_outputs(scope), stars_of(scope))
        select = self._selects[id(scope)]
        if name not in select.named:
            return self._through_star(select, name)
        expression = select.named[name]
        return None if expression is None else self._read_by(scope, expression)

    def _of_union(self, scope: Scope, name: str) -> Origins | None:
        """Return the origins of the column at the same position in each branch of a union."""
        branches = branches_of(scope)
        names = names_in_place([layout_of(each) for each in branches], name)
        if names is None or scope.expression.args.get("by_name"):
            return None
        return _together(
            self._of(branch, each) for branch, each in zip(branches, names, strict=True)
        )

    def _of_function(self, scope: Scope, name: str) -> Origins | None:
        """Return what a table function reads, or the origins of a column of a lateral subquery."""
        if isinstance(scope.expression, exp.Lateral) and scope.subquery_scopes:
            renamed = scope.expression.alias_column_names
            return None if renamed else self._of(scope.subquery_scopes[0], name)
        return self._read_by(scope, scope.expression)

    def _through_star(self, select: _Select, name: str) -> Origins | None:
        stars = [
            each
            for each in select.stars
            if name not in each.removed and may_have(each.source, name)
        ]
        return self._column(stars[0].source, name) if len(stars) == 1 else None

    def _read_by(self, scope: Scope, expression: exp.Expr) -> Origins | None:
        """Return the origins of everything that an expression reads."""
        if any(not star.find_ancestor(exp.Count) for star in _all(expression, exp.Star)):
            return None
        columns = (each for each in _all(expression, exp.Column) if each.name != STAR)
        return _together(
            [
                *(self._of_column(scope, each) for each in columns),
                *(self._of_hidden(scope, each) for each in _all(expression, exp.Placeholder)),
                *(self._of_subquery(scope, each) for each in _subqueries(expression)),
            ]
        )

    def _of_column(self, scope: Scope, column: exp.Column) -> Origins | None:
        if column.table in changed_sources(scope):
            return None
        if not column.table:
            return self._column(only_source(scope), column.name)
        return self._column(source_named(scope, column.table), column.name)

    def _of_hidden(self, scope: Scope, hidden: exp.Placeholder) -> Origins | None:
        """Return the origins of a column that `hide_uncertain` has replaced."""
        if not isinstance(hidden.this, exp.Identifier):
            return NONE
        if isinstance(scope.expression, exp.UDTF):
            return self._column(only_source(scope), hidden.this.name)
        sources = [source for _, source in scope.selected_sources.values()]
        if changed_sources(scope) or any(STAR in layout_of_source(each) for each in sources):
            return None
        owners = [each for each in sources if hidden.this.name in layout_of_source(each)]
        if not owners and not scope.can_be_correlated:
            return self._of(scope, hidden.this.name)
        return self._column(owners[0], hidden.this.name) if len(owners) == 1 else None

    def _column(self, source: exp.Table | Scope | None, name: str) -> Origins | None:
        """Return the origins of a column of a table or a subquery. A table function has none."""
        if source is None:
            return None
        if isinstance(source, Scope):
            return self._of(self._whole(source), name)
        if source.alias_column_names:
            return None
        place = self._places.of(source)
        if place is None:
            return NONE
        return frozenset({ColumnOrigin(table=place, column=self._places.spelled(name))})

    def _whole(self, scope: Scope) -> Scope:
        """Return the whole recursive query. sqlglot refers to it by a copy of its first branch."""
        known = self._scopes.get(id(scope.expression), scope)
        return scope if known is scope else self._scopes.get(id(scope.expression.parent), known)

    def _of_subquery(self, scope: Scope, query: exp.Expr) -> Origins | None:
        inner = next((each for each in scope.subquery_scopes if each.expression is query), None)
        if inner is None:
            return None
        return _together(self._of(inner, name) for name in layout_of(inner))


def _together(parts: Iterable[Origins | None]) -> Origins | None:
    """Return the origins of all parts. None if those of one part are unknown."""
    found: set[ColumnOrigin] = set()
    for part in parts:
        if part is None:
            return None
        found |= part
    return frozenset(found)


def _all(expression: exp.Expr, kind: type[T]) -> Iterator[T]:
    return (each for each in find_all_in_scope(expression, kind) if isinstance(each, kind))


def _subqueries(expression: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the subqueries whose values an expression uses. EXISTS uses only their rows."""
    for query in find_all_in_scope(expression, exp.Query):
        if isinstance(query, exp.Select | exp.SetOperation) and not isinstance(
            query.parent, exp.Exists
        ):
            yield query

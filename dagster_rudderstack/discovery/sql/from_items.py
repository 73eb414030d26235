"""Reads the FROM of a query: tables, subqueries, table functions, and paths into columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from sqlglot import exp

from dagster_rudderstack.discovery.sql import functions
from dagster_rudderstack.discovery.sql.references import (
    Queries,
    arg,
    function_name,
    nested,
    value_of,
)
from dagster_rudderstack.discovery.sql.relations import (
    UNKNOWN,
    Elements,
    Relation,
    Renamed,
    Result,
    Value,
)
from dagster_rudderstack.discovery.sql.rules import Rules
from dagster_rudderstack.discovery.sql.scopes import Scope, Source
from dagster_rudderstack.discovery.sql.table_names import (
    Tables,
    alias_of,
    column_aliases_of,
    table_of,
)

__all__ = ["FromReader", "Reader", "Subqueries"]

Subqueries = dict[str, Relation]
"""The common table expressions that a query can use, by their names."""


class Reader(Queries, Protocol):
    """Reads the subqueries in FROM."""

    def read(
        self, query: exp.Expr, known: Subqueries | None = None, outer: Scope | None = None
    ) -> Relation:
        """Read a query and return its columns."""
        ...


class FromReader:
    """Reads what is in FROM, and adds it to a scope.

    Attributes:
        tables: The tables.
        unread: What else the query may read, in words.
    """

    def __init__(self, rules: Rules, reader: Reader) -> None:
        self.tables = Tables(rules)
        self.unread: dict[str, None] = {}
        self._rules = rules
        self._reader = reader

    def add(self, node: exp.Expr, scope: Scope, known: Subqueries) -> None:
        """Read an item of FROM and the joins in it, and add them to the scope."""
        while type(node).__name__ in {"Final", "Paren", "TableSample"}:
            node = node.this
        name, columns = alias_of(node, self._rules), column_aliases_of(node, self._rules)
        if isinstance(node, exp.Subquery):
            self._add_brackets(node, scope, known, name, columns)
        elif isinstance(node, exp.Table):
            self._add_table(node, scope, known, name, columns)
        elif type(node).__name__ in {"Stream", "TableFromRows"}:
            self._add_named(node, scope, known, name, columns)
        else:
            scope.sources.append(self._made(node, scope.so_far(), known, name, columns))
        for join in node.args.get("joins") or ():
            self.join(join, scope, known)

    def join(self, join: exp.Join, scope: Scope, known: Subqueries) -> None:
        """Read a join, and add what it joins to the scope."""
        kind = str(join.args.get("kind") or "").upper()
        before = len(scope.sources)
        if kind == "ARRAY":
            self._add_arrays(join, scope, known)
        elif kind in {"SEMI", "ANTI"}:
            # The other table only selects rows.
            self.add(join.this, scope.so_far(), known)
        else:
            self.add(join.this, scope, known)
            self._merge(join, scope, before)
        for name in ("on", "match_condition"):
            condition = join.args.get(name)
            if isinstance(condition, exp.Expression):
                self.read_nested(condition, scope, known)

    def read_nested(self, node: exp.Expr, scope: Scope, known: Subqueries) -> None:
        """Read the subqueries in an expression, and the tables that it names."""
        node = functions.without_model(node)
        kinds = (exp.Query, exp.Table)
        for each in [node] if isinstance(node, kinds) else nested(node, kinds):
            if isinstance(each, exp.Query):
                self._reader.read(each, known, scope)
            else:
                self.add(each, Scope(self._rules), known)
        for function in functions.reading(node, self._rules):
            self._add_unread(function)
        if self._rules.reads_named_tables:
            # A subquery has common table expressions of its own, and is read with these.
            stops = (exp.Query, exp.In)
            for each in [node] if isinstance(node, stops) else nested(node, stops):
                if isinstance(each.args.get("field"), exp.Column):
                    self.add(table_of(each.args["field"]), Scope(self._rules), known)

    # Joins

    def _merge(self, join: exp.Join, scope: Scope, before: int) -> None:
        """Note the columns that USING and NATURAL merge."""
        if str(join.args.get("method") or "").upper() == "NATURAL":
            scope.is_natural = True
        for column in join.args.get("using") or ():
            name = scope.folded(column.this if isinstance(column, exp.Column) else column)
            owners = scope.merged.get(name)
            if owners is None:
                earlier = [each.relation for each in scope.sources[:before]]
                possible = [each for each in earlier if each.has(name) is not False]
                certain = [each for each in possible if each.has(name)]
                owners = certain or possible
                if len(owners) != 1:
                    # One of several tables has it.
                    owners = [Result()]
            scope.merged[name] = [*owners, *(each.relation for each in scope.sources[before:])]

    def _add_arrays(self, join: exp.Join, scope: Scope, known: Subqueries) -> None:
        """Add the columns of ClickHouse's ARRAY JOIN for the elements of arrays."""
        before = scope.so_far()
        columns = []
        for each in (join.this, *join.expressions):
            self.read_nested(each, before, known)
            if isinstance(each, exp.Alias):
                read = partial(value_of, each.this, before, self._reader)
                columns.append((scope.folded(each.args["alias"]), read))
        scope.sources.append(Source(Elements(lambda: UNKNOWN, columns, is_open=False)))

    # Tables and subqueries

    def _add_brackets(
        self, node: exp.Subquery, scope: Scope, known: Subqueries, name: str, columns: list[str]
    ) -> None:
        if not name and not isinstance(node.this, exp.Query) and not node.args.get("pivots"):
            # `(a join b on …)`: both can be named outside of the brackets.
            self.add(node.this, scope, known)
            return
        around = scope.so_far() if self._rules.is_from_lateral else _hidden(scope)
        relation = self._reader.read(node, known, around)
        scope.sources.append(Source(_renamed(relation, columns), name))

    def _add_table(
        self, node: exp.Table, scope: Scope, known: Subqueries, name: str, columns: list[str]
    ) -> None:
        if not isinstance(node.this, exp.Identifier) or node.args.get("rows_from"):
            self._add_named(node, scope, known, name, columns)
            return
        parts = [part for part in node.parts if isinstance(part, exp.Identifier)]
        if any(
            isinstance(arg(node, key), exp.Parameter | exp.Placeholder) for key in ("catalog", "db")
        ):
            self.unread["a table whose schema is a parameter"] = None
            scope.sources.append(Source(Result(), name))
            return
        path = tuple(scope.folded(part) for part in parts)
        if columns and not name:
            # `dictionary('countries')` of ClickHouse, which sqlglot takes for aliases.
            self._add_unread(node)
            scope.sources.append(Source(Result()))
        elif self._rules.paths and 0 < scope.sources_named(path)[1] < len(path):
            column = exp.column(*reversed(parts[:4]))
            scope.sources.append(self._elements(column, scope.so_far(), known, name or path[-1]))
        elif functions.is_file(path, self._rules):
            self.unread["files"] = None
            scope.sources.append(Source(Result(), name))
        elif self._rules.has_dual and len(path) == 1 and path[0].lower() == "dual":
            return
        else:
            is_known = len(path) == 1 and path[0] in known
            relation = known[path[0]] if is_known else self._table(node)
            pivots = node.args.get("pivots")
            # The columns behind a pivot are not followed.
            relation = Result() if pivots else _renamed(relation, columns)
            name = (alias_of(pivots[-1], self._rules) if pivots else "") or name
            scope.sources.append(
                Source(relation, name or path[-1], () if name or is_known else path)
            )
        for lateral in node.args.get("laterals") or ():
            self.add(lateral, scope, known)

    def _table(self, node: exp.Table) -> Relation:
        table = self.tables.add(node)
        if table is None:
            self.unread["a table with an empty schema"] = None
            return Result()
        return table

    def _add_named(
        self, node: exp.Expr, scope: Scope, known: Subqueries, name: str, columns: list[str]
    ) -> None:
        """Read `table(…)`, `identifier(…)`, and any other function instead of a table."""
        inner, before = node.this, scope.so_far()
        if node.args.get("rows_from"):
            for each in node.args["rows_from"]:
                self.read_nested(each, before, known)
            scope.sources.append(Source(Elements(lambda: UNKNOWN, is_open=True), name))
            return
        if function_name(inner) == "table" and isinstance(inner.expressions[0], exp.Dot | exp.Func):
            # Older releases of sqlglot take `table` for a function like others.
            inner = inner.expressions[0]
        if type(node).__name__ == "Stream" and isinstance(inner, exp.Subquery):
            inner = inner.this
        if isinstance(inner, exp.Query):
            scope.sources.append(Source(self._reader.read(inner, known, before), name))
            return
        # A function with a schema is one of the user.
        has_schema = bool(arg(node, "db"))
        table = inner if isinstance(inner, exp.Table) else None
        if table is None and not has_schema:
            table = functions.table_named_by(inner, self._rules)
        if table is None:
            scope.sources.append(
                self._function(inner, before, known, name, columns, may_read=has_schema)
            )
        else:
            table.set("alias", node.args.get("alias"))
            self._add_table(table, scope, known, name, columns)

    # Functions and paths

    def _made(
        self, node: exp.Expr, before: Scope, known: Subqueries, name: str, columns: list[str]
    ) -> Source:
        """Return what makes rows: VALUES, UNNEST, LATERAL, and a path into a column."""
        if isinstance(node, exp.Values):
            self.read_nested(node, before, known)
            return Source(functions.values(node, before, self._reader, columns), name)
        if isinstance(node, exp.Unnest):
            return self._unnest(node, before, known, name, columns)
        if isinstance(node, exp.Lateral):
            if isinstance(node.this, exp.Subquery):
                return Source(_renamed(self._reader.read(node.this, known, before), columns), name)
            return self._function(node.this, before, known, name, columns)
        path = _path(node)
        if path is not None:
            column, alias, place = path
            return self._elements(column, before, known, before.folded(alias), place)
        self.read_nested(node, before, known)
        if not isinstance(node, exp.Pivot):
            self._add_unread(node)
        # Like those of other pivots, the columns of UNPIVOT are not followed.
        made: functions.Columns = [(before.folded(each), _unknown) for each in _names_in(node)]
        return Source(Elements(_unknown, made, is_open=not made), name)

    def _function(  # noqa: PLR0913 - a function, its names, and what it may read
        self,
        node: exp.Expr,
        before: Scope,
        known: Subqueries,
        name: str,
        columns: list[str],
        *,
        may_read: bool = False,
    ) -> Source:
        """Read a function in FROM. `may_read` means that it may read any table."""
        if isinstance(node, exp.Unnest):
            return self._unnest(node, before, known, name, columns)
        self.read_nested(node, before, known)
        if may_read or not functions.is_known(node):
            self._add_unread(node)
            return Source(Result(), name)
        if not columns and self._rules.dialect == "snowflake" and isinstance(node, exp.Explode):
            columns = list(functions.FLATTEN)
        relation = functions.elements_of(node, before, self._reader, name, columns)
        return Source(relation, name, is_value=self._rules.rows and not columns)

    def _unnest(
        self, node: exp.Unnest, before: Scope, known: Subqueries, name: str, columns: list[str]
    ) -> Source:
        self.read_nested(node, before, known)
        arguments = node.expressions
        value = partial(_values, arguments, before, self._reader)
        offset = node.args.get("offset")
        places = [before.folded(offset if isinstance(offset, exp.Expression) else "offset")]
        extra: functions.Columns = [(each, None) for each in places if offset]
        # The fields of structs are columns there.
        is_open = self._rules.dialect in {"bigquery", "postgres", "trino", None}
        if self._rules.paths:
            # The alias is the element itself. sqlglot has it among the columns.
            name = name or (columns[0] if columns else "")
            made: functions.Columns = [(name, None)] if name else []
            relation = Elements(value, [*made, *extra], is_open=is_open)
            return Source(relation, name, is_value=bool(name))
        if columns:
            own: Sequence[Callable[[], Value] | None] = [None] * len(columns)
            if len(arguments) > 1:
                own = [partial(value_of, each, before, self._reader) for each in arguments]
                if len(own) != len(columns):
                    own = [_unknown] * len(columns)
            made = list(zip(columns, own, strict=True))
            return Source(Elements(value, [*made, *extra], is_open=False), name)
        own_names = (before.folded("unnest"), name if self._rules.rows else "")
        made = [(each, None) for each in dict.fromkeys(own_names) if each]
        relation = Elements(value, [*made, *extra], is_open=is_open)
        return Source(relation, name, is_value=self._rules.rows)

    def _elements(
        self, column: exp.Expr, before: Scope, known: Subqueries, name: str, place: str = ""
    ) -> Source:
        """Return the elements of an array in a column that FROM names."""
        self.read_nested(column, before, known)
        value = partial(value_of, column, before, self._reader)
        columns: functions.Columns = [(name, None)]
        if place:
            # A position is no part of the array.
            columns = [*columns, (before.folded(place), _unknown)]
        # Redshift needs the alias in front of a field. BigQuery does not.
        relation = Elements(value, columns, is_open=self._rules.dialect == "bigquery")
        return Source(relation, name, is_value=True)

    def _add_unread(self, node: exp.Expr) -> None:
        self.unread[functions.name_for_users(node)] = None


def _renamed(relation: Relation, columns: Sequence[str]) -> Relation:
    return Renamed(relation, columns) if columns else relation


def _hidden(scope: Scope) -> Scope:
    """Return a scope in which what is in FROM can be named, but not read."""
    names = [
        Source(Elements(_unknown, is_open=False), each.name, each.parts) for each in scope.sources
    ]
    return Scope(scope.rules, names, scope.outer)


def _unknown() -> Value:
    return UNKNOWN


def _values(arguments: Sequence[exp.Expr], scope: Scope, queries: Queries) -> Value:
    return tuple(part for each in arguments for part in value_of(each, scope, queries))


def _path(node: exp.Expr) -> tuple[exp.Expr, str, str] | None:
    """Return the column, the alias and the name of the position in `o.items as i at place`.

    None for anything else.
    """
    place = ""
    if isinstance(node, exp.AtIndex):
        place, node = node.expression.name, node.this
    if isinstance(node, exp.Alias) and isinstance(node.this, exp.Bracket | exp.Column | exp.Dot):
        return node.this, node.alias, place
    return None


def _names_in(node: exp.Expr) -> list[str]:
    """Return the names of the columns in `unpivot o.doc as value at name`."""
    path = _path(node.this) if isinstance(node, exp.Pivot) else None
    return [each for each in path[1:] if each] if path else []

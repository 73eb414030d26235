"""Follows the columns of a query to those of its tables; needs sqlglot, which is an extra.

sqlglot has said before which table each column is of, as far as it could: see `queries`. Whatever
nobody can tell without the schema of the warehouse is None here, and never a guess.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from sqlglot import exp
from sqlglot.optimizer.scope import Scope, find_all_in_scope, traverse_scope

from dagster_rudderstack.discovery.sql.lineage import ColumnOrigin, TableName

__all__ = ["ColumnFinder", "Origins", "Places", "hide_uncertain", "table_name"]

Origins = frozenset[ColumnOrigin]

NONE: Origins = frozenset()

STAR = "*"

T = TypeVar("T", bound=exp.Expression)


WITHOUT_ALIAS_REFERENCES = frozenset({"bigquery", "mysql", "postgres", "trino"})
"""Dialects in which one output of a SELECT cannot be made of another by its name."""


def table_name(source: object) -> TableName | None:
    """Return the name of a table; None for a subquery, and for a function that makes a table."""
    if not isinstance(source, exp.Table) or not isinstance(source.this, exp.Identifier):
        return None
    return TableName(
        name=source.name, schema_name=source.db or None, catalog=source.catalog or None
    )


def hide_uncertain(query: exp.Query, dialect: str | None) -> None:
    """Put a placeholder for each column without a table that may be something else.

    In a subquery, it may be a column of the query around; elsewhere, another output. Depending on
    its release, sqlglot guesses, or gives up the whole query. The finder looks at each of them.
    """
    for scope in traverse_scope(query):
        if scope.can_be_correlated:
            _hide(_all(scope.expression, exp.Column))
    if dialect not in WITHOUT_ALIAS_REFERENCES:
        for select in query.find_all(exp.Select):
            _hide(_alias_references(select))


def _alias_references(select: exp.Select) -> Iterator[exp.Column]:
    """Yield the columns of a SELECT that are called like an output before them."""
    before: set[str] = set()
    for output in select.selects:
        columns = [] if output.is_star else list(_all(output, exp.Column))
        yield from (each for each in columns if each.name.lower() in before)
        # One that reads a column of its own name proves that there is one, and the column wins.
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
    """Finds the tables and columns of a query as they were written.

    Before qualifying, that is, which folds unquoted names as the warehouse does.
    """

    def __init__(self, query: exp.Query, tables: tuple[TableName, ...]) -> None:
        self._places = {table.folded: place for place, table in enumerate(tables)}
        self._spelling = {each.name.lower(): each.name for each in query.find_all(exp.Column)}

    def of(self, source: object) -> int | None:
        """Return the place of a table; None for what is not a table."""
        table = table_name(source)
        return None if table is None else self._places.get(table.folded)

    def spelled(self, column: str) -> str:
        """Return a column as the query spells it."""
        return self._spelling.get(column.lower(), column)


@dataclass(frozen=True)
class _Star:
    """What one `*` lets through from one table or subquery.

    Attributes:
        source: None for one whose columns are not its table's, as behind a pivot.
        removed: the columns that do not come through under their own names.
    """

    source: exp.Table | Scope | None
    removed: frozenset[str]


@dataclass(frozen=True)
class _Select:
    """What a SELECT puts out: see `_named` and `_stars`."""

    named: Mapping[str, exp.Expr | None]
    stars: list[_Star]


class ColumnFinder:
    """Finds the origins of the outputs of a query."""

    def __init__(self, places: Places, root: Scope) -> None:
        self._places = places
        self._root = root
        self._scopes = {id(scope.expression): scope for scope in root.traverse()}
        self._found: dict[tuple[int, str], Origins | None] = {}
        self._selects: dict[int, _Select] = {}

    def outputs(self) -> dict[str, Origins | None]:
        """Return the origins of each output of the query with a name; None: nobody can tell.

        Those that `*` does not let through stand among them, and nobody can tell theirs.
        """
        names = dict.fromkeys(_names(self._root))
        return {name: self._of(self._root, name) for name in names if name}

    def star(self) -> int | None:
        """Return the table whose columns pass through the query; None: none, or several."""
        return self._star(self._root)

    def _of(self, scope: Scope, name: str) -> Origins | None:
        """Return the origins of one output of a query or a part of it; None: nobody can tell."""
        key = (id(scope), name)
        if key not in self._found:
            # A column that is made of itself, in a recursion, has no further origin by that.
            self._found[key] = NONE
            self._found[key] = self._find(scope, name)
        return self._found[key]

    def _star(self, scope: Scope) -> int | None:
        sources = [each.source for each in _stars(_unwrapped(scope))]
        # Those of a subquery that lists its columns are known one by one.
        sources = [each for each in sources if STAR in _layout_of(each)]
        if len(sources) != 1:
            return None
        (source,) = sources
        return self._star(source) if isinstance(source, Scope) else self._places.of(source)

    def _find(self, scope: Scope, name: str) -> Origins | None:
        scope = _unwrapped(scope)
        if isinstance(scope.expression, exp.SetOperation):
            return self._of_union(scope, name)
        if isinstance(scope.expression, exp.UDTF):
            return self._of_function(scope, name)
        if not isinstance(scope.expression, exp.Select):
            return None
        # Read once for all its columns: a SELECT may have hundreds.
        if id(scope) not in self._selects:
            self._selects[id(scope)] = _Select(_named(scope), _stars(scope))
        select = self._selects[id(scope)]
        if name not in select.named:
            return self._through_star(select, name)
        expression = select.named[name]
        return None if expression is None else self._read_by(scope, expression)

    def _of_union(self, scope: Scope, name: str) -> Origins | None:
        """Return what stands in the same place in each branch of a union."""
        branches = _branches(scope)
        names = _names_in_place([_layout(each) for each in branches], name)
        if names is None or scope.expression.args.get("by_name"):
            return None
        return _together(
            self._of(branch, each) for branch, each in zip(branches, names, strict=True)
        )

    def _of_function(self, scope: Scope, name: str) -> Origins | None:
        """Return what a function that makes rows reads, or the column of a lateral subquery."""
        if isinstance(scope.expression, exp.Lateral) and scope.subquery_scopes:
            renamed = scope.expression.alias_column_names
            return None if renamed else self._of(scope.subquery_scopes[0], name)
        return self._read_by(scope, scope.expression)

    def _through_star(self, select: _Select, name: str) -> Origins | None:
        stars = [
            each
            for each in select.stars
            if name not in each.removed and _may_have(each.source, name)
        ]
        return self._column(stars[0].source, name) if len(stars) == 1 else None

    def _read_by(self, scope: Scope, expression: exp.Expr) -> Origins | None:
        """Return the origins of all that an expression reads."""
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
        if column.table in _changed_sources(scope):
            return None
        if not column.table:
            return self._column(_only_source(scope), column.name)
        return self._column(_source(scope, column.table), column.name)

    def _of_hidden(self, scope: Scope, hidden: exp.Placeholder) -> Origins | None:
        """Return the origins of a column of `hide_uncertain`, which may be known by now."""
        if not isinstance(hidden.this, exp.Identifier):
            return NONE
        if isinstance(scope.expression, exp.UDTF):
            return self._column(_only_source(scope), hidden.this.name)
        sources = [source for _, source in scope.selected_sources.values()]
        if _changed_sources(scope) or any(STAR in _layout_of(each) for each in sources):
            return None
        owners = [each for each in sources if hidden.this.name in _layout_of(each)]
        if not owners and not scope.can_be_correlated:
            return self._of(scope, hidden.this.name)
        return self._column(owners[0], hidden.this.name) if len(owners) == 1 else None

    def _column(self, source: exp.Table | Scope | None, name: str) -> Origins | None:
        """Return a column of a table or of a subquery; none of a function that makes a table."""
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
        """Return the whole of a recursion, where sqlglot puts a copy of its first branch."""
        known = self._scopes.get(id(scope.expression), scope)
        return scope if known is scope else self._scopes.get(id(scope.expression.parent), known)

    def _of_subquery(self, scope: Scope, query: exp.Expr) -> Origins | None:
        inner = next((each for each in scope.subquery_scopes if each.expression is query), None)
        if inner is None:
            return None
        return _together(self._of(inner, name) for name in _layout(inner))


def _together(parts: Iterable[Origins | None]) -> Origins | None:
    """Return all origins; None if those of one part are unknown, for half of them would mislead."""
    found: set[ColumnOrigin] = set()
    for part in parts:
        if part is None:
            return None
        found |= part
    return frozenset(found)


def _all(expression: exp.Expr, kind: type[T]) -> Iterator[T]:
    return (each for each in find_all_in_scope(expression, kind) if isinstance(each, kind))


def _subqueries(expression: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the subqueries whose values an expression takes; EXISTS only asks for rows."""
    for query in find_all_in_scope(expression, exp.Query):
        if isinstance(query, exp.Select | exp.SetOperation) and not isinstance(
            query.parent, exp.Exists
        ):
            yield query


def _unwrapped(scope: Scope) -> Scope:
    """Return the scope of a query in brackets."""
    while isinstance(scope.expression, exp.Subquery):
        inner = [*scope.table_scopes, *scope.subquery_scopes]
        if len(inner) != 1:
            break
        scope = inner[0]
    return scope


def _selected(scope: Scope) -> list[exp.Expr]:
    return scope.expression.selects if isinstance(scope.expression, exp.Select) else []


def _branches(scope: Scope) -> list[Scope]:
    # The name changed in the course of sqlglot 30.
    name = "set_operation_scopes" if hasattr(scope, "set_operation_scopes") else "union_scopes"
    return list(getattr(scope, name))


def _layout(scope: Scope) -> list[str]:
    """Return the names of the outputs in their order, `*` for any number of them."""
    scope = _unwrapped(scope)
    if isinstance(scope.expression, exp.SetOperation):
        return _layout(_branches(scope)[0])
    if not isinstance(scope.expression, exp.Select):
        return [STAR]
    return [STAR if each.is_star else each.alias_or_name for each in _selected(scope)]


def _layout_of(source: exp.Table | Scope | None) -> list[str]:
    """Return `_layout`, or that nobody knows it."""
    return _layout(source) if isinstance(source, Scope) else [STAR]


def _names_in_place(layouts: list[list[str]], name: str) -> list[str] | None:
    """Return what the branches of a union call the output that the first calls `name`.

    Behind a `*`, nobody can tell the place; then all branches must be laid out alike.
    """
    if all(layout == layouts[0] for layout in layouts):
        return [name] * len(layouts)
    place = layouts[0].index(name) if name in layouts[0] else None
    if place is None or any(STAR in each[: place + 1] or place >= len(each) for each in layouts):
        return None
    return [layout[place] for layout in layouts]


def _names(scope: Scope) -> Iterator[str]:
    """Yield the outputs with a name, also of subqueries behind `*`, and those that `*` removes."""
    scope = _unwrapped(scope)
    if isinstance(scope.expression, exp.SetOperation):
        yield from _names(_branches(scope)[0])
    if not isinstance(scope.expression, exp.Select):
        return
    yield from _named(scope)
    for star in _stars(scope):
        yield from star.removed
        if isinstance(star.source, Scope):
            yield from _names(star.source)


def _named(scope: Scope) -> Mapping[str, exp.Expr | None]:
    """Return the outputs of a SELECT with a name; None for one that stands twice."""
    outputs = list(_named_outputs(scope))
    twice = Counter(name for name, _ in outputs)
    return {name: None if twice[name] > 1 else output for name, output in outputs}


def _named_outputs(scope: Scope) -> Iterator[tuple[str, exp.Expr | None]]:
    for output in _selected(scope):
        if not output.is_star:
            yield output.alias_or_name, output
            continue
        star = _star_of(output)
        for each in star.args.get("replace") or ():
            yield each.alias, each.this
        sources = _starred(scope, output)
        for each in star.args.get("rename") or ():
            column = exp.column(each.this.name, table=sources[0]) if len(sources) == 1 else None
            yield each.alias, column


def _stars(scope: Scope) -> list[_Star]:
    found = []
    for output in _selected(scope):
        if output.is_star:
            removed = _removed(_star_of(output))
            sources = [_passed(scope, each, output) for each in _starred(scope, output)]
            found += [_Star(source, removed) for source in sources or [None]]
    return found


def _star_of(output: exp.Expr) -> exp.Expr:
    """Return the `*` of `*` or `table.*`, which carries what it leaves out and renames."""
    return output.find(exp.Star) or output


def _removed(star: exp.Expr) -> frozenset[str]:
    # The name changed in sqlglot 28.
    left_out = star.args.get("except_") or star.args.get("except") or ()
    replaced = {each.alias for each in star.args.get("replace") or ()}
    renamed = {each.this.name for each in star.args.get("rename") or ()}
    return frozenset({*(each.name for each in left_out), *replaced, *renamed})


def _starred(scope: Scope, output: exp.Expr) -> list[str]:
    """Return what FROM calls the tables and subqueries that `*` or `table.*` stands for.

    Nothing for the fields of a column, which look alike.
    """
    if isinstance(output, exp.Star):
        return list(scope.selected_sources)
    table = output.table if isinstance(output, exp.Column) else ""
    return [table] if table in scope.selected_sources else []


def _passed(scope: Scope, name: str, output: exp.Expr) -> exp.Table | Scope | None:
    """Return what `*` takes its columns from; None if they are not all, or not its own."""
    if name in _changed_sources(scope) or _star_of(output).args.get("ilike"):
        return None
    _, source = scope.selected_sources[name]
    return None if isinstance(source, exp.Table) and source.alias_column_names else source


def _may_have(source: exp.Table | Scope | None, name: str) -> bool:
    layout = _layout_of(source)
    return name in layout or STAR in layout


def _changed_sources(scope: Scope) -> frozenset[str]:
    """Return what FROM calls the tables whose columns a pivot or a pattern makes others of."""
    if scope.expression.args.get("match"):
        return frozenset(scope.selected_sources)
    return frozenset(
        name
        for pivot in scope.pivots
        for name in (pivot.alias, pivot.parent.alias_or_name if pivot.parent else "")
    )


def _source(scope: Scope | None, name: str) -> exp.Table | Scope | None:
    """Return the table or subquery of a name, which a subquery may have from around it."""
    while scope is not None and name not in scope.sources:
        scope = scope.parent if scope.can_be_correlated else None
    return None if scope is None else scope.sources[name]


def _only_source(scope: Scope) -> exp.Table | Scope | None:
    """Return the table or subquery that a column without a table must be of; None: it may be many.

    In a subquery, it may be of the query around; in a function that makes rows, of what FROM names
    before.
    """
    if isinstance(scope.expression, exp.UDTF):
        around = scope.parent.can_be_correlated if scope.parent else True
        sources = list(scope.lateral_sources.values())
    else:
        around = scope.can_be_correlated
        sources = [source for _, source in scope.selected_sources.values()]
    return sources[0] if len(sources) == 1 and not around else None

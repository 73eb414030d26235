"""The outputs of a SELECT: the names of its columns, and what its `*` stands for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlglot import exp
from sqlglot.optimizer.scope import Scope

__all__ = [
    "STAR",
    "Star",
    "branches_of",
    "changed_sources",
    "layout_of",
    "layout_of_source",
    "may_have",
    "named_outputs",
    "names_in_place",
    "only_source",
    "output_names",
    "source_named",
    "stars_of",
    "unwrapped",
]

STAR = "*"


@dataclass(frozen=True)
class Star:
    """The columns that one `*` takes from one table or subquery.

    Attributes:
        source: The table or subquery. None if the columns are not its own, as behind a pivot.
        removed: The columns that do not keep their names.
    """

    source: exp.Table | Scope | None
    removed: frozenset[str]


def unwrapped(scope: Scope) -> Scope:
    """Return the scope of a query in brackets."""
    while isinstance(scope.expression, exp.Subquery):
        inner = [*scope.table_scopes, *scope.subquery_scopes]
        if len(inner) != 1:
            break
        scope = inner[0]
    return scope


def _selected(scope: Scope) -> list[exp.Expr]:
    return scope.expression.selects if isinstance(scope.expression, exp.Select) else []


def branches_of(scope: Scope) -> list[Scope]:
    """Return the branches of a union."""
    # The name changed within sqlglot 30.
    name = "set_operation_scopes" if hasattr(scope, "set_operation_scopes") else "union_scopes"
    return list(getattr(scope, name))


def layout_of(scope: Scope) -> list[str]:
    """Return the names of the outputs in their order. `*` stands for any number of them."""
    scope = unwrapped(scope)
    if isinstance(scope.expression, exp.SetOperation):
        return layout_of(branches_of(scope)[0])
    if not isinstance(scope.expression, exp.Select):
        return [STAR]
    return [STAR if each.is_star else each.alias_or_name for each in _selected(scope)]


def layout_of_source(source: exp.Table | Scope | None) -> list[str]:
    """Return the layout of a subquery. The layout of a table is unknown."""
    return layout_of(source) if isinstance(source, Scope) else [STAR]


def names_in_place(layouts: list[list[str]], name: str) -> list[str] | None:
    """Return what each branch of a union calls an output of the first branch.

    After a `*` the position is unknown, so all branches must have the same layout.
    """
    if all(layout == layouts[0] for layout in layouts):
        return [name] * len(layouts)
    place = layouts[0].index(name) if name in layouts[0] else None
    if place is None or any(STAR in each[: place + 1] or place >= len(each) for each in layouts):
        return None
    return [layout[place] for layout in layouts]


def output_names(scope: Scope) -> Iterator[str]:
    """Yield the names of the outputs, those behind `*`, and those that `*` removes."""
    waiting, seen = [scope], set()
    while waiting:
        scope = unwrapped(waiting.pop())
        # Several `*` may stand for the same subquery, whose own ones may do so as well.
        if id(scope) in seen:
            continue
        seen.add(id(scope))
        if isinstance(scope.expression, exp.SetOperation):
            waiting.append(branches_of(scope)[0])
        if not isinstance(scope.expression, exp.Select):
            continue
        yield from named_outputs(scope)
        for star in stars_of(scope):
            yield from star.removed
            if isinstance(star.source, Scope):
                waiting.append(star.source)


def named_outputs(scope: Scope) -> Mapping[str, exp.Expr | None]:
    """Return the named outputs of a SELECT. None for a name that occurs twice."""
    outputs = list(_outputs(scope))
    twice = Counter(name for name, _ in outputs)
    return {name: None if twice[name] > 1 else output for name, output in outputs}


def _outputs(scope: Scope) -> Iterator[tuple[str, exp.Expr | None]]:
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


def stars_of(scope: Scope) -> list[Star]:
    """Return what each `*` of a SELECT takes from each of its sources."""
    found = []
    for output in _selected(scope):
        if output.is_star:
            removed = _removed(_star_of(output))
            sources = [_passed(scope, each, output) for each in _starred(scope, output)]
            found += [Star(source, removed) for source in sources or [None]]
    return found


def _star_of(output: exp.Expr) -> exp.Expr:
    """Return the `*` of `*` or `table.*`. It holds what is left out and renamed."""
    return output.find(exp.Star) or output


def _removed(star: exp.Expr) -> frozenset[str]:
    # The name changed in sqlglot 28.
    left_out = star.args.get("except_") or star.args.get("except") or ()
    replaced = {each.alias for each in star.args.get("replace") or ()}
    renamed = {each.this.name for each in star.args.get("rename") or ()}
    return frozenset({*(each.name for each in left_out), *replaced, *renamed})


def _starred(scope: Scope, output: exp.Expr) -> list[str]:
    """Return the names in FROM of the tables and subqueries that `*` or `table.*` stands for.

    Empty for the fields of a column, which look the same.
    """
    if isinstance(output, exp.Star):
        return list(scope.selected_sources)
    table = output.table if isinstance(output, exp.Column) else ""
    return [table] if table in scope.selected_sources else []


def _passed(scope: Scope, name: str, output: exp.Expr) -> exp.Table | Scope | None:
    """Return the source of the columns of a `*`. None if they are not exactly its columns."""
    if name in changed_sources(scope) or _star_of(output).args.get("ilike"):
        return None
    _, source = scope.selected_sources[name]
    return None if isinstance(source, exp.Table) and source.alias_column_names else source


def may_have(source: exp.Table | Scope | None, name: str) -> bool:
    """Whether a source may have a column of this name."""
    layout = layout_of_source(source)
    return name in layout or STAR in layout


def changed_sources(scope: Scope) -> frozenset[str]:
    """Return the names in FROM of the tables whose columns a pivot or a pattern changes."""
    if scope.expression.args.get("match"):
        return frozenset(scope.selected_sources)
    return frozenset(
        name
        for pivot in scope.pivots
        for name in (pivot.alias, pivot.parent.alias_or_name if pivot.parent else "")
    )


def source_named(scope: Scope | None, name: str) -> exp.Table | Scope | None:
    """Return the table or subquery of a name. A subquery may use names of the outer query."""
    while scope is not None and name not in scope.sources:
        scope = scope.parent if scope.can_be_correlated else None
    return None if scope is None else scope.sources[name]


def only_source(scope: Scope) -> exp.Table | Scope | None:
    """Return the table or subquery that a column without a table must belong to.

    None if there are several. In a subquery it may also belong to the outer query, in a table
    function to the sources before it in FROM.
    """
    if isinstance(scope.expression, exp.UDTF):
        around = scope.parent.can_be_correlated if scope.parent else True
        sources = list(scope.lateral_sources.values())
    else:
        around = scope.can_be_correlated
        sources = [source for _, source in scope.selected_sources.values()]
    return sources[0] if len(sources) == 1 and not around else None

"""The outputs of a SELECT: its named columns, and what its `*` stands for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from sqlglot import exp

from dagster_rudderstack.discovery.sql import functions
from dagster_rudderstack.discovery.sql.references import Queries, arg, function_name, value_of
from dagster_rudderstack.discovery.sql.relations import (
    STAR,
    UNKNOWN,
    ColumnOf,
    Output,
    Relation,
    Value,
    star_of,
)
from dagster_rudderstack.discovery.sql.scopes import Scope

__all__ = ["outputs_of"]


MAX_OUTPUTS = 10_000
"""The columns of a SELECT with more are not followed. A chain of `x.*, y.*` doubles them again and
again."""


def outputs_of(select: exp.Returning | exp.Select, scope: Scope, queries: Queries) -> list[Output]:
    """Return the outputs of a SELECT, or of the RETURNING of another statement."""
    found: list[Output] = []
    groups: list[list[Output]] = []
    for expression in select.expressions:
        star = _star(expression)
        if star is None:
            found += _named(expression, len(found), scope, queries)
            continue
        passed, computed = _starred(expression, star, scope, queries)
        groups += passed
        found += [*(each for group in passed for each in group), *computed]
        if len(found) > MAX_OUTPUTS:
            return [Output(STAR)]
    doubtful = set(_doubtful(groups)) if len(groups) > 1 else set()
    return [Output(each.name) if each in doubtful else each for each in found]


def _doubtful(groups: Sequence[Sequence[Output]]) -> Iterator[Output]:
    """Yield the columns behind a `*` that a table behind another `*` may have as well."""
    stars = [(at, each) for at, group in enumerate(groups) for each in group if each.name == STAR]
    for at, group in enumerate(groups):
        others = [star for place, star in stars if place != at]
        for each in group:
            if each.name != STAR and any(star.may_pass(each.name) for star in others):
                yield each


def _named(expression: exp.Expr, place: int, scope: Scope, queries: Queries) -> Iterator[Output]:
    if isinstance(expression, exp.QueryTransform):
        yield Output(STAR)
        return
    if isinstance(expression, exp.Aliases):
        # `posexplode(items) as (place, item)`.
        names = [scope.folded(each) for each in expression.expressions]
        if function_name(expression.this) == "stack":
            made = functions.stacked(expression.this, scope, queries, names)
            yield from (Output(name, read) for name, read in made if read)
            return
    else:
        names = [_name(expression, scope)]
    inner = expression.this if isinstance(expression, exp.Alias | exp.Aliases) else expression
    for name in names:
        yield Output(name, partial(value_of, inner, scope, queries, place))


def _name(expression: exp.Expr, scope: Scope) -> str:
    """Return the name of an output, as the warehouse compares it. Empty if it has none."""
    if isinstance(expression, exp.Alias):
        return scope.folded(expression.args["alias"])
    inner = expression
    while isinstance(inner, exp.Cast | exp.Paren):
        inner = inner.this
    if isinstance(inner, exp.Column) and isinstance(inner.this, exp.Identifier):
        return scope.folded(inner.this)
    if isinstance(inner, exp.Dot) and isinstance(inner.expression, exp.Identifier):
        return scope.folded(inner.expression)
    is_named = bool(inner.output_name) and not isinstance(inner, exp.Literal)
    return scope.folded(inner.output_name) if is_named else ""


def _star(expression: exp.Expr) -> exp.Star | exp.Columns | None:
    """Return the `*` of `*`, `table.*` and what is made from them. None for a single column."""
    inner = expression
    while not isinstance(inner, exp.Star | exp.Columns):
        if isinstance(inner, exp.Column | exp.Apply | exp.Like | exp.ILike) or (
            isinstance(inner, exp.Unary | exp.Binary) and not isinstance(inner, exp.Dot)
        ):
            inner = inner.this
        else:
            return None
        if not isinstance(inner, exp.Expression):
            return None
    return inner


def _starred(
    expression: exp.Expr, star: exp.Star | exp.Columns, scope: Scope, queries: Queries
) -> tuple[list[list[Output]], list[Output]]:
    """Return the columns of a `*` from each relation that it stands for, and the computed ones."""
    relations = _relations(expression, scope)
    is_plain = isinstance(expression, exp.Star)
    if (
        not isinstance(expression, exp.Star | exp.Column)
        or star.args.get("ilike")
        or not relations
        or scope.is_opaque
        or (is_plain and scope.is_natural)
    ):
        return [[Output(STAR)]], []
    replaced = {_alias(each, scope): each.this for each in _items(star, "replace")}
    renamed = {_column(each.this, scope): _alias(each, scope) for each in _items(star, "rename")}
    removed = frozenset({*(_column(each, scope) for each in _items(star, "except")), *replaced})
    merged = scope.merged if is_plain else {}
    passed = [
        list(star_of(relation, removed | frozenset(merged), renamed)) for relation in relations
    ]
    if merged:
        # They come first, and once.
        passed.insert(
            0,
            [
                Output(renamed.get(name, name), partial(_all_of, parts, name))
                for name, parts in merged.items()
                if name not in removed
            ],
        )
    computed = [
        Output(name, partial(value_of, value, scope, queries), has_place=False)
        for name, value in replaced.items()
    ]
    if any(each.name == STAR for group in passed for each in group):
        # The new names exist, but their positions are unknown.
        computed += [
            Output(new, partial(_renamed, relations, old), has_place=False)
            for old, new in renamed.items()
        ]
    return passed, computed


def _items(star: exp.Expr, name: str) -> list[exp.Expr]:
    found = arg(star, name)
    return found if isinstance(found, list) else []


def _alias(item: exp.Expr, scope: Scope) -> str:
    return scope.folded(item.args["alias"])


def _column(item: exp.Expr, scope: Scope) -> str:
    return scope.folded(item.this if isinstance(item, exp.Column) else item)


def _renamed(relations: Sequence[Relation], name: str) -> Value:
    possible = [each for each in relations if each.has(name) is not False]
    return (ColumnOf(possible[0], name),) if len(possible) == 1 else UNKNOWN


def _relations(expression: exp.Expr, scope: Scope) -> list[Relation]:
    """Return what `*` or `table.*` stands for. Empty for the fields of a column."""
    if isinstance(expression, exp.Star):
        return [source.relation for source in scope.sources]
    if not isinstance(expression, exp.Column):
        return []
    names = [scope.folded(each) for each in expression.parts[:-1]]
    sources, size = scope.sources_named(names) if names else ([], 0)
    return [sources[0].relation] if len(sources) == 1 and size == len(names) else []


def _all_of(relations: Sequence[Relation], name: str) -> Value:
    return tuple(ColumnOf(each, name) for each in relations)

"""What an expression reads: the columns and the subqueries in it.

sqlglot hands over some words as columns that are none, such as `month` in `trunc(at, month)`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from sqlglot import exp

from dagster_rudderstack.discovery.sql.relations import (
    NOTHING,
    UNKNOWN,
    Relation,
    Value,
)
from dagster_rudderstack.discovery.sql.rules import words
from dagster_rudderstack.discovery.sql.scopes import Scope

__all__ = ["arg", "children", "function_name", "nested", "value_of"]


def arg(node: exp.Expr, name: str) -> object:
    """Return an argument of a node. sqlglot added an underscore to some in its release 28."""
    found = node.args.get(f"{name}_")
    return node.args.get(name) if found is None else found


class Queries(Protocol):
    """The queries that were read before the expressions around them."""

    def relation_of(self, query: exp.Expr) -> Relation | None:
        """Return the columns of a query. None if it could not be read."""


_UNITS = words(
    "century d day day_hour day_microsecond day_minute day_of_week day_second dayofmonth "
    "dayofweek dayofweek_iso dayofweekiso dayofyear days dd decade decades dow dow_iso doy dw "
    "dw_iso dy epoch epoch_microsecond epoch_microseconds epoch_millisecond epoch_milliseconds "
    "epoch_nanosecond epoch_nanoseconds epoch_second epoch_seconds friday h hh hour "
    "hour_microsecond hour_minute hour_second hours hr hrs isodow isoweek isoyear m mi "
    "microsecond microseconds millennium millisecond milliseconds min mins minute "
    "minute_microsecond minute_second minutes mm mon monday mons month months ms msec n nanosec "
    "nanosecond nanoseconds nanosecs ns nsec nsecond nseconds nsecs q qq qtr qtrs quarter "
    "quarters s saturday sec second second_microsecond seconds secs ss sunday thursday timezone "
    "timezone_hour timezone_minute tuesday tzh tzm us usec w wednesday week week_iso weekday "
    "weekday_iso weekiso weekofyear weekofyear_iso weekofyeariso weeks wk woy ww wy y year "
    "year_month yearday yearofweek yearofweekiso years yr yrs yy yyy yyyy"
)
"""Words for parts of a date, as at least one warehouse has them."""

_UNIT_FIRST = words(
    "dateadd date_add datesub date_sub datediff date_diff timeadd timediff timestampadd "
    "timestamp_add timestampsub timestampdiff timestamp_diff datepart date_part datename "
    "datetrunc date_trunc"
)
_UNIT_LAST = words(
    "trunc date_trunc datetime_trunc timestamp_trunc time_trunc date_diff datetime_diff "
    "timestamp_diff time_diff last_day time_slice"
)
"""Functions whose first or last argument can be a part of a date without quotes."""

_FORMS = frozenset({"nfc", "nfd", "nfkc", "nfkd"})
_FORMATS = frozenset({"date", "time", "datetime", "timestamp"})

_UNREAD = frozenset({"form", "returning", "unit"})
"""Arguments that are words."""


def function_name(node: exp.Expr) -> str:
    """Return the name of a function in lower case. Empty if the node is no function."""
    if isinstance(node, exp.Anonymous):
        return str(node.name).lower()
    name = node.sql_name().lower() if isinstance(node, exp.Func) else ""
    # sqlglot takes each capital letter for a word: `m_l_forecast`.
    return name.replace("m_l_", "ml.").replace("a_i_", "ai.")


def value_of(
    expression: exp.Expr, scope: Scope, queries: Queries, place: int | None = None
) -> Value:
    """Return the value of an expression: everything that it reads.

    Args:
        expression: The expression.
        scope: The names that it can use.
        queries: The subqueries in it.
        place: The position of the output that it makes. None for any other expression.
    """
    found: list[object] = []
    waiting: list[tuple[exp.Expr, frozenset[str]]] = [(expression, frozenset())]
    while waiting:
        node, bound = waiting.pop()
        if isinstance(node, exp.Query):
            relation = queries.relation_of(node)
            found += relation.everything() if relation else UNKNOWN
        elif isinstance(node, exp.Column):
            if scope.folded(node.parts[0]) not in bound:
                word = _word(node, scope)
                found += scope.column(node, place) if word is None else word
        elif _is_unreadable(node, scope):
            return UNKNOWN
        else:
            bound = bound | _bound_in(node, scope)
            waiting += [(child, bound) for child in _read_children(node, scope)]
            waiting += [(each, bound) for each in _named_windows(node, scope)]
    return tuple(dict.fromkeys(found))  # type: ignore[arg-type]


def children(node: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the nodes directly below a node."""
    for value in node.args.values():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, exp.Expression):
                yield each


def nested(node: exp.Expr, kinds: tuple[type[exp.Expr], ...]) -> Iterator[exp.Expr]:
    """Yield the nodes of some kinds below a node, without what is below these."""
    waiting = list(children(node))
    while waiting:
        each = waiting.pop()
        if isinstance(each, kinds):
            yield each
        else:
            waiting += children(each)


_READ_PARTS: Mapping[type[exp.Expr], tuple[str, ...]] = {
    exp.Comprehension: ("this", "iterator", "condition"),
    exp.Extract: ("expression",),
    exp.Kwarg: ("expression",),
    exp.Lambda: ("this",),
}
"""The parts of some nodes that are values. The others are names and words."""


def _read_children(node: exp.Expr, scope: Scope) -> Iterator[exp.Expr]:
    """Yield the nodes below a node that its value is made of."""
    if isinstance(node, exp.Exists) and isinstance(node.this, exp.Query):
        return
    if isinstance(node, exp.Lambda) and not _is_function(node, scope):
        # `document -> 'key'`, which sqlglot takes for a function.
        yield from (exp.Column(this=each.copy()) for each in node.expressions)
    names = _READ_PARTS.get(type(node), [name for name in node.args if name not in _UNREAD])
    if isinstance(node, exp.In) and scope.rules.reads_named_tables:
        # `id in people`: what follows is a table.
        names = ["this", "expressions", "query", "unnest"]
    for name in names:
        value = node.args.get(name)
        for each in value if isinstance(value, list) else [value]:
            # `count(*)` and `count(t.*)` read rows, and no column.
            is_star = (
                isinstance(node, exp.Count) and isinstance(each, exp.Expression) and each.is_star
            )
            if isinstance(each, exp.Expression) and not is_star:
                yield each


def _is_function(node: exp.Lambda, scope: Scope) -> bool:
    """Whether `x -> …` is a function, and not an operator."""
    if not scope.rules.lambdas:
        return False
    # DuckDB has both. A function that does not use its argument makes no sense.
    return scope.rules.dialect != "duckdb" or not isinstance(node.this, exp.Literal)


def _bound_in(node: exp.Expr, scope: Scope) -> frozenset[str]:
    """Return the names that a function or a list comprehension gives to its arguments."""
    if isinstance(node, exp.Lambda) and _is_function(node, scope):
        return frozenset(scope.folded(each) for each in node.expressions if each.name)
    if isinstance(node, exp.Comprehension):
        # Older releases of sqlglot hand over a column.
        names = [node.args.get("expression"), node.args.get("position")]
        return frozenset(
            scope.folded(each.this if isinstance(each, exp.Column) else each)
            for each in names
            if each
        )
    return frozenset()


def _named_windows(node: exp.Expr, scope: Scope) -> Iterator[exp.Expr]:
    """Yield the window that `over w` names, and those from which it starts."""
    select = node.find_ancestor(exp.Select) if isinstance(node, exp.Window) else None
    defined = {
        scope.folded(each.this): each
        for each in (select.args.get("windows") or () if select else ())
    }
    alias = node.args.get("alias")
    while isinstance(alias, exp.Identifier):
        # Each window once, since two may name each other.
        window = defined.pop(scope.folded(alias), None)
        if window is None:
            return
        yield from (window.args[key] for key in ("order", "spec") if window.args.get(key))
        yield from window.args.get("partition_by") or ()
        alias = window.args.get("alias")


def _is_unreadable(node: exp.Expr, scope: Scope) -> bool:
    """Whether a node stands for columns that cannot be known."""
    if isinstance(node, exp.Star | exp.Columns | exp.QueryTransform) or (
        isinstance(node, exp.Lambda) and scope.rules.dialect is None
    ):
        return True
    if isinstance(node, exp.Parameter):
        # `$1` is a column by its position, and a variable of MySQL may be set by the query.
        return isinstance(node.this, exp.Literal) or scope.rules.dialect == "mysql"
    if type(node).__name__ == "DynamicIdentifier" or function_name(node) == "identifier":
        return "identifier" in scope.rules.naming
    if isinstance(node, exp.Dot) and scope.rules.methods:
        # `name.upper()` calls a function with a column.
        return isinstance(node.expression, exp.Func)
    if isinstance(node, exp.ToMap):
        return any(isinstance(each.this, exp.Identifier) for each in node.find_all(exp.PropertyEQ))
    unit = node.args.get("unit") if isinstance(node, exp.Func) else None
    # sqlglot has taken another argument for the unit.
    return isinstance(unit, exp.Var) and unit.name.lower() not in _UNITS


def _word(column: exp.Column, scope: Scope) -> Value | None:
    """Return the value of a word that sqlglot takes for a column. None for a column."""
    parent, name = column.parent, column.name.lower()
    if parent is None or len(column.parts) > 1 or column.this.args.get("quoted"):
        return None
    if name.startswith("$"):
        return UNKNOWN
    if column.arg_key in _UNREAD:
        return NOTHING
    if scope.rules.are_words_unclear and name in _UNITS and isinstance(parent, exp.Func):
        return UNKNOWN
    last = len(parent.expressions) - 1
    if not isinstance(parent, exp.Anonymous) or last < 1:
        return None
    return _word_at(function_name(parent), name, column.index or 0, last)


def _word_at(function: str, name: str, place: int, last: int) -> Value | None:
    """Return the value of a word at a position among the arguments of a function."""
    if place == 0 and function in _UNIT_FIRST:
        return NOTHING if name in _UNITS else None
    if place == 0 and function == "get_format":
        return NOTHING if name in _FORMATS else None
    if place == last and function in _UNIT_LAST and name in _UNITS:
        # `trunc(amount, n)` has a number of digits, which may be a column.
        return NOTHING if len(name) > 2 else UNKNOWN  # noqa: PLR2004 - `day`
    if place == 1 and function.startswith("normalize") and name in _FORMS:
        return NOTHING
    return None

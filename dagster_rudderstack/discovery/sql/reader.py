"""Reads a query: its tables, and the columns that its parts offer to each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from sqlglot import exp

from dagster_rudderstack.discovery.sql import functions
from dagster_rudderstack.discovery.sql.from_items import FromReader, Subqueries
from dagster_rudderstack.discovery.sql.lineage import TableName
from dagster_rudderstack.discovery.sql.outputs import outputs_of
from dagster_rudderstack.discovery.sql.references import arg, children, nested, value_of
from dagster_rudderstack.discovery.sql.relations import (
    STAR,
    UNKNOWN,
    Output,
    Relation,
    Renamed,
    Result,
    Value,
)
from dagster_rudderstack.discovery.sql.rules import Rules
from dagster_rudderstack.discovery.sql.scopes import Scope
from dagster_rudderstack.discovery.sql.table_names import alias_of, column_aliases_of
from dagster_rudderstack.discovery.sql.unions import union_of

__all__ = ["QueryReader"]

_READ_APART = frozenset({"from", "from_", "into", "joins", "laterals", "with", "with_"})
"""The parts of a SELECT that are not expressions."""


class QueryReader:
    """Reads a query and everything in it."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._from = FromReader(rules, self)
        self._relations: dict[int, Relation] = {}

    @property
    def tables(self) -> Sequence[TableName]:
        """The tables that the query reads, each once."""
        return self._from.tables.names

    @property
    def unread(self) -> Sequence[str]:
        """What else the query may read, in words."""
        return list(self._from.unread)

    def relation_of(self, query: exp.Expr) -> Relation | None:
        """Return the columns of a query that was read. None if it was not."""
        return self._relations.get(id(query))

    def read(
        self, query: exp.Expr, known: Subqueries | None = None, outer: Scope | None = None
    ) -> Relation:
        """Read a query and return its columns.

        Args:
            query: A SELECT, a union, or one of them in brackets.
            known: The common table expressions that it can use.
            outer: The names of the query around it that it can use.
        """
        known, values = self._with(query, known or {}, outer)
        if isinstance(query, exp.Subquery):
            relation = self._brackets(query, known, outer)
        elif isinstance(query, exp.SetOperation):
            first, others = _branches(query)
            relation = Result()
            self._together(relation, self.read(first, known, outer), others, known, outer)
        elif isinstance(query, exp.Select):
            relation = self._select(query, known, Scope(self._rules, outer=outer), values)
        else:
            relation = self._other(query, known, Scope(self._rules, outer=outer))
        self._relations[id(query)] = relation
        return relation

    def _brackets(self, query: exp.Subquery, known: Subqueries, outer: Scope | None) -> Relation:
        if isinstance(query.this, exp.Query):
            relation = self.read(query.this, known, outer)
        else:
            scope = Scope(self._rules, outer=outer)
            self._from.add(query.this, scope, known)
            relation = Result(
                [each for source in scope.sources for each in source.relation.outputs]
            )
        # The columns behind a pivot are not followed.
        return Result() if query.args.get("pivots") else relation

    def _other(self, node: exp.Expr, known: Subqueries, scope: Scope) -> Relation:
        """Read VALUES, or the tables of a statement such as DELETE."""
        self._from.read_nested(node, scope, known)
        if isinstance(node, exp.Values):
            return functions.values(node, scope, self, ())
        returning = node.args.get("returning")
        if isinstance(node, exp.Delete) and isinstance(returning, exp.Returning):
            self._from.add(node.this, scope, known)
            return Result(outputs_of(returning, scope, self))
        return Result()

    def _select(
        self, select: exp.Select, known: Subqueries, scope: Scope, values: Sequence[exp.Expr]
    ) -> Relation:
        if self._rules.aliases_first:
            self._add_values(select, scope, values)
        scope.qualifiers, scope.bare, scope.read = _used_names(select, scope)
        from_ = arg(select, "from")
        if isinstance(from_, exp.From):
            self._from.add(from_.this, scope, known)
        for join in select.args.get("joins") or ():
            self._from.join(join, scope, known)
        for lateral in select.args.get("laterals") or ():
            self._from.add(lateral, scope, known)
        # MATCH_RECOGNIZE makes other columns.
        scope.is_opaque = bool(select.args.get("match") or select.args.get("pivots"))
        scope.is_hierarchy = bool(select.args.get("connect"))
        for name, part in _parts(select):
            if name not in _READ_APART:
                self._from.read_nested(part, scope, known)
        outputs = outputs_of(select, scope, self)
        scope.outputs, scope.aliases = outputs, _aliases(select, scope, outputs)
        if str(select.args.get("kind") or "").upper() == "VALUE":
            # The names of the columns are those of the fields of the value.
            return Result(scalar=partial(_everything, outputs))
        return Result(outputs)

    def _add_values(self, select: exp.Select, scope: Scope, values: Sequence[exp.Expr]) -> None:
        """Add the names of values in WITH, and of aliases inside of expressions, to a scope."""
        inner = [part for name, part in _parts(select) if name not in _READ_APART]
        for part in inner:
            found = nested(part, (exp.Alias, exp.Query, exp.Star))
            inner += (each for each in found if isinstance(each, exp.Alias))
        outputs = {id(each) for each in select.expressions}
        for each in (*values, *inner):
            alias = each.args.get("alias")
            alias = alias.this if isinstance(alias, exp.TableAlias) else alias
            if not isinstance(alias, exp.Identifier) or id(each) in outputs:
                continue
            name = scope.folded(alias)
            own = {scope.folded(column.this) for column in each.this.find_all(exp.Column)}
            # A value that is made of a column of the same name is not followed.
            is_clear = name not in own and name not in scope.values
            made = Output(name, partial(value_of, each.this, scope, self))
            scope.values[name] = (made,) if is_clear else UNKNOWN

    # Unions

    def _together(
        self,
        result: Result,
        first: Relation,
        others: Sequence[exp.SetOperation],
        known: Subqueries,
        outer: Scope | None,
    ) -> None:
        """Read the other branches of a union, and set its columns."""
        branches = [first]
        for operation in others:
            branch = self.read(operation.expression, known, outer)
            # EXCEPT only takes rows away.
            if not isinstance(operation, exp.Except):
                branches.append(branch)
        if any(each.args.get(name) for each in others for name in ("kind", "on", "side")):
            # Only the columns of some branches remain.
            return
        union_of(result, branches, is_by_name=any(each.args.get("by_name") for each in others))

    def _recursive(
        self, cte: exp.CTE, query: exp.SetOperation, known: Subqueries, outer: Scope | None
    ) -> Relation:
        """Read a query that may refer to itself in all branches but the first."""
        first, others = _branches(query)
        known, _ = self._with(query, known, outer)
        anchor = self.read(first, known, outer)
        # The other branches see the columns of the first one. Their values are known at the end.
        result = Result()
        result.set_columns([_later(result, at, each) for at, each in enumerate(anchor.outputs)])
        columns = column_aliases_of(cte, self._rules)
        named = Renamed(result, columns) if columns else result
        known = {**known, alias_of(cte, self._rules): named}
        self._together(result, anchor, others, known, outer)
        return named

    # WITH

    def _with(
        self, query: exp.Expr, known: Subqueries, outer: Scope | None
    ) -> tuple[Subqueries, list[exp.Expr]]:
        """Read the common table expressions of a query.

        Returns:
            All that the query can use, and the values with names, which ClickHouse has.
        """
        with_ = arg(query, "with")
        if not isinstance(with_, exp.With):
            return known, []
        known = dict(known)
        values: list[exp.Expr] = []
        is_recursive = bool(with_.args.get("recursive"))
        if is_recursive and self._rules.forward_references:
            # What a later query offers is not known yet.
            known.update({alias_of(cte, self._rules): Result() for cte in with_.expressions})
        for cte in with_.expressions:
            name = alias_of(cte, self._rules)
            if cte.args.get("scalar"):
                self._from.read_nested(cte, Scope(self._rules, outer=outer), known)
                values.append(cte)
            else:
                known[name] = self._subquery(cte, known, outer, is_recursive=is_recursive)
        return known, values

    def _subquery(
        self, cte: exp.CTE, known: Subqueries, outer: Scope | None, *, is_recursive: bool
    ) -> Relation:
        query, own = cte.this, alias_of(cte, self._rules)
        if is_recursive:
            known = {name: each for name, each in known.items() if name != own}
        if isinstance(query, exp.SetOperation) and (is_recursive or self._rules.implicit_recursion):
            return self._recursive(cte, query, known, outer)
        relation = self.read(query, known, outer)
        columns = column_aliases_of(cte, self._rules)
        return Renamed(relation, columns) if columns else relation


def _branches(query: exp.SetOperation) -> tuple[exp.Expr, list[exp.SetOperation]]:
    """Return the first branch of a union, and the operations that add others, in their order."""
    operations = []
    node: exp.Expr = query
    while isinstance(node, exp.SetOperation) and (node is query or arg(node, "with") is None):
        operations.append(node)
        node = node.this
    return node, operations[::-1]


def _later(result: Result, place: int, output: Output) -> Output:
    """Return a column of a recursive query, whose value is read from its final columns."""
    if output.name == STAR:
        return output
    return Output(output.name, partial(result.at, place), has_place=output.has_place)


def _everything(outputs: Sequence[Output]) -> Value:
    return tuple(outputs)


def _aliases(select: exp.Select, scope: Scope, outputs: Sequence[Output]) -> Mapping[str, int]:
    """Return the positions of the outputs that have aliases."""
    named = {
        scope.folded(each.args["alias"])
        for each in select.expressions
        if isinstance(each, exp.Alias)
    }
    found: dict[str, int] = {}
    for at, output in enumerate(outputs):
        if output.name in named:
            found.setdefault(output.name, at)
    return found


def _used_names(select: exp.Select, scope: Scope) -> tuple[frozenset[str], ...]:
    """Return the first names of the columns in a SELECT.

    Returns:
        Those of columns with the name of a table, those of columns without, and the latter without
        subqueries.
    """
    qualifiers: set[str] = set()
    bare: set[str] = set()
    own: set[str] = set()
    parts = [each for name, each in _parts(select) if name not in {"with", "with_"}]
    waiting = [(each, True) for each in parts]
    while waiting:
        node, is_own = waiting.pop()
        if isinstance(node, exp.Column):
            name = scope.folded(node.parts[0])
            if len(node.parts) > 1:
                qualifiers.add(name)
            else:
                bare.add(name)
                own.update([name] if is_own else ())
        else:
            is_own = is_own and not isinstance(node, exp.Query)
            waiting += [(each, is_own) for each in children(node)]
    return frozenset(qualifiers), frozenset(bare), frozenset(own)


def _parts(select: exp.Select) -> Iterator[tuple[str, exp.Expr]]:
    """Yield the parts of a SELECT, with their names."""
    for name, value in select.args.items():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, exp.Expression):
                yield name, each

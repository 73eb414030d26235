"""The names that a SELECT can use, and the columns that they stand for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from dagster_rudderstack.discovery.sql.relations import (
    NOTHING,
    UNKNOWN,
    ColumnOf,
    Either,
    Elements,
    Output,
    Relation,
    Value,
    either,
)
from dagster_rudderstack.discovery.sql.rules import Rules

__all__ = ["Scope", "Source", "folded"]

_PAIR = frozenset({"key", "value"})
"""Fields that the elements of arrays often have, for example in GA4."""


@dataclass(frozen=True)
class Source:
    """A table, subquery or function in FROM.

    Attributes:
        relation: Its columns.
        name: Its alias or name. Empty if it has none.
        parts: The full name of a table without an alias.
        is_value: Whether its name stands for a value, such as an element of an array.
    """

    relation: Relation
    name: str = ""
    parts: tuple[str, ...] = ()
    is_value: bool = False

    def starts(self, names: Sequence[str]) -> int:
        """Return how many of these names are the name of this source. 0 if they are not."""
        if self.name and names[0] == self.name:
            return 1
        for size in range(2, min(len(self.parts), len(names)) + 1):
            if self.parts[-size:] == tuple(names[:size]):
                return size
        return 0


@dataclass
class Scope:
    """The names that a SELECT, or an item in its FROM, can use.

    Attributes:
        rules: The rules of the warehouse.
        sources: What is in FROM.
        outer: The SELECT around a subquery. None if there is none.
        merged: The sources whose columns USING merges, by the name of the column.
        is_natural: Whether a NATURAL JOIN merges columns.
        is_hierarchy: Whether CONNECT BY adds the column `level`.
        is_opaque: Whether the columns are not those of the sources.
        qualifiers: The first names of all columns in the SELECT that have several.
        bare: The names of all columns in the SELECT that have only one.
        read: Those of `bare` that are not in a subquery.
        aliases: The positions of the outputs, by their names.
        outputs: The outputs.
        values: What further names stand for: values in WITH, and aliases inside of expressions.
    """

    rules: Rules
    sources: list[Source] = field(default_factory=list)
    outer: Scope | None = None
    merged: dict[str, list[Relation]] = field(default_factory=dict)
    is_natural: bool = False
    is_opaque: bool = False
    is_hierarchy: bool = False
    qualifiers: frozenset[str] = frozenset()
    bare: frozenset[str] = frozenset()
    read: frozenset[str] = frozenset()
    aliases: Mapping[str, int] = field(default_factory=dict)
    outputs: Sequence[Output] = ()
    values: dict[str, Value] = field(default_factory=dict)

    def so_far(self) -> Scope:
        """Return a scope with the sources that an item in FROM can use: those before it."""
        return Scope(
            self.rules,
            list(self.sources),
            self.outer,
            {name: list(relations) for name, relations in self.merged.items()},
            self.is_natural,
            self.is_opaque,
            qualifiers=self.qualifiers,
            bare=self.bare,
            read=self.read,
            values=self.values,
        )

    def levels(self) -> Iterator[Scope]:
        """Yield this scope and those around it."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.outer

    def folded(self, name: exp.Expr | str) -> str:
        """Return the name of a column, an alias or a subquery as the warehouse compares it."""
        return folded(name, self.rules)

    def sources_named(self, names: Sequence[str]) -> tuple[list[Source], int]:
        """Return the nearest sources of a qualified name, and how many parts their name has."""
        for scope in self.levels():
            found = [(source, source.starts(names)) for source in scope.sources]
            size = max((size for _, size in found), default=0)
            if size:
                return [source for source, each in found if each == size], size
        return [], 0

    def column(self, column: exp.Column, place: int | None = None) -> Value:
        """Return the value of a column.

        Args:
            column: The column, with or without the name of its table.
            place: The position of the output that reads it. None if no output does.
        """
        parts = column.parts
        if isinstance(parts[-1], exp.Literal) and parts[1:-1] == []:
            # `pair.1` of ClickHouse is an element of a tuple.
            return self._plain(parts[0], place, is_whole=False)
        if not all(isinstance(part, exp.Identifier) for part in parts):
            # `$1` and `*`.
            return UNKNOWN
        names = [self.folded(part) for part in parts]
        if len(names) == 1:
            return self._plain(parts[0], place)
        sources, size = self.sources_named(names)
        if len(sources) > 1:
            return UNKNOWN
        if sources:
            # A name in the brackets of a function such as `f(t.x)` may be a whole table.
            return (ColumnOf(sources[0].relation, names[size]),) if size < len(names) else UNKNOWN
        return self._plain(parts[0], place, is_whole=False) if self.rules.fields else UNKNOWN

    def _plain(self, name: exp.Expr, place: int | None, *, is_whole: bool = True) -> Value:
        """Return the value of a column without the name of its table.

        `is_whole` is False if a dot and a field follow.
        """
        word = "" if name.args.get("quoted") or not is_whole else name.name.lower()
        if word in self.rules.words:
            return NOTHING
        if self.is_hierarchy and word == "level":
            return UNKNOWN
        readings = self.readings(self.folded(name), place)
        found = [reading.value for reading in readings]
        if word in self.rules.column_words and not any(each.is_certain for each in readings):
            found.append(NOTHING)
        return either(found) if found else UNKNOWN

    def readings(self, name: str, place: int | None) -> list[_Reading]:
        """Return what a name without a table may stand for: one certain value, or any others."""
        if name in self.values:
            return [_Reading(self.values[name], is_certain=True)]
        alias = self._alias(name, place)
        if alias and self.rules.aliases_first:
            return alias
        found = self._in_from(name)
        is_certain = any(reading.is_certain for reading in found)
        if is_certain:
            return found
        found += alias
        if self.outer is None or self._must_be_element(name, found):
            return found
        outer = self.outer.readings(name, None)
        # With other readings, that of the outer query is only one of them.
        return outer if not found else found + outer

    def _alias(self, name: str, place: int | None) -> list[_Reading]:
        """Return the output of this name, if an output can refer to it."""
        if not self.rules.alias_references or name not in self.aliases:
            return []
        at = self.aliases[name]
        if place is None:
            # A subquery can refer to the outputs around it, but this is rarely meant.
            return [_Reading(UNKNOWN)]
        if at == place or (at > place and not self.rules.aliases_first):
            return []
        if self.rules.aliases_first:
            # Two outputs may refer to each other. Then neither is known.
            return [_Reading((Either([(self.outputs[at],)]),), is_certain=True)]
        return [_Reading((self.outputs[at],))]

    def _in_from(self, name: str) -> list[_Reading]:
        """Return the columns in FROM that a name may stand for."""
        if self.is_opaque:
            return [_Reading(UNKNOWN)]
        if name in self.merged:
            parts = tuple(ColumnOf(each, name) for each in self.merged[name])
            return [_Reading(parts, is_certain=True)]
        elements = [each for each in self.sources if each.is_value and each.name == name]
        owners = [each for each in self.sources if each not in elements]
        certain = [each for each in owners if each.relation.has(name)]
        possible = [each for each in owners if each.relation.has(name) is None]
        rows = [each for each in owners if each.name == name] if self.rules.rows else []
        if certain and self.rules.columns_before_rows:
            rows = []
        known = len(elements) + len(certain)
        if known > 1 or (self.is_natural and known + len(possible) > 1):
            return [_Reading(UNKNOWN)]
        if known:
            value = elements[0].relation.everything() if elements else _column(certain[0], name)
            found = [_Reading(value, is_certain=not rows)]
        else:
            used = [each for each in possible if self._may_be_used(each, name)]
            found = [
                _Reading(_column(each, name), is_element=isinstance(each.relation, Elements))
                for each in used
            ]
        if len(found) > 1:
            return [_Reading(UNKNOWN)]
        # The name of a table also stands for its whole row.
        return found + [_Reading(each.relation.everything()) for each in rows]

    def _may_be_used(self, source: Source, name: str) -> bool:
        """Whether a name without a table may be a field of an element.

        A query that reads an element as a value, by its name, says that it has no fields. A query
        with `item.price` is taken to name the item in front of each of its fields.
        """
        if not isinstance(source.relation, Elements) or not source.name:
            return True
        if source.name in self.bare:
            return False
        return source.name not in self.qualifiers or len(self.sources) == 1 or name.lower() in _PAIR

    def _must_be_element(self, name: str, readings: Sequence[_Reading]) -> bool:
        """Whether a name in a subquery whose FROM is only an array is a field of its elements."""
        if len(readings) != 1 or not readings[0].is_element or len(self.sources) != 1:
            return False
        used = self.bare | self.qualifiers
        is_pair = name.lower() in _PAIR
        if self.sources[0].name in self.qualifiers or (
            # Elements with a key and a value have no other fields.
            not is_pair and any(each.lower() in _PAIR for each in used)
        ):
            return False
        around = self.outer.levels() if self.outer else ()
        return not any(
            scope._claims(name) or (name in scope.read and not is_pair)  # noqa: SLF001 - of this class
            for scope in around
        )

    def _claims(self, name: str) -> bool:
        """Whether a name certainly stands for something in FROM."""
        return name in self.merged or any(
            source.name == name or source.relation.has(name) for source in self.sources
        )


@dataclass(frozen=True)
class _Reading:
    """A value that a name may stand for."""

    value: Value
    is_certain: bool = False
    is_element: bool = False


def _column(source: Source, name: str) -> Value:
    return (ColumnOf(source.relation, name),)


def folded(name: exp.Expr | str, rules: Rules) -> str:
    """Return the name of a column, an alias or a subquery as the warehouse compares it."""
    if isinstance(name, str):
        return rules.column(name, quoted=False)
    return rules.column(name.name, quoted=bool(name.args.get("quoted")))

"""What the FROM of a query offers: tables, subqueries and table functions, with their columns.

A value is what a column is made of. It is a tuple of parts, which are resolved only when someone
asks for the origins of the column, see `origins`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

__all__ = [
    "NOTHING",
    "STAR",
    "UNKNOWN",
    "ColumnOf",
    "Either",
    "Elements",
    "Output",
    "Part",
    "Relation",
    "Renamed",
    "Result",
    "Table",
    "TableColumn",
    "Unknown",
    "Value",
    "either",
    "star_of",
]

STAR = "*"


@dataclass(frozen=True)
class TableColumn:
    """A column of a table, as the warehouse compares it."""

    table: int
    column: str


@dataclass(frozen=True)
class ColumnOf:
    """A column of a relation, which is resolved later. A recursive query refers to itself."""

    relation: Relation
    column: str


@dataclass(frozen=True, eq=False)
class Either:
    """A value with several possible readings. It is known if all of them have the same origins."""

    readings: Sequence[Value]


@dataclass(frozen=True)
class Unknown:
    """A value that cannot be known without the schema of the warehouse."""


@dataclass(frozen=True, eq=False)
class Output:
    """A column of a relation, or any number of them.

    Attributes:
        name: The name, as the warehouse compares it. Empty for one without a name. `*` for the
            columns that pass through from `source`.
        read: Returns the value.
        source: The relation whose columns pass through. None if they are not exactly its columns.
        removed: The columns of `source` that do not pass through under their names.
        has_place: Whether the position among the other columns is known.
    """

    name: str
    read: Callable[[], Value] = lambda: UNKNOWN
    source: Relation | None = None
    removed: frozenset[str] = frozenset()
    has_place: bool = True

    def may_pass(self, name: str) -> bool:
        """Whether a column of this name may pass through."""
        if self.name != STAR or name in self.removed:
            return False
        return self.source is None or self.source.has(name) is not False


Part = TableColumn | ColumnOf | Output | Either | Unknown
Value = tuple[Part, ...]

NOTHING: Value = ()
UNKNOWN: Value = (Unknown(),)


def either(readings: Sequence[Value]) -> Value:
    """Return the value of several readings."""
    return readings[0] if len(readings) == 1 else (Either(readings),)


class Relation:
    """A table or a subquery, with columns. By default nothing is known about them."""

    @property
    def outputs(self) -> Sequence[Output]:
        """The columns in their order."""
        return (Output(STAR),)

    @cached_property
    def _named(self) -> dict[str, list[Output]]:
        named: dict[str, list[Output]] = defaultdict(list)
        for output in self.outputs:
            if output.name != STAR:
                named[output.name].append(output)
        return dict(named)

    @cached_property
    def _stars(self) -> list[Output]:
        return [output for output in self.outputs if output.name == STAR]

    def has(self, name: str) -> bool | None:
        """Whether there is a column of this name. None if that is not known."""
        if name in self._named:
            return True
        return None if any(star.may_pass(name) for star in self._stars) else False

    def value(self, name: str) -> Value:
        """Return the value of a column."""
        if name in self._named:
            outputs = self._named[name]
            return (outputs[0],) if len(outputs) == 1 else UNKNOWN
        stars = [star for star in self._stars if star.may_pass(name)]
        if len(stars) != 1 or stars[0].source is None:
            return UNKNOWN
        return (ColumnOf(stars[0].source, name),)

    def at(self, place: int) -> Value:
        """Return the value of the column at a position."""
        return (self.outputs[place],)

    def everything(self) -> Value:
        """Return the value of all columns together."""
        return tuple(self.outputs)


def star_of(
    relation: Relation, removed: frozenset[str], renamed: dict[str, str] | None = None
) -> Iterator[Output]:
    """Yield the columns that `*` takes from a relation.

    Args:
        relation: The relation.
        removed: The columns that do not pass through.
        renamed: The new names of some of them, by their names.
    """
    renamed = renamed or {}
    for output in relation.outputs:
        if output.name == STAR:
            left_out = output.removed | removed | frozenset(renamed)
            yield Output(STAR, source=output.source, removed=left_out)
        elif output.name in renamed:
            yield Output(renamed[output.name], output.read, has_place=output.has_place)
        elif output.name not in removed:
            yield output


class Table(Relation):
    """A table. Its columns are not known."""

    def __init__(self, place: int) -> None:
        self.place = place

    @property
    def outputs(self) -> Sequence[Output]:
        """Return the columns in their order."""
        return (Output(STAR, source=self),)

    def has(self, name: str) -> bool | None:  # noqa: ARG002 - any column may exist
        """Whether there is a column of this name. None if that is not known."""
        return None

    def value(self, name: str) -> Value:
        """Return the value of a column."""
        return (TableColumn(self.place, name),)


class Elements(Relation):
    """The rows that a function makes, such as the elements of an array.

    Args:
        value: What all columns are made of.
        columns: The known columns, with values of their own if they have some.
        is_open: Whether there may be others, such as the fields of structs.
    """

    def __init__(
        self,
        value: Callable[[], Value],
        columns: Iterable[tuple[str, Callable[[], Value] | None]] = (),
        *,
        is_open: bool,
    ) -> None:
        self._value = value
        self.is_open = is_open
        self._outputs = [Output(name, read or value) for name, read in columns]
        if is_open:
            self._outputs.append(Output(STAR, source=self))

    @property
    def outputs(self) -> Sequence[Output]:
        """Return the columns in their order."""
        return self._outputs

    def has(self, name: str) -> bool | None:
        """Whether there is a column of this name. None if that is not known."""
        return True if name in self._named else (None if self.is_open else False)

    def value(self, name: str) -> Value:
        """Return the value of a column."""
        return super().value(name) if name in self._named else self._value()

    def everything(self) -> Value:
        """Return the value of all columns together."""
        return self._value()


@dataclass(eq=False)
class Result(Relation):
    """The outputs of a query, which are set while the query is read.

    Attributes:
        columns: The columns. The branches of a recursive query refer to it before it has any.
        branches: The branches of a union whose `*` stands for columns of the same names.
        scalar: The value of the query where one value is expected. None for all columns.
    """

    columns: Sequence[Output] = (Output(STAR),)
    branches: Sequence[Relation] = ()
    scalar: Callable[[], Value] | None = None

    @property
    def outputs(self) -> Sequence[Output]:
        """Return the columns in their order."""
        return self.columns

    def set_columns(self, columns: Sequence[Output]) -> None:
        """Set the columns when they are known."""
        self.columns = columns
        for cached in ("_named", "_stars"):
            self.__dict__.pop(cached, None)

    def has(self, name: str) -> bool | None:
        """Whether there is a column of this name. None if that is not known."""
        if not self.branches or name in self._named:
            return super().has(name)
        known = {branch.has(name) for branch in self.branches}
        return False if False in known else None

    def value(self, name: str) -> Value:
        """Return the value of a column."""
        if not self.branches or name in self._named:
            return super().value(name)
        if any(output.name == name for each in self.branches for output in each.outputs):
            # It is not the column at this position in all branches.
            return UNKNOWN
        return tuple(ColumnOf(branch, name) for branch in self.branches)

    def everything(self) -> Value:
        """Return the value of all columns together."""
        return self.scalar() if self.scalar else super().everything()


class Renamed(Relation):
    """A relation with other names for its columns: `t (a, b)`."""

    def __init__(self, relation: Relation, names: Sequence[str]) -> None:
        known = list(relation.outputs)
        # After a `*` the positions are not known.
        first = next(
            (at for at, each in enumerate(known) if each.name == STAR or not each.has_place),
            len(known),
        )
        self._outputs = [
            Output(name, partial(relation.at, at)) if at < first else Output(name)
            for at, name in enumerate(names)
        ]
        if first < len(known):
            self._outputs.append(Output(STAR))
        else:
            self._outputs += known[len(names) :]

    @property
    def outputs(self) -> Sequence[Output]:
        """Return the columns in their order."""
        return self._outputs

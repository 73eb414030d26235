"""The tables and columns that a SQL model reads, as the snapshot of a workspace holds them."""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property

from pydantic import BaseModel, ConfigDict

__all__ = ["ColumnOrigin", "QueryLineage", "TableName"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class TableName(_Frozen):
    """The name of a table in a source. `catalog` and `schema_name` are None if it has none.

    Attributes:
        name: The name, as the source spells it.
        schema_name: The schema.
        catalog: The database, or the project.
        exact: The parts as the warehouse spells them: unquoted names are in upper case in
            Snowflake, and in lower case in Postgres. None if that is how `parts` are spelled.
    """

    name: str
    schema_name: str | None = None
    catalog: str | None = None
    exact: tuple[str, ...] | None = None

    def __str__(self) -> str:
        return ".".join(self.parts)

    @property
    def parts(self) -> tuple[str, ...]:
        """The known parts of catalog, schema and name, in that order."""
        known = (self.catalog, self.schema_name, self.name)
        return tuple(part for part in known if part)

    @property
    def spelled(self) -> tuple[str, ...]:
        """`parts` as the warehouse spells them."""
        return self.exact or self.parts

    @property
    def folded(self) -> tuple[str, ...]:
        """`parts` in lower case, which identify a table in a query."""
        return tuple(part.lower() for part in self.parts)


class ColumnOrigin(_Frozen):
    """A column of a table.

    Attributes:
        table: The index of the table in `QueryLineage.tables`.
        column: The column, as the query spells it.
        exact: The column as the warehouse spells it. None if that is `column`.
    """

    table: int
    column: str
    exact: str | None = None


class QueryLineage(_Frozen):
    """What a query reads.

    Attributes:
        tables: The tables, each once, in the order in which the query names them.
        columns: The origins of each output column, by its name as the warehouse spells it. Empty
            for a column without an origin. A column that cannot be known without the warehouse's
            schema is left out or, if `star` is set, empty.
        star: The table whose columns pass through by `select *`. None if there is none, or several.
        unread: What else the query may read, such as `identifier(…)`. It names tables that are not
            known before it runs.
        problem: Why the query could not be read or, if it has `tables`, why its columns could not
            be traced. None without a problem.
    """

    tables: tuple[TableName, ...] = ()
    columns: dict[str, tuple[ColumnOrigin, ...]] = {}
    star: int | None = None
    unread: tuple[str, ...] = ()
    problem: str | None = None

    def origins(self, column: str) -> tuple[ColumnOrigin, ...]:
        """Return the origins of an output column. Empty if it has none, or they are unknown."""
        known = self._output(column)
        if known is not None or self.star is None:
            return known or ()
        return (ColumnOrigin(table=self.star, column=column),)

    def is_computed(self, column: str) -> bool:
        """Whether the query names an output column, so that it may not be a column of a table."""
        return self._output(column) is not None

    def _output(self, column: str) -> tuple[ColumnOrigin, ...] | None:
        """Return the origins of a column that the query names. None if it does not.

        A name in the same case comes first. If only several names in other cases remain, it is
        unknown which one is meant.
        """
        if column in self.columns:
            return self.columns[column]
        found = self._by_lower_case.get(column.lower(), [])
        return None if not found else (found[0] if len(found) == 1 else ())

    @cached_property
    def _by_lower_case(self) -> dict[str, list[tuple[ColumnOrigin, ...]]]:
        found: dict[str, list[tuple[ColumnOrigin, ...]]] = defaultdict(list)
        for name, origins in self.columns.items():
            found[name.lower()].append(origins)
        return dict(found)

"""The tables and columns that a SQL model reads, as the snapshot of a workspace holds them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["ColumnOrigin", "QueryLineage", "TableName"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class TableName(_Frozen):
    """The name of a table in a source. `catalog` and `schema_name` are None if it has none.

    Attributes:
        name: The name of the table, as the source has it.
        schema_name: The schema.
        catalog: The catalog, or database.
        exact: The parts as the warehouse spells them: unquoted names of Snowflake in upper case, of
            Postgres and Redshift in lower case. None if `parts` are the spelling already, as for a
            table source.
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
    """A column of a table. `table` is the index of the table in `QueryLineage.tables`."""

    table: int
    column: str


class QueryLineage(_Frozen):
    """What a query reads.

    Attributes:
        tables: The tables, each once, in the order in which the query names them.
        columns: The origins of each output column, by its name in lower case. Empty for a column
            without an origin. A column that cannot be known without the warehouse's schema is
            left out or, if `star` is set, empty.
        star: The table whose columns pass through by `select *`. None if there is none, or several.
        problem: Why the query could not be read or, if it has `tables`, why its columns could not
            be traced. None without a problem.
    """

    tables: tuple[TableName, ...] = ()
    columns: dict[str, tuple[ColumnOrigin, ...]] = {}
    star: int | None = None
    problem: str | None = None

    def origins(self, column: str) -> tuple[ColumnOrigin, ...]:
        """Return the origins of an output column. Empty if it has none, or they are unknown."""
        known = self.columns.get(column.lower())
        if known is not None or self.star is None:
            return known or ()
        return (ColumnOrigin(table=self.star, column=column),)

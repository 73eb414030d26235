"""The tables and columns that a SQL model reads, as the snapshot of a workspace holds them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["ColumnOrigin", "QueryLineage", "TableName"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class TableName(_Frozen):
    """A table as a source names it; `catalog` and `schema_name` are None where it does not."""

    name: str
    schema_name: str | None = None
    catalog: str | None = None

    def __str__(self) -> str:
        return ".".join(self.parts)

    @property
    def parts(self) -> tuple[str, ...]:
        """What is known of catalog, schema and name, in that order."""
        known = (self.catalog, self.schema_name, self.name)
        return tuple(part for part in known if part)

    @property
    def folded(self) -> tuple[str, ...]:
        """`parts` in lower case: what tells two tables of one query apart."""
        return tuple(part.lower() for part in self.parts)


class ColumnOrigin(_Frozen):
    """A column of a table: `table` is the table's place in `QueryLineage.tables`."""

    table: int
    column: str


class QueryLineage(_Frozen):
    """What a query reads.

    Attributes:
        tables: each once, in the order in which the query names them.
        columns: output column, in lower case -> the columns that it is made of; without those that
            nobody can tell without the warehouse's schema, and empty for one made of none. Beside
            `star`, also empty for those that nobody can tell, and that do not pass through.
        star: the table whose columns pass through by `select *`; None: there is no such table, or
            there are several.
        problem: why the query could not be read or, if it has `tables`, why its columns could not
            be followed; None if they could.
    """

    tables: tuple[TableName, ...] = ()
    columns: dict[str, tuple[ColumnOrigin, ...]] = {}
    star: int | None = None
    problem: str | None = None

    def origins(self, column: str) -> tuple[ColumnOrigin, ...]:
        """Return the columns that an output column is made of; empty if none or nobody can tell."""
        known = self.columns.get(column.lower())
        if known is not None or self.star is None:
            return known or ()
        return (ColumnOrigin(table=self.star, column=column),)

"""The tables of a query, and the names of what is in its FROM."""

from __future__ import annotations

from sqlglot import exp

from dagster_rudderstack.discovery.sql.lineage import TableName
from dagster_rudderstack.discovery.sql.relations import Table
from dagster_rudderstack.discovery.sql.rules import Rules
from dagster_rudderstack.discovery.sql.scopes import folded

__all__ = ["Tables", "alias_of", "column_aliases_of", "table_of"]


class Tables:
    """The tables of a query, each once.

    Attributes:
        names: Their names, as the query writes them first.
    """

    def __init__(self, rules: Rules) -> None:
        self.names: list[TableName] = []
        self._rules = rules
        self._tables: dict[tuple[str, ...], Table] = {}

    def add(self, node: exp.Table) -> Table | None:
        """Return a table. None if its schema cannot be known."""
        catalog, schema, name = (_part(node, key) for key in ("catalog", "db", "this"))
        exact = [self._spelled(part) for part in (catalog, schema, name)]
        written = TableName(
            name=node.name,
            schema_name=node.text("db") or None,
            catalog=node.text("catalog") or None,
        )
        if catalog is not None and schema is None:
            if self._rules.empty_schema is None:
                return None
            exact[1] = self._rules.empty_schema
            written = written.model_copy(update={"schema_name": self._rules.empty_schema})
        parts = tuple(part for part in exact if part)
        if parts not in self._tables:
            self._tables[parts] = Table(len(self.names))
            # Without `exact`, a name in lower case is taken for one without quotes.
            is_usual = self._rules.tables != "upper" or parts == tuple(map(str.upper, parts))
            self.names.append(
                written
                if parts == written.parts and is_usual
                else written.model_copy(update={"exact": parts})
            )
        return self._tables[parts]

    def _spelled(self, part: exp.Identifier | None) -> str:
        if part is None:
            return ""
        return self._rules.table(part.name, quoted=bool(part.args.get("quoted")))


def _part(node: exp.Table, key: str) -> exp.Identifier | None:
    part = node.args.get(key)
    return part if isinstance(part, exp.Identifier) else None


def table_of(column: exp.Column) -> exp.Table:
    """Return the table whose name sqlglot takes for a column."""
    keys = ("this", "db", "catalog")
    return exp.Table(**dict(zip(keys, reversed(column.parts), strict=False)))


def alias_of(node: exp.Expr, rules: Rules) -> str:
    """Return the alias of a table or a subquery, as the warehouse compares it. Empty if none."""
    alias = node.args.get("alias")
    if isinstance(alias, exp.TableAlias):
        alias = alias.this
    return folded(alias, rules) if isinstance(alias, exp.Identifier) else ""


def column_aliases_of(node: exp.Expr, rules: Rules) -> list[str]:
    """Return the aliases of the columns in `t (a, b)`, as the warehouse compares them."""
    alias = node.args.get("alias")
    if not isinstance(alias, exp.TableAlias):
        return []
    return [
        folded(each.this if isinstance(each, exp.ColumnDef) else each, rules)
        for each in alias.args.get("columns") or ()
    ]

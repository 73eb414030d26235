"""How each warehouse reads the names in its SQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["WAREHOUSES", "Rules", "rules_of", "words"]

Case = Literal["upper", "lower", "exact", "any"]
"""What a name without quotes stands for. `any`: case never matters, also with quotes."""


def words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


_CLOCK = frozenset({"current_date", "current_time", "current_timestamp"})
_LOCAL = frozenset({"localtime", "localtimestamp"})
_POSTGRES = (
    _CLOCK
    | _LOCAL
    | {"current_catalog", "current_role", "current_schema", "current_user", "session_user"}
    | {"user"}
)


@dataclass(frozen=True)
class Rules:
    """The rules of a warehouse.

    Attributes:
        dialect: sqlglot's dialect. None for its own one.
        columns: The case of columns, aliases and common table expressions.
        tables: The case of tables.
        words: Functions without brackets, in lower case. No column can have such a name without
            quotes.
        column_words: The same, but a column of the name takes precedence.
        alias_references: Whether an output of a SELECT can refer to an earlier one by its name.
        aliases_first: Whether any expression can refer to any alias, and aliases take precedence
            over columns.
        rows: Whether the name of a table stands for its whole row.
        columns_before_rows: Whether a column of this name takes precedence.
        is_from_lateral: Whether a subquery in FROM can use what is before it, without LATERAL.
        methods: Whether a function can be called like a method, as in `name.upper()`.
        fields: Whether a dot after a column names a field of it.
        paths: Whether FROM can name a column of a table before it, such as `o.items`.
        empty_schema: The schema that `db..table` stands for. None if there is no such name.
        implicit_recursion: Whether WITH is recursive without RECURSIVE.
        forward_references: Whether WITH RECURSIVE makes later queries known to earlier ones.
        has_dual: Whether `dual` is a table without rows of its own.
        has_paths_of_files: Whether a table can be the path of files, as in delta.`/people`.
        lambdas: Whether `x -> …` in the brackets of a function is a function. Elsewhere `->` is an
            operator for documents.
        naming: Functions in FROM whose first argument names a table.
        reading: Functions outside of FROM that read a table.
        are_words_unclear: Whether a word such as `month` among arguments may be a part of a date.
        reads_named_tables: Whether IN can be followed by the name of a table.
    """

    dialect: str | None
    columns: Case = "any"
    tables: Case = "any"
    words: frozenset[str] = frozenset()
    column_words: frozenset[str] = frozenset()
    alias_references: bool = True
    aliases_first: bool = False
    rows: bool = False
    columns_before_rows: bool = False
    is_from_lateral: bool = False
    methods: bool = False
    fields: bool = False
    paths: bool = False
    empty_schema: str | None = None
    implicit_recursion: bool = False
    forward_references: bool = False
    has_dual: bool = False
    has_paths_of_files: bool = False
    lambdas: bool = True
    naming: frozenset[str] = frozenset()
    reading: frozenset[str] = frozenset()
    are_words_unclear: bool = False
    reads_named_tables: bool = False

    def column(self, name: str, quoted: bool) -> str:
        """Return a name of a column, an alias or a subquery as the warehouse compares it."""
        return _folded(name, self.columns, quoted)

    def table(self, name: str, quoted: bool) -> str:
        """Return a part of the name of a table as the warehouse compares it."""
        return _folded(name, self.tables, quoted)


def _folded(name: str, case: Case, quoted: bool) -> str:
    if case == "any":
        return name.lower()
    if quoted or case == "exact":
        return name
    return name.upper() if case == "upper" else name.lower()


_RULES: Mapping[str, Rules] = {
    "bigquery": Rules(
        "bigquery",
        tables="exact",
        words=_CLOCK | {"current_datetime"},
        alias_references=False,
        rows=True,
        fields=True,
        paths=True,
        forward_references=True,
    ),
    "clickhouse": Rules(
        "clickhouse",
        columns="exact",
        tables="exact",
        column_words=_CLOCK,
        aliases_first=True,
        naming=frozenset({"cluster", "clusterallreplicas"}),
        reading=words(
            "dictget dictgetordefault dictgetornull dicthas dictgethierarchy joinget joingetornull"
        ),
        reads_named_tables=True,
    ),
    "databricks": Rules(
        "databricks",
        column_words=_CLOCK
        | {"current_catalog", "current_schema", "current_database"}
        | {"current_user", "grouping__id", "localtimestamp", "session_user", "user"},
        fields=True,
        has_paths_of_files=True,
        naming=words("identifier stream table_changes"),
    ),
    "duckdb": Rules(
        "duckdb",
        column_words=_POSTGRES,
        rows=True,
        columns_before_rows=True,
        is_from_lateral=True,
        methods=True,
        fields=True,
    ),
    "mysql": Rules(
        "mysql",
        tables="exact",
        words=_CLOCK | _LOCAL | {"current_user", "utc_date", "utc_time", "utc_timestamp"},
        alias_references=False,
        has_dual=True,
        lambdas=False,
    ),
    "postgres": Rules(
        "postgres",
        columns="lower",
        tables="lower",
        words=_POSTGRES | {"system_user"},
        alias_references=False,
        rows=True,
        columns_before_rows=True,
        forward_references=True,
        lambdas=False,
        reading=words("query_to_xml query_to_xml_and_xmlschema table_to_xml schema_to_xml"),
    ),
    "redshift": Rules(
        "redshift",
        words=_POSTGRES | {"current_user_id", "sysdate"},
        fields=True,
        paths=True,
        lambdas=False,
    ),
    "snowflake": Rules(
        "snowflake",
        columns="upper",
        tables="upper",
        words=_CLOCK | _LOCAL | {"current_user"},
        empty_schema="PUBLIC",
        implicit_recursion=True,
        has_dual=True,
        naming=frozenset({"identifier", "table"}),
    ),
    "trino": Rules(
        "trino",
        words=_CLOCK
        | _LOCAL
        | {"current_catalog", "current_path", "current_role", "current_schema", "current_user"},
        alias_references=False,
        fields=True,
    ),
}

WAREHOUSES = tuple(_RULES)
"""The kinds of warehouses whose SQL is read by rules of their own."""

_ANY = Rules(
    None,
    column_words=_POSTGRES
    | words("current_path current_user_id rownum sysdate system_user systimestamp")
    | words("utc_date utc_time utc_timestamp"),
    rows=True,
    has_dual=True,
    are_words_unclear=True,
)


def rules_of(warehouse: str | None) -> Rules:
    """Return the rules of a kind of warehouse, and careful ones for an unknown kind."""
    return _RULES.get((warehouse or "").lower(), _ANY)

"""Functions in FROM: the columns that they make, and which of them read nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from sqlglot import exp

from dagster_rudderstack.discovery.sql.references import Queries, function_name, value_of
from dagster_rudderstack.discovery.sql.relations import NOTHING, UNKNOWN, Elements, Relation, Value
from dagster_rudderstack.discovery.sql.rules import Rules, words
from dagster_rudderstack.discovery.sql.scopes import Scope
from dagster_rudderstack.discovery.sql.table_names import table_of

__all__ = [
    "FLATTEN",
    "Columns",
    "elements_of",
    "is_file",
    "is_known",
    "name_for_users",
    "reading",
    "stacked",
    "table_named_by",
    "values",
    "without_model",
]

Columns = Sequence[tuple[str, Callable[[], Value] | None]]

FLATTEN = ("SEQ", "KEY", "PATH", "INDEX", "VALUE", "THIS")

_MADE: dict[str, tuple[str, ...]] = {
    "explode": ("col", "key", "value"),
    "explode_outer": ("col", "key", "value"),
    "flatten": FLATTEN,
    "exploding_generate_series": ("generate_series",),
    "generate_series": ("generate_series",),
    "generate_subscripts": ("generate_subscripts",),
    "json_array_elements": ("value",),
    "json_array_elements_text": ("value",),
    "json_each": ("key", "value"),
    "json_each_text": ("key", "value"),
    "json_object_keys": ("json_object_keys",),
    "jsonb_array_elements": ("value",),
    "jsonb_array_elements_text": ("value",),
    "jsonb_each": ("key", "value"),
    "jsonb_each_text": ("key", "value"),
    "jsonb_object_keys": ("jsonb_object_keys",),
    "jsonb_path_query": ("jsonb_path_query",),
    "numbers": ("number",),
    "posexplode": ("pos", "col", "key", "value"),
    "posexplode_outer": ("pos", "col", "key", "value"),
    "range": ("id", "range"),
    "regexp_matches": ("regexp_matches",),
    "regexp_split_to_table": ("regexp_split_to_table",),
    "sequence": ("sequential_number",),
    "split_to_table": ("SEQ", "INDEX", "VALUE"),
    "string_to_table": ("string_to_table",),
    "strtok_split_to_table": ("SEQ", "INDEX", "VALUE"),
    "unnest": ("unnest",),
    "zeros": ("zero",),
}
"""The columns of functions that make rows from their arguments."""

_OPEN = words(
    "generator inline inline_outer json_populate_record json_populate_recordset json_to_record "
    "json_to_recordset json_tuple jsonb_populate_record jsonb_populate_recordset jsonb_to_record "
    "jsonb_to_recordset stack values variant_explode variant_explode_outer generate_date_array "
    "generate_timestamp_array generate_array"
)
"""Functions that make rows from their arguments, with other columns."""

_STAGE = "a stage"
_FUNCTIONS = {
    "Column": "table",
    "DynamicIdentifier": "identifier",
    "Parameter": "table",
    "Placeholder": "table",
    "SemanticView": "semantic_view",
    "TableFromRows": "table",
    "Var": _STAGE,
}
"""How users write what sqlglot calls by another name."""

_QUOTED = frozenset({"identifier", "table"})
"""Functions that take the name of a table in quotes. A name without quotes is a variable."""

_MODELS = frozenset(
    {
        "GenerateBool",
        "GenerateDouble",
        "GenerateEmbedding",
        "GenerateInt",
        "GenerateTable",
        "GenerateText",
        "MLForecast",
        "MLTranslate",
        "Predict",
    }
)
"""Functions of BigQuery whose first argument is a model, and no table."""

_FILES = frozenset(
    {"avro", "binaryfile", "csv", "delta", "iceberg", "json", "orc", "parquet", "text"}
)
"""Schemas of Databricks whose tables are paths of files."""

_FILE = re.compile(r"/|\.(csv|json|jsonl|parquet|tsv|xlsx)(\.\w+)?$")
"""The name of a file where DuckDB also accepts a table."""


def is_known(function: exp.Expr) -> bool:
    """Whether a function in FROM makes rows from its arguments only, and reads no table."""
    if isinstance(function, exp.JSONTable | exp.XMLTable | exp.Unnest | exp.Values):
        return True
    return function_name(function) in {*_MADE, *_OPEN}


def table_named_by(function: exp.Expr, rules: Rules) -> exp.Table | None:
    """Return the table that a function such as `identifier('crm.people')` names."""
    named = function
    if type(function).__name__ == "DynamicIdentifier":
        named = function.this
    elif isinstance(function, exp.Anonymous) and function_name(function) in rules.naming:
        # `cluster('name', table)` of ClickHouse.
        named = function.expressions[-1 if rules.reads_named_tables else 0]
        if isinstance(named, exp.Column) and function_name(function) not in _QUOTED:
            return table_of(named)
    if isinstance(named, exp.Literal) and named.is_string:
        table = exp.maybe_parse(named.name, into=exp.Table, dialect=rules.dialect)
        return table if isinstance(table.this, exp.Identifier) else None
    return None


def name_for_users(node: exp.Expr) -> str:
    """Return what may read a table, as users write it. Without arguments, which may be secret."""
    while isinstance(node, exp.Dot):
        node = node.expression
    name = _FUNCTIONS.get(type(node).__name__) or function_name(node)
    if not name and isinstance(node, exp.Table):
        name = node.name
    if not name:
        return "something that is no table"
    return name if name == _STAGE else f"{name}(…)"


def without_model(node: exp.Expr) -> exp.Expr:
    """Return what a function reads that takes a model, which is no table, besides the model."""
    if type(node).__name__ not in _MODELS:
        return node
    found = node.args.get("expression")
    return found if isinstance(found, exp.Expression) else exp.Null()


def reading(node: exp.Expr, rules: Rules) -> Iterator[exp.Expr]:
    """Yield the functions in an expression that read a table."""
    if rules.reading:
        functions = node.find_all(exp.Anonymous)
        yield from (each for each in functions if function_name(each) in rules.reading)


def is_file(path: Sequence[str], rules: Rules) -> bool:
    """Whether the name of a table is that of a file."""
    if rules.dialect == "duckdb":
        return len(path) == 1 and _FILE.search(path[0]) is not None
    return rules.has_paths_of_files and "/" in path[-1] and bool({*path[-2:-1]} & _FILES)


def elements_of(
    function: exp.Expr, scope: Scope, queries: Queries, name: str, columns: Sequence[str]
) -> Relation:
    """Return the rows that a function makes.

    Args:
        function: The function.
        scope: The names that its arguments can use.
        queries: The subqueries in it.
        name: Its alias. Empty if it has none.
        columns: The aliases of its columns. Empty if they have none.
    """
    value = partial(value_of, function, scope, queries)
    schema = function.args.get("schema")
    made = function_name(function)
    if isinstance(function, exp.JSONTable) and isinstance(schema, exp.Expression) and not columns:
        columns = [
            scope.folded(each.this) for each in schema.find_all(exp.JSONColumnDef) if each.this
        ]
    if isinstance(function, exp.XMLTable) and not columns:
        columns = [scope.folded(each.this) for each in function.args.get("columns") or ()]
    if made == "stack" and columns:
        return Elements(value, stacked(function, scope, queries, columns), is_open=False)
    if columns:
        return Elements(value, [(each, None) for each in columns], is_open=False)
    if not scope.rules.rows:
        # Its alias is no value.
        name = ""
    if made in _MADE:
        own = [scope.folded(each) for each in _MADE[made]]
        return Elements(
            value, [(each, None) for each in dict.fromkeys([*own, name]) if each], is_open=False
        )
    return Elements(value, [(name, None)] if name else (), is_open=True)


def stacked(function: exp.Expr, scope: Scope, queries: Queries, columns: Sequence[str]) -> Columns:
    """Return the columns of `stack(rows, …)`, whose arguments are the cells of its rows."""
    cells = list(function.expressions)
    count = cells.pop(0) if isinstance(function, exp.Anonymous) else function.this
    if not (isinstance(count, exp.Literal) and count.is_int and int(count.name) > 0):
        return [(each, lambda: UNKNOWN) for each in columns]
    width = -(-len(cells) // int(count.name))
    return [
        (each, partial(_values_of, cells[at::width], scope, queries))
        for at, each in enumerate(columns)
    ]


def values(node: exp.Values, scope: Scope, queries: Queries, columns: Sequence[str]) -> Relation:
    """Return the rows of VALUES."""
    rows = [
        each.expressions if isinstance(each, exp.Tuple) else [each] for each in node.expressions
    ]
    width = min((len(row) for row in rows), default=0)
    names = columns or [scope.folded(f"column{at + 1}") for at in range(width)]
    named = [
        (each, partial(_values_of, [row[at] for row in rows], scope, queries))
        for at, each in enumerate(names[:width])
    ]
    everything = partial(_values_of, [cell for row in rows for cell in row], scope, queries)
    return Elements(everything, named, is_open=False)


def _values_of(expressions: Sequence[exp.Expr], scope: Scope, queries: Queries) -> Value:
    found = NOTHING
    for each in expressions:
        found += value_of(each, scope, queries)
    return found

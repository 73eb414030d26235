"""SQL models that are hard to read: names of outputs, order, size, and what is not read."""

from collections.abc import Sequence
from itertools import permutations

import pytest

from dagster_rudderstack.api.models import Source
from dagster_rudderstack.discovery.sql.lineage import ColumnOrigin, QueryLineage, TableName
from dagster_rudderstack.discovery.sql.query import lineage_of
from dagster_rudderstack.discovery.tables import tables_of


def described(lineage: QueryLineage, column: str) -> set[str]:
    """Return `table.column` of the origins of an output."""
    return {f"{lineage.tables[each.table]}.{each.column}" for each in lineage.origins(column)}


def test_output__exact_name() -> None:
    """An output with exactly the asked name comes before one that differs by case."""
    lineage = lineage_of('select a as "Id", b as id from crm.people', "snowflake")

    assert described(lineage, "Id") == {"crm.people.a"}
    assert described(lineage, "ID") == {"crm.people.b"}
    assert described(lineage, "id") == set()


def test_output__computed() -> None:
    """A query says whether it names an output. One behind `*` it does not name."""
    lineage = lineage_of("select *, lower(email) as mail from crm.people", "snowflake")

    assert lineage.is_computed("mail")
    assert not lineage.is_computed("email")


def test_output__old_snapshot() -> None:
    """A snapshot of an earlier release, with names in lower case, is still understood."""
    origin = ColumnOrigin(table=0, column="Id")
    lineage = QueryLineage(tables=(TableName(name="people"),), columns={"id": (origin,)})

    assert lineage.origins("ID") == (origin,)


SPELLINGS: dict[str, tuple[str, str, list[tuple[str, ...]]]] = {
    "snowflake": (
        "snowflake",
        'select 1 as a from crm.people, CRM."PEOPLE" b, "crm"."people" c',
        [("CRM", "PEOPLE"), ("crm", "people")],
    ),
    "postgres": (
        "postgres",
        'select 1 as a from Crm.People, crm."people" b, crm."People" c',
        [("crm", "people"), ("crm", "People")],
    ),
    "bigquery": (
        "bigquery",
        "select 1 as a from crm.people, `crm.people` b, crm.People c",
        [("crm", "people"), ("crm", "People")],
    ),
    "redshift": (
        "redshift",
        'select 1 as a from Crm.People, crm."people" b, crm."People" c',
        [("crm", "people")],
    ),
}


@pytest.mark.parametrize(("warehouse", "sql", "tables"), SPELLINGS.values(), ids=SPELLINGS.keys())
def test_spelling(warehouse: str, sql: str, tables: list[tuple[str, ...]]) -> None:
    """Two spellings are one table if the warehouse takes them for one."""
    assert [each.spelled for each in lineage_of(sql, warehouse).tables] == tables


RECURSIVE = {
    "swapped": "with recursive t as (select x as a, y as b, z as c from e union all "
    "select b, a, c from t) select {outputs} from t",
    "rotated": "with recursive t (a, b, c) as (select x, y, z from e union all "
    "select b, c, a from t) select {outputs} from t",
    "two branches": "with recursive t (a, b, c) as (select x, y, 1 from e union all "
    "select b, a, c from t union all select a, c, b from t) select {outputs} from t",
    "two queries": "with recursive t as (select x as a, y as b, z as c from e union all "
    "select c, b, a from t), u as (select a, b, c from t union all select b, a, c from u) "
    "select {outputs} from u",
}


@pytest.mark.parametrize("sql", RECURSIVE.values(), ids=RECURSIVE.keys())
def test_order(sql: str) -> None:
    """The origins of the outputs of a recursive query do not depend on their order."""
    answers = []
    for outputs in permutations("abc"):
        lineage = lineage_of(sql.format(outputs=", ".join(outputs)), "postgres")
        answers.append([described(lineage, name) for name in "abc"])

    assert all(answers[0])
    assert all(answer == answers[0] for answer in answers)


def test_order__rotated() -> None:
    """A column that a recursive query rotates has all of the origins."""
    lineage = lineage_of(RECURSIVE["rotated"].format(outputs="c"), "postgres")

    assert described(lineage, "c") == {"e.x", "e.y", "e.z"}


def listed(template: str, numbers: Sequence[int], joined: str = ", ") -> str:
    return joined.join(template.format(n=number, before=number - 1) for number in numbers)


LARGE = {
    "500 branches": listed("select a, b from s.t{n}", range(500), " union all "),
    "1,000 columns": f"select {listed('c{n} as d{n}', range(1000))} from s.t",
    "500 subqueries": "with t0 as (select a from s.t), "
    f"{listed('t{n} as (select a from t{before})', range(1, 500))} select a from t499",
    "200 subqueries of a star": f"with t0 as (select {listed('c{n}', range(200))} from s.t), "
    f"{listed('t{n} as (select * from t{before})', range(1, 200))} select * from t199",
    "300 joins": f"select {listed('t{n}.c as c{n}', range(300))} from s.t0 "
    f"{listed('join s.t{n} on t{n}.id = t0.id', range(1, 300), ' ')}",
    "20,000 values": f"select a from s.t where a in ({listed('{n}', range(20_000))})",
}


@pytest.mark.parametrize("sql", LARGE.values(), ids=LARGE.keys())
def test_size(sql: str) -> None:
    """A large query is read, and all of its outputs have origins."""
    lineage = lineage_of(sql, "snowflake")

    assert lineage.problem is None
    assert lineage.columns
    assert all(lineage.columns.values())


UNREAD: dict[str, tuple[str, str, list[str], list[str]]] = {
    "literal in identifier": (
        "snowflake",
        "identifier('prod.crm.people')",
        ["prod.crm.people"],
        [],
    ),
    "literal in table": ("snowflake", "table('prod.crm.people')", ["prod.crm.people"], []),
    "identifier of Databricks": ("databricks", "identifier('a.b.c')", ["a.b.c"], []),
    "stream of Databricks": ("databricks", "stream(a.b.c)", ["a.b.c"], []),
    "cluster": ("clickhouse", "cluster('main', crm.people)", ["crm.people"], []),
    "name after IN": ("clickhouse", "a.b where x in c.d", ["a.b", "c.d"], []),
    "subquery after IN": (
        "clickhouse",
        "a.b where x in (with v as (select y from c.d) select y from c.e where y in v)",
        ["a.b", "c.d", "c.e"],
        [],
    ),
    "name without quotes": ("snowflake", "table(people)", [], ["table(…)"]),
    "variable": ("snowflake", "identifier($name)", [], ["identifier(…)"]),
    "computed name": ("databricks", "identifier('a.' || 'b')", [], ["identifier(…)"]),
    "result": ("snowflake", "table(result_scan(last_query_id()))", [], ["result_scan(…)"]),
    "stage": ("snowflake", "@crm.stage", [], ["a stage"]),
    "files": ("databricks", "delta.`/people`", [], ["files"]),
    "function in a table": ("snowflake", "table(crm.people(1))", [], ["people(…)"]),
    "function of the user": ("postgres", "crm.people(1)", [], ["people(…)"]),
    "another server": ("postgres", "dblink('secret', 'select 1') as t(a int)", [], ["dblink(…)"]),
    "another server of ClickHouse": ("clickhouse", "remote('h', a.b)", [], ["remote(…)"]),
    "model": ("bigquery", "ml.predict(model a.m, table a.t)", ["a.t"], ["predict(…)"]),
    "rows of arguments": ("postgres", "generate_series(1, 3) g", [], []),
}


@pytest.mark.parametrize(
    ("warehouse", "item", "tables", "unread"), UNREAD.values(), ids=UNREAD.keys()
)
def test_unread(warehouse: str, item: str, tables: list[str], unread: list[str]) -> None:
    """What may read a table is a table, or is named as unread, without its arguments."""
    lineage = lineage_of(f"select 1 as one from {item}", warehouse)

    assert [str(each) for each in lineage.tables] == tables
    assert list(lineage.unread) == unread


def test_template() -> None:
    """A template in SQL is named as the problem."""
    assert lineage_of("select * from {{ ref('people') }}", "snowflake").problem == (
        "it has a template, {{ … }}, and RudderStack runs only SQL"
    )


@pytest.mark.parametrize(
    ("config", "name", "spelled"),
    [
        ({"schema": "CRM"}, "CRM.people", ("CRM", "PEOPLE")),
        ({"schema": "CRM", "database": "PROD"}, "PROD.CRM.people", ("PROD", "CRM", "PEOPLE")),
        ({"database": "PROD"}, "people", ("PEOPLE",)),
    ],
    ids=["schema", "schema and database", "database"],
)
def test_session(config: dict[str, str], name: str, spelled: tuple[str, ...]) -> None:
    """A table without a schema is in the schema of the session, if the source states it."""
    source = Source.model_validate(
        {
            "id": "s",
            "name": "S",
            "sourceType": "model",
            "sourceDefinitionName": "snowflake",
            "config": config,
        }
    )

    people, orders = tables_of(
        source, lineage_of("select 1 as a from people, x.orders", "snowflake")
    )

    assert (str(people), people.spelled) == (name, spelled)
    assert str(orders) == "x.orders"

"""What is read out of the SQL of a model, one row for each way of writing it."""

import pytest

from dagster_rudderstack.lineage import ColumnOrigin, QueryLineage, TableName, read_query


def described(lineage: QueryLineage, *columns: str) -> dict[str, set[str]]:
    """Return `schema.table.column` of the origins of each column."""
    return {
        column: {
            f"{lineage.tables[origin.table]}.{origin.column}" for origin in lineage.origins(column)
        }
        for column in columns
    }


TABLES = {
    "one table": ("select id from crm.people", ["crm.people"]),
    "with a database": ("select id from prod.crm.people", ["prod.crm.people"]),
    "without a schema": ("select id from people", ["people"]),
    "quoted": ('select "Id" from "Crm"."People"', ["Crm.People"]),
    "joined": (
        "select a.id from crm.people a join shop.orders b on a.id = b.id",
        ["crm.people", "shop.orders"],
    ),
    "in a subquery": (
        "select id from (select id from crm.people) p where id in (select id from shop.orders)",
        ["crm.people", "shop.orders"],
    ),
    "in a common table expression": (
        "with p as (select id from crm.people) select id from p",
        ["crm.people"],
    ),
    "in a union": (
        "select id from crm.people union all select id from crm.leads",
        ["crm.leads", "crm.people"],
    ),
    "named twice": (
        "select a.id from crm.people a join CRM.PEOPLE b on a.id = b.boss",
        ["crm.people"],
    ),
    "in a recursion": (
        "with recursive t as (select id, boss from crm.people union all "  # noqa: ISC004 - one query
        "select p.id, p.boss from crm.people p join t on t.id = p.boss) select id from t",
        ["crm.people"],
    ),
    "none": ("select 1 as id", []),
    "a function that makes rows": ("select id from table(generate(1))", []),
    "a comment and a semicolon": ("/* hi */ select id from crm.people; -- bye", ["crm.people"]),
}


@pytest.mark.parametrize(("sql", "tables"), TABLES.values(), ids=TABLES.keys())
def test_tables(sql: str, tables: list[str]) -> None:
    """The tables of a query are found wherever it names them, each once."""
    assert sorted(map(str, read_query(sql, "snowflake").tables)) == tables


ORIGINS: dict[str, tuple[str, dict[str, set[str]]]] = {
    "as it is": ("select id from crm.people", {"id": {"crm.people.id"}}),
    "renamed": ("select id as person_id from crm.people", {"person_id": {"crm.people.id"}}),
    "made of two": (
        "select first_name || last_name as full_name from crm.people",
        {"full_name": {"crm.people.first_name", "crm.people.last_name"}},
    ),
    "of each side of a join": (
        "select p.id, o.total from crm.people p join shop.orders o on o.id = p.id",
        {"id": {"crm.people.id"}, "total": {"shop.orders.total"}},
    ),
    "through a common table expression": (
        "with o as (select person, sum(amount) as total from shop.orders group by 1) "  # noqa: ISC004 - one query
        "select total as ltv from o",
        {"ltv": {"shop.orders.amount"}},
    ),
    "of each side of a union": (
        "select id from crm.people union all select lead_id from crm.leads",
        {"id": {"crm.leads.lead_id", "crm.people.id"}},
    ),
    "of a scalar subquery": (
        "select (select max(o.at) from shop.orders o where o.id = p.id) as last from crm.people p",
        {"last": {"shop.orders.at"}},
    ),
    "a constant": ("select 3 as three from crm.people", {"three": set()}),
    "a count of rows": ("select count(*) as n from crm.people", {"n": set()}),
    "everything": ("select * from crm.people", {"email": {"crm.people.email"}}),
    "everything of a common table expression": (
        "with p as (select * from crm.people), q as (select * from p) select * from q",
        {"email": {"crm.people.email"}},
    ),
    "a column of everything": (
        "with p as (select * from crm.people) select Email as mail from p",
        {"mail": {"crm.people.Email"}},
    ),
    "everything of one side": (
        "select p.*, o.total from crm.people p join shop.orders o on o.id = p.id",
        {"email": {"crm.people.email"}, "total": {"shop.orders.total"}},
    ),
    "everything of both sides": (
        "select * from crm.people p join shop.orders o on o.id = p.id",
        {"email": set()},
    ),
    "nobody can tell of which side": (
        "select email from crm.people p join shop.orders o on o.id = p.id",
        {"email": set()},
    ),
    "spelled in another case": ("select Id from crm.people", {"ID": {"crm.people.Id"}}),
    "no column of the query": ("select id from crm.people", {"email": set()}),
    "an unnamed neighbour": ("select id, a + b from crm.people", {"id": {"crm.people.id"}}),
}


@pytest.mark.parametrize(("sql", "origins"), ORIGINS.values(), ids=ORIGINS.keys())
def test_origins(sql: str, origins: dict[str, set[str]]) -> None:
    """A column leads to the columns of tables that it is made of, or to none if nobody can tell."""
    assert described(read_query(sql, "postgres"), *origins) == origins


QUOTED = {
    "snowflake": 'select email as "email", "Id" as "Id", Age from crm.people',
    "postgres": 'select email as "email", "Id" as "Id", Age from crm.people',
    "bigquery": "select email as `email`, `Id` as `Id`, Age from crm.people",
    "mysql": "select email as `email`, `Id` as `Id`, Age from crm.people",
}


@pytest.mark.parametrize(("warehouse", "sql"), QUOTED.items(), ids=QUOTED.keys())
def test_quoted(warehouse: str, sql: str) -> None:
    """An output column keeps its origins however it is quoted, and whatever case it is in."""
    assert described(read_query(sql, warehouse), "email", "id", "age") == {
        "email": {"crm.people.email"},
        "id": {"crm.people.Id"},
        "age": {"crm.people.Age"},
    }


DIALECTS = {
    "bigquery": ("select Email from `my-project.crm.people`", "my-project.crm.people"),
    "snowflake": ("select v.value:email::string as e from crm.people p, lateral flatten(p.x) v",),
    "mysql": ("select `Email` from `crm`.`people` limit 5, 10", "crm.people"),
    "databricks": ("select email from main.crm.people where dt = current_date()",),
    "redshift": ("select top 10 email from crm.people", "crm.people"),
    "trino": ("select email from hive.crm.people tablesample bernoulli (10)",),
}


@pytest.mark.parametrize(("warehouse", "case"), DIALECTS.items(), ids=DIALECTS.keys())
def test_dialect(warehouse: str, case: tuple[str, ...]) -> None:
    """A query is read as its warehouse reads it."""
    lineage = read_query(case[0], warehouse)

    assert lineage.problem is None
    assert "crm" in str(lineage.tables[0])
    assert str(lineage.tables[0]) in case[1:] or len(case) == 1


PROBLEMS = {
    "not SQL": ("select from (", "Expect"),
    "two statements": ("select 1 as a; select 2 as b", "it is not one SELECT"),
    "no query": ("delete from crm.people", "it is not one SELECT"),
    "empty": ("", "it is not one SELECT"),
    "enormous": ("select 1 as a" + " " * 50_000, "longer than 50000 characters"),
    "nested in brackets": ("select " + "(" * 5000 + "1" + ")" * 5000 + " as a", "levels deep"),
    "nested behind quotes": ("select " + "(')'" * 5000 + " as a", "levels deep"),
    "nested in cases": (
        "select " + "case when a then " * 2000 + "1" + " end" * 2000,
        "levels deep",
    ),
    "negated beyond all reason": ("select " + "not " * 9000 + "a from t", ""),
}


@pytest.mark.parametrize(("sql", "problem"), PROBLEMS.values(), ids=PROBLEMS.keys())
def test_problem(sql: str, problem: str) -> None:
    """SQL that cannot be read is told in words, and stops nothing."""
    lineage = read_query(sql, "snowflake")

    assert lineage.problem
    assert problem in lineage.problem
    assert "\x1b" not in lineage.problem
    assert lineage.tables == ()


def test_unknown_warehouse() -> None:
    """A warehouse that sqlglot does not know is read in common SQL."""
    assert read_query("select id from crm.people", "oracle9i").tables == (
        TableName(name="people", schema_name="crm"),
    )


def test_star_keeps_the_spelling_asked_for() -> None:
    """A column that passes through `*` keeps the name under which it was asked for."""
    lineage = read_query("select * from crm.people", None)

    assert lineage.origins("FirstName") == (ColumnOrigin(table=0, column="FirstName"),)

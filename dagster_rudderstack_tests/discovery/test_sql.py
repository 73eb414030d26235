"""The tables and columns that SQL models read."""

import pytest

from dagster_rudderstack.discovery.sql.lineage import ColumnOrigin, QueryLineage, TableName
from dagster_rudderstack.discovery.sql.query import lineage_of


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
    "in a common table expression of another case": (
        "with People as (select id from crm.people) select id from PEOPLE",
        ["crm.people"],
    ),
    "in a common table expression behind a pivot": (
        "with p as (select * from crm.people) select * from p pivot (sum(v) for m in ('x')) q",
        ["crm.people"],
    ),
    "same name as its common table expression": (
        "with people as (select id from People) select id from people",
        ["People"],
    ),
    "in a union": (
        "select id from crm.people union all select id from crm.leads",
        ["crm.leads", "crm.people"],
    ),
    "used twice": (
        "select a.id from crm.people a join CRM.PEOPLE b on a.id = b.boss",
        ["crm.people"],
    ),
    "in a recursive query": (
        "with recursive t as (select id, boss from crm.people union all "  # noqa: ISC004 - one query
        "select p.id, p.boss from crm.people p join t on t.id = p.boss) select id from t",
        ["crm.people"],
    ),
    "no table": ("select 1 as id", []),
    "table function": ("select id from table(generate(1))", []),
    "comment and semicolon": ("/* hi */ select id from crm.people; -- bye", ["crm.people"]),
}


@pytest.mark.parametrize(("sql", "tables"), TABLES.values(), ids=TABLES.keys())
def test_tables(sql: str, tables: list[str]) -> None:
    """Each table of a query is found once, wherever it is named."""
    assert sorted(map(str, lineage_of(sql, "snowflake").tables)) == tables


ORIGINS: dict[str, tuple[str, dict[str, set[str]]]] = {
    "unchanged": ("select id from crm.people", {"id": {"crm.people.id"}}),
    "renamed": ("select id as person_id from crm.people", {"person_id": {"crm.people.id"}}),
    "computed from two columns": (
        "select first_name || last_name as full_name from crm.people",
        {"full_name": {"crm.people.first_name", "crm.people.last_name"}},
    ),
    "both sides of a join": (
        "select p.id, o.total from crm.people p join shop.orders o on o.id = p.id",
        {"id": {"crm.people.id"}, "total": {"shop.orders.total"}},
    ),
    "through a common table expression": (
        "with o as (select person, sum(amount) as total from shop.orders group by 1) "  # noqa: ISC004 - one query
        "select total as ltv from o",
        {"ltv": {"shop.orders.amount"}},
    ),
    "both branches of a union": (
        "select id from crm.people union all select lead_id from crm.leads",
        {"id": {"crm.leads.lead_id", "crm.people.id"}},
    ),
    "scalar subquery": (
        "select (select max(o.at) from shop.orders o where o.id = p.id) as last from crm.people p",
        {"last": {"shop.orders.at"}},
    ),
    "constant": ("select 3 as three from crm.people", {"three": set()}),
    "count of rows": ("select count(*) as n from crm.people", {"n": set()}),
    "star": ("select * from crm.people", {"email": {"crm.people.email"}}),
    "star of a common table expression": (
        "with p as (select * from crm.people), q as (select * from p) select * from q",
        {"email": {"crm.people.email"}},
    ),
    "column of a star": (
        "with p as (select * from crm.people) select Email as mail from p",
        {"mail": {"crm.people.Email"}},
    ),
    "star of one side of a join": (
        "select p.*, o.total from crm.people p join shop.orders o on o.id = p.id",
        {"email": {"crm.people.email"}, "total": {"shop.orders.total"}},
    ),
    "star of both sides of a join": (
        "select * from crm.people p join shop.orders o on o.id = p.id",
        {"email": set()},
    ),
    "unknown side of a join": (
        "select email from crm.people p join shop.orders o on o.id = p.id",
        {"email": set()},
    ),
    "another case": ("select Id from crm.people", {"ID": {"crm.people.Id"}}),
    "not an output of the query": ("select id from crm.people", {"email": set()}),
    "in brackets": ("((select id from crm.people))", {"id": {"crm.people.id"}}),
    "in brackets after a common table expression": (
        "with p as (select id as i from crm.people) (select i from p)",
        {"i": {"crm.people.id"}},
    ),
    "both branches of a union in brackets": (
        "(select id from crm.people) union (select lead from crm.leads) order by 1 limit 5",
        {"id": {"crm.leads.lead", "crm.people.id"}},
    ),
    "in a recursive query": (
        "with recursive t as (select id, boss from crm.people union all "  # noqa: ISC004 - one query
        "select p.id, t.boss from crm.people p join t on t.id = p.boss) select id, boss from t",
        {"id": {"crm.people.id"}, "boss": {"crm.people.boss"}},
    ),
    "next to an output without a name": (
        "select id, a + b from crm.people",
        {"id": {"crm.people.id"}},
    ),
}


@pytest.mark.parametrize(("sql", "origins"), ORIGINS.values(), ids=ORIGINS.keys())
def test_origins(sql: str, origins: dict[str, set[str]]) -> None:
    """The origins of a column are the columns from which it is made, or none if unknown."""
    assert described(lineage_of(sql, "postgres"), *origins) == origins


JOINED = "from crm.people p join shop.orders o on o.id = p.id"

THROUGH_STAR: dict[str, tuple[str, dict[str, set[str]]]] = {
    "computed column of a subquery": (
        "with p as (select * from crm.people), "  # noqa: ISC004 - one query
        "o as (select person, sum(amount) as ltv from shop.orders group by 1), "
        "final as (select p.*, o.ltv from p left join o on o.person = p.id) select * from final",
        {"ltv": {"shop.orders.amount"}, "email": {"crm.people.email"}},
    ),
    "computed columns of the table": (
        "with t as (select *, row_number() over (partition by id order by at) as n, "  # noqa: ISC004 - one query
        "first || last as full_name, 3 as three from crm.people) select * from t where n = 1",
        {
            "n": {"crm.people.id", "crm.people.at"},
            "full_name": {"crm.people.first", "crm.people.last"},
            "three": set(),
            "email": {"crm.people.email"},
        },
    ),
    "next to an unknown column": (
        f"with t as (select p.*, total as sum {JOINED}) select * from t",
        {"sum": set(), "email": {"crm.people.email"}},
    ),
    "in brackets": (
        "select * from (select id, * from crm.people) t",
        {"email": {"crm.people.email"}},
    ),
    "in two steps": (
        "with p as (select * from crm.people), q as (select * from p) select email as mail from q",
        {"mail": {"crm.people.email"}},
    ),
    "one side of a join": (
        f"with t as (select p.*, o.total {JOINED}) select id, total, email as mail from t",
        {"id": {"crm.people.id"}, "total": {"shop.orders.total"}, "mail": {"crm.people.email"}},
    ),
    "both sides of a join": (
        f"with t as (select * {JOINED}) select email as mail, id from t",
        {"mail": set(), "id": set()},
    ),
    "both sides of a join by name": (
        f"with t as (select p.*, o.* {JOINED}) select email as mail from t",
        {"mail": set()},
    ),
    "side of a join with known columns": (
        "with o as (select person, total from shop.orders), t as "  # noqa: ISC004 - one query
        "(select * from crm.people p join o on o.person = p.id) select * from t",
        {"email": {"crm.people.email"}, "total": set()},
    ),
    "union": (
        "with t as (select * from crm.people union all select * from crm.leads) "  # noqa: ISC004 - one query
        "select email as mail from t",
        {"mail": {"crm.people.email", "crm.leads.email"}},
    ),
    "union with other columns": (
        "with t as (select 'p' as kind, id, * from crm.people "  # noqa: ISC004 - one query
        "union all select 'l', lead, * from crm.leads) select id, kind, email from t",
        {"id": {"crm.people.id", "crm.leads.lead"}, "kind": set(), "email": set()},
    ),
    "one branch of a union": (
        "with t as (select * from crm.people union all select id, mail from crm.leads) "  # noqa: ISC004 - one query
        "select email as e from t",
        {"e": set()},
    ),
    "column excluded": (
        "with t as (select * exclude (email), lower(mail) as mail from crm.people) select * from t",
        {"email": set(), "mail": {"crm.people.mail"}, "name": {"crm.people.name"}},
    ),
    "column excluded and computed": (
        "select * exclude (email), lower(mail) as email from crm.people",
        {"email": {"crm.people.mail"}, "name": {"crm.people.name"}},
    ),
    "column replaced": (
        "select * replace (first || last as name) from crm.people",
        {"name": {"crm.people.first", "crm.people.last"}, "id": {"crm.people.id"}},
    ),
    "column replaced in a subquery": (
        "with t as (select * replace (first || last as name) from crm.people) select * from t",
        {"name": {"crm.people.first", "crm.people.last"}, "id": {"crm.people.id"}},
    ),
    "column renamed": (
        "select * rename (email as mail) from crm.people",
        {"mail": {"crm.people.email"}, "email": set(), "id": {"crm.people.id"}},
    ),
    "unknown column renamed": (
        f"select * rename (email as mail) {JOINED}",
        {"mail": set(), "email": set(), "id": set()},
    ),
    "pivot": (
        "select * from crm.people pivot (sum(v) for m in ('x', 'y')) p",
        {"x": set(), "id": set()},
    ),
    "pivot of a subquery": (
        "with t as (select id, m, v from crm.people) "  # noqa: ISC004 - one query
        "select * from t pivot (sum(v) for m in ('x', 'y')) as p",
        {"x": set(), "v": set()},
    ),
    "table with column aliases": (
        "select a as x, * from crm.people as p (a, b)",
        {"x": set(), "a": set(), "email": set()},
    ),
    "subquery with column aliases": (
        "with t (a, b) as (select * from crm.people) select a from t",
        {"a": set()},
    ),
    "in a function": ("select hash(*) as h, id from crm.people", {"h": set()}),
    "in a count": ("select count(*) as n, count(p.*) as m from crm.people p", {"n": set()}),
    "in exists": (
        "select id, exists (select * from shop.orders o where o.id = p.id) as b from crm.people p",
        {"b": set(), "id": {"crm.people.id"}},
    ),
    "next to its own column": (
        "select *, lower(email) as email from crm.people",
        {"email": {"crm.people.email"}},
    ),
    "two outputs with the same name": ("select p.id, o.id " + JOINED, {"id": set()}),
}


@pytest.mark.parametrize(("sql", "origins"), THROUGH_STAR.values(), ids=THROUGH_STAR.keys())
def test_star(sql: str, origins: dict[str, set[str]]) -> None:
    """A column behind `*` has an origin only if one table must have the column."""
    assert described(lineage_of(sql, "snowflake"), *origins) == origins


def test_star__fields_of_a_column() -> None:
    """`*` after a column stands for its fields, whose names are unknown."""
    lineage = lineage_of("select t.address.*, t.id from crm.people t", "bigquery")

    assert described(lineage, "city", "id") == {"city": set(), "id": {"crm.people.id"}}


UNCERTAIN: dict[str, tuple[str, str, dict[str, set[str]]]] = {
    "where in": (
        "postgres",
        "select id, email from crm.people where id in (select person from shop.orders)",
        {"id": {"crm.people.id"}, "email": {"crm.people.email"}},
    ),
    "where exists": (
        "snowflake",
        "select id from crm.people p where exists (select 1 from shop.orders where person = p.id)",
        {"id": {"crm.people.id"}},
    ),
    "join on": (
        "snowflake",
        "select p.id from crm.people p join shop.orders o on o.id in (select x from shop.gifts)",
        {"id": {"crm.people.id"}},
    ),
    "join using": (
        "snowflake",
        "select id from crm.people join shop.orders using (id) where id in (select x from shop.c)",
        {"id": {"crm.people.id", "shop.orders.id"}},
    ),
    "qualify": (
        "snowflake",
        "select id, row_number() over (partition by id order by at) as n from crm.people "  # noqa: ISC004 - one query
        "qualify n = 1",
        {"id": {"crm.people.id"}, "n": {"crm.people.id", "crm.people.at"}},
    ),
    "qualify in bigquery": (
        "bigquery",
        "select id, row_number() over (partition by id order by at) as n from crm.people "  # noqa: ISC004 - one query
        "where true qualify n = 1",
        {"id": {"crm.people.id"}, "n": {"crm.people.id", "crm.people.at"}},
    ),
    "having": (
        "mysql",
        "select person, sum(amount) as ltv from shop.orders group by person having ltv > 1",
        {"person": {"shop.orders.person"}, "ltv": {"shop.orders.amount"}},
    ),
    "group by": (
        "bigquery",
        "select lower(email) as em, max(at) as last from crm.people group by em order by last",
        {"em": {"crm.people.email"}, "last": {"crm.people.at"}},
    ),
    "in a common table expression": (
        "snowflake",
        "with p as (select id, max(at) as last from crm.people group by 1 having last > 0) "  # noqa: ISC004 - one query
        "select id, last from p where id in (select person from shop.orders)",
        {"id": {"crm.people.id"}, "last": {"crm.people.at"}},
    ),
    "computed from another output": (
        "redshift",
        "select id as a, a + 1 as b, email from crm.people",
        {"a": {"crm.people.id"}, "b": set(), "email": {"crm.people.email"}},
    ),
    "computed from another output of known columns": (
        "snowflake",
        "with p as (select id, email from crm.people) "  # noqa: ISC004 - one query
        "select id as a, a || email as b, b as c from p",
        {
            "a": {"crm.people.id"},
            "b": {"crm.people.id", "crm.people.email"},
            "c": {"crm.people.id", "crm.people.email"},
        },
    ),
    "same name as an output that reads the column": (
        "snowflake",
        "select lower(email) as email, email || '!' as loud from crm.people",
        {"email": {"crm.people.email"}, "loud": {"crm.people.email"}},
    ),
    "same name as an output, in a dialect without alias references": (
        "postgres",
        "select id as a, a + 1 as b from crm.people",
        {"a": {"crm.people.id"}, "b": {"crm.people.a"}},
    ),
    "scalar subquery": (
        "snowflake",
        "select id, (select max(total) from shop.orders o where o.id = p.id) as top "  # noqa: ISC004 - one query
        "from crm.people p",
        {"id": {"crm.people.id"}, "top": set()},
    ),
    "scalar subquery of one column": (
        "snowflake",
        "select id, (select total from shop.orders limit 1) as top from crm.people p",
        {"id": {"crm.people.id"}, "top": set()},
    ),
    "scalar subquery of known columns": (
        "snowflake",
        "with o as (select person, sum(total) as total from shop.orders group by 1) "  # noqa: ISC004 - one query
        "select id, (select max(total) from o where person = p.id) as top from crm.people p",
        {"id": {"crm.people.id"}, "top": {"shop.orders.total"}},
    ),
    "unnest": (
        "trino",
        "select u.x, id from hive.crm.people cross join unnest(tags) as u(x)",
        {"x": {"hive.crm.people.tags"}},
    ),
    "unnest of an unknown column": (
        "trino",
        "select u.x, p.id from crm.people p cross join shop.orders cross join unnest(tags) as u(x)",
        {"x": set(), "id": {"crm.people.id"}},
    ),
    "flatten": (
        "snowflake",
        "select p.id, f.value as tag from crm.people p, lateral flatten(input => tags) f",
        {"id": {"crm.people.id"}, "tag": {"crm.people.tags"}},
    ),
    "explode": (
        "databricks",
        "select p.id, tag from crm.people p lateral view explode(tags) t as tag",
        {"id": {"crm.people.id"}, "tag": {"crm.people.tags"}},
    ),
    "lateral subquery": (
        "postgres",
        "select x.k, p.id from crm.people p, lateral (select p.key as k, total) x",
        {"k": {"crm.people.key"}, "id": {"crm.people.id"}},
    ),
}


@pytest.mark.parametrize(("warehouse", "sql", "origins"), UNCERTAIN.values(), ids=UNCERTAIN.keys())
def test_uncertain(warehouse: str, sql: str, origins: dict[str, set[str]]) -> None:
    """An unknown column does not affect the other columns."""
    lineage = lineage_of(sql, warehouse)

    assert lineage.problem is None
    assert described(lineage, *origins) == origins


def test_tables__conditions() -> None:
    """The tables in the conditions of a query are found."""
    sql = "select id from crm.people where id in (select person from shop.orders)"

    assert sorted(map(str, lineage_of(sql, "postgres").tables)) == ["crm.people", "shop.orders"]


QUOTED = {
    "snowflake": 'select email as "email", "Id" as "Id", Age from crm.people',
    "postgres": 'select email as "email", "Id" as "Id", Age from crm.people',
    "bigquery": "select email as `email`, `Id` as `Id`, Age from crm.people",
    "mysql": "select email as `email`, `Id` as `Id`, Age from crm.people",
}


@pytest.mark.parametrize(("warehouse", "sql"), QUOTED.items(), ids=QUOTED.keys())
def test_quoted(warehouse: str, sql: str) -> None:
    """The quotes and the case of an output column do not change its origins."""
    assert described(lineage_of(sql, warehouse), "email", "id", "age") == {
        "email": {"crm.people.email"},
        "id": {"crm.people.Id"},
        "age": {"crm.people.Age"},
    }


def test_quoted__same_name_in_two_cases() -> None:
    """Two outputs whose names differ only in case have no origins."""
    lineage = lineage_of('select a as "Id", b as id, c from crm.people', "snowflake")

    assert described(lineage, "id", "c") == {"id": set(), "c": {"crm.people.c"}}


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
    """A query is read in the dialect of its warehouse."""
    lineage = lineage_of(case[0], warehouse)

    assert lineage.problem is None
    assert "crm" in str(lineage.tables[0])
    assert str(lineage.tables[0]) in case[1:] or len(case) == 1


PROBLEMS = {
    "not SQL": ("select from (", "Expect"),
    "two statements": ("select 1 as a; select 2 as b", "it has 2 statements, not one SELECT"),
    "not a SELECT": ("delete from crm.people", "it is DELETE, not SELECT"),
    "empty": ("", "it has 0 statements, not one SELECT"),
    "too long": ("select 1 as a" + " " * 500_000, "longer than 500000 characters"),
    "nested in brackets": ("select " + "(" * 5000 + "1" + ")" * 5000 + " as a", "levels deep"),
    "nested around quotes": ("select " + "(')'" * 5000 + " as a", "levels deep"),
    "nested in cases": (
        "select " + "case when a then " * 2000 + "1" + " end" * 2000,
        "levels deep",
    ),
    "9,000 negations": ("select " + "not " * 9000 + "a from t", ""),
}


@pytest.mark.parametrize(("sql", "problem"), PROBLEMS.values(), ids=PROBLEMS.keys())
def test_problem(sql: str, problem: str) -> None:
    """SQL that cannot be read has a problem in words and no tables, and raises no error."""
    lineage = lineage_of(sql, "snowflake")

    assert lineage.problem
    assert problem in lineage.problem
    assert "\x1b" not in lineage.problem
    assert lineage.tables == ()


def test_unknown_warehouse() -> None:
    """The SQL of an unknown warehouse is read in sqlglot's own dialect."""
    assert lineage_of("select id from crm.people", "oracle9i").tables == (
        TableName(name="people", schema_name="crm"),
    )


def test_star__spelling() -> None:
    """A column behind `*` keeps the given spelling."""
    lineage = lineage_of("select * from crm.people", None)

    assert lineage.origins("FirstName") == (ColumnOrigin(table=0, column="FirstName"),)

"""What is read out of the SQL of a model, one row for each way of writing it."""

import pytest

from dagster_rudderstack.discovery.sql.lineage import ColumnOrigin, QueryLineage, TableName
from dagster_rudderstack.discovery.sql.read import read_query


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
    "called like its common table expression": (
        "with people as (select id from People) select id from people",
        ["People"],
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
    "in brackets": ("((select id from crm.people))", {"id": {"crm.people.id"}}),
    "in brackets behind a common table expression": (
        "with p as (select id as i from crm.people) (select i from p)",
        {"i": {"crm.people.id"}},
    ),
    "of each side of a union in brackets": (
        "(select id from crm.people) union (select lead from crm.leads) order by 1 limit 5",
        {"id": {"crm.leads.lead", "crm.people.id"}},
    ),
    "in a recursion": (
        "with recursive t as (select id, boss from crm.people union all "  # noqa: ISC004 - one query
        "select p.id, t.boss from crm.people p join t on t.id = p.boss) select id, boss from t",
        {"id": {"crm.people.id"}, "boss": {"crm.people.boss"}},
    ),
    "an unnamed neighbour": ("select id, a + b from crm.people", {"id": {"crm.people.id"}}),
}


@pytest.mark.parametrize(("sql", "origins"), ORIGINS.values(), ids=ORIGINS.keys())
def test_origins(sql: str, origins: dict[str, set[str]]) -> None:
    """A column leads to the columns of tables that it is made of, or to none if nobody can tell."""
    assert described(read_query(sql, "postgres"), *origins) == origins


JOINED = "from crm.people p join shop.orders o on o.id = p.id"

THROUGH_STAR: dict[str, tuple[str, dict[str, set[str]]]] = {
    "beside a computed column of a subquery": (
        "with p as (select * from crm.people), "  # noqa: ISC004 - one query
        "o as (select person, sum(amount) as ltv from shop.orders group by 1), "
        "final as (select p.*, o.ltv from p left join o on o.person = p.id) select * from final",
        {"ltv": {"shop.orders.amount"}, "email": {"crm.people.email"}},
    ),
    "beside computed columns of the table": (
        "with t as (select *, row_number() over (partition by id order by at) as n, "  # noqa: ISC004 - one query
        "first || last as full_name, 3 as three from crm.people) select * from t where n = 1",
        {
            "n": {"crm.people.id", "crm.people.at"},
            "full_name": {"crm.people.first", "crm.people.last"},
            "three": set(),
            "email": {"crm.people.email"},
        },
    ),
    "beside what nobody can tell": (
        f"with t as (select p.*, total as sum {JOINED}) select * from t",
        {"sum": set(), "email": {"crm.people.email"}},
    ),
    "through brackets": (
        "select * from (select id, * from crm.people) t",
        {"email": {"crm.people.email"}},
    ),
    "in two steps": (
        "with p as (select * from crm.people), q as (select * from p) select email as mail from q",
        {"mail": {"crm.people.email"}},
    ),
    "of one side": (
        f"with t as (select p.*, o.total {JOINED}) select id, total, email as mail from t",
        {"id": {"crm.people.id"}, "total": {"shop.orders.total"}, "mail": {"crm.people.email"}},
    ),
    "of both sides": (
        f"with t as (select * {JOINED}) select email as mail, id from t",
        {"mail": set(), "id": set()},
    ),
    "of each side by name": (
        f"with t as (select p.*, o.* {JOINED}) select email as mail from t",
        {"mail": set()},
    ),
    "of a side whose columns are known": (
        "with o as (select person, total from shop.orders), t as "  # noqa: ISC004 - one query
        "(select * from crm.people p join o on o.person = p.id) select * from t",
        {"email": {"crm.people.email"}, "total": set()},
    ),
    "of a union": (
        "with t as (select * from crm.people union all select * from crm.leads) "  # noqa: ISC004 - one query
        "select email as mail from t",
        {"mail": {"crm.people.email", "crm.leads.email"}},
    ),
    "of a union beside a column": (
        "with t as (select 'p' as kind, id, * from crm.people "  # noqa: ISC004 - one query
        "union all select 'l', lead, * from crm.leads) select id, kind, email from t",
        {"id": {"crm.people.id", "crm.leads.lead"}, "kind": set(), "email": set()},
    ),
    "of one branch of a union": (
        "with t as (select * from crm.people union all select id, mail from crm.leads) "  # noqa: ISC004 - one query
        "select email as e from t",
        {"e": set()},
    ),
    "without a column": (
        "with t as (select * exclude (email), lower(mail) as mail from crm.people) select * from t",
        {"email": set(), "mail": {"crm.people.mail"}, "name": {"crm.people.name"}},
    ),
    "without a column that another brings": (
        "select * exclude (email), lower(mail) as email from crm.people",
        {"email": {"crm.people.mail"}, "name": {"crm.people.name"}},
    ),
    "with a column replaced": (
        "select * replace (first || last as name) from crm.people",
        {"name": {"crm.people.first", "crm.people.last"}, "id": {"crm.people.id"}},
    ),
    "with a column replaced in a subquery": (
        "with t as (select * replace (first || last as name) from crm.people) select * from t",
        {"name": {"crm.people.first", "crm.people.last"}, "id": {"crm.people.id"}},
    ),
    "with a column renamed": (
        "select * rename (email as mail) from crm.people",
        {"mail": {"crm.people.email"}, "email": set(), "id": {"crm.people.id"}},
    ),
    "with a column of nobody knows whom renamed": (
        f"select * rename (email as mail) {JOINED}",
        {"mail": set(), "email": set(), "id": set()},
    ),
    "behind a pivot": (
        "select * from crm.people pivot (sum(v) for m in ('x', 'y')) p",
        {"x": set(), "id": set()},
    ),
    "of a subquery behind a pivot": (
        "with t as (select id, m, v from crm.people) "  # noqa: ISC004 - one query
        "select * from t pivot (sum(v) for m in ('x', 'y')) as p",
        {"x": set(), "v": set()},
    ),
    "of a table whose columns are given names": (
        "select a as x, * from crm.people as p (a, b)",
        {"x": set(), "a": set(), "email": set()},
    ),
    "of a subquery whose columns are given names": (
        "with t (a, b) as (select * from crm.people) select a from t",
        {"a": set()},
    ),
    "within a function": ("select hash(*) as h, id from crm.people", {"h": set()}),
    "counted": ("select count(*) as n, count(p.*) as m from crm.people p", {"n": set()}),
    "where rows exist": (
        "select id, exists (select * from shop.orders o where o.id = p.id) as b from crm.people p",
        {"b": set(), "id": {"crm.people.id"}},
    ),
    "beside its own column": (
        "select *, lower(email) as email from crm.people",
        {"email": {"crm.people.email"}},
    ),
    "named twice": ("select p.id, o.id " + JOINED, {"id": set()}),
}


@pytest.mark.parametrize(("sql", "origins"), THROUGH_STAR.values(), ids=THROUGH_STAR.keys())
def test_star(sql: str, origins: dict[str, set[str]]) -> None:
    """A column comes through `*` from the one table that must have it, and never as a guess."""
    assert described(read_query(sql, "snowflake"), *origins) == origins


def test_star_of_fields() -> None:
    """`*` behind a column stands for its fields, whose names nobody can tell."""
    lineage = read_query("select t.address.*, t.id from crm.people t", "bigquery")

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
    "made of another output": (
        "redshift",
        "select id as a, a + 1 as b, email from crm.people",
        {"a": {"crm.people.id"}, "b": set(), "email": {"crm.people.email"}},
    ),
    "made of another output for certain": (
        "snowflake",
        "with p as (select id, email from crm.people) "  # noqa: ISC004 - one query
        "select id as a, a || email as b, b as c from p",
        {
            "a": {"crm.people.id"},
            "b": {"crm.people.id", "crm.people.email"},
            "c": {"crm.people.id", "crm.people.email"},
        },
    ),
    "called like another output that proves the column": (
        "snowflake",
        "select lower(email) as email, email || '!' as loud from crm.people",
        {"email": {"crm.people.email"}, "loud": {"crm.people.email"}},
    ),
    "called like another output where that cannot be meant": (
        "postgres",
        "select id as a, a + 1 as b from crm.people",
        {"a": {"crm.people.id"}, "b": {"crm.people.a"}},
    ),
    "a scalar subquery": (
        "snowflake",
        "select id, (select max(total) from shop.orders o where o.id = p.id) as top "  # noqa: ISC004 - one query
        "from crm.people p",
        {"id": {"crm.people.id"}, "top": set()},
    ),
    "a scalar subquery that is just a column": (
        "snowflake",
        "select id, (select total from shop.orders limit 1) as top from crm.people p",
        {"id": {"crm.people.id"}, "top": set()},
    ),
    "a scalar subquery of known columns": (
        "snowflake",
        "with o as (select person, sum(total) as total from shop.orders group by 1) "  # noqa: ISC004 - one query
        "select id, (select max(total) from o where person = p.id) as top from crm.people p",
        {"id": {"crm.people.id"}, "top": {"shop.orders.total"}},
    ),
    "rows of an array": (
        "trino",
        "select u.x, id from hive.crm.people cross join unnest(tags) as u(x)",
        {"x": {"hive.crm.people.tags"}},
    ),
    "rows of an array of nobody knows whom": (
        "trino",
        "select u.x, p.id from crm.people p cross join shop.orders cross join unnest(tags) as u(x)",
        {"x": set(), "id": {"crm.people.id"}},
    ),
    "flattened": (
        "snowflake",
        "select p.id, f.value as tag from crm.people p, lateral flatten(input => tags) f",
        {"id": {"crm.people.id"}, "tag": {"crm.people.tags"}},
    ),
    "exploded": (
        "databricks",
        "select p.id, tag from crm.people p lateral view explode(tags) t as tag",
        {"id": {"crm.people.id"}, "tag": {"crm.people.tags"}},
    ),
    "of a lateral subquery": (
        "postgres",
        "select x.k, p.id from crm.people p, lateral (select p.key as k, total) x",
        {"k": {"crm.people.key"}, "id": {"crm.people.id"}},
    ),
}


@pytest.mark.parametrize(("warehouse", "sql", "origins"), UNCERTAIN.values(), ids=UNCERTAIN.keys())
def test_uncertain(warehouse: str, sql: str, origins: dict[str, set[str]]) -> None:
    """A column that nobody can tell takes no other with it."""
    lineage = read_query(sql, warehouse)

    assert lineage.problem is None
    assert described(lineage, *origins) == origins


def test_tables_of_conditions() -> None:
    """A query reads the tables that only choose its rows, too."""
    sql = "select id from crm.people where id in (select person from shop.orders)"

    assert sorted(map(str, read_query(sql, "postgres").tables)) == ["crm.people", "shop.orders"]


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


def test_quoted_in_two_cases() -> None:
    """Two outputs that only their case tells apart have no origins."""
    lineage = read_query('select a as "Id", b as id, c from crm.people', "snowflake")

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

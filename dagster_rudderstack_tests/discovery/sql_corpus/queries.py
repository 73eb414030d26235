"""Shapes of queries that are the same in most warehouses: scopes, unions, subqueries and stars."""

from dagster_rudderstack_tests.discovery.sql_corpus.statement import NONE, UNKNOWN, Statement

__all__ = ["STATEMENTS"]

STATEMENTS = (
    Statement(
        "inner common table expression shadows the outer one",
        "postgres",
        """with t as (select id, a as v from app.x)
        select s.v, t.v as outer_v from (with t as (select b as v from app.y) select v from t)
            s, t""",
        {"app.x", "app.y"},
        {"v": {"app.y.b"}, "outer_v": {"app.x.a"}},
    ),
    Statement(
        "common table expression shadows a table of the same name",
        "snowflake",
        """with users as (select uid as id, mail from raw.users) select id, mail from users""",
        {"raw.users"},
        {"id": {"raw.users.uid"}, "mail": {"raw.users.mail"}},
    ),
    Statement(
        "qualified table with the name of a common table expression",
        "bigquery",
        """with users as (select id, a from raw.u)
        select users.a, c.b from users join crm.users as c on c.id = users.id""",
        {"raw.u", "crm.users"},
        {"a": {"raw.u.a"}, "b": {"crm.users.b"}},
    ),
    Statement(
        "common table expression of an inner query is not visible outside",
        "redshift",
        """select a.id, t.v from (with t as (select id from crm.x) select id from t) a
        join t on t.id = a.id""",
        {"crm.x", "t"},
        {"id": {"crm.x.id"}, "v": {"t.v"}},
    ),
    Statement(
        "common table expression with a column list",
        "mysql",
        "with t (uid, addr) as (select id, email from app.users) select uid, addr from t",
        {"app.users"},
        {"uid": {"app.users.id"}, "addr": {"app.users.email"}},
    ),
    Statement(
        "common table expression with a column list that swaps names",
        "snowflake",
        "with t (b, a) as (select a, b from crm.x) select a, b from t",
        {"crm.x"},
        {"a": {"crm.x.b"}, "b": {"crm.x.a"}},
    ),
    Statement(
        "subquery with a column list",
        "postgres",
        "select t.uid, t.addr from (select id, email from app.users) as t (uid, addr)",
        {"app.users"},
        {"uid": {"app.users.id"}, "addr": {"app.users.email"}},
    ),
    Statement(
        "table with a column list",
        "postgres",
        "select t.a, t.b from app.users as t (a, b)",
        {"app.users"},
        {"a": UNKNOWN, "b": UNKNOWN},
    ),
    Statement(
        "later common table expression refers to earlier ones",
        "trino",
        """with a as (select id, x from hive.r.a), b as (select id, x * 2 as y from a),
        c as (select a.x, b.y from a join b on a.id = b.id) select x + y as z, y from c""",
        {"hive.r.a"},
        {"z": {"hive.r.a.x"}, "y": {"hive.r.a.x"}},
    ),
    Statement(
        "names that swap in a chain, or refer to an earlier output",
        "duckdb",
        """with a as (select x as y, y as x from crm.p), b as (select x as y, y as x from a)
        select x, y from b""",
        {"crm.p"},
        {"x": {"crm.p.x"}, "y": UNKNOWN},
    ),
    Statement(
        "names that swap in a chain",
        "postgres",
        """with a as (select x as y, y as x from app.p), b as (select x as y, x as z, y as x from a)
        select x, y, z from b""",
        {"app.p"},
        {"x": {"app.p.x"}, "y": {"app.p.y"}, "z": {"app.p.y"}},
    ),
    Statement(
        "union by position with swapped names",
        "snowflake",
        "select a, b from crm.x union all select b, a from crm.y",
        {"crm.x", "crm.y"},
        {"a": {"crm.x.a", "crm.y.b"}, "b": {"crm.x.b", "crm.y.a"}},
    ),
    Statement(
        "nested unions",
        "postgres",
        """select id, 'a' as src from app.a union (select bid, 'b' from app.b
            union all select cid, kind from app.c) union all select null, null""",
        {"app.a", "app.b", "app.c"},
        {"id": {"app.a.id", "app.b.bid", "app.c.cid"}, "src": {"app.c.kind"}},
    ),
    Statement(
        "union in a subquery",
        "databricks",
        """select u.email from (select email from crm.a union select mail from crm.b) u
        order by u.email limit 10""",
        {"crm.a", "crm.b"},
        {"email": {"crm.a.email", "crm.b.mail"}},
    ),
    Statement(
        "union of a star and listed columns",
        "redshift",
        "select * from crm.a union all select id, email from crm.b",
        {"crm.a", "crm.b"},
        {"email": UNKNOWN, "id": UNKNOWN},
    ),
    Statement(
        "union behind constants",
        "mysql",
        """select 'lead' as kind, id, email from app.leads
        union all select 'user', user_id, null from app.users order by 2 limit 7""",
        {"app.leads", "app.users"},
        {"kind": NONE, "id": {"app.leads.id", "app.users.user_id"}, "email": {"app.leads.email"}},
    ),
    Statement(
        "recursion over a hierarchy",
        "bigquery",
        """with recursive t as (
            select id, id as root_id from crm.orgs where parent_id is null
            union all select o.id, t.root_id from crm.orgs o join t on o.parent_id = t.id
        ) select id, root_id from t""",
        {"crm.orgs"},
        {"id": {"crm.orgs.id"}, "root_id": {"crm.orgs.id"}},
    ),
    Statement(
        "recursion that rotates three columns",
        "snowflake",
        """with recursive t (a, b, c) as (
            select x, y, 0 from crm.e union all select t.b, t.c, t.a from t where t.c < 5
        ) select a, b, c from t""",
        {"crm.e"},
        {"a": {"crm.e.x", "crm.e.y"}, "b": {"crm.e.x", "crm.e.y"}, "c": {"crm.e.x", "crm.e.y"}},
    ),
    Statement(
        "recursion without the word",
        "databricks",
        """with recursive n(i) as (select 1 union all select i + 1 from n where i < 10)
        select n.i, u.id from n cross join crm.users u""",
        {"crm.users"},
        {"i": NONE, "id": {"crm.users.id"}},
    ),
    Statement(
        "correlated subquery of known columns",
        "redshift",
        """with o as (select person_id, total from shop.orders)
        select p.id, (select max(total) from o where o.person_id = p.id) as top from crm.people
            p""",
        {"shop.orders", "crm.people"},
        {"id": {"crm.people.id"}, "top": {"shop.orders.total"}},
    ),
    Statement(
        "correlated subquery of unknown columns",
        "postgres",
        """select p.id, (select max(total) from shop.orders where person_id = p.id) as top
        from app.people p""",
        {"shop.orders", "app.people"},
        {"id": {"app.people.id"}, "top": UNKNOWN},
    ),
    Statement(
        "correlated subquery that returns an outer column",
        "snowflake",
        """select p.id, (select max(o.total + p.bonus) from shop.orders o) as top from
            crm.people p""",
        {"shop.orders", "crm.people"},
        {"top": {"shop.orders.total", "crm.people.bonus"}},
    ),
    Statement(
        "exists and in as outputs",
        "postgres",
        """select p.id, exists (select 1 from shop.orders o where o.person_id = p.id) as buys,
            p.id in (select v.person_id from app.vips v) as is_vip from app.people p""",
        {"shop.orders", "app.vips", "app.people"},
        {"buys": NONE, "is_vip": {"app.people.id", "app.vips.person_id"}},
    ),
    Statement(
        "uncorrelated subquery in a condition of a case",
        "bigquery",
        """select u.id, case when u.score > (select avg(x.score) from crm.scores x) then 'hot'
            else u.fallback end as heat from crm.users u""",
        {"crm.scores", "crm.users"},
        {"heat": {"crm.users.score", "crm.scores.score", "crm.users.fallback"}},
    ),
    Statement(
        "select in brackets",
        "clickhouse",
        "(select id, email from crm.users);",
        {"crm.users"},
        {"id": {"crm.users.id"}, "email": {"crm.users.email"}},
    ),
    Statement(
        "joined tables in brackets",
        "postgres",
        """select a.x, b.y, c.z from (app.a join app.b on a.id = b.id) left join app.c on c.id =
            a.id""",
        {"app.a", "app.b", "app.c"},
        {"x": {"app.a.x"}, "y": {"app.b.y"}, "z": {"app.c.z"}},
    ),
    Statement(
        "self join",
        "redshift",
        """select e.name, m.name as manager from hr.staff e left join HR.STAFF m on m.id =
            e.boss""",
        {"hr.staff"},
        {"name": {"hr.staff.name"}, "manager": {"hr.staff.name"}},
    ),
    Statement(
        "two stars of tables",
        "trino",
        "select a.*, b.total from hive.r.a cross join hive.r.b",
        {"hive.r.a", "hive.r.b"},
        {"email": {"hive.r.a.email"}, "total": {"hive.r.b.total"}},
    ),
    Statement(
        "stars of both tables",
        "duckdb",
        "select a.*, b.* from crm.a join crm.b on a.id = b.id",
        {"crm.a", "crm.b"},
        {"email": UNKNOWN, "id": UNKNOWN},
    ),
    Statement(
        "star next to a column of the same name",
        "bigquery",
        """with t as (select *, lower(email) as email_lower from crm.u) select * except (email)
            from t""",
        {"crm.u"},
        {"email_lower": {"crm.u.email"}, "email": NONE, "phone": {"crm.u.phone"}},
    ),
    Statement(
        "unqualified table name as a qualifier",
        "snowflake",
        "select people.id, crm.people.email from crm.people",
        {"crm.people"},
        {"id": {"crm.people.id"}, "email": {"crm.people.email"}},
    ),
    Statement(
        "using in a left join of three tables",
        "mysql",
        """select id, a.x, b.y, c.z from app.a left join app.b using (id) left join app.c using
            (id)""",
        {"app.a", "app.b", "app.c"},
        {"id": {"app.a.id"}, "x": {"app.a.x"}, "y": {"app.b.y"}, "z": {"app.c.z"}},
        {"id": {"app.b.id", "app.c.id"}},
    ),
    Statement(
        "alias that hides a column in order by and group by",
        "postgres",
        """select lower(email) as id, count(id) as n from app.users group by lower(email) order
            by id""",
        {"app.users"},
        {"id": {"app.users.email"}, "n": {"app.users.id"}},
    ),
    Statement(
        "constants",
        "databricks",
        """select true as t, null as n, interval '3' day as i, -1.5e3 as num, date'2024-01-01' as d,
            x'1F' as bin, 'a' || 'b' as txt, array(1, 2) as arr,
            current_timestamp() as ts from crm.a""",
        {"crm.a"},
        {
            "t": NONE,
            "n": NONE,
            "i": NONE,
            "num": NONE,
            "d": NONE,
            "bin": NONE,
            "txt": NONE,
            "arr": NONE,
            "ts": NONE,
        },
    ),
    Statement(
        "no table",
        "mysql",
        "select 1 as a, 'x' as b, now() as c",
        set(),
        {"a": NONE, "b": NONE, "c": NONE},
    ),
    Statement(
        "output names in another case",
        "snowflake",
        """select t."Id", t.MAIL as mail from (select "Id", email as Mail from crm.x) t""",
        {"crm.x"},
        {"Id": {"crm.x.Id"}, "mail": {"crm.x.email"}},
    ),
    Statement(
        "two columns that differ only in case",
        "postgres",
        'select "Email" as a, email as b from app.users',
        {"app.users"},
        {"a": {"app.users.Email"}, "b": {"app.users.email"}},
    ),
    Statement(
        "common table expression in another case",
        "bigquery",
        "with Src as (select id from crm.a) select SRC.id from src as SRC",
        {"crm.a"},
        {"id": {"crm.a.id"}},
    ),
    Statement(
        "window with a frame and a computed partition",
        "redshift",
        """select sum(total) over (partition by date_trunc('month', at), region order by at
            rows between 6 preceding and current row) as rolling, row_number() over () as n
        from shop.orders""",
        {"shop.orders"},
        {"rolling": {"shop.orders.total", "shop.orders.at", "shop.orders.region"}, "n": NONE},
    ),
)

"""Traps, each of which once misled the library or a reader: snowflake."""

from dagster_rudderstack_tests.discovery.sql_corpus.statement import NONE, UNKNOWN, Statement

__all__ = ["STATEMENTS"]

STATEMENTS = (
    Statement(
        "trap 1",
        "snowflake",
        """select id, status from orders o, lateral split_to_table(o.tags, ',') status """,
        {"orders"},
        {"ID": {"orders.id"}, "STATUS": {"orders.status"}},
    ),
    Statement(
        "trap 2",
        "snowflake",
        """select id, g from orders o, table(generator(rowcount => 3)) g """,
        {"orders"},
        {"ID": {"orders.id"}, "G": {"orders.g"}},
    ),
    Statement(
        "trap 3",
        "snowflake",
        """select trunc(created_at, mm) as m, trunc(created_at, weekofyear) as w,
        trunc(created_at, q) as q1 from t """,
        {"t"},
        {"M": UNKNOWN, "W": {"t.created_at"}, "Q1": UNKNOWN},
    ),
    Statement(
        "trap 4",
        "snowflake",
        """select identifier('col') as x, identifier($c) as y from t """,
        {"t"},
        {"X": UNKNOWN, "Y": UNKNOWN},
    ),
    Statement(
        "trap 5",
        "snowflake",
        """with u as (select *, 'web' as src from web union all select *, 'app' from app)
        select src, id, email from u """,
        {"app", "web"},
        {"SRC": NONE, "ID": {"app.id", "web.id"}, "EMAIL": {"app.email", "web.email"}},
    ),
    Statement(
        "trap 6",
        "snowflake",
        """with u as (select 'a' as src, a.* from a union all select 'b', b.* from b)
        select src, id from u """,
        {"a", "b"},
        {"SRC": NONE, "ID": {"a.id", "b.id"}},
    ),
    Statement(
        "trap 7",
        "snowflake",
        """select o.id, f.value:sku::string as sku, g.value::string as tag from orders o,
        lateral flatten(input => o.items) f, lateral flatten(input => f.value:tags,
        outer => true) g """,
        {"orders"},
        {"ID": {"orders.id"}, "SKU": {"orders.items"}, "TAG": {"orders.items"}},
    ),
    Statement(
        "trap 8",
        "snowflake",
        """with s as (select id, parse_json(doc) as j from t), e as (select s.id, f.value
        as item, f.index from s, lateral flatten(input => s.j, path => 'items') f)
        select id, item:sku::string as sku from e """,
        {"t"},
        {"ID": {"t.id"}, "SKU": {"t.doc"}},
    ),
    Statement(
        "trap 9",
        "snowflake",
        """select o.id, s.value as v from orders o, table(split_to_table(o.tags, ',')) as s """,
        {"orders"},
        {"ID": {"orders.id"}, "V": {"orders.tags"}},
    ),
    Statement(
        "trap 10",
        "snowflake",
        """select value from orders o, lateral flatten(o.items) f, lateral flatten(o.more)
        g """,
        {"orders"},
        {"VALUE": UNKNOWN},
    ),
    Statement(
        "trap 11",
        "snowflake",
        """select f from orders o, lateral flatten(o.items) f """,
        {"orders"},
        {"F": {"orders.f"}},
    ),
    Statement(
        "trap 12",
        "snowflake",
        """select object_construct(*) as doc, {*} as d2, hash(*) as h, count(*) as n from
        orders """,
        {"orders"},
        {"DOC": UNKNOWN, "D2": UNKNOWN, "H": UNKNOWN, "N": NONE},
    ),
    Statement(
        "trap 13",
        "snowflake",
        """select dateadd(day, day, at) as a, datediff(dd, at, at2) as b, trunc(at, month)
        as c, last_day(at, week) as d, date_part(epoch_second, at) as e, day, t.month
        from t """,
        {"t"},
        {
            "A": {"t.at", "t.day"},
            "B": {"t.at", "t.at2"},
            "C": {"t.at"},
            "D": {"t.at"},
            "E": {"t.at"},
            "DAY": {"t.day"},
            "MONTH": {"t.month"},
        },
    ),
    Statement(
        "trap 14",
        "snowflake",
        """select "id" as a, id as b, ID as c, "ID" as d from t """,
        {"t"},
        {"A": {"t.id"}, "B": {"t.id"}, "C": {"t.id"}, "D": {"t.id"}},
    ),
    Statement(
        "trap 15",
        "snowflake",
        """select a.id, b.id as id2 from "DB".PUBLIC.orders a join db.."ORDERS" b on a.id =
        b.id """,
        {"DB.PUBLIC.orders"},
        {"ID": {"DB.PUBLIC.orders.id"}, "ID2": {"DB.PUBLIC.orders.id"}},
    ),
    Statement(
        "trap 16",
        "snowflake",
        """with raw as (select * from db.s.raw), orders as (select * from raw where x),
        final as (select id, email from orders) select * from final """,
        {"db.s.raw"},
        {"ID": {"db.s.raw.id"}, "EMAIL": {"db.s.raw.email"}},
    ),
    Statement(
        "trap 17",
        "snowflake",
        """with r as (select *, row_number() over (partition by id order by at desc) as rn
        from t) select id, email, rn from r where rn = 1 """,
        {"t"},
        {"ID": {"t.id"}, "EMAIL": {"t.email"}, "RN": {"t.at", "t.id"}},
    ),
    Statement(
        "trap 18",
        "snowflake",
        """with a as (select id from t1), b as (with a as (select id from t2) select id
        from a) select a.id, b.id as id2 from a join b on a.id = b.id """,
        {"t1", "t2"},
        {"ID": {"t1.id"}, "ID2": {"t2.id"}},
    ),
    Statement(
        "trap 19",
        "snowflake",
        """with orders as (select id from orders) select id from orders """,
        {"orders"},
        {"ID": {"orders.id"}},
    ),
    Statement(
        "trap 20",
        "snowflake",
        """select t.a as b, b as c from t """,
        {"t"},
        {"B": {"t.a"}, "C": UNKNOWN},
    ),
    Statement(
        "trap 21",
        "snowflake",
        """select a + 1 as a, a + 2 as b from t """,
        {"t"},
        {"A": {"t.a"}, "B": {"t.a"}},
    ),
    Statement(
        "trap 22",
        "snowflake",
        """with s as (select x from t) select x + 1 as y, y * 2 as z from s """,
        {"t"},
        {"Y": {"t.x"}, "Z": {"t.x"}},
    ),
    Statement(
        "trap 23",
        "snowflake",
        """select id, level as l from t start with p is null connect by prior id = p """,
        {"t"},
        {"ID": {"t.id"}, "L": UNKNOWN},
    ),
    Statement(
        "trap 24",
        "snowflake",
        """select id from a union all select uid from b minus select x from c """,
        {"a", "b", "c"},
        {"ID": {"a.id", "b.uid"}},
    ),
    Statement(
        "trap 25",
        "snowflake",
        """select a, b from x union all select b, a from y """,
        {"x", "y"},
        {"A": {"x.a", "y.b"}, "B": {"x.b", "y.a"}},
    ),
    Statement(
        "trap 26",
        "snowflake",
        """select p.id, (select max(o.amount) from orders o where o.pid = p.id) as m,
        (select max(amount) from orders q) as n from people p """,
        {"orders", "people"},
        {"ID": {"people.id"}, "M": {"orders.amount"}, "N": UNKNOWN},
    ),
    Statement(
        "trap 27",
        "snowflake",
        """select id from table(result_scan(last_query_id())) """,
        NONE,
        {"ID": UNKNOWN},
    ),
    Statement(
        "trap 28",
        "snowflake",
        """select t.id, u.id as i2 from t at(offset => -300) as t join u before(statement
        => 'x') u on t.id = u.id """,
        {"t", "u"},
        {"ID": {"t.id"}, "I2": {"u.id"}},
    ),
    Statement(
        "trap 29",
        "snowflake",
        """select u.id from t unpivot (amount for month in (jan, feb)) u """,
        {"t"},
        {"ID": UNKNOWN},
    ),
    Statement(
        "trap 30",
        "snowflake",
        """select id from t join u using (id) """,
        {"t", "u"},
        {"ID": {"t.id", "u.id"}},
    ),
    Statement(
        "trap 31",
        "snowflake",
        """select t.* exclude (a), u.name as uname from t join u on t.id = u.id """,
        {"t", "u"},
        {"UNAME": {"u.name"}},
    ),
    Statement(
        "trap 32",
        "snowflake",
        """select listagg(distinct x, ',') within group (order by y) as l, array_agg(a)
        within group (order by b) over (partition by c) as m from t """,
        {"t"},
        {"L": {"t.x", "t.y"}, "M": {"t.a", "t.b", "t.c"}},
    ),
    Statement(
        "trap 33",
        "snowflake",
        """select transform(arr, x -> x + y) as a, reduce(arr, 0, (acc, x) -> acc + x + z)
        as b from t """,
        {"t"},
        {"A": {"t.arr", "t.y"}, "B": {"t.arr", "t.z"}},
    ),
)

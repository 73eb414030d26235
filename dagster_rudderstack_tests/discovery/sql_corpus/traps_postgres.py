"""Traps, each of which once misled the library or a reader: postgres."""

from dagster_rudderstack_tests.discovery.sql_corpus.statement import NONE, UNKNOWN, Statement

__all__ = ["STATEMENTS"]

STATEMENTS = (
    Statement(
        "trap 1",
        "postgres",
        """select id, jsonb_array_length(doc -> 'items') as n from orders """,
        {"orders"},
        {"id": {"orders.id"}, "n": {"orders.doc"}},
    ),
    Statement(
        "trap 2",
        "postgres",
        """select id, coalesce(props -> 'name', fallback) as name from people """,
        {"people"},
        {"id": {"people.id"}, "name": {"people.fallback", "people.props"}},
    ),
    Statement(
        "trap 3",
        "postgres",
        """select jsonb_build_object('k', props -> 'a') as o, array_agg(props -> 'b') as xs
        from t """,
        {"t"},
        {"o": {"t.props"}, "xs": {"t.props"}},
    ),
    Statement(
        "trap 4",
        "postgres",
        """select id, e->>'sku' as sku from orders, jsonb_array_elements(doc->'items') e """,
        {"orders"},
        {"id": {"orders.id"}, "sku": {"orders.doc"}},
    ),
    Statement(
        "trap 5",
        "postgres",
        """select id, k, v from orders, jsonb_each_text(doc -> 'meta') as j(k, v) """,
        {"orders"},
        {"id": {"orders.id"}, "k": {"orders.doc"}, "v": {"orders.doc"}},
    ),
    Statement(
        "trap 6",
        "postgres",
        """select jsonb_array_length(doc -> path) as n from t """,
        {"t"},
        {"n": {"t.doc", "t.path"}},
    ),
    Statement(
        "trap 7",
        "postgres",
        """select coalesce(o.doc -> 'a', o.x) as a from orders o """,
        {"orders"},
        {"a": {"orders.doc", "orders.x"}},
    ),
    Statement(
        "trap 8",
        "postgres",
        """select sum(c) over w2 as z from t window w1 as (partition by p), w2 as (w1 order
        by q) """,
        {"t"},
        {"z": {"t.c", "t.p", "t.q"}},
    ),
    Statement(
        "trap 9",
        "postgres",
        """select sum(c) over w as z from t window "W" as (partition by p), w as (order by
        q) """,
        {"t"},
        {"z": {"t.c", "t.q"}},
    ),
    Statement("trap 10", "postgres", """select id from stream('a') """, NONE, {"id": UNKNOWN}),
    Statement(
        "trap 11",
        "postgres",
        """select c.id, r.a from orders o, rows from (unnest(o.xs), unnest(o.ys)) as r(a,
        b), customers c """,
        {"customers", "orders"},
        {"id": {"customers.id"}, "a": {"orders.xs"}},
    ),
    Statement(
        "trap 12",
        "postgres",
        """select id, street from people, unnest(addresses) u """,
        {"people"},
        {"street": UNKNOWN},
    ),
    Statement(
        "trap 13",
        "postgres",
        """select t.id, v.k, v.x from t cross join lateral (values ('a', t.a), ('b', t.b))
        as v(k, x) """,
        {"t"},
        {"id": {"t.id"}, "k": NONE, "x": {"t.a", "t.b"}},
    ),
    Statement(
        "trap 14",
        "postgres",
        """with v (id, name) as (values (1, 'a')) select v.name, t.x from t join v on v.id
        = t.id """,
        {"t"},
        {"name": NONE, "x": {"t.x"}},
    ),
    Statement(
        "trap 15",
        "postgres",
        """with recursive a as (select id from b), b as (select id from c) select a.id from
        a """,
        {"c"},
        {"id": {"c.id"}},
    ),
    Statement(
        "trap 16",
        "postgres",
        """select (p).name as n, p.id from people p """,
        {"people"},
        {"n": {"people.name"}, "id": {"people.id"}},
    ),
    Statement(
        "trap 17",
        "postgres",
        """with i as (insert into t (id) select oid from orders returning id) select id
        from i """,
        {"orders", "t"},
        {"id": UNKNOWN},
    ),
    Statement(
        "trap 18",
        "postgres",
        """select o.id, a, b, n from orders o, unnest(o.xs, o.ys) with ordinality as u(a,
        b, n) """,
        {"orders"},
        {"id": {"orders.id"}, "a": {"orders.xs"}, "b": {"orders.ys"}},
    ),
    Statement(
        "trap 19",
        "postgres",
        """select o.id, sku, qty from orders o, jsonb_to_recordset(o.items) as r(sku text,
        qty int) """,
        {"orders"},
        {"id": {"orders.id"}, "sku": {"orders.items"}, "qty": {"orders.items"}},
    ),
    Statement(
        "trap 20",
        "postgres",
        """select trim(n) as n, id from t, unnest(string_to_array(names, ',')) n """,
        {"t"},
        {"n": {"t.names"}, "id": {"t.id"}},
    ),
    Statement(
        "trap 21",
        "postgres",
        """select row_to_json(p) as a, p is null as b, count(p) as c, p::text as d, p.id
        from people p """,
        {"people"},
        {"a": UNKNOWN, "b": UNKNOWN, "c": UNKNOWN, "d": UNKNOWN, "id": {"people.id"}},
    ),
    Statement(
        "trap 22",
        "postgres",
        """with status as (select id, status from orders) select status, id from status """,
        {"orders"},
        {"status": {"orders.status"}, "id": {"orders.id"}},
    ),
    Statement("trap 23", "postgres", """select email from email """, {"email"}, {"email": UNKNOWN}),
    Statement(
        "trap 24",
        "postgres",
        """select user as a, "user" as b, current_catalog as c, localtime as d,
        "current_date" as e from t """,
        {"t"},
        {"a": NONE, "b": {"t.user"}, "c": NONE, "d": NONE, "e": {"t.current_date"}},
    ),
    Statement(
        "trap 25",
        "postgres",
        """select x.id, y.id as i2, z.id as i3 from Orders x join "Orders" y on true join
        "orders" z on true """,
        {"Orders"},
        {"id": {"Orders.id"}, "i2": {"Orders.id"}, "i3": {"Orders.id"}},
    ),
    Statement(
        "trap 26",
        "postgres",
        """with recursive c(a, b, d) as (select x, y, z from t union all select b, d, a
        from c) select d, b, a from c """,
        {"t"},
        {"d": {"t.x", "t.y", "t.z"}, "b": {"t.x", "t.y", "t.z"}, "a": {"t.x", "t.y", "t.z"}},
    ),
    Statement(
        "trap 27",
        "postgres",
        """with recursive c as (select id, 1 as n, name as path from t where p is null
        union all select t.id, c.n + 1, c.path || t.name from t join c on t.p = c.id)
        select path, n, id from c """,
        {"t"},
        {"path": {"t.name"}, "n": NONE, "id": {"t.id"}},
    ),
    Statement(
        "trap 28",
        "postgres",
        """select id from a full join b using (id) full join c using (id) """,
        {"a", "b", "c"},
        {"id": {"a.id", "b.id", "c.id"}},
    ),
    Statement(
        "trap 29",
        "postgres",
        """select distinct on (email) email, id, last_value(x) over w as lv from t window w
        as (partition by a order by b) order by email, at desc """,
        {"t"},
        {"email": {"t.email"}, "id": {"t.id"}, "lv": {"t.a", "t.b", "t.x"}},
    ),
    Statement(
        "trap 30",
        "postgres",
        """select sum(x) filter (where s = 'a') as n, percentile_cont(0.5) within group
        (order by m) as p from t """,
        {"t"},
        {"n": {"t.s", "t.x"}, "p": {"t.m"}},
    ),
    Statement(
        "trap 31",
        "postgres",
        """select (jsonb_each(doc)).key as k, jsonb_array_elements(items)->>'sku' as sku
        from t """,
        {"t"},
        {"k": {"t.doc"}, "sku": {"t.items"}},
    ),
    Statement(
        "trap 32",
        "postgres",
        """select d.day, count(o.id) as n from generate_series('2020-01-01'::date,
        current_date, '1 day') as d(day) left join orders o on o.at::date = d.day group
        by 1 """,
        {"orders"},
        {"day": NONE, "n": {"orders.id"}},
    ),
    Statement(
        "trap 33",
        "postgres",
        """select x.id, x.z from t left join lateral (select o.id, t.z from orders o where
        o.tid = t.id limit 1) x on true """,
        {"orders", "t"},
        {"id": {"orders.id"}, "z": {"t.z"}},
    ),
    Statement(
        "trap 34",
        "postgres",
        """select id, name as id2 from a except (select x, y from b union all select p, q
        from c) """,
        {"a", "b", "c"},
        {"id": {"a.id"}, "id2": {"a.name"}},
    ),
)

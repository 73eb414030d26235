"""Traps, each of which once misled the library or a reader: databricks."""

from dagster_rudderstack_tests.discovery.sql_corpus.statement import NONE, UNKNOWN, Statement

__all__ = ["STATEMENTS"]

STATEMENTS = (
    Statement(
        "trap 1",
        "databricks",
        """select sum(x) over v s from s.t window w as (partition by k), v as (w order by
        z) """,
        {"s.t"},
        {"s": {"s.t.k", "s.t.x", "s.t.z"}},
    ),
    Statement(
        "trap 2",
        "databricks",
        """select id, stack(2, 'a', q1, 'b', q2) as (k, v) from shop.o """,
        {"shop.o"},
        {"id": {"shop.o.id"}, "k": NONE, "v": {"shop.o.q1", "shop.o.q2"}},
    ),
    Statement(
        "trap 3",
        "databricks",
        """select o.id, t.key, t.value:sku::string as sku from shop.orders o, lateral
        variant_explode_outer(o.doc:items) as t """,
        {"shop.orders"},
        {"id": {"shop.orders.id"}, "key": {"shop.orders.doc"}, "sku": {"shop.orders.doc"}},
    ),
    Statement(
        "trap 4",
        "databricks",
        """select id, col from (select id, explode(items) from shop.o) """,
        {"shop.o"},
        {"id": {"shop.o.id"}, "col": {"shop.o.items"}},
    ),
    Statement(
        "trap 5",
        "databricks",
        """select o.id, i.sku from shop.orders o lateral view explode(o.items) t as i """,
        {"shop.orders"},
        {"id": {"shop.orders.id"}, "sku": {"shop.orders.items"}},
    ),
    Statement(
        "trap 6",
        "databricks",
        """select id, pos, i.sku from shop.orders lateral view posexplode(items) t as pos,
        i """,
        {"shop.orders"},
        {"id": {"shop.orders.id"}, "pos": {"shop.orders.items"}, "sku": {"shop.orders.items"}},
    ),
    Statement(
        "trap 7",
        "databricks",
        """select id, k, v from shop.o lateral view stack(2, 'a', q1, 'b', q2) t as k, v """,
        {"shop.o"},
        {"id": {"shop.o.id"}, "k": NONE, "v": {"shop.o.q1", "shop.o.q2"}},
    ),
    Statement(
        "trap 8",
        "databricks",
        """select o.id, t.v:a.b::string s from shop.o o, lateral variant_explode(o.raw) as
        t(pos, key, v) """,
        {"shop.o"},
        {"id": {"shop.o.id"}, "s": {"shop.o.raw"}},
    ),
    Statement(
        "trap 9",
        "databricks",
        """with e as (select id, explode(items) as item from shop.o) select id, item.sku,
        item.price * item.qty as total from e """,
        {"shop.o"},
        {"id": {"shop.o.id"}, "sku": {"shop.o.items"}, "total": {"shop.o.items"}},
    ),
    Statement(
        "trap 10",
        "databricks",
        """select o.id, l.m from shop.o o, lateral (select max(p.x) + o.base as m from
        shop.p p where p.id = o.id) l """,
        {"shop.o", "shop.p"},
        {"id": {"shop.o.id"}, "m": {"shop.o.base", "shop.p.x"}},
    ),
    Statement(
        "trap 11",
        "databricks",
        """select x, transform(arr, x -> transform(x.b, y -> x.c + y + z)) n from shop.o """,
        {"shop.o"},
        {"x": {"shop.o.x"}, "n": {"shop.o.arr", "shop.o.z"}},
    ),
    Statement(
        "trap 12",
        "databricks",
        """select timestampdiff(month, month, day) c, dateadd(week, week, day) g,
        add_months(d, month) a from shop.o """,
        {"shop.o"},
        {
            "c": {"shop.o.day", "shop.o.month"},
            "g": {"shop.o.day", "shop.o.week"},
            "a": {"shop.o.d", "shop.o.month"},
        },
    ),
    Statement(
        "trap 13",
        "databricks",
        """select * from shop.o a left anti join shop.p b on a.id = b.id """,
        {"shop.o", "shop.p"},
        {"x": {"shop.o.x"}},
    ),
    Statement(
        "trap 14",
        "databricks",
        """select doc:a.b[0]::int r, m['x'] y, arr[0].z q from shop.o """,
        {"shop.o"},
        {"r": {"shop.o.doc"}, "y": {"shop.o.m"}, "q": {"shop.o.arr"}},
    ),
    Statement(
        "trap 15",
        "databricks",
        """select * from delta.`/mnt/x` d join shop.o o on o.id = d.id """,
        {"shop.o"},
        {"a": UNKNOWN},
    ),
)

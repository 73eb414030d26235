"""Traps, each of which once misled the library or a reader: redshift."""

from dagster_rudderstack_tests.discovery.sql_corpus.statement import NONE, UNKNOWN, Statement

__all__ = ["STATEMENTS"]

STATEMENTS = (
    Statement(
        "trap 1",
        "redshift",
        """select c.name, o.status, l.qty from shop.customers c, c.orders o, o.lines l """,
        {"shop.customers"},
        {
            "name": {"shop.customers.name"},
            "status": {"shop.customers.orders"},
            "qty": {"shop.customers.orders"},
        },
    ),
    Statement(
        "trap 2",
        "redshift",
        """select c.name, l.qty from shop.customers c left join c.orders o on true left
        join o.lines l on true """,
        {"shop.customers"},
        {"name": {"shop.customers.name"}, "qty": {"shop.customers.orders"}},
    ),
    Statement(
        "trap 3",
        "redshift",
        """select c.name, o.x, idx from shop.customers c, c.orders o at idx """,
        {"shop.customers"},
        {
            "name": {"shop.customers.name"},
            "x": {"shop.customers.orders"},
            "idx": {"shop.customers.orders"},
        },
    ),
    Statement(
        "trap 4",
        "redshift",
        """select c.name, attr, val from shop.customers c, unpivot c.doc as val at attr """,
        {"shop.customers"},
        {
            "name": {"shop.customers.name"},
            "attr": {"shop.customers.doc"},
            "val": {"shop.customers.doc"},
        },
    ),
    Statement(
        "trap 5",
        "redshift",
        """with t as (select json_parse(doc) as d, id from s.raw) select t.id, e.sku,
        e.price::float p from t, t.d.items as e """,
        {"s.raw"},
        {"id": {"s.raw.id"}, "sku": {"s.raw.doc"}, "p": {"s.raw.doc"}},
    ),
    Statement(
        "trap 6",
        "redshift",
        """select c.name, (select sum(o.total) from c.orders o) as s from shop.customers c """,
        {"shop.customers"},
        {"name": {"shop.customers.name"}, "s": {"shop.customers.orders"}},
    ),
    Statement(
        "trap 7",
        "redshift",
        """select c.name, o.total from shop.customers as c, shop.orders as o """,
        {"shop.customers", "shop.orders"},
        {"name": {"shop.customers.name"}, "total": {"shop.orders.total"}},
    ),
    Statement(
        "trap 8",
        "redshift",
        """select customers.name, o.total from shop.customers, shop.customers.orders o """,
        {"shop.customers"},
        {"name": {"shop.customers.name"}, "total": {"shop.customers.orders"}},
    ),
    Statement(
        "trap 9",
        "redshift",
        """select qty * 2 as total, price as qty from shop.orders """,
        {"shop.orders"},
        {"total": {"shop.orders.qty"}, "qty": {"shop.orders.price"}},
    ),
    Statement(
        "trap 10",
        "redshift",
        """select price as qty, qty * 2 as total from shop.orders """,
        {"shop.orders"},
        {"total": UNKNOWN, "qty": {"shop.orders.price"}},
    ),
    Statement(
        "trap 11",
        "redshift",
        """select dateadd(month, month, day) x, datediff(qtr, a1, b1) y, date_part(dow, d)
        z, trunc(sysdate) t, user u from shop.o """,
        {"shop.o"},
        {
            "x": {"shop.o.day", "shop.o.month"},
            "y": {"shop.o.a1", "shop.o.b1"},
            "z": {"shop.o.d"},
            "t": NONE,
            "u": NONE,
        },
    ),
    Statement(
        "trap 12",
        "redshift",
        """select "user", "sysdate", date, year from shop.o """,
        {"shop.o"},
        {
            "user": {"shop.o.user"},
            "sysdate": {"shop.o.sysdate"},
            "date": {"shop.o.date"},
            "year": {"shop.o.year"},
        },
    ),
    Statement(
        "trap 13",
        "redshift",
        """with recursive t(a, b, c) as (select x, y, z from shop.p union all select b, c,
        a from t) select c, a from t """,
        {"shop.p"},
        {"c": {"shop.p.x", "shop.p.y", "shop.p.z"}, "a": {"shop.p.x", "shop.p.y", "shop.p.z"}},
    ),
    Statement(
        "trap 14",
        "redshift",
        """select "order".total, o.x from shop."order", "order".items o """,
        {"shop.order"},
        {"total": {"shop.order.total"}, "x": {"shop.order.items"}},
    ),
    Statement(
        "trap 15",
        "redshift",
        """select listagg(name, ',') within group (order by rank) over (partition by k) l
        from shop.o """,
        {"shop.o"},
        {"l": {"shop.o.k", "shop.o.name", "shop.o.rank"}},
    ),
)

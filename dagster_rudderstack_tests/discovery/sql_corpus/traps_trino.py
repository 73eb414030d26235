"""Traps, each of which once misled the library or a reader: trino."""

from dagster_rudderstack_tests.discovery.sql_corpus.statement import NONE, UNKNOWN, Statement

__all__ = ["STATEMENTS"]

STATEMENTS = (
    Statement(
        "trap 1",
        "trino",
        """select id, sku, n from shop.orders cross join unnest(items) with ordinality as
        t(sku, n) """,
        {"shop.orders"},
        {"id": {"shop.orders.id"}, "sku": {"shop.orders.items"}, "n": {"shop.orders.items"}},
    ),
    Statement(
        "trap 2",
        "trino",
        """select id, a, b from shop.orders o cross join unnest(o.xs, o.ys) as t(a, b) """,
        {"shop.orders"},
        {"id": {"shop.orders.id"}, "a": {"shop.orders.xs"}, "b": {"shop.orders.ys"}},
    ),
    Statement(
        "trap 3",
        "trino",
        """select id, a, k, v from shop.orders o cross join unnest(o.xs, o.m) as t(a, k, v) """,
        {"shop.orders"},
        {"id": {"shop.orders.id"}, "a": UNKNOWN, "k": UNKNOWN, "v": UNKNOWN},
    ),
    Statement(
        "trap 4",
        "trino",
        """select id, r.name, r.addr.city, o.r.z from shop.orders o """,
        {"shop.orders"},
        {
            "id": {"shop.orders.id"},
            "name": {"shop.orders.r"},
            "city": {"shop.orders.r"},
            "z": {"shop.orders.r"},
        },
    ),
    Statement(
        "trap 5",
        "trino",
        """select reduce(arr, 0, (s, x) -> s + x * w, s -> s / n) a, zip_with(p, q, (x, y)
        -> x + y + d) z, x from shop.orders """,
        {"shop.orders"},
        {
            "a": {"shop.orders.arr", "shop.orders.n", "shop.orders.w"},
            "z": {"shop.orders.d", "shop.orders.p", "shop.orders.q"},
            "x": {"shop.orders.x"},
        },
    ),
    Statement(
        "trap 6",
        "trino",
        """select (select max(p) from unnest(o.items) as t(s, p)) m from shop.orders o """,
        {"shop.orders"},
        {"m": {"shop.orders.items"}},
    ),
    Statement(
        "trap 7",
        "trino",
        """select price as p, p * qty as total from shop.orders """,
        {"shop.orders"},
        {"p": {"shop.orders.price"}, "total": {"shop.orders.p", "shop.orders.qty"}},
    ),
    Statement(
        "trap 8",
        "trino",
        """select z from shop.orders o cross join lateral (select o.a + 1 as z) l """,
        {"shop.orders"},
        {"z": {"shop.orders.a"}},
    ),
    Statement(
        "trap 9",
        "trino",
        """select "order".a, "current_date", current_date as d from "order" """,
        {"order"},
        {"a": {"order.a"}, "current_date": {"order.current_date"}, "d": NONE},
    ),
)

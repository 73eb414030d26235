"""Traps, each of which once misled the library or a reader: duckdb."""

from dagster_rudderstack_tests.discovery.sql_corpus.statement import NONE, UNKNOWN, Statement

__all__ = ["STATEMENTS"]

STATEMENTS = (
    Statement(
        "trap 1",
        "duckdb",
        """select o.id, l.m from shop.o o, (select max(p.x) - o.base as m from shop.p p
        where p.id = o.id) l """,
        {"shop.o", "shop.p"},
        {"id": {"shop.o.id"}, "m": {"shop.o.base", "shop.p.x"}},
    ),
    Statement(
        "trap 2",
        "duckdb",
        """select o.id, l.m from shop.o o left join (select o.base + p.x as m from shop.p
        p) l on true """,
        {"shop.o", "shop.p"},
        {"id": {"shop.o.id"}, "m": {"shop.o.base", "shop.p.x"}},
    ),
    Statement(
        "trap 3",
        "duckdb",
        """select o.id, s.sku from shop.o o, unnest(o.items) u(i), (select i.sku as sku
        from shop.q) s """,
        {"shop.o", "shop.q"},
        {"id": {"shop.o.id"}, "sku": UNKNOWN},
    ),
    Statement(
        "trap 4",
        "duckdb",
        """select o.name.trim() t, (o.name).replace('a', o.b) z, (a || b).upper() u from
        shop.o o """,
        {"shop.o"},
        {"t": {"shop.o.name"}, "z": {"shop.o.b", "shop.o.name"}, "u": {"shop.o.a", "shop.o.b"}},
    ),
    Statement(
        "trap 5",
        "duckdb",
        """select (o.doc->>'a').lower() w, list_filter(l, x -> x > 1).list_transform(x -> x
        + k) m from shop.o o """,
        {"shop.o"},
        {"w": {"shop.o.doc"}, "m": {"shop.o.k", "shop.o.l"}},
    ),
    Statement("trap 6", "duckdb", """select a from 'x.parquet' """, NONE, {"a": UNKNOWN}),
    Statement(
        "trap 7",
        "duckdb",
        """select t.a, o.b from 'data/x.csv' t join shop.o o using (id) """,
        {"shop.o"},
        {"a": UNKNOWN, "b": {"shop.o.b"}},
    ),
    Statement(
        "trap 8",
        "duckdb",
        """select o.id, u.i, i.sku from shop.o o, unnest(o.items) as u(i) """,
        {"shop.o"},
        {"id": {"shop.o.id"}, "i": {"shop.o.items"}, "sku": {"shop.o.items"}},
    ),
    Statement(
        "trap 9",
        "duckdb",
        """select o.id, (select list(x order by x) from (select unnest(o.items) as x)) s
        from shop.o o """,
        {"shop.o"},
        {"id": {"shop.o.id"}, "s": {"shop.o.items"}},
    ),
    Statement(
        "trap 10",
        "duckdb",
        """with o as (select price, qty from shop.o) select price as p, p * qty as total,
        total + 1 as t2 from o """,
        {"shop.o"},
        {
            "p": {"shop.o.price"},
            "total": {"shop.o.price", "shop.o.qty"},
            "t2": {"shop.o.price", "shop.o.qty"},
        },
    ),
    Statement(
        "trap 11",
        "duckdb",
        """select to_json(t) j, t.id from shop.o t """,
        {"shop.o"},
        {"j": UNKNOWN, "id": {"shop.o.id"}},
    ),
    Statement(
        "trap 12",
        "duckdb",
        """select x, [x for x in l] c, [y.a for y in l if y.b > x] d from shop.o """,
        {"shop.o"},
        {"x": {"shop.o.x"}, "c": {"shop.o.l"}, "d": {"shop.o.l", "shop.o.x"}},
    ),
    Statement(
        "trap 13",
        "duckdb",
        """select a, c from shop.o union all by name select b, a from shop.p """,
        {"shop.o", "shop.p"},
        {"a": {"shop.o.a", "shop.p.a"}, "c": {"shop.o.c"}, "b": {"shop.p.b"}},
    ),
    Statement(
        "trap 14",
        "duckdb",
        """select row_number() over (w order by z) r, sum(x) over w s from shop.o window w
        as (partition by k) """,
        {"shop.o"},
        {"r": {"shop.o.k", "shop.o.z"}, "s": {"shop.o.k", "shop.o.x"}},
    ),
    Statement(
        "trap 15",
        "duckdb",
        """select * exclude (a), a + 1 as a from shop.o """,
        {"shop.o"},
        {"a": {"shop.o.a"}, "b": {"shop.o.b"}},
    ),
    Statement(
        "trap 16",
        "duckdb",
        """with recursive t as (select a, b from shop.o union all select b, a from t)
        select a, b from t """,
        {"shop.o"},
        {"a": {"shop.o.a", "shop.o.b"}, "b": {"shop.o.a", "shop.o.b"}},
    ),
)

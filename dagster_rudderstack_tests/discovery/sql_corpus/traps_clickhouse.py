"""Traps, each of which once misled the library or a reader: clickhouse."""

from dagster_rudderstack_tests.discovery.sql_corpus.statement import NONE, UNKNOWN, Statement

__all__ = ["STATEMENTS"]

STATEMENTS = (
    Statement(
        "trap 1",
        "clickhouse",
        """select id, id in blocked as is_blocked from users """,
        {"blocked", "users"},
        {"id": {"users.id"}, "is_blocked": {"users.id"}},
    ),
    Statement(
        "trap 2",
        "clickhouse",
        """select if(id in vip, a, b) as x from t """,
        {"t", "vip"},
        {"x": {"t.a", "t.b", "t.id"}},
    ),
    Statement(
        "trap 3",
        "clickhouse",
        """select countIf(id in vip_ids) as n from t """,
        {"t", "vip_ids"},
        {"n": {"t.id"}},
    ),
    Statement(
        "trap 4",
        "clickhouse",
        """select id, domain from t where (lower(mail) as domain) != '' """,
        {"t"},
        {"id": {"t.id"}, "domain": {"t.mail"}},
    ),
    Statement(
        "trap 5",
        "clickhouse",
        """select (a + b as s) * 2 as d, s as e from t """,
        {"t"},
        {"d": {"t.a", "t.b"}, "e": {"t.a", "t.b"}},
    ),
    Statement(
        "trap 6",
        "clickhouse",
        """select (arrayJoin(arrayZip(ks, vs)) as kv).1 as k, kv.2 as v from t """,
        {"t"},
        {"k": {"t.ks", "t.vs"}, "v": {"t.ks", "t.vs"}},
    ),
    Statement(
        "trap 7",
        "clickhouse",
        """select if((a as q) > 1, q, 0) as r from t """,
        {"t"},
        {"r": {"t.a"}},
    ),
    Statement(
        "trap 8",
        "clickhouse",
        """with (select max(at) from t) as m select m, id from u """,
        {"t", "u"},
        {"m": {"t.at"}, "id": {"u.id"}},
    ),
    Statement(
        "trap 9",
        "clickhouse",
        """with 'x' as c select c, id from u """,
        {"u"},
        {"c": NONE, "id": {"u.id"}},
    ),
    Statement(
        "trap 10",
        "clickhouse",
        """select id, items.sku from orders array join items """,
        {"orders"},
        {"id": {"orders.id"}, "sku": {"orders.items"}},
    ),
    Statement(
        "trap 11",
        "clickhouse",
        """select id, tag, num from t array join tags as tag, arrayEnumerate(tags) as num """,
        {"t"},
        {"id": {"t.id"}, "tag": {"t.tags"}, "num": {"t.tags"}},
    ),
    Statement(
        "trap 12",
        "clickhouse",
        """select id, arrayJoin(items) as x, p.1 as y, (a, b).2 as z from orders """,
        {"orders"},
        {
            "id": {"orders.id"},
            "x": {"orders.items"},
            "y": {"orders.p"},
            "z": {"orders.a", "orders.b"},
        },
    ),
    Statement(
        "trap 13",
        "clickhouse",
        """select a as b, b as a from t """,
        {"t"},
        {"b": UNKNOWN, "a": UNKNOWN},
    ),
    Statement(
        "trap 14",
        "clickhouse",
        """select sumIf(x, y > 1) as s, argMax(name, at) as n, quantile(0.5)(q) as qq from
        t final """,
        {"t"},
        {"s": {"t.x", "t.y"}, "n": {"t.at", "t.name"}, "qq": {"t.q"}},
    ),
    Statement(
        "trap 15",
        "clickhouse",
        """select arrayMap(x -> x + y, xs) as m, x from t """,
        {"t"},
        {"m": {"t.xs", "t.y"}, "x": {"t.x"}},
    ),
    Statement(
        "trap 16",
        "clickhouse",
        """select id from t where id in (select uid from v) and x global not in db.other """,
        {"db.other", "t", "v"},
        {"id": {"t.id"}},
    ),
    Statement(
        "trap 17",
        "clickhouse",
        """select lower(email) as email, cityHash64(email) as h from users """,
        {"users"},
        {"email": {"users.email"}, "h": {"users.email"}},
    ),
    Statement(
        "trap 18", "clickhouse", """select id from remote('h', db.t) """, NONE, {"id": UNKNOWN}
    ),
)

"""Traps, each of which once misled the library or a reader: mysql."""

from dagster_rudderstack_tests.discovery.sql_corpus.statement import NONE, Statement

__all__ = ["STATEMENTS"]

STATEMENTS = (
    Statement(
        "trap 1",
        "mysql",
        """select id, json_unquote(doc->'$.plan') as plan from accounts """,
        {"accounts"},
        {"id": {"accounts.id"}, "plan": {"accounts.doc"}},
    ),
    Statement(
        "trap 2",
        "mysql",
        """select id, ifnull(doc->'$.plan', 'free') as plan from accounts """,
        {"accounts"},
        {"id": {"accounts.id"}, "plan": {"accounts.doc"}},
    ),
    Statement(
        "trap 3",
        "mysql",
        """select concat(doc->'$.a', doc->'$.b') as ab, max(doc->'$.n') as n from t """,
        {"t"},
        {"ab": {"t.doc"}, "n": {"t.doc"}},
    ),
    Statement(
        "trap 4",
        "mysql",
        """select coalesce(doc->'$.email', email) as mail from t """,
        {"t"},
        {"mail": {"t.doc", "t.email"}},
    ),
    Statement(
        "trap 5",
        "mysql",
        """select o.id, status from orders o, json_table(o.items, '$[*]' columns (sku
        varchar(10) path '$.sku')) status """,
        {"orders"},
        {"id": {"orders.id"}, "status": {"orders.status"}},
    ),
    Statement(
        "trap 6",
        "mysql",
        """select o.id, j.sku, j.n, j.tag from orders o join json_table(o.items, '$[*]'
        columns (sku varchar(10) path '$.sku', n for ordinality, nested path '$.tags[*]'
        columns (tag varchar(10) path '$'))) as j """,
        {"orders"},
        {
            "id": {"orders.id"},
            "sku": {"orders.items"},
            "n": {"orders.items"},
            "tag": {"orders.items"},
        },
    ),
    Statement(
        "trap 7",
        "mysql",
        """select timestampdiff(month, a, b) as m, timestampadd(day, n, at) as d,
        get_format(date, 'USA') as g, date_add(day, interval month month) as e from t """,
        {"t"},
        {"m": {"t.a", "t.b"}, "d": {"t.at", "t.n"}, "g": NONE, "e": {"t.day", "t.month"}},
    ),
    Statement(
        "trap 8",
        "mysql",
        """select user as u, utc_date as a, `utc_date` as b, @x as c, @@version as d from t """,
        {"t"},
        {"u": {"t.user"}, "a": NONE, "b": {"t.utc_date"}, "c": NONE, "d": NONE},
    ),
    Statement(
        "trap 9",
        "mysql",
        """select id as x, x as y from t """,
        {"t"},
        {"x": {"t.id"}, "y": {"t.x"}},
    ),
    Statement(
        "trap 10",
        "mysql",
        """select a.id, b.id as i2 from A a join a b on true """,
        {"A", "a"},
        {"id": {"A.id"}, "i2": {"a.id"}},
    ),
    Statement(
        "trap 11",
        "mysql",
        """select group_concat(distinct name order by rank separator ',') as g,
        row_number() over (partition by p order by q) as rn from t """,
        {"t"},
        {"g": {"t.name", "t.rank"}, "rn": {"t.p", "t.q"}},
    ),
)

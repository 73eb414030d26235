"""Traps, each of which once misled the library or a reader: an unknown warehouse."""

from dagster_rudderstack_tests.discovery.sql_corpus.statement import NONE, UNKNOWN, Statement

__all__ = ["STATEMENTS"]

STATEMENTS = (
    Statement(
        "trap 1", "unknown", """select coalesce(doc->'a', x) as c from t """, {"t"}, {"c": UNKNOWN}
    ),
    Statement(
        "trap 2",
        "unknown",
        """select row_to_json(p) as doc, p.id from people p """,
        {"people"},
        {"doc": UNKNOWN, "id": {"people.id"}},
    ),
    Statement(
        "trap 3", "unknown", """select count(p) as n from people p """, {"people"}, {"n": UNKNOWN}
    ),
    Statement(
        "trap 4",
        "unknown",
        """select trunc(created_at, month) as m from t """,
        {"t"},
        {"m": UNKNOWN},
    ),
    Statement(
        "trap 5",
        "unknown",
        """select user as u, current_role as r, sysdate as s, utc_date as d from t """,
        {"t"},
        {"u": UNKNOWN, "r": UNKNOWN, "s": UNKNOWN, "d": UNKNOWN},
    ),
    Statement("trap 6", "unknown", """select $1 as a from t """, {"t"}, {"a": UNKNOWN}),
    Statement(
        "trap 7",
        "unknown",
        """select "ID" as a, id as b, day from T """,
        {"T"},
        {"a": {"T.ID"}, "b": {"T.ID"}, "day": {"T.day"}},
    ),
    Statement(
        "trap 8",
        "unknown",
        """select a as b, b as c from t """,
        {"t"},
        {"b": {"t.a"}, "c": UNKNOWN},
    ),
    Statement("trap 9", "unknown", """select id from db..t """, NONE, {"id": UNKNOWN}),
)

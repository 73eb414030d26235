"""SQL models that attack sqlglot, in each dialect."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from dagster_rudderstack.discovery.sql.read import Query, ReadingLimits, read_queries
from dagster_rudderstack.discovery.sql.rules import WAREHOUSES
from dagster_rudderstack_tests.discovery.test_sql import ORIGINS, TABLES, UNCERTAIN
from dagster_rudderstack_tests.fuzz.watch import Watch

Case = Callable[[random.Random], None]

LIMITS = ReadingLimits(query_seconds=4.0, all_seconds=16.0, mean_seconds=0.0)
QUERIES = 6
"""How many hostile queries a case reads."""
MARGIN = 60.0
"""What starting the processes may add to the time of a case, on a busy machine."""
GOOD = Query("select id from crm.people", "snowflake")

QUOTED = (r"'\'", "'a''b'", r'"a\"', "$$'$$", "--'\n", "/*'*/", "/* /* */", "`'`", r"e'\''", "#'\n")
WORDS = """
select from where join left on with recursive as union all except case when then end over by order
partition group having limit lateral unnest pivot exists in not and or between is null distinct
qualify window values table interval cast struct array ( ) [ ] { } , . ; : :: * + - / % || = <> < >
' " ` $$ @ # ? -> ->> => := \\ a b.c t1 1 2.5e10 'x' "Q" é 漢 😀
"""
TOKENS = (*WORDS.split(), "\n", "\x00", "\u202e")
MODELS = [
    *(sql for sql, _ in TABLES.values()),
    *(sql for sql, _ in ORIGINS.values()),
    *(each[1] for each in UNCERTAIN.values()),
]


def hostile_sql(chance: random.Random) -> str:
    """Return a query of one of the kinds."""
    kinds = (_nested, _chained, _prefixed, _doubled, _soup, _changed, _wide)
    return chance.choice(kinds)(chance)[:60_000]


def _nested(chance: random.Random) -> str:
    opening, closing = chance.choice(
        ("()", "[]", "{}", ("case when a then ", " end"), ("(select ", ")"))
    )
    depth = chance.choice((50, 90, 101, 400, 4_000))
    quoted = "".join(chance.choices(QUOTED, k=chance.randrange(3)))
    return f"select {quoted} {opening * depth}1{closing * depth} as a from t"


def _chained(chance: random.Random) -> str:
    operator = chance.choice(
        (" + ", " and ", " or ", " || ", " = ", ", ", " union all select ", "::int", ".b", " join ")
    )
    return f"select {operator.join(['a'] * chance.choice((10, 300, 3_000, 12_000)))} as x from t"


def _prefixed(chance: random.Random) -> str:
    prefix = chance.choice(("not ", "- ", "~ ", "exists ", "(", "distinct ", "select "))
    return f"select {prefix * chance.choice((10, 500, 9_000))}a from t"


def _doubled(chance: random.Random) -> str:
    columns = chance.choice(("*", "a, b", "a as c, b as d"))
    star = chance.choice(("x.*, y.*", "x.* exclude (a), y.*", "*", "x.*"))
    times = chance.choice((3, 12, 40, 300))
    parts = [f"c{n} as (select {star} from c{n - 1} x, c{n - 1} y)" for n in range(1, times)]
    return f"with c0 as (select {columns} from t), {', '.join(parts)} select * from c{times - 1}"


def _soup(chance: random.Random) -> str:
    return f"select {' '.join(chance.choices(TOKENS, k=chance.choice((5, 30, 500))))}"


def _changed(chance: random.Random) -> str:
    words = chance.choice(MODELS).split(" ")
    for _ in range(chance.randrange(1, 4)):
        place = chance.randrange(len(words))
        words[place : place + chance.randrange(3)] = chance.choices(TOKENS, k=chance.randrange(3))
        words = words or ["select"]
    return " ".join(words)


def _wide(chance: random.Random) -> str:
    count = chance.choice((20, 300, 1_200))
    names = " || ".join(f"a{number}" for number in range(count))
    outputs = ", ".join(f"s as b{number}" for number in range(count))
    return f"with t as (select {names} as s from crm.people) select {outputs} from t"


@contextmanager
def sql(watch: Watch) -> Iterator[Case]:
    """Give a case: a few hostile queries, with a good one after each."""
    yield partial(_case, watch)


def _case(watch: Watch, chance: random.Random) -> None:
    queries = []
    for _ in range(QUERIES):
        dialect = chance.choice((*WAREHOUSES, "unknown", None))
        queries += [Query(hostile_sql(chance), dialect), GOOD]
    began = time.monotonic()
    found = list(read_queries(queries, LIMITS))
    took = time.monotonic() - began
    watch.show(found)
    assert len(found) == len(queries)
    assert took < LIMITS.all_seconds + LIMITS.query_seconds + MARGIN, f"it took {took:.1f} s"
    for query, lineage in zip(queries, found, strict=True):
        assert lineage.problem is None or lineage.problem.isprintable(), query.sql[:500]
        if query is GOOD and "took too long" not in (lineage.problem or ""):
            assert [str(table) for table in lineage.tables] == ["crm.people"], lineage.problem

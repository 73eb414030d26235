"""Hostile SQL models: they cost a limited time and memory, and crash nothing."""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dagster_rudderstack.discovery.sql import read
from dagster_rudderstack.discovery.sql.lineage import QueryLineage, TableName
from dagster_rudderstack.discovery.sql.read import Query, ReadingLimits, read_queries
from dagster_rudderstack.discovery.sql.rules import WAREHOUSES

GOOD = Query("select id from crm.people", "snowflake")
PEOPLE = (TableName(name="people", schema_name="crm", exact=("CRM", "PEOPLE")),)
USUAL = ReadingLimits()
SOON = ReadingLimits(query_seconds=2.0)


def read_all(queries: Sequence[Query], limits: ReadingLimits = USUAL) -> list[QueryLineage]:
    found = list(read_queries(queries, limits))
    assert len(found) == len(queries)
    return found


def problem_of(sql: str, limits: ReadingLimits = USUAL) -> str:
    """Return the problem of a query. The queries before and after it are read."""
    before, lineage, after = read_all([GOOD, Query(sql, "snowflake"), GOOD], limits)
    assert before.tables == after.tables == PEOPLE
    return lineage.problem or ""


# What one of sqlglot's dialects and a simple reader of quotes understand differently.
QUOTES = [r"'\'", "'a''b'", r'"a\"', "$$'$$", "--'\n", "/*'*/", "`'`", r"e'\''"]


@pytest.mark.parametrize("brackets", ["()", "[]", "{}"])
def test_nesting(brackets: str) -> None:
    """Deep nesting behind all kinds of quotes crashes no process, in any dialect."""
    deep = brackets[0] * 4000 + "1" + brackets[1] * 4000
    queries = [
        Query(f"select {quoted}, {deep} as a", dialect)
        for dialect in WAREHOUSES
        for quoted in QUOTES
    ]

    problems = [lineage.problem or "" for lineage in read_all(queries)]

    expected = ("deep", "tokenizing", "template")
    assert all(any(word in each for word in expected) for each in problems)


def chain(operator: str) -> str:
    """Return the longest chain of an operator."""
    return f"select {operator.join(['a'] * (49_000 // (len(operator) + 1)))} as x from t"


@pytest.mark.parametrize("operator", [" + ", " and ", " or ", " || ", " = "])
def test_chain(operator: str) -> None:
    """A long chain is read, or given up after its time. It crashes nothing.

    sqlglot 26 is not compiled, and ends at Python's limit of recursion before.
    """
    given_up = ("reading it takes more than 2 seconds", "it is nested too deeply")
    assert problem_of(chain(operator), SOON) in ("", *given_up)


def test_surrogate() -> None:
    """Half of a surrogate pair in a query is named as the problem."""
    assert "half of a surrogate pair" in problem_of("select '\ud800' as \"\ud800\" from t")


@pytest.mark.parametrize("operator", ["not ", "- ", "~ "])
def test_recursion(operator: str) -> None:
    """An expression that nests without brackets crashes nothing, whether it can be read or not."""
    assert problem_of(f"select {operator * 9000}a from t") in ("", "it is nested too deeply")


def doubled(columns: str, times: int) -> str:
    """Return a query in which each subquery takes all columns of the one before it twice."""
    parts = [f"c{n} as (select x.*, y.* from c{n - 1} x, c{n - 1} y)" for n in range(1, times)]
    return f"with c0 as ({columns}), {', '.join(parts)} select * from c{times - 1}"


def test_stars() -> None:
    """Stars that double the columns again and again are read at once."""
    (lineage,) = read_all([Query(doubled("select * from crm.people", 40), "snowflake")])

    assert lineage.problem is None
    assert lineage.tables == PEOPLE


def test_stars__known_columns() -> None:
    """Stars of known columns cost no more than one query may: sqlglot 26 lists all columns."""
    problem = problem_of(doubled("select a, b from crm.people", 40), SOON)

    assert problem in ("", "reading it takes more than 2 seconds")


def fanned_out(columns: int) -> str:
    """Return a query with so many columns that are each made from so many columns."""
    names = [f"column_{number}" for number in range(columns)]
    outputs = ", ".join(f"made as out_{number}" for number in range(columns))
    return (
        f"with t as (select {' || '.join(names)} as made from crm.people) select {outputs} from t"
    )


def test_many_origins() -> None:
    """A result that is much larger than its query is left out. Its tables are known."""
    (lineage,) = read_all([Query(fanned_out(300), "snowflake")])

    assert lineage == QueryLineage(tables=PEOPLE, problem="too many columns are behind its columns")


def test_memory() -> None:
    """A query that needs more than its memory is given up."""
    limits = ReadingLimits(query_seconds=60.0, query_bytes=16 * 1024 * 1024)
    numbers = ", ".join(map(str, range(60_000)))

    assert "too much memory" in problem_of(f"select a from t where a in ({numbers})", limits)


def test_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a query that crashed the process, a new one reads the next query."""
    crashing = "import os, sys\nsys.stdin.readline()\nprint(flush=True)\nos.abort()\n"
    monkeypatch.setattr(read, "_PROGRAM", crashing)
    queries = read_queries([GOOD, GOOD])

    assert "crashes sqlglot" in (next(queries).problem or "")
    monkeypatch.undo()
    assert next(queries).tables == PEOPLE


def test_killed_between_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed while it waits costs one query."""
    started: list[subprocess.Popen[bytes]] = []

    class Noted(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Noted)
    queries = read_queries([GOOD, GOOD, GOOD])

    assert next(queries).tables == PEOPLE
    started[0].kill()
    started[0].wait()
    assert "crashes sqlglot" in (next(queries).problem or "")
    assert next(queries).tables == PEOPLE


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process gets no secret with its environment."""
    monkeypatch.setenv("RUDDERSTACK_ACCESS_TOKEN", "s3cr3t-token")
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def noted(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*args, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", noted)
    queries = read_queries([GOOD, GOOD])

    assert next(queries).tables == PEOPLE
    environment = Path(f"/proc/{started[0].pid}/environ").read_bytes()
    queries.close()  # type: ignore[attr-defined]
    assert b"PATH=" in environment
    assert b"s3cr3t-token" not in environment


def test_path_object(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Something else than a text in the import path does no harm."""
    monkeypatch.setattr(sys, "path", [tmp_path, *sys.path])

    assert read_all([GOOD])[0].tables == PEOPLE


@pytest.mark.parametrize("name", ["types", "json", "copy", "typing", "__future__"])
def test_module_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    """A module of the user that is named like a standard one does no harm."""
    (tmp_path / f"{name}.py").write_text("raise RuntimeError('not the standard module')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])

    assert read_all([GOOD])[0].tables == PEOPLE


@pytest.mark.parametrize("executable", ["/no/such/python", None])
def test_cannot_start(monkeypatch: pytest.MonkeyPatch, executable: str | None) -> None:
    """Without a process, each query has the reason as its problem."""
    monkeypatch.setattr(sys, "executable", executable)

    for lineage in read_all([GOOD, GOOD]):
        assert "cannot be started" in (lineage.problem or "")


def test_many_queries() -> None:
    """The time for all queries has an end, however many there are."""
    limits = ReadingLimits(all_seconds=0.0, mean_seconds=100.0, most_seconds=0.0)

    assert [each.problem for each in read_all([GOOD, GOOD], limits)] == [
        "the SQL of other sources took too long to read"
    ] * 2


def test_orphan() -> None:
    """The process ends itself in a query that takes too long, if nobody else ends it."""
    program = read._PROGRAM.format(
        path=sys.path,
        name=read._PACKAGE.name,
        folder=str(read._PACKAGE),
        seconds=0.01,
        memory=2**30,
    )
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program],
        input=json.dumps([chain(" + "), "snowflake"]).encode() + b"\n",
        stdout=subprocess.PIPE,
        timeout=60,
        check=False,
    )

    assert ended.returncode == -signal.SIGALRM
    assert not ended.stdout


THOUSAND = """
import json, resource
from dagster_rudderstack_tests.discovery.test_read import GOOD, chain, doubled, fanned_out, read_all
from dagster_rudderstack.discovery.sql.read import Query, ReadingLimits

hostile = [chain(" + "), fanned_out(1400), "(" * 40_000, doubled("select * from t", 500)]
queries = [GOOD, *(Query(hostile[number % 4], "snowflake") for number in range(1000))]
found = read_all(queries, ReadingLimits(query_seconds=1.0, all_seconds=5.0, mean_seconds=0.0))
print(json.dumps({
    "problems": sorted({lineage.problem or "" for lineage in found}),
    "MB": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
}))
"""


def test_thousand() -> None:
    """A thousand hostile queries take as long as all may together. The rest is left out."""
    done = subprocess.run(
        [sys.executable, "-c", THOUSAND], capture_output=True, timeout=120, check=True, text=True
    )
    measured = json.loads(done.stdout)

    assert "the SQL of other sources took too long to read" in measured["problems"]
    assert measured["MB"] < 1500

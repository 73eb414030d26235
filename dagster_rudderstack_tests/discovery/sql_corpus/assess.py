"""Compares what the library answers with what is known of a statement."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from dagster_rudderstack.discovery.sql.lineage import QueryLineage
from dagster_rudderstack.discovery.sql.query import lineage_of
from dagster_rudderstack_tests.discovery.sql_corpus.statement import NONE, UNKNOWN, Statement

__all__ = ["Verdict", "assess", "summary"]

TABLES = "tables"

LineageOf = Callable[[str, str], QueryLineage]


@dataclass(frozen=True)
class Verdict:
    """How one answer compares with what is known.

    Attributes:
        kind: `right`, `unknown` if the library answers nothing although an answer exists, or
            `wrong`.
        of: The output column, or `tables`.
        expected: What is known.
        answered: What the library answers.
        empty: Whether the right answer is to answer nothing.
    """

    kind: str
    of: str
    expected: str
    answered: str
    empty: bool = False

    def __str__(self) -> str:
        return f"{self.kind}: {self.of} is {self.answered}, expected {self.expected}"


def assess(statement: Statement, lineage_of: LineageOf = lineage_of) -> list[Verdict]:
    """Return the verdict on the tables, and then on each column."""
    lineage = lineage_of(statement.sql, statement.warehouse)
    return [_tables(statement, lineage), *_columns(statement, lineage)]


def _tables(statement: Statement, lineage: QueryLineage) -> Verdict:
    answered = {str(table) for table in lineage.tables}
    if answered == statement.tables:
        kind = "right"
    elif answered < statement.tables and lineage.problem:
        kind = "unknown"
    else:
        kind = "wrong"
    return Verdict(kind, TABLES, _listed(statement.tables), _listed(answered))


def _columns(statement: Statement, lineage: QueryLineage) -> Iterator[Verdict]:
    for column, known in statement.columns.items():
        answered = {
            f"{lineage.tables[origin.table]}.{origin.column}" for origin in lineage.origins(column)
        }
        least = NONE if known is UNKNOWN else known
        most = least | statement.also.get(column, NONE)
        is_right = least <= answered <= most
        kind = "right" if is_right else "wrong" if answered else "unknown"
        expected = "unknown" if known is UNKNOWN else _listed(known)
        yield Verdict(kind, column, expected, _listed(answered), empty=not least)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def summary(verdicts: Iterable[list[Verdict]]) -> str:
    """Return how many answers are right, unknown and wrong, in one line."""
    statements = list(verdicts)
    answers = [each for statement in statements for each in statement]
    kinds = Counter(each.kind for each in answers)
    found = sum(
        1 for each in answers if each.kind == "right" and not each.empty and each.of != TABLES
    )
    return (
        f"SQL corpus: {len(statements)} statements, right {kinds['right']} "
        f"({found} columns with origins), unknown {kinds['unknown']}, wrong {kinds['wrong']}"
    )

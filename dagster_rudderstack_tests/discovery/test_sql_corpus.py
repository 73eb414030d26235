"""The library answers nothing wrong about the statements of the corpus."""

from collections.abc import Callable

import pytest

from dagster_rudderstack_tests.discovery.sql_corpus.assess import assess, summary
from dagster_rudderstack_tests.discovery.sql_corpus.statement import Statement
from dagster_rudderstack_tests.discovery.sql_corpus.statements import STATEMENTS

KNOWN_AT_LEAST = 1150
"""How many columns must have the right origins, with any supported sqlglot. Columns that have no
origin do not count. Raise this when the library finds more."""


@pytest.mark.parametrize(
    "statement", STATEMENTS, ids=[f"{each.warehouse}: {each.name}" for each in STATEMENTS]
)
def test_nothing_wrong(statement: Statement) -> None:
    """An answer is right or absent."""
    wrong = [str(verdict) for verdict in assess(statement) if verdict.kind == "wrong"]

    assert wrong == []


def test_names() -> None:
    """A statement can be found by its name."""
    names = [(each.warehouse, each.name) for each in STATEMENTS]

    assert len(set(names)) == len(names)


def test_enough_is_known(record_property: Callable[[str, object], None]) -> None:
    """The library finds the origins of most columns. `pytest -rP` prints how many."""
    verdicts = [assess(statement) for statement in STATEMENTS]
    columns = [verdict for each in verdicts for verdict in each[1:]]
    found = sum(verdict.kind == "right" and not verdict.empty for verdict in columns)
    record_property("sql_corpus", summary(verdicts))
    print(summary(verdicts))  # noqa: T201

    assert found >= KNOWN_AT_LEAST

"""Prints each wrong or unknown answer of the library on the corpus, and a summary."""

from dagster_rudderstack_tests.discovery.sql_corpus.assess import assess, summary
from dagster_rudderstack_tests.discovery.sql_corpus.statements import STATEMENTS


def main() -> None:
    """Assess all statements."""
    verdicts = []
    for statement in STATEMENTS:
        verdicts.append(assess(statement))
        for verdict in verdicts[-1]:
            if verdict.kind != "right":
                print(f"{statement.warehouse}: {statement.name}: {verdict}")  # noqa: T201
    print(summary(verdicts))  # noqa: T201


main()

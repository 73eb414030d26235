"""The front page of the documentation: its example and the names in its table."""

import re

import dagster_rudderstack
from dagster_rudderstack_tests.project import pages

PAGE = pages.DOCS / "index.md"


def test_example() -> None:
    """The example is the one of the README, which `test_readme.py` runs."""
    (example,) = pages.blocks_of(PAGE.read_text(), "python")

    assert example == pages.block("The smallest example", "python")


def test_links() -> None:
    """The targets of the links exist."""
    assert pages.broken_links(PAGE) == []


def test_where_to_go() -> None:
    """The names in the table are exported."""
    table = "".join(row[1] for row in pages.rows("Where to go", PAGE))
    offered = set(re.findall(r"`(\w+)`", table))

    assert len(offered) == 4
    assert offered <= set(dagster_rudderstack.__all__)

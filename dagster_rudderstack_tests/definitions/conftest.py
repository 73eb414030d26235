"""A Dagster instance with storage for each test."""

from collections.abc import Iterator

import dagster as dg
import pytest


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance with real (SQLite) storage."""
    with dg.instance_for_test() as instance:
        yield instance

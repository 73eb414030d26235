"""A Dagster instance with storage for each test."""

import dagster as dg
import pytest


@pytest.fixture
def instance(stored_instance: dg.DagsterInstance) -> dg.DagsterInstance:
    """A Dagster instance with real (SQLite) storage."""
    return stored_instance

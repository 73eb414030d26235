"""Fixtures of the tests on lives of syncs."""

from collections.abc import Iterator

import pytest

from dagster_rudderstack_tests.sync.world import World
from dagster_rudderstack_tests.sync.world import world as open_world


@pytest.fixture
def world() -> Iterator[World]:
    """A server with no connection yet, and a clock that stands still."""
    with open_world() as opened:
        yield opened

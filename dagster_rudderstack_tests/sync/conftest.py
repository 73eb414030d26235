"""Fixtures of the tests of one sync."""

from collections.abc import Iterator

import pytest

from dagster_rudderstack_tests.sync.world import World
from dagster_rudderstack_tests.sync.world import world as open_world


@pytest.fixture
def world() -> Iterator[World]:
    """A server without connections, a client, and a clock that only waits advance."""
    with open_world() as opened:
        yield opened

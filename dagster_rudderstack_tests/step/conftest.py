"""A local RudderStack for each test."""

from collections.abc import Iterator

import pytest

from dagster_rudderstack import RudderStackResource
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.step.world import resource_of


@pytest.fixture
def server() -> Iterator[LocalRudderStack]:
    """A local RudderStack in real time."""
    with LocalRudderStack() as server:
        yield server
        assert server.errors == []


@pytest.fixture
def rudderstack(server: LocalRudderStack) -> RudderStackResource:
    """A resource for the local RudderStack that polls every 50 ms."""
    return resource_of(server)

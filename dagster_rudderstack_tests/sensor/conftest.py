"""A local RudderStack for each test."""

from collections.abc import Iterator

import pytest

from dagster_rudderstack import RudderStackResource
from dagster_rudderstack.testing import LocalRudderStack, ManualClock
from dagster_rudderstack_tests.step.world import resource_of


@pytest.fixture
def clock() -> ManualClock:
    """The server's clock. A sync runs until a test advances it."""
    return ManualClock()


@pytest.fixture
def server(clock: ManualClock) -> Iterator[LocalRudderStack]:
    """A local RudderStack whose time is that of the clock."""
    with LocalRudderStack(clock=clock) as server:
        yield server
        assert server.errors == []


@pytest.fixture
def rudderstack(server: LocalRudderStack) -> RudderStackResource:
    """A resource for the local RudderStack, with a short poll interval."""
    return resource_of(server)

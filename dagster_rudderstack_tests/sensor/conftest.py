"""A local RudderStack for each test."""

from collections.abc import Iterator

import pytest

from dagster_rudderstack import RudderStackResource
from dagster_rudderstack.testing import LocalRudderStack, ManualClock
from dagster_rudderstack_tests.step.world import resource_of


@pytest.fixture
def clock() -> ManualClock:
    """The server's clock: a sync runs until a test moves it on."""
    return ManualClock()


@pytest.fixture
def server(clock: ManualClock) -> Iterator[LocalRudderStack]:
    """A local RudderStack whose syncs take a minute of the clock."""
    with LocalRudderStack(clock=clock) as server:
        yield server
        assert server.errors == []


@pytest.fixture
def rudderstack(server: LocalRudderStack) -> RudderStackResource:
    """The resource of the local RudderStack, quick to look."""
    return resource_of(server)

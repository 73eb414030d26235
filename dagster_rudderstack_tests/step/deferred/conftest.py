"""A deferred asset, its sensor, and a local RudderStack with a clock of its own."""

from collections.abc import Iterator

import dagster as dg
import pytest

from dagster_rudderstack import RudderStackResource
from dagster_rudderstack.testing import LocalRudderStack, ManualClock
from dagster_rudderstack_tests.sensor.world import World, connect, world
from dagster_rudderstack_tests.step.deferred.scene import CRM


@pytest.fixture
def clock() -> ManualClock:
    """The clock of the server. A sync ends when the test advances the clock."""
    return ManualClock()


@pytest.fixture
def server(clock: ManualClock) -> Iterator[LocalRudderStack]:
    """A local RudderStack whose syncs take one minute of the clock."""
    with LocalRudderStack(clock=clock) as server:
        connect(server, "crm")
        yield server
        assert server.errors == []


@pytest.fixture
def scene(rudderstack: RudderStackResource, instance: dg.DagsterInstance) -> World:
    """A deferred asset and its sensor, before the first tick."""
    return world(instance, rudderstack, CRM)

"""A local RudderStack for each test, and a sensor that watches it."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from dagster_rudderstack import RudderStackResource
from dagster_rudderstack.testing import LocalRudderStack, ManualClock
from dagster_rudderstack_tests.sensor.world import CRM, World, connect, world


@pytest.fixture
def stored_instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance with Dagster's default storage, where each run numbers its events anew."""
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield instance


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
def scene(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> World:
    """A connection with one asset. Its sensor has polled once."""
    return polled_once(server, rudderstack, instance)


@pytest.fixture
def stored_scene(
    server: LocalRudderStack, rudderstack: RudderStackResource, stored_instance: dg.DagsterInstance
) -> World:
    """The same in a stored instance, so that a sensor can tick while a run writes."""
    return polled_once(server, rudderstack, stored_instance)


def polled_once(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> World:
    """Return a connection with one asset, whose sensor has polled once."""
    connect(server, "crm")
    made = world(instance, rudderstack, CRM)
    made.tick()
    return made

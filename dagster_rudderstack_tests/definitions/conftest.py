"""A Dagster instance and a local RudderStack for each test."""

from collections.abc import Iterator

import dagster as dg
import pytest

from dagster_rudderstack import RudderStackResource
from dagster_rudderstack.testing import LocalRudderStack


@pytest.fixture
def server() -> Iterator[LocalRudderStack]:
    """A local RudderStack in real time."""
    with LocalRudderStack() as server:
        yield server
        assert server.errors == []


@pytest.fixture
def rudderstack(server: LocalRudderStack) -> RudderStackResource:
    """A resource for the local RudderStack, with a short poll interval."""
    return resource_of(server)


def resource_of(server: LocalRudderStack, **settings: object) -> RudderStackResource:
    """Return a resource that polls every 50 ms, with further settings."""
    defaults = {
        "access_token": server.access_token,
        "api_url": server.url,
        "poll_min_interval_seconds": 0.05,
        "poll_max_interval_seconds": 0.05,
    }
    return RudderStackResource(**{**defaults, **settings})  # type: ignore[arg-type]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance with real (SQLite) storage."""
    with dg.instance_for_test() as instance:
        yield instance

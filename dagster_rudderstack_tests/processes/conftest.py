"""Fixtures: one Dagster deployment per pytest process, and a server that each test resets."""

from collections.abc import Iterator

import pytest

from dagster_rudderstack.testing import LocalRudderStack, ManualClock
from dagster_rudderstack_tests.processes.harness import Deployment, Home, deployment

TOKEN = "rst-0123456789abcdefghij"


@pytest.fixture(scope="session")
def clock() -> ManualClock:
    """The clock of the server. A sync runs until a test advances it."""
    return ManualClock()


@pytest.fixture(scope="session")
def one_server(clock: ManualClock) -> Iterator[LocalRudderStack]:
    """The server that all processes use."""
    with LocalRudderStack(TOKEN, clock=clock) as server:
        yield server


@pytest.fixture
def server(one_server: LocalRudderStack) -> Iterator[LocalRudderStack]:
    """The same server, reset."""
    one_server.reset()
    yield one_server
    assert one_server.errors == []


@pytest.fixture(scope="session")
def home(one_server: LocalRudderStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """An instance on disk that all tests share."""
    made = Home(tmp_path_factory.mktemp("dagster_home"), one_server)
    yield made
    made.close()


@pytest.fixture(scope="session")
def dagster(home: Home) -> Iterator[Deployment]:
    """A webserver, a daemon and a code server."""
    with deployment(home) as running:
        yield running

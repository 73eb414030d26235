"""Settings and fixtures of all tests."""

import signal
from collections.abc import Iterator

import dagster as dg
import pytest
from hypothesis import settings

from dagster_rudderstack.testing.pytest_plugin import local_rudderstack  # noqa: F401 - a fixture

# A shell starts background processes with SIGINT ignored. Some tests send it to this process or to
# its child processes.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A failure can be repeated, and a busy machine fails no test.
settings.register_profile("tests", deadline=None, derandomize=True)
settings.load_profile("tests")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance in memory. It is fast, but only one thread at a time can use it."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def stored_instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance with SQLite storage, which threads can read while a run writes."""
    with dg.instance_for_test() as instance:
        yield instance

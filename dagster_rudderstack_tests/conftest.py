"""What holds for all tests."""

import signal
from collections.abc import Iterator

import dagster as dg
import pytest
from hypothesis import settings

from dagster_rudderstack.testing.pytest_plugin import local_rudderstack  # noqa: F401 - a fixture

# A shell starts what it puts into the background with Ctrl-C ignored. Tests that press it, and the
# processes that they start, want it to work.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What fails fails again, and a busy machine is no failure.
settings.register_profile("tests", deadline=None, derandomize=True)
settings.load_profile("tests")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance in memory: quick, but for one thread at a time."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def stored_instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance with real (SQLite) storage, which threads may read while a run writes."""
    with dg.instance_for_test() as instance:
        yield instance

"""Settings and fixtures of all tests."""

import functools
import io
import logging
import shutil
import signal
import sqlite3
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from hypothesis import settings

from dagster_rudderstack import RudderStackResource
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack.testing.pytest_plugin import local_rudderstack  # noqa: F401 - a fixture
from dagster_rudderstack_tests.step.world import instance_in, resource_of

# A shell starts background processes with SIGINT ignored. Some tests send it to this process or to
# its child processes.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A failure can be repeated, and a busy machine fails no test.
settings.register_profile("tests", deadline=None, derandomize=True)
settings.load_profile("tests")


@pytest.fixture(autouse=True)
def sigint_handler() -> Iterator[None]:
    """Fail a test that leaves a handler of SIGINT behind, which would break a later test."""
    before = signal.getsignal(signal.SIGINT)
    yield
    assert signal.getsignal(signal.SIGINT) is before


@pytest.fixture(autouse=True, scope="session")
def certificates_read_once() -> Iterator[None]:
    """Let all HTTP clients of a process share the certificates, which take 15 ms to read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ssl.create_default_context", functools.cache(ssl.create_default_context))
        yield


@pytest.fixture(autouse=True, scope="session")
def migrations_read_once() -> Iterator[None]:
    """Let all Dagster instances of a process share the list of Dagster's migrations.

    Reading it takes most of the time in which an instance in memory is made.
    """
    read = ScriptDirectory.from_config
    directories: dict[str | None, ScriptDirectory] = {}

    def read_once(config: Config) -> ScriptDirectory:
        location = config.get_main_option("script_location")
        if location not in directories:
            directories[location] = read(config)
        return directories[location]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", read_once)
        yield


@pytest.fixture(autouse=True, scope="session")
def sqlite_without_fsync() -> Iterator[None]:
    """Let SQLAlchemy's connections to SQLite not wait for the disk, which takes most of a run.

    Without the wait, data can be lost only if the machine crashes.
    """
    connect = sqlite3.connect

    def connect_without_fsync(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sqlite3.dbapi2.connect", connect_without_fsync)
        yield


@pytest.fixture
def server() -> Iterator[LocalRudderStack]:
    """An empty local RudderStack in real time."""
    with LocalRudderStack() as server:
        yield server
        assert server.errors == []


@pytest.fixture
def rudderstack(server: LocalRudderStack) -> RudderStackResource:
    """The resource of the local RudderStack. It polls every 50 ms."""
    return resource_of(server)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance in memory. It is fast, but only one thread at a time can use it."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture(scope="session")
def empty_storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with Dagster's SQLite databases, whose tables take longer to make than to copy."""
    folder = tmp_path_factory.mktemp("empty_storage")
    with instance_in(folder) as instance:
        instance.get_runs()
        instance.all_instigator_state()
    return folder


@pytest.fixture
def stored_instance(empty_storage: Path, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance with SQLite storage, which threads can read while a run writes."""
    folder = shutil.copytree(empty_storage, tmp_path / "dagster_storage")
    with instance_in(folder) as instance:
        yield instance


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """The output of all loggers at their lowest level."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.setLevel(level)
    root.removeHandler(handler)

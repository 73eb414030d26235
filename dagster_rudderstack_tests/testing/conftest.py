"""Fixtures: a local RudderStack, HTTP clients that check its answers, and tables to sync."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.testing import contract
from dagster_rudderstack_tests.testing.table_setup import CUSTOMERS, TableSetup

ApiMaker = Callable[..., httpx.Client]


@pytest.fixture
def make_api() -> Iterator[ApiMaker]:
    """Make HTTP clients. Unless `checked=False`, each answer must conform to the contract."""
    clients: list[httpx.Client] = []

    def make(server: LocalRudderStack, *, checked: bool = True) -> httpx.Client:
        hooks = {"response": [contract.check]} if checked else {}
        client = httpx.Client(
            base_url=f"{server.url}/v2",
            headers={"authorization": f"Bearer {server.access_token}"},
            event_hooks=hooks,
            trust_env=False,
            timeout=60,
        )
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def server(local_rudderstack: LocalRudderStack) -> LocalRudderStack:
    """A shorter name for the fixture of the plugin."""
    return local_rudderstack


@pytest.fixture
def api(server: LocalRudderStack, make_api: ApiMaker) -> httpx.Client:
    """Make a client of `server` whose answers must conform to the contract."""
    return make_api(server)


@pytest.fixture
def raw(server: LocalRudderStack, make_api: ApiMaker) -> httpx.Client:
    """Make a client of `server` that accepts any answer."""
    return make_api(server, checked=False)


@pytest.fixture(params=[".duckdb", ".sqlite"])
def setup(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[TableSetup]:
    """Set up a table once with a DuckDB and once with a SQLite destination."""
    setup = TableSetup(tmp_path, request.param)
    setup.sql(CUSTOMERS)
    yield setup
    setup.server.close()


@pytest.fixture
def duckdb_setup(tmp_path: Path) -> Iterator[TableSetup]:
    """Set up a table with a DuckDB destination."""
    setup = TableSetup(tmp_path, ".duckdb")
    setup.sql(CUSTOMERS)
    yield setup
    setup.server.close()

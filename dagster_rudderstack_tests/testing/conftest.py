"""A local RudderStack for each test, and an HTTP client that checks its answers."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.testing import contract

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

"""The client of the resource: `with`, threads, event loops and pickling."""

import asyncio
import gc
import pickle
import threading

import pytest

from dagster_rudderstack import (
    RudderStackResource,
)
from dagster_rudderstack.testing import LocalRudderStack, SyncScript
from dagster_rudderstack_tests.resource.world import resource_for


def test_with__one_tcp_connection(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """Several syncs with all their polls use one TCP connection."""
    server.set_script("crm", SyncScript(duration_seconds=0.1))
    with resource as rudderstack:
        for _ in range(3):
            rudderstack.sync_and_poll("crm")

    assert server.tcp_connections == 1
    assert len({request.client_port for request in server.requests}) == 1
    assert len(server.requests) > 12


def test_without_with(server: LocalRudderStack) -> None:
    """Without `with`, connections are closed by `close` or with the last reference."""
    resource = resource_for(server)
    resource.list_connections()
    client = resource.get_client()
    assert client is resource.get_client()

    resource.close()
    assert client._transport._http.is_closed
    assert resource.list_connections()  # opens another connection
    http = resource.get_client()._transport._http
    del client, resource
    gc.collect()

    assert http.is_closed
    assert server.tcp_connections == 2


def test_with__reentrant(resource: RudderStackResource) -> None:
    """`with` can be nested and repeated."""
    with resource as outer:
        with resource as inner:
            inner.list_connections()
        outer.list_connections()
    with resource as again:
        assert again.list_connections()


def test_threads(resource: RudderStackResource) -> None:
    """Threads that share a resource share one client."""
    clients = []
    barrier = threading.Barrier(8, timeout=60)

    def use() -> None:
        barrier.wait()
        clients.append(resource.get_client())

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({id(client) for client in clients}) == 1
    resource.close()


def test_event_loop(resource: RudderStackResource) -> None:
    """A sync works in a running event loop, as in a notebook."""

    async def cell() -> str:
        with resource as rudderstack:
            return rudderstack.sync_and_poll("crm").status

    assert asyncio.run(cell()) == "succeeded"


def test_pickle(resource: RudderStackResource) -> None:
    """A resource cannot be pickled, since the pickle would have its token."""
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(resource)

"""One resource may be used by several threads, and by a process that was forked."""

import copy
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from dagster_rudderstack import RudderStackResource
from dagster_rudderstack.errors import RudderStackError
from dagster_rudderstack.testing import Fault, LocalRudderStack

TOKEN = "rst-0123456789abcdefghij"


@pytest.fixture
def server() -> Iterator[LocalRudderStack]:
    """A RudderStack with one connection."""
    with LocalRudderStack(TOKEN) as opened:
        opened.add_connection("crm")
        yield opened


def wait_for_request(server: LocalRudderStack) -> None:
    give_up_at = time.monotonic() + 30
    while not server.requests:
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


def test_two_blocks(server: LocalRudderStack) -> None:
    """When one thread leaves its block, the request of another thread goes on."""
    resource = RudderStackResource(access_token=TOKEN, api_url=server.url)
    server.latency_seconds = 0.5
    is_over = threading.Event()

    def ask() -> str:
        with resource as rudderstack:
            found = rudderstack.get_connection("crm").id
            is_over.wait(60)
            return found

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask)
        wait_for_request(server)
        with resource as rudderstack:
            first = rudderstack.get_client()
        with resource as rudderstack:
            assert rudderstack.get_client() is first
        is_over.set()
        assert asked.result() == "crm"

    assert [request.status for request in server.requests] == [200]
    with resource as rudderstack:
        assert rudderstack.get_client() is not first


def test_close_in_use(server: LocalRudderStack) -> None:
    """A request that is under way when its client is closed is answered. A later one is not sent,
    and the error says why."""
    resource = RudderStackResource(access_token=TOKEN, api_url=server.url)
    server.latency_seconds = 0.5
    client = resource.get_client()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.get_connection, "crm")
        wait_for_request(server)
        resource.close()
        with pytest.raises(RudderStackError, match="client is closed"):
            client.get_connection("crm")
        assert asked.result().id == "crm"

    assert client._transport._http.is_closed
    assert len(server.requests) == 1
    assert resource.get_connection("crm").id == "crm"
    resource.close()


FORKS = """
import os, sys, threading, time
from dagster_rudderstack import RudderStackResource

resource = RudderStackResource(
    access_token=sys.argv[1], api_url=sys.argv[2], max_concurrent_requests=1
)
resource.get_connection("crm")
parent = resource.get_client()
slow = threading.Thread(target=lambda: resource.get_connection("slow"))
slow.start()
while not parent._transport._under_way:
    time.sleep(0.01)
process = os.fork()
if process == 0:
    print(resource.get_connection("crm").id, resource.get_client() is parent, flush=True)
    sys.exit(0)
_, status = os.waitpid(process, 0)
print("child:", os.waitstatus_to_exitcode(status))
slow.join()
print("parent:", resource.get_connection("crm").id)
"""


def test_fork(server: LocalRudderStack) -> None:
    """A process that is forked while a request holds the only turn can send its own, over a
    connection of its own, and so can its parent afterwards."""
    server.add_connection("slow")
    server.add_fault(Fault("slow", connection_id="slow", seconds=5))
    command = [sys.executable, "-W", "ignore", "-c", FORKS, TOKEN, server.url]
    printed = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=60
    ).stdout.splitlines()

    assert printed == ["crm False", "child: 0", "parent: crm"]


def test_copy(server: LocalRudderStack) -> None:
    """A copy has a client of its own, with its own settings."""
    with RudderStackResource(access_token="wrong-token", api_url=server.url) as resource:
        client = resource.get_client()
        copied = resource.model_copy(update={"access_token": TOKEN})

        assert copied.get_connection("crm").id == "crm"
        assert copied.get_client() is not client
        assert copy.deepcopy(resource).get_client() is not client
        copied.close()
        assert resource.get_client() is client

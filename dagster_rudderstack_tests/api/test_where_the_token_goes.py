"""The token goes to RudderStack's host only, and to no host that an answer names."""

import json
from collections.abc import Iterator

import httpx
import pytest

from dagster_rudderstack import RudderStackResource
from dagster_rudderstack.errors import RudderStackError
from dagster_rudderstack.testing import Fault, LocalRudderStack, SyncScript
from dagster_rudderstack_tests.api.recorder import Recorder, recorder

TOKEN = "rst-0123456789abcdefghij"
SYNCS = json.dumps({"syncs": [{"id": "../../sources/x/start?", "status": "running"}]})


@pytest.fixture
def elsewhere() -> Iterator[Recorder]:
    """A server that is not RudderStack."""
    with recorder() as made:
        yield made


@pytest.fixture
def server() -> Iterator[LocalRudderStack]:
    """A RudderStack with a connection."""
    with LocalRudderStack(TOKEN) as opened:
        opened.add_connection("crm", script=SyncScript(duration_seconds=0.2, rows_total=3))
        yield opened
        assert opened.errors == []


def resource_of(server: LocalRudderStack) -> RudderStackResource:
    return RudderStackResource(
        access_token=TOKEN,
        api_url=server.url,
        poll_min_interval_seconds=0.05,
        poll_max_interval_seconds=0.05,
        request_max_retries=0,
        start_settling_seconds=0,
        outage_tolerance_seconds=0,
    )


def test_the_recorder_records(elsewhere: Recorder) -> None:
    """The other server records what is sent to it."""
    httpx.get(f"{elsewhere.url}/x", headers={"authorization": TOKEN}, trust_env=False)

    assert len(elsewhere.seen) == 1
    assert TOKEN in elsewhere.seen[0]


def sync_and_stop(rudderstack: RudderStackResource) -> None:
    """Make every request that a sync can need."""
    rudderstack.sync_and_poll("crm")
    rudderstack.stop_sync("crm")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("operation", ["get_connection", "list_syncs", "start", "get_sync", "stop"])
def test_redirect(
    status: int, operation: str, server: LocalRudderStack, elsewhere: Recorder
) -> None:
    """No redirect of any request of a sync is followed."""
    fault = Fault(
        "redirect", operation=operation, status=status, location=f"{elsewhere.url}/v2", times=None
    )
    server.add_fault(fault)

    with resource_of(server) as rudderstack, pytest.raises(RudderStackError):
        sync_and_stop(rudderstack)

    assert any(request.fault == "redirect" for request in server.requests)
    assert elsewhere.seen == []


@pytest.mark.parametrize("scheme", ["http:", ""])
def test_next_page(scheme: str, server: LocalRudderStack, elsewhere: Recorder) -> None:
    """Only the query of the next page's address is used, so the host stays the same."""
    host = elsewhere.url.removeprefix("http:")
    following = f"{scheme}{host}/v2/retl-connections?page=2"
    server.add_fault(Fault("paging", operation="list_connections", next=following))

    with resource_of(server) as rudderstack:
        found = rudderstack.list_connections()

    assert [connection.id for connection in found] == ["crm"]
    assert [request.query.get("page") for request in server.requests] == [None, "2"]
    assert elsewhere.seen == []


def test_ids_of_a_server(server: LocalRudderStack, elsewhere: Recorder) -> None:
    """An id that would change the path of a request is refused."""
    server.add_fault(Fault("body", operation="list_syncs", body=SYNCS, times=None))
    server.add_fault(Fault("body", operation="start", body='{"syncId": "../x?"}', times=None))

    with resource_of(server) as rudderstack, pytest.raises(RudderStackError):
        rudderstack.sync_and_poll("crm")

    asked = {(request.method, request.path) for request in server.requests}
    assert asked <= {
        ("GET", "/v2/retl-connections/crm"),
        ("GET", "/v2/retl-connections/crm/syncs"),
        ("POST", "/v2/retl-connections/crm/start"),
    }
    assert elsewhere.seen == []

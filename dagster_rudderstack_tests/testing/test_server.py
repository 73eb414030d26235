"""The server: start and close, clock, request log, and many clients at once."""

import importlib
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import get_args

import httpx
import pytest

import dagster_rudderstack.testing as public
from dagster_rudderstack.testing import (
    Fault,
    FaultKind,
    LocalRudderStack,
    ManualClock,
    ScaledClock,
    SyncScript,
    UnknownIdError,
)
from dagster_rudderstack_tests.testing.conftest import ApiMaker


def test_public_names() -> None:
    """`__all__` is sorted, and all of its names exist."""
    assert public.__all__ == sorted(public.__all__)
    assert all(hasattr(public, name) for name in public.__all__)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, the error says how to install it."""
    monkeypatch.setitem(sys.modules, "starlette", None)
    monkeypatch.delitem(sys.modules, "dagster_rudderstack.testing")

    with pytest.raises(ImportError, match=r"pip install 'dagster-rudderstack\[testing\]>=2'"):
        importlib.import_module("dagster_rudderstack.testing")


def test_example_of_the_docstring(make_api: ApiMaker) -> None:
    """The example in the docstring of the package works."""
    with LocalRudderStack() as rudderstack:
        rudderstack.add_connection("crm", script=SyncScript(duration_seconds=2, rows_total=100))
        make_api(rudderstack).post("/retl-connections/crm/start")

        assert len(rudderstack.starts("crm")) == 1


def test_no_thread_is_left(make_api: ApiMaker) -> None:
    """Closing ends the thread at once, even if clients wait for answers."""
    before = set(threading.enumerate())
    with LocalRudderStack() as server:
        server.add_fault(Fault("slow", seconds=60))
        raw = make_api(server, checked=False)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(raw.get, "/destinations")
            while not server.requests:
                time.sleep(0.001)
            began = time.monotonic()
            server.close()
            with pytest.raises(httpx.TransportError):
                waiting.result()
    assert time.monotonic() - began < 5
    assert set(threading.enumerate()) == before


def test_latency__closing(make_api: ApiMaker) -> None:
    """The server closes at once despite a long latency."""
    server = LocalRudderStack(latency_seconds=60).start()
    raw = make_api(server, checked=False)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(raw.get, "/destinations")
        while not server.requests:
            time.sleep(0.001)
        server.close()
        with pytest.raises(httpx.TransportError):
            waiting.result()


def test_outage(make_api: ApiMaker) -> None:
    """A closed server refuses connections. It keeps its port and state for the next start."""
    server = LocalRudderStack()
    server.add_connection("crm")
    with server:
        url = server.url
        api = make_api(server)
        api.post("/retl-connections/crm/start")
    with pytest.raises(httpx.ConnectError):
        api.get("/retl-connections/crm")
    with server:
        assert server.url == url
        assert len(api.get("/retl-connections/crm/syncs").json()["syncs"]) == 1
        assert server.tcp_connections == 2


def test_start_twice(server: LocalRudderStack) -> None:
    """A running server cannot be started again."""
    with pytest.raises(RuntimeError, match="started already"):
        server.start()


def test_port_taken(server: LocalRudderStack) -> None:
    """A port in use is an error at the start."""
    port = int(server.url.rpartition(":")[2])

    with pytest.raises(OSError, match="in use"):
        LocalRudderStack(port=port).start()


def test_no_url_before_start() -> None:
    """There is no address before the start, unless a port is given."""
    with pytest.raises(RuntimeError, match="before it is started"):
        _ = LocalRudderStack().url


def test_repr(server: LocalRudderStack) -> None:
    """The repr shows the address and not the token."""
    assert repr(server) == f"LocalRudderStack({server.url})"
    assert repr(LocalRudderStack("secret")) == "LocalRudderStack(not started)"


@pytest.mark.parametrize("prefix", ["/proxy", "proxy/", "/a/b"])
def test_path_prefix(make_api: ApiMaker, prefix: str) -> None:
    """All paths are under the prefix."""
    with LocalRudderStack(path_prefix=prefix) as server:
        server.add_connection("crm")
        api = make_api(server)

        assert server.url.endswith("/" + prefix.strip("/"))
        assert api.get("/retl-connections/crm").status_code == 200
        assert server.requests[-1].path == "/v2/retl-connections/crm"
        root = server.url.replace(f"/{prefix.strip('/')}", "")
        assert api.get(f"{root}/v2/retl-connections/crm").status_code == 404
        assert server.requests[-1].operation == "unknown"


def test_ipv6(make_api: ApiMaker) -> None:
    """The server can listen on IPv6."""
    try:
        server = LocalRudderStack(host="::1").start()
    except OSError:
        pytest.skip("no IPv6 on this machine")
    with_brackets = server.url.startswith("http://[::1]:")
    answered = make_api(server).get("/destinations").status_code
    server.close()

    assert (with_brackets, answered) == (True, 200)


def test_clock_skew(make_api: ApiMaker) -> None:
    """All times and the Date header show the clock of the server, even if it is wrong."""
    with LocalRudderStack(clock=ScaledClock(skew_seconds=-300)) as server:
        server.add_connection("crm")
        api = make_api(server)
        started = api.post("/retl-connections/crm/start")
        sync = api.get(f"/retl-connections/crm/syncs/{started.json()['syncId']}").json()

    date = parsedate_to_datetime(started.headers["date"]).timestamp()
    assert date == pytest.approx(time.time() - 300, abs=10)
    assert sync["startedAt"].startswith(time.strftime("%Y-%m-%dT", time.gmtime(time.time() - 300)))
    assert len(started.headers.get_list("date")) == 1


def test_compressed_time(make_api: ApiMaker) -> None:
    """With a scaled clock, an hour takes 10 ms for server and client."""
    clock = ScaledClock(scale=360_000)
    with LocalRudderStack(clock=clock) as server:
        server.add_connection("crm", script=SyncScript(duration_seconds=3600))
        api = make_api(server)
        sync_id = api.post("/retl-connections/crm/start").json()["syncId"]
        clock.sleep(3600)
        sync = api.get(f"/retl-connections/crm/syncs/{sync_id}").json()

    assert sync["status"] == "succeeded"


def test_latency__wrong(server: LocalRudderStack) -> None:
    """An invalid latency is an error and does not change the current one."""
    server.latency_seconds = 0.25
    with pytest.raises(ValueError, match="latency_seconds must be 0 or more, not -1"):
        server.latency_seconds = -1

    assert server.latency_seconds == 0.25


def test_latency(server: LocalRudderStack, make_api: ApiMaker) -> None:
    """Requests wait for the latency in parallel."""
    server.latency_seconds = 0.4
    apis = [make_api(server) for _ in range(8)]
    began = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda api: api.get("/destinations"), apis))
    took = time.monotonic() - began

    assert {answer.status_code for answer in answers} == {200}
    assert took >= 0.4
    # On a busy machine, not all of them are sent at the same time.
    assert server.peak_concurrency > 1


def test_keep_alive(server: LocalRudderStack, api: httpx.Client) -> None:
    """The server counts the TCP connections of its clients."""
    for _ in range(5):
        api.get("/destinations")

    assert server.tcp_connections == 1
    assert len({request.client_port for request in server.requests}) == 1


def test_small_answers_are_quick(api: httpx.Client) -> None:
    """The body does not wait until the client acknowledges the head (40 ms on Linux)."""
    seconds = [api.get("/destinations").elapsed.total_seconds() for _ in range(20)]

    assert min(seconds[1:]) < 0.03


def test_ten_thousand_connections(server: LocalRudderStack, api: httpx.Client) -> None:
    """A workspace can have 10,000 connections, and each page of the list is complete."""
    for number in range(10_000):
        server.add_connection(f"c{number}", f"s{number % 300}", f"d{number % 200}")
    for page in (1, 50, 100):
        answer = api.get("/retl-connections", params={"pageSize": 100, "page": page})
        assert len(answer.json()["data"]) == 100
    assert api.get("/retl-connections?sourceId=s7").json()["paging"]["total"] == 34


def test_requests(server: LocalRudderStack, api: httpx.Client) -> None:
    """Each request is logged in full, without the token."""
    server.add_connection("crm", script=SyncScript(duration_seconds=100))
    api.post("/retl-connections/crm/start", json={"syncType": "full"}, headers={"x-a": "b"})
    api.get("/retl-connections/crm/syncs", params={"status": "running", "page": 1})
    api.post("/retl-connections/crm/stop", content=b"not json")
    api.get("/no%2Fwhere")

    start, syncs, stop, nowhere = server.requests
    (sync,) = server.syncs()

    assert (start.method, start.path) == ("POST", "/v2/retl-connections/crm/start")
    assert (start.operation, start.connection_id, start.sync_id) == ("start", "crm", sync.id)
    assert (start.body, start.status, start.fault) == ({"syncType": "full"}, 200, None)
    assert (start.headers["x-a"], start.headers["authorization"]) == ("b", "right")
    assert sync.sync_type == "full"
    assert (syncs.query, syncs.body) == ({"status": "running", "page": "1"}, None)
    assert (stop.status, stop.body, stop.affected) == (204, "not json", (sync.id,))
    assert (nowhere.operation, nowhere.path) == ("unknown", "/v2/no%2Fwhere")
    assert [request.number for request in server.requests] == [0, 1, 2, 3]
    assert start.at <= syncs.at
    assert server.access_token not in repr(server.requests)


def test_clear_requests(server: LocalRudderStack, api: httpx.Client) -> None:
    """The log can be cleared. The numbers continue."""
    api.get("/destinations")
    server.clear_requests()
    api.get("/destinations")

    assert [request.number for request in server.requests] == [1]


def test_reset(server: LocalRudderStack, api: httpx.Client) -> None:
    """A reset restores the state after the start, also the sequence of ids."""

    def fill() -> str:
        server.add_connection("crm")
        server.script_next("crm", SyncScript(), SyncScript(status="failed"))
        server.add_fault(Fault("status", operation="stop", times=None))
        server.deny("no", operation="stop")
        return server.start_sync("crm")

    first = fill()
    api.get("/retl-connections/crm")
    server.reset()

    assert (server.syncs(), server.requests) == ([], [])
    assert api.get("/retl-connections").json()["data"] == []
    assert api.post("/retl-connections/crm/stop").status_code == 404
    assert fill() == first


def test_unknown_connection(server: LocalRudderStack) -> None:
    """Scripting an unknown connection is an error."""
    with pytest.raises(UnknownIdError, match="unknown"):
        server.set_script("unknown", SyncScript())
    with pytest.raises(UnknownIdError, match="unknown"):
        server.script_next("unknown", SyncScript())
    with pytest.raises(UnknownIdError, match="unknown"):
        server.start_sync("unknown")


@pytest.fixture
def broken_server() -> Iterator[LocalRudderStack]:
    with LocalRudderStack(clock=ManualClock()) as server:
        # A set is not JSON.
        server.add_connection("crm", externalId={1, 2})
        yield server


def test_bug(broken_server: LocalRudderStack, make_api: ApiMaker) -> None:
    """A bug of the server is answered with 500 and listed in `errors`."""
    answer = make_api(broken_server, checked=False).get("/retl-connections/crm")

    assert answer.status_code == 500
    assert "Bug in the local RudderStack: TypeError" in answer.text
    assert "set is not JSON serializable" in broken_server.errors[0]
    assert broken_server.requests[0].status == 500


def test_everything_breaks(server: LocalRudderStack, make_api: ApiMaker) -> None:
    """Many clients and all faults of syncs at once: no request hangs, and the log is correct."""
    server.add_connection("crm", parallel_syncs=True)
    kinds = set(get_args(FaultKind)) - {"scheduled_run"}
    for kind in sorted(kinds):
        seconds = 0.01 if kind == "slow" else 0
        fault = Fault(kind, probability=0.08, effect=True, seconds=seconds, size_bytes=100_000)
        server.add_fault(fault)
    clients = [make_api(server, checked=False) for _ in range(8)]

    def is_lost(number: int) -> bool:
        try:
            clients[number % 8].post("/retl-connections/crm/start")
        except httpx.TransportError:
            return True
        return False

    with ThreadPoolExecutor(8) as pool:
        lost = sum(pool.map(is_lost, range(320)))

    cut = [request for request in server.requests if request.status is None]
    scheduled = [sync for sync in server.syncs() if sync.origin == "schedule"]
    assert len(server.starts("crm")) == 320
    assert len(server.syncs()) == 320 + len(scheduled)
    assert lost == len(cut) > 20
    assert {request.fault for request in server.requests} == {None, *kinds}


def test_many_threads(server: LocalRudderStack, make_api: ApiMaker) -> None:
    """Of many concurrent starts of one connection, one succeeds."""
    server.add_connection("crm", script=SyncScript(duration_seconds=1000))
    apis = [make_api(server) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda api: api.post("/retl-connections/crm/start"), apis))

    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    assert len(server.syncs()) == len(server.starts()) == 1

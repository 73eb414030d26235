"""What each kind of fault does to the client and to the workspace."""

import contextlib
import socket
import time
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx
import pytest

from dagster_rudderstack.testing import Fault, LocalRudderStack, SyncScript
from dagster_rudderstack_tests.testing.conftest import ApiMaker

START = "/retl-connections/crm/start"
CONNECTION = "/retl-connections/crm"


@pytest.fixture(autouse=True)
def _connection(server: LocalRudderStack) -> None:
    server.add_connection("crm", script=SyncScript(duration_seconds=1000))


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_status__server_error(server: LocalRudderStack, raw: httpx.Client, status: int) -> None:
    """A 5xx is the HTML page of a gateway."""
    server.add_fault(Fault("status", status=status))

    answer = raw.get(CONNECTION)

    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert f"<h1>{status} " in answer.text
    assert raw.get(CONNECTION).status_code == 200


@pytest.mark.parametrize("status", [401, 403, 404, 409, 418])
def test_status__client_error(server: LocalRudderStack, raw: httpx.Client, status: int) -> None:
    """A 4xx is JSON."""
    server.add_fault(Fault("status", status=status))

    answer = raw.get(CONNECTION)

    assert answer.status_code == status
    assert answer.json()["message"]


def test_status__body_and_headers(server: LocalRudderStack, raw: httpx.Client) -> None:
    """The body and the headers of an error can be set."""
    server.add_fault(Fault("status", status=500, body='{"error":"x"}', headers={"x-id": "7"}))
    server.add_fault(Fault("status", status=500, body="oops"))

    error, text = raw.get(CONNECTION), raw.get(CONNECTION)

    assert (error.json(), error.headers["x-id"]) == ({"error": "x"}, "7")
    assert error.headers["content-type"] == "application/json"
    assert text.text == "oops"


@pytest.mark.parametrize(
    ("fault", "header"),
    [
        (Fault("status", status=429), None),
        (Fault("status", status=429, retry_after=7), "7"),
        (Fault("status", status=429, retry_after=0.5), "0.5"),
        (Fault("status", status=429, retry_after=10**12), "1000000000000"),
        (Fault("status", status=429, retry_after="-1"), "-1"),
        (Fault("status", status=429, retry_after="soon"), "soon"),
    ],
)
def test_retry_after(
    server: LocalRudderStack, raw: httpx.Client, fault: Fault, header: str | None
) -> None:
    """A 429 has no Retry-After, a valid one, or an invalid one."""
    server.add_fault(fault)

    assert raw.get(CONNECTION).headers.get("retry-after") == header


def test_retry_after__date(server: LocalRudderStack, raw: httpx.Client) -> None:
    """Retry-After can be a date on the server's clock."""
    server.add_fault(Fault("status", status=429, retry_after=90, retry_after_as_date=True))

    answer = raw.get(CONNECTION)

    retry_at = parsedate_to_datetime(answer.headers["retry-after"])
    assert (retry_at - parsedate_to_datetime(answer.headers["date"])).total_seconds() == 90


def test_reset(server: LocalRudderStack, raw: httpx.Client) -> None:
    """The connection is reset before any answer."""
    server.add_fault(Fault("reset"))

    with pytest.raises(httpx.ReadError):
        raw.get(CONNECTION)

    assert server.requests[-1].status is None
    assert raw.get(CONNECTION).status_code == 200


def test_close(server: LocalRudderStack, raw: httpx.Client) -> None:
    """The connection is closed before any answer."""
    server.add_fault(Fault("close"))

    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        raw.get(CONNECTION)


def test_truncated(server: LocalRudderStack, raw: httpx.Client) -> None:
    """The answer ends before its Content-Length."""
    server.add_fault(Fault("truncated"))

    with pytest.raises(httpx.RemoteProtocolError, match=r"incomplete|without sending complete"):
        raw.get(CONNECTION)


def test_truncated__on_the_wire(server: LocalRudderStack) -> None:
    """Half of the correct answer is sent, with the length of the whole."""
    server.add_fault(Fault("truncated", effect=True))
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port)) as line:
        line.sendall(
            b"POST /v2/retl-connections/crm/start HTTP/1.1\r\nhost: localhost\r\n"
            b"authorization: Bearer test-token\r\ncontent-length: 0\r\n\r\n"
        )
        answer = b"".join(iter(lambda: line.recv(65536), b""))

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert f"content-length: {len(body) * 2}".encode() in head
    assert body == b'{"syncId":"' + server.syncs()[0].id[:9].encode()


def test_empty(server: LocalRudderStack, raw: httpx.Client) -> None:
    """The answer is 200 without a body."""
    server.add_fault(Fault("empty"))

    answer = raw.get(CONNECTION)

    assert (answer.status_code, answer.content) == (200, b"")


def test_wrong_type(server: LocalRudderStack, raw: httpx.Client) -> None:
    """The answer is 200 with a body of the wrong type: one of six, in turn."""
    server.add_fault(Fault("wrong_type", times=None))

    answers = [raw.get(CONNECTION) for _ in range(7)]

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 6
    assert sum("html" in answer.headers["content-type"] for answer in answers) == 1
    assert answers[0].text == answers[6].text


def test_wrong_type__given(server: LocalRudderStack, raw: httpx.Client) -> None:
    """The body of the wrong type can be set."""
    server.add_fault(Fault("wrong_type", body='{"syncId":5}'))

    assert raw.get(CONNECTION).json() == {"syncId": 5}


def test_body(server: LocalRudderStack, raw: httpx.Client) -> None:
    """The body and the content type of a 200 can be set."""
    server.add_fault(Fault("body", body="syncId=5", content_type="text/plain"))

    answer = raw.get(CONNECTION)

    assert (answer.status_code, answer.text) == (200, "syncId=5")
    assert answer.headers["content-type"] == "text/plain"


def test_huge(server: LocalRudderStack, raw: httpx.Client) -> None:
    """The body of an error can be large."""
    server.add_fault(Fault("huge", size_bytes=3_000_000))

    answer = raw.get(CONNECTION)

    assert (answer.status_code, len(answer.content)) == (500, 3_000_000)


def test_redirect(server: LocalRudderStack, raw: httpx.Client) -> None:
    """The answer can be a redirect."""
    server.add_fault(Fault("redirect", location="http://elsewhere.example/v2"))
    server.add_fault(Fault("redirect", status=302))

    first, second = raw.get(CONNECTION), raw.get(CONNECTION)

    assert (first.status_code, second.status_code) == (307, 302)
    assert first.headers["location"] == "http://elsewhere.example/v2"


def test_slow(server: LocalRudderStack, raw: httpx.Client) -> None:
    """The answer is late and correct."""
    server.add_fault(Fault("slow", seconds=0.05))
    began = time.monotonic()

    answer = raw.post(START)

    assert answer.status_code == 200
    assert time.monotonic() - began >= 0.05


@pytest.mark.parametrize("effect", [False, True])
def test_slow__client_disconnects(
    server: LocalRudderStack, raw: httpx.Client, effect: bool
) -> None:
    """If the client disconnects, a start takes effect only with `effect`."""
    server.add_fault(Fault("slow", seconds=30, effect=effect))

    with pytest.raises(httpx.ReadTimeout):
        raw.post(START, timeout=0.05)

    # The server notices the disconnect at once, not after 30 s.
    began = time.monotonic()
    while not server.requests or server._simulator.request_log._in_flight:
        assert time.monotonic() - began < 10
        time.sleep(0.01)
    assert len(server.starts("crm")) == effect
    assert server.requests[0].status is None


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", effect=True),
        Fault("status", status=401, effect=True),
        Fault("reset", effect=True),
        Fault("close", effect=True),
        Fault("truncated", effect=True),
        Fault("empty", effect=True),
        Fault("wrong_type", effect=True),
        Fault("body", body="{}", effect=True),
        Fault("huge", size_bytes=10, effect=True),
        Fault("redirect", effect=True),
        Fault("slow", seconds=0.01, effect=True),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status_code}",
)
def test_effect(server: LocalRudderStack, raw: httpx.Client, fault: Fault) -> None:
    """With `effect`, the request takes effect although its answer is lost, for each kind."""
    server.add_fault(fault)

    answered: int | None = None
    with contextlib.suppress(httpx.TransportError):
        answered = raw.post(START).status_code

    (start,) = server.starts("crm")
    (sync,) = server.syncs("crm")
    assert (start.took_effect, start.sync_id, start.fault) == (True, sync.id, fault.kind)
    assert start.status == answered
    assert raw.post(START).status_code == 409


@pytest.mark.parametrize("kind", ["status", "reset", "truncated", "empty", "redirect", "huge"])
def test_no_effect(server: LocalRudderStack, raw: httpx.Client, kind: str) -> None:
    """Without `effect`, the request has no effect."""
    server.add_fault(Fault(kind))  # type: ignore[arg-type]

    with contextlib.suppress(httpx.TransportError):
        raw.post(START)

    assert server.syncs() == []
    assert server.starts() == []
    assert raw.post(START).status_code == 200


def test_seconds(server: LocalRudderStack, raw: httpx.Client) -> None:
    """A fault of any kind can be delayed."""
    server.add_fault(Fault("status", seconds=0.05))
    began = time.monotonic()

    assert raw.get(CONNECTION).status_code == 503
    assert time.monotonic() - began >= 0.05


def test_scheduled_sync(server: LocalRudderStack, api: httpx.Client) -> None:
    """RudderStack's schedule can start a sync just before a request to start one."""
    server.add_fault(Fault("scheduled_sync", operation="start"))

    answer = api.post(START)

    assert answer.status_code == 409
    assert [sync.origin for sync in server.syncs("crm")] == ["schedule"]
    assert server.starts() == []


def test_scheduled_sync__parallel(server: LocalRudderStack, api: httpx.Client) -> None:
    """With parallel syncs, the scheduled sync and the requested sync both run."""
    server.update_connection("crm", parallel_syncs=True)
    script = SyncScript(duration_seconds=5)
    server.add_fault(Fault("scheduled_sync", operation="start", script=script))

    assert api.post(START).status_code == 200
    assert [sync.origin for sync in server.syncs("crm")] == ["schedule", "api"]


def test_scheduled_sync__while_one_runs(server: LocalRudderStack, api: httpx.Client) -> None:
    """The schedule does not start a sync while another one runs."""
    server.start_sync("crm", "dashboard")
    server.add_fault(Fault("scheduled_sync", operation="start"))

    assert api.post(START).status_code == 409
    assert [sync.origin for sync in server.syncs("crm")] == ["dashboard"]


def test_paging(server: LocalRudderStack, raw: httpx.Client) -> None:
    """The next page can be on another host, or the same page again."""
    fault = Fault("paging", operation="list_connections", next="https://evil.example/v2?page=2")
    server.add_fault(fault)
    server.add_fault(Fault("paging", operation="list_connections", times=None))

    first = raw.get("/retl-connections?pageSize=1").json()
    again = raw.get("/retl-connections?pageSize=1").json()

    assert first["paging"]["next"] == "https://evil.example/v2?page=2"
    assert again["paging"]["next"] == "/v2/retl-connections?pageSize=1"
    assert len(again["data"]) == 1


def test_paging__of_an_error(server: LocalRudderStack, raw: httpx.Client) -> None:
    """An error has no next page."""
    server.add_fault(Fault("paging"))

    assert raw.get("/retl-connections?page=0").status_code == 400


def test_unknown_path(server: LocalRudderStack, make_api: ApiMaker) -> None:
    """Faults hit requests for unknown paths as well."""
    server.add_fault(Fault("status", operation="unknown"))
    raw = make_api(server, checked=False)

    assert raw.get(CONNECTION).status_code == 200
    assert raw.get("/nowhere").status_code == 503


def test_clear_faults(server: LocalRudderStack, api: httpx.Client) -> None:
    """Without rules, requests succeed."""
    server.add_fault(Fault("status", times=None))
    server.clear_faults()

    assert api.get(CONNECTION).status_code == 200

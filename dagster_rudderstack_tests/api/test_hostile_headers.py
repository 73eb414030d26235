"""A server that repeats the token where httpx and httpcore log it."""

import gc
import io
import logging
import pickle
import traceback

import dagster as dg
import httpx
import pytest

from dagster_rudderstack import RudderStackResource, build_rudderstack_sync_asset
from dagster_rudderstack.api.client import ClientSettings, RudderStackClient
from dagster_rudderstack.api.redaction import LOGGERS
from dagster_rudderstack.errors import ApiError
from dagster_rudderstack_tests.api.raw_server import Cut, RawServer, client_of, exchange, http

TOKEN = "rst-0123456789abcdefghij"

HEADS = {
    "status": "HTTP/1.1 503 {token}\r\nContent-Length: 0",
    "header": "HTTP/1.1 503 No\r\nX-Echo: Bearer {token}\r\nContent-Length: 0",
    "name of a header": "HTTP/1.1 503 No\r\n{token}: 1\r\nContent-Length: 0",
    "cookie": "HTTP/1.1 503 No\r\nSet-Cookie: a={token}\r\nContent-Length: 0",
    "redirect": "HTTP/1.1 302 No\r\nLocation: http://{token}/\r\nContent-Length: 0",
    "Retry-After": "HTTP/1.1 429 No\r\nRetry-After: {token}\r\nContent-Length: 0",
    "encoding": "HTTP/1.1 200 OK\r\nContent-Encoding: {token}\r\nContent-Length: 2",
    "charset": "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset={token}\r\nContent-Length: 0",
    "no status": "HTTP/1.1 {token}",
    "no header": "HTTP/1.1 200 OK\r\nno header {token}",
    "length": "HTTP/1.1 200 OK\r\nContent-Length: {token}",
    "chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{token}",
}


@pytest.fixture(params=HEADS)
def answer(request: pytest.FixtureRequest) -> Cut:
    """An answer whose head contains the token."""
    return Cut(HEADS[request.param].format(token=TOKEN).encode() + b"\r\n\r\n")


def test_in_a_run(answer: Cut, logged: io.StringIO) -> None:
    """The token is in neither the log nor an event of the run, with all causes of its failure."""
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="crm")
    with RawServer(lambda _: answer) as server, dg.DagsterInstance.ephemeral() as instance:
        rudderstack = RudderStackResource(
            access_token=TOKEN, api_url=server.url, request_max_retries=0
        )
        result = dg.materialize(
            [asset],
            resources={"rudderstack": rudderstack},
            instance=instance,
            raise_on_error=False,
        )
        events = [dg.serialize_value(entry) for entry in instance.all_logs(result.run_id)]

    assert not result.success
    assert "send_request_headers" in logged.getvalue()
    assert "STEP_FAILURE" in "".join(events)
    assert TOKEN not in logged.getvalue()
    assert [event for event in events if TOKEN in event] == []


def test_outside_dagster(answer: Cut) -> None:
    """No way of printing the error shows the token, also with causes and local variables."""
    with (
        exchange(answer, access_token=TOKEN) as (_, client),
        pytest.raises(ApiError) as caught,
    ):
        client.get_connection("crm")

    error = caught.value
    assert error.__traceback__ is not None
    # Without the frame of this test, whose variables know the token.
    frames = error.__traceback__.tb_next
    printed = "".join(traceback.format_exception(type(error), error, frames))
    around = traceback.StackSummary.extract(traceback.walk_tb(frames), capture_locals=True)
    assert "get_connection" in printed
    assert TOKEN not in f"{printed} {error!r} {vars(error)}"
    assert TOKEN not in "".join(around.format())
    assert TOKEN.encode() not in pickle.dumps(error)


def test_harmless_causes_are_kept() -> None:
    """The httpx error of a broken answer is the cause, unless it contains the token."""
    with (
        exchange(Cut(b"HTTP/1.1 nonsense\r\n\r\n")) as (_, client),
        pytest.raises(ApiError) as caught,
    ):
        client.get_connection("crm")

    assert isinstance(caught.value.__cause__, httpx.RemoteProtocolError)


def test_other_lines(logged: io.StringIO) -> None:
    """Lines without the token are unchanged, and so are all lines after the client is closed."""
    log = logging.getLogger("httpx")
    with exchange(http(200, "{}"), access_token="of-this-client") as (server, client):
        client.stop_sync("crm")
        url = f"{server.url}/v2/retl-connections/crm/stop"
        log.info("open: %s", "of-this-client")
    log.info("closed: %s", "of-this-client")

    assert f'HTTP Request: POST {url} "HTTP/1.1 200 Words"\n' in logged.getvalue()
    assert "open: ***\n" in logged.getvalue()
    assert "closed: of-this-client\n" in logged.getvalue()


def test_two_clients(logged: io.StringIO) -> None:
    """When one client is closed, the token of the other one stays masked."""
    echo = http(200, "{}", {"X-Echo": TOKEN})
    with exchange(echo, access_token=TOKEN) as (server, client):
        with client_of(server.url, access_token=TOKEN) as other:
            other.stop_sync("crm")
        client.stop_sync("crm")

    assert "X-Echo" in logged.getvalue()
    assert TOKEN not in logged.getvalue()


def test_loggers() -> None:
    """Every logger of httpx and httpcore is in the list."""
    known = {name for name in logging.root.manager.loggerDict if name.startswith("httpcore.")}

    assert known
    assert known <= set(LOGGERS)


def test_a_collected_client_is_silent(logged: io.StringIO) -> None:
    """Closing a garbage-collected client logs nothing, since it may happen inside a log handler,
    which its own thread must not call again."""
    with RawServer(lambda _: http(200, "{}")) as server:
        client = RudderStackClient(ClientSettings(base_url=server.url, access_token=TOKEN))
        client.stop_sync("crm")
        assert "send_request_headers" in logged.getvalue()
        before = logged.getvalue()

        del client
        gc.collect()

        assert logged.getvalue() == before

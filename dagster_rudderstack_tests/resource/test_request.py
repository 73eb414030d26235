"""`RudderStackResource.request`: any request, with all that the other methods have."""

import json
import pickle
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import RudderStackResource
from dagster_rudderstack.api import responses, transport
from dagster_rudderstack.errors import (
    ApiError,
    AuthenticationError,
    InvalidSettingError,
    NotFoundError,
    StatusError,
    TransportError,
    UnexpectedResponseError,
)
from dagster_rudderstack.settings import SyncPolicy
from dagster_rudderstack.testing import Fault, LocalRudderStack
from dagster_rudderstack_tests.api.raw_server import (
    TOKEN,
    Answer,
    Cut,
    exchange,
    http,
    in_json,
)
from dagster_rudderstack_tests.resource.world import resource_for

UNSAFE = ("POST", "PUT", "PATCH", "DELETE")


class QuickResource(RudderStackResource):
    """A resource that waits for a hundredth of a second before a retry."""

    def sync_policy(self, choices: Any = None) -> SyncPolicy:  # noqa: D102
        policy = super().sync_policy(choices)
        retry = policy.retry.model_copy(update={"first_delay_seconds": 0.01})
        return policy.model_copy(update={"retry": retry})


@pytest.fixture
def quick(server: LocalRudderStack) -> RudderStackResource:
    """A resource that retries quickly."""
    return QuickResource(access_token=server.access_token, api_url=server.url)


def sent(server: LocalRudderStack) -> list[tuple[str, str]]:
    return [(request.method, request.path) for request in server.requests]


# --- what is sent, and what is returned


def test_get(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """A GET has the query, and returns the JSON of the answer."""
    with resource as rudderstack:
        answer = rudderstack.request(
            "get", "/retl-connections", params={"pageSize": 10, "page": 1, "sourceId": None}
        )

    assert [connection["id"] for connection in answer["data"]] == ["crm"]
    (request,) = server.requests
    assert (request.method, request.path) == ("GET", "/v2/retl-connections")
    assert request.query == {"pageSize": "10", "page": "1"}
    assert request.body is None
    assert request.headers["authorization"] == "right"


def test_head(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """A HEAD is sent, and its answer has no body."""
    server.add_fault(Fault("status", status=200, body="{}", method="HEAD"))
    with resource as rudderstack:
        assert rudderstack.request("HEAD", "/workspace") is None

    assert [request.method for request in server.requests] == ["HEAD"]


def test_post(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """A POST has the JSON as its body. An empty answer is None."""
    with resource as rudderstack:
        started = rudderstack.request(
            "POST", "/retl-connections/crm/start", json={"syncType": "full"}
        )
        stopped = rudderstack.request("POST", "/retl-connections/crm/stop")

    assert started == {"syncId": server.syncs("crm")[0].id}
    assert server.syncs("crm")[0].sync_type == "full"
    assert stopped is None
    assert [request.body for request in server.requests] == [{"syncType": "full"}, None]


@pytest.mark.parametrize(
    "content", [{}, [], [1, "a", None], "text", 0, 1.5, True, False, None, [[]], {"a": {"b": []}}]
)
def test_any_json(content: Any) -> None:
    """An answer may be any JSON."""
    with exchange(in_json(content)) as (_, client):
        assert client.request("GET", "/x") == content


@pytest.mark.parametrize("status", [200, 201, 202, 204])
@pytest.mark.parametrize("body", [b"", b" \r\n"])
def test_empty(status: int, body: bytes) -> None:
    """An empty answer with any 2xx is None."""
    with exchange(http(status, b"" if status == 204 else body)) as (_, client):
        assert client.request("PUT", "/x", json=[]) is None


def test_repeated_parameter() -> None:
    """A list repeats its parameter, and the order stays."""
    with exchange(in_json([])) as (server, client):
        client.request("GET", "/x", params={"b": ["1", 2], "a": "ä &"})

    assert server.targets[0] in (
        "GET /v2/x?b=1&b=2&a=%C3%A4+%26",
        "GET /v2/x?b=1&b=2&a=%C3%A4%20%26",
    )


@pytest.mark.parametrize("content", [{"a": "ü"}, [], 0, False, ""])
def test_body(content: Any) -> None:
    """The body is JSON, also if the value is false."""
    with exchange(in_json({})) as (server, client):
        client.request("PATCH", "/x", json=content)

    assert json.loads(server.seen[0].body) == content
    assert server.seen[0].headers["content-type"] == "application/json"


# --- retries


def outage(times: int, **fields: Any) -> Fault:
    return Fault("status", status=503, times=times, **fields)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_safe_method__retried(
    method: str, server: LocalRudderStack, quick: RudderStackResource
) -> None:
    """A safe request that fails twice is answered the third time."""
    server.add_fault(outage(2))
    server.add_fault(Fault("status", status=200, body="{}", method="HEAD"))
    with quick as rudderstack:
        rudderstack.request(method, "/retl-sources")

    assert sent(server) == [(method, "/v2/retl-sources")] * 3
    assert [request.status for request in server.requests] == [503, 503, 200]


@pytest.mark.parametrize("method", UNSAFE)
@pytest.mark.parametrize(
    "fault",
    [
        outage(9),
        Fault("status", status=429, times=9, retry_after=0),
        Fault("status", status=401, times=9),
        Fault("close", times=9),
        Fault("reset", times=9, effect=True),
        Fault("truncated", times=9, effect=True),
        Fault("redirect", times=9),
    ],
    ids=lambda fault: f"{fault.kind} {fault.status or ''}",
)
def test_unsafe_method__sent_once(
    method: str, fault: Fault, server: LocalRudderStack, quick: RudderStackResource
) -> None:
    """A request that may have an effect is sent once, however it fails."""
    server.add_fault(fault)
    with quick as rudderstack, pytest.raises(ApiError):
        rudderstack.request(method, "/retl-connections/crm/stop")

    assert sent(server) == [(method, "/v2/retl-connections/crm/stop")]


@pytest.mark.parametrize("method", ["POST", "post"])
def test_unsafe_method__unknown_effect(
    method: str, server: LocalRudderStack, quick: RudderStackResource
) -> None:
    """The error for a lost answer says that the request was sent, and may have had an effect."""
    server.add_fault(Fault("close", effect=True))
    with quick as rudderstack, pytest.raises(TransportError) as caught:
        rudderstack.request(method, "/retl-connections/crm/start", json={"syncType": "full"})

    assert caught.value.request_sent
    assert len(server.starts("crm")) == 1


def test_unreachable() -> None:
    """The error says if RudderStack certainly did not get the request."""
    resource = RudderStackResource(access_token="token", api_url="http://127.0.0.1:9")
    with resource as rudderstack, pytest.raises(TransportError) as caught:
        rudderstack.request("DELETE", "/retl-sources/s")

    assert not caught.value.request_sent


def test_settings(server: LocalRudderStack) -> None:
    """Retries follow the setting of the resource."""
    server.add_fault(outage(9))
    with (
        resource_for(server, request_max_retries=0) as rudderstack,
        pytest.raises(StatusError, match="503 to GET /workspace"),
    ):
        rudderstack.request("GET", "/workspace")

    assert len(server.requests) == 1


# --- errors


@pytest.mark.parametrize(
    "call",
    [
        lambda r: r.request("FETCH", "/retl-sources"),
        lambda r: r.request("GET", "retl-sources"),
        lambda r: r.request("GET", "/retl-sources?page=1"),
        lambda r: r.request("GET", "/retl-sources", params={"page": object()}),
        lambda r: r.request("GET", "/retl-sources", json={}),
        lambda r: r.request("POST", "/retl-sources", json=float("nan")),
        lambda r: r.request("POST", "/v2/retl-sources", json={}),
    ],
)
def test_invalid(
    call: Callable[[RudderStackResource], Any],
    server: LocalRudderStack,
    resource: RudderStackResource,
) -> None:
    """An invalid argument is an error, and nothing is sent."""
    with resource as rudderstack, pytest.raises(InvalidSettingError):
        call(rudderstack)

    assert server.requests == []


@pytest.mark.parametrize(
    ("status", "kind", "hint"),
    [
        (401, AuthenticationError, "right address (api_url)"),
        (403, StatusError, "may lack the permission for this request"),
        (404, NotFoundError, "Check the path and the ids in it"),
        (307, StatusError, "Redirects are not followed"),
        (422, StatusError, "RudderStack says: no."),
    ],
)
def test_status(status: int, kind: type[StatusError], hint: str) -> None:
    """A status is an error of the library, with RudderStack's words and a hint for any path."""
    with (
        exchange(in_json({"message": "no"}, status)) as (_, client),
        pytest.raises(
            kind, match=f"answered {status} to POST /retl-connections. .* no. ?"
        ) as caught,
    ):
        client.request("POST", "/retl-connections", json={})

    assert hint in str(caught.value)
    assert (caught.value.method, caught.value.path) == ("POST", "/retl-connections")
    assert caught.value.status_code == status
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301


def test_unknown_path(resource: RudderStackResource) -> None:
    """A path that the API does not have is an error that names it."""
    with resource as rudderstack, pytest.raises(NotFoundError, match="404 to GET /audiences"):
        rudderstack.request("GET", "/audiences")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (http(200, b"<html>hello</html>"), 'not JSON, but "hello"'),
        (http(201, b'{"a": "b'), "JSON that cannot be read"),
        (Cut(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"), "did not answer"),
    ],
)
def test_no_json(answer: Answer, message: str) -> None:
    """A 2xx answer that is not JSON is an error."""
    with exchange(answer) as (_, client), pytest.raises(ApiError, match=message):
        client.request("POST", "/x")


def test_secret_in_answer() -> None:
    """If an answer repeats the token, the result and the error show asterisks."""
    with exchange(in_json([{"a": TOKEN, "error": f"no {TOKEN}"}])) as (server, client):
        assert client.request("GET", "/x") == [{"a": "***", "error": "no ***"}]
        server.answer = lambda _: in_json({"message": TOKEN}, 500)
        with pytest.raises(StatusError, match=r"says: \*\*\*\."):
            client.request("POST", "/x")


def test_large_answer() -> None:
    """An answer may be as large as the largest list, since it may be a list."""
    large = ["x" * (transport.MAX_BYTES + 1)]
    with exchange(in_json(large)) as (server, client):
        assert client.request("GET", "/audiences") == large
        server.answer = lambda _: in_json("x" * transport.MAX_LIST_BYTES)
        with pytest.raises(UnexpectedResponseError, match="more than 16777216 bytes"):
            client.request("GET", "/audiences")
        server.answer = lambda _: http(200, "[" + "[]," * responses.MAX_VALUES + "0]")
        with pytest.raises(UnexpectedResponseError, match="more than 500000 values"):
            client.request("GET", "/audiences")


# --- in Dagster


def test_in_a_step(resource: RudderStackResource) -> None:
    """In a step it returns and raises as outside, as the other plain methods do."""
    found: list[Any] = []

    @dg.asset
    def sources(rudderstack: RudderStackResource) -> None:
        found.append(rudderstack.request("GET", "/retl-connections/crm")["id"])
        try:
            rudderstack.request("DELETE", "/retl-sources/unknown")
        except StatusError as error:
            found.append(type(error))

    assert dg.materialize([sources], resources={"rudderstack": resource}).success

    assert found == ["crm", StatusError]

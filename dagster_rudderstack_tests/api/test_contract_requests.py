"""The description allows every request that the client sends."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError
from werkzeug.datastructures import Headers, ImmutableMultiDict

from dagster_rudderstack.api.client import RudderStackClient
from dagster_rudderstack.api.fields import ApiModel
from dagster_rudderstack.api.profiles import ProfilesParameters
from dagster_rudderstack_tests.api.contract import DOCUMENT, OPENAPI
from dagster_rudderstack_tests.api.raw_server import (
    RawServer,
    Seen,
    client_of,
    connection,
    http,
    in_json,
)


class Request:
    """One request in the form that openapi-core expects."""

    def __init__(self, seen: Seen) -> None:
        url = urlsplit(seen.target)
        self.host_url = DOCUMENT["servers"][0]["url"].removesuffix("/v2")
        self.path = url.path
        self.full_url_pattern = f"{self.host_url}{url.path}"
        self.method = seen.method.lower()
        self.content_type = seen.headers.get("content-type", "application/json")
        self.body = seen.body or None
        self.parameters = RequestParameters(
            query=ImmutableMultiDict(_pairs(url.query)),
            header=Headers(dict(seen.headers)),
            cookie=ImmutableMultiDict(),
        )


def _pairs(query: str) -> list[tuple[str, str]]:
    return parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))


def known_parameters(seen: Seen) -> set[str]:
    """The documented query parameters of the endpoint of a request."""
    segments = urlsplit(seen.target).path.removeprefix("/v2/").split("/")
    for path, methods in DOCUMENT["paths"].items():
        template = path.strip("/").split("/")
        pairs = zip(template, segments, strict=False)
        if len(template) == len(segments) and all(a == b or a[0] == "{" for a, b in pairs):
            parameters = methods[seen.method.lower()].get("parameters", [])
            return {each.get("name", "") for each in parameters if each.get("in") == "query"}
    raise AssertionError(seen.target)


def check(seen: Seen) -> None:
    """Fail if the description does not allow a request."""
    OPENAPI.validate_request(Request(seen))
    assert {name for name, _ in _pairs(urlsplit(seen.target).query)} <= known_parameters(seen)
    assert seen.headers["authorization"].startswith("Bearer ")


SYNC = {"id": "s1", "status": "running"}
PAGE = {"paging": {"next": "?page=2"}}
ANSWERS: dict[str, Any] = {
    "start": {"syncId": "s1", "runId": "r1"},
    "status": {"status": "running", "id": "r1"},
    "syncs": {"syncs": [SYNC], **PAGE},
    "s1": SYNC,
    "workspace": {"workspace": {"id": "w", "name": "n"}},
    "retl-connections": {"data": [connection()], **PAGE},
    "retl-sources": {"data": [{"id": "a", "name": "n", "sourceType": "table"}], **PAGE},
    "destinations": {"destinations": [{"id": "a", "name": "n", "type": "X"}], **PAGE},
}


def answer(seen: Seen) -> bytes:
    """Answer any request by the last part of its path."""
    last = urlsplit(seen.target).path.rsplit("/", 1)[1]
    return http(204) if last == "stop" else in_json(ANSWERS.get(last, connection()))


PARAMETERS = ProfilesParameters(["models/a"], begin_time="2026-01-05T10:00:00Z")
NOW = datetime(2026, 1, 5, 10, tzinfo=timezone(timedelta(hours=5, minutes=30)))
CALLS: list[Callable[[RudderStackClient], object]] = [
    lambda c: c.start_sync("crm"),
    lambda c: c.start_sync("crm", "full"),
    lambda c: c.start_sync("crm", "incremental"),
    lambda c: c.stop_sync("crm"),
    lambda c: c.get_sync("crm", "s1"),
    lambda c: c.list_syncs("crm"),
    lambda c: c.list_syncs("crm", status="running", per_page=25, limit=25),
    lambda c: c.list_syncs("crm", started_after=NOW, started_before=NOW, limit=1),
    lambda c: c.get_workspace(),
    lambda c: c.get_connection("crm"),
    lambda c: c.list_connections(),
    lambda c: c.list_connections(source_id="a", destination_id="b"),
    lambda c: c.list_sources(),
    lambda c: c.list_destinations(),
    lambda c: c.start_source_run("prj"),
    lambda c: c.start_source_run("prj", PARAMETERS.to_api()),
    lambda c: c.get_source_run("prj", "r1"),
    lambda c: c.get_newest_source_run("prj"),
]


@pytest.mark.parametrize("number", range(len(CALLS)))
def test_request(number: int) -> None:
    """Method, path, query, headers and body are as described, on every page."""
    with RawServer(answer) as server, client_of(server.url) as client:
        CALLS[number](client)

    assert server.seen
    for seen in server.seen:
        check(seen)


# As hypothesis wants them: it puts the zone to them.
TIMES = (datetime(1970, 1, 2), datetime(9990, 1, 1))  # noqa: DTZ001


def test_request__any_filter() -> None:
    """Requests with any filter that the client accepts are as described."""
    moments = st.none() | st.datetimes(*TIMES) | st.datetimes(*TIMES, timezones=st.timezones())
    with RawServer(answer) as server, client_of(server.url) as client:

        @settings(max_examples=100)
        @given(
            status=st.sampled_from([None, "running", "succeeded", "failed"]),
            started_after=moments,
            started_before=moments,
            per_page=st.integers(1, 100),
            limit=st.none() | st.integers(1, 500),
        )
        def holds(**filters: Any) -> None:
            server.seen.clear()
            client.list_syncs("crm", **filters)
            for seen in server.seen:
                check(seen)

        holds()


def test_check__can_fail() -> None:
    """The check refuses a request that is not described."""
    good = Seen("POST", "/v2/retl-connections/crm/start", {"authorization": "Bearer x"}, b"{}", 0)
    check(good)
    body = json.dumps({"syncType": "everything"}).encode()
    bad = [
        Seen("POST", good.target, good.headers, body, 0),
        Seen("DELETE", good.target, good.headers, b"", 0),
        Seen("GET", "/v2/retl-connections?pageSize=1000", good.headers, b"", 0),
        Seen("GET", "/v2/retl-connections?page_size=10", good.headers, b"", 0),
        Seen("GET", "/v2/retl-connections/crm/syncs?status=done", good.headers, b"", 0),
        Seen("GET", "/v2/retl-connections/crm/syncs?started_after=now", good.headers, b"", 0),
        Seen("POST", "/v2/sources/prj/start", good.headers, b'{"parameters": "x"}', 0),
        Seen("GET", "/v2/sources/prj/runs", good.headers, b"", 0),
        Seen("GET", "/v2/nowhere", good.headers, b"", 0),
        Seen("GET", "/v2/retl-connections", {}, b"", 0),
    ]
    for seen in bad:
        with pytest.raises((OpenAPIError, AssertionError, KeyError)):
            check(seen)


def test_no_model_is_sent() -> None:
    """Requests hold only ids, filters, a sync type and parameters, and no data from an answer."""
    with RawServer(answer) as server, client_of(server.url) as client:
        for call in CALLS:
            result = call(client)
            assert result is None or isinstance(result, (str, list, ApiModel))

    bodies = [json.loads(seen.body) for seen in server.seen if seen.body]
    allowed = [
        {},
        {"syncType": "full"},
        {"syncType": "incremental"},
        {"parameters": list(PARAMETERS.to_api())},
    ]
    assert bodies
    assert [body for body in bodies if body not in allowed] == []

"""For any bytes of an answer, a call returns or raises an error of the library."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dagster_rudderstack.api.client import RudderStackClient
from dagster_rudderstack.errors import ApiError
from dagster_rudderstack_tests.api.raw_server import Cut, RawServer, client_of, http

HEADER_NAMES = st.sampled_from(
    [
        "Content-Type",
        "Content-Encoding",
        "Transfer-Encoding",
        "Connection",
        "Location",
        "Retry-After",
        "Date",
        "Set-Cookie",
        "WWW-Authenticate",
        "Content-Length",
    ]
)
HEADER_VALUES = st.one_of(
    st.sampled_from(
        ["gzip", "chunked", "close", "application/json; charset=utf-7", "//", "0", "-1"]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40),
)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=12,
)
KEYS = ("id", "syncId", "status", "data", "syncs", "paging", "next", "error", "message", "metrics")
NEAR_MISS = st.dictionaries(st.sampled_from(KEYS), ANY_JSON, max_size=5)
BODIES = st.one_of(
    st.binary(max_size=200), (ANY_JSON | NEAR_MISS).map(lambda v: json.dumps(v).encode())
)
ANSWERS = st.one_of(
    st.binary(max_size=200),
    st.builds(http, st.integers(200, 599), BODIES, st.dictionaries(HEADER_NAMES, HEADER_VALUES)),
).map(Cut)


def call_everything(client: RudderStackClient) -> list[ApiError]:
    """Call every method, and return the errors."""
    calls: list[Any] = [
        lambda: client.start_sync("crm", "full"),
        lambda: client.stop_sync("crm"),
        lambda: client.get_sync("crm", "s1"),
        lambda: client.list_syncs("crm", limit=300),
        lambda: client.get_connection("crm"),
        client.get_workspace,
        client.list_connections,
        client.list_sources,
        client.list_destinations,
        lambda: client.request("GET", "/x"),
        lambda: client.request("POST", "/x", json={}),
    ]
    errors = []
    for call in calls:
        try:
            call()
        except ApiError as error:
            errors.append(error)
    return errors


def test_any_answer() -> None:
    """For any answer, well-formed or not, a call raises only errors of the library."""
    with (
        RawServer(lambda _: Cut()) as server,
        client_of(server.url, read_timeout_seconds=2) as client,
    ):

        @settings(max_examples=150)
        @given(ANSWERS)
        def holds(answer: Cut) -> None:
            server.answer = lambda _: answer
            for error in call_everything(client):
                assert str(error).isprintable()
                assert len(str(error)) < 1_500

        holds()

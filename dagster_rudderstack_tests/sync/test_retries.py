"""One retry policy for every request that is safe to repeat; a start is never simply repeated."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dagster_rudderstack.api.client import RudderStackClient
from dagster_rudderstack.errors import (
    ApiError,
    AuthenticationError,
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
    StatusError,
    UnexpectedResponseError,
)
from dagster_rudderstack.resource import RudderStackResource
from dagster_rudderstack.settings import RetryPolicy
from dagster_rudderstack.sync.retry import call_with_retries
from dagster_rudderstack.testing import Fault, LocalRudderStack
from dagster_rudderstack_tests.api.raw_server import (
    TOKEN,
    Answer,
    Cut,
    connection,
    exchange,
    http,
    in_json,
)

GOOD = in_json(connection())
LOG = logging.getLogger("retries")


def tried(
    answers: list[Answer], *, max_retries: int = 6, jitter: float = 0.0
) -> tuple[object, list[float], int]:
    """Ask for a connection with retries: what came out, the waits, and how often was asked."""
    waits: list[float] = []
    left = iter(answers)
    policy = RetryPolicy(request_max_retries=max_retries)
    with exchange(lambda _: next(left, GOOD), read_timeout_seconds=0.3) as (server, client):

        def ask() -> str:
            return client.get_connection("crm").id

        outcome: object
        try:
            outcome = call_with_retries(ask, policy, LOG, sleep=waits.append, jitter=lambda: jitter)
        except ApiError as error:
            outcome = type(error)
        return outcome, waits, len(server.seen)


@pytest.mark.parametrize(
    "trouble",
    [
        http(500, "<html>down</html>"),
        http(502),
        http(503),
        http(504),
        http(408),
        http(429),
        http(200, ""),
        http(200, "<html>maintenance</html>"),
        in_json([]),
        Cut(),
        Cut(reset=True),
        Cut(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"),
        b"",
    ],
    ids=lambda answer: repr(answer)[:50],
)
def test_passing(trouble: Answer, caplog: pytest.LogCaptureFixture) -> None:
    """What may pass by itself is tried again, and each wait is told with its reason."""
    retry_after_429 = trouble == http(429)
    outcome, waits, asked = tried([trouble, trouble] if not retry_after_429 else [trouble])

    assert outcome == "crm"
    assert waits == ([1, 2] if not retry_after_429 else [1])
    assert asked == len(waits) + 1
    assert len(caplog.messages) == len(waits)
    assert all("Trying again in" in message for message in caplog.messages)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, StatusError),
        (401, AuthenticationError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (409, ConflictError),
        (302, StatusError),
    ],
)
def test_final(status: int, kind: type[ApiError]) -> None:
    """What nobody but a person can mend is told at once."""
    assert tried([http(status)] * 3) == (kind, [], 1)


def test_given_up() -> None:
    """The number of tries is bounded, and the last error comes out."""
    assert tried([http(200, "")] * 20, max_retries=3) == (UnexpectedResponseError, [1, 2, 4], 4)
    assert tried([http(503)] * 20, max_retries=0) == (StatusError, [], 1)


def test_retry_after() -> None:
    """What the server asks for is waited, if it is longer than our own wait, and not absurd."""
    answers: list[Answer] = [
        http(503, "", {"Retry-After": "17"}),
        http(503, "", {"Retry-After": "0"}),
        http(503, "", {"Retry-After": "86400"}),
    ]

    assert tried(answers) == ("crm", [17, 2, 120], 4)


def test_jitter() -> None:
    """Jitter shortens the waits of many clients by different parts."""
    assert tried([http(503)] * 3, jitter=1.0)[1] == [0.75, 1.5, 3]


@pytest.fixture
def quick(local_rudderstack: LocalRudderStack) -> Iterator[RudderStackResource]:
    """A resource with one retry."""
    local_rudderstack.add_connection("crm")
    with RudderStackResource(
        access_token=local_rudderstack.access_token,
        api_url=local_rudderstack.url,
        request_max_retries=1,
    ) as resource:
        yield resource


@pytest.mark.parametrize(
    ("operation", "call"),
    [
        ("get_connection", lambda r: r.get_connection("crm")),
        ("list_connections", lambda r: r.list_connections()),
        ("list_syncs", lambda r: r.list_syncs("crm")),
        ("stop", lambda r: r.stop_sync("crm")),
    ],
)
def test_resource__repeats_safe_requests(
    operation: str,
    call: Callable[[RudderStackResource], Any],
    quick: RudderStackResource,
    local_rudderstack: LocalRudderStack,
) -> None:
    """The resource's methods repeat what is safe to repeat."""
    local_rudderstack.add_fault(Fault("status", operation=operation, status=502))
    call(quick)

    assert [(each.operation, each.status) for each in local_rudderstack.requests] == [
        (operation, 502),
        (operation, 204 if operation == "stop" else 200),
    ]


@pytest.mark.parametrize("fault", [Fault("status", status=502), Fault("reset"), Fault("empty")])
def test_resource__never_repeats_a_start(
    fault: Fault, quick: RudderStackResource, local_rudderstack: LocalRudderStack
) -> None:
    """A start whose answer is lost is sent once; the caller learns that it may have begun."""
    local_rudderstack.add_fault(fault)

    with pytest.raises(ApiError):
        quick.start_sync("crm")
    assert [each.operation for each in local_rudderstack.requests] == ["start"]


def test_client__repeats_nothing() -> None:
    """The client itself sends each request once."""

    def call(client: RudderStackClient) -> None:
        client.get_connection("crm")

    with exchange(http(503)) as (server, client), pytest.raises(StatusError):
        call(client)
    assert len(server.seen) == 1


def test_token_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A server that repeats the token does not get it into the log of retries."""
    caplog.set_level(logging.DEBUG)
    tried([http(503, f"bad token {TOKEN}")])

    assert "Trying again" in caplog.text
    assert TOKEN not in caplog.text

"""Every request that is safe to repeat is retried with the same policy. A start is sent once."""

import logging
from collections.abc import Callable, Iterator, Sequence
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


def get_with_retries(
    answers: Sequence[Answer], *, max_retries: int = 6, jitter: float = 0.0
) -> tuple[object, list[float], int]:
    """Get a connection with retries. Return its id or the type of the error, the waits, and the
    number of requests."""
    waits: list[float] = []
    left = iter(answers)
    policy = RetryPolicy(request_max_retries=max_retries)
    with exchange(lambda _: next(left, GOOD), read_timeout_seconds=0.3) as (server, client):

        def get() -> str:
            return client.get_connection("crm").id

        outcome: object
        try:
            outcome = call_with_retries(get, policy, LOG, sleep=waits.append, jitter=lambda: jitter)
        except ApiError as error:
            outcome = type(error)
        return outcome, waits, len(server.seen)


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(http(500, "<html>down</html>"), id="500"),
        pytest.param(http(502), id="502"),
        pytest.param(http(503), id="503"),
        pytest.param(http(504), id="504"),
        pytest.param(http(408), id="408"),
        pytest.param(http(429), id="429"),
        pytest.param(http(200, ""), id="empty"),
        pytest.param(http(200, "<html>maintenance</html>"), id="html"),
        pytest.param(in_json([]), id="json_list"),
        pytest.param(Cut(), id="closed"),
        pytest.param(Cut(reset=True), id="reset"),
        pytest.param(Cut(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"), id="truncated"),
        pytest.param(b"", id="no_answer"),
    ],
)
def test_retry__transient_error(failure: Answer, caplog: pytest.LogCaptureFixture) -> None:
    """A transient error is retried, and each wait is logged."""
    is_429 = failure == http(429)
    outcome, waits, requests = get_with_retries([failure] if is_429 else [failure, failure])

    assert outcome == "crm"
    assert waits == ([1] if is_429 else [1, 2])
    assert requests == len(waits) + 1
    # Another test may have set the level of all logs.
    logged = [each.getMessage() for each in caplog.records if each.name == LOG.name]
    assert len(logged) == len(waits)
    assert all("Trying again in" in message for message in logged)


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
def test_retry__permanent_error(status: int, kind: type[ApiError]) -> None:
    """An error that only a person can fix is raised after one request."""
    assert get_with_retries([http(status)] * 3) == (kind, [], 1)


def test_retry__used_up() -> None:
    """After `request_max_retries` retries, the last error is raised."""
    empty, down = [http(200, "")] * 20, [http(503)] * 20

    assert get_with_retries(empty, max_retries=3) == (UnexpectedResponseError, [1, 2, 4], 4)
    assert get_with_retries(down, max_retries=0) == (StatusError, [], 1)


def test_retry__wrong_address() -> None:
    """A web page instead of JSON is final after 3 s, since api_url may be wrong."""
    pages = [http(200, "<html>Please log in</html>")] * 20

    assert get_with_retries(pages) == (UnexpectedResponseError, [1, 2], 3)
    assert get_with_retries(pages, max_retries=0) == (UnexpectedResponseError, [], 1)


def test_retry__web_pages_among_other_errors() -> None:
    """A web page among other errors, as of a gateway that starts, is retried like them."""
    page, down = http(200, "<html>Starting</html>"), http(503)

    assert get_with_retries([page, page, down, page, page, down])[0] == "crm"


def test_retry_after() -> None:
    """`Retry-After` is obeyed if it is longer than the normal wait, up to 120 s."""
    answers = [
        http(503, "", {"Retry-After": "17"}),
        http(503, "", {"Retry-After": "0"}),
        http(503, "", {"Retry-After": "86400"}),
    ]

    assert get_with_retries(answers) == ("crm", [17, 2, 120], 4)


def test_jitter() -> None:
    """The jitter shortens each wait by up to a quarter."""
    assert get_with_retries([http(503)] * 3, jitter=1.0)[1] == [0.75, 1.5, 3]


@pytest.fixture
def one_retry(local_rudderstack: LocalRudderStack) -> Iterator[RudderStackResource]:
    """A resource that retries a request once."""
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
    ids=["get_connection", "list_connections", "list_syncs", "stop"],
)
def test_resource__retries_safe_requests(
    operation: str,
    call: Callable[[RudderStackResource], Any],
    one_retry: RudderStackResource,
    local_rudderstack: LocalRudderStack,
) -> None:
    """Each method of the resource that is safe to repeat is retried."""
    local_rudderstack.add_fault(Fault("status", operation=operation, status=502))
    call(one_retry)

    assert [(each.operation, each.status) for each in local_rudderstack.requests] == [
        (operation, 502),
        (operation, 204 if operation == "stop" else 200),
    ]


@pytest.mark.parametrize(
    "fault",
    [Fault("status", status=502), Fault("reset"), Fault("empty")],
    ids=["502", "reset", "empty"],
)
def test_resource__start_is_not_retried(
    fault: Fault, one_retry: RudderStackResource, local_rudderstack: LocalRudderStack
) -> None:
    """A start whose answer is lost is sent once, and the caller gets the error."""
    local_rudderstack.add_fault(fault)

    with pytest.raises(ApiError):
        one_retry.start_sync("crm")
    assert [each.operation for each in local_rudderstack.requests] == ["start"]


def test_client__does_not_retry() -> None:
    """The client sends each request once."""

    def call(client: RudderStackClient) -> None:
        client.get_connection("crm")

    with exchange(http(503)) as (server, client), pytest.raises(StatusError):
        call(client)
    assert len(server.seen) == 1


def test_log__masks_the_token(caplog: pytest.LogCaptureFixture) -> None:
    """If an error of the server contains the token, the log of the retries does not."""
    caplog.set_level(logging.DEBUG)
    get_with_retries([http(503, f"bad token {TOKEN}")])

    assert "Trying again" in caplog.text
    assert TOKEN not in caplog.text

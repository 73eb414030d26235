"""Every failed request raises an error of the library, which says what to do."""

import json
import re
import socket
import time
import traceback
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from unittest.mock import Mock

import httpx
import pytest

from dagster_rudderstack.api import transport as transport_module
from dagster_rudderstack.api.client import ClientSettings, RudderStackClient
from dagster_rudderstack.api.responses import hint_of
from dagster_rudderstack.api.throttle import Throttle
from dagster_rudderstack.errors import (
    ApiError,
    AuthenticationError,
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    StatusError,
    TransportError,
    UnexpectedResponseError,
)
from dagster_rudderstack.settings import RequestPolicy
from dagster_rudderstack.testing import ManualClock
from dagster_rudderstack_tests.api.raw_server import (
    TOKEN,
    Answer,
    Cut,
    RawServer,
    client_of,
    connection,
    exchange,
    http,
    in_json,
)

BAD_GATEWAY = "<html><head><title>502</title></head><body><h1>502 Bad Gateway</h1></body></html>"


def error_of(answer: Answer, *, post: bool = False, timeout: float = 10.0) -> ApiError:
    """Return the error that an answer raises."""
    with (
        exchange(answer, read_timeout_seconds=timeout) as (_, client),
        pytest.raises(ApiError) as caught,
    ):
        client.start_sync("crm") if post else client.get_connection("crm")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1_000
    return caught.value


# --- statuses


@pytest.mark.parametrize(
    ("status", "kind", "hint"),
    [
        (400, StatusError, ""),
        (401, AuthenticationError, "right address (api_url)"),
        (403, PermissionDeniedError, "needs Edit and Connect for"),
        (404, NotFoundError, "Check the id"),
        (405, StatusError, ""),
        (408, StatusError, ""),
        (409, ConflictError, ""),
        (418, StatusError, ""),
        (429, RateLimitedError, ""),
        (500, StatusError, ""),
        (502, StatusError, ""),
        (503, StatusError, ""),
        (599, StatusError, ""),
    ],
)
def test_status(status: int, kind: type[StatusError], hint: str) -> None:
    """Each status that needs its own reaction has a class. The message has the server's words."""
    error = error_of(in_json({"message": "not today"}, status))

    assert type(error) is kind
    assert isinstance(error, StatusError)
    assert (error.status_code, error.detail) == (status, "not today")
    assert (error.method, error.path) == ("GET", "/retl-connections/crm")
    assert str(error).startswith(
        f"RudderStack answered {status} to GET /retl-connections/crm. RudderStack says: not today."
    )
    assert hint in str(error)


@pytest.mark.parametrize("host", ["api.rudderstack.com", "api.eu.rudderstack.com"])
def test_status__hint_of_the_region(host: str) -> None:
    """The error for a token that RudderStack's own host refuses says that it may be of another
    region."""
    assert hint_of(401, host, "object") == (
        f"{host} did not accept the access token. It may be wrong or revoked: use a service access "
        "token of the workspace that owns the connection. Check also the region: a token of the US "
        "region does not work on the EU host, and vice versa."
    )


def test_status__hint_of_a_list() -> None:
    """The error for a list that does not exist advises once to check api_url."""
    assert hint_of(404, "127.0.0.1", "list").count("api_url") == 1


@pytest.mark.parametrize("status", [403, 405])
def test_status__web_page(status: int) -> None:
    """A web page that refuses, as of a proxy, says nothing about the token: api_url may be
    wrong."""
    error = error_of(http(status, "<html>Please log in</html>"))

    assert error.is_web_page
    assert "answered with a web page" in str(error)
    assert "check api_url" in str(error)
    assert "permission" not in str(error)


def test_status__hint_names_the_host() -> None:
    """The error for a refused token names the host, since a token is valid in one region."""
    with exchange(http(401)) as (server, client), pytest.raises(AuthenticationError) as caught:
        client.get_connection("crm")

    assert f"127.0.0.1:{server.port}" in str(caught.value)
    assert "service access token of the workspace" in str(caught.value)


@pytest.mark.parametrize("status", [400, 401, 404, 409, 429, 502])
@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", ""),
        (b"no healthy upstream", "no healthy upstream"),
        (BAD_GATEWAY.encode(), "502 Bad Gateway"),
        (b'{"error": {"message": "m", "code": 1}}', "m"),
        ("größer".encode("latin-1"), "gr\ufffd\ufffder"),
        (b"\xef\xbb\xbf" + b'{"error": "with a byte order mark"}', "with a byte order mark"),
        (b"a\x00b\x1b[31mc\r\nd", "a b [31mc d"),
        (b"[" * 60_000, ""),
    ],
)
def test_status__bodies(status: int, body: bytes, detail: str) -> None:
    """The status decides for every body. The message of the body is shown if there is one."""
    error = error_of(http(status, body))

    assert isinstance(error, StatusError)
    assert (error.status_code, error.detail) == (status, detail)


@pytest.mark.parametrize(
    "answer",
    [
        Cut(b"HTTP/1.1 404 Not Found\r\nContent-Length: 500\r\n\r\nnot f"),
        Cut(b"HTTP/1.1 404 Not Found\r\nContent-Length: 500\r\n\r\nnot f", reset=True),
        Cut(b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nnot f\r\nzz"),
        http(404, b"not gzip", {"Content-Encoding": "gzip"}),
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 500\r\n\r\nnever comes",
    ],
    ids=["cut", "reset", "bad chunk", "bad gzip", "stuck"],
)
def test_status__unreadable_body(answer: Answer) -> None:
    """An unreadable body of an error does not hide the status."""
    error = error_of(answer, timeout=0.3)

    assert type(error) is NotFoundError


def test_status__huge_body() -> None:
    """Only the beginning of an error's body of 10 MB is read."""
    began = time.process_time()
    error = error_of(http(500, b'{"message": "' + b"x" * 10_000_000 + b'"}'))

    assert isinstance(error, StatusError)
    assert len(error.detail) == 500
    assert time.process_time() - began < 5


# --- redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("post", [False, True])
def test_redirect(status: int, post: bool) -> None:
    """A redirect is not followed: no request, and no token, reaches its target."""
    with RawServer(lambda _: in_json({**connection(), "syncId": "s1"})) as target:
        error = error_of(http(status, "", {"Location": f"{target.url}/v2/x"}), post=post)

    assert target.seen == []
    assert target.accepted == 0
    assert isinstance(error, StatusError)
    assert error.status_code == status
    assert "Redirects are not followed" in str(error)


@pytest.mark.parametrize(
    "location", ["", "http://[", "\x7f", "//", "/v2" * 20_000, "é", "javascript:1"]
)
def test_redirect__hostile_location(location: str) -> None:
    """A redirect to an invalid URL is not followed either."""
    assert isinstance(error_of(http(302, "", {"Location": location})), ApiError)


# --- answers of 2xx that are none


CREDENTIALS = b'{"destinations":[{"config":{"apiKey":"s3cr3t"},"id":"d","name":"CRM"}]}'


@pytest.mark.parametrize(
    "body",
    [
        CREDENTIALS[:60],
        CREDENTIALS + b" x",
        CREDENTIALS.replace(b"CRM", b"C\nRM"),
        CREDENTIALS.replace(b"CRM", b"C\xffRM"),
        b"[" + CREDENTIALS + b"]",
        b"\xef\xbb\xbf" + CREDENTIALS + b",",
        b")]}'," + CREDENTIALS,
    ],
    ids=["cut", "more", "line break", "not UTF-8", "in a list", "byte order mark", "prefix"],
)
@pytest.mark.parametrize("status", [200, 302, 403, 500])
def test_credentials(body: bytes, status: int) -> None:
    """The settings of a destination are in no error, also if the answer is broken."""
    error = error_of(http(status, body))

    shown = "".join(traceback.format_exception(error))
    assert "s3cr3t" not in shown + repr(vars(error))


def test_credentials__broken_chunks() -> None:
    """Neither are they if the HTTP is broken."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    error = error_of(Cut(head + b"5\r\n" + CREDENTIALS[:5] + b"\r\n" + CREDENTIALS[5:] + b"\r\n"))

    assert "s3cr3t" not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize("post", [False, True])
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "documented format: an empty body."),
        (b"   ", "documented format: an empty body."),
        (b"OK", 'not JSON, but "OK".'),
        (BAD_GATEWAY.encode(), 'not JSON, but "502 Bad Gateway'),
        (b'{"id": "crm", "sourceId"', "JSON that cannot be read."),
        (b"[]", "not a JSON object."),
        (b"null", "not a JSON object."),
        (b'"crm"', 'not a JSON object, but "crm".'),
        (b"7", "not a JSON object."),
        (b"{}", "Field required"),
        (b'{"id": 7, "sourceId": null}', "id: Input should be a valid string"),
        (b"[" * 100_000, "JSON that cannot be read."),
        (b'{"id": ' + b"9" * 10_000 + b"}", "JSON that cannot be read."),
        (b"\xff\xfe\x00", 'not JSON, but "'),
    ],
    ids=lambda value: value[:20].decode("latin-1") if isinstance(value, bytes) else "",
)
def test_unexpected(body: bytes, said: str, post: bool) -> None:
    """A 2xx that is empty, cut, HTML or of another shape is an unexpected answer."""
    error = error_of(http(200, body), post=post)

    assert type(error) is UnexpectedResponseError
    assert said in str(error) or (post and "format: no syncId." in str(error))


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("<!doctype html><title>Dagster</title><script>run()</script>", "Dagster"),
        ("\ufeff <html><h1>Please log in</h1></html>", "Please log in"),
        ("<html></html>", "not JSON."),
    ],
)
def test_unexpected__web_page(page: str, said: str) -> None:
    """A web page, as of a login or another service, names the host and suggests another address."""
    with exchange(http(200, page)) as (server, client), pytest.raises(ApiError) as caught:
        client.get_connection("crm")

    assert type(caught.value) is UnexpectedResponseError
    assert caught.value.suggests_wrong_address
    assert said in str(caught.value)
    assert f"127.0.0.1:{server.port} answered with a web page" in str(caught.value)
    assert "check api_url" in str(caught.value)


def test_unexpected__web_page_after_an_answer() -> None:
    """A web page suggests no other address if the API has answered before."""
    answers = iter([in_json(connection()), http(200, "<html>Starting</html>")])
    with exchange(lambda _: next(answers)) as (_, client):
        client.get_connection("crm")
        with pytest.raises(ApiError) as caught:
            client.get_connection("crm")

    assert not caught.value.suggests_wrong_address


def test_status__not_found_elsewhere() -> None:
    """A 404 of another host than RudderStack's suggests another address."""
    with exchange(http(404)) as (server, client), pytest.raises(NotFoundError) as caught:
        client.get_connection("crm")

    assert f"127.0.0.1:{server.port} is the right address (api_url)" in str(caught.value)


@pytest.mark.parametrize(
    ("location", "said"),
    [
        (
            "https://login.example.com/start?state=s3cr3t#s3cr3t",
            " to https://login.example.com/start.",
        ),
        ("https://login.example.com", " to https://login.example.com."),
        ("/login?next=s3cr3t", " to /login."),
        ("https://me:s3cr3t@login.example.com/", " redirects."),
        ("login", " redirects."),
        (f"https://{TOKEN}.example.com/", " to https://***.example.com/."),
    ],
)
def test_status__redirect_target(location: str, said: str) -> None:
    """The error for a redirect names the other address, without the query and without secrets."""
    error = error_of(http(302, "", {"Location": location}))

    assert said in str(error)
    assert "Set api_url to the final address" in str(error)
    assert "s3cr3t" not in str(error)
    assert TOKEN not in str(error)


def test_transport__unknown_host() -> None:
    """The error for a host that does not exist names it, and suggests another address."""
    with (
        client_of("https://api.rudderstak.invalid") as client,
        pytest.raises(TransportError, match=r"api\.rudderstak\.invalid did not answer") as caught,
    ):
        client.get_connection("crm")

    # Some resolvers say that they cannot answer now instead.
    hint = "There is no host of this name: check api_url"
    assert caught.value.suggests_wrong_address == (hint in str(caught.value))
    assert not caught.value.request_sent


def test_unexpected__values_are_not_shown() -> None:
    """The error shows the names of wrong fields only, since a value may be a credential."""
    error = error_of(in_json({"id": {"apiKey": "hush"}, "sourceId": ["hush"]}))

    assert "hush" not in str(error)
    assert "sourceId" in str(error)


def test_unexpected__no_content() -> None:
    """A 204 instead of an object is an unexpected answer."""
    assert type(error_of(http(204))) is UnexpectedResponseError


def test_unexpected__too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that is too large is not read to its end."""
    monkeypatch.setattr(transport_module, "MAX_BYTES", 100_000)
    endless = b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n" + b" " * 5_000_000

    assert "more than 100000 bytes" in str(error_of(Cut(endless)))


# --- no answer


@pytest.mark.parametrize(
    "answer",
    [
        Cut(),
        Cut(reset=True),
        Cut(b"HTTP/1.1 200"),
        Cut(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"),
        Cut(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"),
        Cut(b"220 mail.example ESMTP ready\r\n"),
        Cut(b"\x16\x03\x01\x00\x05hello"),
        Cut(b"HTTP/1.1 200 OK\r\nBroken Header\r\n\r\n"),
        Cut(b"HTTP/1.1 999999 OK\r\n\r\n"),
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{",
    ],
    ids=lambda answer: repr(answer)[:60],
)
@pytest.mark.parametrize("post", [False, True])
def test_transport__after_sending(answer: Answer, post: bool) -> None:
    """If the answer breaks off, the request may have had an effect."""
    error = error_of(answer, post=post, timeout=0.3)

    assert type(error) is TransportError
    assert error.request_sent


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_transport__refused() -> None:
    """If no server listens, it is certain that nothing was sent."""
    with (
        client_of(f"http://127.0.0.1:{free_port()}") as client,
        pytest.raises(TransportError, match="could not be reached") as caught,
    ):
        client.start_sync("crm")

    assert not caught.value.request_sent


def test_transport__connect_timeout() -> None:
    """If a host accepts no connection in time, nothing was sent."""
    requests = RequestPolicy(connect_timeout_seconds=0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        # Its kernel accepts the TCP connection, but there is no TLS handshake.
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        with (
            client_of(url, requests=requests) as client,
            pytest.raises(TransportError, match="could not be reached in time") as caught,
        ):
            client.start_sync("crm")

    assert not caught.value.request_sent


def test_transport__read_timeout() -> None:
    """If no answer comes in time, the request may have had an effect."""
    error = error_of(b"", timeout=0.1)

    assert isinstance(error, TransportError)
    assert error.request_sent
    assert "no answer in time" in str(error)


@pytest.mark.parametrize(
    "error", [UnicodeError("label empty"), AssertionError("no bytes"), httpx.ReadError("reset")]
)
def test_transport__other_errors(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that httpx lets through is an error of the request as well."""
    with client_of("https://api.rudderstack.com") as client:
        monkeypatch.setattr(client._transport._http, "send", Mock(side_effect=error))
        with pytest.raises(TransportError, match=str(error)) as caught:
            client.start_sync("crm")

    assert caught.value.request_sent


def test_transport__interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt that is an ordinary exception, such as Celery's time limit, ends the request."""

    class SoftTimeLimitExceeded(Exception):  # noqa: N818 - Celery's name
        pass

    with client_of("https://api.rudderstack.com") as client:
        send = Mock(side_effect=SoftTimeLimitExceeded)
        monkeypatch.setattr(client._transport._http, "send", send)
        with pytest.raises(SoftTimeLimitExceeded):
            client.start_sync("crm")


def test_transport__cause_is_kept() -> None:
    """The httpx error is the cause of the library's error."""
    error = error_of(Cut())

    assert type(error.__cause__).__module__ == "httpx"


# --- Retry-After

NOW = datetime(2026, 1, 5, 10, tzinfo=timezone.utc)


def http_date(seconds: float) -> str:
    return format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("9" * 18, 999999999999999999.0),
        ("9" * 400, None),
        ("-7", None),
        ("soon", None),
        ("", None),
        ("7 seconds", None),
        ("1e9", None),
        ("nan", None),
        (http_date(90), 90.0),
        (http_date(-90), 0.0),
        ("Mon, 05 Jan 2026 10:00:30 -0000", 30.0),
        ("Mon, 99 Jan 2026 10:00:30 GMT", None),
        ("Mon, 05 Jan 99999 10:00:30 GMT", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after(retry_after: str | None, seconds: float | None, status: int) -> None:
    """Seconds and dates are read, dates by the server's clock. Other values are ignored."""
    headers = {
        "Date": http_date(0),
        **({"Retry-After": retry_after} if retry_after is not None else {}),
    }
    error = error_of(http(status, "", headers))

    assert isinstance(error, StatusError)
    assert error.retry_after_seconds == seconds


def test_retry_after__date_without_a_clock() -> None:
    """A date without the server's own `Date` is compared with the client's clock."""
    moment = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=300), usegmt=True)
    error = error_of(http(503, "", {"Retry-After": moment, "Date": "never"}))

    assert isinstance(error, StatusError)
    assert error.retry_after_seconds == pytest.approx(300, abs=5)


@pytest.mark.parametrize(
    ("retry_after", "pause"), [(None, 1.0), ("7", 7.0), ("0", 0.0), ("99999999", 120.0), ("x", 1.0)]
)
def test_too_many_requests__pauses_all(retry_after: str | None, pause: float) -> None:
    """A 429 to one request holds back the others of this process, for a bounded time."""
    clock = ManualClock()
    throttle = Throttle(
        max_concurrent=4, max_per_second=None, monotonic=clock.monotonic, sleep=clock.sleep
    )
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    answers = iter([http(429, "", headers), in_json(connection())])
    with RawServer(lambda _: next(answers)) as server:
        settings = ClientSettings(base_url=server.url, access_token=TOKEN)
        with RudderStackClient(settings, throttle=throttle) as client:
            with pytest.raises(RateLimitedError):
                client.get_connection("crm")
            client.get_connection("crm")

    assert clock.monotonic() == pause


# --- secrets


@pytest.mark.parametrize("token", [TOKEN, "abc/def+ghi==", 'quo"te\\back'])
@pytest.mark.parametrize("status", [200, 401, 500])
def test_token__repeated_by_the_server(token: str, status: int) -> None:
    """No error shows a token that a server repeats, in any spelling."""
    spelt = [token, json.dumps(token), token.replace("/", "\\/"), token.replace("/", "%2F")]
    bodies = [
        json.dumps({"error": f"bad token {token}"}),
        json.dumps({"error": {"message": f"bad token {token}"}}),
        f"<html><body>bad token {token}</body></html>",
        " ".join(spelt),
        f'{{"message": "bad token {json.dumps(token)[1:-1]}"'.replace("/", "\\/") + "}",
        f'{{"id": "{token}"}}',
    ]
    for body in bodies:
        with (
            exchange(http(status, body), access_token=token) as (_, client),
            pytest.raises(ApiError) as caught,
        ):
            client.get_connection("crm")
        said = f"{caught.value} {vars(caught.value)}"
        assert token not in said
        assert token not in re.sub(r"\\", "", said)


def test_token__not_in_a_good_answer() -> None:
    """A good answer that repeats the token is masked as well."""
    sync = {"id": "s1", "status": "failed", "error": f"401 for Bearer {TOKEN}"}
    with exchange(in_json(sync)) as (_, client):
        assert client.get_sync("crm", "s1").error == "401 for Bearer ***"

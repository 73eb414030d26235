"""No answer holds a request for longer than its timeout, however slowly it arrives."""

import itertools
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dagster_rudderstack.api.deadline import answered_within
from dagster_rudderstack.errors import ApiError, RateLimitedError, StatusError, TransportError
from dagster_rudderstack_tests.api.conftest import API_HOST
from dagster_rudderstack_tests.api.raw_server import (
    Answer,
    RawServer,
    Seen,
    client_of,
    connection,
    exchange,
    in_json,
)
from dagster_rudderstack_tests.api.tunnel import Tunnel

PAUSE_SECONDS = 0.02
PIECES = 1500
"""Half a minute of slow answers, far beyond each timeout here."""


LIMIT_SECONDS = PIECES * PAUSE_SECONDS / 3
"""Far less than a slow answer takes, and far more than a timeout here."""


def slowly(first: bytes, piece: bytes, pause: float = PAUSE_SECONDS) -> Iterator[bytes]:
    """Send the begin of an answer, and then one piece after the other."""
    yield first
    for _ in range(PIECES) if pause else itertools.count():
        time.sleep(pause)
        yield piece


SLOW: dict[str, Callable[[], Iterator[bytes]]] = {
    "header": lambda: slowly(b"HTTP/1.1 200 OK\r\nX: ", b"x"),
    "status line": lambda: slowly(b"HTTP/1.1 200 ", b"x"),
    "interim answers": lambda: slowly(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    # Without a pause, so that each read of the network has something to return.
    "many interim answers": lambda: slowly(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 99, 0.0),
    "body": lambda: slowly(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{", b" "),
    "chunks": lambda: slowly(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"
    ),
}


def error_of(call: Callable[[], object]) -> ApiError:
    """Return the error of a call that takes a few seconds at most."""
    began = time.monotonic()
    with pytest.raises(ApiError) as caught:
        call()
    assert time.monotonic() - began < LIMIT_SECONDS
    return caught.value


QUICK: dict[str, Any] = {"connect_timeout_seconds": 0.2, "read_timeout_seconds": 0.3}


@pytest.mark.parametrize("name", SLOW)
def test_slow_answer(name: str) -> None:
    """A head or a body that does not end is an error. The request may have had an effect."""
    with exchange(lambda _: SLOW[name](), **QUICK) as (_, client):
        error = error_of(lambda: client.start_sync("crm"))

    assert isinstance(error, TransportError)
    assert error.request_sent
    assert "no answer in time" in str(error)


def test_slow_error() -> None:
    """If only the body of an error is slow, its status counts."""
    busy = b"HTTP/1.1 503 Busy\r\nContent-Length: 999\r\n\r\nplease wai"
    with exchange(lambda _: slowly(busy, b"t"), **QUICK) as (_, client):
        error = error_of(lambda: client.start_sync("crm"))

    assert isinstance(error, StatusError)
    assert error.status_code == 503


def test_connection_is_usable_again() -> None:
    """After a slow answer, the next request is answered, over a new connection."""
    answers: Iterator[Answer] = iter([SLOW["header"](), in_json(connection())])
    with exchange(lambda _: next(answers), **QUICK) as (server, client):
        error_of(lambda: client.get_connection("crm"))

        assert client.get_connection("crm").id == "crm"
        assert [seen.connection for seen in server.seen] == [0, 1]


def test_other_requests() -> None:
    """Slow answers hold back another request no longer than their timeout."""

    def answer(seen: Seen) -> Answer:
        return in_json(connection()) if seen.target.endswith("quick") else SLOW["header"]()

    with exchange(answer, **QUICK) as (_, client), ThreadPoolExecutor(16) as pool:
        slow = [pool.submit(error_of, lambda: client.get_connection("slow")) for _ in range(16)]
        began = time.monotonic()
        assert client.get_connection("quick").id == "crm"
        assert time.monotonic() - began < LIMIT_SECONDS
        assert all(isinstance(each.result(), TransportError) for each in slow)


def test_answered_within() -> None:
    """A block can shorten the time of its requests, and an inner block cannot make it longer."""
    with (
        exchange(lambda _: SLOW["body"](), read_timeout_seconds=3600) as (_, client),
        answered_within(0.3),
        answered_within(3600),
    ):
        error = error_of(lambda: client.get_connection("crm"))

    assert "no answer in time" in str(error)


def test_answered_within__no_turn_in_time() -> None:
    """A request whose turn comes after its deadline fails at once, and is not sent."""
    slow_down = {"Retry-After": "90"}
    with (
        exchange(lambda _: in_json({}, 429, **slow_down)) as (server, client),
        answered_within(60),
    ):
        first = error_of(lambda: client.get_connection("crm"))
        second = error_of(lambda: client.start_sync("crm", "full"))

    assert isinstance(first, RateLimitedError)
    assert isinstance(second, TransportError)
    assert not second.request_sent
    assert "RudderStack asks to wait for 90 s." in str(second)
    assert len(server.seen) == 1


def test_tls(tls_server: RawServer, ca_bundle: Path) -> None:
    """The same holds for https, also through a proxy that is slow or leads to a slow server."""
    tls_server.answer = lambda _: SLOW["header"]()
    trusted = {**QUICK, "ca_bundle": str(ca_bundle)}
    with client_of(tls_server.url, **trusted) as client:
        assert isinstance(error_of(lambda: client.get_connection("crm")), TransportError)

    api = f"https://{API_HOST}"
    with (
        Tunnel(tls_server.port) as tunnel,
        client_of(api, proxy_url=tunnel.url, **trusted) as client,
    ):
        assert isinstance(error_of(lambda: client.get_connection("crm")), TransportError)
        assert tunnel.asked == [f"{API_HOST}:443"]

    with (
        RawServer(lambda _: SLOW["header"]()) as proxy,
        client_of(api, proxy_url=proxy.url, **trusted) as client,
    ):
        error_of(lambda: client.get_connection("crm"))
        assert proxy.targets == [f"CONNECT {API_HOST}:443"]


def test_many_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """All addresses of a host together take no longer than the deadline, and nothing was sent."""
    silent = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"192.0.2.{n}", 443)) for n in range(99)]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: silent)

    def connect(address: object, timeout: float, **_: object) -> None:
        time.sleep(min(timeout, 0.2))
        raise TimeoutError

    monkeypatch.setattr("socket.create_connection", connect)
    with client_of("https://api.rudderstack.com", **QUICK) as client:
        error = error_of(lambda: client.start_sync("crm"))

    assert isinstance(error, TransportError)
    assert not error.request_sent


def test_second_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the first address of a host does not answer, the next one is used."""
    true_addresses = socket.getaddrinfo

    def two(host: str, port: int, *places: Any, **options: Any) -> list[Any]:
        found = true_addresses("127.0.0.1", port, *places, **options)
        return [(*found[0][:4], ("127.0.0.2", port)), *found] if host == "localhost" else found

    with RawServer(lambda _: in_json(connection())) as server:
        monkeypatch.setattr("socket.getaddrinfo", two)
        with client_of(f"http://localhost:{server.port}") as client:
            assert client.get_connection("crm").id == "crm"

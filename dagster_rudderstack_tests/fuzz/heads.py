"""The heads of answers, as bytes that are no HTTP, or that never end."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from dagster_rudderstack.api.client import RudderStackClient
from dagster_rudderstack.errors import ApiError
from dagster_rudderstack_tests.api.raw_server import Answer, Cut, RawServer, client_of, http
from dagster_rudderstack_tests.fuzz.watch import KEY, TOKEN, Watch

Case = Callable[[random.Random], None]

OK = http(200, b'{"id": "crm", "sourceId": "src", "destinationId": "dst"}')
MAX_SECONDS = 2.0
"""The timeouts of a request in a case, together."""
MARGIN = 10.0
"""What a busy machine may add to them."""


def _dripped(content: bytes, seconds: float) -> Iterator[bytes]:
    for byte in content:
        time.sleep(seconds)
        yield bytes([byte])


def _endless(piece: bytes) -> Iterator[bytes]:
    yield b"HTTP/1.1 "
    while True:
        yield piece


def _changed(chance: random.Random) -> bytes:
    content = bytearray(OK)
    for _ in range(chance.randrange(1, 6)):
        content[chance.randrange(len(content))] = chance.randrange(256)
    return bytes(content)


def hostile_head(chance: random.Random) -> Answer:
    """Return an answer whose head is broken."""
    start = b"HTTP/1.1 200 " + TOKEN.encode() + b"\r\n"
    body = b'{"id": "crm"}'
    length = chance.choice(
        ["0", "-1", "9" * 30, "5, 6", "x", " 13", "13\r\nContent-Length: 14", "+13"]
    )
    chunk = chance.choice([b"-1", b"ffffffffffffffff", b"zz", b"0d;" + b"x" * 9000, b"", b"0x0d"])
    answers: list[Answer] = [
        Cut(chance.randbytes(chance.randrange(2000))),
        Cut(b"HTTP/1.1 200 OK\r\n" + chance.randbytes(500) + b"\r\n\r\n" + body),
        Cut(_changed(chance)),
        Cut(OK[: chance.randrange(len(OK))], reset=chance.random() < 0.5),
        Cut(b"HTTP/0.9\r\n\r\n" + body),
        Cut(body),
        Cut(start + b"no colon here\r\n\r\n" + body),
        Cut(start + b"X: " + b"y" * 300_000 + b"\r\n\r\n" + body),
        Cut(start + b"X: y\r\n" * 50_000 + b"\r\n" + body),
        Cut(start + f"Content-Length: {length}\r\n\r\n".encode() + body),
        Cut(start + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + b"\r\n" + body + b"\r\n"),
        Cut(start + b"Transfer-Encoding: chunked\r\nContent-Length: 13\r\n\r\n" + body),
        Cut(start + b"X-Key: " + KEY.encode() + b"\x00\r\n\r\n" + body),
        Cut(b"HTTP/1.1 103 Hints\r\n\r\n" * 2000 + OK),
        _endless(b"103 Hints\r\n\r\nHTTP/1.1 "),
        _endless(b"200 OK\r\nX: y"),
        _endless(b"x"),
        _dripped(OK, 0.3),
        _dripped(b"HTTP/1.1 100 Continue\r\n\r\n" * 100, 0.05),
        iter([OK.replace(b"Content-Length", b"X-Length"), *[b" "] * 3]),
    ]
    return chance.choice(answers)


@contextmanager
def heads(watch: Watch) -> Iterator[Case]:
    """Give a case: one request, whose answer has a broken head."""
    with (
        RawServer(lambda _: Cut()) as server,
        client_of(
            server.url,
            connect_timeout_seconds=MAX_SECONDS / 2,
            read_timeout_seconds=MAX_SECONDS / 2,
            access_token=TOKEN,
            extra_headers={"X-Gateway-Key": KEY},
        ) as client,
    ):
        yield partial(_case, server, client, watch)


def _case(
    server: RawServer, client: RudderStackClient, watch: Watch, chance: random.Random
) -> None:
    head = hostile_head(chance)
    server.answer = lambda _: head
    began = time.monotonic()
    try:
        watch.show(client.get_connection("crm"))
    except ApiError as error:
        watch.show_error(error)
    took = time.monotonic() - began
    assert took < MAX_SECONDS + MARGIN, f"a request with {MAX_SECONDS} s took {took:.1f} s"
    # The connections of this process can still be used.
    server.answer = lambda _: OK
    assert client.get_connection("crm").id == "crm"

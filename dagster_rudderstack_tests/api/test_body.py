"""The body of an answer costs bounded memory, also if it is compressed."""

import gzip
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import cache

import pytest

from dagster_rudderstack.api import responses, transport
from dagster_rudderstack.errors import ApiError, StatusError, UnexpectedResponseError
from dagster_rudderstack_tests.api.raw_server import (
    TOKEN,
    RawServer,
    Seen,
    connection,
    exchange,
    http,
)

GZIP = {"Content-Encoding": "gzip"}
MAX_GROWTH_MB = 200


def error_of(body: bytes, encoding: str = "gzip", status: int = 200) -> ApiError:
    answer = http(status, body, {"Content-Encoding": encoding})
    with exchange(answer) as (_, client), pytest.raises(ApiError) as caught:
        client.start_sync("crm")
    return caught.value


def test_gzip() -> None:
    """A compressed answer is read, and nothing but gzip is asked for."""
    with exchange(http(200, gzip.compress(json.dumps(connection()).encode()), GZIP)) as (
        server,
        client,
    ):
        assert client.get_connection("crm").id == "crm"

    assert server.seen[0].headers["accept-encoding"] == "gzip"


def test_gzip__connection_is_kept() -> None:
    """The connection of a compressed answer is used again, also with bytes after the gzip."""
    body = gzip.compress(json.dumps(connection()).encode())
    for content in (body, body + b"more"):
        with exchange(http(200, content, GZIP)) as (server, client):
            for _ in range(3):
                client.get_connection("crm")

        assert [seen.connection for seen in server.seen] == [0, 0, 0]


def test_gzip__empty() -> None:
    """An answer without a body may say that it is compressed."""
    with (
        exchange(http(200, b"", GZIP)) as (_, client),
        pytest.raises(UnexpectedResponseError, match="an empty body"),
    ):
        client.start_sync("crm")


def test_gzip__of_an_error() -> None:
    """The words of a compressed error are shown."""
    error = error_of(gzip.compress(b'{"message": "The table is gone"}'), status=400)

    assert isinstance(error, StatusError)
    assert error.detail == "The table is gone"


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "gzip,br", "compress"])
@pytest.mark.parametrize("status", [200, 502])
def test_other_encodings(encoding: str, status: int) -> None:
    """An encoding that was not asked for is refused, and so are two of them."""
    error = error_of(zlib.compress(b"{}"), encoding, status)

    if status == 200:
        assert type(error) is UnexpectedResponseError
        assert f"its encoding is '{encoding}', which was not asked for" in str(error)
    else:
        assert isinstance(error, StatusError)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"not gzip", "it is not gzip"),
        (gzip.compress(b"{}")[:-1], "its gzip has no end"),
        (gzip.compress(b"{}")[:-8] + b"\0" * 8, "it is not gzip"),
    ],
    ids=["text", "cut", "wrong checksum"],
)
def test_broken_gzip(body: bytes, said: str) -> None:
    """A body that is not what its header says is an unexpected answer."""
    error = error_of(body)

    assert type(error) is UnexpectedResponseError
    assert said in str(error)


def test_limits() -> None:
    """An answer may be as large as its limit and not a byte larger, also if it is compressed."""
    limit = transport.MAX_BYTES
    whole = json.dumps({"syncId": "s1"}).encode().ljust(limit)
    for fits, too_large in [
        (whole, whole + b" "),
        (gzip.compress(whole), gzip.compress(whole + b" ")),
    ]:
        headers = GZIP if fits is not whole else {}
        with exchange(http(200, fits, headers)) as (_, client):
            assert client.start_sync("crm") == "s1"
        with (
            exchange(http(200, too_large, headers)) as (_, client),
            pytest.raises(UnexpectedResponseError, match=f"more than {limit} bytes"),
        ):
            client.start_sync("crm")


# --- the memory of a process of its own

CLIENT = """
import re, sys
from pathlib import Path
from dagster_rudderstack import RudderStackResource
from dagster_rudderstack.errors import ApiError

client = RudderStackResource(access_token=sys.argv[1], api_url=sys.argv[2]).get_client()
ask = client.list_connections if sys.argv[3] == "list" else lambda: client.start_sync("crm")

def peak_mb():
    # The maximum of getrusage would be inherited from the process that started this one.
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

try:
    client.get_connection("warm-up")
except ApiError:
    pass
before = peak_mb()
try:
    ask()
except ApiError as error:
    print(type(error).__name__, round(peak_mb() - before))
"""


@cache
def bomb() -> bytes:
    """Return a small body that becomes 256 MB."""
    return gzip.compress(b" " * 2**28, 1)


def nested(times: int) -> bytes:
    """Return a page of a list with as many values as fit, which take most memory when parsed."""
    return b'{"data": [' + b",".join([b"[]"] * times) + b"]}"


def objects(times: int) -> Iterator[bytes]:
    """Yield objects that take much memory, with one escape, so that all are parsed twice."""
    yield b'{"\\u0061":1.5}'
    yield from (f'{{"k{number}":1.5}}'.encode() for number in range(times))


BODIES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "gzip": ("start", lambda: http(200, bomb(), GZIP)),
    "gzip of an error": ("start", lambda: http(503, bomb(), GZIP)),
    "gzip twice": (
        "start",
        lambda: http(200, gzip.compress(bomb()), {"Content-Encoding": "gzip, gzip"}),
    ),
    "gzip of a list": ("list", lambda: http(200, bomb(), GZIP)),
    "large": ("start", lambda: http(200, nested(5_000_000))),
    "many values": ("list", lambda: http(200, nested(transport.MAX_LIST_BYTES // 3 - 10))),
    "most objects": (
        "list",
        lambda: http(
            200, b'{"data": [' + b",".join(objects(responses.MAX_VALUES // 2 - 10)) + b"]}"
        ),
    ),
    "most values": (
        "list",
        lambda: http(200, nested(responses.MAX_VALUES // 2 - 10)),
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_memory(name: str) -> None:
    """Small bodies that become large, and large ones, take little memory."""
    asked, build = BODIES[name]
    answer = build()

    def answering(seen: Seen) -> bytes:
        return http(404) if "warm-up" in seen.target else answer

    with RawServer(answering) as server:
        printed = subprocess.run(
            [sys.executable, "-c", CLIENT, TOKEN, server.url, asked],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "NO_PROXY": "*"},
            timeout=120,
        ).stdout
    kind, growth = printed.split()
    print(f"{name}: {growth} MB more, {kind}")  # noqa: T201 - what was measured

    assert int(growth) < MAX_GROWTH_MB

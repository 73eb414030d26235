"""A server that answers with any bytes, HTTP or not.

The local RudderStack speaks proper HTTP. This server also sends broken heads, slow bodies, TLS and
the answers of a proxy.
"""

import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import Self

from dagster_rudderstack.api.client import ClientSettings, RudderStackClient
from dagster_rudderstack.settings import RequestPolicy

TOKEN = "s3cr3t-T0ken-of-the-workspace"


@dataclass(frozen=True)
class Seen:
    """One request, as it came. Names of headers are in lower case; `connection` counts from 0."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    connection: int


@dataclass(frozen=True)
class Cut:
    """Bytes after which the connection ends. With `reset` it is reset, as by a crash."""

    content: bytes = b""
    reset: bool = False


Answer = bytes | Cut | Iterator[bytes]
"""The bytes of an answer, at once or piece by piece."""
Answering = Callable[[Seen], Answer]


def http(status: int, body: bytes | str = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """Return a whole answer."""
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Words"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if status != 204:
        lines.append(f"Content-Length: {len(content)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + content


def in_json(content: Any, status: int = 200, **headers: str) -> bytes:
    """Return a whole answer in JSON."""
    return http(status, json.dumps(content), {"Content-Type": "application/json", **headers})


def connection(connection_id: str = "crm", **fields: Any) -> dict[str, Any]:
    """Return a connection as the API writes one."""
    return {"id": connection_id, "sourceId": "src", "destinationId": "dst", **fields}


@dataclass
class RawServer:
    """Listens on a port of this machine from `__enter__` to `__exit__`.

    Args:
        answer: The answer to each request. A test may change it at any time.
        tls: The certificate. None means plain http.
    """

    answer: Answering
    tls: ssl.SSLContext | None = None
    seen: list[Seen] = field(default_factory=list)
    accepted: int = 0
    port: int = 0

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads: list[threading.Thread] = []
        self._sockets: set[socket.socket] = set()
        self._run(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for connected in list(self._sockets):
            with contextlib.suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def targets(self) -> list[str]:
        """Method and target of each request so far."""
        return [f"{seen.method} {seen.target}" for seen in self.seen]

    def _run(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connected, _ = self._listener.accept()
            except OSError:
                return
            number, self.accepted = self.accepted, self.accepted + 1
            self._sockets.add(connected)
            self._run(lambda it=connected, n=number: self._serve(it, n))  # type: ignore[misc]

    def _serve(self, plain: socket.socket, number: int) -> None:
        # ValueError: what came was no HTTP.
        with contextlib.suppress(OSError, ValueError), contextlib.ExitStack() as stack:
            stack.callback(self._sockets.discard, plain)
            stack.enter_context(plain)
            connected = plain
            if self.tls is not None:
                connected = stack.enter_context(self.tls.wrap_socket(plain, server_side=True))
                self._sockets.add(connected)
                stack.callback(self._sockets.discard, connected)
            requests = stack.enter_context(contextlib.closing(requests_of(connected, number)))
            for request in requests:
                self.seen.append(request)
                if not _send(connected, self.answer(request)):
                    return


def _send(connected: socket.socket, answer: Answer) -> bool:
    """Send an answer, and return whether the connection stays open."""
    if isinstance(answer, bytes):
        connected.sendall(answer)
        return True
    if not isinstance(answer, Cut):
        for piece in answer:
            connected.sendall(piece)
        return True
    connected.sendall(answer.content)
    if answer.reset:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def requests_of(connected: socket.socket, number: int) -> Generator[Seen, None, None]:
    """Read the requests of one connection, until it ends."""
    with connected.makefile("rb") as stream:
        while line := stream.readline():
            method, target, _ = line.decode("latin-1").split(" ", 2)
            headers: dict[str, str] = {}
            while (line := stream.readline().strip()) != b"":
                name, _, value = line.decode("latin-1").partition(":")
                headers[name.lower()] = value.strip()
            body = stream.read(int(headers.get("content-length", 0)))
            yield Seen(method, target, headers, body, number)


@contextlib.contextmanager
def client_of(
    url: str,
    *,
    connect_timeout_seconds: float = 10.0,
    read_timeout_seconds: float = 10.0,
    **settings: Any,
) -> Iterator[RudderStackClient]:
    """Open a client of a server."""
    requests = RequestPolicy(
        connect_timeout_seconds=connect_timeout_seconds, read_timeout_seconds=read_timeout_seconds
    )
    given = {"base_url": url, "access_token": TOKEN, "requests": requests, **settings}
    with RudderStackClient(ClientSettings(**given)) as client:
        yield client


@contextlib.contextmanager
def exchange(
    answer: Answer | Answering, **settings: Any
) -> Iterator[tuple[RawServer, RudderStackClient]]:
    """Open a server and a client. The answer is always the same, or comes from a function."""
    answering = answer if callable(answer) else lambda _: answer
    with RawServer(answering) as server, client_of(server.url, **settings) as client:
        yield server, client

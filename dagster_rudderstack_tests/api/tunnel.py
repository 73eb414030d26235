"""A proxy that connects every host to one port of this machine, to test RudderStack's addresses."""

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from typing_extensions import Self


@dataclass
class Tunnel:
    """An HTTP proxy for https, from `__enter__` to `__exit__`; `asked` has the hosts asked for.

    Args:
        to_port: The port that each connection leads to.
    """

    to_port: int
    asked: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self._run(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        for connected in [self._listener, *self._sockets]:
            with contextlib.suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for connected in [self._listener, *self._sockets]:
            connected.close()

    def _run(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.to_port))
            self._sockets += [client, server]
            head = _head(client)
            self.heads.append(head)
            self.asked.append(head.split(" ")[1])
            client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            self._run(_pump, client, server)
            self._run(_pump, server, client)


def _head(client: socket.socket) -> str:
    """Read the head of a request, and not a byte more."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = client.recv(1)
        if not byte:
            raise ConnectionError("The client has gone before it said where to")
        head += byte
    return head.decode()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(65536):
            target.sendall(chunk)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)

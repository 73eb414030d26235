"""The open TCP connections of the server, which faults can break."""

import asyncio
import socket

from starlette.types import Scope


class TcpConnections:
    """The open TCP connections, by client address.

    ASGI does not pass the connection to the application, which needs it to break off an answer.
    """

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], asyncio.Transport] = {}
        self.accepted = 0

    def opened(self, transport: asyncio.Transport) -> None:
        """Add an accepted connection."""
        self.accepted += 1
        # Head and body are two packets. Without this option, the second one waits until the client
        # has acknowledged the first.
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open[_address(transport)] = transport

    def closed(self, transport: asyncio.Transport) -> None:
        """Remove a connection that has ended."""
        self._open.pop(_address(transport), None)

    def of(self, scope: Scope) -> asyncio.Transport | None:
        """Return the connection of a request. None if it has ended."""
        return self._open.get(tuple(scope["client"]))

    def abort_all(self) -> None:
        """Cut all connections."""
        for transport in list(self._open.values()):
            transport.abort()


def _address(transport: asyncio.Transport) -> tuple[str, int]:
    host, port = transport.get_extra_info("peername")[:2]
    return str(host), int(port)

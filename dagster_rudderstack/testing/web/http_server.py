"""The HTTP server: uvicorn in its own thread."""

import asyncio
import socket
import threading
from collections.abc import Callable

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from dagster_rudderstack.testing.simulator import Simulator
from dagster_rudderstack.testing.web.app import build_app
from dagster_rudderstack.testing.web.tcp_connections import TcpConnections

# As long as a load balancer keeps a connection, so that clients can reuse theirs.
_KEEP_ALIVE_SECONDS = 75
_START_TIMEOUT_SECONDS = 30


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket; port 0 takes a free port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)


class HttpServer:
    """Uvicorn in its own thread."""

    def __init__(
        self, simulator: Simulator, connections: TcpConnections, listener: socket.socket
    ) -> None:
        self._listener = listener
        self._server = _Uvicorn(_uvicorn_config(simulator, connections), connections)
        self._thread = threading.Thread(target=self._run, name="local-rudderstack", daemon=True)

    def _run(self) -> None:
        try:
            asyncio.run(self._server.serve(sockets=[self._listener]))
        finally:
            self._server.ready.set()

    def start(self) -> None:
        """Start the thread and return once the server listens."""
        self._thread.start()
        self._server.ready.wait(_START_TIMEOUT_SECONDS)
        if not self._server.started:
            raise RuntimeError("The local RudderStack did not start")

    def stop(self) -> None:
        """Cut all connections and end the thread."""
        self._server.stop()
        self._thread.join()


class _Uvicorn(uvicorn.Server):
    """A uvicorn server that starts and ends without waiting for uvicorn's 100 ms ticks."""

    def __init__(self, config: uvicorn.Config, connections: TcpConnections) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self._connections = connections
        self._end: Callable[[], object] = lambda: None

    async def main_loop(self) -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        self._end = lambda: loop.call_soon_threadsafe(ended.set)
        self.ready.set()
        await ended.wait()

    def stop(self) -> None:
        """End the loop. May be called from any thread."""
        self._end()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        self._connections.abort_all()
        for listener in sockets or []:
            listener.close()
        # Let the requests in progress notice that their clients are gone.
        await asyncio.sleep(0)


def _uvicorn_config(simulator: Simulator, connections: TcpConnections) -> uvicorn.Config:
    return uvicorn.Config(
        build_app(simulator, connections),
        http=_protocol_class(connections),
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        # The application writes the Date header, from the simulated clock.
        date_header=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
    )


def _protocol_class(connections: TcpConnections) -> type[asyncio.Protocol]:
    """Make uvicorn's HTTP/1.1 protocol register its connections, so that faults can break them.

    It is always the pure Python one: the server must not behave differently if httptools is
    installed.
    """

    class Protocol(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            connections.opened(transport)
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            connections.closed(self.transport)
            super().connection_lost(exc)

    return Protocol

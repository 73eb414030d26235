"""Another server, which records the requests that it gets. It should get none."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

POLL_SECONDS = 0.01
"""How often the server looks whether it is to end. `http.server` looks every half second."""


@dataclass
class Recorder:
    """A server on a port of this machine.

    Attributes:
        url: Where it listens.
        seen: The request lines and headers that it got.
    """

    url: str = ""
    seen: list[str] = field(default_factory=list)


@contextmanager
def recorder() -> Iterator[Recorder]:
    """Run a recorder until the end of the `with` statement; it answers everything with 200."""
    made = Recorder()

    class Handler(BaseHTTPRequestHandler):
        def record(self) -> None:
            made.seen.append(f"{self.requestline} {dict(self.headers)}")
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_GET = do_POST = do_PUT = do_HEAD = do_OPTIONS = do_CONNECT = record  # noqa: N815 - names that http.server asks for

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - http.server's name
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=[POLL_SECONDS], daemon=True)
        thread.start()
        yield made
        server.shutdown()
        thread.join()

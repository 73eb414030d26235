"""Local servers that receive alerts: of webhooks and of Slack over HTTP, and of mails over SMTP."""

import json
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs


@contextmanager
def serving(server: socketserver.TCPServer) -> Iterator[int]:
    """Run a server in a thread, and return its port."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Webhook:
    """Accepts each POST, and keeps its body."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """Return what answers a request."""
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers["Content-Length"])).decode()
                if self.headers["Content-Type"].startswith("application/json"):
                    webhook.bodies.append(json.loads(text))
                else:
                    webhook.bodies.append({key: value for key, (value,) in parse_qs(text).items()})
                answer = b'{"ok": true}'
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    @contextmanager
    def running(self) -> Iterator[str]:
        """Run it, and return its address."""
        with serving(HTTPServer(("127.0.0.1", 0), self.handler())) as port:
            yield f"http://127.0.0.1:{port}/"


class MailServer:
    """An SMTP server with TLS that accepts every login, and keeps the mails."""

    def __init__(self) -> None:
        self.mails: list[str] = []

    def handler(self) -> type[socketserver.StreamRequestHandler]:
        """Return what talks to a client."""
        mails = self.mails

        class Handler(socketserver.StreamRequestHandler):
            def say(self, line: str) -> None:
                self.wfile.write(f"{line}\r\n".encode())

            def handle(self) -> None:
                self.say("220 local")
                while line := self.rfile.readline():
                    command = line.split()[0].upper()
                    if command == b"EHLO":
                        self.say("250-local")
                        self.say("250 AUTH PLAIN")
                    elif command == b"AUTH":
                        self.say("235 welcome")
                    elif command == b"DATA":
                        self.say("354 go on")
                        lines = list(iter(self.rfile.readline, b".\r\n"))
                        mails.append(b"".join(lines).decode("ascii"))
                        self.say("250 kept")
                    elif command == b"QUIT":
                        self.say("221 bye")
                        return
                    else:
                        self.say("250 fine")

        return Handler

    @contextmanager
    def running(self, context: ssl.SSLContext) -> Iterator[int]:
        """Run it, and return its port."""
        server = socketserver.TCPServer(("localhost", 0), self.handler())
        server.socket = context.wrap_socket(server.socket, server_side=True)
        with serving(server) as port:
            yield port

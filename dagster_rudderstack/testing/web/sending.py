"""Sends an answer, or cuts the connection instead."""

import asyncio
import socket
import struct
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus

from starlette.types import Receive, Send

from dagster_rudderstack.testing.clock import http_date
from dagster_rudderstack.testing.web.answers import Answer
from dagster_rudderstack.testing.web.broken_answers import Cut

# Linger for 0 seconds: closing then resets the connection (RST) instead of ending it (FIN).
_LINGER_ZERO = struct.pack("ii", 1, 0)


def with_date(reply: Answer | Cut, now: float) -> Answer | Cut:
    """Add the Date header, which shows the server's clock even if that clock is wrong."""
    if isinstance(reply, Cut):
        return replace(reply, answer=_answer_with_date(reply.answer, now))
    return _answer_with_date(reply, now)


def _answer_with_date(answer: Answer, now: float) -> Answer:
    return replace(answer, headers={"date": http_date(now), **answer.headers})


def _all_headers(answer: Answer) -> Mapping[str, str]:
    if answer.status == HTTPStatus.NO_CONTENT:
        return answer.headers
    return {
        "content-type": answer.content_type,
        "content-length": str(len(answer.body)),
        **answer.headers,
    }


async def send_answer(answer: Answer, send: Send) -> None:
    """Send an answer as a whole."""
    headers = [(name.encode(), value.encode()) for name, value in _all_headers(answer).items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    body = b"" if answer.status == HTTPStatus.NO_CONTENT else answer.body
    await send({"type": "http.response.body", "body": body})


async def cut_off(cut: Cut, transport: asyncio.Transport | None, receive: Receive) -> None:
    """Cut the connection, which is None if the client has already left."""
    if transport is not None:
        _break_off(cut, transport)
    # uvicorn sends an answer of its own unless it knows that the connection is lost.
    await receive()


def _break_off(cut: Cut, transport: asyncio.Transport) -> None:
    if cut.how == "truncated":
        transport.write(_head(cut.answer) + cut.answer.body[: len(cut.answer.body) // 2])
    if cut.how == "reset":
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        transport.abort()
    else:
        transport.close()


def _head(answer: Answer) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} -"]
    lines += [f"{name}: {value}" for name, value in _all_headers(answer).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

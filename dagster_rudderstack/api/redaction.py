"""Keeps the access token out of the logs of httpx and httpcore, and out of answers.

A server, or a gateway in front of it, may repeat the token in its answer. The transport masks the
token in the body. But httpcore logs the headers of an answer at DEBUG, and httpx its reason phrase
at INFO, before the transport sees them.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from urllib.parse import quote

__all__ = ["LOGGERS", "Secret", "masked_in_logs", "silent"]

LOGGERS = (
    "httpx",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
)
"""Every logger that httpx and httpcore write to. The filter of a logger does not apply to its
children."""

MIN_SECRET_LENGTH = 8
"""A shorter token is not a real one, and could be a word of the answer."""


class Secret:
    """Masks a token in the words of a server, also in the spellings of JSON and URLs."""

    def __init__(self, token: str) -> None:
        self._pattern = _spellings(token)

    def masked(self, content: bytes) -> bytes:
        """Return a body with asterisks instead of the token."""
        return self._pattern.sub(b"***", content)

    def masked_text(self, text: str) -> str:
        """Return a text with asterisks instead of the token."""
        return self.masked(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")


def _spellings(token: str) -> re.Pattern[bytes]:
    if len(token) < MIN_SECRET_LENGTH:
        return re.compile(rb"(?!)")
    spellings = {token, token.replace("/", r"\/"), json.dumps(token)[1:-1], quote(token, safe="")}
    longest_first = sorted(spellings, key=len, reverse=True)
    return re.compile(b"|".join(re.escape(each.encode()) for each in longest_first))


class _Mask(logging.Filter):
    """Masks tokens in log records, and drops the records of a silent thread."""

    def __init__(self) -> None:
        super().__init__()
        # Reentrant, since a client may be garbage-collected while its thread holds this lock.
        self._lock = threading.RLock()
        self._secrets: tuple[Secret, ...] = ()

    def filter(self, record: logging.LogRecord) -> bool:
        if getattr(_SILENT, "depth", 0):
            return False
        said = shown = record.getMessage()
        for secret in self._secrets:
            shown = secret.masked_text(shown)
        if shown != said:
            record.msg, record.args = shown, None
        return True

    def add(self, secret: Secret) -> None:
        with self._lock:
            self._secrets = (*self._secrets, secret)

    def remove(self, secret: Secret) -> None:
        with self._lock:
            self._secrets = tuple(other for other in self._secrets if other is not secret)


_MASK = _Mask()
_SILENT = threading.local()


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Drop what httpx and httpcore log in this thread inside the block.

    A client that is garbage-collected is closed wherever its thread is, perhaps inside a log
    handler that stores an event. A record logged there would enter the same handler again, and
    could wait for a lock that its own thread holds.
    """
    _SILENT.depth = getattr(_SILENT, "depth", 0) + 1
    try:
        yield
    finally:
        _SILENT.depth -= 1


def masked_in_logs(secret: Secret) -> Callable[[], None]:
    """Mask a secret in the logs of httpx and httpcore. Return a function that ends this.

    Levels, handlers and all other records stay as the user has set them.
    """
    _MASK.add(secret)
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_MASK)
    return lambda: _MASK.remove(secret)

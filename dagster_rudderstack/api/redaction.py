"""Keeps our access token out of what the libraries log that we send requests with.

A server, or a gateway in front of it, may put the token that it was sent into its answer. Of the
body we take care ourselves. But httpcore logs an answer's headers at DEBUG, and httpx the words of
its status at INFO, before we see them.
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
"""Every logger that httpx and httpcore write to: a filter of a logger does not see what its
children log."""

MIN_SECRET_LENGTH = 8
"""A shorter token is made up, and could be a word of the answer."""


class Secret:
    """Finds a token in what a server says, also as JSON and URLs may spell it."""

    def __init__(self, token: str) -> None:
        self._pattern = _spellings(token)

    def masked(self, content: bytes) -> bytes:
        """Return a body with asterisks in the place of the token."""
        return self._pattern.sub(b"***", content)

    def masked_text(self, text: str) -> str:
        """Return a text with asterisks in the place of the token."""
        return self.masked(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")


def _spellings(token: str) -> re.Pattern[bytes]:
    if len(token) < MIN_SECRET_LENGTH:
        return re.compile(rb"(?!)")
    spellings = {token, token.replace("/", r"\/"), json.dumps(token)[1:-1], quote(token, safe="")}
    longest_first = sorted(spellings, key=len, reverse=True)
    return re.compile(b"|".join(re.escape(each.encode()) for each in longest_first))


class _Mask(logging.Filter):
    """Rewrites the lines that have a token in them; passes all but those of a silent thread."""

    def __init__(self) -> None:
        super().__init__()
        # Reentrant: a client that is collected ends while its thread may be in here.
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
    """Let this thread log nothing by way of httpx and httpcore inside the block.

    A client that is collected as garbage is closed wherever its thread happens to be: perhaps
    inside a log handler, in the middle of storing an event. A line that is logged there comes back
    to that handler, and may wait for a lock that its own thread holds.
    """
    _SILENT.depth = getattr(_SILENT, "depth", 0) + 1
    try:
        yield
    finally:
        _SILENT.depth -= 1


def masked_in_logs(secret: Secret) -> Callable[[], None]:
    """Mask a secret in the logs of httpx and httpcore, and return what ends that.

    Levels, handlers and all other lines stay as the user has set them.
    """
    _MASK.add(secret)
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_MASK)
    return lambda: _MASK.remove(secret)

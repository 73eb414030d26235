"""Keeps secrets out of the logs of httpx and httpcore, and out of answers.

A server, or a gateway in front of it, may repeat the token, an extra header or the password of a
proxy in its answer. The transport masks them in the body. But httpcore logs the headers of an
answer at DEBUG, and httpx its reason phrase at INFO, before the transport sees them.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote, quote_plus, unquote, urlsplit

from dagster_rudderstack.api.forks import ForkSafeLock

__all__ = ["LOGGERS", "Secrets", "header_secrets", "masked_in_logs", "proxy_secrets", "silent"]

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
"""A shorter text is not a real secret, and could be a word of the answer."""


class Secrets:
    """Masks secrets in the words of a server, also in the spellings of JSON and URLs.

    Args:
        texts: The secrets. One with less than eight characters is not masked.
    """

    def __init__(self, *texts: str) -> None:
        self._pattern = _spellings([text for text in texts if len(text) >= MIN_SECRET_LENGTH])

    def masked(self, content: bytes) -> bytes:
        """Return a body with asterisks instead of the secrets."""
        return self._pattern.sub(b"***", content)

    def masked_text(self, text: str) -> str:
        """Return a text with asterisks instead of the secrets."""
        return self.masked(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")


def _spellings(texts: Iterable[str]) -> re.Pattern[bytes]:
    spellings = {
        spelling
        for text in texts
        for spelling in (
            text,
            text.replace("/", r"\/"),
            json.dumps(text)[1:-1],
            *_in_urls(text),
        )
    }
    if not spellings:
        return re.compile(rb"(?!)")
    longest_first = sorted(spellings, key=len, reverse=True)
    return re.compile(b"|".join(re.escape(each.encode()) for each in longest_first))


def _in_urls(text: str) -> Iterator[str]:
    """Yield a text as paths, queries and forms spell it."""
    for spelling in (
        *(quote(text, safe=safe) for safe in ("", "/", "+=", "/+=")),
        quote_plus(text),
    ):
        yield spelling
        yield re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), spelling)


def header_secrets(value: str) -> Iterator[str]:
    """Yield the value of a header, and what is secret in it behind a scheme such as `Bearer`."""
    yield value
    scheme, _, credentials = value.partition(" ")
    if not credentials:
        return
    yield credentials
    if scheme.lower() == "basic":
        with contextlib.suppress(ValueError):
            decoded = base64.b64decode(credentials, validate=True).decode()
            yield from (decoded, decoded.partition(":")[2])


def proxy_secrets(proxy_url: str) -> Iterator[str]:
    """Yield the credentials in the URL of a proxy, as they are written and as they are sent."""
    try:
        # A variable such as HTTPS_PROXY may leave the scheme out.
        parts = urlsplit(proxy_url if "://" in proxy_url else f"http://{proxy_url}")
    except ValueError:
        return
    user, password = parts.username or "", parts.password or ""
    if user or password:
        secret = password or user
        yield from (secret, unquote(secret))
        yield base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()


class _Mask(logging.Filter):
    """Masks secrets in log records, and drops the records of a silent thread."""

    def __init__(self) -> None:
        super().__init__()
        # Reentrant, since a client may be garbage-collected while its thread holds this lock.
        self._lock = ForkSafeLock()
        self._secrets: tuple[Secrets, ...] = ()

    def filter(self, record: logging.LogRecord) -> bool:
        if getattr(_SILENT, "depth", 0):
            return False
        said = shown = record.getMessage()
        for secrets in self._secrets:
            shown = secrets.masked_text(shown)
        if shown != said:
            record.msg, record.args = shown, None
        return True

    def add(self, secrets: Secrets) -> None:
        with self._lock:
            self._secrets = (*self._secrets, secrets)

    def remove(self, secrets: Secrets) -> None:
        with self._lock:
            self._secrets = tuple(other for other in self._secrets if other is not secrets)


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


def masked_in_logs(secrets: Secrets) -> Callable[[], None]:
    """Mask secrets in the logs of httpx and httpcore. Return a function that ends this.

    Levels, handlers and all other records stay as the user has set them.
    """
    _MASK.add(secrets)
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_MASK)
    return lambda: _MASK.remove(secrets)

"""Looks for secrets in everything that a case logs and shows."""

from __future__ import annotations

import base64
import io
import json
import logging
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

TOKEN = "rst/T0ken-of-the+fuzzed_workspace"
KEY = "gateway-key/4711+fuzzed"
USER, PASSWORD = "fuzz", "proxy-p@ss/w0rd+fuzzed"
UNKNOWN = "value-of-an/unknown+field"
SECRETS = {
    "access token": TOKEN,
    "header": KEY,
    "proxy password": PASSWORD,
    "unknown field": UNKNOWN,
}


def escaped(text: str) -> str:
    r"""Return a text as JSON may write it: each character as \uXXXX."""
    return "".join(f"\\u{ord(char):04x}" for char in text)


def _spellings(secret: str) -> set[str]:
    return {
        secret,
        escaped(secret),
        secret.replace("/", r"\/"),
        json.dumps(secret)[1:-1],
        quote(secret, safe=""),
        quote(secret),
        base64.b64encode(secret.encode()).decode(),
    }


_SPELLINGS = {name: _spellings(secret) for name, secret in SECRETS.items()}
_SPELLINGS["proxy password"].add(base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode())


def leaks_in(text: str) -> Iterator[str]:
    """Yield the secrets in a text, with the words around them."""
    for name, spellings in _SPELLINGS.items():
        for spelling in spellings:
            found = re.search(re.escape(spelling), text, re.IGNORECASE)
            if found:
                around = text[max(0, found.start() - 300) : found.end() + 100]
                yield f"the {name} is in: {around!r}"
                break


class Leak(AssertionError):  # noqa: N818 - a finding, and not an error of the product
    """A secret was shown."""


@dataclass
class Watch:
    """What a case has logged and shown."""

    shown: io.StringIO = field(default_factory=io.StringIO)

    def show(self, text: object) -> None:
        """Note what a person could see."""
        self.shown.write(f"{text}\n")

    def show_error(self, error: BaseException) -> None:
        """Note what an error shows, with its causes."""
        self.show("".join(traceback.format_exception(error)))
        self.show(f"{error!r} {vars(error)}")

    def check(self) -> None:
        """Raise `Leak` if a secret was shown since the last check."""
        text = self.shown.getvalue()
        self.shown.seek(0)
        self.shown.truncate()
        for leak in leaks_in(text):
            raise Leak(leak)


def check_files(folder: Path) -> None:
    """Raise `Leak` if a file below a folder, or its name, has a secret."""
    for file in folder.rglob("*"):
        content = file.read_bytes().decode("utf-8", "replace") if file.is_file() else ""
        for leak in leaks_in(f"{file} {content}"):
            raise Leak(f"{file}: {leak}")


@contextmanager
def watching() -> Iterator[Watch]:
    """Collect what all loggers log, at any level."""
    watch = Watch()
    handler = logging.StreamHandler(watch.shown)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    # They may have been silenced by a library.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    try:
        yield watch
    finally:
        root.removeHandler(handler)
        root.setLevel(before)

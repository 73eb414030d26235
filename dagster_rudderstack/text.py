"""Makes the words of a server safe for a log, an error message and a page."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

MAX_DETAIL_LENGTH = 500
"""How much of a server's words is shown: an SQL error, and no more than a line of a log."""


def one_line(text: str, limit: int = MAX_DETAIL_LENGTH) -> str:
    """Return one line without control characters, at most `limit` long."""
    # Cut first, since a body may have megabytes.
    cut = text[: limit * 20]
    if not cut.isprintable():
        cut = "".join(char if char.isprintable() else " " for char in cut)
    line = " ".join(cut.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def identifier(text: str) -> str:
    """Return a text as Dagster accepts names of steps: letters, digits and underscores."""
    return "".join(char if char.isascii() and char.isalnum() else "_" for char in text)


def sentence(text: str) -> str:
    """Return one line that ends like a sentence, so that another one can follow."""
    line = one_line(text)
    return line if line.endswith((".", "!", "?", "…")) else f"{line}."


def well_formed(text: str) -> str:
    r"""Return a text that every database and encoding accepts, without half surrogate pairs.

    JSON allows them ("\ud83d"), and JavaScript writes them when it cuts a text in an emoji.
    """
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def message_of(body: str) -> str:
    """Return the message in an error's body: JSON in three shapes, HTML, or plain text."""
    try:
        return _message_in(json.loads(body)) or body
    except (ValueError, RecursionError):
        # Not JSON, or nested too deeply to be written again.
        return _without_markup(body)


def _message_in(answer: Any) -> str:
    """Return the message in an error's JSON. Empty if it has none of the known shapes."""
    if isinstance(answer, str):
        return answer
    if not isinstance(answer, dict):
        return ""
    error = answer.get("error")
    if isinstance(error, dict):
        error = error.get("message") or error
    # Some bodies have {"error": true} beside the message, which adds nothing to the status.
    said_by = (part for part in (error, answer.get("message")) if not isinstance(part, bool))
    parts = (_words(part) for part in said_by if part)
    said = list(dict.fromkeys(parts))
    if answer.get("code"):
        said.append(f"(code {_words(answer['code'])})")
    if answer.get("details"):
        said.append(f"details: {_words(answer['details'])}")
    return " ".join(said)


def _words(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


_IS_MARKUP = re.compile(r"<\s*(!doctype|html|head|body|h1|title)\b", re.IGNORECASE)


def _without_markup(text: str) -> str:
    """Return the words of an HTML page, or its title. Other text is unchanged."""
    if not _IS_MARKUP.search(text[:2000]):
        return text
    page = _PageText()
    page.feed(text)
    page.close()
    body = " ".join(page.body)
    return body if body.strip() else " ".join(page.title)


class _PageText(HTMLParser):
    """Collects the words of a page, without those of scripts and styles."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title: list[str] = []
        self.body: list[str] = []
        self._is_title = False
        self._is_hidden = False

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - the base's
        self._set(tag, inside=True)

    def handle_endtag(self, tag: str) -> None:
        self._set(tag, inside=False)

    def handle_data(self, data: str) -> None:
        if not self._is_hidden:
            (self.title if self._is_title else self.body).append(data)

    def _set(self, tag: str, *, inside: bool) -> None:
        if tag == "title":
            self._is_title = inside
        elif tag in ("script", "style"):
            self._is_hidden = inside

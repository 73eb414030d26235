"""Words of a server, made safe for a log, an error message and a page."""

from __future__ import annotations

import html
import json
import re
from typing import Any

MAX_DETAIL_LENGTH = 500
"""What we show of a server's words: enough for an SQL error, little enough for a line of a log."""


def one_line(text: str, limit: int = MAX_DETAIL_LENGTH) -> str:
    """Return one line without control characters, at most `limit` long."""
    # Cut before looking at each character: a body may have megabytes.
    cut = text[: limit * 20]
    if not cut.isprintable():
        cut = "".join(char if char.isprintable() else " " for char in cut)
    line = " ".join(cut.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def identifier(text: str) -> str:
    """Return a text as Dagster takes names of steps: letters, digits and underscores."""
    return "".join(char if char.isascii() and char.isalnum() else "_" for char in text)


def sentence(text: str) -> str:
    """Return one line that ends like a sentence, so that another can follow it."""
    line = one_line(text)
    return line if line.endswith((".", "!", "?", "…")) else f"{line}."


def well_formed(text: str) -> str:
    r"""Return a text that every database and encoding takes: no half of a surrogate pair.

    JSON lets a server write one ("\ud83d"), and JavaScript does when it cuts a text in an emoji.
    """
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def message_of(body: str) -> str:
    """Return the message in an error's body: JSON in three shapes, HTML, or plain text."""
    try:
        return _message_in(json.loads(body)) or body
    except (ValueError, RecursionError):
        # Not JSON, or nested too deep to be written down again.
        return _without_markup(body)


def _message_in(answer: Any) -> str:
    """Return what an error's JSON says; empty if it has none of the shapes that are known."""
    if isinstance(answer, str):
        return answer
    if not isinstance(answer, dict):
        return ""
    error = answer.get("error")
    if isinstance(error, dict):
        error = error.get("message") or error
    # Some bodies have {"error": true} beside the message, which says no more than the status.
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
_NOT_SHOWN = ("script", "style")


def _without_markup(text: str) -> str:
    """Return the words of an HTML page, its title only if there is nothing else; others as is."""
    if not _IS_MARKUP.search(text[:2000]):
        return text
    title, body = _words_of_page(text)
    return html.unescape(body if body.strip() else title)


def _words_of_page(page: str) -> tuple[str, str]:
    # Piece by piece instead of by one regular expression, whose time would grow with the square of
    # the length of a page that somebody made for it.
    words: dict[str, list[str]] = {"title": [], "body": []}
    inside: str | None = None
    first, *pieces = page.split("<")
    words["body"].append(first)
    for piece in pieces:
        tag, _, text = piece.partition(">")
        name = re.split(r"[\s/]", tag.lower(), maxsplit=1)[0] if not tag.startswith("/") else ""
        if inside is not None and tag.lower().startswith(f"/{inside}"):
            inside = None
        elif inside is None and name in (*_NOT_SHOWN, "title"):
            inside = name
        if inside not in _NOT_SHOWN:
            words["title" if inside == "title" else "body"].append(text)
    return " ".join(words["title"]), " ".join(words["body"])

"""Words of a server, made safe for a log, an error message and a page."""

from __future__ import annotations

import html
import json
import re

MAX_DETAIL_LENGTH = 500
"""What we show of a server's words: enough for an SQL error, little enough for a line of a log."""


def one_line(text: str, limit: int = MAX_DETAIL_LENGTH) -> str:
    """Return one line without control characters, at most `limit` long."""
    # Cut before looking at each character: a body may have megabytes.
    printable = "".join(char if char.isprintable() else " " for char in text[: limit * 20])
    line = " ".join(printable.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def sentence(text: str) -> str:
    """Return one line that ends like a sentence, so that another can follow it."""
    line = one_line(text)
    return line if line.endswith((".", "!", "?", "…")) else f"{line}."


def message_of(body: str) -> str:
    """Return the message in an error's body: JSON in three shapes, HTML, or plain text."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return _without_markup(body)
    if isinstance(answer, str):
        return answer
    if not isinstance(answer, dict):
        return body
    error = answer.get("error")
    if isinstance(error, dict):
        error = error.get("message") or json.dumps(error)
    said = list(dict.fromkeys(str(part) for part in (error, answer.get("message")) if part))
    if answer.get("code"):
        said.append(f"(code {answer['code']})")
    if answer.get("details"):
        said.append(f"details: {json.dumps(answer['details'])}")
    return " ".join(said) if said else body


def _without_markup(text: str) -> str:
    if not re.search(r"<\s*(!doctype|html|head|body|h1|title)\b", text[:2000], re.IGNORECASE):
        return text
    text = re.sub(r"(?is)<(script|style|title)\b.*?</\1\s*>", " ", text)
    return html.unescape(re.sub(r"(?s)<[^>]*>", " ", text))

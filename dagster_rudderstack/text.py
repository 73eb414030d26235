"""Makes the words of a server, and of a user, safe for a log line, an error message and a page."""

from __future__ import annotations

import contextlib
import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from html.parser import HTMLParser
from typing import Any

MAX_DETAIL_LENGTH = 500
"""How much of a server's words is shown: enough for an SQL error, and still one line of a log."""

MAX_EXAMPLES = 3
"""How many of many similar warnings are logged."""

MAX_NAMES = 20
"""How many names of others follow them."""

MAX_VALUE_LENGTH = 100
"""How much of a wrong value an error message shows."""


def one_line(text: str, limit: int = MAX_DETAIL_LENGTH) -> str:
    """Return one line without control characters, with at most `limit` characters."""
    # Cut first, since a body may have megabytes.
    cut = text[: limit * 20]
    if not cut.isprintable():
        cut = "".join(char if char.isprintable() else " " for char in cut)
    line = " ".join(cut.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def shown(value: object) -> str:
    """Return a wrong value as an error message shows it."""
    return one_line(repr(value), MAX_VALUE_LENGTH)


def plural(count: int, noun: str) -> str:
    """Return a number with its noun: `1 sync`, `1,200 syncs`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that is most like another, without regard to case. None if none is."""
    folded = {_folded(each): each for each in sorted(known)}
    found = difflib.get_close_matches(_folded(word), folded, n=1)
    return folded[found[0]] if found else None


def _folded(word: str) -> str:
    return " ".join(word.casefold().split())


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'the nearest known word'?`. Empty if there is none."""
    found = nearest(word, known)
    return "" if found is None else f" Did you mean {found!r}?"


def summary_of(lines: Mapping[str, str], noun: str) -> str:
    """Return the first few lines, and the names of others, so that a log is not flooded.

    Args:
        lines: The lines by the name of what they are about.
        noun: What they are about: `connection`.
    """
    examples = list(lines.values())[:MAX_EXAMPLES]
    named = list(lines)[MAX_EXAMPLES : MAX_EXAMPLES + MAX_NAMES]
    more = len(lines) - len(examples) - len(named)
    others = f" and {plural(more, f'more {noun}')}" if more else ""
    return "\n".join(
        [*examples, *([f"Also affected: {', '.join(named)}{others}."] if named else [])]
    )


def examples_of(names: Sequence[str], noun: str) -> str:
    """Return the first few names, and how many more there are: `'a', 'b', 'c' and 2 more syncs`."""
    more = len(names) - MAX_EXAMPLES
    others = f" and {plural(more, f'more {noun}')}" if more > 0 else ""
    return f"{', '.join(map(repr, names[:MAX_EXAMPLES]))}{others}"


def identifier(text: str) -> str:
    """Return a text as a valid name of a Dagster step: letters, digits and underscores."""
    return "".join(char if char.isascii() and char.isalnum() else "_" for char in text)


def sentence(text: str) -> str:
    """Return one line that ends like a sentence, so that another one can follow."""
    line = one_line(text)
    return line if line.endswith((".", "!", "?", "…")) else f"{line}."


def capitalized(text: str) -> str:
    """Return a text with a large first letter, and the others as they are."""
    return text[:1].upper() + text[1:]


def failure(error: Exception) -> str:
    """Return an error of other code, such as a user's function, as a sentence with its type."""
    return sentence(": ".join(filter(None, (type(error).__name__, str(error)))))


def well_formed(text: str) -> str:
    r"""Return a text without halves of surrogate pairs, which databases and encodings refuse.

    JSON allows a lone half ("\ud83d"). JavaScript writes one if it cuts a text inside an emoji.
    """
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


_ACTIVE_IN_MARKDOWN = re.compile(
    r"""
    [\\`\[]                     # escapes, code, links, images and footnotes
    | <(?=[a-z/!?])             # HTML, and links in angle brackets
    | &(?=\#?\w+;)              # characters by name or number
    | [*~](?![ ]|$)             # bold, italic or crossed out, if words follow
    | (?<!\w)_+(?![ ]|$)        # the same, but not inside of a word
    | (?<=http):(?=//) | (?<=https):(?=//) | (?<=www)\.  # a URL, which may not have escapes
    """,
    re.IGNORECASE | re.VERBOSE,
)
_BLOCK_IN_MARKDOWN = re.compile(
    r"^(?:(\d{1,9})(?=[.)](?: |$))|(?=(?:#{1,6}|[*+-])(?: |$)|>|(?:[-_*] ?){3,}$))"
)
"""Where the marker of a heading, a quote, a list or a line would be, at the beginning of a line."""


def escaped_markdown(text: str) -> str:
    """Return one line of Markdown that a page shows as this text.

    Dagster's pages render descriptions as Markdown, and a browser loads the images in it. Lists and
    search results show the same descriptions as they are, so only what has an effect is escaped.
    A plain URL still becomes a link, which shows its own address.
    """
    line = one_line(text, len(text))
    line = _ACTIVE_IN_MARKDOWN.sub(lambda found: "".join(f"\\{each}" for each in found[0]), line)
    return _BLOCK_IN_MARKDOWN.sub(r"\1\\", line)


def without_escapes(markdown: str) -> str:
    """Return the text of `escaped_markdown`, for a place that does not render Markdown."""
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", markdown)


def message_of(body: str) -> str:
    """Return the message in the body of an error: JSON of some shapes, HTML or plain text.

    Other JSON is left out, also if it is broken. It may have the credentials of a destination.
    """
    try:
        return _message_in(json.loads(body))
    except (ValueError, RecursionError):
        # Not JSON, or nested too deeply to be serialized again.
        text = _without_markup(body)
    cut = _CUT_MESSAGE.match(text)
    return _unescaped(cut[1]) if cut else _without_json(text)


_CUT_MESSAGE = re.compile(r'\s*\{\s*"(?:error|message)"\s*:\s*"((?:[^"\\]|\\.)+)')
"""JSON that was cut off, and begins with a message."""

_JSON_BEGINS = re.compile(r"""\{\s*["'}]|\[\s*["'\[{]|^\s*\[\s*(?:[\d\]-]|null|true|false)""")


def _unescaped(text: str) -> str:
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:
        return text


def _without_json(text: str) -> str:
    begins = _JSON_BEGINS.search(text)
    return text[: begins.start()] if begins else text


def _message_in(answer: Any) -> str:
    """Return the message in an error's JSON. Empty if the shape is unknown."""
    if isinstance(answer, str):
        return _without_json(answer)
    if not isinstance(answer, dict):
        return ""
    error = answer.get("error")
    if isinstance(error, dict):
        error = error.get("message") or error
    # Some bodies have {"error": true} next to the message. It adds nothing to the status.
    said_by = (part for part in (error, answer.get("message")) if not isinstance(part, bool))
    parts = (_words(part) for part in said_by if part)
    said = list(dict.fromkeys(parts)) or _other_messages(answer)
    if answer.get("code"):
        said.append(f"(code {_words(answer['code'])})")
    if answer.get("details"):
        said.append(f"details: {_words(answer['details'])}")
    return " ".join(said)


def _other_messages(answer: Mapping[str, Any]) -> list[str]:
    """Return the message of a gateway: RFC 9457, OAuth and others."""
    texts = (answer.get(key) for key in ("title", "detail", "error_description", "msg"))
    errors = answer.get("errors")
    more = map(_message_in, errors[:3]) if isinstance(errors, list) else ()
    return [each for each in (*texts, *more) if each and isinstance(each, str)]


def _words(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


MAX_MARKUP_LENGTH = 8 * 1024
"""How much of an HTML page is parsed. The message is at its beginning."""

_IS_MARKUP = re.compile(r"<\s*(!doctype|html|head|body|h1|title)\b", re.IGNORECASE)


def _without_markup(text: str) -> str:
    """Return the words of an HTML page, or its title if it has no others. Other text is kept."""
    if not _IS_MARKUP.search(text[:2000]):
        return text
    page = _PageWords()
    # The parser of some Python releases raises this for a broken declaration such as "<![x".
    with contextlib.suppress(AssertionError):
        page.feed(_without_open_tags(text[:MAX_MARKUP_LENGTH]))
        page.close()
    body = " ".join(page.body)
    return body if body.strip() else " ".join(page.title)


def _without_open_tags(text: str) -> str:
    """Cut a text at the first tag after the last end of a tag.

    The parser would look for the end of each of them in the whole rest of the text.
    """
    cut = text.find("<", text.rfind(">") + 1)
    return text if cut < 0 else text[:cut]


class _PageWords(HTMLParser):
    """Collects the title of an HTML page, and the text that a browser shows."""

    def __init__(self) -> None:
        super().__init__()
        self.title: list[str] = []
        self.body: list[str] = []
        self._inside: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        if self._inside is None and tag in ("title", "script", "style"):
            self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside is None:
            self.body.append(data)
        elif self._inside == "title":
            self.title.append(data)

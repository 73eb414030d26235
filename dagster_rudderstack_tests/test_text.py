"""The text of a server's answer becomes one short printable line."""

import time

import pytest

from dagster_rudderstack.text import (
    MAX_DETAIL_LENGTH,
    escaped_markdown,
    examples_of,
    message_of,
    one_line,
    plural,
    sentence,
    summary_of,
    well_formed,
    without_escapes,
)

NGINX = """<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n
<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>"""
STYLED = """<!DOCTYPE html><html><head><title>Oops</title><style>a > b { color: red }</style>
<script>if (a < b && c > d) { alert("no") }</script></head><body><p>Origin is&nbsp;down</p></body>
</html>"""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"error": "no such table"}', "no such table"),
        ('{"message": "no such table"}', "no such table"),
        ('{"error": {"message": "no such table", "type": "sql"}}', "no such table"),
        ('{"error": "Bad Request", "message": "no such table"}', "Bad Request no such table"),
        ('{"error": "twice", "message": "twice"}', "twice"),
        ('{"message": "no", "code": "E17"}', "no (code E17)"),
        ('{"message": "no", "details": {"column": "é"}}', 'no details: {"column": "é"}'),
        ('{"error": {"reason": 7}}', '{"reason": 7}'),
        ('{"error": ["a", "b"]}', '["a", "b"]'),
        ('{"error": true, "message": "Not found"}', "Not found"),
        ('{"error": false, "message": "Not found", "code": 7}', "Not found (code 7)"),
        ('{"error": true}', ""),
        ('"just a text"', "just a text"),
        ('{"message": "cut off', "cut off"),
        ('{"error":"no", "config": {"apiKey": "s3cr3t"', "no"),
        (r'{"error": "relation \"users\" does', 'relation "users" does'),
        ('{"title": "Forbidden", "detail": "by policy"}', "Forbidden by policy"),
        ('{"errors": [{"message": "no such table"}]}', "no such table"),
        ('{"error_description": "expired"}', "expired"),
        ('{"reason": "unknown shape"}', ""),
        ("Unexpected token { in JSON at position 0", "Unexpected token { in JSON at position 0"),
        ("error at {{ source }}: unknown", "error at {{ source }}: unknown"),
        ("[SSL: UNKNOWN] upstream [1] failed", "[SSL: UNKNOWN] upstream [1] failed"),
        (r'"{\"apiKey\": \"s3cr3t\"}"', ""),
        ('[null, "s3cr3t"', ""),
        ("[1, 2]", ""),
        ('{"config": {"apiKey": "s3cr3t"', ""),
        ('[{"config": {"apiKey": "s3cr3t"}}]', ""),
        ('[["s3cr3t"', ""),
        ('["s3cr3t"', ""),
        ('Answer: {"apiKey": "s3cr3t"}', "Answer:"),
        ("<html><pre>[{'apiKey': 's3cr3t'}]</pre>", ""),
        ("upstream connect error", "upstream connect error"),
        ("a < b and c > d", "a < b and c > d"),
        (NGINX, "502 Bad Gateway nginx"),
        (STYLED, "Origin is down"),
        ("<html><head><title>503 Service Unavailable</title>", "503 Service Unavailable"),
        ("<html><body>Bad gateway<![x[ y", "Bad gateway"),
        ("<html><title>One</title><p>a &lt; b<br/>c</p>", "a < b c"),
        ("<HTML><BODY>Forbidden &lt;by policy&gt;</BODY></HTML>", "Forbidden <by policy>"),
        ("", ""),
    ],
)
def test_message_of(body: str, message: str) -> None:
    """The message is found in JSON of three shapes, in a page and in plain text."""
    assert one_line(message_of(body)) == message


@pytest.mark.parametrize(
    "body",
    [
        "<html>" + "<script" * 9_000,
        "<html>" + "<" * 64_000,
        "<html>" + "<!--" * 16_000,
        "<html>" + "<title" * 10_000,
        "<html>" + "<title>" * 9_000,
        "<html>" + "<script>" * 8_000,
        "<html>" + "<![" * 20_000,
        "<html>" + "<!x[" * 16_000,
        "<html>" + "<?" * 30_000,
        "<html>" + "</" * 30_000,
        "<html>" + "<a b=" * 13_000,
        "<html>" + "<a " * 22_000,
        "<html>" + "&#" * 30_000,
        "<html>" + "<a " * 2_700 + ">",
        "<html>" + "<!--" * 2_000 + ">",
        "[" * 64_000,
        '{"error": ' + "[" * 900 + "]" * 900 + "}",
        '{"details": ' + '{"a": ' * 900 + "1" + "}" * 901,
        "\x00" * 64_000,
        " " * 64_000,
    ],
    ids=lambda body: body[:12].strip("\x00 ") or "blank",
)
def test_message_of__hostile(body: str) -> None:
    """A body that attacks the parser gives a short line within 2 s."""
    began = time.process_time()
    line = one_line(message_of(body))

    assert len(line) <= MAX_DETAIL_LENGTH
    assert time.process_time() - began < 2


def test_message_of__unclosed() -> None:
    """The words after the last tag are kept, and a tag that is cut off is not."""
    assert message_of("<html><body>Bad gateway") == "Bad gateway"
    assert message_of("<html><body>Bad gateway<a hr") == "Bad gateway"


NAMES = ", ".join(f"c{number}" for number in range(3, 23))


@pytest.mark.parametrize(
    ("count", "rest"),
    [
        (1, []),
        (3, []),
        (4, ["Also affected: c3."]),
        (23, [f"Also affected: {NAMES}."]),
        (2000, [f"Also affected: {NAMES} and 1,977 more connections."]),
    ],
)
def test_summary_of(count: int, rest: list[str]) -> None:
    """Of many warnings, the first ones are shown, and the names of some others."""
    lines = {f"c{number}": f"Connection c{number} is broken." for number in range(count)}

    assert summary_of(lines, "connection").splitlines() == [*list(lines.values())[:3], *rest]


@pytest.mark.parametrize(
    ("count", "text"),
    [(1, "'a0'"), (3, "'a0', 'a1', 'a2'"), (4, "'a0', 'a1', 'a2' and 1 more asset")],
)
def test_examples_of(count: int, text: str) -> None:
    """Of many names, the first ones are shown, and how many more there are."""
    assert examples_of([f"a{number}" for number in range(count)], "asset") == text


def test_one_line__control_characters() -> None:
    """Characters that move the cursor, reverse the text or begin a new line are removed."""
    line = one_line("a\r\nb\x1b[31mc\u202ed\u2028e\x00f\u200bg\ud800h")

    assert line == "a b [31mc d e f g h"


def test_one_line__long() -> None:
    """A long text is cut and ends with an ellipsis."""
    assert one_line("x" * 600) == "x" * 499 + "…"
    assert one_line("x" * 10_000_000, 5) == "xxxx…"
    assert one_line("x" * 500) == "x" * 500


@pytest.mark.parametrize(
    ("text", "result"), [("no", "no."), ("no.", "no."), ("no!", "no!"), ("why?", "why?")]
)
def test_sentence(text: str, result: str) -> None:
    """A sentence ends with one punctuation mark."""
    assert sentence(text) == result


def test_well_formed() -> None:
    """Half of a surrogate pair is replaced. A whole character is kept."""
    text = well_formed("cut \ud83d in half, \U0001f600 whole")

    assert text == "cut \ufffd in half, \U0001f600 whole"
    text.encode()


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 syncs"), (1, "1 sync"), (2, "2 syncs"), (1200, "1,200 syncs")]
)
def test_plural(count: int, text: str) -> None:
    """A number agrees with its noun, and has a comma before each three digits."""
    assert plural(count, "sync") == text


NORMAL_TEXTS = (
    "users_daily → HubSpot (prod)",
    "crm.contacts",
    "stg_stripe__payments",
    "Customers' list & more: R&D, 10 %, $5",
    "0 3 * * *",
    "a < b and c <= d, 2 * 3",
    'relation "users" does not exist.',
    "2024.05 report of tom@example.com - v1.2, #7",
)


@pytest.mark.parametrize("text", NORMAL_TEXTS)
def test_escaped_markdown__unchanged(text: str) -> None:
    """A text without effect in Markdown stays as it is."""
    assert escaped_markdown(text) == text
    assert without_escapes(text) == text


ACTIVE_TEXTS = {
    "image": ("![x](https://evil/a.png)", r"!\[x](https\://evil/a.png)"),
    "html": ('<img src="/a.png">', r'\<img src="/a.png">'),
    "comment": ("<!-- x -->", r"\<!-- x -->"),
    "link": ("[x](javascript:alert(1))", r"\[x](javascript:alert(1))"),
    "link in brackets": ("<https://evil>", r"\<https\://evil>"),
    "reference": ("[x]: https://evil", r"\[x]: https\://evil"),
    "url": ("HTTP://a/_b and www.a.b", r"HTTP\://a/\_b and www\.a.b"),
    "entity": ("&lt;b&#62;", r"\&lt;b\&#62;"),
    "code": ("`x`", r"\`x\`"),
    "emphasis": ("*a* __b__ ~~c~~", r"\*a* \_\_b__ \~\~c\~~"),
    "cron": ("*/15 * * * *", r"\*/15 * * * *"),
    "backslash": (r"C:\x \[y", r"C:\\x \\\[y"),
    "heading": ("# x", r"\# x"),
    "quote": ("> x", r"\> x"),
    "list": ("- x", r"\- x"),
    "stars": ("* * *", r"\* * *"),
    "numbered list": ("1. x", r"1\. x"),
    "number": ("12)", r"12\)"),
}


@pytest.mark.parametrize(("text", "markdown"), ACTIVE_TEXTS.values(), ids=ACTIVE_TEXTS.keys())
def test_escaped_markdown(text: str, markdown: str) -> None:
    """What has an effect in Markdown is escaped, and the text can be read again."""
    assert escaped_markdown(text) == markdown
    assert without_escapes(markdown) == text


def test_escaped_markdown__lines() -> None:
    """A text of many lines becomes one line, so that no line begins a block."""
    assert escaped_markdown("a\n\n# b\n| c |\n|---|") == "a # b | c | |---|"

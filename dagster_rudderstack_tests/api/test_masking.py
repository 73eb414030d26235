"""Extra headers and the password of a proxy are masked like the token, wherever they come back."""

import base64
import io
import json
import traceback
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from dagster_rudderstack.api.redaction import proxy_secrets
from dagster_rudderstack.errors import ApiError
from dagster_rudderstack_tests.api.raw_server import (
    TOKEN,
    Answer,
    Cut,
    RawServer,
    client_of,
    connection,
    exchange,
    http,
    in_json,
)

KEY = "gateway-key/4711+abc"
PASSWORD = "p@ss-w0rd/of-the-proxy"
QUOTED = "p%40ss-w0rd%2Fof-the-proxy"
SENT = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
HEADERS = {"X-Gateway-Key": KEY}


def escaped(text: str) -> str:
    """Return a text as JSON may write it: each character as a number."""
    return "".join(f"\\u{ord(char):04x}" for char in text)


def printed(error: BaseException) -> str:
    return f"{''.join(traceback.format_exception(error))} {error!r} {vars(error)}"


@pytest.mark.parametrize(
    "spelled",
    [
        quote,
        lambda secret: quote(secret, safe=""),
        lambda secret: quote(secret, safe="").lower(),
        lambda secret: quote(secret, safe="/+"),
        lambda secret: quote(secret, safe="+").replace("%2F", "%2f"),
        quote_plus,
    ],
    ids=["path", "query", "lower case", "path with plus", "query with plus", "form"],
)
def test_error__urls(spelled: Callable[[str], str]) -> None:
    """A secret is masked however a URL spells it."""
    secret = "key/4711+abc de"
    body = f"no entry: /x?key={spelled(secret)}&y=1"
    with (
        exchange(http(403, body), extra_headers={"X-Gateway-Key": secret}) as (_, client),
        pytest.raises(ApiError, match=r"no entry: /x\?key=\*\*\*&y=1"),
    ):
        client.get_connection("crm")


@pytest.mark.parametrize(
    ("header", "secret"),
    [
        ("Bearer gateway-4711", "gateway-4711"),
        (f"Basic {SENT}", SENT),
        (f"Basic {SENT}", f"me:{PASSWORD}"),
        (f"Basic {SENT}", PASSWORD),
    ],
    ids=["bearer", "basic", "user and password", "password"],
)
def test_error__scheme(header: str, secret: str) -> None:
    """What is secret behind the scheme of a header is masked too."""
    with (
        exchange(http(403, f"no {secret}"), extra_headers={"X-Auth": header}) as (_, client),
        pytest.raises(ApiError) as caught,
    ):
        client.get_connection("crm")

    assert secret not in printed(caught.value)
    assert "says: no ***." in str(caught.value)


@pytest.mark.parametrize("secret", [TOKEN, KEY])
@pytest.mark.parametrize(
    "answer",
    [
        lambda secret: http(403, f"no entry with {secret}", {"X-Echo": secret}),
        lambda secret: http(403, json.dumps({"message": secret})),
        lambda secret: http(403, f'{{"message": "{escaped(secret)}"}}'),
        lambda secret: http(403, f"<html><p>{''.join(f'&#{ord(c)};' for c in secret)}</p></html>"),
        lambda secret: http(200, f"this is {secret}"),
        lambda secret: f"HTTP/1.1 500 {secret}\r\nContent-Length: 0\r\n\r\n".encode(),
    ],
    ids=["text", "json", "escaped json", "html", "no json", "reason"],
)
def test_error(secret: str, answer: Answer, logged: io.StringIO) -> None:
    """Neither an error nor a log shows a secret that a gateway repeats."""
    assert callable(answer)
    with (
        exchange(answer(secret), extra_headers=HEADERS) as (_, client),
        pytest.raises(ApiError) as caught,
    ):
        client.get_connection("crm")

    assert secret not in printed(caught.value)
    assert secret not in logged.getvalue()
    assert "X-Echo" not in str(answer(secret)) or "X-Echo" in logged.getvalue()


@pytest.mark.parametrize("write", [json.dumps, lambda text: f'"{escaped(text)}"'])
def test_good_answer(write: Answer) -> None:
    """A good answer does not carry the token either, however its characters are written."""
    assert callable(write)
    body = json.dumps({**connection(), "externalId": "?"})
    with exchange(http(200, body.replace('"?"', write(f"CRM {TOKEN} ä")))) as (_, client):
        found = client.get_connection("crm")

    assert "*** ä" in repr(found)
    assert TOKEN not in repr(found)


def test_good_answer__error_text() -> None:
    """The error text of a sync does not carry a header, which may be a key. An id may be one."""
    headers = {"X-Workspace": "2hkeBOp0lGJpMPyur0oXUxxIDhw", **HEADERS}
    sync = {"id": headers["X-Workspace"], "status": "failed", "error": f"no entry with {KEY}"}
    with exchange(in_json({"syncs": [sync]}), extra_headers=headers) as (_, client):
        (found,) = client.list_syncs("crm")

    assert (found.id, found.error) == (headers["X-Workspace"], "no entry with ***")


@pytest.mark.parametrize(
    "body", [f'["{escaped(TOKEN)}"]', f'{{"reason": "{escaped(TOKEN)}"}}', f"cut: {escaped(TOKEN)}"]
)
@pytest.mark.parametrize("status", [200, 400])
def test_escaped(body: str, status: int) -> None:
    """An error does not show an escaped token, wherever it is."""
    with exchange(http(status, body)) as (_, client), pytest.raises(ApiError) as caught:
        client.get_connection("crm")

    assert escaped(TOKEN)[:30] not in printed(caught.value)
    assert TOKEN not in printed(caught.value)


def test_variables() -> None:
    """No variable in a traceback has a secret, also if the answer is cut off."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + f"{TOKEN} {KEY}".encode()
    with exchange(Cut(answer), extra_headers=HEADERS) as (_, client):
        shown = ""
        try:
            client.get_connection("crm")
        except ApiError as error:
            found = traceback.TracebackException.from_exception(error, capture_locals=True)
            # Without the variables of this test.
            shown = "".join(list(found.format())[:1]) + "".join(
                str(frame.locals)
                for each in (found, found.__cause__)
                if each
                for frame in each.stack
                if "test_masking" not in frame.filename and "raw_server" not in frame.filename
            )

    assert "response" in shown
    assert TOKEN not in shown
    assert KEY not in shown


def test_utf_16() -> None:
    """An answer in another encoding is not JSON."""
    with (
        exchange(http(200, json.dumps({"id": TOKEN}).encode("utf-16"))) as (_, client),
        pytest.raises(ApiError, match="not JSON"),
    ):
        client.get_connection("crm")


@pytest.mark.parametrize("url", ["me:secret-word@proxy:3128", "http://secret-word@proxy:3128"])
def test_proxy_secrets(url: str) -> None:
    """Credentials are found without a scheme, and a name alone may be a key."""
    assert "secret-word" in list(proxy_secrets(url))


def echo(seen: object) -> bytes:
    """Refuse with all that a proxy knows."""
    words = f"{PASSWORD} {QUOTED} {SENT}"
    return f"HTTP/1.1 407 {words}\r\nX-Echo: {words}\r\nContent-Length: 0\r\n\r\n".encode()


@pytest.mark.parametrize("from_environment", [False, True])
def test_proxy(
    from_environment: bool, logged: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The password of a proxy is in no error and no log, also if its URL is in a variable."""
    with RawServer(echo) as proxy:
        url = proxy.url.replace("http://", f"http://me:{QUOTED}@")
        if from_environment:
            monkeypatch.setenv("HTTPS_PROXY", url)
        settings: dict[str, Any] = {} if from_environment else {"proxy_url": url}
        with (
            client_of("https://api.rudderstack.com", **settings) as client,
            pytest.raises(ApiError) as caught,
        ):
            client.get_connection("crm")
        assert SENT in str(proxy.seen)

    shown = printed(caught.value) + logged.getvalue()
    assert "X-Echo" in shown
    assert [secret for secret in (PASSWORD, QUOTED, SENT) if secret in shown] == []

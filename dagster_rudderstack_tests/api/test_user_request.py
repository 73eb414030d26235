"""The checks of a request that a user writes, and where its token goes."""

from collections import namedtuple
from collections.abc import Iterator
from datetime import date
from enum import Enum, IntEnum
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import dagster as dg
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_rudderstack.api.client import RudderStackClient
from dagster_rudderstack.api.user_request import (
    checked_json,
    checked_method,
    checked_params,
    checked_path,
)
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack_tests.api.raw_server import TOKEN, RawServer, client_of, in_json
from dagster_rudderstack_tests.api.recorder import Recorder, recorder

# --- methods


@pytest.mark.parametrize("method", ["GET", "get", "Head", "post", "PUT", "patch", "DELETE"])
def test_method(method: str) -> None:
    """The methods of the API are accepted, also in lower case."""
    assert checked_method(method) == method.upper()


@pytest.mark.parametrize(
    "method", ["", "FETCH", "OPTIONS", "CONNECT", "TRACE", "GET ", "GET\r\nX: y", None, 7, b"GET"]
)
def test_method__refused(method: object) -> None:
    """Any other method is refused, with a message that names it and the known ones."""
    with pytest.raises(
        InvalidSettingError, match=r"^method .* expected one of GET, HEAD"
    ) as caught:
        checked_method(method)

    assert repr(method) in str(caught.value)


# --- paths


@pytest.mark.parametrize(
    "path",
    [
        "/workspace",
        "/retl-connections/2hkeBOp0lGJpMPyur0oXUxxIDhw/syncs/9mEzxkT2",
        "/retl-connections/",
        "/a.b/c~d_e:f-g",
        "/sources/a%20b%C3%BC%40",
        "/versions/v2",
        "/v2x",
    ],
)
def test_path(path: str) -> None:
    """A path of RudderStack's reference is sent as it is."""
    assert checked_path(path) == path


BAD_PATHS = [
    *("", "/", "retl-sources", " /retl-sources", "/retl-sources ", "?x", "/x y", "/é", "/\uff0e"),
    *("//evil.example/x", "///x", "/a//b", "/\\evil.example", "\\\\evil.example", "/a\\b"),
    *("https://evil.example/v2/x", "http:/x", "evil.example/x", "javascript:x"),
    *("/@evil.example", "@evil.example/x", ":pass@evil.example", ".evil.example/x", ":8443/x"),
    *("/..", "/../..", "/a/../../b", "/a/..", "/./a", "/a/.", "/a..b", "/..;/x"),
    *("/%2e%2e/x", "/%2E./x", "/.%2e", "/%2e", "/a%2f..%2fb", "/a%2Fb", "/a%5Cb", "/%252e%252e/x"),
    *(
        "/a%3Fb",
        "/a%23b",
        "/a%00",
        "/a%0d%0aX:%20y",
        "/%c0%ae%c0%ae/x",
        "/%ff",
        "/%",
        "/%2",
        "/%zz",
    ),
    *("/a\nb", "/a\r\nX-Header: y", "/a\tb", "/a\x00", "/a\x7f", "/a\u2028b", "/a\u00a0b"),
    *("/a?b=c", "/a#b", "/a;b=c", "/a,b", "/v2", "/v2/retl-sources", "/V2/x", "/v1/x"),
]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_path__refused(path: str) -> None:
    """A path that could leave the API's version is refused, with a short message on one line."""
    with pytest.raises(InvalidSettingError, match=r"^path ") as caught:
        checked_path(path)

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 350


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (None, "path must be a string, got NoneType"),
        (b"/x", "path must be a string, got bytes"),
        pytest.param(dg.EnvVar("CRM"), "path cannot be an EnvVar", id="EnvVar"),
        ("retl-sources", "path 'retl-sources' does not begin with a single '/'"),
        ("/retl-sources?page=2", "path '/retl-sources' has a query behind it: give it as params"),
        ("/a b", "urllib.parse.quote"),
        ("/v2/retl-sources", "path '/v2/retl-sources' begins with a version .* leave '/v2' out"),
    ],
)
def test_path__message(path: object, message: str) -> None:
    """The message says what is wrong with a path, and what would be right."""
    with pytest.raises(InvalidSettingError, match=message):
        checked_path(path)


@pytest.mark.parametrize(
    "path", ["https://me:hush-hush@host/x", "/x?token=hush-hush", "/x#hush-hush", "//@?hush-hush"]
)
def test_path__secret(path: str) -> None:
    """The message does not show a password or a query."""
    with pytest.raises(InvalidSettingError) as caught:
        checked_path(path)

    assert "hush-hush" not in str(caught.value)


@given(st.text(st.sampled_from("/.%2eEfF5cC@:\\?#a\x00é"), max_size=12).map("/{}".format))
def test_path__stays_in_place(path: str) -> None:
    """An accepted path leaves host and prefix as they are, however often a server decodes it."""
    try:
        url = httpx.URL(f"https://api.example/prefix/v2{checked_path(path)}")
    except InvalidSettingError:
        return
    assert url.host == "api.example"
    sent = decoded = url.raw_path.decode()
    for _ in range(3):
        assert ".." not in decoded
        assert decoded.startswith("/prefix/v2/")
        assert decoded.count("/") == sent.count("/")
        assert not set(decoded) & set("\\?#\x00")
        decoded = unquote(decoded)


@given(st.text(min_size=1, max_size=10))
def test_path__quoted(text: str) -> None:
    """An id in `urllib.parse.quote` is accepted, unless it could change the path."""
    escaped = quote(text.encode("utf-8", "replace"), safe="")
    could = ".." in text or text == "." or not text.isprintable() or set(text) & set("/\\?#%")
    version = text.lower().startswith("v") and text[1:].isdigit()

    try:
        assert checked_path(f"/{escaped}") == f"/{escaped}"
    except InvalidSettingError:
        assert could or version


# --- the query


class Status(str, Enum):
    """An enum of texts."""

    FAILED = "failed"


class Page(IntEnum):
    """An enum of numbers."""

    SECOND = 2


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        ("a b&c=d", ["a b&c=d"]),
        ("", [""]),
        (10, ["10"]),
        (0, ["0"]),
        (1.5, ["1.5"]),
        (True, ["true"]),
        (False, ["false"]),
        (Status.FAILED, ["failed"]),
        (Page.SECOND, ["2"]),
        (["a", 1, True], ["a", "1", "true"]),
        (("a", "b"), ["a", "b"]),
        ([], []),
    ],
)
def test_params(value: Any, texts: list[str]) -> None:
    """Values become texts as in JSON, and a list repeats its parameter."""
    assert checked_params({"name": value}) == {"name": texts}


def test_params__none() -> None:
    """None leaves a parameter out."""
    assert checked_params(None) == {}
    assert checked_params({"a": None, "b": 1}) == {"b": ["1"]}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("page=2", "params must be a mapping .* got str"),
        ([("page", 2)], "params must be a mapping .* got list"),
        ({1: 2}, "params has the name 1: expected a string"),
        ({None: 2}, "params has the name None"),
        ({"a\ud83d": 2}, r"The name 'a\\ud83d' in params is a str that cannot be sent"),
        ({"a": float("nan")}, r"params\['a'\] is a float that cannot be sent: expected a string"),
        ({"a": float("inf")}, "is a float"),
        pytest.param({"a": 10**5000}, "is a int", id="huge"),
        ({"a": "\ud83d"}, "is a str"),
        ({"a": b"x"}, "is a bytes"),
        ({"a": {"b": 1}}, "is a dict"),
        ({"a": [None]}, "is a NoneType"),
        ({"a": [["b"]]}, "is a list"),
        ({"a": date(2026, 1, 1)}, "is a date"),
        pytest.param({"a": dg.EnvVar("X")}, r"params\['a'\] cannot be an EnvVar", id="EnvVar"),
        pytest.param({"a": dg.EnvVar.int("X")}, "cannot be an EnvVar", id="EnvVar.int"),
        pytest.param({dg.EnvVar("X"): 1}, "cannot be an EnvVar", id="EnvVar as name"),
    ],
)
def test_params__refused(params: object, message: str) -> None:
    """What has no clear text is refused. The message names the parameter."""
    with pytest.raises(InvalidSettingError, match=message):
        checked_params(params)


# --- the JSON

Point = namedtuple("Point", ["x", "y"])  # noqa: PYI024 - has no types


@pytest.mark.parametrize(
    "content", [{}, [], "", 0, False, {"a": [1, None, {"b": "é"}]}, [1.5], Point(1, 2)]
)
def test_json(content: object) -> None:
    """Any JSON can be sent. None means no body."""
    assert checked_json(content, "POST") is content
    assert checked_json(None, "GET") is None


def circle() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


def deep() -> list[Any]:
    found: list[Any] = []
    for _ in range(200_000):
        found = [found]
    return found


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": float("nan")}, "json cannot be sent: Out of range float values"),
        ([float("-inf")], "json cannot be sent"),
        ({"a": {1, 2}}, "json cannot be sent: Object of type set is not JSON serializable"),
        ({"a": date(2026, 1, 1)}, "Object of type date"),
        (b"x", "Object of type bytes"),
        ({(1, 2): 3}, "json cannot be sent: keys must be"),
        ({"a": "\ud83d"}, "json cannot be sent.*surrogates not allowed"),
        pytest.param(10**5000, "json cannot be sent", id="huge"),
        pytest.param(circle(), "json cannot be sent: Circular reference", id="circle"),
        pytest.param(deep(), "json cannot be sent: maximum recursion depth", id="deep"),
        pytest.param({"a": [dg.EnvVar("KEY")]}, r"os\.environ\['KEY'\]", id="EnvVar"),
        pytest.param(({"a": dg.EnvVar.int("KEY")},), "cannot be an EnvVar", id="EnvVar.int"),
    ],
)
def test_json__refused(content: object, message: str) -> None:
    """What strict JSON cannot hold is refused, and the message is one line."""
    with pytest.raises(InvalidSettingError, match=message) as caught:
        checked_json(content, "POST")

    assert str(caught.value).isprintable()
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_json__safe_method(method: str) -> None:
    """GET and HEAD have no body."""
    with pytest.raises(InvalidSettingError, match=f"A {method} request has no json: use params"):
        checked_json({}, method)


# --- where the token goes


@pytest.fixture
def elsewhere() -> Iterator[Recorder]:
    """A server that is not RudderStack."""
    with recorder() as made:
        yield made


@pytest.fixture
def api() -> Iterator[RawServer]:
    """A server that answers everything with an empty object."""
    with RawServer(lambda _: in_json({})) as server:
        yield server


@pytest.fixture
def client(api: RawServer) -> Iterator[RudderStackClient]:
    """A client of that server, behind a prefix."""
    with client_of(f"{api.url}/gateway") as opened:
        yield opened


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "form",
    [
        *(
            "//{host}/x",
            "http://{host}/x",
            "@{host}/x",
            "/@{host}/x",
            "\\\\{host}/x",
            "/\\{host}/x",
        ),
        *(
            "/..//{host}",
            "/../../{host}",
            "/%2e%2e/%2e%2e/{host}",
            "\n//{host}",
            "?@{host}",
            "#@{host}",
        ),
        *(".{host}", ":80@{host}/", "/x\r\nHost: {host}", "/x HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    ],
)
def test_token__other_host(
    form: str, method: str, client: RudderStackClient, api: RawServer, elsewhere: Recorder
) -> None:
    """A path that names another host is refused, and no request is sent to any host."""
    path = form.format(host=urlsplit(elsewhere.url).netloc)

    with pytest.raises(InvalidSettingError):
        client.request(method, path)

    assert (api.targets, elsewhere.seen) == ([], [])


def test_token__host_in_params(
    client: RudderStackClient, api: RawServer, elsewhere: Recorder
) -> None:
    """Names and values of the query stay in the query."""
    evil = f"@{urlsplit(elsewhere.url).netloc}/#\r\n&x=/../"

    client.request("GET", "/workspace", params={"a": evil, evil: "b"})

    (target,) = api.targets
    assert target.startswith("GET /gateway/v2/workspace?a=%40127.0.0.1")
    assert dict(httpx.URL(target.removeprefix("GET ")).params) == {"a": evil, evil: "b"}
    assert set(api.seen[0].headers) == {
        *("host", "accept", "accept-encoding", "connection", "user-agent", "authorization"),
    }
    assert elsewhere.seen == []


@pytest.mark.parametrize("path", [f"/x/{TOKEN}", f"/a b/{TOKEN}", f"//{TOKEN}", TOKEN])
def test_token__in_the_path(path: str, client: RudderStackClient, api: RawServer) -> None:
    """A path with the token in it is refused, and the message does not show it."""
    with pytest.raises(InvalidSettingError, match="path has the access token in it") as caught:
        client.request("GET", path)

    assert TOKEN not in str(caught.value)
    assert api.targets == []

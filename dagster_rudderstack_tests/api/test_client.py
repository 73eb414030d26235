"""What the client sends for each call, and what it returns for a good answer."""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

import dagster as dg
import pytest

from dagster_rudderstack.api import paging as paging_module
from dagster_rudderstack.api.client import ClientSettings, RudderStackClient
from dagster_rudderstack.errors import InvalidSettingError, UnexpectedResponseError
from dagster_rudderstack.resource import RudderStackResource
from dagster_rudderstack.version import __version__
from dagster_rudderstack_tests.api.raw_server import (
    TOKEN,
    Cut,
    Seen,
    client_of,
    connection,
    exchange,
    http,
    in_json,
)

Call = Callable[[RudderStackClient], Any]
SYNC = {"id": "s1", "status": "running"}
SOURCE = {"id": "src", "name": "orders", "sourceType": "table"}
DESTINATION = {"id": "dst", "name": "CRM", "type": "HUBSPOT"}


@pytest.mark.parametrize(
    ("call", "answer", "request_line", "result"),
    [
        (
            lambda c: c.start_sync("crm"),
            in_json({"syncId": " s1 "}),
            "POST /v2/retl-connections/crm/start",
            "s1",
        ),
        (
            lambda c: c.stop_sync("crm"),
            http(204),
            "POST /v2/retl-connections/crm/stop",
            None,
        ),
        (
            lambda c: c.get_sync("crm", "s1").id,
            in_json(SYNC),
            "GET /v2/retl-connections/crm/syncs/s1",
            "s1",
        ),
        (
            lambda c: [sync.id for sync in c.list_syncs("crm")],
            in_json({"syncs": [SYNC]}),
            "GET /v2/retl-connections/crm/syncs?per_page=100",
            ["s1"],
        ),
        (
            lambda c: c.get_workspace().name,
            in_json({"workspace": {"id": "w", "name": "Shop"}}),
            "GET /v2/workspace",
            "Shop",
        ),
        (
            lambda c: c.get_connection("crm").source_id,
            in_json(connection()),
            "GET /v2/retl-connections/crm",
            "src",
        ),
        (
            lambda c: [each.id for each in c.list_connections()],
            in_json({"data": [connection()]}),
            "GET /v2/retl-connections?pageSize=100",
            ["crm"],
        ),
        (
            lambda c: c.list_connections(source_id=" a ", destination_id="b"),
            in_json({"data": []}),
            "GET /v2/retl-connections?pageSize=100&sourceId=a&destinationId=b",
            [],
        ),
        (
            lambda c: [source.name for source in c.list_sources()],
            in_json({"data": [SOURCE]}),
            "GET /v2/retl-sources?pageSize=100",
            ["orders"],
        ),
        (
            lambda c: c.get_source("s~1").name,
            in_json(SOURCE),
            "GET /v2/retl-sources/s~1",
            "orders",
        ),
        (
            lambda c: [destination.type for destination in c.list_destinations()],
            in_json({"destinations": [DESTINATION]}),
            "GET /v2/destinations",
            ["HUBSPOT"],
        ),
    ],
)
def test_endpoint(call: Call, answer: bytes, request_line: str, result: object) -> None:
    """Each method sends one request and returns the content of the answer."""
    with exchange(answer) as (server, client):
        returned = call(client)

    assert returned == result
    assert server.targets == [request_line]


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        ((), b'{"syncType":"incremental"}'),
        (("incremental",), b'{"syncType":"incremental"}'),
        (("full",), b'{"syncType":"full"}'),
    ],
)
def test_start_sync__body(arguments: tuple[str, ...], body: bytes) -> None:
    """The sync type is always sent, since RudderStack runs a full sync without one."""
    with exchange(in_json({"syncId": "s1"})) as (server, client):
        client.start_sync("crm", *arguments)

    (seen,) = server.seen
    assert seen.body.replace(b" ", b"") == body
    assert seen.headers["content-type"] == "application/json"


def test_stop_sync__any_2xx() -> None:
    """Any 2xx answer to a stop is accepted."""
    with exchange(http(200, "OK, stopping")) as (_, client):
        client.stop_sync("crm")


@pytest.mark.parametrize(
    "sync_id", [None, 7, "", " ", "a/b", "../x", "a\nb", ["s1"], {"id": "s1"}, "x" * 300]
)
def test_start_sync__unusable_id(sync_id: object) -> None:
    """An unusable sync id is an unexpected answer, and the sync may be running."""
    with (
        exchange(in_json({"syncId": sync_id})) as (_, client),
        pytest.raises(UnexpectedResponseError, match="syncId") as caught,
    ):
        client.start_sync("crm")

    assert str(caught.value).isprintable()


def test_get_sync__another_sync() -> None:
    """If the answer is about another sync, the error names both syncs."""
    with (
        exchange(in_json({**SYNC, "id": "other"})) as (_, client),
        pytest.raises(UnexpectedResponseError, match=r"syncs/ours .* another sync, 'other'"),
    ):
        client.get_sync("crm", "ours")


def test_get_sync__blanks() -> None:
    """Blanks around an id are ignored."""
    with exchange(in_json({**SYNC, "id": "ours"})) as (_, client):
        assert client.get_sync("crm", " ours ").id == "ours"


# --- headers


def test_headers() -> None:
    """Each request has the token, and a user agent with both versions, ours and Dagster's."""
    with exchange(in_json({"data": []}), user_agent="dagster/1.2.3") as (server, client):
        client.list_connections()

    headers = server.seen[0].headers
    assert headers["authorization"] == f"Bearer {TOKEN}"
    assert headers["accept"] == "application/json"
    assert headers["user-agent"] == f"dagster-rudderstack/{__version__} dagster/1.2.3"


def test_headers__of_the_resource() -> None:
    """The resource sends the version of the installed Dagster."""
    with (
        exchange(in_json({"data": []})) as (server, _),
        RudderStackResource(access_token=TOKEN, api_url=server.url) as rudderstack,
    ):
        rudderstack.list_connections()

    agent = server.seen[0].headers["user-agent"]
    assert agent == f"dagster-rudderstack/{__version__} dagster/{dg.__version__}"


def test_extra_headers() -> None:
    """Extra headers are sent with every request, without the blanks that HTTP forbids."""
    extra = {"X-Gateway-Key": " k1 ", "x-empty": ""}
    with exchange(in_json({"data": []}), extra_headers=extra) as (server, client):
        client.list_connections()

    headers = server.seen[0].headers
    assert (headers["x-gateway-key"], headers["x-empty"]) == ("k1", "")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("Authorization", "Bearer hush", "may not set 'Authorization'"),
        ("HOST", "hush", "may not set 'HOST'"),
        ("transfer-encoding", "chunked", "may not set"),
        ("accept", "hush", "may not set"),
        ("X Y", "hush", "'X Y', which is not a valid header name"),
        ("X\r\nEvil", "hush", "not a valid header name"),
        ("", "hush", "not a valid header name"),
        ("X-A", "hush\r\nEvil: 1", "The value of 'X-A'"),
        ("X-A", "hush\x00", "The value of 'X-A'"),
        ("X-A", "hüsh", "The value of 'X-A'"),
    ],
)
def test_extra_headers__refused(name: str, value: str, message: str) -> None:
    """An error names a header that cannot be sent or is reserved, without its value."""
    with (
        pytest.raises(InvalidSettingError, match=message) as caught,
        client_of("https://api.rudderstack.com", extra_headers={name: value}),
    ):
        pass

    assert "hush" not in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("token", ["", "  ", "two words", "line\nbreak", "tökén", None, 7])
def test_token__refused(token: object) -> None:
    """A token that cannot be sent is refused before a request, and is not shown."""
    with (
        pytest.raises(InvalidSettingError, match="access_token") as caught,
        client_of("https://api.rudderstack.com", access_token=token),
    ):
        pass

    assert not token or str(token).strip() == "" or str(token) not in str(caught.value)


def test_token__stripped() -> None:
    """A line break after the token is removed."""
    with exchange(in_json({"data": []}), access_token=f" {TOKEN}\n") as (server, client):
        client.list_connections()

    assert server.seen[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_base_url__checked() -> None:
    """No client sends a token over plain http to another machine."""
    settings = ClientSettings(base_url="http://api.rudderstack.com/v2", access_token=TOKEN)

    with pytest.raises(InvalidSettingError, match="unencrypted"):
        RudderStackClient(settings)


@pytest.mark.parametrize("prefix", ["", "/", "/v2", "/v2/", "/a/b", "/a/b/v2/", "/a%20b"])
def test_base_url__prefix(prefix: str) -> None:
    """A path in front of the API's is kept, whether or not it names the version."""
    with exchange(in_json(connection())) as (server, _), client_of(server.url + prefix) as client:
        client.get_connection("crm")

    before = prefix.strip("/").removesuffix("v2").strip("/")
    assert server.targets == [f"GET {'/' if before else ''}{before}/v2/retl-connections/crm"]


def test_cookies__not_kept() -> None:
    """A cookie is not sent back: no request depends on another."""
    answer = http(200, json.dumps(connection()), {"Set-Cookie": "session=abc; Path=/"})
    with exchange(answer) as (server, client):
        client.get_connection("crm")
        client.get_connection("crm")

    assert "cookie" not in server.seen[1].headers


# --- ids


def test_ids__in_paths() -> None:
    """Ids are stripped, and unusual ones arrive as they are."""
    with exchange(in_json({**SYNC, "id": "a.b-c_d"})) as (server, client):
        client.get_sync("\tcrm:eu~1 ", " a.b-c_d ")

    assert server.targets == ["GET /v2/retl-connections/crm%3Aeu~1/syncs/a.b-c_d"]


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.start_sync("a/b"),
        lambda c: c.stop_sync("a/b"),
        lambda c: c.get_sync("a/b", "s1"),
        lambda c: c.get_sync("crm", "a/b"),
        lambda c: c.list_syncs("a/b"),
        lambda c: c.get_connection("a/b"),
        lambda c: c.list_connections(source_id=""),
        lambda c: c.list_connections(destination_id="a/b"),
        lambda c: c.start_sync("crm", "everything"),
        lambda c: c.list_syncs("crm", status="done"),
        lambda c: c.list_syncs("crm", per_page=0),
        lambda c: c.list_syncs("crm", per_page=101),
    ],
)
def test_bad_arguments(call: Call) -> None:
    """Every method checks its arguments, and sends nothing if one is wrong."""
    with exchange(in_json({})) as (server, client), pytest.raises(InvalidSettingError):
        call(client)

    assert server.seen == []


DATETIME = r"expected a datetime, as in datetime\(2026"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"started_after": "2024-01-01"}, f"started_after '2024-01-01': {DATETIME}"),
        ({"started_before": "yesterday"}, f"started_before 'yesterday': {DATETIME}"),
        ({"started_after": date(2024, 1, 2)}, rf"started_after datetime.date\(.*: {DATETIME}"),
        ({"started_before": 1767571200}, f"started_before 1767571200: {DATETIME}"),
        ({"limit": "x"}, "limit 'x': expected a whole number from 0, or None"),
        ({"limit": 1.5}, "limit 1.5: expected a whole number from 0"),
        ({"limit": -1}, "limit -1: expected a whole number from 0"),
        ({"limit": True}, "limit True: expected a whole number from 0"),
        ({"per_page": "10"}, "per_page '10': expected a whole number from 1 to 100"),
        ({"status": 7}, "status 7 is unknown: expected one of 'running'"),
    ],
)
def test_list_syncs__bad_arguments(arguments: dict[str, Any], message: str) -> None:
    """The error for a wrong filter or limit says what is expected. Nothing is sent."""
    with (
        exchange(in_json({})) as (server, client),
        pytest.raises(InvalidSettingError, match=message),
    ):
        client.list_syncs("crm", **arguments)

    assert server.seen == []


# --- filters


def query_of(seen: Seen) -> dict[str, list[str]]:
    return parse_qs(urlsplit(seen.target).query)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 1, 5, 10, tzinfo=timezone.utc), "2026-01-05T10:00:00.000Z"),
        (datetime(2026, 1, 5, 10), "2026-01-05T10:00:00.000Z"),  # noqa: DTZ001 - that is the case
        (
            datetime(2026, 1, 5, 10, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=2))),
            "2026-01-05T08:00:00.999Z",
        ),
        (
            datetime(2026, 1, 5, 1, tzinfo=timezone(timedelta(hours=-5, minutes=-30))),
            "2026-01-05T06:30:00.000Z",
        ),
    ],
)
def test_filters(moment: datetime, text: str) -> None:
    """Times are sent in UTC. A naive time is treated as UTC."""
    with exchange(in_json({"syncs": []})) as (server, client):
        client.list_syncs("crm", status="failed", started_after=moment, started_before=moment)

    assert query_of(server.seen[0]) == {
        "status": ["failed"],
        "started_after": [text],
        "started_before": [text],
        "per_page": ["100"],
    }


@pytest.mark.parametrize(
    ("limit", "per_page", "asked"), [(3, 100, "3"), (300, 100, "100"), (3, 2, "2")]
)
def test_limit__asks_for_no_more(limit: int, per_page: int, asked: str) -> None:
    """A page is not larger than the limit."""
    with exchange(in_json({"syncs": []})) as (server, client):
        client.list_syncs("crm", limit=limit, per_page=per_page)

    assert query_of(server.seen[0])["per_page"] == [asked]


def test_limit__none_wanted() -> None:
    """With a limit of 0, no request is sent."""
    with exchange(in_json({"syncs": [SYNC]})) as (server, client):
        assert client.list_syncs("crm", limit=0) == []

    assert server.seen == []


# --- pages


def pages(nexts: Sequence[str | None], size: int = 2) -> Callable[[Seen], bytes]:
    """Answer page n with syncs n.0, n.1 …, and with its `paging.next`."""

    def answer(seen: Seen) -> bytes:
        page = int(query_of(seen).get("page", ["1"])[0])
        syncs = [{**SYNC, "id": f"{page}.{place}"} for place in range(size)]
        return in_json({"syncs": syncs, "paging": {"next": nexts[page - 1]}})

    return answer


@pytest.mark.parametrize(
    "following",
    [
        "/v2/retl-connections/crm/syncs?page=2&per_page=100",
        "/retl-connections/crm/syncs?page=2",
        "?page=2",
        "?page=7",
        "http://retl-config.internal.svc:8080/syncs?cursor=b64",
        "http://10.0.0.7/syncs",
        "https://evil.example/steal?page=2",
        "//evil.example/steal?page=2",
        "http://[",
        "?page=2\n\r\x00",
        "?x=" + "y" * 70_000,
    ],
)
def test_paging__next_is_not_an_address(following: str) -> None:
    """`paging.next` only says that there is another page. Pages are counted, and the host, the path
    and the filters stay the same."""
    with exchange(pages([following, None])) as (server, client):
        syncs = client.list_syncs("crm", status="failed")

    assert [sync.id for sync in syncs] == ["1.0", "1.1", "2.0", "2.1"]
    assert [urlsplit(seen.target).path for seen in server.seen] == [
        "/v2/retl-connections/crm/syncs"
    ] * 2
    assert query_of(server.seen[1]) == {
        "page": ["2"],
        "per_page": ["100"],
        "status": ["failed"],
    }


@pytest.mark.parametrize(
    "paging", [None, {}, {"next": None}, {"next": ""}, {"next": 7}, {"total": 9}, [], "x"]
)
def test_paging__last_page(paging: object) -> None:
    """A page without the text of a `paging.next` is the last one."""
    with exchange(in_json({"syncs": [SYNC], "paging": paging})) as (server, client):
        assert len(client.list_syncs("crm")) == 1

    assert len(server.seen) == 1


def test_paging__same_items_for_ever() -> None:
    """If each page repeats the first one, reading ends after a few pages."""
    answer = in_json({"syncs": [SYNC], "paging": {"next": "?page=2"}})
    with exchange(answer) as (server, client):
        assert len(client.list_syncs("crm")) == 1

    assert len(server.seen) == 1 + paging_module.MAX_PAGES_WITHOUT_NEW + 1


def test_paging__a_list_that_grows_meanwhile() -> None:
    """An item that a new item pushes to the next page is returned once."""
    answers = iter(
        [
            in_json({"syncs": [{**SYNC, "id": "b"}], "paging": {"next": "?page=2"}}),
            in_json({"syncs": [{**SYNC, "id": "b"}, {**SYNC, "id": "a"}]}),
        ]
    )
    with exchange(lambda _: next(answers)) as (_, client):
        assert [sync.id for sync in client.list_syncs("crm")] == ["b", "a"]


@pytest.mark.parametrize("first", [[], [{**SYNC, "id": "a"}]])
def test_paging__short_or_empty_page(first: list[object]) -> None:
    """A short or an empty page with a next page does not end the list."""
    second = [{**SYNC, "id": "b"}]
    answers = iter(
        [
            in_json({"syncs": first, "paging": {"next": "?page=2"}}),
            in_json({"syncs": [], "paging": {"next": "?page=3"}}),
            in_json({"syncs": second}),
        ]
    )
    with exchange(lambda _: next(answers)) as (_, client):
        assert len(client.list_syncs("crm")) == len(first) + 1


def test_paging__endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list without an end is an error, not a truncated list."""
    monkeypatch.setattr(paging_module, "MAX_PAGES", 20)
    count = iter(range(1_000_000))

    def answer(_: Seen) -> bytes:
        number = next(count)
        syncs = [{**SYNC, "id": f"s{number}"}]
        return in_json({"syncs": syncs, "paging": {"next": "?page=2"}})

    with (
        exchange(answer) as (server, client),
        pytest.raises(UnexpectedResponseError, match="more than 20 pages"),
    ):
        client.list_syncs("crm")

    assert len(server.seen) == 20


def test_paging__limit() -> None:
    """No more pages are read than the limit needs."""
    with exchange(pages(["?page=2", "?page=3", "?page=4"])) as (server, client):
        syncs = client.list_syncs("crm", limit=4)

    assert len(syncs) == 4
    assert len(server.seen) == 2


@pytest.mark.parametrize("items", [None, {}, "x", 7])
def test_list__no_list(items: object) -> None:
    """A list of the wrong type is an unexpected answer, not an empty list."""
    with (
        exchange(in_json({"data": items})) as (_, client),
        pytest.raises(UnexpectedResponseError, match="no list under 'data'"),
    ):
        client.list_connections()


@pytest.mark.parametrize("item", [None, 7, "x", [], {}, {"id": "s2", "status": 7}])
def test_list__broken_item(item: object) -> None:
    """A broken sync does not hide the others. It is not left out, since it could be running."""
    with exchange(in_json({"syncs": [SYNC, item]})) as (_, client):
        good, broken = client.list_syncs("crm")

    assert good.id == SYNC["id"]
    assert not broken.is_over


UNUSABLE = [None, 7, {"a": 1}, "", "a/b", "..", "a\nb", "x" * 129, "x" * 100_000]


@pytest.mark.parametrize("bad", UNUSABLE, ids=range(len(UNUSABLE)))
def test_list__unusable_id(bad: object) -> None:
    """A sync whose id cannot be asked for is listed with a short text. The others are as usual."""
    syncs = [SYNC, {**SYNC, "id": bad}, {key: SYNC[key] for key in SYNC if key != "id"}]
    with exchange(in_json({"syncs": syncs})) as (_, client):
        found = client.list_syncs("crm")

    assert [sync.has_usable_id for sync in found] == [True, False, False]
    assert all(len(sync.id) <= 129 and sync.id.isprintable() for sync in found)


# --- connections of TCP


def test_keep_alive() -> None:
    """Many calls of all kinds take one TCP connection, errors included."""
    answers = {"GET": in_json(connection()), "POST": http(503, "<html>down</html>")}
    with exchange(lambda seen: answers[seen.method]) as (server, client):
        for _ in range(20):
            client.get_connection("crm")
            with pytest.raises(Exception, match="503"):
                client.stop_sync("crm")

    assert len(server.seen) == 40
    assert server.accepted == 1


def test_keep_alive__closed_by_the_server() -> None:
    """If the server closes an idle connection, the client opens another one."""
    with exchange(Cut(in_json(connection(), Connection="close"))) as (server, client):
        for _ in range(3):
            client.get_connection("crm")

    assert server.accepted == 3


def test_threads() -> None:
    """Threads share a client, and each gets the answer to its own request."""

    def answer(seen: Seen) -> bytes:
        return in_json(connection(seen.target.rsplit("/", 1)[1]))

    ids = [f"c{number}" for number in range(200)]
    with exchange(answer) as (server, client), ThreadPoolExecutor(8) as pool:
        answered = list(pool.map(lambda id_: client.get_connection(id_).id, ids))

    assert answered == ids
    assert server.accepted <= 8


def test_repr() -> None:
    """The repr of a client and of its settings shows the address and no secret."""
    settings = ClientSettings(
        base_url="https://api.rudderstack.com",
        access_token=TOKEN,
        proxy_url="http://me:hush@proxy:3128",
        extra_headers={"X-Key": "hush"},
    )
    with RudderStackClient(settings) as client:
        printed = f"{client!r} {client} {settings!r} {settings} {vars(client)}"

    assert "https://api.rudderstack.com/v2" in printed
    assert TOKEN not in printed.replace("\\", "")
    assert "hush" not in printed


def test_half_a_character() -> None:
    """JSON can carry half of a surrogate pair, in any place. It is replaced, so that the answer can
    be stored, and a whole pair is kept."""
    sql = r"SELECT '\ud83d' AS \ud83d\ude00"
    source = (
        f'"id": "s", "sourceType": "model", "name": "\\udc00", "config": {{"\\ud800": "{sql}"}}'
    )
    body = f'{{"data": [{{{source}}}]}}'
    with exchange(http(200, body)) as (_, client):
        (found,) = client.list_sources()

    assert found.name == "\ufffd"
    assert found.config == {"\ufffd": "SELECT '\ufffd' AS \U0001f600"}
    assert found.model_dump_json()

"""The operations of the API, as a client uses them. Each answer is checked with the contract."""

from datetime import datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

from dagster_rudderstack.testing import (
    LocalRudderStack,
    ManualClock,
    RunScript,
    SyncScript,
)
from dagster_rudderstack_tests.testing.conftest import ApiMaker


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def server(clock: ManualClock) -> LocalRudderStack:
    server = LocalRudderStack(clock=clock)
    server.add_connection("crm", script=SyncScript(duration_seconds=60, rows_total=100))
    return server


@pytest.fixture
def api(server: LocalRudderStack, make_api: ApiMaker) -> httpx.Client:
    server.start()
    return make_api(server)


def start(api: httpx.Client, connection_id: str = "crm") -> str:
    answer = api.post(f"/retl-connections/{connection_id}/start", json={"syncType": "full"})
    assert answer.status_code == 200
    return str(answer.json()["syncId"])


def list_ids(api: httpx.Client, **query: str | int) -> list[str]:
    answer = api.get("/retl-connections/crm/syncs", params=query)
    assert answer.status_code == 200
    return [sync["id"] for sync in answer.json()["syncs"]]


@pytest.fixture(autouse=True)
def _closing(server: LocalRudderStack) -> object:
    yield
    assert server.errors == []
    server.close()


def test_a_sync_from_start_to_end(api: httpx.Client, clock: ManualClock) -> None:
    """A sync runs with growing counts, blocks a second sync, and ends."""
    sync_id = start(api)
    path = f"/retl-connections/crm/syncs/{sync_id}"

    clock.advance(30)
    second = api.post("/retl-connections/crm/start", json={"syncType": "incremental"})
    running = api.get(path).json()
    clock.advance(30)
    ended = api.get(path).json()

    assert second.status_code == 409
    assert running["status"] == "running"
    assert running["finishedAt"] is None
    assert running["metrics"] == {
        "total": 100,
        "changed": {"total": 100},
        "succeeded": {"total": 50},
        "failed": {"total": 0},
    }
    assert ended["status"] == "succeeded"
    assert ended["startedAt"] == "2026-01-05T00:00:00.000Z"
    assert ended["finishedAt"] == "2026-01-05T00:01:00.000Z"
    assert ended["metrics"]["succeeded"] == {"total": 100}


def test_stop__takes_effect_later(
    api: httpx.Client, server: LocalRudderStack, clock: ManualClock
) -> None:
    """A stop is accepted at once and ends the sync after the delay."""
    server.update_connection("crm", stop_delay_seconds=5, stopped_status="Aborted")
    path = f"/retl-connections/crm/syncs/{start(api)}"

    accepted = api.post("/retl-connections/crm/stop")
    before = api.get(path).json()
    clock.advance(5)
    after = api.get(path).json()

    assert (accepted.status_code, accepted.content) == (204, b"")
    assert before["status"] == "running"
    assert after["status"] == "Aborted"
    assert after["finishedAt"] == "2026-01-05T00:00:05.000Z"
    assert "stopped" in after["error"]


def test_stop__nothing_runs(api: httpx.Client, server: LocalRudderStack) -> None:
    """A stop without a running sync is accepted and has no effect."""
    assert api.post("/retl-connections/crm/stop").status_code == 204
    assert [request.affected for request in server.stops("crm")] == [()]


def test_stop__parallel_syncs(api: httpx.Client, server: LocalRudderStack) -> None:
    """A stop applies to all running syncs of the connection."""
    server.update_connection("crm", parallel_syncs=True)
    sync_ids = {start(api), start(api)}

    api.post("/retl-connections/crm/stop")

    assert set(server.stops("crm")[0].affected) == sync_ids
    assert [sync.running for sync in server.syncs("crm")] == [False, False]


def test_start__disabled(api: httpx.Client, server: LocalRudderStack) -> None:
    """A disabled connection cannot be synced."""
    server.update_connection("crm", enabled=False)

    answer = api.post("/retl-connections/crm/start", json={"syncType": "full"})

    assert answer.status_code == 400
    assert answer.json() == {"error": "connection is disabled"}
    assert server.starts() == []


@pytest.mark.parametrize("body", [b"", b"{}", b'{"syncType":"full","extra":1}'])
def test_start__accepted_bodies(api: httpx.Client, body: bytes) -> None:
    """The sync type is optional."""
    assert api.post("/retl-connections/crm/start", content=body).status_code == 200


@pytest.mark.parametrize(
    "body", [b"[]", b"{", b'"full"', b'{"syncType":"FULL"}', b'{"syncType":null}']
)
def test_start__invalid_bodies(api: httpx.Client, server: LocalRudderStack, body: bytes) -> None:
    """An invalid body is answered with 400 and starts no sync."""
    answer = api.post("/retl-connections/crm/start", content=body)

    assert answer.status_code == 400
    assert "message" in answer.json()
    assert server.syncs() == []


def test_list_syncs__newest_first_and_filtered(api: httpx.Client, clock: ManualClock) -> None:
    """The list begins with the newest sync and can be filtered."""
    sync_ids = []
    for _ in range(3):
        sync_ids.append(start(api))
        clock.advance(100)
    sync_ids.append(start(api))
    newest_first = sync_ids[::-1]
    # The time of the second start, with another UTC offset.
    second = datetime(2026, 1, 5, 1, 1, 40, tzinfo=timezone(timedelta(hours=1))).isoformat()

    assert list_ids(api) == newest_first
    assert list_ids(api, status="running") == newest_first[:1]
    assert list_ids(api, status="succeeded") == newest_first[1:]
    assert list_ids(api, status="failed") == []
    assert list_ids(api, started_after=second) == newest_first[:2]
    assert list_ids(api, started_before=second) == newest_first[3:]
    assert list_ids(api, per_page=2, page=2) == newest_first[2:]


def test_list_syncs__pages(api: httpx.Client) -> None:
    """The next page is a path with the same query. On the last page it is empty."""
    for _ in range(3):
        start(api)
        api.post("/retl-connections/crm/stop")
    query: dict[str, str | int] = {"per_page": 2, "started_after": "2026-01-01T00:00:00+01:00"}

    first = api.get("/retl-connections/crm/syncs", params=query).json()
    next_path = first["paging"]["next"]
    last = api.get(next_path.removeprefix("/v2")).json()

    assert first["paging"]["total"] == 3
    assert next_path.startswith(
        "/v2/retl-connections/crm/syncs?per_page=2&started_after=2026-01-01"
    )
    assert next_path.endswith("&page=2")
    assert [len(first["syncs"]), len(last["syncs"])] == [2, 1]
    assert last["paging"]["next"] == ""


@pytest.mark.parametrize(
    "query",
    [
        "page=0",
        "page=-1",
        "page=x",
        "page=",
        "page=1.5",
        f"page={'9' * 5000}",
        "per_page=101",
        "per_page=0",
        "status=foo",
        "status=",
        "started_after=yesterday",
        "started_after=2026-01-05",
        "started_after=2026-01-05T00:00:00",
        "started_after=2026-13-05T00:00:00Z",
        "started_before=2026-01-05T00:00:00+01:00",  # an unescaped + is a space
    ],
)
def test_list_syncs__invalid_query(api: httpx.Client, query: str) -> None:
    """An invalid query is an error that names the parameter."""
    answer = api.get(f"/retl-connections/crm/syncs?{query}")

    assert answer.status_code == 400
    assert query.partition("=")[0] in answer.json()["message"]


@pytest.mark.parametrize(
    "moment",
    [
        "2026-01-04T23:59:59.5Z",
        "2026-01-04t23:59:59z",
        "2026-01-04T23:59:60Z",
        "0001-01-01T00:00:00Z",
    ],
)
def test_list_syncs__moments(api: httpx.Client, moment: str) -> None:
    """All of RFC 3339 is accepted, including leap seconds and the year 1."""
    sync_id = start(api)
    found = list_ids(api, started_after=moment)

    # The leap second ends at the start of the sync, which "after" excludes.
    assert found == ([] if ":60" in moment else [sync_id])


def test_hidden_sync(api: httpx.Client, server: LocalRudderStack, clock: ManualClock) -> None:
    """The API can hide a running sync in its first seconds."""
    server.script_next("crm", SyncScript(duration_seconds=60, hidden_for_seconds=10))
    sync_id = start(api)
    path = f"/retl-connections/crm/syncs/{sync_id}"

    assert api.get(path).status_code == 404
    assert list_ids(api) == []
    assert api.post("/retl-connections/crm/start").status_code == 409
    clock.advance(10)
    assert api.get(path).status_code == 200
    assert list_ids(api) == [sync_id]


def test_connections__pages_and_filters(api: httpx.Client, server: LocalRudderStack) -> None:
    """Connections are listed in pages, and can be filtered by source and destination."""
    for number in range(119):
        server.add_connection(
            f"c{number}", f"source-{number % 2}", "hub", schedule={"type": "basic"}
        )

    def page(**query: str | int) -> httpx.Response:
        return api.get("/retl-connections", params=query)

    first, last = page(pageSize=100).json(), page(pageSize=100, page=2).json()

    assert len(page().json()["data"]) == 50
    assert [len(first["data"]), len(last["data"])] == [100, 20]
    assert first["paging"] == {"total": 120, "next": "/v2/retl-connections?pageSize=100&page=2"}
    assert last["paging"] == {"total": 120}
    assert page(sourceId="source-1").json()["paging"]["total"] == 59
    assert page(sourceId="source-1", destinationId="hub").json()["paging"]["total"] == 59
    assert page(destinationId="nowhere").json()["data"] == []
    assert page(page=9).json()["data"] == []
    assert page(pageSize=101).status_code == 400


def test_sources_and_destinations__pages(api: httpx.Client, server: LocalRudderStack) -> None:
    """These lists write the next page from /v2 or from the host, and mark the last page
    differently."""
    for number in range(59):
        server.add_source(f"s{number}", definition="snowflake", accountId="a")
        server.add_destination(f"d{number}", type="HUBSPOT", config={"secret": "x"})

    sources = api.get("/retl-sources", params={"pageSize": 50}).json()
    destinations = api.get("/destinations").json()

    assert sources["paging"]["next"] == "/retl-sources?pageSize=50&page=2"
    assert destinations["paging"]["next"] == "/v2/destinations?page=2"
    assert "paging" not in api.get("/retl-sources?pageSize=50&page=2").json()
    assert api.get("/destinations?page=2").json()["paging"]["next"] is None
    assert api.get("/retl-sources/s7").json()["accountId"] == "a"
    assert api.get("/destinations/d7").json()["destination"]["type"] == "HUBSPOT"


def test_project_runs(api: httpx.Client, server: LocalRudderStack, clock: ManualClock) -> None:
    """A Profiles project has one run at a time. A finished run can have an error."""
    script = RunScript(duration_seconds=10, error="out of credits", snake_case=True)
    server.add_project("project", script)
    body = {"parameters": ["--rebase_incremental"]}

    run_id = api.post("/sources/project/start", json=body).json()["runId"]
    path = f"/sources/project/runs/{run_id}/status"
    running = api.get(path).json()
    second = api.post("/sources/project/start")
    clock.advance(10)
    ended = api.get(path).json()

    assert running["status"] == "running"
    assert second.status_code == 409
    assert ended["status"] == "finished"
    assert ended["error"] == "out of credits"
    assert ended["finished_at"] == "2026-01-05T00:00:10.000Z"
    assert api.post("/sources/project/start", json={"parameters": "x"}).status_code == 400


def test_project_runs__newest(api: httpx.Client, server: LocalRudderStack) -> None:
    """The legacy status of a source is that of its newest run."""
    server.add_project("project")
    assert api.get("/sources/project/status").status_code == 404

    run_ids = [api.post("/sources/project/start").json()["runId"] for _ in range(2)]

    assert api.get("/sources/project/status").json()["id"] == run_ids[-1]


def test_sources__one_page(api: httpx.Client, server: LocalRudderStack) -> None:
    """All sources are on one page unless the client asks for pages."""
    for number in range(130):
        server.add_source(f"s{number}")

    answer = api.get("/retl-sources").json()

    assert len(answer["data"]) >= 130
    assert "paging" not in answer
    assert len(api.get("/retl-sources?page=1").json()["data"]) == 50


def test_sources__of_a_type(api: httpx.Client, server: LocalRudderStack) -> None:
    """The sources can be filtered by their type."""
    server.add_source("people", source_type="table")
    server.add_source("carts", source_type="model")

    listed = api.get("/retl-sources?sourceType=model").json()["data"]

    assert [source["id"] for source in listed] == ["carts"]


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "2999-01-01T00:00:00Z"])
def test_sync__end_while_it_runs(
    server: LocalRudderStack, api: httpx.Client, text: str, clock: ManualClock
) -> None:
    """On request, a running sync shows an end time that means nothing."""
    script = SyncScript(duration_seconds=5, running_finished_at=text)
    server.add_connection("crm", script=script)
    sync_id = server.start_sync("crm")
    path = f"/retl-connections/crm/syncs/{sync_id}"

    assert api.get(path).json()["finishedAt"] == text
    clock.advance(5)
    assert api.get(path).json()["finishedAt"] == "2026-01-05T00:00:05.000Z"


def test_start__without_a_type(api: httpx.Client, server: LocalRudderStack) -> None:
    """A start that names no type runs a full sync."""
    server.add_connection("crm")

    api.post("/retl-connections/crm/start", json={})

    assert [sync.sync_type for sync in server.syncs("crm")] == ["full"]


@pytest.mark.parametrize(
    ("sync_id", "message"),
    [
        ("2hkeBOp0lGJpMPyur0oXUxxIDhw", "Internal Server Error"),
        ("not-an-id", "invalid run id"),
    ],
)
def test_unknown_sync__500(sync_id: str, message: str) -> None:
    """On request, the details of an unknown sync are answered with 500."""
    with LocalRudderStack(unknown_sync_status=500) as server:
        server.add_connection("crm")
        answer = httpx.get(
            f"{server.url}/v2/retl-connections/crm/syncs/{sync_id}",
            headers={"Authorization": f"Bearer {server.access_token}"},
        )

    assert (answer.status_code, answer.json()["message"]) == (500, message)


def test_unknown_sync__other_status() -> None:
    """Other statuses for unknown syncs are refused."""
    with pytest.raises(ValueError, match="unknown_sync_status must be 404 or 500, not 503"):
        LocalRudderStack(unknown_sync_status=503)  # type: ignore[arg-type]


@pytest.mark.parametrize("constant", [{"key": "n", "value": 7}, {"to": "n", "value": "7"}, "n"])
def test_constants(server: LocalRudderStack, constant: Any) -> None:
    """A constant that is no pair of texts is refused, since the API has no other."""
    with pytest.raises(TypeError, match="a constant must have a key and a value, both texts"):
        server.add_connection("crm", constants=[constant])


@pytest.mark.parametrize(
    "path",
    [
        "/retl-connections/unknown",
        "/retl-connections/unknown/syncs",
        "/retl-connections/crm/syncs/unknown",
        "/retl-connections/unknown/syncs/unknown",
        "/retl-sources/unknown",
        "/destinations/unknown",
        "/sources/unknown/runs/unknown/status",
        "/sources/crm-source/runs/unknown/status",
        "/retl-connections/",
        "/retl-connections//syncs",
        "/nothing/here",
        "/retl-connections/crm%2Fsyncs",
    ],
)
def test_unknown(api: httpx.Client, path: str) -> None:
    """An unknown id or path is answered with 404."""
    assert api.get(path).status_code == 404


@pytest.mark.parametrize("path", ["unknown/start", "unknown/stop"])
def test_unknown__post(api: httpx.Client, server: LocalRudderStack, path: str) -> None:
    """An unknown connection cannot be started or stopped."""
    assert api.post(f"/retl-connections/{path}").status_code == 404
    assert server.starts() + server.stops() == []


def test_wrong_method(api: httpx.Client) -> None:
    """A wrong method is answered with 405 and the allowed method."""
    answer = api.put("/retl-connections/crm/start")

    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize(
    "authorization", ["Bearer wrong", "Bearer", "test-token", "Basic test-token", ""]
)
def test_wrong_token(api: httpx.Client, server: LocalRudderStack, authorization: str) -> None:
    """A wrong token is answered with 401, and no token is in the request log."""
    answer = api.post("/retl-connections/crm/start", headers={"authorization": authorization})

    assert answer.status_code == 401
    assert server.syncs() == []
    assert server.requests[-1].headers["authorization"] == "wrong"


def test_denied(api: httpx.Client, server: LocalRudderStack) -> None:
    """A missing permission is answered with 403 and its message."""
    server.add_connection("secret", deny="needs Connect on the source")
    server.deny("needs Edit", operation="startRetlSync", connection_id="crm")

    secret = api.get("/retl-connections/secret")
    crm = api.post("/retl-connections/crm/start")

    assert (secret.status_code, crm.status_code) == (403, 403)
    assert secret.json()["message"] == "needs Connect on the source"
    assert crm.json()["message"] == "needs Edit"
    assert api.get("/retl-connections/crm").status_code == 200
    assert server.syncs() == []

    server.allow_everything()
    assert api.get("/retl-connections/secret").status_code == 200
    start(api)


def test_error_shapes(api: httpx.Client, server: LocalRudderStack) -> None:
    """Errors have the three shapes of RudderStack's API, one for each kind of error."""
    server.add_connection("secret", deny="no")
    unauthorized = api.get("/destinations", headers={"authorization": "Bearer x"})

    assert unauthorized.json().keys() == {"error"}
    assert api.get("/destinations/unknown").json().keys() == {"message"}
    forbidden = api.get("/retl-connections/secret").json()
    assert forbidden.keys() == {"message", "code", "details"}

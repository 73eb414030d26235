"""The life of a sync as a client sees it, each answer held against the contract."""

from datetime import datetime, timedelta, timezone

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


def listed(api: httpx.Client, **query: str | int) -> list[str]:
    answer = api.get("/retl-connections/crm/syncs", params=query)
    assert answer.status_code == 200
    return [sync["id"] for sync in answer.json()["syncs"]]


@pytest.fixture(autouse=True)
def _closing(server: LocalRudderStack) -> object:
    yield
    assert server.errors == []
    server.close()


def test_a_sync_from_start_to_end(api: httpx.Client, clock: ManualClock) -> None:
    """A sync runs, shows growing rows, refuses a second one, and ends."""
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
    """A stop is taken at once, and ends the sync after the delay."""
    server.update_connection("crm", stop_delay_seconds=5, stopped_status="Aborted")
    path = f"/retl-connections/crm/syncs/{start(api)}"

    taken = api.post("/retl-connections/crm/stop")
    before = api.get(path).json()
    clock.advance(5)
    after = api.get(path).json()

    assert (taken.status_code, taken.content) == (204, b"")
    assert before["status"] == "running"
    assert after["status"] == "Aborted"
    assert after["finishedAt"] == "2026-01-05T00:00:05.000Z"
    assert "stopped" in after["error"]


def test_stop__nothing_runs(api: httpx.Client, server: LocalRudderStack) -> None:
    """A stop of nothing is taken, and stops nothing."""
    assert api.post("/retl-connections/crm/stop").status_code == 204
    assert [request.affected for request in server.stops("crm")] == [()]


def test_stop__parallel_syncs(api: httpx.Client, server: LocalRudderStack) -> None:
    """A stop acts on the connection: on whatever runs on it."""
    server.update_connection("crm", parallel_syncs=True)
    sync_ids = {start(api), start(api)}

    api.post("/retl-connections/crm/stop")

    assert set(server.stops("crm")[0].affected) == sync_ids
    assert [sync.running for sync in server.syncs("crm")] == [False, False]


def test_start__disabled(api: httpx.Client, server: LocalRudderStack) -> None:
    """A disabled connection does not sync."""
    server.update_connection("crm", enabled=False)

    answer = api.post("/retl-connections/crm/start", json={"syncType": "full"})

    assert answer.status_code == 400
    assert answer.json() == {"error": "connection is disabled"}
    assert server.starts() == []


@pytest.mark.parametrize("body", [b"", b"{}", b'{"syncType":"full","extra":1}'])
def test_start__accepted_bodies(api: httpx.Client, body: bytes) -> None:
    """The sync type may be left out."""
    assert api.post("/retl-connections/crm/start", content=body).status_code == 200


@pytest.mark.parametrize(
    "body", [b"[]", b"{", b'"full"', b'{"syncType":"FULL"}', b'{"syncType":null}']
)
def test_start__invalid_bodies(api: httpx.Client, server: LocalRudderStack, body: bytes) -> None:
    """Anything else in the body is an error that says so, and starts nothing."""
    answer = api.post("/retl-connections/crm/start", content=body)

    assert answer.status_code == 400
    assert "message" in answer.json()
    assert server.syncs() == []


def test_list_syncs__newest_first_and_filtered(api: httpx.Client, clock: ManualClock) -> None:
    """Lists begin with the newest sync; the filters narrow them."""
    sync_ids = []
    for _ in range(3):
        sync_ids.append(start(api))
        clock.advance(100)
    sync_ids.append(start(api))
    newest_first = sync_ids[::-1]
    # Another offset, the same moment: that of the second start.
    second = datetime(2026, 1, 5, 1, 1, 40, tzinfo=timezone(timedelta(hours=1))).isoformat()

    assert listed(api) == newest_first
    assert listed(api, status="running") == newest_first[:1]
    assert listed(api, status="succeeded") == newest_first[1:]
    assert listed(api, status="failed") == []
    assert listed(api, started_after=second) == newest_first[:2]
    assert listed(api, started_before=second) == newest_first[3:]
    assert listed(api, per_page=2, page=2) == newest_first[2:]


def test_list_syncs__pages(api: httpx.Client) -> None:
    """The next page is told as a path that keeps the query; the last page tells an empty one."""
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
        "started_before=2026-01-05T00:00:00+01:00",  # a bare + is a space
    ],
)
def test_list_syncs__invalid_query(api: httpx.Client, query: str) -> None:
    """A wrong query is an error that names the parameter."""
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
    """All of RFC 3339 is understood, leap seconds and the year 1 included."""
    sync_id = start(api)
    found = listed(api, started_after=moment)

    # The leap second ends where the sync begins, and "after" leaves that moment out.
    assert found == ([] if ":60" in moment else [sync_id])


def test_hidden_sync(api: httpx.Client, server: LocalRudderStack, clock: ManualClock) -> None:
    """A sync can be unknown to the API in its first seconds, though it runs."""
    server.script_next("crm", SyncScript(duration_seconds=60, hidden_for_seconds=10))
    sync_id = start(api)
    path = f"/retl-connections/crm/syncs/{sync_id}"

    assert api.get(path).status_code == 404
    assert listed(api) == []
    assert api.post("/retl-connections/crm/start").status_code == 409
    clock.advance(10)
    assert api.get(path).status_code == 200
    assert listed(api) == [sync_id]


def test_connections__pages_and_filters(api: httpx.Client, server: LocalRudderStack) -> None:
    """Connections come in the order in which they were added, and by source or destination."""
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
    """Their lists tell the next page as a path from /v2, and the last page in two more ways."""
    for number in range(59):
        server.add_source(f"s{number}", definition="snowflake", accountId="a")
        server.add_destination(f"d{number}", type="HUBSPOT", config={"secret": "x"})

    sources = api.get("/retl-sources", params={"pageSize": 50}).json()
    destinations = api.get("/destinations").json()

    assert sources["paging"]["next"] == "/retl-sources?pageSize=50&page=2"
    assert destinations["paging"]["next"] == "/destinations?page=2"
    assert "paging" not in api.get("/retl-sources?pageSize=50&page=2").json()
    assert api.get("/destinations?page=2").json()["paging"]["next"] is None
    assert api.get("/retl-sources/s7").json()["accountId"] == "a"
    assert api.get("/destinations/d7").json()["destination"]["type"] == "HUBSPOT"


def test_project_runs(api: httpx.Client, server: LocalRudderStack, clock: ManualClock) -> None:
    """A Profiles project runs once at a time; a finished run with an error has failed."""
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


@pytest.mark.parametrize(
    "path",
    [
        "/retl-connections/nobody",
        "/retl-connections/nobody/syncs",
        "/retl-connections/crm/syncs/nobody",
        "/retl-connections/nobody/syncs/nobody",
        "/retl-sources/nobody",
        "/destinations/nobody",
        "/sources/nobody/runs/nobody/status",
        "/sources/crm-source/runs/nobody/status",
        "/retl-connections/",
        "/retl-connections//syncs",
        "/nothing/here",
        "/retl-connections/crm%2Fsyncs",
    ],
)
def test_unknown(api: httpx.Client, path: str) -> None:
    """What is not there is 404."""
    assert api.get(path).status_code == 404


@pytest.mark.parametrize("path", ["nobody/start", "nobody/stop"])
def test_unknown__post(api: httpx.Client, server: LocalRudderStack, path: str) -> None:
    """What is not there cannot be started or stopped."""
    assert api.post(f"/retl-connections/{path}").status_code == 404
    assert server.starts() + server.stops() == []


def test_wrong_method(api: httpx.Client) -> None:
    """A path that knows other methods says which."""
    answer = api.put("/retl-connections/crm/start")

    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize(
    "authorization", ["Bearer wrong", "Bearer", "test-token", "Basic test-token", ""]
)
def test_wrong_token(api: httpx.Client, server: LocalRudderStack, authorization: str) -> None:
    """Only the right token is let in, and none is kept in the log of requests."""
    answer = api.post("/retl-connections/crm/start", headers={"authorization": authorization})

    assert answer.status_code == 401
    assert server.syncs() == []
    assert server.requests[-1].headers["authorization"] == "wrong"


def test_denied(api: httpx.Client, server: LocalRudderStack) -> None:
    """A missing permission is 403, told in words, for a connection or for an operation."""
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
    """Errors come in the three shapes of the real API, always the same for the same error."""
    server.add_connection("secret", deny="no")
    unauthorized = api.get("/destinations", headers={"authorization": "Bearer x"})

    assert unauthorized.json().keys() == {"error"}
    assert api.get("/destinations/nobody").json().keys() == {"message"}
    forbidden = api.get("/retl-connections/secret").json()
    assert forbidden.keys() == {"message", "code", "details"}

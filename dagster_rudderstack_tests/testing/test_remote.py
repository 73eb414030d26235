"""The control API and its client `RemoteLocalRudderStack`."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import httpx
import pytest

from dagster_rudderstack.testing import (
    Fault,
    LocalRudderStack,
    RemoteLocalRudderStack,
    RunScript,
    SyncScript,
    TableBuild,
    TableSync,
)


def control(server: LocalRudderStack) -> dict[str, Any]:
    """Return what a request to the control API needs."""
    return {"headers": {"Authorization": f"Bearer {server.control_token}"}, "trust_env": False}


@pytest.fixture
def remote(server: LocalRudderStack) -> RemoteLocalRudderStack:
    remote = RemoteLocalRudderStack(server.url + "/", server.control_token)
    remote.wait_until_ready()
    return remote


def test_everything(
    remote: RemoteLocalRudderStack, server: LocalRudderStack, raw: httpx.Client
) -> None:
    """The client scripts the server and reads its state."""
    remote.add_source("s", definition="bigquery")
    remote.add_destination("d", type="HUBSPOT")
    remote.add_connection("crm", source_id="s", destination_id="d", schedule={"type": "basic"})
    remote.set_script("crm", SyncScript(status="later"))
    remote.script_next("crm", SyncScript(rows_total=7), SyncScript(duration_seconds=60))
    remote.add_fault(Fault("status", operation="start", effect=True))
    raw.post("/retl-connections/crm/start", json={"syncType": "full"})
    dashboard = remote.start_sync("crm", "dashboard")
    raw.post("/retl-connections/crm/stop")

    assert remote.syncs() == server.syncs()
    assert remote.syncs("unknown") == []
    assert [sync.rows_total for sync in remote.syncs("crm")] == [7, 0]
    assert remote.syncs()[1].id == dashboard
    assert remote.requests == server.requests
    assert [request.status for request in remote.starts("crm")] == [503]
    assert [request.affected for request in remote.stops("crm")] == [(dashboard,)]
    assert remote.errors == []


def test_disabled(
    remote: RemoteLocalRudderStack, server: LocalRudderStack, raw: httpx.Client
) -> None:
    """The client disables and enables a connection."""
    server.add_connection("crm")

    remote.update_connection("crm", enabled=False)
    assert raw.get("/retl-connections/crm").json()["enabled"] is False
    remote.update_connection("crm", enabled=True)
    assert raw.get("/retl-connections/crm").json()["enabled"] is True


def test_runs(remote: RemoteLocalRudderStack, server: LocalRudderStack, raw: httpx.Client) -> None:
    """The client scripts, starts and lists runs."""
    remote.add_project("profiles", RunScript(status="failed"), start_status=204)
    remote.add_project("etl")
    remote.set_run_script("profiles", RunScript(error="later", tasks=("a", "b")))
    remote.script_next_runs("profiles", RunScript(status="first"))
    raw.post("/sources/profiles/start", json={"parameters": ["--rebase_incremental"]})
    run_id = remote.start_run("profiles", "dashboard", ["--begin_time 2026-01-01"])
    remote.start_run("etl")

    assert remote.runs() == server.runs()
    assert [run.status for run in remote.runs("profiles")] == ["first", "finished"]
    assert (remote.runs()[1].id, remote.runs()[1].origin) == (run_id, "dashboard")
    assert remote.runs()[1].parameters == ("--begin_time 2026-01-01",)
    assert remote.runs()[1].error == "later"
    assert [request.status for request in remote.run_starts("profiles")] == [204]
    assert remote.run_starts("etl") == []
    assert remote.runs("unknown") == []


def test_build(remote: RemoteLocalRudderStack, server: LocalRudderStack) -> None:
    """A relative warehouse of a build is relative to the working directory of the client."""
    remote.add_project("profiles", build=TableBuild("w.duckdb", {"models/x": "SELECT 1"}))

    build = server._workspace.projects.get("profiles").build
    assert build == TableBuild(Path.cwd() / "w.duckdb", {"models/x": "SELECT 1"})


def test_clear_and_reset(
    remote: RemoteLocalRudderStack, server: LocalRudderStack, raw: httpx.Client
) -> None:
    """Faults can be removed alone or with everything else."""
    remote.add_connection("crm")
    remote.add_fault(Fault("status", times=None))
    remote.clear_faults()
    assert raw.get("/retl-connections/crm").status_code == 200
    remote.reset()

    assert server.requests == []
    assert raw.get("/retl-connections/crm").status_code == 404


def test_table(remote: RemoteLocalRudderStack, server: LocalRudderStack, tmp_path: Path) -> None:
    """Relative paths of a table are relative to the working directory of the client."""
    server._simulator.folder = Path("/")
    table = TableSync(warehouse=tmp_path / "w.duckdb", table="t", destination="d.sqlite")
    remote.add_connection("crm", table=table)

    there = server._workspace.connection("crm").table
    assert there is not None
    assert Path(there.destination) == Path.cwd() / "d.sqlite"
    assert Path(there.warehouse) == tmp_path / "w.duckdb"


def test_denials(server: LocalRudderStack, raw: httpx.Client) -> None:
    """The control API can deny requests."""
    server.add_connection("crm")
    server.add_project("profiles")
    for command in (
        {"message": "needs Edit", "operation": "start"},
        {"message": "needs Edit", "source_id": "profiles"},
    ):
        answer = httpx.post(f"{server.url}/_control/denials", json=command, **control(server))
        assert answer.status_code == 200

    assert raw.post("/retl-connections/crm/start").status_code == 403
    assert raw.post("/sources/profiles/start").status_code == 403


@pytest.mark.parametrize(
    ("path", "command", "refusal"),
    [
        ("connections", {"id": "x", "colour": "red"}, (400, "colour is unknown")),
        ("faults", {"kind": "boom"}, (400, "kind must be one of")),
        ("scripts", {"connection_id": "unknown", "script": {}}, (404, "unknown not found")),
        ("syncs", {"connection_id": "busy"}, (409, "already running")),
        ("syncs", {"connection_id": "busy", "origin": "api"}, (400, "origin must be one of")),
        ("runs", {"source_id": "unknown"}, (404, "unknown not found")),
        ("runs", {"source_id": "busy"}, (409, "already running")),
        ("runs", {"source_id": "busy", "parameters": "x"}, (400, "parameters must be a list")),
        ("run-scripts", {"source_id": "unknown", "script": {}}, (404, "unknown not found")),
        ("projects", {"id": "x", "start_status": 500}, (400, "start_status must be one of 200")),
    ],
)
def test_refused(
    server: LocalRudderStack,
    remote: RemoteLocalRudderStack,
    path: str,
    command: dict[str, object],
    refusal: tuple[int, str],
) -> None:
    """An invalid command is refused with the reason."""
    status, message = refusal
    server.add_connection("busy", script=SyncScript(never_ends=True))
    server.start_sync("busy")
    server.add_project("busy", RunScript(never_ends=True))
    server.start_run("busy")
    answer = httpx.post(f"{server.url}/_control/{path}", json=command, **control(server))

    assert answer.status_code == status
    assert message in answer.json()["error"]
    with pytest.raises(RuntimeError, match=message):
        remote._call("POST", path, command)


def test_bug(server: LocalRudderStack) -> None:
    """A bug of the server is a 500 of the control API."""
    server.add_connection("crm")
    server._workspace._syncs["odd"] = None  # type: ignore[assignment]
    answer = httpx.get(f"{server.url}/_control/state", **control(server))
    errors = server.errors
    server.reset()

    assert answer.status_code == 500
    assert "Bug in the local RudderStack" in answer.json()["error"]
    assert len(errors) == 1


def test_no_json(server: LocalRudderStack) -> None:
    """A command must be JSON."""
    kind = {"Content-Type": "application/json", **control(server)["headers"]}
    answer = httpx.post(
        f"{server.url}/_control/faults", content=b"{", headers=kind, trust_env=False
    )

    assert (answer.status_code, answer.json()) == (400, {"error": "The body must be JSON"})


def test_state(server: LocalRudderStack) -> None:
    """The state can be read with any HTTP client."""
    server.add_connection("crm")
    server.start_sync("crm")
    request = urllib.request.Request(  # noqa: S310 - of this machine
        f"{server.url}/_control/state", headers=control(server)["headers"]
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        state = json.load(answer)

    assert state["syncs"][0]["connection_id"] == "crm"
    assert state["now"] >= state["syncs"][0]["started_at"]


def test_not_in_the_log(server: LocalRudderStack, remote: RemoteLocalRudderStack) -> None:
    """The request log and the faults ignore requests to the control API."""
    server.add_fault(Fault("reset", times=None))

    assert remote.syncs() == []
    assert server.requests == []


def test_path_prefix() -> None:
    """The control API is under the path prefix."""
    with LocalRudderStack(path_prefix="/proxy") as server:
        RemoteLocalRudderStack(server.url, server.control_token).add_connection("crm")

        assert [each.id for each in server._workspace.connections()] == ["crm"]


def test_not_ready() -> None:
    """Waiting for a server that does not answer ends with TimeoutError."""
    remote = RemoteLocalRudderStack("http://127.0.0.1:9")

    with pytest.raises(TimeoutError, match="does not answer"):
        remote.wait_until_ready(0.05)

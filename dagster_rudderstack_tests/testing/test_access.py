"""No web page and no other program without its token can control a local RudderStack."""

from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest

from dagster_rudderstack.testing import (
    LocalRudderStack,
    RemoteLocalRudderStack,
    TableBuild,
    TableSync,
)
from dagster_rudderstack_tests.processes.harness import wait_for
from dagster_rudderstack_tests.testing.test_command_line import Process

CONTROL = "/_control/connections"
API = "/v2/retl-connections"


def status_of(server: LocalRudderStack, path: str, **headers: str) -> int:
    """Return the answer to a request with the right tokens, except for these headers."""
    token = server.control_token if path == CONTROL else server.access_token
    given = {"authorization": f"Bearer {token}", "content-type": "application/json", **headers}
    url = f"{server.url}{path}"
    method = "POST" if path == CONTROL else "GET"
    content = b'{"id": "evil"}' if path == CONTROL else None
    return httpx.request(method, url, content=content, headers=given, trust_env=False).status_code


@pytest.mark.parametrize("path", [CONTROL, API])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:8085"}, 200),
        ({"host": "[::1]"}, 200),
        ({"origin": "http://localhost:3000"}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"host": "localhost@evil.example"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://[broken"}, 403),
        ({"authorization": "Bearer wrong"}, 401),
    ],
    ids=str,
)
def test_web_page(
    path: str, headers: dict[str, str], status: int, server: LocalRudderStack
) -> None:
    """A foreign Host or Origin is refused, also with the right token, and changes nothing."""
    assert status_of(server, path, **headers) == status
    is_added = path == CONTROL and status == 200
    assert [each.id for each in server._workspace.connections()] == ["evil"] * is_added


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_form(kind: str, server: LocalRudderStack) -> None:
    """The control API accepts JSON only, which no form of a web page can send."""
    assert status_of(server, CONTROL, **{"content-type": kind}) == 415


def test_control_token(server: LocalRudderStack) -> None:
    """The control API has a token of its own, which differs between two servers."""
    with LocalRudderStack() as other, LocalRudderStack(control_token="given") as given:
        assert other.control_token != server.control_token
        assert given.control_token == "given"
    assert status_of(server, CONTROL, authorization=f"Bearer {server.access_token}") == 401
    assert status_of(server, API, authorization=f"Bearer {server.control_token}") == 401


def test_other_machines() -> None:
    """A server that other machines can reach has a name that it does not know."""
    with LocalRudderStack(host="0.0.0.0") as server:  # noqa: S104 - it is the case
        port = server.url.rsplit(":", 1)[1]
        headers = {"host": "rudderstack.internal", "authorization": "Bearer test-token"}
        answer = httpx.get(f"http://127.0.0.1:{port}{API}", headers=headers, trust_env=False)

    assert answer.status_code == 200


@pytest.mark.parametrize("name", ["warehouse", "destination"])
@pytest.mark.parametrize("path", ["/etc/passwd", "../outside.duckdb", "link.duckdb"])
def test_folder(name: str, path: str, tmp_path: Path) -> None:
    """The control API accepts files of the folder only, also if a link leads out of it."""
    (tmp_path / "link.duckdb").symlink_to("/etc/hostname")
    files = {"warehouse": "w.duckdb", "destination": "d.duckdb", name: path}
    with LocalRudderStack(folder=tmp_path) as server:
        remote = RemoteLocalRudderStack(server.url, server.control_token)
        in_folder: dict[str, Any] = {key: str(tmp_path / value) for key, value in files.items()}
        with pytest.raises(RuntimeError, match=rf"table.{name} .* is not in {tmp_path}"):
            remote.add_connection("crm", table=TableSync(**in_folder, table="t"))

        assert server._workspace.connections() == []


@pytest.mark.parametrize("path", ["/etc/passwd", "../outside.duckdb", "link.duckdb"])
def test_folder__build(path: str, tmp_path: Path) -> None:
    """The control API lets runs write to files of the folder only."""
    (tmp_path / "link.duckdb").symlink_to("/etc/hostname")
    build = TableBuild(tmp_path / path, {"models/x": "SELECT 1"})
    with LocalRudderStack(folder=tmp_path) as server:
        remote = RemoteLocalRudderStack(server.url, server.control_token)
        with pytest.raises(RuntimeError, match=rf"build.warehouse .* is not in {tmp_path}"):
            remote.add_project("profiles", build=build)

        assert server._workspace.projects.all() == []


HOSTILE_BODIES = {
    "not a number": b'{"x": NaN}',
    "half a pair": b'{"x": "\\ud800"}',
    "open brackets": b"[" * 100_000,
    "deep": b"[" * 900 + b"]" * 900,
    "deeper": b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
}


@pytest.mark.parametrize("body", HOSTILE_BODIES.values(), ids=HOSTILE_BODIES.keys())
def test_log__hostile_body(body: bytes) -> None:
    """A body that JSON cannot hold is logged as a text, and is no bug of the server."""
    with LocalRudderStack() as server:
        server.add_connection("crm")
        headers = {"Authorization": f"Bearer {server.access_token}"}
        answer = httpx.post(f"{server.url}{API}/crm/start", content=body, headers=headers)
        (logged,) = RemoteLocalRudderStack(server.url, server.control_token).requests

        assert answer.status_code < 500
        assert isinstance(logged.body, str)
        assert server.errors == []


def test_log__large_body() -> None:
    """A body of more than a megabyte is refused, and not kept."""
    with LocalRudderStack() as server:
        answer = httpx.post(f"{server.url}/anything", content=b"x" * 2_000_000)

        assert answer.status_code == 413
        assert server.requests == []


def test_folder__relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path of the control API is one in the folder, not in the working folder."""
    allowed, elsewhere = tmp_path / "a" / "allowed", tmp_path / "b" / "working"
    for folder in (allowed, elsewhere, tmp_path / "b" / "allowed"):
        folder.mkdir(parents=True)
        with duckdb.connect(str(folder / "w.duckdb")) as warehouse:
            warehouse.execute("create table t as select 1 as id")
    monkeypatch.chdir(elsewhere)
    table = {"warehouse": "../allowed/w.duckdb", "destination": "../allowed/d.duckdb", "table": "t"}
    with LocalRudderStack(folder=allowed) as server:
        answer = httpx.post(
            f"{server.url}{CONTROL}",
            json={"id": "crm", "table": table},
            headers={"Authorization": f"Bearer {server.control_token}"},
        )
        assert answer.is_success
        server.start_sync("crm")
        wait_for(lambda: server.syncs("crm")[0].finished_at is not None, "the end of the sync")

    assert [path.parent for path in tmp_path.rglob("d.duckdb")] == [allowed]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('{0}/secret.csv')",
        "SELECT * FROM '{0}/secret.csv'",
        "SELECT content AS id FROM read_text('{0}/secret.csv')",
        "COPY (SELECT 1 AS id) TO '{0}/written.csv'",
        "ATTACH '{0}/other.duckdb'",
        "SET enable_external_access = true; SELECT * FROM '{0}/secret.csv'",
        "SELECT 1 AS id; COPY (SELECT 1) TO '{0}/written.csv'",
    ],
)
def test_sql(sql: str, tmp_path: Path) -> None:
    """The SQL of a source cannot touch other files, if the server runs as a process."""
    (tmp_path / "secret.csv").write_text("id\nsecret\n")
    warehouse, destination = tmp_path / "w.duckdb", tmp_path / "d.duckdb"
    with duckdb.connect(str(warehouse)) as opened:
        opened.sql("CREATE TABLE t AS SELECT 1 AS id")
    process = Process("--folder", str(tmp_path))
    try:
        for name, query in [("good", "SELECT * FROM t"), ("evil", sql.format(tmp_path))]:
            table = TableSync(warehouse, sql=query, destination=destination, destination_table=name)
            process.remote.add_connection(name, table=table)
            process.remote.start_sync(name)
        wait_for(lambda: not any(each.running for each in process.remote.syncs()), "the syncs")
        good, evil = process.remote.syncs()
    finally:
        process.end(15)

    assert (good.status, good.rows_succeeded) == ("succeeded", 1)
    assert evil.status == "failed"
    assert {each.name for each in tmp_path.iterdir()} == {"secret.csv", "w.duckdb", "d.duckdb"}


def test_host_warning(capfd: pytest.CaptureFixture[str]) -> None:
    """A host that other machines may reach gets a warning."""
    _, _, warning = Process("--host", "0.0.0.0").end(15)  # noqa: S104 - it is the case
    _, _, nothing = Process("--host", "localhost").end(15)

    assert "other machines may reach this server" in warning
    assert nothing == ""

"""The configuration file, and the messages for errors in it."""

import json
from pathlib import Path
from typing import Any

import pytest

from dagster_rudderstack import RudderStackResource, refresh_rudderstack_snapshot
from dagster_rudderstack.testing import (
    ConfigError,
    LocalRudderStack,
    RunScript,
    SyncScript,
    read_config,
)

WHOLE: dict[str, Any] = {
    "sources": [{"id": "s", "definition": "snowflake", "config": {"schema": "analytics"}}],
    "destinations": [{"id": "d", "type": "HUBSPOT", "wire_fields": {"x": 1}}],
    "connections": [
        {
            "id": "crm",
            "source_id": "s",
            "destination_id": "d",
            "script": {"duration_seconds": 2, "rows_total": None, "rows_failed": 3},
            "mappings": {"email": "Email"},
            "table": {
                "warehouse": "warehouse.duckdb",
                "table": "analytics.customers",
                "primary_key": "id",
                "destination": "/elsewhere/crm.sqlite",
                "required": ["email"],
            },
        },
        {"id": "ads", "mappings": [{"from": "email", "to": "Email"}], "deny": None},
    ],
    "projects": [
        {
            "id": "p",
            "script": {"duration_seconds": 5, "tasks": ["extract"], "wire_fields": {"x": 1}},
            "build": {"warehouse": "warehouse.duckdb", "models": {"models/users": "SELECT 1"}},
            "start_status": 201,
            "legacy_status": False,
        },
        {"id": "etl"},
    ],
    "faults": [{"kind": "status", "operation": ["start", "stop"], "times": None}],
}


def write(folder: Path, content: Any) -> Path:
    path = folder / "config.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_whole(tmp_path: Path) -> None:
    """A file can declare every kind of object. Its paths are relative to its folder."""
    config = read_config(write(tmp_path, WHOLE))
    crm = config.connections[0]

    assert crm.script == SyncScript(duration_seconds=2, rows_total=None, rows_failed=3)
    assert crm.table is not None
    assert crm.table.warehouse == tmp_path / "warehouse.duckdb"
    assert crm.table.destination == Path("/elsewhere/crm.sqlite")
    assert crm.table.required == ("email",)
    profiles, etl = config.projects
    assert profiles.script == RunScript(
        duration_seconds=5, tasks=("extract",), wire_fields={"x": 1}
    )
    assert profiles.build is not None
    assert profiles.build.warehouse == tmp_path / "warehouse.duckdb"
    assert (profiles.start_status, profiles.legacy_status) == (201, False)
    assert (etl.script, etl.build) == (RunScript(), None)
    assert config.faults[0].operation == ("start", "stop")
    assert config.faults[0].limit is None


def test_reset_goes_back_to_the_file(tmp_path: Path) -> None:
    """After a reset, only the content of the file is left."""
    server = LocalRudderStack(config=read_config(write(tmp_path, WHOLE)))
    server.add_connection("more")
    server.add_project("more")
    server.start_sync("ads")
    server.start_run("etl")
    server.reset()

    assert [each.id for each in server._workspace.connections()] == ["crm", "ads"]
    assert [each.id for each in server._workspace.projects.all()] == ["p", "etl"]
    assert server.syncs() == []
    assert server.runs() == []


def wrong(**changes: Any) -> dict[str, Any]:
    return {"connections": [{"id": "crm", **changes}]}


def project(**settings: Any) -> dict[str, Any]:
    return {"projects": [{"id": "p", **settings}]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "config.json is not JSON"),
        ([], r"config.json: The JSON must be an object"),
        ("[" * 100_000, "config.json is not JSON"),
        ({"conections": []}, "conections is unknown. Known: sources, destinations, connections"),
        ({"connections": {}}, "connections must be a list, not {}"),
        ({"connections": [{}]}, r"connections\[0\].id is missing"),
        ({"connections": [{"id": ""}]}, r"config.json: connections\[0\]: A connection needs an id"),
        ({"connections": [{"id": 5}]}, r"connections\[0\].id must be a string, not 5"),
        (
            {"connections": [{"id": "a"}, {"id": "a"}]},
            r"connections\[1\].id 'a' was used before",
        ),
        (wrong(enabled="yes"), r"connections\[0\].enabled must be true or false, not 'yes'"),
        (wrong(script={"duration": 1}), r"connections\[0\].script.duration is unknown"),
        (wrong(script={"duration_seconds": "1"}), r"script.duration_seconds must be a number"),
        (wrong(script={"duration_seconds": True}), r"script.duration_seconds must be a number"),
        (wrong(script={"duration_seconds": -1}), r"script: duration_seconds must be 0 or more"),
        (wrong(script={"rows_total": 1.5}), r"rows_total must be .* whole number .* not 1.5"),
        (wrong(script={"rows_total": "all"}), r"rows_total must be .*'auto'.* not 'all'"),
        (
            wrong(wire_fields={"enabld": False}),
            r"connections\[0\]: A connection has no field 'enabld'. Did you mean 'enabled'",
        ),
        (wrong(schedule="manual"), r"connections\[0\].schedule must be an object"),
        (wrong(script=[]), r"script must be an object, not \[\]"),
        (
            wrong(table={"warehouse": "w"}),
            r"connections\[0\].table: A TableSync needs either table or sql",
        ),
        (wrong(table={"table": "t"}), r"table.warehouse is missing"),
        (
            wrong(table={"warehouse": "w", "table": "t", "required": "email"}),
            r"table.required must be a list, not 'email'",
        ),
        (wrong(mappings={"a": 1}), r"mappings.a must be a string, not 1"),
        (wrong(mappings="a"), r"mappings must be an object or a list or null, not 'a'"),
        ({"projects": [{"id": "p"}, {"id": "p"}]}, r"projects\[1\].id 'p' was used before"),
        (project(script={"status": 5}), r"projects\[0\].script.status must be a string, not 5"),
        (project(script={"tasks": "a"}), r"script.tasks must be a list, not 'a'"),
        (project(start_status=202), r"projects\[0\].start_status must be one of 200, 201, 204"),
        (project(build={"warehouse": "w"}), r"projects\[0\].build.models is missing"),
        (
            project(build={"warehouse": "w", "models": {}}),
            r"projects\[0\].build: models of a TableBuild must map model refs to SQL",
        ),
        (
            {"sources": [{"id": "a"}, {"id": "b"}], **wrong(source_id="c")},
            r"connections\[0\].source_id 'c' is unknown: the file has 'a', 'b'",
        ),
        (
            wrong(destination_id="hubspot"),
            r"connections\[0\].destination_id 'hubspot' is unknown: the file has no destination",
        ),
        ({"faults": [{"kind": "boom"}]}, r"faults\[0\].kind must be one of 'status'"),
        ({"faults": [{"kind": "status", "operation": "x"}]}, r"faults\[0\]: Unknown operation 'x'"),
    ],
)
def test_errors(tmp_path: Path, content: Any, message: str) -> None:
    """The message names the file, and the place of the error in it."""
    with pytest.raises(ConfigError, match=message):
        read_config(write(tmp_path, content))


def test_missing_file(tmp_path: Path) -> None:
    """A missing file is an error."""
    with pytest.raises(ConfigError, match=r"nothing.json cannot be read: No such file"):
        read_config(tmp_path / "nothing.json")


def test_duplicate_key(tmp_path: Path) -> None:
    """A key that an object has twice is an error: one of the values would be lost."""
    text = '{"connections": [{"id": "a", "script": {}, "script": {"duration_seconds": 5}}]}'

    with pytest.raises(ConfigError, match=r"config.json: an object has the key 'script' twice"):
        read_config(write(tmp_path, text))


def test_byte_order_mark(tmp_path: Path) -> None:
    """A file may begin with a byte order mark, as some editors write it."""
    config = read_config(write(tmp_path, f"\ufeff{json.dumps(WHOLE)}"))

    assert [each.id for each in config.connections] == ["crm", "ads"]


def test_snapshot(tmp_path: Path) -> None:
    """A snapshot of a workspace is named as what it is."""
    path = tmp_path / "snapshot.json"
    with LocalRudderStack(config=read_config(write(tmp_path, WHOLE))) as server:
        resource = RudderStackResource(access_token=server.access_token, api_url=server.url)
        refresh_rudderstack_snapshot(resource, path)

    with pytest.raises(ConfigError) as caught:
        read_config(path)

    assert str(caught.value) == (
        f"{path} is a snapshot of a workspace, not a configuration of the local RudderStack"
    )

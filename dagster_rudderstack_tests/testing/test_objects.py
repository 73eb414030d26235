"""Adding objects to the local RudderStack, and the messages for invalid ones."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dagster_rudderstack.testing import LocalRudderStack, SyncScript
from dagster_rudderstack.testing.objects import Connection, Destination, Source
from dagster_rudderstack.testing.web.api_json import connection_json, destination_json, source_json

SAMPLES = Path(__file__).parents[1] / "sample_data"
KINDS: list[tuple[Any, Callable[..., dict[str, Any]]]] = [
    (Connection, connection_json),
    (Source, source_json),
    (Destination, destination_json),
]


@pytest.fixture
def server() -> LocalRudderStack:
    """A local RudderStack that does not listen."""
    return LocalRudderStack()


@pytest.mark.parametrize(("kind", "write"), KINDS)
def test_api_fields(kind: Any, write: Callable[..., dict[str, Any]]) -> None:
    """Each field that the API returns is known, and `wire_fields` can replace it."""
    content = write(kind("a"), 0.0)
    sample = json.loads((SAMPLES / f"{kind.__name__}.json").read_text())

    assert set(kind.API_FIELDS) == set(content) | set(sample)
    assert write(kind("a", wire_fields=sample), 0.0) == {**content, **sample}


@pytest.mark.parametrize("name", ["x", "newField", "retries2"])
def test_wire_field__new(name: str, server: LocalRudderStack) -> None:
    """A field that the API does not have yet is accepted."""
    fields: dict[str, Any] = {name: 1}
    server.add_source("s", **fields)
    server.add_destination("d", **fields)
    server.add_connection("c", "s", "d", **fields)

    assert server._workspace.connection("c").wire_fields == fields


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"enabld": False}, "A connection has no field 'enabld'. Did you mean 'enabled'?"),
        ({"scrpt": SyncScript()}, "A connection has no field 'scrpt'. Did you mean 'script'?"),
        ({"tabel": None}, "Did you mean 'table'?"),
        ({"syncBehavior": "mirror"}, "Did you mean 'syncBehaviour'?"),
        ({"external_id": "a"}, "Did you mean 'externalId'?"),
        ({"stop_delay_second": 3}, "Did you mean 'stop_delay_seconds'?"),
        (
            {"some_thing": 1},
            "A connection has no field 'some_thing'. The API's fields are in camelCase.",
        ),
        ({"wire_fields": {"x": 1}}, "A connection has no field 'wire_fields'."),
    ],
)
def test_wire_field__misspelled(
    fields: dict[str, Any], message: str, server: LocalRudderStack
) -> None:
    """A misspelled setting or field is an error, and nothing is added."""
    with pytest.raises(ValueError, match="A connection has no") as caught:
        server.add_connection("crm", **fields)

    assert message in str(caught.value)
    assert server._workspace.connections() == []


def test_wire_field__misspelled_elsewhere(server: LocalRudderStack) -> None:
    """Sources, destinations and updates of connections are checked as well."""
    server.add_connection("crm")
    with pytest.raises(ValueError, match=r"A source has no field 'defintion'.*'definition'"):
        server.add_source("s", defintion="snowflake")
    with pytest.raises(ValueError, match=r"A destination has no field 'typ'.*'type'"):
        server.add_destination("d", typ="HUBSPOT")
    with pytest.raises(ValueError, match=r"A connection has no field 'enabld'"):
        server.update_connection("crm", wire_fields={"enabld": False})
    with pytest.raises(ValueError, match=r"A connection has no field 'script'. It is a setting"):
        server.update_connection("crm", wire_fields={"script": None})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"script": {"status": "failed"}}, r"script must be a SyncScript, not {'status'"),
        ({"script": {}}, r"script must be a SyncScript, not {}"),
        ({"script": "failed"}, "script must be a SyncScript, not 'failed'"),
        (
            {"schedule": "manual"},
            r"a mapping such as {'type': 'manual'}, not 'manual'",
        ),
        ({"schedule": None}, r"a mapping such as {'type': 'manual'}, not None"),
        ({"table": "customers"}, "table must be a TableSync, not 'customers'"),
    ],
)
def test_wrong_type(settings: dict[str, Any], message: str, server: LocalRudderStack) -> None:
    """A script, schedule or table of the wrong type is an error."""
    with pytest.raises(TypeError, match=message):
        server.add_connection("crm", **settings)


@pytest.mark.parametrize(
    "pass_script",
    [
        lambda server, script: server.set_script("crm", script),
        lambda server, script: server.script_next("crm", SyncScript(), script),
        lambda server, script: server.start_sync("crm", script=script),
    ],
)
def test_wrong_script(
    pass_script: Callable[[LocalRudderStack, Any], object], server: LocalRudderStack
) -> None:
    """Each method checks its script before it does anything."""
    server.add_connection("crm")
    with pytest.raises(TypeError, match="script must be a SyncScript"):
        pass_script(server, {"status": "failed"})

    assert server.syncs() == []
    server.start_sync("crm")
    assert server.syncs()[0].status == "succeeded"

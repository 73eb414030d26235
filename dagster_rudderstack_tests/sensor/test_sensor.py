"""What a sensor is built from: assets, specs, connection ids, checks and a resource."""

from typing import Any, Literal

import dagster as dg
import pytest

from dagster_rudderstack import (
    InvalidSettingError,
    MetadataKey,
    RejectedRowsCheck,
    RudderStackResource,
    SyncChecks,
    build_rudderstack_polling_sensor,
    build_rudderstack_sync_asset,
)
from dagster_rudderstack.testing import LocalRudderStack, ManualClock, SyncScript
from dagster_rudderstack_tests.sensor.world import CRM, World, connect, reported, world


def test_sensor__resource_with_env_vars(
    server: LocalRudderStack, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings of the sensor's resource can be `EnvVar`s, the dashboard address included."""
    connect(server, "crm")
    monkeypatch.setenv("TOKEN", server.access_token)
    monkeypatch.setenv("URL", server.url)
    monkeypatch.setenv("LINK", "https://app.example/{connection_id}/{sync_id}")
    rudderstack = RudderStackResource(
        access_token=dg.EnvVar("TOKEN"),
        api_url=dg.EnvVar("URL"),
        dashboard_url=dg.EnvVar("LINK"),
    )
    sensor = build_rudderstack_polling_sensor(assets=[CRM], replay=1)
    server.set_script("crm", SyncScript())
    sync_id = server.start_sync("crm")

    with dg.build_sensor_context(instance, resources={"rudderstack": rudderstack}) as context:
        data = sensor.evaluate_tick(context)

    (materialization, _) = data.asset_events
    assert materialization.metadata[MetadataKey.LINK].value == f"https://app.example/crm/{sync_id}"


def test_sensor__specs_and_connection_ids(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
) -> None:
    """The sensor also watches specs that have a connection in their metadata, and connections by
    id. It evaluates its own check for them."""
    connect(server, "a", "b")
    sensor = build_rudderstack_polling_sensor(
        assets=[
            dg.AssetSpec("spec", metadata={"rudderstack/connection_id": "a"}),
            dg.AssetSpec("something else"),
        ],
        connections={"b": ["plain", "key"]},
        checks=SyncChecks(rejected_rows=RejectedRowsCheck(name="rows")),
    )
    scene = World(instance, rudderstack, [], sensor)
    scene.tick()
    server.start_sync("a")
    server.start_sync("b")
    clock.advance(60)

    assert sorted(reported(scene.tick())) == [
        ("materialized", "plain/key"),
        ("materialized", "spec"),
        ("rows passed", "plain/key"),
        ("rows passed", "spec"),
    ]


def test_sensor__check_of_the_asset(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
) -> None:
    """The sensor evaluates the asset's own check, with its limits and its severity."""
    connect(server, "crm", script=SyncScript(rows_total=10, rows_failed=3))
    checks = SyncChecks(rejected_rows=RejectedRowsCheck(max_failed_rows=2, severity="ERROR"))
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="contacts", checks=checks)
    scene = world(instance, rudderstack, asset)
    scene.tick()
    server.start_sync("crm")

    (evaluation,) = [
        each for each in scene.tick().asset_events if isinstance(each, dg.AssetCheckEvaluation)
    ]

    assert not evaluation.passed
    assert evaluation.severity is dg.AssetCheckSeverity.ERROR
    assert evaluation.description == (
        "3 of 10 rows were rejected (30.0 %); up to 2 are accepted. RudderStack's dashboard calls "
        'this sync "failed".'
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "The sensor has no connection"),
        ({"assets": [dg.AssetSpec("x")]}, "The sensor has no connection"),
        ({"assets": [CRM], "connections": {"crm": "other"}}, "'contacts' and 'other'"),
        ({"connections": {"a/b": "x"}}, "connection_id 'a/b'"),
        ({"assets": [CRM], "replay": -1}, "replay -1"),
        ({"assets": [CRM], "tick_seconds": 60}, "tick_seconds 60"),
        ({"assets": [CRM], "failed_syncs": "page"}, "failed_syncs 'page' is unknown"),
    ],
)
def test_sensor__bad_input(options: dict[str, object], message: str) -> None:
    """Wrong input is an error when the sensor is built, and the message names it."""
    with pytest.raises(InvalidSettingError) as caught:
        build_rudderstack_polling_sensor(**options)  # type: ignore[arg-type]

    assert message in str(caught.value)


def test_sensor__one_asset() -> None:
    """A single definition or spec needs no list."""
    spec = dg.AssetSpec("spec", metadata={"rudderstack/connection_id": "a"})

    alone = [build_rudderstack_polling_sensor(assets=each) for each in (CRM, spec)]
    listed = [build_rudderstack_polling_sensor(assets=[each]) for each in (CRM, spec)]

    assert [each.metadata for each in alone] == [each.metadata for each in listed]


@pytest.mark.parametrize("assets", ["crm", dg.AssetKey("crm"), None, 5, ["crm"]])
def test_sensor__wrong_assets(assets: Any) -> None:
    """Something else than definitions and specs is an error that says how to give a key."""
    with pytest.raises(InvalidSettingError, match=r"expected definitions or specs\. Give a key as"):
        build_rudderstack_polling_sensor(assets=assets)


@pytest.mark.parametrize("name", ["RUNNING", "STOPPED"])
def test_sensor__status(name: Literal["RUNNING", "STOPPED"]) -> None:
    """The status can be given by its name, as in YAML."""
    status = dg.DefaultSensorStatus[name]

    sensors = [
        build_rudderstack_polling_sensor(assets=[CRM], default_status=each)
        for each in (name, status)
    ]

    assert [each.default_status for each in sensors] == [status, status]


def test_sensor__wrong_status() -> None:
    """Another name is an error with the names that exist."""
    with pytest.raises(InvalidSettingError) as caught:
        build_rudderstack_polling_sensor(assets=[CRM], default_status="running")  # type: ignore[arg-type]

    assert str(caught.value) == (
        "default_status 'running' is unknown: expected one of 'RUNNING', 'STOPPED'."
    )

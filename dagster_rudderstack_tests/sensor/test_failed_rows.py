"""The syncs that the sensor reports have the SQL that lists their rejected rows."""

import dagster as dg
import pytest

from dagster_rudderstack import MetadataKey, RudderStackResource, build_rudderstack_sync_asset
from dagster_rudderstack.sensor import failed_rows
from dagster_rudderstack.testing import Fault, LocalRudderStack, ManualClock, SyncScript
from dagster_rudderstack_tests.sensor.world import World, world

REJECTED = SyncScript(duration_seconds=60, rows_total=10, rows_failed=2)
FAILED = SyncScript(
    duration_seconds=60, rows_total=10, rows_failed=2, status="failed", error="quota exceeded"
)
CLEAN = SyncScript(duration_seconds=60, rows_total=10)


def watching(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    *names: str,
    metadata: dict[str, str] | None = None,
) -> World:
    """Return a sensor of connections from BigQuery that has polled once."""
    server.add_source("orders", definition="bigquery", config={"primaryKey": "id"})
    for name in names:
        server.add_connection(name, "orders")
    assets = [
        build_rudderstack_sync_asset(
            connection_id=name, spec=dg.AssetSpec(name, metadata=metadata or {})
        )
        for name in names
    ]
    made = world(instance, rudderstack, *assets)
    made.tick()
    server.clear_requests()
    return made


def end_of_syncs(server: LocalRudderStack, clock: ManualClock, **scripts: SyncScript) -> None:
    """Let another client start a sync of each connection, and let the syncs end."""
    for name, script in scripts.items():
        server.start_sync(name, script=script)
    clock.advance(60)


def sql_shown(tick: dg.SensorResult) -> dict[tuple[str, str], str]:
    """Return what the events of a tick say about rejected rows, by kind and asset."""
    return {
        (type(event).__name__, event.asset_key.to_user_string()): str(value.value)
        for event in tick.asset_events
        if (value := event.metadata.get(MetadataKey.FAILED_ROWS_SQL))
    }


def asked(server: LocalRudderStack) -> list[str]:
    """Return the requests that are not about syncs."""
    return sorted(
        request.path.removeprefix("/v2/retl-")
        for request in server.requests
        if not request.path.endswith("/syncs")
    )


def test_events(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
) -> None:
    """Materializations, observations and checks have the SQL. Other connections are not read."""
    scene = watching(server, rudderstack, instance, "crm", "ads", "mail")
    end_of_syncs(server, clock, crm=REJECTED, ads=FAILED, mail=CLEAN)

    found = sql_shown(scene.tick())

    assert set(found) == {
        ("AssetMaterialization", "crm"),
        ("AssetCheckEvaluation", "crm"),
        ("AssetObservation", "ads"),
    }
    (sync,) = server.syncs("crm")
    for key in (("AssetMaterialization", "crm"), ("AssetCheckEvaluation", "crm")):
        assert f"LEFT JOIN `rudderstack_`.`snapshot_crm_{sync.id.lower()}` AS sn" in found[key]
    assert asked(server) == [
        "connections/ads",
        "connections/crm",
        "sources/orders",
        "sources/orders",
    ]


def test_once_per_tick(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
) -> None:
    """A connection is read once in a tick, however many of its syncs have ended."""
    scene = watching(server, rudderstack, instance, "crm")
    for _ in range(3):
        end_of_syncs(server, clock, crm=REJECTED)

    tick = scene.tick()

    assert (
        len([each for each in tick.asset_events if isinstance(each, dg.AssetMaterialization)]) == 3
    )
    assert asked(server) == ["connections/crm", "sources/orders"]


def test_known_from_the_definition(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
) -> None:
    """What the definition says is not asked for."""
    warehouse = {MetadataKey.WAREHOUSE: "mysql"}
    scene = watching(server, rudderstack, instance, "crm", metadata=warehouse)
    end_of_syncs(server, clock, crm=REJECTED)

    found = sql_shown(scene.tick())

    assert "`_rudderstack`.`sync_log`" in found["AssetMaterialization", "crm"]
    assert asked(server) == []


@pytest.mark.parametrize("problem", ["refused", "no time", "late"])
def test_general_sql(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    problem: str,
) -> None:
    """If RudderStack does not say in time where the log is, the SQL is a general one."""
    scene = watching(server, rudderstack, instance, "crm")
    end_of_syncs(server, clock, crm=REJECTED)
    if problem == "refused":
        server.add_fault(Fault("status", status=403, operation="get_source"))
    else:
        limit = "SYNC_LOGS_SECONDS" if problem == "no time" else "LAST_REQUEST_SECONDS"
        monkeypatch.setattr(failed_rows, limit, 0.0)

    found = sql_shown(scene.tick())

    assert "FROM _rudderstack.sync_log AS sl\n" in found["AssetMaterialization", "crm"]


def test_deferred_failure(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
) -> None:
    """The run that fails for a deferred sync has the SQL of the observation."""
    server.add_connection("crm", script=FAILED)
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="crm", wait=False)
    scene = world(instance, rudderstack, asset)
    scene.run()
    clock.advance(60)

    tick = scene.tick()
    (run,) = scene.launch(tick)

    (event,) = (event for event in run.all_events if event.is_step_failure)
    data = event.step_failure_data.user_failure_data
    assert data is not None
    assert (
        data.metadata[MetadataKey.FAILED_ROWS_SQL].value
        == sql_shown(tick)["AssetObservation", "crm"]
    )

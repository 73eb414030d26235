"""The sensor names a connection by its source and destination where its asset's definition does."""

import dagster as dg
import pytest

from dagster_rudderstack import MetadataKey, RudderStackResource, build_rudderstack_sync_asset
from dagster_rudderstack.testing import Fault, LocalRudderStack, ManualClock
from dagster_rudderstack_tests.sensor.world import FAILING, connect, world

NAMED = build_rudderstack_sync_asset(
    connection_id="crm",
    spec=dg.AssetSpec(
        "contacts",
        metadata={
            MetadataKey.SOURCE_NAME: "Customers",
            MetadataKey.DESTINATION_NAME: dg.MetadataValue.text("CRM"),
        },
    ),
)
NAME = "Customers to CRM (crm)"


def test_failed_sync(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
) -> None:
    """The observation of a failed sync names the connection."""
    connect(server, "crm")
    scene = world(instance, rudderstack, NAMED)
    scene.tick()
    server.script_next("crm", FAILING)
    server.start_sync("crm", origin="schedule")
    clock.advance(60)
    (observation,) = scene.tick().asset_events

    assert NAME in (observation.description or "")


def test_connection_without_answer(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The warning about a connection that cannot be polled names it."""
    connect(server, "crm", "ads")
    ads = build_rudderstack_sync_asset(connection_id="ads", spec="audience")
    server.add_fault(Fault("wrong_type", connection_id="crm", times=None))
    world(instance, rudderstack, NAMED, ads).tick()

    assert f"Connection {NAME} could not be polled." in capfd.readouterr().err

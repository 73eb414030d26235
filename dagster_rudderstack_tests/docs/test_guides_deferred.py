"""The guide on deferred and external syncs."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import RudderStackMetadataSet, build_rudderstack_polling_sensor
from dagster_rudderstack.testing import LocalRudderStack, SyncScript
from dagster_rudderstack_tests.docs.guide import (
    AUDIENCE,
    CONTACTS,
    Automation,
    Guide,
    materialize,
)

GUIDE = Guide("deferred-and-external-syncs")

Tick = Callable[[], dg.SensorResult]


@pytest.fixture
def page(server: LocalRudderStack) -> dict[str, Any]:
    """The names of the guide's file."""
    return GUIDE.run(0, server)


@pytest.fixture
def tick(page: dict[str, Any], instance: dg.DagsterInstance) -> Tick:
    """Evaluate the sensor of the guide, and store its events, as the daemon does."""
    defs: dg.Definitions = page["defs"]
    sensor = defs.resolve_sensor_def("rudderstack_polling_sensor")
    cursor: list[str | None] = [None]

    def tick() -> dg.SensorResult:
        with dg.build_sensor_context(
            instance, cursor=cursor[-1], resources=defs.resources
        ) as context:
            result = sensor(context)
        assert isinstance(result, dg.SensorResult)
        cursor.append(result.cursor)
        for event in result.asset_events:
            instance.report_runless_asset_event(event)
        return result

    return tick


def materialized(tick: dg.SensorResult) -> dict[str, Any]:
    """Return the origin of each reported sync, by asset."""
    return {
        event.asset_key.to_user_string(): RudderStackMetadataSet.extract(event.metadata).origin
        for event in tick.asset_events
        if isinstance(event, dg.AssetMaterialization)
    }


def test_both_kinds(
    page: dict[str, Any], server: LocalRudderStack, instance: dg.DagsterInstance, tick: Tick
) -> None:
    """The sensor reports the sync that a step has left to it, and one that RudderStack started."""
    tick()
    run = materialize(page["defs"], instance, "crm_contacts")
    server.start_sync(AUDIENCE, "schedule")

    found = tick()

    assert run.success
    assert run.get_asset_materialization_events() == []
    assert materialized(found).keys() == {"crm_contacts", "ad_audience"}
    assert materialized(found)["ad_audience"] == "observed"
    assert materialized(tick()) == {}


def test_downstream(
    page: dict[str, Any], server: LocalRudderStack, instance: dg.DagsterInstance, tick: Tick
) -> None:
    """The downstream asset is requested when the sensor has reported the syncs."""
    tick()
    automation = Automation(page["defs"], instance, "marketing_report")
    materialize(page["defs"], instance, "crm_contacts")
    server.start_sync(AUDIENCE, "schedule")

    unreported = automation.requests()
    tick()
    reported = automation.requests()

    assert (unreported, reported) == (False, True)


def test_downstream__same_run(
    page: dict[str, Any], server: LocalRudderStack, instance: dg.DagsterInstance
) -> None:
    """In the run that starts a deferred sync, downstream assets are skipped."""
    result = materialize(page["defs"], instance, "crm_contacts", "marketing_report")

    assert result.success
    assert result.get_asset_materialization_events() == []


def test_failed_sync(
    page: dict[str, Any], server: LocalRudderStack, instance: dg.DagsterInstance, tick: Tick
) -> None:
    """For a failed deferred sync, the sensor requests a run that fails with the reason."""
    tick()
    server.script_next(CONTACTS, SyncScript(status="failed", error="no such table"))
    materialize(page["defs"], instance, "crm_contacts")

    (request,) = tick().run_requests or ()
    run = materialize(page["defs"], instance, "crm_contacts", tags=request.tags)

    assert request.asset_check_keys == []
    assert not run.success
    (failure,) = (event for event in run.all_events if event.is_step_failure)
    data = failure.step_failure_data.user_failure_data
    assert data
    assert "no such table" in (data.description or "")
    assert len(server.starts()) == 1


def test_one_asset_per_connection(page: dict[str, Any]) -> None:
    """Two assets of one connection are an error."""
    connections = {CONTACTS: "again"}

    with pytest.raises(Exception, match="Pass only one of them"):
        build_rudderstack_polling_sensor(assets=[page["crm_contacts"]], connections=connections)

"""The guide on partitions and backfills."""

from datetime import datetime, timezone
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import MetadataKey, build_rudderstack_sync_asset
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.docs.guide import CONTACTS, Automation, Guide, materialize

GUIDE = Guide("partitions-and-backfills")

NOON = datetime(2026, 1, 5, 12, tzinfo=timezone.utc)
OLD_DAY, NEWEST_DAY = "2026-01-03", "2026-01-04"

# Where Dagster stores the result of a check without partitions in a run with some.
pytestmark = [
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcfromtimestamp"),
    pytest.mark.filterwarnings("ignore:Parameter .backfill_policy. of function .asset."),
]


def requests_after(defs: dg.Definitions, instance: dg.DagsterInstance, *days: str) -> list[bool]:
    """Build days of the table, and return whether the sync is requested after each."""
    automation = Automation(defs, instance, "crm_orders", NOON)
    requests = []
    for day in days:
        instance.report_runless_asset_event(dg.AssetMaterialization("orders", partition=day))
        requests.append(automation.requests(NOON))
    return requests


def test_last_partition(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """The newest day of the table requests a sync. An older day does not."""
    defs = GUIDE.run(0, server)["defs"]

    assert requests_after(defs, instance, OLD_DAY, NEWEST_DAY, OLD_DAY) == [False, True, False]


def test_last_partition__no_mapping(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """Without the mapping, the sync waits for all days since the start date."""
    page = GUIDE.run(0, server)
    asset = build_rudderstack_sync_asset(
        connection_id=CONTACTS,
        spec=dg.AssetSpec(
            "crm_orders",
            deps=[page["orders"]],
            automation_condition=dg.AutomationCondition.eager(),
        ),
    )
    defs = dg.Definitions([page["orders"], asset], resources=page["defs"].resources)

    days = ["2026-01-02", OLD_DAY, NEWEST_DAY, "2026-01-01"]
    assert requests_after(defs, instance, *days) == [False, False, False, True]


def partitions(result: dg.ExecuteInProcessResult) -> dict[str | None, Any]:
    """Return the sync of each partition of the sync's asset that a run materialized."""
    events = [event.materialization for event in result.get_asset_materialization_events()]
    return {
        each.partition: each.metadata[MetadataKey.SYNC_ID].value
        for each in events
        if each.asset_key == dg.AssetKey("crm_orders")
    }


def test_backfill(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """A run for some days starts one sync, and materializes each day."""
    defs = GUIDE.run(1, server)["defs"]
    days = {
        "dagster/asset_partition_range_start": "2026-01-01",
        "dagster/asset_partition_range_end": NEWEST_DAY,
    }

    result = materialize(defs, instance, tags=days)

    assert len(partitions(result)) == 4
    assert set(partitions(result).values()) == {sync.id for sync in server.syncs(CONTACTS)}
    assert len(server.starts()) == 1


def test_one_run_per_partition(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """Runs for two partitions start two syncs, whose requests are equal."""
    defs = GUIDE.run(1, server)["defs"]

    for day in (OLD_DAY, NEWEST_DAY):
        assert materialize(defs, instance, partition_key=day).success

    first, second = server.starts()
    assert (first.connection_id, first.body) == (second.connection_id, second.body)

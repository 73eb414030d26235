"""Checks of partitioned assets: a result for each partition, where Dagster can store it."""

import warnings
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    MetadataKey,
    RudderStackResource,
    build_rudderstack_polling_sensor,
    build_rudderstack_sync_asset,
    build_rudderstack_sync_assets,
)
from dagster_rudderstack.checks.partitions import HAS_PARTITIONS
from dagster_rudderstack.testing import LocalRudderStack, SyncScript
from dagster_rudderstack_tests.sensor.world import World

DAYS = dg.StaticPartitionsDefinition(["monday", "tuesday", "wednesday"])
CRM = dg.AssetKey("crm")
REJECTING = SyncScript(rows_total=10, rows_failed=1)

needs_partitions = pytest.mark.skipif(
    not HAS_PARTITIONS, reason="this release of Dagster has no partitions of checks"
)


def crm(**options: Any) -> dg.AssetsDefinition:
    return build_rudderstack_sync_asset(
        connection_id="crm", spec=dg.AssetSpec("crm", partitions_def=DAYS), **options
    )


@pytest.fixture(autouse=True)
def _connection(server: LocalRudderStack) -> None:
    server.add_connection("crm", script=REJECTING)


def results(instance: dg.DagsterInstance, name: str = "rejected_rows") -> dict[str | None, str]:
    """Return the status of the newest result of a check, by partition."""
    key = dg.AssetCheckKey(CRM, name)
    storage: Any = instance.event_log_storage
    found = storage.get_asset_check_partition_info([key])
    return {each.partition_key: each.latest_execution_status.value for each in found}


@pytest.mark.parametrize(
    "asset",
    [
        crm(),
        build_rudderstack_sync_asset(connection_id="crm", spec="crm", partitions_def=DAYS),
        build_rudderstack_sync_assets(
            connections={"crm": "crm", "ads": "ads"}, name="both", partitions_def=DAYS
        ),
        crm(wait=False),
    ],
    ids=["of the spec", "of the option", "group", "deferred"],
)
def test_specs(asset: dg.AssetsDefinition) -> None:
    """The checks have the partitions of their asset, if Dagster has partitions of checks."""
    expected = DAYS if HAS_PARTITIONS else None

    assert {getattr(spec, "partitions_def", None) for spec in asset.check_specs} == {expected}


def test_specs__no_warning() -> None:
    """Dagster's warning that partitions of checks are a preview is not shown."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        crm()

    assert [str(each.message) for each in caught if "preview" in str(each.message)] == []


@needs_partitions
def test_run(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """Each partition has the result of its own sync."""
    resources = {"rudderstack": rudderstack}
    dg.materialize([crm()], resources=resources, instance=instance, partition_key="monday")
    server.set_script("crm", SyncScript(rows_total=10))
    dg.materialize([crm()], resources=resources, instance=instance, partition_key="tuesday")

    assert results(instance) == {"monday": "FAILED", "tuesday": "SUCCEEDED"}


@needs_partitions
# Of Dagster's own, which stores a result of no partition in such a run.
@pytest.mark.filterwarnings("ignore:datetime.datetime.utcfromtimestamp:DeprecationWarning")
@pytest.mark.parametrize("many", [False, True], ids=["one connection", "group"])
def test_range(rudderstack: RudderStackResource, instance: dg.DagsterInstance, many: bool) -> None:
    """In a run of several partitions, each of them has the result of the sync."""
    policy = dg.BackfillPolicy.single_run()
    group = build_rudderstack_sync_assets(
        connections={"crm": "crm"}, name="all", partitions_def=DAYS, backfill_policy=policy
    )

    result = dg.materialize(
        [group if many else crm(backfill_policy=policy)],
        resources={"rudderstack": rudderstack},
        instance=instance,
        tags={
            "dagster/asset_partition_range_start": "monday",
            "dagster/asset_partition_range_end": "tuesday",
        },
    )

    assert result.success
    found = results(instance)
    assert {day: found[day] for day in ("monday", "tuesday")} == dict.fromkeys(
        ("monday", "tuesday"), "FAILED"
    )
    assert "wednesday" not in found


@pytest.mark.parametrize(
    ("day", "expected"),
    [("monday", "1 of 10 rows"), ("tuesday", "No row"), ("wednesday", "never materialized")],
)
def test_check_alone(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    day: str,
    expected: str,
) -> None:
    """A check that is selected without its asset is about the last sync of the run's partition.

    Dagster runs it in a partition only if the step syncs another asset.
    """
    server.add_connection("ads")
    group = build_rudderstack_sync_assets(
        connections={"crm": "crm", "ads": "ads"}, name="both", partitions_def=DAYS
    )
    resources = {"rudderstack": rudderstack}
    for partition in ("monday", "tuesday"):
        dg.materialize([group], resources=resources, instance=instance, partition_key=partition)
        server.set_script("crm", SyncScript(rows_total=10))
    check = dg.AssetSelection.checks(dg.AssetCheckKey(CRM, "rejected_rows"))

    result = dg.materialize(
        [group],
        resources=resources,
        instance=instance,
        partition_key=day,
        selection=check | dg.AssetSelection.assets("ads"),
    )

    (found,) = (each for each in result.get_asset_check_evaluations() if each.asset_key == CRM)
    assert expected in (found.description or "")
    assert len(server.starts("crm")) == 2


def test_run__other_assets_have_partitions(
    rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """The check of an asset without partitions has none in a run of a partition."""
    plain = build_rudderstack_sync_asset(connection_id="crm", spec="crm", deps=["orders"])

    @dg.asset(partitions_def=DAYS)
    def orders() -> None: ...

    assets = [orders, plain]
    resources = {"rudderstack": rudderstack}
    dg.materialize(assets, resources=resources, instance=instance, partition_key="monday")

    alone = dg.materialize(
        assets,
        resources=resources,
        instance=instance,
        selection=dg.AssetSelection.checks(dg.AssetCheckKey(CRM, "rejected_rows")),
    )

    (check,) = alone.get_asset_check_evaluations()
    assert check.metadata[MetadataKey.ROWS_FAILED].value == 1


@needs_partitions
def test_sensor(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """The sensor evaluates the checks of a deferred sync for the partitions of its step."""
    asset = crm(wait=False)
    scene = World(instance, rudderstack, [asset], build_rudderstack_polling_sensor(assets=[asset]))
    scene.run(partition_key="monday")

    while not scene.tick().asset_events:
        assert server.syncs("crm")[0].finished_at is None

    assert results(instance)["monday"] == "FAILED"
    assert results(instance, "sync_succeeded")["monday"] == "SUCCEEDED"

"""The checks of an asset with partitions."""

import inspect

import dagster as dg
import pytest

from dagster_rudderstack import (
    NothingChangedCheck,
    RudderStackResource,
    SyncChecks,
    build_rudderstack_sync_asset,
    build_rudderstack_sync_assets,
)
from dagster_rudderstack.testing import LocalRudderStack, SyncScript
from dagster_rudderstack_tests.step.group import add, starts
from dagster_rudderstack_tests.step.world import run

HAS_PARTITIONS = "partitions_def" in inspect.signature(dg.AssetCheckSpec).parameters
needs_partitions = pytest.mark.skipif(
    not HAS_PARTITIONS, reason="Dagster's checks have partitions from 1.12.13."
)

# Where Dagster stores the result of a check without partitions in a run with some.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcfromtimestamp")

DAYS = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-01-05")
MONDAY, TUESDAY, WEDNESDAY = "2026-01-02", "2026-01-03", "2026-01-04"

KEY = dg.AssetKey("crm")
CHECK = dg.AssetCheckKey(KEY, "nothing_changed")
CHECKS = SyncChecks(rejected_rows=None, nothing_changed=NothingChangedCheck())

CHANGED = SyncScript(rows_total=10)
UNCHANGED = SyncScript(rows_total=10, rows_changed=0)


def asset(**options: object) -> dg.AssetsDefinition:
    return build_rudderstack_sync_asset(
        connection_id="crm",
        spec="crm",
        checks=CHECKS,
        partitions_def=DAYS,
        **options,  # type: ignore[arg-type]
    )


def result_of(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    """Return the only evaluation of a run."""
    (evaluation,) = result.get_asset_check_evaluations()
    return evaluation


# --- the partitions of the checks


def partitions_of_checks(built: dg.AssetsDefinition) -> dict[str, object]:
    """Return the partitions of each check. An older Dagster has none."""
    return {each.name: getattr(each, "partitions_def", None) for each in built.check_specs}


def load(built: dg.AssetsDefinition, rudderstack: RudderStackResource) -> None:
    """Load definitions, in which Dagster compares the partitions of checks and assets."""
    defs = dg.Definitions([built], resources={"rudderstack": rudderstack})
    dg.Definitions.validate_loadable(defs)


@pytest.mark.parametrize("policy", [None, dg.BackfillPolicy.multi_run()], ids=["none", "one"])
def test_partitions(rudderstack: RudderStackResource, policy: dg.BackfillPolicy | None) -> None:
    """If Dagster's checks can have partitions, a check has those of its asset."""
    expected = DAYS if HAS_PARTITIONS else None
    spec = dg.AssetSpec("crm", partitions_def=DAYS)

    with_option = asset(backfill_policy=policy)
    with_spec = build_rudderstack_sync_asset(connection_id="crm", spec=spec, checks=CHECKS)
    without = build_rudderstack_sync_asset(connection_id="crm", spec="crm", checks=CHECKS)

    assert partitions_of_checks(with_option) == {"nothing_changed": expected}
    assert partitions_of_checks(with_spec) == {"nothing_changed": expected}
    assert partitions_of_checks(without) == {"nothing_changed": None}
    for each in (with_option, with_spec, without):
        load(each, rudderstack)


def test_partitions__group(rudderstack: RudderStackResource) -> None:
    """The checks of a group have the partitions of their assets, which may differ."""
    months = dg.MonthlyPartitionsDefinition("2026-01-01")
    specs = {
        "crm": dg.AssetSpec("crm", partitions_def=DAYS),
        "ads": dg.AssetSpec("ads", partitions_def=months),
        "all": dg.AssetSpec("all"),
    }

    built = build_rudderstack_sync_assets(connections=specs, name="activation", checks=CHECKS)

    found = {
        each.asset_key.to_user_string(): getattr(each, "partitions_def", None)
        for each in built.check_specs
    }
    expected = {"crm": DAYS, "ads": months, "all": None}
    assert found == (expected if HAS_PARTITIONS else dict.fromkeys(expected))
    load(built, rudderstack)


@pytest.mark.parametrize(
    "options",
    [
        {"wait": False},
        {"backfill_policy": dg.BackfillPolicy.single_run()},
        {"backfill_policy": dg.BackfillPolicy.multi_run(2)},
    ],
    ids=["deferred", "one run", "two partitions in a run"],
)
def test_partitions__none(options: dict[str, object]) -> None:
    """Checks whose results may be about several partitions, or come from the sensor, have none."""
    assert set(partitions_of_checks(asset(**options)).values()) == {None}


# --- results


def history(instance: dg.DagsterInstance) -> list[tuple[str | None, str]]:
    """Return the partition and the status of each stored result, the newest first."""
    found = instance.event_log_storage.get_asset_check_execution_history(CHECK, limit=10)
    return [(getattr(each, "partition", None), each.status.value) for each in found]


@needs_partitions
def test_results(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """Each partition keeps its own result, of its own materialization."""
    server.add_connection("crm")
    server.script_next("crm", UNCHANGED, CHANGED)
    built = asset()
    for day in (MONDAY, TUESDAY):
        run([built], rudderstack, instance, partition_key=day)

    assert history(instance) == [(TUESDAY, "SUCCEEDED"), (MONDAY, "FAILED")]
    infos = instance.event_log_storage.get_asset_check_partition_info([CHECK])
    assert {info.partition_key: info.is_current for info in infos} == {MONDAY: True, TUESDAY: True}


@needs_partitions
def test_results__check_alone(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """The result of a check alone is that of the partition of its run."""
    server.add_connection("crm")
    server.script_next("crm", UNCHANGED, CHANGED)
    built = asset()
    for day in (MONDAY, TUESDAY):
        run([built], rudderstack, instance, partition_key=day)

    only, tags = dg.AssetSelection.checks(CHECK), {"dagster/partition": MONDAY}
    run([built], rudderstack, instance, selection=only, tags=tags)

    assert history(instance)[0] == (MONDAY, "FAILED")


def test_results__range(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A run of several partitions has one result, for the whole asset."""
    add(server, "crm", script=UNCHANGED)
    built = asset(backfill_policy=dg.BackfillPolicy.single_run())
    tags = {
        "dagster/asset_partition_range_start": MONDAY,
        "dagster/asset_partition_range_end": WEDNESDAY,
    }

    result = run([built], rudderstack, instance, tags=tags)

    events = result.get_asset_materialization_events()
    assert [event.partition for event in events] == [MONDAY, TUESDAY, WEDNESDAY]
    assert result_of(result).passed is False
    assert history(instance)[0] == (None, "FAILED")
    (latest,) = instance.event_log_storage.get_latest_asset_check_execution_by_key([CHECK]).values()
    assert latest.status.value == "FAILED"


# --- a check that is selected without its asset


@pytest.mark.parametrize(
    ("tags", "passed"),
    [
        ({"dagster/partition": MONDAY}, True),
        ({"dagster/partition": TUESDAY}, False),
        ({}, False),
    ],
    ids=["first", "last", "none"],
)
@pytest.mark.parametrize("wait", [True, False], ids=["waits", "deferred"])
def test_check_alone(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    wait: bool,
    tags: dict[str, str],
    passed: bool,
) -> None:
    """A check alone is about the last sync of the partition of its run, or else of the asset."""
    server.add_connection("crm")
    server.script_next("crm", CHANGED, UNCHANGED)
    for day in (MONDAY, TUESDAY):
        run([asset()], rudderstack, instance, partition_key=day)

    only = dg.AssetSelection.checks(CHECK)
    result = run([asset(wait=wait)], rudderstack, instance, selection=only, tags=tags)

    assert result_of(result).passed is passed
    assert starts(server) == {"crm": 2}


def test_check_alone__no_sync(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A check of a partition that was never synced is a warning that names the partition."""
    add(server, "crm")
    run([asset()], rudderstack, instance, partition_key=MONDAY)

    only, tags = dg.AssetSelection.checks(CHECK), {"dagster/partition": WEDNESDAY}
    result = run([asset()], rudderstack, instance, selection=only, tags=tags)

    assert (result_of(result).passed, result_of(result).severity.value) == (False, "WARN")
    assert result_of(result).description == (
        f"There is no sync to check yet: partition {WEDNESDAY} of the asset was never materialized."
    )

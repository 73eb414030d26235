"""Tests of the project's syncs with a local RudderStack, without a workspace or a network."""

import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from dagster_rudderstack import MetadataKey
from dagster_rudderstack.testing import LocalRudderStack, RunScript, SyncScript, TableSync
from reverse_etl_demo.definitions import defs
from reverse_etl_demo.defs.deferred import unwaited_syncs

DEFINITIONS = defs()


@pytest.fixture(autouse=True)
def environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, local_rudderstack: LocalRudderStack
) -> None:
    """Point the project at an empty warehouse and at the local RudderStack."""
    monkeypatch.setenv("WAREHOUSE_PATH", str(tmp_path / "warehouse.duckdb"))
    monkeypatch.setenv("RUDDERSTACK_API_URL", local_rudderstack.url)
    monkeypatch.setenv("RUDDERSTACK_ACCESS_TOKEN", local_rudderstack.access_token)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance in memory, for one test."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def materialize(instance: dg.DagsterInstance, *names: str) -> dg.ExecuteInProcessResult:
    """Materialize assets of the project by name."""
    job = DEFINITIONS.resolve_implicit_global_asset_job_def()
    keys = [dg.AssetKey(name) for name in names]
    return job.execute_in_process(asset_selection=keys, instance=instance, raise_on_error=False)


def test_models(instance: dg.DagsterInstance) -> None:
    """Each customer is one row of customer_360. The audience has only customers with a cart."""
    materialize(instance, "raw_customers", "raw_orders", "customer_360", "abandoned_carts")

    with duckdb.connect(os.environ["WAREHOUSE_PATH"]) as warehouse:
        customers = warehouse.table("analytics.customer_360")
        carts = warehouse.table("analytics.abandoned_carts")
        assert len(customers) == len(customers.unique("customer_id")) == 2000
        assert len(carts) > 0
        assert len(carts.filter("carts = 0")) == 0


def test_crm_contacts__rows_rejected(
    instance: dg.DagsterInstance, local_rudderstack: LocalRudderStack, tmp_path: Path
) -> None:
    """More than five rejected rows are a warning, and so is a reason that is not known."""
    contacts = TableSync(
        warehouse=os.environ["WAREHOUSE_PATH"],
        table="analytics.customer_360",
        primary_key="customer_id",
        destination=tmp_path / "crm.duckdb",
        patterns={"email": r"[^@\s]+@[^@\s]+", "plan": "free|starter"},
    )
    local_rudderstack.add_connection("crm-contacts", table=contacts)
    materialize(instance, "raw_customers", "raw_orders", "customer_360")

    result = materialize(instance, "crm_contacts")

    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    rejected, reasons = checks["rejected_rows"], checks["rejection_reasons"]
    (materialization,) = result.asset_materializations_for_node("crm_contacts")
    rows_failed = materialization.metadata[MetadataKey.ROWS_FAILED].value
    assert (rejected.passed, rejected.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert (reasons.passed, reasons.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert reasons.description == 'New: The field "plan" has an invalid value.'
    counts = re.findall(r"\| (\d+) \|", str(reasons.metadata["top_reasons"].value))
    assert sum(map(int, counts)) == rows_failed


def test_crm_contacts__no_row_rejected(
    instance: dg.DagsterInstance, local_rudderstack: LocalRudderStack
) -> None:
    """Without rejected rows both checks pass, and the warehouse is not read."""
    local_rudderstack.add_connection("crm-contacts", script=SyncScript(rows_total=100))

    result = materialize(instance, "crm_contacts")

    assert [check.passed for check in result.get_asset_check_evaluations()] == [True, True]


def test_customer_features__failed(
    instance: dg.DagsterInstance, local_rudderstack: LocalRudderStack
) -> None:
    """A Profiles run that is finished with an error fails the step, and nothing is synced."""
    reason = "model customer_features: column amount does not exist"
    local_rudderstack.add_project("customer-profiles", RunScript(error=reason))
    local_rudderstack.add_connection("crm-segments")

    result = materialize(instance, "customer_id_graph", "customer_features", "crm_segments")

    (event,) = (event for event in result.all_events if event.is_step_failure)
    assert reason in event.step_failure_data.error_display_string
    assert local_rudderstack.syncs() == []


def test_cart_audience__failed(
    instance: dg.DagsterInstance, local_rudderstack: LocalRudderStack
) -> None:
    """A failed sync fails the run, with RudderStack's reason."""
    reason = 'relation "abandoned_carts" does not exist'
    local_rudderstack.add_connection(
        "cart-audience", script=SyncScript(status="failed", error=reason)
    )

    result = materialize(instance, "cart_audience")

    (event,) = (event for event in result.all_events if event.is_step_failure)
    assert not result.success
    assert reason in event.step_failure_data.error_display_string


def test_cart_audience__follows_its_model(instance: dg.DagsterInstance) -> None:
    """After a rebuild of the models, only the audience is synced automatically."""
    syncs = dg.AssetSelection.groups("activation")
    evaluate = partial(
        dg.evaluate_automation_conditions, DEFINITIONS, instance, asset_selection=syncs
    )
    before = evaluate()
    for name in ("abandoned_carts", "customer_360"):
        instance.report_runless_asset_event(dg.AssetMaterialization(name))

    after = evaluate(cursor=before.cursor)

    assert (before.total_requested, after.total_requested) == (0, 1)
    assert after.get_num_requested(dg.AssetKey("cart_audience")) == 1


def test_newsletter__no_step_waits(
    instance: dg.DagsterInstance, local_rudderstack: LocalRudderStack
) -> None:
    """The run only starts the sync. The sensor materializes the asset when the sync has ended."""
    for connection_id in ("newsletter", "crm-contacts", "crm-segments", "cart-audience"):
        local_rudderstack.add_connection(connection_id)

    result = materialize(instance, "newsletter")
    with dg.build_sensor_context(instance, resources=DEFINITIONS.resources) as context:
        events = unwaited_syncs.evaluate_tick(context).asset_events

    assert result.success
    assert result.asset_materializations_for_node("newsletter") == []
    (materialization, *checks) = events
    assert isinstance(materialization, dg.AssetMaterialization)
    assert materialization.asset_key == dg.AssetKey("newsletter")
    assert len(checks) == 2


def test_every_morning() -> None:
    """The schedule rebuilds the models and the features, and syncs them, without the raw tables."""
    job = DEFINITIONS.resolve_job_def("daily_activation")

    keys = {key.to_user_string() for key in job.asset_layer.executable_asset_keys}
    assert keys == {
        *("customer_360", "abandoned_carts", "customer_id_graph", "customer_features"),
        *("crm_contacts", "crm_segments", "cart_audience"),
    }

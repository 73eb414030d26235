"""Steps with changed asset keys, custom bodies or partitions, and `poll_sync` inside a step."""

import types
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    InvalidSettingError,
    MetadataKey,
    RejectedRowsCheck,
    RudderStackResource,
    build_rudderstack_sync_asset,
    build_rudderstack_sync_assets,
    build_rudderstack_sync_op,
    rudderstack_sync_op,
)
from dagster_rudderstack.testing import LocalRudderStack, SyncScript

Body = Callable[[dg.AssetExecutionContext, RudderStackResource], object]


@pytest.fixture(autouse=True)
def _crm(server: LocalRudderStack) -> None:
    server.add_connection("crm", script=SyncScript(rows_total=10, rows_failed=1))


# --- asset keys that change when the definitions load


def loaded(asset: dg.AssetsDefinition, **changes: object) -> list[Any]:
    """Load an asset from a module, as most projects do, with changes such as a key prefix."""
    module = types.ModuleType("activation")
    module.asset = asset  # type: ignore[attr-defined]
    return list(dg.load_assets_from_modules([module], **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"checks": None},
        {"on_disabled": "skip"},
        {"execute": lambda _context, _rudderstack, sync: sync()},
    ],
    ids=["defaults", "no check", "skip if disabled", "custom body"],
)
@pytest.mark.parametrize("many", [False, True], ids=["one connection", "group"])
def test_key_prefix__succeeded(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    options: dict[str, Any],
    many: bool,
) -> None:
    """An asset that is loaded with a key prefix is synced, and its events have that key."""
    asset = (
        build_rudderstack_sync_assets(connections={"crm": "contacts"}, name="all", **options)
        if many
        else build_rudderstack_sync_asset(connection_id="crm", spec="contacts", **options)
    )
    assets = loaded(asset, key_prefix="prod")

    result = dg.materialize(assets, resources={"rudderstack": rudderstack})

    key = dg.AssetKey(["prod", "contacts"])
    (event,) = result.get_asset_materialization_events()
    assert event.asset_key == key
    assert event.materialization.metadata[MetadataKey.SYNC_ID].value == server.syncs("crm")[0].id
    assert {check.asset_key for check in result.get_asset_check_evaluations()} <= {key}
    assert len(server.starts("crm")) == 1


@pytest.mark.parametrize("many", [False, True], ids=["one connection", "group"])
def test_key_prefix__failed(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    many: bool,
) -> None:
    """The observation of a failed sync has the key with the prefix."""
    server.set_script("crm", SyncScript(status="failed"))
    asset = (
        build_rudderstack_sync_assets(connections={"crm": "contacts"}, name="all")
        if many
        else build_rudderstack_sync_asset(connection_id="crm", spec="contacts")
    )
    assets = loaded(asset, key_prefix="prod")

    dg.materialize(
        assets,
        resources={"rudderstack": rudderstack},
        instance=instance,
        raise_on_error=False,
    )

    key = dg.AssetKey(["prod", "contacts"])
    assert len(instance.fetch_observations(key, limit=10).records) == 1


def test_key_prefix__deferred(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """A deferred asset that is loaded with a key prefix starts its sync."""
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="contacts", wait=False)
    assets = loaded(asset, key_prefix="prod")

    result = dg.materialize(assets, resources={"rudderstack": rudderstack})

    assert result.success
    assert len(server.starts("crm")) == 1


def test_key_prefix__check_alone(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A check that is selected without its asset evaluates the last sync, with a prefix too."""
    asset = build_rudderstack_sync_assets(connections={"crm": "contacts"}, name="all")
    assets = loaded(asset, key_prefix="prod")
    resources = {"rudderstack": rudderstack}
    dg.materialize(assets, resources=resources, instance=instance)
    checks = dg.AssetSelection.checks(
        dg.AssetCheckKey(dg.AssetKey(["prod", "contacts"]), "rejected_rows")
    )

    result = dg.materialize(assets, resources=resources, instance=instance, selection=checks)

    (check,) = result.get_asset_check_evaluations()
    assert not check.passed
    assert len(server.starts("crm")) == 1


def test_default_key__special_characters(
    server: LocalRudderStack, rudderstack: RudderStackResource
) -> None:
    """In the default key, an underscore replaces each character that Dagster does not allow."""
    server.add_connection("prod:crm~1", script=SyncScript())
    asset = build_rudderstack_sync_asset(connection_id="prod:crm~1")

    assert asset.key == dg.AssetKey(["rudderstack", "prod_crm_1"])
    assert dg.materialize([asset], resources={"rudderstack": rudderstack}).success
    assert len(server.starts("prod:crm~1")) == 1


# --- custom bodies


def _does_not_sync() -> list[object]:
    return []


def _does_not_iterate(sync: Callable[[], Iterator[Any]]) -> list[object]:
    sync()
    return []


@pytest.mark.parametrize("execute", [_does_not_sync, _does_not_iterate])
def test_custom_body__no_sync(
    server: LocalRudderStack, rudderstack: RudderStackResource, execute: Any
) -> None:
    """An asset whose body ends without a sync fails, and is not materialized."""
    asset = build_rudderstack_sync_asset(
        connection_id="crm", spec="contacts", checks=None, execute=execute
    )

    result = dg.materialize([asset], resources={"rudderstack": rudderstack}, raise_on_error=False)

    assert not result.success
    assert result.get_asset_materialization_events() == []
    (failure,) = (event for event in result.all_events if event.is_step_failure)
    assert "yielded nothing" in str(failure.step_failure_data.error)
    assert server.starts("crm") == []


@pytest.mark.parametrize("many", [False, True], ids=["one connection", "group"])
def test_custom_body__further_resource(
    server: LocalRudderStack, rudderstack: RudderStackResource, many: bool
) -> None:
    """A custom body can use further resources."""
    seen = []

    def execute(
        context: dg.AssetExecutionContext, sync: Callable[[], Iterator[Any]]
    ) -> Iterator[Any]:
        seen.append(context.resources.pager)
        yield from sync()

    options: dict[str, Any] = {"execute": execute, "required_resource_keys": {"pager"}}
    asset = (
        build_rudderstack_sync_assets(connections={"crm": "contacts"}, name="all", **options)
        if many
        else build_rudderstack_sync_asset(connection_id="crm", spec="contacts", **options)
    )

    assert dg.materialize([asset], resources={"rudderstack": rudderstack, "pager": "beep"}).success
    assert seen == ["beep"]


def test_sync_and_poll__in_an_asset_check(
    server: LocalRudderStack, rudderstack: RudderStackResource
) -> None:
    """An asset check can sync, and pass its own context."""

    @dg.asset_check(asset="orders", required_resource_keys={"rudderstack"})
    def reaches_the_crm(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        report = context.resources.rudderstack.sync_and_poll("crm", context=context)
        return dg.AssetCheckResult(passed=report.rows_succeeded == 9)

    result = dg.materialize(
        [dg.asset(name="orders")(lambda: None), reaches_the_crm],
        resources={"rudderstack": rudderstack},
    )

    assert [check.passed for check in result.get_asset_check_evaluations()] == [True]
    assert len(server.starts("crm")) == 1


# --- partitions


DAYS = dg.StaticPartitionsDefinition(["monday", "tuesday"])


def test_partitions__op(rudderstack: RudderStackResource, instance: dg.DagsterInstance) -> None:
    """An op in a partitioned job materializes the partition of the run."""
    op = build_rudderstack_sync_op(connection_id="crm", asset_key="contacts")

    @dg.job(partitions_def=DAYS, resource_defs={"rudderstack": rudderstack})
    def activate() -> None:
        op()

    activate.execute_in_process(partition_key="monday", instance=instance)

    assert instance.get_materialized_partitions(dg.AssetKey("contacts")) == {"monday"}


def test_partitions__asset_without_partitions(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """In a run of a partition, the events of an asset without partitions have no partition."""
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="contacts", deps=["orders"])

    @dg.asset(partitions_def=DAYS)
    def orders() -> None: ...

    server.script_next("crm", SyncScript(status="failed"))
    for _ in range(2):
        dg.materialize(
            [orders, asset],
            resources={"rudderstack": rudderstack},
            instance=instance,
            partition_key="monday",
            raise_on_error=False,
        )

    observed = instance.fetch_observations(dg.AssetKey("contacts"), limit=10).records
    made = instance.fetch_materializations(dg.AssetKey("contacts"), limit=10).records
    assert (len(observed), len(made)) == (1, 1)
    assert {record.partition_key for record in [*observed, *made]} == {None}


def test_partitions__asset(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """The events of a partitioned asset have the partition, whether its sync fails or succeeds."""
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="contacts", partitions_def=DAYS)
    server.script_next("crm", SyncScript(status="failed"))

    for _ in range(2):
        dg.materialize(
            [asset],
            resources={"rudderstack": rudderstack},
            instance=instance,
            partition_key="monday",
            raise_on_error=False,
        )

    observed = instance.fetch_observations(dg.AssetKey("contacts"), limit=10).records
    made = instance.fetch_materializations(dg.AssetKey("contacts"), limit=10).records
    assert (len(observed), len(made)) == (1, 1)
    assert {record.partition_key for record in [*observed, *made]} == {"monday"}


# --- wrong settings


def test_bad_input__limit_of_an_op(
    server: LocalRudderStack, rudderstack: RudderStackResource
) -> None:
    """A wrong limit fails the op before a request is sent, with the reason and without a retry."""

    @dg.job(
        resource_defs={"rudderstack": rudderstack}, op_retry_policy=dg.RetryPolicy(max_retries=2)
    )
    def activate() -> None:
        rudderstack_sync_op()

    config = {"connection_id": "crm", "max_failed_rows": -1}
    result = activate.execute_in_process(
        run_config={"ops": {"rudderstack_sync_op": {"config": config}}}, raise_on_error=False
    )

    (failure,) = (event for event in result.all_events if event.is_step_failure)
    data = failure.step_failure_data.user_failure_data
    assert data is not None
    assert data.description == "max_failed_rows -1: expected a whole number, 0 or more."
    assert not any(event.is_step_up_for_retry for event in result.all_events)
    assert server.requests == []


def test_bad_input__blocking_check_with_a_warning() -> None:
    """A blocking check needs severity ERROR, since Dagster does not block on a warning."""
    with pytest.raises(InvalidSettingError, match="severity='ERROR'"):
        RejectedRowsCheck(blocking=True)


# --- `start_sync`, then `poll_sync`


def run_body(body: Body, rudderstack: RudderStackResource) -> dg.ExecuteInProcessResult:
    """Materialize an asset with this body."""

    @dg.asset(required_resource_keys={"rudderstack"})
    def contacts(context: dg.AssetExecutionContext) -> None:
        body(context, context.resources.rudderstack)

    return dg.materialize([contacts], resources={"rudderstack": rudderstack}, raise_on_error=False)


def test_poll_sync__owned(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """A sync that the resource has started is reported with the origin `started`."""
    with rudderstack as opened:
        report = opened.poll_sync("crm", opened.start_sync("crm"))

    assert (report.origin, report.rows_succeeded) == ("started", 9)


def test_poll_sync__timeout(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """A sync that exceeds its timeout is stopped only if the resource has started it."""
    for name in ("crm", "ads"):
        server.add_connection(name, script=SyncScript(duration_seconds=3600))

    def poll_owned(_: object, opened: RudderStackResource) -> None:
        opened.poll_sync("crm", opened.start_sync("crm"), timeout_seconds=1)

    def poll_not_owned(_: object, opened: RudderStackResource) -> None:
        opened.poll_sync("ads", server.start_sync("ads"), timeout_seconds=1)

    assert "RudderStack was asked to stop it" in failure_of(run_body(poll_owned, rudderstack))
    assert "it was left running" in failure_of(run_body(poll_not_owned, rudderstack))
    assert [request.connection_id for request in server.stops()] == ["crm"]


def test_poll_sync__canceled(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """If the run is canceled, the sync that it has started is stopped."""
    server.set_script("crm", SyncScript(duration_seconds=3600))

    def body(context: dg.AssetExecutionContext, opened: RudderStackResource) -> None:
        sync_id = opened.start_sync("crm")
        context.instance.report_run_canceling(context.run)
        opened.poll_sync("crm", sync_id)

    result = run_body(body, rudderstack)

    assert not result.success
    assert len(server.stops("crm")) == 1


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    (event,) = (event for event in result.all_events if event.is_step_failure)
    data = event.step_failure_data.user_failure_data
    return (data.description or "") if data else ""


def test_poll_sync__canceled_with_a_closed_client(
    server: LocalRudderStack, rudderstack: RudderStackResource
) -> None:
    """The stop is sent over a connection of its own, even if the client of the step is closed."""
    server.set_script("crm", SyncScript(duration_seconds=3600))

    def body(context: dg.AssetExecutionContext, opened: RudderStackResource) -> None:
        sync_id = opened.start_sync("crm")
        context.instance.report_run_canceling(context.run)
        opened.get_client()._transport._http.close()
        opened.poll_sync("crm", sync_id)

    run_body(body, rudderstack)

    assert len(server.stops("crm")) == 1
    assert server.tcp_connections == 2

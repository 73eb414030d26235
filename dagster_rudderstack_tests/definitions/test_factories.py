"""The asset and the op of one connection: their options, and what a run reports."""

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    InvalidSettingError,
    MetadataKey,
    RejectedRowsCheck,
    RudderStackResource,
    SyncChecks,
    SyncReport,
    build_rudderstack_sync_asset,
    build_rudderstack_sync_op,
    rudderstack_sync_op,
)
from dagster_rudderstack.testing import LocalRudderStack, SyncScript
from dagster_rudderstack_tests.step.world import resource_of

ROWS = SyncScript(rows_total=100, rows_changed=20, rows_failed=3)


def test_asset__options() -> None:
    """The asset has all fields of the spec, and its step has all options of a step."""
    partitions = dg.StaticPartitionsDefinition(["a"])
    spec = dg.AssetSpec(
        ["crm", "contacts"],
        deps=["customers"],
        group_name="activation",
        owners=["team:crm"],
        tags={"tier": "1"},
        kinds={"hubspot"},
        description="Contacts of the CRM.",
        automation_condition=dg.AutomationCondition.eager(),
        partitions_def=partitions,
        metadata={"runbook": "https://example.com"},
        code_version="3",
    )
    check = dg.AssetCheckSpec("mine", asset=spec.key)

    asset = build_rudderstack_sync_asset(
        connection_id=" crm ",
        spec=spec,
        deps=["orders"],
        check_specs=[check],
        execute=lambda _context, _rudderstack, sync: sync(),
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=dg.RetryPolicy(max_retries=2),
        pool="rudderstack",
        op_tags={"team": "crm"},
    )

    (built,) = asset.specs
    assert {dep.asset_key.to_user_string() for dep in built.deps} == {"customers", "orders"}
    for name in ("group_name", "owners", "description", "automation_condition", "code_version"):
        assert getattr(built, name) == getattr(spec, name)
    assert built.kinds == {"hubspot", "rudderstack"}
    assert built.tags["tier"] == "1"
    assert built.metadata["runbook"] == "https://example.com"
    assert built.metadata[MetadataKey.CONNECTION_ID].value == "crm"
    assert asset.partitions_def == partitions
    assert {each.name for each in asset.check_specs} == {"rejected_rows", "mine"}
    assert asset.backfill_policy == dg.BackfillPolicy.single_run()
    assert asset.op.retry_policy == dg.RetryPolicy(max_retries=2)
    assert asset.op.tags["team"] == "crm"
    assert asset.op.pool == "rudderstack"


def test_asset__freshness_policy() -> None:
    """The asset has the freshness policy of the spec."""
    policy = dg.FreshnessPolicy.time_window(fail_window=dt.timedelta(days=1))

    asset = build_rudderstack_sync_asset(
        connection_id="crm", spec=dg.AssetSpec("contacts", freshness_policy=policy)
    )

    assert next(iter(asset.specs)).freshness_policy == policy


def test_default_key() -> None:
    """Without a spec, the key is `rudderstack` and the connection id."""
    asset = build_rudderstack_sync_asset(connection_id="crm")

    assert asset.key == dg.AssetKey(["rudderstack", "crm"])


def test_asset__three_kinds() -> None:
    """The kind `rudderstack` is not added to three others, because Dagster shows only three."""
    spec = dg.AssetSpec("contacts", kinds={"a", "b", "c"})

    asset = build_rudderstack_sync_asset(connection_id="crm", spec=spec)

    assert next(iter(asset.specs)).kinds == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"connection_id": ""}, "connection_id is empty"),
        ({"connection_id": "a/b"}, "'a/b'"),
        ({"sync_type": "fast"}, "'fast'"),
        ({"on_disabled": "ignore"}, "'ignore'"),
        ({"on_running_sync": "kill"}, "'kill'"),
        ({"timeout_seconds": 0}, "timeout_seconds 0"),
        ({"timeout_seconds": 1.5}, "timeout_seconds 1.5"),
    ],
)
def test_bad_input(options: dict[str, Any], message: str) -> None:
    """A wrong option is an error when the asset or the op is built, and the message names it."""
    for build in (build_rudderstack_sync_asset, build_rudderstack_sync_op):
        with pytest.raises(InvalidSettingError, match=message):
            build(**{"connection_id": "crm", **options})


def test_custom_body__further_checks(
    server: LocalRudderStack, instance: dg.DagsterInstance
) -> None:
    """A custom body can yield the results of further checks."""
    spec = dg.AssetCheckSpec("fresh", asset="contacts")

    def execute(
        _context: dg.AssetExecutionContext,
        _rudderstack: RudderStackResource,
        sync: Callable[[], Iterator[Any]],
    ) -> Iterator[Any]:
        yield from sync()
        yield dg.AssetCheckResult(check_name="fresh", asset_key="contacts", passed=True)

    asset = build_rudderstack_sync_asset(
        connection_id="crm", spec="contacts", check_specs=[spec], execute=execute
    )
    server.add_connection("crm")
    result = dg.materialize(
        [asset], instance=instance, resources={"rudderstack": resource_of(server)}
    )

    assert {each.check_name for each in result.get_asset_check_evaluations()} == {
        "rejected_rows",
        "fresh",
    }


def test_bad_input__checks() -> None:
    """Further checks without a custom body, and a check of another type, are errors at once."""
    spec = dg.AssetCheckSpec("fresh", asset="contacts")
    with pytest.raises(InvalidSettingError, match="check_specs has 'fresh'"):
        build_rudderstack_sync_asset(connection_id="crm", spec="contacts", check_specs=[spec])
    with pytest.raises(InvalidSettingError, match="checks True: expected SyncChecks"):
        build_rudderstack_sync_asset(
            connection_id="crm",
            checks=True,  # type: ignore[arg-type]
        )


def test_rejected_rows_check__log(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """A failed check logs its counts and its limit. Its severity can be Dagster's own type."""
    server.add_connection("crm", script=ROWS)
    check = RejectedRowsCheck(max_failed_rows=2, severity=dg.AssetCheckSeverity.ERROR)
    asset = build_rudderstack_sync_asset(
        connection_id="crm", spec="contacts", checks=SyncChecks(rejected_rows=check)
    )

    result = dg.materialize(
        [asset], instance=instance, resources={"rudderstack": resource_of(server)}
    )

    assert check == RejectedRowsCheck(max_failed_rows=2, severity="ERROR")
    lines = [entry.user_message for entry in instance.all_logs(result.run_id)]
    assert (
        "contacts: 3 of 20 rows were rejected (15.0 %); up to 2 are accepted. RudderStack's "
        'dashboard calls this sync "failed".'
    ) in lines


def test_materialization(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """A materialization has the facts of its sync, counts first and details last."""
    server.add_connection("crm", script=ROWS)
    resource = resource_of(server, dashboard_url="https://r.example/{connection_id}/{sync_id}")
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="contacts", sync_type="full")

    result = dg.materialize([asset], resources={"rudderstack": resource}, instance=instance)

    (event,) = result.get_asset_materialization_events()
    (sync,) = server.syncs("crm")
    values = {key: value.value for key, value in event.materialization.metadata.items()}
    details = values.pop(MetadataKey.DETAILS)
    assert isinstance(details, dict)
    assert details.pop("started_at").endswith("+00:00")
    assert details == {"sync_type": "full", "origin": "started", "success_ratio": 0.85}
    assert isinstance(values.pop(MetadataKey.FINISHED_AT), float)
    assert sync.id in str(values.pop(MetadataKey.FAILED_ROWS_SQL))
    assert values == {
        MetadataKey.CONNECTION_ID: "crm",
        MetadataKey.SYNC_ID: sync.id,
        MetadataKey.STATUS: "succeeded",
        MetadataKey.DURATION: 0.0,
        MetadataKey.ROWS_TOTAL: 100,
        MetadataKey.ROWS_CHANGED: 20,
        MetadataKey.ROWS_SUCCEEDED: 17,
        MetadataKey.ROWS_FAILED: 3,
        MetadataKey.ROW_COUNT: 17,
        MetadataKey.LINK: f"https://r.example/crm/{sync.id}",
    }
    # The values that matter most come first.
    assert [key.partition("/")[2] for key in event.materialization.metadata] == [
        "rows_failed",
        "rows_succeeded",
        "rows_changed",
        "rows_total",
        "row_count",
        "failed_rows_sql",
        "status",
        "duration_seconds",
        "link",
        "finished_at",
        "sync_id",
        "connection_id",
        "details",
    ]


def test_materialization__nothing_changed(
    server: LocalRudderStack, rudderstack: RudderStackResource
) -> None:
    """The metadata of a sync without changed rows says that nothing has changed."""
    server.add_connection("crm", script=SyncScript(rows_total=100, rows_changed=0))
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="contacts")

    result = dg.materialize([asset], resources={"rudderstack": rudderstack})

    (event,) = result.get_asset_materialization_events()
    assert event.materialization.metadata[MetadataKey.NOTHING_CHANGED].value is True


def test_materialization__unknown_counts(
    server: LocalRudderStack, rudderstack: RudderStackResource
) -> None:
    """Counts that RudderStack does not give are left out, and the check on them passes."""
    server.add_connection("crm", script=SyncScript(metrics="null"))
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="contacts")

    result = dg.materialize([asset], resources={"rudderstack": rudderstack})

    (event,) = result.get_asset_materialization_events()
    assert MetadataKey.ROWS_FAILED not in event.materialization.metadata
    (check,) = result.get_asset_check_evaluations()
    assert check.passed


@pytest.mark.parametrize(
    ("check", "passed"),
    [
        (RejectedRowsCheck(), False),
        (RejectedRowsCheck(max_failed_rows=2), False),
        (RejectedRowsCheck(max_failed_rows=3), True),
        (RejectedRowsCheck(max_failed_ratio=0.1), False),
        (RejectedRowsCheck(max_failed_ratio=0.15), True),
        (RejectedRowsCheck(max_failed_rows=100, max_failed_ratio=0.1), False),
    ],
    ids=["no rows", "2 rows", "3 rows", "10 %", "15 %", "100 rows and 10 %"],
)
def test_rejected_rows_check(
    check: RejectedRowsCheck,
    passed: bool,
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
) -> None:
    """3 rejected rows of 20 fail the check if they exceed a limit. The run succeeds either way."""
    server.add_connection("crm", script=ROWS)
    asset = build_rudderstack_sync_asset(
        connection_id="crm", spec="contacts", checks=SyncChecks(rejected_rows=check)
    )

    result = dg.materialize([asset], resources={"rudderstack": rudderstack})

    (evaluation,) = result.get_asset_check_evaluations()
    assert result.success
    assert evaluation.passed is passed
    assert evaluation.metadata[MetadataKey.ROWS_FAILED].value == 3


def test_rejected_rows_check__blocking(
    server: LocalRudderStack, rudderstack: RudderStackResource
) -> None:
    """A blocking check with severity ERROR fails the step, and downstream assets do not run."""
    server.add_connection("crm", script=ROWS)
    asset = build_rudderstack_sync_asset(
        connection_id="crm",
        spec="contacts",
        checks=SyncChecks(rejected_rows=RejectedRowsCheck(severity="ERROR", blocking=True)),
    )
    ran = []

    @dg.asset(deps=["contacts"])
    def report() -> None:
        ran.append("report")

    result = dg.materialize(
        [asset, report], resources={"rudderstack": rudderstack}, raise_on_error=False
    )

    assert not result.success
    assert ran == []
    assert len(result.get_asset_materialization_events()) == 1


def test_on_disabled__skip(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """With `on_disabled="skip"`, a disabled connection is not synced, and the run succeeds."""
    server.add_connection("crm", enabled=False)
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="contacts", on_disabled="skip")

    result = dg.materialize([asset], resources={"rudderstack": rudderstack})

    assert result.success
    assert result.get_asset_materialization_events() == []
    assert result.get_asset_check_evaluations() == []
    assert server.starts("crm") == []


def test_run_config__sync_type(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """Run config can set another sync type for one run."""
    server.add_connection("crm")
    asset = build_rudderstack_sync_asset(
        connection_id="crm", spec="contacts", sync_type="incremental"
    )

    for config in ({}, {"ops": {"contacts": {"config": {"sync_type": "full"}}}}):
        dg.materialize([asset], resources={"rudderstack": rudderstack}, run_config=config)

    assert [sync.sync_type for sync in server.syncs("crm")] == ["incremental", "full"]


def test_run_config__unknown_sync_type(rudderstack: RudderStackResource) -> None:
    """Dagster refuses an unknown sync type in run config before the run starts."""
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="contacts")

    with pytest.raises(dg.DagsterInvalidConfigError, match="sync_type"):
        dg.materialize(
            [asset],
            resources={"rudderstack": rudderstack},
            run_config={"ops": {"contacts": {"config": {"sync_type": "fast"}}}},
        )


def test_resource_key(server: LocalRudderStack) -> None:
    """An asset can use a resource with another key, for example that of a second workspace."""
    server.add_connection("crm")
    asset = build_rudderstack_sync_asset(
        connection_id="crm", spec="contacts", resource_key="rudderstack_eu"
    )

    result = dg.materialize([asset], resources={"rudderstack_eu": resource_of(server)})

    assert result.success


def test_op__configured(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """`rudderstack_sync_op` waits for the ops before it, syncs as run config says, and returns a
    report."""
    server.add_connection("crm", script=ROWS)
    order = []

    @dg.op
    def tables() -> None:
        order.append("tables")

    @dg.op
    def after(report: SyncReport) -> None:
        order.append(f"{report.rows_succeeded} rows")

    @dg.job(resource_defs={"rudderstack": rudderstack})
    def activate() -> None:
        after(rudderstack_sync_op(start_after=tables()))

    config = {"connection_id": "crm", "sync_type": "full", "asset_key": ["contacts"]}
    result = activate.execute_in_process(
        run_config={"ops": {"rudderstack_sync_op": {"config": config}}}
    )

    assert order == ["tables", "17 rows"]
    (event,) = result.get_asset_materialization_events()
    assert event.asset_key == dg.AssetKey("contacts")
    assert server.syncs("crm")[0].sync_type == "full"


@pytest.mark.parametrize("limits", [{"max_failed_rows": 2}, {"max_failed_ratio": 0.1}])
def test_op__rejected_rows(
    limits: dict[str, Any], server: LocalRudderStack, rudderstack: RudderStackResource
) -> None:
    """An op with limits fails if more rows are rejected, and is not retried."""
    server.add_connection("crm", script=ROWS)
    op = build_rudderstack_sync_op(
        connection_id="crm", name="sync", retry_policy=dg.RetryPolicy(max_retries=1), **limits
    )

    @dg.job(resource_defs={"rudderstack": rudderstack})
    def activate() -> None:
        op()

    result = activate.execute_in_process(raise_on_error=False)

    assert not result.success
    assert len(server.starts("crm")) == 1


def test_op__skipped(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """If an op skips a disabled connection, Dagster skips the ops after it too."""
    server.add_connection("crm", enabled=False)
    op = build_rudderstack_sync_op(connection_id="crm", name="sync", on_disabled="skip")
    ran = []

    @dg.op
    def after(_report: SyncReport) -> None:
        ran.append("after")

    @dg.job(resource_defs={"rudderstack": rudderstack})
    def activate() -> None:
        after(op())

    assert activate.execute_in_process().success
    assert ran == []


def test_definitions__offline() -> None:
    """Definitions load without RudderStack and without the environment variables."""
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="contacts")

    definitions = dg.Definitions(
        [asset],
        resources={
            "rudderstack": RudderStackResource(
                access_token=dg.EnvVar("NOT_SET"), api_url="http://127.0.0.1:9"
            )
        },
    )

    dg.Definitions.validate_loadable(definitions)

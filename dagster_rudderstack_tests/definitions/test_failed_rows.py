"""Wherever Dagster shows rejected rows, it shows the SQL that lists them."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    MetadataKey,
    RejectedRowsCheck,
    RowsRejectedError,
    RudderStackResource,
    SyncChecks,
    SyncFailedError,
    build_rudderstack_sync_asset,
    build_rudderstack_sync_assets,
    build_rudderstack_sync_op,
    latest_failed_rows_sql,
)
from dagster_rudderstack.testing import LocalRudderStack, SyncScript
from dagster_rudderstack_tests.step.world import failure, failure_metadata, run

REJECTED = SyncScript(rows_total=100, rows_failed=3)
FAILED = SyncScript(rows_total=100, rows_failed=3, status="failed", error="quota exceeded")
CLEAN = SyncScript(rows_total=100)

CRM = build_rudderstack_sync_asset(connection_id="crm", spec="contacts")


@pytest.fixture(autouse=True)
def connection(server: LocalRudderStack) -> None:
    """Add a mirror connection from a table in Snowflake, whose syncs have rejected rows."""
    server.add_source("orders", definition="snowflake", config={"primaryKey": "ID"})
    server.add_connection("crm", "orders", sync_behaviour="mirror", script=REJECTED)


def sql_of(server: LocalRudderStack, connection_id: str = "crm") -> str:
    """Return the SQL for the newest sync of a connection."""
    sync_id = server.syncs(connection_id)[-1].id
    return (
        f"-- The rows that the destination rejected in sync {sync_id}.\n"
        "-- RudderStack keeps the snapshots of the last syncs only (5 by default). If this one\n"
        "-- is gone, leave out sn.* and the join.\n"
        "SELECT sl.primary_key, sl.operation, sl.error_reason, sn.*\n"
        'FROM "_RUDDERSTACK"."SYNC_LOG" AS sl\n'
        f'LEFT JOIN "_RUDDERSTACK"."SNAPSHOT_{connection_id.upper()}_{sync_id.upper()}" AS sn\n'
        '  ON CAST(sn."ID" AS VARCHAR) = sl.primary_key\n'
        f"WHERE sl.sync_run_id = '{sync_id}' AND sl.status = 'failed'\n"
        "ORDER BY sl.primary_key"
    )


def markdown_of(server: LocalRudderStack, connection_id: str = "crm") -> dg.MetadataValue:
    """Return the metadata about the rejected rows of the newest sync of a connection."""
    return dg.MetadataValue.md(
        "Run this SQL in snowflake to list the rejected rows.\n\n"
        f"```sql\n{sql_of(server, connection_id)}\n```"
    )


def shown(metadata: Mapping[str, Any]) -> object:
    return metadata.get(MetadataKey.FAILED_ROWS_SQL)


def asked(server: LocalRudderStack) -> list[str]:
    """Return the requests that are not about a sync."""
    paths = [request.path.removeprefix("/v2/retl-") for request in server.requests]
    return [path for path in paths if path.count("/") == 1]


def test_materialization(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """The materialization and the check have the SQL. The connection is read once more for it."""
    result = run([CRM], rudderstack, instance)

    (event,) = result.get_asset_materialization_events()
    (check,) = result.get_asset_check_evaluations()
    assert shown(event.materialization.metadata) == markdown_of(server)
    assert shown(check.metadata) == markdown_of(server)
    assert asked(server) == ["connections/crm", "connections/crm", "sources/orders"]


def test_latest_failed_rows_sql(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """The user's own code gets the SQL of the last sync, if rows were rejected in it."""
    key = dg.AssetKey("contacts")
    before = latest_failed_rows_sql(instance, key)
    run([CRM], rudderstack, instance)
    rejected = latest_failed_rows_sql(instance, key)
    wanted = sql_of(server)
    server.set_script("crm", CLEAN)
    run([CRM], rudderstack, instance)

    assert (before, rejected) == (None, wanted)
    assert latest_failed_rows_sql(instance, key) is None


def test_nothing_rejected(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """Without rejected rows there is no SQL, and nothing is asked for it."""
    server.set_script("crm", CLEAN)

    result = run([CRM], rudderstack, instance)

    (event,) = result.get_asset_materialization_events()
    assert shown(event.materialization.metadata) is None
    assert asked(server) == ["connections/crm"]


def test_check__alone(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A check that is evaluated again has the SQL of the last sync, without a request."""
    run([CRM], rudderstack, instance)
    server.clear_requests()
    only_check = dg.AssetSelection.checks(
        dg.AssetCheckKey(dg.AssetKey("contacts"), "rejected_rows")
    )

    result = run([CRM], rudderstack, instance, selection=only_check)

    (check,) = result.get_asset_check_evaluations()
    assert shown(check.metadata) == markdown_of(server)
    assert server.requests == []


def test_group(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """In a step of many syncs, only the connections with rejected rows are asked for."""
    names = [f"clean{number}" for number in range(20)]
    for name in names:
        server.add_connection(name, "orders", script=CLEAN)
    server.add_connection("ads", "orders", sync_behaviour="mirror", script=REJECTED)
    connections = {name: name for name in [*names, "crm", "ads"]}
    group = build_rudderstack_sync_assets(connections=connections, name="activation")

    result = run([group], rudderstack, instance)

    found = {
        event.asset_key.to_user_string(): shown(event.materialization.metadata)
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }
    assert {name for name, value in found.items() if value is not None} == {"crm", "ads"}
    assert found["ads"] == markdown_of(server, "ads")
    extra = asked(server)
    for name in connections:
        # Each is read once before its start.
        extra.remove(f"connections/{name}")
    assert sorted(extra) == ["connections/ads", "connections/crm", *["sources/orders"] * 2]


def test_known_from_the_definition(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """What the metadata of the definition says, discovered or written by hand, is not asked for."""
    spec = dg.AssetSpec(
        "contacts",
        metadata={
            MetadataKey.WAREHOUSE: "snowflake",
            MetadataKey.SYNC_BEHAVIOUR: "mirror",
            MetadataKey.PRIMARY_KEY: "ID",
        },
    )

    result = run(
        [build_rudderstack_sync_asset(connection_id="crm", spec=spec)], rudderstack, instance
    )

    (event,) = result.get_asset_materialization_events()
    assert shown(event.materialization.metadata) == markdown_of(server)
    assert asked(server) == ["connections/crm"]


def test_sync_logs_switched_off(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """Without sync logs there is no SQL. The page says so, and how to switch them on."""
    off = {"syncLogsConfig": {"enabled": False}}
    server.update_connection("crm", wire_fields={"syncSettings": off})

    result = run([CRM], rudderstack, instance)

    (event,) = result.get_asset_materialization_events()
    value = event.materialization.metadata[MetadataKey.FAILED_ROWS_SQL].value
    assert str(value).startswith("The rejected rows cannot be listed, since the connection writes")
    assert 'turn on "Retain sync logs"' in str(value)


@pytest.mark.parametrize("operation", ["get_source", "get_connection"])
def test_no_permission(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    operation: str,
) -> None:
    """Without the permission to read the source, the SQL is a general one, with the schemas."""
    server.deny("You may not read this.", operation=operation)

    result = run([CRM], rudderstack.model_copy(update={"check_connection": False}), instance)

    (event,) = result.get_asset_materialization_events()
    value = str(event.materialization.metadata[MetadataKey.FAILED_ROWS_SQL].value)
    assert "FROM _rudderstack.sync_log AS sl\n" in value
    assert "In Snowflake the schema is _RUDDERSTACK, in BigQuery rudderstack_" in value


def test_failed_sync(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A failed sync with rejected rows: the failure and the observation have the SQL."""
    server.set_script("crm", FAILED)

    result = run([CRM], rudderstack, instance)

    (record,) = instance.fetch_observations(dg.AssetKey("contacts"), limit=10).records
    assert record.asset_observation is not None
    assert shown(record.asset_observation.metadata) == markdown_of(server)
    assert shown(failure_metadata(result)) == markdown_of(server)


def test_blocking_check(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A check that blocks has the SQL."""
    check = RejectedRowsCheck(severity="ERROR", blocking=True)
    asset = build_rudderstack_sync_asset(
        connection_id="crm", spec="contacts", checks=SyncChecks(rejected_rows=check)
    )

    result = run([asset], rudderstack, instance)

    (evaluated,) = result.get_asset_check_evaluations()
    assert not result.success
    assert shown(evaluated.metadata) == markdown_of(server)


def test_op(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """An op that accepts no rejected row fails with the SQL, and materializes its asset with it."""
    op = build_rudderstack_sync_op(connection_id="crm", asset_key="contacts", max_failed_rows=0)

    @dg.job(resource_defs={"rudderstack": rudderstack})
    def activate() -> None:
        op()

    result = activate.execute_in_process(raise_on_error=False)

    (event,) = result.get_asset_materialization_events()
    assert shown(event.materialization.metadata) == markdown_of(server)
    assert shown(failure_metadata(result)) == markdown_of(server)
    assert "Look at the rejected rows with the SQL in the metadata" in failure(result)
    with pytest.raises(dg.Failure) as caught:
        activate.execute_in_process()
    assert isinstance(caught.value.__context__, RowsRejectedError)
    assert caught.value.__context__.failed_rows_sql == sql_of(server)


def test_op__no_sql(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """If the rejected rows cannot be listed, the failure of an op points to the dashboard."""
    server.add_source("orders", definition="s3")
    op = build_rudderstack_sync_op(connection_id="crm", max_failed_rows=0)

    @dg.job(resource_defs={"rudderstack": rudderstack})
    def activate() -> None:
        op()

    result = activate.execute_in_process(raise_on_error=False)

    assert "dashboard shows it as failed. Look at the rejected rows there" in failure(result)
    value = failure_metadata(result)[MetadataKey.FAILED_ROWS_SQL].value
    assert str(value).startswith("RudderStack writes no sync log for sources on s3.")


def test_sync_and_poll(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """A report has the SQL. The connection is asked for once, however many syncs it has."""
    first = rudderstack.sync_and_poll("crm")
    wanted = sql_of(server)
    second = rudderstack.sync_and_poll("crm")

    assert first.failed_rows_sql == wanted
    assert second.failed_rows_sql == sql_of(server)
    assert asked(server).count("sources/orders") == 1
    server.set_script("crm", CLEAN)
    clean = rudderstack.sync_and_poll("crm")
    assert (clean.failed_rows_sql, clean.failed_rows_note) == (None, None)


def test_poll_sync(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """The report of a sync that another client started has the SQL, and so has its error."""
    report = rudderstack.poll_sync("crm", server.start_sync("crm"))

    assert report.failed_rows_sql == sql_of(server)
    with pytest.raises(SyncFailedError) as caught:
        rudderstack.poll_sync("crm", server.start_sync("crm", script=FAILED))
    assert caught.value.failed_rows_sql == sql_of(server)


def test_outage_at_the_end(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """A sync succeeds though RudderStack cannot be asked where its rejected rows are."""
    server.deny("no", operation="get_source")
    server.deny("no", operation="get_connection")

    report = rudderstack.sync_and_poll("crm")

    assert report.status == "succeeded"
    assert "FROM _rudderstack.sync_log" in (report.failed_rows_sql or "")

"""What the assets of a workspace sync and report."""

import dagster as dg
import pytest

from dagster_rudderstack import (
    DagsterRudderStackTranslator,
    DurationCheck,
    MetadataKey,
    NoRowsCheck,
    RudderStackConnectionProps,
    RudderStackResource,
    SyncChecks,
    build_rudderstack_assets_definitions,
    build_rudderstack_polling_sensor,
)
from dagster_rudderstack.discovery.grouping import Grouping
from dagster_rudderstack.testing import LocalRudderStack, SyncScript
from dagster_rudderstack_tests.discovery.conftest import AUDIENCE, CONTACTS, fill, materialize


def test_options(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """The options apply to every asset."""
    fill(server)
    assets = build_rudderstack_assets_definitions(
        rudderstack, sync_type="full", checks=None, pool="crm"
    )

    materialize(rudderstack, assets)

    assert [request.body for request in server.starts()] == [{"syncType": "full"}] * 2
    assert [list(each.check_specs) for each in assets] == [[], []]
    assert {each.op.pool for each in assets} == {"crm"}


@pytest.mark.parametrize("grouping", ["connection", "all"])
def test_checks(
    server: LocalRudderStack, rudderstack: RudderStackResource, grouping: Grouping
) -> None:
    """Every asset has all checks, in steps of one connection and of many."""
    fill(server)
    checks = SyncChecks(no_rows=NoRowsCheck(), duration=DurationCheck(max_seconds=60))
    assets = build_rudderstack_assets_definitions(rudderstack, checks=checks, grouping=grouping)

    result = materialize(rudderstack, assets)

    assert sorted(
        (each.asset_key.to_user_string(), each.check_name)
        for each in result.get_asset_check_evaluations()
    ) == [
        (key, name)
        for key in sorted([AUDIENCE, CONTACTS])
        for name in ("duration", "no_rows", "rejected_rows")
    ]
    for asset in assets:
        for spec in asset.specs:
            assert list(spec.metadata[MetadataKey.CHECKS].value) == [
                "rejected_rows",
                "no_rows",
                "duration",
            ]


def test_columns(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """A materialization has the same columns and lineage as the definition."""
    fill(server)
    assets = build_rudderstack_assets_definitions(rudderstack)

    result = materialize(rudderstack, assets)

    for event in result.get_asset_materialization_events():
        spec = next(each for asset in assets for each in asset.specs if each.key == event.asset_key)
        for key in ("dagster/column_schema", "dagster/column_lineage"):
            assert event.materialization.metadata[key] == spec.metadata[key]


def test_columns__sensor(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """The sensor reports a sync that someone else started with the columns of the asset."""
    fill(server)
    assets = build_rudderstack_assets_definitions(rudderstack)
    sensor = build_rudderstack_polling_sensor(assets=assets, replay=1)
    server.start_sync("contacts", script=SyncScript())

    with dg.instance_for_test() as instance:
        context = dg.build_sensor_context(
            instance=instance,
            resources={"rudderstack": rudderstack},
            definitions=dg.Definitions(
                assets=assets, sensors=[sensor], resources={"rudderstack": rudderstack}
            ),
        )
        result = sensor(context)

    assert isinstance(result, dg.SensorResult)
    (materialization,) = [
        each for each in result.asset_events if isinstance(each, dg.AssetMaterialization)
    ]
    assert materialization.asset_key == dg.AssetKey.from_user_string(CONTACTS)
    assert {"dagster/column_schema", "dagster/column_lineage"} <= materialization.metadata.keys()


def test_two_workspaces(rudderstack: RudderStackResource, server: LocalRudderStack) -> None:
    """Two workspaces in one code location sync their own connections."""
    with LocalRudderStack(access_token="eu-token") as eu_server:
        fill(server)
        fill(eu_server)
        eu = RudderStackResource(access_token="eu-token", api_url=eu_server.url)

        class EuTranslator(DagsterRudderStackTranslator):
            def get_asset_spec(self, props: RudderStackConnectionProps) -> dg.AssetSpec:
                spec = super().get_asset_spec(props)
                return spec.replace_attributes(key=spec.key.with_prefix("eu"))

        assets = [
            *build_rudderstack_assets_definitions(rudderstack, grouping="all"),
            *build_rudderstack_assets_definitions(
                eu, EuTranslator(), grouping="all", name="rudderstack_eu", resource_key="eu"
            ),
        ]
        definitions = dg.Definitions(
            assets=assets, resources={"rudderstack": rudderstack, "eu": eu}
        )
        dg.Definitions.validate_loadable(definitions)
        eu_assets = dg.AssetSelection.assets(*(spec.key for spec in assets[1].specs))
        with dg.instance_for_test() as instance:
            job = definitions.resolve_implicit_global_asset_job_def()
            result = job.execute_in_process(
                instance=instance,
                asset_selection=list(eu_assets.resolve(definitions.resolve_asset_graph())),
            )

        assert result.success
        assert len(eu_server.starts()) == 2
        assert server.starts() == []


def test_failed_rows(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """Discovery knows where rejected rows are listed, so that a run need not ask for it."""
    fill(server)
    off = {"syncLogsConfig": {"enabled": False}}
    server.update_connection("audience", wire_fields={"syncSettings": off})
    assets = build_rudderstack_assets_definitions(rudderstack)
    for connection_id in ("contacts", "audience"):
        server.set_script(connection_id, SyncScript(rows_total=10, rows_failed=1))
    server.clear_requests()

    result = materialize(rudderstack, assets)

    shown = {
        event.materialization.asset_key.to_user_string(): str(
            event.materialization.metadata[MetadataKey.FAILED_ROWS_SQL].value
        )
        for event in result.get_asset_materialization_events()
    }
    (sync,) = server.syncs("contacts")
    assert f'"_RUDDERSTACK"."SNAPSHOT_CONTACTS_{sync.id.upper()}" AS sn' in shown[CONTACTS]
    assert 'ON CAST(sn."id" AS VARCHAR) = sl.primary_key' in shown[CONTACTS]
    assert "Retain sync logs" in shown[AUDIENCE]
    assert not any(request.path.startswith("/v2/retl-sources") for request in server.requests)

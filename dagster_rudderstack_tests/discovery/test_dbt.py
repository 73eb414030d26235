"""Connections downstream of real dbt models on DuckDB: the graph, the columns, and the rows."""

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    MetadataKey,
    RudderStackResource,
    build_rudderstack_assets_definitions,
)
from dagster_rudderstack.testing import LocalRudderStack, TableSync
from dagster_rudderstack_tests.discovery.dbt_program import DBT, needs_dbt

dagster_dbt = pytest.importorskip("dagster_dbt")

pytestmark = [
    pytest.mark.processes,
    needs_dbt,
    pytest.mark.filterwarnings(
        # A warning of dagster-dbt.
        "ignore:AssetExecutionContext.op is deprecated:DeprecationWarning"
    ),
]

PROJECT = Path(__file__).parents[2] / "examples" / "dbt_discovery" / "shop"


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The DuckDB file that dbt builds. dbt names the database `shop` after the file."""
    path = tmp_path_factory.mktemp("warehouse") / "shop.duckdb"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WAREHOUSE_PATH", str(path))
        yield path


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, warehouse: Path) -> Any:
    """A copy of the example's dbt project, with its manifest."""
    folder = tmp_path_factory.mktemp("dbt") / "project"
    shutil.copytree(PROJECT, folder)
    subprocess.run([str(DBT), "parse"], cwd=folder, check=True, capture_output=True, timeout=120)
    return dagster_dbt.DbtProject(project_dir=folder)


@pytest.fixture
def models(project: Any) -> dg.AssetsDefinition:
    """The dbt models as assets."""

    @dagster_dbt.dbt_assets(manifest=json.loads(project.manifest_path.read_text()), project=project)  # type: ignore[untyped-decorator]
    def shop_models(context: dg.AssetExecutionContext, dbt: dg.ResourceParam[Any]) -> Iterator[Any]:
        yield from dbt.cli(["build"], context=context).stream()

    return shop_models  # type: ignore[no-any-return]


@pytest.fixture
def connected(server: LocalRudderStack, warehouse: Path, tmp_path: Path) -> LocalRudderStack:
    """A RudderStack that reads one model as a table, which syncs real rows, and two by SQL."""
    server.add_source(
        "value",
        name="Customer value",
        definition="postgres",
        config={"schema": "main_marts", "table": "customer_value"},
    )
    server.add_source(
        "buyers",
        name="Buyers",
        source_type="model",
        definition="postgres",
        config={
            "sql": "select c.Email as mail, o.amount from main.customers c "
            "join shop.main.orders o on o.customer_id = c.id"
        },
    )
    server.add_destination("hubspot", name="HubSpot", type="HS")
    server.add_connection(
        "contacts",
        "value",
        "hubspot",
        identifiers={"email": "email"},
        mappings={"FULL_NAME": "name", "lifetime_value": "ltv"},
        table=TableSync(
            warehouse,
            "main_marts.customer_value",
            destination=tmp_path / "crm.sqlite",
            destination_table="contacts",
            patterns={"email": r".+@.+"},
        ),
    )
    server.add_connection("purchases", "buyers", "hubspot", mappings={"mail": "email"})
    return server


def lineage_of(spec: dg.AssetSpec) -> Mapping[str, list[tuple[str, str]]]:
    lineage = spec.metadata["dagster/column_lineage"].value
    return {
        name: [(dep.asset_key.to_user_string(), dep.column_name) for dep in deps]
        for name, deps in lineage.deps_by_column.items()
    }


def test_graph(
    models: dg.AssetsDefinition, connected: LocalRudderStack, rudderstack: RudderStackResource
) -> None:
    """Each connection depends on the dbt models that it reads, and its columns on theirs."""
    value, purchases = (
        spec
        for assets in build_rudderstack_assets_definitions(rudderstack, upstream_assets=[models])
        for spec in assets.specs
    )

    assert [dep.asset_key.to_user_string() for dep in value.deps] == ["marts/customer_value"]
    assert {dep.asset_key.to_user_string() for dep in purchases.deps} == {"customers", "orders"}
    assert lineage_of(value) == {
        "email": [("marts/customer_value", "email")],
        "name": [("marts/customer_value", "full_name")],
        "ltv": [("marts/customer_value", "lifetime_value")],
    }
    assert lineage_of(purchases) == {"email": [("customers", "email")]}


def test_run(
    models: dg.AssetsDefinition,
    project: Any,
    connected: LocalRudderStack,
    rudderstack: RudderStackResource,
    tmp_path: Path,
) -> None:
    """One run builds the models and syncs their rows to the destination."""
    syncs = build_rudderstack_assets_definitions(rudderstack, upstream_assets=[models])
    dbt = dagster_dbt.DbtCliResource(project_dir=project, dbt_executable=str(DBT))

    result = dg.materialize([models, *syncs], resources={"dbt": dbt, "rudderstack": rudderstack})

    order = [
        event.asset_key.to_user_string()
        for event in result.get_asset_materialization_events()
        if event.asset_key
    ]
    assert set(order[:3]) == {"customers", "orders", "marts/customer_value"}
    assert set(order[3:]) == {"rudderstack/hubspot/customer_value", "rudderstack/hubspot/buyers"}
    synced = result.asset_materializations_for_node("rudderstack__hubspot__customer_value")[0]
    assert synced.metadata[MetadataKey.ROWS_SUCCEEDED].value == 2
    assert synced.metadata[MetadataKey.ROWS_FAILED].value == 1
    with closing(sqlite3.connect(tmp_path / "crm.sqlite")) as destination:
        rows = destination.execute("select email from contacts order by 1").fetchall()
    assert rows == [("ann@example.com",), ("bob@example.com",)]

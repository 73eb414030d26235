"""The tables of dbt's aliases, custom schemas, versions, snapshots and seeds."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dagster_rudderstack import RudderStackResource, load_rudderstack_asset_specs
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.discovery.conftest import deps_of
from dagster_rudderstack_tests.discovery.dbt_program import DBT, needs_dbt

dagster_dbt = pytest.importorskip("dagster_dbt")

pytestmark = [pytest.mark.processes, needs_dbt]

FILES = {
    "dbt_project.yml": """
name: shop
version: "1.0"
profile: shop
seeds: {shop: {+schema: seeds}}
flags: {send_anonymous_usage_stats: false}
""",
    "models/people.sql": "{{ config(alias='dim_people') }} select 1 as id",
    "models/value.sql": "{{ config(schema='marts') }} select 1 as id",
    "models/orders_v1.sql": "select 1 as id",
    "models/orders_v2.sql": "select 1 as id",
    "models/schema.yml": """
models:
  - name: orders
    latest_version: 2
    versions: [{v: 1}, {v: 2}]
""",
    "snapshots/history.sql": """
{% snapshot history %}
{{ config(target_schema='snapshots', unique_key='id', strategy='check', check_cols='all') }}
select 1 as id
{% endsnapshot %}
""",
    "seeds/countries.csv": "id\n1\n",
}
PROFILES: dict[str, dict[str, object]] = {
    "duckdb": {"type": "duckdb", "path": "shop.duckdb", "schema": "main"},
    # It is not connected to: `dbt parse` reads only files.
    "postgres": {
        "type": "postgres",
        "host": "localhost",
        "port": 1,
        "user": "u",
        "password": "p",
        "dbname": "shop",
        "schema": "main",
        "threads": 1,
    },
}
TABLES = {
    "main.dim_people": "people",
    "main_marts.value": "marts/value",
    "main.orders_v1": "orders_v1",
    "main.orders_v2": "orders_v2",
    "snapshots.history": "history",
    "main_seeds.countries": "seeds/countries",
}


@pytest.fixture(scope="module", params=PROFILES)
def models(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The assets of a dbt project on DuckDB, and on Postgres if dbt has that adapter."""
    folder = tmp_path_factory.mktemp("shop")
    profile = PROFILES[request.param]
    profiles = {"shop": {"target": "dev", "outputs": {"dev": profile}}}
    for name, content in {**FILES, "profiles.yml": json.dumps(profiles)}.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    parsed = subprocess.run(
        [str(DBT), "parse"], cwd=folder, capture_output=True, check=False, text=True, timeout=120
    )
    if "Could not find adapter type" in parsed.stdout:
        pytest.skip(f"dbt has no adapter for {request.param}")
    assert parsed.returncode == 0, parsed.stdout
    manifest = json.loads(Path(folder, "target", "manifest.json").read_text())

    @dagster_dbt.dbt_assets(manifest=manifest)  # type: ignore[untyped-decorator]
    def models() -> Iterator[Any]:
        yield from ()

    return models


def test_tables(models: Any, server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """The table of each connection is the dbt asset that builds it."""
    server.add_destination("d", name="HubSpot")
    for name in TABLES:
        schema, table = name.split(".")
        server.add_source(name, name=table, config={"schema": schema, "table": table})
        server.add_connection(table, name, "d")

    found = deps_of(load_rudderstack_asset_specs(rudderstack, upstream_assets=[models]))

    assert found == {
        f"rudderstack/hubspot/{name.split('.')[1]}": {key} for name, key in TABLES.items()
    }

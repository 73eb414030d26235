"""What Dagster's GraphQL, and so its pages, tell of discovered assets."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dagster_rudderstack import RudderStackResource, refresh_rudderstack_snapshot
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.discovery.conftest import fill

pytestmark = pytest.mark.processes

QUERY = """
query($key: AssetKeyInput!) {
  assetNodeOrError(assetKey: $key) {
    ... on AssetNode {
      kinds
      dependencyKeys { path }
      metadataEntries {
        ... on TableColumnLineageMetadataEntry {
          lineage { columnName columnDeps { assetKey { path } columnName } }
        }
        ... on TableSchemaMetadataEntry { schema { columns { name } } }
      }
    }
  }
}
"""


@pytest.fixture
def environment(
    server: LocalRudderStack, rudderstack: RudderStackResource, tmp_path: Path
) -> dict[str, str]:
    """What the code location reads; its RudderStack is out of reach, and its token is not set."""
    fill(server)
    snapshot = tmp_path / "rudderstack.json"
    refresh_rudderstack_snapshot(rudderstack, snapshot)
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**inherited, "RUDDERSTACK_SNAPSHOT": str(snapshot), "DAGSTER_HOME": str(tmp_path)}


def asset_node(environment: dict[str, str], *path: str) -> Any:
    """Return what GraphQL tells of an asset."""
    answer = Path(environment["DAGSTER_HOME"], "answer.json")
    command = [
        str(Path(sys.executable).with_name("dagster-graphql")),
        *("--python-file", str(Path(__file__).with_name("location.py"))),
        *("--text", QUERY),
        *("--variables", json.dumps({"key": {"path": path}})),
        *("--output", str(answer)),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(answer.read_text())["data"]["assetNodeOrError"]


def test_column_lineage(environment: dict[str, str]) -> None:
    """GraphQL tells from which columns of which models the fields of a destination are made."""
    node = asset_node(environment, "rudderstack", "braze_eu", "big_spenders")

    (lineage,) = [entry["lineage"] for entry in node["metadataEntries"] if "lineage" in entry]
    told = {
        each["columnName"]: [
            ("/".join(dep["assetKey"]["path"]), dep["columnName"]) for dep in each["columnDeps"]
        ]
        for each in lineage
    }
    assert told == {
        "external_id": [("analytics/customers", "id")],
        "email": [("analytics/customers", "email")],
        "lifetime_value": [("order_totals", "total")],
    }


def test_graph(environment: dict[str, str]) -> None:
    """GraphQL tells the models upstream, the kinds and the fields of the destination."""
    node = asset_node(environment, "rudderstack", "hubspot", "contact", "customers")

    assert node["dependencyKeys"] == [{"path": ["analytics", "customers"]}]
    assert sorted(node["kinds"]) == ["hubspot", "rudderstack"]
    (schema,) = [entry["schema"] for entry in node["metadataEntries"] if "schema" in entry]
    assert [column["name"] for column in schema["columns"]] == ["email", "firstname", "origin"]

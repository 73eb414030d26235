"""Dagster's GraphQL, and so its pages, show the lineage of discovered assets."""

import os
from pathlib import Path

import pytest

from dagster_rudderstack import RudderStackResource, refresh_rudderstack_snapshot
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.discovery.conftest import fill
from dagster_rudderstack_tests.discovery.nodes import asset_node, column_lineage_of, upstream_of

pytestmark = pytest.mark.processes

LOCATION = ("--python-file", str(Path(__file__).with_name("location.py")))


@pytest.fixture
def environment(
    server: LocalRudderStack, rudderstack: RudderStackResource, tmp_path: Path
) -> dict[str, str]:
    """The environment of the code location. RudderStack is unreachable, the token is not set."""
    fill(server)
    snapshot = tmp_path / "rudderstack.json"
    refresh_rudderstack_snapshot(rudderstack, snapshot)
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**inherited, "RUDDERSTACK_SNAPSHOT": str(snapshot), "DAGSTER_HOME": str(tmp_path)}


def test_column_lineage(environment: dict[str, str]) -> None:
    """GraphQL has the upstream columns of the fields of a destination."""
    node = asset_node(LOCATION, environment, "rudderstack/braze_eu/big_spenders")

    assert column_lineage_of(node) == {
        "external_id": [("analytics/customers", "id")],
        "email": [("analytics/customers", "email")],
        "lifetime_value": [("order_totals", "total")],
    }


def test_graph(environment: dict[str, str]) -> None:
    """GraphQL has the upstream assets, the kinds and the fields of the destination."""
    node = asset_node(LOCATION, environment, "rudderstack/hubspot/contact/customers")

    assert upstream_of(node) == {"analytics/customers"}
    assert sorted(node["kinds"]) == ["hubspot", "rudderstack"]
    (schema,) = [entry["schema"] for entry in node["metadataEntries"] if "schema" in entry]
    assert [column["name"] for column in schema["columns"]] == ["email", "firstname", "origin"]

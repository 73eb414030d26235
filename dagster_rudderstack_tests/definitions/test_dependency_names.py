"""Dependencies whose keys Dagster cannot make names of."""

import dagster as dg
import pytest

from dagster_rudderstack import RudderStackResource, build_rudderstack_sync_assets
from dagster_rudderstack.testing import LocalRudderStack

KEYS = [
    ["bigquery", "ga4", "events_*"],
    ["snowflake", "my schema", "customers"],
    ["postgres", "crm", "顧客"],
    ["snowflake", "crm", "a.b"],
    ["snowflake", "crm", "a_b"],
    ["snowflake", "crm_a", "b"],
]


@pytest.mark.parametrize("key", KEYS, ids=[str(number) for number in range(len(KEYS))])
def test_key(server: LocalRudderStack, rudderstack: RudderStackResource, key: list[str]) -> None:
    """A dependency keeps its key, whatever characters it has, and the step runs."""
    server.add_connection("one")
    mapping = dg.AllPartitionMapping()
    dep = dg.AssetDep(dg.AssetKey(key), partition_mapping=mapping)
    assets = build_rudderstack_sync_assets(
        connections={"one": dg.AssetSpec("crm", deps=[dep])}, name="syncs"
    )

    (found,) = next(iter(assets.specs)).deps
    assert found.asset_key == dg.AssetKey(key)
    assert found.partition_mapping == mapping
    assert dg.materialize([assets], resources={"rudderstack": rudderstack}).success


def test_keys__of_the_same_name() -> None:
    """Keys of which Dagster would make the same name are all dependencies."""
    keys = {dg.AssetKey(key) for key in KEYS}
    assets = build_rudderstack_sync_assets(
        connections={"one": dg.AssetSpec("a", deps=keys), "two": dg.AssetSpec("b", deps=["a"])},
        name="syncs",
    )
    graph = dg.Definitions(assets=[assets], resources={"rudderstack": 1}).resolve_asset_graph()

    assert graph.get(dg.AssetKey("a")).parent_keys == keys
    assert graph.get(dg.AssetKey("b")).parent_keys == {dg.AssetKey("a")}
    assert set(assets.keys_by_input_name.values()) >= keys

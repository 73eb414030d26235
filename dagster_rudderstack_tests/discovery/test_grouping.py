"""The steps of the assets of a workspace."""

from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    DagsterRudderStackTranslator,
    MetadataKey,
    RudderStackConnectionProps,
    RudderStackResource,
    build_rudderstack_assets_definitions,
)
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.discovery.conftest import AUDIENCE, CONTACTS, fill, materialize


@pytest.mark.parametrize("grouping", ["connection", "source", "destination", "all"])
def test_assets_sync(
    server: LocalRudderStack, rudderstack: RudderStackResource, grouping: Any
) -> None:
    """In each grouping, every asset syncs its own connection once."""
    fill(server)
    assets = build_rudderstack_assets_definitions(rudderstack, grouping=grouping)

    result = materialize(rudderstack, assets)

    synced = {
        event.asset_key.to_user_string(): event.materialization.metadata[
            MetadataKey.CONNECTION_ID
        ].value
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }
    assert synced == {CONTACTS: "contacts", AUDIENCE: "audience"}
    assert len(server.starts("contacts")) == len(server.starts("audience")) == 1


STEPS = {
    "connection": {
        "rudderstack__hubspot__contact__customers",
        "rudderstack__braze_eu__big_spenders",
        "rudderstack__braze_eu__customers",
    },
    "source": {"eu_from_customers", "eu_from_big_spenders", "rudderstack__braze_eu__customers"},
    "destination": {"eu_to_hubspot", "eu_to_braze_eu", "rudderstack__braze_eu__customers"},
    "all": {"eu_syncs", "rudderstack__braze_eu__customers"},
}


@pytest.mark.parametrize(("grouping", "names"), STEPS.items(), ids=STEPS.keys())
def test_steps(
    server: LocalRudderStack, rudderstack: RudderStackResource, grouping: Any, names: set[str]
) -> None:
    """A shared step is named after its group. A disabled connection has a step of its own."""
    fill(server)
    assets = build_rudderstack_assets_definitions(
        rudderstack, grouping=grouping, disabled="mark", name="eu"
    )

    assert {each.op.name for each in assets} == names


def test_steps__same_name(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """Steps that would have the same name get ids in their names."""
    for number, source in enumerate(["Customers", "customers!"]):
        server.add_source(f"s{number}", name=source)
        server.add_connection(f"c{number}", f"s{number}", "d")

    class Translator(DagsterRudderStackTranslator):
        def get_asset_spec(self, props: RudderStackConnectionProps) -> dg.AssetSpec:
            return dg.AssetSpec("a-b" if props.id == "c0" else "a.b")

    separate = build_rudderstack_assets_definitions(rudderstack, Translator())
    by_source = build_rudderstack_assets_definitions(rudderstack, Translator(), grouping="source")

    assert {each.op.name for each in separate} == {"a_b_c0", "a_b_c1"}
    assert {each.op.name for each in by_source} == {
        "rudderstack_from_customers_s0",
        "rudderstack_from_customers_s1",
    }


def test_names__any_alphabet(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """Definitions load with names and tables in any alphabet."""
    server.add_source("s1", name="顧客 $1", config={"schema": "スキーマ", "table": "my table$"})
    server.add_connection("c1", "s1", "d", object="контакт")
    assets = build_rudderstack_assets_definitions(rudderstack)

    dg.Definitions.validate_loadable(
        dg.Definitions(assets=assets, resources={"rudderstack": rudderstack})
    )

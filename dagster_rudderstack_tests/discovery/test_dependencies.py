"""Dagster takes the dependencies of connections as they are meant."""

import itertools
import random
from collections.abc import Mapping
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    DagsterRudderStackTranslator,
    InvalidSettingError,
    RudderStackConnectionProps,
    RudderStackResource,
    build_rudderstack_assets_definitions,
    fetch_rudderstack_workspace,
    load_rudderstack_asset_specs,
)
from dagster_rudderstack.testing import LocalRudderStack

CUSTOMERS = "rudderstack/hubspot/customers"
LEADS = "rudderstack/hubspot/leads"


@pytest.fixture
def rudderstack(server: LocalRudderStack, rudderstack: RudderStackResource) -> RudderStackResource:
    """A workspace in which both connections read `customers`, and one is named like the table."""
    for number, name in enumerate(["Customers", "Leads"]):
        sql = "select c.id, c.email from customers c"
        server.add_source(
            f"s{number}", name=name, source_type="model", definition="mysql", config={"sql": sql}
        )
        server.add_connection(f"c{number}", f"s{number}", "d", mappings={"email": "mail"})
    server.add_destination("d", name="HubSpot")
    return rudderstack


def graph_of(
    rudderstack: RudderStackResource, *others: Any, **options: Any
) -> Mapping[str, set[str]]:
    """Return the upstream assets of each connection, as Dagster resolves them."""
    assets = build_rudderstack_assets_definitions(rudderstack, **options)
    definitions = dg.Definitions(assets=[*others, *assets], resources={"rudderstack": rudderstack})
    dg.Definitions.validate_loadable(definitions)
    graph = definitions.resolve_asset_graph()
    return {
        spec.key.to_user_string(): {key.to_user_string() for key in graph.get(spec.key).parent_keys}
        for each in assets
        for spec in each.specs
    }


def test_table_named_like_a_connection(rudderstack: RudderStackResource) -> None:
    """A table without a schema is an external asset, not the connection of the same name."""
    assert graph_of(rudderstack) == {CUSTOMERS: {"mysql/customers"}, LEADS: {"mysql/customers"}}


def test_tables_named_like_each_other(
    server: LocalRudderStack, rudderstack: RudderStackResource
) -> None:
    """Connections that read tables with the names of each other's sources are no cycle."""
    for name, table in (("Firms", "deals"), ("Deals", "firms")):
        server.add_source(name, name=name, definition="mysql", config={"table": table})
        server.add_connection(f"of_{name}", name, "d")

    found = graph_of(rudderstack)

    assert found["rudderstack/hubspot/firms"] == {"mysql/deals"}
    assert found["rudderstack/hubspot/deals"] == {"mysql/firms"}


def test_dependency_with_one_part(rudderstack: RudderStackResource) -> None:
    """An asset that is only the one-part dependency of another asset is not matched.

    Dagster would take the connection of the same name, or another asset of the group.
    """

    @dg.asset(deps=["customers"])
    def report() -> None: ...

    assert graph_of(rudderstack, report, upstream_assets=[report])[LEADS] == {"mysql/customers"}


def test_dependency_that_is_another_asset(rudderstack: RudderStackResource) -> None:
    """A table is matched to the asset that Dagster takes for a dependency on the table."""
    table = {"dagster/table_name": "shop.customers"}

    @dg.asset(deps=[dg.AssetDep(["raw", "customers"], metadata=table)])
    def report() -> None: ...

    @dg.asset(metadata=table)
    def loaded() -> None: ...

    found = graph_of(rudderstack, report, loaded, upstream_assets=[report, loaded])
    assert found[LEADS] == {"loaded"}


def test_chosen_key_with_one_part(rudderstack: RudderStackResource) -> None:
    """A chosen key of one part for which Dagster would take a connection is an error."""
    keys = {"customers": "customers"}

    with pytest.raises(InvalidSettingError) as caught:
        load_rudderstack_asset_specs(rudderstack, upstream_keys=keys)

    assert caught.value.message == (
        "upstream_keys: the asset 'customers' is not among upstream_assets. If no definition has "
        f"this key, Dagster takes '{CUSTOMERS}' instead, since it is in the same group and its key "
        "ends with 'customers'. Add the asset to upstream_assets, where a spec is enough: "
        "dg.AssetSpec('customers'). Or give it a key of two parts."
    )
    spec = dg.AssetSpec("customers")
    found = graph_of(rudderstack, spec, upstream_assets=[spec], upstream_keys=keys)
    assert found == {CUSTOMERS: {"customers"}, LEADS: {"customers"}}


def test_chosen_key__of_the_connection_itself(rudderstack: RudderStackResource) -> None:
    """A connection cannot be the asset of the table that it reads."""
    with pytest.raises(InvalidSettingError, match=f"is '{LEADS}', which is the connection that"):
        load_rudderstack_asset_specs(rudderstack, upstream_keys={"customers": LEADS})


@pytest.mark.parametrize("name", ["people", "leads"])
def test_chosen_key_with_one_part__external(rudderstack: RudderStackResource, name: str) -> None:
    """A chosen key of one part stays an external asset if Dagster has no other asset for it."""
    keys = {"customers": name}

    class Translator(DagsterRudderStackTranslator):
        def get_asset_spec(self, props: RudderStackConnectionProps) -> dg.AssetSpec:
            spec = super().get_asset_spec(props)
            return spec.replace_attributes(group_name=f"group_of_{props.id}")

    found = graph_of(rudderstack, translator=Translator(), upstream_keys=keys)
    assert found == {CUSTOMERS: {name}, LEADS: {name}}


def test_chosen_key_with_one_part__two_names(
    server: LocalRudderStack, rudderstack: RudderStackResource
) -> None:
    """If two assets of the group end with the part, Dagster takes neither, so the key stays."""
    server.add_destination("e", name="Braze")
    server.add_connection("c2", "s0", "e")

    found = graph_of(rudderstack, upstream_keys={"customers": "customers"})

    assert set().union(*found.values()) == {"customers"}


# --- columns

UPSTREAM_ASSETS = (
    dg.AssetSpec("people", metadata={"dagster/table_name": "db.crm.people"}),
    dg.AssetSpec("people2", metadata={"dagster/table_name": "dw.crm.people"}),
    dg.AssetSpec(["crm", "orders"]),
    dg.AssetSpec("orders", group_name="rudderstack"),
    dg.AssetSpec(["lake", "leads"], metadata={"dagster/storage_kind": "snowflake"}),
    dg.AssetSpec("report", deps=["people", "hits", ["rudderstack", "hubspot", "people"]]),
)
CHOICES: tuple[dict[str, str | None], ...] = (
    {},
    {"orders": None},
    {"people": "chosen/people"},
    {"hits": "hits_by_page", "crm.leads": "crm/orders"},
)
NAMES = ("people", "crm.people", "orders", "crm.orders", "crm.leads", "leads", "hits")


@pytest.mark.parametrize("seed", range(12))
def test_columns(server: LocalRudderStack, rudderstack: RudderStackResource, seed: int) -> None:
    """The columns of a connection lead to the assets that it depends on, and to no others."""
    chance = random.Random(seed)  # noqa: S311 - repeatable
    for number, name in enumerate(["People", "Orders", "Leads 2", "Hits"]):
        one, other = chance.sample(NAMES, 2)
        sql = f"select a.x, b.y, a.z + b.z as z from {one} a join {other} b on a.id = b.id"
        model: dict[str, Any] = {"source_type": "model", "config": {"sql": sql}}
        warehouse = chance.choice(["postgres", "snowflake", "mysql"])
        server.add_source(f"r{number}", name=name, definition=warehouse, **model)
        server.add_connection(
            f"k{number}", f"r{number}", "d", mappings={each: each for each in "xyz"}
        )
    snapshot = fetch_rudderstack_workspace(rudderstack)

    for assets, keys in itertools.product([(), UPSTREAM_ASSETS], CHOICES):
        syncs = build_rudderstack_assets_definitions(
            rudderstack, snapshot=snapshot, upstream_assets=assets, upstream_keys=keys
        )
        resources = {"rudderstack": rudderstack}
        definitions = dg.Definitions(assets=[*assets, *syncs], resources=resources)
        graph = definitions.resolve_asset_graph()
        for spec in (spec for each in syncs for spec in each.specs):
            lineage = spec.metadata.get("dagster/column_lineage")
            by_column = lineage.value.deps_by_column if lineage else {}
            keys_of_columns = {dep.asset_key for deps in by_column.values() for dep in deps}
            assert keys_of_columns <= {dep.asset_key for dep in spec.deps}
            assert keys_of_columns <= graph.get(spec.key).parent_keys
            assert {dep.asset_key for dep in spec.deps} == graph.get(spec.key).parent_keys

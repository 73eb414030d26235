"""The upstream assets of the connections of a workspace."""

import dagster as dg
import pytest

from dagster_rudderstack import (
    DagsterRudderStackTranslator,
    RudderStackConnectionProps,
    RudderStackConnectionSelector,
    RudderStackResource,
    build_rudderstack_assets_definitions,
    load_rudderstack_asset_specs,
)
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.discovery.conftest import AUDIENCE, CONTACTS, deps_of, fill, keys_of


def test_upstream_assets(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """A connection depends on the project's assets whose tables it reads."""
    fill(server)

    @dg.asset(metadata={"dagster/table_name": "prod.analytics.customers"})
    def dim_customers() -> None: ...

    @dg.asset(key=["analytics", "orders_by_customer"], deps=[dim_customers])
    def orders() -> None: ...

    specs = load_rudderstack_asset_specs(rudderstack, upstream_assets=[dim_customers, orders])

    assert deps_of(specs) == {
        CONTACTS: {"dim_customers"},
        AUDIENCE: {"dim_customers", "analytics/orders_by_customer"},
    }


def test_upstream_assets__dependency_on_a_connection(
    server: LocalRudderStack, rudderstack: RudderStackResource, caplog: pytest.LogCaptureFixture
) -> None:
    """A connection that an asset depends on is not matched to a table of the same name."""
    server.add_source("s1", name="Customers", definition="mysql", config={"table": "customers"})
    server.add_source("s2", name="Leads", definition="mysql", config={"table": "customers"})
    server.add_destination("d", name="HubSpot", type="HS")
    server.add_connection("c1", "s1", "d", object="Contact")
    server.add_connection("c2", "s2", "d", object="Contact")

    @dg.asset(deps=[dg.AssetKey.from_user_string(CONTACTS), ["shop", "customers"]])
    def crm_report() -> None: ...

    assets = build_rudderstack_assets_definitions(rudderstack, upstream_assets=[crm_report])

    specs = [spec for each in assets for spec in each.specs]
    assert set().union(*deps_of(specs).values()) == {"shop/customers"}
    assert "equally well" not in caplog.text
    dg.Definitions.validate_loadable(
        dg.Definitions(assets=[crm_report, *assets], resources={"rudderstack": rudderstack})
    )


def test_upstream_assets__generator(
    server: LocalRudderStack, rudderstack: RudderStackResource
) -> None:
    """Assets from a generator are found, also if one of them depends on a connection."""
    fill(server)
    assets = [
        dg.AssetSpec("people", metadata={"dagster/table_name": "analytics.customers"}),
        dg.AssetSpec("report", deps=[dg.AssetKey.from_user_string(CONTACTS)]),
    ]

    specs = load_rudderstack_asset_specs(rudderstack, upstream_assets=iter(assets))

    assert deps_of(specs)[CONTACTS] == {"people"}


def test_key_of_the_table(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """A connection whose key is the name of its table depends on the table, not on itself."""
    fill(server)

    class Translator(DagsterRudderStackTranslator):
        def get_asset_spec(self, props: RudderStackConnectionProps) -> dg.AssetSpec:
            spec = super().get_asset_spec(props)
            return spec.replace_attributes(key=["analytics", props.source_name.lower()])

    selector = RudderStackConnectionSelector(ids=["contacts"])

    assert deps_of(load_rudderstack_asset_specs(rudderstack, Translator(), selector)) == {
        "analytics/customers": {"snowflake/analytics/customers"}
    }


def test_upstream_keys(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """A mapping names the asset of a table, or leaves the table out."""
    fill(server)
    keys = {"analytics.customers": "dim_customers", "orders_by_customer": None}

    specs = load_rudderstack_asset_specs(rudderstack, upstream_keys=keys)

    assert deps_of(specs) == {CONTACTS: {"dim_customers"}, AUDIENCE: {"dim_customers"}}


def test_selector__upstream(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """A selector function can read the upstream tables and the origins of columns."""
    fill(server)

    def reads_orders(props: RudderStackConnectionProps) -> bool:
        return any(
            upstream.key == dg.AssetKey("orders") and column.name == "total"
            for upstream, column in props.origins("ltv")
        )

    specs = load_rudderstack_asset_specs(
        rudderstack, selector=reads_orders, upstream_keys={"orders_by_customer": "orders"}
    )

    assert keys_of(specs) == {AUDIENCE}


def test_ambiguous_table__not_selected(
    server: LocalRudderStack, rudderstack: RudderStackResource, caplog: pytest.LogCaptureFixture
) -> None:
    """An ambiguous table causes a warning only if a selected connection reads it."""
    fill(server)
    tables = [
        dg.AssetSpec(key, metadata={"dagster/table_name": f"{key}.analytics.orders_by_customer"})
        for key in ("prod", "dev")
    ]

    for selected in ("contacts", "audience"):
        assert "equally well" not in caplog.text
        load_rudderstack_asset_specs(
            rudderstack,
            selector=lambda props, selected=selected: props.id == selected,
            upstream_assets=tables,
        )

    assert "matches the assets 'prod', 'dev' equally well" in caplog.text

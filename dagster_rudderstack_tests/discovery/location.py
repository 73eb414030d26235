"""A code location that a test loads with Dagster's tools: two assets and a workspace."""

import os

import dagster as dg

from dagster_rudderstack import RudderStackResource, build_rudderstack_assets_definitions

rudderstack = RudderStackResource(
    access_token=dg.EnvVar("RUDDERSTACK_ACCESS_TOKEN"), api_url=dg.EnvVar("RUDDERSTACK_API_URL")
)


@dg.asset(key=["analytics", "customers"], kinds={"duckdb"})
def customers() -> None:
    """The customers of the shop."""


@dg.asset(metadata={"dagster/table_name": "shop.analytics.orders_by_customer"}, deps=[customers])
def order_totals() -> None:
    """The sum of the orders of each customer."""


definitions = dg.Definitions(
    assets=[
        customers,
        order_totals,
        *build_rudderstack_assets_definitions(
            rudderstack,
            snapshot=os.environ["RUDDERSTACK_SNAPSHOT"],
            upstream_assets=[customers, order_totals],
        ),
    ],
    resources={"rudderstack": rudderstack},
)

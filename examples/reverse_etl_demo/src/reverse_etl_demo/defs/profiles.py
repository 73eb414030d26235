"""The Profiles project: RudderStack builds features of the customers in the warehouse."""

import dagster as dg

from dagster_rudderstack import build_rudderstack_profiles_asset

# One run builds both tables, so both are assets of one step.
customer_features = build_rudderstack_profiles_asset(
    source_id="customer-profiles",
    name="customer_profiles",
    specs=[
        dg.AssetSpec(
            "customer_id_graph",
            group_name="profiles",
            description="All ids of each customer, with typos in e-mail addresses fixed.",
            metadata={"dagster/table_name": "warehouse.profiles.customer_id_graph"},
        ),
        dg.AssetSpec(
            "customer_features",
            group_name="profiles",
            description="One row per customer, with the segment of the customer.",
            metadata={"dagster/table_name": "warehouse.profiles.customer_features"},
        ),
    ],
    deps=["raw_customers", "raw_orders"],
    # A lost start is sent again, since building the same features twice does no harm.
    on_lost_start="start_again",
)

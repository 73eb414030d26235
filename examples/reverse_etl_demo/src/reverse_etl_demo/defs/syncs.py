"""The syncs: each connection of RudderStack is an asset downstream of its model."""

import dagster as dg

from dagster_rudderstack import (
    RejectedRowsCheck,
    SyncChecks,
    build_rudderstack_sync_asset,
)

crm_contacts = build_rudderstack_sync_asset(
    connection_id="crm-contacts",
    spec=dg.AssetSpec(
        "crm_contacts",
        deps=["customer_360"],
        group_name="activation",
        owners=["team:marketing"],
        description="Contacts of the CRM, which rejects invalid e-mail addresses.",
    ),
    # A few typos are normal. More of them fail the check.
    checks=SyncChecks(rejected_rows=RejectedRowsCheck(max_failed_rows=5)),
    retry_policy=dg.RetryPolicy(max_retries=2, delay=10),
)

cart_audience = build_rudderstack_sync_asset(
    connection_id="cart-audience",
    spec=dg.AssetSpec(
        "cart_audience",
        deps=["abandoned_carts"],
        group_name="activation",
        owners=["team:marketing"],
        description="Audience of an ads network: all customers with a cart (a mirror sync).",
        # Sync after each rebuild of the model, so that no ad shows what was already bought.
        automation_condition=dg.AutomationCondition.eager(),
    ),
)

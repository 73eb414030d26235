"""The syncs: each connection of the RudderStack workspace is an asset downstream of its model."""

import dagster as dg

from dagster_rudderstack import RejectedRowsCheck, build_rudderstack_sync_asset

crm_contacts = build_rudderstack_sync_asset(
    connection_id="crm-contacts",
    spec=dg.AssetSpec(
        "crm_contacts",
        deps=["customer_360"],
        group_name="activation",
        owners=["team:marketing"],
        description="Contacts of the CRM. It rejects what is no e-mail address.",
    ),
    # A handful of typos is everyday life; more deserve a look.
    rejected_rows_check=RejectedRowsCheck(max_failed_rows=5),
    retry_policy=dg.RetryPolicy(max_retries=2, delay=10),
)

cart_audience = build_rudderstack_sync_asset(
    connection_id="cart-audience",
    spec=dg.AssetSpec(
        "cart_audience",
        deps=["abandoned_carts"],
        group_name="activation",
        owners=["team:marketing"],
        description="Audience of an ads network: who has a cart. A mirror: who has paid leaves it.",
        # Whenever its model is rebuilt: an ad for what was bought meanwhile is money lost.
        automation_condition=dg.AutomationCondition.eager(),
    ),
)

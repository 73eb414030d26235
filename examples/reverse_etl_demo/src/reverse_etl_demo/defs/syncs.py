"""The syncs: each connection of RudderStack is an asset downstream of its model."""

import dagster as dg
from dagster_duckdb import DuckDBResource

from dagster_rudderstack import (
    RejectedRowsCheck,
    SyncChecks,
    build_rudderstack_sync_asset,
    latest_failed_rows_sql,
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

KNOWN_REASON = 'The field "email" has an invalid value'


@dg.asset_check(asset=crm_contacts)
def rejection_reasons(
    context: dg.AssetCheckExecutionContext, warehouse: DuckDBResource
) -> dg.AssetCheckResult:
    """Why the CRM rejected rows of the last sync. Typos are known; any other reason is a warning.

    The rows are in the warehouse, where RudderStack logs them.
    """
    sql = latest_failed_rows_sql(context.instance, crm_contacts.key)
    if sql is None:
        return dg.AssetCheckResult(passed=True, description="No row was rejected.")
    with warehouse.get_connection() as connection:
        by_reason = connection.sql(sql).aggregate("error_reason, count(*) AS rows_rejected")
        reasons = by_reason.order("rows_rejected DESC, error_reason").limit(10).fetchall()
    lines = [f"| {reason} | {rows} |" for reason, rows in reasons]
    new = [reason for reason, _ in reasons if reason != KNOWN_REASON]
    return dg.AssetCheckResult(
        passed=not new,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"New: {'; '.join(new)}." if new else "Only typos in e-mail addresses.",
        metadata={
            "top_reasons": dg.MetadataValue.md(
                "\n".join(["| Reason | Rows |", "|---|---|", *lines])
            )
        },
    )


crm_segments = build_rudderstack_sync_asset(
    connection_id="crm-segments",
    spec=dg.AssetSpec(
        "crm_segments",
        deps=["customer_features"],
        group_name="activation",
        owners=["team:marketing"],
        description="The segment of each contact in the CRM, which RudderStack Profiles found.",
    ),
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
